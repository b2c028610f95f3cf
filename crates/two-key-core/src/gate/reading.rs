//! Reading: what the slots of one gate say at one tier, before anything is concluded.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    ledger::PinnedTerms,
    model::{
        GateId,
        policy::{Gate, GateKind},
    },
};

use super::{
    budget::Budget,
    context::TierContext,
    report::{Aggregate, Comparison},
    slot::{Slots, later},
};

/// How many slots with data a PASS needs where the policy does not say.
const MIN_SLOTS: u32 = 3;

/// One gate at one tier, with what it is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct TierGate<'a> {
    pub(super) id: &'a GateId,
    pub(super) gate: &'a Gate,
    pub(super) context: &'a TierContext,
    /// How many false alarms it may raise.
    pub(super) budget: Budget,
}

impl<'a> TierGate<'a> {
    pub(super) fn new(id: &'a GateId, gate: &'a Gate, terms: &PinnedTerms, context: &'a TierContext) -> Self {
        Self { id, gate, context, budget: Budget::new(terms, context.tiers) }
    }

    pub(super) fn clockwork(&self) -> Slots {
        Slots::new(self.context.started, self.gate.settle, self.gate.interval)
    }

    /// When the tier has baked.
    pub(super) fn baked(&self) -> Timestamp {
        later(self.context.started, self.context.bake)
    }

    /// A minimum, raised as the risk demands.
    pub(super) fn raised(&self, minimum: u32) -> u64 {
        u64::from(minimum).saturating_mul(u64::from(self.context.samples.max(1)))
    }

    /// How many slots with data a PASS needs. A gauge's slots are its samples.
    pub(super) fn slots_needed(&self) -> u64 {
        let slots = self.gate.min.slots.unwrap_or(MIN_SLOTS);
        if self.gate.kind == GateKind::Gauge { self.raised(slots) } else { u64::from(slots) }
    }
}

/// What one slot says by itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Says {
    /// Measured, enough of it, and nothing is wrong.
    Fine(String),
    /// Measured, and too little.
    Few(String),
    /// Part of it was measured, and that is too little to know what the rest means.
    Partial(String),
    /// Not measured.
    Unknown(String, Cause),
    /// Harm.
    Harm(String),
}

impl Says {
    /// The words.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Fine(why) | Self::Few(why) | Self::Partial(why) | Self::Unknown(why, _) | Self::Harm(why) => why,
        }
    }
}

/// Why something was not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The source knew nothing, or said what may not be relied on.
    Silence,
    /// The source could not be asked: neither good nor bad.
    Provider,
    /// What comes of the numbers is no number: neither good nor bad.
    Arithmetic,
}

impl Says {
    /// What is said of figures that are no numbers.
    pub(super) fn no_number() -> Self {
        Self::Unknown("what comes of these numbers is no number".to_owned(), Cause::Arithmetic)
    }
}

/// One slot of a gate, read by its kind.
#[derive(Debug, Clone)]
pub(super) struct SlotReading {
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) says: Says,
    /// What was measured so far; none where this slot measured nothing.
    pub(super) figures: Option<Figures>,
}

/// What was measured of a tier up to some slot.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Figures {
    pub(super) candidate: Aggregate,
    pub(super) baseline: Option<Aggregate>,
    pub(super) comparison: Option<Comparison>,
}

/// All slots of a gate.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// In their order.
    pub(super) slots: Vec<SlotReading>,
    /// How many samples of the candidate a PASS needs.
    pub(super) minimum: Option<u64>,
    /// Slots that decided something beside their own verdict.
    pub(super) decisive: BTreeSet<u64>,
    /// Slots in which a limit was broken that takes more of them in a row.
    pub(super) row: BTreeSet<u64>,
    /// Slots that later ones are measured from.
    pub(super) marks: BTreeSet<u64>,
    /// Before this an open verdict is no sign of trouble.
    pub(super) not_before: Option<Timestamp>,
    /// From this moment on nothing passes without a look that has not been made yet.
    pub(super) awaited: Option<Timestamp>,
}
