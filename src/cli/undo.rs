//! `undo`: what was signed or proposed here and is at no remote, taken back.

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place, account, governed,
    terminal::{LATE, if_late, no_answer_yet, say},
    turn::{self, outbox, stops, tags},
};
use crate::{
    git::{Memory, RefUpdate, Repository, mirrored},
    model::{Oid, Reason, Refusal, refs},
    report,
    signature::Opened,
};

/// Take back what was signed or proposed here and not pushed
///
/// Fetches, puts the local branch where the remote's is, and removes the signatures that only this clone has, with
/// their tags; votes in notes that no remote has go, too. What the remote has stays, and so does every stop: only
/// forward votes end what a stop did. Says how to get the old commits back.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key undo\n  git two-key undo --remote upstream")]
pub struct Args {
    /// The remote whose branch counts [default: the branch's upstream, else the only remote, else origin]
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
    /// How to print; with json, words for people go to standard error
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Takes it back.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let repo = place.repository()?;
    let (name, remote) = governed::watched(&repo, args.remote.as_deref())?;
    let branch = format!("{}{name}", refs::HEADS);
    // What the remote has by now is pushed, and no longer to be undone.
    if_late(LATE, &no_answer_yet(&remote), || repo.fetch(&remote, &name))?;
    let theirs = repo
        .resolve(&mirrored(&remote, &branch))?
        .ok_or_else(|| Failure::undecided(Reason::RefDeleted, format!("{remote} has no {name} to go back to")))?;
    let local = repo.resolve(&branch)?;
    let kept = outbox::votes(&repo, theirs)?;
    let commits = undone(&repo, theirs, local, &kept)?;
    not_elsewhere(&repo, &remote, &branch, &commits)?;
    let commits: Vec<_> = commits.into_iter().map(|undone| undone.line).collect();
    for vote in kept {
        outbox::forget(&repo, vote)?;
    }
    if let Some(local) = local.filter(|_| !commits.is_empty()) {
        let update = RefUpdate { name: branch.clone(), old: Some(local), new: theirs };
        turn::advance(&repo, &update, "two-key: undo")?;
    }
    let notes = undone_notes(&repo, &remote)?;
    if let Some(root) = repo.pinned_root()? {
        let state = turn::state_at(&repo, &Memory::of(&repo, root), theirs)?;
        for tag in tags::false_tags(&repo, &state, Some(theirs))? {
            repo.delete_ref(&tag.name, tag.id)?;
        }
    }
    let stops = stops::undelivered(&repo, &branch)?;
    if commits.is_empty() && notes.is_empty() {
        say(&if stops.is_empty() {
            format!("nothing to undo: {remote} has all that was signed or proposed here")
        } else {
            format!(
                "nothing to undo but stops, which stay and are not on {remote}; deliver them with: git two-key sync"
            )
        });
        return Ok(());
    }
    let is_moved = !commits.is_empty();
    for line in commits.into_iter().chain(notes) {
        say(&format!("took back: {line}"));
        account::note(|account| account.taken_back.push(line));
    }
    if let Some(local) = local.filter(|_| is_moved) {
        say(&format!("{name} is at {remote}'s tip; have it again with: git reset --keep {}", local.short()));
    }
    Ok(())
}

/// Puts notes where the remote has them, and says whose held more here.
fn undone_notes(repo: &Repository, remote: &str) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for (name, ours) in repo.refs(&[refs::space(refs::NOTES)])? {
        let Some(principal) = name.strip_prefix(refs::NOTES) else { continue };
        match repo.resolve(&mirrored(remote, &name))? {
            Some(theirs) if repo.is_ancestor(ours, theirs)? => continue,
            Some(new) => {
                repo.update_refs(&[RefUpdate { name: name.clone(), old: Some(ours), new }], "two-key: undo")?;
            }
            None => repo.delete_ref(&name, ours)?,
        }
        lines.push(format!("the votes of {principal} by note; have them again with: git update-ref {name} {ours}"));
    }
    Ok(lines)
}

/// Something that is taken back.
struct Undone {
    commit: Oid,
    line: String,
}

/// Refuses where another remote has something of it: there it stays, and may be in force.
fn not_elsewhere(repo: &Repository, remote: &str, branch: &str, undone: &[Undone]) -> Result<(), Failure> {
    for other in repo.remotes()?.into_iter().filter(|other| other != remote) {
        let Some(tip) = repo.resolve(&mirrored(&other, branch))? else { continue };
        for Undone { commit, line } in undone {
            if repo.is_ancestor(*commit, tip)? {
                let message = format!("{other} has it, where it cannot be taken back: {line}");
                let hint = format!(
                    "bring it to {remote} too: git two-key sync; or take back what {other} does not have: git two-key undo \
                     --remote {other}"
                );
                return Err(Failure::refused("undo", Refusal::new(Reason::Stale, message).hint(hint)));
            }
        }
    }
    Ok(())
}

/// What the remote does not have, stops aside, a line each.
fn undone(repo: &Repository, theirs: Oid, local: Option<Oid>, kept: &[Oid]) -> Result<Vec<Undone>, Failure> {
    let mut commits = local.map(|local| repo.commits_since(theirs, local)).transpose()?.unwrap_or_default();
    commits.extend(kept.iter().filter(|vote| !commits.contains(vote)).copied().collect::<Vec<_>>());
    let mut objects = repo.objects()?;
    let mut lines = Vec::new();
    for commit in commits {
        match objects.open_one(commit)? {
            Opened::Carrier { statement, .. } if !statement.action().stops() => {
                let line = format!("{} ({})", report::subject_line(&statement), commit.short());
                lines.push(Undone { commit, line });
            }
            Opened::Carrier { .. } => {}
            _ => lines.push(Undone { commit, line: format!("commit {}", commit.short()) }),
        }
    }
    Ok(lines)
}
