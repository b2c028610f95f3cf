//! Several leases by one command: one table, one question, one push, a signature each; and none where one is refused.

use std::{
    fs,
    os::unix::{
        fs::PermissionsExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    process::Stdio,
};

use serde_json::{Value, json};

use crate::{
    kit::Ran,
    signing::Scene,
    teams::{propose, world},
};

const STAGE: &str = "STAGE-1";
const SHOP: &str = "SHOP-1";
const PROGRAM: &str = env!("CARGO_BIN_EXE_git-two-key");

/// Two leases of one intent, proposed at the server, on two targets.
fn scene() -> Scene {
    let world = world();
    propose(&world, STAGE, "payments-staging", &["--intent", "INT-1"]).exits(0);
    propose(&world, SHOP, "shop-prod", &["--intent", "INT-1"]).exits(0);
    Scene::of(world)
}

/// The same, both at 5 %.
fn rolling() -> Scene {
    let scene = scene();
    for who in ["ana", "cp14"] {
        scene.by(who, &["sign", STAGE, SHOP, "--yes"]).exits(0);
    }
    for id in [STAGE, SHOP] {
        scene.by("bo", &["start", id]).exits(0);
    }
    scene
}

impl Scene {
    /// What the server's ledger says of a lease.
    fn of_lease(&self, id: &str) -> Value {
        self.world.two_key_in(&self.server, &["show", id, "--format", "json"]).exits(0).json()
    }

    fn states(&self) -> [String; 2] {
        [STAGE, SHOP].map(|id| self.of_lease(id)["state"].as_str().unwrap().to_owned())
    }

    fn tiers(&self) -> [Value; 2] {
        [STAGE, SHOP].map(|id| self.of_lease(id)["tier"].clone())
    }

    /// Every ref here and at the server, fetched ones aside.
    fn refs(&self) -> String {
        let own = ["for-each-ref", "refs/heads", "refs/tags", "refs/two-key-local"];
        self.world.git(&own) + &self.on_server(&["for-each-ref"])
    }

    /// At a terminal, where an answer is typed.
    fn answers(&self, answer: &str, who: &str, args: &[&str]) -> Ran {
        let pty = "import os, pty, sys\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
        let key = self.world.key_file(who);
        let args = [&["-c", pty, PROGRAM], args, &["--key", key.to_str().unwrap()]].concat();
        self.world.run(self.world.repo(), "python3", &args, answer.as_bytes())
    }

    /// Has people's repository run a script in place of the second signature.
    fn second_signature(&self, script: &str) {
        let (program, count) = (self.world.path().join("signs"), self.world.path().join("signed"));
        let (shown, count) = (program.display(), count.display());
        let text =
            format!("#!/bin/sh\nif [ -e '{count}' ]; then rm '{count}' '{shown}'; {script}; fi\n: > '{count}'\n");
        fs::write(&program, text + "exec ssh-keygen \"$@\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        self.world.git(&["config", "gpg.ssh.program", program.to_str().unwrap()]);
    }

    /// Somebody types Ctrl-C while the second of several signatures is made.
    fn interrupted(&self, who: &str, args: &[&str]) {
        self.second_signature("kill -INT 0");
        let mut command = self.world.command(self.world.repo(), PROGRAM);
        command.args(args).arg("--key").arg(self.world.key_file(who)).stdin(Stdio::null()).process_group(0);
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        self.world.git(&["config", "--unset", "gpg.ssh.program"]);
    }
}

#[test]
fn several_are_shown_in_one_table_asked_for_once_and_pushed_once() {
    let scene = scene();
    let before = scene.refs();
    let pushes = scene.world.path().join("pushes");
    let hook = scene.world.repo().join(".git/hooks/pre-push");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\necho >> '{}'\n", pushes.display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    // Nobody is there to be asked, or says no.
    let ran = scene.by("ana", &["sign", STAGE, SHOP]).exits(3).says("not-signed: ");
    ran.says("LEASE    TARGET            WHAT YOUR KEY DOES");
    scene.answers("n\n", "ana", &["sign", STAGE, SHOP]).exits(3).says("not-signed: ");
    scene.by("ana", &["sign", STAGE, SHOP, "--dry-run"]).exits(0).says("ana would sign:");
    assert_eq!((scene.refs(), pushes.exists()), (before, false));
    // All that one alone would have shown is shown.
    let head = scene.world.head();
    let ran = scene.answers("y\n", "ana", &["sign", STAGE, SHOP]).exits(0);
    for shown in ["Lease STAGE-1", "Lease SHOP-1", "LEASE    TARGET", "turn the key of ana for each of these 2?"] {
        assert_eq!(ran.out.matches(shown).count(), 1, "{shown}\n{}", ran.out);
    }
    assert_eq!(fs::read_to_string(&pushes).unwrap(), "\n");
    let told = scene.by("cp14", &["sign", SHOP, STAGE, "--yes", "--format", "json"]).exits(0).json();
    let signed: Vec<_> = told["signed"].as_array().unwrap().iter().map(|vote| vote["lease"].clone()).collect();
    assert_eq!((signed, &told["pushed_to"]), (vec![json!(SHOP), json!(STAGE)], &json!("origin")));
    assert_eq!(told["effect"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(scene.states(), ["authorized", "authorized"]);
    // A signature for each lease and key, each a commit of its own.
    assert_eq!(scene.on_server(&["rev-list", "--count", &format!("{head}..main")]), "4");
    let statements = scene.on_server(&["log", "--format=%s", &format!("{head}..main")]);
    assert_eq!(statements, "Cosign STAGE-1\nCosign SHOP-1\nCosign SHOP-1\nCosign STAGE-1");
}

#[test]
fn a_pattern_means_what_waits_for_this_key() {
    let scene = scene();
    scene.by("ana", &["sign", "--target-prefix", "shop-", "--yes"]).exits(0).never_says(STAGE);
    assert_eq!(scene.states(), ["proposed", "proposed"]);
    // Even one is asked for: nobody has named it.
    scene.by("ana", &["sign", "--intent", "INT-1"]).exits(3).says("not-signed: ");
    scene.by("ana", &["sign", "--intent", "INT-1", "--yes"]).exits(0).says("ana: Cosign STAGE-1").never_says("SHOP-1");
    scene.by("cp14", &["sign", "--intent", "INT-1", "--target-prefix", "payments-", "--yes"]).exits(0);
    assert_eq!(scene.states(), ["authorized", "proposed"]);
    scene.by("cp14", &["sign", "--target-prefix", "", "--yes"]).exits(0);
    assert_eq!(scene.states(), ["authorized", "authorized"]);
    scene.by("cp14", &["sign", "--intent", "INT-1", "--yes"]).exits(1).says("refused --intent INT-1: unknown-lease: ");
    scene.by("cp14", &["sign", STAGE, "--intent", "INT-1"]).exits(2);
    scene.by("cp14", &["sign"]).exits(2);
}

#[test]
fn where_one_is_refused_none_is_signed_and_each_is_told() {
    let scene = scene();
    scene.by("ana", &["sign", SHOP]).exits(0);
    let before = scene.refs();
    let ran = scene.by("ana", &["sign", STAGE, SHOP, "NOBODY-1", "--yes"]).exits(1);
    ran.says("refused SHOP-1: already-voted: ")
        .says("so nothing was signed for any of the 3")
        .says("| NOBODY-1: unknown-lease: ")
        .says("leave out what is refused");
    let told = scene.by("ana", &["sign", STAGE, SHOP, "NOBODY-1", "--yes", "--format", "json"]).exits(1).json();
    let refused = told["done"]["refused"].as_array().unwrap().iter().map(|why| [&why["lease"], &why["reason"]]);
    assert_eq!(refused.collect::<Vec<_>>(), [[SHOP, "already-voted"], ["NOBODY-1", "unknown-lease"]]);
    assert_eq!((&told["done"]["signed"], &told["done"]["effect"]), (&json!([]), &json!([])));
    scene.by("ana", &["sign", STAGE, "policy", "--yes"]).exits(2);
    scene.by("ana", &["sign", STAGE, SHOP, "--as", "note", "--yes"]).exits(2);
    assert_eq!(scene.refs(), before);
    // Without what is refused.
    scene.by("ana", &["sign", STAGE, "--yes"]).exits(0).says("pushed to origin");

    let scene = rolling();
    let before = scene.refs();
    scene.by("cp14", &["approve", STAGE, SHOP, "--yes"]).exits(1).says("wrong-role: cp14 is an agent");
    scene.by("cp14", &["approve", STAGE, SHOP, "--yes"]).exits(1).says("git two-key promote STAGE-1 SHOP-1");
    scene.world.two_key(&["approve", STAGE, SHOP, "--yes"]).exits(3).says("no-key: ");
    assert_eq!(scene.refs(), before);
    scene.by("bo", &["approve", STAGE, SHOP, "--yes"]).exits(0).says("Evidence");
    scene.by("cp14", &["promote", "--target-prefix", "", "--yes"]).exits(0).says("5 % → 25 %, rolling");
    assert_eq!(scene.tiers(), [25, 25]);
}

/// What another clone does before the next push from here.
fn meanwhile(scene: &Scene, who: &str, args: &str) {
    let (other, key) = (scene.other.display(), scene.world.key_file(who));
    let run = format!("{PROGRAM} -C '{other}' {args} --key '{}' >/dev/null", key.display());
    scene.before_the_push(&format!("unset GIT_DIR GIT_WORK_TREE GIT_PREFIX\n{run} || exit 1"));
}

#[test]
fn a_push_in_between_is_built_on() {
    let scene = scene();
    meanwhile(&scene, "bo", &format!("sign {SHOP}"));
    let ran = scene.by("ana", &["sign", STAGE, SHOP, "--yes"]).exits(0);
    ran.says("had newer commits").says("pushed to origin");
    scene.by("cp14", &["sign", STAGE, SHOP, "--yes"]).exits(0);
    assert_eq!(scene.states(), ["authorized", "authorized"]);
}

#[test]
fn where_a_push_in_between_makes_one_do_more_all_are_taken_back_unless_somebody_says_yes() {
    let scene = rolling();
    let local = || scene.world.git(&["for-each-ref", "refs/heads", "refs/tags", "refs/two-key-local"]);
    let before = local();
    meanwhile(&scene, "cp14", &format!("promote {SHOP}"));
    let ran = scene.answers("y\nn\n", "bo", &["promote", STAGE, SHOP]).exits(1);
    ran.says("stays at 5 %").says("SHOP-1: 5 % → 25 %, rolling").says("stale: origin moved on meanwhile");
    // All is taken back, and nothing is left that would be pushed later.
    assert_eq!((scene.tiers(), local()), ([json!(5), json!(5)], before));
    scene.by("bo", &["promote", STAGE, SHOP, "--yes"]).exits(0);
    assert_eq!(scene.tiers(), [5, 25]);

    let scene = rolling();
    meanwhile(&scene, "cp14", &format!("promote {SHOP}"));
    scene.answers("y\ny\n", "bo", &["promote", STAGE, SHOP]).exits(0).says("pushed to origin");
    assert_eq!(scene.tiers(), [5, 25]);
}

#[test]
fn one_that_does_not_count_any_more_keeps_all_here_and_sync_delivers_the_others() {
    let scene = rolling();
    meanwhile(&scene, "cp14", &format!("halt {SHOP}"));
    let ran = scene.by("bo", &["promote", STAGE, SHOP, "--yes"]).exits(1);
    ran.says("refused SHOP-1: stale-step: somebody else pushed first").says("git two-key sync");
    scene.world.two_key(&["sync"]).exits(0).says("with 1 vote that was signed here");
    scene.by("cp14", &["promote", STAGE]).exits(0).says("5 % → 25 %, rolling");
}

#[test]
fn what_was_signed_before_ctrl_c_is_here_and_is_delivered() {
    let scene = scene();
    let server = scene.on_server(&["for-each-ref"]);
    scene.interrupted("ana", &["sign", STAGE, SHOP, "--yes"]);
    assert_eq!(scene.on_server(&["for-each-ref"]), server);
    scene.world.two_key(&["show", STAGE]).exits(0).says("NOT PUSHED: signature (ana)");
    scene.world.two_key(&["show", SHOP]).exits(0).never_says("NOT PUSHED: signature");
    scene.world.two_key(&["sync"]).exits(0).says("with 1 vote that was signed here");
    scene
        .by("ana", &["sign", "--intent", "INT-1", "--yes"])
        .exits(0)
        .says("ana: Cosign SHOP-1")
        .never_says("Lease STAGE-1");

    // The same command again signs what is missing, and nothing twice.
    let scene = rolling();
    scene.by("cp14", &["promote", STAGE, SHOP, "--yes"]).exits(0);
    scene.interrupted("bo", &["promote", STAGE, SHOP, "--yes"]);
    assert_eq!(scene.tiers(), [5, 5]);
    let ran = scene.by("bo", &["promote", STAGE, SHOP, "--yes"]).exits(0);
    ran.says("signed before; what is not pushed yet is pushed now")
        .says("bo: Promote SHOP-1 to 25 %")
        .never_says("STAGE-1 to 100 %");
    assert_eq!(scene.tiers(), [25, 25]);
    assert_eq!(
        scene.on_server(&["for-each-ref", "--format=%(refname)", "refs/tags/rollout/*/2-promote-25"]).lines().count(),
        2
    );
}

#[test]
fn where_a_key_fails_half_way_it_says_what_is_signed_and_undo_takes_it_back() {
    let scene = scene();
    let before = scene.refs();
    scene.second_signature("echo 'no touch' >&2; exit 1");
    let ran = scene.by("ana", &["sign", STAGE, SHOP, "--yes"]).exits(3);
    ran.says("NOT PUSHED: 1 signed on the local main before this").says("git two-key undo").says("no touch");
    scene.world.git(&["config", "--unset", "gpg.ssh.program"]);
    scene.world.two_key(&["undo"]).exits(0).says("took back: Cosign STAGE-1");
    assert_eq!(scene.refs(), before);
    scene.by("ana", &["sign", STAGE, SHOP, "--yes"]).exits(0);
}
