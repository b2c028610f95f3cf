//! The tree's files: proposals, and what makes one unusable.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    model::{Digest, LeaseId, MAX_STEP_BYTES, MAX_STEP_NAMES, Proposed, Reason, Refusal, lease, policy::Policy},
    signature::Opened,
};

use super::{
    Content, Descent, Entry, Finding, Fold, LeaseState, ProposalFile, Proposer, State, Step,
    event::LEASES,
    index::{FilePath, LeaseEntry},
    rules,
};

/// Findings about files that one step can have; one more says how many more there were.
const MAX_FILE_FINDINGS: usize = 10;

/// A lease file's digest, if it was read, and what it says.
type Read = (Option<Digest>, Result<Arc<Proposed<lease::Lease>>, Refusal>);

/// The path of the policy.
const POLICY_PATH: &str = ".two-key/policy.yaml";

/// The policy in the root's tree.
pub(in crate::ledger) fn root_policy(step: &Step) -> Result<Arc<Proposed<Policy>>, Refusal> {
    let proposed = match &step.policy {
        Some(Entry::Regular(file)) => file.policy()?,
        Some(Entry::TooLarge) => return Err(too_large(POLICY_PATH)),
        Some(Entry::NotAFile | Entry::TooDeep | Entry::TooMuch) => return Err(not_a_file(POLICY_PATH)),
        Some(Entry::Absent) | None => {
            let message = format!("there is no {POLICY_PATH} in its tree");
            return Err(Refusal::new(Reason::Malformed, message).hint("make one with: git two-key init"));
        }
    };
    if !rules::can_change_policy(proposed.get(), |_| false) {
        return Err(Refusal::new(Reason::PolicyFloor, "nobody could ever change this policy"));
    }
    Ok(proposed)
}

impl Fold {
    /// Takes over what changed in the tree.
    pub(in crate::ledger) fn files(&mut self, step: &Step) {
        if step.policy.is_none() && step.leases.is_empty() {
            return;
        }
        let proposer = self.state.proposer(step);
        if let Some(entry) = &step.policy {
            self.policy_entry(entry, &proposer);
        }
        if let [(path, Entry::TooMuch)] = step.leases.as_slice() {
            return self.find_file(path, None, too_much());
        }
        let mut touched = BTreeSet::new();
        for (at, file) in lease_files(step) {
            if let Some(id) = self.lease_entry(at, file, &proposer) {
                touched.insert(id);
            }
        }
        for id in touched {
            self.check_pinned(&id);
        }
        self.shorten();
    }

    /// Keeps the first of very many findings about files.
    fn shorten(&mut self) {
        let more = self.report.findings.len().saturating_sub(MAX_FILE_FINDINGS);
        if more > 1 {
            self.report.findings.truncate(MAX_FILE_FINDINGS);
            let message = format!("{more} more findings are about files of this step");
            self.find_file(LEASES, None, Refusal::new(Reason::Malformed, message));
        }
    }

    fn policy_entry(&mut self, entry: &Entry, proposer: &Proposer) {
        let in_force = self.state.policy.digest();
        let (digest, read) = match entry {
            Entry::Absent => {
                self.state.policy_file = None;
                let message = format!("{POLICY_PATH} was deleted; the policy in force stays in force");
                self.find_file(POLICY_PATH, None, Refusal::new(Reason::Malformed, message));
                return;
            }
            Entry::Regular(file) => (Some(file.digest()), file.policy()),
            Entry::TooLarge => (None, Err(too_large(POLICY_PATH))),
            Entry::NotAFile | Entry::TooDeep | Entry::TooMuch => (None, Err(not_a_file(POLICY_PATH))),
        };
        let usable = read.and_then(|proposed| {
            // The policy in force itself may always stand in the tree.
            if proposed.digest() != in_force {
                self.check_policy(&proposed)?;
            }
            Ok(proposed)
        });
        if let Ok(proposed) = &usable {
            self.state.policies_brought.note(proposed.digest(), proposer);
        }
        let content = self.content(POLICY_PATH, None, usable);
        self.state.policy_file = Some(ProposalFile { digest, content });
    }

