//! Count-ratio gates.

use crate::{
    gate::{
        Comparison, ThresholdState, Value, Verdict,
        testing::{Scene, id, observed, time},
    },
    model::Reason,
};

/// The reference's gate, by the queries `bad v2`, `total v2`, `bad v1` and `total v1`.
pub(super) const GATE: &str = "gates:\n  error-rate:\n    source: prometheus\n    kind: count-ratio\n    \
    candidate: {bad: 'bad {{candidate}}', total: 'total {{candidate}}'}\n    baseline: {version: stable}\n    \
    settle: 60s\n    interval: 1m\n    min: {total: 300, slots: 3}\n    \
    compare: {test: e-value, alpha: 0.01, max-ratio: 1.5}\n    absolute: {max: 0.05}\n";

pub(super) fn scene() -> Scene {
    Scene::new(GATE)
}

pub(super) fn tell(scene: &Scene, [bad2, total2, bad1, total1]: [f64; 4]) {
    scene.source.number("bad v2", bad2);
    scene.source.number("total v2", total2);
    scene.source.number("bad v1", bad1);
    scene.source.number("total v1", total1);
}

#[test]
fn a_healthy_candidate_pends_until_there_is_enough_and_then_passes() {
    let mut scene = scene();
    let judged = scene.look(119);
    assert_eq!((judged.verdict, judged.gates[&id("error-rate")].reason), (Verdict::Pending, Some(Reason::NoData)));
    assert!(scene.source.asked.borrow().is_empty(), "no slot is due while the tier settles");
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
    assert!(scene.source.asked.borrow().iter().all(|question| question.at == time(360) && question.from == time(60)));
    let asked = scene.source.asked.borrow().len();
    scene.look(60 + 5 * 60 + 30);
    assert_eq!(scene.source.asked.borrow().len(), asked, "a slot is asked for once");
}

#[test]
fn harm_is_shown_before_there_is_enough_to_pass() {
    let mut scene = scene();
    for (second, slots) in [(120, 1.0), (180, 2.0)] {
        tell(&scene, [15.0, 90.0, 9.0, 1710.0].map(|count| count * slots));
        assert_eq!(scene.look(second).verdict, Verdict::Pending, "one bad minute may fall into two slots");
    }
    tell(&scene, [45.0, 270.0, 27.0, 5130.0]);
    let judged = scene.look(240);
    let report = &judged.gates[&id("error-rate")];
    assert_eq!((judged.verdict, report.reason), (Verdict::Fail, Some(Reason::GateFailed)), "{}", report.why);
    assert_eq!((report.decided, report.since), (Some(3), time(240)));
    let Some(Comparison::EValue { e_value, needed, ratio, .. }) = report.comparison else { panic!("{report:?}") };
    // One gate that compares and one limit, three tiers: a tenth of nine tenths of 0.01 / 3 at any time.
    assert!((needed - 3000.0 / 0.9).abs() < 1e-6 && e_value > needed, "{e_value} {needed}");
    assert!((ratio.unwrap() - 31.7).abs() < 0.1);
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
    scene.source.tell("total v2", Value::Nothing);
    let judged = scene.look(300);
    assert_eq!((judged.verdict, judged.threshold), (Verdict::Inconclusive, ThresholdState::Fine));
    assert_eq!(judged.gates[&id("error-rate")].reason, Some(Reason::NoData));
    assert_eq!(judged.objection().unwrap().reason, Reason::NoData);
}

#[test]
fn a_candidate_that_stopped_serving_does_not_go_on_passing_by_what_it_served_before() {
    let mut scene = scene();
    for slot in 1..=3 {
        tell(&scene, [0.0, 400.0 * f64::from(slot), 0.0, 7600.0 * f64::from(slot)]);
        scene.look(60 + i64::from(slot) * 60);
    }
    // The last event came by 240 s, and ten minutes is what a look may be relied on.
    let (mut verdicts, mut last) = (Vec::new(), None);
    for slot in 4..=14 {
        tell(&scene, [0.0, 1200.0, 0.0, 7600.0 * f64::from(slot)]);
        let judged = scene.look(60 + i64::from(slot) * 60);
        verdicts.push(judged.verdict);
        last = Some(judged);
    }
    assert!(verdicts[..10].iter().all(|verdict| *verdict == Verdict::Pass), "{verdicts:?}");
    let last = last.unwrap();
    assert_eq!((last.verdict, last.objection().unwrap().reason), (Verdict::Pending, Reason::NoData));
    assert!(last.gates[&id("error-rate")].why.starts_with("no event was counted since "));
    // It serves again.
    tell(&scene, [0.0, 1300.0, 0.0, 114_000.0]);
    assert_eq!(scene.look(60 + 15 * 60).verdict, Verdict::Pass);
}

