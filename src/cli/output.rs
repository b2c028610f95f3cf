//! Files that verbs write because somebody named them, or in a place of their own in the worktree.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::{
    git::Repository,
    model::{Reason, Refusal},
};

/// Where a file is that is named from a folder. Refused if it is in the worktree and a symbolic link there is on the way to
/// it, or in its place.
pub(super) fn within(repo: &Repository, folder: &Path, file: &Path) -> Result<PathBuf, Failure> {
    let failed = |error| Failure::undecided(Reason::Io, format!("finding {}: {error}", folder.display()));
    let path = folder.canonicalize().map_err(failed)?.join(file);
    match repo.link_on_the_way(&path) {
        None => Ok(path),
        Some(link) => {
            let message = format!("{} is a symbolic link, and nothing is written where it leads", link.display());
            let refusal = Refusal::new(Reason::Malformed, message).hint("take it away, or name another file");
            Err(Failure::refused(file.display().to_string(), refusal))
        }
    }
}
