//! Awaited keys, in words: for a lease, for the end of a freeze, for a policy.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{self, Awaited, State},
    model::{Action, LeaseId, PrincipalId, Reason, Refusal, lease::Lease},
};

use super::{Beside, may::instead, words::all_of};

/// What a lease awaits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Awaits {
    /// The action that is next.
    pub action: String,
    /// Its step number.
    pub step: Option<u32>,
    /// The tier that it goes to, in percent.
    pub tier: Option<u8>,
    /// Humans still needed.
    pub humans: usize,
    /// Agents still needed.
    pub agents: usize,
    /// Whether one key of either role suffices.
    pub any_one: bool,
    /// Who has turned a key for it that counts.
    pub has: Vec<String>,
    /// Whose votes for it wait in notes.
    pub by_note: Vec<String>,
    /// Whose keys could be turned for it now; nobody's while something else has to happen first.
    pub who: Vec<String>,
    /// What has to happen before any key counts for it: the end of a freeze, a completion elsewhere, a free target,
    /// the opening of a window.
    pub first: Option<String>,
    /// The same in words.
    pub text: String,
}

/// Whether a lease's window has closed.
pub(super) fn is_expired(state: &State, beside: &Beside, id: &LeaseId) -> bool {
    beside.now.zip(state.document(id)).is_some_and(|(now, lease)| lease.expires <= now)
}

/// What a lease awaits next.
pub fn awaits(state: &State, beside: &Beside, id: &LeaseId) -> Option<Awaits> {
    let awaited = ledger::awaited(state, id)?;
    // What comes too late awaits nobody.
    if awaited.action.needs_window() && is_expired(state, beside, id) {
        return None;
    }
    let awaits = awaits_of(state, &awaited, beside.waiting(id, awaited.action), beside.now);
    let held_up = ledger::held_up(state, id, awaited.action);
    let first =
        held_up.map(|refusal| first(state, id, &refusal)).or_else(|| opening(state, beside, id, awaited.action));
    Some(match first {
        Some(first) => awaits.after(first),
        None => awaits,
    })
}

/// The hours that a lease has to wait for before it may be moved.
fn opening(state: &State, beside: &Beside, id: &LeaseId, action: Action) -> Option<String> {
    let (lease, now) = (state.document(id)?, beside.now?);
    let policy = state.policy().get();
    if !action.moves() || policy.open_for(lease, now).is_ok() {
        return None;
    }
    let opens = policy.opens(&lease.target, now).map(|next| format!(", which opens at {next}"));
    Some(format!("the window of {}{}", lease.target, opens.unwrap_or_default()))
}

/// What the end of the freeze awaits, while there is one.
pub(super) fn awaits_thaw(state: &State, now: Option<Timestamp>) -> Option<Awaits> {
    ledger::awaited_thaw(state).map(|awaited| awaits_of(state, &awaited, &[], now))
}

impl Awaits {
    /// The same, once something else has happened.
    fn after(self, first: String) -> Self {
        Self { text: format!("{first}, then {}", self.text), who: Vec::new(), first: Some(first), ..self }
    }
}

/// What has to happen before a lease can go on, by the refusal that its signer would get.
fn first(state: &State, id: &LeaseId, refusal: &Refusal) -> String {
    let on_target = |document: &Lease| match (refusal.reason, &document.target) {
        (Reason::NotYet, _) => {
            let others = document.after.iter().map(|after| after.target.as_str()).collect::<Vec<_>>();
            format!("a completion on {}", all_of(&others))
        }
        (_, target) => format!("{target} to be free"),
    };
    match refusal.reason {
        Reason::Frozen => "the end of the freeze".to_owned(),
        Reason::NotYet | Reason::TargetBusy => state.document(id).map_or_else(|| refusal.message.clone(), on_target),
        _ => refusal.message.clone(),
    }
}

