//! Stops: any one key, at any time, from any clone.
//!
//! A stop is never held up: not by a missing pin, a shallow or stale clone, a ledger that cannot be folded, a branch that
//! moved on or that nobody may push to. What cannot be known is warned about, and the stop is made all the same.

use std::time::Duration;

use super::{
    Delivery, Flags, Signer, advance, carrier, effect, fold_on, forward,
    push::{merge, not_on_main, say_pushed, words_of},
    state_at,
    stops::{SignedStop, deliver},
    tags,
};
use crate::{
    cli::{
        Failure, Place, account, fresh,
        governed::{Which, unverified_branch, unverified_tip},
        ground::Ground,
        session::Session,
        terminal::{self, remark, say},
    },
    git::{GitError, PushOptions, RefUpdate, Repository, config, mirrored},
    ledger::{self, Hypothesis, State},
    model::{Action, LeaseId, Nonce, Oid, Reason, Refusal, Statement, refs},
    report,
};

/// How often main is tried before a stop goes under its own name, where no other push comes before it.
const TRIES: u32 = 2;
/// How long one attempt to reach the server may take where no person waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known where the stop is built.
enum StopBasis {
    /// The ledger, folded.
    Ledger(Box<Session>),
    /// What files say, which nothing vouches for, and why that is all.
    Files(Box<Ground>, Refusal),
}

/// Where a stop is built.
struct Site {
    repo: Repository,
    /// The governed branch's full name.
    branch: String,
    /// Where the local branch is.
    local: Oid,
    known: StopBasis,
    /// Why the remote could not be asked.
    missed: Option<GitError>,
    /// What is said once it is known whether the server has the stop: what it does, and what should be known besides.
    effects: Vec<String>,
    remarks: Vec<String>,
}

/// A stop about to be signed.
struct UnsignedStop {
    signer: Signer,
    statement: Statement,
    /// What it is built on.
    base: Oid,
}

/// Stops a lease, or with no lease the whole repository.
pub fn stop(place: &Place, flags: &Flags, action: Action, handle: Option<&str>) -> Result<(), Failure> {
    let (mut site, delivery) = Site::find(place, flags)?;
    let lease = handle.map(|handle| site.lease(handle, action)).transpose()?;
    let about = lease.as_ref().map_or_else(|| action.to_string(), ToString::to_string);
    let about = StopSubject { lease, about: &about };
    // Where the remote was not asked, what has not started here may run there, and no stop of it is held up.
    if action == Action::Pause || !(flags.to.is_offline() || site.repo.is_off(config::FETCH)?) {
        site.is_meant(&about, action, handle)?;
    }
    let turns = site.turns(place, flags, action, &about)?;
    let effects = turns.iter().map(|turn| site.effect(turn).map_err(|refusal| about.refused(refusal)));
    site.effects = effects.collect::<Result<_, _>>()?;
    if flags.dry_run {
        site.say_what_it_does();
        for UnsignedStop { signer, statement, .. } in &turns {
            say(&format!("\n{} would sign:\n\n{statement}", signer.principal));
            account::note(|account| account.signed.push(forward::signed(signer, statement, None)));
        }
        return Ok(());
    }
    delivery.first_line().iter().for_each(|line| say(line));
    // Where nobody knows which word of several is right, one that gets through is enough.
    let outcomes = turns.iter().map(|turn| site.make(flags, turn, &about, delivery.remote()));
    let (done, failed): (Vec<_>, Vec<_>) = outcomes.partition(Result::is_ok);
    let mut failed = failed.into_iter().filter_map(Result::err);
    if done.is_empty() {
        return failed.next().map_or(Ok(()), Err);
    }
    failed.filter_map(|failure| failure.lines(action.word())).for_each(|lines| remark(&format!("warning: {lines}")));
    Ok(())
}

/// Says that a remote has a stop under a name of its own.
fn pushed_as(remote: &str, name: &str) {
    say(&format!("pushed to {remote} as {name}"));
    account::note(|account| account.pushed_to = Some(remote.to_owned()));
}

