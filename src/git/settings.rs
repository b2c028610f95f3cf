//! Settings: what Git's configuration says of our own keys.

use std::collections::BTreeMap;

use super::{GitError, command::GitOutput};

/// Values by their keys, as Git folds those.
pub(super) type Settings = BTreeMap<String, String>;

/// Asks Git for all keys of ours, for those by which a clone is a partial one, and for the remotes that branches follow.
pub(super) const OWN_SETTINGS: [&str; 4] = [
    "config",
    "--null",
    "--get-regexp",
    r"^(two-key\..*|extensions\.partialclone|remote\..*\.(promisor|partialclonefilter)|branch\..*\.remote)$",
];

/// What Git says of those keys.
pub(super) fn settings(command: &str, output: GitOutput) -> Result<Settings, GitError> {
    let all = bytes(command, output)?.unwrap_or_default();
    // Keys come folded, each with its value after a line feed; one without a value is set to nothing.
    let entries = all.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    // What somebody calls a branch of his own is no reason to know nothing.
    let entries = entries.filter(|entry| !entry.starts_with(b"branch.") || std::str::from_utf8(entry).is_ok());
    let pair = |entry: &[u8]| {
        let entry = text(command, entry.to_vec())?;
        let (key, value) = entry.split_once('\n').unwrap_or((&entry, ""));
        Ok((key.to_owned(), value.to_owned()))
    };
    entries.map(pair).collect()
}

/// What `git config` says, if there is anything.
pub(super) fn value(command: &str, output: GitOutput) -> Result<Option<String>, GitError> {
    bytes(command, output)?.map(|value| text(command, value)).transpose()
}

fn text(command: &str, bytes: Vec<u8>) -> Result<String, GitError> {
    String::from_utf8(bytes).map_err(|_| GitError::Answer { command: command.to_owned(), what: "not UTF-8".to_owned() })
}

fn bytes(command: &str, output: GitOutput) -> Result<Option<Vec<u8>>, GitError> {
    match output.status.code() {
        Some(0) => Ok(Some(output.stdout.strip_suffix(b"\0").unwrap_or(&output.stdout).to_vec())),
        Some(1) => Ok(None),
        _ => Err(GitError::Program { command: command.to_owned(), stderr: output.stderr }),
    }
}
