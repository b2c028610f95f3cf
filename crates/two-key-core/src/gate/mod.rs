//! Gates: health conditions that a tier must pass, and thresholds that halt it. Silence never passes.
//!
//! [`judge()`] is the one way to a verdict. It asks a [`Measure`] for the newest slot that is due, remembers the answers in
//! the caller's [`Watch`], and derives the [`Judgement`] from what the watch holds: the same pure derivation that
//! [`Evidence`] is evaluated by again, offline. The statistics are in [`stats`], and each is tested against values that
//! other programs computed.
//!
//! | verdict | means |
//! |---|---|
//! | FAIL | harm was shown, or a limit was broken; it stands for the rest of the tier |
//! | INCONCLUSIVE | the newest slot could not be measured, or what is known is too old |
//! | PENDING | too few samples or slots so far, or no slot is due yet |
//! | PASS | measured in the newest slot, enough of it, and nothing is wrong |
//!
//! Called by the reconciler and the command line, which bring measurements; calls [`crate::ledger`], for what is pinned of a
//! target and what risk demands, and [`crate::model`].

pub mod answers;
mod blocks;
mod budget;
mod burn;
mod comparison;
mod conclude;
mod context;
mod counted;
mod counts;
mod difference;
mod evidence;
mod gauge;
pub mod health;
mod judge;
mod limits;
mod measure;
mod power;
mod question;
mod reading;
mod report;
mod sample;
mod slot;
pub mod stats;
mod template;
mod thresholds;
mod view;
mod watch;
mod words;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use blocks::blocks_of;
pub use budget::Budget;
pub use burn::seen_after;
pub use context::{MeasuredVersion, Names, Pools, Recorded, TierContext};
pub use counted::least_events;
pub use evidence::{Evidence, MAX_EVIDENCE_BYTES, Reevaluation, estimated_bytes};
pub use judge::{judge, slot_times};
pub use measure::{Answer, MAX_OBSERVATIONS, Measure, Metric, Observations, Question, Shape, Value};
pub use power::{FEWEST_BLOCKS, Traffic, smallest_harm};
pub use report::{Aggregate, Comparison, GateReport, Judgement, SlotCounts, ThresholdReport, ThresholdState, Verdict};
pub use view::{
    EvidenceView, GateView, ReplayView, ReplayedSlot, evidence_text, gate_text, judgement_text, replay_text,
};
pub use watch::{Answered, Part, Query, Side, Slot, Watch};
