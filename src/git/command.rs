//! Child processes: one builder for all of them, so that all get the same environment.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
};

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

/// How much of what a child complains of is kept.
const MAX_HEARD: usize = 1024 * 1024;

/// What a child said and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A program about to be run.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    input: Option<Vec<u8>>,
    interactive: bool,
    limit: Option<Duration>,
    most: Option<usize>,
}

impl Program {
    /// A program by name, in a fixed locale.
    #[allow(clippy::disallowed_methods, reason = "the one place where programs are run")]
    pub(crate) fn new(name: &str) -> Self {
        let mut command = Command::new(name);
        command.env("LC_ALL", "C");
        Self { command, input: None, interactive: false, limit: None, most: None }
    }

    /// A program that an operator configured, with nothing of our environment but where the system's own programs are.
    #[allow(clippy::disallowed_methods, reason = "the one place where programs are run")]
    pub(crate) fn configured(path: &Path) -> Self {
        let mut command = Command::new(path);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
        Self { command, input: None, interactive: false, limit: None, most: None }
    }

    /// Git, such that nothing stored beside the objects changes what they say: no replacements, no grafts, no
    /// commit-graph; and such that reading takes no locks and fetches nothing that a partial clone lacks.
    pub(crate) fn git(inherit: bool) -> Self {
        let mut program = Self::new("git");
        if !inherit {
            for name in LOCAL_VARIABLES {
                program.command.env_remove(name);
            }
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

    /// Gives the child its standard input.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Shows people what the child says while it runs (prompts for a touch), and lets it ask at our standard input.
    pub(crate) fn interactive(mut self) -> Self {
        self.interactive = true;
        self
    }

    /// Kills the child, and all that it started, when it takes longer than this.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        // A group of its own: what Git starts (ssh, an HTTP helper) keeps our pipes open, so it must end too.
        self.command.process_group(0);
        self
    }

    /// Refuses more output than this.
    pub(crate) fn at_most(mut self, bytes: usize) -> Self {
        self.most = Some(bytes);
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

    /// Starts a child of which nothing is asked but what it says.
    pub(crate) fn started(mut self) -> Result<Started, GitError> {
        let line = self.line();
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Started { child: self.spawn_as(&line)?, line })
    }

    /// Runs the child to its end, whatever that is.
    pub(crate) fn output(mut self) -> Result<Output, GitError> {
        if self.input.is_none() && !self.interactive && self.limit.is_none() && self.most.is_none() {
            return self.started()?.output();
        }
        let line = self.line();
        let input = self.input.take();
        self.command.stdin(match (&input, self.interactive) {
            (Some(_), _) => Stdio::piped(),
            (None, true) => Stdio::inherit(),
            (None, false) => Stdio::null(),
        });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn_as(&line)?;
        let group = child.id();
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (show, limit, most) = (self.interactive, self.limit, self.most);
        let (stdout, stderr, status, killed) = std::thread::scope(|scope| {
            let (ended, end) = mpsc::channel::<()>();
            let watch = limit.map(|limit| scope.spawn(move || watch(&end, limit, group)));
            // Three pipes: each has its thread, so that a full one never holds up another.
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // A child that ends before it has read everything says why by its status.
                scope.spawn(move || stdin.write_all(&input).is_ok());
            }
            let stderr = scope.spawn(move || listen(stderr, show));
            let mut bytes = Vec::new();
            // A child that says more than anybody reads finds its pipe closed.
            let length = most.map_or(u64::MAX, |most| u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1));
            let read = stdout.map_or(Ok(0), |stdout| stdout.take(length).read_to_end(&mut bytes));
            let stderr = stderr.join().unwrap_or_default();
            // A child may close its pipes and go on: it is watched until it has ended.
            let status = child.wait();
            drop(ended);
            let killed = watch.is_some_and(|watch| watch.join().unwrap_or_default());
            (read.map(|_| bytes), stderr, status, killed)
        });
        let status = status.map_err(|error| GitError::io(format!("waiting for `{line}`"), error))?;
        let stdout = stdout.map_err(|error| GitError::io(format!("reading from `{line}`"), error))?;
        if let (true, Some(limit)) = (killed, limit) {
            return Err(GitError::TimedOut { command: line, limit });
        }
        if let Some(most) = most.filter(|most| stdout.len() > *most) {
            let stderr = format!("it said more than {most} bytes");
            return Err(GitError::Program { command: line, stderr });
        }
        let stderr = String::from_utf8_lossy(&stderr).trim_end().to_owned();
        Ok(Output { status, stdout, stderr })
    }

    /// Runs the child, which must succeed; its standard output.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, GitError> {
        let line = self.line();
        let output = self.output()?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(GitError::Program { command: line, stderr: said(&output) })
        }
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

    /// Runs the child; whether it said yes (status 0) or no (1). Anything else is an error.
    pub(crate) fn says_yes(self) -> Result<bool, GitError> {
        let line = self.line();
        let output = self.output()?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(GitError::Program { command: line, stderr: said(&output) }),
        }
    }

    /// Runs the child, which must succeed; its standard output goes into a file.
    pub(crate) fn into_file(mut self, file: &File) -> Result<(), GitError> {
        let line = self.line();
        let theirs = file.try_clone().map_err(|error| GitError::io("sharing a temporary file", error))?;
        self.command.stdin(Stdio::null()).stdout(theirs).stderr(Stdio::piped());
        let output = self.spawn_as(&line)?.wait_with_output();
        let output = output.map_err(|error| GitError::io(format!("waiting for `{line}`"), error))?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        let stderr = if stderr.is_empty() { output.status.to_string() } else { stderr };
        Err(GitError::Program { command: line, stderr })
    }

    /// Starts a child that stays and reads its requests from a pipe or a file. What it complains of goes into a file,
    /// which never fills up as a pipe that nobody reads would.
    pub(crate) fn server(mut self, requests: impl Into<Stdio>) -> Result<(Child, Complaints), GitError> {
        let line = self.line();
        let file = tempfile::tempfile().map_err(|error| GitError::io("making a temporary file", error))?;
        let theirs = file.try_clone().map_err(|error| GitError::io("sharing a temporary file", error))?;
        self.command.stdin(requests).stdout(Stdio::piped()).stderr(theirs);
        let child = self.spawn_as(&line)?;
        Ok((child, Complaints { line, file }))
    }

    fn spawn_as(&mut self, line: &str) -> Result<Child, GitError> {
        self.command.spawn().map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                GitError::NoProgram(self.command.get_program().to_string_lossy().into_owned())
            } else {
                GitError::io(format!("running `{line}`"), error)
            }
        })
    }
}

