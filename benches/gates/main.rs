//! What gates see and what they take for harm that is none, simulated tier by tier through the product's own code, beside the
//! ways of before. Fixed seeds: the same tables everywhere. `benches/simulate-gates` starts it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_macros,
    clippy::many_single_char_names,
    clippy::print_stdout,
    reason = "a simulation"
)]

mod before;
mod random;
mod tier;
mod traffic;
mod whole;

use std::fmt::Write as _;

use git_two_key::gate::{ThresholdState, Verdict};

use crate::{
    before::Before,
    random::Random,
    tier::{Tier, terms},
    traffic::{Errors, Traffic, USUAL},
};

/// The slots of a bake.
const SLOTS: u32 = 14;

const COMPARES: &str = "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    \
    candidate: {bad: 'bad {{candidate}}', total: 'total {{candidate}}'}\n    min: {total: 300, slots: 3}\n    \
    compare: {test: e-value, max-ratio: 1.5}\n";

const SAMPLE: &str = "gates:\n  latency:\n    source: file\n    kind: sample\n    candidate: {value: 'value {{candidate}}'}\n    \
    min: {n: 50, slots: 1}\n    compare: {test: mann-whitney, min-a12: 0.6}\n";

fn main() {
    let runs = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(2000);
    // Enough to see what is far from its bound.
    let few = runs / 5;
    println!(
        "Each figure is of {runs} tiers, of limits and in the tables after them of {few}, and of {} where tiers are long.",
        few / 4
    );
    println!(
        "Where nothing else is said: the first of three tiers, 14 slots of a minute, 5 % of 6,000 requests a minute, 0.5 % errors,"
    );
    println!("`false-alarms: 0.01`, `max-ratio: 1.5`, `min: {{total: 300}}`.\n");
    alike(runs);
    harmed(runs);
    tolerated(runs);
    limits(few);
    whole::limits(few);
    burns(few);
    whole::burns(few);
    samples(few);
    whole::hosts(few);
    whole::recorded(few);
    whole::leases(few);
}

/// A number of tiers, in percent.
fn percent(count: u32, of: u32) -> String {
    format!("{:.1} %", 100.0 * f64::from(count) / f64::from(of.max(1)))
}

/// The share of tiers that fail, in percent, now and before, and the median slot.
struct Failed {
    now: Vec<u32>,
    before: Vec<u32>,
    runs: u32,
}

impl Failed {
    fn words(&self, slots: &[u32]) -> String {
        let percent = 100.0 * slots.len() as f64 / f64::from(self.runs);
        let mut sorted = slots.to_vec();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).filter(|_| percent > 50.0).map(|slot| format!(" (slot {slot})"));
        format!("{percent:.1} %{}", median.unwrap_or_default())
    }

    fn row(&self) -> String {
        format!("{} | {}", self.words(&self.before), self.words(&self.now))
    }
}

fn compared(traffic: Traffic, runs: u32) -> Failed {
    let terms = terms(COMPARES);
    let mut random = Random(7);
    let mut failed = Failed { now: Vec::new(), before: Vec::new(), runs };
    for _ in 0..runs {
        let minutes = traffic.minutes(&mut random, SLOTS);
        let mut before = Before::new(1.0 / 300.0, 1.5);
        let mut tier = Tier::new(&terms, SLOTS);
        let mut sums = [0.0; 4];
        let (mut now_at, mut before_at) = (None, None);
        for (slot, minute) in (1..).zip(minutes) {
            sums.iter_mut().zip(minute).for_each(|(sum, count)| *sum += count);
            let queries = ["bad v2", "total v2", "bad v1", "total v1"];
            queries.iter().zip(sums).for_each(|(query, sum)| tier.told.number(query, sum));
            if now_at.is_none() && tier.look().verdict == Verdict::Fail {
                now_at = Some(slot);
            }
            if before_at.is_none() && before.shows_harm(sums) {
                before_at = Some(slot);
            }
            if now_at.is_some() && before_at.is_some() {
                break;
            }
        }
        failed.now.extend(now_at);
        failed.before.extend(before_at);
    }
    failed
}

