//! What sources' words mean.

use crate::{
    gate::{
        MAX_OBSERVATIONS, Observations, Question, Shape, Value,
        answers::{lines, program, prometheus, seconds},
        testing::{observed, time},
    },
    model::policy::Source,
};

fn question(source: Source, shape: Shape) -> Question {
    Question { source, query: "errors v2".to_owned(), shape, from: time(0), at: time(60) }
}

fn line(second: i64, name: &str, value: &str) -> String {
    format!("{{\"at\": \"{}\", \"name\": \"{name}\", \"value\": {value}}}\n", time(second))
}

#[test]
fn a_metrics_file_gives_what_is_of_the_name_and_in_the_window() {
    let text = [
        line(0, "errors v2", "100"),
        line(1, "errors v2", "2"),
        line(30, "errors v1", "70"),
        line(60, "errors v2", "3"),
        line(20, "errors v2", "4"),
        line(61, "errors v2", "500"),
    ]
    .concat();
    let of = |shape| lines(&question(Source::File, shape), &text);
    assert_eq!(of(Shape::Count).value, Value::Number(9.0));
    assert_eq!(of(Shape::Number).value, Value::Number(3.0), "the latest, wherever it stands");
    assert_eq!(of(Shape::Observations).value, observed(vec![2.0, 3.0, 4.0]));
    // What was recorded of it means the same again.
    for shape in [Shape::Count, Shape::Number, Shape::Observations] {
        let answer = of(shape);
        assert_eq!(lines(&question(Source::File, shape), &answer.raw.unwrap()).value, answer.value);
    }
    assert_eq!(lines(&question(Source::File, Shape::Count), &line(30, "errors", "1")).value, Value::Nothing);
    assert_eq!(lines(&question(Source::File, Shape::Count), "").value, Value::Nothing);
}

#[test]
fn a_metrics_file_that_is_none_is_invalid_and_a_line_that_is_being_written_is_waited_for() {
    let good = line(1, "errors v2", "2");
    let of = |text: &str| lines(&question(Source::File, Shape::Count), text).value;
    assert_eq!(of(&format!("{good}{{\"at\": \"2025")), Value::Number(2.0));
    for bad in [
        "garbage\n".to_owned(),
        "{}\n".to_owned(),
        line(1, "errors v2", "null"),
        line(1, "errors v2", "\"3\""),
        line(1, "errors v2", "-1"),
        line(1, "errors v2", "1e999"),
        "{\"at\": \"yesterday\", \"name\": \"errors v2\", \"value\": 1}\n".to_owned(),
        good.replace("\"value\"", "\"other\": 1, \"value\""),
    ] {
        assert!(matches!(of(&format!("{good}{bad}")), Value::Invalid(_)), "{bad}");
    }
}

fn vector(values: &[&str]) -> String {
    let series: Vec<_> = values.iter().map(|value| format!("{{\"metric\":{{}},\"value\":[1,\"{value}\"]}}")).collect();
    format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{}]}}}}", series.join(","))
}

#[test]
fn prometheus_must_give_one_number() {
    let of = |body: &str| prometheus(&question(Source::Prometheus, Shape::Count), body);
    assert_eq!(of(&vector(&["2.5"])), Value::Number(2.5));
    assert_eq!(of(&vector(&[])), Value::Nothing);
    let scalar = "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"7\"]}}";
    assert_eq!(of(scalar), Value::Number(7.0));
    for invalid in [vector(&["1", "2"]), vector(&["NaN"]), vector(&["+Inf"]), vector(&["-Inf"]), vector(&["x"])] {
        assert!(matches!(of(&invalid), Value::Invalid(_)), "{invalid}");
    }
    let warned = vector(&["2.5"]).replacen('{', "{\"warnings\":[\"a remote read failed\"],", 1);
    assert_eq!(of(&warned), Value::Invalid("Prometheus warns: a remote read failed".to_owned()));
    let histogram = vector(&["1"]).replace("\"value\":[1,\"1\"]", "\"histogram\":[1,{}]");
    assert!(matches!(of(&histogram), Value::Invalid(_)));
    let failed = "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"parse error\"}";
    assert_eq!(of(failed), Value::Failed("Prometheus says bad_data: parse error".to_owned()));
    for failed in ["", "<html>", "{}", "{\"status\":\"success\",\"data\":{\"resultType\":\"cube\",\"result\":[]}}"] {
        assert!(matches!(of(failed), Value::Failed(_)), "{failed}");
    }
    assert!(matches!(of("{\"status\":\"success\"}"), Value::Invalid(_)));
}

