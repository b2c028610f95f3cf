//! Rules: **who may do what.** The one place where votes are counted.
//!
//! | action | who |
//! |---|---|
//! | cosign, promote, resume, thaw | their rule (`promote` for the last three), the target's where it has one: enough humans and enough agents |
//! | | of the humans, enough of each group that the rule names; one person fills one place |
//! | start | one human or agent up to `start-up-to`, above it the promote rule |
//! | complete | one human or agent |
//! | pause, halt, rollback, withdraw | any one principal; an applier for its own targets |
//! | freeze | any one human or agent |
//! | policy | its rule, or two humans |
//! | revoke | a key itself; one human for an agent's or applier's key |
//!
//! Principals are counted, never keys or commits. A vote counts while its key is in force under the policy now in
//! force. Appliers count for no rule.

use std::collections::BTreeSet;

use crate::{
    model::{
        PrincipalId, RawKey, Reason, Refusal, Wrapping,
        lease::{DeclaredRisk, Exception, Lease},
        policy::{AllAtOnce, Deliberate, Hardware, Policy, Role, Rule, SeparateProposer, Terms, Unfilled, unfilled},
    },
    signature::{Carrier, Presence},
};

use super::{
    lease_state::PinnedTerms,
    proposal::Proposer,
    quorum::{OpenPlaces, Quorum},
    state::State,
    vote::{Vote, Votes},
};

/// What a transition asks of the keys.
#[derive(Debug, Clone, Copy)]
pub enum Demand<'a> {
    /// One human or one agent.
    AnyOne,
    /// A rule with so many more humans (risk), or an agent alone where the lease and the policy let one.
    Rule {
        /// The rule.
        rule: &'a Rule,
        /// How many more humans the lease's risk asks for.
        more_humans: u8,
        /// Who brought the bytes that are voted on.
        proposer: &'a Proposer,
        /// What suffices instead.
        instead: Instead,
    },
}

/// What suffices instead of a rule's humans and agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// Nothing.
    Nothing,
    /// One agent that the rule counts: delegated promotions.
    OneAgent,
    /// So many humans: policy changes.
    Humans(u8),
}

/// Who counts so far, and how many are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Humans that count.
    pub humans: BTreeSet<PrincipalId>,
    /// Agents that count.
    pub agents: BTreeSet<PrincipalId>,
    /// Humans that are needed.
    pub humans_needed: usize,
    /// Agents that are needed.
    pub agents_needed: usize,
    /// The places of groups that nobody fills yet.
    pub open: Vec<OpenPlaces>,
    /// Whether the demand is met.
    pub satisfied: bool,
}

impl Tally {
    /// Humans that are still needed, those of groups among them.
    pub fn humans_missing(&self) -> usize {
        let of_groups = self.open.iter().map(|open| open.places).sum();
        self.humans_needed.saturating_sub(self.humans.len()).max(of_groups)
    }

    /// Agents that are still needed.
    pub fn agents_missing(&self) -> usize {
        self.agents_needed.saturating_sub(self.agents.len())
    }
}

/// Counts votes for a demand, under the policy and the revocations now in force.
pub fn tally(state: &State, demand: Demand<'_>, votes: &Votes) -> Tally {
    let mut humans = BTreeSet::new();
    let mut agents = BTreeSet::new();
    for vote in votes.values() {
        if let Ok((principal, role)) = counts(state, demand, vote) {
            match role {
                Role::Human => humans.insert(principal),
                Role::Agent => agents.insert(principal),
                Role::Applier => false,
            };
        }
    }
    let Demand::Rule { rule, more_humans, instead, .. } = demand else {
        let satisfied = humans.len() + agents.len() >= 1;
        return Tally { humans, agents, humans_needed: 0, agents_needed: 0, open: Vec::new(), satisfied };
    };
    let humans_needed = usize::from(rule.human) + usize::from(more_humans);
    let agents_needed = usize::from(rule.agent);
    let open = open(state, demand, rule, &humans);
    let by_rule = humans.len() >= humans_needed && agents.len() >= agents_needed && open.is_empty();
    let by_instead = match instead {
        Instead::Nothing => false,
        Instead::OneAgent => !agents.is_empty(),
        Instead::Humans(enough) => humans.len() >= usize::from(enough) && open.is_empty(),
    };
    Tally { humans, agents, humans_needed, agents_needed, open, satisfied: by_rule || by_instead }
}

