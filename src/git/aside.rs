//! Objects kept aside: what was fetched while the clone could not be written, in a temporary folder or in memory. Everybody
//! who reads this repository sees them; nothing that lasts may name them, for they end with the process.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{GitError, Mirrored, Repository, command::Program};

/// Where there is room if the disk has none.
const MEMORY: &str = "/dev/shm";

/// A store of objects beside the clone's.
#[derive(Debug)]
struct Store {
    folder: tempfile::TempDir,
    /// The refs whose objects are here and not in the clone, by their names in the mirror.
    refs: Mirrored,
    /// Why the clone was not written.
    why: GitError,
}

/// What is kept aside of a repository, if anything is.
#[derive(Debug, Clone, Default)]
pub(super) struct Aside(Arc<Mutex<Option<Store>>>);

/// Folders in which something temporary can be made, the likeliest first.
pub(super) fn scratch() -> [PathBuf; 2] {
    [std::env::temp_dir(), PathBuf::from(MEMORY)]
}

/// A temporary folder, wherever one can be made.
pub(super) fn scratch_folder() -> std::io::Result<tempfile::TempDir> {
    let [first, other] = scratch();
    tempfile::tempdir_in(first).or_else(|error| tempfile::tempdir_in(other).map_err(|_| error))
}

/// A temporary file without a name, wherever one can be made.
pub(super) fn scratch_file() -> std::io::Result<std::fs::File> {
    let [first, other] = scratch();
    tempfile::tempfile_in(first).or_else(|error| tempfile::tempfile_in(other).map_err(|_| error))
}

impl Aside {
    fn store(&self) -> MutexGuard<'_, Option<Store>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a program that reads see what is kept aside.
    pub(super) fn seen_by(&self, program: Program) -> Program {
        match &*self.store() {
            Some(store) => program.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(store.folder.path())),
            None => program,
        }
    }

    /// Whether a ref of the mirror is only kept aside.
    pub(super) fn has(&self, name: &str) -> bool {
        self.store().as_ref().is_some_and(|store| store.refs.contains_key(name))
    }
}

impl Repository {
    /// Why the clone could not be written, as long as something that was fetched is not in it.
    pub fn unwritten(&self) -> Option<GitError> {
        self.aside().store().as_ref().map(|store| GitError::Unwritten {
            folder: self.common_dir().display().to_string(),
            aside: store.folder.path().display().to_string(),
            why: store.why.to_string(),
        })
    }

    /// Has a fetch, whose program `fetch` makes, leave its objects aside, because the clone does not take them; true if it
    /// does.
    pub(super) fn fetch_aside(&self, refs: Mirrored, why: &GitError, fetch: impl Fn() -> Program) -> bool {
        let there = self.aside().store().as_ref().map(|store| store.folder.path().to_owned());
        let into = |objects: &Path| {
            let program = fetch().env("GIT_OBJECT_DIRECTORY", objects);
            let own = quoted(&self.common_dir().join("objects"));
            self.limited(program.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", own)).bytes().is_ok()
        };
        if there.as_ref().is_some_and(|objects| into(objects)) {
            if let Some(store) = &mut *self.aside().store() {
                store.refs.extend(refs);
            }
            return true;
        }
        if there.is_some() {
            return false;
        }
        let made = scratch().into_iter().filter_map(|place| tempfile::tempdir_in(place).ok());
        let Some(folder) = made.into_iter().find(|folder| into(folder.path())) else { return false };
        *self.aside().store() = Some(Store { folder, refs, why: why.clone() });
        // Readers that run already do not see it.
        self.idle().renew();
        true
    }

    /// These refs are in the clone now. What is kept aside goes once all of it is.
    pub(super) fn is_in_the_clone<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut store = self.aside().store();
        if let Some(kept) = &mut *store {
            for name in names {
                kept.refs.remove(name);
            }
            if kept.refs.is_empty() {
                *store = None;
                self.idle().renew();
            }
        }
    }
}

/// A folder as Git reads a list of them: one in quotes may hold a colon.
fn quoted(folder: &Path) -> String {
    format!("\"{}\"", folder.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}
