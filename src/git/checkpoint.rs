//! What the hook remembers of the fold between pushes.
//!
//! Kept in a folder that only the hook writes, tied to the root, the tip and this very build, and never read by
//! `verify`. Anything off about it, and it is as if it were not there: that costs time, never safety.
//!
//! What is known of leases grows with history, and a push needs little of it. So it lies in a table from which single
//! leases are read ([`super::table`]); what changed since that was written lies in a second, small one, which is written
//! anew each time, and whose head is the rest of the state. When the small one has grown, both become a new large one.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{GitError, Repository, table::Table};
use crate::{
    ledger::{Dossier, Missed, State},
    model::Oid,
};

/// The version, and a digest of all that this program was built of: another build may have other rules.
const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("TWO_KEY_BUILD"));
/// The file with what is new, and how many leases it may have.
const RECENT: &str = "checkpoint";
const MAX_RECENT: usize = 512;
/// What the names of files with all leases begin with.
const ALL: &str = "leases-";

/// The state but for its leases, and where those are.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    build: String,
    root: Oid,
    tip: Oid,
    /// The file with the leases that the recent ones are not in.
    leases: String,
    state: State,
}

/// A remembered state, of which leases are read when they are needed.
#[derive(Debug)]
pub(super) struct Checkpoint {
    head: Head,
    recent: Table,
    leases: Table,
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
        if !same || head.state.root() != root || !is_ours(&head.leases) {
            return None;
        }
        let (leases, name) = Table::open(&folder.join(&head.leases)).ok()?;
        // Another table under its name would know nothing of what it should.
        (name == head.leases.as_bytes()).then_some(Self { head, recent, leases })
    }

    /// The state, awaiting what is known of leases.
    pub(super) fn state(&self) -> State {
        self.head.state.clone().awaiting_dossiers()
    }

    /// How many commits were folded.
    pub(super) fn length(&self) -> u64 {
        self.head.state.length()
    }

    /// Supplies a state that came of this one with what was missed.
    pub(super) fn supply(&self, state: &mut State, missed: &Missed) -> io::Result<()> {
        let dossier = |bytes: Vec<u8>| Ok::<Dossier, io::Error>(serde_json::from_slice(&bytes)?);
        let mut found = BTreeMap::new();
        if missed.all {
            let mut all = self.leases.all()?;
            all.extend(self.recent.all()?);
            for (id, bytes) in all {
                found.insert(id, Some(dossier(bytes)?));
            }
            state.supply(found);
            state.all_supplied();
            return Ok(());
        }
        for id in &missed.ids {
            let bytes = match self.recent.get(id)? {
                Some(bytes) => Some(bytes),
                None => self.leases.get(id)?,
            };
            found.insert(id.clone(), bytes.map(dossier).transpose()?);
        }
        state.supply(found);
        Ok(())
    }

    /// Remembers a state, all of it or nothing: one that came of what was remembered before, or a whole one.
    pub(super) fn save(before: Option<&Self>, repository: &Repository, state: &State) -> Result<(), GitError> {
        let failed = |error| GitError::io("remembering the ledger's state", error);
        let folder = folder(repository);
        if !folder.is_dir() {
            DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        }
        let changed = state.changed_dossiers().map(|(id, dossier)| Ok((id.to_owned(), serde_json::to_vec(dossier)?)));
        let changed = changed.collect::<io::Result<BTreeMap<_, _>>>().map_err(failed)?;
        write(before, &folder, state, changed).map_err(failed)
    }
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
    let leases = match before {
        Some(before) if recent.len() <= MAX_RECENT => before.head.leases.clone(),
        _ => {
            let mut all = before.map_or_else(|| Ok(BTreeMap::new()), |before| before.leases.all())?;
            all.extend(std::mem::take(&mut recent));
            // Temporary files are made with mode 0600, and with names that nobody else has.
            let file = tempfile::Builder::new().prefix(ALL).tempfile_in(folder)?;
            let name = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            Table::write(file.as_file(), name.as_bytes(), &all)?;
            file.keep().map_err(|error| error.error)?;
            name
        }
    };
    let (root, tip) = (state.root(), state.tip());
    let head = Head { build: BUILD.to_owned(), root, tip, leases, state: state.core() };
    let file = tempfile::NamedTempFile::new_in(folder)?;
    Table::write(file.as_file(), &serde_json::to_vec(&head)?, &recent)?;
    fs::rename(file.into_temp_path(), folder.join(RECENT))?;
    remove_others(folder, &head.leases)
}

/// Removes the large tables that nothing refers to any more. Who is about to read one does without.
fn remove_others(folder: &Path, but: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_ours(&name) && name != but {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a name can be that of a table with all leases: never that of a file somewhere else.
fn is_ours(name: &str) -> bool {
    name.strip_prefix(ALL).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
