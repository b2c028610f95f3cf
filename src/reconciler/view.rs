//! A view: all that is known at one moment, for whoever looks at a target. It stays as it is while he does.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use jiff::Timestamp;

use crate::{
    follower::{
        checks::Check,
        clock::{Clock, ClockReading},
        stops::SeenStop,
    },
    gate::{
        Measure, TierContext,
        health::{left_halted, measured_here, resolve_by, unmeasurable},
    },
    git::Repository,
    ledger::{LeaseState, Phase, State, rules},
    model::{LeaseId, Oid, RawKey, Reason, Refusal, StopKind, TargetId},
    sources::{self, Sources},
};

use super::{
    applied::{Applied, Rollback},
    baseline::BaselineTask,
    config::ApplierConfig,
    decision::{Conditions, Desired, Observed},
    desired::{desired, found},
    drivers,
    pack::{PackContext, RollbackPack, first_signed},
    rollback_health,
    stop_signal::StopSignal,
    tick::Tick,
    watching::{Aftercare, MeasuredFor, Metering, Watching},
};

/// What is known at one moment.
#[derive(Clone)]
pub(super) struct View {
    pub(super) config: Arc<ApplierConfig>,
    /// The ledger as far as it was accepted.
    pub(super) ledger: Arc<State>,
    /// Every stop that was seen and that the ledger has not folded.
    pub(super) stops: Arc<Vec<SeenStop>>,
    /// Leases that were seen to expire.
    pub(super) expired: BTreeSet<LeaseId>,
    pub(super) tick: Tick,
    /// The key of our own stops.
    pub(super) key: RawKey,
    pub(super) clock: Arc<Clock>,
    /// The last look at the clocks that was believed.
    pub(super) believed: Option<ClockReading>,
    /// Where measurements come from.
    pub(super) sources: Option<Arc<Sources>>,
    /// The state folder.
    pub(super) folder: PathBuf,
    /// Where packs are, and the tip of our ref.
    pub(super) repository: Repository,
    pub(super) own_tip: Option<Oid>,
    /// Whether whoever works on the target is waited for.
    pub(super) stop_signal: StopSignal,
}

impl View {
    /// Whether a target is this applier's, by the policy in force.
    pub(super) fn mine(&self, target: &TargetId) -> Result<(), Refusal> {
        let known = self.ledger.policy().get().targets.get(target);
        if known.and_then(|known| known.applier.as_ref()) == Some(&self.config.name) {
            return Ok(());
        }
        let message = format!("the policy in force does not give target {target} to applier {}", self.config.name);
        Err(Refusal::new(Reason::WrongPrincipal, message)
            .hint("change the policy, or take it out of the configuration"))
    }

    /// What is wanted of a target to which this was applied.
    pub(super) fn desired(&self, target: &TargetId, applied: &Applied) -> Option<Desired> {
        desired(&self.ledger, target, applied, &self.stops)
    }

    /// What the ledger says of what is seen at a target, where that counts as applied there.
    pub(super) fn found(&self, target: &TargetId, applied: &Applied, seen: Option<&Observed>) -> Option<Desired> {
        found(&self.ledger, target, applied, seen, &self.stops)
    }

    /// What holds for one target: what holds for all, and what else speaks against moving it forward.
    pub(super) fn conditions(&self, target: &TargetId, wanted: &Desired, applied: &Applied) -> Conditions {
        let mut conditions = self.tick.conditions();
        conditions.blockers.extend(self.mine(target).err());
        conditions.blockers.extend(self.tick.outlived(wanted, &self.expired));
        conditions.blockers.extend(self.untimely(wanted, applied));
        conditions
    }

    /// Why a lease is not moved forward at this hour, or not by the keys that its last move rests on.
    fn untimely(&self, wanted: &Desired, applied: &Applied) -> Option<Refusal> {
        let (policy, now) = (self.ledger.policy().get(), self.tick.reading.now);
        let lease = self.ledger.lease(&wanted.lease)?;
        let closed = policy.open_for(lease.lease()?, now).err();
        let done = |step: u32| applied.lease.as_ref() == Some(&wanted.lease) && applied.step >= step;
        let ahead = lease.transitions.iter().filter(|move_| move_.action.moves() && !done(move_.step));
        let mut keys = ahead.flat_map(|move_| &move_.votes).map(|vote| vote.key.raw());
        closed.or_else(|| keys.find_map(|key| policy.key_in_time(key, now).err()))
    }

    /// The driver that was pinned when the lease started.
    pub(super) fn driver(&self, target: &TargetId, wanted: &Desired) -> Result<Box<dyn drivers::Driver>, Refusal> {
        let pinned = self.ledger.lease(&wanted.lease).and_then(|lease| lease.terms.as_ref());
        let in_force = || self.ledger.policy().get().targets.get(target).map(|known| known.driver);
        let kind = pinned.and_then(|terms| terms.driver).or_else(in_force);
        let kind = kind.ok_or_else(|| Refusal::new(Reason::Internal, format!("target {target} has no driver")))?;
        let before = || {
            let bytes = self.kept_pack(&wanted.lease).ok()??;
            RollbackPack::parse(&bytes, target, &wanted.lease).and_then(|pack| pack.restorable()).ok()
        };
        let lease = self.ledger.lease(&wanted.lease).and_then(LeaseState::lease);
        let context = drivers::Context { folder: self.folder.join("targets"), lease, before: &before };
        drivers::open(kind, target, self.config.targets.get(target), &context)
    }

