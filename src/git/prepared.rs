//! Prefetch of what tree comparisons will ask for, read one level of folders of all of them at once.
//!
//! A question to Git that waits for its answer costs two changes of processes, which is more than most answers do. Nothing
//! is decided here: what is not read, or is read in vain, changes no comparison.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    GitError, Objects,
    cache::Cache,
    files::{Folders, LeasePath, MAX_DEPTH, place},
    tree::{Node, Tree},
};
use crate::{
    ledger::Entry,
    model::{MAX_STEP_NAMES, Oid},
};

/// Entries of folders, and bytes of files, that are read before they are needed.
const MAX_ENTRIES: usize = 50_000;
const MAX_BYTES: usize = 1 << 20;
/// Pairs of folders that are compared on one level, and files that are asked for: some for each of the commits that are read
/// ahead. It may be in vain.
const MAX_ASKED: usize = 512;
/// Entries that are compared. Folders can be shared between folders, so few bytes can spell out any number of them.
const MAX_COMPARED: usize = 50_000;

/// What has been read and not yet been asked for.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) folders: HashMap<Oid, Option<Arc<Tree>>>,
    pub(super) files: HashMap<Oid, Entry>,
}

/// Folders at one path of two trees.
type Pair = [Option<Oid>; 2];

impl Prepared {
    /// Reads what comparing each of these trees with the next will ask for, but for known folders and files, and up to a
    /// limit.
    pub(super) fn read(
        &mut self,
        objects: &mut Objects,
        known: &Folders,
        known_files: &Cache<Oid, Entry>,
        trees: &[Oid],
    ) -> Result<(), GitError> {
        let roots = trees.windows(2).filter_map(|trees| match trees {
            [old, new] if old != new => Some([Some(*old), Some(*new)]),
            _ => None,
        });
        let mut met = HashSet::new();
        let roots: Vec<Pair> = roots.filter(|pair| met.insert(*pair)).collect();
        self.read_folders(objects, known, &roots)?;
        let leases = |root: Option<Oid>| match self.at_hand(known, root)?.get(b"leases") {
            Node::Folder(folder) => Some(folder),
            _ => None,
        };
        let mut next = Next::default();
        next.pairs.extend(roots.into_iter().map(|pair| pair.map(leases)));
        for depth in 1..=MAX_DEPTH {
            let pairs = next.level();
            if pairs.is_empty() {
                break;
            }
            self.read_folders(objects, known, &pairs)?;
            for pair in pairs {
                let [old, new] = pair.map(|folder| self.at_hand(known, folder).unwrap_or_default());
                next.compare(&old, &new, depth);
            }
        }
        let mut met = HashSet::new();
        next.files.retain(|file| !known_files.contains(file) && met.insert(*file));
        self.files = objects.files(&next.files, MAX_BYTES)?;
        Ok(())
    }

    fn at_hand(&self, known: &Folders, folder: Option<Oid>) -> Option<Arc<Tree>> {
        let folder = folder?;
        self.folders.get(&folder).or_else(|| known.get(&folder)).cloned().flatten()
    }

    fn read_folders(&mut self, objects: &mut Objects, known: &Folders, pairs: &[Pair]) -> Result<(), GitError> {
        let unknown = |folder: &Oid| !known.contains(folder) && !self.folders.contains_key(folder);
        let mut met = HashSet::new();
        let wanted = pairs.iter().flatten().flatten().copied().filter(unknown).filter(|folder| met.insert(*folder));
        let wanted: Vec<Oid> = wanted.collect();
        let had: usize = self.folders.values().flatten().map(|folder| folder.len()).sum();
        let read = objects.trees(&wanted, MAX_ENTRIES.saturating_sub(had))?;
        self.folders.extend(read.into_iter().map(|(id, tree)| (id, tree.map(Arc::new))));
        Ok(())
    }
}

/// What comparing one level of folders asks for next.
#[derive(Default)]
struct Next {
    pairs: Vec<Pair>,
    /// Pairs that have had their turn.
    met: HashSet<Pair>,
    /// Files that only the newer one of two folders has.
    files: Vec<Oid>,
    compared: usize,
}

impl Next {
    /// The next level's pairs.
    fn level(&mut self) -> Vec<Pair> {
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.retain(|pair| pair[0] != pair[1] && self.met.insert(*pair));
        pairs
    }

    /// Compares two folders, unless too much has been compared already.
    fn compare(&mut self, old: &Tree, new: &Tree, depth: u8) {
        self.compared = self.compared.saturating_add(old.len() + new.len());
        if self.compared > MAX_COMPARED {
            return;
        }
        for (name, old, new) in old.differences(new).take(MAX_STEP_NAMES) {
            let places = [old, new].map(|node| place(name, node, depth));
            if let [_, LeasePath::Lease(Node::File(file))] = places
                && self.files.len() < MAX_ASKED
            {
                self.files.push(file);
            }
            let below = places.map(LeasePath::below);
            if below != [None, None] && self.pairs.len() < MAX_ASKED {
                self.pairs.push(below);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::ObjectFormat;

    fn tree(names: impl Iterator<Item = String>, mode: &str, id: u8) -> Tree {
        let entry = |name: String| [format!("{mode} {name}\0").as_bytes(), &[id; 20]].concat();
        Tree::parse(&names.flat_map(entry).collect::<Vec<u8>>(), ObjectFormat::Sha1).unwrap()
    }

    #[test]
    fn folders_that_spell_out_without_end_are_not_followed() {
        let nothing = Tree::default();
        let folders = tree((0..10_000).map(|number| format!("f{number:04}")), "40000", 1);
        let files = tree((0..10_000).map(|number| format!("{number:04}.yaml")), "100644", 2);
        let mut next = Next::default();
        next.compare(&nothing, &folders, 1);
        assert_eq!((next.pairs.len(), next.files.len()), (MAX_STEP_NAMES, 0), "no more than a step may change");
        // All of them are one folder.
        assert_eq!(next.level().len(), 1);
        for _ in 0..MAX_COMPARED / files.len() {
            next.compare(&nothing, &files, 2);
        }
        assert_eq!((next.pairs.len(), next.files.len()), (0, MAX_ASKED));
        next.files.clear();
        next.compare(&nothing, &files, 2);
        assert_eq!(next.files.len(), 0, "so much has been compared");
        // What has had its turn has none again.
        next.pairs.push([None, Some(Oid::Sha1([1; 20]))]);
        assert!(next.level().is_empty());
    }

    #[test]
    fn only_what_is_new_is_asked_for() {
        let one = |name: &str, mode, id| tree(std::iter::once(name.to_owned()), mode, id);
        for (old, new, files, pairs) in [
            (one("a.yaml", "100644", 1), one("a.yaml", "100644", 2), 1, 0),
            (one("a.yaml", "100644", 1), one("a.yaml", "100644", 1), 0, 0),
            (one("a.yaml", "100644", 1), Tree::default(), 0, 0),
            (one("a", "100644", 1), one("a", "100644", 2), 0, 0),
            (one("a", "40000", 1), one("a", "40000", 2), 0, 1),
            (one("a", "40000", 1), Tree::default(), 0, 1),
            (one("a.yaml", "120000", 1), one("a.yaml", "120000", 2), 0, 0),
        ] {
            let mut next = Next::default();
            next.compare(&old, &new, 1);
            assert_eq!((next.files.len(), next.pairs.len()), (files, pairs), "{old:?} {new:?}");
        }
    }
}
