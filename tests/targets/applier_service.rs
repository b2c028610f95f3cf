//! The applier as a service: what it tells the service manager, the log and Prometheus, what wakes it, how it ends; and
//! the units and alerts that come with it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::channel,
    },
    time::Duration,
};

use git_two_key::{
    follower::{Mode, clock::read_clocks},
    reconciler::{Applier, ApplierConfig, service::Service},
};
use serde_json::Value;

use crate::kit::web::{free_port, until};
use crate::kit::{self, World, stage::Stage};

/// A child that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An applier's configuration with more lines in it.
fn configure(stage: &Stage, more: &str) {
    let text = fs::read_to_string(stage.path("applier.yaml")).unwrap();
    fs::write(stage.path("applier.yaml"), text.replace("targets:", &format!("{more}targets:"))).unwrap();
}

fn watch(stage: &Stage, more: &[&str]) -> Command {
    let mut command = stage.world.command(stage.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
    command.args(["apply", "--watch", "--config", "applier.yaml"]).args(more).stdout(Stdio::null());
    command
}

fn terminate(child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
}

fn weight(stage: &Stage) -> Option<u64> {
    let weights: Value = serde_json::from_slice(&fs::read(stage.path("weights.json")).ok()?).ok()?;
    weights["weight_bp"].as_u64()
}

fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn template(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(name)
}

#[test]
fn the_service_manager_hears_that_it_is_ready_alive_and_about_to_end_and_the_log_says_why_it_holds() {
    let stage = Stage::unhooked("1h");
    stage.promote();
    let manager = UnixDatagram::bind(stage.path("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = watch(&stage, &["--log", "json"]);
    let child = command.env("NOTIFY_SOCKET", stage.path("notify")).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Running(child);
    let hear = || {
        let mut heard = [0; 500];
        let length = manager.recv(&mut heard).unwrap();
        String::from_utf8_lossy(&heard[..length]).into_owned()
    };
    assert_eq!(hear(), "READY=1");
    assert!(hear().starts_with("WATCHDOG=1\nSTATUS=1 targets, 0 held; ledger at "));
    terminate(&child.0);
    until("the farewell", || hear() == "STOPPING=1");
    let mut log = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let moved = lines.iter().find(|line| line["doing"] == "baking").unwrap();
    assert_eq!((&moved["level"], &moved["observed"], &moved["doing"]), (&"INFO".into(), &5.0.into(), &"baking".into()));
    assert_eq!(lines.last().unwrap()["message"], "the applier ends, as it was told to");
    // In between it is settled: nothing is to be done again.
    stage.weighs(500);
    assert_eq!(stage.events(), ["PACKED", "APPLIED"]);
}

#[test]
fn a_push_wakes_it_however_long_it_would_have_rested() {
    let stage = Stage::rolling("1h");
    configure(&stage, "interval: 24h\nwake: wake\n");
    let (server, wake) = (stage.path("server.git"), stage.path("wake"));
    stage.world.two_key_in(&server, &["hook", "install", "--wake", wake.to_str().unwrap()]).exits(0).says("it touches");
    let _child = Running(watch(&stage, &[]).stderr(Stdio::null()).spawn().unwrap());
    until("the first tier", || weight(&stage) == Some(500));
    // So it rests now: the end of its first tick is when its record has come.
    until("its record", || stage.tags() == ["1-start-5"]);
    stage.turn("cp14", "halt");
    until("the halt", || weight(&stage) == Some(0));
}

#[test]
fn a_wake_that_cannot_be_given_does_not_fail_the_push() {
    let stage = Stage::rolling("1h");
    let args = ["hook", "install", "--wake", "/no/such/folder/wake"];
    stage.world.two_key_in(&stage.path("server.git"), &args).exits(0);
    stage.world.turn("cp14", "halt", kit::LEASE);
    let ran = stage.world.run(stage.world.repo(), "git", &["push", "../server.git", "main"], b"").exits(0);
    ran.says("could not wake the applier by /no/such/folder/wake");
}

#[test]
fn a_real_prometheus_finds_the_weights_and_loads_the_alerts() {
    let stage = Stage::unhooked("1h");
    let (page, address) = (free_address(), free_address());
    configure(&stage, &format!("interval: 1s\nmetrics-listen: {page}\n"));
    let _applier = Running(watch(&stage, &[]).stderr(Stdio::null()).spawn().unwrap());
    let rules = template("prometheus/two-key.rules.yaml");
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\n\
         scrape_configs: [{{job_name: two-key, static_configs: [{{targets: [\"{page}\"]}}]}}]\n",
        rules.display()
    );
    fs::write(stage.path("prometheus.yml"), config).unwrap();
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!("--config.file={}", stage.path("prometheus.yml").display()));
    prometheus.arg(format!("--storage.tsdb.path={}", stage.path("tsdb").display()));
    prometheus.arg(format!("--web.listen-address={address}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _prometheus = Running(prometheus.spawn().unwrap());
    let says = |query: &str, value: &str| {
        let answer = get(address, &format!("/api/v1/query?query={query}")).unwrap_or_default();
        answer.contains(&format!(",\"{value}\"]"))
    };
    until("the observed weight", || says("two_key_observed_weight", "0.05"));
    until("the desired weight", || says("two_key_desired_weight", "0.05"));
    until("the shift", || says("two_key_events_total{event=\"APPLIED\"}", "1"));
    let loaded = get(address, "/api/v1/rules").unwrap();
    assert!(loaded.contains("TwoKeyRollbackFailed") && loaded.contains("TwoKeyStale"), "{loaded}");
}

#[test]
fn metrics_on_every_address_are_refused() {
    let stage = Stage::unhooked("1h");
    configure(&stage, "metrics-listen: 0.0.0.0:9469\n");
    stage.apply().exits(3).says("malformed").says("must be a loopback address");
}

#[test]
fn the_alerts_are_what_prometheus_takes_and_fire_when_they_should() {
    for (verb, file) in [("check", "two-key.rules.yaml"), ("test", "two-key.test.yaml")] {
        let args = [verb, "rules", file];
        let output = Command::new("promtool").args(args).current_dir(template("prometheus")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let folder = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(template("systemd/two-key-applier@.service")).unwrap();
    let unit = unit.replace("/usr/bin/git-two-key", env!("CARGO_BIN_EXE_git-two-key"));
    let unit = unit.replace("Documentation=man:git-two-key(1)\n", "");
    let verify = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let mut command = Command::new("systemd-analyze");
        let output = command.args(["verify", "--man=no"]).arg(&path).env("HOME", folder.path()).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(verify("two-key-applier@.service", &unit), "");
    let wrong = verify("wrong@.service", &unit.replace("WatchdogSec", "WachtdogSec"));
    assert!(wrong.contains("WachtdogSec"), "{wrong}");
}

#[test]
fn the_text_log_says_a_thing_once() {
    let stage = Stage::unhooked("1h");
    configure(&stage, "interval: 1s\n");
    let mut child = Running(watch(&stage, &["--log", "text"]).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("the applier begins"));
    for event in ["PACKED at 0 %", "APPLIED at 5 %"] {
        assert!(lines.next().unwrap().contains(event), "{event}");
    }
    let baking = lines.next().unwrap();
    assert!(baking.contains("INFO") && baking.contains("doing=\"baking\""), "{baking}");
    stage.turn("cp14", "pause");
    let held = lines.next().unwrap();
    assert!(held.contains("doing=\"holding\""), "{held}");
    terminate(&child.0);
    let rest: Vec<String> = lines.collect();
    assert!(rest.len() == 1 && rest[0].contains("as it was told to"), "{rest:?}");
}

/// The next line of a log that is as it should be.
#[track_caller]
fn next_line(lines: &mut dyn Iterator<Item = String>, level: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut passed = Vec::new();
    for line in lines.take(200) {
        let value: Value = serde_json::from_str(&line).unwrap();
        if value["level"] == level && is(&value) {
            return value;
        }
        passed.push(line);
    }
    panic!("the log ends before that: {}", passed.join("\n"));
}

#[test]
fn the_log_says_what_halted_and_why_what_drifted_and_what_recovered_at_levels_that_fit() {
    let stage = Stage::unhooked("1h");
    configure(&stage, "interval: 1s\n");
    let mut child = Running(watch(&stage, &["--log", "json"]).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    next_line(&mut lines, "INFO", |line| line["event"] == "APPLIED" && line["weight"] == 5.0);
    next_line(&mut lines, "INFO", |line| line["doing"] == "baking");
    // Put back at once, so that nothing is different afterwards.
    let mut weights = stage.weights();
    weights["weight_bp"] = 9_000.into();
    fs::write(stage.path("weights.json"), serde_json::to_vec(&weights).unwrap()).unwrap();
    let drifted = next_line(&mut lines, "WARN", |line| line["event"] == "DRIFTED");
    assert_eq!((&drifted["name"], &drifted["weight"]), (&"checkout-prod".into(), &90.0.into()));
    fs::rename(stage.path("server.git"), stage.path("gone.git")).unwrap();
    next_line(&mut lines, "WARN", |line| line["message"].as_str().unwrap().starts_with("the remote cannot be reached"));
    fs::rename(stage.path("gone.git"), stage.path("server.git")).unwrap();
    next_line(&mut lines, "INFO", |line| line["message"].as_str().unwrap().starts_with("not so any more: the remote"));
    // A halt that cannot be carried out, and then is.
    let weights = fs::read(stage.path("weights.json")).unwrap();
    fs::remove_file(stage.path("weights.json")).unwrap();
    fs::create_dir(stage.path("weights.json")).unwrap();
    let key = stage.world.key_file("user2").display().to_string();
    stage.world.two_key(&["halt", kit::LEASE, "--reason", "too many errors", "--key", &key]).exits(0);
    stage.push();
    next_line(&mut lines, "ERROR", |line| line["event"] == "STOP_FAILED");
    let failed = next_line(&mut lines, "ERROR", |line| line["doing"] == "stop-failed");
    assert_eq!(failed["stopped"], "by user2: too many errors", "{failed:#}");
    fs::remove_dir(stage.path("weights.json")).unwrap();
    fs::write(stage.path("weights.json"), weights).unwrap();
    next_line(&mut lines, "INFO", |line| line["event"] == "APPLIED" && line["weight"] == 0.0);
    let held = next_line(&mut lines, "INFO", |line| line["doing"] == "holding" && line["observed"] == 0.0);
    assert!(held["recovered"].is_string(), "{held:#}");
    terminate(&child.0);
    next_line(&mut lines, "INFO", |line| line["message"] == "the applier ends, as it was told to");
    // A clock that is not believed.
    let mut journal: Value = serde_json::from_slice(&fs::read(stage.journal_path()).unwrap()).unwrap();
    let at: jiff::Timestamp = journal["clock"]["now"].as_str().unwrap().parse().unwrap();
    journal["clock"]["now"] = (at - jiff::SignedDuration::from_hours(1)).to_string().into();
    fs::write(stage.journal_path(), serde_json::to_vec(&journal).unwrap()).unwrap();
    let mut child = Running(watch(&stage, &["--log", "json"]).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    // Who begins anew is told who stopped it, and that the clock here is not believed.
    let who = "by user2: too many errors";
    let is_told = |line: &Value| line["stopped"] == who || line["message"].as_str().unwrap().ends_with(who);
    next_line(&mut lines, "WARN", is_told);
    next_line(&mut lines, "WARN", |line| line["reason"] == "clock");
    terminate(&child.0);
    drop(child);
}

#[test]
fn a_target_that_hangs_delays_no_other_and_is_asked_once() {
    let world = World::empty();
    world.found(&world.policy().replace("targets:\n", "targets:\n  slow-prod: {driver: exec, applier: edge1}\n"));
    let path = |name: &str| world.path().join(name).to_str().unwrap().to_owned();
    let (program, hang, asked) = (path("slow"), path("hang"), path("asked"));
    let script = "#!/bin/sh\necho asked >>\"$2\"\nwhile [ -e \"$1\" ]; do /bin/sleep 0.1; done\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(&hang, "").unwrap();
    let slow = "LEASE-20251027-021914";
    let text = kit::lease(slow).replace("target: checkout-prod", "target: slow-prod");
    let text = text + &format!("scope: {{commands: [\"{program}\"]}}\n");
    world.commit_file(&format!("leases/{slow}.yaml"), &text, "Propose another lease");
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
        world.turn(name, action, slow);
    }
    let stage = Stage::with(world, "1h");
    configure(&stage, "interval: 1s\n");
    let text = fs::read_to_string(stage.path("applier.yaml")).unwrap();
    let section = format!("  slow-prod: {{exec: {{program: {program}, args: [{hang}, {asked}], timeout: 10m}}}}\n");
    fs::write(stage.path("applier.yaml"), text + &section).unwrap();
    let log = fs::File::create(stage.path("log")).unwrap();
    let _child = Running(watch(&stage, &["--log", "text"]).stderr(log).spawn().unwrap());
    let says = |what: &str| fs::read_to_string(stage.path("log")).unwrap().contains(what);
    until("the other one's tier", || weight(&stage) == Some(500));
    until("that it is not waited for", || says("target slow-prod has not answered yet, and is not waited for"));
    stage.turn("cp14", "halt");
    until("the other one's halt", || weight(&stage) == Some(0));
    assert_eq!(fs::read_to_string(&asked).unwrap(), "asked\n");
    // What it says in the end is taken when it comes.
    fs::remove_file(&hang).unwrap();
    until("its answer", || fs::read_to_string(&asked).unwrap().lines().count() > 1);
}

#[test]
fn an_applier_that_can_only_fail_from_now_on_ends_and_is_not_taken_for_alive() {
    let stage = Stage::unhooked("1h");
    let config = ApplierConfig::load(&stage.path("applier.yaml")).unwrap();
    let looks = AtomicU32::new(0);
    let clock = move || {
        assert!(looks.fetch_add(1, Ordering::Relaxed) == 0, "on purpose: a panic where nobody else may come in");
        read_clocks()
    };
    let mut applier = Applier::open(config, Box::new(clock)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| applier.tick(Mode::DryRun))).is_err());
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(Service::default().run(&mut applier, &mut |_| {})));
    let ended = told.recv_timeout(Duration::from_secs(60)).expect("it goes on");
    assert!(ended.unwrap_err().message.contains("must be started anew"));
}

/// A Prometheus that knows no series, until it takes questions and never answers.
fn mute(silent: &'static AtomicBool, asked: &'static AtomicU32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if silent.load(Ordering::Relaxed) {
                asked.fetch_add(1, Ordering::Relaxed);
                kept.push(stream);
                continue;
            }
            let _ = stream.read(&mut [0; 8192]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

#[test]
fn a_persons_stop_waits_for_no_metric_no_push_and_no_reader() {
    static SILENT: AtomicBool = AtomicBool::new(false);
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let world = World::empty();
    let policy = world.policy().replace("applier: edge1}", "applier: edge1, gates: [errors]}")
        + "gates:\n  errors:\n    source: prometheus\n    kind: count-ratio\n    candidate: {bad: 'e', total: 'r'}\n    \
           settle: 1s\n    interval: 1s\n    min: {total: 20, slots: 1}\n    absolute: {max: 0.05}\n    \
           inconclusive-deadline: 1h\n";
    world.found(&policy);
    let stage = Stage::with(world, "1h");
    let (prometheus, readers) = (mute(&SILENT, &ASKED), free_address());
    configure(
        &stage,
        &format!(
            "interval: 1s\nmetrics-listen: {readers}\nmetrics: {{prometheus: {{url: \"http://{prometheus}\", timeout: 10m}}}}\n"
        ),
    );
    // Pushes of the applier hang while this file is there; people's do not.
    let hang = stage.path("hang");
    let script = format!(
        "#!/bin/sh\nwhile read old new ref; do case $ref in refs/two-key/*)\n  while [ -e {} ]; do /bin/sleep 0.1; done;; esac; done\n",
        hang.display()
    );
    let hook = stage.path("server.git/hooks/pre-receive");
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let child = Running(watch(&stage, &[]).spawn().unwrap());
    until("the first tier", || weight(&stage) == Some(500));
    SILENT.store(true, Ordering::Relaxed);
    until("a question that is not answered", || ASKED.load(Ordering::Relaxed) > 0);
    fs::write(&hang, "").unwrap();
    let slow: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(readers).unwrap()).collect();
    stage.turn("user2", "halt");
    until("the halt", || weight(&stage) == Some(0));
    // What comes of that is told all the same, once it can be.
    assert!(get(readers, "/metrics").is_some_and(|page| page.contains("two_key_ticks_total")));
    drop(slow);
    fs::remove_file(&hang).unwrap();
    until("the record", || stage.record()["targets"]["checkout-prod"]["observed_bp"] == 0);
    drop(child);
}

#[test]
fn where_somebody_else_has_the_port_of_metrics_that_is_said_and_stops_are_carried_out() {
    let stage = Stage::unhooked("1h");
    stage.apply().exits(0);
    assert_eq!(weight(&stage), Some(500));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    configure(&stage, &format!("interval: 1s\nmetrics-listen: {address}\n"));
    let mut child = Running(watch(&stage, &["--log", "json"]).stderr(Stdio::piped()).spawn().unwrap());
    stage.turn("cp14", "halt");
    until("the halt", || weight(&stage) == Some(0));
    terminate(&child.0);
    let mut log = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0), "{log}");
    assert!(log.contains(&format!("metrics cannot be served at {address}")), "{log}");
}
