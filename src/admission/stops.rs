//! Stop refs: created once, named for their commit, and nothing but stops.

use crate::{
    ledger::{Hypothesis, State, hypothetical},
    model::{Oid, Reason, Refusal, Statement, Subject},
    signature::{Cosignature, Opened},
};

use super::{FreshVote, NewStep, Place, Push, RefUpdate, StopRef, StopTarget, ledger_after, place};

/// The stops in a step in which one takes effect.
pub(super) fn in_step(step: &NewStep) -> Vec<StopRef> {
    if !step.report.stopped_something() {
        return Vec::new();
    }
    let stop = |vote: &FreshVote| {
        let target = match &vote.statement.subject {
            Subject::Stop(stop) => StopTarget::Lease(stop.lease.clone()),
            Subject::Freeze { .. } => StopTarget::All,
            _ => return None,
        };
        Some(StopRef { target, commit: vote.carrier })
    };
    step.votes.iter().filter_map(stop).collect()
}

/// Whether a push does nothing but create stop refs under their commits' names. Such a push is admitted on doubt:
/// readers verify a stop before they heed it, and a stop that was refused by mistake does more harm than junk.
pub fn only_stop_refs<'a>(updates: impl IntoIterator<Item = (&'a str, Option<Oid>, Option<Oid>)>) -> bool {
    let mut any = false;
    let mut all = true;
    for (name, old, new) in updates {
        any = true;
        all &= matches!(place(name, ""), Place::Stop { id, .. } if old.is_none() && new == Some(id));
    }
    any && all
}

/// Judges one stop ref. If it would stop something, that stop.
pub(super) fn judge(
    push: &Push,
    update: &RefUpdate,
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
    let cosignatures = stops_of(target, opened)?;
    let after = ledger_after(push)?;
    // A key that this very push revokes still stops: stops come first.
    let states: Vec<&State> = [Some(after), push.before.as_ref()].into_iter().flatten().collect();
    let mut refused = None;
    for cosignature in &cosignatures {
        for state in &states {
            let (_, report) = hypothetical(state, Hypothesis::Signed(std::slice::from_ref(cosignature)));
            match report.findings.first() {
                None => {
                    let stop = || StopRef { target: target.clone(), commit: *id };
                    return Ok(report.stopped_something().then(stop));
                }
                // A stop is never refused for being early: it waits there for a lease that this ledger has not seen.
                Some(finding) if finding.refusal.reason == Reason::UnknownLease => return Ok(None),
                Some(finding) => refused = refused.or_else(|| Some(finding.refusal.clone())),
            }
        }
    }
    Err(refused.unwrap_or_else(|| no_stop(target)))
}

/// The verified stops of the target in a commit; at least one.
fn stops_of(target: &StopTarget, opened: Option<&Opened>) -> Result<Vec<Cosignature>, Refusal> {
    let (statement, votes) = match opened {
        Some(Opened::Carrier { statement, votes }) => (statement, votes),
        Some(Opened::Malformed(refusal)) => return Err(refusal.clone()),
        Some(Opened::Ordinary { .. }) | None => return Err(no_stop(target)),
    };
    if !stops(target, statement) {
        return Err(no_stop(target));
    }
    let good = votes.iter().flatten().filter(|vote| stops(target, vote.statement()));
    let good: Vec<Cosignature> = good.cloned().collect();
    if good.is_empty() {
        let bad = votes.iter().find_map(|vote| vote.as_ref().err());
        return Err(bad.map_or_else(|| no_stop(target), |bad| bad.refusal.clone()));
    }
    Ok(good)
}

fn stops(target: &StopTarget, statement: &Statement) -> bool {
    match (target, &statement.subject) {
        (StopTarget::Lease(lease), Subject::Stop(stop)) => stop.lease == *lease,
        (StopTarget::All, Subject::Freeze { .. }) => true,
        _ => false,
    }
}

fn no_stop(target: &StopTarget) -> Refusal {
    let what = match target {
        StopTarget::Lease(lease) => format!("a stop of lease {lease}"),
        StopTarget::All => "a freeze".to_owned(),
    };
    let verb = match target {
        StopTarget::Lease(lease) => format!("git two-key halt {lease}"),
        StopTarget::All => "git two-key freeze".to_owned(),
    };
    Refusal::new(Reason::Malformed, format!("its commit is not {what}")).hint(format!("make one with: {verb}"))
}
