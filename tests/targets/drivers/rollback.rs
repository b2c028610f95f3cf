//! Rollbacks are verified by looking, or they failed, and then loudly.

use std::{
    fs,
    sync::{Arc, Mutex, atomic::Ordering},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    exec, haproxy,
    rig::{FIRST, Rig},
};
use crate::kit::web::{Backend, until};

#[test]
fn a_rollback_is_verified_by_each_of_its_checks() {
    let edge = haproxy::Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    let checks = edge.rig.record()["checks"].clone();
    for check in ["observed", "probes", "candidate", "configuration"] {
        assert_eq!(checks[check]["outcome"], "passed", "{checks:#}");
    }
    assert_eq!(checks["probes"]["message"], "10 of 10 are served v1");
    assert!(checks["candidate"]["message"].as_str().unwrap().contains("served nothing since"), "{checks:#}");
    assert_eq!(checks["health"]["outcome"], "not-configured");
}

#[test]
fn where_the_old_version_died_the_stop_is_carried_out_and_the_restoration_fails_until_another_is_signed() {
    let mut edge = haproxy::Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    let old = edge.stable.remove(0);
    let port = old.port;
    drop(old);
    until("haproxy notices", || edge.is_down("old0"));
    edge.rig.turn("user1", "rollback", FIRST);
    for _ in 0..2 {
        edge.rig.apply().exits(1).says("rollback-failed");
        assert_eq!(edge.weights()[1], 0, "the candidate has no weight, whoever else is up");
    }
    let count = |name: &str| edge.rig.events().iter().filter(|event| *event == name).count();
    assert_eq!((count("STOP_FAILED"), count("ROLLBACK_FAILED")), (0, 1));
    edge.stable.push(Backend::at(port, "v1"));
    until("haproxy notices", || !edge.is_down("old0"));
    edge.rig.apply().exits(1).says("rollback-failed");
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(edge.weights(), [1, 0]);
}

/// A program's rig with an entrance that says what it is told to.
fn with_entrance(cases: &str) -> (exec::Edge, Backend, Arc<Mutex<String>>) {
    let edge = exec::Edge::new(cases);
    let version = Arc::new(Mutex::new("v1".to_owned()));
    let entrance = Backend::telling(&version);
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    let probe =
        format!("timeout: 5s}}, probe: {{url: \"http://127.0.0.1:{}/\", count: 3, within: 3s}}}}", entrance.port);
    fs::write(edge.rig.path("applier.yaml"), text.replace("timeout: 5s}}", &probe)).unwrap();
    (edge, entrance, version)
}

#[test]
fn a_driver_that_lies_in_everything_it_says_is_found_out_at_the_entrance() {
    let (edge, entrance, version) = with_entrance("");
    edge.start();
    edge.rig.apply().exits(0);
    *version.lock().unwrap() = "v2".to_owned();
    edge.rig.turn("user1", "rollback", FIRST);
    // All that it says fits the pack; what is served does not.
    edge.rig.apply().exits(1).says("rollback-failed");
    let checks = edge.rig.record()["checks"].clone();
    assert_eq!((&checks["observed"]["outcome"], &checks["probes"]["outcome"]), (&"passed".into(), &"failed".into()));
    // Somebody reconciles it, once it has been looked at again.
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    assert!(text.contains("count: 3, within: 3s"), "{text}");
    let told = Arc::clone(&version);
    let (answered, before) = (Arc::clone(&entrance.answered), entrance.answered.load(Ordering::SeqCst));
    let later = std::thread::spawn(move || {
        until("the entrance is asked", || answered.load(Ordering::SeqCst) > before);
        *told.lock().unwrap() = "v1".to_owned();
    });
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    later.join().unwrap();
}

#[test]
fn what_cannot_be_undone_is_halted_only() {
    let cases = "capabilities) honest \"$@\" | sed 's/\"reversible\":true/\"reversible\":false/' ;;\nrestore) touch \"$1.restored\" ;;";
    let edge = exec::Edge::new(cases);
    edge.start();
    edge.rig.apply().exits(0);
    assert_eq!(edge.rig.pack(FIRST)["reversible"], "no");
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(1).says("rollback-failed").says("halted only");
    assert_eq!(edge.weight(), 0);
    assert!(!edge.rig.path("weight.restored").exists());
}

const SOURCE: &str = "{file: weights.json}\nmetrics: {file: {path: metrics.json}}";

/// A target at its first tier, with a gate that waits for so long, and all well in the hour before.
fn gated(deadline: &str) -> Rig {
    let rig = Rig::under(|policy| {
        policy.replace("applier: edge1}", "applier: edge1, gates: [error-rate]}")
            + "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    \
               candidate: {bad: 'bad {{candidate}}', total: 'total {{candidate}}'}\n    baseline: {version: stable}\n    \
               compare: {test: e-value, alpha: 0.05}\n    settle: 0s\n    interval: 1s\n    \
               min: {total: 100, slots: 1}\n    inconclusive-deadline: "
            + deadline
            + "\n"
    });
    rig.configure(SOURCE);
    fs::write(rig.path("metrics.json"), "").unwrap();
    counted(&rig, Timestamp::now() - SignedDuration::from_mins(10), 10, 5_000);
    rig.start(FIRST);
    rig.apply().exits(0);
    rig.observed(500);
    rig
}

