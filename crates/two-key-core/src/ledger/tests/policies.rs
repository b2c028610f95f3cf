//! Policy changes and revocations.

use std::collections::BTreeSet;

use super::story::{
    NONE, Rulebook, Story, bytes, enact, freeze, lease, minisign, revoke, revoke_print, rulebook, seed, sk, ssh, thaw,
    who,
};
use crate::{
    ledger::{Content, Entry, EventKind, Phase, Vote, begin, rules},
    model::{PrincipalId, StopKind},
};

fn next() -> Rulebook {
    rulebook().after(&rulebook())
}

#[test]
fn one_human_and_one_agent_or_two_humans_change_the_policy() {
    for (names, enough) in [
        (&["user1", "cp14"][..], true),
        (&["cp14", "user1"], true),
        (&["user1", "user2"], true),
        (&["cp14", "cp15", "cp20"], false),
        (&["user1"], false),
    ] {
        let mut s = Story::new(&rulebook());
        assert_eq!(s.step(|d| d.policy(&next())), NONE);
        for name in names {
            s.does(*name, enact(&next()));
        }
        assert_eq!(s.state.policy().digest() == next().digest(), enough, "{names:?}");
        assert_eq!(s.events() == [EventKind::PolicyChanged], enough);
    }
}

#[test]
fn a_rule_that_names_more_humans_wants_them() {
    let rules = rulebook().with("rules: {policy: {human: 3, agent: 1}}");
    let next = rules.clone().after(&rules);
    let mut s = Story::new(&rules);
    s.step(|d| d.policy(&next));
    s.does("user1", enact(&next)).does("user2", enact(&next)).does("cp14", enact(&next));
    assert_eq!(s.state.policy().digest(), rules.digest());
    s.does("user3", enact(&next));
    assert_eq!(s.state.policy().digest(), next.digest());
}

#[test]
fn a_policy_of_two_humans_counts_no_agents_for_humans() {
    let rules = rulebook().with("rules: {policy: {human: 2, agent: 0}}");
    let next = rules.clone().after(&rules);
    let mut s = Story::new(&rules);
    s.step(|d| d.policy(&next));
    s.does("user1", enact(&next)).does("cp14", enact(&next)).does("cp15", enact(&next));
    assert_eq!(s.state.policy().digest(), rules.digest());
    s.does("user2", enact(&next));
    assert_eq!(s.state.policy().digest(), next.digest());
}

