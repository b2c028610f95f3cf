//! Which policy and lease entries differ between two trees. Equal trees are never read.

use std::{collections::HashMap, sync::Arc};

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
    last: Option<(Oid, Places)>,
    prepared: Prepared,
}

impl Files {
    /// Reads what comparing each of these first-parent commits' trees with the next will ask for.
    pub(super) fn prepare(&mut self, objects: &mut Objects, trees: &[Oid]) {
        self.prepared = Prepared::default();
        // Whatever could not be read now is asked for again by whoever needs it, who says what is wrong with it.
        let _ = self.prepared.read(objects, &self.folders, trees);
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
        let files = &mut self.prepared.files;
        let mut reader = FileReader { objects, prepared: files, read: HashMap::new(), left: MAX_STEP_BYTES };
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
        if let Some((last, places)) = self.last
            && last == tree
        {
            return Ok(places);
        }
        let places = match self.folder(objects, tree)? {
            None => Places { policy: Node::Other, leases: Leases::NotAFolder },
            Some(root) => Places {
                policy: self.policy(objects, root.get(b".two-key"))?,
                leases: self.leases_place(objects, root.get(b"leases"))?,
            },
        };
        self.last = Some((tree, places));
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
        let mut read = |folder: Option<Oid>| match folder {
            Some(folder) => self.folder(objects, folder),
            None => Ok(None),
        };
        let [old, new] = [read(old)?.unwrap_or_default(), read(new)?.unwrap_or_default()];
        for (name, old, new) in old.differences(&new) {
            let [before, after] = [old, new].map(|node| place(name, node, depth));
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

/// Reads the files of one step.
struct FileReader<'a> {
    objects: &'a mut Objects,
    prepared: &'a mut HashMap<Oid, Entry>,
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
        let entry = match self.prepared.remove(&id) {
            Some(entry) => entry,
            None => self.objects.file(id)?,
        };
        if let Entry::Regular(bytes) = &entry {
            self.left = self.left.saturating_sub(bytes.len());
        }
        self.read.insert(id, entry.clone());
        Ok(entry)
    }
}
