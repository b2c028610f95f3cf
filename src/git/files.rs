//! Changed files: which policy and lease entries differ between two trees. Equal trees are never read.
//!
//! A commit that takes up trees from before again is a few bytes for whoever sends it. So what was found out about trees,
//! about pairs of folders and about files is kept and not found out again, as far as there is room; and a step that changes
//! more than there is a limit for changes none of it, which is found out by looking at as much as that.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use super::{
    GitError, Objects,
    cache::Cache,
    prepared::Prepared,
    tree::{Node, Tree},
};
use crate::{
    ledger::Entry,
    model::{MAX_STEP_BYTES, MAX_STEP_NAMES, Oid},
};

/// Folders below `leases/` that are looked into.
pub(super) const MAX_DEPTH: u8 = 16;
/// Entries of folders that are kept at hand, each folder counting as some more.
const MAX_ENTRIES: usize = 400_000;
const A_FOLDER: usize = 64;
/// Trees whose places are kept.
const MAX_PLACES: usize = 16_384;
/// Differences between folders that are kept, each pair of folders counting as some more.
const MAX_DIFFERENCES: usize = 200_000;
const A_PAIR: usize = 4;
/// Bytes of files that are kept with what they say, each file counting as some more. Reading what a file says takes longer
/// than all else about it.
const MAX_KEPT: usize = 32 << 20;
const A_FILE: usize = 256;
/// Files of up to so many bytes are kept from the second time on that they are met: there may be a million that never are.
const SMALL: usize = 4096;

/// What one step may change below `leases/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StepLimit {
    /// Names that differ, those of folders with all that comes or goes with them.
    names: usize,
    /// Bytes of the files that come.
    bytes: usize,
}

/// Of any step but the root's.
const STEP: StepLimit = StepLimit { names: MAX_STEP_NAMES, bytes: MAX_STEP_BYTES };
/// The root is pinned by hand, and there is one.
const ROOT: StepLimit = StepLimit { names: 100_000, bytes: 256 << 20 };

/// The two places of a tree that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Places {
    policy: Node,
    leases: LeasesEntry,
}

/// What stands at `leases`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeasesEntry {
    Absent,
    Folder(Oid),
    NotAFolder,
}

const NOTHING: Places = Places { policy: Node::Absent, leases: LeasesEntry::Absent };

/// What changed: the policy entry if it did, and the lease entries that did, sorted by path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) policy: Option<Entry>,
    pub(super) leases: Vec<(String, Entry)>,
}

/// A changed entry before its file has been read.
#[derive(Clone, Copy)]
enum Changed {
    Node(Node),
    TooDeep,
}

/// Why changes are not looked at to their end.
enum ScanEnd {
    /// There are more than one step may have.
    TooMuch,
    Git(GitError),
}

impl From<GitError> for ScanEnd {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

/// Compares trees, remembering what it read.
#[derive(Debug)]
pub(super) struct Files {
    folders: Folders,
    places: Cache<Oid, Places>,
    pairs: Cache<Pair, Arc<Differences>>,
    at_hand: FilesAtHand,
    prepared: Prepared,
}

/// Folders by their ids; none for what is no folder that can be read.
pub(super) type Folders = Cache<Oid, Option<Arc<Tree>>>;

/// Folders at one path of two trees.
type Pair = [Option<Oid>; 2];

/// What differs between two folders.
#[derive(Debug)]
struct Differences {
    /// What is at the folders' own path, if either is no folder that can be read.
    itself: Option<Node>,
    /// The names whose entries differ, with both, sorted.
    names: Vec<(Box<[u8]>, Node, Node)>,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            folders: Cache::new(MAX_ENTRIES),
            places: Cache::new(MAX_PLACES),
            pairs: Cache::new(MAX_DIFFERENCES),
            at_hand: FilesAtHand::default(),
            prepared: Prepared::default(),
        }
    }
}

impl Files {
    /// Reads what comparing each of these first-parent commits' trees with the next will ask for.
    pub(super) fn prepare(&mut self, objects: &mut Objects, trees: &[Oid]) {
        self.prepared = Prepared::default();
        // Whatever could not be read now is asked for again by whoever needs it, who says what is wrong with it.
        let _ = self.prepared.read(objects, &self.folders, &self.at_hand.kept, trees);
    }