/// Somebody counted what the old version answered.
fn counted(rig: &Rig, at: Timestamp, bad: u32, total: u32) {
    let line = |name: &str, value: u32| format!("{{\"at\": \"{at}\", \"name\": \"{name}\", \"value\": {value}}}\n");
    let text = fs::read_to_string(rig.path("metrics.json")).unwrap();
    let text = text + &line("bad stable", bad) + &line("total stable", total);
    fs::write(rig.path("metrics.json"), text).unwrap();
}

/// Ticks until a rollback's outcome is known; the exit code.
fn outcome(rig: &Rig) -> i32 {
    let mut code = 3;
    until("the rollback's outcome is known", || {
        code = rig.apply().code;
        code != 3
    });
    code
}

#[test]
fn a_rollback_is_verified_only_when_what_was_restored_is_seen_to_be_as_healthy_as_before() {
    let rig = gated("60s");
    rig.turn("user1", "rollback", FIRST);
    rig.apply().exits(3).says("rolling-back").says("no-data: restored, and its health is being watched");
    let record = rig.record();
    assert_eq!((&record["phase"], &record["observed_bp"]), (&"rolling-back".into(), &0.into()));
    assert_eq!(record["checks"]["health"]["outcome"], "pending", "{record:#}");
    for check in ["observed", "candidate", "configuration"] {
        assert_eq!(record["checks"][check]["outcome"], "passed", "{record:#}");
    }
    rig.world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
    rig.world.two_key(&["show", FIRST]).exits(0).says("0 %, rolling-back (by edge1");
    let shown = rig.world.two_key(&["show", FIRST, "--format", "json"]).exits(0).json()["observed"].clone();
    assert!(shown["message"].as_str().unwrap().contains("its health is being watched"), "{shown:#}");
    assert!(!rig.events().iter().any(|event| event.starts_with("ROLLBACK_")));
    // It serves again, and every tenth request fails: five hundred times what the pack recorded.
    counted(&rig, Timestamp::now(), 50, 500);
    assert_eq!(outcome(&rig), 1);
    rig.apply().exits(1).says("rollback-failed").says("gate-failed");
    assert_eq!(rig.record()["checks"]["health"]["outcome"], "failed");
    assert_eq!(rig.events().iter().filter(|event| *event == "ROLLBACK_FAILED").count(), 1);
    // Another attempt begins to watch anew: what was counted before it counts no more, neither good nor bad.
    counted(&rig, Timestamp::now(), 0, 5_000);
    rig.turn("user2", "rollback", FIRST);
    rig.apply().exits(3).says("its health is being watched");
    counted(&rig, Timestamp::now(), 1, 5_000);
    assert_eq!(outcome(&rig), 0);
    let record = rig.record();
    assert_eq!((&record["phase"], &record["checks"]["health"]["outcome"]), (&"verified".into(), &"passed".into()));
    let message = record["checks"]["health"]["message"].as_str().unwrap();
    assert!(message.starts_with("error-rate PASS, 1 of 5000 (0.02 %) against 0.20 %; evidence sha256:"), "{message}");
    assert_eq!(rig.events().last().unwrap(), "ROLLBACK_VERIFIED");
    // What that rests on is beside the record.
    let digest = message.rsplit(':').next().unwrap();
    let evidence = format!("refs/two-key/appliers/edge1:evidence/{FIRST}/{digest}.json");
    assert!(rig.in_all(&["--git-dir=server.git", "show", &evidence]).contains("\"subject\": \"stable\""));
    rig.world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
    rig.world.two_key(&["gate", "--evidence", "refs/two-key/appliers/edge1"]).exits(0).says("PASS");
    rig.apply().exits(0).says("verified");
}

#[test]
fn where_nobody_can_tell_whether_what_was_restored_is_healthy_the_rollback_failed() {
    let rig = gated("2s");
    rig.configure("{file: weights.json}");
    rig.turn("user1", "rollback", FIRST);
    rig.apply().exits(3).says("its health is being watched");
    assert_eq!(outcome(&rig), 1);
    rig.apply().exits(1).says("rollback-failed").says("no-data").says("no metrics source `file` is configured here");
    let record = rig.record();
    assert_eq!((&record["phase"], &record["reason"]), (&"rollback-failed".into(), &"no-data".into()), "{record:#}");
    assert_eq!(rig.events().iter().filter(|event| *event == "ROLLBACK_FAILED").count(), 1);
    assert!(!rig.events().contains(&"ROLLBACK_VERIFIED".to_owned()));
}

#[test]
fn what_was_restored_and_does_not_stay_so_is_put_back_before_it_is_verified_however_healthy() {
    let rig = gated("60s");
    rig.turn("user1", "rollback", FIRST);
    rig.apply().exits(3);
    let restored = fs::read_to_string(rig.path("weights.json")).unwrap();
    fs::write(rig.path("weights.json"), restored.replace('\n', "\n\n")).unwrap();
    counted(&rig, Timestamp::now(), 1, 5_000);
    // What was counted until then is of something else: the window begins anew.
    rig.apply().exits(3).says("rolling-back").says("its health is being watched");
    assert_eq!(fs::read_to_string(rig.path("weights.json")).unwrap(), restored);
    assert_eq!(rig.events().last().unwrap(), "DRIFTED");
    counted(&rig, Timestamp::now(), 1, 5_000);
    assert_eq!(outcome(&rig), 0);
    let record = rig.record();
    assert_eq!(record["checks"]["health"]["outcome"], "passed", "{record:#}");
    assert_eq!(record["checks"]["configuration"]["outcome"], "passed", "{record:#}");
    assert_eq!(rig.events().last().unwrap(), "ROLLBACK_VERIFIED");
}
