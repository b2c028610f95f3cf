//! Context of a judgement: one lease at one tier.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ledger::rules,
    model::{GateId, LeaseId, TargetId, document::Span, lease::Lease, policy::Policy},
};

/// One lease at one tier, from the moment on that the target was seen there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierContext {
    /// The lease.
    pub lease: LeaseId,
    /// Where it is rolled out to.
    pub target: TargetId,
    /// What `{{candidate}}` becomes: the commit that rolls out, else the first artifact's digest.
    pub candidate: String,
    /// What `{{stable}}` becomes: the commit that ran before; without one, the word `stable`.
    pub stable: Option<String>,
    /// The tier's weight in percent.
    pub tier: u8,
    /// When the target was first seen at the tier.
    pub started: Timestamp,
    /// How long the tier is watched; tests that look once look when it is over.
    pub bake: Span,
    /// How many tiers the lease has: the rate of false alarms is shared among them.
    pub tiers: u32,
    /// Whether it is the lease's last tier, at which nothing else serves to compare with.
    pub last: bool,
    /// What the declared risk multiplies minimum samples by; at least 1.
    pub samples: u32,
    /// Which of the versions is measured.
    #[serde(default, skip_serializing_if = "MeasuredVersion::is_candidate")]
    pub subject: MeasuredVersion,
    /// What else queries may name.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub names: Names,
    /// What the rollback pack recorded of the version before, by gate: compared with only where nothing else serves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recorded: BTreeMap<GateId, Recorded>,
}

/// What else queries may name: what `{{candidate-pool}}`, `{{label.NAME}}` and the like become.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// The pools of the target, as its driver names them; none where it has none, or nobody here knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Pools>,
    /// The lease's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The digests of the lease's artifacts, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<String, String>,
}

impl Names {
    fn of(lease: &Lease) -> Self {
        let artifacts = lease.artifacts.iter().map(|artifact| (artifact.name.clone(), artifact.digest.to_string()));
        Self { pools: None, labels: lease.labels.clone(), artifacts: artifacts.collect() }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who serves which version at a target: the name of an upstream or backend, or servers' names as a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// The candidate's.
    pub candidate: String,
    /// The one that served before.
    pub stable: String,
}

/// Which version is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MeasuredVersion {
    /// What rolls out.
    #[default]
    Candidate,
    /// What ran before, as each gate's baseline is measured.
    Stable,
}

impl MeasuredVersion {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_candidate(&self) -> bool {
        *self == Self::Candidate
    }
}

/// What was measured of the version before, before the first shift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Recorded {
    /// For count-ratio gates: bad events of all events.
    Counts {
        /// Bad events.
        bad: f64,
        /// All events.
        total: f64,
    },
    /// For sample gates.
    Observations(Vec<f64>),
}

impl TierContext {
    /// The context of a lease's tier under the policy now in force; none if the lease has no such tier.
    pub fn new(policy: &Policy, lease: &Lease, tier: usize, started: Timestamp) -> Option<Self> {
        let this = lease.tiers.get(tier)?;
        let candidate = match (&lease.change, lease.artifacts.first()) {
            (Some(change), _) => change.to.to_string(),
            (None, Some(artifact)) => artifact.digest.to_string(),
            (None, None) => return None,
        };
        Some(Self {
            lease: lease.id.clone(),
            target: lease.target.clone(),
            candidate,
            stable: lease.change.as_ref().map(|change| change.from.to_string()),
            tier: this.weight,
            started,
            bake: this.bake,
            tiers: u32::try_from(lease.tiers.len()).unwrap_or(u32::MAX),
            last: lease.is_last_tier(tier),
            samples: rules::demanded_terms(policy, lease).samples.unwrap_or(1).max(1),
            subject: MeasuredVersion::Candidate,
            names: Names::of(lease),
            recorded: BTreeMap::new(),
        })
    }

    /// The same for the version that ran before, while it is the only one that serves: before the first shift, and after
    /// a restoration. There is no bake to wait for; the window begins when it does.
    #[must_use]
    pub fn of_stable(self) -> Self {
        Self { subject: MeasuredVersion::Stable, last: true, bake: Span::seconds(0), recorded: BTreeMap::new(), ..self }
    }

    /// The same where it is known who serves which version.
    #[must_use]
    pub fn with_pools(self, pools: Option<Pools>) -> Self {
        Self { names: Names { pools, ..self.names }, ..self }
    }

    /// What `{{stable}}` becomes.
    pub(super) fn stable(&self) -> &str {
        self.stable.as_deref().unwrap_or("stable")
    }
}
