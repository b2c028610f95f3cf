//! `start`: begin a lease at its first tier.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    turn::{self, Ask, Flags},
};
use crate::model::Action;

/// Begin an authorized lease at its first tier
///
/// Turns your key for the lease's start: a commit on the governed branch, and, where the start is in force with it, the
/// tag. Cosignatures that wait in notes are sealed with it. A first tier above the policy's start-up-to takes the promote
/// rule's keys.
#[derive(Debug, ClapArgs)]
#[command(
    after_long_help = "Examples:\n  git two-key start LEASE-20251027-021913\n  git two-key start checkout-prod --key ~/.ssh/agent --push"
)]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let ask = Ask { lease: Some(&args.lease), ..Ask::default() };
    turn::turn(place, turn::pinned(place, &args.flags)?, &args.flags, Action::Start, &ask)
}
