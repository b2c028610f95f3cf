//! The haproxy driver, with a real `haproxy`.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
};

use super::rig::{FIRST, NEXT, Rig};
use crate::kit::web::{Backend, Daemon, Flow, count, free_port, is_percent, until};

/// A rig with a `haproxy` before some stable servers and one candidate.
pub(crate) struct Edge {
    pub(crate) daemon: Daemon,
    pub(crate) rig: Rig,
    pub(crate) port: u16,
    pub(crate) stable: Vec<Backend>,
    candidate: Vec<Backend>,
}

/// What is unusual about a backend.
#[derive(Default)]
pub(crate) struct Odds<'a> {
    /// Lines under `global`.
    pub(crate) global: &'a str,
    /// Lines of the backend, before its servers.
    pub(crate) lines: &'a str,
    /// Words on the line of each stable server.
    pub(crate) stable: &'a str,
    /// Words on the line of the candidate's server.
    pub(crate) candidate: &'a str,
    /// What the applier's configuration has beside the usual.
    pub(crate) config: &'a str,
    /// Gates of the policy, which the target then has.
    pub(crate) gates: &'a str,
}

impl Edge {
    pub(crate) fn new() -> Self {
        Self::balancing("roundrobin", 1)
    }

    fn balancing(algorithm: &str, stable: usize) -> Self {
        Self::odd(algorithm, stable, &Odds::default())
    }

    pub(crate) fn odd(algorithm: &str, stable: usize, odds: &Odds<'_>) -> Self {
        let rig = Rig::under(|policy| {
            let policy = policy.replace("driver: file", "driver: haproxy");
            match odds.gates {
                "" => policy,
                gates => policy.replace("applier: edge1}", "applier: edge1, gates: [error-rate]}") + gates,
            }
        });
        let port = free_port();
        let stable: Vec<_> = (0..stable).map(|_| Backend::new("v1")).collect();
        let candidate = vec![Backend::new("v2")];
        let named = |of: &[Backend], name: &str, weight: u8, words: &str| {
            let line = |(number, one): (usize, &Backend)| {
                format!(
                    "  server {name}{number} 127.0.0.1:{} weight {weight} check inter 50ms fall 1 rise 1 {words}\n",
                    one.port
                )
            };
            of.iter().enumerate().map(line).collect::<String>()
        };
        let text = format!(
            "global\n  stats socket {} mode 600 level admin\n{}defaults\n  mode http\n  timeout connect 2s\n  \
             timeout client 5s\n  timeout server 5s\n  retries 3\n  option redispatch\nfrontend shop\n  bind 127.0.0.1:{port}\n  \
             default_backend shop\nbackend shop\n  balance {algorithm}\n{}{}{}",
            rig.path("haproxy.sock").display(),
            odds.global.replace("HERE", &rig.world.path().display().to_string()),
            odds.lines,
            named(&stable, "old", 1, odds.stable),
            named(&candidate, "new", 0, odds.candidate),
        );
        fs::write(rig.path("haproxy.cfg"), text).unwrap();
        let servers = (0..stable.len()).map(|number| format!("old{number}")).collect::<Vec<_>>().join(", ");
        rig.configure(&format!(
            "{{haproxy: {{socket: haproxy.sock, backend: shop, stable: [{servers}], candidate: [new0]{}}}, \
             probe: {{url: \"http://127.0.0.1:{port}/\", count: 10}}}}",
            odds.config
        ));
        let daemon = launch(&rig, &[]);
        let edge = Self { daemon, rig, port, stable, candidate };
        until("haproxy answers", || edge.try_ask("show info").is_some());
        edge
    }