/// What is awaited, with whose votes wait in notes.
pub(super) fn awaits_of(state: &State, awaited: &Awaited, by_note: &[PrincipalId], now: Option<Timestamp>) -> Awaits {
    let least = awaited.clone().least();
    let awaited = match now {
        Some(now) => least.in_time(state, now),
        None => least,
    };
    let awaited = &without(&awaited, by_note);
    let by_note: Vec<_> = by_note.iter().map(ToString::to_string).collect();
    let mut whom = whom(awaited);
    if whom == NOBODY && !by_note.is_empty() {
        "no further key".clone_into(&mut whom);
    }
    if awaited.action == Action::Policy {
        let enough = instead(&state.policy().get().rules.policy);
        whom = format!("{whom} (or {enough})");
    }
    let mut text = format!("{whom}, to {}", what_for(awaited));
    if !by_note.is_empty() {
        text = format!("{text}; by note: {}", by_note.join(", "));
    }
    Awaits {
        action: awaited.action.word().to_owned(),
        step: awaited.step,
        tier: awaited.tier,
        humans: awaited.humans,
        agents: awaited.agents,
        any_one: awaited.any_one,
        has: awaited.has.iter().map(ToString::to_string).collect(),
        by_note,
        who: who(awaited),
        first: None,
        text,
    }
}

/// What is still awaited besides votes in notes, which the next key seals.
fn without(awaited: &Awaited, by_note: &[PrincipalId]) -> Awaited {
    let mut left = awaited.clone();
    for id in by_note {
        if left.humans_who_could.remove(id) {
            left.humans = left.humans.saturating_sub(1);
        } else if left.agents_who_could.remove(id) {
            left.agents = left.agents.saturating_sub(1);
        }
        for open in &mut left.open {
            if open.could.remove(id) {
                open.places = open.places.saturating_sub(1);
            }
        }
    }
    left.open.retain(|open| open.places > 0);
    left
}

/// Whose keys could be turned now for what is awaited. Humans alone suffice for a policy.
fn who(awaited: &Awaited) -> Vec<String> {
    let mut who = awaited.who_could();
    if awaited.action == Action::Policy {
        who.extend(&awaited.humans_who_could);
    }
    // Humans first, as the rules name them.
    let (humans, agents): (Vec<_>, Vec<_>) = who.into_iter().partition(|id| awaited.humans_who_could.contains(*id));
    humans.into_iter().chain(agents).map(ToString::to_string).collect()
}

/// `promote to 25 %`, `start at 5 %`, `authorize`.
fn what_for(awaited: &Awaited) -> String {
    match (awaited.action, awaited.tier) {
        (Action::Cosign, _) => "authorize".to_owned(),
        (Action::Policy, _) => "change the policy".to_owned(),
        (Action::Thaw, _) => "end the freeze".to_owned(),
        (Action::Rollback, _) => "roll back".to_owned(),
        (Action::Promote, Some(tier)) => format!("promote to {tier} %"),
        (action, Some(tier)) => format!("{action} at {tier} %"),
        (action, None) => action.word().to_owned(),
    }
}

/// Where no key is awaited.
const NOBODY: &str = "nobody";

/// `a human and an agent`.
fn whom(awaited: &Awaited) -> String {
    if awaited.action == Action::Rollback {
        return "any one key".to_owned();
    }
    if awaited.any_one {
        return "a human or an agent".to_owned();
    }
    let parts = awaited.needs_of();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    if parts.is_empty() { NOBODY.to_owned() } else { all_of(&parts) }
}

/// What a rule still lacks, naming who could: `an agent (cp14 or cp18); has user1`.
pub(super) fn lacks(awaited: &Awaited) -> String {
    let parts = awaited.needs();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    let has: Vec<_> = awaited.has.iter().map(PrincipalId::as_str).collect();
    let has = if has.is_empty() { "nobody".to_owned() } else { has.join(", ") };
    format!("{}; has {has}", all_of(&parts))
}
