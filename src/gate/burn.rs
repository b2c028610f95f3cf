//! Burn-rate gates: an error budget that is spent too fast over a short and a long window at once.

use crate::model::{document::Span, policy::Decimal};

use super::{
    conclude::{Bench, Cause, Reading, Says},
    counts::{Counted, Counts, broken, counted, minimum},
    question::windows,
    report::Aggregate,
    stats::{Summary, burn},
    watch::{Part, Query, Side, Slot},
};

/// How far two sums of the same may be apart, relative to them.
const ROUNDING: f64 = 1e-9;

/// Reads the slots of a burn-rate gate.
pub(super) fn read(bench: &Bench<'_>, slots: &[Slot]) -> Reading {
    let (minimum, least) = minimum(bench);
    let mut reading = Reading { minimum: Some(minimum), ..Reading::default() };
    let mut rates = Vec::new();
    for slot in slots {
        let says = match measured(bench, slot, least) {
            Ok(measured) => of_slot(bench, &measured, least, &mut reading.candidate, &mut rates),
            Err(says) => says,
        };
        reading.says.push((slot.number, slot.at, says));
    }
    reading.candidate.summary = Summary::of(&rates);
    reading
}

/// The counts over each window. What is bad over the longest one may be missing only where its total is enough; a shorter
/// window is part of it.
fn measured(bench: &Bench<'_>, slot: &Slot, least: f64) -> Result<Vec<(Span, Counts)>, Says> {
    let mut measured = Vec::new();
    let mut least = least;
    for window in windows(bench.gate).into_iter().rev() {
        let part = Part { side: Side::Candidate, query: Query::Total, window: Some(window) };
        match counted(slot, part, least) {
            Counted::Known(counts) => {
                if counts.total >= least {
                    least = 0.0;
                }
                measured.push((window, counts));
            }
            Counted::TotalOnly(total) => {
                return Err(Says::Partial(format!(
                    "{total:.0} of {least} events, and nothing counts the bad ones yet"
                )));
            }
            Counted::Unknown(why, cause) => return Err(Says::Unknown(why, cause)),
        }
    }
    Ok(measured)
}

fn of_slot(
    bench: &Bench<'_>,
    measured: &[(Span, Counts)],
    least: f64,
    candidate: &mut Aggregate,
    rates: &mut Vec<f64>,
) -> Says {
    let (Some((_, longest)), Some(objective)) = (measured.first().copied(), bench.gate.objective) else {
        return Says::Unknown("the gate has no windows or no objective".to_owned(), Cause::Silence);
    };
    *candidate = Aggregate { bad: Some(longest.bad), total: Some(longest.total), summary: None };
    if let Some(why) = bench.gate.absolute.and_then(|limits| broken(limits, longest, least)) {
        return Says::Harm(why);
    }
    let over = |window: Span| measured.iter().find(|(own, _)| *own == window).map(|(_, counts)| *counts);
    let mut fastest = 0.0_f64;
    for window in &bench.gate.windows {
        let (Some(short), Some(long)) = (over(window.short), over(window.long)) else { continue };
        // Below the minimum a long window burns at least as fast as if all events up to it were good.
        let (short, long) = (rate(short, 0.0, objective), rate(long, least, objective));
        let factor = window.factor.get();
        // A rate on the limit is good, whatever rounding makes of it.
        let limit = factor * (1.0 + ROUNDING);
        if short > limit && long > limit {
            return Says::Harm(format!(
                "the budget burns {short:.1} times too fast over {} and {long:.1} over {}; the limit is {factor}",
                window.short, window.long
            ));
        }
        fastest = fastest.max(short.min(long));
    }
    rates.push(fastest);
    if longest.total < least {
        return Says::Few(format!("{:.0} of {least} events", longest.total));
    }
    if let Some(silent) = bench.gate.windows.iter().map(|window| window.short).find(|short| is_silent(over(*short))) {
        return silence(silent);
    }
    Says::Fine(format!("the budget burns at {fastest:.2} of what it bears; {:.0} events", longest.total))
}

/// Whether nothing at all came over a window. That is no sign of health, however it was counted.
fn is_silent(counts: Option<Counts>) -> bool {
    counts.is_none_or(|counts| counts.total <= 0.0)
}

fn silence(window: Span) -> Says {
    Says::Unknown(format!("nothing was counted over the last {window}"), Cause::Silence)
}

/// How fast a budget burns, with at least so many events; none burn nothing.
pub(super) fn rate(counts: Counts, least: f64, objective: Decimal) -> f64 {
    let total = counts.total.max(least);
    if total > 0.0 { burn::rate(counts.bad, total, objective.get()) } else { 0.0 }
}

/// How fast the budget burned over the shortest window of a slot.
pub(super) fn shortest(bench: &Bench<'_>, slot: &Slot) -> Result<f64, Says> {
    let (_, least) = minimum(bench);
    let measured = measured(bench, slot, least)?;
    let nothing = || Says::Unknown("the gate has no windows or no objective".to_owned(), Cause::Silence);
    let ((_, longest), (window, counts)) = measured.first().zip(measured.last()).ok_or_else(nothing)?;
    if longest.total < least {
        return Err(Says::Few(format!("{:.0} of {least} events", longest.total)));
    }
    if is_silent(Some(*counts)) {
        return Err(silence(*window));
    }
    Ok(rate(*counts, 0.0, bench.gate.objective.ok_or_else(nothing)?))
}
