//! How Git, or a program beside it, can fail us.

use crate::model::{Oid, Reason, Refusal};

/// Why something could not be read or written. Never a verdict: what it leaves open is *undecided* (exit code 3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// There is no repository here, or Git does not trust the one that is.
    #[error("{path} is not a Git repository that can be used: {stderr}")]
    NotARepository {
        /// Where it was looked for.
        path: String,
        /// What Git said.
        stderr: String,
    },
    /// An object that is needed is not there.
    #[error("object {0} is missing or unreadable")]
    MissingObject(Oid),
    /// An object's bytes do not have its id.
    #[error("object {0} is corrupt: its bytes have another id")]
    Corrupt(Oid),
    /// An object that Git cannot parse either: it links to nothing.
    #[error("{why} ({id})")]
    Malformed {
        /// The object.
        id: Oid,
        /// What is wrong with it.
        why: String,
    },
    /// An object of another kind than its place calls for.
    #[error("object {id} is a {found}, not a {wanted}")]
    WrongKind {
        /// The object.
        id: Oid,
        /// What it should have been.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A repository that lacks part of its history.
    #[error("the repository is shallow: part of the history that would have to be verified is not there")]
    Shallow,
    /// A repository that was cloned without some of its objects.
    #[error("the repository is a partial clone: objects that would have to be verified may not be here")]
    Partial,
    /// History that does not continue what it should continue.
    #[error("{tip} does not have {base} on its first-parent chain")]
    NotOnChain {
        /// Where the chain was to begin.
        base: Oid,
        /// Where it ends.
        tip: Oid,
    },
    /// More than is ever read.
    #[error("{what} is too large: at most {limit} are read")]
    TooLarge {
        /// What.
        what: String,
        /// How much would have been read.
        limit: String,
    },
    /// A ref that is not where it was expected: somebody else was quicker.
    #[error("{refname} could not be updated: {stderr}")]
    RefChanged {
        /// The ref, or all refs of the transaction.
        refname: String,
        /// What Git said.
        stderr: String,
    },
    /// A program that failed.
    #[error("`{command}` failed: {stderr}")]
    Program {
        /// The program and its arguments.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// A program that was ended because it took too long.
    #[error("`{command}` failed: it took longer than {} s", limit.as_secs_f64())]
    TimedOut {
        /// The program and its arguments.
        command: String,
        /// How long it might take.
        limit: std::time::Duration,
    },
    /// A program that answered in a form that it should not have.
    #[error("`{command}` gave an answer that makes no sense: {what}")]
    Answer {
        /// The program and its arguments.
        command: String,
        /// What is wrong with it.
        what: String,
    },
    /// A program that is not installed.
    #[error("`{0}` is not installed or not on the PATH")]
    NoProgram(String),
    /// A pinned root that is none.
    #[error("{from} is `{value}`, which is no commit id of this repository")]
    BadRoot {
        /// Where it is written.
        from: &'static str,
        /// What is written there.
        value: String,
    },
    /// No key to sign with.
    #[error("no key to sign with: {0}")]
    NoKey(String),
    /// A clone that does not take what was fetched.
    #[error("what was fetched cannot be written into {folder}, and is in {aside} for now: {why}")]
    Unwritten {
        /// The clone.
        folder: String,
        /// Where it is meanwhile.
        aside: String,
        /// What went wrong.
        why: String,
    },
    /// An error of the operating system.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: String,
        /// What went wrong.
        error: String,
    },
}

impl GitError {
    /// An error of the operating system while doing something.
    #[allow(clippy::needless_pass_by_value, reason = "taken by `map_err`")]
    pub(crate) fn io(doing: impl Into<String>, error: std::io::Error) -> Self {
        Self::Io { doing: doing.into(), error: error.to_string() }
    }

    /// The refusal of what was read, where it says what an object is rather than that it could not be read: whoever reads it
    /// finds the same, so something is decided.
    pub(crate) fn verdict(self) -> Result<Refusal, Self> {
        match self {
            Self::Malformed { .. } | Self::WrongKind { .. } | Self::TooLarge { .. } => Ok(self.refusal()),
            other => Err(other),
        }
    }

    /// The reason code, the sentence and the hint for people.
    pub fn refusal(&self) -> Refusal {
        let (reason, hint) = match self {
            Self::Shallow => (Reason::Shallow, Some("fetch the rest with: git fetch --unshallow")),
            Self::Partial => (Reason::Shallow, Some("clone it whole, without --filter")),
            Self::TooLarge { .. } => (Reason::TooLarge, Some("make it smaller, or push it in parts")),
            Self::Malformed { .. } | Self::WrongKind { .. } => (Reason::Malformed, None),
            Self::NotOnChain { .. } => {
                (Reason::Foxtrot, Some("merge the other way round: the old tip must be the merge's first parent"))
            }
            Self::RefChanged { .. } => (Reason::Stale, Some("fetch, then try again")),
            Self::MissingObject(_) | Self::Corrupt(_) => (Reason::Internal, Some("see what is wrong with: git fsck")),
            Self::NotARepository { .. } => {
                (Reason::Internal, Some("run it inside a governance repository, or found one with: git two-key init"))
            }
            Self::NoKey(_) => (Reason::Internal, Some("name one with --key FILE, or: git config user.signingkey FILE")),
            Self::BadRoot { .. } => (Reason::Unpinned, Some("pin it with: git two-key trust ROOT")),
            Self::Unwritten { .. } => {
                (Reason::Internal, Some("make room there, or let it be written: nothing goes forward before"))
            }
            Self::NoProgram(_)
            | Self::Program { .. }
            | Self::TimedOut { .. }
            | Self::Answer { .. }
            | Self::Io { .. } => (Reason::Internal, None),
        };
        let refusal = Refusal::new(reason, self.to_string());
        match hint {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
    }
}