/// What is stopped.
struct StopSubject<'a> {
    /// The lease; none for a freeze.
    lease: Option<LeaseId>,
    /// The same for refusals.
    about: &'a str,
}

impl StopSubject<'_> {
    fn refused(&self, refusal: Refusal) -> Failure {
        Failure::refused(self.about, refusal)
    }
}

/// A stop that is signed.
struct StopToPush<'a> {
    stop: SignedStop,
    /// Whether the local branch is at it.
    on_branch: bool,
    about: &'a str,
    who: &'a str,
    /// That it is signed, in words.
    signed: &'a str,
}

impl Site {
    /// Finds what to build on: the remote's tip as it is now, else the newest of what is here; of these one that
    /// can be folded, whatever somebody put on the other.
    fn find(place: &Place, flags: &Flags) -> Result<(Self, Delivery), Failure> {
        let repo = place.repository()?;
        let delivery = flags.delivery(&repo, &unverified_branch(&repo))?;
        let named = delivery.remote().or(flags.to.named());
        let missed = if flags.to.is_offline() { None } else { fresh::fetched(&repo, named)?.err() };
        // The root's policy, which may have come just now, names it.
        let branch = unverified_branch(&repo);
        let remote = flags.to.remote(&repo, &branch)?;
        let (here, local) = (Self::at(place, &here(place)?), repo.resolve(&branch)?);
        let theirs = repo.resolve(&mirrored(&remote, &branch))?.filter(|theirs| Some(*theirs) != local);
        let mut site = match theirs.filter(|theirs| goes_there(&repo, local, *theirs, delivery.remote().is_some())) {
            None => here?,
            Some(theirs) => match (here, Self::at(place, &Which::At(theirs.to_string()))) {
                (_, Ok(there @ Self { known: StopBasis::Ledger(_), .. })) => there,
                (Ok(here @ Self { known: StopBasis::Ledger(_), .. }), there) => here.rather(there),
                (_, Ok(there)) => there,
                (here, Err(_)) => here?,
            },
        };
        if let Some(error) = &missed {
            site.remarks.push(format!("warning: {error}; {}", fresh::age(&repo, named)?));
        }
        match &site.known {
            StopBasis::Ledger(session) => site.remarks.extend(session.remarks.iter().cloned()),
            StopBasis::Files(_, why) => site.remarks.push(format!(
                "warning: the ledger cannot be verified here ({why}); the stop is made by what the files say"
            )),
        }
        Ok((Self { missed, ..site }, delivery))
    }

    /// Prints what the stop does, and what should be known besides, once.
    fn say_what_it_does(&mut self) {
        self.remarks.drain(..).for_each(|line| remark(&line));
        for line in self.effects.drain(..) {
            say(&line);
            account::note(|account| account.effect.push(line));
        }
    }

    /// Refuses to pause what has not started, and to stop it where its target was named and nothing runs there, because that
    /// would end it. Where the remote may know more, nothing is refused.
    fn is_meant(&self, about: &StopSubject<'_>, action: Action, handle: Option<&str>) -> Result<(), Failure> {
        let (StopBasis::Ledger(session), Some(lease), Some(handle)) = (&self.known, &about.lease, handle) else {
            return Ok(());
        };
        let started = session.state.lease(lease).is_some_and(|entry| entry.phase.started() || entry.phase.ended());
        let of_target = session.state.document(lease).is_some_and(|document| document.target.as_str() == handle);
        let by_target = of_target && matches!(action, Action::Halt | Action::Rollback);
        if started || self.missed.is_some() || !(by_target || action == Action::Pause) {
            return Ok(());
        }
        let message = format!(
            "{lease} has not started, so there is no weight to hold or to take away: this would withdraw it for good"
        );
        let hint = format!("leave it unstarted, or end it with: git two-key withdraw {lease}");
        Err(about.refused(Refusal::new(Reason::WrongState, message).hint(hint)))
    }

    /// Says why this is built on, and not the remote's tip.
    fn rather(mut self, theirs: Result<Self, Failure>) -> Self {
        let branch = self.branch_name().to_owned();
        let why = match theirs {
            Ok(Self { known: StopBasis::Files(_, why), .. }) => format!(" ({why})"),
            _ => String::new(),
        };
        self.remarks
            .push(format!("warning: the remote's {branch} is no ledger{why}; the stop is built on the local {branch}"));
        self
    }

