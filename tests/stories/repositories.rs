//! Every repository: one ledger has one verdict, wherever and however its objects and refs are kept, in whatever zone
//! and language it is read; and what is not all here is refused with the reason.

use std::{fs, path::Path};

use crate::kit::{
    self, LEASE, World,
    scene::{MAIN, Scene, forward, message, stop},
};

/// A ledger with some of everything: an honest rollout at 5 %, one vote that waits, one that does not count, a vote that
/// came by a merge, and a tag.
fn ledger(format: &str) -> World {
    let world = World::with_format(format);
    world.found(&world.policy());
    world.commit_file(&format!("leases/{LEASE}.yaml"), &kit::lease(LEASE), "Propose a lease");
    world.turn("user1", "cosign", LEASE);
    let aside = world.sign_commit("cp14", "main~1", &message("cp14", &forward("cosign", None, None)));
    let merge = world.git(&["commit-tree", "-p", "main", "-p", &aside, "-m", "Merge", "main^{tree}"]);
    world.git(&["update-ref", MAIN, &merge]);
    world.turn("user1", "start", LEASE);
    world.git(&["tag", "--annotate", "--message", "5 %", &format!("rollout/{LEASE}/1-start-5"), "main"]);
    world.carry("user2", &message("user2", &forward("promote", Some(2), Some(25))));
    world.carry("stranger", &message("stranger", &forward("promote", Some(2), Some(25))));
    world
}

/// All that the reading verbs say of the ledger in a folder.
fn says(world: &World, folder: &Path, env: &[(&str, &str)]) -> String {
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let ask = |args: &[&str], code: i32| {
        let ran = world.run_with(folder, program, &[args, &["--format", "json"]].concat(), b"", env);
        ran.exits(code).out
    };
    [ask(&["verify", "--all"], 1), ask(&["list"], 0), ask(&["log"], 1), ask(&["key", "list"], 0)].concat()
}

#[test]
fn the_verdict_is_one_however_objects_and_refs_are_kept() {
    for format in ["sha1", "sha256"] {
        let world = ledger(format);
        let repo = world.repo().to_owned();
        let root = world.git(&["config", "two-key.root"]);
        let whole = says(&world, &repo, &[]);
        assert!(whole.contains("unknown-key") && whole.contains("VERIFIED_2KEY"), "{whole}");
        let same = |what: &str, folder: &Path| {
            assert!(says(&world, folder, &[]) == whole, "{format}, {what}");
        };
        let beside = |name: &str, options: &[&str]| {
            let folder = world.path().join(name);
            world.git(&[&["clone", "--quiet"], options, &[repo.to_str().unwrap(), folder.to_str().unwrap()]].concat());
            world.run(&folder, "git", &["config", "two-key.root", &root], b"").exits(0);
            folder
        };
        // Two packs under one index, the rest loose, refs packed, a commit-graph beside.
        world.git(&["repack", "--quiet"]);
        world.git(&["pack-refs", "--all"]);
        world.git(&["tag", "another", "main~2"]);
        world.git(&["repack", "--quiet"]);
        world.git(&["multi-pack-index", "write"]);
        world.git(&["commit-graph", "write", "--reachable", "--changed-paths"]);
        same("packs, packed refs, commit-graph, multi-pack-index", &repo);
        world.git(&["gc", "--quiet", "--prune=now"]);
        same("collected", &repo);
        world.git(&["branch", "aaa", "main~3"]);
        world.git(&["update-ref", "refs/zzz/last", "main~1"]);
        same("more refs", &repo);
        same("a bare clone with a hard name", &beside("a: b, größer.git", &["--bare"]));
        same("alternates", &beside("borrower.git", &["--bare", "--shared"]));
        let refs = beside("reftable.git", &["--bare", "--ref-format=reftable"]);
        assert!(refs.join("reftable").is_dir());
        same("a reftable", &refs);
        let tree = world.path().join("another tree");
        world.git(&["worktree", "add", "--quiet", "--detach", tree.to_str().unwrap(), "main~4"]);
        same("a folder of a worktree", &tree.join("leases"));
        let link = world.path().join("link");
        std::os::unix::fs::symlink(&repo, &link).unwrap();
        same("a symbolic link", &link);
        // Nothing that the hook or an applier remembers is read.
        let cached = beside("cached.git", &["--bare"]);
        fs::create_dir_all(cached.join("two-key")).unwrap();
        fs::write(cached.join("two-key/checkpoint"), "{}").unwrap();
        same("a checkpoint", &cached);
        // Loose again, every object.
        let loose = world.path().join("loose.git");
        let loose_path = loose.to_str().unwrap();
        world.git(&["init", "--quiet", "--bare", &format!("--object-format={format}"), loose_path]);
        world.run(&loose, "git", &["config", "fetch.unpackLimit", "100000"], b"").exits(0);
        world.run(&loose, "git", &["config", "two-key.root", &root], b"").exits(0);
        world.run(&loose, "git", &["fetch", "--quiet", repo.to_str().unwrap(), "main:main"], b"").exits(0);
        assert_eq!(fs::read_dir(loose.join("objects/pack")).unwrap().count(), 0);
        same("loose", &loose);
    }
}

