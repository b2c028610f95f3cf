//! Forward votes: cosign, start, promote, resume, complete, thaw. Each is kept only if its step is next and its key
//! is in force, counts under its rule, and takes effect when the rule is met.

use std::sync::Arc;

use crate::model::{Action, Digest, Forward, ForwardKind, LeaseId, Proposed, Reason, Refusal, Statement, lease::Lease};

use super::{
    Ballot, By, EventKind, Fold, LeaseState, Phase, PinnedTerms, Proposer, State, Vote, Votes,
    quorum::Quorum,
    rules::{self, Demand, Tally},
};

impl Fold {
    /// Folds a vote that authorizes a lease.
    pub(in crate::ledger) fn cosign(&mut self, id: &LeaseId, digest: Digest, vote: &Vote) -> Result<(), Refusal> {
        let (lease, proposer) = self.state.cosignable(id, digest)?;
        let demand = rules::cosign_demand(self.state.policy.get(), lease.get(), &proposer);
        rules::counts(&self.state, demand, vote)?;
        let mut votes = self.state.lease(id).map(|lease| lease.cosigned.clone()).unwrap_or_default();
        let repeated = cast(&self.state, demand, &mut votes, vote);
        let satisfied = rules::tally(&self.state, demand, &votes).satisfied;
        let entry = self.state.entry(id);
        let newly = satisfied && entry.phase == Phase::Proposed;
        if let (Err(refusal), false) = (&repeated, newly) {
            return Err(refusal.clone());
        }
        entry.pinned = Some(lease);
        entry.proposer = proposer;
        entry.cosigned = votes;
        if newly {
            entry.phase = Phase::Authorized;
        }
        if repeated.is_ok() {
            self.event(EventKind::Cosigned, Some(id), By::One(vote));
        }
        if newly {
            let votes = &self.state.authorizing(id);
            self.event(EventKind::Verified2Key, Some(id), By::All { votes, last: vote });
        }
        Ok(())
    }

    /// Folds a vote that moves a lease on.
    pub(in crate::ledger) fn forward(
        &mut self,
        forward: &Forward,
        statement: &Statement,
        vote: &Vote,
    ) -> Result<(), Refusal> {
        let id = &forward.lease;
        let (lease, proposer) = self.state.movable(forward)?;
        let policy = self.state.policy.clone();
        let pinned = self.state.lease(id).and_then(|entry| entry.terms.as_deref());
        let demand = forward_demand(policy.get(), lease.get(), pinned, &proposer, forward.kind);
        rules::counts(&self.state, demand, vote)?;
        let mut votes = self.state.pending_votes(id, statement);
        let repeated = cast(&self.state, demand, &mut votes, vote);
        let satisfied = rules::tally(&self.state, demand, &votes).satisfied;
        if let (Err(refusal), false) = (repeated, satisfied) {
            return Err(refusal);
        }
        if satisfied {
            let counting = rules::counting(&self.state, demand, &votes);
            self.moved(forward, lease.get(), counting, vote);
        } else if let Some(entry) = self.state.lease_mut(id) {
            entry.pending.insert(statement.id(), Ballot { statement: statement.clone(), votes });
            self.voted(statement, vote, None);
        }
        Ok(())
    }

    /// Puts a forward transition in force.
    fn moved(&mut self, forward: &Forward, lease: &Lease, votes: Votes, last: &Vote) {
        let id = &forward.lease;
        let at = self.state.lease(id).and_then(|entry| entry.phase.tier()).unwrap_or(0);
        let (phase, tier, event) = match forward.kind {
            ForwardKind::Start { tier } => {
                self.start(id, lease);
                (Phase::Rolling { tier: 0 }, Some(tier), EventKind::Started)
            }
            ForwardKind::Promote { tier } => (Phase::Rolling { tier: at + 1 }, Some(tier), EventKind::CanaryPromoted),
            ForwardKind::Resume => (Phase::Rolling { tier: at }, None, EventKind::Resumed),
            ForwardKind::Complete => (Phase::Completed, None, EventKind::Completed),
        };
        self.event(event, Some(id), By::All { votes: &votes, last });
        self.transition(id, forward.kind.action(), tier, phase, votes.into_values().collect());
        self.number_last_event(id);
    }

