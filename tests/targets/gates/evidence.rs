//! Evidence: named by a signed commit, found in its tree, judged again offline.

use std::fs;

use git_two_key::{
    gate::{Answer, Evidence, Measure, Metric, Question, TierContext, Value, Watch, judge, slot_times},
    ledger::PinnedTerms,
    model::{Digest, GateId, Refusal, lease, policy},
    sources::{Sources, SourcesConfig},
};

use super::scene::{START, configure, gate, metrics, rolling};
use crate::kit::{LEASE, World};

/// A rolling world, and evidence for its first tier from these minutes.
fn collected(minutes: &[[u32; 4]]) -> (World, Evidence) {
    let world = rolling(&gate("file"));
    let config = configure(&world, "  file: {path: metrics.jsonl}\n");
    fs::write(world.path().join("metrics.jsonl"), metrics(minutes)).unwrap();
    let read = |path: &str| fs::read(world.repo().join(path)).unwrap();
    let policy = policy::read(&read(".two-key/policy.yaml")).unwrap();
    let lease = lease::read(&read(&format!("leases/{LEASE}.yaml"))).unwrap();
    let terms = PinnedTerms::of(policy.get(), &lease.get().target);
    let time = |seconds: i64| jiff::Timestamp::from_second(START + seconds).unwrap();
    let context = TierContext::new(policy.get(), lease.get(), 0, time(0)).unwrap();
    let sources = Sources::open(&SourcesConfig::load(&config).unwrap()).unwrap();
    let mut watch = Watch::default();
    for at in slot_times(&terms, &context, time(300)) {
        judge(&terms, &context, &mut watch, at, &sources);
    }
    let judgement = judge(&terms, &context, &mut watch, time(300), &sources);
    // Nothing is asked again.
    fs::remove_file(world.path().join("metrics.jsonl")).unwrap();
    (world, Evidence::new(terms, context, watch, judgement))
}

/// Commits a document under the name of a digest, then a promotion that names the digest; the promotion's commit.
fn signed(world: &World, document: &[u8], digest: Digest) -> String {
    let path = Evidence::path(&git_two_key::model::LeaseId::parse(LEASE).unwrap(), digest);
    world.commit_file(&path, std::str::from_utf8(document).unwrap(), "Evidence");
    let message = world.two_key(&["statement", "--message", "--principal", "cp14", "promote", LEASE]).exits(0).out;
    world.carry("cp14", &format!("{}\nTwo-Key-Evidence: {digest}\n", message.trim_end()))
}

fn as_is(world: &World, evidence: &Evidence) -> String {
    let bytes = evidence.bytes().unwrap();
    signed(world, &bytes, Digest::of(&bytes))
}

const GOOD: [u32; 4] = [1, 150, 25, 2850];

#[test]
fn honest_evidence_holds_whatever_it_says() {
    for (row, verdict) in [(GOOD, "PASS"), ([12, 150, 25, 2850], "FAIL"), ([0, 10, 2, 190], "PENDING")] {
        let (world, evidence) = collected(&[row; 4]);
        let commit = as_is(&world, &evidence);
        let json = world.two_key(&["gate", "--evidence", &commit, "--format", "json"]).exits(0).json();
        assert_eq!((json["ok"].as_bool(), json["evaluated"]["verdict"].as_str()), (Some(true), Some(verdict)));
        assert_eq!(json["recorded"], json["evaluated"]);
        world.two_key(&["gate", "--evidence", "main"]).exits(0).says(&format!("holds: {verdict} then, and {verdict}"));
        // In a clone that has nothing but the repository.
        let clone = world.path().join("clone");
        let url = world.repo().to_str().unwrap();
        world.run(world.path(), "git", &["clone", "--quiet", url, clone.to_str().unwrap()], b"").exits(0);
        let root = world.git(&["config", "two-key.root"]);
        world.run(&clone, "git", &["config", "two-key.root", &root], b"").exits(0);
        world.two_key_in(&clone, &["gate", "--evidence", &commit]).exits(0).says("holds");
    }
}

#[test]
fn a_verdict_that_does_not_follow_is_told_plainly() {
    let (world, evidence) = collected(&[[12, 150, 25, 2850]; 4]);
    let text = String::from_utf8(evidence.bytes().unwrap()).unwrap();
    let lie = text.replace("\"verdict\": \"FAIL\"", "\"verdict\": \"PASS\"");
    assert_ne!(lie, text);
    let commit = signed(&world, lie.as_bytes(), Digest::of(lie.as_bytes()));
    let ran = world.two_key(&["gate", "--evidence", &commit]).exits(1);
    ran.says("DOES NOT HOLD: PASS was recorded, FAIL is what the recorded answers come to").says("gate-failed");
    let json = world.two_key(&["gate", "--evidence", &commit, "--format", "json"]).exits(1).json();
    assert_eq!(
        (json["recorded"]["verdict"].as_str(), json["evaluated"]["verdict"].as_str()),
        (Some("PASS"), Some("FAIL"))
    );
}

