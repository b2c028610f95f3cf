//! A decision for a target: what it is made from, and the act that it names. Plain data; [`super::decide`] makes it.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    follower::records::Doing,
    gate::health::Health,
    ledger::Phase,
    model::{
        LeaseId, Percent, Refusal, StopKind,
        lease::{OnExpiry, Tier},
        policy::DriftBelow,
    },
};

use super::rollback_health::RollbackHealth;

/// What is wanted of a target: the ledger's word, with every stop that was seen anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The lease that the target is to be moved for.
    pub lease: LeaseId,
    /// Where it is, stops included that the ledger has not folded yet.
    pub phase: Phase,
    /// The number of its last transition in the ledger.
    pub step: u32,
    /// The number of the transition that went to each tier so far.
    pub tier_steps: Vec<u32>,
    /// Its tiers.
    pub tiers: Vec<Tier>,
    /// Whether every forward move is stopped.
    pub frozen: bool,
    /// When its window opens.
    pub issued: Timestamp,
    /// When its window closes.
    pub expires: Timestamp,
    /// What happens then.
    pub on_expiry: OnExpiry,
    /// How many rollbacks of it have been signed.
    pub rollbacks: u32,
    /// The lease that the target was at in full when this one started, and is to be at again once this one is undone.
    pub falls_back_to: Option<LeaseId>,
    /// The newer lease of the target that is undone first, if it is stopped although it is not the newest.
    pub undone: Option<LeaseId>,
    /// What becomes of traffic that somebody took off the candidate, as pinned when the lease started.
    pub drift_below: DriftBelow,
}

/// What a driver saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Observed {
    /// The candidate's weight in basis points.
    pub weight_bp: u32,
    /// The lease whose change is the candidate; none where nothing was ever shifted.
    pub lease: Option<LeaseId>,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % of ", Percent::of(self.weight_bp))?;
        match &self.lease {
            Some(lease) => lease.fmt(f),
            None => f.write_str("no lease"),
        }
    }
}

/// What else a decision needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// The time; none if the clock cannot be trusted.
    pub now: Option<Timestamp>,
    /// What speaks against every forward move: a tip that does not continue, knowledge that is too old, a ref of
    /// another applier.
    pub blockers: Vec<Refusal>,
    /// Whether the lease's pack is there and was rehearsed.
    pub pack: Pack,
    /// Whether a restored target is what the pack says.
    pub standing: PackMatch,
    /// What metrics say of the tier that the target is at.
    pub health: Health,
    /// What they say of a version that was restored.
    pub rollback_health: RollbackHealth,
    /// Why a tier of the lease could not be measured here, if it could not.
    pub unmeasured: Option<Refusal>,
    /// Why a halt that no person made has been left for too long, if it has.
    pub left_halted: Option<Refusal>,
}

/// Whether a lease can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pack {
    /// There is no pack.
    Missing,
    /// There is one, and restoring it was tried dry.
    Rehearsed,
}

/// What is seen of a restored target, compared with the pack: roles and bytes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackMatch {
    /// Nobody could tell, or nothing was restored.
    Unknown,
    /// It is what was there before.
    AsPacked,
    /// It is not, and how.
    Differs(Refusal),
}

/// What is to be done. At most one act a decision; the next decision observes anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Keep,
    /// Take and rehearse the rollback pack, then decide again.
    Pack,
    /// Move the target.
    Shift {
        /// The target tier; `None` for 0 %.
        tier: Option<usize>,
        /// The weight in basis points.
        weight_bp: u32,
        /// The transition that asks for it.
        step: u32,
    },
    /// Weight to zero, then restore what was there before.
    Restore,
    /// Look whether what was restored is still there; then the rollback is verified, or it failed.
    Verify,
    /// What was restored is not healthy, or nobody could tell in time: the rollback failed.
    GiveUp,
    /// Sign a rollback of our own, because the lease's window closed; binding from then on.
    Expire,
    /// Sign a stop of our own, because metrics say so, or because a halt was left for too long; binding from then on.
    Stop(StopKind),
}

/// An act, with what to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is to be done.
    pub act: Act,
    /// What that is called.
    pub doing: Doing,
    /// Why not more.
    pub reason: Option<Refusal>,
    /// Whether the target has been found where nobody put it.
    pub drifted: bool,
}

impl Decision {
    pub(super) fn new(act: Act, doing: Doing) -> Self {
        Self { act, doing, reason: None, drifted: false }
    }

    pub(super) fn hold(reason: Refusal) -> Self {
        Self { act: Act::Keep, doing: Doing::Holding, reason: Some(reason), drifted: false }
    }
}
