//! `verify`: the two-key verifier.

use clap::Args as ClapArgs;

use super::{Failure, Format, Place, fresh::ReadSource, governed::Which, session::Session, terminal};
use crate::{
    model::{Reason, Refusal},
    report::{self, Looked},
};

/// Verify that everything in force rests on both keys
///
/// Reads the governed branch from the pinned root on, checks every signature and counts every vote again; nothing is
/// taken from a cache, a server or a tag. With LEASE it speaks of that lease: whether it is authorized or further under
/// its rule. Without, or with --all, it speaks of everything, and lists each finding: what did not count, and why. A
/// finding altered nothing, but somebody should know of it.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key verify --all\n  \
    git two-key verify INT-2025-0042\n  \
    git two-key verify --range origin/main..main --format json\n\n\
    Exit codes: 0 it holds; 1 it does not; 3 it could not be decided, above all because no root is pinned.")]
pub struct Args {
    /// The lease: its id, its intent or its target
    #[arg(conflicts_with_all = ["range", "all"])]
    lease: Option<String>,
    /// Report only the steps after A, up to B; either may be omitted
    #[arg(long, value_name = "A..B", conflicts_with = "all")]
    range: Option<String>,
    /// Report everything from the root on (the default without LEASE)
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    source: ReadSource,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Verifies.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    match (&args.lease, &args.range) {
        (Some(lease), _) => verify_lease(args, place, lease),
        (None, Some(range)) => verify_range(args, place, range),
        (None, None) => {
            let mut looked = Looked::default();
            let session = Session::open_each(place, &args.source.which(place)?, |state, report| {
                // A verdict says nothing of them, and there may be a million.
                report.events.iter().filter_map(|event| event.lease.as_ref()).for_each(|lease| {
                    state.forget_how_ended(lease);
                });
                looked.add(report);
            })?;
            session.must_be_pinned("so there is nothing to verify against")?;
            verify_steps(args, &session, &looked)
        }
    }
}

fn verify_lease(args: &Args, place: &Place, handle: &str) -> Result<(), Failure> {
    let session = Session::open_anew(place, &args.source.which(place)?)?;
    session.must_be_pinned("so there is nothing to verify against")?;
    let id = session.lease(handle, None)?;
    let (reports, beside) = (session.past.all(), session.beside_with_tags(&[id.clone()].into())?);
    let verdict = report::lease_verdict(&session.state, &reports, &beside, &id)
        .map_err(|refusal| Failure::refused(handle, refusal))?;
    if args.format == Format::Json {
        terminal::say_value(&verdict);
    }
    if let Some(reason) = verdict.reason.as_deref().and_then(Reason::from_code) {
        let mut refusal = Refusal::new(reason, verdict.message.unwrap_or_default());
        refusal.hint = verdict.hint;
        let failure = Failure::refused(id.as_str(), refusal);
        return match args.format {
            Format::Text => {
                session.say_remarks();
                Err(failure)
            }
            // The verdict has been printed; the failure would be a second value.
            Format::Json => Err(Failure::Said(failure.code())),
        };
    }
    if args.format == Format::Text {
        session.say_remarks();
        let lease = &verdict.lease;
        let tier = lease.tier.map(|tier| format!(" at {tier} %")).unwrap_or_default();
        terminal::say(&format!(
            "verified {id}: {}{tier}, step {}, cosigners {}/{}",
            lease.state, lease.step, lease.cosigners_have, lease.cosigners_needed
        ));
    }
    Ok(())
}

fn verify_range(args: &Args, place: &Place, range: &str) -> Result<(), Failure> {
    let (from, to) = range
        .split_once("..")
        .filter(|(_, to)| !to.starts_with('.'))
        .ok_or_else(|| Failure::Usage(format!("`{range}` is no range; write A..B, where A or B may be left out")))?;
    let newest = args.source.which(place)?;
    let which = if to.is_empty() { newest } else { Which::At(to.to_owned()) };
    let session = Session::open_anew(place, &which)?;
    session.must_be_pinned("so there is nothing to verify against")?;
    let first = if from.is_empty() {
        0
    } else {
        let from = session.commit(from)?;
        let place = session.past.fresh().iter().position(|report| report.commit == from).ok_or_else(|| {
            let message = format!("{} is not on the first-parent chain of {}", from.short(), session.tip.short());
            Failure::refused(range, Refusal::new(Reason::NotDescended, message))
        })?;
        place + 1
    };
    let mut looked = Looked::default();
    session.past.fresh().iter().skip(first).for_each(|report| looked.add(report.clone()));
    verify_steps(args, &session, &looked)
}

fn verify_steps(args: &Args, session: &Session, looked: &Looked) -> Result<(), Failure> {
    let verdict = report::ledger_verdict(&session.state, looked, &session.branch);
    match args.format {
        Format::Json => terminal::say_value(&verdict),
        Format::Text => {
            session.say_remarks();
            terminal::say(&report::ledger_text(&session.state, looked, &verdict));
        }
    }
    if verdict.ok { Ok(()) } else { Err(Failure::Said(1)) }
}
