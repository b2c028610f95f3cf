//! `tidy`: labels of leases that ended long ago go, at the remote and here, and can be made anew.

use std::fs;

use crate::kit::{
    LEASE, Ran, World, lease,
    scene::{MAIN, Scene, digest_of, stop},
};

/// Later leases on the same target.
const OTHER: &str = "LEASE-20251028-000000";
const OPEN: &str = "LEASE-20251029-000000";

/// A clone of a server on which the usual lease was rolled back, a later one was withdrawn, and another is open, all with labels; and
/// two stop refs, one of which main has folded.
struct Tidied {
    scene: Scene,
    /// Full names: of the label that may go, of those that stay, of the stop refs.
    spent: String,
    kept: [String; 2],
    folded: String,
    waiting: String,
}

impl Tidied {
    fn new() -> Self {
        let scene = Scene::rolling();
        let world = &scene.world;
        let tag = |lease: &str, suffix: &str, commit: &str| {
            let name = format!("rollout/{lease}/{suffix}");
            world.git(&["tag", "--annotate", "--message", "A tag", &name, commit]);
            format!("refs/tags/{name}")
        };
        let spent = tag(LEASE, "1-start-5", "main");
        let halt = scene.halt("cp14", "main", 1);
        let folded = format!("refs/two-key/stops/{LEASE}/{halt}");
        world.git(&["update-ref", &folded, &halt]);
        let merge = world.git(&["commit-tree", "-p", "main", "-p", &halt, "-m", "Merge", "main^{tree}"]);
        world.git(&["update-ref", MAIN, &merge]);
        scene.turn("cp14", &stop("rollback", 2));
        for id in [OTHER, OPEN] {
            world.commit_file(&format!("leases/{id}.yaml"), &lease(id), "Propose a lease");
        }
        scene.turn("cp14", &stop("withdraw", 3).replace(LEASE, OTHER));
        let withdrawn = tag(OTHER, "1-withdraw", "main");
        let of_open =
            |fields: &str| fields.replace(LEASE, OPEN).replace(&digest_of(&lease(LEASE)), &digest_of(&lease(OPEN)));
        for (name, fields) in [("user1", "cosign"), ("cp14", "cosign")] {
            scene.turn(name, &of_open(&crate::kit::scene::forward(fields, None, None)));
        }
        scene.turn("user1", &of_open(&crate::kit::scene::forward("start", Some(1), Some(5))));
        let started = tag(OPEN, "1-start-5", "main");
        let halt = world.sign_commit(
            "cp14",
            "main",
            &crate::kit::scene::message("cp14", &stop("halt", 4).replace(LEASE, OPEN)),
        );
        let waiting = format!("refs/two-key/stops/{OPEN}/{halt}");
        world.git(&["update-ref", &waiting, &halt]);
        let url = scene.server.to_str().unwrap();
        world.git(&["remote", "add", "origin", url]);
        scene.push(&["main", "refs/tags/*:refs/tags/*", "refs/two-key/stops/*:refs/two-key/stops/*"]).exits(0);
        world.git(&["fetch", "--quiet", "--no-tags", "origin"]);
        Self { spent, kept: [withdrawn, started], folded, waiting, scene }
    }

    fn tidy(&self, args: &[&str]) -> Ran {
        self.scene.world.two_key(&[&["tidy"], args].concat())
    }

    fn here(&self, name: &str) -> String {
        let world = &self.scene.world;
        world.run(world.repo(), "git", &["rev-parse", "--verify", "--quiet", name], b"").out.trim().to_owned()
    }
}

#[test]
fn what_nobody_needs_goes_at_the_remote_and_here_and_comes_again() {
    let it = Tidied::new();
    let world = &it.scene.world;
    let verified = world.two_key(&["verify", "--all"]).exits(0);
    let label = it.here(&it.spent);
    let said = it.tidy(&["--dry-run"]).exits(0);
    assert_eq!(said.out.lines().collect::<Vec<_>>(), [it.spent.as_str(), it.folded.as_str()]);
    assert_eq!(it.scene.server_ref(&it.spent), label, "nothing is gone yet");
    it.tidy(&[])
        .exits(0)
        .says("origin: 1 label and 1 stop ref taken away")
        .says("here: 1 label and 1 stop ref taken away");
    for name in [&it.spent, &it.folded] {
        assert_eq!((it.scene.server_ref(name), it.here(name)), (String::new(), String::new()), "{name}");
    }
    for name in it.kept.iter().chain([&it.waiting]) {
        assert!(!it.scene.server_ref(name).is_empty() && !it.here(name).is_empty(), "{name}");
    }
    it.tidy(&[]).exits(0).says("origin: 0 labels and 0 stop refs taken away");
    assert_eq!(world.two_key(&["verify", "--all"]).out, verified.out);
    world.two_key(&["list", "--all", "--offline"]).exits(0).says("rolled-back");
    it.tidy(&["--restore", LEASE]).exits(0).says(LEASE);
    let target = |of: &str| world.git(&["rev-parse", &format!("{of}^{{commit}}")]);
    assert_eq!(target(&it.spent), target(&label));
    assert!(!it.scene.server_ref(&it.spent).is_empty(), "the server's hook admits it");
}