fn alike(runs: u32) {
    println!("| both versions alike: false alarms | before | now |\n|---|---|---|");
    let usual = |errors| Traffic { errors, ..USUAL };
    for (name, traffic) in [
        ("independent errors", USUAL),
        ("… 20 requests a minute in all, 5 % errors", Traffic { ours: 1.0, theirs: 19.0, rate: 0.05, ..USUAL }),
        ("… 600 requests a minute", Traffic { ours: 30.0, theirs: 570.0, ..USUAL }),
        ("… 60,000 requests a minute", Traffic { ours: 3000.0, theirs: 57_000.0, ..USUAL }),
        ("… 25 % of 6,000, 20 % errors", Traffic { ours: 1500.0, theirs: 4500.0, rate: 0.2, ..USUAL }),
        ("a failing user is 3 failed requests", usual(Errors::Retried(3.0))),
        ("… 5 failed requests", usual(Errors::Retried(5.0))),
        ("… 3 on average, geometric", usual(Errors::RetriedOnAverage(3.0))),
        ("… 5 on average", usual(Errors::RetriedOnAverage(5.0))),
        ("… 10 on average", usual(Errors::RetriedOnAverage(10.0))),
        ("the rate of each varies by minute, coefficient of variation 0.5", usual(Errors::Uneven(0.5))),
        ("… 1", usual(Errors::Uneven(1.0))),
        ("… 2", usual(Errors::Uneven(2.0))),
        ("… 2, of both versions together", usual(Errors::Shared(2.0))),
        (
            "25 % of 600 requests a minute, 5 failed requests a user on average",
            Traffic { ours: 150.0, theirs: 450.0, ..usual(Errors::RetriedOnAverage(5.0)) },
        ),
        (
            "… of 6,000, coefficient of variation 1 by minute",
            Traffic { ours: 1500.0, theirs: 4500.0, ..usual(Errors::Uneven(1.0)) },
        ),
        ("5 % of 60,000, the same", Traffic { ours: 3000.0, theirs: 57_000.0, ..usual(Errors::Uneven(1.0)) }),
        ("log rate autoregressive, 0.9, deviation 0.5", usual(Errors::Drifting)),
        ("0.05 % errors, and one bad minute of the candidate", Traffic { rate: 0.0005, ..usual(Errors::BadMinute) }),
        ("0.5 % errors, the same", usual(Errors::BadMinute)),
    ] {
        println!("| {name} | {} |", compared(traffic, runs).row());
    }
    println!();
}

fn harmed(runs: u32) {
    println!("| harm that is seen in a tier (median slot) | before | now |\n|---|---|---|");
    let times = |times| Traffic { times, ..USUAL };
    for (name, traffic) in [
        ("1.5 times the errors, at 5 %", times(1.5)),
        ("2 times", times(2.0)),
        ("3 times", times(3.0)),
        ("5 times", times(5.0)),
        ("10 times", times(10.0)),
        ("2 times, at 25 %", Traffic { ours: 1500.0, theirs: 4500.0, ..times(2.0) }),
        ("3 times, 600 requests a minute, at 5 %", Traffic { ours: 30.0, theirs: 570.0, ..times(3.0) }),
        ("5 times, the same", Traffic { ours: 30.0, theirs: 570.0, ..times(5.0) }),
        ("10 times, the same", Traffic { ours: 30.0, theirs: 570.0, ..times(10.0) }),
        ("2 times, 3 failed requests a user", Traffic { errors: Errors::Retried(3.0), ..times(2.0) }),
        ("3 times, the same", Traffic { errors: Errors::Retried(3.0), ..times(3.0) }),
        ("10 times, the same", Traffic { errors: Errors::Retried(3.0), ..times(10.0) }),
        ("3 times, coefficient of variation 1 by minute", Traffic { errors: Errors::Uneven(1.0), ..times(3.0) }),
        ("10 times, the same", Traffic { errors: Errors::Uneven(1.0), ..times(10.0) }),
        ("3 times, of both versions together", Traffic { errors: Errors::Shared(1.0), ..times(3.0) }),
        ("5 times, the same", Traffic { errors: Errors::Shared(1.0), ..times(5.0) }),
    ] {
        println!("| {name} | {} |", compared(traffic, runs).row());
    }
    println!();
}

