//! The kit itself: what it makes is what `git` and `ssh-keygen` take for real, and the same each time.

use crate::kit::World;

#[test]
fn derived_keys_are_keys_to_ssh_keygen_and_git() {
    let world = World::founded();
    assert!(world.fingerprint("user1").starts_with("SHA256:"));
    assert_ne!(world.fingerprint("user1"), world.fingerprint("cp14"));
    let commit = world.carry("user1", "Say something\n");
    let allowed = world.path().join("allowed");
    std::fs::write(&allowed, format!("user1 {}\n", world.public_key("user1"))).unwrap();
    let setting = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
    world.git(&["-c", &setting, "verify-commit", &commit]);
    assert!(world.detached("user1", "text").starts_with("-----BEGIN SSH SIGNATURE-----"));
}

#[test]
fn two_worlds_are_the_same_to_the_byte() {
    let (one, other) = (World::founded(), World::founded());
    assert_eq!(one.carry("user1", "Say something\n"), other.carry("user1", "Say something\n"));
}
