//! The join of what is here with what a remote has: where every verb that signs begins, and all that `sync` does before it
//! pushes. Built onto the remote's tip, so that its chain goes on.

use std::collections::BTreeMap;

use super::{
    advance,
    effect::{self, Reach},
    fold_on, now, outbox,
    push::{Turned, merge},
    state_aside, state_at, tags,
};
use crate::{
    cli::{
        Failure, Place,
        governed::{Which, unverified_branch},
        session::Session,
        terminal::remark,
    },
    git::{GitError, RefUpdate, Repository, mirrored},
    model::{CLOCK_TOLERANCE, LeaseId, Oid, Reason, Refusal, Statement},
    signature::Opened,
};

/// Whether the local branch is brought along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// It is moved to where the join is.
    Moved,
    /// Nothing is written but objects.
    Left,
}

/// How often the local branch is read anew that another program in this clone moves meanwhile.
const TRIES: u32 = 20;

/// The governed branch as it would be on the server with what is here: the local branch if it continues the remote's soundly,
/// else the remote's, with what was signed and proposed here on it.
pub fn join(place: &Place, remote: Option<&str>, moved: Local) -> Result<Session, Failure> {
    let mut tries = 1;
    loop {
        match join_once(place, remote, moved)? {
            Ok(session) => return Ok(session),
            Err(_) if tries < TRIES => tries += 1,
            Err(moved) => return Err(moved.into()),
        }
    }
}

/// The same, or that the local branch was moved meanwhile.
fn join_once(place: &Place, remote: Option<&str>, moved: Local) -> Result<Result<Session, GitError>, Failure> {
    let repo = place.repository()?;
    let branch = unverified_branch(&repo);
    let theirs = remote.map(|remote| repo.resolve(&mirrored(remote, &branch))).transpose()?.flatten();
    let local = repo.resolve(&branch)?;
    // What nobody vouches for is not built on.
    let theirs = theirs.filter(|_| matches!(repo.pinned_root(), Ok(Some(_))));
    let Some(theirs) = theirs else {
        return Session::open(place, &Which::Local).map(Ok);
    };
    let mut session = None;
    if let Some(local) = local
        && (local == theirs || repo.is_on_chain(theirs, local)?)
    {
        let here = Session::open(place, &Which::At(local.to_string()))?;
        session = is_sound(&here, theirs)?.then_some(here);
    }
    let mut session = match session {
        Some(session) => session,
        None => Session::open(place, &Which::At(theirs.to_string()))?,
    };
    carry(&mut session, theirs, local, moved)?;
    if moved == Local::Moved && local != Some(session.tip) {
        let update = RefUpdate { name: session.branch.clone(), old: local, new: session.tip };
        match advance(&session.repo, &update, "two-key: join") {
            Err(error @ GitError::RefChanged { .. }) => return Ok(Err(error)),
            moved => moved?,
        }
        tag(&session, theirs)?;
    }
    Ok(Ok(session))
}

/// Moves the local branch on to where a session has got. Where another program in this clone has moved it meanwhile, what that
/// signed lies in the outbox, and is pushed from there; what it proposed stays on the branch.
pub fn move_local(session: &Session, update: &RefUpdate, why: &str) -> Result<(), Failure> {
    let repo = &session.repo;
    match advance(repo, update, why) {
        Err(GitError::RefChanged { .. }) => {}
        moved => return Ok(moved?),
    }
    let Some(local) = repo.resolve(&update.name)?.filter(|local| *local != update.new) else { return Ok(()) };
    if left_behind(repo, update.new, local)?.is_empty() {
        match advance(repo, &RefUpdate { old: Some(local), ..update.clone() }, why) {
            Err(GitError::RefChanged { .. }) => {}
            moved => moved?,
        }
    }
    Ok(())
}

/// Puts a vote that was signed just now onto the local branch, which another program in this clone moved meanwhile.
pub fn land_here(session: &mut Session, vote: Oid, why: &str) -> Result<Result<(), Refusal>, Failure> {
    let mut tries = 1;
    loop {
        let local = session.repo.resolve(&session.branch)?;
        if let Some(local) = local {
            let state = state_aside(session, local)?;
            session.move_to(local, state, Vec::new());
        }
        if let Err(refusal) = outbox::build_on(session, vote)? {
            return Ok(Err(refusal));
        }
        let update = RefUpdate { name: session.branch.clone(), old: local, new: session.tip };
        match advance(&session.repo, &update, why) {
            Err(GitError::RefChanged { .. }) if tries < TRIES => tries += 1,
            moved => return Ok(Ok(moved?)),
        }
    }
}

