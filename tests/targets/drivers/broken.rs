//! What is broken, and what stops still do: lines of docs/operations.md, each with a real `haproxy` whose requests
//! are counted by who answered. Whatever is broken, nothing goes forward, and a stop takes the candidate's requests away.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use git_two_key::model::Digest;
use serde_json::Value;

use super::{
    haproxy::{Edge, Odds},
    rig::{FIRST, Rig},
};
use crate::{
    kit::web::{count, until},
    kit::{REPOSITORY, Ran},
};

/// A lease at 5 %, with both keys turned for 25 %.
pub(crate) fn promoted(edge: &Edge) {
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.promote(FIRST);
    is_served(edge, 5);
}

/// Of a hundred requests the candidate answers so many. Servers take turns by weight, so that it is never more than a few off.
#[track_caller]
pub(crate) fn is_served(edge: &Edge, percent: u32) {
    let counts = count(edge.port, 100);
    let served = counts.get("v2").copied().unwrap_or(0);
    let off = if percent == 0 { 0 } else { 3 };
    assert!(served.abs_diff(percent) <= off, "the candidate answers {served}, not {percent}: {counts:?}");
    assert_eq!(counts.get("nobody"), None, "{counts:?}");
}

/// One thing is broken: nothing goes forward, and it is said why. A halt is carried out all the same.
fn holds_and_stops(broken: impl FnOnce(&Edge), said: (i32, &str), stop: impl FnOnce(&Edge)) {
    let edge = Edge::new();
    promoted(&edge);
    broken(&edge);
    edge.rig.apply().exits(said.0).says(said.1);
    is_served(&edge, 5);
    stop(&edge);
    edge.rig.apply();
    is_served(&edge, 0);
}

/// A person halts it, and pushes.
fn halt(edge: &Edge) {
    edge.rig.turn("user2", "halt", FIRST);
}

/// A signed stop, which only a ref below `refs/two-key/stops/` holds: of the server, or as an earlier fetch left it here.
pub(crate) fn stop_beside_main(rig: &Rig, to: &str, namespace: &str) {
    let args = ["statement", "--message", "--principal", "user2", "halt", FIRST];
    let message = rig.world.two_key(&args).exits(0).out;
    let commit = rig.world.sign_commit("user2", "main", &message);
    rig.world.git(&["push", "--quiet", to, &format!("{commit}:{namespace}/stops/{FIRST}/{commit}")]);
}

/// Edits what the applier remembers.
fn remember(rig: &Rig, edit: impl FnOnce(&mut Value)) {
    let path = rig.kept().join("journal.json");
    let mut journal: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut journal);
    fs::write(path, serde_json::to_vec(&journal).unwrap()).unwrap();
}

/// Moves a time in the journal by some seconds.
fn shift_time(time: &mut Value, seconds: i64) {
    let at: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    *time = (at + jiff::SignedDuration::from_secs(seconds)).to_string().into();
}

