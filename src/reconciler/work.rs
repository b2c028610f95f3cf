//! Work on one target in a tick: a worker looks, decides by what is known, and acts until there is nothing more to do. It
//! writes nothing down, and shares nothing: what came of it is handed over.

use std::{mem::take, sync::Arc, time::Duration};

use crate::{
    follower::{
        Mode,
        checks::Check,
        records::{Doing, Intent, RecordedEvent, TargetHealth, TargetRecord},
        writer::Files,
    },
    gate::{
        Evidence, Verdict,
        health::{Deadline, Look},
    },
    ledger::{EventKind, Phase},
    model::{Digest, LeaseId, Reason, Refusal, StopKind, TargetId},
};

use super::{
    applied::{Applied, Rollback},
    decide::{decide, is_below},
    decision::{Act, Conditions, Decision, Desired, Observed, Pack},
    drivers::Lingering,
    findings::{Findings, OwnStop},
    pack::{PackContext, RollbackPack},
    publication::Intended,
    rollback_health::RollbackHealth,
    run::TargetReport,
    target::{self, Seen, ShiftKind, TargetRun},
    view::View,
    watching::{self, Aftercare, Measured},
};

/// Acts that one target may need in one tick: a pack or a stop of our own, then what follows from it.
const MAX_ACTS: usize = 4;

/// One target's work in a tick: a worker's, with a view of what is known. What it finds and does it hands over.
pub(super) struct TargetWork {
    view: View,
    /// What was measured of the target last.
    measured: Option<Arc<Measured>>,
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
    evidence_files: Files,
    remarks: Vec<Refusal>,
    stops: Vec<OwnStop>,
}

/// A forward move that was decided on. It is made once its intention has been published, and only then.
pub(super) struct ForwardMove {
    job: TargetWork,
    intent: Intent,
    pack: Digest,
    /// What was there when it was decided on.
    from: Observed,
}

/// What became of one target's work.
pub(super) enum WorkOutcome {
    /// No lease ever started there.
    Idle,
    /// It is done for this tick.
    Done(Box<Findings>),
    /// It would go forward.
    Forward(Box<ForwardMove>),
    /// The target has been looked at once more, and is about to go forward.
    Ready(Box<ForwardMove>),
}

/// How a target's work goes on.
enum Continuation {
    Again,
    Done,
    Forward(Intent, Digest, Observed),
}

/// Looks at one target and does all that is no forward move.
pub(super) fn look_after(
    view: View,
    target: &TargetId,
    applied: Applied,
    measured: Option<Arc<Measured>>,
) -> Result<WorkOutcome, Refusal> {
    match TargetWork::begin(view, target, applied, measured)? {
        Some(job) => Ok(job.go_on()),
        None => Ok(WorkOutcome::Idle),
    }
}

impl ForwardMove {
    /// The target.
    pub(super) fn target(&self) -> &TargetId {
        &self.job.run.target
    }

    /// What is said of it if it is not made in this tick any more.
    pub(super) fn put_off(&self) -> TargetReport {
        TargetReport::of(&self.job.wanted, &self.job.seen, &self.job.decision, Mode::Act)
    }

    /// Says what is about to be done, before it is: into the record, with the pack that was taken for it.
    pub(super) fn intend(&mut self, intended: &mut Intended) -> Findings {
        let Self { job, intent, .. } = self;
        job.applied.intent = Some(intent.clone());
        intended.names.push(format!("{} for {}", job.run.target, intent.lease));
        if let Some((pack, event)) = job.packed.take() {
            intended.files.push((RollbackPack::path(&intent.lease), pack));
            intended.events.push(event);
        }
        job.hand_over(job.record(), TargetReport::of(&job.wanted, &job.seen, &job.decision, Mode::Act))
    }

    /// Looks at the target once more, before the move is made.
    pub(super) fn look_again(mut self) -> WorkOutcome {
        self.job.seen = self.job.run.driver.observe();
        WorkOutcome::Ready(Box::new(self))
    }

