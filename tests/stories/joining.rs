//! Joining a governance repository by one command, and waiting for what goes on in it.

use std::{fs, net::TcpListener, path::PathBuf};

use crate::kit::{
    LEASE, Ran, World,
    scene::{MAIN, Scene},
};

/// Joins the scene's repository by its address; the clone's folder and what was said.
fn joined(scene: &Scene, name: &str, more: &[&str]) -> (PathBuf, Ran) {
    let url = scene.server.to_str().unwrap().to_owned();
    let ran = scene.world.two_key_in(scene.world.path(), &[&["clone", &url, name][..], more].concat());
    (scene.world.path().join(name), ran)
}

#[test]
fn one_command_joins_and_the_clone_is_ready_to_read_and_to_sign_in() {
    let scene = Scene::rolling();
    let world = &scene.world;
    world.key_file("cp14");
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root, "--key", "home/keys/cp14"]);
    ran.exits(0).says("Verified: ").says("You sign here as cp14").never_says("warning");
    // Nothing is left to be said by whoever looks for what is missing.
    world.two_key_in(&clone, &["doctor"]).never_says("notes: ").never_says("observed: ").never_says("unpinned");
    world.two_key_in(&clone, &["verify", "--all"]).exits(0);
    world.two_key_in(&clone, &["promote", LEASE]).exits(0).says("pushed to origin");
    assert!(clone.join(".git/hooks/pre-push").is_file() && clone.join(".two-key/policy.yaml").is_file());
    assert_eq!(world.run(&clone, "git", &["status", "--porcelain"], b"").out, "");
    // Git's own commands know the keys.
    let tip = scene.server_ref(MAIN);
    world.run(&clone, "git", &["verify-commit", &tip], b"").exits(0).says("cp14");
    // A pull goes forward or changes nothing, whatever everybody's setting is.
    world.git(&["config", "--global", "pull.rebase", "true"]);
    let git = |args: &[&str]| world.run(&clone, "git", args, b"");
    world.two_key_in(&clone, &["halt", LEASE, "--no-push"]).exits(0);
    let signed = git(&["rev-parse", "main"]).out;
    world.git(&["fetch", "--quiet", scene.server.to_str().unwrap(), "main"]);
    let theirs = world.sign_commit("user1", "FETCH_HEAD", "Somebody else\n");
    scene.push(&[&format!("{theirs}:main")]).exits(0);
    assert_ne!(git(&["pull", "--quiet"]).code, 0);
    assert_eq!(git(&["rev-parse", "main"]).out, signed);
    world.two_key_in(&clone, &["sync"]).exits(0).says("halted");
    git(&["pull", "--quiet"]).exits(0);
}

#[test]
fn what_is_not_the_ledger_that_was_meant_leaves_nothing_behind() {
    let scene = Scene::rolling();
    let (clone, ran) = joined(&scene, "mine", &["--root", &"1".repeat(40)]);
    ran.exits(1).says("not-descended: ").says("this is not the ledger whose root you were given").never_says("trust");
    assert!(!clone.exists());
    let (_, ran) = joined(&scene, "mine", &["--root", "1234"]);
    ran.exits(2);
    // A commit of it that is no root of a ledger.
    let (clone, ran) = joined(&scene, "mine", &["--root", &"1".repeat(64)]);
    ran.exits(1).says("not-descended: ");
    assert!(!clone.exists());
    // What is there already stays as it is.
    fs::create_dir(&clone).unwrap();
    fs::write(clone.join("file"), "mine\n").unwrap();
    let (_, ran) = joined(&scene, "mine", &["--root", &scene.root]);
    ran.exits(1).says("ambiguous: ");
    assert_eq!(fs::read_to_string(clone.join("file")).unwrap(), "mine\n");
    let ran = scene.world.two_key_in(scene.world.path(), &["clone", "/nowhere", "other", "--root", &scene.root]);
    ran.exits(3).says("unreachable: ").never_says("internal");
    assert!(!scene.world.path().join("other").exists());
    // Somebody whom the policy does not know reads, and is told.
    scene.world.key_file("mallory");
    let (clone, ran) = joined(&scene, "read", &["--root", &scene.root, "--key", "home/keys/mallory"]);
    ran.exits(0).says("nobody can sign here yet").says("unknown-key");
    scene.world.two_key_in(&clone, &["list"]).exits(0);
}

