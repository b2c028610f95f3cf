//! Failures of verbs, and the exit code of each.

use std::process::ExitCode;

use serde::Serialize;

use crate::{
    git::GitError,
    model::{Reason, Refusal},
    report::{Account, escaped},
};

/// Why a verb did not succeed. Exit codes: 1 refused, 2 wrong usage, 3 could not be decided, 4 stale, 5 not
/// stopped.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for does not hold or is not allowed (exit code 1).
    Refused {
        /// What was refused: a lease, a ref, a file.
        subject: String,
        /// Why.
        refusal: Refusal,
    },
    /// The arguments do not fit together (exit code 2).
    Usage(String),
    /// It could not be decided: repository, I/O, network, no root (exit code 3).
    Undecided(Refusal),
    /// Knowledge is too old to act on (exit code 4).
    Stale(Refusal),
    /// A stop could not be carried out: somebody may be served what nobody wants to be (exit code 5).
    Unstopped {
        /// The target.
        subject: String,
        /// Why.
        refusal: Refusal,
    },
    /// The verb has said already what is wrong.
    Said(u8),
}

impl Failure {
    /// A refusal about something.
    pub fn refused(subject: impl Into<String>, refusal: Refusal) -> Self {
        Self::Refused { subject: subject.into(), refusal }
    }

    /// Something around us that failed.
    pub fn undecided(reason: Reason, message: impl Into<String>) -> Self {
        Self::Undecided(Refusal::new(reason, message))
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Refused { .. } => 1,
            Self::Usage(_) => 2,
            Self::Undecided(_) => 3,
            Self::Stale(_) => 4,
            Self::Unstopped { .. } => 5,
            Self::Said(code) => *code,
        }
    }

    /// The exit code, for the process.
    pub fn exit(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The lines for people and scripts: `two-key: refused <subject>: <code>: <message>`, then a hint. `verb` is what was asked
    /// for.
    pub fn lines(&self, verb: &str) -> Option<String> {
        // Each part is one line, whatever strangers wrote into it; what another program said is folded underneath.
        let with_hint = |line: String, refusal: &Refusal| {
            let hint = refusal.hint.iter().map(|hint| format!("\nhint: {}", escaped(hint)));
            let detail = refusal.detail.iter().flat_map(|detail| detail.lines());
            let detail = detail.map(|line| format!("\n  | {}", escaped(line)));
            escaped(&line) + &hint.chain(detail).collect::<String>()
        };
        match self {
            Self::Refused { subject, refusal } => {
                Some(with_hint(format!("two-key: refused {subject}: {refusal}"), refusal))
            }
            Self::Usage(message) => {
                Some(format!("two-key: usage: {message}\nhint: see {}", format!("git two-key help {verb}").trim_end()))
            }
            Self::Undecided(refusal) => Some(with_hint(format!("two-key: undecided: {refusal}"), refusal)),
            // The code says no more than that.
            Self::Stale(refusal) => Some(with_hint(format!("two-key: stale: {}", refusal.message), refusal)),
            Self::Unstopped { subject, refusal } => {
                Some(with_hint(format!("two-key: NOT STOPPED {subject}: {refusal}"), refusal))
            }
            Self::Said(_) => None,
        }
    }

    /// The same as JSON, for verbs that were asked for JSON, with what was done all the same.
    pub fn json(&self, done: Option<Account>) -> Option<serde_json::Value> {
        #[derive(Serialize)]
        struct FailureObject<'a> {
            ok: bool,
            exit: u8,
            subject: Option<&'a str>,
            reason: Reason,
            message: &'a str,
            hint: Option<&'a str>,
            detail: Option<&'a str>,
            done: Option<Account>,
        }
        let (subject, refusal) = match self {
            Self::Refused { subject, refusal } | Self::Unstopped { subject, refusal } => {
                (Some(subject.as_str()), refusal)
            }
            Self::Undecided(refusal) | Self::Stale(refusal) => (None, refusal),
            Self::Usage(_) | Self::Said(_) => return None,
        };
        let object = FailureObject {
            ok: false,
            exit: self.code(),
            subject,
            reason: refusal.reason,
            message: &refusal.message,
            hint: refusal.hint.as_deref(),
            detail: refusal.detail.as_deref(),
            done,
        };
        serde_json::to_value(object).ok()
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        let what = match &error {
            GitError::Malformed { id, .. } | GitError::WrongKind { id, .. } => id.short(),
            GitError::TooLarge { what, .. } => what.clone(),
            _ => String::new(),
        };
        error.verdict().map_or_else(|error| Self::Undecided(error.refusal()), |refusal| Self::refused(what, refusal))
    }
}
