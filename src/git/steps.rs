//! The first-parent history of the governed branch as [`Step`]s, in one deterministic order.
//!
//! `git rev-list` only proposes ids. Parents are taken from each commit's own bytes, and the chain is checked link by
//! link from the base to the tip. Reading a range in two parts gives the same steps as reading it at once: what a
//! step brought in is what its predecessor could not reach, wherever reading began.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashSet, VecDeque},
    mem::take,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use super::{
    GitError, Objects, Repository,
    ahead::{Ahead, Listing, Naming},
    files::Files,
    objects::linked,
    reach::{Gaps, Graph, MAX_QUESTIONS},
};
use crate::{
    ledger::{Descent, Step, StepCommit},
    model::{Oid, Reason, Refusal},
    signature::{Links, MAX_HELD, Opened, open_commits},
};

/// Commits that are read back from the tip one by one before Git is asked to list them.
pub(super) const NEAR: usize = 48;
/// Steps made ahead of their turn, and how many bytes each may hold. None is made ahead of one that holds more.
const STEPS_AHEAD: usize = 512;
const MAX_AHEAD: usize = 128 << 10;
/// A merge may bring in a history of any length, and must not end the ledger. Of more ordinary commits than these nobody is looked
/// for who signed them all.
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
        let from = base.commit();
        // Whoever begins at the root most likely has far to go: Git lists the chain while the last commits are read back.
        let listing = match base {
            Base::Root(root) if root != tip => Listing::start(self, root, tip, Naming::Graph).ok(),
            Base::Root(_) | Base::After { .. } => None,
        };
        let mut objects = self.objects()?;
        if let Base::Root(_) = base {
            objects.expect_sizes()?;
        }
        let first = objects.open_raw(from)?;
        let tree = first.links.tree;
        let rootless = first.links.parents.is_empty();
        let (mut ready, ahead, naming) = if let Some(near) = objects.back_to(from, tip)? {
            (near, None, Naming::Objects)
        } else {
            let (ahead, naming) = self.read_ahead(from, tip, listing)?;
            (VecDeque::new(), Some(ahead), naming)
        };
        let previous = match base {
            Base::Root(_) => {
                ready.push_front(first);
                None
            }
            Base::After { .. } => Some((from, tree)),
        };
        let before = match base {
            Base::Root(_) if rootless => Before::Nothing,
            Base::Root(_) | Base::After { .. } => Before::Unknown,
        };
        let walk = Walk { base, tip, before, seen: BTreeMap::new(), questions: 0, latest_time: 0, descendants: None };
        Steps::of(Assembly { objects, ready, ahead, naming, previous, walk, files: Files::default(), prepared: 0 })
    }

    /// The commits after a base up to a tip, of which there must be some; perhaps they are being listed by the commit-graph.
    fn read_ahead(&self, base: Oid, tip: Oid, listing: Option<Listing>) -> Result<(Ahead, Naming), GitError> {
        let listing = listing.map_or_else(|| Listing::start(self, base, tip, Naming::Graph), Ok);
        // A commit-graph that cannot be read is as good as none.
        if let Ok(ahead) = listing.and_then(|listing| Ahead::start(self, listing))
            && ahead.left() > 0
        {
            return Ok((ahead, Naming::Graph));
        }
        match Ahead::start(self, Listing::start(self, base, tip, Naming::Objects)?)? {
            none if none.left() == 0 => Err(GitError::NotOnChain { base, tip }),
            ahead => Ok((ahead, Naming::Objects)),
        }
    }
}

impl Objects {
    /// Reads one commit by its id and opens it, as for the refs under `refs/two-key/stops/`. What is no commit that can be
    /// read is malformed.
    pub fn open_one(&mut self, id: Oid) -> Result<Opened, GitError> {
        match self.open_raw(id) {
            Ok(commit) => Ok(self.with_parents_tree(commit, None)?.opened),
            Err(error) => error.verdict().map(Opened::Malformed),
        }
    }