#[test]
fn a_server_is_tidied_by_its_own_hook() {
    let it = Tidied::new();
    let (world, server) = (&it.scene.world, &it.scene.server);
    let git = |args: &[&str]| world.run(server, "git", args, b"");
    // Whatever else deletes them is refused, and whatever else that verb would.
    git(&["update-ref", "-d", &it.spent]).exits(128);
    git(&["update-ref", "-d", &it.kept[1]]).exits(128);
    world.two_key_in(server, &["tidy", "--dry-run"]).exits(0).says(&it.spent).never_says(&it.kept[0]);
    world.two_key_in(server, &["tidy"]).exits(0).says("here: 1 label and 1 stop ref taken away");
    assert_eq!((it.scene.server_ref(&it.spent), it.scene.server_ref(&it.folded)), (String::new(), String::new()));
    for name in it.kept.iter().chain([&it.waiting]) {
        assert!(!it.scene.server_ref(name).is_empty(), "{name}");
    }
    world.two_key_in(server, &["tidy", "--restore", LEASE]).exits(0);
    assert!(!it.scene.server_ref(&it.spent).is_empty());
    // In what is packed, too.
    git(&["pack-refs", "--all"]).exits(0);
    world.two_key_in(server, &["tidy"]).exits(0);
    assert_eq!(it.scene.server_ref(&it.spent), "");
}

#[test]
fn a_remote_whose_refs_moved_meanwhile_keeps_them() {
    let it = Tidied::new();
    let hook = it.scene.world.repo().join(".git/hooks/pre-push");
    // Between the look and the push somebody makes the label another one.
    let other = it.scene.on_server(&["rev-parse", &it.kept[1]]).out.trim().to_owned();
    let script = format!(
        "#!/bin/sh\nunset GIT_DIR\ngit -C '{}' -c core.hooksPath=/dev/null update-ref {} {other}\n",
        it.scene.server.display(),
        it.spent
    );
    fs::write(&hook, script).unwrap();
    it.scene.world.run(it.scene.world.path(), "chmod", &["+x", hook.to_str().unwrap()], b"").exits(0);
    it.tidy(&[]).exits(3).says("not-taken: origin keeps them");
    assert_eq!(it.scene.server_ref(&it.spent), other);
    assert!(!it.scene.server_ref(&it.folded).is_empty(), "all or none");
    fs::remove_file(hook).unwrap();
    it.tidy(&[]).exits(0);
    assert_eq!(it.scene.server_ref(&it.spent), "");
}

#[test]
fn doctor_says_when_it_is_time() {
    let it = Tidied::new();
    let world = &it.scene.world;
    world.two_key(&["doctor"]).never_says("tidy: ");
    let labels: Vec<String> =
        (0..100).map(|number| format!("create refs/tags/rollout/{LEASE}/x{number} {}\n", it.here(&it.spent))).collect();
    world.run(world.repo(), "git", &["update-ref", "--stdin"], labels.concat().as_bytes()).exits(0);
    world.two_key(&["doctor"]).says("tidy: 101 labels are of leases that ended long ago").says("fix: git two-key tidy");
    let labels: Vec<String> =
        (0..200).map(|number| format!("create refs/tags/rollout/{OPEN}/x{number} {}\n", it.here(&it.spent))).collect();
    it.tidy(&[]).exits(0);
    world.run(world.repo(), "git", &["update-ref", "--stdin"], labels.concat().as_bytes()).exits(0);
    world.two_key(&["doctor"]).never_says("tidy: ");
}

#[test]
fn how_long_labels_are_kept_is_said_by_the_policy_and_never_less_than_a_day() {
    let world = World::empty();
    for (keep, ok) in [("0s", false), ("0d", false), ("86399s", false), ("1d", true), ("10d", true)] {
        let policy = world.policy() + &format!("keep: {keep}\n");
        let file = world.path().join("policy.yaml");
        fs::write(&file, policy).unwrap();
        let ran = world.two_key(&["check", file.to_str().unwrap()]);
        if ok {
            ran.exits(0);
        } else {
            ran.exits(1).says("`keep` is at least 1d");
        }
    }
}
