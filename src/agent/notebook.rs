//! What an agent remembers in its own clone: `<git-dir>/two-key/agent/<name>/journal.json`.
//!
//! Losing it costs the samples of the tiers that are watched, nothing else: what is wanted, who voted and what stopped
//! are in the repository.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    gate::Watch,
    model::{LeaseId, Oid},
    reconciler::{clock::Reading, stops::SeenStop},
};

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Notebook {
    /// The form of the file.
    pub(super) version: u32,
    /// The root that all of it rests on.
    pub(super) root: Oid,
    /// The last accepted tip of the governed branch.
    pub(super) accepted: Option<Oid>,
    /// When the remote was last fetched.
    pub(super) fetched: Option<Reading>,
    /// The last look at the clocks.
    pub(super) clock: Option<Reading>,
    /// Stops that the ledger has not folded yet.
    pub(super) stops: Vec<SeenStop>,
    /// Tips below which every commit has been searched for stops.
    pub(super) searched: Vec<Oid>,
    /// What was measured of the tiers that are watched, by lease.
    pub(super) watches: BTreeMap<LeaseId, Watch>,
    /// The same since the target was last found elsewhere.
    #[serde(default)]
    pub(super) settled: BTreeMap<LeaseId, Watch>,
}

impl Notebook {
    /// The notebook of an agent that has not done anything yet.
    pub(super) fn new(root: Oid) -> Self {
        Self {
            version: 1,
            root,
            accepted: None,
            fetched: None,
            clock: None,
            stops: Vec::new(),
            searched: Vec::new(),
            watches: BTreeMap::new(),
            settled: BTreeMap::new(),
        }
    }
}
