//! Gauges: one value at a time, within absolute limits.

use crate::model::policy::Absolute;

use super::{
    conclude::{Bench, Cause, Reading, Says},
    measure::Value,
    stats::Summary,
    watch::{Part, Query, Side, Slot},
};

/// Reads the slots of a gauge.
pub(super) fn read(bench: &Bench<'_>, slots: &[Slot]) -> Reading {
    let mut reading = Reading::default();
    let mut values = Vec::new();
    for slot in slots {
        let says = match value(slot) {
            Ok(value) => {
                values.push(value);
                let broken = bench.gate.absolute.and_then(|limits| broken(limits, value, "the value"));
                broken.map_or_else(|| Says::Fine(format!("the value is {value}")), Says::Harm)
            }
            Err(says) => says,
        };
        reading.says.push((slot.number, slot.at, says));
    }
    reading.candidate.summary = Summary::of(&values);
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

/// How a value is beyond its limits.
pub(super) fn broken(limits: Absolute, value: f64, what: &str) -> Option<String> {
    if let Some(max) = limits.max.filter(|max| value > max.get()) {
        return Some(format!("{what} {value} is above the limit of {max}"));
    }
    let min = limits.min.filter(|min| value < min.get())?;
    Some(format!("{what} {value} is below the limit of {min}"))
}

fn silent(why: &str) -> Says {
    Says::Unknown(why.to_owned(), Cause::Silence)
}
