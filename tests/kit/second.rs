//! A second reader of the formats, in Python, and whether it says of a repository what the program says.

use std::{path::Path, process::Command};

/// A script of the second reader; it runs with whatever environment the caller gives it.
pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/second/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Asserts that both readers say the same of every repository below a folder that pins a root.
#[track_caller]
pub(crate) fn agrees_below(folder: &Path, mut python: Command) {
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let output = python
        .args([&script("compare.py"), "--program", program, "--below"])
        .arg(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the second reader disagrees (what, ours, its):\n{said}");
}