    /// What differs between two first-parent commits' trees; `before` is none for the root.
    pub(super) fn changes(
        &mut self,
        objects: &mut Objects,
        before: Option<Oid>,
        after: Oid,
    ) -> Result<Changes, GitError> {
        if before == Some(after) {
            return Ok(Changes::default());
        }
        let (old, limit) = match before {
            Some(tree) => (self.places(objects, tree)?, STEP),
            None => (NOTHING, ROOT),
        };
        let new = self.places(objects, after)?;
        let policy = if old.policy == new.policy { None } else { Some(self.reader(objects).entry(new.policy)?) };
        let leases = match self.leases(objects, old.leases, new.leases, limit) {
            Ok(leases) => leases,
            Err(ScanEnd::TooMuch) => vec![("leases".to_owned(), Entry::TooMuch)],
            Err(ScanEnd::Git(error)) => return Err(error),
        };
        Ok(Changes { policy, leases })
    }

    fn reader<'a>(&'a mut self, objects: &'a mut Objects) -> FileReader<'a> {
        FileReader { objects, prepared: &mut self.prepared, at_hand: &mut self.at_hand }
    }

    /// Looks up the two places of a tree.
    fn places(&mut self, objects: &mut Objects, tree: Oid) -> Result<Places, GitError> {
        if let Some(places) = self.places.get(&tree) {
            return Ok(*places);
        }
        let places = match self.folder(objects, tree)? {
            None => Places { policy: Node::Other, leases: LeasesEntry::NotAFolder },
            Some(root) => Places {
                policy: self.policy(objects, root.get(b".two-key"))?,
                leases: self.leases_place(objects, root.get(b"leases"))?,
            },
        };
        self.places.insert(tree, places, 1);
        Ok(places)
    }

    fn policy(&mut self, objects: &mut Objects, place: Node) -> Result<Node, GitError> {
        Ok(match place {
            Node::Absent => Node::Absent,
            Node::File(_) | Node::Other => Node::Other,
            Node::Folder(folder) => match self.folder(objects, folder)? {
                None => Node::Other,
                Some(folder) => match folder.get(b"policy.yaml") {
                    Node::Folder(_) => Node::Other,
                    node => node,
                },
            },
        })
    }

    fn leases_place(&mut self, objects: &mut Objects, place: Node) -> Result<LeasesEntry, GitError> {
        Ok(match place {
            Node::Absent => LeasesEntry::Absent,
            Node::File(_) | Node::Other => LeasesEntry::NotAFolder,
            Node::Folder(folder) if self.folder(objects, folder)?.is_none() => LeasesEntry::NotAFolder,
            Node::Folder(folder) => LeasesEntry::Folder(folder),
        })
    }

    /// The entries below `leases/` that differ, read.
    fn leases(
        &mut self,
        objects: &mut Objects,
        old: LeasesEntry,
        new: LeasesEntry,
        limit: StepLimit,
    ) -> Result<Vec<(String, Entry)>, ScanEnd> {
        if old == new {
            return Ok(Vec::new());
        }
        let folder = |leases| match leases {
            LeasesEntry::Folder(folder) => Some(folder),
            LeasesEntry::Absent | LeasesEntry::NotAFolder => None,
        };
        let mut changed = Vec::new();
        let mut comparison = LeaseDiff { files: self, objects, changed: &mut changed, limit, left: limit.names };
        comparison.compare("leases", [folder(old), folder(new)], 1)?;
        let itself = match (old, new) {
            (_, LeasesEntry::NotAFolder) => Some(Node::Other),
            (LeasesEntry::NotAFolder, _) => Some(Node::Absent),
            _ => None,
        };
        changed.extend(itself.map(|itself| ("leases".to_owned(), Changed::Node(itself))));
        changed.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (mut reader, mut left) = (self.reader(objects), limit.bytes);
        let read = |(path, changed)| {
            let entry = match changed {
                Changed::Node(node) => reader.entry(node)?,
                Changed::TooDeep => Entry::TooDeep,
            };
            if let Entry::Regular(file) = &entry {
                left = left.checked_sub(file.len()).ok_or(ScanEnd::TooMuch)?;
            }
            Ok((path, entry))
        };
        changed.into_iter().map(read).collect()
    }

