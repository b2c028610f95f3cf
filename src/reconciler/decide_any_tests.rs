//! Whatever is ordered, applied, seen and known.

use proptest::prelude::*;

use super::*;

fn any_phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Proposed),
        Just(Phase::Authorized),
        (0usize..4).prop_map(|tier| Phase::Rolling { tier }),
        (0usize..4).prop_map(|tier| Phase::Paused { tier }),
        Just(Phase::Halted),
        Just(Phase::Completed),
        Just(Phase::RolledBack),
        Just(Phase::Withdrawn),
    ]
}

fn any_lease() -> impl Strategy<Value = Option<LeaseId>> {
    prop_oneof![Just(None), Just(Some(lease("L-1"))), Just(Some(lease("L-0")))]
}

fn any_weight() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0u32), Just(500), Just(2500), Just(10_000), 0u32..=10_000]
}

fn any_desired() -> impl Strategy<Value = Desired> {
    let steps = prop_oneof![Just(vec![]), Just(vec![1]), Just(vec![1, 2]), Just(vec![1, 2, 3])];
    (any_phase(), steps, any::<bool>(), any::<bool>(), 0u32..3, any::<bool>()).prop_map(
        |(phase, tier_steps, frozen, hold, rollbacks, restores)| Desired {
            drift_below: if restores { DriftBelow::Restored } else { DriftBelow::Kept },
            tier_steps,
            frozen,
            rollbacks,
            on_expiry: if hold { OnExpiry::Hold } else { OnExpiry::Rollback },
            ..desired(phase)
        },
    )
}

fn any_applied() -> impl Strategy<Value = Applied> {
    let rollback = prop_oneof![
        Just(Rollback::None),
        Just(restored().rollback),
        Just(Rollback::Attempted { served: None }),
        Just(Rollback::Verified),
        (0u32..3).prop_map(Rollback::Failed)
    ];
    let tier = prop_oneof![Just(None), (0usize..3).prop_map(Some)];
    (any_lease(), tier, any_weight(), prop_oneof![Just(0u64), Just(60_000)], rollback).prop_map(
        |(lease, tier, weight_bp, ms, rollback)| Applied {
            lease,
            tier,
            weight_bp,
            step: 1,
            bake: if ms == 0 { Bake::default() } else { watched(ms) },
            rollback,
            ..Applied::default()
        },
    )
}

fn any_observed() -> impl Strategy<Value = Option<Observed>> {
    prop_oneof![
        1 => Just(None),
        6 => (any_weight(), any_lease()).prop_map(|(weight_bp, lease)| Some(Observed { weight_bp, lease })),
    ]
}

