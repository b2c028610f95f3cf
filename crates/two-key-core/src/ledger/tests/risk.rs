//! What declared risk demands, and that it only tightens.

use super::story::{Paper, Story, lease, rulebook};
use crate::{ledger::Phase, model::StopKind};

const BANDS: &str = "risk:
  model: m1
  bands:
    - {from: 50, bake: 30m}
    - {from: 70, first-tier: 4, humans: 1}
  factors:
    lockfile: {bake: 2h}
    secrets: {first-tier: 2, humans: 2}";

fn risky(score: u8, factors: &str, tiers: &str) -> Paper {
    lease("L1").with(&format!("risk: {{score: {score}, model: m1, factors: [{factors}]}}\ntiers: [{tiers}]"))
}

fn tiers(first: u8, bake: &str) -> String {
    format!("{{weight: {first}, bake: {bake}}}, {{weight: 25, bake: {bake}}}, {{weight: 100, bake: {bake}}}")
}

fn story() -> Story {
    Story::new(&rulebook().with(BANDS))
}

#[test]
fn a_band_counts_from_its_score_on() {
    for (score, first, bake, good) in [
        (49, 5, "1m", true),
        (50, 5, "29m", false),
        (50, 5, "30m", true),
        (69, 5, "30m", true),
        (70, 5, "30m", false),
        (70, 4, "30m", true),
        (100, 4, "29m", false),
    ] {
        let l = risky(score, "", &tiers(first, bake));
        let mut s = story();
        s.proposes(&l);
        if good {
            s.does("cp14", l.cosign());
        } else {
            s.refuses("cp14", l.cosign(), "risk");
        }
    }
}

#[test]
fn every_tier_bakes_long_enough() {
    for late in ["{weight: 25, bake: 1m}, {weight: 100, bake: 30m}", "{weight: 25, bake: 30m}, {weight: 100, bake: 1m}"]
    {
        let l = risky(50, "", &format!("{{weight: 5, bake: 30m}}, {late}"));
        story().proposes(&l).refuses("cp14", l.cosign(), "risk");
    }
}

#[test]
fn factors_tighten_beside_the_score_and_the_tightest_wins() {
    let slow = risky(0, "lockfile", &tiers(5, "119m"));
    story().proposes(&slow).refuses("user1", slow.cosign(), "risk");
    let slow = risky(0, "lockfile", &tiers(5, "2h"));
    story().proposes(&slow).does("user1", slow.cosign());
    for (first, good) in [(2, true), (3, false)] {
        let l = risky(70, "secrets", &tiers(first, "30m"));
        let mut s = story();
        s.proposes(&l);
        if good {
            s.does("user1", l.cosign());
        } else {
            s.refuses("user1", l.cosign(), "risk");
        }
    }
    let harmless = risky(0, "unheard-of", &tiers(5, "1m"));
    story().proposes(&harmless).does("user1", harmless.cosign());
}

#[test]
fn a_policy_with_a_model_wants_a_score_of_that_model() {
    let silent = lease("L1");
    story().proposes(&silent).refuses("user1", silent.cosign(), "risk");
    let other = lease("L1").with("risk: {score: 0, model: m2}");
    story().proposes(&other).refuses("user1", other.cosign(), "risk");
    let good = lease("L1").with("risk: {score: 0, model: m1}");
    story().proposes(&good).does("user1", good.cosign());
    Story::new(&rulebook()).proposes(&silent).does("user1", silent.cosign());
}

#[test]
fn risk_asks_for_more_humans_in_cosign_start_promote_and_resume() {
    let l = risky(70, "", &tiers(4, "30m"));
    let mut s = Story::new(&rulebook().with(BANDS).with("start-up-to: 0"));
    s.proposes(&l).does("user1", l.cosign()).does("cp14", l.cosign()).does("cp15", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed);
    s.does("user2", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
    s.does("user1", l.start(4)).does("cp14", l.start(4));
    assert_eq!(s.weight("L1"), 0);
    s.does("user2", l.start(4));
    assert_eq!(s.weight("L1"), 4);
    s.does("user1", l.promote(2, 25)).does("cp14", l.promote(2, 25)).does("cp15", l.promote(2, 25));
    assert_eq!(s.weight("L1"), 4);
    s.does("user3", l.promote(2, 25));
    assert_eq!(s.weight("L1"), 25);
    s.does("cp14", l.stop(StopKind::Pause, 1)).does("user1", l.resume(4)).does("cp14", l.resume(4));
    assert_eq!(s.phase("L1"), Phase::Paused { tier: 1 });
    s.does("user2", l.resume(4));
    assert_eq!(s.phase("L1"), Phase::Rolling { tier: 1 });
}

#[test]
fn the_most_of_several_demands_for_humans_counts() {
    let l = risky(70, "secrets", &tiers(2, "30m"));
    let mut s = story();
    s.proposes(&l).does("cp14", l.cosign()).does("user1", l.cosign()).does("user2", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Proposed);
    s.does("user3", l.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn what_risk_asks_more_people_for_is_not_delegated() {
    for (score, alone) in [(69, true), (70, false)] {
        let l = risky(score, "", &tiers(4, "30m")).with("agent-alone-up-to: 25");
        let mut s = Story::new(&rulebook().with(BANDS).with("delegable-up-to: 25"));
        s.proposes(&l).does("user1", l.cosign()).does("user2", l.cosign()).does("cp14", l.cosign());
        s.does("cp14", l.start(4)).does("cp14", l.promote(2, 25));
        assert_eq!(s.weight("L1"), if alone { 25 } else { 4 });
    }
}

#[test]
fn terms_are_checked_anew_at_the_start() {
    let l = lease("L1");
    let mut s = Story::new(&rulebook());
    s.authorizes(&l).enacts(&rulebook().with(BANDS).after(&rulebook()));
    s.refuses("cp14", l.start(5), "risk");
    let mut s = Story::new(&rulebook().with("delegable-up-to: 25"));
    let l = lease("L1").with("agent-alone-up-to: 25");
    s.authorizes(&l).enacts(&rulebook().after(&rulebook().with("delegable-up-to: 25")));
    s.refuses("cp14", l.start(5), "policy-floor");
}

#[test]
fn leaving_the_score_out_is_no_way_around_the_bands() {
    let silent = lease("L1").with(&format!("tiers: [{}]", tiers(5, "1m")));
    for demands in ["risk: {bands: [{from: 0, bake: 1m}]}", "risk: {factors: {lockfile: {bake: 1m}}}"] {
        Story::new(&rulebook().with(demands)).proposes(&silent).refuses("cp14", silent.cosign(), "risk");
    }
    Story::new(&rulebook()).proposes(&silent).does("cp14", silent.cosign());
}