    /// Reads one commit and opens it, without a look at its parents.
    fn open_raw(&mut self, id: Oid) -> Result<OpenedCommit, GitError> {
        let (commit, format) = ([self.commit(id)?], self.repository().format());
        let [raw] = &commit;
        let links = linked(id, raw, format)?;
        let opened = open_commits(&commit, format).pop().unwrap_or(Opened::Ordinary { signature: None });
        Ok(OpenedCommit { id, links, opened })
    }

    /// Goes from a tip by first parents back to a base, if that is near; the commits after the base, oldest first.
    fn back_to(&mut self, base: Oid, tip: Oid) -> Result<Option<VecDeque<OpenedCommit>>, GitError> {
        let (mut near, mut raw, mut held, mut next) = (Vec::new(), Vec::new(), 0, tip);
        while next != base {
            if near.len() == NEAR || held > MAX_HELD {
                return Ok(None);
            }
            let commit = self.commit(next)?;
            let links = linked(next, &commit, self.repository().format())?;
            held += commit.front().len();
            let Some(parent) = links.parents.first().copied() else { return Ok(None) };
            near.push((next, links));
            raw.push(commit);
            next = parent;
        }
        // Only now: where the base is far, all of them are read anew.
        let opened = open_commits(&raw, self.repository().format());
        let near = near.into_iter().zip(opened).map(|((id, links), opened)| OpenedCommit { id, links, opened });
        Ok(Some(near.rev().collect()))
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
            (Some(parent), _) => match self.tree_of(*parent) {
                Ok(tree) => Some(tree),
                Err(error) => error.verdict().map(|_| None)?,
            },
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

/// The steps of a range, in order.
#[derive(Debug)]
pub struct Steps(StepSource);

#[derive(Debug)]
enum StepSource {
    /// Made as they are asked for.
    Here(Box<Assembly>),
    /// Made by another thread, which sends them ahead of their turn, and nothing after the last.
    There {
        steps: Receiver<SentStep>,
        left: usize,
    },
    Ended,
}

/// What the other thread sends.
#[derive(Debug)]
struct SentStep {
    step: Option<Result<Step, GitError>>,
    /// Of a step that holds much: dropped when the step is taken, for which the thread waits.
    _waited_for: Option<SyncSender<()>>,
}

impl Steps {
    /// Has another thread make the steps if there are many.
    fn of(assembly: Assembly) -> Result<Self, GitError> {
        let left = assembly.left();
        if assembly.ahead.is_none() {
            return Ok(Self(StepSource::Here(Box::new(assembly))));
        }
        let (sender, steps) = sync_channel(STEPS_AHEAD);
        let make = move || assembly.send_all(&sender);
        thread::Builder::new()
            .name("steps".to_owned())
            .spawn(make)
            .map_err(|error| GitError::io("starting a thread", error))?;
        Ok(Self(StepSource::There { steps, left }))
    }

    /// How many steps are left.
    pub fn left(&self) -> usize {
        match &self.0 {
            StepSource::Here(assembly) => assembly.left(),
            StepSource::There { left, .. } => *left,
            StepSource::Ended => 0,
        }
    }
}

impl Iterator for Steps {
    type Item = Result<Step, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = match &mut self.0 {
            StepSource::Here(assembly) => assembly.step().transpose(),
            StepSource::There { steps, left } => {
                *left = left.saturating_sub(1);
                // A thread that ended without saying so must not look like an end of the steps.
                let fault = || {
                    let error = "the thread that does it ended before the ledger did".to_owned();
                    Some(Err(GitError::Io { doing: "reading the ledger".to_owned(), error }))
                };
                steps.recv().map_or_else(|_| fault(), |made| made.step)
            }
            StepSource::Ended => None,
        };
        if !matches!(step, Some(Ok(_))) {
            self.0 = StepSource::Ended;
        }
        step
    }
}

/// Makes steps of commits.
#[derive(Debug)]
struct Assembly {
    objects: Objects,
    /// Commits that have been opened already.
    ready: VecDeque<OpenedCommit>,
    /// Those that come after them, where there are many.
    ahead: Option<Ahead>,
    naming: Naming,
    /// The previous first-parent commit and its tree.
    previous: Option<(Oid, Oid)>,
    walk: Walk,
    files: Files,
    /// Commits from here on whose files have been prepared.
    prepared: usize,
}

impl Assembly {
    fn left(&self) -> usize {
        self.ready.len() + self.ahead.as_ref().map_or(0, Ahead::left)
    }