    /// What differs between two folders, as far as a step may change it.
    fn differences(
        &mut self,
        objects: &mut Objects,
        pair: Pair,
        limit: StepLimit,
    ) -> Result<Arc<Differences>, GitError> {
        // What is kept ends where the limit of a step does.
        if limit == STEP
            && let Some(known) = self.pairs.get(&pair)
        {
            return Ok(Arc::clone(known));
        }
        let [old, new] = pair;
        let mut read = |folder: Option<Oid>| folder.map(|folder| self.folder(objects, folder)).transpose();
        let [old, new] = [read(old)?, read(new)?];
        let itself = match (&old, &new) {
            (Some(None), Some(None)) => None,
            (_, Some(None)) => Some(Node::Other),
            (Some(None), _) => Some(Node::Absent),
            _ => None,
        };
        let [old, new] = [old, new].map(|folder| folder.flatten().unwrap_or_default());
        let names = old.differences(&new).map(|(name, old, new)| (name.into(), old, new)).take(limit.names + 1);
        let found = Arc::new(Differences { itself, names: names.collect() });
        if limit == STEP {
            self.pairs.insert(pair, Arc::clone(&found), found.names.len() + A_PAIR);
        }
        Ok(found)
    }

    /// Reads a folder, or finds it at hand.
    fn folder(&mut self, objects: &mut Objects, id: Oid) -> Result<Option<Arc<Tree>>, GitError> {
        if let Some(folder) = self.folders.get(&id) {
            return Ok(folder.clone());
        }
        let folder = match self.prepared.folders.remove(&id) {
            Some(folder) => folder,
            None => objects.tree(id)?.map(Arc::new),
        };
        let entries = folder.as_ref().map_or(0, |folder| folder.len());
        self.folders.insert(id, folder.clone(), entries + A_FOLDER);
        Ok(folder)
    }
}

/// A comparison of two trees' leases.
struct LeaseDiff<'a> {
    files: &'a mut Files,
    objects: &'a mut Objects,
    changed: &'a mut Vec<(String, Changed)>,
    limit: StepLimit,
    /// How many more names may differ.
    left: usize,
}

