//! Checkpoint: what the hook keeps of the fold between pushes.
//!
//! Kept in a folder that only the hook writes, tied to the root, the tip and this very build, and never read by
//! `verify`. Anything off about it, and it is as if it were not there: that costs time, never safety.
//!
//! What is known of leases grows with history, and a push needs little of it. So it lies in tables from which single
//! leases are read ([`super::table`]); what changed since those were written lies in one more, a small one, which is
//! written anew each time, and whose head is the rest of the state. When that has grown it becomes a table like the others,
//! together with those that are not much larger: so there are few tables, and hardly ever is a large one written.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    GitError, Repository,
    shared::{self, Access},
    table::Table,
};
use crate::{
    ledger::{LeaseEntry, Missed, State},
    model::Oid,
};

/// The version, and a digest of all that this program was built of: another build may have other rules.
const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("TWO_KEY_BUILD"));
/// The file with what is new, and how many leases it may have.
const RECENT: &str = "checkpoint";
const MAX_RECENT: usize = 512;
/// A table is written together with the next older one unless that has so many times as many leases. So there are few.
const GROWTH: u64 = 4;
/// What the names of the other tables begin with.
const OTHERS: &str = "leases-";
/// The file that is locked by whoever writes.
const LOCK: &str = "lock";

/// The state but for its leases, and where those are.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    build: String,
    root: Oid,
    tip: Oid,
    /// The tables with the leases that are not in the recent one, newest first: what is in two of them counts as the newer
    /// one has it.
    leases: Vec<String>,
    state: State,
}

/// A remembered state, of which leases are read when they are needed.
#[derive(Debug)]
pub(super) struct Checkpoint {
    head: Head,
    recent: Table,
    /// As the head names them.
    leases: Vec<Table>,
}

fn folder(repository: &Repository) -> PathBuf {
    repository.common_dir().join("two-key")
}

impl Checkpoint {
    /// The remembered state, if it is one of this root and by this build.
    pub(super) fn open(repository: &Repository, root: Oid) -> Option<Self> {
        let folder = folder(repository);
        let (recent, head) = Table::open(&folder.join(RECENT)).ok()?;
        let head: Head = serde_json::from_slice(&head).ok()?;
        let same = head.build == BUILD && head.root == root && head.tip == head.state.tip();
        if !same || head.state.root() != root || !head.leases.iter().all(|name| is_ours(name)) {
            return None;
        }
        let table = |name: &String| {
            let (table, head) = Table::open(&folder.join(name)).ok()?;
            // Another table under its name would know nothing of what it should.
            (head == name.as_bytes()).then_some(table)
        };
        let leases = head.leases.iter().map(table).collect::<Option<_>>()?;
        Some(Self { head, recent, leases })
    }

    /// The state, awaiting what is known of leases.
    pub(super) fn state(&self) -> State {
        self.head.state.clone().awaiting_entries()
    }

    /// The governed branch.
    pub(super) fn branch(&self) -> String {
        self.head.state.policy().get().branch_ref()
    }

    /// How many commits were folded.
    pub(super) fn length(&self) -> u64 {
        self.head.state.length()
    }

    /// Supplies a state that came of this one with what was missed.
    pub(super) fn supply(&self, state: &mut State, missed: &Missed) -> io::Result<()> {
        let entry = |bytes: Vec<u8>| Ok::<LeaseEntry, io::Error>(serde_json::from_slice(&bytes)?);
        let mut found = BTreeMap::new();
        if missed.all {
            let mut all = BTreeMap::new();
            for table in self.leases.iter().rev().chain([&self.recent]) {
                all.extend(table.all()?);
            }
            for (id, bytes) in all {
                found.insert(id, Some(entry(bytes)?));
            }
            state.supply(found);
            state.all_supplied();
            return Ok(());
        }
        for id in &missed.ids {
            let bytes = first([&self.recent].into_iter().chain(&self.leases), id)?;
            found.insert(id.clone(), bytes.map(entry).transpose()?);
        }
        state.supply(found);
        Ok(())
    }

    /// Remembers a state, all of it or nothing: one that came of what was remembered before, or a whole one.
    pub(super) fn save(before: Option<&Self>, repository: &Repository, state: &State) -> Result<(), GitError> {
        let failed = |error| GitError::io("remembering the ledger's state", error);
        let folder = folder(repository);
        shared::create(repository, &folder).map_err(failed)?;
        let Some(_alone) = alone(&folder).map_err(failed)? else { return Ok(()) };
        let changed = state.changed_entries().map(|(id, entry)| Ok((id.to_owned(), serde_json::to_vec(entry)?)));
        let changed = changed.collect::<io::Result<BTreeMap<_, _>>>().map_err(failed)?;
        write(before, &folder, state, changed).or_else(|error| forget(&folder, error)).map_err(failed)
    }
}