    /// Takes over one lease file's change and says which lease it is about, if a vote pinned that. A step may change many
    /// files, and the next one may change them back: what is known under an id is looked up twice, and no more.
    fn lease_entry(&mut self, at: FilePath<'_>, file: Option<Read>, proposer: &Proposer) -> Option<LeaseId> {
        let known = self.state.index.get(&at.shelf);
        let lease = at.id.as_ref().and_then(|id| known?.lease(id));
        let is_pinned = lease.is_some_and(|lease| lease.pinned.is_some());
        let Some((digest, read)) = file else {
            if known.is_some() {
                self.state.index_mut().entry(&at.shelf).remove_file(at.path);
            }
            return at.id.filter(|_| is_pinned);
        };
        let taken = known.is_none_or(|known| known.takes_file(at.path));
        let usable = read.and_then(|proposed| {
            self.check_lease_file(at.id.as_ref(), known, proposed.get())?;
            if taken { Ok(proposed) } else { Err(too_many(&proposed.get().id)) }
        });
        let brought = usable.as_ref().ok().filter(|_| !is_pinned).map(|proposed| proposed.digest());
        let content = self.content(at.path, at.id.as_ref(), usable);
        let entry = self.state.index_mut().entry(&at.shelf);
        if let Some(digest) = brought {
            entry.brought.note(digest, proposer);
        }
        if taken {
            entry.insert_file(at.path, ProposalFile { digest, content });
        }
        if let Some(id) = &at.id {
            entry.was_proposed(id);
        }
        at.id.filter(|_| is_pinned)
    }

    fn check_lease_file(
        &self,
        id: Option<&LeaseId>,
        known: Option<&LeaseEntry>,
        lease: &lease::Lease,
    ) -> Result<(), Refusal> {
        if id != Some(&lease.id) {
            let message = format!("the file says lease {}, its name says otherwise", lease.id);
            return Err(Refusal::new(Reason::Malformed, message).hint(format!("name it {}.yaml", lease.id)));
        }
        let own = &self.state.policy.get().repository;
        if lease.repository != *own {
            let message = format!("the lease is made for repository {}, this is {own}", lease.repository);
            return Err(Refusal::new(Reason::WrongRepository, message));
        }
        match known.and_then(|known| known.case_twin(&lease.id)) {
            Some(twin) => Err(same_but_for_case(&lease.id, &twin)),
            None => Ok(()),
        }
    }

    /// Keeps a proposal, or the reason why it can never be in force, which is a finding too.
    fn content<T>(&mut self, path: &str, id: Option<&LeaseId>, read: Result<Arc<Proposed<T>>, Refusal>) -> Content<T> {
        match read {
            Ok(proposed) => Content::Proposal(proposed),
            Err(refusal) => {
                let content = Content::unusable(&refusal);
                self.find_file(path, id, refusal);
                content
            }
        }
    }

    /// Says when a file of a lease in progress is no longer the bytes that its votes pinned.
    fn check_pinned(&mut self, id: &LeaseId) {
        let Some(lease) = self.state.lease(id) else { return };
        let Some(pinned) = lease.pinned.as_ref().map(|pinned| pinned.digest()) else { return };
        let files: Vec<_> = self.state.index.files_of(id).collect();
        let gone = files.is_empty() && !lease.phase.ended();
        let other = files.iter().find(|(_, file)| file.digest != Some(pinned)).map(|(path, _)| (*path).to_owned());
        if !gone && other.is_none() {
            return;
        }
        let what = if gone { "the lease's file was deleted" } else { "the lease's file was changed" };
        let message = format!("{what} after a vote pinned its bytes ({pinned}); the vote counts, the edit does not");
        let refusal =
            Refusal::new(Reason::LeaseChanged, message).hint("propose the change as a new lease: git two-key new");
        let path = other.unwrap_or_else(|| format!("leases/{id}.yaml"));
        self.find_file(&path, Some(id), refusal);
    }

    fn find_file(&mut self, path: &str, lease: Option<&LeaseId>, refusal: Refusal) {
        self.report.findings.push(Finding {
            commit: self.report.commit,
            carrier: self.report.commit,
            lease: lease.cloned(),
            action: None,
            path: Some(path.to_owned()),
            claims: None,
            refusal,
        });
    }
}

/// What a step's lease files say: nothing where there is no longer one.
fn lease_files(step: &Step) -> impl Iterator<Item = (FilePath<'_>, Option<Read>)> {
    let read = |path: &str, entry: &Entry| match entry {
        Entry::Absent | Entry::TooMuch => None,
        Entry::Regular(file) => Some((Some(file.digest()), file.lease())),
        Entry::TooLarge => Some((None, Err(too_large(path)))),
        Entry::NotAFile => Some((None, Err(not_a_file(path)))),
        Entry::TooDeep => Some((None, Err(too_deep(path)))),
    };
    step.leases.iter().map(move |(path, entry)| (FilePath::of(path), read(path, entry)))
}

