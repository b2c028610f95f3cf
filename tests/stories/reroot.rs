//! Too many keys are lost: what still works, what does not, and how people begin again from a new root.

use crate::kit::{LEASE, World};

/// Every agent and one of two humans have lost their keys; `user1` alone is left.
#[test]
fn one_key_that_is_left_stops_everything_and_puts_nothing_in_force() {
    let world = World::rolling();
    let key = world.key_file("user1");
    let key = key.to_str().unwrap();
    world.two_key(&["key", "add", "user3", &world.public_key("user3"), "--role", "human"]).exits(0);
    world.two_key(&["sign", "policy", "--key", key]).exits(0).says("waiting for");
    world.two_key(&["sign", "policy", "--key", key]).exits(1).says("already-voted");
    world.two_key(&["key", "list"]).exits(0).never_says("user3");
    world.two_key(&["promote", LEASE, "--key", key]).exits(0).says("stays at 5 %");
    world.two_key(&["halt", LEASE, "--key", key, "--reason", "the agents' keys are lost"]).exits(0).says("5 % → 0 %");
    assert_eq!(world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["state"], "halted");
}

#[test]
fn a_new_root_begins_a_new_ledger_and_the_old_trail_stays_verifiable() {
    let mut world = World::rolling();
    let key = world.key_file("user1");
    world.two_key(&["rollback", LEASE, "--key", key.to_str().unwrap()]).exits(0);
    let (old, old_root) = (world.repo().to_owned(), world.git(&["config", "two-key.root"]));

    let new = world.path().join("new");
    std::fs::create_dir(&new).unwrap();
    world.enter(&new);
    let human = format!("user1={}", world.public_key("user1"));
    let agent = format!("cp20={}", world.public_key("cp20"));
    world.two_key(&["init", "--human", &human, "--agent", &agent, "--target", "checkout-prod"]).exits(0);
    let new_root = world.git(&["config", "two-key.root"]);
    assert_ne!(new_root, old_root);
    world.two_key(&["verify", "--all"]).exits(0);

    // The old root decides nothing in the new repository, and cannot be pinned there.
    world.two_key(&["trust", &old_root]).exits(3);
    let pinned_wrongly = [("TWO_KEY_ROOT", old_root.as_str())];
    let two_key = env!("CARGO_BIN_EXE_git-two-key");
    world.run_with(&new, two_key, &["verify", "--all"], b"", &pinned_wrongly).exits(3);

    // Leases and statements of the old repository mean nothing in the new one.
    let path = format!("leases/{LEASE}.yaml");
    let lease = std::fs::read_to_string(old.join(&path)).unwrap();
    world.commit_file(&path, &lease, "Bring the old lease along");
    world.two_key(&["verify", "--all"]).exits(1).says("wrong-repository");

    // And the old trail still verifies from where it began.
    world.two_key_in(&old, &["verify", "--all"]).exits(0).says("everything counts");
}
