//! Stops: any one key, at any time. A stop is never refused for being late, early, repeated or outrun.

use crate::model::{Action, LeaseId, PrincipalId, Reason, Refusal, Statement, Stop, StopKind, TargetId, policy::Role};

use super::{
    By, Content, EventKind, Fold, LeaseState, Phase, Proposer, State, StopEffect, Transition, Vote,
    files::unknown_lease, stop_effect, vote::Spent,
};

impl Fold {
    /// Folds a stop of a lease.
    pub(in crate::ledger) fn stop(&mut self, stop: &Stop, statement: &Statement, vote: &Vote) -> Result<(), Refusal> {
        let Some(landings) = self.state.stop_counts(stop, statement, vote)? else { return Ok(()) };
        // Spent from here on, with or without effect: one without would otherwise wait to be replayed.
        let spent = Spent::of(vote.key.raw(), statement);
        self.state.index_mut().entry(&stop.lease.folded()).stops_seen.insert(spent);
        for (lease, effect) in landings {
            if let StopEffect::Goes(phase, action) = effect {
                self.stopped(&lease, phase, action, vote);
            }
        }
        Ok(())
    }

    fn stopped(&mut self, id: &LeaseId, phase: Phase, action: Action, vote: &Vote) {
        let event = match action {
            Action::Pause => EventKind::Paused,
            Action::Halt => EventKind::Halted,
            Action::Withdraw => EventKind::Withdrawn,
            _ => EventKind::RolledBack,
        };
        self.state.entry(id);
        if action == Action::Withdraw {
            self.close_count(id);
        }
        self.transition(id, action, None, phase, vec![vote.clone()]);
        self.event(event, Some(id), By::One(vote));
        self.number_last_event(id);
    }

    /// Puts the next number of a lease's sequence in force and voids all votes for it.
    pub(in crate::ledger) fn transition(
        &mut self,
        id: &LeaseId,
        action: Action,
        tier: Option<u8>,
        phase: Phase,
        votes: Vec<Vote>,
    ) {
        let commit = self.report.commit;
        if let Some(lease) = self.state.lease_mut(id) {
            let step = lease.next_step();
            lease.transitions.push(Transition { step, action, tier, commit, phase, votes });
            lease.phase = phase;
            lease.pending.clear();
            if phase.ended() {
                self.state.open.remove(id);
            } else {
                self.state.open.insert(id.clone());
            }
        }
    }

    /// Writes a lease's newest step and tier into the newest event.
    pub(in crate::ledger) fn number_last_event(&mut self, id: &LeaseId) {
        let last = self.state.lease(id).and_then(|lease| lease.transitions.last());
        if let (Some(event), Some(transition)) = (self.report.events.last_mut(), last) {
            event.step = Some(transition.step);
            event.tier = transition.tier;
        }
    }

    /// Folds a freeze.
    pub(in crate::ledger) fn freeze(&mut self, statement: &Statement, vote: &Vote) -> Result<(), Refusal> {
        State::may_freeze(vote)?;
        let again = !self.state.freezes_seen.insert(Spent::of(vote.key.raw(), statement));
        if !again && self.state.frozen.is_none() {
            self.state.freezes += 1;
            self.state.frozen = Some(self.report.commit);
            self.state.thaw_votes.clear();
            self.event(EventKind::Frozen, None, By::One(vote));
        }
        Ok(())
    }
}

impl State {
    /// Which leases a stop acts on, and how; nothing if it has been folded already.
    pub(in crate::ledger) fn stop_counts(
        &self,
        stop: &Stop,
        statement: &Statement,
        vote: &Vote,
    ) -> Result<Option<Vec<(LeaseId, StopEffect)>>, Refusal> {
        self.stoppable(&stop.lease)?;
        self.may_stop(&stop.lease, &vote.principal, vote.role)?;
        if self.stop_seen(vote.key.raw(), statement) {
            return Ok(None);
        }
        self.stop_lands_on(&stop.lease, stop.kind).map(Some)
    }

    /// Whether somebody may freeze.
    pub(in crate::ledger) fn may_freeze(vote: &Vote) -> Result<(), Refusal> {
        if vote.role == Role::Applier {
            return Err(Refusal::new(Reason::WrongRole, "an applier stops its own targets only, never all of them"));
        }
        Ok(())
    }

    /// Whether there is such a lease to stop, or ever was: who can delete a proposal cannot outrun a stop thereby.
    pub(in crate::ledger) fn stoppable(&self, id: &LeaseId) -> Result<(), Refusal> {
        if self.lease(id).is_some()
            || self.index.get(&id.folded()).is_some_and(|found| found.proposed.binary_search(id).is_ok())
        {
            Ok(())
        } else {
            Err(unknown_lease(id))
        }
    }

    /// Whether a principal may stop a lease: anybody may, an applier only where it is the target's applier.
    pub(in crate::ledger) fn may_stop(&self, id: &LeaseId, principal: &PrincipalId, role: Role) -> Result<(), Refusal> {
        if role != Role::Applier {
            return Ok(());
        }
        let own = |target: &TargetId| {
            self.policy.get().targets.get(target).is_some_and(|known| known.applier.as_ref() == Some(principal))
        };
        if self.targets_of(id).iter().any(own) {
            Ok(())
        } else {
            let message = format!("applier {principal} stops its own targets only, and lease {id} is for another");
            Err(Refusal::new(Reason::WrongRole, message))
        }
    }

