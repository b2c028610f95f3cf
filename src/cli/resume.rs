//! `resume`: let a paused lease go on.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    turn::{self, Ask, Flags},
};
use crate::model::Action;

/// Let a paused lease go on: your side of it
///
/// Pausing takes one key; going on takes the promote rule's keys.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key resume checkout-prod --push")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let ask = Ask { lease: Some(&args.lease), ..Ask::default() };
    turn::turn(place, turn::pinned(place, &args.flags)?, &args.flags, Action::Resume, &ask)
}
