//! Counted events: what a slot's answers count, and what of it is new.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::model::policy::{Gate, GateKind, Source, Worse};

use super::{
    measure::Value,
    reading::{Cause, Says, TierGate},
    report::Aggregate,
    slot::later,
    stats::counts::{Counts, certifying},
    watch::{Part, Query, Side, Slot},
};

/// The confidence with which a default minimum of samples without failure would certify a limit.
const CONFIDENCE: f64 = 0.95;
/// The share of bad events that the default minimum certifies where the gate has no absolute limit.
const CERTIFIED: f64 = 0.01;
/// What rounding may add to a sum.
pub(super) const ROUNDING: f64 = 1e-9;

/// What a slot's two answers come to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Counted {
    /// Both are known.
    Known(Counts),
    /// The total is there and enough, and nothing counts the bad: none, as far as anybody knows.
    NoneBad(f64),
    /// The total is there and below its minimum, and nothing counts the bad.
    TotalOnly(f64),
    /// Nothing may be concluded.
    Unknown(String, Cause),
}

impl Counted {
    /// What is said where nothing may be concluded.
    pub(super) fn says(self) -> Says {
        match self {
            Self::Unknown(why, cause) => Says::Unknown(why, cause),
            Self::Known(_) | Self::NoneBad(_) | Self::TotalOnly(_) => {
                Says::Unknown("nothing counts the bad ones".to_owned(), Cause::Silence)
            }
        }
    }
}

/// How many events a PASS needs of a gate that counts, before the risk raises it. By default as many as, without a single bad one,
/// would certify the absolute limit, or 1 %, with a confidence of 95 %.
pub fn least_events(gate: &Gate) -> u32 {
    gate.min.total.unwrap_or_else(|| {
        let limit = gate.absolute.and_then(|absolute| absolute.max).map(crate::model::policy::Decimal::get);
        let limit = limit.filter(|limit| *limit > 0.0 && *limit < 1.0).unwrap_or(CERTIFIED);
        // Between 1 and a few hundred thousand for any limit that makes sense; more is capped.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
        let needed = certifying(limit, CONFIDENCE).clamp(1.0, f64::from(u32::MAX)) as u32;
        needed
    })
}

/// The same, raised, and as a number to compare counts with.
pub(super) fn minimum(tier_gate: &TierGate<'_>) -> (u64, f64) {
    let minimum = tier_gate.raised(least_events(tier_gate.gate));
    #[allow(clippy::cast_precision_loss, reason = "a minimum is far below 2^52")]
    (minimum, minimum as f64)
}

/// Whether bad events that nothing ever counted are none. Where fewer are worse, that would make harm of silence, or health.
pub(super) fn is_none_good(gate: &Gate) -> bool {
    gate.worse == Worse::Higher && gate.absolute.is_none_or(|absolute| absolute.min.is_none())
}

/// What is said of bad events that nothing counts, where that is not none.
pub(super) fn uncounted(part: Part) -> Counted {
    let why = format!("{}: no data, which is not the same as none", what(part, "bad"));
    Counted::Unknown(why, Cause::Silence)
}

/// What a slot's answers say of one side.
pub(super) fn counted(slot: &Slot, part: Part, minimum: f64) -> Counted {
    let total = match number(slot, Part { query: Query::Total, ..part }) {
        CountAnswer::Known(total) => total,
        CountAnswer::Missing => return Counted::Unknown(format!("{}: no data", what(part, "total")), Cause::Silence),
        CountAnswer::Unknown(why, cause) => return Counted::Unknown(format!("{}: {why}", what(part, "total")), cause),
    };
    match number(slot, Part { query: Query::Bad, ..part }) {
        CountAnswer::Known(bad) if bad > total * (1.0 + ROUNDING) + ROUNDING => {
            let why = format!("{bad} bad of {total} in all cannot be");
            Counted::Unknown(format!("{}: {why}", what(part, "counts")), Cause::Silence)
        }
        CountAnswer::Known(bad) => Counted::Known(Counts { bad, total }),
        CountAnswer::Missing if total >= minimum => Counted::NoneBad(total),
        CountAnswer::Missing => Counted::TotalOnly(total),
        CountAnswer::Unknown(why, cause) => Counted::Unknown(format!("{}: {why}", what(part, "bad")), cause),
    }
}

enum CountAnswer {
    Known(f64),
    Missing,
    Unknown(String, Cause),
}

fn number(slot: &Slot, part: Part) -> CountAnswer {
    match slot.value(part) {
        Some(Value::Number(number)) if number.is_finite() && *number >= 0.0 => CountAnswer::Known(*number),
        Some(Value::Number(number)) => CountAnswer::Unknown(format!("{number} is no count"), Cause::Silence),
        Some(Value::Nothing) => CountAnswer::Missing,
        Some(Value::Invalid(why)) => CountAnswer::Unknown(why.clone(), Cause::Silence),
        Some(Value::Failed(why)) => CountAnswer::Unknown(why.clone(), Cause::Provider),
        Some(Value::Observations(_) | Value::Summarized(_)) => {
            CountAnswer::Unknown("observations where a count was expected".to_owned(), Cause::Silence)
        }
        None => CountAnswer::Unknown("it was not asked for".to_owned(), Cause::Silence),
    }
}

