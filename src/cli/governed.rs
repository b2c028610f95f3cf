//! Governed branch: which it is here, where its ledger begins, and which of its tips is meant.

use crate::{
    git::{AskedRef, Base, GitError, Memory, Repository, mirrored},
    ledger::Entry,
    model::{Oid, Reason, Refusal, policy, refs},
};

use super::{
    Failure,
    remotes::{is_pushed_to, known_remote, remote_of, upstream},
};

/// The path that a root is found by where none is pinned.
pub(super) const POLICY_PATH: &str = ".two-key/policy.yaml";
/// The branch that is governed where nothing says otherwise.
pub(super) const MAIN: &str = "refs/heads/main";

/// Where the ledger begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// As pinned here by somebody who checked it.
    Pinned(Oid),
    /// As the branch itself has it: whoever can rewrite the branch chose it.
    Unpinned(Oid),
}

impl Root {
    /// The root commit.
    pub fn commit(self) -> Oid {
        match self {
            Self::Pinned(root) | Self::Unpinned(root) => root,
        }
    }
}

/// Which tip is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The local governed branch.
    Local,
    /// The fetched tip of a remote's; of its upstream's if none is named.
    Remote(Option<String>),
    /// The newest that is known: the fetched tip, unless the local branch continues it.
    Newest,
    /// Any commit, as people write it.
    At(String),
}

/// Finds the root, the branch, and what is remembered of the ledger there.
pub(super) fn begin(repo: &Repository) -> Result<(Root, String, Memory), Failure> {
    repo.whole()?;
    if let Some(root) = repo.pinned_root()? {
        let memory = Memory::of(repo, root);
        let branch = memory.branch().map_or_else(|| pinned_branch(repo, root), Ok)?;
        return Ok((Root::Pinned(root), branch, memory));
    }
    let branch = unpinned_branch(repo)?;
    let Some(tip) = repo.resolve(&branch)? else { return Err(no_ledger(&branch)) };
    let root = repo.first_to_change(tip, POLICY_PATH)?.ok_or_else(|| no_ledger(&branch))?;
    Ok((Root::Unpinned(root), branch, Memory::none(root)))
}

fn no_ledger(branch: &str) -> Failure {
    let message = format!("there is no ledger here: {} has no {POLICY_PATH}", refs::short(branch));
    Failure::Undecided(
        Refusal::new(Reason::NoLedger, message)
            .hint("this is not a governance clone; change to it, or clone one: git two-key clone URL --root ROOT"),
    )
}

/// The branch that the root's policy names.
pub(super) fn pinned_branch(repo: &Repository, root: Oid) -> Result<String, Failure> {
    let missing = |error| match error {
        GitError::MissingObject(id) if id == root => {
            let message = format!("the pinned root {root} is not in this repository");
            Failure::Undecided(
                Refusal::new(Reason::NoLedger, message).hint("see what is wrong with: git two-key doctor"),
            )
        }
        other => other.into(),
    };
    let step = repo.steps(Base::Root(root), root).map_err(missing)?.next().transpose()?;
    let Some(Entry::Regular(bytes)) = step.and_then(|step| step.policy) else {
        return Err(Failure::undecided(Reason::Malformed, format!("the pinned root {root} has no {POLICY_PATH}")));
    };
    let policy = policy::read(&bytes).map_err(|error| Failure::Undecided(error.into()))?;
    Ok(policy.get().branch_ref())
}

/// The branch that somebody without a pinned root most likely means.
fn unpinned_branch(repo: &Repository) -> Result<String, Failure> {
    if let Some(branch) = repo.config("two-key.branch")? {
        return Ok(format!("refs/heads/{branch}"));
    }
    if let Some(head) = repo.head()?
        && let Some(tip) = repo.resolve(&head)?
        && repo.first_to_change(tip, POLICY_PATH)?.is_some()
    {
        return Ok(head);
    }
    Ok(MAIN.to_owned())
}

/// The governed branch and its tip where nothing can be verified.
pub(super) fn unverified_tip(repo: &Repository, which: &Which) -> Result<(String, Oid), Failure> {
    let branch = unverified_branch(repo);
    let tip = tip(repo, &branch, which, None)?;
    Ok((branch, tip))
}

/// The governed branch where nothing can be verified.
pub(super) fn unverified_branch(repo: &Repository) -> String {
    let pinned = repo.pinned_root().ok().flatten().and_then(|root| pinned_branch(repo, root).ok());
    pinned.or_else(|| unpinned_branch(repo).ok()).unwrap_or_else(|| MAIN.to_owned())
}

/// The tip that is meant. Where the local branch is may have been asked.
pub(super) fn tip(repo: &Repository, branch: &str, which: &Which, asked: Option<AskedRef>) -> Result<Oid, Failure> {
    match which {
        Which::At(revision) => commit(repo, revision),
        Which::Local => repo.resolve_asked(asked, branch)?.ok_or_else(|| {
            let message = format!("the governed branch {} is not here", refs::short(branch));
            let hint = format!(
                "fetch it with: git fetch origin {0}:{0}, or read the upstream's with --remote",
                refs::short(branch)
            );
            Failure::Undecided(Refusal::new(Reason::NoLedger, message).hint(hint))
        }),
        Which::Newest => {
            let followed = if is_pushed_to(repo, branch)? { None } else { upstream(repo, branch)? };
            let theirs = followed.map(|(_, tip)| tip);
            match (repo.resolve_asked(asked, branch)?, theirs) {
                (Some(local), Some(theirs)) if local == theirs || repo.is_ancestor(theirs, local)? => Ok(local),
                (_, Some(theirs)) => Ok(theirs),
                (Some(local), None) => Ok(local),
                (None, None) => tip(repo, branch, &Which::Local, None),
            }
        }
        Which::Remote(named) => {
            let found = match named {
                Some(remote) => {
                    known_remote(repo, remote)?;
                    repo.resolve(&mirrored(remote, branch))?
                }
                None => upstream(repo, branch)?.map(|(_, tip)| tip),
            };
            found.ok_or_else(|| {
                let message = format!("{} has no fetched upstream", refs::short(branch));
                let hint = format!("git fetch, then: git branch --set-upstream-to=origin/{0} {0}", refs::short(branch));
                Failure::Undecided(Refusal::new(Reason::NoLedger, message).hint(hint))
            })
        }
    }
}

/// A commit, as people write it.
pub(super) fn commit(repo: &Repository, revision: &str) -> Result<Oid, Failure> {
    repo.revision(revision)?
        .ok_or_else(|| Failure::undecided(Reason::NotFound, format!("`{revision}` names no commit here")))
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
