//! The flags of every verb that turns a key.

use crate::{
    cli::{Failure, session::short},
    git::Repository,
    model::{Reason, Refusal},
};

/// Which key, why, and whether to push.
#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The key to turn: a private key, the public half of one that an SSH agent holds, or a minisign key
    #[arg(long, value_name = "FILE")]
    pub key: Option<String>,
    /// Why, in one line, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub to: To,
    /// Show what would be signed and what it would do; write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Whether and where to push.
#[derive(Debug, clap::Args)]
pub struct To {
    /// Push at once, carrying over what was made if another push came first
    #[arg(long, value_name = "REMOTE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    push: Option<String>,
    /// The remote to push to [default: the branch's upstream, else origin]
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
}

impl Flags {
    /// The remote to push to now, if that was asked for.
    pub fn destination(&self, repo: &Repository, branch: &str) -> Result<Option<String>, Failure> {
        if self.dry_run { Ok(None) } else { self.to.destination(repo, branch) }
    }

    /// The remote that is meant, whether or not to push now.
    pub fn remote(&self, repo: &Repository, branch: &str) -> Result<String, Failure> {
        self.to.remote(repo, branch)
    }
}

impl To {
    /// The remote that is meant, whether or not to push now.
    pub fn remote(&self, repo: &Repository, branch: &str) -> Result<String, Failure> {
        let named = self.push.as_ref().filter(|name| !name.is_empty()).or(self.remote.as_ref());
        if let Some(name) = named {
            return Ok(name.clone());
        }
        let upstream = repo.config(&format!("branch.{}.remote", short(branch)))?.filter(|name| name != ".");
        if let Some(name) = upstream {
            return Ok(name);
        }
        let remotes = repo.remotes()?;
        Ok(match remotes.as_slice() {
            [only] => only.clone(),
            _ => "origin".to_owned(),
        })
    }

    /// The remote to push to now, if that was asked for. That there is one is known before anything is written.
    pub fn destination(&self, repo: &Repository, branch: &str) -> Result<Option<String>, Failure> {
        if self.push.is_none() {
            return Ok(None);
        }
        let name = self.remote(repo, branch)?;
        let is_address = name.contains(['/', ':']) || name.starts_with('.');
        if name.starts_with('-') || !(is_address || repo.remotes()?.contains(&name)) {
            let refusal = Refusal::new(Reason::Internal, format!("there is no remote `{name}` to push to"));
            let hint = "add one with: git remote add origin URL, or leave --push out and push later";
            return Err(Failure::Undecided(refusal.hint(hint)));
        }
        Ok(Some(name))
    }
}
