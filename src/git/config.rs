//! Git configuration and the two variables of the environment that are ours.

use std::path::PathBuf;

use super::{
    GitError, Repository, SigningKey,
    command::Program,
    settings::{OWN_SETTINGS, Settings, settings, value},
};
use crate::model::Oid;

/// The configuration key of the pinned root.
pub const ROOT: &str = "two-key.root";
/// The variable of the pinned root, which goes before the configuration.
pub const ROOT_VARIABLE: &str = "TWO_KEY_ROOT";
/// The configuration key of the key to sign with.
pub const KEY: &str = "two-key.key";

/// Whether verbs look at the remote first.
pub const FETCH: &str = "two-key.fetch";
/// Whether what is signed is pushed.
pub const PUSH: &str = "two-key.push";

#[allow(clippy::disallowed_methods, reason = "the one place where this variable is read")]
fn root_variable() -> Option<String> {
    let value = std::env::var_os(ROOT_VARIABLE).filter(|value| !value.is_empty());
    value.map(|value| value.to_string_lossy().into_owned())
}

impl Repository {
    /// The last value of a configuration key. Our own keys are asked for all at once, with the remotes that branches follow.
    pub fn config(&self, name: &str) -> Result<Option<String>, GitError> {
        if name.starts_with("two-key.") {
            return self.among_settings(|settings| settings.get(&name.to_ascii_lowercase()).cloned());
        }
        // A branch's name is not folded.
        if name.starts_with("branch.") && name.ends_with(".remote") {
            return self.among_settings(|settings| settings.get(name).cloned());
        }
        self.get_config(&["--null", "--get", name])
    }

    /// The last value of a configuration key that is switched on or off.
    pub fn config_bool(&self, name: &str) -> Result<Option<bool>, GitError> {
        Ok(self.get_config(&["--null", "--type=bool", "--get", name])?.map(|value| value == "true"))
    }

    /// Whether a setting of ours that is on by default is switched off.
    pub fn is_off(&self, name: &str) -> Result<bool, GitError> {
        match self.config(name)?.as_deref() {
            None | Some("true") => Ok(false),
            Some("false") => Ok(true),
            // Git has more words for both, and refuses what is neither.
            Some(_) => Ok(self.config_bool(name)? == Some(false)),
        }
    }

    /// Whether some remote has promised to have what is not here: then Git asks it for that as it reads.
    pub(super) fn is_promised(&self) -> Result<bool, GitError> {
        let promises = |(key, value): (&String, &String)| match key.rsplit('.').next() {
            Some("promisor") => !["false", "no", "off", "0"].contains(&value.to_ascii_lowercase().as_str()),
            Some("partialclone" | "partialclonefilter") => !key.starts_with("two-key."),
            _ => false,
        };
        self.among_settings(|settings| settings.iter().any(promises))
    }

    /// Looks something up among our own settings, which are asked for once.
    fn among_settings<T>(&self, look: impl FnOnce(&Settings) -> T) -> Result<T, GitError> {
        let known = self.settings().lock().ok().and_then(|settings| settings.clone());
        let settings = known.map_or_else(|| self.own_settings(), Ok)?;
        let found = look(&settings);
        if let Ok(mut known) = self.settings().lock() {
            *known = Some(settings);
        }
        Ok(found)
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

    /// The pager that Git would use, as a line for a shell; none where that only copies.
    #[allow(clippy::disallowed_methods, reason = "Git names its pager in the environment, too")]
    pub fn pager(&self) -> Result<Option<String>, GitError> {
        // The environment here has one that never pages, so that no program of ours waits for a person.
        let line =
            match std::env::var("GIT_PAGER").ok().map_or_else(|| self.config("core.pager"), |line| Ok(Some(line)))? {
                Some(line) => line,
                None => std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned()),
            };
        Ok(Some(line).filter(|line| !line.is_empty() && line != "cat"))
    }

    /// Sets a key of this repository's own configuration.
    pub fn set_config(&self, name: &str, value: &str) -> Result<(), GitError> {
        if let Ok(mut known) = self.settings().lock() {
            *known = None;
        }
        self.run(&["config", "--local", "--replace-all", name, value]).bytes().map(drop)
    }

    /// Adds a value to a key of this repository's own configuration that may have several.
    pub fn add_config(&self, name: &str, value: &str) -> Result<(), GitError> {
        self.run(&["config", "--local", "--add", name, value]).bytes().map(drop)
    }

    /// Takes the values that match a pattern from a key of this repository's own configuration.
    pub fn unset_config(&self, name: &str, pattern: &str) -> Result<(), GitError> {
        self.run(&["config", "--local", "--unset-all", name, pattern]).bytes().map(drop)
    }

    /// The root that is pinned here: `TWO_KEY_ROOT`, else `two-key.root`. A value that is no object id of this
    /// repository is an error, never "unpinned".
    pub fn pinned_root(&self) -> Result<Option<Oid>, GitError> {
        match root_variable() {
            Some(value) => self.root_of(ROOT_VARIABLE, value).map(Some),
            None => self.configured_root(),
        }
    }

    /// Whether it is the configuration alone that pins a root. Who could alter what lies beside it could alter that as well; a root
    /// from the environment is there for those who do not rely on what they find in a folder.
    pub(super) fn pins(&self, root: Oid) -> bool {
        root_variable().is_none() && self.configured_root().is_ok_and(|pinned| pinned == Some(root))
    }

    /// The root that the configuration pins. A server's hook goes by this alone: the environment may be the pusher's.
    pub fn configured_root(&self) -> Result<Option<Oid>, GitError> {
        self.config(ROOT)?.map(|value| self.root_of(ROOT, value)).transpose()
    }

    fn root_of(&self, from: &'static str, value: String) -> Result<Oid, GitError> {
        Oid::parse(&value).filter(|id| self.fits(*id)).ok_or(GitError::BadRoot { from, value })
    }

    /// The program that makes SSH signatures: Git's own setting, else `ssh-keygen`.
    pub(crate) fn ssh_program(&self) -> Result<PathBuf, GitError> {
        Ok(self.config_path("gpg.ssh.program")?.unwrap_or_else(|| PathBuf::from("ssh-keygen")))
    }

    /// The key to sign with unless another is named: `two-key.key`, else `user.signingkey`, else the first one that the program
    /// of `gpg.ssh.defaultKeyCommand` prints.
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
        let Some(command) = self.config("gpg.ssh.defaultKeyCommand")?.filter(|command| !command.is_empty()) else {
            return Ok(None);
        };
        let answer = Program::new("sh").args(["-c", &command]).interactive().text().map_err(|error| match error {
            GitError::Program { .. } => GitError::NoKey(format!("gpg.ssh.defaultKeyCommand (`{command}`) failed")),
            other => other,
        })?;
        let line = answer.lines().next().unwrap_or_default();
        match SigningKey::literal(line) {
            Some(literal) => Ok(Some(literal)),
            None => Err(GitError::NoKey(format!("gpg.ssh.defaultKeyCommand (`{command}`) printed no public key"))),
        }
    }
}
