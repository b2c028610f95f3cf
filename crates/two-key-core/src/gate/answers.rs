//! Source answers, read. Pure, so that an auditor reads recorded answers as they were read when they came.

use jiff::Timestamp;
use serde::Deserialize;

use crate::model::policy::Source;

use super::measure::{Answer, Observations, Question, Shape, Value};

/// What a source's words, as they were recorded, mean as an answer to a question.
pub fn meaning(question: &Question, raw: &str) -> Value {
    match question.source {
        Source::File => lines(question, raw).value,
        Source::Prometheus => prometheus(question, raw),
        Source::Exec => program(question, raw),
    }
}

/// One measurement of a metrics file: a line of JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsLine<'a> {
    /// When.
    at: Timestamp,
    /// What, as queries name it.
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    /// How many since the line before, or the value.
    value: serde_json::Value,
}

/// Reads a metrics file: the lines whose name is the query, within the window. Counts are added up, of single values the
/// last one stands. A last line without a line feed is still being written.
pub fn lines(question: &Question, text: &str) -> Answer {
    let mut values = Vec::new();
    let mut raw = String::new();
    let mut newest: Option<(Timestamp, f64)> = None;
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    for (number, text) in whole.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line: MetricsLine<'_> = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(error) => return Answer::of(Value::Invalid(format!("line {} is no measurement: {error}", number + 1))),
        };
        if line.name != question.query || line.at <= question.from || line.at > question.at {
            continue;
        }
        raw.push_str(text);
        raw.push('\n');
        let Some(value) = line.value.as_f64().filter(|value| value.is_finite()) else {
            let why = format!("line {}: the value is no finite number", number + 1);
            return Answer::of(Value::Invalid(why));
        };
        if question.shape == Shape::Count && value < 0.0 {
            let why = format!("line {}: a count went back by {}", number + 1, -value);
            return Answer::of(Value::Invalid(why));
        }
        values.push(value);
        if newest.is_none_or(|(at, _)| at <= line.at) {
            newest = Some((line.at, value));
        }
    }
    let Some((_, last)) = newest else { return Answer::of(Value::Nothing) };
    let value = match question.shape {
        Shape::Count => number(values.iter().sum()),
        Shape::Number => number(last),
        Shape::Observations => observations(values),
    };
    Answer { value, raw: Some(raw) }
}

/// Reads what Prometheus answers to an instant query: a scalar, a vector of one series, or, for observations, a range of
/// one series. A warning makes an answer invalid: it says that part of it is missing.
pub fn prometheus(question: &Question, body: &str) -> Value {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        status: String,
        error_type: Option<String>,
        error: Option<String>,
        data: Option<Data>,
        #[serde(default)]
        warnings: Vec<String>,
    }
    #[derive(Deserialize)]
    #[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
    enum Data {
        Scalar((f64, String)),
        Vector(Vec<Single>),
        Matrix(Vec<RangeSeries>),
    }
    #[derive(Deserialize)]
    struct Single {
        value: Option<(f64, String)>,
    }
    #[derive(Deserialize)]
    struct RangeSeries {
        #[serde(default)]
        values: Vec<(f64, String)>,
    }
    let body: Body = match serde_json::from_str(body) {
        Ok(body) => body,
        Err(error) => return Value::Failed(format!("Prometheus did not answer in its own format: {error}")),
    };
    if body.status != "success" {
        let (kind, text) = (body.error_type.unwrap_or_default(), body.error.unwrap_or_default());
        return Value::Failed(format!("Prometheus says {kind}: {text}"));
    }
    if let Some(warning) = body.warnings.first() {
        return Value::Invalid(format!("Prometheus warns: {warning}"));
    }
    let many = |count: usize| Value::Invalid(format!("{count} series, where exactly one is expected"));
    match (body.data, question.shape) {
        (Some(Data::Scalar((_, value))), Shape::Count | Shape::Number) => sample(&value).map_or_else(|bad| bad, number),
        (Some(Data::Vector(series)), Shape::Count | Shape::Number) => match series.as_slice() {
            [] => Value::Nothing,
            [Single { value: Some((_, value)) }] => sample(value).map_or_else(|bad| bad, number),
            [_] => Value::Invalid("a histogram, where a number is expected".to_owned()),
            many_series => many(many_series.len()),
        },
        (Some(Data::Matrix(series)), Shape::Observations) => match series.as_slice() {
            [] => Value::Nothing,
            [RangeSeries { values }] => {
                // Prometheus before 3.0 takes both ends of a window for parts of it.
                let from = seconds(question.from);
                let inside = values.iter().filter(|(at, _)| *at > from).map(|(_, value)| sample(value));
                inside.collect::<Result<Vec<_>, _>>().map_or_else(|bad| bad, observations)
            }
            many_series => many(many_series.len()),
        },
        (Some(_), Shape::Observations) => {
            Value::Invalid("no range of one series: a sample's query ends in `[{{window}}]`".to_owned())
        }
        (Some(_), _) => Value::Invalid("neither a scalar nor an instant vector".to_owned()),
        (None, _) => Value::Invalid("an answer without data".to_owned()),
    }
}

/// A time in seconds since 1970, to the millisecond.
#[allow(clippy::cast_precision_loss, reason = "milliseconds of any year that comes are exact")]
pub fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

fn sample(text: &str) -> Result<f64, Value> {
    text.parse().map_err(|_| Value::Invalid(format!("`{text}` is no number")))
}

/// Reads a program's answer, version `two-key.metrics/1`: `{"value": 0.5}`, `{"values": [1.0, 2.0]}`, `{"nothing": true}`,
/// `{"invalid": "why"}` or `{"failed": "why"}`.
pub fn program(question: &Question, text: &str) -> Value {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum ProgramAnswer {
        Value(f64),
        Values(Vec<f64>),
        Nothing(Nothing),
        Invalid(String),
        Failed(String),
    }
    #[derive(Deserialize)]
    #[serde(try_from = "bool")]
    struct Nothing;
    impl TryFrom<bool> for Nothing {
        type Error = &'static str;

        fn try_from(nothing: bool) -> Result<Self, Self::Error> {
            if nothing { Ok(Self) } else { Err("`nothing` is true or left out") }
        }
    }
    match (serde_json::from_str(text), question.shape) {
        (Err(error), _) => Value::Failed(format!("the program did not answer as two-key.metrics/1 asks: {error}")),
        (Ok(ProgramAnswer::Nothing(Nothing)), _) => Value::Nothing,
        (Ok(ProgramAnswer::Invalid(why)), _) => Value::Invalid(why),
        (Ok(ProgramAnswer::Failed(why)), _) => Value::Failed(why),
        (Ok(ProgramAnswer::Value(value)), Shape::Count | Shape::Number) => number(value),
        (Ok(ProgramAnswer::Values(values)), Shape::Observations) => observations(values),
        (Ok(ProgramAnswer::Value(_)), Shape::Observations) => {
            Value::Invalid("one value where `values` is expected".to_owned())
        }
        (Ok(ProgramAnswer::Values(_)), _) => Value::Invalid("several values where one `value` is expected".to_owned()),
    }
}

fn number(value: f64) -> Value {
    if value.is_finite() { Value::Number(value) } else { Value::Invalid(format!("the value is {value}")) }
}

fn observations(values: Vec<f64>) -> Value {
    if values.is_empty() {
        Value::Nothing
    } else if values.iter().any(|value| !value.is_finite()) {
        Value::Invalid("an observation is no finite number".to_owned())
    } else {
        Value::Observations(Observations::new(values))
    }
}
