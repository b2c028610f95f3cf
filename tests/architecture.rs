//! Holds the arrows between the rooms, and the purity of those inside.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each room with the rooms that it may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("signature", &["model"]),
    ("ledger", &["signature", "model"]),
    ("gate", &["ledger", "model"]),
    ("inbox", &["ledger", "signature", "model"]),
    ("admission", &["inbox", "ledger", "signature", "model"]),
    ("report", &["gate", "risk", "admission", "inbox", "ledger", "signature", "model"]),
    ("risk", &["ledger", "model"]),
    ("process", &[]),
    ("git", &["process", "risk", "admission", "inbox", "ledger", "signature", "model"]),
    ("follower", &["git", "gate", "admission", "ledger", "signature", "model"]),
    ("reconciler", &["follower", "process", "git", "gate", "admission", "ledger", "signature", "model"]),
    ("agent", &["follower", "process", "git", "gate", "risk", "report", "inbox", "ledger", "signature", "model"]),
    (
        "cli",
        &[
            "agent",
            "reconciler",
            "follower",
            "git",
            "gate",
            "risk",
            "report",
            "admission",
            "inbox",
            "ledger",
            "signature",
            "model",
        ],
    ),
];

/// Rooms without I/O, clock, environment or processes.
const PURE: &[&str] = &["model", "signature", "ledger", "gate", "inbox", "admission", "report", "risk"];

/// The one folder of a pure room that is not: where its measurements come from. It runs programs.
const RIM: (&str, &[&str]) = ("gate/sources", &["process", "ledger", "model"]);

/// What a pure room never names.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "git2",
    "rand::",
    "tempfile",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The file's product lines: comments and test modules left out.
fn product(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    lines
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(number, line)| (number + 1, line.to_owned()))
        .collect()
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// What breaks the rules in one room's file.
fn wrongs(room: &str, allowed: &[&str], lines: &[(usize, String)]) -> Vec<String> {
    let mut wrongs = Vec::new();
    for (number, line) in lines {
        for (other, _) in ROOMS {
            let named = line.contains(&format!("crate::{other}"));
            if named && !Path::new(room).starts_with(other) && !allowed.contains(other) {
                wrongs.push(format!("{number}: {room} uses {other}: {}", line.trim()));
            }
        }
        for word in IMPURE.iter().filter(|_| PURE.contains(&room)) {
            if line.contains(word) {
                wrongs.push(format!("{number}: {room} is pure, but names {word}: {}", line.trim()));
            }
        }
    }
    wrongs
}

#[test]
fn arrows_point_one_way_and_the_core_is_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    for (room, allowed) in ROOMS {
        let mut files = Vec::new();
        sources(&src.join(room), &mut files);
        assert!(!files.is_empty(), "room {room} is empty");
        for file in files.iter().filter(|file| !is_test_file(file)) {
            let path = file.strip_prefix(&src).unwrap();
            let (room, allowed) = if path.starts_with(RIM.0) { &RIM } else { &(*room, *allowed) };
            let name = path.display();
            all.extend(wrongs(room, allowed, &product(file)).into_iter().map(|wrong| format!("{name}:{wrong}")));
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn the_check_itself_notices_a_wrong_arrow_and_an_impure_word() {
    let lines = [(1, "use crate::git::Repository;".to_owned()), (2, "let now = std::fs::read(path);".to_owned())];
    assert_eq!(wrongs("ledger", &["signature", "model"], &lines).len(), 2);
    assert_eq!(wrongs("cli", &["git"], &lines).len(), 0);
}

#[test]
fn files_stay_readable_in_one_sitting() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    for file in files {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 650, "{} has {lines} lines: split it by what it is about", file.display());
    }
}
