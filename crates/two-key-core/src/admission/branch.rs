//! The governed branch: it continues, its new steps have no findings, no push removes the last key that can change the policy.

use jiff::Timestamp;

use crate::{
    ledger::{EventKind, Finding, State, rules},
    model::{Reason, Refusal},
};

use super::{BranchFacts, FORCE_REVOKE, Push, RefProblem, window};

/// Findings that a verdict lists one by one.
pub(super) const MAX_FINDINGS: usize = 1000;

pub(super) fn judge(push: &Push, facts: BranchFacts, now: Timestamp, found: &mut Vec<RefProblem>) {
    match facts {
        BranchFacts::Continues => {}
        BranchFacts::Foxtrot => {
            let message = "the old tip is in the new history, but not on its first-parent chain";
            let hint = "git two-key sync";
            return found.push(Refusal::new(Reason::Foxtrot, message).hint(hint).into());
        }
        BranchFacts::Rewound => {
            let message = "the old tip is not in the new history; the ledger only grows";
            return found
                .push(Refusal::new(Reason::RefRewound, message).hint("fetch, then build on the branch's tip").into());
        }
        BranchFacts::NotDescended => {
            let message = format!("the root {} is not on its first-parent chain", push.root);
            let hint = "push the branch that git two-key init made, or pin its root here";
            return found.push(Refusal::new(Reason::NotDescended, message).hint(hint).into());
        }
    }
    let findings = || push.steps.iter().flat_map(|step| &step.report.findings);
    // Those that a stop does not waive come first, so that no list is too long for them.
    let hiding = findings().filter(|finding| finding.hides_files());
    let others = findings().filter(|finding| !finding.hides_files());
    found.extend(hiding.chain(others).take(MAX_FINDINGS).map(in_words));
    found.extend(push.steps.iter().filter_map(|step| window::far_ahead(step, now)).map(RefProblem::from).take(1));
    if let Some(state) = &push.after {
        let votes = push.steps.iter().flat_map(|step| &step.votes);
        found
            .extend(votes.flat_map(|vote| window::judge(vote, push.before.as_ref(), state, now)).map(RefProblem::from));
        found.extend(stranded(push, state, now).map(RefProblem::from));
    }
}

/// A finding, with where it is.
fn in_words(finding: &Finding) -> RefProblem {
    let Refusal { reason, message, .. } = &finding.refusal;
    let at = match &finding.path {
        // Some findings about files name the path themselves.
        Some(path) if !message.contains(path.as_str()) => format!("{path} in commit {}", finding.commit.short()),
        _ => format!("commit {}", finding.carrier.short()),
    };
    let refusal = Refusal { reason: *reason, message: format!("{message} ({at})"), ..finding.refusal.clone() };
    RefProblem { refusal, finding: Some(finding.clone()) }
}

/// A revocation after which nobody could change the policy any more, or a policy under which everybody's last day has passed.
fn stranded(push: &Push, after: &State, now: Timestamp) -> Option<Refusal> {
    let can_change = |state: &State| {
        let policy = state.policy().get();
        let is_out = |key| state.revoked().contains_key(&key) || policy.key_in_time(key, now).is_err();
        rules::can_change_policy(policy, is_out)
    };
    let happened = |kind| push.steps.iter().flat_map(|step| &step.report.events).any(|event| event.event == kind);
    // Who is stranded already loses nothing more.
    let could = push.before.as_ref().is_none_or(can_change);
    if !could || can_change(after) {
        return None;
    }
    let (message, hint) = if happened(EventKind::KeyRevoked) {
        if push.forced_revocation {
            return None;
        }
        let hint = format!("enrol another key first; or, if you are sure: git push -o {FORCE_REVOKE} …");
        ("after this revocation too few keys are left to ever change the policy again", hint)
    } else if happened(EventKind::PolicyChanged) {
        let message = "under this policy too few keys whose last day is ahead are left to ever change it again";
        (message, "give a human and an agent a later `until`".to_owned())
    } else {
        return None;
    };
    Some(Refusal::new(Reason::PolicyFloor, message).hint(hint))
}
