//! New repositories.

use std::{path::Path, time::Duration};

use super::{
    GitError, Repository,
    command::{Program, RepositoryVariables},
};
use crate::signature::ObjectFormat;

/// What a new repository has beside its objects and refs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Nothing.
    Bare,
    /// A worktree, with all that in a folder of it.
    Worktree,
}

impl Repository {
    /// Makes a repository with a branch that has no commit yet.
    pub fn init(path: &Path, layout: Layout, format: ObjectFormat, branch: &str) -> Result<Self, GitError> {
        let format = match format {
            ObjectFormat::Sha1 => "sha1",
            ObjectFormat::Sha256 => "sha256",
        };
        let mut program =
            Program::git(RepositoryVariables::Dropped).args(["init", "--quiet", "--initial-branch", branch]);
        program = program.arg(format!("--object-format={format}"));
        if layout == Layout::Bare {
            program = program.arg("--bare");
        }
        program.arg("--").arg(path).bytes()?;
        Self::open(path)
    }

    /// Clones a repository as people do, into a folder by the name that is given from another; Git may ask at the terminal. The
    /// worktree is empty until [`Self::fill_worktree`].
    pub fn clone_for_people(from: &Path, url: &str, name: &Path, remote: &str) -> Result<Self, GitError> {
        let program = Program::git(RepositoryVariables::Dropped).arg("-C").arg(from).args([
            "clone",
            "--quiet",
            "--no-checkout",
            "--origin",
            remote,
            "--",
            url,
        ]);
        program.arg(name).interactive().bytes().map_err(|error| error.of_remote(url))?;
        Self::open(&from.join(name))
    }

    /// Clones a repository, bare and without its tags: what is governed is fetched by [`Self::fetch`]. A remote
    /// that says nothing is given up at the limit.
    pub fn clone_bare(url: &str, path: &Path, limit: Duration) -> Result<Self, GitError> {
        let program = Program::git(RepositoryVariables::Dropped)
            .args(["clone", "--quiet", "--bare", "--no-tags", "--", url])
            .arg(path);
        program.within(limit).bytes()?;
        Self::open(path)
    }
}