    fn send_all(mut self, steps: &SyncSender<SentStep>) {
        loop {
            let step = self.step().transpose();
            let ended = !matches!(step, Some(Ok(_)));
            if !send(steps, step) || ended {
                return;
            }
        }
    }

    /// The next commit of the chain.
    fn next(&mut self) -> Result<Option<OpenedCommit>, GitError> {
        let commit = match (self.ready.pop_front(), &mut self.ahead) {
            (Some(commit), _) => Some(commit),
            (None, Some(ahead)) => match ahead.next().transpose() {
                // What a commit-graph names need not be there. No commit continues the chain then.
                Err(_) if self.naming == Naming::Graph => None,
                commit => commit?,
            },
            (None, None) => None,
        };
        let continues = match (&commit, self.previous) {
            (Some(commit), Some((previous, _))) => commit.links.parents.first() == Some(&previous),
            (Some(commit), None) => commit.id == self.walk.base.root(),
            (None, previous) => previous.is_some_and(|(previous, _)| previous == self.walk.tip),
        };
        match (continues, self.previous) {
            (true, _) => Ok(commit),
            (false, Some((previous, _))) if self.naming == Naming::Graph => {
                // Not what the commits themselves say: ask them.
                self.naming = Naming::Objects;
                self.ready.clear();
                let repository = self.objects.repository();
                let listing = Listing::start(repository, previous, self.walk.tip, self.naming)?;
                self.ahead = Some(Ahead::start(repository, listing)?);
                self.next()
            }
            _ => Err(GitError::NotOnChain { base: self.walk.base.commit(), tip: self.walk.tip }),
        }
    }

