//! The second reader (`tests/second/`, in Python) against the program, where no other test brings the two together:
//! on random ledgers, and on the hostile files. Every other test's world (`tests/kit`) and the tutorials end with it.

use std::process::Command;

/// Runs one of the reader's scripts, which must find nothing wrong.
fn finds_nothing(name: &str, args: &[&str]) {
    let script = format!("{}/tests/second/{name}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3").arg(script).args(args).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

/// Ten by default; `TWO_KEY_LEDGERS=300 cargo nextest run --test stories second` makes more, from a seed that differs each time.
#[test]
fn both_readers_say_the_same_of_random_ledgers() {
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let count = std::env::var("TWO_KEY_LEDGERS").unwrap_or_default();
    let (first, count) =
        if count.is_empty() { ("0".to_owned(), "10") } else { (std::process::id().to_string(), &*count) };
    finds_nothing("random_ledger.py", &["--compare", program, &first, count]);
}

/// Sizes at their limits and beyond, odd lines, odd names.
#[test]
fn both_readers_say_the_same_at_the_edges() {
    finds_nothing("edges.py", &["--compare", env!("CARGO_BIN_EXE_git-two-key")]);
}

#[test]
fn the_second_reader_refuses_the_hostile_files_for_their_reasons() {
    finds_nothing("hostile.py", &[]);
}
