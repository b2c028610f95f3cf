//! The coordinator: sets to work whatever can be done now, and takes up what has been done. It never waits for a target, a
//! metric, the remote, the clone, its disk, a key or a push; each of them says when it is done.
//!
//! A tick begins with what is known. Targets that are to be stopped are worked on at once. Every other target waits for its
//! metrics, and for the remote's answer; whatever comes to be known meanwhile has all targets looked at again. Forward moves
//! are the last: they are announced together, pushed, the remote is asked once more, and each is made if it still holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    follower::{
        Mode,
        clock::{Clock, Trust, doubted},
        fetching::Remote,
        follow::{Follower, FollowerConfig},
        records::RecordedEvent,
        writer::Taken,
    },
    ledger::EventKind,
    model::{Reason, Refusal, TargetId, policy::Role},
    sources::Sources,
};

use super::{
    ApplierReport, TargetReport,
    applier::{Agenda, Announced, Applier, CloneRead, IntentStage},
    clone_reader::CloneReader,
    config::ApplierConfig,
    findings::{Findings, OwnStop},
    following::Stopping,
    journal::Journal,
    publication::{Intended, Publication},
    service::Counters,
    state::ApplierState,
    stop_signal::StopSignal,
    tick::Tick,
    view::View,
    work::{self, ForwardMove, WorkOutcome},
    worker_pool::{WorkerPool, now},
};

/// How long a push may take: as long as the hook at the other end.
const PUSH_LIMIT: Duration = Duration::from_secs(60);
/// How long a single tick waits for what does not come back.
const TICK_LIMIT: Duration = Duration::from_secs(120);
/// How long ticks follow one another where something is being fetched that takes long.
const SLOW_LIMIT: Duration = Duration::from_secs(120);
/// How long they rest in between.
const SLOW_GLANCE: Duration = Duration::from_millis(200);
/// How long one forward move waits for others, so that they share a record and a push.
const GATHERING: Duration = Duration::from_millis(250);
/// How long a service that ends waits for what it is pushing.
const LAST_PUSH: Duration = Duration::from_secs(10);
/// How often a tick runs after our own ref.
const TRIES: u8 = 3;
/// How long a stop may take before it is said that it could not be carried out.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked whether something has been done.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

impl Applier {
    /// Opens the repository, the pinned root, the key and the lock. `unpinned` without a root.
    pub fn open(config: ApplierConfig, clock: Box<Clock>) -> Result<Self, Refusal> {
        let place = FollowerConfig {
            role: Role::Applier,
            name: config.name.clone(),
            key: config.key.clone(),
            repository: config.repository.clone(),
            remote: config.remote.clone(),
            root: config.root,
            push_limit: PUSH_LIMIT,
        };
        let (follower, mut remembered) = Follower::open(place, clock, ApplierState::new)?;
        remembered.follower.public = Some(follower.writer.public.clone());
        let (folder, clock) = (Arc::clone(&follower.folder), follower.clock());
        let interval = Duration::from_secs(config.interval.as_secs());
        let sources = config.metrics.as_ref().map(Sources::open).transpose()?.map(Arc::new);
        Ok(Self {
            targets: config.targets.keys().cloned().collect(),
            config: Arc::new(config),
            tick: Tick::new(clock(), Mode::DryRun, Trust::Doubted),
            journal: Journal::new(Arc::clone(&folder))?,
            follower: CloneReader::new(follower)?,
            folder,
            clock,
            remembered,
            sources,
            clone: CloneRead::NotYet,
            continues: false,
            remarks: Vec::new(),
            records: BTreeMap::new(),
            publishing: Publication::default(),
            counted: BTreeMap::new(),
            untold: Vec::new(),
            measured: BTreeMap::new(),
            interval,
            workers: WorkerPool::new(interval),
            meters: WorkerPool::new(interval),
            stop_signal: BTreeMap::new(),
            agenda: Agenda::default(),
            reports: BTreeMap::new(),
        })
    }

