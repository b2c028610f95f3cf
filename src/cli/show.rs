//! `show`: one lease in full, or the policy.

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place, fresh::ReadSource, governed::Which, pager, session::Session, terminal, turn, watch,
};
use crate::report::{self, ShowView};

/// Show all about one lease, a target or the policy
///
/// Prints the lease's document, its state, who authorized it with which key, every transition in force with its
/// commit and tag, votes that wait for others, what it waits for, what appliers observed, the findings about it, and
/// what else is open on its target. A target means the lease that runs there, or ran there last. Times in commits are
/// what signers claim.
///
/// `show policy` prints the policy in force, rule by rule and gate by gate, and, if another is proposed, what it
/// would change, who has signed it and who could.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key show INT-2025-0042\n  \
    git two-key show checkout-prod --watch\n  \
    git two-key show policy\n  \
    git two-key show checkout-prod --format json | jq .cosigners")]
pub struct Args {
    /// The lease, by its id or its intent; a target: what runs there; or `policy`
    #[arg(value_name = "LEASE|TARGET|policy")]
    lease: String,
    #[command(flatten)]
    source: ReadSource,
    /// Keep looking: a live tree, drawn again whenever something has changed
    #[arg(long, conflicts_with = "format")]
    watch: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Prints the lease, or the policy.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    if args.lease == "policy" {
        return policy(args, place);
    }
    if args.watch {
        let style = terminal::style();
        return watch::run(place, &args.source, || {
            let (session, view) = view(args, &place.anew(), &args.source.tip())?;
            let remarks = session.remarks_text();
            Ok(move |now| {
                let lease = report::live_lease(&view.lease, now, style);
                format!("{remarks}{lease}{}", report::live_others(&view.others, now, style))
            })
        });
    }
    let (session, view) = view(args, place, &args.source.which(place)?)?;
    match args.format {
        Format::Json => terminal::say_value(&view),
        Format::Text => {
            session.say_remarks();
            pager::page(&session.repo, &(report::lease_text(&view.lease) + &report::others_text(&view.others)));
        }
    }
    Ok(())
}

/// The policy in force, and the one that is proposed.
fn policy(args: &Args, place: &Place) -> Result<(), Failure> {
    if args.watch {
        return Err(Failure::Usage(
            "--watch is for a lease or a target; a proposed policy is in list --watch".to_owned(),
        ));
    }
    let session = args.source.open(place)?;
    let view = report::policy_show(&session.state, turn::now());
    match args.format {
        Format::Json => terminal::say_value(&view),
        Format::Text => {
            session.say_remarks();
            pager::page(&session.repo, &report::policy_text(&view));
        }
    }
    Ok(())
}

fn view(args: &Args, place: &Place, which: &Which) -> Result<(Session, ShowView), Failure> {
    let session = Session::open(place, which)?;
    let id = session.subject(&args.lease)?.lease;
    let leases = [id.clone()].into();
    let (reports, beside) = (session.past.about(&leases), session.beside_with_tags(&leases)?);
    let view = report::show_view(&session.state, &reports, &beside, &id);
    session.sound()?;
    Ok((session, view))
}
