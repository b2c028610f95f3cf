//! Stops: any one key, at any time, from any clone.
//!
//! A stop is never held up: not by a missing pin, a shallow or stale clone, a ledger that cannot be folded, a branch that
//! moved on or that nobody may push to. What cannot be known is warned about, and the stop is made all the same.

use super::{
    Delivery, Flags, Signer, advance, carrier, effect, fold, fold_on,
    push::{TRIES, merge, not_on_main, words_of},
    stops::{Signed, deliver},
    tags,
};
use crate::{
    cli::{
        Failure, Place, fresh,
        ground::Ground,
        session::{Session, Which, unverified_tip},
        terminal::{remark, say},
    },
    git::{GitError, PushOptions, RefUpdate, Repository, mirrored},
    ledger::{self, Hypothesis, State},
    model::{Action, LeaseId, Nonce, Oid, Reason, Refusal, Statement},
    report,
};

/// What is known where the stop is built.
enum Known {
    /// The ledger, folded.
    Ledger(Box<Session>),
    /// The files of the tip, which nothing vouches for.
    Files(Box<Ground>),
}

/// Where a stop is built.
struct Site {
    repo: Repository,
    /// The governed branch's full name.
    branch: String,
    /// Where the local branch is.
    local: Oid,
    /// What the stop is built on.
    base: Oid,
    known: Known,
    /// Why the remote could not be asked.
    missed: Option<GitError>,
    /// What is said once the stop is made.
    remarks: Vec<String>,
}

/// Stops a lease, or with no lease the whole repository.
pub fn stop(place: &Place, flags: &Flags, action: Action, handle: Option<&str>) -> Result<(), Failure> {
    let (mut site, delivery) = Site::find(place, flags)?;
    let lease = handle.map(|handle| site.lease(handle, action)).transpose()?;
    let about = lease.as_ref().map_or_else(|| action.to_string(), ToString::to_string);
    let refused = |refusal| Failure::refused(about.as_str(), refusal);
    if let Some(lease) = lease.as_ref().filter(|_| action == Action::Pause) {
        site.can_hold(lease).map_err(refused)?;
    }
    let statement = site.statement(action, lease.as_ref()).map_err(refused)?;
    let signer = site.signer(place, flags)?;
    let effect = site.effect(&statement, &signer).map_err(refused)?;
    if flags.dry_run {
        site.say_remarks();
        say(&effect);
        say(&format!("\n{} would sign:\n\n{statement}", signer.principal));
        return Ok(());
    }
    let commit = carrier::commit(&site.repo, site.base, &statement, &signer, flags.reason.as_deref(), &[])?;
    site.check(commit).map_err(|failure| match failure {
        Failure::Refused { refusal, .. } => refused(refusal),
        other => other,
    })?;
    let stop = Signed { lease: lease.clone(), commit };
    stop.keep(&site.repo)?;
    let on_branch = site.keep(&stop);
    let signed = format!("{effect}\n{}: {} ({})", signer.principal, report::subject_line(&statement), commit.short());
    let made = Made { stop, on_branch, about: &about, who: signer.principal.as_str(), signed: &signed };
    match &delivery {
        Delivery::To(remote) => site.push(remote, &made),
        Delivery::Kept(_) | Delivery::Nowhere => {
            delivery.first_line().iter().for_each(|line| say(line));
            site.say_remarks();
            say(&signed);
            if on_branch {
                site.tag(commit, made.who)?;
            }
            say(&site.push_line(flags, &made)?);
            Ok(())
        }
    }
}

/// A stop that is signed.
struct Made<'a> {
    stop: Signed,
    /// Whether the local branch is at it.
    on_branch: bool,
    about: &'a str,
    who: &'a str,
    /// What it does, and that it is signed, in words.
    signed: &'a str,
}

impl Site {
    /// Finds what to build on: the remote's tip as it is now, else the newest of what is here.
    fn find(place: &Place, flags: &Flags) -> Result<(Self, Delivery), Failure> {
        let repo = place.repository()?;
        let missed = if flags.to.is_offline() { None } else { fresh::fetched(&repo, flags.to.named())?.err() };
        let mut site = Self::at(place, None)?;
        let destination = flags.delivery(&site.repo, &site.branch)?;
        let remote = flags.to.remote(&site.repo, &site.branch)?;
        let theirs = site.repo.resolve(&mirrored(&remote, &site.branch))?;
        if let Some(theirs) = theirs.filter(|theirs| *theirs != site.local) {
            // A shallow clone may not know.
            let behind = site.repo.is_ancestor(site.local, theirs).unwrap_or(false);
            let diverged = !behind && !site.repo.is_ancestor(theirs, site.local).unwrap_or(false);
            if behind || (diverged && destination.remote().is_some()) {
                site = Self::at(place, Some(theirs))?;
            }
        }
        if let Some(error) = &missed {
            let age = fresh::age(&site.repo, flags.to.named())?;
            site.remarks.push(format!("warning: {error}; {age}"));
        }
        if let Known::Ledger(session) = &site.known {
            site.remarks.extend(session.remarks.iter().cloned());
        }
        Ok((Self { missed, ..site }, destination))
    }

