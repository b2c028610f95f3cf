//! `pause`: hold a lease at its weight.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    turn::{self, Flags},
};
use crate::model::Action;

/// Hold a lease at its weight; any one key suffices
///
/// Works in stale, shallow and unpinned clones, with a warning, and is never refused for being late. Going on takes two
/// keys again: git two-key resume.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key pause checkout-prod --reason 'errors rise' --push")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    turn::stop(place, &args.flags, Action::Pause, Some(&args.lease))
}
