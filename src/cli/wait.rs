//! `wait`: until a lease is where somebody wants it.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::{Failure, Place, fresh::ReadSource, session::Session, terminal, turn};
use crate::{
    follower::records::Doing,
    ledger::{self, LeaseState, Phase},
    model::{LeaseId, Reason, Refusal, document::Span},
};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);

/// Wait until a lease is in a state
///
/// For scripts: looks every two seconds at the remote and at what appliers say. What is signed here and not pushed does
/// not count, nor what an applier said of an earlier step.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key wait checkout-prod --for ready --timeout 30m \\\n    \
    && git two-key promote checkout-prod\n\n\
    Exit codes: 0 it is there; 1 it can no longer get there; 4 it was not there in time.")]
pub struct Args {
    /// The lease: its id, its intent or its target
    #[arg(value_name = "LEASE|TARGET")]
    lease: String,
    /// The state
    #[arg(long = "for", value_name = "STATE", value_enum)]
    state: WaitFor,
    /// How long at most, as in 90s or 30m [default: as long as it takes]
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    #[command(flatten)]
    source: ReadSource,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum WaitFor {
    /// It may start, or has started and was not stopped
    Authorized,
    /// It was started, promoted or resumed: the ledger wants a tier's weight
    Rolling,
    /// It was paused: the ledger keeps its weight
    Paused,
    /// It was halted: the ledger wants no weight
    Halted,
    /// It was halted or undone, and its applier has seen that it has no weight
    AtZero,
    /// Its applier says that its next step may come
    Ready,
    /// It ended at its last tier
    Completed,
    /// It was undone
    RolledBack,
    /// It was undone, and an applier has verified that
    Verified,
    /// It ended before it began
    Withdrawn,
}

/// Whether it is there.
#[derive(Debug, PartialEq, Eq)]
enum WaitState {
    There,
    NotYet,
    Never,
}

/// Waits.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let limit = match &args.timeout {
        None => None,
        Some(text) => Some(
            Span::parse(text)
                .ok_or_else(|| Failure::Usage(format!("--timeout {text}: it is a length of time as in 90s or 30m")))?,
        ),
    };
    let began = terminal::moment();
    let mut awaited = None;
    loop {
        let session = args.source.open_delivered(&place.anew())?;
        // What the name means may change meanwhile; the wait is for the lease that it meant at first.
        let id = match awaited.take() {
            Some(id) => id,
            None => session.lease(&args.lease, None)?,
        };
        let (state, outcome) = look(&session, &id, args.state)?;
        match outcome {
            WaitState::There => {
                terminal::say(&format!("{id}: {state}"));
                return Ok(());
            }
            WaitState::Never => {
                let message = format!("it is {state}, and cannot get there any more");
                return Err(Failure::refused(id.as_str(), Refusal::new(Reason::WrongState, message)));
            }
            WaitState::NotYet if limit.is_some_and(|limit| began.elapsed().as_secs() >= limit.as_secs()) => {
                let waited = args.timeout.as_deref().unwrap_or_default();
                let refusal = Refusal::new(Reason::Stale, format!("{id} is still {state} after {waited}"));
                return Err(Failure::Stale(refusal.hint(format!("see what it waits for with: git two-key show {id}"))));
            }
            WaitState::NotYet => drop(terminal::wait(EVERY)),
        }
        awaited = Some(id);
    }
}

/// What the applier says of the step in force.
#[derive(Debug, Clone, Copy, Default)]
struct Observed<'a> {
    doing: Option<&'a str>,
    weight: Option<u32>,
}

/// Where a lease is, in words, and whether that is where it is waited for.
fn look(session: &Session, id: &LeaseId, awaited: WaitFor) -> Result<(String, WaitState), Failure> {
    let lease = session.state.lease(id);
    let phase = lease.map_or(Phase::Proposed, |lease| lease.phase);
    let step = lease.map_or(0, |lease| LeaseState::next_step(lease) - 1);
    let recorded = session.observed(&[id.clone()].into())?.0.remove(id);
    let current = recorded.as_ref().filter(|recorded| recorded.step == Some(step));
    let observed = current.map_or_else(Observed::default, |recorded| Observed {
        doing: recorded.doing.as_deref(),
        weight: recorded.weight,
    });
    // A window that has closed does not keep a lease from being completed at its last tier.
    let needs_window = ledger::awaited(&session.state, id).is_none_or(|awaited| awaited.action.needs_window());
    let late = needs_window && session.state.document(id).is_some_and(|lease| turn::now() >= lease.expires);
    let outcome = outcome(phase, observed, late, awaited);
    let says = match (observed.doing, &recorded) {
        (Some(doing), _) => format!(" (an applier says {doing})"),
        (None, Some(recorded)) => format!(" ({} has not recorded step {step})", recorded.applier),
        (None, None) => String::new(),
    };
    let closed = if late && !phase.ended() { ", its window has closed" } else { "" };
    Ok((format!("{}{closed}{says}", phase.word()), outcome))
}

