//! What a stop stands on where the ledger cannot be folded: a shallow clone, a history with a hole, a wrong root.
//!
//! A stop binds to a repository and a lease id and to nothing else, so neither signatures nor history are needed to
//! state one. What is read here is the tree of the branch's tip as it stands, and every verb that uses it says so.

use std::collections::BTreeMap;

use super::{
    Failure, Place,
    session::{Which, short},
};
use crate::{
    git::Repository,
    model::{Action, LeaseId, Nonce, Oid, Reason, Refusal, Statement, Stop, StopKind, Subject, lease, policy},
};

/// The tip of the governed branch, unverified.
#[derive(Debug)]
pub struct Ground {
    /// The repository.
    pub repo: Repository,
    /// The governed branch's full ref name, as far as that can be told.
    pub branch: String,
    /// Its tip.
    pub tip: Oid,
    /// The policy in its tree, whoever put it there.
    pub policy: policy::Policy,
}

impl Ground {
    /// Reads the tip's policy, whoever put it there.
    pub fn open(place: &Place, which: &Which) -> Result<Self, Failure> {
        let repo = place.repository()?;
        let (branch, tip) = super::session::unverified_tip(&repo, which)?;
        let none = || {
            let message =
                format!("{} has no policy that can be read, so what could be stopped is not known", short(&branch));
            Failure::undecided(Reason::NoLedger, message)
        };
        let bytes = repo.objects()?.file_at(tip, super::session::POLICY_PATH)?.ok_or_else(none)?;
        let policy = policy::read(&bytes).map_err(|_| none())?.get().clone();
        Ok(Self { repo, branch, tip, policy })
    }

    /// The lease that a handle means, as far as the tip's files tell.
    pub fn lease(&self, handle: &str) -> Result<LeaseId, Failure> {
        let mut objects = self.repo.objects()?;
        let mut newest: BTreeMap<_, LeaseId> = BTreeMap::new();
        for (path, blob) in objects.files_below(self.tip, "leases")? {
            let Some(id) = lease::file_id(&path) else { continue };
            if id.as_str() == handle {
                return Ok(id);
            }
            let Some(bytes) = objects.blob_if_held(blob)? else { continue };
            let Ok(found) = lease::read(&bytes) else { continue };
            let found = found.get();
            if found.target.as_str() == handle || found.intent.as_ref().is_some_and(|intent| intent.as_str() == handle)
            {
                newest.insert(found.issued, id);
            }
        }
        if let Some((_, id)) = newest.pop_last() {
            return Ok(id);
        }
        let message =
            format!("no lease file at {}'s tip is for it, and the ledger cannot be asked here", short(&self.branch));
        Err(Failure::refused(handle, Refusal::new(Reason::UnknownLease, message)))
    }

    /// The statement of a stop or freeze; none for any other action.
    pub fn statement(&self, action: Action, lease: Option<LeaseId>, nonce: Nonce) -> Option<Statement> {
        let stop = |kind| lease.map(|lease| (lease, kind));
        let (lease, kind) = match action {
            Action::Freeze => {
                return Some(Statement {
                    repository: self.policy.repository.clone(),
                    subject: Subject::Freeze { nonce },
                });
            }
            Action::Pause => stop(StopKind::Pause),
            Action::Halt => stop(StopKind::Halt),
            Action::Withdraw => stop(StopKind::Withdraw),
            Action::Rollback => stop(StopKind::Rollback),
            _ => None,
        }?;
        let subject = Subject::Stop(Stop { lease, kind, nonce });
        Some(Statement { repository: self.policy.repository.clone(), subject })
    }
}
