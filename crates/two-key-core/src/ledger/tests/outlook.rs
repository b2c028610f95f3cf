//! Which lease a handle means, and what a verb would sign.

use std::collections::BTreeSet;

use super::story::{NONE, Story, bytes, enact, lease, nonce, rulebook, seed, sk, ssh, statement};
use crate::{
    ledger::{Awaited, Entry, Hypothesis, Resolution, awaited, hypothetical, next_statement, resolve},
    model::{Action, LeaseId, PrincipalId, StopKind, Subject},
};

fn is(id: &str) -> Resolution {
    Resolution::Lease(LeaseId::parse(id).unwrap())
}

fn one_of(ids: [&str; 2]) -> Resolution {
    Resolution::Ambiguous(ids.map(|id| LeaseId::parse(id).unwrap()).to_vec())
}

#[test]
fn a_handle_is_an_id_an_intent_or_a_target() {
    let mut s = Story::new(&rulebook());
    s.proposes(&lease("L1").with("intent: fix"))
        .proposes(&lease("M1").on("db").with("intent: fix"))
        .proposes(&lease("N1").on("db").with("intent: other"));
    for (handle, meant) in [
        ("M1", is("M1")),
        ("other", is("N1")),
        ("fix", one_of(["L1", "M1"])),
        ("web", is("L1")),
        ("db", one_of(["M1", "N1"])),
        ("nothing", Resolution::Unknown),
    ] {
        assert_eq!(resolve(&s.state, handle, None), meant, "{handle}");
    }
}

#[test]
fn a_target_means_the_newest_lease_there_that_the_action_fits() {
    let l = lease("L1");
    let older = lease("L0").yaml().replace("issued: 2026-11-23", "issued: 2026-11-22");
    let at = |s: &Story, action| resolve(&s.state, "web", action);
    let mut s = Story::new(&rulebook());
    s.proposes(&l).proposes(&lease("X1").on("db"));
    assert_eq!(s.step(|draft| draft.file("leases/L0.yaml", bytes(&older))), NONE);
    assert_eq!((at(&s, Some(Action::Cosign)), at(&s, None)), (is("L1"), is("L1")));
    s.does("user1", l.cosign()).does("cp14", l.cosign());
    assert_eq!((at(&s, Some(Action::Cosign)), at(&s, Some(Action::Start))), (is("L0"), is("L1")));
    s.does("cp14", l.start(5));
    assert_eq!((at(&s, Some(Action::Start)), at(&s, Some(Action::Promote))), (is("L0"), is("L1")));
    assert_eq!((at(&s, Some(Action::Halt)), at(&s, None)), (is("L1"), is("L1")));
    s.does("user1", l.stop(StopKind::Rollback, 1));
    assert_eq!((at(&s, Some(Action::Halt)), at(&s, None)), (is("L0"), is("L0")), "what has ended comes last");
}

#[test]
fn whoever_looks_at_a_target_means_what_occupies_it_whatever_is_proposed_beside_it() {
    let (l, next) = (lease("L1"), lease("L2").yaml().replace("issued: 2026-11-23T00", "issued: 2026-11-23T01"));
    let mut s = Story::new(&rulebook());
    s.rolls(&l);
    assert_eq!(s.step(|draft| draft.file("leases/L2.yaml", bytes(&next))), NONE);
    assert_eq!(resolve(&s.state, "web", None), is("L1"));
    assert_eq!(resolve(&s.state, "web", Some(Action::Cosign)), is("L2"));
    s.does("user1", l.stop(StopKind::Halt, 1));
    assert_eq!(resolve(&s.state, "web", None), is("L1"), "a halted lease keeps its target");
    s.does("user1", l.stop(StopKind::Rollback, 2));
    assert_eq!(resolve(&s.state, "web", None), is("L2"), "nothing occupies it");
}

#[test]
fn an_intent_means_what_a_stop_or_step_is_possible_for_whatever_else_is_proposed_for_it() {
    let (l, other, third) = (lease("L1"), lease("M1").on("db"), lease("N1").on("mail"));
    let (l, other, third) = (l.with("intent: fix"), other.with("intent: fix"), third.with("intent: fix"));
    let mut s = Story::new(&rulebook());
    s.rolls(&l).proposes(&other);
    let means = |s: &Story, action| resolve(&s.state, "fix", action);
    for action in [Action::Halt, Action::Pause, Action::Rollback, Action::Promote] {
        assert_eq!(means(&s, Some(action)), is("L1"), "{action}");
    }
    assert_eq!((means(&s, None), means(&s, Some(Action::Cosign))), (is("L1"), is("M1")));
    // Withdrawn, it has ended.
    s.does("user1", other.stop(StopKind::Withdraw, 1));
    assert_eq!((means(&s, Some(Action::Halt)), means(&s, None)), (is("L1"), is("L1")));
    // Where keys were turned for both, the stop is to name one.
    s.rolls(&third);
    assert_eq!(means(&s, Some(Action::Halt)), one_of(["L1", "N1"]));
}

#[test]
fn a_target_is_one_that_the_policy_names_or_a_lease_started_on() {
    let away = lease("A1").on("elsewhere");
    let mut s = Story::new(&rulebook());
    s.proposes(&lease("L1")).rolls(&away);
    for id in ["web", "elsewhere", "nowhere"] {
        s.proposes(&lease(id).on("db"));
    }
    for (handle, meant) in [("web", "L1"), ("elsewhere", "A1"), ("nowhere", "nowhere")] {
        assert_eq!(resolve(&s.state, handle, None), is(meant), "{handle}");
    }
}

fn asks(s: &Story, action: Action, id: Option<&str>) -> Result<Subject, &'static str> {
    let id = id.map(|id| LeaseId::parse(id).unwrap());
    let statement = next_statement(&s.state, action, id.as_ref(), None, &nonce(1));
    statement.map(|statement| statement.subject).map_err(|refusal| refusal.reason.code())
}