    /// The site at a tip.
    fn at(place: &Place, which: &Which) -> Result<Self, Failure> {
        let refusal = match Session::open(place, which) {
            Ok(session) => {
                let local = session.repo.resolve(&session.branch)?.unwrap_or(session.tip);
                let (repo, branch) = (session.repo.clone(), session.branch.clone());
                return Ok(Self::new(repo, branch, local, StopBasis::Ledger(Box::new(session))));
            }
            Err(Failure::Undecided(refusal) | Failure::Refused { refusal, .. }) => refusal,
            Err(other) => return Err(other),
        };
        let files = Ground::open(place, which)?;
        let (repo, branch) = (files.repo.clone(), files.branch.clone());
        let local = repo.resolve(&branch)?.unwrap_or(files.tip);
        Ok(Self::new(repo, branch, local, StopBasis::Files(Box::new(files), refusal)))
    }

    fn new(repo: Repository, branch: String, local: Oid, known: StopBasis) -> Self {
        Self { repo, branch, local, known, missed: None, effects: Vec::new(), remarks: Vec::new() }
    }

    fn branch_name(&self) -> &str {
        refs::short(&self.branch)
    }

    fn lease(&self, handle: &str, action: Action) -> Result<LeaseId, Failure> {
        match &self.known {
            StopBasis::Ledger(session) => session.lease(handle, Some(action)),
            StopBasis::Files(files, _) => files.lease(handle),
        }
    }

    /// What is to be signed, and by whom: by what the ledger says; else by each word that says something else.
    fn turns(
        &self,
        place: &Place,
        flags: &Flags,
        action: Action,
        about: &StopSubject<'_>,
    ) -> Result<Vec<UnsignedStop>, Failure> {
        let (key, lease) = (flags.key.as_deref(), about.lease.as_ref());
        let nonce = Nonce::from_bytes(rand::random());
        let files = match &self.known {
            StopBasis::Ledger(session) => {
                let statement = ledger::next_statement(&session.state, action, lease, None, &nonce);
                let statement = statement.map_err(|refusal| about.refused(refusal))?;
                let signer = Signer::find(place, &self.repo, &session.state, key)?;
                return Ok(vec![UnsignedStop { signer, statement, base: session.tip }]);
            }
            StopBasis::Files(files, _) => files,
        };
        let (mut turns, mut unknown) = (Vec::<UnsignedStop>::new(), None);
        for word in &files.words {
            let signer = match Signer::by_policy(place, &self.repo, &word.policy, key) {
                Ok(signer) => signer,
                Err(failure @ Failure::Refused { .. }) => {
                    unknown.get_or_insert(failure);
                    continue;
                }
                Err(other) => return Err(other),
            };
            let statement = word
                .statement(action, lease.cloned(), nonce.clone())
                .ok_or_else(|| about.refused(Refusal::new(Reason::Internal, format!("{action} is no stop"))))?;
            let says_the_same =
                |turn: &UnsignedStop| turn.statement == statement && turn.signer.principal == signer.principal;
            if !turns.iter().any(says_the_same) {
                turns.push(UnsignedStop { signer, statement, base: word.on });
            }
        }
        unknown.filter(|_| turns.is_empty()).map_or(Ok(turns), Err)
    }

    /// What a stop would do, or why it would not count.
    fn effect(&self, turn: &UnsignedStop) -> Result<String, Refusal> {
        let StopBasis::Ledger(session) = &self.known else {
            return Ok("what it does is for the ledger to say: nothing here can be folded".to_owned());
        };
        let UnsignedStop { signer, statement, .. } = turn;
        let vote = Hypothesis::IfSigned { statement, key: &signer.public, claims: &signer.principal };
        let (after, report) = ledger::hypothetical(&session.state, vote);
        match report.findings.into_iter().next() {
            Some(finding) => Err(finding.refusal),
            None => Ok(effect::words(&session.state, &after, statement)),
        }
    }

