//! What was judged is what moves: governed refs between the verdict and the move, and at anybody else's hands.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::kit::{
    self, LEASE, World,
    scene::{MAIN, Scene, digest_of, message, stop},
};

fn write_hook(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Has something done on the server once, between the verdict on a push and its first move.
fn in_between(scene: &Scene, script: &str) {
    let once = scene.world.path().join("once");
    fs::write(&once, "").unwrap();
    let script = format!(
        "#!/bin/sh\nrm {} 2>/dev/null || exit 0\nunset $(git rev-parse --local-env-vars) GIT_QUARANTINE_PATH\n{script}\nexit 0\n",
        once.display()
    );
    write_hook(&scene.server.join("hooks/update"), &script);
}

#[test]
fn nobody_but_an_admitted_push_moves_a_governed_ref() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let tag = scene.tag("1-start-5", "main");
    scene.push(&[&tag]).exits(0);
    let next = scene.world.commit_file("README", "Read me\n", "Write");
    scene.push(&[&format!("{next}:refs/heads/topic")]).exits(0);
    let on_server = |args: &[&str]| scene.world.run(&scene.server, "git", args, b"");
    let before = on_server(&["for-each-ref"]).out;
    for (args, reason) in [
        (&["update-ref", MAIN, next.as_str()][..], "unjudged: "),
        (&["update-ref", MAIN, &next, &tip], "unjudged: "),
        (&["branch", "--force", "main", "topic"], "unjudged: "),
        (&["update-ref", "refs/heads/MAIN", &next], "unjudged: "),
        (&["update-ref", "refs/two-key/appliers/edge1", &next], "unjudged: "),
        (&["update-ref", "refs/notes/two-key/user1", &next], "unjudged: "),
        (&["update-ref", &format!("refs/tags/rollout/{LEASE}/2-promote-25"), &next], "unjudged: "),
        (&["update-ref", &format!("refs/two-key/stops/{LEASE}/{tip}"), &next], "unjudged: "),
        (&["update-ref", "-d", MAIN], "ref-deleted: "),
        (&["update-ref", "-d", MAIN, &tip], "ref-deleted: "),
        (&["tag", "--delete", &tag], "ref-deleted: "),
    ] {
        let ran = on_server(args).says(reason);
        assert_ne!(ran.code, 0, "{args:?}");
        assert_eq!(on_server(&["for-each-ref"]).out, before, "{args:?}");
    }
    // Other refs are nobody's business, and a push is admitted as ever.
    on_server(&["update-ref", "refs/heads/topic", &tip]).exits(0);
    on_server(&["branch", "-D", "topic"]).exits(0);
    scene.push(&["main"]).exits(0);
    assert_eq!(scene.server_ref(MAIN), next);
}

#[test]
fn packed_refs_stay_governed() {
    let scene = Scene::rolling();
    let tag = scene.tag("1-start-5", "main");
    scene.push(&[&tag]).exits(0);
    let on_server = |args: &[&str]| scene.world.run(&scene.server, "git", args, b"");
    let before = on_server(&["for-each-ref"]).out;
    for args in [&["pack-refs", "--all"][..], &["gc", "--quiet"]] {
        on_server(args).exits(0);
        assert_eq!(on_server(&["for-each-ref"]).out, before);
        assert!(!scene.server.join(MAIN).exists(), "its file is gone, and nothing held that up");
    }
    let tip = scene.server_ref(MAIN);
    assert_ne!(on_server(&["update-ref", "-d", MAIN]).says("ref-deleted: ").code, 0);
    assert_ne!(on_server(&["update-ref", "-d", MAIN, &tip]).says("ref-deleted: ").code, 0);
    scene.promote("user1");
    scene.push(&["main"]).exits(0);
    assert_ne!(on_server(&["update-ref", "-d", MAIN]).says("ref-deleted: ").code, 0);
    assert_eq!(scene.server_ref(MAIN), scene.world.head());
}

