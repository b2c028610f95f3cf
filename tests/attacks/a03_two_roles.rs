//! One key or person in two roles, one person with two keys
//!
//! A key has one principal, a principal one role, and no policy does without a human and an agent.

use crate::dsl::*;

/// One key for a human and an agent.
#[test]
fn one_key_for_a_human_and_an_agent() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let shared = policy.replace(&scene.world.public_key("cp18"), &scene.world.public_key("user1"));
    scene.never_counts("same-key", |scene| scene.enact(&shared), |scene| scene.enact(&policy));
}

/// A human with two keys.
#[test]
fn one_person_with_two_keys() {
    let with_two = |world: &World| {
        let (one, two) = (world.public_key("user1"), world.public_key("user1-laptop"));
        world.policy().replace(&format!("\"{one}\""), &format!("\"{one}\", \"{two}\""))
    };
    let scene = Scene::under(with_two);
    scene.start();
    scene.promote("user1");
    let again = |scene: &Scene| {
        drop(scene.world.carry("user1-laptop", &message("user1", &about(LEASE, "promote", 2, 25))));
    };
    scene.never_counts("same-principal", again, |scene| drop(scene.promote("cp14")));
}

/// A human's signature under an agent's name.
#[test]
fn a_human_in_an_agents_name() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let attack = |scene: &Scene| drop(scene.world.carry("user2", &message("cp14", &about(LEASE, "promote", 2, 25))));
    scene.never_counts("wrong-principal", attack, |scene| drop(scene.promote("cp14")));
}

/// Two humans, no agent.
#[test]
fn two_humans_are_not_a_human_and_an_agent() {
    let scene = Scene::rolling();
    scene.promote("user1");
    scene.promote("user2");
    let tag = scene.tag("2-promote-25", "main");
    scene.refuses(&["main", &tag], &format!("refs/tags/{tag}"), "missing-role");
    assert_eq!(scene.shown(LEASE)["desired"], 5);
    scene.promote("cp14");
    scene.tag("2-promote-25", "main");
    scene.admits(&["main", &tag]);
    assert_eq!(scene.shown(LEASE)["desired"], 25);
}

/// An applier's vote.
#[test]
fn an_applier_is_no_agent() {
    let scene = Scene::rolling();
    scene.promote("user1");
    scene.never_counts("wrong-role", |scene| drop(scene.promote("edge1")), |scene| drop(scene.promote("cp18")));
}

/// An agent that the rule does not list.
#[test]
fn an_agent_that_the_rule_does_not_count() {
    let scene = Scene::under(|world| world.policy().replace("agents: [cp14, cp18]", "agents: [cp14]"));
    let cosign = |name: &'static str| move |scene: &Scene| drop(scene.turn(name, &about(LEASE, "cosign", 0, 0)));
    scene.never_counts("wrong-role", cosign("cp18"), cosign("cp14"));
}

/// A policy without an agent to promote.
#[test]
fn a_rule_without_one_of_the_roles() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let alone = policy.replace("promote: {human: 1, agent: 1}", "promote: {human: 1, agent: 0}");
    assert_ne!(alone, policy);
    scene.never_counts("policy-floor", |scene| scene.enact(&alone), |scene| scene.enact(&policy));
}
