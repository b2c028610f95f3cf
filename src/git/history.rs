//! History questions for people; no decision rests on them.

use super::{GitError, Repository};
use crate::model::Oid;

impl Repository {
    /// The oldest commit on a tip's first-parent chain that changed a path.
    pub fn first_to_change(&self, tip: Oid, path: &str) -> Result<Option<Oid>, GitError> {
        Ok(self.changes_of(tip, path)?.first().copied())
    }

    /// The commits on a tip's first-parent chain that changed a path, oldest first.
    pub fn changes_of(&self, tip: Oid, path: &str) -> Result<Vec<Oid>, GitError> {
        match self.ids(&["rev-list", "--first-parent", "--reverse", &tip.to_string(), "--", path]) {
            // It ends at a folder that it cannot parse, wherever that is.
            Err(GitError::Program { .. }) => {
                let (mut objects, mut changes, mut before) = (self.objects()?, Vec::new(), None);
                for id in self.chain_back(tip, None)?.into_iter().rev() {
                    let file = objects.file_id_at(id, path)?;
                    if file != before {
                        changes.push(id);
                    }
                    before = file;
                }
                Ok(changes)
            }
            ids => ids,
        }
    }

    /// The newest commit that a tip has and that changed a path: where what is there now was brought in. None where Git
    /// cannot say, because there is something on the way that it cannot parse.
    pub fn last_to_change(&self, tip: Oid, path: &str) -> Result<Option<Oid>, GitError> {
        match self.ids(&["rev-list", "--max-count=1", &tip.to_string(), "--", path]) {
            Err(GitError::Program { .. }) => Ok(None),
            ids => Ok(ids?.first().copied()),
        }
    }

    /// A tip's first-parent chain, oldest first.
    pub fn first_parents(&self, tip: Oid) -> Result<Vec<Oid>, GitError> {
        match self.ids(&["rev-list", "--first-parent", "--reverse", &tip.to_string()]) {
            Err(GitError::Program { .. }) => Ok(self.chain_back(tip, None)?.into_iter().rev().collect()),
            ids => ids,
        }
    }

    /// Whether a commit is on a tip's first-parent chain.
    pub fn is_on_chain(&self, base: Oid, tip: Oid) -> Result<bool, GitError> {
        let args = ["rev-list", "--first-parent", "--parents", &tip.to_string(), &format!("^{base}")];
        match self.ids_with_parents(self.run(&args)) {
            Err(GitError::Program { .. }) => match self.chain_back(tip, Some(base)) {
                Err(GitError::NotOnChain { .. }) => Ok(false),
                chain => chain.map(|_| true),
            },
            chain => Ok(tip == base || chain?.last().and_then(|oldest| oldest.get(1)) == Some(&base)),
        }
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
        let message = String::from_utf8_lossy(&self.run(&args).bytes()?).trim_end().to_owned();
        Ok(Some(message).filter(|message| !message.is_empty()))
    }

    /// How many commits one commit has that another has not.
    pub fn ahead(&self, tip: Oid, of: Oid) -> Result<u64, GitError> {
        Ok(self.reached(tip, &[of], None)?.len() as u64)
    }
}
