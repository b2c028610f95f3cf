//! Steps of a lease: the verbs that turn one key for a lease's next move, or for a stop.

use clap::{Args, Subcommand};

use super::{
    Failure, Format, Place, evidence,
    session::Session,
    turn::{self, Ask, Flags, LeaseChoice},
};
use crate::{
    model::{Action, Statement},
    report,
};

/// A lease, and how its key is turned.
#[derive(Debug, Args)]
pub struct OnLease {
    /// The lease: its id, its intent or its target
    lease: String,
    #[command(flatten)]
    flags: Flags,
}

/// Leases, and how a key is turned for each.
#[derive(Debug, Args)]
pub struct OnLeases {
    #[command(flatten)]
    leases: LeaseChoice,
    #[command(flatten)]
    flags: Flags,
}

impl OnLease {
    fn ask(&self) -> Ask<'_> {
        Ask { lease: Some(&self.lease), ..Ask::default() }
    }
}

impl OnLeases {
    fn promote(&self, place: &Place, ask: Ask<'_>) -> Result<(), Failure> {
        turn::turn_each(place, turn::pinned(place, &self.flags)?, &self.flags, Action::Promote, ask, &self.leases)
    }
}

/// Verbs that let a rollout go on.
#[derive(Debug, Subcommand)]
pub enum ForwardVerb {
    /// Begin an authorized lease at its first tier
    ///
    /// Signs the lease's start in a commit on the governed branch, and tags it if that puts the start in force. Cosignatures
    /// in notes are sealed with it. A first tier above the policy's start-up-to takes the promote rule's keys.
    #[command(
        after_long_help = "Examples:\n  git two-key start checkout-prod\n  git two-key start INT-2025-0042 --key ~/.ssh/agent"
    )]
    Start(OnLease),
    /// Raise a lease to its next tier: add your signature
    ///
    /// Signs the next tier. It takes the promote rule's keys, a human's and an agent's; until both have signed, the lease
    /// stays where it is.
    ///
    /// Several leases are shown in one table, asked for once and pushed at once; each has a signature of its own, and nothing
    /// is signed unless all can be.
    #[command(
        after_long_help = "Examples:\n  git two-key promote checkout-prod\n  git two-key promote --target-prefix checkout- --yes"
    )]
    Promote(OnLeases),
    /// Approve a lease's next tier, as a person
    ///
    /// Shows the lease's state and the evidence, then signs its next tier, as promote does, but for people only: an
    /// agent's key is refused.
    ///
    /// Several leases are shown in one table, asked for once and pushed at once; each has a signature of its own, and nothing
    /// is signed unless all can be.
    #[command(
        visible_alias = "approve-next-tier",
        after_long_help = "Examples:\n  git two-key approve checkout-prod\n  git two-key approve --intent INT-2025-0042 --yes"
    )]
    Approve(OnLeases),
    /// Let a paused lease go on: add your signature
    ///
    /// Pausing takes one key; going on takes the promote rule's keys.
    #[command(after_long_help = "Examples:\n  git two-key resume checkout-prod")]
    Resume(OnLease),
    /// End a lease that is at its last tier
    ///
    /// One human or agent suffices. The next start on the same target completes the lease too.
    #[command(after_long_help = "Examples:\n  git two-key complete checkout-prod")]
    Complete(OnLease),
    /// End a freeze: add your signature
    ///
    /// It takes the promote rule's keys, a human's and an agent's.
    #[command(after_long_help = "Examples:\n  git two-key thaw")]
    Thaw(Flags),
}

