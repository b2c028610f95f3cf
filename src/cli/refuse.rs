//! `refuse`: an agent's own no, with its reason, signed, where people look.

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place,
    terminal::say,
    turn::{self, Flags, Proposal, Signer},
};
use crate::{
    agent::{
        checks::{self, CheckResult},
        refusal::AgentRefusal,
    },
    model::{
        Action, Reason, Refusal,
        policy::{Role, SeparateProposer},
    },
};

/// Record why an agent refuses to sign for a lease
///
/// Commits a signed refusal, refusals/LEASE/AGENT.json, which list and show display while the lease waits for an
/// agent. An agent's program says this instead of signing; it stops nothing.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key refuse LEASE-20251027-021913 --key ~/.ssh/agent \\\n    \
    --reason 'build 4711 is red'")]
pub struct Args {
    /// The lease: its id, its intent or its target
    lease: String,
    /// The name of the failed check, as list shows it
    #[arg(long, value_name = "NAME", default_value = "agent")]
    check: String,
    #[command(flatten)]
    flags: Flags,
}

impl Args {
    /// How to print.
    pub(super) fn format(&self) -> Format {
        self.flags.to.format
    }
}

/// Refuses.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let Some(reason) = args.flags.reason.as_deref() else {
        return Err(Failure::Usage("refuse needs --reason".to_owned()));
    };
    let mut session = turn::pinned(place, &args.flags)?;
    let lease = session.lease(&args.lease, Some(Action::Cosign))?;
    let refused = |reason, message: &str| Failure::refused(lease.as_str(), Refusal::new(reason, message));
    let signer = Signer::find(place, &session.repo, &session.state, args.flags.key.as_deref())?;
    if signer.role != Role::Agent {
        return Err(refused(
            Reason::WrongRole,
            "refusing is for agents; whoever may not sign a lease leaves it, or withdraws it",
        ));
    }
    let Some(proposed) = checks::proposed(&session.state, &lease) else {
        return Err(refused(Reason::UnknownLease, "nothing is proposed under this id"));
    };
    let check = CheckResult::fail(&args.check, &Refusal::new(Reason::CheckFailed, reason));
    let refusal = AgentRefusal::new(
        &session.state,
        lease.clone(),
        proposed.digest(),
        signer.principal.clone(),
        turn::now(),
        &[check],
    );
    if !refusal.stands(&session.state) {
        return Err(refused(Reason::WrongState, "it does not await this agent's key"));
    }
    say(&format!("{} refuses {lease}: {}: {reason}", signer.principal, args.check));
    if args.flags.dry_run {
        return Ok(());
    }
    let delivery = args.flags.delivery(&session.repo, &session.branch)?;
    let (path, bytes) = (AgentRefusal::path(&lease, &signer.principal), refusal.bytes());
    let (text, message) = (String::from_utf8_lossy(&bytes).into_owned(), format!("Refuse {lease}: {}\n", args.check));
    let key = signer.key.to_string();
    let key = Some(args.flags.key.as_deref().unwrap_or(&key));
    let proposal =
        Proposal { path: &path, text: &text, message: &message, key, separate: SeparateProposer::NotRequired };
    let before = session.tip;
    proposal.commit(&mut session, place)?;
    proposal.advance(&session, before)?;
    proposal.push(&mut session, delivery.remote(), lease.as_str())
}
