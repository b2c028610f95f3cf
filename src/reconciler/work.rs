//! One target's work in a tick: it looks, decides and acts until there is nothing more to do.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::{
    follower::{
        Mode,
        checks::Check,
        records::{Doing, Intent, RecordedEvent, TargetHealth, TargetRecord},
    },
    gate::{
        Evidence, Verdict,
        health::{Deadline, Look},
    },
    ledger::{EventKind, Phase},
    model::{Digest, Reason, Refusal, TargetId},
};

use super::{
    decide::{Act, Applied, Conditions, Decision, Desired, Observed, Pack, Rollback, decide, is_below},
    office::{Intended, Office, enter},
    pack::{Occasion, RollbackPack},
    rollback_health::RollbackHealth,
    run::TargetReport,
    target::{self, Seen, TargetRun},
    watching::{self, Aftercare},
};

/// Acts that one target may need in one tick: a pack or a stop of our own, then what follows from it.
const MAX_ACTS: usize = 4;

/// One target's work in a tick. The office is entered for what all share; never while the target is being talked to.
pub(super) struct Job {
    office: Arc<Mutex<Office>>,
    run: TargetRun,
    applied: Applied,
    wanted: Desired,
    seen: Seen,
    /// A pack that was just taken; it goes into our ref with the next intention, and so does that it was.
    packed: Option<(Vec<u8>, RecordedEvent)>,
    decision: Decision,
    /// What metrics say.
    look: Look,
    /// What they say of a version that was restored.
    rollback_health: RollbackHealth,
}

/// A forward move that was decided on. It is made once its intention has been published, and only then.
pub(super) struct Forward {
    job: Job,
    intent: Intent,
    pack: Digest,
    /// What was there when it was decided on.
    from: Observed,
}

/// What became of one target's work.
pub(super) enum Outcome {
    /// No lease ever started there.
    Idle,
    /// It is done for this tick.
    Done(Box<(TargetReport, TargetRecord)>),
    /// It would go forward.
    Forward(Box<Forward>),
}

/// How a target's work goes on.
enum Next {
    Again,
    Done,
    Forward(Intent, Digest, Observed),
}

/// Looks at one target and does all that is no forward move.
pub(super) fn look_after(office: &Arc<Mutex<Office>>, target: &TargetId) -> Result<Outcome, Refusal> {
    match Job::begin(office, target)? {
        Some(job) => job.go_on(),
        None => Ok(Outcome::Idle),
    }
}

/// Says what is about to be done, before any of it is: all of it in one record. `busy`, or whatever else came to be known
/// since, if nothing of it may be done. It is pushed from then on.
pub(super) fn intend(inside: &mut Office, forwards: &mut [Forward]) -> Result<(), Refusal> {
    let mut intended = Intended::default();
    for forward in forwards.iter_mut() {
        let Forward { job, intent, .. } = forward;
        job.applied.intent = Some(intent.clone());
        job.note(inside);
        let record = job.record(inside);
        inside.tick.records.insert(job.run.target.clone(), record);
        intended.names.push(format!("{} for {}", job.run.target, intent.lease));
        if let Some((pack, event)) = job.packed.take() {
            intended.files.push((RollbackPack::path(&intent.lease), pack));
            intended.events.push(event);
        }
    }
    inside.intend(&intended)
}

impl Forward {
    /// The target.
    pub(super) fn target(&self) -> &TargetId {
        &self.job.run.target
    }

    /// What is said of it if it is not made in this tick any more.
    pub(super) fn put_off(&self) -> TargetReport {
        TargetReport::of(&self.job.wanted, &self.job.seen, &self.job.decision, Mode::Act)
    }

    /// Makes the move, if it may be made, and if what is known and seen now still leads to it.
    pub(super) fn make(self, may: Result<(), Refusal>) -> Result<Outcome, Refusal> {
        let Self { mut job, intent, pack, from } = self;
        let reading = job.inside()?.tick.reading.clone();
        job.run.reading = reading;
        let unsettled = Applied { intent: None, ..job.applied.clone() };
        let still = may.and_then(|()| {
            job.seen = job.run.driver.observe();
            job.take_measured()?;
            // Before the first shift the ledger says nothing about what is there, and the pack is of what was.
            Ok(job.seen.as_ref() == Ok(&from) && job.is_still_decided(&unsettled)?)
        });
        if let Ok(true) = still {
            let shifted = job.shift(&intent, false).and_then(|()| {
                job.applied.pack = Some(pack);
                job.write_down()
            });
            match shifted {
                Ok(()) => job.decision.doing = job.after_shift(),
                Err(refusal) => job.decision = target::held(refusal),
            }
            return job.end();
        }
        job.applied.intent = None;
        job.write_down()?;
        match still {
            Ok(_) => job.go_on(),
            Err(refusal) => {
                job.decision = target::held(refusal);
                job.end()
            }
        }
    }
}