    /// Whether what is known and seen now still leads to the move.
    pub(super) fn is_still_decided(&mut self, view: View, measured: Option<Arc<Measured>>) -> bool {
        let Self { job, from, .. } = self;
        job.run.reading = view.tick.reading.clone();
        // Whoever is told to make haste is told so by the same sign.
        let stop_signal = job.view.stop_signal.clone();
        (job.view, job.measured) = (View { stop_signal, ..view }, measured);
        job.take_measured();
        let unsettled = Applied { intent: None, ..job.applied.clone() };
        // Before the first shift the ledger says nothing about what is there, and the pack is of what was.
        job.seen.as_ref() == Ok(from) && job.is_still_decided(&unsettled)
    }

    /// Makes the move.
    pub(super) fn make(self) -> WorkOutcome {
        let Self { mut job, intent, pack, .. } = self;
        match job.shift(&intent, ShiftKind::Forward) {
            Ok(()) => {
                job.applied.pack = Some(pack);
                job.decision.doing = job.after_shift();
            }
            Err(refusal) => job.decision = target::held(refusal),
        }
        job.end()
    }

    /// Decides anew, because something else is known or seen now.
    pub(super) fn decide_anew(mut self) -> WorkOutcome {
        self.job.applied.intent = None;
        self.job.go_on()
    }

    /// Gives the move up.
    pub(super) fn give_up(mut self, why: Refusal) -> WorkOutcome {
        self.job.applied.intent = None;
        self.job.decision = target::held(why);
        self.job.end()
    }
}

impl TargetWork {
    /// Looks at the target; nothing if no lease ever started there.
    fn begin(
        view: View,
        target: &TargetId,
        mut applied: Applied,
        measured: Option<Arc<Measured>>,
    ) -> Result<Option<Self>, Refusal> {
        let Some(wanted) = view.desired(target, &applied) else { return Ok(None) };
        let driver = view.driver(target, &wanted)?;
        let seen = driver.observe();
        let decision = target::held(Refusal::new(Reason::Internal, "internal error: no decision was made"));
        let mut run =
            TargetRun { target: target.clone(), driver, reading: view.tick.reading.clone(), events: Vec::new() };
        let found = |applied: &Applied| view.found(target, applied, seen.as_ref().ok());
        run.look(&mut applied, found, &seen, view.tick.trust);
        let mut job = Self {
            view,
            measured,
            run,
            applied,
            wanted,
            seen,
            packed: None,
            decision,
            look: watching::nothing(),
            rollback_health: RollbackHealth::UNKNOWN,
            evidence_files: Files::new(),
            remarks: Vec::new(),
            stops: Vec::new(),
        };
        job.turn()?;
        job.take_measured();
        Ok(Some(job))
    }

    /// Turns to what is wanted now; false if nothing is any more. What is there of another lease is moved by the driver that was
    /// pinned for that one.
    fn turn(&mut self) -> Result<bool, Refusal> {
        let Some(wanted) = self.view.desired(&self.run.target, &self.applied) else { return Ok(false) };
        let another = wanted.lease != self.wanted.lease;
        let driver = another.then(|| self.view.driver(&self.run.target, &wanted)).transpose()?;
        self.wanted = wanted;
        if let Some(driver) = driver {
            self.run.driver = driver;
            self.take_measured();
        }
        Ok(true)
    }

