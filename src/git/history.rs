//! Questions about history that people are told the answers to; no decision rests on them.

use super::{GitError, Repository};
use crate::model::Oid;

impl Repository {
    /// The oldest commit on a tip's first-parent chain that changed a path.
    pub fn first_to_change(&self, tip: Oid, path: &str) -> Result<Option<Oid>, GitError> {
        Ok(self.changes_of(tip, path)?.first().copied())
    }

    /// The commits on a tip's first-parent chain that changed a path, oldest first.
    pub fn changes_of(&self, tip: Oid, path: &str) -> Result<Vec<Oid>, GitError> {
        self.ids(&["rev-list", "--first-parent", "--reverse", &tip.to_string(), "--", path])
    }

    /// The newest commit that a tip has and that changed a path: where what is there now was brought in.
    pub fn last_to_change(&self, tip: Oid, path: &str) -> Result<Option<Oid>, GitError> {
        let ids = self.ids(&["rev-list", "--max-count=1", &tip.to_string(), "--", path])?;
        Ok(ids.first().copied())
    }

    /// A tip's first-parent chain, oldest first.
    pub fn first_parents(&self, tip: Oid) -> Result<Vec<Oid>, GitError> {
        self.ids(&["rev-list", "--first-parent", "--reverse", &tip.to_string()])
    }

    /// Whether a commit is on a tip's first-parent chain.
    pub fn is_on_chain(&self, base: Oid, tip: Oid) -> Result<bool, GitError> {
        let args = ["rev-list", "--first-parent", "--parents", &tip.to_string(), &format!("^{base}")];
        let chain = self.ids_with_parents(&args)?;
        Ok(tip == base || chain.last().and_then(|oldest| oldest.get(1)) == Some(&base))
    }

    /// The message of the newest commit behind a tip that has a line.
    pub fn last_message_with(&self, tip: Oid, line: &str) -> Result<Option<String>, GitError> {
        let escaped = line.chars().fold(String::new(), |mut escaped, character| {
            if "\\.*[]^$".contains(character) {
                escaped.push('\\');
            }
            escaped.push(character);
            escaped
        });
        let grep = format!("--grep=^{escaped}$");
        let args = ["log", "-1", "--basic-regexp", "--no-show-signature", "--format=%B", &grep, &tip.to_string()];
        Ok(Some(self.run(&args).text()?).filter(|message| !message.is_empty()))
    }

    /// The regular files in a folder of a commit's tree and below it, by path.
    pub fn files_below(&self, commit: Oid, folder: &str) -> Result<Vec<(String, Oid)>, GitError> {
        let tree = commit.to_string();
        let bytes = self.run(&["ls-tree", "-r", "-z", "--full-tree", &tree, "--", folder]).bytes()?;
        let entry = |line: &[u8]| {
            let (head, path) = std::str::from_utf8(line).ok()?.split_once('\t')?;
            let mut words = head.split(' ');
            let regular = words.next()?.starts_with("100");
            let id = Oid::parse(words.nth(1)?)?;
            regular.then(|| (path.to_owned(), id))
        };
        Ok(bytes.split(|byte| *byte == 0).filter_map(entry).collect())
    }

    /// How many commits one commit has that another has not.
    pub fn ahead(&self, tip: Oid, of: Oid) -> Result<u64, GitError> {
        let program = self.run(&["rev-list", "--count", &tip.to_string(), &format!("^{of}")]);
        let command = program.line();
        let text = program.text()?;
        text.trim().parse().map_err(|_| GitError::Answer { command, what: text })
    }
}
