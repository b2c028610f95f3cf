//! Knowledge of the coordinator: it follows the repository, and tells others by views. Nothing here waits for the
//! remote.

use std::sync::Arc;

use crate::{
    follower::{
        Mode,
        clock::{Bake, Trust},
        fetching::Remote,
        follow::{Followed, Follower},
        records::Doing,
        state::FollowerState,
    },
    ledger::EventKind,
    model::{LeaseId, Oid, Refusal, TargetId},
};

use super::{
    Applier, TargetReport,
    applied::Applied,
    applier::CloneRead,
    clone_reader::{CloneAnswer, CloneNews, CloneTask},
    decision::Desired,
    stop_signal::StopSignal,
    target,
    tick::Tick,
    view::View,
    watching::Metering,
};

/// How far a stop is of which nothing has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopping {
    /// It may still be carried out.
    UnderWay,
    /// It could not be, or takes too long.
    Failed,
}

impl Applier {
    /// Begins a tick with what is known already. That the clone is looked at, and the remote asked, is waited for by nobody.
    pub(super) fn begin_with_what_is_known(&mut self, mode: Mode) {
        self.look_at_clocks(mode);
        self.remarks.clear();
        self.continues = false;
        if let Err(refusal) = self.folder.can_be_written() {
            self.block(refusal);
        }
        self.follower.lend(CloneTask::Begin, &self.remembered.follower, mode);
    }

    /// What is known now.
    pub(super) fn view(&self) -> View {
        let (known, writer) = (self.follower.known(), self.follower.writer());
        View {
            config: Arc::clone(&self.config),
            ledger: Arc::clone(&known.state),
            stops: Arc::new(self.remembered.follower.stops.clone()),
            expired: self.remembered.expired.clone(),
            tick: self.tick.clone(),
            key: writer.public.raw(),
            clock: Arc::clone(&self.clock),
            believed: self.remembered.follower.clock.clone(),
            sources: self.sources.clone(),
            folder: self.folder.path().to_owned(),
            repository: known.repository.clone(),
            own_tip: writer.tip(known),
            stop_signal: StopSignal::default(),
        }
    }

    /// Nothing goes forward in this tick any more, and it is said why.
    pub(super) fn block(&mut self, refusal: Refusal) {
        self.tick.block(refusal.clone());
        self.remark(refusal);
    }

    /// Says something, once.
    pub(super) fn remark(&mut self, refusal: Refusal) {
        if !self.remarks.contains(&refusal) {
            self.remarks.push(refusal);
        }
    }

    /// Asks the remote, or takes what it has answered, and has that followed; never waits.
    pub(super) fn poll(&mut self) {
        let Some(task) = self.follower.poll() else { return };
        if matches!(task, CloneTask::Follow(Some(Ok(())))) {
            self.remembered.follower.fetched = Some(self.tick.reading.clone());
        }
        self.follower.lend(task, &self.remembered.follower, self.tick.mode);
    }

    /// Takes up what was found in the clone; whether that is what the remote answered. What cannot be known blocks forward
    /// moves, and nothing else.
    pub(super) fn take_news(&mut self, news: CloneNews) -> Remote {
        let CloneNews { state, handed_over, found } = news;
        let (followed, answer, own) = match found {
            CloneAnswer::Begun(begun) => {
                self.is_begun(begun);
                return Remote::Asked;
            }
            CloneAnswer::Followed { followed, answer, own } => (followed, answer, own),
        };
        let remembered = &mut self.remembered.follower;
        // Stops of our own that were made meanwhile.
        let made = remembered.stops.split_off(handed_over.min(remembered.stops.len()));
        let FollowerState { accepted, stops, searched, .. } = state;
        (remembered.accepted, remembered.stops, remembered.searched) = (accepted, stops, searched);
        remembered.stops.extend(made);
        let Followed { blockers, remarks, continues } = followed;
        self.continues = continues;
        let not_reached = answer.as_ref().and_then(|answer| answer.as_ref().err()).map(Follower::not_reached);
        for refusal in not_reached.into_iter().chain(blockers).chain(own) {
            self.block(refusal);
        }
        for refusal in remarks {
            self.remark(refusal);
        }
        if answer.is_none() {
            return Remote::Asked;
        }
        let stale = Follower::stale(&self.remembered.follower, &self.tick.reading, self.config.max_staleness);
        if let Some(refusal) = stale {
            self.tick.blockers.insert(0, refusal);
        }
        self.tick.is_answered();
        Remote::Answered
    }

