//! What a person reads when something does not go as planned: one line that says what happened, with other programs' words
//! folded beneath it; and every list tells what has become of what it lists.

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    kit::{LEASE, Ran, World, lease},
    signing::Scene,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_git-two-key");

/// The first line of what a program complains of.
fn first(ran: &Ran) -> &str {
    ran.err.lines().next().unwrap_or_default()
}

/// A folder with a program of that name, for the front of a path.
fn shim(world: &World, name: &str, script: &str) -> PathBuf {
    let folder = world.path().join(format!("shim-{name}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), script).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// The path that programs are found on, with a folder before it.
fn before(folder: &Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

fn promote(world: &World, key: &Path, env: &[(&str, &str)]) -> Ran {
    let args = ["promote", LEASE, "--no-push", "--key", key.to_str().unwrap()];
    world.run_with(world.repo(), PROGRAM, &args, b"", env)
}

#[test]
fn what_programs_say_of_a_key_is_folded_beneath_one_line_that_names_what_is_wrong() {
    let world = World::rolling();
    let key = world.path().join("key");
    fs::write(&key, "garbage\n").unwrap();
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    let ran = promote(&world, &key, &[]).exits(3).says("no private key that ssh-keygen can read").says("  | ");
    assert!(first(&ran).starts_with("two-key: undecided: no-key: "), "{}", ran.err);
    // Such a key is no key for others to read either.
    fs::copy(world.key_file("cp14"), &key).unwrap();
    fs::write(world.path().join("key.pub"), world.public_key("cp14")).unwrap();
    mode(0o644);
    let ran = promote(&world, &key, &[]).exits(3).says("chmod 600 ").says("  | ");
    assert!(first(&ran).starts_with("two-key: undecided: not-signed: others can read the key file"), "{}", ran.err);
    mode(0o600);
    promote(&world, &key, &[]).exits(0);
}

#[test]
fn a_disk_that_is_full_and_a_program_that_is_not_there_are_not_the_keys_fault() {
    let world = World::rolling();
    let key = world.key_file("cp14");
    let real = world.run(world.path(), "sh", &["-c", "command -v git"], b"").exits(0).out;
    let script = |says: &str| {
        format!(
            "#!/bin/sh\nfor word; do if [ \"$word\" = commit-tree ]; then echo '{says}' >&2; exit 128; fi; done\nexec {} \"$@\"\n",
            real.trim()
        )
    };
    let full = shim(&world, "git", &script("fatal: unable to write loose object file: No space left on device"));
    let path = before(&full);
    let ran = promote(&world, &key, &[("PATH", &path)]).exits(3).says("nothing can be written here").says("make room");
    assert!(first(&ran).starts_with("two-key: undecided: io: "), "{}", ran.err);
    ran.never_says("--key FILE");
    fs::write(full.join("git"), script("error: cannot run ssh-keygen: No such file or directory")).unwrap();
    let ran = promote(&world, &key, &[("PATH", &path)]).exits(3).says("`ssh-keygen` is not installed");
    assert!(first(&ran).starts_with("two-key: undecided: not-found: "), "{}", ran.err);
    ran.never_says("--key FILE");
    promote(&world, &key, &[]).exits(0);
}

#[test]
fn who_interrupts_a_signer_leaves_nothing_behind() {
    let world = World::rolling();
    let (scratch, begun) = (world.path().join("scratch"), world.path().join("begun"));
    fs::create_dir(&scratch).unwrap();
    let slow = world.path().join("slow");
    fs::write(&slow, format!("#!/bin/sh\n: > {}\nexec sleep 600\n", begun.display())).unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    world.git(&["config", "gpg.ssh.program", slow.to_str().unwrap()]);
    let left = || fs::read_dir(&scratch).unwrap().count();
    let key = world.key_file("user1");
    let mut command = world.command(world.repo(), PROGRAM);
    command.env("TMPDIR", &scratch).args(["promote", LEASE, "--no-push", "--key", key.to_str().unwrap()]);
    let mut running = command.spawn().unwrap();
    while !begun.exists() {
        std::thread::yield_now();
    }
    assert!(left() > 0, "the signer works in a folder of its own");
    let id = running.id().to_string();
    world.run(world.path(), "kill", &["-INT", &id], b"").exits(0);
    assert!(!running.wait().unwrap().success());
    assert_eq!(left(), 0);
    // Nobody interrupts this one.
    world.git(&["config", "--unset", "gpg.ssh.program"]);
    promote(&world, &key, &[("TMPDIR", scratch.to_str().unwrap())]).exits(0);
    assert_eq!(left(), 0);
}

#[test]
fn a_date_ahead_of_the_clock_does_not_get_into_a_signature() {
    let scene = Scene::of(World::proposed());
    let key = scene.world.key_file("cp14");
    let dated = |date: &str, lease: &str| {
        let env = [("GIT_COMMITTER_DATE", date), ("GIT_AUTHOR_DATE", date)];
        let args = ["sign", lease, "--key", key.to_str().unwrap()];
        scene.world.run_with(scene.world.repo(), PROGRAM, &args, b"", &env).exits(0).says("pushed to origin");
        scene.world.git(&["log", "-1", "--format=%ct", "main"]).parse::<i64>().unwrap()
    };
    assert!(dated("@4102444800 +0000", LEASE) < 4_102_444_800);
    let other = lease("LEASE-20251027-040000");
    scene.world.commit_file("leases/LEASE-20251027-040000.yaml", &other, "Propose");
    // As for Git, one that is not ahead of it does.
    assert_eq!(dated("@1761600000 +0000", "LEASE-20251027-040000"), 1_761_600_000);
}

#[test]
fn a_reason_that_is_no_utf_8_stops_no_stop() {
    let scene = Scene::of(World::rolling());
    let key = scene.world.key_file("user1");
    let mut command = scene.world.command(scene.world.repo(), PROGRAM);
    command.args(["halt", LEASE, "--key", key.to_str().unwrap(), "--reason"]);
    command.arg(std::ffi::OsStr::from_bytes(b"errors \xff rise"));
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    scene.world.two_key(&["log", "--event", "HALTED"]).exits(0).says("errors \u{fffd} rise");
}

#[test]
fn while_frozen_what_waits_for_keys_is_the_end_of_the_freeze() {
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    world.git(&["config", "two-key.key", world.key_file("user1").to_str().unwrap()]);
    let mine = || world.two_key(&["list", "--mine"]).exits(0);
    let awaits = || world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["awaits"].clone();
    mine().says("to promote to 25 %");
    assert_eq!((awaits()["first"].clone(), awaits()["who"][0].clone()), (json!(null), json!("user1")));
    scene.by("user1", &["freeze"]).exits(0);
    scene.by("cp14", &["thaw"]).exits(0);
    let asked = "which has cp14, waits for a human, to end the freeze (user1, user2)";
    mine().says(asked).never_says("to promote");
    world
        .two_key(&["status"])
        .exits(0)
        .says(asked)
        .says("waiting for the end of the freeze, then a human and an agent");
    world.two_key(&["list", "--short"]).exits(0).says("1 rolling, frozen, 1 for you");
    assert_eq!((awaits()["first"].clone(), awaits()["who"].clone()), (json!("the end of the freeze"), json!([])));
    world.git(&["config", "two-key.key", world.key_file("cp14").to_str().unwrap()]);
    mine().says("nothing waits for your key");
    scene.by("user1", &["thaw"]).exits(0);
    mine().says("to promote to 25 %").never_says("freeze");
}

#[test]
fn a_stop_that_a_server_keeps_off_main_is_told_as_it_is() {
    let scene = Scene::of(World::rolling());
    let hook = scene.server.join("hooks/reference-transaction");
    let own = fs::read(&hook).unwrap();
    let script = "#!/bin/sh\n[ \"$1\" = prepared ] || exit 0\ngrep -q refs/heads/main || exit 0\n\
        echo 'two-key: refused refs/heads/main: unjudged: not today' >&2\nexit 1\n";
    fs::write(&hook, script).unwrap();
    let told = scene.by("user1", &["halt", LEASE]).exits(0);
    told.says("unjudged: not today").says("pushed to origin as refs/two-key/stops/").never_says("cannot be reached");
    let status = scene.world.two_key(&["status"]).exits(0);
    status.says("NOT ON THE BRANCH: halt (user1); origin has it as a stop of its own").never_says("NOT PUSHED: halt");
    // One that the server does not have at all.
    scene.by("user1", &["freeze", "--no-push"]).exits(0);
    scene.world.two_key(&["status"]).exits(0).says("NOT PUSHED: freeze (user1)");
    fs::write(&hook, own).unwrap();
    scene.world.two_key(&["sync"]).exits(0);
    scene.world.two_key(&["status"]).exits(0).never_says("NOT ON THE BRANCH").never_says("NOT PUSHED");
}

#[test]
fn a_revoked_key_is_marked_wherever_keys_are_listed() {
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    let marked = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.contains(&world.fingerprint(name)));
        line.unwrap_or_else(|| panic!("{text}")).contains("revoked")
    };
    scene.by("user1", &["key", "revoke", "cp18", "--reason", "lost"]).exits(0);
    for args in [&["show", "policy"][..], &["show", "policy", "--format", "json"], &["key", "list"]] {
        let text = world.two_key(args).exits(0).out;
        assert_eq!((marked(&text, "cp18"), marked(&text, "cp14")), (true, false), "{text}");
    }
    let (server, clone) = (scene.server.to_str().unwrap(), world.path().join("joined"));
    let root = world.git(&["config", "two-key.root"]);
    let joined = world.two_key_in(world.path(), &["clone", server, clone.to_str().unwrap(), "--root", &root]).exits(0);
    assert_eq!((marked(&joined.out, "cp18"), marked(&joined.out, "cp14")), (true, false), "{}", joined.out);
}

/// The next version of the policy in force.
fn next_policy(world: &World, from: &str, to: &str) {
    let policy = fs::read_to_string(world.repo().join(".two-key/policy.yaml")).unwrap();
    let digest = crate::kit::scene::digest_of(&policy);
    let next = policy.replace("version: 1\nprevious: null", &format!("version: 2\nprevious: {digest}"));
    world.commit_file(".two-key/policy.yaml", &next.replace(from, to), "Propose a policy");
}

#[test]
fn a_policy_that_cannot_come_in_force_is_refused_for_what_is_wrong_with_it() {
    let scene = Scene::of(World::rolling());
    next_policy(&scene.world, "start-up-to: 10\n", "start-up-to: 100\n");
    let refused = scene.by("user1", &["sign", "policy", "--dry-run"]).exits(1);
    refused.says("two-key: refused main: policy-floor: ").says("git two-key undo").never_says("update-ref");
    scene.world.git(&["reset", "--quiet", "--hard", "origin/main"]);
    next_policy(&scene.world, "start-up-to: 10\n", "start-up-to: 20\n");
    scene.by("user1", &["sign", "policy", "--dry-run"]).exits(0).says("loosens start-up-to: 10 % → 20 %");
}

#[test]
fn a_rule_that_nobody_could_ever_pass_is_said() {
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    world.two_key(&["show", "policy"]).exits(0).never_says("nothing ever passes it");
    next_policy(world, "promote: {human: 1, agent: 1}", "promote: {human: 5, agent: 1}");
    let says = "rule promote asks for 5 humans, and 2 could count: nothing ever passes it";
    world.two_key(&["show", "policy"]).exits(0).says(says);
    world.two_key(&["check"]).says(says);
    scene.by("user1", &["sign", "policy", "--dry-run"]).says(says);
}

#[test]
fn a_vote_by_note_is_an_event_with_its_own_time_before_and_after_it_is_sealed() {
    let scene = Scene::of(World::proposed());
    let world = &scene.world;
    world.git(&["config", "two-key.key", world.key_file("user1").to_str().unwrap()]);
    let dated = |date: &str, who: &str, args: &[&str]| {
        let key = world.key_file(who);
        let args = [args, &["--key", key.to_str().unwrap()]].concat();
        let env = [("GIT_COMMITTER_DATE", date), ("GIT_AUTHOR_DATE", date)];
        world.run_with(world.repo(), PROGRAM, &args, b"", &env).exits(0);
    };
    let of_user1 = |leased: &[&str]| {
        let args = [&["log", "--principal", "user1", "--format", "json"][..], leased].concat();
        let lines = world.two_key(&args).exits(0).out;
        lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of_user1(&[]).len(), 0);
    world.two_key(&["list", "--mine"]).exits(0).says(LEASE);
    dated("@1761600000 +0000", "user1", &["sign", LEASE, "--as", "note"]);
    let told = of_user1(&[LEASE]);
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&told["event"], &told["time"]), (&json!("COSIGNED"), &json!("2025-10-27T21:20:00Z")));
    assert_eq!((&told["votes"][0]["carrier"], &told["votes"][0]["principal"]), (&json!("note"), &json!("user1")));
    world.two_key(&["log"]).exits(0).says("by note, not sealed yet");
    world.two_key(&["list", "--mine"]).exits(0).says("nothing waits for your key");
    dated("@1761700000 +0000", "cp14", &["sign", LEASE]);
    let cosigned = |entries: Vec<serde_json::Value>| {
        entries.into_iter().find(|entry| entry["event"] == "COSIGNED" && entry["principal"] == "user1").unwrap()
    };
    assert_eq!(cosigned(of_user1(&[LEASE]))["time"], json!("2025-10-27T21:20:00Z"));
    let shown = || {
        let shown = world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
        let times = shown["cosigners"].as_array().unwrap().iter();
        times.map(|one| (one["id"].clone(), one["timestamp"].clone())).collect::<Vec<_>>()
    };
    let sealer = (json!("cp14"), json!("2025-10-29T01:06:40Z"));
    assert_eq!(shown(), [(json!("user1"), json!("2025-10-27T21:20:00Z")), sealer.clone()]);
    // Where the note is gone nobody knows when it was; it is not told as the sealer's time.
    for name in ["refs/notes/two-key/user1", "refs/two-key-remote/origin/notes/two-key/user1"] {
        world.git(&["update-ref", "-d", name]);
    }
    scene.on_server(&["-c", "core.hooksPath=/dev/null", "update-ref", "-d", "refs/notes/two-key/user1"]);
    assert_eq!(shown(), [(json!("user1"), json!(null)), sealer]);
    let sealed = cosigned(of_user1(&[LEASE]));
    assert_eq!((&sealed["time_is"], &sealed["votes"][0]["claimed"]), (&json!("sealed"), &json!(null)));
}

