//! Evidence for a person who is asked to approve, in figures: so that approving is a decision and not a reflex.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::{
    follower::records::{self, TargetRecord},
    model::{LeaseId, Percent, Statement, lease::DeclaredRisk},
    report,
};

use super::{Failure, session::Session, turn};

/// The evidence for a lease's next step, ended by an empty line: what its applier sees and measured, its risk, what
/// agents have said.
pub fn shown(session: &Session, statement: &Statement) -> Result<String, Failure> {
    let Some(lease) = statement.lease() else { return Ok(String::new()) };
    let mut text = String::from("Evidence\n");
    for line in lines(session, lease)? {
        let _ = writeln!(text, "  {}", report::escaped(&line));
    }
    Ok(text)
}

/// The same, a line each.
pub fn lines(session: &Session, id: &LeaseId) -> Result<Vec<String>, Failure> {
    let Some(lease) = session.state.document(id) else { return Ok(Vec::new()) };
    let observed = records::read(&session.repo, &session.state)?.found;
    let seen = observed.into_iter().find(|seen| seen.target == lease.target && seen.record.lease == *id);
    let mut lines = Vec::new();
    match &seen {
        Some(seen) => {
            lines.push(format!("{}, says {}", place(&seen.record, turn::now()), seen.applier));
            lines.extend(seen.record.health.iter().flat_map(|health| health.figures.clone()));
        }
        None => lines.push("no applier has reported on this lease yet".to_owned()),
    }
    if seen.is_some_and(|seen| seen.record.health.is_none()) {
        lines.push("no health check is set for this tier, or none has a result yet".to_owned());
    }
    if let Some(risk) = &lease.risk {
        lines.push(format!("{} (declared)", risk_words(risk)));
    }
    lines.extend(lines_of(session, id)?);
    Ok(lines)
}

/// `risk 71: migrations`.
pub fn risk_words(risk: &DeclaredRisk) -> String {
    let factors = if risk.factors.is_empty() { "no factors".to_owned() } else { risk.factors.join(", ") };
    format!("risk {}: {factors}", risk.score)
}

/// What those say who have turned their keys for what is next, and those who would not.
pub fn lines_of(session: &Session, id: &LeaseId) -> Result<Vec<String>, Failure> {
    let entry = session.state.lease(id);
    let cosigned = entry.filter(|entry| !entry.phase.started()).into_iter().flat_map(|entry| entry.cosigned.values());
    let pending = entry.into_iter().flat_map(|entry| entry.pending.values()).flat_map(|ballot| ballot.votes.values());
    let mut lines = Vec::new();
    for vote in cosigned.chain(pending) {
        let evidence = vote.evidence.map(|digest| format!(", on evidence {digest}")).unwrap_or_default();
        let reason = vote.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("{} ({}) has signed{evidence}{reason}", vote.principal, vote.role.word()));
    }
    for refusal in session.refused()?.get(id).into_iter().flatten() {
        let why = refusal.reasons.iter().map(|why| format!("{}: {}", why.check, why.message));
        lines.push(format!("{} refused: {}", refusal.agent, why.collect::<Vec<_>>().join("; ")));
    }
    Ok(lines)
}

/// `5 % for 16 min, ready`.
fn place(record: &TargetRecord, now: Timestamp) -> String {
    let weight =
        record.observed_bp.map_or("an unknown weight".to_owned(), |weight| format!("{} %", Percent::of(weight)));
    let since = record.bake_started.map(|since| format!(" for {}", span(since, now))).unwrap_or_default();
    let why = record.message.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    format!("{weight}{since}, {}{why}", record.phase.word())
}

/// A human-readable length of time.
fn span(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}
