//! Forward transitions, signed: cosign, start, promote, resume, complete, thaw, policy, revoke.
//!
//! The order never changes: what does not hold is refused before anything is signed; what was signed is read back and
//! folded, which is the only verification; and only then do refs move, all at once. Interrupted at any point, either
//! nothing has happened or everything has.

use super::{
    Flags, Signer, To, carrier,
    effect::{self, Reach},
    flags::Delivery,
    fold_on,
    join::{Local, join, land_here},
    note, now, outbox,
    push::{BranchPush, Consent, Fresh, Moves, Turned},
    stops, tags,
};
use crate::{
    cli::{
        Failure, Place, account, fresh,
        governed::{Root, unverified_branch},
        kept,
        remotes::followed,
        session::Session,
        terminal::{remark, say},
    },
    git::{GitError, RefUpdate, mirrored},
    inbox::{self, Plan},
    ledger::{State, StepReport, Transition},
    model::{Action, Fingerprint, LeaseId, Oid, PrincipalId, Reason, Refusal, Statement, policy::Role, refs},
    report::{self, SignedView},
};

/// How a vote is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Carried {
    /// In a commit on the governed branch
    #[default]
    Commit,
    /// In a note, until a transition seals it
    Note,
}

/// What is shown before signing.
pub type Show = fn(&Session, &Statement) -> Result<String, Failure>;

/// What is asked for.
#[derive(Debug, Default)]
pub struct Ask<'a> {
    /// The lease: id, intent or target.
    pub lease: Option<&'a str>,
    /// The key to revoke.
    pub revoked: Option<Fingerprint>,
    /// How the vote is left.
    pub carried: Carried,
    /// Whether only people may do it.
    pub people_only: bool,
    /// What is shown before signing.
    pub show: Option<Show>,
    /// Push options.
    pub options: Vec<String>,
}

/// The governed branch as it is on the server with what is here, where a root is pinned; nothing goes forward on the branch's own
/// word. Says first what will not be pushed.
pub fn pinned(place: &Place, flags: &Flags) -> Result<Session, Failure> {
    let repo = place.repository()?;
    let delivery = flags.delivery(&repo, &unverified_branch(&repo))?;
    delivery.first_line().iter().for_each(|line| say(line));
    let local = if flags.dry_run { Local::Left } else { Local::Moved };
    let session = looked_at(place, flags.to.is_offline(), delivery.remote().or(flags.to.named()), local)?;
    goes_along(&session, &delivery)?;
    if let Some(other) = repo.head()?.filter(|head| *head != session.branch) {
        let (ours, other) = (session.branch_name(), refs::short(&other).to_owned());
        remark(&format!("on {ours}: {other} is checked out, and stays as it is"));
    }
    if let Root::Unpinned(root) = session.root {
        let message = "no root is pinned here, so whose keys count is not known, and nothing goes forward";
        let hint = format!("compare the root with somebody whom you trust, then: git two-key trust {root}");
        return Err(Failure::Undecided(Refusal::new(Reason::Unpinned, message).hint(hint)));
    }
    Ok(session)
}

/// Names the votes that were signed here before and that a push will bring along: somebody may have taken them back with Git.
fn goes_along(session: &Session, delivery: &Delivery) -> Result<(), Failure> {
    let Some(remote) = delivery.remote() else { return Ok(()) };
    let Some(theirs) = session.repo.resolve(&mirrored(remote, &session.branch))? else { return Ok(()) };
    for line in kept::lines(session, theirs)? {
        remark(&format!("{remote} does not have {line}, which was signed here before and goes along"));
    }
    Ok(())
}

/// The governed branch as it is on the server with what is here.
pub fn proposing(place: &Place, to: &To, local: Local) -> Result<Session, Failure> {
    looked_at(place, to.is_offline(), to.named(), local)
}

fn looked_at(place: &Place, offline: bool, named: Option<&str>, local: Local) -> Result<Session, Failure> {
    let repo = place.repository()?;
    if !offline {
        fresh::look(&repo, named)?;
    }
    let remote = followed(&repo, &unverified_branch(&repo), named)?;
    let session = join(place, remote.as_deref(), local)?;
    session.remarks.iter().for_each(|line| remark(line));
    Ok(session)
}