#[test]
fn a_policy_counts_from_the_next_step_on() {
    let without = rulebook().without("cp15").after(&rulebook());
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.proposes(&l);
    let codes = s.step(|d| {
        d.policy(&without).vote("user1", enact(&without)).vote("user2", enact(&without)).vote("cp15", l.cosign())
    });
    assert_eq!(codes, NONE, "in the same step the old policy still counts");
    s.refuses("cp15", l.start(5), "unknown-key").does("user1", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed, "cp15's vote does not count any more");
    s.does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn a_push_cannot_enrol_a_key_and_use_it_at_once() {
    let mut with = rulebook().after(&rulebook());
    with.principals.push(("mallory".into(), "human", vec![ssh(seed("mallory"))]));
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.proposes(&l).does("cp14", l.cosign());
    let codes = s.step(|d| {
        d.policy(&with).vote("user1", enact(&with)).vote("mallory", enact(&with)).vote("mallory", l.cosign())
    });
    assert_eq!(codes, ["unknown-key", "unknown-key"]);
    assert_eq!((s.phase("L1"), s.state.policy().digest()), (Phase::Proposed, rulebook().digest()));
    s.does("user2", enact(&with)).does("mallory", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn policy_version() {
    let good = next();
    let skipped = Rulebook { version: 3, ..good.clone() };
    let repeated = Rulebook { previous: Some(good.digest()), version: 2, ..good.clone() };
    for bad in [skipped, repeated, rulebook().with("delegable-up-to: 5")] {
        let mut s = Story::new(&rulebook());
        assert_eq!(s.step(|d| d.policy(&bad)), ["policy-version"]);
        s.refuses("user1", enact(&bad), "policy-version");
        assert_eq!(s.step(|d| d.policy(&good)), NONE);
        s.does("user1", enact(&good));
    }
}

#[test]
fn an_older_policy_does_not_come_back() {
    let (first, second) = (rulebook(), next());
    let third = first.clone().with("delegable-up-to: 5").after(&second);
    let mut s = Story::new(&first);
    s.enacts(&second);
    for old in [&first, &second] {
        let again = old.digest() == second.digest();
        assert_eq!(s.step(|d| d.policy(old)), if again { vec![] } else { vec!["policy-version"] });
        s.refuses("user1", enact(old), "policy-version");
    }
    s.enacts(&third);
    assert_eq!(s.step(|d| d.policy(&second)), ["policy-version"]);
    s.refuses("user1", enact(&second), "policy-version");
}

#[test]
fn policy_votes_name_the_bytes_in_the_tree() {
    let (one, other) = (next(), next().with("delegable-up-to: 5"));
    let mut s = Story::new(&rulebook());
    s.refuses("user1", enact(&one), "digest-mismatch");
    s.step(|d| d.policy(&one));
    s.refuses("user1", enact(&other), "digest-mismatch").does("user1", enact(&one));
    s.step(|d| d.policy(&other));
    s.refuses("user2", enact(&one), "digest-mismatch").does("user2", enact(&other));
    assert_eq!(s.state.policy().digest(), rulebook().digest(), "votes for different bytes do not add up");
}

#[test]
fn policies_that_can_never_be_in_force() {
    let foreign = next().yaml().replace("6f1c", "7f1c");
    let floor = next().with("rules: {promote: {human: 0, agent: 2}}").yaml();
    let moved = next().with("branch: trunk").yaml();
    let full = next().with("delegable-up-to: 100").yaml();
    let twice = next().keys("user2", &[minisign(seed("user1"))]).yaml();
    for (entry, code) in [
        (bytes(&foreign), "wrong-repository"),
        (bytes(&floor), "policy-floor"),
        (bytes(&moved), "policy-floor"),
        (bytes(&full), "policy-floor"),
        (bytes(&twice), "same-key"),
        (bytes("two-key: 1"), "malformed"),
        (Entry::NotAFile, "malformed"),
        (Entry::Absent, "malformed"),
        (Entry::TooLarge, "too-large"),
        (bytes(&next().with(&format!("# {}", "x".repeat(65_536))).yaml()), "too-large"),
    ] {
        let mut s = Story::new(&rulebook());
        assert_eq!(s.step(|d| d.policy_entry(entry.clone())), [code]);
        if let Entry::Regular(content) = &entry {
            let digest = crate::model::Digest::of(content);
            s.refuses("user1", crate::model::Subject::Policy { digest }, code);
        }
        assert_eq!(s.state.policy().digest(), rulebook().digest());
        assert_eq!(s.step(|d| d.policy(&next())), NONE);
        s.does("user1", enact(&next())).does("user2", enact(&next()));
        assert_eq!(s.state.policy().digest(), next().digest(), "what went before taints nothing");
    }
}

/// The smallest quorum: one human, one agent.
fn pair() -> Rulebook {
    ["user2", "user3", "cp15", "cp20"].into_iter().fold(rulebook(), Rulebook::without)
}

#[test]
fn a_policy_that_nobody_could_ever_change_is_refused() {
    let spent = ssh(seed("cp14"));
    let mut s = Story::new(&rulebook());
    s.does("user1", revoke(&spent));
    let stranding = pair().keys("cp14", &[spent]).after(&rulebook());
    assert_eq!(s.step(|d| d.policy(&stranding)), ["policy-floor"]);
    s.refuses("user1", enact(&stranding), "policy-floor");
    let fine = pair().after(&rulebook());
    assert_eq!(s.step(|d| d.policy(&fine)), NONE);
    s.does("user1", enact(&fine)).does("user2", enact(&fine));
    assert_eq!(s.state.policy().digest(), fine.digest());
}

#[test]
fn agents_that_the_policy_rule_does_not_list_cannot_change_it() {
    let listed = ["user2", "user3", "cp20"].into_iter().fold(rulebook(), Rulebook::without);
    let listed = listed.keys("cp14", &[ssh(seed("cp14"))]).keys("cp15", &[ssh(seed("cp15"))]);
    let listed = listed.with("rules: {policy: {agents: [cp14]}}").after(&rulebook());
    for (lost, codes) in [("cp15", vec![]), ("cp14", vec!["policy-floor"])] {
        let mut s = Story::new(&rulebook());
        s.does("user1", revoke(&ssh(seed(lost))));
        assert_eq!(s.step(|d| d.policy(&listed)), codes, "without {lost}");
    }
}

#[test]
fn hardware_that_nobody_has_strands() {
    let lines = "rules: {policy: {hardware: true}}";
    for (key, good) in [(ssh(1), false), (sk(1), true)] {
        let rules = pair().with(lines).keys("user1", &[key]);
        let step = super::story::StepDraft::new(0).policy(&rules).finish(None);
        let codes = begin(&step).err().map(|error| error.refusal.reason.code());
        assert_eq!(codes, (!good).then_some("policy-floor"));
    }
}

#[test]
fn a_separate_proposer_must_be_somebody_beside_those_who_count() {
    let alone = pair().only("rules: {policy: {separate-proposer: true}}").without("edge1").without("edge2");
    let founding = |rules: &Rulebook| {
        let step = super::story::StepDraft::new(0).policy(rules).finish(None);
        begin(&step).err().map(|error| error.refusal.reason.code())
    };
    assert_eq!(founding(&alone), Some("policy-floor"));
    let mut with_applier = alone;
    with_applier.principals.push(("edge1".into(), "applier", vec![ssh(seed("edge1"))]));
    assert_eq!(founding(&with_applier), None);
    let next = with_applier.clone().after(&with_applier);
    let mut s = Story::new(&with_applier);
    assert!(s.state.revocation_strands(ssh(seed("edge1")).raw()));
    assert_eq!(s.signed_step(Some(seed("edge1")), |d| d.policy(&next)), NONE);
    s.does("user1", enact(&next)).does("cp14", enact(&next));
    assert_eq!(s.state.policy().digest(), next.digest());
}

#[test]
fn a_revocation_that_strands_is_known_beforehand() {
    let s = Story::new(&pair());
    assert!(!s.state.revocation_strands(ssh(seed("user1")).raw()), "the second key is left");
    let s = Story::new(&pair().keys("user1", &[ssh(1)]));
    assert!(s.state.revocation_strands(ssh(1).raw()));
    assert!(!s.state.revocation_strands(ssh(seed("edge1")).raw()));
    assert!(rules::can_change_policy(s.state.policy().get(), |_| false));
}

#[test]
fn a_revocation_takes_the_keys_votes_along() {
    let (l, other) = (lease("L1"), lease("L2").on("db"));
    let mut s = Story::new(&rulebook());
    s.authorizes(&l).rolls(&other).does("cp14", other.promote(2, 25)).does("user2", freeze(1)).does("cp14", thaw(1));
    s.step(|d| d.policy(&next()));
    s.does("cp14", enact(&next())).does("user3", revoke(&ssh(seed("cp14"))));
    assert_eq!((s.phase("L1"), s.phase("L2")), (Phase::Proposed, Phase::Rolling { tier: 0 }));
    let (waiting, rolling) = (s.state.lease(&l.lease_id()).unwrap(), s.state.lease(&other.lease_id()).unwrap());
    assert_eq!((waiting.cosigned.len(), rolling.cosigned.len()), (1, 2), "what has started keeps its record");
    assert!(rolling.pending.is_empty());
    assert_eq!((s.state.thaw_votes().count(), s.state.policy_votes().count()), (0, 0));
    s.does("user1", thaw(1)).does("user1", enact(&next()));
    assert!(s.state.frozen().is_some());
    assert_eq!(s.state.policy().digest(), rulebook().digest());
    s.does("cp15", thaw(1)).does("user1", other.promote(2, 25));
    assert_eq!(s.weight("L2"), 5, "the revoked key's promotion is gone");
    s.does("cp15", other.promote(2, 25)).refuses("cp15", l.start(5), "not-authorized").does("cp15", l.cosign());
    assert_eq!((s.weight("L2"), s.phase("L1")), (25, Phase::Authorized));
}

#[test]
fn a_revocation_is_permanent_and_of_the_raw_key() {
    let key = ssh(seed("cp14"));
    let mut s = Story::new(&rulebook());
    s.does("cp14", revoke(&key));
    let back = rulebook().keys("cp14", &[minisign(seed("cp14"))]).after(&rulebook());
    s.enacts(&back);
    let l = lease("L1");
    s.proposes(&l).refuses(who("cp14").key(minisign(seed("cp14"))), l.cosign(), "revoked-key");
    s.refuses("cp14", l.cosign(), "revoked-key");
    s.refuses("user1", revoke_print(&minisign(seed("cp14")).fingerprint()), "already-voted");
    assert_eq!(s.state.revoked().len(), 1);
}

#[test]
fn a_key_revokes_itself_in_any_wrapping_and_in_its_step_its_other_votes_are_gone() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.proposes(&l).does("user1", l.cosign());
    let codes = s
        .step(|d| d.vote("cp14", l.cosign()).vote(who("cp14").key(minisign(seed("cp14"))), revoke(&ssh(seed("cp14")))));
    assert_eq!(codes, ["revoked-key"]);
    assert_eq!((s.phase("L1"), s.events()), (Phase::Proposed, vec![EventKind::KeyRevoked]));
}

#[test]
fn a_started_lease_goes_on_after_its_signers_were_revoked() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.rolls(&l).does("user1", revoke(&ssh(seed("cp14")))).does("user1", revoke(&ssh(seed("user1"))));
    assert_eq!(s.phase("L1"), Phase::Rolling { tier: 0 });
    s.does("user2", l.promote(2, 25)).does("cp15", l.promote(2, 25));
    assert_eq!(s.weight("L1"), 25);
}

#[test]
fn a_stricter_policy_takes_authorizations_back_and_a_vote_brings_them_again() {
    let l = lease("L1");
    let strict = rulebook().with("rules: {cosign: {human: 2}}").after(&rulebook());
    let mut s = Story::new(&rulebook());
    s.authorizes(&l).enacts(&strict);
    assert_eq!(s.phase("L1"), Phase::Proposed);
    s.refuses("cp14", l.start(5), "not-authorized").does("user2", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
    s.does("cp14", l.start(5));
}

#[test]
fn a_looser_policy_authorizes_only_when_a_vote_is_folded() {
    let l = lease("L1");
    let strict = rulebook().with("rules: {cosign: {human: 2}}");
    let mut s = Story::new(&strict);
    s.proposes(&l).does("user1", l.cosign()).does("cp14", l.cosign()).enacts(&rulebook().after(&strict));
    assert_eq!(s.phase("L1"), Phase::Proposed);
    s.does("user1", l.cosign());
    assert_eq!((s.phase("L1"), s.events()), (Phase::Authorized, vec![EventKind::Verified2Key]));
}

#[test]
fn a_key_that_moves_to_another_principal_is_still_one_vote() {
    let l = lease("L1");
    // user2's second key becomes cp14's: what it signed is an agent's vote then, and no human's.
    let moved = rulebook().keys("user2", &[ssh(2)]).keys("cp14", &[ssh(seed("cp14")), ssh(102)]).after(&rulebook());
    let mut s = Story::new(&rulebook());
    s.proposes(&l).does(who("user2").key(ssh(102)), l.cosign()).enacts(&moved);
    s.refuses(who("cp14").key(ssh(102)), l.cosign(), "already-voted").refuses("cp14", l.cosign(), "same-principal");
    assert_eq!(s.phase("L1"), Phase::Proposed);
    s.does("user2", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn what_is_in_force_names_those_as_whom_its_votes_counted() {
    let (l, other) = (lease("L1"), lease("L2").on("db"));
    let moved = rulebook().keys("user2", &[ssh(2)]).keys("cp14", &[ssh(seed("cp14")), ssh(102)]).after(&rulebook());
    let mut s = Story::new(&rulebook());
    s.proposes(&l).rolls(&other);
    s.does(who("user2").key(ssh(102)), l.cosign()).does(who("user2").key(ssh(102)), other.promote(2, 25));
    s.enacts(&moved).does("user2", l.cosign()).does("user2", l.start(5)).does("user2", other.promote(2, 25));
    let by = |votes: Vec<&Vote>| -> BTreeSet<String> {
        votes.iter().map(|vote| format!("{} {}", vote.role.word(), vote.principal)).collect()
    };
    let both = BTreeSet::from(["agent cp14".to_owned(), "human user2".to_owned()]);
    assert_eq!(by(s.state.lease(&l.lease_id()).unwrap().cosigned.values().collect()), both);
    let promoted = s.state.lease(&other.lease_id()).unwrap().transitions.last().unwrap();
    assert_eq!((promoted.tier, by(promoted.votes.iter().collect())), (Some(25), both));
}

#[test]
fn votes_of_a_key_that_is_not_listed_count_again_once_it_is() {
    let (l, other) = (lease("L1"), lease("L2").on("db"));
    let without = rulebook().without("cp15").after(&rulebook());
    let back = rulebook().after(&without);
    let mut s = Story::new(&rulebook());
    s.rolls(&other).proposes(&l).does("cp15", l.cosign()).does("cp15", other.promote(2, 25));
    s.does("user3", freeze(1)).does("cp15", thaw(1)).enacts(&without);
    // While it is not listed nothing rests on it, whoever else votes.
    s.does("user1", l.cosign()).does("user1", thaw(1)).refuses("user2", l.start(5), "not-authorized");
    assert_eq!((s.phase("L1"), s.state.frozen().is_some()), (Phase::Proposed, true));
    s.enacts(&back);
    assert_eq!((s.phase("L1"), s.state.frozen().is_some()), (Phase::Proposed, true), "until a vote is folded");
    s.does("user2", thaw(1)).does("user2", l.cosign()).does("user2", other.promote(2, 25));
    assert_eq!((s.phase("L1"), s.state.frozen(), s.weight("L2")), (Phase::Authorized, None, 25));
    assert_eq!(s.state.lease(&l.lease_id()).unwrap().cosigned.len(), 3);
}

#[test]
fn votes_of_a_key_that_was_revoked_never_count_again() {
    let l = lease("L1");
    let without = rulebook().without("cp15").after(&rulebook());
    let mut s = Story::new(&rulebook());
    s.proposes(&l).does("cp15", l.cosign()).does("user1", revoke(&ssh(seed("cp15")))).enacts(&without);
    s.does("user1", l.cosign()).enacts(&rulebook().after(&without)).does("user2", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed);
    s.refuses("cp15", l.cosign(), "revoked-key").does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn what_starts_keeps_the_votes_that_it_starts_on() {
    let l = lease("L1");
    let without = rulebook().without("cp15").after(&rulebook());
    let mut s = Story::new(&rulebook());
    s.proposes(&l).does("cp15", l.cosign()).does("user1", l.cosign()).enacts(&without).does("cp14", l.cosign());
    assert_eq!((s.phase("L1"), s.state.lease(&l.lease_id()).unwrap().cosigned.len()), (Phase::Authorized, 3));
    s.does("cp14", l.start(5)).enacts(&rulebook().after(&without));
    let lease = s.state.lease(&l.lease_id()).unwrap();
    let kept: Vec<_> = lease.cosigned.values().map(|vote| vote.principal.as_str()).collect();
    assert!(kept.len() == 2 && !kept.contains(&"cp15"), "{kept:?}");
}

#[test]
fn who_may_stop_follows_the_policy_in_force() {
    let l = lease("L1");
    let swapped = rulebook().only("targets: {web: {driver: file, applier: edge2}}").after(&rulebook());
    let mut s = Story::new(&rulebook());
    s.rolls(&l).enacts(&swapped).refuses("edge1", l.stop(StopKind::Pause, 1), "wrong-role");
    s.does("edge2", l.stop(StopKind::Pause, 1));
    assert_eq!(s.phase("L1"), Phase::Paused { tier: 0 });
}

#[test]
fn roots_without_a_policy_found_nothing() {
    use super::story::StepDraft;
    let code = |draft: StepDraft| begin(&draft.finish(None)).err().map(|error| error.refusal.reason.code());
    assert_eq!(code(StepDraft::new(0)), Some("malformed"));
    assert_eq!(code(StepDraft::new(0).policy_entry(Entry::Absent)), Some("malformed"));
    assert_eq!(code(StepDraft::new(0).policy_entry(Entry::NotAFile)), Some("malformed"));
    assert_eq!(code(StepDraft::new(0).policy_entry(Entry::TooLarge)), Some("too-large"));
    assert_eq!(code(StepDraft::new(0).policy_entry(bytes("{}"))), Some("malformed"));
    assert_eq!(code(StepDraft::new(0).policy(&rulebook())), None);
    assert_eq!(code(StepDraft::new(0).policy(&next())), None, "the root's policy is taken as it stands");
}

#[test]
fn the_policy_file_is_shown_whether_in_force_or_not() {
    let mut s = Story::new(&rulebook());
    let usable = |s: &Story| s.state.policy_file().map(|file| matches!(file.content, Content::Proposal(_)));
    assert_eq!(usable(&s), Some(true));
    s.step(|d| d.policy_entry(bytes("x")));
    assert_eq!(usable(&s), Some(false));
    s.step(|d| d.policy_entry(Entry::Absent));
    assert_eq!(usable(&s), None);
    assert!(s.state.policy().get().principals.contains_key(&PrincipalId::parse("user1").unwrap()));
}
