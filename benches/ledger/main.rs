//! The harness of `benches/run`: ledgers of any length, and what it costs to verify them, push to them and read them.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark reads the clock, runs programs and ends where something is wrong"
)]

mod corpus;
mod day;
mod floor;
mod key;
mod measure;
mod pack;
mod peer;
mod plot;
mod report;
mod run;
mod tidied;

use std::{fs, path::Path};

use corpus::Ground;
use git_two_key::signature::ObjectFormat;
use report::Report;

/// Commits of the pushes that are measured.
const PUSHES: [usize; 4] = [1, 10, 100, 1000];

fn main() {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => measure(&[1_000, 10_000, 100_000], Turns::MANY),
        ["--once"] => measure(&[1_000, 10_000, 100_000], Turns::ONCE),
        ["--commits", sizes @ ..] if !sizes.is_empty() => {
            measure(&sizes.iter().map(|size| number(size)).collect::<Vec<_>>(), Turns::MANY);
        }
        ["--verify", sizes @ ..] if !sizes.is_empty() => {
            verify(&sizes.iter().map(|size| number(size)).collect::<Vec<_>>());
        }
        ["--check"] => check(),
        ["--day", votes] => day(number(votes)),
        ["corpus", folder, commits] => make(folder, commits, ObjectFormat::Sha1),
        ["corpus", folder, commits, "sha256"] => make(folder, commits, ObjectFormat::Sha256),
        _ => panic!(
            "usage: benches/run [--check | --once | --commits N… | --verify N… | --day VOTES | corpus FOLDER COMMITS [sha256]]"
        ),
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number of commits")
}

fn make(folder: &str, commits: &str, format: ObjectFormat) {
    fs::create_dir_all(folder).expect("a folder");
    let folder = fs::canonicalize(folder).expect("a folder");
    let ground = Ground::make(&folder, number(commits), format, &PUSHES).expect("a ledger");
    println!("{} commits, {} signed, {} leases; tip {}", ground.commits, ground.signed, ground.leases, ground.tip);
}

/// How often things are measured.
#[derive(Clone, Copy)]
struct Turns {
    verify: usize,
    push: usize,
    forgetful: usize,
    read: usize,
    /// Seconds of clients that push at once.
    clients: u64,
    /// Votes of the long run.
    votes: usize,
}

impl Turns {
    const MANY: Self = Self { verify: 3, push: 9, forgetful: 3, read: 3, clients: 10, votes: 20_000 };
    const ONCE: Self = Self { verify: 1, push: 5, forgetful: 1, read: 1, clients: 6, votes: 5_000 };
}

/// Of ledgers with more commits everything is measured once, and pushes not at all: half a million tags make each of them
/// last many seconds, whatever the hook.
const LARGE: usize = 200_000;

/// Measures nothing but verifying, and writes no page.
fn verify(sizes: &[usize]) {
    let mut report = Report::default();
    for size in sizes {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ground = Ground::make(folder.path(), *size, ObjectFormat::Sha1, &PUSHES).expect("a ledger");
        let verified = measure::verify(folder.path(), &ground, ObjectFormat::Sha1, 5, 60);
        report.verified.push((format!("SHA-1, {size}"), verified));
    }
    println!("{}", report.tables());
}

/// Lands so many votes one by one, and writes no page.
fn day(votes: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = Report { day: Some(day::run(folder.path(), votes)), ..Report::default() };
    println!("{}", report.long_run());
}

/// Measures everything on ledgers of these sizes, the largest last, and writes the page.
fn measure(sizes: &[usize], turns: Turns) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peers = folder.path().join("peer");
    fs::create_dir_all(&peers).expect("a folder");
    let peer = peer::measure(&peers, &PUSHES, turns.verify);
    if peer.is_none() {
        eprintln!("sq-git or gpg is not here: left out");
    }
    let mut report = Report { start: measure::start(21), peer, ..Report::default() };
    for size in sizes {
        for (name, format) in [("SHA-1", ObjectFormat::Sha1), ("SHA-256", ObjectFormat::Sha256)] {
            if format == ObjectFormat::Sha256 && !(5_000..50_000).contains(size) {
                continue;
            }
            let folder = folder.path().join(format!("{size}-{name}"));
            fs::create_dir_all(&folder).expect("a folder");
            let ground = Ground::make(&folder, *size, format, &PUSHES).expect("a ledger");
            eprintln!("measuring {name}, {size} commits");
            let large = *size > LARGE;
            let turns = if large { Turns::ONCE } else { turns };
            if format == ObjectFormat::Sha1 && !large {
                report.pushed.push((*size, measure::push(&folder, &ground, turns.push, turns.forgetful)));
            }
            report
                .verified
                .push((format!("{name}, {size}"), measure::verify(&folder, &ground, format, turns.verify, 60)));
            if format == ObjectFormat::Sha1 {
                report.read.push(measure::read(&folder, &ground, turns.read));
            }
            if format == ObjectFormat::Sha1 && sizes.iter().filter(|size| **size <= LARGE).max() == Some(size) {
                for clients in [1, 4, 8] {
                    report.clients.push((clients, measure::clients(&folder, &ground, clients, turns.clients)));
                }
            }
            // Last, as its labels are gone then.
            if format == ObjectFormat::Sha1 && !large {
                report.tidied.push(tidied::measure(&folder, &ground, turns.push.min(5)));
            }
            fs::remove_dir_all(&folder).expect("our own folder");
        }
    }
    let day = folder.path().join("day");
    fs::create_dir_all(&day).expect("a folder");
    report.day = Some(day::run(&day, turns.votes));
    println!("{}", report.tables());
    report.write(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("benches/README.md");
}

