//! The lifecycle once more, as the design tells it and as small as it gets: two leases on one target or on two, one of which
//! may wait for the other, go all at once or be an exception; and policies that say whose keys there are, how many humans a
//! rule wants beside one agent and with which hardware. Written without a look at the fold, to hold the fold against.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Digest, StopKind};

/// A key: whose it is, and which of theirs. The first two are files; then one that is touched, one that checks who touches it,
/// and one that is touched and can be copied.
pub(super) type Key = (&'static str, u8);

/// What a signature shows of the hardware that made it, and what a rule asks humans for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SeenHardware {
    Nothing,
    Touch,
    Person,
}

fn shows(key: Key) -> SeenHardware {
    match key.1 {
        2 => SeenHardware::Touch,
        3 => SeenHardware::Person,
        _ => SeenHardware::Nothing,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ModelAsk {
    Cosign(usize),
    Start(usize, u32, u8),
    Promote(usize, u32, u8),
    Resume(usize, u32),
    Complete(usize, u32),
    Stop(usize, StopKind, u8),
    Freeze(u8),
    Thaw(u32),
    Revoke(Key),
    Policy(Digest),
}

/// Names of people, group by group.
pub(super) type Groups = &'static [&'static [&'static str]];

/// Whether there is a person for each group, and no one person for two.
fn one_of_each(groups: Groups, people: &BTreeSet<&'static str>) -> bool {
    let Some((first, rest)) = groups.split_first() else { return true };
    people.iter().filter(|person| first.contains(person)).any(|person| {
        let mut others = people.clone();
        others.remove(person);
        one_of_each(rest, &others)
    })
}

/// What a rule wants beside one agent: so many humans, one of each group among them, each by such a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ModelRule {
    pub(super) humans: usize,
    pub(super) from: Groups,
    pub(super) shown: SeenHardware,
}

/// One human by any key.
pub(super) const ONE: ModelRule = ModelRule { humans: 1, from: &[], shown: SeenHardware::Nothing };

/// What a policy says, as far as two leases can tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ModelPolicy {
    pub(super) keys: BTreeSet<Key>,
    pub(super) cosign: ModelRule,
    pub(super) promote: ModelRule,
    /// What the first target wants of promotions instead, if it has a rule of its own.
    pub(super) own_promote: Option<ModelRule>,
    /// Whether leases on the first target may go all at once.
    pub(super) at_once: bool,
    pub(super) start_up_to: u8,
    pub(super) delegable_up_to: u8,
}

/// A policy file: it follows the one that it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PolicyFile {
    pub(super) name: Digest,
    pub(super) previous: Option<Digest>,
    pub(super) says: ModelPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ModelState {
    Proposed,
    Authorized,
    Rolling(usize),
    Paused(usize),
    Halted,
    Completed,
    RolledBack,
    Withdrawn,
}
use ModelState::*;

/// What a lease waits for on the other target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waits {
    Nothing,
    /// For any lease to have completed there.
    Any,
    /// For one with all of its artifacts.
    Same,
}

/// What a lease says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeaseTerms {
    /// The first target or the other.
    pub(super) target: usize,
    pub(super) tiers: &'static [u8],
    pub(super) artifacts: &'static [&'static str],
    pub(super) waits: Waits,
    pub(super) exception: bool,
}

/// What most leases say.
pub(super) const USUAL: LeaseTerms =
    LeaseTerms { target: 0, tiers: &[5, 25, 100], artifacts: &["a"], waits: Waits::Nothing, exception: false };

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ModelLease {
    pub(super) at: ModelState,
    pub(super) next: u32,
    signed: BTreeSet<Key>,
    votes: BTreeMap<ModelAsk, BTreeSet<Key>>,
    replaced_by: Option<usize>,
    /// What was completed on the target when it started.
    before: Option<usize>,
    /// The target's own rule for promotions, as it was when it started.
    pinned: Option<ModelRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct World {
    pub(super) policy: PolicyFile,
    /// The policy file in the tree.
    pub(super) proposal: Option<PolicyFile>,
    enacted: Option<PolicyFile>,
    policy_votes: BTreeMap<ModelAsk, BTreeSet<Key>>,
    agent_alone_up_to: u8,
    pub(super) says: [LeaseTerms; 2],
    pub(super) leases: [ModelLease; 2],
    /// On each target.
    newest: [Option<usize>; 2],
    pub(super) frozen: bool,
    pub(super) freezes: u32,
    pub(super) revoked: BTreeSet<Key>,
    thaws: BTreeSet<Key>,
    spent: BTreeSet<(Key, ModelAsk)>,
}

const HUMAN: &str = "user";
const AGENT: &str = "cp";
const APPLIER: &str = "edge";

/// A principal's role. Who has none of these names is an agent where a policy lists them at all.
fn role(key: Key) -> &'static str {
    [HUMAN, APPLIER].into_iter().find(|prefix| key.0.starts_with(prefix)).unwrap_or(AGENT)
}

