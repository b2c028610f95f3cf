//! Decision for one target. Pure, and level-triggered: what is wanted, what is there, what was applied last and
//! what is known → one act. Nothing here remembers a previous decision.
//!
//! The order is the rule: stops come first and need nothing else to be known; then a lease's expiry; then what has
//! drifted is put back to the weight that was applied last; only then may the next tier come, and only if nothing
//! at all speaks against it. Whatever is unknown, no act here leads above the weight that was applied last.

use jiff::Timestamp;

use crate::{
    follower::{
        checks::{CheckOutcome, Checks, Holds},
        clock::doubted,
        records::{Doing, basis_points},
    },
    gate::{
        Verdict,
        health::{Deadline, Gates},
    },
    ledger::Phase,
    model::{CLOCK_TOLERANCE, Percent, Reason, Refusal, StopKind, lease::OnExpiry, policy::DriftBelow},
};

use super::{
    applied::{Applied, Rollback},
    decision::{Act, Conditions, Decision, Desired, Observed, Pack, PackMatch},
    rollback_health::RollbackHealth,
};

/// Decides. `observed` is none where the target cannot be observed.
pub fn decide(desired: &Desired, observed: Option<&Observed>, applied: &Applied, conditions: &Conditions) -> Decision {
    let ours = applied.lease.as_ref() == Some(&desired.lease);
    let candidate_there = observed.is_some_and(|seen| seen.lease.as_ref() == Some(&desired.lease));
    // A shift that may have been made, and that nobody could see since, is one to be undone.
    let begun = applied.intent.as_ref().is_some_and(|intent| intent.lease == desired.lease);
    let touched = ours || candidate_there || begun;
    match desired.phase {
        Phase::RolledBack => undo(desired, observed, applied, conditions, touched),
        Phase::Halted => halt(desired, observed, applied, conditions, touched),
        Phase::Rolling { tier } | Phase::Paused { tier } => go_on(desired, Some(tier), observed, applied, conditions),
        Phase::Completed => go_on(desired, desired.tiers.len().checked_sub(1), observed, applied, conditions),
        Phase::Proposed | Phase::Authorized | Phase::Withdrawn => Decision::new(Act::Keep, Doing::Holding),
    }
}

/// A lease that is to be undone. Needs no observation, no clock, no repository; only to be verified it does.
fn undo(
    desired: &Desired,
    observed: Option<&Observed>,
    applied: &Applied,
    conditions: &Conditions,
    touched: bool,
) -> Decision {
    if !touched {
        return out_of_reach(desired, applied);
    }
    let ours = applied.lease.as_ref() == Some(&desired.lease);
    let rollback = if ours { &applied.rollback } else { &Rollback::None };
    let is_back = observed.is_some_and(|seen| seen.lease.as_ref() == Some(&desired.lease) && seen.weight_bp > 0);
    let differs = if let PackMatch::Differs(how) = &conditions.standing { Some(how) } else { None };
    match rollback {
        // Only the restoration has one attempt. Weight zero is tried until it is seen.
        Rollback::Failed(signed) if desired.rollbacks <= *signed => {
            let zero = Act::Shift { tier: None, weight_bp: 0, step: desired.step };
            let act = if is_back || observed.is_none() { zero } else { Act::Keep };
            Decision { reason: Some(why_failed(desired, applied)), ..Decision::new(act, Doing::RollbackFailed) }
        }
        Rollback::None | Rollback::Failed(_) => Decision::new(Act::Restore, Doing::RollingBack),
        Rollback::Attempted { .. } if observed.is_some() => Decision::new(Act::Verify, Doing::RollingBack),
        Rollback::Attempted { .. } => {
            let message = format!("lease {} was rolled back, and the target cannot be seen yet", desired.lease);
            let reason = Some(Refusal::new(Reason::NoData, message));
            Decision { reason, ..Decision::new(Act::Keep, Doing::RollingBack) }
        }
        Rollback::Verified | Rollback::Restored(_) if is_back || differs.is_some() => {
            // What was restored is not there any more: it is restored again.
            let decision = Decision::new(Act::Restore, Doing::RollingBack);
            Decision { drifted: true, reason: differs.cloned(), ..decision }
        }
        Rollback::Restored(_) if applied.is_followed_by_some_only() => {
            let act = if observed.is_some() { Act::Verify } else { Act::Keep };
            Decision { reason: not_followed(desired, applied), ..Decision::new(act, Doing::RollingBack) }
        }
        Rollback::Restored(_) => restored(desired, observed, conditions),
        Rollback::Verified if observed.is_some() => Decision::new(Act::Keep, rolled_back(applied)),
        Rollback::Verified => {
            let message =
                format!("lease {} was rolled back and verified, and the target cannot be seen now", desired.lease);
            Decision::hold(Refusal::new(Reason::NoData, message))
        }
    }
}