impl Job {
    /// Looks at the target; nothing if no lease ever started there.
    fn begin(office: &Arc<Mutex<Office>>, target: &TargetId) -> Result<Option<Self>, Refusal> {
        let inside = enter(office)?;
        inside.looks_after(target)?;
        let applied = inside.remembered.targets.get(target).cloned().unwrap_or_default();
        let Some(wanted) = inside.desired(target, &applied) else { return Ok(None) };
        let driver = inside.driver(target, &wanted)?;
        drop(inside);
        let seen = driver.observe();
        let (reading, trusted) = {
            let inside = enter(office)?;
            (inside.tick.reading.clone(), inside.tick.trusted)
        };
        let decision = target::held(Refusal::new(Reason::Internal, "nothing was decided"));
        let run = TargetRun { target: target.clone(), driver, reading, events: Vec::new() };
        let office = Arc::clone(office);
        let (look, rollback_health) = (watching::nothing(), RollbackHealth::UNKNOWN);
        let mut job = Self { office, run, applied, wanted, seen, packed: None, decision, look, rollback_health };
        let inside = enter(&job.office)?;
        let found = |applied: &Applied| inside.found(target, applied, job.seen.as_ref().ok());
        job.run.look(&mut job.applied, found, &job.seen, trusted);
        drop(inside);
        job.turn()?;
        job.take_measured()?;
        Ok(Some(job))
    }

    /// Turns to what is wanted now; false if nothing is any more. What is there of another lease is moved by the driver that was
    /// pinned for that one.
    fn turn(&mut self) -> Result<bool, Refusal> {
        let inside = self.inside()?;
        let Some(wanted) = inside.desired(&self.run.target, &self.applied) else { return Ok(false) };
        let another = wanted.lease != self.wanted.lease;
        let driver = another.then(|| inside.driver(&self.run.target, &wanted)).transpose()?;
        drop(inside);
        self.wanted = wanted;
        if let Some(driver) = driver {
            self.run.driver = driver;
            self.take_measured()?;
        }
        Ok(true)
    }

