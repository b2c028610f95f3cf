//! Random and exhaustive sequences of votes, policies and stop refs: the fold against the model.

mod exhaustive;

use std::collections::HashSet;

use proptest::prelude::*;

use super::{
    model::{
        Groups, Key, LeaseTerms, ModelAsk, ModelPolicy, ModelRule, ModelState, ONE, PolicyFile, SeenHardware, USUAL,
        Waits, World,
    },
    story::{
        Paper, Rulebook, StepDraft, TARGETS, Voter, freeze, lease, result_of, revoke, rulebook, seed, sk, ssh,
        statement, thaw, who,
    },
};
use crate::{
    ledger::{Descent, Hypothesis, Phase, State, Step, apply, begin, forecast, hypothetical, stops_something},
    model::{Digest, PrincipalId, PublicKey, StopKind, Subject},
    signature::{Cosignature, Presence},
};

pub(super) const KEYS: [Key; 12] = [
    ("user1", 0),
    ("user1", 1),
    ("user2", 0),
    ("cp14", 0),
    ("cp14", 1),
    ("cp15", 0),
    ("edge1", 0),
    ("edge2", 0),
    ("mallory", 0),
    ("user1", 2),
    ("user2", 3),
    ("user2", 4),
];
/// Those of them that are in hardware.
const HARD: [Key; 3] = [KEYS[9], KEYS[10], KEYS[11]];

/// A key as a policy lists it.
fn public((name, which): Key) -> PublicKey {
    let seed = seed(name);
    match which {
        0 => ssh(seed),
        1 => ssh(seed + 100),
        2 => sk(seed + 50),
        3 => sk(seed + 150),
        _ => sk(seed + 200),
    }
}

/// One of each of the groups that every policy with a second human has.
const BOTH: Groups = &[&["user1", "user2"], &["user2"]];
const SECOND: Groups = &[&["user2"]];

/// A rule as it is written.
fn rule(ModelRule { humans, from, shown }: ModelRule) -> String {
    let from = match from {
        [] => "",
        [_] => ", from: {second: 1}",
        _ => ", from: {first: 1, second: 1}",
    };
    let hardware = match shown {
        SeenHardware::Nothing => "",
        SeenHardware::Touch => ", hardware: true",
        SeenHardware::Person => ", hardware: verified",
    };
    format!("{{human: {humans}, agent: 1{from}{hardware}}}")
}

pub(super) const STOPS: [StopKind; 4] = [StopKind::Pause, StopKind::Halt, StopKind::Rollback, StopKind::Withdraw];

/// The same world for both: a policy and two leases, already proposed.
pub(super) struct RandomStage {
    pub(super) papers: [Paper; 2],
    pub(super) rules: Rulebook,
    says: [LeaseTerms; 2],
    first: ModelPolicy,
    alone_up_to: u8,
}

/// A lease as it is written.
fn paper(id: &'static str, says: LeaseTerms, alone_up_to: u8) -> Paper {
    let here = ["web", "db"];
    let mut paper = lease(id).on(here[says.target]).of(says.artifacts);
    paper = paper.with(&format!("agent-alone-up-to: {alone_up_to}"));
    if says.tiers != USUAL.tiers {
        let tiers: Vec<_> = says.tiers.iter().map(|weight| format!("{{weight: {weight}, bake: 15m}}")).collect();
        paper = paper.with(&format!("tiers: [{}]", tiers.join(", ")));
    }
    let there = here[1 - says.target];
    paper = match says.waits {
        Waits::Nothing => paper,
        Waits::Any => paper.with(&format!("after: [{{target: {there}, state: completed}}]")),
        Waits::Same => paper.with(&format!("after: [{{target: {there}, state: completed, artifacts: same}}]")),
    };
    if says.exception { paper.with("exception: true") } else { paper }
}

impl RandomStage {
    pub(super) fn new(start_up_to: u8, alone_up_to: u8) -> Self {
        Self::of(start_up_to, alone_up_to, [USUAL; 2])
    }

    /// The same with other leases.
    fn of(start_up_to: u8, alone_up_to: u8, says: [LeaseTerms; 2]) -> Self {
        let keys = |name| KEYS.into_iter().filter(move |key| key.0 == name && HARD.contains(key)).map(public);
        let of = |name| [ssh(seed(name)), ssh(seed(name) + 100)].into_iter().chain(keys(name)).collect::<Vec<_>>();
        let rules = rulebook().keys("user1", &of("user1")).keys("user2", &of("user2"));
        let names = ["user1", "user2", "user3", "cp14", "cp15", "cp20", "edge1", "edge2"];
        let first = ModelPolicy {
            keys: names.into_iter().flat_map(|name| [(name, 0), (name, 1)]).chain(HARD).collect(),
            cosign: ONE,
            promote: ONE,
            own_promote: None,
            at_once: false,
            start_up_to,
            delegable_up_to: alone_up_to,
        };
        Self {
            papers: [paper("L1", says[0], alone_up_to), paper("L2", says[1], alone_up_to)],
            rules: rules.with(&format!("start-up-to: {start_up_to}\ndelegable-up-to: {alone_up_to}")),
            says,
            first,
            alone_up_to,
        }
    }