/// Counts that grow by so much a slot.
pub(super) fn growing(row: [f64; 4], slots: u32) -> Vec<[f64; 4]> {
    (1..=slots).map(|slot| row.map(|count| count * f64::from(slot))).collect()
}

/// One slot after another, a minute each, with these answers; the last judgement.
pub(super) fn slots(scene: &mut Scene, rows: &[[f64; 4]]) -> crate::gate::Judgement {
    let mut judged = None;
    for (number, row) in (1..).zip(rows) {
        tell(scene, *row);
        judged = Some(scene.look(60 + number * 60));
    }
    judged.unwrap()
}

#[test]
fn a_failure_stands_for_the_rest_of_the_tier() {
    let mut scene = scene();
    let mut rows = growing([15.0, 100.0, 9.0, 1900.0], 3);
    rows.push([45.0, 5000.0, 900.0, 95000.0]);
    slots(&mut scene, &rows);
    let judged = scene.look(360);
    let report = &judged.gates[&id("error-rate")];
    assert_eq!((judged.verdict, report.since), (Verdict::Fail, time(240)), "{}", report.why);
    assert_eq!(report.deadline, Some(time(240 + 1800)));
    // The figures are those that showed it.
    assert_eq!((report.decided, report.candidate.total), (Some(3), Some(300.0)));
    assert_eq!(report.slots.measured, 5);
    // Another beginning of the tier is another tier.
    scene.context.started = time(1000);
    assert_eq!(scene.look(1001).verdict, Verdict::Pending);
}

#[test]
fn a_ratio_that_is_put_up_with_is_no_harm_however_sure() {
    // 1.4 times, beyond all doubt.
    let row = growing([1400.0, 100_000.0, 10_000.0, 1_000_000.0], 14);
    let mut scene = scene();
    assert_eq!(slots(&mut scene, &row).verdict, Verdict::Pass);
    let mut strict = Scene::new(&GATE.replace(", max-ratio: 1.5", ""));
    assert_eq!(slots(&mut strict, &row).verdict, Verdict::Fail);
    let mut tighter = Scene::new(&GATE.replace("max-ratio: 1.5", "max-ratio: 1.3"));
    assert_eq!(slots(&mut tighter, &row).verdict, Verdict::Fail);
}

#[test]
fn where_less_is_worse_a_loss_is_harm_and_a_gain_is_none() {
    let gate = GATE
        .replace("kind: count-ratio\n", "kind: count-ratio\n    worse: lower\n")
        .replace("    absolute: {max: 0.05}\n", "");
    let mut scene = Scene::new(&gate);
    assert_eq!(slots(&mut scene, &growing([1200.0, 2000.0, 15_000.0, 38_000.0], 14)).verdict, Verdict::Pass);
    let mut scene = Scene::new(&gate);
    assert_eq!(slots(&mut scene, &growing([400.0, 2000.0, 15_000.0, 38_000.0], 14)).verdict, Verdict::Fail);
}

#[test]
fn the_rate_of_false_alarms_is_shared_among_gates_and_tiers() {
    let second = GATE.replace("gates:\n", "").replace("error-rate", "other");
    let mut scene = Scene::new(&format!("{GATE}{second}"));
    scene.context.tiers = 4;
    let judged = slots(&mut scene, &[[3.0, 300.0, 57.0, 5700.0]]);
    let Some(Comparison::EValue { needed, .. }) = judged.gates[&id("other")].comparison else { panic!() };
    // Nine tenths are for the two comparisons at four tiers, and a tenth of each share is for looking at any time.
    assert!((needed - 1000.0 / 0.9 * 2.0 * 4.0).abs() < 1e-6, "{needed}");
}

#[test]
fn a_cap_takes_nothing_from_a_share_that_is_below_it() {
    // Of two comparisons each has half of nine tenths of 0.01.
    let second = GATE.replace("gates:\n", "").replace("error-rate", "other");
    let needed = |alpha: &str| {
        let both = format!("{}{second}", GATE.replace("alpha: 0.01", alpha));
        let judged = slots(&mut Scene::new(&both), &[[3.0, 300.0, 57.0, 5700.0]]);
        let Some(Comparison::EValue { needed, .. }) = judged.gates[&id("error-rate")].comparison else { panic!() };
        needed
    };
    assert!((needed("alpha: 0.006") - needed("alpha: 0.01")).abs() < 1e-6);
    assert!((needed("alpha: 0.003") - 1000.0 / 0.3 * 3.0).abs() < 1e-6);
}

