//! Lease list: a line each, and what concerns them all: freezes and policies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{Group, LeaseState, Phase, State, StepReport},
    model::{LeaseId, Oid},
};

use super::{
    Awaits, BallotView, Beside, RefusalView, Unpushed, awaits,
    awaits::{awaits_thaw, is_expired},
    findings,
    lease::{ObservedView, ballot_views, cosigned, observed_view, tier_weight},
    lease_text::{awaits_text, has_ended},
    policy::{PolicyView, ProposedPolicy, policy_line, proposed_policy},
    refusal,
    words::{count, escaped, table},
};

/// One lease, in short.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LeaseSummary {
    /// The id.
    pub lease: String,
    /// What it is for.
    pub intent: Option<String>,
    /// One line for people.
    pub summary: Option<String>,
    /// Where it goes.
    pub target: Option<String>,
    /// `proposed`, `authorized`, `rolling`, `paused`, `halted`, `completed`, `rolled-back` or `withdrawn`.
    pub state: String,
    /// The tier that it is at, in percent.
    pub tier: Option<u8>,
    /// The same as a number, from 1.
    pub tier_number: Option<usize>,
    /// How many tiers it has.
    pub tiers: usize,
    /// When its window closes, RFC 3339.
    pub expires: Option<String>,
    /// How many keys count towards its authorization.
    pub cosigners_have: usize,
    /// How many its rule asks for.
    pub cosigners_needed: usize,
    /// The weight that the ledger wants, in percent.
    pub desired: u8,
    /// What an applier attests; null where none did.
    pub observed: Option<ObservedView>,
    /// What it awaits.
    pub awaits: Option<Awaits>,
    /// Whether its window has closed, by the clock here.
    pub expired: bool,
    /// Why agents did not turn their keys for it.
    pub refused: Vec<RefusalView>,
    /// How many findings are about it.
    pub findings: usize,
    /// What was signed here about it, and is not on the upstream.
    pub unpushed: Vec<Unpushed>,
}

/// Everything at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ListView {
    /// The root.
    pub root: String,
    /// Whether that root is pinned.
    pub pinned: bool,
    /// The governed branch.
    pub branch: String,
    /// Its tip.
    pub tip: String,
    /// The policy in force.
    pub policy: PolicyView,
    /// The commit of the freeze in force.
    pub frozen: Option<String>,
    /// The policy that is proposed, and not in force.
    pub policy_proposed: Option<ProposedPolicy>,
    /// Votes for a policy that is not in force yet.
    pub policy_votes: Vec<BallotView>,
    /// Votes to end the freeze.
    pub thaw_votes: Vec<BallotView>,
    /// What the end of the freeze awaits; null where nothing is frozen.
    pub thaw_awaits: Option<Awaits>,
    /// The leases that are shown, oldest first.
    pub leases: Vec<LeaseSummary>,
    /// How many more there are.
    pub left_out: usize,
    /// How many findings there are, about leases and all else.
    pub findings: usize,
    /// What should be known before any of this is relied on.
    pub remarks: Vec<String>,
}

/// How many findings there are.
pub struct Found<'a> {
    /// About all there is.
    pub all: usize,
    /// About a lease.
    pub of: &'a dyn Fn(&LeaseId) -> usize,
}

/// How many findings some steps made about each lease.
pub(super) fn findings_by_lease(reports: &[StepReport]) -> BTreeMap<LeaseId, usize> {
    let mut found = BTreeMap::new();
    for lease in findings(reports).filter_map(|finding| finding.lease.as_ref()) {
        *found.entry(lease.clone()).or_default() += 1;
    }
    found
}

/// Some leases of the ledger and of the tree.
pub fn list_view(
    state: &State,
    leases: &BTreeSet<LeaseId>,
    found: &Found<'_>,
    beside: &Beside,
    pinned: Option<Oid>,
    branch: &str,
    remarks: &[String],
) -> ListView {
    let mut ids: Vec<_> = leases.iter().collect();
    ids.sort_by_key(|id| (state.document(id).map(|lease| lease.issued), *id));
    ListView {
        root: state.root().to_string(),
        pinned: pinned == Some(state.root()),
        branch: branch.to_owned(),
        tip: state.tip().to_string(),
        policy: PolicyView::of(state),
        frozen: state.frozen().map(|commit| commit.to_string()),
        policy_proposed: proposed_policy(state, beside.now),
        policy_votes: ballot_views(state, state.policy_votes()),
        thaw_votes: ballot_views(state, state.thaw_votes()),
        thaw_awaits: awaits_thaw(state, beside.now),
        leases: ids.iter().map(|id| summary(state, (found.of)(id), beside, id)).collect(),
        left_out: state.count().saturating_sub(ids.len()),
        findings: found.all,
        remarks: remarks.to_vec(),
    }
}

pub(super) fn summary(state: &State, findings: usize, beside: &Beside, id: &LeaseId) -> LeaseSummary {
    let document = state.document(id);
    let entry = state.lease(id);
    let phase = entry.map_or(Phase::Proposed, |entry| entry.phase);
    let (cosigners_have, cosigners_needed) = cosigned(state, id);
    LeaseSummary {
        lease: id.to_string(),
        intent: document.and_then(|lease| lease.intent.as_ref()).map(ToString::to_string),
        summary: document.and_then(|lease| lease.summary.clone()),
        target: document.map(|lease| lease.target.to_string()),
        state: phase.word().to_owned(),
        tier: tier_weight(document, phase),
        tier_number: phase.tier().map(|tier| tier + 1),
        tiers: document.map_or(0, |lease| lease.tiers.len()),
        expires: document.map(|lease| lease.expires.to_string()),
        cosigners_have,
        cosigners_needed,
        desired: entry.map_or(0, LeaseState::weight),
        observed: beside.observed.get(id).map(observed_view),
        awaits: awaits(state, beside, id),
        expired: is_expired(state, beside, id),
        refused: beside.refused.get(id).cloned().unwrap_or_default(),
        findings,
        unpushed: beside.unpushed_of(id),
    }
}