/// How many principals of a role have a key among some.
fn people(wanted: &str, keys: impl IntoIterator<Item = Key>) -> usize {
    let people: BTreeSet<_> = keys.into_iter().filter(|key| role(*key) == wanted).map(|key| key.0).collect();
    people.len()
}

impl World {
    pub(super) fn new(policy: PolicyFile, agent_alone_up_to: u8, says: [LeaseTerms; 2]) -> Self {
        let fresh = ModelLease {
            at: Proposed,
            next: 1,
            signed: [].into(),
            votes: [].into(),
            replaced_by: None,
            before: None,
            pinned: None,
        };
        Self {
            policy,
            proposal: None,
            enacted: None,
            policy_votes: [].into(),
            agent_alone_up_to,
            says,
            leases: [fresh.clone(), fresh],
            newest: [None; 2],
            frozen: false,
            freezes: 0,
            revoked: [].into(),
            thaws: [].into(),
            spent: [].into(),
        }
    }

    /// Whether a key is in force.
    pub(super) fn counts(&self, key: Key) -> bool {
        self.policy.says.keys.contains(&key) && !self.revoked.contains(&key)
    }

    /// Whether a key counts for a rule: a human's has to show what the rule asks for.
    fn counts_for(&self, rule: ModelRule, key: Key) -> bool {
        self.counts(key) && (role(key) != HUMAN || shows(key) >= rule.shown)
    }

    /// How many humans and agents have voted with keys that count.
    fn tally(&self, votes: &BTreeSet<Key>, rule: ModelRule) -> (usize, usize) {
        let counting = || votes.iter().copied().filter(|key| self.counts_for(rule, *key));
        (people(HUMAN, counting()), people(AGENT, counting()))
    }

    fn met(&self, votes: &BTreeSet<Key>, rule: ModelRule) -> bool {
        let (humans, agents) = self.tally(votes, rule);
        let is_person = |key: &&Key| self.counts_for(rule, **key) && role(**key) == HUMAN;
        let people = votes.iter().filter(is_person).map(|key| key.0).collect();
        humans >= rule.humans && agents >= 1 && one_of_each(rule.from, &people)
    }

    /// What a move of a lease wants: what was pinned, once it has started; one human more where it is an exception.
    fn promote_rule(&self, lease: usize) -> ModelRule {
        let fresh = matches!(self.leases[lease].at, Proposed | Authorized);
        let own = self.policy.says.own_promote.filter(|_| self.says[lease].target == 0);
        let own = if fresh { own } else { self.leases[lease].pinned };
        let rule = own.unwrap_or(self.policy.says.promote);
        ModelRule { humans: rule.humans + usize::from(self.says[lease].exception), ..rule }
    }

    /// Votes with one more: a principal has one. Those that do not count stay, and count when they do again.
    fn with(&self, votes: &BTreeSet<Key>, key: Key, rule: ModelRule) -> BTreeSet<Key> {
        let mut votes = votes.clone();
        if !votes.iter().any(|old| old.0 == key.0 && self.counts_for(rule, *old)) {
            votes.insert(key);
        }
        votes
    }

    fn newest_beside(&self, lease: usize) -> Option<usize> {
        self.newest[self.says[lease].target]
    }

    /// The place of the last tier.
    pub(super) fn last(&self, lease: usize) -> usize {
        self.says[lease].tiers.len() - 1
    }

    /// Whether what a lease waits for has completed on the other target, and was not undone since.
    fn has_waited(&self, lease: usize) -> bool {
        let own = self.says[lease];
        let mut at = self.newest[1 - own.target].filter(|_| own.waits != Waits::Nothing);
        while let Some(there) = at {
            let has_all = own.artifacts.iter().all(|artifact| self.says[there].artifacts.contains(artifact));
            if self.leases[there].at == Completed && (own.waits == Waits::Any || has_all) {
                return true;
            }
            at = self.leases[there].before;
        }
        own.waits == Waits::Nothing
    }

    /// Whether a lease goes no further at once than its target allows.
    fn may_be_at_once(&self, lease: usize) -> bool {
        self.last(lease) > 0 || (self.policy.says.at_once && self.says[lease].target == 0)
    }

