//! What a policy says of single targets, carried out by the real program through a real driver: hours, last days of keys, limits.
//! The server here has no hook, so that whatever is signed reaches the applier, which judges for itself.

use std::{fs, path::PathBuf};

use git_two_key::model::Digest;
use serde_json::Value;

use crate::{
    drivers::{
        exec::program,
        rig::{FIRST, NEXT, Rig},
    },
    kit::{Ran, web::until},
};

const TARGET: &str = "checkout-prod: {driver: file, applier: edge1}";
const USER1: &str = "user1: {role: human,";

/// An applier with the program of the templates for two targets.
struct Edge {
    rig: Rig,
    program: PathBuf,
}

impl Edge {
    /// Under the usual policy with some texts of it replaced.
    fn under(changes: &[(&str, &str)]) -> Self {
        let edit = |(text, (from, to)): (String, &(&str, &str))| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        };
        let rig = Rig::under(|policy| {
            let policy = changes.iter().fold(policy, |text, change| edit((text, change)));
            policy.replace("driver: file", "driver: exec")
        });
        let program = program(rig.world.path(), "driver", "");
        let edge = Self { rig, program };
        let place =
            |target| format!("{{exec: {{program: {}, args: [{}]}}}}", edge.program.display(), edge.state(target));
        edge.rig.configure(&format!("{}\n  shop-prod: {}", place("checkout-prod"), place("shop-prod")));
        edge
    }

    fn state(&self, target: &str) -> String {
        self.rig.path(target).display().to_string()
    }

    /// What the program was told last; nothing where it was told nothing.
    fn weight(&self, target: &str) -> Option<u64> {
        let state: Value = serde_json::from_slice(&fs::read(self.state(target)).ok()?).unwrap();
        state["weight_bp"].as_u64()
    }

    fn start(&self, lease: &str, edit: impl Fn(String) -> String) {
        let scope = format!("scope: {{commands: [{}], env: [LC_ALL]}}\n", self.program.display());
        self.rig.start_with(lease, |text| edit(text + &scope));
    }

    /// One tick; it says this, and the target is left at some weight.
    fn held(&self, why: &str, weight: Option<u64>) -> Ran {
        let ran = self.rig.apply().says(why);
        assert_eq!(self.weight("checkout-prod"), weight);
        ran
    }

    /// One tick that leaves the target at some weight, which its record has.
    fn moved(&self, weight: u64) {
        self.rig.apply().exits(0);
        assert_eq!(self.weight("checkout-prod"), Some(weight));
        self.rig.observed(u32::try_from(weight).unwrap());
    }

    /// The policy's next version, by both keys.
    fn enacts(&self, version: u32, from: &str, to: &str) {
        let world = &self.rig.world;
        let now = fs::read_to_string(world.repo().join(".two-key/policy.yaml")).unwrap();
        let (head, rest) = now.split_once("branch:").unwrap();
        let (fixed, _) = head.split_once("version:").unwrap();
        assert!(rest.contains(from), "{rest}");
        let digest = Digest::of(now.as_bytes());
        let next = format!("{fixed}version: {version}\nprevious: {digest}\nbranch:{}", rest.replace(from, to));
        world.commit_file(".two-key/policy.yaml", &next, "The next policy");
        for name in ["user2", "cp14"] {
            let message = world.two_key(&["statement", "--message", "--principal", name, "policy"]).exits(0).out;
            world.carry(name, &message);
        }
        self.rig.push();
    }
}

const ALWAYS: &str = "mon-sun";

/// A target that is moved on some days only.
fn on(days: &str) -> String {
    format!(
        "checkout-prod: {{driver: exec, applier: edge1, windows: [{{days: {days}, from: \"00:00\", until: \"24:00\", zone: UTC}}]}}"
    )
}

/// A day three days from now, whatever the hour: no midnight comes between; and the moment at which it begins.
fn later() -> (&'static str, String) {
    let day = jiff::Timestamp::now().as_second() / 86_400 + 3;
    let name = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"][usize::try_from(day % 7).unwrap()];
    (name, jiff::Timestamp::from_second(day * 86_400).unwrap().to_string())
}

#[test]
fn outside_its_windows_a_target_goes_nowhere_but_down_and_that_at_once() {
    let (day, opens) = later();
    let (closed, open) = (on(day), on(ALWAYS));
    let edge = Edge::under(&[(TARGET, &closed)]);
    let shut = format!(
        "outside-window: target checkout-prod is moved forward {day} 00:00 to 24:00 (UTC) only; it opens at {opens}"
    );
    edge.start(FIRST, |text| text);
    edge.held(&shut, None);
    edge.enacts(2, &closed, &open);
    edge.moved(500);
    edge.rig.promote(FIRST);
    edge.enacts(3, &open, &closed);
    edge.held(&shut, Some(500));
    let record = edge.rig.record();
    assert!(record["message"].as_str().is_some_and(|message| message.contains("it opens at")), "{record:#}");
    // Held it stays at what was applied, whoever moves it.
    fs::write(edge.state("checkout-prod"), "{\"weight_bp\":5000,\"version\":null}").unwrap();
    edge.held("", Some(500));
    edge.enacts(4, &closed, &open);
    edge.moved(2_500);
    edge.enacts(5, &open, &closed);
    edge.rig.turn("user2", "pause", FIRST);
    edge.moved(2_500);
    for name in ["user2", "cp14"] {
        edge.rig.turn(name, "resume", FIRST);
    }
    edge.rig.turn("user1", "halt", FIRST);
    edge.moved(0);
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(edge.weight("checkout-prod"), Some(0));
}

