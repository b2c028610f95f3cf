//! Limits, burn rates, samples and whole leases under traffic whose events are not independent.

use git_two_key::gate::{ThresholdState, Verdict, stats::counts};

use crate::{
    before, percent,
    random::Random,
    series,
    tier::{Tier, terms},
    traffic::{Errors, Traffic, USUAL},
};

fn gate(limit: &str) -> String {
    format!(
        "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    candidate: {{bad: bad, total: total}}\n    \
         min: {{total: 300, slots: 3}}\n    absolute: {limit}\n"
    )
}

/// Healthy tiers that limits stop, by how errors come; and harm that begins late.
pub(crate) fn limits(runs: u32) {
    println!(
        "| tiers stopped by a limit, 300 requests a minute: true rate, errors | independent, as before | now |\n|---|---|---|"
    );
    let halt = gate("{max: 0.9}") + "thresholds: {error-rate: {halt: '> 2'}}\n";
    let absolute = gate("{max: 0.05}");
    let on_average = Errors::RetriedOnAverage;
    for (name, sections, limit, rate, errors) in [
        ("`halt: '> 2'`: 1 %, 5 failed requests a user on average", &halt, 0.02, 0.01, on_average(5.0)),
        ("… 1 %, 10", &halt, 0.02, 0.01, on_average(10.0)),
        ("… 1 %, coefficient of variation 1 by minute", &halt, 0.02, 0.01, Errors::Uneven(1.0)),
        ("… 1 %, 2", &halt, 0.02, 0.01, Errors::Uneven(2.0)),
        ("… 0.5 %, 2", &halt, 0.02, 0.005, Errors::Uneven(2.0)),
        ("… 1.6 %, 10 failed requests a user on average", &halt, 0.02, 0.016, on_average(10.0)),
        ("… 4 %, 5 failed requests a user on average", &halt, 0.02, 0.04, on_average(5.0)),
        ("… 8 %, the same", &halt, 0.02, 0.08, on_average(5.0)),
        ("`absolute: {max: 0.05}`: 4 %, 5 failed requests a user on average", &absolute, 0.05, 0.04, on_average(5.0)),
        ("… 4 %, 10", &absolute, 0.05, 0.04, on_average(10.0)),
        ("… 4 %, coefficient of variation 1 by minute", &absolute, 0.05, 0.04, Errors::Uneven(1.0)),
        ("… 2 %, 2", &absolute, 0.05, 0.02, Errors::Uneven(2.0)),
        ("… 10 %, 5 failed requests a user on average", &absolute, 0.05, 0.1, on_average(5.0)),
        ("… 20 %, the same", &absolute, 0.05, 0.2, on_average(5.0)),
    ] {
        let terms = terms(sections);
        // As many limits as the gate has, at three tiers.
        let needed = -(0.01_f64 / if limit < 0.05 { 6.0 } else { 3.0 }).ln();
        let mut random = Random(17);
        let (mut now, mut before) = (0, 0);
        for _ in 0..runs {
            let minutes = Traffic { rate, errors, ..USUAL }.minutes(&mut random, 14);
            let mut tier = Tier::new(&terms, 14);
            let mut slots = Vec::new();
            let (mut stopped, mut stopped_before) = (false, false);
            for [bad, total, ..] in minutes {
                slots.push([bad, total]);
                let sum = |index: usize| slots.iter().map(|slot| slot[index]).sum::<f64>();
                tier.told.number("bad", sum(0));
                tier.told.number("total", sum(1));
                let judged = tier.look();
                stopped |= judged.verdict == Verdict::Fail || judged.threshold == ThresholdState::Halt;
                stopped_before |= if limit < 0.05 {
                    bad > limit * total && before::ln_e_since_any(&slots, limit) >= needed
                } else {
                    sum(0) > limit * sum(1) && counts::ln_e(sum(0), sum(1) - sum(0), limit) >= needed
                };
            }
            now += u32::from(stopped);
            before += u32::from(stopped_before);
        }
        println!("| {name} | {} | {} |", percent(before, runs), percent(now, runs));
    }
    println!();
}

