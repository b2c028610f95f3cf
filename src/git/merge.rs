//! Merges of histories that grew side by side, without touching worktree or index.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
};

use super::{
    GitError, NewCommit, Objects, Repository, SignWith,
    reach::{Gaps, Graph},
    tree::Node,
};
use crate::model::{Oid, Reason};

/// A new file is where its name says, whatever somebody moved: Git would guess that what is new in `leases/` belongs into a folder
/// that most of it was moved to.
const NO_FOLDERS: [&str; 2] = ["-c", "merge.directoryRenames=false"];

/// Why two histories do not merge by themselves. Whoever reads them finds the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Both changed these paths.
    Paths(Vec<String>),
    /// They have no commit in common.
    Strangers,
    /// Something in them that Git cannot read.
    Unreadable(Oid),
}

impl Conflict {
    /// The reason code.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Paths(_) | Self::Strangers => Reason::Stale,
            Self::Unreadable(_) => Reason::Malformed,
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paths(paths) => write!(f, "both sides changed {}", paths.join(", ")),
            Self::Strangers => f.write_str("they have no commit in common"),
            Self::Unreadable(id) => write!(f, "both sides changed files, and {id} is malformed, which Git cannot read"),
        }
    }
}

impl Repository {
    /// The commits that a tip has and a base has not, oldest first.
    pub fn commits_since(&self, base: Oid, tip: Oid) -> Result<Vec<Oid>, GitError> {
        Ok(self.reached(tip, &[base], None)?.into_iter().rev().collect())
    }

    /// The tree of a merge of two commits, or why they do not merge by themselves.
    pub fn merge_trees(&self, ours: Oid, theirs: Oid) -> Result<Result<Oid, Conflict>, GitError> {
        let bases = self.merge_bases(ours, theirs)?;
        let mut objects = self.objects()?;
        let mut tree = |id: Oid| match objects.links(id) {
            Ok(links) => Ok(Ok(links.tree)),
            Err(error) => error.verdict().map(|_| Err(Conflict::Unreadable(id))),
        };
        let (our_tree, their_tree) = match (tree(ours)?, tree(theirs)?) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(conflict), _) | (_, Err(conflict)) => return Ok(Err(conflict)),
        };
        let (mut trees, mut readable) = (BTreeSet::new(), Vec::new());
        for base in &bases {
            // One that is malformed brings nothing in, so it says nothing of what both had.
            if let Ok(tree) = tree(*base)? {
                trees.insert(tree);
                readable.push(*base);
            }
        }
        // Histories that crossed have several bases. One alone would say nothing of what came by the others.
        if let (Some(tree), 1) = (trees.first(), trees.len()) {
            // The usual cases, votes only or nothing new on one side, need no Git that can merge by itself (2.38).
            if [our_tree, their_tree].contains(tree) {
                return Ok(Ok(if *tree == their_tree { our_tree } else { their_tree }));
            }
        }
        if bases.is_empty() {
            return Ok(Err(Conflict::Strangers));
        }
        let merged = match self.merge_tree(None, ours, theirs) {
            Err(error @ GitError::Program { .. }) => {
                let Some(id) = objects.first_unreadable(&[ours, theirs])? else { return Err(error) };
                // Told what both had, Git (2.40) need not look for it.
                let found = match readable.as_slice() {
                    [base] => self.merge_tree(Some(*base), ours, theirs).ok(),
                    _ => None,
                };
                found.unwrap_or(Err(Conflict::Unreadable(id)))
            }
            merged => merged?,
        };
        let Ok(tree) = merged else { return Ok(merged) };
        let trees: Vec<Oid> = trees.into_iter().collect();
        let misplaced = objects.misplaced([our_tree, their_tree], tree, &trees)?;
        Ok(if misplaced.is_empty() { Ok(tree) } else { Err(Conflict::Paths(misplaced)) })
    }

    /// Has Git merge two commits' trees.
    fn merge_tree(&self, base: Option<Oid>, ours: Oid, theirs: Oid) -> Result<Result<Oid, Conflict>, GitError> {
        let base = base.map(|base| format!("--merge-base={base}"));
        let merge = ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z"];
        let program = self.git().args(NO_FOLDERS).args(merge).args(base);
        let program = program.args([ours, theirs].map(|id| id.to_string()));
        let command = program.line();
        let output = program.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut words = text.split('\0').filter(|word| !word.is_empty());
        let tree = words.next().and_then(Oid::parse).filter(|id| self.fits(*id));
        match (output.status.code(), tree) {
            (Some(0), Some(tree)) => Ok(Ok(tree)),
            (Some(1), Some(_)) => Ok(Err(Conflict::Paths(words.map(str::to_owned).collect()))),
            _ => Err(GitError::Program { command, stderr: output.stderr }),
        }
    }

    /// The best common ancestors of two commits, also where Git gives up.
    fn merge_bases(&self, one: Oid, other: Oid) -> Result<Vec<Oid>, GitError> {
        let output = self.run(&["merge-base", "--all", &one.to_string(), &other.to_string()]).output()?;
        // Histories that have nothing in common have none, and Git says so by failing.
        if let Some(0 | 1) = output.status.code() {
            return Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(Oid::parse).collect());
        }
        let graph = Graph::read(&mut self.objects()?, &[one, other], Gaps::Fail)?;
        let ours: HashSet<Oid> = graph.between(&[one], &[]).into_iter().collect();
        let common: Vec<Oid> = graph.between(&[other], &[]).into_iter().filter(|id| ours.contains(id)).collect();
        // Parents come before children, so whatever a later one reaches is not among the best.
        let (mut best, mut below) = (Vec::new(), HashSet::new());
        for id in common.into_iter().rev() {
            if !below.contains(&id) {
                below.extend(graph.between(&[id], &[]));
                best.push(id);
            }
        }
        Ok(best)
    }

    /// The unsigned merge commit of a history into a branch's tip, as a forge's button makes it, or why they do not merge by
    /// themselves. No ref is moved. Where there is nothing to merge it is the tip itself.
    pub fn merge_commit(&self, tip: Oid, other: Oid, subject: &str) -> Result<Result<Oid, Conflict>, GitError> {
        if self.is_ancestor(other, tip)? {
            return Ok(Ok(tip));
        }
        let tree = match self.merge_trees(tip, other)? {
            Ok(tree) => tree,
            Err(conflict) => return Ok(Err(conflict)),
        };
        let parents = &[tip, other];
        let message = &format!("{subject}\n");
        let commit = NewCommit { tree, parents, message, sign: SignWith::Nobody, who: "two-key" };
        self.commit_tree(&commit).map(Ok)
    }
}

impl Objects {
    /// A malformed commit that some commits reach, or a malformed folder of their own trees. An error if anything of that is
    /// missing.
    fn first_unreadable(&mut self, tips: &[Oid]) -> Result<Option<Oid>, GitError> {
        let graph = Graph::read(self, tips, Gaps::Fail)?;
        if let Some(id) = graph.malformed() {
            return Ok(Some(id));
        }
        let (mut folders, mut met) = (Vec::new(), HashSet::new());
        for tip in tips {
            folders.push(self.links(*tip)?.tree);
        }
        while let Some(folder) = folders.pop() {
            if !met.insert(folder) {
                continue;
            }
            let Some(tree) = self.tree(folder)? else { return Ok(Some(folder)) };
            folders.extend(tree.iter().filter_map(|(_, node)| match node {
                Node::Folder(id) => Some(id),
                _ => None,
            }));
        }
        Ok(None)
    }
}
