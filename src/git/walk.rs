//! Walk of what merges bring in: every commit once, parents before children, and whether it descends from the root.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashSet},
    mem::take,
};

use super::{
    GitError, Objects, Repository,
    opened::OpenedCommit,
    reach::{Gaps, Graph, MAX_QUESTIONS},
};
use crate::{
    ledger::{Descent, StepCommit},
    model::Oid,
    signature::Opened,
};

/// A merge may bring in a history of any length, and must not end the ledger. One commit without a signer stands for all
/// ordinary ones beyond these.
const MAX_ORDINARY: usize = 10_000;

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// With the root's own step: its whole tree is new.
    Root(Oid),
    /// After a commit on the root's first-parent chain, which has been read before.
    After {
        /// The last commit that has been read.
        tip: Oid,
        /// The root.
        root: Oid,
    },
}

impl Base {
    pub(super) fn commit(self) -> Oid {
        match self {
            Self::Root(root) => root,
            Self::After { tip, .. } => tip,
        }
    }

    pub(super) fn root(self) -> Oid {
        match self {
            Self::Root(root) | Self::After { root, .. } => root,
        }
    }
}

/// Finds what merges bring in.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) base: Base,
    pub(super) tip: Oid,
    before: Before,
    /// What is known of commits' descent: of all that steps have had, and of what the base reaches as asked for. There may be
    /// a million, and a tree takes half of what a table does.
    seen: BTreeMap<Oid, Descent>,
    questions: usize,
    /// The latest committer time of what was walked for the step at hand.
    latest_time: u64,
    /// All that the base reaches and that descends from the root. Loaded after many questions.
    descendants: Option<HashSet<Oid>>,
}

/// What is known of the commits that the base reaches, which no step brings in.
#[derive(Debug)]
enum Before {
    /// There are none but the base itself.
    Nothing,
    /// Asked for at the first merge.
    Unknown,
    /// Commits that the base does not reach and no step has had yet.
    Unseen(HashSet<Oid>),
}

/// A commit whose parents are being walked.
struct Open {
    commit: OpenedCommit,
    next: usize,
}

impl Walk {
    /// Begins after a base, which has so many parents, and ends with a tip.
    pub(super) fn new(base: Base, tip: Oid, parents: usize) -> Self {
        let before = match base {
            Base::Root(_) if parents == 0 => Before::Nothing,
            Base::Root(_) | Base::After { .. } => Before::Unknown,
        };
        Self { base, tip, before, seen: BTreeMap::new(), questions: 0, latest_time: 0, descendants: None }
    }

    /// The latest committer time of what was walked since this was asked last.
    pub(super) fn take_latest_time(&mut self) -> u64 {
        take(&mut self.latest_time)
    }

    /// Takes note of a first-parent commit.
    pub(super) fn saw(&mut self, id: Oid) {
        self.seen.insert(id, Descent::Descends);
        if let Before::Unseen(unseen) = &mut self.before {
            unseen.remove(&id);
        }
    }

    /// The commits that a first-parent commit's other parents bring in: depth first, parents before children and in
    /// header order, each once.
    pub(super) fn brought_in(
        &mut self,
        objects: &mut Objects,
        merge: &OpenedCommit,
    ) -> Result<Vec<StepCommit>, GitError> {
        let mut commits = Vec::new();
        let Some(others) = merge.links.parents.get(1..).filter(|others| !others.is_empty()) else {
            return Ok(commits);
        };
        self.load_unseen(objects)?;
        let mut ordinary = 0;
        for parent in others {
            let mut stack = Vec::new();
            commits.extend(self.enter(objects, *parent, &mut stack)?);
            while let Some(open) = stack.last_mut() {
                if let Some(parent) = open.commit.links.parents.get(open.next).copied() {
                    open.next += 1;
                    commits.extend(self.enter(objects, parent, &mut stack)?);
                } else if let Some(Open { commit, .. }) = stack.pop() {
                    let descent = self.descent(objects.repository(), &commit.links.parents)?;
                    self.seen.insert(commit.id, descent);
                    let mut commit = objects.with_parents_tree(commit, None)?;
                    if let Opened::Ordinary { signature } = &mut commit.opened {
                        ordinary += 1;
                        match ordinary.cmp(&(MAX_ORDINARY + 1)) {
                            Ordering::Less => {}
                            Ordering::Equal => *signature = None,
                            Ordering::Greater => continue,
                        }
                    }
                    commits.push(commit.in_step(descent));
                }
            }
        }
        Ok(commits)
    }

