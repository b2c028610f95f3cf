//! Facts: what a change and the history before it are, as somebody has read them from a repository.

use crate::model::Oid;

/// A change with what it is compared with: all that an assessment is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskFacts {
    /// The change.
    pub change: ChangeFacts,
    /// What each earlier [range](super::ranges()) changed, newest first.
    pub earlier: Vec<Vec<FileChange>>,
    /// How many commits before the change were walked, merges included.
    pub walked: usize,
    /// What each revert changed that was committed in the [`DAYS`](super::DAYS) before the change was looked at.
    pub reverts: Vec<Vec<FileChange>>,
}

/// The change that is assessed, from one tree to another, however many commits lie between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFacts {
    /// The commit that ran before; none if nothing did.
    pub from: Option<Oid>,
    /// The commit that will run.
    pub to: Oid,
    /// The commits that one of them has behind it and the other has not, without merges; the greater number of the two ways.
    pub commits: usize,
    /// What the messages say of the commits that `to` has behind it and `from` has not.
    pub messages: Vec<MessageFacts>,
    /// What differs between the two trees.
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
    pub lines: Option<LineCount>,
}

impl FileChange {
    /// The path that it has, and the one that it had.
    pub(in crate::risk) fn paths(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.path.as_str()).chain(self.renamed_from.as_deref())
    }
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
pub struct LineCount {
    /// Lines that are new.
    pub added: u64,
    /// Lines that are gone.
    pub deleted: u64,
}

/// What a commit message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageFacts {
    /// Whether it calls the change a repair.
    pub fix: bool,
    /// Whether it calls the change a revert.
    pub revert: bool,
}

/// Whole words that call a change a repair.
const FIX_WORDS: [&str; 11] =
    ["fix", "fixes", "fixed", "fixing", "bugfix", "bugfixes", "hotfix", "bug", "bugs", "defect", "defects"];

impl MessageFacts {
    /// Reads a commit message.
    pub fn read(message: &str) -> Self {
        let words = message.split(|c: char| !c.is_alphanumeric());
        let fix = words.map(str::to_lowercase).any(|word| FIX_WORDS.contains(&word.as_str()));
        let named = message.split("This reverts commit ").skip(1);
        let digits = |rest: &str| rest.chars().take_while(char::is_ascii_hexdigit).count();
        let subject = message.trim_start().lines().next().unwrap_or_default();
        let by_subject = subject.starts_with("Revert \"") || subject.starts_with("revert:");
        let revert = by_subject || named.map(digits).any(|digits| digits >= 7);
        Self { fix, revert }
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
    fn a_revert_says_so_or_names_a_commit() {
        let revert = |message: &str| MessageFacts::read(message).revert;
        assert!(revert("Undo x\n\nThis reverts commit 0e8411ccb23096acd7e14328c585b246240979bb.\n"));
        assert!(revert("Revert \"x\"\n\nIt was wrong."));
        assert!(revert("revert: x"));
        assert!(!revert("Say when to revert\n\nThis reverts commit order."));
        assert!(!revert("Reverted polarity"));
    }
}
