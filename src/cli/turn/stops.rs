//! Stops on their way: carried over to main before anything goes forward, and kept here until a remote's branch has
//! them.
//!
//! A signed stop lies in the outbox, under names that no remote has refs below: whatever is fetched, pruned or reset here, it
//! stays until a remote's branch has it. A ref of its own can be deleted where nobody refuses that, so whoever reaches a remote
//! next that has neither delivers it again.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    fold_on,
    push::{brief_of, merge, verdict},
    tags,
};
use crate::{
    cli::{Failure, session::Session, terminal::remark},
    git::{GitError, PushOptions, RefUpdate, Repository},
    ledger::{self, Hypothesis},
    model::{LeaseId, Oid, Reason, Refusal, refs},
    push::{ASIDE, RefMeaning, place, stop_names, unforeseen_stop_names},
    report,
    signature::{Cosignature, Opened},
};

/// A stop that was signed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStop {
    /// What it stops; none for a freeze.
    pub lease: Option<LeaseId>,
    /// Its commit.
    pub commit: Oid,
}

impl SignedStop {
    /// Its name in the outbox.
    pub fn name(&self) -> String {
        refs::of_stop(refs::SIGNED_STOPS, self.lease.as_ref(), self.commit)
    }

    /// The stop that an outbox name is of.
    fn of(name: &str, commit: Oid) -> Option<Self> {
        let (lease, _) = name.strip_prefix(refs::SIGNED_STOPS)?.split_once('/')?;
        let lease = if lease == refs::ALL { None } else { Some(LeaseId::parse(lease)?) };
        Some(Self { lease, commit })
    }

    /// Puts it into the outbox.
    pub fn keep(&self, repo: &Repository) -> Result<(), GitError> {
        repo.keep_local(self.name(), self.commit, "two-key: stop")
    }

    /// Puts it under its own name in this repository, which others fetch from.
    pub fn put(&self, repo: &Repository) -> Result<String, GitError> {
        let name = refs::of_stop(refs::STOPS, self.lease.as_ref(), self.commit);
        repo.update_refs(&[RefUpdate::create(name.clone(), self.commit)], "two-key: stop")?;
        Ok(name)
    }

    /// Takes it out again, because a remote's branch has it, or it is none there. Where it cannot be taken out, it is not taken
    /// for undelivered either.
    pub fn take_out(&self, repo: &Repository) {
        let _ = repo.delete_ref(&self.name(), self.commit);
    }

    /// Pushes it under the first name that a remote takes, and says which that was; else why it took none.
    pub fn push(&self, repo: &Repository, remote: &str) -> Result<String, Undelivered> {
        let mut refused = String::new();
        let foreseen = stop_names(self.lease.as_ref(), self.commit);
        for name in foreseen.into_iter().chain(unforeseen_stop_names(self.commit, rand::random())) {
            let pushed = repo.push(remote, &[format!("{}:{name}", self.commit)], &PushOptions::of_a_stop());
            let outcome = pushed.map_err(Undelivered::Unreached)?;
            if outcome.is_accepted() {
                // A server's `hideRefs` may keep a name from everybody who would look there.
                let shown = repo.ls_remote(remote, &[&name]);
                if shown.is_ok_and(|shown| shown.is_empty()) {
                    refused = format!("{name} was taken and is shown to nobody");
                    continue;
                }
                // Where that cannot be written down, the next fetch does it.
                let _ = repo.took(remote, &name, self.commit);
                return Ok(name);
            }
            refused = brief_of(&outcome);
            // What its hook refuses it refuses under any name.
            if let Some(verdict) = verdict(&outcome) {
                return Err(Undelivered::Judged(Box::new(verdict), refused));
            }
        }
        Err(Undelivered::Refused(refused))
    }
}

/// Why a remote does not have a stop.
pub enum Undelivered {
    /// It took it under no name; in its own words.
    Refused(String),
    /// Its hook gave this verdict; in its own words.
    Judged(Box<Failure>, String),
    /// It gave no answer.
    Unreached(GitError),
}

impl Undelivered {
    /// What a person must know before all else.
    pub fn first_lines(&self) -> String {
        let why = match self {
            Self::Refused(why) | Self::Judged(_, why) => format!("the server did not take it ({why})"),
            Self::Unreached(error) => error.to_string(),
        };
        format!("STOP SIGNED, NOT ON THE SERVER: {why}\n  git two-key sync")
    }

