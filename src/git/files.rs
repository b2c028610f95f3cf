//! Which policy and lease entries differ between two trees. Equal trees are never read.
//!
//! A commit that takes up trees from before again is a few bytes for whoever sends it. So what was found out about trees,
//! about pairs of folders and about files is kept and not found out again, as far as there is room.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    GitError, Objects,
    prepared::Prepared,
    tree::{Node, Tree},
};
use crate::{
    ledger::Entry,
    model::{MAX_FILE_BYTES, Oid},
};

/// Folders below `leases/` that are looked into.
pub(super) const MAX_DEPTH: u8 = 16;
/// Names that one tree may have below `leases/`, of whatever they are. A tree with more is read as if `leases` were one
/// file that is too large. Folders can be shared between folders, so a small push can spell out any number of paths.
const MAX_ENTRIES: u32 = 100_000;
/// Bytes of files that one step may bring; files after these are too large.
const MAX_STEP_BYTES: usize = 256 << 20;
/// Folders kept at hand, and how many entries they may have together: one folder can have a million.
const MAX_CACHED: usize = 1024;
const MAX_CACHED_ENTRIES: usize = 400_000;
/// Trees whose places are kept, and pairs of folders whose differences are, with how many these may be together.
const MAX_PLACES: usize = 16_384;
const MAX_PAIRS: usize = 4096;
const MAX_DIFFERENCES: usize = 200_000;
/// Bytes of files that are kept with what they say. Reading what a file says takes longer than all else about it.
const MAX_KEPT: usize = 32 << 20;
/// Files of up to so many bytes are kept from the second time on that they are met: there may be a million that never are.
const SMALL: usize = 4096;

/// The two places of a tree that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Places {
    policy: Node,
    leases: Leases,
}

/// What stands at `leases`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leases {
    Absent,
    Folder(Oid),
    NotAFolder,
    TooMany,
}

const NOTHING: Places = Places { policy: Node::Absent, leases: Leases::Absent };

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
    TooLarge,
}

/// Compares trees, remembering what it read.
#[derive(Debug, Default)]
pub(super) struct Files {
    folders: HashMap<Oid, Option<Arc<Tree>>>,
    /// How many entries the folders at hand have.
    cached: usize,
    counts: HashMap<(Oid, u8), u32>,
    places: HashMap<Oid, Places>,
    pairs: HashMap<[Oid; 2], Arc<Differences>>,
    /// How many differences these are.
    differences: usize,
    at_hand: FilesAtHand,
    prepared: Prepared,
}

