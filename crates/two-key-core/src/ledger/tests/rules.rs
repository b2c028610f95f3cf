//! Who may do what: too few never suffice, whatever they try; enough always do.

use super::story::{
    Paper, Rulebook, Story, Voter, bytes, enact, freeze, lease, minisign, ordinary, revoke, rulebook, seed, sk, sk_for,
    ssh, thaw, who,
};
use crate::{
    ledger::{Descent, Entry, EventKind, Phase},
    model::{Reason, Refusal, StopKind, Subject},
    signature::{Opened, literal::forged_commit},
};

/// Everybody of a list turns a key for one thing.
fn all(s: &mut Story, names: &[&str], subject: &Subject) {
    for name in names {
        s.does(*name, subject.clone());
    }
}

#[test]
fn one_role_alone_never_authorizes() {
    let l = lease("L1");
    for names in [&["user1", "user2", "user3"][..], &["cp14", "cp15", "cp20"]] {
        let mut s = Story::new(&rulebook());
        all(s.proposes(&l), names, &l.cosign());
        assert_eq!(s.phase("L1"), Phase::Proposed, "{names:?}");
    }
    for names in [["user1", "cp14"], ["cp14", "user1"], ["user3", "cp20"]] {
        let mut s = Story::new(&rulebook());
        s.proposes(&l).does(names[0], l.cosign());
        assert_eq!((s.phase("L1"), s.events()), (Phase::Proposed, vec![EventKind::Cosigned]));
        s.does(names[1], l.cosign());
        assert_eq!(
            (s.phase("L1"), s.events()),
            (Phase::Authorized, vec![EventKind::Cosigned, EventKind::Verified2Key])
        );
    }
}

#[test]
fn one_role_alone_never_promotes_or_resumes() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.rolls(&l);
    for names in [&["user1", "user2", "user3"][..], &["cp14", "cp15", "cp20"]] {
        let mut s = s.clone();
        all(&mut s, names, &l.promote(2, 25));
        assert_eq!(s.weight("L1"), 5);
        s.does("user1", l.stop(StopKind::Pause, 1));
        all(&mut s, names, &l.resume(3));
        assert_eq!(s.phase("L1"), Phase::Paused { tier: 0 });
    }
    s.does("user1", l.promote(2, 25)).does("cp20", l.promote(2, 25));
    assert_eq!((s.weight("L1"), s.events()), (25, vec![EventKind::CanaryPromoted]));
    s.does("user1", l.stop(StopKind::Pause, 1)).does("cp14", l.resume(4)).does("user3", l.resume(4));
    assert_eq!((s.phase("L1"), s.events()), (Phase::Rolling { tier: 1 }, vec![EventKind::Resumed]));
}

#[test]
fn rules_that_ask_for_more_get_more() {
    let rules = rulebook().with("rules:\n  cosign: {human: 2, agent: 1}\n  promote: {human: 1, agent: 2}");
    let l = lease("L1");
    let mut s = Story::new(&rules);
    all(s.proposes(&l), &["user1", "cp14", "cp15", "cp20"], &l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed);
    s.does("user2", l.cosign()).does("user1", l.start(5));
    all(&mut s, &["user1", "user2", "user3", "cp14"], &l.promote(2, 25));
    assert_eq!(s.weight("L1"), 5);
    s.does("cp15", l.promote(2, 25));
    assert_eq!(s.weight("L1"), 25);
}

#[test]
fn a_start_up_to_the_limit_takes_one_key_and_above_it_the_promote_rule() {
    let l = lease("L1");
    for (limit, alone) in [(4, false), (5, true), (99, true), (0, false)] {
        for (first, second) in [("user1", "cp14"), ("cp20", "user2")] {
            let mut s = Story::new(&rulebook().with(&format!("start-up-to: {limit}")));
            s.authorizes(&l).does(first, l.start(5));
            assert_eq!(s.weight("L1"), if alone { 5 } else { 0 }, "{limit} by {first}");
            if !alone {
                s.does(second, l.start(5));
                assert_eq!((s.weight("L1"), s.events()), (5, vec![EventKind::Started]));
            }
        }
    }
}