/// Turns a key.
pub fn turn(place: &Place, mut session: Session, flags: &Flags, action: Action, ask: &Ask<'_>) -> Result<(), Failure> {
    let delivery = flags.delivery(&session.repo, &session.branch)?;
    let destination = delivery.remote();
    if !flags.dry_run {
        stops::carry_over(&mut session)?;
    }
    let lease = ask.lease.map(|handle| session.lease(handle, Some(action))).transpose()?;
    let about = about(action, lease.as_ref(), ask);
    let waiting = session.inbox()?;
    if let (Some(remote), Some(lease)) = (destination, &lease)
        && let Ok(signer) = Signer::find(place, &session.repo, &session.state, flags.key.as_deref())
        && is_interrupted(&session, remote, action, lease, &signer)?
    {
        let subject = "the last transition here is in force by this key and was not pushed";
        remark(&format!("{lease}: {subject}; it is pushed now, and nothing more is signed"));
        return push_again(&mut session, &signer, remote, &about, flags.consent());
    }
    let plan = Plan::new(&session.state, &waiting, action, lease.as_ref(), ask.revoked.as_ref());
    let plan = match plan.and_then(|plan| inbox::in_window(&plan.before, action, lease.as_ref(), now()).map(|()| plan))
    {
        Ok(plan) => plan,
        Err(refusal) => return mend_tag(&session, place, flags, action, lease.as_ref(), refusal, &about),
    };
    let signer = Signer::find(place, &session.repo, &session.state, flags.key.as_deref())?;
    may_turn(&session, &signer, action, ask, &about)?;
    let plan = match plan.turned_by(&waiting, &signer.public, &signer.principal) {
        Ok(plan) => plan,
        Err(refusal) => return deliver(&mut session, &signer, refusal, &about, destination, flags.consent()),
    };
    if let Some(show) = ask.show {
        say(&show(&session, &plan.statement)?);
    }
    let words = effect::words(&session.state, &plan.after, &plan.statement);
    session.sound()?;
    // A revocation that did not get through is not told as done.
    let told_first = action != Action::Revoke || destination.is_none() || flags.dry_run;
    if told_first {
        say(&words);
    }
    account::note(|account| account.effect = words.lines().map(str::to_owned).collect());
    if flags.dry_run {
        account::note(|account| account.signed.push(signed(&signer, &plan.statement, None)));
        say(&format!("\n{} would sign:\n\n{}", signer.principal, plan.statement));
        return Ok(());
    }
    if ask.carried == Carried::Note {
        return note::leave(&session, &signer, &plan.statement, &waiting, flags, destination);
    }
    make(&mut session, &signer, &plan, flags, &about, destination, ask)?;
    if !told_first {
        say(&words);
    }
    Ok(())
}

/// Refuses a key that is past its day, and an agent's where people are asked.
pub fn may_turn(session: &Session, signer: &Signer, action: Action, ask: &Ask<'_>, about: &str) -> Result<(), Failure> {
    let refused = |refusal| Failure::refused(about, refusal);
    inbox::key_in_time(&session.state, action, signer.public.raw(), now()).map_err(refused)?;
    if ask.people_only && signer.role != Role::Human {
        let message = format!("{} is an {}: approving is for people", signer.principal, signer.role.word());
        let refusal = Refusal::new(Reason::WrongRole, message);
        return Err(refused(refusal.hint(format!("turn its key with: git two-key {action} {about}"))));
    }
    Ok(())
}

/// Makes what was planned: the commit, folded; then the refs; then the push.
fn make(
    session: &mut Session,
    signer: &Signer,
    plan: &Plan,
    flags: &Flags,
    about: &str,
    destination: Option<&str>,
    ask: &Ask<'_>,
) -> Result<(), Failure> {
    let before = session.tip;
    let LocalVote { commit, tags, shown } = self::commit(session, signer, plan, flags, about)?;
    let Some(remote) = destination else { return say_how_to_push(session, flags, &tags, &ask.options) };
    let (who, options) = (signer.principal.as_str(), ask.options.clone());
    let consent = flags.consent();
    let turned = vec![Turned { statement: plan.statement.clone(), shown }];
    let fresh = Some(Fresh { turned, commits: vec![commit], before, tags });
    BranchPush { session, remote, about, who, options, ours: commit, moves: Moves::ByMerge, fresh, consent }.run()
}

