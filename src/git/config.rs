//! Git configuration and the two variables of the environment that are ours.

use std::path::PathBuf;

use super::{GitError, Repository, SigningKey, command::Output, repository::Settings};
use crate::model::Oid;

/// The configuration key of the pinned root.
pub const ROOT: &str = "two-key.root";
/// The variable of the pinned root, which goes before the configuration.
pub const ROOT_VARIABLE: &str = "TWO_KEY_ROOT";
/// The configuration key of the key to sign with.
pub const KEY: &str = "two-key.key";

/// Asks Git for all keys of ours.
pub(super) const OWN_SETTINGS: [&str; 4] = ["config", "--null", "--get-regexp", r"^two-key\."];

/// What Git says of all keys of ours.
pub(super) fn settings(command: &str, output: Output) -> Result<Settings, GitError> {
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
fn value(command: &str, output: Output) -> Result<Option<String>, GitError> {
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

impl Repository {
    /// The last value of a configuration key. Our own keys are asked for all at once.
    pub fn config(&self, name: &str) -> Result<Option<String>, GitError> {
        if !name.starts_with("two-key.") {
            return self.get_config(&["--null", "--get", name]);
        }
        let known = self.settings().lock().ok().and_then(|settings| settings.clone());
        let settings = match known {
            Some(settings) => settings,
            None => self.own_settings()?,
        };
        let value = settings.get(&name.to_ascii_lowercase()).cloned();
        if let Ok(mut known) = self.settings().lock() {
            *known = Some(settings);
        }
        Ok(value)
    }

    fn own_settings(&self) -> Result<Settings, GitError> {
        let program = self.run(&OWN_SETTINGS);
        let command = program.line();
        settings(&command, program.output()?)
    }

    /// The last value of a configuration key that names a path, with `~` expanded.
    pub fn config_path(&self, name: &str) -> Result<Option<PathBuf>, GitError> {
        Ok(self.get_config(&["--null", "--type=path", "--get", name])?.map(PathBuf::from))
    }

    fn get_config(&self, args: &[&str]) -> Result<Option<String>, GitError> {
        let program = self.run(&["config"]).args(args);
        let command = program.line();
        value(&command, program.output()?)
    }

    /// Sets a key of this repository's own configuration.
    pub fn set_config(&self, name: &str, value: &str) -> Result<(), GitError> {
        if let Ok(mut known) = self.settings().lock() {
            *known = None;
        }
        self.run(&["config", "--local", "--replace-all", name, value]).bytes().map(drop)
    }

    /// The root that is pinned here: `TWO_KEY_ROOT`, else `two-key.root`. A value that is no object id of this
    /// repository is an error, never "unpinned".
    pub fn pinned_root(&self) -> Result<Option<Oid>, GitError> {
        #[allow(clippy::disallowed_methods, reason = "the one place where this variable is read")]
        let variable = std::env::var_os(ROOT_VARIABLE).filter(|value| !value.is_empty());
        match variable {
            Some(value) => self.root_of(ROOT_VARIABLE, value.to_string_lossy().into_owned()).map(Some),
            None => self.configured_root(),
        }
    }

    /// The root that the configuration pins. A server's hook goes by this alone: the environment may be the pusher's.
    pub fn configured_root(&self) -> Result<Option<Oid>, GitError> {
        self.config(ROOT)?.map(|value| self.root_of(ROOT, value)).transpose()
    }

    fn root_of(&self, from: &'static str, value: String) -> Result<Oid, GitError> {
        Oid::parse(&value).filter(|id| self.fits(*id)).ok_or(GitError::BadRoot { from, value })
    }

    /// The key to sign with unless another is named: `two-key.key`, else `user.signingkey`.
    pub fn default_key(&self) -> Result<Option<SigningKey>, GitError> {
        for name in [KEY, "user.signingkey"] {
            if let Some(text) = self.config(name)?.filter(|text| !text.is_empty()) {
                if let Some(literal) = SigningKey::literal(&text) {
                    return Ok(Some(literal));
                }
                // Asked for again as a path, for the sake of `~`.
                let path = self.config_path(name)?.unwrap_or_else(|| PathBuf::from(text));
                // As for Git, which signs at the top of the worktree: from a folder below it is the same file.
                let path = self.worktree().map_or_else(|| path.clone(), |top| top.join(&path));
                return SigningKey::file(path).map(Some);
            }
        }
        Ok(None)
    }
}
