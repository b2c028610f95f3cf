//! Count-ratio gates: bad events of all events, compared with the baseline's while both grow.
//!
//! Each slot asks for the counts of the whole tier so far, so that a slot at which nobody looked loses no error.

use crate::model::policy::Gate;

use super::{
    comparison::Comparing,
    conclude::{Bench, Cause, Figures, Read, Reading, Says},
    limits::{Limits, State},
    measure::Value,
    report::Aggregate,
    slot::later,
    stats::counts::{Counts, certifying},
    watch::{Part, Query, Side, Slot},
    words,
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
    /// The total is there and below its minimum, and nothing counts the bad.
    TotalOnly(f64),
    /// Nothing may be concluded.
    Unknown(String, Cause),
}

/// How many events a PASS needs, as a number to compare counts with. By default as many as, without a single bad one,
/// would certify the absolute limit, or 1 %, with a confidence of 95 %.
pub(super) fn minimum(bench: &Bench<'_>) -> (u64, f64) {
    let certified = |gate: &Gate| {
        let limit = gate.absolute.and_then(|absolute| absolute.max).map(crate::model::policy::Decimal::get);
        let limit = limit.filter(|limit| *limit > 0.0 && *limit < 1.0).unwrap_or(CERTIFIED);
        // Between 1 and a few hundred thousand for any limit that makes sense; more is capped.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let needed = certifying(limit, CONFIDENCE).clamp(1.0, f64::from(u32::MAX)) as u32;
        needed
    };
    let minimum = bench.raised(bench.gate.min.total.unwrap_or_else(|| certified(bench.gate)));
    #[allow(clippy::cast_precision_loss)]
    (minimum, minimum as f64)
}

/// What a slot's answers say of one side. Only a missing `bad`, with the total there and at its minimum, counts as zero.
pub(super) fn counted(slot: &Slot, part: Part, minimum: f64) -> Counted {
    let total = match number(slot, Part { query: Query::Total, ..part }) {
        Number::Known(total) => total,
        Number::Missing => return Counted::Unknown(format!("{}: no data", what(part, "total")), Cause::Silence),
        Number::Unknown(why, cause) => return Counted::Unknown(format!("{}: {why}", what(part, "total")), cause),
    };
    match number(slot, Part { query: Query::Bad, ..part }) {
        Number::Known(bad) if bad > total * (1.0 + ROUNDING) + ROUNDING => {
            let why = format!("{bad} bad of {total} in all cannot be");
            Counted::Unknown(format!("{}: {why}", what(part, "counts")), Cause::Silence)
        }
        Number::Known(bad) => Counted::Known(Counts { bad, total }),
        Number::Missing if total >= minimum => Counted::Known(Counts { bad: 0.0, total }),
        Number::Missing => Counted::TotalOnly(total),
        Number::Unknown(why, cause) => Counted::Unknown(format!("{}: {why}", what(part, "bad")), cause),
    }
}

enum Number {
    Known(f64),
    Missing,
    Unknown(String, Cause),
}

fn number(slot: &Slot, part: Part) -> Number {
    match slot.value(part) {
        Some(Value::Number(number)) if number.is_finite() && *number >= 0.0 => Number::Known(*number),
        Some(Value::Number(number)) => Number::Unknown(format!("{number} is no count"), Cause::Silence),
        Some(Value::Nothing) => Number::Missing,
        Some(Value::Invalid(why)) => Number::Unknown(why.clone(), Cause::Silence),
        Some(Value::Failed(why)) => Number::Unknown(why.clone(), Cause::Provider),
        Some(Value::Observations(_) | Value::Summarized(_)) => {
            Number::Unknown("observations where a count was expected".to_owned(), Cause::Silence)
        }
        None => Number::Unknown("it was not asked for".to_owned(), Cause::Silence),
    }
}

pub(super) fn what(part: Part, query: &str) -> String {
    let side = match part.side {
        Side::Candidate => "candidate",
        Side::Baseline => "baseline",
    };
    part.window.map_or_else(|| format!("{side} {query}"), |window| format!("{side} {query} over {window}"))
}

