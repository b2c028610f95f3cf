//! Memory of one tier's slots so far. The caller keeps it from look to look.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{GateId, LeaseId, document::Span};

use super::{
    context::TierContext,
    measure::{Metric, Value},
};

/// The most slots that are kept of one metric, unless what was decided rests on more.
pub(super) const MAX_SLOTS: usize = 1500;
/// How many slots are kept beside those that what was decided rests on, however many these are.
const FREE_SLOTS: usize = 100;
/// The longest words of a source that are kept, in bytes.
const MAX_RAW: usize = 16 * 1024;

/// The slots of one tier seen so far. A watch of another tier, or of another beginning of it, is begun anew.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Which tier it is of.
    of: Option<WatchedTier>,
    /// The slots of each gate, in their order.
    #[serde(default)]
    pub(super) gates: BTreeMap<GateId, Seen>,
    /// The slots of each threshold that no gate measures.
    #[serde(default)]
    pub(super) thresholds: BTreeMap<GateId, Seen>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchedTier {
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
    /// How many slots were too many to keep.
    #[serde(default)]
    pub(super) forgotten: Forgotten,
    /// How long after a slot's time its source is asked.
    #[serde(default)]
    pub(super) lag: Span,
}

/// Slots that were too many to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forgotten {
    /// With data.
    pub(super) measured: u64,
    /// Without.
    pub(super) without_data: u64,
}

/// What is to be kept of the slots so far.
#[derive(Debug, Default)]
pub(super) struct Keep {
    /// Those that decided something: whole. No slot up to the last of them is let go of, so that what was decided is derived
    /// from the same slots for good, and nobody has to be believed what it was.
    pub(super) decisive: BTreeSet<u64>,
    /// Those that matter for others: in short.
    pub(super) marks: BTreeSet<u64>,
    /// Those without data.
    pub(super) silent: BTreeSet<u64>,
    /// The one in which a threshold was crossed: whole, and what it rests on, as of what decided.
    pub(super) halting: Option<u64>,
    /// Those in which a limit was broken or a threshold crossed that takes more of them in a row: whole, but for the baseline's
    /// observations.
    pub(super) row: BTreeSet<u64>,
}

impl Keep {
    /// Whether a slot is kept whole.
    pub(super) fn whole(&self, number: u64) -> bool {
        let row = self.row.contains(&number);
        row || self.decisive.contains(&number) || self.halting == Some(number)
    }

    /// Whether a slot is kept whole for nothing but a row that it is in.
    fn in_a_row_only(&self, number: u64) -> bool {
        self.row.contains(&number) && !self.decisive.contains(&number) && self.halting != Some(number)
    }

    /// The last slot that something was decided in; 0 before.
    fn decided(&self) -> u64 {
        self.decisive.last().copied().max(self.halting).unwrap_or(0)
    }
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

impl WatchedTier {
    fn new(context: &TierContext) -> Self {
        Self { lease: context.lease.clone(), tier: context.tier, started: context.started }
    }
}

impl Watch {
    /// Begins anew if it is of another tier.
    pub(super) fn turn_to(&mut self, context: &TierContext) {
        let of = WatchedTier::new(context);
        if self.of.as_ref() != Some(&of) {
            *self = Self { of: Some(of), ..Self::default() };
        }
    }

    /// Which other tier it is of, if it is not of this one; of none while nothing was seen.
    pub(super) fn is_of_another(&self, context: &TierContext) -> Option<String> {
        let other = self.of.as_ref().filter(|of| **of != WatchedTier::new(context))?;
        Some(format!("{} at {} % since {}", other.lease, other.tier, other.started))
    }

    /// Lets go of all words.
    pub(super) fn bare(&mut self) {
        let all = self.gates.values_mut().chain(self.thresholds.values_mut());
        for answered in all.flat_map(|seen| &mut seen.slots).flat_map(|slot| &mut slot.answers) {
            answered.raw = None;
        }
    }

