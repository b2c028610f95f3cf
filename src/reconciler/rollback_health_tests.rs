use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::{
    gate::{Evidence, MeasuredVersion, Recorded, TierContext, Watch, health::Health},
    model::{GateId, LeaseId, TargetId, document::Span, policy},
};

/// One gate, as a policy writes it.
fn terms(gate: &str) -> PinnedTerms {
    let policy = format!(
        "two-key: 1\nrepository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\nversion: 1\nprevious: null\nprincipals:\n  \
         user1: {{role: human, keys: [\"{}\"]}}\n  cp14: {{role: agent, keys: [\"{}\"]}}\ngates:\n  g: {gate}\n",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILMosAnnMBmbSsVuPeRCwaAz9riEocuL63ZsGTsvz2nV",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxYf809HjbbpxPuutP7dvEs86BruAUGM0lMHbigRrv/",
    );
    let policy = policy::read(policy.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{policy}"));
    PinnedTerms {
        driver: None,
        gates: policy.get().gates.clone(),
        thresholds: BTreeMap::new(),
        if_measured: std::collections::BTreeSet::new(),
        promote: None,
        false_alarms: policy.get().false_alarms,
        drift_below: policy::DriftBelow::default(),
    }
}

fn ratio(limits: &str) -> PinnedTerms {
    terms(&format!(
        "{{source: file, kind: count-ratio, candidate: {{bad: b, total: t}}, settle: 20s, inconclusive-deadline: 40s, \
         {limits}}}"
    ))
}

const COMPARES: &str = "baseline: {version: stable}, compare: {test: e-value, alpha: 0.01}";

/// A look that says that all gates pass.
fn passes(terms: &PinnedTerms, recorded: Option<Recorded>) -> Look {
    let context = TierContext {
        lease: LeaseId::parse("L-1").unwrap(),
        target: TargetId::parse("shop").unwrap(),
        candidate: "v2".to_owned(),
        stable: None,
        tier: 5,
        started: Timestamp::UNIX_EPOCH,
        bake: Span::seconds(0),
        tiers: 1,
        last: true,
        samples: 1,
        subject: MeasuredVersion::Stable,
        names: crate::gate::Names::default(),
        recorded: recorded.into_iter().map(|recorded| (GateId::parse("g").unwrap(), recorded)).collect(),
    };
    let judgement = crate::gate::Judgement {
        at: Timestamp::UNIX_EPOCH,
        verdict: Verdict::Pass,
        gates: BTreeMap::new(),
        threshold: crate::gate::ThresholdState::Fine,
        thresholds: BTreeMap::new(),
    };
    let health = Health { gates: Gates::Pass, ..Health::of(terms, &judgement) };
    Look { health, evidence: Some(Evidence::new(terms.clone(), context, Watch::default(), judgement)) }
}

#[test]
fn a_gate_that_only_compares_says_nothing_where_nothing_was_recorded() {
    let gates = |limits: &str, recorded: Option<Recorded>| {
        let terms = ratio(limits);
        RollbackHealth::of(&passes(&terms, recorded), Deadline::Ahead).gates
    };
    let counts = || Some(Recorded::Counts { bad: 1.0, total: 1_000.0 });
    let open =
        |gates: Gates| matches!(gates, Gates::Open(Deadline::Ahead, why) if why.starts_with("g: it has no limit"));
    assert!(open(gates(COMPARES, None)));
    assert!(open(gates(COMPARES, Some(Recorded::Observations(vec![1.0; 100])))), "that is of another kind of gate");
    assert_eq!(gates(COMPARES, counts()), Gates::Pass);
    assert_eq!(gates("absolute: {max: 0.05}", None), Gates::Pass);
}

#[test]
fn the_window_is_over_when_the_most_patient_gate_waits_no_longer() {
    let terms = ratio("absolute: {max: 0.05}");
    let reading = |second| ClockReading { now: Timestamp::from_second(second).unwrap(), monotonic: None };
    let at = |second| deadline(&terms, &reading(1_000), &reading(second));
    assert_eq!(at(1_059), Deadline::Ahead, "20 s to settle, 40 s to wait");
    assert_eq!(at(1_060), Deadline::Passed);
    assert_eq!(at(999), Deadline::Passed, "a clock that went back says nothing about how long it was");
}
