//! Agent state: what any follower remembers, and what was measured.
//!
//! Losing it costs the samples of the tiers that are watched, nothing else: what is wanted, who voted and what stopped
//! are in the repository.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    follower::state::FollowerState,
    gate::Watch,
    model::{LeaseId, Oid},
};

/// What an agent remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AgentState {
    /// What it knows of the repository.
    #[serde(flatten)]
    pub(super) follower: FollowerState,
    /// What was measured of the tiers that are watched, by lease.
    pub(super) watches: BTreeMap<LeaseId, Watch>,
    /// The same since the target was last found elsewhere.
    #[serde(default)]
    pub(super) settled: BTreeMap<LeaseId, Watch>,
    /// Proposals in the order in which they are looked at next: those that came first, and at the end those that were looked at.
    #[serde(default)]
    pub(super) queue: Vec<LeaseId>,
}

impl AsRef<FollowerState> for AgentState {
    fn as_ref(&self) -> &FollowerState {
        &self.follower
    }
}

impl AgentState {
    /// Of an agent that has not done anything yet.
    pub(super) fn new(root: Oid) -> Self {
        Self {
            follower: FollowerState::new(root),
            watches: BTreeMap::new(),
            settled: BTreeMap::new(),
            queue: Vec::new(),
        }
    }

    /// Knows what is proposed now: who waits keeps their place, and what is new waits behind them.
    pub(super) fn proposed(&mut self, now: Vec<LeaseId>) {
        let mut new: BTreeSet<LeaseId> = now.into_iter().collect();
        self.queue.retain(|id| new.remove(id));
        self.queue.extend(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_keeps_their_place_whatever_is_proposed_meanwhile() {
        let ids = |names: &[&str]| names.iter().map(|name| LeaseId::parse(name).unwrap()).collect::<Vec<_>>();
        let mut state = AgentState::new(Oid::Sha1([1; 20]));
        state.proposed(ids(&["b", "a", "z"]));
        assert_eq!(state.queue, ids(&["a", "b", "z"]));
        // One look comes to one of them, and as many are proposed anew, under names that come first.
        for (new, expected) in [("a0", ["b", "z", "a0"]), ("a1", ["z", "a0", "a1"]), ("a2", ["a0", "a1", "a2"])] {
            let done = state.queue.remove(0);
            let mut now: Vec<_> = state.queue.iter().rev().cloned().collect();
            now.extend(ids(&[new]));
            state.proposed(now);
            assert_eq!(state.queue, ids(&expected), "after {done}");
        }
        state.proposed(ids(&["a2"]));
        assert_eq!(state.queue, ids(&["a2"]), "what is no proposal any more waits no more");
    }
}
