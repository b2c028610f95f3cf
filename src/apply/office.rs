//! What all targets of an applier share: what it knows, what it remembers, and what it writes. One at a time.

use std::sync::{Mutex, MutexGuard};

use crate::{
    ledger::{LeaseState, rules},
    model::{LeaseId, Reason, Refusal, StopKind, TargetId, policy::Role},
};

use super::{
    clock::{Bake, Reading},
    config::Config,
    decide::{Applied, Conditions, Desired},
    desired::desired,
    drivers,
    journal::{Desk, Journal},
    pack::RollbackPack,
    publish::{Files, Writer, keep_stop, push_stops},
    records::{Record, TargetRecord},
    run::Mode,
    source::Source,
    target,
    tick::Tick,
};

/// How the clocks are read.
pub type Clock = dyn Fn() -> Reading + Send;

/// An applier's office.
pub(super) struct Office {
    pub(super) config: Config,
    clock: Box<Clock>,
    desk: Desk,
    pub(super) journal: Journal,
    pub(super) source: Source,
    pub(super) writer: Writer,
    pub(super) tick: Tick,
}

/// Goes in, when it is one's turn. Where somebody panicked inside nobody knows what is so: an error.
pub(super) fn enter(office: &Mutex<Office>) -> Result<MutexGuard<'_, Office>, Refusal> {
    office.lock().map_err(|_| Refusal::new(Reason::Internal, "the applier failed inside, and must be started anew"))
}

impl Office {
    pub(super) fn new(
        config: Config,
        clock: Box<Clock>,
        desk: Desk,
        journal: Journal,
        source: Source,
        writer: Writer,
    ) -> Self {
        let tick = Tick::new(clock(), Mode::DryRun, false);
        Self { config, clock, desk, journal, source, writer, tick }
    }

    /// Begins a tick: looks at the clocks, fetches, folds and searches for stops. What cannot be known blocks forward
    /// moves, and nothing else.
    pub(super) fn begin(&mut self, mode: Mode) -> Result<(), Refusal> {
        // Where the journal was lost, the ref that keeps the last accepted tip still says which one it was.
        let accepted = match self.journal.accepted {
            Some(accepted) => Some(accepted),
            None => self.source.kept_of_this_root(&self.config.name)?,
        };
        self.source.catch_up(accepted)?;
        self.look_at_clocks(mode);
        self.refresh();
        let limit = self.config.max_staleness.as_secs().saturating_mul(1000);
        let age = self.journal.fetched.as_ref().map(|last| self.tick.reading.at_most_ms_since(last));
        if age.is_none_or(|age| age > limit) {
            let message = format!("the remote has not been reached for {}", self.config.max_staleness);
            self.tick.blockers.insert(0, Refusal::new(Reason::Stale, message));
        }
        Ok(())
    }

    fn look_at_clocks(&mut self, mode: Mode) {
        let reading = (self.clock)();
        let jumped = self.journal.clock.as_ref().is_some_and(|last| reading.jumped_since(last));
        self.journal.clock = Some(reading.clone());
        if jumped {
            self.journal.targets.values_mut().for_each(|applied| applied.bake = Bake::default());
        } else {
            self.journal.latest = self.journal.latest.max(Some(reading.now));
        }
        self.tick = Tick::new(reading, mode, !jumped);
    }

