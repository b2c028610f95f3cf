//! The two-key verifier's answers: about one lease, and about everything.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{Content, Finding, Phase, State, StepReport, awaited_cosignatures},
    model::{Action, LeaseId, PrincipalId, Reason, Refusal, refs},
};

use super::{
    Beside, FindingView, LeaseView, PolicyView,
    awaits::lacks,
    finding_line, lease_view,
    words::{MAX_LISTED, and_more, count},
};

/// What the verifier says of the whole ledger, or of a range of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LedgerVerdict {
    /// Whether everything counts.
    pub ok: bool,
    /// The first finding's reason code.
    pub reason: Option<String>,
    /// The pinned root.
    pub root: String,
    /// The governed branch.
    pub branch: String,
    /// The tip that was verified.
    pub tip: String,
    /// First-parent commits that the verdict is about.
    pub steps: usize,
    /// What took effect in them.
    pub events: usize,
    /// Leases at the tip.
    pub leases: usize,
    /// The policy in force at the tip.
    pub policy: PolicyView,
    /// What does not count: the first thousand.
    pub findings: Vec<FindingView>,
    /// How many more do not.
    pub more_findings: usize,
}

/// What the verifier says of one lease.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LeaseVerdict {
    /// Whether its own two keys are turned for it, and all that is in force of it rests on its rule.
    pub ok: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Why not, in words.
    pub message: Option<String>,
    /// What helps.
    pub hint: Option<String>,
    /// All about it.
    #[serde(flatten)]
    pub lease: LeaseView,
}

/// What was found in steps that were looked at: no more of a long ledger is kept than what a verdict says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    steps: usize,
    events: usize,
    /// The first of them.
    findings: Vec<Finding>,
    more_findings: usize,
}

impl Looked {
    /// Takes a step's report in.
    pub fn add(&mut self, report: StepReport) {
        self.steps += 1;
        self.events += report.events.len();
        let room = MAX_LISTED.saturating_sub(self.findings.len());
        self.more_findings += report.findings.len().saturating_sub(room);
        self.findings.extend(report.findings.into_iter().take(room));
    }
}

/// The verdict about the steps that were looked at.
pub fn ledger_verdict(state: &State, looked: &Looked, branch: &str) -> LedgerVerdict {
    let found: Vec<_> = looked.findings.iter().map(FindingView::of).collect();
    LedgerVerdict {
        ok: found.is_empty(),
        reason: found.first().map(|finding| finding.reason.clone()),
        root: state.root().to_string(),
        branch: branch.to_owned(),
        tip: state.tip().to_string(),
        steps: looked.steps,
        events: looked.events,
        leases: state.known_leases().len(),
        policy: PolicyView::of(state),
        findings: found,
        more_findings: looked.more_findings,
    }
}

/// The same for people: a line a finding, then what was looked at.
pub fn ledger_text(state: &State, looked: &Looked, verdict: &LedgerVerdict) -> String {
    let mut lines = Vec::new();
    for finding in &looked.findings {
        lines.push(finding_line(finding));
        lines.extend(finding.refusal.hint.as_ref().map(|hint| format!("hint: {}", super::escaped(hint))));
    }
    let seen = format!(
        "{} of {} from root {} to {}: {}, {}, policy version {}",
        count(verdict.steps, "step"),
        refs::short(&verdict.branch),
        state.root().short(),
        state.tip().short(),
        count(verdict.leases, "lease"),
        count(verdict.events, "event"),
        verdict.policy.version
    );
    lines.extend(and_more(verdict.more_findings, "finding"));
    lines.push(match verdict.findings.len() + verdict.more_findings {
        0 => format!("verified {seen}; everything counts"),
        some => format!("{} in {seen}; they altered nothing", count(some, "finding")),
    });
    lines.join("\n")
}

