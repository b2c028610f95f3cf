//! One tick of an applier: stops first, then fetch, verify, fold, observe, decide, act, observe again, record.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;

use crate::{
    gate::sources::Sources,
    git::{Repository, SigningKey},
    model::{LeaseId, Oid, Reason, Refusal, TargetId, policy::Role},
};

use super::{
    config::Config,
    crew::{Crew, Task},
    decide::{Decision, Desired, Doing},
    journal::{Desk, Journal},
    office::{Clock, Office, enter},
    publish::Writer,
    service::Vitals,
    source::Source,
    target::{self, Seen},
    work::{self, Forward, Outcome},
};

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
    /// A target at which a stop could not be carried out, and why.
    pub fn unstopped(&self) -> Option<(&TargetId, Refusal)> {
        let (target, seen) = self.targets.iter().find(|(_, target)| target.doing == Doing::StopFailed.word())?;
        let why = || Refusal::new(Reason::Drift, "the stop could not be carried out");
        Some((target, seen.reason.clone().unwrap_or_else(why)))
    }

    /// Whether a rollback failed, which nobody should overlook.
    pub fn rollback_failed(&self) -> bool {
        self.targets.values().any(|target| target.doing == Doing::RollbackFailed.word())
    }

    /// Whether a rollback is neither verified nor failed yet.
    pub fn is_rolling_back(&self) -> bool {
        self.targets.values().any(|target| target.doing == Doing::RollingBack.word())
    }
}

/// How long a push may take: as long as the hook at the other end.
const PUSH_LIMIT: Duration = Duration::from_secs(60);

/// An applier at its desk.
pub struct Applier {
    office: Arc<Mutex<Office>>,
    interval: Duration,
    targets: Vec<TargetId>,
    crew: Crew<Done>,
}

/// What a crew hands over.
type Done = Result<Outcome, Refusal>;

impl Applier {
    /// Takes its place: the repository, the pinned root, the key, the lock. `unpinned` without a root.
    pub fn open(config: Config, clock: Box<Clock>) -> Result<Self, Refusal> {
        let refused = |error: crate::git::GitError| error.refusal();
        let repository = match &config.repository {
            Some(path) => Repository::open(path),
            None => Repository::discover(),
        };
        let repository = repository.map_err(refused)?.with_patience(PUSH_LIMIT);
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
        let desk = Desk::open(repository.common_dir(), Role::Applier, &config.name)?;
        let journal = desk.load()?.unwrap_or_else(|| Journal::new(root));
        if journal.root != root {
            let message = format!("the journal here belongs to root {}, the pinned one is {root}", journal.root);
            return Err(Refusal::new(Reason::Unpinned, message).hint("move the journal away to begin anew"));
        }
        let source = Source::open(repository, config.remote.clone(), root, &config.name)?;
        let writer = Writer::new(config.name.clone(), key, public);
        let interval = Duration::from_secs(config.interval.as_secs());
        let targets = config.targets.keys().cloned().collect();
        let sources = config.metrics.as_ref().map(Sources::open).transpose()?;
        let office = Office::new(config, clock, desk, journal, source, writer, sources);
        Ok(Self { office: Arc::new(Mutex::new(office)), interval, targets, crew: Crew::new() })
    }

    /// One tick.
    pub fn tick(&mut self, mode: Mode) -> Result<Report, Refusal> {
        self.tick_with(mode, None)
    }

    /// One tick that waits for no target longer than `patience`.
    fn tick_with(&mut self, mode: Mode, patience: Option<Duration>) -> Result<Report, Refusal> {
        enter(&self.office)?.begin(mode)?;
        let mut targets = BTreeMap::new();
        let mut forwards = self.stop_what_is_ill(&mut targets, patience)?;
        enter(&self.office)?.ask();
        let outcomes = self.crew.run(self.to_look_after(&forwards)?, patience);
        forwards.extend(self.sort(outcomes, &mut targets)?);
        if !forwards.is_empty() {
            self.leave_behind(&mut targets)?;
            let may = work::intend(&self.office, &mut forwards);
            let make = |forward: Forward| -> (TargetId, Task<_>) {
                let may = may.clone();
                (forward.target().clone(), Box::new(move || forward.make(may)))
            };
            let outcomes = self.crew.run(forwards.into_iter().map(make).collect(), patience);
            for forward in self.sort(outcomes, &mut targets)? {
                targets.insert(forward.target().clone(), forward.put_off());
            }
        }
        self.leave_behind(&mut targets)?;
        let mut office = enter(&self.office)?;
        office.close();
        Ok(Report { ledger: office.source.state.tip(), targets, remarks: office.tick.remarks.clone() })
    }

