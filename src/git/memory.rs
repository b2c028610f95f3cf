//! The ledger that a push is judged by: remembered as far as it can be, folded on from there.
//!
//! A remembered state holds what is known of leases only where it was asked for. Whoever misses something gets it and
//! does the work again, so that what comes out is what the whole state would have given.

use std::collections::HashSet;

use super::{Base, GitError, JudgedAt, Kind, Objects, Repository, checkpoint::Checkpoint};
use crate::{
    admission::NewStep,
    ledger::{self, Missed, State, Step, StepReport},
    model::{Oid, Reason, Refusal},
    signature::parse_tag,
};

/// Steps that are folded again rather than remembered.
const WORTH_REMEMBERING: u64 = 16;
/// Bytes of steps that are held to be folded again. Where there are more, the whole state is asked for instead.
const MAX_HELD: usize = 64 << 20;

/// What is remembered on a side.
pub(super) struct Memory {
    pub(super) root: Oid,
    pub(super) side: JudgedAt,
    checkpoint: Option<Checkpoint>,
}

/// What came of folding on.
pub(super) struct Folded {
    /// The state that it began with, with all that was missed on the way.
    pub(super) before: State,
    pub(super) after: State,
    pub(super) steps: Vec<NewStep>,
}

/// Why a range could not be folded.
pub(super) enum Stuck {
    Git(GitError),
    Root(Refusal),
    /// What is remembered cannot be read.
    Forgotten(GitError),
}

impl Stuck {
    pub(super) fn refusal(self) -> Refusal {
        match self {
            // An old tip that does not descend from the root: this is another repository's ledger, or another root.
            Self::Git(error @ GitError::NotOnChain { .. }) => Refusal::new(Reason::NotDescended, error.to_string())
                .hint("see which root is pinned: git two-key doctor"),
            Self::Git(error) | Self::Forgotten(error) => error.refusal(),
            Self::Root(refusal) => refusal,
        }
    }
}

impl Memory {
    /// What is remembered of a root's ledger.
    pub(super) fn of(repository: &Repository, root: Oid, side: JudgedAt) -> Self {
        let checkpoint = match side {
            JudgedAt::Server => Checkpoint::open(repository, root),
            JudgedAt::Client => None,
        };
        Self { root, side, checkpoint }
    }

    /// Whether anything is remembered.
    pub(super) fn remembers(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// The governed branch, if anything is remembered.
    pub(super) fn branch(&self) -> Option<String> {
        self.checkpoint.as_ref().map(Checkpoint::branch)
    }

    /// The same root's ledger, as if nothing were remembered of it.
    pub(super) fn forgotten(&self) -> Self {
        Self { root: self.root, side: self.side, checkpoint: None }
    }

    /// Supplies what was missed.
    fn supply(&self, state: &mut State, missed: &Missed) -> Result<(), Stuck> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        let doing = "reading what is remembered of the ledger".to_owned();
        let lost = |error: std::io::Error| Stuck::Forgotten(GitError::Io { doing, error: error.to_string() });
        checkpoint.supply(state, missed).map_err(lost)
    }
}

impl Repository {
    /// The state at the root.
    pub(super) fn founded(&self, root: Oid) -> Result<State, Refusal> {
        let mut steps = self.steps(Base::Root(root), root)?;
        let step = steps.next().transpose()?;
        let step = step.ok_or_else(|| GitError::MissingObject(root).refusal())?;
        begin(&step).map(|(state, _)| state)
    }

    /// The state at a tip that has been accepted before.
    pub(super) fn known_at(&self, memory: &Memory, tip: Oid, needed: &Missed) -> Result<State, Refusal> {
        if let Some(state) = self.remembered_at(memory, tip, needed) {
            return Ok(state);
        }
        let state = self.fold_from_root(memory.root, tip, |_, _| ()).map_err(Stuck::refusal)?;
        self.remember(memory, None, &state);
        Ok(state)
    }

    /// The same by what is remembered. What does not lead to the tip, or cannot be read, is as good as nothing.
    pub(super) fn remembered_at(&self, memory: &Memory, tip: Oid, needed: &Missed) -> Option<State> {
        let checkpoint = memory.checkpoint.as_ref()?;
        let mut state = checkpoint.state();
        memory.supply(&mut state, needed).ok()?;
        if state.tip() != tip {
            state = self.fold_on(memory, &state, tip).ok()?.after;
        }
        self.remember(memory, Some(checkpoint), &state);
        Some(state)
    }

