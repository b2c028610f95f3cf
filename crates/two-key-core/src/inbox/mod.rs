//! The inbox: detached cosignatures that wait in notes until a transition seals them into the ledger.
//!
//! [`overlay`] says which votes in notes verify and would count if they were folded next. What it gives is shown ("by
//! note") and sealed, and is never a [`State`]: a note puts nothing in force, so deleting or hiding one costs a vote
//! that has to be turned again, and adding one gains nothing that its key does not give. Pure. Called by agent and
//! cli; calls [`crate::ledger`] and [`crate::signature`].

mod plan;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;

use crate::{
    ledger::{Hypothesis, State, could_count, forecast, hypothetical},
    model::{Action, LeaseId, PrincipalId, Statement},
    signature::{Cosignature, Inbox, UncheckedEntry},
};

pub use plan::{Plan, in_window, key_in_time};

/// One note as it stands on a principal's ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoteText<'a> {
    /// Whose ref it is on.
    pub principal: &'a PrincipalId,
    /// Its bytes.
    pub text: &'a [u8],
}

/// What waits in the notes, seen from one state of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Votes that verify and would count: cosignatures first, then all others, each in the order of the notes. Those that
    /// the ledger holds already are left out, and so is all but the first of a principal's for the same.
    pub votes: Vec<Cosignature>,
}

impl Overlay {
    /// The votes for exactly one statement.
    pub fn votes_for<'a>(&'a self, statement: &'a Statement) -> impl Iterator<Item = &'a Cosignature> {
        self.votes.iter().filter(move |vote| vote.statement() == statement)
    }

    /// The votes that authorize one lease.
    pub fn cosignatures_of<'a>(&'a self, lease: &'a LeaseId) -> impl Iterator<Item = &'a Cosignature> {
        self.votes.iter().filter(move |vote| {
            let statement = vote.statement();
            statement.action() == Action::Cosign && statement.lease() == Some(lease)
        })
    }

    /// Whose votes wait, by lease and action.
    pub fn waiting(&self) -> BTreeMap<(LeaseId, Action), Vec<PrincipalId>> {
        let mut waiting: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for vote in &self.votes {
            if let Some(lease) = vote.statement().lease() {
                waiting.entry((lease.clone(), action(vote))).or_default().push(vote.claims().clone());
            }
        }
        waiting
    }
}

/// Signatures of one key for one statement that are verified in vain, and no more. Without a key anybody writes any number
/// where nobody refuses them.
const MAX_BAD: usize = 4;

/// Opens notes and says what of them would count if it were folded next. A key whose last day is over counts for nothing, and a
/// server takes nothing that it is sealed in.
pub fn overlay(notes: &[NoteText<'_>], state: &State, now: Timestamp) -> Overlay {
    let policy = state.policy().get();
    let in_time =
        |entry: &UncheckedEntry<'_>| entry.says().is_none_or(|(_, key)| policy.key_in_time(key.raw(), now).is_ok());
    let is_cosign =
        |entry: &UncheckedEntry<'_>| entry.says().is_some_and(|(statement, _)| statement.action() == Action::Cosign);
    let (cosigns, others): (Vec<_>, Vec<_>) = read(notes, state).into_iter().filter(in_time).partition(is_cosign);
    let mut votes = that_count(&cosigns, state);
    if !others.is_empty() {
        // What is voted on a lease that notes authorize is next once these are sealed.
        let authorized = (!votes.is_empty()).then(|| hypothetical(state, Hypothesis::Signed(&votes)).0);
        votes.extend(that_count(&others, authorized.as_ref().unwrap_or(state)));
    }
    Overlay { votes }
}

fn action(vote: &Cosignature) -> Action {
    vote.statement().action()
}

/// The entries, the last first. What is there more than once, as a note or as an entry of several, is there once, and what is
/// on the ref of nobody whom the policy in force names is left out: it could not count.
fn read<'a>(notes: &[NoteText<'a>], state: &'a State) -> Vec<UncheckedEntry<'a>> {
    let principals = &state.policy().get().principals;
    let (mut inboxes, mut met) = (BTreeMap::new(), HashSet::new());
    let mut entries = Vec::new();
    for NoteText { principal, text } in notes.iter().rev() {
        if let Some((principal, known)) = principals.get_key_value(*principal)
            && met.insert((principal, text))
        {
            let inbox = inboxes.entry(principal).or_insert_with(|| Inbox::new(principal, &known.keys));
            entries.extend(inbox.read(text).into_iter().rev());
        }
    }
    entries
}

/// Of entries, the last first, those that anybody looks at. Whoever writes a vote again writes it at the end.
pub fn in_sight<'a, 'b: 'a>(
    entries: impl IntoIterator<Item = &'a UncheckedEntry<'b>>,
) -> impl Iterator<Item = &'a UncheckedEntry<'b>> {
    let mut met = BTreeMap::new();
    entries.into_iter().filter(move |entry| {
        let Some((statement, key)) = entry.says() else { return false };
        let before: &mut usize = met.entry((statement.id(), entry.claims(), key.raw())).or_default();
        *before += 1;
        *before <= MAX_BAD
    })
}

/// Of the entries those that verify and would count, one of a principal for the same statement. What could not count is not
/// verified.
fn that_count(entries: &[UncheckedEntry<'_>], state: &State) -> Vec<Cosignature> {
    let (mut taken, mut known) = (BTreeSet::new(), BTreeMap::new());
    let mut votes = Vec::new();
    for entry in in_sight(entries) {
        let Some((statement, key)) = entry.says() else { continue };
        let ballot = (statement.id(), entry.claims());
        let could = || could_count(state, statement, key, entry.claims());
        if taken.contains(&ballot) || !*known.entry((ballot, key.raw())).or_insert_with(could) {
            continue;
        }
        let vote = entry.check().ok().filter(|vote| forecast(state, vote).findings.is_empty());
        if let Some(vote) = vote {
            taken.insert(ballot);
            votes.push(vote);
        }
    }
    votes.reverse();
    votes
}
