//! Signing verbs' common part: whose key it is, making and folding commits before any ref moves, pushing.

mod carrier;
pub mod effect;
mod flags;
mod forward;
mod join;
pub mod keys;
pub mod note;
pub mod outbox;
mod propose;
mod push;
mod several;
mod stop;
pub mod stops;
pub mod tags;

use jiff::Timestamp;

use super::{Failure, governed::POLICY_PATH, session::Session, terminal::remark};
use crate::{
    git::{Base, GitError, LeftOut, Memory, NotBroughtUp, RefUpdate, Repository, Stuck},
    ledger::{self, State, StepReport},
    model::{Oid, Reason, Refusal, refs},
    report,
};

use crate::git::Signer;
pub use flags::{Delivery, Flags, To};
pub use forward::{Ask, Carried, pinned, proposing, turn};
pub use join::{Local, counted, join};
pub use propose::Proposal;
pub use push::{Consent, verdict, words_of};
pub use several::{LeaseChoice, turn_each};
pub use stop::stop;

/// The local clock, which only refuses what the server's clock would refuse too.
#[allow(clippy::disallowed_methods, reason = "cli reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Founds a ledger on a commit, which must be here.
pub fn begin(repo: &Repository, root: Oid) -> Result<(State, StepReport), Failure> {
    let missing = |error| match error {
        GitError::MissingObject(_) => {
            let refusal = Refusal::new(Reason::NotFound, format!("there is no commit {root} in this repository"));
            let hint = format!(
                "fetch the governed branch first: git fetch; into a shallow clone: git fetch --depth=1 origin {root}"
            );
            Failure::Undecided(refusal.hint(hint))
        }
        other => other.into(),
    };
    let step = repo.steps(Base::Root(root), root).map_err(missing)?.next().transpose().map_err(missing)?;
    let step = step.ok_or(GitError::MissingObject(root))?;
    ledger::begin(&step).map_err(|error| Failure::refused(format!("root {root}"), error.refusal))
}

/// Warns where a root is not where its ledger begins: what was in force before it is not known then.
pub fn warn_of_what_was_before(repo: &Repository, root: Oid) -> Result<(), Failure> {
    let mut objects = repo.objects()?;
    for parent in objects.links(root)?.parents {
        // A shallow clone does not have it.
        if matches!(objects.file_at(parent, POLICY_PATH), Ok(Some(_))) {
            remark(&format!(
                "warning: {root} is not where this ledger begins: there is a policy before it, in {parent}, and nothing that was in \
                 force then counts here; compare it with the root that you were given"
            ));
        }
    }
    Ok(())
}

/// The state at a tip that a remote has, by what is remembered.
pub fn state_at(repo: &Repository, memory: &Memory, tip: Oid) -> Result<State, Failure> {
    let ledger = repo.ledger(memory, tip, &mut |_, _, _| ());
    Ok(ledger.map_err(failed)?.state)
}

/// The state at any commit of the ledger. It is not remembered: nobody asks for that one again.
pub fn state_aside(session: &Session, commit: Oid) -> Result<State, Failure> {
    let ledger = session.repo.ledger_aside(&session.memory, commit, &mut |_, _, _| ());
    Ok(ledger.map_err(failed)?.state)
}

fn failed(stuck: Stuck) -> Failure {
    match stuck {
        Stuck::Git(error) => error.into(),
        Stuck::Root(refusal) => Failure::Undecided(refusal),
    }
}

/// Folds on from a state to a tip that continues it.
pub fn fold_on(repo: &Repository, root: Oid, state: State, tip: Oid) -> Result<(State, Vec<StepReport>), Failure> {
    let mut reports = Vec::new();
    let state = repo.fold_on(state, root, tip, |_, report, _| reports.push(report))?;
    Ok((state, reports))
}

/// Moves a branch, and the worktree in which it is checked out; what that cannot be brought up to date with is named.
pub fn advance(repo: &Repository, update: &RefUpdate, reason: &str) -> Result<(), GitError> {
    say_left_out(repo.advance_with_worktree(update, reason)?);
    Ok(())
}

/// Names paths that were not brought up to date in the worktree.
pub fn say_left_out(paths: Vec<LeftOut>) {
    for LeftOut { path, why } in paths {
        let path = report::escaped(&path);
        remark(&match why {
            NotBroughtUp::Failed(error) => {
                format!("warning: {path} is left out of the worktree: {}", error.refusal().message)
            }
            NotBroughtUp::Edited => format!(
                "warning: {path} has changes of yours that are not committed, and others changed it: committed as it is, it takes \
                 theirs back; merge them first: git diff HEAD -- {path}"
            ),
        });
    }
}

/// Pushes a session's tip, which is the local branch's, with what it puts in force.
pub fn publish(session: &mut Session, remote: &str, consent: Consent) -> Result<(), Failure> {
    let (about, ours) = (session.branch_name().to_owned(), session.tip);
    let (options, moves) = (Vec::new(), push::Moves::ByMerge);
    push::BranchPush { session, remote, about: &about, who: "two-key", options, ours, moves, fresh: None, consent }
        .run()
}

impl Session {
    /// The governed branch without `refs/heads/`.
    pub fn branch_name(&self) -> &str {
        refs::short(&self.branch)
    }

    /// Takes over a tip that this session has folded itself.
    pub fn move_to(&mut self, tip: Oid, state: State, reports: Vec<StepReport>) {
        self.tip = tip;
        self.state = state;
        for report in reports {
            self.past.push(report);
        }
    }
}
