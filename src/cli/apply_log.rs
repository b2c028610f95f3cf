//! The log of `apply --watch`: a line to standard error for each change, as text or JSON.

use std::collections::BTreeMap;

use crate::{
    follower::records::Doing,
    model::{Refusal, TargetId},
    reconciler::{Report, TargetReport},
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
    pub(super) fn take(&mut self, outcome: Result<Report, Refusal>) {
        let refusals = match outcome {
            Ok(report) => {
                for (target, seen) in &report.targets {
                    if self.targets.get(target) != Some(seen) {
                        line(target, seen);
                    }
                }
                self.targets = report.targets;
                report.remarks.into_iter().chain(report.beside).collect()
            }
            Err(refusal) => vec![refusal],
        };
        for refusal in refusals.iter().filter(|refusal| !self.refusals.contains(refusal)) {
            let hint = refusal.hint.as_deref().unwrap_or_default();
            tracing::warn!(reason = refusal.reason.code(), hint, "{}", refusal.message);
        }
        self.refusals = refusals;
    }
}

fn line(target: &TargetId, seen: &TargetReport) {
    let lease = seen.lease.as_ref().map_or("", |lease| lease.as_str());
    let (name, desired_bp, observed_bp) = (target.as_str(), seen.desired_bp, seen.observed_bp);
    let doing = seen.doing.as_str();
    match &seen.reason {
        None => tracing::info!(name, lease, desired_bp, observed_bp, doing, "target {doing}"),
        Some(refusal) => {
            let reason = refusal.reason.code();
            // Nobody may overlook these.
            if [Doing::RollbackFailed.word(), Doing::StopFailed.word()].contains(&doing) {
                tracing::error!(name, lease, desired_bp, observed_bp, doing, reason, "{}", refusal.message);
            } else {
                tracing::warn!(name, lease, desired_bp, observed_bp, doing, reason, "{}", refusal.message);
            }
        }
    }
}
