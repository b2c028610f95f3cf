//! Files of refs: what they are like tells that no ref has moved, without asking Git.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::Repository;

/// Files and folders that are looked at. Where there are more, Git is asked.
const MOST: usize = 4096;

/// What the files are like in which a repository's refs are. Git never writes to one: it renames another to its place, which alters
/// the folder, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefFiles(BTreeMap<PathBuf, Stamp>);

/// A file's or folder's device, number, size and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([i64; 7]);

impl Stamp {
    fn of(file: &fs::Metadata) -> Self {
        let number = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
        Self([
            number(file.dev()),
            number(file.ino()),
            number(file.size()),
            file.mtime(),
            file.mtime_nsec(),
            file.ctime(),
            file.ctime_nsec(),
        ])
    }
}

impl Repository {
    /// What the files of the refs are like, where that tells anything: not where they are very many, or kept in a way that is not
    /// known here.
    pub fn ref_files(&self) -> Option<RefFiles> {
        let mut found = BTreeMap::new();
        let folder = self.common_dir();
        let reftable = folder.join("reftable");
        if reftable.is_dir() {
            look(&reftable.join("tables.list"), &mut found).ok()?;
        }
        look(&folder.join("packed-refs"), &mut found).ok()?;
        look_below(&folder.join("refs"), &mut found).ok()?;
        Some(RefFiles(found))
    }
}

/// Looks at a file; that there is none is told by its lack.
fn look(path: &Path, found: &mut BTreeMap<PathBuf, Stamp>) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        // What a link leads to may be anywhere.
        Ok(file) if file.is_symlink() || found.len() >= MOST => Err(io::Error::other("not to be told by files")),
        Ok(file) => {
            found.insert(path.to_owned(), Stamp::of(&file));
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn look_below(folder: &Path, found: &mut BTreeMap<PathBuf, Stamp>) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    look(folder, found)?;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if look(&path, found)?.is_some_and(|file| file.is_dir()) {
                folders.push(path);
            }
        }
    }
    Ok(())
}
