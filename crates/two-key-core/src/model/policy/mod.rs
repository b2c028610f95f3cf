//! Policies: who may turn which key, and the targets, gates, thresholds and risk bands of a repository.

mod amend;
mod decimal;
mod gates;
mod loosened;
mod places;
mod read;
mod rules;
mod thresholds;
mod times;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Digest, GateId, PrincipalId, PublicKey, RawKey, RepositoryId, TargetId,
    document::{Labels, Span},
};

use crate::model::refs;

pub use amend::{Amendment, amend};
pub use decimal::{Decimal, USUAL_FALSE_ALARMS};
pub use gates::*;
pub use loosened::{Loosened, loosened};
pub use places::{FromGroup, Groups, Unfilled, unfilled};
pub use read::{read, schema};
pub use thresholds::{Limit, LimitSide, Threshold};
pub use times::{Day, Days, Minute, Window, Zone};
pub use write::{values, write};

/// A valid policy. Valid means well formed and not below the floors; whether it is in force is the ledger's to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    /// The governance repository's random id.
    pub repository: RepositoryId,
    /// Previous version + 1.
    pub version: u32,
    /// The digest of the policy that this one replaces; none in the first.
    pub previous: Option<Digest>,
    /// The governed branch, without `refs/heads/`.
    pub branch: String,
    /// Who has keys. No raw key stands twice, no name twice without regard to case.
    pub principals: BTreeMap<PrincipalId, Principal>,
    /// Names for several humans.
    pub groups: Groups,
    /// Who must turn a key for what, on every target that says nothing else.
    pub rules: Rules,
    /// A first tier up to this weight (percent) starts on the lease's own two keys plus one to begin.
    pub start_up_to: u8,
    /// The highest weight (percent, below 100) up to which leases may let an agent promote alone.
    pub delegable_up_to: u8,
    /// When leases are moved forward, on every target that says nothing else; at any time if there is none.
    pub windows: Vec<Window>,
    /// How long a lease keeps its labels after it has ended.
    pub keep: Span,
    /// What can be rolled out to.
    pub targets: BTreeMap<TargetId, Target>,
    /// The chance that a healthy lease is stopped by a test, above 0 and below 1: shared among all gates, limits and tiers.
    pub false_alarms: Decimal,
    /// Health conditions.
    pub gates: BTreeMap<GateId, Gate>,
    /// Auto-halt limits, by metric.
    pub thresholds: BTreeMap<GateId, Threshold>,
    /// What risk demands.
    pub risk: RiskPolicy,
    /// Free text for people.
    pub labels: Labels,
}

/// How long labels are kept where the policy does not say it, and the shortest that it may say.
pub const USUAL_KEEP: Span = Span::seconds(90 * 86_400);
pub(super) const LEAST_KEEP: Span = Span::seconds(86_400);

/// Somebody or something with keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The one role.
    pub role: Role,
    /// The keys, at least one.
    pub keys: Vec<PublicKey>,
    /// The last day on which any of them counts for what goes forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Day>,
    /// The last days of single keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last_days: BTreeMap<RawKey, Day>,
}

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person.
    Human,
    /// An automaton.
    Agent,
    /// A reconciler: counts for no rule, may stop its own targets.
    Applier,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Human, Self::Agent, Self::Applier];

    /// The word in policies and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Agent => "agent",
            Self::Applier => "applier",
        }
    }
}

/// The three rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Who authorizes a lease.
    pub cosign: Rule,
    /// Who raises a weight, resumes, thaws, and starts above `start-up-to`.
    pub promote: Rule,
    /// Who changes the policy. Two humans always suffice.
    pub policy: Rule,
}

/// The rules of one target; none means the policy's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TargetRules {
    /// Who authorizes a lease there.
    pub cosign: Option<Rule>,
    /// Who raises a weight there, resumes, and starts above `start-up-to`.
    pub promote: Option<Rule>,
}

/// How many principals of each role must turn a key, and which votes count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rule {
    /// How many humans; at least one (for policies: one human and one agent, or two humans).
    pub human: u8,
    /// How many agents.
    pub agent: u8,
    /// Which humans count; none means every human.
    pub humans: Option<BTreeSet<PrincipalId>>,
    /// Which agents count; none means every agent.
    pub agents: Option<BTreeSet<PrincipalId>>,
    /// Of the humans, at least so many from each group, by distinct persons; together no more than `human`.
    pub from: Vec<FromGroup>,
    /// Which human signatures count.
    pub hardware: Hardware,
    /// Which human signatures count.
    pub deliberate: Deliberate,
    /// Whether the proposer's vote counts.
    pub separate_proposer: SeparateProposer,
}

/// Whether a rule counts humans only by a hardware key's signature, whose flags say that its secret stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hardware {
    /// `hardware: false`.
    NotRequired,
    /// `hardware: true`, or `presence`: somebody touched it.
    Presence,
    /// `hardware: verified`: it checked who that was, too.
    Verified,
}

