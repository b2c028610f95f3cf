//! `thaw`: end a freeze.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    turn::{self, Ask, Flags},
};
use crate::model::Action;

/// End a freeze: your side of it
///
/// It takes the promote rule's keys, a human's and an agent's.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key thaw --push")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    turn::turn(place, turn::pinned(place, &args.flags)?, &args.flags, Action::Thaw, &Ask::default())
}
