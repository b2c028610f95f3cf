//! The one reader of objects: a long-lived `git cat-file`, every answer hashed again.

use std::{
    collections::HashMap,
    fs::File,
    io,
    process::{ChildStdin, Stdio},
    thread,
};

use super::{
    GitError, Repository,
    cat_file::{Answers, Header, ReaderMode, Server},
    object::{Bytes, Object, ObjectKind, Unchecked},
    tree::{Node, Tree},
};
use crate::{
    ledger::Entry,
    model::{MAX_FILE_BYTES, Oid},
    signature::{CommitBytes, Links, ObjectFormat, parse_tag},
};

/// Requests that may be on their way at once. All of them fit into the smallest pipe that Linux makes (one page), so
/// that writing never waits for Git, which may itself be waiting for us to read.
const WINDOW: usize = 60;
/// Names below one folder that are looked at.
const MAX_NAMES: usize = 100_000;
/// Commits of more bytes are read once for their trees.
const LARGE: usize = 16 << 10;
/// Folders that are asked for at once before it is known how long they are.
const FIRST_WINDOW: usize = 8;

/// Reads objects. Each reader has its own child process, which goes on to the next reader.
#[derive(Debug)]
pub struct Objects {
    repository: Repository,
    contents: Option<Server>,
    /// Requests whose answers have not been taken yet.
    awaited: usize,
    /// Sizes are asked for separately, before a file of unknown size is read. Started when first needed.
    sizes: Option<Server>,
    /// The trees of large commits that have been asked for.
    trees: HashMap<Oid, Oid>,
}

impl Repository {
    /// A reader of this repository's objects.
    pub fn objects(&self) -> Result<Objects, GitError> {
        let contents = self.reader(ReaderMode::Contents)?;
        Ok(Objects {
            repository: self.clone(),
            contents: Some(contents),
            awaited: 0,
            sizes: None,
            trees: HashMap::new(),
        })
    }

    fn reader(&self, mode: ReaderMode) -> Result<Server, GitError> {
        self.idle().take(mode).map_or_else(|| self.idle().start(self.run(&["cat-file"]), mode), Ok)
    }

    /// A reader of a list of objects that is still to come.
    pub(super) fn awaiting_list(&self) -> Result<AwaitedList, GitError> {
        let program = self.run(&["cat-file", "--batch", "--buffer"]);
        let mut answers = Answers::of(program, Stdio::piped())?;
        Ok(AwaitedList { requests: answers.requests()?, answers })
    }
}

/// What will read a list of objects.
#[derive(Debug)]
pub(super) struct AwaitedList {
    requests: ChildStdin,
    answers: Answers,
}

impl AwaitedList {
    /// Reads the objects that a file lists, one id a line, from where the file stands.
    pub(super) fn read(self, mut list: File, count: usize) -> Result<ListReader, GitError> {
        let Self { mut requests, answers } = self;
        // If Git does not take them all, its answers end early.
        let feed = move || drop(io::copy(&mut list, &mut requests));
        let spawned = thread::Builder::new().name("list".to_owned()).spawn(feed);
        spawned.map_err(|error| GitError::io("starting a thread", error))?;
        Ok(ListReader { answers, left: count })
    }
}

/// Reads a list of objects to its end.
#[derive(Debug)]
pub(super) struct ListReader {
    answers: Answers,
    left: usize,
}

impl ListReader {
    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// The next object of the list.
    pub(super) fn next(&mut self) -> Option<Result<Unchecked, GitError>> {
        self.left = self.left.checked_sub(1)?;
        Some(self.answers.object(None))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let idle = self.repository.idle();
        // A reader whose answers are out of step must not be reused.
        if let Some(server) = self.contents.take().filter(|_| self.awaited == 0) {
            idle.keep(server);
        }
        if let Some(server) = self.sizes.take() {
            idle.keep(server);
        }
    }
}

impl Objects {
    /// The repository that is read.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Reads an object of any kind.
    pub fn read(&mut self, id: Oid) -> Result<Object, GitError> {
        self.request(&[id])?;
        self.answer(id)
    }

    fn request(&mut self, ids: &[Oid]) -> Result<(), GitError> {
        if self.contents.is_none() {
            self.contents = Some(self.repository.reader(ReaderMode::Contents)?);
        }
        self.awaited += ids.len();
        let asked = self.contents.as_mut().map_or(Ok(()), |contents| contents.request(ids));
        if asked.is_err() {
            // It has ended: another one has to be started.
            (self.contents, self.awaited) = (None, 0);
        }
        asked
    }

