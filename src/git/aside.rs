//! Objects kept aside: what was fetched while the clone could not be written, in a temporary folder or in memory. Everybody
//! who reads this repository sees them; nothing that lasts may name them, for they end with the process.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{GitError, command::Program, scratch};
use crate::model::Oid;

/// A store of objects beside the clone's.
#[derive(Debug)]
struct Store {
    folder: tempfile::TempDir,
    /// The refs whose objects are here and not in the clone, by their names in the mirror.
    refs: BTreeMap<String, Oid>,
    /// Why the clone was not written.
    why: GitError,
}

/// What is kept aside of a repository, if anything is.
#[derive(Debug, Clone, Default)]
pub(super) struct Aside(Arc<Mutex<Option<Store>>>);

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

    /// Why a clone could not be written, as long as something that was fetched is not in it.
    pub(super) fn unwritten(&self, clone: &Path) -> Option<GitError> {
        self.store().as_ref().map(|store| GitError::Unwritten {
            folder: clone.display().to_string(),
            aside: store.folder.path().display().to_string(),
            why: store.why.to_string(),
        })
    }

    /// Has a fetch, whose program `fetch` makes, leave its objects aside, because the clone does not take them; true if it
    /// does.
    pub(super) fn fetch(
        &self,
        clone: &Path,
        refs: BTreeMap<String, Oid>,
        why: &GitError,
        fetch: impl Fn() -> Program,
    ) -> bool {
        let there = self.store().as_ref().map(|store| store.folder.path().to_owned());
        let into = |objects: &Path| {
            let program = fetch().env("GIT_OBJECT_DIRECTORY", objects);
            let own = quoted(&clone.join("objects"));
            program.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", own).bytes().is_ok()
        };
        if there.as_ref().is_some_and(|objects| into(objects)) {
            if let Some(store) = &mut *self.store() {
                store.refs.extend(refs);
            }
            return true;
        }
        if there.is_some() {
            return false;
        }
        let made = scratch::places().into_iter().filter_map(|place| tempfile::tempdir_in(place).ok());
        let Some(folder) = made.into_iter().find(|folder| into(folder.path())) else { return false };
        *self.store() = Some(Store { folder, refs, why: why.clone() });
        true
    }

    /// These refs are in the clone now. What is kept aside goes once all of it is; true if it went.
    pub(super) fn forget<'a>(&self, names: impl Iterator<Item = &'a str>) -> bool {
        let mut store = self.store();
        let Some(kept) = &mut *store else { return false };
        for name in names {
            kept.refs.remove(name);
        }
        let all = kept.refs.is_empty();
        if all {
            *store = None;
        }
        all
    }
}

/// A folder as Git reads a list of them: one in quotes may hold a colon.
fn quoted(folder: &Path) -> String {
    format!("\"{}\"", folder.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}
