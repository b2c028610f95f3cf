//! A rule's quorum: how many humans and agents it asked for, and which places of groups nobody filled.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{GroupId, PrincipalId};

/// Places that a rule keeps for groups, and that nobody fills yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPlaces {
    /// The group; several where somebody of any of them would do.
    pub groups: Vec<GroupId>,
    /// How many.
    pub places: usize,
    /// Who of them could still fill one.
    pub could: BTreeSet<PrincipalId>,
}

/// What a rule asked for when its count was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// How many humans.
    pub humans: usize,
    /// How many agents.
    pub agents: usize,
    /// The places of groups that nobody filled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenPlaces>,
}
