//! Count-ratio gates.

use crate::{
    gate::{
        Comparison, ThresholdState, Value, Verdict,
        testing::{Scene, id, time},
    },
    model::Reason,
};

/// The reference's gate, by the queries `bad v2`, `total v2`, `bad v1` and `total v1`.
const GATE: &str = "gates:\n  error-rate:\n    source: prometheus\n    kind: count-ratio\n    \
    candidate: {bad: 'bad {{candidate}}', total: 'total {{candidate}}'}\n    baseline: {version: stable}\n    \
    settle: 60s\n    interval: 1m\n    min: {total: 300, slots: 3}\n    \
    compare: {test: e-value, alpha: 0.01, max-ratio: 1.5}\n    absolute: {max: 0.05}\n";

fn scene() -> Scene {
    Scene::new(GATE)
}

fn tell(scene: &Scene, [bad2, total2, bad1, total1]: [f64; 4]) {
    scene.told.number("bad v2", bad2);
    scene.told.number("total v2", total2);
    scene.told.number("bad v1", bad1);
    scene.told.number("total v1", total1);
}

#[test]
fn a_healthy_candidate_pends_until_there_is_enough_and_then_passes() {
    let mut scene = scene();
    let judged = scene.look(119);
    assert_eq!((judged.verdict, judged.gates[&id("error-rate")].reason), (Verdict::Pending, Some(Reason::NoData)));
    assert!(scene.told.asked.borrow().is_empty(), "no slot is due while the tier settles");
    tell(&scene, [1.0, 100.0, 19.0, 1900.0]);
    let judged = scene.look(120);
    assert_eq!(judged.verdict, Verdict::Pending);
    assert_eq!(judged.gates[&id("error-rate")].why, "100 of 300 events; 1 bad of 100 (1.0 %)");
    tell(&scene, [3.0, 300.0, 57.0, 5700.0]);
    assert_eq!(scene.look(180).verdict, Verdict::Pending);
    tell(&scene, [4.0, 400.0, 76.0, 7600.0]);
    let judged = scene.look(240);
    let report = &judged.gates[&id("error-rate")];
    assert_eq!((judged.verdict, report.reason, report.deadline), (Verdict::Pass, None, None), "{}", report.why);
    assert_eq!((report.slots.measured, report.slots.missed, report.slots.needed), (3, 0, 3));
    assert_eq!(report.newest, Some(time(240)));
    assert_eq!(judged.objection(), None);
}

#[test]
fn only_the_newest_slot_is_asked_for_and_missed_ones_are_no_data() {
    let mut scene = scene();
    tell(&scene, [4.0, 4000.0, 76.0, 76000.0]);
    let judged = scene.look(60 + 5 * 60);
    let report = &judged.gates[&id("error-rate")];
    assert_eq!((report.slots.measured, report.slots.missed), (1, 4));
    assert_eq!(judged.verdict, Verdict::Pending, "one slot does not make up for those that nobody looked at");
    assert!(scene.told.asked.borrow().iter().all(|question| question.at == time(360) && question.from == time(60)));
    let asked = scene.told.asked.borrow().len();
    scene.look(60 + 5 * 60 + 30);
    assert_eq!(scene.told.asked.borrow().len(), asked, "a slot is asked for once");
}

#[test]
fn harm_is_shown_before_there_is_enough_to_pass() {
    let mut scene = scene();
    tell(&scene, [10.0, 100.0, 9.0, 1900.0]);
    let judged = scene.look(120);
    let report = &judged.gates[&id("error-rate")];
    assert_eq!((judged.verdict, report.reason), (Verdict::Fail, Some(Reason::GateFailed)), "{}", report.why);
    let Some(Comparison::EValue { e_value, needed, ratio }) = report.comparison else { panic!("{report:?}") };
    // One gate that compares, three tiers: alpha 0.01 / 3.
    assert!((needed - 300.0).abs() < 1e-6 && e_value > needed, "{e_value}");
    assert!((ratio.unwrap() - 21.1).abs() < 0.1);
    assert_eq!(judged.objection().unwrap().reason, Reason::GateFailed);
}

#[test]
fn silence_holds_and_never_passes() {
    let mut scene = scene();
    for slot in 1..=3 {
        tell(&scene, [0.0, 400.0 * f64::from(slot), 0.0, 7600.0 * f64::from(slot)]);
        scene.look(60 + i64::from(slot) * 60);
    }
    assert_eq!(scene.look(240).verdict, Verdict::Pass);
    scene.told.tell("total v2", Value::Nothing);
    let judged = scene.look(300);
    assert_eq!((judged.verdict, judged.threshold), (Verdict::Inconclusive, ThresholdState::Fine));
    assert_eq!(judged.gates[&id("error-rate")].reason, Some(Reason::NoData));
    assert_eq!(judged.objection().unwrap().reason, Reason::NoData);
}
