//! Verdict on a push. Pure: what was pushed has been read by somebody else, and comes as a [`Push`] of facts.
//!
//! [`judge`] takes all refs of a push as one proposed end state. It refuses the whole push or nothing:
//!
//! 1. every ref name has its place ([`place`]); names in governed name spaces that are none of ours are foreign;
//! 2. the governed branch keeps its old tip on its first-parent chain, and its new steps have no finding ([`branch`]);
//! 3. cosign, start, promote and resume come in their lease's window ([`window`]), the only rule that knows a clock;
//! 4. nothing governed is deleted but what the ledger says without it, long after ([`tidy`]);
//! 5. tags say what is in force ([`tags`]), notes and applier refs only grow by what their owner signed ([`notes`],
//!    [`appliers`]), stop refs are stops ([`stops`]).
//!
//! **What the fold finds never refuses a push in which a stop takes effect.** If a new step stops something, or a stop
//! ref would, its findings are waived: they have no effect by themselves, wherever they stand. Everything else is judged
//! as without the stop, because it would stay where it came to: a vote past its window counts once it is on the branch, a
//! lying tag or a broken inbox keeps the true one out, and more names than are looked at hide later files. The stop can go in
//! alone, and a refusal says how.
//!
//! Between that verdict and the move nothing is locked; [`judge_move`] closes the gap when Git moves the refs.
//!
//! Findings of steps older than the push never matter. Called by [`crate::git`] and the command line; calls the
//! ledger and below.

mod appliers;
mod branch;
mod moves;
mod notes;
mod place;
mod stops;
mod tags;
mod tidy;
mod window;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt, sync::Arc};

use jiff::Timestamp;

use crate::{
    ledger::{Finding, State, Step, StepReport},
    model::{LeaseId, Oid, RawKey, Reason, Refusal, RepositoryId, Statement},
    signature::{Opened, RawTag},
};

pub use appliers::{RECORD, repository_of, signer_of};
pub use moves::{Admitted, Destination, Move, judge_move};
pub use place::{ASIDE, GOVERNED, RefMeaning, StopTarget, place, stop_names};
use place::{is_of_clones, is_taken_for_governed};
pub use stops::{admitted_on_doubt, only_stop_refs};
pub use tidy::{Newest, labels_may_go, stop_may_go};
pub use window::fresh_votes;

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
    /// Its bytes before the push.
    pub before: Option<Vec<u8>>,
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

/// What is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRef {
    /// The ref.
    pub name: String,
    /// Why.
    pub refusal: Refusal,
    /// The fold's finding that it is, if it is one: where it stands, and what it asked for.
    pub finding: Option<Finding>,
}

/// What is wrong with one ref.
#[derive(Debug)]
struct RefProblem {
    refusal: Refusal,
    finding: Option<Finding>,
}

impl From<Refusal> for RefProblem {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, finding: None }
    }
}

/// The verdict on a push: admitted as a whole, or refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushVerdict {
    /// What refuses it, in the order of the refs.
    pub refused: Vec<RefusedRef>,
    /// What the fold found, and would have refused it, had it not brought a stop.
    pub waived: Vec<RefusedRef>,
    /// Findings beyond the first thousand, which refuse it as well.
    pub more_refused: usize,
    /// The same where it brings a stop.
    pub more_waived: usize,
    /// The stops in it that take effect, as refs that can be pushed alone.
    pub stops: Vec<StopRef>,
}

/// A stop as a ref of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopRef {
    /// The lease that it stops; none for a freeze.
    pub lease: Option<LeaseId>,
    /// The commit that carries it.
    pub commit: Oid,
}

impl fmt::Display for StopRef {
    /// The refspec that pushes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = stop_names(self.lease.as_ref(), self.commit);
        write!(f, "{}:{}", self.commit, names.first().map_or("", String::as_str))
    }
}

impl PushVerdict {
    /// Whether the push is admitted.
    pub fn admits(&self) -> bool {
        self.refused.is_empty()
    }
}

