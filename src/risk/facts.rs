//! What a change and the history before it are, as somebody has read them from a repository.

use crate::model::Oid;

/// A change with the history before it: all that a score is computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The change.
    pub change: ChangeFacts,
    /// The changes before it, newest first, at most as many as were asked for. Merges are left out: what they brought
    /// in stands here by itself.
    pub history: Vec<CommitFacts>,
    /// Of how many of them, from the newest on, the lines were counted: those that a score is compared with.
    pub counted: usize,
}

/// The change that is to be scored, from one tree to another, however many commits lie between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFacts {
    /// The commit that ran before; none if nothing did.
    pub from: Option<Oid>,
    /// The commit that will run.
    pub to: Oid,
    /// When `to` was committed, as it claims, in seconds since 1970.
    pub time: i64,
    /// The commits that are reachable from `to` and not from `from`, without merges.
    pub commits: Vec<Author>,
    /// Whether there are more commits than were read.
    pub more_commits: bool,
    /// What differs between the two trees.
    pub files: Vec<FileChange>,
    /// The lines that the touched files had before, where they are text.
    pub lines_before: u64,
    /// Touched files whose lines before are not known: binary, a submodule, or too large to be read.
    pub uncounted: usize,
}

/// Who made a commit, and what its message says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The author's address, in lower case.
    pub author: String,
    /// What the message says.
    pub message: MessageFacts,
}

/// One change of the history: a commit that is no merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFacts {
    /// Its id.
    pub id: Oid,
    /// Who made it, and what its message says.
    pub by: Author,
    /// When it was committed, as it claims, in seconds since 1970.
    pub time: i64,
    /// What it changed.
    pub files: Vec<FileChange>,
}

/// What happened to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Its path; the new one if it was renamed.
    pub path: String,
    /// The path that it had before, if it was renamed.
    pub renamed_from: Option<String>,
    /// What it is.
    pub kind: FileKind,
    /// The lines added and deleted; none for binary files, and where nobody counted.
    pub lines: Option<Lines>,
}

/// What a touched path holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file that was not there before.
    Added,
    /// A file before and after.
    Changed,
    /// A file that is gone.
    Deleted,
    /// A commit of another repository.
    Submodule,
}

/// Counted lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lines {
    /// Lines that are new.
    pub added: u64,
    /// Lines that are gone.
    pub deleted: u64,
}

/// What a commit message says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageFacts {
    /// Whether it calls the change a repair.
    pub fix: bool,
    /// Whether it calls the change a revert.
    pub revert: bool,
    /// The commit that it says it reverts, as it is written there.
    pub reverts: Option<String>,
}

/// Whole words that call a change a repair.
const FIX_WORDS: [&str; 11] =
    ["fix", "fixes", "fixed", "fixing", "bugfix", "bugfixes", "hotfix", "bug", "bugs", "defect", "defects"];

impl MessageFacts {
    /// Reads a commit message.
    pub fn read(message: &str) -> Self {
        let words = message.split(|c: char| !c.is_alphanumeric());
        let fix = words.map(str::to_lowercase).any(|word| FIX_WORDS.contains(&word.as_str()));
        let reverts = message.split("This reverts commit ").nth(1).map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
            digits.to_ascii_lowercase()
        });
        let reverts = reverts.filter(|digits| digits.len() >= 7);
        let subject = message.trim_start().lines().next().unwrap_or_default();
        let revert = reverts.is_some() || subject.starts_with("Revert \"") || subject.starts_with("revert:");
        Self { fix, revert, reverts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_is_said_in_whole_words() {
        for fix in ["fix: off by one", "Fixed #12", "A BUG in the parser", "Hotfix(api): x", "Say so\n\nFixes: #3"] {
            assert!(MessageFacts::read(fix).fix, "{fix}");
        }
        for other in ["Add a prefix", "Debug output", "Affix the label", "Bugle calls", ""] {
            assert!(!MessageFacts::read(other).fix, "{other}");
        }
    }

    #[test]
    fn a_revert_names_its_commit() {
        let id = "0e8411ccb23096acd7e14328c585b246240979bb";
        let revert = MessageFacts::read(&format!("Revert \"x\"\n\nThis reverts commit {id}.\n"));
        assert_eq!((revert.revert, revert.reverts.as_deref()), (true, Some(id)));
        let unnamed = MessageFacts::read("Revert \"x\"\n\nIt was wrong.");
        assert_eq!((unnamed.revert, unnamed.reverts), (true, None));
        let talk = MessageFacts::read("Say when to revert\n\nThis reverts commit order.");
        assert_eq!((talk.revert, talk.reverts), (false, None));
    }
}
