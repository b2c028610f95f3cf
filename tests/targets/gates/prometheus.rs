//! The `prometheus` source: against a real server with a written history, and against one that plays tricks.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use super::scene::{CANDIDATE, START, configure, replay, rolling};
use crate::kit::web::{free_port, until};
use crate::kit::{Ran, World};

/// A real server, killed at the end.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts a server over a history in `OpenMetrics` form; `web` is its web configuration.
    fn start(folder: &Path, history: &str, web: Option<&str>) -> Self {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        fs::write(path("history"), history).unwrap();
        let args = ["tsdb", "create-blocks-from", "openmetrics", &path("history"), &path("data")];
        let made = Command::new("promtool").args(args).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(path("prometheus.yml"), "global: {scrape_interval: 1h}\n").unwrap();
        let port = free_port();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg("--storage.tsdb.retention.time=10y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        if let Some(web) = web {
            fs::write(path("web.yml"), web).unwrap();
            command.arg(format!("--web.config.file={}", path("web.yml")));
        }
        let log = fs::File::create(path("log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Self { child, port };
        until("Prometheus", || {
            fs::read_to_string(path("log")).unwrap().contains("Server is ready to receive web requests")
        });
        server
    }
}

/// A series of counters, one sample every 15 seconds from a minute before the start on, for a quarter of an hour and more; of each it is
/// said how much it grows in a quarter of a minute, and when it begins anew from zero.
fn history() -> String {
    let mut text = String::from("# TYPE http_requests counter\n");
    let series = [
        (CANDIDATE, "200", 30.0, None),
        (CANDIDATE, "500", 0.25, None),
        ("stable", "200", 570.0, None),
        ("stable", "500", 5.0, None),
        ("bad", "200", 30.0, None),
        ("bad", "500", 3.0, None),
        ("clean", "200", 30.0, None),
        ("restarted", "200", 30.0, Some(20)),
        ("restarted", "500", 3.0, Some(20)),
    ];
    for (version, code, step, reset) in series {
        for tick in 0..72_u32 {
            let ticks = if reset.is_some_and(|reset| tick >= reset) { tick - reset.unwrap() } else { tick + 1000 };
            let (value, at) = (step * f64::from(ticks), START - 60 + i64::from(tick) * 15);
            let _ = writeln!(text, "http_requests_total{{version=\"{version}\",code=\"{code}\"}} {value} {at}");
        }
    }
    text.push_str("# TYPE latency gauge\n");
    for (version, base) in [(CANDIDATE, 1.0), ("slow", 1.3), ("stable", 1.0)] {
        for tick in 0..1100_u32 {
            let value = base + f64::from(tick % 7) / 100.0;
            let _ = writeln!(text, "latency{{version=\"{version}\"}} {value} {}", START - 60 + i64::from(tick));
        }
    }
    text + "# EOF\n"
}

/// One gate of each sort that is to be seen, of a candidate that each names itself.
fn gates() -> String {
    let total = |version: &str| format!("sum(increase(http_requests_total{{version=\"{version}\"}}[{{{{window}}}}]))");
    let bad = |version: &str| {
        format!("sum(increase(http_requests_total{{version=\"{version}\",code=~\"5..\"}}[{{{{window}}}}]))")
    };
    let mut text = String::from("gates:\n");
    let mut counts = |name: &str, bad: &str, total: &str| {
        let _ = write!(
            text,
            "  {name}:\n    source: prometheus\n    kind: count-ratio\n    candidate:\n      bad: '{bad}'\n      total: '{total}'\n    \
             baseline: {{version: stable}}\n    settle: 60s\n    interval: 1m\n    min: {{total: 300, slots: 3}}\n    \
             compare: {{test: e-value, alpha: 0.01, max-ratio: 1.5}}\n    absolute: {{max: 0.05}}\n"
        );
    };
    counts("good", &bad("{{candidate}}"), &total("{{candidate}}"));
    counts("bad", &bad("bad"), &total("bad"));
    counts("clean", &bad("clean"), &total("clean"));
    counts("restarted", &bad("restarted"), &total("restarted"));
    counts("missing", &bad("nobody"), &total("nobody"));
    counts("several", &bad("{{candidate}}"), &total("{{candidate}}").replace("sum(", "("));
    counts("nan", "vector(0) / 0", &total("{{candidate}}"));
    counts("infinite", &bad("{{candidate}}"), "vector(1) / 0");
    counts("wrong", &bad("{{candidate}}"), "sum(");
    let sample = |version: &str| format!("latency{{version=\"{version}\"}}[{{{{window}}}}]");
    let mut observations = |name: &str, query: &str| {
        let _ = write!(
            text,
            "  {name}:\n    source: prometheus\n    kind: sample\n    candidate: {{value: '{query}'}}\n    \
             baseline: {{value: '{}'}}\n    settle: 60s\n    interval: 1m\n    min: {{n: 50, slots: 3}}\n    \
             compare: {{test: mann-whitney, alpha: 0.01, min-a12: 0.6}}\n",
            sample("stable")
        );
    };
    observations("latency", &sample("{{candidate}}"));
    observations("slow", &sample("slow"));
    observations("average", "avg(latency)");
    text + "  scalar:\n    source: prometheus\n    kind: gauge\n    candidate: {value: 'scalar(vector({{tier}}))'}\n    settle: 0s\n    \
            interval: 1m\n    min: {slots: 1}\n    absolute: {max: 5}\n\
            thresholds:\n  cpu-load: {warn: '> 110', halt: '> 120'}\n"
}

#[test]
fn a_real_server_s_history_gives_each_gate_its_verdict() {
    let world = rolling(&gates());
    let server = Prometheus::start(world.path(), &history(), None);
    let url = format!("http://127.0.0.1:{}", server.port);
    let cpu = "thresholds: {cpu-load: {source: prometheus, query: 'vector(115)'}}";
    configure(&world, &format!("  prometheus: {{url: \"{url}\"}}\n  {cpu}\n"));
    // A minute longer than the tier bakes, so that samples are compared.
    let ran = replay(&world, 16, &["--format", "json"]);
    let json = ran.json();
    let verdicts: Vec<_> = json["judgement"]["gates"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(id, report)| format!("{id} {}", report["verdict"].as_str().unwrap()))
        .collect();
    let expected = [
        "average INCONCLUSIVE",
        "bad FAIL",
        "clean PASS",
        "good PASS",
        "infinite INCONCLUSIVE",
        "latency PASS",
        "missing INCONCLUSIVE",
        "nan INCONCLUSIVE",
        "restarted FAIL",
        "scalar PASS",
        "several INCONCLUSIVE",
        "slow FAIL",
        "wrong INCONCLUSIVE",
    ];
    assert_eq!(verdicts, expected, "{json:#}");
    let of = |gate: &str| &json["judgement"]["gates"][gate];
    let why = |gate: &str| of(gate)["why"].as_str().unwrap();
    assert!(why("several").contains("2 series"), "{}", why("several"));
    assert!(why("nan").contains("NaN") && why("infinite").contains("inf"), "{} {}", why("nan"), why("infinite"));
    assert!(why("wrong").contains("bad_data"), "{}", why("wrong"));
    assert!(why("average").contains("no range of one series"), "{}", why("average"));
    assert_eq!(of("latency")["comparison"]["slot"], 14, "{}", of("latency"));
    // 30 a quarter of a minute for fifteen minutes, and 0.25 errors; time is pinned, so it is the same whenever it is asked.
    let total = of("good")["candidate"]["total"].as_f64().unwrap();
    assert!((total - 30.25 * 60.0).abs() < 40.0, "{total}");
    // Nobody ever counted an error, and there were enough requests: none.
    assert_eq!(of("clean")["candidate"]["bad"], 0.0);
    assert_eq!(json["judgement"]["thresholds"]["cpu-load"]["state"], "warn");
    drop(server);
    let down = replay(&world, 3, &["--format", "json"]).exits(3).json();
    assert_eq!(down["judgement"]["verdict"], "INCONCLUSIVE", "{down:#}");
}

#[test]
fn a_server_s_certificate_is_checked_by_the_authority_that_is_named() {
    let world = rolling(&gates());
    let path = |name: &str| world.path().join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (path("tls.key"), path("tls.pem"));
    let args = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "3650",
        "-subj",
        "/CN=prometheus",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ];
    world.run(world.path(), "openssl", &args, b"").exits(0);
    let web = format!("tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\n");
    let server = Prometheus::start(world.path(), &history(), Some(&web));
    let says = |more: &str| {
        configure(&world, &format!("  prometheus: {{url: \"https://127.0.0.1:{}\"{more}}}\n", server.port));
        let json = replay(&world, 5, &["--format", "json"]).json();
        json["judgement"]["gates"]["good"]["why"].as_str().unwrap().to_owned()
    };
    let vouched = says(", ca-file: tls.pem");
    assert!(vouched.contains(" bad of "), "{vouched}");
    let strange = says("");
    assert!(strange.contains("certificate"), "{strange}");
}