    /// Metrics are looked at before the repository is asked, which may take long: what they stop is stopped at once. What
    /// would go forward is what was left behind earlier, and has been decided on since.
    fn stop_what_is_ill(
        &mut self,
        targets: &mut BTreeMap<TargetId, TargetReport>,
        patience: Option<Duration>,
    ) -> Result<Vec<Forward>, Refusal> {
        let watched = enter(&self.office)?.watched();
        let task = |target: TargetId| -> (TargetId, Task<Done>) {
            let (office, ill) = (Arc::clone(&self.office), target.clone());
            (target, Box::new(move || work::stop_if_ill(&office, &ill)))
        };
        let tasks = watched.into_iter().filter(|target| !self.crew.away().contains(target)).map(task).collect();
        let outcomes = self.crew.run(tasks, patience);
        self.sort(outcomes, targets)
    }

    /// What there is to look after, stops first. A target that is still being worked on is not among it, nor one that has
    /// been looked after and would go forward.
    fn to_look_after(&self, forwards: &[Forward]) -> Result<Vec<(TargetId, Task<Done>)>, Refusal> {
        let office = enter(&self.office)?;
        let taken = |target: &TargetId| {
            self.crew.away().contains(target) || forwards.iter().any(|forward| forward.target() == target)
        };
        let mut targets: Vec<&TargetId> = self.targets.iter().filter(|target| !taken(target)).collect();
        targets.sort_by_cached_key(|target| !office.is_stopped(target));
        let task = |target: &TargetId| -> (TargetId, Task<Done>) {
            let (office, target) = (Arc::clone(&self.office), target.clone());
            (target.clone(), Box::new(move || work::look_after(&office, &target)))
        };
        Ok(targets.into_iter().map(task).collect())
    }

    /// Takes up what has been done; what would go forward comes back.
    fn sort(
        &self,
        outcomes: Vec<(TargetId, Result<Done, Refusal>)>,
        targets: &mut BTreeMap<TargetId, TargetReport>,
    ) -> Result<Vec<Forward>, Refusal> {
        let mut office = enter(&self.office)?;
        let mut forwards = Vec::new();
        for (target, outcome) in outcomes {
            let report = match outcome.flatten() {
                Ok(Outcome::Forward(forward)) => {
                    forwards.push(*forward);
                    continue;
                }
                Ok(Outcome::Done(done)) => {
                    let (report, record) = *done;
                    office.tick.records.insert(target.clone(), record);
                    report
                }
                Ok(Outcome::Idle) => TargetReport::idle(),
                Err(refusal) => TargetReport::held(refusal),
            };
            targets.insert(target, report);
        }
        Ok(forwards)
    }

    /// Says of the targets that have not answered that they have not.
    fn leave_behind(&self, targets: &mut BTreeMap<TargetId, TargetReport>) -> Result<(), Refusal> {
        let mut office = enter(&self.office)?;
        for target in self.crew.away() {
            targets.insert(target.clone(), office.left_behind(target));
        }
        Ok(())
    }

    /// One tick of many: a target that takes longer than from one tick to the next is left behind.
    pub(super) fn tick_as_service(&mut self) -> Result<Report, Refusal> {
        self.tick_with(Mode::Act, Some(self.interval))
    }

    /// How long to wait from one look to the next.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// How it goes, beside what the last tick's report says.
    pub(super) fn vitals(&self) -> Option<Vitals> {
        enter(&self.office).ok().map(|office| office.vitals())
    }

    /// Whether it can go on. Where somebody panicked while nobody else could come in, every tick from now on fails.
    pub(super) fn is_sound(&self) -> Result<(), Refusal> {
        enter(&self.office).map(drop)
    }

    /// Whether the last tick came to know more after it had looked after the targets: then the next one is due.
    pub(super) fn was_overtaken(&self) -> bool {
        enter(&self.office).is_ok_and(|office| office.tick.overtaken)
    }
}

impl TargetReport {
    /// Nothing ever started there.
    pub(super) fn idle() -> Self {
        Self {
            lease: None,
            desired_bp: 0,
            observed_bp: None,
            observed_lease: None,
            doing: Doing::Holding.word().to_owned(),
            reason: None,
        }
    }

    /// Nothing could be found out about it.
    pub(super) fn held(refusal: Refusal) -> Self {
        Self { reason: Some(refusal), ..Self::idle() }
    }

    pub(super) fn of(wanted: &Desired, seen: &Seen, decision: &Decision, mode: Mode) -> Self {
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
            reason: target::reason(decision, seen),
        }
    }
}
