//! A revocation hidden by history's shape
//!
//! Within a step revocations come before votes; main's old tip stays on its first-parent chain.

use crate::dsl::*;

/// A vote branched before its key's revocation, merged with `-s ours`.
#[test]
fn branched_before_the_revocation() {
    let scene = Scene::rolling();
    let before = scene.world.head();
    scene.promote("user1");
    scene.revoke("user2", "cp14");
    let vote = |name: &'static str| {
        let before = before.clone();
        move |scene: &Scene| {
            let vote = scene.aside(name, &before, &about(LEASE, "promote", 2, 25));
            scene.merge(&vote);
        }
    };
    scene.never_counts("revoked-key", vote("cp14"), vote("cp18"));
}

/// A vote in the merge that brings its key's revocation.
#[test]
fn together_with_the_revocation() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let revocation = format!("Two-Key-Action: revoke\nTwo-Key-Key: {}\n", scene.world.fingerprint("cp14"));
    let attack = |scene: &Scene| {
        let vote = scene.aside("cp14", "main", &about(LEASE, "promote", 2, 25));
        scene.merge(&scene.aside("user2", &vote, &revocation));
    };
    let tip = scene.world.head();
    attack(&scene);
    scene.refuses_main("revoked-key");
    assert_eq!(scene.shown(LEASE)["desired"], 5);
    scene.back_to(&tip);
    scene.turn("cp14", &about(LEASE, "promote", 2, 25));
    scene.turn("user2", &revocation);
    scene.admits(&["main"]);
    assert_eq!(scene.shown(LEASE)["desired"], 25);
}

/// A merge whose first parent is not main's tip.
#[test]
fn a_foxtrot_merge() {
    let scene = Scene::rolling();
    let side = scene.world.git(&["commit-tree", "-p", "main", "-m", "Mine", "main^{tree}"]);
    scene.revoke("user2", "cp14");
    scene.admits(&["main"]);
    let merge = |first: &str, second: &str| {
        scene.world.git(&["commit-tree", "-p", first, "-p", second, "-m", "Pull", "main^{tree}"])
    };
    let foxtrot = merge(&side, "main");
    scene.world.git(&["merge-base", "--is-ancestor", "main", &foxtrot]);
    scene.refuses(&[&format!("{foxtrot}:main")], MAIN, "foxtrot");
    scene.admits(&[&format!("{}:main", merge("main", &side))]);
}
