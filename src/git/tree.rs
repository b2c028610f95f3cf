//! Trees, parsed from their raw bytes.

use std::cmp::Ordering;

use memchr::memchr;

use crate::{model::Oid, signature::ObjectFormat};

/// What a tree's entry points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    /// There is no entry.
    Absent,
    /// A regular file, executable or not.
    File(Oid),
    /// A folder.
    Folder(Oid),
    /// A gitlink, a symbolic link, or a name that is there twice: never opened.
    Other,
}

/// One folder: its entries, sorted by name.
#[derive(Debug, Default)]
pub struct Tree {
    names: Vec<u8>,
    /// Where in `names` each name begins and ends, with what it points at.
    entries: Vec<(usize, usize, Node)>,
}

impl Tree {
    /// Parses `<octal mode> <name>\0<id>`, repeated, as Git does. None if the bytes are anything else, or something that
    /// Git's own readers find one thing or another in, by how they look: in another order than Git's, or with a name that is
    /// a path.
    pub fn parse(bytes: &[u8], format: ObjectFormat) -> Option<Self> {
        let id_length = format.hex_digits() / 2;
        let mut entries: Vec<(usize, usize, Node)> = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let rest = bytes.get(at..)?;
            let space = memchr(b' ', rest)?;
            let mode = mode(rest.get(..space)?)?;
            let end = space + 1 + memchr(0, rest.get(space + 1..)?)?;
            let name = rest.get(space + 1..end).filter(|name| !name.is_empty() && !name.contains(&b'/'))?;
            let id = Oid::from_bytes(rest.get(end + 1..)?.get(..id_length)?)?;
            let node = match mode & 0o170_000 {
                0o100_000 => Node::File(id),
                0o040_000 => Node::Folder(id),
                _ => Node::Other,
            };
            if let Some((from, to, before)) = entries.last()
                && sorted_as(bytes.get(*from..*to)?, *before).gt(sorted_as(name, node))
            {
                return None;
            }
            entries.push((at + space + 1, at + end, node));
            at += end + 1 + id_length;
        }
        let name = |entry: &(usize, usize, Node)| bytes.get(entry.0..entry.1).unwrap_or_default();
        // Git sorts folders as if their names ended in a slash.
        entries.sort_by(|a, b| name(a).cmp(name(b)));
        entries.dedup_by(|twice, kept| {
            let same = name(twice) == name(kept);
            if same {
                kept.2 = Node::Other;
            }
            same
        });
        Some(Self { names: bytes.to_vec(), entries })
    }

    fn name(&self, entry: &(usize, usize, Node)) -> &[u8] {
        self.names.get(entry.0..entry.1).unwrap_or_default()
    }

    /// The entry of a name.
    pub fn get(&self, name: &[u8]) -> Node {
        let found = self.entries.binary_search_by(|entry| self.name(entry).cmp(name));
        found.ok().and_then(|at| self.entries.get(at)).map_or(Node::Absent, |(_, _, node)| *node)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Node)> {
        self.entries.iter().map(|entry| (self.name(entry), entry.2))
    }

    /// The names whose entries differ between two folders, sorted, with both.
    pub fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a [u8], Node, Node)> {
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        let both = std::iter::from_fn(move || {
            let order = match (ours.peek(), theirs.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((our, _)), Some((their, _))) => our.cmp(their),
            };
            let our = if order == Ordering::Greater { None } else { ours.next() };
            let their = if order == Ordering::Less { None } else { theirs.next() };
            let node = |entry: Option<(&'a [u8], Node)>| entry.map_or(Node::Absent, |(_, node)| node);
            our.or(their).map(|(name, _)| (name, node(our), node(their)))
        });
        both.filter(|(_, our, their)| our != their)
    }
}

/// Octal digits, of which only the last sixteen bits count: Git keeps no more.
fn mode(digits: &[u8]) -> Option<u16> {
    let digit = |mode: u16, digit: &u8| matches!(digit, b'0'..=b'7').then(|| mode << 3 | u16::from(digit - b'0'));
    if digits.is_empty() { None } else { digits.iter().try_fold(0, digit) }
}

