//! `sign`: one key for a lease, or for the policy that is proposed.

use std::fmt::Write as _;

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place, evidence,
    session::Session,
    turn::{self, Ask, Carried, Flags, LeaseChoice},
};
use crate::{
    ledger::Content,
    model::{Action, Statement, lease::Lease},
    report,
};

/// Sign a lease, or the proposed policy
///
/// Shows what is signed: the change, the target, the tiers and the window; for a policy, what it changes. A lease is
/// authorized once the keys of its rule, a human's and an agent's, have signed exactly these bytes. `policy` is the
/// proposed policy.
///
/// Several leases are shown in one table, asked for once and pushed at once; each has a signature of its own, and nothing
/// is signed unless all can be.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key sign LEASE-20251027-021913 --push\n  \
    git two-key sign checkout-prod --as note --key ~/.ssh/agent\n  \
    git two-key sign LEASE-20251027-021913 LEASE-20251027-022105\n  \
    git two-key sign --intent INT-2025-0042 --yes\n  \
    git two-key sign policy")]
pub struct Args {
    #[command(flatten)]
    leases: LeaseChoice,
    /// How the signature is left
    #[arg(long = "as", value_enum, default_value_t)]
    carried: Carried,
    #[command(flatten)]
    flags: Flags,
}

impl Args {
    /// How to print.
    pub(super) fn format(&self) -> Format {
        self.flags.to.format
    }
}

/// Turns the key.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let ask = Ask { carried: args.carried, show: Some(what_is_signed), ..Ask::default() };
    if args.leases.one() == Some("policy") {
        return turn::turn(place, turn::pinned(place, &args.flags)?, &args.flags, Action::Policy, &ask);
    }
    if args.leases.names("policy") {
        return Err(Failure::Usage("a policy is signed by itself".to_owned()));
    }
    turn::turn_each(place, turn::pinned(place, &args.flags)?, &args.flags, Action::Cosign, ask, &args.leases)
}

fn what_is_signed(session: &Session, statement: &Statement) -> Result<String, Failure> {
    let digest = statement.fields().digest.map(|digest| digest.to_string()).unwrap_or_default();
    if let Some(lease) = statement.lease().and_then(|id| session.state.document(id)) {
        let mut text = lease_words(lease) + &format!("  bytes      {digest}\n");
        for line in evidence::lines_of(session, &lease.id)? {
            let _ = writeln!(text, "  {}", report::escaped(&line));
        }
        return Ok(text);
    }
    let proposed = session.state.policy_file().map(|file| &file.content);
    let Some(Content::Proposal(proposed)) = proposed else { return Ok(String::new()) };
    let now = session.state.policy().get();
    let mut text = format!("Policy version {}, in place of {}:\n", proposed.get().version, now.version);
    for line in report::policy_difference_at(now, proposed.get(), Some(turn::now())) {
        let _ = writeln!(text, "  {line}");
    }
    for warning in report::unmet(proposed.get()) {
        let _ = writeln!(text, "  warning: {warning}");
    }
    let _ = writeln!(text, "  bytes {digest}");
    Ok(text)
}

/// A lease in the words that a signer should read.
fn lease_words(lease: &Lease) -> String {
    let line = |(name, value): (&str, String)| format!("  {name:<10} {}\n", report::escaped(&value));
    let lines: String = report::LeaseTerms::of(lease).lines().into_iter().map(line).collect();
    format!("Lease {}\n{lines}", lease.id)
}
