//! Notes: votes that wait to be sealed.

use std::collections::{HashMap, HashSet};

use super::{
    Flags, Signer, carrier,
    forward::signed,
    push::{say_pushed, verdict, words_of},
    stops,
};
use crate::{
    cli::{
        Failure, account,
        governed::POLICY_PATH,
        session::Session,
        terminal::{remark, say},
    },
    git::{FullNote, GitError, PushOptions, RefUpdate, Repository, mirrored},
    inbox::{Overlay, in_sight},
    ledger::rules,
    model::{Digest, Oid, PrincipalId, RawKey, Reason, Refusal, Statement, Subject, refs},
    report,
    signature::{Cosignature, Inbox, UncheckedEntry},
};

/// How often a moving ref of notes is run after.
const TRIES: u32 = 5;

/// Leaves a vote in a note on the file that it is about.
pub fn leave(
    session: &Session,
    signer: &Signer,
    statement: &Statement,
    waiting: &Overlay,
    flags: &Flags,
    destination: Option<&str>,
) -> Result<(), Failure> {
    let (repo, principal) = (&session.repo, &signer.principal);
    let refused = |reason, message: String| Failure::refused(principal.as_str(), Refusal::new(reason, message));
    if flags.reason.is_some() {
        return Err(Failure::Usage("a note holds a statement and its signature; --reason needs --as commit".into()));
    }
    if waiting.votes_for(statement).any(|vote| vote.claims() == principal) {
        let message = format!("a note of {principal} holds a vote for this already");
        if let Some(remote) = destination
            && deliver(session, remote, principal)? == NoteDelivery::Made
        {
            remark(&format!("{message}; what was signed here before is pushed"));
            return stops::deliver(repo, remote, &session.branch).map(drop);
        }
        return Err(refused(Reason::AlreadyVoted, message));
    }
    let annotated = annotated(session, statement)?.ok_or_else(|| {
        let message = "the file that it is about is no longer in the tree, so there is nothing to write a note on";
        refused(Reason::DigestMismatch, message.to_owned())
    })?;
    let name = own_ref(principal);
    let remote = match destination {
        Some(remote) => remote.to_owned(),
        None => flags.to.remote(repo, &session.branch)?,
    };
    let (file, _) = carrier::detached(repo, signer, statement)?;
    let old = repo.resolve(&name)?;
    let new = repo.with_notes(
        principal,
        readable(repo, old)?,
        &[(annotated, &format!("{statement}{file}"))],
        FullNote::Stays,
    )?;
    repo.update_refs(&[RefUpdate { name: name.clone(), old, new }], "two-key: note")?;
    say(&format!("{principal}: {}, by note; the next transition seals it", report::subject_line(statement)));
    account::note(|account| account.signed.push(signed(signer, statement, None)));
    if destination.is_none() {
        say(&format!("\nPush it with:\n  git push {remote} {name}"));
        return Ok(());
    }
    deliver(session, &remote, principal)?;
    stops::deliver(repo, &remote, &session.branch).map(drop)
}

/// Whether a remote got anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoteDelivery {
    /// It got notes that it did not have.
    Made,
    /// It has everything.
    Needless,
}

