//! Output of the fold: events (what took effect) and findings (what did not count, and why).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        Action, Digest, Fingerprint, LeaseId, Oid, PrincipalId, Proposed, Reason, Refusal,
        policy::{Policy, Role},
    },
    signature::Carrier,
};

use super::{proposal::InForce, vote::Vote};

/// The path of a finding about all lease files together.
pub(in crate::ledger) const LEASES: &str = "leases";

/// The names of the audit trail's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventKind {
    /// A key was turned to authorize a lease.
    Cosigned,
    /// A key was turned for a step, a policy or the end of a freeze, and waits for others.
    Voted,
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
    pub const ALL: [Self; 26] = [
        Self::Cosigned,
        Self::Voted,
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
            Self::Voted => "VOTED",
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub event: EventKind,
    /// The first-parent commit that put it in force.
    pub commit: Oid,
    /// What a vote that waits for others is for.
    pub action: Option<Action>,
    /// The lease.
    pub lease: Option<LeaseId>,
    /// The step number that the transition took, or that a vote is for.
    pub step: Option<u32>,
    /// The tier that it went to, or that a vote is for, in percent.
    pub tier: Option<u8>,
    /// Every vote that it rests on, by principal; none for what another event implies.
    pub votes: Vec<EventVote>,
    /// The vote that put it in force: the commit that carried it, and whose it is.
    pub last: Option<(Oid, PrincipalId)>,
    /// What it changes beside leases.
    pub change: Option<Box<GovernanceChange>>,
}

impl Event {
    /// The vote that put it in force.
    pub fn last_vote(&self) -> Option<&EventVote> {
        let (_, principal) = self.last.as_ref()?;
        self.votes.iter().find(|vote| vote.principal == *principal)
    }
}

/// A vote as an event tells of it: a [`Vote`] without its signature, which is in the commit that carried it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventVote {
    /// Whose key it was.
    pub principal: PrincipalId,
    /// That principal's role.
    pub role: Role,
    /// Which key.
    pub key: Fingerprint,
    /// How the signature came.
    pub carrier: Carrier,
    /// The commit that carried it.
    pub carried_by: Oid,
    /// When the signer says that it was, in seconds since 1970.
    pub claimed_time: Option<i64>,
    /// Why, in the signer's words.
    pub reason: Option<String>,
    /// The digest of the evidence that the signer names.
    pub evidence: Option<Digest>,
}

impl From<&Vote> for EventVote {
    fn from(vote: &Vote) -> Self {
        Self {
            principal: vote.principal.clone(),
            role: vote.role,
            key: vote.key.fingerprint(),
            carrier: vote.carrier,
            carried_by: vote.commit,
            claimed_time: vote.claimed_time,
            reason: vote.reason.clone(),
            evidence: vote.evidence,
        }
    }
}

/// What an event changes, or a vote would change, beside leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GovernanceChange {
    /// Another policy is in force from the next step on.
    Policy {
        /// The one in force until then.
        from: InForce<Policy>,
        /// The one that follows it.
        to: Arc<Proposed<Policy>>,
    },
    /// A key is out of force for ever.
    Revoked {
        /// The key.
        key: Fingerprint,
        /// Whose it is.
        principal: PrincipalId,
        /// That principal's role.
        role: Role,
    },
}

/// Something that did not count. It altered nothing and taints nothing later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whether something came in force, and not only votes that wait for others.
    pub fn took_effect(&self) -> bool {
        self.events.iter().any(|event| event.event != EventKind::Voted)
    }

    /// The latest time that anything in it is claimed to be of, in seconds since 1970; the last that there is where one of them
    /// is none.
    pub fn newest_claim(&self) -> i64 {
        let of_votes = self.events.iter().filter_map(|event| event.last_vote()?.claimed_time);
        let is_time = |time: &i64| jiff::Timestamp::from_second(*time).is_ok();
        of_votes
            .chain([self.claimed_time])
            .map(|time| if is_time(&time) { time } else { i64::MAX })
            .max()
            .unwrap_or(i64::MAX)
    }

    /// Whether a stop took effect in this step.
    pub fn stopped_something(&self) -> bool {
        use EventKind::{Frozen, Halted, Paused, RolledBack, Withdrawn};
        self.events.iter().any(|event| matches!(event.event, Frozen | Halted | Paused | RolledBack | Withdrawn))
    }
}
