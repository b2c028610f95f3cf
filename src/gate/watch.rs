//! What has been seen of one tier so far. The caller keeps it from look to look.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{GateId, LeaseId, document::Span};

use super::{
    context::TierContext,
    measure::{Metric, Value},
    stats::Summary,
};

/// The most slots that are kept of one metric. What decided is kept before what did not.
pub(super) const MAX_SLOTS: usize = 1500;

/// The slots of one tier seen so far. A watch of another tier, or of another beginning of it, is begun anew.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Which tier it is of.
    of: Option<Of>,
    /// The slots of each gate, in their order.
    #[serde(default)]
    pub(super) gates: BTreeMap<GateId, Seen>,
    /// The slots of each threshold that no gate measures.
    #[serde(default)]
    pub(super) thresholds: BTreeMap<GateId, Seen>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    lease: LeaseId,
    tier: u8,
    started: Timestamp,
}

/// The slots of one gate or threshold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    pub(super) slots: Vec<Slot>,
    /// How a threshold that no gate measures is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metric: Option<Metric>,
    /// How many slots with data were too many to keep.
    #[serde(default)]
    pub(super) forgotten: u64,
}

/// One moment at which the metrics were looked at. A moment that nobody looked at is missing from the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Its number, from 1.
    pub number: u64,
    /// Its time.
    pub at: Timestamp,
    /// What was asked and answered.
    pub answers: Vec<Answered>,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Which part of the gate it is.
    pub part: Part,
    /// The query as it was asked; not kept of slots that decide nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Where its window began.
    pub from: Timestamp,
    /// What the source said, word for word; not kept of slots that decide nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// What that means.
    pub value: Value,
}

/// Which part of a gate a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Whose.
    pub side: Side,
    /// Which query.
    pub query: Query,
    /// For burn-rate gates, which window, before it was clamped to the tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
}

/// Whose measurement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// What rolls out.
    Candidate,
    /// What it is compared with.
    Baseline,
}

/// Which of a gate's queries it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// Counts what is bad.
    Bad,
    /// Counts all.
    Total,
    /// Gives observations or the one value.
    Value,
}

impl Of {
    fn new(context: &TierContext) -> Self {
        Self { lease: context.lease.clone(), tier: context.tier, started: context.started }
    }
}

impl Watch {
    /// Begins anew if it is of another tier.
    pub(super) fn turn_to(&mut self, context: &TierContext) {
        let of = Of::new(context);
        if self.of.as_ref() != Some(&of) {
            *self = Self { of: Some(of), ..Self::default() };
        }
    }

    /// Which other tier it is of, if it is not of this one; of none while nothing was seen.
    pub(super) fn is_of_another(&self, context: &TierContext) -> Option<String> {
        let other = self.of.as_ref().filter(|of| **of != Of::new(context))?;
        Some(format!("{} at {} % since {}", other.lease, other.tier, other.started))
    }

    /// The slots of a gate, oldest first.
    pub fn slots(&self, gate: &GateId) -> &[Slot] {
        self.gates.get(gate).map_or(&[], |seen| &seen.slots)
    }
}

impl Slot {
    /// What was answered to one part.
    pub(super) fn value(&self, part: Part) -> Option<&Value> {
        self.answers.iter().find(|answered| answered.part == part).map(|answered| &answered.value)
    }

    /// Lets go of what only explains.
    fn thin(&mut self) {
        for answered in &mut self.answers {
            answered.query = None;
            answered.raw = None;
            if let Value::Observations(observations) = &answered.value
                && let Some(summary) = Summary::of(observations)
            {
                answered.value = Value::Summarized(summary);
            }
        }
    }
}

impl Seen {
    /// The number of the newest slot that was looked at; 0 before the first.
    pub(super) fn newest(&self) -> u64 {
        self.slots.last().map_or(0, |slot| slot.number)
    }

    /// Adds a slot. Of the earlier ones, those that decided something are kept whole, the rest in short.
    pub(super) fn push(&mut self, slot: Slot, decisive: &BTreeSet<u64>) {
        for earlier in self.slots.iter_mut().filter(|earlier| !decisive.contains(&earlier.number)) {
            earlier.thin();
        }
        self.slots.push(slot);
        if self.slots.len() > MAX_SLOTS
            && let Some(oldest) = self.slots.iter().position(|slot| !decisive.contains(&slot.number))
        {
            self.slots.remove(oldest);
            self.forgotten += 1;
        }
    }
}
