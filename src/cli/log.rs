//! `log`: the audit trail.

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place,
    session::{Session, Which},
    terminal,
};
use crate::report;

/// Show the audit trail: what took effect and what was refused
///
/// Verifies the ledger and prints its events and its refusals in the order in which the ledger has them, newest last:
/// when (as the commit claims), the first-parent commit, the event, the lease, step and tier, whose key with its
/// fingerprint, the tag, and the reason that was given. There is no second log that could differ from the ledger.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key log\n  \
    git two-key log checkout-prod\n  \
    git two-key log --format json | jq -r 'select(.event == \"REFUSED\") | .reason'\n\n\
    Exit codes: 0 everything counts; 1 the trail holds refusals.")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: Option<String>,
    /// Read the upstream's fetched tip instead of the local branch
    #[arg(long)]
    remote: bool,
    /// How to print; json prints one object a line
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Prints the trail.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = Session::open(place, &Which::of(args.remote))?;
    let id = args.lease.as_ref().map(|handle| session.lease(handle, None)).transpose()?;
    let entries = report::trail(&session.state, &session.reports, &session.beside_with_history()?, id.as_ref());
    let refusals = entries.iter().filter(|entry| entry.reason.is_some()).count();
    match args.format {
        Format::Json => terminal::say_lines(&entries),
        Format::Text => {
            session.say_remarks();
            if refusals > 0 {
                terminal::say(&format!("{refusals} REFUSED below: they did not count and altered nothing"));
            }
            for entry in &entries {
                terminal::say(&report::entry_text(entry));
            }
        }
    }
    if refusals == 0 { Ok(()) } else { Err(Failure::Said(1)) }
}
