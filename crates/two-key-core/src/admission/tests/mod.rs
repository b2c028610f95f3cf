//! For each refusal the push that gets exactly it, and the honest twin that is admitted.

mod story;
mod times;

use super::*;
use crate::{
    model::{ForwardKind, StopKind},
    signature::{Opened, RawTag},
};
use story::*;

#[test]
fn an_honest_promotion_with_its_tag_is_admitted() {
    let story = PushStory::rolling().past("user1", &promote()).brings("cp14", &promote());
    let tip = story.tip();
    story.tags("2-promote-25", tip).admitted();
}

#[test]
fn what_the_fold_finds_refuses_the_push_and_what_it_found_before_does_not() {
    let verdict = PushStory::rolling().brings("user1", &start()).refused(&[Reason::StaleStep]);
    assert_eq!(verdict.refused[0].name, BRANCH);
    assert!(verdict.refused[0].refusal.message.contains("commit"), "{verdict:?}");
    let mut later = PushStory::rolling().brings("user1", &start());
    later.push.steps.clear();
    later.brings("user1", &promote()).admitted();
}

#[test]
fn of_very_many_findings_the_first_are_listed_and_all_are_counted() {
    let most = branch::MAX_FINDINGS;
    for (findings, more) in [(most, 0), (most + 7, 7)] {
        let many = |mut story: PushStory| {
            let found = &mut story.push.steps[0].report.findings;
            *found = vec![found[0].clone(); findings];
            story.judged_at(NOON)
        };
        let refused = many(PushStory::rolling().brings("user1", &start()));
        assert_eq!((refused.refused.len(), refused.more_refused, refused.more_waived), (most, more, 0));
        assert!(!refused.admits());
        let waived = many(PushStory::rolling().brings("user1", &start()).brings("user1", &stop(StopKind::Halt, 1)));
        assert_eq!((waived.waived.len(), waived.more_refused, waived.more_waived), (most, 0, more));
        assert!(waived.admits());
    }
}

#[test]
fn the_branch_only_grows_on_its_first_parent_chain() {
    let story = || PushStory::rolling();
    story().moves(BranchFacts::Continues).admitted();
    story().moves(BranchFacts::Foxtrot).refused(&[Reason::Foxtrot]);
    story().moves(BranchFacts::Rewound).refused(&[Reason::RefRewound]);
    story().moves(BranchFacts::NotDescended).refused(&[Reason::NotDescended]);
    story().moves(BranchFacts::Continues).outrun().refused(&[Reason::Stale]);
    let old = Some(story().tip());
    story().with(BRANCH, old, None, RefFacts::Nothing).refused(&[Reason::RefDeleted]);
}

#[test]
fn nothing_is_judged_before_the_founding() {
    let mut story = PushStory::rolling();
    (story.push.before, story.push.after) = (None, None);
    story.clone().tags("1-start-5", oid(4)).refused(&[Reason::NotDescended]);
    story.stops("L-1", carrier("user1", &stop(StopKind::Halt, 1))).refused(&[Reason::NotDescended]);
}

