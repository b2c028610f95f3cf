//! What takes long is waited for by nobody: a slow remote, a large fetch, metrics before a lease begins, a reader of the log. Shown
//! with the requests that a real `haproxy` sends on.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

use super::{
    broken::{Running, begin, is_served, next_policy, stop_beside_main},
    hanging::Mute,
    haproxy::{Edge, Odds},
    rig::{FIRST, NEXT},
};
use crate::kit::web::until;

/// Not to wait for what is there already.
const NONBLOCK: i32 = 0o4000;

fn executable(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// An applier's configuration with more lines in it.
fn configure(edge: &Edge, more: &str) {
    let path = edge.rig.path("applier.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("targets:", &format!("{more}\ntargets:"))).unwrap();
}

/// An applier that is about to watch, for which Git hangs while a file is there; another one says that it was asked.
fn with_a_git_that_hangs(edge: &Edge, hang: &Path, asked: &Path) -> Command {
    let programs = edge.rig.path("programs");
    fs::create_dir(&programs).unwrap();
    let text = format!(
        "[ ! -e {0} ] || echo asked >>{1}\nwhile [ -e {0} ]; do sleep 0.05; done\nPATH=${{PATH#*:}}\nexec git \"$@\"",
        hang.display(),
        asked.display()
    );
    executable(&programs.join("git"), &text);
    let mut command = edge.rig.world.command(edge.rig.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
    let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
    command.env("PATH", format!("{}:{}", programs.display(), path.to_str().unwrap()));
    command.args(["apply", "--watch", "--config", "applier.yaml"]);
    command
}

#[test]
fn a_remote_whose_answers_take_longer_than_a_tick_starves_nothing() {
    let edge = Edge::new();
    configure(&edge, "interval: 1s");
    let slow = edge.rig.path("slow");
    executable(&slow, "sleep 1.5\nexec git-upload-pack \"$@\"");
    edge.rig.in_all(&["-C", "applier", "config", "remote.origin.uploadpack", slow.to_str().unwrap()]);
    edge.rig.start(FIRST);
    let applier = begin(&edge.rig, &["--watch"]);
    until("the first tier", || edge.weights() == [19, 1]);
    is_served(&edge, 5);
    // What somebody gave the candidate is taken back, and the next tier comes.
    edge.ask("set weight shop/new0 19");
    until("what was given by hand is taken back", || edge.weights() == [19, 1]);
    edge.rig.promote(FIRST);
    until("the second tier", || edge.weights() == [3, 1]);
    is_served(&edge, 25);
    edge.rig.turn("user2", "halt", FIRST);
    until("the halt", || edge.weights()[1] == 0);
    is_served(&edge, 0);
    drop(applier);
}

#[test]
fn nobody_reads_the_log_or_the_reports() {
    for told in [&["--log", "text"][..], &[]] {
        let edge = Edge::new();
        configure(&edge, "interval: 1s");
        edge.rig.start(FIRST);
        // A pipe that is full, and stays so.
        let pipe = edge.rig.path("pipe");
        edge.rig.world.run(edge.rig.world.path(), "mkfifo", &[pipe.to_str().unwrap()], b"").exits(0);
        let mut full = OpenOptions::new().read(true).write(true).custom_flags(NONBLOCK).open(&pipe).unwrap();
        while full.write(&[b'x'; 512]).is_ok() {}
        while full.write(b"x").is_ok() {}
        let end = || Stdio::from(File::options().write(true).open(&pipe).unwrap());
        let mut command = edge.rig.world.command(edge.rig.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
        command.args(["apply", "--watch", "--config", "applier.yaml"]).args(told).stdout(end()).stderr(end());
        let mut applier = Running(command.spawn().unwrap());
        until("the first tier", || edge.weights() == [19, 1]);
        is_served(&edge, 5);
        // It has much to tell.
        for _ in 0..3 {
            edge.ask("set weight shop/new0 19");
            until("what was given by hand is taken back", || edge.weights() == [19, 1]);
        }
        edge.rig.turn("user2", "halt", FIRST);
        until("the halt", || edge.weights()[1] == 0);
        is_served(&edge, 0);
        assert!(full.write(b"x").is_err(), "somebody has read it");
        // It ends when it is told to, told or not.
        edge.rig.world.run(edge.rig.world.path(), "kill", &["-s", "TERM", &applier.0.id().to_string()], b"").exits(0);
        until("its end", || applier.0.try_wait().unwrap().is_some());
    }
}

#[test]
fn the_branch_brings_more_than_the_network_carries_quickly() {
    let edge = Edge::new();
    configure(&edge, "interval: 1s");
    // The remote gives a large commit of the branch only once the gate is there.
    let (large, asked, gate) = (edge.rig.path("large"), edge.rig.path("asked"), edge.rig.path("gate"));
    let (hook, pack) = (edge.rig.path("hook"), edge.rig.path("pack"));
    executable(
        &hook,
        &format!(
            "wanted=$(cat)\ncase \"$wanted\" in *$(cat {0} || echo none)*)\n  echo asked >>{1}\n  until [ -e {2} ] || [ ! -e {0} ]; do sleep 0.05; done;;\n\
             esac 2>/dev/null\nprintf '%s\\n' \"$wanted\" | \"$@\"",
            large.display(),
            asked.display(),
            gate.display()
        ),
    );
    executable(&pack, &format!("exec git -c uploadpack.packObjectsHook={} upload-pack \"$@\"", hook.display()));
    edge.rig.in_all(&["-C", "applier", "config", "remote.origin.uploadpack", pack.to_str().unwrap()]);
    edge.rig.start(FIRST);
    let applier = begin(&edge.rig, &["--watch"]);
    until("the first tier", || edge.weights() == [19, 1]);
    is_served(&edge, 5);
    edge.rig.world.commit_file("large.bin", "large", "Something large");
    fs::write(&large, edge.rig.world.git(&["rev-parse", "HEAD"])).unwrap();
    edge.rig.push();
    until("it is fetched", || asked.exists());
    stop_beside_main(&edge.rig, "../server.git", "refs/two-key");
    until("the halt", || edge.weights()[1] == 0);
    assert!(!gate.exists(), "the large one has not come yet");
    is_served(&edge, 0);
    fs::write(&gate, "").unwrap();
    drop(applier);
}

#[test]
fn what_serves_is_rolled_back_while_metrics_are_asked_for_the_next_lease() {
    let mut edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    for _ in 0..2 {
        edge.rig.promote(FIRST);
        edge.rig.apply().exits(0);
    }
    edge.rig.turn("cp14", "complete", FIRST);
    edge.swap_in_file();
    edge.rig.apply().exits(0);
    is_served(&edge, 100);
    // From now on leases are watched, by a Prometheus that never answers: their packs ask it for the version before.
    let gate = "gates:\n  error-rate:\n    source: prometheus\n    kind: count-ratio\n    candidate: {bad: 'e', total: 'r'}\n    \
                baseline: {bad: 'e', total: 'r'}\n    settle: 1s\n    interval: 1s\n    min: {total: 20, slots: 1}\n    \
                compare: {test: e-value, max-ratio: 1.5}\n    inconclusive-deadline: 1h\n";
    next_policy(&edge, |text| text.replace("applier: edge1}", "applier: edge1, gates: [error-rate]}") + gate);
    let mute = Mute::begin();
    mute.silent.store(true, Ordering::Relaxed);
    let prometheus = format!("metrics: {{prometheus: {{url: \"http://{}\", timeout: 10m}}}}", mute.address);
    configure(&edge, &format!("interval: 1s\n{prometheus}"));
    edge.rig.start_with(NEXT, |text| text.replace("bake: 0s", "bake: 1h"));
    let applier = begin(&edge.rig, &["--watch"]);
    until("the version before is asked for", || mute.asked.load(Ordering::Relaxed) > 0);
    is_served(&edge, 100);
    edge.rig.turn("user2", "rollback", FIRST);
    until("the rollback", || edge.weights()[1] == 0);
    is_served(&edge, 0);
    drop(applier);
}

/// Gates of a file, which halt a candidate of which too much fails.
const GATES: &str = "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    candidate: {bad: b, total: t}\n    settle: 0s\n    \
                     interval: 1s\n    min: {total: 100, slots: 1}\n    absolute: {max: 0.05}\n    inconclusive-deadline: 30m\n";

#[test]
fn the_disk_and_the_git_of_the_clone_hang_while_a_candidate_fails() {
    let edge = Edge::odd("roundrobin", 1, &Odds { gates: GATES, ..Odds::default() });
    configure(&edge, "interval: 1s\nmetrics: {file: {path: metrics.json}}");
    fs::write(edge.rig.path("metrics.json"), "").unwrap();
    // Whatever Git is asked, and whatever is to be on the disk, hangs while this file is there.
    let (hang, asked, library) = (edge.rig.path("hang"), edge.rig.path("asked"), edge.rig.path("hang.so"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kit/hang.c");
    let args = ["-shared", "-fPIC", "-o", library.to_str().unwrap(), source.to_str().unwrap()];
    edge.rig.world.run(edge.rig.world.path(), "cc", &args, b"").exits(0);
    edge.rig.start_with(FIRST, |text| text.replace("bake: 0s", "bake: 1h"));
    let mut command = with_a_git_that_hangs(&edge, &hang, &asked);
    command.env("LD_PRELOAD", &library).env("HANG", &hang).stdout(Stdio::null()).stderr(Stdio::null());
    let applier = Running(command.spawn().unwrap());
    until("the first tier", || edge.weights() == [19, 1]);
    until("the record", || edge.rig.record()["observed_bp"] == 500);
    is_served(&edge, 5);
    fs::write(&hang, "").unwrap();
    until("a Git that hangs", || asked.exists());
    let mut metrics = File::options().append(true).open(edge.rig.path("metrics.json")).unwrap();
    until("the halt", || {
        let now = jiff::Timestamp::now();
        for (name, value) in [("b", 320), ("t", 400)] {
            writeln!(metrics, "{{\"at\": \"{now}\", \"name\": \"{name}\", \"value\": {value}}}").unwrap();
        }
        edge.weights()[1] == 0
    });
    assert!(hang.exists() && edge.rig.record()["observed_bp"] == 500, "nothing has been written down since");
    is_served(&edge, 0);
    // What was done is recorded, and signed for, once it can be.
    fs::remove_file(&hang).unwrap();
    until("the record", || edge.rig.record()["observed_bp"] == 0);
    until("the stop on the branch", || {
        edge.rig.in_all(&["--git-dir=server.git", "log", "--format=%B", "main"]).contains("Two-Key-Action: halt")
    });
    drop(applier);
}

#[test]
fn the_git_of_the_clone_hangs_while_a_stop_that_is_known_becomes_possible() {
    let edge = Edge::new();
    configure(&edge, "interval: 1s");
    let (hang, asked) = (edge.rig.path("hang"), edge.rig.path("asked"));
    edge.rig.start(FIRST);
    let mut command = with_a_git_that_hangs(&edge, &hang, &asked);
    let applier = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("the first tier", || edge.weights() == [19, 1]);
    let (socket, away) = (edge.rig.path("haproxy.sock"), edge.rig.path("away.sock"));
    fs::rename(&socket, &away).unwrap();
    edge.rig.turn("user2", "rollback", FIRST);
    until("it is recorded that the stop failed", || edge.rig.events().iter().any(|event| event == "STOP_FAILED"));
    is_served(&edge, 5);
    fs::write(&hang, "").unwrap();
    until("a Git that hangs", || asked.exists());
    fs::rename(&away, &socket).unwrap();
    until("no weight", || edge.weights()[1] == 0);
    is_served(&edge, 0);
    assert!(hang.exists());
    fs::remove_file(&hang).unwrap();
    until("the rollback is verified", || edge.rig.record()["phase"] == "verified");
    drop(applier);
}
