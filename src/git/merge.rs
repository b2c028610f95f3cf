//! Merging histories that grew side by side, without touching worktree or index.

use super::{GitError, Repository};
use crate::model::Oid;

impl Repository {
    /// The commits that a tip has and a base has not, oldest first.
    pub fn commits_since(&self, base: Oid, tip: Oid) -> Result<Vec<Oid>, GitError> {
        self.ids(&["rev-list", "--reverse", "--topo-order", &tip.to_string(), &format!("^{base}")])
    }

    /// The tree of a merge of two commits, or the paths at which they do not merge by themselves.
    pub fn merge_trees(&self, ours: Oid, theirs: Oid) -> Result<Result<Oid, Vec<String>>, GitError> {
        let (one, other) = (ours.to_string(), theirs.to_string());
        let base = self.run(&["merge-base", &one, &other]).output()?;
        if let Some(base) = Oid::parse(String::from_utf8_lossy(&base.stdout).trim_end()) {
            // The usual case, votes only, needs no Git that can merge by itself (2.38).
            let mut objects = self.objects()?;
            if objects.links(base)?.tree == objects.links(theirs)?.tree {
                return Ok(Ok(objects.links(ours)?.tree));
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
}
