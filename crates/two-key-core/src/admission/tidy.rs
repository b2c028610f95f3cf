//! Tidying: labels of what ended long ago, and stop refs whose stops the ledger holds. Of all governed refs these alone may be
//! deleted: the ledger says without them what they say.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    ledger::{Group, LeaseState, State},
    model::{LeaseId, Reason, Refusal},
    signature::Opened,
};

use super::{Push, PushRef, RefFacts, RefMeaning, Standing, ledger_after};

/// Leases that keep their labels whatever their age: of each target the one, of those that have ended, that was issued last.
#[derive(Debug, Default)]
pub struct Newest(BTreeSet<LeaseId>);

impl Newest {
    /// Those of a ledger.
    pub fn of(state: &State) -> Self {
        Self(state.group(&Group::Last))
    }

    /// Those that matter where something is deleted.
    pub(super) fn for_push(push: &Push) -> Self {
        let deletes = push.updates.iter().any(|update| update.new.is_none());
        push.after.as_ref().filter(|_| deletes).map(Self::of).unwrap_or_default()
    }
}

/// When a lease came to where it is: what the commit of its last step claims is given; nothing that it knows by itself is older.
fn came_there(entry: &LeaseState, committed: i64) -> i64 {
    let votes = entry.transitions.last().into_iter().flat_map(|last| &last.votes).filter_map(|vote| vote.claimed_time);
    let issued = entry.lease().map(|lease| lease.issued.as_second());
    votes.chain(issued).fold(committed, i64::max)
}

/// Whether the labels of a lease may go, or why not.
pub fn labels_may_go(
    state: &State,
    newest: &Newest,
    lease: &LeaseId,
    committed: Option<i64>,
    now: Timestamp,
) -> Result<(), String> {
    let entry = state.lease(lease).ok_or_else(|| format!("the ledger has no lease {lease}"))?;
    if !entry.phase.ended() {
        return Err(format!("lease {lease} is {}, and keeps its labels until it has ended", entry.phase.word()));
    }
    if newest.0.contains(lease) {
        return Err(format!("lease {lease} is the last that ended on its target, and keeps its labels"));
    }
    let keep = state.policy().get().keep;
    let age = committed.map(|committed| now.as_second().saturating_sub(came_there(entry, committed)));
    if age.is_none_or(|age| age < keep.as_secs().try_into().unwrap_or(i64::MAX)) {
        return Err(format!("lease {lease} ended less than {keep} ago, and keeps its labels so long"));
    }
    Ok(())
}

/// Whether a stop ref may go, or why not: the ledger must hold every stop in its commit.
pub fn stop_may_go(state: &State, opened: Option<&Opened>) -> Result<(), String> {
    let votes: Vec<_> = opened.into_iter().flat_map(|opened| state.votes(opened)).flatten().collect();
    let stops: Vec<_> = votes.iter().filter(|vote| vote.statement().action().stops()).collect();
    let is_held = !stops.is_empty() && stops.iter().all(|vote| state.stop_seen(vote.key().raw(), vote.statement()));
    if is_held { Ok(()) } else { Err("the ledger does not hold its stop, which only grows stale there".to_owned()) }
}

/// Judges a deletion.
pub(super) fn judge(
    push: &Push,
    update: &PushRef,
    place: &RefMeaning,
    newest: &Newest,
    now: Timestamp,
) -> Result<(), Refusal> {
    let refused = |why: String| {
        let message = format!("governed refs are not deleted: {why}");
        Refusal::new(Reason::RefDeleted, message).hint("see which may be: git two-key tidy --dry-run")
    };
    if update.standing == Standing::Outrun {
        return Err(super::outrun());
    }
    match (place, &*update.facts) {
        (RefMeaning::Tag { lease, .. }, RefFacts::Committed(at)) => {
            labels_may_go(ledger_after(push)?, newest, lease, *at, now).map_err(refused)
        }
        (RefMeaning::Stop { .. }, RefFacts::Stop(opened)) => {
            stop_may_go(ledger_after(push)?, opened.as_ref()).map_err(refused)
        }
        _ => Err(Refusal::new(Reason::RefDeleted, "governed refs are never deleted").hint("leave it out of the push")),
    }
}
