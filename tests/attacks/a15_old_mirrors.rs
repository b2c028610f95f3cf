//! An applier fed an old mirror or another history
//!
//! An applier continues from the last tip that it accepted, or holds. It obeys stops from anywhere.

use crate::dsl::*;

/// The accepted branch shown shorter: the weight is kept.
#[test]
fn a_shorter_history() {
    let scene = Scene::applied();
    scene.to_25();
    let tip = scene.server_ref(MAIN);
    scene.apply().exits(0);
    scene.weighs(2500);
    scene.on_server(&["update-ref", MAIN, &format!("{tip}~2")]).exits(0);
    scene.apply().exits(1).says("ref-rewound");
    scene.weighs(2500);
    scene.on_server(&["update-ref", MAIN, &tip]).exits(0);
    scene.apply().exits(0);
}

/// An unknown history with two keys' promotion, on a server without a hook.
#[test]
fn another_history() {
    let scene = Scene::applied();
    let tip = scene.server_ref(MAIN);
    let island = scene.world.git(&["commit-tree", "-m", "Another root", "main^{tree}"]);
    scene.admits(&[&format!("{island}:refs/heads/island")]);
    scene.on_server(&["update-ref", MAIN, &island]).exits(0);
    let ran = scene.apply();
    assert_ne!(ran.code, 0);
    ran.says("ref-rewound");
    scene.weighs(500);
    scene.on_server(&["update-ref", MAIN, &tip]).exits(0);
    scene.to_25();
    scene.apply().exits(0);
    scene.weighs(2500);
}

/// A server that does not answer.
#[test]
fn no_answer() {
    let scene = Scene::applied();
    scene.to_25();
    let away = scene.world.path().join("away.git");
    std::fs::rename(&scene.server, &away).unwrap();
    scene.apply().exits(3).says("unreachable: ");
    scene.weighs(500);
    std::fs::rename(&away, &scene.server).unwrap();
    scene.apply().exits(0);
    scene.weighs(2500);
}

/// Invalid votes put on main behind the hook.
#[test]
fn a_server_whose_hook_was_taken_away() {
    let scene = Scene::applied();
    let tip = scene.world.head();
    for hook in ["pre-receive", "reference-transaction"] {
        std::fs::remove_file(scene.server.join("hooks").join(hook)).unwrap();
    }
    scene.turn("user1", &crate::applier::quickly("promote", 2, 25));
    scene.turn("stranger", &crate::applier::quickly("promote", 2, 25));
    scene.admits(&["main"]);
    scene.apply();
    scene.weighs(500);
    scene.world.two_key(&["verify", "--all"]).exits(1).says("unknown-key");
    scene.turn("cp14", &crate::applier::quickly("promote", 2, 25));
    scene.admits(&["main"]);
    scene.apply().exits(0);
    scene.weighs(2500);
    assert_ne!(scene.world.head(), tip);
}
