//! A real haproxy, a real Prometheus, requests that flow, an applier and an agent: a bad version is halted at 5 %, rolled
//! back and its rollback verified without a person touching it; a good one reaches 100 % with two keys a step.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::kit::web::{self, Daemon, Flow, count, free_port, is_percent, until};
use crate::kit::{self, LEASE, Ran, World, schema::fits};

/// How a version behaves.
#[derive(Clone, Copy, PartialEq)]
enum Version {
    /// Every request is answered.
    Good,
    /// Every second request fails.
    Bad,
}

/// A web server that counts what it answers, and tells Prometheus.
struct Shop {
    port: u16,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Shop {
    fn new(label: String, says: &'static str, version: Version) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let end = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&end);
        let counts = [AtomicU32::new(0), AtomicU32::new(0)];
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                // A request that breaks off is the other side's affair.
                let _ = stream.map(|stream| answer(stream, &label, says, version, &counts));
            }
        });
        Self { port, end, thread: Some(thread) }
    }
}

fn answer(
    mut stream: TcpStream,
    label: &str,
    says: &str,
    version: Version,
    [good, bad]: &[AtomicU32; 2],
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            length => head.extend_from_slice(&chunk[..length]),
        }
    }
    let (status, body) = if head.starts_with(b"GET /metrics") {
        let line = |code: u32, count: &AtomicU32| {
            let count = count.load(Ordering::SeqCst);
            format!("http_requests_total{{version=\"{label}\",code=\"{code}\"}} {count}\n")
        };
        ("200 OK", format!("# TYPE http_requests_total counter\n{}{}", line(200, good), line(500, bad)))
    } else if version == Version::Bad && good.load(Ordering::SeqCst) > bad.load(Ordering::SeqCst) {
        bad.fetch_add(1, Ordering::SeqCst);
        ("500 Internal Server Error", "no".to_owned())
    } else {
        good.fetch_add(1, Ordering::SeqCst);
        ("200 OK", says.to_owned())
    };
    let length = body.len();
    let kind = "Content-Type: text/plain; version=0.0.4";
    let said = format!("HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(said.as_bytes())
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Everything that runs.
struct Stage {
    world: World,
    front: u16,
    _shops: [Shop; 2],
    _haproxy: Daemon,
    _prometheus: Daemon,
}

impl Stage {
    fn new(version: Version) -> Self {
        let world = World::empty();
        let path = |name: &str| world.path().join(name);
        let candidate = format!("sha256:{}", "11".repeat(32));
        let shops = [Shop::new("stable".to_owned(), "v1", Version::Good), Shop::new(candidate, "v2", version)];
        let front = free_port();
        fs::write(path("haproxy.cfg"), haproxy(&path("haproxy.sock"), front, &shops)).unwrap();
        let mut command = Command::new("haproxy");
        let haproxy = command.arg("-db").arg("-f").arg(path("haproxy.cfg")).stdout(Stdio::null()).stderr(Stdio::null());
        let haproxy = Daemon(haproxy.spawn().expect("haproxy is installed"));
        let (prometheus, metrics) = prometheus(&world, &shops);
        let gates = "gates:\n  error-rate:\n    source: prometheus\n    kind: count-ratio\n    candidate:\n      \
                     bad: 'sum(increase(http_requests_total{version=\"{{candidate}}\",code=~\"5..\"}[{{window}}]))'\n      \
                     total: 'sum(increase(http_requests_total{version=\"{{candidate}}\"}[{{window}}]))'\n    settle: 1s\n    \
                     interval: 1s\n    min: {total: 10, slots: 2}\n    absolute: {max: 0.2}\n    \
                     inconclusive-deadline: 15s\nthresholds:\n  error-rate: {warn: '> 10', halt: '> 20'}\n";
        let target = "driver: haproxy, applier: edge1, gates: [error-rate]}";
        world.found(&(world.policy().replace("driver: file, applier: edge1}", target) + gates));
        let lease = kit::lease(LEASE).replace("15m", "1s");
        world.commit_file(&format!("leases/{LEASE}.yaml"), &lease, "Propose a lease");
        let stage = Self { world, front, _shops: shops, _haproxy: haproxy, _prometheus: prometheus };
        stage.found_server();
        stage.configure(metrics);
        stage
    }

    fn found_server(&self) {
        let root = self.root();
        self.in_all(&["init", "--quiet", "--bare", "--initial-branch=main", "server.git"]);
        self.world.two_key_in(&self.path("server.git"), &["hook", "install", "--root", &root]).exits(0);
        self.world.git(&["remote", "add", "origin", "../server.git"]);
        self.world.git(&["push", "--quiet", "origin", "main"]);
        for clone in ["applier", "agent"] {
            self.in_all(&["clone", "--quiet", "server.git", clone]);
        }
    }

    fn configure(&self, prometheus: u16) {
        let common = |name: &str, clone: &str| {
            let key = self.world.key_file(name);
            format!(
                "name: {name}\nkey: {}\nrepository: {clone}\nremote: origin\nroot: {}\n\
                 metrics: {{prometheus: {{url: 'http://127.0.0.1:{prometheus}'}}}}\n",
                key.display(),
                self.root()
            )
        };
        let place = "{haproxy: {socket: haproxy.sock, backend: shop, stable: [old], candidate: [new]}}";
        let applier = common("edge1", "applier") + &format!("targets:\n  checkout-prod: {place}\n");
        fs::write(self.path("applier.yaml"), applier).unwrap();
        let agent = common("cp14", "agent")
            + "promote: after-human\nstart: when-authorized\nchanges: {\"https://git.example/other.git\": other}\n";
        fs::write(self.path("agent.yaml"), agent).unwrap();
    }

    fn root(&self) -> String {
        self.world.git(&["config", "two-key.root"])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    #[track_caller]
    fn in_all(&self, args: &[&str]) -> String {
        self.world.run(self.world.path(), "git", args, b"").exits(0).out.trim_end().to_owned()
    }

    /// Runs the program by the real clock.
    fn two_key(&self, folder: &Path, args: &[&str]) -> Ran {
        let mut command = self.world.command(folder, env!("CARGO_BIN_EXE_git-two-key"));
        let output =
            command.args(args).env_remove("GIT_AUTHOR_DATE").env_remove("GIT_COMMITTER_DATE").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// One tick of the applier and one of the agent; what the agent decided.
    fn tick(&self) -> Value {
        self.two_key(self.world.path(), &["apply", "--once", "--config", "applier.yaml"]);
        let ran = self.two_key(self.world.path(), &["agent", "--once", "--config", "agent.yaml", "--format", "json"]);
        let report = ran.json();
        fits("agent", &report);
        report["leases"][0].clone()
    }

    /// A person's key, with the program's own verbs.
    #[track_caller]
    fn person(&self, verb: &str) -> Ran {
        self.pull();
        let key = self.world.key_file("user1");
        self.two_key(self.world.repo(), &[verb, LEASE, "--push", "--key", key.to_str().unwrap()]).exits(0)
    }

    #[track_caller]
    fn pull(&self) {
        self.world.git(&["fetch", "--quiet", "origin", "+refs/two-key/*:refs/two-key/*"]);
        self.world.git(&["pull", "--quiet", "--ff-only", "origin", "main"]);
    }

    fn shown(&self) -> Value {
        self.pull();
        self.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()
    }

    fn record(&self) -> Value {
        let show = ["--git-dir=server.git", "show", "refs/two-key/appliers/edge1:record.json"];
        let ran = self.world.run(self.world.path(), "git", &show, b"");
        serde_json::from_str::<Value>(&ran.out).unwrap_or_default()["targets"]["checkout-prod"].clone()
    }

    /// How often each event was told.
    fn events(&self) -> BTreeMap<String, u32> {
        self.pull();
        let mut events = BTreeMap::new();
        for line in self.world.two_key(&["log", LEASE, "--format", "json"]).exits(0).out.lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            *events.entry(entry["event"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        events
    }
}

fn haproxy(socket: &Path, front: u16, [old, new]: &[Shop; 2]) -> String {
    format!(
        "global\n  stats socket {} mode 600 level admin\ndefaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  \
         timeout server 5s\nfrontend shop\n  bind 127.0.0.1:{front}\n  default_backend shop\nbackend shop\n  \
         balance roundrobin\n  server old 127.0.0.1:{} weight 1\n  server new 127.0.0.1:{} weight 0\n",
        socket.display(),
        old.port,
        new.port
    )
}

/// Starts a Prometheus that looks at both versions every second; its port.
fn prometheus(world: &World, shops: &[Shop; 2]) -> (Daemon, u16) {
    let path = |name: &str| world.path().join(name).to_str().unwrap().to_owned();
    let targets: Vec<_> = shops.iter().map(|shop| format!("'127.0.0.1:{}'", shop.port)).collect();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: shop\n  static_configs:\n  \
         - targets: [{}]\n",
        targets.join(", ")
    );
    fs::write(path("prometheus.yml"), config).unwrap();
    let port = free_port();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", path("prometheus.yml")))
        .arg(format!("--storage.tsdb.path={}", path("tsdb")))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let daemon = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("prometheus is installed");
    let daemon = Daemon(daemon);
    until("Prometheus answers", || web::get(port, "/-/ready", "test").is_some());
    (daemon, port)
}

#[test]
fn a_bad_version_is_halted_rolled_back_and_verified_without_a_person_touching_it() {
    let stage = Stage::new(Version::Bad);
    let flow = Flow::through(stage.front);
    stage.person("sign");
    // Nobody touches anything from here on.
    let began = Instant::now();
    let mut seen = Vec::new();
    loop {
        let decided = stage.tick();
        let word =
            format!("{} {}", decided["act"].as_str().unwrap_or_default(), decided["rule"].as_str().unwrap_or_default());
        if seen.last() != Some(&word) {
            seen.push(word);
        }
        if stage.record()["phase"] == "verified" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{seen:?}\n{:#}", stage.record());
    }
    // Whatever the other did first, both keys of automata were ready to stop it.
    assert_eq!(seen[..2], ["sign checks-pass", "start begin"], "{seen:?}");
    stage.tick();
    let shown = stage.shown();
    assert_eq!(shown["state"], "rolled-back", "{shown:#}");
    let turned: Vec<_> = shown["transitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let vote = &one["votes"][0];
            (one["action"].as_str().unwrap(), vote["principal"].as_str().unwrap(), vote["evidence"].is_string())
        })
        .collect();
    assert!(turned.iter().all(|(_, who, _)| *who == "cp14" || *who == "edge1"), "{turned:?}");
    assert!(turned.iter().any(|(action, _, evidence)| *action == "halt" && *evidence), "{turned:?}");
    let events = stage.events();
    for event in ["HALTED", "GATE_FAILED", "ROLLED_BACK", "ROLLBACK_VERIFIED"] {
        assert!(events.contains_key(event), "{events:?}");
    }
    assert!(!events.contains_key("CANARY_PROMOTED"), "{events:?}");
    is_percent(&count(stage.front, 40), "v1", 100.0);
    let counts = flow.ends();
    let failed = counts.get("nobody").copied().unwrap_or(0);
    assert!(failed > 0 && failed * 20 < counts.values().sum(), "it never had more than 5 %: {counts:?}");
    stage.world.two_key(&["verify", "--all"]).exits(0);
}

#[test]
fn a_good_version_reaches_100_percent_with_two_keys_a_step() {
    let stage = Stage::new(Version::Good);
    let flow = Flow::through(stage.front);
    stage.person("sign");
    let began = Instant::now();
    let mut approved = 0;
    loop {
        let decided = stage.tick();
        if decided["rule"] == "person-first" {
            stage.person("approve").says("error-rate PASS");
            approved += 1;
        }
        if decided["act"] == "complete" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(90), "{decided:#}\n{:#}", stage.record());
    }
    assert_eq!(approved, 2);
    let shown = stage.shown();
    assert_eq!(shown["state"], "completed");
    for step in [1, 2] {
        let votes = shown["transitions"][step]["votes"].as_array().unwrap();
        let roles: Vec<_> = votes.iter().map(|vote| vote["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["agent", "human"], "{shown:#}");
        assert!(votes[0]["evidence"].is_string());
    }
    assert_eq!(stage.events()["GATE_PASSED"], 3);
    is_percent(&count(stage.front, 40), "v2", 100.0);
    assert_eq!(flow.ends().get("nobody"), None, "no request failed");
    stage.world.two_key(&["verify", "--all"]).exits(0);
}
