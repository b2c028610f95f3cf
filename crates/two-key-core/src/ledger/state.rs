//! The state that the fold carries from step to step. Serializable, so that folding in two parts is folding at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        Digest, GateId, LeaseId, Oid, PrincipalId, Proposed, PublicKey, RawKey, Refusal, Statement, TargetId,
        lease::Lease,
        policy::{Decimal, DriftBelow, Driver, Gate, Policy, Role, Threshold},
    },
    signature::{Carrier, Presence},
};

use super::{
    dossier::{Dossier, Dossiers, Missed},
    lifecycle::{Phase, Transition},
};

/// A document that the keys have put in force. Only the fold makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce<T>(Arc<Proposed<T>>);

impl<T> InForce<T> {
    pub(in crate::ledger) fn new(proposed: Arc<Proposed<T>>) -> Self {
        Self(proposed)
    }

    /// The SHA-256 of the file's exact bytes.
    pub fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// The document.
    pub fn get(&self) -> &T {
        self.0.get()
    }
}

/// A key turned, as the fold counted it: the key was in force, its principal had the right to vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The key, in the wrapping that it signed in.
    pub key: PublicKey,
    /// Whose key it was.
    pub principal: PrincipalId,
    /// That principal's role.
    pub role: Role,
    /// How the signature came.
    pub carrier: Carrier,
    /// What it proves about somebody being there.
    pub presence: Presence,
    /// The signature, base64.
    pub signature: String,
    /// The commit that carried it.
    pub commit: Oid,
    /// When the signer says that it was, in seconds since 1970; for sealed signatures, when the carrying commit does.
    pub claimed_time: Option<i64>,
    /// Why, in the signer's words.
    pub reason: Option<String>,
    /// The digest of the evidence that the signer names.
    pub evidence: Option<Digest>,
}

/// Votes by raw key: one key, one vote.
pub type Votes = BTreeMap<RawKey, Vote>;

/// Votes for one statement that is not in force yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// What they are for.
    pub statement: Statement,
    /// Who voted.
    pub votes: Votes,
}

/// Who brought a file's bytes into the tree, as far as signatures tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proposer {
    /// The keys that signed every commit of a step that brought them; sorted, of all such steps.
    Known(Arc<[RawKey]>),
    /// They came in no such step.
    Unknown,
}

/// Who brought which bytes, by their digests. Steps with a commit that nobody's key signed make nobody a proposer, and take
/// nobody away: without a key nobody can have anybody left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Brought(Vec<(Digest, Arc<[RawKey]>)>);

impl Brought {
    /// Takes note of those who brought some bytes now.
    pub(in crate::ledger) fn note(&mut self, digest: Digest, now: &Proposer) {
        let Proposer::Known(now) = now else { return };
        if let Some((_, known)) = self.0.iter_mut().find(|(other, _)| *other == digest) {
            let all: BTreeSet<RawKey> = known.iter().chain(now.iter()).copied().collect();
            if all.len() > known.len() {
                *known = all.into_iter().collect();
            }
            return;
        }
        // Hardly ever are there two, and there may be a million leases.
        self.0.reserve_exact(1);
        self.0.push((digest, Arc::clone(now)));
    }

    /// Who brought some bytes.
    pub(in crate::ledger) fn of(&self, digest: Digest) -> Proposer {
        let known = self.0.iter().find(|(other, _)| *other == digest);
        known.map_or(Proposer::Unknown, |(_, keys)| Proposer::Known(Arc::clone(keys)))
    }
}

/// What is known of one file in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalFile<T> {
    /// The SHA-256 of its bytes, where they were read.
    pub digest: Option<Digest>,
    /// What it says.
    pub content: Content<T>,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content<T> {
    /// A well-formed proposal.
    Proposal(Arc<Proposed<T>>),
    /// Something that can never be in force, by its reason code and message.
    Unusable {
        /// The reason's code.
        code: String,
        /// Why.
        message: String,
    },
}

impl<T> Content<T> {
    pub(in crate::ledger) fn unusable(refusal: &Refusal) -> Self {
        Self::Unusable { code: refusal.reason.code().to_owned(), message: refusal.message.clone() }
    }
}

/// What is pinned of a target when a lease starts there, so that no later policy disarms a running rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedTerms {
    /// How traffic is moved; none where the policy did not name the target.
    pub driver: Option<Driver>,
    /// The gates that each tier must pass.
    pub gates: BTreeMap<GateId, Gate>,
    /// The auto-halt limits.
    pub thresholds: BTreeMap<GateId, Threshold>,
    /// The chance that a healthy lease is stopped by a test: shared among all gates, limits and tiers.
    pub false_alarms: Decimal,
    /// What becomes of traffic that somebody took off the candidate.
    pub drift_below: DriftBelow,
}

impl PinnedTerms {
    /// What a start now would pin of a target.
    pub fn of(policy: &Policy, target: &TargetId) -> Self {
        let known = policy.targets.get(target);
        let gates = known.map(|known| known.gates.as_slice()).unwrap_or_default();
        let gate = |id: &GateId| Some((id.clone(), policy.gates.get(id)?.clone()));
        Self {
            driver: known.map(|known| known.driver),
            gates: gates.iter().filter_map(gate).collect(),
            thresholds: policy.thresholds.clone(),
            false_alarms: policy.false_alarms,
            drift_below: known.map(|known| known.drift_below).unwrap_or_default(),
        }
    }
}

