//! One target's work in a tick: it looks, decides and acts until there is nothing more to do.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{
    ledger::EventKind,
    model::{Reason, Refusal, TargetId},
};

use super::{
    decide::{Act, Applied, Decision, Desired, Doing, Intent, decide},
    office::{Office, enter},
    pack::RollbackPack,
    publish::Files,
    run::{Mode, TargetReport},
    target::{self, Bench, Seen},
};

/// Acts that one target may need in one tick: a pack or a stop of our own, then what follows from it.
const MAX_ACTS: usize = 4;

/// One target's work in a tick. The office is entered for what all share; never while the target is being talked to.
struct Job {
    office: Arc<Mutex<Office>>,
    bench: Bench,
    applied: Applied,
    wanted: Desired,
    seen: Seen,
    /// What goes into our ref with the next intention.
    files: Files,
    decision: Decision,
}

/// Does one target's work.
pub(super) fn target(office: &Arc<Mutex<Office>>, target: &TargetId) -> Result<TargetReport, Refusal> {
    let Some(mut job) = Job::begin(office, target)? else { return Ok(TargetReport::idle()) };
    for _ in 0..MAX_ACTS {
        match job.step() {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(refusal) => {
                job.decision = target::held(refusal);
                break;
            }
        }
    }
    job.end()
}

impl Job {
    /// Looks at the target; nothing if no lease ever started there.
    fn begin(office: &Arc<Mutex<Office>>, target: &TargetId) -> Result<Option<Self>, Refusal> {
        let inside = enter(office)?;
        inside.looks_after(target)?;
        let applied = inside.journal.targets.get(target).cloned().unwrap_or_default();
        let Some(wanted) = inside.desired(target, &applied) else { return Ok(None) };
        let driver = inside.driver(target, &wanted)?;
        let (reading, trusted) = (inside.tick.reading.clone(), inside.tick.trusted);
        drop(inside);
        let decision = target::held(Refusal::new(Reason::Internal, "nothing was decided"));
        let seen = driver.observe();
        let bench = Bench { target: target.clone(), driver, reading, events: Vec::new() };
        let office = Arc::clone(office);
        let mut job = Self { office, bench, applied, wanted, seen, files: Files::new(), decision };
        job.bench.look(&mut job.applied, &job.wanted, &job.seen, trusted);
        Ok(Some(job))
    }

