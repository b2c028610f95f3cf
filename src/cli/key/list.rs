//! `key list`.

use clap::Args as ClapArgs;

use crate::{
    cli::{
        Failure, Format, Place,
        session::{Session, Which},
        terminal,
    },
    report,
};

/// List the keys of the policy in force
///
/// Prints every principal's keys: role, fingerprint, type (a type that begins with `sk-` is a security key's), and
/// whether the key is in force or has been revoked.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key key list\n  git two-key key list --format json")]
pub struct Args {
    /// Read the upstream's fetched tip instead of the local branch
    #[arg(long)]
    remote: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Prints the keys.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = Session::open(place, &Which::of(args.remote))?;
    let keys = report::keys(&session.state);
    match args.format {
        Format::Json => terminal::say_value(&keys),
        Format::Text => {
            session.say_remarks();
            terminal::say(&report::keys_text(&keys));
        }
    }
    Ok(())
}