/// The names whose entries differ between two folders, sorted, with both.
type Differences = Vec<(Box<[u8]>, Node, Node)>;

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
        let old = match before {
            Some(tree) => self.places(objects, tree)?,
            None => NOTHING,
        };
        let new = self.places(objects, after)?;
        let mut changed = Vec::new();
        if old.leases != new.leases {
            self.leases(objects, old.leases, new.leases, &mut changed)?;
        }
        changed.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut reader = FileReader {
            objects,
            prepared: &mut self.prepared.files,
            at_hand: &mut self.at_hand,
            read: HashMap::new(),
            left: MAX_STEP_BYTES,
        };
        let policy = if old.policy == new.policy { None } else { Some(reader.entry(new.policy)?) };
        let read = |(path, changed)| {
            let entry = match changed {
                Changed::Node(node) => reader.entry(node)?,
                Changed::TooLarge => Entry::TooLarge,
            };
            Ok((path, entry))
        };
        let leases = changed.into_iter().map(read).collect::<Result<_, GitError>>()?;
        Ok(Changes { policy, leases })
    }

    /// Looks up the two places of a tree.
    fn places(&mut self, objects: &mut Objects, tree: Oid) -> Result<Places, GitError> {
        if let Some(places) = self.places.get(&tree) {
            return Ok(*places);
        }
        let places = match self.folder(objects, tree)? {
            None => Places { policy: Node::Other, leases: Leases::NotAFolder },
            Some(root) => Places {
                policy: self.policy(objects, root.get(b".two-key"))?,
                leases: self.leases_place(objects, root.get(b"leases"))?,
            },
        };
        if self.places.len() >= MAX_PLACES {
            self.places.clear();
        }
        self.places.insert(tree, places);
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

    fn leases_place(&mut self, objects: &mut Objects, place: Node) -> Result<Leases, GitError> {
        Ok(match place {
            Node::Absent => Leases::Absent,
            Node::File(_) | Node::Other => Leases::NotAFolder,
            Node::Folder(folder) if self.folder(objects, folder)?.is_none() => Leases::NotAFolder,
            Node::Folder(folder) if self.count(objects, folder, 1)? > MAX_ENTRIES => Leases::TooMany,
            Node::Folder(folder) => Leases::Folder(folder),
        })
    }

    /// How many names a folder has, with those below it; counting ends where they are too many. Each distinct folder
    /// is counted once, however many paths lead to it.
    fn count(&mut self, objects: &mut Objects, folder: Oid, depth: u8) -> Result<u32, GitError> {
        if let Some(count) = self.counts.get(&(folder, depth)) {
            return Ok(*count);
        }
        let mut count: u32 = 0;
        if let Some(tree) = self.folder(objects, folder)? {
            for (name, node) in tree.iter() {
                let below = match place(name, node, depth) {
                    Place::Nothing | Place::Lease(_) => 0,
                    Place::Below(folder) => self.count(objects, folder, depth + 1)?,
                };
                count = count.saturating_add(1).saturating_add(below);
                if count > MAX_ENTRIES {
                    break;
                }
            }
        }
        self.counts.insert((folder, depth), count);
        Ok(count)
    }

    fn leases(
        &mut self,
        objects: &mut Objects,
        old: Leases,
        new: Leases,
        changed: &mut Vec<(String, Changed)>,
    ) -> Result<(), GitError> {
        let folder = |leases| match leases {
            Leases::Folder(folder) => Some(folder),
            Leases::Absent | Leases::NotAFolder | Leases::TooMany => None,
        };
        self.compare(objects, "leases", [folder(old), folder(new)], 1, changed)?;
        let itself = match (old, new) {
            (_, Leases::NotAFolder) => Some(Changed::Node(Node::Other)),
            (_, Leases::TooMany) => Some(Changed::TooLarge),
            (Leases::NotAFolder | Leases::TooMany, _) => Some(Changed::Node(Node::Absent)),
            _ => None,
        };
        changed.extend(itself.map(|itself| ("leases".to_owned(), itself)));
        Ok(())
    }

    /// Compares two folders, entry by entry; the depth is bounded, so recursion is too.
    fn compare(
        &mut self,
        objects: &mut Objects,
        path: &str,
        folders: [Option<Oid>; 2],
        depth: u8,
        changed: &mut Vec<(String, Changed)>,
    ) -> Result<(), GitError> {
        let [old, new] = folders;
        if old == new {
            return Ok(());
        }
        for (name, old, new) in self.differences(objects, old, new)?.iter() {
            let [before, after] = [*old, *new].map(|node| place(name, node, depth));
            if before == after {
                continue;
            }
            let path = format!("{path}/{}", spell(name));
            let below = [before, after].map(|place| match place {
                Place::Below(folder) => Some(folder),
                Place::Nothing | Place::Lease(_) => None,
            });
            self.compare(objects, &path, below, depth + 1, changed)?;
            match (before, after) {
                (_, Place::Lease(_)) if std::str::from_utf8(name).is_err() => {
                    changed.push((path, Changed::Node(Node::Other)));
                }
                (_, Place::Lease(node)) => changed.push((path, Changed::Node(node))),
                (Place::Lease(_), _) => changed.push((path, Changed::Node(Node::Absent))),
                _ => {}
            }
        }
        Ok(())
    }

    /// What differs between two folders.
    fn differences(
        &mut self,
        objects: &mut Objects,
        old: Option<Oid>,
        new: Option<Oid>,
    ) -> Result<Arc<Differences>, GitError> {
        let pair = if let (Some(old), Some(new)) = (old, new) { Some([old, new]) } else { None };
        if let Some(known) = pair.and_then(|pair| self.pairs.get(&pair)) {
            return Ok(Arc::clone(known));
        }
        let mut read = |folder: Option<Oid>| match folder {
            Some(folder) => self.folder(objects, folder),
            None => Ok(None),
        };
        let [old, new] = [read(old)?.unwrap_or_default(), read(new)?.unwrap_or_default()];
        let differences = old.differences(&new).into_iter().map(|(name, old, new)| (name.into(), old, new));
        let differences: Arc<Differences> = Arc::new(differences.collect());
        if let Some(pair) = pair {
            if self.pairs.len() >= MAX_PAIRS || self.differences + differences.len() > MAX_DIFFERENCES {
                self.pairs.clear();
                self.differences = 0;
            }
            self.differences += differences.len();
            self.pairs.insert(pair, Arc::clone(&differences));
        }
        Ok(differences)
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
        if self.folders.len() >= MAX_CACHED || self.cached + entries > MAX_CACHED_ENTRIES {
            self.folders.clear();
            self.cached = 0;
        }
        self.cached += entries;
        self.folders.insert(id, folder.clone());
        Ok(folder)
    }
}

