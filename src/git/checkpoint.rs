//! What the hook remembers of the fold between pushes.
//!
//! Kept in a folder that only the hook writes, tied to the root, the tip and this program's version, and never read
//! by `verify`. Anything off about it, and it is as if it were not there: that costs time, never safety.

use std::{
    fs::{self, DirBuilder, File},
    io::{BufReader, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{GitError, Repository};
use crate::{ledger::State, model::Oid};

/// A remembered state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: String,
    root: Oid,
    tip: Oid,
    state: State,
}

impl Checkpoint {
    fn folder(repository: &Repository) -> PathBuf {
        repository.common_dir().join("two-key")
    }

    fn file(repository: &Repository) -> PathBuf {
        Self::folder(repository).join("checkpoint.json")
    }

    /// The remembered state, if it is one of this root and by this version.
    pub(super) fn load(repository: &Repository, root: Oid) -> Option<State> {
        let file = File::open(Self::file(repository)).ok()?;
        let metadata = file.metadata().ok()?;
        // What others may write is nobody's memory.
        if !metadata.is_file() || metadata.mode() & 0o022 != 0 {
            return None;
        }
        let found: Self = serde_json::from_reader(BufReader::new(file)).ok()?;
        let state = found.state;
        let same = found.version == env!("CARGO_PKG_VERSION") && found.root == root && found.tip == state.tip();
        (same && state.root() == root).then_some(state)
    }

    /// Remembers a state, all of it or nothing.
    pub(super) fn save(repository: &Repository, state: &State) -> Result<(), GitError> {
        let folder = Self::folder(repository);
        let failed = |error| GitError::io("remembering the ledger's state", error);
        if !folder.is_dir() {
            DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        }
        let checkpoint = Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            root: state.root(),
            tip: state.tip(),
            state: state.clone(),
        };
        // Temporary files are made with mode 0600.
        let file = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
        let mut writer = BufWriter::new(file.as_file());
        serde_json::to_writer(&mut writer, &checkpoint).map_err(|error| failed(error.into()))?;
        writer.flush().map_err(failed)?;
        drop(writer);
        fs::rename(file.into_temp_path(), Self::file(repository)).map_err(failed)
    }
}
