//! One key only: whatever its holders push, with policies, revocations, merges, replays and files of their own making
//! in play, no weight rises. At random from wherever honest keys have brought the ledger, and exhaustively for short
//! sequences.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{
    model::{Key, ModelAsk, ModelState, USUAL, World},
    random::{Aim, KEYS, RandomStage, STOPS, aim, holder},
    story::{Paper, Rulebook, StepDraft, TARGETS, bytes, enact, lease, rulebook, seed, ssh, statement},
};
use crate::{
    ledger::{Descent, LeaseState, State, Step, StepCommit, apply},
    model::StopKind,
    signature::Opened,
};

/// The two who are honest.
const HONEST: [Key; 2] = [("user2", 0), ("cp15", 0)];

/// A ledger that honest keys and others write.
#[derive(Clone)]
struct SharedLedger {
    state: State,
    world: World,
    rules: Rulebook,
    /// The policy in the tree, if it is another.
    proposed: Option<Rulebook>,
    /// Every carrier commit so far, for whoever wants to bring it in again.
    carriers: Vec<StepCommit>,
    /// Whether the last step did anything.
    effect: bool,
    number: u32,
}

impl SharedLedger {
    fn new(stage: &RandomStage) -> Self {
        let (state, world) = stage.begin();
        Self {
            state,
            world,
            rules: stage.rules.clone(),
            proposed: None,
            carriers: Vec::new(),
            effect: false,
            number: 0,
        }
    }

    fn fold(&mut self, step: &Step) {
        let (state, report) = apply(self.state.clone(), step);
        (self.state, self.effect) = (state, report.took_effect());
        self.carriers.extend(step.commits.iter().filter(|c| matches!(c.opened, Opened::Carrier { .. })).cloned());
    }

    fn draft(&mut self) -> StepDraft {
        self.number += 1;
        StepDraft::new(self.number)
    }

    /// Votes by these keys in one step.
    fn votes(&mut self, stage: &RandomStage, keys: &[Key], ask: ModelAsk) {
        let draft = keys.iter().fold(self.draft(), |draft, key| draft.vote(holder(*key), stage.subject(ask)));
        self.fold(&draft.finish(None));
        self.world.step(keys.iter().map(|key| (*key, ask)).collect());
    }

    /// Both honest keys go forward, if that is possible now. A signature that was refused (the target was busy, the
    /// repository frozen) is good until its step is taken, so nobody signs for what is not next and leaves it lying about.
    fn forward(&mut self, stage: &RandomStage, ask: ModelAsk) {
        let before = self.clone();
        self.votes(stage, &HONEST, ask);
        if !self.effect {
            *self = before;
        }
    }

    /// The honest two change the policy: two principals more or less, who have no part in this.
    fn new_policy(&mut self) {
        let next = if self.rules.principals.iter().any(|(name, _, _)| name == "cp20") {
            self.rules.clone().without("cp20").without("user3")
        } else {
            Rulebook { principals: rulebook().principals, ..self.rules.clone() }
        };
        let next = next.after(&self.rules);
        let draft = self.draft().policy(&next);
        self.fold(&draft.finish(None));
        let draft = HONEST.into_iter().fold(self.draft(), |draft, key| draft.vote(holder(key), enact(&next)));
        self.fold(&draft.finish(None));
        assert_eq!(self.state.policy().digest(), next.digest(), "honest keys change policies");
        (self.rules, self.proposed) = (next, None);
    }

    /// Every weight that there is.
    fn weights(&self, papers: &[Paper]) -> Vec<u8> {
        let weight = |paper: &Paper| self.state.lease(&paper.lease_id()).map_or(0, LeaseState::weight);
        papers.iter().map(weight).collect()
    }
}

/// Policies that a lone key would like.
fn tempting(rules: &Rulebook, pick: usize) -> Rulebook {
    let mallory = || vec![ssh(seed("mallory"))];
    let mut next = rules.clone();
    match pick {
        0 => next.principals.push(("mallory".to_owned(), "agent", mallory())),
        1 => next.principals.push(("mallory".to_owned(), "human", mallory())),
        2 => next = next.only(&format!("{TARGETS}start-up-to: 99\ndelegable-up-to: 99")),
        3 => next = next.without("user2").without("cp15"),
        4 => next.principals.iter_mut().filter(|one| one.0 == "user1").for_each(|one| one.1 = "agent"),
        _ => next = next.keys("cp14", &[ssh(seed("mallory"))]),
    }
    next.after(rules)
}

/// What somebody does with a push, but for votes on leases.
#[derive(Debug, Clone)]
enum Attempt {
    Vote(Aim),
    ProposePolicy(usize),
    VoteForPolicy,
    RewriteLease(usize, u8),
    VoteForRewritten(u8),
    Replay(usize, Descent),
    /// An earlier vote and an own one in one merge.
    Merge(usize, Aim),
}

