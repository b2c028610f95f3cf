//! Fold: desired state as a pure, total fold over the ledger.
//!
//! The ledger is the first-parent history of the governed branch, from the root commit on. [`begin`] takes the root's
//! step, whose policy stands as it is; [`apply`] takes each later step. Nothing else has a say: no clock, network,
//! configuration, tag, note or cache. Whatever does not count becomes a [`Finding`] with its reason code, alters
//! nothing and taints nothing later.
//!
//! Within a step the order is fixed, so that a stop is never outrun by what came with it:
//!
//! 1. the tree's lease and policy files, which are only proposals ([`files`]);
//! 2. stops: rollback, withdraw, halt, freeze, pause ([`stops`]);
//! 3. revocations ([`policies`]);
//! 4. all other votes in their order ([`forward`]), counted by [`rules`], *the one place that says who may*;
//! 5. the policy that these votes put in force counts from the next step on.
//!
//! Called by everything that needs an answer; there is no second verification. Calls [`crate::signature`] (a commit's own
//! signature has been verified before its step is made; a sealed one is verified when its key is in force) and
//! [`crate::model`].

mod awaited;
mod event;
mod files;
mod forward;
mod index;
mod lease_state;
mod lifecycle;
mod outlook;
mod policies;
mod proposal;
mod quorum;
pub mod rules;
mod state;
mod step;
mod stops;
mod vote;
mod waits;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    model::{Action, LeaseId, Oid, Proposed, Reason, Refusal, Statement, Subject, policy::Policy},
    signature::{BadVote, Cosignature, Opened},
};

pub use awaited::{Awaited, awaited, awaited_cosignatures, awaited_thaw};
pub use event::{Event, EventKind, EventVote, Finding, GovernanceChange, StepReport};
pub use index::{Group, LeaseEntry, ListedLease, Shelves};
pub use lease_state::{LeaseState, PinnedTerms};
pub use lifecycle::{Phase, StopEffect, Transition, stop_effect};
pub use outlook::{
    AtTarget, Hypothesis, Resolution, at_target, at_targets, could_count, forecast, held_up, hypothetical, leases_on,
    looked_at, next_statement, resolve, stop_targets, stops_something,
};
pub use policies::awaited_policy;
pub use proposal::{Brought, Content, InForce, ProposalFile, Proposer};
pub use quorum::{OpenPlaces, Quorum};
pub use state::State;
pub use step::{Descent, Entry, File, Step, StepCommit};
pub use vote::{Ballot, Vote, Votes};

/// Why a root cannot found a ledger. Nothing can be decided then (exit code 3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the root commit {root} cannot found a ledger: {refusal}")]
pub struct RootError {
    /// The commit.
    pub root: Oid,
    /// What is wrong with its policy.
    pub refusal: Refusal,
}

/// Founds the ledger on the root's step: its policy is taken as it stands.
pub fn begin(step: &Step) -> Result<(State, StepReport), RootError> {
    let wrong = |refusal| RootError { root: step.commit, refusal };
    let policy = files::root_policy(step).map_err(wrong)?;
    let state = State {
        root: step.commit,
        tip: step.commit,
        length: 0,
        policy: InForce::new(policy),
        policy_since: step.commit,
        policy_file: None,
        policies_brought: Brought::default(),
        policy_votes: BTreeMap::new(),
        revoked: BTreeMap::new(),
        freezes: 0,
        frozen: None,
        thaw_votes: BTreeMap::new(),
        freezes_seen: BTreeSet::new(),
        index: Arc::default(),
        open: BTreeSet::new(),
        newest: Arc::default(),
    };
    Ok(apply(state, step))
}

/// Folds one step into the state. Pure and total.
pub fn apply(state: State, step: &Step) -> (State, StepReport) {
    let mut fold = Fold::new(state, step.commit, step.claimed_time);
    fold.files(step);
    let turns = fold.turns(step);
    fold.votes(turns);
    fold.enact_policy();
    fold.state.tip = step.commit;
    fold.state.length += 1;
    (fold.state, fold.report)
}

/// A verified signature on its way into the fold.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct IncomingVote {
    /// The vote, its principal and role still as claimed or assumed.
    pub(in crate::ledger) vote: UnownedVote,
    /// What was signed.
    pub(in crate::ledger) statement: Statement,
}