/// Whether the remote would take what the local branch has more than it.
fn is_sound(session: &Session, theirs: Oid) -> Result<bool, Failure> {
    if session.tip == theirs {
        return Ok(true);
    }
    let new = session.repo.commits_since(theirs, session.tip)?;
    let counts = session
        .past
        .last(new.len())
        .iter()
        .filter(|report| new.contains(&report.commit))
        .all(|report| report.findings.is_empty());
    Ok(counts && !new.iter().any(|id| is_ahead(&session.repo, *id)))
}

/// Whether a vote is dated so far ahead of the clock that no server takes it. Stops may be dated as they like.
fn is_ahead(repo: &Repository, id: Oid) -> bool {
    let dated = |repo: &Repository| {
        let mut objects = repo.objects()?;
        let goes_forward = match objects.open_one(id)? {
            Opened::Carrier { statement, .. } => !statement.action().stops(),
            _ => false,
        };
        Ok::<_, crate::git::GitError>(if goes_forward { objects.links(id)?.committer_time } else { 0 })
    };
    let ahead = u64::try_from(now().as_second().saturating_add(CLOCK_TOLERANCE.as_secs())).unwrap_or_default();
    dated(repo).is_ok_and(|dated| dated > ahead)
}

/// Brings onto the remote's tip what was signed here, vote by vote, then what was proposed here.
fn carry(session: &mut Session, theirs: Oid, local: Option<Oid>, moved: Local) -> Result<(), Failure> {
    for vote in votes(session, theirs, local)? {
        if is_ahead(&session.repo, vote) {
            outbox::forget(&session.repo, vote)?;
            remark(&format!(
                "the vote {} is dated ahead of the clock here, and is left out: sign it again",
                vote.short()
            ));
            continue;
        }
        if let Err(refusal) = outbox::build_on(session, vote)? {
            remark(&format!("warning: the vote {} does not count any more, and is left out: {refusal}", vote.short()));
            // It is told once.
            if moved == Local::Moved {
                outbox::set_aside(&session.repo, vote)?;
            }
        }
    }
    let Some(local) = local else { return Ok(()) };
    let mut uncounted = None;
    if !left_behind(&session.repo, session.tip, local)?.is_empty() {
        uncounted = take_whole(session, local)?;
    }
    let left = left_behind(&session.repo, session.tip, local)?;
    if left.is_empty() {
        return Ok(());
    }
    let name = session.branch_name().to_owned();
    let left: Vec<_> = left.iter().map(Oid::short).collect();
    if let Some(mut refusal) = uncounted {
        refusal.message = format!("{}; so what was proposed here ({}) is not pushed", refusal.message, left.join(", "));
        let hint = refusal.hint.take().map(|hint| hint + "; ").unwrap_or_default();
        let hint = format!("{hint}correct the file and commit it again, or take it back with: git two-key undo");
        return Err(Failure::refused(name, refusal.hint(hint)));
    }
    let message = format!(
        "{name} has commits that are neither votes nor at the remote, and would be left behind: {}",
        left.join(", ")
    );
    let hint = format!(
        "put them on a branch of their own, then once more: git branch mine {local}, git update-ref refs/heads/{name} {}, git two-key sync",
        session.tip
    );
    Err(Failure::refused(name, Refusal::new(Reason::Stale, message).hint(hint)))
}

/// The votes that the remote does not have: in the outbox, and on the local branch, where plain Git leaves them.
fn votes(session: &Session, theirs: Oid, local: Option<Oid>) -> Result<Vec<Oid>, Failure> {
    let mut votes = outbox::votes(&session.repo, theirs)?;
    let mut objects = session.repo.objects()?;
    for id in local.map(|local| session.repo.commits_since(theirs, local)).transpose()?.unwrap_or_default() {
        if !votes.contains(&id) && matches!(objects.open_one(id)?, Opened::Carrier { .. }) {
            votes.push(id);
        }
    }
    Ok(votes)
}