    /// Signs a stop, keeps it here, and pushes it if that is asked for.
    fn make(
        &mut self,
        flags: &Flags,
        turn: &UnsignedStop,
        about: &StopSubject<'_>,
        destination: Option<&str>,
    ) -> Result<(), Failure> {
        let UnsignedStop { signer, statement, base } = turn;
        let commit = carrier::commit(&self.repo, *base, statement, signer, flags.reason.as_deref(), &[])?;
        self.check(commit).map_err(|failure| match failure {
            Failure::Refused { refusal, .. } => about.refused(refusal),
            other => other,
        })?;
        let stop = SignedStop { lease: about.lease.clone(), commit };
        match (stop.keep(&self.repo), destination) {
            (Ok(()), _) => {}
            (Err(error), None) => return Err(error.into()),
            // What keeps it from being kept here must not keep it from being delivered.
            (Err(error), Some(_)) => self.remarks.push(format!("warning: the stop could not be kept here: {error}")),
        }
        if destination.is_none() && self.repo.worktree().is_none() && self.repo.remotes()?.is_empty() {
            return self.keep_here(&stop, signer, statement);
        }
        let on_branch = self.keep(&stop, *base);
        account::note(|account| account.signed.push(forward::signed(signer, statement, Some(commit))));
        let signed = format!("{}: {} ({})", signer.principal, report::subject_line(statement), commit.short());
        let made = StopToPush { stop, on_branch, about: about.about, who: signer.principal.as_str(), signed: &signed };
        if let Some(remote) = destination {
            let pushed = self.push_in_time(remote, &made);
            // Of several words one is wrong, and what was signed by that is nothing to deliver.
            let guessed = matches!(&self.known, StopBasis::Files(files, _) if files.words.len() > 1);
            if guessed && matches!(pushed, Err(Failure::Refused { .. })) {
                made.stop.take_out(&self.repo);
            }
            return pushed;
        }
        self.say_what_it_does();
        say(&signed);
        if on_branch {
            self.tag(commit, made.who)?;
        }
        say(&self.push_line(flags, &made)?);
        Ok(())
    }

    /// Puts a stop that was made on the server itself where a push puts one that waits beside main: nothing moves main here but a
    /// push, and appliers look there.
    fn keep_here(&mut self, stop: &SignedStop, signer: &Signer, statement: &Statement) -> Result<(), Failure> {
        let name = stop.put(&self.repo)?;
        stop.take_out(&self.repo);
        account::note(|account| account.signed.push(forward::signed(signer, statement, Some(stop.commit))));
        self.say_what_it_does();
        say(&format!("{}: {} ({})", signer.principal, report::subject_line(statement), stop.commit.short()));
        say(&format!(
            "kept here as {name}, where appliers look; the next vote from a clone carries it over to {}",
            self.branch_name()
        ));
        Ok(())
    }

    /// Folds what was made: the one verification.
    fn check(&mut self, commit: Oid) -> Result<(), Failure> {
        let StopBasis::Ledger(session) = &mut self.known else { return Ok(()) };
        let (state, reports) = fold_on(&session.repo, session.root.commit(), session.state.clone(), commit)?;
        refuse_findings(&reports, commit)?;
        session.move_to(commit, state, reports);
        Ok(())
    }

    /// Moves the local branch to the stop if that loses nothing. Whether or not, it lies in the outbox.
    fn keep(&mut self, stop: &SignedStop, base: Oid) -> bool {
        let continues = self.local == base || self.repo.is_ancestor(self.local, base).unwrap_or(false);
        let why = match continues.then(|| self.move_branch(stop.commit, base)) {
            Some(Ok(())) => return true,
            Some(Err(GitError::RefChanged { .. })) if self.repo.resolve(&self.branch).is_ok_and(|at| at.is_none()) => {
                "is not here".to_owned()
            }
            Some(Err(GitError::RefChanged { .. })) => "moved while this was signed".to_owned(),
            Some(Err(error)) => format!("could not be moved ({error})"),
            None => "has commits of its own".to_owned(),
        };
        let warning = format!("warning: the local {} {why}; the stop is kept at {}", self.branch_name(), stop.name());
        self.remarks.push(warning);
        false
    }

