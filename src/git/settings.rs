//! Settings: what Git's configuration says of our own keys.

use std::collections::BTreeMap;

use super::{GitError, command::GitOutput};

/// Values by their keys, as Git folds those.
pub(super) type Settings = BTreeMap<String, String>;

/// Asks Git for all keys of ours, and for those by which a clone is a partial one.
pub(super) const OWN_SETTINGS: [&str; 4] = [
    "config",
    "--null",
    "--get-regexp",
    r"^(two-key\..*|extensions\.partialclone|remote\..*\.(promisor|partialclonefilter))$",
];

/// What Git says of those keys.
pub(super) fn settings(command: &str, output: GitOutput) -> Result<Settings, GitError> {
    let all = value(command, output)?.unwrap_or_default();
    // Keys come folded, each with its value after a line feed; one without a value is set to nothing.
    let entries = all.split('\0').filter(|entry| !entry.is_empty());
    let pair = |entry: &str| {
        let (key, value) = entry.split_once('\n').unwrap_or((entry, ""));
        (key.to_owned(), value.to_owned())
    };
    Ok(entries.map(pair).collect())
}

/// What `git config` says, if there is anything.
pub(super) fn value(command: &str, output: GitOutput) -> Result<Option<String>, GitError> {
    match output.status.code() {
        Some(0) => {
            let value = output.stdout.strip_suffix(b"\0").unwrap_or(&output.stdout).to_vec();
            let wrong = |_| GitError::Answer { command: command.to_owned(), what: "not UTF-8".to_owned() };
            String::from_utf8(value).map(Some).map_err(wrong)
        }
        Some(1) => Ok(None),
        _ => Err(GitError::Program { command: command.to_owned(), stderr: output.stderr }),
    }
}
