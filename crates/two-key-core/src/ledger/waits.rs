//! Waits: what a lease needs completed on other targets before it starts.

use std::collections::BTreeMap;

use crate::model::{
    LeaseId, Reason, Refusal,
    lease::{After, AfterArtifacts, AfterState, Lease},
};

use super::{Phase, State};

/// How many leases of another target are looked at for one that has to have completed there.
const MAX_LOOK_BACK: usize = 32;

/// How many leases are looked at for a way that leads back.
const MAX_WAY: usize = 256;

/// Of leases that were looked at, the last one on a way that leads back; none where there is no such way.
type LastOnWay = BTreeMap<LeaseId, Option<LeaseId>>;

impl State {
    /// Whether what a lease waits for on other targets has completed.
    pub(in crate::ledger) fn check_after(&self, lease: &Lease) -> Result<(), Refusal> {
        let Some(awaited) = lease.after.iter().find(|after| !self.has_completed(lease, after)) else { return Ok(()) };
        let what = match awaited.artifacts {
            AfterArtifacts::Any => "a lease",
            AfterArtifacts::Same => "a lease of the same artifacts",
        };
        let message = format!("lease {} starts after {what} has completed on target {}", lease.id, awaited.target);
        Err(Refusal::new(Reason::NotYet, message)
            .hint(format!("see what runs there with: git two-key show {}", awaited.target)))
    }

    /// Whether a lease that another waits for has completed: one of those that its target came to be at, one after the other.
    fn has_completed(&self, lease: &Lease, after: &After) -> bool {
        let mut at = self.newest_on(&after.target);
        for _ in 0..MAX_LOOK_BACK {
            let Some(there) = at else { return false };
            let reached = match after.state {
                AfterState::Completed => there.phase == Phase::Completed,
            };
            if reached && there.lease().is_some_and(|done| done.is_what(lease, after)) {
                return true;
            }
            at = there.falls_back_to.as_ref().and_then(|before| self.lease(before));
        }
        false
    }

    /// A lease that waits for one that is proposed, and for which that one waits, perhaps by way of others: none of them could ever
    /// start. Only whoever proposes or checks asks this: what others propose, which needs no key, stands in no vote's way.
    pub fn waits_in_circle(&self, lease: &Lease) -> Option<LeaseId> {
        self.leads_back(lease, lease, &mut BTreeMap::new())
    }

    /// The last lease of such a way from here: there is one if nothing but leases on such ways could be what one waits for.
    fn leads_back(&self, at: &Lease, first: &Lease, seen: &mut LastOnWay) -> Option<LeaseId> {
        // Anybody may propose a way that never ends; what is longer is not refused.
        if seen.len() >= MAX_WAY {
            return None;
        }
        at.after.iter().filter(|asks| !self.has_completed(at, asks)).find_map(|asks| {
            let is_meant = |one: &&Lease| one.target == asks.target && one.is_what(at, asks);
            let ids = self.known_leases();
            let waits = |id: &&LeaseId| {
                self.lease(id).is_none_or(|entry| !entry.phase.started() && !entry.phase.ended()) && **id != first.id
            };
            let candidates = ids.iter().filter(waits).filter_map(|id| self.document(id)).filter(is_meant);
            let mut last = is_meant(&first).then(|| at.id.clone());
            for candidate in candidates {
                let back = if let Some(known) = seen.get(&candidate.id) {
                    known.clone()
                } else {
                    // One that is met again on its own way does not lead back by that.
                    seen.insert(candidate.id.clone(), None);
                    let back = self.leads_back(candidate, first, seen);
                    seen.insert(candidate.id.clone(), back.clone());
                    back
                };
                last = Some(back?);
            }
            last
        })
    }
}
