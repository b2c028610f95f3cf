//! Gauges: one value at a time, within absolute limits.

use super::{
    limits::{AbsoluteLimits, LimitState},
    measure::Value,
    reading::{Cause, Figures, Reading, Says, SlotReading, TierGate},
    report::Aggregate,
    stats::Summary,
    watch::{Part, Query, Side, Slot},
    words,
};

/// Reads the slots of a gauge.
pub(super) fn read(tier_gate: &TierGate<'_>, slots: &[Slot]) -> Reading {
    let mut reading = Reading::default();
    let mut limits = AbsoluteLimits::new(tier_gate);
    let mut values = Vec::new();
    let mut broken = false;
    for (index, slot) in slots.iter().enumerate() {
        let says = match value(slot) {
            Ok(value) => {
                values.push(value);
                match limits.hold_value(value) {
                    LimitState::Broken(why) => Says::Harm(why),
                    LimitState::Beyond(why) => Says::Few(why),
                    LimitState::Kept => Says::Fine(format!("the value is {}", words::number(value))),
                    LimitState::NoNumber => Says::no_number(),
                }
            }
            Err(says) => says,
        };
        // Summed up where that is shown: at the newest slot, and at the first that failed.
        let shown = index + 1 == slots.len() || matches!(says, Says::Harm(_)) && !std::mem::replace(&mut broken, true);
        let candidate = Aggregate { summary: Summary::of(&values).filter(|_| shown), ..Aggregate::default() };
        let figures = shown.then(|| Figures { candidate, ..Figures::default() });
        reading.slots.push(SlotReading { number: slot.number, at: slot.at, says, figures });
    }
    reading
}

/// The one value of a slot.
pub(super) fn value(slot: &Slot) -> Result<f64, Says> {
    match slot.value(Part { side: Side::Candidate, query: Query::Value, window: None }) {
        Some(Value::Number(value)) if value.is_finite() => Ok(*value),
        Some(Value::Number(value)) => Err(silent(&format!("{value} is no number"))),
        Some(Value::Nothing) => Err(silent("no data")),
        Some(Value::Invalid(why)) => Err(silent(why)),
        Some(Value::Failed(why)) => Err(Says::Unknown(why.clone(), Cause::Provider)),
        Some(Value::Observations(_) | Value::Summarized(_)) => Err(silent("observations where one value was expected")),
        None => Err(silent("it was not asked for")),
    }
}

fn silent(why: &str) -> Says {
    Says::Unknown(why.to_owned(), Cause::Silence)
}
