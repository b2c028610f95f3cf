//! Programs that an operator configured: in a cleared environment, for a limited time, heard for a limited length.

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{GitError, command::Program};

/// A configured program about to be run.
#[derive(Debug, Clone, Copy)]
pub struct Exec<'a> {
    /// The program: an absolute path.
    pub program: &'a Path,
    /// Its arguments.
    pub args: &'a [String],
    /// Its whole environment, but for a path on which the system's own programs are.
    pub env: &'a BTreeMap<String, String>,
    /// Its standard input.
    pub input: &'a [u8],
    /// How long it may take. Then it is killed, with all that it started.
    pub limit: Duration,
    /// The most bytes that it may answer.
    pub most: usize,
}

impl Exec<'_> {
    /// Runs it. Its standard output, if it ended in time with status 0 and said no more than it may.
    pub fn run(&self) -> Result<Vec<u8>, GitError> {
        if !self.program.is_absolute() {
            let what = "a configured program is named by an absolute path".to_owned();
            return Err(GitError::Answer { command: self.program.display().to_string(), what });
        }
        let mut program = Program::configured(self.program).args(self.args);
        for (name, value) in self.env {
            program = program.env(name, value);
        }
        program.input(self.input).at_most(self.most).within(self.limit).bytes()
    }
}