#[test]
fn a_limit_that_is_a_point_holds_from_the_minimum_on_or_as_soon_as_nothing_can_mend_it() {
    let gate = GATE
        .replace("    compare: {test: e-value, alpha: 0.01, max-ratio: 1.5}\n", "")
        .replace("{max: 0.05}", "{max: 0.05, rule: point}");
    let verdict = |bad, total| {
        let mut scene = Scene::new(&gate);
        slots(&mut scene, &[[bad, total, 0.0, 0.0]; 3]).verdict
    };
    // 5 % of 300 is 15.
    assert_eq!(verdict(15.0, 300.0), Verdict::Pass);
    assert_eq!(verdict(16.0, 300.0), Verdict::Fail);
    assert_eq!(verdict(15.0, 20.0), Verdict::Pending, "fifteen may still be five percent of the minimum");
    assert_eq!(verdict(16.0, 20.0), Verdict::Fail, "sixteen can be no more");
    let floor = |bad, total| {
        let gate = gate.replace("{max: 0.05, rule: point}", "{min: 0.2, rule: point}");
        slots(&mut Scene::new(&gate), &[[bad, total, 0.0, 0.0]; 3]).verdict
    };
    assert_eq!(floor(60.0, 300.0), Verdict::Pass);
    assert_eq!(floor(59.0, 300.0), Verdict::Fail);
    assert_eq!(floor(0.0, 299.0), Verdict::Pending);
}

#[test]
fn risk_raises_the_minimum() {
    let mut scene = scene();
    scene.context.samples = 2;
    let judged = slots(&mut scene, &[[3.0, 599.0, 57.0, 11_400.0]; 3]);
    assert_eq!((judged.verdict, judged.gates[&id("error-rate")].minimum), (Verdict::Pending, Some(600)));
    tell(&scene, [3.0, 600.0, 57.0, 11_400.0]);
    assert_eq!(scene.look(300).verdict, Verdict::Pass);
}

#[test]
fn without_a_minimum_as_many_are_needed_as_would_certify_the_limit() {
    let minimum = |gate: &str| {
        let judged = Scene::new(&gate.replace("total: 300, ", "")).look(0);
        judged.gates[&id("error-rate")].minimum.unwrap()
    };
    assert_eq!(minimum(GATE), 59);
    assert_eq!(minimum(&GATE.replace("max: 0.05", "max: 0.001")), 2995);
    assert_eq!(minimum(&GATE.replace("    absolute: {max: 0.05}\n", "")), 299);
}

#[test]
fn only_a_missing_bad_beside_a_total_that_is_enough_counts_as_zero() {
    let with = |query: &str, value: Value| {
        let mut scene = scene();
        slots(&mut scene, &[[0.0, 300.0, 0.0, 5700.0]; 3]);
        scene.source.tell(query, value);
        scene.look(300)
    };
    let never = |query: &str, worse: &str| {
        let mut scene = Scene::new(&GATE.replace("    settle", &format!("    worse: {worse}\n    settle")));
        for slot in 1..=4 {
            let k = f64::from(slot);
            tell(&scene, [1.0, 300.0 * k, 19.0 * k, 5700.0 * k]);
            scene.source.tell(query, Value::Nothing);
            scene.look(60 + i64::from(slot) * 60);
        }
        scene.look(300).verdict
    };
    assert_eq!(never("bad v2", "higher"), Verdict::Pass, "nobody ever counted a bad one");
    // What nothing counted of the baseline makes no harm of the candidate's, and where fewer are worse none is no count.
    assert_eq!(never("bad v1", "higher"), Verdict::Pass, "one is no harm even against none");
    assert_eq!((never("bad v2", "lower"), never("bad v1", "lower")), (Verdict::Inconclusive, Verdict::Inconclusive));
    for query in ["bad v2", "bad v1"] {
        assert_eq!(with(query, Value::Nothing).verdict, Verdict::Inconclusive, "{query} was there before");
        for other in [Value::Invalid("2 series".to_owned()), Value::Number(f64::NAN), observed(vec![1.0])] {
            assert_eq!(with(query, other.clone()).verdict, Verdict::Inconclusive, "{query} {other:?}");
        }
    }
    for query in ["total v2", "total v1"] {
        assert_eq!(with(query, Value::Nothing).verdict, Verdict::Inconclusive, "{query}");
    }
    let mut scene = scene();
    tell(&scene, [0.0, 299.0, 57.0, 5700.0]);
    scene.source.tell("bad v2", Value::Nothing);
    let judged = scene.look(120);
    assert_eq!(judged.verdict, Verdict::Pending);
    assert_eq!(judged.gates[&id("error-rate")].slots.measured, 0, "a slot without the bad ones is not measured");
}

