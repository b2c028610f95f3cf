//! Notes: votes that wait to be sealed.

use super::{Flags, Signer, carrier, stops};
use crate::{
    cli::{
        Failure,
        session::{POLICY_PATH, Session},
        terminal::say,
    },
    git::{PushOptions, RefUpdate, Repository, mirrored},
    inbox::Overlay,
    model::{Oid, Reason, Refusal, Statement, Subject},
    report,
};

/// Leaves a vote in a note on the file that it is about.
pub fn leave(
    session: &Session,
    signer: &Signer,
    statement: &Statement,
    waiting: &Overlay,
    flags: &Flags,
    destination: Option<&str>,
) -> Result<(), Failure> {
    let refused = |reason, message: String| Failure::refused(signer.principal.as_str(), Refusal::new(reason, message));
    if flags.reason.is_some() {
        return Err(Failure::Usage("a note holds a statement and its signature; --reason needs --as commit".into()));
    }
    if waiting.votes_for(statement).any(|vote| *vote.claims() == signer.principal) {
        let message = format!("a note of {} holds a vote for this already", signer.principal);
        return Err(refused(Reason::AlreadyVoted, message));
    }
    let annotated = annotated(session, statement)?.ok_or_else(|| {
        let message = "the file that it is about is no longer in the tree, so there is nothing to write a note on";
        refused(Reason::DigestMismatch, message.to_owned())
    })?;
    let name = format!("{}{}", crate::git::NOTES, signer.principal);
    let remote = match destination {
        Some(remote) => remote.to_owned(),
        None => flags.remote(&session.repo, &session.branch)?,
    };
    if destination.is_some() {
        catch_up(&session.repo, &remote, session.branch_name(), &name)?;
    }
    let (file, _) = carrier::detached(signer, statement)?;
    session.repo.append_note(&signer.principal, annotated, &format!("{statement}{file}"))?;
    say(&format!("{}: {}, by note; the next transition seals it", signer.principal, report::subject_line(statement)));
    if destination.is_none() {
        say(&format!("\nPush it with:\n  git push {remote} {name}"));
        return Ok(());
    }
    let later = |what: String| {
        let message = format!("the note is written, but {remote} does not have it: {what}");
        let hint = format!("push it later with: git push {remote} {name}");
        Failure::Undecided(Refusal::new(Reason::Internal, message).hint(hint))
    };
    let pushed = session.repo.push(&remote, &[format!("{name}:{name}")], &PushOptions::default());
    let outcome = pushed.map_err(|error| later(error.to_string()))?;
    match outcome.rejected.first() {
        None => {
            say(&format!("pushed to {remote}"));
            stops::deliver(&session.repo, &remote, &session.branch)
        }
        Some((_, why)) => Err(super::push::verdict(&outcome).unwrap_or_else(|| later(why.clone()))),
    }
}

/// Takes over what the remote's notes of the same principal have more.
fn catch_up(repo: &Repository, remote: &str, branch: &str, name: &str) -> Result<(), Failure> {
    repo.fetch(remote, branch)?;
    let (ours, theirs) = (repo.resolve(name)?, repo.resolve(&mirrored(remote, name))?);
    let Some(theirs) = theirs.filter(|theirs| Some(*theirs) != ours) else { return Ok(()) };
    if let Some(ours) = ours
        && !repo.is_ancestor(ours, theirs)?
    {
        return Ok(());
    }
    let update = RefUpdate { name: name.to_owned(), old: ours, new: theirs };
    Ok(repo.update_refs(&[update], "two-key: notes of the remote")?)
}

/// The object that a note on a statement is written on.
fn annotated(session: &Session, statement: &Statement) -> Result<Option<Oid>, Failure> {
    let mut objects = session.repo.objects()?;
    let path = match &statement.subject {
        Subject::Cosign { lease, digest } => {
            let mut files = session.state.proposals(lease);
            files.find(|(_, file)| file.digest == Some(*digest)).map(|(path, _)| path.to_owned())
        }
        Subject::Forward(forward) => {
            let mut files = session.state.proposals(&forward.lease);
            files.find(|(_, file)| file.digest == Some(forward.digest)).map(|(path, _)| path.to_owned())
        }
        _ => Some(POLICY_PATH.to_owned()),
    };
    Ok(path.map(|path| objects.file_id_at(session.tip, &path)).transpose()?.flatten())
}
