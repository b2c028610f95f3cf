//! Handles in verbs that only look: a target with all its leases, or one lease.

use std::collections::BTreeSet;

use super::{Failure, session::Session};
use crate::{
    ledger::{self, State},
    model::{LeaseId, TargetId},
};

/// The leases that somebody looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSelection {
    /// The one that comes first: of a target what runs there or ran there last, else what was proposed last.
    pub lease: LeaseId,
    /// The target, where that was meant, with all its leases.
    pub target: Option<TargetId>,
}

impl Session {
    /// The leases that a handle (lease id, intent id or target) means.
    pub fn subject(&self, handle: &str) -> Result<LeaseSelection, Failure> {
        if let Ok(at) = ledger::looked_at(&self.state, handle) {
            let first = at.newest.or_else(|| at.open.last().cloned());
            let first = first.or_else(|| ledger::leases_on(&self.state, &at.target).last().cloned());
            if let Some(lease) = first {
                return Ok(LeaseSelection { lease, target: Some(at.target) });
            }
        }
        Ok(LeaseSelection { lease: self.lease(handle, None)?, target: None })
    }

    /// All leases that a subject is about.
    pub fn all_of(&self, subject: &LeaseSelection) -> BTreeSet<LeaseId> {
        let all = subject.target.as_ref().map(|target| ledger::leases_on(&self.state, target));
        all.unwrap_or_else(|| [subject.lease.clone()].into())
    }
}

/// How alike two names must be for the one to be meant by the other; 1 is the same.
const ALIKE: f64 = 0.85;

/// The id, intent or target that a handle is most like, if it is like any.
pub(super) fn meant(state: &State, handle: &str) -> Option<String> {
    let leases = state.known_leases();
    let documents = leases.iter().filter_map(|id| state.document(id));
    let of_documents = documents.flat_map(|lease| {
        [Some(lease.target.to_string()), lease.intent.as_ref().map(ToString::to_string)].into_iter().flatten()
    });
    let targets = state.policy().get().targets.keys().map(ToString::to_string);
    let names = leases.iter().map(ToString::to_string).chain(of_documents).chain(targets);
    alike(names, handle)
}

/// The name that is most like a word, if one is.
pub(super) fn alike(names: impl IntoIterator<Item = String>, word: &str) -> Option<String> {
    let likeness = |name: String| (strsim::jaro_winkler(&name.to_lowercase(), &word.to_lowercase()), name);
    let best = names.into_iter().map(likeness).max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 >= ALIKE).then_some(best.1)
}