    /// Reads commits, keeping Git busy while we read.
    pub fn commits(&mut self, ids: &[Oid]) -> Result<Vec<CommitBytes>, GitError> {
        self.commits_as(ids, |_, raw| raw)
    }

    /// Reads commits, keeping of each only what is needed as it comes: some are large.
    pub fn commits_as<T>(
        &mut self,
        ids: &[Oid],
        mut keep: impl FnMut(Oid, CommitBytes) -> T,
    ) -> Result<Vec<T>, GitError> {
        let mut commits = Vec::with_capacity(ids.len());
        for window in ids.chunks(WINDOW) {
            let one = |id, object: Result<Object, GitError>| Ok(keep(id, object?.commit(id)?));
            for answer in self.window(window, one)? {
                commits.push(answer?);
            }
        }
        Ok(commits)
    }

    /// Asks for at most [`WINDOW`] objects at once. All answers are taken even if one is bad, so that the next request gets
    /// its own answer.
    fn window<T>(
        &mut self,
        ids: &[Oid],
        mut keep: impl FnMut(Oid, Result<Object, GitError>) -> T,
    ) -> Result<Vec<T>, GitError> {
        self.request(ids)?;
        Ok(ids.iter().map(|id| keep(*id, self.answer(*id))).collect())
    }

    /// Reads a commit.
    pub fn commit(&mut self, id: Oid) -> Result<CommitBytes, GitError> {
        self.read(id)?.commit(id)
    }

    /// Reads a commit's links.
    pub fn links(&mut self, id: Oid) -> Result<Links, GitError> {
        linked(id, &self.commit(id)?, self.repository.format())
    }

    /// Reads the links of each of some commits.
    pub(super) fn links_each(&mut self, ids: &[Oid]) -> Result<Vec<Result<Links, GitError>>, GitError> {
        let format = self.repository.format();
        let one = |id, object: Result<Object, GitError>| linked(id, &object?.commit(id)?, format);
        let mut links = Vec::with_capacity(ids.len());
        for window in ids.chunks(WINDOW) {
            links.extend(self.window(window, one)?);
        }
        Ok(links)
    }

    /// A commit's tree. A large commit is read for that once: it can be the parent of very many.
    pub(super) fn tree_of(&mut self, id: Oid) -> Result<Oid, GitError> {
        if let Some(tree) = self.trees.get(&id) {
            return Ok(*tree);
        }
        let raw = self.commit(id)?;
        let tree = linked(id, &raw, self.repository().format())?.tree;
        if !matches!(&raw, CommitBytes::Whole(bytes) if bytes.len() <= LARGE) {
            self.trees.insert(id, tree);
        }
        Ok(tree)
    }

    /// Reads an annotated tag.
    pub fn tag(&mut self, id: Oid) -> Result<Vec<u8>, GitError> {
        self.read(id)?.wanted(id, ObjectKind::Tag)
    }

    /// The same objects, with what tags are on in place of the tags.
    pub(super) fn peeled(&mut self, ids: &[Oid]) -> Result<Vec<Oid>, GitError> {
        let format = self.repository.format();
        let mut peel = |id: &Oid| match self.tag(*id) {
            Ok(tag) => Ok(parse_tag(&tag, format).ok().map(|tag| tag.object)),
            Err(GitError::WrongKind { .. }) => Ok(Some(*id)),
            Err(GitError::MissingObject(_)) => Ok(None),
            Err(error) => error.verdict().map(|_| None),
        };
        ids.iter().filter_map(|id| peel(id).transpose()).collect()
    }

    /// Reads a file's bytes, however it came by its id.
    pub fn blob(&mut self, id: Oid) -> Result<Vec<u8>, GitError> {
        self.read(id)?.wanted(id, ObjectKind::Blob)
    }

