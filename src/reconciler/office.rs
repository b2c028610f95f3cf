//! What all targets of an applier share: what it knows, what it remembers, and what it writes. One at a time.

use std::{
    collections::BTreeMap,
    mem::take,
    sync::{Arc, Mutex, MutexGuard},
};

use jiff::Timestamp;

use crate::{
    follower::{
        Mode,
        checks::Check,
        clock::{Bake, Reading, Trust},
        fetching::Remote,
        follow::{Followed, Follower},
        records::{RecordedEvent, TargetRecord},
        stops::SeenStop,
        writer::{Files, Pushing, in_one_line},
    },
    gate::{
        Measure, TierContext,
        health::{left_halted, resolve_by, unmeasurable},
        sources::{self, Sources},
    },
    ledger::{LeaseState, Phase, rules},
    model::{Digest, LeaseId, Oid, Reason, Refusal, StopKind, TargetId},
};

use super::{
    baseline::Baseline,
    config::Config,
    decide::{Applied, Conditions, Desired, Observed, Rollback},
    desired::{desired, found},
    drivers,
    pack::{Occasion, RollbackPack, first_signed},
    publishing::Beside,
    rollback_health,
    run::TargetReport,
    service::Counters,
    state::ApplierState,
    target,
    tick::Tick,
    watching::{Aftercare, Measured, Metering, Of, Watching},
};

/// An applier's office.
pub(super) struct Office {
    pub(super) config: Config,
    pub(super) follower: Follower,
    pub(super) remembered: ApplierState,
    pub(super) tick: Tick,
    /// Where measurements come from.
    sources: Option<Arc<Sources>>,
    /// The journal as it was last written down.
    pub(super) saved: Option<ApplierState>,
    /// What everything was published of.
    pub(super) published: Option<Edition>,
    /// Pushes that are being made, and of what.
    pub(super) pushing: Option<(Pushing, Option<Edition>)>,
    /// Stops that the branch cannot have now.
    pub(super) beside: Option<Beside>,
    /// What was measured last, by target.
    measured: BTreeMap<TargetId, Measured>,
    /// The evidence for stops of our own that are not signed yet, by statement.
    evidence: BTreeMap<Digest, Vec<u8>>,
    /// How often what happened, in this process.
    counted: BTreeMap<String, u64>,
    /// What happened since the last report.
    untold: Vec<RecordedEvent>,
}

