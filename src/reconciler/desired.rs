//! Desired state of a target, with every stop that was seen. Pure.

use crate::{
    follower::stops::{SeenStop, phase_with, rollbacks_with},
    ledger::{LeaseState, Phase, State},
    model::TargetId,
};

use super::{
    applied::{Applied, Rollback},
    decision::{Desired, Observed},
};

/// What is wanted of a target; nothing if no lease ever started there.
///
/// That is the lease that started there last. But what is there of an earlier one that was rolled back is undone first, whatever
/// became of the newer one. And where this applier has not yet brought the one before it to its last tier (the ledger was
/// quicker), that one comes first, and a stop of the newer one is a stop of what is running.
pub fn desired(state: &State, target: &TargetId, applied: &Applied, stops: &[SeenStop]) -> Option<Desired> {
    let newest = state.newest_on(target)?;
    if let Some(earlier) = left_over(state, newest, applied, stops) {
        return of(state, earlier, Phase::RolledBack, rollbacks_with(state, earlier, stops), stops);
    }
    let at = undone_to(state, newest, applied, stops);
    if at.id != newest.id {
        let wanted = of(state, at, phase_with(state, at, stops), rollbacks_with(state, at, stops), stops)?;
        return Some(Desired { undone: Some(newest.id.clone()), ..wanted });
    }
    let phase = phase_with(state, newest, stops);
    let earlier = applied.lease.as_ref().filter(|id| **id != newest.id).and_then(|id| state.lease(id));
    if let Some(earlier) = earlier.filter(|earlier| is_unfinished(earlier, applied)) {
        let phase = match phase {
            Phase::Halted => Phase::Halted,
            Phase::RolledBack => Phase::RolledBack,
            Phase::Paused { .. } => Phase::Paused { tier: applied.tier.unwrap_or(0) },
            _ => earlier.phase,
        };
        return of(state, earlier, phase, rollbacks_with(state, newest, stops), stops);
    }
    of(state, newest, phase, rollbacks_with(state, newest, stops), stops)
}

/// What the ledger says of the lease that is seen at a target, if that is what counts as applied there from now on: it is
/// what is wanted, nothing was ever written down here, or it was rolled back and has weight again.
pub fn found(
    state: &State,
    target: &TargetId,
    applied: &Applied,
    observed: Option<&Observed>,
    stops: &[SeenStop],
) -> Option<Desired> {
    let seen = observed?;
    let lease =
        state.lease(seen.lease.as_ref()?).filter(|lease| lease.lease().is_some_and(|it| it.target == *target))?;
    let found = of(state, lease, phase_with(state, lease, stops), rollbacks_with(state, lease, stops), stops)?;
    let is_wanted = desired(state, target, applied, stops).is_some_and(|wanted| wanted.lease == lease.id);
    let is_undone = matches!(applied.rollback, Rollback::Restored(_) | Rollback::Verified);
    let failed = matches!(applied.rollback, Rollback::Failed(_));
    let ours = applied.lease.as_ref() == Some(&lease.id);
    let is_back = found.phase == Phase::RolledBack && seen.weight_bp > 0 && (is_undone || (failed && !ours));
    let counts = if is_wanted { !ours } else { applied.lease.is_none() || is_back };
    (counts && applied.intent.is_none()).then_some(found)
}

/// What is there of a lease that is not the newest, was rolled back, and has not been undone here.
fn left_over<'a>(
    state: &'a State,
    newest: &LeaseState,
    applied: &Applied,
    stops: &[SeenStop],
) -> Option<&'a LeaseState> {
    let begun = applied.intent.as_ref().map(|intent| &intent.lease);
    let here = state.lease(begun.or(applied.lease.as_ref())?).filter(|here| here.id != newest.id)?;
    let rolled_back = || phase_with(state, here, stops) == Phase::RolledBack;
    let is_open = match &applied.rollback {
        _ if begun.is_some() => rolled_back(),
        Rollback::None => rolled_back(),
        // It is watched to the end, at the latest until the deadline of its gates.
        Rollback::Attempted { .. } | Rollback::Restored(_) => true,
        Rollback::Verified => false,
        // Only a newer lease that goes forward makes good for it.
        Rollback::Failed(signed) => {
            let newer = matches!(phase_with(state, newest, stops), Phase::Halted | Phase::RolledBack);
            rolled_back() && (newer || rollbacks_with(state, here, stops) > *signed)
        }
    };
    is_open.then_some(here)
}

/// How far a target is to be undone now, of a lease and those that it falls back to and that are stopped as well: each is
/// undone before the one that it falls back to, and what was never shifted here need not be.
fn undone_to<'a>(state: &'a State, newest: &'a LeaseState, applied: &Applied, stops: &[SeenStop]) -> &'a LeaseState {
    let phase = |lease: &LeaseState| phase_with(state, lease, stops);
    let below = |lease: &&'a LeaseState| {
        let before = state.lease(lease.falls_back_to.as_ref()?)?;
        (phase(lease) == Phase::RolledBack && phase(before) != Phase::Completed).then_some(before)
    };
    let stopped = || std::iter::successors(Some(newest), below);
    let begun = applied.intent.as_ref().map(|intent| &intent.lease);
    let here = |lease: &&LeaseState| begun == Some(&lease.id) || applied.lease.as_ref() == Some(&lease.id);
    let Some(here) = stopped().find(here) else {
        // Nothing of the newest one was ever shifted here.
        return stopped().nth(1).unwrap_or(newest);
    };
    let undone = begun.is_none()
        && match &applied.rollback {
            Rollback::None | Rollback::Attempted { .. } => false,
            Rollback::Restored(_) | Rollback::Verified => true,
            Rollback::Failed(signed) => rollbacks_with(state, here, stops) <= *signed,
        };
    if undone { below(&here).unwrap_or(here) } else { here }
}

/// Whether a lease that another one superseded was shifted here, and neither to its last tier nor back.
fn is_unfinished(lease: &LeaseState, applied: &Applied) -> bool {
    let last = lease.lease().map(|document| document.tiers.len());
    lease.superseded_by.is_some()
        && applied.tier.is_none_or(|tier| last.is_some_and(|last| tier + 1 < last))
        && applied.rollback == Rollback::None
}

fn of(state: &State, lease: &LeaseState, phase: Phase, rollbacks: u32, stops: &[SeenStop]) -> Option<Desired> {
    let document = lease.lease()?;
    let steps = |tier: usize| {
        let to = lease.transitions.iter().filter(move |one| one.tier.is_some() && one.phase == Phase::Rolling { tier });
        to.map(|one| one.step).next()
    };
    let before = lease.falls_back_to.as_ref().and_then(|id| state.lease(id));
    let before = before.filter(|before| phase_with(state, before, stops) == Phase::Completed);
    let frozen = state.frozen().is_some() || stops.iter().any(|stop| stop.is_freeze() && !stop.is_folded(state));
    Some(Desired {
        lease: lease.id.clone(),
        phase,
        step: lease.transitions.last().map_or(0, |transition| transition.step),
        tier_steps: (0..document.tiers.len()).map_while(steps).collect(),
        tiers: document.tiers.clone(),
        frozen,
        issued: document.issued,
        expires: document.expires,
        on_expiry: document.on_expiry,
        rollbacks,
        falls_back_to: before.map(|before| before.id.clone()),
        undone: None,
        drift_below: lease.terms.as_ref().map(|terms| terms.drift_below).unwrap_or_default(),
    })
}
