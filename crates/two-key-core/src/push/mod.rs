//! A push: what it proposes, and what was found out about it. Plain data, which Git's side fills
//! in and [`crate::admission`] judges; and the names of governed refs ([`place`](place())). No rule is here.

mod moves;
mod place;
mod records;

use std::sync::Arc;

use crate::{
    ledger::{Descent, State, Step, StepReport},
    model::{Oid, RawKey, Refusal, RepositoryId, Statement},
    signature::{Opened, RawTag},
};

pub use moves::{Admitted, Destination, Move};
pub use place::{ASIDE, GOVERNED, RefMeaning, StopTarget, is_of_clones, is_taken_for_governed, place, stop_names};
pub use records::{RECORD, repository_of, signer_of};

/// The push option that lets a revocation leave the policy unchangeable. Not authenticated, and need not be: it asks
/// whether somebody is sure, nothing else.
pub const FORCE_REVOKE: &str = "two-key.force-revoke";

/// New commits that a push may bring, counted together whichever governed refs bring them.
pub const MAX_COMMITS: usize = 100_000;

/// What a push proposes, and what was found out about it.
#[derive(Debug, Clone)]
pub struct Push {
    /// The governed branch's full ref name.
    pub branch: String,
    /// The pinned root.
    pub root: Oid,
    /// The ledger at the governed branch's old tip; none before its founding.
    pub before: Option<State>,
    /// The ledger at its proposed tip; the same as before where the push leaves it alone or cannot have it.
    pub after: Option<State>,
    /// The governed branch's new steps, in order.
    pub steps: Vec<NewStep>,
    /// Every ref of the push, symbolic ones by their targets' names.
    pub updates: Vec<PushRef>,
    /// Whether the push option [`FORCE_REVOKE`] is there.
    pub forced_revocation: bool,
}

/// A step of the governed branch that the push brings.
#[derive(Debug, Clone)]
pub struct NewStep {
    /// What the fold said of it.
    pub report: StepReport,
    /// The verified votes that it carries.
    pub votes: Vec<FreshVote>,
    /// The latest committer time of all that it brought in, in seconds since 1970.
    pub latest_time: i64,
}

/// A verified vote in a new step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshVote {
    /// The commit that carries it.
    pub carrier: Oid,
    /// That commit's date as claimed, in seconds since 1970.
    pub dated: i64,
    /// The key that signed.
    pub key: RawKey,
    /// What was signed.
    pub statement: Statement,
}

/// One ref of a push.
#[derive(Debug, Clone)]
pub struct PushRef {
    /// Its full name.
    pub name: String,
    /// Where it was; none if it is created.
    pub old: Option<Oid>,
    /// Where it shall be; none if it is deleted.
    pub new: Option<Oid>,
    /// Whether it is where the push says that it is.
    pub standing: Standing,
    /// What was found out about it; shared where the same object comes under several names.
    pub facts: Arc<RefFacts>,
}

/// Where a ref of a push is, beside where the push says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There, as far as is known.
    AsClaimed,
    /// Elsewhere: another push came first. What it brings was judged for nothing.
    Outrun,
}

/// What was found out about a ref of a push.
#[derive(Debug, Clone)]
pub enum RefFacts {
    /// Nothing had to be: it is deleted, foreign, or not governed.
    Nothing,
    /// It is a rollout tag that is deleted: when the last step of its lease was committed, as that claims.
    Committed(Option<i64>),
    /// It is the governed branch.
    Branch(BranchFacts),
    /// It is a rollout tag: what it was, if it was there, and what it shall be.
    Tag {
        /// What stands there now.
        before: Option<TagFacts>,
        /// What comes.
        after: TagFacts,
    },
    /// It is somebody's notes.
    Notes(NotesFacts),
    /// It is a stop, created or deleted: what its commit is, or none if it is no commit.
    Stop(Option<Opened>),
    /// It is an applier's record.
    Applier(ApplierFacts),
    /// It cannot be judged by itself: it is malformed, or brings more than is ever read.
    Unfit(Refusal),
}

/// How the governed branch moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchFacts {
    /// The old tip (or, for a founding, the root) is on the new tip's first-parent chain.
    Continues,
    /// The old tip is an ancestor, but not on the first-parent chain.
    Foxtrot,
    /// The old tip is no ancestor.
    Rewound,
    /// The branch is created without the root on its first-parent chain.
    NotDescended,
}

/// What a pushed tag is.
#[derive(Debug, Clone)]
pub enum TagFacts {
    /// It points at something that is no tag object.
    Lightweight,
    /// It is a tag object in the strict form, on a commit; or why it is not.
    Annotated(Result<RawTag, Refusal>),
}

/// How a notes ref changes.
#[derive(Debug, Clone, Default)]
pub struct NotesFacts {
    /// Whether the old tip is an ancestor of the new one.
    pub fast_forward: bool,
    /// Entries of its tree that are no notes.
    pub strays: Vec<String>,
    /// Notes that differ.
    pub changes: Vec<NoteChange>,
}

/// A note that differs.
#[derive(Debug, Clone)]
pub struct NoteChange {
    /// The object that it is on.
    pub object: Oid,
    /// The bytes of each note that was on it before the push, of those that are no longer there.
    pub before: Vec<Vec<u8>>,
    /// Its bytes after it.
    pub after: Option<Vec<u8>>,
}

/// How an applier's ref changes.
#[derive(Debug, Clone, Default)]
pub struct ApplierFacts {
    /// Whether the old tip is an ancestor of the new one.
    pub fast_forward: bool,
    /// Its new commits.
    pub commits: Vec<RecordFacts>,
}

/// What a new commit of an applier's ref is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFacts {
    /// The commit.
    pub commit: Oid,
    /// The key whose signature on it verifies.
    pub signer: Option<RawKey>,
    /// The repository that its record is of; none where it has no record, or where nobody known signed it.
    pub repository: Option<RepositoryId>,
}

/// What the judge wants to know of a new step.
impl NewStep {
    /// From a step that has been folded, and what the fold said of it.
    pub fn new(step: &Step, report: StepReport) -> Self {
        Self { report, votes: fresh_votes(step), latest_time: step.latest_time }
    }
}

/// The verified votes in a step that has been folded. A sealed signature says nothing about time: it is dated by the step that
/// brings it.
fn fresh_votes(step: &Step) -> Vec<FreshVote> {
    let mut fresh = Vec::new();
    for commit in &step.commits {
        if commit.descent == Descent::Foreign {
            continue;
        }
        for vote in commit.opened.verified() {
            fresh.push(FreshVote {
                carrier: commit.id,
                dated: vote.claimed_time().unwrap_or(step.claimed_time),
                key: vote.key().raw(),
                statement: vote.statement().clone(),
            });
        }
    }
    fresh
}
