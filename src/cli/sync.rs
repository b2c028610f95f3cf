//! `sync`: what was signed here, onto the remote's branch.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    session::{self, Session, Which, short},
    terminal::{remark, say},
    turn::{self, outbox, stops::Undelivered},
};
use crate::{
    git::mirrored,
    model::{Oid, Reason, Refusal},
    signature::Opened,
};

/// Bring what was signed here onto the remote's branch, and push it
///
/// Fetches, builds the votes that were signed here and that the remote does not have onto its tip, moves the local branch there
/// and pushes. Nobody signs twice: what a `git pull` merged the wrong way round, or rewrote without its signature, is taken as it
/// was signed. A vote that does not count any more is named, and left out; stops are delivered in any case.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key sync\n  git two-key -C ../governance sync")]
pub struct Args {}

/// Brings the local branch and the remote's together.
pub fn run(_: &Args, place: &Place) -> Result<(), Failure> {
    let repo = place.repository()?;
    let (name, remote) = session::watched(&repo)?;
    repo.fetch(&remote, &name)?;
    let branch = format!("refs/heads/{name}");
    let theirs = repo
        .resolve(&mirrored(&remote, &branch))?
        .ok_or_else(|| Failure::undecided(Reason::RefDeleted, format!("{remote} has no {name} to build on")))?;
    let mut session = Session::open(place, &Which::At(theirs.to_string()))?;
    session.must_be_pinned("so whose votes count is not known")?;
    // Whatever becomes of the rest.
    let undelivered = turn::stops::deliver(&repo, &remote, &branch)?;
    turn::note::deliver_all(&session, &remote)?;
    let waiting = outbox::votes(&repo, theirs)?;
    for vote in &waiting {
        if let Err(refusal) = outbox::build_on(&mut session, *vote)? {
            remark(&format!("warning: the vote {} does not count any more, and is left out: {refusal}", vote.short()));
        }
    }
    let local = repo.resolve(&branch)?;
    if let Some(local) = local {
        keeps_everything(&session, local)?;
    }
    outbox::adopt(&session, local, &remote, theirs)?;
    turn::stops::carry_over(&mut session)?;
    say(&format!("{} is at {}'s tip{}", short(&branch), remote, with(waiting.len())));
    if session.tip == theirs {
        return all_delivered(&undelivered, &remote);
    }
    match turn::publish(&mut session, &remote) {
        // The remote has the stops already.
        Err(Failure::Undecided(refusal)) if waiting.is_empty() && undelivered.is_empty() => {
            let hint = refusal.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            let message = "only stops are missing there, which appliers find under names of their own and obey";
            remark(&format!("warning: {}; {message}{hint}", refusal.message));
            Ok(())
        }
        outcome => outcome.and_then(|()| all_delivered(&undelivered, &remote)),
    }
}

/// Undecided where a stop that was signed here may still get there. What a hook judged gets nowhere.
fn all_delivered(undelivered: &[Undelivered], remote: &str) -> Result<(), Failure> {
    if undelivered.iter().all(|why| matches!(why, Undelivered::Judged(..))) {
        return Ok(());
    }
    let refusal = Refusal::new(Reason::Internal, format!("{remote} does not have every stop that was signed here"));
    Err(Failure::Undecided(refusal.hint("try again, or push them elsewhere: git two-key doctor names them")))
}

fn with(votes: usize) -> String {
    match votes {
        0 => String::new(),
        1 => ", with 1 vote that was signed here".to_owned(),
        more => format!(", with {more} votes that were signed here"),
    }
}

/// Refuses to leave work of one's own behind: commits that are neither votes nor merges, and that the new tip does not have.
fn keeps_everything(session: &Session, local: Oid) -> Result<(), Failure> {
    let mut left = Vec::new();
    let mut objects = session.repo.objects()?;
    for id in session.repo.commits_since(session.tip, local)? {
        let says_nothing = matches!(objects.open_one(id)?, Opened::Ordinary { .. });
        if says_nothing && objects.links(id)?.parents.len() == 1 {
            left.push(id.short());
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    let (name, left) = (session.branch_name().to_owned(), left.join(", "));
    let message =
        format!("{name} has commits that are neither votes nor at the remote, and would be left behind: {left}");
    let hint = format!(
        "put them on a branch of their own, then once more: git branch mine, git reset --keep {}, git two-key sync",
        session.tip
    );
    Err(Failure::refused(name, Refusal::new(Reason::Stale, message).hint(hint)))
}
