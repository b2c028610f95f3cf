//! Reason codes: one word for each way that something can fail to count.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why something does not count, is refused, or cannot be decided. The codes are part of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code that people and scripts read.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    // Form
    /// Bytes that are not in the strict form of what they claim to be.
    Malformed = "malformed",
    /// More bytes, refs or entries than are ever read.
    TooLarge = "too-large",
    /// A statement that nobody signed.
    Unsigned = "unsigned",
    /// A signature that does not verify over the statement's bytes.
    BadSignature = "bad-signature",
    // Fold
    /// A key that the policy in force does not list.
    UnknownKey = "unknown-key",
    /// A key whose principal's role may not do this.
    WrongRole = "wrong-role",
    /// A principal's name beside a key that is not that principal's.
    WrongPrincipal = "wrong-principal",
    /// A rule that is not satisfied, or a vote that its rule does not count.
    MissingRole = "missing-role",
    /// The same key for the same statement again.
    AlreadyVoted = "already-voted",
    /// Another key of a principal who has voted for this statement.
    SamePrincipal = "same-principal",
    /// One raw key in two places or two wrappings.
    SameKey = "same-key",
    /// A key that was taken out of force.
    RevokedKey = "revoked-key",
    /// A vote without the hardware presence that the rule asks for.
    HardwareRequired = "hardware-required",
    /// A vote by the proposer, or a lease whose proposer nobody knows, where the rule separates them.
    Proposer = "proposer",
    /// A digest of bytes that are not there.
    DigestMismatch = "digest-mismatch",
    /// A statement or file made for another repository.
    WrongRepository = "wrong-repository",
    /// A lease that is nowhere in the tree or the ledger.
    UnknownLease = "unknown-lease",
    /// A lease file whose bytes changed after the first vote pinned them.
    LeaseChanged = "lease-changed",
    /// A start without the lease's own two keys.
    NotAuthorized = "not-authorized",
    /// A step that is not the lease's next.
    StaleStep = "stale-step",
    /// A promotion to another tier than the next.
    TierSkipped = "tier-skipped",
    /// A transition that the lease's state does not have.
    WrongState = "wrong-state",
    /// A start before what it waits for on another target has completed.
    NotYet = "not-yet",
    /// A start on a target that another lease occupies.
    TargetBusy = "target-busy",
    /// A forward move during a freeze.
    Frozen = "frozen",
    /// A policy that does not follow the one in force.
    PolicyVersion = "policy-version",
    /// A policy or lease below the floors that nothing lowers.
    PolicyFloor = "policy-floor",
    /// A lease whose terms are looser than its declared risk demands.
    Risk = "risk",
    /// History that does not descend from the root.
    NotDescended = "not-descended",
    // Admission
    /// A tag that says something else than the ledger.
    TagMismatch = "tag-mismatch",
    /// A tag that was pointed elsewhere.
    TagMoved = "tag-moved",
    /// A governed ref that would lose commits.
    RefRewound = "ref-rewound",
    /// A governed ref that would be gone.
    RefDeleted = "ref-deleted",
    /// A merge whose first parent is not the governed branch's old tip.
    Foxtrot = "foxtrot",
    /// A ref in a governed name space that is not one of ours.
    ForeignRef = "foreign-ref",
    /// A lease whose window is over.
    Expired = "expired",
    /// A lease whose window has not begun.
    NotYetValid = "not-yet-valid",
    /// A forward vote by a key after its last day.
    KeyExpired = "key-expired",
    /// A move forward at a time at which its target is not moved.
    OutsideWindow = "outside-window",
    /// A commit dated ahead of the server's clock.
    FutureDated = "future-dated",
    /// A governed ref that would move otherwise than an admitted push asked for.
    Unjudged = "unjudged",
    /// A repository that lacks part of its history.
    Shallow = "shallow",
    // Applier
    /// No rehearsed rollback pack.
    NoPack = "no-pack",
    /// A health gate that says no.
    GateFailed = "gate-failed",
    /// A check of an agent's that says no.
    CheckFailed = "check-failed",
    /// A health gate that has nothing to judge.
    NoData = "no-data",
    /// Knowledge that is too old to act on.
    Stale = "stale",
    /// A clock that cannot be trusted.
    Clock = "clock",
    /// A target that is not where it was put.
    Drift = "drift",
    /// Another applier or another operation at work.
    Busy = "busy",
    // Surroundings
    /// A folder that is in no Git repository that can be used.
    NoRepository = "no-repository",
    /// A repository in which no ledger, or no governed branch, is found.
    NoLedger = "no-ledger",
    /// No key to sign with: none is configured, or its file is not there.
    NoKey = "no-key",
    /// A key that did not sign: a wrong passphrase, nobody to ask for it, an agent that does not have the key.
    NotSigned = "not-signed",
    /// A remote that gives no answer, or none that can be used.
    Unreachable = "unreachable",
    /// What another was asked to do and did not: a push that a remote refused without a hook of this program, a driver's program
    /// that failed.
    NotTaken = "not-taken",
    /// A name of something that is not there: a commit, a file, a remote, a program.
    NotFound = "not-found",
    /// A repository with objects that are missing or unreadable.
    Damaged = "damaged",
    /// A file, folder or connection that the operating system does not let be read or written.
    Io = "io",
    // Any
    /// A name that means more than one thing.
    Ambiguous = "ambiguous",
    /// No root pinned.
    Unpinned = "unpinned",
    /// A fault of this program.
    Internal = "internal",
}

impl Reason {
    /// Whether it says that something could not be decided, rather than that something was refused.
    pub const fn is_undecided(self) -> bool {
        matches!(
            self,
            Self::Stale
                | Self::Shallow
                | Self::NoRepository
                | Self::NoLedger
                | Self::NoKey
                | Self::NotSigned
                | Self::Unreachable
                | Self::NotTaken
                | Self::NotFound
                | Self::Damaged
                | Self::Io
                | Self::Internal
        )
    }

    /// The reason that a code names.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| serde::de::Error::custom(format!("`{code}` is no reason code")))
    }
}

impl JsonSchema for Reason {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Reason".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

/// Why something was refused: a code for scripts, a sentence for people, and where there is one, the way on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refusal {
    /// The code.
    pub reason: Reason,
    /// What happened, to what, and why, in one line.
    pub message: String,
    /// A command or a step that helps.
    pub hint: Option<String>,
    /// What another program said about it, in its own words and lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), hint: None, detail: None }
    }

    /// Adds what another program said, if it said anything.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into()).filter(|detail: &String| !detail.trim().is_empty());
        self
    }

    /// Adds the way on.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
    }
}
