//! Commits, read one by one and opened: whether each is a carrier, and what it carries.

use super::{GitError, Objects, objects::linked};
use crate::{
    ledger::{Descent, StepCommit},
    model::{Oid, Reason, Refusal},
    signature::{Links, Opened, open_commits},
};

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

impl OpenedCommit {
    /// The same as a part of a step.
    pub(super) fn in_step(self, descent: Descent) -> StepCommit {
        StepCommit { id: self.id, descent, parents: self.links.parents.len(), opened: self.opened }
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
    pub(super) fn open_raw(&mut self, id: Oid) -> Result<OpenedCommit, GitError> {
        let (commit, format) = ([self.commit(id)?], self.repository().format());
        let [raw] = &commit;
        let links = linked(id, raw, format)?;
        let opened = open_commits(&commit, format).pop().unwrap_or(Opened::Ordinary { signature: None });
        Ok(OpenedCommit { id, links, opened })
    }

    /// A carrier must have its parent's tree, or it would carry more than its statement.
    pub(super) fn with_parents_tree(
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
