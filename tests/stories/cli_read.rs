//! Reading verbs, through the binary, on repositories made with plain Git and ssh-keygen.

use std::{fs, path::Path};

use crate::kit::{LEASE, Ran, World, lease};

/// Compares with a file of `tests/snapshots/`; `INSTA_UPDATE=always` writes it anew, for a person to read the difference.
fn matches_snapshot(name: &str, actual: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, actual));
}

/// What a person who ran a command would have on the screen.
fn transcript(world: &World, commands: &[&[&str]]) -> String {
    let show = |args: &&[&str]| {
        let Ran { code, out, err } = world.two_key(args);
        format!("$ git two-key {}\n{out}{err}[exit {code}]\n\n", args.join(" "))
    };
    commands.iter().map(show).collect()
}

/// A rolling lease with one key of two for its next tier, a stranger's vote, and a tag for its start.
fn story() -> World {
    let world = World::rolling();
    world.git(&["tag", "-a", "-m", "start", &format!("rollout/{LEASE}/1-start-5"), "main"]);
    world.turn("cp14", "promote", LEASE);
    let message = world.two_key(&["statement", "--message", "--principal", "user2", "promote", LEASE]).exits(0).out;
    world.carry("mallory", &message);
    world
}

#[test]
fn a_story_reads_the_same_for_people_every_time() {
    let verbs: [&[&str]; 8] = [
        &["list"],
        &["show", LEASE],
        &["log"],
        &["verify"],
        &["verify", LEASE],
        &["key", "list"],
        &["key", "allowed-signers"],
        &["statement", "--message", "--principal", "user1", "promote", "checkout-prod"],
    ];
    matches_snapshot("story", &transcript(&story(), &verbs));
}

#[test]
fn a_story_reads_the_same_for_programs_every_time() {
    let verbs: [&[&str]; 6] = [
        &["list", "--format", "json"],
        &["show", LEASE, "--format", "json"],
        &["log", "--format", "json"],
        &["verify", "--format", "json"],
        &["verify", LEASE, "--format", "json"],
        &["key", "list", "--format", "json"],
    ];
    matches_snapshot("story-json", &transcript(&story(), &verbs));
}

#[test]
fn cosigners_have_the_shape_that_older_scripts_read() {
    let shown = World::authorized().two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
    let cosigners = shown["cosigners"].as_array().unwrap();
    assert_eq!(cosigners.len(), 2);
    for (cosigner, (role, id)) in cosigners.iter().zip([("human", "user1"), ("agent", "cp14")]) {
        assert_eq!((cosigner["role"].as_str(), cosigner["id"].as_str()), (Some(role), Some(id)));
        assert!(cosigner["sig"].as_str().unwrap().starts_with("U1NIU0lH"), "an SSHSIG blob in base64");
        assert!(cosigner["timestamp"].as_str().unwrap().starts_with("2025-10-27T02:"));
    }
}

#[test]
fn a_lease_verifies_only_once_both_keys_are_turned() {
    let world = World::proposed();
    world.two_key(&["verify", LEASE]).exits(1).says(&format!("two-key: refused {LEASE}: not-authorized: "));
    world.turn("user1", "cosign", LEASE);
    let refused = world.two_key(&["verify", LEASE]).exits(1);
    refused.says(&format!("two-key: refused {LEASE}: missing-role: cosign needs an agent (cp14 or cp18); has user1"));
    let json = world.two_key(&["verify", LEASE, "--format", "json"]).exits(1).json();
    assert_eq!((json["ok"].as_bool(), json["reason"].as_str()), (Some(false), Some("missing-role")));
    world.turn("cp18", "cosign", LEASE);
    world.two_key(&["verify", LEASE]).exits(0).says("cosigners 2/2");
    // One lease lacking keys is no finding: nothing false stands in the ledger.
    world.two_key(&["verify", "--all"]).exits(0).says("everything counts");
}