/// The verdict about one lease.
pub fn lease_verdict(
    state: &State,
    reports: &[StepReport],
    beside: &Beside,
    id: &LeaseId,
) -> Result<LeaseVerdict, Refusal> {
    let refusal = authorized(state, beside, id)?.err();
    Ok(LeaseVerdict {
        ok: refusal.is_none(),
        reason: refusal.as_ref().map(|refusal| refusal.reason.code().to_owned()),
        message: refusal.as_ref().map(|refusal| refusal.message.clone()),
        hint: refusal.and_then(|refusal| refusal.hint),
        lease: lease_view(state, reports, beside, id),
    })
}

/// Whether a lease is authorized or further. The outer error is for what is no lease at all.
fn authorized(state: &State, beside: &Beside, id: &LeaseId) -> Result<Result<(), Refusal>, Refusal> {
    let entry = state.lease(id);
    if entry.is_none() && state.proposals(id).next().is_none() {
        let message = format!("{id} is neither in the ledger nor in the tree");
        let unknown = Refusal::new(Reason::UnknownLease, message);
        return Err(unknown.hint("see which leases there are with: git two-key list"));
    }
    let phase = entry.map_or(Phase::Proposed, |entry| entry.phase);
    // What has started was counted when it was; what has not is counted under the policy that its start will meet.
    if phase.started() {
        return Ok(Ok(()));
    }
    if phase == Phase::Withdrawn {
        return Ok(Err(Refusal::new(Reason::NotAuthorized, format!("lease {id} was withdrawn before it started"))));
    }
    let Some(tally) = state.authorization(id) else { return Ok(Err(unusable(state, id))) };
    if phase == Phase::Authorized && tally.satisfied {
        return Ok(Ok(()));
    }
    if tally.satisfied {
        // A policy authorizes nothing by itself: the fold counts when it meets a vote.
        let message = format!("lease {id} has its keys, but none was turned since the policy counts them");
        let refusal = Refusal::new(Reason::NotAuthorized, message);
        return Ok(Err(refusal.hint(format!("turn one of them once more: git two-key sign {id}"))));
    }
    let Some(awaited) = awaited_cosignatures(state, id) else { return Ok(Err(unusable(state, id))) };
    let reason = if awaited.has.is_empty() { Reason::NotAuthorized } else { Reason::MissingRole };
    let waiting: Vec<_> = beside.waiting(id, Action::Cosign).iter().map(PrincipalId::as_str).collect();
    let lacks = lacks(&awaited);
    if waiting.is_empty() {
        let refusal = Refusal::new(reason, format!("cosign needs {lacks}"));
        return Ok(Err(refusal.hint(format!("they can turn their key with: git two-key sign {id}"))));
    }
    // What waits in a note is in force only once a commit on the ledger has sealed it.
    let message = format!("cosign needs {lacks}; by note: {}", waiting.join(", "));
    Ok(Err(Refusal::new(reason, message).hint("the next transition seals what waits in notes")))
}

/// Why a lease has no document that a key could be turned for.
fn unusable(state: &State, id: &LeaseId) -> Refusal {
    let wrong = state.proposals(id).find_map(|(path, file)| match &file.content {
        Content::Unusable { code, message } => Some((code, format!("{path}: {message}"))),
        Content::Proposal(_) => None,
    });
    match wrong {
        Some((code, message)) => Refusal::new(Reason::from_code(code).unwrap_or(Reason::Malformed), message),
        None => Refusal::new(Reason::NotAuthorized, format!("lease {id} has no file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Oid;

    #[test]
    fn the_first_of_very_many_findings_are_kept_and_all_are_counted() {
        let (commit, refusal) = (Oid::Sha1([1; 20]), Refusal::new(Reason::Malformed, "no statement"));
        let finding = Finding { commit, carrier: commit, lease: None, action: None, path: None, claims: None, refusal };
        let mut looked = Looked::default();
        for count in [MAX_LISTED - 1, 3, 5] {
            let findings = vec![finding.clone(); count];
            looked.add(StepReport { commit, claimed_time: 0, events: Vec::new(), findings });
        }
        assert_eq!((looked.findings.len(), looked.more_findings, looked.steps), (MAX_LISTED, 7, 3));
    }
}
