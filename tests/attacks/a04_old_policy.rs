//! A policy that does not follow the one in force
//!
//! A policy names the one in force by digest and the next version; votes name its bytes.

use crate::dsl::*;

/// The first policy again.
#[test]
fn an_older_policy() {
    let scene = Scene::new();
    let first = scene.world.policy();
    let second = next(&first, 2);
    scene.enact(&second);
    scene.admits(&["main"]);
    let third = next(&second, 3);
    scene.never_counts("policy-version", |scene| scene.enact(&first), |scene| scene.enact(&third));
}

/// The version in force with other bytes.
#[test]
fn the_same_version_with_other_bytes() {
    let scene = Scene::new();
    let first = scene.world.policy();
    let other = first.replace("start-up-to: 10", "start-up-to: 99");
    scene.never_counts("policy-version", |scene| scene.enact(&other), |scene| scene.enact(&next(&first, 2)));
}

/// A version skipped.
#[test]
fn a_version_skipped() {
    let scene = Scene::new();
    let first = scene.world.policy();
    scene.never_counts("policy-version", |scene| scene.enact(&next(&first, 3)), |scene| scene.enact(&next(&first, 2)));
}

/// One that follows bytes never in force.
#[test]
fn another_policy_before_it() {
    let scene = Scene::new();
    let first = scene.world.policy();
    let astray = next(&first.replace("start-up-to: 10", "start-up-to: 99"), 2);
    scene.never_counts("policy-version", |scene| scene.enact(&astray), |scene| scene.enact(&next(&first, 2)));
}

/// Another repository's.
#[test]
fn another_repositorys_policy() {
    let scene = Scene::new();
    let second = next(&scene.world.policy(), 2);
    let foreign = second.replace(crate::kit::REPOSITORY, &"0".repeat(32));
    scene.never_counts("wrong-repository", |scene| scene.enact(&foreign), |scene| scene.enact(&second));
}

/// One changed after a vote.
#[test]
fn a_policy_changed_after_a_vote() {
    let scene = Scene::new();
    let (second, other) = {
        let second = next(&scene.world.policy(), 2);
        (second.clone(), second.replace("start-up-to: 10", "start-up-to: 99"))
    };
    scene.propose_policy(&second);
    scene.turn("user1", &for_policy(&second));
    let attack = |scene: &Scene| {
        scene.propose_policy(&other);
        scene.turn("cp14", &for_policy(&second));
    };
    scene.never_counts("digest-mismatch", attack, |scene| {
        if scene.world.git(&["show", "main:.two-key/policy.yaml"]) != second.trim_end() {
            scene.propose_policy(&second);
        }
        scene.turn("cp14", &for_policy(&second));
    });
}
