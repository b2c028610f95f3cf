//! The checks of a rollback, as records tell them. What they are made by is the reconciler's to know.

use serde::{Deserialize, Serialize};

use crate::model::Refusal;

/// The five checks of a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Checks {
    /// What is observed is what the pack says was observed, and that is of the lease that the ledger falls back to.
    pub observed: Check,
    /// Every probe at the real entrance is served the old version.
    pub probes: Check,
    /// The old version is as healthy as the pack says that it was, over a fresh window with enough samples.
    pub health: Check,
    /// The candidate serves nothing.
    pub candidate: Check,
    /// The target's configuration is what it was, byte for byte.
    pub configuration: Check,
}

/// How one check came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Check {
    /// Whether it holds.
    pub outcome: CheckOutcome,
    /// What was found.
    pub message: String,
}

/// Whether a check holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// It does.
    Passed,
    /// It does not, or that is unknown.
    Failed,
    /// There is nothing to check it by: no probes were configured, the lease has no gates, or nobody sees the traffic.
    NotConfigured,
    /// It is being made.
    #[serde(alias = "not-evaluated")]
    Pending,
}

/// What it means that no check of a rollback failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Traffic was seen to be back.
    Seen,
    /// What was there before is ordered again; nobody here sees whether traffic followed.
    Unseen,
    /// What was there before is ordered again, and traffic has not followed wholly.
    NotYet,
}

impl Check {
    /// It holds.
    pub(crate) fn passed(message: impl Into<String>) -> Self {
        Self { outcome: CheckOutcome::Passed, message: message.into() }
    }

    /// It does not hold.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { outcome: CheckOutcome::Failed, message: message.into() }
    }

    /// There is nothing to check it by.
    pub(crate) fn not_configured(message: impl Into<String>) -> Self {
        Self { outcome: CheckOutcome::NotConfigured, message: message.into() }
    }

    /// It is being made.
    pub(crate) fn pending(message: impl Into<String>) -> Self {
        Self { outcome: CheckOutcome::Pending, message: message.into() }
    }

    pub(crate) fn of(found: Result<String, Refusal>) -> Self {
        match found {
            Ok(message) => Self::passed(message),
            Err(refusal) => Self::failed(refusal.message),
        }
    }
}

impl Checks {
    /// What the rollback came to, where none of the checks failed.
    pub(crate) fn holds(&self) -> Holds {
        match self.candidate.outcome {
            CheckOutcome::NotConfigured => Holds::Unseen,
            CheckOutcome::Pending => Holds::NotYet,
            CheckOutcome::Passed | CheckOutcome::Failed => Holds::Seen,
        }
    }

    /// Each with its name.
    pub fn all(&self) -> [(&'static str, &Check); 5] {
        [
            ("observed", &self.observed),
            ("probes", &self.probes),
            ("health", &self.health),
            ("candidate", &self.candidate),
            ("configuration", &self.configuration),
        ]
    }
}
