use super::*;
use crate::{
    follower::{
        checks::Check,
        clock::{Bake, ClockReading},
        records::Intent,
    },
    gate::health::{Deadline, Gates, Health, LimitsVerdict},
    model::{LeaseId, document::Span, lease::Tier},
    reconciler::applied::Restored,
};

const HOUR: i64 = 3_600;

fn lease(name: &str) -> LeaseId {
    LeaseId::parse(name).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A lease of 5, 25, 100 that the ledger has at `phase`, with a window of one hour.
fn desired(phase: Phase) -> Desired {
    let tier = |weight| Tier { weight, bake: Span::seconds(60) };
    Desired {
        lease: lease("L-1"),
        phase,
        step: 3,
        tier_steps: vec![1, 2, 3],
        tiers: vec![tier(5), tier(25), tier(100)],
        frozen: false,
        issued: at(0),
        expires: at(HOUR),
        on_expiry: OnExpiry::Rollback,
        rollbacks: 0,
        falls_back_to: None,
        undone: None,
        drift_below: DriftBelow::Kept,
    }
}

fn watched(ms: u64) -> Bake {
    let reading = ClockReading { now: at(1), monotonic: None };
    Bake { since: Some(reading.clone()), credited_ms: ms, last: Some(reading) }
}

/// Applied to a tier that has been watched for so long.
fn applied(tier: usize, weight_bp: u32, ms: u64) -> Applied {
    let lease = Some(lease("L-1"));
    Applied { lease, tier: Some(tier), weight_bp, step: 1, bake: watched(ms), ..Applied::default() }
}

fn seen(weight_bp: u32, name: &str) -> Observed {
    Observed { weight_bp, lease: Some(lease(name)) }
}

fn stable() -> Observed {
    Observed { weight_bp: 0, lease: None }
}

fn good() -> Conditions {
    Conditions {
        now: Some(at(10)),
        blockers: Vec::new(),
        pack: Pack::Rehearsed,
        standing: PackMatch::Unknown,
        health: Health::UNWATCHED,
        rollback_health: RollbackHealth::UNKNOWN,
        unmeasured: None,
        left_halted: None,
    }
}

fn health(gates: Gates, limits: LimitsVerdict) -> Health {
    Health { gates, limits, figures: Vec::new() }
}

fn blocked(reason: Reason) -> Conditions {
    Conditions { blockers: vec![Refusal::new(reason, "test")], ..good() }
}

const ROLLING: Phase = Phase::Rolling { tier: 2 };

#[track_caller]
fn holds(decision: &Decision, reason: Reason) {
    assert_eq!(decision.act, Act::Keep);
    assert_eq!(decision.reason.as_ref().map(|refusal| refusal.reason), Some(reason));
}

#[test]
fn a_ledger_at_100_is_followed_tier_by_tier_and_each_is_watched_first() {
    let wanted = desired(ROLLING);
    let shift = |decision: Decision| match decision.act {
        Act::Shift { tier: Some(tier), weight_bp, step } => (tier, weight_bp, step),
        other => panic!("{other:?}"),
    };
    assert_eq!(shift(decide(&wanted, Some(&stable()), &Applied::default(), &good())), (0, 500, 1));
    let young = decide(&wanted, Some(&seen(500, "L-1")), &applied(0, 500, 59_999), &good());
    assert_eq!((young.act, young.doing), (Act::Keep, Doing::Baking));
    assert_eq!(shift(decide(&wanted, Some(&seen(500, "L-1")), &applied(0, 500, 60_000), &good())), (1, 2500, 2));
    assert_eq!(shift(decide(&wanted, Some(&seen(2500, "L-1")), &applied(1, 2500, 60_000), &good())), (2, 10_000, 3));
    let done = decide(&wanted, Some(&seen(10_000, "L-1")), &applied(2, 10_000, 60_000), &good());
    assert_eq!((done.act, done.doing), (Act::Keep, Doing::Ready));
}

#[test]
fn the_first_shift_needs_a_pack_and_a_target_that_was_shifted_without_one_holds() {
    let none = Conditions { pack: Pack::Missing, ..good() };
    let wanted = desired(ROLLING);
    assert_eq!(decide(&wanted, Some(&stable()), &Applied::default(), &none).act, Act::Pack);
    holds(&decide(&wanted, Some(&seen(500, "L-1")), &applied(0, 500, 60_000), &none), Reason::NoPack);
    // Not even where nothing was written down here: a pack made now would hold the candidate.
    holds(&decide(&wanted, Some(&seen(500, "L-1")), &Applied::default(), &none), Reason::NoPack);
}

#[test]
fn each_condition_holds_with_its_reason_and_keeps_the_weight() {
    let (there, was) = (seen(500, "L-1"), applied(0, 500, 60_000));
    let of = |wanted: &Desired, conditions: &Conditions| decide(wanted, Some(&there), &was, conditions);
    let wanted = desired(ROLLING);
    for reason in [Reason::RefRewound, Reason::Stale, Reason::Busy] {
        holds(&of(&wanted, &blocked(reason)), reason);
    }
    holds(&of(&wanted, &Conditions { now: None, ..good() }), Reason::Clock);
    holds(&of(&desired(Phase::Paused { tier: 1 }), &good()), Reason::WrongState);
    holds(&of(&Desired { frozen: true, ..wanted.clone() }, &good()), Reason::Frozen);
    let ill = |gates, limits| Conditions { health: health(gates, limits), ..good() };
    holds(&of(&wanted, &ill(Gates::Open(Deadline::Ahead, "w".to_owned()), LimitsVerdict::Fine)), Reason::NoData);
    holds(&of(&wanted, &ill(Gates::Pass, LimitsVerdict::NoData("w".to_owned()))), Reason::NoData);
    assert!(matches!(of(&wanted, &ill(Gates::Pass, LimitsVerdict::Fine)).act, Act::Shift { weight_bp: 2500, .. }));
    // A first tier that could not be watched is not gone to.
    let first = Desired { phase: Phase::Rolling { tier: 0 }, ..wanted.clone() };
    let blind = Conditions { unmeasured: Some(Refusal::new(Reason::NoData, "test")), ..good() };
    holds(&decide(&first, Some(&stable()), &Applied::default(), &blind), Reason::NoData);
    let sighted = decide(&first, Some(&stable()), &Applied::default(), &good());
    assert!(matches!(sighted.act, Act::Shift { weight_bp: 500, .. }));
    holds(&of(&Desired { issued: at(1_000), ..wanted.clone() }, &good()), Reason::NotYetValid);
    let hold = Desired { on_expiry: OnExpiry::Hold, ..wanted.clone() };
    holds(&of(&hold, &Conditions { now: Some(at(HOUR)), ..good() }), Reason::Expired);
    holds(&decide(&wanted, None, &was, &good()), Reason::NoData);
    assert!(matches!(of(&wanted, &good()).act, Act::Shift { weight_bp: 2500, .. }));
}

#[test]
fn stops_act_although_nothing_else_is_known() {
    let unknown = Conditions { now: None, pack: Pack::Missing, ..blocked(Reason::Stale) };
    let was = applied(1, 2500, 0);
    let halted = decide(&desired(Phase::Halted), None, &was, &unknown);
    assert_eq!(halted.act, Act::Shift { tier: None, weight_bp: 0, step: 3 });
    assert_eq!(decide(&desired(Phase::RolledBack), None, &was, &unknown).act, Act::Restore);
}

#[test]
fn metrics_stop_a_lease_before_all_else_and_only_where_it_runs() {
    let crossed =
        Conditions { health: health(Gates::Pass, LimitsVerdict::Crossed("w".to_owned())), ..blocked(Reason::Stale) };
    let (there, was) = (seen(500, "L-1"), applied(0, 500, 0));
    let halted = decide(&desired(Phase::Rolling { tier: 1 }), Some(&there), &was, &crossed);
    assert_eq!((halted.act, halted.reason.unwrap().reason), (Act::Stop(StopKind::Halt), Reason::GateFailed));
    // Neither a target that cannot be observed, nor a clock, nor a pause, nor a window that has closed is waited for.
    for (phase, there, now) in [
        (Phase::Rolling { tier: 0 }, None, Some(at(10))),
        (Phase::Paused { tier: 0 }, Some(&there), None),
        (Phase::Rolling { tier: 0 }, Some(&there), Some(at(HOUR))),
        (Phase::Completed, Some(&there), Some(at(10))),
    ] {
        let decision = decide(&desired(phase), there, &was, &Conditions { now, ..crossed.clone() });
        assert_eq!(decision.act, Act::Stop(StopKind::Halt), "{phase:?}");
    }
    let late =
        Conditions { health: health(Gates::Fail(Deadline::Passed, "w".to_owned()), LimitsVerdict::Fine), ..good() };
    let undone = decide(&desired(Phase::Rolling { tier: 0 }), Some(&there), &was, &late);
    assert_eq!(undone.act, Act::Stop(StopKind::Rollback));
    // Where it does not run there is nothing to stop.
    let nowhere = decide(&desired(Phase::Rolling { tier: 0 }), Some(&stable()), &Applied::default(), &crossed);
    assert_eq!(nowhere.act, Act::Keep);
    let done = decide(&desired(Phase::Completed), Some(&seen(10_000, "L-1")), &applied(2, 10_000, 60_000), &crossed);
    assert_eq!(done.act, Act::Keep);
}

#[test]
fn a_tier_is_ready_no_longer_when_its_gates_do_not_pass_any_more() {
    let (there, was) = (seen(500, "L-1"), applied(0, 500, 60_000));
    let of = |gates| {
        let conditions = Conditions { health: health(gates, LimitsVerdict::Fine), ..good() };
        decide(&desired(Phase::Rolling { tier: 0 }), Some(&there), &was, &conditions)
    };
    assert_eq!(of(Gates::Pass).doing, Doing::Ready);
    let open = of(Gates::Open(Deadline::Ahead, "w".to_owned()));
    assert_eq!((open.doing, open.reason.unwrap().reason), (Doing::Holding, Reason::NoData));
}

#[test]
fn what_an_automaton_halted_is_undone_only_once_its_weight_is_zero_and_it_was_left() {
    let left = Conditions { left_halted: Some(Refusal::new(Reason::GateFailed, "test")), ..good() };
    let was = Applied { tier: None, weight_bp: 0, ..applied(0, 500, 0) };
    let of = |there: &Observed, was: &Applied, conditions: &Conditions| {
        decide(&desired(Phase::Halted), Some(there), was, conditions).act
    };
    let to_zero = Act::Shift { tier: None, weight_bp: 0, step: 3 };
    assert_eq!(of(&seen(500, "L-1"), &applied(0, 500, 0), &left), to_zero);
    assert_eq!(of(&seen(0, "L-1"), &was, &left), Act::Stop(StopKind::Rollback));
    assert_eq!(of(&seen(0, "L-1"), &was, &good()), Act::Keep);
    assert_eq!(of(&stable(), &Applied::default(), &left), Act::Keep, "it was never here");
}

#[test]
fn a_stop_of_a_lease_that_was_never_shifted_leaves_what_is_there() {
    let older = seen(10_000, "L-0");
    for phase in [Phase::Halted, Phase::RolledBack] {
        assert_eq!(decide(&desired(phase), Some(&older), &Applied::default(), &good()).act, Act::Keep);
    }
}

#[test]
fn a_failed_rollback_is_tried_again_only_when_another_is_signed() {
    let mut was = applied(1, 0, 0);
    was.rollback = Rollback::Failed(1);
    let once = Desired { rollbacks: 1, ..desired(Phase::RolledBack) };
    let decision = decide(&once, Some(&seen(0, "L-1")), &was, &good());
    assert_eq!((decision.act, decision.doing), (Act::Keep, Doing::RollbackFailed));
    // Weight zero has as many attempts as it takes, also where nobody can see it.
    let zero = Act::Shift { tier: None, weight_bp: 0, step: 3 };
    for there in [Some(&seen(500, "L-1")), None] {
        let decision = decide(&once, there, &was, &good());
        assert_eq!((decision.act, decision.doing), (zero.clone(), Doing::RollbackFailed));
    }
    assert_eq!(decide(&once, Some(&seen(10_000, "L-0")), &was, &good()).act, Act::Keep, "it is elsewhere");
    let again = Desired { rollbacks: 2, ..once };
    assert_eq!(decide(&again, Some(&seen(0, "L-1")), &was, &good()).act, Act::Restore);
}

#[test]
fn a_verified_rollback_is_kept_unless_the_candidate_comes_back() {
    let was = Applied { rollback: Rollback::Verified, tier: None, ..applied(0, 0, 0) };
    let wanted = Desired { rollbacks: 2, ..desired(Phase::RolledBack) };
    assert_eq!(decide(&wanted, Some(&stable()), &was, &good()).doing, Doing::Verified);
    let back = decide(&wanted, Some(&seen(500, "L-1")), &was, &good());
    assert_eq!((back.act, back.drifted), (Act::Restore, true));
    // What cannot be seen is not called verified.
    let unseen = decide(&wanted, None, &was, &good());
    assert_eq!((unseen.act, unseen.doing, unseen.reason.unwrap().reason), (Act::Keep, Doing::Holding, Reason::NoData));
}

#[test]
fn what_was_restored_is_restored_again_when_it_is_not_what_the_pack_says() {
    let wanted = Desired { rollbacks: 1, ..desired(Phase::RolledBack) };
    let verified = Applied { rollback: Rollback::Verified, ..applied(0, 0, 0) };
    let differs = Conditions { standing: PackMatch::Differs(Refusal::new(Reason::Drift, "w")), ..good() };
    let as_packed = Conditions { standing: PackMatch::AsPacked, ..good() };
    for was in [verified, restored()] {
        let decision = decide(&wanted, Some(&stable()), &was, &differs);
        assert_eq!((decision.act, decision.drifted), (Act::Restore, true));
        assert_eq!(decision.reason.unwrap().reason, Reason::Drift);
        assert_eq!(decide(&wanted, Some(&stable()), &was, &as_packed).act, Act::Keep);
    }
    // A failed restoration was the one attempt.
    let failed = Applied { rollback: Rollback::Failed(1), ..applied(0, 0, 0) };
    assert_eq!(decide(&wanted, Some(&stable()), &failed, &differs).act, Act::Keep);
}

#[test]
fn a_restoration_that_nobody_could_see_is_looked_at_again_and_not_tried_again() {
    let wanted = Desired { rollbacks: 1, ..desired(Phase::RolledBack) };
    let was = Applied { rollback: Rollback::Attempted { served: None }, ..applied(0, 0, 0) };
    let unseen = decide(&wanted, None, &was, &good());
    assert_eq!((unseen.act, unseen.doing), (Act::Keep, Doing::RollingBack));
    assert_eq!(decide(&wanted, Some(&stable()), &was, &good()).act, Act::Verify);
}

#[test]
fn a_stop_that_could_not_be_carried_out_is_tried_again_and_is_no_drift() {
    let halted = desired(Phase::Halted);
    let was = |unstopped| Applied { tier: None, unstopped, ..applied(0, 0, 0) };
    let there = seen(500, "L-1");
    let again = decide(&halted, Some(&there), &was(Some(at(3))), &good());
    assert_eq!((again.act, again.drifted), (Act::Shift { tier: None, weight_bp: 0, step: 3 }, false));
    assert!(decide(&halted, Some(&there), &was(None), &good()).drifted, "it had been stopped");
}

fn restored() -> Applied {
    let since = ClockReading { now: at(5), monotonic: None };
    let rollback = Rollback::Restored(Restored { since, served: None });
    Applied { rollback, tier: None, ..applied(0, 0, 0) }
}

fn rollback_health(gates: Gates, deadline: Deadline) -> Conditions {
    Conditions { rollback_health: RollbackHealth { gates, deadline, figures: String::new() }, ..good() }
}

#[test]
fn what_was_restored_is_verified_only_when_its_gates_pass_and_failed_when_they_fail_or_time_is_up() {
    let words = || "w".to_owned();
    let wanted = Desired { rollbacks: 1, ..desired(Phase::RolledBack) };
    let of = |there: Option<&Observed>, conditions: &Conditions| {
        let decision = decide(&wanted, there, &restored(), conditions);
        assert_eq!(decision.doing, Doing::RollingBack);
        (decision.act, decision.reason.map(|refusal| refusal.reason))
    };
    let there = stable();
    let with = |gates, deadline| of(Some(&there), &rollback_health(gates, deadline));
    let (ahead, passed) = (Deadline::Ahead, Deadline::Passed);
    let (wait, give_up) = ((Act::Keep, Some(Reason::NoData)), (Act::GiveUp, Some(Reason::NoData)));
    assert_eq!(with(Gates::Pass, ahead), (Act::Verify, None));
    assert_eq!(with(Gates::Pass, passed), (Act::Verify, None));
    assert_eq!(with(Gates::Open(ahead, words()), ahead), wait);
    assert_eq!(with(Gates::Open(passed, words()), ahead), give_up, "one gate's deadline is enough");
    assert_eq!(with(Gates::Open(ahead, words()), passed), give_up);
    assert_eq!(with(Gates::None, ahead), wait, "nobody has looked: that is no health");
    assert_eq!(with(Gates::None, passed), give_up);
    assert_eq!(with(Gates::Fail(ahead, words()), ahead), (Act::GiveUp, Some(Reason::GateFailed)));
    // What cannot be seen, or when, is not verified.
    assert_eq!(of(None, &rollback_health(Gates::Pass, ahead)), wait);
    assert_eq!(of(None, &rollback_health(Gates::Pass, passed)), give_up);
    let clockless = Conditions { now: None, ..rollback_health(Gates::Pass, ahead) };
    assert_eq!(of(Some(&there), &clockless), wait);
}

#[test]
fn the_health_of_a_candidate_verifies_no_rollback() {
    let conditions = Conditions { health: health(Gates::Pass, LimitsVerdict::Fine), ..good() };
    assert_eq!(decide(&desired(Phase::RolledBack), Some(&stable()), &restored(), &conditions).act, Act::Keep);
}

#[test]
fn a_candidate_that_comes_back_while_health_is_watched_is_restored_over_again() {
    let wanted = Desired { rollbacks: 1, ..desired(Phase::RolledBack) };
    let of =
        |there: &Observed| decide(&wanted, Some(there), &restored(), &rollback_health(Gates::Pass, Deadline::Ahead));
    let back = of(&seen(500, "L-1"));
    assert_eq!((back.act, back.drifted), (Act::Restore, true));
    assert_eq!(of(&seen(0, "L-1")).act, Act::Verify);
}

#[test]
fn a_rollback_that_failed_by_its_health_alone_says_so() {
    let wanted = Desired { rollbacks: 1, ..desired(Phase::RolledBack) };
    let of = |observed: Check, health: Check, verdict: Verdict| {
        let passed = || Check::passed("");
        let (probes, candidate, configuration) = (passed(), passed(), passed());
        let checks = Some(Checks { observed, probes, health, candidate, configuration });
        let was = Applied { rollback: Rollback::Failed(1), checks, verdict: Some(verdict), ..applied(1, 0, 0) };
        let decision = decide(&wanted, Some(&stable()), &was, &good());
        assert_eq!((decision.act, decision.doing), (Act::Keep, Doing::RollbackFailed));
        decision.reason.unwrap().reason
    };
    let (good, bad) = (|| Check::passed(""), || Check::failed("w"));
    assert_eq!(of(good(), bad(), Verdict::Inconclusive), Reason::NoData);
    assert_eq!(of(good(), bad(), Verdict::Fail), Reason::GateFailed);
    assert_eq!(of(bad(), bad(), Verdict::Inconclusive), Reason::Drift);
    assert_eq!(of(bad(), good(), Verdict::Pass), Reason::Drift);
}

#[test]
fn a_restoration_is_remembered_and_watched_anew_after_a_jump_of_the_clock() {
    let mut was = restored();
    let text = serde_json::to_string(&was).unwrap();
    assert_eq!(serde_json::from_str::<Applied>(&text).unwrap(), was);
    let later = ClockReading { now: at(900), monotonic: None };
    was.rollback.watch_anew(&later);
    assert_eq!(was.rollback, Rollback::Restored(Restored { since: later.clone(), served: None }));
    for other in [Rollback::None, Rollback::Verified, Rollback::Failed(1)] {
        let mut same = other.clone();
        same.watch_anew(&later);
        assert_eq!(same, other);
    }
}

#[test]
fn expiry_rolls_back_or_holds_as_the_lease_says_and_a_watched_last_tier_holds() {
    let late = Conditions { now: Some(at(HOUR)), ..good() };
    let wanted = desired(ROLLING);
    let expired = decide(&wanted, Some(&seen(500, "L-1")), &applied(0, 500, 0), &late);
    assert_eq!(expired.act, Act::Expire);
    let last = decide(&wanted, Some(&seen(10_000, "L-1")), &applied(2, 10_000, 60_000), &late);
    assert_eq!((last.act, last.doing), (Act::Keep, Doing::Ready));
    let unwatched = decide(&wanted, Some(&seen(10_000, "L-1")), &applied(2, 10_000, 0), &late);
    assert_eq!(unwatched.act, Act::Expire);
    let completed = decide(&desired(Phase::Completed), Some(&seen(10_000, "L-1")), &applied(2, 10_000, 0), &late);
    assert_eq!(completed.act, Act::Keep);
    // Nobody knows that it expired where nobody knows the time.
    let clockless = Conditions { now: None, ..good() };
    holds(&decide(&wanted, Some(&seen(500, "L-1")), &applied(0, 500, 0), &clockless), Reason::Clock);
    // What was never shifted needs no undoing.
    holds(&decide(&wanted, Some(&stable()), &Applied::default(), &late), Reason::Expired);
}

#[test]
fn an_act_that_was_made_and_not_written_down_counts_and_one_that_was_not_made_does_not() {
    let intent = Intent { lease: lease("L-1"), tier: Some(1), weight_bp: 2500, step: 2 };
    let before = Applied { intent: Some(intent), ..applied(0, 500, 60_000) };
    let mut made = before.clone();
    assert!(made.settle(Some(&seen(2500, "L-1"))));
    assert_eq!((made.tier, made.weight_bp, made.step, &made.intent), (Some(1), 2500, 2, &None));
    assert_eq!(made.bake, Bake::default(), "watching begins anew");
    let mut not_made = before.clone();
    assert!(!not_made.settle(Some(&seen(500, "L-1"))));
    assert_eq!((not_made.weight_bp, &not_made.intent), (500, &None));
    let mut unknown = before;
    assert!(!unknown.settle(None));
    assert!(unknown.intent.is_some(), "it stays open until somebody has looked");
}

#[test]
fn what_is_found_after_the_loss_of_a_machine_counts_only_as_a_tier_that_the_ledger_has_reached() {
    let mut wanted = desired(Phase::Rolling { tier: 1 });
    wanted.tier_steps = vec![1, 2];
    let found = |weight| {
        let mut applied = Applied::default();
        applied.adopt(&wanted, Some(&seen(weight, "L-1")));
        (applied.lease.is_some(), applied.tier, applied.weight_bp)
    };
    assert_eq!(found(2500), (true, Some(1), 2500));
    assert_eq!(found(10_000), (true, None, 0));
    assert_eq!(found(3_000), (true, None, 0));
    let mut other = Applied::default();
    other.adopt(&wanted, Some(&seen(2500, "L-0")));
    assert_eq!(other, Applied::default());
}

#[test]
fn a_journal_that_claims_more_than_the_ledger_ordered_never_leads_there() {
    let rolling = desired(Phase::Rolling { tier: 0 });
    let at_five = seen(500, "L-1");
    for lie in [applied(2, 10_000, 0), applied(0, 10_000, 0), applied(2, 500, 0)] {
        let decision = decide(&rolling, Some(&at_five), &lie, &good());
        assert_eq!(decision.act, Act::Keep, "{lie:?}");
        let act = decide(&rolling, Some(&seen(10_000, "L-1")), &lie, &good()).act;
        assert_eq!(act, Act::Shift { tier: Some(0), weight_bp: 500, step: 1 }, "{lie:?}");
    }
    // The honest twin: what was ordered and applied is what a drift is brought back to.
    let ordered = desired(Phase::Rolling { tier: 2 });
    let lowered = Applied { lowered: Some(2), ..applied(2, 10_000, 0) };
    let act = decide(&ordered, Some(&at_five), &lowered, &good()).act;
    assert_eq!(act, Act::Shift { tier: Some(2), weight_bp: 10_000, step: 1 });
}

#[test]
fn a_first_shift_that_nobody_saw_since_is_stopped_too() {
    let intent = Intent { lease: lease("L-1"), tier: Some(0), weight_bp: 500, step: 1 };
    let begun = Applied { intent: Some(intent), ..Applied::default() };
    let act = |phase, applied: &Applied| decide(&desired(phase), None, applied, &good()).act;
    assert_eq!(act(Phase::Halted, &begun), Act::Shift { tier: None, weight_bp: 0, step: 3 });
    assert_eq!(act(Phase::RolledBack, &begun), Act::Restore);
    assert_eq!(act(Phase::Halted, &Applied::default()), Act::Keep);
    assert_eq!(act(Phase::RolledBack, &Applied::default()), Act::Keep);
}

#[path = "decide_any_tests.rs"]
mod any;
#[path = "decide_drift_tests.rs"]
mod drift;
