//! What all targets of an applier share: what it knows, what it remembers, and what it writes. One at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use jiff::Timestamp;

use crate::{
    gate::{
        Measure, TierContext,
        sources::{self, Sources},
    },
    ledger::{LeaseState, Phase, rules},
    model::{Digest, LeaseId, Oid, Reason, Refusal, StopKind, TargetId, policy::Role},
};

use super::{
    aftermath,
    baseline::Baseline,
    clock::{Bake, Reading},
    config::Config,
    decide::{Applied, Conditions, Desired, Observed, Rollback},
    desired::{desired, found},
    drivers,
    health::{left_halted, resolve_by, unmeasurable},
    journal::{Desk, Journal},
    pack::{Occasion, RollbackPack, first_signed},
    publish::{Files, OwnStop, Writer, in_one_line, keep_stop, push_stops, put_tags},
    records::{Record, RecordedEvent, TargetRecord, timeless},
    restore::Check,
    run::{Mode, TargetReport},
    service::Vitals,
    source::Source,
    target,
    tick::Tick,
    watching::{Aftercare, Watching},
};

/// How old the journal may grow where nothing but time passes.
const JOURNAL_AGE_MS: u64 = 30_000;

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
    /// Where measurements come from.
    sources: Option<Arc<Sources>>,
    /// The journal as it was last written down.
    saved: Option<Journal>,
    /// What everything was published of: refs, tip, what was seen.
    published: Option<(u64, Oid, BTreeMap<TargetId, TargetRecord>)>,
    /// How often what happened, in this process.
    counted: BTreeMap<String, u64>,
}

