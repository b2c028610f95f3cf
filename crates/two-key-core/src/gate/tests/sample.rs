//! Sample gates.

use crate::gate::{
    Comparison, Judgement, Recorded, Value, Verdict,
    testing::{Scene, id, observed, time},
};

const GATE: &str = "gates:\n  latency:\n    source: prometheus\n    kind: sample\n    \
    candidate: {value: 'latency {{candidate}}'}\n    settle: 60s\n    interval: 1m\n    min: {n: 30, slots: 2}\n    \
    compare: {test: mann-whitney, alpha: 0.01, min-a12: 0.6}\n    absolute: {max: 2}\n";

/// So many observations around a centre, spread evenly by 10 %, in an order in which none resembles the one before.
fn around(centre: f64, count: u32) -> Vec<f64> {
    let mut spread: Vec<(u64, f64)> =
        (0..count).map(|k| (scrambled(k), (f64::from(k) + 0.5) / f64::from(count))).collect();
    spread.sort_by_key(|(order, _)| *order);
    spread.into_iter().map(|(_, part)| centre * (0.95 + 0.1 * part)).collect()
}

/// A number that resembles none beside it (`SplitMix64`).
fn scrambled(k: u32) -> u64 {
    let z = u64::from(k + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn tell(scene: &Scene, candidate: Vec<f64>, baseline: Vec<f64>) {
    scene.source.tell("latency v2", observed(candidate));
    scene.source.tell("latency v1", observed(baseline));
}

/// The judgement when the tier has baked.
fn baked(gate: &str, candidate: Vec<f64>, baseline: Vec<f64>) -> Judgement {
    let mut scene = Scene::new(gate);
    tell(&scene, candidate, baseline);
    scene.look(840);
    scene.look(900)
}

#[test]
fn a_slower_candidate_fails_and_a_faster_one_does_not() {
    assert_eq!(baked(GATE, around(1.0, 40), around(1.0, 80)).verdict, Verdict::Pass);
    assert_eq!(baked(GATE, around(0.5, 40), around(1.0, 80)).verdict, Verdict::Pass);
    let judged = baked(GATE, around(1.1, 40), around(1.0, 80));
    let report = &judged.gates[&id("latency")];
    assert_eq!(judged.verdict, Verdict::Fail, "{}", report.why);
    let Some(Comparison::MannWhitney { needed, slot, shift, .. }) = report.comparison else { panic!("{report:?}") };
    assert!((needed - 0.009 / 3.0).abs() < 1e-12 && slot == 14 && (shift.unwrap() - 0.1).abs() < 0.01);
    let lower = GATE.replace("kind: sample\n", "kind: sample\n    worse: lower\n");
    assert_eq!(baked(&lower, around(1.1, 40), around(1.0, 80)).verdict, Verdict::Pass);
    assert_eq!(baked(&lower, around(0.5, 40), around(1.0, 80)).verdict, Verdict::Fail);
}

#[test]
fn an_effect_below_the_floor_is_no_harm_however_sure() {
    // A shift by 2 %, of 3000 observations.
    let (candidate, baseline) = (around(1.0008, 3000), around(1.0, 3000));
    let strict = GATE.replace(", min-a12: 0.6", "");
    let shifted: Vec<f64> = around(1.003, 3000);
    assert_eq!(baked(&strict, shifted.clone(), baseline.clone()).verdict, Verdict::Fail);
    assert_eq!(baked(GATE, shifted, baseline.clone()).verdict, Verdict::Pass);
    assert_eq!(baked(&strict, candidate, baseline).verdict, Verdict::Pass, "and one that cannot be told from chance");
}

#[test]
fn it_is_looked_at_once_when_the_tier_has_baked() {
    let mut scene = Scene::new(GATE);
    tell(&scene, around(1.1, 40), around(1.0, 80));
    for second in [120, 180, 840] {
        let judged = scene.look(second);
        assert_eq!((judged.verdict, judged.gates[&id("latency")].comparison), (Verdict::Pending, None));
        // A look that is not due yet is no sign of trouble.
        assert_eq!(judged.gates[&id("latency")].deadline, Some(time(900 + 1800)));
    }
    tell(&scene, around(1.0, 50), around(1.0, 90));
    assert_eq!(scene.look(900).verdict, Verdict::Pass);
    // What comes later is not looked at again: looking often finds what is not there.
    tell(&scene, around(1.5, 60), around(1.0, 100));
    let judged = scene.look(960);
    assert_eq!(judged.verdict, Verdict::Pass);
    // But an absolute limit is held in every slot.
    tell(&scene, around(2.5, 60), around(1.0, 100));
    assert_eq!(scene.look(1020).verdict, Verdict::Fail);
}

#[test]
fn too_few_pend_and_silence_holds() {
    assert_eq!(baked(GATE, around(1.0, 29), around(1.0, 80)).verdict, Verdict::Pending);
    assert_eq!(baked(GATE, around(1.0, 40), around(1.0, 29)).verdict, Verdict::Pending);
    let tiny = GATE.replace("n: 30", "n: 3");
    assert_eq!(baked(&tiny, around(1.0, 3), around(1.0, 3)).verdict, Verdict::Pending, "1 of 20 orders is no proof");
    for query in ["latency v2", "latency v1"] {
        for value in [
            Value::Nothing,
            Value::Number(1.0),
            observed(Vec::new()),
            observed(vec![f64::NAN; 40]),
            Value::Invalid("2 series".to_owned()),
            Value::Failed("down".to_owned()),
        ] {
            let mut scene = Scene::new(GATE);
            tell(&scene, around(1.0, 40), around(1.0, 40));
            scene.look(840);
            scene.look(900);
            scene.source.tell(query, value.clone());
            assert_eq!(scene.look(960).verdict, Verdict::Inconclusive, "{query} {value:?}");
        }
    }
}

#[test]
fn what_hardly_differs_from_what_came_before_passes_nothing_that_it_could_not_have_noticed() {
    // Each of 60 is within a thousandth of the one before: a gauge that is scraped more often than it moves.
    let slow = |centre: f64| (0..60_u32).map(|k| centre * (1.0 + f64::from(k) / 1000.0)).collect::<Vec<_>>();
    let gate = GATE.replace("    absolute: {max: 2}\n", "");
    let judged = baked(&gate, slow(30.0), slow(1.0));
    let report = &judged.gates[&id("latency")];
    assert_eq!(judged.verdict, Verdict::Pending, "{}", report.why);
    assert!(report.why.contains("too few observations to notice harm"), "{}", report.why);
    // As many that do not resemble each other show it, and that there is none.
    assert_eq!(baked(&gate, around(30.0, 60), around(1.0, 60)).verdict, Verdict::Fail);
    assert_eq!(baked(&gate, around(1.0, 60), around(1.0, 60)).verdict, Verdict::Pass);
    // What is the same in all of them resembles nothing: there is no difference to be seen.
    assert_eq!(baked(&gate, vec![1.0; 60], vec![1.0; 60]).verdict, Verdict::Pass);
}

#[test]
fn risk_raises_the_observations_that_are_needed() {
    let mut scene = Scene::new(GATE);
    scene.context.samples = 2;
    tell(&scene, around(1.0, 59), around(1.0, 80));
    scene.look(840);
    assert_eq!(scene.look(900).verdict, Verdict::Pending);
    tell(&scene, around(1.0, 60), around(1.0, 80));
    assert_eq!(scene.look(960).verdict, Verdict::Pass);
}

#[test]
fn at_the_last_tier_it_is_compared_with_what_was_recorded_if_anything() {
    let last = |recorded: Option<Vec<f64>>| {
        let mut scene = Scene::new(GATE);
        scene.context.last = true;
        if let Some(recorded) = recorded {
            scene.context.recorded.insert(id("latency"), Recorded::Observations(recorded));
        }
        tell(&scene, around(1.1, 40), Vec::new());
        scene.look(840);
        scene.look(900).verdict
    };
    assert_eq!(last(None), Verdict::Pass);
    assert_eq!(last(Some(around(1.1, 50))), Verdict::Pass);
    assert_eq!(last(Some(around(1.0, 50))), Verdict::Fail);
}

#[test]
fn observations_are_kept_of_the_slots_that_decide_only() {
    let mut scene = Scene::new(GATE);
    for (slot, made) in (1..=16).zip(40..) {
        tell(&scene, around(1.0, made), around(1.0, 2 * made));
        scene.look(60 + slot * 60);
    }
    let whole: Vec<u64> = scene
        .watch
        .slots(&id("latency"))
        .iter()
        .filter(|slot| slot.answers.iter().any(|answered| matches!(answered.value, Value::Observations(_))))
        .map(|slot| slot.number)
        .collect();
    assert_eq!(whole, [14, 16], "the one look, and the newest");
    assert_eq!(scene.look(1025).verdict, Verdict::Pass);
}

#[test]
fn what_is_observed_no_more_does_not_go_on_passing() {
    let verdict = |grows: bool| {
        let mut scene = Scene::new(GATE);
        let mut judged = None;
        for slot in 1..=30_u32 {
            let made = if grows || slot < 16 { 40 + slot } else { 56 };
            tell(&scene, around(1.0, made), around(1.0, 2 * made));
            judged = Some(scene.look(60 + i64::from(slot) * 60));
        }
        let judged = judged.unwrap();
        (judged.verdict, judged.gates[&id("latency")].why.contains("nothing was observed since"))
    };
    assert_eq!((verdict(true), verdict(false)), ((Verdict::Pass, false), (Verdict::Pending, true)));
}

#[test]
fn a_minimum_is_held_against_what_was_observed_and_not_against_its_sample() {
    let gate = "gates:\n  latency: {source: file, kind: sample, candidate: {value: 'l'}, min: {n: 25000, slots: 1}, absolute: {max: 9}}\n";
    let verdict = |made: u32| {
        let mut scene = Scene::new(gate);
        scene.source.tell("l", observed(around(1.0, made)));
        scene.look(120).verdict
    };
    assert_eq!((verdict(24_999), verdict(25_000)), (Verdict::Pending, Verdict::Pass));
}

#[test]
fn what_is_beyond_the_limit_is_counted_and_not_how_far() {
    // A queue that grows: each waits longer than the one before, all of them too long.
    let growing = |slot: u32| (0..20 * slot).map(|k| 10.0 + f64::from(k) / 8.0).collect::<Vec<_>>();
    let verdict = |observed: &dyn Fn(u32) -> Vec<f64>, last: u32| {
        let mut scene = Scene::new(GATE);
        let mut verdict = None;
        for slot in 1..=last {
            tell(&scene, observed(slot), around(1.0, 20 * slot));
            verdict = Some(scene.look(60 + 60 * i64::from(slot)).verdict);
        }
        verdict.unwrap()
    };
    assert_eq!((verdict(&growing, 1), verdict(&growing, 4)), (Verdict::Pending, Verdict::Fail));
    // The same within the limit, and one spell beyond it of a series that resembles itself.
    assert_eq!(verdict(&|slot| growing(slot).iter().map(|value| value / 100.0).collect(), 13), Verdict::Pending);
    let spell = |slot: u32| (0..20 * slot).map(|k| if (20..40).contains(&k) { 3.0 } else { 1.0 }).collect::<Vec<_>>();
    assert_eq!(verdict(&spell, 13), Verdict::Pending);
    let many: Vec<f64> = around(3.0, 100);
    assert_eq!(verdict(&|_| many.clone(), 1), Verdict::Fail, "independent ones show it in the first slot");
}

#[test]
fn in_a_row_of_slots_the_candidate_s_observations_are_kept_and_the_baseline_s_in_short() {
    let mut scene = Scene::new(&GATE.replace("{max: 2}", "{max: 2, slots: 3}"));
    for slot in 1..=3 {
        tell(&scene, around(3.0, 100), around(1.0, 100));
        let judged = scene.look(60 + 60 * slot);
        assert_eq!(judged.verdict, if slot == 3 { Verdict::Fail } else { Verdict::Pending });
    }
    let kept = |side: usize| {
        let slots = scene.watch.slots(&id("latency")).iter();
        slots.map(|slot| matches!(slot.answers[side].value, Value::Observations(_))).collect::<Vec<_>>()
    };
    assert_eq!((kept(0), kept(1)), (vec![true; 3], vec![false, false, true]));
}
