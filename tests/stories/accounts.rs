//! Accounts: what verbs that write tell programs.

use serde_json::{Value, json};

use crate::kit::{LEASE, Ran, World, scene::Scene};

fn by(world: &World, who: &str, args: &[&str]) -> Ran {
    let key = world.key_file(who);
    world.two_key(&[args, &["--format", "json", "--key", key.to_str().unwrap()]].concat())
}

#[test]
fn a_signature_is_told_with_its_commit_its_effect_and_where_it_is() {
    let world = World::proposed();
    let told = by(&world, "user1", &["sign", LEASE, "--dry-run"]).exits(0).json();
    assert_eq!((&told["signed"][0]["action"], &told["signed"][0]["commit"]), (&json!("cosign"), &Value::Null));
    let told = by(&world, "user1", &["sign", LEASE]).exits(0).json();
    let signed = &told["signed"][0];
    assert_eq!(signed["commit"], world.head());
    assert_eq!(
        (&signed["principal"], &signed["role"], &signed["lease"]),
        (&json!("user1"), &json!("human"), &json!(LEASE))
    );
    assert!(signed["statement"].as_str().unwrap().starts_with("Two-Key-Statement: 1\n"));
    assert_eq!(told["pushed_to"], Value::Null);
    by(&world, "cp14", &["sign", LEASE]).exits(0);
    let told = by(&world, "user1", &["start", LEASE]).exits(0).json();
    assert_eq!(told["tags"], json!([format!("rollout/{LEASE}/1-start-5")]));
    assert_eq!(told["effect"], json!([format!("{LEASE}: 0 % → 5 %, rolling")]));
    assert_eq!((&told["signed"][0]["step"], &told["signed"][0]["tier"]), (&json!(1), &json!(5)));
    let told = by(&world, "cp14", &["halt", LEASE]).exits(0).json();
    assert_eq!(
        (&told["signed"][0]["action"], &told["effect"][0]),
        (&json!("halt"), &json!(format!("{LEASE}: 5 % → 0 %, halted")))
    );
}

#[test]
fn people_read_beside_it_and_a_refusal_says_what_was_done_all_the_same() {
    let world = World::proposed();
    let ran = by(&world, "user1", &["sign", LEASE]).exits(0);
    assert!(ran.err.contains("user1: Cosign"), "{}", ran.err);
    assert_eq!(by(&world, "user1", &["sign", LEASE]).exits(1).json()["reason"], "already-voted");
    // With a remote that is gone the stop is signed, and the account is in the failure.
    world.git(&["remote", "add", "origin", "/nowhere/at/all"]);
    let told = by(&world, "cp14", &["withdraw", LEASE, "--push"]).exits(3).json();
    assert_eq!((&told["ok"], &told["done"]["signed"][0]["action"]), (&json!(false), &json!("withdraw")));
    assert_eq!(told["done"]["pushed_to"], Value::Null);
}

#[test]
fn what_is_pushed_proposed_and_taken_back_is_told() {
    let scene = Scene::new();
    let (world, server) = (&scene.world, scene.server.to_str().unwrap());
    world.git(&["remote", "add", "origin", server]);
    world.git(&["fetch", "--quiet", "origin"]);
    world.git(&["branch", "--quiet", "--set-upstream-to=origin/main", "main"]);
    let artifact = format!("shop=sha256:{}", "ab".repeat(32));
    let new =
        ["new", "--target", "checkout-prod", "--id", "NEXT-1", "--artifact", &artifact, "--push", "--format", "json"];
    let told = world.two_key(&new).exits(0).json();
    assert_eq!((&told["proposed"][0]["path"], &told["pushed_to"]), (&json!("leases/NEXT-1.yaml"), &json!("origin")));
    let told = by(world, "user1", &["sign", "NEXT-1", "--no-push"]).exits(0).json();
    assert_eq!(told["pushed_to"], Value::Null);
    // Every view marks what is here alone.
    world.two_key(&["list"]).exits(0).says("proposed, NOT PUSHED");
    world.two_key(&["show", "NEXT-1"]).exits(0).says("NOT PUSHED: signature (user1)");
    let unpushed = world.two_key(&["show", "NEXT-1", "--format", "json"]).exits(0).json()["unpushed"].clone();
    assert_eq!((unpushed.as_array().unwrap().len(), &unpushed[0]["event"]), (1, &json!("COSIGNED")));
    let told = world.two_key(&["undo", "--format", "json"]).exits(0).json();
    assert!(told["taken_back"][0].as_str().unwrap().starts_with("Cosign NEXT-1 ("), "{told}");
    assert_eq!(world.git(&["rev-parse", "main"]), world.git(&["rev-parse", "origin/main"]));
    assert_eq!(by(world, "user1", &["sign", "NEXT-1"]).exits(0).json()["pushed_to"], "origin");
    world.two_key(&["list"]).exits(0).never_says("NOT PUSHED");
    world.two_key(&["show", "NEXT-1"]).exits(0).never_says("NOT PUSHED");
    // A stop is never taken back.
    by(world, "user1", &["withdraw", "NEXT-1", "--no-push"]).exits(0);
    world.two_key(&["undo"]).exits(0).says("nothing to undo");
    world.two_key(&["sync"]).exits(0);
    assert_eq!(world.two_key(&["show", "NEXT-1", "--format", "json"]).exits(0).json()["state"], "withdrawn");
}
