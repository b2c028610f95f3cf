//! One tick of an applier: stops first, then fetch, verify, fold, observe, decide, act, observe again, record.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::Serialize;

use crate::{
    git::{Repository, SigningKey},
    ledger::{EventKind, LeaseState, rules},
    model::{LeaseId, Oid, Reason, Refusal, StopKind, TargetId, policy::Role},
};

use super::{
    clock::{Bake, Reading},
    config::Config,
    decide::{Act, Applied, Conditions, Decision, Desired, Doing, Intent, decide},
    desired::desired,
    drivers,
    journal::{Desk, Journal},
    pack::RollbackPack,
    publish::{Files, Writer, keep_stop, push_stops},
    records::{Record, TargetRecord},
    source::Source,
    target::{self, Bench, Seen},
    tick::Tick,
};

/// Acts that one target may need in one tick: a pack or a stop of our own, then what follows from it.
const MAX_ACTS: usize = 4;

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Targets, journal and refs are.
    Act,
    /// Nothing is but what a fetch brings.
    DryRun,
}

/// What a tick saw and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The ledger's tip that it went by.
    pub ledger: Oid,
    /// What it saw and did, by target.
    pub targets: BTreeMap<TargetId, TargetReport>,
    /// What went wrong beside that. Tried again at the next tick.
    pub remarks: Vec<Refusal>,
}

/// What a tick saw and did at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetReport {
    /// The lease; none if none ever started there.
    pub lease: Option<LeaseId>,
    /// The weight that the ledger wants, in basis points.
    pub desired_bp: u32,
    /// The weight that was observed.
    pub observed_bp: Option<u32>,
    /// The lease that it belongs to.
    pub observed_lease: Option<LeaseId>,
    /// What the applier is doing; in a dry run, what it would do.
    pub doing: String,
    /// Why no more.
    pub reason: Option<Refusal>,
}

impl Report {
    /// Whether a rollback failed, which nobody should overlook.
    pub fn rollback_failed(&self) -> bool {
        self.targets.values().any(|target| target.doing == Doing::RollbackFailed.word())
    }
}

/// An applier at its desk.
pub struct Applier {
    config: Config,
    clock: Box<dyn Fn() -> Reading>,
    desk: Desk,
    journal: Journal,
    source: Source,
    writer: Writer,
}

/// One target's work in a tick.
struct Job<'a> {
    bench: Bench<'a>,
    applied: Applied,
    wanted: Desired,
    seen: Seen,
    /// What goes into our ref with the next intention.
    files: Files,
    decision: Decision,
}

impl Applier {
    /// Takes its place: the repository, the pinned root, the key, the lock. `unpinned` without a root.
    pub fn open(config: Config, clock: Box<dyn Fn() -> Reading>) -> Result<Self, Refusal> {
        let refused = |error: crate::git::GitError| error.refusal();
        let repository = match &config.repository {
            Some(path) => Repository::open(path),
            None => Repository::discover(),
        };
        let repository = repository.map_err(refused)?;
        let root = match config.root {
            Some(root) => Some(root),
            None => repository.pinned_root().map_err(refused)?,
        };
        let root = root.ok_or_else(|| {
            Refusal::new(Reason::Unpinned, "an applier moves nothing without a pinned root")
                .hint("pin it with: git two-key trust ROOT, or root: ROOT in the applier's configuration")
        })?;
        let key = SigningKey::file(config.key.clone()).map_err(refused)?;
        let public = key.public_key().map_err(refused)?;
        let desk = Desk::open(repository.common_dir(), &config.name)?;
        let journal = desk.load()?.unwrap_or_else(|| Journal::new(root));
        if journal.root != root {
            let message = format!("the journal here belongs to root {}, the pinned one is {root}", journal.root);
            return Err(Refusal::new(Reason::Unpinned, message).hint("move the journal away to begin anew"));
        }
        let source = Source::open(repository, config.remote.clone(), root)?;
        let writer = Writer { name: config.name.clone(), key, public, remote_tip: None, continues: false };
        Ok(Self { config, clock, desk, journal, source, writer })
    }

