//! Steps: the first-parent history of the governed branch as [`Step`]s, in one deterministic order.
//!
//! `git rev-list` only proposes ids. Parents are taken from each commit's own bytes, and the chain is checked link by
//! link from the base to the tip. Reading a range in two parts gives the same steps as reading it at once: what a
//! step brought in is what its predecessor could not reach, wherever reading began.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use super::{
    GitError, Objects, Repository,
    ahead::{Ahead, Listing, Naming},
    files::Files,
    objects::linked,
    opened::OpenedCommit,
    walk::{Base, Walk},
};
use crate::{
    ledger::{Descent, Step},
    model::Oid,
    signature::{MAX_HELD, open_commits},
};

/// Commits that are read back from the tip one by one before Git is asked to list them.
pub(super) const NEAR: usize = 48;
/// Steps made ahead of their turn, and how many bytes each may hold. None is made ahead of one that holds more.
const STEPS_AHEAD: usize = 512;
const MAX_AHEAD: usize = 128 << 10;

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
        let parents = first.links.parents.len();
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
        let walk = Walk::new(base, tip, parents);
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
        let latest_time = claimed_time.max(seconds(self.walk.take_latest_time()));
        commits.push(commit.in_step(Descent::Descends));
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
