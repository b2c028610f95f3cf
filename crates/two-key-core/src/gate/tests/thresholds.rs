//! Thresholds.

use crate::{
    gate::{
        Metric, ThresholdState, Value, Verdict,
        testing::{Scene, id, observed},
    },
    model::{Reason, policy::Source},
};

const THRESHOLDS: &str = "thresholds:\n  cpu-load: {warn: '> 110', halt: '> 120'}\n  \
    efficacy-delta: {warn: '< -2', halt: '< -5'}\n";

fn scene() -> Scene {
    let mut scene = Scene::new(THRESHOLDS);
    for (name, query) in [("cpu-load", "cpu {{candidate}}"), ("efficacy-delta", "delta")] {
        scene.source.metrics.insert(id(name), Metric { source: Source::Prometheus, query: query.to_owned() });
    }
    scene.source.number("cpu v2", 50.0);
    scene.source.number("delta", 0.0);
    scene
}

#[test]
fn limits_are_strict_on_both_sides() {
    let state = |cpu, delta| {
        let mut scene = scene();
        scene.source.number("cpu v2", cpu);
        scene.source.number("delta", delta);
        scene.look(30).threshold
    };
    assert_eq!(state(110.0, -2.0), ThresholdState::Fine);
    assert_eq!(state(110.1, -2.0), ThresholdState::Warn);
    assert_eq!(state(50.0, -2.1), ThresholdState::Warn);
    assert_eq!(state(120.0, -5.0), ThresholdState::Warn);
    assert_eq!(state(120.1, 0.0), ThresholdState::Halt);
    assert_eq!(state(50.0, -5.1), ThresholdState::Halt);
}

#[test]
fn the_template_s_limits_are_the_usual_ones() {
    let template = crate::model::policy::read(include_bytes!("../../../../../templates/policy.yaml")).unwrap();
    let limits: Vec<_> = template
        .get()
        .thresholds
        .iter()
        .map(|(name, limits)| format!("{name} {} {}", limits.warn.unwrap(), limits.halt.unwrap()))
        .collect();
    assert_eq!(limits, ["cpu-load > 110 > 120", "efficacy-delta < -2 < -5", "error-rate > 1 > 2", "memory > 90 > 95"]);
}

#[test]
fn what_is_not_measured_neither_halts_nor_is_healthy() {
    let mut unconfigured = scene();
    unconfigured.source.metrics.clear();
    assert_eq!(unconfigured.look(30).threshold, ThresholdState::NoData);
    assert_eq!(scene().look(29).threshold, ThresholdState::NoData, "nothing is due yet");
    for value in [
        Value::Nothing,
        Value::Number(f64::NAN),
        Value::Number(f64::INFINITY),
        Value::Invalid("2 series".to_owned()),
        Value::Failed("down".to_owned()),
        observed(vec![500.0]),
    ] {
        let mut scene = scene();
        scene.look(30);
        scene.source.tell("cpu v2", value.clone());
        let judged = scene.look(60);
        assert_eq!(judged.threshold, ThresholdState::NoData, "{value:?}");
        assert_eq!(judged.thresholds[&id("efficacy-delta")].state, ThresholdState::Fine);
    }
}

#[test]
fn a_look_grows_old() {
    let mut scene = scene();
    assert_eq!(scene.look(30).threshold, ThresholdState::Fine);
    scene.source.metrics.clear();
    assert_eq!(scene.look(150).threshold, ThresholdState::Fine);
    assert_eq!(scene.look(151).threshold, ThresholdState::NoData);
}

#[test]
fn what_halted_once_halts_for_the_rest_of_the_tier() {
    let mut scene = scene();
    scene.source.number("cpu v2", 130.0);
    assert_eq!(scene.look(30).threshold, ThresholdState::Halt);
    scene.source.number("cpu v2", 10.0);
    let judged = scene.look(60);
    assert_eq!(judged.threshold, ThresholdState::Halt);
    assert_eq!(judged.thresholds[&id("cpu-load")].value, Some(130.0));
    assert_eq!(judged.objection().unwrap().reason, Reason::GateFailed);
    scene.context.tier = 25;
    assert_eq!(scene.look(60).threshold, ThresholdState::Fine, "another tier is looked at anew");
}

const GATED: &str = "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    \
    candidate: {bad: bad, total: total}\n    settle: 0s\n    interval: 1m\n    min: {total: 100, slots: 1}\n    \
    absolute: {max: 0.5}\nthresholds:\n  error-rate: {warn: '> 1', halt: '> 2'}\n";

