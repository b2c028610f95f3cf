//! Stops: every cell of the design's table, their order, and that nothing outruns or replays them.

use super::story::{NONE, Paper, Story, enact, freeze, lease, revoke, rulebook, seed, sk, ssh, statement, thaw, who};
use crate::{
    ledger::{EventKind, Phase},
    model::{
        Action, StopKind,
        StopKind::{Halt, Pause, Rollback, Withdraw},
    },
};

const STOPS: [StopKind; 4] = [Pause, Halt, Rollback, Withdraw];

fn story() -> Story {
    Story::new(&rulebook())
}

/// A lease in each state, by a name for the state.
fn states() -> Vec<(&'static str, Story, Paper)> {
    let l = lease("L1");
    let begin = |tell: &dyn Fn(&mut Story)| {
        let mut s = story();
        tell(&mut s);
        s
    };
    vec![
        (
            "untouched",
            begin(&|s| {
                s.proposes(&l);
            }),
            l.clone(),
        ),
        (
            "proposed",
            begin(&|s| {
                s.proposes(&l).does("cp14", l.cosign());
            }),
            l.clone(),
        ),
        (
            "authorized",
            begin(&|s| {
                s.authorizes(&l);
            }),
            l.clone(),
        ),
        (
            "rolling",
            begin(&|s| {
                s.rolls(&l);
            }),
            l.clone(),
        ),
        (
            "rolling-25",
            begin(&|s| {
                s.rolls(&l).does("user1", l.promote(2, 25)).does("cp14", l.promote(2, 25));
            }),
            l.clone(),
        ),
        (
            "paused",
            begin(&|s| {
                s.rolls(&l).does("user2", l.stop(Pause, 90));
            }),
            l.clone(),
        ),
        (
            "halted",
            begin(&|s| {
                s.rolls(&l).does("user2", l.stop(Halt, 90));
            }),
            l.clone(),
        ),
        (
            "completed",
            begin(&|s| {
                s.rolls_out(&l).does("user2", l.complete(4));
            }),
            l.clone(),
        ),
        (
            "rolled-back",
            begin(&|s| {
                s.rolls(&l).does("user2", l.stop(Rollback, 90));
            }),
            l.clone(),
        ),
        (
            "withdrawn",
            begin(&|s| {
                s.proposes(&l).does("user2", l.stop(Withdraw, 90));
            }),
            l.clone(),
        ),
    ]
}

/// The table as the design has it: the phase afterwards and the event, or none for "no effect".
fn cell(state: &str, stop: StopKind) -> Option<(Phase, EventKind, Action)> {
    let withdrawn = Some((Phase::Withdrawn, EventKind::Withdrawn, Action::Withdraw));
    let halted = Some((Phase::Halted, EventKind::Halted, Action::Halt));
    let rolled_back = Some((Phase::RolledBack, EventKind::RolledBack, Action::Rollback));
    match (state, stop) {
        ("untouched" | "proposed" | "authorized", _) => withdrawn,
        ("rolling", Pause) => Some((Phase::Paused { tier: 0 }, EventKind::Paused, Action::Pause)),
        ("rolling-25", Pause) => Some((Phase::Paused { tier: 1 }, EventKind::Paused, Action::Pause)),
        ("rolling" | "rolling-25" | "paused" | "completed", Halt) => halted,
        ("rolling" | "rolling-25" | "paused" | "halted" | "completed" | "rolled-back", Rollback | Withdraw) => {
            rolled_back
        }
        _ => None,
    }
}

#[test]
fn every_cell_of_the_table_by_every_role() {
    for (name, story, l) in states() {
        for stop in STOPS {
            for by in ["user1", "cp14", "edge1", "cp20"] {
                let mut s = story.clone();
                let before = s.weight("L1");
                let phase = s.phase("L1");
                s.does(by, l.stop(stop, 1));
                match cell(name, stop) {
                    None => assert_eq!((s.phase("L1"), s.events()), (phase, vec![]), "{name} {stop:?}"),
                    Some((after, event, action)) => {
                        assert_eq!((s.phase("L1"), s.events()), (after, vec![event]), "{name} {stop:?}");
                        let entry = s.state.lease(&l.lease_id()).unwrap();
                        let last = entry.transitions.last().unwrap();
                        assert_eq!((last.action, last.phase), (action, after));
                        assert_eq!(usize::try_from(last.step).unwrap(), entry.transitions.len());
                        assert_eq!(s.last.events[0].step, Some(last.step));
                    }
                }
                assert!(s.weight("L1") <= before);
            }
        }
    }
}