#[test]
fn what_an_applier_saw_is_told_after_its_target_was_given_away_or_dropped() {
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    let config = format!(
        "name: edge1\nkey: {}\nrepository: repo\ntargets:\n  checkout-prod: {{file: weights.json}}\n",
        world.key_file("edge1").display()
    );
    fs::write(world.path().join("applier.yaml"), config).unwrap();
    scene.by("user1", &["rollback", LEASE]).exits(0);
    world.two_key_in(world.path(), &["apply", "--once", "--config", "applier.yaml"]).exits(0);
    let observed = || world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["observed"].clone();
    let before = observed();
    assert_eq!((&before["applier"], &before["key_standing"]), (&json!("edge1"), &json!(null)));
    let targets = world.policy();
    let targets = targets.split("targets:").nth(1).unwrap();
    next_policy(world, targets, "\n  pay-prod: {driver: file, applier: edge1}\n");
    for who in ["user1", "user2"] {
        scene.by(who, &["sign", "policy"]).exits(0);
    }
    let after = observed();
    assert_eq!((&after["weight"], &after["seen"]), (&before["weight"], &before["seen"]));
    assert_eq!(after["key_standing"], json!("reassigned"));
    world.two_key(&["show", LEASE]).exits(0).says("by edge1").says("no longer the target's applier");
}

