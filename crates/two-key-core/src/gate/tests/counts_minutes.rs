//! Count-ratio gates where a candidate is bad for some minutes, or for long.

use super::counts::{GATE, growing, scene, slots, tell};
use crate::gate::{
    Verdict,
    testing::{Scene, id, time},
};

#[test]
fn one_bad_minute_is_no_bad_version() {
    // 3 bad of 300 against 0 of 5,700 in the first slot, then nothing but health.
    let mut rows = growing([0.0, 300.0, 0.0, 5700.0], 14);
    for row in &mut rows {
        row[0] += 3.0;
    }
    let mut scene = scene();
    assert_eq!(slots(&mut scene, &rows).verdict, Verdict::Pass);
    // While there is nothing beside it, that is no health either.
    let mut disaster = Scene::new(&GATE.replace("slots: 3", "slots: 1").replace("    absolute: {max: 0.05}\n", ""));
    let judged = slots(&mut disaster, &[[200.0, 400.0, 38.0, 7600.0]]);
    assert_eq!(judged.verdict, Verdict::Pending, "{}", judged.gates[&id("error-rate")].why);
    // The same three times is one.
    let thrice = growing([3.0, 300.0, 0.0, 5700.0], 3);
    assert_eq!(slots(&mut self::scene(), &thrice).verdict, Verdict::Fail);
}

#[test]
fn a_bad_minute_that_begins_within_a_slot_is_one_as_well() {
    // Every second request fails for a minute, half of it in each of two slots; else next to nothing.
    let gate = GATE.replace("    absolute: {max: 0.05}\n", "");
    let bad = |first: usize, minutes: &[f64]| {
        let mut rows = growing([0.0, 300.0, 3.0, 5700.0], 14);
        for (slot, row) in rows.iter_mut().enumerate() {
            row[0] += minutes.iter().take((slot + 1).saturating_sub(first)).sum::<f64>();
        }
        slots(&mut Scene::new(&gate), &rows)
    };
    for first in 0..13 {
        let judged = bad(first, &[75.0, 75.0]);
        assert_ne!(judged.verdict, Verdict::Fail, "{first}: {}", judged.gates[&id("error-rate")].why);
    }
    // As many as one slot has are more than a minute of that; one less may be one.
    assert_eq!(bad(0, &[150.0, 150.0]).verdict, Verdict::Fail);
    assert_ne!(bad(0, &[150.0, 149.0]).verdict, Verdict::Fail);
    // Two such minutes and a half are no moment.
    assert_eq!(bad(1, &[75.0, 150.0, 75.0]).verdict, Verdict::Fail);
}

#[test]
fn what_goes_wrong_for_long_meets_its_deadline_however_well_it_went_before() {
    // Eight times the errors for half an hour, after an hour of none more than before: over the whole tier less than `max-ratio`.
    let mut scene =
        Scene::new(&GATE.replace("max-ratio: 1.5", "max-ratio: 5").replace("    absolute: {max: 0.05}\n", ""));
    let mut row = [0.0; 4];
    let mut judged = |slot: u32| {
        let bad = if slot <= 60 { 1.5 } else { 12.0 };
        row = [row[0] + bad, row[1] + 300.0, row[2] + 28.5, row[3] + 5700.0];
        tell(&scene, row);
        scene.look(60 + i64::from(slot) * 60)
    };
    let verdicts: Vec<_> = (1..92).map(|slot| judged(slot).verdict).collect();
    assert_eq!((verdicts[60], &verdicts[61..]), (Verdict::Pass, &[Verdict::Pending; 30][..]));
    let last = judged(92);
    let report = &last.gates[&id("error-rate")];
    assert_eq!((report.verdict, report.since), (Verdict::Pending, time(60 + 61 * 60)), "{}", report.why);
    assert!(last.overdue().next().is_some());
}
