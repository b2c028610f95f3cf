//! Votes that were signed here, and that the branch as it is read does not have: they wait in the outbox, or on a local branch
//! that the remote's has left. What is shown has them on top, because their signers have signed.

use super::{Failure, session::Session, turn::outbox};
use crate::{
    git::{GitError, Repository},
    ledger::{self, Hypothesis},
    model::{Oid, Reason},
    report,
    signature::{Cosignature, Opened},
};

/// The commits of votes for going forward that were signed here and that a tip does not have.
pub(super) fn beyond(repo: &Repository, branch: &str, tip: Oid) -> Result<Vec<Oid>, GitError> {
    let mut kept = outbox::beyond(repo, tip)?;
    let local = repo.resolve(branch)?.filter(|local| *local != tip);
    for commit in local.map(|local| repo.commits_since(tip, local)).transpose()?.unwrap_or_default() {
        if !kept.contains(&commit) {
            kept.push(commit);
        }
    }
    let mut objects = repo.objects()?;
    let mut votes = Vec::new();
    for commit in kept {
        if matches!(objects.open_one(commit)?, Opened::Carrier { statement, .. } if !statement.action().stops()) {
            votes.push(commit);
        }
    }
    Ok(votes)
}

/// Lays votes on what was read, one after the other. One that does not count there is told of, and left out.
pub(super) fn lay_on(session: &mut Session, kept: &[Oid]) -> Result<(), Failure> {
    for commit in kept {
        let Some(votes) = votes_of(session, *commit)? else { continue };
        let (state, report) =
            ledger::hypothetical(&session.state, Hypothesis::Carried { votes: &votes, commit: *commit });
        if let Some(finding) = report.findings.first() {
            // The ledger has the same vote by another commit.
            if finding.refusal.reason == Reason::AlreadyVoted {
                continue;
            }
            let (short, why) = (commit.short(), &finding.refusal);
            session.remarks.push(format!(
                "warning: the vote {short} was signed here and does not count any more: {why}\nhint: git two-key sync leaves it out"
            ));
            continue;
        }
        session.state = state;
        session.past.push(report);
        session.laid_on += 1;
    }
    Ok(())
}

fn votes_of(session: &Session, commit: Oid) -> Result<Option<Vec<Cosignature>>, Failure> {
    let opened = session.repo.objects()?.open_one(commit)?;
    let votes: Vec<_> = session.state.votes(&opened).into_iter().flatten().collect();
    Ok(Some(votes).filter(|votes| !votes.is_empty()))
}

/// The votes for going forward that a session's tip has and a remote's has not, a line each: `user1: Start LEASE (1f2e3d…)`.
pub(super) fn lines(session: &Session, theirs: Oid) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for commit in session.repo.commits_since(theirs, session.tip)? {
        lines.extend(line(session, commit)?);
    }
    Ok(lines)
}

/// A vote for going forward in a line; nothing of what is none.
pub(super) fn line(session: &Session, commit: Oid) -> Result<Option<String>, Failure> {
    let opened = session.repo.objects()?.open_one(commit)?;
    let Opened::Carrier { statement, .. } = &opened else { return Ok(None) };
    if statement.action().stops() {
        return Ok(None);
    }
    let vote = session.state.votes(&opened).into_iter().flatten().next();
    let who = vote.map(|vote| format!("{}: ", vote.claims())).unwrap_or_default();
    Ok(Some(format!("{who}{} ({})", report::subject_line(statement), commit.short())))
}
