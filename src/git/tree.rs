//! Trees, parsed from their raw bytes.

use std::collections::BTreeMap;

use crate::{model::Oid, signature::ObjectFormat};

/// What a tree's entry points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// There is no entry.
    Absent,
    /// A regular file, executable or not.
    File(Oid),
    /// A folder.
    Folder(Oid),
    /// A gitlink, a symbolic link, or a name that is there twice: never opened.
    Other,
}

/// One folder.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<Vec<u8>, Node>);

impl Tree {
    /// Parses `<octal mode> <name>\0<id>`, repeated. None if the bytes are anything else.
    pub(crate) fn parse(mut bytes: &[u8], format: ObjectFormat) -> Option<Self> {
        let id_length = match format {
            ObjectFormat::Sha1 => 20,
            ObjectFormat::Sha256 => 32,
        };
        let mut entries = BTreeMap::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            let (head, rest) = (bytes.get(..end)?, bytes.get(end + 1..)?);
            let space = head.iter().position(|byte| *byte == b' ')?;
            let (mode, name) = (head.get(..space)?, head.get(space + 1..)?);
            let (id, rest) = rest.split_at_checked(id_length)?;
            let id = Oid::from_bytes(id)?;
            let mode = u32::from_str_radix(std::str::from_utf8(mode).ok()?, 8).ok()?;
            let node = match mode & 0o170_000 {
                0o100_000 => Node::File(id),
                0o040_000 => Node::Folder(id),
                _ => Node::Other,
            };
            entries.entry(name.to_vec()).and_modify(|twice| *twice = Node::Other).or_insert(node);
            bytes = rest;
        }
        Some(Self(entries))
    }

    /// The entry of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Node {
        self.0.get(name).copied().unwrap_or(Node::Absent)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Node)> {
        self.0.iter().map(|(name, node)| (name.as_slice(), *node))
    }
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
    fn truncated_bytes_are_no_tree() {
        let bytes = entry("100644", "a", 1);
        for length in 1..bytes.len() {
            assert!(Tree::parse(&bytes[..length], ObjectFormat::Sha1).is_none(), "{length}");
        }
        assert!(Tree::parse(b"", ObjectFormat::Sha1).is_some());
        assert!(Tree::parse(&bytes, ObjectFormat::Sha256).is_none());
    }
}