/// Judges a push by the server's clock.
pub fn judge(push: &Push, now: Timestamp) -> PushVerdict {
    let mut verdict = PushVerdict::default();
    let mut names = BTreeSet::new();
    verdict.stops.extend(push.steps.iter().flat_map(stops::in_step));
    let mut stopped = push.steps.iter().any(|step| step.report.stopped_something());
    let mut problems = Vec::new();
    let newest = Newest::for_push(push);
    for update in &push.updates {
        let mut found = Vec::new();
        if !names.insert(update.name.as_str()) {
            let message = "the push moves it twice, perhaps by way of a symbolic ref";
            found.push(Refusal::new(Reason::Ambiguous, message).hint("push it by one name").into());
        }
        let stop = judge_ref(push, update, &newest, now, &mut found);
        stopped |= stop.is_some();
        verdict.stops.extend(stop);
        let named = |RefProblem { refusal, finding }| RefusedRef { name: update.name.clone(), refusal, finding };
        problems.extend(found.into_iter().map(named));
    }
    let listed = problems.iter().filter(|problem| problem.finding.is_some()).count();
    let findings: usize = push.steps.iter().map(|step| step.report.findings.len()).sum();
    let more = if listed < branch::MAX_FINDINGS { 0 } else { findings.saturating_sub(listed) };
    *(if stopped { &mut verdict.more_waived } else { &mut verdict.more_refused }) = more;
    let passes = |finding: &Finding| !finding.hides_files();
    let waived = |problem: &RefusedRef| stopped && problem.finding.as_ref().is_some_and(passes);
    (verdict.waived, verdict.refused) = problems.into_iter().partition(waived);
    verdict
}

/// Judges one ref. If it is a stop ref that stops something, that stop.
fn judge_ref(
    push: &Push,
    update: &PushRef,
    newest: &Newest,
    now: Timestamp,
    found: &mut Vec<RefProblem>,
) -> Option<StopRef> {
    let place = place(&update.name, &push.branch);
    if place == RefMeaning::Other {
        if update.new.is_some() && is_of_clones(&update.name) {
            let message =
                "under this name clones keep what is theirs, and one that mirrors all refs would take this for it";
            let hint = "push branches and tags alone: git push --all, git push --tags";
            found.push(Refusal::new(Reason::ForeignRef, message).hint(hint).into());
        } else if update.new.is_some() && is_taken_for_governed(&update.name, &push.branch) {
            let message = "Git would take a ref of this name for a governed one, and could push to neither";
            found.push(Refusal::new(Reason::ForeignRef, message).hint("push it under another name").into());
        }
        return None;
    }
    if place == RefMeaning::Foreign {
        let message = "a ref of this name could be taken for a governed one, and is none";
        found.push(Refusal::new(Reason::ForeignRef, message).hint("push it under another name").into());
        return None;
    }
    if update.new.is_none() {
        found.extend(tidy::judge(push, update, &place, newest, now).err().map(RefProblem::from));
        return None;
    }
    if update.standing == Standing::Outrun {
        found.push(outrun().into());
        return None;
    }
    if let RefFacts::Unfit(refusal) = &*update.facts {
        found.push(refusal.clone().into());
        return None;
    }
    match (&place, &*update.facts) {
        (RefMeaning::Branch, RefFacts::Branch(facts)) => branch::judge(push, *facts, now, found),
        (RefMeaning::Tag { lease, suffix }, RefFacts::Tag { before, after }) => {
            found.extend(tags::judge(push, lease, suffix, before.as_ref(), after).map(RefProblem::from));
        }
        (RefMeaning::Notes(principal), RefFacts::Notes(facts)) => notes::judge(push, update, principal, facts, found),
        (RefMeaning::Applier(name), RefFacts::Applier(facts)) => {
            found.extend(appliers::judge(push, name, facts).map(RefProblem::from));
        }
        (RefMeaning::Stop { target, id }, RefFacts::Stop(opened)) => {
            return match stops::judge(push, update, target, id, opened.as_ref()) {
                Ok(effect) => effect,
                Err(refusal) => {
                    found.push(refusal.into());
                    None
                }
            };
        }
        _ => found.push(Refusal::new(Reason::Internal, "what it brings was not read").into()),
    }
    None
}

fn outrun() -> Refusal {
    Refusal::new(Reason::Stale, "another push came first").hint("fetch, then build on what is there")
}

/// The ledger that everything but the branch itself is judged by.
fn ledger_after(push: &Push) -> Result<&State, Refusal> {
    push.after.as_ref().ok_or_else(|| {
        Refusal::new(Reason::NotDescended, format!("{} does not exist here yet", push.branch))
            .hint(format!("push it first, with the root {} on it", push.root.short()))
    })
}

/// What the judge wants to know of a new step.
impl NewStep {
    /// From a step that has been folded, and what the fold said of it.
    pub fn new(step: &Step, report: StepReport) -> Self {
        Self { report, votes: fresh_votes(step), latest_time: step.latest_time }
    }
}
