//! Target in one tick: observe, decide, act, observe again.

use jiff::Timestamp;

use crate::{
    follower::{
        clock::{Bake, ClockReading, Trust},
        records::{Doing, Intent, RecordedEvent, TargetRecord, basis_points},
    },
    ledger::{EventKind, Phase},
    model::{LeaseId, Percent, Reason, Refusal, TargetId},
};

use super::{
    applied::{Applied, Rollback},
    decision::{Act, Decision, Desired, Observed, PackMatch},
    drivers::{Driver, Setting},
    pack::RollbackPack,
};

/// What is known of one target in this tick.
pub(super) struct TargetRun {
    pub(super) target: TargetId,
    pub(super) driver: Box<dyn Driver>,
    pub(super) reading: ClockReading,
    pub(super) events: Vec<RecordedEvent>,
}

/// What a move of a target is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShiftKind {
    /// The next tier: it counts as applied once it was seen.
    Forward,
    /// Less weight: it counts as the ceiling from now on even if nobody could see that it came about.
    Stop,
}

impl TargetRun {
    /// Looks at the target, and brings what was written down in line with what was seen; `found` is what the ledger says of
    /// that, where it counts as applied. Time counts as watched only while the target is in place.
    pub(super) fn look(
        &mut self,
        applied: &mut Applied,
        found: impl FnOnce(&Applied) -> Option<Desired>,
        seen: &Seen,
        trust: Trust,
    ) {
        let observed = seen.as_ref().ok();
        let was = applied.intent.clone();
        if applied.settle(observed)
            && let Some(was) = was
        {
            self.happened(EventKind::Applied, &was.lease, was.step, was.weight_bp);
        }
        if let Some(found) = found(applied) {
            applied.adopt(&found, observed);
        }
        let in_place = observed.is_some_and(|seen| seen.lease == applied.lease && seen.weight_bp == applied.weight_bp);
        if in_place {
            self.is_there(applied);
        }
        if in_place && trust == Trust::Believed {
            applied.bake.look(&self.reading);
        } else {
            applied.bake = Bake::default();
        }
    }

    /// The target is seen at the weight that was applied.
    fn is_there(&mut self, applied: &mut Applied) {
        applied.reached.get_or_insert(self.reading.now);
        (applied.lowered, applied.raised) = (None, None);
        if applied.weight_bp == 0
            && applied.unstopped.take().is_some()
            && let Some(lease) = applied.lease.clone()
        {
            self.happened(EventKind::Applied, &lease, applied.step, 0);
        }
    }

    /// Moves the target, and writes down what is there then.
    pub(super) fn shift(&mut self, applied: &mut Applied, intent: &Intent, kind: ShiftKind) -> Result<(), Refusal> {
        let setting = Setting { weight_bp: intent.weight_bp, lease: intent.lease.clone(), step: intent.step };
        let moved = self.driver.shift(&setting);
        let seen = self.driver.observe();
        let there = seen
            .as_ref()
            .is_ok_and(|seen| seen.weight_bp == intent.weight_bp && seen.lease.as_ref() == Some(&intent.lease));
        applied.intent = None;
        if there || kind == ShiftKind::Stop {
            applied.arrive(intent);
        }
        if there {
            applied.unstopped = None;
            self.is_there(applied);
            applied.bake.look(&self.reading);
            self.happened(EventKind::Applied, &intent.lease, intent.step, intent.weight_bp);
        } else if kind == ShiftKind::Stop && intent.weight_bp == 0 && applied.unstopped.is_none() {
            applied.unstopped = Some(self.reading.now);
            let weight_bp = seen.as_ref().ok().map(|seen| seen.weight_bp);
            self.happened(EventKind::StopFailed, &intent.lease, intent.step, weight_bp);
        }
        moved?;
        let seen = seen?;
        if there {
            return Ok(());
        }
        let message =
            format!("target {} was moved to {} bp and is at {}", self.target, intent.weight_bp, seen.weight_bp);
        Err(Refusal::new(Reason::Drift, message))
    }

    /// Notes an event for the next record.
    pub(super) fn happened(&mut self, event: EventKind, lease: &LeaseId, step: u32, weight_bp: impl Into<Option<u32>>) {
        self.events.push(self.event(event, lease, step, weight_bp));
    }

    /// Something that happened here.
    pub(super) fn event(
        &self,
        event: EventKind,
        lease: &LeaseId,
        step: u32,
        weight_bp: impl Into<Option<u32>>,
    ) -> RecordedEvent {
        self::event(&self.target, event, (lease, step), weight_bp, self.reading.now)
    }
}

/// Something that happened at a target, and the weight that was seen there.
pub(super) fn event(
    target: &TargetId,
    event: EventKind,
    (lease, step): (&LeaseId, u32),
    weight_bp: impl Into<Option<u32>>,
    at: Timestamp,
) -> RecordedEvent {
    let (event, weight_bp) = (event.name().to_owned(), weight_bp.into());
    RecordedEvent { event, target: target.clone(), lease: lease.clone(), step, weight_bp, at }
}

