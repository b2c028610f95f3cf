//! Random and exhaustive sequences of votes, policies and stop refs: the fold against the model.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{
    model::{Ask, At, Groups, Key, Policy, PolicyFile, TIERS, World},
    story::{
        Draft, Paper, Rulebook, TARGETS, Who, freeze, lease, revoke, rulebook, said, seed, ssh, statement, thaw, who,
    },
};
use crate::{
    ledger::{Descent, Hypothesis, Phase, State, Step, apply, begin, forecast, hypothetical, stops_something},
    model::{Digest, PrincipalId, StopKind, Subject},
    signature::Cosignature,
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

/// One of each of the groups that every policy with a second human has.
const BOTH: Groups = &[&["user1", "user2"], &["user2"]];
const SECOND: Groups = &[&["user2"]];

/// A rule as it is written.
fn rule(humans: usize, from: Groups) -> String {
    let from = match from {
        [] => "",
        [_] => ", from: {second: 1}",
        _ => ", from: {first: 1, second: 1}",
    };
    format!("{{human: {humans}, agent: 1{from}}}")
}

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

    /// The first policy, in the model's words.
    fn first(&self) -> Policy {
        let names = ["user1", "user2", "user3", "cp14", "cp15", "cp20", "edge1", "edge2"];
        Policy {
            keys: names.into_iter().flat_map(|name| [(name, 0), (name, 1)]).collect(),
            humans_cosign: 1,
            humans_promote: 1,
            cosigned_from: &[],
            own_promote: None,
            start_up_to: self.start_up_to,
            delegable_up_to: self.alone_up_to,
        }
    }

    /// Policies that differ from the first in one thing.
    fn variant(&self, pick: u8) -> Policy {
        let mut policy = self.first();
        match pick {
            0 => policy.keys.retain(|key| key.0 != "cp15"),
            1 => policy.keys.retain(|key| *key != ("user1", 0)),
            2 => policy.keys.retain(|key| matches!(*key, ("user1" | "cp14" | "edge1" | "edge2", 0))),
            3 => policy.keys.extend([("mallory", 0)]),
            4 => policy.humans_cosign = 2,
            5 => policy.humans_promote = 2,
            6 => (policy.start_up_to, policy.delegable_up_to) = (99, 99),
            7 => (policy.start_up_to, policy.delegable_up_to) = (0, 0),
            8 => policy.keys.retain(|key| matches!(*key, ("user1" | "cp14", _) | ("edge1" | "edge2", 0))),
            9 => policy.keys.retain(|key| matches!(*key, ("user1" | "user2" | "cp14" | "edge1" | "edge2", 0))),
            11 => (policy.humans_cosign, policy.cosigned_from) = (2, BOTH),
            12 => policy.own_promote = Some((1, SECOND)),
            13 => policy.own_promote = Some((2, BOTH)),
            _ => {}
        }
        policy
    }

    /// A policy as a file that follows another, with what the model is told of it.
    fn write(says: Policy, before: &PolicyFile, version: u32) -> (Rulebook, PolicyFile) {
        let mut book = rulebook();
        book.principals.push(("mallory".to_owned(), "agent", vec![ssh(seed("mallory"))]));
        for (name, _, keys) in &mut book.principals {
            let listed = says.keys.iter().filter(|key| key.0 == name);
            *keys = listed.map(|key| ssh(seed(key.0) + 100 * key.1)).collect();
        }
        book.principals.retain(|(_, _, keys)| !keys.is_empty());
        let own = says.own_promote.map(|(humans, from)| format!(", rules: {{promote: {}}}", rule(humans, from)));
        let targets = TARGETS.replace("edge1}", &format!("edge1{}}}", own.unwrap_or_default()));
        let groups = if says.keys.iter().any(|key| key.0 == "user2") {
            "groups: {first: [user1, user2], second: [user2]}\n"
        } else {
            ""
        };
        let book = book.only(&format!(
            "{groups}{targets}start-up-to: {}\ndelegable-up-to: {}\nrules:\n  cosign: {}\n  promote: {}",
            says.start_up_to,
            says.delegable_up_to,
            rule(says.humans_cosign, says.cosigned_from),
            rule(says.humans_promote, &[])
        ));
        let book = Rulebook { version, previous: Some(before.name), ..book };
        let file = PolicyFile { name: book.digest(), previous: book.previous, says };
        (book, file)
    }

    pub(super) fn begin(&self) -> (State, World) {
        let root = Draft::new(0).policy(&self.rules).lease(&self.papers[0]).lease(&self.papers[1]).finish(None);
        let (state, report) = begin(&root).unwrap();
        assert_eq!(report.findings, []);
        let policy = PolicyFile { name: self.rules.digest(), previous: None, says: self.first() };
        (state, World::new(policy, self.alone_up_to))
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
            Ask::Policy(digest) => Subject::Policy { digest },
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
        if fold != model {
            return Err(format!("freezes and revocations: fold {fold:?}, model {model:?}"));
        }
        let (fold, model) = (state.policy().digest(), world.policy.name);
        if fold == model { Ok(()) } else { Err(format!("policy: the fold says {fold}, the model {model}")) }
    }
}

