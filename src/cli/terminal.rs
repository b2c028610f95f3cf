//! Terminal output. A reader that goes away (`| head`) ends the output, not the program with a panic.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;

use super::{Failure, account};
use crate::{
    model::Reason,
    report::{Style, Terminal, escaped, json_escaped},
};

/// What takes longer than this says how far it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it says so.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// After which time without an answer people are told that others are waited for.
pub const LATE: Duration = Duration::from_secs(5);

/// How a verb prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; keeps its shape within a major version.
    Json,
}

/// Why standard output did not take something, first of all.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Remembers that something could not be written. A reader that went away wanted no more.
fn kept(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Why something that was to be printed is lost, if it is.
pub fn lost() -> Option<Failure> {
    let error = LOST.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    Some(Failure::undecided(Reason::Io, format!("standard output is not whole: it could not be written: {error}")))
}

/// Writes a text to standard output, ending it with a line feed. Whatever could move a cursor is spelled out.
pub fn say(text: &str) {
    kept(try_say(text));
}

/// The same, saying whether anybody can still read it.
pub fn try_say(text: &str) -> io::Result<()> {
    if account::is_kept() {
        remark(text);
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", by_lines(text))?;
    out.flush()
}

/// Writes a text with colours to standard output. Strangers' words have been spelled out in it.
pub fn say_styled(text: &str) {
    say_raw(text.as_bytes());
}

/// Writes bytes of our own making to standard output as they are.
pub fn say_raw(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    kept(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Spells out what could move a cursor, line by line.
pub fn by_lines(text: &str) -> String {
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
    kept(writeln!(out, "{}", json_escaped(text)).and_then(|()| out.flush()));
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

/// Whether the person at the terminal says yes; nobody does where there is none.
pub fn agrees(question: &str) -> bool {
    if !interactive() {
        return false;
    }
    let mut err = io::stderr().lock();
    let mut line = String::new();
    let asked = write!(err, "{} [y/N] ", by_lines(question)).and_then(|()| err.flush());
    asked.and_then(|()| io::stdin().lock().read_line(&mut line)).is_ok() && ["y", "yes"].contains(&line.trim())
}

/// How live views look here.
#[allow(clippy::disallowed_methods, reason = "what a terminal can show is told by the environment")]
pub fn style() -> Style {
    let terminal = if io::stdout().is_terminal() { Terminal::Yes } else { Terminal::No };
    Style::of(terminal, |name| std::env::var(name).ok())
}

/// Standard output as something that is drawn again and again: in place on a terminal, one after the other elsewhere.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    last: Option<String>,
}

impl Screen {
    /// Standard output.
    pub fn new() -> Self {
        Self { terminal: io::stdout().is_terminal(), last: None }
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Draws a text, in which strangers' words have been spelled out, unless it is there already.
    pub fn show(&mut self, text: &str) -> io::Result<()> {
        if self.last.as_deref() == Some(text) {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if self.terminal {
            // To the corner, each line cleared to its end, then what is below: nothing flickers. The last line is ended, so
            // that progress, which is written over the line that it is on, has one of its own.
            let clear = if self.last.is_none() { "\u{1b}[2J" } else { "" };
            let lines = text.trim_end_matches('\n').replace('\n', "\u{1b}[K\n");
            write!(out, "{clear}\u{1b}[H{lines}\u{1b}[K\n\u{1b}[J")?;
        } else {
            writeln!(out, "{text}")?;
        }
        out.flush()?;
        self.last = Some(text.to_owned());
        Ok(())
    }
}

/// Sleeps; fails when standard output is closed.
pub fn wait(long: Duration) -> io::Result<()> {
    let out = io::stdout();
    // No event is asked for: that the other end is gone is said all the same.
    let mut watched = [PollFd::new(&out, PollFlags::empty())];
    let long = long.try_into().ok();
    if poll(&mut watched, long.as_ref())? == 0 { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// Says on standard error how far something is that takes long, where a person sits there; clears that when it is done.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    of: &'static str,
    next: Option<Instant>,
    printed: bool,
}

impl Progress {
    /// Of something that has just begun: `verified 1234 of 5678 steps`.
    pub fn new(what: &'static str, of: &'static str) -> Self {
        let next = io::stderr().is_terminal().then(|| moment() + PATIENCE);
        Self { what, of, next, printed: false }
    }

    /// So much is done, and so much is left.
    pub fn at(&mut self, done: usize, left: usize) {
        let Some(next) = self.next else { return };
        let now = moment();
        if now >= next {
            over(&format!("{} {done} of {} {}", self.what, done + left, self.of));
            self.next = Some(now + PROGRESS_EVERY);
            self.printed = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.printed {
            over("");
        }
    }
}

/// Does something of which nobody knows how far it is, saying meanwhile for how long it has been at it: `rehearsing, 3 s`.
pub fn patiently<T>(what: &str, act: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return act();
    }
    let began = moment();
    let (done, waits) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut pause = PATIENCE;
            // The other end goes when it is done, whatever came of it.
            while waits.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                over(&format!("{what}, {} s", began.elapsed().as_secs()));
                pause = PROGRESS_EVERY;
            }
            if pause != PATIENCE {
                over("");
            }
        });
        let outcome = act();
        drop(done);
        outcome
    })
}

/// Does something, and says what is so meanwhile if it takes longer than that. Once, as Git may ask for a password then.
pub fn if_late<T>(long: Duration, text: &str, act: impl FnOnce() -> T) -> T {
    let (done, waits) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(long) == Err(mpsc::RecvTimeoutError::Timeout) {
                remark(text);
            }
        });
        let outcome = act();
        drop(done);
        outcome
    })
}

/// What is said of a remote that is waited for.
pub fn no_answer_yet(remote: &str) -> String {
    format!(
        "{remote} has not answered yet; what was signed here is kept if you interrupt this (Ctrl-C): git two-key status"
    )
}

/// Writes over the line on standard error that says how far something is.
fn over(text: &str) {
    let mut err = io::stderr().lock();
    let _ = write!(err, "\r{text}\u{1b}[K").and_then(|()| err.flush());
}

#[allow(clippy::disallowed_methods, reason = "how long a person has waited is nobody's decision")]
pub(super) fn moment() -> Instant {
    Instant::now()
}
