//! The processes that objects are read by: `git cat-file`, asked one window of ids at a time, or given a list.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{Arc, Mutex},
};

use super::{
    GitError,
    command::{Complaints, Program},
    object::{ObjectKind, Passing, Unchecked},
};
use crate::model::Oid;

/// Readers of each mode that are kept when they have nothing to do.
const MAX_IDLE: usize = 1;
/// Uses of a reader after which a new one is started: it holds packs that it has read and that may be gone since.
const MAX_USES: u32 = 100;

/// What a reader is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderMode {
    /// Objects.
    Contents,
    /// What objects are and how large.
    Sizes,
}

impl ReaderMode {
    const fn option(self) -> &'static str {
        match self {
            Self::Contents => "--batch",
            Self::Sizes => "--batch-check",
        }
    }
}

/// Readers that have nothing to do, for the next who needs one: each is a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Idle(Arc<Mutex<ReaderPool>>);

#[derive(Debug, Default)]
struct ReaderPool {
    servers: Vec<Server>,
    /// How often what there is to be read was somewhere else from then on.
    edition: u32,
}

impl Idle {
    /// One that still runs, if there is one.
    pub(super) fn take(&self, mode: ReaderMode) -> Option<Server> {
        let servers = &mut self.0.lock().ok()?.servers;
        let at = servers.iter().position(|server| server.mode == mode)?;
        let mut server = servers.swap_remove(at);
        server.runs().then_some(server)
    }

    /// Keeps one that has answered all that it was asked, unless there are enough or it has served long.
    pub(super) fn keep(&self, mut server: Server) {
        server.uses += 1;
        if let Ok(mut pool) = self.0.lock()
            && server.uses < MAX_USES
            && server.edition == pool.edition
            && pool.servers.iter().filter(|other| other.mode == server.mode).count() < MAX_IDLE
        {
            pool.servers.push(server);
        }
    }

    /// Objects are somewhere else from now on: no reader that runs already is anybody's next one.
    pub(super) fn renew(&self) {
        if let Ok(mut pool) = self.0.lock() {
            pool.edition += 1;
            pool.servers.clear();
        }
    }

    /// Starts one: `cat_file` is Git, still without the option that says what it is asked for.
    pub(super) fn start(&self, cat_file: Program, mode: ReaderMode) -> Result<Server, GitError> {
        let edition = self.0.lock().map_or(0, |pool| pool.edition);
        let mut answers = Answers::of(cat_file.arg(mode.option()), Stdio::piped())?;
        let requests = answers.requests()?;
        Ok(Server { mode, edition, uses: 0, requests, answers })
    }
}

/// A `git cat-file` that is asked.
#[derive(Debug)]
pub(super) struct Server {
    mode: ReaderMode,
    /// What it knows of where objects are.
    edition: u32,
    /// Who has been done with it.
    uses: u32,
    requests: ChildStdin,
    answers: Answers,
}

impl Server {
    /// Whether it has not ended: a process that stays can be killed by somebody else.
    fn runs(&mut self) -> bool {
        matches!(self.answers.child.try_wait(), Ok(None))
    }

    /// Kills it, as somebody else may.
    #[cfg(test)]
    pub(super) fn kill(&mut self) {
        self.answers.child.kill().unwrap();
        self.answers.child.wait().unwrap();
    }

    /// Asks for objects, whose answers must all be taken.
    pub(super) fn request(&mut self, ids: &[Oid]) -> Result<(), GitError> {
        let mut lines = Vec::with_capacity(ids.len() * 65);
        for id in ids {
            lines.extend_from_slice(id.to_string().as_bytes());
            lines.push(b'\n');
        }
        self.requests.write_all(&lines).map_err(|_| self.answers.complaints.error())
    }

    /// What it answers.
    pub(super) fn answers(&mut self) -> &mut Answers {
        &mut self.answers
    }
}

/// What a `git cat-file` answers until it is dropped.
#[derive(Debug)]
pub(super) struct Answers {
    child: Child,
    stdout: BufReader<ChildStdout>,
    complaints: Complaints,
}

impl Answers {
    /// Of a program that reads its requests from somewhere.
    pub(super) fn of(program: Program, requests: impl Into<Stdio>) -> Result<Self, GitError> {
        let (mut child, complaints) = program.server(requests)?;
        let stdout = child.stdout.take().ok_or_else(no_pipes)?;
        Ok(Self { child, stdout: BufReader::with_capacity(64 * 1024, stdout), complaints })
    }

    /// Where its requests go, if to a pipe.
    pub(super) fn requests(&mut self) -> Result<ChildStdin, GitError> {
        self.child.stdin.take().ok_or_else(no_pipes)
    }

    /// Reads an object: the one that was asked for, or the next of a list.
    pub(super) fn object(&mut self, wanted: Option<Oid>) -> Result<Unchecked, GitError> {
        let (id, Header { kind, size }) = self.header(wanted)?;
        if size > kind.limit() {
            self.pass(Passing::new(id, kind, size), size)
        } else {
            Ok(Unchecked::whole(id, kind, self.body(size)?))
        }
    }

