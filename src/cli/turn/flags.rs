//! The flags of every verb that turns a key.

use clap::builder::{OsStringValueParser, TypedValueParser};

use super::push::Consent;
use crate::{
    cli::{
        Failure, Format,
        remotes::known_remote,
        remotes::{followed, remote_of, upstream},
    },
    git::{Repository, config},
    model::refs,
};

/// Which key, why, and whether to push.
#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The signing key: an SSH private key, a .pub file whose private key is in your SSH agent, or a minisign key
    #[arg(long, value_name = "FILE")]
    pub key: Option<String>,
    /// Why, in one line, for the record
    #[arg(long, value_name = "TEXT", value_parser = words())]
    pub reason: Option<String>,
    #[command(flatten)]
    pub to: To,
    /// Answer yes: sign several leases, and push even if the effect is larger than shown, because somebody else pushed first
    #[arg(long)]
    pub yes: bool,
    /// Show what would be signed and what it would do; write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Words for the record, whatever a shell made of them: what is no UTF-8 in them stops nobody who stops something.
fn words() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|words| words.to_string_lossy().into_owned())
}

impl Flags {
    /// Whether more than was shown is pushed.
    pub const fn consent(&self) -> Consent {
        if self.yes { Consent::Given } else { Consent::Asked }
    }
}

/// Where a verb fetches from, and whether it pushes there.
#[derive(Debug, clap::Args)]
pub struct To {
    /// Push, even if two-key.push is false; signatures are pushed anyway if the branch has an upstream, proposals are not
    #[arg(long, value_name = "REMOTE", num_args = 0..=1, require_equals = true, default_missing_value = "",
          conflicts_with_all = ["no_push", "offline"])]
    push: Option<String>,
    /// Do not push; git two-key sync does it later
    #[arg(long)]
    no_push: bool,
    /// Neither fetch nor push
    #[arg(long)]
    offline: bool,
    /// The remote to fetch from and to push to [default: the branch's upstream, else the only remote, else origin]
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
    /// How to print; with json, words for people go to standard error
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What becomes of what is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It is pushed to this remote.
    To(String),
    /// It stays here, and why.
    Kept(&'static str),
    /// It stays here: there is nowhere to push to.
    Nowhere,
}

impl Delivery {
    /// The remote to push to now.
    pub fn remote(&self) -> Option<&str> {
        match self {
            Self::To(remote) => Some(remote),
            Self::Kept(_) | Self::Nowhere => None,
        }
    }

    /// What to know first of what stays here.
    pub fn first_line(&self) -> Option<String> {
        match self {
            Self::Kept(why) => {
                Some(format!("NOT PUSHED ({why}): what you sign stays in this clone until: git two-key sync"))
            }
            Self::To(_) | Self::Nowhere => None,
        }
    }
}

impl Flags {
    /// What becomes of what is signed. That there is a remote to push to is known before anything is written.
    pub fn delivery(&self, repo: &Repository, branch: &str) -> Result<Delivery, Failure> {
        if self.dry_run {
            return Ok(Delivery::Nowhere);
        }
        if self.to.push.is_none() {
            let why = match () {
                () if self.to.no_push => Some("--no-push"),
                () if self.to.offline => Some("--offline"),
                () if repo.is_off(config::PUSH)? => Some("two-key.push is false"),
                () => None,
            };
            if let Some(why) = why {
                return Ok(if repo.remotes()?.is_empty() { Delivery::Nowhere } else { Delivery::Kept(why) });
            }
            let configured =
                repo.config(&format!("branch.{}.remote", refs::short(branch)))?.is_some_and(|name| name != ".");
            let is_known = configured || self.to.named().is_some() || upstream(repo, branch)?.is_some();
            if !is_known || followed(repo, branch, self.to.named())?.is_none() {
                return Ok(Delivery::Nowhere);
            }
        }
        let remote = self.to.remote(repo, branch)?;
        known_remote(repo, &remote)?;
        Ok(Delivery::To(remote))
    }
}

impl To {
    /// The remote that was named.
    pub fn named(&self) -> Option<&str> {
        self.push.as_deref().filter(|name| !name.is_empty()).or(self.remote.as_deref())
    }

    /// Whether the remote is left alone.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// The remote that is meant, whether or not to push now.
    pub fn remote(&self, repo: &Repository, branch: &str) -> Result<String, Failure> {
        Ok(remote_of(repo, branch, self.named())?.unwrap_or_else(|| "origin".to_owned()))
    }

    /// Whether a push was asked for in so many words.
    pub const fn is_asked(&self) -> bool {
        self.push.is_some()
    }

    /// The remote to push a proposal to: those are pushed only where that was asked for.
    pub fn destination(&self, repo: &Repository, branch: &str) -> Result<Option<String>, Failure> {
        if self.push.is_none() {
            return Ok(None);
        }
        let remote = self.remote(repo, branch)?;
        known_remote(repo, &remote)?;
        Ok(Some(remote))
    }
}
