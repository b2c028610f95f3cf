//! `sync`: what was signed here, onto the remote's branch.

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place, account, governed, kept, signers,
    terminal::{LATE, if_late, no_answer_yet, remark, say},
    turn::{self, Consent, Local, effect, stops::Undelivered},
};
use crate::{
    git::mirrored,
    model::{Reason, Refusal, refs},
};

/// Bring what was signed here onto the remote's branch, and push it
///
/// Fetches, puts the votes that were signed here and are not at the remote on top of its branch, moves the local
/// branch there and pushes, whatever two-key.push says. Says what came into force. Nobody signs twice: what a `git
/// pull` merged the wrong way round, or rewrote without its signature, is taken as it was signed, and a pull that
/// stopped half-way is undone first. A vote that no longer counts is named and left out; stops are delivered in any
/// case.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key sync\n  git two-key -C ../governance sync")]
pub struct Args {
    /// The remote to fetch from and to push to [default: the branch's upstream, else the only remote, else origin]
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
    /// Push even what does more than was shown when it was signed, because others have voted since
    #[arg(long)]
    yes: bool,
    /// How to print; with json, words for people go to standard error
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Brings the local branch and the remote's together.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let repo = place.repository()?;
    let (name, remote) = governed::watched(&repo, args.remote.as_deref())?;
    let branch = format!("refs/heads/{name}");
    let (fetched, undelivered) = if_late(LATE, &no_answer_yet(&remote), || {
        let fetched = repo.fetch(&remote, &name);
        // Whatever becomes of the rest, and where nothing can be verified too.
        (fetched, turn::stops::deliver(&repo, &remote, &branch))
    });
    let undelivered = undelivered?;
    fetched?;
    let theirs = repo
        .resolve(&mirrored(&remote, &branch))?
        .ok_or_else(|| Failure::undecided(Reason::RefDeleted, format!("{remote} has no {name} to build on")))?;
    if let Some(undone) = repo.undo_half_done(&branch)? {
        remark(&format!("a {undone} of {name} had stopped half-way; it was undone with: git {undone} --abort"));
    }
    let mut session = turn::join(place, Some(&remote), Local::Moved)?;
    session.must_be_pinned("so whose votes count is not known")?;
    turn::note::deliver_all(&session, &remote)?;
    turn::stops::carry_over(&mut session)?;
    let new = turn::counted(&session, theirs)?;
    say(&format!("{} is at {}'s tip{}", refs::short(&branch), remote, with(new.votes)));
    kept::lines(&session, theirs)?.iter().for_each(|line| say(&format!("  {line}")));
    // A list for Git's own commands keeps no vote here.
    if let Some(text) = signers::stale(&session)?
        && let Err(failure) = signers::write(&session.repo, &text)
    {
        failure.lines("sync").iter().for_each(|lines| remark(&format!("warning: {lines}")));
    }
    if session.tip == theirs {
        return all_delivered(&undelivered, &remote);
    }
    let consent = if args.yes { Consent::Given } else { Consent::Asked };
    let before = turn::state_at(&session.repo, &session.memory, theirs)?;
    match turn::publish(&mut session, &remote, consent) {
        Ok(()) => {
            for line in effect::changes(&before, &session.state) {
                say(&line);
                account::note(|account| account.effect.push(line));
            }
            all_delivered(&undelivered, &remote)
        }
        // The remote has the stops already.
        Err(Failure::Undecided(refusal)) if new.votes + new.proposals == 0 && undelivered.is_empty() => {
            let hint = refusal.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            let message = "only stops are missing there, which appliers find under names of their own and obey";
            remark(&format!("warning: {}; {message}{hint}", refusal.message));
            Ok(())
        }
        failed => failed,
    }
}

/// Undecided where a stop that was signed here may still get there. What a hook judged gets nowhere.
fn all_delivered(undelivered: &[Undelivered], remote: &str) -> Result<(), Failure> {
    if undelivered.iter().all(|why| matches!(why, Undelivered::Judged(..))) {
        return Ok(());
    }
    let refusal = Refusal::new(Reason::NotTaken, format!("{remote} does not have every stop that was signed here"));
    Err(Failure::Undecided(refusal.hint("try again, or push them elsewhere: git two-key doctor names them")))
}

fn with(votes: usize) -> String {
    match votes {
        0 => String::new(),
        1 => ", with 1 vote that was signed here".to_owned(),
        more => format!(", with {more} votes that were signed here"),
    }
}
