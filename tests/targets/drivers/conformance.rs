//! The conformance kit, on all five drivers and on programs that go wrong.

use std::fs;

use super::{deploy, exec, haproxy, nginx, rig::Rig};
use crate::kit::{LEASE, Ran, World, schema::fits};

fn on_target(rig: &Rig) -> Ran {
    // As from the applier's clone, where its journal is.
    rig.world.two_key_in(rig.world.path(), &["driver-test", "--config", "applier.yaml", "--target", "checkout-prod"])
}

fn on_program(world: &World, cases: &str) -> Ran {
    let program = exec::program(world.path(), "driver", cases);
    let state = world.path().join("weight").display().to_string();
    world.two_key(&["driver-test", program.to_str().unwrap(), "--arg", &state])
}

#[test]
fn file_passes() {
    let rig = Rig::new("file");
    rig.configure("{file: weights.json}");
    on_target(&rig).exits(0).says("passes");
}

#[test]
fn a_target_that_has_a_lease_is_not_tried_unasked_nor_while_its_applier_is_at_work() {
    let rig = Rig::new("file");
    rig.configure("{file: weights.json}");
    rig.start(LEASE);
    rig.apply().exits(0);
    let before = fs::read(rig.path("weights.json")).unwrap();
    let held = fs::File::open(rig.path("applier/.git/two-key/applier/edge1/lock")).unwrap();
    held.lock().unwrap();
    let args = ["driver-test", "--config", "applier.yaml", "--target", "checkout-prod", "--yes"];
    rig.world.two_key_in(rig.world.path(), &args).exits(1).says("busy");
    drop(held);
    on_target(&rig).exits(1).says(&format!("has lease {LEASE}")).says("--yes");
    assert_eq!(fs::read(rig.path("weights.json")).unwrap(), before, "nothing was moved");
    rig.world.two_key_in(rig.world.path(), &args).exits(0).says("passes");
    // One that has only started has it as well, for an applier that has not moved it yet.
    let rig = Rig::new("file");
    rig.configure("{file: weights.json}");
    rig.start(LEASE);
    rig.in_all(&["-C", "applier", "fetch", "--quiet"]);
    on_target(&rig).exits(1).says(&format!("has lease {LEASE}"));
}

#[test]
fn haproxy_passes() {
    on_target(&haproxy::Edge::new().rig).exits(0).says("passes");
}

#[test]
fn nginx_passes() {
    on_target(&nginx::Edge::new().rig).exits(0).says("passes");
}

#[test]
fn git_passes() {
    on_target(&deploy::Edge::new().rig).exits(0).says("passes");
}

#[test]
fn the_example_program_passes() {
    let world = World::empty();
    let state = world.path().join("weight");
    let args = ["driver-test", exec::example().to_str().unwrap(), "--arg", state.to_str().unwrap(), "--format", "json"]
        .map(str::to_owned);
    let said = world.two_key(&args.each_ref().map(String::as_str)).exits(0).json();
    fits("driver-test", &said);
    assert_eq!(said["steps"].as_array().unwrap().len(), 11, "{said:#}");
    assert!(fs::read_to_string(state).unwrap().contains("\"weight_bp\":0"));
}

#[test]
fn programs_that_go_wrong_do_not_pass() {
    for (cases, step) in [
        ("apply) echo '{\"status\": \"ok\"}' ;;", "FAIL apply"),
        ("observe) echo nonsense ;;", "FAIL observe"),
        ("observe) exit 1 ;;", "FAIL observe"),
        ("restore) echo '{\"status\": \"ok\"}' ;;", "FAIL restore"),
        // Killed between the two, half a weight is left.
        (
            "apply) echo '{\"weight_bp\":700,\"version\":null}' > \"$1\"; sleep 0.3; honest \"$@\" ;;",
            "FAIL kill in the middle",
        ),
    ] {
        on_program(&World::empty(), cases).exits(1).says(step);
    }
    on_program(&World::empty(), "").exits(0);
    on_program(&World::empty(), "capabilities) echo '{\"status\": \"ok\", \"verbs\": [\"observe\"]}' ;;")
        .exits(3)
        .says("does not know the verb");
}
