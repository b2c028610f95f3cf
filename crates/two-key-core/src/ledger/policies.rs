//! Policy changes and revocations.

use std::sync::Arc;

use crate::model::{
    Action, Digest, Fingerprint, PrincipalId, Proposed, RawKey, Reason, Refusal, Statement,
    policy::{Policy, Role},
};

use super::{
    Awaited, Ballot, Brought, By, Content, EventKind, Fold, GovernanceChange, InForce, Phase, ProposalFile, State,
    Vote, Votes, forward::cast, rules,
};

impl Fold {
    /// Whether a proposed policy could ever follow the one in force.
    pub(in crate::ledger) fn check_policy(&self, proposed: &Proposed<Policy>) -> Result<(), Refusal> {
        self.state.can_follow(proposed)
    }

    /// Folds a vote for a policy.
    pub(in crate::ledger) fn policy_vote(
        &mut self,
        digest: Digest,
        statement: &Statement,
        vote: &Vote,
    ) -> Result<(), Refusal> {
        let (proposed, proposer) = self.state.policy_named(digest)?;
        let policy = self.state.policy.clone();
        let demand = rules::policy_demand(policy.get(), &proposer);
        rules::counts(&self.state, demand, vote)?;
        let mut votes = self.state.policy_votes.get(&statement.id()).map(|b| b.votes.clone()).unwrap_or_default();
        let repeated = cast(&self.state, demand, &mut votes, vote);
        if rules::tally(&self.state, demand, &votes).satisfied {
            if self.enacted.is_none() {
                let votes = &rules::counting(&self.state, demand, &votes);
                let event = self.event(EventKind::PolicyChanged, None, By::All { votes, last: vote });
                event.change = Some(Box::new(GovernanceChange::Policy { from: policy, to: Arc::clone(&proposed) }));
            }
            self.enacted = Some(proposed);
            return Ok(());
        }
        repeated?;
        self.state.policy_votes.insert(statement.id(), Ballot { statement: statement.clone(), votes });
        self.voted(statement, vote, Some(GovernanceChange::Policy { from: policy, to: proposed }));
        Ok(())
    }

    /// At the step's end: the policy that has its keys counts from the next step on.
    pub(in crate::ledger) fn enact_policy(&mut self) {
        let Some(policy) = self.enacted.take() else { return };
        self.state.policy = InForce::new(policy);
        self.state.policy_since = self.report.commit;
        self.state.policy_votes.clear();
        self.state.policies_brought = Brought::default();
        self.state.recount_authorizations();
    }

    /// Folds a revocation. It is permanent, and takes the key's votes for what is not in force yet with it.
    pub(in crate::ledger) fn revoke(&mut self, key: &Fingerprint, vote: &Vote) -> Result<(), Refusal> {
        // A key that names itself is meant, whatever the wrapping that the policy lists it in.
        let named = if *key == vote.key.fingerprint() { None } else { Some(self.state.revocable(key)?) };
        let (raw, principal, role) = named.unwrap_or_else(|| (vote.key.raw(), vote.principal.clone(), vote.role));
        let allowed = raw == vote.key.raw() || (vote.role == Role::Human && role != Role::Human);
        if !allowed {
            let message = format!(
                "{} may not revoke {key}: a key revokes itself, a human an agent's or applier's key",
                vote.principal
            );
            return Err(Refusal::new(Reason::WrongRole, message)
                .hint("for all else change the policy: git two-key key remove …"));
        }
        self.state.revoked.insert(raw, self.report.commit);
        self.state.drop_votes_of(raw);
        self.state.recount_authorizations();
        let event = self.event(EventKind::KeyRevoked, None, By::One(vote));
        event.change = Some(Box::new(GovernanceChange::Revoked { key: key.clone(), principal, role }));
        Ok(())
    }
}

/// What the policy that is proposed in the tree awaits; nothing if there is none that could follow the one in force. Beside what
/// the rule asks for, humans alone suffice if there are enough.
pub fn awaited_policy(state: &State) -> Option<Awaited> {
    let digest = state.policy_file()?.digest?;
    let (_, proposer) = state.policy_named(digest).ok()?;
    let demand = rules::policy_demand(state.policy().get(), &proposer);
    let ballot = state.policy_votes().find(|ballot| ballot.statement.fields().digest == Some(digest));
    let none = Votes::new();
    let tally = rules::tally(state, demand, ballot.map_or(&none, |ballot| &ballot.votes));
    Some(Awaited::of(state, demand, (Action::Policy, None, None), tally))
}

