//! Verdicts that must be exactly these, each beside a twin that differs in one thing: what is measured stays measured, silence
//! never passes, and what is no number decides nothing.

use std::{fmt::Write as _, fs};

use super::scene::{CANDIDATE, configure, gate, replay, rolling, time};
use crate::kit::{LEASE, World};

/// A sample gate, with what is to be different.
fn sample(minimum: &str, more: &str) -> String {
    format!(
        "gates:\n  latency:\n    source: file\n    kind: sample\n    candidate: {{value: 'latency {{{{candidate}}}}'}}\n    \
         baseline: {{version: stable}}\n    settle: 60s\n    interval: 1m\n    min: {minimum}\n    \
         compare: {{test: mann-whitney, min-a12: 0.6}}\n{more}"
    )
}

/// A world with gates, and a metrics file of these lines: seconds since the tier's start, name, value.
fn world(sections: &str, rows: impl IntoIterator<Item = (f64, String, f64)>) -> World {
    let world = rolling(sections);
    configure(&world, "  file: {path: metrics.jsonl}\n");
    write(&world, rows);
    world
}

fn write(world: &World, rows: impl IntoIterator<Item = (f64, String, f64)>) {
    let mut text = String::new();
    for (seconds, name, value) in rows {
        #[allow(clippy::cast_possible_truncation, reason = "some thousand seconds")]
        let at = jiff::Timestamp::from_millisecond(super::scene::START * 1000 + (seconds * 1000.0) as i64).unwrap();
        let _ = writeln!(text, "{{\"at\": \"{at}\", \"name\": \"{name}\", \"value\": {value}}}");
    }
    fs::write(world.path().join("metrics.jsonl"), text).unwrap();
}

/// Each slot's verdict of a replay, and the judgement at its end.
fn judged(world: &World, minutes: i64) -> (Vec<String>, serde_json::Value) {
    let json = replay(world, minutes, &["--format", "json"]).json();
    let verdicts = json["slots"].as_array().unwrap().iter().map(|slot| slot["verdict"].as_str().unwrap().to_owned());
    (verdicts.collect(), json["judgement"].clone())
}

/// Numbers that do not resemble the ones before them.
fn spread(k: u32) -> f64 {
    1.0 + 0.1 * (f64::from(k) * 0.618_034).fract()
}

#[test]
fn an_absolute_limit_does_not_wait_for_the_baseline() {
    let limited = |value: f64| {
        let rows = (0..300).map(move |k| (61.0 + f64::from(k), format!("latency {CANDIDATE}"), value));
        judged(&world(&sample("{n: 50, slots: 2}", "    absolute: {max: 2}\n"), rows), 4).0
    };
    assert_eq!(limited(30.0), ["FAIL"; 3]);
    assert_eq!(limited(1.0), ["INCONCLUSIVE"; 3], "within its limit, and nothing to compare with");
}

#[test]
fn of_more_observations_than_are_taken_a_sample_is_and_that_is_said() {
    let sections = sample("{n: 50, slots: 2}", "");
    let rows = |slow: f64| {
        let ours = (0..900).map(move |k| (60.5 + f64::from(k), format!("latency {CANDIDATE}"), slow * spread(k)));
        let theirs = (0..22_500).map(|k| (60.0 + f64::from(k + 1) * 0.04, "latency stable".to_owned(), spread(k)));
        ours.chain(theirs)
    };
    let world = world(&sections, rows(1.0));
    let (verdicts, judgement) = judged(&world, 17);
    assert_eq!(verdicts.last().unwrap(), "PASS", "{judgement:#}");
    let report = &judgement["gates"]["latency"];
    assert_eq!(report["baseline"]["summary"]["sampled_of"], 22_500, "{report:#}");
    assert!(report["why"].as_str().unwrap().contains("by a sample of 20000 of 21000"), "{report:#}");
    assert_eq!(report["candidate"]["summary"].get("sampled_of"), None);
    write(&world, rows(1.2));
    assert_eq!(judged(&world, 17).0.last().unwrap(), "FAIL");
}

#[test]
fn a_slot_that_had_too_few_observations_does_not_become_one_without() {
    let rows = (0..12_u32).flat_map(|k| {
        let at = 65.0 + 60.0 * f64::from(k);
        [(at, format!("latency {CANDIDATE}"), spread(k)), (at + 1.0, "latency stable".to_owned(), spread(k + 50))]
    });
    let (verdicts, judgement) = judged(&world(&sample("{n: 4, slots: 2}", "    no-data: fail\n"), rows.clone()), 12);
    assert!(verdicts.iter().all(|verdict| verdict == "PENDING"), "{verdicts:?} {judgement:#}");
    assert_eq!(judgement["gates"]["latency"]["slots"]["without_data"], 0);
    // Where there really is nothing, that is a failure.
    let (verdicts, _) = judged(&world(&sample("{n: 4, slots: 2}", "    no-data: fail\n"), rows.skip(24)), 3);
    assert_eq!(verdicts, ["FAIL"; 2]);
}

#[test]
fn slots_that_were_silent_and_forgotten_do_not_count_as_measured() {
    let sections = gate("file").replace("interval: 1m", "interval: 1s").replace("slots: 3", "slots: 100");
    let names = [format!("errors {CANDIDATE}"), format!("requests {CANDIDATE}")];
    let all = names.into_iter().chain(["errors stable".to_owned(), "requests stable".to_owned()]);
    let rows = all.zip([0.0, 300.0, 0.0, 5700.0]).map(|(name, value)| (60.0 + 1600.5, name, value));
    let world = world(&sections, rows);
    let range = format!("{}..{}", time(0), time(1661));
    let config = world.path().join("metrics.yaml");
    let args = ["gate", LEASE, "--config", config.to_str().unwrap(), "--replay", &range, "--format", "json"];
    let json = world.two_key(&args).exits(3).json();
    let report = &json["judgement"]["gates"]["error-rate"];
    assert_eq!(
        (report["verdict"].as_str(), report["slots"]["measured"].as_u64()),
        (Some("PENDING"), Some(1)),
        "{report:#}"
    );
    assert_eq!(report["slots"]["without_data"], 1600);
}

