//! Keys never put in force, history from elsewhere
//!
//! Keys count from the step after their policy; what does not descend from the root carries no vote.

use crate::dsl::*;

/// A key added to the file that votes in the same push.
#[test]
fn a_key_and_its_vote_in_one_push() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let key = scene.world.public_key("mallory");
    let mallory = policy.replace("  cp14:", &format!("  mallory: {{role: human, keys: [\"{key}\"]}}\n  cp14:"));
    let cosign = |scene: &Scene| drop(scene.turn("mallory", &about(LEASE, "cosign", 0, 0)));
    let attack = |scene: &Scene| {
        scene.propose_policy(&mallory);
        cosign(scene);
    };
    let enact = |scene: &Scene| {
        if scene.world.git(&["show", "main:.two-key/policy.yaml"]) != mallory.trim_end() {
            scene.propose_policy(&mallory);
        }
        scene.turn("user1", &for_policy(&mallory));
        scene.turn("cp14", &for_policy(&mallory));
    };
    scene.never_counts("unknown-key", attack, enact);
    cosign(&scene);
    scene.admits_main();
}

/// A stranger's vote.
#[test]
fn a_key_of_nobody() {
    let scene = Scene::rolling();
    scene.promote("user1");
    scene.never_counts("unknown-key", |scene| drop(scene.promote("stranger")), |scene| drop(scene.promote("cp14")));
}

/// An unrelated history, merged.
#[test]
fn a_vote_that_does_not_descend_from_the_root() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let attack = |scene: &Scene| {
        let island = scene.world.git(&["commit-tree", "-m", "Another root", "main^{tree}"]);
        let vote = scene.aside("cp14", &island, &about(LEASE, "promote", 2, 25));
        scene.merge(&vote);
    };
    scene.never_counts("not-descended", attack, |scene| {
        let vote = scene.aside("cp14", "main~1", &about(LEASE, "promote", 2, 25));
        scene.merge(&vote);
    });
}

/// Another repository's statement.
#[test]
fn another_repositorys_vote() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let foreign = message("cp14", &about(LEASE, "promote", 2, 25)).replace(crate::kit::REPOSITORY, &"0".repeat(32));
    let attack = |scene: &Scene| drop(scene.world.carry("cp14", &foreign));
    scene.never_counts("wrong-repository", attack, |scene| drop(scene.promote("cp14")));
}

/// An unsigned statement.
#[test]
fn a_vote_without_a_signature() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let attack = |scene: &Scene| drop(scene.unsigned(&about(LEASE, "promote", 2, 25), ""));
    scene.never_counts("unsigned", attack, |scene| drop(scene.promote("cp14")));
}
