//! Remotes, as verbs see them: which one is meant, where its branch was when it was last fetched, and what is here and not there.

use super::{Failure, fresh::known_remote, session::unverified_branch, turn::stops};
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

/// The governed branch, and the remote that it is fetched from.
pub(super) fn watched(repo: &Repository, named: Option<&str>) -> Result<(String, String), Failure> {
    let branch = unverified_branch(repo);
    let remote = remote_of(repo, &branch, named)?.ok_or_else(|| {
        let message = format!("{} has no remote to look at", refs::short(&branch));
        Failure::Undecided(Refusal::new(Reason::NotFound, message).hint("add it with: git remote add origin URL"))
    })?;
    Ok((refs::short(&branch).to_owned(), remote))
}

/// Says how far the upstream is ahead of a tip, and which stops no remote is known to have.
pub(super) fn known_elsewhere(repo: &Repository, branch: &str, tip: Option<Oid>) -> Result<Vec<String>, Failure> {
    let mut remarks: Vec<_> = match tip {
        Some(tip) => upstream_ahead(repo, branch, tip)?.into_iter().collect(),
        None => Vec::new(),
    };
    remarks.extend(
        stops::undelivered(repo, branch)?
            .iter()
            .map(|stop| format!("undelivered: {}\nhint: deliver it with: git two-key sync", stop.warning())),
    );
    Ok(remarks)
}

/// Says what is here and not at the remote, and which stops no remote is known to have.
pub(super) fn unpushed(repo: &Repository, branch: &str) -> Result<Vec<String>, Failure> {
    let mut remarks = Vec::new();
    if !is_pushed_to(repo, branch)?
        && let (Some((name, theirs)), Some(local)) = (upstream(repo, branch)?, repo.resolve(branch)?)
        && let more @ 1.. = repo.ahead(local, theirs)?
    {
        let name = name.strip_prefix("refs/remotes/").unwrap_or(&name);
        let (commits, theirs) = (if more == 1 { "commit" } else { "commits" }, name);
        remarks.push(format!(
            "NOT PUSHED: the local {} has {more} {commits} that {theirs} does not have\nhint: git two-key sync",
            refs::short(branch)
        ));
    }
    remarks.extend(known_elsewhere(repo, branch, None)?);
    Ok(remarks)
}

/// Says how far the upstream is ahead, if it is.
fn upstream_ahead(repo: &Repository, branch: &str, tip: Oid) -> Result<Option<String>, Failure> {
    let Some((name, remote)) = upstream(repo, branch)? else { return Ok(None) };
    if remote == tip {
        return Ok(None);
    }
    let name = name.strip_prefix("refs/remotes/").unwrap_or(&name).to_owned();
    Ok(match repo.ahead(remote, tip)? {
        0 => None,
        1 => Some(format!("{name} is 1 commit ahead; merge it, or read it with --remote")),
        more => Some(format!("{name} is {more} commits ahead; merge them, or read it with --remote")),
    })
}
