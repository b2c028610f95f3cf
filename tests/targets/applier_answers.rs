//! What an applier answers when its surroundings fail: each with its reason, and beside it what differs in one thing and
//! goes on.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::kit::{LEASE, Ran, World, stage::Stage};

/// A stage at 5 %, with both keys turned for 25 %.
fn promoted() -> Stage {
    let stage = Stage::unhooked("0s");
    stage.apply().exits(0);
    stage.weighs(500);
    stage.promote();
    stage
}

/// A stage at 5 % with a limit on its errors, and an applier that finds those in a file.
fn limited() -> Stage {
    let world = World::empty();
    let gated = "applier: edge1, gates: [error-rate]}";
    let policy = world.policy().replace("applier: edge1}", gated)
        + "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    \
           candidate: {bad: 'bad {{candidate}}', total: 'total {{candidate}}'}\n    settle: 0s\n    interval: 1s\n    \
           min: {total: 100, slots: 1}\n    absolute: {max: 0.05}\n    inconclusive-deadline: 30m\n\
           thresholds:\n  error-rate: {warn: '> 1', halt: '> 2'}\n";
    world.found(&policy);
    let stage = Stage::with(world, "15m");
    let configuration = fs::read_to_string(stage.path("applier.yaml")).unwrap();
    fs::write(stage.path("applier.yaml"), configuration + "metrics: {file: {path: metrics.json}}\n").unwrap();
    serve(&stage, 0);
    stage.apply().exits(0);
    stage.weighs(500);
    stage
}

/// Of 400 requests a second, from a moment ago until a minute from now, so many are bad.
fn serve(stage: &Stage, bad: u32) {
    let (mut lines, now) = (String::new(), jiff::Timestamp::now());
    for second in -5..60 {
        let at = now + jiff::SignedDuration::from_secs(second);
        for (what, value) in [("bad", bad), ("total", 400)] {
            let name = format!("{what} sha256:{}", "11".repeat(32));
            let line = serde_json::json!({"at": at.to_string(), "name": name, "value": value});
            lines.push_str(&(line.to_string() + "\n"));
        }
    }
    fs::write(stage.path("metrics.json"), lines).unwrap();
}

/// One tick while the remote cannot be reached. The weight after it.
fn weight_alone(stage: &Stage) -> u64 {
    stage.apply().exits(3).says("the remote cannot be reached");
    stage.weights()["weight_bp"].as_u64().unwrap()
}

/// The number of the last moment at which the applier measured its target's errors.
fn last_measured(stage: &Stage) -> u64 {
    let path = stage.path("applier/.git/two-key/applier/edge1/watches/checkout-prod.json");
    let Ok(bytes) = fs::read(path) else { return 0 };
    let watch: Value = serde_json::from_slice(&bytes).unwrap();
    let slots = watch["gates"]["error-rate"]["slots"].as_array().cloned().unwrap_or_default();
    slots.last().map_or(0, |slot| slot["number"].as_u64().unwrap())
}

