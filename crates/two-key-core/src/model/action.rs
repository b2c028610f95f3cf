//! Actions: the thirteen things that a key can sign.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a statement asks for. The names are those of the statement's `Two-Key-Action` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Authorize a lease.
    Cosign,
    /// Begin a lease at its first tier.
    Start,
    /// Raise a lease to its next tier.
    Promote,
    /// Let a paused lease go on.
    Resume,
    /// End a lease that is at its last tier.
    Complete,
    /// Hold a lease at its weight.
    Pause,
    /// Take a lease's weight to zero and keep its instances.
    Halt,
    /// Restore what was there before the lease.
    Rollback,
    /// End a lease before it started.
    Withdraw,
    /// Put a policy in force.
    Policy,
    /// Take a key out of force for ever.
    Revoke,
    /// Stop every forward move in the repository.
    Freeze,
    /// End a freeze.
    Thaw,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 13] = [
        Self::Cosign,
        Self::Start,
        Self::Promote,
        Self::Resume,
        Self::Complete,
        Self::Pause,
        Self::Halt,
        Self::Rollback,
        Self::Withdraw,
        Self::Policy,
        Self::Revoke,
        Self::Freeze,
        Self::Thaw,
    ];

    /// The word used in statements, tags, JSON and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cosign => "cosign",
            Self::Start => "start",
            Self::Promote => "promote",
            Self::Resume => "resume",
            Self::Complete => "complete",
            Self::Pause => "pause",
            Self::Halt => "halt",
            Self::Rollback => "rollback",
            Self::Withdraw => "withdraw",
            Self::Policy => "policy",
            Self::Revoke => "revoke",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
        }
    }

    /// The action that a word names, in exactly the spelling of [`Action::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }

    /// Whether it comes too late once a lease's window has closed.
    pub const fn needs_window(self) -> bool {
        matches!(self, Self::Cosign | Self::Start | Self::Promote | Self::Resume)
    }

    /// Whether it raises what a lease gets of the traffic: what windows are for.
    pub const fn moves(self) -> bool {
        matches!(self, Self::Start | Self::Promote | Self::Resume)
    }

    /// Whether something goes forward by it: what a key past its last day is not turned for.
    pub const fn goes_forward(self) -> bool {
        !self.stops() && !matches!(self, Self::Revoke)
    }

    /// Whether one key suffices because the action only ever stops something.
    pub const fn stops(self) -> bool {
        matches!(self, Self::Pause | Self::Halt | Self::Rollback | Self::Withdraw | Self::Freeze)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
