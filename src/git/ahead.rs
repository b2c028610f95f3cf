//! Commits of a first-parent chain, read and opened ahead of their turn.
//!
//! Verifying signatures takes longer than all the rest, so it is what all processors do: one thread reads, as many as
//! there are processors open, and the chain's order is that of the queue in which the results are awaited. Two
//! thousand commits are on their way at any time, however long the chain is: with fewer, processors wait for each other.

use std::{
    collections::VecDeque,
    fs::File,
    io::{Seek as _, SeekFrom},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use super::{
    GitError, Repository,
    object::Unchecked,
    objects::Listed,
    steps::{OpenedCommit, linked, opened},
};
use crate::{
    model::Oid,
    signature::{Links, ObjectFormat, open_commits},
};

/// Commits that are opened at a time by one thread.
const CHUNK: usize = 64;
/// Chunks on their way.
const CHUNKS: usize = 32;
/// Commits that are larger are opened as they come, and chunks end where they hold so many bytes.
pub(super) const MAX_HELD: usize = 1 << 20;

/// By what the chain's ids are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Git's commit-graph where there is one. Nobody checks that against the objects, so the chain may turn out to be
    /// another one.
    Graph,
    /// The commits themselves.
    Objects,
}

type Opening = Vec<Result<OpenedCommit, GitError>>;

/// A commit on its way.
enum Held {
    Raw(Unchecked),
    Done(Result<OpenedCommit, GitError>),
}

/// A chunk with the place that its result is awaited at.
type Work = (Vec<Held>, SyncSender<Opening>);

/// The commits after a base up to a tip, oldest first.
#[derive(Debug)]
pub(super) struct Ahead {
    chunks: Receiver<Receiver<Opening>>,
    opened: VecDeque<Result<OpenedCommit, GitError>>,
    left: usize,
}

impl Ahead {
    /// Begins to read.
    pub(super) fn start(repository: &Repository, base: Oid, tip: Oid, naming: Naming) -> Result<Self, GitError> {
        let (list, count) = repository.chain(base, tip, naming)?;
        let listed = repository.listed(list, count)?;
        let format = repository.format();
        let (ordered, chunks) = sync_channel(CHUNKS);
        let (work, waiting) = sync_channel::<Work>(CHUNKS);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let waiting = Arc::clone(&waiting);
            spawn("open", move || open_all(&waiting, format))?;
        }
        spawn("read", move || read_all(listed, format, &work, &ordered))?;
        Ok(Self { chunks, opened: VecDeque::new(), left: count })
    }

    /// How many commits are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Those of the next commits that have been awaited already.
    pub(super) fn at_hand(&self) -> impl Iterator<Item = &OpenedCommit> {
        self.opened.iter().map_while(|commit| commit.as_ref().ok())
    }

    /// The next commit.
    pub(super) fn next(&mut self) -> Option<Result<OpenedCommit, GitError>> {
        self.left = self.left.checked_sub(1)?;
        if self.opened.is_empty() {
            // A thread that ended without a result must not look like an end of the chain.
            let chunk = self.chunks.recv().and_then(|chunk| chunk.recv());
            match chunk {
                Ok(chunk) => self.opened = chunk.into(),
                Err(_) => return Some(Err(fault("a thread that reads commits ended before they did"))),
            }
        }
        let none = || Err(fault("fewer commits were opened than read"));
        Some(self.opened.pop_front().unwrap_or_else(none))
    }
}

impl Repository {
    /// The ids of a chain, oldest first, in a file, and how many there are.
    fn chain(&self, base: Oid, tip: Oid, naming: Naming) -> Result<(File, usize), GitError> {
        let failed = |error| GitError::io("listing the ledger's commits in a temporary file", error);
        let mut file = tempfile::tempfile().map_err(failed)?;
        let program = match naming {
            Naming::Graph => self.git().args(["-c", "core.commitGraph=true"]),
            Naming::Objects => self.git(),
        };
        let range = [tip.to_string(), format!("^{base}")];
        program.args(["rev-list", "--first-parent", "--reverse"]).args(range).into_file(&file)?;
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.rewind().map_err(failed)?;
        // An id's digits and a line feed.
        let line = tip.as_bytes().len() * 2 + 1;
        Ok((file, usize::try_from(length).unwrap_or(usize::MAX) / line))
    }
}

/// Reads the list to its end, or until nobody wants it any more.
fn read_all(
    mut listed: Listed,
    format: ObjectFormat,
    work: &SyncSender<Work>,
    ordered: &SyncSender<Receiver<Opening>>,
) {
    let mut ended = false;
    while !ended {
        let (mut chunk, mut held) = (Vec::with_capacity(CHUNK), 0);
        while chunk.len() < CHUNK && held < MAX_HELD && !ended {
            match listed.next() {
                Some(Ok(raw)) if raw.len() > MAX_HELD => chunk.push(Held::Done(open(raw, format))),
                Some(Ok(raw)) => {
                    held += raw.len();
                    chunk.push(Held::Raw(raw));
                }
                Some(Err(error)) => {
                    chunk.push(Held::Done(Err(error)));
                    ended = true;
                }
                None => ended = true,
            }
        }
        let (done, awaited) = sync_channel(1);
        if ordered.send(awaited).is_err() || work.send((chunk, done)).is_err() {
            return;
        }
    }
}

/// Opens chunks as they come.
fn open_all(waiting: &Mutex<Receiver<Work>>, format: ObjectFormat) {
    loop {
        let Ok(work) = waiting.lock().map(|waiting| waiting.recv()) else { return };
        let Ok((chunk, done)) = work else { return };
        // Nobody waits for it any more when the steps were dropped.
        let _ = done.send(open_chunk(chunk, format));
    }
}

/// Opens a chunk, whose signatures are checked together.
fn open_chunk(chunk: Vec<Held>, format: ObjectFormat) -> Opening {
    let mut raw = Vec::with_capacity(chunk.len());
    let mut read = |held| match held {
        Held::Raw(one) => {
            let (id, bytes) = one.commit(format)?;
            let links = linked(id, &bytes)?;
            raw.push(bytes);
            Ok(Half::Linked(id, links))
        }
        Held::Done(opened) => opened.map(Half::Opened),
    };
    let halves: Vec<Result<Half, GitError>> = chunk.into_iter().map(&mut read).collect();
    let mut opened = open_commits(&raw, format).into_iter();
    let mut whole = |half| match half {
        Half::Linked(id, links) => {
            let opened = opened.next().ok_or_else(|| fault("fewer commits were opened than read"))?;
            Ok(OpenedCommit { id, links, opened })
        }
        Half::Opened(commit) => Ok(commit),
    };
    halves.into_iter().map(|half| half.and_then(&mut whole)).collect()
}

/// A commit of which it is known what it is linked to, if not more.
enum Half {
    Linked(Oid, Links),
    Opened(OpenedCommit),
}

fn open(raw: Unchecked, format: ObjectFormat) -> Result<OpenedCommit, GitError> {
    let (id, bytes) = raw.commit(format)?;
    opened(id, &bytes, format)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), GitError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| GitError::io("starting a thread", error))
}

fn fault(what: &str) -> GitError {
    GitError::Io { doing: "reading the ledger".to_owned(), error: what.to_owned() }
}