/// What a name below `leases/` is to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Nothing,
    /// A place where a lease file is or should be.
    Lease(Node),
    /// A folder in which there may be lease files.
    Below(Oid),
}

/// What a name in a folder at some depth, `leases` having depth 1, is to the ledger.
pub(super) fn place(name: &[u8], node: Node, depth: u8) -> Place {
    match node {
        Node::Absent => Place::Nothing,
        Node::Folder(_) if name.ends_with(b".yaml") => Place::Lease(Node::Other),
        _ if name.ends_with(b".yaml") => Place::Lease(node),
        // A folder with a name that no path can spell has no lease files that anybody could name.
        Node::Folder(folder) if depth < MAX_DEPTH && std::str::from_utf8(name).is_ok() => Place::Below(folder),
        _ => Place::Nothing,
    }
}

/// A name as text; bytes that are not UTF-8 are spelled out.
fn spell(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => name.escape_ascii().to_string(),
    }
}

/// Files that have been read, as far as they are kept.
#[derive(Debug, Default)]
struct FilesAtHand {
    kept: HashMap<Oid, Entry>,
    /// How many bytes they have.
    bytes: usize,
    /// The beginnings of the ids of small files that have been met.
    met: HashSet<u64>,
}

impl FilesAtHand {
    /// Takes note of a file that has been read, and keeps it if it has to be.
    fn keep(&mut self, id: Oid, entry: &Entry) {
        let Entry::Regular(file) = entry else { return };
        let beginning = id.as_bytes().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
        if file.len() <= SMALL && self.met.insert(beginning) {
            return;
        }
        if self.bytes + file.len() > MAX_KEPT {
            self.kept.clear();
            self.bytes = 0;
        }
        self.bytes += file.len();
        self.kept.insert(id, entry.clone());
    }
}

/// Reads the files of one step.
struct FileReader<'a> {
    objects: &'a mut Objects,
    prepared: &'a mut HashMap<Oid, Entry>,
    at_hand: &'a mut FilesAtHand,
    read: HashMap<Oid, Entry>,
    left: usize,
}

impl FileReader<'_> {
    fn entry(&mut self, node: Node) -> Result<Entry, GitError> {
        let id = match node {
            Node::Absent => return Ok(Entry::Absent),
            Node::Folder(_) | Node::Other => return Ok(Entry::NotAFile),
            Node::File(id) => id,
        };
        if let Some(entry) = self.read.get(&id) {
            return Ok(entry.clone());
        }
        if self.left < MAX_FILE_BYTES {
            return Ok(Entry::TooLarge);
        }
        let entry = match (self.at_hand.kept.get(&id), self.prepared.remove(&id)) {
            (Some(entry), _) => entry.clone(),
            (None, prepared) => {
                let entry = prepared.map_or_else(|| self.objects.file(id), Ok)?;
                self.at_hand.keep(id, &entry);
                entry
            }
        };
        if let Entry::Regular(bytes) = &entry {
            self.left = self.left.saturating_sub(bytes.len());
        }
        self.read.insert(id, entry.clone());
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
    fn what_is_kept_has_a_limit() {
        let id = |number: usize| Oid::from_bytes(&[&number.to_be_bytes()[..], &[0; 12]].concat()).unwrap();
        let mut at_hand = FilesAtHand::default();
        let largest = Entry::Regular(vec![0; MAX_FILE_BYTES].into());
        for number in 0..MAX_KEPT / MAX_FILE_BYTES {
            at_hand.keep(id(number), &largest);
        }
        assert_eq!((at_hand.kept.len(), at_hand.bytes), (MAX_KEPT / MAX_FILE_BYTES, MAX_KEPT));
        at_hand.keep(id(MAX_KEPT), &largest);
        assert_eq!((at_hand.kept.len(), at_hand.bytes), (1, MAX_FILE_BYTES));
        let small = Entry::Regular(vec![0; SMALL].into());
        at_hand.keep(id(1), &small);
        assert_eq!(at_hand.kept.len(), 1);
        at_hand.keep(id(1), &small);
        assert_eq!(at_hand.kept.len(), 2);
    }
}