fn any_conditions() -> impl Strategy<Value = Conditions> {
    let now = prop_oneof![Just(None), (-HOUR..2 * HOUR).prop_map(|second| Some(at(second)))];
    let blockers = prop_oneof![Just(vec![]), Just(vec![Refusal::new(Reason::Stale, "test")])];
    let pack = prop_oneof![Just(Pack::Missing), Just(Pack::Rehearsed)];
    let words = || "test".to_owned();
    let deadline = || prop_oneof![Just(Deadline::Ahead), Just(Deadline::Passed)];
    let gates = prop_oneof![
        Just(Gates::None),
        Just(Gates::Pass),
        deadline().prop_map(move |deadline| Gates::Open(deadline, words())),
        deadline().prop_map(move |deadline| Gates::Fail(deadline, words())),
    ];
    let limits = prop_oneof![
        Just(LimitsVerdict::None),
        Just(LimitsVerdict::Fine),
        Just(LimitsVerdict::Warn(words())),
        Just(LimitsVerdict::NoData(words())),
        Just(LimitsVerdict::Crossed(words())),
    ];
    let doubt = || prop_oneof![Just(None), Just(Some(Refusal::new(Reason::NoData, "test")))];
    let rollback_health = (gates.clone(), deadline()).prop_map(|(gates, deadline)| RollbackHealth {
        gates,
        deadline,
        figures: String::new(),
    });
    (now, blockers, pack, gates, limits, rollback_health, doubt(), doubt()).prop_map(
        |(now, blockers, pack, gates, limits, rollback_health, unmeasured, left_halted)| Conditions {
            now,
            blockers,
            pack,
            standing: PackMatch::Unknown,
            health: health(gates, limits),
            rollback_health,
            unmeasured,
            left_halted,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn with_any_condition_missing_the_weight_never_exceeds_what_was_applied_last(
        wanted in any_desired(), there in any_observed(), was in any_applied(), conditions in any_conditions(),
    ) {
        let decision = decide(&wanted, there.as_ref(), &was, &conditions);
        if !was.is_exceeded_by(&wanted.lease, &decision.act) {
            return Ok(());
        }
        // A forward move: all of these were there.
        let Act::Shift { tier: Some(next), weight_bp, .. } = decision.act else { panic!("{decision:?}") };
        prop_assert!(conditions.blockers.is_empty() && conditions.pack == Pack::Rehearsed);
        let now = conditions.now.unwrap();
        prop_assert!(now < wanted.expires && now >= wanted.issued.checked_sub(CLOCK_TOLERANCE).unwrap());
        prop_assert!(!wanted.frozen && there.is_some());
        match was.tier.filter(|_| was.lease.as_ref() == Some(&wanted.lease)) {
            Some(_) => prop_assert!(conditions.health.against().is_none()),
            None => prop_assert!(conditions.unmeasured.is_none()),
        }
        let goes_on = matches!(wanted.phase, Phase::Rolling { .. } | Phase::Completed);
        prop_assert!(goes_on);
        prop_assert_eq!(weight_bp, basis_points(wanted.tiers[next].weight));
        if let Phase::Rolling { tier } = wanted.phase {
            prop_assert!(next <= tier);
        }
        prop_assert!(next < wanted.tier_steps.len());
        if was.lease.as_ref() == Some(&wanted.lease) {
            prop_assert_eq!(next, was.tier.map_or(0, |tier| tier + 1));
            prop_assert!(was.tier.is_none() || was.bake.is_over(wanted.tiers[next - 1].bake));
            prop_assert_eq!(there.unwrap().weight_bp, was.weight_bp);
        } else {
            prop_assert_eq!(next, 0);
        }
    }

    #[test]
    fn a_stop_never_waits_for_a_condition(
        wanted in any_desired(), there in any_observed(), was in any_applied(), conditions in any_conditions(),
    ) {
        let decision = decide(&wanted, there.as_ref(), &was, &conditions);
        if matches!(wanted.phase, Phase::Halted | Phase::RolledBack) {
            // That a halt was left for too long asks for more of a stop, never for less.
            let clear = Conditions { left_halted: conditions.left_halted.clone(), ..good() };
            // What was restored is a stop that was obeyed; to be verified takes more.
            if !matches!(was.rollback, Rollback::Restored(_)) {
                prop_assert_eq!(&decision, &decide(&wanted, there.as_ref(), &was, &clear));
            }
            if decision.act == Act::Verify && !matches!(was.rollback, Rollback::Attempted { .. }) {
                prop_assert_eq!(&conditions.rollback_health.gates, &Gates::Pass);
                prop_assert!(there.is_some() && conditions.now.is_some());
            }
            prop_assert!(!was.is_exceeded_by(&wanted.lease, &decision.act));
        }
        let running = was.lease.as_ref() == Some(&wanted.lease) && was.weight_bp > 0 && was.rollback == Rollback::None;
        if wanted.phase == Phase::Halted && running {
            prop_assert_eq!(decision.act, Act::Shift { tier: None, weight_bp: 0, step: wanted.step });
        } else if wanted.phase == Phase::RolledBack && running {
            prop_assert_eq!(decision.act, Act::Restore);
        }
    }
}
