//! Agent state: what any follower remembers, and what was measured.
//!
//! Losing it costs the samples of the tiers that are watched, nothing else: what is wanted, who voted and what stopped
//! are in the repository.

use std::collections::BTreeMap;

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
    /// The proposal that the next look goes on with; none to begin with the first.
    #[serde(default)]
    pub(super) next: Option<LeaseId>,
}

impl AsRef<FollowerState> for AgentState {
    fn as_ref(&self) -> &FollowerState {
        &self.follower
    }
}

impl AgentState {
    /// Of an agent that has not done anything yet.
    pub(super) fn new(root: Oid) -> Self {
        Self { follower: FollowerState::new(root), watches: BTreeMap::new(), settled: BTreeMap::new(), next: None }
    }
}
