//! Verdicts, slot by slot, of each kind of gate.

mod answers;
mod burn;
mod counts;
mod evidence;
mod gauge;
mod sample;
mod thresholds;
