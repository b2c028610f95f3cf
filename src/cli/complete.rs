//! `complete`: end a lease at its last tier.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    turn::{self, Ask, Flags},
};
use crate::model::Action;

/// End a lease that is at its last tier
///
/// One human or agent suffices. The next start on the same target completes the lease too.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key complete checkout-prod --push")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let ask = Ask { lease: Some(&args.lease), ..Ask::default() };
    turn::turn(place, turn::pinned(place, &args.flags)?, &args.flags, Action::Complete, &ask)
}