    /// Takes a target over for a lease, and pins what no later policy may change.
    fn start(&mut self, id: &LeaseId, lease: &Lease) {
        let falls_back_to = self.state.stands_on(&lease.target).map(|before| before.id.clone());
        if let Some(before) = Arc::make_mut(&mut self.state.newest).insert(lease.target.clone(), id.clone())
            && let Some(old) = self.state.lease(&before)
            && matches!(old.phase, Phase::Rolling { .. })
        {
            self.transition(&before, Action::Complete, None, Phase::Completed, Vec::new());
            self.event(EventKind::Completed, Some(&before), By::Nobody);
            self.number_last_event(&before);
            if let Some(old) = self.state.lease_mut(&before) {
                old.superseded_by = Some(id.clone());
            }
        }
        let terms = PinnedTerms::of(self.state.policy.get(), &lease.target);
        self.close_count(id);
        if let Some(entry) = self.state.lease_mut(id) {
            entry.terms = Some(Box::new(terms));
            entry.falls_back_to = falls_back_to;
        }
    }

    /// Closes the count of the votes that authorize a lease: from now on it stays as it is, whatever becomes of keys and rules.
    pub(in crate::ledger) fn close_count(&mut self, id: &LeaseId) {
        let Some(tally) = self.state.authorization(id) else { return };
        let authorizing = self.state.authorizing(id);
        if let Some(entry) = self.state.lease_mut(id) {
            entry.cosigned = authorizing;
            let Tally { humans_needed, agents_needed, open, .. } = tally;
            entry.quorum = Some(Quorum { humans: humans_needed, agents: agents_needed, open });
        }
    }

    /// Folds a vote that ends the freeze.
    pub(in crate::ledger) fn thaw(&mut self, step: u32, statement: &Statement, vote: &Vote) -> Result<(), Refusal> {
        self.state.thawable(step)?;
        let policy = self.state.policy.clone();
        let nobody = Proposer::Known(Arc::default());
        let demand = rules::thaw_demand(policy.get(), &nobody);
        rules::counts(&self.state, demand, vote)?;
        let mut votes = self.state.thaw_votes.get(&statement.id()).map(|b| b.votes.clone()).unwrap_or_default();
        let repeated = cast(&self.state, demand, &mut votes, vote);
        if rules::tally(&self.state, demand, &votes).satisfied {
            let votes = &rules::counting(&self.state, demand, &votes);
            self.state.frozen = None;
            self.state.thaw_votes.clear();
            self.event(EventKind::Thawed, None, By::All { votes, last: vote });
            return Ok(());
        }
        repeated?;
        self.state.thaw_votes.insert(statement.id(), Ballot { statement: statement.clone(), votes });
        self.voted(statement, vote, None);
        Ok(())
    }
}

impl State {
    /// Whether a lease may be cosigned, and the bytes that the vote names.
    pub(in crate::ledger) fn cosignable(
        &self,
        id: &LeaseId,
        digest: Digest,
    ) -> Result<(Arc<Proposed<Lease>>, Proposer), Refusal> {
        let (lease, proposer) = self.named(id, digest)?;
        if let Some(entry) = self.lease(id)
            && !matches!(entry.phase, Phase::Proposed | Phase::Authorized)
        {
            return Err(wrong_state(id, entry.phase, Action::Cosign));
        }
        self.check_terms(lease.get())?;
        Ok((lease, proposer))
    }

    /// Whether a lease's terms are within what the policy in force and the declared risk allow.
    fn check_terms(&self, lease: &Lease) -> Result<(), Refusal> {
        let policy = self.policy.get();
        if lease.repository != policy.repository {
            let message = format!("lease {} is made for repository {}", lease.id, lease.repository);
            return Err(Refusal::new(Reason::WrongRepository, message));
        }
        if lease.agent_alone_up_to > policy.delegable_up_to {
            let message = format!(
                "lease {} lets an agent promote alone up to {} %, the policy allows {} %",
                lease.id, lease.agent_alone_up_to, policy.delegable_up_to
            );
            return Err(Refusal::new(Reason::PolicyFloor, message));
        }
        rules::check_at_once(policy, lease)?;
        rules::check_risk(policy, lease)
    }