    /// One tick.
    pub fn tick(&mut self, mode: Mode) -> Result<Report, Refusal> {
        // Where the journal was lost, the ref that keeps the last accepted tip still says which one it was.
        let accepted = match self.journal.accepted {
            Some(accepted) => Some(accepted),
            None => self.source.kept_of_this_root(&self.config.name)?,
        };
        self.source.catch_up(accepted)?;
        let mut tick = self.begin(mode);
        self.know(&mut tick);
        let mut targets = BTreeMap::new();
        for target in self.config.targets.keys().cloned().collect::<Vec<_>>() {
            let report = match self.mine(&target) {
                Err(refusal) if !self.is_orphaned(&target) => Err(refusal),
                _ => self.target(&target, &mut tick),
            };
            let report = report.unwrap_or_else(|refusal| TargetReport {
                lease: None,
                desired_bp: 0,
                observed_bp: None,
                observed_lease: None,
                doing: Doing::Holding.word().to_owned(),
                reason: Some(refusal),
            });
            targets.insert(target, report);
        }
        if mode == Mode::Act {
            self.publish(&mut tick);
            self.desk.save(&self.journal)?;
        }
        Ok(Report { ledger: self.source.state.tip(), targets, remarks: tick.remarks })
    }

    /// Looks at the clocks.
    fn begin(&mut self, mode: Mode) -> Tick {
        let reading = (self.clock)();
        let jumped = self.journal.clock.as_ref().is_some_and(|last| reading.jumped_since(last));
        self.journal.clock = Some(reading.clone());
        if jumped {
            self.journal.targets.values_mut().for_each(|applied| applied.bake = Bake::default());
        } else {
            self.journal.latest = self.journal.latest.max(Some(reading.now));
        }
        Tick::new(reading, mode, !jumped)
    }

    /// Fetches, folds and searches for stops. What cannot be known blocks forward moves, and nothing else.
    fn know(&mut self, tick: &mut Tick) {
        self.refresh(tick);
        let limit = self.config.max_staleness.as_secs().saturating_mul(1000);
        let age = self.journal.fetched.as_ref().map(|last| tick.reading.at_most_ms_since(last));
        if age.is_none_or(|age| age > limit) {
            let message = format!("the remote has not been reached for {}", self.config.max_staleness);
            tick.blockers.insert(0, Refusal::new(Reason::Stale, message));
        }
    }

    /// Brings everything up to date that comes from the repository.
    fn refresh(&mut self, tick: &mut Tick) {
        match self.source.fetch() {
            Ok(()) => self.journal.fetched = Some(tick.reading.clone()),
            Err(error) => {
                let refusal = error.refusal();
                let message = format!("the remote cannot be reached: {}", refusal.message);
                tick.block(Refusal { message, ..refusal });
            }
        }
        match self.source.accept(&self.config.name, tick.mode) {
            Ok(tip) => {
                self.journal.accepted = Some(tip);
                tick.continues = true;
            }
            Err(refusal) => {
                tick.continues = false;
                tick.block(refusal);
            }
        }
        let mut notes = Vec::new();
        if let Err(error) = self.source.search(&mut self.journal, &mut notes) {
            let message = format!("stops could not be searched for: {error}");
            tick.block(Refusal { message, ..error.refusal() });
        }
        tick.remarks.extend(notes.into_iter().map(|note| Refusal::new(Reason::Internal, note)));
        if let Err(refusal) = self.own_key() {
            tick.block(refusal);
        }
        if tick.mode == Mode::Act
            && let Err(refusal) = self.writer.reconcile(&self.source)
        {
            tick.block(refusal);
        }
    }