#[test]
fn a_vote_that_counts_no_more_is_told_once_and_kept() {
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    scene.by("cp14", &["promote", LEASE, "--no-push"]).exits(0);
    let vote = world.head();
    scene.in_clone(&scene.other, "user1", &["rollback", LEASE]).exits(0);
    let left = "does not count any more, and is left out";
    world.two_key(&["sync"]).exits(0).says(left);
    world.two_key(&["sync"]).exits(0).never_says(left);
    assert_eq!(world.git(&["rev-parse", &format!("refs/two-key-local/left-out/{vote}")]), vote);
}

#[test]
fn on_another_branch_the_screen_says_what_is_signed() {
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    world.git(&["checkout", "--quiet", "-b", "votes"]);
    let id = "LEASE-20251027-050000";
    world.commit_file(&format!("leases/{id}.yaml"), &lease(id), "Propose");
    let votes = world.git(&["rev-parse", "votes"]);
    scene.by("cp14", &["sign", id]).exits(1).says("unknown-lease").says("is proposed on votes, which is checked out");
    let told = scene.by("cp14", &["promote", LEASE]).exits(0);
    assert!(first(&told).starts_with("on main: votes is checked out, and stays as it is"), "{}", told.err);
    assert_eq!(world.git(&["rev-parse", "votes"]), votes);
    world.git(&["checkout", "--quiet", "main"]);
    scene.by("user1", &["promote", LEASE]).exits(0).never_says("is checked out");
}