#[test]
fn a_clone_of_another_branch_gets_the_governed_one() {
    let world = World::empty();
    let root = world.found(&world.policy().replace("branch: main", "branch: governed"));
    world.git(&["branch", "--quiet", "governed"]);
    let url = world.repo().to_str().unwrap().to_owned();
    world.two_key_in(world.path(), &["clone", &url, "mine", "--root", &root]).exits(0);
    let clone = world.path().join("mine");
    assert_eq!(world.run(&clone, "git", &["rev-parse", "governed"], b"").exits(0).out.trim(), root);
    world.two_key_in(&clone, &["list"]).exits(0);
}

/// What the server's HEAD names, anybody may push.
#[test]
fn a_clone_stands_on_the_governed_branch_whatever_head_says() {
    let scene = Scene::rolling();
    scene.on_server(&["symbolic-ref", "HEAD", "refs/heads/master"]).exits(0);
    scene
        .world
        .two_key_in(&scene.server, &["doctor"])
        .says("HEAD is refs/heads/master")
        .says("git symbolic-ref HEAD refs/heads/main");
    for pushed in [false, true] {
        if pushed {
            scene.push(&["main~1:refs/heads/master"]).exits(0);
        }
        let (clone, ran) = joined(&scene, &format!("mine-{pushed}"), &["--root", &scene.root]);
        ran.exits(0);
        let git = |args: &[&str]| scene.world.run(&clone, "git", args, b"").exits(0).out;
        assert_eq!(git(&["symbolic-ref", "HEAD"]).trim(), MAIN);
        assert_eq!(git(&["status", "--porcelain"]), "");
        git(&["pull", "--quiet"]);
    }
    scene.on_server(&["symbolic-ref", "HEAD", MAIN]).exits(0);
    scene.world.two_key_in(&scene.server, &["doctor"]).never_says("HEAD is");
}

#[test]
fn whoever_waits_is_told_what_came_of_it_by_the_exit_code() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root]);
    ran.exits(0);
    let wait = |args: &[&str]| world.two_key_in(&clone, &[&["wait"][..], args].concat());
    wait(&["checkout-prod", "--for", "rolling"]).exits(0).says("rolling");
    wait(&[LEASE, "--for", "halted", "--timeout", "0s"]).exits(4).says("stale: ").says("is still rolling after 0s");
    wait(&[LEASE, "--for", "withdrawn"]).exits(1).says("wrong-state: ");
    wait(&["nothing", "--for", "rolling"]).exits(1).says("unknown-lease: ");
    wait(&[LEASE, "--for", "nirvana"]).exits(2);
    wait(&[LEASE, "--for", "rolling", "--timeout", "soon"]).exits(2);
    // What reached no server did not come about there.
    let key = world.key_file("user2");
    let (elsewhere, ran) = joined(&scene, "theirs", &["--root", &scene.root, "--key", key.to_str().unwrap()]);
    ran.exits(0);
    world.two_key_in(&elsewhere, &["halt", LEASE, "--no-push"]).exits(0);
    let waits = || world.two_key_in(&elsewhere, &["wait", LEASE, "--for", "halted", "--timeout", "0s"]);
    waits().exits(4).says("is still rolling");
    // It is seen once it is on the server, by somebody who was already waiting.
    let mut waiting = world.command(&clone, env!("CARGO_BIN_EXE_git-two-key"));
    let mut waiting = waiting.args(["wait", LEASE, "--for", "halted", "--timeout", "90s"]).spawn().unwrap();
    let key = world.key_file("user1");
    let server = scene.server.to_str().unwrap();
    world.git(&["remote", "add", "origin", server]);
    world.two_key(&["halt", LEASE, "--push", "--key", key.to_str().unwrap()]).exits(0);
    assert!(waiting.wait().unwrap().success());
    waits().exits(0).says("halted");
    wait(&[LEASE, "--for", "completed", "--timeout", "90s"])
        .exits(1)
        .says("it is halted, and cannot get there any more");
}

#[test]
fn an_agents_own_no_is_signed_and_seen_until_the_lease_awaits_it_no_more() {
    let scene = Scene::new();
    let world = &scene.world;
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root]);
    ran.exits(0);
    let by = |who: &str, args: &[&str]| {
        let key = world.key_file(who);
        world.two_key_in(&clone, &[args, &["--key", key.to_str().unwrap()]].concat())
    };
    by("cp14", &["refuse", LEASE]).exits(2).says("--reason");
    by("user1", &["refuse", LEASE, "--reason", "no"]).exits(1).says("wrong-role: ");
    by("mallory", &["refuse", LEASE, "--reason", "no"]).exits(1).says("unknown-key: ");
    by("cp14", &["refuse", LEASE, "--check", "ci", "--reason", "build 4711 is red"]).exits(0).says("pushed to origin");
    let shown = world.two_key_in(&clone, &["show", LEASE]).exits(0);
    shown.says("cp14").says("build 4711 is red").says("ci");
    world.two_key_in(&scene.server, &["show", LEASE]).exits(0).says("build 4711 is red");
    assert_eq!(world.run(&clone, "git", &["status", "--porcelain"], b"").out, "");
    // It stops nothing, and is gone once the same agent signs.
    by("cp14", &["sign", LEASE]).exits(0).says("pushed to origin");
    world.two_key_in(&clone, &["show", LEASE]).exits(0).never_says("build 4711 is red");
    by("cp14", &["refuse", LEASE, "--reason", "late"]).exits(1).says("wrong-state: ");
}

