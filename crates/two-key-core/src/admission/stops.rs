//! Stop refs: created once, named for their commit, and nothing but stops.

use crate::{
    ledger::{State, stops_something},
    model::{Oid, Reason, Refusal, Statement, Subject},
    signature::{Cosignature, Opened},
};

use super::{NewStep, Push, PushRef, RefMeaning, StopRef, StopTarget, ledger_after, place};

/// The stops in a step in which one takes effect.
pub(super) fn in_step(step: &NewStep) -> Vec<StopRef> {
    if !step.report.stopped_something() {
        return Vec::new();
    }
    step.votes.iter().filter_map(|vote| stop_ref(&vote.statement, vote.carrier)).collect()
}

/// The ref of its own that a statement's commit could have, if it is a stop.
fn stop_ref(statement: &Statement, commit: Oid) -> Option<StopRef> {
    match &statement.subject {
        Subject::Stop(stop) => Some(StopRef { lease: Some(stop.lease.clone()), commit }),
        Subject::Freeze { .. } => Some(StopRef { lease: None, commit }),
        _ => None,
    }
}

/// The most stop refs that are admitted unjudged: who stops something brings a few, and each is a reader's work for ever.
const MAX_UNJUDGED: usize = 16;

/// Whether a push is admitted on doubt: one that does nothing but create a few stop refs under their commits' names. Readers
/// verify a stop before they heed it, and a stop that was refused by mistake does more harm than junk.
pub fn admitted_on_doubt<'a>(updates: impl ExactSizeIterator<Item = (&'a str, Option<Oid>, Option<Oid>)>) -> bool {
    updates.len() <= MAX_UNJUDGED && only_stop_refs(updates)
}

/// Whether a push does nothing but create stop refs under their commits' names.
pub fn only_stop_refs<'a>(updates: impl IntoIterator<Item = (&'a str, Option<Oid>, Option<Oid>)>) -> bool {
    let mut any = false;
    let mut all = true;
    for (name, old, new) in updates {
        any = true;
        all &= matches!(place(name, ""), RefMeaning::Stop { id, .. } if old.is_none() && new == Some(id));
    }
    any && all
}

/// Judges one stop ref. If it would stop something, that stop.
pub(super) fn judge(
    push: &Push,
    update: &PushRef,
    target: &StopTarget,
    id: &Oid,
    opened: Option<&Opened>,
) -> Result<Option<StopRef>, Refusal> {
    if update.old.is_some() {
        let message = "a stop ref is created once and never moves";
        return Err(Refusal::new(Reason::RefRewound, message).hint("push another stop under its own commit's id"));
    }
    if update.new != Some(*id) {
        let message = format!("its name says commit {}, it is on another", id.short());
        return Err(Refusal::new(Reason::Malformed, message).hint("name it for its commit"));
    }
    let after = ledger_after(push)?;
    // A key that this very push revokes still stops: stops come first.
    let states: Vec<&State> = [Some(after), push.before.as_ref()].into_iter().flatten().collect();
    let cosignatures = stops_of(target, opened, &states)?;
    let mut refused = None;
    for cosignature in &cosignatures {
        for state in &states {
            match stops_something(state, cosignature) {
                Ok(effect) => return Ok(stop_ref(cosignature.statement(), *id).filter(|_| effect)),
                // A stop is never refused for being early: it waits there for a lease that this ledger has not seen.
                Err(refusal) if refusal.reason == Reason::UnknownLease => return Ok(None),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
    }
    Err(refused.unwrap_or_else(|| no_stop(target)))
}

/// The verified stops of the target in a commit; at least one.
fn stops_of(target: &StopTarget, opened: Option<&Opened>, states: &[&State]) -> Result<Vec<Cosignature>, Refusal> {
    let (statement, opened) = match opened {
        Some(carrier @ Opened::Carrier { statement, .. }) => (statement, carrier),
        Some(Opened::Malformed(refusal)) => return Err(refusal.clone()),
        Some(Opened::Ordinary { .. }) | None => return Err(no_stop(target)),
    };
    if !stops(target, statement) {
        return Err(no_stop(target));
    }
    let votes = states.iter().flat_map(|state| state.votes(opened));
    let (good, bad): (Vec<_>, Vec<_>) = votes.partition(Result::is_ok);
    let good: Vec<_> = good.into_iter().flatten().filter(|vote| stops(target, vote.statement())).collect();
    if good.is_empty() {
        let bad = bad.into_iter().find_map(Result::err);
        return Err(bad.map_or_else(|| no_stop(target), |bad| bad.refusal));
    }
    Ok(good)
}

fn stops(target: &StopTarget, statement: &Statement) -> bool {
    match (target, &statement.subject) {
        (StopTarget::Lease(lease), Subject::Stop(stop)) => stop.lease == *lease,
        (StopTarget::All, Subject::Freeze { .. })
        | (StopTarget::Unnamed, Subject::Stop(_) | Subject::Freeze { .. }) => true,
        _ => false,
    }
}

fn no_stop(target: &StopTarget) -> Refusal {
    let what = match target {
        StopTarget::Lease(lease) => format!("a stop of lease {lease}"),
        StopTarget::All => "a freeze".to_owned(),
        StopTarget::Unnamed => "a stop".to_owned(),
    };
    let verb = match target {
        StopTarget::Lease(lease) => format!("git two-key halt {lease}"),
        StopTarget::All => "git two-key freeze".to_owned(),
        StopTarget::Unnamed => "git two-key halt LEASE".to_owned(),
    };
    Refusal::new(Reason::Malformed, format!("its commit is not {what}")).hint(format!("make one with: {verb}"))
}
