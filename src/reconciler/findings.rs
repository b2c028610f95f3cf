//! Findings: what a worker hands over of one target.

use crate::{
    follower::{
        records::{RecordedEvent, TargetRecord},
        stops::SeenStop,
        writer::Files,
    },
    model::Refusal,
};

use super::{applied::Applied, run::TargetReport};

/// A stop of our own, with the evidence for it. It is signed once what it stops has been stopped.
pub(super) struct OwnStop {
    pub(super) stop: SeenStop,
    pub(super) evidence: Option<Vec<u8>>,
}

/// What was found and done at a target. Nothing of it has been written down.
pub(super) struct Findings {
    pub(super) report: TargetReport,
    pub(super) record: TargetRecord,
    pub(super) applied: Applied,
    pub(super) events: Vec<RecordedEvent>,
    /// Evidence that goes into our ref with the next record.
    pub(super) evidence_files: Files,
    pub(super) remarks: Vec<Refusal>,
    pub(super) stops: Vec<OwnStop>,
}