pub(super) fn holder(key: Key) -> Who {
    who(key.0).key(ssh(seed(key.0) + 100 * key.1))
}

/// What an [`Aim`] may be at: whatever is next, the policy in the tree, a key.
const NEXT: usize = 0;
const REVOKE: usize = 11;
const ENACT: usize = 12;

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
            NEXT => match world.leases[lease].at {
                _ if miss > 15
                    && let Some(name) = followable(world) =>
                {
                    Ask::Policy(name)
                }
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
            ENACT => world.proposal.as_ref().map_or(Ask::Cosign(lease), |file| Ask::Policy(file.name)),
            _ => Ask::Revoke(KEYS[usize::try_from(miss).unwrap() % (KEYS.len() - 1)]),
        };
        (KEYS[key], ask)
    }
}

/// The policy file in the tree, if it could be the next.
fn followable(world: &World) -> Option<Digest> {
    world.proposal.as_ref().filter(|file| world.can_follow(file)).map(|file| file.name)
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

/// How a vote comes: in the push, in it but from a history of its own, or, for a stop, under a ref of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Push,
    Foreign,
    StopRef,
}

/// What one step brings: a policy file perhaps (a new one, or the oldest again), votes, and the stops under refs if
/// somebody carries them over.
#[derive(Debug, Clone)]
struct Round {
    file: Option<u8>,
    aims: Vec<(Aim, Route)>,
    carries: Carries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    Nothing,
    TheStops,
}

/// The number of a policy file that was there before; smaller ones are [`Stage::variant`]s.
const OLDEST: u8 = 14;

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let route = || prop_oneof![16 => Just(Route::Push), 1 => Just(Route::Foreign), 3 => Just(Route::StopRef)];
    let one = prop::collection::vec((aim(), route()), 1..2);
    let several = prop::collection::vec((aim(), route()), 2..5);
    let aims = prop_oneof![3 => one, 1 => several];
    let file = prop_oneof![4 => Just(None), 1 => (0..=OLDEST).prop_map(Some)];
    let carries = prop_oneof![4 => Just(Carries::Nothing), 1 => Just(Carries::TheStops)];
    let round = (file, aims, carries).prop_map(|(file, aims, carries)| vec![Round { file, aims, carries }]);
    let rounds = prop_oneof![12 => round.boxed(), 1 => strands().boxed(), 1 => leaves_and_returns().boxed()];
    prop::collection::vec(rounds, 1..60).prop_map(|rounds| rounds.concat())
}