#[test]
fn what_is_no_measurement_is_no_data_and_as_the_policy_says_a_failure() {
    let values = [
        Value::Nothing,
        Value::Invalid("3 series, where exactly one is expected".to_owned()),
        Value::Invalid("Prometheus warns: partial".to_owned()),
        Value::Number(f64::NAN),
        Value::Number(f64::INFINITY),
        Value::Number(f64::NEG_INFINITY),
        Value::Number(-1.0),
    ];
    for value in values {
        for (word, verdict) in [("inconclusive", Verdict::Inconclusive), ("fail", Verdict::Fail)] {
            let mut scene = Scene::new(&format!("{GATE}    no-data: {word}\n"));
            slots(&mut scene, &[[3.0, 300.0, 57.0, 5700.0]; 3]);
            scene.source.tell("total v2", value.clone());
            assert_eq!(scene.look(300).verdict, verdict, "{value:?} {word}");
        }
    }
}

#[test]
fn a_provider_that_fails_holds_and_is_never_a_failure_until_the_deadline() {
    let mut scene = Scene::new(&format!("{GATE}    no-data: fail\n"));
    slots(&mut scene, &[[3.0, 300.0, 57.0, 5700.0]; 3]);
    scene.source.tell("bad v2", Value::Failed("connection refused".to_owned()));
    let asked = scene.source.asked.borrow().len();
    let judged = scene.look(300);
    let report = &judged.gates[&id("error-rate")];
    assert_eq!((judged.verdict, report.reason), (Verdict::Inconclusive, Some(Reason::NoData)));
    assert_eq!(scene.source.asked.borrow().len(), asked + 1, "the rest of the slot is not waited for");
    // Open since the last PASS, at 240 s; 30 minutes are put up with.
    assert_eq!((report.since, report.deadline), (time(240), Some(time(240 + 1800))));
    assert_eq!(scene.look(240 + 1799).overdue().count(), 0);
    assert_eq!(scene.look(240 + 1800).overdue().count(), 1);
}

#[test]
fn a_pass_grows_old_and_a_later_failure_takes_it_back() {
    let mut scene = Scene::new(&GATE.replace("interval: 1m", "interval: 1h").replace("slots: 3", "slots: 1"));
    tell(&scene, [3.0, 300.0, 57.0, 5700.0]);
    assert_eq!(scene.look(3660).verdict, Verdict::Pass);
    assert_eq!(scene.look(3660 + 600).verdict, Verdict::Pass);
    let judged = scene.look(3660 + 601);
    assert_eq!((judged.verdict, judged.objection().unwrap().reason), (Verdict::Inconclusive, Reason::Stale));
    tell(&scene, [60.0, 700.0, 120.0, 12_000.0]);
    assert_eq!(scene.look(7260).verdict, Verdict::Pending, "above its limit, and that may be one bad hour");
    for (hour, second) in [(2.0, 10_860), (3.0, 14_460)] {
        tell(&scene, [60.0 * hour, 300.0 + 400.0 * hour, 60.0 + 60.0 * hour, 6000.0 + 6000.0 * hour]);
        assert_eq!(scene.look(second).verdict, Verdict::Pending);
    }
    tell(&scene, [240.0, 1900.0, 300.0, 30_000.0]);
    assert_eq!(scene.look(18_060).verdict, Verdict::Fail);
}

#[test]
fn a_counter_that_goes_back_is_no_data() {
    for (source, total, verdict) in [
        ("file", 299.0, Verdict::Inconclusive),
        ("exec", 200.0, Verdict::Inconclusive),
        ("file", 300.0, Verdict::Pass),
        // Prometheus corrects resets by itself, and extrapolates; but it does not lose most of what it counted.
        ("prometheus", 299.0, Verdict::Pending),
        ("prometheus", 90.0, Verdict::Inconclusive),
    ] {
        let mut scene = Scene::new(&GATE.replace("source: prometheus", &format!("source: {source}")));
        slots(&mut scene, &[[2.0, 300.0, 57.0, 5700.0]; 3]);
        tell(&scene, [2.0, total, 57.0, 5700.0]);
        let judged = scene.look(300);
        let why = &judged.gates[&id("error-rate")].why;
        assert_eq!(judged.verdict, verdict, "{source} {total}: {why}");
        assert_eq!(why.contains("counter reset"), verdict == Verdict::Inconclusive, "{why}");
    }
}