    fn inside(&self) -> Result<MutexGuard<'_, Office>, Refusal> {
        enter(&self.office)
    }

    /// Decides and acts until there is nothing more to do, or a forward move. An error holds the target for this tick.
    fn go_on(mut self) -> Result<Outcome, Refusal> {
        for _ in 0..MAX_ACTS {
            match self.step() {
                Ok(Next::Again) => {}
                Ok(Next::Done) => break,
                Ok(Next::Forward(intent, pack, from)) => {
                    return Ok(Outcome::Forward(Box::new(Forward { job: self, intent, pack, from })));
                }
                Err(refusal) => {
                    self.decision = target::held(refusal);
                    break;
                }
            }
        }
        self.end()
    }

    /// One decision, and its act.
    fn step(&mut self) -> Result<Next, Refusal> {
        if !self.turn()? {
            return Ok(Next::Done);
        }
        let mut inside = self.inside()?;
        inside.note_expiry(&self.wanted);
        let mode = inside.tick.mode;
        let mut conditions = self.conditions(&inside, &self.wanted, &self.applied);
        drop(inside);
        // The pack is looked for only where something depends on it.
        let mut pack = Err(Refusal::new(Reason::NoPack, "no pack was looked for"));
        if self.is_restored() {
            pack = self.pack();
            if let Ok(pack) = &pack {
                conditions.standing = target::standing(&*self.run.driver, &self.seen, pack);
            }
        }
        let decided =
            |conditions: &Conditions| decide(&self.wanted, self.seen.as_ref().ok(), &self.applied, conditions);
        let mut decision = decided(&conditions);
        let undoes = matches!(decision.act, Act::Restore | Act::Verify | Act::GiveUp);
        if undoes || self.applied.is_exceeded_by(&self.wanted.lease, &decision.act) {
            pack = self.pack();
            if !undoes {
                // A way back that cannot be gone now is no reason not to try it when it is needed.
                pack = pack.and_then(|pack| pack.rehearse(&*self.run.driver).map(|_| pack));
            }
            if pack.is_err() {
                conditions.pack = Pack::Missing;
                decision = decided(&conditions);
            }
        }
        self.decision = decision;
        if mode == Mode::DryRun {
            return Ok(Next::Done);
        }
        self.act(pack)
    }

    /// Whether what was there before the lease was restored, and has to stay.
    fn is_restored(&self) -> bool {
        self.wanted.phase == Phase::RolledBack
            && self.applied.lease.as_ref() == Some(&self.wanted.lease)
            && matches!(self.applied.rollback, Rollback::Verified | Rollback::Restored(_))
    }

    /// Whether the candidate is seen with less weight than was applied last.
    fn is_lowered(&self) -> bool {
        self.seen.as_ref().is_ok_and(|seen| is_below(seen, &self.wanted, self.applied.weight_bp))
    }

    /// Makes the act that was decided on.
    fn act(&mut self, pack: Result<RollbackPack, Refusal>) -> Result<Next, Refusal> {
        let (lease, step) = (self.wanted.lease.clone(), self.wanted.step);
        if self.decision.drifted {
            let weight_bp = self.seen.as_ref().map_or(0, |seen| seen.weight_bp);
            self.run.happened(EventKind::Drifted, &lease, step, weight_bp);
        }
        match self.decision.act.clone() {
            Act::Keep => {
                if self.decision.drifted {
                    // Told once, and kept until a key is turned.
                    self.applied.lowered = Some(step);
                }
                return Ok(Next::Done);
            }
            Act::Pack => {
                let last = self.seen.as_ref().ok().and_then(|seen| seen.lease.as_ref());
                let occasion = self.inside()?.occasion(&self.run.target, &lease, last);
                let occasion = occasion.ok_or_else(|| {
                    Refusal::new(Reason::Internal, format!("the ledger has no document of lease {lease}"))
                })?;
                let baseline = self.inside()?.baseline(&lease);
                let pools = self.run.driver.pools();
                let baselines = baseline.and_then(|baseline| baseline.with_pools(pools).measure(occasion.now));
                let pack = RollbackPack::take(&*self.run.driver, &Occasion { baselines, ..occasion })?;
                let event = self.run.event(EventKind::Packed, &lease, step, pack.observed.weight_bp);
                self.packed = Some((pack.bytes()?, event));
            }
            Act::Expire => {
                let event = self.run.event(EventKind::Expired, &lease, step, self.applied.weight_bp);
                self.inside()?.expire(&self.wanted, event);
            }
            Act::Stop(kind) => {
                let why = self.decision.reason.as_ref().map_or_else(String::new, |reason| reason.message.clone());
                let evidence = self.evidence()?;
                self.inside()?.stop(&lease, kind, &why, evidence);
                self.applied.halted = Some(self.run.reading.now);
            }
            Act::Restore => self.restore(pack)?,
            Act::Verify
                if matches!(self.applied.rollback, Rollback::Attempted { .. })
                    || self.applied.is_followed_by_some_only() =>
            {
                let health = self.inside()?.health_of_restored(&lease);
                let checked = self.run.verify(&mut self.applied, &self.wanted, pack, health);
                self.is_restored_from_now_on(checked)?;
                if self.applied.is_followed_by_some_only() {
                    return Ok(Next::Done);
                }
            }
            Act::Verify => {
                let mut health = Check::passed(self.rollback_health.figures.clone());
                self.keep_evidence(&mut health)?;
                let verified = self.run.verify(&mut self.applied, &self.wanted, pack, health);
                if let Err(refusal) = verified {
                    self.inside()?.tick.remark(refusal);
                }
                self.write_down()?;
            }
            Act::GiveUp => {
                let why = self.decision.reason.as_ref().map_or_else(String::new, |reason| reason.message.clone());
                let mut health = Check::failed(why);
                self.keep_evidence(&mut health)?;
                // What the other checks say is recorded; that it failed is known already.
                let _ = self.run.verify(&mut self.applied, &self.wanted, pack, health);
                self.write_down()?;
            }
            Act::Shift { tier, weight_bp, step } => {
                let intent = Intent { lease: lease.clone(), tier, weight_bp, step };
                if self.applied.is_exceeded_by(&lease, &self.decision.act) {
                    return self.forward(intent, &pack?);
                }
                if self.decision.drifted && tier.is_some() && self.is_lowered() {
                    // Told once, however often it takes to bring it back.
                    self.applied.lowered = Some(self.wanted.step);
                }
                self.shift(&intent, true)?;
            }
        }
        Ok(Next::Again)
    }

    /// Undoes; what can be known of that only in time is watched from then on.
    fn restore(&mut self, pack: Result<RollbackPack, Refusal>) -> Result<(), Refusal> {
        let health = self.inside()?.health_of_restored(&self.wanted.lease);
        let restored = self.run.restore(&mut self.applied, &self.wanted, pack, health);
        self.is_restored_from_now_on(restored)
    }

    /// What was restored is watched from now on.
    fn is_restored_from_now_on(&mut self, outcome: Result<(), Refusal>) -> Result<(), Refusal> {
        // A failure is recorded as such; why it failed is said as well.
        if let Err(refusal) = outcome {
            self.inside()?.tick.remark(refusal);
        }
        // That may have taken long, and nothing that was measured meanwhile counts.
        let reading = self.inside()?.look_at_clocks_again();
        self.run.reading = reading;
        self.applied.rollback.watch_anew(&self.run.reading);
        self.seen = self.run.driver.observe();
        self.write_down_later()?;
        self.take_measured()
    }

    /// Keeps what the check of what was restored rests on, and names it there.
    fn keep_evidence(&mut self, health: &mut Check) -> Result<(), Refusal> {
        self.applied.verdict = Some(self.rollback_health.verdict());
        if let Some(bytes) = self.evidence()? {
            let digest = self.exhibit(bytes)?;
            health.message = format!("{}; evidence {digest}", health.message);
        }
        Ok(())
    }

    /// What the look at the tier rests on, if anything was judged. Nothing waits for evidence that cannot be written: that it is
    /// missing is said.
    fn evidence(&mut self) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(written) = self.look.evidence.as_ref().map(Evidence::bytes) else { return Ok(None) };
        if let Err(refusal) = &written {
            self.inside()?.tick.remark(refusal.clone());
        }
        Ok(written.ok())
    }

    /// Puts evidence where the next record takes it along.
    fn exhibit(&mut self, bytes: Vec<u8>) -> Result<Digest, Refusal> {
        let digest = Digest::of(&bytes);
        self.applied.evidence = Some(digest);
        let path = Evidence::path(&self.wanted.lease, digest);
        self.inside()?.tick.exhibits.push((path, bytes));
        Ok(digest)
    }

    /// A forward move, which is made later.
    fn forward(&self, intent: Intent, pack: &RollbackPack) -> Result<Next, Refusal> {
        let untouched = self.applied.lease.as_ref() != Some(&intent.lease);
        let from = self.seen.clone()?;
        if untouched && from != pack.observed {
            let message = "what is there is not what was there when the rollback pack was taken";
            return Err(Refusal::new(Reason::Drift, message).hint("bring it back to that, or roll the lease back"));
        }
        Ok(Next::Forward(intent, pack.digest, from))
    }

    /// Whether what was decided would be decided again by what is known now.
    fn is_still_decided(&self, applied: &Applied) -> Result<bool, Refusal> {
        let inside = self.inside()?;
        if !inside.tick.lets_move() {
            return Ok(false);
        }
        let again = inside.desired(&self.run.target, applied);
        Ok(again.is_some_and(|again| {
            let conditions = self.conditions(&inside, &again, applied);
            decide(&again, self.seen.as_ref().ok(), applied, &conditions).act == self.decision.act
        }))
    }

    /// Moves the target, looks, and writes down what was found.
    fn shift(&mut self, intent: &Intent, stop: bool) -> Result<(), Refusal> {
        let moved = self.run.shift(&mut self.applied, intent, stop);
        self.seen = self.run.driver.observe();
        self.write_down_later()?;
        moved
    }

    /// The lease's pack: one that was just taken, else the first that we signed in our ref.
    fn pack(&self) -> Result<RollbackPack, Refusal> {
        let lease = &self.wanted.lease;
        let bytes = match &self.packed {
            Some((bytes, _)) => Some(bytes.clone()),
            None => self.inside()?.kept_pack(lease)?,
        };
        let bytes = bytes.ok_or_else(|| Refusal::new(Reason::NoPack, format!("lease {lease} has no rollback pack")))?;
        RollbackPack::parse(&bytes, &self.run.target, lease)
    }

    /// Notes what was applied and what happened; both or neither are written down.
    fn note(&mut self, inside: &mut Office) {
        inside.note(&self.run.target, &self.applied, &mut self.run.events);
    }

    fn write_down(&mut self) -> Result<(), Refusal> {
        let office = Arc::clone(&self.office);
        let mut inside = enter(&office)?;
        self.note(&mut inside);
        inside.write_down()
    }

    /// The same after what cannot wait for it: if it cannot be written down now, it is said, and tried again.
    fn write_down_later(&mut self) -> Result<(), Refusal> {
        if let Err(refusal) = self.write_down() {
            self.inside()?.tick.remark(refusal);
        }
        Ok(())
    }

    fn record(&self, inside: &Office) -> TargetRecord {
        let now = inside.tick.reading.now;
        let record = target::record(&self.wanted, &self.seen, &self.applied, &self.decision, now);
        TargetRecord { health: self.health(), ..record }
    }

    /// What metrics say, for the record.
    fn health(&self) -> Option<TargetHealth> {
        let judgement = &self.look.evidence.as_ref()?.judgement;
        Some(TargetHealth {
            verdict: (!judgement.gates.is_empty()).then_some(judgement.verdict),
            limits: judgement.threshold,
            figures: self.look.health.figures.clone(),
            evidence: self.applied.evidence,
        })
    }

    /// Takes what was measured of the tier that the target is at, or of what was restored there. What that says for the first time is an event.
    fn take_measured(&mut self) -> Result<(), Refusal> {
        let inside = self.inside()?;
        let metering = inside.metering(&self.run.target, &self.wanted, &self.applied);
        let last = inside.last_measured(&self.run.target);
        let is_measured = metering.as_ref().is_some_and(|metering| metering.was_measured(last));
        let look = metering.map(|metering| metering.known_by(last));
        let aftercare = inside.aftercare(&self.run.target, &self.wanted, &self.applied);
        drop(inside);
        self.look = look.unwrap_or_else(watching::nothing);
        self.rollback_health = RollbackHealth::UNKNOWN;
        if let Some(Aftercare { deadline, .. }) = aftercare {
            // What is being measured is waited for: each question has a deadline of its own.
            let deadline = if is_measured { deadline } else { Deadline::Ahead };
            self.rollback_health = RollbackHealth::of(&self.look, deadline);
            return Ok(());
        }
        let Some(evidence) = &self.look.evidence else { return Ok(()) };
        let verdict = evidence.judgement.verdict;
        let event = match verdict {
            _ if evidence.judgement.gates.is_empty() => None,
            Verdict::Pass => Some(EventKind::GatePassed),
            Verdict::Fail => Some(EventKind::GateFailed),
            Verdict::Pending | Verdict::Inconclusive => None,
        };
        let Some(event) = event.filter(|_| self.applied.verdict != Some(verdict)) else { return Ok(()) };
        if let Some(bytes) = self.evidence()? {
            self.exhibit(bytes)?;
        }
        self.applied.verdict = Some(verdict);
        let lease = self.wanted.lease.clone();
        self.run.happened(event, &lease, self.applied.step, self.applied.weight_bp);
        Ok(())
    }

    /// What holds for the target.
    fn conditions(&self, inside: &Office, wanted: &Desired, applied: &Applied) -> Conditions {
        Conditions {
            health: self.look.health.clone(),
            rollback_health: self.rollback_health.clone(),
            unmeasured: inside.unmeasured(wanted),
            left_halted: Some(wanted)
                .filter(|wanted| wanted.phase == Phase::Halted)
                .and_then(|wanted| inside.left_halted(wanted, applied)),
            ..inside.conditions(&self.run.target, wanted)
        }
    }

    /// What a target is doing right after its shift.
    fn after_shift(&self) -> Doing {
        let tier = self.applied.tier.and_then(|tier| self.wanted.tiers.get(tier));
        // What was measured is of the tier before.
        if self.look.evidence.is_some() {
            return Doing::Baking;
        }
        if tier.is_some_and(|tier| self.applied.bake.is_over(tier.bake)) { Doing::Ready } else { Doing::Baking }
    }

    /// Hands over what was found and done.
    fn end(mut self) -> Result<Outcome, Refusal> {
        // Looked at last: nothing of what there was to do waits for it.
        let contradiction = self.run.driver.contradiction().ok().flatten();
        let pools = self.run.driver.pools();
        let stopped = matches!(self.wanted.phase, Phase::Halted | Phase::RolledBack);
        if stopped && self.applied.unstopped.is_some() {
            let reason = self.decision.reason.take().unwrap_or_else(|| target::not_stopped(&self.wanted.lease));
            self.decision = Decision { doing: Doing::StopFailed, ..target::held(reason) };
        }
        let office = Arc::clone(&self.office);
        let mut inside = enter(&office)?;
        self.note(&mut inside);
        let report = TargetReport::of(&self.wanted, &self.seen, &self.decision, inside.tick.mode);
        let contradicts = contradiction.as_ref().map(Into::into);
        let record = TargetRecord { contradiction: contradicts, pools, ..self.record(&inside) };
        let report = TargetReport { contradiction, stopped: inside.stopped(&self.wanted), ..report };
        Ok(Outcome::Done(Box::new((report, record))))
    }
}
