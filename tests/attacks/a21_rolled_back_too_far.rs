//! Bringing an old version back
//!
//! Once a newer lease has completed, stops of an older one are refused; only the target's applier packs, and the first
//! pack counts.

use crate::{
    applier::{quickly, stop_it},
    dsl::*,
};

/// A rollback of an older completed lease.
#[test]
fn an_older_lease() {
    let scene = Scene::rolling();
    for id in [LEASE, OTHER] {
        if id == OTHER {
            scene.propose(&lease(OTHER), OTHER);
            scene.turn("user1", &about(id, "cosign", 0, 0));
            scene.turn("cp14", &about(id, "cosign", 0, 0));
            scene.turn("user1", &about(id, "start", 1, 5));
        }
        for (step, tier) in [(2, 25), (3, 100)] {
            scene.turn("user1", &about(id, "promote", step, tier));
            scene.turn("cp14", &about(id, "promote", step, tier));
        }
        scene.turn("user1", &about(id, "complete", 4, 0));
        scene.is_followed();
    }
    scene.admits(&["main"]);
    let older = |scene: &Scene| drop(scene.turn("cp14", &stop("rollback", 1)));
    scene.never_counts("wrong-state", older, |scene| drop(scene.turn("cp14", &stop_it("rollback", 2))));
}

/// Somebody else's pack on the applier's ref.
#[test]
fn a_forged_pack() {
    let scene = Scene::applied();
    let name = "refs/two-key/appliers/edge1";
    scene.world.git(&["fetch", "--quiet", scene.server.to_str().unwrap(), &format!("{name}:{name}")]);
    let forged = scene.world.sign_commit("cp18", name, "A better pack\n");
    scene.refuses(&[&format!("{forged}:{name}")], name, "wrong-principal");
    let own = scene.world.sign_commit("edge1", name, "Observe\n");
    scene.admits(&[&format!("{own}:{name}")]);
}

/// A rollback without a pack: weight zero, and why.
#[test]
fn no_pack() {
    let scene = Scene::applied();
    let name = "refs/two-key/appliers/edge1";
    scene.on_server(&["update-ref", "-d", name]).exits(0);
    for name in [name, "refs/two-key-remote/origin/two-key/appliers/edge1"] {
        scene.world.run(&scene.clone_path(), "git", &["update-ref", "-d", name], b"").exits(0);
    }
    scene.turn("user1", &stop_it("rollback", 1));
    scene.admits(&["main"]);
    scene.apply().exits(1).says("no-pack").says("rollback-failed");
    scene.weighs(0);
}

/// The same with one.
#[test]
fn the_pack_that_is_there() {
    let scene = Scene::applied();
    scene.turn("user1", &quickly("promote", 2, 25));
    scene.turn("cp14", &stop_it("rollback", 1));
    scene.admits(&["main"]);
    scene.apply().exits(0).says("verified");
    scene.weighs(0);
}
