//! The state folder of an applier or agent in its own clone, `<git-dir>/two-key/<role>/<name>/`: one process has it at a time.

use std::{
    fs::{File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::model::{PrincipalId, Reason, Refusal, policy::Role};

use super::files;

/// The folder of an applier or agent, locked for as long as this lives.
#[derive(Debug)]
pub struct StateFolder {
    journal: PathBuf,
    /// Held, never read: the lock is released when the file is closed, however the process ends. None where there is
    /// none, and none can be made.
    _lock: Option<File>,
    /// Why nothing can, or may, be written here.
    read_only: Option<Refusal>,
}

impl StateFolder {
    /// The folder of an applier or agent below a Git directory.
    pub fn folder_of(git_dir: &Path, role: Role, name: &PrincipalId) -> PathBuf {
        git_dir.join("two-key").join(role.word()).join(name.as_str())
    }

    /// Takes the folder of an applier or agent below a Git directory. `busy` if another process has it.
    pub fn open(git_dir: &Path, role: Role, name: &PrincipalId) -> Result<Self, Refusal> {
        let folder = Self::folder_of(git_dir, role, name);
        let failed = |error: std::io::Error| internal(&folder, &error);
        let path = folder.join("lock");
        let made = std::fs::create_dir_all(&folder)
            .and_then(|()| File::options().create(true).truncate(false).write(true).open(&path));
        // Where nothing can be written it can still look, and stop. A lock that is there is taken all the same.
        let (lock, read_only) = match made {
            Ok(lock) => (Some(lock), None),
            Err(error) => (File::open(&path).ok(), Some(failed(error).hint("nothing goes forward before it can be"))),
        };
        let journal = folder.join("journal.json");
        let Some(lock) = lock else { return Ok(Self { journal, _lock: None, read_only }) };
        match lock.try_lock() {
            Ok(()) => Ok(Self { journal, _lock: Some(lock), read_only }),
            Err(TryLockError::WouldBlock) => {
                let role = role.word();
                let message = format!("another process is at work as {role} {name} with {}", folder.display());
                let hint = format!("let it finish, or give each {role} a name of its own");
                Err(Refusal::new(Reason::Busy, message).hint(hint))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// What is written down by whoever works below a Git directory, without taking the folder.
    pub fn peek(git_dir: &Path, role: Role, name: &PrincipalId) -> Option<serde_json::Value> {
        let bytes = std::fs::read(Self::folder_of(git_dir, role, name).join("journal.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.journal.parent().unwrap_or(&self.journal)
    }

    /// What is there cannot be read: it is not written over, and nothing goes forward before somebody has looked.
    pub(crate) fn hold(&mut self, why: Refusal) {
        self.read_only.get_or_insert(why);
    }

    /// Whether what happens can be written down at all.
    pub fn can_be_written(&self) -> Result<(), Refusal> {
        self.read_only.clone().map_or(Ok(()), Err)
    }

    /// A folder beside the journal, for what is remembered elsewhere than in it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.journal.with_file_name(name)
    }

    /// Reads what was written down; none if nothing was yet. What cannot be read is an error: what was done last is not
    /// guessed.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, Refusal> {
        let bytes = match std::fs::read(&self.journal) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(internal(&self.journal, &error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            internal(&self.journal, &error).hint("move it away: all then starts anew from what is observed")
        })
    }

    /// Writes something down, as a whole or not at all.
    pub(crate) fn write(&self, journal: &impl Serialize) -> Result<(), Refusal> {
        self.can_be_written()?;
        let mut bytes = serde_json::to_vec_pretty(journal).map_err(|error| internal(&self.journal, &error))?;
        bytes.push(b'\n');
        files::replace(&self.journal, &bytes)
    }
}

fn internal(path: &Path, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Io, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_with_the_same_state_are_busy_and_the_next_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let name = PrincipalId::parse("edge1").unwrap();
        let first = StateFolder::open(folder.path(), Role::Applier, &name).unwrap();
        assert_eq!(StateFolder::open(folder.path(), Role::Applier, &name).unwrap_err().reason, Reason::Busy);
        StateFolder::open(folder.path(), Role::Applier, &PrincipalId::parse("edge2").unwrap()).unwrap();
        drop(first);
        let again = StateFolder::open(folder.path(), Role::Applier, &name).unwrap();
        assert_eq!(again.read::<String>().unwrap(), None);
        again.write(&"journal").unwrap();
        assert_eq!(again.read(), Ok(Some("journal".to_owned())));
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(folder.path(), Role::Applier, &PrincipalId::parse("edge1").unwrap()).unwrap();
        std::fs::write(&folder.journal, "{").unwrap();
        assert_eq!(folder.read::<String>().unwrap_err().reason, Reason::Io);
    }
}