/// The places of groups that these humans leave open, and who could fill them.
fn open(state: &State, demand: Demand<'_>, rule: &Rule, humans: &BTreeSet<PrincipalId>) -> Vec<OpenPlaces> {
    let open = if rule.from.is_empty() { Vec::new() } else { unfilled(&rule.from, humans) };
    if open.is_empty() {
        return Vec::new();
    }
    let could = could(state, demand, Role::Human, humans);
    let of = |open: Unfilled<'_>| {
        let is_of = |person: &&PrincipalId| open.groups.iter().any(|from| from.members.contains(*person));
        let could = could.iter().filter(is_of).cloned().collect();
        let groups = open.groups.iter().map(|from| from.group.clone()).collect();
        OpenPlaces { groups, places: open.places, could }
    };
    open.into_iter().map(of).collect()
}

/// Who of a role could still turn a key that counts for a demand.
pub fn could(state: &State, demand: Demand<'_>, role: Role, has: &BTreeSet<PrincipalId>) -> BTreeSet<PrincipalId> {
    let principals = state.policy.get().principals.iter();
    let able = principals.filter(|(id, principal)| principal.role == role && !has.contains(*id));
    let able = able.filter(|(id, principal)| match demand {
        Demand::AnyOne => principal.keys.iter().any(|key| !state.is_revoked(key.raw())),
        Demand::Rule { rule, proposer, .. } => {
            let is_revoked = |raw| state.is_revoked(raw);
            let separate = rule.separate_proposer == SeparateProposer::Required;
            principal.keys.iter().any(|key| usable(rule, role, key, &is_revoked))
                && is_listed(rule, role, id)
                && !(separate && self::separate(state, proposer, id).is_err())
        }
    });
    able.map(|(id, _)| id.clone()).collect()
}

/// Whether a rule counts somebody of a role at all.
fn is_listed(rule: &Rule, role: Role, id: &PrincipalId) -> bool {
    let listed = match role {
        Role::Human => rule.humans.as_ref(),
        Role::Agent => rule.agents.as_ref(),
        Role::Applier => return false,
    };
    listed.is_none_or(|listed| listed.contains(id))
}

/// The count of votes as it was closed, which nothing alters any more.
pub(in crate::ledger) fn closed_tally(quorum: &Quorum, votes: &Votes) -> Tally {
    let of = |role| votes.values().filter(|vote| vote.role == role).map(|vote| vote.principal.clone()).collect();
    let (humans, agents): (BTreeSet<_>, BTreeSet<_>) = (of(Role::Human), of(Role::Agent));
    let open = quorum.open.clone();
    let satisfied = humans.len() >= quorum.humans && agents.len() >= quorum.agents && open.is_empty();
    Tally { humans, agents, humans_needed: quorum.humans, agents_needed: quorum.agents, open, satisfied }
}

/// The votes that count for a demand now, each as whose it counts: its key may have had another owner when it was turned.
pub fn counting(state: &State, demand: Demand<'_>, votes: &Votes) -> Votes {
    let counted = |(key, vote): (&RawKey, &Vote)| {
        let (principal, role) = counts(state, demand, vote).ok()?;
        Some((*key, Vote { principal, role, ..vote.clone() }))
    };
    votes.iter().filter_map(counted).collect()
}

