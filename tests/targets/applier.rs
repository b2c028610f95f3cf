//! The applier, from outside: a server, people's repository, and the applier's own clone and file.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    time::{Duration, Instant},
};

use git_two_key::model::Digest;
use serde_json::Value;

use crate::kit::{self, LEASE, World, schema::fits, stage::Stage};

#[test]
fn a_ledger_at_100_is_followed_tier_by_tier_and_recorded_signed_and_tagged() {
    let stage = Stage::rolling("0s");
    stage.promote();
    stage.promote();
    for weight in [500, 2500, 10_000, 10_000] {
        stage.apply().exits(0);
        stage.weighs(weight);
    }
    assert_eq!(stage.weights()["lease"], LEASE);
    assert_eq!(stage.weights()["step"], 3);
    let target = &stage.record()["targets"]["checkout-prod"];
    assert_eq!((&target["observed_bp"], &target["phase"]), (&10_000.into(), &"ready".into()));
    assert_eq!(target["applied_step"], 3);
    assert_eq!(stage.events(), ["PACKED", "APPLIED", "APPLIED", "APPLIED"]);
    assert_eq!(stage.tags(), ["1-start-5", "2-promote-25", "3-promote-100"]);
    // Nothing new, nothing written.
    let tip = stage.in_all(&["--git-dir=server.git", "rev-parse", "refs/two-key/appliers/edge1"]);
    stage.apply().exits(0);
    assert_eq!(stage.in_all(&["--git-dir=server.git", "rev-parse", "refs/two-key/appliers/edge1"]), tip);
}

#[test]
fn list_tells_the_desired_weight_from_the_observed_one_and_believes_no_other_key() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    stage.promote();
    stage.world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
    let lease = || stage.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
    assert_eq!((&lease()["desired"], &lease()["observed"]["weight"]), (&25.into(), &5.0.into()));
    assert_eq!(lease()["observed"]["applier"], "edge1");
    // The same words, signed by somebody else.
    let tree = "refs/two-key/appliers/edge1";
    let forged = stage.world.sign_commit("user2", tree, "checkout-prod: all is well");
    stage.world.git(&["update-ref", tree, &forged]);
    assert_eq!(lease()["observed"], Value::Null);
    // What the same key attested in another repository.
    let record = stage.in_all(&["--git-dir=server.git", "show", "refs/two-key/appliers/edge1:record.json"]);
    let attest = |record: &str| {
        let commit = stage.world.sign_record("edge1", "main", record);
        stage.world.git(&["update-ref", tree, &commit]);
    };
    attest(&record.replace(kit::REPOSITORY, &"0".repeat(32)));
    assert_eq!(lease()["observed"], Value::Null);
    attest(&record);
    assert_eq!(lease()["observed"]["weight"], 5.0);
    // Refs of nobody are no reader's work, and one line. What an applier tells is told whoever has a ref there, too.
    let told = || stage.world.two_key(&["log"]).exits(0).out.matches("APPLIED").count();
    let applied = told();
    assert_ne!(applied, 0);
    for name in ["aaa", "nobody1", "nobody2"] {
        stage.world.git(&["update-ref", &format!("refs/two-key/appliers/{name}"), tree]);
    }
    let doctor = stage.world.two_key(&["doctor"]).exits(1).says("and 2 more like it");
    assert_eq!(doctor.out.matches("left out").count(), 1);
    assert_eq!(told(), applied);
}

#[test]
fn a_tier_is_watched_for_as_long_as_it_bakes() {
    let stage = Stage::rolling("15m");
    stage.promote();
    stage.apply().exits(0).says("baking");
    stage.apply().exits(0).says("baking");
    stage.weighs(500);
    stage.edit_journal(|target| target["bake"]["credited-ms"] = 900_000.into());
    stage.apply().exits(0);
    stage.weighs(2500);
}

#[test]
fn paused_it_never_exceeds_what_it_applied_last_whatever_the_ledger_says() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    stage.promote();
    stage.turn("user2", "pause");
    stage.apply().exits(0).says("wrong-state");
    stage.weighs(500);
    stage.turn("user1", "resume");
    stage.turn("cp18", "resume");
    stage.apply().exits(0);
    stage.weighs(2500);
}

