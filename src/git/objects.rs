//! The one reader of objects: a long-lived `git cat-file`, every answer hashed again.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout},
    sync::Arc,
};

use super::{
    GitError, Repository,
    command::Complaints,
    tree::{Node, Tree},
};
use crate::{
    ledger::Entry,
    model::{MAX_FILE_BYTES, Oid},
    signature::{
        ObjectFormat,
        commit::{Links, links},
    },
};

/// Requests that may be on their way at once. All of them fit into the smallest pipe that Linux makes (one page), so
/// that writing never waits for Git, which may itself be waiting for us to read.
const WINDOW: usize = 60;

/// The largest commit that is held. Git holds commits in memory too; what is larger no forge takes.
const MAX_COMMIT: u64 = 256 << 20;
/// The largest tag that is read.
const MAX_TAG: u64 = 1 << 20;
/// The largest tree that is read.
const MAX_TREE: u64 = 64 << 20;
/// The largest other file that is read, such as a note or an applier's record.
const MAX_BLOB: u64 = 16 << 20;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A commit.
    Commit,
    /// A folder.
    Tree,
    /// A file's bytes.
    Blob,
    /// An annotated tag.
    Tag,
}

impl Kind {
    /// Git's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Commit, Self::Tree, Self::Blob, Self::Tag].into_iter().find(|kind| kind.name() == name)
    }

    const fn limit(self) -> u64 {
        match self {
            Self::Commit => MAX_COMMIT,
            Self::Tree => MAX_TREE,
            Self::Blob => MAX_BLOB,
            Self::Tag => MAX_TAG,
        }
    }
}

/// An object whose bytes have its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its bytes, without Git's own header.
    pub bytes: Vec<u8>,
}

/// A header line of an answer.
struct Header {
    kind: Kind,
    size: u64,
}

/// Reads objects. Each reader has its own child process, which ends with it.
#[derive(Debug)]
pub struct Objects {
    repository: Repository,
    contents: Server,
    /// Sizes are asked for separately, before a file of unknown size is read. Started when first needed.
    sizes: Option<Server>,
}

impl Repository {
    /// A reader of this repository's objects.
    pub fn objects(&self) -> Result<Objects, GitError> {
        let contents = Server::start(self, "--batch")?;
        Ok(Objects { repository: self.clone(), contents, sizes: None })
    }
}

impl Objects {
    /// The repository that is read.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Reads an object of any kind.
    pub fn read(&mut self, id: Oid) -> Result<Object, GitError> {
        self.contents.request(&[id])?;
        self.answer(id)
    }

    /// Reads commits, keeping Git busy while we read.
    pub fn commits(&mut self, ids: &[Oid]) -> Result<Vec<Vec<u8>>, GitError> {
        self.commits_as(ids, |_, raw| raw)
    }

    /// Reads commits, keeping of each only what is needed as it comes: some are large.
    pub fn commits_as<T>(&mut self, ids: &[Oid], mut keep: impl FnMut(Oid, Vec<u8>) -> T) -> Result<Vec<T>, GitError> {
        let mut commits = Vec::with_capacity(ids.len());
        for window in ids.chunks(WINDOW) {
            self.contents.request(window)?;
            // All answers are taken even if one is bad, so that the next request gets its own answer.
            let mut one = |id: Oid| Ok(keep(id, wanted(id, self.answer(id)?, Kind::Commit)?));
            let answers: Vec<_> = window.iter().map(|id| one(*id)).collect();
            for answer in answers {
                commits.push(answer?);
            }
        }
        Ok(commits)
    }

    /// Reads a commit.
    pub fn commit(&mut self, id: Oid) -> Result<Vec<u8>, GitError> {
        let object = self.read(id)?;
        wanted(id, object, Kind::Commit)
    }

    /// Reads a commit's links.
    pub fn links(&mut self, id: Oid) -> Result<Links, GitError> {
        links(&self.commit(id)?).map_err(|_| GitError::Corrupt(id))
    }

    /// Reads an annotated tag.
    pub fn tag(&mut self, id: Oid) -> Result<Vec<u8>, GitError> {
        let object = self.read(id)?;
        wanted(id, object, Kind::Tag)
    }

