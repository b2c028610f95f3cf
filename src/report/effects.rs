//! Effects: what changes between two states of the ledger, in words: what merging a pull request would put in force.

use std::collections::BTreeSet;

use crate::{
    ledger::{Content, LeaseState, Phase, State, Transition, Vote, Votes},
    model::{Action, LeaseId, policy::Role},
};

use super::{
    Beside, awaits,
    difference::policy_difference,
    pull::EffectView,
    words::{all_of, escaped},
};

/// Every change, in the order: stops and moves of leases, policies, keys, freezes.
pub(super) fn effects(before: &State, after: &State) -> Vec<EffectView> {
    let mut found = Vec::new();
    let known = before.known_leases();
    for id in after.known_leases() {
        let target = after.document(&id).map(|lease| lease.target.to_string());
        let place = target.as_deref().unwrap_or("no target");
        let mut texts = lease(before, after, &id, place);
        if texts.is_empty() && !known.contains(&id) {
            texts.push(format!("{id} is proposed for {place}{}", then(after, &id)));
        }
        let effect =
            |text: String| EffectView { lease: Some(id.to_string()), target: target.clone(), text: escaped(&text) };
        found.extend(texts.into_iter().map(effect));
    }
    let general = policy(before, after).into_iter().chain(revoked(before, after)).chain(freeze(before, after));
    found.extend(general.map(|text| EffectView { lease: None, target: None, text }));
    found
}

/// `; waiting for a human and an agent, to authorize`, or nothing.
fn then(after: &State, id: &LeaseId) -> String {
    awaits(after, &Beside::default(), id).map(|awaits| format!("; waiting for {}", awaits.text)).unwrap_or_default()
}

/// What keys did to a lease: a line a transition, else one on what they came to.
fn lease(before: &State, after: &State, id: &LeaseId, place: &str) -> Vec<String> {
    let (was, is) = (before.lease(id), after.lease(id));
    let known = was.map_or(0, |was| was.transitions.len());
    let mut from = was.map_or(0, LeaseState::weight);
    let mut texts = Vec::new();
    for transition in is.iter().flat_map(|is| is.transitions.iter().skip(known)) {
        let to = weight(after, id, transition.phase);
        texts.push(moved(id, place, from, to, transition));
        from = to;
    }
    if !texts.is_empty() {
        return texts;
    }
    let phase = |entry: Option<&LeaseState>| entry.map_or(Phase::Proposed, |entry| entry.phase);
    match (phase(was), phase(is)) {
        (Phase::Proposed, Phase::Authorized) => {
            let votes = after.authorizing(id);
            let votes: Vec<_> = votes.values().collect();
            texts.push(format!("{id} may start on {place}: both keys are there ({})", who(&votes)));
        }
        (Phase::Authorized, Phase::Proposed) => {
            texts.push(format!("{id} may no longer start on {place}: a key that it rested on is out of force"));
        }
        _ if votes(is) != votes(was) => texts.push(format!("{id} stays at {from} % on {place}{}", then(after, id))),
        _ => {}
    }
    texts
}

/// The weight that a phase means for a lease, in percent.
fn weight(state: &State, id: &LeaseId, phase: Phase) -> u8 {
    let tiers = state.document(id).map(|lease| &lease.tiers);
    match phase {
        Phase::Completed => 100,
        phase => phase.tier().and_then(|tier| tiers?.get(tier)).map_or(0, |tier| tier.weight),
    }
}

/// `25 % for checkout-prod: both keys are there (human user1 and agent cp14)`.
fn moved(id: &LeaseId, target: &str, from: u8, to: u8, transition: &Transition) -> String {
    let votes: Vec<_> = transition.votes.iter().collect();
    let by = who(&votes);
    let roles: BTreeSet<&str> = votes.iter().map(|vote| vote.role.word()).collect();
    let keys = if roles.contains(Role::Human.word()) && roles.contains(Role::Agent.word()) {
        format!("both keys are there ({by})")
    } else {
        format!("{by} turned a key, which suffices here")
    };
    match transition.action {
        Action::Start | Action::Promote | Action::Resume => format!("{to} % for {target}: {keys} — {id}"),
        Action::Complete if votes.is_empty() => format!("{id} is completed by its successor's start on {target}"),
        Action::Complete => format!("{id} is completed at {to} % on {target}, by {by}"),
        stop => format!("{target} goes from {from} % to {to} %: {stop} by {by}, one key stops — {id}"),
    }
}

/// `human user1 and agent cp14`.
fn who(votes: &[&Vote]) -> String {
    // Humans first, then by name.
    let mut names: Vec<_> = votes
        .iter()
        .map(|vote| (vote.role != Role::Human, format!("{} {}", vote.role.word(), vote.principal)))
        .collect();
    names.sort();
    let names: Vec<_> = names.iter().map(|(_, name)| name.as_str()).collect();
    if names.is_empty() { "nobody".to_owned() } else { all_of(&names) }
}

/// How many keys are turned for a lease and for its next steps.
fn votes(entry: Option<&LeaseState>) -> (usize, usize) {
    let pending = entry.map_or(0, |entry| entry.pending.values().map(|ballot| ballot.votes.len()).sum());
    (entry.map_or(0, |entry| entry.cosigned.len()), pending)
}

fn policy(before: &State, after: &State) -> Option<String> {
    let (old, new) = (before.policy(), after.policy());
    if new.digest() != old.digest() {
        let lines = policy_difference(old.get(), new.get());
        return Some(format!("policy version {} is in force: {}", new.get().version, lines.join("; ")));
    }
    let file = after.policy_file()?;
    let Content::Proposal(proposed) = &file.content else { return None };
    let votes = |state: &State| -> Votes { state.policy_votes().flat_map(|ballot| ballot.votes.clone()).collect() };
    let news = before.policy_file().and_then(|file| file.digest) != file.digest || votes(before) != votes(after);
    if !news || proposed.digest() == new.digest() {
        return None;
    }
    let cast = votes(after);
    let has = if cast.is_empty() { "nobody yet".to_owned() } else { who(&cast.values().collect::<Vec<_>>()) };
    let lines = policy_difference(new.get(), proposed.get());
    let version = proposed.get().version;
    Some(escaped(&format!("policy version {version} is proposed: {}; its keys so far: {has}", lines.join("; "))))
}

fn revoked(before: &State, after: &State) -> Vec<String> {
    let new = |key: &crate::model::RawKey| after.revoked().contains_key(key) && !before.revoked().contains_key(key);
    let keys = before.policy().get().keys().filter(|(_, _, key)| new(&key.raw()));
    keys.map(|(id, _, key)| format!("the key {} of {id} is revoked, permanently", key.fingerprint())).collect()
}

fn freeze(before: &State, after: &State) -> Option<String> {
    match (before.frozen(), after.frozen()) {
        (None, Some(_)) => Some("nothing goes forward in this repository until two keys end the freeze".to_owned()),
        (Some(_), None) => Some("the freeze ends: both keys are there".to_owned()),
        _ => None,
    }
}
