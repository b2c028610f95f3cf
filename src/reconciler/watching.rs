//! Measurements of one target's tier, kept in a file of its own beside the journal, judged anew at every look.
//!
//! Losing the file costs the samples of the tier, and nothing else: what was not measured is never taken for healthy.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    follower::{Mode, files},
    gate::{
        Measure, Pools, TierContext, Watch,
        health::{Deadline, Health, Look, combined, look},
    },
    ledger::PinnedTerms,
    model::{LeaseId, Refusal, TargetId},
    sources::Sources,
};

/// All that a look at one target's metrics needs.
pub(super) struct Watching {
    /// What was pinned when the lease started.
    pub(super) terms: PinnedTerms,
    /// The tier that the target is at; or why it is at none that could be judged.
    pub(super) context: Result<TierContext, Refusal>,
    /// Where measurements come from.
    pub(super) sources: Option<Arc<Sources>>,
    /// Where what was measured is kept.
    pub(super) folder: PathBuf,
}

impl Watching {
    fn with_context(self, edit: impl Fn(TierContext) -> TierContext) -> Self {
        Self { context: self.context.map(edit), ..self }
    }

    /// The same, kept apart: of what has been so since the target was last found elsewhere.
    pub(super) fn since_it_was_elsewhere(self) -> Self {
        Self { folder: self.folder.join("settled"), ..self }
    }

    /// Looks, and remembers what was measured.
    pub(super) fn look(self, target: &TargetId, now: Timestamp, mode: Mode) -> Look {
        let file = self.folder.join(format!("{target}.json"));
        let before: Watch =
            std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let mut watch = before.clone();
        let measure = self.sources.as_deref().map(|sources| sources as &dyn Measure);
        let look = look(&self.terms, self.context, measure, &mut watch, now);
        if watch != before && mode == Mode::Act {
            keep(file, serde_json::to_vec(&watch).unwrap_or_default());
        }
        look
    }
}

/// How long it is waited for what was measured to be written down, and how many may wait for a disk that hangs.
const KEPT_WITHIN: Duration = Duration::from_secs(1);
const MOST_WAITING: usize = 16;

/// Writes down what was measured. Without room on the disk, or where it hangs, the look is judged all the same; the next
/// one, or the next process, knows less.
fn keep(file: PathBuf, bytes: Vec<u8>) {
    static WAITING: AtomicUsize = AtomicUsize::new(0);
    if WAITING.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
        WAITING.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (say, kept) = sync_channel(1);
    let write = move || {
        let _ = file.parent().map_or(Ok(()), std::fs::create_dir_all).map(|()| files::replace(&file, &bytes));
        WAITING.fetch_sub(1, Ordering::Relaxed);
        let _ = say.send(());
    };
    if std::thread::Builder::new().name("measured".to_owned()).spawn(write).is_err() {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
    let _ = kept.recv_timeout(KEPT_WITHIN);
}

/// Of what something was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MeasuredFor {
    /// A tier, since it was reached, and since it was last found elsewhere.
    Tier { lease: LeaseId, reached: Option<Timestamp>, settled: Option<Timestamp> },
    /// What was restored.
    Restored { lease: LeaseId, since: Timestamp },
}

/// What is to be measured of a target.
pub(super) struct Metering {
    pub(super) of: MeasuredFor,
    /// From the first shift to the tier on, or from the restoration.
    pub(super) harm: Watching,
    /// Since the target was last found elsewhere, if it was.
    pub(super) settled: Option<Watching>,
}

/// What was measured of a target.
pub(super) struct Measured {
    of: MeasuredFor,
    look: Look,
}

impl Metering {
    /// The same where it is known who serves which version.
    pub(super) fn with_pools(self, pools: Option<&Pools>) -> Self {
        self.with_context(|context| context.with_pools(pools.cloned()))
    }

    /// The same with what is known of the tier edited.
    pub(super) fn with_context(self, edit: impl Fn(TierContext) -> TierContext) -> Self {
        let (harm, settled) = (self.harm.with_context(&edit), self.settled);
        Self { harm, settled: settled.map(|settled| settled.with_context(&edit)), ..self }
    }

    /// Asks. That may take as long as the sources do.
    pub(super) fn measure(self, target: &TargetId, now: Timestamp, mode: Mode) -> Measured {
        let harm = self.harm.look(target, now, mode);
        let look = match self.settled {
            Some(settled) => combined(harm, settled.since_it_was_elsewhere().look(target, now, mode)),
            None => harm,
        };
        Measured { of: self.of, look }
    }

    /// Whether it is that which was measured last.
    pub(super) fn was_measured(&self, last: Option<&Measured>) -> bool {
        last.is_some_and(|last| last.of == self.of)
    }

    /// What is known of that by what was measured last. What was measured of the same tier before it was found elsewhere
    /// stops it all the same; else nothing is known yet.
    pub(super) fn known_by(&self, last: Option<&Measured>) -> Look {
        let of_this_tier = |last: &&Measured| match (&last.of, &self.of) {
            (MeasuredFor::Tier { lease, reached, .. }, MeasuredFor::Tier { lease: here, reached: now, .. }) => {
                lease == here && reached == now && last.stops()
            }
            _ => false,
        };
        match last {
            Some(last) if last.of == self.of => last.look.clone(),
            Some(last) if of_this_tier(&last) => last.look.clone(),
            _ => {
                let why = self.harm.context.as_ref().err().map_or("nothing has been measured yet", |why| &why.message);
                Look { health: Health::open(&self.harm.terms, why), evidence: None }
            }
        }
    }
}

impl Measured {
    /// Whether it stops the target.
    pub(super) fn stops(&self) -> bool {
        matches!(self.of, MeasuredFor::Tier { .. }) && self.look.health.stop().is_some()
    }
}

/// All that a look at a version that was restored needs.
pub(super) struct Aftercare {
    /// The version, as if it were at a tier that began with its restoration.
    pub(super) watching: Watching,
    /// Whether it had to be known by now.
    pub(super) deadline: Deadline,
}

/// A look at a target whose lease nothing was pinned for.
pub(super) fn nothing() -> Look {
    Look { health: Health::UNWATCHED, evidence: None }
}
