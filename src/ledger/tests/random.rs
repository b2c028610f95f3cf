//! Random and exhaustive sequences of votes: the fold against the model.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{
    model::{Ask, At, Key, TIERS, World},
    story::{Draft, Paper, Rulebook, Who, freeze, lease, revoke, rulebook, seed, ssh, thaw, who},
};
use crate::{
    ledger::{Phase, State, Step, apply, begin},
    model::{StopKind, Subject},
};

pub(super) const KEYS: [Key; 9] = [
    ("user1", 0),
    ("user1", 1),
    ("user2", 0),
    ("cp14", 0),
    ("cp14", 1),
    ("cp15", 0),
    ("edge1", 0),
    ("edge2", 0),
    ("mallory", 0),
];

pub(super) const STOPS: [StopKind; 4] = [StopKind::Pause, StopKind::Halt, StopKind::Rollback, StopKind::Withdraw];

/// The same world for both: a policy, two leases on one target, already proposed.
pub(super) struct Stage {
    pub(super) papers: [Paper; 2],
    pub(super) rules: Rulebook,
    start_up_to: u8,
    alone_up_to: u8,
}

impl Stage {
    pub(super) fn new(start_up_to: u8, alone_up_to: u8) -> Self {
        let line = format!("agent-alone-up-to: {alone_up_to}");
        Self {
            papers: [lease("L1").with(&line), lease("L2").with(&line)],
            rules: rulebook().with(&format!("start-up-to: {start_up_to}\ndelegable-up-to: {alone_up_to}")),
            start_up_to,
            alone_up_to,
        }
    }

    pub(super) fn begin(&self) -> (State, World) {
        let root = Draft::new(0).policy(&self.rules).lease(&self.papers[0]).lease(&self.papers[1]).finish(None);
        let (state, report) = begin(&root).unwrap();
        assert_eq!(report.findings, []);
        (state, World::new(self.start_up_to, self.alone_up_to))
    }

    pub(super) fn subject(&self, ask: Ask) -> Subject {
        match ask {
            Ask::Cosign(lease) => self.papers[lease].cosign(),
            Ask::Start(lease, step, tier) => self.papers[lease].start_as(step, tier),
            Ask::Promote(lease, step, tier) => self.papers[lease].promote(step, tier),
            Ask::Resume(lease, step) => self.papers[lease].resume(step),
            Ask::Complete(lease, step) => self.papers[lease].complete(step),
            Ask::Stop(lease, kind, nonce) => self.papers[lease].stop(kind, nonce),
            Ask::Freeze(nonce) => freeze(nonce),
            Ask::Thaw(number) => thaw(number),
            Ask::Revoke(key) => revoke(&ssh(seed(key.0) + 100 * key.1)),
        }
    }

    pub(super) fn step(&self, number: u32, votes: &[(Key, Ask)]) -> Step {
        let draft =
            votes.iter().fold(Draft::new(number), |draft, (key, ask)| draft.vote(holder(*key), self.subject(*ask)));
        draft.finish(None)
    }

    pub(super) fn phase(&self, state: &State, lease: usize) -> (Phase, u8, u32) {
        state
            .lease(&self.papers[lease].lease_id())
            .map_or((Phase::Proposed, 0, 1), |lease| (lease.phase, lease.weight(), lease.next_step()))
    }

    pub(super) fn weights(&self, state: &State) -> [u8; 2] {
        [0, 1].map(|lease| self.phase(state, lease).1)
    }

    /// What the fold says and what the model says, in the same words.
    fn agree(&self, state: &State, world: &World) -> Result<(), String> {
        for lease in [0, 1] {
            let phase = match world.leases[lease].at {
                At::Proposed => Phase::Proposed,
                At::Authorized => Phase::Authorized,
                At::Rolling(tier) => Phase::Rolling { tier },
                At::Paused(tier) => Phase::Paused { tier },
                At::Halted => Phase::Halted,
                At::Completed => Phase::Completed,
                At::RolledBack => Phase::RolledBack,
                At::Withdrawn => Phase::Withdrawn,
            };
            let (fold, model) = (self.phase(state, lease), (phase, world.weight(lease), world.leases[lease].next));
            if fold != model {
                return Err(format!("lease {lease}: the fold says {fold:?}, the model {model:?}"));
            }
        }
        let fold = (state.frozen().is_some(), state.freezes(), state.revoked().len());
        let model = (world.frozen, world.freezes, world.revoked.len());
        if fold == model { Ok(()) } else { Err(format!("freezes and revocations: fold {fold:?}, model {model:?}")) }
    }
}

pub(super) fn holder(key: Key) -> Who {
    who(key.0).key(ssh(seed(key.0) + 100 * key.1))
}

/// A random vote, aimed at what is next with a few that miss.
#[derive(Debug, Clone)]
pub(super) struct Aim {
    key: usize,
    lease: usize,
    action: usize,
    miss: u32,
    number: u8,
}

pub(super) fn aim() -> impl Strategy<Value = Aim> {
    let action = prop_oneof![40 => 0..1_usize, 4 => 1..5_usize, 3 => 5..9_usize, 1 => 9..12_usize];
    (0..KEYS.len(), 0..2_usize, action, 0..20_u32, 1..3_u8).prop_map(|(key, lease, action, miss, number)| Aim {
        key,
        lease,
        action,
        miss,
        number,
    })
}

