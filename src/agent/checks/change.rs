//! Checks that look into the change's own repository: that the change is there and descends from what ran before, and
//! that its declared risk is not below the computed one.

use std::path::PathBuf;

use crate::{
    changes,
    follower::records,
    git::{GitError, Repository},
    ledger::State,
    model::{
        Oid, Reason, Refusal,
        lease::{Change, Lease},
    },
    risk,
};

use super::{CheckResult, CheckVerdict};

/// A clone of the change's repository, opened.
#[derive(Debug)]
pub struct ChangeClone {
    /// Where it is.
    pub path: PathBuf,
    repository: Repository,
    /// The governance repository, which tells how the target fared before.
    governance: Repository,
}

impl ChangeClone {
    /// Opens the clone of a change's repository. An error means that nothing can be said of the change.
    pub fn open(path: Option<&PathBuf>, change: &Change, governance: &Repository) -> Result<Self, Refusal> {
        let path = path.ok_or_else(|| {
            let message = format!("no clone of {} is configured here", change.repository);
            Refusal::new(Reason::NoData, message).hint("name one in the agent's configuration, under changes")
        })?;
        let repository = Repository::open(path)?;
        repository
            .whole()
            .map_err(|error| Refusal::new(error.refusal().reason, format!("{}: {error}", path.display())))?;
        Ok(Self { path: path.clone(), repository, governance: governance.clone() })
    }
}

/// Whether the change is there, and descends from what it says that it comes from.
pub fn change(lease: &Lease, clone: Option<&Result<ChangeClone, Refusal>>) -> CheckResult {
    let (Some(change), Some(clone)) = (&lease.change, clone) else {
        return CheckResult::pass("change", "not checked: the lease names only artifacts");
    };
    let outcome = match clone {
        Ok(clone) => descends(&clone.repository, change),
        Err(refusal) => return CheckResult::open("change", refusal),
    };
    match outcome {
        Ok(Ok(words)) => CheckResult::pass("change", words),
        Ok(Err(refusal)) => CheckResult::fail("change", &refusal),
        Err(error) => CheckResult::open("change", &error.refusal()),
    }
}

/// The inner result: why it does not.
fn descends(repository: &Repository, change: &Change) -> Result<Result<String, Refusal>, GitError> {
    for id in [change.from, change.to].into_iter().filter(|id| !id.is_zero()) {
        if !is_commit(repository, id)? {
            let message = format!("{id} is no commit of {}, as its clone here was last fetched", change.repository);
            return Ok(Err(Refusal::new(Reason::NotDescended, message)));
        }
    }
    if change.from.is_zero() {
        return Ok(Ok(format!("{} is there; it is the first", change.to.short())));
    }
    if !repository.is_ancestor(change.from, change.to)? {
        let message = format!("{} does not descend from {}", change.to.short(), change.from.short());
        return Ok(Err(Refusal::new(Reason::NotDescended, message)));
    }
    Ok(Ok(format!("{} is there, and descends from {}", change.to.short(), change.from.short())))
}

fn is_commit(repository: &Repository, id: Oid) -> Result<bool, GitError> {
    Ok(repository.revision(&format!("{id}^{{commit}}"))? == Some(id))
}

/// Whether the lease declares at least the risk that is computed here, and no more than is signed here.
///
/// Nothing is computed where the policy asks for no declaration and the lease makes none.
pub fn risk(
    state: &State,
    lease: &Lease,
    clone: Option<&Result<ChangeClone, Refusal>>,
    most: Option<u8>,
) -> CheckResult {
    let declared = lease.risk.as_ref().map(|risk| risk.score);
    if let (Some(most), declared) = (most, declared)
        && declared.is_none_or(|score| score > most)
    {
        let declared = declared.map_or("no score".to_owned(), |score| format!("a score of {score}"));
        let message = format!("it declares {declared}, and this agent signs up to {most}");
        return CheckResult::new("risk", CheckVerdict::Fail, Reason::Risk, message);
    }
    if declared.is_none() && state.policy().get().risk.model.is_none() {
        return CheckResult::pass("risk", "the policy asks for no declaration, and the lease makes none");
    }
    let (Some(change), Some(clone)) = (&lease.change, clone) else {
        let message = "the lease names no change, so its risk cannot be computed";
        return CheckResult::new("risk", CheckVerdict::Fail, Reason::Risk, message);
    };
    let clone = match clone {
        Ok(clone) => clone,
        Err(refusal) => return CheckResult::open("risk", refusal),
    };
    let assessment = match computed(state, lease, change, clone) {
        Ok(assessment) => assessment,
        Err(refusal) => return CheckResult::open("risk", &refusal),
    };
    if let Err(refusal) = risk::check(lease, &assessment) {
        return CheckResult::fail("risk", &refusal);
    }
    let computed = assessment.declared();
    let factors = if computed.factors.is_empty() { "none".to_owned() } else { computed.factors.join(", ") };
    let declared = declared.unwrap_or_default();
    CheckResult::pass("risk", format!("declared {declared}, computed {}, factors: {factors}", computed.score))
}

/// Computes what the lease has to declare, as `risk LEASE --check` does.
fn computed(state: &State, lease: &Lease, change: &Change, clone: &ChangeClone) -> Result<risk::Assessment, Refusal> {
    risk::computable(lease)?;
    let mut circumstances = risk::circumstances(state, lease)?;
    if let Some(past) = &mut circumstances.target {
        let governance = &clone.governance;
        past.unrestorable = records::unrestorable(governance, state, &lease.target, lease.issued)?;
    }
    let from = Some(change.from).filter(|id| !id.is_zero());
    let facts = changes::facts(&clone.repository, from, change.to, risk::RANGES, circumstances.seen())?;
    Ok(risk::assess(&facts, &circumstances))
}