/// Whether a vote counts for a demand now, and as whose.
pub fn counts(state: &State, demand: Demand<'_>, vote: &Vote) -> Result<(PrincipalId, Role), Refusal> {
    let (principal, role) = owner(state, vote.key.raw())?;
    if role == Role::Applier {
        let message = format!("{principal} is an applier; appliers count for no rule and only stop their own targets");
        return Err(Refusal::new(Reason::WrongRole, message));
    }
    if let Demand::Rule { rule, proposer, .. } = demand {
        rule_counts(state, rule, proposer, vote, &principal, role)?;
    }
    Ok((principal, role))
}

/// The principal of a key in force.
pub fn owner(state: &State, key: RawKey) -> Result<(PrincipalId, Role), Refusal> {
    if state.is_revoked(key) {
        return Err(Refusal::new(Reason::RevokedKey, "the key has been revoked; that is permanent")
            .hint("turn another key of yours, or have a policy change enrol a new one: git two-key key add"));
    }
    match state.policy.get().owner(key) {
        Some((id, principal)) => Ok((id.clone(), principal.role)),
        None => Err(Refusal::new(Reason::UnknownKey, "the policy in force does not list the key")
            .hint("see which keys it lists with: git two-key key list")),
    }
}

/// What a rule asks of a single vote.
fn rule_counts(
    state: &State,
    rule: &Rule,
    proposer: &Proposer,
    vote: &Vote,
    principal: &PrincipalId,
    role: Role,
) -> Result<(), Refusal> {
    if !is_listed(rule, role, principal) {
        let message = format!("{principal} is not among the {}s that the rule counts", role.word());
        return Err(Refusal::new(Reason::WrongRole, message));
    }
    if role == Role::Human && !shows_hardware(state, rule.hardware, vote) {
        let copied = if vote.presence == Presence::Copied { ", and this one says that it may be copied" } else { "" };
        let checked = if rule.hardware == Hardware::Verified { ", checked a PIN, a finger or a face" } else { "" };
        let message = format!(
            "the rule counts {principal} only by an enrolled sk- key that was touched{checked} and stays in its authenticator{copied}"
        );
        return Err(Refusal::new(Reason::HardwareRequired, message)
            .hint("sign with the security key: git two-key sign … --key ~/.ssh/id_ed25519_sk"));
    }
    if role == Role::Human && rule.deliberate == Deliberate::Required && vote.carrier == Carrier::Commit {
        let message =
            format!("the rule counts {principal} only by a signature made for two-key, not by a Git commit signature");
        return Err(Refusal::new(Reason::MissingRole, message)
            .hint("sign the statement itself: git two-key statement … | ssh-keygen -Y sign -n two-key -f KEY"));
    }
    if rule.separate_proposer == SeparateProposer::Required {
        separate(state, proposer, principal)?;
    }
    Ok(())
}

/// Whether a signature shows what a rule asks for: that it came from a key that the policy lists as a hardware key, with the flags
/// for that, and without those of a secret that may be copied.
fn shows_hardware(state: &State, asked: Hardware, vote: &Vote) -> bool {
    let shown = match asked {
        Hardware::NotRequired => return true,
        Hardware::Presence => matches!(vote.presence, Presence::Touched | Presence::Verified),
        Hardware::Verified => vote.presence == Presence::Verified,
    };
    let enrolled = state.policy.get().keys().any(|(_, _, key)| *key == vote.key);
    enrolled && matches!(vote.key.wrapping(), Wrapping::SkSsh { .. }) && shown
}

/// Leaves the proposer out, and everybody where the proposer is not known.
fn separate(state: &State, proposer: &Proposer, principal: &PrincipalId) -> Result<(), Refusal> {
    let unknown = || {
        Refusal::new(Reason::Proposer, "nobody knows who proposed: the bytes came in a commit that no principal signed")
            .hint("propose again, under a new id, in a commit signed by a principal: git commit -S")
    };
    let Proposer::Known(keys) = proposer else { return Err(unknown()) };
    for key in keys.iter() {
        let (owner, _) = state.policy.get().owner(*key).ok_or_else(unknown)?;
        if owner == principal {
            return Err(Refusal::new(Reason::Proposer, format!("{principal} proposed this, and so does not count")));
        }
    }
    Ok(())
}