    /// Whether the key that is configured here is this applier's, by the policy in force.
    fn own_key(&self) -> Result<(), Refusal> {
        match rules::owner(&self.source.state, self.writer.public.raw())? {
            (owner, Role::Applier) if owner == self.config.name => Ok(()),
            (owner, _) => {
                let message = format!("the configured key is {owner}'s, not applier {}'s", self.config.name);
                Err(Refusal::new(Reason::WrongPrincipal, message)
                    .hint("see whose keys there are: git two-key key list"))
            }
        }
    }

    /// Whether a target is this applier's, by the policy in force.
    fn mine(&self, target: &TargetId) -> Result<(), Refusal> {
        let known = self.source.state.policy().get().targets.get(target);
        if known.and_then(|known| known.applier.as_ref()) == Some(&self.config.name) {
            return Ok(());
        }
        let message = format!("the policy in force does not give target {target} to applier {}", self.config.name);
        Err(Refusal::new(Reason::WrongPrincipal, message)
            .hint("change the policy, or take it out of the configuration"))
    }

    /// Whether a target that this applier moved is nobody's by the policy in force: then nobody else would stop it.
    fn is_orphaned(&self, target: &TargetId) -> bool {
        let known = self.source.state.policy().get().targets.get(target);
        known.is_none_or(|known| known.applier.is_none()) && self.journal.targets.contains_key(target)
    }

    /// What holds for one target: what holds for all, and what else speaks against moving it forward.
    fn conditions(&self, target: &TargetId, wanted: &Desired, packed: bool, tick: &Tick) -> Conditions {
        let mut conditions = tick.conditions(packed);
        conditions.blockers.extend(self.mine(target).err());
        conditions.blockers.extend(tick.outlived(wanted, self.journal.latest));
        conditions
    }

