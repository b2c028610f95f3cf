//! A world with a gated rollout that is rolling, a metrics file, and a configuration.

use std::{fmt::Write as _, fs, path::PathBuf};

use crate::kit::{LEASE, Ran, World, lease};

/// The version that the usual lease rolls out, as queries see it.
pub(crate) const CANDIDATE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
/// The moment from which the tests replay: 2025-10-27T02:20:00Z.
pub(crate) const START: i64 = 1_761_531_600;

/// A count-ratio gate of a source.
pub(crate) fn gate(source: &str) -> String {
    format!(
        "gates:\n  error-rate:\n    source: {source}\n    kind: count-ratio\n    candidate: {{bad: 'errors {{{{candidate}}}}', \
         total: 'requests {{{{candidate}}}}'}}\n    settle: 60s\n    interval: 1m\n    min: {{total: 300, slots: 3}}\n    \
         compare: {{test: e-value, alpha: 0.01, max-ratio: 1.5}}\n    absolute: {{max: 0.05}}\n\
         thresholds:\n  error-rate: {{warn: '> 3', halt: '> 10'}}\n"
    )
}

/// A world whose target has these gates, with the usual lease rolling at its first tier, by its change's own terms.
pub(crate) fn rolling(sections: &str) -> World {
    let world = World::empty();
    let names: Vec<_> = sections
        .split("thresholds:")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.trim().trim_end_matches(':').to_owned())
        .collect();
    let target = format!("applier: edge1, gates: [{}]", names.join(", "));
    world.found(&(world.policy().replace("applier: edge1}", &format!("{target}}}")) + sections));
    world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("user1", "start")] {
        world.turn(name, action, LEASE);
    }
    world
}

/// Writes a configuration; its path.
pub(crate) fn configure(world: &World, metrics: &str) -> PathBuf {
    let path = world.path().join("metrics.yaml");
    fs::write(&path, format!("metrics:\n{metrics}")).unwrap();
    path
}

/// A time so many seconds after the start.
pub(crate) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(START + seconds).unwrap().to_string()
}

/// A metrics file: per minute, so many requests and errors of the candidate and of the stable version.
pub(crate) fn metrics(minutes: &[[u32; 4]]) -> String {
    let mut text = String::new();
    for (minute, [bad2, total2, bad1, total1]) in (0..).zip(minutes) {
        let at = time(60 + minute * 60 + 30);
        let rows = [
            (format!("errors {CANDIDATE}"), bad2),
            (format!("requests {CANDIDATE}"), total2),
            ("errors stable".to_owned(), bad1),
            ("requests stable".to_owned(), total1),
        ];
        for (name, value) in rows {
            let _ = writeln!(text, "{{\"at\": \"{at}\", \"name\": \"{name}\", \"value\": {value}}}");
        }
    }
    text
}

/// Replays the first so many minutes.
pub(crate) fn replay(world: &World, minutes: i64, more: &[&str]) -> Ran {
    let range = format!("{}..{}", time(0), time(minutes * 60));
    let config = world.path().join("metrics.yaml");
    let args = ["gate", LEASE, "--config", config.to_str().unwrap(), "--replay", &range];
    world.two_key(&[&args, more].concat())
}