    /// One tick, and others as long as something is being fetched that takes long, for a limited time: the next process would
    /// begin to fetch it anew, and never have it.
    pub fn ticks(&mut self, mode: Mode) -> Result<ApplierReport, Refusal> {
        let until = now() + SLOW_LIMIT;
        loop {
            let report = self.tick(mode)?;
            if !self.follower.is_fetching() || now() > until {
                return Ok(report);
            }
            std::thread::sleep(SLOW_GLANCE);
        }
    }

    /// One tick, from its beginning to its end.
    pub fn tick(&mut self, mode: Mode) -> Result<ApplierReport, Refusal> {
        // Nothing comes after it: what takes longer than a look is waited for all the same, and not for ever.
        self.workers = WorkerPool::new(TICK_LIMIT);
        self.meters = WorkerPool::new(TICK_LIMIT);
        let until = now() + TICK_LIMIT;
        self.begin(mode);
        while !self.is_done() && now() < until {
            self.step();
            std::thread::sleep(GLANCE);
        }
        if matches!(self.clone, CloneRead::Failed(_)) {
            return self.outcome();
        }
        for _ in 0..TRIES {
            self.close();
            if self.finish_publishing(until) == Taken::AsPushed {
                break;
            }
            // Our ref is elsewhere than was known: it is looked where.
            self.ask_once_more();
            while self.agenda.answers > 0 && now() < until {
                self.welcome();
                self.ask();
                std::thread::sleep(GLANCE);
            }
        }
        Ok(self.report())
    }

    /// Waits until everything is written and pushed, but not for ever.
    fn finish_publishing(&mut self, until: Instant) -> Taken {
        let mut taken = Taken::AsPushed;
        while (self.is_publishing() || self.journal.is_busy()) && now() < until {
            self.welcome();
            if let Some(Ok(Taken::Elsewhere)) = self.published() {
                taken = Taken::Elsewhere;
            }
            std::thread::sleep(GLANCE);
        }
        taken
    }

    /// Publishes what is not published yet, as the last thing.
    pub(super) fn end(&mut self) {
        let until = now() + LAST_PUSH;
        self.finish_publishing(until);
        self.take_up();
        self.close();
        self.finish_publishing(until);
    }

    /// Begins a tick with what is known: the remote and the metrics are asked.
    pub(super) fn begin(&mut self, mode: Mode) {
        self.begin_with_what_is_known(mode);
        // A remote that takes longer than a tick answers in a later one: what was asked for is not asked for anew.
        if self.agenda.answers == 0 {
            self.ask_once_more();
        }
        self.agenda.tries = 0;
        // What was decided on is decided on again before it is made.
        let decided = |target: &&TargetId| self.agenda.forwards.iter().any(|forward| forward.target() == *target);
        let todo: Vec<_> = self.targets.iter().filter(|target| !decided(target)).cloned().collect();
        self.agenda.todo.extend(todo);
        self.agenda.unmeasured = true;
    }

    /// Asks metrics, once it is known for what.
    fn measure(&mut self) {
        if !self.agenda.unmeasured || self.clone != CloneRead::Once {
            return;
        }
        self.agenda.unmeasured = false;
        let (reading, mode, view) = (self.tick.reading.now, self.tick.mode, self.view());
        for (target, metering) in self.meterings(&view) {
            if !self.meters.has(&target) {
                let (measured, view) = (target.clone(), view.clone());
                let ask = move || view.with_recorded(&measured, metering).measure(&measured, reading, mode);
                self.meters.begin(target, Box::new(ask));
            }
        }
    }

    /// Takes up what has been done, and sets to work what can be. Nothing is waited for.
    pub(super) fn step(&mut self) {
        self.take_up();
        self.ask();
        self.measure();
        self.set_to_work();
        self.go_forward();
    }