/// An applier that is running.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn begin(rig: &Rig, more: &[&str]) -> Running {
    let mut command = rig.world.command(rig.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
    command.args(["apply", "--config", "applier.yaml"]).args(more);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// The policy's next version.
pub(crate) fn next_policy(edge: &Edge, edit: impl FnOnce(&str) -> String) {
    let (world, path) = (&edge.rig.world, edge.rig.world.repo().join(".two-key/policy.yaml"));
    let now = fs::read_to_string(&path).unwrap();
    let digest = Digest::of(now.as_bytes());
    let next = edit(&now).replace("version: 1\nprevious: null", &format!("version: 2\nprevious: {digest}"));
    assert!(next.contains(REPOSITORY));
    world.commit_file(".two-key/policy.yaml", &next, "The next policy");
    for name in ["user1", "cp14"] {
        let args = ["statement", "--message", "--principal", name, "policy"];
        let message = world.two_key(&args).exits(0).out;
        world.carry(name, &message);
    }
    world.git(&["push", "--quiet", "../server.git", "main"]);
}

#[test]
fn the_remote_takes_connections_and_says_nothing() {
    let edge = Edge::new();
    promoted(&edge);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/server.git", silent.local_addr().unwrap());
    edge.rig.in_all(&["-C", "applier", "remote", "set-url", "origin", &url]);
    // A stop that an earlier fetch brought waits for no answer.
    stop_beside_main(&edge.rig, "../applier", "refs/two-key-remote/origin/two-key");
    let mut applier = begin(&edge.rig, &["--once"]);
    until("the candidate has no weight", || edge.weights() == [1, 0]);
    assert!(applier.0.try_wait().unwrap().is_none(), "it was carried out while the remote was still waited for");
    is_served(&edge, 0);
    assert_eq!(applier.0.wait().unwrap().code(), Some(3));
    drop(silent);
}

#[test]
fn the_remote_has_not_been_reached_for_longer_than_max_staleness() {
    let edge = Edge::new();
    promoted(&edge);
    let (server, gone) = (edge.rig.path("server.git"), edge.rig.path("gone.git"));
    // What is in force is known here, and too old to go by.
    edge.rig.world.git(&["push", "--quiet", "../applier", "main:refs/remotes/origin/main"]);
    fs::rename(&server, &gone).unwrap();
    remember(&edge.rig, |journal| {
        let fetched = &mut journal["fetched"];
        let ms = fetched["monotonic"]["ms"].as_u64().unwrap();
        fetched["monotonic"]["ms"] = ms.saturating_sub(16 * 60 * 1000).into();
        shift_time(&mut fetched["now"], -16 * 60);
    });
    edge.rig.apply().exits(3).says("(stale: the remote has not been reached for 15m");
    is_served(&edge, 5);
    stop_beside_main(&edge.rig, "../applier", "refs/two-key-remote/origin/two-key");
    edge.rig.apply().exits(3);
    is_served(&edge, 0);
}

#[test]
fn the_branch_was_rewound_or_taken_over_by_a_foxtrot_merge() {
    let beside = |edge: &Edge| stop_beside_main(&edge.rig, "../server.git", "refs/two-key");
    let root = |edge: &Edge| edge.rig.world.git(&["config", "two-key.root"]);
    let server =
        |edge: &Edge, tip: &str| edge.rig.in_all(&["--git-dir=server.git", "update-ref", "refs/heads/main", tip]);
    holds_and_stops(|edge| drop(server(edge, &root(edge))), (1, "ref-rewound"), beside);
    let foxtrot = |edge: &Edge| {
        let world = &edge.rig.world;
        let (tree, root) = ("main^{tree}", root(edge));
        let side = world.git(&["commit-tree", "-p", &root, "-m", "Beside", tree]);
        let merge = world.git(&["commit-tree", "-p", &side, "-p", "main", "-m", "Pull", tree]);
        world.git(&["push", "--quiet", "../server.git", &format!("{merge}:main")]);
    };
    holds_and_stops(foxtrot, (1, "foxtrot"), beside);
}

#[test]
fn the_remote_is_frozen_on_an_old_tip() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    let tip = edge.rig.in_all(&["--git-dir=server.git", "rev-parse", "main"]);
    edge.rig.promote(FIRST);
    let freeze = || edge.rig.in_all(&["--git-dir=server.git", "update-ref", "refs/heads/main", &tip]);
    freeze();
    edge.rig.apply().exits(0);
    is_served(&edge, 5);
    stop_beside_main(&edge.rig, "../server.git", "refs/two-key");
    freeze();
    edge.rig.apply().exits(0);
    is_served(&edge, 0);
}

#[test]
fn the_wall_clock_disagrees_with_the_monotonic_one() {
    let jump = |edge: &Edge| remember(&edge.rig, |journal| shift_time(&mut journal["clock"]["now"], -3_600));
    holds_and_stops(jump, (0, "(clock: "), halt);
}

