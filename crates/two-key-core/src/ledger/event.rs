//! What the fold reports: events (what took effect) and findings (what did not count, and why).

use serde::Serialize;

use crate::model::{Action, Digest, Fingerprint, LeaseId, Oid, PrincipalId, Reason, Refusal};

/// The path of a finding about all lease files together.
pub(in crate::ledger) const LEASES: &str = "leases";

/// The names of the audit trail's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventKind {
    /// A key was turned for a lease.
    Cosigned,
    /// A lease has the keys that its rule asks for.
    #[serde(rename = "VERIFIED_2KEY")]
    Verified2Key,
    /// A lease began at its first tier.
    Started,
    /// A lease holds.
    Paused,
    /// A lease goes on.
    Resumed,
    /// A lease's weight went to zero.
    Halted,
    /// A lease went to its next tier.
    CanaryPromoted,
    /// A lease ended at its last tier.
    Completed,
    /// A lease was undone.
    RolledBack,
    /// A lease ended before it began.
    Withdrawn,
    /// Another policy is in force from the next step on.
    PolicyChanged,
    /// A key is out of force for ever.
    KeyRevoked,
    /// Every forward move is stopped.
    Frozen,
    /// The freeze ended.
    Thawed,
    /// Something did not count.
    Refused,
    /// An applier took a rollback pack.
    Packed,
    /// An applier moved a target.
    Applied,
    /// A gate passed.
    GatePassed,
    /// A gate failed.
    GateFailed,
    /// A target was found where nobody put it.
    Drifted,
    /// A lease's window closed.
    Expired,
    /// A rollback was carried out and checked.
    RollbackVerified,
    /// A rollback was carried out where nobody sees the traffic, and everything that can be checked is as it was before.
    RollbackRestored,
    /// A rollback was carried out and is not what was there before.
    RollbackFailed,
    /// A stop could not be carried out: the candidate may have weight that nobody wants it to have.
    StopFailed,
}

impl EventKind {
    /// All of them, in the order in which a lease meets them.
    pub const ALL: [Self; 25] = [
        Self::Cosigned,
        Self::Verified2Key,
        Self::Started,
        Self::Paused,
        Self::Resumed,
        Self::Halted,
        Self::CanaryPromoted,
        Self::Completed,
        Self::RolledBack,
        Self::Withdrawn,
        Self::PolicyChanged,
        Self::KeyRevoked,
        Self::Frozen,
        Self::Thawed,
        Self::Refused,
        Self::Packed,
        Self::Applied,
        Self::GatePassed,
        Self::GateFailed,
        Self::Drifted,
        Self::Expired,
        Self::RollbackVerified,
        Self::RollbackRestored,
        Self::RollbackFailed,
        Self::StopFailed,
    ];

    /// The name in the audit trail.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cosigned => "COSIGNED",
            Self::Verified2Key => "VERIFIED_2KEY",
            Self::Started => "STARTED",
            Self::Paused => "PAUSED",
            Self::Resumed => "RESUMED",
            Self::Halted => "HALTED",
            Self::CanaryPromoted => "CANARY_PROMOTED",
            Self::Completed => "COMPLETED",
            Self::RolledBack => "ROLLED_BACK",
            Self::Withdrawn => "WITHDRAWN",
            Self::PolicyChanged => "POLICY_CHANGED",
            Self::KeyRevoked => "KEY_REVOKED",
            Self::Frozen => "FROZEN",
            Self::Thawed => "THAWED",
            Self::Refused => "REFUSED",
            Self::Packed => "PACKED",
            Self::Applied => "APPLIED",
            Self::GatePassed => "GATE_PASSED",
            Self::GateFailed => "GATE_FAILED",
            Self::Drifted => "DRIFTED",
            Self::Expired => "EXPIRED",
            Self::RollbackVerified => "ROLLBACK_VERIFIED",
            Self::RollbackRestored => "ROLLBACK_RESTORED",
            Self::RollbackFailed => "ROLLBACK_FAILED",
            Self::StopFailed => "STOP_FAILED",
        }
    }
}

/// Something that took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// What happened.
    pub event: EventKind,
    /// The first-parent commit that put it in force.
    pub commit: Oid,
    /// The commit whose signature did it, where one did.
    pub carrier: Option<Oid>,
    /// The lease.
    pub lease: Option<LeaseId>,
    /// The step number that the transition took.
    pub step: Option<u32>,
    /// The tier that it went to, in percent.
    pub tier: Option<u8>,
    /// Whose key it was.
    pub principal: Option<PrincipalId>,
    /// Which key.
    pub key: Option<Fingerprint>,
    /// When the signer says that it was, in seconds since 1970.
    pub claimed_time: Option<i64>,
    /// Why, in the signer's words.
    pub reason: Option<String>,
    /// The digest of the evidence that the signer names.
    pub evidence: Option<Digest>,
}

/// Something that did not count. It altered nothing and taints nothing later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The first-parent commit in whose step it stood.
    pub commit: Oid,
    /// The commit that carried it; the same as `commit` for files.
    pub carrier: Oid,
    /// The lease that it is about, if that is known.
    pub lease: Option<LeaseId>,
    /// What it asked for, if that is known.
    pub action: Option<Action>,
    /// The path of the file, if it is about a file.
    pub path: Option<String>,
    /// Who it claims to be from.
    pub claims: Option<PrincipalId>,
    /// Why it does not count.
    #[serde(flatten)]
    pub refusal: Refusal,
}

impl Finding {
    /// Whether what it found keeps later files from being looked at: that is more than to have no effect.
    pub fn hides_files(&self) -> bool {
        self.refusal.reason == Reason::TooLarge && self.path.as_deref() == Some(LEASES)
    }
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The first-parent commit.
    pub commit: Oid,
    /// Its committer time in seconds since 1970, as claimed.
    pub claimed_time: i64,
    /// What took effect, in the order in which it did.
    pub events: Vec<Event>,
    /// What did not count.
    pub findings: Vec<Finding>,
}

impl StepReport {
    /// Whether a stop took effect in this step.
    pub fn stopped_something(&self) -> bool {
        use EventKind::{Frozen, Halted, Paused, RolledBack, Withdrawn};
        self.events.iter().any(|event| matches!(event.event, Frozen | Halted | Paused | RolledBack | Withdrawn))
    }
}
