//! What comparisons of trees that are about to be made will ask for, read one level of folders of all of them at once.
//!
//! A question to Git that waits for its answer costs two changes of processes, which is more than most answers do. Nothing
//! is decided here: what is not read, or is read in vain, changes no comparison.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    GitError, Objects,
    files::{MAX_DEPTH, Place, place},
    tree::{Node, Tree},
};
use crate::{ledger::Entry, model::Oid};

/// Entries of folders, and bytes of files, that are read before they are needed.
const MAX_ENTRIES: usize = 50_000;
const MAX_BYTES: usize = 1 << 20;
/// Pairs of folders that are compared on one level, and files that are asked for.
const MAX_ASKED: usize = 4096;

/// Folders that have been read and what they are.
pub(super) type Folders = HashMap<Oid, Option<Arc<Tree>>>;

/// What has been read and not yet been asked for.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) folders: Folders,
    pub(super) files: HashMap<Oid, Entry>,
}

/// Folders at one path of two trees.
type Pair = [Option<Oid>; 2];

impl Prepared {
    /// Reads what comparing each of these trees with the next will ask for, but for `known` folders, and up to a limit.
    pub(super) fn read(&mut self, objects: &mut Objects, known: &Folders, trees: &[Oid]) -> Result<(), GitError> {
        let roots = trees.windows(2).filter_map(|trees| match trees {
            [old, new] if old != new => Some([Some(*old), Some(*new)]),
            _ => None,
        });
        let roots: Vec<Pair> = roots.collect();
        self.read_folders(objects, known, &roots)?;
        let leases = |root: Option<Oid>| match self.at_hand(known, root)?.get(b"leases") {
            Node::Folder(folder) => Some(folder),
            _ => None,
        };
        let mut pairs: Vec<Pair> = roots.into_iter().map(|pair| pair.map(leases)).collect();
        let mut files = Vec::new();
        for depth in 1..=MAX_DEPTH {
            pairs.retain(|[old, new]| old != new);
            pairs.truncate(MAX_ASKED);
            if pairs.is_empty() {
                break;
            }
            self.read_folders(objects, known, &pairs)?;
            pairs = pairs.iter().flat_map(|pair| self.compare(known, *pair, depth, &mut files)).collect();
        }
        files.truncate(MAX_ASKED);
        self.files = objects.small_files(&files, MAX_BYTES)?;
        Ok(())
    }

    /// The pairs of folders below a pair that differ; files of the newer one that the older one does not have are added to
    /// the others.
    fn compare(&self, known: &Folders, pair: Pair, depth: u8, files: &mut Vec<Oid>) -> Vec<Pair> {
        let [old, new] = pair.map(|folder| self.at_hand(known, folder).unwrap_or_default());
        let mut below = Vec::new();
        for (name, old, new) in old.differences(&new) {
            let places = [old, new].map(|node| place(name, node, depth));
            if let [_, Place::Lease(Node::File(file))] = places {
                files.push(file);
            }
            below.push(places.map(|place| match place {
                Place::Below(folder) => Some(folder),
                Place::Nothing | Place::Lease(_) => None,
            }));
        }
        below
    }

    fn at_hand(&self, known: &Folders, folder: Option<Oid>) -> Option<Arc<Tree>> {
        let folder = folder?;
        self.folders.get(&folder).or_else(|| known.get(&folder)).cloned().flatten()
    }

    fn read_folders(&mut self, objects: &mut Objects, known: &Folders, pairs: &[Pair]) -> Result<(), GitError> {
        let unknown = |folder: &Oid| !known.contains_key(folder) && !self.folders.contains_key(folder);
        let mut met = HashSet::new();
        let wanted = pairs.iter().flatten().flatten().copied().filter(unknown).filter(|folder| met.insert(*folder));
        let wanted: Vec<Oid> = wanted.collect();
        let had: usize = self.folders.values().flatten().map(|folder| folder.len()).sum();
        let read = objects.trees(&wanted, MAX_ENTRIES.saturating_sub(had))?;
        self.folders.extend(read.into_iter().map(|(id, tree)| (id, tree.map(Arc::new))));
        Ok(())
    }
}
