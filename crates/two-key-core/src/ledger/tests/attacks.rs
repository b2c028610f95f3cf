//! What people with too few keys, or none, may try with files, fingerprints and names.

use super::story::{NONE, Story, bytes, lease, minisign, revoke, rulebook, seed, who};
use crate::{
    ledger::{Entry, Phase, Resolution, resolve},
    model::{Action, LeaseId, Reason, StopKind, policy},
};

fn story() -> Story {
    Story::new(&rulebook())
}

#[test]
fn deleting_a_proposal_does_not_outrun_a_stop() {
    let (l, m) = (lease("L1"), lease("M1"));
    let mut s = story();
    s.proposes(&l).proposes(&m);
    assert_eq!(s.step(|draft| draft.file(&l.path(), Entry::Absent)), NONE);
    s.does("user2", l.stop(StopKind::Withdraw, 1));
    assert_eq!(s.phase("L1"), Phase::Withdrawn);
    s.proposes(&l).refuses("user1", l.cosign(), "wrong-state");
    // The same where the stop is brought in by the very merge that deletes the file.
    let stop = m.stop(StopKind::Halt, 2);
    assert_eq!(s.step(|draft| draft.file(&m.path(), Entry::Absent).vote("user2", stop)), NONE);
    assert_eq!(s.phase("M1"), Phase::Withdrawn);
    s.refuses("user2", lease("N1").stop(StopKind::Halt, 3), "unknown-lease");
}

#[test]
fn copying_or_moving_a_file_makes_nobody_the_proposer_instead() {
    let strict = rulebook().with("rules:\n  cosign: {human: 1, agent: 1, separate-proposer: true}");
    let l = lease("L1");
    for moved in [false, true] {
        let mut s = Story::new(&strict);
        assert_eq!(s.signed_step(Some(seed("user1")), |draft| draft.lease(&l)), NONE);
        let there = bytes(&l.yaml());
        let found = s.signed_step(Some(seed("edge1")), |draft| {
            let draft = draft.file("leases/0/L1.yaml", there);
            if moved { draft.file(&l.path(), Entry::Absent) } else { draft }
        });
        assert_eq!(found, NONE);
        s.refuses("user1", l.cosign(), "proposer").does("user2", l.cosign()).does("cp14", l.cosign());
        assert_eq!(s.phase("L1"), Phase::Authorized);
    }
}

#[test]
fn no_two_keys_of_a_policy_have_one_fingerprint() {
    let one = rulebook().keys("user1", &[minisign(1)]);
    assert!(policy::read(one.yaml().as_bytes()).is_ok());
    let two = one.keys("cp14", &[minisign(4)]);
    let error = policy::read(two.yaml().as_bytes()).unwrap_err();
    assert_eq!(error.reason, Reason::SameKey, "{error}");
}

#[test]
fn a_key_revokes_itself_in_whatever_wrapping_it_signs() {
    let mut s = story();
    let own = minisign(seed("user1"));
    s.refuses("user2", revoke(&own), "unknown-key").does(who("user1").key(own.clone()), revoke(&own));
    assert!(s.state.revoked().contains_key(&own.raw()));
    s.proposes(&lease("L1")).refuses("user1", lease("L1").cosign(), "revoked-key");
}

#[test]
fn no_proposal_turns_a_stop_away_from_its_target() {
    let l = lease("L1");
    let at = |s: &Story, action| resolve(&s.state, "web", Some(action));
    let is = |id: &str| Resolution::Lease(LeaseId::parse(id).unwrap());
    let (named, meant) = (lease("web").on("db"), lease("M1").on("db").with("intent: web"));
    let later = lease("Z1");
    let mut s = story();
    s.rolls_out(&l).proposes(&named).proposes(&meant).proposes(&later);
    for action in [Action::Halt, Action::Rollback, Action::Pause] {
        assert_eq!(at(&s, action), is("L1"), "{action}");
    }
    s.does("user1", l.complete(4));
    for action in [Action::Halt, Action::Rollback] {
        assert_eq!(at(&s, action), is("L1"), "{action}");
    }
    // Where keys were turned for a lease of the target's name, somebody has to say which one is meant.
    s.does("user1", named.cosign());
    let both = ["web", "L1"].map(|id| LeaseId::parse(id).unwrap()).to_vec();
    assert_eq!(at(&s, Action::Halt), Resolution::Ambiguous(both));
    assert_eq!(resolve(&s.state, "L1", Some(Action::Halt)), is("L1"));
}

#[test]
fn the_ledger_keeps_little_of_what_is_wrong_with_files() {
    let mut s = story();
    let codes = s.step(|draft| {
        (0..1000).fold(draft, |draft, number| draft.file(&format!("leases/{number:04}.yaml"), Entry::NotAFile))
    });
    assert_eq!(codes.len(), 11);
    assert!(s.last.findings[10].refusal.message.starts_with("990 more"));

    let names = vec!["nobody"; 6000].join(", ");
    let crowd = rulebook().with(&format!("rules:\n  cosign: {{agents: [{names}]}}"));
    let codes = s.step(|draft| draft.policy(&crowd));
    assert_eq!(codes, ["malformed"]);
    let length = s.last.findings[0].refusal.message.len();
    assert!(length < 3000, "{length}");
}
