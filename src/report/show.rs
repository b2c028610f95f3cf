//! `show`: a lease, and what else is open on its target.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{self, State, StepReport},
    model::LeaseId,
};

use super::{
    Beside,
    lease::{LeaseView, lease_view},
    list::{LeaseSummary, leases_table, summary},
};

/// What `show` says: a lease, and what else is open on its target.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ShowView {
    /// All about the lease.
    #[serde(flatten)]
    pub lease: LeaseView,
    /// The other leases of its target that have not ended, oldest first.
    pub others: Vec<LeaseSummary>,
}

/// A lease with what else is open on its target.
pub fn show_view(state: &State, reports: &[StepReport], beside: &Beside, id: &LeaseId) -> ShowView {
    let at = state.document(id).map(|lease| ledger::at_target(state, &lease.target));
    // A mere proposal stands behind what runs there.
    let others =
        at.into_iter().flat_map(|at| at.newest.filter(|newest| is_open(state, newest)).into_iter().chain(at.open));
    let others = others.filter(|other| other != id).map(|other| summary(state, 0, beside, &other));
    ShowView { lease: lease_view(state, reports, beside, id), others: others.collect() }
}

fn is_open(state: &State, id: &LeaseId) -> bool {
    state.lease(id).is_none_or(|lease| !lease.phase.ended())
}

/// What else is open on a lease's target, for people; empty if nothing is.
pub fn others_text(others: &[LeaseSummary]) -> String {
    match others.first().and_then(|other| other.target.as_deref()) {
        Some(target) => format!("\nAlso open on {target}\n{}", leases_table(others)),
        None => String::new(),
    }
}
