//! Blocks: what was counted in each minute of a tier, or in each slot where slots are longer. What is left out as the worst has to
//! be long enough for a bad moment.

use crate::model::{document::Span, policy::Gate};

use super::{
    counted::{HighWater, fell},
    reading::TierGate,
    stats::counts::Counts,
    watch::Slot,
};

/// The longest time that slots are taken together for.
const BLOCK: Span = Span::seconds(60);

/// What each block of a tier counted, of one side or of both.
#[derive(Debug)]
pub(super) struct Blocks<const SIDES: usize> {
    /// The block that the newest slot is in, by its number.
    current: Option<u64>,
    /// The highest that the counts of each side were.
    levels: [HighWater; SIDES],
    /// The counts of the slot before, and its number.
    last: [Counts; SIDES],
    last_slot: Option<u64>,
    /// Each side's blocks.
    pub(super) counts: [Vec<Counts>; SIDES],
}

impl<const SIDES: usize> Default for Blocks<SIDES> {
    fn default() -> Self {
        Self {
            current: None,
            levels: std::array::from_fn(|_| HighWater::default()),
            last: [Counts::default(); SIDES],
            last_slot: None,
            counts: std::array::from_fn(|_| Vec::new()),
        }
    }
}

impl<const SIDES: usize> Blocks<SIDES> {
    /// Adds a slot's counts, those of the whole tier so far. Those that fell are of another counter: what it counts now is one
    /// block, whenever that was. Returns the slot that ended the block before, if one did.
    pub(super) fn add(&mut self, tier_gate: &TierGate<'_>, slot: &Slot, now: [Counts; SIDES]) -> Option<u64> {
        if now.iter().zip(&self.last).any(|(now, last)| fell(tier_gate.gate, *now, *last)) {
            *self = Self::default();
        }
        let block = number(tier_gate, slot);
        let mut ended = None;
        if self.current != Some(block) {
            self.current = Some(block);
            ended = self.last_slot;
            self.counts.iter_mut().for_each(|blocks| blocks.push(Counts::default()));
        }
        for ((blocks, level), now) in self.counts.iter_mut().zip(&mut self.levels).zip(now) {
            if let Some(newest) = blocks.last_mut() {
                *newest = Counts::sum([*newest, level.rise(now)]);
            }
        }
        (self.last, self.last_slot) = (now, Some(slot.number));
        ended
    }
}

/// The block that a slot is in, from 0.
pub(super) fn number(tier_gate: &TierGate<'_>, slot: &Slot) -> u64 {
    let passed = slot.at.as_second().saturating_sub(tier_gate.clockwork().ground.as_second());
    u64::try_from(passed.saturating_sub(1)).unwrap_or(0) / length(tier_gate.gate, tier_gate.context.bake)
}

/// How many blocks a bake of so long has, settling left out, and how many seconds its slots cover.
pub fn blocks_of(gate: &Gate, bake: Span) -> (u64, u64) {
    let slots = bake.as_secs().saturating_sub(gate.settle.as_secs()) / gate.interval.as_secs().max(1);
    let covered = slots * gate.interval.as_secs();
    (covered.div_ceil(length(gate, bake)), covered)
}

/// How many seconds a block lasts.
fn length(gate: &Gate, bake: Span) -> u64 {
    gate.interval.max(BLOCK.min(bake)).as_secs().max(1)
}