#[test]
fn a_halt_is_zero_and_a_rollback_restores_what_was_there_byte_for_byte() {
    let stage = Stage::rolling("0s");
    let before = "{\"version\": 1, \"target\": \"checkout-prod\", \"weight_bp\": 10000, \"lease\": \"LEASE-0\", \"step\": 9, \"generation\": 77}";
    fs::write(stage.path("weights.json"), before).unwrap();
    stage.apply().exits(0);
    stage.weighs(500);
    stage.turn("cp18", "halt");
    stage.apply().exits(0);
    stage.weighs(0);
    stage.turn("user1", "rollback");
    stage.apply().exits(0).says("observed 100 % of LEASE-0, verified");
    assert_eq!(fs::read_to_string(stage.path("weights.json")).unwrap(), before);
    assert_eq!(stage.record()["targets"]["checkout-prod"]["phase"], "verified");
    assert!(stage.events().contains(&"ROLLBACK_VERIFIED".to_owned()));
    assert!(stage.tags().contains(&"3-rollback".to_owned()), "{:?}", stage.tags());
    assert!(!stage.counts_as_unrestorable());
    stage.apply().exits(0).says("verified");
    assert_eq!(stage.events().iter().filter(|event| *event == "ROLLBACK_VERIFIED").count(), 1);
}

#[test]
fn a_rollback_without_a_pack_fails_once_and_again_only_when_another_is_signed() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    stage.forget_packs();
    stage.turn("user1", "rollback");
    stage.apply().exits(1).says("rollback-failed");
    stage.weighs(0);
    stage.apply().exits(1);
    let failures = || stage.events().iter().filter(|event| *event == "ROLLBACK_FAILED").count();
    assert_eq!(failures(), 1);
    assert!(stage.counts_as_unrestorable());
    stage.turn("user1", "rollback");
    stage.apply().exits(1);
    assert_eq!(failures(), 2);
}

#[test]
fn a_stop_that_main_does_not_have_is_obeyed_and_carried_over() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    stage.promote();
    stage.stop_beside_main("cp18", "halt");
    stage.apply().exits(0);
    stage.weighs(0);
    stage.world.git(&["pull", "--quiet", "--ff-only", "../server.git", "main"]);
    let shown = stage.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
    assert_eq!(shown["state"], "halted");
    stage.apply().exits(0);
    stage.weighs(0);
    assert!(stage.tags().contains(&"3-halt".to_owned()), "{:?}", stage.tags());
}

#[test]
fn a_stop_is_remembered_when_its_ref_vanishes() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    let commit = stage.stop_beside_main("cp18", "pause");
    // It cannot be carried over while main does not continue, and so it stays what was seen.
    let root = stage.world.git(&["config", "two-key.root"]);
    stage.in_all(&["--git-dir=server.git", "update-ref", "refs/heads/main", &root]);
    stage.apply().exits(1).says("ref-rewound");
    stage.in_all(&["--git-dir=server.git", "update-ref", "-d", &format!("refs/two-key/stops/{LEASE}/{commit}")]);
    let kept = format!("refs/two-key-remote/origin/two-key/stops/{LEASE}/{commit}");
    stage.in_all(&["-C", "applier", "update-ref", "-d", &kept]);
    stage.world.turn("user1", "promote", LEASE);
    stage.world.turn("cp14", "promote", LEASE);
    stage.push();
    stage.apply().says("wrong-state");
    stage.weighs(500);
}

#[test]
fn a_rewound_branch_keeps_the_weight_and_still_brings_stops() {
    let stage = Stage::rolling("0s");
    // Nobody rewinds a server that has the hook.
    for hook in ["pre-receive", "reference-transaction"] {
        fs::remove_file(stage.path("server.git/hooks").join(hook)).unwrap();
    }
    stage.promote();
    stage.apply().exits(0);
    let root = stage.world.git(&["config", "two-key.root"]);
    stage.in_all(&["--git-dir=server.git", "update-ref", "refs/heads/main", &root]);
    stage.apply().exits(1).says("ref-rewound");
    stage.weighs(500);
    stage.stop_beside_main("user2", "halt");
    stage.apply().says("ref-rewound");
    stage.weighs(0);
}

