//! What a start pins, so that no later policy disarms a running rollout, and what stays with the policy in force.

use super::story::{Rulebook, Story, lease, rulebook};
use crate::{
    ledger::PinnedTerms,
    model::{
        GateId,
        policy::{DriftBelow, DriverKind, Policy, USUAL_FALSE_ALARMS},
    },
};

fn armed() -> Rulebook {
    rulebook().only(
        "targets: {web: {driver: haproxy, applier: edge1, gates: [slo], drift-below: restored}}
gates:
  slo: {source: prometheus, kind: burn-rate, objective: 99.9, windows: [[5m, 1h, 14.4]], candidate: {bad: b, total: t}}
  idle: {source: prometheus, kind: burn-rate, objective: 99, windows: [[5m, 1h, 14.4]], candidate: {bad: b, total: t}}
thresholds:
  memory: {halt: '> 95'}",
    )
}

fn disarmed() -> Rulebook {
    rulebook().only("targets: {web: {driver: file, applier: edge2}}").after(&armed())
}

fn terms<'a>(s: &'a Story, id: &'static str) -> Option<&'a PinnedTerms> {
    s.state.lease(&lease(id).lease_id()).unwrap().terms.as_deref()
}

fn expected(policy: &Policy) -> PinnedTerms {
    let slo = GateId::parse("slo").unwrap();
    PinnedTerms {
        driver: Some(DriverKind::Haproxy),
        gates: [(slo.clone(), policy.gates[&slo].clone())].into(),
        thresholds: policy.thresholds.clone(),
        if_measured: [GateId::parse("memory").unwrap()].into(),
        promote: None,
        false_alarms: USUAL_FALSE_ALARMS,
        drift_below: DriftBelow::Restored,
    }
}

#[test]
fn a_start_pins_driver_gates_and_thresholds() {
    let l = lease("L1");
    let mut s = Story::new(&armed());
    s.authorizes(&l);
    assert_eq!(terms(&s, "L1"), None, "nothing is pinned before the start");
    s.does("cp14", l.start(5));
    let pinned = expected(s.state.policy().get());
    assert_eq!(pinned.thresholds.len(), 1);
    assert_eq!(terms(&s, "L1"), Some(&pinned));
    s.enacts(&disarmed());
    assert!(s.state.policy().get().gates.is_empty());
    s.does("user1", l.promote(2, 25)).does("cp14", l.promote(2, 25));
    assert_eq!(terms(&s, "L1"), Some(&pinned), "a later policy disarms nothing");
}

#[test]
fn a_start_pins_what_is_in_force_then_and_not_at_the_cosignature() {
    let l = lease("L1");
    let mut s = Story::new(&armed());
    s.authorizes(&l).enacts(&disarmed()).does("cp14", l.start(5));
    let bare = PinnedTerms {
        driver: Some(DriverKind::File),
        gates: [].into(),
        thresholds: [].into(),
        if_measured: [].into(),
        promote: None,
        false_alarms: USUAL_FALSE_ALARMS,
        drift_below: DriftBelow::Kept,
    };
    assert_eq!(terms(&s, "L1"), Some(&bare));
}

#[test]
fn a_targets_own_limits_are_pinned_with_those_of_the_policy_that_it_does_not_have_itself() {
    let limits = "
thresholds: {memory: {halt: '> 95'}, load: {halt: '> 9'}}";
    let own = "targets: {web: {driver: file, applier: edge1, thresholds: {memory: {halt: '> 50'}, queue: {halt: '> 7'}}}, db: {driver: file}}";
    let mut s = Story::new(&rulebook().only(&format!("{own}{limits}")));
    s.rolls(&lease("L1")).rolls(&lease("L2").on("db"));
    let pinned = |id: &'static str, s: &Story| {
        let terms = terms(s, id).unwrap();
        let limits: Vec<_> = terms.thresholds.iter().map(|(id, own)| format!("{id} {}", own.halt.unwrap())).collect();
        (limits, terms.if_measured.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(pinned("L1", &s), (words(&["load > 9", "memory > 50", "queue > 7"]), words(&["load"])));
    assert_eq!(pinned("L2", &s), (words(&["load > 9", "memory > 95"]), words(&["load", "memory"])));
    let measured = terms(&s, "L1").unwrap().clone().where_measured(|_| false);
    assert_eq!(measured.thresholds.len(), 2, "its own stay whether they are measured or not");
}

#[test]
fn a_target_that_the_policy_does_not_know_has_no_driver() {
    let l = lease("L1").on("elsewhere");
    let mut s = Story::new(&rulebook());
    s.rolls(&l);
    let nothing = PinnedTerms {
        driver: None,
        gates: [].into(),
        thresholds: [].into(),
        if_measured: [].into(),
        promote: None,
        false_alarms: USUAL_FALSE_ALARMS,
        drift_below: DriftBelow::Kept,
    };
    assert_eq!(terms(&s, "L1"), Some(&nothing));
}
