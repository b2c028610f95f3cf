//! Applier refs: what an applier intends, observed and did, every commit signed by a key of that applier.

use crate::{
    ledger::rules,
    model::{PrincipalId, Reason, Refusal, policy::Role},
};

use super::{ApplierFacts, Push, RECORD, RecordFacts, ledger_after};

pub(super) fn judge(push: &Push, name: &PrincipalId, facts: &ApplierFacts) -> Option<Refusal> {
    refusal(push, name, facts).err()
}

fn refusal(push: &Push, name: &PrincipalId, facts: &ApplierFacts) -> Result<(), Refusal> {
    if !facts.fast_forward {
        let message = "its old tip is not in the new history; an applier's record only grows";
        return Err(Refusal::new(Reason::RefRewound, message)
            .hint("another applier may run under the same name: give each its own"));
    }
    let state = ledger_after(push)?;
    if state.policy().get().principals.get(name).is_none_or(|known| known.role != Role::Applier) {
        let message = format!("the policy in force has no applier {name}");
        return Err(Refusal::new(Reason::ForeignRef, message).hint("see who there is: git two-key key list"));
    }
    let own = &state.policy().get().repository;
    for RecordFacts { commit, signer, repository } in &facts.commits {
        let commit = commit.short();
        let Some(signer) = signer else {
            let message = format!("commit {commit} has no signature that verifies");
            return Err(Refusal::new(Reason::Unsigned, message).hint(format!("only {name} writes here, and signs")));
        };
        let (owner, _) = rules::owner(state, *signer)
            .map_err(|refusal| Refusal { message: format!("commit {commit}: {}", refusal.message), ..refusal })?;
        if owner != *name {
            let message = format!("commit {commit} is signed by {owner}; only {name} writes here");
            return Err(Refusal::new(Reason::WrongPrincipal, message));
        }
        // One key may serve several repositories.
        let message = match repository {
            Some(repository) if repository == own => continue,
            Some(repository) => format!("the record in commit {commit} is of repository {repository}, this is {own}"),
            None => format!("commit {commit} has no {RECORD} that says which repository it is of"),
        };
        return Err(
            Refusal::new(Reason::WrongRepository, message).hint(format!("only {name} writes here, of this one"))
        );
    }
    Ok(())
}
