//! The writing verbs, through the built program and the real git, ssh-keygen and minisign.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::kit::{LEASE, Ran, World, lease};

/// Runs the program with a principal's key.
#[track_caller]
fn by(world: &World, who: &str, args: &[&str]) -> Ran {
    let key = world.key_file(who);
    world.two_key(&[args, &["--key", key.to_str().unwrap()]].concat())
}

/// Every ref and where it is.
fn refs(world: &World) -> String {
    world.git(&["for-each-ref", "--format=%(refname) %(objectname)"])
}

/// The phase of the lease.
fn state(world: &World, lease: &str) -> String {
    world.two_key(&["show", lease, "--format", "json"]).exits(0).json()["state"].as_str().unwrap().to_owned()
}

/// Asserts that a verb is refused with exactly this code and that no ref moved.
#[track_caller]
fn refused(world: &World, who: &str, args: &[&str], code: i32, reason: &str) -> Ran {
    let before = refs(world);
    let ran = by(world, who, args).exits(code);
    let kind = if code == 1 { "refused" } else { "undecided" };
    let found = ran
        .err
        .lines()
        .any(|line| line.starts_with(&format!("two-key: {kind}")) && line.contains(&format!("{reason}: ")));
    assert!(found, "`{reason}` is not in\n{}", ran.err);
    assert_eq!(refs(world), before, "a refused verb moved a ref");
    ran
}

/// A bare server that has what the world's repository has, and a second clone, pinned. Neither fetches or pushes unless it is
/// told to: so one comes before the other.
fn with_server(world: &World) -> PathBuf {
    let clone = with_lively_server(world);
    for folder in [world.repo(), &clone] {
        for name in ["two-key.fetch", "two-key.push"] {
            world.run(folder, "git", &["config", name, "false"], b"").exits(0);
        }
    }
    clone
}

/// The same, where both fetch and push as everybody's do.
fn with_lively_server(world: &World) -> PathBuf {
    let server = world.path().join("server.git");
    let clone = world.path().join("clone");
    world.git(&["clone", "--quiet", "--bare", ".", server.to_str().unwrap()]);
    world.git(&["remote", "add", "origin", server.to_str().unwrap()]);
    world.git(&["fetch", "--quiet", "origin"]);
    world.git(&["branch", "--quiet", "--set-upstream-to=origin/main", "main"]);
    world.git(&["clone", "--quiet", server.to_str().unwrap(), clone.to_str().unwrap()]);
    let root = world.git(&["config", "two-key.root"]);
    world.run(&clone, "git", &["config", "two-key.root", &root], b"").exits(0);
    clone
}

/// The same verb in another clone.
#[track_caller]
fn there(world: &World, clone: &std::path::Path, who: &str, args: &[&str]) -> Ran {
    let key = world.key_file(who);
    world.two_key_in(clone, &[args, &["--key", key.to_str().unwrap()]].concat())
}

fn server(world: &World, args: &[&str]) -> String {
    let server = world.path().join("server.git");
    let ran = world.run(&server, "git", args, b"").exits(0);
    ran.out.trim_end().to_owned()
}

#[test]
fn from_an_empty_folder_to_a_hundred_percent() {
    let mut world = World::empty();
    let folder = world.path().join("fresh");
    fs::create_dir(&folder).unwrap();
    let pair = |name: &str| format!("{name}={}", world.public_key(name));
    world.key_file("cp14");
    let agent = format!("cp14={}", world.path().join("home/keys/cp14.pub").display());
    let (user1, user2) = (pair("user1"), pair("user2"));
    let init = ["init", "--human", &user1, "--human", &user2, "--agent", &agent, "--target", "checkout-prod=haproxy"];
    let root = world.two_key_in(&folder, &init).exits(0).says("Founded").says("only one agent key");
    world.enter(&folder);
    let pinned = world.git(&["config", "two-key.root"]);
    assert!(root.out.contains(&format!("root {pinned}")) && pinned == world.head());
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    world.two_key(&["check"]).exits(0);

    let artifact = format!("checkout=sha256:{}", "ab".repeat(32));
    let new = ["new", "--target", "checkout-prod", "--intent", "INT-1", "--summary", "One", "--artifact", &artifact];
    let id = world.two_key(&new).exits(0).out.lines().next().unwrap().to_owned();
    assert!(folder.join(format!("leases/{id}.yaml")).is_file());
    world.two_key(&new).exits(0);
    assert_eq!(world.git(&["status", "--porcelain"]), "");

    by(&world, "user1", &["sign", &id])
        .exits(0)
        .says("5 % for 15m, 25 % for 15m, 100 % for 15m")
        .says("waiting for an agent");
    by(&world, "cp14", &["sign-lease", &id]).exits(0).says("authorized");
    by(&world, "cp14", &["start", &id]).exits(0).says("0 % → 5 %").never_says("Push it with");
    by(&world, "user2", &["approve", &id]).exits(0).says("stays at 5 %; waiting for an agent, to promote to 25 %");
    by(&world, "cp14", &["promote", &id]).exits(0).says("5 % → 25 %");
    by(&world, "cp14", &["promote", &id]).exits(0).says("waiting for a human, to promote to 100 %");
    by(&world, "user1", &["approve-next-tier", &id]).exits(0).says("25 % → 100 %");
    by(&world, "cp14", &["complete", &id]).exits(0).says("completed");
    let tags = world.git(&["for-each-ref", "--format=%(refname:lstrip=4) %(objecttype)", "refs/tags/rollout"]);
    assert_eq!(tags, "1-start-5 tag\n2-promote-25 tag\n3-promote-100 tag\n4-complete tag");
    world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
    // People's keys are turned by a signature of their own, agents' by the commit's.
    let promotions = world.git(&["log", "--format=%H", "--grep=Promote .* to 25"]);
    let signed = |commit: &&str| world.git(&["cat-file", "commit", commit]).contains("\ngpgsig ");
    assert_eq!((promotions.lines().count(), promotions.lines().filter(signed).count()), (2, 1));
}

#[test]
fn init_in_a_folder_of_files_says_where_else_it_can_be_run() {
    let world = World::empty();
    let folder = world.path().join("files");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("user1.pub"), world.public_key("user1")).unwrap();
    let (human, agent) = ("user1=user1.pub", format!("cp14={}", world.public_key("cp14")));
    let init = ["init", "--human", human, "--agent", &agent];
    world.two_key_in(&folder, &init).exits(3).says("run it in an empty folder");
    world.run(&folder, "git", &["init", "--quiet"], b"").exits(0);
    world.two_key_in(&folder, &init).exits(0).says("Founded");
}

#[test]
fn init_in_a_repository_with_history_commits_on_top() {
    let world = World::empty();
    world.commit_file("README", "hello\n", "Begin");
    fs::write(world.repo().join("README"), "edited\n").unwrap();
    let one = format!("user1={}", world.public_key("user1"));
    let agent = format!("cp14={}", world.public_key("cp14"));
    let before = refs(&world);
    world.two_key(&["init", "--human", &one]).exits(1).says("policy-floor");
    world.two_key(&["init", "--strict", "--human", &one, "--agent", &agent]).exits(1).says("policy-floor");
    world
        .two_key(&["init", "--human", &one, "--agent", &format!("cp14={}", world.public_key("user1"))])
        .exits(1)
        .says("same-key");
    assert_eq!(refs(&world), before);
    assert!(!world.repo().join(".two-key").exists());
    world.two_key(&["init", "--human", &one, "--agent", &agent]).exits(0);
    assert_eq!(world.git(&["rev-list", "--count", "main"]), "2");
    assert_eq!(world.git(&["status", "--porcelain"]), " M README");
    world.two_key(&["init", "--human", &one, "--agent", &agent]).exits(1).says("wrong-state: a ledger is here already");
}