#[test]
fn a_lease_that_a_new_policy_would_authorize_verifies_once_a_vote_is_counted_by_it() {
    let world = World::empty();
    world.found(&world.policy().replace("cosign: {human: 1", "cosign: {human: 2"));
    world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
    world.turn("user1", "cosign", LEASE);
    world.turn("cp14", "cosign", LEASE);
    world.two_key(&["verify", LEASE]).exits(1).says(": missing-role: cosign needs a human (user2)");
    let digest = world.two_key(&["list", "--format", "json"]).exits(0).json()["policy"]["digest"].clone();
    let next = format!("version: 2\nprevious: {}", digest.as_str().unwrap());
    let next = world.policy().replace("version: 1\nprevious: null", &next);
    world.commit_file(".two-key/policy.yaml", &next, "Ask for one human");
    for name in ["user1", "cp14"] {
        let message = world.two_key(&["statement", "--message", "--principal", name, "policy"]).exits(0).out;
        world.carry(name, &message);
    }
    // As the ledger says, which would not let it start either.
    world.two_key(&["list"]).exits(0).says("proposed");
    world.two_key(&["statement", "start", LEASE]).exits(1).says("not-authorized");
    world.two_key(&["verify", LEASE]).exits(1).says(": not-authorized: ");
    world.turn("user1", "cosign", LEASE);
    world.two_key(&["verify", LEASE]).exits(0).says("cosigners 2/2");
}

#[test]
fn a_withdrawn_lease_does_not_verify() {
    let world = World::authorized();
    world.two_key(&["verify", LEASE]).exits(0);
    world.turn("cp14", "withdraw", LEASE);
    world.two_key(&["verify", LEASE]).exits(1).says(&format!("refused {LEASE}: not-authorized: "));
}

#[test]
fn a_revoked_key_takes_its_vote_away_until_the_start() {
    let revoke = |world: &World| {
        let key = world.fingerprint("cp14");
        let args = ["statement", "--message", "--principal", "user1", "revoke", "--key", &key];
        let message = world.two_key(&args).exits(0).out;
        world.carry("user1", &message);
        world.two_key(&["key", "list"]).exits(0).says("revoked by");
        // Git still knows whose signatures those are that it made before.
        let listed = world.two_key(&["key", "allowed-signers"]).exits(0).out;
        assert!(listed.lines().any(|line| line.starts_with("cp14 ") && line.contains("valid-before=")), "{listed}");
    };
    let (before, after) = (World::authorized(), World::rolling());
    revoke(&before);
    before.two_key(&["verify", LEASE]).exits(1).says(": missing-role: cosign needs an agent (cp18); has user1");
    revoke(&after);
    after.two_key(&["verify", LEASE]).exits(0);
}

#[test]
fn a_strangers_vote_is_a_finding_and_nothing_more() {
    let world = World::authorized();
    world.two_key(&["verify"]).exits(0);
    let good = world.head();
    let message = world.two_key(&["statement", "--message", "--principal", "user2", "start", LEASE]).exits(0).out;
    let bad = world.carry("mallory", &message);
    world.two_key(&["verify"]).exits(1).says(": unknown-key: ").says("1 finding in ").never_says("verified");
    world.two_key(&["verify", LEASE]).exits(0);
    world.two_key(&["list"]).exits(0).says("authorized");
    world.two_key(&["log"]).exits(1).says("REFUSED").says(&bad[..12]);
    world.two_key(&["verify", "--range", &format!("{good}..")]).exits(1).says("unknown-key");
    world.two_key(&["verify", "--range", &format!("..{good}")]).exits(0);
    world.two_key(&["verify", "--range", &format!("{bad}..main")]).exits(0).says("verified 0 steps");
    world.two_key(&["verify", "--range", &format!("{bad}..{good}")]).exits(1).says("not-descended");
    world.two_key(&["verify", "--range", "main"]).exits(2);
    world.two_key(&["verify", "--range", "nowhere..main"]).exits(3);
}

