//! The agent, from outside: a server with the hook, people's repository, and the agent's own clone.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use git_two_key::{gate::Evidence, model::Digest};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::kit::{self, LEASE, Ran, World};

/// Clones of changes that no lease here names.
const SOME_CHECK: &str = "changes: {\"https://git.example/other.git\": other}\n";

/// People's repository, a server, and an agent with a clone of its own.
struct Stage {
    world: World,
    root: String,
}

impl Stage {
    /// With the usual lease proposed.
    fn new() -> Self {
        let world = World::founded();
        Self::of(world, &kit::lease(LEASE))
    }

    /// With a gate and a limit on the usual target, measured from a file.
    fn gated() -> Self {
        let world = World::empty();
        let policy = world.policy().replace("applier: edge1}", "applier: edge1, gates: [error-rate]}")
            + "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    \
               candidate: {bad: 'bad {{candidate}}', total: 'total {{candidate}}'}\n    settle: 0s\n    interval: 1s\n    \
               min: {total: 100, slots: 1}\n    absolute: {max: 0.05}\n    inconclusive-deadline: 30m\n\
               thresholds:\n  error-rate: {warn: '> 1', halt: '> 2'}\n";
        world.found(&policy);
        Self::of(world, &kit::lease(LEASE))
    }

    fn of(world: World, lease: &str) -> Self {
        let root = world.git(&["config", "two-key.root"]);
        world.commit_file(&format!("leases/{LEASE}.yaml"), lease, "Propose a lease");
        let stage = Self { world, root };
        stage.in_all(&["init", "--quiet", "--bare", "--initial-branch=main", "server.git"]);
        stage.world.two_key_in(&stage.path("server.git"), &["hook", "install", "--root", &stage.root]).exits(0);
        stage.world.git(&["remote", "add", "origin", "../server.git"]);
        stage.push();
        stage.in_all(&["clone", "--quiet", "server.git", "agent"]);
        stage.configure("");
        stage
    }

    /// Writes the agent's configuration, with more lines.
    fn configure(&self, more: &str) {
        self.configure_as("cp14", "cp14", more);
    }

    fn configure_as(&self, name: &str, key: &str, more: &str) {
        let key = self.world.key_file(key);
        // An agent that checks nothing does not start.
        let some = if more.contains("checks:") || more.contains("changes:") { "" } else { SOME_CHECK };
        let text = format!(
            "name: {name}\nkey: {}\nrepository: agent\nremote: origin\nroot: {}\n{some}{more}",
            key.display(),
            self.root
        );
        fs::write(self.path("agent.yaml"), text).unwrap();
    }

    /// A program that a check runs.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    #[track_caller]
    fn in_all(&self, args: &[&str]) -> String {
        self.world.run(self.world.path(), "git", args, b"").exits(0).out.trim_end().to_owned()
    }

    #[track_caller]
    fn push(&self) {
        self.world.git(&["push", "--quiet", "origin", "main"]);
    }

    /// People take over what the server has.
    #[track_caller]
    fn pull(&self) {
        self.world.git(&["fetch", "--quiet", "origin", "+refs/two-key/*:refs/two-key/*"]);
        self.world.git(&["pull", "--quiet", "--ff-only", "origin", "main"]);
    }

    /// Turns a person's key on what the server has, and pushes.
    #[track_caller]
    fn turn(&self, name: &str, action: &str) {
        self.pull();
        self.world.turn(name, action, LEASE);
        self.push();
    }

    /// The lease at its first tier.
    fn start(&self) {
        for (name, action) in [("user1", "cosign"), ("cp18", "cosign"), ("user1", "start")] {
            self.turn(name, action);
        }
    }