#[test]
fn a_file_that_no_worktree_takes_keeps_nobody_from_joining() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let tip = scene.server_ref(MAIN);
    let blob = world.run(world.repo(), "git", &["hash-object", "-w", "--stdin"], b"x\n").exits(0).out;
    let tree = world.git(&["ls-tree", "-z", &tip]) + &format!("100644 blob {}\t{}\0", blob.trim(), "n".repeat(300));
    let tree = world.run(world.repo(), "git", &["mktree", "-z"], tree.as_bytes()).exits(0).out;
    let ordinary = world.git(&["commit-tree", "-p", &tip, "-m", "Ordinary", tree.trim()]);
    scene.push(&[&format!("{ordinary}:main")]).exits(0);
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root]);
    ran.exits(0).says("warning: ").says("nnn is left out of the worktree: ");
    assert!(clone.join(".two-key/policy.yaml").is_file() && clone.join("leases").is_dir());
    world.two_key_in(&clone, &["list"]).exits(0).says(LEASE);
    // What is not there is no change of somebody's.
    let status = world.run(&clone, "git", &["status", "--porcelain"], b"").exits(0).out;
    assert!(status.lines().all(|line| line.starts_with(" D") && line.contains("nnn")), "{status}");
}

#[test]
fn a_name_that_was_in_the_way_of_another_is_gone_after_the_next_verb() {
    let scene = Scene::rolling();
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root]);
    ran.exits(0);
    let git = |args: &[&str]| scene.world.run(&clone, "git", args, b"");
    // Who may write to a forge, which has no hook, puts the one there, and later the other.
    let unhooked = ["-c", "core.hooksPath=/dev/null"];
    let there = |args: &[&str]| scene.world.run(&scene.server, "git", &[&unhooked, args].concat(), b"").exits(0);
    let tip = scene.server_ref(MAIN);
    there(&["update-ref", "refs/two-key/x", &tip]);
    git(&["fetch", "--quiet"]).exits(0);
    there(&["update-ref", "-d", "refs/two-key/x"]);
    there(&["update-ref", "refs/two-key/x/y", &tip]);
    assert_ne!(git(&["fetch", "--quiet"]).code, 0, "Git itself is stuck");
    scene.world.two_key_in(&clone, &["status"]).exits(0);
    git(&["fetch", "--quiet"]).exits(0);
}

#[test]
fn a_vote_that_does_more_by_now_is_not_pushed_unasked() {
    let scene = Scene::rolling();
    let world = &scene.world;
    for name in ["user1", "user2", "cp14"] {
        world.key_file(name);
    }
    let clone = |name: &str| joined(&scene, name, &["--root", &scene.root, "--key", &format!("home/keys/{name}")]).0;
    let [person, other, agent] = ["user2", "user1", "cp14"].map(clone);
    world.two_key_in(&person, &["promote", LEASE, "--offline"]).exits(0).says("stays at 5 %");
    // Alone it does what was shown.
    let tip = scene.server_ref(MAIN);
    world.two_key_in(&other, &["freeze", "--reason", "a look"]).exits(0);
    world.two_key_in(&agent, &["thaw"]).exits(0);
    world.two_key_in(&other, &["thaw"]).exits(0);
    assert_ne!(scene.server_ref(MAIN), tip);
    world.two_key_in(&agent, &["promote", LEASE]).exits(0).says("stays at 5 %");
    let tip = scene.server_ref(MAIN);
    let more = "now it does more: ";
    world.two_key_in(&person, &["sync"]).exits(1).says("stale: ").says(more).says("5 % → 25 %").says("--yes");
    // Nor does it come along with something else.
    let new = ["new", "--target", "checkout-prod", "--artifact", &format!("shop=sha256:{}", "ab".repeat(32)), "--push"];
    world.two_key_in(&person, &new).exits(1).says(more);
    assert_eq!(scene.server_ref(MAIN), tip, "nothing reached the server");
    world.two_key_in(&person, &["sync", "--yes"]).exits(0).says("5 % → 25 %");
    assert_ne!(scene.server_ref(MAIN), tip);
}

