//! Differences between here and the remotes: commits that either lacks, and stops that no remote is known to have.

use super::{
    Failure,
    remotes::{is_pushed_to, upstream},
    turn::stops,
};
use crate::{
    git::Repository,
    model::{Oid, refs},
};

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