    /// Brings everything up to date that comes from the repository.
    fn refresh(&mut self) {
        match self.source.fetch() {
            Ok(()) => self.journal.fetched = Some(self.tick.reading.clone()),
            Err(error) => {
                let refusal = error.refusal();
                let message = format!("the remote cannot be reached: {}", refusal.message);
                self.tick.block(Refusal { message, ..refusal });
            }
        }
        match self.source.accept(&self.config.name, self.tick.mode) {
            Ok(tip) => {
                self.journal.accepted = Some(tip);
                self.tick.continues = true;
            }
            Err(refusal) => {
                self.tick.continues = false;
                self.tick.block(refusal);
            }
        }
        let mut notes = Vec::new();
        if let Err(error) = self.source.search(&mut self.journal, &mut notes) {
            let message = format!("stops could not be searched for: {error}");
            self.tick.block(Refusal { message, ..error.refusal() });
        }
        self.tick.remarks.extend(notes.into_iter().map(|note| Refusal::new(Reason::Internal, note)));
        if let Err(refusal) = self.own_key() {
            self.tick.block(refusal);
        }
        if self.tick.mode == Mode::Act
            && let Err(refusal) = self.writer.reconcile(&self.source)
        {
            self.tick.block(refusal);
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

    /// Whether a target is to be looked after here: it is this applier's, or nobody's any more.
    pub(super) fn looks_after(&self, target: &TargetId) -> Result<(), Refusal> {
        if self.is_orphaned(target) { Ok(()) } else { self.mine(target) }
    }

    /// What is wanted of a target to which this was applied.
    pub(super) fn desired(&self, target: &TargetId, applied: &Applied) -> Option<Desired> {
        desired(&self.source.state, target, applied, &self.journal.stops)
    }

    /// What holds for one target: what holds for all, and what else speaks against moving it forward.
    pub(super) fn conditions(&self, target: &TargetId, wanted: &Desired, packed: bool) -> Conditions {
        let mut conditions = self.tick.conditions(packed);
        conditions.blockers.extend(self.mine(target).err());
        conditions.blockers.extend(self.tick.outlived(wanted, self.journal.latest));
        conditions
    }

    /// The driver that was pinned when the lease started.
    pub(super) fn driver(&self, target: &TargetId, wanted: &Desired) -> Result<Box<dyn drivers::Driver>, Refusal> {
        let pinned = self.source.state.lease(&wanted.lease).and_then(|lease| lease.terms.as_ref());
        let in_force = || self.source.state.policy().get().targets.get(target).map(|known| known.driver);
        let kind = pinned.and_then(|terms| terms.driver).or_else(in_force);
        let kind = kind.ok_or_else(|| Refusal::new(Reason::Internal, format!("target {target} has no driver")))?;
        drivers::open(kind, target, self.config.targets.get(target))
    }

    /// The lease's pack as our ref has it.
    pub(super) fn kept_pack(&self, lease: &LeaseId) -> Result<Option<Vec<u8>>, Refusal> {
        self.writer.file(&self.source, &RollbackPack::path(lease))
    }

    /// Writes down what was applied to a target, or is about to be.
    pub(super) fn write_down(&mut self, target: &TargetId, applied: &Applied) -> Result<(), Refusal> {
        self.journal.targets.insert(target.clone(), applied.clone());
        self.desk.save(&self.journal)
    }

    /// Says what is about to be done, where a second applier with our name would see it, and looks once more.
    pub(super) fn intend(&mut self, target: &TargetId, record: TargetRecord, files: &Files) -> Result<(), Refusal> {
        let summary = format!("{target}: about to shift {}", record.lease);
        self.tick.records.insert(target.clone(), record);
        let record = self.record();
        self.writer.write(&self.source, &record, files, &summary)?;
        self.tick.events.clear();
        self.writer.push_record(&self.source)?;
        let before = self.tick.blockers.len();
        self.refresh();
        self.tick.look_again((self.clock)());
        self.tick.blockers.get(before).map_or(Ok(()), |blocker| Err(blocker.clone()))
    }

    /// Signs a rollback of our own. It binds from the moment at which it is written down.
    pub(super) fn expire(&mut self, wanted: &Desired) -> Result<(), Refusal> {
        let reason = format!("the lease's window closed at {}", wanted.expires);
        let stop = self.writer.sign_stop(&self.source, &wanted.lease, StopKind::Rollback, &reason)?;
        self.journal.stops.push(stop.clone());
        self.desk.save(&self.journal)?;
        if let Err(refusal) = keep_stop(&self.source, &stop) {
            self.tick.remarks.push(refusal);
        }
        Ok(())
    }

    /// Ends a tick: writes and pushes the record, stops, the tags. Whatever fails is reported, and tried again at the
    /// next tick.
    pub(super) fn close(&mut self) -> Result<(), Refusal> {
        if self.tick.mode == Mode::DryRun {
            return Ok(());
        }
        let outcomes = [self.publish_record(), self.publish_stops(), self.publish_tags()];
        for refusal in outcomes.into_iter().filter_map(Result::err) {
            self.tick.remark(refusal);
        }
        self.desk.save(&self.journal)
    }

    fn publish_record(&mut self) -> Result<(), Refusal> {
        let record = self.record();
        let last = self.writer.last_record(&self.source)?;
        let news = last.is_none_or(|last| !record.says_the_same_as(&last)) && !record.targets.is_empty();
        if news || !record.events.is_empty() {
            let summary = summary(&record);
            self.writer.write(&self.source, &record, &Files::new(), &summary)?;
        }
        self.writer.push_record(&self.source)
    }

    fn publish_stops(&mut self) -> Result<(), Refusal> {
        for stop in self.journal.stops.iter().filter(|stop| stop.key == self.writer.public.raw()) {
            keep_stop(&self.source, stop)?;
        }
        push_stops(&self.source)?;
        // A branch that was rewound is for people to heal.
        if self.tick.continues { self.writer.carry_over(&self.source, &self.journal.stops) } else { Ok(()) }
    }

    fn publish_tags(&self) -> Result<(), Refusal> {
        let mut done = Vec::new();
        for (target, applied) in &self.journal.targets {
            let wanted = self.desired(target, applied);
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

    fn record(&self) -> Record {
        Record {
            version: 1,
            applier: self.config.name.clone(),
            ledger: self.source.state.tip(),
            seen_at: self.tick.reading.now,
            targets: self.tick.records.clone(),
            events: self.tick.events.clone(),
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
