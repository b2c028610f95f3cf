//! What the coordinator knows: it follows the repository, and tells others by views. Nothing here waits for the remote.

use std::sync::Arc;

use crate::{
    follower::{
        Mode,
        clock::{Bake, Trust},
        fetching::Remote,
        follow::{Followed, Follower},
        records::Doing,
    },
    ledger::EventKind,
    model::{LeaseId, Oid, Refusal, TargetId},
};

use super::{
    Applier, TargetReport,
    decide::{Applied, Desired},
    target,
    tick::Tick,
    view::{Haste, View},
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
    /// Begins a tick with what is known already. A clone that cannot be read any more keeps no stop that is known from traffic;
    /// a process that never could read it knows of none.
    pub(super) fn begin_with_what_is_known(&mut self, mode: Mode) -> Result<(), Refusal> {
        let begun = self.follower.begin(&self.remembered.follower);
        self.look_at_clocks(mode);
        self.remarks.clear();
        self.continues = false;
        match begun.and_then(|()| self.forget_recorded()) {
            Ok(()) => self.knows = true,
            Err(refusal) if self.knows => self.block(refusal),
            Err(refusal) => return Err(refusal),
        }
        if let Err(refusal) = self.follower.folder.can_be_written() {
            self.block(refusal);
        }
        Ok(())
    }

    /// What is known now.
    pub(super) fn view(&self) -> View {
        View {
            config: Arc::clone(&self.config),
            ledger: Arc::clone(&self.follower.mirror.state),
            stops: Arc::new(self.remembered.follower.stops.clone()),
            expired: self.remembered.expired.clone(),
            tick: self.tick.clone(),
            key: self.follower.writer.public.raw(),
            clock: self.follower.clock(),
            believed: self.remembered.follower.clock.clone(),
            sources: self.sources.clone(),
            folder: self.follower.folder.path().to_owned(),
            repository: self.follower.mirror.repository.clone(),
            own_tip: self.follower.writer.tip(&self.follower.mirror),
            haste: Haste::default(),
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

    /// Asks the remote, or takes what it has answered; never waits. What cannot be known blocks forward moves, and nothing
    /// else.
    pub(super) fn poll(&mut self) -> Remote {
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
            Err(error) => self.block(Follower::not_reached(&error)),
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
        let (reading, trust) = self.follower.read_clocks(&mut self.remembered.follower);
        if trust == Trust::Doubted {
            for applied in self.remembered.targets.values_mut() {
                applied.bake = Bake::default();
                applied.rollback.watch_anew(&reading);
            }
        }
        self.tick = Tick::new(reading, mode, trust == Trust::Believed);
    }

    /// Remembers that a lease was seen to expire, by a clock that is believed.
    fn note_expiry(&mut self, wanted: &Desired) {
        let state = &self.follower.mirror.state;
        let ended = |id: &LeaseId| state.lease(id).is_some_and(|lease| lease.phase.ended());
        self.remembered.expired.retain(|id| !ended(id));
        if self.tick.trusted && self.tick.reading.now >= wanted.expires && !ended(&wanted.lease) {
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

    /// Brings everything up to date that comes from the repository.
    fn follow(&mut self) {
        let Followed { blockers, remarks, continues } =
            self.follower.follow(&mut self.remembered.follower, self.tick.mode);
        self.continues = continues;
        for refusal in blockers {
            self.block(refusal);
        }
        for refusal in remarks {
            self.remark(refusal);
        }
        if let Err(refusal) = self.follower.own_key() {
            self.block(refusal);
        }
        if self.tick.mode == Mode::Act
            && let Err(refusal) = self.follower.take_in_own_ref()
        {
            self.block(refusal);
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
                let (lease, weight_bp) = (&wanted.lease, applied.weight_bp);
                let event = target::event(target, EventKind::StopFailed, (lease, wanted.step), weight_bp, now);
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
    pub(super) fn meterings(&mut self) -> Vec<(TargetId, Metering)> {
        // Who serves which version is as the target was last seen, by this process or one before it.
        let last = self.follower.writer.last_record(&self.follower.mirror).ok().flatten();
        let recorded = last.map(|record| record.targets.clone()).unwrap_or_default();
        let view = self.view();
        let of = |(target, applied): (&TargetId, &Applied)| {
            let wanted = view.desired(target, applied)?;
            let seen = self.records.get(target).or_else(|| recorded.get(target));
            let pools = seen.and_then(|record| record.pools.clone());
            Some((target.clone(), view.metering(target, &wanted, applied)?.with_pools(pools)))
        };
        self.remembered.targets.iter().filter_map(of).collect()
    }
}
