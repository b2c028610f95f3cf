//! Remotes, as verbs see them: which one is meant, and where its branch was when it was last fetched.

use super::Failure;
use crate::{
    git::Repository,
    model::{Oid, Reason, Refusal, refs},
};

/// The branch's upstream and where it was when it was last fetched: as configured, else of the only remote.
pub(super) fn upstream(repo: &Repository, branch: &str) -> Result<Option<(String, Oid)>, Failure> {
    let name = match repo.upstream(branch)? {
        Some(name) => name,
        None => match repo.remotes()?.as_slice() {
            [only] => format!("refs/remotes/{only}/{}", refs::short(branch)),
            _ => return Ok(None),
        },
    };
    Ok(repo.resolve(&name)?.map(|tip| (name, tip)))
}

/// The remote that verbs follow by themselves. A bare repository is where others push to: it follows none unless it is told.
pub(super) fn followed(repo: &Repository, branch: &str, named: Option<&str>) -> Result<Option<String>, Failure> {
    if named.is_none() && is_pushed_to(repo, branch)? {
        return Ok(None);
    }
    remote_of(repo, branch, named)
}

/// Whether a repository is a bare one whose branch follows no other.
pub(super) fn is_pushed_to(repo: &Repository, branch: &str) -> Result<bool, Failure> {
    Ok(repo.worktree().is_none() && repo.config(&format!("branch.{}.remote", refs::short(branch)))?.is_none())
}

/// The remote that is meant: the named one, else that of the branch's upstream, else the only one, else `origin`.
pub(super) fn remote_of(repo: &Repository, branch: &str, named: Option<&str>) -> Result<Option<String>, Failure> {
    if let Some(named) = named {
        known_remote(repo, named)?;
        return Ok(Some(named.to_owned()));
    }
    let configured = repo.config(&format!("branch.{}.remote", refs::short(branch)))?.filter(|name| name != ".");
    if configured.is_some() {
        return Ok(configured);
    }
    let remotes = repo.remotes()?;
    Ok(match remotes.as_slice() {
        [only] => Some(only.clone()),
        many => many.iter().find(|name| *name == "origin").cloned(),
    })
}

/// Refuses a remote that is not there.
pub(super) fn known_remote(repo: &Repository, name: &str) -> Result<(), Failure> {
    let is_address = name.contains(['/', ':']) || name.starts_with('.');
    if name.starts_with('-') || !(is_address || repo.remotes()?.iter().any(|remote| remote == name)) {
        let refusal = Refusal::new(Reason::NotFound, format!("there is no remote `{name}`"));
        return Err(Failure::Undecided(
            refusal.hint("see which there are with: git remote -v; add one with: git remote add origin URL"),
        ));
    }
    Ok(())
}