/// A vote that was signed, and is on the local branch.
pub struct LocalVote {
    /// The commit that carries it.
    pub commit: Oid,
    /// The tags that were made.
    pub tags: Vec<String>,
    /// How far the signer was shown that it goes.
    pub shown: Reach,
}

/// Signs what was planned: the commit, folded; then the refs.
pub fn commit(
    session: &mut Session,
    signer: &Signer,
    plan: &Plan,
    flags: &Flags,
    about: &str,
) -> Result<LocalVote, Failure> {
    let reason = flags.reason.as_deref();
    let commit = carrier::commit(&session.repo, session.tip, &plan.statement, signer, reason, &plan.sealed)?;
    let (state, reports) = fold_on(&session.repo, session.root.commit(), session.state.clone(), commit)?;
    plan.came_about(&reports, &state).map_err(|refusal| Failure::refused(about, refusal))?;
    let subject = report::subject_line(&plan.statement);
    let tags = tags_of(session, &state, &reports, signer.principal.as_str())?;
    let shown = effect::reach(&session.state, &plan.after, &plan.statement);
    let update = RefUpdate { name: session.branch.clone(), old: Some(session.tip), new: commit };
    outbox::keep(&session.repo, commit)?;
    let reason = format!("two-key: {subject}");
    let tags = match session.repo.update_refs(&[update], &reason) {
        Err(GitError::RefChanged { .. }) => {
            land_here(session, commit, &reason)?.map_err(|refusal| Failure::refused(about, refusal))?;
            let report = session.past.fresh().iter().rfind(|report| report.commit == session.tip);
            tags_of(
                session,
                &session.state,
                report.map(std::slice::from_ref).unwrap_or_default(),
                signer.principal.as_str(),
            )?
        }
        moved => {
            moved?;
            session.move_to(commit, state, reports);
            tags
        }
    };
    let tags = tags::put(&session.repo, &tags, &reason);
    say(&format!("{}: {subject} ({})", signer.principal, commit.short()));
    account::note(|account| {
        account.signed.push(signed(signer, &plan.statement, Some(commit)));
        account.tags.extend(tags.iter().map(|name| refs::short(name).to_owned()));
    });
    for name in &tags {
        say(&format!("tagged {}", refs::short(name)));
    }
    Ok(LocalVote { commit, tags, shown })
}

/// The tags of what some steps put in force.
fn tags_of(session: &Session, state: &State, reports: &[StepReport], who: &str) -> Result<Vec<RefUpdate>, Failure> {
    let of = |report| tags::updates(&session.repo, state, report, who, |_| false);
    Ok(reports.iter().map(of).collect::<Result<Vec<_>, _>>()?.concat())
}

/// A vote, for the account.
pub(super) fn signed(signer: &Signer, statement: &Statement, commit: Option<Oid>) -> SignedView {
    SignedView::new(statement, signer.principal.as_str(), signer.role.word(), commit)
}

fn about(action: Action, lease: Option<&LeaseId>, ask: &Ask<'_>) -> String {
    match (lease, &ask.revoked) {
        (Some(lease), _) => lease.to_string(),
        (None, Some(key)) => key.to_string(),
        (None, None) => action.to_string(),
    }
}

/// Says how to push what was made now, where there is a remote and no upstream: what is kept from an upstream was said first.
pub fn say_how_to_push(session: &Session, flags: &Flags, tags: &[String], options: &[String]) -> Result<(), Failure> {
    let kept = matches!(flags.delivery(&session.repo, &session.branch)?, Delivery::Kept(_));
    if options.is_empty() && (kept || session.repo.remotes()?.is_empty()) {
        return Ok(());
    }
    let remote = flags.to.remote(&session.repo, &session.branch)?;
    let mut words = vec!["git push --atomic".to_owned()];
    words.extend(options.iter().map(|option| format!("--push-option={option}")));
    words.extend([remote, session.branch_name().to_owned()]);
    words.extend(tags.iter().cloned());
    say(&format!("\nPush it with:\n  {}", words.join(" ")));
    Ok(())
}

