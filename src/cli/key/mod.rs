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
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
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
            Verb::List(args) => args.format,
            Verb::AllowedSigners(_) => Format::Text,
            Verb::Add(args) => args.to.format,
            Verb::Remove(args) => args.to.format,
            Verb::Revoke(args) => args.flags.to.format,
        }
    }

    /// Whether it proposes or signs.
    pub(super) fn writes(&self) -> bool {
        matches!(self.verb, Verb::Add(_) | Verb::Remove(_) | Verb::Revoke(_))
    }
}

/// Runs the verb.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    match &args.verb {
        Verb::List(args) => list::run(args, place),
        Verb::AllowedSigners(args) => allowed_signers::run(args, place),
        Verb::Add(args) => add::run(args, place),
        Verb::Remove(args) => remove::run(args, place),
        Verb::Revoke(args) => revoke::run(args, place),
    }
}

/// A principal's name, as typed.
fn principal(name: &str) -> Result<PrincipalId, Failure> {
    let rule = "a letter or digit, then up to 63 letters, digits, `.`, `_` or `-`";
    PrincipalId::parse(name).ok_or_else(|| Failure::Usage(format!("`{name}` is no name: {rule}")))
}
