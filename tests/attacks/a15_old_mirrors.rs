//! An applier fed an old mirror or another history
//!
//! It continues from the last tip that it accepted, or holds; stops from anywhere count.

use crate::dsl::*;

/// The accepted branch shown shorter.
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

/// An unknown history with two keys' promotion.
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

/// No answer.
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

/// A server's ref where a clone remembers what it accepted.
#[test]
fn what_it_remembers_made_by_somebody_else() {
    let scene = Scene::applied();
    let island = scene.world.git(&["commit-tree", "-m", "Elsewhere", "-p", &scene.root, "main^{tree}"]);
    let accepted = "refs/two-key-state/edge1/accepted";
    scene.world.git(&["push", "--quiet", scene.server.to_str().unwrap(), &format!("{island}:refs/heads/island")]);
    scene.on_server(&["update-ref", accepted, &island]).exits(0);
    let path = |name: &str| scene.world.path().join(name);
    let clone = |how: &str| {
        std::fs::remove_dir_all(path("applier")).unwrap();
        let (from, to) = (scene.server.clone(), path("applier"));
        scene.world.git(&["clone", "--quiet", how, from.to_str().unwrap(), to.to_str().unwrap()]);
    };
    scene.to_25();
    clone("--mirror");
    scene.apply().exits(3).says("foreign-ref").says("git clone --bare");
    scene.weighs(500);
    clone("--bare");
    scene.apply().exits(0);
    scene.weighs(2500);
}

/// A pruning fetch in a clone that maps every ref onto its own name: what was accepted stays.
#[test]
fn what_it_remembers_pruned() {
    let scene = Scene::applied();
    let clone = scene.world.path().join("applier");
    let git = |args: &[&str]| scene.world.run(&clone, "git", args, b"");
    git(&["checkout", "--quiet", "--detach"]).exits(0);
    git(&["config", "remote.origin.fetch", "+refs/*:refs/*"]).exits(0);
    let accepted = || git(&["rev-parse", "--verify", "refs/two-key-state/edge1/accepted"]);
    let doctor = || scene.world.two_key_in(&clone, &["doctor"]);
    doctor().says("mirror: `git fetch origin` prunes what an applier");
    scene.apply().exits(0);
    doctor().never_says("prunes what an applier");
    let before = accepted().exits(0).out;
    git(&["fetch", "--quiet", "--prune"]).exits(0);
    assert_eq!(accepted().exits(0).out, before);
    // Without what the applier wrote there it is gone.
    git(&["config", "--unset-all", "remote.origin.fetch", "two-key-state"]).exits(0);
    git(&["fetch", "--quiet", "--prune"]).exits(0);
    assert_ne!(accepted().code, 0);
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
