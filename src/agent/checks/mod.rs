//! The checks of a lease before an agent signs it: what each says, and the ones that need nothing but the ledger.
//!
//! A check passes, fails, or cannot say. What cannot be said is never taken for a pass: the lease then waits.

mod change;
mod exec;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ledger::State,
    model::{LeaseId, Proposed, Reason, Refusal, lease::Lease},
    report,
};

pub use change::{ChangeClone, change, risk};
pub use exec::run;

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// The lease satisfies it.
    Pass,
    /// It does not.
    Fail,
    /// Nobody knows.
    Open,
}

/// What one check says of one lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// The check's name.
    pub check: String,
    /// What it says.
    pub verdict: CheckVerdict,
    /// The reason code, where it does not pass.
    pub reason: Option<Reason>,
    /// Why, in one line.
    pub message: String,
}

impl CheckResult {
    /// A result.
    pub fn new(check: &str, verdict: CheckVerdict, reason: Reason, message: impl Into<String>) -> Self {
        let reason = (verdict != CheckVerdict::Pass).then_some(reason);
        Self { check: check.to_owned(), verdict, reason, message: message.into() }
    }

    /// A pass, and what it rests on.
    pub fn pass(check: &str, message: impl Into<String>) -> Self {
        Self { check: check.to_owned(), verdict: CheckVerdict::Pass, reason: None, message: message.into() }
    }

    /// A failure.
    pub fn fail(check: &str, refusal: &Refusal) -> Self {
        Self::new(check, CheckVerdict::Fail, refusal.reason, refusal.message.clone())
    }

    /// Something that could not be found out.
    pub fn open(check: &str, refusal: &Refusal) -> Self {
        Self::new(check, CheckVerdict::Open, refusal.reason, refusal.message.clone())
    }

    /// Whether it fails.
    pub fn fails(&self) -> bool {
        self.verdict == CheckVerdict::Fail
    }

    /// Whether it cannot say.
    pub fn is_open(&self) -> bool {
        self.verdict == CheckVerdict::Open
    }

    /// Why it does not pass.
    pub fn refusal(&self) -> Refusal {
        let reason = self.reason.unwrap_or(Reason::Internal);
        Refusal::new(reason, format!("{}: {}", self.check, self.message))
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            CheckVerdict::Pass => "pass",
            CheckVerdict::Fail => "FAIL",
            CheckVerdict::Open => "open",
        };
        write!(f, "{} {word}: {}", self.check, self.message)
    }
}

/// The lease as proposed: the bytes that the first vote pinned, else the only ones in the tree.
pub fn proposed<'a>(state: &'a State, id: &LeaseId) -> Option<&'a Proposed<Lease>> {
    if let Some(pinned) = state.lease(id).and_then(|entry| entry.pinned.as_deref()) {
        return Some(pinned);
    }
    state.proposals(id).find_map(|(_, file)| match &file.content {
        crate::ledger::Content::Proposal(proposed) => Some(proposed.as_ref()),
        crate::ledger::Content::Unusable { .. } => None,
    })
}

/// Whether the policy in force could ever put the lease in force: its form, its repository, its risk bands, what it
/// delegates.
pub fn policy(state: &State, proposed: &Proposed<Lease>) -> CheckResult {
    let advice = report::lease_advice(state.policy().get(), Some(state), proposed);
    match advice.errors.first() {
        Some(refusal) => CheckResult::fail("policy", refusal),
        None => CheckResult::pass("policy", "well formed, and within what the policy in force allows"),
    }
}

/// Whether the policy names the target, and somebody moves it.
pub fn target(state: &State, lease: &Lease) -> CheckResult {
    let Some(target) = state.policy().get().targets.get(&lease.target) else {
        let message = format!("the policy in force names no target {}", lease.target);
        return CheckResult::new("target", CheckVerdict::Fail, Reason::MissingRole, message);
    };
    let Some(applier) = &target.applier else {
        let message = format!("target {} has no applier: nobody would move traffic, or watch it", lease.target);
        return CheckResult::new("target", CheckVerdict::Fail, Reason::MissingRole, message);
    };
    let busy = state.newest_on(&lease.target).filter(|newest| newest.phase.occupies() && newest.id != lease.id);
    let beside = busy.map(|other| format!("; {} runs there now", other.id)).unwrap_or_default();
    CheckResult::pass("target", format!("{} is moved by {applier}{beside}", lease.target))
}