    fn inside(&self) -> Result<MutexGuard<'_, Office>, Refusal> {
        enter(&self.office)
    }

    /// One decision, and its act. An error holds the target for this tick.
    fn step(&mut self) -> Result<ControlFlow<()>, Refusal> {
        let inside = self.inside()?;
        let Some(wanted) = inside.desired(&self.bench.target, &self.applied) else { return Ok(ControlFlow::Break(())) };
        drop(inside);
        self.wanted = wanted;
        let pack = self.pack();
        let inside = self.inside()?;
        let conditions = inside.conditions(&self.bench.target, &self.wanted, pack.is_ok());
        let mode = inside.tick.mode;
        drop(inside);
        self.decision = decide(&self.wanted, self.seen.as_ref().ok(), &self.applied, &conditions);
        if mode == Mode::DryRun || self.decision.act == Act::Keep {
            return Ok(ControlFlow::Break(()));
        }
        self.act(pack)
    }

    /// Makes the act that was decided on.
    fn act(&mut self, pack: Result<RollbackPack, Refusal>) -> Result<ControlFlow<()>, Refusal> {
        let (lease, step) = (self.wanted.lease.clone(), self.wanted.step);
        if self.decision.drifted {
            let weight_bp = self.seen.as_ref().map_or(0, |seen| seen.weight_bp);
            self.bench.happened(EventKind::Drifted, &lease, step, weight_bp);
        }
        match self.decision.act.clone() {
            Act::Keep => return Ok(ControlFlow::Break(())),
            Act::Pack => {
                let now = self.bench.reading.now;
                let pack = RollbackPack::take(&*self.bench.driver, &self.bench.target, &lease, now)?;
                self.files.push((RollbackPack::path(&lease), pack.bytes()?));
                self.bench.happened(EventKind::Packed, &lease, step, pack.observed.weight_bp);
            }
            Act::Expire => {
                self.inside()?.expire(&self.wanted)?;
                self.bench.happened(EventKind::Expired, &lease, step, self.applied.weight_bp);
            }
            Act::Restore => {
                // A stop does not wait until the disk has room.
                let written = self.write_down();
                // A failure is recorded as such; why it failed is said as well.
                if let Err(refusal) = self.bench.restore(&mut self.applied, &self.wanted, pack) {
                    self.inside()?.tick.remark(refusal);
                }
                self.seen = self.bench.driver.observe();
                self.write_down().and(written)?;
            }
            Act::Shift { tier, weight_bp, step } => {
                let intent = Intent { lease: lease.clone(), tier, weight_bp, step };
                if self.applied.is_exceeded_by(&lease, &self.decision.act) {
                    return self.forward(&intent, &pack?);
                }
                self.applied.intent = Some(intent.clone());
                let written = self.write_down();
                self.shift(&intent, true).and(written)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A forward move: the intention is written down and pushed, and everything looked at once more, before it is made.
    fn forward(&mut self, intent: &Intent, pack: &RollbackPack) -> Result<ControlFlow<()>, Refusal> {
        let untouched = self.applied.lease.as_ref() != Some(&intent.lease);
        if untouched && self.seen.as_ref().ok() != Some(&pack.observed) {
            let message = "what is there is not what was there when the rollback pack was taken";
            return Err(Refusal::new(Reason::Drift, message).hint("bring it back to that, or roll the lease back"));
        }
        self.applied.intent = Some(intent.clone());
        let before = self.applied.clone();
        self.write_down()?;
        if let Err(refusal) = self.intend() {
            self.applied.intent = None;
            self.write_down()?;
            return Err(refusal);
        }
        self.files.clear();
        if !self.is_still_decided(&Applied { intent: None, ..before })? {
            self.applied.intent = None;
            self.write_down()?;
            return Ok(ControlFlow::Continue(()));
        }
        self.shift(intent, false)?;
        self.applied.pack = Some(pack.digest);
        self.write_down()?;
        self.decision.doing = self.after_shift();
        Ok(ControlFlow::Break(()))
    }

    /// Whether what was decided would be decided again by what is known now.
    fn is_still_decided(&self, applied: &Applied) -> Result<bool, Refusal> {
        let inside = self.inside()?;
        let again = inside.desired(&self.bench.target, applied);
        Ok(again.is_some_and(|again| {
            let conditions = inside.conditions(&self.bench.target, &again, true);
            decide(&again, self.seen.as_ref().ok(), applied, &conditions).act == self.decision.act
        }))
    }

    /// Moves the target, looks, and writes down what was found.
    fn shift(&mut self, intent: &Intent, stop: bool) -> Result<(), Refusal> {
        let moved = self.bench.shift(&mut self.applied, intent, stop);
        self.seen = self.bench.driver.observe();
        self.write_down()?;
        moved
    }

    /// The lease's pack, rehearsed: one that was just taken, else the one in our ref.
    fn pack(&self) -> Result<RollbackPack, Refusal> {
        let lease = &self.wanted.lease;
        let path = RollbackPack::path(lease);
        let fresh = self.files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| bytes.clone());
        let bytes = match fresh {
            Some(bytes) => Some(bytes),
            None => self.inside()?.kept_pack(lease)?,
        };
        let bytes = bytes.ok_or_else(|| Refusal::new(Reason::NoPack, format!("lease {lease} has no rollback pack")))?;
        let pack = RollbackPack::parse(&bytes, &self.bench.target, lease)?;
        pack.rehearse(&*self.bench.driver)?;
        Ok(pack)
    }

    fn write_down(&self) -> Result<(), Refusal> {
        self.inside()?.write_down(&self.bench.target, &self.applied)
    }

    fn intend(&mut self) -> Result<(), Refusal> {
        let mut inside = enter(&self.office)?;
        let now = inside.tick.reading.now;
        let record = target::record(&self.wanted, &self.seen, &self.applied, &self.decision, now);
        inside.tick.events.append(&mut self.bench.events);
        let outcome = inside.intend(&self.bench.target, record, &self.files);
        self.bench.reading = inside.tick.reading.clone();
        outcome
    }

    /// What a target is doing right after its shift.
    fn after_shift(&self) -> Doing {
        let tier = self.applied.tier.and_then(|tier| self.wanted.tiers.get(tier));
        if tier.is_some_and(|tier| self.applied.bake.is_over(tier.bake)) { Doing::Ready } else { Doing::Baking }
    }

    /// Hands over what was found and done.
    fn end(mut self) -> Result<TargetReport, Refusal> {
        let mut inside = enter(&self.office)?;
        let tick = &mut inside.tick;
        tick.events.append(&mut self.bench.events);
        let record = target::record(&self.wanted, &self.seen, &self.applied, &self.decision, tick.reading.now);
        tick.records.insert(self.bench.target.clone(), record);
        let report = TargetReport::of(&self.wanted, &self.seen, &self.decision, tick.mode);
        inside.journal.targets.insert(self.bench.target.clone(), self.applied);
        Ok(report)
    }
}
