//! Differences between what was concluded then and now: what was counted is the same to the last digit, what was computed to a
//! billionth, and words are free.

use serde::Serialize;
use serde_json::Value;

/// How far two figures that were computed from the same answers may be apart, as a part of the larger one.
const ROUNDING: f64 = 1e-9;
/// What is said in words, and may be said otherwise by another version.
const WORDS: &str = "why";
/// Numbers that were counted, though they may be fractions.
const COUNTED: [&str; 2] = ["bad", "total"];

/// The first difference between two reports, if they differ.
pub(super) fn difference(was: &impl Serialize, is: &impl Serialize) -> Option<String> {
    let (Ok(was), Ok(is)) = (serde_json::to_value(was), serde_json::to_value(is)) else {
        return Some("they cannot be written down".to_owned());
    };
    between("", &was, &is)
}

fn between(path: &str, was: &Value, is: &Value) -> Option<String> {
    let name = path.rsplit('.').next().unwrap_or_default();
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            let names = was.keys().chain(is.keys().filter(|name| !was.contains_key(*name)));
            names.filter(|name| *name != WORDS).find_map(|name| {
                let (was, is) = (was.get(name).unwrap_or(&Value::Null), is.get(name).unwrap_or(&Value::Null));
                between(&format!("{path}{}{name}", if path.is_empty() { "" } else { "." }), was, is)
            })
        }
        _ if was == is || !COUNTED.contains(&name) && are_near(was, is) => None,
        _ => Some(format!("{path} was {was} and is {is}")),
    }
}

/// Whether two figures are the same but for rounding. Whole numbers are counts.
fn are_near(was: &Value, is: &Value) -> bool {
    let figure = |value: &Value| value.as_f64().filter(|_| value.is_f64());
    figure(was).zip(figure(is)).is_some_and(|(was, is)| (was - is).abs() <= ROUNDING * was.abs().max(is.abs()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_are_exact_figures_are_near_and_words_are_free() {
        let report = |e: f64, bad: f64, slots: u32, why: &str| json!({"why": why, "candidate": {"bad": bad}, "slots": slots, "comparison": {"e_value": e}});
        let was = report(12.5, 3.0, 4, "a");
        assert_eq!(difference(&was, &report(12.5 * (1.0 + 5e-10), 3.0, 4, "b")), None);
        for (is, what) in [
            (report(12.5 * (1.0 + 5e-9), 3.0, 4, "a"), "comparison.e_value was 12.5 and is "),
            (report(12.5, 3.000_000_001, 4, "a"), "candidate.bad was 3.0 and is "),
            (report(12.5, 3.0, 5, "a"), "slots was 4 and is 5"),
            (json!({}), "candidate was "),
        ] {
            let words = difference(&was, &is).unwrap();
            assert!(words.starts_with(what), "{words}");
        }
    }
}