#[test]
fn two_humans_do_not_start_above_the_limit() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook().with("start-up-to: 0"));
    all(s.authorizes(&l), &["user1", "user2", "user3"], &l.start(5));
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn the_default_start_limit_is_ten() {
    for (first, weight) in [(10, 10), (11, 0)] {
        let l = lease("L1").with(&format!("tiers: [{{weight: {first}, bake: 1m}}, {{weight: 100, bake: 1m}}]"));
        let mut s = Story::new(&rulebook());
        s.authorizes(&l).does("user1", l.start(first));
        assert_eq!(s.weight("L1"), weight);
    }
}

#[test]
fn one_key_completes() {
    let l = lease("L1");
    for by in ["user2", "cp20"] {
        let mut s = Story::new(&rulebook());
        s.rolls_out(&l).does(by, l.complete(4));
        assert_eq!((s.phase("L1"), s.events()), (Phase::Completed, vec![EventKind::Completed]));
    }
}

/// An authorized and started lease that lets agents promote alone.
fn delegated(rules: &str, alone_up_to: u8) -> (Story, Paper) {
    let l = lease("L1").with(&format!("agent-alone-up-to: {alone_up_to}"));
    let mut s = Story::new(&rulebook().with(rules));
    s.rolls(&l);
    (s, l)
}

#[test]
fn an_agent_alone_promotes_up_to_where_both_the_policy_and_the_lease_let_it() {
    for (policy, own, alone) in [(25, 25, true), (50, 25, true), (99, 24, false), (99, 0, false)] {
        let (mut s, l) = delegated(&format!("delegable-up-to: {policy}"), own);
        let mut human = s.clone();
        human.does("user1", l.promote(2, 25));
        assert_eq!(human.weight("L1"), 5, "a human alone never");
        s.refuses("edge1", l.promote(2, 25), "wrong-role").does("cp14", l.promote(2, 25));
        assert_eq!(s.weight("L1"), if alone { 25 } else { 5 }, "{policy} {own}");
    }
    let (mut s, l) = delegated("delegable-up-to: 99", 99);
    s.does("cp14", l.promote(2, 25)).does("cp14", l.promote(3, 100)).does("cp15", l.promote(3, 100));
    assert_eq!(s.weight("L1"), 25, "the whole traffic is never delegated");
    s.does("user1", l.promote(3, 100));
    assert_eq!(s.weight("L1"), 100);
}

#[test]
fn delegation_is_for_promotions_by_agents_that_the_rule_counts() {
    let (mut s, l) = delegated("delegable-up-to: 99\nrules: {promote: {agents: [cp14]}}", 99);
    s.refuses("cp15", l.promote(2, 25), "wrong-role");
    s.does("user1", l.stop(StopKind::Pause, 1)).does("cp14", l.resume(3));
    assert_eq!(s.phase("L1"), Phase::Paused { tier: 0 }, "a resumption is not delegated");
    s.does("user1", l.resume(3)).does("cp14", l.promote(4, 25));
    assert_eq!(s.weight("L1"), 25);
    let l = lease("L2").with("agent-alone-up-to: 99");
    let mut s = Story::new(&rulebook().with("delegable-up-to: 99\nstart-up-to: 0"));
    s.authorizes(&l).does("cp14", l.start(5));
    assert_eq!(s.phase("L2"), Phase::Authorized, "a start is not delegated");
}

#[test]
fn a_lease_that_delegates_more_than_the_policy_allows_is_below_the_floor() {
    let mut s = Story::new(&rulebook().with("delegable-up-to: 24"));
    let l = lease("L1").with("agent-alone-up-to: 25");
    s.proposes(&l).refuses("user1", l.cosign(), "policy-floor");
    let l = lease("L2").with("agent-alone-up-to: 24");
    s.proposes(&l).does("user1", l.cosign());
}

#[test]
fn what_the_policy_no_longer_delegates_is_not_delegated() {
    let (mut s, l) = delegated("delegable-up-to: 50", 25);
    let before = rulebook().with("delegable-up-to: 50");
    s.enacts(&rulebook().with("delegable-up-to: 24").after(&before)).does("cp14", l.promote(2, 25));
    assert_eq!(s.weight("L1"), 5);
    s.does("user1", l.promote(2, 25));
    assert_eq!(s.weight("L1"), 25);
}

