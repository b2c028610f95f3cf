//! Questions about history that people are told the answers to; no decision rests on them.

use super::{GitError, Repository};
use crate::model::Oid;

impl Repository {
    /// The oldest commit on a tip's first-parent chain that changed a path.
    pub fn first_to_change(&self, tip: Oid, path: &str) -> Result<Option<Oid>, GitError> {
        let ids = self.ids(&["rev-list", "--first-parent", "--reverse", &tip.to_string(), "--", path])?;
        Ok(ids.first().copied())
    }

    /// How many commits one commit has that another has not.
    pub fn ahead(&self, tip: Oid, of: Oid) -> Result<u64, GitError> {
        let program = self.run(&["rev-list", "--count", &tip.to_string(), &format!("^{of}")]);
        let command = program.line();
        let text = program.text()?;
        text.trim().parse().map_err(|_| GitError::Answer { command, what: text })
    }
}
