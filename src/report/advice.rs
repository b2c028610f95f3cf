//! Advice on what is wrong, or only unwise, with a proposal that is well formed.

use std::collections::BTreeSet;

use crate::{
    ledger::{State, rules},
    model::{
        PrincipalId, Proposed, PublicKey, Reason, Refusal,
        lease::Lease,
        policy::{Hardware, Policy, Principal, Role, Rule},
    },
    risk::{MODEL, Sensitive},
};

use super::{alarms::policy_alarms, doubts::doubts};

/// What there is to say about a proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    /// Why it can never be in force as it is.
    pub errors: Vec<Refusal>,
    /// What somebody may regret.
    pub warnings: Vec<String>,
    /// What is good to know.
    pub notes: Vec<String>,
}

/// Looks at a lease as the policy will.
pub fn lease_advice(policy: &Policy, state: Option<&State>, proposed: &Proposed<Lease>) -> Advice {
    let lease = proposed.get();
    let mut advice = Advice::default();
    if lease.repository != policy.repository {
        let message = format!("it is made for repository {}, this is {}", lease.repository, policy.repository);
        advice.errors.push(Refusal::new(Reason::WrongRepository, message));
    }
    advice.errors.extend(rules::check_risk(policy, lease).err());
    advice.errors.extend(rules::check_at_once(policy, lease).err());
    if let Some(last) = state.and_then(|state| state.waits_in_circle(lease)) {
        let message = format!("it waits for {last}, which waits for it: neither could ever start");
        advice.errors.push(Refusal::new(Reason::NotYet, message).hint("leave out one `after`"));
    }
    let pinned = state.and_then(|state| state.lease(&lease.id)).and_then(|entry| entry.pinned.as_ref());
    if let Some(pinned) = pinned.filter(|pinned| pinned.digest() != proposed.digest()) {
        let message = format!("the first vote pinned other bytes, {}; an edit has no effect", pinned.digest());
        let hint = "propose the change under a new id: git two-key new";
        advice.errors.push(Refusal::new(Reason::LeaseChanged, message).hint(hint));
    }
    match policy.targets.get(&lease.target) {
        None => {
            let message = format!("the policy names no target {}: no applier will move traffic", lease.target);
            advice.warnings.push(message);
        }
        Some(target) => {
            if target.applier.is_none() {
                advice.warnings.push(format!("target {} has no applier: nobody will move traffic", lease.target));
            }
            if target.gates.is_empty() {
                advice.warnings.push(format!("target {} has no health check (gate); only bake time", lease.target));
            }
        }
    }
    for after in lease.after.iter().filter(|after| !policy.targets.contains_key(&after.target)) {
        advice.warnings.push(format!(
            "the policy names no target {}, which has to complete first (`after`): the lease never starts",
            after.target
        ));
    }
    advice.warnings.extend(short_window(lease));
    if lease.agent_alone_up_to > policy.delegable_up_to {
        let message = format!(
            "agent-alone-up-to is {} %, the policy delegates up to {} % only",
            lease.agent_alone_up_to, policy.delegable_up_to
        );
        advice.errors.push(Refusal::new(Reason::PolicyFloor, message));
    }
    advice
}

/// That a lease's window closes before its tiers can have baked.
pub fn short_window(lease: &Lease) -> Option<String> {
    let bakes: u64 = lease.tiers.iter().map(|tier| tier.bake.as_secs()).sum();
    let window = lease.expires.as_second() - lease.issued.as_second();
    (u64::try_from(window).unwrap_or(0) < bakes)
        .then(|| format!("the window is {} min, shorter than the bakes together, {} min", window / 60, bakes / 60))
}

/// Looks at a policy as the one in force will.
pub fn policy_advice(state: Option<&State>, proposed: &Proposed<Policy>) -> Advice {
    let policy = proposed.get();
    let mut advice = Advice::default();
    if let Some(state) = state.filter(|state| state.policy().digest() != proposed.digest()) {
        advice.errors.extend(state.can_follow(proposed).err());
    }
    advice.errors.extend(Sensitive::new(&policy.risk.sensitive).err());
    if let Some(model) = policy.risk.model.as_ref().filter(|model| model.as_str() != MODEL) {
        advice
            .warnings
            .push(format!("the policy asks for risk scores of model {model}; this program computes {MODEL}"));
    }
    for (id, target) in &policy.targets {
        if target.applier.is_none() {
            advice.warnings.push(format!("target {id} has no applier: nobody will move traffic"));
        }
        if target.gates.is_empty() {
            advice.warnings.push(format!("target {id} has no health check (gate); only bake time"));
        }
    }
    advice.warnings.extend(doubts(policy));
    advice.warnings.extend(unmet(policy));
    advice.warnings.extend(thin(policy));
    advice.notes.extend(policy_alarms(policy));
    advice
}

/// Rules that ask for more keys than could ever count: nothing passes them.
pub fn unmet(policy: &Policy) -> Vec<String> {
    let of_targets = policy.targets.iter().flat_map(|(id, target)| {
        let own = [("cosign", target.rules.cosign.as_ref()), ("promote", target.rules.promote.as_ref())];
        own.into_iter().filter_map(move |(name, rule)| Some((format!("rule {name} of target {id}"), rule?)))
    });
    let own = [("rule cosign", &policy.rules.cosign), ("rule promote", &policy.rules.promote)];
    let all = own.map(|(name, rule)| (name.to_owned(), rule)).into_iter().chain(of_targets);
    all.flat_map(|(name, rule)| lacking(policy, rule).into_iter().map(move |what| format!("{name} {what}"))).collect()
}

/// What a rule asks for and nobody could give.
fn lacking(policy: &Policy, rule: &Rule) -> Vec<String> {
    let able = |role: Role, listed: Option<&BTreeSet<PrincipalId>>, hardware: Hardware| {
        let has_key = |principal: &Principal| {
            hardware == Hardware::NotRequired || principal.keys.iter().any(PublicKey::is_hardware)
        };
        let counts = |(id, principal): &(&PrincipalId, &Principal)| {
            principal.role == role && listed.is_none_or(|listed| listed.contains(*id)) && has_key(principal)
        };
        policy.principals.iter().filter(counts).count()
    };
    let humans = able(Role::Human, rule.humans.as_ref(), rule.hardware);
    let agents = able(Role::Agent, rule.agents.as_ref(), Hardware::NotRequired);
    let with = if rule.hardware == Hardware::NotRequired { "" } else { " with a hardware key" };
    let line = |asked: u8, there: usize, what: &str| {
        (usize::from(asked) > there)
            .then(|| format!("asks for {asked} {what}, and {there} could count: nothing ever passes it"))
    };
    let humans = line(rule.human, humans, &format!("{}{with}", if rule.human == 1 { "human" } else { "humans" }));
    let agents = line(rule.agent, agents, if rule.agent == 1 { "agent" } else { "agents" });
    humans.into_iter().chain(agents).collect()
}

/// Where the loss of one person or key would lock everybody out.
pub fn thin(policy: &Policy) -> Vec<String> {
    let of = |role: Role| policy.principals.values().filter(move |principal| principal.role == role);
    let mut warnings = Vec::new();
    let humans = of(Role::Human).count();
    if humans < 2 {
        warnings
            .push(format!("{humans} human: if that person is away, nothing goes forward and no key can be replaced"));
    }
    for role in [Role::Human, Role::Agent] {
        let keys: usize = of(role).map(|principal| principal.keys.len()).sum();
        if keys < 2 {
            warnings.push(format!("{keys} {} key: if it is lost, nothing goes forward", role.word()));
        }
    }
    warnings
}
