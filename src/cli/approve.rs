//! `approve`: `promote` for people.

use clap::Args as ClapArgs;

use super::{
    Failure, Place, evidence,
    session::Session,
    turn::{self, Ask, Flags},
};
use crate::{
    model::{Action, Statement},
    report,
};

/// Approve a lease's next tier, as a person
///
/// Shows the lease's state and the evidence, then turns your key for its next tier. It is what promote does, for people
/// only: an agent's key is refused.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  git two-key approve checkout-prod --push")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let ask = Ask { lease: Some(&args.lease), people_only: true, show: Some(before_saying_yes), ..Ask::default() };
    turn::turn(place, turn::pinned(place, &args.flags)?, &args.flags, Action::Promote, &ask)
}

/// What a person should see before saying yes.
fn before_saying_yes(session: &Session, statement: &Statement) -> Result<String, Failure> {
    let Some(lease) = statement.lease() else { return Ok(String::new()) };
    let leases = [lease.clone()].into();
    let (reports, beside) = (session.past.about(&leases), session.beside_with_tags(&leases)?);
    let view = report::lease_view(&session.state, &reports, &beside, lease);
    Ok(report::lease_text(&view) + "\n" + &evidence::shown(session, statement)?)
}
