//! Places after a merge: whether what is governed is where it was before.
//!
//! Git's merge follows a file that one side renamed, and does so whatever it is told (before 2.50): what the other side changed
//! goes where nobody looks for it. Here a path is a path.

use std::collections::{BTreeSet, HashSet};

use super::{
    GitError, Objects,
    tree::{Node, Tree},
};
use crate::model::Oid;

/// What is governed in a tree.
const GOVERNED: [&[u8]; 2] = [b".two-key", b"leases"];

/// What two sides, their merge and all that they had before have at one path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    ours: Node,
    theirs: Node,
    merged: Node,
    bases: Vec<Node>,
}

/// What is to be said of a place.
enum Seen {
    Well,
    Wrong,
    /// It depends on what is below it.
    Folders,
}

impl Seen {
    /// Where a merge has what it should, or else has folders, in which that shows.
    fn of(is_right: bool, nodes: [&Node; 2]) -> Self {
        let is_folder = |node: &&Node| matches!(node, Node::Folder(_) | Node::Absent);
        match is_right {
            true => Self::Well,
            false if nodes.iter().all(is_folder) => Self::Folders,
            false => Self::Wrong,
        }
    }
}

impl Place {
    fn seen(&self) -> Seen {
        let Self { ours, theirs, merged, bases } = self;
        let is_old = |side: &Node| !bases.is_empty() && bases.iter().all(|base| base == side);
        let was_there = |side: &Node| bases.contains(side);
        let is_in = |nodes: [&Node; 2]| nodes.contains(&merged);
        match [ours, theirs] {
            _ if ours == theirs || is_old(ours) => Seen::of(is_in([theirs; 2]), [merged, theirs]),
            _ if is_old(theirs) => Seen::of(is_in([ours; 2]), [merged, ours]),
            [Node::Folder(_) | Node::Absent, Node::Folder(_) | Node::Absent] => Seen::of(false, [merged, ours]),
            // One took away what the other changed, unless histories that crossed had both.
            [Node::Absent, _] | [_, Node::Absent] if !was_there(ours) && !was_there(theirs) => Seen::Wrong,
            [Node::Absent, _] | [_, Node::Absent] if is_in([ours, theirs]) => Seen::Well,
            [Node::File(_) | Node::Other, Node::File(_) | Node::Other]
                if matches!(merged, Node::File(_) | Node::Other) =>
            {
                Seen::Well
            }
            _ => Seen::Wrong,
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        [&self.ours, &self.theirs, &self.merged].into_iter().chain(&self.bases)
    }
}

impl Objects {
    /// The governed paths that a merge of two trees, which have come from others, did not leave in their place.
    pub(super) fn misplaced(&mut self, sides: [Oid; 2], merged: Oid, bases: &[Oid]) -> Result<Vec<String>, GitError> {
        let [ours, theirs] = sides.map(Node::Folder);
        let bases = bases.iter().copied().map(Node::Folder).collect();
        let top = Place { ours, theirs, merged: Node::Folder(merged), bases };
        let (mut wrong, mut met) = (BTreeSet::new(), HashSet::new());
        let mut open = self.below(&top, &mut |name| GOVERNED.contains(&name))?;
        while let Some((path, place)) = open.pop() {
            match place.seen() {
                Seen::Wrong => drop(wrong.insert(String::from_utf8_lossy(&path).into_owned())),
                // Trees that hold the same ones again and again have more paths than can be looked at.
                Seen::Folders if met.insert(place.clone()) => {
                    let below = self.below(&place, &mut |_| true)?;
                    open.extend(below.into_iter().map(|(name, place)| ([&*path, b"/", &*name].concat(), place)));
                }
                Seen::Well | Seen::Folders => {}
            }
        }
        Ok(wrong.into_iter().collect())
    }

    /// The entries of a place's folders, by name. What is no folder, or none that can be read, has none.
    fn below(
        &mut self,
        place: &Place,
        is_asked: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Vec<(Vec<u8>, Place)>, GitError> {
        let (mut names, mut trees) = (BTreeSet::new(), Vec::new());
        for node in place.nodes() {
            let tree = match node {
                Node::Folder(id) => self.tree(*id)?.unwrap_or_default(),
                _ => Tree::default(),
            };
            names.extend(tree.iter().map(|(name, _)| name.to_vec()).filter(|name| is_asked(name)));
            trees.push(tree);
        }
        let of = |name: &Vec<u8>| {
            let mut nodes = trees.iter().map(|tree| tree.get(name));
            let mut next = || nodes.next().unwrap_or(Node::Absent);
            let [ours, theirs, merged] = [next(), next(), next()];
            Place { ours, theirs, merged, bases: nodes.collect() }
        };
        Ok(names.iter().map(|name| (name.clone(), of(name))).collect())
    }
}