#[test]
fn without_the_remote_it_keeps_the_weight_and_obeys_the_stops_that_it_knows() {
    let stage = Stage::rolling("0s");
    stage.promote();
    stage.apply().exits(0);
    fs::rename(stage.path("server.git"), stage.path("gone.git")).unwrap();
    stage.apply().exits(3);
    stage.weighs(500);
    fs::rename(stage.path("gone.git"), stage.path("server.git")).unwrap();
    stage.apply().exits(0);
    stage.weighs(2500);
}

#[test]
fn a_process_that_was_killed_before_or_after_its_act_converges() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    stage.promote();
    let intent = serde_json::json!({"lease": LEASE, "tier": 1, "weight-bp": 2500, "step": 2});
    // After the journal was written, before the act: the act is decided on anew, here against it.
    stage.stop_beside_main("user2", "pause");
    stage.edit_journal(|target| target["intent"] = intent.clone());
    stage.apply().exits(0);
    stage.weighs(500);
    // After the act, before the journal was written: what is there counts.
    let mut weights = stage.weights();
    weights["weight_bp"] = 2500.into();
    fs::write(stage.path("weights.json"), serde_json::to_vec(&weights).unwrap()).unwrap();
    stage.edit_journal(|target| target["intent"] = intent);
    stage.apply().exits(0);
    stage.weighs(2500);
    assert_eq!(stage.record()["targets"]["checkout-prod"]["applied_step"], 3);
    assert!(!stage.events().contains(&"DRIFTED".to_owned()));
}

#[test]
fn what_nobody_decided_is_put_back_and_recorded_as_drift() {
    let stage = Stage::rolling("15m");
    stage.apply().exits(0);
    let mut weights = stage.weights();
    weights["weight_bp"] = 9_000.into();
    fs::write(stage.path("weights.json"), serde_json::to_vec(&weights).unwrap()).unwrap();
    stage.apply().exits(0);
    stage.weighs(500);
    assert!(stage.events().contains(&"DRIFTED".to_owned()));
}

#[test]
fn what_somebody_took_off_by_hand_stays_off_until_a_key_is_turned_and_is_told_once() {
    let stage = Stage::rolling("15m");
    stage.apply().exits(0);
    let set = |basis_points: u32| {
        let mut weights = stage.weights();
        weights["weight_bp"] = basis_points.into();
        fs::write(stage.path("weights.json"), serde_json::to_vec(&weights).unwrap()).unwrap();
    };
    set(0);
    for _ in 0..3 {
        stage.apply().exits(0).says("holding (drift: ");
        stage.weighs(0);
    }
    let drifted = || stage.events().iter().filter(|event| *event == "DRIFTED").count();
    assert_eq!(drifted(), 1);
    stage.turn("user2", "pause");
    stage.apply().exits(0);
    stage.weighs(0);
    for name in ["user1", "cp14"] {
        stage.turn(name, "resume");
    }
    stage.apply().exits(0);
    stage.weighs(500);
    // The other way nobody is asked.
    set(600);
    stage.apply().exits(0);
    stage.weighs(500);
    assert_eq!(drifted(), 2);
}

#[test]
fn where_the_policy_has_it_restored_what_somebody_took_off_comes_back_by_itself_but_in_a_pause_and_after_a_stop() {
    let world = World::empty();
    world.found(&world.policy().replace("applier: edge1}", "applier: edge1, drift-below: restored}"));
    let stage = Stage::with(world, "15m");
    stage.promote();
    stage.apply().exits(0);
    stage.weighs(500);
    let set = |basis_points: u32| {
        let mut weights = stage.weights();
        weights["weight_bp"] = basis_points.into();
        fs::write(stage.path("weights.json"), serde_json::to_vec(&weights).unwrap()).unwrap();
    };
    let drifted = || stage.events().iter().filter(|event| *event == "DRIFTED").count();
    set(100);
    stage.apply().exits(0).never_says("drift");
    // To what was applied, and not to what the ledger has in force by now.
    stage.weighs(500);
    assert_eq!(drifted(), 1);
    stage.turn("user2", "pause");
    set(0);
    for _ in 0..2 {
        stage.apply().exits(0).says("is paused");
        stage.weighs(0);
    }
    assert_eq!(drifted(), 2, "told once");
    for name in ["user1", "cp14"] {
        stage.turn(name, "resume");
    }
    stage.apply().exits(0);
    stage.weighs(500);
    stage.turn("cp18", "halt");
    for _ in 0..2 {
        stage.apply().exits(0);
        stage.weighs(0);
    }
}