/// What is about to be done to some targets.
#[derive(Debug, Default)]
pub(super) struct Intended {
    /// The targets.
    pub(super) names: Vec<String>,
    /// What goes into our ref with it.
    pub(super) files: Files,
    /// What happened when that was made.
    pub(super) events: Vec<RecordedEvent>,
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
        sources: Option<Sources>,
    ) -> Self {
        let tick = Tick::new(clock(), Mode::DryRun, false);
        let sources = sources.map(Arc::new);
        Self {
            config,
            clock,
            desk,
            journal,
            source,
            writer,
            tick,
            sources,
            saved: None,
            published: None,
            counted: BTreeMap::new(),
        }
    }

    /// Begins a tick with what is known already.
    pub(super) fn begin(&mut self, mode: Mode) -> Result<(), Refusal> {
        if let Err(error) = self.source.list() {
            return Err(error.refusal());
        }
        // Where the journal was lost, the ref that keeps the last accepted tip still says which one it was.
        let accepted = match self.journal.accepted {
            Some(accepted) => Some(accepted),
            None => self.source.kept_of_this_root(&self.config.name)?,
        };
        self.source.catch_up(accepted)?;
        self.look_at_clocks(mode);
        self.forget_recorded()?;
        if let Err(refusal) = self.desk.can_be_written() {
            self.tick.block(refusal);
        }
        Ok(())
    }

    /// Asks the remote. What cannot be known blocks forward moves, and nothing else.
    pub(super) fn ask(&mut self) {
        self.refresh();
        let limit = self.config.max_staleness.as_secs().saturating_mul(1000);
        let age = self.journal.fetched.as_ref().map(|last| self.tick.reading.at_most_ms_since(last));
        if age.is_none_or(|age| age > limit) {
            let message = format!("the remote has not been reached for {}", self.config.max_staleness);
            self.tick.blockers.insert(0, Refusal::new(Reason::Stale, message));
        }
        self.tick.is_asked();
    }

    /// A process that ended after it had recorded what happened, and before it could write that down, is not to record it
    /// again.
    fn forget_recorded(&mut self) -> Result<(), Refusal> {
        if let Some(last) = self.writer.last_record(&self.source)? {
            self.journal.events.retain(|event| !last.events.contains(event));
        }
        Ok(())
    }

    fn look_at_clocks(&mut self, mode: Mode) {
        let reading = (self.clock)();
        let jumped = self.journal.clock.as_ref().is_some_and(|last| reading.jumped_since(last));
        self.journal.clock = Some(reading.clone());
        if jumped {
            for applied in self.journal.targets.values_mut() {
                applied.bake = Bake::default();
                applied.rollback.watch_anew(&reading);
            }
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
        if let Err(error) = self.source.search(&mut self.journal.stops, &mut self.journal.searched, &mut notes) {
            let message = format!("stops could not be searched for: {error}");
            self.tick.block(Refusal { message, ..error.refusal() });
        }
        self.tick.remarks.extend(notes.into_iter().map(|note| Refusal::new(Reason::Internal, note)));
        if let Err(refusal) = self.own_key() {
            self.tick.block(refusal);
        }
        if self.tick.mode == Mode::Act
            && let Err(refusal) = self.writer.reconcile(&mut self.source)
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

    /// Whether a target is to be stopped: then it comes before others.
    pub(super) fn is_stopped(&self, target: &TargetId) -> bool {
        let applied = self.journal.targets.get(target).cloned().unwrap_or_default();
        let wanted = self.desired(target, &applied);
        wanted.is_some_and(|wanted| matches!(wanted.phase, Phase::Halted | Phase::RolledBack))
    }

    /// What can be said of a target whose driver has not answered yet.
    pub(super) fn left_behind(&mut self, target: &TargetId) -> TargetReport {
        let message = format!("target {target} has not answered yet, and is not waited for");
        let refusal = Refusal::new(Reason::NoData, message);
        let applied = self.journal.targets.get(target).cloned().unwrap_or_default();
        let Some(wanted) = self.desired(target, &applied) else { return TargetReport::held(refusal) };
        let (seen, decision) = (Err(refusal.clone()), target::held(refusal));
        let record = target::record(&wanted, &seen, &applied, &decision, self.tick.reading.now);
        self.tick.records.insert(target.clone(), record);
        TargetReport::of(&wanted, &seen, &decision, self.tick.mode)
    }

    /// What is wanted of a target to which this was applied.
    pub(super) fn desired(&self, target: &TargetId, applied: &Applied) -> Option<Desired> {
        desired(&self.source.state, target, applied, &self.journal.stops)
    }

    /// What the ledger says of what is seen at a target, where that counts as applied there.
    pub(super) fn found(&self, target: &TargetId, applied: &Applied, seen: Option<&Observed>) -> Option<Desired> {
        found(&self.source.state, target, applied, seen, &self.journal.stops)
    }

    /// What holds for one target: what holds for all, and what else speaks against moving it forward.
    pub(super) fn conditions(&self, target: &TargetId, wanted: &Desired) -> Conditions {
        let mut conditions = self.tick.conditions();
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
        let before = || {
            let bytes = self.kept_pack(&wanted.lease).ok()??;
            RollbackPack::parse(&bytes, target, &wanted.lease).and_then(|pack| pack.restorable()).ok()
        };
        let lease = self.source.state.lease(&wanted.lease).and_then(LeaseState::lease);
        let context = drivers::Context { folder: self.desk.folder("targets"), lease, before: &before };
        drivers::open(kind, target, self.config.targets.get(target), &context)
    }

    /// The lease's pack as our ref has it.
    pub(super) fn kept_pack(&self, lease: &LeaseId) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(tip) = self.writer.tip(&self.source) else { return Ok(None) };
        let found = first_signed(&self.source.repository, &self.source.state, &self.config.name, tip, lease)?;
        Ok(found.map(|(bytes, _)| bytes))
    }

    /// For what a pack of a target is taken.
    pub(super) fn occasion(&self, target: &TargetId, lease: &LeaseId, seen: Option<&LeaseId>) -> Option<Occasion> {
        let document = |id: &LeaseId| self.source.state.lease(id).and_then(LeaseState::lease).cloned();
        Some(Occasion {
            target: target.clone(),
            lease: document(lease)?,
            previous: seen.and_then(document),
            probe: self.config.targets.get(target).and_then(|place| place.probe.clone()),
            baselines: None,
            now: self.tick.reading.now,
        })
    }

    /// What measuring the version before a lease needs; none where nothing is pinned or configured to measure it by.
    pub(super) fn baseline(&self, lease: &LeaseId) -> Option<Baseline> {
        let state = &self.source.state;
        let lease = state.lease(lease)?;
        let (terms, document) = (lease.terms.clone().filter(|terms| !terms.gates.is_empty())?, lease.lease()?);
        let started = Baseline::begins(self.tick.reading.now);
        let context = TierContext::new(state.policy().get(), document, 0, started)?;
        Some(Baseline { terms: *terms, context, sources: self.sources.clone()? })
    }

    /// What a lease's pack recorded of the version before, for the tier at which nothing else is left to compare with.
    fn recorded(&self, target: &TargetId, context: TierContext) -> TierContext {
        if !context.last {
            return context;
        }
        let pack = || {
            let bytes = self.kept_pack(&context.lease).ok()??;
            RollbackPack::parse(&bytes, target, &context.lease).ok()
        };
        let recorded = pack().and_then(|pack| pack.baselines).map(|baselines| baselines.recorded).unwrap_or_default();
        TierContext { recorded, ..context }
    }

    /// Takes note of what was applied to a target, or is about to be, and of what happened there.
    pub(super) fn note(&mut self, target: &TargetId, applied: &Applied, events: &mut Vec<RecordedEvent>) {
        self.journal.targets.insert(target.clone(), applied.clone());
        for event in events.drain(..) {
            self.happened(event);
        }
    }

    fn happened(&mut self, event: RecordedEvent) {
        *self.counted.entry(event.event.clone()).or_default() += 1;
        self.journal.events.push(event);
    }

    /// How it goes.
    pub(super) fn vitals(&self) -> Vitals {
        let fetched = self.journal.fetched.as_ref().map(|reading| reading.now);
        Vitals { now: self.tick.reading.now, fetched, events: self.counted.clone() }
    }

    /// Writes the journal down, whatever it says.
    pub(super) fn write_down(&mut self) -> Result<(), Refusal> {
        self.desk.save(&self.journal)?;
        self.saved = Some(self.journal.clone());
        Ok(())
    }

    /// Says what is about to be done, where a second applier with our name would see it, and looks once more.
    pub(super) fn intend(&mut self, intended: &Intended) -> Result<(), Refusal> {
        self.write_down()?;
        let summary = format!("about to shift {}", intended.names.join(", "));
        let mut record = self.record();
        record.events.extend(intended.events.iter().cloned());
        self.writer.write(&mut self.source, &record, &intended.files, &summary)?;
        self.journal.events.clear();
        for event in &intended.events {
            *self.counted.entry(event.event.clone()).or_default() += 1;
        }
        self.writer.push_record(&self.source)?;
        let (before, known) = (self.tick.blockers.len(), (self.source.state.tip(), self.journal.stops.len()));
        self.refresh();
        self.tick.overtaken = known != (self.source.state.tip(), self.journal.stops.len());
        self.look_at_clocks_again();
        self.tick.blockers.get(before).map_or(Ok(()), |blocker| Err(blocker.clone()))
    }

    /// What a look at a target's metrics needs; none where nothing was pinned for its lease, or it is not there.
    pub(super) fn watching(&self, target: &TargetId, wanted: &Desired, applied: &Applied) -> Option<Watching> {
        let state = &self.source.state;
        let lease = state.lease(&wanted.lease)?;
        let (terms, document) = (lease.terms.as_ref()?, lease.lease()?);
        let nothing = terms.gates.is_empty() && (terms.thresholds.is_empty() || self.sources.is_none());
        let ours = applied.lease.as_ref() == Some(&wanted.lease);
        let tier = applied.tier.filter(|_| ours && !nothing)?;
        let ended = matches!(wanted.phase, Phase::Halted | Phase::RolledBack)
            || (wanted.phase == Phase::Completed && tier + 1 >= wanted.tiers.len());
        if ended {
            return None;
        }
        let since = applied.bake.since.as_ref().map(|since| since.now);
        let context = since.and_then(|since| TierContext::new(state.policy().get(), document, tier, since));
        let context = context.map(|context| self.recorded(target, context)).ok_or_else(|| {
            Refusal::new(Reason::NoData, format!("target {target} is not seen at the weight of its tier"))
        });
        let (sources, folder) = (self.sources.clone(), self.desk.folder("watches"));
        Some(Watching { terms: terms.as_ref().clone(), context, sources, folder })
    }

    /// How far the health of what is restored for a lease can be checked when it is restored.
    pub(super) fn health_of_restored(&self, lease: &LeaseId) -> Check {
        let terms = self.source.state.lease(lease).and_then(|lease| lease.terms.as_ref());
        match terms.map_or(0, |terms| terms.gates.len()) {
            0 => Check::not_configured("no gates are pinned for the lease"),
            _ => Check::pending("it is being watched"),
        }
    }

    /// What a look at a version that was restored needs; none where none is being watched. Limits are the candidate's, and
    /// the pack says nothing of them, so it is gates that are looked at.
    pub(super) fn aftercare(&self, target: &TargetId, wanted: &Desired, applied: &Applied) -> Option<Aftercare> {
        let ours = wanted.phase == Phase::RolledBack && applied.lease.as_ref() == Some(&wanted.lease);
        let Rollback::Restored(restored) = &applied.rollback else { return None };
        let state = &self.source.state;
        let lease = state.lease(&wanted.lease).filter(|_| ours)?;
        let (mut terms, document) = (lease.terms.clone()?, lease.lease()?);
        terms.thresholds.clear();
        let context = TierContext::new(state.policy().get(), document, 0, restored.since.now);
        let context = context.map(|context| self.recorded(target, context.of_stable())).ok_or_else(|| {
            Refusal::new(Reason::NoData, format!("lease {} does not say what is rolled out", wanted.lease))
        });
        // What is not configured answers to nothing, until the deadline.
        let sources = self.sources.clone().or_else(|| Sources::open(&sources::Config::default()).ok().map(Arc::new));
        let deadline = aftermath::deadline(&terms, &restored.since, &self.tick.reading);
        Some(Aftercare {
            watching: Watching { terms: *terms, context, sources, folder: self.desk.folder("restored") },
            deadline,
        })
    }

    /// Looks at the clocks: what was restored is watched from now on.
    pub(super) fn look_at_clocks_again(&mut self) -> Reading {
        let reading = (self.clock)();
        self.tick.look_again(reading.clone());
        reading
    }

    /// Why a lease could not be watched here.
    pub(super) fn unmeasured(&self, wanted: &Desired) -> Option<Refusal> {
        let terms = self.source.state.lease(&wanted.lease)?.terms.as_ref()?;
        let measure = self.sources.as_deref().map(|sources| sources as &dyn Measure);
        unmeasurable(terms.gates.iter(), terms.thresholds.keys(), measure)
    }

    /// Why a halt that no person made has been left for too long: as the ledger says, or as we know of our own.
    pub(super) fn left_halted(&self, wanted: &Desired, applied: &Applied) -> Option<Refusal> {
        let lease = self.source.state.lease(&wanted.lease)?;
        let now = self.tick.reading.now;
        let own = || resolve_by(lease, applied.halted?, &self.config.name, now);
        left_halted(lease, now).or_else(own)
    }

    /// The targets whose metrics have to be looked at before anything else.
    pub(super) fn watched(&self) -> BTreeSet<TargetId> {
        let targets = self.journal.targets.iter().filter(|(target, applied)| {
            let wanted = self.desired(target, applied);
            wanted.is_some_and(|wanted| self.watching(target, &wanted, applied).is_some())
        });
        targets.map(|(target, _)| target.clone()).collect()
    }

    /// Signs a stop of our own, with the evidence for it. It binds from the moment at which it is written down.
    pub(super) fn stop(
        &mut self,
        lease: &LeaseId,
        kind: StopKind,
        why: &str,
        evidence: Option<&[u8]>,
    ) -> Result<(), Refusal> {
        let reason = in_one_line(why);
        // A stop is signed even where the evidence cannot be kept.
        let tip = self.source.state.tip();
        let exhibit = evidence.and_then(|bytes| Some((self.writer.exhibit(&self.source, lease, bytes).ok()?, bytes)));
        let (parent, evidence) = exhibit.map_or((tip, None), |(commit, bytes)| (commit, Some(Digest::of(bytes))));
        let stop = OwnStop { lease, kind, reason: &reason, evidence, parent };
        let stop = self.writer.sign_stop(&self.source, &stop)?;
        self.journal.stops.push(stop.clone());
        self.write_down()?;
        if let Err(refusal) = keep_stop(&mut self.source, &stop) {
            self.tick.remarks.push(refusal);
        }
        Ok(())
    }

    /// Signs a rollback of our own. It binds from the moment at which it is written down.
    pub(super) fn expire(&mut self, wanted: &Desired, expired: RecordedEvent) -> Result<(), Refusal> {
        self.happened(expired);
        let why = format!("the lease's window closed at {}", wanted.expires);
        self.stop(&wanted.lease, StopKind::Rollback, &why, None)
    }

    /// Ends a tick: writes and pushes the record, stops, the tags. Whatever fails is reported, and tried again at the
    /// next tick.
    pub(super) fn close(&mut self) {
        if self.tick.mode == Mode::DryRun {
            return;
        }
        self.publish();
        // What has been in the journal for long is in it again before it is needed: when the clock has to be compared.
        let old = |saved: &Journal| {
            let since = saved.clock.as_ref().map(|clock| self.tick.reading.at_most_ms_since(clock));
            since.is_none_or(|since| since > JOURNAL_AGE_MS)
        };
        let quiet = self.saved.as_ref().is_some_and(|saved| {
            self.journal.says_the_same_as(saved) && !old(saved) && !self.has_seen_an_expiry_since(saved)
        });
        if !quiet && let Err(refusal) = self.write_down() {
            self.tick.remark(refusal);
        }
    }

    /// Whether a lease's window has closed since a journal was written: no clock that is set back opens it again.
    fn has_seen_an_expiry_since(&self, saved: &Journal) -> bool {
        let leases = self.tick.records.values().filter_map(|record| self.source.state.lease(&record.lease)?.lease());
        let closed = |at: Option<Timestamp>, expires: Timestamp| at.is_some_and(|at| at >= expires);
        let mut expiries = leases.map(|lease| lease.expires);
        expiries.any(|expires| closed(self.journal.latest, expires) && !closed(saved.latest, expires))
    }

    /// Publishes what is new. Where nothing is, nothing has to be looked at.
    fn publish(&mut self) {
        // A push would wait where the fetch has been waiting.
        if self.source.is_waiting() {
            return;
        }
        let here = (self.source.edition(), self.source.state.tip(), timeless(&self.tick.records));
        if self.journal.events.is_empty() && self.published.as_ref() == Some(&here) {
            return;
        }
        let outcomes = [self.publish_record(), self.publish_stops(), self.publish_tags()];
        let refusals: Vec<Refusal> = outcomes.into_iter().filter_map(Result::err).collect();
        self.published = refusals.is_empty().then_some(here);
        for refusal in refusals {
            self.tick.remark(refusal);
        }
    }

    fn publish_record(&mut self) -> Result<(), Refusal> {
        let record = self.record();
        let last = self.writer.last_record(&self.source)?;
        let news = last.is_none_or(|last| !record.says_the_same_as(last)) && !record.targets.is_empty();
        if news || !record.events.is_empty() {
            let summary = summary(&record);
            self.writer.write(&mut self.source, &record, &self.tick.exhibits, &summary)?;
            self.tick.exhibits.clear();
            self.journal.events.clear();
        }
        self.writer.push_record(&self.source)
    }

    fn publish_stops(&mut self) -> Result<(), Refusal> {
        for stop in self.journal.stops.iter().filter(|stop| stop.key == self.writer.public.raw()) {
            keep_stop(&mut self.source, stop)?;
        }
        push_stops(&self.source)?;
        // A branch that was rewound is for people to heal.
        if self.tick.continues { self.writer.carry_over(&mut self.source, &self.journal.stops) } else { Ok(()) }
    }

    fn publish_tags(&mut self) -> Result<(), Refusal> {
        let mut leases: BTreeMap<&TargetId, Vec<&LeaseState>> = BTreeMap::new();
        for lease in self.source.state.leases() {
            if let Some(document) = lease.lease() {
                leases.entry(&document.target).or_default().push(lease);
            }
        }
        let mut done = Vec::new();
        for (target, applied) in &self.journal.targets {
            let wanted = self.desired(target, applied);
            let Some(wanted) = wanted.filter(|_| self.mine(target).is_ok()) else { continue };
            let newest = self.source.state.newest_on(target).map(|lease| lease.id.clone());
            for lease in leases.remove(target).unwrap_or_default() {
                let up_to = if lease.id == wanted.lease {
                    target::applied_step(&wanted, applied)
                } else if newest.as_ref() == Some(&lease.id) && wanted.undone != newest {
                    0
                } else {
                    u32::MAX
                };
                done.extend(lease.transitions.iter().filter(|one| one.step <= up_to).map(|one| (lease, one)));
            }
        }
        let tags = self.writer.missing_tags(&self.source, &done)?;
        put_tags(&mut self.source, &tags)
    }

    fn record(&self) -> Record {
        Record {
            version: 1,
            applier: self.config.name.clone(),
            ledger: self.source.state.tip(),
            seen_at: self.tick.reading.now,
            targets: self.tick.records.clone(),
            events: self.journal.events.clone(),
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