    fn line(&mut self) -> Result<String, GitError> {
        let mut line = String::new();
        match (&mut self.stdout).take(1024).read_line(&mut line) {
            Ok(1..) => Ok(line),
            Ok(0) | Err(_) => Err(self.complaints.error()),
        }
    }

    /// Reads what an object is, likewise.
    pub(super) fn header(&mut self, wanted: Option<Oid>) -> Result<(Oid, Header), GitError> {
        read_header(&self.line()?, wanted)
    }

    /// Reads an object's bytes and the line feed after them.
    fn body(&mut self, size: u64) -> Result<Vec<u8>, GitError> {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        let read = (&mut self.stdout).take(size + 1).read_to_end(&mut bytes);
        if read.is_ok() && bytes.len() as u64 == size + 1 && bytes.pop() == Some(b'\n') {
            Ok(bytes)
        } else {
            Err(self.complaints.error())
        }
    }

    /// Reads an object that is too large to be held, and the line feed after it.
    fn pass(&mut self, mut passing: Passing, mut left: u64) -> Result<Unchecked, GitError> {
        while left > 0 {
            let bytes = match self.stdout.fill_buf() {
                Ok([]) | Err(_) => return Err(self.complaints.error()),
                Ok(bytes) => bytes,
            };
            let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            passing.read(bytes.get(..length).unwrap_or_default());
            self.stdout.consume(length);
            left -= length as u64;
        }
        self.body(0).map(|_| passing.end())
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // It may have ended already; either way it is reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A header line of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: ObjectKind,
    /// In bytes.
    pub(super) size: u64,
}

/// Reads `<id> <kind> <size>`.
fn read_header(line: &str, wanted: Option<Oid>) -> Result<(Oid, Header), GitError> {
    let mut words = line.split_ascii_whitespace();
    let id = words.next().and_then(Oid::parse).filter(|id| wanted.is_none_or(|wanted| wanted == *id));
    let kind = words.next().unwrap_or_default();
    if let (Some(id), "missing") = (id, kind) {
        return Err(GitError::MissingObject(id));
    }
    let size = words.next().and_then(|size| size.parse().ok());
    match (id, ObjectKind::parse(kind), size) {
        (Some(id), Some(kind), Some(size)) => Ok((id, Header { kind, size })),
        _ => Err(GitError::Answer { command: "git cat-file".to_owned(), what: line.trim_end().to_owned() }),
    }
}

fn no_pipes() -> GitError {
    GitError::Answer { command: "git cat-file".to_owned(), what: "no pipes".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::empty;

    #[test]
    fn a_reader_goes_on_to_the_next_who_wants_its_mode_unless_it_has_ended_or_served_long() {
        let (_folder, repository) = empty();
        let idle = Idle::default();
        let new = || repository.idle().start(repository.run(&["cat-file"]), ReaderMode::Sizes).unwrap();
        idle.keep(new());
        assert!(idle.take(ReaderMode::Contents).is_none());
        let mut kept = idle.take(ReaderMode::Sizes).unwrap();
        assert!(idle.take(ReaderMode::Sizes).is_none());
        // What is not there is an answer too.
        let id = repository.zero();
        kept.request(&[id]).unwrap();
        assert_eq!(kept.answers().header(Some(id)).unwrap_err(), GitError::MissingObject(id));
        idle.keep(kept);
        // There are enough.
        idle.keep(new());
        assert!(idle.take(ReaderMode::Sizes).is_some() && idle.take(ReaderMode::Sizes).is_none());

        let mut ended = new();
        ended.kill();
        idle.keep(ended);
        assert!(idle.take(ReaderMode::Sizes).is_none());

        idle.keep(new());
        let served = std::iter::from_fn(|| idle.take(ReaderMode::Sizes).map(|server| idle.keep(server))).count();
        assert_eq!(served, usize::try_from(MAX_USES).unwrap() - 1);
    }

    #[test]
    fn an_answer_is_about_what_was_asked_for_or_none() {
        let [one, other] = [Oid::Sha1([1; 20]), Oid::Sha1([2; 20])];
        let line = |rest: &str| format!("{one} {rest}\n");
        let header = Header { kind: ObjectKind::Blob, size: 12 };
        assert_eq!(read_header(&line("blob 12"), Some(one)).unwrap(), (one, header));
        assert_eq!(read_header(&line("missing"), Some(one)), Err(GitError::MissingObject(one)));
        for (text, wanted) in [
            (line("blob 12"), other),
            (line("missing"), other),
            (line("blob"), one),
            (line("blob -1"), one),
            (line("blobs 12"), one),
            (String::new(), one),
        ] {
            assert!(matches!(read_header(&text, Some(wanted)), Err(GitError::Answer { .. })), "{text}");
        }
    }
}