    fn remember(&self, memory: &Memory, from: Option<&Checkpoint>, state: &State) {
        let length = from.map_or(0, Checkpoint::length);
        if memory.side == JudgedAt::Server && state.length().saturating_sub(length) >= WORTH_REMEMBERING {
            // It only saves time; a folder that cannot be written to costs some.
            let _ = Checkpoint::save(from, self, state);
        }
    }

    /// Folds everything from the root to a tip, and hands each step over with what the fold said of it.
    pub(super) fn fold_from_root(
        &self,
        root: Oid,
        tip: Oid,
        mut each: impl FnMut(&Step, StepReport),
    ) -> Result<State, Stuck> {
        let mut steps = self.steps(Base::Root(root), tip).map_err(Stuck::Git)?;
        let first = steps.next().transpose().map_err(Stuck::Git)?;
        let first = first.ok_or(Stuck::Git(GitError::NotOnChain { base: root, tip }))?;
        let (state, report) = begin(&first).map_err(Stuck::Root)?;
        each(&first, report);
        fold(state, steps.map(|step| step.map_err(Stuck::Git)), each)
    }

    /// Folds on from a known state to a tip.
    pub(super) fn fold_on(&self, memory: &Memory, known: &State, tip: Oid) -> Result<Folded, Stuck> {
        let mut before = known.clone();
        let base = Base::After { tip: before.tip(), root: memory.root };
        let mut steps = self.steps(base, tip).map_err(Stuck::Git)?.map(|step| step.map_err(Stuck::Git));
        let (mut made, mut held, mut weight) = (Vec::new(), Vec::new(), 0);
        while let Some(step) = steps.next().transpose()? {
            weight += step.weight();
            held.push(step);
            if weight > MAX_HELD {
                memory.supply(&mut before, &Missed { all: true, ..Missed::default() })?;
                let each = |step: &Step, report| made.push(NewStep::new(step, report));
                let after = fold(before.clone(), held.into_iter().map(Ok).chain(steps), each)?;
                return Ok(Folded { before, after, steps: made });
            }
        }
        let mut rounds = 0;
        loop {
            let each = |step: &Step, report| made.push(NewStep::new(step, report));
            let after = fold(before.clone(), held.iter().map(Ok), each)?;
            let Some(missed) = after.missed() else { return Ok(Folded { before, after, steps: made }) };
            memory.supply(&mut before, &missed.after(rounds))?;
            made.clear();
            rounds += 1;
        }
    }
}

/// Folds steps on a state.
fn fold<S: std::borrow::Borrow<Step>>(
    mut state: State,
    steps: impl Iterator<Item = Result<S, Stuck>>,
    mut each: impl FnMut(&Step, StepReport),
) -> Result<State, Stuck> {
    for step in steps {
        let step = step?;
        let (next, report) = ledger::apply(state, step.borrow());
        state = next;
        each(step.borrow(), report);
    }
    Ok(state)
}

fn begin(step: &Step) -> Result<(State, StepReport), Refusal> {
    ledger::begin(step).map_err(|error| Refusal::new(error.refusal.reason, error.to_string()))
}

impl Objects {
    /// Whether a tip, or the commit that a tag is on, is near a known commit, by commits with one parent each, which are known
    /// from then on.
    pub(super) fn is_near(&mut self, known: &mut HashSet<Oid>, tip: Oid) -> Result<bool, GitError> {
        let mut next = match self.kind(tip)? {
            Kind::Tag => match parse_tag(&self.tag(tip)?, self.repository().format()) {
                Ok(tag) => tag.object,
                Err(_) => return Ok(false),
            },
            Kind::Commit => tip,
            Kind::Tree | Kind::Blob => return Ok(true),
        };
        let mut passed = Vec::new();
        for _ in 0..super::steps::NEAR {
            if known.contains(&next) {
                known.extend(passed);
                return Ok(true);
            }
            passed.push(next);
            match self.links(next)?.parents.as_slice() {
                [parent] => next = *parent,
                _ => return Ok(false),
            }
        }
        Ok(false)
    }
}