/// A vote that was made before, and that the remote does not have, is pushed: nobody signs twice because a push did not
/// get through, or another came first. Else the refusal stands.
fn deliver(
    session: &mut Session,
    signer: &Signer,
    refusal: Refusal,
    about: &str,
    destination: Option<&str>,
    consent: Consent,
) -> Result<(), Failure> {
    let Some(remote) = destination.filter(|_| refusal.reason == Reason::AlreadyVoted) else {
        return Err(Failure::refused(about, refusal));
    };
    if !is_unpushed(session, destination)? {
        return Err(Failure::refused(about, refusal));
    }
    remark(&format!("{}; what was signed here before is pushed", refusal.message));
    push_again(session, signer, remote, about, consent)
}

/// Whether a remote that is pushed to lacks anything of the local branch.
pub fn is_unpushed(session: &Session, destination: Option<&str>) -> Result<bool, Failure> {
    let Some(remote) = destination else { return Ok(false) };
    let theirs = session.repo.resolve(&mirrored(remote, &session.branch))?;
    Ok(theirs.map(|theirs| session.repo.is_ancestor(session.tip, theirs)).transpose()? != Some(true))
}

/// Pushes what was signed before.
pub fn push_again(
    session: &mut Session,
    signer: &Signer,
    remote: &str,
    about: &str,
    consent: Consent,
) -> Result<(), Failure> {
    let (who, ours) = (signer.principal.as_str(), session.tip);
    let (options, moves) = (Vec::new(), Moves::ByMerge);
    BranchPush { session, remote, about, who, options, ours, moves, fresh: None, consent }.run()
}

/// Whether this very verb was interrupted before its push: the lease's last transition is by the same action and key, and
/// the remote does not have it. To go on from there would turn the key for a step that nobody asked for.
pub fn is_interrupted(
    session: &Session,
    remote: &str,
    action: Action,
    lease: &LeaseId,
    signer: &Signer,
) -> Result<bool, Failure> {
    let last = session.state.lease(lease).and_then(|lease| lease.transitions.last());
    let ours = last.filter(|last| last.action == action && is_by(session, lease, last, &signer.principal));
    let theirs = session.repo.resolve(&mirrored(remote, &session.branch))?;
    match ours.zip(theirs) {
        Some((last, theirs)) => Ok(!session.repo.is_ancestor(last.commit, theirs)?),
        None => Ok(false),
    }
}

/// Whether a transition came in force by the vote of a principal. Its votes do not tell: they stand in the order of their
/// keys, not in that in which they came.
fn is_by(session: &Session, lease: &LeaseId, transition: &Transition, principal: &PrincipalId) -> bool {
    let report = session.past.at(lease, transition.commit);
    report.iter().flat_map(|report| &report.events).any(|event| {
        event.lease.as_ref() == Some(lease)
            && event.step == Some(transition.step)
            && event.last.as_ref().is_some_and(|(_, last)| last == principal)
    })
}

/// A transition that is in force by this key's vote, but whose tag is missing, is tagged; else the refusal stands.
fn mend_tag(
    session: &Session,
    place: &Place,
    flags: &Flags,
    action: Action,
    lease: Option<&LeaseId>,
    refusal: Refusal,
    about: &str,
) -> Result<(), Failure> {
    let refused = Failure::refused(about, refusal);
    let last = lease.and_then(|id| session.state.lease(id)).and_then(|lease| lease.transitions.last());
    let (Some(lease), Some(last)) = (lease, last.filter(|last| last.action == action)) else { return Err(refused) };
    let Ok(signer) = Signer::find(place, &session.repo, &session.state, flags.key.as_deref()) else {
        return Err(refused);
    };
    let name = last.tag(lease);
    if flags.dry_run || !is_by(session, lease, last, &signer.principal) || session.repo.resolve(&name)?.is_some() {
        return Err(refused);
    }
    let report = session.past.at(lease, last.commit);
    let updates = tags_of(session, &session.state, report.as_slice(), signer.principal.as_str())?;
    session.repo.update_refs(&updates, "two-key: tag")?;
    let short = refs::short(&name);
    say(&format!("{lease}: this is in force already, by your key; its tag was missing, and is there now: {short}"));
    say_how_to_push(session, flags, std::slice::from_ref(&name), &[])?;
    Ok(())
}