/// Whether a lease in a phase is where it is waited for, or may still get there. `late`: nothing goes forward any more.
fn outcome(phase: Phase, observed: Observed<'_>, late: bool, awaited: WaitFor) -> WaitState {
    let moves = matches!(phase, Phase::Rolling { .. } | Phase::Paused { .. });
    let says = |doing: Doing| observed.doing == Some(doing.word());
    // It will go forward no more, whatever keys are turned.
    let is_stopped = matches!(phase, Phase::Halted | Phase::RolledBack | Phase::Withdrawn);
    let is_there = match awaited {
        WaitFor::Authorized => phase == Phase::Authorized || (phase.started() && !is_stopped),
        WaitFor::Rolling => matches!(phase, Phase::Rolling { .. }),
        WaitFor::Paused => matches!(phase, Phase::Paused { .. }),
        WaitFor::Halted => phase == Phase::Halted,
        WaitFor::AtZero => matches!(phase, Phase::Halted | Phase::RolledBack) && observed.weight == Some(0),
        WaitFor::Ready => moves && !late && says(Doing::Ready),
        WaitFor::Completed => phase == Phase::Completed,
        WaitFor::RolledBack => phase == Phase::RolledBack,
        WaitFor::Verified => phase == Phase::RolledBack && says(Doing::Verified),
        WaitFor::Withdrawn => phase == Phase::Withdrawn,
    };
    let never_begins = late && !phase.started();
    let never = match awaited {
        WaitFor::Withdrawn => phase.started(),
        // A completed lease can still be undone.
        WaitFor::RolledBack | WaitFor::Verified | WaitFor::AtZero => phase == Phase::Withdrawn || never_begins,
        WaitFor::Halted => phase.ended() || never_begins,
        WaitFor::Ready | WaitFor::Completed => is_stopped || phase.ended() || late,
        WaitFor::Authorized | WaitFor::Rolling | WaitFor::Paused => is_stopped || phase.ended() || never_begins,
    };
    match () {
        () if is_there => WaitState::There,
        () if never => WaitState::Never,
        () => WaitState::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_awaited_is_there_may_come_or_cannot_come_any_more() {
        use WaitState::{Never, NotYet, There};
        let rolling = Phase::Rolling { tier: 0 };
        for (phase, observed, late, awaited, expected) in [
            (Phase::Proposed, None, false, WaitFor::Authorized, NotYet),
            (Phase::Proposed, None, true, WaitFor::Authorized, Never),
            (rolling, None, true, WaitFor::Authorized, There),
            (Phase::Withdrawn, None, false, WaitFor::Authorized, Never),
            (Phase::Completed, None, false, WaitFor::Authorized, There),
            (Phase::RolledBack, None, false, WaitFor::Authorized, Never),
            (Phase::Halted, None, false, WaitFor::Authorized, Never),
            (Phase::Halted, None, false, WaitFor::Rolling, Never),
            (Phase::Halted, None, false, WaitFor::Ready, Never),
            (Phase::Halted, None, false, WaitFor::Completed, Never),
            (Phase::Halted, None, false, WaitFor::RolledBack, NotYet),
            (Phase::Paused { tier: 0 }, None, false, WaitFor::Completed, NotYet),
            (rolling, Some("baking"), false, WaitFor::Ready, NotYet),
            (rolling, Some("ready"), false, WaitFor::Ready, There),
            (Phase::Completed, Some("ready"), false, WaitFor::Ready, Never),
            (Phase::Completed, None, false, WaitFor::RolledBack, NotYet),
            (Phase::RolledBack, Some("restored"), false, WaitFor::Verified, NotYet),
            (Phase::RolledBack, Some("verified"), false, WaitFor::Verified, There),
            (rolling, Some("ready"), true, WaitFor::Ready, Never),
            (rolling, Some("holding"), true, WaitFor::Completed, Never),
            (Phase::Completed, None, true, WaitFor::Completed, There),
            (rolling, None, false, WaitFor::Withdrawn, Never),
            (Phase::Authorized, None, true, WaitFor::Withdrawn, NotYet),
        ] {
            let says = Observed { doing: observed, weight: None };
            assert_eq!(outcome(phase, says, late, awaited), expected, "{phase:?} {observed:?} {late} {awaited:?}");
        }
    }

    #[test]
    fn a_stop_is_at_zero_once_that_is_seen() {
        use WaitState::{Never, NotYet, There};
        for (phase, weight, expected) in [
            (Phase::Halted, Some(500), NotYet),
            (Phase::Halted, None, NotYet),
            (Phase::Halted, Some(0), There),
            (Phase::RolledBack, Some(0), There),
            (Phase::Rolling { tier: 0 }, Some(0), NotYet),
            (Phase::Completed, Some(0), NotYet),
            (Phase::Withdrawn, None, Never),
        ] {
            let seen = Observed { doing: Some("holding"), weight };
            assert_eq!(outcome(phase, seen, false, WaitFor::AtZero), expected, "{phase:?} {weight:?}");
        }
    }
}
