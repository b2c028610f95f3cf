//! State of an applier: what any follower remembers, and what was applied. Killed at any instruction, the next run
//! reads it, observes, and converges.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    follower::{records::RecordedEvent, state::FollowerState},
    model::{LeaseId, Oid, TargetId},
};

use super::applied::Applied;

/// What an applier remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ApplierState {
    /// What it knows of the repository.
    #[serde(flatten)]
    pub follower: FollowerState,
    /// Leases that were seen to expire, as long as they have not ended: no clock that is set back opens one again.
    #[serde(default)]
    pub expired: BTreeSet<LeaseId>,
    /// What was applied, by target.
    pub targets: BTreeMap<TargetId, Applied>,
    /// What happened and is in no record yet.
    #[serde(default)]
    pub events: Vec<RecordedEvent>,
}

impl AsRef<FollowerState> for ApplierState {
    fn as_ref(&self) -> &FollowerState {
        &self.follower
    }
}

impl ApplierState {
    /// Of an applier that has not done anything yet.
    pub fn new(root: Oid) -> Self {
        Self {
            follower: FollowerState::new(root),
            expired: BTreeSet::new(),
            targets: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Whether it says nothing that an earlier one did not: the times of looking aside. A bake is credited from look to
    /// look, so one that is found as it was a while ago goes on from there.
    pub fn says_the_same_as(&self, earlier: &Self) -> bool {
        let same = |(target, applied): (&TargetId, &Applied)| {
            earlier.targets.get(target).is_some_and(|before| applied.differs_by_looks_only(before))
        };
        self.follower.says_the_same_as(&earlier.follower)
            && self.events == earlier.events
            && self.expired == earlier.expired
            && self.targets.len() == earlier.targets.len()
            && self.targets.iter().all(same)
    }
}