impl Aim {
    pub(super) fn vote(&self, world: &World) -> (Key, Ask) {
        let Self { key, lease, action, miss, number } = *self;
        let next = match miss {
            0 => world.leases[lease].next.saturating_sub(1),
            1 => world.leases[lease].next + 1,
            _ => world.leases[lease].next,
        };
        let tier = match (world.leases[lease].at, miss) {
            (_, 2) => TIERS[usize::from(number)],
            (At::Rolling(tier), _) => TIERS[(tier + 1).min(2)],
            _ => 5,
        };
        let ask = match action {
            // What is next, mostly.
            0 => match world.leases[lease].at {
                _ if world.frozen && miss > 9 => Ask::Thaw(world.freezes),
                At::Authorized => Ask::Start(lease, next, tier),
                At::Rolling(2) if miss > 14 => Ask::Complete(lease, next),
                At::Rolling(_) => Ask::Promote(lease, next, tier),
                At::Paused(_) => Ask::Resume(lease, next),
                _ => Ask::Cosign(lease),
            },
            1 => Ask::Start(lease, next, tier),
            2 => Ask::Promote(lease, next, tier),
            3 => Ask::Resume(lease, next),
            4 => Ask::Complete(lease, next),
            5..9 => Ask::Stop(lease, STOPS[action - 5], number),
            9 => Ask::Freeze(number),
            10 => Ask::Thaw(world.freezes - u32::from(miss == 0).min(world.freezes)),
            _ => Ask::Revoke(KEYS[usize::try_from(miss).unwrap() % (KEYS.len() - 1)]),
        };
        (KEYS[key], ask)
    }
}

/// Steps of one vote, and of several.
pub(super) fn sequences() -> impl Strategy<Value = Vec<Vec<Aim>>> {
    let one = prop::collection::vec(aim(), 1..2);
    let several = prop::collection::vec(aim(), 2..5);
    prop::collection::vec(prop_oneof![3 => one, 1 => several], 1..60)
}

pub(super) fn stages() -> impl Strategy<Value = (u8, u8)> {
    (prop::sample::select(vec![0, 4, 5, 99]), prop::sample::select(vec![0, 24, 25, 99]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fold_does_what_the_model_does((start, alone) in stages(), steps in sequences()) {
        let stage = Stage::new(start, alone);
        let (mut state, mut world) = stage.begin();
        let mut told = Vec::new();
        for (number, aims) in steps.iter().enumerate() {
            let votes: Vec<_> = aims.iter().map(|aim| aim.vote(&world)).collect();
            told.push(votes.clone());
            let step = stage.step(u32::try_from(number).unwrap() + 1, &votes);
            state = apply(state, &step).0;
            world.step(votes);
            prop_assert_eq!(stage.agree(&state, &world), Ok(()), "after {:?}", told);
        }
    }
}

/// Every sequence of votes up to a length, state by state: sequences that lead to the same state go on alike.
fn every_sequence(stage: &Stage, keys: &[Key], length: usize) -> usize {
    let mut level = vec![stage.begin()];
    let mut seen = HashSet::new();
    for _ in 0..length {
        let mut after = Vec::new();
        for (state, world) in &level {
            for key in keys {
                for ask in alphabet(world) {
                    let (mut state, mut world) = (state.clone(), world.clone());
                    // The same commit each time, so that equal states are equal.
                    state = apply(state, &stage.step(1, &[(*key, ask)])).0;
                    state.length = 0;
                    world.step(vec![(*key, ask)]);
                    stage.agree(&state, &world).unwrap_or_else(|wrong| panic!("{key:?} {ask:?}: {wrong}"));
                    if seen.insert(format!("{state:?} {world:?}")) {
                        after.push((state, world));
                    }
                }
            }
        }
        level = after;
    }
    seen.len()
}

fn alphabet(world: &World) -> Vec<Ask> {
    let next = world.leases[0].next;
    let tier = if let At::Rolling(at) = world.leases[0].at { TIERS[(at + 1).min(2)] } else { 5 };
    let stop = |kind| Ask::Stop(0, kind, 1);
    vec![
        Ask::Cosign(0),
        Ask::Start(0, next, 5),
        Ask::Promote(0, next, tier),
        stop(StopKind::Pause),
        Ask::Resume(0, next),
        stop(StopKind::Halt),
        stop(StopKind::Rollback),
        Ask::Complete(0, next),
    ]
}

#[test]
fn every_short_sequence_of_two_keys_does_what_the_model_does() {
    let states = every_sequence(&Stage::new(10, 0), &[("user1", 0), ("cp14", 0)], 6);
    assert!(states > 100, "{states}");
    every_sequence(&Stage::new(0, 25), &[("user1", 0), ("cp14", 0)], 6);
}

#[test]
fn every_short_sequence_of_one_principal_leaves_the_weight_at_nothing() {
    for keys in [
        [("user1", 0), ("user1", 1)],
        [("cp14", 0), ("cp14", 1)],
        [("user1", 0), ("user2", 0)],
        [("cp14", 0), ("cp15", 0)],
    ] {
        let stage = Stage::new(99, 99);
        let (mut state, world) = stage.begin();
        for (number, (key, ask)) in
            keys.iter().flat_map(|key| alphabet(&world).into_iter().map(move |ask| (*key, ask))).enumerate()
        {
            state = apply(state, &stage.step(u32::try_from(number).unwrap() + 1, &[(key, ask)])).0;
            assert_eq!(stage.weights(&state), [0, 0]);
        }
        every_sequence(&stage, &keys, 4);
    }
}