/// A child that runs beside us.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    line: String,
}

impl Drop for Started {
    /// A child that nobody wants to hear any more is not left behind. One that has ended is left in peace.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Started {
    /// What the child said, once it has ended.
    pub(crate) fn output(mut self) -> Result<Output, GitError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let read = match (self.child.stdout.take(), self.child.stderr.take()) {
            (Some(out), Some(err)) => read_both(out, err, &mut stdout, &mut stderr),
            _ => Ok(()),
        };
        // Whether it could be heard or not: with its pipes closed it ends, and then it is reaped.
        let status = self.child.wait();
        let failed = |error| GitError::io(format!("reading from `{}`", self.line), error);
        let status = read.and(status).map_err(failed)?;
        let stderr = String::from_utf8_lossy(&stderr).trim_end().to_owned();
        Ok(Output { status, stdout, stderr })
    }
}

/// Reads what a child says and what it complains of to their ends, each as it comes, so that a full pipe never holds up the
/// other. A thread for each would take longer than many a child.
fn read_both(mut out: ChildStdout, mut err: ChildStderr, said: &mut Vec<u8>, heard: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 16 * 1024];
    let (mut out_open, mut err_open) = (true, true);
    while out_open && err_open {
        let mut pipes = [PollFd::new(&out, PollFlags::IN), PollFd::new(&err, PollFlags::IN)];
        retry_on_intr(|| poll(&mut pipes, None))?;
        let [out_ready, err_ready] = pipes.map(|pipe| !pipe.revents().is_empty());
        if out_ready {
            let length = retry(|| out.read(&mut chunk))?;
            said.extend_from_slice(chunk.get(..length).unwrap_or_default());
            out_open = length > 0;
        }
        if err_ready {
            err_open = hear(&mut err, &mut chunk, heard)?;
        }
    }
    if out_open {
        out.read_to_end(said)?;
    }
    while err_open {
        err_open = hear(&mut err, &mut chunk, heard)?;
    }
    Ok(())
}