    /// One target: looks, decides and acts until there is nothing more to do in this tick.
    fn target(&mut self, target: &TargetId, tick: &mut Tick) -> Result<TargetReport, Refusal> {
        let applied = self.journal.targets.get(target).cloned().unwrap_or_default();
        let Some(wanted) = desired(&self.source.state, target, &applied, &self.journal.stops) else {
            return Ok(TargetReport::idle());
        };
        let driver = self.driver(target, &wanted)?;
        let bench = Bench { target, driver: &*driver, reading: tick.reading.clone(), events: Vec::new() };
        let decision = target::held(Refusal::new(Reason::Internal, "nothing was decided"));
        let seen = driver.observe();
        let mut job = Job { bench, applied, wanted, seen, files: Files::new(), decision };
        job.bench.look(&mut job.applied, &job.wanted, &job.seen, tick.trusted);
        for _ in 0..MAX_ACTS {
            let Some(wanted) = desired(&self.source.state, target, &job.applied, &self.journal.stops) else { break };
            job.wanted = wanted;
            let pack = self.pack(target, &job.wanted.lease, &job.files, job.bench.driver);
            let conditions = self.conditions(target, &job.wanted, pack.is_ok(), tick);
            job.decision = decide(&job.wanted, job.seen.as_ref().ok(), &job.applied, &conditions);
            if tick.mode == Mode::DryRun || job.decision.act == Act::Keep {
                break;
            }
            match self.act(&mut job, pack, tick) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(refusal) => {
                    job.decision = target::held(refusal);
                    break;
                }
            }
        }
        let Job { mut bench, applied, wanted, seen, decision, .. } = job;
        tick.events.append(&mut bench.events);
        tick.records.insert(target.clone(), target::record(&wanted, &seen, &applied, &decision, tick.reading.now));
        self.journal.targets.insert(target.clone(), applied);
        Ok(TargetReport::of(&wanted, &seen, &decision, tick.mode))
    }

    /// Makes the act that was decided on. An error holds the target for this tick.
    fn act(
        &mut self,
        job: &mut Job<'_>,
        pack: Result<RollbackPack, Refusal>,
        tick: &mut Tick,
    ) -> Result<ControlFlow<()>, Refusal> {
        let (lease, step) = (job.wanted.lease.clone(), job.wanted.step);
        if job.decision.drifted {
            let weight_bp = job.seen.as_ref().map_or(0, |seen| seen.weight_bp);
            job.bench.happened(EventKind::Drifted, &lease, step, weight_bp);
        }
        match job.decision.act.clone() {
            Act::Keep => return Ok(ControlFlow::Break(())),
            Act::Pack => {
                let pack = RollbackPack::take(job.bench.driver, job.bench.target, &lease, tick.reading.now)?;
                job.files.push((RollbackPack::path(&lease), pack.bytes()?));
                job.bench.happened(EventKind::Packed, &lease, step, pack.observed.weight_bp);
            }
            Act::Expire => {
                self.expire(&job.wanted, tick)?;
                job.bench.happened(EventKind::Expired, &lease, step, job.applied.weight_bp);
            }
            Act::Restore => {
                // A stop does not wait until the disk has room.
                let written = self.write_down(job);
                // A failure is recorded as such; why it failed is said as well.
                if let Err(refusal) = job.bench.restore(&mut job.applied, &job.wanted, pack) {
                    tick.remark(refusal);
                }
                job.seen = job.bench.driver.observe();
                self.write_down(job).and(written)?;
            }
            Act::Shift { tier, weight_bp, step } => {
                let intent = Intent { lease: lease.clone(), tier, weight_bp, step };
                if job.applied.is_exceeded_by(&lease, &job.decision.act) {
                    return self.forward(job, &intent, &pack?, tick);
                }
                job.applied.intent = Some(intent.clone());
                let written = self.write_down(job);
                self.shift(job, &intent, true).and(written)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A forward move: the intention is written down and pushed, and everything looked at once more, before it is made.
    fn forward(
        &mut self,
        job: &mut Job<'_>,
        intent: &Intent,
        pack: &RollbackPack,
        tick: &mut Tick,
    ) -> Result<ControlFlow<()>, Refusal> {
        let untouched = job.applied.lease.as_ref() != Some(&intent.lease);
        if untouched && job.seen.as_ref().ok() != Some(&pack.observed) {
            let message = "what is there is not what was there when the rollback pack was taken";
            return Err(Refusal::new(Reason::Drift, message).hint("bring it back to that, or roll the lease back"));
        }
        job.applied.intent = Some(intent.clone());
        let before = job.applied.clone();
        self.write_down(job)?;
        if let Err(refusal) = self.intend(job, tick) {
            job.applied.intent = None;
            self.write_down(job)?;
            return Err(refusal);
        }
        job.files.clear();
        let unsettled = Applied { intent: None, ..before };
        let again = desired(&self.source.state, job.bench.target, &unsettled, &self.journal.stops);
        let still = again.is_some_and(|again| {
            let conditions = self.conditions(job.bench.target, &again, true, tick);
            decide(&again, job.seen.as_ref().ok(), &unsettled, &conditions).act == job.decision.act
        });
        if !still {
            job.applied.intent = None;
            self.write_down(job)?;
            return Ok(ControlFlow::Continue(()));
        }
        self.shift(job, intent, false)?;
        job.applied.pack = Some(pack.digest);
        self.write_down(job)?;
        job.decision.doing = job.after_shift();
        Ok(ControlFlow::Break(()))
    }

    /// Moves the target, looks, and writes down what was found.
    fn shift(&mut self, job: &mut Job<'_>, intent: &Intent, stop: bool) -> Result<(), Refusal> {
        let moved = job.bench.shift(&mut job.applied, intent, stop);
        job.seen = job.bench.driver.observe();
        self.write_down(job)?;
        moved
    }

    /// The driver that was pinned when the lease started.
    fn driver(&self, target: &TargetId, wanted: &Desired) -> Result<Box<dyn drivers::Driver>, Refusal> {
        let pinned = self.source.state.lease(&wanted.lease).and_then(|lease| lease.terms.as_ref());
        let in_force = || self.source.state.policy().get().targets.get(target).map(|known| known.driver);
        let kind = pinned.and_then(|terms| terms.driver).or_else(in_force);
        let kind = kind.ok_or_else(|| Refusal::new(Reason::Internal, format!("target {target} has no driver")))?;
        drivers::open(kind, target, self.config.targets.get(target).map(std::path::PathBuf::as_path))
    }

    /// The lease's pack, rehearsed: one that was just taken, else the one in our ref.
    fn pack(
        &self,
        target: &TargetId,
        lease: &LeaseId,
        files: &Files,
        driver: &dyn drivers::Driver,
    ) -> Result<RollbackPack, Refusal> {
        let path = RollbackPack::path(lease);
        let fresh = files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| bytes.clone());
        let kept = || self.writer.file(&self.source, &path);
        let bytes = match fresh {
            Some(bytes) => Some(bytes),
            None => kept()?,
        };
        let bytes = bytes.ok_or_else(|| Refusal::new(Reason::NoPack, format!("lease {lease} has no rollback pack")))?;
        let pack = RollbackPack::parse(&bytes, target, lease)?;
        pack.rehearse(driver)?;
        Ok(pack)
    }

    /// Writes down what was applied, or is about to be.
    fn write_down(&mut self, job: &Job<'_>) -> Result<(), Refusal> {
        self.journal.targets.insert(job.bench.target.clone(), job.applied.clone());
        self.desk.save(&self.journal)
    }

    /// Says what is about to be done, where a second applier with our name would see it, and looks once more.
    fn intend(&mut self, job: &mut Job<'_>, tick: &mut Tick) -> Result<(), Refusal> {
        let record = target::record(&job.wanted, &job.seen, &job.applied, &job.decision, tick.reading.now);
        let summary = format!("{}: about to shift {}", job.bench.target, record.lease);
        tick.events.append(&mut job.bench.events);
        tick.records.insert(job.bench.target.clone(), record);
        let record = self.record(tick);
        self.writer.write(&self.source, &record, &job.files, &summary)?;
        tick.events.clear();
        self.writer.push_record(&self.source)?;
        let before = tick.blockers.len();
        self.refresh(tick);
        tick.look_again((self.clock)());
        job.bench.reading = tick.reading.clone();
        tick.blockers.get(before).map_or(Ok(()), |blocker| Err(blocker.clone()))
    }

    /// Signs a rollback of our own. It binds from the moment at which it is written down.
    fn expire(&mut self, wanted: &Desired, tick: &mut Tick) -> Result<(), Refusal> {
        let reason = format!("the lease's window closed at {}", wanted.expires);
        let stop = self.writer.sign_stop(&self.source, &wanted.lease, StopKind::Rollback, &reason)?;
        self.journal.stops.push(stop.clone());
        self.desk.save(&self.journal)?;
        if let Err(refusal) = keep_stop(&self.source, &stop) {
            tick.remarks.push(refusal);
        }
        Ok(())
    }

    /// Writes and pushes the record, stops, the tags. Whatever fails is reported, and tried again at the next tick.
    fn publish(&mut self, tick: &mut Tick) {
        let outcomes = [self.publish_record(tick), self.publish_stops(tick), self.publish_tags()];
        for refusal in outcomes.into_iter().filter_map(Result::err) {
            tick.remark(refusal);
        }
    }

    fn publish_record(&mut self, tick: &mut Tick) -> Result<(), Refusal> {
        let record = self.record(tick);
        let last = self.writer.last_record(&self.source)?;
        let news = last.is_none_or(|last| !record.says_the_same_as(&last)) && !record.targets.is_empty();
        if news || !record.events.is_empty() {
            let summary = summary(&record);
            self.writer.write(&self.source, &record, &Files::new(), &summary)?;
        }
        self.writer.push_record(&self.source)
    }

    fn publish_stops(&mut self, tick: &Tick) -> Result<(), Refusal> {
        for stop in self.journal.stops.iter().filter(|stop| stop.key == self.writer.public.raw()) {
            keep_stop(&self.source, stop)?;
        }
        push_stops(&self.source)?;
        // A branch that was rewound is for people to heal.
        if tick.continues { self.writer.carry_over(&self.source, &self.journal.stops) } else { Ok(()) }
    }

    fn publish_tags(&self) -> Result<(), Refusal> {
        let mut done = Vec::new();
        for (target, applied) in &self.journal.targets {
            let wanted = desired(&self.source.state, target, applied, &self.journal.stops);
            let Some(wanted) = wanted.filter(|_| self.mine(target).is_ok()) else { continue };
            let newest = self.source.state.newest_on(target).map(|lease| lease.id.clone());
            let here = |lease: &&LeaseState| lease.lease().is_some_and(|document| document.target == *target);
            for lease in self.source.state.leases().filter(here) {
                let up_to = if lease.id == wanted.lease {
                    target::applied_step(&wanted, applied)
                } else if newest.as_ref() == Some(&lease.id) {
                    0
                } else {
                    u32::MAX
                };
                done.extend(lease.transitions.iter().filter(|one| one.step <= up_to).map(|one| (lease, one)));
            }
        }
        self.writer.tag(&self.source, &done)
    }

    fn record(&self, tick: &Tick) -> Record {
        Record {
            version: 1,
            applier: self.config.name.clone(),
            ledger: self.source.state.tip(),
            seen_at: tick.reading.now,
            targets: tick.records.clone(),
            events: tick.events.clone(),
        }
    }

    /// Ticks until told to end. Each report goes to `said`.
    pub fn watch(&mut self, end: &AtomicBool, said: &mut dyn FnMut(Result<Report, Refusal>)) {
        /// How long a signal may go unnoticed.
        const NAP: Duration = Duration::from_millis(200);
        while !end.load(Ordering::Relaxed) {
            said(self.tick(Mode::Act));
            let mut left = Duration::from_secs(self.config.interval.as_secs());
            while !left.is_zero() && !end.load(Ordering::Relaxed) {
                let nap = left.min(NAP);
                std::thread::sleep(nap);
                left = left.saturating_sub(nap);
            }
        }
    }
}

impl Job<'_> {
    /// What a target is doing right after its shift.
    fn after_shift(&self) -> Doing {
        let tier = self.applied.tier.and_then(|tier| self.wanted.tiers.get(tier));
        if tier.is_some_and(|tier| self.applied.bake.is_over(tier.bake)) { Doing::Ready } else { Doing::Baking }
    }
}