    /// Reads a file's bytes, however it came by its id.
    pub fn blob(&mut self, id: Oid) -> Result<Vec<u8>, GitError> {
        let object = self.read(id)?;
        wanted(id, object, Kind::Blob)
    }

    /// Reads a folder. None if the object is something else, is too large, or cannot be parsed: then it is no folder
    /// that anything could be in.
    pub(crate) fn tree(&mut self, id: Oid) -> Result<Option<Tree>, GitError> {
        let header = self.size(id)?;
        if header.kind != Kind::Tree || header.size > MAX_TREE {
            self.confirm(id, &header)?;
            return Ok(None);
        }
        let object = self.read(id)?;
        Ok(Tree::parse(&object.bytes, self.repository.format()))
    }

    /// Reads a lease or policy file, unless it is too large or no file.
    pub fn file(&mut self, id: Oid) -> Result<Entry, GitError> {
        let header = self.size(id)?;
        if header.kind != Kind::Blob {
            self.confirm(id, &header)?;
            return Ok(Entry::NotAFile);
        }
        if header.size > MAX_FILE_BYTES as u64 {
            return Ok(Entry::TooLarge);
        }
        Ok(Entry::Regular(Arc::from(self.blob(id)?)))
    }

    /// The bytes of the regular file at a path of a commit's tree.
    pub fn file_at(&mut self, commit: Oid, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        match self.file_id_at(commit, path)? {
            Some(id) if self.kind(id)? == Kind::Blob => self.blob(id).map(Some),
            _ => Ok(None),
        }
    }

    /// The id of the regular file at a path of a commit's tree.
    pub fn file_id_at(&mut self, commit: Oid, path: &str) -> Result<Option<Oid>, GitError> {
        Ok(match self.node_at(commit, path)? {
            Node::File(id) => Some(id),
            _ => None,
        })
    }

    /// The regular files directly in a folder of a commit's tree, sorted by name.
    pub fn files_in(&mut self, commit: Oid, path: &str) -> Result<Vec<(String, Oid)>, GitError> {
        let Node::Folder(folder) = self.node_at(commit, path)? else { return Ok(Vec::new()) };
        let tree = self.tree(folder)?.unwrap_or_default();
        let files = tree.iter().filter_map(|(name, node)| match (std::str::from_utf8(name), node) {
            (Ok(name), Node::File(id)) => Some((name.to_owned(), id)),
            _ => None,
        });
        Ok(files.collect())
    }

    fn node_at(&mut self, commit: Oid, path: &str) -> Result<Node, GitError> {
        let mut node = Node::Folder(self.links(commit)?.tree);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Node::Folder(folder) = node else { return Ok(Node::Absent) };
            node = self.tree(folder)?.map_or(Node::Absent, |tree| tree.get(name.as_bytes()));
        }
        Ok(node)
    }

    /// Asks what an object is, without reading it.
    pub fn kind(&mut self, id: Oid) -> Result<Kind, GitError> {
        Ok(self.size(id)?.kind)
    }

    /// Whether an object is a file of at most some bytes.
    pub(crate) fn is_file_up_to(&mut self, id: Oid, limit: usize) -> Result<bool, GitError> {
        let header = self.size(id)?;
        Ok(header.kind == Kind::Blob && header.size <= limit as u64)
    }

    /// Makes sure that an object is of the kind that it is said to be, which only its bytes prove: a store that holds
    /// something else under its id must end in no verdict, not in a wrong one. What is too large to be read is believed.
    fn confirm(&mut self, id: Oid, header: &Header) -> Result<(), GitError> {
        if header.size <= header.kind.limit() {
            self.read(id)?;
        }
        Ok(())
    }

    fn size(&mut self, id: Oid) -> Result<Header, GitError> {
        let sizes = match &mut self.sizes {
            Some(sizes) => sizes,
            none => none.insert(Server::start(&self.repository, "--batch-check")?),
        };
        sizes.request(&[id])?;
        sizes.header(id)
    }

    /// Reads the answer to a request for an object.
    fn answer(&mut self, id: Oid) -> Result<Object, GitError> {
        let header = self.contents.header(id)?;
        let limit = header.kind.limit();
        if header.size > limit {
            self.contents.skip(header.size)?;
            let what = format!("{} {id} of {} bytes", header.kind.name(), header.size);
            return Err(GitError::TooLarge { what, limit: format!("{limit} bytes") });
        }
        let bytes = self.contents.body(header.size)?;
        self.check(id, header.kind, &bytes)?;
        Ok(Object { kind: header.kind, bytes })
    }

    /// Hashes an object again. For SHA-1 the hash detects collisions, and is none that it detects.
    fn check(&self, id: Oid, kind: Kind, bytes: &[u8]) -> Result<(), GitError> {
        let format = match self.repository.format() {
            ObjectFormat::Sha1 => git2::ObjectFormat::Sha1,
            ObjectFormat::Sha256 => git2::ObjectFormat::Sha256,
        };
        let kind = match kind {
            Kind::Commit => git2::ObjectType::Commit,
            Kind::Tree => git2::ObjectType::Tree,
            Kind::Blob => git2::ObjectType::Blob,
            Kind::Tag => git2::ObjectType::Tag,
        };
        match git2::Oid::hash_object_ext(kind, bytes, format) {
            Ok(hash) if hash.as_bytes() == id.as_bytes() => Ok(()),
            _ => Err(GitError::Corrupt(id)),
        }
    }
}

