//! The verb, with the `file` source.

use std::fs;

use super::scene::{configure, gate, metrics, replay, rolling, time};
use crate::kit::web::until;
use crate::kit::{LEASE, World};

fn world(minutes: &[[u32; 4]]) -> World {
    let world = rolling(&gate("file"));
    configure(&world, "  file: {path: metrics.jsonl}\n");
    fs::write(world.path().join("metrics.jsonl"), metrics(minutes)).unwrap();
    world
}

const GOOD: [u32; 4] = [1, 150, 25, 2850];

#[test]
fn a_replay_says_slot_by_slot_what_it_would_have_said() {
    let world = world(&[GOOD; 4]);
    let ran = replay(&world, 5, &["--format", "json"]).exits(0);
    let json = ran.json();
    let slots: Vec<_> =
        json["slots"].as_array().unwrap().iter().map(|slot| slot["verdict"].as_str().unwrap()).collect();
    assert_eq!(slots, ["PENDING", "PENDING", "PASS", "PASS"]);
    assert_eq!((json["ok"].as_bool(), json["reason"].as_str()), (Some(true), None));
    let report = &json["judgement"]["gates"]["error-rate"];
    assert_eq!((report["candidate"]["bad"].as_f64(), report["candidate"]["total"].as_f64()), (Some(4.0), Some(600.0)));
    let text = replay(&world, 5, &[]).exits(0);
    text.says("2025-10-27T02:22:00Z PENDING")
        .says("2025-10-27T02:25:00Z PASS")
        .says("4 bad of 600 (0.7 %) against 0.9 %");
}

#[test]
fn a_bad_version_fails_with_its_reason_and_a_good_one_differs_in_its_errors_only() {
    let bad = world(&[[12, 150, 25, 2850]; 4]);
    let ran = replay(&bad, 5, &["--format", "json"]).exits(1);
    assert_eq!(ran.json()["reason"], "gate-failed");
    replay(&bad, 5, &[]).exits(1).says("two-key: refused LEASE-20251027-021913: gate-failed: gate error-rate is FAIL");
}

#[test]
fn silence_is_undecided_and_so_is_a_metrics_file_that_is_not_there() {
    let world = world(&[GOOD; 2]);
    replay(&world, 3, &[]).exits(3).says("undecided: no-data").says("PENDING");
    // Nothing that is known is taken for now: the file ends, the counts stand, and there is no slot too few.
    fs::remove_file(world.path().join("metrics.jsonl")).unwrap();
    let ran = replay(&world, 5, &["--format", "json"]).exits(3);
    assert_eq!(
        (ran.json()["reason"].as_str(), ran.json()["judgement"]["verdict"].as_str()),
        (Some("no-data"), Some("INCONCLUSIVE"))
    );
    fs::write(world.path().join("metrics.jsonl"), "garbage\n").unwrap();
    replay(&world, 5, &[]).exits(3).says("line 1 is no measurement");
    configure(&world, "  thresholds: {}\n");
    replay(&world, 5, &[]).exits(3).says("no metrics source `file` is configured here");
}

#[test]
fn a_threshold_halts_whatever_the_gates_say() {
    // The absolute limit is 5 %, the threshold halts above 10 %: within two minutes, after a good hour.
    let mut minutes = vec![[0, 3000, 25, 57_000]; 10];
    minutes.extend([[160, 320, 25, 2850]; 2]);
    let world = world(&minutes);
    let ran = replay(&world, 13, &["--format", "json"]).exits(1);
    let json = ran.json();
    assert_eq!((json["judgement"]["threshold"].as_str(), json["reason"].as_str()), (Some("halt"), Some("gate-failed")));
    replay(&world, 12, &[]).exits(3).says("threshold error-rate: 50 is above the limit of 10, which may be chance");
    replay(&world, 13, &[]).exits(1).says(" HALT ").says("threshold error-rate: 50 is above the limit of 10 (slot 12)");
}