    /// Takes up what targets, metrics and pushes came to.
    fn take_up(&mut self) {
        self.welcome();
        for (target, outcome) in self.workers.ended() {
            let report = match outcome.flatten() {
                Ok(WorkOutcome::Forward(forward)) => {
                    self.agenda.gathering.get_or_insert_with(now);
                    self.agenda.todo.remove(&target);
                    self.agenda.forwards.push(*forward);
                    continue;
                }
                Ok(WorkOutcome::Ready(forward)) => {
                    self.make(*forward);
                    continue;
                }
                Ok(WorkOutcome::Done(findings)) => {
                    self.take_findings(&target, *findings);
                    continue;
                }
                Ok(WorkOutcome::Idle) => {
                    self.records.remove(&target);
                    TargetReport::idle()
                }
                Err(refusal) => self.not_looked_at(&target, refusal, Stopping::Failed),
            };
            self.reports.insert(target, report);
        }
        for (target, outcome) in self.meters.ended() {
            match outcome {
                Ok(measured) => drop(self.measured.insert(target.clone(), Arc::new(measured))),
                Err(refusal) => self.remark(refusal),
            }
            self.agenda.todo.insert(target);
        }
        if let Some(outcome) = self.published() {
            self.is_published(outcome);
        }
    }

    /// Takes up what was found in the clone, and written down. What the first changes has every target looked at again.
    fn welcome(&mut self) {
        self.journal.take_up();
        let before = self.knowledge();
        let Some(news) = self.follower.take_back() else { return };
        if self.take_news(news) == Remote::Answered {
            self.agenda.answers = self.agenda.answers.saturating_sub(1);
            if self.agenda.answers > 0 {
                self.tick.asks_again();
            }
        }
        if self.knowledge() != before {
            self.agenda.todo.extend(self.targets.iter().cloned());
        }
    }

    /// Takes what was found and done at a target.
    fn take_findings(&mut self, target: &TargetId, findings: Findings) {
        let Findings { report, record, applied, events, evidence_files, remarks, stops } = findings;
        self.records.insert(target.clone(), record);
        self.reports.insert(target.clone(), report);
        // While it was worked on it may have been told already that a stop could not be carried out.
        let is_told = self.applied_to(target).unstopped.is_some();
        let again = |event: &RecordedEvent| is_told && event.event == EventKind::StopFailed.name();
        self.remembered.targets.insert(target.clone(), applied);
        for event in events.into_iter().filter(|event| !again(event)) {
            self.remembered.events.push(event.clone());
            self.count(event);
        }
        self.publishing.evidence_files.extend(evidence_files);
        for refusal in remarks {
            self.remark(refusal);
        }
        for OwnStop { stop, evidence } in stops {
            self.publishing.evidence.extend(evidence.map(|bytes| (stop.statement.id(), bytes)));
            self.remembered.follower.stops.push(stop);
        }
    }

    /// Counts what happened, and has the next report tell it.
    pub(super) fn count(&mut self, event: RecordedEvent) {
        *self.counted.entry(event.event.clone()).or_default() += 1;
        self.untold.push(event);
    }

    /// An intention that was pushed is looked at once more; one that was not comes to nothing.
    fn is_published(&mut self, outcome: Result<Taken, Refusal>) {
        let Some(announced) = self.agenda.announced.take_if(|announced| announced.stage == IntentStage::Publishing)
        else {
            return;
        };
        match outcome {
            Ok(Taken::AsPushed) => {
                self.agenda.announced = Some(Announced { stage: IntentStage::Asking, ..announced });
                self.ask_once_more();
            }
            // Once it is known where our ref is, they are decided on again; some other tick if it runs away.
            Ok(Taken::Elsewhere) if self.agenda.tries < TRIES => {
                self.agenda.tries += 1;
                self.agenda.todo.extend(announced.forwards.iter().map(|forward| forward.target().clone()));
                self.ask_once_more();
            }
            Ok(Taken::Elsewhere) => {
                let busy = self.follower.writer().busy();
                self.give_up(announced.forwards, &busy);
            }
            Err(refusal) => self.give_up(announced.forwards, &refusal),
        }
    }

    /// An answer that was on its way before does not count.
    fn ask_once_more(&mut self) {
        self.tick.asks_again();
        self.agenda.answers = 1 + u8::from(self.follower.is_waiting());
    }

    /// Asks the remote, or takes what it has answered. Nothing is followed before it is known what was accepted last.
    fn ask(&mut self) {
        if self.agenda.answers > 0 && self.clone == CloneRead::Once {
            self.poll();
        }
    }

