//! Refusals: why an agent did not turn its key, for people to see.
//!
//! A refusal is a document in the governed branch's tree, `refusals/<LEASE>/<agent>.json`, that the agent adds with an
//! ordinary commit of its own, signed. The fold never reads it. A reader believes it only if the commit that last
//! changed the file is signed by a key of that agent that is in force, and if it is about the lease's bytes of today.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    git::{GitError, Objects, Repository},
    ledger::{State, awaited, rules},
    model::{Action, Digest, LeaseId, Oid, PrincipalId, RepositoryId, policy::Role},
    push::signer_of,
};

use super::checks::{self, CheckResult, CheckVerdict};

/// The folder of refusals in the tree.
const FOLDER: &str = "refusals";
/// The most reasons that are read.
const MAX_REASONS: usize = 64;

/// Why an agent does not turn its key for a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRefusal {
    /// The form of the document.
    pub version: u32,
    /// The governance repository's id.
    pub repository: RepositoryId,
    /// The lease.
    pub lease: LeaseId,
    /// The lease's bytes.
    pub digest: Digest,
    /// The agent.
    pub agent: PrincipalId,
    /// When it looked, by its own clock.
    pub at: Timestamp,
    /// What speaks against it.
    pub reasons: Vec<Why>,
}

/// One thing that speaks against a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// The check that fails.
    pub check: String,
    /// The reason's code.
    pub reason: String,
    /// Why, in one line.
    pub message: String,
}

impl AgentRefusal {
    /// The refusal that failed checks make.
    pub fn new(
        state: &State,
        lease: LeaseId,
        digest: Digest,
        agent: PrincipalId,
        at: Timestamp,
        checks: &[CheckResult],
    ) -> Self {
        let failed = checks.iter().filter(|check| check.verdict == CheckVerdict::Fail);
        let why = |check: &CheckResult| Why {
            check: check.check.clone(),
            reason: check.refusal().reason.code().to_owned(),
            message: check.message.clone(),
        };
        let repository = state.policy().get().repository.clone();
        Self { version: 1, repository, lease, digest, agent, at, reasons: failed.map(why).collect() }
    }

    /// Where it is in the tree.
    pub fn path(lease: &LeaseId, agent: &PrincipalId) -> String {
        format!("{FOLDER}/{lease}/{agent}.json")
    }

    /// Whether another one says the same: the time aside.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        Self { at: other.at, ..self.clone() } == *other
    }

    /// Whether what it is about is still so: the lease, by its bytes of today, awaits the agent's key.
    pub fn stands(&self, state: &State) -> bool {
        let asked = awaited(state, &self.lease)
            .is_some_and(|awaited| awaited.action == Action::Cosign && !awaited.has.contains(&self.agent));
        let same = checks::proposed(state, &self.lease).is_some_and(|proposed| proposed.digest() == self.digest);
        asked && same && self.repository == state.policy().get().repository
    }

    /// Reads a document that is at its own place.
    pub fn parse(bytes: &[u8], path: &str) -> Option<Self> {
        let refusal: Self = serde_json::from_slice(bytes).ok()?;
        let own = Self::path(&refusal.lease, &refusal.agent) == path;
        (refusal.version == 1 && own && refusal.reasons.len() <= MAX_REASONS).then_some(refusal)
    }

    /// The document's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// The refusals that stand at a tip: each by its agent's own key, about a lease that still awaits an agent, and about its
/// bytes of today. What does not verify is left out, as if it were not there.
pub fn read(repository: &Repository, state: &State, tip: Oid) -> Result<Vec<AgentRefusal>, GitError> {
    let mut objects = repository.objects()?;
    let mut standing = Vec::new();
    for (path, blob) in objects.files_below(tip, FOLDER)? {
        // Unsigned words of strangers: they are read as far as they are well formed, and believed if they verify.
        let Ok(bytes) = objects.blob(blob) else { continue };
        let Some(refusal) = AgentRefusal::parse(&bytes, &path).filter(|refusal| refusal.stands(state)) else {
            continue;
        };
        let Some(commit) = repository.last_to_change(tip, &path)? else { continue };
        if is_by(&mut objects, state, &refusal.agent, commit)? && objects.file_id_at(commit, &path)? == Some(blob) {
            standing.push(refusal);
        }
    }
    Ok(standing)
}

/// Whether a commit is signed by a key of an agent that is in force.
fn is_by(objects: &mut Objects, state: &State, agent: &PrincipalId, commit: Oid) -> Result<bool, GitError> {
    let opened = objects.open_one(commit)?;
    let owner = signer_of(&opened).map(|key| rules::owner(state, key));
    Ok(matches!(owner, Some(Ok((owner, Role::Agent))) if owner == *agent))
}