    pub(super) fn weight(&self, lease: usize) -> u8 {
        match self.leases[lease].at {
            Rolling(tier) | Paused(tier) => self.says[lease].tiers[tier],
            Completed => 100,
            _ => 0,
        }
    }

    pub(super) fn step(&mut self, mut votes: Vec<(Key, ModelAsk)>) {
        votes.sort_by_key(|(_, ask)| match ask {
            ModelAsk::Stop(_, StopKind::Rollback, _) => 0,
            ModelAsk::Stop(_, StopKind::Withdraw, _) => 1,
            ModelAsk::Stop(_, StopKind::Halt, _) => 2,
            ModelAsk::Freeze(_) => 3,
            ModelAsk::Stop(_, StopKind::Pause, _) => 4,
            ModelAsk::Revoke(_) => 5,
            ModelAsk::Policy(_) => 7,
            _ => 6,
        });
        for (key, ask) in votes {
            if self.counts(key) {
                self.vote(key, ask);
            }
        }
        if let Some(policy) = self.enacted.take() {
            self.policy = policy;
            self.policy_votes.clear();
            self.recount();
        }
    }

    fn vote(&mut self, key: Key, ask: ModelAsk) {
        let applier = role(key) == APPLIER;
        match ask {
            ModelAsk::Stop(lease, kind, _) if !applier || key.0 == ["edge1", "edge2"][self.says[lease].target] => {
                self.stop(lease, kind, (key, ask));
            }
            ModelAsk::Freeze(_) if !applier && self.spent.insert((key, ask)) && !self.frozen => {
                (self.frozen, self.freezes) = (true, self.freezes + 1);
                self.thaws.clear();
            }
            ModelAsk::Revoke(whose)
                if whose == key
                    || (role(key) == HUMAN && role(whose) != HUMAN && self.policy.says.keys.contains(&whose)) =>
            {
                self.revoked.insert(whose);
                self.recount();
            }
            ModelAsk::Cosign(lease)
                if !applier
                    && matches!(self.leases[lease].at, Proposed | Authorized)
                    && self.delegation_stands()
                    && self.may_be_at_once(lease)
                    && self.counts_for(self.policy.says.cosign, key) =>
            {
                let signed = self.with(&self.leases[lease].signed, key, self.policy.says.cosign);
                let met = self.met(&signed, self.policy.says.cosign);
                (self.leases[lease].at, self.leases[lease].signed) = (if met { Authorized } else { Proposed }, signed);
            }
            ModelAsk::Thaw(number)
                if !applier
                    && self.frozen
                    && number == self.freezes
                    && self.counts_for(self.policy.says.promote, key) =>
            {
                self.thaws = self.with(&self.thaws, key, self.policy.says.promote);
                self.frozen = !self.met(&self.thaws, self.policy.says.promote);
            }
            ModelAsk::Policy(name) if !applier => {
                let proposed = self.proposal.clone().filter(|file| file.name == name && self.can_follow(file));
                if let Some(proposed) = proposed {
                    let votes = self.with(&self.policy_votes.get(&ask).cloned().unwrap_or_default(), key, ONE);
                    if self.met(&votes, ONE) || self.tally(&votes, ONE).0 >= 2 {
                        self.enacted = Some(proposed);
                    }
                    self.policy_votes.insert(ask, votes);
                }
            }
            ModelAsk::Start(lease, step, _)
            | ModelAsk::Promote(lease, step, _)
            | ModelAsk::Resume(lease, step)
            | ModelAsk::Complete(lease, step)
                if !applier && !self.frozen && step == self.leases[lease].next =>
            {
                self.forward(lease, key, ask);
            }
            _ => {}
        }
    }

    fn stop(&mut self, mut lease: usize, kind: StopKind, vote: (Key, ModelAsk)) {
        // What is completed is not out of reach before the next one is: that one goes first, and a pause is of that one.
        let next = self.newest_beside(lease).filter(|next| self.leases[*next].before == Some(lease));
        if let Some(next) = next.filter(|next| self.leases[*next].at != Completed) {
            let (at, newer) = (self.leases[lease].at, self.leases[next].at);
            let after = match (kind, at, newer) {
                (StopKind::Pause, _, Rolling(tier)) => vec![(next, Paused(tier))],
                (StopKind::Pause, ..) | (StopKind::Halt, Halted | RolledBack, _) => vec![],
                (StopKind::Halt, ..) => vec![(next, RolledBack), (lease, Halted)],
                _ => vec![(next, RolledBack), (lease, RolledBack)],
            };
            if self.spent.insert(vote) {
                for (lease, after) in after.into_iter().filter(|(it, _)| *it != next || newer != RolledBack) {
                    self.take(lease, after);
                }
            }
            return;
        }
        while let Some(newer) = self.leases[lease].replaced_by {
            lease = newer;
        }
        let at = self.leases[lease].at;
        let after = match (at, kind) {
            (Proposed | Authorized, _) => Some(Withdrawn),
            (Rolling(tier), StopKind::Pause) => Some(Paused(tier)),
            (Rolling(_) | Paused(_) | Completed, StopKind::Halt) => Some(Halted),
            (Withdrawn, _) | (_, StopKind::Pause | StopKind::Halt) => None,
            _ => Some(RolledBack),
        };
        let older = !matches!(at, Proposed | Authorized | Withdrawn) && self.newest_beside(lease) != Some(lease);
        if let (false, true, Some(after)) = (older, self.spent.insert(vote), after) {
            self.take(lease, after);
        }
    }

