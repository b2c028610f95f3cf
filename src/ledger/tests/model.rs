//! The lifecycle once more, as the design tells it and as small as it gets: two leases (5, 25, 100) on one target,
//! rules of one human and one agent. Written without a look at the fold, to hold the fold against.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::StopKind;

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
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct World {
    pub(super) start_up_to: u8,
    pub(super) agent_alone_up_to: u8,
    pub(super) leases: [Lease; 2],
    newest: Option<usize>,
    pub(super) frozen: bool,
    pub(super) freezes: u32,
    pub(super) revoked: BTreeSet<Key>,
    thaws: BTreeSet<Key>,
    spent: BTreeSet<(Key, Ask)>,
}

fn role(key: Key) -> &'static str {
    ["user", "cp", "edge"].into_iter().find(|prefix| key.0.starts_with(prefix)).unwrap_or("nobody")
}

fn two(keys: &BTreeSet<Key>) -> bool {
    ["user", "cp"].iter().all(|wanted| keys.iter().any(|key| role(*key) == *wanted))
}

fn add(keys: &mut BTreeSet<Key>, key: Key) -> bool {
    keys.iter().all(|(principal, _)| *principal != key.0) && keys.insert(key)
}

impl World {
    pub(super) fn new(start_up_to: u8, agent_alone_up_to: u8) -> Self {
        let fresh = Lease { at: Proposed, next: 1, signed: [].into(), votes: [].into(), replaced_by: None };
        let leases = [fresh.clone(), fresh];
        let (revoked, thaws, spent) = ([].into(), [].into(), [].into());
        Self { start_up_to, agent_alone_up_to, leases, newest: None, frozen: false, freezes: 0, revoked, thaws, spent }
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
            _ => 6,
        });
        for (key, ask) in votes {
            if role(key) != "nobody" && !self.revoked.contains(&key) {
                self.vote(key, ask);
            }
        }
    }

    fn vote(&mut self, key: Key, ask: Ask) {
        let applier = role(key) == "edge";
        match ask {
            Ask::Stop(lease, kind, _) if !applier || key.0 == "edge1" => self.stop(lease, kind, (key, ask)),
            Ask::Freeze(_) if !applier && self.spent.insert((key, ask)) && !self.frozen => {
                (self.frozen, self.freezes) = (true, self.freezes + 1);
                self.thaws.clear();
            }
            Ask::Revoke(whose) if whose == key || (role(key) == "user" && role(whose) != "user") => self.revoke(whose),
            Ask::Cosign(lease) if !applier && matches!(self.leases[lease].at, Proposed | Authorized) => {
                let lease = &mut self.leases[lease];
                add(&mut lease.signed, key);
                lease.at = if two(&lease.signed) { Authorized } else { Proposed };
            }
            Ask::Thaw(number) if !applier && self.frozen && number == self.freezes => {
                add(&mut self.thaws, key);
                self.frozen = !two(&self.thaws);
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

    fn revoke(&mut self, key: Key) {
        self.revoked.insert(key);
        self.thaws.remove(&key);
        for lease in &mut self.leases {
            for keys in lease.votes.values_mut() {
                keys.remove(&key);
            }
            lease.signed.remove(&key);
            if lease.at == Authorized && !two(&lease.signed) {
                lease.at = Proposed;
            }
        }
    }

    fn forward(&mut self, lease: usize, key: Key, ask: Ask) {
        let at = self.leases[lease].at;
        let replaced = self.newest.filter(|other| self.leases[*other].at == Rolling(2));
        let busy = self.newest.is_some_and(|o| matches!(self.leases[o].at, Rolling(0 | 1) | Paused(_) | Halted));
        let after = match (ask, at) {
            (Ask::Start(_, _, 5), Authorized) if !busy => Rolling(0),
            (Ask::Promote(_, _, weight), Rolling(tier)) if TIERS.get(tier + 1) == Some(&weight) => Rolling(tier + 1),
            (Ask::Resume(..), Paused(tier)) => Rolling(tier),
            (Ask::Complete(..), Rolling(2)) => Completed,
            _ => return,
        };
        let keys = self.leases[lease].votes.entry(ask).or_default();
        add(keys, key);
        let one_is_enough = match ask {
            Ask::Start(_, _, weight) => weight <= self.start_up_to,
            Ask::Promote(_, _, weight) => weight <= self.agent_alone_up_to && keys.iter().any(|key| role(*key) == "cp"),
            Ask::Complete(..) => true,
            _ => false,
        };
        if one_is_enough || two(keys) {
            if let (Ask::Start(..), Some(other)) = (ask, replaced) {
                self.take(other, Completed);
                self.leases[other].replaced_by = Some(lease);
            }
            if matches!(ask, Ask::Start(..)) {
                self.newest = Some(lease);
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
