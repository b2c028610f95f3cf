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
//! Findings of steps older than the push never matter. Called by the hook and by whoever pushes; calls the ledger and
//! below.

mod appliers;
mod branch;
mod moves;
mod notes;
mod stops;
mod tags;
mod tidy;
mod window;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use jiff::Timestamp;

use crate::{
    ledger::{Finding, State},
    model::{LeaseId, Oid, Reason, Refusal},
    push::{is_of_clones, is_taken_for_governed},
};

pub use crate::push::{
    ASIDE, Admitted, ApplierFacts, BranchFacts, Destination, FORCE_REVOKE, FreshVote, GOVERNED, MAX_COMMITS, Move,
    NewStep, NoteChange, NotesFacts, Push, PushRef, RECORD, RecordFacts, RefFacts, RefMeaning, Standing, StopTarget,
    TagFacts, place, repository_of, signer_of, stop_names,
};
pub use moves::judge_move;
pub use stops::{admitted_on_doubt, only_stop_refs};
pub use tidy::{Newest, labels_may_go, stop_may_go};

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
