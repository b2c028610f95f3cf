//! The nginx driver, with a real `nginx`.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::rig::{FIRST, NEXT, Rig};
use crate::kit::web::{Backend, Daemon, Flow, count, free_port, get, is_percent, until};

/// A rig with an `nginx` before two upstreams.
pub(crate) struct Edge {
    daemon: Daemon,
    pub(crate) rig: Rig,
    port: u16,
    _backends: [Backend; 2],
}

pub(crate) fn program() -> PathBuf {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    folders
        .iter()
        .map(|folder| PathBuf::from(folder).join("nginx"))
        .find(|path| path.exists())
        .expect("nginx is installed")
}

/// The file that a person writes before the first lease.
const FIRST_FILE: &str = "split_clients \"$http_x_client\" $two_key_checkout_prod {\n    * blue;\n}\n\
    map \"\" $two_key_checkout_prod_state {\n    default '{\"version\":1,\"target\":\"checkout-prod\",\"weight_bp\":0,\
    \"lease\":null,\"step\":null,\"candidate\":\"candidate\"}';\n}\n";

/// Folders that nginx would else have elsewhere.
pub(crate) fn temporary(folder: &Path) -> String {
    let line = |kind: &&str| format!("  {kind}_temp_path {}/tmp-{kind};\n", folder.display());
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().map(line).collect()
}

impl Edge {
    pub(crate) fn new() -> Self {
        let rig = Rig::new("nginx");
        let port = free_port();
        let backends = [Backend::new("v1"), Backend::new("v2")];
        let folder = rig.world.path().display().to_string();
        let temporary = temporary(rig.world.path());
        let text = format!(
            "daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nworker_processes 1;\nevents {{}}\nhttp {{\n  \
             access_log off;\n{}  upstream blue {{ server 127.0.0.1:{}; }}\n  upstream green {{ server 127.0.0.1:{}; }}\n  \
             include {folder}/split.conf;\n  server {{\n    listen 127.0.0.1:{port};\n    location = /.two-key/checkout-prod {{\n      \
             default_type application/json;\n      return 200 $two_key_checkout_prod_state;\n    }}\n    \
             location / {{ proxy_pass http://$two_key_checkout_prod; }}\n  }}\n}}\n",
            temporary, backends[0].port, backends[1].port
        );
        fs::write(rig.path("nginx.conf"), text).unwrap();
        fs::write(rig.path("split.conf"), FIRST_FILE).unwrap();
        let program = program().display().to_string();
        rig.configure(&format!(
            "{{nginx: {{include: {folder}/split.conf, stable: blue, candidate: green, key: $http_x_client, \
             test: [{program}, -q, -t, -c, {folder}/nginx.conf], reload: [{program}, -c, {folder}/nginx.conf, -s, reload], \
             status: \"http://127.0.0.1:{port}/.two-key/checkout-prod\"}}}}"
        ));
        let mut command = Command::new(self::program());
        command.arg("-c").arg(rig.path("nginx.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Daemon(command.spawn().unwrap());
        let edge = Self { daemon, rig, port, _backends: backends };
        until("nginx answers", || edge.state().is_some() && edge.rig.path("nginx.pid").exists());
        edge
    }

    fn state(&self) -> Option<String> {
        get(self.port, "/.two-key/checkout-prod", "tester")
    }

    fn split(&self) -> String {
        fs::read_to_string(self.rig.path("split.conf")).unwrap()
    }
}

/// A connection on which nothing is asked yet; an old worker that has it goes on with it.
struct Held(TcpStream);

impl Held {
    /// Connected, and sure to have been taken by a worker: half of a request has been sent.
    fn to(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nX-Client: hol").unwrap();
        Self(stream)
    }

    /// Ends the request: who answers it.
    fn ask(mut self) -> Option<String> {
        self.0.write_all(b"der\r\nHost: shop\r\nConnection: close\r\n\r\n").ok()?;
        let mut said = String::new();
        self.0.read_to_string(&mut said).ok()?;
        said.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // The master takes its workers along when it is asked to end, not when it is killed.
        let _ = Command::new("kill").arg(self.daemon.0.id().to_string()).status();
        let _ = self.daemon.0.wait();
    }
}

#[test]
fn two_leases_in_a_row_are_split_as_ordered_and_restored_while_requests_flow_and_none_fails() {
    let edge = Edge::new();
    let flow = Flow::through(edge.port);
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    is_percent(&count(edge.port, 600), "v2", 5.0);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    is_percent(&count(edge.port, 400), "v2", 25.0);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    is_percent(&count(edge.port, 50), "v2", 100.0);
    edge.rig.turn("cp14", "complete", FIRST);
    let before = edge.split();
    edge.rig.start(NEXT);
    edge.rig.apply().exits(0);
    edge.rig.observed(500);
    is_percent(&count(edge.port, 600), "v1", 5.0);
    edge.rig.turn("user2", "rollback", NEXT);
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(edge.split(), before);
    is_percent(&count(edge.port, 50), "v2", 100.0);
    let counts = flow.ends();
    assert_eq!(counts.get("nobody"), None, "{counts:?}");
}

#[test]
fn a_file_that_a_hand_changed_is_drift_even_before_nginx_loads_it() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    let good = edge.split();
    fs::write(edge.rig.path("split.conf"), good.replace("5.00%", "50.00%")).unwrap();
    edge.rig.apply().exits(0);
    assert_eq!(edge.split(), good);
    assert_eq!(edge.rig.events(), ["PACKED", "APPLIED", "DRIFTED", "APPLIED"]);
    is_percent(&count(edge.port, 600), "v2", 5.0);
}

#[test]
fn what_nginx_would_not_load_is_taken_back_and_nothing_is_moved() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    let text = fs::read_to_string(edge.rig.path("nginx.conf")).unwrap();
    fs::write(edge.rig.path("nginx.conf"), format!("{text}\nnonsense;\n")).unwrap();
    edge.rig.apply().exits(0).says("no-pack").says("nonsense");
    assert_eq!(edge.split(), FIRST_FILE);
    fs::write(edge.rig.path("nginx.conf"), text).unwrap();
    edge.rig.apply().exits(0);
    edge.rig.observed(500);
}

