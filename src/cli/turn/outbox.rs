//! The outbox of votes: what was signed here on the branch, as it was signed, until a remote has it. Whatever rewrites or
//! merges the branch, `sync` finds it here.

use super::{fold_on, push::merge};
use crate::{
    cli::{Failure, session::Session},
    git::{GitError, Repository},
    model::{Oid, Refusal, refs},
};

/// Puts a vote into the outbox.
pub fn keep(repo: &Repository, vote: Oid) -> Result<(), GitError> {
    repo.keep_local(format!("{}{vote}", refs::SIGNED_VOTES), vote, "two-key: vote")
}

/// The votes that a remote's tip does not have, those that rest on others after them. What it has is taken out here.
pub fn votes(repo: &Repository, theirs: Oid) -> Result<Vec<Oid>, GitError> {
    for (name, vote) in repo.refs(&[refs::space(refs::SIGNED_VOTES)])? {
        if repo.is_ancestor(vote, theirs)? {
            repo.delete_ref(&name, vote)?;
        }
    }
    beyond(repo, theirs)
}

/// The votes that a tip does not have, those that rest on others after them.
pub fn beyond(repo: &Repository, tip: Oid) -> Result<Vec<Oid>, GitError> {
    let mut waiting: Vec<Oid> = Vec::new();
    for (_, vote) in repo.refs(&[refs::space(refs::SIGNED_VOTES)])? {
        if repo.is_ancestor(vote, tip)? {
            continue;
        }
        let mut at = waiting.len();
        for (place, other) in waiting.iter().enumerate().rev() {
            if repo.is_ancestor(vote, *other)? {
                at = place;
            }
        }
        waiting.insert(at, vote);
    }
    Ok(waiting)
}

/// Takes a vote out of the outbox: it cannot land, or nobody wants it.
pub fn forget(repo: &Repository, vote: Oid) -> Result<(), GitError> {
    let name = format!("{}{vote}", refs::SIGNED_VOTES);
    if repo.resolve(&name)?.is_some() { repo.delete_ref(&name, vote) } else { Ok(()) }
}

/// Keeps a vote that does not count any more beside the outbox: it is not tried again, and not lost.
pub fn set_aside(repo: &Repository, vote: Oid) -> Result<(), GitError> {
    repo.keep_local(format!("{}{vote}", refs::LEFT_OUT), vote, "two-key: left out")?;
    forget(repo, vote)
}

/// Builds a vote onto the session's tip, if it counts there; else says why it does not.
pub fn build_on(session: &mut Session, vote: Oid) -> Result<Result<(), Refusal>, Failure> {
    let repo = &session.repo;
    if repo.is_ancestor(vote, session.tip)? {
        return Ok(Ok(()));
    }
    // Where files conflict the vote goes alone.
    let tree = match repo.merge_trees(session.tip, vote)? {
        Ok(tree) => tree,
        Err(_) => repo.objects()?.links(session.tip)?.tree,
    };
    let merged = merge(repo, session.tip, vote, tree, "what was signed here")?;
    let (state, reports) = fold_on(repo, session.root.commit(), session.state.clone(), merged)?;
    if let Some(finding) = reports.iter().flat_map(|report| &report.findings).next() {
        return Ok(Err(finding.refusal.clone()));
    }
    session.move_to(merged, state, reports);
    Ok(Ok(()))
}
