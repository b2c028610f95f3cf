//! The state that the fold carries from step to step. Serializable, so that folding in two parts is folding at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::model::{Digest, LeaseId, Oid, RawKey, Statement, TargetId, lease::Lease, policy::Policy};

use super::{
    index::{Group, LeaseEntry, LeaseIndex, Shelves},
    lease_state::LeaseState,
    proposal::{Brought, InForce, ProposalFile, Proposer},
    vote::{Ballot, Spent, Votes},
};

/// Everything that the ledger says at one first-parent commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(in crate::ledger) root: Oid,
    pub(in crate::ledger) tip: Oid,
    pub(in crate::ledger) length: u64,
    pub(in crate::ledger) policy: InForce<Policy>,
    pub(in crate::ledger) policy_since: Oid,
    pub(in crate::ledger) policy_file: Option<ProposalFile<Policy>>,
    /// Who brought policies that could follow the one in force.
    pub(in crate::ledger) policies_brought: Brought,
    pub(in crate::ledger) policy_votes: BTreeMap<Digest, Ballot>,
    pub(in crate::ledger) revoked: BTreeMap<RawKey, Oid>,
    pub(in crate::ledger) freezes: u32,
    pub(in crate::ledger) frozen: Option<Oid>,
    pub(in crate::ledger) thaw_votes: BTreeMap<Digest, Ballot>,
    /// The freezes that have been folded already.
    pub(in crate::ledger) freezes_seen: BTreeSet<Spent>,
    /// What is known of each lease.
    pub(in crate::ledger) index: Arc<LeaseIndex>,
    /// The leases that have not ended. All that a change of keys can concern.
    pub(in crate::ledger) open: BTreeSet<LeaseId>,
    /// The lease that started last on each target.
    pub(in crate::ledger) newest: Arc<BTreeMap<TargetId, LeaseId>>,
}

impl State {
    /// The root that everything descends from.
    pub fn root(&self) -> Oid {
        self.root
    }

    /// The first-parent commit that this is the state at.
    pub fn tip(&self) -> Oid {
        self.tip
    }

    /// How many first-parent commits were folded, the root included.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The policy in force for the next step.
    pub fn policy(&self) -> &InForce<Policy> {
        &self.policy
    }

    /// The commit that put the policy in force.
    pub fn policy_since(&self) -> Oid {
        self.policy_since
    }

    /// Who brought the bytes of a policy that could follow the one in force.
    pub fn policy_proposer(&self, digest: Digest) -> Proposer {
        self.policies_brought.of(digest)
    }

    /// Who brought the bytes of a lease; of one that a vote has pinned, as the first vote found it.
    pub fn lease_proposer(&self, id: &LeaseId, digest: Digest) -> Proposer {
        match self.lease(id) {
            Some(lease) if lease.pinned.is_some() => lease.proposer.clone(),
            _ => self.index.get(&id.folded()).map_or(Proposer::Unknown, |entry| entry.brought.of(digest)),
        }
    }

    /// The policy file in the tree, whether in force or only proposed.
    pub fn policy_file(&self) -> Option<&ProposalFile<Policy>> {
        self.policy_file.as_ref()
    }

    /// Votes for a policy that is not in force yet.
    pub fn policy_votes(&self) -> impl Iterator<Item = &Ballot> {
        self.policy_votes.values()
    }

    /// Votes to end the freeze.
    pub fn thaw_votes(&self) -> impl Iterator<Item = &Ballot> {
        self.thaw_votes.values()
    }

    /// The keys that are out of force for ever, with the commit that revoked each.
    pub fn revoked(&self) -> &BTreeMap<RawKey, Oid> {
        &self.revoked
    }

    /// Whether a key is out of force for ever: revoked, it or its negative, for which the same secret signs.
    pub fn is_revoked(&self, key: RawKey) -> bool {
        self.revoked.keys().any(|revoked| revoked.is_up_to_sign(&key))
    }

    /// Whether a key is in force now: listed by the policy in force, and never revoked.
    pub fn key_in_force(&self, key: RawKey) -> bool {
        !self.is_revoked(key) && self.policy.get().owner(key).is_some()
    }

    /// The commit of the freeze in force, if there is one.
    pub fn frozen(&self) -> Option<Oid> {
        self.frozen
    }

    /// How many freezes took effect so far: the step that a thaw names.
    pub fn freezes(&self) -> u32 {
        self.freezes
    }

    /// Whether this stop has been folded already: a raw key and a statement stop once.
    pub fn stop_seen(&self, key: RawKey, statement: &Statement) -> bool {
        let spent = Spent::of(key, statement);
        match statement.lease() {
            Some(lease) => self.index.get(&lease.folded()).is_some_and(|found| found.stops_seen.contains(&spent)),
            None => self.freezes_seen.contains(&spent),
        }
    }

    /// The leases that some key has been turned for or against.
    pub fn leases(&self) -> impl Iterator<Item = &LeaseState> {
        self.index.leases()
    }

