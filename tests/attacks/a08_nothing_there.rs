//! Anything missing or empty
//!
//! What is missing is refused or undecided; undecided never admits.

use crate::dsl::*;

/// No pinned root.
#[test]
fn no_root() {
    let scene = Scene::rolling();
    scene.promote("user1");
    scene.on_server(&["config", "--unset", "two-key.root"]).exits(0);
    scene.refuses(&["main"], MAIN, "unpinned");
    scene.on_server(&["config", "two-key.root", &scene.root]).exits(0);
    scene.admits(&["main"]);
}

/// The policy's file deleted.
#[test]
fn no_policy() {
    let scene = Scene::rolling();
    let attack = |scene: &Scene| {
        scene.world.git(&["rm", "--quiet", ".two-key/policy.yaml"]);
        scene.world.git(&["commit", "--quiet", "--message", "Nobody rules"]);
    };
    scene.never_counts("malformed", attack, Scene::both_promote);
}

/// A rule that asks nobody.
#[test]
fn a_rule_of_zero() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let nobody = policy.replace("cosign: {human: 1, agent: 1,", "cosign: {human: 0, agent: 0,");
    assert_ne!(nobody, policy);
    scene.never_counts("policy-floor", |scene| scene.enact(&nobody), |scene| scene.enact(&policy));
}

/// A principal without keys.
#[test]
fn an_empty_keyring() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let empty = policy.replace(&format!("\"{}\"", scene.world.public_key("user2")), "");
    assert_ne!(empty, policy);
    scene.never_counts("policy-floor", |scene| scene.enact(&empty), |scene| scene.enact(&policy));
}

/// An empty lease.
#[test]
fn an_empty_file() {
    let scene = Scene::new();
    let propose = |text: String| move |scene: &Scene| drop(scene.propose(&text, OTHER));
    scene.refuses_but_takes("malformed", propose("\n".to_owned()), propose(lease(OTHER)));
}

/// An unreadable object on the server.
#[test]
fn an_unreadable_object() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let commit = scene.server_ref("main~1");
    let file = scene.server.join("objects").join(&commit[..2]).join(&commit[2..]);
    let honest = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "nothing that Git could read").unwrap();
    let before = scene.server_ref(MAIN);
    // Git may notice before the hook runs; nobody says yes.
    scene.push(&["main"]).exits(1);
    assert_eq!(scene.server_ref(MAIN), before);
    let tip = scene.world.head();
    let line = format!("{before} {tip} {MAIN}\n");
    let program = env!("CARGO_BIN_EXE_git-two-key");
    scene.world.run(&scene.server, program, &["hook", "pre-receive"], line.as_bytes()).exits(3).says("damaged: ");
    std::fs::write(&file, honest).unwrap();
    scene.admits(&["main"]);
}