fn tolerated(runs: u32) {
    println!("| FAIL at `max-ratio: 1.5` of a true ratio of | 1.3 | 1.4 | 1.5 |\n|---|---|---|---|");
    for (name, traffic) in [
        ("6,000 a minute at 5 %", USUAL),
        ("6,000 a minute at 25 %", Traffic { ours: 1500.0, theirs: 4500.0, ..USUAL }),
        ("60,000 a minute at 5 %", Traffic { ours: 3000.0, theirs: 57_000.0, ..USUAL }),
    ] {
        let of = |times| {
            let failed = compared(Traffic { times, ..traffic }, runs);
            failed.words(&failed.now)
        };
        println!("| {name} | {} | {} | {} |", of(1.3), of(1.4), of(1.5));
    }
    println!();
}

/// In how many tiers of so many slots something fails or halts, with so many requests a minute of which a share is bad.
fn held(sections: &str, requests: f64, rate: f64, slots: u32, runs: u32) -> String {
    let terms = terms(sections);
    let mut random = Random(11);
    let mut stopped = 0;
    for _ in 0..runs {
        let mut tier = Tier::new(&terms, slots);
        let mut sums = [0.0; 2];
        for _ in 0..slots {
            let total = random.poisson(requests);
            sums = [sums[0] + random.poisson(requests * rate).min(total), sums[1] + total];
            tier.told.number("bad", sums[0]);
            tier.told.number("total", sums[1]);
            let judged = tier.look();
            if judged.verdict == Verdict::Fail || judged.threshold == ThresholdState::Halt {
                stopped += 1;
                break;
            }
        }
    }
    format!("{:.1} %", 100.0 * f64::from(stopped) / f64::from(runs))
}

fn limits(runs: u32) {
    let gate = |limit: &str| {
        format!(
            "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    candidate: {{bad: bad, total: total}}\n    \
             min: {{total: 300, slots: 3}}\n    absolute: {limit}\n"
        )
    };
    for (name, point, test, rates) in [
        (
            "`halt: '> 2'`, by a true rate of",
            gate("{max: 0.9}") + "thresholds: {error-rate: {halt: '> 2', rule: point}}\n",
            gate("{max: 0.9}") + "thresholds: {error-rate: {halt: '> 2'}}\n",
            [0.01, 0.015, 0.02, 0.04, 0.08],
        ),
        (
            "`absolute: {max: 0.05}`, by a true rate of",
            gate("{max: 0.05, rule: point}"),
            gate("{max: 0.05}"),
            [0.02, 0.04, 0.05, 0.1, 0.2],
        ),
    ] {
        let mut table = format!("| tiers stopped: {name} |");
        for rate in rates {
            let _ = write!(table, " {} % |", rate * 100.0);
        }
        table.push_str("\n|---|---|---|---|---|---|\n");
        for (requests, slots) in [(30.0, 14), (300.0, 14), (300.0, 60)] {
            for (rule, sections) in [("point", &point), ("test", &test)] {
                let runs = if slots > 14 { runs / 4 } else { runs };
                let cells: Vec<_> = rates.iter().map(|rate| held(sections, requests, *rate, slots, runs)).collect();
                let _ = writeln!(table, "| {requests} a minute, {slots} slots, {rule} | {} |", cells.join(" | "));
            }
        }
        println!("{table}");
    }
}