    /// The site at a tip, or at the local branch's.
    fn at(place: &Place, tip: Option<Oid>) -> Result<Self, Failure> {
        let which = tip.map_or_else(|| here(place), |tip| Ok(Which::At(tip.to_string())))?;
        let refusal = match Session::open(place, &which) {
            Ok(session) => {
                let local = session.repo.resolve(&session.branch)?.unwrap_or(session.tip);
                let (repo, branch, base) = (session.repo.clone(), session.branch.clone(), session.tip);
                let known = Known::Ledger(Box::new(session));
                return Ok(Self { repo, branch, local, base, known, missed: None, remarks: Vec::new() });
            }
            Err(Failure::Undecided(refusal)) => refusal,
            Err(other) => return Err(other),
        };
        let files = Ground::open(place, &which)?;
        let warning =
            format!("warning: the ledger cannot be verified here ({refusal}); the stop is made by what the files say");
        let (repo, branch, base) = (files.repo.clone(), files.branch.clone(), files.tip);
        let local = repo.resolve(&branch)?.unwrap_or(base);
        let known = Known::Files(Box::new(files));
        Ok(Self { repo, branch, local, base, known, missed: None, remarks: vec![warning] })
    }

    /// Prints what should be known besides, once.
    fn say_remarks(&mut self) {
        self.remarks.drain(..).for_each(|line| remark(&line));
    }

    fn branch_name(&self) -> &str {
        crate::cli::session::short(&self.branch)
    }

    fn lease(&self, handle: &str, action: Action) -> Result<LeaseId, Failure> {
        match &self.known {
            Known::Ledger(session) => session.lease(handle, Some(action)),
            Known::Files(files) => files.lease(handle),
        }
    }

    fn statement(&self, action: Action, lease: Option<&LeaseId>) -> Result<Statement, Refusal> {
        let nonce = Nonce::from_bytes(rand::random());
        match &self.known {
            Known::Ledger(session) => ledger::next_statement(&session.state, action, lease, None, &nonce),
            Known::Files(files) => files
                .statement(action, lease.cloned(), nonce)
                .ok_or_else(|| Refusal::new(Reason::Internal, format!("{action} is no stop"))),
        }
    }

    /// Refuses to pause what has not started, because that would end it. Where the remote may know more, nothing is refused.
    fn can_hold(&self, lease: &LeaseId) -> Result<(), Refusal> {
        let Known::Ledger(session) = &self.known else { return Ok(()) };
        let started = session.state.lease(lease).is_some_and(|entry| entry.phase.started() || entry.phase.ended());
        if started || self.missed.is_some() {
            return Ok(());
        }
        let message =
            format!("{lease} has not started, so there is no weight to hold: a pause would withdraw it for good");
        let hint = format!("leave it unstarted, or end it with: git two-key withdraw {lease}");
        Err(Refusal::new(Reason::WrongState, message).hint(hint))
    }

    fn signer(&self, place: &Place, flags: &Flags) -> Result<Signer, Failure> {
        let key = flags.key.as_deref();
        match &self.known {
            Known::Ledger(session) => Signer::find(place, &self.repo, &session.state, key),
            Known::Files(files) => Signer::by_policy(place, &self.repo, &files.policy, key),
        }
    }

    /// What the stop would do, or why it would not count.
    fn effect(&self, statement: &Statement, signer: &Signer) -> Result<String, Refusal> {
        let Known::Ledger(session) = &self.known else {
            return Ok("what it does is for the ledger to say: nothing here can be folded".to_owned());
        };
        let vote = Hypothesis::IfSigned { statement, key: &signer.public, claims: &signer.principal };
        let (after, report) = ledger::hypothetical(&session.state, vote);
        match report.findings.into_iter().next() {
            Some(finding) => Err(finding.refusal),
            None => Ok(effect::words(&session.state, &after, statement)),
        }
    }

    /// Folds what was made: the one verification.
    fn check(&mut self, commit: Oid) -> Result<(), Failure> {
        let Known::Ledger(session) = &mut self.known else { return Ok(()) };
        let (state, reports) = fold_on(&session.repo, session.root.commit(), session.state.clone(), commit)?;
        refuse_findings(&reports, commit)?;
        session.move_to(commit, state, reports);
        Ok(())
    }

