//! Windows of time: the only rule that knows a clock, and only for votes that go forward. Never for stops.

use jiff::{SignedDuration, Timestamp};

use crate::{
    ledger::State,
    model::{CLOCK_TOLERANCE, Reason, Refusal},
};

use super::{FreshVote, NewStep};

/// How far ahead of the clock a commit may be dated that says nothing. Git's commit-graph, which its own commands read, goes wrong
/// with dates 68 years before and after one another (its generation numbers keep 31 bits of that), and pulls and pushes with it.
const FAR_AHEAD: SignedDuration = SignedDuration::from_hours(24 * 366);

/// Refuses what brings in a commit that is dated so far ahead, whatever it says: a stop can go in by its own ref.
pub(super) fn far_ahead(step: &NewStep, now: Timestamp) -> Option<Refusal> {
    let ahead = now.saturating_add(FAR_AHEAD).unwrap_or(Timestamp::MAX);
    (step.latest_time > ahead.as_second()).then(|| {
        let message =
            format!("commit {} brings in one that is dated more than a year ahead", step.report.commit.short());
        Refusal::new(Reason::FutureDated, message).hint("set the clock right, then make it again")
    })
}

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