    /// The clone was looked at. One that cannot be read any more keeps no stop that is known from traffic; a process that never
    /// could read it knows of none. What a process before this one had recorded, and not written down, is not recorded again.
    fn is_begun(&mut self, begun: Result<(), Refusal>) {
        match begun {
            Ok(()) => {
                self.clone = CloneRead::Once;
                if let Some(last) = self.follower.writer().record() {
                    self.remembered.events.retain(|event| !last.events.contains(event));
                }
            }
            Err(refusal) if self.clone == CloneRead::Once => self.block(refusal),
            Err(refusal) => self.clone = CloneRead::Failed(refusal),
        }
    }

    /// What is known of what the ledger wants: a number that changes whenever that does.
    pub(super) fn knowledge(&self) -> (Oid, usize) {
        (self.follower.known().state.tip(), self.remembered.follower.stops.len())
    }

    fn look_at_clocks(&mut self, mode: Mode) {
        let (reading, trust) = self.remembered.follower.read_clocks(&*self.clock);
        if trust == Trust::Doubted {
            for applied in self.remembered.targets.values_mut() {
                applied.bake = Bake::default();
                applied.rollback.watch_anew(&reading);
            }
        }
        self.tick = Tick::new(reading, mode, trust);
    }

    /// Remembers that a lease was seen to expire, by a clock that is believed.
    fn note_expiry(&mut self, wanted: &Desired) {
        let state = Arc::clone(&self.follower.known().state);
        let ended = |id: &LeaseId| state.lease(id).is_some_and(|lease| lease.phase.ended());
        self.remembered.expired.retain(|id| !ended(id));
        if self.tick.trust == Trust::Believed && self.tick.reading.now >= wanted.expires && !ended(&wanted.lease) {
            self.remembered.expired.insert(wanted.lease.clone());
        }
    }

    /// The same of what is wanted of some targets now.
    pub(super) fn note_expiries(&mut self, view: &View, targets: &[TargetId]) {
        for target in targets {
            if let Some(wanted) = view.desired(target, &self.applied_to(target)) {
                self.note_expiry(&wanted);
            }
        }
    }

    /// What was applied to a target.
    pub(super) fn applied_to(&self, target: &TargetId) -> Applied {
        self.remembered.targets.get(target).cloned().unwrap_or_default()
    }

    /// Whether a target is to be looked after here: it is this applier's, or this applier moved it and it is nobody's any
    /// more; then nobody else would stop it.
    pub(super) fn looks_after(&self, view: &View, target: &TargetId) -> Result<(), Refusal> {
        let known = view.ledger.policy().get().targets.get(target);
        let orphaned =
            known.is_none_or(|known| known.applier.is_none()) && self.remembered.targets.contains_key(target);
        if orphaned { Ok(()) } else { view.mine(target) }
    }

    /// What can be said of a target that was not looked at: its driver has not answered, or there is none. A stop that could
    /// not be carried out for that is told as one.
    pub(super) fn not_looked_at(&mut self, target: &TargetId, why: Refusal, stopping: Stopping) -> TargetReport {
        let mut applied = self.applied_to(target);
        let view = self.view();
        let Some(wanted) = view.desired(target, &applied) else { return TargetReport::held(why) };
        let now = self.tick.reading.now;
        let mut decision = target::held(why.clone());
        if stopping == Stopping::Failed && view.is_to_be_stopped(target, &applied) {
            decision.doing = Doing::StopFailed;
            if applied.unstopped.is_none() && self.tick.mode == Mode::Act {
                applied.unstopped = Some(now);
                self.remembered.targets.insert(target.clone(), applied.clone());
                // What was applied last is not what is there now.
                let event = target::event(target, EventKind::StopFailed, (&wanted.lease, wanted.step), None, now);
                self.remembered.events.push(event.clone());
                self.count(event);
            }
        }
        let seen = Err(why);
        let record = target::record(&wanted, &seen, &applied, &decision, now);
        self.records.insert(target.clone(), record);
        TargetReport { stopped: view.stopped(&wanted), ..TargetReport::of(&wanted, &seen, &decision, self.tick.mode) }
    }

    /// What is to be measured, by target.
    pub(super) fn meterings(&self, view: &View) -> Vec<(TargetId, Metering)> {
        // Who serves which version is as the target was last seen, by this process or one before it.
        let recorded = self.follower.writer().record().map(|record| &record.targets);
        let of = |(target, applied): (&TargetId, &Applied)| {
            let wanted = view.desired(target, applied)?;
            let seen = self.records.get(target).or_else(|| recorded?.get(target));
            let pools = seen.and_then(|record| record.pools.as_ref());
            Some((target.clone(), view.metering(target, &wanted, applied)?.with_pools(pools)))
        };
        self.remembered.targets.iter().filter_map(of).collect()
    }
}
