//! Where words go out. A reader that goes away (`| head`) ends the output, not the program with a panic.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use serde::Serialize;

use crate::report::{escaped, json_escaped};

/// How often a watched repository is looked at.
const WATCHED_EVERY: Duration = Duration::from_secs(2);

/// How a reading verb prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; keeps its shape within a major version.
    Json,
}

/// Writes a text to standard output, ending it with a line feed. Whatever could move a cursor is spelled out.
pub fn say(text: &str) {
    // Nothing sensible can be done when standard output is gone.
    let _ = try_say(text);
}

/// The same, saying whether anybody can still read it.
pub fn try_say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", by_lines(text))?;
    out.flush()
}

/// Prints what `text` gives whenever it is other than before, until nobody reads or it fails.
pub fn watch<E>(text: impl Fn() -> Result<String, E>) -> Result<(), E> {
    let mut last = None;
    loop {
        let now = text()?;
        if last.as_ref() != Some(&now) {
            if try_say(&now).is_err() {
                return Ok(());
            }
            last = Some(now);
        }
        std::thread::sleep(WATCHED_EVERY);
    }
}

/// Writes bytes of our own making to standard output as they are.
pub fn say_raw(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Spells out what could move a cursor, line by line.
fn by_lines(text: &str) -> String {
    text.trim_end_matches('\n').split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// Writes a value to standard output as JSON.
pub fn say_json(value: &serde_json::Value) {
    write_json(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes a value to standard output as JSON.
pub fn say_value(value: &impl Serialize) {
    write_json(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes values to standard output as JSON, one a line.
pub fn say_lines(values: &[impl Serialize]) {
    for value in values {
        write_json(&serde_json::to_string(value).unwrap_or_default());
    }
}

fn write_json(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", json_escaped(text)).and_then(|()| out.flush());
}

/// Writes a remark to standard error.
pub fn remark(text: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "{}", by_lines(text));
}

/// Whether a person sits at standard input and output.
pub fn interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
