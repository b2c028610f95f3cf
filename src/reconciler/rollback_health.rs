//! Health after a rollback: what metrics say of a version that was restored, over a window that begins with the restoration.
//! Pure.
//!
//! A rollback is verified only if what serves again is as healthy as what served before. Here too silence never passes: what
//! has not been shown by the deadline of the gates has failed.

use crate::{
    follower::clock::ClockReading,
    gate::{
        Recorded, Verdict,
        health::{Deadline, Gates, Look},
    },
    ledger::PinnedTerms,
    model::policy::{Gate, GateKind},
};

/// What is known of the health of what was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackHealth {
    /// What the gates say of it; none while nobody has looked.
    pub gates: Gates,
    /// Whether all of them had to have passed by now.
    pub deadline: Deadline,
    /// What was measured, for people.
    pub figures: String,
}

impl RollbackHealth {
    /// Nobody has looked.
    pub const UNKNOWN: Self = Self { gates: Gates::None, deadline: Deadline::Ahead, figures: String::new() };

    /// What a look says. A gate that only compares has nothing to judge by where the pack recorded nothing for it.
    pub fn of(look: &Look, deadline: Deadline) -> Self {
        let figures = look.health.figures.join("; ");
        let unjudged = look.evidence.as_ref().and_then(|evidence| {
            let mut gates = evidence.terms.gates.iter();
            let recorded = &evidence.context.recorded;
            gates.find(|(id, gate)| !is_judged(gate, recorded.get(*id))).map(|(id, _)| {
                format!("{id}: it has no limit of its own, and the pack recorded nothing to compare with")
            })
        });
        let gates = match (&look.health.gates, unjudged) {
            (Gates::Pass, Some(why)) => Gates::Open(deadline, why),
            (gates, _) => gates.clone(),
        };
        Self { gates, deadline, figures }
    }

    /// What the gates said last, as it is written down.
    pub fn verdict(&self) -> Verdict {
        match self.gates {
            Gates::Pass => Verdict::Pass,
            Gates::Fail(..) => Verdict::Fail,
            Gates::None | Gates::Open(..) => Verdict::Inconclusive,
        }
    }
}

/// Whether anything says what would be too bad.
fn is_judged(gate: &Gate, recorded: Option<&Recorded>) -> bool {
    let fits = matches!(
        (gate.kind, recorded),
        (GateKind::CountRatio, Some(Recorded::Counts { .. })) | (GateKind::Sample, Some(Recorded::Observations(_)))
    );
    gate.absolute.is_some() || gate.kind == GateKind::BurnRate || fits
}

/// Whether the window that began with a restoration is over: settled, and as long as the most patient gate waits.
pub fn deadline(terms: &PinnedTerms, restored: &ClockReading, now: &ClockReading) -> Deadline {
    let of = |gate: &Gate| gate.settle.as_secs().saturating_add(gate.inconclusive_deadline.as_secs());
    let longest = terms.gates.values().map(of).max().unwrap_or(0);
    if now.at_most_ms_since(restored) >= longest.saturating_mul(1000) { Deadline::Passed } else { Deadline::Ahead }
}

#[cfg(test)]
#[path = "rollback_health_tests.rs"]
mod tests;
