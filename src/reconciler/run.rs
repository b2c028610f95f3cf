//! Report of a tick: what it saw and did.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    follower::{
        Mode,
        records::{Doing, RecordedEvent},
    },
    model::{LeaseId, Oid, Percent, Reason, Refusal, TargetId},
};

use super::{
    decision::{Decision, Desired},
    target::{self, Seen},
};

/// What a tick saw and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApplierReport {
    /// The ledger's tip that it went by.
    pub ledger: Oid,
    /// What it saw and did, by target.
    pub targets: BTreeMap<TargetId, TargetReport>,
    /// What went wrong beside that. Tried again at the next tick.
    pub remarks: Vec<Refusal>,
    /// Why the branch does not have stops that are obeyed all the same: the remote has them under names of their own, and
    /// does not take them there. Tried again at times; nothing waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Refusal>,
    /// Why the clock here is not believed, if it is not: bakes begin anew, and nothing goes forward.
    #[serde(skip)]
    pub clock: Option<Refusal>,
    /// What happened since the last report, oldest first. Records hold it as well.
    #[serde(skip)]
    pub events: Vec<RecordedEvent>,
}

/// What a tick saw and did at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TargetReport {
    /// The lease; none if none ever started there.
    pub lease: Option<LeaseId>,
    /// The weight that the ledger wants, in percent.
    pub desired: Percent,
    /// The weight that was observed, in percent; null where it could not be seen.
    pub observed: Option<Percent>,
    /// The lease that it belongs to.
    pub observed_lease: Option<LeaseId>,
    /// What the applier is doing; in a dry run, what it would do.
    pub doing: String,
    /// Why no more.
    pub reason: Option<Refusal>,
    /// Who stopped it, and why, in the signers' words; none where it is not halted or rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// What a restart of what moves requests would bring instead of what is there, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contradiction: Option<Refusal>,
}

impl ApplierReport {
    /// A target at which a stop could not be carried out, and why.
    pub fn unstopped(&self) -> Option<(&TargetId, Refusal)> {
        let (target, seen) = self.targets.iter().find(|(_, target)| target.doing == Doing::StopFailed.word())?;
        let why = || Refusal::new(Reason::Drift, "the stop could not be carried out");
        Some((target, seen.reason.clone().unwrap_or_else(why)))
    }

    /// Whether a rollback failed, which nobody should overlook.
    pub fn rollback_failed(&self) -> bool {
        self.targets.values().any(|target| target.doing == Doing::RollbackFailed.word())
    }

    /// Whether a rollback is neither verified nor failed yet.
    pub fn is_rolling_back(&self) -> bool {
        self.targets.values().any(|target| target.doing == Doing::RollingBack.word())
    }
}

impl TargetReport {
    /// Nothing ever started there.
    pub(super) fn idle() -> Self {
        Self {
            lease: None,
            desired: Percent::default(),
            observed: None,
            observed_lease: None,
            doing: Doing::Holding.word().to_owned(),
            reason: None,
            stopped: None,
            contradiction: None,
        }
    }

    /// Nothing could be found out about it.
    pub(super) fn held(refusal: Refusal) -> Self {
        Self { reason: Some(refusal), ..Self::idle() }
    }

    pub(super) fn of(wanted: &Desired, seen: &Seen, decision: &Decision, mode: Mode) -> Self {
        let doing = match mode {
            Mode::Act => decision.doing.word().to_owned(),
            Mode::DryRun => target::in_words(decision),
        };
        Self {
            lease: Some(wanted.lease.clone()),
            desired: Percent::of(target::desired_bp(wanted)),
            observed: seen.as_ref().ok().map(|seen| Percent::of(seen.weight_bp)),
            observed_lease: seen.as_ref().ok().and_then(|seen| seen.lease.clone()),
            doing,
            reason: target::reason(decision, seen),
            stopped: None,
            contradiction: None,
        }
    }
}
