//! The log of `apply --watch`: a line to standard error for each change, as text or JSON.

use std::collections::BTreeMap;

use crate::{
    follower::records::{Doing, RecordedEvent},
    ledger::EventKind,
    model::{Percent, Refusal, TargetId},
    reconciler::{ApplierReport, TargetReport},
};

use super::Format;

/// A log, which says what is new and nothing twice.
pub(super) struct Log {
    targets: BTreeMap<TargetId, TargetReport>,
    refusals: Vec<Refusal>,
}

impl Log {
    /// Begins to write.
    pub(super) fn begin(format: Format) -> Self {
        let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
        // Another log of this process stays as it is; there is none.
        let _ = match format {
            Format::Text => tracing::subscriber::set_global_default(lines.with_ansi(false).finish()),
            Format::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
        };
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "the applier begins");
        Self { targets: BTreeMap::new(), refusals: Vec::new() }
    }

    /// What a tick came to.
    pub(super) fn take(&mut self, outcome: Result<ApplierReport, Refusal>) {
        let refusals = match outcome {
            Ok(report) => {
                report.events.iter().for_each(happened);
                for (target, seen) in &report.targets {
                    let before = self.targets.get(target);
                    if before != Some(seen) {
                        line(target, seen, before);
                    }
                }
                self.targets = report.targets;
                report.remarks.into_iter().chain(report.clock).chain(report.beside).collect()
            }
            Err(refusal) => vec![refusal],
        };
        for refusal in refusals.iter().filter(|refusal| !self.refusals.contains(refusal)) {
            let hint = refusal.hint.as_deref().unwrap_or_default();
            tracing::warn!(reason = refusal.reason.code(), hint, "{}", refusal.message);
        }
        for refusal in self.refusals.iter().filter(|refusal| !refusals.contains(refusal)) {
            tracing::info!(recovered = refusal.reason.code(), "not so any more: {}", refusal.message);
        }
        self.refusals = refusals;
    }
}

/// What happened at a target, also where it looks as it did before.
fn happened(one: &RecordedEvent) {
    let (name, lease, event) = (one.target.as_str(), one.lease.as_str(), one.event.as_str());
    let (step, percent) = (one.step, one.weight_bp.map(Percent::of));
    let weight = percent.map(Percent::number);
    let at = percent.map_or("an unknown weight".to_owned(), |percent| format!("{percent} %"));
    let is = |kinds: &[EventKind]| kinds.iter().any(|kind| kind.name() == event);
    if is(&[EventKind::StopFailed, EventKind::RollbackFailed]) {
        tracing::error!(name, lease, step, weight, event, "{name}: {event} at {at}");
    } else if is(&[EventKind::Drifted, EventKind::Expired, EventKind::GateFailed]) {
        tracing::warn!(name, lease, step, weight, event, "{name}: {event} at {at}");
    } else {
        tracing::info!(name, lease, step, weight, event, "{name}: {event} at {at}");
    }
}

/// How a target is now, and what it was held for before where it is not any more.
fn line(target: &TargetId, seen: &TargetReport, before: Option<&TargetReport>) {
    let lease = seen.lease.as_ref().map_or("", |lease| lease.as_str());
    let (name, desired, observed) = (target.as_str(), seen.desired.number(), seen.observed.map(Percent::number));
    let (doing, stopped) = (seen.doing.as_str(), seen.stopped.as_deref());
    let at = seen.observed.map_or("an unknown weight".to_owned(), |weight| format!("{weight} %"));
    let now = format!("{name}: {doing} at {at}, wanted {} %", seen.desired);
    let recovered = before.and_then(|before| before.reason.as_ref()).map(|refusal| refusal.reason.code());
    match (&seen.reason, stopped) {
        (None, Some(why)) if before.and_then(|before| before.stopped.as_deref()) != stopped => {
            tracing::warn!(name, lease, desired, observed, doing, recovered, "{now}; stopped {why}");
        }
        (None, _) => tracing::info!(name, lease, desired, observed, doing, recovered, "{now}"),
        (Some(refusal), _) => {
            let reason = refusal.reason.code();
            // Always logged at error level.
            if [Doing::RollbackFailed.word(), Doing::StopFailed.word()].contains(&doing) {
                tracing::error!(name, lease, desired, observed, doing, reason, stopped, "{now}: {}", refusal.message);
            } else {
                tracing::warn!(name, lease, desired, observed, doing, reason, stopped, "{now}: {}", refusal.message);
            }
        }
    }
}