    fn move_branch(&mut self, to: Oid, base: Oid) -> Result<(), GitError> {
        let update = RefUpdate { name: self.branch.clone(), old: Some(self.local), new: to };
        // A stop changes no file; only what else came with it does.
        if self.local == base {
            self.repo.update_refs(&[update], "two-key: stop")?;
        } else {
            advance(&self.repo, &update, "two-key: stop")?;
        }
        self.local = to;
        Ok(())
    }

    /// Tags what the stop put in force; the tags' names.
    fn tag(&self, commit: Oid, who: &str) -> Result<Vec<String>, Failure> {
        let StopBasis::Ledger(session) = &self.known else { return Ok(Vec::new()) };
        let report = session.past.fresh().iter().find(|report| report.commit == commit);
        let updates = report.map(|report| tags::updates(&self.repo, &session.state, report, who, |_| false));
        Ok(tags::put(&self.repo, &updates.transpose()?.unwrap_or_default(), "two-key: stop"))
    }

    fn push_line(&self, flags: &Flags, made: &StopToPush<'_>) -> Result<String, Failure> {
        let remote = flags.to.remote(&self.repo, &self.branch)?;
        let beside = made.stop.command(&remote);
        Ok(if made.on_branch {
            let branch = self.branch_name();
            format!("\nPush it with:\n  git push {remote} {branch}\nor, if the server rejects that:\n  {beside}")
        } else {
            format!("\nPush it with:\n  {beside}")
        })
    }

    /// Pushes the stop, and says before long that it is not there yet. Where nobody can be asked for a password it is not waited
    /// for without end.
    fn push_in_time(&mut self, remote: &str, made: &StopToPush<'_>) -> Result<(), Failure> {
        let patient = self.repo.clone();
        if !terminal::interactive() {
            self.repo = patient.clone().with_patience(PATIENCE);
        }
        let text = format!(
            "STOP SIGNED, NOT ON THE SERVER YET: {remote} does not answer; the stop is kept here, and delivered by: git two-key sync"
        );
        let pushed = terminal::if_late(terminal::LATE, &text, || self.push(remote, made));
        self.repo = patient;
        pushed
    }

    /// Pushes the stop to main; if main will not have it, to its own ref. Where nobody can say here what main is, it goes to
    /// its own ref first: there every applier finds it, whatever becomes of main.
    fn push(&mut self, remote: &str, made: &StopToPush<'_>) -> Result<(), Failure> {
        let first = matches!(self.known, StopBasis::Files(..)).then(|| made.stop.push(&self.repo, remote));
        let why = match self.push_to_main(remote, made) {
            Ok(()) => {
                self.say_what_it_does();
                say(made.signed);
                if let Some(Ok(name)) = first {
                    pushed_as(remote, &name);
                } else {
                    made.stop.take_out(&self.repo);
                }
                say_pushed(remote);
                self.push_tags(remote, made)?;
                return deliver(&self.repo, remote, &self.branch).map(drop);
            }
            Err(Failure::Undecided(refusal)) => refusal.message,
            Err(failure) => return Err(failure),
        };
        let name = first.unwrap_or_else(|| made.stop.push(&self.repo, remote));
        let name = match name {
            Ok(name) => name,
            Err(undelivered) => {
                say(&undelivered.first_lines());
                self.say_what_it_does();
                say(made.signed);
                return Err(undelivered.verdict());
            }
        };
        self.say_what_it_does();
        say(made.signed);
        pushed_as(remote, &name);
        remark(&not_on_main(&why, self.branch_name(), &format!("{remote} {}:refs/heads/NAME", made.stop.commit)));
        deliver(&self.repo, remote, &self.branch).map(drop)
    }

