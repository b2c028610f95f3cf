//! Reading verbs, through the binary, on repositories made with plain Git and ssh-keygen.

mod kit;

use kit::{LEASE, World};

#[test]
fn smoke() {
    let world = World::rolling();
    world.turn("cp14", "promote", LEASE);
    for args in [
        vec!["verify"],
        vec!["verify", LEASE],
        vec!["list"],
        vec!["list", "--format", "json"],
        vec!["show", LEASE],
        vec!["show", "checkout-prod", "--format", "json"],
        vec!["log"],
        vec!["log", "--format", "json"],
        vec!["key", "list"],
        vec!["key", "allowed-signers"],
        vec!["statement", "halt", LEASE],
        vec!["show", "nope"],
        vec!["show", "n/o"],
        vec!["statement", "start", LEASE],
    ] {
        let ran = world.two_key(&args);
        println!("$ git two-key {}\n{}{}[{}]\n", args.join(" "), ran.out, ran.err, ran.code);
    }
}