impl LeaseDiff<'_> {
    /// Compares two folders, entry by entry; the depth is bounded, so recursion is too.
    fn compare(&mut self, path: &str, pair: Pair, depth: u8) -> Result<(), ScanEnd> {
        let [old, new] = pair;
        if old == new {
            return Ok(());
        }
        let found = self.files.differences(self.objects, pair, self.limit)?;
        self.changed.extend(found.itself.map(|itself| (path.to_owned(), Changed::Node(itself))));
        for (name, old, new) in &found.names {
            self.left = self.left.checked_sub(1).ok_or(ScanEnd::TooMuch)?;
            let [before, after] = [*old, *new].map(|node| place(name, node, depth));
            if before == after {
                continue;
            }
            let path = [path, "/", &spell(name)].concat();
            let below = [before, after].map(LeasePath::below);
            self.compare(&path, below, depth + 1)?;
            match (before, after) {
                (_, LeasePath::Lease(_)) if std::str::from_utf8(name).is_err() => {
                    self.changed.push((path, Changed::Node(Node::Other)));
                }
                (_, LeasePath::Lease(node)) => self.changed.push((path, Changed::Node(node))),
                (_, LeasePath::TooDeep) => self.changed.push((path, Changed::TooDeep)),
                (LeasePath::Lease(_) | LeasePath::TooDeep, _) => self.changed.push((path, Changed::Node(Node::Absent))),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a name below `leases/` is to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeasePath {
    Nothing,
    /// A place where a lease file is or should be, or something in which nobody could name one.
    Lease(Node),
    /// A folder in which there may be lease files.
    Below(Oid),
    /// A folder that lies too deep.
    TooDeep,
}

impl LeasePath {
    /// The folder in which there may be lease files.
    pub(super) fn below(self) -> Option<Oid> {
        match self {
            Self::Below(folder) => Some(folder),
            Self::Nothing | Self::Lease(_) | Self::TooDeep => None,
        }
    }
}

/// What a name in a folder at some depth, `leases` having depth 1, is to the ledger.
pub(super) fn place(name: &[u8], node: Node, depth: u8) -> LeasePath {
    match node {
        Node::Absent => LeasePath::Nothing,
        Node::Folder(_) if name.ends_with(b".yaml") => LeasePath::Lease(Node::Other),
        _ if name.ends_with(b".yaml") => LeasePath::Lease(node),
        // No path can spell what is in it.
        Node::Folder(_) if std::str::from_utf8(name).is_err() => LeasePath::Lease(Node::Other),
        Node::Folder(folder) if depth < MAX_DEPTH => LeasePath::Below(folder),
        Node::Folder(_) => LeasePath::TooDeep,
        Node::File(_) | Node::Other => LeasePath::Nothing,
    }
}

/// A name as text; bytes that are not UTF-8 are spelled out.
fn spell(name: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(name).map_or_else(|_| name.escape_ascii().to_string().into(), Cow::from)
}

/// Files that have been read, as far as they are kept.
#[derive(Debug)]
struct FilesAtHand {
    kept: Cache<Oid, Entry>,
    /// The beginnings of the ids of small files that have been met.
    met: HashSet<u64>,
}

impl Default for FilesAtHand {
    fn default() -> Self {
        Self { kept: Cache::new(MAX_KEPT), met: HashSet::new() }
    }
}

impl FilesAtHand {
    /// Takes note of a file that has been read, and keeps it if it has to be. What is no file that can be read may be
    /// as large as it likes, and may take as long to find out.
    fn keep(&mut self, id: Oid, entry: &Entry) {
        let length = if let Entry::Regular(file) = entry { Some(file.len()) } else { None };
        let beginning = id.as_bytes().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
        if length.is_some_and(|length| length <= SMALL) && self.met.insert(beginning) {
            return;
        }
        self.kept.offer(id, entry.clone(), length.unwrap_or_default() + A_FILE);
    }
}

/// Reads files, or finds them at hand.
struct FileReader<'a> {
    objects: &'a mut Objects,
    prepared: &'a mut Prepared,
    at_hand: &'a mut FilesAtHand,
}

impl FileReader<'_> {
    fn entry(&mut self, node: Node) -> Result<Entry, GitError> {
        let id = match node {
            Node::Absent => return Ok(Entry::Absent),
            Node::Folder(_) | Node::Other => return Ok(Entry::NotAFile),
            Node::File(id) => id,
        };
        if let Some(entry) = self.at_hand.kept.get(&id) {
            return Ok(entry.clone());
        }
        let prepared = self.prepared.files.remove(&id);
        let entry = prepared.map_or_else(|| self.objects.file(id), Ok)?;
        self.at_hand.keep(id, &entry);
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::empty;

    #[test]
    fn trees_that_take_turns_are_read_no_more_once_they_are_known() {
        let (folder, repository) = empty();
        let large = |letter: u8| vec![letter; SMALL + 1];
        let tree = |policy: &[u8], one: &[u8], other: &[u8]| {
            let files = [
                (".two-key/policy.yaml", Some(policy)),
                ("leases/1.yaml", Some(one)),
                ("leases/2/2.yaml", Some(other)),
            ];
            repository.with_files(None, &files).unwrap()
        };
        let trees = [tree(b"policy 1", &large(b'a'), b"one"), tree(b"policy 2", &large(b'b'), b"other")];
        let mut objects = repository.objects().unwrap();
        let mut files = Files::default();
        let mut turn = |at: usize| {
            let [before, after] = [trees[at % 2], trees[(at + 1) % 2]];
            files.prepare(&mut objects, &[before, after]);
            files.changes(&mut objects, Some(before), after).unwrap()
        };
        let known = [turn(0), turn(1)];
        // Small files are kept from the second time on.
        assert_eq!([turn(2), turn(3)], known);
        std::fs::rename(folder.path().join(".git/objects"), folder.path().join("elsewhere")).unwrap();
        std::fs::create_dir(folder.path().join(".git/objects")).unwrap();
        let place = |changes: &Changes| match &changes.leases[0].1 {
            Entry::Regular(file) => file.as_ptr(),
            entry => panic!("{entry:?}"),
        };
        for at in 4..100 {
            let changes = turn(at);
            assert_eq!(changes, known[at % 2]);
            assert_eq!(changes.leases.len(), 2);
            // The large one has been read once.
            assert_eq!(place(&changes), place(&known[at % 2]));
        }
    }

    #[test]
    fn a_small_file_is_kept_once_it_comes_again_and_what_is_no_file_at_once() {
        let id = |number: u8| Oid::from_bytes(&[number; 20]).unwrap();
        let mut at_hand = FilesAtHand::default();
        let small = Entry::Regular(vec![0; SMALL].into());
        at_hand.keep(id(1), &small);
        assert!(!at_hand.kept.contains(&id(1)));
        at_hand.keep(id(1), &small);
        at_hand.keep(id(2), &Entry::Regular(vec![0; SMALL + 1].into()));
        at_hand.keep(id(3), &Entry::NotAFile);
        at_hand.keep(id(4), &Entry::TooLarge);
        assert!((1..=4).all(|number| at_hand.kept.contains(&id(number))));
    }
}
