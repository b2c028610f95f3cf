//! What people are shown is what is so: fetched, marked where it is only here, whole, and in lines that a person reads.

use std::{fs, net::TcpListener};

use serde_json::json;

use crate::kit::{LEASE, World, lease, scene::Scene, schema::fits};

const PROGRAM: &str = env!("CARGO_BIN_EXE_git-two-key");
/// Runs a program at a terminal of its own, and prints what it said there.
const AT_TERMINAL: &str = "import pty, sys\nsys.exit(pty.spawn(sys.argv[1:]) >> 8)\n";

/// A scene whose clone follows the server.
fn following() -> Scene {
    let scene = Scene::new();
    let (world, server) = (&scene.world, scene.server.to_str().unwrap());
    world.git(&["remote", "add", "origin", server]);
    world.git(&["fetch", "--quiet", "origin"]);
    world.git(&["branch", "--quiet", "--set-upstream-to=origin/main", "main"]);
    scene
}

/// A world in a clone of one that moved on after the clone was made.
fn behind(moved_on: impl FnOnce(&World)) -> World {
    let mut world = World::authorized();
    let (origin, clone) = (world.repo().to_owned(), world.path().join("clone"));
    let root = world.git(&["config", "two-key.root"]);
    world.git(&["clone", "--quiet", origin.to_str().unwrap(), clone.to_str().unwrap()]);
    moved_on(&world);
    world.enter(&clone);
    world.git(&["config", "two-key.root", &root]);
    world
}

#[test]
fn the_status_is_coloured_at_a_terminal_and_plain_elsewhere() {
    let world = World::rolling();
    let env = [("TERM", "xterm"), ("NO_COLOR", ""), ("LC_ALL", "C.UTF-8")];
    let shown = |args: &[&str], env: &[(&str, &str)]| {
        world.run_with(world.repo(), "python3", &[&["-c", AT_TERMINAL, PROGRAM][..], args].concat(), b"", env).exits(0)
    };
    shown(&["status"], &env).says("\u{1b}[1mcheckout-prod").never_says("\\u{1b}");
    shown(&["status"], &[env[0], ("NO_COLOR", "1"), env[2]]).says("checkout-prod").never_says("\u{1b}");
    world.run_with(world.repo(), PROGRAM, &["status"], b"", &env).exits(0).never_says("\u{1b}");
}

#[test]
fn keys_verdicts_and_statements_are_those_of_the_remote() {
    let world = behind(|world| {
        let key = world.key_file("user1");
        world.turn("user1", "start", LEASE);
        world.two_key(&["key", "revoke", "cp18", "--reason", "lost", "--key", key.to_str().unwrap()]).exits(0);
    });
    let revoked = |args: &[&str]| world.two_key(&[&["key", "list"][..], args].concat()).exits(0);
    revoked(&["--offline"]).never_says("revoked");
    world.two_key(&["verify", LEASE, "--offline"]).exits(0).says("authorized");
    world.two_key(&["statement", "promote", LEASE, "--offline"]).exits(1).says("wrong-state");
    revoked(&[]).says("revoked by").never_says("NOT PUSHED");
    world.two_key(&["verify", LEASE]).exits(0).says("rolling");
    world.two_key(&["statement", "promote", LEASE]).exits(0).says("Two-Key-Tier: 25");
    // A remote is named in the same way everywhere.
    for verb in [&["key", "list"][..], &["key", "allowed-signers"], &["verify"], &["statement", "promote", LEASE]] {
        world.two_key(&[verb, &["--remote", "origin"]].concat()).exits(0);
        world.two_key(&[verb, &["--remote", "nowhere"]].concat()).exits(3).says("there is no remote `nowhere`");
    }
}

#[test]
fn what_could_not_be_decided_fits_the_schema_too() {
    let world = World::rolling();
    let nowhere = world.path().join("nowhere");
    fs::create_dir(&nowhere).unwrap();
    for args in [&["list"][..], &["status"], &["show", LEASE], &["key", "list"], &["verify"], &["doctor"]] {
        let told = world.two_key_in(&nowhere, &[args, &["--format", "json"]].concat()).exits(3).json();
        fits("failure", &told);
        assert_eq!(told["subject"], json!(null), "{told}");
    }
    fits("failure", &world.two_key(&["check", "nofile", "--format", "json"]).exits(3).json());
    // One that is refused names what.
    let told = world.two_key(&["show", "nothing", "--format", "json"]).exits(1).json();
    assert_eq!(told["subject"], json!("nothing"));
}

