//! The inbox: detached cosignatures that wait in notes until a transition seals them into the ledger.
//!
//! [`overlay`] says which votes in notes verify and would count if they were folded next. What it gives is shown ("by
//! note") and sealed, and is never a [`State`]: a note puts nothing in force, so deleting or hiding one costs a vote
//! that has to be turned again, and adding one gains nothing that its key does not give. Pure. Called by cli and by
//! admission; calls [`crate::ledger`] and [`crate::signature`].

mod plan;

use std::collections::BTreeMap;

use crate::{
    ledger::{Hypothesis, State, hypothetical},
    model::{Action, LeaseId, Oid, PrincipalId, Reason, Refusal, Statement, Subject},
    signature::{Cosignature, open_note},
};

pub use plan::{Plan, in_window};

/// One note as it stands on a principal's ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoteText<'a> {
    /// Whose ref it is on.
    pub principal: &'a PrincipalId,
    /// The object that it is about.
    pub annotated: Oid,
    /// Its bytes.
    pub text: &'a [u8],
}

/// A note's entry that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEntry {
    /// Whose ref it is on.
    pub principal: PrincipalId,
    /// The object that the note is about.
    pub annotated: Oid,
    /// The lease, where the entry could be read that far.
    pub lease: Option<LeaseId>,
    /// The action, where the entry could be read that far.
    pub action: Option<Action>,
    /// Why it does not count.
    pub refusal: Refusal,
}

/// What waits in the notes, seen from one state of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Votes that verify and would count: cosignatures first, then all others, each in the order of the notes.
    pub votes: Vec<Cosignature>,
    /// Entries that do not count. Entries that the ledger holds already are left out.
    pub refused: Vec<RefusedEntry>,
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

    /// How many votes wait, by lease and action; without a lease for policies, thaws and revocations.
    pub fn counts(&self) -> BTreeMap<(Option<LeaseId>, Action), usize> {
        let mut counts = BTreeMap::new();
        for vote in &self.votes {
            let statement = vote.statement();
            *counts.entry((statement.lease().cloned(), statement.action())).or_default() += 1;
        }
        counts
    }
}

/// Opens notes and says what of them would count if it were folded next.
pub fn overlay(notes: &[NoteText<'_>], state: &State) -> Overlay {
    let mut overlay = Overlay::default();
    let (cosigns, others): (Vec<_>, Vec<_>) =
        opened(notes, state, &mut overlay.refused).into_iter().partition(|(_, vote)| action(vote) == Action::Cosign);
    for (note, vote) in cosigns {
        overlay.take(note, vote, state);
    }
    if others.is_empty() {
        return overlay;
    }
    // What is voted on a lease that notes authorize is next once these are sealed.
    let authorized = match overlay.votes.as_slice() {
        [] => None,
        votes => Some(hypothetical(state, Hypothesis::Signed(votes)).0),
    };
    for (note, vote) in others {
        overlay.take(note, vote, authorized.as_ref().unwrap_or(state));
    }
    overlay
}

fn action(vote: &Cosignature) -> Action {
    vote.statement().action()
}

/// The entries that verify.
fn opened<'a>(
    notes: &[NoteText<'a>],
    state: &State,
    refused: &mut Vec<RefusedEntry>,
) -> Vec<(NoteText<'a>, Cosignature)> {
    let mut votes = Vec::new();
    for note in notes {
        let principals = &state.policy().get().principals;
        let keys = principals.get(note.principal).map(|principal| principal.keys.as_slice()).unwrap_or_default();
        for entry in open_note(note.text, note.principal, keys) {
            match entry.opened {
                Ok(vote) => votes.push((*note, vote)),
                Err(refusal) => refused.push(RefusedEntry {
                    principal: note.principal.clone(),
                    annotated: note.annotated,
                    lease: None,
                    action: None,
                    refusal,
                }),
            }
        }
    }
    votes
}

impl Overlay {
    /// Takes a vote that would count, unless it is here already.
    fn take(&mut self, note: NoteText<'_>, vote: Cosignature, state: &State) {
        if is_in_ledger(state, &vote) {
            return;
        }
        let refusal = match self.twin(&vote) {
            // An entry that stands twice is one vote; saying so would be noise.
            Some(twin) if twin.key() == vote.key() => return,
            Some(_) => {
                let message = format!("another key of {} votes for this already", vote.claims());
                Some(Refusal::new(Reason::SamePrincipal, message))
            }
            None => would_not_count(state, &vote),
        };
        match refusal {
            None => self.votes.push(vote),
            Some(refusal) => self.refused.push(RefusedEntry {
                principal: note.principal.clone(),
                annotated: note.annotated,
                lease: vote.statement().lease().cloned(),
                action: Some(action(&vote)),
                refusal,
            }),
        }
    }

    /// A vote of the same principal for the same statement.
    fn twin(&self, vote: &Cosignature) -> Option<&Cosignature> {
        self.votes.iter().find(|other| other.statement() == vote.statement() && other.claims() == vote.claims())
    }
}

/// Whether the ledger has counted this very vote: it was sealed, and the note has done its work.
fn is_in_ledger(state: &State, vote: &Cosignature) -> bool {
    let key = vote.key().raw();
    let Some(lease) = vote.statement().lease().and_then(|id| state.lease(id)) else { return false };
    match &vote.statement().subject {
        Subject::Cosign { .. } => lease.cosigned.contains_key(&key),
        Subject::Forward(forward) => {
            let taken = lease.transitions.iter().any(|taken| taken.step == forward.step);
            let pending = lease.pending.get(&vote.statement().id());
            taken || pending.is_some_and(|ballot| ballot.votes.contains_key(&key))
        }
        _ => false,
    }
}

fn would_not_count(state: &State, vote: &Cosignature) -> Option<Refusal> {
    let (_, report) = hypothetical(state, Hypothesis::Signed(std::slice::from_ref(vote)));
    report.findings.into_iter().next().map(|finding| finding.refusal)
}
