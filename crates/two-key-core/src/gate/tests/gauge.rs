//! Gauges.

use crate::gate::{
    Value, Verdict,
    testing::{Scene, id, observed, time},
};

const GATE: &str = "gates:\n  depth:\n    source: file\n    kind: gauge\n    candidate: {value: 'depth {{candidate}}'}\n    \
    settle: 0s\n    interval: 1m\n    min: {slots: 2}\n    absolute: {max: 10, min: -1}\n";

fn verdict(values: &[f64]) -> Verdict {
    let mut scene = Scene::new(GATE);
    let mut verdict = None;
    for (number, value) in (1..).zip(values) {
        scene.source.number("depth v2", *value);
        verdict = Some(scene.look(number * 60).verdict);
    }
    verdict.unwrap()
}

#[test]
fn a_value_on_its_limit_is_good_and_one_beyond_is_not() {
    assert_eq!(verdict(&[10.0, 10.0]), Verdict::Pass);
    assert_eq!(verdict(&[10.0, 10.01]), Verdict::Fail);
    assert_eq!(verdict(&[-1.0, -1.0]), Verdict::Pass);
    assert_eq!(verdict(&[-1.01, 0.0]), Verdict::Fail, "and it stands");
    assert_eq!(verdict(&[10.0]), Verdict::Pending);
}

#[test]
fn each_slot_asks_for_its_own_interval_and_the_values_are_summed_up() {
    let mut scene = Scene::new(GATE);
    for (number, value) in [(1, 2.0), (2, 4.0), (4, 9.0)] {
        scene.source.number("depth v2", value);
        scene.look(number * 60);
    }
    let asked: Vec<_> = scene.source.asked.borrow().iter().map(|question| (question.from, question.at)).collect();
    assert_eq!(asked, [(time(0), time(60)), (time(60), time(120)), (time(180), time(240))]);
    let judged = scene.look(250);
    let report = &judged.gates[&id("depth")];
    let summary = report.candidate.summary.unwrap();
    assert_eq!((summary.count, summary.mean, summary.min, summary.max), (3, 5.0, 2.0, 9.0));
    assert_eq!((report.slots.measured, report.slots.missed), (3, 1));
}

#[test]
fn risk_raises_the_slots_of_a_gauge_since_they_are_its_samples() {
    let mut scene = Scene::new(GATE);
    scene.context.samples = 2;
    scene.source.number("depth v2", 1.0);
    for slot in 1..=3 {
        assert_eq!(scene.look(slot * 60).verdict, Verdict::Pending);
    }
    assert_eq!(scene.look(240).verdict, Verdict::Pass);
}

#[test]
fn silence_and_lists_are_no_value() {
    for value in [Value::Nothing, observed(vec![1.0]), Value::Invalid("x".to_owned()), Value::Number(f64::NAN)] {
        let mut scene = Scene::new(GATE);
        scene.source.number("depth v2", 1.0);
        scene.look(60);
        scene.look(120);
        scene.source.tell("depth v2", value.clone());
        assert_eq!(scene.look(180).verdict, Verdict::Inconclusive, "{value:?}");
    }
}