    /// The file follows the pools: the candidate serves everything after a restart, and the other pool nothing.
    pub(crate) fn swap_in_file(&mut self) {
        let text = fs::read_to_string(self.rig.path("haproxy.cfg")).unwrap();
        let line = |line: &str| match line.trim_start().split(' ').nth(1) {
            Some(name) if name.starts_with("old") => line.replace("weight 1", "weight 0"),
            Some(name) if name.starts_with("new") => line.replace("weight 0", "weight 1"),
            _ => line.to_owned(),
        };
        fs::write(self.rig.path("haproxy.cfg"), text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n").unwrap();
        self.reload();
    }

    /// All of `haproxy` ends, and another one begins.
    pub(crate) fn restart(&mut self) {
        let _ = self.daemon.0.kill();
        let _ = self.daemon.0.wait();
        self.daemon = launch(&self.rig, &[]);
        until("the new haproxy answers", || self.try_ask("show info").is_some());
    }

    /// What a server is: the columns of its row.
    pub(crate) fn row(&self, server: &str) -> Vec<String> {
        let said = self.ask("show servers state shop");
        let row = said.lines().find(|line| line.split(' ').nth(3) == Some(server)).unwrap_or_default();
        row.split(' ').map(str::to_owned).collect()
    }

    /// Another file, and a reload.
    pub(crate) fn rewrite(&mut self, edit: impl FnOnce(String) -> String) {
        let path = self.rig.path("haproxy.cfg");
        fs::write(&path, edit(fs::read_to_string(&path).unwrap())).unwrap();
        self.reload();
    }

    /// A new `haproxy` takes the place of the old one, which ends when its last connection does.
    fn reload(&mut self) {
        let old = self.daemon.0.id().to_string();
        let new = launch(&self.rig, &["-sf", &old]);
        let mut old = std::mem::replace(&mut self.daemon, new);
        until("the old haproxy is gone", || old.0.try_wait().unwrap().is_some());
        until("the new haproxy answers", || self.try_ask("show info").is_some());
    }

    fn try_ask(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.rig.path("haproxy.sock")).ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        Some(said)
    }

    pub(crate) fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap()
    }

    /// The weights of all servers now, in the order of the configuration.
    pub(crate) fn weights(&self) -> Vec<u32> {
        let said = self.ask("show servers state shop");
        let rows = said.lines().filter(|line| line.contains(" shop "));
        rows.map(|row| row.split(' ').nth(7).unwrap().parse().unwrap()).collect()
    }

    pub(crate) fn is_down(&self, server: &str) -> bool {
        let said = self.ask("show servers state shop");
        said.lines().find(|line| line.contains(server)).unwrap().split(' ').nth(5) == Some("0")
    }
}

fn launch(rig: &Rig, more: &[&str]) -> Daemon {
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(rig.path("haproxy.cfg")).args(more);
    Daemon(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("haproxy is installed"))
}

#[test]
fn two_leases_in_a_row_from_first_shift_to_verified_rollback_while_requests_flow_and_none_fails() {
    let mut edge = Edge::new();
    let flow = Flow::through(edge.port);
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    is_percent(&count(edge.port, 400), "v2", 5.0);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    is_percent(&count(edge.port, 400), "v2", 25.0);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    is_percent(&count(edge.port, 50), "v2", 100.0);
    // The pool that serves nothing now is the next lease's candidate: here, of the old version.
    edge.rig.turn("cp14", "complete", FIRST);
    edge.rig.apply().exits(0);
    edge.swap_in_file();
    edge.rig.start(NEXT);
    edge.rig.apply().exits(0);
    edge.rig.observed(500);
    is_percent(&count(edge.port, 400), "v1", 5.0);
    edge.rig.turn("user2", "rollback", NEXT);
    edge.rig.apply().exits(0).says("verified");
    is_percent(&count(edge.port, 50), "v2", 100.0);
    let record = edge.rig.record();
    assert_eq!((&record["observed_bp"], &record["observed_lease"]), (&10_000.into(), &FIRST.into()));
    assert_eq!(edge.rig.events().last().unwrap(), "ROLLBACK_VERIFIED");
    let counts = flow.ends();
    assert_eq!(counts.get("nobody"), None, "{counts:?}");
    assert!(counts.values().sum::<u32>() > 500, "{counts:?}");
}