#[test]
fn an_exception_is_moved_outside_the_windows_by_one_more_human() {
    let closed = on(later().0);
    let edge = Edge::under(&[(TARGET, &closed)]);
    edge.start(FIRST, |text| text + "exception: true\n");
    // It has not started: cp14 alone does not suffice.
    edge.rig.apply().exits(0);
    assert_eq!(edge.weight("checkout-prod"), None);
    for name in ["user1", "user2"] {
        edge.rig.turn(name, "start", FIRST);
    }
    edge.moved(500);
}

#[test]
fn a_key_past_its_last_day_moves_nothing_forward_and_stops_at_once() {
    let until = |day: &str| format!("user1: {{role: human, until: {day},");
    for (day, counts) in [("2025-12-31", false), ("2999-12-31", true)] {
        let edge = Edge::under(&[(USER1, &until(day))]);
        edge.start(FIRST, |text| text);
        // The start is cp14's.
        edge.moved(500);
        edge.rig.promote(FIRST);
        if counts {
            edge.moved(2_500);
        } else {
            edge.held("key-expired: the last day of user1's key was 2025-12-31", Some(500));
            edge.held("key-expired", Some(500));
        }
        edge.rig.turn("user1", "halt", FIRST);
        edge.moved(0);
        edge.rig.turn("user1", "rollback", FIRST);
        edge.rig.apply().exits(0).says("verified");
    }
    // The day may be put off by keys that count.
    let edge = Edge::under(&[(USER1, &until("2025-12-31"))]);
    edge.start(FIRST, |text| text);
    edge.rig.promote(FIRST);
    edge.held("key-expired", None);
    edge.enacts(2, &until("2025-12-31"), &until("2999-12-31"));
    edge.moved(500);
    edge.moved(2_500);
}

#[test]
fn what_was_applied_before_a_keys_last_day_stays() {
    let edge = Edge::under(&[]);
    edge.start(FIRST, |text| text);
    edge.rig.promote(FIRST);
    edge.moved(500);
    edge.moved(2_500);
    edge.enacts(2, USER1, "user1: {role: human, until: 2025-12-31,");
    edge.moved(2_500);
    for name in ["user2", "cp14"] {
        edge.rig.turn(name, "promote", FIRST);
    }
    edge.moved(10_000);
}

const LIMIT: &str = "thresholds: {latency: {halt: \"> 2\"}}";

/// Both targets' first leases, started.
fn two(edge: &Edge) {
    edge.start(FIRST, |text| text);
    edge.start(NEXT, |text| text.replace("target: checkout-prod", "target: shop-prod"));
}

#[test]
fn a_limit_that_one_target_cannot_measure_holds_that_one_and_no_other() {
    let own = format!(
        "checkout-prod: {{driver: file, applier: edge1, {LIMIT}}}\n  shop-prod: {{driver: file, applier: edge1}}"
    );
    let edge = Edge::under(&[(TARGET, &own)]);
    two(&edge);
    edge.held("no-data: ", None);
    assert_eq!(edge.weight("shop-prod"), Some(500));
    for name in ["user1", "cp14"] {
        edge.rig.turn(name, "promote", NEXT);
    }
    edge.held("no-data: ", None);
    assert_eq!(edge.weight("shop-prod"), Some(2_500));
    // The policy's own limits are for targets that measure them.
    let all = format!("{TARGET}\n  shop-prod: {{driver: file, applier: edge1}}\n{LIMIT}");
    let edge = Edge::under(&[(TARGET, &all)]);
    two(&edge);
    edge.moved(500);
    assert_eq!(edge.weight("shop-prod"), Some(500));
}

#[test]
fn a_limit_of_one_target_halts_that_one_and_no_other() {
    let gate = "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    \
                candidate: {bad: 'bad', total: 'total'}\n    settle: 0s\n    interval: 1s\n    \
                min: {total: 100, slots: 1}\n    absolute: {max: 0.95}\n    inconclusive-deadline: 30m\n";
    let places = "driver: file, applier: edge1, gates: [error-rate]";
    // More than half fail on both; only one of the targets has the limit, and not always.
    for limited in [true, false] {
        let own = if limited { ", thresholds: {error-rate: {halt: \"> 2\"}}" } else { "" };
        let targets = format!("checkout-prod: {{{places}{own}}}\n  shop-prod: {{{places}}}\n{gate}");
        let edge = Edge::under(&[(TARGET, &targets)]);
        let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
        fs::write(edge.rig.path("applier.yaml"), text + "metrics: {file: {path: metrics.json}}\n").unwrap();
        let (mut lines, now) = (String::new(), jiff::Timestamp::now());
        for second in -5..120 {
            for (name, value) in [("bad", 240), ("total", 400)] {
                let at = (now + jiff::SignedDuration::from_secs(second)).to_string();
                lines += &(serde_json::json!({"at": at, "name": name, "value": value}).to_string() + "\n");
            }
        }
        fs::write(edge.rig.path("metrics.json"), lines).unwrap();
        edge.start(FIRST, |text| text.replace("bake: 0s", "bake: 1h"));
        edge.start(NEXT, |text| {
            text.replace("target: checkout-prod", "target: shop-prod").replace("bake: 0s", "bake: 1h")
        });
        edge.moved(500);
        let health = || {
            edge.rig.apply();
            edge.rig.record()["health"].to_string()
        };
        until("it has been measured", || health().contains("PASS"));
        if limited {
            until("it is halted", || edge.rig.apply().code >= 0 && edge.weight("checkout-prod") == Some(0));
        }
        assert_eq!(edge.weight("checkout-prod"), Some(if limited { 0 } else { 500 }));
        assert_eq!(edge.weight("shop-prod"), Some(500));
    }
}
