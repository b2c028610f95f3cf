//! The lifecycle once more, as the design tells it and as small as it gets: two leases (5, 25, 100) on one target,
//! and policies that say whose keys there are and how many humans a rule wants beside one agent. Written without a
//! look at the fold, to hold the fold against.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Digest, StopKind};

/// A key: whose it is, and which of theirs.
pub(super) type Key = (&'static str, u8);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
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

/// What a policy says, as far as two leases on one target can tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Policy {
    pub(super) keys: BTreeSet<Key>,
    pub(super) humans_cosign: usize,
    pub(super) humans_promote: usize,
    /// Groups of which one person each has to be among those who cosign.
    pub(super) cosigned_from: Groups,
    /// What the target wants of promotions instead, if it has a rule of its own.
    pub(super) own_promote: Option<(usize, Groups)>,
    pub(super) start_up_to: u8,
    pub(super) delegable_up_to: u8,
}

/// A policy file: it follows the one that it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PolicyFile {
    pub(super) name: Digest,
    pub(super) previous: Option<Digest>,
    pub(super) says: Policy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    Proposed,
    Authorized,
    Rolling(usize),
    Paused(usize),
    Halted,
    Completed,
    RolledBack,
    Withdrawn,
}
use At::*;

pub(super) const TIERS: [u8; 3] = [5, 25, 100];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lease {
    pub(super) at: At,
    pub(super) next: u32,
    signed: BTreeSet<Key>,
    votes: BTreeMap<Ask, BTreeSet<Key>>,
    replaced_by: Option<usize>,
    /// What was completed on the target when it started.
    before: Option<usize>,
    /// The target's own rule for promotions, as it was when it started.
    pinned: Option<(usize, Groups)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct World {
    pub(super) policy: PolicyFile,
    /// The policy file in the tree.
    pub(super) proposal: Option<PolicyFile>,
    enacted: Option<PolicyFile>,
    policy_votes: BTreeMap<Ask, BTreeSet<Key>>,
    agent_alone_up_to: u8,
    pub(super) leases: [Lease; 2],
    newest: Option<usize>,
    pub(super) frozen: bool,
    pub(super) freezes: u32,
    pub(super) revoked: BTreeSet<Key>,
    thaws: BTreeSet<Key>,
    spent: BTreeSet<(Key, Ask)>,
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
    pub(super) fn new(policy: PolicyFile, agent_alone_up_to: u8) -> Self {
        let fresh = Lease {
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
            leases: [fresh.clone(), fresh],
            newest: None,
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

    /// How many humans and agents have voted with keys in force.
    fn tally(&self, votes: &BTreeSet<Key>) -> (usize, usize) {
        let counting = || votes.iter().copied().filter(|key| self.counts(*key));
        (people(HUMAN, counting()), people(AGENT, counting()))
    }

    fn met(&self, votes: &BTreeSet<Key>, (humans_needed, from): (usize, Groups)) -> bool {
        let (humans, agents) = self.tally(votes);
        let people = votes.iter().filter(|key| self.counts(**key) && role(**key) == HUMAN).map(|key| key.0).collect();
        humans >= humans_needed && agents >= 1 && one_of_each(from, &people)
    }

    fn cosign_rule(&self) -> (usize, Groups) {
        (self.policy.says.humans_cosign, self.policy.says.cosigned_from)
    }

    /// What a move of a lease wants: what was pinned, once it has started.
    fn promote_rule(&self, lease: usize) -> (usize, Groups) {
        let fresh = matches!(self.leases[lease].at, Proposed | Authorized);
        let own = if fresh { self.policy.says.own_promote } else { self.leases[lease].pinned };
        own.unwrap_or((self.policy.says.humans_promote, &[]))
    }

    /// Votes with one more: a principal has one. Those whose keys have left stay, and count when they are back.
    fn with(&self, votes: &BTreeSet<Key>, key: Key) -> BTreeSet<Key> {
        let mut votes = votes.clone();
        if !votes.iter().any(|old| old.0 == key.0 && self.counts(*old)) {
            votes.insert(key);
        }
        votes
    }

    pub(super) fn weight(&self, lease: usize) -> u8 {
        match self.leases[lease].at {
            Rolling(tier) | Paused(tier) => TIERS[tier],
            Completed => 100,
            _ => 0,
        }
    }

    pub(super) fn step(&mut self, mut votes: Vec<(Key, Ask)>) {
        votes.sort_by_key(|(_, ask)| match ask {
            Ask::Stop(_, StopKind::Rollback, _) => 0,
            Ask::Stop(_, StopKind::Withdraw, _) => 1,
            Ask::Stop(_, StopKind::Halt, _) => 2,
            Ask::Freeze(_) => 3,
            Ask::Stop(_, StopKind::Pause, _) => 4,
            Ask::Revoke(_) => 5,
            Ask::Policy(_) => 7,
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

    fn vote(&mut self, key: Key, ask: Ask) {
        let applier = role(key) == APPLIER;
        match ask {
            Ask::Stop(lease, kind, _) if !applier || key.0 == "edge1" => self.stop(lease, kind, (key, ask)),
            Ask::Freeze(_) if !applier && self.spent.insert((key, ask)) && !self.frozen => {
                (self.frozen, self.freezes) = (true, self.freezes + 1);
                self.thaws.clear();
            }
            Ask::Revoke(whose)
                if whose == key
                    || (role(key) == HUMAN && role(whose) != HUMAN && self.policy.says.keys.contains(&whose)) =>
            {
                self.revoked.insert(whose);
                self.recount();
            }
            Ask::Cosign(lease)
                if !applier && matches!(self.leases[lease].at, Proposed | Authorized) && self.delegation_stands() =>
            {
                let signed = self.with(&self.leases[lease].signed, key);
                let met = self.met(&signed, self.cosign_rule());
                (self.leases[lease].at, self.leases[lease].signed) = (if met { Authorized } else { Proposed }, signed);
            }
            Ask::Thaw(number) if !applier && self.frozen && number == self.freezes => {
                self.thaws = self.with(&self.thaws, key);
                self.frozen = !self.met(&self.thaws, (self.policy.says.humans_promote, &[]));
            }
            Ask::Policy(name) if !applier => {
                let proposed = self.proposal.clone().filter(|file| file.name == name && self.can_follow(file));
                if let Some(proposed) = proposed {
                    let votes = self.with(&self.policy_votes.get(&ask).cloned().unwrap_or_default(), key);
                    if self.met(&votes, (1, &[])) || self.tally(&votes).0 >= 2 {
                        self.enacted = Some(proposed);
                    }
                    self.policy_votes.insert(ask, votes);
                }
            }
            Ask::Start(lease, step, _)
            | Ask::Promote(lease, step, _)
            | Ask::Resume(lease, step)
            | Ask::Complete(lease, step)
                if !applier && !self.frozen && step == self.leases[lease].next =>
            {
                self.forward(lease, key, ask);
            }
            _ => {}
        }
    }

    fn stop(&mut self, mut lease: usize, kind: StopKind, vote: (Key, Ask)) {
        // What is completed is not out of reach before the next one is: that one goes first, and a pause is of that one.
        let next = self.newest.filter(|next| self.leases[*next].before == Some(lease));
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
        let older = !matches!(at, Proposed | Authorized | Withdrawn) && self.newest != Some(lease);
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
            let Lease { at, signed, .. } = &self.leases[lease];
            if *at == Authorized && !self.met(signed, self.cosign_rule()) {
                self.leases[lease].at = Proposed;
            }
        }
    }

    fn forward(&mut self, lease: usize, key: Key, ask: Ask) {
        let at = self.leases[lease].at;
        let replaced = self.newest.filter(|other| self.leases[*other].at == Rolling(2));
        let busy = self.newest.is_some_and(|o| matches!(self.leases[o].at, Rolling(0 | 1) | Paused(_) | Halted));
        let after = match (ask, at) {
            (Ask::Start(_, _, 5), Authorized) if !busy && self.delegation_stands() => Rolling(0),
            (Ask::Promote(_, _, weight), Rolling(tier)) if TIERS.get(tier + 1) == Some(&weight) => Rolling(tier + 1),
            (Ask::Resume(..), Paused(tier)) => Rolling(tier),
            (Ask::Complete(..), Rolling(2)) => Completed,
            _ => return,
        };
        let votes = self.with(&self.leases[lease].votes.get(&ask).cloned().unwrap_or_default(), key);
        let alone_up_to = self.agent_alone_up_to.min(self.policy.says.delegable_up_to);
        let one_is_enough = match ask {
            Ask::Start(_, _, weight) => weight <= self.policy.says.start_up_to,
            Ask::Promote(_, _, weight) => weight <= alone_up_to && self.tally(&votes).1 >= 1,
            Ask::Complete(..) => true,
            _ => false,
        };
        let met = one_is_enough || self.met(&votes, self.promote_rule(lease));
        self.leases[lease].votes.insert(ask, votes);
        if met {
            if let (Ask::Start(..), Some(other)) = (ask, replaced) {
                self.take(other, Completed);
                self.leases[other].replaced_by = Some(lease);
            }
            if matches!(ask, Ask::Start(..)) {
                self.leases[lease].before = self.newest.filter(|other| self.leases[*other].at == Completed);
                self.newest = Some(lease);
                self.leases[lease].pinned = self.policy.says.own_promote;
            }
            self.take(lease, after);
        }
    }

    fn take(&mut self, lease: usize, after: At) {
        let lease = &mut self.leases[lease];
        (lease.at, lease.next) = (after, lease.next + 1);
        lease.votes.clear();
    }
}
