//! Git and the programs beside it: one builder for all of them, so that all get the same environment.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Read, Seek},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use crate::process::{self, Audience, Input, Job, ProgramFailure, Running};

use super::GitError;

/// Variables that point Git at some repository. Cleared when another repository was named by its path.
const LOCAL_VARIABLES: [&str; 12] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_OBJECT_DIRECTORY",
    "GIT_QUARANTINE_PATH",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
];

/// Variables that say how Git reads pathspecs, besides the one that is set here: with two of them Git gives up.
const OTHER_PATHSPECS: [&str; 3] = ["GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"];

/// What a child said and how it ended.
#[derive(Debug)]
pub(crate) struct GitOutput {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A program about to be run.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    job: Job,
}

/// What Git is told by the environment variables that name a repository, its objects and its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RepositoryVariables {
    /// All that they say, as in a hook.
    Kept,
    /// Nothing: the path alone says which repository it is.
    Dropped,
}

impl Program {
    /// A program by name, in a fixed locale.
    #[allow(clippy::disallowed_methods, reason = "the one place where Git is run")]
    pub(crate) fn new(name: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(name);
        // What Git says is looked into, and in another language a line of the remote's begins otherwise.
        command.env("LC_ALL", "C");
        Self { command, job: Job::default() }
    }

    /// Git, such that nothing stored beside the objects changes what they say: no replacements, no grafts, no
    /// commit-graph; and such that reading takes no locks and fetches nothing that a partial clone lacks.
    pub(crate) fn git(repository: RepositoryVariables) -> Self {
        let mut program = Self::new("git");
        if repository == RepositoryVariables::Dropped {
            for name in LOCAL_VARIABLES {
                program.command.env_remove(name);
            }
        }
        for name in OTHER_PATHSPECS {
            program.command.env_remove(name);
        }
        program
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_GRAFT_FILE", "/dev/null")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_PAGER", "cat")
            // Git warns that graft files are deprecated, even of an empty one.
            .args(["-c", "advice.graftFileDeprecated=false", "-c", "core.commitGraph=false"])
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub(crate) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable away.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Gives the child its standard input.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.job.input = Input::Bytes(input.into());
        self
    }

    /// Shows people what the child says while it runs (prompts for a touch), and lets it ask at our standard input.
    pub(crate) fn interactive(mut self) -> Self {
        self.job.audience = Audience::People;
        if matches!(self.job.input, Input::Nothing) {
            self.job.input = Input::Ours;
        }
        self
    }

    /// Kills the child, and all that it started, when it takes longer than this.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.job.limit = Some(limit);
        self
    }

    /// The command line, for messages.
    pub(crate) fn line(&self) -> String {
        let args = self.command.get_args().map(OsStr::to_string_lossy);
        // What every call has says nothing in a message.
        let noise = |arg: &str| arg == "advice.graftFileDeprecated=false" || arg == "core.commitGraph=false";
        let mut words = vec![self.command.get_program().to_string_lossy().into_owned()];
        for arg in args {
            if noise(&arg) {
                words.pop();
            } else {
                words.push(arg.into_owned());
            }
        }
        words.join(" ")
    }

    /// Starts a child, to be heard later.
    pub(crate) fn started(self) -> Result<Started, GitError> {
        let line = self.line();
        match process::start(self.command, self.job) {
            Ok(running) => Ok(Started { running, line }),
            Err(failure) => Err(failed(line, failure)),
        }
    }

    /// Runs the child to its end, whatever that is.
    pub(crate) fn output(self) -> Result<GitOutput, GitError> {
        self.started()?.output()
    }

    /// Runs the child, which must succeed; its standard output.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, GitError> {
        let line = self.line();
        let output = self.output()?;
        if output.status.success() { Ok(output.stdout) } else { Err(GitError::of_program(line, complaint(&output))) }
    }

    /// Runs the child, which must succeed; its standard output as text without the final line feed.
    pub(crate) fn text(self) -> Result<String, GitError> {
        let command = self.line();
        let mut text =
            String::from_utf8(self.bytes()?).map_err(|_| GitError::Answer { command, what: "not UTF-8".to_owned() })?;
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }

    /// Runs the child, which must succeed; the lines of its standard output that are UTF-8. For lists of names that anybody
    /// may have made: one of them must not hide the others.
    pub(crate) fn lines(self) -> Result<Vec<String>, GitError> {
        let bytes = self.bytes()?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines.filter_map(|line| String::from_utf8(line.to_vec()).ok()).collect())
    }

    /// Runs the child; whether it said yes (status 0) or no (1). Anything else is an error.
    pub(crate) fn says_yes(self) -> Result<bool, GitError> {
        let line = self.line();
        let output = self.output()?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(GitError::of_program(line, complaint(&output))),
        }
    }

    /// Starts a child whose standard output goes into a file.
    pub(crate) fn started_into(mut self, file: &File) -> Result<Started, GitError> {
        let theirs = file.try_clone().map_err(|error| GitError::io("sharing a temporary file", error))?;
        self.job.output = process::StdoutTo::File(theirs);
        self.started()
    }

    /// Starts a child that stays and reads its requests from a pipe or a file. What it complains of goes into a file,
    /// which never fills up as a pipe that nobody reads would.
    pub(crate) fn server(mut self, requests: impl Into<Stdio>) -> Result<(Child, Complaints), GitError> {
        let line = self.line();
        let file = super::scratch::file().map_err(|error| {
            let folder = std::env::temp_dir();
            GitError::io(format!("writing to the temporary folder {} (TMPDIR)", folder.display()), error)
        })?;
        let theirs = file.try_clone().map_err(|error| GitError::io("sharing a temporary file", error))?;
        self.command.stdin(requests).stdout(Stdio::piped()).stderr(theirs);
        let child = self.spawn_as(&line)?;
        Ok((child, Complaints { line, file }))
    }

    fn spawn_as(&mut self, line: &str) -> Result<Child, GitError> {
        self.command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                GitError::NoProgram(self.command.get_program().to_string_lossy().into_owned())
            }
            _ => GitError::io(format!("running `{line}`"), error),
        })
    }
}