/// A step that brings a file perhaps, and one vote of each of some keys.
fn plain(file: Option<u8>, keys: &[usize], action: usize, lease: usize) -> Round {
    // A key revokes itself; whatever else it signs hits.
    let miss = |key| if action == REVOKE { u32::try_from(key).unwrap() } else { 9 };
    let aim = |key| (Aim { key, lease, action, miss: miss(key), number: 1 }, Route::Push);
    Round { file, aims: keys.iter().copied().map(aim).collect(), carries: Carries::Nothing }
}

/// Keys revoke themselves, and then a policy is wanted in which few others have a key.
fn strands() -> impl Strategy<Value = Vec<Round>> {
    let revoked = prop::sample::subsequence(vec![0, 2, 3, 4], 0..4);
    (revoked, prop::sample::select(vec![2, 8, 9])).prop_map(|(revoked, file)| {
        let voters = [1, 2, 5];
        vec![plain(None, &revoked, REVOKE, 0), plain(Some(file), &[], NEXT, 0), plain(None, &voters, ENACT, 0)]
    })
}

/// A key is turned, leaves the policy, others are turned meanwhile, and it is listed again.
fn leaves_and_returns() -> impl Strategy<Value = Vec<Round>> {
    let meanwhile = prop::sample::subsequence(vec![1, 2, 3, 4], 0..3);
    // Who leaves by which policy; the tenth is the first one again.
    let leaver = prop::sample::select(vec![(5, 0), (0, 1)]);
    let last = prop::sample::select(vec![2, 4, 5]);
    (leaver, meanwhile, last, 0..2_usize).prop_map(|((leaver, without), meanwhile, last, lease)| {
        let next = |keys: &[usize]| plain(None, keys, NEXT, lease);
        let policy = |file| [plain(Some(file), &[], NEXT, lease), plain(None, &[2, 1, 3, 4], ENACT, lease)];
        let ([leaves, left], [returns, back]) = (policy(without), policy(10));
        vec![next(&[leaver]), leaves, left, next(&meanwhile), returns, back, next(&[last])]
    })
}

/// A run of both: what was filed, what lies under stop refs, and how far the two have come.
struct Run {
    stage: Stage,
    state: State,
    world: World,
    filed: Vec<(Rulebook, PolicyFile)>,
    stop_refs: Vec<(Key, Ask)>,
    told: Vec<String>,
}

impl Run {
    fn new(stage: Stage) -> Self {
        let (state, world) = stage.begin();
        Self { stage, state, world, filed: Vec::new(), stop_refs: Vec::new(), told: Vec::new() }
    }

    fn round(&mut self, number: u32, round: &Round) -> Result<(), String> {
        let mut draft = Draft::new(number);
        if let Some(pick) = round.file {
            let version = self.state.policy().get().version + 1;
            let (book, file) = match self.filed.first() {
                Some(oldest) if pick == OLDEST => oldest.clone(),
                _ => Stage::write(self.stage.variant(pick), &self.world.policy, version),
            };
            self.filed.push((book.clone(), file.clone()));
            draft = draft.policy(&book);
            self.world.proposal = Some(file);
        }
        let mut votes = Vec::new();
        for (aim, route) in &round.aims {
            let (key, ask) = aim.vote(&self.world);
            let stop = matches!(ask, Ask::Stop(..) | Ask::Freeze(_));
            match route {
                Route::StopRef if stop => self.stop_refs.push((key, ask)),
                Route::Foreign => {
                    let statement = statement(self.stage.subject(ask));
                    draft = draft.carrier(holder(key), statement, Descent::Foreign);
                }
                Route::Push | Route::StopRef => votes.push((key, ask)),
            }
        }
        if round.carries == Carries::TheStops {
            votes.extend(&self.stop_refs);
        }
        for (key, ask) in &votes {
            draft = draft.vote(holder(*key), self.stage.subject(*ask));
        }
        self.told.push(format!("{:?} {votes:?} {:?}", round.file, self.stop_refs));
        for (key, ask) in votes.iter().chain(&self.stop_refs) {
            let vote = self.signed(*key, *ask);
            let whole = hypothetical(&self.state, Hypothesis::Signed(std::slice::from_ref(&vote))).1;
            let alone = forecast(&self.state, &vote);
            if alone != whole {
                return Err(format!("{vote:?}: {alone:?}, with everything at hand {whole:?}"));
            }
            if vote.statement().action().stops() && stops_something(&self.state, &vote) != said(&whole) {
                return Err(format!("{vote:?}: {:?}, folded {whole:?}", stops_something(&self.state, &vote)));
            }
        }
        self.state = apply(self.state.clone(), &draft.finish(None)).0;
        self.world.step(votes);
        self.stage.agree(&self.state, &self.world)?;
        self.look_ahead()
    }