fn pushes() -> impl Strategy<Value = Attempt> {
    let descent = prop::sample::select(vec![Descent::Descends, Descent::Foreign]);
    prop_oneof![
        12 => aim().prop_map(Attempt::Vote),
        2 => (0..6_usize).prop_map(Attempt::ProposePolicy),
        2 => Just(Attempt::VoteForPolicy),
        1 => (0..3_usize, 0..3_u8).prop_map(|(lease, text)| Attempt::RewriteLease(lease, text)),
        1 => (0..3_u8).prop_map(Attempt::VoteForRewritten),
        2 => (any::<usize>(), descent).prop_map(|(pick, descent)| Attempt::Replay(pick, descent)),
        2 => (any::<usize>(), aim()).prop_map(|(pick, aim)| Attempt::Merge(pick, aim)),
    ]
}

/// What the honest two do: what is next, by both, and now and then a stop, a freeze or another policy.
fn honest(stage: &RandomStage, ledger: &mut SharedLedger, pick: u8, lease: usize) {
    let next = ledger.world.leases[lease].next;
    let number = u8::try_from(ledger.number).unwrap();
    let forward = match ledger.world.leases[lease].at {
        _ if ledger.world.frozen => ModelAsk::Thaw(ledger.world.freezes),
        ModelState::Authorized => ModelAsk::Start(lease, next, 5),
        ModelState::Rolling(2) => ModelAsk::Complete(lease, next),
        ModelState::Rolling(tier) => ModelAsk::Promote(lease, next, USUAL.tiers[tier + 1]),
        ModelState::Paused(_) => ModelAsk::Resume(lease, next),
        _ => ModelAsk::Cosign(lease),
    };
    match pick {
        0 => ledger.new_policy(),
        1 => ledger.votes(stage, &HONEST[..1], ModelAsk::Stop(lease, StopKind::Pause, number)),
        2 => ledger.votes(stage, &HONEST[1..], ModelAsk::Freeze(number)),
        _ => ledger.forward(stage, forward),
    }
}

fn papers(stage: &RandomStage) -> [Paper; 3] {
    [stage.papers[0].clone(), stage.papers[1].clone(), lease("L3").on("db")]
}

/// The text of a lease, written anew.
fn rewritten(papers: &[Paper], lease: usize, text: u8) -> Paper {
    papers[lease].clone().with(&format!("summary: again {text}"))
}

