//! `key list`.

use clap::Args as ClapArgs;

use crate::{
    cli::{Failure, Format, Place, fresh::ReadSource, status::unpushed, terminal},
    report,
};

/// List the keys of the policy in force
///
/// Prints every principal's keys: role, fingerprint, type (a type that begins with `sk-` is a security key's), and
/// whether the key is in force or has been revoked.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key key list\n  git two-key key list --format json")]
pub struct Args {
    #[command(flatten)]
    source: ReadSource,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Prints the keys.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = args.source.open(place)?;
    let keys = report::keys(&session.state, &unpushed(&session)?);
    session.sound()?;
    match args.format {
        Format::Json => terminal::say_value(&keys),
        Format::Text => {
            session.say_remarks();
            terminal::say(&report::keys_text(&keys));
        }
    }
    Ok(())
}
