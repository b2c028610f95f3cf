//! `agent`: the agent's side.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use clap::Args as ClapArgs;

use crate::{
    agent::{Agent, AgentConfig, AgentReport, LeaseReport, decide::AgentAct},
    follower::{Mode, clock},
    model::{Reason, Refusal},
};

use super::{Failure, Format, Place, terminal};

/// Run an agent: sign, promote and stop as checks and metrics say
///
/// Fetches the governed refs, verifies and folds them from the pinned root. A lease whose limits are crossed or whose gates
/// fail it halts or rolls back, before anything else. A lease that awaits its key it checks, and signs, or records why
/// not. A tier that has baked, by the applier's record, and whose gates pass, it promotes: after people, or first. Each
/// decision is printed with its rule and what it rests on; what it signs names that evidence by digest. Without --watch it
/// looks once. Waiting is no failure.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key agent --once --config /etc/two-key/agent.yaml\n  \
    git two-key agent --watch --config /etc/two-key/agent.yaml\n  \
    git two-key agent --dry-run --config agent.yaml --format json | jq '.leases[] | {lease, act, because}'\n\n\
    Exit codes: 0 it looked and did what it decided; 1 its key is not an agent's, or the branch does not continue; 3 the \
    remote, the repository or a push failed.")]
pub struct Args {
    /// The agent's configuration; paths in it are relative to it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Look once and act (the default)
    #[arg(long, conflicts_with_all = ["watch", "dry_run"])]
    once: bool,
    /// Go on until interrupted
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
    /// Say what would be done; sign, write and push nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Runs the agent.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let mut config = AgentConfig::load(&place.folder.join(&args.config)).map_err(failure)?;
    // Without a repository of its own it works in the one where it was started.
    if config.repository.is_none() && place.folder != std::path::Path::new(".") {
        config.repository = Some(place.folder.clone());
    }
    let mut agent = Agent::open(config, Box::new(clock::read_clocks)).map_err(failure)?;
    if args.watch {
        return watch(args, &mut agent);
    }
    let mode = if args.dry_run { Mode::DryRun } else { Mode::Act };
    let report = agent.tick(mode).map_err(failure)?;
    say(args.format, &report);
    verdict(&report)
}

fn watch(args: &Args, agent: &mut Agent) -> Result<(), Failure> {
    let end = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&end))
            .map_err(|error| Failure::undecided(Reason::Io, format!("signals cannot be listened for here: {error}")))?;
    }
    let mut last = None;
    agent.watch(&end, &mut |outcome| {
        // What has been said already is not said again every few seconds.
        if last.as_ref() == Some(&outcome) {
            return;
        }
        match &outcome {
            Ok(report) => say(args.format, report),
            Err(refusal) => remark(refusal),
        }
        last = Some(outcome);
    });
    Ok(())
}

fn say(format: Format, report: &AgentReport) {
    match format {
        Format::Json => terminal::say_value(report),
        Format::Text => terminal::say(&text(report)),
    }
    report.remarks.iter().chain(&report.beside).for_each(remark);
}

/// A paragraph a lease: what was decided, by which rule, on what.
fn text(report: &AgentReport) -> String {
    let mut all: Vec<String> = report.leases.iter().map(lease_text).collect();
    match (all.is_empty(), report.waiting) {
        (true, 0) => all.push("no lease is open".to_owned()),
        (_, 0) => {}
        (_, waiting) => all.push(format!("{waiting} more proposals wait for the next look")),
    }
    all.join("\n")
}

fn lease_text(lease: &LeaseReport) -> String {
    let made = lease.commit.map(|commit| format!(" ({})", commit.short())).unwrap_or_default();
    let mut lines = vec![format!("{}: {} on {}: {}{made}", lease.lease, lease.state, lease.target, lease.act.word())];
    lines.push(format!("  rule:      {}", lease.because));
    let label = if lease.act == AgentAct::Wait { "waits for" } else { "because" };
    lines.extend(lease.reasons.iter().map(|reason| format!("  {:<11}{reason}", format!("{label}:"))));
    lines.extend(lease.evidence.iter().map(|words| format!("  evidence:  {words}")));
    lines.join("\n")
}

fn remark(refusal: &Refusal) {
    let hint = refusal.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    terminal::remark(&format!("two-key: {refusal}{hint}"));
}

/// A remote that could not be reached, or that would not have what was signed, must not look like success.
fn verdict(report: &AgentReport) -> Result<(), Failure> {
    match report.remarks.iter().find(|refusal| !refusal.reason.is_undecided()) {
        Some(_) => Err(Failure::Said(1)),
        None if report.remarks.is_empty() => Ok(()),
        None => Err(Failure::Said(3)),
    }
}

fn failure(refusal: Refusal) -> Failure {
    match refusal.reason {
        Reason::Busy | Reason::WrongRole | Reason::WrongPrincipal | Reason::UnknownKey | Reason::RevokedKey => {
            Failure::refused("agent", refusal)
        }
        _ => Failure::Undecided(refusal),
    }
}