#[test]
fn without_a_pinned_root_nothing_is_verified_and_all_else_says_so_first() {
    let world = World::rolling();
    let root = world.git(&["config", "two-key.root"]);
    world.git(&["config", "--unset", "two-key.root"]);
    world.two_key(&["verify"]).exits(3).says("undecided: unpinned: ").says(&format!("git two-key trust {root}"));
    world.two_key(&["verify", LEASE]).exits(3).says("undecided: unpinned: ");
    assert_eq!(world.two_key(&["verify", "--format", "json"]).exits(3).json()["reason"], "unpinned");
    for verb in [vec!["list"], vec!["show", LEASE], vec!["log"], vec!["key", "list"]] {
        let ran = world.two_key(&verb).exits(0);
        assert!(ran.out.starts_with("unpinned: "), "{verb:?}: {}", ran.out);
    }
    let halt = world.two_key(&["statement", "halt", LEASE]).exits(0);
    assert!(halt.out.starts_with("Two-Key-Statement: 1\n") && halt.err.starts_with("unpinned: "));
    let env = [("TWO_KEY_ROOT", root.as_str())];
    world.run_with(world.repo(), env!("CARGO_BIN_EXE_git-two-key"), &["verify"], b"", &env).exits(0);
}

#[test]
fn a_wrong_root_decides_nothing() {
    let world = World::founded();
    let real = world.git(&["config", "two-key.root"]);
    world.git(&["config", "two-key.root", &"1".repeat(40)]);
    world.two_key(&["verify"]).exits(3).says("is not in this repository");
    world.git(&["config", "two-key.root", "main"]);
    world.two_key(&["list"]).exits(3);
    // Another history with the same policy is another ledger.
    let tree = world.git(&["rev-parse", "main^{tree}"]);
    let other = world.git(&["commit-tree", "-m", "Found another ledger", &tree]);
    world.git(&["config", "two-key.root", &other]);
    world.two_key(&["verify"]).exits(3).says("not-descended");
    world.git(&["config", "two-key.root", &real]);
    world.two_key(&["verify"]).exits(0);
}

#[test]
fn places_without_a_ledger_are_told_apart() {
    let world = World::empty();
    world.two_key(&["list"]).exits(3).says("this is not a governance clone").says("git two-key clone URL --root ROOT");
    world.two_key_in(world.path(), &["list"]).exits(3).says("not a Git repository");
    assert_eq!(world.two_key(&["list", "--format", "json"]).exits(3).json()["reason"], "no-ledger");
}

#[test]
fn a_shallow_clone_cannot_be_verified_and_says_why() {
    let mut world = World::authorized();
    let (origin, clone) = (format!("file://{}", world.repo().display()), world.path().join("clone"));
    world.git(&["clone", "--quiet", "--depth", "1", &origin, clone.to_str().unwrap()]);
    world.enter(&clone);
    world.two_key(&["list"]).exits(3).says("shallow: ").says("git fetch --unshallow");
    world.two_key(&["statement", "start", LEASE]).exits(3).says("shallow: ");
    // A stop binds to a repository and a lease, and needs no history.
    for handle in [LEASE, "checkout-prod", "INT-2025-0042"] {
        let ran = world.two_key(&["statement", "halt", handle]).exits(0);
        assert!(ran.out.contains(&format!("Two-Key-Lease: {LEASE}\n")) && ran.err.starts_with("unverified: "));
    }
    world.two_key(&["statement", "freeze"]).exits(0).says("Two-Key-Action: freeze");
    // What no file tells of may be a lease all the same, but for what can be none.
    world.two_key(&["statement", "halt", "nothing"]).exits(0).says("the lease whose id is exactly nothing");
    world.two_key(&["statement", "halt", "no lease"]).exits(1).says("unknown-lease: ");
    let message = ["statement", "halt", LEASE, "--message", "--principal", "cp14"];
    world.two_key(&message).exits(0).says("Two-Key-Principal: cp14");
}

#[test]
fn a_handle_is_a_lease_an_intent_or_a_target() {
    let world = World::proposed();
    for handle in [LEASE, "INT-2025-0042", "checkout-prod"] {
        world.two_key(&["show", handle]).exits(0).says(LEASE);
    }
    world.two_key(&["show", "nothing-here"]).exits(1).says("two-key: refused nothing-here: unknown-lease: ");
    world.two_key(&["show", "no/id"]).exits(1).says("two-key: refused no/id: malformed: ");
    world.commit_file("leases/LEASE-2.yaml", &lease("LEASE-2"), "Propose another");
    let ran = world.two_key(&["show", "INT-2025-0042"]).exits(1).says(": ambiguous: ");
    ran.says("LEASE-2").says(LEASE);
    world.two_key(&["show", "LEASE-2"]).exits(0);
}

