//! An applier as a service: it ticks until it is told to end, comes at once when it is woken, and tells the service
//! manager and Prometheus how it goes.

mod listen;
mod metrics;
mod notify;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

pub use listen::serve;
pub use metrics::{Counters, Metrics};
pub use notify::Notify;

use crate::{
    follower::Mode,
    model::{Reason, Refusal},
};

use super::{Applier, ApplierReport, coordinator::GLANCE};

/// How long a signal or a wake may go unnoticed.
const NAP: Duration = Duration::from_millis(50);
/// How often the service manager is told that we are alive, where nothing else happens.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Collaborators of the service.
#[derive(Debug, Default)]
pub struct Service {
    /// Set when it is to end.
    pub end: Arc<AtomicBool>,
    /// A file whose change says that there may be something to look at. A hint, and nothing else: what it says is not
    /// read, and without it the applier looks as often as it would anyway.
    pub wake: Option<PathBuf>,
    /// The service manager, if there is one.
    pub manager: Option<Notify>,
    /// What Prometheus is told.
    pub metrics: Arc<Mutex<Metrics>>,
}

impl Service {
    /// Ticks until told to end. What each tick came to goes to `on_report`. An internal failure ends it as well, with an
    /// error, because the shared state is then unknown; a supervisor restarts it.
    pub fn run(
        &self,
        applier: &mut Applier,
        on_report: &mut dyn FnMut(Result<ApplierReport, Refusal>),
    ) -> Result<(), Refusal> {
        let work = AssertUnwindSafe(|| {
            self.tick_on(applier, on_report);
            applier.end();
        });
        let ended = catch_unwind(work)
            .map_err(|_| Refusal::new(Reason::Internal, "the applier failed inside, and must be started anew"));
        if let Some(manager) = &self.manager {
            manager.stopping();
        }
        ended
    }

    fn tick_on(&self, applier: &mut Applier, on_report: &mut dyn FnMut(Result<ApplierReport, Refusal>)) {
        if let Some(manager) = &self.manager {
            manager.ready();
        }
        while !self.ends() {
            // What wakes it from here on begins the next tick.
            let hint = self.hint();
            let began = now();
            let outcome = self.one(applier, hint);
            let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
            metrics.take(&outcome, applier.counters(), began.elapsed());
            drop(metrics);
            if let Some(manager) = &self.manager {
                manager.alive(&status(&outcome));
            }
            on_report(outcome);
            self.rest(applier, began + applier.interval(), hint);
        }
    }

    /// One tick: until there is nothing more to do, or the next one is due.
    fn one(&self, applier: &mut Applier, hint: Option<SystemTime>) -> Result<ApplierReport, Refusal> {
        applier.begin(Mode::Act);
        let until = now() + applier.interval();
        applier.step();
        while !applier.is_done() && now() < until && !self.ends() && self.hint() == hint {
            thread::sleep(GLANCE);
            applier.step();
        }
        applier.close();
        applier.outcome()
    }

    fn ends(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    fn hint(&self) -> Option<SystemTime> {
        std::fs::metadata(self.wake.as_ref()?).and_then(|file| file.modified()).ok()
    }

    /// Waits for the next tick, or for something that comes before. What is still under way is taken up meanwhile.
    fn rest(&self, applier: &mut Applier, until: Instant, hint: Option<SystemTime>) {
        let mut beat = now() + HEARTBEAT;
        while !self.ends() && now() < until && self.hint() == hint {
            if applier.is_busy() {
                applier.step();
            }
            let nap = if applier.is_busy() { GLANCE } else { NAP };
            thread::sleep(nap.min(until.saturating_duration_since(now())));
            if now() >= beat {
                beat = now() + HEARTBEAT;
                if let Some(manager) = &self.manager {
                    manager.beat();
                }
            }
        }
    }
}

/// Status line.
fn status(outcome: &Result<ApplierReport, Refusal>) -> String {
    match outcome {
        Ok(report) if report.unstopped().is_some() => "a stop could not be carried out".to_owned(),
        Ok(report) if report.rollback_failed() => "a rollback failed".to_owned(),
        Ok(report) => {
            let held = report.targets.values().filter(|target| target.reason.is_some()).count();
            format!("{} targets, {held} held; ledger at {}", report.targets.len(), report.ledger.short())
        }
        Err(refusal) => refusal.to_string(),
    }
}

#[allow(clippy::disallowed_methods, reason = "how long it rests decides nothing about a target")]
fn now() -> Instant {
    Instant::now()
}
