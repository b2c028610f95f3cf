//! The coordinator: sets to work whatever can be done now, and takes up what has been done. It never waits for a target, a
//! metric, the remote or a push; each of them says when it is done.
//!
//! A tick begins with what is known. Targets that are to be stopped are worked on at once. Every other target waits for its
//! metrics, and for the remote's answer; whatever comes to be known meanwhile has all targets looked at again. Forward moves
//! are the last: they are intended together, pushed, the remote is asked once more, and each is made if it still holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    follower::{
        Mode,
        clock::{Clock, doubted},
        fetching::Remote,
        follow::{Follower, Place},
        writer::Taken,
    },
    sources::Sources,
    model::{Refusal, TargetId, policy::Role},
};

use super::{
    Report, TargetReport,
    config::Config,
    office::{Office, enter},
    service::Counters,
    state::ApplierState,
    watching::Measured,
    work::{self, Forward, Outcome},
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
/// How often it is looked whether something has been done.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// What a worker hands over.
type Done = Result<Outcome, Refusal>;

/// An applier.
pub struct Applier {
    office: Arc<Mutex<Office>>,
    interval: Duration,
    targets: Vec<TargetId>,
    workers: WorkerPool<Done>,
    meters: WorkerPool<Measured>,
    tick: Ticking,
    /// What was said of each target last.
    said: BTreeMap<TargetId, TargetReport>,
}

/// Where a tick is.
struct Ticking {
    mode: Mode,
    /// The targets that are still to be looked at.
    todo: BTreeSet<TargetId>,
    /// How many answers of the remote are to come: one that was asked before the tick began does not count.
    answers: u8,
    /// Forward moves that were decided on, and since when there are any.
    forwards: Vec<Forward>,
    gathering: Option<Instant>,
    /// How often our own ref was run after.
    tries: u8,
    intended: Option<Intended>,
}

/// Forward moves that were intended.
struct Intended {
    forwards: Vec<Forward>,
    stage: Stage,
}

/// How far an intention is.
#[derive(PartialEq, Eq)]
enum Stage {
    /// It is being pushed.
    Pushing,
    /// The remote is asked once more.
    Asking,
}

impl Applier {
    /// Takes its place: the repository, the pinned root, the key, the lock. `unpinned` without a root.
    pub fn open(config: Config, clock: Box<Clock>) -> Result<Self, Refusal> {
        let place = Place {
            role: Role::Applier,
            name: config.name.clone(),
            key: config.key.clone(),
            repository: config.repository.clone(),
            remote: config.remote.clone(),
            root: config.root,
            push_limit: PUSH_LIMIT,
        };
        let (follower, remembered) = Follower::open(place, clock, ApplierState::new)?;
        let interval = Duration::from_secs(config.interval.as_secs());
        let targets = config.targets.keys().cloned().collect();
        let sources = config.metrics.as_ref().map(Sources::open).transpose()?;
        let office = Office::new(config, follower, remembered, sources);
        let tick = Ticking {
            mode: Mode::DryRun,
            todo: BTreeSet::new(),
            answers: 0,
            forwards: Vec::new(),
            gathering: None,
            tries: 0,
            intended: None,
        };
        Ok(Self {
            office: Arc::new(Mutex::new(office)),
            interval,
            targets,
            workers: WorkerPool::new(interval),
            meters: WorkerPool::new(interval),
            tick,
            said: BTreeMap::new(),
        })
    }

    /// One tick, and others as long as something is being fetched that takes long, for a limited time: the next process would
    /// begin to fetch it anew, and never have it.
    pub fn ticks(&mut self, mode: Mode) -> Result<Report, Refusal> {
        let until = now() + SLOW_LIMIT;
        loop {
            let report = self.tick(mode)?;
            if !enter(&self.office)?.follower.mirror.is_fetching() || now() > until {
                return Ok(report);
            }
            std::thread::sleep(SLOW_GLANCE);
        }
    }

    /// One tick, from its beginning to its end.
    pub fn tick(&mut self, mode: Mode) -> Result<Report, Refusal> {
        // Nothing comes after it: what takes longer than a look is waited for all the same, and not for ever.
        self.workers = WorkerPool::new(TICK_LIMIT);
        self.meters = WorkerPool::new(TICK_LIMIT);
        let until = now() + TICK_LIMIT;
        self.begin(mode)?;
        while !self.is_done() && now() < until {
            self.step()?;
            std::thread::sleep(GLANCE);
        }
        for _ in 0..TRIES {
            self.close()?;
            if self.finish_pushing(until)? == Taken::AsPushed {
                break;
            }
            // Our ref is elsewhere than was known: it is looked where.
            self.ask_once_more(&mut *enter(&Arc::clone(&self.office))?);
            while self.tick.answers > 0 && now() < until {
                self.ask()?;
                std::thread::sleep(GLANCE);
            }
        }
        self.report()
    }

    /// Waits until everything is pushed, but not for ever.
    fn finish_pushing(&mut self, until: Instant) -> Result<Taken, Refusal> {
        let mut taken = Taken::AsPushed;
        while enter(&self.office)?.is_pushing() && now() < until {
            if let Some(Ok(Taken::Elsewhere)) = enter(&self.office)?.pushed() {
                taken = Taken::Elsewhere;
            }
            std::thread::sleep(GLANCE);
        }
        Ok(taken)
    }

    /// Publishes what is not published yet, as the last thing.
    pub(super) fn end(&mut self) -> Result<(), Refusal> {
        let until = now() + LAST_PUSH;
        self.finish_pushing(until)?;
        self.take_up()?;
        self.close()?;
        self.finish_pushing(until).map(drop)
    }

    /// Begins a tick with what is known: the remote and the metrics are asked.
    pub(super) fn begin(&mut self, mode: Mode) -> Result<(), Refusal> {
        let mut office = enter(&self.office)?;
        office.begin(mode)?;
        self.tick.mode = mode;
        self.tick.answers = 1 + u8::from(office.follower.mirror.is_waiting());
        self.tick.tries = 0;
        // What was decided on is decided on again before it is made.
        let decided = |target: &&TargetId| self.tick.forwards.iter().any(|forward| forward.target() == *target);
        let todo: Vec<_> = self.targets.iter().filter(|target| !decided(target)).cloned().collect();
        self.tick.todo.extend(todo);
        let reading = office.tick.reading.now;
        let meterings = office.meterings();
        for (target, metering) in meterings {
            if !self.meters.has(&target) {
                let measured = target.clone();
                self.meters.begin(target, Box::new(move || metering.measure(&measured, reading, mode)));
            }
        }
        Ok(())
    }

    /// Takes up what has been done, and sets to work what can be. Nothing is waited for.
    pub(super) fn step(&mut self) -> Result<(), Refusal> {
        self.take_up()?;
        self.ask()?;
        self.set_to_work()?;
        self.go_forward()
    }

    /// Takes up what targets, metrics and pushes came to.
    fn take_up(&mut self) -> Result<(), Refusal> {
        let ended = self.workers.ended();
        let office = Arc::clone(&self.office);
        let mut office = enter(&office)?;
        for (target, outcome) in ended {
            let report = match outcome.flatten() {
                Ok(Outcome::Forward(forward)) => {
                    self.tick.gathering.get_or_insert_with(now);
                    self.tick.todo.remove(&target);
                    self.tick.forwards.push(*forward);
                    continue;
                }
                Ok(Outcome::Done(done)) => {
                    let (report, record) = *done;
                    office.tick.records.insert(target.clone(), record);
                    report
                }
                Ok(Outcome::Idle) => {
                    office.tick.records.remove(&target);
                    TargetReport::idle()
                }
                Err(refusal) => {
                    office.tick.records.remove(&target);
                    TargetReport::held(refusal)
                }
            };
            self.said.insert(target, report);
        }
        for (target, outcome) in self.meters.ended() {
            match outcome {
                Ok(measured) => drop(office.measured(target.clone(), measured)),
                Err(refusal) => office.tick.remark(refusal),
            }
            self.tick.todo.insert(target);
        }
        if let Some(outcome) = office.pushed() {
            self.is_pushed(&mut office, outcome);
        }
        Ok(())
    }

    /// An intention that was pushed is looked at once more; one that was not comes to nothing.
    fn is_pushed(&mut self, office: &mut Office, outcome: Result<Taken, Refusal>) {
        let Some(intended) = self.tick.intended.take_if(|intended| intended.stage == Stage::Pushing) else { return };
        match outcome {
            Ok(Taken::AsPushed) => {
                self.tick.intended = Some(Intended { stage: Stage::Asking, ..intended });
                self.ask_once_more(office);
            }
            // Once it is known where our ref is, they are decided on again; some other tick if it runs away.
            Ok(Taken::Elsewhere) if self.tick.tries < TRIES => {
                self.tick.tries += 1;
                self.tick.todo.extend(intended.forwards.iter().map(|forward| forward.target().clone()));
                self.ask_once_more(office);
            }
            Ok(Taken::Elsewhere) => self.make(intended.forwards, &Err(office.follower.writer.busy())),
            Err(refusal) => self.make(intended.forwards, &Err(refusal)),
        }
    }

    fn ask_once_more(&mut self, office: &mut Office) {
        office.tick.asks_again();
        self.tick.answers = 1 + u8::from(office.follower.mirror.is_waiting());
    }

    /// Takes what the remote has answered. What that changes has every target looked at again.
    fn ask(&mut self) -> Result<(), Refusal> {
        if self.tick.answers == 0 {
            return Ok(());
        }
        let mut office = enter(&self.office)?;
        let before = office.knowledge();
        if office.ask() == Remote::Answered {
            self.tick.answers -= 1;
            if self.tick.answers > 0 {
                office.tick.asks_again();
            }
        }
        if office.knowledge() != before {
            self.tick.todo.extend(self.targets.iter().cloned());
        }
        Ok(())
    }

    /// Sets to work on what is to be looked at, stops first. A target that is to be stopped waits for nothing.
    fn set_to_work(&mut self) -> Result<(), Refusal> {
        let office = enter(&self.office)?;
        let free = |target: &&TargetId| !self.workers.has(target);
        let mut targets: Vec<TargetId> = self.tick.todo.iter().filter(free).cloned().collect();
        let stops =
            |target: &TargetId| office.is_stopped(target) || office.last_measured(target).is_some_and(Measured::stops);
        targets.retain(|target| stops(target) || (self.tick.answers == 0 && !self.meters.expects(target)));
        targets.sort_by_cached_key(|target| !stops(target));
        // What is looked at anew is decided on anew.
        let keeps = |forward: &Forward| !targets.contains(forward.target());
        self.tick.forwards.retain(keeps);
        if let Some(intended) = &mut self.tick.intended {
            targets.retain(|target| stops(target) || intended.forwards.iter().all(|one| one.target() != target));
            intended.forwards.retain(|forward| !targets.contains(forward.target()));
        }
        drop(office);
        for target in targets {
            self.tick.todo.remove(&target);
            let (office, looked_at) = (Arc::clone(&self.office), target.clone());
            self.workers.begin(target, Box::new(move || work::look_after(&office, &looked_at)));
        }
        Ok(())
    }

    /// Intends forward moves that were decided on, and makes those that were intended, once the remote has answered again.
    fn go_forward(&mut self) -> Result<(), Refusal> {
        if self.tick.answers > 0 {
            return Ok(());
        }
        if let Some(intended) = self.tick.intended.take_if(|intended| intended.stage == Stage::Asking) {
            self.make(intended.forwards, &Ok(()));
        }
        if self.tick.forwards.is_empty() {
            self.tick.gathering = None;
            return Ok(());
        }
        let to_come = |target: &TargetId| self.tick.todo.contains(target) && !self.workers.has(target);
        let others = self.targets.iter().any(|target| to_come(target) || self.workers.expects(target));
        let gathered = !others || self.tick.gathering.is_none_or(|since| since.elapsed() >= GATHERING);
        let office = Arc::clone(&self.office);
        let mut office = enter(&office)?;
        if !gathered || self.tick.intended.is_some() || office.is_pushing() {
            return Ok(());
        }
        let mut forwards = std::mem::take(&mut self.tick.forwards);
        self.tick.gathering = None;
        match work::intend(&mut office, &mut forwards) {
            Ok(()) if office.is_pushing() => self.tick.intended = Some(Intended { forwards, stage: Stage::Pushing }),
            Ok(()) => {
                // Without a remote nobody else could see it.
                self.tick.intended = Some(Intended { forwards, stage: Stage::Asking });
                self.ask_once_more(&mut office);
            }
            Err(refusal) => self.make(forwards, &Err(refusal)),
        }
        Ok(())
    }

    /// Has forward moves made that may be, or says why they may not.
    fn make(&mut self, forwards: Vec<Forward>, may: &Result<(), Refusal>) {
        for forward in forwards {
            let may = may.clone();
            self.workers.begin(forward.target().clone(), Box::new(move || forward.make(may)));
        }
    }

    /// Whether there is nothing more to do in this tick but to publish what came of it.
    pub(super) fn is_done(&self) -> bool {
        let tick = &self.tick;
        // One that hangs is not waited for: its target is reported as it is.
        let working = self.workers.away().any(|target| self.workers.expects(target));
        let hangs = |target: &TargetId| self.workers.has(target) && !self.workers.expects(target);
        let todo = tick.todo.iter().any(|target| !hangs(target));
        let measuring = self.meters.away().any(|target| self.meters.expects(target));
        !todo && !working && !measuring && tick.answers == 0 && tick.forwards.is_empty() && tick.intended.is_none()
    }

    /// Publishes what came of the tick so far.
    pub(super) fn close(&mut self) -> Result<(), Refusal> {
        self.leave_behind()?;
        enter(&self.office)?.close();
        Ok(())
    }

    /// Says of the targets that have not answered for too long that they have not.
    fn leave_behind(&mut self) -> Result<(), Refusal> {
        let mut office = enter(&self.office)?;
        for target in self.targets.iter().filter(|target| self.workers.has(target)) {
            if !self.workers.expects(target) || !self.said.contains_key(target) {
                self.said.insert(target.clone(), office.left_behind(target));
            }
        }
        Ok(())
    }

    /// What the tick saw and did so far.
    pub(super) fn report(&self) -> Result<Report, Refusal> {
        let mut office = enter(&self.office)?;
        let put_off = self.tick.intended.iter().flat_map(|intended| &intended.forwards).chain(&self.tick.forwards);
        let put_off = put_off.map(|forward| (forward.target().clone(), forward.put_off()));
        let targets = self.said.clone().into_iter().chain(put_off).collect();
        let (ledger, remarks) = (office.follower.mirror.state.tip(), office.tick.remarks.clone());
        let beside = office.beside.as_ref().map(|beside| beside.why.clone());
        let clock = (!office.tick.trusted).then(doubted);
        Ok(Report { ledger, targets, remarks, beside, clock, events: office.untold() })
    }

    /// Whether something is under way that says when it is done.
    pub(super) fn is_busy(&self) -> bool {
        self.tick.answers > 0
            || self.workers.away().next().is_some()
            || self.meters.away().next().is_some()
            || enter(&self.office).is_ok_and(|office| office.is_pushing())
    }

    /// How long to wait from one look to the next.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// How it goes, beside what the last tick's report says.
    pub(super) fn counters(&self) -> Option<Counters> {
        enter(&self.office).ok().map(|office| office.counters())
    }

    /// Whether it can go on. Where somebody panicked while nobody else could come in, every tick from now on fails.
    pub(super) fn is_sound(&self) -> Result<(), Refusal> {
        enter(&self.office).map(drop)
    }
}