impl State {
    /// Who can have brought a step's files: the signers of all its ordinary commits, by keys in force. In a merge
    /// every one of them can, so every one must be signed, the merge itself included.
    fn proposer(&self, step: &Step) -> Proposer {
        let mut keys = BTreeSet::new();
        for commit in &step.commits {
            match &commit.opened {
                Opened::Ordinary { signature: Some(signature) } if commit.descent == Descent::Descends => {
                    match signature.signer(|key| self.key_in_force(key)) {
                        Some(key) => keys.insert(key),
                        None => return Proposer::Unknown,
                    };
                }
                // A carrier has its parent's tree, so it brings nothing, unless it is the step's own commit.
                Opened::Carrier { .. } if commit.id != step.commit => {}
                _ => return Proposer::Unknown,
            }
        }
        if keys.is_empty() { Proposer::Unknown } else { Proposer::Known(keys.into_iter().collect()) }
    }

    /// A lease of the ledger, or a proposal in the tree, whose id differs from this one only by case.
    pub(in crate::ledger) fn case_twin(&self, id: &LeaseId) -> Option<LeaseId> {
        self.index.case_twin(id)
    }

    /// The proposals in the tree under a lease's id.
    pub fn proposals<'a>(&'a self, id: &LeaseId) -> impl Iterator<Item = (&'a str, &'a ProposalFile<lease::Lease>)> {
        self.index.files_of(id)
    }

    /// The bytes that a vote may name for a lease: the pinned ones, else those in the tree.
    pub(in crate::ledger) fn named(
        &self,
        id: &LeaseId,
        digest: Digest,
    ) -> Result<(Arc<Proposed<lease::Lease>>, Proposer), Refusal> {
        if let Some(twin) = self.case_twin(id).filter(|twin| self.lease(twin).is_some()) {
            return Err(same_but_for_case(id, &twin));
        }
        if let Some(LeaseState { pinned: Some(pinned), proposer, .. }) = self.lease(id) {
            return if pinned.digest() == digest {
                Ok((pinned.clone(), proposer.clone()))
            } else if self.proposals(id).any(|(_, file)| file.digest == Some(digest)) {
                let message = format!("lease {id} was changed after a vote pinned {}", pinned.digest());
                Err(Refusal::new(Reason::LeaseChanged, message)
                    .hint("propose the change as a new lease: git two-key new"))
            } else {
                let message = format!("lease {id} is pinned at {}, the vote names {digest}", pinned.digest());
                Err(Refusal::new(Reason::DigestMismatch, message))
            };
        }
        let mut known = self.lease(id).is_some();
        for (path, file) in self.proposals(id) {
            known = true;
            if file.digest == Some(digest) {
                return match &file.content {
                    Content::Proposal(proposed) => Ok((proposed.clone(), self.lease_proposer(id, digest))),
                    Content::Unusable { code, message } => {
                        let reason = Reason::from_code(code).unwrap_or(Reason::Malformed);
                        Err(Refusal::new(reason, format!("{path}: {message}")))
                    }
                };
            }
        }
        if known {
            let message = format!("no file of lease {id} in the tree has the bytes {digest}");
            Err(Refusal::new(Reason::DigestMismatch, message))
        } else {
            Err(unknown_lease(id))
        }
    }
}

/// The refusal for a lease that is nowhere.
pub(in crate::ledger) fn unknown_lease(id: &LeaseId) -> Refusal {
    Refusal::new(Reason::UnknownLease, format!("there is no lease {id}"))
        .hint("see which leases there are with: git two-key list")
}

fn same_but_for_case(id: &LeaseId, twin: &LeaseId) -> Refusal {
    Refusal::new(Reason::Malformed, format!("lease {id} differs from {twin} only by case")).hint("choose another id")
}

fn too_large(path: &str) -> Refusal {
    Refusal::new(Reason::TooLarge, format!("{path} is larger than {} bytes", crate::model::MAX_FILE_BYTES))
}

fn too_many(id: &LeaseId) -> Refusal {
    Refusal::new(Reason::TooLarge, format!("lease {id} has more files than are ever read"))
        .hint("delete all but one of them")
}

fn too_deep(path: &str) -> Refusal {
    Refusal::new(Reason::TooLarge, format!("{path} lies too deep: folders below leases/ are looked into 16 deep"))
}

/// For a step that changes more lease files than one may.
fn too_much() -> Refusal {
    let message = format!(
        "the step changes more than {MAX_STEP_NAMES} names or brings more than {MAX_STEP_BYTES} bytes of files below \
         leases/, so it changes none of them"
    );
    Refusal::new(Reason::TooLarge, message)
        .hint("take the change back, and bring it in several commits of the branch itself")
}

fn not_a_file(path: &str) -> Refusal {
    let message = format!("{path} is neither a regular file nor a folder that can be read, and is not opened");
    Refusal::new(Reason::Malformed, message)
}
