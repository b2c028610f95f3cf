//! Refs of a push: put into a Git folder of their own, from which a pattern takes each to exactly its name.
//!
//! A destination that is named outright (`<commit>:refs/heads/main`) is looked up at the remote as a short name would be. Where
//! somebody made `refs/tags/refs/heads/main` there, Git finds two of them or, while the true one is missing, the wrong one. A
//! pattern (`refs/worktree/push/*:refs/*`) names one place only.

use std::{fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;

use super::{GitError, Repository, command::Program, scratch};

/// What takes all that lies in such a folder to its place.
const ALL: &str = "refs/worktree/push/*:refs/*";

/// A Git folder with the refs of one push, which otherwise is the clone's; it ends with this.
#[derive(Debug)]
pub(super) struct Outgoing {
    folder: TempDir,
    refspecs: Vec<String>,
}

impl Outgoing {
    /// Puts the refs of refspecs `<what>:<full name>` there. Those that delete (`:<full name>`) are left as they are.
    pub(super) fn of(repo: &Repository, refspecs: &[String]) -> Result<Self, GitError> {
        let made = || {
            let folder = scratch::folder()?;
            lay_out(repo, folder.path())?;
            Ok(folder)
        };
        let folder = made().map_err(|error| GitError::io("making a Git folder for a push", error))?;
        let (mut input, mut left) = (Vec::new(), Vec::new());
        for refspec in refspecs {
            match refspec.split_once(":refs/") {
                Some((what, name)) if !what.is_empty() => {
                    input.extend_from_slice(format!("create refs/worktree/push/{name}\0{what}\0").as_bytes());
                }
                _ => left.push(refspec.clone()),
            }
        }
        let mut outgoing = Self { folder, refspecs: left };
        if !input.is_empty() {
            // No hook of the clone's has a say in what is no ref of the clone's.
            let put = ["-c", "core.hooksPath=/dev/null", "update-ref", "--no-deref", "-z", "--stdin"];
            outgoing.seen_by(repo.run(&put)).input(input).bytes()?;
            outgoing.refspecs.push(ALL.to_owned());
        }
        Ok(outgoing)
    }

    /// Has Git see these refs beside the clone's.
    pub(super) fn seen_by(&self, git: Program) -> Program {
        git.env("GIT_DIR", self.folder.path())
    }

    /// What Git is to push.
    pub(super) fn refspecs(&self) -> &[String] {
        &self.refspecs
    }
}

/// Makes a folder one of the clone's, as `git worktree` would; a `pre-push` hook finds the HEAD and index that it knows.
fn lay_out(repo: &Repository, folder: &Path) -> std::io::Result<()> {
    let git_dir = repo.git_dir();
    fs::write(folder.join("commondir"), [repo.common_dir().as_os_str().as_encoded_bytes(), b"\n"].concat())?;
    for own in ["refs", "reftable"] {
        fs::create_dir(folder.join(own))?;
    }
    fs::write(folder.join("reftable/tables.list"), "")?;
    fs::copy(git_dir.join("HEAD"), folder.join("HEAD"))?;
    let own = ["index", "config.worktree"].map(|name| (git_dir.join(name), folder.join(name)));
    own.iter().filter(|(file, _)| file.exists()).try_for_each(|(file, link)| symlink(file, link))
}
