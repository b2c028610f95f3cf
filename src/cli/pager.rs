//! Pager: a long text on a terminal goes through the program that Git would show it with.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::{Command, Stdio},
};

use super::terminal::{by_lines, say};
use crate::git::Repository;

/// Says a text, on a terminal through the pager.
pub fn page(repo: &Repository, text: &str) {
    if !io::stdout().is_terminal() || !paged(repo, text) {
        say(text);
    }
}

/// Whether a pager took the text.
#[allow(clippy::disallowed_methods, reason = "the pager that the user configured, run as Git runs it")]
fn paged(repo: &Repository, text: &str) -> bool {
    let Ok(Some(pager)) = repo.pager() else { return false };
    let mut command = Command::new("sh");
    command.args(["-c", &pager]).stdin(Stdio::piped());
    // As Git does: what fits on the screen is left there.
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut input) = child.stdin.take() {
        // Whoever leaves the pager has read enough.
        let _ = writeln!(input, "{}", by_lines(text));
    }
    // A shell that finds no such program says so by this status.
    child.wait().is_ok_and(|status| status.code() != Some(127))
}
