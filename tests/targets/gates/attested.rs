//! What an applier attests: when a tier began, and the evidence for what it concluded of it.

use std::fs;

use super::scene::{CANDIDATE, gate, rolling};
use crate::kit::web::until;
use crate::kit::{LEASE, World};

/// A rolling world with quick gates, and an applier's configuration.
fn world() -> World {
    let sections = gate("file").replace("settle: 60s", "settle: 0s").replace("interval: 1m", "interval: 1s");
    let world = rolling(&sections.replace("slots: 3", "slots: 1"));
    let key = world.key_file("edge1");
    let config = format!(
        "name: edge1\nkey: {}\ntargets: {{checkout-prod: {{file: weights.json}}}}\nmetrics: {{file: {{path: metrics.jsonl}}}}\n",
        key.display()
    );
    fs::write(world.path().join("applier.yaml"), config).unwrap();
    fs::write(world.path().join("metrics.jsonl"), "").unwrap();
    world
}

#[test]
fn a_gate_is_judged_from_when_the_applier_saw_the_tier_begin_and_the_applier_s_evidence_holds() {
    let world = world();
    let config = world.path().join("applier.yaml");
    let config = config.to_str().unwrap();
    let look = || world.two_key(&["gate", LEASE, "--config", config, "--format", "json"]);
    look().exits(3);
    let apply = || world.two_key(&["apply", "--once", "--config", config]);
    until("the first shift", || {
        apply();
        fs::read_to_string(world.path().join("weights.json")).is_ok_and(|weights| weights.contains("500"))
    });
    let mut began = String::new();
    until("the applier's word", || {
        apply();
        began = look().json()["started"].as_str().unwrap_or_default().to_owned();
        !began.is_empty()
    });
    let at = began.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_millis(10);
    let line = |name: &str, value: u32| format!("{{\"at\": \"{at}\", \"name\": \"{name}\", \"value\": {value}}}\n");
    let lines = [
        line(&format!("requests {CANDIDATE}"), 400),
        line(&format!("errors {CANDIDATE}"), 3),
        line("requests stable", 7600),
        line("errors stable", 60),
    ];
    fs::write(world.path().join("metrics.jsonl"), lines.concat()).unwrap();
    until("a tier that passes", || look().code == 0);
    let judge_again = || world.two_key(&["gate", "--evidence", "refs/two-key/appliers/edge1", "--format", "json"]);
    until("the applier's evidence", || {
        apply();
        judge_again().code == 0
    });
    let json = judge_again().exits(0).json();
    assert_eq!((json["lease"].as_str(), json["tier"].as_u64()), (Some(LEASE), Some(5)));
    assert_eq!(json["recorded"]["verdict"], "PASS");
    world.two_key(&["gate", "checkout-prod", "--evidence", "refs/two-key/appliers/edge1"]).exits(0).says("holds: PASS");
    // Somebody else's commit of the same tree is nobody's word.
    let forged = world.sign_commit("cp14", "refs/two-key/appliers/edge1", "Forged\n");
    world.two_key(&["gate", "--evidence", &forged]).exits(1).says("no-data");
}
