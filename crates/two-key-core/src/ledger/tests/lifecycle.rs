//! A lease's way from proposal to end, and what is recorded of it.

use super::story::{NONE, Story, lease, rulebook};
use crate::{
    ledger::{Event, EventKind, Phase, awaited, hypothetical, next_statement},
    model::{Action, StopKind},
};

/// The transitions of a lease: step, action, tier, and how many votes each rests on.
fn taken(s: &Story, id: &'static str) -> Vec<(u32, Action, Option<u8>, usize)> {
    let entry = s.state.lease(&lease(id).lease_id()).unwrap();
    entry.transitions.iter().map(|t| (t.step, t.action, t.tier, t.votes.len())).collect()
}

#[test]
fn the_whole_way_with_its_record() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.rolls_out(&l).does("user2", l.stop(StopKind::Pause, 1)).does("user2", l.resume(5)).does("cp15", l.resume(5));
    s.does("cp14", l.complete(6));
    assert_eq!(
        taken(&s, "L1"),
        [
            (1, Action::Start, Some(5), 1),
            (2, Action::Promote, Some(25), 2),
            (3, Action::Promote, Some(100), 2),
            (4, Action::Pause, None, 1),
            (5, Action::Resume, None, 2),
            (6, Action::Complete, None, 1),
        ]
    );
    let tags: Vec<_> =
        s.state.lease(&l.lease_id()).unwrap().transitions.iter().map(crate::ledger::Transition::tag_suffix).collect();
    assert_eq!(tags, ["1-start-5", "2-promote-25", "3-promote-100", "4-pause", "5-resume", "6-complete"]);
    assert_eq!((s.phase("L1"), s.weight("L1")), (Phase::Completed, 100));
}

#[test]
fn events_name_step_tier_key_and_carrier() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.rolls(&l).does("user1", l.promote(2, 25));
    let names = |event: &Event| event.votes.iter().map(|vote| vote.principal.to_string()).collect::<Vec<_>>();
    let [voted] = &s.last.events[..] else { panic!("one event") };
    assert_eq!((voted.event, voted.action), (EventKind::Voted, Some(Action::Promote)));
    assert_eq!((voted.step, voted.tier, names(voted)), (Some(2), Some(25), vec!["user1".to_owned()]));
    assert!(!s.last.took_effect(), "a vote that waits for others puts nothing in force");
    s.does("cp14", l.promote(2, 25));
    let [promoted] = &s.last.events[..] else { panic!("one event") };
    let Event { event, commit, lease, step, tier, last, .. } = promoted;
    assert_eq!((*event, *step, *tier), (EventKind::CanaryPromoted, Some(2), Some(25)));
    assert_eq!(names(promoted), ["cp14", "user1"]);
    let (carrier, principal) = last.as_ref().unwrap();
    assert_eq!((lease.as_ref().unwrap().as_str(), principal.as_str()), ("L1", "cp14"));
    assert_eq!(*commit, s.state.tip());
    assert_ne!(carrier, commit);
    assert_eq!(s.state.lease(&l.lease_id()).unwrap().transitions[1].commit, s.state.tip());
}

#[test]
fn the_next_start_completes_a_lease_at_its_last_tier() {
    let (one, two) = (lease("L1"), lease("L2"));
    let mut s = Story::new(&rulebook());
    s.rolls_out(&one).authorizes(&two).does("cp14", two.start(5));
    assert_eq!(s.events(), [EventKind::Completed, EventKind::Started]);
    assert_eq!((s.phase("L1"), s.weight("L1"), s.newest_on("web")), (Phase::Completed, 100, Some("L2")));
    assert_eq!(taken(&s, "L1").last(), Some(&(4, Action::Complete, None, 0)));
    assert_eq!(s.state.lease(&one.lease_id()).unwrap().superseded_by, Some(two.lease_id()));
    s.refuses("cp14", one.complete(4), "stale-step").refuses("cp14", one.complete(5), "wrong-state");
}

#[test]
fn a_start_does_not_complete_a_lease_that_is_not_rolling_at_its_last_tier() {
    let (one, two) = (lease("L1"), lease("L2"));
    let mut s = Story::new(&rulebook());
    s.rolls_out(&one).authorizes(&two).does("user1", one.stop(StopKind::Pause, 1));
    s.refuses("cp14", two.start(5), "target-busy").does("user1", one.resume(5)).does("cp14", one.resume(5));
    s.does("user1", one.stop(StopKind::Halt, 1)).refuses("cp14", two.start(5), "target-busy");
    assert_eq!(s.phase("L1"), Phase::Halted);
}

#[test]
fn a_start_that_still_lacks_a_key_completes_nothing() {
    let (one, two) = (lease("L1"), lease("L2"));
    let mut s = Story::new(&rulebook().with("start-up-to: 0"));
    s.authorizes(&one).does("cp14", one.start(5)).does("user1", one.start(5));
    for (step, tier) in [(2, 25), (3, 100)] {
        s.does("user1", one.promote(step, tier)).does("cp14", one.promote(step, tier));
    }
    s.authorizes(&two).does("cp14", two.start(5));
    assert_eq!((s.phase("L1"), s.newest_on("web")), (Phase::Rolling { tier: 2 }, Some("L1")));
    s.does("user1", two.start(5));
    assert_eq!((s.phase("L1"), s.newest_on("web")), (Phase::Completed, Some("L2")));
}

