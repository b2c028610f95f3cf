//! What the ledger wants of a target, with every stop that was seen. Pure.

use crate::{
    ledger::{LeaseState, Phase, State},
    model::TargetId,
};

use super::{
    decide::{Applied, Desired, Rollback},
    stops::{SeenStop, phase_with, rollbacks_with},
};

/// What is wanted of a target; nothing if no lease ever started there.
///
/// That is the lease that started there last. But where this applier has not yet brought the one before it to its last
/// tier (the ledger was quicker), that one comes first, and a stop of the newer one is a stop of what is running.
pub fn desired(state: &State, target: &TargetId, applied: &Applied, stops: &[SeenStop]) -> Option<Desired> {
    let newest = state.newest_on(target)?;
    // What was restored is watched to the end; it ends by itself, at the latest with the deadline of its gates.
    let watched = applied.lease.as_ref().filter(|_| matches!(applied.rollback, Rollback::Restored(_)));
    if let Some(earlier) = watched.filter(|id| **id != newest.id).and_then(|id| state.lease(id)) {
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
        undone: None,
    })
}