#[test]
fn more_bad_than_all_cannot_be() {
    let mut scene = scene();
    slots(&mut scene, &[[3.0, 300.0, 57.0, 5700.0]; 3]);
    tell(&scene, [302.0, 301.0, 57.0, 5700.0]);
    assert_eq!(scene.look(300).verdict, Verdict::Inconclusive);
}

#[test]
fn a_comparison_that_could_not_notice_harm_passes_nothing() {
    let gate = GATE.replace("    absolute: {max: 0.05}\n", "");
    for baseline in [[0.0, 0.0], [0.0, 1.0], [0.0, 10.0]] {
        let mut scene = Scene::new(&gate);
        let judged = slots(&mut scene, &[[100.0, 300.0, baseline[0], baseline[1]]; 3]);
        assert_eq!(judged.verdict, Verdict::Pending, "a third of all are bad, against {baseline:?}");
    }
    let mut scene = Scene::new(&gate);
    assert_eq!(slots(&mut scene, &[[0.0, 300.0, 0.0, 600.0]; 3]).verdict, Verdict::Pass);
}

#[test]
fn a_watch_survives_being_written_down_and_read() {
    let mut scene = scene();
    slots(&mut scene, &[[3.0, 300.0, 57.0, 5700.0]; 3]);
    let text = serde_json::to_string(&scene.watch).unwrap();
    scene.watch = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&scene.watch).unwrap(), text);
    assert_eq!(scene.look(240).verdict, Verdict::Pass);
}

#[test]
fn of_very_many_slots_what_decided_is_kept() {
    let mut seen = crate::gate::watch::Seen::default();
    let keep =
        crate::gate::watch::Keep { decisive: [1].into(), marks: [3].into(), silent: [2].into(), ..Default::default() };
    let slot = |number| crate::gate::Slot { number, at: time(0), answers: Vec::new() };
    let most = u64::try_from(crate::gate::watch::MAX_SLOTS).unwrap();
    for number in 1..=most + 2 {
        seen.push(slot(number), &keep);
    }
    assert_eq!((seen.slots.len(), seen.newest()), (crate::gate::watch::MAX_SLOTS, most + 2));
    assert_eq!((seen.forgotten.measured, seen.forgotten.without_data), (1, 1), "silence is not forgotten as data");
    let oldest: Vec<_> = seen.slots.iter().take(3).map(|slot| slot.number).collect();
    assert_eq!(oldest, [1, 3, 5]);
}

#[test]
fn a_slot_that_decided_is_kept_whole_and_the_others_in_short() {
    let mut scene = scene();
    slots(
        &mut scene,
        &[
            [15.0, 100.0, 9.0, 1900.0],
            [30.0, 200.0, 18.0, 3800.0],
            [45.0, 300.0, 27.0, 5700.0],
            [45.0, 400.0, 36.0, 7600.0],
            [45.0, 500.0, 45.0, 9500.0],
        ],
    );
    let kept = scene.watch.slots(&id("error-rate")).iter().map(|slot| slot.answers[0].query.is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [false, false, true, false, true]);
}

#[test]
fn a_tier_without_gates_never_passes() {
    let mut scene = Scene::new("");
    let judged = scene.look(5000);
    assert_eq!(judged.verdict, Verdict::Inconclusive);
    assert_eq!(judged.objection().unwrap().reason, Reason::NoData);
}

