//! What holds whatever comes: no panic, no memory of how the fold was cut, no rise by too few keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use proptest::prelude::*;

use super::{
    model::{Key, ModelAsk, ModelState, World},
    random::{Aim, KEYS, RandomStage, aim, holder, sequences, stages},
    story::{NONE, StepDraft, Story, bytes, enact, lease, rulebook, statement},
};
use crate::{
    ledger::{Descent, Entry, Group, LeaseEntry, Shelves, State, Step, StepReport, apply, begin},
    model::{LeaseId, Reason, Refusal, StopKind},
    signature::Opened,
};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Follows aims from a beginning on, by the keys that may be used.
fn follow(
    stage: &RandomStage,
    steps: &[Vec<Aim>],
    mut each: impl FnMut(&State, &[(Key, ModelAsk)], &Step, &State),
) -> (State, World) {
    let (mut state, mut world) = stage.begin();
    for (number, aims) in steps.iter().enumerate() {
        let votes: Vec<_> = aims.iter().map(|aim| aim.vote(&world)).collect();
        let step = stage.step(u32::try_from(number).unwrap() + 1, &votes);
        let next = apply(state.clone(), &step).0;
        each(&state, &votes, &step, &next);
        (state, ()) = (next, world.step(votes));
    }
    (state, world)
}

/// Everything that a state knows of leases, kept elsewhere.
#[derive(Debug)]
struct Kept {
    entries: BTreeMap<String, LeaseEntry>,
    /// Whether somebody asked for everything.
    all: AtomicBool,
}

impl Kept {
    fn of(state: &State) -> Arc<Self> {
        let entries = state.changed_entries().map(|(id, entry)| (id.to_owned(), entry.clone())).collect();
        Arc::new(Self { entries, all: AtomicBool::new(false) })
    }
}

impl Shelves for Kept {
    fn entry(&self, id: &str) -> Option<&LeaseEntry> {
        self.entries.get(id)
    }

    fn all(&self) -> &BTreeMap<String, LeaseEntry> {
        self.all.store(true, Relaxed);
        &self.entries
    }

    fn leases(&self) -> usize {
        self.entries.values().map(|entry| entry.known().count()).sum()
    }

    fn group(&self, group: &Group) -> BTreeMap<&str, &LeaseEntry> {
        let is_of = |entry: &LeaseEntry| entry.known().any(|known| group.has(&known));
        self.entries.iter().filter(|(_, entry)| is_of(entry)).map(|(id, entry)| (id.as_str(), entry)).collect()
    }
}

/// Folds a step on a state whose leases lie elsewhere; what it says, and all that is known after.
fn by_parts(before: &State, step: &Step) -> (State, StepReport, BTreeMap<String, LeaseEntry>) {
    let kept = Kept::of(before);
    let (next, report) = apply(before.core().on(kept.clone()), step);
    assert!(!kept.all.load(Relaxed), "a step needs single leases");
    let mut known = kept.entries.clone();
    known.extend(next.changed_entries().map(|(id, entry)| (id.to_owned(), entry.clone())));
    (next, report, known)
}

/// What anybody finds who looks for leases.
fn found(state: &State) -> (usize, Vec<BTreeSet<LeaseId>>) {
    let ids = state.known_leases();
    let documents: Vec<_> = ids.iter().filter_map(|id| state.document(id)).collect();
    let targets = documents.iter().map(|lease| Group::Target(lease.target.clone()));
    let intents = documents.iter().filter_map(|lease| Some(Group::Intent(lease.intent.as_ref()?.to_string())));
    let groups: BTreeSet<_> = targets.chain(intents).chain([Group::Open, Group::Last]).collect();
    (state.count(), groups.iter().map(|group| state.group(group)).chain([ids]).collect())
}

