//! `apply`: the applier.

use std::{path::PathBuf, sync::Arc};

use clap::Args as ClapArgs;

use crate::{
    follower::{Mode, clock},
    model::{Reason, Refusal},
    reconciler::{
        Applier, ApplierConfig, ApplierReport,
        service::{Notify, Service, serve},
    },
};

use super::{Failure, Format, Place, printer::Printer, terminal};

/// Bring targets to what the ledger wants, and record what is seen
///
/// Fetches the governed refs, verifies and folds them from the pinned root, obeys stops first, observes each target, and
/// moves it by at most one tier, only if nothing speaks against it. What it intends, sees and did goes, signed, to
/// refs/two-key/appliers/NAME. Without --watch it looks once. Holding is no failure: the reason is printed. A
/// rollback that failed ends with 1, one that is still being watched with 3, a stop that could not be carried out with 5.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key apply --once --config /etc/two-key/applier.yaml\n  \
    git two-key apply --watch --config /etc/two-key/applier.yaml\n  \
    git two-key apply --dry-run --config applier.yaml --format json | jq .targets")]
pub struct Args {
    /// The applier's configuration; paths in it are relative to it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Look once and act (the default)
    #[arg(long, conflicts_with_all = ["watch", "dry_run"])]
    once: bool,
    /// Go on until interrupted
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
    /// With --watch: write a line to standard error for each change, instead of reports to standard output
    #[arg(long, value_enum, value_name = "FORMAT", requires = "watch")]
    log: Option<Format>,
    /// Say what would be done; move, write and push nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Runs the applier.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let mut config = ApplierConfig::load(&place.folder.join(&args.config)).map_err(failure)?;
    // Without a repository of its own it works in the one where it was started.
    if config.repository.is_none() && place.folder != std::path::Path::new(".") {
        config.repository = Some(place.folder.clone());
    }
    let (listen, wake) = (config.metrics_listen, config.wake.clone());
    let mut applier = Applier::open(config, Box::new(clock::read_clocks)).map_err(failure)?;
    if args.watch {
        #[allow(clippy::disallowed_methods, reason = "the one place where this variable is read")]
        let manager = std::env::var("NOTIFY_SOCKET").ok().and_then(|address| Notify::at(&address));
        let service = Service { wake, manager, ..Service::default() };
        if let Some(address) = listen {
            // Nobody is kept on a bad version because nobody can look at numbers.
            if let Err(refusal) = serve(address, Arc::clone(&service.metrics)) {
                remark(&refusal);
            }
        }
        return watch(args, &mut applier, &service);
    }
    let mode = if args.dry_run { Mode::DryRun } else { Mode::Act };
    let report = applier.ticks(mode).map_err(failure)?;
    say(args.format, &report);
    verdict(&report)
}

fn watch(args: &Args, applier: &mut Applier, service: &Service) -> Result<(), Failure> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&service.end))
            .map_err(|error| Failure::undecided(Reason::Io, format!("signals cannot be listened for here: {error}")))?;
    }
    let printer = Printer::begin(args.log, args.format)?;
    let ended = service.run(applier, &mut |outcome| printer.take(outcome));
    printer.end(&ended);
    ended.map_err(failure)
}

pub(super) fn say(format: Format, report: &ApplierReport) {
    match format {
        Format::Json => terminal::say_value(report),
        Format::Text => terminal::say(&text(report)),
    }
    for refusal in report.remarks.iter().chain(&report.beside) {
        remark(refusal);
    }
}

/// A line a target.
fn text(report: &ApplierReport) -> String {
    let line = |(target, seen): (&crate::model::TargetId, &crate::reconciler::TargetReport)| {
        let observed = seen.observed.map_or("unknown".to_owned(), |weight| format!("{weight} %"));
        // After a rollback it is an older lease's weight that is there.
        let observed = match seen.observed_lease.as_ref().filter(|lease| seen.lease.as_ref() != Some(*lease)) {
            Some(other) => format!("{observed} of {other}"),
            None => observed,
        };
        let line = match &seen.lease {
            Some(lease) => {
                format!("{target}: {lease} desired {} %, observed {observed}, {}", seen.desired, seen.doing)
            }
            None => format!("{target}: nothing to do"),
        };
        let line = match &seen.reason {
            Some(reason) => format!("{line} ({reason})"),
            None => line,
        };
        match &seen.contradiction {
            Some(contradiction) => format!("{line}\n{target}: {}", contradiction.message),
            None => line,
        }
    };
    let lines: Vec<_> = report.targets.iter().map(line).collect();
    if lines.is_empty() { "no targets are configured".to_owned() } else { lines.join("\n") }
}

pub(super) fn remark(refusal: &Refusal) {
    let hint = refusal.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    terminal::remark(&format!("two-key: {refusal}{hint}"));
}

/// A rollback that failed must not look like success, nor must a remote that could not be reached.
fn verdict(report: &ApplierReport) -> Result<(), Failure> {
    if let Some((target, refusal)) = report.unstopped() {
        return Err(Failure::Unstopped { subject: target.to_string(), refusal });
    }
    if report.rollback_failed() {
        let failed = report.targets.iter().find(|(_, seen)| seen.doing == "rollback-failed");
        let subject = failed.map_or_else(String::new, |(target, _)| target.to_string());
        let refusal = failed.and_then(|(_, seen)| seen.reason.clone()).unwrap_or_else(|| {
            let message = "the rollback was carried out, and what is there is not what was there before";
            Refusal::new(Reason::Drift, message).hint("repair the target by hand, or sign another rollback")
        });
        return Err(Failure::refused(subject, refusal));
    }
    // What it has said already; no network is a smaller matter than a branch that was rewound.
    match report.remarks.iter().find(|refusal| !refusal.reason.is_undecided()) {
        Some(_) => Err(Failure::Said(1)),
        // A rollback whose outcome is not known yet is no success either.
        None if report.remarks.is_empty() && !report.is_rolling_back() => Ok(()),
        None => Err(Failure::Said(3)),
    }
}

fn failure(refusal: Refusal) -> Failure {
    match refusal.reason {
        Reason::Busy => Failure::refused("apply", refusal),
        _ => Failure::Undecided(refusal),
    }
}