#[test]
fn what_came_back_after_a_verified_rollback_is_put_back_as_long_as_the_lease_is_the_newest() {
    let stage = Stage::rolling("0s");
    let before = "{\"version\": 1, \"target\": \"checkout-prod\", \"weight_bp\": 10000, \"lease\": \"LEASE-0\", \"step\": 9, \"generation\": 77}";
    fs::write(stage.path("weights.json"), before).unwrap();
    stage.apply().exits(0);
    stage.turn("user1", "rollback");
    stage.apply().exits(0).says("verified");
    let events = || stage.events().iter().filter(|event| *event == "DRIFTED").count();
    for other in [
        // Other roles, another weight, the candidate itself, other bytes that say the same.
        before.replace("LEASE-0", "LEASE-7"),
        before.replace("10000", "9000"),
        before.replace("LEASE-0", LEASE),
        before.replace("\"generation\": 77", "\"generation\": 78"),
    ] {
        let drifts = events();
        fs::write(stage.path("weights.json"), &other).unwrap();
        stage.apply().exits(0).says("verified");
        assert_eq!(fs::read_to_string(stage.path("weights.json")).unwrap(), before, "{other}");
        assert_eq!(events(), drifts + 1, "{other}");
    }
    // The honest twin: nothing came back, nothing is told.
    let drifts = events();
    stage.apply().exits(0).says("verified");
    assert_eq!(events(), drifts);
}

#[test]
fn weight_zero_is_tried_until_it_is_seen_and_what_could_not_be_stopped_is_told_once() {
    for action in ["halt", "rollback"] {
        let stage = Stage::rolling("0s");
        stage.apply().exits(0);
        stage.turn("user1", action);
        // Nobody can see the target, nor move it.
        let weights = fs::read(stage.path("weights.json")).unwrap();
        fs::remove_file(stage.path("weights.json")).unwrap();
        fs::create_dir(stage.path("weights.json")).unwrap();
        for _ in 0..3 {
            stage.apply().exits(5).says("stop-failed").says("NOT STOPPED checkout-prod");
        }
        let count = |name: &str| stage.events().iter().filter(|event| *event == name).count();
        assert_eq!((count("STOP_FAILED"), count("DRIFTED"), count("ROLLBACK_FAILED")), (1, 0, 0), "{action}");
        // Nobody saw a weight, so none is told.
        stage.world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
        let told = stage.world.two_key(&["log", "--event", "STOP_FAILED"]).exits(0);
        told.says("STOP_FAILED").says("checkout-prod at an unknown weight");
        fs::remove_dir(stage.path("weights.json")).unwrap();
        fs::write(stage.path("weights.json"), weights).unwrap();
        stage.apply().exits(0);
        stage.weighs(0);
        let verified = usize::from(action == "rollback");
        assert_eq!((count("STOP_FAILED"), count("DRIFTED"), count("ROLLBACK_VERIFIED")), (1, 0, verified), "{action}");
        assert_eq!(stage.events().iter().rev().take(2).filter(|event| *event == "APPLIED").count(), 1);
    }
}

#[test]
fn a_second_applier_with_its_name_is_busy_and_moves_nothing() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    stage.in_all(&["clone", "--quiet", "server.git", "second"]);
    stage.configure("second.yaml", "second", "second.json");
    // It takes over what the first one wrote; from then on there are two.
    stage.promote();
    stage.apply_as("second.yaml").exits(0);
    stage.apply().exits(1).says("busy");
    stage.weighs(500);
    let theirs = stage.in_all(&["--git-dir=server.git", "rev-parse", "refs/two-key/appliers/edge1"]);
    assert_eq!(theirs, stage.in_all(&["-C", "second", "rev-parse", "refs/two-key/appliers/edge1"]));
    // A stop is no question of names.
    stage.turn("user1", "halt");
    stage.apply().exits(1).says("busy");
    stage.weighs(0);
}

