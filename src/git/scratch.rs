//! Scratch files and folders: temporary ones, made wherever there is room.

use std::{fs::File, io, path::PathBuf};

use tempfile::TempDir;

/// Where there is room if the disk has none.
const MEMORY: &str = "/dev/shm";

/// Folders in which something temporary can be made, the likeliest first.
pub(super) fn places() -> [PathBuf; 2] {
    [std::env::temp_dir(), PathBuf::from(MEMORY)]
}

/// A temporary folder, wherever one can be made.
pub(super) fn folder() -> io::Result<TempDir> {
    let [first, other] = places();
    tempfile::tempdir_in(first).or_else(|error| tempfile::tempdir_in(other).map_err(|_| error))
}

/// A temporary file without a name, wherever one can be made.
pub(super) fn file() -> io::Result<File> {
    let [first, other] = places();
    tempfile::tempfile_in(first).or_else(|error| tempfile::tempfile_in(other).map_err(|_| error))
}