#[test]
fn weights_that_a_hand_raises_are_put_back_and_those_that_a_reload_loses_stay_lost_until_a_key_is_turned() {
    let mut edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights(), [19, 1]);
    let flow = Flow::through(edge.port);
    edge.ask("set weight shop/new0 100");
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights(), [19, 1]);
    edge.reload();
    assert_eq!(edge.weights(), [1, 0]);
    for _ in 0..2 {
        edge.rig.apply().exits(0).says("holding (drift: ");
        assert_eq!(edge.weights(), [1, 0]);
    }
    assert_eq!(edge.rig.events(), ["PACKED", "APPLIED", "DRIFTED", "APPLIED", "DRIFTED"]);
    for (name, action) in [("user2", "pause"), ("user1", "resume"), ("cp14", "resume")] {
        edge.rig.turn(name, action, FIRST);
    }
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights(), [19, 1]);
    assert_eq!(flow.ends().get("nobody"), None);
}

#[test]
fn when_a_stable_server_dies_the_candidate_keeps_its_share_and_gets_no_more() {
    let mut edge = Edge::balancing("roundrobin", 2);
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights(), [19, 19, 2]);
    drop(edge.stable.remove(0));
    until("haproxy notices", || edge.is_down("old0"));
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights()[1..], [19, 1]);
    is_percent(&count(edge.port, 200), "v2", 5.0);
    edge.rig.observed(500);
}

#[test]
fn when_the_candidate_dies_nothing_is_raised_and_a_rollback_still_restores() {
    let mut edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.promote(FIRST);
    drop(edge.candidate.remove(0));
    until("haproxy notices", || edge.is_down("new0"));
    edge.rig.apply().exits(0).says("drift");
    assert_eq!(edge.weights(), [19, 1]);
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(edge.weights(), [1, 0]);
}

#[test]
fn a_balance_that_does_not_heed_weights_is_refused_before_the_first_shift() {
    for (algorithm, refused) in [("source", true), ("leastconn", true), ("roundrobin", false)] {
        let edge = Edge::balancing(algorithm, 1);
        edge.rig.start(FIRST);
        let ran = edge.rig.apply().exits(0);
        if refused {
            ran.says("balances by");
            assert_eq!(edge.weights(), [1, 0], "{algorithm}");
        } else {
            assert_eq!(edge.weights(), [19, 1], "{algorithm}");
        }
    }
}

#[test]
fn who_the_candidate_is_comes_from_the_pack_where_the_file_that_says_so_was_lost() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    fs::remove_file(edge.rig.kept().join("targets/checkout-prod.json")).unwrap();
    edge.rig.turn("cp18", "halt", FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights(), [1, 0]);
    edge.rig.observed(0);
}

#[test]
fn weights_of_which_nobody_knows_the_lease_are_no_state_to_come_back_to() {
    let edge = Edge::new();
    edge.ask("set weight shop/new0 1");
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0).says("both pools");
    assert_eq!(edge.weights(), [1, 1]);
    edge.ask("set weight shop/new0 0");
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights(), [19, 1]);
}

#[test]
fn check_refuses_tiers_that_the_servers_cannot_make_and_a_balance_that_heeds_no_weights() {
    let edge = Edge::balancing("roundrobin", 2);
    edge.rig.propose(FIRST, |text| text);
    let check = || edge.rig.world.two_key(&["check", "--config", "../applier.yaml"]);
    check().exits(0);
    // A third of what one tier needs: the weights would end at 256.
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    let many = (0..6).map(|number| format!("more{number}")).collect::<Vec<_>>().join(", ");
    fs::write(edge.rig.path("applier.yaml"), text.replace("[new0]", &format!("[new0, {many}]"))).unwrap();
    edge.rig.propose(NEXT, |text| text.replace("weight: 5,", "weight: 1,"));
    check().exits(1).says("malformed").says("1 % cannot be made");
    fs::write(edge.rig.path("applier.yaml"), &text).unwrap();
    check().exits(0);
    let sticky = Edge::balancing("source", 1);
    sticky.rig.propose(FIRST, |text| text);
    let check = || sticky.rig.world.two_key(&["check", "--config", "../applier.yaml"]);
    check().exits(1).says("balances by source");
}