fn burns(runs: u32) {
    let gate = "gates:\n  slo:\n    source: file\n    kind: burn-rate\n    objective: 99.9\n    \
        candidate: {bad: bad, total: total}\n    min: {total: 300, slots: 3}\n";
    println!(
        "| `burn-rate`, 99.9 %, usual windows: tiers stopped | burn 1 | burn 2 | burn 5 | 5 % errors | 20 % errors |"
    );
    println!("|---|---|---|---|---|---|");
    let rates = [0.001, 0.002, 0.005, 0.05, 0.2];
    for requests in [30.0, 300.0, 3000.0] {
        let before = rates.map(|rate| before::burns(requests, rate, SLOTS, runs));
        println!("| {requests} a minute, before | {} |", before.join(" | "));
        let now = rates.map(|rate| burned(gate, requests, rate, runs));
        println!("| {requests} a minute, now | {} |", now.join(" | "));
    }
    println!();
}

/// The same as [`held`] with windows that slide.
fn burned(sections: &str, requests: f64, rate: f64, runs: u32) -> String {
    let sections = sections.replace("bad: bad, total: total", "bad: 'bad {{window}}', total: 'total {{window}}'");
    let terms = terms(&sections);
    let mut random = Random(11);
    let mut stopped = 0;
    for _ in 0..runs {
        let mut tier = Tier::new(&terms, SLOTS);
        let mut minutes: Vec<[f64; 2]> = Vec::new();
        for _ in 0..SLOTS {
            let total = random.poisson(requests);
            minutes.push([random.poisson(requests * rate).min(total), total]);
            for length in 1..=minutes.len() {
                let window = &minutes[minutes.len() - length..];
                let sum = |index: usize| window.iter().map(|minute| minute[index]).sum();
                tier.told.number(&format!("bad {}s", length * 60), sum(0));
                tier.told.number(&format!("total {}s", length * 60), sum(1));
            }
            if tier.look().verdict == Verdict::Fail {
                stopped += 1;
                break;
            }
        }
    }
    format!("{:.1} %", 100.0 * f64::from(stopped) / f64::from(runs))
}

/// So many observations, each of which resembles the one before by a correlation.
fn series(random: &mut Random, count: usize, correlation: f64, shift: f64) -> Vec<f64> {
    let mut value = random.normal();
    (0..count)
        .map(|_| {
            value = correlation * value + (1.0 - correlation * correlation).sqrt() * random.normal();
            value + shift
        })
        .collect()
}

fn samples(runs: u32) {
    let terms = terms(SAMPLE);
    println!("| `sample`, 60 observations a side: tiers that fail | before | now |\n|---|---|---|");
    for (name, correlation, shift) in [
        ("alike, correlation 0 with the one before", 0.0, 0.0),
        ("… 0.3", 0.3, 0.0),
        ("… 0.5", 0.5, 0.0),
        ("… 0.7", 0.7, 0.0),
        ("… 0.9", 0.9, 0.0),
        ("shifted by 0.8 deviations, correlation 0", 0.0, 0.8),
        ("by 1.5, 0.5", 0.5, 1.5),
        ("by 2, 0.7", 0.7, 2.0),
        ("by 3, 0.9", 0.9, 3.0),
    ] {
        let mut random = Random(13);
        let mut failed = [0, 0];
        for _ in 0..runs {
            let ours = series(&mut random, 60, correlation, shift);
            let theirs = series(&mut random, 60, correlation, 0.0);
            failed[0] += u32::from(before::ranks(&ours, &theirs, 1.0 / 300.0));
            let mut tier = Tier::new(&terms, 1);
            tier.told.observations("value v2", ours);
            tier.told.observations("value v1", theirs);
            tier.look();
            failed[1] += u32::from(tier.look().verdict == Verdict::Fail);
        }
        let [before, now] = failed.map(|count| 100.0 * f64::from(count) / f64::from(runs));
        println!("| {name} | {before:.1} % | {now:.1} % |");
    }
    println!();
}