    /// Whether a forward statement is the lease's next step and possible now.
    pub(in crate::ledger) fn movable(&self, forward: &Forward) -> Result<(Arc<Proposed<Lease>>, Proposer), Refusal> {
        let id = &forward.lease;
        let action = forward.kind.action();
        let (lease, proposer) = self.named(id, forward.digest)?;
        let fresh = LeaseState::untouched(id);
        let entry = self.lease(id).unwrap_or(&fresh);
        if forward.step != entry.next_step() {
            let message =
                format!("{action} names step {}, the next step of {id} is {}", forward.step, entry.next_step());
            return Err(Refusal::new(Reason::StaleStep, message)
                .hint(format!("make a statement for the step that is next: git two-key statement {action} {id}")));
        }
        match (forward.kind, entry.phase) {
            (ForwardKind::Start { tier }, Phase::Proposed | Phase::Authorized) => {
                self.startable(entry, lease.get(), &proposer, tier)?;
            }
            (ForwardKind::Promote { tier }, Phase::Rolling { tier: at }) => match lease.get().tier_after(at) {
                Some(next) if next.weight == tier => {}
                Some(next) => {
                    let message = format!(
                        "lease {id} is at {} %, its next tier is {} %, not {tier} %",
                        entry.weight(),
                        next.weight
                    );
                    return Err(Refusal::new(Reason::TierSkipped, message));
                }
                None => {
                    return Err(
                        wrong_state(id, entry.phase, action).hint(format!("end it with: git two-key complete {id}"))
                    );
                }
            },
            (ForwardKind::Complete, Phase::Rolling { tier }) if lease.get().is_last_tier(tier) => {}
            (ForwardKind::Resume, Phase::Paused { .. }) => {}
            (_, phase) => return Err(wrong_state(id, phase, action)),
        }
        if self.frozen.is_some() {
            let message = format!("the repository is frozen; nothing goes forward, so {id} cannot {action}");
            return Err(Refusal::new(Reason::Frozen, message).hint("end the freeze with two keys: git two-key thaw"));
        }
        Ok((lease, proposer))
    }

    fn startable(&self, entry: &LeaseState, lease: &Lease, proposer: &Proposer, tier: u8) -> Result<(), Refusal> {
        let id = &lease.id;
        let demand = rules::cosign_demand(self.policy.get(), lease, proposer);
        let tally = rules::tally(self, demand, &entry.cosigned);
        if entry.phase != Phase::Authorized || !tally.satisfied {
            let message = format!("lease {id} is not authorized: {}", super::awaited::lacking(self, demand, tally));
            return Err(Refusal::new(Reason::NotAuthorized, message)
                .hint(format!("turn a key for it with: git two-key sign {id}")));
        }
        self.check_terms(lease)?;
        let first = lease.tiers.first().map_or(0, |first| first.weight);
        if first != tier {
            let message = format!("lease {id} starts at {first} %, not at {tier} %");
            return Err(Refusal::new(Reason::TierSkipped, message));
        }
        self.check_after(lease)?;
        match self.stands_on(&lease.target) {
            Some(other) if other.phase.occupies() && !completes_by_the_next_start(other) => {
                let message = format!(
                    "target {} is occupied by lease {}, which is {}",
                    lease.target,
                    other.id,
                    other.phase.word()
                );
                Err(Refusal::new(Reason::TargetBusy, message)
                    .hint(format!("end that one with: git two-key rollback {} (any one key)", other.id)))
            }
            _ => Ok(()),
        }
    }

    /// How many keys count towards a lease's authorization, and how many its rule asks for: under the policy in force until it
    /// starts or is withdrawn, from then on as they were counted then. None where no file says what it is.
    pub fn authorization(&self, id: &LeaseId) -> Option<Tally> {
        let lease = self.document(id)?;
        let none = Votes::new();
        let entry = self.lease(id);
        let votes = entry.map_or(&none, |entry| &entry.cosigned);
        if let Some(quorum) = entry.and_then(|entry| entry.quorum.as_ref()) {
            return Some(rules::closed_tally(quorum, votes));
        }
        let proposer = self.document_proposer(id);
        Some(rules::tally(self, rules::cosign_demand(self.policy.get(), lease, &proposer), votes))
    }

