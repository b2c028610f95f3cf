//! Base of a stop where the ledger cannot be folded: a shallow clone, a history with a hole, a wrong root, junk on
//! the branch.
//!
//! A stop binds to a repository and a lease id and to nothing else, so neither signatures nor history are needed to
//! state one. What is read here is the policy of the pinned root, and the tree of the branch's tip as it stands, which
//! anybody may have put there; every verb that uses it says so.

use std::collections::BTreeMap;

use super::{
    Failure, Place,
    governed::{POLICY_PATH, Which, unverified_branch, unverified_tip},
    terminal::remark,
};
use crate::{
    git::Repository,
    model::{Action, LeaseId, Nonce, Oid, Reason, Refusal, Statement, Stop, StopKind, Subject, lease, policy, refs},
};

/// The governed branch, unverified.
#[derive(Debug)]
pub struct Ground {
    /// The repository.
    pub repo: Repository,
    /// The governed branch's full ref name, as far as that can be told.
    pub branch: String,
    /// Its tip; the root where there is none.
    pub tip: Oid,
    /// What is said of whose keys there are, the most trusted first. At least one.
    pub words: Vec<Word>,
}

/// A policy that may be the one in force, and what a stop is built on that goes by it.
#[derive(Debug)]
pub struct Word {
    /// The policy.
    pub policy: policy::Policy,
    /// The commit that has it: the pinned root, from which everything descends that counts; or the branch's tip.
    pub on: Oid,
}

impl Ground {
    /// Reads the policies of the pinned root and of the tip, whoever put that there.
    pub fn open(place: &Place, which: &Which) -> Result<Self, Failure> {
        let repo = place.repository()?;
        let root = repo.pinned_root().ok().flatten();
        let (branch, tip) = match (unverified_tip(&repo, which), root) {
            (Ok(found), _) => found,
            // Even where the branch is gone.
            (Err(_), Some(root)) => (unverified_branch(&repo), root),
            (Err(failure), None) => return Err(failure),
        };
        let mut objects = repo.objects()?;
        let mut word = |on: Oid| {
            // Junk is no reason not to stop.
            let bytes = objects.file_at(on, POLICY_PATH).ok()??;
            Some(Word { policy: policy::read(&bytes).ok()?.get().clone(), on })
        };
        let words: Vec<_> = root.into_iter().chain([tip]).filter_map(&mut word).collect();
        if words.is_empty() {
            let message = format!(
                "{} has no policy that can be read, so what could be stopped is not known",
                refs::short(&branch)
            );
            let mut refusal = Refusal::new(Reason::NoLedger, message);
            if root.is_none() {
                refusal = refusal.hint("pin the root, whose policy is as good: git config two-key.root ROOT");
            }
            return Err(Failure::Undecided(refusal));
        }
        Ok(Self { repo, branch, tip, words })
    }

    /// The lease that a handle means, as far as the tip's files tell. What they do not tell of is taken for a lease's id.
    pub fn lease(&self, handle: &str) -> Result<LeaseId, Failure> {
        let mut objects = self.repo.objects()?;
        let mut newest: BTreeMap<_, LeaseId> = BTreeMap::new();
        for (path, blob) in objects.files_below(self.tip, "leases").unwrap_or_default() {
            let Some(id) = lease::file_id(&path) else { continue };
            if id.as_str() == handle {
                return Ok(id);
            }
            let Ok(Some(bytes)) = objects.blob_if_held(blob) else { continue };
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
        let message = format!(
            "no lease file at {}'s tip is for it, and the ledger cannot be asked here",
            refs::short(&self.branch)
        );
        let is_target =
            |word: &Word| word.policy.targets.keys().any(|target| target.as_str().eq_ignore_ascii_case(handle));
        match LeaseId::parse(handle).filter(|_| !self.words.iter().any(is_target)) {
            Some(id) => {
                remark(&format!("warning: {message}; the stop is of the lease whose id is exactly {id}"));
                Ok(id)
            }
            None => Err(Failure::refused(
                handle,
                Refusal::new(Reason::UnknownLease, message).hint("name the lease by its id"),
            )),
        }
    }
}

impl Word {
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