/// Budgets that burn as fast as they may, for hours.
pub(crate) fn burns(runs: u32) {
    println!(
        "| `burn-rate`, 2 hours, one pair of windows, the only tier: tiers stopped | burn 0.8 | burn 1 | 5 | 20 |"
    );
    println!("|---|---|---|---|---|");
    for (windows, requests) in [("1m, 5m, 2", 20.0), ("2m, 10m, 3", 5.0)] {
        let sections = format!(
            "gates:\n  slo:\n    source: file\n    kind: burn-rate\n    objective: 99\n    windows: [[{windows}]]\n    \
             candidate: {{bad: 'bad {{{{window}}}}', total: 'total {{{{window}}}}'}}\n    min: {{total: 30, slots: 3}}\n"
        );
        let terms = terms(&sections);
        let cells = [0.008, 0.01, 0.05, 0.2].map(|rate| {
            let mut random = Random(19);
            let mut stopped = 0;
            for _ in 0..runs / 4 {
                let mut tier = Tier::new(&terms, 120).of(1);
                let mut minutes: Vec<[f64; 2]> = Vec::new();
                for _ in 0..120 {
                    let total = random.poisson(requests);
                    minutes.push([random.poisson(requests * rate).min(total), total]);
                    for length in (1..=minutes.len().min(10))
                        .filter(|length| [1, 2, 5, 10].contains(length) || *length == minutes.len())
                    {
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
            percent(stopped, runs / 4)
        });
        println!("| `[{windows}]`, 99 %, {requests} a minute | {} |", cells.join(" | "));
    }
    println!();
}

/// The last tier, against an hour that a pack recorded.
pub(crate) fn recorded(runs: u32) {
    println!(
        "| the last tier against a recorded hour, 3,000 requests a minute, 60 slots | tiers that fail |\n|---|---|"
    );
    let terms = terms(crate::COMPARES);
    let of = |rate: f64, errors| Traffic { ours: 3000.0, theirs: 3000.0, rate, errors, times: 1.0 };
    for (name, times, errors) in [
        ("alike, independent errors", 1.0, Errors::Independent),
        ("… 5 failed requests a user on average", 1.0, Errors::RetriedOnAverage(5.0)),
        ("… 10", 1.0, Errors::RetriedOnAverage(10.0)),
        ("… coefficient of variation 1 by minute", 1.0, Errors::Uneven(1.0)),
        ("… 2", 1.0, Errors::Uneven(2.0)),
        ("2 times the errors, independent", 2.0, Errors::Independent),
        ("2 times, 5 failed requests a user on average", 2.0, Errors::RetriedOnAverage(5.0)),
    ] {
        let mut random = Random(23);
        let mut failed = 0;
        for _ in 0..runs / 4 {
            let hour = of(0.005, errors).minutes(&mut random, 60);
            let sums = hour.iter().fold([0.0; 2], |sum, [bad, total, ..]| [sum[0] + bad, sum[1] + total]);
            let mut tier = Tier::new(&terms, 60).last(Some(sums));
            let mut so_far = [0.0; 2];
            for [bad, total, ..] in of(0.005 * times, errors).minutes(&mut random, 60) {
                so_far = [so_far[0] + bad, so_far[1] + total];
                tier.told.number("bad v2", so_far[0]);
                tier.told.number("total v2", so_far[1]);
                if tier.look().verdict == Verdict::Fail {
                    failed += 1;
                    break;
                }
            }
        }
        println!("| {name} | {} |", percent(failed, runs / 4));
    }
    println!();
}

/// Samples whose observations are of several hosts in turn.
pub(crate) fn hosts(runs: u32) {
    let terms = terms(crate::SAMPLE);
    println!(
        "| `sample`, hosts in turn, each resembling itself: tiers that fail | order alone, as before | now |\n|---|---|---|"
    );
    for (name, hosts, each, correlation) in [
        ("alike, 2 hosts, 120 observations a side, 0.9", 2, 60, 0.9),
        ("… 4 hosts, 240, 0.9", 4, 60, 0.9),
        ("… 4 hosts, 240, 0.7", 4, 60, 0.7),
    ] {
        let mut random = Random(29);
        let mut failed = [0, 0];
        for _ in 0..runs {
            let mut side = || {
                let all: Vec<Vec<f64>> = (0..hosts).map(|_| series(&mut random, each, correlation, 0.0)).collect();
                (0..each).flat_map(|scrape| all.iter().map(move |host| host[scrape])).collect::<Vec<f64>>()
            };
            let (ours, theirs) = (side(), side());
            failed[0] += u32::from(before::ranks_in_order(&ours, &theirs, 1.0 / 300.0));
            let mut tier = Tier::new(&terms, 1);
            tier.told.observations("value v2", ours);
            tier.told.observations("value v1", theirs);
            tier.look();
            failed[1] += u32::from(tier.look().verdict == Verdict::Fail);
        }
        println!("| {name} | {} | {} |", percent(failed[0], runs), percent(failed[1], runs));
    }
    println!();
}

/// Whole leases of the template's kind, both versions alike: by how errors come, what of them is stopped.
pub(crate) fn leases(runs: u32) {
    println!("| healthy leases that are stopped, by how errors come | 0.5 % bad | 1 % bad |\n|---|---|---|");
    let gate = |name: &str, max: &str| {
        format!(
            "  {name}:\n    source: file\n    kind: count-ratio\n    candidate: {{bad: '{name} bad {{{{candidate}}}}', total: '{name} total {{{{candidate}}}}'}}\n    \
             min: {{total: 300, slots: 3}}\n    compare: {{test: e-value, max-ratio: 1.5}}\n    absolute: {{max: {max}}}\n"
        )
    };
    let (errors, slow) = (gate("error-rate", "0.05"), gate("slow", "0.1"));
    let terms = terms(&format!("gates:\n{errors}{slow}thresholds:\n  error-rate: {{halt: '> 2'}}\n"));
    for (name, errors) in [
        ("independent", Errors::Independent),
        ("3 failed requests a user on average", Errors::RetriedOnAverage(3.0)),
        ("… 5", Errors::RetriedOnAverage(5.0)),
        ("… 10", Errors::RetriedOnAverage(10.0)),
        ("coefficient of variation 1 by minute, of each by itself", Errors::Uneven(1.0)),
        ("… 2", Errors::Uneven(2.0)),
        ("… 2, of both together", Errors::Shared(2.0)),
    ] {
        let cells = [0.005, 0.01].map(|rate| {
            let mut random = Random(31);
            let stopped: u32 = (0..runs).map(|_| u32::from(is_stopped(&terms, &mut random, rate, errors))).sum();
            percent(stopped, runs)
        });
        println!("| {name} | {} |", cells.join(" | "));
    }
    println!();
}

fn is_stopped(terms: &git_two_key::ledger::PinnedTerms, random: &mut Random, rate: f64, errors: Errors) -> bool {
    for share in [0.05, 0.25, 1.0] {
        let traffic =
            Traffic { ours: 6000.0 * share, theirs: (6000.0 * (1.0 - share)).max(1.0), rate, times: 1.0, errors };
        let mut tier = Tier::new(terms, 12);
        if share >= 1.0 {
            tier = tier.last(None);
        }
        let series = ["error-rate", "slow"].map(|name| (name, traffic.minutes(random, 12)));
        let mut sums = [[0.0; 4]; 2];
        for slot in 0..12 {
            for ((name, minutes), sums) in series.iter().zip(&mut sums) {
                sums.iter_mut().zip(minutes[slot]).for_each(|(sum, count)| *sum += count);
                for (query, sum) in ["bad v2", "total v2", "bad v1", "total v1"].iter().zip(*sums) {
                    tier.told.number(&format!("{name} {query}"), sum);
                }
            }
            let judged = tier.look();
            if judged.verdict == Verdict::Fail || judged.threshold == ThresholdState::Halt {
                return true;
            }
        }
    }
    false
}
