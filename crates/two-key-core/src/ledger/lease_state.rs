//! The state of one lease: its votes, what happened, and what was pinned when it started.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::model::{
    Digest, GateId, LeaseId, Proposed, TargetId,
    lease::Lease,
    policy::{Decimal, DriftBelow, DriverKind, Gate, Policy, Rule, Threshold},
};

use super::{
    lifecycle::{Phase, Transition},
    proposal::Proposer,
    quorum::Quorum,
    vote::{Ballot, Votes},
};

/// What is pinned of a target when a lease starts there, so that no later policy disarms a running rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedTerms {
    /// How traffic is moved; none where the policy did not name the target.
    pub driver: Option<DriverKind>,
    /// The gates that each tier must pass.
    pub gates: BTreeMap<GateId, Gate>,
    /// The auto-halt limits: the target's own, and those of the policy that it does not have itself.
    pub thresholds: BTreeMap<GateId, Threshold>,
    /// Those that are not the target's own: they are for targets that measure them, and hold no other.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub if_measured: BTreeSet<GateId>,
    /// Who moves it forward, where the target has a rule of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<Rule>,
    /// The chance that a healthy lease is stopped by a test: shared among all gates, limits and tiers.
    pub false_alarms: Decimal,
    /// What becomes of traffic that somebody took off the candidate.
    pub drift_below: DriftBelow,
}

impl PinnedTerms {
    /// What a start now would pin of a target.
    pub fn of(policy: &Policy, target: &TargetId) -> Self {
        let known = policy.targets.get(target);
        let gates = known.map(|known| known.gates.as_slice()).unwrap_or_default();
        let gate = |id: &GateId| Some((id.clone(), policy.gates.get(id)?.clone()));
        let own = known.map(|known| known.thresholds.clone()).unwrap_or_default();
        let if_measured = policy.thresholds.keys().filter(|name| !own.contains_key(*name) && !gates.contains(name));
        let if_measured = if_measured.cloned().collect();
        let mut thresholds = policy.thresholds.clone();
        thresholds.extend(own);
        Self {
            driver: known.map(|known| known.driver),
            gates: gates.iter().filter_map(gate).collect(),
            thresholds,
            if_measured,
            promote: known.and_then(|known| known.rules.promote.clone()),
            false_alarms: policy.false_alarms,
            drift_below: known.map(|known| known.drift_below).unwrap_or_default(),
        }
    }
}

impl PinnedTerms {
    /// The same without any limits: its gates alone.
    #[must_use]
    pub fn without_limits(mut self) -> Self {
        self.thresholds.clear();
        self.if_measured.clear();
        self
    }

    /// The same without limits of the policy that are not measured: they are for targets where they are.
    #[must_use]
    pub fn where_measured(mut self, is_measured: impl Fn(&GateId) -> bool) -> Self {
        self.if_measured.retain(|name| {
            let kept = is_measured(name);
            if !kept {
                self.thresholds.remove(name);
            }
            kept
        });
        self
    }
}

/// A lease that some key has been turned for (or against).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseState {
    /// Its id.
    pub id: LeaseId,
    /// Its bytes, from the first counted vote on. None only for a lease that was withdrawn before any vote.
    pub pinned: Option<Arc<Proposed<Lease>>>,
    /// Who brought those bytes.
    pub proposer: Proposer,
    /// Where it is.
    pub phase: Phase,
    /// The votes that authorize it.
    pub cosigned: Votes,
    /// What its rule asked for when it started or was withdrawn: the votes are as they were counted then. None before that.
    pub quorum: Option<Quorum>,
    /// Votes for its next step, by statement.
    pub pending: BTreeMap<Digest, Ballot>,
    /// What happened, in order; the next step's number is one more than there are.
    pub transitions: Vec<Transition>,
    /// How many transitions before those were forgotten.
    pub(in crate::ledger) forgotten: u32,
    /// What is pinned of its target, from its start on.
    pub terms: Option<Box<PinnedTerms>>,
    /// The lease whose start on the same target completed this one.
    pub superseded_by: Option<LeaseId>,
    /// What its target was at when it started: the lease to which it falls back.
    pub falls_back_to: Option<LeaseId>,
}

impl LeaseState {
    /// The number of the step that comes next.
    pub fn next_step(&self) -> u32 {
        u32::try_from(self.transitions.len()).unwrap_or(u32::MAX).saturating_add(self.forgotten).saturating_add(1)
    }

    /// The lease.
    pub fn lease(&self) -> Option<&Lease> {
        self.pinned.as_ref().map(|pinned| pinned.get())
    }

    /// The weight that the ledger wants for it, in percent.
    pub fn weight(&self) -> u8 {
        match self.phase {
            Phase::Completed => 100,
            Phase::Rolling { tier } | Phase::Paused { tier } => {
                self.lease().and_then(|lease| lease.tiers.get(tier)).map_or(0, |tier| tier.weight)
            }
            _ => 0,
        }
    }
}