#[test]
fn an_nginx_that_does_not_say_what_it_has_loaded_is_unknown() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    fs::write(edge.rig.path("applier.yaml"), text.replace("/.two-key/checkout-prod\"", "/\"")).unwrap();
    edge.rig.apply().exits(0).says("no-data").says("does not tell");
    assert_eq!(edge.split(), FIRST_FILE);
}

#[test]
fn a_stop_leaves_its_file_in_place_where_a_configuration_of_somebody_else_keeps_nginx_from_loading_it() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    let text = fs::read_to_string(edge.rig.path("nginx.conf")).unwrap();
    fs::write(edge.rig.path("nginx.conf"), format!("{text}\nnonsense;\n")).unwrap();
    edge.rig.turn("cp18", "halt", FIRST);
    edge.rig.apply().says("says 0 %, and nginx cannot load it").says("nonsense");
    assert!(edge.split().contains("{\n    * blue;\n}"), "{}", edge.split());
    // Whoever mends it and reloads takes the weight away, whether or not the applier looks.
    fs::write(edge.rig.path("nginx.conf"), text).unwrap();
    let config = edge.rig.path("nginx.conf").display().to_string();
    Command::new(program()).args(["-c", &config, "-s", "reload"]).status().unwrap();
    until("nginx has loaded it", || edge.state().is_some_and(|state| state.contains("\"weight_bp\":0")));
    edge.rig.apply().exits(0);
    edge.rig.observed(0);
    assert_eq!(count(edge.port, 100).get("v2"), None);
}

#[test]
fn a_file_that_does_not_say_for_which_lease_it_is_keeps_no_weight_from_being_taken_away() {
    for is_written_down in [true, false] {
        let edge = Edge::new();
        edge.rig.start(FIRST);
        edge.rig.apply().exits(0);
        let by_hand = FIRST_FILE
            .replace("    * blue;", "    50% green;\n    * blue;")
            .replace("\"weight_bp\":0", "\"weight_bp\":5000");
        fs::write(edge.rig.path("split.conf"), by_hand).unwrap();
        let config = edge.rig.path("nginx.conf").display().to_string();
        Command::new(program()).args(["-c", &config, "-s", "reload"]).status().unwrap();
        until("nginx has loaded it", || edge.state().is_some_and(|state| state.contains("\"weight_bp\":5000")));
        if !is_written_down {
            fs::remove_file(edge.rig.kept().join("targets/checkout-prod.json")).unwrap();
        }
        edge.rig.turn("cp18", "halt", FIRST);
        edge.rig.apply().exits(0);
        edge.rig.observed(0);
        assert_eq!(count(edge.port, 100).get("v2"), None);
    }
}

