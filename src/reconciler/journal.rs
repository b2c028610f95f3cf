//! What an applier remembers in its own clone: `<git-dir>/two-key/applier/<name>/journal.json`, written before and after
//! each act. Killed at any instruction, the next run reads it, observes, and converges.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::model::{LeaseId, Oid, PrincipalId, Reason, Refusal, TargetId, policy::Role};

use super::{clock::Reading, decide::Applied, files, records::RecordedEvent, stops::SeenStop};

/// What is remembered. What other versions of the program wrote beside it is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Journal {
    /// The form of the file.
    pub version: u32,
    /// The root that all of it rests on.
    pub root: Oid,
    /// The last accepted tip of the governed branch.
    pub accepted: Option<Oid>,
    /// When the remote was last fetched.
    pub fetched: Option<Reading>,
    /// The last look at the clocks that was believed.
    pub clock: Option<Reading>,
    /// Leases that were seen to expire, as long as they have not ended: no clock that is set back opens one again.
    #[serde(default)]
    pub expired: BTreeSet<LeaseId>,
    /// Stops that the ledger has not folded yet.
    pub stops: Vec<SeenStop>,
    /// Tips below which every commit has been searched for stops.
    pub searched: Vec<Oid>,
    /// What was applied, by target.
    pub targets: BTreeMap<TargetId, Applied>,
    /// What happened and is in no record yet.
    #[serde(default)]
    pub events: Vec<RecordedEvent>,
}

impl Journal {
    /// The journal of an applier that has not done anything yet.
    pub fn new(root: Oid) -> Self {
        Self {
            version: 1,
            root,
            accepted: None,
            fetched: None,
            clock: None,
            expired: BTreeSet::new(),
            stops: Vec::new(),
            searched: Vec::new(),
            targets: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Whether it says nothing that an earlier one did not: the times of looking aside. A bake is credited from look to
    /// look, so one that is found as it was a while ago goes on from there.
    pub fn says_the_same_as(&self, earlier: &Self) -> bool {
        let same = |(target, applied): (&TargetId, &Applied)| {
            earlier.targets.get(target).is_some_and(|before| applied.differs_by_looks_only(before))
        };
        self.root == earlier.root
            && self.accepted == earlier.accepted
            && self.stops == earlier.stops
            && self.searched == earlier.searched
            && self.events == earlier.events
            && self.expired == earlier.expired
            && self.targets.len() == earlier.targets.len()
            && self.targets.iter().all(same)
    }
}

/// The folder of an applier or agent, locked for as long as this lives.
#[derive(Debug)]
pub struct Desk {
    journal: PathBuf,
    /// Held, never read: the lock is released when the file is closed, however the process ends. None where there is
    /// none, and none can be made.
    _lock: Option<File>,
    /// Why nothing can be written here.
    read_only: Option<Refusal>,
}

impl Desk {
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

    /// Whether what happens can be written down at all.
    pub fn can_be_written(&self) -> Result<(), Refusal> {
        self.read_only.clone().map_or(Ok(()), Err)
    }

    /// A folder beside the journal, for what is remembered elsewhere than in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.journal.with_file_name(name)
    }

    /// Reads the applier's journal; none if nothing has been written yet.
    pub fn load(&self) -> Result<Option<Journal>, Refusal> {
        let journal: Option<Journal> = self.read()?;
        match journal {
            Some(journal) if journal.version != 1 => Err(internal(&self.journal, &"its version is not 1")),
            other => Ok(other),
        }
    }

    /// Writes the applier's journal.
    pub fn save(&self, journal: &Journal) -> Result<(), Refusal> {
        self.write(journal)
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
        let mut bytes = serde_json::to_vec_pretty(journal).map_err(|error| internal(&self.journal, &error))?;
        bytes.push(b'\n');
        files::replace(&self.journal, &bytes)
    }
}

fn internal(path: &Path, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Internal, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_with_the_same_state_are_busy_and_the_next_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let name = PrincipalId::parse("edge1").unwrap();
        let first = Desk::open(folder.path(), Role::Applier, &name).unwrap();
        assert_eq!(Desk::open(folder.path(), Role::Applier, &name).unwrap_err().reason, Reason::Busy);
        Desk::open(folder.path(), Role::Applier, &PrincipalId::parse("edge2").unwrap()).unwrap();
        drop(first);
        let again = Desk::open(folder.path(), Role::Applier, &name).unwrap();
        assert_eq!(again.load().unwrap(), None);
        let journal = Journal::new(Oid::Sha1([1; 20]));
        again.save(&journal).unwrap();
        assert_eq!(again.load().unwrap(), Some(journal));
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::open(folder.path(), Role::Applier, &PrincipalId::parse("edge1").unwrap()).unwrap();
        std::fs::write(&desk.journal, "{").unwrap();
        assert_eq!(desk.load().unwrap_err().reason, Reason::Internal);
    }
}
