//! Shared repositories: who may read and write what the hook keeps, as `core.sharedRepository` says of Git's own files.
//!
//! Pushes to one repository may come by several accounts. What the hook of one keeps, that of another has to read and replace.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tempfile::NamedTempFile;

use super::Repository;

/// For whom the files in a folder of ours are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access(u32);

/// Makes a folder of ours, with those above it that are missing, unless it is there.
pub(super) fn create(repository: &Repository, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let shared = repository.config("core.sharedRepository").map_err(io::Error::other)?;
    let mode = mode(shared.as_deref().unwrap_or_default());
    for folder in folder.ancestors().collect::<Vec<_>>().into_iter().rev() {
        match fs::create_dir(folder) {
            // Not at once by creation: the umask would take from it.
            Ok(()) => fs::set_permissions(folder, Permissions::from_mode(mode))?,
            Err(_) if folder.is_dir() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Access {
    /// As the folder has it.
    pub(super) fn to(folder: &Path) -> io::Result<Self> {
        Ok(Self(fs::metadata(folder)?.permissions().mode()))
    }

    /// A new file that those may read and write who may do so with the folder, under a name that nobody else has.
    pub(super) fn file(self, folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
        let file = tempfile::Builder::new().prefix(prefix).tempfile_in(folder)?;
        // Temporary files are their owner's alone.
        if self.bits() != 0o600 {
            file.as_file().set_permissions(Permissions::from_mode(self.bits()))?;
        }
        Ok(file)
    }

    /// The permissions of a file.
    pub(super) fn bits(self) -> u32 {
        self.0 & 0o666
    }
}

/// A folder's permissions, by the words of `git help config`.
fn mode(shared: &str) -> u32 {
    match shared {
        "group" | "true" | "1" => 0o2770,
        "all" | "world" | "everybody" | "2" => 0o2775,
        number => match u32::from_str_radix(number, 8) {
            // A file's permissions: who may read may enter.
            Ok(files) if number.starts_with('0') && files & 0o600 == 0o600 => 0o2000 | files | (files & 0o444) >> 2,
            _ => 0o700,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_for_whom_the_repository_is() {
        for (shared, expected) in [
            ("", 0o700),
            ("umask", 0o700),
            ("false", 0o700),
            ("0", 0o700),
            ("group", 0o2770),
            ("true", 0o2770),
            ("all", 0o2775),
            ("0640", 0o2750),
            ("0660", 0o2770),
            ("0664", 0o2775),
            ("0077", 0o700),
        ] {
            assert_eq!(mode(shared), expected, "{shared}");
        }
    }
}