#[test]
fn trust_wants_the_whole_id_of_a_commit_that_can_found_a_ledger() {
    let world = World::founded();
    let root = world.head();
    world.git(&["config", "--unset", "two-key.root"]);
    let other = world.commit_file("README", "x\n", "Not a root");
    let empty = world.run(world.repo(), "git", &["mktree"], b"").exits(0).out;
    let none = world.git(&["commit-tree", "-m", "nothing", empty.trim_end()]);
    world.two_key(&["trust", &root[..12]]).exits(2);
    world.two_key(&["trust", &"ab".repeat(20)]).exits(3).says("there is no commit");
    world.two_key(&["trust", &none]).exits(1).says("malformed");
    assert_eq!(world.two_key(&["list"]).out.lines().next().map(|line| line.starts_with("unpinned")), Some(true));
    world.two_key(&["trust", &root]).exits(0).says("user1").says("edge1").says("Pinned here");
    assert_eq!(world.git(&["config", "two-key.root"]), root);
    assert_ne!(other, root);
    // What a remote has besides branches is mirrored apart from what was signed here; `doctor` asks for the same.
    world.git(&["remote", "add", "origin", "../server.git"]);
    for kind in ["notes/two-key", "two-key"] {
        let refspec = format!("+refs/{kind}/*:refs/two-key-remote/origin/{kind}/*");
        let command = format!("git config --add remote.origin.fetch '{refspec}'");
        for verb in [&["trust", &root][..], &["doctor"]] {
            world.two_key(verb).says(&command);
        }
        world.git(&["config", "--add", "remote.origin.fetch", &refspec]);
        for verb in [&["trust", &root][..], &["doctor"]] {
            world.two_key(verb).never_says(&command);
        }
    }
}

#[test]
fn a_stop_needs_no_pin_and_everything_else_does() {
    let world = World::rolling();
    world.git(&["config", "--unset", "two-key.root"]);
    for verb in ["sign", "start", "promote", "approve", "resume", "complete"] {
        refused(&world, "user1", &[verb, LEASE], 3, "unpinned");
    }
    refused(&world, "user1", &["thaw"], 3, "unpinned");
    refused(&world, "user1", &["sign", "policy"], 3, "unpinned");
    by(&world, "user2", &["pause-rollout", LEASE, "--reason", "errors rise"]).exits(0).says("unpinned").says("paused");
    by(&world, "cp18", &["abort", "checkout-prod"]).exits(0).says("5 % → 0 %, halted");
    assert_eq!(state(&world, LEASE), "halted");
}

#[test]
fn bad_input_is_refused_by_its_reason_and_writes_nothing() {
    let world = World::proposed();
    refused(&world, "user1", &["sign", "LEASE-nowhere"], 1, "unknown-lease");
    refused(&world, "user1", &["sign", "../etc/passwd"], 1, "malformed");
    refused(&world, "user1", &["start", LEASE], 1, "not-authorized");
    refused(&world, "user1", &["promote", LEASE], 1, "wrong-state");
    refused(&world, "user1", &["halt", "LEASE-nowhere"], 1, "unknown-lease");
    refused(&world, "mallory", &["sign", LEASE], 1, "unknown-key");
    refused(&world, "mallory", &["halt", LEASE], 1, "unknown-key");
    refused(&world, "edge1", &["sign", LEASE], 1, "wrong-role");
    refused(&world, "user1", &["sign", "policy"], 1, "policy-version");
    refused(&world, "user1", &["thaw"], 1, "wrong-state");
    refused(&world, "user1", &["sign", LEASE, "--push"], 3, "not-found").says("no remote");
    refused(&world, "user1", &["halt", LEASE, "--push"], 3, "not-found").says("no remote");
    let before = refs(&world);
    world.two_key(&["sign", LEASE]).exits(3).says("no key to sign with");
    world.two_key(&["sign", LEASE, "--key", "nowhere"]).exits(3).says("nowhere");
    world.two_key(&["sign"]).exits(2);
    world.two_key_in(world.path(), &["sign", LEASE]).exits(3);
    world.two_key_in(world.path(), &["halt", LEASE]).exits(3);
    assert_eq!(refs(&world), before);

    by(&world, "user1", &["sign", LEASE]).exits(0);
    refused(&world, "user1", &["sign", LEASE], 1, "already-voted");
    refused(&world, "user1", &["start", LEASE], 1, "not-authorized");
    by(&world, "cp14", &["sign", LEASE]).exits(0);
    by(&world, "cp14", &["start", LEASE]).exits(0);
    refused(&world, "cp14", &["start", LEASE], 1, "wrong-state");
    refused(&world, "cp14", &["sign", LEASE], 1, "wrong-state");
    refused(&world, "cp14", &["resume", LEASE], 1, "wrong-state");
    refused(&world, "cp14", &["complete", LEASE], 1, "wrong-state");
    refused(&world, "cp14", &["approve", LEASE], 1, "wrong-role");
    by(&world, "cp14", &["promote", LEASE]).exits(0);
    refused(&world, "cp14", &["promote", LEASE], 1, "already-voted");
    assert_eq!(state(&world, LEASE), "rolling");
}

#[test]
fn two_keys_of_one_person_are_one_person() {
    let world = World::empty();
    let second = world.public_key("user1-second");
    let policy =
        world.policy().replace("user1: {role: human, keys: [", &format!("user1: {{role: human, keys: [\"{second}\", "));
    world.found(&policy);
    world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
    by(&world, "user1", &["sign", LEASE]).exits(0);
    refused(&world, "user1-second", &["sign", LEASE], 1, "same-principal");
    by(&world, "cp14", &["sign", LEASE]).exits(0).says("authorized");
}

#[test]
fn expired_and_changed_leases_are_not_signed() {
    let world = World::founded();
    let expired = lease("LEASE-old").replace("expires: 2035", "expires: 2025");
    world.commit_file("leases/LEASE-old.yaml", &expired, "Propose a lease");
    let early = lease("LEASE-early").replace("issued: 2025-10-27", "issued: 2034-10-27");
    world.commit_file("leases/LEASE-early.yaml", &early, "Propose a lease");
    refused(&world, "user1", &["sign", "LEASE-old"], 1, "expired");
    refused(&world, "user1", &["sign", "LEASE-early"], 1, "not-yet-valid");
    // A stop of an expired lease is a stop.
    by(&world, "user1", &["withdraw", "LEASE-old"]).exits(0).says("withdrawn");

    world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
    by(&world, "user1", &["sign", LEASE]).exits(0);
    world.commit_file(
        &format!("leases/{LEASE}.yaml"),
        &lease(LEASE).replace("weight: 5", "weight: 9"),
        "A little faster",
    );
    // The pinned bytes are what is signed; the edit has no effect.
    by(&world, "cp14", &["sign", LEASE]).exits(0).says("5 % for 15m");
    by(&world, "cp14", &["start", LEASE]).exits(0).says("0 % → 5 %");
}

