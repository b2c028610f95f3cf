//! Applier refs: what an applier intends, observed and did, every commit signed by a key of that applier.

use serde::Deserialize;

use crate::{
    ledger::rules,
    model::{PrincipalId, RawKey, Reason, Refusal, RepositoryId, policy::Role},
    signature::Opened,
};

use super::{ApplierFacts, Push, RecordFacts, ledger_after};

/// The path of an applier's record in its commit's tree.
pub const RECORD: &str = "record.json";

/// The repository that a record says it is of.
pub fn repository_of(record: &[u8]) -> Option<RepositoryId> {
    /// What every record has.
    #[derive(Deserialize)]
    struct RecordHead {
        repository: RepositoryId,
    }
    serde_json::from_slice::<RecordHead>(record).ok().map(|head| head.repository)
}

/// The raw key whose Git signature over a commit verifies, whatever the commit is.
pub fn signer_of(opened: &Opened) -> Option<RawKey> {
    match opened {
        Opened::Ordinary { signature } => signature.as_ref()?.signer(|_| true),
        Opened::Carrier { own, .. } => own.as_ref()?.vote(|_| Ok(())).ok().map(|vote| vote.key().raw()),
        Opened::Malformed(_) => None,
    }
}

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
