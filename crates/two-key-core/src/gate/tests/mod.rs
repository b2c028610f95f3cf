//! Verdicts, slot by slot, of each kind of gate.

mod answers;
mod burn;
mod counts;
mod counts_lost;
mod evidence;
mod gauge;
mod sample;
mod thresholds;
