//! Every short sequence of votes: the fold against the model.

use super::*;

/// Every sequence of votes up to a length, state by state: sequences that lead to the same state go on alike.
fn every_sequence(stage: &RandomStage, keys: &[Key], length: usize) -> usize {
    every_sequence_from(stage, stage.begin(), alphabet, keys, length)
}

fn every_sequence_from(
    stage: &RandomStage,
    begin: (State, World),
    mut alphabet: impl FnMut(&World) -> Vec<ModelAsk>,
    keys: &[Key],
    length: usize,
) -> usize {
    let mut level = vec![begin];
    let mut seen = HashSet::new();
    for _ in 0..length {
        let mut after = Vec::new();
        for (state, world) in &level {
            let asks = alphabet(world);
            for key in keys {
                for ask in asks.iter().copied() {
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

fn alphabet(world: &World) -> Vec<ModelAsk> {
    let (next, tiers) = (world.leases[0].next, world.says[0].tiers);
    let tier =
        if let ModelState::Rolling(at) = world.leases[0].at { tiers[(at + 1).min(tiers.len() - 1)] } else { tiers[0] };
    let stop = |kind| ModelAsk::Stop(0, kind, 1);
    vec![
        ModelAsk::Cosign(0),
        ModelAsk::Start(0, next, tiers[0]),
        ModelAsk::Promote(0, next, tier),
        stop(StopKind::Pause),
        ModelAsk::Resume(0, next),
        stop(StopKind::Halt),
        stop(StopKind::Rollback),
        ModelAsk::Complete(0, next),
    ]
}

#[test]
fn every_short_sequence_of_two_keys_does_what_the_model_does() {
    let states = every_sequence(&RandomStage::new(10, 0), &[("user1", 0), ("cp14", 0)], 6);
    assert!(states > 100, "{states}");
    every_sequence(&RandomStage::new(0, 25), &[("user1", 0), ("cp14", 0)], 6);
}

#[test]
fn every_short_sequence_of_one_principal_leaves_the_weight_at_nothing() {
    for keys in [
        [("user1", 0), ("user1", 1)],
        [("cp14", 0), ("cp14", 1)],
        [("user1", 0), ("user2", 0)],
        [("cp14", 0), ("cp15", 0)],
    ] {
        let stage = RandomStage::new(99, 99);
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
fn alphabet_of_two(world: &World) -> Vec<ModelAsk> {
    let stops =
        |lease| [StopKind::Pause, StopKind::Halt, StopKind::Rollback].map(|kind| ModelAsk::Stop(lease, kind, 1));
    let [first, next] = [0, 1].map(|lease| world.leases[lease].next);
    let tiers = world.says[1].tiers;
    let tier = if let ModelState::Rolling(at) = world.leases[1].at { tiers[(at + 1).min(2)] } else { 5 };
    let forward = [
        ModelAsk::Complete(0, first),
        ModelAsk::Start(1, next, 5),
        ModelAsk::Promote(1, next, tier),
        ModelAsk::Complete(1, next),
    ];
    [&forward[..], &stops(0), &stops(1)].concat()
}

/// Where votes lead, each in a step of its own.
fn after(stage: &RandomStage, votes: &[(Key, ModelAsk)]) -> (State, World) {
    let (mut state, mut world) = stage.begin();
    for vote in votes {
        state = apply(state, &stage.step(1, &[*vote])).0;
        world.step(vec![*vote]);
    }
    stage.agree(&state, &world).unwrap();
    state.length = 0;
    (state, world)
}

/// Every short sequence from where the first lease is at all traffic and the second is authorized.
fn every_sequence_of_two(says: [LeaseTerms; 2], length: usize, reaches: &mut dyn FnMut(&World)) -> usize {
    let stage = RandomStage::of(10, 99, says);
    let full = [
        ModelAsk::Cosign(0),
        ModelAsk::Cosign(1),
        ModelAsk::Start(0, 1, 5),
        ModelAsk::Promote(0, 2, 25),
        ModelAsk::Promote(0, 3, 100),
    ];
    let keys = [("user1", 0), ("cp14", 0)];
    let votes: Vec<_> = full.into_iter().flat_map(|ask| keys.map(|key| (key, ask))).collect();
    let (state, world) = after(&stage, &votes);
    assert_eq!(stage.weights(&state), [100, 0]);
    let alphabet = |world: &World| {
        reaches(world);
        alphabet_of_two(world)
    };
    every_sequence_from(&stage, (state, world), alphabet, &keys, length)
}

#[test]
fn every_short_sequence_over_two_leases_does_what_the_model_does() {
    let states = every_sequence_of_two([USUAL; 2], 4, &mut |_| {});
    assert!(states > 200, "{states}");
}

#[test]
fn every_short_sequence_of_leases_that_wait_does_what_the_model_does() {
    for (waits, artifacts, starts) in
        [(Waits::Same, &["a"][..], true), (Waits::Same, &["a", "b"], false), (Waits::Any, &["a", "b"], true)]
    {
        let mut started = false;
        every_sequence_of_two([FIRST, LeaseTerms { artifacts, waits, ..USUAL }], 3, &mut |world| {
            started |= world.weight(1) > 0;
            let first = world.leases[0].at;
            assert!(!matches!(first, ModelState::Rolling(_)) || world.weight(1) == 0, "it has not completed");
        });
        assert_eq!(started, starts, "{waits:?} {artifacts:?}");
    }
}

#[test]
fn every_short_sequence_all_at_once_does_what_the_model_does() {
    for (allowed, reached) in [(true, vec![0, 100]), (false, vec![0])] {
        let stage = RandomStage::of(99, 99, [AT_ONCE, USUAL]).under(|policy| policy.at_once = allowed);
        let mut weights = std::collections::BTreeSet::new();
        let alphabet = |world: &World| {
            weights.insert(world.weight(0));
            alphabet(world)
        };
        every_sequence_from(&stage, stage.begin(), alphabet, &[("user1", 0), ("cp14", 0)], 6);
        assert_eq!(weights.into_iter().collect::<Vec<_>>(), reached);
    }
}

#[test]
fn every_short_sequence_of_an_exception_does_what_the_model_does() {
    let stage = RandomStage::of(99, 99, [LeaseTerms { exception: true, ..USUAL }, USUAL]);
    let keys = [("user1", 0), ("user2", 0), ("cp14", 0)];
    let mut started = false;
    let alphabet = |world: &World| {
        started |= world.weight(0) > 0;
        alphabet(world)
    };
    let begin = after(&stage, &[(keys[0], ModelAsk::Cosign(0)), (keys[2], ModelAsk::Cosign(0))]);
    every_sequence_from(&stage, begin, alphabet, &keys, 4);
    assert!(started);
    let rolls = keys.map(|key| (key, ModelAsk::Start(0, 1, 5)));
    let begin =
        after(&stage, &[&[(keys[0], ModelAsk::Cosign(0)), (keys[2], ModelAsk::Cosign(0))][..], &rolls].concat());
    assert_eq!(begin.1.weight(0), 5);
    every_sequence_from(&stage, begin, self::alphabet, &keys, 3);
}

#[test]
fn every_short_sequence_of_keys_of_each_kind_does_what_the_model_does() {
    let (soft, agent) = (("user1", 0), ("cp14", 0));
    let asks = |asked| {
        RandomStage::of(0, 0, [USUAL; 2]).under(|policy| (policy.cosign.shown, policy.promote.shown) = (asked, asked))
    };
    for (asked, first, starts) in [
        (SeenHardware::Nothing, soft, true),
        (SeenHardware::Touch, soft, false),
        (SeenHardware::Touch, HARD[0], true),
        (SeenHardware::Touch, HARD[1], true),
        (SeenHardware::Touch, HARD[2], false),
        (SeenHardware::Person, soft, false),
        (SeenHardware::Person, HARD[0], false),
        (SeenHardware::Person, HARD[1], true),
        (SeenHardware::Person, HARD[2], false),
    ] {
        let stage = asks(asked);
        let mut started = false;
        let alphabet = |world: &World| {
            started |= world.weight(0) > 0;
            alphabet(world)
        };
        every_sequence_from(&stage, stage.begin(), alphabet, &[first, agent], 5);
        assert_eq!(started, starts, "{asked:?} by {first:?}");
    }
    // Keys of one person together, of which one counts; before the lease is authorized, and after.
    for asked in [SeenHardware::Touch, SeenHardware::Person] {
        let stage = asks(asked);
        let keys = [soft, HARD[0], HARD[1], agent];
        every_sequence(&stage, &keys, 2);
        let begin = after(&stage, &[(HARD[1], ModelAsk::Cosign(0)), (agent, ModelAsk::Cosign(0))]);
        assert_eq!(begin.1.leases[0].at, ModelState::Authorized);
        every_sequence_from(&stage, begin, alphabet, &keys, 3);
    }
}
