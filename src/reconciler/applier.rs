//! An applier: what it knows, remembers and has under way. Plain data, which the coordinator alone changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    follower::{
        clock::Clock,
        records::{RecordedEvent, TargetRecord},
        state_folder::StateFolder,
    },
    model::{Refusal, TargetId},
    sources::Sources,
};

use super::{
    TargetReport,
    clone_reader::CloneReader,
    config::ApplierConfig,
    journal::Journal,
    publication::Publication,
    state::ApplierState,
    stop_signal::StopSignal,
    tick::Tick,
    watching::Measured,
    work::{ForwardMove, WorkOutcome},
    worker_pool::WorkerPool,
};

/// Result of a job.
pub(super) type Done = Result<WorkOutcome, Refusal>;

/// An applier: its coordinator, which alone owns all that it knows and remembers.
pub struct Applier {
    pub(super) config: Arc<ApplierConfig>,
    pub(super) follower: CloneReader,
    pub(super) folder: Arc<StateFolder>,
    pub(super) journal: Journal,
    pub(super) clock: Arc<Clock>,
    pub(super) remembered: ApplierState,
    /// Where measurements come from.
    pub(super) sources: Option<Arc<Sources>>,
    /// What holds for all targets of this tick.
    pub(super) tick: Tick,
    pub(super) clone: CloneRead,
    /// Whether the branch continues what was accepted.
    pub(super) continues: bool,
    /// What went wrong in this tick.
    pub(super) remarks: Vec<Refusal>,
    /// What was recorded of each target last.
    pub(super) records: BTreeMap<TargetId, TargetRecord>,
    pub(super) publishing: Publication,
    /// How often what happened, in this process.
    pub(super) counted: BTreeMap<String, u64>,
    /// What happened since the last report.
    pub(super) untold: Vec<RecordedEvent>,
    /// What was measured last, by target.
    pub(super) measured: BTreeMap<TargetId, Arc<Measured>>,
    pub(super) interval: Duration,
    pub(super) targets: Vec<TargetId>,
    pub(super) workers: WorkerPool<Done>,
    pub(super) meters: WorkerPool<Measured>,
    /// By which whoever works on a target is told to give it back.
    pub(super) stop_signal: BTreeMap<TargetId, StopSignal>,
    pub(super) agenda: Agenda,
    /// What was said of each target last.
    pub(super) reports: BTreeMap<TargetId, TargetReport>,
}

/// What is still to be done in a tick.
#[derive(Default)]
pub(super) struct Agenda {
    /// The targets that are still to be looked at.
    pub(super) todo: BTreeSet<TargetId>,
    /// How many answers of the remote are to come: one that was asked before the tick began does not count.
    pub(super) answers: u8,
    /// Forward moves that were decided on, and since when there are any.
    pub(super) forwards: Vec<ForwardMove>,
    pub(super) gathering: Option<Instant>,
    /// Whether metrics are still to be asked.
    pub(super) unmeasured: bool,
    /// How often our own ref was run after.
    pub(super) tries: u8,
    pub(super) announced: Option<Announced>,
}

/// Forward moves whose intention was published.
pub(super) struct Announced {
    pub(super) forwards: Vec<ForwardMove>,
    pub(super) stage: IntentStage,
}

/// How far an intention is.
#[derive(PartialEq, Eq)]
pub(super) enum IntentStage {
    /// It is being written, signed and pushed.
    Publishing,
    /// The remote is asked once more.
    Asking,
}

/// Whether the clone could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CloneRead {
    /// It has not been tried yet.
    NotYet,
    /// It could not be, so far: nothing is known.
    Failed(Refusal),
    /// It could be, if only once.
    Once,
}
