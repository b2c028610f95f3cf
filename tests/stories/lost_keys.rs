//! Keys are lost, people are gone: the ways out of docs/keys.md, walked line by line as they are printed there,
//! against a server that has the hook.

use std::{fs, path::Path};

use serde_json::json;

use crate::kit::{
    self, LEASE, Ran, World,
    scene::{Scene, forward, stop},
};

/// The `sh` block under a heading of the page.
fn way_out(heading: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let (_, block) = section.split_once("\n```sh\n").unwrap();
    let (block, _) = block.split_once("\n```\n").unwrap();
    assert!(!block.contains("\n### "), "{heading} has no commands");
    block.to_owned()
}

/// People with the server as their remote, and keys for those who come.
fn people(scene: &Scene) {
    let world = &scene.world;
    for name in ["user1", "user2", "user3", "user1-new", "cp14", "cp18", "cp20"] {
        world.key_file(name);
    }
    world.git(&["remote", "add", "origin", scene.server.to_str().unwrap()]);
    world.git(&["fetch", "--quiet", "origin"]);
    world.git(&["branch", "--quiet", "--set-upstream-to=origin/main", "main"]);
}

/// Walks a way out; every line must succeed.
fn walk(scene: &Scene, heading: &str) -> Ran {
    let script = format!("set -eux\n{}\n", way_out(heading));
    let ran = scene.world.run(scene.world.repo(), "bash", &["-c", &script], b"").exits(0);
    // All of it is on the server, whose hook took it.
    assert_eq!(scene.server_ref("refs/heads/main"), scene.world.head());
    scene.world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
    ran
}

fn refused(scene: &Scene, name: &str, reason: &str) {
    let tip = scene.world.head();
    scene.promote(name);
    scene.refuses(&["main"], "refs/heads/main", reason);
    scene.world.git(&["reset", "--quiet", "--hard", &tip]);
}

fn desired(world: &World) -> serde_json::Value {
    world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["desired"].clone()
}

#[test]
fn an_agents_key_is_lost_and_another_goes_on() {
    let scene = Scene::rolling();
    people(&scene);
    scene.promote("cp14");
    scene.push(&["main"]).exits(0);
    walk(&scene, "An agent's key is lost or stolen");
    // Its vote for what was not in force yet went with it, and it casts no other.
    scene.promote("user1");
    scene.push(&["main"]).exits(0);
    assert_eq!(desired(&scene.world), json!(5));
    refused(&scene, "cp14", "revoked-key");
    scene.promote("cp20");
    scene.push(&["main"]).exits(0);
    assert_eq!(desired(&scene.world), json!(25));
}

#[test]
fn a_humans_key_is_lost_and_the_human_goes_on_with_another() {
    let scene = Scene::rolling();
    people(&scene);
    walk(&scene, "A human's key is lost or stolen");
    refused(&scene, "user1", "unknown-key");
    let text = kit::scene::message("user1", &forward("promote", Some(2), Some(25)));
    scene.world.carry("user1-new", &text);
    scene.promote("cp14");
    scene.push(&["main"]).exits(0);
    assert_eq!(desired(&scene.world), json!(25));
}

#[test]
fn all_agents_are_lost_and_two_humans_enrol_another() {
    let scene = Scene::rolling();
    people(&scene);
    walk(&scene, "All agents are lost");
    refused(&scene, "cp14", "unknown-key");
    scene.promote("user1");
    scene.promote("cp20");
    scene.push(&["main"]).exits(0);
    assert_eq!(desired(&scene.world), json!(25));
    // The new agent also authorizes what comes next.
    let key = |name: &str| scene.world.key_file(name).display().to_string();
    let artifact = format!("checkout=sha256:{}", "33".repeat(32));
    let new = ["new", "--target", "checkout-prod", "--summary", "Next", "--intent", "INT-2", "--artifact", &artifact];
    scene.world.two_key(&new).exits(0);
    scene.world.two_key(&["sign", "INT-2", "--key", &key("user2")]).exits(0);
    scene.world.two_key(&["sign", "INT-2", "--key", &key("cp20")]).exits(0);
    scene.world.two_key(&["verify", "INT-2"]).exits(0).says("authorized");
}