/// The demand of the cosign rule for a lease.
pub fn cosign_demand<'a>(policy: &'a Policy, lease: &Lease, proposer: &'a Proposer) -> Demand<'a> {
    let more_humans = demanded_terms(policy, lease).humans;
    let rule = policy.cosign_rule(&lease.target);
    Demand::Rule { rule, more_humans, proposer, instead: Instead::Nothing }
}

/// The rule that moves a lease forward: its target's as it was pinned when the lease started, or as it is before that; else the
/// policy's.
pub fn promote_rule<'a>(policy: &'a Policy, lease: &Lease, pinned: Option<&'a PinnedTerms>) -> &'a Rule {
    match pinned {
        Some(terms) => terms.promote.as_ref().unwrap_or(&policy.rules.promote),
        None => policy.promote_rule(&lease.target),
    }
}

/// The demand of the promote rule for a lease that goes to a tier (resume: the tier that it is at).
pub fn promote_demand<'a>(
    policy: &'a Policy,
    lease: &Lease,
    pinned: Option<&'a PinnedTerms>,
    proposer: &'a Proposer,
    delegable: Option<u8>,
) -> Demand<'a> {
    let exception = lease.exception == Exception::Taken;
    let ceiling = lease.agent_alone_up_to.min(policy.delegable_up_to).min(99);
    let more_humans = demanded_terms(policy, lease).humans.saturating_add(u8::from(exception));
    let instead = match delegable {
        // Where risk asks for more people than the rule, an agent alone is not what was delegated.
        Some(tier) if tier <= ceiling && more_humans == 0 => Instead::OneAgent,
        _ => Instead::Nothing,
    };
    Demand::Rule { rule: promote_rule(policy, lease, pinned), more_humans, proposer, instead }
}

/// The demand of a start at a first tier.
pub fn start_demand<'a>(policy: &'a Policy, lease: &Lease, proposer: &'a Proposer, tier: u8) -> Demand<'a> {
    let one_suffices = tier <= policy.start_up_to && lease.exception == Exception::NotTaken;
    if one_suffices { Demand::AnyOne } else { promote_demand(policy, lease, None, proposer, None) }
}

/// The demand of the promote rule where no lease is concerned: thaw.
pub fn thaw_demand<'a>(policy: &'a Policy, nobody: &'a Proposer) -> Demand<'a> {
    Demand::Rule { rule: &policy.rules.promote, more_humans: 0, proposer: nobody, instead: Instead::Nothing }
}

/// The demand of the policy rule. Two humans always suffice (or as many as the rule names, if more).
pub fn policy_demand<'a>(policy: &'a Policy, proposer: &'a Proposer) -> Demand<'a> {
    let rule = &policy.rules.policy;
    Demand::Rule { rule, more_humans: 0, proposer, instead: Instead::Humans(rule.human.max(2)) }
}

/// Whether a lease may go to all traffic in one step, if it does.
pub fn check_at_once(policy: &Policy, lease: &Lease) -> Result<(), Refusal> {
    if !lease.is_all_at_once() || policy.all_at_once(&lease.target) == AllAtOnce::Allowed {
        return Ok(());
    }
    let message = format!(
        "lease {} goes to 100 % at once, and the policy does not allow that on target {}",
        lease.id, lease.target
    );
    Err(Refusal::new(Reason::PolicyFloor, message)
        .hint("give it tiers, or say `all-at-once: true` of the target in the policy"))
}

