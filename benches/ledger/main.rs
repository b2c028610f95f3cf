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
mod key;
mod pack;
mod run;

use std::{fs, path::Path};

use git_two_key::signature::ObjectFormat;

fn main() {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["corpus", folder, commits] => make(folder, commits, ObjectFormat::Sha1),
        ["corpus", folder, commits, "sha256"] => make(folder, commits, ObjectFormat::Sha256),
        _ => println!("usage: benches/run [--check] | corpus FOLDER COMMITS [sha256]"),
    }
}

fn make(folder: &str, commits: &str, format: ObjectFormat) {
    let commits = commits.parse().expect("a number of commits");
    fs::create_dir_all(folder).expect("a folder");
    let ground = corpus::Ground::make(Path::new(folder), commits, format, &[1, 10, 100, 1000]).expect("a ledger");
    println!("{} commits, {} signed, {} leases; tip {}", ground.commits, ground.signed, ground.leases, ground.tip);
}