#[test]
fn a_revocation_that_is_only_here_is_marked_and_not_told_as_done() {
    let scene = following();
    let world = &scene.world;
    let key = world.key_file("user1");
    let revoke = |more: &[&str]| {
        let args = ["key", "revoke", "cp18", "--reason", "lost", "--key", key.to_str().unwrap()];
        world.two_key(&[&args[..], more].concat())
    };
    let unpushed = || {
        let keys = world.two_key(&["key", "list", "--format", "json"]).exits(0).json();
        keys.as_array().unwrap().iter().filter(|key| key["unpushed"] == json!(true)).count()
    };
    revoke(&["--no-push"]).exits(0);
    let marked =
        |ran: crate::kit::Ran| ran.out.lines().any(|line| line.contains("cp18") && line.contains("NOT PUSHED"));
    assert!(marked(world.two_key(&["key", "list"]).exits(0)));
    assert_eq!(unpushed(), 1);
    world.two_key(&["verify", "--all"]).exits(0).says("NOT PUSHED");
    world.two_key(&["undo"]).exits(0).says("took back");
    let server = world.git(&["remote", "get-url", "origin"]);
    world.git(&["remote", "set-url", "origin", "/nowhere/at/all"]);
    revoke(&[]).exits(3).says("NOT PUSHED").never_says("is revoked at once");
    world.git(&["remote", "set-url", "origin", &server]);
    world.two_key(&["undo"]).exits(0);
    revoke(&[]).exits(0).says("is revoked at once").says("pushed to origin");
    assert!(!marked(world.two_key(&["key", "list"]).exits(0).says("revoked by")));
    assert_eq!(unpushed(), 0);
}

#[test]
fn a_proposal_that_is_only_here_is_marked_everywhere() {
    let scene = following();
    let world = &scene.world;
    let artifact = format!("shop=sha256:{}", "ab".repeat(32));
    let propose = |id: &str, more: &[&str]| {
        let args = ["new", "--target", "checkout-prod", "--id", id, "--artifact", &artifact];
        world.two_key(&[&args[..], more].concat()).exits(0)
    };
    propose("THERE-1", &["--push"]).never_says("NOT PUSHED");
    assert!(propose("HERE-1", &[]).out.starts_with("NOT PUSHED: this proposal stays in this clone"));
    let marked = |id: &str| {
        let list = world.two_key(&["list"]).exits(0).out;
        let row = list.lines().any(|line| line.starts_with(id) && line.contains("proposed, NOT PUSHED"));
        let shown = world.two_key(&["show", id, "--format", "json"]).exits(0).json()["unpushed"].clone();
        let status = world.two_key(&["status", "checkout-prod", "--format", "json"]).exits(0).json();
        let told = status["targets"][0]["unpushed"].as_array().unwrap().iter().any(|one| one["lease"] == json!(id));
        assert_eq!((row, shown != json!([])), (told, told), "{list}\n{shown}\n{status}");
        told
    };
    assert!(marked("HERE-1") && !marked("THERE-1"));
    world.two_key(&["show", "HERE-1"]).exits(0).says("NOT PUSHED: proposal; git two-key sync pushes it");
    world.two_key(&["sync"]).exits(0);
    assert!(!marked("HERE-1"));
}

