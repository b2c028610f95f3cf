//! An applier as a service: it ticks until it is told to end, comes at once when it is woken, and tells the service
//! manager and Prometheus how it goes.

mod listen;
mod metrics;
mod notify;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

pub use listen::serve;
pub use metrics::{Metrics, Vitals};
pub use notify::Notify;

use super::{Applier, Report};
use crate::model::Refusal;

/// How long a signal or a wake may go unnoticed.
const NAP: Duration = Duration::from_millis(200);
/// How often the service manager is told that we are alive, where nothing else happens.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Who is around a service.
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
    /// Ticks until told to end. What each tick came to goes to `said`. An applier that can only fail from now on ends as
    /// well, with an error: whoever watches over it starts it anew, and until then nobody takes it for alive.
    pub fn run(&self, applier: &mut Applier, said: &mut dyn FnMut(Result<Report, Refusal>)) -> Result<(), Refusal> {
        let ended = self.tick_on(applier, said);
        if let Some(manager) = &self.manager {
            manager.stopping();
        }
        ended
    }

    fn tick_on(&self, applier: &mut Applier, said: &mut dyn FnMut(Result<Report, Refusal>)) -> Result<(), Refusal> {
        if let Some(manager) = &self.manager {
            manager.ready();
        }
        while !self.ends() {
            // What wakes it from here on is seen after this tick.
            let hint = self.hint();
            let began = now();
            let outcome = applier.tick_as_service();
            let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
            metrics.take(&outcome, applier.vitals(), began.elapsed());
            drop(metrics);
            applier.is_sound()?;
            if let Some(manager) = &self.manager {
                manager.alive(&status(&outcome));
            }
            said(outcome);
            if !applier.was_overtaken() {
                self.rest(applier.interval(), hint);
            }
        }
        Ok(())
    }

    fn ends(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    fn hint(&self) -> Option<SystemTime> {
        std::fs::metadata(self.wake.as_ref()?).and_then(|file| file.modified()).ok()
    }

    /// Waits for the next tick, or for something that comes before.
    fn rest(&self, interval: Duration, hint: Option<SystemTime>) {
        let (until, mut beat) = (now() + interval, now() + HEARTBEAT);
        while !self.ends() && now() < until {
            thread::sleep(NAP.min(until.saturating_duration_since(now())));
            if self.hint() != hint {
                return;
            }
            if now() >= beat {
                beat = now() + HEARTBEAT;
                if let Some(manager) = &self.manager {
                    manager.beat();
                }
            }
        }
    }
}

/// How it goes, in a line.
fn status(outcome: &Result<Report, Refusal>) -> String {
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
