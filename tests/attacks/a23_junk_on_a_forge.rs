//! What forges without hooks put on main
//!
//! What does not count is a finding; it changes nothing, now or later.

use std::fs;

use crate::{applier::stop_it, dsl::*};

/// Signed commits squashed.
#[test]
fn a_squash_merge() {
    let scene = Scene::rolling();
    let squash = |scene: &Scene| {
        let one = message("user1", &about(LEASE, "promote", 2, 25));
        let two = message("cp14", &about(LEASE, "promote", 2, 25));
        let text = format!("Promote (#7)\n\n* {one}\n* {two}");
        scene.world.git(&["commit", "--quiet", "--allow-empty", "--message", &text]);
    };
    scene.never_counts("malformed", squash, Scene::both_promote);
}

/// A rebase merge.
#[test]
fn a_rebase_merge() {
    let scene = Scene::rolling();
    let rebased = |scene: &Scene| {
        let text = message("user1", &about(LEASE, "promote", 2, 25));
        scene.world.git(&["commit", "--quiet", "--allow-empty", "--message", &text]);
    };
    scene.never_counts("malformed", rebased, Scene::both_promote);
}

/// A vote for a past step.
#[test]
fn a_stale_statement() {
    let scene = Scene::rolling();
    let stale = |scene: &Scene| drop(scene.turn("cp14", &about(LEASE, "start", 1, 5)));
    scene.never_counts("stale-step", stale, Scene::both_promote);
}

/// A tier skipped.
#[test]
fn a_tier_skipped() {
    let scene = Scene::rolling();
    let skip = |scene: &Scene| drop(scene.turn("cp14", &about(LEASE, "promote", 2, 100)));
    scene.never_counts("tier-skipped", skip, Scene::both_promote);
}

/// A start before both keys authorized.
#[test]
fn a_start_without_authorization() {
    let scene = Scene::new();
    scene.turn("user1", &about(LEASE, "cosign", 0, 0));
    let start = |scene: &Scene| drop(scene.turn("user1", &about(LEASE, "start", 1, 5)));
    scene.never_counts("not-authorized", start, |scene| {
        scene.turn("cp14", &about(LEASE, "cosign", 0, 0));
        scene.turn("user1", &about(LEASE, "start", 1, 5));
    });
}

/// A lease changed after a vote pinned it.
#[test]
fn a_lease_changed_after_a_vote() {
    let scene = Scene::new();
    scene.turn("user1", &about(LEASE, "cosign", 0, 0));
    scene.admits(&["main"]);
    let wider = lease(LEASE).replace("weight: 25", "weight: 99");
    let attack = |scene: &Scene| drop(scene.propose(&wider, LEASE));
    scene.never_counts("lease-changed", attack, |scene| drop(scene.turn("cp14", &about(LEASE, "cosign", 0, 0))));
}

/// A missing lease.
#[test]
fn a_lease_that_is_nowhere() {
    let scene = Scene::rolling();
    let attack = |scene: &Scene| drop(scene.turn("cp14", &about(OTHER, "cosign", 0, 0)));
    scene.never_counts("unknown-lease", attack, Scene::both_promote);
}

/// A forward move during a freeze.
#[test]
fn forward_during_a_freeze() {
    let scene = Scene::rolling();
    scene.turn("cp14", &format!("Two-Key-Action: freeze\nTwo-Key-Nonce: {}\n", "01".repeat(16)));
    scene.admits(&["main"]);
    let thaw = "Two-Key-Action: thaw\nTwo-Key-Step: 1\n";
    scene.never_counts(
        "frozen",
        |scene| drop(scene.promote("user1")),
        |scene| {
            scene.turn("user1", thaw);
            scene.turn("cp14", thaw);
            scene.promote("user1");
        },
    );
}

/// A start on an occupied target.
#[test]
fn a_target_that_is_occupied() {
    let scene = Scene::rolling();
    scene.propose(&lease(OTHER), OTHER);
    for name in ["user1", "cp14"] {
        scene.turn(name, &about(OTHER, "cosign", 0, 0));
    }
    let start = |scene: &Scene| drop(scene.turn("user1", &about(OTHER, "start", 1, 5)));
    scene.never_counts("target-busy", start, |scene| {
        scene.turn("user1", &stop("rollback", 1));
        start(scene);
    });
}

/// A tag, file or folder at an applier's ref: reported, and stops go on.
#[test]
fn an_appliers_ref_that_is_no_commit() {
    let scene = Scene::applied();
    let name = "refs/two-key/appliers/edge1";
    let good = scene.on_server(&["rev-parse", name]).exits(0).out;
    let main = scene.on_server(&["rev-parse", "main"]).exits(0).out;
    let tag = format!("object {}\ntype commit\ntag x\ntagger x <x@x> 0 +0000\n\nx\n", main.trim());
    fs::write(scene.server.join("junk"), tag).unwrap();
    let tag = scene.on_server(&["hash-object", "-w", "-t", "tag", "junk"]).exits(0).out;
    let blob = scene.on_server(&["rev-parse", "main:.two-key/policy.yaml"]).exits(0).out;
    let tree = scene.on_server(&["rev-parse", "main^{tree}"]).exits(0).out;
    for junk in [tag, blob, tree] {
        scene.on_server(&["update-ref", name, junk.trim()]).exits(0);
        scene.apply().exits(1).says("wrong-principal");
    }
    scene.turn("user2", &stop_it("halt", 1));
    scene.admits(&["main"]);
    scene.apply().exits(1).says("wrong-principal");
    scene.weighs(0);
    scene.on_server(&["update-ref", name, good.trim()]).exits(0);
    scene.apply().exits(0);
}
