//! Leases that wait for others, that go to all traffic at once, or that are moved outside windows.

use super::story::{Paper, Story, lease, rulebook};
use crate::{
    ledger::{EventKind, Phase},
    model::StopKind,
};

const SAME: &str = "after: [{target: db, state: completed, artifacts: same}]";
const ANY: &str = "after: [{target: db, state: completed}]";

fn completes(s: &mut Story, l: &Paper) {
    s.rolls_out(l).does("user1", l.complete(4));
    assert_eq!(s.phase(l.id), Phase::Completed);
}

#[test]
fn a_lease_starts_only_after_what_it_waits_for_has_completed() {
    let (staging, production) = (lease("L1").on("db"), lease("L2").with(SAME));
    let mut s = Story::new(&rulebook());
    s.authorizes(&production).refuses("user1", production.start(5), "not-yet");
    s.rolls_out(&staging).refuses("user1", production.start(5), "not-yet");
    s.does("user1", staging.complete(4)).does("user1", production.start(5));
    assert_eq!(s.phase("L2"), Phase::Rolling { tier: 0 });
}

#[test]
fn what_completed_there_has_to_be_at_least_what_the_lease_rolls_out() {
    for (there, asks, starts) in [
        (&["a", "b"][..], SAME, true),
        (&["a", "b", "c"], SAME, true),
        (&["a"], SAME, false),
        (&["c"], SAME, false),
        (&["c"], ANY, true),
    ] {
        let production = lease("L2").of(&["a", "b"]).with(asks);
        let mut s = Story::new(&rulebook());
        completes(&mut s, &lease("L1").on("db").of(there));
        s.authorizes(&production);
        if starts {
            s.does("user1", production.start(5));
        } else {
            s.refuses("user1", production.start(5), "not-yet");
        }
    }
}

#[test]
fn what_was_completed_before_what_runs_there_now_counts_unless_it_was_undone() {
    let production = lease("L9").with(SAME);
    let (first, second) = (lease("L1").on("db"), lease("L2").on("db").of(&["b"]));
    let mut s = Story::new(&rulebook());
    s.rolls_out(&first).authorizes(&production).rolls(&second);
    assert_eq!(s.phase("L1"), Phase::Completed, "by the next start");
    let mut undone = s.clone();
    s.does("user1", production.start(5));
    // A rollback of what is beneath takes both along.
    undone.does("user2", first.stop(StopKind::Rollback, 1)).refuses("user1", production.start(5), "not-yet");
}

#[test]
fn one_that_was_rolled_back_on_the_way_hides_none_that_was_completed_before_it() {
    let production = lease("L9").with(SAME);
    let mut s = Story::new(&rulebook());
    completes(&mut s, &lease("L1").on("db"));
    let failed = lease("L2").on("db").of(&["b"]);
    s.rolls(&failed).does("user1", failed.stop(StopKind::Rollback, 1));
    completes(&mut s, &lease("L3").on("db").of(&["b"]));
    s.authorizes(&production).does("user1", production.start(5));
}

#[test]
fn what_a_lease_waits_for_asks_nothing_of_what_comes_after_its_start() {
    let production = lease("L9").with(SAME);
    let staging = lease("L1").on("db");
    let mut s = Story::new(&rulebook());
    completes(&mut s, &staging);
    s.rolls(&production).does("user1", staging.stop(StopKind::Rollback, 1));
    s.does("user1", production.promote(2, 25)).does("cp14", production.promote(2, 25));
    assert_eq!(s.weight("L9"), 25);
}

