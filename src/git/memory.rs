//! The ledger, remembered as far as it can be and folded on from there: how everybody reads it but `verify`, who takes nothing
//! over.

use std::{collections::HashSet, sync::Arc};

use super::{
    Base, GitError, ObjectKind, Objects, Repository,
    checkpoint::{Checkpoint, NoCheckpoint},
    past::Past,
    shelf::Shelf,
    stuck::Stuck,
};
use crate::{
    ledger::{self, State, Step, StepReport},
    model::{Oid, Refusal},
    signature::parse_tag,
};

/// Steps that are folded again rather than remembered.
const WORTH_REMEMBERING: u64 = 16;

/// What is remembered of a root's ledger.
#[derive(Debug)]
pub struct Memory {
    root: Oid,
    shelf: Option<Arc<Shelf>>,
    /// Whether anything is ever remembered of it.
    kept: bool,
}

/// A ledger at a tip.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// What it says there.
    pub state: State,
    /// What each step did.
    pub past: Past,
}

/// What is told of each step when it has been folded: the step, what it did, and how many are left.
pub(super) type OnStep<'a> = &'a mut dyn FnMut(&Step, &StepReport, usize);

impl Memory {
    /// What is remembered of a root's ledger, which is nothing unless the configuration pins it.
    pub fn of(repository: &Repository, root: Oid) -> Self {
        if !repository.pins(root) {
            return Self::none(root);
        }
        let checkpoint = Checkpoint::open(repository, root).ok();
        let shelf = checkpoint.map(|checkpoint| Arc::new(Shelf::new(checkpoint, repository.clone(), root)));
        Self { root, shelf, kept: true }
    }

    /// Of a root that the configuration does not pin nothing is remembered.
    pub fn none(root: Oid) -> Self {
        Self { root, shelf: None, kept: false }
    }

    /// Whether it is one of which things are remembered.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// The root.
    pub fn root(&self) -> Oid {
        self.root
    }

    /// Whether anything is remembered.
    pub(super) fn remembers(&self) -> bool {
        self.shelf.is_some()
    }

    /// The governed branch, if anything is remembered.
    pub fn branch(&self) -> Option<String> {
        self.shelf.as_ref().map(|shelf| shelf.checkpoint().core().policy().get().branch_ref())
    }

    /// Fails where something could be read neither from what is remembered nor from the ledger itself: whatever was found out
    /// until then is void.
    pub fn sound(&self) -> Result<(), Refusal> {
        self.shelf.as_ref().map_or(Ok(()), |shelf| shelf.sound())
    }
}

/// What is wrong with what is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It is of another root, repository or build, and will be replaced.
    Foreign,
    /// It is not whole, or others may write it.
    Broken(String),
}

impl Repository {
    /// What is wrong with what is remembered of a root's ledger, which costs time alone. Reads all of it.
    pub fn memory_flaw(&self, root: Oid) -> Option<Flaw> {
        if !self.pins(root) {
            return None;
        }
        match Checkpoint::open(self, root) {
            Ok(checkpoint) => checkpoint.check().err().map(|error| Flaw::Broken(error.to_string())),
            Err(NoCheckpoint::Missing) => None,
            Err(NoCheckpoint::Broken(error)) => Some(Flaw::Broken(error.to_string())),
            Err(NoCheckpoint::Foreign) => Some(Flaw::Foreign),
        }
    }

    /// Forgets what is remembered, as when a root is pinned: somebody else may have left it there before.
    pub fn forget_ledger(&self) {
        Checkpoint::forget(self);
    }

    /// The state at the root.
    pub(super) fn founded(&self, root: Oid) -> Result<State, Refusal> {
        let mut steps = self.steps(Base::Root(root), root)?;
        let step = steps.next().transpose()?;
        let step = step.ok_or_else(|| GitError::MissingObject(root).refusal())?;
        begin(&step).map(|(state, _)| state)
    }

    /// The ledger at a tip, which is remembered then.
    pub fn ledger(&self, memory: &Memory, tip: Oid, on_step: OnStep<'_>) -> Result<Ledger, Stuck> {
        let ledger = match self.remembered(memory, tip, on_step) {
            Some(ledger) => ledger,
            None => self.whole_ledger(memory.root, tip, on_step)?,
        };
        self.remember(memory, &ledger);
        Ok(ledger)
    }

    /// The state at a tip, all of it held: whoever lives long must not find out later that what was remembered has gone bad.
    pub fn held_state(&self, root: Oid, tip: Oid) -> Result<State, Refusal> {
        let memory = Memory::of(self, root);
        let state = self.ledger(&memory, tip, &mut |_, _, _| ()).map_err(Stuck::refusal)?.state.held();
        memory.sound()?;
        Ok(state)
    }

