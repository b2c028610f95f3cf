//! Allowed signers: the file by which Git's own commands check signatures, where this clone's configuration names ours.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Failure, session::Session};
use crate::{git::Repository, model::Reason, report};

/// The setting that names the file.
const SETTING: &str = "gpg.ssh.allowedSignersFile";

/// Where the file is.
fn file(repo: &Repository) -> PathBuf {
    repo.common_dir().join("two-key/allowed_signers")
}

/// What the file should say, where Git reads it here and it lacks what changed since it was written.
pub(super) fn stale(session: &Session) -> Result<Option<String>, Failure> {
    let file = file(&session.repo);
    if session.repo.config(SETTING)?.is_none_or(|named| Path::new(&named) != file) {
        return Ok(None);
    }
    let text = text(session);
    Ok(Some(text).filter(|text| fs::read_to_string(&file).ok().as_ref() != Some(text)))
}

/// Every key that ever was in force, with its validity.
pub(super) fn text(session: &Session) -> String {
    report::allowed_signers(&session.state, &session.past.all()) + "\n"
}

/// Writes the file, and has Git read it.
pub(super) fn write(repo: &Repository, text: &str) -> Result<(), Failure> {
    let file = file(repo);
    let failed = |error| Failure::undecided(Reason::Io, format!("writing {}: {error}", file.display()));
    fs::create_dir_all(file.parent().unwrap_or(&file)).map_err(failed)?;
    fs::write(&file, text).map_err(failed)?;
    Ok(repo.set_config(SETTING, &file.display().to_string())?)
}