    /// The lease's pack as our ref has it.
    pub(super) fn kept_pack(&self, lease: &LeaseId) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(tip) = self.own_tip else { return Ok(None) };
        let found = first_signed(&self.repository, &self.ledger, &self.config.name, tip, lease)?;
        Ok(found.map(|(bytes, _)| bytes))
    }

    /// The lease's pack: one that was just taken, else the one that our ref has.
    pub(super) fn pack(
        &self,
        target: &TargetId,
        lease: &LeaseId,
        taken: Option<&[u8]>,
    ) -> Result<RollbackPack, Refusal> {
        let bytes = match taken {
            Some(bytes) => Some(bytes.to_vec()),
            None => self.kept_pack(lease)?,
        };
        let bytes = bytes.ok_or_else(|| Refusal::new(Reason::NoPack, format!("lease {lease} has no rollback pack")))?;
        RollbackPack::parse(&bytes, target, lease)
    }

    /// For what a pack of a target is taken.
    pub(super) fn occasion(&self, target: &TargetId, lease: &LeaseId, seen: Option<&LeaseId>) -> Option<PackContext> {
        let document = |id: &LeaseId| self.ledger.lease(id).and_then(LeaseState::lease).cloned();
        Some(PackContext {
            target: target.clone(),
            lease: document(lease)?,
            previous: seen.and_then(document),
            probe: self.config.targets.get(target).and_then(|place| place.probe.clone()),
            baselines: None,
            now: self.tick.reading.now,
        })
    }

    /// What measuring the version before a lease needs; none where nothing is pinned or configured to measure it by.
    pub(super) fn baseline(&self, lease: &LeaseId) -> Option<BaselineTask> {
        let state = &self.ledger;
        let lease = state.lease(lease)?;
        let (terms, document) = (lease.terms.clone().filter(|terms| !terms.gates.is_empty())?, lease.lease()?);
        let started = BaselineTask::begins(self.tick.reading.now);
        let context = TierContext::new(state.policy().get(), document, 0, started)?;
        Some(BaselineTask { terms: *terms, context, sources: self.sources.clone()? })
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

    /// The same, with what the lease's pack recorded.
    pub(super) fn with_recorded(&self, target: &TargetId, metering: Metering) -> Metering {
        metering.with_context(|context| self.recorded(target, context))
    }

    /// What is to be measured of a target now; none where there is nothing to measure.
    pub(super) fn metering(&self, target: &TargetId, wanted: &Desired, applied: &Applied) -> Option<Metering> {
        if let Some(Aftercare { watching, .. }) = self.aftercare(wanted, applied) {
            let Rollback::Restored(restored) = &applied.rollback else { return None };
            let of = MeasuredFor::Restored { lease: wanted.lease.clone(), since: restored.since.now };
            return Some(Metering { of, harm: watching, settled: None });
        }
        let (reached, settled) = (applied.reached, applied.bake.since.as_ref().map(|since| since.now));
        let harm = self.watching(target, wanted, applied, reached)?;
        let of = MeasuredFor::Tier { lease: wanted.lease.clone(), reached, settled };
        let settled = (settled != reached).then(|| self.watching(target, wanted, applied, settled)).flatten();
        Some(Metering { of, harm, settled })
    }

    /// What a look at a target's metrics needs; none where nothing was pinned for its lease, or it is not there.
    pub(super) fn watching(
        &self,
        target: &TargetId,
        wanted: &Desired,
        applied: &Applied,
        since: Option<Timestamp>,
    ) -> Option<Watching> {
        let state = &self.ledger;
        let lease = state.lease(&wanted.lease)?;
        let (terms, document) = (lease.terms.as_ref()?, lease.lease()?);
        let measure = self.sources.as_deref().map(|sources| sources as &dyn Measure);
        let terms = measured_here(terms, measure);
        let nothing = terms.gates.is_empty() && terms.thresholds.is_empty();
        let ours = applied.lease.as_ref() == Some(&wanted.lease);
        let tier = applied.tier.filter(|_| ours && !nothing)?;
        let ended = matches!(wanted.phase, Phase::Halted | Phase::RolledBack)
            || (wanted.phase == Phase::Completed && tier + 1 >= wanted.tiers.len());
        if ended {
            return None;
        }
        let context = since.and_then(|since| TierContext::new(state.policy().get(), document, tier, since));
        let context = context.ok_or_else(|| {
            Refusal::new(Reason::NoData, format!("target {target} is not seen at the weight of its tier"))
        });
        let (sources, folder) = (self.sources.clone(), self.folder.join("watches"));
        Some(Watching { terms: terms.into_owned(), context, sources, folder })
    }

    /// How far the health of what is restored for a lease can be checked when it is restored.
    pub(super) fn health_of_restored(&self, lease: &LeaseId) -> Check {
        let terms = self.ledger.lease(lease).and_then(|lease| lease.terms.as_ref());
        match terms.map_or(0, |terms| terms.gates.len()) {
            0 => Check::not_configured("no gates are pinned for the lease"),
            _ => Check::pending("it is being watched"),
        }
    }

    /// What a look at a version that was restored needs; none where none is being watched. Limits are the candidate's, and
    /// the pack says nothing of them, so it is gates that are looked at.
    pub(super) fn aftercare(&self, wanted: &Desired, applied: &Applied) -> Option<Aftercare> {
        let ours = wanted.phase == Phase::RolledBack && applied.lease.as_ref() == Some(&wanted.lease);
        let Rollback::Restored(restored) = &applied.rollback else { return None };
        let state = &self.ledger;
        let lease = state.lease(&wanted.lease).filter(|_| ours)?;
        let (terms, document) = (lease.terms.as_deref().cloned()?.without_limits(), lease.lease()?);
        let context = TierContext::new(state.policy().get(), document, 0, restored.since.now);
        let context = context.map(TierContext::of_stable).ok_or_else(|| {
            Refusal::new(Reason::NoData, format!("lease {} does not say what is rolled out", wanted.lease))
        });
        // What is not configured answers to nothing, until the deadline.
        let sources =
            self.sources.clone().or_else(|| Sources::open(&sources::SourcesConfig::default()).ok().map(Arc::new));
        let deadline = rollback_health::deadline(&terms, &restored.since, &self.tick.reading);
        Some(Aftercare {
            watching: Watching { terms, context, sources, folder: self.folder.join("restored") },
            deadline,
        })
    }

    /// Why a lease could not be watched here.
    pub(super) fn unmeasured(&self, wanted: &Desired) -> Option<Refusal> {
        let terms = self.ledger.lease(&wanted.lease)?.terms.as_ref()?;
        let measure = self.sources.as_deref().map(|sources| sources as &dyn Measure);
        unmeasurable(terms, measure)
    }

    /// Why a halt that no person made has been left for too long: as the ledger says, or as we know of our own.
    pub(super) fn left_halted(&self, wanted: &Desired, applied: &Applied) -> Option<Refusal> {
        let lease = self.ledger.lease(&wanted.lease)?;
        let now = self.tick.reading.now;
        let own = || resolve_by(lease, applied.halted?, &self.config.name, now);
        left_halted(lease, now).or_else(own)
    }

    /// Whether a target is to be stopped: then it comes before others.
    pub(super) fn is_stopped(&self, target: &TargetId, applied: &Applied) -> bool {
        let wanted = self.desired(target, applied);
        wanted.is_some_and(|wanted| matches!(wanted.phase, Phase::Halted | Phase::RolledBack))
    }

    /// Whether it is to be stopped, and may have weight still.
    pub(super) fn is_to_be_stopped(&self, target: &TargetId, applied: &Applied) -> bool {
        let may_have_weight = applied.weight_bp > 0 || applied.unstopped.is_some() || applied.intent.is_some();
        may_have_weight && self.is_stopped(target, applied)
    }

    /// Who stopped a lease, and why, as the ledger says, or a stop that it has not folded.
    pub(super) fn stopped(&self, wanted: &Desired) -> Option<String> {
        if !matches!(wanted.phase, Phase::Halted | Phase::RolledBack) {
            return None;
        }
        let words = |who: &str, reason: Option<&str>| match reason {
            Some(reason) => format!("by {who}: {reason}"),
            None => format!("by {who}"),
        };
        let last = self.ledger.lease(&wanted.lease).and_then(|lease| lease.transitions.last());
        if let Some(last) = last.filter(|last| last.phase == wanted.phase) {
            let votes = last.votes.iter().map(|vote| words(vote.principal.as_str(), vote.reason.as_deref()));
            return Some(votes.collect::<Vec<_>>().join(", ")).filter(|words| !words.is_empty());
        }
        let names = |stop: &&SeenStop| stop.stop().is_some_and(|stop| stop.lease == wanted.lease);
        let seen = self.stops.iter().rev().find(names)?;
        let (who, _) = rules::owner(&self.ledger, seen.key).ok()?;
        Some(words(who.as_str(), seen.reason.as_deref()))
    }

    /// A stop of our own. It binds from now on, signed or not.
    pub(super) fn own_stop(&mut self, lease: &LeaseId, kind: StopKind, why: &str) -> SeenStop {
        let stop = SeenStop::own(&self.ledger, self.key, (lease, kind), why);
        Arc::make_mut(&mut self.stops).push(stop.clone());
        stop
    }

    /// Looks at the clocks: what was restored is watched from now on.
    pub(super) fn look_at_clocks_again(&mut self) -> ClockReading {
        let (reading, trust) = (self.clock)().believed_after(self.believed.as_ref());
        self.tick.look_again((reading.clone(), trust));
        reading
    }
}
