//! Objects that Git cannot read, or that are too large
//!
//! Objects are read byte for byte as Git reads them, or carry nothing; the ledger goes on.

use std::fs;

use crate::dsl::*;

/// Commits whose bytes only look like a commit with main's tip for a parent.
fn unreadable(scene: &Scene) -> [(&'static str, String); 5] {
    let (tree, tip) = (scene.world.git(&["rev-parse", "main^{tree}"]), scene.world.head());
    let who = "A <a@example> 1761530400 +0000";
    let rest = format!("author {who}\ncommitter {who}\n\nA commit\n");
    [
        ("nothing follows the parent", format!("tree {tree}\nparent {tip}\n")),
        ("a digit more", format!("tree {tree}\nparent {tip}0\n{rest}")),
        ("a digit less", format!("tree {tree}\nparent {}\n{rest}", &tip[1..])),
        ("no tree", format!("parent {tip}\n{rest}")),
        ("its tree is its parent", format!("tree {tip}\nparent {tip}\n{rest}")),
    ]
}

impl Scene {
    /// Writes a commit of any bytes, on no branch.
    fn loose(&self, raw: &[u8]) -> String {
        let args = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
        self.world.run(self.world.repo(), "git", &args, raw).exits(0).out.trim().to_owned()
    }

    /// Puts main where no Git would put it.
    fn put_main_at(&self, commit: &str) {
        fs::write(self.world.repo().join(".git").join(MAIN), format!("{commit}\n")).unwrap();
    }
}

/// A last line `parent <old tip>` without line feed.
#[test]
fn a_parent_without_its_line_feed() {
    let scene = Scene::rolling();
    let (tree, tip) = (scene.world.git(&["rev-parse", "main^{tree}"]), scene.world.head());
    let odd = scene.loose(format!("tree {tree}\nparent {tip}").as_bytes());
    assert_eq!(scene.world.git(&["rev-list", "--count", &odd]), "1");
    // As main's tip it takes everything away; as a second parent it brings in itself.
    scene.refuses(&[&format!("+{odd}:{MAIN}")], MAIN, "ref-rewound");
    scene.merge(&odd);
    scene.admits_main();
    scene.promote("user1");
    scene.admits_main();
    let verified = |folder: &std::path::Path| scene.world.two_key_in(folder, &["verify", "--all"]).exits(0).out;
    let clone = scene.world.path().join("fresh");
    let server = scene.world.path().join("server.git");
    scene.world.git(&["clone", "--quiet", server.to_str().unwrap(), clone.to_str().unwrap()]);
    scene.world.run(&clone, "git", &["config", "two-key.root", &scene.root], b"").exits(0);
    assert_eq!(verified(&clone), verified(scene.world.repo()));
}

/// An unreadable commit as second parent.
#[test]
fn a_second_parent_that_git_cannot_read() {
    let scene = Scene::rolling();
    for (what, raw) in unreadable(&scene) {
        let bad = scene.loose(raw.as_bytes());
        let merge = scene.merge(&bad);
        let listed = scene.world.run(scene.world.repo(), "git", &["rev-list", &merge], b"");
        assert_ne!(listed.code, 0, "{what}: Git reads it");
        let verdict = scene.world.two_key(&["verify", "--all", "--format", "json"]).exits(1).json();
        let found: Vec<_> = verdict["findings"].as_array().unwrap().iter().map(|one| one["reason"].as_str()).collect();
        assert!(found.iter().all(|reason| *reason == Some("malformed")) && !found.is_empty(), "{what}: {found:?}");
        scene.world.two_key(&["list"]).exits(0);
    }
    // Votes behind it count as they do without it.
    let before = scene.shown(LEASE)["desired"].clone();
    scene.both_promote();
    assert_ne!(scene.shown(LEASE)["desired"], before);
    scene.world.two_key(&["log"]).exits(1);
    // Before it is pushed, our own hook says what is wrong with it.
    let push = format!("{MAIN} {} {MAIN} {}\n", scene.world.head(), scene.server_ref(MAIN));
    let program = env!("CARGO_BIN_EXE_git-two-key");
    scene.world.run(scene.world.repo(), program, &["hook", "pre-push"], push.as_bytes()).exits(1).says("malformed");
}

/// An unreadable commit as main's tip.
#[test]
fn a_tip_that_git_cannot_read() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    for (what, raw) in unreadable(&scene) {
        let bad = scene.loose(raw.as_bytes());
        scene.put_main_at(&bad);
        for verb in [&["list"][..], &["verify", "--all"], &["show", LEASE]] {
            let ran = scene.world.two_key(verb);
            assert_eq!(ran.code, 1, "{what}: {verb:?}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains("malformed"), "{what}: {}", ran.err);
        }
        let push = format!("{MAIN} {bad} {MAIN} {tip}\n");
        let program = env!("CARGO_BIN_EXE_git-two-key");
        scene.world.run(scene.world.repo(), program, &["hook", "pre-push"], push.as_bytes()).exits(1).says("malformed");
        let ci = ["ci", "--base", &tip, "--head", &bad, "--method", "fast-forward"];
        scene.world.two_key(&ci).exits(1).says("malformed");
        scene.put_main_at(&tip);
        scene.world.two_key(&["list"]).exits(0);
    }
    scene.promote("user1");
    scene.admits_main();
}

/// A huge commit on main, or merged.
#[test]
fn a_commit_that_is_too_large_to_be_held() {
    let scene = Scene::rolling();
    let (tree, tip) = (scene.world.git(&["rev-parse", "main^{tree}"]), scene.world.head());
    let who = "A <a@example> 1761530400 +0000";
    let large = format!("tree {tree}\nparent {tip}\nauthor {who}\ncommitter {who}\n\n{}", "x".repeat(20 << 20));
    let aside = scene.loose(large.as_bytes());
    scene.forge_commit(large.replace("A <a@example>", "B <b@example>").as_bytes());
    scene.merge(&aside);
    scene.admits_main();
    scene.promote("user1");
    scene.admits_main();
    scene.world.two_key(&["verify", "--all"]).exits(0);
    // One with a statement is too large for that.
    let stating = large.replace("\n\nx", "\n\nTwo-Key-Statement: 1\nx");
    scene.refuses_but_takes(
        "too-large",
        |scene| drop(scene.forge_commit(stating.replace(&tip, &scene.world.head()).as_bytes())),
        |scene| drop(scene.promote("cp14")),
    );
}

/// A huge note, and a huge file beside the ledger.
#[test]
fn files_beside_the_ledger_that_are_too_large() {
    let scene = Scene::rolling();
    let large = vec![b'x'; (16 << 20) + 1];
    let blob = scene.world.run(scene.world.repo(), "git", &["hash-object", "-w", "--stdin"], &large).exits(0).out;
    let (blob, annotated) =
        (blob.trim().to_owned(), scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]));
    let tree = scene.world.run(
        scene.world.repo(),
        "git",
        &["mktree"],
        format!("100644 blob {blob}\t{annotated}\n").as_bytes(),
    );
    let note = scene.world.git(&["commit-tree", "-m", "A note", tree.exits(0).out.trim()]);
    scene.world.git(&["update-ref", "refs/notes/two-key/user2", &note]);
    scene.refuses(&["refs/notes/two-key/user2"], "refs/notes/two-key/user2", "too-large");
    // What stands where notes and an applier's word are looked for need not be a commit either.
    scene.world.git(&["update-ref", "refs/notes/two-key/user1", &blob]);
    scene.world.git(&["update-ref", "refs/two-key/appliers/edge1", &blob]);
    for verb in [&["list"][..], &["show", LEASE], &["log"], &["verify", "--all"]] {
        scene.world.two_key(verb).exits(0);
    }
    scene.promote("user1");
    scene.admits_main();
}

