//! Packs: what is in them, which one counts, and that nothing is shifted without one.

use std::{
    fs,
    net::TcpStream,
    process::{Command, Stdio},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    haproxy::Edge,
    rig::{FIRST, NEXT, Rig},
};
use crate::kit::{
    schema::fits,
    web::{Backend, Daemon, free_port, until},
};

/// People see the appliers' refs.
fn fetch(edge: &Edge) {
    edge.rig.world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
}

#[test]
fn a_pack_says_all_that_was_there_and_is_shown_verified_and_rehearsed() {
    let mut edge = Edge::new();
    edge.rig.start(FIRST);
    let world = &edge.rig.world;
    world.two_key(&["pack", "verify", FIRST]).exits(1).says("no-pack");
    edge.rig.apply().exits(0);
    fetch(&edge);
    let pack = world.two_key(&["pack", "show", FIRST, "--format", "json"]).exits(0).json();
    assert_eq!(pack, edge.rig.pack(FIRST));
    fits("pack-show", &pack);
    assert_eq!(pack["driver"], "haproxy/1");
    assert_eq!(pack["backends"], serde_json::json!({"new0": 0, "old0": 1}));
    assert_eq!((&pack["probes"]["served"], &pack["reversible"]), (&"v1".into(), &"yes".into()));
    assert_eq!(pack["versions"]["candidate"][0], format!("checkout sha256:{}", "11".repeat(32)));
    assert_eq!(pack["plan"], serde_json::json!(["set weight shop/new0 0", "set weight shop/old0 1"]));
    world.two_key(&["pack", "show", FIRST]).exits(0).says("served       v1");
    world.two_key(&["pack", "verify", FIRST]).exits(0).says("signed by edge1");
    fits("pack-verify", &world.two_key(&["pack", "verify", FIRST, "--format", "json"]).exits(0).json());
    let rehearse = ["pack", "rehearse", FIRST, "--config", "../applier.yaml", "--format", "json"];
    fits("pack-rehearse", &world.two_key(&rehearse).exits(0).json());
    world.two_key(&["pack", "rehearse", FIRST, "--config", "../applier.yaml"]).exits(0).says("set weight shop/old0 1");
    // The next lease's pack says what ran before it, by digest.
    edge.rig.promote(FIRST);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.apply().exits(0);
    edge.rig.turn("cp14", "complete", FIRST);
    edge.swap_in_file();
    edge.rig.start(NEXT);
    edge.rig.apply().exits(0);
    let next = edge.rig.pack(NEXT);
    assert_eq!(next["versions"]["before"][0], format!("checkout sha256:{}", "11".repeat(32)));
    assert_eq!(next["probes"]["served"], "v2");
}

#[test]
fn the_first_pack_that_the_applier_signed_counts_and_no_later_one() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    // Another pack, which would restore half of everything to the candidate, signed by the applier itself.
    let name = format!("packs/{FIRST}.json");
    let refname = "refs/two-key/appliers/edge1";
    let applier = |args: &[&str]| edge.rig.in_all(&[&["-C", "applier"], args].concat());
    let text = serde_json::to_string(&edge.rig.pack(FIRST)).unwrap().replace("\"served\":\"v1\"", "\"served\":\"v2\"");
    fs::write(edge.rig.path("later.json"), text).unwrap();
    let blob = applier(&["hash-object", "-w", "../later.json"]);
    applier(&["read-tree", refname]);
    applier(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{name}")]);
    let tree = applier(&["write-tree"]);
    let key = format!("user.signingKey={}", edge.rig.world.key_file("edge1").display());
    let commit =
        applier(&["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-p", refname, "-m", "later", &tree]);
    applier(&["update-ref", refname, &commit]);
    applier(&["push", "--quiet", "origin", refname]);
    assert_eq!(edge.rig.pack(FIRST)["probes"]["served"], "v2");
    fetch(&edge);
    let shown = edge.rig.world.two_key(&["pack", "show", FIRST, "--format", "json"]).exits(0).json();
    assert_eq!(shown["probes"]["served"], "v1");
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(edge.weights(), [1, 0]);
}