#[test]
fn after_the_loss_of_a_machine_the_pack_comes_from_the_signed_ref() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    fs::remove_dir_all(stage.path("applier")).unwrap();
    stage.in_all(&["clone", "--quiet", "server.git", "applier"]);
    stage.promote();
    stage.apply().exits(0);
    stage.weighs(2500);
    stage.turn("user1", "rollback");
    stage.apply().exits(0).says("verified");
    stage.weighs(0);
    assert_eq!(stage.weights()["lease"], Value::Null);
}

#[test]
fn gates_that_cannot_be_evaluated_hold() {
    let world = World::empty();
    let gate = "gates:\n  errors: {source: prometheus, kind: sample, compare: {test: mann-whitney, alpha: 0.01, min-a12: 0.6}, min: {n: 50}}\n";
    let policy = world.policy().replace("applier: edge1}", "applier: edge1, gates: [errors]}") + gate;
    world.found(&policy);
    let stage = Stage::with(world, "0s");
    stage.apply().exits(0).says("no-data");
    assert!(!stage.path("weights.json").exists());
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let stage = Stage::rolling("0s");
    let args = ["apply", "--dry-run", "--config", "applier.yaml"];
    stage.world.two_key_in(stage.world.path(), &args).exits(0).says("take a rollback pack");
    assert!(!stage.path("weights.json").exists() && !stage.journal_path().exists());
    assert_eq!(stage.tags(), Vec::<String>::new());
    let report = stage.world.two_key_in(stage.world.path(), &[&args[..], &["--format", "json"]].concat()).json();
    fits("apply", &report);
    assert_eq!(report["targets"]["checkout-prod"]["desired"], 5.0, "in percent, as in list and status");
}

#[test]
fn without_a_pinned_root_it_refuses_to_run() {
    let stage = Stage::rolling("0s");
    let config = fs::read_to_string(stage.path("applier.yaml")).unwrap();
    let without: Vec<_> = config.lines().filter(|line| !line.starts_with("root")).collect();
    let without = without.join("\n");
    fs::write(stage.path("applier.yaml"), without).unwrap();
    stage.apply().exits(3).says("unpinned");
    assert!(!stage.path("weights.json").exists());
}

#[test]
fn an_expired_lease_never_starts_and_one_that_runs_is_undone_by_a_stop_of_the_appliers_own() {
    let world = World::founded();
    let stage = Stage::with_lease(world, &kit::lease(LEASE).replace("2035-", "2025-"));
    stage.apply().exits(0).says("expired");
    assert!(!stage.path("weights.json").exists());
    let running = serde_json::json!({
        "version": 1, "target": "checkout-prod", "weight_bp": 500, "lease": LEASE, "step": 1, "generation": 1
    });
    fs::write(stage.path("weights.json"), serde_json::to_vec(&running).unwrap()).unwrap();
    // There is no pack of it here, so that zero is all that can be had.
    stage.apply().exits(1).says("rollback-failed");
    stage.weighs(0);
    assert_eq!(stage.events(), ["EXPIRED", "APPLIED", "ROLLBACK_FAILED"]);
    stage.world.git(&["pull", "--quiet", "--ff-only", "../server.git", "main"]);
    let shown = stage.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
    assert_eq!(shown["state"], "rolled-back");
    let last = shown["transitions"].as_array().unwrap().last().unwrap();
    assert_eq!(last["votes"][0]["principal"], "edge1");
}

#[test]
fn a_freeze_that_only_a_stop_ref_holds_stops_every_forward_move() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    stage.promote();
    let message = stage.world.two_key(&["statement", "--message", "--principal", "cp18", "freeze"]).exits(0).out;
    let commit = stage.world.sign_commit("cp18", "main", &message);
    let to = format!("{commit}:refs/two-key/stops/_all/{commit}");
    stage.world.git(&["push", "--quiet", "../server.git", &to]);
    stage.apply().exits(0).says("frozen");
    stage.weighs(500);
    stage.apply().exits(0).says("frozen");
    stage.weighs(500);
}