#[test]
fn the_list_of_keys_for_gits_own_commands_follows_the_policy() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root]);
    ran.exits(0);
    world.two_key_in(&clone, &["doctor"]).never_says("signers: ");
    world.key_file("fresh");
    let add = ["key", "add", "user1", "home/keys/fresh.pub"];
    world
        .two_key_in(world.repo(), &[&add[..2], &["user1", world.path().join(add[3]).to_str().unwrap()]].concat())
        .exits(0);
    for name in ["user1", "cp14"] {
        world.two_key(&["sign", "policy", "--no-push", "--key", world.key_file(name).to_str().unwrap()]).exits(0);
    }
    scene.push(&["main"]).exits(0);
    world.run(&clone, "git", &["pull", "--quiet"], b"").exits(0);
    world.two_key_in(&clone, &["doctor"]).says("signers: ").says("git two-key doctor --fix");
    world.two_key_in(&clone, &["sync"]).exits(0);
    world.two_key_in(&clone, &["doctor"]).never_says("signers: ");
    let list = clone.join(".git/two-key/allowed_signers");
    let listed = fs::read_to_string(&list).unwrap();
    assert!(listed.contains(world.public_key("fresh").split(' ').nth(1).unwrap()), "{listed}");
    // What somebody wrote over it is mended, whatever its first line says.
    fs::write(&list, listed.replace("valid-after", "valid-before")).unwrap();
    world.two_key_in(&clone, &["doctor"]).says("signers: ");
    world.two_key_in(&clone, &["doctor", "--fix"]).never_says("signers: cannot");
    assert_eq!(fs::read_to_string(&list).unwrap(), listed);
    // Steps that change no key leave it as it is; one that is dated before them has it made anew.
    let key = world.key_file("cp14").to_str().unwrap().to_owned();
    world.two_key_in(&clone, &["promote", LEASE, "--no-push", "--key", &key]).exits(0);
    world.two_key_in(&clone, &["doctor"]).never_says("signers: ");
    world.two_key_in(&clone, &["undo"]).exits(0);
    // Where it cannot be written, what was signed gets there all the same.
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    let key = world.key_file("cp14").to_str().unwrap().to_owned();
    world.two_key_in(&clone, &["promote", LEASE, "--no-push", "--key", &key]).exits(0);
    let tip = scene.server_ref(MAIN);
    world.two_key_in(&clone, &["sync"]).exits(0).says("warning: ").says("allowed_signers");
    assert_ne!(scene.server_ref(MAIN), tip);
}

#[test]
fn a_principal_that_nobody_is_did_not_do_nothing() {
    let world = World::rolling();
    world.two_key(&["log", "--principal", "cp14"]).exits(0).says("COSIGNED");
    world.two_key(&["log", "--principal", "user2"]).exits(0).never_says("COSIGNED");
    world.two_key(&["log", "--principal", "cp41"]).exits(1).says("not-found: ").says("did you mean cp14?");
}

#[test]
fn a_stop_of_a_target_where_nothing_runs_ends_no_proposal() {
    let world = World::authorized();
    let key = world.key_file("cp14").to_str().unwrap().to_owned();
    let stop = |verb: &str, what: &str| world.two_key(&[verb, what, "--key", &key]);
    for verb in ["halt", "rollback", "pause"] {
        stop(verb, "checkout-prod").exits(1).says("wrong-state: ").says("git two-key withdraw");
    }
    // Where the remote is not asked, the lease may run there.
    let dry = ["halt", "checkout-prod", "--offline", "--dry-run", "--key", &key];
    world.two_key(&dry).exits(0).says("withdrawn");
    world.two_key(&["pause", "checkout-prod", "--offline", "--key", &key]).exits(1).says("wrong-state: ");
    // Whoever names the lease means it.
    stop("halt", LEASE).exits(0).says("withdrawn");
    let world = World::rolling();
    let key = world.key_file("cp14").to_str().unwrap().to_owned();
    world.two_key(&["halt", "checkout-prod", "--key", &key]).exits(0).says("5 % → 0 %, halted");
}

#[test]
fn a_root_in_the_middle_of_a_ledger_is_warned_of() {
    let scene = Scene::rolling();
    let says = "is not where this ledger begins";
    let tip = scene.server_ref(MAIN);
    let (clone, ran) = joined(&scene, "late", &["--root", &tip]);
    ran.exits(0).says(&format!("warning: {tip} {says}"));
    scene.world.two_key_in(&clone, &["trust", &scene.root]).exits(0).never_says(says);
    let (_, ran) = joined(&scene, "whole", &["--root", &scene.root]);
    ran.exits(0).never_says(says);
}

