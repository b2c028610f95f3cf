//! What a commit's bytes link it to. Lenient where Git is: what Git can walk, the ledger can walk.

use crate::model::Oid;

/// A commit's links, from its raw bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// Its tree.
    pub tree: Oid,
    /// Its parents, in order.
    pub parents: Vec<Oid>,
    /// The committer line's seconds since 1970, or 0 if there are none: a claim, never an input to a decision.
    pub committed: i64,
}

impl Links {
    /// Reads the first headers as Git does: one tree line, then the parent lines.
    pub fn parse(raw: &[u8]) -> Option<Self> {
        let mut lines = raw.split(|byte| *byte == b'\n');
        let tree = id(lines.next()?.strip_prefix(b"tree ")?)?;
        let mut parents = Vec::new();
        let mut line = lines.next();
        while let Some(parent) = line.and_then(|line| line.strip_prefix(b"parent ")) {
            parents.push(id(parent)?);
            line = lines.next();
        }
        let headers = line.into_iter().chain(lines).take_while(|line| !line.is_empty());
        let committed = headers.filter_map(|line| line.strip_prefix(b"committer ")).find_map(seconds).unwrap_or(0);
        Some(Self { tree, parents, committed })
    }
}

fn id(hex: &[u8]) -> Option<Oid> {
    Oid::parse(std::str::from_utf8(hex).ok()?)
}

/// The seconds after the last `>` of an identity line.
fn seconds(line: &[u8]) -> Option<i64> {
    let after = line.rsplit(|byte| *byte == b'>').next()?;
    std::str::from_utf8(after).ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    #[test]
    fn headers_are_read_and_messages_are_not() {
        let raw = format!(
            "tree {TREE}\nparent {TREE}\nparent {TREE}\nauthor A <a> 1 +0000\ncommitter C <c> 1700000000 +0100\n\n\
             parent {TREE}\ncommitter C <c> 5 +0000\n"
        );
        let links = Links::parse(raw.as_bytes()).unwrap();
        assert_eq!(links.parents.len(), 2);
        assert_eq!(links.committed, 1_700_000_000);
    }

    #[test]
    fn what_git_cannot_walk_has_no_links() {
        assert_eq!(Links::parse(b""), None);
        assert_eq!(Links::parse(format!("parent {TREE}\ntree {TREE}\n").as_bytes()), None);
        assert_eq!(Links::parse(format!("tree {TREE}\nparent 12\n").as_bytes()), None);
        assert_eq!(Links::parse(format!("tree {TREE}\ncommitter nobody\n").as_bytes()).unwrap().committed, 0);
    }
}