/// What an entry's place among the others goes by: a folder's name as if it ended in a slash.
fn sorted_as(name: &[u8], node: Node) -> impl Iterator<Item = u8> {
    let slash = matches!(node, Node::Folder(_)).then_some(b'/');
    name.iter().copied().chain(slash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: &str, name: &str, id: u8) -> Vec<u8> {
        [format!("{mode} {name}\0").as_bytes(), &[id; 20]].concat()
    }

    #[test]
    fn modes_say_what_may_be_opened() {
        let bytes = [entry("100644", "a", 1), entry("100755", "b", 2), entry("40000", "c", 3), entry("120000", "d", 4)]
            .concat();
        let bytes = [bytes, entry("160000", "e", 5)].concat();
        let tree = Tree::parse(&bytes, ObjectFormat::Sha1).unwrap();
        assert_eq!(tree.get(b"a"), Node::File(Oid::Sha1([1; 20])));
        assert_eq!(tree.get(b"b"), Node::File(Oid::Sha1([2; 20])));
        assert_eq!(tree.get(b"c"), Node::Folder(Oid::Sha1([3; 20])));
        assert_eq!(tree.get(b"d"), Node::Other);
        assert_eq!(tree.get(b"e"), Node::Other);
        assert_eq!(tree.get(b"f"), Node::Absent);
    }

    #[test]
    fn a_name_that_is_there_twice_is_never_opened() {
        let bytes = [entry("100644", "a", 1), entry("100644", "a", 2)].concat();
        assert_eq!(Tree::parse(&bytes, ObjectFormat::Sha1).unwrap().get(b"a"), Node::Other);
    }

    #[test]
    fn differences_are_those_of_the_names_whatever_their_order() {
        let parse = |bytes: Vec<u8>| Tree::parse(&bytes, ObjectFormat::Sha1).unwrap();
        let file = |id| Node::File(Oid::Sha1([id; 20]));
        // As Git sorts them: the folder `a` after `a.b`.
        let old = parse([entry("100644", "a.b", 1), entry("40000", "a", 2), entry("100644", "c", 3)].concat());
        let new = parse([entry("100644", "a", 2), entry("100644", "a.b", 1), entry("100644", "d", 4)].concat());
        let folder = Node::Folder(Oid::Sha1([2; 20]));
        assert_eq!(old.get(b"a"), folder);
        let (absent, expected) = (Node::Absent, [(&b"a"[..], folder, file(2)), (b"c", file(3), Node::Absent)]);
        assert_eq!(old.differences(&new).collect::<Vec<_>>(), [&expected[..], &[(b"d", absent, file(4))]].concat());
        assert_eq!(old.differences(&old).count(), 0);
    }

    #[test]
    fn modes_are_read_as_git_reads_them() {
        let read = |mode: &str| Tree::parse(&entry(mode, "a", 1), ObjectFormat::Sha1).map(|tree| tree.get(b"a"));
        let id = Oid::Sha1([1; 20]);
        for mode in ["100664", "0100644", "100000", "1100644", "7777777100644"] {
            assert_eq!(read(mode), Some(Node::File(id)), "{mode}");
        }
        for mode in ["040000", "40755", "1040000"] {
            assert_eq!(read(mode), Some(Node::Folder(id)), "{mode}");
        }
        for mode in ["0", "1", "20000", "60000", "120000", "160000", "1000000"] {
            assert_eq!(read(mode), Some(Node::Other), "{mode}");
        }
        for mode in ["", "+100644", "-1", "100648", "0x1", "1 100644"] {
            assert_eq!(read(mode).is_some(), mode == "1 100644", "{mode}");
        }
    }

    #[test]
    fn a_tree_that_can_be_read_in_two_ways_is_none() {
        let parse = |entries: [Vec<u8>; 2]| Tree::parse(&entries.concat(), ObjectFormat::Sha1).is_some();
        let (file, folder) = (|name| entry("100644", name, 1), |name| entry("40000", name, 1));
        assert!(parse([file("a"), file("b")]) && !parse([file("b"), file("a")]));
        assert!(parse([file("a.b"), folder("a")]) && !parse([folder("a"), file("a.b")]));
        assert!(parse([file("a"), file("a.b")]) && !parse([file("a.b"), file("a")]));
        assert!(parse([file("a"), folder("a")]) && !parse([folder("a"), file("a")]));
        assert!(!parse([file("a/b"), file("c")]) && !parse([file(""), file("c")]));
    }

    #[test]
    fn truncated_bytes_are_no_tree() {
        let bytes = entry("100644", "a", 1);
        for length in 1..bytes.len() {
            assert!(Tree::parse(&bytes[..length], ObjectFormat::Sha1).is_none(), "{length}");
        }
        assert!(Tree::parse(b"", ObjectFormat::Sha1).is_some());
        assert!(Tree::parse(&bytes, ObjectFormat::Sha256).is_none());
    }
}
