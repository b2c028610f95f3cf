//! Commits too large to be held, read as they come: what [`links`] reads of them, and whether they state
//! anything.

use std::collections::HashSet;

use memchr::{memchr, memmem};

use super::{
    Links, ObjectFormat, Opened, carrier,
    carrier::STATEMENT,
    commit::{PARENT, links},
};
use crate::model::Refusal;

/// The largest commit that is held, in bytes. Of larger ones nobody looks at the signature.
pub const MAX_HELD: usize = 1 << 20;
/// How much is kept of one line: as much from its beginning as from its end.
const MAX_LINE: usize = 64 << 10;

/// A commit's bytes, as far as they are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitBytes {
    /// All of them.
    Whole(Vec<u8>),
    /// What there is to know of a large one.
    Large(Large),
}

/// What there is to know of a commit that is too large to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    /// Its lines up to the committer's. Parents stand there once, and of very long lines the middle is left out.
    front: Vec<u8>,
    /// Whether any line of it begins as a statement does.
    states: bool,
}

impl CommitBytes {
    /// What its bytes link it to, as [`links`] reads them.
    pub fn links(&self, format: ObjectFormat) -> Result<Links, Refusal> {
        links(self.front(), format)
    }

    /// Its bytes, or of a large one the lines up to the committer's.
    pub fn front(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) | Self::Large(Large { front: bytes, .. }) => bytes,
        }
    }
}

impl Large {
    /// What it is: nobody's, since nobody looks at its signature.
    pub(super) fn opened(&self) -> Opened {
        if self.states { Opened::Malformed(carrier::too_large()) } else { Opened::Ordinary { signature: None } }
    }
}

/// Reads a large commit piece by piece, and holds little of it.
#[derive(Debug)]
pub struct LargeReader {
    front: Vec<u8>,
    parents: HashSet<Vec<u8>>,
    line: Vec<u8>,
    lines: HeaderLine,
    states: bool,
    /// The end of what has been read, in which a statement's line may have begun.
    end: Vec<u8>,
}

/// Which line is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderLine {
    Tree,
    Parent,
    Committer,
    Others,
}

impl Default for LargeReader {
    fn default() -> Self {
        // What begins a commit begins a line.
        let end = vec![b'\n'];
        let (front, parents, line) = (Vec::new(), HashSet::new(), Vec::new());
        Self { front, parents, line, lines: HeaderLine::Tree, states: false, end }
    }
}

impl LargeReader {
    /// Reads on.
    pub fn read(&mut self, bytes: &[u8]) {
        self.look_for_statements(bytes);
        let mut rest = bytes;
        while self.lines != HeaderLine::Others {
            let Some(end) = memchr(b'\n', rest) else { return self.keep(rest) };
            let (line, others) = rest.split_at(end + 1);
            self.keep(line);
            self.line_ends();
            rest = others;
        }
    }

    /// The commit has ended.
    pub fn end(mut self) -> Large {
        self.front.append(&mut self.line);
        Large { front: self.front, states: self.states }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
        if let Some(over) = self.line.len().checked_sub(MAX_LINE) {
            self.line.drain(MAX_LINE / 2..MAX_LINE / 2 + over);
        }
    }

    fn line_ends(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.lines = match self.lines {
            HeaderLine::Tree => HeaderLine::Parent,
            HeaderLine::Parent if line.starts_with(PARENT) => {
                // Of each parent once: there is room for those that exist.
                if !self.parents.insert(line.clone()) {
                    return;
                }
                HeaderLine::Parent
            }
            HeaderLine::Parent => HeaderLine::Committer,
            HeaderLine::Committer | HeaderLine::Others => HeaderLine::Others,
        };
        self.front.extend(line);
    }

