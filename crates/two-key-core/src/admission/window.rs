//! Windows of time: the only rule that knows a clock, and only for votes that go forward. Never for stops.

use jiff::Timestamp;

use crate::{
    ledger::State,
    model::{CLOCK_TOLERANCE, Reason, Refusal},
};

use super::FreshVote;

/// Judges one vote by the server's clock: after a push, and as its key stood before it, so that no key puts off its own last day.
pub(super) fn judge(vote: &FreshVote, before: Option<&State>, state: &State, now: Timestamp) -> Vec<Refusal> {
    let mut found = Vec::new();
    let action = vote.statement.action();
    if action.goes_forward() {
        let listed = before.filter(|before| before.policy().get().owner(vote.key).is_some()).unwrap_or(state);
        found.extend(listed.policy().get().key_in_time(vote.key, now).err());
    }
    if !action.needs_window() {
        return found;
    }
    let carrier = vote.carrier.short();
    let ahead = now.saturating_add(CLOCK_TOLERANCE).unwrap_or(Timestamp::MAX);
    if Timestamp::from_second(vote.dated).map_or(vote.dated > 0, |dated| dated > ahead) {
        let message = format!("the {action} in commit {carrier} is dated more than 5 minutes ahead of the clock here");
        found.push(Refusal::new(Reason::FutureDated, message).hint("set the clock right, then make it again"));
    }
    let Some((id, lease)) = vote.statement.lease().and_then(|id| Some((id, state.document(id)?))) else {
        return found;
    };
    if now >= lease.expires {
        let message = format!("lease {id} expired at {}; {action} comes too late (commit {carrier})", lease.expires);
        found.push(Refusal::new(Reason::Expired, message).hint("issue a new lease: git two-key new"));
    }
    if action.moves() {
        found.extend(state.policy().get().open_for(lease, now).err());
    }
    if lease.issued > ahead {
        let message = format!("lease {id} is not valid before {} (commit {carrier})", lease.issued);
        found.push(Refusal::new(Reason::NotYetValid, message).hint("wait until then"));
    }
    found
}