    /// How a verb ends then: what there is to say has been said.
    pub fn verdict(self) -> Failure {
        match self {
            Self::Judged(verdict, _) => *verdict,
            Self::Refused(_) => {
                Failure::undecided(Reason::NotTaken, "the stop is signed and kept here; the server did not take it")
            }
            Self::Unreached(error) => {
                let Refusal { reason, detail, .. } = error.refusal();
                let message = "the stop is signed and kept here until it is delivered";
                Failure::Undecided(
                    Refusal::new(reason, message).hint("git two-key sync").detail(detail.unwrap_or_default()),
                )
            }
        }
    }
}

/// All stops in the outbox.
fn signed(repo: &Repository) -> Result<Vec<SignedStop>, GitError> {
    let outbox = repo.refs(&[refs::space(refs::SIGNED_STOPS)])?;
    Ok(outbox.into_iter().filter_map(|(name, id)| SignedStop::of(&name, id)).collect())
}

/// The stops that were signed here and that no remote is known to have.
pub fn undelivered(repo: &Repository, branch: &str) -> Result<Vec<SignedStop>, GitError> {
    let mut waiting = waiting(repo, branch)?;
    if !waiting.is_empty() {
        // What plain Git keeps of a remote's branches stays after they have gone there.
        for (name, _) in repo.refs(&[refs::space(refs::MIRROR)])? {
            let stop = mirrored_stop(&name, branch);
            waiting.retain(|signed| stop != Some(signed.commit));
        }
    }
    Ok(waiting)
}

/// The stops that were signed here and that no remote's branch has.
fn waiting(repo: &Repository, branch: &str) -> Result<Vec<SignedStop>, GitError> {
    let mut signed = signed(repo)?;
    if signed.is_empty() {
        return Ok(signed);
    }
    let short = refs::short(branch);
    let is_branch = |name: &str| {
        name.strip_prefix("refs/remotes/").and_then(|name| name.split_once('/')).is_some_and(|(_, it)| it == short)
    };
    let tips: Vec<Oid> =
        repo.refs(&["refs/remotes"])?.into_iter().filter(|(name, _)| is_branch(name)).map(|(_, id)| id).collect();
    // A shallow clone may not know.
    signed.retain(|stop| !tips.iter().any(|tip| repo.is_ancestor(stop.commit, *tip).unwrap_or(false)));
    Ok(signed)
}

/// The stops that a remote has under names of their own, as it says itself.
fn stops_at(repo: &Repository, remote: &str, branch: &str) -> Result<BTreeSet<Oid>, GitError> {
    let [heads, tags] = ASIDE.map(|start| format!("{start}*"));
    let there = repo.ls_remote(remote, &[&format!("{}*", refs::STOPS), &heads, &tags])?;
    Ok(there
        .into_iter()
        .filter(|(name, id)| matches!(place(name, branch), RefMeaning::Stop { id: named, .. } if named == *id))
        .map(|(_, id)| id)
        .collect())
}

/// The stop that the name of what was fetched from a remote names.
fn mirrored_stop(name: &str, branch: &str) -> Option<Oid> {
    let (_, own) = name.strip_prefix(refs::MIRROR).or_else(|| name.strip_prefix("refs/remotes/"))?.split_once('/')?;
    let start = if name.starts_with(refs::MIRROR) { "refs/" } else { "refs/heads/" };
    match place(&format!("{start}{own}"), branch) {
        RefMeaning::Stop { id, .. } => Some(id),
        _ => None,
    }
}

/// Delivers what was signed here before, to a remote that was reached. What it does not take stays, and that is said; why is
/// returned.
pub fn deliver(repo: &Repository, remote: &str, branch: &str) -> Result<Vec<Undelivered>, Failure> {
    let mut waiting = waiting(repo, branch)?;
    signed(repo)?.iter().filter(|stop| !waiting.contains(stop)).for_each(|stop| stop.take_out(repo));
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let there = match stops_at(repo, remote, branch) {
        Ok(there) => there,
        Err(error) => {
            remark(&format!("warning: {remote} does not say which stops it has: {error}"));
            return Ok(vec![Undelivered::Unreached(error)]);
        }
    };
    waiting.retain(|stop| !there.contains(&stop.commit));
    let mut undelivered = Vec::new();
    for stop in waiting {
        let what = described(&stop);
        let why = match stop.push(repo, remote) {
            Ok(name) => {
                remark(&format!("delivered a stop that was signed here before: {what}, as {name}"));
                continue;
            }
            Err(why) => why,
        };
        match &why {
            Undelivered::Refused(why) | Undelivered::Judged(_, why) => {
                remark(&format!("warning: {remote} does not take {what}, which was signed here: {why}"));
            }
            Undelivered::Unreached(why) => {
                remark(&format!("warning: {remote} does not have {what}, which was signed here: {why}"));
            }
        }
        let reached = !matches!(why, Undelivered::Unreached(_));
        undelivered.push(why);
        if !reached {
            break;
        }
    }
    Ok(undelivered)
}

