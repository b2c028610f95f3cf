//! Programs that an operator configured: for a limited time, heard for a limited length, in a cleared environment.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use super::{Audience, Ended, Input, Job, ProgramFailure, StdoutTo, run};

/// How much of what a program complains of is told.
const MAX_LOG: usize = 4 * 1024;

/// A configured program about to be run.
#[derive(Debug, Clone)]
pub struct Exec<'a> {
    /// The program: an absolute path.
    pub program: &'a Path,
    /// Its arguments.
    pub args: &'a [String],
    /// Its whole environment, but for a path on which the system's own programs are.
    pub env: &'a BTreeMap<String, String>,
    /// Its standard input.
    pub input: Vec<u8>,
    /// How long it may take. Then it is killed, with all that it started.
    pub limit: Duration,
    /// The most bytes that it may answer.
    pub most: usize,
}

impl Exec<'_> {
    /// Runs it. Its standard output, if it ended in time with status 0 and said no more than it may.
    #[allow(clippy::disallowed_methods, reason = "the one place where programs are run")]
    pub fn run(self) -> Result<Vec<u8>, ProgramFailure> {
        let mut command = Command::new(self.program);
        command.args(self.args).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
        command.envs(self.env);
        answer(command, self.input, self.limit, self.most)
    }
}

/// Runs a program with some input, and gives its standard output. Anything but a timely end with status zero and an
/// answer of no more than `most` bytes is a failure.
pub fn answer(command: Command, input: Vec<u8>, limit: Duration, most: usize) -> Result<Vec<u8>, ProgramFailure> {
    let (input, output) = (Input::Bytes(input), StdoutTo::AtMost(most));
    let job = Job { input, output, audience: Audience::Nobody, limit: Some(limit) };
    let Ended { status, stdout, mut stderr } = run(command, job)?;
    if status.success() {
        return Ok(stdout);
    }
    stderr.truncate(MAX_LOG);
    Err(ProgramFailure::Failed(status, String::from_utf8_lossy(&stderr).trim().replace('\n', " / ")))
}