fn attack(stage: &RandomStage, ledger: &mut SharedLedger, key: Key, push: &Attempt) {
    let papers = papers(stage);
    let earlier = |ledger: &SharedLedger, pick: usize| {
        let at = pick.checked_rem(ledger.carriers.len())?;
        ledger.carriers.get(at).map(|carrier| carrier.opened.clone())
    };
    match push {
        Attempt::Vote(aim) => {
            let (_, ask) = aim.vote(&ledger.world);
            ledger.votes(stage, &[key], ask);
        }
        Attempt::ProposePolicy(pick) => {
            let next = tempting(&ledger.rules, *pick);
            let draft = ledger.draft().policy(&next);
            ledger.fold(&draft.finish(None));
            ledger.proposed = Some(next);
        }
        Attempt::VoteForPolicy => {
            let next = ledger.proposed.clone().unwrap_or_else(|| tempting(&ledger.rules, 0));
            let draft = ledger.draft().vote(holder(key), enact(&next));
            ledger.fold(&draft.finish(None));
        }
        Attempt::RewriteLease(lease, text) => {
            let paper = rewritten(&papers, *lease, *text);
            let draft = ledger.draft().file(&paper.path(), bytes(&paper.yaml()));
            ledger.fold(&draft.finish(None));
        }
        Attempt::VoteForRewritten(text) => {
            let votes = (0..3).flat_map(|lease| {
                let paper = rewritten(&papers, lease, *text);
                [paper.cosign(), paper.start(5), paper.promote(2, 25), paper.promote(3, 100)]
            });
            let draft = votes.fold(ledger.draft(), |draft, subject| draft.vote(holder(key), subject));
            ledger.fold(&draft.finish(None));
        }
        Attempt::Replay(pick, descent) => {
            if let Some(opened) = earlier(ledger, *pick) {
                let draft = ledger.draft().commit(opened, *descent);
                ledger.fold(&draft.finish(None));
            }
        }
        Attempt::Merge(pick, aim) => {
            let (_, ask) = aim.vote(&ledger.world);
            let own = statement(stage.subject(ask));
            let draft = ledger.draft().carrier(holder(key), own.clone(), Descent::Descends);
            let draft = match earlier(ledger, *pick) {
                Some(opened) => draft.commit(opened, Descent::Descends),
                None => draft,
            };
            let draft = draft.carrier(holder(key), own, Descent::Descends);
            ledger.fold(&draft.finish(None));
            ledger.world.step(vec![(key, ask)]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn holders_of_one_key_never_raise_a_weight(
        way in prop::collection::vec((0..12_u8, 0..2_usize), 0..14),
        key in 0..KEYS.len(),
        pushes in prop::collection::vec(pushes(), 1..50),
    ) {
        let stage = RandomStage::new(4, 24);
        let papers = papers(&stage);
        let mut ledger = SharedLedger::new(&stage);
        for (pick, lease) in way {
            honest(&stage, &mut ledger, pick, lease);
        }
        let policy = ledger.state.policy().digest();
        for push in &pushes {
            let before = ledger.weights(&papers);
            attack(&stage, &mut ledger, KEYS[key], push);
            let after = ledger.weights(&papers);
            prop_assert!(before.iter().zip(&after).all(|(b, a)| a <= b), "{push:?}: {before:?} to {after:?}");
            prop_assert!(ledger.state.policy().digest() == policy, "{push:?} changed the policy");
        }
    }

}

/// The same honest ways do raise weights: the property above has something to hold.
#[test]
fn honest_keys_do_raise_weights() {
    let stage = RandomStage::new(4, 24);
    let mut ledger = SharedLedger::new(&stage);
    for pick in [9, 0, 9, 9, 9] {
        honest(&stage, &mut ledger, pick, 1);
    }
    assert_eq!(ledger.weights(&papers(&stage)), [0, 100, 0]);
}

/// Every sequence of pushes by one key up to a length, from every point of an honest rollout with a policy change
/// and a pause in it.
#[test]
fn every_short_sequence_of_pushes_by_one_key_raises_nothing() {
    let stage = RandomStage::new(4, 24);
    let papers = papers(&stage);
    let way: [(u8, usize); 9] = [(9, 0), (0, 0), (9, 0), (9, 0), (1, 0), (9, 0), (9, 0), (9, 1), (9, 0)];
    for key in [("user1", 0), ("cp14", 0), ("edge1", 0)] {
        for depth in 0..=way.len() {
            let mut ledger = SharedLedger::new(&stage);
            for (pick, lease) in way.into_iter().take(depth) {
                honest(&stage, &mut ledger, pick, lease);
            }
            let start = ledger.weights(&papers);
            let (mut level, mut seen) = (vec![ledger], HashSet::new());
            let length = if depth % 4 == 2 && key.0 != "edge1" { 3 } else { 2 };
            for _ in 0..length {
                let mut after = Vec::new();
                for ledger in &level {
                    for move_ in moves(ledger) {
                        let mut ledger = ledger.clone();
                        move_(&stage, &mut ledger, key);
                        let weights = ledger.weights(&papers);
                        assert!(weights.iter().zip(&start).all(|(a, b)| a <= b), "{key:?}: {start:?} to {weights:?}");
                        let mut state = ledger.state.clone();
                        (state.length, state.tip) = (0, state.root);
                        if seen.insert(format!("{state:?}")) {
                            after.push(ledger);
                        }
                    }
                }
                level = after;
            }
        }
    }
}

type Move = Box<dyn Fn(&RandomStage, &mut SharedLedger, Key)>;

fn moves(ledger: &SharedLedger) -> Vec<Move> {
    let mut asks = vec![
        ModelAsk::Freeze(1),
        ModelAsk::Thaw(ledger.world.freezes),
        ModelAsk::Revoke(HONEST[1]),
        ModelAsk::Cosign(1),
    ];
    let next = ledger.world.leases[0].next;
    let tier = if let ModelState::Rolling(at) = ledger.world.leases[0].at { USUAL.tiers[(at + 1).min(2)] } else { 5 };
    asks.extend([
        ModelAsk::Cosign(0),
        ModelAsk::Start(0, next, 5),
        ModelAsk::Promote(0, next, tier),
        ModelAsk::Resume(0, next),
    ]);
    asks.push(ModelAsk::Complete(0, next));
    asks.push(ModelAsk::Start(1, ledger.world.leases[1].next, 5));
    asks.extend(STOPS.map(|kind| ModelAsk::Stop(0, kind, 1)));
    let vote = |ask| -> Move { Box::new(move |stage, ledger, key| ledger.votes(stage, &[key], ask)) };
    let push = |push: Attempt| -> Move { Box::new(move |stage, ledger, key| attack(stage, ledger, key, &push)) };
    let mut moves: Vec<Move> = asks.into_iter().map(vote).collect();
    moves.extend([0, 2].map(|pick| push(Attempt::ProposePolicy(pick))));
    moves.push(push(Attempt::VoteForPolicy));
    moves.push(push(Attempt::VoteForRewritten(0)));
    moves.extend((0..ledger.carriers.len().min(12)).map(|pick| push(Attempt::Replay(pick, Descent::Descends))));
    moves
}