#[test]
fn the_next_lease_begins_where_the_last_one_ended_and_a_rollback_brings_that_back() {
    let stage = Stage::rolling("0s");
    stage.promote();
    stage.promote();
    for _ in 0..3 {
        stage.apply().exits(0);
    }
    let before = fs::read(stage.path("weights.json")).unwrap();
    let next = "LEASE-20251027-031913";
    let text = kit::lease(next).replace("15m", "0s").replace("INT-2025-0042", "INT-2025-0043");
    stage.world.commit_file(&format!("leases/{next}.yaml"), &text, "Propose the next");
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
        stage.world.turn(name, action, next);
    }
    stage.push();
    stage.apply().exits(0);
    assert_eq!((&stage.weights()["lease"], &stage.weights()["weight_bp"]), (&next.into(), &500.into()));
    assert!(stage.tags().contains(&"4-complete".to_owned()), "{:?}", stage.tags());
    stage.world.turn("user2", "rollback", next);
    stage.push();
    stage.apply().exits(0).says("verified");
    assert_eq!(fs::read(stage.path("weights.json")).unwrap(), before);
}

#[test]
fn a_rollback_to_where_this_applier_never_was_is_no_success() {
    // Came after that lease had started, or lost all that it had.
    for lost in [false, true] {
        let stage = Stage::rolling("0s");
        stage.promote();
        stage.promote();
        if lost {
            for _ in 0..3 {
                stage.apply().exits(0);
            }
            stage.weighs(10_000);
            fs::remove_file(stage.path("weights.json")).unwrap();
            fs::remove_file(stage.journal_path()).unwrap();
            stage.forget_packs();
        }
        let next = "LEASE-20251027-031913";
        let text = kit::lease(next).replace("15m", "0s").replace("INT-2025-0042", "INT-2025-0043");
        stage.world.commit_file(&format!("leases/{next}.yaml"), &text, "Propose the next");
        for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
            stage.world.turn(name, action, next);
        }
        stage.push();
        stage.apply().exits(0);
        assert_eq!((&stage.weights()["lease"], &stage.weights()["weight_bp"]), (&next.into(), &500.into()));
        stage.world.turn("user2", "rollback", next);
        stage.push();
        stage.apply().exits(1).says("rollback-failed").says(&format!("falls back to lease {LEASE}"));
        stage.weighs(0);
        stage.apply().exits(1);
        let events = stage.events();
        let count = |event: &str| events.iter().filter(|other| *other == event).count();
        assert_eq!((count("ROLLBACK_FAILED"), count("ROLLBACK_VERIFIED")), (1, 0));
    }
}

#[test]
fn without_a_remote_it_works_in_the_repository_alone() {
    let stage = Stage::rolling("0s");
    let config = fs::read_to_string(stage.path("applier.yaml")).unwrap();
    let alone = config.replace("remote: origin\n", "").replace("repository: applier\n", "repository: repo\n");
    fs::write(stage.path("applier.yaml"), alone).unwrap();
    stage.apply().exits(0);
    stage.weighs(500);
    let message = stage.world.two_key(&["statement", "--message", "--principal", "cp18", "halt", LEASE]).exits(0).out;
    let commit = stage.world.sign_commit("cp18", "main", &message);
    stage.world.git(&["update-ref", &format!("refs/two-key/stops/{LEASE}/{commit}"), &commit]);
    stage.apply().exits(0);
    stage.weighs(0);
    let shown = stage.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
    assert_eq!((&shown["state"], &shown["observed"]["weight"]), (&"halted".into(), &0.0.into()));
    assert_eq!(stage.world.git(&["status", "--porcelain"]), "");
}