#[test]
fn prometheus_gives_observations_as_a_range_of_one_series() {
    let of = |body: &str| prometheus(&question(Source::Prometheus, Shape::Observations), body);
    let range = |series: &[&str]| {
        let series: Vec<_> = series.iter().map(|values| format!("{{\"metric\":{{}},\"values\":[{values}]}}")).collect();
        format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{}]}}}}", series.join(","))
    };
    let (edge, later) = (seconds(time(0)), seconds(time(5)));
    // What happened at the window's very beginning belongs to what was before.
    let values = format!("[{edge},\"9\"],[{later},\"1\"],[{later},\"2.5\"]");
    assert_eq!(of(&range(&[&values])), observed(vec![1.0, 2.5]));
    assert_eq!(of(&range(&[])), Value::Nothing);
    for invalid in [range(&[&values, &values]), range(&[&format!("[{later},\"NaN\"]")]), vector(&["1"])] {
        assert!(matches!(of(&invalid), Value::Invalid(_)), "{invalid}");
    }
    assert!(matches!(prometheus(&question(Source::Prometheus, Shape::Count), &range(&[&values])), Value::Invalid(_)));
}

#[test]
fn programs_answer_in_one_of_five_ways() {
    let of = |shape, text: &str| program(&question(Source::Exec, shape), text);
    assert_eq!(of(Shape::Count, "{\"value\": 3}\n"), Value::Number(3.0));
    assert_eq!(of(Shape::Observations, "{\"values\": [1, 2]}"), observed(vec![1.0, 2.0]));
    assert_eq!(of(Shape::Observations, "{\"values\": []}"), Value::Nothing);
    assert_eq!(of(Shape::Count, "{\"nothing\": true}"), Value::Nothing);
    assert_eq!(of(Shape::Count, "{\"invalid\": \"two\"}"), Value::Invalid("two".to_owned()));
    assert_eq!(of(Shape::Count, "{\"failed\": \"down\"}"), Value::Failed("down".to_owned()));
    for invalid in [of(Shape::Count, "{\"values\": [1]}"), of(Shape::Observations, "{\"value\": 1}")] {
        assert!(matches!(invalid, Value::Invalid(_)), "{invalid:?}");
    }
    for failed in [
        "",
        "3",
        "{}",
        "{\"value\": 3, \"nothing\": true}",
        "{\"nothing\": false}",
        "{\"value\": NaN}",
        "{\"value\": 1}{}",
    ] {
        assert!(matches!(of(Shape::Count, failed), Value::Failed(_)), "{failed}");
    }
}

#[test]
fn of_too_many_observations_a_sample_is_taken() {
    let list = |count: usize| format!("{{\"values\": [{}]}}", vec!["1"; count].join(","));
    let of = |count| program(&question(Source::Exec, Shape::Observations), &list(count));
    let sampled = |count| match of(count) {
        Value::Observations(observations) => (observations.values().len(), observations.summary().unwrap().sampled_of),
        other => panic!("{other:?}"),
    };
    assert_eq!(sampled(MAX_OBSERVATIONS), (MAX_OBSERVATIONS, None));
    assert_eq!(sampled(MAX_OBSERVATIONS + 1), (MAX_OBSERVATIONS, Some(20_001)));
    assert_eq!(sampled(3 * MAX_OBSERVATIONS), (MAX_OBSERVATIONS, Some(60_000)));
}

#[test]
fn a_sample_depends_on_nothing_but_the_number_of_observations_and_keeps_their_order() {
    let all: Vec<f64> = (0..50_000).map(f64::from).collect();
    let sample = Observations::new(all.clone());
    assert_eq!(sample, Observations::new(all));
    assert!(sample.values().windows(2).all(|pair| pair[0] < pair[1]));
    // One of each two and a half, from the beginning to the end.
    assert!(sample.values()[0] < 3.0 && *sample.values().last().unwrap() >= 49_997.0);
    let mean = sample.values().iter().sum::<f64>() / 20_000.0;
    assert!((mean - 25_000.0).abs() < 1.0, "{mean}");
    // Every second one would be one sort of two that alternate.
    let alternating = Observations::new((0..40_000).map(|k| f64::from(k % 2)).collect());
    let mean = alternating.values().iter().sum::<f64>() / 20_000.0;
    assert!((mean - 0.5).abs() < 0.02, "{mean}");
}