    /// The slots of a gate, oldest first.
    pub fn slots(&self, gate: &GateId) -> &[Slot] {
        self.gates.get(gate).map_or(&[], |seen| &seen.slots)
    }
}

impl Answered {
    /// Lets go of what only explains.
    fn thin(&mut self) {
        (self.query, self.raw) = (None, None);
        self.sum_up();
    }

    /// Keeps observations in short.
    fn sum_up(&mut self) {
        if let Value::Observations(observations) = &self.value
            && let Some(summary) = observations.summary()
        {
            self.value = Value::Summarized(summary);
        }
    }
}

impl Slot {
    /// What was answered to one part.
    pub(super) fn value(&self, part: Part) -> Option<&Value> {
        self.answers.iter().find(|answered| answered.part == part).map(|answered| &answered.value)
    }

    /// Lets go of what only explains.
    fn thin(&mut self) {
        self.answers.iter_mut().for_each(Answered::thin);
    }

    /// Lets go of words that are too long to be kept: what they mean is.
    fn shorten(&mut self) {
        for answered in &mut self.answers {
            answered.raw = answered.raw.take().filter(|raw| raw.len() <= MAX_RAW);
        }
    }
}

impl Seen {
    /// The number of the newest slot that was looked at; 0 before the first.
    pub(super) fn newest(&self) -> u64 {
        self.slots.last().map_or(0, |slot| slot.number)
    }

    /// Adds a slot. Of the earlier ones, those that decided something are kept whole, the rest in short; where there are too
    /// many, those go first on which nothing rests. What was decided rests on all slots before.
    pub(super) fn push(&mut self, mut slot: Slot, keep: &Keep) {
        self.thin(keep);
        slot.shorten();
        self.slots.push(slot);
        let decided = keep.decided();
        let bound = self.slots.partition_point(|slot| slot.number <= decided);
        if self.slots.len() <= MAX_SLOTS.max(bound + FREE_SLOTS) {
            return;
        }
        let free = |slot: &Slot| slot.number > decided && !keep.whole(slot.number);
        let unmarked = |slot: &Slot| free(slot) && !keep.marks.contains(&slot.number);
        let oldest = self.slots.iter().position(unmarked).or_else(|| self.slots.iter().position(free));
        let Some(oldest) = oldest else { return };
        let gone = self.slots.remove(oldest);
        if keep.silent.contains(&gone.number) {
            self.forgotten.without_data += 1;
        } else {
            self.forgotten.measured += 1;
        }
    }

    /// What cannot be of how many slots it says it let go of, if anything.
    pub(super) fn forgot_wrongly(&self) -> Option<String> {
        let Forgotten { measured, without_data } = self.forgotten;
        let gone = measured.saturating_add(without_data);
        if gone == 0 {
            return None;
        }
        if self.slots.len() < MAX_SLOTS {
            return Some(format!("{gone} slots were let go of, although there were not too many"));
        }
        let kept = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        let newest = self.newest();
        (gone.saturating_add(kept) > newest)
            .then(|| format!("{gone} slots were let go of and {kept} kept, and the newest is number {newest}"))
    }

    /// Lets go of all that only explains what decided nothing.
    fn thin(&mut self, keep: &Keep) {
        for slot in self.slots.iter_mut().filter(|slot| !keep.whole(slot.number)) {
            slot.thin();
        }
        // A limit is the candidate's alone: in a row of slots that break one, the baseline decides nothing.
        for slot in self.slots.iter_mut().filter(|slot| keep.in_a_row_only(slot.number)) {
            let baselines = slot.answers.iter_mut().filter(|answered| answered.part.side == Side::Baseline);
            baselines.for_each(|answered| {
                if let Value::Observations(_) = answered.value {
                    answered.raw = None;
                }
                answered.sum_up();
            });
        }
    }

    /// The same of observations whose words were too long to be kept.
    pub(super) fn thin_long(&mut self, keep: &Keep) {
        for slot in self.slots.iter_mut().filter(|slot| !keep.whole(slot.number)) {
            slot.answers.iter_mut().filter(|answered| answered.raw.is_none()).for_each(Answered::sum_up);
        }
    }
}