#[test]
fn watching_ends_gracefully_when_it_is_told_to() {
    let stage = Stage::rolling("0s");
    let mut command = stage.world.command(stage.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
    command.args(["apply", "--watch", "--config", "applier.yaml"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("observed 5 %"), "{line}");
    // It has the desk to itself.
    stage.apply().exits(1).says("busy");
    stage.world.run(stage.world.path(), "kill", &["-TERM", &child.id().to_string()], b"").exits(0);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    stage.apply().exits(0);
}

#[test]
fn a_lost_journal_does_not_make_a_rewound_branch_acceptable() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    let before = stage.world.head();
    stage.turn("cp18", "halt");
    stage.apply().exits(0);
    stage.weighs(0);
    // Neither the branch nor a tag says any more that there was a halt.
    stage.in_all(&["--git-dir=server.git", "update-ref", "refs/heads/main", &before]);
    for git_dir in ["--git-dir=server.git", "--git-dir=applier/.git"] {
        for tag in stage.in_all(&[git_dir, "for-each-ref", "--format=%(refname)", "**/2-halt"]).lines() {
            stage.in_all(&[git_dir, "update-ref", "-d", tag]);
        }
    }
    fs::remove_file(stage.journal_path()).unwrap();
    stage.apply().exits(1).says("ref-rewound");
    stage.weighs(0);
}

#[test]
fn an_expired_lease_does_not_come_back_with_a_clock_that_was_set_back() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    stage.promote();
    let seen_to_expire = |leases: &[&str]| {
        let mut journal: Value = serde_json::from_slice(&fs::read(stage.journal_path()).unwrap()).unwrap();
        journal["expired"] = leases.into();
        fs::write(stage.journal_path(), serde_json::to_vec(&journal).unwrap()).unwrap();
    };
    seen_to_expire(&[LEASE]);
    for _ in 0..3 {
        stage.apply().exits(0).says("clock");
        stage.weighs(500);
    }
    // What was seen of another lease is none of its business.
    seen_to_expire(&["LEASE-0"]);
    stage.apply().exits(0);
    stage.weighs(2500);
}

#[test]
fn a_target_that_a_policy_dropped_is_still_stopped_and_never_moved_forward() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    let digest = Digest::of(stage.world.policy().as_bytes());
    let next = stage.world.policy().replace("version: 1\nprevious: null", &format!("version: 2\nprevious: {digest}"));
    let (next, _) = next.split_once("targets:").unwrap();
    stage.world.commit_file(".two-key/policy.yaml", next, "Drop all targets");
    for name in ["user1", "cp14"] {
        let args = ["statement", "--message", "--principal", name, "policy"];
        let message = stage.world.two_key(&args).exits(0).out;
        stage.world.carry(name, &message);
    }
    stage.promote();
    stage.apply().exits(0).says("wrong-principal");
    stage.weighs(500);
    stage.turn("user2", "halt");
    stage.apply().exits(0);
    stage.weighs(0);
}

#[test]
fn a_stop_does_not_wait_for_a_journal_that_cannot_be_written() {
    let stage = Stage::rolling("0s");
    let text = fs::read_to_string(stage.path("applier.yaml")).unwrap();
    fs::write(stage.path("applier.yaml"), text + "interval: 1s\n").unwrap();
    let mut command = stage.world.command(stage.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
    command.args(["apply", "--watch", "--config", "applier.yaml"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    said.find(|line| line.contains("observed 5 %")).unwrap();
    let folder = stage.journal_path().parent().unwrap().to_owned();
    fs::rename(&folder, stage.path("elsewhere")).unwrap();
    stage.turn("cp18", "halt");
    let deadline = Instant::now() + Duration::from_secs(30);
    while stage.weights()["weight_bp"] != 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    stage.weighs(0);
}

#[test]
fn a_target_that_somebody_moved_after_its_pack_was_taken_is_not_shifted() {
    for meddles in [false, true] {
        let stage = Stage::unhooked("0s");
        // The intention is out, the shift is not made yet.
        let other =
            r#"{"version":1,"target":"checkout-prod","weight_bp":3000,"lease":null,"step":null,"generation":9}"#;
        let weights = stage.path("weights.json");
        let script = format!("#!/bin/sh\n{meddles} && echo '{other}' >'{}'\nexit 0\n", weights.display());
        let hook = stage.path("server.git/hooks/pre-receive");
        fs::write(&hook, script).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let ran = stage.apply().exits(0);
        if meddles {
            ran.says("drift");
            stage.weighs(3000);
        } else {
            stage.weighs(500);
        }
    }
}
