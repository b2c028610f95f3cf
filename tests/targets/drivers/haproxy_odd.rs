//! The haproxy driver where something is odd: people who stay where they were, servers that come and go, weights that are not
//! what they say, and files that a restart reads.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};

use super::{
    haproxy::{Edge, Odds},
    rig::{FIRST, NEXT},
};
use crate::kit::web::{Backend, Flow, count, get, get_with, is_percent, until};

/// An edge at 25 %.
fn at_a_quarter(odds: &Odds<'_>) -> Edge {
    let edge = Edge::odd("roundrobin", 1, odds);
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights(), [3, 1]);
    edge
}

const COOKIES: Odds<'_> = Odds {
    global: "",
    lines: "  cookie SRV insert indirect nocache\n",
    stable: "cookie a",
    candidate: "cookie b",
    config: "",
    gates: "",
};

/// Twelve people whom a cookie keeps with the candidate.
fn people(edge: &Edge) -> Vec<String> {
    let mut people = Vec::new();
    for _ in 0..400 {
        let (head, body) = get_with(edge.port, "/", "X-Client: new").unwrap();
        if body == "v2" {
            let cookie =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("set-cookie: ").map(str::to_owned));
            people.push(cookie.unwrap().split(';').next().unwrap().to_uppercase().replace("=B", "=b"));
        }
        if people.len() == 12 {
            break;
        }
    }
    assert_eq!(people.len(), 12);
    people
}

fn on_the_candidate(edge: &Edge, people: &[String]) -> usize {
    let served = people.iter().map(|cookie| get_with(edge.port, "/", &format!("Cookie: {cookie}")).unwrap().1);
    served.filter(|who| who == "v2").count()
}