/// What there is to be published: refs, tip, what was seen.
pub(super) type Edition = (u64, Oid, BTreeMap<TargetId, TargetRecord>);

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
    pub(super) fn new(config: Config, follower: Follower, remembered: ApplierState, sources: Option<Sources>) -> Self {
        let tick = Tick::new((follower.clock())(), Mode::DryRun, false);
        let sources = sources.map(Arc::new);
        Self {
            config,
            follower,
            remembered,
            tick,
            sources,
            saved: None,
            published: None,
            pushing: None,
            beside: None,
            measured: BTreeMap::new(),
            evidence: BTreeMap::new(),
            counted: BTreeMap::new(),
            untold: Vec::new(),
        }
    }

    /// Begins a tick with what is known already.
    pub(super) fn begin(&mut self, mode: Mode) -> Result<(), Refusal> {
        self.follower.begin(&self.remembered.follower)?;
        self.look_at_clocks(mode);
        self.forget_recorded()?;
        if let Err(refusal) = self.follower.folder.can_be_written() {
            self.tick.block(refusal);
        }
        Ok(())
    }

    /// Asks the remote, or takes what it has answered; never waits. What cannot be known blocks forward moves, and nothing
    /// else.
    pub(super) fn ask(&mut self) -> Remote {
        let before = self.follower.mirror.edition();
        match self.follower.mirror.poll() {
            Ok(Remote::Asked) => {
                // A stop that came counts, whatever is still to come.
                if self.follower.mirror.edition() != before {
                    self.follow();
                }
                return Remote::Asked;
            }
            Ok(Remote::Answered) => self.remembered.follower.fetched = Some(self.tick.reading.clone()),
            Err(error) => self.tick.block(Follower::not_reached(&error)),
        }
        self.follow();
        let stale = Follower::stale(&self.remembered.follower, &self.tick.reading, self.config.max_staleness);
        if let Some(refusal) = stale {
            self.tick.blockers.insert(0, refusal);
        }
        self.tick.is_answered();
        Remote::Answered
    }

    /// What is known of what the ledger wants: a number that changes whenever that does.
    pub(super) fn knowledge(&self) -> (Oid, usize) {
        (self.follower.mirror.state.tip(), self.remembered.follower.stops.len())
    }

    /// A process that ended after it had recorded what happened, and before it could write that down, is not to record it
    /// again.
    fn forget_recorded(&mut self) -> Result<(), Refusal> {
        if let Some(last) = self.follower.writer.last_record(&self.follower.mirror)? {
            self.remembered.events.retain(|event| !last.events.contains(event));
        }
        Ok(())
    }

    fn look_at_clocks(&mut self, mode: Mode) {
        let (reading, trust) = self.read_clocks();
        if trust == Trust::Doubted {
            for applied in self.remembered.targets.values_mut() {
                applied.bake = Bake::default();
                applied.rollback.watch_anew(&reading);
            }
        }
        let (records, exhibits) = (take(&mut self.tick.records), take(&mut self.tick.exhibits));
        self.tick = Tick { records, exhibits, ..Tick::new(reading, mode, trust == Trust::Believed) };
    }

    fn read_clocks(&mut self) -> (Reading, Trust) {
        self.follower.read_clocks(&mut self.remembered.follower)
    }

    /// Remembers that a lease was seen to expire, by a clock that is believed.
    pub(super) fn note_expiry(&mut self, wanted: &Desired) {
        let ended = |id: &LeaseId| self.follower.mirror.state.lease(id).is_some_and(|lease| lease.phase.ended());
        self.remembered.expired.retain(|id| !ended(id));
        if self.tick.trusted && self.tick.reading.now >= wanted.expires && !ended(&wanted.lease) {
            self.remembered.expired.insert(wanted.lease.clone());
        }
    }

    /// Brings everything up to date that comes from the repository.
    fn follow(&mut self) {
        let Followed { blockers, remarks, continues } =
            self.follower.follow(&mut self.remembered.follower, self.tick.mode);
        self.tick.continues = continues;
        for refusal in blockers {
            self.tick.block(refusal);
        }
        self.tick.remarks.extend(remarks);
        if let Err(refusal) = self.follower.own_key() {
            self.tick.block(refusal);
        }
        if self.tick.mode == Mode::Act
            && let Err(refusal) = self.follower.take_in_own_ref()
        {
            self.tick.block(refusal);
        }
    }

    /// Whether a target is this applier's, by the policy in force.
    pub(super) fn mine(&self, target: &TargetId) -> Result<(), Refusal> {
        let known = self.follower.mirror.state.policy().get().targets.get(target);
        if known.and_then(|known| known.applier.as_ref()) == Some(&self.config.name) {
            return Ok(());
        }
        let message = format!("the policy in force does not give target {target} to applier {}", self.config.name);
        Err(Refusal::new(Reason::WrongPrincipal, message)
            .hint("change the policy, or take it out of the configuration"))
    }

    /// Whether a target that this applier moved is nobody's by the policy in force: then nobody else would stop it.
    fn is_orphaned(&self, target: &TargetId) -> bool {
        let known = self.follower.mirror.state.policy().get().targets.get(target);
        known.is_none_or(|known| known.applier.is_none()) && self.remembered.targets.contains_key(target)
    }

    /// Whether a target is to be looked after here: it is this applier's, or nobody's any more.
    pub(super) fn looks_after(&self, target: &TargetId) -> Result<(), Refusal> {
        if self.is_orphaned(target) { Ok(()) } else { self.mine(target) }
    }

    /// Whether a target is to be stopped: then it comes before others.
    pub(super) fn is_stopped(&self, target: &TargetId) -> bool {
        let applied = self.remembered.targets.get(target).cloned().unwrap_or_default();
        let wanted = self.desired(target, &applied);
        wanted.is_some_and(|wanted| matches!(wanted.phase, Phase::Halted | Phase::RolledBack))
    }

    /// What can be said of a target whose driver has not answered yet.
    pub(super) fn left_behind(&mut self, target: &TargetId) -> TargetReport {
        let message = format!("target {target} has not answered yet, and is not waited for");
        let refusal = Refusal::new(Reason::NoData, message);
        let applied = self.remembered.targets.get(target).cloned().unwrap_or_default();
        let Some(wanted) = self.desired(target, &applied) else { return TargetReport::held(refusal) };
        let (seen, decision) = (Err(refusal.clone()), target::held(refusal));
        let record = target::record(&wanted, &seen, &applied, &decision, self.tick.reading.now);
        self.tick.records.insert(target.clone(), record);
        TargetReport { stopped: self.stopped(&wanted), ..TargetReport::of(&wanted, &seen, &decision, self.tick.mode) }
    }

    /// What is wanted of a target to which this was applied.
    pub(super) fn desired(&self, target: &TargetId, applied: &Applied) -> Option<Desired> {
        desired(&self.follower.mirror.state, target, applied, &self.remembered.follower.stops)
    }

    /// What the ledger says of what is seen at a target, where that counts as applied there.
    pub(super) fn found(&self, target: &TargetId, applied: &Applied, seen: Option<&Observed>) -> Option<Desired> {
        found(&self.follower.mirror.state, target, applied, seen, &self.remembered.follower.stops)
    }

    /// What holds for one target: what holds for all, and what else speaks against moving it forward.
    pub(super) fn conditions(&self, target: &TargetId, wanted: &Desired) -> Conditions {
        let mut conditions = self.tick.conditions();
        conditions.blockers.extend(self.mine(target).err());
        conditions.blockers.extend(self.tick.outlived(wanted, &self.remembered.expired));
        conditions
    }

    /// The driver that was pinned when the lease started.
    pub(super) fn driver(&self, target: &TargetId, wanted: &Desired) -> Result<Box<dyn drivers::Driver>, Refusal> {
        let pinned = self.follower.mirror.state.lease(&wanted.lease).and_then(|lease| lease.terms.as_ref());
        let in_force = || self.follower.mirror.state.policy().get().targets.get(target).map(|known| known.driver);
        let kind = pinned.and_then(|terms| terms.driver).or_else(in_force);
        let kind = kind.ok_or_else(|| Refusal::new(Reason::Internal, format!("target {target} has no driver")))?;
        let before = || {
            let bytes = self.kept_pack(&wanted.lease).ok()??;
            RollbackPack::parse(&bytes, target, &wanted.lease).and_then(|pack| pack.restorable()).ok()
        };
        let lease = self.follower.mirror.state.lease(&wanted.lease).and_then(LeaseState::lease);
        let context = drivers::Context { folder: self.follower.folder.beside("targets"), lease, before: &before };
        drivers::open(kind, target, self.config.targets.get(target), &context)
    }

    /// The lease's pack as our ref has it.
    pub(super) fn kept_pack(&self, lease: &LeaseId) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(tip) = self.follower.writer.tip(&self.follower.mirror) else { return Ok(None) };
        let found =
            first_signed(&self.follower.mirror.repository, &self.follower.mirror.state, &self.config.name, tip, lease)?;
        Ok(found.map(|(bytes, _)| bytes))
    }

    /// For what a pack of a target is taken.
    pub(super) fn occasion(&self, target: &TargetId, lease: &LeaseId, seen: Option<&LeaseId>) -> Option<Occasion> {
        let document = |id: &LeaseId| self.follower.mirror.state.lease(id).and_then(LeaseState::lease).cloned();
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
        let state = &self.follower.mirror.state;
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
        self.remembered.targets.insert(target.clone(), applied.clone());
        for event in events.drain(..) {
            self.happened(event);
        }
    }

    fn happened(&mut self, event: RecordedEvent) {
        self.remembered.events.push(event.clone());
        self.count(event);
    }

    fn count(&mut self, event: RecordedEvent) {
        *self.counted.entry(event.event.clone()).or_default() += 1;
        self.untold.push(event);
    }

    /// What happened since this was asked last.
    pub(super) fn untold(&mut self) -> Vec<RecordedEvent> {
        take(&mut self.untold)
    }

    /// Who stopped a lease, and why, as the ledger says, or a stop that it has not folded.
    pub(super) fn stopped(&self, wanted: &Desired) -> Option<String> {
        if !matches!(wanted.phase, Phase::Halted | Phase::RolledBack) {
            return None;
        }
        let state = &self.follower.mirror.state;
        let said = |who: &str, reason: Option<&str>| match reason {
            Some(reason) => format!("by {who}: {reason}"),
            None => format!("by {who}"),
        };
        let last = state.lease(&wanted.lease).and_then(|lease| lease.transitions.last());
        if let Some(last) = last.filter(|last| last.phase == wanted.phase) {
            let votes = last.votes.iter().map(|vote| said(vote.principal.as_str(), vote.reason.as_deref()));
            return Some(votes.collect::<Vec<_>>().join(", ")).filter(|said| !said.is_empty());
        }
        let names = |stop: &&SeenStop| stop.stop().is_some_and(|stop| stop.lease == wanted.lease);
        let seen = self.remembered.follower.stops.iter().rev().find(names)?;
        let (who, _) = rules::owner(state, seen.key).ok()?;
        Some(said(who.as_str(), seen.reason.as_deref()))
    }

    /// How it goes.
    pub(super) fn counters(&self) -> Counters {
        let fetched = self.remembered.follower.fetched.as_ref().map(|reading| reading.now);
        Counters { now: self.tick.reading.now, fetched, events: self.counted.clone() }
    }

    /// Writes the journal down, whatever it says.
    pub(super) fn write_down(&mut self) -> Result<(), Refusal> {
        self.follower.folder.write(&self.remembered)?;
        self.saved = Some(self.remembered.clone());
        Ok(())
    }

    /// Says what is about to be done, where a second applier with our name will see it once it is pushed.
    pub(super) fn intend(&mut self, intended: &Intended) -> Result<(), Refusal> {
        self.write_down()?;
        let summary = format!("about to shift {}", intended.names.join(", "));
        let mut record = self.record();
        record.events.extend(intended.events.iter().cloned());
        self.follower.writer.write(&mut self.follower.mirror, &record, &intended.files, &summary)?;
        self.remembered.events.clear();
        for event in &intended.events {
            self.count(event.clone());
        }
        let push = self.follower.writer.record_push(&self.follower.mirror)?;
        self.pushing = Pushing::begin(&self.follower.mirror, push.into_iter().collect()).map(|pushing| (pushing, None));
        Ok(())
    }

    /// What is to be measured of a target now; none where there is nothing to measure.
    pub(super) fn metering(&self, target: &TargetId, wanted: &Desired, applied: &Applied) -> Option<Metering> {
        if let Some(Aftercare { watching, .. }) = self.aftercare(target, wanted, applied) {
            let Rollback::Restored(restored) = &applied.rollback else { return None };
            let of = Of::Restored { lease: wanted.lease.clone(), since: restored.since.now };
            return Some(Metering { of, harm: watching, settled: None });
        }
        let (reached, settled) = (applied.reached, applied.bake.since.as_ref().map(|since| since.now));
        let harm = self.watching(target, wanted, applied, reached)?;
        let of = Of::Tier { lease: wanted.lease.clone(), reached, settled };
        let settled = (settled != reached).then(|| self.watching(target, wanted, applied, settled)).flatten();
        Some(Metering { of, harm, settled })
    }

    /// What is to be measured, by target.
    pub(super) fn meterings(&mut self) -> Vec<(TargetId, Metering)> {
        // Who serves which version is as the target was last seen, by this process or one before it.
        let last = self.follower.writer.last_record(&self.follower.mirror).ok().flatten();
        let recorded = last.map(|record| record.targets.clone()).unwrap_or_default();
        let of = |(target, applied): (&TargetId, &Applied)| {
            let wanted = self.desired(target, applied)?;
            let seen = self.tick.records.get(target).or_else(|| recorded.get(target));
            let pools = seen.and_then(|record| record.pools.clone());
            Some((target.clone(), self.metering(target, &wanted, applied)?.with_pools(pools)))
        };
        self.remembered.targets.iter().filter_map(of).collect()
    }

    /// Takes what was measured of a target. Whether that stops it.
    pub(super) fn measured(&mut self, target: TargetId, measured: Measured) -> bool {
        let stops = measured.stops();
        self.measured.insert(target, measured);
        stops
    }

    /// What was measured of a target last.
    pub(super) fn last_measured(&self, target: &TargetId) -> Option<&Measured> {
        self.measured.get(target)
    }

    /// What a look at a target's metrics needs; none where nothing was pinned for its lease, or it is not there.
    pub(super) fn watching(
        &self,
        target: &TargetId,
        wanted: &Desired,
        applied: &Applied,
        since: Option<Timestamp>,
    ) -> Option<Watching> {
        let state = &self.follower.mirror.state;
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
        let context = since.and_then(|since| TierContext::new(state.policy().get(), document, tier, since));
        let context = context.map(|context| self.recorded(target, context)).ok_or_else(|| {
            Refusal::new(Reason::NoData, format!("target {target} is not seen at the weight of its tier"))
        });
        let (sources, folder) = (self.sources.clone(), self.follower.folder.beside("watches"));
        Some(Watching { terms: terms.as_ref().clone(), context, sources, folder })
    }

    /// How far the health of what is restored for a lease can be checked when it is restored.
    pub(super) fn health_of_restored(&self, lease: &LeaseId) -> Check {
        let terms = self.follower.mirror.state.lease(lease).and_then(|lease| lease.terms.as_ref());
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
        let state = &self.follower.mirror.state;
        let lease = state.lease(&wanted.lease).filter(|_| ours)?;
        let (mut terms, document) = (lease.terms.clone()?, lease.lease()?);
        terms.thresholds.clear();
        let context = TierContext::new(state.policy().get(), document, 0, restored.since.now);
        let context = context.map(|context| self.recorded(target, context.of_stable())).ok_or_else(|| {
            Refusal::new(Reason::NoData, format!("lease {} does not say what is rolled out", wanted.lease))
        });
        // What is not configured answers to nothing, until the deadline.
        let sources = self.sources.clone().or_else(|| Sources::open(&sources::Config::default()).ok().map(Arc::new));
        let deadline = rollback_health::deadline(&terms, &restored.since, &self.tick.reading);
        Some(Aftercare {
            watching: Watching { terms: *terms, context, sources, folder: self.follower.folder.beside("restored") },
            deadline,
        })
    }

    /// Looks at the clocks: what was restored is watched from now on.
    pub(super) fn look_at_clocks_again(&mut self) -> Reading {
        let (reading, trust) = self.read_clocks();
        self.tick.look_again((reading.clone(), trust));
        reading
    }

    /// Why a lease could not be watched here.
    pub(super) fn unmeasured(&self, wanted: &Desired) -> Option<Refusal> {
        let terms = self.follower.mirror.state.lease(&wanted.lease)?.terms.as_ref()?;
        let measure = self.sources.as_deref().map(|sources| sources as &dyn Measure);
        unmeasurable(terms.gates.iter(), terms.thresholds.keys(), measure)
    }

    /// Why a halt that no person made has been left for too long: as the ledger says, or as we know of our own.
    pub(super) fn left_halted(&self, wanted: &Desired, applied: &Applied) -> Option<Refusal> {
        let lease = self.follower.mirror.state.lease(&wanted.lease)?;
        let now = self.tick.reading.now;
        let own = || resolve_by(lease, applied.halted?, &self.config.name, now);
        left_halted(lease, now).or_else(own)
    }

    /// Makes a stop of our own, with the evidence for it. It binds from now on; it is signed and written down once what it
    /// stops has been stopped.
    pub(super) fn stop(&mut self, lease: &LeaseId, kind: StopKind, why: &str, evidence: Option<Vec<u8>>) {
        let stop = self.follower.writer.own_stop(&self.follower.mirror.state, lease, kind, &in_one_line(why));
        if let Some(evidence) = evidence {
            self.evidence.insert(stop.statement.id(), evidence);
        }
        self.remembered.follower.stops.push(stop);
    }

    /// Signs the stops of our own that are not signed yet.
    pub(super) fn sign_stops(&mut self) -> Result<(), Refusal> {
        for stop in self.remembered.follower.stops.iter_mut().filter(|stop| stop.commit.is_none()) {
            let id = stop.statement.id();
            let evidence = self.evidence.get(&id).map(Vec::as_slice);
            stop.commit = Some(self.follower.writer.sign_stop(&self.follower.mirror, stop, evidence)?);
            self.evidence.remove(&id);
        }
        Ok(())
    }

    /// Makes a rollback of our own, because the lease's window closed.
    pub(super) fn expire(&mut self, wanted: &Desired, expired: RecordedEvent) {
        self.happened(expired);
        let why = format!("the lease's window closed at {}", wanted.expires);
        self.stop(&wanted.lease, StopKind::Rollback, &why, None);
    }
}