/// Trees that Git's own readers read differently.
#[test]
fn trees_that_can_be_read_in_two_ways() {
    let scene = Scene::rolling();
    let root = |name: &str| scene.world.git(&["rev-parse", &format!("main:{name}")]);
    let entry = |mode: &str, name: &str, id: &str| {
        let id: Vec<u8> =
            (0..id.len() / 2).map(|at| u8::from_str_radix(&id[at * 2..at * 2 + 2], 16).unwrap()).collect();
        [format!("{mode} {name}\0").as_bytes(), &id].concat()
    };
    let write = |bytes: Vec<u8>| {
        let args = ["hash-object", "-t", "tree", "-w", "--literally", "--stdin"];
        scene.world.run(scene.world.repo(), "git", &args, &bytes).exits(0).out.trim().to_owned()
    };
    let (policy, leases) = (root(".two-key"), root("leases"));
    let top = |leases: &str| write([entry("40000", ".two-key", &policy), entry("40000", "leases", leases)].concat());
    let sorted = top(&leases);
    let turned = write([entry("40000", "leases", &leases), entry("40000", ".two-key", &policy)].concat());
    let path = write(entry("100644", "a/b.yaml", &root(&format!("leases/{LEASE}.yaml"))));
    let on = |tree: &str| {
        let commit = scene.world.git(&["commit-tree", "-p", "main", "-m", "Trees", tree]);
        scene.world.git(&["update-ref", MAIN, &commit]);
    };
    for tree in [turned, top(&path)] {
        scene.refuses_but_takes("malformed", |_| on(&tree), |_| on(&sorted));
    }
}