#[test]
fn a_target_is_free_after_a_completed_or_rolled_back_lease() {
    let (one, two, three) = (lease("L1"), lease("L2"), lease("L3"));
    let mut s = Story::new(&rulebook());
    s.rolls_out(&one).does("cp14", one.complete(4)).rolls(&two);
    assert_eq!(s.state.lease(&one.lease_id()).unwrap().superseded_by, None);
    s.does("cp14", two.stop(StopKind::Rollback, 1)).rolls(&three);
    assert_eq!((s.weight("L2"), s.weight("L3"), s.newest_on("web")), (0, 5, Some("L3")));
}

#[test]
fn once_a_step_is_taken_all_votes_for_it_are_void() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.rolls(&l).does("user1", l.promote(2, 25)).does("user2", l.promote(2, 25));
    assert_eq!(s.state.lease(&l.lease_id()).unwrap().pending.len(), 1);
    s.does("cp14", l.promote(2, 25));
    assert!(s.state.lease(&l.lease_id()).unwrap().pending.is_empty());
    s.refuses("user3", l.promote(2, 25), "stale-step").does("cp14", l.promote(3, 100));
    assert_eq!(s.weight("L1"), 25, "votes of the step before do not count for the next");
}

/// It asks for nothing but what its signer asked for, so who brings it, and when, is all one; a stop takes it back.
#[test]
fn a_signature_that_was_refused_is_good_until_its_step_is_taken() {
    let (one, two) = (lease("L1"), lease("L2"));
    let refused = || {
        let mut s = Story::new(&rulebook().with("start-up-to: 0"));
        s.authorizes(&one).does("cp14", one.start(5)).does("user1", one.start(5)).authorizes(&two);
        s.refuses("user1", two.start(5), "target-busy").refuses("cp14", two.start(5), "target-busy");
        s.does("cp14", one.stop(StopKind::Rollback, 1));
        s
    };
    let mut s = refused();
    s.does("cp14", two.start(5)).does("user1", two.start(5));
    assert_eq!(s.weight("L2"), 5);
    let mut s = refused();
    s.does("user1", two.stop(StopKind::Withdraw, 1));
    s.refuses("cp14", two.start(5), "stale-step").refuses("user1", two.start(5), "stale-step");
}

#[test]
fn votes_in_one_step_fold_in_their_order() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.proposes(&l);
    let codes = s.step(|d| {
        d.vote("cp14", l.start(5)).vote("user1", l.cosign()).vote("cp14", l.cosign()).vote("cp14", l.start(5))
    });
    assert_eq!(codes, ["not-authorized"]);
    assert_eq!(s.weight("L1"), 5, "the second start comes after the cosignatures");
}

#[test]
fn the_state_says_what_it_awaits_and_the_next_statement_is_accepted() {
    use Action::{Complete, Cosign, Promote, Start};
    let l = lease("L1");
    let nonce = super::story::nonce(1);
    let mut s = Story::new(&rulebook());
    s.proposes(&l);
    let mut seen = Vec::new();
    while let Some(next) = awaited(&s.state, &l.lease_id()) {
        seen.push((next.action, next.step, next.tier, next.humans, next.agents, next.any_one));
        let statement = next_statement(&s.state, next.action, Some(&l.lease_id()), None, &nonce).unwrap();
        let by = if next.humans > 0 { "user1" } else { "cp14" };
        s.does(by, statement.subject);
    }
    assert_eq!(
        seen,
        [
            (Cosign, None, None, 1, 1, false),
            (Cosign, None, None, 0, 1, false),
            (Start, Some(1), Some(5), 0, 0, true),
            (Promote, Some(2), Some(25), 1, 1, false),
            (Promote, Some(2), Some(25), 0, 1, false),
            (Promote, Some(3), Some(100), 1, 1, false),
            (Promote, Some(3), Some(100), 0, 1, false),
            (Complete, Some(4), None, 0, 0, true),
        ]
    );
    assert_eq!(s.phase("L1"), Phase::Completed);
}

#[test]
fn a_hypothesis_says_what_the_fold_will_say() {
    use crate::{ledger::Hypothesis, model::PrincipalId};
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.proposes(&l).does("user1", l.cosign());
    for (name, code) in [("cp14", None), ("user1", Some("already-voted")), ("edge1", Some("wrong-role"))] {
        let statement = super::story::statement(l.cosign());
        let who = super::story::who(name);
        let claims = PrincipalId::parse(name).unwrap();
        let guess = Hypothesis::IfSigned { statement: &statement, key: &who.key, claims: &claims };
        let (state, report) = hypothetical(&s.state, guess);
        assert_eq!(report.findings.first().map(|finding| finding.refusal.reason.code()), code);
        let phase = state.lease(&l.lease_id()).unwrap().phase;
        assert_eq!(phase == Phase::Authorized, code.is_none());
        let mut copy = s.clone();
        assert_eq!(copy.go(name, l.cosign()), code.into_iter().collect::<Vec<_>>());
        assert_eq!(copy.phase("L1"), phase);
    }
    assert_eq!(s.step(|d| d), NONE);
}