#[test]
fn weights_after_stops() {
    let l = lease("L1");
    let mut s = story();
    s.rolls(&l).does("cp14", l.stop(Pause, 1));
    assert_eq!(s.weight("L1"), 5);
    s.does("cp14", l.stop(Halt, 1));
    assert_eq!(s.weight("L1"), 0);
    s.does("cp14", l.stop(Rollback, 1));
    assert_eq!(s.weight("L1"), 0);
}

#[test]
fn a_stop_is_valid_once_for_a_raw_key_and_a_statement() {
    let l = lease("L1");
    let mut s = story();
    s.rolls(&l).does("user1", l.stop(Pause, 1)).does("user1", l.resume(3)).does("cp14", l.resume(3));
    for again in [who("user1"), who("user1").by_commit(), who("user1").key(sk(seed("user1"))).touched()] {
        s.does(again, l.stop(Pause, 1));
        assert_eq!((s.phase("L1"), s.events()), (Phase::Rolling { tier: 0 }, vec![]), "the replay does nothing");
    }
    let mut other = s.clone();
    other.does("user2", l.stop(Pause, 1));
    assert_eq!(other.phase("L1"), Phase::Paused { tier: 0 }, "another key's is another stop");
    let mut other = s.clone();
    other.does(who("user1").key(ssh(seed("user1") + 100)), l.stop(Pause, 1));
    assert_eq!(other.phase("L1"), Phase::Paused { tier: 0 });
    s.does("user1", l.stop(Pause, 2));
    assert_eq!(s.phase("L1"), Phase::Paused { tier: 0 }, "another nonce is another stop");
}

#[test]
fn a_stop_without_effect_cannot_be_replayed_later_either() {
    let l = lease("L1");
    let mut s = story();
    s.rolls(&l).does("user1", l.stop(Pause, 1)).does("user2", l.stop(Pause, 7));
    s.does("user1", l.resume(3)).does("cp14", l.resume(3)).does("user2", l.stop(Pause, 7));
    assert_eq!(s.phase("L1"), Phase::Rolling { tier: 0 });
    s.does("user2", l.stop(Pause, 8));
    assert_eq!(s.phase("L1"), Phase::Paused { tier: 0 });
}

#[test]
fn a_stop_comes_before_everything_else_in_its_step() {
    let l = lease("L1");
    let mut s = story();
    s.rolls(&l).does("user1", l.promote(2, 25));
    let codes = s.step(|d| {
        d.vote("cp14", l.promote(2, 25)).vote("user3", revoke(&ssh(seed("cp14")))).vote("cp14", l.stop(Halt, 1))
    });
    assert_eq!(codes, ["revoked-key"], "the stop by the revoked key lands, its promotion does not");
    assert_eq!((s.phase("L1"), s.events()), (Phase::Halted, vec![EventKind::Halted, EventKind::KeyRevoked]));
}

#[test]
fn a_stop_voids_the_votes_of_its_step() {
    let l = lease("L1");
    let mut s = story();
    s.rolls(&l).does("user1", l.promote(2, 25));
    assert_eq!(s.step(|d| d.vote("cp14", l.promote(2, 25)).vote("user2", l.stop(Pause, 1))), ["stale-step"]);
    assert_eq!((s.phase("L1"), s.weight("L1")), (Phase::Paused { tier: 0 }, 5));
    s.does("user1", l.resume(3)).does("cp14", l.resume(3));
    s.refuses("cp14", l.promote(2, 25), "stale-step").does("cp14", l.promote(4, 25));
    assert_eq!(s.weight("L1"), 5, "the vote for step 2 is void for step 4");
    s.does("user1", l.promote(4, 25));
    assert_eq!(s.weight("L1"), 25);
}

