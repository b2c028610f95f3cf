//! One secret in two wrappings
//!
//! A key is its point, of the large prime order, whatever its wrapping and sign.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};

use crate::{
    dsl::*,
    kit::software::{Key, strings},
};

/// The secret of a principal's key, held in software as if by a FIDO authenticator.
fn hardware(name: &str) -> Key {
    let secret: [u8; 32] = Sha256::digest(format!("two-key test key of {name}").as_bytes()).into();
    let secret = SigningKey::from_bytes(&secret);
    let public = strings(&[b"sk-ssh-ed25519@openssh.com", secret.verifying_key().as_bytes(), b"ssh:"]);
    Key { secret, public, ..Key::hardware(1, 1) }
}

/// A line that seals what such a key signed.
fn sealed(name: &str, action: &str, fields: &str) -> String {
    let key = hardware(name);
    let blob = STANDARD.encode(key.blob("two-key", statement(fields).as_bytes()));
    format!("Two-Key-Cosignature: {name} {action} ssh {} {blob}\n", STANDARD.encode(&key.public))
}

/// The wrapping of a key in the policy's own words.
fn line(name: &str) -> String {
    format!("sk-ssh-ed25519@openssh.com {}", STANDARD.encode(hardware(name).public))
}

/// For a human and an agent.
#[test]
fn for_a_human_and_an_agent() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let twice = policy.replace(&scene.world.public_key("cp18"), &line("user1"));
    assert_ne!(twice, policy);
    scene.never_counts("same-key", |scene| scene.enact(&twice), |scene| scene.enact(&policy));
}

/// The same policy with another point in place of an agent's.
fn with_point(scene: &Scene, point: [u8; 32]) -> String {
    let policy = next(&scene.world.policy(), 2);
    let line = format!("ssh-ed25519 {}", STANDARD.encode(strings(&[b"ssh-ed25519", &point])));
    let twice = policy.replace(&scene.world.public_key("cp18"), &line);
    assert_ne!(twice, policy);
    twice
}

/// For the agent, plus a point of small order.
#[test]
fn with_a_part_of_small_order() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let sum = hardware("user1").secret.verifying_key().to_edwards() + EIGHT_TORSION[1];
    let twice = with_point(&scene, sum.compress().to_bytes());
    scene.never_counts("malformed", |scene| scene.enact(&twice), |scene| scene.enact(&policy));
}

/// For the agent, negated.
#[test]
fn with_the_other_sign() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let mut point = hardware("user1").secret.verifying_key().to_bytes();
    point[31] ^= 0x80;
    let twice = with_point(&scene, point);
    scene.never_counts("same-key", |scene| scene.enact(&twice), |scene| scene.enact(&policy));
}

/// Voting in both.
#[test]
fn voting_in_both() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let fields = about(LEASE, "promote", 2, 25);
    let (again, other) = (sealed("user1", "promote", &fields), sealed("cp14", "promote", &fields));
    let seal = |line: String| {
        let fields = fields.clone();
        move |scene: &Scene| drop(scene.unsigned(&fields, &line))
    };
    scene.never_counts("same-key", seal(again), seal(other));
}

/// Voting after it was revoked in one.
#[test]
fn one_of_them_revoked() {
    let scene = Scene::rolling();
    scene.promote("user1");
    scene.revoke("user2", "cp14");
    let fields = about(LEASE, "promote", 2, 25);
    let (revoked, other) = (sealed("cp14", "promote", &fields), sealed("cp18", "promote", &fields));
    let seal = |line: String| {
        let fields = fields.clone();
        move |scene: &Scene| drop(scene.unsigned(&fields, &line))
    };
    scene.never_counts("revoked-key", seal(revoked), seal(other));
}