/// A vote whose key has not been looked up yet.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct UnownedVote {
    pub(in crate::ledger) key: crate::model::PublicKey,
    pub(in crate::ledger) claims: crate::model::PrincipalId,
    pub(in crate::ledger) carrier: crate::signature::Carrier,
    pub(in crate::ledger) presence: crate::signature::Presence,
    pub(in crate::ledger) signature: String,
    pub(in crate::ledger) commit: Oid,
    pub(in crate::ledger) claimed_time: Option<i64>,
    pub(in crate::ledger) reason: Option<String>,
    pub(in crate::ledger) evidence: Option<crate::model::Digest>,
}

impl IncomingVote {
    /// Takes over what a cosignature proves.
    fn of(cosignature: &Cosignature, commit: Oid, made: Option<i64>) -> Self {
        Self {
            statement: cosignature.statement().clone(),
            vote: UnownedVote {
                key: cosignature.key().clone(),
                claims: cosignature.claims().clone(),
                carrier: cosignature.carrier(),
                presence: cosignature.presence(),
                signature: cosignature.signature().to_owned(),
                commit,
                claimed_time: cosignature.claimed_time().or(made),
                reason: cosignature.reason().map(str::to_owned),
                evidence: cosignature.evidence(),
            },
        }
    }

    /// Where a vote stands in a step's order; smaller comes first.
    fn rank(&self) -> u8 {
        match self.statement.action() {
            Action::Rollback => 0,
            Action::Withdraw => 1,
            Action::Halt => 2,
            Action::Freeze => 3,
            Action::Pause => 4,
            Action::Revoke => 5,
            Action::Cosign | Action::Start | Action::Promote | Action::Resume | Action::Complete | Action::Thaw => 6,
            Action::Policy => 7,
        }
    }
}

/// The votes that an event rests on.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) enum By<'a> {
    /// None: another event implies it.
    Nobody,
    /// One.
    One(&'a Vote),
    /// Several, all of which count.
    All {
        /// Every one.
        votes: &'a Votes,
        /// The one that completed them.
        last: &'a Vote,
    },
}

/// One step being folded.
pub(in crate::ledger) struct Fold {
    pub(in crate::ledger) state: State,
    pub(in crate::ledger) report: StepReport,
    /// The policy that this step's votes put in force from the next step on.
    pub(in crate::ledger) enacted: Option<std::sync::Arc<Proposed<Policy>>>,
}

impl Fold {
    pub(in crate::ledger) fn new(state: State, commit: Oid, claimed_time: i64) -> Self {
        let report = StepReport { commit, claimed_time, events: Vec::new(), findings: Vec::new() };
        Self { state, report, enacted: None }
    }

    /// The votes of a step's commits, in order; whatever is no vote becomes a finding.
    fn turns(&mut self, step: &Step) -> Vec<IncomingVote> {
        let mut turns = Vec::new();
        for commit in &step.commits {
            match &commit.opened {
                Opened::Ordinary { .. } => {}
                Opened::Malformed(refusal) => self.find(commit.id, None, refusal.clone()),
                Opened::Carrier { statement, .. } if commit.descent == Descent::Foreign => {
                    let message = "the commit does not descend from the root, so it carries no votes";
                    self.find(commit.id, Some(statement), Refusal::new(Reason::NotDescended, message));
                }
                Opened::Carrier { statement, committed, .. } => {
                    let votes = self.state.votes(&commit.opened);
                    let last = votes.len().checked_sub(1);
                    for (at, vote) in votes.into_iter().enumerate() {
                        // The last is whose commit it is. When those were made that it seals beside, it does not know.
                        let made = (Some(at) == last).then_some(*committed);
                        match vote {
                            Ok(cosignature) => turns.push(IncomingVote::of(&cosignature, commit.id, made)),
                            Err(bad) => self.find_bad(commit.id, statement, &bad),
                        }
                    }
                }
            }
        }
        turns
    }

    /// Folds votes: stops first, then revocations, then the rest, then policies.
    pub(in crate::ledger) fn votes(&mut self, mut turns: Vec<IncomingVote>) {
        // The sort is stable: within a rank the order of the commits and of the sealed lines holds.
        turns.sort_by_key(IncomingVote::rank);
        for turn in &turns {
            if let Err(refusal) = self.vote(turn) {
                self.find_turn(turn, refusal);
            }
        }
    }

