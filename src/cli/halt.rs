//! `halt`: take a lease's weight to zero.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    turn::{self, Flags},
};
use crate::model::Action;

/// Take a lease's weight to zero and keep its instances; any one key suffices
///
/// Works in stale, shallow and unpinned clones, with a warning, and is never refused for being late. What main will not
/// have goes to refs/two-key/stops/, where appliers see it.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key halt checkout-prod --reason 'errors rise' --push")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    turn::stop(place, &args.flags, Action::Halt, Some(&args.lease))
}