#[test]
fn a_gate_of_the_same_name_measures_it_in_percent_of_late() {
    let look = |rows: &[(f64, f64)]| {
        let mut scene = Scene::new(&GATED.replace("'> 2'}", "'> 2', rule: point}"));
        let mut judged = None;
        for (number, (bad, total)) in (1..).zip(rows) {
            scene.source.number("bad", *bad);
            scene.source.number("total", *total);
            judged = Some(scene.look(number * 60));
        }
        judged.unwrap()
    };
    assert_eq!(look(&[(1.0, 100.0)]).threshold, ThresholdState::Fine, "one percent is not more than one percent");
    assert_eq!(look(&[(2.0, 100.0)]).threshold, ThresholdState::Warn);
    assert_eq!(look(&[(3.0, 100.0)]).threshold, ThresholdState::Halt);
    // A million good ones do not hide what is wrong now.
    let judged = look(&[(0.0, 1e6), (3.0, 1e6 + 100.0)]);
    assert_eq!((judged.verdict, judged.threshold), (Verdict::Pass, ThresholdState::Halt));
    // Too few to say, unless it is too many already.
    assert_eq!(look(&[(1.0, 10.0)]).threshold, ThresholdState::NoData);
    assert_eq!(look(&[(2.0, 10.0)]).threshold, ThresholdState::Warn);
    assert_eq!(look(&[(3.0, 10.0)]).threshold, ThresholdState::Halt);
}

#[test]
fn a_threshold_that_is_not_measured_blocks_a_passing_tier() {
    let both = format!("{GATED}  memory: {{halt: '> 95'}}\n");
    let mut scene = Scene::new(&both);
    scene.source.number("bad", 0.0);
    scene.source.number("total", 1000.0);
    let judged = scene.look(60);
    assert_eq!((judged.verdict, judged.threshold), (Verdict::Pass, ThresholdState::NoData));
    assert_eq!(judged.objection().unwrap().reason, Reason::NoData);
    scene.source.metrics.insert(id("memory"), Metric { source: Source::Prometheus, query: "memory".to_owned() });
    scene.source.number("memory", 95.0);
    assert_eq!(scene.look(120).objection(), None);
}

/// The state slot by slot of a tier with these counts a slot.
fn states(sections: &str, rows: &[(f64, f64)]) -> Vec<ThresholdState> {
    let mut scene = Scene::new(sections);
    let (mut bad, mut total) = (0.0, 0.0);
    let mut look = |(number, row): (i64, &(f64, f64))| {
        (bad, total) = (bad + row.0, total + row.1);
        scene.source.number("bad", bad);
        scene.source.number("total", total);
        scene.look(number * 60).threshold
    };
    (1..).zip(rows).map(&mut look).collect()
}

#[test]
fn what_is_counted_halts_when_it_is_beyond_chance_that_the_rate_is_above_the_limit() {
    // 3 of 100 may well be 2 %: not halted, and not healthy either.
    assert_eq!(states(GATED, &[(3.0, 100.0)]), [ThresholdState::NoData]);
    assert_eq!(states(GATED, &[(20.0, 100.0)]), [ThresholdState::NoData], "nor is one bad minute");
    assert_eq!(states(GATED, &[(60.0, 100.0)]), [ThresholdState::Halt], "but a disaster is");
    assert_eq!(states(GATED, &[(1.9, 100.0); 9])[8], ThresholdState::Warn, "1.9 % is below 2");
    let twice = states(GATED, &[(12.0, 300.0); 14]);
    assert_eq!(twice.iter().position(|state| *state == ThresholdState::Halt), Some(7), "{twice:?}");
    // What goes wrong late is seen although it went well for long.
    let late: Vec<_> = [(0.0, 300.0); 20].into_iter().chain([(45.0, 300.0); 2]).collect();
    assert_eq!(states(GATED, &late)[19..], [ThresholdState::Fine, ThresholdState::NoData, ThresholdState::Halt]);
    // One user who retries, now and then.
    let retried: Vec<_> = (0..40).map(|k| (if k % 9 == 8 { 25.0 } else { 1.0 }, 300.0)).collect();
    assert!(!states(GATED, &retried).contains(&ThresholdState::Halt));
}

#[test]
fn a_limit_may_ask_for_several_slots_in_a_row() {
    let gated = GATED.replace("'> 2'}", "'> 2', rule: point, slots: 3}");
    let state = |rows: &[(f64, f64)]| *states(&gated, rows).last().unwrap();
    let (bad, good) = ((3.0, 100.0), (0.0, 100.0));
    assert_eq!(state(&[bad, bad]), ThresholdState::NoData);
    assert_eq!(state(&[bad, bad, bad]), ThresholdState::Halt);
    assert_eq!(state(&[bad, bad, good, bad, bad]), ThresholdState::NoData);
    assert_eq!(state(&[bad, bad, good, bad, bad, bad, good]), ThresholdState::Halt, "and it stands");
}

#[test]
fn a_count_of_prometheus_that_falls_by_a_few_is_not_counted_again() {
    let gated = GATED.replace("source: file", "source: prometheus");
    // 29 of 1,000 may be 2 %; then nothing comes, and extrapolation takes two off with each slot.
    let rows: Vec<_> = [(29.0, 1000.0)].into_iter().chain([(0.0, -2.0); 12]).collect();
    let states = states(&gated, &rows);
    assert!(states.iter().all(|state| *state == ThresholdState::NoData), "{states:?}");
}