    fn vote(&mut self, turn: &IncomingVote) -> Result<(), Refusal> {
        let vote = &self.state.owned(turn)?;
        match &turn.statement.subject {
            Subject::Stop(stop) => self.stop(stop, &turn.statement, vote),
            Subject::Freeze { .. } => self.freeze(&turn.statement, vote),
            Subject::Revoke { key } => self.revoke(key, vote),
            Subject::Cosign { lease, digest } => self.cosign(lease, *digest, vote),
            Subject::Forward(forward) => self.forward(forward, &turn.statement, vote),
            Subject::Thaw { step } => self.thaw(*step, &turn.statement, vote),
            Subject::Policy { digest } => self.policy_vote(*digest, &turn.statement, vote),
        }
    }

    /// Records that something took effect by the votes that count for it, the last of which put it in force.
    pub(in crate::ledger) fn event(&mut self, event: EventKind, lease: Option<&LeaseId>, by: By<'_>) -> &mut Event {
        let (votes, last) = match by {
            By::Nobody => (Vec::new(), None),
            By::One(vote) => (vec![EventVote::from(vote)], Some(vote)),
            By::All { votes, last } => (votes.values().map(EventVote::from).collect(), Some(last)),
        };
        let mut votes = votes;
        votes.sort_by(|one, other| one.principal.cmp(&other.principal));
        self.report.events.push(Event {
            event,
            commit: self.report.commit,
            action: None,
            lease: lease.cloned(),
            step: None,
            tier: None,
            votes,
            last: last.map(|vote| (vote.commit, vote.principal.clone())),
            change: None,
        });
        let at = self.report.events.len() - 1;
        &mut self.report.events[at]
    }

    /// Records a vote that counts and waits for others.
    pub(in crate::ledger) fn voted(&mut self, statement: &Statement, vote: &Vote, change: Option<GovernanceChange>) {
        let fields = statement.fields();
        let event = self.event(EventKind::Voted, statement.lease(), By::One(vote));
        event.action = Some(fields.action);
        event.step = fields.step.filter(|_| event.lease.is_some());
        event.tier = fields.tier;
        event.change = change.map(Box::new);
    }

    fn find(&mut self, carrier: Oid, statement: Option<&Statement>, refusal: Refusal) {
        self.report.findings.push(Finding {
            commit: self.report.commit,
            carrier,
            lease: statement.and_then(Statement::lease).cloned(),
            action: statement.map(Statement::action),
            path: None,
            claims: None,
            refusal,
        });
    }

    fn find_bad(&mut self, carrier: Oid, statement: &Statement, bad: &BadVote) {
        self.report.findings.push(Finding {
            commit: self.report.commit,
            carrier,
            lease: statement.lease().cloned(),
            action: Some(bad.action),
            path: None,
            claims: bad.claims.clone(),
            refusal: bad.refusal.clone(),
        });
    }

    fn find_turn(&mut self, turn: &IncomingVote, refusal: Refusal) {
        self.report.findings.push(Finding {
            commit: self.report.commit,
            carrier: turn.vote.commit,
            lease: turn.statement.lease().cloned(),
            action: Some(turn.statement.action()),
            path: None,
            claims: Some(turn.vote.claims.clone()),
            refusal,
        });
    }
}

impl State {
    /// The votes of a carrier. Sealed signatures are checked of keys in force alone, so that nobody without one makes work.
    pub fn votes(&self, opened: &Opened) -> Vec<Result<Cosignature, BadVote>> {
        opened.votes(|key| rules::owner(self, key).map(drop))
    }

    /// Finds whose key it is: in force now, and of the principal that the carrier names, for a statement made for this
    /// repository.
    fn owned(&self, turn: &IncomingVote) -> Result<Vote, Refusal> {
        let repository = &self.policy.get().repository;
        if turn.statement.repository != *repository {
            let message =
                format!("the statement is for repository {}, this is {repository}", turn.statement.repository);
            return Err(Refusal::new(Reason::WrongRepository, message));
        }
        let UnownedVote { key, claims, carrier, presence, signature, commit, claimed_time, reason, evidence } =
            turn.vote.clone();
        let (principal, role) = rules::owner(self, key.raw())?;
        if principal != claims {
            let message = format!("the key {} is {principal}'s, the carrier says {claims}", key.fingerprint());
            return Err(Refusal::new(Reason::WrongPrincipal, message));
        }
        Ok(Vote { key, principal, role, carrier, presence, signature, commit, claimed_time, reason, evidence })
    }
}