impl State {
    /// Whether a policy could follow the one in force.
    pub fn can_follow(&self, proposed: &Proposed<Policy>) -> Result<(), Refusal> {
        let now = self.policy.get();
        let next = proposed.get();
        if next.repository != now.repository {
            let message = format!("the policy is made for repository {}, this is {}", next.repository, now.repository);
            return Err(Refusal::new(Reason::WrongRepository, message));
        }
        if next.version.checked_sub(1) != Some(now.version) || next.previous != Some(self.policy.digest()) {
            let previous = next.previous.map_or_else(|| "none".to_owned(), |digest| digest.to_string());
            let message = format!(
                "version {} after {previous} does not follow the policy in force, version {} ({})",
                next.version,
                now.version,
                self.policy.digest()
            );
            return Err(Refusal::new(Reason::PolicyVersion, message).hint(format!(
                "write `version: {}` and `previous: {}`",
                now.version + 1,
                self.policy.digest()
            )));
        }
        if next.branch != now.branch {
            let message = format!("the governed branch is {}; a policy cannot move it", now.branch);
            return Err(Refusal::new(Reason::PolicyFloor, message).hint("found a new repository to change the branch"));
        }
        if !rules::can_change_policy(next, |key| self.is_revoked(key)) {
            let message = "under this policy nobody could ever change it again: too few keys that are not revoked";
            return Err(Refusal::new(Reason::PolicyFloor, message));
        }
        Ok(())
    }

    /// The proposed policy that a vote names: it must stand in the step's tree and follow the one in force.
    pub(in crate::ledger) fn policy_named(
        &self,
        digest: Digest,
    ) -> Result<(Arc<Proposed<Policy>>, super::Proposer), Refusal> {
        if digest == self.policy.digest() {
            return Err(Refusal::new(Reason::PolicyVersion, "that policy is in force already"));
        }
        match &self.policy_file {
            Some(ProposalFile { digest: Some(found), content }) if *found == digest => match content {
                Content::Proposal(proposed) => {
                    // Checked anew: the policy in force may have changed since the file came.
                    self.can_follow(proposed)?;
                    Ok((proposed.clone(), self.policy_proposer(digest)))
                }
                Content::Unusable { code, message } => {
                    Err(Refusal::new(Reason::from_code(code).unwrap_or(Reason::Malformed), message.clone()))
                }
            },
            _ => {
                let message = format!(".two-key/policy.yaml in the tree does not have the bytes {digest}");
                Err(Refusal::new(Reason::DigestMismatch, message))
            }
        }
    }

    /// The raw key that a fingerprint names, its owner, and the owner's role.
    pub(in crate::ledger) fn revocable(&self, key: &Fingerprint) -> Result<(RawKey, PrincipalId, Role), Refusal> {
        let listed = self.policy.get().keys().find(|(_, _, listed)| listed.fingerprint() == *key);
        match listed {
            Some((_, _, listed)) if self.is_revoked(listed.raw()) => {
                Err(Refusal::new(Reason::AlreadyVoted, format!("{key} has been revoked already")))
            }
            Some((id, principal, listed)) => Ok((listed.raw(), id.clone(), principal.role)),
            None => Err(Refusal::new(Reason::UnknownKey, format!("the policy in force does not list a key {key}"))
                .hint("see which keys it lists with: git two-key key list")),
        }
    }

    /// Whether revoking a key would leave nobody able to change the policy.
    pub fn revocation_strands(&self, key: RawKey) -> bool {
        !rules::can_change_policy(self.policy.get(), |raw| raw == key || self.is_revoked(raw))
    }

    fn drop_votes_of(&mut self, key: RawKey) {
        for id in self.open.clone() {
            let Some(lease) = self.lease_mut(&id) else { continue };
            // What has started stands; its votes stay for the record.
            if matches!(lease.phase, Phase::Proposed | Phase::Authorized) {
                lease.cosigned.remove(&key);
            }
            drop_from(&mut lease.pending, key);
        }
        drop_from(&mut self.policy_votes, key);
        drop_from(&mut self.thaw_votes, key);
    }

    /// Leases that lost a vote, or whose rule asks for more now, are proposed again until they have started.
    fn recount_authorizations(&mut self) {
        let lost: Vec<_> = self
            .open
            .iter()
            .filter_map(|id| self.lease(id))
            .filter(|lease| lease.phase == Phase::Authorized)
            .filter(|lease| {
                lease.lease().is_none_or(|own| {
                    let demand = rules::cosign_demand(self.policy.get(), own, &lease.proposer);
                    !rules::tally(self, demand, &lease.cosigned).satisfied
                })
            })
            .map(|lease| lease.id.clone())
            .collect();
        for id in lost {
            if let Some(lease) = self.lease_mut(&id) {
                lease.phase = Phase::Proposed;
            }
        }
    }
}

fn drop_from(ballots: &mut std::collections::BTreeMap<Digest, Ballot>, key: RawKey) {
    ballots.retain(|_, ballot| {
        ballot.votes.remove(&key);
        !ballot.votes.is_empty()
    });
}
