//! Report: the ledger's state, events and findings as values for people and programs, and one page of them all. Pure:
//! values in, values out.
//!
//! First come values ([`LeaseView`], [`ListView`], [`TrailEntry`], [`FindingView`]), which are what `--format json` prints
//! and what the JSON Schemas describe; words come last, made from the same values. What the ledger does not say (what
//! appliers observed, votes that wait in notes, which tags exist) is handed in as [`Beside`] and shown as such, never
//! mixed with what is in force. Called by cli; calls [`crate::ledger`] and below.

mod account;
mod advice;
mod alarms;
mod annotate;
mod attestation;
mod awaits;
mod difference;
mod doubts;
mod effects;
mod finding;
mod keys;
mod lease;
mod lease_text;
mod list;
mod live;
mod may;
mod noted;
mod page;
mod policy;
mod pull;
mod refusal;
mod set_up;
mod show;
mod status;
mod style;
mod subject;
mod terms;
mod trail;
mod unpushed;
mod verdict;
mod wanted;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    ledger::{Finding, StepReport},
    model::{Action, Fingerprint, LeaseId, Oid, PrincipalId, TargetId},
};

pub use account::{Account, ProposedView, RefusedView, SignedView};
pub use advice::{Advice, lease_advice, policy_advice, short_window, thin, unmet};
pub use alarms::{Expected, lease_alarms, lease_doubts};
pub use annotate::{AnnotationForm, Remark, RemarkLevel, annotations, pull_remarks, undecided_remark};
pub use attestation::attestation;
pub use awaits::{Awaits, awaits};
pub use difference::{PolicyRow, policy_difference, policy_difference_at};
pub use finding::{FindingView, finding_line, finding_subject};
pub use keys::{FormerKey, KeyView, allowed_signers, ending_keys, former_keys, keys, keys_of, keys_text};
pub use lease::{
    BallotView, CheckView, Cosigner, HealthView, LeaseView, ObservedView, TierView, TransitionView, VoteView,
    lease_view,
};
pub use lease_text::lease_text;
pub use list::{Found, LeaseSummary, ListDepth, ListFilter, ListView, list_text, list_view, shown};
pub use live::{awaits_key_of, list_short, live_lease, live_list, live_others};
pub use may::instead;
pub use noted::{Noted, WaitingVote};
pub use page::{PageOf, page};
pub use policy::{PolicyShow, PolicyView, ProposedPolicy, policy_show, policy_text};
pub use pull::{EffectView, MergeMethod, ProblemView, PullRequest, PullView, SignatureView, pull_markdown, pull_view};
pub use refusal::{RefusalReason, RefusalView};
pub use set_up::{CheckedFile, CheckedFiles, DoctorView, SetUpProblem};
pub use show::{ShowView, others_text, show_view};
pub use status::{
    ServedView, StatusView, TargetStatus, Waiting, WaitingStop, WantedWeight, status_targets, status_text, status_view,
};
pub use style::{Colour, Glyphs, Style, Terminal};
pub use subject::subject_line;
pub use terms::{AfterView, LeaseTerms};
pub use trail::{PolicyChange, RevokedKey, TrailEntry, entry_text, trail};
pub use unpushed::{Unpushed, event_words};
pub use verdict::{LeaseVerdict, LedgerVerdict, Looked, lease_verdict, ledger_text, ledger_verdict};
pub use wanted::TrailFilter;
pub use words::{all_of, escaped, json_escaped, table, time};

/// What an applier attests about a lease: observed, never inferred from the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseObservation {
    /// The applier.
    pub applier: PrincipalId,
    /// The weight that it saw, in basis points.
    pub weight: Option<u32>,
    /// What it was doing: `shifting`, `baking`, `ready`, `holding`, `rolling-back`, `verified`, `restored`, `rollback-failed`,
    /// `stop-failed`.
    pub doing: Option<String>,
    /// The step that it has applied.
    pub step: Option<u32>,
    /// When it saw that, in seconds since 1970.
    pub seen: Option<i64>,
    /// When watching the present weight began, in seconds since 1970.
    pub bake_started: Option<i64>,
    /// The reason code for doing no more.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// What it concluded of the metrics at that weight.
    pub health: Option<HealthView>,
    /// How the checks of the last rollback came out.
    pub checks: Vec<CheckView>,
    /// Why the key that signed it is in force no more, where it counted then: `revoked` or `not-listed`; or `reassigned`: the
    /// target is no longer its applier's.
    pub key_standing: Option<String>,
}

impl LeaseObservation {
    /// Of an applier, with nothing said yet.
    pub fn of(applier: PrincipalId) -> Self {
        Self {
            applier,
            weight: None,
            doing: None,
            step: None,
            seen: None,
            bake_started: None,
            reason: None,
            message: None,
            health: None,
            checks: Vec::new(),
            key_standing: None,
        }
    }
}

/// What an applier attests of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenTarget {
    /// The lease that it moves the target for.
    pub lease: LeaseId,
    /// The lease that has the weight.
    pub there: Option<LeaseId>,
    /// What it says.
    pub observed: LeaseObservation,
}

/// What is known beside the ledger.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// What appliers attest, by lease.
    pub observed: BTreeMap<LeaseId, LeaseObservation>,
    /// What appliers attest, by target.
    pub seen: BTreeMap<TargetId, SeenTarget>,
    /// Whose votes wait in notes and would count if they were folded next, by lease and action.
    pub notes: BTreeMap<(LeaseId, Action), Vec<PrincipalId>>,
    /// What is known of votes by note, where their past matters.
    pub noted: Noted,
    /// The names of the rollout tags that exist, below `refs/tags/`.
    pub tags: BTreeSet<String>,
    /// What appliers say happened at their targets, oldest first.
    pub happened: Vec<ObservedEvent>,
    /// Why agents did not turn their keys, by lease.
    pub refused: BTreeMap<LeaseId, Vec<RefusalView>>,
    /// The time here; without one no window is closed.
    pub now: Option<Timestamp>,
    /// What was signed here and is not on the upstream.
    pub unpushed: Vec<Unpushed>,
}

impl Beside {
    /// What was signed here about a lease and is not on the upstream.
    pub fn unpushed_of(&self, id: &LeaseId) -> Vec<Unpushed> {
        self.unpushed.iter().filter(|one| one.lease.as_deref() == Some(id.as_str())).cloned().collect()
    }

    /// Whose votes wait in notes for an action on a lease.
    pub fn waiting(&self, id: &LeaseId, action: Action) -> &[PrincipalId] {
        self.notes.get(&(id.clone(), action)).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Something that an applier says happened, in a commit that it signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedEvent {
    /// Its name in the audit trail.
    pub event: String,
    /// When the applier saw it, in seconds since 1970.
    pub seen: i64,
    /// The applier.
    pub applier: PrincipalId,
    /// The key that signed.
    pub key: Fingerprint,
    /// The commit that says so, on the applier's ref.
    pub commit: Oid,
    /// The ledger's tip that the applier went by.
    pub ledger: Oid,
    /// Where.
    pub target: TargetId,
    /// For which lease.
    pub lease: LeaseId,
    /// For which transition.
    pub step: u32,
    /// The weight, in basis points; none where it could not be seen.
    pub weight_bp: Option<u32>,
    /// Why the key is in force no more, where it counted then: `revoked` or `not-listed`.
    pub key_standing: Option<String>,
}

/// Every finding, in order.
pub fn findings(reports: &[StepReport]) -> impl Iterator<Item = &Finding> {
    reports.iter().flat_map(|report| &report.findings)
}
