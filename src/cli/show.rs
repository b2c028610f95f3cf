//! `show`: one lease in full.

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place,
    fresh::Source,
    session::{Session, Which},
    terminal, watch,
};
use crate::report::{self, LeaseView};

/// Show all about one lease
///
/// Prints the lease's document, its state, who authorized it with which key, every transition in force with its commit
/// and tag, votes that wait for others, what it awaits, what appliers observed, and the findings that are about it. Times
/// in commits are what signers claim.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key show LEASE-20251027-021913\n  \
    git two-key show checkout-prod --watch\n  \
    git two-key show checkout-prod --format json | jq .cosigners")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    source: Source,
    /// Keep looking: a live tree, drawn again whenever something has changed
    #[arg(long, conflicts_with = "format")]
    watch: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Prints the lease.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    if args.watch {
        let style = terminal::style();
        return watch::run(place, &args.source, || {
            let (session, view) = view(args, place, &args.source.tip())?;
            let remarks = session.remarks_text();
            Ok(move |now| format!("{remarks}{}", report::live_lease(&view, now, style)))
        });
    }
    let (session, view) = view(args, place, &args.source.which(place)?)?;
    match args.format {
        Format::Json => terminal::say_value(&view),
        Format::Text => {
            session.say_remarks();
            terminal::say(&report::lease_text(&view));
        }
    }
    Ok(())
}

fn view(args: &Args, place: &Place, which: &Which) -> Result<(Session, LeaseView), Failure> {
    let session = Session::open(place, which)?;
    let id = session.lease(&args.lease, None)?;
    let view = report::lease_view(&session.state, &session.reports, &session.beside()?, &id);
    Ok((session, view))
}
