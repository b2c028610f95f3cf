//! `withdraw`: end a lease that has not started.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    turn::{self, Flags},
};
use crate::model::Action;

/// End a lease before it started; any one key suffices
///
/// On a lease that has started it is a rollback.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key withdraw LEASE-20251027-021913 --reason 'wrong build'")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    turn::stop(place, &args.flags, Action::Withdraw, Some(&args.lease))
}