/// Reads the slots of a count-ratio gate.
pub(super) fn read(bench: &Bench<'_>, slots: &[Slot]) -> Reading {
    let (minimum, least) = minimum(bench);
    let mut reading = Reading { minimum: Some(minimum), ..Reading::default() };
    let mut tier =
        Tier { bench, least, limits: Limits::new(bench), comparing: Comparing::new(bench, least), grew: None };
    for (index, slot) in slots.iter().enumerate() {
        // Of the newest slot all figures are wanted.
        tier.comparing.newest = index + 1 == slots.len();
        let mut figures = Figures::default();
        let says = tier.slot(slot, &mut figures, &mut reading);
        let figures = Some(figures).filter(|figures| *figures != Figures::default());
        reading.slots.push(Read { number: slot.number, at: slot.at, says, figures });
    }
    reading.marks.extend(tier.grew.map(|grew| grew.slot));
    reading.awaited = tier.comparing.awaits().then(|| bench.baked());
    reading
}

/// The parts of a count-ratio gate.
pub(super) fn part(side: Side) -> Part {
    Part { side, query: Query::Total, window: None }
}

/// When the candidate's events last became more.
#[derive(Debug, Clone, Copy)]
struct Grew {
    slot: u64,
    at: jiff::Timestamp,
    total: f64,
}

/// One tier, slot by slot.
struct Tier<'a> {
    bench: &'a Bench<'a>,
    least: f64,
    limits: Limits,
    comparing: Comparing<'a>,
    grew: Option<Grew>,
}

impl Tier<'_> {
    fn slot(&mut self, slot: &Slot, figures: &mut Figures, reading: &mut Reading) -> Says {
        let (candidate, baseline) = self.comparing.counts(slot);
        let candidate = match candidate {
            Counted::Known(counts) => counts,
            Counted::TotalOnly(total) => {
                figures.candidate = Aggregate { total: Some(total), ..Aggregate::default() };
                let total = words::count(total);
                return Says::Partial(format!("{total} of {} events, and nothing counts the bad ones yet", self.least));
            }
            Counted::Unknown(why, cause) => return Says::Unknown(why, cause),
        };
        figures.candidate = aggregate(candidate);
        self.serves(slot, candidate);
        let limit = self.limits.hold(candidate, self.least);
        if let State::Broken(why) = limit {
            return Says::Harm(why);
        }
        let few = |why: &str| Says::Few(format!("{}; {why}", words::counts(candidate)));
        match (self.comparing.slot(slot, (candidate, baseline), figures, reading), limit) {
            (Says::Unknown(why, cause), _) => Says::Unknown(why, cause),
            (Says::Harm(why), _) => Says::Harm(format!("{}{why}", words::counts(candidate))),
            (_, State::NoNumber) => Says::no_number(),
            _ if candidate.total < self.least => {
                let total = words::count(candidate.total);
                Says::Few(format!("{total} of {} events; {}", self.least, words::counts(candidate)))
            }
            (_, State::Beyond(why)) => Says::Few(why),
            (Says::Few(why) | Says::Partial(why), _) => few(&why),
            (Says::Fine(_), _) if self.stands_still(slot, candidate) => {
                let since = self.grew.map(|grew| format!(" since {}", grew.at)).unwrap_or_default();
                Says::Few(format!("no event was counted{since}; {}", words::counts(candidate)))
            }
            (Says::Fine(why), _) => Says::Fine(format!("{}{why}", words::counts(candidate))),
        }
    }

    /// Remembers when the candidate was last seen to serve. A source that lost what it had counted says nothing of that.
    fn serves(&mut self, slot: &Slot, candidate: Counts) {
        let (number, at, total) = (slot.number, slot.at, candidate.total);
        if self.grew.is_none_or(|grew| (total - grew.total).abs() >= 1.0) {
            self.grew = Some(Grew { slot: number, at, total });
        }
    }

    /// Whether nothing new was counted for as long as a look may be relied on. What stopped serving goes on to look as well
    /// as it did when it last served. At the last tier there is nobody else who would serve, and nowhere to go from there.
    fn stands_still(&self, slot: &Slot, candidate: Counts) -> bool {
        let until = self.grew.map(|grew| later(grew.at, self.bench.gate.evidence_ttl));
        candidate.total > 0.0 && !self.bench.context.last && until.is_some_and(|until| slot.at > until)
    }
}

pub(super) fn aggregate(counts: Counts) -> Aggregate {
    Aggregate { bad: Some(counts.bad), total: Some(counts.total), ..Aggregate::default() }
}