#[test]
fn stops_fold_hardest_first() {
    let l = lease("L1");
    let mut s = story();
    s.rolls(&l);
    let codes = s.step(|d| {
        d.vote("cp14", l.stop(Pause, 1))
            .vote("cp15", freeze(1))
            .vote("user1", l.stop(Halt, 1))
            .vote("user2", l.stop(Withdraw, 1))
            .vote("user3", l.stop(Rollback, 1))
    });
    assert_eq!(codes, NONE);
    // A withdraw of what has started is a rollback, and so is another attempt.
    assert_eq!(s.events(), [EventKind::RolledBack, EventKind::RolledBack, EventKind::Frozen]);
    let first = &s.state.lease(&l.lease_id()).unwrap().transitions[1];
    assert_eq!(first.votes[0].principal.as_str(), "user3", "the rollback folds before the withdraw");
}

#[test]
fn halt_freeze_and_pause_keep_their_order() {
    let l = lease("L1");
    let mut s = story();
    s.rolls(&l);
    assert_eq!(
        s.step(|d| d.vote("cp14", l.stop(Pause, 1)).vote("cp15", freeze(1)).vote("user1", l.stop(Halt, 1))),
        NONE
    );
    assert_eq!(s.events(), [EventKind::Halted, EventKind::Frozen], "nothing is left to pause");
}

/// What happened to two leases of a target, of which the second started on the first.
fn both(s: &Story) -> (Phase, Phase) {
    (s.phase("L1"), s.phase("L2"))
}

#[test]
fn a_stop_of_what_a_target_falls_back_to_takes_the_newer_lease_with_it() {
    let (one, two) = (lease("L1"), lease("L2"));
    let ended = |tell: &dyn Fn(&mut Story)| {
        let mut s = story();
        tell(s.rolls_out(&one));
        s.rolls(&two);
        assert_eq!((s.phase("L1"), s.newest_on("web")), (Phase::Completed, Some("L2")));
        s
    };
    // Completed by hand or by the newer one's start; that one rolling, paused, halted.
    let by_hand = ended(&|s| {
        s.does("cp14", one.complete(4));
    });
    let by_start = ended(&|_| ());
    for begun in [by_hand, by_start] {
        for before in [None, Some(Pause), Some(Halt)] {
            for (stop, after, event) in [
                (Halt, Phase::Halted, EventKind::Halted),
                (Rollback, Phase::RolledBack, EventKind::RolledBack),
                (Withdraw, Phase::RolledBack, EventKind::RolledBack),
            ] {
                let mut s = begun.clone();
                if let Some(before) = before {
                    s.does("cp14", two.stop(before, 5));
                }
                let at = both(&s);
                for by in ["user1", "cp15", "edge1"] {
                    let mut s = s.clone();
                    s.does(by, one.stop(stop, 1));
                    assert_eq!((both(&s), s.weight("L1")), ((after, Phase::RolledBack), 0), "{at:?} {stop:?}");
                    assert_eq!(s.events(), [EventKind::RolledBack, event], "the newer one first");
                    s.does(by, one.stop(stop, 1));
                    assert_eq!(s.events(), [], "and once");
                }
            }
        }
    }
}

#[test]
fn a_pause_of_what_a_target_falls_back_to_holds_what_moves() {
    let (one, two) = (lease("L1"), lease("L2"));
    let mut s = story();
    s.rolls_out(&one).rolls(&two).does("edge1", one.stop(Pause, 1));
    assert_eq!(both(&s), (Phase::Completed, Phase::Paused { tier: 0 }));
    s.does("edge1", one.stop(Pause, 2)).does("user1", two.stop(Rollback, 1)).does("edge1", one.stop(Pause, 3));
    assert_eq!((both(&s), s.events()), ((Phase::Completed, Phase::RolledBack), vec![]));
}