    /// Undecided if main would not have it, for that says nothing against the stop.
    fn push_to_main(&mut self, remote: &str, made: &StopToPush<'_>) -> Result<(), Failure> {
        let (mut tip, mut whole) = (made.stop.commit, true);
        for _ in 0..TRIES {
            let refspec = format!("{tip}:{}", self.branch);
            let outcome = self.repo.push(remote, &[refspec], &PushOptions::of_a_stop())?;
            if outcome.is_accepted() {
                if made.on_branch && whole && tip != made.stop.commit {
                    self.adopt(tip)?;
                }
                return Ok(());
            }
            let no = || Failure::undecided(Reason::NotTaken, words_of(&outcome));
            self.repo.fetch(remote, self.branch_name()).map_err(|_| no())?;
            match self.repo.resolve(&mirrored(remote, &self.branch))? {
                Some(theirs) if !self.repo.is_ancestor(theirs, tip).unwrap_or(false) => {
                    (tip, whole) = self.carry_over(theirs, made)?;
                }
                _ => return Err(no()),
            }
        }
        Err(Failure::undecided(Reason::NotTaken, format!("it moved on {TRIES} times")))
    }

    /// Brings the stop onto the remote's new tip, and whether all that was proposed here came with it: where that
    /// conflicts, the stop goes alone.
    fn carry_over(&mut self, theirs: Oid, made: &StopToPush<'_>) -> Result<(Oid, bool), Failure> {
        let (tree, whole) = match self.repo.merge_trees(theirs, made.stop.commit) {
            Ok(Ok(tree)) => (tree, true),
            _ => (self.repo.objects()?.links(theirs).map_err(|error| undecided(error.into()))?.tree, false),
        };
        let merged = merge(&self.repo, theirs, made.stop.commit, tree, made.about)?;
        if let StopBasis::Ledger(session) = &mut self.known {
            let root = session.root.commit();
            let state: State = state_at(&session.repo, &session.memory, theirs).map_err(undecided)?;
            let (state, reports) = fold_on(&session.repo, root, state, merged)?;
            refuse_findings(&reports, made.stop.commit)?;
            session.move_to(merged, state, reports);
        }
        Ok((merged, whole))
    }

    /// Moves the local branch from the stop to the merge that carried it over.
    fn adopt(&mut self, tip: Oid) -> Result<(), Failure> {
        let update = RefUpdate { name: self.branch.clone(), old: Some(self.local), new: tip };
        advance(&self.repo, &update, "two-key: carry over")?;
        self.local = tip;
        Ok(())
    }

    /// The tag follows by itself: whatever becomes of it, the stop is in force.
    fn push_tags(&self, remote: &str, made: &StopToPush<'_>) -> Result<(), Failure> {
        let StopBasis::Ledger(session) = &self.known else { return Ok(()) };
        tags::follow(&self.repo, remote, &self.tag(session.tip, made.who)?);
        Ok(())
    }
}

/// Whether a stop is built on the remote's tip rather than on the local one.
fn goes_there(repo: &Repository, local: Option<Oid>, theirs: Oid, pushes: bool) -> bool {
    let Some(local) = local else { return true };
    // A shallow clone may not know.
    let behind = repo.is_ancestor(local, theirs).unwrap_or(false);
    behind || (pushes && !repo.is_ancestor(theirs, local).unwrap_or(false))
}

/// The local branch; where there is none, what was fetched of it: a clone may have been made for another branch.
fn here(place: &Place) -> Result<Which, Failure> {
    let repo = place.repository()?;
    let is_there = |which: &Which| unverified_tip(&repo, which).is_ok();
    Ok(if !is_there(&Which::Local) && is_there(&Which::Remote(None)) { Which::Remote(None) } else { Which::Local })
}

/// What is wrong with a branch says nothing against a stop.
fn undecided(failure: Failure) -> Failure {
    match failure {
        Failure::Refused { refusal, .. } => Failure::Undecided(refusal),
        other => other,
    }
}

/// What else a step brings in never holds a stop up.
fn refuse_findings(reports: &[ledger::StepReport], commit: Oid) -> Result<(), Failure> {
    match reports.iter().flat_map(|report| &report.findings).find(|finding| finding.carrier == commit) {
        Some(finding) => Err(Failure::refused("stop", finding.refusal.clone())),
        None => Ok(()),
    }
}
