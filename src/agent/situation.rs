//! Situation of one lease: what a decision rests on, gathered from the ledger and from what its applier attests. Pure.

use jiff::Timestamp;

use crate::{
    follower::{
        records::{Doing, Observation, basis_points},
        stops::{SeenStop, phase_with},
    },
    gate::{Measure, health::unmeasurable},
    inbox::{self, Overlay, Plan},
    ledger::{self, LeaseState, Phase, PinnedTerms, State},
    model::{LeaseId, Percent, PrincipalId, PublicKey, Reason, Refusal, TargetId, lease::Lease},
};

use super::decide::{Turn, Watched};

/// Where a lease is, with the stops that the ledger has not folded.
pub(super) fn phase(state: &State, id: &LeaseId, stops: &[SeenStop]) -> Phase {
    state.lease(id).map_or(Phase::Proposed, |entry| phase_with(state, entry, stops))
}

/// What our key could be turned for, and how.
pub(super) struct NextVote {
    pub(super) turn: Turn,
    /// The turn, planned; where it would count.
    pub(super) plan: Option<Plan>,
    /// Why the lease's window is not open.
    pub(super) window: Option<Refusal>,
}

/// Finds out what our key could be turned for.
pub(super) fn next(
    state: &State,
    waiting: &Overlay,
    id: &LeaseId,
    who: (&PublicKey, &PrincipalId),
    now: Timestamp,
) -> NextVote {
    let nothing = |turn| NextVote { turn, plan: None, window: None };
    // What can only be undone is left to people; what this agent undoes by itself is decided elsewhere.
    let Some(awaited) = ledger::awaited(state, id).filter(|awaited| !awaited.action.stops()) else {
        return nothing(Turn::Nothing);
    };
    let window = inbox::in_window(state, awaited.action, Some(id), now);
    let window = window.and_then(|()| inbox::key_in_time(state, awaited.action, who.0.raw(), now)).err();
    let plan = Plan::new(state, waiting, awaited.action, Some(id), None);
    let plan = match plan.and_then(|plan| plan.turned_by(waiting, who.0, who.1)) {
        Ok(plan) => plan,
        Err(refusal) => return nothing(Turn::Closed(refusal)),
    };
    // One more agent than the rule asks for is ignored.
    if awaited.agents == 0 && !awaited.any_one {
        return nothing(Turn::Nothing);
    }
    let sealed = ledger::awaited(&plan.before, id);
    let humans = sealed.filter(|sealed| sealed.action == awaited.action).map_or(0, |sealed| sealed.humans);
    let turn = Turn::Open { action: awaited.action, tier: awaited.tier, humans };
    NextVote { turn, plan: Some(plan), window }
}

/// What an applier attests of the target of a lease.
pub(super) fn observed<'a>(found: &'a [Observation], target: &TargetId) -> Option<&'a Observation> {
    found.iter().find(|observation| observation.target == *target)
}

/// When the target was first seen at the tier that the lease is at, as its applier says; none while it is not there.
pub(super) fn started(entry: &LeaseState, tier: usize, seen: Option<&Observation>) -> Option<Timestamp> {
    let record = &seen?.record;
    let weight = entry.lease()?.tiers.get(tier)?.weight;
    let there = record.lease == entry.id
        && record.observed_lease.as_ref() == Some(&entry.id)
        && record.observed_bp == Some(basis_points(weight));
    record.bake_started.filter(|_| there)
}

/// When the target was first seen at that tier, whatever was seen since; none where its applier does not say.
pub(super) fn reached(entry: &LeaseState, tier: usize, seen: Option<&Observation>) -> Option<Timestamp> {
    let record = &seen?.record;
    // The number of the transition that went to the tier, and not its weight: the target may be elsewhere now.
    let steps = entry.transitions.iter().filter(|one| one.tier.is_some() && one.phase == Phase::Rolling { tier });
    let step = steps.map(|one| one.step).next()?;
    record.reached.filter(|_| record.lease == entry.id && record.applied_step >= step)
}

/// What the applier attests of the step that a lease is at.
pub(super) fn watched(entry: &LeaseState, tier: usize, seen: Option<&Observation>) -> Watched {
    let Some(Observation { applier, record, .. }) = seen else {
        return Watched::Nothing("no applier has recorded anything of the target".to_owned());
    };
    let step = entry.next_step().saturating_sub(1);
    let weight = entry.lease().and_then(|lease| lease.tiers.get(tier)).map_or(0, |tier| tier.weight);
    let wanted = basis_points(weight);
    if record.lease != entry.id || record.step != step {
        let message = format!("{applier} has not seen step {step} of the lease yet");
        return Watched::Nothing(message);
    }
    let percent = |basis_points: u32| format!("{} %", Percent::of(basis_points));
    let there = record.observed_bp.map_or("an unknown weight".to_owned(), percent);
    let why = record.message.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let in_place = record.observed_bp == Some(wanted)
        && record.desired_bp == wanted
        && record.applied_step == step
        && record.observed_lease.as_ref() == Some(&entry.id);
    if in_place && record.phase == Doing::Ready {
        let since = record.bake_started.map(|since| format!(" since {since:.0}")).unwrap_or_default();
        return Watched::Baked(format!("{applier} has watched {} for the whole bake{since}", percent(wanted)));
    }
    Watched::NotYet(format!("{applier} sees {there}, {}{why}", record.phase.word()))
}

/// Why a lease that has not started could not be watched here: by the gates of its target and the limits in the policy.
pub(super) fn unmeasured(state: &State, lease: &Lease, measure: Option<&dyn Measure>) -> Option<Refusal> {
    let policy = state.policy().get();
    policy.targets.get(&lease.target)?;
    unmeasurable(&PinnedTerms::of(policy, &lease.target), measure)
}

/// Why nothing may be measured of a tier yet.
pub(super) fn not_there(seen: Option<&Observation>) -> Refusal {
    let message = match seen {
        Some(seen) => format!("{} does not see the tier's weight in place", seen.applier),
        None => "no applier has recorded anything of the target".to_owned(),
    };
    Refusal::new(Reason::NoData, message)
}
