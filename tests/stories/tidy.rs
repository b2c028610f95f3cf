//! `tidy`: labels and files of leases that ended long ago go, at the remote and here; labels can be made anew.

use std::{fs, path::Path};

use crate::kit::{
    LEASE, Ran, World, lease,
    scene::{MAIN, Scene, digest_of, forward, message, stop},
};

/// The file of the lease that ended first, which may go.
const SPENT_FILE: &str = "leases/LEASE-20251027-021913.yaml";

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
        Self::on(Scene::rolling())
    }

    /// With another policy.
    fn under(policy: impl FnOnce(&World) -> String) -> Self {
        let scene = Scene::under(policy);
        scene.start();
        scene.push(&["main"]).exits(0);
        Self::on(scene)
    }

    fn on(scene: Scene) -> Self {
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
            scene.turn(name, &of_open(&forward(fields, None, None)));
        }
        scene.turn("user1", &of_open(&forward("start", Some(1), Some(5))));
        let started = tag(OPEN, "1-start-5", "main");
        let halt = world.sign_commit("cp14", "main", &message("cp14", &stop("halt", 4).replace(LEASE, OPEN)));
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

    /// The same by a client whose clock is shifted; the server's is right.
    fn tidy_at(&self, shift: i64, args: &[&str]) -> Ran {
        let world = &self.scene.world;
        let library = world.path().join("clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kit/clock.c");
        let built = ["-shared", "-fPIC", "-o", library.to_str().unwrap(), source.to_str().unwrap()];
        world.run(world.path(), "cc", &built, b"").exits(0);
        for hook in ["pre-receive", "reference-transaction"] {
            let hook = self.scene.server.join("hooks").join(hook);
            let script = fs::read_to_string(&hook).unwrap();
            let (first, rest) = script.split_once('\n').unwrap();
            fs::write(&hook, format!("{first}\nunset LD_PRELOAD\n{rest}")).unwrap();
        }
        let env = [("LD_PRELOAD", library.to_str().unwrap()), ("CLOCK_SHIFT", &shift.to_string())];
        let args = [&["tidy"], args].concat();
        world.run_with(world.repo(), env!("CARGO_BIN_EXE_git-two-key"), &args, b"", &env)
    }

    /// Whether the server's branch has a file.
    fn there(&self, path: &str) -> bool {
        !self.scene.on_server(&["ls-tree", MAIN, path]).out.is_empty()
    }

    /// Has a hook here do something once, between the look and the push of the branch.
    fn meanwhile(&self, script: &str) {
        let world = &self.scene.world;
        let (hook, done) = (world.repo().join(".git/hooks/pre-push"), world.path().join("done"));
        let script = format!(
            "#!/bin/sh\ngrep -q refs/heads/main && test ! -e '{0}' || exit 0\ntouch '{0}'\nunset GIT_DIR\n{script}\n",
            done.display()
        );
        fs::write(&hook, script).unwrap();
        world.run(world.path(), "chmod", &["+x", hook.to_str().unwrap()], b"").exits(0);
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
    let verified = world.two_key(&["verify", "--all"]).exits(0).out;
    let verified: Vec<_> = verified.lines().skip(1).collect();
    let label = it.here(&it.spent);
    let said = it.tidy(&["--dry-run"]).exits(0);
    assert_eq!(said.out.lines().collect::<Vec<_>>(), [SPENT_FILE, it.spent.as_str(), it.folded.as_str()]);
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
    it.tidy(&[]).exits(0).says("origin: 0 labels and 0 stop refs taken away").says("origin: 0 lease files deleted");
    assert_eq!(world.two_key(&["verify", "--all"]).exits(0).out.lines().skip(1).collect::<Vec<_>>(), verified);
    world.two_key(&["list", "--all", "--offline"]).exits(0).says("rolled-back");
    let said = it.tidy(&["--restore", LEASE]).exits(0).says("3 labels made anew");
    said.says("its file was deleted, and need not come back");
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

#[test]
fn files_go_by_a_commit_on_the_branch_and_open_and_newest_ones_stay() {
    let it = Tidied::new();
    let world = &it.scene.world;
    let before = it.scene.server_ref(MAIN);
    it.tidy(&[]).exits(0).says("origin: 1 lease file deleted");
    let after = it.scene.server_ref(MAIN);
    assert_eq!(it.scene.on_server(&["rev-parse", "main^"]).out.trim(), before, "an ordinary commit on what was there");
    assert_eq!(it.scene.on_server(&["diff", "--name-status", &before, MAIN]).out, format!("D\t{SPENT_FILE}\n"));
    assert_eq!(it.here("main"), after, "the branch here went along");
    assert!(!world.repo().join(SPENT_FILE).exists(), "and its worktree");
    assert_eq!(world.git(&["status", "--porcelain", "--untracked-files=no"]), "");
    world.two_key(&["verify", "--all"]).exits(0);
    world.two_key(&["show", LEASE, "--offline"]).exits(0).says("rolled-back").says("checkout-prod");
    world.two_key(&["status"]).exits(0).never_says("NOT PUSHED");
}

#[test]
fn a_server_deletes_files_by_its_own_hook() {
    let it = Tidied::new();
    let (world, server) = (&it.scene.world, &it.scene.server);
    world.two_key_in(server, &["tidy", "--dry-run"]).exits(0).says(SPENT_FILE);
    world.two_key_in(server, &["tidy"]).exits(0).says("here: 1 lease file deleted");
    assert!(
        !it.there(SPENT_FILE) && it.there(&format!("leases/{OTHER}.yaml")) && it.there(&format!("leases/{OPEN}.yaml"))
    );
    world.two_key_in(server, &["verify", "--all"]).exits(0);
}

#[test]
fn bytes_that_the_ledger_does_not_hold_stay() {
    let it = Tidied::new();
    let path = format!("leases/more/{LEASE}.yaml");
    let server = |commit: &str| {
        it.scene.push(&[&format!("+{commit}:refs/heads/other")]).exits(0);
        it.scene.on_server(&["update-ref", MAIN, commit]).exits(0);
    };
    // Somebody's second file under the same id. To delete one of the two would be a finding.
    let main = it.scene.world.head();
    server(&it.scene.world.commit_file(&path, &(lease(LEASE) + "labels: {a: b}\n"), "Propose it again"));
    it.tidy(&[]).exits(0).says("origin: 0 lease files deleted");
    assert!(it.there(&path) && it.there(SPENT_FILE));
    // The same bytes a second time go with the first.
    it.scene.world.git(&["reset", "--quiet", "--hard", &main]);
    server(&it.scene.world.commit_file(&path, &lease(LEASE), "Copy it"));
    it.tidy(&[]).exits(0).says("origin: 2 lease files deleted");
    assert!(!it.there(&path) && !it.there(SPENT_FILE));
}

#[test]
fn files_go_although_another_push_comes_first() {
    let it = Tidied::new();
    let world = &it.scene.world;
    let server = it.scene.server.display();
    let other = world.git(&["commit-tree", "-p", "main", "-m", "Another push", "main^{tree}"]);
    it.scene.push(&[&format!("{other}:refs/heads/other")]).exits(0);
    it.meanwhile(&format!("git -C '{server}' -c core.hooksPath=/dev/null update-ref {MAIN} {other}"));
    it.tidy(&[]).exits(0).says("origin: 1 lease file deleted");
    assert_eq!(it.scene.on_server(&["rev-parse", "main^"]).out.trim(), other);
    assert!(!it.there(SPENT_FILE));
}

#[test]
fn what_another_push_deletes_meanwhile_is_not_deleted_twice() {
    let it = Tidied::new();
    let world = &it.scene.world;
    let server = it.scene.server.display();
    let main = world.head();
    world.git(&["rm", "--quiet", SPENT_FILE]);
    world.git(&["commit", "--quiet", "--message", "Delete it"]);
    let other = world.head();
    it.scene.push(&[&format!("{other}:refs/heads/other")]).exits(0);
    world.git(&["reset", "--quiet", "--hard", &main]);
    it.meanwhile(&format!("git -C '{server}' -c core.hooksPath=/dev/null update-ref {MAIN} {other}"));
    it.tidy(&[]).exits(0).says("origin: 0 lease files deleted");
    assert_eq!(it.scene.server_ref(MAIN), other);
}

#[test]
fn a_clock_that_jumped_back_takes_nothing_away() {
    let it = Tidied::new();
    let main = it.scene.server_ref(MAIN);
    // Two years, to before the leases ended.
    it.tidy_at(-730 * 86_400, &[]).exits(0).says("origin: 0 labels and 1 stop ref taken away");
    assert!(!it.scene.server_ref(&it.spent).is_empty());
    assert_eq!(it.scene.server_ref(MAIN), main, "no file went");
    it.tidy_at(0, &[]).exits(0).says("origin: 1 label and 0 stop refs").says("origin: 1 lease file deleted");
}

#[test]
fn a_clock_that_jumped_ahead_is_held_against_the_servers() {
    let it = Tidied::under(|world| world.policy() + "keep: 3650d\n");
    let main = it.scene.server_ref(MAIN);
    it.tidy(&["--dry-run"]).exits(0).never_says(&it.spent).never_says(SPENT_FILE);
    it.tidy_at(7300 * 86_400, &[]).exits(3).says("not-taken: origin keeps them").says("ended less than 3650d ago");
    assert!(!it.scene.server_ref(&it.spent).is_empty());
    assert_eq!(it.scene.server_ref(MAIN), main, "no file went");
}