#[test]
fn without_an_entrance_that_answers_there_is_no_pack_and_no_first_shift() {
    let edge = Edge::new();
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    fs::write(edge.rig.path("applier.yaml"), text.replace("/\", count", "/\", header: X-Version, count")).unwrap();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0).says("no-pack").says("no header X-Version");
    assert_eq!(edge.weights(), [1, 0]);
    fs::write(edge.rig.path("applier.yaml"), text).unwrap();
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights(), [19, 1]);
}

#[test]
fn a_pack_holds_what_gates_counted_of_the_version_before() {
    let rig = Rig::under(|policy| {
        policy.replace("applier: edge1}", "applier: edge1, gates: [error-rate]}")
            + "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    \
               candidate: {bad: 'bad {{candidate}}', total: 'total {{candidate}}'}\n    baseline: {version: stable}\n    \
               settle: 0s\n    interval: 1s\n    min: {total: 100, slots: 1}\n    absolute: {max: 0.05}\n"
    });
    rig.configure("{file: weights.json}\nmetrics: {file: {path: metrics.json}}");
    let before = Timestamp::now() - SignedDuration::from_mins(10);
    let line = |name: &str, value: u32| format!("{{\"at\": \"{before}\", \"name\": \"{name}\", \"value\": {value}}}\n");
    fs::write(rig.path("metrics.json"), line("bad stable", 10) + &line("total stable", 1_000)).unwrap();
    rig.start(FIRST);
    rig.apply().exits(0);
    let baselines = rig.pack(FIRST)["baselines"].clone();
    assert_eq!(baselines["recorded"]["error-rate"]["counts"]["bad"], 10.0, "{baselines:#}");
    assert_eq!(baselines["recorded"]["error-rate"]["counts"]["total"], 1_000.0, "{baselines:#}");
    // Where nobody counted anything, nothing is recorded, and that is no baseline of zero.
    let silent = Rig::under(|policy| {
        policy.replace("applier: edge1}", "applier: edge1, gates: [error-rate]}")
            + "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    \
               candidate: {bad: 'bad {{candidate}}', total: 'total {{candidate}}'}\n    absolute: {max: 0.05}\n"
    });
    silent.configure("{file: weights.json}\nmetrics: {file: {path: metrics.json}}");
    fs::write(silent.path("metrics.json"), "").unwrap();
    silent.start(FIRST);
    silent.apply().exits(0);
    assert_eq!(silent.pack(FIRST)["baselines"], serde_json::Value::Null);
}

#[test]
fn a_probe_takes_the_certificates_that_vouch_for_a_private_entrance() {
    let rig = Rig::new("file");
    let (key, certificate) = (rig.path("entrance.key"), rig.path("entrance.pem"));
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
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
        "/CN=entrance",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        key,
        "-out",
        certificate,
    ];
    rig.world.run(rig.world.path(), "openssl", &args, b"").exits(0);
    let both = fs::read_to_string(key).unwrap() + &fs::read_to_string(certificate).unwrap();
    fs::write(rig.path("both.pem"), both).unwrap();
    let (port, version) = (free_port(), Backend::new("v1"));
    let text = format!(
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\nfrontend shop\n  \
         bind 127.0.0.1:{port} ssl crt {}\n  default_backend shop\nbackend shop\n  server a 127.0.0.1:{}\n",
        rig.path("both.pem").display(),
        version.port
    );
    fs::write(rig.path("haproxy.cfg"), text).unwrap();
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(rig.path("haproxy.cfg")).stdout(Stdio::null()).stderr(Stdio::null());
    let _daemon = Daemon(command.spawn().unwrap());
    until("the entrance listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let probe = |url: &str, more: &str| {
        rig.configure(&format!("{{file: weights.json, probe: {{url: \"{url}\", count: 3{more}}}}}"));
    };
    let url = format!("https://127.0.0.1:{port}/");
    rig.start(FIRST);
    probe(&url, "");
    rig.apply().exits(0).says("no-pack").says("certificate");
    probe(&url, ", ca-file: nowhere.pem");
    rig.apply().exits(0).says("no-pack").says("nowhere.pem");
    probe("http://127.0.0.1/", ", ca-file: entrance.pem");
    rig.apply().exits(3).says("`ca-file` is for https addresses");
    probe(&url, ", ca-file: entrance.pem");
    rig.apply().exits(0);
    rig.observed(500);
    assert_eq!(rig.pack(FIRST)["probes"]["served"], "v1");
}
