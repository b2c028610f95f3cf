//! Pushes made to be too much
//!
//! Work is bounded before it is begun, and what is within bounds finishes.

use std::fmt::Write as _;

use crate::dsl::*;

/// Ten thousand refs in one push, with the branch among them: it is judged as if it came alone.
#[test]
fn ten_thousand_refs() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let many = (0..10_000).fold(String::new(), |mut lines, at| {
        writeln!(lines, "create refs/heads/many/{at} {tip}").unwrap();
        lines
    });
    scene.world.run(scene.world.repo(), "git", &["update-ref", "--stdin"], many.as_bytes()).exits(0);
    scene.promote("stranger");
    scene.refuses(&["main", "refs/heads/many/*"], MAIN, "unknown-key");
    scene.back_to(&tip);
    scene.promote("user1");
    scene.admits(&["main", "refs/heads/many/*"]);
}

/// A million files below `leases/`.
#[test]
fn a_million_leases() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let make = |lines: &str| {
        scene.world.run(scene.world.repo(), "git", &["mktree"], lines.as_bytes()).exits(0).out.trim().to_owned()
    };
    let folder = (0..1_000_000).fold(String::new(), |mut lines, at| {
        writeln!(lines, "100644 blob {blob}\tL{at:07}.yaml").unwrap();
        lines
    });
    let policy = scene.world.git(&["rev-parse", "main:.two-key"]);
    let tree = make(&format!("040000 tree {policy}\t.two-key\n040000 tree {}\tleases\n", make(&folder)));
    let bad = scene.world.git(&["commit-tree", "-p", "main", "-m", "Many", &tree]);
    scene.refuses(&[&format!("{bad}:main")], MAIN, "too-large");
    assert_eq!(scene.world.head(), tip);
    scene.promote("user1");
    scene.admits(&["main"]);
}

/// A carrier commit of more than 256 KiB.
#[test]
fn a_large_statement() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let text = message("cp14", &about(LEASE, "promote", 2, 25));
    let large = text.replacen("Turn a key\n", &format!("Turn a key\n\n{}\n", "x".repeat(300 << 10)), 1);
    let attack = |scene: &Scene| drop(scene.world.carry("cp14", &large));
    scene.never_counts("too-large", attack, |scene| drop(scene.promote("cp14")));
}