/// One slot after another with these counts each, of the candidate and of the stable version.
fn counted(slots: &[[f64; 4]]) -> World {
    let rows = (0..).zip(slots).flat_map(|(slot, row): (u32, &[f64; 4])| {
        let names = [format!("errors {CANDIDATE}"), format!("requests {CANDIDATE}")];
        let names = names.into_iter().chain(["errors stable".to_owned(), "requests stable".to_owned()]);
        names.zip(*row).map(move |(name, value)| (90.0 + 60.0 * f64::from(slot), name, value)).collect::<Vec<_>>()
    });
    world(&gate("file"), rows)
}

#[test]
fn evidence_is_a_number_that_people_can_read_or_the_verdict_is_inconclusive() {
    for [bad, total] in [[2e8, 2e10], [1e11, 1e13]] {
        let (verdicts, judgement) = judged(&counted(&[[bad * 0.05, total * 0.05, bad * 0.95, total * 0.95]; 3]), 4);
        let report = &judgement["gates"]["error-rate"];
        let e = report["comparison"]["e_value"].as_f64().unwrap();
        assert!((0.0..1.0).contains(&e), "{report:#}");
        assert!(!verdicts.contains(&"INCONCLUSIVE".to_owned()), "{verdicts:?}");
    }
    // Beyond what the digits of a number tell apart.
    let (verdicts, judgement) = judged(&counted(&[[1e14, 1e16, 19e14, 19e16]; 3]), 4);
    assert_eq!(verdicts, ["INCONCLUSIVE"; 3], "{judgement:#}");
    let disaster = counted(&[[1000.0, 2000.0, 190.0, 38_000.0]; 2]);
    let ran = replay(&disaster, 3, &[]).exits(1).says("FAIL");
    assert!(
        !ran.out.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 24 && digits.len() != 64),
        "{}",
        ran.out
    );
}

#[test]
fn a_failure_shows_the_slot_that_decided() {
    let bad = [40.0, 150.0, 25.0, 2850.0];
    let good = [0.0, 150.0, 25.0, 2850.0];
    let (verdicts, judgement) = judged(&counted(&[bad, bad, bad, good, good]), 6);
    let report = &judgement["gates"]["error-rate"];
    assert_eq!(verdicts[..], ["PENDING", "PENDING", "FAIL", "FAIL", "FAIL"]);
    assert_eq!(
        (report["decided"].as_u64(), report["candidate"]["total"].as_f64()),
        (Some(3), Some(450.0)),
        "{report:#}"
    );
    assert_eq!(report["slots"]["measured"], 5);
    let (verdicts, judgement) = judged(&counted(&[good; 5]), 6);
    assert_eq!((verdicts[4].as_str(), judgement["gates"]["error-rate"].get("decided")), ("PASS", None));
}

#[test]
fn a_source_is_asked_for_a_slot_when_its_lag_is_over() {
    let sections = gate("file").replace("settle: 60s", "settle: 0s");
    let world = rolling(&sections);
    fs::write(world.path().join("metrics.jsonl"), "").unwrap();
    let look = |lag: &str| {
        let config = configure(&world, &format!("  file: {{path: metrics.jsonl{lag}}}\n"));
        let since = (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(150)).to_string();
        let config = config.to_str().unwrap();
        let ran = world.two_key(&["gate", LEASE, "--config", config, "--since", &since, "--format", "json"]);
        let json = ran.exits(3).json();
        json["judgement"]["gates"]["error-rate"]["slots"].clone()
    };
    let slots = |of: &serde_json::Value| (of["without_data"].as_u64().unwrap(), of["missed"].as_u64().unwrap());
    // Two slots are due: the newest was asked for in vain, and at the one before nobody looked.
    assert_eq!(slots(&look("")), (1, 1));
    assert_eq!(slots(&look(", lag: 60s")), (1, 0));
    assert_eq!(slots(&look(", lag: 10m")), (0, 0));
}

#[test]
fn what_both_versions_share_hides_no_harm() {
    let factors = [0.2, 3.0, 0.1, 2.5, 0.3, 1.5, 0.1, 2.0, 0.4, 1.0, 0.2, 2.8, 0.1, 1.2];
    let verdicts = |times: f64| {
        let rows = factors.map(|factor: f64| [(1.5 * times * factor).round(), 300.0, (28.5 * factor).round(), 5700.0]);
        judged(&counted(&rows), 15).0
    };
    assert!(verdicts(5.0).contains(&"FAIL".to_owned()));
    assert_eq!(verdicts(1.0).last().unwrap(), "PASS");
}

#[test]
fn retries_and_bad_minutes_break_no_limit_that_the_rate_keeps() {
    let verdicts = |bad: [f64; 14]| judged(&counted(&bad.map(|bad| [bad, 300.0, 19.0 * bad, 5700.0])), 15).0;
    // 4 % in all, and 5 % is the limit: six users who retry.
    let retried = verdicts([0.0, 38.0, 0.0, 0.0, 27.0, 0.0, 31.0, 0.0, 0.0, 22.0, 0.0, 29.0, 0.0, 21.0]);
    assert!(!retried.contains(&"FAIL".to_owned()), "{retried:?}");
    // 8 % in every minute.
    assert_eq!(verdicts([24.0; 14]).last().unwrap(), "FAIL");
}