    /// Decides and acts until there is nothing more to do, or a forward move. An error holds the target for this tick.
    fn go_on(mut self) -> WorkOutcome {
        for _ in 0..MAX_ACTS {
            match self.step() {
                Ok(Continuation::Again) => {}
                Ok(Continuation::Done) => break,
                Ok(Continuation::Forward(intent, pack, from)) => {
                    return WorkOutcome::Forward(Box::new(ForwardMove { job: self, intent, pack, from }));
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
    fn step(&mut self) -> Result<Continuation, Refusal> {
        if !self.turn()? {
            return Ok(Continuation::Done);
        }
        let mode = self.view.tick.mode;
        let mut conditions = self.conditions(&self.wanted, &self.applied);
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
        // A restoration reads it once the candidate has no weight: that waits for no pack.
        let undoes = matches!(decision.act, Act::Verify | Act::GiveUp);
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
            return Ok(Continuation::Done);
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
    fn act(&mut self, pack: Result<RollbackPack, Refusal>) -> Result<Continuation, Refusal> {
        let (lease, step) = (self.wanted.lease.clone(), self.wanted.step);
        if self.decision.drifted {
            let weight_bp = self.seen.as_ref().ok().map(|seen| seen.weight_bp);
            self.run.happened(EventKind::Drifted, &lease, step, weight_bp);
        }
        match self.decision.act.clone() {
            Act::Keep => {
                if self.decision.drifted {
                    // Told once, and kept until a key is turned.
                    self.applied.lowered = Some(step);
                }
                return Ok(Continuation::Done);
            }
            Act::Pack => {
                let last = self.seen.as_ref().ok().and_then(|seen| seen.lease.as_ref());
                let occasion = self.view.occasion(&self.run.target, &lease, last);
                let occasion = occasion.ok_or_else(|| {
                    Refusal::new(Reason::Internal, format!("the ledger has no document of lease {lease}"))
                })?;
                let baseline = self.view.baseline(&lease);
                let (pools, now) = (self.run.driver.pools(), occasion.now);
                let measured = baseline.map(|baseline| {
                    self.view.stop_signal.ask(&self.run.target, move || baseline.with_pools(pools).measure(now))
                });
                let baselines = measured.transpose()?.flatten();
                let pack = RollbackPack::take(&*self.run.driver, &PackContext { baselines, ..occasion })?;
                let event = self.run.event(EventKind::Packed, &lease, step, pack.observed.weight_bp);
                self.packed = Some((pack.bytes()?, event));
            }
            Act::Expire => {
                let event = self.run.event(EventKind::Expired, &lease, step, self.applied.weight_bp);
                self.run.events.push(event);
                let why = format!("the lease's window closed at {}", self.wanted.expires);
                self.stop(&lease, StopKind::Rollback, &why, None);
            }
            Act::Stop(kind) => {
                let why = self.decision.reason.as_ref().map_or_else(String::new, |reason| reason.message.clone());
                let evidence = self.evidence();
                self.stop(&lease, kind, &why, evidence);
                self.applied.halted = Some(self.run.reading.now);
            }
            Act::Restore => self.restore(),
            Act::Verify
                if matches!(self.applied.rollback, Rollback::Attempted { .. })
                    || self.applied.is_followed_by_some_only() =>
            {
                let health = self.view.health_of_restored(&lease);
                let checked = self.run.verify(&mut self.applied, &self.wanted, pack, health);
                self.is_restored_from_now_on(checked);
                if self.applied.is_followed_by_some_only() {
                    return Ok(Continuation::Done);
                }
            }
            Act::Verify => {
                let mut health = Check::passed(self.rollback_health.figures.clone());
                self.keep_evidence(&mut health);
                let verified = self.run.verify(&mut self.applied, &self.wanted, pack, health);
                self.remarks.extend(verified.err());
            }
            Act::GiveUp => {
                let why = self.decision.reason.as_ref().map_or_else(String::new, |reason| reason.message.clone());
                let mut health = Check::failed(why);
                self.keep_evidence(&mut health);
                // What the other checks say is recorded; that it failed is known already.
                let _ = self.run.verify(&mut self.applied, &self.wanted, pack, health);
            }
            Act::Shift { tier, weight_bp, step } => {
                let intent = Intent { lease: lease.clone(), tier, weight_bp, step };
                if self.applied.is_exceeded_by(&lease, &self.decision.act) {
                    return self.forward(intent, &pack?);
                }
                // Told once, however often it takes to bring it back.
                if self.decision.drifted && tier.is_some() {
                    if self.is_lowered() {
                        self.applied.lowered = Some(self.wanted.step);
                    } else {
                        self.applied.raised = Some(self.run.reading.now);
                    }
                }
                self.shift(&intent, ShiftKind::Stop)?;
            }
        }
        Ok(Continuation::Again)
    }

    /// A stop of our own. It binds from now on.
    fn stop(&mut self, lease: &LeaseId, kind: StopKind, why: &str, evidence: Option<Vec<u8>>) {
        let stop = self.view.own_stop(lease, kind, why);
        self.stops.push(OwnStop { stop, evidence });
    }

    /// Undoes; what can be known of that only in time is watched from then on.
    fn restore(&mut self) {
        let health = self.view.health_of_restored(&self.wanted.lease);
        let (view, packed, target) = (&self.view, &self.packed, self.run.target.clone());
        let lease = &self.wanted.lease;
        let pack = || view.pack(&target, lease, packed.as_ref().map(|(bytes, _)| bytes.as_slice()));
        let restored = self.run.restore(&mut self.applied, &self.wanted, pack, health);
        self.is_restored_from_now_on(restored);
    }

    /// What was restored is watched from now on.
    fn is_restored_from_now_on(&mut self, outcome: Result<(), Refusal>) {
        // A failure is recorded as such; why it failed is said as well.
        self.remarks.extend(outcome.err());
        // That may have taken long, and nothing that was measured meanwhile counts.
        self.run.reading = self.view.look_at_clocks_again();
        self.applied.rollback.watch_anew(&self.run.reading);
        self.seen = self.run.driver.observe();
        self.take_measured();
    }

    /// Keeps what the check of what was restored rests on, and names it there.
    fn keep_evidence(&mut self, health: &mut Check) {
        self.applied.verdict = Some(self.rollback_health.verdict());
        if let Some(bytes) = self.evidence() {
            let digest = self.keep_file(bytes);
            health.message = format!("{}; evidence {digest}", health.message);
        }
    }

    /// What the look at the tier rests on, if anything was judged. Nothing waits for evidence that cannot be written: that it is
    /// missing is said.
    fn evidence(&mut self) -> Option<Vec<u8>> {
        match self.look.evidence.as_ref().map(Evidence::bytes)? {
            Ok(bytes) => Some(bytes),
            Err(refusal) => {
                self.remarks.push(refusal);
                None
            }
        }
    }

    /// Puts evidence where the next record takes it along.
    fn keep_file(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.applied.evidence = Some(digest);
        self.evidence_files.push((Evidence::path(&self.wanted.lease, digest), bytes));
        digest
    }

    /// A forward move, which is made later.
    fn forward(&self, intent: Intent, pack: &RollbackPack) -> Result<Continuation, Refusal> {
        let untouched = self.applied.lease.as_ref() != Some(&intent.lease);
        let from = self.seen.clone()?;
        if untouched && from != pack.observed {
            let message = "what is there is not what was there when the rollback pack was taken";
            return Err(Refusal::new(Reason::Drift, message).hint("bring it back to that, or roll the lease back"));
        }
        Ok(Continuation::Forward(intent, pack.digest, from))
    }

    /// Whether what was decided would be decided again by what is known now.
    fn is_still_decided(&self, applied: &Applied) -> bool {
        let again = self.view.desired(&self.run.target, applied).filter(|_| self.view.tick.lets_move());
        again.is_some_and(|again| {
            let conditions = self.conditions(&again, applied);
            decide(&again, self.seen.as_ref().ok(), applied, &conditions).act == self.decision.act
        })
    }

    /// Moves the target, and looks.
    fn shift(&mut self, intent: &Intent, kind: ShiftKind) -> Result<(), Refusal> {
        let moved = self.run.shift(&mut self.applied, intent, kind);
        self.seen = self.run.driver.observe();
        moved
    }

    /// The lease's pack: one that was just taken, else the first that we signed in our ref.
    fn pack(&self) -> Result<RollbackPack, Refusal> {
        let packed = self.packed.as_ref().map(|(bytes, _)| bytes.as_slice());
        self.view.pack(&self.run.target, &self.wanted.lease, packed)
    }

    fn record(&self) -> TargetRecord {
        let now = self.view.tick.reading.now;
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

    /// Takes what was measured of the tier that the target is at, or of what was restored there. What that says for the first
    /// time is an event.
    fn take_measured(&mut self) {
        let metering = self.view.metering(&self.run.target, &self.wanted, &self.applied);
        let last = self.measured.as_deref();
        let is_measured = metering.as_ref().is_some_and(|metering| metering.was_measured(last));
        let look = metering.map(|metering| metering.known_by(last));
        let aftercare = self.view.aftercare(&self.wanted, &self.applied);
        self.look = look.unwrap_or_else(watching::nothing);
        self.rollback_health = RollbackHealth::UNKNOWN;
        if let Some(Aftercare { deadline, .. }) = aftercare {
            // What is being measured is waited for: each question has a deadline of its own.
            let deadline = if is_measured { deadline } else { Deadline::Ahead };
            self.rollback_health = RollbackHealth::of(&self.look, deadline);
            return;
        }
        let Some(evidence) = &self.look.evidence else { return };
        let verdict = evidence.judgement.verdict;
        let event = match verdict {
            _ if evidence.judgement.gates.is_empty() => None,
            Verdict::Pass => Some(EventKind::GatePassed),
            Verdict::Fail => Some(EventKind::GateFailed),
            Verdict::Pending | Verdict::Inconclusive => None,
        };
        let Some(event) = event.filter(|_| self.applied.verdict != Some(verdict)) else { return };
        if let Some(bytes) = self.evidence() {
            self.keep_file(bytes);
        }
        self.applied.verdict = Some(verdict);
        let lease = self.wanted.lease.clone();
        self.run.happened(event, &lease, self.applied.step, self.applied.weight_bp);
    }

    /// What holds for the target.
    fn conditions(&self, wanted: &Desired, applied: &Applied) -> Conditions {
        Conditions {
            health: self.look.health.clone(),
            rollback_health: self.rollback_health.clone(),
            unmeasured: self.view.unmeasured(wanted),
            left_halted: Some(wanted)
                .filter(|wanted| wanted.phase == Phase::Halted)
                .and_then(|wanted| self.view.left_halted(wanted, applied)),
            ..self.view.conditions(&self.run.target, wanted, applied)
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
    fn end(mut self) -> WorkOutcome {
        // Looked at last: nothing of what there was to do waits for it.
        let contradiction = self.run.driver.contradiction().ok().flatten();
        let pools = self.run.driver.pools();
        let stopped = matches!(self.wanted.phase, Phase::Halted | Phase::RolledBack);
        if stopped && self.applied.unstopped.is_some() {
            let reason = self.decision.reason.take().unwrap_or_else(|| target::not_stopped(&self.wanted.lease));
            self.decision = Decision { doing: Doing::StopFailed, ..target::held(reason) };
        }
        if self.decision.reason.is_none() {
            self.decision.reason = self.still_served();
        }
        let report = TargetReport::of(&self.wanted, &self.seen, &self.decision, self.view.tick.mode);
        let contradicts = contradiction.as_ref().map(Into::into);
        let record = TargetRecord { contradiction: contradicts, pools, ..self.record() };
        let report = TargetReport { contradiction, stopped: self.view.stopped(&self.wanted), ..report };
        WorkOutcome::Done(Box::new(self.hand_over(record, report)))
    }

    /// That people with connections from before are still served the candidate, where it was halted.
    fn still_served(&self) -> Option<Refusal> {
        let lease = &self.wanted.lease;
        let is_at_zero = self.seen.as_ref().is_ok_and(|seen| seen.weight_bp == 0);
        if self.wanted.phase != Phase::Halted || self.applied.lease.as_ref() != Some(lease) || !is_at_zero {
            return None;
        }
        let before = || self.pack().and_then(|pack| pack.restorable());
        match self.run.driver.lingering(&before, Duration::ZERO) {
            Ok(Lingering::Somebody(who)) => {
                let message = format!("lease {lease} is halted and has no weight, and {who}");
                Some(Refusal::new(Reason::NoData, message))
            }
            _ => None,
        }
    }

    fn hand_over(&mut self, record: TargetRecord, report: TargetReport) -> Findings {
        Findings {
            report,
            record,
            applied: self.applied.clone(),
            events: take(&mut self.run.events),
            evidence_files: take(&mut self.evidence_files),
            remarks: take(&mut self.remarks),
            stops: take(&mut self.stops),
        }
    }
}