/// A stop of a lease that is not there: nothing is to be done, unless undoing a newer one should have brought it back.
fn out_of_reach(desired: &Desired, applied: &Applied) -> Decision {
    let decision = Decision::new(Act::Keep, Doing::Holding);
    let (Some(newer), Rollback::Failed(_)) = (&desired.undone, &applied.rollback) else { return decision };
    let id = &desired.lease;
    let message = format!("lease {newer} was rolled back, and that failed, so lease {id} cannot be stopped here");
    let reason =
        Refusal::new(Reason::Drift, message).hint("repair the target by hand, or try again with: git two-key rollback");
    Decision { reason: Some(reason), doing: Doing::RollbackFailed, ..decision }
}

/// What a rollback is called that none of its checks speaks against.
fn rolled_back(applied: &Applied) -> Doing {
    match applied.checks.as_ref().map(Checks::holds) {
        Some(Holds::Unseen) => Doing::Restored,
        Some(Holds::NotYet) => Doing::RollingBack,
        Some(Holds::Seen) | None => Doing::Verified,
    }
}

/// Why a restoration is not over although the target was seen: requests still come to the candidate.
fn not_followed(desired: &Desired, applied: &Applied) -> Option<Refusal> {
    let checks = applied.checks.as_ref()?;
    let message = format!("lease {} was rolled back: {}", desired.lease, checks.candidate.message);
    Some(Refusal::new(Reason::NoData, message))
}

/// What was there before is there again. Verified only if it is seen to be healthy, and only while it is seen at all.
fn restored(desired: &Desired, observed: Option<&Observed>, conditions: &Conditions) -> Decision {
    let RollbackHealth { gates, deadline, .. } = &conditions.rollback_health;
    let rolling = |act, reason: Option<Refusal>| Decision { reason, ..Decision::new(act, Doing::RollingBack) };
    let id = &desired.lease;
    let open = match gates {
        Gates::Fail(_, words) => {
            let message = format!("what was restored of lease {id} is not healthy: {words}");
            return rolling(Act::GiveUp, Some(Refusal::new(Reason::GateFailed, message)));
        }
        Gates::Pass if observed.is_some() && conditions.now.is_some() => return rolling(Act::Verify, None),
        Gates::Pass if observed.is_none() => "the target cannot be observed",
        Gates::Pass => "the clock here is doubted",
        Gates::Open(_, words) => words,
        Gates::None => "nothing has been measured yet",
    };
    let late = *deadline == Deadline::Passed || matches!(gates, Gates::Open(Deadline::Passed, _));
    let (act, message) = if late {
        (Act::GiveUp, format!("nobody could tell in time whether what was restored of lease {id} is healthy: {open}"))
    } else {
        (Act::Keep, format!("restored, and its health is being watched: {open}"))
    };
    rolling(act, Some(Refusal::new(Reason::NoData, message)))
}

/// Why a rollback failed.
fn why_failed(desired: &Desired, applied: &Applied) -> Refusal {
    let id = &desired.lease;
    let failed = |checks: &Checks| checks.all().map(|(name, check)| (name, check.outcome == CheckOutcome::Failed));
    let of_health = applied
        .checks
        .as_ref()
        .filter(|checks| failed(checks).iter().all(|(name, failed)| *failed == (*name == "health")));
    let refusal = if let Some(checks) = of_health {
        let reason = if applied.verdict == Some(Verdict::Fail) { Reason::GateFailed } else { Reason::NoData };
        Refusal::new(reason, format!("lease {id} was rolled back, and that failed: {}", checks.health.message))
    } else {
        let message = format!("lease {id} was rolled back, and what is there is not what was before");
        Refusal::new(Reason::Drift, message)
    };
    refusal.hint("repair the target by hand, or try again with: git two-key rollback")
}