/// What was seen: the target, or why it could not be.
pub(super) type Seen = Result<Observed, Refusal>;

/// The number of the last transition that has been carried out on the target.
pub(super) fn applied_step(desired: &Desired, applied: &Applied) -> u32 {
    let ours = applied.lease.as_ref() == Some(&desired.lease);
    let arrived = match desired.phase {
        Phase::Halted => !ours || applied.weight_bp == 0,
        Phase::RolledBack => !ours || applied.rollback != Rollback::None,
        Phase::Rolling { tier } | Phase::Paused { tier } => ours && applied.tier == Some(tier),
        Phase::Completed => ours && applied.tier.is_some_and(|tier| tier + 1 >= desired.tiers.len()),
        Phase::Proposed | Phase::Authorized | Phase::Withdrawn => false,
    };
    match (arrived, ours) {
        (true, _) => desired.step,
        (false, true) => applied.step,
        (false, false) => 0,
    }
}

/// The weight that the ledger wants, in basis points.
pub(super) fn desired_bp(desired: &Desired) -> u32 {
    let tier = match desired.phase {
        Phase::Rolling { tier } | Phase::Paused { tier } => desired.tiers.get(tier),
        Phase::Completed => desired.tiers.last(),
        _ => None,
    };
    tier.map_or(0, |tier| basis_points(tier.weight))
}

/// Why no more is done: where a target cannot be observed, why not.
pub(super) fn reason(decision: &Decision, seen: &Seen) -> Option<Refusal> {
    match (&decision.reason, seen) {
        (Some(reason), Err(why)) if reason.reason == Reason::NoData => {
            let message = format!("{}: {}", reason.message, why.message);
            Some(Refusal { message, hint: why.hint.clone(), ..reason.clone() })
        }
        (reason, seen) => reason.clone().or_else(|| seen.as_ref().err().cloned()),
    }
}

/// What goes into the record about a target.
pub(super) fn record(
    desired: &Desired,
    seen: &Seen,
    applied: &Applied,
    decision: &Decision,
    now: Timestamp,
) -> TargetRecord {
    let ours = applied.lease.as_ref() == Some(&desired.lease);
    let reason = reason(decision, seen);
    let reason = reason.as_ref();
    TargetRecord {
        lease: desired.lease.clone(),
        step: desired.step,
        desired_bp: desired_bp(desired),
        observed_bp: seen.as_ref().ok().map(|seen| seen.weight_bp),
        observed_lease: seen.as_ref().ok().and_then(|seen| seen.lease.clone()),
        applied_step: applied_step(desired, applied),
        phase: decision.doing,
        bake_started: applied.bake.since.as_ref().filter(|_| ours).map(|reading| reading.now),
        reached: applied.reached.filter(|_| ours),
        seen_at: now,
        pack: applied.pack.filter(|_| ours),
        reason: reason.map(|refusal| refusal.reason.code().to_owned()),
        message: reason.map(|refusal| refusal.message.clone()),
        intent: applied.intent.clone(),
        pools: None,
        contradiction: None,
        checks: applied.checks.clone().filter(|_| ours),
        health: None,
    }
}

/// What an act is called before it is made.
pub(super) fn in_words(decision: &Decision) -> String {
    match &decision.act {
        Act::Keep => decision.doing.word().to_owned(),
        Act::Pack => "take a rollback pack, then shift".to_owned(),
        Act::Shift { weight_bp, .. } => format!("shift to {} %", Percent::of(*weight_bp)),
        Act::Restore => "restore what was there before".to_owned(),
        Act::Verify => "check once more what was restored".to_owned(),
        Act::GiveUp => "record the rollback as failed".to_owned(),
        Act::Expire => "roll back, because the lease expired".to_owned(),
        Act::Stop(kind) => format!("{} it", kind.action()),
    }
}

/// Whether what is seen of a restored target is what the pack says, roles and bytes included.
pub(super) fn standing(driver: &dyn Driver, seen: &Seen, pack: &RollbackPack) -> PackMatch {
    let (Ok(seen), Ok(snapshot)) = (seen, pack.restorable()) else { return PackMatch::Unknown };
    if *seen != pack.observed {
        let message = format!("{} is there, and {} was restored", seen, pack.observed);
        return PackMatch::Differs(Refusal::new(Reason::Drift, message));
    }
    match driver.verify(&snapshot) {
        Ok(()) => PackMatch::AsPacked,
        Err(refusal) if refusal.reason == Reason::Drift => PackMatch::Differs(refusal),
        Err(_) => PackMatch::Unknown,
    }
}

/// Why a stop is not carried out, where nothing else says so.
pub(super) fn not_stopped(lease: &LeaseId) -> Refusal {
    Refusal::new(Reason::Drift, format!("lease {lease} is to have no weight, and it is not seen that it has none"))
        .hint("take it off by hand; it is tried again at each look")
}

/// Holds instead of acting.
pub(super) fn held(reason: Refusal) -> Decision {
    Decision { act: Act::Keep, doing: Doing::Holding, reason: Some(reason), drifted: false }
}