/// A stop in words.
fn described(stop: &SignedStop) -> String {
    let about = stop.lease.as_ref().map_or_else(|| "a freeze".to_owned(), |lease| format!("a stop of {lease}"));
    format!("{about} ({})", stop.commit.short())
}

impl SignedStop {
    /// What to know of one that no remote is known to have.
    pub fn warning(&self) -> String {
        format!("{} was signed here, and no remote is known to have it", described(self))
    }

    /// What pushes it, where it belongs if main will not have it.
    pub fn command(&self, remote: &str) -> String {
        let names = stop_names(self.lease.as_ref(), self.commit);
        format!("git push {remote} {}:{}", self.commit, names.first().map(String::as_str).unwrap_or_default())
    }
}

/// Every commit under a stop's name, local or fetched, with where it is: `here`, or a remote's name.
pub fn beside_main(session: &Session) -> Result<BTreeMap<Oid, BTreeSet<String>>, Failure> {
    let aside = ASIDE.map(|start| format!("{start}*"));
    let [heads, tags] = &aside;
    let prefixes = [
        refs::space(refs::STOPS),
        heads,
        tags,
        refs::space(refs::SIGNED_STOPS),
        refs::space(refs::MIRROR),
        "refs/remotes/*/two-key-stop-*",
    ];
    let is_stop = |name: &str, branch: &str| {
        name.starts_with(refs::SIGNED_STOPS)
            || matches!(place(name, branch), RefMeaning::Stop { .. })
            || mirrored_stop(name, branch).is_some()
    };
    let mut found: BTreeMap<Oid, BTreeSet<String>> = BTreeMap::new();
    for (name, id) in session.repo.refs(&prefixes)?.into_iter().filter(|(name, _)| is_stop(name, &session.branch)) {
        let remote = name.strip_prefix(refs::MIRROR).or_else(|| name.strip_prefix("refs/remotes/"));
        let place = remote.and_then(|rest| rest.split_once('/')).map_or("here", |(remote, _)| remote);
        found.entry(id).or_default().insert(place.to_owned());
    }
    Ok(found)
}

/// The stops of a commit that would stop something if they were folded next.
pub fn effective(session: &Session, stop: Oid) -> Vec<Cosignature> {
    let (votes, _) = opened(session, stop).unwrap_or_default();
    votes.into_iter().filter(|vote| ledger::stops_something(&session.state, vote).unwrap_or(false)).collect()
}

/// Carries over every stop, local or fetched, that would have an effect: each by an unsigned merge on the local branch.
pub fn carry_over(session: &mut Session) -> Result<(), Failure> {
    for stop in beside_main(session)?.into_keys() {
        carry(session, stop)?;
    }
    Ok(())
}

/// The verified stops of a commit, and its subject.
fn opened(session: &Session, stop: Oid) -> Option<(Vec<Cosignature>, String)> {
    // Whatever cannot be read is no stop; the ledger goes on without it.
    let opened = session.repo.objects().ok()?.open_one(stop).ok()?;
    let Opened::Carrier { statement, .. } = &opened else { return None };
    let votes = session.state.votes(&opened).into_iter().flatten();
    Some((votes.filter(|vote| vote.statement().action().stops()).collect(), report::subject_line(statement)))
}

fn carry(session: &mut Session, stop: Oid) -> Result<(), Failure> {
    let Some((votes, subject)) = opened(session, stop) else { return Ok(()) };
    let (_, would) = ledger::hypothetical(&session.state, Hypothesis::Signed(&votes));
    if !would.stopped_something() {
        return Ok(());
    }
    let tree = session.repo.objects()?.links(session.tip)?.tree;
    let merged = merge(&session.repo, session.tip, stop, tree, &subject)?;
    let (state, reports) = fold_on(&session.repo, session.root.commit(), session.state.clone(), merged)?;
    if !reports.iter().any(ledger::StepReport::stopped_something) {
        return Ok(());
    }
    let update = RefUpdate { name: session.branch.clone(), old: Some(session.tip), new: merged };
    session.repo.update_refs(&[update], "two-key: carry over a stop")?;
    let unpublished = |name: &str| tags::is_unpublished(&session.repo, name);
    for report in &reports {
        let tags = tags::updates(&session.repo, &state, report, "two-key", unpublished)?;
        tags::put(&session.repo, &tags, "two-key: carry over a stop");
    }
    session.move_to(merged, state, reports);
    remark(&format!(
        "carried over a stop that waited beside {}: {subject} ({})",
        session.branch_name(),
        merged.short()
    ));
    Ok(())
}
