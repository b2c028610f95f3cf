//! Commits of a first-parent chain, read and opened ahead of their turn.
//!
//! Verifying signatures takes longer than all the rest, so it is what all processors do: one thread reads, as many as
//! there are processors open, and the chain's order is that of the queue in which the results are awaited. Two
//! thousand commits are on their way at any time, however long the chain is: with fewer, processors wait for each other.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use super::{
    GitError, Repository,
    command::Started,
    object::Unchecked,
    objects::{AwaitedList, ListReader, linked},
    opened::OpenedCommit,
};
use crate::{
    model::Oid,
    signature::{Links, MAX_HELD, ObjectFormat, open_commits},
};

/// Commits that are opened at a time by one thread: so many, or as many as there are in [`MAX_HELD`] bytes.
const CHUNK: usize = 64;
/// Chunks on their way.
const CHUNKS: usize = 32;

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

/// A chunk, and where its result goes.
type Work = (Vec<Result<Unchecked, GitError>>, SyncSender<Opening>);

/// The commits after a base up to a tip, oldest first.
#[derive(Debug)]
pub(super) struct Ahead {
    chunks: Receiver<Receiver<Opening>>,
    opened: VecDeque<Result<OpenedCommit, GitError>>,
    left: usize,
}

/// A chain that is being listed, oldest first. Dropped, that ends.
#[derive(Debug)]
pub(super) struct Listing {
    base: Oid,
    tip: Oid,
    naming: Naming,
    list: File,
    git: Started,
    /// Started meanwhile: what will read the commits.
    reader: AwaitedList,
}

impl Listing {
    /// Has Git begin.
    pub(super) fn start(repository: &Repository, base: Oid, tip: Oid, naming: Naming) -> Result<Self, GitError> {
        let list = super::scratch::file().map_err(unlisted)?;
        let program = match naming {
            // Off in every other call. What it names here is checked link by link.
            Naming::Graph => repository.git().args(["-c", "core.commitGraph=true"]),
            Naming::Objects => repository.git(),
        };
        let range = [tip.to_string(), format!("^{base}")];
        let git = program.args(["rev-list", "--first-parent", "--reverse"]).args(range).started_into(&list)?;
        Ok(Self { base, tip, naming, list, git, reader: repository.awaiting_list()? })
    }

    /// The commits, once they are listed.
    fn listed(self, repository: &Repository) -> Result<ListReader, GitError> {
        let Self { base, tip, naming, mut list, git, reader } = self;
        match git.succeeded() {
            // Where Git cannot read on, we read ourselves: either we can, or we say what is wrong with which commit.
            Err(GitError::Program { .. }) if naming == Naming::Objects => {
                let chain = repository.chain_back(tip, Some(base))?;
                let lines = chain.iter().rev().map(|id| format!("{id}\n")).collect::<Vec<_>>().concat();
                list.set_len(0)
                    .and_then(|()| list.rewind())
                    .and_then(|()| list.write_all(lines.as_bytes()))
                    .map_err(unlisted)?;
            }
            listed => listed?,
        }
        let length = list.seek(SeekFrom::End(0)).map_err(unlisted)?;
        list.rewind().map_err(unlisted)?;
        // An id's digits and a line feed.
        let line = tip.as_bytes().len() * 2 + 1;
        reader.read(list, usize::try_from(length).unwrap_or(usize::MAX) / line)
    }
}

fn unlisted(error: io::Error) -> GitError {
    GitError::io("listing the ledger's commits in a temporary file", error)
}

impl Ahead {
    /// Begins to read.
    pub(super) fn start(repository: &Repository, listing: Listing) -> Result<Self, GitError> {
        let listed = listing.listed(repository)?;
        let (count, format) = (listed.left(), repository.format());
        let (ordered, chunks) = sync_channel(CHUNKS);
        let (work, waiting) = sync_channel::<Work>(CHUNKS);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let waiting = Arc::clone(&waiting);
            spawn("open", move || open_all(&waiting, format))?;
        }
        spawn("read", move || read_all(listed, &work, &ordered))?;
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

/// Reads the list to its end, or until nobody wants it any more.
fn read_all(mut listed: ListReader, work: &SyncSender<Work>, ordered: &SyncSender<Receiver<Opening>>) {
    let mut ended = false;
    while !ended {
        let (mut chunk, mut held) = (Vec::with_capacity(CHUNK), 0);
        while chunk.len() < CHUNK && held < MAX_HELD && !ended {
            match listed.next() {
                Some(raw) => {
                    held += raw.as_ref().map_or(0, Unchecked::len);
                    ended = raw.is_err();
                    chunk.push(raw);
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
fn open_chunk(chunk: Vec<Result<Unchecked, GitError>>, format: ObjectFormat) -> Opening {
    let mut commits = Vec::with_capacity(chunk.len());
    let mut read = |raw: Result<Unchecked, GitError>| -> Result<(Oid, Links), GitError> {
        let (id, commit) = raw?.commit(format)?;
        let links = linked(id, &commit, format)?;
        commits.push(commit);
        Ok((id, links))
    };
    let read: Vec<_> = chunk.into_iter().map(&mut read).collect();
    let mut opened = open_commits(&commits, format).into_iter();
    let mut whole = |(id, links)| {
        let opened = opened.next().ok_or_else(|| fault("fewer commits were opened than read"))?;
        Ok(OpenedCommit { id, links, opened })
    };
    read.into_iter().map(|read| read.and_then(&mut whole)).collect()
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), GitError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| GitError::io("starting a thread", error))
}

fn fault(what: &str) -> GitError {
    GitError::Io { doing: "reading the ledger".to_owned(), error: what.to_owned() }
}