    /// Whether a policy names the one in force, and leaves enough keys to change it again.
    pub(super) fn can_follow(&self, file: &PolicyFile) -> bool {
        let left = || file.says.keys.iter().copied().filter(|key| !self.revoked.contains(key));
        let (humans, agents) = (people(HUMAN, left()), people(AGENT, left()));
        file.previous == Some(self.policy.name) && ((humans >= 1 && agents >= 1) || humans >= 2)
    }

    /// Whether the policy lets an agent go as far alone as the leases would.
    fn delegation_stands(&self) -> bool {
        self.agent_alone_up_to <= self.policy.says.delegable_up_to
    }

    /// An authorized lease whose votes do not suffice any more is proposed again.
    fn recount(&mut self) {
        for lease in [0, 1] {
            let ModelLease { at, signed, .. } = &self.leases[lease];
            if *at == Authorized && !self.met(signed, self.policy.says.cosign) {
                self.leases[lease].at = Proposed;
            }
        }
    }

    fn forward(&mut self, lease: usize, key: Key, ask: ModelAsk) {
        let (at, says) = (self.leases[lease].at, self.says[lease]);
        let newest = self.newest_beside(lease);
        let is_full = |other: usize| self.leases[other].at == Rolling(self.last(other));
        let replaced = newest.filter(|other| is_full(*other));
        let busy = newest
            .is_some_and(|other| !is_full(other) && matches!(self.leases[other].at, Rolling(_) | Paused(_) | Halted));
        let free = !busy && self.delegation_stands() && self.may_be_at_once(lease) && self.has_waited(lease);
        let after = match (ask, at) {
            (ModelAsk::Start(_, _, weight), Authorized) if free && weight == says.tiers[0] => Rolling(0),
            (ModelAsk::Promote(_, _, weight), Rolling(tier)) if says.tiers.get(tier + 1) == Some(&weight) => {
                Rolling(tier + 1)
            }
            (ModelAsk::Resume(..), Paused(tier)) => Rolling(tier),
            (ModelAsk::Complete(..), Rolling(tier)) if tier == self.last(lease) => Completed,
            _ => return,
        };
        let one_is_enough = match ask {
            ModelAsk::Start(_, _, weight) => weight <= self.policy.says.start_up_to && !says.exception,
            ModelAsk::Complete(..) => true,
            _ => false,
        };
        let rule = if one_is_enough { ONE } else { self.promote_rule(lease) };
        if !self.counts_for(rule, key) {
            return;
        }
        let votes = self.with(&self.leases[lease].votes.get(&ask).cloned().unwrap_or_default(), key, rule);
        let alone_up_to = self.agent_alone_up_to.min(self.policy.says.delegable_up_to);
        let delegated = matches!(ask, ModelAsk::Promote(_, _, weight) if weight <= alone_up_to) && !says.exception;
        let met = one_is_enough || self.met(&votes, rule) || (delegated && self.tally(&votes, rule).1 >= 1);
        self.leases[lease].votes.insert(ask, votes);
        if met {
            if let (ModelAsk::Start(..), Some(other)) = (ask, replaced) {
                self.take(other, Completed);
                self.leases[other].replaced_by = Some(lease);
            }
            if matches!(ask, ModelAsk::Start(..)) {
                self.leases[lease].before = newest.filter(|other| self.leases[*other].at == Completed);
                self.newest[says.target] = Some(lease);
                self.leases[lease].pinned = self.policy.says.own_promote.filter(|_| says.target == 0);
            }
            self.take(lease, after);
        }
    }

    fn take(&mut self, lease: usize, after: ModelState) {
        let lease = &mut self.leases[lease];
        (lease.at, lease.next) = (after, lease.next + 1);
        lease.votes.clear();
    }
}
