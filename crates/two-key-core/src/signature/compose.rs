//! Messages of carrier commits, as [`super::open_commit`] reads them back.

use super::carrier::{MAX_SEALED, PREFIX, is_reason};
use crate::model::{Digest, PrincipalId, Reason, Refusal, Statement, text::is_deceiving};

/// Composes the message of a carrier commit: subject, empty line, statement, remarks, sealed lines.
///
/// Give the principal exactly when the commit will be signed. Refuses what would not read back: a subject of more
/// than a line, a reason of more than a line or 1 KiB, more than 64 sealed lines.
pub fn statement_message(
    statement: &Statement,
    subject: &str,
    principal: Option<&PrincipalId>,
    reason: Option<&str>,
    evidence: Option<Digest>,
    sealed: &[String],
) -> Result<String, Refusal> {
    let refuse = |what: &str| Err(Refusal::new(Reason::Malformed, what));
    if subject.trim().is_empty() || subject.starts_with(PREFIX) || is_deceiving(subject) {
        return refuse("the subject of a statement's commit is one line of plain text, and not a `Two-Key-` line");
    }
    if reason.is_some_and(|reason| !is_reason(reason)) {
        return refuse("a reason is one line of at most 1 KiB, without control or bidi characters");
    }
    if sealed.len() > MAX_SEALED {
        return refuse("one commit seals at most 64 signatures");
    }
    if sealed.iter().any(|line| !line.starts_with("Two-Key-Cosignature: ") || is_deceiving(line)) {
        return refuse("a sealed signature is one `Two-Key-Cosignature` line");
    }
    let remarks = [
        principal.map(|principal| format!("{PREFIX}Principal: {principal}\n")),
        reason.map(|reason| format!("{PREFIX}Reason: {reason}\n")),
        evidence.map(|evidence| format!("{PREFIX}Evidence: {evidence}\n")),
    ];
    let remarks: String = remarks.into_iter().flatten().collect();
    let sealed: String = sealed.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    Ok(format!("{subject}\n\n{}{remarks}{sealed}", statement.text()))
}