    /// One of those.
    pub fn lease(&self, id: &LeaseId) -> Option<&LeaseState> {
        self.index.lease(id)
    }

    /// What is known of each lease, to be altered.
    pub(in crate::ledger) fn index_mut(&mut self) -> &mut LeaseIndex {
        Arc::make_mut(&mut self.index)
    }

    pub(in crate::ledger) fn lease_mut(&mut self, id: &LeaseId) -> Option<&mut LeaseState> {
        self.index_mut().lease_mut(id)
    }

    /// The lease's state, made if nothing has happened to it yet.
    pub(in crate::ledger) fn entry(&mut self, id: &LeaseId) -> &mut LeaseState {
        let leases = &mut Arc::make_mut(&mut self.index).entry(&id.folded()).leases;
        let at = leases.iter().position(|lease| lease.id == *id).unwrap_or(leases.len());
        if at == leases.len() {
            // Ids that differ only by case are rare, and there may be a million leases.
            leases.reserve_exact(1);
            leases.push(LeaseState::untouched(id));
            self.open.insert(id.clone());
        }
        &mut leases[at]
    }

    /// The lease files in the tree, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &ProposalFile<Lease>)> {
        self.index.files()
    }

    /// The lease that started last on a target.
    pub fn newest_on(&self, target: &TargetId) -> Option<&LeaseState> {
        self.lease(self.newest.get(target)?)
    }

    /// The targets that a lease ever started on.
    pub fn started_targets(&self) -> impl Iterator<Item = (&TargetId, &LeaseState)> {
        self.newest.iter().filter_map(|(target, id)| Some((target, self.lease(id)?)))
    }

    /// The same without what is known of leases, which grows with history: to be kept apart from it.
    #[must_use]
    pub fn core(&self) -> Self {
        Self { index: Arc::default(), ..self.clone() }
    }

    /// The same state, of whose leases nothing is held but what lies elsewhere.
    #[must_use]
    pub fn on(mut self, shelves: Arc<dyn Shelves>) -> Self {
        self.index = Arc::new(LeaseIndex::of(shelves));
        self
    }

    /// The same state, of whose leases all is held.
    #[must_use]
    pub fn held(&self) -> Self {
        Self { index: Arc::new(self.index.held()), ..self.clone() }
    }

    /// The same state above this one: nothing of what is known of leases is copied, and what changes is told apart.
    #[must_use]
    pub fn above(&self) -> Self {
        Self { index: Arc::new(LeaseIndex::above(&self.index)), ..self.clone() }
    }

    /// The same, which does not know which leases are open: what a policy or a revocation alters in leases is not seen in it.
    pub(in crate::ledger) fn about(&self) -> Self {
        Self {
            root: self.root,
            tip: self.tip,
            length: self.length,
            policy: self.policy.clone(),
            policy_since: self.policy_since,
            policy_file: self.policy_file.clone(),
            policies_brought: self.policies_brought.clone(),
            policy_votes: self.policy_votes.clone(),
            revoked: self.revoked.clone(),
            freezes: self.freezes,
            frozen: self.frozen,
            thaw_votes: self.thaw_votes.clone(),
            freezes_seen: self.freezes_seen.clone(),
            index: Arc::new(LeaseIndex::above(&self.index)),
            open: BTreeSet::new(),
            newest: Arc::clone(&self.newest),
        }
    }

    /// The leases of a group.
    pub fn group(&self, group: &Group) -> BTreeSet<LeaseId> {
        self.index.group(group)
    }

    /// Whether a lease is in the ledger or in the tree.
    pub fn knows(&self, id: &LeaseId) -> bool {
        self.index.get(&id.folded()).is_some_and(|entry| entry.known().any(|known| known.id == *id))
    }

    /// Whether a lease in the ledger or in the tree has an id, in whatever case.
    pub fn uses(&self, id: &str) -> bool {
        self.index.get(&id.to_ascii_lowercase()).is_some_and(|entry| entry.known().next().is_some())
    }

    /// How many leases are in the ledger or in the tree.
    pub fn count(&self) -> usize {
        self.index.count()
    }

    /// What is known of leases and may differ from what lies elsewhere or below, by case-folded id.
    pub fn changed_entries(&self) -> impl Iterator<Item = (&str, &LeaseEntry)> {
        self.index.changed()
    }

    /// Forgets who proposed a lease, who turned which key for it, and what it went through on what terms, if it has ended:
    /// nothing that can happen to it depends on that any more. For whoever folds millions of steps for the verdict alone.
    pub fn forget_how_ended(&mut self, id: &LeaseId) {
        if let Some(lease) = self.lease_mut(id)
            && lease.phase.ended()
        {
            lease.forgotten = lease.next_step().saturating_sub(1);
            lease.transitions = Vec::new();
            lease.cosigned = Votes::new();
            lease.quorum = None;
            lease.proposer = Proposer::Unknown;
            lease.terms = None;
        }
    }
}
