//! A small file beside the journal, for what a target itself cannot hold.

use std::{
    io::ErrorKind,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    follower::files,
    model::{Reason, Refusal},
};

/// The file.
#[derive(Debug)]
pub(super) struct KeptFile<T> {
    path: PathBuf,
    what: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> KeptFile<T> {
    /// The file of a target in a folder.
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(format!("{name}.json")), what: PhantomData }
    }

    /// What is written down; none if nothing is. What cannot be read is not guessed.
    pub(super) fn read(&self) -> Result<Option<T>, Refusal> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unknown(&error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.unknown(&error))
    }

    /// Writes something down, or takes away what was.
    pub(super) fn write(&self, what: Option<&T>) -> Result<(), Refusal> {
        let Some(what) = what else {
            return match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(self.unknown(&error)),
                _ => Ok(()),
            };
        };
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| self.unknown(&error))?;
        }
        let mut bytes = serde_json::to_vec(what).map_err(|error| self.unknown(&error))?;
        bytes.push(b'\n');
        files::replace(&self.path, &bytes)
    }

    fn unknown(&self, error: &dyn std::fmt::Display) -> Refusal {
        let message = format!("{}, which says for which lease the target was moved: {error}", self.path.display());
        Refusal::new(Reason::NoData, message).hint("move it away: the lease's pack helps out")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_comes_back_and_what_is_broken_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeptFile::<u32>::new(&folder.path().join("sub"), "shop");
        assert_eq!(file.read(), Ok(None));
        file.write(None).unwrap();
        file.write(Some(&7)).unwrap();
        assert_eq!(file.read(), Ok(Some(7)));
        std::fs::write(folder.path().join("sub/shop.json"), "{}").unwrap();
        assert_eq!(file.read().unwrap_err().reason, Reason::NoData);
        file.write(None).unwrap();
        assert_eq!(file.read(), Ok(None));
    }
}