/// How many principals a rule asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Humans.
    pub humans: usize,
    /// Agents.
    pub agents: usize,
}

/// A lease that some key has been turned for (or against).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseState {
    /// Its id.
    pub id: LeaseId,
    /// Its bytes, from the first counted vote on. None only for a lease that was withdrawn before any vote.
    pub pinned: Option<Arc<Proposed<Lease>>>,
    /// Who brought those bytes.
    pub proposer: Proposer,
    /// Where it is.
    pub phase: Phase,
    /// The votes that authorize it.
    pub cosigned: Votes,
    /// What its rule asked for when it started or was withdrawn: the votes are as they were counted then. None before that.
    pub quorum: Option<Quorum>,
    /// Votes for its next step, by statement.
    pub pending: BTreeMap<Digest, Ballot>,
    /// What happened, in order; the next step's number is one more than there are.
    pub transitions: Vec<Transition>,
    /// How many transitions before those were forgotten.
    pub(in crate::ledger) forgotten: u32,
    /// What is pinned of its target, from its start on.
    pub terms: Option<Box<PinnedTerms>>,
    /// The lease whose start on the same target completed this one.
    pub superseded_by: Option<LeaseId>,
    /// What its target was at when it started: the lease to which it falls back.
    pub falls_back_to: Option<LeaseId>,
}

impl LeaseState {
    /// The number of the step that comes next.
    pub fn next_step(&self) -> u32 {
        u32::try_from(self.transitions.len()).unwrap_or(u32::MAX).saturating_add(self.forgotten).saturating_add(1)
    }

    /// The lease.
    pub fn lease(&self) -> Option<&Lease> {
        self.pinned.as_ref().map(|pinned| pinned.get())
    }

    /// The weight that the ledger wants for it, in percent.
    pub fn weight(&self) -> u8 {
        match self.phase {
            Phase::Completed => 100,
            Phase::Rolling { tier } | Phase::Paused { tier } => {
                self.lease().and_then(|lease| lease.tiers.get(tier)).map_or(0, |tier| tier.weight)
            }
            _ => 0,
        }
    }
}

/// A stop that has been folded: a raw key and a statement stop once. One digest of both, as there may be a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::ledger) struct Spent(Digest);

impl Spent {
    pub(in crate::ledger) fn of(key: RawKey, statement: &Statement) -> Self {
        Self(Digest::of(format!("{} {}", String::from(key), statement.id()).as_bytes()))
    }
}

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
    pub(in crate::ledger) dossiers: Dossiers,
    /// The leases that have not ended. All that a change of keys can concern.
    pub(in crate::ledger) open: BTreeSet<LeaseId>,
    /// The lease that started last on each target.
    pub(in crate::ledger) newest: BTreeMap<TargetId, LeaseId>,
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
            _ => self.dossiers.get(&id.folded()).map_or(Proposer::Unknown, |dossier| dossier.brought.of(digest)),
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
            Some(lease) => self.dossiers.get(&lease.folded()).is_some_and(|found| found.stops_seen.contains(&spent)),
            None => self.freezes_seen.contains(&spent),
        }
    }

    /// The leases that some key has been turned for or against.
    pub fn leases(&self) -> impl Iterator<Item = &LeaseState> {
        self.dossiers.leases()
    }

    /// One of those.
    pub fn lease(&self, id: &LeaseId) -> Option<&LeaseState> {
        self.dossiers.lease(id)
    }

    pub(in crate::ledger) fn lease_mut(&mut self, id: &LeaseId) -> Option<&mut LeaseState> {
        self.dossiers.lease_mut(id)
    }

    /// The lease's state, made if nothing has happened to it yet.
    pub(in crate::ledger) fn entry(&mut self, id: &LeaseId) -> &mut LeaseState {
        let leases = &mut self.dossiers.entry(&id.folded()).leases;
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
        self.dossiers.files()
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
        Self { dossiers: Dossiers::default(), ..self.clone() }
    }

    /// The same state, holding nothing of what is known of leases and aware of that.
    #[must_use]
    pub fn awaiting_dossiers(mut self) -> Self {
        self.dossiers = Dossiers::part();
        self
    }

    /// The same state as far as some leases are concerned, by their case-folded ids, and aware that it is no more than that.
    /// What a policy or a revocation alters in leases is not seen in it, as it does not know which are open.
    pub(in crate::ledger) fn about(&self, ids: &BTreeSet<String>) -> Self {
        let dossiers = self.dossiers.only(ids);
        let newest = dossiers.targets_held().filter_map(|target| self.newest.get_key_value(target));
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
            open: BTreeSet::new(),
            newest: newest.map(|(target, id)| (target.clone(), id.clone())).collect(),
            dossiers,
        }
    }

    /// Takes in what is known under some case-folded lease ids, or that nothing is.
    pub fn supply(&mut self, found: BTreeMap<String, Option<Dossier>>) {
        self.dossiers.supply(found);
    }

    /// Says that everything has been supplied.
    pub fn all_supplied(&mut self) {
        self.dossiers.complete();
    }

    /// What was looked for and not held. If there is any such thing, then whatever came of this state is void.
    pub fn missed(&self) -> Option<Missed> {
        self.dossiers.missed()
    }

    /// What is known of leases and may differ from what was supplied, by case-folded id.
    pub fn changed_dossiers(&self) -> impl Iterator<Item = (&str, &Dossier)> {
        self.dossiers.changed()
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