/// Reads some of what a child complains of. False if that was all.
fn hear(err: &mut ChildStderr, chunk: &mut [u8], heard: &mut Vec<u8>) -> io::Result<bool> {
    let length = retry(|| err.read(chunk))?;
    keep(heard, chunk.get(..length).unwrap_or_default());
    Ok(length > 0)
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Keeps what a child complains of, up to a limit.
fn keep(heard: &mut Vec<u8>, bytes: &[u8]) {
    if heard.len() < MAX_HEARD {
        heard.extend_from_slice(bytes);
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
            Ok(0) => "it ended without saying why".to_owned(),
            Ok(_) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
            Err(error) => error.to_string(),
        };
        GitError::Program { command: self.line.clone(), stderr }
    }
}

/// Waits for a child's pipes to close; kills its group when that takes too long, and says so.
fn watch(end: &mpsc::Receiver<()>, limit: Duration, group: u32) -> bool {
    // Nothing is ever sent: the channel closes when the child has ended.
    if end.recv_timeout(limit) != Err(mpsc::RecvTimeoutError::Timeout) {
        return false;
    }
    Program::new("kill").args(["-s", "KILL", "--"]).arg(format!("-{group}")).output().is_ok()
}

/// Collects what a child says, showing it as it comes if people should see it.
fn listen(from: Option<impl Read>, show: bool) -> Vec<u8> {
    let mut heard = Vec::new();
    let Some(mut from) = from else { return heard };
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        let bytes = chunk.get(..length).unwrap_or_default();
        keep(&mut heard, bytes);
        if show {
            // If nobody can see it, there is nobody to tell.
            let _ = std::io::stderr().write_all(bytes);
        }
    }
    heard
}

/// What a failed child said, or how it ended if it said nothing.
fn said(output: &Output) -> String {
    if output.stderr.is_empty() { output.status.to_string() } else { output.stderr.clone() }
}

/// A path from bytes that Git printed.
pub(crate) fn path_from(bytes: Vec<u8>) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(script: &str) -> Output {
        Program::new("sh").args(["-c", script]).output().unwrap()
    }

    #[test]
    fn a_child_that_nobody_hears_is_ended_and_reaped() {
        let started = Program::new("sh").args(["-c", "exec sleep 600"]).started().unwrap();
        let child = format!("/proc/{}", started.child.id());
        assert!(std::path::Path::new(&child).exists());
        drop(started);
        assert!(!std::path::Path::new(&child).exists());
    }

    #[test]
    fn a_child_is_heard_to_its_end_on_both_pipes_whichever_it_fills_first() {
        let (much, more) = ("head -c 3000000 /dev/zero", "head -c 5000000 /dev/zero");
        for script in [
            format!("{much} >&2; {more}"),
            format!("{more}; {much} >&2"),
            format!("{much} >&2 & {more}; wait"),
            format!("exec 2>&-; {more}"),
        ] {
            let output = output(&script);
            assert_eq!((output.stdout.len(), output.status.code()), (5_000_000, Some(0)), "{script}");
            assert!(output.stderr.len() < MAX_HEARD + 64 * 1024, "{script}");
        }
        let output = output("printf said; echo heard >&2; exec >&-; echo more >&2; exit 7");
        assert_eq!(output.stdout, b"said");
        assert_eq!((output.stderr.as_str(), output.status.code()), ("heard\nmore", Some(7)));
    }
}
