//! Burn-rate gates.

use crate::gate::{
    Judgement, Value, Verdict,
    testing::{Scene, id, time},
};

/// Queries by window: `bad 300s` and so on.
const GATE: &str = "gates:\n  slo:\n    source: prometheus\n    kind: burn-rate\n    objective: 99.9\n    \
    windows: [[5m, 1h, 14.4], [30m, 6h, 6]]\n    candidate: {bad: 'bad {{window}}', total: 'total {{window}}'}\n    \
    settle: 60s\n    interval: 1m\n    min: {total: 1000, slots: 1}\n";

/// A tier that has lasted a day, with these counts over 5 min, 30 min, 1 h and 6 h.
fn judged(counts: [(f64, f64); 4]) -> Judgement {
    let mut scene = Scene::new(GATE);
    for (seconds, (bad, total)) in [300, 1800, 3600, 21_600].into_iter().zip(counts) {
        scene.source.number(&format!("bad {seconds}s"), bad);
        scene.source.number(&format!("total {seconds}s"), total);
    }
    scene.look(60 + 86_400)
}

#[test]
fn both_windows_must_burn_faster_than_the_factor() {
    // 14.4 times 0.1 % is 1.44 %.
    let slow = (0.0, 100_000.0);
    let fast = |total: f64| (0.0145 * total, total);
    let exact = |total: f64| (0.0144 * total, total);
    assert_eq!(judged([fast(10_000.0), slow, fast(100_000.0), slow]).verdict, Verdict::Fail);
    assert_eq!(
        judged([exact(10_000.0), slow, exact(100_000.0), slow]).verdict,
        Verdict::Pass,
        "a limit itself is good"
    );
    assert_eq!(judged([fast(10_000.0), slow, slow, slow]).verdict, Verdict::Pass, "a peak that is over");
    assert_eq!(judged([(0.0, 10_000.0), slow, fast(100_000.0), slow]).verdict, Verdict::Pass, "it has stopped");
    let six = |total: f64| (0.0061 * total, total);
    assert_eq!(judged([slow, six(10_000.0), slow, six(100_000.0)]).verdict, Verdict::Fail, "the slow pair");
}

#[test]
fn windows_do_not_reach_before_the_tier() {
    let mut scene = Scene::new(GATE);
    scene.look(60 + 600);
    let asked = scene.source.asked.borrow();
    let froms: Vec<_> = asked.iter().map(|question| (question.query.clone(), question.from)).collect();
    assert!(froms.contains(&("total 300s".to_owned(), time(360))));
    assert!(froms.contains(&("total 600s".to_owned(), time(60))));
    assert!(asked.iter().all(|question| question.from >= time(60)), "{froms:?}");
}

#[test]
fn silence_never_passes_and_too_few_pend() {
    let enough = (0.0, 100_000.0);
    assert_eq!(judged([enough; 4]).verdict, Verdict::Pass);
    assert_eq!(judged([enough, enough, enough, (0.0, 999.0)]).verdict, Verdict::Pending);
    assert_eq!(judged([(0.0, 1.0), enough, enough, enough]).verdict, Verdict::Pass);
    let silent = judged([(0.0, 0.0), enough, enough, enough]);
    assert_eq!(silent.verdict, Verdict::Inconclusive, "nobody came, however well that was counted");
    let why = &silent.gates[&id("slo")].why;
    assert!(why.contains("nothing was counted over the last 5m"), "{why}");
    assert_eq!(judged([enough, (0.0, 0.0), enough, enough]).verdict, Verdict::Inconclusive, "the other short one");
    let few = (0.0, 999.0);
    assert_eq!(judged([(0.0, 0.0), few, few, few]).verdict, Verdict::Pending, "not yet");
    for seconds in [300, 1800, 3600, 21_600] {
        for (value, verdict) in
            [(Value::Nothing, Verdict::Inconclusive), (Value::Number(f64::NAN), Verdict::Inconclusive)]
        {
            let mut scene = Scene::new(GATE);
            for seconds in [300, 1800, 3600, 21_600] {
                scene.source.number(&format!("bad {seconds}s"), 0.0);
                scene.source.number(&format!("total {seconds}s"), 5000.0);
            }
            scene.source.tell(&format!("total {seconds}s"), value);
            assert_eq!(scene.look(60 + 86_400).verdict, verdict, "{seconds}");
        }
        let mut scene = Scene::new(GATE);
        for seconds in [300, 1800, 3600, 21_600] {
            scene.source.number(&format!("bad {seconds}s"), 0.0);
            scene.source.number(&format!("total {seconds}s"), 5000.0);
        }
        scene.source.tell(&format!("bad {seconds}s"), Value::Nothing);
        assert_eq!(
            scene.look(60 + 86_400).verdict,
            Verdict::Pass,
            "no series of errors beside enough in all: {seconds}"
        );
    }
}

