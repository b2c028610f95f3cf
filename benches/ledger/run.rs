//! Programs, run with nothing of the machine's own set-up, and what they cost.

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The program that is measured: another build's by `TWO_KEY_PROGRAM`, else the one built with this.
pub fn program() -> String {
    std::env::var("TWO_KEY_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_git-two-key").to_owned())
}

/// A command without the user's configuration.
pub fn command(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    for (variable, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "A Person"),
        ("GIT_AUTHOR_EMAIL", "a@example"),
        ("GIT_COMMITTER_NAME", "A Person"),
        ("GIT_COMMITTER_EMAIL", "a@example"),
        ("LC_ALL", "C"),
    ] {
        command.env(variable, value);
    }
    command
}

/// Git in a repository.
pub fn git(repository: &Path) -> Command {
    let mut git = command("git");
    git.arg("-C").arg(repository);
    git
}

/// The program in a repository.
pub fn two_key(repository: &Path) -> Command {
    let mut two_key = command(program());
    two_key.arg("-C").arg(repository);
    two_key
}

/// What a command that must succeed printed.
pub fn said(command: &mut Command) -> String {
    said_with(command.stdin(Stdio::null()))
}

/// The same of one that reads something.
pub fn said_with(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// What a run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// By the clock on the wall.
    pub wall: Duration,
    /// Of all processors, the command's children included.
    pub cpu: Duration,
}

/// Runs a command that must succeed, and throws away what it prints.
pub fn cost(command: &mut Command) -> Cost {
    let (cost, output) = measured(command);
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    cost
}

/// The same of one that may find something wrong.
pub fn cost_of_any(command: &mut Command) -> Cost {
    measured(command).0
}

fn measured(command: &mut Command) -> (Cost, Output) {
    let before = children_cpu();
    let start = Instant::now();
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let wall = start.elapsed();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    (Cost { wall, cpu: children_cpu().saturating_sub(before) }, output)
}

/// The processor time of all children that have ended: fields 16 and 17 of Linux's `/proc/self/stat`, in ticks of 10 ms.
fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that a command itself had resident, in MiB: what Linux says of it while it runs. Its children are left
/// out: `git cat-file` has the pack that it reads mapped, which is the kernel's cache and not its own.
pub fn peak_memory(command: &mut Command) -> Option<u64> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    while child.try_wait().ok()?.is_none() {
        let said = fs::read_to_string(&status).unwrap_or_default();
        let kib =
            said.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = kib.or(peak);
        std::thread::sleep(Duration::from_millis(1));
    }
    peak.map(|kib| kib / 1024)
}

/// The middle of some durations.
pub fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// The least of some durations: what the machine's other work did not lengthen.
pub fn least(all: Vec<Duration>) -> Duration {
    all.into_iter().min().unwrap_or_default()
}