#[test]
fn a_policy_vote_names_the_proposed_policy_and_never_the_one_in_force() {
    let next = rulebook().after(&rulebook());
    let mut s = Story::new(&rulebook());
    assert_eq!(asks(&s, Action::Policy, None), Err("policy-version"));
    assert_eq!(s.step(|draft| draft.policy(&next)), NONE);
    assert_eq!(asks(&s, Action::Policy, None), Ok(enact(&next)));
    s.enacts(&next);
    assert_eq!(asks(&s, Action::Policy, None), Err("policy-version"));
}

#[test]
fn a_verb_on_a_lease_says_what_it_would_sign_or_what_stands_against_it() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    assert_eq!(asks(&s, Action::Cosign, Some("L1")), Err("unknown-lease"));
    s.proposes(&l);
    assert_eq!(asks(&s, Action::Cosign, Some("L1")), Ok(l.cosign()));
    s.does("user1", l.cosign());
    assert_eq!(asks(&s, Action::Start, Some("L1")), Err("not-authorized"));
    s.does("cp14", l.cosign());
    assert_eq!(asks(&s, Action::Start, Some("L1")), Ok(l.start(5)));
    s.does("cp14", l.start(5));
    assert_eq!(asks(&s, Action::Start, Some("L1")), Err("wrong-state"));
    let m = lease("M1").on("db");
    s.proposes(&m).does("user1", m.stop(StopKind::Withdraw, 1));
    assert_eq!(s.step(|draft| draft.file(&m.path(), Entry::Absent)), NONE);
    assert_eq!(asks(&s, Action::Cosign, Some("M1")), Err("wrong-state"));
}

fn named(names: &[&str]) -> BTreeSet<PrincipalId> {
    names.iter().map(|name| PrincipalId::parse(name).unwrap()).collect()
}

#[test]
fn a_lease_awaits_others_than_who_proposed_the_bytes_that_were_voted_on() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook().with("rules: {cosign: {separate-proposer: true}}"));
    assert_eq!(s.signed_step(Some(seed("user1")), |draft| draft.lease(&l)), NONE);
    s.does("user2", l.cosign());
    assert_eq!(s.step(|draft| draft.file(&l.path(), Entry::Absent)), ["lease-changed"]);
    assert_eq!(s.signed_step(Some(seed("user2")), |draft| draft.lease(&l)), NONE, "brought back by who had signed it");
    let still = Awaited {
        action: Action::Cosign,
        step: None,
        tier: None,
        has: named(&["user2"]),
        humans: 0,
        agents: 1,
        open: Vec::new(),
        any_one: false,
        agent_alone: false,
        humans_who_could: named(&["user3"]),
        agents_who_could: named(&["cp14", "cp15", "cp20"]),
    };
    assert_eq!(awaited(&s.state, &l.lease_id()), Some(still));
}

#[test]
fn what_is_lacking_is_said_in_words() {
    let l = lease("L1");
    for (rule, votes, missing) in [
        (
            "{human: 1, agent: 1}",
            &[][..],
            "needs a human (user1, user2 or user3) and an agent (cp14, cp15 or cp20); has nobody",
        ),
        ("{human: 1, agent: 2}", &["user1"], "needs 2 agents (cp14, cp15 or cp20); has user1"),
        ("{human: 3, agent: 1}", &["user1", "cp14"], "needs 2 humans (user2 or user3); has user1, cp14"),
        ("{human: 2, agent: 1, humans: [user1, user3]}", &["user1", "cp14"], "needs a human (user3); has user1, cp14"),
        (
            "{human: 2, agent: 1, from: {leads: 1, sre: 1}}",
            &[],
            "needs 1 of leads (user1 or user2) and 1 of sre (user2 or user3) and an agent (cp14, cp15 or cp20); has nobody",
        ),
        (
            "{human: 2, agent: 1, from: {leads: 1, sre: 1}}",
            &["user2", "cp14"],
            "needs 1 of leads or sre (user1 or user3); has user2, cp14",
        ),
        (
            "{human: 3, agent: 1, from: {leads: 1}}",
            &["user3", "cp14"],
            "needs 1 of leads (user1 or user2) and a human (user1 or user2); has user3, cp14",
        ),
    ] {
        let groups = "groups: {leads: [user1, user2], sre: [user2, user3]}";
        let mut s = Story::new(&rulebook().with(&format!("{groups}\nrules: {{cosign: {rule}}}")));
        s.proposes(&l);
        for name in votes {
            s.does(*name, l.cosign());
        }
        s.refuses("user1", l.start(5), "not-authorized");
        let message = &s.last.findings[0].refusal.message;
        assert_eq!(message, &format!("lease L1 is not authorized: {missing}"));
    }
}

#[test]
fn a_preview_takes_it_that_a_security_key_will_be_touched_and_that_no_other_key_can_be() {
    let l = lease("L1");
    let (hard, soft) = (sk(seed("user1")), ssh(seed("user2")));
    let rules = rulebook().with("rules: {cosign: {hardware: true}}").keys("user1", std::slice::from_ref(&hard));
    let mut s = Story::new(&rules);
    s.proposes(&l);
    for (name, key, code) in [("user1", &hard, None), ("user2", &soft, Some("hardware-required"))] {
        let (statement, claims) = (statement(l.cosign()), PrincipalId::parse(name).unwrap());
        let vote = Hypothesis::IfSigned { statement: &statement, key, claims: &claims };
        let (_, report) = hypothetical(&s.state, vote);
        assert_eq!(report.findings.first().map(|finding| finding.refusal.reason.code()), code, "{name}");
    }
}