    /// Sets to work on what is to be looked at, stops first. A target that is to be stopped waits for nothing.
    fn set_to_work(&mut self) {
        if self.agenda.todo.is_empty() {
            return;
        }
        let view = self.view();
        // Whoever may be served what was stopped waits behind nobody.
        let urgent = |target: &TargetId| view.is_to_be_stopped(target, &self.applied_to(target));
        let urgent: BTreeSet<TargetId> = self.agenda.todo.iter().filter(|target| urgent(target)).cloned().collect();
        for target in &urgent {
            if !self.workers.take_back(target)
                && let Some(stop_signal) = self.stop_signal.get(target)
            {
                stop_signal.raise();
            }
        }
        let free = |target: &&TargetId| !self.workers.has(target);
        let mut targets: Vec<TargetId> = self.agenda.todo.iter().filter(free).cloned().collect();
        if targets.is_empty() {
            return;
        }
        let stops = |target: &TargetId| {
            let measured = self.measured.get(target).is_some_and(|measured| measured.stops());
            measured || view.is_stopped(target, &self.applied_to(target))
        };
        targets.retain(|target| stops(target) || (self.agenda.answers == 0 && !self.meters.expects(target)));
        targets.sort_by_cached_key(|target| !stops(target));
        if let Some(announced) = &self.agenda.announced {
            targets.retain(|target| stops(target) || announced.forwards.iter().all(|one| one.target() != target));
        }
        // What is looked at anew is decided on anew.
        let keeps = |forward: &ForwardMove| !targets.contains(forward.target());
        self.agenda.forwards.retain(keeps);
        if let Some(announced) = &mut self.agenda.announced {
            announced.forwards.retain(keeps);
        }
        self.note_expiries(&view, &targets);
        let view = self.view();
        for target in targets {
            self.agenda.todo.remove(&target);
            if let Err(refusal) = self.looks_after(&view, &target) {
                self.records.remove(&target);
                self.reports.insert(target, TargetReport::held(refusal));
                continue;
            }
            let (view, applied) =
                (View { stop_signal: StopSignal::default(), ..view.clone() }, self.applied_to(&target));
            self.stop_signal.insert(target.clone(), view.stop_signal.clone());
            let (measured, looked_at) = (self.measured.get(&target).cloned(), target.clone());
            let at_once = urgent.contains(&target);
            let task = Box::new(move || work::look_after(view, &looked_at, applied, measured));
            if at_once {
                self.workers.begin_at_once(target, task);
            } else {
                self.workers.begin(target, task);
            }
        }
    }

    /// Intends forward moves that were decided on, and makes those that were announced, once the remote has answered again.
    fn go_forward(&mut self) {
        if self.agenda.answers > 0 {
            return;
        }
        if let Some(announced) = self.agenda.announced.take_if(|announced| announced.stage == IntentStage::Asking) {
            for forward in announced.forwards {
                self.workers.begin(forward.target().clone(), Box::new(move || Ok(forward.look_again())));
            }
        }
        if self.agenda.forwards.is_empty() {
            self.agenda.gathering = None;
            return;
        }
        let to_come = |target: &TargetId| self.agenda.todo.contains(target) && !self.workers.has(target);
        let others = self.targets.iter().any(|target| to_come(target) || self.workers.expects(target));
        let gathered = !others || self.agenda.gathering.is_none_or(|since| since.elapsed() >= GATHERING);
        if !gathered || self.agenda.announced.is_some() || self.is_publishing() || self.follower.is_away() {
            return;
        }
        self.agenda.gathering = None;
        let (mut forwards, mut intended) = (std::mem::take(&mut self.agenda.forwards), Intended::default());
        for forward in &mut forwards {
            let findings = forward.intend(&mut intended);
            self.take_findings(&forward.target().clone(), findings);
        }
        self.intend(intended);
        self.agenda.announced = Some(Announced { forwards, stage: IntentStage::Publishing });
    }

