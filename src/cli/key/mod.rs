//! `key`: whose keys there are, and how that changes.

mod add;
mod allowed_signers;
mod list;
mod propose;
mod remove;
mod revoke;

use clap::{Args as ClapArgs, Subcommand};

use super::{Failure, Format, Place};
use crate::model::PrincipalId;

/// List keys, or propose other ones
///
/// Keys stand in the policy. Listing them changes nothing; adding and removing them writes the next policy as a proposal,
/// which is in force once its rule's keys have been turned for it; revoking is at once and permanent.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    List(list::Args),
    AllowedSigners(allowed_signers::Args),
    Add(add::Args),
    Remove(remove::Args),
    Revoke(revoke::Args),
}

impl Args {
    /// How to print.
    pub(super) fn format(&self) -> Format {
        match &self.verb {
            KeyVerb::List(args) => args.format,
            KeyVerb::AllowedSigners(_) => Format::Text,
            KeyVerb::Add(args) => args.to.format,
            KeyVerb::Remove(args) => args.to.format,
            KeyVerb::Revoke(args) => args.flags.to.format,
        }
    }

    /// Whether it proposes or signs.
    pub(super) fn writes(&self) -> bool {
        matches!(self.verb, KeyVerb::Add(_) | KeyVerb::Remove(_) | KeyVerb::Revoke(_))
    }
}

/// Runs the verb.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    match &args.verb {
        KeyVerb::List(args) => list::run(args, place),
        KeyVerb::AllowedSigners(args) => allowed_signers::run(args, place),
        KeyVerb::Add(args) => add::run(args, place),
        KeyVerb::Remove(args) => remove::run(args, place),
        KeyVerb::Revoke(args) => revoke::run(args, place),
    }
}

/// A principal's name, as typed.
fn principal(name: &str) -> Result<PrincipalId, Failure> {
    let rule = "a letter or digit, then up to 63 letters, digits, `.`, `_` or `-`";
    PrincipalId::parse(name).ok_or_else(|| Failure::Usage(format!("`{name}` is no name: {rule}")))
}
