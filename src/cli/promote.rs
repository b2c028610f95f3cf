//! `promote`: raise a lease to its next tier.

use clap::Args as ClapArgs;

use super::{
    Failure, Place, evidence,
    turn::{self, Ask, Flags},
};
use crate::model::Action;

/// Raise a lease to its next tier: your side of it
///
/// Turns your key for the next tier. It takes the promote rule's keys, a human's and an agent's; until both are there the
/// lease stays where it is.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key promote checkout-prod --push")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let ask = Ask { lease: Some(&args.lease), show: Some(evidence::shown), ..Ask::default() };
    turn::turn(place, turn::pinned(place, &args.flags)?, &args.flags, Action::Promote, &ask)
}
