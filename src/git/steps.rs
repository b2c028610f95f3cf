//! The first-parent history of the governed branch as [`Step`]s, in one deterministic order.
//!
//! `git rev-list` only proposes ids. Parents are taken from each commit's own bytes, and the chain is checked link by
//! link from the base to the tip. Reading a range in two parts gives the same steps as reading it at once: what a
//! step brought in is what its predecessor could not reach, wherever reading began.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    panic::resume_unwind,
};

use super::{GitError, Objects, Repository, files::Files};
use crate::{
    ledger::{Descent, Step, StepCommit},
    model::{Oid, Reason, Refusal},
    signature::{
        ObjectFormat, Opened,
        commit::{Links, links},
        open_commit,
    },
};

/// Commits read ahead on the chain, and opened at once by all processors.
const AHEAD: usize = 256;
/// Fewer commits than this are opened faster by one thread.
const WORTH_A_THREAD: usize = 32;
/// From so many commits on, a step leaves out those ordinary commits that say no more than others before them did: whose
/// signature, or nobody's. A merge may bring in a history of any length, and must not end the ledger.
const MAX_ORDINARY: usize = 10_000;
/// Commits that are larger are opened as they come, not held until their turn.
const MAX_HELD: usize = 1 << 20;
/// Ancestry questions that are asked one by one; then all answers are fetched at once.
const MAX_QUESTIONS: usize = 32;

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
    fn commit(self) -> Oid {
        match self {
            Self::Root(root) => root,
            Self::After { tip, .. } => tip,
        }
    }

    fn root(self) -> Oid {
        match self {
            Self::Root(root) | Self::After { root, .. } => root,
        }
    }
}

/// A commit, read and opened by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedCommit {
    /// Its id.
    pub id: Oid,
    /// What its bytes link it to.
    pub links: Links,
    /// What its bytes are. A carrier has its parent's tree.
    pub opened: Opened,
}

impl Repository {
    /// The steps from a base to a tip. The chain between them is checked as it is read: an error ends the steps.
    pub fn steps(&self, base: Base, tip: Oid) -> Result<Steps, GitError> {
        self.whole()?;
        let mut objects = self.objects()?;
        let from = base.commit();
        let links = objects.links(from)?;
        let not_on_chain = GitError::NotOnChain { base: from, tip };
        let mut chain = VecDeque::new();
        if tip != from {
            // Asks for the tip's kind first, so that a missing tip is said to be missing.
            objects.links(tip)?;
            chain =
                self.ids(&["rev-list", "--first-parent", "--reverse", &tip.to_string(), &format!("^{from}")])?.into();
            if chain.back() != Some(&tip) {
                return Err(not_on_chain);
            }
        }
        let previous = match base {
            Base::Root(root) => {
                chain.push_front(root);
                None
            }
            Base::After { .. } => Some((from, links.tree)),
        };
        let walk = Walk { base, tip, unseen: None, seen: HashMap::new(), questions: 0, descendants: None };
        Ok(Steps { objects, chain, ahead: VecDeque::new(), previous, walk, files: Files::default(), ended: false })
    }
}

impl Objects {
    /// Reads one commit by its id and opens it, as for the refs under `refs/two-key/stops/`.
    pub fn open_one(&mut self, id: Oid) -> Result<OpenedCommit, GitError> {
        let raw = self.commit(id)?;
        let commit = opened(id, &raw, self.repository().format())?;
        self.with_parents_tree(commit, None)
    }

    /// A carrier must have its parent's tree, or it would carry more than its statement.
    fn with_parents_tree(
        &mut self,
        mut commit: OpenedCommit,
        known: Option<(Oid, Oid)>,
    ) -> Result<OpenedCommit, GitError> {
        if !matches!(commit.opened, Opened::Carrier { .. }) {
            return Ok(commit);
        }
        let parents_tree = match (commit.links.parents.first(), known) {
            (Some(parent), Some((known, tree))) if *parent == known => Some(tree),
            (Some(parent), _) => Some(self.links(*parent)?.tree),
            (None, _) => None,
        };
        if parents_tree != Some(commit.links.tree) {
            let message = format!(
                "commit {} holds a statement and also changes files: a carrier has exactly its parent's tree",
                commit.id.short()
            );
            let refusal = Refusal::new(Reason::Malformed, message).hint("make it again with git two-key, on the tip");
            commit.opened = Opened::Malformed(refusal);
        }
        Ok(commit)
    }
}

/// Opens a commit's bytes.
fn opened(id: Oid, raw: &[u8], format: ObjectFormat) -> Result<OpenedCommit, GitError> {
    let links = links(raw).map_err(|_| GitError::Corrupt(id))?;
    Ok(OpenedCommit { id, links, opened: open_commit(raw, format) })
}