#[test]
fn once_the_newer_lease_has_completed_the_older_is_history() {
    let (one, two) = (lease("L1"), lease("L2"));
    let mut s = story();
    s.rolls_out(&one).does("cp14", one.complete(4)).rolls_out(&two);
    let mut before = s.clone();
    before.does("user1", one.stop(Rollback, 1));
    assert_eq!(both(&before), (Phase::RolledBack, Phase::RolledBack), "at its last tier it has not completed");
    s.does("cp14", two.complete(4)).refuses("user1", one.stop(Rollback, 1), "wrong-state");
    s.refuses("user1", one.stop(Halt, 1), "wrong-state");
    assert_eq!(both(&s), (Phase::Completed, Phase::Completed));
    // One that the newer one's start completed hands its stops on.
    let mut s = story();
    s.rolls_out(&one).rolls_out(&two).does("cp14", two.complete(4)).does("user1", one.stop(Halt, 1));
    assert_eq!(both(&s), (Phase::Completed, Phase::Halted));
    // In one step a stop comes first, so that a completion beside it comes too late.
    let mut s = story();
    s.rolls_out(&one).rolls_out(&two);
    assert_eq!(s.step(|d| d.vote("cp14", two.complete(4)).vote("user1", one.stop(Halt, 1))), ["stale-step"]);
    assert_eq!(both(&s), (Phase::Halted, Phase::RolledBack));
}

#[test]
fn a_target_is_stopped_step_by_step_as_far_as_it_falls_back() {
    let (one, two, three) = (lease("L1"), lease("L2"), lease("L3"));
    let mut s = story();
    s.rolls_out(&one).rolls_out(&two).rolls(&three);
    let mut at_once = s.clone();
    // What the newest falls back to is stopped by its own name; what that one replaced is history, until it is undone.
    at_once.does("user1", one.stop(Halt, 1));
    assert_eq!((both(&at_once), at_once.phase("L3")), ((Phase::Completed, Phase::Completed), Phase::Halted));
    s.does("user1", two.stop(Rollback, 1));
    assert_eq!((both(&s), s.phase("L3")), ((Phase::Completed, Phase::RolledBack), Phase::RolledBack));
    s.does("user1", one.stop(Halt, 1));
    assert_eq!((both(&s), s.events()), ((Phase::Halted, Phase::RolledBack), vec![EventKind::Halted]));
}

#[test]
fn a_halted_lease_keeps_its_target_whatever_was_undone_above_it() {
    let (one, two, three) = (lease("L1"), lease("L2"), lease("L3"));
    let mut s = story();
    s.rolls_out(&one).rolls(&two).does("user1", one.stop(Halt, 1)).authorizes(&three);
    s.refuses("user1", three.start(5), "target-busy").does("user1", one.stop(Rollback, 2));
    s.does("user1", three.start(5));
    assert_eq!((both(&s), s.phase("L3")), ((Phase::RolledBack, Phase::RolledBack), Phase::Rolling { tier: 0 }));
    s.refuses("user1", one.stop(Rollback, 3), "wrong-state");
}

#[test]
fn a_lease_that_started_over_one_that_was_undone_falls_back_to_what_was_there() {
    let (one, two, three) = (lease("L1"), lease("L2"), lease("L3"));
    let mut s = story();
    s.rolls_out(&one).rolls(&two).does("user1", two.stop(Rollback, 1)).rolls(&three);
    s.does("user1", one.stop(Halt, 1));
    assert_eq!((both(&s), s.phase("L3")), ((Phase::Halted, Phase::RolledBack), Phase::RolledBack));
}

#[test]
fn a_stop_goes_through_a_chain_of_superseded_leases() {
    let (one, two, three) = (lease("L1"), lease("L2"), lease("L3"));
    let mut s = story();
    s.rolls_out(&one).rolls_out(&two).rolls(&three).does("cp14", one.stop(Halt, 1));
    assert_eq!((s.phase("L1"), s.phase("L2"), s.phase("L3")), (Phase::Completed, Phase::Completed, Phase::Halted));
}

#[test]
fn however_long_the_chain_is() {
    let chain = ["L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L10", "L11"].map(lease);
    let (last, before) = chain.split_last().unwrap();
    let mut s = story();
    for lease in before {
        s.rolls_out(lease);
    }
    s.rolls(last).does("cp14", chain[0].stop(Halt, 1));
    assert_eq!((s.phase("L1"), s.phase("L10"), s.phase("L11")), (Phase::Completed, Phase::Completed, Phase::Halted));
}

