//! `rollback`: restore what was there before a lease.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    turn::{self, Flags},
};
use crate::model::Action;

/// Restore what was there before a lease; any one key suffices
///
/// The applier takes the weight to zero, restores from the rollback pack and checks what it restored. Works in stale,
/// shallow and unpinned clones, with a warning, and is never refused for being late.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key rollback checkout-prod --reason 'orders fail' --push")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    turn::stop(place, &args.flags, Action::Rollback, Some(&args.lease))
}