const HARDWARE: &str = "rules: {cosign: {hardware: true}, promote: {hardware: true}, policy: {hardware: true}}";

fn hardened() -> Rulebook {
    rulebook().with(HARDWARE).keys("user1", &[sk(1)]).keys("user2", &[sk(2)]).keys("user3", &[ssh(3)])
}

#[test]
fn hardware_counts_only_enrolled_and_touched() {
    let l = lease("L1");
    let good = || who("user1").key(sk(1)).touched();
    let bad: [Voter; 6] = [
        good().untouched(),
        who("user1").key(sk(1)),
        who("user1").key(ssh(1)).touched(),
        who("user1").key(minisign(1)).touched(),
        who("user1").key(sk_for(1, "ssh:other")).touched(),
        // A software key's secret can sign as if an authenticator held it.
        who("user3").key(sk(3)).touched(),
    ];
    let mut s = Story::new(&hardened());
    s.proposes(&l);
    for bad in &bad {
        s.refuses(bad.clone(), l.cosign(), "hardware-required");
    }
    s.refuses("user3", l.cosign(), "hardware-required").does("cp14", l.cosign()).does(good(), l.cosign());
    s.does("user3", l.start(5));
    s.refuses(bad[0].clone(), l.promote(2, 25), "hardware-required").does(good(), l.promote(2, 25));
    let next = hardened().after(&hardened());
    assert_eq!(s.step(|d| d.policy(&next)), super::story::NONE);
    s.refuses(bad[0].clone(), enact(&next), "hardware-required").does(good(), enact(&next));
    s.does("user3", freeze(1)).refuses(bad[5].clone(), thaw(1), "hardware-required").does(good(), thaw(1));
    s.does(bad[2].clone(), l.stop(StopKind::Halt, 1));
    assert_eq!(s.phase("L1"), Phase::Halted, "stops ask for no hardware");
}