/// Bounds that a change which makes something twice as slow breaks, and a busy machine does not: all are ratios to what
/// Git needs in the same run, of processor time where that can be had.
fn check() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [small, large] = [500, 4_000].map(|size| {
        let folder = folder.path().join(size.to_string());
        fs::create_dir_all(&folder).expect("a folder");
        let ground = Ground::make(&folder, size, ObjectFormat::Sha1, &[1, 30]).expect("a ledger");
        (folder, ground)
    });
    let verified = measure::verify(&large.0, &large.1, ObjectFormat::Sha1, 3, 40);
    let each = verified.ours_cpu.as_secs_f64() / measure::count(verified.signed);
    let faster = verified.git_cpu.as_secs_f64() / each;
    let read = [&small, &large].map(|(folder, ground)| measure::read(folder, ground, 3));
    let pushed = measure::push(&large.0, &large.1, 7, 0);
    let grounds = [&small, &large].map(|(folder, ground)| (folder.as_path(), ground));
    let growth: Vec<_> = (0..pushed.len()).map(|at| measure::growth(grounds, at, 15)).collect();
    let [few_refs, many_refs] = [&small, &large].map(|(folder, ground)| tidied::measure(folder, ground, 9).after);
    let mut failed = false;
    let mut bound = |what: &str, value: f64, holds: bool, limit: String| {
        println!("{} {what}: {value:.1} ({limit})", if holds { "ok  " } else { "FAIL" });
        failed |= !holds;
    };
    // An unoptimized build is several times slower; only its own bound says anything of it.
    let least = if cfg!(debug_assertions) { LEAST_UNOPTIMIZED } else { LEAST };
    let limit = format!("at least {least}");
    bound("verifying takes so many times less processor time than git verify-commit", faster, faster > least, limit);
    let ratio = verified.ours.as_secs_f64() / verified.floor.as_secs_f64();
    let most = if cfg!(debug_assertions) { MOST_FLOOR_UNOPTIMIZED } else { MOST_FLOOR };
    let what = "verifying takes so many times what nothing can be faster than".to_owned();
    bound(&what, ratio, ratio < most, format!("at most {most}"));
    for ((long, growth), most) in pushed.iter().zip(growth).zip(MOST_HOOK) {
        let what =
            format!("the hook takes so many times more for {} where history is eight times as long", long.commits);
        bound(&what, growth, growth < MOST_GROWTH, format!("at most {MOST_GROWTH}"));
        let ratio = long.ours.as_secs_f64() / long.empty.as_secs_f64();
        let what = format!("our hook adds so many times what a push of {} with an empty hook takes", long.commits);
        bound(&what, ratio, ratio < most, format!("at most {most}"));
    }
    let [few, many] = read;
    for (at, (verb, _)) in measure::VERBS.iter().enumerate().filter(|(_, (verb, _))| *verb != "log") {
        let ratio = many.costs[at].as_secs_f64() / few.costs[at].as_secs_f64();
        let what = format!("{verb} takes so many times more where history is eight times as long");
        bound(&what, ratio, ratio < MOST_READ, format!("at most {MOST_READ}"));
    }
    for (what, few, many) in [
        ("a push", few_refs.push, many_refs.push),
        ("a fetch", few_refs.fetch, many_refs.fetch),
        ("sync", few_refs.sync, many_refs.sync),
    ] {
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        let what = format!("{what} after `tidy` takes so many times more where history is eight times as long");
        bound(&what, ratio, ratio < MOST_TIDIED, format!("at most {MOST_TIDIED}"));
    }
    let ratio = many.fetched.as_secs_f64() / many.first.as_secs_f64();
    let what = format!("list after {} new commits takes such a part of what it takes anew", measure::FETCHED);
    bound(&what, ratio, ratio < MOST_AGAIN, format!("at most {MOST_AGAIN}"));
    let ratio = many.costs[1].as_secs_f64() / many.first.as_secs_f64();
    let what = "list takes such a part of what it takes where nothing is remembered".to_owned();
    bound(&what, ratio, ratio < MOST_AGAIN, format!("at most {MOST_AGAIN}"));
    assert!(
        !failed,
        "a bound does not hold: measure again on a quiet machine, then find the change: benches/run --check"
    );
}

/// What `--check` asks for; see benches/README.md for what was measured.
const LEAST: f64 = 60.0;
const LEAST_UNOPTIMIZED: f64 = 20.0;
const MOST_GROWTH: f64 = 2.0;
/// Of the floor, for four thousand commits.
const MOST_FLOOR: f64 = 2.0;
const MOST_FLOOR_UNOPTIMIZED: f64 = 12.0;
const MOST_TIDIED: f64 = 1.6;
/// Of verbs that look.
const MOST_READ: f64 = 2.0;
const MOST_AGAIN: f64 = 0.7;
/// Of a push of one commit, and of thirty.
const MOST_HOOK: [f64; 2] = [1.5, 3.0];