/// A lease whose weight is to be zero. Needs no clock and no repository for that; only once it is there, and was left
/// there for too long, is it undone.
fn halt(
    desired: &Desired,
    observed: Option<&Observed>,
    applied: &Applied,
    conditions: &Conditions,
    touched: bool,
) -> Decision {
    let ours = applied.lease.as_ref() == Some(&desired.lease);
    let at_zero = observed.is_some_and(|seen| seen.weight_bp == 0) && (!ours || applied.weight_bp == 0);
    if let Some(reason) = conditions.left_halted.as_ref().filter(|_| touched && at_zero) {
        let decision = Decision::new(Act::Stop(StopKind::Rollback), Doing::RollingBack);
        return Decision { reason: Some(reason.clone()), ..decision };
    }
    if !touched {
        return out_of_reach(desired, applied);
    }
    if at_zero {
        return Decision::new(Act::Keep, Doing::Holding);
    }
    // What could not be stopped yet has not drifted.
    let drifted = ours && applied.weight_bp == 0 && observed.is_some() && applied.unstopped.is_none();
    let act = Act::Shift { tier: None, weight_bp: 0, step: desired.step };
    Decision { drifted, ..Decision::new(act, Doing::Shifting) }
}

/// A lease that has weight: at most one tier up, and only if nothing speaks against it.
fn go_on(
    desired: &Desired,
    wanted: Option<usize>,
    observed: Option<&Observed>,
    applied: &Applied,
    conditions: &Conditions,
) -> Decision {
    let ours = applied.lease.as_ref() == Some(&desired.lease);
    // Whatever was written down: never a tier that the ledger did not order, nor more weight than that tier has.
    let at = if ours { applied.tier.min(wanted) } else { None };
    let weight_bp = at.and_then(|at| desired.tiers.get(at)).map_or(0, |tier| basis_points(tier.weight));
    let weight_bp = weight_bp.min(applied.weight_bp);
    let baked = at.and_then(|at| desired.tiers.get(at)).is_some_and(|tier| applied.bake.is_over(tier.bake));
    let stop = unhealthy(desired, at, conditions).or_else(|| expiry(desired, at, baked, ours, conditions));
    if let Some(decision) = stop {
        return decision;
    }
    let Some(seen) = observed else {
        let message = "the target cannot be observed, so it keeps what weight it has";
        return Decision::hold(Refusal::new(Reason::NoData, message));
    };
    let in_place = seen.weight_bp == weight_bp && seen.lease.as_ref() == Some(&desired.lease);
    if ours && !in_place && is_below(seen, desired, weight_bp) {
        let turned = applied.lowered.is_some_and(|step| desired.step > step);
        let reason = match desired.drift_below {
            DriftBelow::Kept if !turned => Some(lowered(desired, seen, weight_bp)),
            DriftBelow::Kept | DriftBelow::Restored => against(desired, conditions),
        };
        let decision = match reason {
            Some(reason) => Decision::hold(reason),
            None => Decision::new(Act::Shift { tier: at, weight_bp, step: applied.step }, Doing::Shifting),
        };
        // Told once, however often it is tried.
        return Decision { drifted: applied.lowered.is_none(), ..decision };
    }
    if ours && !in_place {
        let act = Act::Shift { tier: at, weight_bp, step: applied.step };
        // The same: where all that is stable is down, no weight puts it back.
        return Decision { drifted: applied.raised.is_none(), ..Decision::new(act, Doing::Shifting) };
    }
    let next = at.map_or(0, |at| at + 1);
    if wanted.is_none_or(|wanted| next > wanted) {
        return arrived(desired, baked, conditions);
    }
    if let Some(reason) = against(desired, conditions) {
        return Decision::hold(reason);
    }
    if at.is_some() && !baked {
        return Decision::new(Act::Keep, Doing::Baking);
    }
    // No data is never healthy: neither at the tier that is left, nor where none could be measured at all.
    let unhealthy = if at.is_some() { conditions.health.against() } else { conditions.unmeasured.clone() };
    if let Some(reason) = unhealthy {
        return Decision::hold(reason);
    }
    forward(desired, next, ours, seen, conditions)
}

/// Whether the lease's candidate has less weight than was given to it: somebody took traffic off.
pub(super) fn is_below(seen: &Observed, desired: &Desired, weight_bp: u32) -> bool {
    match &seen.lease {
        // All that there is belongs to the lease before.
        Some(lease) if *lease != desired.lease => seen.weight_bp == 10_000,
        _ => seen.weight_bp < weight_bp,
    }
}

fn lowered(desired: &Desired, seen: &Observed, weight_bp: u32) -> Refusal {
    let percent = Percent::of;
    let seen = if seen.lease.as_ref() == Some(&desired.lease) { percent(seen.weight_bp) } else { percent(0) };
    let message = format!(
        "lease {} was at {} % and is at {seen} %: somebody took traffic off",
        desired.lease,
        percent(weight_bp)
    );
    Refusal::new(Reason::Drift, message).hint(
        "to give it back: git two-key pause, then git two-key resume; to take it off for good: git two-key rollback",
    )
}

