//! Every reason code of a vote, got exactly, each beside the honest twin that differs in one thing.

use super::story::{
    NONE, StepDraft, Story, enact, freeze, lease, minisign, negative, revoke, rulebook, seed, sk, ssh, statement, thaw,
    who,
};
use crate::{
    ledger::{Descent, EventKind, Phase},
    model::{PrincipalId, Reason, Refusal, RepositoryId, StopKind},
    signature::{BadVote, Opened},
};

fn story() -> Story {
    Story::new(&rulebook())
}

#[test]
fn unknown_key() {
    let l = lease("L1");
    story()
        .proposes(&l)
        .refuses(who("user1").key(ssh(66)), l.cosign(), "unknown-key")
        .refuses("mallory", l.stop(StopKind::Halt, 1), "unknown-key")
        .does("user1", l.cosign());
}

#[test]
fn unknown_key_to_revoke() {
    story()
        .refuses("user1", revoke(&ssh(66)), "unknown-key")
        .refuses("user1", revoke(&minisign(seed("cp14"))), "unknown-key")
        .does("user1", revoke(&ssh(seed("cp14"))));
}

#[test]
fn wrong_role_of_an_applier_in_every_rule() {
    let l = lease("L1");
    let mut s = story();
    s.proposes(&l).refuses("edge1", l.cosign(), "wrong-role").does("user1", l.cosign()).does("cp14", l.cosign());
    s.refuses("edge1", l.start(5), "wrong-role").does("cp14", l.start(5));
    s.refuses("edge1", l.promote(2, 25), "wrong-role");
    s.does("user1", l.promote(2, 25)).does("cp14", l.promote(2, 25));
    s.does("user1", l.stop(StopKind::Pause, 1)).refuses("edge1", l.resume(4), "wrong-role");
    s.does("user1", l.resume(4)).does("cp14", l.resume(4));
    s.does("user1", l.promote(5, 100)).does("cp14", l.promote(5, 100));
    s.refuses("edge1", l.complete(6), "wrong-role").does("user1", l.complete(6));
    s.refuses("edge1", freeze(1), "wrong-role").does("user1", freeze(1));
    s.refuses("edge1", thaw(1), "wrong-role").does("user1", thaw(1)).does("cp14", thaw(1));
    let next = rulebook().after(&rulebook());
    assert_eq!(s.step(|d| d.policy(&next)), NONE);
    s.refuses("edge1", enact(&next), "wrong-role").does("user1", enact(&next));
}

#[test]
fn wrong_role_of_an_agent_that_the_rule_does_not_list() {
    let rules = rulebook().with("rules:\n  cosign: {agents: [cp14, cp15]}\n  promote: {agents: [cp14]}");
    let l = lease("L1");
    let mut s = Story::new(&rules);
    s.proposes(&l).refuses("cp20", l.cosign(), "wrong-role").does("cp15", l.cosign()).does("user1", l.cosign());
    s.does("cp20", l.start(5));
    s.refuses("cp15", l.promote(2, 25), "wrong-role").does("cp14", l.promote(2, 25));
}

#[test]
fn wrong_role_of_an_applier_at_anothers_target() {
    let (web, db) = (lease("L1"), lease("L2").on("db"));
    let mut s = story();
    s.rolls(&web).rolls(&db);
    s.refuses("edge1", db.stop(StopKind::Halt, 1), "wrong-role").does("edge2", db.stop(StopKind::Halt, 1));
    s.refuses("edge2", web.stop(StopKind::Pause, 1), "wrong-role").does("edge1", web.stop(StopKind::Pause, 1));
    assert_eq!((s.phase("L1"), s.phase("L2")), (Phase::Paused { tier: 0 }, Phase::Halted));
}

#[test]
fn wrong_role_to_revoke() {
    let key = |name: &str| ssh(seed(name));
    for (by, whose) in [
        ("user1", key("user2")),
        ("user1", ssh(seed("user1") + 100)),
        ("cp14", key("user1")),
        ("cp14", key("cp15")),
        ("cp14", key("edge1")),
        ("edge1", key("edge2")),
        ("edge1", key("cp14")),
    ] {
        story().refuses(by, revoke(&whose), "wrong-role");
    }
    for (by, whose) in [
        ("user1", key("user1")),
        ("user1", key("cp14")),
        ("user1", key("edge1")),
        ("cp14", key("cp14")),
        ("edge1", key("edge1")),
    ] {
        let mut s = story();
        s.does(by, revoke(&whose));
        assert_eq!(s.events(), [EventKind::KeyRevoked]);
        assert!(!s.state.key_in_force(whose.raw()));
    }
}

