//! Rules that name people: groups, lists, and rules of single targets.

use super::story::{NONE, Rulebook, Story, enact, lease, revoke, rulebook, seed, ssh, who};
use crate::{
    ledger::Phase,
    model::policy::{self, loosened},
};

const GROUPS: &str = "groups: {leads: [user1, user2], sre: [user2, user3]}";

fn grouped(rules: &str) -> Rulebook {
    rulebook().with(&format!("{GROUPS}\nrules: {{{rules}}}"))
}

/// Two targets, of which the first has rules of its own.
fn two_targets(rules: &str) -> Rulebook {
    rulebook().only(&format!(
        "{GROUPS}\ntargets:\n  web: {{driver: file, applier: edge1, rules: {{{rules}}}}}\n  db: {{driver: file}}"
    ))
}

/// Everybody who could vote, and whom each fills a place for.
const PEOPLE: [(&str, &[usize]); 3] = [("user1", &[0]), ("user2", &[0, 1]), ("user3", &[1])];

#[test]
fn every_set_of_humans_in_every_order_meets_a_rule_exactly_where_distinct_persons_fill_its_places() {
    for (leads, sre, humans) in [(1, 0, 1), (0, 1, 1), (1, 1, 2), (2, 0, 2), (0, 2, 2), (2, 1, 3), (1, 1, 3), (1, 2, 3)]
    {
        let from: Vec<_> =
            [("leads", leads), ("sre", sre)].iter().filter(|(_, n)| *n > 0).map(|(g, n)| format!("{g}: {n}")).collect();
        let rules = grouped(&format!("cosign: {{human: {humans}, agent: 1, from: {{{}}}}}", from.join(", ")));
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let l = lease("L1");
            let mut s = Story::new(&rules);
            s.proposes(&l).does("cp14", l.cosign());
            for voted in 1..=3 {
                s.does(PEOPLE[order[voted - 1]].0, l.cosign());
                // Each way to give every voter one group or none.
                let fills = (0..3_usize.pow(3)).any(|way| {
                    let mut filled = [0, 0];
                    for person in &order[..voted] {
                        let group = way / 3_usize.pow(u32::try_from(*person).unwrap()) % 3;
                        if PEOPLE[*person].1.contains(&group) {
                            filled[group] += 1;
                        }
                    }
                    filled[0] >= leads && filled[1] >= sre
                });
                let met = fills && voted >= humans;
                let authorized = s.phase("L1") == Phase::Authorized;
                assert_eq!(authorized, met, "leads {leads}, sre {sre}, human {humans}: {:?}", &order[..voted]);
            }
        }
    }
}

#[test]
fn a_human_whom_the_rule_does_not_list_does_not_count() {
    let l = lease("L1");
    let mut s = Story::new(&grouped("cosign: {human: 1, agent: 1, humans: [user1, user2]}"));
    s.proposes(&l).refuses("user3", l.cosign(), "wrong-role").does("user2", l.cosign()).does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
    s.does("user3", l.stop(crate::model::StopKind::Halt, 1));
    assert_eq!(s.phase("L1"), Phase::Withdrawn, "a stop asks for no list");
}

