//! A half-done rebase or merge of a branch: what a `git pull` that met a conflict leaves.

use std::fs;

use super::{GitError, Repository};

impl Repository {
    /// Undoes a rebase or a merge of a branch that has stopped half-way, as its own `--abort` does, and says which it was: commits
    /// that were made before stay.
    pub fn undo_half_done(&self, branch: &str) -> Result<Option<&'static str>, GitError> {
        if self.worktree().is_none() {
            return Ok(None);
        }
        for folder in ["rebase-merge", "rebase-apply"] {
            let name = fs::read(self.git_dir().join(folder).join("head-name")).unwrap_or_default();
            if name.trim_ascii_end() == branch.as_bytes() {
                return self.run(&["rebase", "--abort"]).bytes().map(|_| Some("rebase"));
            }
        }
        if self.git_dir().join("MERGE_HEAD").exists() && self.head()?.as_deref() == Some(branch) {
            return self.run(&["merge", "--abort"]).bytes().map(|_| Some("merge"));
        }
        Ok(None)
    }
}