    /// The same, but none if it is too large to be held, or no file.
    pub fn blob_if_held(&mut self, id: Oid) -> Result<Option<Vec<u8>>, GitError> {
        match self.blob(id) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => error.verdict().map(|_| None),
        }
    }

    /// Reads a folder. None if the object is something else, is too large, or cannot be parsed: then it is no folder
    /// that anything could be in.
    pub(crate) fn tree(&mut self, id: Oid) -> Result<Option<Tree>, GitError> {
        let object = self.read(id);
        folder(object, self.repository.format())
    }

    /// Reads folders, until one comes that has more entries than are left of so many.
    pub(super) fn trees(&mut self, ids: &[Oid], most: usize) -> Result<HashMap<Oid, Option<Tree>>, GitError> {
        let format = self.repository.format();
        let (mut trees, mut left, mut longest) = (HashMap::new(), most, most / FIRST_WINDOW);
        let mut ids = ids;
        while left > 0 && !ids.is_empty() {
            // No more than there should be room for, by the longest one so far: what has no room is read in vain.
            let count = (left / longest.max(1)).clamp(1, WINDOW.min(ids.len()));
            let (window, rest) = ids.split_at(count);
            ids = rest;
            longest = longest.min(most / WINDOW);
            let keep = |id, object| {
                let tree = folder(object, format).ok()?;
                let length = tree.as_ref().map_or(0, Tree::len);
                longest = longest.max(length);
                let fits = left.checked_sub(length);
                left = fits.unwrap_or(0);
                fits.map(|_| (id, tree))
            };
            trees.extend(self.window(window, keep)?.into_iter().flatten());
        }
        Ok(trees)
    }

    /// Reads a lease or policy file, unless it is too large or no file.
    pub fn file(&mut self, id: Oid) -> Result<Entry, GitError> {
        let header = self.size(id)?;
        if header.kind != ObjectKind::Blob {
            self.confirm(id)?;
            return Ok(Entry::NotAFile);
        }
        if header.size > MAX_FILE_BYTES as u64 {
            return Ok(Entry::TooLarge);
        }
        Ok(Entry::Regular(self.blob(id)?.into()))
    }

    /// Reads those of some files that [`Self::file`] would read, until they have so many bytes together.
    pub(super) fn files(&mut self, ids: &[Oid], most: usize) -> Result<HashMap<Oid, Entry>, GitError> {
        let (mut files, mut left) = (HashMap::new(), most as u64);
        for window in ids.chunks(WINDOW) {
            let mut fitting = self.sizes(window)?;
            fitting.retain(|(_, header)| {
                let fits = header.kind == ObjectKind::Blob && header.size <= left.min(MAX_FILE_BYTES as u64);
                left -= if fits { header.size } else { 0 };
                fits
            });
            let ids: Vec<Oid> = fitting.into_iter().map(|(id, _)| id).collect();
            let regular = |id, object: Result<Object, GitError>| {
                let bytes = object.ok()?.wanted(id, ObjectKind::Blob).ok()?;
                Some((id, Entry::Regular(bytes.into())))
            };
            files.extend(self.window(&ids, regular)?.into_iter().flatten());
        }
        Ok(files)
    }

    /// Reads those of some objects that are files of at most so many bytes. All have to be here.
    pub(super) fn blobs_up_to(&mut self, ids: &[Oid], limit: usize) -> Result<HashMap<Oid, Vec<u8>>, GitError> {
        let mut blobs = HashMap::new();
        for window in ids.chunks(WINDOW) {
            let known: HashMap<Oid, Header> = self.sizes(window)?.into_iter().collect();
            let mut fitting = Vec::new();
            for id in window {
                let header = known.get(id).ok_or(GitError::MissingObject(*id))?;
                if header.kind == ObjectKind::Blob && header.size <= limit as u64 {
                    fitting.push(*id);
                }
            }
            for read in self.window(&fitting, |id, object| Ok((id, object?.wanted(id, ObjectKind::Blob)?)))? {
                let (id, bytes) = read?;
                blobs.insert(id, bytes);
            }
        }
        Ok(blobs)
    }

    /// The bytes of the regular file at a path of a commit's tree.
    pub fn file_at(&mut self, commit: Oid, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        match self.file_id_at(commit, path)? {
            Some(id) if self.kind(id)? == ObjectKind::Blob => self.blob(id).map(Some),
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

    /// The regular files in a folder of a commit's tree and below it, by path: so many as anybody has.
    pub fn files_below(&mut self, commit: Oid, path: &str) -> Result<Vec<(String, Oid)>, GitError> {
        let (mut files, mut looked_at) = (Vec::new(), 0);
        let mut folders = match self.node_at(commit, path)? {
            Node::Folder(folder) => vec![(path.to_owned(), folder)],
            _ => Vec::new(),
        };
        while let Some((path, folder)) = folders.pop() {
            let Some(tree) = self.tree(folder)? else { continue };
            for (name, node) in tree.iter() {
                looked_at += 1;
                if looked_at > MAX_NAMES {
                    break;
                }
                let Ok(name) = std::str::from_utf8(name) else { continue };
                match node {
                    Node::File(id) => files.push((format!("{path}/{name}"), id)),
                    Node::Folder(folder) => folders.push((format!("{path}/{name}"), folder)),
                    Node::Other | Node::Absent => {}
                }
            }
        }
        files.sort_unstable();
        Ok(files)
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
    pub fn kind(&mut self, id: Oid) -> Result<ObjectKind, GitError> {
        Ok(self.size(id)?.kind)
    }

    /// Whether an object is here, and a commit.
    pub(super) fn is_commit(&mut self, id: Oid) -> Result<bool, GitError> {
        match self.kind(id) {
            Ok(kind) => Ok(kind == ObjectKind::Commit),
            Err(GitError::MissingObject(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether an object is a file of at most some bytes.
    pub(crate) fn is_file_up_to(&mut self, id: Oid, limit: usize) -> Result<bool, GitError> {
        let header = self.size(id)?;
        Ok(header.kind == ObjectKind::Blob && header.size <= limit as u64)
    }

    /// Makes sure that an object is of the kind that it is said to be, which only its bytes prove: a store that holds
    /// something else under its id must end in no verdict, not in a wrong one.
    fn confirm(&mut self, id: Oid) -> Result<(), GitError> {
        self.read(id).map(drop)
    }

    /// Starts what will be asked for sizes, where it is known that they will be.
    pub(super) fn expect_sizes(&mut self) -> Result<(), GitError> {
        if self.sizes.is_none() {
            self.sizes = Some(self.repository.reader(ReaderMode::Sizes)?);
        }
        Ok(())
    }

    fn size(&mut self, id: Oid) -> Result<Header, GitError> {
        let known = self.sizes(&[id])?;
        known.into_iter().next().map(|(_, header)| header).ok_or(GitError::MissingObject(id))
    }

    /// Asks what at most [`WINDOW`] objects are; of those that are not there nothing is said.
    fn sizes(&mut self, ids: &[Oid]) -> Result<Vec<(Oid, Header)>, GitError> {
        // A reader that stops answering, or answers something else, is replaced.
        let mut sizes = self.sizes.take().map_or_else(|| self.repository.reader(ReaderMode::Sizes), Ok)?;
        sizes.request(ids)?;
        let mut known = Vec::with_capacity(ids.len());
        for id in ids {
            match sizes.answers().header(Some(*id)) {
                Ok(header) => known.push(header),
                Err(GitError::MissingObject(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.sizes = Some(sizes);
        Ok(known)
    }

    /// Reads the answer to a request for an object.
    fn answer(&mut self, id: Oid) -> Result<Object, GitError> {
        let Some(contents) = &mut self.contents else { return Err(GitError::MissingObject(id)) };
        let answer = contents.answers().object(Some(id));
        match answer {
            // It fell silent, or says something else: another one has to be started.
            Err(GitError::Program { .. } | GitError::Answer { .. } | GitError::Io { .. }) => {
                (self.contents, self.awaited) = (None, 0);
            }
            _ => self.awaited = self.awaited.saturating_sub(1),
        }
        answer?.checked(self.repository.format())
    }
}

/// A folder, unless it is something else. It has been read, and so hashed, whatever it is: a store that holds something
/// else under an id must end in no verdict.
fn folder(object: Result<Object, GitError>, format: ObjectFormat) -> Result<Option<Tree>, GitError> {
    Ok(match object? {
        Object { kind: ObjectKind::Tree, bytes: Bytes::Whole(bytes) } => Tree::parse(&bytes, format),
        _ => None,
    })
}

/// What a commit's bytes link it to.
pub(crate) fn linked(id: Oid, commit: &CommitBytes, format: ObjectFormat) -> Result<Links, GitError> {
    commit.links(format).map_err(|refusal| GitError::Malformed { id, why: refusal.message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        git::{
            command::{Program, RepositoryVariables},
            testing::{chain, empty, empty_as},
        },
        signature::Opened,
    };

    #[test]
    fn what_a_partial_clone_lacks_is_not_fetched() {
        let (folder, repository) = empty();
        let blob = repository.run(&["hash-object", "-w", "--stdin"]).input("file").text().unwrap();
        let id = Oid::parse(&blob).unwrap();
        let lacking = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        repository.run(&["config", "uploadpack.allowAnySHA1InWant", "true"]).bytes().unwrap();
        repository.run(&["config", "uploadpack.allowFilter", "true"]).bytes().unwrap();
        let partial = |name: &str| {
            let path = lacking.path().join(name);
            Program::git(RepositoryVariables::Dropped)
                .args(["clone", "--quiet", "--filter=blob:none", &url])
                .arg(&path)
                .bytes()
                .unwrap();
            Repository::open(&path).unwrap()
        };
        // Older versions of Git do not know the variable. There only the look at the configuration keeps such a clone from being
        // read.
        let asked = partial("asked").run(&["cat-file", "-p", &blob]).env("GIT_NO_LAZY_FETCH", "1").output().unwrap();
        let known = !asked.status.success();
        let clone = partial("read");
        assert_eq!(clone.objects().unwrap().read(id).is_err(), known);
        // It could have been: without that variable, Git fetches it.
        let fetching = clone.run(&["cat-file", "-p", &blob]).env("GIT_NO_LAZY_FETCH", "0");
        assert_eq!(fetching.text().unwrap(), "file");
        assert!(clone.objects().unwrap().read(id).is_ok());
    }

    #[test]
    fn one_that_was_killed_fails_once_and_another_takes_its_place() {
        let (_folder, repository) = empty();
        let id = chain(&repository, &[200])[0];
        let mut objects = repository.objects().unwrap();
        assert_eq!(objects.kind(id), Ok(ObjectKind::Commit));
        objects.contents.as_mut().unwrap().kill();
        objects.sizes.as_mut().unwrap().kill();
        assert!(matches!(objects.read(id), Err(GitError::Program { .. })));
        assert!(matches!(objects.kind(id), Err(GitError::Program { .. })));
        assert!(objects.read(id).is_ok());
        assert_eq!(objects.kind(id), Ok(ObjectKind::Commit));
    }

    #[test]
    fn what_is_too_large_to_be_held_is_hashed_and_read_all_the_same() {
        for format in ["sha1", "sha256"] {
            let (folder, repository) = empty_as(format);
            let write = |kind: &str, bytes: Vec<u8>| {
                let program = repository.run(&["hash-object", "-t", kind, "-w", "--stdin"]).input(bytes);
                Oid::parse(&program.text().unwrap()).unwrap()
            };
            let tree = write("tree", Vec::new());
            let who = "A <a@example> 12 +0000";
            let head = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n");
            let parent = write("commit", head.clone().into_bytes());
            let large = head.replacen('\n', &format!("\nparent {parent}\n"), 1) + &"x".repeat(3 << 20);
            let [commit, file] = [write("commit", large.into_bytes()), write("blob", vec![b'x'; (16 << 20) + 1])];
            let mut objects = repository.objects().unwrap();
            let links = objects.links(commit).unwrap();
            assert_eq!((links.parents, links.tree, links.committer_time), (vec![parent], tree, 12));
            assert_eq!(objects.open_one(commit), Ok(Opened::Ordinary { signature: None }));
            assert!(matches!(objects.blob(file), Err(GitError::TooLarge { .. })));
            assert!(matches!(objects.commit(file), Err(GitError::WrongKind { .. })));
            // Another one's bytes in its place.
            let path = |id: Oid| {
                let name = id.to_string();
                folder.path().join(".git/objects").join(&name[..2]).join(&name[2..])
            };
            let other = write("commit", (head + &"y".repeat(3 << 20)).into_bytes());
            std::fs::remove_file(path(commit)).unwrap();
            std::fs::copy(path(other), path(commit)).unwrap();
            assert_eq!(repository.objects().unwrap().read(commit), Err(GitError::Corrupt(commit)));
        }
    }

    #[test]
    fn a_reader_that_still_owes_an_answer_is_nobodys_next_reader() {
        let (_folder, repository) = empty();
        let id = chain(&repository, &[200])[0];
        for owes in [false, true] {
            let mut objects = repository.objects().unwrap();
            objects.request(&[id]).unwrap();
            if !owes {
                objects.answer(id).unwrap();
            }
            drop(objects);
            assert_eq!(repository.idle().take(ReaderMode::Contents).is_none(), owes);
        }
    }

    #[test]
    fn the_tree_of_a_large_commit_is_asked_for_once() {
        let (folder, repository) = empty();
        let [small, large] = chain(&repository, &[200, LARGE + 1])[..] else { panic!("two commits") };
        let mut objects = repository.objects().unwrap();
        let tree = objects.tree_of(large).unwrap();
        assert_eq!(objects.tree_of(small), Ok(tree));
        std::fs::rename(folder.path().join(".git/objects"), folder.path().join("elsewhere")).unwrap();
        std::fs::create_dir(folder.path().join(".git/objects")).unwrap();
        assert_eq!(objects.tree_of(large), Ok(tree));
        assert!(objects.tree_of(small).is_err());
    }
}
