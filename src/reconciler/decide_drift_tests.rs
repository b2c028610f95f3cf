//! Drift: what is seen above or below what was applied last, and traffic that has not followed.

use super::*;

#[test]
fn drift_is_put_back_to_what_was_applied_even_when_nothing_may_go_forward() {
    for there in [seen(10_000, "L-1"), seen(501, "L-1"), seen(500, "L-0"), seen(9_000, "L-0")] {
        let decision = decide(&desired(ROLLING), Some(&there), &applied(0, 500, 0), &blocked(Reason::Stale));
        assert_eq!(decision.act, Act::Shift { tier: Some(0), weight_bp: 500, step: 1 });
        assert!(decision.drifted);
    }
}

#[test]
fn what_somebody_took_off_stays_off_until_a_key_is_turned() {
    let put_back = Act::Shift { tier: Some(0), weight_bp: 500, step: 1 };
    for there in [seen(0, "L-1"), seen(499, "L-1"), stable(), seen(10_000, "L-0")] {
        let mut was = applied(0, 500, 60_000);
        let found = decide(&desired(ROLLING), Some(&there), &was, &good());
        assert_eq!((found.act, found.doing, found.drifted), (Act::Keep, Doing::Holding, true));
        assert_eq!(found.reason.unwrap().reason, Reason::Drift);
        was.lowered = Some(3);
        let kept = decide(&desired(ROLLING), Some(&there), &was, &good());
        assert_eq!((kept.act, kept.drifted), (Act::Keep, false), "it is told once");
        // A key was turned since: neither while it is paused, nor where something speaks against it.
        let turned = |phase| Desired { step: 4, ..desired(phase) };
        assert_eq!(decide(&turned(ROLLING), Some(&there), &was, &good()).act, put_back);
        assert_eq!(decide(&turned(ROLLING), Some(&there), &was, &blocked(Reason::Stale)).act, Act::Keep);
        assert_eq!(decide(&turned(Phase::Paused { tier: 1 }), Some(&there), &was, &good()).act, Act::Keep);
        assert_eq!(decide(&desired(Phase::Halted), Some(&there), &was, &good()).doing, Doing::Shifting);
    }
}

#[test]
fn what_is_below_is_kept_or_restored_as_the_policy_chose_and_restored_never_where_something_speaks_against_it() {
    let ordered = |drift_below| Desired { drift_below, ..desired(Phase::Rolling { tier: 2 }) };
    let was = applied(1, 2_500, 0);
    let back = Act::Shift { tier: Some(1), weight_bp: 2_500, step: 1 };
    for below in [seen(500, "L-1"), seen(0, "L-1"), stable(), seen(10_000, "L-0")] {
        let of = |drift_below, conditions: &Conditions| decide(&ordered(drift_below), Some(&below), &was, conditions);
        let kept = of(DriftBelow::Kept, &good());
        assert_eq!((&kept.act, kept.reason.map(|why| why.reason)), (&Act::Keep, Some(Reason::Drift)), "{below:?}");
        let restored = of(DriftBelow::Restored, &good());
        assert_eq!((&restored.act, restored.reason, restored.drifted), (&back, None, true), "{below:?}");
        let held = of(DriftBelow::Restored, &blocked(Reason::Stale));
        assert_eq!((&held.act, held.reason.map(|why| why.reason)), (&Act::Keep, Some(Reason::Stale)), "{below:?}");
        // Told once.
        let lowered = Applied { lowered: Some(3), ..was.clone() };
        let again = decide(&ordered(DriftBelow::Restored), Some(&below), &lowered, &good());
        assert_eq!((again.act, again.drifted), (back.clone(), false), "{below:?}");
    }
    // What is above is put back whatever was chosen.
    for drift_below in [DriftBelow::Kept, DriftBelow::Restored] {
        let decision = decide(&ordered(drift_below), Some(&seen(10_000, "L-1")), &was, &blocked(Reason::Stale));
        assert_eq!((&decision.act, decision.drifted), (&back, true));
    }
}

#[test]
fn a_restoration_is_not_over_before_all_of_the_traffic_has_followed() {
    let passed = || Check::passed("");
    let checks = |candidate| {
        let (observed, probes, health, configuration) = (passed(), passed(), passed(), passed());
        Some(Checks { observed, probes, health, candidate, configuration })
    };
    let wanted = desired(Phase::RolledBack);
    let some = Applied { checks: checks(Check::pending("w")), ..restored() };
    let decided = |was: &Applied, seen: Option<&Observed>, conditions: &Conditions| {
        let decision = decide(&wanted, seen, was, conditions);
        (decision.act, decision.doing, decision.reason.map(|why| why.reason))
    };
    let waits = |act| (act, Doing::RollingBack, Some(Reason::NoData));
    // Whatever is known of its health: it is looked at again, for as long as it takes.
    for conditions in
        [good(), rollback_health(Gates::Pass, Deadline::Ahead), rollback_health(Gates::None, Deadline::Passed)]
    {
        assert_eq!(decided(&some, Some(&stable()), &conditions), waits(Act::Verify));
        assert_eq!(decided(&some, None, &conditions), waits(Act::Keep));
    }
    // Weight that comes back is taken away again meanwhile.
    assert_eq!(decided(&some, Some(&seen(500, "L-1")), &good()).0, Act::Restore);
    // The honest twin: all of it has followed, and time is up.
    let all = Applied { checks: checks(passed()), ..restored() };
    assert_eq!(decided(&all, Some(&stable()), &rollback_health(Gates::None, Deadline::Passed)).0, Act::GiveUp);
}