    /// The same under another first policy.
    fn under(self, change: impl FnOnce(&mut ModelPolicy)) -> Self {
        let mut first = self.first.clone();
        change(&mut first);
        Self { rules: Self::book(&first), first, ..self }
    }

    /// Policies that differ from the first in one thing.
    fn variant(&self, pick: u8) -> ModelPolicy {
        let mut policy = self.first.clone();
        match pick {
            0 => policy.keys.retain(|key| key.0 != "cp15"),
            1 => policy.keys.retain(|key| *key != ("user1", 0)),
            2 => policy.keys.retain(|key| matches!(*key, ("user1" | "cp14" | "edge1" | "edge2", 0))),
            3 => policy.keys.extend([("mallory", 0)]),
            4 => policy.cosign.humans = 2,
            5 => policy.promote.humans = 2,
            6 => (policy.start_up_to, policy.delegable_up_to) = (99, 99),
            7 => (policy.start_up_to, policy.delegable_up_to) = (0, 0),
            8 => policy.keys.retain(|key| matches!(*key, ("user1" | "cp14", _) | ("edge1" | "edge2", 0))),
            9 => policy.keys.retain(|key| matches!(*key, ("user1" | "user2" | "cp14" | "edge1" | "edge2", 0))),
            11 => policy.cosign = ModelRule { humans: 2, from: BOTH, ..ONE },
            12 => policy.own_promote = Some(ModelRule { from: SECOND, ..ONE }),
            13 => policy.own_promote = Some(ModelRule { humans: 2, from: BOTH, ..ONE }),
            14 => policy.cosign.shown = SeenHardware::Touch,
            15 => policy.promote.shown = SeenHardware::Person,
            16 => policy.at_once = true,
            _ => {}
        }
        policy
    }

    /// A policy as a file that follows another, with what the model is told of it.
    fn write(says: ModelPolicy, before: &PolicyFile, version: u32) -> (Rulebook, PolicyFile) {
        let book = Rulebook { version, previous: Some(before.name), ..Self::book(&says) };
        let file = PolicyFile { name: book.digest(), previous: book.previous, says };
        (book, file)
    }

    fn book(says: &ModelPolicy) -> Rulebook {
        let mut book = rulebook();
        book.principals.push(("mallory".to_owned(), "agent", Vec::new()));
        for (name, _, keys) in &mut book.principals {
            *keys = says.keys.iter().filter(|key| key.0 == name).map(|key| public(*key)).collect();
        }
        book.principals.retain(|(_, _, keys)| !keys.is_empty());
        let own = says.own_promote.map(|own| format!(", rules: {{promote: {}}}", rule(own))).unwrap_or_default();
        let at_once = if says.at_once { ", all-at-once: true" } else { "" };
        let targets = TARGETS.replace("edge1}", &format!("edge1{own}{at_once}}}"));
        let groups = if says.keys.iter().any(|key| key.0 == "user2") {
            "groups: {first: [user1, user2], second: [user2]}\n"
        } else {
            ""
        };
        book.only(&format!(
            "{groups}{targets}start-up-to: {}\ndelegable-up-to: {}\nrules:\n  cosign: {}\n  promote: {}",
            says.start_up_to,
            says.delegable_up_to,
            rule(says.cosign),
            rule(says.promote)
        ))
    }

    pub(super) fn begin(&self) -> (State, World) {
        let root = StepDraft::new(0).policy(&self.rules).lease(&self.papers[0]).lease(&self.papers[1]).finish(None);
        let (state, report) = begin(&root).unwrap();
        assert_eq!(report.findings, []);
        let policy = PolicyFile { name: self.rules.digest(), previous: None, says: self.first.clone() };
        (state, World::new(policy, self.alone_up_to, self.says))
    }

    pub(super) fn subject(&self, ask: ModelAsk) -> Subject {
        match ask {
            ModelAsk::Cosign(lease) => self.papers[lease].cosign(),
            ModelAsk::Start(lease, step, tier) => self.papers[lease].start_as(step, tier),
            ModelAsk::Promote(lease, step, tier) => self.papers[lease].promote(step, tier),
            ModelAsk::Resume(lease, step) => self.papers[lease].resume(step),
            ModelAsk::Complete(lease, step) => self.papers[lease].complete(step),
            ModelAsk::Stop(lease, kind, nonce) => self.papers[lease].stop(kind, nonce),
            ModelAsk::Freeze(nonce) => freeze(nonce),
            ModelAsk::Thaw(number) => thaw(number),
            ModelAsk::Revoke(key) => revoke(&public(key)),
            ModelAsk::Policy(digest) => Subject::Policy { digest },
        }
    }