#[test]
fn the_verdict_is_one_in_every_zone_and_language_and_under_any_configuration() {
    let world = ledger("sha1");
    let whole = says(&world, world.repo(), &[]);
    let config = [
        ("GIT_CONFIG_COUNT", "6"),
        ("GIT_CONFIG_KEY_0", "core.abbrev"),
        ("GIT_CONFIG_VALUE_0", "4"),
        ("GIT_CONFIG_KEY_1", "i18n.logOutputEncoding"),
        ("GIT_CONFIG_VALUE_1", "latin1"),
        ("GIT_CONFIG_KEY_2", "log.showSignature"),
        ("GIT_CONFIG_VALUE_2", "true"),
        ("GIT_CONFIG_KEY_3", "color.ui"),
        ("GIT_CONFIG_VALUE_3", "always"),
        ("GIT_CONFIG_KEY_4", "core.commitGraph"),
        ("GIT_CONFIG_VALUE_4", "true"),
        ("GIT_CONFIG_KEY_5", "gpg.ssh.allowedSignersFile"),
        ("GIT_CONFIG_VALUE_5", "/nowhere"),
    ];
    let environments: [&[(&str, &str)]; 5] = [
        &[("TZ", "Pacific/Kiritimati")],
        &[("TZ", "America/St_Johns"), ("LC_ALL", "tr_TR.UTF-8"), ("LANGUAGE", "de")],
        &[("LC_ALL", "C"), ("COLUMNS", "20"), ("TERM", "dumb")],
        &[("GIT_NO_REPLACE_OBJECTS", "0"), ("GIT_REPLACE_REF_BASE", "refs/heads/"), ("GIT_TRACE", "0")],
        &config,
    ];
    for env in environments {
        assert!(says(&world, world.repo(), env) == whole, "{env:?}");
    }
}

#[test]
fn a_partial_or_shallow_clone_is_refused_with_the_reason_and_a_whole_one_is_not() {
    let world = ledger("sha1");
    world.git(&["config", "uploadpack.allowFilter", "true"]);
    let root = world.git(&["config", "two-key.root"]);
    let url = format!("file://{}", world.repo().display());
    let clone = |name: &str, options: &[&str]| {
        let folder = world.path().join(name);
        world.git(&[&["clone", "--quiet"], options, &[&url, folder.to_str().unwrap()]].concat());
        world.run(&folder, "git", &["config", "two-key.root", &root], b"").exits(0);
        folder
    };
    let verify = |folder: &Path| world.two_key_in(folder, &["verify", "--all"]);
    verify(&clone("whole", &[])).exits(1);
    verify(&clone("shallow", &["--depth=1"])).exits(3).says("shallow: ").says("--unshallow");
    for (name, filter) in [("blobless", "blob:none"), ("treeless", "tree:0"), ("small", "blob:limit=1k")] {
        let folder = clone(name, &[&format!("--filter={filter}")]);
        verify(&folder).exits(3).says("shallow: the repository is a partial clone").says("without --filter");
        let hook = world.two_key_in(&folder, &["hook", "install", "--root", &root]);
        assert_eq!(hook.code, 0, "{}", hook.err);
        let line = format!("{root} {} {MAIN}\n", world.head());
        let program = env!("CARGO_BIN_EXE_git-two-key");
        world.run(&folder, program, &["hook", "pre-receive"], line.as_bytes()).exits(3).says("shallow: ");
    }
    // One that has no promised pack, whose remote has promised all the same.
    let folder = clone("promised", &[]);
    for (name, value, partial) in [
        ("remote.origin.promisor", "true", true),
        ("remote.origin.promisor", "false", false),
        ("remote.origin.partialclonefilter", "blob:none", true),
        ("extensions.partialClone", "origin", true),
    ] {
        world.run(&folder, "git", &["config", name, value], b"").exits(0);
        for verb in [&["verify", "--all"][..], &["list"], &["log"], &["ci", "--base", &root, "--head", "HEAD"]] {
            let ran = world.two_key_in(&folder, verb);
            assert_eq!(
                ran.code == 3 && ran.err.contains("partial clone"),
                partial,
                "{name} {value}: {verb:?} {}",
                ran.err
            );
        }
        world.run(&folder, "git", &["config", "--unset", name], b"").exits(0);
    }
    // A stop is never held up.
    let key = world.key_file("user1").to_str().unwrap().to_owned();
    let folder = world.path().join("blobless");
    world.two_key_in(&folder, &["halt", LEASE, "--key", &key]).exits(0);
}