#[test]
fn a_push_that_names_where_main_only_gets_to_moves_nothing() {
    for stop_beside in [false, true] {
        let scene = Scene::rolling();
        let before = scene.world.head();
        let halt = scene.halt("user1", "main", 1);
        scene.world.git(&["update-ref", MAIN, &halt]);
        scene.push(&["main"]).exits(0);
        let tree = scene.world.git(&["rev-parse", "main^{tree}"]);
        let there = scene.world.git(&["commit-tree", "-p", &halt, "-m", "Ordinary", &tree]);
        scene.world.git(&["branch", "ordinary", &there]);
        let evil = scene.world.git(&["commit-tree", "-p", &before, "-m", "Before the halt", &tree]);
        let stop = scene.halt("cp14", "main", 2);
        let name = format!("refs/two-key/stops/{LEASE}/{stop}");
        let repo = scene.world.repo().display();
        in_between(&scene, &format!("git -C {repo} push -q {} ordinary:main", scene.server.display()));
        let moves = [(there.as_str(), evil.as_str(), MAIN), ("", &stop, &name)];
        let said = scene.receives(if stop_beside { &moves } else { &moves[..1] });
        assert!(said.contains("stale: "), "{said}");
        let chain = scene.on_server(&["rev-list", "--first-parent", MAIN]).out;
        assert!(chain.contains(&halt), "the halt is still on the ledger");
        // The stop alone, and the next honest push, go in.
        assert!(scene.receives(&moves[1..]).contains(&format!("ok {name}")));
        scene.push(&[&format!("{there}:main")]).exits(0);
    }
}

#[test]
fn what_was_judged_for_one_value_never_moves_another() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let judged = scene.promote("user1");
    scene.world.git(&["branch", "judged"]);
    scene.world.git(&["reset", "--quiet", "--hard", &tip]);
    let winner = scene.world.commit_file("README", "Read me\n", "Write");
    let repo = scene.world.repo().display();
    in_between(&scene, &format!("git -C {repo} push -q {} main:main", scene.server.display()));
    let said = scene.receives(&[(&tip, &judged, MAIN)]);
    assert!(said.contains(&format!("ng {MAIN}")), "{said}");
    assert_eq!(scene.server_ref(MAIN), winner);
}

#[test]
fn a_tag_never_comes_without_its_transition() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.promote("user1");
    scene.promote("cp14");
    let votes = scene.world.head();
    let tag = format!("refs/tags/{}", scene.tag("2-promote-25", "main"));
    let object = scene.world.git(&["rev-parse", &tag]);
    scene.world.git(&["reset", "--quiet", "--hard", &tip]);
    let other = scene.world.commit_file("README", "Read me\n", "Write");
    let repo = scene.world.repo().display();
    in_between(&scene, &format!("git -C {repo} push -q {} main:main", scene.server.display()));
    // Main is outrun after the verdict; its tag, in a transaction of its own, stays away too.
    scene.receives(&[(&tip, &votes, MAIN), ("", &object, &tag)]);
    assert_eq!((scene.server_ref(MAIN), scene.server_ref(&tag)), (other, String::new()));
    // So does one that asks to go before its main.
    scene.world.git(&["reset", "--quiet", "--hard", "HEAD"]);
    let tree = scene.world.git(&["rev-parse", "main^{tree}"]);
    let merge = scene.world.git(&["commit-tree", "-p", "main", "-p", &votes, "-m", "Carry over", &tree]);
    scene.world.git(&["reset", "--quiet", "--hard", &merge]);
    scene.tag("2-promote-25", "main");
    let object = scene.world.git(&["rev-parse", &tag]);
    let old = scene.server_ref(MAIN);
    let said = scene.receives(&[("", &object, &tag), (&old, &merge, MAIN)]);
    assert!(said.contains("unjudged: "), "{said}");
    assert_eq!(scene.server_ref(&tag), "");
    // In its order, and at once, both come.
    scene.receives(&[(&old, &merge, MAIN), ("", &object, &tag)]);
    assert_eq!((scene.server_ref(MAIN), scene.server_ref(&tag)), (merge, object));
}

