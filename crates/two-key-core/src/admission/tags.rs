//! Rollout tags: labels that say exactly what is in force, where it came in force, or are refused.

use std::collections::BTreeSet;

use crate::{
    ledger::{Awaited, LeaseState, State, awaited},
    model::{Action, LeaseId, Oid, PrincipalId, Reason, Refusal, Subject},
};

use super::{Push, TagFacts, ledger_after};

pub(super) fn judge(
    push: &Push,
    lease: &LeaseId,
    suffix: &str,
    before: Option<&TagFacts>,
    after: &TagFacts,
) -> Option<Refusal> {
    let truth = truthful(push, lease, suffix, after);
    match before {
        None => truth.err(),
        // Over a tag that lies, the true one may come.
        Some(before) if truth.is_ok() && truthful(push, lease, suffix, before).is_err() => None,
        Some(_) => {
            let message = "the tag exists, and tags in force never move";
            Some(Refusal::new(Reason::TagMoved, message).hint("leave it out of the push"))
        }
    }
}

/// Whether a tag says what is in force.
fn truthful(push: &Push, lease: &LeaseId, suffix: &str, facts: &TagFacts) -> Result<(), Refusal> {
    let tag = match facts {
        TagFacts::Lightweight => return Err(mismatch("it is lightweight; a rollout tag is annotated")),
        TagFacts::Annotated(Err(refusal)) => return Err(mismatch(&refusal.message)),
        TagFacts::Annotated(Ok(tag)) => tag,
    };
    if tag.name != format!("rollout/{lease}/{suffix}") {
        return Err(mismatch(&format!("the tag object itself says that it is {:?}", tag.name)));
    }
    let state = ledger_after(push)?;
    let entry = state.lease(lease);
    let transition = entry.and_then(|entry| entry.transitions.iter().find(|one| one.tag_suffix() == suffix));
    match (transition, entry) {
        (Some(transition), _) if transition.commit == tag.object => Ok(()),
        (Some(transition), _) => {
            let message =
                format!("it is on commit {}, {suffix} came in force on {}", tag.object.short(), transition.commit);
            Err(mismatch(&message).hint(tag_command(lease, suffix, transition.commit)))
        }
        (None, Some(entry)) if is_pending(entry, suffix) => Err(missing(state, lease, suffix)),
        (None, _) => Err(mismatch(&format!("{suffix} is not in force for lease {lease}"))
            .hint(format!("see what is with: git two-key show {lease}"))),
    }
}

fn mismatch(message: &str) -> Refusal {
    Refusal::new(Reason::TagMismatch, message)
}

fn tag_command(lease: &LeaseId, suffix: &str, commit: Oid) -> String {
    format!("git tag -a rollout/{lease}/{suffix} {commit}")
}

/// Whether somebody has turned a key for exactly this step.
fn is_pending(entry: &LeaseState, suffix: &str) -> bool {
    entry.pending.values().any(|ballot| match &ballot.statement.subject {
        Subject::Forward(forward) => {
            let fields = ballot.statement.fields();
            let tier = fields.tier.map(|tier| format!("-{tier}")).unwrap_or_default();
            !ballot.votes.is_empty() && format!("{}-{}{tier}", forward.step, forward.kind.action()) == suffix
        }
        _ => false,
    })
}

/// Who is missing, in words.
fn missing(state: &State, lease: &LeaseId, suffix: &str) -> Refusal {
    let Some(awaited) = awaited(state, lease) else {
        return Refusal::new(Reason::MissingRole, format!("{suffix} does not have its keys yet"));
    };
    let what = match awaited.tier {
        Some(tier) => format!("{} to {tier} %", awaited.action),
        None => awaited.action.to_string(),
    };
    let message = format!("{what} needs {}; has {}", awaited.needs().join(" and "), present(state, &awaited));
    let refusal = Refusal::new(Reason::MissingRole, message);
    if awaited.agents > 0 {
        refusal.hint(format!("an agent can turn its key with: git two-key {} {lease} --key …", awaited.action))
    } else {
        let verb = if awaited.action == Action::Promote { "approve".to_owned() } else { awaited.action.to_string() };
        refusal.hint(format!("a human can turn a key with: git two-key {verb} {lease}"))
    }
}

/// Who has turned a key: `human user1 and agent cp14`.
fn present(state: &State, awaited: &Awaited) -> String {
    let who = |ids: &BTreeSet<PrincipalId>| -> Vec<String> {
        let role = |id| state.policy().get().principals.get(id).map_or("", |principal| principal.role.word());
        ids.iter().map(|id| format!("{} {id}", role(id))).collect()
    };
    let who = who(&awaited.has);
    if who.is_empty() { "nobody".to_owned() } else { who.join(" and ") }
}