#[test]
fn a_stop_moves_people_whom_a_cookie_keeps_and_the_next_lease_takes_the_pool_out_of_maintenance() {
    let edge = at_a_quarter(&COOKIES);
    let people = people(&edge);
    assert_eq!(on_the_candidate(&edge, &people), 12);
    let flow = Flow::through(edge.port);
    edge.rig.turn("user1", "halt", FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(on_the_candidate(&edge, &people), 0);
    edge.rig.observed(0);
    // Somebody takes it out of maintenance: the weight is zero, and people are back. That is drift.
    edge.ask("set server shop/new0 state ready");
    assert_eq!(on_the_candidate(&edge, &people), 12);
    edge.rig.apply().exits(0);
    assert_eq!(on_the_candidate(&edge, &people), 0);
    assert_eq!(edge.rig.events().iter().filter(|event| *event == "DRIFTED").count(), 1);
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(on_the_candidate(&edge, &people), 0);
    assert_eq!((edge.weights(), edge.row("new0")[6].as_str()), (vec![1, 0], "1"));
    edge.rig.start(NEXT);
    edge.rig.apply().exits(0);
    assert_eq!((edge.weights(), edge.row("new0")[6].as_str()), (vec![19, 1], "0"));
    assert_eq!(flow.ends().get("nobody"), None);
}

#[test]
fn a_stop_moves_people_whom_a_stick_table_keeps_and_leaves_alone_what_nobody_is_kept_by() {
    let odds =
        Odds { lines: "  stick-table type string size 1k expire 5m\n  stick on hdr(X-Client)\n", ..Odds::default() };
    let edge = at_a_quarter(&odds);
    let kept: Vec<_> =
        (0..60).map(|n| format!("c{n}")).filter(|c| get(edge.port, "/", c).as_deref() == Some("v2")).collect();
    assert!(kept.len() > 5 && kept.iter().all(|c| get(edge.port, "/", c).as_deref() == Some("v2")));
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    assert!(kept.iter().all(|c| get(edge.port, "/", c).as_deref() == Some("v1")));
    assert_eq!(edge.row("new0")[6], "1");
    let plain = at_a_quarter(&Odds::default());
    plain.rig.turn("user1", "rollback", FIRST);
    plain.rig.apply().exits(0).says("verified");
    assert_eq!((plain.weights(), plain.row("new0")[6].as_str()), (vec![1, 0], "0"));
}

#[test]
fn check_says_that_people_are_kept_and_refuses_what_keeps_them_through_maintenance() {
    let check = |edge: &Edge| {
        edge.rig.propose(FIRST, |text| text);
        edge.rig.world.two_key(&["check", "--config", "../applier.yaml"])
    };
    check(&Edge::odd("roundrobin", 1, &COOKIES)).exits(0).says("keeps people on a server (cookie SRV)");
    check(&Edge::new()).exits(0).never_says("keeps people");
    let persist = Odds { lines: "  cookie SRV insert indirect nocache\n  option persist\n", ..COOKIES };
    let edge = Edge::odd("roundrobin", 1, &persist);
    check(&edge).exits(1).says("malformed").says("option persist").says("take `option persist` out");
}

#[test]
fn servers_that_are_sent_another_share_than_their_weight_are_refused_by_check_and_before_the_first_shift() {
    for (odds, word) in [
        (Odds { stable: "slowstart 20s", ..Odds::default() }, Some("slowstart 20s")),
        (Odds { candidate: "slowstart 20s", ..Odds::default() }, Some("slowstart 20s")),
        (Odds { candidate: "backup", ..Odds::default() }, Some("backup")),
        (Odds { lines: "  default-server slowstart 5s\n", ..Odds::default() }, Some("slowstart 5s")),
        (Odds { stable: "maxconn 30", ..Odds::default() }, Some("maxconn 30")),
        (Odds { candidate: "agent-check agent-port 1", ..Odds::default() }, Some("agent-check")),
        (Odds { stable: "slowstart 0", ..Odds::default() }, None),
    ] {
        let edge = Edge::odd("roundrobin", 1, &odds);
        edge.rig.start(FIRST);
        let check = edge.rig.world.two_key(&["check", "--config", "../applier.yaml"]);
        let ran = edge.rig.apply().exits(0);
        if let Some(word) = word {
            check.exits(1).says("malformed").says(word);
            ran.says("malformed").says(word);
            assert_eq!(edge.weights(), [1, 0], "{word}");
        } else {
            check.exits(0);
            assert_eq!(edge.weights(), [19, 1]);
        }
    }
}

#[test]
fn a_split_that_weights_do_not_tell_any_more_is_unknown_and_a_stop_is_carried_out() {
    let mut edge = at_a_quarter(&Odds::default());
    // Everything goes to the first that is not full, and that is the candidate now.
    edge.rewrite(|text| {
        let text = text.replace("balance roundrobin", "balance first");
        text.replace("weight 1 check", "weight 1 id 9 check").replace("weight 0 check", "weight 1 id 1 check")
    });
    edge.rig.apply().exits(0).says("no-data").says("balances by first");
    edge.rig.turn("user2", "halt", FIRST);
    edge.rig.apply().exits(0);
    assert_eq!((edge.weights()[1], count(edge.port, 40).get("v2")), (0, None));
    edge.rig.observed(0);
}

#[test]
fn where_all_that_is_stable_is_down_the_candidate_has_more_than_was_given_to_it_and_that_is_told_once() {
    let mut edge = at_a_quarter(&Odds::default());
    let old = edge.stable.remove(0);
    let port = old.port;
    drop(old);
    until("haproxy notices", || edge.is_down("old0"));
    for _ in 0..3 {
        edge.rig.apply().says("drift");
    }
    let drifted = || edge.rig.events().iter().filter(|event| *event == "DRIFTED").count();
    assert_eq!(drifted(), 1);
    let back = Backend::at(port, "v1");
    until("haproxy notices", || !edge.is_down("old0"));
    edge.rig.apply().exits(0);
    edge.rig.observed(2500);
    // The next time is another one.
    drop(back);
    until("haproxy notices", || edge.is_down("old0"));
    edge.rig.apply().says("drift");
    assert_eq!(drifted(), 2);
}

#[test]
fn a_halt_says_that_somebody_is_still_connected_with_the_candidate_and_no_more_once_nobody_is() {
    let edge = at_a_quarter(&Odds::default());
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    edge.ask(&format!("set server shop/new0 addr 127.0.0.1 port {}", mute.local_addr().unwrap().port()));
    let mut open = Vec::new();
    until("a request is open with the candidate", || {
        let mut stream = TcpStream::connect(("127.0.0.1", edge.port)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\nHost: shop\r\n\r\n").unwrap();
        open.push(stream);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let stat = edge.ask("show stat -1 4 -1");
        let row = stat.lines().find(|line| line.contains(",new0,")).unwrap_or_default().to_owned();
        row.split(',').nth(4).is_some_and(|open| open != "0")
    });
    edge.rig.turn("user2", "halt", FIRST);
    edge.rig.apply().exits(0).says("no-data").says("still open with it");
    edge.rig.observed(0);
    drop((open, mute));
    until("nobody is", || edge.rig.apply().exits(0).out.contains("holding\n"));
}

#[test]
fn where_nobody_could_read_that_a_server_starts_slowly_the_candidate_waits_until_it_has_all_of_its_weight() {
    let odds = Odds { stable: "slowstart 4s", config: ", config: [nothing.cfg]", ..Odds::default() };
    let mut edge = Edge::odd("roundrobin", 1, &odds);
    edge.rig.start(FIRST);
    until("the stable server has all of its weight", || {
        edge.rig.apply();
        edge.weights() == [19, 1]
    });
    let old = edge.stable.remove(0);
    let port = old.port;
    drop(old);
    until("haproxy notices", || edge.is_down("old0"));
    edge.stable.push(Backend::at(port, "v1"));
    until("haproxy notices", || !edge.is_down("old0"));
    edge.rig.apply();
    let counts = count(edge.port, 60);
    assert!(counts.get("v2").copied().unwrap_or(0) <= 6, "{counts:?}");
    assert_eq!(edge.weights()[1], 0);
}

#[test]
fn a_candidate_that_the_file_disables_is_enabled_at_the_first_shift_and_is_seen_to_serve_what_it_serves() {
    let edge = Edge::odd("roundrobin", 1, &Odds { candidate: "cookie b disabled", ..COOKIES });
    edge.rig.start(FIRST);
    edge.rig.apply();
    until("it is up", || !edge.is_down("new0"));
    edge.rig.apply().exits(0);
    edge.rig.observed(500);
    is_percent(&count(edge.port, 100), "v2", 5.0);
    let people = people(&edge);
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(on_the_candidate(&edge, &people), 0);
    // Somebody enables it: its weight is zero, and people are back. That the file disables it does not hide them.
    edge.ask("set server shop/new0 state ready");
    until("it is up", || !edge.is_down("new0"));
    assert_eq!(on_the_candidate(&edge, &people), 12);
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(on_the_candidate(&edge, &people), 0);
    assert!(edge.rig.events().contains(&"DRIFTED".to_owned()));
}

#[test]
fn a_halt_needs_no_more_than_the_candidates_servers_and_nothing_goes_forward_with_a_stranger() {
    let edge = at_a_quarter(&Odds::default());
    let stranger = Backend::new("v1");
    edge.ask(&format!("add server shop/more0 127.0.0.1:{}", stranger.port));
    edge.ask("enable server shop/more0");
    assert_eq!(edge.row("more0")[7], "1");
    edge.rig.promote(FIRST);
    edge.rig.apply();
    assert_eq!(edge.weights()[..2], [3, 1]);
    edge.rig.turn("cp18", "halt", FIRST);
    edge.rig.apply();
    assert_eq!(edge.weights()[1], 0);
    assert_eq!(count(edge.port, 60).get("v2"), None);
    edge.rig.observed(0);
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    let message = edge.rig.record()["checks"]["configuration"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has a server more0 that was not there"), "{message}");
}

#[test]
fn a_server_that_was_replaced_for_good_during_a_lease_does_not_make_the_rollback_fail() {
    let mut edge = at_a_quarter(&Odds::default());
    edge.rewrite(|text| text.replace("server old0", "server blue7"));
    let config = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    fs::write(edge.rig.path("applier.yaml"), config.replace("[old0]", "[blue7]")).unwrap();
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    let message = edge.rig.record()["checks"]["configuration"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has no server old0 any more") && message.contains("server blue7"), "{message}");
    // What matters is compared all the same.
    edge.ask("set weight shop/new0 1");
    edge.rig.turn("user1", "rollback", FIRST);
    assert_eq!(count(edge.port, 20).keys().count(), 2);
}

#[test]
fn roles_that_can_neither_be_read_nor_written_keep_no_weight_where_it_is() {
    let edge = at_a_quarter(&Odds::default());
    let roles = edge.rig.kept().join("targets/checkout-prod.json");
    fs::remove_file(&roles).unwrap();
    fs::create_dir_all(roles.join("in the way")).unwrap();
    edge.rig.turn("cp18", "halt", FIRST);
    edge.rig.apply();
    assert_eq!(edge.weights()[1], 0);
    assert_eq!(count(edge.port, 40).get("v2"), None);
}

#[test]
fn what_a_restart_would_make_of_the_weights_is_told_and_refuses_the_next_lease_while_it_stands() {
    let mut edge = at_a_quarter(&Odds::default());
    let restarts = "restart of HAProxy would give 100 % to old0";
    let doctor = |edge: &Edge| {
        edge.rig.world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
        edge.rig.world.two_key(&["doctor"])
    };
    doctor(&edge).never_says("restart of HAProxy");
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.turn("cp14", "complete", FIRST);
    edge.rig.apply().exits(0).says(restarts).says("server new0 … weight 1; server old0 … weight 0");
    doctor(&edge).exits(1).says(restarts).says("haproxy.cfg, and reload");
    edge.rig.start(NEXT);
    let check = || edge.rig.world.two_key(&["check", "--config", "../applier.yaml"]);
    check().exits(1).says("drift").says(restarts);
    edge.rig.apply().exits(0).says("drift").says(restarts);
    assert_eq!(edge.weights(), [0, 1]);
    is_percent(&count(edge.port, 40), "v2", 100.0);
    edge.swap_in_file();
    edge.rig.apply().exits(0).never_says("restart of HAProxy");
    edge.rig.observed(500);
    doctor(&edge).never_says("restart of HAProxy");
}

#[test]
fn a_file_with_the_servers_state_carries_the_weights_over_a_restart() {
    let odds = Odds {
        global: "  server-state-file HERE/server-state\n",
        lines: "  load-server-state-from-file global\n",
        config: ", server-state: server-state",
        ..Odds::default()
    };
    let mut edge = at_a_quarter(&odds);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.turn("cp14", "complete", FIRST);
    edge.rig.apply().exits(0).never_says("restart of HAProxy");
    edge.restart();
    assert_eq!(edge.weights(), [0, 1]);
    is_percent(&count(edge.port, 40), "v2", 100.0);
    edge.rig.start(NEXT);
    edge.rig.apply().exits(0);
    edge.rig.observed(500);
    // Where it cannot be written a rollback succeeds, and what a restart would bring is told.
    fs::remove_file(edge.rig.path("server-state")).unwrap();
    fs::create_dir_all(edge.rig.path("server-state/in the way")).unwrap();
    edge.rig.turn("user2", "rollback", NEXT);
    edge.rig.apply().exits(0).says("verified").says("restart of HAProxy");
    // A file that HAProxy does not load would be written for nobody.
    let unloaded = Odds { lines: "", ..odds };
    let edge = Edge::odd("roundrobin", 1, &unloaded);
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0).says("malformed").says("does not load");
    assert_eq!(edge.weights(), [1, 0]);
}

#[test]
fn a_connection_that_stays_open_with_the_candidate_is_broken_off_by_a_rollback() {
    let edge = at_a_quarter(&Odds::default());
    // A candidate that takes requests and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || mute.incoming().take(40).collect::<Vec<_>>().len());
    edge.ask(&format!("set server shop/new0 addr 127.0.0.1 port {port}"));
    let mut open = Vec::new();
    until("a request is open with the candidate", || {
        let mut stream = TcpStream::connect(("127.0.0.1", edge.port)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\nHost: shop\r\n\r\n").unwrap();
        open.push(stream);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let stat = edge.ask("show stat -1 4 -1");
        let row = stat.lines().find(|line| line.contains(",new0,")).unwrap_or_default().to_owned();
        row.split(',').nth(4).is_some_and(|open| open != "0")
    });
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    for mut stream in open {
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
    }
    assert_eq!(count(edge.port, 20).get("v2"), None);
    drop(edge);
    while !thread.is_finished() {
        let _ = TcpStream::connect(("127.0.0.1", port));
    }
    thread.join().unwrap();
}

#[test]
fn a_haproxy_that_is_stopped_and_whose_backlog_is_full_holds_no_tick_up_for_ever() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.turn("cp18", "halt", FIRST);
    let signal = |name: &str| {
        let id = edge.daemon.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    };
    signal("STOP");
    let stat = format!("/proc/{}/stat", edge.daemon.0.id());
    until("haproxy is stopped", || fs::read_to_string(&stat).unwrap().rsplit(')').next().unwrap().starts_with(" T"));
    let address = SocketAddrUnix::new(edge.rig.path("haproxy.sock")).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
        match connect(&socket, &address) {
            Ok(()) => waiting.push(socket),
            Err(error) => break assert_eq!(error, Errno::AGAIN),
        }
    }
    assert!(!waiting.is_empty());
    edge.rig.apply().exits(5).says("stop-failed").says("it takes no connections");
    drop(waiting);
    signal("CONT");
    edge.rig.apply().exits(0);
    assert_eq!(edge.weights(), [1, 0]);
}

#[test]
fn a_gate_asks_by_pool_and_by_what_the_lease_says() {
    let gates = "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    candidate: {bad: 'bad {{candidate-pool}} {{label.team}}', \
                 total: 'total {{candidate-pool}} {{artifact.checkout}}'}\n    baseline: {version: stable}\n    \
                 compare: {test: e-value, alpha: 0.05}\n    settle: 0s\n    interval: 1s\n    min: {total: 100, slots: 1}\n";
    for bad in [150, 0] {
        let edge = Edge::odd("roundrobin", 1, &Odds { gates, ..Odds::default() });
        let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
        fs::write(edge.rig.path("applier.yaml"), text + "metrics: {file: {path: metrics.json}}\n").unwrap();
        fs::write(edge.rig.path("metrics.json"), "").unwrap();
        edge.rig.start_with(FIRST, |text| text + "labels: {team: shop}\n");
        edge.rig.apply().exits(0);
        assert_eq!(edge.weights(), [19, 1]);
        let artifact = format!("sha256:{}", "11".repeat(32));
        let mut metrics = fs::OpenOptions::new().append(true).open(edge.rig.path("metrics.json")).unwrap();
        // One slot alone fails nothing, so measurements go on.
        let mut measure = || {
            let now = jiff::Timestamp::now();
            for (name, value) in [
                ("bad new0 shop".to_owned(), bad),
                (format!("total new0 {artifact}"), 300),
                ("bad old0 shop".to_owned(), 1),
                (format!("total old0 {artifact}"), 5_000),
            ] {
                writeln!(metrics, "{{\"at\": \"{now}\", \"name\": \"{name}\", \"value\": {value}}}").unwrap();
            }
        };
        let wanted = if bad > 0 { "GATE_FAILED" } else { "GATE_PASSED" };
        until(wanted, || {
            measure();
            edge.rig.apply();
            edge.rig.events().contains(&wanted.to_owned())
        });
        assert_eq!(edge.rig.record()["pools"], serde_json::json!({"candidate": "new0", "stable": "old0"}));
    }
}