    /// The ledger at a tip; remembered is where it is settled, which is what a remote has: what is only here may be taken back.
    pub fn ledger_beside(&self, memory: &Memory, tip: Oid, settled: Oid, on_step: OnStep<'_>) -> Result<Ledger, Stuck> {
        if tip == settled {
            return self.ledger(memory, tip, on_step);
        }
        let near = self.remembered(memory, tip, on_step);
        if let Some(near) = near.filter(|near| (near.past.fresh().len() as u64) < WORTH_REMEMBERING) {
            return Ok(near);
        }
        let there = self.ledger(memory, settled, on_step);
        if let Ok(here) = there.and_then(|there| self.ledger_on(&there, memory.root, tip, on_step).map_err(Stuck::Git))
        {
            return Ok(here);
        }
        self.ledger_aside(memory, tip, on_step)
    }

    /// The ledger at a tip, which is not remembered.
    pub fn ledger_aside(&self, memory: &Memory, tip: Oid, on_step: OnStep<'_>) -> Result<Ledger, Stuck> {
        self.remembered(memory, tip, on_step).map_or_else(|| self.whole_ledger(memory.root, tip, on_step), Ok)
    }

    /// The same by what is remembered. What does not lead to the tip is as good as nothing.
    pub(super) fn remembered(&self, memory: &Memory, tip: Oid, on_step: OnStep<'_>) -> Option<Ledger> {
        let shelf = memory.shelf.as_ref()?;
        let ledger = Ledger { state: shelf.state(), past: Past::of(Arc::clone(shelf)) };
        if ledger.state.tip() == tip { Some(ledger) } else { self.ledger_on(&ledger, memory.root, tip, on_step).ok() }
    }

    /// The ledger at a tip, of which nothing is taken over.
    pub fn whole_ledger(&self, root: Oid, tip: Oid, on_step: OnStep<'_>) -> Result<Ledger, Stuck> {
        let mut reports = Vec::new();
        let state = self.fold_from_root(root, tip, |step, mut report, left| {
            on_step(step, &report, left);
            // There may be a million, and most have one event where there is room for four.
            report.events.shrink_to_fit();
            reports.push(report);
        })?;
        Ok(Ledger { state, past: Past::new(reports) })
    }

    /// Folds on from a ledger to a tip that continues it.
    pub fn ledger_on(&self, ledger: &Ledger, root: Oid, tip: Oid, on_step: OnStep<'_>) -> Result<Ledger, GitError> {
        let Ledger { state, mut past } = ledger.clone();
        let state = self.fold_on(state, root, tip, |step, report, left| {
            on_step(step, &report, left);
            past.push(report);
        })?;
        Ok(Ledger { state, past })
    }

    /// Remembers a ledger that is worth it. It only saves time; a folder that cannot be written to costs some.
    pub(super) fn remember(&self, memory: &Memory, ledger: &Ledger) {
        if !memory.kept {
            return;
        }
        let before = ledger.past.shelf().map(|shelf| shelf.checkpoint());
        let known = before.map_or(0, |before| before.core().length());
        if ledger.state.length().saturating_sub(known) >= WORTH_REMEMBERING && memory.sound().is_ok() {
            let _ = Checkpoint::save(before, self, &ledger.state, ledger.past.fresh());
        }
    }

    /// Folds everything from the root to a tip, and hands each step over with what the fold said of it.
    pub(super) fn fold_from_root(
        &self,
        root: Oid,
        tip: Oid,
        mut each: impl FnMut(&Step, StepReport, usize),
    ) -> Result<State, Stuck> {
        self.each_step(root, tip, |step, _, report, left| each(step, report, left))
    }

    /// The same, handing over the state after each step as well.
    pub fn each_step(
        &self,
        root: Oid,
        tip: Oid,
        mut each: impl FnMut(&Step, &mut State, StepReport, usize),
    ) -> Result<State, Stuck> {
        let mut steps = self.steps(Base::Root(root), tip).map_err(Stuck::Git)?;
        let first = steps.next().transpose().map_err(Stuck::Git)?;
        let first = first.ok_or(Stuck::Git(GitError::NotOnChain { base: root, tip }))?;
        let (mut state, report) = begin(&first).map_err(Stuck::Root)?;
        each(&first, &mut state, report, steps.left());
        fold(state, steps, each).map_err(Stuck::Git)
    }

    /// Folds on from a state to a tip that continues it.
    pub fn fold_on(
        &self,
        state: State,
        root: Oid,
        tip: Oid,
        mut each: impl FnMut(&Step, StepReport, usize),
    ) -> Result<State, GitError> {
        let base = Base::After { tip: state.tip(), root };
        fold(state, self.steps(base, tip)?, |step, _, report, left| each(step, report, left))
    }
}

/// Folds steps on a state.
fn fold(
    mut state: State,
    mut steps: super::Steps,
    mut each: impl FnMut(&Step, &mut State, StepReport, usize),
) -> Result<State, GitError> {
    while let Some(step) = steps.next().transpose()? {
        let (next, report) = ledger::apply(state, &step);
        state = next;
        each(&step, &mut state, report, steps.left());
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
            ObjectKind::Tag => match parse_tag(&self.tag(tip)?, self.repository().format()) {
                Ok(tag) => tag.object,
                Err(_) => return Ok(false),
            },
            ObjectKind::Commit => tip,
            ObjectKind::Tree | ObjectKind::Blob => return Ok(true),
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