#[test]
fn forward_votes_come_in_their_leases_window() {
    let story = PushStory::rolling().brings("user1", &promote());
    story.admitted();
    let reasons = |time| {
        let verdict = story.judged_at(time);
        verdict.refused.iter().map(|refused| refused.refusal.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons("2025-10-28T02:19:12Z"), []);
    assert_eq!(reasons("2025-10-28T02:19:13Z"), [Reason::Expired]);
    // The vote itself is dated at noon, which lies ahead too.
    assert_eq!(reasons("2025-10-27T02:14:12Z"), [Reason::FutureDated, Reason::NotYetValid]);
    assert_eq!(reasons("2025-10-27T11:55:00Z"), []);
    assert_eq!(reasons("2025-10-27T11:54:59Z"), [Reason::FutureDated]);
}

#[test]
fn a_date_that_is_no_date_is_in_the_future() {
    PushStory::rolling().brings_dated("user1", &promote(), i64::MAX).refused(&[Reason::FutureDated]);
    PushStory::rolling().brings_dated("user1", &promote(), i64::MIN).admitted();
}

#[test]
fn each_forward_action_has_a_window_and_complete_has_none() {
    let late = "2026-01-01T00:00:00Z";
    let expired = |story: PushStory| story.judged_at(late).refused.first().map(|refused| refused.refusal.reason);
    assert_eq!(expired(PushStory::proposed().brings("user1", &cosign())), Some(Reason::Expired));
    assert_eq!(expired(PushStory::authorized().brings("user1", &start())), Some(Reason::Expired));
    let paused = PushStory::rolling().past("user1", &stop(StopKind::Pause, 1));
    let resume = forward(3, ForwardKind::Resume);
    assert_eq!(expired(paused.brings("user1", &resume)), Some(Reason::Expired));
    let full = PushStory::rolling().past("user1", &promote()).past("cp14", &promote());
    let promote = forward(3, ForwardKind::Promote { tier: 100 });
    let full = full.past("user1", &promote).past("cp14", &promote);
    assert_eq!(expired(full.brings("user1", &forward(4, ForwardKind::Complete))), None);
}

#[test]
fn stops_know_no_clock() {
    let ahead = at("2030-01-01T00:00:00Z").as_second();
    for kind in [StopKind::Pause, StopKind::Halt, StopKind::Rollback, StopKind::Withdraw] {
        for time in ["2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"] {
            let verdict = PushStory::rolling().brings_dated("cp14", &stop(kind, 1), ahead).judged_at(time);
            assert_eq!((verdict.refused, verdict.waived), (Vec::new(), Vec::new()));
        }
    }
    assert!(PushStory::rolling().brings_dated("cp14", &freeze(), ahead).judged_at("2020-01-01T00:00:00Z").admits());
}

#[test]
fn findings_never_refuse_a_push_in_which_a_stop_takes_effect() {
    let verdict = PushStory::rolling().brings("user1", &start()).brings("cp14", &stop(StopKind::Halt, 1)).admitted();
    let waived: Vec<_> = verdict.waived.iter().map(|waived| waived.refusal.reason).collect();
    assert_eq!(waived, [Reason::StaleStep]);
    // A stop that stops nothing any more waives nothing.
    let again = PushStory::rolling().past("cp14", &stop(StopKind::Halt, 1));
    again.brings("user1", &start()).brings("cp14", &stop(StopKind::Halt, 2)).refused(&[Reason::StaleStep]);
}

#[test]
fn a_stop_makes_nothing_else_admissible() {
    let halt = || stop(StopKind::Halt, 1);
    let story = PushStory::rolling().brings("cp14", &halt());
    story.clone().admitted();
    story.clone().tags("2-promote-25", oid(4)).refused(&[Reason::TagMismatch]);
    story.clone().notes("user1", None, Some("hello\n")).refused(&[Reason::Malformed]);
    story.clone().notes("user1", None, Some(&entry("user1", &cosign()))).admitted();
    // Past its window a vote is as late beside a stop as without one; the stop alone knows no window.
    let late = |story: &PushStory| {
        let verdict = story.judged_at("2026-01-01T00:00:00Z");
        verdict.refused.iter().map(|refused| refused.refusal.reason).collect::<Vec<_>>()
    };
    assert_eq!(late(&PushStory::rolling().brings("user1", &promote()).brings("cp14", &halt())), [Reason::Expired]);
    assert_eq!(late(&story), []);
    let stranding = PushStory::rolling().past("user1", &revoke("cp18")).brings("user1", &revoke("cp14"));
    stranding.clone().refused(&[Reason::PolicyFloor]);
    stranding.brings("user1", &halt()).refused(&[Reason::PolicyFloor]);
    let deleted = story.clone().with("refs/notes/two-key/user1", Some(oid(9)), None, RefFacts::Nothing);
    deleted.refused(&[Reason::RefDeleted]);
    story.clone().with("refs/replace/x", None, Some(oid(9)), RefFacts::Nothing).refused(&[Reason::ForeignRef]);
    story.clone().records("edge1", &[None]).refused(&[Reason::Unsigned]);
    story.clone().records("edge1", &[Some("cp14")]).refused(&[Reason::WrongPrincipal]);
    story.clone().records("edge1", &[Some("edge1")]).admitted();
    story.clone().moves(BranchFacts::Continues).outrun().refused(&[Reason::Stale]);
    story.moves(BranchFacts::Rewound).refused(&[Reason::RefRewound]);
}

#[test]
fn a_verdict_says_how_the_stop_goes_in_alone() {
    let refspecs = |verdict: PushVerdict| verdict.stops.iter().map(ToString::to_string).collect::<Vec<_>>();
    let halt = stop(StopKind::Halt, 1);
    let story = PushStory::rolling().brings("cp14", &halt);
    let tip = story.tip();
    let alone = [format!("{tip}:refs/two-key/stops/L-1/{tip}")];
    assert_eq!(refspecs(story.tags("2-promote-25", oid(4)).refused(&[Reason::TagMismatch])), alone);
    let alone = [format!("{0}:refs/two-key/stops/_all/{0}", oid(150))];
    assert_eq!(refspecs(PushStory::rolling().stops("_all", carrier("cp14", &freeze())).admitted()), alone);
    assert_eq!(
        refspecs(PushStory::rolling().past("cp14", &halt).stops("L-1", carrier("cp14", &halt)).admitted()),
        [""; 0]
    );
}

#[test]
fn a_stop_ref_that_stops_something_waives_too_and_a_replayed_one_does_not() {
    let halt = stop(StopKind::Halt, 1);
    let story = PushStory::rolling().brings("user1", &start());
    assert_eq!(story.clone().stops("L-1", carrier("cp14", &halt)).admitted().waived.len(), 1);
    let story = PushStory::rolling().past("cp14", &halt).brings("user1", &start());
    story.stops("L-1", carrier("cp14", &halt)).refused(&[Reason::StaleStep]);
}

#[test]
fn a_stop_ref_that_is_there_already_stops_nothing() {
    let story = PushStory::rolling().brings("user1", &start()).stops("L-1", carrier("cp14", &stop(StopKind::Halt, 1)));
    story.admitted();
    story.outrun().refused(&[Reason::StaleStep, Reason::Stale]);
}

#[test]
fn tags_say_what_is_in_force_where_it_came_in_force() {
    let story = PushStory::rolling();
    let started = story.tip();
    story.clone().tags("1-start-5", started).admitted();
    story.clone().tags("1-start-5", oid(2)).refused(&[Reason::TagMismatch]);
    story.clone().tags("1-start-25", started).refused(&[Reason::TagMismatch]);
    story.clone().tags("2-promote-25", started).refused(&[Reason::TagMismatch]);
    story.clone().tags("anything", started).refused(&[Reason::TagMismatch]);
    let unknown = RawTag { object: started, name: "rollout/L-2/1-start-5".to_owned() };
    let facts = tag_facts(None, TagFacts::Annotated(Ok(unknown)));
    story.with("refs/tags/rollout/L-2/1-start-5", None, Some(oid(9)), facts).refused(&[Reason::TagMismatch]);
}

#[test]
fn tags_are_annotated_and_named_as_their_ref() {
    let name = "refs/tags/rollout/L-1/1-start-5";
    let with = |facts| PushStory::rolling().with(name, None, Some(oid(9)), tag_facts(None, facts));
    with(TagFacts::Lightweight).refused(&[Reason::TagMismatch]);
    let nested = Refusal::new(Reason::Malformed, "it is not on a commit");
    with(TagFacts::Annotated(Err(nested))).refused(&[Reason::TagMismatch]);
    let started = PushStory::rolling().tip();
    let inner = |name: &str| TagFacts::Annotated(Ok(RawTag { object: started, name: name.to_owned() }));
    with(inner("rollout/L-1/2-promote-25")).refused(&[Reason::TagMismatch]);
    with(inner("1-start-5")).refused(&[Reason::TagMismatch]);
    with(inner("rollout/L-1/1-start-5")).admitted();
}

#[test]
fn tags_never_move_and_are_never_deleted() {
    let story = PushStory::rolling();
    let tag = RawTag { object: story.tip(), name: "rollout/L-1/1-start-5".to_owned() };
    let facts = TagFacts::Annotated(Ok(tag));
    let facts = tag_facts(Some(facts.clone()), facts);
    let name = "refs/tags/rollout/L-1/1-start-5";
    story.clone().with(name, Some(oid(8)), Some(oid(9)), facts).refused(&[Reason::TagMoved]);
    story.with(name, Some(oid(8)), None, RefFacts::Nothing).refused(&[Reason::RefDeleted]);
}

#[test]
fn the_true_tag_may_come_over_a_lie_and_nothing_else_may() {
    let story = PushStory::rolling().brings("cp14", &stop(StopKind::Halt, 1));
    let name = "refs/tags/rollout/L-1/2-halt";
    let on = |object| TagFacts::Annotated(Ok(RawTag { object, name: "rollout/L-1/2-halt".to_owned() }));
    let over =
        |before, object| story.clone().with(name, Some(oid(8)), Some(oid(9)), tag_facts(Some(before), on(object)));
    let tip = story.tip();
    over(on(oid(2)), tip).admitted();
    over(TagFacts::Lightweight, tip).admitted();
    over(on(tip), tip).refused(&[Reason::TagMoved]);
    over(on(oid(2)), oid(3)).refused(&[Reason::TagMoved]);
    over(on(tip), oid(2)).refused(&[Reason::TagMoved]);
}

#[test]
fn a_tag_for_a_step_with_too_few_keys_says_who_is_missing() {
    let story = PushStory::rolling().brings("user1", &promote());
    let tip = story.tip();
    let verdict = story.tags("2-promote-25", tip).refused(&[Reason::MissingRole]);
    let refusal = &verdict.refused[0].refusal;
    assert_eq!(refusal.message, "promote to 25 % needs an agent (cp14 or cp18); has human user1");
    let hint = "an agent can turn its key with: git two-key promote L-1 --key …";
    assert_eq!(refusal.hint.as_deref(), Some(hint));
    let story = PushStory::rolling().brings("cp14", &promote());
    let tip = story.tip();
    let verdict = story.tags("2-promote-25", tip).refused(&[Reason::MissingRole]);
    assert_eq!(verdict.refused[0].refusal.message, "promote to 25 % needs a human (user1); has agent cp14");
}

#[test]
fn a_stop_ref_is_named_for_its_commit_and_its_lease() {
    let halt = stop(StopKind::Halt, 1);
    let story = PushStory::rolling();
    story.clone().stops("L-1", carrier("cp14", &halt)).admitted();
    story.clone().stops("_all", carrier("cp14", &freeze())).admitted();
    story.clone().stops("L-2", carrier("cp14", &halt)).refused(&[Reason::Malformed]);
    story.clone().stops("_all", carrier("cp14", &halt)).refused(&[Reason::Malformed]);
    story.clone().stops("L-1", carrier("cp14", &freeze())).refused(&[Reason::Malformed]);
    story.clone().stops("L-1", carrier("cp14", &promote())).refused(&[Reason::Malformed]);
    story.clone().stops("L-1", Opened::Ordinary { signature: None }).refused(&[Reason::Malformed]);
    let name = format!("refs/two-key/stops/L-1/{}", oid(150));
    let facts = || RefFacts::Stop(Some(carrier("cp14", &halt)));
    story.clone().with(&name, None, Some(oid(151)), facts()).refused(&[Reason::Malformed]);
    story.clone().with(&name, None, Some(oid(150)), RefFacts::Stop(None)).refused(&[Reason::Malformed]);
    story.clone().with(&name, Some(oid(151)), Some(oid(150)), facts()).refused(&[Reason::RefRewound]);
    story.with(&name, Some(oid(150)), None, RefFacts::Nothing).refused(&[Reason::RefDeleted]);
}

#[test]
fn a_stop_ref_is_by_a_key_in_force() {
    let halt = stop(StopKind::Halt, 1);
    let story = PushStory::rolling().past("user1", &revoke("cp14"));
    story.clone().stops("L-1", carrier("cp14", &halt)).refused(&[Reason::RevokedKey]);
    story.clone().stops("L-1", carrier("cp18", &halt)).admitted();
    story.stops("L-1", carrier("stranger", &halt)).refused(&[Reason::UnknownKey]);
    // An applier stops its own targets, and never everything.
    PushStory::rolling().stops("L-1", carrier("edge1", &halt)).admitted();
    PushStory::rolling().stops("_all", carrier("edge1", &freeze())).refused(&[Reason::WrongRole]);
}

#[test]
fn a_stop_ref_may_be_earlier_than_its_lease() {
    let mut early = stop(StopKind::Halt, 1);
    if let crate::model::Subject::Stop(stop) = &mut early.subject {
        stop.lease = crate::model::LeaseId::parse("L-9").unwrap();
    }
    PushStory::rolling().stops("L-9", carrier("cp14", &early)).admitted();
    PushStory::rolling().stops("L-9", carrier("stranger", &early)).refused(&[Reason::UnknownKey]);
}

#[test]
fn a_stop_by_a_key_that_the_same_push_revokes_still_stops() {
    let story = PushStory::rolling().brings("user1", &revoke("cp14"));
    story.stops("L-1", carrier("cp14", &stop(StopKind::Halt, 1))).admitted();
}

#[test]
fn an_unsigned_stop_is_refused_for_that() {
    let halt = stop(StopKind::Halt, 1);
    let refusal = Refusal::new(Reason::Unsigned, "nobody signed it");
    let bad = crate::signature::BadVote { claims: None, action: halt.action(), refusal };
    let opened = Opened::Carrier { statement: halt, committed: 0, sealed: Vec::new(), own: Some(Err(bad).into()) };
    PushStory::rolling().stops("L-1", opened).refused(&[Reason::Unsigned]);
}

#[test]
fn only_a_push_of_nothing_but_a_few_stop_refs_is_admitted_on_doubt() {
    let name = format!("refs/two-key/stops/L-1/{}", oid(150));
    let stop = (name.as_str(), None, Some(oid(150)));
    assert!(admitted_on_doubt([stop; 16].into_iter()));
    assert!(!admitted_on_doubt([stop; 17].into_iter()));
    assert!(only_stop_refs([stop]));
    assert!(!only_stop_refs([]));
    assert!(!only_stop_refs([stop, (BRANCH, Some(oid(1)), Some(oid(2)))]));
    assert!(!only_stop_refs([stop, ("refs/heads/topic", None, Some(oid(2)))]));
    assert!(!only_stop_refs([(name.as_str(), None, Some(oid(151)))]));
    assert!(!only_stop_refs([(name.as_str(), Some(oid(150)), None)]));
}

#[test]
fn notes_only_grow_by_entries_that_verify_for_their_principal() {
    let (one, two) = (entry("user1", &cosign()), entry("user1", &promote()));
    let both = format!("{one}\n{two}");
    PushStory::proposed().notes("user1", None, Some(&one)).admitted();
    PushStory::proposed().notes("user1", Some(&one), Some(&both)).admitted();
    PushStory::proposed().notes("user1", Some(&one), Some(&two)).refused(&[Reason::RefRewound]);
    PushStory::proposed().notes("user1", Some(&both), Some(&one)).refused(&[Reason::RefRewound]);
    PushStory::proposed().notes("user1", Some(&one), None).refused(&[Reason::RefRewound]);
    // The same once more, and nothing at all.
    PushStory::proposed().notes("user1", Some(&one), Some(&format!("{one}\n{one}"))).refused(&[Reason::AlreadyVoted]);
    PushStory::proposed().notes("user1", Some(&one), Some(&format!("{both}\n{two}"))).refused(&[Reason::AlreadyVoted]);
    PushStory::proposed().notes("user1", None, Some(" \n\n")).refused(&[Reason::Malformed]);
    PushStory::proposed().notes("user1", Some(&one), Some(&format!("{one}\n\n"))).admitted();
    // What nobody reads gives way; what nobody would read does not come.
    let fill = |size: usize| format!("{both}{}", "\n".repeat(size - both.len()));
    PushStory::proposed().notes("user1", Some(&one), Some(&fill(1 << 20))).admitted();
    PushStory::proposed().notes("user1", Some(&one), Some(&fill((1 << 20) + 1))).refused(&[Reason::TooLarge]);
    PushStory::proposed().notes("user1", Some(&fill((1 << 20) + 1)), Some(&one)).admitted();
    PushStory::proposed().notes("user1", Some(&fill(1 << 20)), Some(&one)).refused(&[Reason::RefRewound]);
    let glued = format!("{}{two}", one.trim_end());
    PushStory::proposed().notes("user1", Some(&one), Some(&glued)).refused(&[Reason::RefRewound]);
    PushStory::proposed().notes("user1", None, Some("hello\n")).refused(&[Reason::Malformed]);
    let changed = one.replace("Action: cosign", "Action: policy").replace("Two-Key-Lease: L-1\n", "");
    PushStory::proposed().notes("user1", None, Some(&changed)).refused(&[Reason::BadSignature]);
}

#[test]
fn notes_are_by_keys_in_force_of_a_known_principal() {
    let one = |name| entry(name, &cosign());
    PushStory::proposed().notes("user1", None, Some(&one("cp14"))).refused(&[Reason::WrongPrincipal]);
    PushStory::proposed().notes("user1", None, Some(&one("stranger"))).refused(&[Reason::UnknownKey]);
    PushStory::proposed().notes("stranger", None, Some(&one("stranger"))).refused(&[Reason::ForeignRef]);
    let revoked = PushStory::proposed().past("user1", &revoke("cp14"));
    revoked.notes("cp14", None, Some(&one("cp14"))).refused(&[Reason::RevokedKey]);
    let mut other = cosign();
    other.repository = crate::model::RepositoryId::parse(&"0".repeat(32)).unwrap();
    PushStory::proposed().notes("user1", None, Some(&entry("user1", &other))).refused(&[Reason::WrongRepository]);
}

#[test]
fn notes_refs_hold_notes_and_move_forward() {
    let name = "refs/notes/two-key/user1";
    let with = |facts| PushStory::proposed().with(name, Some(oid(8)), Some(oid(9)), RefFacts::Notes(facts));
    let facts = NotesFacts { fast_forward: true, ..NotesFacts::default() };
    with(facts.clone()).admitted();
    // The first notes hold a vote.
    let first = PushStory::proposed().with(name, None, Some(oid(9)), RefFacts::Notes(facts.clone()));
    first.refused(&[Reason::Unsigned]);
    with(NotesFacts { strays: vec!["readme".to_owned()], ..facts.clone() }).refused(&[Reason::Malformed]);
    with(NotesFacts { fast_forward: false, ..facts }).refused(&[Reason::RefRewound]);
}

#[test]
fn an_appliers_ref_grows_by_its_own_commits() {
    let story = PushStory::rolling();
    story.clone().records("edge1", &[Some("edge1"), Some("edge1")]).admitted();
    story.clone().records("edge1", &[Some("edge1"), None]).refused(&[Reason::Unsigned]);
    story.clone().records("edge1", &[Some("user1"), Some("edge1")]).refused(&[Reason::WrongPrincipal]);
    story.clone().records("edge1", &[Some("stranger")]).refused(&[Reason::UnknownKey]);
    story.clone().records("user1", &[Some("user1")]).refused(&[Reason::ForeignRef]);
    story.clone().records("edge2", &[Some("edge1")]).refused(&[Reason::ForeignRef]);
    let revoked = story.clone().past("user1", &revoke("edge1"));
    revoked.records("edge1", &[Some("edge1")]).refused(&[Reason::RevokedKey]);
    // One key may serve several repositories; each has its own records.
    let other = "0".repeat(32);
    let of = |repository| story.clone().records_of("edge1", &[(Some("edge1"), repository)]);
    of(Some(REPOSITORY)).admitted();
    of(Some(&other)).refused(&[Reason::WrongRepository]);
    of(None).refused(&[Reason::WrongRepository]);
    let facts = ApplierFacts::default();
    let name = "refs/two-key/appliers/edge1";
    story.with(name, Some(oid(8)), Some(oid(9)), RefFacts::Applier(facts)).refused(&[Reason::RefRewound]);
}

#[test]
fn a_revocation_that_strands_the_policy_needs_to_be_forced() {
    let story = PushStory::rolling().brings("user1", &revoke("cp14"));
    story.admitted();
    let mut story = story.brings("user1", &revoke("cp18"));
    let verdict = story.refused(&[Reason::PolicyFloor]);
    assert!(verdict.refused[0].refusal.hint.as_deref().unwrap().contains(FORCE_REVOKE));
    story.push.forced_revocation = true;
    story.admitted();
    // Who is stranded already loses nothing more.
    let stranded = PushStory::rolling().past("user1", &revoke("cp14")).past("user1", &revoke("cp18"));
    stranded.brings("user1", &revoke("edge1")).admitted();
}

#[test]
fn other_refs_are_admitted_and_foreign_ones_are_not() {
    let with = |name: &str, new| PushStory::rolling().with(name, Some(oid(8)), new, RefFacts::Nothing);
    with("refs/heads/topic", Some(oid(9))).admitted();
    with("refs/heads/topic", None).admitted();
    with("refs/tags/v1", Some(oid(9))).admitted();
    with("refs/two-key/mine", Some(oid(9))).refused(&[Reason::ForeignRef]);
    with("refs/replace/0123", None).refused(&[Reason::ForeignRef]);
}

#[test]
fn one_ref_by_two_names_is_refused() {
    let story = PushStory::rolling().brings("user1", &promote());
    let tip = Some(story.tip());
    let facts = RefFacts::Branch(BranchFacts::Continues);
    story.admitted();
    story.with(BRANCH, Some(oid(4)), tip, facts).refused(&[Reason::Ambiguous]);
}

#[test]
fn what_was_not_read_is_not_admitted() {
    PushStory::rolling().with(BRANCH, Some(oid(4)), Some(oid(5)), RefFacts::Nothing).refused(&[Reason::Internal]);
    let huge = RefFacts::Unfit(Refusal::new(Reason::TooLarge, "more than 100000 commits"));
    PushStory::rolling().with(BRANCH, Some(oid(4)), Some(oid(5)), huge).refused(&[Reason::TooLarge]);
}

#[test]
fn ten_thousand_refs_finish() {
    let mut story = PushStory::rolling();
    for number in 0..10_000 {
        let name = format!("refs/heads/topic-{number}");
        story = story.with(&name, None, Some(oid(9)), RefFacts::Nothing);
    }
    story.admitted();
}