#[test]
fn a_disaster_shows_before_there_is_enough_and_a_window_bears_what_the_whole_of_it_does() {
    let first = |bad: f64, seconds: i64| {
        let mut scene = Scene::new(GATE);
        for query in ["60s", "300s", "600s"] {
            scene.source.number(&format!("bad {query}"), bad);
            scene.source.number(&format!("total {query}"), 40.0);
        }
        scene.look(60 + seconds).verdict
    };
    // All of a minute is bad: 1000 times the budget, and 16.7 times what an hour bears.
    assert_eq!(first(40.0, 60), Verdict::Fail);
    // Half of it, and most of the hour is still to come.
    assert_eq!(first(20.0, 60), Verdict::Pending);
    assert_eq!(first(20.0, 600), Verdict::Fail, "half of ten minutes is 83 times what an hour bears");
    // One of forty burns 25 times too fast, and four times what an hour bears.
    assert_eq!(first(1.0, 600), Verdict::Pending);
}

#[test]
fn a_limit_over_the_longest_window_is_held_whatever_is_unknown_of_a_shorter_one() {
    let gate = GATE
        .replace("objective: 99.9", "objective: 99.9\n    absolute: {max: 0.05}")
        .replace("[[5m, 1h, 14.4], [30m, 6h, 6]]", "[[5m, 1h, 500]]");
    let verdict = |bad: f64| {
        let mut scene = Scene::new(&gate);
        scene.source.number("bad 3600s", bad);
        scene.source.number("total 3600s", 10_000.0);
        scene.look(60 + 3600).verdict
    };
    assert_eq!((verdict(6000.0), verdict(100.0)), (Verdict::Fail, Verdict::Inconclusive));
}

#[test]
fn what_could_not_see_an_outage_passes_nothing() {
    // All of 300 requests a minute are bad. At 98 % an hour bears 28.8 % of them, and a quarter of an hour is less than that.
    let verdicts = |objective: &str, more: &str| {
        let mut scene = Scene::new(&format!("{}{more}", GATE.replace("99.9", objective)));
        let mut verdicts = Vec::new();
        for minute in 1..=20_u32 {
            for window in [300, 1800, 3600, 21_600].map(|length| length.min(60 * minute)) {
                let count = 5.0 * f64::from(window);
                scene.source.number(&format!("bad {window}s"), count);
                scene.source.number(&format!("total {window}s"), count);
            }
            verdicts.push(scene.look(60 + 60 * i64::from(minute)).verdict);
        }
        verdicts
    };
    let short = verdicts("98", "");
    assert!(short[..17].iter().all(|verdict| *verdict == Verdict::Pending), "{short:?}");
    assert_eq!(short[17], Verdict::Fail);
    assert!(verdicts("90", "").iter().all(|verdict| *verdict == Verdict::Pending), "it can never be seen");
    assert_eq!(verdicts("98", "    absolute: {max: 0.5}\n")[3], Verdict::Fail, "a limit sees it");
}

#[test]
fn a_window_that_began_late_is_one_of_many() {
    // 4 of 100 bad over an hour, of which 0.1 would be good: enough for the first hour of a tier, and not for the 24th.
    let verdict = |after: i64| {
        let mut scene = Scene::new(&GATE.replace("total: 1000", "total: 10").replace(", [30m, 6h, 6]", ""));
        for (seconds, counts) in [(300, (1.0, 10.0)), (3600, (5.0, 100.0))] {
            scene.source.number(&format!("bad {seconds}s"), counts.0);
            scene.source.number(&format!("total {seconds}s"), counts.1);
        }
        scene.look(60 + after).verdict
    };
    assert_eq!((verdict(3600), verdict(86_400)), (Verdict::Fail, Verdict::Pending));
}