    /// The votes that count towards a lease's authorization, in the same way.
    pub fn authorizing(&self, id: &LeaseId) -> Votes {
        let Some((entry, lease)) = self.lease(id).and_then(|entry| Some((entry, entry.lease()?))) else {
            return Votes::new();
        };
        if entry.quorum.is_some() {
            return entry.cosigned.clone();
        }
        rules::counting(self, rules::cosign_demand(self.policy.get(), lease, &entry.proposer), &entry.cosigned)
    }

    /// Whether a thaw names the freeze in force.
    pub(in crate::ledger) fn thawable(&self, step: u32) -> Result<(), Refusal> {
        if step != self.freezes {
            let message = format!("thaw names freeze {step}, {} took effect so far", self.freezes);
            return Err(Refusal::new(Reason::StaleStep, message));
        }
        if self.frozen.is_some() {
            return Ok(());
        }
        let refusal = Refusal::new(Reason::WrongState, "the repository is not frozen");
        Err(refusal.hint("see what is going on with: git two-key list"))
    }

    fn pending_votes(&self, id: &LeaseId, statement: &Statement) -> Votes {
        let ballot = self.lease(id).and_then(|lease| lease.pending.get(&statement.id()));
        ballot.map(|ballot| ballot.votes.clone()).unwrap_or_default()
    }
}

/// A lease that rolls at its last tier is completed by the next start on its target.
fn completes_by_the_next_start(lease: &LeaseState) -> bool {
    matches!((lease.phase, lease.lease()), (Phase::Rolling { tier }, Some(own)) if own.is_last_tier(tier))
}

/// What a forward move asks of the keys.
pub(in crate::ledger) fn forward_demand<'a>(
    policy: &'a crate::model::policy::Policy,
    lease: &Lease,
    pinned: Option<&'a PinnedTerms>,
    proposer: &'a Proposer,
    kind: ForwardKind,
) -> Demand<'a> {
    match kind {
        ForwardKind::Start { tier } => rules::start_demand(policy, lease, proposer, tier),
        ForwardKind::Promote { tier } => rules::promote_demand(policy, lease, pinned, proposer, Some(tier)),
        ForwardKind::Resume => rules::promote_demand(policy, lease, pinned, proposer, None),
        ForwardKind::Complete => Demand::AnyOne,
    }
}

/// Adds a vote: one key, one vote; one principal, one vote. On refusal the votes are as they were. A vote that does not
/// count now (its key is not listed any more, the rule has become stricter) stands in nobody's way, and stays: it counts
/// again when a policy lets it.
pub(in crate::ledger) fn cast(
    state: &State,
    demand: Demand<'_>,
    votes: &mut Votes,
    vote: &Vote,
) -> Result<(), Refusal> {
    let counts_for = |old: &Vote| rules::counts(state, demand, old).ok().map(|(principal, _)| principal);
    if let Some(old) = votes.get(&vote.key.raw()).filter(|old| counts_for(old).is_some()) {
        return Err(if old.key == vote.key {
            Refusal::new(Reason::AlreadyVoted, format!("{} has already signed this step", vote.principal))
        } else {
            let message = format!("the same raw key of {} in another wrapping is the same key", vote.principal);
            Refusal::new(Reason::SameKey, message)
        });
    }
    if votes.values().any(|old| counts_for(old).as_ref() == Some(&vote.principal)) {
        let who = vote.role.word();
        let message = format!("{} has voted for this with another key; one principal has one vote", vote.principal);
        return Err(Refusal::new(Reason::SamePrincipal, message).hint(format!("another {who} can turn a key")));
    }
    votes.insert(vote.key.raw(), vote.clone());
    Ok(())
}

pub(super) fn wrong_state(id: &LeaseId, phase: Phase, action: Action) -> Refusal {
    let hint = match phase {
        Phase::Halted => format!("a halted lease can only be rolled back: git two-key rollback {id} (any one key)"),
        _ => format!("see what it waits for with: git two-key show {id}"),
    };
    Refusal::new(Reason::WrongState, format!("cannot {action} lease {id}: it is {}", phase.word())).hint(hint)
}