#[test]
fn no_monotonic_clock_is_shared_by_all_processes() {
    let edge = Edge::new();
    let library = edge.rig.path("no_uptime.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kit/no_uptime.c");
    let args = ["-shared", "-fPIC", "-o", library.to_str().unwrap(), source.to_str().unwrap()];
    edge.rig.world.run(edge.rig.world.path(), "cc", &args, b"").exits(0);
    let apply = || -> Ran {
        let env = [("LD_PRELOAD", library.to_str().unwrap())];
        let args = ["apply", "--once", "--config", "applier.yaml"];
        edge.rig.world.run_with(edge.rig.world.path(), env!("CARGO_BIN_EXE_git-two-key"), &args, b"", &env)
    };
    edge.rig.start_with(FIRST, |text| text.replace("bake: 0s", "bake: 1s"));
    apply().exits(0);
    edge.rig.promote(FIRST);
    // Each process counts for itself, so that none of these sees the end of the bake.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        apply().exits(0).says("baking");
    }
    is_served(&edge, 5);
    // One that stays does.
    let watching = {
        let mut command = edge.rig.world.command(edge.rig.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
        let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
        fs::write(edge.rig.path("applier.yaml"), text + "interval: 1s\n").unwrap();
        command.args(["apply", "--watch", "--config", "applier.yaml"]).env("LD_PRELOAD", &library);
        Running(command.stdout(Stdio::null()).spawn().unwrap())
    };
    until("the next tier", || edge.weights() == [3, 1]);
    drop(watching);
    halt(&edge);
    apply().exits(0);
    is_served(&edge, 0);
}

#[test]
fn the_pack_is_missing_where_a_rollback_needs_it() {
    let edge = Edge::new();
    promoted(&edge);
    edge.rig.in_all(&["--git-dir=server.git", "update-ref", "-d", "refs/two-key/appliers/edge1"]);
    for name in ["refs/two-key/appliers/edge1", "refs/two-key-remote/origin/two-key/appliers/edge1"] {
        edge.rig.in_all(&["-C", "applier", "update-ref", "-d", name]);
    }
    edge.rig.apply().exits(0).says("no-pack");
    is_served(&edge, 5);
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(1).says("rollback-failed");
    is_served(&edge, 0);
}

#[test]
fn gates_cannot_be_evaluated() {
    let gates = "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    candidate: {bad: b, total: t}\n    settle: 0s\n    \
                 interval: 1s\n    min: {total: 100, slots: 1}\n    absolute: {max: 0.05}\n    inconclusive-deadline: 30m\n";
    let edge = Edge::odd("roundrobin", 1, &Odds { gates, ..Odds::default() });
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    fs::write(edge.rig.path("applier.yaml"), format!("{text}metrics: {{file: {{path: metrics.json}}}}\n")).unwrap();
    fs::write(edge.rig.path("metrics.json"), "").unwrap();
    promoted(&edge);
    fs::write(edge.rig.path("applier.yaml"), text).unwrap();
    edge.rig.apply().exits(0).says("(no-data: ");
    is_served(&edge, 5);
    halt(&edge);
    edge.rig.apply().exits(0);
    is_served(&edge, 0);
}

#[test]
fn the_target_cannot_be_reached() {
    let edge = Edge::new();
    promoted(&edge);
    let (socket, away) = (edge.rig.path("haproxy.sock"), edge.rig.path("away.sock"));
    fs::rename(&socket, &away).unwrap();
    edge.rig.apply().exits(0).says("(no-data: ");
    halt(&edge);
    for _ in 0..2 {
        edge.rig.apply().exits(5).says("stop-failed");
        // And so it is: the candidate is still asked.
        is_served(&edge, 5);
    }
    fs::rename(&away, &socket).unwrap();
    edge.rig.apply().exits(0);
    is_served(&edge, 0);
    let told = |name: &str| edge.rig.events().iter().filter(|event| *event == name).count();
    assert_eq!((told("STOP_FAILED"), told("DRIFTED")), (1, 0));
}

