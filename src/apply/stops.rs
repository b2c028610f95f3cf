//! Stops that were seen anywhere: in force once seen, remembered until the ledger has folded them. Pure.

use serde::{Deserialize, Serialize};

use crate::{
    ledger::{self, LeaseState, Phase, State, StopEffect},
    model::{Oid, RawKey, Reason, Statement, Stop, Subject},
    signature::{Cosignature, Opened},
};

/// A verified stop or freeze, by a key that was in force when it was first seen here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SeenStop {
    /// The key.
    pub key: RawKey,
    /// What it signed.
    pub statement: Statement,
    /// The commit that carries it.
    pub commit: Oid,
    /// Why, in the signer's words.
    pub reason: Option<String>,
}

impl SeenStop {
    /// Whether the ledger holds it, so that it need not be remembered.
    pub fn is_folded(&self, state: &State) -> bool {
        state.stop_seen(self.key, &self.statement)
    }

    /// The stop of a lease, if it is one.
    pub fn stop(&self) -> Option<&Stop> {
        match &self.statement.subject {
            Subject::Stop(stop) => Some(stop),
            _ => None,
        }
    }

    /// Whether it is a freeze.
    pub fn is_freeze(&self) -> bool {
        matches!(self.statement.subject, Subject::Freeze { .. })
    }
}

/// The stops that a commit carries and that the ledger would heed, by the last verified policy. A stop of a lease that
/// the ledger has not heard of yet is among them: nothing may outrun it.
pub fn stops_in(state: &State, commit: Oid, opened: &Opened) -> Vec<SeenStop> {
    let Opened::Carrier { votes, .. } = opened else { return Vec::new() };
    let stops = votes.iter().flatten().filter(|vote| vote.statement().action().stops());
    let heeded = stops.filter(|vote| is_heeded(state, vote)).map(|vote| SeenStop {
        key: vote.key().raw(),
        statement: vote.statement().clone(),
        commit,
        reason: vote.reason().map(str::to_owned),
    });
    heeded.filter(|stop| !stop.is_folded(state)).collect()
}

fn is_heeded(state: &State, vote: &Cosignature) -> bool {
    ledger::forecast(state, vote).findings.iter().all(|finding| finding.refusal.reason == Reason::UnknownLease)
}

/// Where a lease is once the stops have taken effect that the ledger has not folded: the worst of what each does.
pub fn phase_with(state: &State, lease: &LeaseState, stops: &[SeenStop]) -> Phase {
    let worse = |worst, phase| if severity(phase) > severity(worst) { phase } else { worst };
    effects_on(state, lease, stops).fold(lease.phase, worse)
}

/// How many rollbacks of a lease have been signed: those in the ledger, and those that it has not folded.
pub fn rollbacks_with(state: &State, lease: &LeaseState, stops: &[SeenStop]) -> u32 {
    let folded = lease.transitions.iter().filter(|transition| transition.phase == Phase::RolledBack).count();
    let waiting = effects_on(state, lease, stops).filter(|phase| *phase == Phase::RolledBack);
    u32::try_from(folded.saturating_add(waiting.count())).unwrap_or(u32::MAX)
}

/// What each stop that the ledger has not folded does to a lease.
fn effects_on<'a>(
    state: &'a State,
    lease: &'a LeaseState,
    stops: &'a [SeenStop],
) -> impl Iterator<Item = Phase> + use<'a> {
    let landings = unfolded(state, stops).filter_map(|stop| ledger::stop_targets(state, stop.kind, &stop.lease).ok());
    landings.flatten().filter_map(|(id, effect)| match effect {
        StopEffect::Goes(phase, _) if id == lease.id => Some(phase),
        _ => None,
    })
}

fn unfolded<'a>(state: &'a State, stops: &'a [SeenStop]) -> impl Iterator<Item = &'a Stop> {
    stops.iter().filter(|stop| !stop.is_folded(state)).filter_map(SeenStop::stop)
}

fn severity(phase: Phase) -> u8 {
    match phase {
        Phase::Proposed | Phase::Authorized | Phase::Rolling { .. } | Phase::Completed => 0,
        Phase::Paused { .. } => 1,
        Phase::Halted => 2,
        Phase::RolledBack | Phase::Withdrawn => 3,
    }
}