/// A server that answers every question in the same way, and remembers the questions.
struct Trick {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Trick {
    fn start(answer: &'static str, body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&asked);
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, body) = (Arc::clone(&theirs), body.clone());
                thread::spawn(move || serve(stream, answer, &body, &asked));
            }
        });
        Self { port, asked }
    }
}

fn serve(mut stream: TcpStream, answer: &str, body: &str, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    while reader.read_line(&mut head).unwrap_or(0) > 2 {
        let last = head.trim_end().rsplit('\n').next().unwrap_or_default().to_ascii_lowercase();
        length = last.strip_prefix("content-length:").map_or(length, |value| value.trim().parse().unwrap());
        if head.ends_with("\r\n\r\n") {
            break;
        }
    }
    let mut question = vec![0; length];
    reader.read_exact(&mut question).unwrap();
    asked.lock().unwrap().push(format!("{head}{}", String::from_utf8_lossy(&question)));
    if answer.is_empty() {
        // Says nothing for as long as anybody waits.
        let _ = reader.read(&mut [0]);
        return;
    }
    let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
}

const ONE: &str = "gates:\n  depth:\n    source: prometheus\n    kind: gauge\n    candidate: {value: 'depth{v=\"{{candidate}}\"}'}\n    \
    settle: 60s\n    interval: 1m\n    min: {slots: 1}\n    absolute: {max: 10}\n";