    /// Moves the local branch to the stop if that loses nothing. Whether or not, it lies in the outbox.
    fn keep(&mut self, stop: &Signed) -> bool {
        let continues = self.local == self.base || self.repo.is_ancestor(self.local, self.base).unwrap_or(false);
        let why = match continues.then(|| self.move_branch(stop.commit)) {
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

    fn move_branch(&mut self, to: Oid) -> Result<(), GitError> {
        let update = RefUpdate { name: self.branch.clone(), old: Some(self.local), new: to };
        // A stop changes no file; only what else came with it does.
        if self.local == self.base {
            self.repo.update_refs(&[update], "two-key: stop")?;
        } else {
            advance(&self.repo, &update, "two-key: stop")?;
        }
        (self.local, self.base) = (to, to);
        Ok(())
    }

    /// Tags what the stop put in force; the tags' names.
    fn tag(&self, commit: Oid, who: &str) -> Result<Vec<String>, Failure> {
        let Known::Ledger(session) = &self.known else { return Ok(Vec::new()) };
        let updates = tags::updates(&self.repo, &session.state, commit, who, |_| false)?;
        Ok(tags::put(&self.repo, &updates, "two-key: stop"))
    }

    fn push_line(&self, flags: &Flags, made: &Made<'_>) -> Result<String, Failure> {
        let remote = flags.to.remote(&self.repo, &self.branch)?;
        let beside = made.stop.command(&remote);
        Ok(if made.on_branch {
            let branch = self.branch_name();
            format!("\nPush it with:\n  git push {remote} {branch}\nor, if {branch} will not have it:\n  {beside}")
        } else {
            format!("\nPush it with:\n  {beside}")
        })
    }

    /// Pushes the stop to main; if main will not have it, to its own ref.
    fn push(&mut self, remote: &str, made: &Made<'_>) -> Result<(), Failure> {
        let why = match self.push_to_main(remote, made)? {
            Ok(()) => {
                made.stop.is_folded(&self.repo);
                self.say_remarks();
                say(made.signed);
                say(&format!("pushed to {remote}"));
                self.push_tags(remote, made)?;
                return deliver(&self.repo, remote, &self.branch);
            }
            Err(why) => why,
        };
        let name = match made.stop.push(&self.repo, remote) {
            Ok(name) => name,
            Err(undelivered) => {
                say(&undelivered.first_lines());
                self.say_remarks();
                say(made.signed);
                return Err(undelivered.verdict());
            }
        };
        self.say_remarks();
        say(made.signed);
        say(&format!("pushed to {remote} as {name}"));
        remark(&not_on_main(&why, self.branch_name(), &format!("{remote} {}:refs/heads/NAME", made.stop.commit)));
        deliver(&self.repo, remote, &self.branch)
    }

    /// The inner result: why main would not have it.
    fn push_to_main(&mut self, remote: &str, made: &Made<'_>) -> Result<Result<(), String>, Failure> {
        let (mut tip, mut whole) = (made.stop.commit, true);
        for _ in 0..TRIES {
            let refspec = format!("{tip}:{}", self.branch);
            let outcome = match self.repo.push(remote, &[refspec], &PushOptions::of_a_stop()) {
                Ok(outcome) => outcome,
                Err(error) => return Ok(Err(error.to_string())),
            };
            if outcome.is_accepted() {
                if made.on_branch && whole && tip != made.stop.commit {
                    self.adopt(tip)?;
                }
                return Ok(Ok(()));
            }
            let Ok(()) = self.repo.fetch(remote, self.branch_name()) else { return Ok(Err(words_of(&outcome))) };
            let theirs = self.repo.resolve(&mirrored(remote, &self.branch))?;
            match theirs {
                Some(theirs) if !self.repo.is_ancestor(theirs, tip).unwrap_or(false) => {
                    (tip, whole) = self.carry_over(theirs, made)?;
                }
                _ => return Ok(Err(words_of(&outcome))),
            }
        }
        Ok(Err(format!("it moved on {TRIES} times")))
    }

    /// Brings the stop onto the remote's new tip, and whether all that was proposed here came with it: where that
    /// conflicts, the stop goes alone.
    fn carry_over(&mut self, theirs: Oid, made: &Made<'_>) -> Result<(Oid, bool), Failure> {
        let (tree, whole) = match self.repo.merge_trees(theirs, made.stop.commit) {
            Ok(Ok(tree)) => (tree, true),
            _ => (self.repo.objects()?.links(theirs)?.tree, false),
        };
        let merged = merge(&self.repo, theirs, made.stop.commit, tree, made.about)?;
        if let Known::Ledger(session) = &mut self.known {
            let root = session.root.commit();
            let state: State = fold(&session.repo, root, theirs)?;
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
        (self.local, self.base) = (tip, tip);
        Ok(())
    }

    /// The tag follows by itself: whatever becomes of it, the stop is in force.
    fn push_tags(&self, remote: &str, made: &Made<'_>) -> Result<(), Failure> {
        let Known::Ledger(session) = &self.known else { return Ok(()) };
        tags::follow(&self.repo, remote, &self.tag(session.tip, made.who)?);
        Ok(())
    }
}

/// The local branch; where there is none, what was fetched of it: a clone may have been made for another branch.
fn here(place: &Place) -> Result<Which, Failure> {
    let repo = place.repository()?;
    let is_there = |which: &Which| unverified_tip(&repo, which).is_ok();
    Ok(if !is_there(&Which::Local) && is_there(&Which::Remote(None)) { Which::Remote(None) } else { Which::Local })
}

/// What else a step brings in never holds a stop up.
fn refuse_findings(reports: &[ledger::StepReport], commit: Oid) -> Result<(), Failure> {
    match reports.iter().flat_map(|report| &report.findings).find(|finding| finding.carrier == commit) {
        Some(finding) => Err(Failure::refused("stop", finding.refusal.clone())),
        None => Ok(()),
    }
}