#[test]
fn handles_that_mean_two_leases_are_refused_with_the_choices() {
    let world = World::proposed();
    world.commit_file("leases/LEASE-2.yaml", &lease("LEASE-2"), "Propose another lease for the same intent");
    refused(&world, "user1", &["sign", "INT-2025-0042"], 1, "ambiguous").says("LEASE-2").says(LEASE);
    refused(&world, "user1", &["halt", "checkout-prod"], 1, "ambiguous");
    by(&world, "user1", &["sign", "LEASE-2"]).exits(0);
}

#[test]
fn worktree_and_index_stay_as_they_are_dirty_or_detached() {
    let world = World::authorized();
    world.commit_file("README", "one\n", "Readme");
    fs::write(world.repo().join("README"), "two\n").unwrap();
    fs::write(world.repo().join("untracked"), "x\n").unwrap();
    fs::write(world.repo().join("staged"), "x\n").unwrap();
    world.git(&["add", "staged"]);
    let before = world.git(&["status", "--porcelain=v2"]);
    by(&world, "user1", &["start", LEASE]).exits(0);
    assert_eq!(world.git(&["status", "--porcelain=v2"]), before);
    let head = world.head();
    world.git(&["checkout", "--quiet", "--detach"]);
    by(&world, "user1", &["promote", LEASE]).exits(0);
    by(&world, "cp14", &["promote", LEASE]).exits(0).says("5 % → 25 %");
    assert_eq!(world.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(world.git(&["status", "--porcelain=v2"]), before);
    let artifact = format!("c=sha256:{}", "ab".repeat(32));
    world.two_key(&["new", "--target", "checkout-prod", "--artifact", &artifact, "--id", "LEASE-9"]).exits(0);
    assert_eq!(world.git(&["status", "--porcelain=v2"]), before);
    assert!(world.git(&["ls-tree", "-r", "--name-only", "main"]).contains("leases/LEASE-9.yaml"));
}

#[test]
fn a_dry_run_says_everything_and_writes_nothing() {
    let world = World::rolling();
    let before = refs(&world);
    by(&world, "user1", &["promote", LEASE, "--dry-run"])
        .exits(0)
        .says("Two-Key-Action: promote")
        .says("Two-Key-Tier: 25");
    by(&world, "user1", &["halt", LEASE, "--dry-run"]).exits(0).says("5 % → 0 %").says("Two-Key-Nonce: ");
    by(&world, "user1", &["rollback", LEASE, "--dry-run", "--push"]).exits(0);
    assert_eq!(refs(&world), before);
}

#[test]
fn votes_by_note_are_sealed_by_the_next_transition() {
    let world = World::proposed();
    by(&world, "cp14", &["sign", LEASE, "--as", "note"]).exits(0).says("by note").says("refs/notes/two-key/cp14");
    refused(&world, "cp14", &["sign", LEASE, "--as", "note"], 1, "already-voted");
    by(&world, "user1", &["sign", LEASE, "--as", "note"]).exits(0);
    assert_eq!(state(&world, LEASE), "proposed");
    by(&world, "cp14", &["start", LEASE]).exits(0).says("0 % → 5 %");
    world.git(&["update-ref", "-d", "refs/notes/two-key/cp14"]);
    world.git(&["update-ref", "-d", "refs/notes/two-key/user1"]);
    world.two_key(&["verify", LEASE]).exits(0);
    assert_eq!(state(&world, LEASE), "rolling");
    // The promotion that cp14 left by plain Git is sealed with the person's.
    let statement = world.two_key(&["statement", "promote", LEASE]).exits(0).out;
    let note = format!("{statement}{}", world.detached("cp14", &statement));
    let blob = world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    world
        .run(world.repo(), "git", &["notes", "--ref", "two-key/cp14", "append", "-F", "-", &blob], note.as_bytes())
        .exits(0);
    by(&world, "user1", &["approve", LEASE]).exits(0).says("5 % → 25 %");
    world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
}

#[test]
fn plain_git_does_all_of_it() {
    let world = World::proposed();
    world.turn("user1", "cosign", LEASE);
    world.turn("cp14", "cosign", LEASE);
    world.turn("cp14", "start", LEASE);
    world.turn("user1", "promote", LEASE);
    world.turn("cp14", "promote", "checkout-prod");
    assert_eq!(world.two_key(&["show", LEASE]).exits(0).says("25").code, 0);
    // The porcelain goes on where plain Git was, and makes the tag that is missing.
    by(&world, "cp14", &["promote", LEASE]).exits(0).says("waiting for a human, to promote to 100 %");
    world.turn("user1", "halt", LEASE);
    assert_eq!(state(&world, LEASE), "halted");
}

#[test]
fn a_transition_whose_tag_is_missing_is_tagged_by_the_same_verb() {
    let world = World::authorized();
    world.turn("cp14", "start", LEASE);
    let name = format!("refs/tags/rollout/{LEASE}/1-start-5");
    refused(&world, "user1", &["start", LEASE], 1, "wrong-state");
    by(&world, "cp14", &["start", LEASE]).exits(0).says("its tag was missing");
    assert_eq!(world.git(&["rev-parse", &format!("{name}^{{commit}}")]), world.head());
    refused(&world, "cp14", &["start", LEASE], 1, "wrong-state");
}

#[test]
fn minisign_keys_are_turned_too() {
    let world = World::empty();
    let key = world.path().join("home/keys/mini");
    let public = world.path().join("home/keys/mini.pub");
    let (key, public) = (key.to_str().unwrap(), public.to_str().unwrap());
    world.run(world.path(), "minisign", &["-G", "-W", "-f", "-s", key, "-p", public], b"").exits(0);
    let (one, agent) = (format!("user1={}", world.public_key("user1")), format!("cp18={public}"));
    world.two_key(&["init", "--human", &one, "--agent", &agent, "--target", "checkout-prod"]).exits(0);
    let artifact = format!("c=sha256:{}", "ab".repeat(32));
    world.two_key(&["new", "--target", "checkout-prod", "--artifact", &artifact, "--id", LEASE]).exits(0);
    by(&world, "user1", &["sign", LEASE]).exits(0);
    world.two_key(&["sign", LEASE, "--key", key]).exits(0).says("authorized");
    world.two_key(&["start", LEASE, "--key", key]).exits(0).says("0 % → 5 %");
    world.two_key(&["halt", LEASE, "--key", key]).exits(0).says("5 % → 0 %");
    world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
}

#[test]
fn a_lost_race_keeps_what_was_signed_and_says_why_it_no_longer_counts() {
    let world = World::rolling();
    let clone = with_server(&world);
    by(&world, "user1", &["halt", LEASE, "--push"]).exits(0).says("pushed to origin");
    let lost = there(&world, &clone, "cp14", &["promote", LEASE, "--push"]).exits(1);
    assert!(lost.err.contains("stale-step: somebody else pushed first"), "{}", lost.err);
    let log = world.run(&clone, "git", &["log", "-1", "--format=%s", "main"], b"").exits(0).out;
    assert!(log.starts_with("Promote"), "{log}");
    assert_eq!(server(&world, &["log", "-1", "--format=%s", "main"]), format!("Halt {LEASE}"));
}

#[test]
fn a_vote_that_still_counts_is_carried_over_by_a_merge_on_the_new_tip() {
    let world = World::rolling();
    let clone = with_server(&world);
    there(&world, &clone, "cp14", &["promote", LEASE, "--push"]).exits(0).says("waiting for a human");
    let theirs = server(&world, &["rev-parse", "main"]);
    fs::write(world.repo().join("mine"), "x\n").unwrap();
    let ran = by(&world, "user1", &["promote", LEASE, "--push", "--yes"]).exits(0);
    ran.says("had newer commits").says("pushed to origin").says("5 % → 25 %");
    let tip = server(&world, &["rev-parse", "main"]);
    assert_eq!(world.head(), tip);
    let parents = server(&world, &["log", "-1", "--format=%P", "main"]);
    assert_eq!(parents.split(' ').next(), Some(theirs.as_str()), "the first parent is the remote's tip");
    assert_eq!(server(&world, &["log", "-1", "--format=%s", "main^2"]), format!("Promote {LEASE} to 25 %"));
    let tag = server(&world, &["rev-parse", &format!("refs/tags/rollout/{LEASE}/2-promote-25^{{commit}}")]);
    assert_eq!(tag, tip, "the tag follows to the merge");
    assert_eq!(world.git(&["status", "--porcelain"]), "?? mine");
    world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
}

#[test]
fn a_vote_that_was_made_before_another_push_came_is_delivered_by_the_same_verb() {
    let world = World::rolling();
    let clone = with_server(&world);
    by(&world, "user1", &["promote", LEASE]).exits(0);
    there(&world, &clone, "cp14", &["promote", LEASE, "--push"]).exits(0);
    let made = world.head();
    // Without a word about pushing nothing is; with it, what was signed before is carried over, and signed by nobody anew.
    refused(&world, "user1", &["promote", LEASE], 1, "already-voted");
    by(&world, "user1", &["promote", LEASE, "--push"]).exits(0).says("had newer commits").says("pushed to origin");
    assert_eq!(server(&world, &["rev-parse", "main^2"]), made);
    assert_eq!(world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["desired"], 25);
}

#[test]
fn a_verb_that_was_interrupted_before_its_push_signs_no_further_step() {
    // Whoever comes last, whichever of their keys is the larger number.
    for (first, last, next) in [("user1", "cp14", "a human"), ("cp14", "user1", "an agent")] {
        let world = World::rolling();
        with_server(&world);
        by(&world, first, &["promote", LEASE, "--push"]).exits(0);
        by(&world, last, &["promote", LEASE]).exits(0);
        let made = world.head();
        let again = by(&world, last, &["promote", LEASE, "--push"]).exits(0);
        again.says("nothing more is signed").says("pushed to origin");
        assert_eq!((world.head(), server(&world, &["rev-parse", "main"])), (made.clone(), made));
        assert!(server(&world, &["tag"]).contains("2-promote-25"));
        // Asked once more, it is the next step that is meant.
        by(&world, last, &["promote", LEASE, "--push"])
            .exits(0)
            .says(&format!("waiting for {next}, to promote to 100 %"));
    }
}

#[test]
fn proposals_of_two_clones_come_together() {
    let world = World::founded();
    let clone = with_server(&world);
    let artifact = format!("c=sha256:{}", "ab".repeat(32));
    let run = |folder: &std::path::Path, id: &str| {
        let args = ["new", "--target", "checkout-prod", "--artifact", &artifact, "--id", id, "--push"];
        world.two_key_in(folder, &args).exits(0).says("pushed to origin");
    };
    run(&clone, "LEASE-1");
    run(world.repo(), "LEASE-2");
    let files = server(&world, &["ls-tree", "-r", "--name-only", "main"]);
    assert!(files.contains("leases/LEASE-1.yaml") && files.contains("leases/LEASE-2.yaml"), "{files}");
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
}

#[test]
fn a_stop_that_main_will_not_have_waits_beside_it_and_is_carried_over() {
    let world = World::rolling();
    let clone = with_server(&world);
    let hook = world.path().join("server.git/hooks/update");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\ncase $1 in refs/heads/*) echo protected >&2; exit 1;; esac\n").unwrap();
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(&hook, mode).unwrap();
    by(&world, "user1", &["halt", LEASE, "--push", "--reason", "errors"]).exits(0).says("refs/two-key/stops/");
    let waiting = server(&world, &["for-each-ref", "--format=%(refname)", "refs/two-key/stops"]);
    assert!(waiting.starts_with(&format!("refs/two-key/stops/{LEASE}/")), "{waiting}");
    world.two_key(&["list"]).exits(0).says("halted");
    // Another clone fetches it; its forward verb carries it over first, and so finds the lease halted.
    fs::remove_file(&hook).unwrap();
    world.run(&clone, "git", &["fetch", "--quiet", "origin", "+refs/two-key/*:refs/two-key/*"], b"").exits(0);
    let late = there(&world, &clone, "cp14", &["promote", LEASE]).exits(1);
    late.clone().says("carried over a stop").says("wrong-state");
    let shown = world.two_key_in(&clone, &["show", LEASE, "--format", "json"]).exits(0).json();
    assert_eq!(shown["state"], "halted");
}

#[test]
fn stops_are_built_on_the_remotes_tip_from_stale_shallow_and_diverged_clones() {
    let world = World::rolling();
    let clone = with_lively_server(&world);
    let shallow = world.path().join("shallow");
    let url = format!("file://{}", world.path().join("server.git").display());
    world.git(&["clone", "--quiet", "--depth=1", &url, shallow.to_str().unwrap()]);
    // Stale: the other clone has moved on.
    by(&world, "user1", &["promote", LEASE, "--push"]).exits(0);
    there(&world, &clone, "cp14", &["pause", LEASE, "--push"]).exits(0).says("paused at 5 %").says("pushed");
    assert_eq!(server(&world, &["log", "-1", "--format=%s", "main"]), format!("Pause {LEASE}"));
    assert_eq!(server(&world, &["rev-list", "--merges", "--count", "main"]), "0");
    // Diverged: what was proposed here and not pushed stays here.
    world.commit_file("README", "x\n", "Not pushed");
    let mine = world.head();
    by(&world, "user2", &["halt", LEASE, "--push"]).exits(0).says("pushed to origin");
    assert_eq!(world.head(), mine);
    // Shallow: nothing can be folded, and the stop is made all the same.
    there(&world, &shallow, "user1", &["force-rollback", LEASE, "--push"])
        .exits(0)
        .says("warning")
        .says("pushed to origin");
    world.run(&clone, "git", &["pull", "--quiet", "--ff-only"], b"").exits(0);
    let shown = world.two_key_in(&clone, &["show", LEASE, "--format", "json"]).exits(0).json();
    assert_eq!(shown["state"], "rolled-back");
}

#[test]
fn offline_what_was_made_stays() {
    let world = World::rolling();
    with_server(&world);
    fs::rename(world.path().join("server.git"), world.path().join("gone.git")).unwrap();
    by(&world, "user1", &["promote", LEASE, "--push"])
        .exits(3)
        .says("unreachable: NOT PUSHED: signed on the local main")
        .says("git two-key sync")
        .never_says("internal");
    let halt = by(&world, "user1", &["halt", LEASE, "--push"]).exits(3).never_says("internal").never_says("\\u{");
    assert!(halt.out.starts_with("STOP SIGNED, NOT ON THE SERVER: origin is no Git repository"), "{}", halt.out);
    assert!(halt.out.lines().nth(1).unwrap().ends_with("git two-key sync"), "{}", halt.out);
    assert_eq!(state(&world, LEASE), "halted");
    fs::rename(world.path().join("gone.git"), world.path().join("server.git")).unwrap();
    by(&world, "user1", &["rollback", LEASE, "--push"]).exits(0).says("pushed to origin");
    assert_eq!(server(&world, &["rev-parse", "main"]), world.head());
}

#[test]
fn a_stop_that_is_not_delivered_outlives_what_fetches_and_goes_with_the_next_push() {
    let world = World::rolling();
    with_server(&world);
    let (server_path, gone) = (world.path().join("server.git"), world.path().join("gone.git"));
    fs::rename(&server_path, &gone).unwrap();
    by(&world, "user1", &["halt", LEASE, "--push", "--reason", "errors"])
        .exits(3)
        .says("STOP SIGNED, NOT ON THE SERVER");
    fs::rename(&gone, &server_path).unwrap();
    let halt = world.head();
    let says = "no remote is known to have it";
    let readers: [&[&str]; 5] = [&["list"], &["show", LEASE], &["log"], &["verify", "--all"], &["list", "--remote"]];
    let shown = || {
        for reader in readers {
            world.two_key(reader).says(says);
        }
    };
    shown();
    world.two_key(&["doctor"]).exits(1).says("stops: ").says("git two-key sync");
    // Whatever fetches, also as people were told to once, and whatever becomes of the branch.
    world.git(&["config", "fetch.prune", "true"]);
    for old in ["refs/two-key/*:refs/two-key/*", "refs/notes/two-key/*:refs/notes/two-key/*"] {
        world.git(&["config", "--add", "remote.origin.fetch", old]);
    }
    for args in
        [&["fetch", "-q", "--prune"][..], &["remote", "update", "--prune"], &["reset", "-q", "--hard", "origin/main"]]
    {
        world.git(args);
    }
    shown();
    let artifact = format!("checkout=sha256:{}", "2".repeat(64));
    let new = ["new", "--target", "checkout-prod", "--summary", "Next", "--artifact", &artifact, "--push"];
    by(&world, "user2", &new).exits(0).says("delivered a stop that was signed here before");
    assert_eq!(server(&world, &["rev-parse", &format!("refs/two-key/stops/{LEASE}/{halt}")]), halt);
    for reader in readers {
        world.two_key(reader).never_says(says);
    }
    // Under a name of its own anybody may delete it where there is no hook: it stays here until main has it.
    let own = format!("refs/two-key/stops/{LEASE}/{halt}");
    server(&world, &["-c", "core.hooksPath=/dev/null", "update-ref", "-d", &own]);
    world.two_key(&["sync"]).says("delivered a stop that was signed here before");
    assert_eq!(server(&world, &["rev-parse", &own]), halt);
    world.two_key(&["sync"]).never_says("delivered a stop");
    world.git(&["merge", "-q", "--no-edit", &halt]);
    world.git(&["push", "-q", "origin", "main"]);
    world.two_key(&["sync"]).never_says("delivered a stop");
    assert_eq!(world.git(&["for-each-ref", "refs/two-key-local/stops"]), "");
}

#[test]
fn somebodys_own_settings_keep_no_push_from_arriving() {
    for (name, value) in [
        ("push.gpgSign", "true"),
        ("push.pushOption", "x"),
        ("remote.origin.mirror", "true"),
        ("push.followTags", "true"),
    ] {
        let world = World::rolling();
        with_server(&world);
        world.git(&["config", name, value]);
        let refs = server(&world, &["for-each-ref", "--format=%(refname)"]);
        by(&world, "user1", &["halt", LEASE, "--push"]).exits(0).says("pushed to origin");
        assert_eq!(server(&world, &["log", "-1", "--format=%s", "main"]), format!("Halt {LEASE}"), "{name}");
        // Nothing else went, and nothing is gone.
        let tag = format!("refs/tags/rollout/{LEASE}/2-halt");
        let now = server(&world, &["for-each-ref", "--format=%(refname)"]);
        assert_eq!(now.lines().filter(|name| *name != tag).collect::<Vec<_>>().join("\n"), refs.trim_end(), "{name}");
    }
}

#[test]
fn what_a_pull_made_of_a_vote_is_mended_by_one_command() {
    for rebase in ["true", "false"] {
        let world = World::rolling();
        let clone = with_server(&world);
        by(&world, "user1", &["promote", LEASE]).exits(0);
        let vote = world.head();
        world.run(&clone, "git", &["commit", "--quiet", "--allow-empty", "-m", "Somebody else"], b"").exits(0);
        world.run(&clone, "git", &["push", "--quiet", "origin", "HEAD:main"], b"").exits(0);
        let mode = format!("pull.rebase={rebase}");
        world.git(&["-c", &mode, "pull", "-q", "--no-edit", "origin", "main"]);
        assert_ne!(world.head(), vote);
        world.two_key(&["sync"]).exits(0).says("with 1 vote that was signed here").says("pushed to origin");
        assert_eq!(server(&world, &["rev-parse", "main^2"]), vote);
        assert_eq!(server(&world, &["rev-parse", "main"]), world.head());
        world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
        there(&world, &clone, "cp14", &["promote", LEASE, "--push", "--yes"]).exits(0);
        world.two_key(&["sync"]).exits(0);
        assert_eq!(world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["desired"], 25);
        assert_eq!(world.git(&["for-each-ref", "refs/two-key-local"]), "");
        // What one has proposed goes along, and work that cannot is not left behind.
        world.commit_file("README", "mine\n", "Mine");
        world.two_key(&["sync"]).exits(0).says("pushed to origin");
        world.commit_file("README", "mine too\n", "Mine");
        world.run(&clone, "git", &["pull", "--quiet", "--rebase", "origin", "main"], b"").exits(0);
        fs::write(clone.join("README"), "theirs\n").unwrap();
        world.run(&clone, "git", &["commit", "--quiet", "-a", "-m", "Theirs"], b"").exits(0);
        world.run(&clone, "git", &["push", "--quiet", "origin", "HEAD:main"], b"").exits(0);
        world.two_key(&["sync"]).exits(1).says("stale").says("would be left behind");
        assert_eq!(fs::read_to_string(world.repo().join("README")).unwrap(), "mine too\n");
    }
}

#[test]
fn what_was_pushed_by_hand_is_delivered() {
    let world = World::rolling();
    with_server(&world);
    by(&world, "user1", &["halt", LEASE]).exits(0);
    world.two_key(&["list"]).says("no remote is known to have it");
    world.git(&["push", "-q", "origin", "main"]);
    world.two_key(&["list"]).never_says("no remote is known to have it");
}

#[test]
fn a_stop_whose_name_is_blocked_lands_under_another() {
    for blocked in ["refs/two-key/stops", &format!("refs/two-key/stops/{LEASE}")] {
        let world = World::rolling();
        let clone = with_server(&world);
        server(&world, &["update-ref", blocked, "main"]);
        let hook = world.path().join("server.git/hooks/update");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "#!/bin/sh\ncase $1 in refs/heads/main) echo protected >&2; exit 1;; esac\n").unwrap();
        fs::set_permissions(&hook, <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755)).unwrap();
        by(&world, "user1", &["halt", LEASE, "--push"]).exits(0).says("as refs/heads/two-key-stop-");
        fs::remove_file(&hook).unwrap();
        // Whoever has fetched carries it over.
        world.run(&clone, "git", &["fetch", "--quiet"], b"").exits(0);
        there(&world, &clone, "cp14", &["promote", LEASE]).exits(1).says("carried over a stop").says("wrong-state");
    }
}

/// Git would guess that what is new here belongs where the rest was moved to.
#[test]
fn what_somebody_renamed_takes_no_proposal_along() {
    for setting in ["conflict", "true"] {
        let world = World::founded();
        for id in ["LEASE-1", "LEASE-2"] {
            world.commit_file(&format!("leases/{id}.yaml"), &lease(id), "Propose a lease");
        }
        let clone = with_lively_server(&world);
        world.run(&clone, "git", &["config", "merge.directoryRenames", setting], b"").exits(0);
        fs::write(clone.join("leases/LEASE-3.yaml"), lease("LEASE-3")).unwrap();
        for args in [&["add", "."][..], &["commit", "--quiet", "--message", "Propose"]] {
            world.run(&clone, "git", args, b"").exits(0);
        }
        world.git(&["mv", "leases", "elsewhere"]);
        world.git(&["commit", "--quiet", "--message", "Move"]);
        world.git(&["push", "--quiet", "origin", "main"]);
        world.two_key_in(&clone, &["sync"]).exits(0).says("pushed to origin");
        let files = server(&world, &["ls-tree", "-r", "--name-only", "main", "leases", "elsewhere"]);
        assert_eq!(files, "elsewhere/LEASE-1.yaml\nelsewhere/LEASE-2.yaml\nleases/LEASE-3.yaml", "{setting}");
    }
}

/// Nor does it go into a file that nobody reads, by a verb or by what a forge's button would merge.
#[test]
fn a_proposal_does_not_follow_a_policy_that_somebody_renamed() {
    let world = World::authorized();
    let clone = with_lively_server(&world);
    let new = world.public_key("cp20");
    there(&world, &clone, "user1", &["key", "add", "cp20", &new, "--role", "agent", "--no-push"]).exits(0);
    for (renamed, code) in [("README", 0), (".two-key/policy.yaml", 4)] {
        if renamed == "README" {
            world.commit_file(renamed, "Read me\n", "Somebody writes");
        }
        fs::create_dir_all(world.repo().join("x")).unwrap();
        world.git(&["mv", renamed, "x"]);
        world.git(&["commit", "--quiet", "--message", "Move"]);
        world.git(&["push", "--quiet", "origin", "main"]);
        world.run(&clone, "git", &["fetch", "--quiet"], b"").exits(0);
        let ci = ["ci", "--base", "origin/main", "--head", "main"];
        let said = world.two_key_in(&clone, &ci).exits(code);
        if code == 4 {
            said.says("both sides changed .two-key/policy.yaml");
            world.two_key_in(&clone, &["sync"]).exits(1).says("stale").says("would be left behind");
            assert!(!server(&world, &["show", "main:x/policy.yaml"]).contains("cp20"));
            // Back in its place it takes it.
            fs::create_dir_all(world.repo().join(".two-key")).unwrap();
            world.git(&["mv", "x/policy.yaml", renamed]);
            world.git(&["commit", "--quiet", "--message", "Move back"]);
            world.git(&["push", "--quiet", "origin", "main"]);
        }
    }
    world.two_key_in(&clone, &["sync"]).exits(0).says("pushed to origin");
    assert!(server(&world, &["show", "main:.two-key/policy.yaml"]).contains("cp20"));
}

#[test]
fn keys_come_and_go_by_policy_and_are_revoked_at_once() {
    let world = World::authorized();
    let new = world.public_key("cp20");
    world.two_key(&["key", "add", "cp20", &new]).exits(2).says("--role");
    world.two_key(&["key", "add", "cp20", &world.public_key("user1"), "--role", "agent"]).exits(1).says("same-key");
    world
        .two_key(&["key", "add", "cp20", &new, "--role", "agent"])
        .exits(0)
        .says("adds agent cp20")
        .says("sign policy");
    world.two_key(&["key", "remove", "user2"]).exits(0).says("removes human user2").says("adds agent cp20");
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    refused(&world, "cp20", &["sign", "policy"], 1, "unknown-key");
    by(&world, "user1", &["sign", "policy"])
        .exits(0)
        .says("removes human user2")
        .says("waiting for an agent (cp14 or cp18)");
    by(&world, "cp14", &["sign", "policy"]).exits(0).says("policy version 2 is in force");
    refused(&world, "user2", &["start", LEASE], 1, "unknown-key");
    refused(&world, "cp20", &["key", "revoke", "cp14"], 1, "wrong-role");
    world.two_key(&["key", "revoke", "cp99"]).exits(1).says("unknown-key");
    by(&world, "user1", &["key", "revoke", "cp14", "--reason", "broken into"]).exits(0).says("permanently");
    refused(&world, "cp14", &["start", LEASE], 1, "not-authorized");
    refused(&world, "cp14", &["halt", LEASE], 1, "revoked-key");
    refused(&world, "user1", &["key", "revoke", "user1"], 1, "policy-floor").says("--force");
    by(&world, "user1", &["key", "revoke", "user1", "--force"]).exits(0).says("--push-option=two-key.force-revoke");
}

#[test]
fn votes_of_a_key_that_is_not_listed_are_not_shown_until_it_is() {
    let world = World::rolling();
    by(&world, "cp14", &["freeze"]).exits(0);
    let voters = |view: &serde_json::Value| -> Vec<String> {
        let ballots = view.as_array().unwrap().iter().flat_map(|ballot| ballot["votes"].as_array().unwrap());
        ballots.map(|vote| vote["principal"].as_str().unwrap().to_owned()).collect()
    };
    let shown = || {
        let lease = world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
        let list = world.two_key(&["list", "--format", "json"]).exits(0).json();
        [voters(&lease["pending"]), voters(&list["thaw_votes"])]
    };
    let enacts = |change: &[&str]| {
        world.two_key(change).exits(0);
        by(&world, "user1", &["sign", "policy"]).exits(0);
        by(&world, "cp14", &["sign", "policy"]).exits(0).says("is in force");
    };
    by(&world, "user2", &["thaw"]).exits(0);
    assert_eq!(shown(), [vec![], vec!["user2".to_owned()]]);
    enacts(&["key", "remove", "user2"]);
    assert_eq!(shown(), [Vec::<String>::new(), vec![]]);
    let key = world.public_key("user2");
    enacts(&["key", "add", "user2", &key, "--role", "human"]);
    assert_eq!(shown(), [vec![], vec!["user2".to_owned()]]);
    by(&world, "cp14", &["thaw"]).exits(0).says("the freeze ends");
    by(&world, "user2", &["promote", LEASE]).exits(0);
    assert_eq!(shown(), [vec!["user2".to_owned()], vec![]]);
    enacts(&["key", "remove", "user2"]);
    assert_eq!(shown(), [Vec::<String>::new(), vec![]]);
}

#[test]
fn a_freeze_takes_one_key_and_ends_by_two() {
    let world = World::rolling();
    by(&world, "cp14", &["freeze", "--reason", "incident"]).exits(0);
    refused(&world, "user1", &["promote", LEASE], 1, "frozen");
    by(&world, "user1", &["thaw"]).exits(0).says("still frozen");
    by(&world, "cp14", &["thaw"]).exits(0).says("the freeze ends");
    by(&world, "user1", &["promote", LEASE]).exits(0);
    refused(&world, "edge1", &["freeze"], 1, "wrong-role");
}

#[test]
fn new_checks_what_it_writes() {
    let world = World::founded();
    let artifact = format!("c=sha256:{}", "ab".repeat(32));
    let new = |more: &[&str]| {
        let base = ["new", "--target", "checkout-prod", "--artifact", &artifact];
        world.two_key(&[&base[..], more].concat())
    };
    let before = refs(&world);
    world.two_key(&["new", "--artifact", &artifact]).exits(2).says("--target");
    world.two_key(&["new", "--target", "checkout-prod"]).exits(2).says("--artifact");
    new(&["--tier", "50", "--tier", "20", "--tier", "100"]).exits(1).says("malformed");
    new(&["--tier", "5"]).exits(1).says("malformed");
    new(&["--expires", "yesterday"]).exits(2);
    new(&["--expires", "2020-01-01T00:00:00Z"]).exits(1).says("expired");
    new(&["--id", "a/b"]).exits(1).says("malformed");
    new(&["--agent-alone-up-to", "25"]).exits(1).says("policy-floor");
    new(&["--summary", "a\u{202e}b"]).exits(1).says("malformed");
    assert_eq!(refs(&world), before);
    assert!(!world.repo().join("leases").exists());
    new(&["--id", "LEASE-1", "--no-commit"]).exits(0);
    assert_eq!(refs(&world), before);
    assert!(world.repo().join("leases/LEASE-1.yaml").is_file());
    new(&["--id", "lease-1"]).exits(1).says("already");
    new(&[
        "--id",
        "LEASE-2",
        "--change",
        "https://git.example/x.git",
        &format!("{}..{}", "1".repeat(40), "2".repeat(40)),
    ])
    .exits(0);
    let written = fs::read_to_string(world.repo().join("leases/LEASE-2.yaml")).unwrap();
    assert!(written.contains("git.example") && written.contains(&"2".repeat(40)), "{written}");
    new(&["--target", "nowhere"]).exits(2);
}

#[test]
fn nothing_is_written_where_a_link_in_the_worktree_leads() {
    let world = World::founded();
    let outside = world.path().join("outside");
    let link = |name: &str, to: &Path| std::os::unix::fs::symlink(to, world.repo().join(name)).unwrap();
    let artifact = format!("shop=sha256:{}", "0".repeat(64));
    let new = || {
        world.two_key(&["new", "--target", "checkout-prod", "--artifact", &artifact, "--id", "LEASE-1", "--no-commit"])
    };
    let report = |file: &str| world.two_key(&["report", "--output", file]);
    fs::create_dir(&outside).unwrap();
    link("leases", &outside);
    link("pages", &outside);
    link("page.html", &outside.join("page.html"));
    link("dangling", &outside.join("nothing"));
    new().exits(1).says("malformed: ").says("symbolic link");
    // A way around it that leads back in is a way in.
    std::os::unix::fs::symlink(world.path(), world.path().join("around")).unwrap();
    let repo = world.repo().file_name().unwrap().to_str().unwrap();
    let around = format!("{}/around/{repo}/pages/page.html", world.path().display());
    let back = format!("../{repo}/page.html");
    for file in ["pages/page.html", "page.html", "dangling", &around, &back, "/proc/self/cwd/page.html"] {
        report(file).exits(1).says("malformed: ").says("symbolic link");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // Outside of the worktree links are their owner's own business; and a folder that is one is written to.
    std::os::unix::fs::symlink(&outside, world.path().join("mine")).unwrap();
    report("../mine/page.html").exits(0);
    assert!(outside.join("page.html").is_file());
    fs::remove_file(world.repo().join("leases")).unwrap();
    new().exits(0);
    fs::create_dir(world.repo().join("reports")).unwrap();
    report("reports/page.html").exits(0);
    assert!(world.repo().join("reports/page.html").is_file());
}

#[test]
fn a_page_goes_into_a_pipe_that_stays_one() {
    let world = World::founded();
    let pipe = world.path().join("pipe");
    world.run(world.path(), "mkfifo", &[pipe.to_str().unwrap()], b"").exits(0);
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    world.two_key(&["report", "--output", pipe.to_str().unwrap()]).exits(0);
    assert!(!fs::metadata(&pipe).unwrap().is_file());
    assert!(reader.join().unwrap().contains("<html"));
}

#[test]
fn every_alias_is_there() {
    let aliases = BTreeMap::from([
        ("sign-lease", "sign"),
        ("approve-next-tier", "approve"),
        ("pause-rollout", "pause"),
        ("abort", "halt"),
        ("force-rollback", "rollback"),
        ("reject", "withdraw"),
        ("list-leases", "list"),
    ]);
    let world = World::empty();
    for alias in aliases.keys() {
        world.two_key(&[alias, "--help"]).exits(0);
    }
}

#[test]
fn two_clones_that_push_at_once_both_get_through() {
    let world = World::proposed();
    let clone = with_server(&world);
    let key = |who: &str| world.key_file(who).to_str().unwrap().to_owned();
    let (human, agent) = (key("user1"), key("cp14"));
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let mut here = world.command(world.repo(), program);
    let mut over_there = world.command(&clone, program);
    here.args(["sign", LEASE, "--push", "--yes", "--key", &human]).stdout(std::process::Stdio::null());
    over_there.args(["sign", LEASE, "--push", "--yes", "--key", &agent]).stdout(std::process::Stdio::null());
    let (mut one, mut other) = (here.spawn().unwrap(), over_there.spawn().unwrap());
    assert!(one.wait().unwrap().success() && other.wait().unwrap().success());
    world.git(&["fetch", "--quiet", "origin"]);
    world.two_key(&["show", LEASE, "--remote"]).exits(0).says("authorized");
}

#[test]
fn a_key_that_is_configured_relative_to_the_worktree_is_found_from_a_folder_in_it() {
    let world = World::proposed();
    world.key_file("user1");
    world.git(&["config", "two-key.key", "../home/keys/user1"]);
    world.two_key_in(&world.repo().join("leases"), &["sign", LEASE]).exits(0);
    world
        .two_key_in(world.path(), &["-C", world.repo().to_str().unwrap(), "start", LEASE])
        .exits(1)
        .says("not-authorized");
}

#[test]
fn what_the_hook_of_the_server_refuses_is_said_with_its_reason() {
    let world = World::rolling();
    with_server(&world);
    let root = world.git(&["config", "two-key.root"]);
    let server_folder = world.path().join("server.git");
    world.two_key_in(&server_folder, &["hook", "install", "--root", &root]).exits(0);
    // What a stranger signed gets to the local main by plain Git, and no further.
    let message = world.two_key(&["statement", "--message", "--principal", "user1", "promote", LEASE]).exits(0).out;
    let strange = world.carry("mallory", &message);
    by(&world, "user2", &["promote", LEASE, "--push"]).exits(0).says("is left out: unknown-key");
    assert!(!server(&world, &["rev-list", "main"]).contains(&strange));
    let tag = format!("refs/tags/rollout/{LEASE}/1-start-5");
    by(&world, "user1", &["start", LEASE]).exits(0).says("its tag was missing");
    by(&world, "cp14", &["promote", LEASE, "--push"]).exits(0).says("5 % → 25 %").says("pushed to origin");
    by(&world, "user1", &["rollback", LEASE, "--push"]).exits(0).says("pushed to origin").never_says("not taken");
    assert!(!tag.is_empty());
    let tags = server(&world, &["for-each-ref", "--format=%(refname:lstrip=4)", "refs/tags"]);
    assert_eq!(tags, "2-promote-25\n3-rollback");
}

#[test]
fn a_strict_policy_counts_the_signed_proposal_of_somebody_else() {
    let world = World::empty();
    let policy = world.policy().replace("agents: [cp14, cp18]}", "separate-proposer: true, deliberate: true}");
    world.found(&policy);
    let artifact = format!("c=sha256:{}", "ab".repeat(32));
    let new = ["new", "--target", "checkout-prod", "--artifact", &artifact, "--id", LEASE];
    let before = refs(&world);
    world.two_key(&new).exits(1).says("proposer");
    assert_eq!(refs(&world), before);
    by(&world, "cp18", &new).exits(0);
    refused(&world, "cp18", &["sign", LEASE], 1, "proposer");
    by(&world, "user1", &["sign", LEASE]).exits(0);
    by(&world, "cp14", &["sign", LEASE]).exits(0).says("authorized");
}

/// On a forge anybody can commit files: that hides nobody's proposal, and makes nobody a proposer.
#[test]
fn copies_of_a_signed_proposal_keep_nobody_from_signing_it() {
    let world = World::empty();
    world.found(&world.policy().replace("agents: [cp14, cp18]}", "separate-proposer: true, deliberate: true}"));
    let artifact = format!("c=sha256:{}", "ab".repeat(32));
    by(&world, "cp18", &["new", "--target", "checkout-prod", "--artifact", &artifact, "--id", LEASE]).exits(0);
    let path = world.git(&["ls-tree", "-r", "--name-only", "main", "leases/"]);
    let text = fs::read_to_string(world.repo().join(&path)).unwrap();
    world.commit_file(&format!("leases/0/{LEASE}.yaml"), &text, "A copy");
    world.git(&["rm", "--quiet", &path]);
    world.git(&["commit", "--quiet", "--message", "It is gone"]);
    world.commit_file(&path, &text, "It is back");
    // Somebody's signed work, merged by nobody with a key, together with one more copy.
    let base = world.head();
    world.git(&["checkout", "--quiet", "-b", "topic"]);
    let key = format!("user.signingKey={}", world.key_file("user1").display());
    world.git(&["-c", "gpg.format=ssh", "-c", &key, "commit", "--quiet", "--allow-empty", "-S", "-m", "Work"]);
    world.git(&["checkout", "--quiet", "main"]);
    world.git(&["merge", "--quiet", "--no-ff", "--no-commit", "topic"]);
    world.commit_file(&format!("leases/1/{LEASE}.yaml"), &text, "A merge");
    assert_eq!(world.git(&["rev-parse", "main^1"]), base);
    refused(&world, "cp18", &["sign", LEASE], 1, "proposer");
    by(&world, "user1", &["sign", LEASE]).exits(0);
    by(&world, "cp14", &["sign", LEASE]).exits(0).says("authorized");
    // The honest refusal beside it: of a lease that nobody signed nobody knows who proposed it.
    world.commit_file("leases/L-2.yaml", &lease("L-2"), "Propose another");
    refused(&world, "user1", &["sign", "L-2"], 1, "proposer");
}

#[test]
fn sha_256_repositories_and_bare_ones_are_written_to_as_well() {
    let mut world = World::with_format("sha256");
    world.found(&world.policy());
    let bare = world.path().join("bär: a folder.git");
    world.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let root = world.head();
    world.enter(&bare);
    world.two_key(&["trust", &root]).exits(0);
    let artifact = format!("c=sha256:{}", "ab".repeat(32));
    world.two_key(&["new", "--target", "checkout-prod", "--artifact", &artifact, "--id", LEASE]).exits(0);
    by(&world, "user1", &["sign", LEASE]).exits(0);
    by(&world, "cp14", &["sign", LEASE]).exits(0);
    by(&world, "cp14", &["start", LEASE]).exits(0).says("0 % → 5 %");
    by(&world, "user1", &["halt", LEASE]).exits(0);
    world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
}

#[test]
fn a_note_counts_once_and_only_for_its_own_principal() {
    let world = World::proposed();
    by(&world, "cp14", &["sign", LEASE, "--as", "note"]).exits(0);
    let blob = world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let note = world.git(&["notes", "--ref", "two-key/cp14", "show", &blob]);
    let append = |principal: &str, text: &str| {
        let name = format!("two-key/{principal}");
        let args = ["notes", "--ref", &name, "append", "-F", "-", &blob];
        world.run(world.repo(), "git", &args, text.as_bytes()).exits(0);
    };
    // The entry doubled, the same under a person's name, and for other bytes.
    append("cp14", &note);
    append("user1", &note);
    append("cp18", &note.replace("Two-Key-Digest: sha256:", "Two-Key-Digest: sha256:0"));
    refused(&world, "user1", &["start", LEASE], 1, "not-authorized").says("needs a human (user1 or user2); has cp14");
    by(&world, "user1", &["sign", LEASE]).exits(0).says("authorized");
    assert_eq!(world.git(&["log", "-1", "--format=%B"]).matches("Two-Key-Cosignature: ").count(), 2);
    world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
}

#[test]
fn a_stop_is_kept_even_where_the_branch_cannot_be_moved() {
    let world = World::rolling();
    // Another writer holds the branch's lock, as a crashed one would.
    let lock = world.repo().join(".git/refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    by(&world, "user1", &["halt", LEASE]).exits(0).says("the stop is kept at refs/two-key-local/stops/");
    refused(&world, "user1", &["promote", LEASE], 3, "stale");
    fs::remove_file(&lock).unwrap();
    by(&world, "user1", &["promote", LEASE]).exits(1).says("carried over a stop").says("wrong-state");
    assert_eq!(state(&world, LEASE), "halted");
    let tag = world.git(&["rev-parse", &format!("refs/tags/rollout/{LEASE}/2-halt^{{commit}}")]);
    assert_eq!(tag, world.head());
}
