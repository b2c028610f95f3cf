//! Stops that were seen anywhere: in force once seen, remembered until the ledger has folded them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    ledger::{self, LeaseState, Phase, State, StopEffect},
    model::{LeaseId, Nonce, Oid, RawKey, Reason, Statement, Stop, StopKind, Subject},
    signature::{Cosignature, Opened},
};

/// A verified stop or freeze, by a key that was in force when it was first seen here; or one of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SeenStop {
    /// The key.
    pub key: RawKey,
    /// What it signed.
    pub statement: Statement,
    /// The commit that carries it; none for one of our own that could not be signed yet.
    pub commit: Option<Oid>,
    /// Why, in the signer's words.
    pub reason: Option<String>,
}

impl SeenStop {
    /// A stop of our own, by our key. It binds us from now on, signed or not.
    pub(crate) fn own(state: &State, key: RawKey, (lease, kind): (&LeaseId, StopKind), reason: &str) -> Self {
        let nonce = Nonce::from_bytes(rand::random());
        let repository = state.policy().get().repository.clone();
        let statement = Statement { repository, subject: Subject::Stop(Stop { lease: lease.clone(), kind, nonce }) };
        Self { key, statement, commit: None, reason: Some(in_one_line(reason)) }
    }

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

/// Words as one line that a commit may carry as its reason, whatever strangers wrote into them.
pub(crate) fn in_one_line(words: &str) -> String {
    /// The most letters of it; each has at most four bytes.
    const MOST: usize = 250;
    let plain = |letter: char| letter.is_alphanumeric() || letter.is_ascii_graphic();
    let words: String = words.chars().map(|letter| if plain(letter) { letter } else { ' ' }).take(MOST).collect();
    let words = words.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "no reason was given".to_owned() } else { words }
}

/// The verified stops that a commit carries, of keys in force.
pub fn stops_of(state: &State, opened: &Opened) -> Vec<Cosignature> {
    let votes = state.votes(opened).into_iter().flatten();
    votes.filter(|vote| vote.statement().action().stops()).collect()
}

/// Those of the stops that a commit carries that the ledger would heed and has not folded, by the last verified policy. A
/// stop of a lease that the ledger has not heard of yet is among them: nothing may outrun it.
pub fn stops_in(state: &State, commit: Oid, stops: &[Cosignature]) -> Vec<SeenStop> {
    let heeded = stops.iter().filter(|vote| is_heeded(state, vote)).map(|vote| SeenStop {
        key: vote.key().raw(),
        statement: vote.statement().clone(),
        commit: Some(commit),
        reason: vote.reason().map(str::to_owned),
    });
    heeded.filter(|stop| !stop.is_folded(state)).collect()
}

fn is_heeded(state: &State, vote: &Cosignature) -> bool {
    ledger::stops_something(state, vote).err().is_none_or(|refusal| refusal.reason == Reason::UnknownLease)
}

/// Where a lease is once the stops have taken effect that the ledger has not folded: the worst of what each does.
pub fn phase_with(state: &State, lease: &LeaseState, stops: &[SeenStop]) -> Phase {
    landing_on(state, lease, stops).fold(lease.phase, |worst, (stop, phase)| {
        if severity(phase) > severity(worst) && !stop.is_folded(state) { phase } else { worst }
    })
}

/// How many rollbacks of a lease have been signed: those in the ledger, and those that it has not folded.
pub fn rollbacks_with(state: &State, lease: &LeaseState, stops: &[SeenStop]) -> u32 {
    let folded = lease.transitions.iter().filter(|transition| transition.phase == Phase::RolledBack).count();
    let waiting =
        landing_on(state, lease, stops).filter(|(stop, phase)| *phase == Phase::RolledBack && !stop.is_folded(state));
    u32::try_from(folded.saturating_add(waiting.count())).unwrap_or(u32::MAX)
}

/// The stops that take effect on a lease, and where each brings it. Where a stop lands is found out once for all that name
/// the same lease: there may be very many.
fn landing_on<'a>(
    state: &'a State,
    lease: &'a LeaseState,
    stops: &'a [SeenStop],
) -> impl Iterator<Item = (&'a SeenStop, Phase)> {
    let mut known: HashMap<(&LeaseId, StopKind), Option<Phase>> = HashMap::new();
    stops.iter().filter_map(move |seen| {
        let Stop { lease: named, kind, .. } = seen.stop()?;
        let lands = || {
            let landings = ledger::stop_targets(state, *kind, named).ok()?;
            landings.into_iter().find_map(|(id, effect)| match effect {
                StopEffect::Goes(phase, _) if id == lease.id => Some(phase),
                _ => None,
            })
        };
        let phase = *known.entry((named, *kind)).or_insert_with(lands);
        phase.map(|phase| (seen, phase))
    })
}

fn severity(phase: Phase) -> u8 {
    match phase {
        Phase::Proposed | Phase::Authorized | Phase::Rolling { .. } | Phase::Completed => 0,
        Phase::Paused { .. } => 1,
        Phase::Halted => 2,
        Phase::RolledBack | Phase::Withdrawn => 3,
    }
}