/// Puts the next version of the policy in force.
fn change_policy(scene: &Scene, from: &str, to: &str) {
    next_policy(&scene.world, from, to);
    for who in ["user1", "cp14"] {
        scene.by(who, &["sign", "policy"]).exits(0);
    }
}

#[test]
fn a_last_day_is_said_to_signers_first_if_it_is_past_and_who_is_past_it_is_not_asked() {
    let scene = Scene::of(World::proposed());
    let world = &scene.world;
    let asks = || world.two_key(&["status"]).exits(0);
    asks().says("(user1, user2, cp14, cp18)");
    let own = "user2: {role: human,";
    let shown = |from: &str, to: &str| {
        next_policy(world, from, to);
        world.two_key(&["show", "policy"]).exits(0).never_says("nothing but the version");
        let shown = scene.by("user1", &["sign", "policy", "--dry-run"]).exits(0).never_says("nothing but the version");
        world.git(&["reset", "--quiet", "--hard", "origin/main"]);
        shown
    };
    let ahead = shown(own, "user2: {role: human, until: 2099-01-01,");
    ahead.says("principal user2: until none → 2099-01-01").never_says("the last day of");
    let key = world.public_key("user1");
    let of_key = shown(&format!("[\"{key}\"]"), &format!("[{{key: \"{key}\", until: 2099-01-02}}]"));
    of_key.says(&format!("principal user1: key {} until none → 2099-01-02", world.fingerprint("user1")));
    let past = "user2: {role: human, until: 2025-10-01,";
    let told = shown(own, past);
    let text = format!("{}{}", told.out, told.err);
    told.says("principal user2: until none → 2025-10-01");
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
    assert!(at("the last day of user2's key was 2025-10-01") < at("principal user2: until"), "{text}");
    change_policy(&scene, own, past);
    asks().says("(user1, cp14, cp18)");
    world.git(&["config", "two-key.key", world.key_file("user2").to_str().unwrap()]);
    world.two_key(&["list", "--mine"]).exits(0).says("nothing waits for your key");
    scene.by("user2", &["sign", LEASE]).exits(1).says("key-expired");
    world.git(&["config", "two-key.key", world.key_file("user1").to_str().unwrap()]);
    world.two_key(&["list", "--mine"]).exits(0).says(LEASE);
}