#[test]
fn statements_are_refused_with_the_ledgers_reason() {
    let world = World::proposed();
    let refused = |args: &[&str], reason: &str| {
        world.two_key(&[&["statement"], args].concat()).exits(1).says(&format!(": {reason}: "));
    };
    refused(&["start", LEASE], "not-authorized");
    refused(&["promote", LEASE], "wrong-state");
    refused(&["cosign", "LEASE-NONE"], "unknown-lease");
    refused(&["policy"], "policy-version");
    refused(&["revoke", "--key", &world.fingerprint("mallory")], "unknown-key");
    refused(&["revoke", "--key", "mallory"], "unknown-key");
    refused(&["cosign", LEASE, "--message", "--principal", "mallory"], "wrong-principal");
    for usage in
        [vec!["cosign"], vec!["policy", LEASE], vec!["revoke"], vec!["stop", LEASE], vec!["halt", LEASE, "--key", "x"]]
    {
        world.two_key(&[&["statement"], usage.as_slice()].concat()).exits(2);
    }
    world.two_key(&["statement", "cosign", LEASE]).exits(0).says("Two-Key-Digest: sha256:");
}

#[test]
fn a_message_names_the_owner_of_gits_signing_key() {
    let world = World::proposed();
    world.two_key(&["statement", "--message", "cosign", LEASE]).exits(3).says("--principal");
    let key = world.key_file("cp18");
    world.git(&["config", "user.signingkey", key.to_str().unwrap()]);
    world.two_key(&["statement", "--message", "cosign", LEASE]).exits(0).says("Two-Key-Principal: cp18\n");
    let key = world.key_file("mallory");
    world.git(&["config", "two-key.key", key.to_str().unwrap()]);
    world.two_key(&["statement", "--message", "cosign", LEASE]).exits(1).says(": unknown-key: ");
}

#[test]
fn allowed_signers_make_git_agree_about_whose_signature_it_is() {
    let world = World::rolling();
    let file = world.path().join("allowed");
    fs::write(&file, world.two_key(&["key", "allowed-signers"]).exits(0).out).unwrap();
    let setting = format!("gpg.ssh.allowedSignersFile={}", file.display());
    let verify = |commit: &str| world.run(world.repo(), "git", &["-c", &setting, "verify-commit", commit], b"");
    verify("main").exits(0).says("Good \"git\" signature for user1");
    let stranger = world.sign_commit("mallory", "main", "Say something\n");
    assert_ne!(verify(&stranger).code, 0);
}

#[test]
fn the_upstreams_lead_is_said_and_can_be_read() {
    let mut world = World::authorized();
    let (origin, clone) = (world.repo().to_owned(), world.path().join("clone"));
    let root = world.git(&["config", "two-key.root"]);
    world.git(&["clone", "--quiet", origin.to_str().unwrap(), clone.to_str().unwrap()]);
    world.turn("user1", "start", LEASE);
    world.enter(&clone);
    world.git(&["config", "two-key.root", &root]);
    // As it was fetched last; then as it is.
    world.two_key(&["list", "--offline"]).exits(0).says("authorized");
    world.git(&["config", "two-key.fetch", "false"]);
    world.two_key(&["list"]).exits(0).says("authorized");
    world.git(&["config", "two-key.fetch", "true"]);
    world.two_key(&["list"]).exits(0).says("rolling").never_says("NOT PUSHED");
    world.two_key(&["verify", LEASE, "--offline"]).exits(0).says("rolling");
    for remote in [&["list", "--remote"][..], &["list", "--remote", "origin"], &["list", "--remote=origin"]] {
        world.two_key(remote).exits(0).says("rolling");
    }
    world.two_key(&["list", "--remote", "nowhere"]).exits(3).says("not-found: there is no remote `nowhere`");
    // What is only here is said first; a remote that is away is said too, and how old it is what is shown.
    world.git(&["merge", "--quiet", "origin/main"]);
    world.turn("user1", "halt", LEASE);
    let ran = world.two_key(&["list"]).exits(0).says("halted");
    assert!(
        ran.out.starts_with("NOT PUSHED: the local main has 1 commit that origin/main does not have"),
        "{}",
        ran.out
    );
    world.two_key(&["list", "--remote"]).exits(0).says("rolling");
    world.git(&["remote", "set-url", "origin", "/nowhere"]);
    let away = world.two_key(&["show", LEASE]).exits(0).says("halted").says(" old");
    away.says("warning: origin is no Git repository, or none that you may read");
    world.two_key(&["show", LEASE, "--offline"]).exits(0).never_says("warning");
}