/// Which leases of a list are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// How far back.
    pub past: ListDepth,
    /// Only those of this target.
    pub target: Option<String>,
    /// Only those in one of these states; empty means any.
    pub states: BTreeSet<String>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

/// How far back a list goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ListDepth {
    /// What is open, and the last of each target that has ended.
    #[default]
    Last,
    /// Everything.
    All,
}

impl ListFilter {
    /// The leases that have to be looked at.
    pub fn among(&self, state: &State) -> BTreeSet<LeaseId> {
        match self.past {
            ListDepth::All => state.known_leases(),
            ListDepth::Last => state.group(&Group::Open).into_iter().chain(state.group(&Group::Last)).collect(),
        }
    }
}

/// Leaves out of a list what is not to be shown, and counts it.
pub fn shown(mut view: ListView, shown: &ListFilter) -> ListView {
    let before = view.leases.len();
    // The list is oldest first, so that a later one replaces an earlier one.
    let ended =
        view.leases.iter().filter(|lease| !is_open(lease)).map(|lease| (lease.target.clone(), lease.lease.clone()));
    let last: BTreeMap<_, _> = ended.collect();
    view.leases.retain(|lease| {
        let is_last = || last.get(&lease.target) == Some(&lease.lease);
        (shown.past == ListDepth::All || is_open(lease) || is_last())
            && shown.target.as_ref().is_none_or(|target| lease.target.as_ref() == Some(target))
            && (shown.states.is_empty() || shown.states.contains(&lease.state))
    });
    let surplus = view.leases.len().saturating_sub(shown.limit.unwrap_or(usize::MAX));
    view.leases.drain(..surplus);
    view.left_out += before - view.leases.len();
    view
}

/// The same for people.
pub fn list_text(view: &ListView) -> String {
    let mut text = String::new();
    let nothing_else = view.policy_proposed.is_none() && view.frozen.is_none();
    if view.leases.is_empty() && view.left_out == 0 && nothing_else {
        text.push_str("no leases yet; write one with: git two-key new\n");
    } else if !view.leases.is_empty() {
        text.push_str(&leases_table(&view.leases));
    }
    if let Some(commit) = &view.frozen {
        let commit: String = commit.chars().take(12).collect();
        let _ = writeln!(text, "frozen by {commit}: {}", frozen_words(view.thaw_awaits.as_ref()));
    }
    if let Some(proposed) = &view.policy_proposed {
        let _ = writeln!(text, "{}", policy_line(proposed));
    }
    if view.left_out > 0 {
        let _ = writeln!(text, "{} left out; see all with: git two-key list --all", count(view.left_out, "lease"));
    }
    text.push_str(&findings_line(view.findings));
    text
}

/// How many votes and files did not count, where any did not.
pub(super) fn findings_line(findings: usize) -> String {
    match findings {
        0 => String::new(),
        some => format!("{} did not count; see why with: git two-key verify --all\n", count(some, "finding")),
    }
}

/// A line a lease.
pub(super) fn leases_table(leases: &[LeaseSummary]) -> String {
    let heading =
        ["LEASE", "TARGET", "STATE", "TIER", "COSIGNERS", "DESIRED", "OBSERVED", "WAITING FOR", "INTENT", "SUMMARY"];
    table(&heading, &leases.iter().map(row).collect::<Vec<_>>())
}

fn row(lease: &LeaseSummary) -> Vec<String> {
    let dash = || "-".to_owned();
    let observed = lease.observed.as_ref();
    let weight = observed.and_then(|seen| seen.weight).map_or_else(dash, |weight| format!("{weight} %"));
    let doing = observed.and_then(|seen| seen.doing.as_ref()).map(|doing| format!(" {doing}")).unwrap_or_default();
    vec![
        lease.lease.clone(),
        lease.target.clone().unwrap_or_else(dash),
        if lease.unpushed.iter().all(Unpushed::is_beside) {
            lease.state.clone()
        } else {
            format!("{}, NOT PUSHED", lease.state)
        },
        lease.tier.map_or_else(dash, |tier| format!("{tier} %")),
        format!("{}/{}", lease.cosigners_have, lease.cosigners_needed),
        format!("{} %", lease.desired),
        weight + &doing,
        awaits_text(lease.awaits.as_ref(), lease.expired, &lease.state).unwrap_or_else(dash)
            + &refusal::short(&lease.refused),
        lease.intent.clone().unwrap_or_else(dash),
        lease.summary.as_deref().map_or_else(dash, escaped),
    ]
}

/// That nothing goes forward, and whose keys end that: `…; thaw has cp14, waiting for a human (user1, user2)`.
pub(super) fn frozen_words(thaw: Option<&Awaits>) -> String {
    let words = "nothing goes forward until git two-key thaw".to_owned();
    let Some(thaw) = thaw else { return words };
    let has = if thaw.has.is_empty() { String::new() } else { format!("has {}, ", thaw.has.join(", ")) };
    let who = if thaw.who.is_empty() { String::new() } else { format!(" ({})", thaw.who.join(", ")) };
    format!("{words}, which {has}waits for {}{who}", thaw.text)
}

/// Whether a lease can still go on. One whose window closed before it started cannot.
pub(super) fn is_open(lease: &LeaseSummary) -> bool {
    let too_late = lease.expired && matches!(lease.state.as_str(), "proposed" | "authorized");
    !has_ended(&lease.state) && !too_late
}
