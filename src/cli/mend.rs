//! Mends: what `doctor --fix` does by itself, because it touches nothing that anybody signed.

use std::env;

use super::{Failure, signers, terminal::remark, turn::tags::FalseTag};
use crate::{
    git::{Hook, Repository},
    model::{Reason, Refusal, refs},
};

/// A harmless mend.
#[derive(Debug)]
pub enum Mend {
    /// A setting gets a value.
    Set(String, String),
    /// A setting that may have several values gets one more.
    Add(String, String),
    /// A setting loses the values that match a pattern.
    Unset(String, String),
    /// Tags that claim what is not in force go.
    DeleteTags(Vec<FalseTag>),
    /// The client's hook is installed.
    InstallHook,
    /// The keys by which Git's own commands check signatures are written anew.
    WriteSigners(String),
}

impl Mend {
    /// The command that does the same.
    pub fn command(&self) -> String {
        match self {
            Self::Set(name, value) => format!("git config {name} {value}"),
            Self::Add(name, value) => format!("git config --add {name} '{value}'"),
            Self::Unset(name, pattern) => format!("git config --unset-all {name} '{pattern}'"),
            Self::DeleteTags(tags) => {
                let names: Vec<_> = tags.iter().map(|tag| refs::short(&tag.name)).collect();
                format!("git tag --delete {}", names.join(" "))
            }
            Self::InstallHook => "git two-key hook install".to_owned(),
            Self::WriteSigners(_) => "git two-key doctor --fix".to_owned(),
        }
    }

    /// Does it.
    pub fn apply(&self, repo: &Repository) -> Result<(), Failure> {
        match self {
            Self::WriteSigners(text) => signers::write(repo, text),
            Self::Set(name, value) => Ok(repo.set_config(name, value)?),
            Self::Add(name, value) => Ok(repo.add_config(name, value)?),
            Self::Unset(name, pattern) => Ok(repo.unset_config(name, pattern)?),
            Self::DeleteTags(tags) => tags.iter().try_for_each(|tag| Ok(repo.delete_ref(&tag.name, tag.id)?)),
            Self::InstallHook => client_hook(repo).map_err(Failure::Undecided),
        }
    }
}

/// Installs the client's hook.
fn client_hook(repo: &Repository) -> Result<(), Refusal> {
    let program =
        env::current_exe().map_err(|error| Refusal::new(Reason::Io, format!("where this program is: {error}")))?;
    repo.free_for_hook(Hook::PrePush)?;
    repo.install_hook(Hook::PrePush, &program).map(drop)
}

/// Installs the client's hook. Where there is another's the server judges all the same.
pub fn hook_if_free(repo: &Repository) {
    if let Err(refusal) = client_hook(repo) {
        remark(&format!("warning: the client's hook is not installed: {refusal}"));
    }
}