#[test]
fn wrong_principal() {
    let l = lease("L1");
    story()
        .proposes(&l)
        .refuses(who("user1").claiming("user2"), l.cosign(), "wrong-principal")
        .refuses(who("user1").claiming("User1"), l.cosign(), "wrong-principal")
        .refuses(who("cp14").claiming("user1"), l.stop(StopKind::Halt, 1), "wrong-principal")
        .does("user1", l.cosign());
}

#[test]
fn missing_role_of_a_git_signature_where_the_rule_is_deliberate() {
    let rules = rulebook()
        .with("rules:\n  cosign: {deliberate: true}\n  promote: {deliberate: true}\n  policy: {deliberate: true}");
    let l = lease("L1");
    let mut s = Story::new(&rules);
    s.proposes(&l).refuses(who("user1").by_commit(), l.cosign(), "missing-role");
    s.does("user1", l.cosign()).does(who("cp14").by_commit(), l.cosign());
    s.does(who("user1").by_commit(), l.start(5));
    s.refuses(who("user1").by_commit(), l.promote(2, 25), "missing-role");
    s.does("user1", l.promote(2, 25)).does(who("cp14").by_commit(), l.promote(2, 25));
    let next = rules.clone().after(&rules);
    assert_eq!(s.step(|d| d.policy(&next)), NONE);
    s.refuses(who("user1").by_commit(), enact(&next), "missing-role").does("user1", enact(&next));
    s.does(who("user2").by_commit(), l.stop(StopKind::Halt, 1));
    Story::new(&rulebook()).proposes(&l).does(who("user1").by_commit(), l.cosign());
}

#[test]
fn already_voted_same_principal_and_same_key() {
    let l = lease("L1");
    let mut s = story();
    s.authorizes(&l).does("user1", l.start(5));
    let subject = l.promote(2, 25);
    s.does("user1", subject.clone());
    s.refuses("user1", subject.clone(), "already-voted");
    s.refuses(who("user1").by_commit(), subject.clone(), "already-voted");
    s.refuses(who("user1").key(sk(seed("user1"))).touched(), subject.clone(), "same-key");
    s.refuses(who("user1").key(minisign(seed("user1"))), subject.clone(), "same-key");
    s.refuses(who("user1").key(ssh(seed("user1") + 100)), subject.clone(), "same-principal");
    assert_eq!(s.weight("L1"), 5);
    s.does("cp14", subject);
    assert_eq!(s.weight("L1"), 25);
}

#[test]
fn already_voted_same_principal_and_same_key_for_cosign_thaw_and_policy() {
    let l = lease("L1");
    let next = rulebook().after(&rulebook());
    let mut s = story();
    s.proposes(&l).does("user2", freeze(1));
    assert_eq!(s.step(|d| d.policy(&next)), NONE);
    for subject in [l.cosign(), thaw(1), enact(&next)] {
        s.does("cp14", subject.clone());
        s.refuses("cp14", subject.clone(), "already-voted");
        s.refuses(who("cp14").key(minisign(seed("cp14"))), subject.clone(), "same-key");
        s.refuses(who("cp14").key(ssh(seed("cp14") + 100)), subject.clone(), "same-principal");
        s.does("user1", subject);
    }
    assert_eq!(s.phase("L1"), Phase::Authorized);
    assert_eq!(s.state.frozen(), None);
    assert_eq!(s.state.policy().digest(), next.digest());
}

