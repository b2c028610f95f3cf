//! `list` and `show`: leases at a glance, and one lease in full.

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place,
    session::{Root, Session, Which},
    terminal,
};
use crate::report::{self, ListView};

/// List leases: who turned a key, what is wanted, what is observed, what is awaited
///
/// Prints a line a lease, oldest first: its state and tier, how many of the keys that authorize it have been turned, the
/// weight that the ledger wants, the weight that an applier has observed (`-` where none has recorded any), and what it
/// awaits. Votes that only wait in notes are shown as `by note`: they count once a transition seals them.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key list\n  \
    git two-key list --remote\n  \
    git two-key list --watch\n  \
    git two-key list --format json | jq '.leases[] | select(.awaits.agents > 0) | .lease'")]
pub struct Args {
    /// Read the upstream's fetched tip instead of the local branch
    #[arg(long)]
    remote: bool,
    /// Keep looking, and print again whenever something has changed
    #[arg(long, conflicts_with = "format")]
    watch: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Prints the list.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    if args.watch {
        return terminal::watch(|| {
            let (session, view) = view(args, place)?;
            Ok(format!("{}{}\n", session.remarks_text(), report::list_text(&view)))
        });
    }
    let (session, view) = view(args, place)?;
    match args.format {
        Format::Json => terminal::say_value(&view),
        Format::Text => {
            session.say_remarks();
            terminal::say(&report::list_text(&view));
        }
    }
    Ok(())
}

fn view(args: &Args, place: &Place) -> Result<(Session, ListView), Failure> {
    let session = Session::open(place, &Which::of(args.remote))?;
    let pinned = match session.root {
        Root::Pinned(root) => Some(root),
        Root::Unpinned(_) => None,
    };
    let beside = session.beside()?;
    let view = report::list_view(&session.state, &session.reports, &beside, pinned, &session.branch, &session.remarks);
    Ok((session, view))
}