    /// The target of a lease: of its pinned bytes, else of its proposals.
    fn targets_of(&self, id: &LeaseId) -> Vec<TargetId> {
        if let Some(lease) = self.lease(id).and_then(LeaseState::lease) {
            return vec![lease.target.clone()];
        }
        let target = |content: &Content<crate::model::lease::Lease>| match content {
            Content::Proposal(proposed) => Some(proposed.get().target.clone()),
            Content::Unusable { .. } => None,
        };
        self.proposals(id).filter_map(|(_, file)| target(&file.content)).collect()
    }

    /// Which leases a stop acts on, in this order, and how.
    ///
    /// Until the newest lease of a target has completed, the one that the target falls back to can be stopped as if the
    /// newer had not begun: that one is undone first. A pause holds what moves, which is the newest. After that, a lease that
    /// was completed because a newer one started hands its stops on to that one; any other older lease's stop touches
    /// nothing.
    pub(in crate::ledger) fn stop_lands_on(
        &self,
        id: &LeaseId,
        kind: StopKind,
    ) -> Result<Vec<(LeaseId, StopEffect)>, Refusal> {
        let newest_where = |lease: &LeaseState| {
            let own = lease.lease().filter(|_| lease.phase.started());
            own.and_then(|own| self.newest_on(&own.target))
        };
        if let Some(lease) = self.lease(id)
            && let Some(newest) = newest_where(lease)
            && let Some(newer) = self.newer_than(newest, id)
        {
            if kind == StopKind::Pause {
                return Ok(vec![(newest.id.clone(), stop_effect(newest.phase, kind))]);
            }
            let undone = StopEffect::Goes(Phase::RolledBack, Action::Rollback);
            let newer = newer.into_iter().filter(|newer| newer.phase != Phase::RolledBack);
            let mut landings: Vec<_> = newer.map(|newer| (newer.id.clone(), undone)).collect();
            landings.push((id.clone(), stop_effect(lease.phase, kind)));
            return Ok(landings);
        }
        let mut id = id;
        // Each hop goes to a lease that started later, so there are at most as many as there are leases.
        while let Some(next) = self.lease(id).and_then(|lease| lease.superseded_by.as_ref()) {
            id = next;
        }
        let Some(lease) = self.lease(id) else {
            return Ok(vec![(id.clone(), stop_effect(Phase::Proposed, kind))]);
        };
        let effect = stop_effect(lease.phase, kind);
        let newest = newest_where(lease).is_some_and(|newest| newest.id == *id);
        if effect != StopEffect::Nothing && lease.phase.started() && !newest {
            let message = format!(
                "lease {id} is {} and no longer the newest of its target; undoing it would bring an older version back",
                lease.phase.word()
            );
            return Err(Refusal::new(Reason::WrongState, message)
                .hint("stop the newest lease of the target, or roll forward with a new lease"));
        }
        Ok(vec![(id.clone(), effect)])
    }

    /// The leases of a target, from its newest on, that are newer than one that it falls back to; none if it does not: if
    /// one of them has completed, or if there are none.
    fn newer_than<'a>(&'a self, newest: &'a LeaseState, id: &LeaseId) -> Option<Vec<&'a LeaseState>> {
        let mut newer = Vec::new();
        let mut at = Some(newest);
        while let Some(lease) = at.filter(|lease| lease.phase != Phase::Completed && lease.id != *id) {
            newer.push(lease);
            at = self.before(lease);
        }
        at.filter(|lease| lease.id == *id && !newer.is_empty()).map(|_| newer)
    }

    /// What a lease's target falls back to when the lease is undone.
    fn before(&self, lease: &LeaseState) -> Option<&LeaseState> {
        self.lease(lease.falls_back_to.as_ref()?)
    }

    /// The lease that a target is at: the newest that was not undone; if all were, none.
    pub fn stands_on(&self, target: &TargetId) -> Option<&LeaseState> {
        let mut at = self.newest_on(target);
        while let Some(lease) = at.filter(|lease| lease.phase == Phase::RolledBack) {
            at = self.before(lease);
        }
        at
    }

    /// The lease that a target is moved for: the newest; once that is undone, the one below it if that was stopped as well.
    pub fn moved_for(&self, target: &TargetId) -> Option<&LeaseState> {
        let below = |lease: &&LeaseState| {
            let before = self.before(lease)?;
            (lease.phase == Phase::RolledBack && before.phase != Phase::Completed).then_some(before)
        };
        std::iter::successors(self.newest_on(target), below).last()
    }
}

impl LeaseState {
    /// A lease before anything happened to it.
    pub(in crate::ledger) fn untouched(id: &LeaseId) -> Self {
        Self {
            id: id.clone(),
            pinned: None,
            proposer: Proposer::Unknown,
            phase: Phase::Proposed,
            cosigned: super::Votes::new(),
            quorum: None,
            pending: std::collections::BTreeMap::new(),
            transitions: Vec::new(),
            forgotten: 0,
            terms: None,
            superseded_by: None,
            falls_back_to: None,
        }
    }
}
