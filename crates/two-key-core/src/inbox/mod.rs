//! The inbox: detached cosignatures that wait in notes until a transition seals them into the ledger.
//!
//! [`overlay`] says which votes in notes verify and would count if they were folded next. What it gives is shown ("by
//! note") and sealed, and is never a [`State`]: a note puts nothing in force, so deleting or hiding one costs a vote
//! that has to be turned again, and adding one gains nothing that its key does not give. Pure. Called by agent and
//! cli; calls [`crate::ledger`] and [`crate::signature`].

mod plan;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{
    ledger::{Hypothesis, State, forecast, hypothetical},
    model::{Action, LeaseId, PrincipalId, Statement},
    signature::{Cosignature, Inbox},
};

pub use plan::{Plan, in_window};

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

/// Opens notes and says what of them would count if it were folded next.
pub fn overlay(notes: &[NoteText<'_>], state: &State) -> Overlay {
    let (cosigns, others): (Vec<_>, Vec<_>) =
        opened(notes, state).into_iter().partition(|vote| action(vote) == Action::Cosign);
    let mut votes = that_count(cosigns, state);
    if !others.is_empty() {
        // What is voted on a lease that notes authorize is next once these are sealed.
        let authorized = (!votes.is_empty()).then(|| hypothetical(state, Hypothesis::Signed(&votes)).0);
        votes.extend(that_count(others, authorized.as_ref().unwrap_or(state)));
    }
    Overlay { votes }
}

fn action(vote: &Cosignature) -> Action {
    vote.statement().action()
}

/// The entries that verify. What is there more than once, as a note or as an entry of several, is verified once, and what
/// is on the ref of nobody whom the policy in force names is not verified at all: it could not count.
fn opened(notes: &[NoteText<'_>], state: &State) -> Vec<Cosignature> {
    let principals = &state.policy().get().principals;
    let (mut inboxes, mut met) = (BTreeMap::new(), HashSet::new());
    let mut votes = Vec::new();
    for NoteText { principal, text } in notes {
        if let Some(known) = principals.get(principal)
            && met.insert((principal, text))
        {
            let inbox = inboxes.entry(principal).or_insert_with(|| Inbox::new(principal, &known.keys));
            votes.extend(
                inbox
                    .open_wanted(text, |statement| !is_over(state, statement))
                    .into_iter()
                    .filter_map(|entry| entry.opened.ok()),
            );
        }
    }
    votes
}

/// Whether a vote comes too late to count, whoever signed it: notes of leases that have ended are more with every year.
fn is_over(state: &State, statement: &Statement) -> bool {
    let ended = |id: &LeaseId| state.lease(id).is_some_and(|lease| lease.phase.ended());
    !statement.action().stops() && statement.lease().is_some_and(ended)
}

/// Those of the votes that would count, one of a principal for the same statement.
fn that_count(votes: Vec<Cosignature>, state: &State) -> Vec<Cosignature> {
    let mut taken = BTreeSet::new();
    let counts = |vote: &Cosignature| {
        let ballot = (vote.statement().id(), vote.claims().clone());
        !taken.contains(&ballot) && forecast(state, vote).findings.is_empty() && taken.insert(ballot)
    };
    votes.into_iter().filter(counts).collect()
}
