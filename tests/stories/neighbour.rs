//! A neighbour at the door, without a key and with one, beside honest people, at random (`tests/second/neighbour.py`).

use std::process::Command;

/// Runs it for so many seconds, by default few; `TWO_KEY_NEIGHBOUR=600` is longer, from a seed that differs each time.
/// What fails names its seed: `python3 tests/second/neighbour.py --program PATH SEED SECONDS hook` does the same again.
fn runs(mode: &str) {
    let script = format!("{}/tests/second/neighbour.py", env!("CARGO_MANIFEST_DIR"));
    let seconds = std::env::var("TWO_KEY_NEIGHBOUR").unwrap_or_default();
    let (seed, seconds) =
        if seconds.is_empty() { ("1".to_owned(), "20") } else { (std::process::id().to_string(), &*seconds) };
    let args = ["--program", env!("CARGO_BIN_EXE_git-two-key"), &seed, seconds, mode];
    let output = Command::new("python3").arg(script).args(args).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[test]
fn with_the_hook_nothing_is_moved_hidden_erased_or_blocked() {
    runs("hook");
}

#[test]
fn without_a_hook_what_counts_and_what_is_applied_stays_right() {
    runs("forge");
}
