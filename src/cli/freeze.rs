//! `freeze`: stop every forward move.

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    turn::{self, Flags},
};
use crate::model::Action;

/// Stop every start, promotion, resumption and completion in the repository; any one human or agent suffices
///
/// Stops, revocations and policy changes go on. Ending it takes two keys: git two-key thaw.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key freeze --reason 'incident 42' --push")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    turn::stop(place, &args.flags, Action::Freeze, None)
}
