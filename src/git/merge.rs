//! Merging histories that grew side by side, without touching worktree or index.

use std::collections::BTreeSet;

use super::{GitError, NewCommit, Repository, SignWith};
use crate::model::Oid;

impl Repository {
    /// The commits that a tip has and a base has not, oldest first.
    pub fn commits_since(&self, base: Oid, tip: Oid) -> Result<Vec<Oid>, GitError> {
        Ok(self.reached(tip, &[base], None)?.into_iter().rev().collect())
    }

    /// The tree of a merge of two commits, or the paths at which they do not merge by themselves.
    pub fn merge_trees(&self, ours: Oid, theirs: Oid) -> Result<Result<Oid, Vec<String>>, GitError> {
        let (one, other) = (ours.to_string(), theirs.to_string());
        // Histories that have nothing in common have none, and Git says so by failing.
        let bases = self.run(&["merge-base", "--all", &one, &other]).output()?;
        let mut objects = self.objects()?;
        let mut trees = BTreeSet::new();
        for base in String::from_utf8_lossy(&bases.stdout).lines().filter_map(Oid::parse) {
            trees.insert(objects.links(base)?.tree);
        }
        // Histories that crossed have several bases. One alone would say nothing of what came by the others.
        if let (Some(tree), 1) = (trees.first(), trees.len()) {
            // The usual cases, votes only or nothing new on one side, need no Git that can merge by itself (2.38).
            let (our_tree, their_tree) = (objects.links(ours)?.tree, objects.links(theirs)?.tree);
            if [our_tree, their_tree].contains(tree) {
                return Ok(Ok(if *tree == their_tree { our_tree } else { their_tree }));
            }
        }
        let (ours, theirs) = (one, other);
        let program = self.run(&["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", &ours, &theirs]);
        let command = program.line();
        let output = program.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut words = text.split('\0').filter(|word| !word.is_empty());
        let tree = words.next().and_then(Oid::parse).filter(|id| self.fits(*id));
        match (output.status.code(), tree) {
            (Some(0), Some(tree)) => Ok(Ok(tree)),
            (Some(1), Some(_)) => Ok(Err(words.map(str::to_owned).collect())),
            _ => Err(GitError::Program { command, stderr: output.stderr }),
        }
    }

    /// The unsigned merge commit of a history into a branch's tip, as a forge's button makes it, or the paths at which
    /// they do not merge by themselves. No ref is moved. Where there is nothing to merge it is the tip itself.
    pub fn merge_commit(&self, tip: Oid, other: Oid, subject: &str) -> Result<Result<Oid, Vec<String>>, GitError> {
        if self.is_ancestor(other, tip)? {
            return Ok(Ok(tip));
        }
        let tree = match self.merge_trees(tip, other)? {
            Ok(tree) => tree,
            Err(paths) => return Ok(Err(paths)),
        };
        let parents = &[tip, other];
        let message = &format!("{subject}\n");
        let commit = NewCommit { tree, parents, message, sign: SignWith::Nobody, who: "two-key" };
        self.commit_tree(&commit).map(Ok)
    }
}