fn tricked(world: &World, trick: &Trick, more: &str) -> Ran {
    configure(world, &format!("  prometheus: {{url: \"http://127.0.0.1:{}/prefix/\"{more}}}\n", trick.port));
    replay(world, 2, &[])
}

#[test]
fn a_question_shows_the_token_and_pins_its_time() {
    let world = rolling(ONE);
    fs::write(world.path().join("token"), "a-secret\n").unwrap();
    let body = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1,\"3\"]}]}}";
    let trick = Trick::start("200 OK", body.to_owned());
    tricked(&world, &trick, ", token-file: token").exits(0).never_says("a-secret");
    let asked = trick.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("POST /prefix/api/v1/query HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].to_ascii_lowercase().contains("authorization: bearer a-secret\r\n"), "{}", asked[0]);
    assert!(
        asked[0].contains(&format!("time={}.000", START + 120)) && asked[0].contains("timeout=10s"),
        "{}",
        asked[0]
    );
    assert!(asked[0].contains("query=depth%7Bv%3D%22sha256%3A1111"), "{}", asked[0]);
    fs::remove_file(world.path().join("token")).unwrap();
    tricked(&world, &trick, ", token-file: token").exits(3).says("the token file");
}

#[test]
fn whatever_a_server_does_wrong_holds() {
    let world = rolling(ONE);
    let good = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1,\"3\"]}]}}";
    for (answer, body, says) in [
        ("503 Unavailable", good.to_owned(), "HTTP status 503"),
        ("302 Found\r\nLocation: http://127.0.0.1:1/", good.to_owned(), "HTTP status 302"),
        ("200 OK", "<html>".to_owned(), "did not answer in its own format"),
        (
            "200 OK",
            good.replacen('{', "{\"warnings\":[\"part of it is missing\"],", 1),
            "Prometheus warns: part of it is missing",
        ),
        ("200 OK", " ".repeat(9_000_000), "large"),
        ("", String::new(), "timeout"),
    ] {
        let trick = Trick::start(answer, body);
        tricked(&world, &trick, ", timeout: 1s").exits(3).says("INCONCLUSIVE").says(says);
    }
    let trick = Trick::start("200 OK", good.to_owned());
    tricked(&world, &trick, ", timeout: 1s").exits(0).says("PASS");
}