#[test]
fn undo_takes_back_votes_by_note_and_does_not_say_that_the_remote_has_what_it_has_not() {
    let scene = following();
    let world = &scene.world;
    let artifact = format!("shop=sha256:{}", "ab".repeat(32));
    let new = ["new", "--target", "checkout-prod", "--id", "NEXT-1", "--artifact", &artifact, "--push"];
    world.two_key(&new).exits(0);
    let by = |name: &str, args: &[&str]| {
        let key = world.key_file(name);
        world.two_key(&[args, &["--key", key.to_str().unwrap()]].concat()).exits(0)
    };
    // What the remote has stays.
    by("cp14", &["sign", "NEXT-1", "--as", "note"]);
    world.two_key(&["undo"]).exits(0).says("origin has all");
    by("user1", &["sign", "NEXT-1", "--as", "note", "--no-push"]);
    world.two_key(&["status"]).exits(0).says("vote by note (user1)");
    world.two_key(&["undo"]).exits(0).says("took back: the votes of user1 by note");
    world.two_key(&["status"]).exits(0).never_says("vote by note");
    assert!(!world.git(&["for-each-ref", "refs/notes/two-key/cp14"]).is_empty());
    by("user1", &["freeze", "--reason", "x", "--no-push"]);
    world.two_key(&["undo"]).exits(0).says("nothing to undo but stops").never_says("origin has all");
}

/// A scene with a rollout, in a clone where user2 has signed a promotion that is not pushed.
fn kept() -> Scene {
    let scene = following();
    scene.start();
    scene.push(&["main"]).exits(0);
    let world = &scene.world;
    world.commit_file("leases/NEXT-1.yaml", &lease("NEXT-1"), "Propose another");
    scene.push(&["main"]).exits(0);
    world.git(&["fetch", "--quiet", "origin"]);
    world.git(&["config", "two-key.key", world.key_file("user2").to_str().unwrap()]);
    world.two_key(&["promote", LEASE, "--no-push"]).exits(0);
    scene
}

/// Moves the server's main on by a commit that says nothing.
fn moves_on(scene: &Scene) {
    let world = &scene.world;
    let made = world.git(&["commit-tree", "-p", "origin/main", "-m", "Nothing", "origin/main^{tree}"]);
    scene.push(&[&format!("{made}:refs/heads/main")]).exits(0);
}

/// Holds that every view marks the vote of user2, and asks user2 no more.
fn is_marked(world: &World) {
    let vote = "NOT PUSHED: vote to promote to 25 % (user2)";
    world.two_key(&["status"]).exits(0).says(vote).says("waiting for an agent, to promote to 25 %");
    world.two_key(&["show", LEASE]).exits(0).says(vote);
    world.two_key(&["list"]).exits(0).says("rolling, NOT PUSHED");
    world.two_key(&["list", "--mine"]).exits(0).never_says("promote to 25 %");
    let doctor = world.two_key(&["doctor", "--format", "json"]).json();
    let advice = doctor["advice"].as_array().unwrap().iter().filter(|one| one["check"] == json!("unpushed")).count();
    assert_eq!(advice, 1, "{doctor}");
}

#[test]
fn a_vote_that_waits_here_is_shown_wherever_the_remote_has_got_to() {
    let scene = kept();
    let world = &scene.world;
    is_marked(world);
    moves_on(&scene);
    is_marked(world);
    world.two_key(&["sync"]).exits(0).says(&format!("user2: Promote {LEASE}"));
    world.two_key(&["status"]).exits(0).never_says("NOT PUSHED").says("waiting for an agent, to promote to 25 %");
    let doctor = world.two_key(&["doctor", "--format", "json"]).json();
    assert!(!doctor.to_string().contains("unpushed"), "{doctor}");
}

#[test]
fn a_vote_that_git_took_off_the_branch_is_shown_and_named_before_it_goes_along() {
    for moved_on in [false, true] {
        let scene = kept();
        let world = &scene.world;
        world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        if moved_on {
            moves_on(&scene);
        }
        is_marked(world);
        let along = format!("origin does not have user2: Promote {LEASE}");
        world.two_key(&["sign", "NEXT-1"]).exits(0).says(&along).says("pushed to origin");
        world.two_key(&["status"]).exits(0).never_says("NOT PUSHED").says("waiting for an agent, to promote to 25 %");
        // Taken back, it goes nowhere.
        let scene = kept();
        let world = &scene.world;
        world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        world.two_key(&["undo"]).exits(0).says("took back: Promote");
        world.two_key(&["sign", "NEXT-1"]).exits(0).never_says(&along);
        world.two_key(&["status"]).exits(0).says("waiting for a human and an agent, to promote to 25 %");
    }
}