/// At the tier that the ledger wants. What was ready once is so no longer when its gates do not pass any more.
fn arrived(desired: &Desired, baked: bool, conditions: &Conditions) -> Decision {
    match (desired.phase, conditions.health.against()) {
        (Phase::Paused { .. }, _) => Decision::new(Act::Keep, Doing::Holding),
        _ if !baked => Decision::new(Act::Keep, Doing::Baking),
        (_, Some(reason)) => Decision::hold(reason),
        _ => Decision::new(Act::Keep, Doing::Ready),
    }
}

/// What the metrics of the tier that the target is at ask for. It comes before expiry: a rollback is not put off by a hold.
fn unhealthy(desired: &Desired, at: Option<usize>, conditions: &Conditions) -> Option<Decision> {
    let runs = at.is_some_and(|at| match desired.phase {
        Phase::Rolling { .. } | Phase::Paused { .. } => true,
        // The ledger may be quicker than this applier.
        Phase::Completed => at + 1 < desired.tiers.len(),
        _ => false,
    });
    let (kind, reason) = conditions.health.stop().filter(|_| runs)?;
    let doing = if kind == StopKind::Rollback { Doing::RollingBack } else { Doing::Shifting };
    Some(Decision { reason: Some(reason), ..Decision::new(Act::Stop(kind), doing) })
}

/// What the lease says for when its window has closed. Nothing if it is open, or was completed, or nobody knows.
fn expiry(desired: &Desired, at: Option<usize>, baked: bool, ours: bool, conditions: &Conditions) -> Option<Decision> {
    let over = conditions.now.is_some_and(|now| now >= desired.expires);
    let done = at.is_some_and(|at| at + 1 >= desired.tiers.len()) && baked;
    let acts = desired.phase != Phase::Completed && desired.on_expiry == OnExpiry::Rollback;
    // Weight zero is nothing to be undone.
    (over && acts && !done && ours && at.is_some()).then(|| {
        let message = format!("lease {} expired at {} and says rollback", desired.lease, desired.expires);
        Decision {
            reason: Some(Refusal::new(Reason::Expired, message)),
            ..Decision::new(Act::Expire, Doing::RollingBack)
        }
    })
}

/// What speaks against every forward move.
fn against(desired: &Desired, conditions: &Conditions) -> Option<Refusal> {
    let id = &desired.lease;
    if matches!(desired.phase, Phase::Paused { .. }) {
        return Some(Refusal::new(Reason::WrongState, format!("lease {id} is paused")));
    }
    if desired.frozen {
        return Some(Refusal::new(Reason::Frozen, "a freeze is in force").hint("end it with: git two-key thaw"));
    }
    if let Some(blocker) = conditions.blockers.first() {
        return Some(blocker.clone());
    }
    let Some(now) = conditions.now else {
        return Some(doubted());
    };
    if now >= desired.expires {
        let message = format!("lease {id} expired at {}", desired.expires);
        return Some(Refusal::new(Reason::Expired, message).hint("issue a new lease: git two-key new"));
    }
    if desired.issued > now.saturating_add(CLOCK_TOLERANCE).unwrap_or(Timestamp::MAX) {
        return Some(Refusal::new(Reason::NotYetValid, format!("lease {id} is not valid before {}", desired.issued)));
    }
    None
}

/// The next tier, or the pack that has to come before the first.
fn forward(desired: &Desired, next: usize, ours: bool, seen: &Observed, conditions: &Conditions) -> Decision {
    let (Some(tier), Some(step)) = (desired.tiers.get(next), desired.tier_steps.get(next)) else {
        let message = format!("the ledger does not say how lease {} came to tier {next}", desired.lease);
        return Decision::hold(Refusal::new(Reason::Internal, message));
    };
    let untouched = !ours && seen.lease.as_ref() != Some(&desired.lease);
    match conditions.pack {
        Pack::Rehearsed => {
            let act = Act::Shift { tier: Some(next), weight_bp: basis_points(tier.weight), step: *step };
            Decision::new(act, Doing::Shifting)
        }
        // What is there now is what there was before.
        Pack::Missing if untouched => Decision::new(Act::Pack, Doing::Shifting),
        Pack::Missing => {
            let message = format!("there is no pack to undo lease {} with, and it was shifted already", desired.lease);
            Decision::hold(Refusal::new(Reason::NoPack, message).hint("halt it, or roll it back by hand"))
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