#[test]
fn a_repository_of_another_owner_is_read_only_where_git_is_told_that_it_is_safe() {
    let world = ledger("sha1");
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let whole = says(&world, world.repo(), &[]);
    // Git's own way to pretend; whoever runs this may not be root.
    let other = ("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let verify = world.run_with(world.repo(), program, &["verify", "--all"], b"", &[other]);
    verify.exits(3).says("no-repository: ").says("dubious ownership").says("safe.directory");
    let safe = [
        other,
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", world.repo().to_str().unwrap()),
    ];
    assert!(says(&world, world.repo(), &safe) == whole);
}

#[test]
fn a_dropped_or_altered_object_is_no_verdict_at_all() {
    let world = ledger("sha1");
    let clone = |name: &str| {
        let folder = world.path().join(name);
        world.git(&[
            "clone",
            "--quiet",
            "--bare",
            "--no-local",
            world.repo().to_str().unwrap(),
            folder.to_str().unwrap(),
        ]);
        world.run(&folder, "git", &["config", "two-key.root", &world.git(&["config", "two-key.root"])], b"").exits(0);
        // Every object in a file of its own.
        let pack = fs::read_dir(folder.join("objects/pack")).unwrap().map(|file| file.unwrap().path());
        let pack: Vec<_> = pack.filter(|path| path.extension().is_some_and(|end| end == "pack")).collect();
        let bytes = fs::read(&pack[0]).unwrap();
        fs::remove_dir_all(folder.join("objects/pack")).unwrap();
        world.run(&folder, "git", &["unpack-objects", "-q"], &bytes).exits(0);
        folder
    };
    let folder = clone("complete.git");
    world.two_key_in(&folder, &["verify", "--all"]).exits(1);
    let objects = world.git(&["rev-list", "--objects", "main"]);
    let lease = world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let policy = world.git(&["rev-parse", "main:.two-key/policy.yaml"]);
    let commits = world.git(&["rev-list", "main"]);
    let tree = world.git(&["rev-parse", "main^{tree}"]);
    let needed: Vec<_> = commits.lines().chain([lease.as_str(), &policy, &tree]).collect();
    assert!(needed.len() > 8 && needed.iter().all(|id| objects.contains(id)));
    for id in needed {
        let file = folder.join("objects").join(&id[..2]).join(&id[2..]);
        let aside = folder.join("aside");
        fs::rename(&file, &aside).unwrap();
        let ran = world.two_key_in(&folder, &["verify", "--all"]);
        assert_eq!(ran.code, 3, "without {id}: {}{}", ran.out, ran.err);
        // The bytes of another object under its name.
        let other = folder.join("objects").join(&lease[..2]).join(&lease[2..]);
        if id != lease {
            fs::copy(&other, &file).unwrap();
            let ran = world.two_key_in(&folder, &["verify", "--all"]);
            assert_eq!(ran.code, 3, "another for {id}: {}{}", ran.out, ran.err);
            fs::remove_file(&file).unwrap();
        }
        fs::rename(&aside, &file).unwrap();
    }
    world.two_key_in(&folder, &["verify", "--all"]).exits(1);
}

/// Where refs are files the hook alone is asked (`tests/stories/hooks.rs`): ten thousand files take Git its time.
#[test]
fn three_thousand_refs_in_a_push_and_none_of_them_with_a_bad_one() {
    let scene = Scene::at("server.git", "sha1", "reftable");
    scene.start();
    scene.push(&["main"]).exits(0);
    let tip = scene.world.head();
    let lines = (10_000..13_000).map(|at| format!("{tip} refs/heads/topic/{at}"));
    let packed: Vec<_> =
        std::iter::once("# pack-refs with: peeled fully-peeled sorted ".to_owned()).chain(lines).collect();
    fs::write(scene.world.repo().join(".git/packed-refs"), packed.join("\n") + "\n").unwrap();
    scene.promote("stranger");
    scene.refuses(&["refs/heads/topic/100*:refs/heads/topic/100*", "main"], MAIN, "unknown-key");
    scene.world.git(&["update-ref", MAIN, &tip]);
    scene.promote("user1");
    scene.push(&["refs/heads/topic/*:refs/heads/topic/*", "main"]).exits(0);
    let there = scene.on_server(&["for-each-ref", "--format=%(refname)", "refs/heads/topic"]).out;
    assert_eq!(there.lines().count(), 3_000);
    assert_eq!(scene.server_ref(MAIN), scene.world.head());
}

#[test]
fn symbolic_refs_in_a_reftable_are_judged_by_what_they_stand_for() {
    let scene = Scene::at("server.git", "sha1", "reftable");
    scene.start();
    scene.push(&["main"]).exits(0);
    let tag = format!("refs/tags/rollout/{LEASE}/9-promote-100");
    scene.on_server(&["symbolic-ref", "refs/heads/alias", MAIN]).exits(0);
    scene.on_server(&["symbolic-ref", "refs/heads/dangling", &tag]).exits(0);
    scene.refuses(&["main:refs/heads/dangling"], &tag, "tag-mismatch");
    scene.promote("stranger");
    scene.refuses(&["main:refs/heads/alias"], MAIN, "unknown-key");
    scene.on_server(&["symbolic-ref", MAIN, "refs/heads/absent"]).exits(0);
    let other = scene.world.git(&["commit-tree", "-m", "Another root", "main^{tree}"]);
    scene.refuses(&[&format!("{other}:refs/heads/absent")], MAIN, "not-descended");
}

#[test]
fn pushes_of_deletions_alone_are_judged_like_others() {
    for refs in ["files", "reftable"] {
        let scene = Scene::at("server.git", "sha1", refs);
        scene.start();
        let tag = scene.tag("1-start-5", "main");
        let halt = scene.halt("user1", "main", 1);
        let stop = format!("refs/two-key/stops/{LEASE}/{halt}");
        scene.push(&["main", &tag, "main:refs/heads/topic", "main:refs/heads/other"]).exits(0);
        scene.push(&[&format!("{halt}:{stop}")]).exits(0);
        for name in [MAIN, &format!("refs/tags/{tag}"), &stop] {
            for atomic in [&["--atomic"][..], &[]] {
                let deletion = format!(":{name}");
                let args = [atomic, &[":refs/heads/topic", deletion.as_str()]].concat();
                scene.refuses(&args, name, "ref-deleted");
            }
        }
        scene.push(&[":refs/heads/topic", ":refs/heads/other"]).exits(0);
        assert_eq!(scene.server_ref("refs/heads/topic"), "");
    }
}

#[test]
fn an_atomic_push_and_one_that_is_not_are_refused_whole() {
    let scene = Scene::rolling();
    let started = scene.tag("1-start-5", "main");
    scene.push(&[&started]).exits(0);
    scene.turn("user1", &stop("halt", 1));
    let tag = scene.tag("2-promote-25", "main");
    let name = format!("refs/tags/{started}");
    let deletion = format!(":{name}");
    for atomic in [&["--atomic"][..], &[]] {
        // The halt is good; a deletion is refused even beside a stop, and takes the halt with it.
        let args = [atomic, &["main", deletion.as_str(), "main:refs/heads/topic"]].concat();
        scene.refuses(&args, &name, "ref-deleted");
    }
    // So does a tag of what did not happen.
    for atomic in [&["--atomic"][..], &[]] {
        let args = [atomic, &["main", tag.as_str()]].concat();
        scene.refuses(&args, &format!("refs/tags/{tag}"), "tag-mismatch");
    }
    scene.push(&["--atomic", "main"]).exits(0);
    assert_eq!(scene.server_ref(MAIN), scene.world.head());
}