#[test]
fn the_clone_cannot_be_read_any_more() {
    let edge = Edge::new();
    promoted(&edge);
    let path = edge.rig.path("applier.yaml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("targets:", "interval: 1s\ntargets:")).unwrap();
    let log = edge.rig.path("log");
    let mut command = edge.rig.world.command(edge.rig.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
    command.args(["apply", "--watch", "--log", "text", "--config", "applier.yaml"]);
    let applier = Running(command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap());
    until("the next tier", || edge.weights() == [3, 1]);
    // A stop is known and cannot be carried out yet, when the clone breaks.
    let (socket, away) = (edge.rig.path("haproxy.sock"), edge.rig.path("away.sock"));
    fs::rename(&socket, &away).unwrap();
    halt(&edge);
    until("it is recorded that the stop failed", || edge.rig.events().iter().any(|event| event == "STOP_FAILED"));
    let head = edge.rig.path("applier/.git/HEAD");
    let text = fs::read(&head).unwrap();
    fs::remove_file(&head).unwrap();
    until("it is told", || fs::read_to_string(&log).unwrap().contains("not a git repository"));
    is_served(&edge, 25);
    fs::rename(&away, &socket).unwrap();
    until("the halt", || edge.weights()[1] == 0);
    is_served(&edge, 0);
    // What happened is recorded once it can be.
    fs::write(&head, text).unwrap();
    until("the record", || edge.rig.record()["observed_bp"] == 0);
    drop(applier);
}

#[test]
fn the_configuration_has_another_driver_for_the_target() {
    let edge = Edge::new();
    promoted(&edge);
    let path = edge.rig.path("applier.yaml");
    let config = fs::read_to_string(&path).unwrap();
    let (head, _) = config.split_once("checkout-prod:").unwrap();
    fs::write(&path, format!("{head}checkout-prod: {{file: weights.json}}\n")).unwrap();
    edge.rig.apply().exits(0).says("the configuration has no haproxy for it");
    halt(&edge);
    for _ in 0..2 {
        edge.rig.apply().exits(5).says("stop-failed").says("the configuration has no haproxy for it");
    }
    is_served(&edge, 5);
    fs::write(&path, config).unwrap();
    edge.rig.apply().exits(0);
    is_served(&edge, 0);
    let events = edge.rig.events();
    let tail: Vec<_> = events.iter().skip_while(|event| *event != "STOP_FAILED").collect();
    assert_eq!(tail, ["STOP_FAILED", "APPLIED"], "{events:?}");
}

#[test]
fn somebody_took_traffic_off_by_hand() {
    let edge = Edge::new();
    promoted(&edge);
    edge.ask("set weight shop/new0 0");
    for _ in 0..2 {
        edge.rig.apply().exits(0).says("holding (drift: ");
        is_served(&edge, 0);
    }
    for (name, action) in [("user2", "pause"), ("user1", "resume"), ("cp14", "resume")] {
        edge.rig.turn(name, action, FIRST);
    }
    // Given back, and on to what is in force.
    edge.rig.apply().exits(0);
    is_served(&edge, 25);
    edge.ask("set weight shop/new0 0");
    edge.rig.apply().exits(0).says("holding (drift: ");
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    is_served(&edge, 0);
}

#[test]
fn somebody_gave_the_candidate_more_or_brought_back_what_was_rolled_back() {
    let edge = Edge::new();
    promoted(&edge);
    edge.rig.turn("user2", "pause", FIRST);
    edge.ask("set weight shop/new0 19");
    is_served(&edge, 50);
    edge.rig.apply().exits(0);
    is_served(&edge, 5);
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    edge.ask("set weight shop/new0 1");
    is_served(&edge, 50);
    edge.rig.apply().exits(0).says("verified");
    is_served(&edge, 0);
    let told = edge.rig.events().iter().filter(|event| *event == "DRIFTED").count();
    assert_eq!(told, 2);
}

#[test]
fn the_target_is_seen_now_and_then_only_and_its_candidate_fails() {
    let gates = "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    candidate: {bad: b, total: t}\n    settle: 0s\n    \
                 interval: 1s\n    min: {total: 100, slots: 1}\n    absolute: {max: 0.05}\n    inconclusive-deadline: 30m\n\
                 thresholds:\n  error-rate: {warn: '> 1', halt: '> 2'}\n";
    for bad in [320, 0] {
        let edge = Edge::odd("roundrobin", 1, &Odds { gates, ..Odds::default() });
        let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
        fs::write(edge.rig.path("applier.yaml"), text + "metrics: {file: {path: metrics.json}}\n").unwrap();
        fs::write(edge.rig.path("metrics.json"), "").unwrap();
        edge.rig.start_with(FIRST, |text| text.replace("bake: 0s", "bake: 1h"));
        edge.rig.apply().exits(0);
        let (socket, away) = (edge.rig.path("haproxy.sock"), edge.rig.path("away.sock"));
        let mut metrics = fs::OpenOptions::new().append(true).open(edge.rig.path("metrics.json")).unwrap();
        let (began, mut looks) = (Instant::now(), 0);
        // At each second look the target cannot be seen, so that no bake ever lasts from one look to the next.
        let halted = loop {
            let now = jiff::Timestamp::now();
            for (name, value) in [("b", bad), ("t", 400)] {
                writeln!(metrics, "{{\"at\": \"{now}\", \"name\": \"{name}\", \"value\": {value}}}").unwrap();
            }
            fs::rename(&socket, &away).unwrap();
            edge.rig.apply();
            fs::rename(&away, &socket).unwrap();
            edge.rig.apply();
            looks += 1;
            if edge.weights() == [1, 0] {
                break true;
            }
            if looks >= 4 && began.elapsed() > Duration::from_secs(if bad > 0 { 60 } else { 5 }) {
                break false;
            }
        };
        assert_eq!(halted, bad > 0);
        is_served(&edge, if bad > 0 { 0 } else { 5 });
    }
}

#[test]
fn another_applier_has_its_name() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.in_all(&["clone", "--quiet", "server.git", "second"]);
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    let text = text.replace("repository: applier", "repository: second");
    // It has the same pools, and knows of them what the first one wrote down.
    let kept = edge.rig.path("second/.git/two-key/applier/edge1/targets");
    fs::create_dir_all(&kept).unwrap();
    fs::copy(edge.rig.kept().join("targets/checkout-prod.json"), kept.join("checkout-prod.json")).unwrap();
    fs::write(edge.rig.path("second.yaml"), text).unwrap();
    edge.rig.turn("user2", "pause", FIRST);
    edge.rig.world.two_key_in(edge.rig.world.path(), &["apply", "--once", "--config", "second.yaml"]).exits(0);
    for (name, action) in [("user1", "resume"), ("cp14", "resume"), ("user1", "promote"), ("cp14", "promote")] {
        edge.rig.turn(name, action, FIRST);
    }
    edge.rig.apply().exits(1).says("busy");
    is_served(&edge, 5);
    halt(&edge);
    edge.rig.apply().exits(1).says("busy");
    is_served(&edge, 0);
}

#[test]
fn the_policy_gives_the_target_to_another_applier_or_to_nobody() {
    for (to, stops) in [("applier: edge2}", false), ("gates: []}", true)] {
        let edge = Edge::new();
        promoted(&edge);
        let key = edge.rig.world.public_key("edge2");
        let another = format!("  edge2: {{role: applier, keys: [\"{key}\"]}}\nrules:");
        next_policy(&edge, |text| text.replace("applier: edge1}", to).replace("rules:", &another));
        edge.rig.apply().exits(0).says("wrong-principal");
        is_served(&edge, 5);
        halt(&edge);
        edge.rig.apply();
        is_served(&edge, if stops { 0 } else { 5 });
    }
}

#[test]
fn it_is_killed_again_and_again() {
    let edge = Edge::new();
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    fs::write(edge.rig.path("applier.yaml"), text + "interval: 1s\n").unwrap();
    promoted(&edge);
    let pause = Duration::from_millis(70);
    for number in 0..8 {
        let running = begin(&edge.rig, &["--watch"]);
        std::thread::sleep(pause * number);
        drop(running);
        let weights = edge.weights();
        assert!([[19, 1].as_slice(), &[3, 1]].contains(&weights.as_slice()), "{weights:?}");
    }
    let running = begin(&edge.rig, &["--watch"]);
    until("the next tier", || edge.weights() == [3, 1]);
    drop(running);
    halt(&edge);
    let running = begin(&edge.rig, &["--watch"]);
    until("the halt", || edge.weights()[1] == 0);
    drop(running);
    is_served(&edge, 0);
}

/// What a server's own log counts is no report of ours either.
#[test]
fn what_is_counted_here_is_what_haproxy_counts() {
    let edge = Edge::new();
    promoted(&edge);
    let sessions = |server: &str| -> u64 {
        let said = edge.ask("show stat");
        let heads: Vec<_> = said.lines().next().unwrap().split(',').collect();
        let column = heads.iter().position(|head| *head == "stot").unwrap();
        let row = said.lines().find(|line| line.starts_with(&format!("shop,{server},"))).unwrap();
        row.split(',').nth(column).unwrap().parse().unwrap()
    };
    let before = (sessions("old0"), sessions("new0"));
    let counts = count(edge.port, 100);
    let after = (sessions("old0"), sessions("new0"));
    let counted = |who: &str| u64::from(counts.get(who).copied().unwrap_or(0));
    assert_eq!((after.0 - before.0, after.1 - before.1), (counted("v1"), counted("v2")));
}