#[test]
fn who_waits_for_a_remote_that_says_nothing_is_told_what_is_signed() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root]);
    ran.exits(0);
    let key = world.key_file("user1");
    let halt = ["halt", LEASE, "--key", key.to_str().unwrap()];
    // It takes the connection, and that is all.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/governance.git", mute.local_addr().unwrap());
    let git = |args: &[&str]| world.run(&clone, "git", args, b"").exits(0);
    git(&["remote", "set-url", "origin", &url]);
    let ran = world.two_key_in(&clone, &halt).exits(3);
    ran.says("STOP SIGNED, NOT ON THE SERVER: origin did not answer within 10 s")
        .says("STOP SIGNED, NOT ON THE SERVER YET");
    world.two_key_in(&clone, &["status", "--offline"]).says("NOT PUSHED: halt");
    world.two_key_in(&clone, &["doctor"]).exits(1).says("remote: origin did not answer within 3 s");
    git(&["remote", "set-url", "origin", scene.server.to_str().unwrap()]);
    world.two_key_in(&clone, &["doctor"]).never_says("remote: ");
    world.two_key_in(&clone, &["sync"]).exits(0).says("halted").never_says("has not answered");
}

#[test]
fn a_stop_made_on_the_server_itself_goes_where_appliers_look() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let key = world.key_file("user1");
    let main = scene.server_ref(MAIN);
    world
        .two_key_in(&scene.server, &["halt", LEASE, "--key", key.to_str().unwrap()])
        .exits(0)
        .says("where appliers look");
    assert_eq!(scene.server_ref(MAIN), main);
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root, "--key", key.to_str().unwrap()]);
    ran.exits(0);
    assert_eq!(scene.on_server(&["for-each-ref", "refs/two-key/stops"]).out.lines().count(), 1);
    // It is in force with the next that goes to main.
    world.two_key_in(&clone, &["sync"]).exits(0).says("halted");
    assert_ne!(scene.server_ref(MAIN), main);
}

#[test]
fn switches_are_read_as_git_reads_them() {
    let scene = Scene::rolling();
    let key = scene.world.key_file("user2");
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root, "--key", key.to_str().unwrap()]);
    ran.exits(0);
    let main = scene.server_ref(MAIN);
    let promote = |value: &str| {
        scene.world.run(&clone, "git", &["config", "two-key.push", value], b"").exits(0);
        scene.world.two_key_in(&clone, &["promote", LEASE])
    };
    let before = scene.world.run(&clone, "git", &["rev-parse", "main"], b"").out;
    assert_ne!(promote("never").says("bad boolean config value").never_says("internal").code, 0);
    assert_eq!(scene.world.run(&clone, "git", &["rev-parse", "main"], b"").out, before);
    promote("").exits(0).says("NOT PUSHED");
    assert_eq!(scene.server_ref(MAIN), main);
    scene.world.two_key_in(&clone, &["undo"]).exits(0);
    promote("yes").exits(0).says("pushed to origin");
    assert_ne!(scene.server_ref(MAIN), main);
}

#[test]
fn what_others_changed_under_somebodys_edit_is_named() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let change = |text: &str| {
        world.commit_file("NOTES", text, "Note");
        scene.push(&["main"]).exits(0);
    };
    change("one\n");
    let (clone, ran) = joined(&scene, "mine", &["--root", &scene.root]);
    ran.exits(0);
    let says = "warning: NOTES has changes of yours that are not committed, and others changed it";
    change("two\n");
    world.two_key_in(&clone, &["sync"]).exits(0).never_says(says);
    assert_eq!(fs::read_to_string(clone.join("NOTES")).unwrap(), "two\n");
    fs::write(clone.join("NOTES"), "two\nmine\n").unwrap();
    change("three\n");
    world.two_key_in(&clone, &["sync"]).exits(0).says(says).says("git diff HEAD -- NOTES");
    assert_eq!(fs::read_to_string(clone.join("NOTES")).unwrap(), "two\nmine\n");
    // A file that is not there has no changes of anybody's.
    fs::remove_file(clone.join("NOTES")).unwrap();
    change("three and a half\n");
    world.two_key_in(&clone, &["sync"]).exits(0).never_says(says);
    // Whoever has the same change already loses nothing.
    fs::write(clone.join("NOTES"), "four\n").unwrap();
    world.run(&clone, "git", &["add", "NOTES"], b"").exits(0);
    change("four\n");
    world.two_key_in(&clone, &["sync"]).exits(0).never_says(says);
}
