//! A publication: what of an applier is written, signed and pushed, and how far that is. Plain data.

use std::collections::BTreeMap;

use crate::{
    follower::{
        clock::ClockReading,
        records::{RecordedEvent, TargetRecord},
        writer::{Files, Pushing},
    },
    model::{Digest, Oid, Refusal, TargetId},
};

use super::writing::Writing;

/// What there is to be published: refs, tip, what was seen.
pub(super) type Edition = (u64, Oid, BTreeMap<TargetId, TargetRecord>);

/// What was written and pushed, and what is to be.
#[derive(Default)]
pub(super) struct Publication {
    /// What everything was published of.
    pub(super) published: Option<Edition>,
    /// What is being published now, and of what; an intention is of none.
    pub(super) under_way: Option<(UnderWay, Option<Edition>)>,
    /// What happens with an intention, once that is written.
    pub(super) intended: Vec<RecordedEvent>,
    /// Stops that the branch cannot have now.
    pub(super) beside: Option<UnmergedStops>,
    /// Evidence that goes into our ref with the next record.
    pub(super) evidence_files: Files,
    /// The evidence for stops of our own that are not signed yet, by statement.
    pub(super) evidence: BTreeMap<Digest, Vec<u8>>,
    /// Why something could not be written or signed last.
    pub(super) unrecorded: Vec<Refusal>,
}

/// How far it is: what is written is in the journal before it is pushed, so that whoever is killed meanwhile knows of it.
pub(super) enum UnderWay {
    Writing(Writing),
    Pushing(Pushing),
}

/// What is about to be done to some targets.
#[derive(Debug, Default)]
pub(super) struct Intended {
    /// The targets.
    pub(super) names: Vec<String>,
    /// What goes into our ref with it.
    pub(super) files: Files,
    /// What happened when that was made.
    pub(super) events: Vec<RecordedEvent>,
}

/// Stops that are obeyed here and that the branch does not have, because the remote does not take them there: where it is moved
/// by pull requests alone. Everybody finds them under names of their own.
pub(super) struct UnmergedStops {
    /// Why, for people.
    pub(super) why: Refusal,
    /// What was known when that was tried, and when.
    pub(super) knowledge: (Oid, usize),
    pub(super) since: ClockReading,
}
