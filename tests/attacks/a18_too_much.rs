//! Pushes made to be too much
//!
//! Work is bounded before it is begun, and what is within bounds finishes. What a push brings is counted together, whichever
//! ref brings it.

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

/// A long history behind each of two stop refs: what a push brings is counted together, whichever ref brings it.
#[test]
fn long_histories_behind_stops() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let stop_behind = |name: &str, commits: usize| {
        let history = history(name, &tip, commits);
        scene.world.run(scene.world.repo(), "git", &["fast-import", "--quiet"], &history).exits(0);
        let halt = scene.halt("user1", name, 1);
        format!("{halt}:refs/two-key/stops/{LEASE}/{halt}")
    };
    let (one, other) = (stop_behind("one", 50_001), stop_behind("other", 50_000));
    let named = other.split_once(':').unwrap().1;
    scene.refuses(&[&one, &other], named, "too-large");
    scene.admits(&[&other]);
}

/// A branch of so many commits without a change, as `git fast-import` reads it.
fn history(name: &str, from: &str, commits: usize) -> Vec<u8> {
    let mut stream = String::new();
    for number in 0..commits {
        let from = if number == 0 { format!("from {from}\n") } else { String::new() };
        let (who, words) = ("committer A <a@example.com> 1761530400 +0000", format!("{name} {number}"));
        writeln!(stream, "commit refs/heads/{name}\n{who}\ndata {}\n{words}\n{from}", words.len()).unwrap();
    }
    stream.into_bytes()
}