#[test]
fn looking_now_goes_on_where_the_last_look_ended() {
    let sections = gate("file")
        .replace("settle: 60s", "settle: 0s")
        .replace("interval: 1m", "interval: 1s")
        .replace("slots: 3", "slots: 2");
    let world = rolling(&sections);
    let config = configure(&world, "  file: {path: metrics.jsonl}\n");
    // Counted when the tier began, so that each look finds it.
    let began = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(5);
    let at = began + jiff::SignedDuration::from_secs(1);
    let lines = metrics(&[GOOD, GOOD, GOOD, GOOD]);
    let stamp = |line: &str| {
        format!("{{\"at\": \"{at}\"{}\n", line.split_once(',').map(|(_, rest)| format!(",{rest}")).unwrap())
    };
    fs::write(world.path().join("metrics.jsonl"), lines.lines().map(stamp).collect::<String>()).unwrap();
    let (since, config) = (began.to_string(), config.to_str().unwrap().to_owned());
    let look = || world.two_key(&["gate", LEASE, "--config", &config, "--since", &since, "--format", "json"]);
    let first = look().exits(3).json();
    assert_eq!(first["judgement"]["gates"]["error-rate"]["slots"]["measured"], 1, "{first:#}");
    let mut passed = None;
    until("a second slot", || {
        let ran = look();
        passed = (ran.code == 0).then(|| ran.json());
        passed.is_some()
    });
    let slots = &passed.unwrap()["judgement"]["gates"]["error-rate"]["slots"];
    assert!(slots["measured"].as_u64().unwrap() >= 2 && slots["missed"].as_u64().unwrap() >= 3, "{slots}");
    // A tier that began at another time is another tier.
    let later = jiff::Timestamp::now().to_string();
    world.two_key(&["gate", LEASE, "--config", &config, "--since", &later]).exits(3).says("the first look is due at");
}

#[test]
fn what_cannot_be_judged_says_why() {
    let world = world(&[GOOD; 4]);
    let config = world.path().join("metrics.yaml");
    let config = config.to_str().unwrap();
    world.two_key(&["gate", LEASE]).exits(2);
    world
        .two_key(&["gate", LEASE, "--config", config])
        .exits(3)
        .says("no-data: no applier attests")
        .says("--since TIME");
    world.two_key(&["gate", "nothing", "--config", config]).exits(1).says("unknown-lease");
    replay(&world, 5, &["--tier", "30"]).exits(2).says("has no tier of 30 %; it has: 5, 25, 100");
    let backwards = format!("{}..{}", time(60), time(0));
    world.two_key(&["gate", LEASE, "--config", config, "--replay", &backwards]).exits(2);
    fs::write(config, "metrics: {colour: red}\n").unwrap();
    replay(&world, 5, &[]).exits(3).says("malformed");
    fs::remove_file(config).unwrap();
    replay(&world, 5, &[]).exits(3);
    configure(&world, "  file: {path: metrics.jsonl}\n");
    replay(&world, 5, &[]).exits(0);
    world.git(&["config", "--unset", "two-key.root"]);
    replay(&world, 5, &[]).exits(3).says("undecided: unpinned");
}

#[test]
fn gates_that_are_pinned_stand_whatever_a_later_policy_says() {
    let world = world(&[[12, 150, 25, 2850]; 4]);
    let tame = fs::read_to_string(world.repo().join(".two-key/policy.yaml")).unwrap();
    let tame =
        tame.replace("max: 0.05", "max: 0.99").replace("compare: {test: e-value, alpha: 0.01, max-ratio: 1.5}\n", "");
    world.commit_file(".two-key/policy.yaml", &tame, "Propose a policy that sees nothing");
    replay(&world, 5, &[]).exits(1).says("gate-failed");
}

#[test]
fn the_output_fits_its_schema() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/output.schema.json");
    let schema: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let properties = |verb: &str| {
        let of = &schema["properties"][verb];
        let named = of["$ref"].as_str().map(|name| &schema["$defs"][name.rsplit('/').next().unwrap()]);
        let properties = named.unwrap_or(of)["properties"].as_object().unwrap();
        properties.keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    let world = world(&[GOOD; 4]);
    let json = replay(&world, 5, &["--format", "json"]).exits(0).json();
    let keys: std::collections::BTreeSet<_> = json.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, properties("gate-replay"));
    let failed = world.two_key(&["gate", "nothing", "--config", "x", "--format", "json"]).exits(3).json();
    assert_eq!(failed["ok"], false);
}
