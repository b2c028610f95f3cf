//! Count-ratio gates where the version before serves nothing any more, and what was recorded of it stands in.

use super::counts::{GATE, growing, scene, slots};
use crate::gate::{
    Comparison, Verdict,
    testing::{Scene, id},
};

#[test]
fn at_the_last_tier_there_is_nothing_to_compare_with_but_what_was_recorded() {
    let last = |recorded: Option<[f64; 2]>, rows: &[[f64; 4]]| {
        let mut scene = scene();
        scene.context.last = true;
        if let Some([bad, total]) = recorded {
            let recorded = crate::gate::Recorded::Counts { bad, total };
            scene.context.recorded.insert(id("error-rate"), recorded);
        }
        let judged = slots(&mut scene, rows);
        assert!(scene.source.asked.borrow().iter().all(|question| question.query.ends_with("v2")));
        judged
    };
    let judged = last(None, &[[40.0, 1000.0, 0.0, 0.0]; 3]);
    assert_eq!((judged.verdict, judged.gates[&id("error-rate")].comparison), (Verdict::Pass, None));
    assert!(judged.gates[&id("error-rate")].why.contains("nothing to compare with"));
    let above = last(None, &growing([120.0, 1000.0, 0.0, 0.0], 6)).verdict;
    assert_eq!(above, Verdict::Fail, "an absolute limit holds everywhere");
    let recorded = |bad, slots| last(Some([100.0, 10_000.0]), &growing([bad, 1000.0, 0.0, 0.0], slots)).verdict;
    assert_eq!(recorded(12.0, 3), Verdict::Pending, "not before it is known how it varies");
    assert_eq!((recorded(12.0, 4), recorded(12.0, 8)), (Verdict::Pass, Verdict::Pass));
    assert_eq!(recorded(40.0, 4), Verdict::Fail, "four times as many");
    // It is looked at when the events have doubled, each time for half of the false alarms that are left.
    let doubled = [100.0, 200.0, 299.0, 300.0, 599.0, 600.0].map(|total| [3.0, total, 0.0, 0.0]);
    let judged = last(Some([100.0, 10_000.0]), &doubled);
    let Some(Comparison::EValue { needed, .. }) = judged.gates[&id("error-rate")].comparison else { panic!() };
    assert!((needed - 300.0 / 0.9 * 4.0).abs() < 1e-6, "{needed}");
}

#[test]
fn what_was_recorded_too_little_of_to_notice_harm_passes_nothing_in_any_slot() {
    let verdict = |total: f64| {
        let mut scene = Scene::new(&GATE.replace("    absolute: {max: 0.05}\n", ""));
        scene.context.last = true;
        scene.context.recorded.insert(id("error-rate"), crate::gate::Recorded::Counts { bad: 0.0, total });
        slots(&mut scene, &[[0.0, 300.0, 0.0, 0.0]; 5]).verdict
    };
    assert_eq!(verdict(10.0), Verdict::Pending);
    assert_eq!(verdict(6_000.0), Verdict::Pass);
}

#[test]
fn what_ran_before_is_asked_for_as_each_gate_asks_for_its_baseline() {
    let asked = |gate: &str, stable: Option<&str>| {
        let mut scene = Scene::new(gate);
        scene.context.stable = stable.map(str::to_owned);
        scene.context = scene.context.of_stable();
        scene.look(120);
        scene.source.asked.into_inner().into_iter().map(|question| question.query).collect::<Vec<_>>()
    };
    assert_eq!(asked(GATE, Some("v1")), ["bad v1", "total v1"]);
    assert_eq!(asked(GATE, None), ["bad stable", "total stable"]);
    let none = GATE.replace("    baseline: {version: stable}\n", "").replace("    compare", "    # compare");
    assert_eq!(asked(&none, Some("v1")), ["bad v1", "total v1"]);
    let other = GATE.replace("{version: stable}", "{version: blue}");
    assert_eq!(asked(&other, Some("v1")), ["bad blue", "total blue"]);
    let own = GATE.replace("{version: stable}", "{bad: errors old, total: all old}");
    assert_eq!(asked(&own, Some("v1")), ["errors old", "all old"]);
}