/// Verbs that stop. Any one key suffices; they work in stale, shallow and unpinned clones.
#[derive(Debug, Subcommand)]
pub enum StopVerb {
    /// Hold a lease at its weight; any one key suffices
    ///
    /// Works in stale, shallow and unpinned clones, with a warning, and is never refused for being late. Going on takes
    /// two keys again: git two-key resume.
    #[command(
        visible_alias = "pause-rollout",
        after_long_help = "Examples:\n  git two-key pause checkout-prod --reason 'errors rise'"
    )]
    Pause(OnLease),
    /// Take a lease's weight to zero; any one key suffices
    ///
    /// The lease's instances stay. Works in stale, shallow and unpinned clones, with a warning, and is never refused for
    /// being late. A stop that main does not take goes to refs/two-key/stops/, where appliers see it.
    #[command(
        visible_alias = "abort",
        after_long_help = "Examples:\n  git two-key halt checkout-prod --reason 'errors rise'"
    )]
    Halt(OnLease),
    /// Restore what was there before a lease; any one key suffices
    ///
    /// The applier takes the weight to zero, restores from the rollback pack and checks what it restored. Works in
    /// stale, shallow and unpinned clones, with a warning, and is never refused for being late.
    #[command(
        visible_alias = "force-rollback",
        after_long_help = "Examples:\n  git two-key rollback checkout-prod --reason 'orders fail'"
    )]
    Rollback(OnLease),
    /// End a lease, or roll it back if it has started; any one key
    #[command(
        visible_alias = "reject",
        after_long_help = "Examples:\n  git two-key withdraw INT-2025-0042 --reason 'wrong build'"
    )]
    Withdraw(OnLease),
    /// Stop every forward move in the repository; any one key suffices
    ///
    /// No lease starts, is promoted, resumed or completed until two keys end it: git two-key thaw. Stops, revocations and
    /// policy changes go on.
    #[command(after_long_help = "Examples:\n  git two-key freeze --reason 'incident 42'")]
    Freeze(Flags),
}

impl ForwardVerb {
    /// How to print.
    pub(super) fn format(&self) -> Format {
        match self {
            Self::Start(on) | Self::Resume(on) | Self::Complete(on) => on.flags.to.format,
            Self::Promote(on) | Self::Approve(on) => on.flags.to.format,
            Self::Thaw(flags) => flags.to.format,
        }
    }

    /// Turns the key.
    pub(super) fn run(&self, place: &Place) -> Result<(), Failure> {
        let (action, flags, ask) = match self {
            Self::Start(on) => (Action::Start, &on.flags, on.ask()),
            Self::Promote(on) => return on.promote(place, Ask { show: Some(evidence::shown), ..Ask::default() }),
            Self::Approve(on) => {
                let ask = Ask { people_only: true, show: Some(before_saying_yes), ..Ask::default() };
                return on.promote(place, ask);
            }
            Self::Resume(on) => (Action::Resume, &on.flags, on.ask()),
            Self::Complete(on) => (Action::Complete, &on.flags, on.ask()),
            Self::Thaw(flags) => (Action::Thaw, flags, Ask::default()),
        };
        turn::turn(place, turn::pinned(place, flags)?, flags, action, &ask)
    }
}

impl StopVerb {
    /// How to print.
    pub(super) fn format(&self) -> Format {
        match self {
            Self::Pause(on) | Self::Halt(on) | Self::Rollback(on) | Self::Withdraw(on) => on.flags.to.format,
            Self::Freeze(flags) => flags.to.format,
        }
    }

    /// Turns the key.
    pub(super) fn run(&self, place: &Place) -> Result<(), Failure> {
        let (action, flags, lease) = match self {
            Self::Pause(on) => (Action::Pause, &on.flags, Some(on)),
            Self::Halt(on) => (Action::Halt, &on.flags, Some(on)),
            Self::Rollback(on) => (Action::Rollback, &on.flags, Some(on)),
            Self::Withdraw(on) => (Action::Withdraw, &on.flags, Some(on)),
            Self::Freeze(flags) => (Action::Freeze, flags, None),
        };
        turn::stop(place, flags, action, lease.map(|on| on.lease.as_str()))
    }
}

/// What a person should see before saying yes.
fn before_saying_yes(session: &Session, statement: &Statement) -> Result<String, Failure> {
    let Some(lease) = statement.lease() else { return Ok(String::new()) };
    let leases = [lease.clone()].into();
    let (reports, beside) = (session.past.about(&leases), session.beside_with_tags(&leases)?);
    let view = report::lease_view(&session.state, &reports, &beside, lease);
    Ok(report::lease_text(&view) + "\n" + &evidence::shown(session, statement)?)
}