    fn agent(&self, more: &[&str]) -> Ran {
        let args = [&["agent", "--config", "agent.yaml"], more].concat();
        let mut command = self.world.command(self.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
        // It works by the real clock, and its commits say so.
        command.args(args).env_remove("GIT_AUTHOR_DATE").env_remove("GIT_COMMITTER_DATE");
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What it decides about the lease.
    #[track_caller]
    fn decides(&self, act: &str, rule: &str) -> Value {
        let ran = self.agent(&["--format", "json"]);
        let report = ran.json();
        let lease = report["leases"].as_array().unwrap().iter().find(|lease| lease["lease"] == LEASE).cloned();
        let lease = lease.unwrap_or_else(|| panic!("{report}"));
        assert_eq!((lease["act"].as_str(), lease["rule"].as_str()), (Some(act), Some(rule)), "{report}\n{}", ran.err);
        lease
    }

    /// What it decides once the next moment has come at which metrics are looked at.
    #[track_caller]
    fn comes_to_decide(&self, act: &str, rule: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let ran = self.agent(&["--format", "json"]);
            let lease = ran.json()["leases"][0].clone();
            if lease["act"] == act && lease["rule"] == rule {
                return lease;
            }
            assert!(lease["act"] == "wait" && Instant::now() < until, "{lease}\n{}", ran.err);
            sleep(Duration::from_millis(100));
        }
    }

    fn on_server(&self, args: &[&str]) -> String {
        self.in_all(&[&["--git-dir=server.git"], args].concat())
    }

    fn main(&self) -> String {
        self.on_server(&["rev-parse", "main"])
    }

    /// The lease as people see it.
    fn shown(&self) -> Value {
        self.pull();
        self.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()
    }

    /// The applier says that a tier has been there for so long, and that it is ready.
    #[track_caller]
    fn attest(&self, weight: u32, step: u32, seconds: i64) {
        self.attest_as("edge1", weight, step, seconds);
    }

    #[track_caller]
    fn attest_as(&self, key: &str, weight: u32, step: u32, seconds: i64) {
        let now = Timestamp::now();
        let since = now - SignedDuration::from_secs(seconds);
        let target = json!({
            "lease": LEASE, "step": step, "desired_bp": weight, "observed_bp": weight, "observed_lease": LEASE,
            "applied_step": step, "phase": "ready", "bake_started": since.to_string(), "seen_at": now.to_string(),
            "pack": null, "reason": null, "message": null, "intent": null,
        });
        let record = json!({
            "version": 1, "repository": kit::REPOSITORY, "applier": "edge1", "ledger": self.main(), "seen_at": now.to_string(),
            "targets": {"checkout-prod": target}, "events": [],
        });
        let server = self.path("server.git");
        let git = |args: &[&str], input: &[u8]| {
            self.world.run(&server, "git", args, input).exits(0).out.trim_end().to_owned()
        };
        let blob = git(&["hash-object", "-w", "--stdin"], record.to_string().as_bytes());
        let tree = git(&["mktree"], format!("100644 blob {blob}\trecord.json\n").as_bytes());
        let key = format!("user.signingKey={}", self.world.key_file(key).display());
        let commit = git(&["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-m", "record", &tree], b"");
        // As the server has it, however it came there.
        git(&["-c", "core.hooksPath=/dev/null", "update-ref", "refs/two-key/appliers/edge1", &commit], b"");
    }

    /// So many bad of so many requests in the last minutes.
    fn measure(&self, bad: u32, total: u32) {
        let at = Timestamp::now() - SignedDuration::from_secs(150);
        let version = format!("sha256:{}", "11".repeat(32));
        let line =
            |what: &str, value: u32| json!({"at": at.to_string(), "name": format!("{what} {version}"), "value": value});
        fs::write(self.path("metrics.json"), format!("{}\n{}\n", line("bad", bad), line("total", total))).unwrap();
    }

    /// The evidence that a commit names, as the server has it in the commit's own tree.
    fn evidence(&self, commit: &str) -> Vec<u8> {
        let message = self.on_server(&["show", "--no-patch", "--format=%B", commit]);
        let line = message.lines().find_map(|line| line.strip_prefix("Two-Key-Evidence: ")).expect(&message);
        let hex = line.strip_prefix("sha256:").unwrap();
        let path = format!("{commit}:evidence/{LEASE}/{hex}.json");
        let bytes = self.world.run(&self.path("server.git"), "git", &["cat-file", "blob", &path], b"").exits(0).out;
        assert_eq!(Digest::of(bytes.as_bytes()).to_string(), line);
        bytes.into_bytes()
    }
}

const METRICS: &str = "metrics: {file: {path: metrics.json}}\n";

#[test]
fn a_lease_that_passes_every_check_is_signed_once_with_what_was_checked() {
    let stage = Stage::new();
    stage.agent(&["--dry-run"]).exits(0).says("sign").says("every check");
    assert_eq!(stage.main(), stage.world.head());
    let signed = stage.decides("sign", "checks-pass");
    let commit = signed["commit"].as_str().unwrap();
    assert_eq!(commit, stage.main());
    let evidence: Value = serde_json::from_slice(&stage.evidence(commit)).unwrap();
    let names: Vec<_> = evidence["checks"].as_array().unwrap().iter().map(|check| check["check"].clone()).collect();
    assert_eq!(names, ["policy", "target", "change", "risk"]);
    let shown = stage.shown();
    assert_eq!((&shown["cosigners"][0]["id"], &shown["cosigners_have"]), (&"cp14".into(), &1.into()));
    // Once is enough.
    stage.decides("wait", "not-counted");
    assert_eq!(stage.main(), commit);
    stage.turn("user1", "cosign");
    assert_eq!(stage.shown()["state"], "authorized");
    stage.decides("wait", "left-to-others");
    stage.configure("start: when-authorized\n");
    stage.decides("start", "begin");
    assert_eq!(stage.shown()["state"], "rolling");
    assert_eq!(stage.on_server(&["tag", "--list"]), format!("rollout/{LEASE}/1-start-5"));
    stage.world.two_key(&["verify", "--all"]).exits(0);
}

#[test]
fn a_person_who_signed_by_note_is_sealed_by_the_agent() {
    let stage = Stage::new();
    let key = stage.world.key_file("user1");
    stage.world.two_key(&["sign", LEASE, "--as", "note", "--push", "--key", key.to_str().unwrap()]).exits(0);
    stage.decides("sign", "checks-pass");
    assert_eq!(stage.shown()["state"], "authorized");
}

#[test]
fn a_refusal_is_recorded_once_seen_by_people_and_gone_when_the_check_passes() {
    let stage = Stage::new();
    let answer = |verdict: &str| {
        format!(
            "cat >/dev/null; echo '{{\"protocol\":\"two-key.check/1\",\"verdict\":\"{verdict}\",\"reasons\":[\"build 7 is red\"]}}'"
        )
    };
    let program = stage.program("ci-status", &answer("fail"));
    stage.configure(&format!("checks: {{ci: {{program: {}}}}}\n", program.display()));
    let refused = stage.decides("refuse", "checks-fail");
    assert_eq!(refused["reasons"][0]["message"], "ci: build 7 is red");
    let main = stage.main();
    assert_eq!(refused["commit"], main.as_str());
    let shown = stage.shown();
    assert_eq!(shown["refused"][0]["agent"], "cp14");
    assert_eq!(shown["refused"][0]["reasons"][0]["message"], "build 7 is red");
    stage.world.two_key(&["list"]).exits(0).says("refused by cp14 (ci)");
    stage.world.two_key(&["show", LEASE]).exits(0).says("ci: gate-failed: build 7 is red");
    // The same refusal is not written twice.
    stage.decides("refuse", "checks-fail");
    assert_eq!(stage.main(), main);
    // A program that does not know holds, and says so to nobody but its own output.
    stage.program("ci-status", &answer("unknown"));
    stage.decides("wait", "checks-open");
    assert_eq!(stage.main(), main);
    stage.program("ci-status", &answer("pass"));
    stage.decides("sign", "checks-pass");
    assert_eq!(stage.shown()["refused"], json!([]));
    stage.world.two_key(&["verify", "--all"]).exits(0);
}

/// Anybody may propose, any number: what a person's key was turned for goes first, and one look takes no longer for the others.
/// Each look goes on with the proposal that the one before did not come to.
#[test]
fn many_proposals_hold_up_neither_what_a_person_signed_nor_one_another() {
    let stage = Stage::new();
    for id in ["A-JUNK", "B-JUNK"] {
        stage.world.commit_file(&format!("leases/{id}.yaml"), &kit::lease(id), "Propose a lease");
    }
    stage.world.turn("user1", "cosign", LEASE);
    stage.push();
    // Each check takes longer than a look may.
    let answer = r#"{"protocol":"two-key.check/1","verdict":"unknown","reasons":["nobody knows"]}"#;
    let program = stage.program("slow", &format!("cat >/dev/null; sleep 2; echo '{answer}'"));
    stage.configure(&format!("interval: 1s\nchecks: {{slow: {{program: {}}}}}\n", program.display()));
    let look = || {
        let report = stage.agent(&["--format", "json"]).json();
        let leases = report["leases"].as_array().unwrap().iter().map(|lease| lease["lease"].clone()).collect::<Value>();
        (leases, report["waiting"].clone())
    };
    for junk in ["A-JUNK", "B-JUNK", "A-JUNK"] {
        assert_eq!(look(), (json!([LEASE, junk]), json!(1)));
    }
    // Where there is time, all are looked at.
    stage.configure("interval: 1h\n");
    assert_eq!(look(), (json!([LEASE, "B-JUNK", "A-JUNK"]), json!(0)));
}

/// A repository with a change that is clean, one that adds a secret, and one that is elsewhere.
fn shop(stage: &Stage) -> [String; 4] {
    stage.in_all(&["init", "--quiet", "shop"]);
    let commit = |text: &str| {
        fs::write(stage.path("shop/config"), text).unwrap();
        stage.in_all(&["-C", "shop", "add", "config"]);
        stage.in_all(&["-C", "shop", "commit", "--quiet", "--message", "A change"]);
        stage.in_all(&["-C", "shop", "rev-parse", "HEAD"])
    };
    let from = commit("url = https://shop.example/\n");
    let clean = commit("url = https://shop.example/v2\n");
    let secret = commit("url = https://user:hunter2@shop.example/v2\n");
    stage.in_all(&["-C", "shop", "checkout", "--quiet", "--orphan", "other"]);
    let other = commit("something else\n");
    [from, clean, secret, other]
}

#[test]
fn a_change_is_there_descends_and_adds_no_secret_or_it_is_refused() {
    let checks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/checks/added-lines");
    let address = "https://git.example/shop/checkout.git";
    let configuration =
        format!("changes: {{\"{address}\": shop}}\nchecks: {{added-lines: {{program: {}}}}}\n", checks.display());
    // Ids are the same in every world: the dates are counted.
    let ids = shop(&Stage::new());
    let [from, clean, secret, other] = ids.each_ref().map(String::as_str);
    let nowhere = "1234567890123456789012345678901234567890";
    for (from, to, act, rule, word) in [
        (from, clean, "sign", "checks-pass", "no pattern of seven"),
        (from, secret, "refuse", "checks-fail", "an added line has a password in an address"),
        (from, other, "refuse", "checks-fail", "does not descend"),
        (from, nowhere, "refuse", "checks-fail", "is no commit of"),
    ] {
        let lease = kit::lease(LEASE).replace(
            "artifacts:",
            &format!("change: {{repository: \"{address}\", from: {from}, to: {to}}}\nartifacts:"),
        );
        let stage = Stage::of(World::founded(), &lease);
        assert_eq!(shop(&stage), ids, "the same history");
        stage.configure(&configuration);
        let decided = stage.decides(act, rule);
        assert!(decided.to_string().contains(word), "{decided:#}");
        assert!(!decided.to_string().contains("hunter2"), "a secret is not repeated");
        // Without a clone of it nothing is known, and nothing signed.
        if act == "sign" {
            let blind = Stage::of(World::founded(), &lease);
            blind.decides("wait", "checks-open");
        }
    }
}

#[test]
fn nobody_else_refuses_in_an_agents_name() {
    let stage = Stage::new();
    let digest = kit::scene::digest();
    let refusal = |agent: &str| {
        json!({
            "version": 1, "repository": kit::REPOSITORY, "lease": LEASE, "digest": digest, "agent": agent,
            "at": "2025-10-27T02:21:00Z", "reasons": [{"check": "ci", "reason": "gate-failed", "message": "no"}],
        })
    };
    let path = format!("refusals/{LEASE}/cp14.json");
    let refused = |text: &str, signer: &str| {
        stage.world.commit_file(&path, text, "A refusal");
        let signed = stage.world.sign_commit(signer, "main", "The same, signed");
        stage.world.git(&["update-ref", "refs/heads/main", &signed]);
        // Signed on top it is not the commit that brought the file; so it is made anew on the parent.
        let tree = "main^{tree}";
        let key = format!("user.signingKey={}", stage.world.key_file(signer).display());
        let args = ["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-p", "main~2", "-m", "A refusal", tree];
        let own = stage.world.git(&args);
        let unsigned = stage.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["refused"].clone();
        stage.world.git(&["update-ref", "refs/heads/main", &own]);
        let signed = stage.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["refused"].clone();
        stage.world.git(&["reset", "--quiet", "--hard", "main~1"]);
        (unsigned, signed)
    };
    let count = |refused: &Value| refused.as_array().unwrap().len();
    // Unsigned it is nobody's; signed by another agent or a person it is not cp14's; signed by cp14 it is.
    let (unsigned, own) = refused(&refusal("cp14").to_string(), "cp14");
    assert_eq!((count(&unsigned), count(&own)), (0, 1));
    for signer in ["cp18", "user1"] {
        assert_eq!(count(&refused(&refusal("cp14").to_string(), signer).1), 0, "{signer}");
    }
    // At another agent's place, or about other bytes, it says nothing.
    assert_eq!(count(&refused(&refusal("cp18").to_string(), "cp14").1), 0);
    let other = refusal("cp14").to_string().replace(&digest, &format!("sha256:{}", "22".repeat(32)));
    assert_eq!(count(&refused(&other, "cp14").1), 0);
}

#[test]
fn an_agent_runs_with_its_own_key_or_not_at_all() {
    let stage = Stage::new();
    stage.configure_as("cp14", "user1", "");
    stage.agent(&[]).exits(1).says("wrong-role").says("human key");
    stage.configure_as("edge1", "edge1", "");
    stage.agent(&[]).exits(1).says("wrong-role");
    stage.configure_as("cp14", "cp18", "");
    stage.agent(&[]).exits(1).says("wrong-principal");
    stage.configure_as("cp14", "stranger", "");
    stage.agent(&[]).exits(1).says("unknown-key");
    assert_eq!(stage.main(), stage.world.head());
    stage.configure("");
    stage.decides("sign", "checks-pass");
}

/// A check that passes, and while which somebody pushes a commit of this message to the server.
fn outrun_by(stage: &Stage, message: &str) {
    let commit = stage.world.sign_commit("user2", "main", message);
    stage.world.git(&["push", "--quiet", "origin", &format!("{commit}:refs/heads/waiting")]);
    let (home, server) = (stage.path("home"), stage.path("server.git"));
    let program = stage.program(
        "slow",
        &format!(
            "cat >/dev/null; export HOME={}; cd {}\ntest \"$(git rev-parse main)\" = \"$(git rev-parse {commit}^)\" && \
             git push -q . {commit}:refs/heads/main >/dev/null 2>&1\n\
             echo '{{\"protocol\":\"two-key.check/1\",\"verdict\":\"pass\"}}'",
            home.display(),
            server.display()
        ),
    );
    stage.configure(&format!("checks: {{slow: {{program: {}}}}}\n", program.display()));
}

#[test]
fn another_push_that_comes_first_is_looked_at_before_anything_is_signed() {
    let stage = Stage::new();
    outrun_by(&stage, "Something else");
    let before = stage.main();
    let signed = stage.decides("sign", "checks-pass");
    assert_eq!(signed["commit"], stage.main().as_str());
    assert_eq!(stage.on_server(&["rev-list", "--count", &format!("{before}..main")]), "3", "theirs, evidence, carrier");
    stage.pull();
    stage.world.two_key(&["verify", "--all"]).exits(0);
}

#[test]
fn a_stop_that_comes_first_leaves_nothing_to_sign() {
    let stage = Stage::new();
    let statement = ["statement", "--message", "--principal", "user2", "withdraw", LEASE];
    let message = stage.world.two_key(&statement).exits(0).out;
    outrun_by(&stage, &message);
    stage.decides("wait", "stopped");
    assert_eq!(stage.shown()["state"], "withdrawn");
    assert_eq!(stage.shown()["cosigners"], json!([]));
}

#[test]
fn a_tier_goes_on_after_its_bake_with_gates_that_pass_and_a_person_first() {
    let stage = Stage::gated();
    stage.configure(METRICS);
    stage.start();
    stage.decides("wait", "baking");
    // The words of another key are none of the applier's.
    stage.attest_as("user2", 500, 1, 200);
    stage.decides("wait", "baking");
    stage.attest(500, 1, 200);
    stage.decides("wait", "not-healthy");
    stage.measure(0, 400);
    let waits = stage.comes_to_decide("wait", "person-first");
    assert_eq!(waits["evidence"][1], "error-rate PASS, 0 of 400 (0 %)");
    stage.turn("user1", "promote");
    let promoted = stage.decides("promote", "healthy");
    let commit = promoted["commit"].as_str().unwrap();
    let evidence = Evidence::read(&stage.evidence(commit), Digest::of(&stage.evidence(commit))).unwrap();
    assert_eq!(evidence.reevaluate().differences, Vec::<String>::new());
    let shown = stage.shown();
    assert_eq!((&shown["tier"], &shown["transitions"][1]["action"]), (&25.into(), &"promote".into()));
    assert!(shown["transitions"][1]["votes"][0]["evidence"].is_string(), "{shown}");
    // Another tier: what was attested of the one before says nothing.
    stage.decides("wait", "baking");
    stage.attest(2500, 2, 200);
    stage.configure(&format!("{METRICS}promote: first\n"));
    stage.decides("promote", "healthy");
    assert_eq!(stage.shown()["tier"], 25, "its key alone moves nothing");
    stage.decides("wait", "not-counted");
    stage.turn("user2", "promote");
    stage.attest(10_000, 3, 200);
    stage.decides("complete", "healthy");
    assert_eq!(stage.shown()["state"], "completed");
    stage.world.two_key(&["verify", "--all"]).exits(0);
}

#[test]
fn a_crossed_limit_is_halted_at_once_even_while_the_repository_cannot_be_reached() {
    let stage = Stage::gated();
    stage.configure(METRICS);
    stage.start();
    stage.attest(500, 1, 200);
    stage.measure(0, 400);
    stage.decides("wait", "person-first");
    fs::rename(stage.path("server.git"), stage.path("away.git")).unwrap();
    stage.decides("wait", "doubt");
    stage.measure(320, 400);
    stage.comes_to_decide("halt", "unhealthy");
    fs::rename(stage.path("away.git"), stage.path("server.git")).unwrap();
    assert_eq!(stage.shown()["state"], "rolling");
    // It is not signed twice, and delivered when the repository is back.
    stage.decides("wait", "stopped");
    let shown = stage.shown();
    assert_eq!(shown["state"], "halted");
    let vote = &shown["transitions"][1]["votes"][0];
    assert_eq!(vote["principal"], "cp14");
    let digest = Digest::parse(vote["evidence"].as_str().unwrap()).unwrap();
    let evidence = Evidence::read(&stage.evidence(vote["commit"].as_str().unwrap()), digest).unwrap();
    assert_eq!(evidence.reevaluate().differences, Vec::<String>::new());
    stage.world.two_key(&["verify", "--all"]).exits(0);
}

#[test]
fn the_deadline_of_a_check_needs_no_program_and_spares_nothing_that_the_check_started() {
    let stage = Stage::new();
    let late = |name: &str| stage.path(name).display().to_string();
    let script = format!(
        "(setsid sh -c 'echo $$ > {}; sleep 600' &)\ntrap '' TERM HUP INT\nsleep 5\ntouch {}",
        late("daemon"),
        late("late")
    );
    let program = stage.program("slow", &script);
    stage.configure(&format!("checks:\n  slow: {{program: {}, deadline: 1s}}\n", program.display()));
    // A container may have no more than this; `kill` is not among it.
    let folder = stage.path("few");
    fs::create_dir(&folder).unwrap();
    let all = std::env::var("PATH").unwrap();
    for name in ["git", "ssh-keygen", "sh"] {
        let found = std::env::split_paths(&all).map(|folder| folder.join(name)).find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, folder.join(name)).unwrap();
    }
    let few = folder.to_str().unwrap();
    let args = ["agent", "--config", "agent.yaml"];
    let env = [("PATH", few), ("GIT_EXEC_PATH", &*stage.in_all(&["--exec-path"]))];
    let ran = stage.world.run_with(stage.world.path(), env!("CARGO_BIN_EXE_git-two-key"), &args, b"", &env);
    ran.says("slow").says("it took longer than 1 s");
    assert!(!stage.path("late").exists(), "it went on to its end");
    let daemon = fs::read_to_string(stage.path("daemon")).unwrap();
    assert!(!PathBuf::from("/proc").join(daemon.trim()).exists(), "what it started lives on");
}

#[test]
fn an_agent_that_would_check_nothing_does_not_start() {
    let stage = Stage::new();
    let file = stage.path("agent.yaml");
    let checked = fs::read_to_string(&file).unwrap();
    fs::write(&file, checked.replace(SOME_CHECK, "")).unwrap();
    stage.agent(&["--once"]).exits(3).says("malformed: no check is configured");
    // One that only watches figures starts, and signs no lease; one that checks leases does.
    let before = stage.main();
    fs::write(&file, checked.replace(SOME_CHECK, METRICS)).unwrap();
    stage.agent(&["--once"]).exits(0).says("no check of leases is configured");
    assert_eq!(stage.main(), before);
    fs::write(&file, checked).unwrap();
    stage.decides("sign", "checks-pass");
    assert_ne!(stage.main(), before);
}