impl TargetReport {
    fn idle() -> Self {
        Self {
            lease: None,
            desired_bp: 0,
            observed_bp: None,
            observed_lease: None,
            doing: Doing::Holding.word().to_owned(),
            reason: None,
        }
    }

    fn of(wanted: &Desired, seen: &Seen, decision: &Decision, mode: Mode) -> Self {
        let doing = match mode {
            Mode::Act => decision.doing.word().to_owned(),
            Mode::DryRun => target::in_words(decision),
        };
        Self {
            lease: Some(wanted.lease.clone()),
            desired_bp: target::desired_bp(wanted),
            observed_bp: seen.as_ref().ok().map(|seen| seen.weight_bp),
            observed_lease: seen.as_ref().ok().and_then(|seen| seen.lease.clone()),
            doing,
            reason: decision.reason.clone().or_else(|| seen.as_ref().err().cloned()),
        }
    }
}

/// A record in one line.
fn summary(record: &Record) -> String {
    let line = |(target, record): (&TargetId, &TargetRecord)| {
        let percent = record.observed_bp.map_or("?".to_owned(), |bp| (f64::from(bp) / 100.0).to_string());
        format!("{target}: {} at {percent} %, {}", record.lease, record.phase.word())
    };
    record.targets.iter().map(line).collect::<Vec<_>>().join("; ")
}