#[test]
fn a_server_in_both_upstreams_is_refused_and_one_that_keeps_people_within_its_own_is_told() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    let text = fs::read_to_string(edge.rig.path("nginx.conf")).unwrap();
    let green = text.lines().find(|line| line.contains("upstream green")).unwrap();
    let address = green.split("server ").nth(1).unwrap().split(';').next().unwrap();
    let both = text.replace("upstream blue {", &format!("upstream blue {{ server {address} backup;"));
    fs::write(edge.rig.path("nginx.conf"), both).unwrap();
    let check = || edge.rig.world.two_key(&["check", "--config", "../applier.yaml"]);
    check().exits(1).says("malformed").says("is in both upstreams");
    edge.rig.apply().exits(0).says("malformed").says("is in both upstreams");
    assert_eq!(edge.split(), FIRST_FILE);
    fs::write(edge.rig.path("nginx.conf"), text.replace("upstream green {", "upstream green { ip_hash;")).unwrap();
    check().exits(0).says("upstream green keeps people on a server (`ip_hash`)");
    edge.rig.apply().exits(0);
    edge.rig.observed(500);
}

#[test]
fn a_rollback_is_verified_only_when_the_old_workers_that_know_the_candidate_are_gone() {
    let edge = Edge::new();
    // This one is held by a worker that knows no candidate, and hinders nothing.
    let before = Held::to(edge.port);
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    let held = Held::to(edge.port);
    edge.rig.turn("user1", "rollback", FIRST);
    for _ in 0..2 {
        edge.rig.apply().exits(3).says("rolling-back").says("1 old worker goes on with connections from before");
        edge.rig.observed(0);
        assert_eq!(edge.rig.record()["checks"]["candidate"]["outcome"], "pending");
    }
    // So it is: who held a connection is still served what was rolled back.
    assert_eq!(held.ask().as_deref(), Some("v2"));
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(edge.rig.record()["checks"]["candidate"]["outcome"], "passed");
    assert_eq!(before.ask().as_deref(), Some("v1"));
    let told = |name: &str| edge.rig.events().iter().filter(|event| *event == name).count();
    assert_eq!((told("ROLLBACK_VERIFIED"), told("ROLLBACK_RESTORED"), told("DRIFTED")), (1, 0, 0));
}

#[test]
fn a_halt_says_that_old_workers_that_know_the_candidate_go_on_and_no_more_once_they_are_gone() {
    let edge = Edge::new();
    let before = Held::to(edge.port);
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    let held = Held::to(edge.port);
    edge.rig.turn("user1", "halt", FIRST);
    for _ in 0..2 {
        edge.rig.apply().exits(0).says("no-data").says("1 old worker goes on with connections from before");
        edge.rig.observed(0);
    }
    assert_eq!(held.ask().as_deref(), Some("v2"));
    until("it is gone", || !edge.rig.apply().exits(0).out.contains("old worker"));
    // One that knew no candidate hinders nothing.
    assert_eq!(before.ask().as_deref(), Some("v1"));
}

#[test]
fn old_workers_that_nginx_gives_up_in_time_keep_no_rollback_open() {
    for (bound, code, word) in [("worker_shutdown_timeout 1s;\n", 0, "verified"), ("", 3, "rolling-back")] {
        let edge = Edge::new();
        let path = edge.rig.path("nginx.conf");
        fs::write(&path, bound.to_owned() + &fs::read_to_string(&path).unwrap()).unwrap();
        // The bound counts for workers that begin with it, as those do that know the candidate.
        edge.rig.start(FIRST);
        edge.rig.apply().exits(0);
        let _held = TcpStream::connect(("127.0.0.1", edge.port)).unwrap();
        edge.rig.turn("user1", "rollback", FIRST);
        edge.rig.apply().exits(code).says(word);
    }
}

#[test]
fn where_nobody_sees_old_workers_a_rollback_is_restored_and_not_verified() {
    let edge = Edge::new();
    // No program prints the configuration, so that nobody knows whose workers these are.
    let config = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    let (head, rest) = config.split_once("test: [").unwrap();
    let (_, tail) = rest.split_once(']').unwrap();
    fs::write(edge.rig.path("applier.yaml"), format!("{head}test: [/bin/true]{tail}")).unwrap();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(0).says("restored");
    let check = edge.rig.record()["checks"]["candidate"].clone();
    assert_eq!(check["outcome"], "not-configured", "{check:#}");
    assert!(check["message"].as_str().unwrap().contains("cannot be seen here: `/bin/true` has no -t"), "{check:#}");
    assert_eq!(edge.rig.events().last().unwrap(), "ROLLBACK_RESTORED");
}
