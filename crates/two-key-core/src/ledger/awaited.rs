//! Keys that are awaited: for a lease's next step, for the end of a freeze, and who could turn them.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{
    Action, Forward, ForwardKind, GroupId, LeaseId, PrincipalId, PublicKey, Statement, Subject, policy::Role,
};

use super::{
    LeaseState, Phase, Proposer, State, Votes,
    forward::forward_demand,
    quorum::OpenPlaces,
    rules::{self, Demand, Instead, Tally},
};

/// What a lease awaits before it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Awaited {
    /// The action that is next.
    pub action: Action,
    /// Its step number; none for cosign.
    pub step: Option<u32>,
    /// The tier that it goes to, in percent.
    pub tier: Option<u8>,
    /// Principals whose votes count already.
    pub has: BTreeSet<PrincipalId>,
    /// Humans still needed.
    pub humans: usize,
    /// Agents still needed.
    pub agents: usize,
    /// Of the humans still needed, those who have to be of a group.
    pub open: Vec<OpenPlaces>,
    /// Whether one key of either role suffices.
    pub any_one: bool,
    /// Whether an agent's key alone suffices, whatever the rule asks for: a promotion that is delegated.
    pub agent_alone: bool,
    /// Humans who could still turn a key that counts.
    pub humans_who_could: BTreeSet<PrincipalId>,
    /// Agents who could.
    pub agents_who_could: BTreeSet<PrincipalId>,
}

impl Awaited {
    /// What is still awaited of a count for a demand.
    pub(in crate::ledger) fn of(
        state: &State,
        demand: Demand<'_>,
        (action, step, tier): (Action, Option<u32>, Option<u8>),
        tally: Tally,
    ) -> Self {
        let (humans, agents) = (tally.humans_missing(), tally.agents_missing());
        let has: BTreeSet<_> = tally.humans.into_iter().chain(tally.agents).collect();
        Self {
            action,
            step,
            tier,
            humans,
            agents,
            open: tally.open,
            any_one: matches!(demand, Demand::AnyOne),
            agent_alone: matches!(demand, Demand::Rule { rule, instead: Instead::OneAgent, .. } if rule.agent > 0),
            humans_who_could: rules::could(state, demand, Role::Human, &has),
            agents_who_could: rules::could(state, demand, Role::Agent, &has),
            has,
        }
    }

    /// The same where nobody is named whose keys the server's clock would refuse: whose last day is past.
    #[must_use]
    pub fn in_time(mut self, state: &State, now: Timestamp) -> Self {
        if !self.action.goes_forward() {
            return self;
        }
        let policy = state.policy().get();
        let is_in_time = |key: &PublicKey| !state.is_revoked(key.raw()) && policy.key_in_time(key.raw(), now).is_ok();
        let can = |id: &PrincipalId| policy.principals.get(id).is_some_and(|one| one.keys.iter().any(is_in_time));
        self.humans_who_could.retain(&can);
        self.agents_who_could.retain(&can);
        self.open.iter_mut().for_each(|open| open.could.retain(&can));
        self
    }

    /// The least that suffices, where an agent alone does.
    #[must_use]
    pub fn least(mut self) -> Self {
        if self.agent_alone {
            (self.humans, self.agents) = (0, 1);
            self.open.clear();
        }
        self
    }

    /// What is still needed, part by part, with who it could be: `1 of pay-leads (ana or bo)`, `an agent (cp14)`.
    pub fn needs(&self) -> Vec<String> {
        self.parts().into_iter().map(|(what, who)| what + &named(who)).collect()
    }

    /// The same without names: `1 of pay-leads`, `an agent`.
    pub fn needs_of(&self) -> Vec<String> {
        self.parts().into_iter().map(|(what, _)| what).collect()
    }

    /// Whose keys could be turned now for what is needed.
    pub fn who_could(&self) -> BTreeSet<&PrincipalId> {
        if self.any_one {
            return self.humans_who_could.iter().chain(&self.agents_who_could).collect();
        }
        self.parts().into_iter().flat_map(|(_, who)| who).collect()
    }

    fn parts(&self) -> Vec<(String, &BTreeSet<PrincipalId>)> {
        let groups = |open: &OpenPlaces| open.groups.iter().map(GroupId::as_str).collect::<Vec<_>>().join(" or ");
        let of_groups = self.open.iter().map(|open| (format!("{} of {}", open.places, groups(open)), &open.could));
        let others = self.humans.saturating_sub(self.open.iter().map(|open| open.places).sum());
        let humans = so_many(others, "a", "human").map(|many| (many, &self.humans_who_could));
        let agents = so_many(self.agents, "an", "agent").map(|many| (many, &self.agents_who_could));
        of_groups.chain(humans).chain(agents).collect()
    }
}

