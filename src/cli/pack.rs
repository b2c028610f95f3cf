//! `pack`: what was there before a lease, and whether it could be restored.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Failure, Format, Place, governed::Which, session::Session, terminal};
use crate::{
    ledger::LeaseState,
    model::{Digest, LeaseId, Oid, Percent, PrincipalId, Reason, Refusal, TargetId, lease::Lease},
    reconciler::{
        ApplierConfig, opening,
        pack::{RollbackPack, SignedPack, find},
    },
};

/// Show, verify or rehearse a lease's rollback pack
///
/// The pack is what was there before the lease's first shift: versions by digest, weights, rendered configuration, what
/// the entrance served, and how all that would be restored. The target's applier takes it, and the first one that it
/// signed counts. Without a rehearsed pack there is no first shift.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key pack show checkout-prod\n  \
    git two-key pack verify INT-2025-0042\n  \
    git two-key pack rehearse checkout-prod --config /etc/two-key/applier.yaml\n\n\
    Exit codes: 0 it holds; 1 there is none, or it does not.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print it
    Show(OfLease),
    /// Check that it is whole, and whose it is
    Verify(OfLease),
    /// Try the restoration dry, where the applier is
    Rehearse {
        #[command(flatten)]
        which: OfLease,
        /// The applier's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

#[derive(Debug, ClapArgs)]
struct OfLease {
    /// The lease: its id, its intent or its target
    lease: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What was found of a pack that holds.
#[derive(Serialize, JsonSchema)]
pub(super) struct PackVerdict {
    /// True: otherwise it is a failure.
    ok: bool,
    /// The lease before which it was taken.
    lease: LeaseId,
    /// Where.
    target: TargetId,
    /// The applier that signed it.
    applier: PrincipalId,
    /// The commit in which it signed it.
    commit: Oid,
    /// The digest of the pack.
    pack: Digest,
    /// The digest of the driver's own bytes in it.
    bytes: Digest,
}

/// What a rehearsal of the restoration came to.
#[derive(Serialize, JsonSchema)]
pub(super) struct PackRehearsal {
    /// True: otherwise it is a failure.
    ok: bool,
    /// The lease before which the pack was taken.
    lease: LeaseId,
    /// How it would be restored, a line a step.
    plan: Vec<String>,
}

impl Args {
    /// How it prints.
    pub(super) fn format(&self) -> Format {
        match &self.what {
            What::Show(which) | What::Verify(which) | What::Rehearse { which, .. } => which.format,
        }
    }
}

/// Does it.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let (What::Show(which) | What::Verify(which) | What::Rehearse { which, .. }) = &args.what;
    let session = Session::open(place, &Which::Local)?;
    let id = session.lease(&which.lease, None)?;
    let refused = |refusal| Failure::refused(id.as_str(), refusal);
    let lease = session.state.lease(&id).and_then(LeaseState::lease);
    let lease =
        lease.ok_or_else(|| refused(Refusal::new(Reason::NoPack, "no vote for it counts yet, so it has no pack")))?;
    let found = find(&session.repo, &session.state, lease).map_err(refused)?;
    match &args.what {
        What::Show(_) => show(which.format, &found),
        What::Verify(_) => {
            found.pack.restorable().map_err(refused)?;
            verified(which.format, &found);
        }
        What::Rehearse { config, .. } => {
            let rehearsal = || rehearse(&place.folder.join(config), lease, &found.pack);
            let plan = terminal::patiently("rehearsing the restoration", rehearsal).map_err(refused)?;
            rehearsed(which.format, &found, &plan);
        }
    }
    Ok(())
}

fn rehearse(config: &std::path::Path, lease: &Lease, pack: &RollbackPack) -> Result<Vec<String>, Refusal> {
    let snapshot = pack.restorable()?;
    let driver = opening::driver(&ApplierConfig::load(config)?, &pack.target, Some(lease), Some(&snapshot))?;
    pack.rehearse(&*driver)
}

fn show(format: Format, found: &SignedPack) {
    if format == Format::Json {
        return terminal::say_value(&found.pack);
    }
    let pack = &found.pack;
    let percent = Percent::of(pack.observed.weight_bp);
    let lease = pack.observed.lease.as_ref().map_or_else(|| "no lease".to_owned(), ToString::to_string);
    let reversible = match pack.reversible {
        crate::reconciler::drivers::Reversible::Yes => "yes",
        crate::reconciler::drivers::Reversible::No => "no: it can be halted, and nothing restored",
    };
    let mut lines = vec![
        format!(
            "pack of {} on {}, taken {:.0} by {} with {}",
            pack.lease, pack.target, pack.taken_at, found.applier, pack.driver
        ),
        format!("  signed in    {}", found.commit),
        format!("  reversible   {reversible}"),
        format!("  observed     {percent} % of {lease}"),
        format!("  bytes        {}", pack.digest),
    ];
    lines.extend(pack.versions.before.iter().map(|version| format!("  before       {version}")));
    lines.extend(pack.versions.candidate.iter().map(|version| format!("  candidate    {version}")));
    lines.extend(pack.backends.iter().map(|(backend, weight)| format!("  weight       {backend} {weight}")));
    lines.extend(pack.commit.iter().map(|commit| format!("  deploy       {commit}")));
    lines.extend(pack.probes.iter().map(|probed| format!("  served       {} at {}", probed.served, probed.probe.url)));
    lines.extend(pack.plan.iter().map(|step| format!("  restore      {step}")));
    terminal::say(&lines.join("\n"));
}

fn verified(format: Format, found: &SignedPack) {
    let pack = &found.pack;
    match format {
        Format::Json => terminal::say_value(&PackVerdict {
            ok: true,
            lease: pack.lease.clone(),
            target: pack.target.clone(),
            applier: found.applier.clone(),
            commit: found.commit,
            pack: found.digest,
            bytes: pack.digest,
        }),
        Format::Text => terminal::say(&format!(
            "the pack of {} is whole, the first of it, and signed by {} in {}: {}",
            pack.lease,
            found.applier,
            found.commit.short(),
            found.digest
        )),
    }
}

fn rehearsed(format: Format, found: &SignedPack, plan: &[String]) {
    match format {
        Format::Json => {
            terminal::say_value(&PackRehearsal { ok: true, lease: found.pack.lease.clone(), plan: plan.to_vec() });
        }
        Format::Text => {
            terminal::say(&format!("{} could be undone by:\n  {}", found.pack.lease, plan.join("\n  ")));
        }
    }
}