#[test]
fn a_late_stop_of_a_lease_that_was_rolled_back_before_is_not_refused() {
    let (one, two) = (lease("L1"), lease("L2"));
    let mut s = story();
    s.rolls(&one).does("cp14", one.stop(Rollback, 1)).rolls(&two);
    for stop in [Pause, Halt] {
        s.does("user1", one.stop(stop, 2));
        assert_eq!((s.events(), s.phase("L2")), (vec![], Phase::Rolling { tier: 0 }));
    }
    s.refuses("user1", one.stop(Rollback, 2), "wrong-state");
}

#[test]
fn a_freeze_stops_forward_moves_and_nothing_else() {
    let (l, paused, full) = (lease("L1"), lease("L2").on("db"), lease("L3").on("c"));
    let (ready, fresh) = (lease("L4").on("d"), lease("L5").on("e"));
    let mut s = story();
    s.rolls(&l)
        .rolls(&paused)
        .does("user1", paused.stop(Pause, 1))
        .rolls_out(&full)
        .authorizes(&ready)
        .proposes(&fresh);
    s.does("cp20", freeze(1));
    assert_eq!(s.events(), [EventKind::Frozen]);
    for forward in [l.promote(2, 25), paused.resume(3), full.complete(4), ready.start(5)] {
        s.refuses("user1", forward, "frozen");
    }
    s.does("user1", fresh.cosign()).does("cp14", fresh.cosign()).does("user1", revoke(&ssh(seed("cp15"))));
    assert_eq!(s.phase("L5"), Phase::Authorized);
    s.does("user1", l.stop(Halt, 1));
    assert_eq!(s.phase("L1"), Phase::Halted);
    let next = rulebook().after(&rulebook());
    assert_eq!(s.step(|d| d.policy(&next)), NONE);
    s.does("user1", enact(&next)).does("cp14", enact(&next));
    assert_eq!(s.state.policy().digest(), next.digest());
    s.does("user1", thaw(1)).does("cp14", thaw(1));
    assert_eq!(s.events(), [EventKind::Thawed]);
    s.does("user1", full.complete(4));
}

#[test]
fn thaws_are_numbered_by_the_freezes_that_took_effect() {
    let mut s = story();
    s.does("cp14", freeze(1)).does("user1", freeze(2));
    assert_eq!((s.state.freezes(), s.events()), (1, vec![]), "a freeze during a freeze has no effect");
    s.does("user1", thaw(1)).refuses("cp14", thaw(2), "stale-step").does("cp14", thaw(1));
    assert_eq!(s.state.frozen(), None);
    s.does("cp14", freeze(1)).does("user1", freeze(2));
    assert_eq!((s.state.frozen(), s.state.freezes()), (None, 1), "replays do not freeze again");
    s.does("user2", freeze(3));
    assert_eq!(s.state.freezes(), 2);
    s.refuses("user1", thaw(1), "stale-step").refuses("cp14", thaw(1), "stale-step");
    s.does("user1", thaw(2)).does("cp14", thaw(2));
    assert_eq!(s.state.frozen(), None);
}

#[test]
fn two_humans_or_two_agents_do_not_thaw() {
    let mut s = story();
    s.does("cp14", freeze(1)).does("user1", thaw(1)).does("user2", thaw(1)).does("user3", thaw(1));
    assert!(s.state.frozen().is_some());
    let mut s = story();
    s.does("cp14", freeze(1)).does("cp14", thaw(1)).does("cp15", thaw(1));
    assert!(s.state.frozen().is_some());
}

#[test]
fn a_withdrawn_lease_stays_withdrawn() {
    let l = lease("L1");
    let mut s = story();
    s.proposes(&l).does("cp14", l.stop(Pause, 1));
    s.refuses("user1", l.cosign(), "wrong-state").refuses("user1", l.start_as(2, 5), "wrong-state");
    s.does("cp14", l.stop(Rollback, 2));
    assert_eq!((s.phase("L1"), s.events()), (Phase::Withdrawn, vec![]));
}

#[test]
fn a_freeze_is_seen_once_it_is_folded_and_not_before() {
    let mut s = Story::new(&rulebook());
    let seen = |s: &Story, who| s.state.stop_seen(ssh(seed(who)).raw(), &statement(freeze(1)));
    assert!(!seen(&s, "user1"));
    s.does("user1", freeze(1));
    assert!(seen(&s, "user1"));
    assert!(!seen(&s, "user2"), "another key's is another");
}
