//! Files that are replaced as a whole or not at all.

use std::{fs::File, io::Write, path::Path};

use crate::model::{Reason, Refusal};

/// Replaces a file: writes another one beside it, flushes it, renames it over the old one, flushes the folder.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    let failed = |error: std::io::Error| cannot_write(path, &error);
    let folder = folder_of(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    readable(&file, path).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // A rename is on the disk only once its folder is.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Tries whether a file could be replaced, and leaves everything as it is.
pub(crate) fn probe(path: &Path) -> Result<(), Refusal> {
    tempfile::NamedTempFile::new_in(folder_of(path)).map(drop).map_err(|error| cannot_write(path, &error))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Temporary files are for their owner alone; what replaces a file has that file's permissions, else the usual ones.
fn readable(file: &tempfile::NamedTempFile, path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_or(0o644, |old| old.permissions().mode() & 0o777);
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(Reason::Io, format!("{} cannot be written: {error}", path.display()))
}