#[test]
fn symbolic_refs_move_as_what_they_stand_for() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.on_server(&["symbolic-ref", "refs/heads/alias", MAIN]).exits(0);
    scene.promote("user1");
    scene.push(&["main:refs/heads/alias"]).exits(0);
    assert_eq!(scene.server_ref(MAIN), scene.world.head());
    let on_server = |args: &[&str]| scene.world.run(&scene.server, "git", args, b"");
    assert_ne!(on_server(&["update-ref", "refs/heads/alias", &tip]).says("unjudged: ").code, 0);
    let tip = scene.world.head();
    scene.on_server(&["update-ref", "refs/heads/trunk", &tip]).exits(0);
    scene.on_server(&["symbolic-ref", MAIN, "refs/heads/trunk"]).exits(0);
    // Founded by a push to what main stands for, a moment ago: that move is no way back.
    let founded = scene.world.head();
    scene.on_server(&["update-ref", "-d", "refs/heads/trunk"]).exits(0);
    scene.push(&["main:refs/heads/trunk"]).exits(0);
    scene.promote("cp14");
    scene.push(&["main:refs/heads/trunk"]).exits(0);
    assert_ne!(on_server(&["update-ref", "refs/heads/trunk", &founded]).says("unjudged: ").code, 0);
    assert_ne!(on_server(&["update-ref", "refs/heads/trunk", &tip]).says("unjudged: ").code, 0);
    assert_eq!(scene.server_ref(MAIN), scene.world.head());
}

/// How many races there are: a few, unless somebody wants more.
#[allow(clippy::disallowed_methods, reason = "a test's own size")]
fn races() -> usize {
    std::env::var("TWO_KEY_RACES").ok().and_then(|count| count.parse().ok()).unwrap_or(24)
}