#[test]
fn one_signature_is_one_vote_even_when_rewrapped_within_a_step() {
    let l = lease("L1");
    let mut s = story();
    s.proposes(&l);
    assert_eq!(
        s.step(|d| d.vote("cp14", l.cosign()).vote("cp14", l.cosign()).vote(who("cp14").by_commit(), l.cosign())),
        ["already-voted", "already-voted"]
    );
    assert_eq!(s.phase("L1"), Phase::Proposed);
    assert_eq!(s.step(|d| d.vote("cp14", l.cosign()).vote("user1", l.cosign())), ["already-voted"]);
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn already_revoked() {
    let key = ssh(seed("cp14"));
    story()
        .does("user1", revoke(&key))
        .refuses("user2", revoke(&key), "already-voted")
        .does("user2", revoke(&ssh(seed("cp15"))));
}

#[test]
fn revoked_key() {
    let l = lease("L1");
    let mut s = story();
    s.proposes(&l).does("user2", revoke(&ssh(seed("cp14"))));
    s.refuses("cp14", l.cosign(), "revoked-key");
    s.refuses(who("cp14").key(minisign(seed("cp14"))), l.cosign(), "revoked-key");
    s.refuses(who("cp14").key(negative(seed("cp14"))), l.cosign(), "revoked-key");
    s.refuses(who("cp14").key(negative(seed("cp15"))), l.cosign(), "unknown-key");
    s.refuses("cp14", l.stop(StopKind::Halt, 1), "revoked-key");
    s.refuses("cp14", revoke(&ssh(seed("cp14"))), "revoked-key");
    s.does(who("cp14").key(ssh(seed("cp14") + 100)), l.cosign()).does("user1", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn digest_mismatch() {
    let (l, other) = (lease("L1"), lease("L1").with("summary: other bytes"));
    let mut s = story();
    s.proposes(&l).refuses("user1", other.cosign(), "digest-mismatch").does("user1", l.cosign());
    s.refuses("cp14", other.cosign(), "digest-mismatch").does("cp14", l.cosign());
    s.refuses("cp14", other.start(5), "digest-mismatch").does("cp14", l.start(5));
    s.refuses("cp14", other.promote(2, 25), "digest-mismatch").does("cp14", l.promote(2, 25));
}

#[test]
fn a_cosignature_of_one_lease_is_none_of_another() {
    let (one, two) = (lease("L1"), lease("L2"));
    let mut s = story();
    s.proposes(&one).proposes(&two);
    let lifted = crate::model::Subject::Cosign { lease: two.lease_id(), digest: one.digest() };
    s.refuses("user1", lifted, "digest-mismatch").does("user1", two.cosign());
}

#[test]
fn wrong_repository_of_a_statement() {
    let l = lease("L1");
    let mut s = story();
    s.proposes(&l);
    let mut foreign = statement(l.cosign());
    foreign.repository = RepositoryId::parse(&"0".repeat(32)).unwrap();
    assert_eq!(s.step(|d| d.carrier("user1", foreign.clone(), Descent::Descends)), ["wrong-repository"]);
    foreign.subject = l.stop(StopKind::Halt, 1);
    assert_eq!(s.step(|d| d.carrier("user1", foreign, Descent::Descends)), ["wrong-repository"]);
    s.does("user1", l.cosign());
}

#[test]
fn not_descended() {
    let l = lease("L1");
    let mut s = story();
    s.proposes(&l).does("user1", l.cosign());
    for subject in [l.cosign(), l.stop(StopKind::Halt, 1), revoke(&ssh(seed("cp14")))] {
        let before = s.state.leases().cloned().collect::<Vec<_>>();
        assert_eq!(s.step(|d| d.carrier("cp14", statement(subject), Descent::Foreign)), ["not-descended"]);
        assert_eq!(s.state.leases().cloned().collect::<Vec<_>>(), before);
    }
    assert_eq!(s.step(|d| d.carrier("cp14", statement(l.cosign()), Descent::Descends)), NONE);
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn unknown_lease() {
    let (l, other) = (lease("L1"), lease("L2"));
    story()
        .proposes(&l)
        .refuses("user1", other.cosign(), "unknown-lease")
        .refuses("user1", other.start(5), "unknown-lease")
        .refuses("user1", other.stop(StopKind::Halt, 1), "unknown-lease")
        .does("user1", l.cosign());
}

#[test]
fn lease_changed() {
    let (l, edited) = (lease("L1"), lease("L1").with("summary: edited"));
    let mut s = story();
    s.proposes(&l).does("user1", l.cosign());
    assert_eq!(s.step(|d| d.lease(&edited)), ["lease-changed"]);
    s.refuses("cp14", edited.cosign(), "lease-changed").does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn not_authorized() {
    let l = lease("L1");
    story()
        .proposes(&l)
        .refuses("cp14", l.start(5), "not-authorized")
        .does("user1", l.cosign())
        .refuses("cp14", l.start(5), "not-authorized")
        .does("cp14", l.cosign())
        .does("cp14", l.start(5));
}

#[test]
fn stale_step() {
    let l = lease("L1");
    let mut s = story();
    s.authorizes(&l).refuses("cp14", l.start_as(2, 5), "stale-step").refuses("cp14", l.start_as(0, 5), "stale-step");
    s.does("cp14", l.start(5)).refuses("user1", l.start(5), "stale-step");
    s.refuses("cp14", l.promote(1, 25), "stale-step").refuses("cp14", l.promote(3, 25), "stale-step");
    s.does("cp14", l.promote(2, 25));
    s.refuses("cp14", thaw(1), "stale-step").does("user1", freeze(1)).refuses("cp14", thaw(0), "stale-step");
    s.does("cp14", thaw(1));
}

#[test]
fn tier_skipped() {
    let l = lease("L1");
    story()
        .authorizes(&l)
        .refuses("cp14", l.start(25), "tier-skipped")
        .does("cp14", l.start(5))
        .refuses("cp14", l.promote(2, 100), "tier-skipped")
        .refuses("cp14", l.promote(2, 5), "tier-skipped")
        .does("cp14", l.promote(2, 25));
}

#[test]
fn wrong_state() {
    let l = lease("L1");
    let mut s = story();
    s.authorizes(&l).refuses("cp14", l.promote(1, 5), "wrong-state").refuses("cp14", l.complete(1), "wrong-state");
    s.refuses("cp14", thaw(0), "wrong-state").does("cp14", l.start(5));
    s.refuses("user2", l.cosign(), "wrong-state").refuses("cp14", l.start_as(2, 5), "wrong-state");
    s.refuses("cp14", l.resume(2), "wrong-state").refuses("cp14", l.complete(2), "wrong-state");
    s.does("user1", l.stop(StopKind::Pause, 1));
    s.refuses("cp14", l.promote(3, 25), "wrong-state").refuses("cp14", l.complete(3), "wrong-state");
    s.does("cp14", l.resume(3)).does("user1", l.resume(3)).does("cp14", l.promote(4, 25));
    s.does("user1", l.stop(StopKind::Halt, 2)).refuses("cp14", l.resume(5), "wrong-state");
    s.does("user1", l.stop(StopKind::Rollback, 3)).refuses("cp14", l.resume(6), "wrong-state");
    s.refuses("cp14", l.start_as(6, 5), "wrong-state");
}

#[test]
fn wrong_state_at_the_last_tier_and_after_it() {
    let l = lease("L1");
    let mut s = story();
    s.rolls_out(&l).refuses("cp14", l.promote(4, 100), "wrong-state").does("cp14", l.complete(4));
    assert_eq!((s.phase("L1"), s.weight("L1")), (Phase::Completed, 100));
    s.refuses("cp14", l.complete(5), "wrong-state").refuses("cp14", l.resume(5), "wrong-state");
}

#[test]
fn target_busy() {
    let (one, two) = (lease("L1"), lease("L2"));
    let mut s = story();
    s.rolls(&one).authorizes(&two).refuses("cp14", two.start(5), "target-busy");
    s.does("user1", one.stop(StopKind::Pause, 1)).refuses("cp14", two.start(5), "target-busy");
    s.does("user1", one.stop(StopKind::Halt, 2)).refuses("cp14", two.start(5), "target-busy");
    s.does("user1", one.stop(StopKind::Rollback, 3)).does("cp14", two.start(5));
    s.authorizes(&lease("L3").on("db")).does("cp14", lease("L3").on("db").start(5));
}

#[test]
fn frozen() {
    let (l, other) = (lease("L1"), lease("L2").on("db"));
    let mut s = story();
    s.rolls(&l).authorizes(&other).does("cp14", freeze(1));
    s.refuses("cp14", l.promote(2, 25), "frozen").refuses("user1", other.start(5), "frozen");
    s.does("user1", thaw(1)).does("cp14", thaw(1));
    s.does("cp14", l.promote(2, 25)).does("user1", other.start(5));
}

#[test]
fn findings_of_signatures_that_do_not_verify_are_passed_on() {
    let l = lease("L1");
    let mut s = story();
    s.proposes(&l);
    let bad = |reason| BadVote {
        claims: PrincipalId::parse("user1"),
        action: crate::model::Action::Cosign,
        refusal: Refusal::new(reason, "…"),
    };
    let reasons = [Reason::Unsigned, Reason::BadSignature, Reason::Malformed];
    let opened = reasons.map(|reason| Opened::Carrier {
        statement: statement(l.cosign()),
        committed: 0,
        sealed: Vec::new(),
        own: Some(Err(bad(reason)).into()),
    });
    let bring =
        |draft| opened.into_iter().fold(draft, |draft: StepDraft, opened| draft.commit(opened, Descent::Descends));
    assert_eq!(s.step(bring), ["unsigned", "bad-signature", "malformed"]);
    let malformed = Opened::Malformed(Refusal::new(Reason::Malformed, "…"));
    assert_eq!(s.step(|d| d.commit(malformed, Descent::Descends).vote("user1", l.cosign())), ["malformed"]);
    assert_eq!(s.events(), [EventKind::Cosigned], "what came beside it counts");
}
