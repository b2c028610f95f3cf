//! Verdicts, slot by slot, of each kind of gate.

mod answers;
mod burn;
mod counts;
mod counts_lost;
mod counts_minutes;
mod counts_recorded;
mod evidence;
mod gauge;
mod sample;
mod thresholds;