    /// Goes down into a commit, unless it has been seen. One that cannot be read brings in itself, as malformed, and nothing
    /// else: it has no parents.
    fn enter(&mut self, objects: &mut Objects, id: Oid, stack: &mut Vec<Open>) -> Result<Option<StepCommit>, GitError> {
        let new = match &mut self.before {
            // One that is being walked is not met again: history has no circles.
            Before::Nothing => !self.seen.contains_key(&id),
            Before::Unknown => false,
            Before::Unseen(unseen) => unseen.remove(&id),
        };
        if !new {
            return Ok(None);
        }
        match objects.open_raw(id) {
            Ok(commit) => {
                self.latest_time = self.latest_time.max(commit.links.committer_time);
                stack.push(Open { commit, next: 0 });
                Ok(None)
            }
            Err(error) => {
                let (descent, opened) = (Descent::Foreign, Opened::Malformed(error.verdict()?));
                self.seen.insert(id, descent);
                Ok(Some(StepCommit { id, descent, parents: 0, opened }))
            }
        }
    }

    /// Loads what the tip reaches and the base does not.
    fn load_unseen(&mut self, objects: &mut Objects) -> Result<(), GitError> {
        if !matches!(self.before, Before::Unknown) {
            return Ok(());
        }
        let (base, repository) = (self.base.commit(), objects.repository().clone());
        let program = repository.run(&["rev-list", "--parents", &self.tip.to_string(), &format!("^{base}")]);
        let listed = match repository.ids_with_parents(program) {
            Err(GitError::Program { .. }) => {
                let graph = Graph::read(objects, &[self.tip, base], Gaps::Fail)?;
                let unseen = graph.between(&[self.tip], &[base]).into_iter();
                self.before = Before::Unseen(unseen.filter(|id| !self.seen.contains_key(id)).collect());
                return Ok(());
            }
            listed => listed?,
        };
        let mut unseen: HashSet<Oid> = repository.without_reached(&listed, &[base])?.into_iter().collect();
        unseen.retain(|id| !self.seen.contains_key(id));
        self.before = Before::Unseen(unseen);
        Ok(())
    }

    /// Whether any of a commit's parents descends from the root, or is it.
    fn descent(&mut self, repository: &Repository, parents: &[Oid]) -> Result<Descent, GitError> {
        for parent in parents {
            if self.descent_of(repository, *parent)? == Descent::Descends {
                return Ok(Descent::Descends);
            }
        }
        Ok(Descent::Foreign)
    }

    fn descent_of(&mut self, repository: &Repository, id: Oid) -> Result<Descent, GitError> {
        if let Some(descent) = self.seen.get(&id) {
            return Ok(*descent);
        }
        let root = self.base.root();
        let descends = match (self.base, &self.descendants) {
            _ if id == root => true,
            // The base reaches it, and the base is the root: it lies before the root.
            (Base::Root(_), _) => false,
            (Base::After { .. }, Some(descendants)) => descendants.contains(&id),
            (Base::After { tip, .. }, None) if self.questions >= MAX_QUESTIONS => {
                let ids = repository.ids(&["rev-list", "--ancestry-path", &tip.to_string(), &format!("^{root}")]);
                let descendants = match ids {
                    Err(GitError::Program { .. }) => {
                        Graph::read(&mut repository.objects()?, &[tip], Gaps::Fail)?.descendants(root)
                    }
                    ids => ids?.into_iter().collect(),
                };
                self.descendants.insert(descendants).contains(&id)
            }
            (Base::After { .. }, None) => {
                self.questions += 1;
                repository.is_ancestor(root, id)?
            }
        };
        let descent = if descends { Descent::Descends } else { Descent::Foreign };
        self.seen.insert(id, descent);
        Ok(descent)
    }
}