#[test]
fn verified_counts_only_where_the_authenticator_checked_who_it_was() {
    let l = lease("L1");
    let rules = |word: &str| {
        let rule = format!("rules: {{cosign: {{hardware: {word}}}}}");
        rulebook().with(&rule).keys("user1", &[sk(1)]).keys("user2", &[sk(2)])
    };
    let touched = || who("user1").key(sk(1)).touched();
    for word in ["true", "presence"] {
        let mut s = Story::new(&rules(word));
        s.proposes(&l).does(touched(), l.cosign()).does(who("user2").key(sk(2)).verified(), l.cosign());
    }
    let mut s = Story::new(&rules("verified"));
    s.proposes(&l).refuses(touched(), l.cosign(), "hardware-required");
    s.refuses(who("user1").key(ssh(1)).verified(), l.cosign(), "hardware-required");
    s.does(touched().verified(), l.cosign()).does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

const SEPARATE: &str =
    "rules: {cosign: {separate-proposer: true}, promote: {separate-proposer: true}, policy: {separate-proposer: true}}";

#[test]
fn the_proposer_does_not_count() {
    let (l, rules) = (lease("L1"), rulebook().with(SEPARATE));
    for key in [seed("user1"), seed("user1") + 100] {
        let mut s = Story::new(&rules);
        assert_eq!(s.signed_step(Some(key), |d| d.lease(&l)), super::story::NONE);
        s.refuses("user1", l.cosign(), "proposer").does("cp14", l.cosign()).does("user2", l.cosign());
        s.does("user1", l.start(5));
        s.refuses("user1", l.promote(2, 25), "proposer").does("user2", l.promote(2, 25)).does("cp14", l.promote(2, 25));
        assert_eq!(s.weight("L1"), 25);
        s.does("user1", freeze(1)).does("user1", thaw(1)).does("cp14", thaw(1));
        assert_eq!(s.state.frozen(), None, "a thaw has no proposer");
    }
    let mut s = Story::new(&rulebook());
    s.signed_step(Some(seed("user1")), |d| d.lease(&l));
    s.does("user1", l.cosign());
}

#[test]
fn nobody_counts_where_the_proposer_is_unknown() {
    let (l, rules) = (lease("L1"), rulebook().with(SEPARATE));
    let proposed_by = |signer: Option<u8>, side: &dyn Fn(super::story::StepDraft) -> super::story::StepDraft| {
        let mut s = Story::new(&rules);
        let lost = ssh(seed("user3") + 100);
        s.does(who("user3").key(lost.clone()), revoke(&lost));
        s.signed_step(signer, |d| side(d).lease(&l));
        s
    };
    let plain = |d| d;
    let signed = ordinary(Some(seed("cp20")));
    let malformed = Opened::Malformed(Refusal::new(Reason::Malformed, "…"));
    for mut s in [
        proposed_by(None, &plain),
        proposed_by(Some(66), &plain),
        proposed_by(Some(seed("user3") + 100), &plain),
        proposed_by(Some(seed("cp20")), &|d| d.ordinary(None)),
        proposed_by(None, &|d| d.ordinary(Some(seed("cp20")))),
        proposed_by(Some(seed("cp20")), &|d| d.ordinary(Some(66))),
        proposed_by(Some(seed("cp20")), &|d| d.commit(signed.clone(), Descent::Foreign)),
        proposed_by(Some(seed("cp20")), &|d| d.commit(forged_commit(seed("cp20")), Descent::Descends)),
        proposed_by(Some(seed("cp20")), &|d| d.commit(malformed.clone(), Descent::Descends)),
    ] {
        s.refuses("user2", l.cosign(), "proposer").refuses("cp14", l.cosign(), "proposer");
        assert_eq!(s.phase("L1"), Phase::Proposed);
    }
    // The honest twins: a signed commit, a merge with all its commits signed, a carrier beside them.
    for mut s in [
        proposed_by(Some(seed("cp20")), &plain),
        proposed_by(Some(seed("cp20")), &|d| d.ordinary(Some(seed("cp20")))),
        proposed_by(Some(seed("cp20")), &|d| d.vote("user2", freeze(9))),
    ] {
        s.does("user2", l.cosign()).does("cp14", l.cosign());
        assert_eq!(s.phase("L1"), Phase::Authorized);
    }
}

/// Without a key nobody hides who proposed, and has nobody left out as a proposer.
#[test]
fn what_comes_unsigned_takes_no_proposer_away_and_makes_nobody_one() {
    let (l, other, rules) = (lease("L1"), lease("L1").with("summary: other"), rulebook().with(SEPARATE));
    let (first, there) = ("leases/0/L1.yaml", || bytes(&l.yaml()));
    let signed = |s: &mut Story| {
        assert_eq!(s.signed_step(Some(seed("user1")), |d| d.lease(&l)), super::story::NONE);
    };
    let copied = |s: &mut Story| drop(s.step(|d| d.file(first, there())));
    let steps: [&dyn Fn(&mut Story); 7] = [
        &|s| {
            signed(s);
            copied(s);
        },
        // Before the proposal, which then comes to another place.
        &|s| {
            copied(s);
            signed(s);
        },
        &|s| {
            signed(s);
            s.step(|d| d.file(&l.path(), Entry::Absent));
            s.step(|d| d.lease(&l));
        },
        &|s| {
            signed(s);
            s.step(|d| d.lease(&other));
            s.step(|d| d.lease(&l));
        },
        // A merge of somebody's signed work that nobody signed, or that only a stranger did.
        &|s| {
            signed(s);
            s.step(|d| d.ordinary(Some(seed("cp14"))).file(first, there()));
        },
        &|s| {
            signed(s);
            s.signed_step(Some(66), |d| d.ordinary(Some(seed("user2"))).file(first, there()));
        },
        &|s| {
            signed(s);
            s.signed_step(Some(seed("user1")), |d| {
                d.ordinary(Some(66)).ordinary(Some(seed("user2"))).file(first, there())
            });
        },
    ];
    for (at, step) in steps.iter().enumerate() {
        let mut s = Story::new(&rules);
        step(&mut s);
        s.refuses("user1", l.cosign(), "proposer").does("user2", l.cosign()).does("cp14", l.cosign());
        assert_eq!(s.phase("L1"), Phase::Authorized, "{at}");
    }
    // What a key signs does make its owner a proposer, until a vote has pinned who that was.
    let mut s = Story::new(&rules);
    signed(&mut s);
    s.signed_step(Some(seed("user2")), |d| d.file(first, there()));
    s.refuses("user2", l.cosign(), "proposer").does("user3", l.cosign());
    s.signed_step(Some(seed("cp14")), |d| d.file("leases/1/L1.yaml", there()));
    s.does("cp14", l.cosign());
}

/// Such a step changes no file, so what its signer may have brought in it is brought by whoever brings it again.
#[test]
fn a_step_that_changes_too_much_leaves_files_and_proposers_as_they_were() {
    let (l, m) = (lease("L1"), lease("L2"));
    let mut s = Story::new(&rulebook().with(SEPARATE));
    s.signed_step(Some(seed("user1")), |d| d.lease(&l));
    let too_much = |d: super::story::StepDraft| d.file("leases", Entry::TooMuch);
    assert_eq!(s.signed_step(Some(seed("user2")), too_much), ["too-large"]);
    s.refuses("user1", l.cosign(), "proposer").does("user2", l.cosign()).does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
    s.refuses("user1", m.cosign(), "unknown-lease");
    assert_eq!(s.signed_step(Some(seed("user1")), |d| d.lease(&m)), super::story::NONE);
    s.refuses("user1", m.cosign(), "proposer").does("user2", m.cosign());
}

#[test]
fn a_policy_that_is_taken_away_and_brought_back_keeps_its_proposer() {
    let rules = rulebook().with(SEPARATE);
    let next = rules.clone().after(&rules);
    let mut s = Story::new(&rules);
    s.signed_step(Some(seed("user1")), |d| d.policy(&next));
    s.does("user2", enact(&next));
    s.step(|d| d.policy(&rules));
    s.step(|d| d.policy(&next));
    s.refuses("user1", enact(&next), "proposer").does("user3", enact(&next));
    assert_eq!(s.state.policy().digest(), next.digest());
}

#[test]
fn everybody_who_signed_a_commit_of_a_merge_is_a_proposer() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook().with(SEPARATE));
    s.signed_step(Some(seed("user1")), |d| d.ordinary(Some(seed("cp14"))).lease(&l));
    s.refuses("user1", l.cosign(), "proposer").refuses("cp14", l.cosign(), "proposer");
    s.does("user2", l.cosign()).does("cp15", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn the_proposer_of_a_policy_does_not_count() {
    let rules = rulebook().with(SEPARATE);
    let next = rules.clone().after(&rules);
    let mut s = Story::new(&rules);
    s.signed_step(Some(seed("user1")), |d| d.policy(&next));
    s.refuses("user1", enact(&next), "proposer").does("user2", enact(&next)).does("user3", enact(&next));
    assert_eq!(s.state.policy().digest(), next.digest());
    let mut s = Story::new(&rules);
    s.step(|d| d.policy(&next));
    s.refuses("user2", enact(&next), "proposer");
}

#[test]
fn a_vote_that_no_longer_counts_does_not_stand_in_its_principals_way() {
    let l = lease("L1");
    let rules = rulebook().keys("user1", &[ssh(1), sk(101)]);
    let mut s = Story::new(&rules);
    s.proposes(&l).does(who("user1").by_commit(), l.cosign()).does("user1", freeze(1)).does("user1", thaw(1));
    let strict = rules.clone().with("rules: {cosign: {deliberate: true}, promote: {hardware: true}}").after(&rules);
    s.enacts(&strict).does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed, "the Git signature does not count any more");
    s.does("user1", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
    s.does("cp14", thaw(1));
    assert!(s.state.frozen().is_some());
    s.does(who("user1").key(sk(101)).touched(), thaw(1));
    assert_eq!(s.state.frozen(), None);
}

#[test]
fn a_vote_that_does_not_count_for_a_while_is_kept_when_others_vote() {
    let l = lease("L1");
    let loose = rulebook();
    let strict = loose.clone().with("rules: {cosign: {deliberate: true}}").after(&loose);
    let mut s = Story::new(&loose);
    s.proposes(&l).does(who("user1").by_commit(), l.cosign()).enacts(&strict).does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed);
    s.enacts(&loose.clone().after(&strict)).does("cp15", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}
