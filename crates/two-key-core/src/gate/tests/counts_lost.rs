//! Count-ratio gates where counts are lost, stand still or come from several.

use super::counts::{GATE, growing, scene, slots, tell};
use crate::gate::{
    Value, Verdict,
    testing::{Scene, id},
};

#[test]
fn a_baseline_that_nothing_counts_the_bad_ones_of_makes_no_harm() {
    let verdict = |counted: bool| {
        let mut scene = Scene::new(&GATE.replace("    absolute: {max: 0.05}\n", ""));
        for slot in 1..=10 {
            let k = f64::from(slot);
            tell(&scene, [6.0 * k, 300.0 * k, 0.0, 5700.0 * k]);
            if !counted {
                scene.source.tell("bad v1", Value::Nothing);
            }
            scene.look(60 + i64::from(slot) * 60);
        }
        scene.look(660).verdict
    };
    assert_eq!((verdict(true), verdict(false)), (Verdict::Fail, Verdict::Inconclusive));
}

#[test]
fn a_baseline_that_stands_still_is_nothing_to_compare_with() {
    // From slot 8 on both fail; of the stable version's nothing is counted since slot 5.
    let verdict = |silent: bool| {
        let rows: Vec<_> = (1..=12)
            .map(|slot| {
                let (k, late) = (f64::from(slot), f64::from((slot - 7).max(0)));
                let known = if silent { k.min(5.0) } else { k };
                let incident = if silent { 0.0 } else { late };
                [2.0 * k + 22.0 * late, 300.0 * k, 29.0 * known + 418.0 * incident, 5700.0 * known]
            })
            .collect();
        let gate = GATE.replace("    absolute: {max: 0.05}\n", "");
        slots(&mut Scene::new(&gate), &rows).gates[&id("error-rate")].clone()
    };
    let silent = verdict(true);
    assert_eq!(silent.verdict, Verdict::Pending);
    assert!(silent.why.contains("nothing was counted of the baseline since"), "{}", silent.why);
    assert_eq!(verdict(false).verdict, Verdict::Pass, "both alike");
}

#[test]
fn extrapolation_is_no_sign_of_life() {
    // 180,000 events, and from slot 5 on a count that only moves by what extrapolation makes of it.
    let verdict = |rate: f64| {
        let rows: Vec<_> = (1..=20)
            .map(|slot| {
                let k = f64::from(slot);
                let drift = if slot % 2 == 0 { 900.0 } else { -900.0 } / k;
                [0.0, 36_000.0 * k.min(5.0) + rate * (k - 5.0).max(0.0) + drift, 0.0, 600_000.0 * k]
            })
            .collect();
        slots(&mut scene(), &rows).verdict
    };
    assert_eq!((verdict(0.0), verdict(9000.0)), (Verdict::Pending, Verdict::Pass));
}

#[test]
fn what_has_just_gone_wrong_is_not_made_well_by_how_much_it_varies() {
    let verdict = |bad_minutes: i32| {
        let rows: Vec<_> = (1..=14)
            .map(|slot| {
                let (k, late) = (f64::from(slot), f64::from((slot - 14 + bad_minutes).max(0)));
                [2.0 * k + 90.0 * late, 300.0 * k, 29.0 * k, 5700.0 * k]
            })
            .collect();
        let gate = GATE.replace("    absolute: {max: 0.05}\n", "");
        slots(&mut Scene::new(&gate), &rows).verdict
    };
    assert_eq!((verdict(0), verdict(1)), (Verdict::Pass, Verdict::Pass), "one bad minute is no bad version");
    assert_ne!(verdict(2), Verdict::Pass);
}

#[test]
fn of_two_replicas_one_that_knows_less_hides_no_harm() {
    let verdict = |pair: bool, times: f64| {
        let rows: Vec<_> = (1..=14)
            .map(|slot| {
                let k = f64::from(if pair && slot % 2 == 0 { slot - 2 } else { slot });
                [1.5 * times * k, 300.0 * k, 28.5 * k, 5700.0 * k]
            })
            .collect();
        slots(&mut scene(), &rows).verdict
    };
    assert_eq!((verdict(false, 3.0), verdict(true, 3.0)), (Verdict::Fail, Verdict::Fail));
    assert_ne!(verdict(true, 1.0), Verdict::Fail);
}

#[test]
fn a_source_that_lost_what_it_had_counted_is_no_version_that_stopped_serving() {
    let mut scene = scene();
    slots(&mut scene, &growing([3.0, 300.0, 57.0, 5700.0], 10));
    // Half of the history is lost; what is served from then on is counted.
    let mut verdicts = Vec::new();
    for slot in 11..=40 {
        let k = f64::from(slot - 5);
        tell(&scene, [3.0 * k, 300.0 * k, 57.0 * k, 5700.0 * k]);
        verdicts.push(scene.look(60 + i64::from(slot) * 60).verdict);
    }
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Pass), "{verdicts:?}");
    // Nearly all of it: that slot says nothing, and the ones after it what they count.
    for slot in 41..=45 {
        let k = f64::from(slot - 40);
        tell(&scene, [3.0 * k, 300.0 * k, 57.0 * k, 5700.0 * k]);
        verdicts.push(scene.look(60 + i64::from(slot) * 60).verdict);
    }
    assert_eq!(verdicts[30..], [Verdict::Inconclusive, Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::Pass]);
    // Two replicas of which one knows half: neither is taken for silence.
    for slot in 46..=70 {
        let k = f64::from(if slot % 2 == 0 { slot - 40 } else { (slot - 40) / 2 });
        tell(&scene, [3.0 * k, 300.0 * k, 57.0 * k, 5700.0 * k]);
        verdicts.push(scene.look(60 + i64::from(slot) * 60).verdict);
    }
    assert!(verdicts[35..].iter().all(|verdict| *verdict == Verdict::Pass), "{verdicts:?}");
}