#[test]
fn one_human_alone_cannot_replace_the_agents() {
    let scene = Scene::rolling();
    people(&scene);
    let key = |name: &str| scene.world.key_file(name).display().to_string();
    scene.world.two_key(&["key", "add", "cp20", &scene.world.public_key("cp20"), "--role", "agent"]).exits(0);
    scene.world.two_key(&["sign", "policy", "--key", &key("user1")]).exits(0).says("waiting for");
    scene.world.two_key(&["key", "list"]).exits(0).never_says("cp20");
    scene.world.two_key(&["sign", "policy", "--key", &key("user2")]).exits(0);
    scene.world.two_key(&["key", "list"]).exits(0).says("cp20");
}

#[test]
fn all_humans_are_lost_and_agents_stop_everything_and_start_nothing() {
    let scene = Scene::rolling();
    people(&scene);
    walk(&scene, "All humans are lost");
    assert_eq!(desired(&scene.world), json!(0));
    let list = scene.world.two_key(&["list"]).exits(0);
    list.says("rolled-back").says("frozen by");
    // Two agents are not a human and an agent, whatever they turn their keys for.
    let key = |name: &str| scene.world.key_file(name).display().to_string();
    scene.world.two_key(&["key", "add", "user3", &scene.world.public_key("user3"), "--role", "human"]).exits(0);
    scene.world.two_key(&["sign", "policy", "--key", &key("cp14")]).exits(0).says("waiting for");
    scene.world.two_key(&["sign", "policy", "--key", &key("cp18")]).exits(0).says("waiting for");
    scene.world.two_key(&["key", "list"]).exits(0).never_says("user3");
    scene.world.two_key(&["thaw", "--key", &key("cp14")]).exits(0);
    scene.world.two_key(&["thaw", "--key", &key("cp18")]).exits(0);
    scene.world.two_key(&["list"]).exits(0).says("frozen by");
}

#[test]
fn a_proposer_who_is_gone_leaves_a_lease_that_is_taken_back_and_proposed_anew() {
    let separate = |world: &World| {
        let third = format!("  user3: {{role: human, keys: [\"{}\"]}}\n  cp14:", world.public_key("user3"));
        let policy = world.policy().replacen("  cp14:", &third, 1);
        policy.replace("promote: {human: 1, agent: 1}", "promote: {human: 1, agent: 1, separate-proposer: true}")
    };
    let scene = Scene::under(separate);
    people(&scene);
    let key = |name: &str| scene.world.key_file(name).display().to_string();
    let text = kit::lease(LEASE).replace("1.9.0", "1.9.1");
    fs::write(scene.world.repo().join(format!("leases/{LEASE}.yaml")), text).unwrap();
    let signing = format!("user.signingKey={}", key("user1"));
    scene.world.git(&["-c", "gpg.format=ssh", "-c", &signing, "commit", "--quiet", "--all", "-S", "-m", "Propose"]);
    for name in ["user2", "cp14"] {
        scene.world.two_key(&["sign", LEASE, "--key", &key(name)]).exits(0);
    }
    scene.world.two_key(&["start", LEASE, "--key", &key("user2")]).exits(0);
    // The proposer does not count, others do: so far all is well.
    scene.world.two_key(&["promote", LEASE, "--key", &key("user1")]).exits(1).says("proposer");
    scene.world.two_key(&["key", "remove", "user1", "--key", &key("user2")]).exits(0);
    for name in ["user2", "cp14"] {
        scene.world.two_key(&["sign", "policy", "--key", &key(name)]).exits(0);
    }
    scene.push(&["main"]).exits(0);
    scene.world.two_key(&["promote", LEASE, "--key", &key("user2")]).exits(1).says("proposer");
    walk(&scene, "Who proposed is gone, and the rule separates proposers");
    let list = scene.world.two_key(&["show", "INT-2025-0043", "--format", "json"]).exits(0).json();
    assert_eq!((&list["state"], &list["desired"]), (&json!("rolling"), &json!(25)));
    // Its proposer counts no more than the other did.
    scene.turn("cp18", &stop("halt", 1));
    scene.push(&["main"]).exits(0);
}
