//! Rollbacks are verified by looking, or they failed, and then loudly.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use crate::{
    exec, haproxy,
    rig::FIRST,
    web::{Backend, until},
};

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
fn where_the_old_version_died_the_rollback_failed_and_another_one_that_is_signed_is_tried() {
    let mut edge = haproxy::Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    let old = edge.stable.remove(0);
    let port = old.port;
    drop(old);
    until("haproxy notices", || edge.is_down("old0"));
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(1).says("rollback-failed");
    assert_eq!(edge.rig.record()["checks"]["probes"]["outcome"], "failed");
    assert_eq!(edge.rig.events().last().unwrap(), "ROLLBACK_FAILED");
    edge.stable.push(Backend::at(port, "v1"));
    until("haproxy notices", || !edge.is_down("old0"));
    edge.rig.apply().exits(1).says("rollback-failed");
    edge.rig.turn("user2", "rollback", FIRST);
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
    let (edge, _entrance, version) = with_entrance("");
    edge.start();
    edge.rig.apply().exits(0);
    *version.lock().unwrap() = "v2".to_owned();
    edge.rig.turn("user1", "rollback", FIRST);
    // All that it says fits the pack; what is served does not.
    edge.rig.apply().exits(1).says("rollback-failed");
    let checks = edge.rig.record()["checks"].clone();
    assert_eq!((&checks["observed"]["outcome"], &checks["probes"]["outcome"]), (&"passed".into(), &"failed".into()));
    // Somebody reconciles it, and takes some time.
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    assert!(text.contains("count: 3, within: 3s"), "{text}");
    let told = Arc::clone(&version);
    let later = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(500));
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