    fn step(&mut self) -> Result<Option<Step>, GitError> {
        let Some(commit) = self.next()? else { return Ok(None) };
        let id = commit.id;
        let commit = self.objects.with_parents_tree(commit, self.previous)?;
        // What the root's parents are is no business of the ledger: it begins there.
        let mut commits = match self.previous {
            Some(_) => self.walk.brought_in(&mut self.objects, &commit)?,
            None => Vec::new(),
        };
        self.walk.saw(id);
        let before = self.previous.map(|(_, tree)| tree);
        self.prepare(before, commit.links.tree);
        let changes = self.files.changes(&mut self.objects, before, commit.links.tree)?;
        self.previous = Some((id, commit.links.tree));
        let seconds = |time| i64::try_from(time).unwrap_or(i64::MAX);
        let claimed_time = seconds(commit.links.committer_time);
        let latest_time = claimed_time.max(seconds(take(&mut self.walk.latest_time)));
        commits.push(step_commit(commit, Descent::Descends));
        let (policy, leases) = (changes.policy, changes.leases);
        Ok(Some(Step { commit: id, claimed_time, latest_time, commits, policy, leases }))
    }
}

impl Assembly {
    /// Reads what the trees of the commits at hand will be compared by, all at once. Few of them differ from their parents'.
    fn prepare(&mut self, before: Option<Oid>, tree: Oid) {
        if self.prepared > 0 {
            self.prepared -= 1;
            return;
        }
        let at_hand = self.ready.iter().chain(self.ahead.iter().flat_map(Ahead::at_hand));
        let next: Vec<Oid> = at_hand.map(|commit| commit.links.tree).collect();
        self.prepared = next.len();
        let trees: Vec<Oid> = before.into_iter().chain([tree]).chain(next).collect();
        self.files.prepare(&mut self.objects, &trees);
    }
}

fn step_commit(commit: OpenedCommit, descent: Descent) -> StepCommit {
    StepCommit { id: commit.id, descent, parents: commit.links.parents.len(), opened: commit.opened }
}

/// Sends a step, and waits until it is taken if it holds much. False if nobody takes steps any more.
fn send(steps: &SyncSender<SentStep>, step: Option<Result<Step, GitError>>) -> bool {
    let much = matches!(&step, Some(Ok(step)) if step.weight() > MAX_AHEAD);
    let (waited_for, taken) = if much { Some(sync_channel(0)).unzip() } else { (None, None) };
    let sent = steps.send(SentStep { step, _waited_for: waited_for }).is_ok();
    if let Some(taken) = taken {
        // Nothing is ever sent: it ends when the step, or the channel with it, has been dropped.
        let _: Result<(), _> = taken.recv();
    }
    sent
}

/// Finds what merges bring in.
#[derive(Debug)]
struct Walk {
    base: Base,
    tip: Oid,
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
    /// Takes note of a first-parent commit.
    fn saw(&mut self, id: Oid) {
        self.seen.insert(id, Descent::Descends);
        if let Before::Unseen(unseen) = &mut self.before {
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
                    commits.push(step_commit(commit, descent));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        git::testing::{chain, empty},
        ledger::Entry,
    };

    #[test]
    fn what_is_near_is_few_commits_and_few_bytes() {
        let small = 200;
        let (_folder, repository) = empty();
        let mut objects = repository.objects().unwrap();
        for (sizes, near) in [
            (vec![small; NEAR + 1], true),
            (vec![small; NEAR + 2], false),
            // What was read to reach the base is there anyway.
            (vec![small, MAX_HELD, MAX_HELD], true),
            (vec![small, small, MAX_HELD], true),
            (vec![small, small, MAX_HELD, MAX_HELD], false),
            // Of one that is too large to be held there is little.
            (vec![small, small, MAX_HELD + 1, MAX_HELD + 1], true),
        ] {
            let chain = chain(&repository, &sizes);
            let (root, tip) = (chain[0], chain[chain.len() - 1]);
            let found = objects.back_to(root, tip).unwrap();
            assert_eq!(found.is_some(), near, "{sizes:?}");
            let after: Vec<Oid> = found.into_iter().flatten().map(|commit| commit.id).collect();
            assert!(after.is_empty() || after == chain[1..], "{sizes:?}");
            let steps = repository.steps(Base::Root(root), tip).unwrap();
            let steps: Vec<Oid> = steps.map(|step| step.unwrap().commit).collect();
            assert_eq!(steps, chain, "{sizes:?}");
        }
    }

    /// A step with a policy of so many bytes.
    fn step(bytes: usize) -> Step {
        let policy = Some(Entry::Regular(vec![0; bytes].into()));
        Step {
            commit: Oid::Sha1([1; 20]),
            claimed_time: 0,
            latest_time: 0,
            commits: Vec::new(),
            policy,
            leases: Vec::new(),
        }
    }

    #[test]
    fn nothing_is_made_ahead_of_a_step_that_holds_much() {
        for (bytes, ahead) in [(0, true), (MAX_AHEAD, false)] {
            let (sender, steps) = sync_channel(STEPS_AHEAD);
            let maker = thread::spawn(move || (0..2).all(|_| send(&sender, Some(Ok(step(bytes))))));
            let first = steps.recv().unwrap();
            let patience = if ahead { Duration::from_secs(60) } else { Duration::from_millis(200) };
            assert_eq!(steps.recv_timeout(patience).is_ok(), ahead, "{bytes}");
            drop(first);
            assert_eq!(steps.recv().is_ok(), !ahead, "{bytes}");
            assert!(maker.join().unwrap());
        }
    }

    #[test]
    fn whoever_wants_no_more_steps_leaves_nobody_waiting() {
        let (sender, steps) = sync_channel(STEPS_AHEAD);
        let maker = thread::spawn(move || while send(&sender, Some(Ok(step(MAX_AHEAD)))) {});
        drop(steps.recv().unwrap());
        drop(steps);
        maker.join().unwrap();
    }
}