    fn look_for_statements(&mut self, bytes: &[u8]) {
        if self.states {
            return;
        }
        self.end.extend_from_slice(bytes);
        self.states = memmem::find_iter(&self.end, STATEMENT).any(|at| {
            at.checked_sub(1).and_then(|before| self.end.get(before)).copied().is_some_and(carrier::ends_line)
        });
        // As many as it has bytes: if these are all of it, it has been seen with the byte before it.
        self.end.drain(..self.end.len().saturating_sub(STATEMENT.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Reason, signature::open_commit};

    const SHA1: ObjectFormat = ObjectFormat::Sha1;

    fn large(raw: &[u8], piece: usize) -> Large {
        let mut reader = LargeReader::default();
        raw.chunks(piece).for_each(|piece| reader.read(piece));
        reader.end()
    }

    /// What stands before a commit's message, in each form that matters.
    fn fronts() -> Vec<String> {
        let [tree, one, other] = ["a1", "b2", "c3"].map(|byte| byte.repeat(20));
        let who = "A <a@example> 12 +0000";
        let head = format!("tree {tree}\nparent {one}\nparent {other}\n");
        let long = "x".repeat(3 * MAX_LINE);
        vec![
            format!("{head}author {who}\ncommitter {who}\n"),
            format!("{head}author {long}\ncommitter {long}> 12 +0000\n"),
            format!("{head}author {who}\ncommitter {who}"),
            format!("{head}author {who}\ngpgsig x\ncommitter {who}\n"),
            format!("tree {tree}\nparent {one}"),
            format!("tree {tree}\nparent {one}\n"),
            format!("tree {tree}\nparent {one}{long}\nauthor {who}\n"),
            format!("tree {tree}{long}\n"),
            format!("parent {one}\n"),
            String::new(),
        ]
    }

    #[test]
    fn what_is_kept_of_a_commit_reads_as_all_of_it_does() {
        for front in fronts() {
            for piece in [1, 7, 50, 4096, usize::MAX] {
                let held = CommitBytes::Large(large(front.as_bytes(), piece));
                assert_eq!(held.links(SHA1), links(front.as_bytes(), SHA1), "{piece} {front:.200}");
            }
        }
    }

    #[test]
    fn parents_are_kept_once_each_and_the_message_not_at_all() {
        let [tree, one, other] = ["a1", "b2", "c3"].map(|byte| byte.repeat(20));
        let parents = [&one, &other, &one].map(|parent| format!("parent {parent}\n")).concat().repeat(10_000);
        let raw = format!("tree {tree}\n{parents}author x\ncommitter > 12\n\n{}", "x\n".repeat(100_000));
        let held = large(raw.as_bytes(), 1000);
        assert_eq!(held.front.len(), 46 + 2 * 48 + "author x\ncommitter > 12\n".len());
        let links = CommitBytes::Large(held).links(SHA1).unwrap();
        assert_eq!(links.parents.iter().map(ToString::to_string).collect::<Vec<_>>(), [one, other]);
        // Without anything after them Git cannot read them.
        assert!(CommitBytes::Large(large(format!("tree {tree}\n{parents}").as_bytes(), 1000)).links(SHA1).is_err());
    }

    #[test]
    fn a_statement_is_seen_wherever_a_piece_ends() {
        let front = &fronts()[0];
        for (before, stated) in [("\n", true), ("\r", true), ("\0", true), (" ", false), (":", false)] {
            let raw = format!("{front}\nsubject{before}Two-Key-Statement: 1\n{}", "x".repeat(MAX_HELD));
            let alone = matches!(open_commit(raw.as_bytes(), SHA1), Opened::Malformed(_));
            assert_eq!(alone, stated, "{before:?}");
            for piece in (1..40).chain([raw.len()]) {
                match large(raw.as_bytes(), piece).opened() {
                    Opened::Malformed(refusal) => assert!(stated && refusal.reason == Reason::TooLarge),
                    opened => assert_eq!((stated, opened), (false, Opened::Ordinary { signature: None }), "{piece}"),
                }
            }
        }
        assert!(large(b"Two-Key-Statement: 1", 3).states);
    }
}