#[test]
fn what_an_agent_may_promote_alone_waits_for_an_agent() {
    let scene = Scene::of(World::founded());
    let world = &scene.world;
    change_policy(&scene, "start-up-to: 10\n", "start-up-to: 10\ndelegable-up-to: 25\n");
    for (more, whom, desired) in [
        ("", "a human and an agent, to promote to 25 %", 5),
        ("agent-alone-up-to: 25\n", "an agent, to promote to 25 %", 25),
    ] {
        let id = format!("LEASE-{desired}");
        let text = lease(&id) + more;
        world.commit_file(&format!("leases/{id}.yaml"), &text, "Propose");
        for (who, verb) in [("user1", "sign"), ("cp14", "sign"), ("user1", "start")] {
            scene.by(who, &[verb, &id]).exits(0);
        }
        let shown = || world.two_key(&["show", &id, "--format", "json"]).exits(0).json();
        assert_eq!(shown()["awaits"]["text"], json!(whom));
        scene.by("cp14", &["promote", &id]).exits(0);
        assert_eq!(shown()["desired"], json!(desired));
        scene.by("user1", &["rollback", &id]).exits(0);
    }
}

#[test]
fn outside_its_window_a_target_waits_for_the_window_and_not_for_a_key() {
    let scene = Scene::of(World::authorized());
    let world = &scene.world;
    let awaits = || world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["awaits"].clone();
    assert_eq!(awaits()["first"], json!(null));
    let ahead = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(72);
    let day = ahead.strftime("%a").to_string().to_lowercase();
    let window = format!("windows: [{{days: {day}, from: \"00:00\", until: \"00:10\", zone: UTC}}]}}");
    change_policy(&scene, "applier: edge1}", &format!("applier: edge1, {window}"));
    let opens = format!("{}T00:00:00Z", ahead.strftime("%Y-%m-%d"));
    let first = format!("the window of checkout-prod, which opens at {opens}");
    assert_eq!((awaits()["first"].clone(), awaits()["who"].clone()), (json!(first), json!([])));
    world
        .two_key(&["status"])
        .exits(0)
        .says(&format!("waiting for {first}, then a human or an agent, to start at 5 %"));
    world.git(&["config", "two-key.key", world.key_file("user1").to_str().unwrap()]);
    world.two_key(&["list", "--mine"]).exits(0).says("nothing waits for your key");
    scene.by("user1", &["start", LEASE]).exits(1).says("outside-window").says(&opens);
}