#[test]
fn a_file_that_is_put_down_asks_a_part_for_what_is_kept_under_its_id() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.proposes(&l).does("user1", l.cosign());
    for (path, entry, code) in [
        ("leases/L1.yaml", bytes("rubbish"), "lease-changed"),
        ("leases/L1.yaml", Entry::Absent, "lease-changed"),
        ("leases/N1.yaml", bytes("rubbish"), "malformed"),
    ] {
        let step = StepDraft::new(9).file(path, entry).finish(None);
        let whole = apply(s.state.clone(), &step);
        let (part, report, _) = by_parts(&s.state, &step);
        assert!(report.findings.iter().any(|finding| finding.refusal.reason.code() == code), "{report:?}");
        assert_eq!(report, whole.1);
        assert!(part.core() == whole.0.core());
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn folding_in_two_parts_is_folding_at_once((start, alone) in stages(), steps in sequences()) {
        let stage = RandomStage::new(start, alone);
        let (mut states, mut written) = (vec![stage.begin().0], Vec::new());
        follow(&stage, &steps, |_, _, step, next| {
            written.push(step.clone());
            states.push(next.clone());
        });
        let whole = states.last().unwrap();
        for (at, state) in states.iter().enumerate().step_by(5) {
            let json = serde_json::to_vec(state).unwrap();
            let thawed: State = serde_json::from_slice(&json).unwrap();
            prop_assert!(thawed == *state, "the state at {} reads back", at);
            let rest = written[at..].iter().fold(thawed, |state, step| apply(state, step).0);
            prop_assert!(rest == *whole, "cut at {}", at);
        }
    }

    #[test]
    fn what_a_part_of_the_state_says_is_what_the_whole_says((start, alone) in stages(), steps in sequences()) {
        let stage = RandomStage::new(start, alone);
        let mut ledger = Vec::new();
        follow(&stage, &steps, |before, _, step, _| ledger.push((before.clone(), step.clone())));
        for (before, step) in ledger {
            let whole = apply(before.clone(), &step);
            let (part, report, kept) = by_parts(&before, &step);
            prop_assert!(found(&part) == found(&whole.0), "who looks for leases finds the same");
            prop_assert!(found(&before.above()) == found(&before));
            prop_assert_eq!(part.known_leases().len(), part.count());
            let json = serde_json::to_vec(&report).unwrap();
            prop_assert!(serde_json::from_slice::<StepReport>(&json).unwrap() == report, "the report reads back");
            prop_assert!(part == whole.0);
            prop_assert!(report == whole.1, "{report:?} {:?}", whole.1);
            prop_assert!(part.core() == whole.0.core());
            let expected = whole.0.changed_entries().map(|(id, entry)| (id.to_owned(), entry.clone()));
            prop_assert!(kept == expected.collect());
        }
    }

    #[test]
    fn forgetting_who_turned_keys_for_what_has_ended_alters_no_report((start, alone) in stages(), steps in sequences()) {
        let stage = RandomStage::new(start, alone);
        let mut ledger = Vec::new();
        let (mut slim, _) = stage.begin();
        follow(&stage, &steps, |before, _, step, _| ledger.push((before.clone(), step.clone())));
        for (before, step) in ledger {
            let (next, report) = apply(slim, &step);
            let expected = apply(before, &step);
            prop_assert!(report == expected.1);
            prop_assert!(stage.weights(&next) == stage.weights(&expected.0));
            slim = next;
            stage.papers.iter().for_each(|paper| slim.forget_how_ended(&paper.lease_id()));
        }
    }

    #[test]
    fn no_stop_ever_raises_a_weight((start, alone) in stages(), steps in sequences()) {
        let stage = RandomStage::new(start, alone);
        let (state, _) = follow(&stage, &steps, |_, _, _, _| {});
        let before = stage.weights(&state);
        for key in KEYS {
            for lease in [0, 1] {
                for kind in [StopKind::Pause, StopKind::Halt, StopKind::Rollback, StopKind::Withdraw] {
                    let after = apply(state.clone(), &stage.step(9999, &[(key, ModelAsk::Stop(lease, kind, 77))])).0;
                    let after = stage.weights(&after);
                    prop_assert!(after[0] <= before[0] && after[1] <= before[1], "{before:?} {after:?}");
                }
            }
        }
    }

    #[test]
    fn a_refused_vote_alters_nothing((start, alone) in stages(), steps in sequences()) {
        let stage = RandomStage::new(start, alone);
        let (mut state, mut world) = stage.begin();
        for (number, aim) in steps.iter().flatten().enumerate() {
            let vote = aim.vote(&world);
            let (mut next, report) = apply(state.clone(), &stage.step(u32::try_from(number).unwrap() + 1, &[vote]));
            if !report.findings.is_empty() {
                prop_assert!(report.events.is_empty());
                let written = (next.tip, next.length);
                (next.tip, next.length) = (state.tip, state.length);
                prop_assert!(next == state, "{:?} {:?}", vote, report.findings);
                (next.tip, next.length) = written;
            }
            (state, ()) = (next, world.step(vec![vote]));
        }
    }
}

/// Where two honest keys have brought a lease before others try alone.
fn honest(stage: &RandomStage, depth: usize) -> (State, World) {
    let (mut state, mut world) = stage.begin();
    let both = |ask| [(KEYS[2], ask), (KEYS[5], ask)].to_vec();
    let way = [
        both(ModelAsk::Cosign(0)),
        both(ModelAsk::Start(0, 1, 5)),
        both(ModelAsk::Promote(0, 2, 25)),
        both(ModelAsk::Promote(0, 3, 100)),
        both(ModelAsk::Cosign(1)),
        both(ModelAsk::Complete(0, 4)),
    ];
    for votes in way.into_iter().take(depth) {
        state = apply(state, &stage.step(8000, &votes)).0;
        world.step(votes);
    }
    (state, world)
}

/// Keys that are too few together: one principal's, one role's, and with them those that count for no rule.
fn coalitions() -> impl Strategy<Value = Vec<usize>> {
    prop::sample::select(vec![vec![0, 1, 6, 7, 8], vec![0, 1, 2, 6, 8], vec![3, 4, 7, 8], vec![3, 4, 5, 6, 7, 8]])
}