#[test]
fn a_place_is_open_again_when_the_key_that_filled_it_is_revoked() {
    let l = lease("L1");
    let mut s = Story::new(&grouped("cosign: {human: 1, agent: 1, from: {sre: 1}}"));
    s.proposes(&l).does("user3", l.cosign()).does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
    let key = ssh(seed("user3"));
    s.does("user3", revoke(&key)).does("user1", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed, "user1 is no sre");
    s.does("user2", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn a_targets_own_rule_counts_there_and_nowhere_else() {
    let rules = two_targets(
        "cosign: {human: 2, agent: 1, from: {leads: 1, sre: 1}}, promote: {human: 1, agent: 1, from: {sre: 1}}",
    );
    let (web, db) = (lease("L1"), lease("L2").on("db"));
    let mut s = Story::new(&rules);
    s.proposes(&web).proposes(&db);
    s.does("user1", web.cosign()).does("cp14", web.cosign()).does("user1", db.cosign()).does("cp14", db.cosign());
    assert_eq!((s.phase("L1"), s.phase("L2")), (Phase::Proposed, Phase::Authorized));
    s.does("user2", web.cosign()).does("user1", web.start(5)).does("user1", db.start(5));
    for l in [&web, &db] {
        s.does("user1", l.promote(2, 25)).does("cp14", l.promote(2, 25));
    }
    assert_eq!((s.weight("L1"), s.weight("L2")), (5, 25), "user1 is no sre");
    s.does("user3", web.promote(2, 25));
    assert_eq!(s.weight("L1"), 25);
}

#[test]
fn a_rule_that_a_target_leaves_out_is_the_policys() {
    let rules =
        two_targets("promote: {human: 2, agent: 1}").with("rules: {cosign: {human: 2, agent: 1}}\nstart-up-to: 4");
    let l = lease("L1");
    let mut s = Story::new(&rules);
    s.proposes(&l).does("user1", l.cosign()).does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed, "two humans, by the policy's");
    s.does("user2", l.cosign()).does("user1", l.start(5)).does("cp14", l.start(5));
    assert_eq!(s.phase("L1"), Phase::Authorized, "above start-up-to it is the target's own promote rule");
    s.does("user3", l.start(5));
    assert_eq!(s.weight("L1"), 5);
}

/// The attack: the rule is loosened while the rollout runs. It takes the policy's keys, and then holds for what starts later.
#[test]
fn a_targets_rule_stays_as_it_was_at_the_start() {
    let (strict, loose) = ("promote: {human: 1, agent: 1, from: {sre: 1}}", "promote: {human: 1, agent: 1}");
    for (before, after, counts) in [(strict, loose, false), (loose, strict, true)] {
        let before = two_targets(before);
        let after = two_targets(after).after(&before);
        let (running, next) = (lease("L1"), lease("L2"));
        let mut s = Story::new(&before);
        s.rolls(&running).enacts(&after);
        s.does("user1", running.promote(2, 25)).does("cp14", running.promote(2, 25));
        assert_eq!(s.weight("L1"), if counts { 25 } else { 5 });
        s.does("user3", running.stop(crate::model::StopKind::Rollback, 1));
        s.rolls(&next).does("user1", next.promote(2, 25)).does("cp14", next.promote(2, 25));
        assert_eq!(s.weight("L2"), if counts { 5 } else { 25 });
    }
}

#[test]
fn who_is_in_a_group_is_pinned_with_the_rule() {
    let strict = two_targets("promote: {human: 1, agent: 1, from: {sre: 1}}");
    let mut wide = strict.clone();
    wide.rest = wide.rest.replace("sre: [user2, user3]", "sre: [user1, user2, user3]");
    let wide = wide.after(&strict);
    let l = lease("L1");
    let mut s = Story::new(&strict);
    s.rolls(&l).enacts(&wide).does("user1", l.promote(2, 25)).does("cp14", l.promote(2, 25));
    assert_eq!(s.weight("L1"), 5);
    s.does("user3", l.promote(2, 25));
    assert_eq!(s.weight("L1"), 25);
}

#[test]
fn one_key_loosens_no_rule() {
    let strict = two_targets("cosign: {human: 2, agent: 1, from: {leads: 1, sre: 1}}");
    let loose = two_targets("").after(&strict);
    let l = lease("L1");
    let mut s = Story::new(&strict);
    assert_eq!(s.step(|draft| draft.policy(&loose)), NONE);
    s.does("user1", enact(&loose)).proposes(&l).does("user1", l.cosign()).does("cp14", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed);
    s.does("cp14", enact(&loose)).does("cp15", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized, "two keys do");
}

#[test]
fn a_policy_is_changed_by_those_of_its_groups_also_where_humans_alone_suffice() {
    let rules = grouped("policy: {human: 1, agent: 1, from: {sre: 1}}");
    let next = rules.clone().after(&rules);
    let mut s = Story::new(&rules);
    assert_eq!(s.step(|draft| draft.policy(&next)), NONE);
    s.does("user1", enact(&next)).does("cp14", enact(&next));
    assert_eq!(s.state.policy().digest(), rules.digest(), "no sre among them");
    s.does("user3", enact(&next));
    assert_eq!(s.state.policy().digest(), next.digest());
}

#[test]
fn a_policy_whose_group_has_no_key_left_could_never_be_changed_again() {
    let rules = grouped("policy: {human: 1, agent: 1, from: {sre: 1}}");
    let next = rules.clone().after(&rules);
    let lose = |s: &mut Story, name: &str| {
        for key in [ssh(seed(name)), ssh(seed(name) + 100)] {
            s.does(who(name).key(key.clone()), revoke(&key));
        }
    };
    let mut s = Story::new(&rules);
    lose(&mut s, "user2");
    let mut one_left = s.clone();
    assert_eq!(one_left.step(|draft| draft.policy(&next)), NONE);
    lose(&mut s, "user3");
    assert_eq!(s.step(|draft| draft.policy(&next)), ["policy-floor"]);
}

#[test]
fn what_a_policy_loosens_is_told_rule_by_rule() {
    let read = |book: &Rulebook| policy::read(book.yaml().as_bytes()).unwrap().get().clone();
    let strict =
        "cosign: {human: 2, agent: 1, from: {leads: 1, sre: 1}, agents: [cp14], hardware: false, deliberate: true}";
    let loosened_by = |now: &Rulebook, next: &Rulebook| -> Vec<String> {
        loosened(&read(now), &read(next)).iter().map(ToString::to_string).collect()
    };
    let now = two_targets(strict);
    assert_eq!(loosened_by(&now, &now), NONE);
    let next = two_targets("cosign: {human: 1, agent: 1, from: {leads: 1}, agents: [cp14, cp15]}");
    assert_eq!(
        loosened_by(&now, &next),
        [
            "rule cosign of target web: human 2 → 1, agents [cp14] → [cp14, cp15], from sre 1 → none, deliberate → not asked for"
        ]
    );
    assert_eq!(loosened_by(&next, &now), NONE, "what asks for more loosens nothing");
    let gone = two_targets("");
    assert!(
        loosened_by(&now, &gone)[0].starts_with("rule cosign of target web: human 2 → 1, agents [cp14] → all"),
        "its own rule goes"
    );
    let mut wider = now.clone();
    wider.rest = wider.rest.replace("sre: [user2, user3]", "sre: [user1, user3]");
    assert_eq!(loosened_by(&now, &wider), ["rule cosign of target web: sre gets user1"]);
    let all = grouped("promote: {human: 2, agent: 1, humans: [user1, user2]}");
    assert_eq!(loosened_by(&all, &grouped("")), ["rule promote: human 2 → 1, humans [user1, user2] → all"]);
}