#[test]
fn a_circle_of_leases_that_wait_for_one_another_is_told_to_whoever_proposes_it() {
    let document = |paper: &Paper| crate::model::lease::read(paper.yaml().as_bytes()).unwrap().get().clone();
    let back = |asks: &str| lease("L1").on("db").with(asks);
    let web = "after: [{target: web, state: completed, artifacts: same}]";
    let mut s = Story::new(&rulebook());
    s.proposes(&back(web));
    let circle = |s: &Story, paper: &Paper| s.state.waits_in_circle(&document(paper)).map(|id| id.to_string());
    let next = lease("L2").with(SAME);
    assert_eq!(circle(&s, &next).as_deref(), Some("L1"));
    assert_eq!(circle(&s, &lease("L2").of(&["b"]).with(SAME)), None, "other artifacts: nobody waits for those");
    assert_eq!(circle(&s, &lease("L2")), None);
    // Another that could be what is waited for breaks the circle.
    s.proposes(&lease("L3").on("db"));
    assert_eq!(circle(&s, &next), None);
    let mut s = Story::new(&rulebook());
    s.proposes(&back(web)).proposes(&lease("L6"));
    assert_eq!(circle(&s, &next), None, "L6 first, then L1, then this one");
    // By way of a third.
    let mut s = Story::new(&rulebook());
    s.proposes(&lease("L4").on("canary").with(web));
    s.proposes(&lease("L1").on("db").with("after: [{target: canary, state: completed}]"));
    assert_eq!(circle(&s, &next).as_deref(), Some("L4"));
    // By two ways that meet before they lead back.
    s.proposes(&lease("L5").on("db").with("after: [{target: canary, state: completed}]"));
    assert_eq!(circle(&s, &next).as_deref(), Some("L4"));
}

const AT_ONCE: &str = "tiers: [{weight: 100, bake: 1m}]";

#[test]
fn all_at_once_is_for_targets_that_allow_it() {
    for (allows, code) in [("false", Some("policy-floor")), ("true", None)] {
        let target = format!("targets: {{web: {{driver: exec, applier: edge1, all-at-once: {allows}}}}}");
        let l = lease("L1").with(AT_ONCE);
        let mut s = Story::new(&rulebook().only(&target));
        s.proposes(&l);
        match code {
            Some(code) => drop(s.refuses("user1", l.cosign(), code)),
            None => drop(s.does("user1", l.cosign())),
        }
    }
    let l = lease("L1").on("elsewhere").with(AT_ONCE);
    let mut s = Story::new(&rulebook());
    s.proposes(&l).refuses("user1", l.cosign(), "policy-floor");
}

#[test]
fn all_at_once_starts_by_two_keys_and_never_by_one_whatever_is_delegated() {
    let rules = rulebook().only(
        "targets: {web: {driver: exec, applier: edge1, all-at-once: true}}\nstart-up-to: 99\ndelegable-up-to: 99",
    );
    let l = lease("L1").with(AT_ONCE).with("agent-alone-up-to: 99");
    for (first, second) in [("cp14", "user1"), ("user1", "cp14")] {
        let mut s = Story::new(&rules);
        s.authorizes(&l).does(first, l.start(100));
        assert_eq!(s.weight("L1"), 0);
        s.does(second, l.start(100));
        assert_eq!((s.weight("L1"), s.events()), (100, vec![EventKind::Started]));
        s.does("user2", l.complete(2));
        assert_eq!(s.phase("L1"), Phase::Completed);
    }
}

#[test]
fn what_no_longer_may_go_all_at_once_does_not_start() {
    let allowed = rulebook().only("targets: {web: {driver: exec, applier: edge1, all-at-once: true}}");
    let refused = rulebook().only("targets: {web: {driver: exec, applier: edge1}}").after(&allowed);
    let l = lease("L1").with(AT_ONCE);
    let mut s = Story::new(&allowed);
    s.authorizes(&l).enacts(&refused).refuses("user1", l.start(100), "policy-floor");
}

#[test]
fn an_exception_takes_the_promote_rule_with_one_more_human_for_every_move() {
    let l = lease("L1").with("exception: true").with("agent-alone-up-to: 99");
    let mut s = Story::new(&rulebook().with("delegable-up-to: 99\nstart-up-to: 99"));
    s.authorizes(&l).does("user1", l.start(5)).does("cp14", l.start(5));
    assert_eq!(s.phase("L1"), Phase::Authorized);
    s.does("user2", l.start(5)).does("user1", l.promote(2, 25)).does("cp14", l.promote(2, 25));
    assert_eq!(s.weight("L1"), 5);
    s.does("user3", l.promote(2, 25)).does("user1", l.stop(StopKind::Pause, 1));
    assert_eq!(s.weight("L1"), 25);
    s.does("user1", l.resume(4)).does("cp14", l.resume(4));
    assert_eq!(s.phase("L1"), Phase::Paused { tier: 1 });
    s.does("user2", l.resume(4)).does("user3", l.stop(StopKind::Halt, 2));
    assert_eq!(s.phase("L1"), Phase::Halted, "one key stops it as ever");
}