/// Merges the whole local branch, if all of that counts there; else why something does not.
fn take_whole(session: &mut Session, local: Oid) -> Result<Option<Refusal>, Failure> {
    let Ok(tree) = session.repo.merge_trees(session.tip, local)? else { return Ok(None) };
    let merged = merge(&session.repo, session.tip, local, tree, "what was proposed here")?;
    let (state, reports) = fold_on(&session.repo, session.root.commit(), session.state.clone(), merged)?;
    let uncounted = reports.iter().flat_map(|report| &report.findings).next().map(|finding| finding.refusal.clone());
    if uncounted.is_none() {
        session.move_to(merged, state, reports);
    }
    Ok(uncounted)
}

/// The commits of a local branch that say something which a tip does not have: neither votes nor merges, and files
/// that are otherwise there.
fn left_behind(repo: &Repository, tip: Oid, local: Oid) -> Result<Vec<Oid>, Failure> {
    let mut left = Vec::new();
    let mut objects = repo.objects()?;
    for id in repo.commits_since(tip, local)? {
        let says_nothing = matches!(objects.open_one(id)?, Opened::Ordinary { .. });
        let parents = objects.links(id)?.parents;
        let [parent] = parents.as_slice() else { continue };
        if says_nothing && !repo.agree_on([tip, local], *parent, id)? {
            left.push(id);
        }
    }
    Ok(left)
}

/// What a session's tip has that a remote's has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct New {
    /// Signatures for going forward.
    pub votes: usize,
    /// Ordinary commits that are no merges.
    pub proposals: usize,
}

/// Counts what a session's tip has that a remote's has not, stops aside.
pub fn counted(session: &Session, theirs: Oid) -> Result<New, Failure> {
    let mut new = New::default();
    let mut objects = session.repo.objects()?;
    for id in session.repo.commits_since(theirs, session.tip)? {
        match objects.open_one(id)? {
            Opened::Carrier { statement, .. } if !statement.action().stops() => new.votes += 1,
            Opened::Ordinary { .. } if objects.links(id)?.parents.len() == 1 => new.proposals += 1,
            _ => {}
        }
    }
    Ok(new)
}

/// What votes that a remote lacks do on its tip beyond what they did where they were signed, in words: others may have voted
/// since. Of those that were signed just now the signer was shown what it does here.
pub fn grown(session: &Session, theirs: Oid, fresh: &[Turned]) -> Result<Vec<String>, Failure> {
    let mut objects = session.repo.objects()?;
    let mut shown: BTreeMap<Option<LeaseId>, (Reach, Statement)> = BTreeMap::new();
    for id in session.repo.commits_since(theirs, session.tip)? {
        let Opened::Carrier { statement, .. } = objects.open_one(id)? else { continue };
        if statement.action().stops() || fresh.iter().any(|fresh| fresh.statement.lease() == statement.lease()) {
            continue;
        }
        let reach = match objects.links(id)?.parents.first() {
            Some(parent) => shown_at(session, *parent, id, &statement),
            None => Reach::NOWHERE,
        };
        // Of several votes for one thing the signer was shown what they do together.
        let about = statement.lease().cloned();
        let known = shown.get(&about).map_or(Reach::NOWHERE, |(known, _)| *known);
        shown.insert(about, (known.max(reach), statement));
    }
    if shown.is_empty() {
        return Ok(Vec::new());
    }
    let before = state_at(&session.repo, &session.memory, theirs)?;
    let more = |(reach, statement): &(Reach, Statement)| {
        let now = effect::reach(&before, &session.state, statement);
        now.exceeds(*reach).then(|| effect::words(&before, &session.state, statement))
    };
    Ok(shown.values().filter_map(more).collect())
}

/// How far a vote went where it was signed; nowhere if that is no ledger.
fn shown_at(session: &Session, parent: Oid, vote: Oid, statement: &Statement) -> Reach {
    let root = session.root.commit();
    let reach = || {
        let before = state_aside(session, parent)?;
        let (after, _) = fold_on(&session.repo, root, before.clone(), vote)?;
        Ok::<_, Failure>(effect::reach(&before, &after, statement))
    };
    reach().unwrap_or(Reach::NOWHERE)
}

/// Makes the tags of what is in force since a remote's tip.
fn tag(session: &Session, theirs: Oid) -> Result<(), Failure> {
    let repo = &session.repo;
    let unpublished = |name: &str| tags::is_unpublished(repo, name);
    let new = repo.commits_since(theirs, session.tip)?;
    for report in session.past.last(new.len()).iter().filter(|report| new.contains(&report.commit)) {
        tags::put(repo, &tags::updates(repo, &session.state, report, "two-key", unpublished)?, "two-key: join");
    }
    Ok(())
}