/// `an agent`, `2 humans`; nothing for none.
fn so_many(number: usize, article: &str, what: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("{article} {what}")),
        many => Some(format!("{many} {what}s")),
    }
}

/// Names after what they are of: ` (ana or bo)`. A long list is cut.
fn named(names: &BTreeSet<PrincipalId>) -> String {
    let names: Vec<_> = names.iter().map(PrincipalId::as_str).collect();
    match names.as_slice() {
        [] => " (there is none left)".to_owned(),
        [one] => format!(" ({one})"),
        [others @ .., last] if others.len() < 4 => format!(" ({} or {last})", others.join(", ")),
        _ => String::new(),
    }
}

/// What a lease awaits next, or nothing if it has ended. A halted one can only be undone, by any one key.
pub fn awaited(state: &State, id: &LeaseId) -> Option<Awaited> {
    let fresh = LeaseState::untouched(id);
    let entry = state.lease(id).unwrap_or(&fresh);
    let lease = state.document(id)?;
    let policy = state.policy().get();
    if entry.phase == Phase::Proposed {
        return awaited_cosignatures(state, id);
    }
    let kind = match entry.phase {
        Phase::Halted => {
            let tally = rules::tally(state, Demand::AnyOne, &Votes::new());
            let what = (Action::Rollback, Some(entry.next_step()), None);
            return Some(Awaited::of(state, Demand::AnyOne, what, tally));
        }
        Phase::Authorized => ForwardKind::Start { tier: lease.tiers.first()?.weight },
        Phase::Rolling { tier } => match lease.tier_after(tier) {
            Some(next) => ForwardKind::Promote { tier: next.weight },
            None => ForwardKind::Complete,
        },
        Phase::Paused { .. } => ForwardKind::Resume,
        _ => return None,
    };
    let tier = match kind {
        ForwardKind::Start { tier } | ForwardKind::Promote { tier } => Some(tier),
        ForwardKind::Resume | ForwardKind::Complete => None,
    };
    let step = entry.next_step();
    let digest = entry.pinned.as_ref()?.digest();
    let subject = Subject::Forward(Forward { lease: id.clone(), digest, step, kind });
    let statement = Statement { repository: policy.repository.clone(), subject };
    let votes = entry.pending.get(&statement.id()).map(|ballot| ballot.votes.clone()).unwrap_or_default();
    let demand = forward_demand(policy, lease, entry.terms.as_deref(), &entry.proposer, kind);
    let tally = rules::tally(state, demand, &votes);
    Some(Awaited::of(state, demand, (kind.action(), Some(step), tier), tally))
}

/// What the end of the freeze awaits, while there is one.
pub fn awaited_thaw(state: &State) -> Option<Awaited> {
    let (step, nobody) = (state.freezes(), Proposer::Known(Arc::default()));
    state.thawable(step).ok()?;
    let policy = state.policy().get();
    let statement = Statement { repository: policy.repository.clone(), subject: Subject::Thaw { step } };
    let votes = state.thaw_votes.get(&statement.id()).map(|ballot| ballot.votes.clone()).unwrap_or_default();
    let demand = rules::thaw_demand(policy, &nobody);
    Some(Awaited::of(state, demand, (Action::Thaw, Some(step), None), rules::tally(state, demand, &votes)))
}

/// What a lease awaits before it is authorized, under the policy in force.
pub fn awaited_cosignatures(state: &State, id: &LeaseId) -> Option<Awaited> {
    let none = Votes::new();
    let votes = state.lease(id).map_or(&none, |entry| &entry.cosigned);
    let proposer = state.document_proposer(id);
    let demand = rules::cosign_demand(state.policy().get(), state.document(id)?, &proposer);
    let tally = rules::tally(state, demand, votes);
    Some(Awaited::of(state, demand, (Action::Cosign, None, None), tally))
}

/// What a lease lacks before it is authorized, in words.
pub(in crate::ledger) fn lacking(state: &State, demand: Demand<'_>, tally: Tally) -> String {
    let has: Vec<_> = tally.humans.iter().chain(&tally.agents).map(PrincipalId::as_str).collect();
    let has = if has.is_empty() { "nobody".to_owned() } else { has.join(", ") };
    let needs = Awaited::of(state, demand, (Action::Cosign, None, None), tally).needs();
    if needs.is_empty() { format!("has {has}") } else { format!("needs {}; has {has}", needs.join(" and ")) }
}