/// Whoever writes is alone, or would remove what another is about to refer to: the lock, until it is dropped, unless somebody else
/// has it, whose memory is as good. Where files cannot be locked it is done without.
fn alone(folder: &Path) -> io::Result<Option<File>> {
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
    // Only who made it may set this, and has.
    let _ = lock.set_permissions(Permissions::from_mode(Access::to(folder)?.bits()));
    Ok(if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) { None } else { Some(lock) })
}

/// Forgets what turned out to be broken while it was read for being written anew: each push would fold on from it, longer
/// every time. What cannot be written for another reason stays as good as it was.
fn forget(folder: &Path, error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::InvalidData { fs::remove_file(folder.join(RECENT)) } else { Err(error) }
}

fn write(
    before: Option<&Checkpoint>,
    folder: &Path,
    state: &State,
    changed: BTreeMap<String, Vec<u8>>,
) -> io::Result<()> {
    let mut recent = match before {
        Some(before) => before.recent.all()?,
        None => BTreeMap::new(),
    };
    recent.extend(changed);
    let older = before.map_or(Older { names: &[], tables: &[] }, |before| Older {
        names: &before.head.leases,
        tables: &before.leases,
    });
    let leases = if before.is_none() || recent.len() > MAX_RECENT {
        older.with(folder, std::mem::take(&mut recent))?
    } else {
        older.names.to_vec()
    };
    let (root, tip) = (state.root(), state.tip());
    let head = Head { build: BUILD.to_owned(), root, tip, leases, state: state.core() };
    let file = new_file(folder)?;
    Table::write(file.as_file(), &serde_json::to_vec(&head)?, &recent)?;
    fs::rename(file.into_temp_path(), folder.join(RECENT))?;
    remove_others(folder, &head.leases)
}

/// The tables that there are, newest first.
struct Older<'a> {
    names: &'a [String],
    tables: &'a [Table],
}

impl Older<'_> {
    /// Writes a table of newer records and of all older tables that are not much larger, and names the tables that there are
    /// now.
    fn with(&self, folder: &Path, mut records: BTreeMap<String, Vec<u8>>) -> io::Result<Vec<String>> {
        let mut taken = 0;
        for table in self.tables {
            if table.size() >= GROWTH * records.len() as u64 {
                break;
            }
            let newer = std::mem::replace(&mut records, table.all()?);
            records.extend(newer);
            taken += 1;
        }
        let mut names = vec![write_table(folder, &records)?];
        names.extend_from_slice(&self.names[taken..]);
        Ok(names)
    }
}

/// The record of a key in the first of some tables that has one.
fn first<'a>(tables: impl IntoIterator<Item = &'a Table>, key: &str) -> io::Result<Option<Vec<u8>>> {
    for table in tables {
        if let Some(record) = table.get(key)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Writes a table and says under what name.
fn write_table(folder: &Path, records: &BTreeMap<String, Vec<u8>>) -> io::Result<String> {
    let file = new_file(folder)?;
    let name = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    Table::write(file.as_file(), name.as_bytes(), records)?;
    file.keep().map_err(|error| error.error)?;
    Ok(name)
}

/// A file that is a table's unless it gets another name: what a hook that was killed left behind is removed as such.
fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    Access::to(folder)?.file(folder, OTHERS)
}

/// Removes the tables that nothing refers to any more. Who is about to read one does without.
fn remove_others(folder: &Path, but: &[String]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_ours(&name) && !but.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a name can be that of a table: never that of a file somewhere else.
fn is_ours(name: &str) -> bool {
    name.strip_prefix(OTHERS)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = alone(folder.path()).unwrap();
        assert!(first.is_some() && alone(folder.path()).unwrap().is_none());
        drop(first);
        assert!(alone(folder.path()).unwrap().is_some());
    }

    #[test]
    fn of_many_tables_the_newest_record_counts_and_there_are_never_many() {
        let folder = tempfile::tempdir().unwrap();
        let (mut names, mut expected) = (Vec::<String>::new(), BTreeMap::new());
        for round in 0..60_u32 {
            let key = |number: u32| format!("lease-{}", (round * 17 + number * 7) % 900);
            let newer: BTreeMap<_, _> = (0..20).map(|number| (key(number), vec![round.to_le_bytes()[0]])).collect();
            expected.extend(newer.clone());
            let open = |name: &String| Table::open(&folder.path().join(name)).unwrap().0;
            let tables: Vec<_> = names.iter().map(open).collect();
            // What a hook that was killed left behind.
            new_file(folder.path()).unwrap().keep().unwrap();
            names = Older { names: &names, tables: &tables }.with(folder.path(), newer).unwrap();
            remove_others(folder.path(), &names).unwrap();
            let tables: Vec<_> = names.iter().map(open).collect();
            assert!(names.len() <= 6 && fs::read_dir(folder.path()).unwrap().count() == names.len(), "{names:?}");
            for number in 0..=900 {
                let key = format!("lease-{number}");
                assert_eq!(first(&tables, &key).unwrap().as_ref(), expected.get(&key), "round {round}, {key}");
            }
        }
        assert!(names.len() > 1, "the large one was left alone");
    }
}