/// The bytes of an object that must be of a kind.
fn wanted(id: Oid, object: Object, kind: Kind) -> Result<Vec<u8>, GitError> {
    if object.kind == kind {
        Ok(object.bytes)
    } else {
        Err(GitError::WrongKind { id, wanted: kind.name(), found: object.kind.name() })
    }
}

/// A `git cat-file` that answers until it is dropped.
#[derive(Debug)]
struct Server {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    complaints: Complaints,
}

impl Server {
    fn start(repository: &Repository, mode: &str) -> Result<Self, GitError> {
        let program = repository.run(&["cat-file", mode]);
        let command = program.line();
        let (mut child, complaints) = program.server()?;
        let (Some(requests), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(GitError::Answer { command, what: "no pipes".to_owned() });
        };
        Ok(Self { child, requests, answers: BufReader::with_capacity(64 * 1024, stdout), complaints })
    }

    fn request(&mut self, ids: &[Oid]) -> Result<(), GitError> {
        let mut lines = Vec::with_capacity(ids.len() * 65);
        for id in ids {
            lines.extend_from_slice(id.to_string().as_bytes());
            lines.push(b'\n');
        }
        self.requests.write_all(&lines).map_err(|_| self.complaints.error())
    }

    /// Reads `<id> <kind> <size>`.
    fn header(&mut self, id: Oid) -> Result<Header, GitError> {
        let mut line = String::new();
        match (&mut self.answers).take(1024).read_line(&mut line) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(self.complaints.error()),
        }
        let mut words = line.split_ascii_whitespace();
        let same = words.next() == Some(&id.to_string());
        let kind = words.next().unwrap_or_default();
        if same && kind == "missing" {
            return Err(GitError::MissingObject(id));
        }
        let size = words.next().and_then(|size| size.parse().ok());
        match (same, Kind::parse(kind), size) {
            (true, Some(kind), Some(size)) => Ok(Header { kind, size }),
            _ => Err(GitError::Answer { command: "git cat-file".to_owned(), what: line.trim_end().to_owned() }),
        }
    }

    /// Reads an object's bytes and the line feed after them.
    fn body(&mut self, size: u64) -> Result<Vec<u8>, GitError> {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        let read = (&mut self.answers).take(size + 1).read_to_end(&mut bytes);
        if read.is_ok() && bytes.len() as u64 == size + 1 && bytes.pop() == Some(b'\n') {
            Ok(bytes)
        } else {
            Err(self.complaints.error())
        }
    }

    fn skip(&mut self, size: u64) -> Result<(), GitError> {
        match std::io::copy(&mut (&mut self.answers).take(size + 1), &mut std::io::sink()) {
            Ok(skipped) if skipped == size + 1 => Ok(()),
            _ => Err(self.complaints.error()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; either way it is reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