    pub(super) fn step(&self, number: u32, votes: &[(Key, ModelAsk)]) -> Step {
        let draft =
            votes.iter().fold(StepDraft::new(number), |draft, (key, ask)| draft.vote(holder(*key), self.subject(*ask)));
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
                ModelState::Proposed => Phase::Proposed,
                ModelState::Authorized => Phase::Authorized,
                ModelState::Rolling(tier) => Phase::Rolling { tier },
                ModelState::Paused(tier) => Phase::Paused { tier },
                ModelState::Halted => Phase::Halted,
                ModelState::Completed => Phase::Completed,
                ModelState::RolledBack => Phase::RolledBack,
                ModelState::Withdrawn => Phase::Withdrawn,
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

pub(super) fn holder(key: Key) -> Voter {
    let who = who(key.0).key(public(key));
    match key.1 {
        2 => who.touched(),
        3 => who.verified(),
        4 => Voter { presence: Presence::Copied, ..who },
        _ => who,
    }
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
    pub(super) fn vote(&self, world: &World) -> (Key, ModelAsk) {
        let Self { key, lease, action, miss, number } = *self;
        let next = match miss {
            0 => world.leases[lease].next.saturating_sub(1),
            1 => world.leases[lease].next + 1,
            _ => world.leases[lease].next,
        };
        let tiers = world.says[lease].tiers;
        let tier = match (world.leases[lease].at, miss) {
            (_, 2) => tiers[usize::from(number).min(tiers.len() - 1)],
            (ModelState::Rolling(tier), _) => tiers[(tier + 1).min(tiers.len() - 1)],
            _ => tiers[0],
        };
        let ask = match action {
            NEXT => match world.leases[lease].at {
                _ if miss > 15
                    && let Some(name) = followable(world) =>
                {
                    ModelAsk::Policy(name)
                }
                _ if world.frozen && miss > 9 => ModelAsk::Thaw(world.freezes),
                ModelState::Authorized => ModelAsk::Start(lease, next, tier),
                ModelState::Rolling(tier) if tier == world.last(lease) && miss > 14 => ModelAsk::Complete(lease, next),
                ModelState::Rolling(_) => ModelAsk::Promote(lease, next, tier),
                ModelState::Paused(_) => ModelAsk::Resume(lease, next),
                _ => ModelAsk::Cosign(lease),
            },
            1 => ModelAsk::Start(lease, next, tier),
            2 => ModelAsk::Promote(lease, next, tier),
            3 => ModelAsk::Resume(lease, next),
            4 => ModelAsk::Complete(lease, next),
            5..9 => ModelAsk::Stop(lease, STOPS[action - 5], number),
            9 => ModelAsk::Freeze(number),
            10 => ModelAsk::Thaw(world.freezes - u32::from(miss == 0).min(world.freezes)),
            ENACT => world.proposal.as_ref().map_or(ModelAsk::Cosign(lease), |file| ModelAsk::Policy(file.name)),
            _ => ModelAsk::Revoke(KEYS[usize::try_from(miss).unwrap() % KEYS.len()]),
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

/// All at once.
const AT_ONCE: LeaseTerms = LeaseTerms { tiers: &[100], ..USUAL };
/// What has to run on the other target first.
const FIRST: LeaseTerms = LeaseTerms { target: 1, ..USUAL };

/// Two leases as people propose them: on one target, one after the other on two, all at once, outside the hours.
fn leases() -> impl Strategy<Value = [LeaseTerms; 2]> {
    let waits = |waits| LeaseTerms { waits, ..USUAL };
    let exception = LeaseTerms { exception: true, ..USUAL };
    prop::sample::select(vec![
        [USUAL; 2],
        [USUAL; 2],
        [FIRST, waits(Waits::Same)],
        [FIRST, LeaseTerms { artifacts: &["a", "b"], ..waits(Waits::Same) }],
        [LeaseTerms { artifacts: &["a", "b"], ..FIRST }, waits(Waits::Same)],
        [LeaseTerms { artifacts: &["b"], ..FIRST }, waits(Waits::Any)],
        [AT_ONCE, USUAL],
        [AT_ONCE; 2],
        [exception, USUAL],
    ])
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
struct RandomStep {
    file: Option<u8>,
    aims: Vec<(Aim, Route)>,
    carries: Carries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    Nothing,
    TheStops,
}

/// The number of a policy file that was there before; smaller ones are [`RandomStage::variant`]s.
const OLDEST: u8 = 17;

fn rounds() -> impl Strategy<Value = Vec<RandomStep>> {
    let route = || prop_oneof![16 => Just(Route::Push), 1 => Just(Route::Foreign), 3 => Just(Route::StopRef)];
    let one = prop::collection::vec((aim(), route()), 1..2);
    let several = prop::collection::vec((aim(), route()), 2..5);
    let aims = prop_oneof![3 => one, 1 => several];
    let file = prop_oneof![4 => Just(None), 1 => (0..=OLDEST).prop_map(Some)];
    let carries = prop_oneof![4 => Just(Carries::Nothing), 1 => Just(Carries::TheStops)];
    let round = (file, aims, carries).prop_map(|(file, aims, carries)| vec![RandomStep { file, aims, carries }]);
    let rounds = prop_oneof![12 => round.boxed(), 1 => strands().boxed(), 1 => leaves_and_returns().boxed()];
    prop::collection::vec(rounds, 1..60).prop_map(|rounds| rounds.concat())
}

/// A step that brings a file perhaps, and one vote of each of some keys.
fn plain(file: Option<u8>, keys: &[usize], action: usize, lease: usize) -> RandomStep {
    // A key revokes itself; whatever else it signs hits.
    let miss = |key| if action == REVOKE { u32::try_from(key).unwrap() } else { 9 };
    let aim = |key| (Aim { key, lease, action, miss: miss(key), number: 1 }, Route::Push);
    RandomStep { file, aims: keys.iter().copied().map(aim).collect(), carries: Carries::Nothing }
}

/// Keys revoke themselves, and then a policy is wanted in which few others have a key.
fn strands() -> impl Strategy<Value = Vec<RandomStep>> {
    let revoked = prop::sample::subsequence(vec![0, 2, 3, 4], 0..4);
    (revoked, prop::sample::select(vec![2, 8, 9])).prop_map(|(revoked, file)| {
        let voters = [1, 2, 5];
        vec![plain(None, &revoked, REVOKE, 0), plain(Some(file), &[], NEXT, 0), plain(None, &voters, ENACT, 0)]
    })
}

/// A key is turned, leaves the policy, others are turned meanwhile, and it is listed again.
fn leaves_and_returns() -> impl Strategy<Value = Vec<RandomStep>> {
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
    stage: RandomStage,
    state: State,
    world: World,
    filed: Vec<(Rulebook, PolicyFile)>,
    stop_refs: Vec<(Key, ModelAsk)>,
    log: Vec<String>,
}

impl Run {
    fn new(stage: RandomStage) -> Self {
        let (state, world) = stage.begin();
        Self { stage, state, world, filed: Vec::new(), stop_refs: Vec::new(), log: Vec::new() }
    }

    fn round(&mut self, number: u32, round: &RandomStep) -> Result<(), String> {
        let mut draft = StepDraft::new(number);
        if let Some(pick) = round.file {
            let version = self.state.policy().get().version + 1;
            let (book, file) = match self.filed.first() {
                Some(oldest) if pick == OLDEST => oldest.clone(),
                _ => RandomStage::write(self.stage.variant(pick), &self.world.policy, version),
            };
            self.filed.push((book.clone(), file.clone()));
            draft = draft.policy(&book);
            self.world.proposal = Some(file);
        }
        let mut votes = Vec::new();
        for (aim, route) in &round.aims {
            let (key, ask) = aim.vote(&self.world);
            let stop = matches!(ask, ModelAsk::Stop(..) | ModelAsk::Freeze(_));
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
        self.log.push(format!("{:?} {votes:?} {:?}", round.file, self.stop_refs));
        for (key, ask) in votes.iter().chain(&self.stop_refs) {
            let vote = self.signed(*key, *ask);
            let whole = hypothetical(&self.state, Hypothesis::Signed(std::slice::from_ref(&vote))).1;
            let alone = forecast(&self.state, &vote);
            if alone != whole {
                return Err(format!("{vote:?}: {alone:?}, with everything at hand {whole:?}"));
            }
            if vote.statement().action().stops() && stops_something(&self.state, &vote) != result_of(&whole) {
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

    fn signed(&self, key: Key, ask: ModelAsk) -> Cosignature {
        let Voter { claims, key, carrier, presence } = holder(key);
        let claims = PrincipalId::parse(&claims).unwrap();
        Cosignature::literal(key, statement(self.stage.subject(ask)), claims, carrier, presence)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fold_does_what_the_model_does((start, alone) in stages(), says in leases(), rounds in rounds()) {
        let mut run = Run::new(RandomStage::of(start, alone, says));
        for (number, round) in rounds.iter().enumerate() {
            let done = run.round(u32::try_from(number).unwrap() + 1, round);
            prop_assert_eq!(done, Ok(()), "after {:?}", run.log);
        }
    }
}