/// Two pushes at once, each delayed by chance on both sides of its verdict, one of them often with an old value that main has only
/// if the other comes in between. Whoever wins, main's first-parent chain has only grown.
#[test]
fn of_pushes_that_race_none_takes_anything_away() {
    let scene = Scene::rolling();
    // Git runs these around the moves.
    let delay = "#!/bin/sh\nsleep 0.0$(($$ % 7))\nexit 0\n";
    write_hook(&scene.server.join("hooks/update"), delay);
    let judge = fs::read_to_string(scene.server.join("hooks/pre-receive")).unwrap();
    write_hook(
        &scene.server.join("hooks/pre-receive"),
        &judge.replacen("#!/bin/sh\n", "#!/bin/sh\nsleep 0.0$(($$ % 5))\n", 1),
    );
    let tree = scene.world.git(&["rev-parse", "main^{tree}"]);
    let commit = |parent: &str, message: &str| scene.world.git(&["commit-tree", "-p", parent, "-m", message, &tree]);
    let mut moved = 0;
    for race in 0..races() {
        let old = scene.server_ref(MAIN);
        let (left, right) = (commit(&old, &format!("Left {race}")), commit(&old, &format!("Right {race}")));
        let before = scene.on_server(&["rev-parse", &format!("{old}~1")]).out.trim().to_owned();
        let back = commit(&before, &format!("Back {race}"));
        let second = match race % 3 {
            0 => (old.as_str(), right.as_str()),
            1 => (left.as_str(), right.as_str()),
            _ => (left.as_str(), back.as_str()),
        };
        let won = AtomicUsize::new(0);
        thread::scope(|scope| {
            for (from, to) in [(old.as_str(), left.as_str()), second] {
                let (scene, won) = (Pusher::of(&scene), &won);
                scope.spawn(move || {
                    if scene.receives(from, to).contains(&format!("ok {MAIN}")) {
                        won.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let chain = scene.on_server(&["rev-list", "--first-parent", MAIN]).out;
        assert!(chain.lines().any(|id| id == old), "race {race}: main has lost {old}");
        let length = chain.lines().position(|id| id == old).unwrap();
        assert_eq!(
            length,
            won.load(Ordering::Relaxed).min(1),
            "race {race}: main moved as often as a push was told so"
        );
        moved += length;
    }
    assert_eq!(moved, races(), "somebody wins each race");
    scene.world.git(&["fetch", "--quiet", scene.server.to_str().unwrap(), "main"]);
    scene.world.git(&["reset", "--quiet", "--hard", "FETCH_HEAD"]);
    scene.world.two_key(&["verify", "--all"]).exits(0);
}

/// What it takes to push from another thread.
struct Pusher {
    server: String,
    repo: String,
}

impl Pusher {
    fn of(scene: &Scene) -> Self {
        Self { server: scene.server.display().to_string(), repo: scene.world.repo().display().to_string() }
    }

    /// One move of main, by `git receive-pack` itself.
    fn receives(&self, old: &str, new: &str) -> String {
        let line = format!("{old} {new} {MAIN}\\0report-status");
        let length = line.len() - 1 + 4;
        let script = format!(
            "{{ printf '%04x{line}' {length}; printf 0000; echo {new} | git -C '{}' pack-objects --quiet --revs --stdout; }} \
             | git receive-pack '{}'",
            self.repo, self.server
        );
        let output = hermetic("sh").args(["-c", &script]).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

/// A program without anybody's configuration.
#[allow(clippy::disallowed_methods, reason = "a test's own child")]
fn hermetic(program: &str) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.env("HOME", "/nonexistent").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("TWO_KEY_ROOT", "");
    command
}

#[test]
fn a_server_goes_by_its_own_settings() {
    let scene = Scene::rolling();
    let server = scene.server.to_str().unwrap();
    let world = &scene.world;
    // The pusher's root is not the server's.
    let stranger = "1".repeat(40);
    let vote = |name| drop(scene.turn(name, &kit::scene::forward("promote", Some(2), Some(25))));
    vote("stranger");
    let as_stranger = [("TWO_KEY_ROOT", stranger.as_str())];
    world
        .run_with(world.repo(), "git", &["push", "--quiet", server, "main"], b"", &as_stranger)
        .exits(1)
        .says("unknown-key: ");
    world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    vote("user1");
    world.run_with(world.repo(), "git", &["push", "--quiet", server, "main"], b"", &as_stranger).exits(0);
    // In a namespace names mean other refs.
    let upload = "--receive-pack=GIT_NAMESPACE=other git-receive-pack";
    world.run(world.repo(), "git", &["push", upload, server, "main"], b"").exits(1).says("foreign-ref: ");
    // What Git itself finds wrong with objects' form is refused before anybody reads it.
    for (name, value) in [("receive.advertiseAtomic", "off"), ("receive.shallowUpdate", "on")] {
        scene.on_server(&["config", name, value]).exits(0);
    }
    let said = world.two_key_in(&scene.server, &["doctor"]).exits(1).says("receive.fsckObjects is not true");
    said.says("receive.advertiseAtomic is not true").says("receive.shallowUpdate is not false");
    world.two_key(&["hook", "install", server]).exits(0).says("hooks/reference-transaction").says("hooks/pre-receive");
    world.two_key_in(&scene.server, &["doctor"]).never_says("settings: ").never_says("hook: ");
    let odd =
        world.run(world.repo(), "git", &["hash-object", "-t", "commit", "-w", "--stdin", "--literally"], b"tree x\n");
    let odd = format!("{}:refs/heads/odd", odd.out.trim());
    assert_ne!(world.run(world.repo(), "git", &["push", server, &odd], b"").code, 0);
    fs::remove_file(scene.server.join("hooks/reference-transaction")).unwrap();
    world.two_key_in(&scene.server, &["doctor"]).exits(1).says("the reference-transaction hook is not installed");
}

#[test]
fn hooks_are_installed_for_one_repository_alone() {
    let world = World::founded();
    let root = world.git(&["config", "two-key.root"]);
    let account = world.path().join("account");
    let init = |name: &str| {
        let server = world.path().join(name);
        world.git(&["init", "--quiet", "--bare", server.to_str().unwrap()]);
        server
    };
    let install = |server: &Path| {
        let args = ["hook", "install", "--root", &root];
        let global = world.path().join("global");
        fs::write(&global, format!("[core]\n\thooksPath = {}\n", account.display())).unwrap();
        let program = env!("CARGO_BIN_EXE_git-two-key");
        world.run_with(server, program, &args, b"", &[("GIT_CONFIG_GLOBAL", global.to_str().unwrap())])
    };
    for there in [false, true] {
        if there {
            fs::create_dir(&account).unwrap();
        }
        let server = init("one.git");
        install(&server).exits(1).says("ambiguous: ").says("core.hooksPath");
        assert!(!account.exists() || fs::read_dir(&account).unwrap().next().is_none());
        assert!(!server.join("hooks/pre-receive").exists());
        assert_eq!(world.run(&server, "git", &["config", "two-key.root"], b"").out, "", "nothing is half done");
        world.run(&server, "git", &["config", "core.hooksPath", "hooks"], b"").exits(0);
        install(&server).exits(0);
        assert!(server.join("hooks/pre-receive").exists() && server.join("hooks/reference-transaction").exists());
        fs::remove_dir_all(&server).unwrap();
    }
    // Nor by a link to a folder that several share.
    let server = init("two.git");
    fs::remove_dir_all(server.join("hooks")).unwrap();
    std::os::unix::fs::symlink(&account, server.join("hooks")).unwrap();
    let program = env!("CARGO_BIN_EXE_git-two-key");
    world.run(&server, program, &["hook", "install", "--root", &root], b"").exits(1).says("ambiguous: ");
}

/// Something else where the hook keeps what it admitted: it says what to do, lets stops in meanwhile, and goes on once that is done.
#[test]
fn what_is_in_the_hooks_way_is_named_with_what_removes_it() {
    let scene = Scene::rolling();
    let kept = scene.server.join("two-key");
    let old = scene.server_ref(MAIN);
    let new = scene.promote("user1");
    let record = digest_of(&format!("{old} {new} {MAIN}")).replace("sha256:", "");
    let file = |path: &Path| fs::write(path, "in the way").unwrap();
    let folder = |path: &Path| fs::create_dir(path).unwrap();
    for (nonce, (within, make)) in
        [("", &file as &dyn Fn(&Path)), ("admitted", &file), (&format!("admitted/{record}"), &folder)]
            .iter()
            .enumerate()
    {
        fs::remove_dir_all(&kept).unwrap();
        let path = if within.is_empty() { kept.clone() } else { kept.join(within) };
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        make(&path);
        let ran = scene.push(&["main"]).exits(1).says("undecided: io: writing to ");
        let hint = "rm -rf '";
        let command = ran.err.split(hint).nth(1).unwrap().split('\'').next().unwrap().to_owned();
        assert_eq!(scene.server_ref(MAIN), old);
        let halt =
            scene.world.sign_commit("user2", &old, &message("user2", &stop("pause", u8::try_from(nonce).unwrap())));
        scene.push(&[&format!("{halt}:refs/two-key/stops/{LEASE}/{halt}")]).exits(0);
        assert_eq!(Path::new(&command).file_name(), kept.file_name());
        scene.world.run(&scene.server, "rm", &["-rf", &command], b"").exits(0);
        fs::create_dir_all(&kept).unwrap();
    }
    scene.push(&["main"]).exits(0);
    assert_eq!(scene.server_ref(MAIN), new);
}

#[test]
fn what_the_hook_keeps_is_for_whom_the_repository_is() {
    for (shared, folder, file) in [("umask", 0o700, 0o600), ("group", 0o2770, 0o660), ("0640", 0o2750, 0o640)] {
        let scene = Scene::new();
        fs::remove_dir_all(scene.server.join("two-key")).unwrap();
        scene.on_server(&["config", "core.sharedRepository", shared]).exits(0);
        for _ in 0..17 {
            scene.world.commit_file("README", &scene.world.head(), "Write");
        }
        scene.push(&["main"]).exits(0);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let kept = scene.server.join("two-key");
        assert_eq!((mode(&kept), mode(&kept.join("admitted"))), (folder, folder), "{shared}");
        for folder in [kept.clone(), kept.join("admitted")] {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
                assert_eq!(mode(&entry.path()), file, "{shared}: {}", entry.path().display());
            }
        }
    }
}
