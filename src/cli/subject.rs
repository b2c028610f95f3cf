//! What a handle means to verbs that only look: a target with all its leases, or one lease.

use std::collections::BTreeSet;

use super::{Failure, session::Session};
use crate::{ledger, model::LeaseId};

/// The leases that somebody looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The one that comes first: of a target what runs there or ran there last, else what was proposed last.
    pub lease: LeaseId,
    /// All of them.
    pub all: BTreeSet<LeaseId>,
}

impl Session {
    /// The leases that a handle (lease id, intent id or target) means.
    pub fn subject(&self, handle: &str) -> Result<Subject, Failure> {
        if let Ok(at) = ledger::looked_at(&self.state, handle) {
            let first = at.newest.or_else(|| at.open.last().cloned()).or_else(|| at.all.last().cloned());
            if let Some(lease) = first {
                return Ok(Subject { lease, all: at.all });
            }
        }
        let lease = self.lease(handle, None)?;
        Ok(Subject { all: [lease.clone()].into(), lease })
    }
}
