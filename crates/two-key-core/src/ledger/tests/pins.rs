//! What a start pins, so that no later policy disarms a running rollout, and what stays with the policy in force.

use super::story::{Rulebook, Story, lease, rulebook};
use crate::{
    ledger::PinnedTerms,
    model::{
        GateId,
        policy::{DriftBelow, Driver, Policy, USUAL_FALSE_ALARMS},
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
        driver: Some(Driver::Haproxy),
        gates: [(slo.clone(), policy.gates[&slo].clone())].into(),
        thresholds: policy.thresholds.clone(),
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
        driver: Some(Driver::File),
        gates: [].into(),
        thresholds: [].into(),
        false_alarms: USUAL_FALSE_ALARMS,
        drift_below: DriftBelow::Kept,
    };
    assert_eq!(terms(&s, "L1"), Some(&bare));
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
        false_alarms: USUAL_FALSE_ALARMS,
        drift_below: DriftBelow::Kept,
    };
    assert_eq!(terms(&s, "L1"), Some(&nothing));
}