/// Repeats something until it says that it is over.
#[track_caller]
fn until(mut over: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !over() {
        assert!(Instant::now() < limit, "it does not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Edits what the applier remembers.
fn remember(stage: &Stage, edit: impl FnOnce(&mut Value)) {
    let mut journal: Value = serde_json::from_slice(&fs::read(stage.journal_path()).unwrap()).unwrap();
    edit(&mut journal);
    fs::write(stage.journal_path(), serde_json::to_vec(&journal).unwrap()).unwrap();
}

/// Moves a time in the journal by some seconds.
fn shift_time(time: &mut Value, seconds: i64) {
    let at: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    *time = (at + jiff::SignedDuration::from_secs(seconds)).to_string().into();
}

/// One tick where no file may be longer than so many blocks of 1024 bytes, as on a disk that is full.
fn apply_within(stage: &Stage, blocks: u32) -> Ran {
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{program}' apply --once --config applier.yaml");
    stage.world.run(stage.world.path(), "bash", &["-c", &script], b"")
}

/// One tick by somebody who may write nothing but the target's file.
fn apply_reading_only(stage: &Stage) -> Ran {
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let mut args = vec![program, "apply", "--once", "--config", "applier.yaml"];
    let anybody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let target = stage.path("target");
    let env = [
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
        ("TMPDIR", target.to_str().unwrap()),
    ];
    let is_root = stage.world.run(stage.world.path(), "id", &["-u"], b"").out.trim() == "0";
    let path = |name: &str| stage.path(name).to_str().unwrap().to_owned();
    let change =
        |mode: &str, name: &str| stage.world.run(stage.world.path(), "chmod", &["-R", mode, name], b"").exits(0);
    fs::create_dir_all(stage.path("target")).unwrap();
    change("a+rX", &path(""));
    change("a+rwX", &path("target"));
    if is_root {
        args.splice(0..0, anybody);
    } else {
        change("a-w", &path("applier/.git"));
    }
    let ran = stage.world.run_with(stage.world.path(), args[0], &args[1..], b"", &env);
    change("u+w", &path("applier/.git"));
    change("go-rwx", &path("home/keys"));
    ran
}

#[test]
fn a_clock_that_disagrees_is_not_believed_however_long_it_stays_until_somebody_says_so() {
    for (seconds, moves) in [(-3600, false), (3600, false), (1, true)] {
        let stage = promoted();
        remember(&stage, |journal| shift_time(&mut journal["clock"]["now"], -seconds));
        let ran = stage.apply().exits(0);
        if moves {
            ran.never_says("clock");
            stage.weighs(2500);
        } else {
            ran.says("(clock: ");
            for _ in 0..3 {
                stage.apply().exits(0).says("(clock: ");
            }
            stage.weighs(500);
            // Stops ask no clock.
            let doctor = |more: &[&str]| {
                let args = [&["doctor"], more].concat();
                stage.world.two_key_in(&stage.path("applier"), &args)
            };
            doctor(&[]).exits(1).says("applier edge1").says("git two-key doctor --believe-clock");
            doctor(&["--believe-clock"]).never_says("--believe-clock");
            stage.apply().exits(0);
            stage.weighs(2500);
        }
    }
}

#[test]
fn without_its_remote_for_longer_than_max_staleness_it_is_stale_and_comes_back_with_it() {
    let stage = promoted();
    stage.world.git(&["push", "--quiet", stage.path("applier").to_str().unwrap(), "main:refs/remotes/origin/main"]);
    fs::rename(stage.path("server.git"), stage.path("gone.git")).unwrap();
    stage.apply().exits(3).says("the remote cannot be reached").never_says("(stale: ");
    remember(&stage, |journal| {
        let fetched = &mut journal["fetched"];
        let ms = fetched["monotonic"]["ms"].as_u64().unwrap();
        fetched["monotonic"]["ms"] = ms.saturating_sub(16 * 60 * 1000).into();
        shift_time(&mut fetched["now"], -16 * 60);
    });
    stage.apply().exits(3).says("(stale: the remote has not been reached for 15m");
    stage.weighs(500);
    fs::rename(stage.path("gone.git"), stage.path("server.git")).unwrap();
    stage.apply().exits(0);
    stage.weighs(2500);
}

#[test]
fn without_its_remote_a_crossed_limit_halts_and_is_reported_when_the_remote_is_back() {
    let stage = limited();
    fs::rename(stage.path("server.git"), stage.path("gone.git")).unwrap();
    // Three moments are judged, and nothing is wrong at any.
    until(|| {
        assert_eq!(weight_alone(&stage), 500);
        last_measured(&stage) >= 3
    });
    serve(&stage, 240);
    until(|| weight_alone(&stage) == 0);
    // What halted it is over, and nobody has said that it may go on.
    serve(&stage, 0);
    for _ in 0..10 {
        assert_eq!(weight_alone(&stage), 0);
    }
    fs::rename(stage.path("gone.git"), stage.path("server.git")).unwrap();
    stage.apply().exits(0);
    stage.weighs(0);
    stage.world.git(&["pull", "--quiet", "--ff-only", "../server.git", "main"]);
    let shown = stage.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
    assert_eq!(shown["state"], "halted");
    assert_eq!(shown["transitions"][1]["votes"][0]["principal"], "edge1");
}

#[test]
fn a_remote_that_is_frozen_on_an_old_tip_moves_nothing_and_a_stop_that_reached_it_counts() {
    let stage = promoted();
    stage.apply().exits(0);
    stage.weighs(2500);
    let tip = stage.in_all(&["--git-dir=server.git", "rev-parse", "main"]);
    stage.promote();
    stage.in_all(&["--git-dir=server.git", "update-ref", "refs/heads/main", &tip]);
    stage.apply().exits(0);
    stage.weighs(2500);
    stage.stop_beside_main("user2", "halt");
    stage.in_all(&["--git-dir=server.git", "update-ref", "refs/heads/main", &tip]);
    stage.apply().exits(0);
    stage.weighs(0);
}

#[test]
fn on_a_full_disk_nothing_goes_forward_and_a_stop_is_carried_out() {
    let stage = promoted();
    apply_within(&stage, 1).exits(3).says("io: ");
    stage.weighs(500);
    stage.turn("cp14", "halt");
    apply_within(&stage, 1).exits(3);
    stage.weighs(0);
    // With room again it is written down. What could not be remembered may be told twice, and is not lost.
    stage.apply().exits(0);
    stage.apply().exits(0);
    let target = &stage.record()["targets"]["checkout-prod"];
    assert_eq!((&target["observed_bp"], &target["applied_step"]), (&0.into(), &3.into()));
    assert_eq!(stage.events()[..3], ["PACKED", "APPLIED", "APPLIED"]);
}

#[test]
fn with_room_on_the_disk_the_same_goes_forward() {
    let stage = promoted();
    apply_within(&stage, 1 << 20).exits(0);
    stage.weighs(2500);
}

#[test]
fn where_it_cannot_write_it_looks_says_so_and_still_stops() {
    let stage = Stage::unhooked("0s");
    fs::create_dir(stage.path("target")).unwrap();
    stage.configure("applier.yaml", "applier", "target/weights.json");
    let weight = |stage: &Stage| -> Value {
        serde_json::from_slice(&fs::read(stage.path("target/weights.json")).unwrap()).unwrap()
    };
    stage.apply().exits(0);
    stage.promote();
    stage.in_all(&["-C", "applier", "fetch", "--quiet"]);
    apply_reading_only(&stage)
        .exits(3)
        .says("desired 25 %, observed 5 %")
        .says("nothing goes forward before it can be");
    assert_eq!(weight(&stage)["weight_bp"], 500);
    stage.turn("cp14", "halt");
    stage.in_all(&["-C", "applier", "fetch", "--quiet"]);
    apply_reading_only(&stage).exits(3);
    assert_eq!(weight(&stage)["weight_bp"], 0);
    assert!(Path::new(&stage.journal_path()).exists());
}

#[test]
fn a_target_that_is_another_appliers_is_left_alone() {
    let stage = promoted();
    let text = fs::read_to_string(stage.path("applier.yaml")).unwrap();
    fs::write(stage.path("applier.yaml"), text.replace("checkout-prod:", "basket-prod:")).unwrap();
    stage.apply().exits(0).says("basket-prod: nothing to do (wrong-principal: ");
    stage.weighs(500);
}