/// A child that runs beside us. Dropped, it is ended.
#[derive(Debug)]
pub(crate) struct Started {
    running: Running,
    line: String,
}

impl Started {
    /// What the child said, once it has ended.
    pub(crate) fn output(self) -> Result<GitOutput, GitError> {
        let ended = self.running.finish().map_err(|failure| failed(self.line, failure))?;
        let stderr = String::from_utf8_lossy(&ended.stderr).trim_end().to_owned();
        Ok(GitOutput { status: ended.status, stdout: ended.stdout, stderr })
    }

    /// Waits for the child to end, which must be well.
    pub(crate) fn succeeded(self) -> Result<(), GitError> {
        let line = self.line.clone();
        let output = self.output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(GitError::Program { command: line, stderr: complaint(&output) })
        }
    }
}

/// Why a child was not heard.
fn failed(line: String, failure: ProgramFailure) -> GitError {
    match failure {
        ProgramFailure::NotFound => GitError::NoProgram(line.split(' ').next().unwrap_or_default().to_owned()),
        ProgramFailure::Io(error) => GitError::io(format!("running `{line}`"), error),
        ProgramFailure::TooLong(limit) => GitError::TimedOut { command: line, limit },
        other => GitError::of_program(line, other.to_string()),
    }
}

/// What a child that stays has said on its standard error.
#[derive(Debug)]
pub(crate) struct Complaints {
    line: String,
    file: File,
}

impl Complaints {
    /// The error that explains why the child fell silent.
    pub(crate) fn error(&mut self) -> GitError {
        let mut bytes = Vec::new();
        let read = self.file.rewind().and_then(|()| (&self.file).take(16 * 1024).read_to_end(&mut bytes));
        let stderr = match read {
            Ok(0) => "it exited without an error message".to_owned(),
            Ok(_) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
            Err(error) => error.to_string(),
        };
        GitError::Program { command: self.line.clone(), stderr }
    }
}

/// What a failed child said, or how it ended if it said nothing.
fn complaint(output: &GitOutput) -> String {
    if output.stderr.is_empty() { output.status.to_string() } else { output.stderr.clone() }
}

/// A path from bytes that Git printed.
pub(crate) fn path_from(bytes: Vec<u8>) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    OsString::from_vec(bytes).into()
}