/// Whether a lease's terms are as tight as its declared risk demands.
pub fn check_risk(policy: &Policy, lease: &Lease) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(Reason::Risk, message).hint("see why with: git two-key check"));
    if let Some(model) = &policy.risk.model {
        match &lease.risk {
            None => return refuse(format!("the policy asks leases to declare a risk score of model {model}")),
            Some(risk) if risk.model != *model => {
                return refuse(format!("the risk score is of model {}, the policy asks for {model}", risk.model));
            }
            Some(_) => {}
        }
    }
    // Without a score no band would be met: leaving it out must not be the way around them.
    if lease.risk.is_none() && !(policy.risk.bands.is_empty() && policy.risk.factors.is_empty()) {
        return refuse("the policy has demands by risk, and the lease declares none".to_owned());
    }
    let terms = demanded_terms(policy, lease);
    if let Some(bake) = terms.bake
        && let Some(tier) = lease.tiers.iter().find(|tier| tier.bake < bake)
    {
        return refuse(format!("the declared risk demands a bake of {bake}; tier {} % has {}", tier.weight, tier.bake));
    }
    if let Some(first) = terms.first_tier
        && let Some(tier) = lease.tiers.first().filter(|tier| tier.weight > first)
    {
        return refuse(format!("the declared risk demands a first tier of at most {first} %; it is {} %", tier.weight));
    }
    Ok(())
}

/// The tightest of all terms that a lease's declared score and factors demand.
pub fn demanded_terms(policy: &Policy, lease: &Lease) -> Terms {
    lease.risk.as_ref().map_or_else(Terms::default, |risk| answer(policy, risk))
}

/// The tightest of all terms with which a policy answers a risk.
pub fn answer(policy: &Policy, risk: &DeclaredRisk) -> Terms {
    let bands = policy.risk.bands.iter().filter(|band| risk.score >= band.from).map(|band| &band.terms);
    let factors = risk.factors.iter().filter_map(|factor| policy.risk.factors.get(factor));
    bands.chain(factors).fold(Terms::default(), |tightest, terms| Terms {
        bake: tightest.bake.max(terms.bake),
        first_tier: match (tightest.first_tier, terms.first_tier) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
        samples: tightest.samples.max(terms.samples),
        humans: tightest.humans.max(terms.humans),
    })
}

/// Whether enough principals have keys in force to change a policy again. Where the rule leaves the proposer out,
/// somebody else than those who count must be there to propose.
pub fn can_change_policy<'a>(policy: &Policy, revoked: impl Fn(RawKey) -> bool + 'a) -> bool {
    match policy.rules.policy.separate_proposer {
        SeparateProposer::NotRequired => enough_without(policy, None, &revoked),
        SeparateProposer::Required => policy
            .principals
            .iter()
            .filter(|(_, principal)| principal.keys.iter().any(|key| !revoked(key.raw())))
            .any(|(proposer, _)| enough_without(policy, Some(proposer), &revoked)),
    }
}

/// Whether the policy's rule can be met by others than its proposer.
fn enough_without(policy: &Policy, proposer: Option<&PrincipalId>, revoked: &impl Fn(RawKey) -> bool) -> bool {
    let rule = &policy.rules.policy;
    let able = |role: Role| {
        policy
            .principals
            .iter()
            .filter(move |(id, principal)| Some(*id) != proposer && principal.role == role && is_listed(rule, role, id))
            .filter(move |(_, principal)| principal.keys.iter().any(|key| usable(rule, role, key, revoked)))
            .map(|(id, _)| id)
    };
    let (humans, agents) = (able(Role::Human).count(), able(Role::Agent).count());
    let by_rule = humans >= usize::from(rule.human) && agents >= usize::from(rule.agent);
    let places = rule.from.is_empty() || unfilled(&rule.from, able(Role::Human)).is_empty();
    places && (by_rule || humans >= usize::from(rule.human.max(2)))
}

/// Whether a key could ever count for a rule.
fn usable(rule: &Rule, role: Role, key: &crate::model::PublicKey, revoked: &impl Fn(RawKey) -> bool) -> bool {
    let hardware_missing = role == Role::Human && rule.hardware != Hardware::NotRequired && !key.is_hardware();
    !revoked(key.raw()) && !hardware_missing
}
