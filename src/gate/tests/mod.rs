//! Verdicts, slot by slot, of each kind of gate.

mod counts;
