//! The runner of programs: each is bounded in time and in output, with everything that it started.
//!
//! One thread listens to all pipes of a program at once and to its end. When a program has ended, it has been heard: what
//! it left running may hold its pipes open and is not waited for. One that takes longer than it may is ended with its
//! process group and with whatever left that group. Calls nothing; called by [`crate::git`] and by whoever runs a
//! program that an operator configured.

mod exec;
mod interrupt;
mod pipes;
mod started;

use std::{
    fmt,
    fs::File,
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

pub use exec::{Exec, answer};
pub use interrupt::{came as interrupt_came, end_if_interrupted, heed_interrupts, hold_interrupts};
use pipes::Pipes;
use started::ProgramMark;

/// How long a program that was killed is waited for. One that the system itself holds up is reaped later.
const DYING: Duration = Duration::from_secs(2);

/// What a program gets at its standard input.
#[derive(Debug, Default)]
pub(crate) enum Input {
    /// Nothing.
    #[default]
    Nothing,
    /// Some bytes.
    Bytes(Vec<u8>),
    /// Ours: it may ask people.
    Ours,
}

/// Where a program's standard output goes.
#[derive(Debug)]
pub(crate) enum StdoutTo {
    /// To us, up to so many bytes.
    AtMost(usize),
    /// Into a file.
    File(File),
}

/// Who sees what a program complains of, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Audience {
    /// Nobody but us.
    #[default]
    Nobody,
    /// People too: it may ask for a touch.
    People,
}

/// How a program is run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) input: Input,
    pub(crate) output: StdoutTo,
    pub(crate) audience: Audience,
    /// How long it may take; none for as long as it takes. One with a limit has a process group of its own.
    pub(crate) limit: Option<Duration>,
}

impl Default for Job {
    fn default() -> Self {
        Self { input: Input::Nothing, output: StdoutTo::AtMost(usize::MAX), audience: Audience::Nobody, limit: None }
    }
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// What it complained of, the first part of it.
    pub(crate) stderr: Vec<u8>,
}

/// Why nothing is known of what a program said.
#[derive(Debug)]
pub enum ProgramFailure {
    /// It is not there.
    NotFound,
    /// It could not be started or heard.
    Io(io::Error),
    /// Somebody interrupted it.
    Interrupted,
    /// It took longer than it may, and was ended.
    TooLong(Duration),
    /// It said more than it may, and was ended.
    TooMuch(usize),
    /// It ended badly: how, and what it complained of.
    Failed(ExitStatus, String),
}

/// A limit in words. What is left of one that several share is not told to the nanosecond.
pub fn seconds(limit: Duration) -> String {
    format!("{} s", (limit.as_secs_f64() * 10.0).round() / 10.0)
}

impl fmt::Display for ProgramFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("it cannot be run: there is no such program"),
            Self::Io(error) => write!(f, "it cannot be run: {error}"),
            Self::Interrupted => f.write_str("it was interrupted"),
            Self::TooLong(limit) => write!(f, "it took longer than {}", seconds(*limit)),
            Self::TooMuch(most) => write!(f, "it said more than {most} bytes"),
            Self::Failed(status, complaint) if complaint.is_empty() => write!(f, "it ended with {status}"),
            Self::Failed(status, complaint) => write!(f, "it ended with {status}; it said: {complaint}"),
        }
    }
}

/// A program that runs beside us. Dropped, it is ended.
#[derive(Debug)]
pub(crate) struct Running {
    /// None once it has been reaped, or handed over to be.
    child: Option<Child>,
    pipes: Pipes,
    most: usize,
    limit: Option<ProgramLimit>,
    /// While it runs and people are asked, an interrupt ends it and not us.
    _held: Option<interrupt::HeldInterrupts>,
}

/// The limit of a program.
#[derive(Debug)]
struct ProgramLimit {
    span: Duration,
    until: Instant,
    mark: ProgramMark,
}

/// Starts a program.
pub(crate) fn start(mut command: Command, job: Job) -> Result<Running, ProgramFailure> {
    let Job { input, output, audience, limit } = job;
    command.stdin(match &input {
        Input::Nothing => Stdio::null(),
        Input::Bytes(_) => Stdio::piped(),
        Input::Ours => Stdio::inherit(),
    });
    let most = match output {
        StdoutTo::AtMost(most) => {
            command.stdout(Stdio::piped());
            most
        }
        StdoutTo::File(file) => {
            command.stdout(file);
            usize::MAX
        }
    };
    command.stderr(Stdio::piped());
    let limit = limit.map(|span| {
        // A group of its own: what Git starts (ssh, an HTTP helper) keeps our pipes open, so it must end too.
        let mark = ProgramMark::on(command.process_group(0));
        ProgramLimit { span, until: now() + span, mark }
    });
    // Whoever is asked for something may rather interrupt, from its first moment on.
    let held = (audience == Audience::People).then(hold_interrupts);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ProgramFailure::NotFound,
        _ => ProgramFailure::Io(error),
    })?;
    let input = if let Input::Bytes(bytes) = input { bytes } else { Vec::new() };
    let pipes = Pipes::of(&mut child, input, audience);
    let mut running = Running { child: Some(child), pipes: Pipes::default(), most, limit, _held: held };
    running.pipes = pipes.map_err(ProgramFailure::Io)?;
    Ok(running)
}

/// Runs a program to its end.
pub(crate) fn run(command: Command, job: Job) -> Result<Ended, ProgramFailure> {
    start(command, job)?.finish()
}

impl Running {
    /// What it said, once it has ended.
    pub(crate) fn finish(mut self) -> Result<Ended, ProgramFailure> {
        let Some(child) = &mut self.child else { return Err(ProgramFailure::Io(io::ErrorKind::NotFound.into())) };
        let until = self.limit.as_ref().map(|limit| limit.until);
        let status = match self.pipes.listen(child, self.most, until) {
            Ok(pipes::Heard::End(status)) => status,
            Ok(pipes::Heard::Interrupted) => return Err(ProgramFailure::Interrupted),
            Ok(pipes::Heard::TooMuch) => return Err(ProgramFailure::TooMuch(self.most)),
            Ok(pipes::Heard::Deadline) => {
                return Err(ProgramFailure::TooLong(self.limit.as_ref().map_or(Duration::ZERO, |limit| limit.span)));
            }
            Err(error) => return Err(ProgramFailure::Io(error)),
        };
        self.child = None;
        if self.limit.is_some() {
            started::reap();
        }
        let (stdout, stderr) = self.pipes.take();
        Ok(Ended { status, stdout, stderr })
    }

    /// The process's id.
    #[cfg(test)]
    fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }
}

impl Drop for Running {
    /// A program that nobody wants to hear any more is not left behind. One that has ended is left in peace.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Its pipes are closed: whoever still writes there ends.
        self.pipes = Pipes::default();
        match &self.limit {
            Some(limit) => limit.mark.end(child.id()),
            None => drop(child.kill()),
        }
        if !matches!(pipes::wait(&mut child, now() + DYING), Ok(Some(_))) {
            started::reap_later(child);
        }
        if self.limit.is_some() {
            started::reap();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "how long a program may take decides nothing but whether it is heard")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