#[test]
fn gates_that_are_not_those_pinned_are_noticed_even_if_all_follows_from_them() {
    let (world, evidence) = collected(&[[12, 150, 25, 2850]; 4]);
    let mut terms = evidence.terms.clone();
    for gate in terms.gates.values_mut() {
        gate.compare = None;
        gate.absolute = gate.absolute.map(|limits| policy::Absolute { max: policy::Decimal::new(0.9), ..limits });
    }
    terms.thresholds.clear();
    let tame = Evidence::new(terms, evidence.context.clone(), evidence.watch.clone(), evidence.judgement.clone());
    let judgement = tame.reevaluate().judgement;
    let tame = Evidence::new(tame.terms, tame.context, tame.watch, judgement);
    let commit = as_is(&world, &tame);
    world.two_key(&["gate", "--evidence", &commit]).exits(1).says("gates or thresholds are not those pinned");
}

/// A source that works and knows nothing.
struct Silent;

impl Measure for Silent {
    fn ask(&self, _: &Question) -> Answer {
        Answer::of(Value::Nothing)
    }

    fn has(&self, _: policy::Source) -> Result<(), Refusal> {
        Ok(())
    }

    fn metric(&self, _: &GateId) -> Option<Metric> {
        None
    }
}

#[test]
fn evidence_of_the_version_before_or_of_another_tier_is_no_grounds_to_go_on() {
    let (world, evidence) = collected(&[GOOD; 4]);
    let evidenced = |context: TierContext, terms: PinnedTerms| {
        let mut watch = Watch::default();
        let judgement = judge(&terms, &context, &mut watch, evidence.judgement.at, &Silent);
        let commit = as_is(&world, &Evidence::new(terms, context, watch, judgement));
        world.two_key(&["gate", "--evidence", &commit])
    };
    let (context, terms) = (|| evidence.context.clone(), || evidence.terms.clone());
    evidenced(context(), terms()).exits(0).says(", judged at ").never_says("the version that ran before");
    let next = TierContext { tier: 25, ..context() };
    evidenced(next, terms())
        .exits(1)
        .says("gate-failed: the evidence does not hold: the step leaves the tier of 5 %, and the evidence is of the one of 25 %");
    // What was restored is held to the gates alone.
    let restored = PinnedTerms { thresholds: std::collections::BTreeMap::new(), ..terms() };
    evidenced(context().of_stable(), restored)
        .exits(1)
        .says("measured: the version that ran before, and not what rolls out")
        .says("does not hold: it measured the version that ran before, and the step goes on with another");
}

#[test]
fn evidence_that_is_not_what_was_signed_or_not_there_is_refused() {
    let (world, evidence) = collected(&[GOOD; 4]);
    let bytes = evidence.bytes().unwrap();
    let other = [bytes.clone(), b"\n".to_vec()].concat();
    let commit = signed(&world, &other, Digest::of(&bytes));
    world.two_key(&["gate", "--evidence", &commit]).exits(1).says("digest-mismatch");
    let gone = {
        let message = world.two_key(&["statement", "--message", "--principal", "user1", "promote", LEASE]).exits(0).out;
        world.carry("user1", &format!("{}\nTwo-Key-Evidence: {}\n", message.trim_end(), Digest::of(b"elsewhere")))
    };
    world.two_key(&["gate", "--evidence", &gone]).exits(1).says("no-data").says("its tree has no evidence/");
    world.two_key(&["gate", "--evidence", "main~3"]).exits(1).says("no-data");
    world.two_key(&["gate", "--evidence", "nothing"]).exits(3);
    world.git(&["config", "--unset", "two-key.root"]);
    world.two_key(&["gate", "--evidence", &commit]).exits(3).says("unpinned");
}

#[test]
fn evidence_of_another_machine_or_release_is_not_called_false() {
    let (world, evidence) = collected(&[[12, 150, 25, 2850]; 4]);
    let honest: serde_json::Value = serde_json::from_slice(&evidence.bytes().unwrap()).unwrap();
    let changed = |path: &str, value: serde_json::Value| {
        let mut changed = honest.clone();
        *changed.pointer_mut(path).unwrap_or_else(|| panic!("{path} in {honest:#}")) = value;
        let bytes = serde_json::to_vec(&changed).unwrap();
        let commit = signed(&world, &bytes, Digest::of(&bytes));
        world.two_key(&["gate", "--evidence", &commit])
    };
    let e = "/judgement/gates/error-rate/comparison/e_value";
    let was = honest.pointer(e).unwrap().as_f64().unwrap();
    // Another mathematical library rounds elsewhere; another release has other words.
    changed(e, (was * (1.0 + 1e-12)).into()).exits(0).says("holds: FAIL");
    changed("/judgement/gates/error-rate/why", "said otherwise".into()).exits(0).says("holds: FAIL");
    // What is counted is exact, and a figure is a figure.
    changed(e, (was * (1.0 + 1e-6)).into()).exits(1).says("comparison.e_value was ");
    changed("/judgement/gates/error-rate/candidate/bad", 24.000_000_1.into()).exits(1).says("candidate.bad was ");
    changed("/judgement/gates/error-rate/slots/measured", 2.into()).exits(1).says("slots.measured was 2 and is 3");
    // What this version does not know, or not any more, it does not judge.
    changed("/version", 4.into()).exits(3).says("this version cannot judge it again");
    let unknown = changed("/version", 6.into()).exits(3);
    unknown.says("this version cannot judge it again").says("judge it with the version of git-two-key that wrote it");
}