#[test]
fn what_another_remote_has_is_not_marked_there_and_not_taken_back() {
    let scene = following();
    let world = &scene.world;
    world.commit_file("leases/NEXT-1.yaml", &lease("NEXT-1"), "Propose another");
    scene.push(&["main"]).exits(0);
    let mirror = world.path().join("mirror.git");
    world.git(&["clone", "--quiet", "--bare", scene.server.to_str().unwrap(), mirror.to_str().unwrap()]);
    world.git(&["remote", "add", "mirror", mirror.to_str().unwrap()]);
    world.git(&["config", "two-key.key", world.key_file("user2").to_str().unwrap()]);
    world.two_key(&["sign", "NEXT-1", "--remote", "mirror", "--push"]).exits(0).says("pushed to mirror");
    for verb in ["status", "list"] {
        world.two_key(&[verb, "--remote", "mirror"]).exits(0).never_says("NOT PUSHED");
        world.two_key(&[verb]).exits(0).says("NOT PUSHED");
    }
    let ran = world.two_key(&["undo"]).exits(1);
    ran.says("mirror has it, where it cannot be taken back: Cosign NEXT-1").never_says("took back");
    world.two_key(&["undo", "--remote", "mirror"]).exits(0).says("mirror has all");
    world.two_key(&["list"]).exits(0).says("NOT PUSHED");
    // What the mirror does not have can be taken back.
    world.two_key(&["sync"]).exits(0);
    world.two_key(&["sign", LEASE, "--no-push"]).exits(0);
    world.two_key(&["undo"]).exits(0).says("took back: Cosign");
}

#[test]
fn a_stop_that_a_silent_server_does_not_take_is_told_and_kept() {
    let scene = Scene::rolling();
    let world = &scene.world;
    // It takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/x.git", silent.local_addr().unwrap());
    world.git(&["remote", "add", "origin", &url]);
    world.git(&["config", "two-key.fetch", "false"]);
    let key = world.key_file("user2");
    let stop = ["halt", LEASE, "--reason", "x", "--push", "--key", key.to_str().unwrap()];
    let ran = world.two_key(&stop).exits(3).says("STOP SIGNED, NOT ON THE SERVER YET: origin does not answer");
    assert!(ran.out.starts_with("STOP SIGNED, NOT ON THE SERVER: "), "{}", ran.out);
    // Once it answers, the stop that is kept here gets there.
    world.git(&["remote", "set-url", "origin", scene.server.to_str().unwrap()]);
    world.two_key(&["sync"]).exits(0);
    scene.on_server(&["two-key", "show", LEASE]).exits(0).says("halted");
}

#[test]
fn the_status_counts_what_did_not_count() {
    let world = World::rolling();
    world.two_key(&["status"]).exits(0).never_says("did not count");
    let message = world.two_key(&["statement", "--message", "--principal", "user2", "promote", LEASE]).exits(0).out;
    world.carry("mallory", &message);
    world.two_key(&["status"]).exits(0).says("1 finding did not count; see why with: git two-key verify --all");
    assert_eq!(world.two_key(&["status", "--format", "json"]).exits(0).json()["findings"], json!(1));
}

#[test]
fn what_cannot_be_written_is_no_success() {
    let world = World::rolling();
    for verb in ["status --format json", "log --format in-toto", "verify --format json", "key allowed-signers", "list"]
    {
        let to = |file: &str| {
            let line = format!("exec '{PROGRAM}' {verb} > {file}");
            world.run_with(world.repo(), "sh", &["-c", &line], b"", &[])
        };
        to("/dev/full").exits(3).says("undecided: io: standard output is not whole");
        to("/dev/null").exits(0).never_says("undecided");
    }
}

#[test]
fn mistakes_in_configurations_are_told_in_lines() {
    let world = World::rolling();
    let file = world.path().join("wrong.yaml");
    for (verb, text) in
        [("apply", "name: [\n"), ("agent", "name: [\n"), ("apply", "name: e\nkey: k\ntargets:\n  a: {fil: x}\n")]
    {
        fs::write(&file, text).unwrap();
        let ran = world.two_key(&[verb, "--config", file.to_str().unwrap()]).exits(3);
        ran.says("'s configuration: ").never_says("\\u{a}");
    }
}