#[test]
fn what_strangers_write_never_reaches_the_terminal_as_it_is() {
    let world = World::proposed();
    world.commit_file("leases/\u{1b}[2J\u{202e}x\n.yaml", "two-key: 1\n", "Propose nonsense");
    for verb in [vec!["verify"], vec!["log"], vec!["list"], vec!["verify", "--format", "json"], vec!["check"]] {
        let ran = world.two_key(&verb);
        let all = ran.out + &ran.err;
        assert!(!all.contains('\u{1b}') && !all.contains('\u{202e}'), "{verb:?}: {all:?}");
    }
    world.two_key(&["verify"]).exits(1).says("\\u{1b}[2J");
}

#[test]
fn sha256_repositories_are_read_alike() {
    let world = World::with_format("sha256");
    let root = world.found(&world.policy());
    assert_eq!(root.len(), 64);
    world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
    world.turn("user1", "cosign", LEASE);
    world.turn("cp14", "cosign", LEASE);
    world.two_key(&["verify", LEASE]).exits(0);
}

#[test]
fn a_policy_on_another_branch_is_found_without_being_told() {
    let world = World::empty();
    let policy = world.policy().replace("branch: main", "branch: ledger");
    world.git(&["symbolic-ref", "HEAD", "refs/heads/ledger"]);
    let file = world.repo().join(".two-key/policy.yaml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, policy).unwrap();
    world.git(&["add", "."]);
    world.git(&["commit", "--quiet", "-m", "Found the ledger"]);
    world.two_key(&["list"]).exits(0).says("unpinned: ");
    let root = world.git(&["rev-parse", "HEAD"]);
    world.git(&["config", "two-key.root", &root]);
    world.two_key(&["verify"]).exits(0).says("of ledger from root");
}

#[test]
fn votes_in_notes_are_shown_and_put_nothing_in_force() {
    let world = World::proposed();
    world.turn("user1", "cosign", LEASE);
    let statement = world.two_key(&["statement", "cosign", LEASE]).exits(0).out;
    let note = world.path().join("note");
    let annotate = |name: &str, text: &str| {
        fs::write(&note, format!("{text}{}", world.detached(name, text))).unwrap();
        let blob = world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
        let reference = format!("--ref=two-key/{}", if name == "mallory" { "cp18" } else { name });
        world.git(&["notes", &reference, "append", "-F", note.to_str().unwrap(), &blob]);
    };
    annotate("mallory", &statement);
    world.two_key(&["list"]).exits(0).never_says("by note");
    annotate("cp14", &statement);
    world.two_key(&["list"]).exits(0).says("1/2").says("no further key, to authorize; by note: cp14");
    world.two_key(&["show", LEASE]).exits(0).says("by note: cp14").says("proposed");
    world.two_key(&["verify", LEASE]).exits(1).says("missing-role").says("by note: cp14");
    let json = world.two_key(&["list", "--format", "json"]).exits(0).json();
    assert_eq!(json["leases"][0]["awaits"]["by_note"], serde_json::json!(["cp14"]));
    assert_eq!(json["leases"][0]["cosigners_have"], 1);
}

#[test]
fn a_watched_list_is_printed_again_when_it_has_changed() {
    use std::io::{BufRead as _, BufReader};
    let world = World::rolling();
    let mut command = world.command(world.repo(), env!("CARGO_BIN_EXE_git-two-key"));
    let mut child = command.args(["list", "--watch"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("rolling")));
    world.turn("user1", "pause", LEASE);
    assert!(lines.any(|line| line.contains("paused")));
    child.kill().unwrap();
    child.wait().unwrap();
}