    /// Has a forward move made whose target has been looked at once more, if what is known now still leads to it.
    fn make(&mut self, mut forward: ForwardMove) {
        let target = forward.target().clone();
        let measured = self.measured.get(&target).cloned();
        if forward.is_still_decided(self.view(), measured) {
            self.workers.begin(target, Box::new(move || Ok(forward.make())));
        } else {
            self.workers.begin(target, Box::new(move || Ok(forward.decide_anew())));
        }
    }

    /// Says of forward moves why they may not be made.
    fn give_up(&mut self, forwards: Vec<ForwardMove>, why: &Refusal) {
        for forward in forwards {
            let why = why.clone();
            self.workers.begin(forward.target().clone(), Box::new(move || Ok(forward.give_up(why))));
        }
    }

    /// Whether there is nothing more to do in this tick but to publish what came of it.
    pub(super) fn is_done(&self) -> bool {
        if matches!(self.clone, CloneRead::Failed(_)) {
            return true;
        }
        let tick = &self.agenda;
        // One that hangs is not waited for: its target is reported as it is.
        let working = self.workers.away().any(|target| self.workers.expects(target));
        let hangs = |target: &TargetId| self.workers.has(target) && !self.workers.expects(target);
        let todo = tick.todo.iter().any(|target| !hangs(target));
        let measuring = self.meters.away().any(|target| self.meters.expects(target));
        let asking = tick.answers > 0 || self.follower.is_away();
        !todo && !working && !measuring && !asking && tick.forwards.is_empty() && tick.announced.is_none()
    }

    /// Says of the targets that have not answered for too long that they have not.
    pub(super) fn report_timed_out(&mut self) {
        for target in self.targets.clone() {
            let Some(since) = self.workers.away_for(&target) else { continue };
            if self.workers.hangs(&target) || !self.reports.contains_key(&target) {
                let message = format!("target {target} has not answered yet, and is not waited for");
                let stopping = if since < STOP_LIMIT { Stopping::UnderWay } else { Stopping::Failed };
                let report = self.not_looked_at(&target, Refusal::new(Reason::NoData, message), stopping);
                self.reports.insert(target, report);
            }
        }
    }

    /// What the tick came to; an error where nothing could be known.
    pub(super) fn outcome(&mut self) -> Result<ApplierReport, Refusal> {
        match &self.clone {
            CloneRead::Failed(refusal) => Err(refusal.clone()),
            CloneRead::NotYet | CloneRead::Once => Ok(self.report()),
        }
    }

    /// What the tick saw and did so far.
    pub(super) fn report(&mut self) -> ApplierReport {
        let mut unwritten = self.unwritten();
        unwritten.retain(|refusal| !self.remarks.contains(refusal));
        let put_off =
            self.agenda.announced.iter().flat_map(|announced| &announced.forwards).chain(&self.agenda.forwards);
        let put_off = put_off.map(|forward| (forward.target().clone(), forward.put_off()));
        ApplierReport {
            ledger: self.follower.known().state.tip(),
            targets: self.reports.clone().into_iter().chain(put_off).collect(),
            remarks: self.remarks.iter().chain(&unwritten).cloned().collect(),
            beside: self.publishing.beside.as_ref().map(|beside| beside.why.clone()),
            clock: (self.tick.trust == Trust::Doubted).then(doubted),
            events: std::mem::take(&mut self.untold),
        }
    }

    /// Whether something is under way that says when it is done.
    pub(super) fn is_busy(&self) -> bool {
        self.agenda.answers > 0
            || self.workers.away().next().is_some()
            || self.meters.away().next().is_some()
            || self.is_publishing()
            || self.follower.is_away()
            || self.journal.is_busy()
    }

    /// How long to wait from one look to the next.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Health counters, beside what the last tick's report says.
    pub(super) fn counters(&self) -> Counters {
        let fetched = self.remembered.follower.fetched.as_ref().map(|reading| reading.now);
        let unwritten = self.follower.known().unwritten().is_some() || !self.unwritten().is_empty();
        Counters { now: self.tick.reading.now, fetched, events: self.counted.clone(), unwritten }
    }
}