proptest! {
    #![proptest_config(config(200))]

    /// With nothing delegated and no start by one key, keys of one role raise no weight, whatever they sign.
    #[test]
    fn one_role_never_raises_a_weight(
        depth in 0..7_usize,
        coalition in coalitions(),
        aims in prop::collection::vec((aim(), 0..6_usize), 1..60),
    ) {
        let stage = RandomStage::new(4, 24);
        let (mut state, mut world) = honest(&stage, depth);
        for (number, (aim, by)) in aims.iter().enumerate() {
            let (_, ask) = aim.vote(&world);
            let votes = vec![(KEYS[coalition[by % coalition.len()]], ask)];
            let before = stage.weights(&state);
            state = apply(state, &stage.step(u32::try_from(number).unwrap() + 9000, &votes)).0;
            let after = stage.weights(&state);
            // Completion is neutral, and gives the last tier's weight.
            prop_assert!(after[0] <= before[0] && after[1] <= before[1], "{votes:?}: {before:?} to {after:?}");
            world.step(votes);
        }
    }

    /// Otherwise one role gets as far as was allowed to it, and no further.
    #[test]
    fn one_role_gets_no_further_than_it_was_let(
        depth in 0..3_usize,
        coalition in coalitions(),
        aims in prop::collection::vec((aim(), 0..6_usize), 1..60),
    ) {
        let stage = RandomStage::new(10, 25);
        let (mut state, mut world) = honest(&stage, depth);
        let agents = coalition.contains(&3);
        for (number, (aim, by)) in aims.iter().enumerate() {
            let (_, ask) = aim.vote(&world);
            let votes = vec![(KEYS[coalition[by % coalition.len()]], ask)];
            state = apply(state, &stage.step(u32::try_from(number).unwrap() + 9000, &votes)).0;
            world.step(votes);
            let limit = match (depth, agents) {
                (0, _) => 0,
                (_, true) => 25,
                (_, false) => 5,
            };
            let weights = stage.weights(&state);
            prop_assert!(weights[0] <= limit && weights[1] == 0, "{weights:?}");
        }
    }

    /// Bytes in files and pieces in steps that nobody sane would write.
    #[test]
    fn folding_never_panics(
        junk in prop::collection::vec(any::<u8>(), 0..200),
        path in "(leases/)?[a-zA-Z0-9./_-]{0,20}(\\.yaml)?",
        pick in 0..8_usize,
        foreign in any::<bool>(),
        (start, alone) in stages(),
        steps in sequences(),
    ) {
        let stage = RandomStage::new(start, alone);
        let (state, world) = follow(&stage, &steps, |_, _, _, _| {});
        let entry = match pick {
            0 => Entry::Absent,
            1 => Entry::NotAFile,
            2 => Entry::TooLarge,
            3 => bytes(&stage.rules.yaml()),
            4 => bytes(&stage.papers[0].yaml()),
            5 => Entry::TooDeep,
            6 => Entry::TooMuch,
            _ => Entry::Regular(junk.into()),
        };
        let descent = if foreign { Descent::Foreign } else { Descent::Descends };
        let draft = StepDraft::new(7777)
            .file(&path, entry.clone())
            .file("leases/L1.yaml", entry.clone())
            .policy_entry(entry)
            .commit(Opened::Malformed(Refusal::new(Reason::Malformed, "…")), descent)
            .carrier(holder(KEYS[0]), statement(stage.subject(ModelAsk::Cosign(1))), descent);
        let before = world.leases[0].at;
        let (after, _) = apply(state, &draft.finish(None));
        let started = !matches!(before, ModelState::Proposed | ModelState::Authorized);
        prop_assert!(!started || stage.phase(&after, 0).1 == world.weight(0), "files move nothing that runs");
    }
}

#[test]
fn one_human_or_all_agents_never_change_a_policy() {
    let next = rulebook().without("cp20").after(&rulebook());
    for names in [&["user1"][..], &["cp14", "cp15", "cp20"], &["user1", "edge1", "edge2"]] {
        let mut s = Story::new(&rulebook());
        assert_eq!(s.step(|d| d.policy(&next)), NONE);
        for seed in [0, 100] {
            for name in names {
                s.go(holder((name, seed / 100)), enact(&next));
            }
        }
        assert_eq!(s.state.policy().digest(), rulebook().digest(), "{names:?}");
    }
}

#[test]
fn what_a_commit_date_claims_changes_nothing() {
    let l = lease("L1");
    let fold = |dates: [i64; 3]| {
        let mut root = StepDraft::new(0).policy(&rulebook()).lease(&l).finish(None);
        root.claimed_time = dates[0];
        let mut state = begin(&root).unwrap().0;
        for (number, name) in [(1, "user1"), (2, "cp14")] {
            let mut step = StepDraft::new(number).vote(name, l.cosign()).finish(None);
            step.claimed_time = dates[usize::try_from(number).unwrap()];
            state = apply(state, &step).0;
        }
        state.lease(&l.lease_id()).unwrap().phase
    };
    assert_eq!(fold([0, 1, 2]), fold([i64::MAX, i64::MIN, 0]));
}