/// Whether a rule counts humans only by a signature made for this purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deliberate {
    /// `deliberate: true`.
    Required,
    /// `deliberate: false`.
    NotRequired,
}

/// Whether a rule wants a known proposer and leaves it out of the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeparateProposer {
    /// `separate-proposer: true`.
    Required,
    /// `separate-proposer: false`.
    NotRequired,
}

/// Something that can be rolled out to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// How traffic is moved.
    pub driver: DriverKind,
    /// Who moves it.
    pub applier: Option<PrincipalId>,
    /// The gates that each tier must pass.
    pub gates: Vec<GateId>,
    /// Who must turn a key for leases there, where that differs from the policy's rules.
    pub rules: TargetRules,
    /// Auto-halt limits of this target alone. They have to be measured, where the policy's own are for targets that measure them.
    pub thresholds: BTreeMap<GateId, Threshold>,
    /// When leases are moved forward there; none means the policy's.
    pub windows: Vec<Window>,
    /// Whether leases may go to all traffic in one step.
    pub all_at_once: AllAtOnce,
    /// What becomes of traffic that somebody took off the candidate.
    pub drift_below: DriftBelow,
}

/// Whether leases on a target may have the single tier 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AllAtOnce {
    /// `all-at-once: true`.
    Allowed,
    /// `all-at-once: false`.
    #[default]
    Refused,
}

/// What an applier does with a candidate that is seen below what was applied last. Weight above it is always put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriftBelow {
    /// It stays there until a key is turned: somebody took traffic off, and knows why.
    #[default]
    Kept,
    /// It is brought back to what was applied last, where nothing speaks against a forward move: nobody takes traffic off by hand.
    Restored,
}

impl DriftBelow {
    /// The word in policies.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Restored => "restored",
        }
    }
}

/// How traffic is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriverKind {
    /// One JSON file, replaced atomically.
    File,
    /// Any program.
    Exec,
    /// HAProxy's runtime socket.
    Haproxy,
    /// A rendered split and a reload.
    Nginx,
    /// A deploy repository.
    Git,
}

impl DriverKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::File, Self::Exec, Self::Haproxy, Self::Nginx, Self::Git];

    /// The word in policies and configurations.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Exec => "exec",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Git => "git",
        }
    }
}

/// What declared risk demands of a lease. Only ever tightens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RiskPolicy {
    /// The model whose scores are accepted; none means that leases need not declare a risk.
    pub model: Option<String>,
    /// Path patterns whose touching is a factor.
    pub sensitive: Vec<String>,
    /// Demands from a score on; every band whose `from` is reached applies.
    pub bands: Vec<Band>,
    /// Demands of a factor, by its name.
    pub factors: BTreeMap<String, Terms>,
}

/// Demands from a score on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// The lowest score that it applies to, 0 to 100.
    pub from: u8,
    /// What it demands.
    pub terms: Terms,
}

/// Tighter terms.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Terms {
    /// Every tier's bake is at least this.
    pub bake: Option<Span>,
    /// The first tier is at most this weight, in percent.
    pub first_tier: Option<u8>,
    /// Gates' minimum samples are multiplied by this; at least 1.
    pub samples: Option<u32>,
    /// That many more humans for cosign and promote.
    pub humans: u8,
}

impl Policy {
    /// The principal that a raw key belongs to.
    pub fn owner(&self, key: RawKey) -> Option<(&PrincipalId, &Principal)> {
        self.principals.iter().find(|(_, principal)| principal.keys.iter().any(|own| own.raw() == key))
    }

    /// Every key with its principal.
    pub fn keys(&self) -> impl Iterator<Item = (&PrincipalId, &Principal, &PublicKey)> {
        self.principals.iter().flat_map(|(id, principal)| principal.keys.iter().map(move |key| (id, principal, key)))
    }

    /// Who authorizes leases on a target.
    pub fn cosign_rule(&self, target: &TargetId) -> &Rule {
        self.targets.get(target).and_then(|known| known.rules.cosign.as_ref()).unwrap_or(&self.rules.cosign)
    }

    /// Whether leases on a target may go to all traffic in one step.
    pub fn all_at_once(&self, target: &TargetId) -> AllAtOnce {
        self.targets.get(target).map_or(AllAtOnce::Refused, |known| known.all_at_once)
    }

    /// Who moves leases on a target forward.
    pub fn promote_rule(&self, target: &TargetId) -> &Rule {
        self.targets.get(target).and_then(|known| known.rules.promote.as_ref()).unwrap_or(&self.rules.promote)
    }

    /// The governed branch's full ref name.
    pub fn branch_ref(&self) -> String {
        format!("{}{}", refs::HEADS, self.branch)
    }
}