    /// What an applier sees: the ledger and the stops that wait under refs.
    fn look_ahead(&self) -> Result<(), String> {
        let signed: Vec<_> = self.stop_refs.iter().map(|(key, ask)| self.signed(*key, *ask)).collect();
        let (state, _) = hypothetical(&self.state, Hypothesis::Signed(&signed));
        let mut world = self.world.clone();
        world.step(self.stop_refs.clone());
        self.stage.agree(&state, &world).map_err(|wrong| format!("with the stop refs: {wrong}"))
    }

    fn signed(&self, key: Key, ask: Ask) -> Cosignature {
        let Who { claims, key, carrier, presence } = holder(key);
        let claims = PrincipalId::parse(&claims).unwrap();
        Cosignature::literal(key, statement(self.stage.subject(ask)), claims, carrier, presence)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fold_does_what_the_model_does((start, alone) in stages(), rounds in rounds()) {
        let mut run = Run::new(Stage::new(start, alone));
        for (number, round) in rounds.iter().enumerate() {
            let done = run.round(u32::try_from(number).unwrap() + 1, round);
            prop_assert_eq!(done, Ok(()), "after {:?}", run.told);
        }
    }
}

/// Every sequence of votes up to a length, state by state: sequences that lead to the same state go on alike.
fn every_sequence(stage: &Stage, keys: &[Key], length: usize) -> usize {
    every_sequence_from(stage, stage.begin(), alphabet, keys, length)
}

fn every_sequence_from(
    stage: &Stage,
    begin: (State, World),
    alphabet: impl Fn(&World) -> Vec<Ask>,
    keys: &[Key],
    length: usize,
) -> usize {
    let mut level = vec![begin];
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

/// What can happen to two leases on one target, of which the second may start.
fn alphabet_of_two(world: &World) -> Vec<Ask> {
    let stops = |lease| [StopKind::Pause, StopKind::Halt, StopKind::Rollback].map(|kind| Ask::Stop(lease, kind, 1));
    let [first, next] = [0, 1].map(|lease| world.leases[lease].next);
    let tier = if let At::Rolling(at) = world.leases[1].at { TIERS[(at + 1).min(2)] } else { 5 };
    let forward =
        [Ask::Complete(0, first), Ask::Start(1, next, 5), Ask::Promote(1, next, tier), Ask::Complete(1, next)];
    [&forward[..], &stops(0), &stops(1)].concat()
}

#[test]
fn every_short_sequence_over_two_leases_does_what_the_model_does() {
    let stage = Stage::new(10, 99);
    let (mut state, mut world) = stage.begin();
    let both = |ask| [(("user1", 0), ask), (("cp14", 0), ask)];
    let full = [Ask::Cosign(0), Ask::Cosign(1), Ask::Start(0, 1, 5), Ask::Promote(0, 2, 25), Ask::Promote(0, 3, 100)];
    for ask in full {
        for vote in both(ask) {
            state = apply(state, &stage.step(1, &[vote])).0;
            world.step(vec![vote]);
        }
    }
    stage.agree(&state, &world).unwrap();
    assert_eq!(stage.weights(&state), [100, 0]);
    state.length = 0;
    let keys = [("user1", 0), ("cp14", 0)];
    let states = every_sequence_from(&stage, (state, world), alphabet_of_two, &keys, 4);
    assert!(states > 200, "{states}");
}
