//! Leases: what one rollout may do, where, in which tiers, and until when.

mod read;
mod write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Digest, IntentId, LeaseId, Oid, RepositoryId, TargetId,
    document::{Labels, Span},
};

pub use read::{file_id, read, schema};
pub use write::write;

/// A valid lease. Valid means well formed; whether it is in force is the ledger's to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lease {
    /// The id; the file's name is `<id>.yaml`.
    pub id: LeaseId,
    /// The governance repository that it is made for.
    pub repository: RepositoryId,
    /// What it is for.
    pub intent: Option<IntentId>,
    /// Who proposes. Free text for people: nothing depends on it.
    pub actor: Option<String>,
    /// One line for people.
    pub summary: Option<String>,
    /// The change that is rolled out.
    pub change: Option<Change>,
    /// What will run. Never empty where there is no change.
    pub artifacts: Vec<Artifact>,
    /// Where it is rolled out to.
    pub target: TargetId,
    /// When the window opens.
    pub issued: Timestamp,
    /// When the window closes; later than `issued`.
    pub expires: Timestamp,
    /// Strictly increasing, the last 100; the first below 100, or the only one.
    pub tiers: Vec<Tier>,
    /// What has to have completed on other targets before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
    /// What the applier does when the window closes in the middle.
    pub on_expiry: OnExpiry,
    /// Whether it is moved outside its target's windows too, by one more human.
    #[serde(default)]
    pub exception: Exception,
    /// The highest tier, in percent, to which an agent alone may promote; never 100.
    pub agent_alone_up_to: u8,
    /// All that a driver may touch or run for this lease.
    pub scope: Scope,
    /// The declared risk.
    pub risk: Option<DeclaredRisk>,
    /// Free text for people.
    pub labels: Labels,
}

/// A change in some source repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where the repository is.
    pub repository: String,
    /// What ran before.
    pub from: Oid,
    /// What will run.
    pub to: Oid,
}

/// Something that will run, by the digest of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
}

/// One traffic weight and how long it must be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The weight in percent, 1 to 100.
    pub weight: u8,
    /// How long the tier is watched before the next.
    pub bake: Span,
}

/// Whether a lease is moved outside windows too. Then each move takes the promote rule with one more human.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Exception {
    /// `exception: true`.
    Taken,
    /// `exception: false`.
    #[default]
    NotTaken,
}

/// What has to have completed on another target before a lease starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The other target.
    pub target: TargetId,
    /// How far a lease has to be there.
    pub state: AfterState,
    /// What that lease has to have rolled out.
    pub artifacts: AfterArtifacts,
}

/// How far a lease on another target has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AfterState {
    /// It completed, and was not undone since.
    Completed,
}

/// What a lease on another target has to have rolled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AfterArtifacts {
    /// Anything.
    #[default]
    Any,
    /// At least the same artifacts, by name and digest.
    Same,
}

/// What happens when a lease's window closes before it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnExpiry {
    /// Roll back.
    Rollback,
    /// Keep the weight.
    Hold,
}

impl OnExpiry {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rollback, Self::Hold];

    /// The word in leases.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Hold => "hold",
        }
    }
}

/// All that a driver may touch or run for a lease; by default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scope {
    /// Files and folders.
    pub paths: Vec<String>,
    /// Programs, by absolute path.
    pub commands: Vec<String>,
    /// Environment variables that are passed on.
    pub env: Vec<String>,
}

/// The risk that the proposer declares; agents compute it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredRisk {
    /// Percentile among the repository's recent changes, 0 to 100.
    pub score: u8,
    /// The name of the model that gave the score.
    pub model: String,
    /// Policy factors beside the score, as the policy names them.
    pub factors: Vec<String>,
}

impl Lease {
    /// Its target, and those that it waits for.
    pub fn targets(&self) -> impl Iterator<Item = &TargetId> {
        std::iter::once(&self.target).chain(self.after.iter().map(|after| &after.target))
    }

    /// Whether it goes to all traffic in one step.
    pub fn is_all_at_once(&self) -> bool {
        self.tiers.first().is_some_and(|tier| tier.weight == 100)
    }

    /// Whether a lease rolled out what one that waits for it asks for.
    pub fn is_what(&self, waiting: &Self, asks: &After) -> bool {
        match asks.artifacts {
            AfterArtifacts::Any => true,
            AfterArtifacts::Same => waiting.artifacts.iter().all(|artifact| self.artifacts.contains(artifact)),
        }
    }

    /// The tier after the one at `index`, if there is one.
    pub fn tier_after(&self, index: usize) -> Option<Tier> {
        self.tiers.get(index + 1).copied()
    }

    /// Whether the tier at `index` is the last.
    pub fn is_last_tier(&self, index: usize) -> bool {
        index + 1 >= self.tiers.len()
    }
}
