//! Refusals: why an agent did not sign, in its own signed words.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::words::escaped;

/// Why an agent did not turn its key for a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefusalView {
    /// The agent.
    pub agent: String,
    /// When it looked, as it claims, RFC 3339.
    pub at: String,
    /// Each check that fails.
    pub reasons: Vec<RefusalReason>,
}

/// One check that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefusalReason {
    /// The check.
    pub check: String,
    /// The reason code.
    pub reason: String,
    /// Why, in one line.
    pub message: String,
}

/// `; refused by cp14 (change, risk)`, or nothing.
pub(super) fn short(refusals: &[RefusalView]) -> String {
    let one = |refusal: &RefusalView| {
        let checks: Vec<_> = refusal.reasons.iter().map(|reason| reason.check.as_str()).collect();
        format!("; refused by {} ({})", refusal.agent, escaped(&checks.join(", ")))
    };
    refusals.iter().map(one).collect()
}

/// A section of `show`, or nothing.
pub(super) fn section(refusals: &[RefusalView]) -> String {
    if refusals.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nRefused\n");
    for refusal in refusals {
        let _ = writeln!(text, "  {}, claims {}", refusal.agent, refusal.at);
        for reason in &refusal.reasons {
            let (check, message) = (escaped(&reason.check), escaped(&reason.message));
            let _ = writeln!(text, "      {check}: {}: {message}", escaped(&reason.reason));
        }
    }
    text
}
