//! Findings: what did not count, and why.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ledger::Finding;

use super::words::escaped;

/// A finding as programs read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingView {
    /// What it is about, as in the text form.
    pub subject: String,
    /// The reason's code.
    pub reason: String,
    /// What happened, to what, and why.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
    /// The first-parent commit in whose step it stood.
    pub commit: String,
    /// The commit that carried it.
    pub carrier: String,
    /// The lease, if that is known.
    pub lease: Option<String>,
    /// What it asked for, if that is known.
    pub action: Option<String>,
    /// The file, if it is about one.
    pub path: Option<String>,
    /// Who it claims to be from; nobody checked that where the reason says otherwise.
    pub claims: Option<String>,
}

impl FindingView {
    /// The finding's value.
    pub fn of(finding: &Finding) -> Self {
        Self {
            subject: finding_subject(finding),
            reason: finding.refusal.reason.code().to_owned(),
            message: finding.refusal.message.clone(),
            hint: finding.refusal.hint.clone(),
            commit: finding.commit.to_string(),
            carrier: finding.carrier.to_string(),
            lease: finding.lease.as_ref().map(ToString::to_string),
            action: finding.action.map(|action| action.word().to_owned()),
            path: finding.path.clone(),
            claims: finding.claims.as_ref().map(ToString::to_string),
        }
    }
}

/// What a finding is about: a file by its path, a vote by its carrier, action and lease.
pub fn finding_subject(finding: &Finding) -> String {
    if let Some(path) = &finding.path {
        return escaped(path);
    }
    let mut words = vec![finding.carrier.short()];
    words.extend(finding.action.map(|action| action.word().to_owned()));
    words.extend(finding.lease.as_ref().map(ToString::to_string));
    words.extend(finding.claims.as_ref().map(|claims| format!("by {claims}")));
    words.join(" ")
}

/// The line for people and scripts, without its hint.
pub fn finding_line(finding: &Finding) -> String {
    let (subject, refusal) = (finding_subject(finding), &finding.refusal);
    format!("two-key: refused {subject}: {}: {}", refusal.reason, escaped(&refusal.message))
}
