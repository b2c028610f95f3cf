//! Keys and signatures that minisign itself makes.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::dsl::*;

/// The policy in which the usual second agent signs with minisign.
pub fn policy(world: &World) -> String {
    let args = ["-G", "-W", "-f", "-p", "mini.pub", "-s", "mini.sec"];
    world.run(world.path(), "minisign", &args, b"").exits(0);
    world.policy().replace(&world.public_key("cp18"), &format!("minisign {}", key(world)))
}

fn key(world: &World) -> String {
    let file = std::fs::read_to_string(world.path().join("mini.pub")).unwrap();
    file.lines().nth(1).unwrap().to_owned()
}

/// A line that seals cp18's signature over a statement of these fields.
pub fn sealed(scene: &Scene, action: &str, fields: &str) -> String {
    let world = &scene.world;
    std::fs::write(world.path().join("statement"), statement(fields)).unwrap();
    let args = ["-S", "-s", "mini.sec", "-m", "statement", "-x", "statement.minisig"];
    world.run(world.path(), "minisign", &args, b"").exits(0);
    let file = std::fs::read(world.path().join("statement.minisig")).unwrap();
    format!("Two-Key-Cosignature: cp18 {action} minisign {} {}\n", key(world), STANDARD.encode(file))
}