/// A commit read ahead.
enum Ahead {
    /// Its bytes.
    Raw(Oid, Vec<u8>),
    /// Opened already.
    Opened(Result<OpenedCommit, GitError>),
}

impl Ahead {
    fn new(id: Oid, raw: Vec<u8>, format: ObjectFormat) -> Self {
        if raw.len() > MAX_HELD { Self::Opened(opened(id, &raw, format)) } else { Self::Raw(id, raw) }
    }

    fn open(self, format: ObjectFormat) -> Result<OpenedCommit, GitError> {
        match self {
            Self::Raw(id, raw) => opened(id, &raw, format),
            Self::Opened(opened) => opened,
        }
    }
}

/// Opens many commits, in order: verifying signatures takes longer than all the rest.
fn opened_all(mut commits: Vec<Ahead>, format: ObjectFormat) -> Result<Vec<OpenedCommit>, GitError> {
    let open = move |part: Vec<Ahead>| -> Vec<_> { part.into_iter().map(|commit| commit.open(format)).collect() };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = commits.len().div_ceil(threads).max(WORTH_A_THREAD);
    if commits.len() <= part {
        return open(commits).into_iter().collect();
    }
    let mut chunks = Vec::new();
    while !commits.is_empty() {
        let rest = commits.split_off(commits.len().min(part));
        chunks.push(std::mem::replace(&mut commits, rest));
    }
    let parts: Vec<Vec<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = chunks.into_iter().map(|part| scope.spawn(move || open(part))).collect();
        // A panic goes on in this thread: it must not look like an end of the steps.
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    parts.into_iter().flatten().collect()
}

/// The steps of a range, in order.
#[derive(Debug)]
pub struct Steps {
    objects: Objects,
    chain: VecDeque<Oid>,
    ahead: VecDeque<OpenedCommit>,
    /// The previous first-parent commit and its tree.
    previous: Option<(Oid, Oid)>,
    walk: Walk,
    files: Files,
    ended: bool,
}

impl Steps {
    /// How many steps are left.
    pub fn left(&self) -> usize {
        if self.ended { 0 } else { self.chain.len() + self.ahead.len() }
    }

    fn step(&mut self) -> Result<Option<Step>, GitError> {
        if self.ahead.is_empty() {
            let ids: Vec<Oid> = self.chain.drain(..self.chain.len().min(AHEAD)).collect();
            let format = self.objects.repository().format();
            let commits = self.objects.commits_as(&ids, |id, raw| Ahead::new(id, raw, format))?;
            self.ahead.extend(opened_all(commits, format)?);
        }
        let Some(commit) = self.ahead.pop_front() else { return Ok(None) };
        let id = commit.id;
        self.checked(&commit)?;
        let commit = self.objects.with_parents_tree(commit, self.previous)?;
        // What the root's parents are is no business of the ledger: it begins there.
        let mut commits = match self.previous {
            Some(_) => self.walk.brought_in(&mut self.objects, &commit)?,
            None => Vec::new(),
        };
        self.walk.saw(id);
        let before = self.previous.map(|(_, tree)| tree);
        let changes = self.files.changes(&mut self.objects, before, commit.links.tree)?;
        self.previous = Some((id, commit.links.tree));
        // A commit without a time claims none.
        let claimed_time = commit.links.committer_time.unwrap_or(0);
        commits.push(step_commit(commit, Descent::Descends));
        Ok(Some(Step { commit: id, claimed_time, commits, policy: changes.policy, leases: changes.leases }))
    }

    /// Checks that a commit continues the chain.
    fn checked(&self, commit: &OpenedCommit) -> Result<(), GitError> {
        let continues = match self.previous {
            Some((previous, _)) => commit.links.parents.first() == Some(&previous),
            None => commit.id == self.walk.base.root(),
        };
        if continues { Ok(()) } else { Err(GitError::NotOnChain { base: self.walk.base.commit(), tip: self.walk.tip }) }
    }
}

impl Iterator for Steps {
    type Item = Result<Step, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = self.step().transpose();
        self.ended = !matches!(step, Some(Ok(_)));
        step
    }
}

fn step_commit(commit: OpenedCommit, descent: Descent) -> StepCommit {
    StepCommit { id: commit.id, descent, parents: commit.links.parents.len(), opened: commit.opened }
}