#[test]
fn an_absolute_limit_is_broken_when_it_is_beyond_chance_that_the_rate_is_above_it() {
    let gate = GATE.replace("    compare: {test: e-value, alpha: 0.01, max-ratio: 1.5}\n", "");
    let verdict = |bad, total, many| slots(&mut Scene::new(&gate), &growing([bad, total, 0.0, 0.0], many)).verdict;
    assert_eq!(verdict(15.0, 300.0, 10), Verdict::Pass, "5 % is on the limit");
    assert_eq!(verdict(16.0, 300.0, 10), Verdict::Pending, "above it, which may be chance: neither broken nor healthy");
    assert_eq!(
        (verdict(30.0, 300.0, 2), verdict(30.0, 300.0, 10)),
        (Verdict::Pending, Verdict::Fail),
        "twice the limit"
    );
    assert_eq!(verdict(20.0, 20.0, 2), Verdict::Fail, "however few, if it is beyond chance");
    assert_eq!(
        (verdict(60.0, 300.0, 1), verdict(180.0, 300.0, 1)),
        (Verdict::Pending, Verdict::Fail),
        "one bad minute"
    );
    // One user who retries, and a rate that varies.
    let uneven = |bad: [f64; 10]| {
        let mut sum = 0.0;
        let rows = (1..).zip(bad).map(|(slot, bad)| {
            sum += bad;
            [sum, 300.0 * f64::from(slot), 0.0, 0.0]
        });
        slots(&mut Scene::new(&gate), &rows.collect::<Vec<_>>()).verdict
    };
    assert_eq!(uneven([60.0, 0.0, 20.0, 0.0, 0.0, 80.0, 0.0, 1.0, 0.0, 0.0]), Verdict::Pending);
    assert_eq!(uneven([25.0, 26.0, 24.0, 25.0, 25.0, 26.0, 24.0, 25.0, 25.0, 25.0]), Verdict::Fail);
    let none = |bad| slots(&mut Scene::new(&gate.replace("0.05", "0")), &growing([bad, 300.0, 0.0, 0.0], 3)).verdict;
    assert_eq!((none(0.0), none(1.0)), (Verdict::Pass, Verdict::Fail), "of a limit of nothing the first is too many");
}

#[test]
fn a_comparison_is_looked_at_once_more_when_the_tier_has_baked_and_nothing_passes_without_that() {
    // Twice the errors: too little for a test that may be looked at in every slot. The bake has 14.
    let baked = |bad: f64| {
        let mut scene = scene();
        let before = slots(&mut scene, &growing([bad, 300.0, 28.5, 5700.0], 13)).verdict;
        tell(&scene, [bad * 14.0, 4200.0, 399.0, 79_800.0]);
        let judged = scene.look(900);
        (before, judged.verdict, judged.gates[&id("error-rate")].decided)
    };
    assert_eq!(baked(2.0), (Verdict::Pass, Verdict::Pass, None));
    assert_eq!(baked(3.0), (Verdict::Pass, Verdict::Fail, Some(14)));
    // A source that knows of a slot a little later: until then the tier that has baked is not passed.
    let mut scene = scene();
    scene.source.lag = crate::model::document::Span::seconds(15);
    for (number, row) in (1..).zip(growing([2.0, 300.0, 28.5, 5700.0], 14)) {
        tell(&scene, row);
        let (early, late) = (scene.look(60 + number * 60), scene.look(75 + number * 60));
        let why = &early.gates[&id("error-rate")].why;
        assert_eq!(late.gates[&id("error-rate")].slots.missed, 0, "what is not due yet is not missed");
        match number {
            14 => assert_eq!((early.verdict, late.verdict), (Verdict::Pending, Verdict::Pass), "{why}"),
            4.. => assert_eq!((early.verdict, late.verdict), (Verdict::Pass, Verdict::Pass), "{why}"),
            _ => {}
        }
    }
}

#[test]
fn counts_too_large_to_be_told_apart_are_inconclusive_even_where_no_data_fails() {
    for counts in [[4.0, 1e308, 2.0, 1e308], [1e300, 1e308, 1e300, 1e308], [1e308, 1.5e308, 1e308, 1.5e308]] {
        let mut scene = Scene::new(&format!("{GATE}    no-data: fail\n").replace("    absolute: {max: 0.05}\n", ""));
        let judged = slots(&mut scene, &[counts; 3]);
        assert_eq!(judged.verdict, Verdict::Inconclusive, "{:?}", judged.gates[&id("error-rate")]);
    }
}

#[test]
fn evidence_is_a_number_for_any_counts_that_there_are() {
    for bad in [1e7, 1e8, 2e8, 9e8, 1e11] {
        let mut scene = scene();
        let judged = slots(&mut scene, &growing([bad * 0.05, bad * 5.0, bad * 0.95, bad * 95.0], 3));
        let report = &judged.gates[&id("error-rate")];
        let Some(Comparison::EValue { e_value, p, .. }) = report.comparison else { panic!("{report:?}") };
        assert!((0.0..1.0).contains(&e_value) && p > 0.1, "{bad}: {e_value} {p}");
        assert_eq!(judged.verdict, Verdict::Pass, "{}", report.why);
    }
}