pub(super) fn what(part: Part, query: &str) -> String {
    let side = match part.side {
        Side::Candidate => "candidate",
        Side::Baseline => "baseline",
    };
    part.window.map_or_else(|| format!("{side} {query}"), |window| format!("{side} {query} over {window}"))
}

/// The parts of a count-ratio gate.
pub(super) fn part(side: Side) -> Part {
    Part { side, query: Query::Total, window: None }
}

/// How many slots a total has to stay below what was counted before, until what it counts is what there is.
const SETTLED: usize = 3;

/// The highest that each count of a tier was. Of two replicas one may know less, and Prometheus extrapolates: what fell for a slot or
/// two is not begun anew, and what rises to where it was is nothing new.
#[derive(Debug, Clone, Default)]
pub(super) struct HighWater {
    highest: Counts,
    /// The totals of the newest slots.
    recent: VecDeque<f64>,
}

impl HighWater {
    /// Takes a slot's counts; returns what is new of them.
    pub(super) fn rise(&mut self, now: Counts) -> Counts {
        let settled = self.recent.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.recent.len() == SETTLED && settled < self.highest.total {
            self.highest.total = settled;
            self.highest.bad = self.highest.bad.min(now.bad);
        }
        self.recent.push_back(now.total);
        if self.recent.len() > SETTLED {
            self.recent.pop_front();
        }
        if now.total < self.highest.total {
            return Counts::default();
        }
        let new = now.since(self.highest);
        self.highest = Counts { bad: self.highest.bad.max(now.bad), total: now.total };
        new
    }
}

/// Prometheus extrapolates what it counts to the edges of a window, so that a count may fall a little as its window
/// grows; less than this of what was counted before is no such fall.
const EXTRAPOLATED: f64 = 1.0 / 3.0;

/// Whether counts of a tier, which only grow, were begun anew.
pub(super) fn fell(gate: &Gate, now: Counts, before: Counts) -> bool {
    let kept = if gate.source == Source::Prometheus { EXTRAPOLATED } else { 1.0 };
    let fell = |now: f64, before: f64| now < before * kept - ROUNDING && before - now >= 1.0;
    fell(now.total, before.total) || (kept >= 1.0 && fell(now.bad, before.bad))
}

/// When events were last seen to come.
#[derive(Debug, Clone, Copy)]
struct Last {
    slot: u64,
    at: Timestamp,
    total: f64,
}

/// Whether somebody still serves, by a total that is asked for in each slot.
#[derive(Debug, Default)]
pub(super) struct Served {
    last: Option<Last>,
    recent: VecDeque<f64>,
}

impl Served {
    /// Takes a slot's total. What is asked of Prometheus moves by what half a slot brings although nothing comes, by
    /// extrapolation; that is no sign of life. Neither is that it fell, or is again what it was before it fell.
    pub(super) fn see(&mut self, tier_gate: &TierGate<'_>, slot: &Slot, total: f64) {
        let settled = self.recent.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if let Some(last) = self.last.as_mut().filter(|last| self.recent.len() == SETTLED && settled < last.total) {
            last.total = settled;
        }
        let extrapolated = tier_gate.gate.source == Source::Prometheus && tier_gate.gate.kind == GateKind::CountRatio;
        let drift = if extrapolated {
            let lasted = slot.at.as_second().saturating_sub(tier_gate.clockwork().ground.as_second()).max(1);
            #[allow(clippy::cast_precision_loss, reason = "seconds of any tier are exact")]
            let part = tier_gate.gate.interval.as_secs() as f64 / 2.0 / lasted as f64;
            total * part.min(1.0)
        } else {
            0.0
        };
        if self.last.is_none_or(|last| total - last.total >= drift.max(1.0)) {
            self.last = Some(Last { slot: slot.number, at: slot.at, total });
        }
        self.recent.push_back(total);
        if self.recent.len() > SETTLED {
            self.recent.pop_front();
        }
    }

    /// Since when nothing new came, if that is longer than a look may be relied on. What stopped serving goes on to look as well as
    /// it did when it last served. At the last tier there is nobody else who would serve, and nowhere to go from there.
    pub(super) fn silent_since(&self, tier_gate: &TierGate<'_>, slot: &Slot) -> Option<Timestamp> {
        let last = self.last.filter(|last| last.total > 0.0 && !tier_gate.context.last)?;
        (slot.at > later(last.at, tier_gate.gate.evidence_ttl)).then_some(last.at)
    }

    /// The slot with which something last came.
    pub(super) fn mark(&self) -> Option<u64> {
        self.last.map(|last| last.slot)
    }
}

pub(super) fn aggregate(counts: Counts) -> Aggregate {
    Aggregate { bad: Some(counts.bad), total: Some(counts.total), ..Aggregate::default() }
}