/// Finds what merges bring in.
#[derive(Debug)]
struct Walk {
    base: Base,
    tip: Oid,
    /// Commits that the base does not reach and no step has had yet. Loaded at the first merge.
    unseen: Option<HashSet<Oid>>,
    /// What is known of commits' descent: of all that steps have had, and of what the base reaches as asked for.
    seen: HashMap<Oid, Descent>,
    questions: usize,
    /// All that the base reaches and that descends from the root. Loaded after many questions.
    descendants: Option<HashSet<Oid>>,
}

/// A commit whose parents are being walked.
struct Open {
    commit: OpenedCommit,
    next: usize,
}

impl Walk {
    /// Takes note of a first-parent commit.
    fn saw(&mut self, id: Oid) {
        self.seen.insert(id, Descent::Descends);
        if let Some(unseen) = &mut self.unseen {
            unseen.remove(&id);
        }
    }

    /// The commits that a first-parent commit's other parents bring in: depth first, parents before children and in
    /// header order, each once.
    fn brought_in(&mut self, objects: &mut Objects, merge: &OpenedCommit) -> Result<Vec<StepCommit>, GitError> {
        let mut commits = Vec::new();
        let Some(others) = merge.links.parents.get(1..).filter(|others| !others.is_empty()) else {
            return Ok(commits);
        };
        self.load_unseen(objects.repository())?;
        let mut ordinary = HashSet::new();
        for parent in others {
            let mut stack = Vec::new();
            self.enter(objects, *parent, &mut stack)?;
            while let Some(open) = stack.last_mut() {
                if let Some(parent) = open.commit.links.parents.get(open.next).copied() {
                    open.next += 1;
                    self.enter(objects, parent, &mut stack)?;
                } else if let Some(Open { commit, .. }) = stack.pop() {
                    let descent = self.descent(objects.repository(), &commit.links.parents)?;
                    self.seen.insert(commit.id, descent);
                    let commit = objects.with_parents_tree(commit, None)?;
                    let says_more = match &commit.opened {
                        Opened::Ordinary { signer } => ordinary.insert((*signer, descent)),
                        Opened::Malformed(_) | Opened::Carrier { .. } => true,
                    };
                    if says_more || commits.len() < MAX_ORDINARY {
                        commits.push(step_commit(commit, descent));
                    }
                }
            }
        }
        Ok(commits)
    }

    /// Goes down into a commit, unless it has been seen.
    fn enter(&mut self, objects: &mut Objects, id: Oid, stack: &mut Vec<Open>) -> Result<(), GitError> {
        if self.unseen.as_mut().is_some_and(|unseen| unseen.remove(&id)) {
            let raw = objects.commit(id)?;
            stack.push(Open { commit: opened(id, &raw, objects.repository().format())?, next: 0 });
        }
        Ok(())
    }

    /// Loads what the tip reaches and the base does not.
    ///
    /// `rev-list` trusts dates to know when it has excluded enough, so in history with dates out of order it may list
    /// commits that the base reaches, and with each all of its listed ancestors. So the listed commits without a listed
    /// parent are asked about; if one is wrong, everything that the base reaches is listed and taken out.
    fn load_unseen(&mut self, repository: &Repository) -> Result<(), GitError> {
        if self.unseen.is_some() {
            return Ok(());
        }
        let base = self.base.commit();
        let listed =
            repository.ids_with_parents(&["rev-list", "--parents", &self.tip.to_string(), &format!("^{base}")])?;
        let mut unseen: HashSet<Oid> = listed.iter().filter_map(|line| line.first().copied()).collect();
        let first = |line: &&Vec<Oid>| {
            let mut parents = line.iter().skip(1);
            // A child of the base is not before the base.
            parents.all(|parent| !unseen.contains(parent) && *parent != base)
        };
        let firsts: Vec<Oid> = listed.iter().filter(first).filter_map(|line| line.first().copied()).collect();
        let mut wrong = firsts.len() > MAX_QUESTIONS;
        for first in firsts {
            wrong = wrong || repository.is_ancestor(first, base)?;
        }
        if wrong {
            for reached in repository.ids(&["rev-list", &base.to_string()])? {
                unseen.remove(&reached);
            }
        }
        unseen.retain(|id| !self.seen.contains_key(id));
        self.unseen = Some(unseen);
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
                let ids = repository.ids(&["rev-list", "--ancestry-path", &tip.to_string(), &format!("^{root}")])?;
                self.descendants.insert(ids.into_iter().collect()).contains(&id)
            }
            (Base::After { .. }, None) => {
                self.questions += 1;
                repository.run(&["merge-base", "--is-ancestor", &root.to_string(), &id.to_string()]).says_yes()?
            }
        };
        let descent = if descends { Descent::Descends } else { Descent::Foreign };
        self.seen.insert(id, descent);
        Ok(descent)
    }
}