/// Delivers the notes of every principal that were left here, to a remote that was reached. What it does not take stays, and
/// that is said.
pub fn deliver_all(session: &Session, remote: &str) -> Result<(), Failure> {
    for principal in session.state.policy().get().principals.keys() {
        if session.repo.resolve(&own_ref(principal))?.is_none() {
            continue;
        }
        match deliver(session, remote, principal) {
            Ok(_) => {}
            Err(Failure::Refused { refusal, .. } | Failure::Undecided(refusal)) => {
                remark(&format!("warning: {remote} does not take the notes of {principal}: {refusal}"));
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Brings what a principal's notes here hold more than a remote's onto the remote's, whatever those are: nothing that somebody
/// made there keeps a vote from getting there.
fn deliver(session: &Session, remote: &str, principal: &PrincipalId) -> Result<NoteDelivery, Failure> {
    let (repo, name) = (&session.repo, own_ref(principal));
    let later = |reason: Reason, what: String| {
        let message = format!("the notes of {principal} are kept here, but {remote} does not have all of them: {what}");
        let hint = "push them later with: git two-key sync";
        Failure::Undecided(Refusal::new(reason, message).hint(hint))
    };
    let unreached = |error: GitError| later(error.refusal().reason, error.to_string());
    let here = repo.resolve(&name)?;
    // What was seen there once is not there for ever.
    let Some(ours) = here.map_or_else(|| repo.resolve(&mirrored(remote, &name)), |here| Ok(Some(here)))? else {
        return Ok(NoteDelivery::Needless);
    };
    let (mut why, mut full) = (String::new(), FullNote::GivesWay);
    for _ in 0..TRIES {
        let there = repo.fetch_ref(remote, &name).map_err(unreached)?;
        let theirs = readable(repo, there)?;
        let missing = missing(session, principal, theirs, ours)?;
        if missing.is_empty() {
            return Ok(NoteDelivery::Needless);
        }
        // Of ours the votes alone: what else stands there, or before it, the remote may not take.
        let entries: Vec<_> = missing.iter().map(|(on, entry)| (*on, entry.as_str())).collect();
        let tip = repo.with_notes(principal, theirs, &entries, full)?;
        // What is no commit holds no votes, and gives way.
        let expected = if theirs == there { Vec::new() } else { vec![(name.clone(), there)] };
        let options = PushOptions { expected, ..PushOptions::default() };
        let pushed = repo.push(remote, &[format!("{tip}:{name}")], &options);
        let outcome = pushed.map_err(unreached)?;
        if outcome.is_accepted() {
            repo.update_refs(&[RefUpdate { name: name.clone(), old: here, new: tip }], "two-key: note")?;
            if theirs.is_some_and(|theirs| !repo.is_ancestor(theirs, ours).unwrap_or(false)) {
                remark(&format!("{remote} had other notes of {principal}; what was missing there was added to them"));
            }
            // Where that cannot be written down, the next fetch does it.
            let _ = repo.took(remote, &name, tip);
            say_pushed(remote);
            return Ok(NoteDelivery::Made);
        }
        match verdict(&outcome) {
            // Where each entry was verified when it came, none of a full note has to give way.
            Some(Failure::Refused { refusal, .. })
                if full == FullNote::GivesWay && refusal.reason == Reason::RefRewound =>
            {
                full = FullNote::Stays;
            }
            Some(verdict) => return Err(verdict),
            None => {}
        }
        why = words_of(&outcome);
    }
    Err(later(Reason::NotTaken, why))
}

fn own_ref(principal: &PrincipalId) -> String {
    format!("{}{principal}", refs::NOTES)
}

/// Where a notes ref is, if that is a commit: what it holds is looked at elsewhere.
fn readable(repo: &Repository, tip: Option<Oid>) -> Result<Option<Oid>, Failure> {
    let Some(tip) = tip else { return Ok(None) };
    match repo.objects()?.links(tip) {
        Ok(_) => Ok(Some(tip)),
        Err(error) => Ok(error.verdict().map(|_| None)?),
    }
}

/// The votes of a principal's that one notes commit holds and nobody would find in another, each with the object on whose note
/// it is found.
fn missing(
    session: &Session,
    principal: &PrincipalId,
    theirs: Option<Oid>,
    ours: Oid,
) -> Result<Vec<(Oid, String)>, Failure> {
    let policy = session.state.policy().get();
    let Some(known) = policy.principals.get(principal) else { return Ok(Vec::new()) };
    // What a server's hook would refuse would keep the others away.
    let counts = |vote: &Cosignature| {
        let owner = rules::owner(&session.state, vote.key().raw());
        owner.is_ok_and(|(owner, _)| owner == *principal) && vote.statement().repository == policy.repository
    };
    let mut objects = session.repo.objects()?;
    let there = theirs.map(|tip| objects.notes_of(principal, tip)).transpose()?.unwrap_or_default();
    let mut inbox = Inbox::new(principal, &known.keys);
    let entries: Vec<_> = there.iter().rev().flat_map(|note| inbox.read(&note.bytes).into_iter().rev()).collect();
    let mut in_sight_there: HashMap<_, Vec<_>> = HashMap::new();
    for entry in in_sight(&entries) {
        if let Some(what) = ballot(entry) {
            in_sight_there.entry(what).or_default().push(entry);
        }
    }
    let mut inbox = Inbox::new(principal, &known.keys);
    let (mut has, mut missing) = (HashSet::new(), Vec::new());
    for note in objects.notes_of(principal, ours)? {
        for entry in inbox.read(&note.bytes) {
            let Some(what) = ballot(&entry).filter(|what| !has.contains(what)) else { continue };
            let rivals = in_sight_there.get(&what);
            if rivals.is_some_and(|rivals| rivals.iter().any(|rival| rival.check().is_ok())) {
                has.insert(what);
            } else if entry.check().is_ok_and(|vote| counts(&vote)) {
                has.insert(what);
                // What somebody wrote there for the same, on an object that comes later, would hide it.
                let last = there.last().filter(|_| rivals.is_some());
                missing.push((last.map_or(note.annotated, |last| last.annotated), entry.text().to_owned()));
            }
        }
    }
    Ok(missing)
}

/// Which key an entry says was turned for what: of such one counts.
fn ballot(entry: &UncheckedEntry<'_>) -> Option<(Digest, RawKey)> {
    entry.says().map(|(statement, key)| (statement.id(), key.raw()))
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
