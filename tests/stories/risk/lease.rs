//! A lease's declared risk against the one that is computed.

use super::{assessed, change, commit, factors, fits_the_schema};
use crate::kit::{self, LEASE, Ran, World};

/// A governance repository, and the repository of what it governs.
struct Two {
    governance: World,
    app: World,
    from: String,
    to: String,
}

/// What the policy says of risk in most tests.
const RISK: &str = "risk:\n  model: two-key-2\n  sensitive: [\"lib/**\"]\n  bands:\n    - {from: 80, bake: 30m, \
                    first-tier: 1, samples: 2}\n    - {from: 81, bake: 2h}\n  factors:\n    sensitive-path: {humans: 1}\n";

impl Two {
    /// Both, with the change of 80 of 100 that is computed by hand.
    fn new() -> Self {
        let (governance, app) = (World::empty(), World::empty());
        governance.found(&(governance.policy() + RISK));
        let (from, to) = change(&app);
        Self { governance, app, from, to }
    }

    /// Proposes the lease, with some lines of its own.
    fn propose(&self, id: &str, lines: &str) {
        let change = format!("{{repository: {}, from: {}, to: {}}}", self.app.repo().display(), self.from, self.to);
        let lease = kit::lease(id) + &format!("change: {change}\n{lines}");
        self.governance.commit_file(&format!("leases/{id}.yaml"), &lease, "Propose");
    }

    fn risk(&self, more: &[&str]) -> Ran {
        self.governance.two_key(&[&["risk", LEASE], more].concat())
    }
}

#[test]
fn a_declaration_that_says_what_is_computed_holds() {
    let two = Two::new();
    two.propose(LEASE, "risk: {score: 80, model: two-key-2, factors: [no-tests, sensitive-path]}\n");
    two.risk(&["--check"]).exits(0).says("risk 80 of 100").says("factors: [no-tests, sensitive-path]}: holds");
    let json = two.risk(&["--check", "--format", "json"]).exits(0).json();
    fits_the_schema(&json, "risk-lease");
    assert_eq!(
        (json["score"].as_u64(), json["reason"].as_str(), json["lease"].as_str()),
        (Some(80), None, Some(LEASE))
    );
}

#[test]
fn declaring_more_is_anybodys_right() {
    let two = Two::new();
    let factors = "[no-tests, sensitive-path, gut-feeling]";
    two.propose(LEASE, &format!("risk: {{score: 99, model: two-key-2, factors: {factors}}}\n"));
    two.risk(&["--check"]).exits(0).says("holds");
}

#[test]
fn a_score_that_is_too_low_is_refused() {
    let two = Two::new();
    two.propose(LEASE, "risk: {score: 79, model: two-key-2, factors: [no-tests, sensitive-path]}\n");
    let line = format!("two-key: refused {LEASE}: risk: the lease declares a score of 79, it is 80");
    two.risk(&["--check"]).exits(1).says(&line).says("score: 80, model: two-key-2");
    let json = two.risk(&["--check", "--format", "json"]).exits(1).json();
    assert_eq!(json["reason"].as_str(), Some("risk"));
    // Looking is not checking.
    two.risk(&[]).exits(0).says("does not hold: the lease declares a score of 79, it is 80");
}

#[test]
fn a_factor_that_is_missing_is_refused() {
    let two = Two::new();
    two.propose(LEASE, "risk: {score: 80, model: two-key-2, factors: [no-tests]}\n");
    two.risk(&["--check"]).exits(1).says(": risk: the lease does not declare what its change has: sensitive-path");
}

#[test]
fn a_lease_that_declares_nothing_is_refused() {
    let two = Two::new();
    two.propose(LEASE, "");
    two.risk(&["--check"]).exits(1).says(": risk: the lease declares no risk; the score is 80");
    two.risk(&[]).exits(0).says("declared: nothing: does not hold");
}

#[test]
fn another_models_score_cannot_be_decided() {
    let two = Two::new();
    two.propose(LEASE, "risk: {score: 100, model: other-7, factors: [no-tests, sensitive-path]}\n");
    two.risk(&["--check"]).exits(3).says("undecided: risk: the lease declares a score of model other-7");
}

#[test]
fn without_a_pinned_root_nothing_is_checked() {
    let two = Two::new();
    two.propose(LEASE, "risk: {score: 80, model: two-key-2, factors: [no-tests, sensitive-path]}\n");
    two.governance.git(&["config", "--unset", "two-key.root"]);
    two.risk(&["--check"]).exits(3).says("undecided: unpinned:");
    two.risk(&[]).exits(0).says("unpinned: no root is pinned").says("holds");
}

#[test]
fn what_the_policy_demands_is_said() {
    let two = Two::new();
    two.propose(LEASE, "");
    // 80 reaches the first band and not the second; the factor asks for one more human.
    let demands = "the policy demands of this risk: every tier bakes at least 30m, a first tier of at most 1 %, 2 times \
                   the gates' minimum samples, 1 more of the humans";
    two.risk(&[]).exits(0).says(demands).says("too loose for it: the declared risk demands a bake of 30m");
}

#[test]
fn the_pasted_line_makes_the_check_hold() {
    let two = Two::new();
    two.propose(LEASE, "");
    let block = two.risk(&["--format", "yaml-block"]).exits(0).out;
    two.propose(LEASE, &block);
    two.risk(&["--check"]).exits(0).says("holds");
}

#[test]
fn rollbacks_of_the_target_count_for_ninety_days() {
    let two = Two::new();
    let world = &two.governance;
    let propose = |id: &str, issued: &str, target: &str| {
        let change = format!("{{repository: {}, from: {}, to: {}}}", two.app.repo().display(), two.from, two.to);
        let terms = kit::lease(id).replace("15m", "30m").replace("weight: 5,", "weight: 1,");
        let terms = terms.replace("2025-10-27T02:19:13Z", issued).replace("checkout-prod", target);
        let risk = "risk: {score: 80, model: two-key-2, factors: [no-tests]}";
        world.commit_file(&format!("leases/{id}.yaml"), &format!("{terms}change: {change}\n{risk}\n"), "Propose");
    };
    propose("LEASE-20251001-000000", "2025-10-01T00:00:00Z", "checkout-prod");
    world.turn("user1", "cosign", "LEASE-20251001-000000");
    world.turn("cp14", "cosign", "LEASE-20251001-000000");
    world.turn("user1", "start", "LEASE-20251001-000000");
    let looked_at = |issued: &str, target: &str| {
        propose(LEASE, issued, target);
        let json = two.risk(&["--format", "json"]).exits(0).json();
        let all = json["factors"].as_array().unwrap().clone();
        all.iter().any(|factor| factor["name"] == "earlier-rollbacks" && factor["why"] == "LEASE-20251001-000000")
    };
    assert!(!looked_at("2025-10-27T02:19:12Z", "checkout-prod"));
    world.turn("user2", "rollback", "LEASE-20251001-000000");
    assert!(looked_at("2025-10-27T02:19:13Z", "checkout-prod"));
    assert!(looked_at("2025-12-30T00:00:00Z", "checkout-prod"));
    assert!(!looked_at("2025-12-30T00:00:01Z", "checkout-prod"));
    assert!(!looked_at("2025-10-27T02:19:13Z", "search-prod"));
    // A lease's own rollback is nothing earlier.
    let own = two.governance.two_key(&["risk", "LEASE-20251001-000000"]).exits(0);
    own.never_says("earlier-rollbacks");
}

#[test]
fn the_change_is_found_where_the_lease_says_or_where_one_is_told() {
    let two = Two::new();
    let write = |repository: &str| {
        let change = format!("{{repository: \"{repository}\", from: {}, to: {}}}", two.from, two.to);
        let lease = kit::lease(LEASE) + &format!("change: {change}\n");
        two.governance.commit_file(&format!("leases/{LEASE}.yaml"), &lease, "Propose");
    };
    let path = two.app.repo().to_str().unwrap().to_owned();
    write("https://git.example/shop/checkout.git");
    two.risk(&[]).exits(2).says("--repository PATH");
    two.risk(&["--repository", &path]).exits(0).says("risk 80");
    write("git.example:shop/checkout.git");
    two.risk(&[]).exits(2).says("--repository PATH");
    write(&format!("file://{path}"));
    two.risk(&[]).exits(0).says("risk 80");
    write("/nowhere/at all");
    two.risk(&[]).exits(3).says("is not a Git repository");
}

#[test]
fn an_unknown_commit_or_lease_has_its_exit_code() {
    let mut two = Two::new();
    two.governance.two_key(&["risk", "LEASE-20250101-000000", "--check"]).exits(1).says(": unknown-lease:");
    two.to = "1".repeat(40);
    two.propose(LEASE, "risk: {score: 100, model: two-key-2}\n");
    two.risk(&["--check"]).exits(3).says("names no commit in the change's repository");
    two.to = "1".repeat(64);
    two.propose(LEASE, "risk: {score: 100, model: two-key-2}\n");
    two.risk(&["--check"]).exits(3).says("names no commit in the change's repository");
}

#[test]
fn a_lease_without_a_change_cannot_be_decided() {
    let two = Two::new();
    two.governance.commit_file(&format!("leases/{LEASE}.yaml"), &kit::lease(LEASE), "Propose");
    two.risk(&["--check"]).exits(3).says("names no change, only artifacts");
}

#[test]
fn arguments_that_do_not_go_together_are_wrong_usage() {
    let two = Two::new();
    two.governance.two_key(&["risk"]).exits(2);
    two.risk(&["--from", &two.from, "--to", &two.to, "--repository", "."]).exits(2);
    let path = two.app.repo().to_str().unwrap();
    let args = ["risk", "--repository", path, "--from", &two.from, "--to", &two.to, "--check"];
    two.governance.two_key(&args).exits(2);
    two.risk(&["--sensitive", "*.rs"]).exits(2);
    two.risk(&["--last", "10"]).exits(2);
}

#[test]
fn recomputing_later_gives_the_same() {
    let two = Two::new();
    let before = assessed(&two.app, &two.from, &two.to);
    commit(&two.app, "bob", 9, "fix: more", &[("src/a.rs", Some("x\n"))]);
    let path = two.app.path().join("clone");
    two.app.git(&["clone", "--quiet", "--bare", ".", path.to_str().unwrap()]);
    two.propose(LEASE, "risk: {score: 80, model: two-key-2, factors: [no-tests, sensitive-path]}\n");
    let later = two.risk(&["--check", "--repository", path.to_str().unwrap(), "--format", "json"]).exits(0).json();
    assert_eq!((&later["terms"], &later["features"]), (&before["terms"], &before["features"]));
}

#[test]
fn before_there_is_a_lease_the_target_tells_the_policys_answer() {
    let two = Two::new();
    let path = two.app.repo().to_str().unwrap();
    let args = ["risk", "--repository", path, "--from", &two.from, "--to", &two.to, "--target"];
    let ran = two.governance.two_key(&[&args[..], &["checkout-prod"]].concat()).exits(0);
    ran.says("sensitive-path: lib/c.rs").says("the policy demands of this risk: every tier bakes at least 30m");
    let ran = two.governance.two_key(&[&args[..], &["search-prod"]].concat()).exits(2);
    ran.says("no target `search-prod`; it has: checkout-prod");
    let ran = two.governance.two_key(&args[..args.len() - 1]).exits(0);
    ran.never_says("sensitive-path").never_says("demands").says("no ledger was asked");
}

#[test]
fn a_pattern_of_the_policy_that_is_none_cannot_be_decided() {
    let (governance, app) = (World::empty(), World::empty());
    governance.found(&(governance.policy() + &RISK.replace("lib/**", "lib/[")));
    let (from, to) = change(&app);
    let two = Two { governance, app, from, to };
    two.propose(LEASE, "risk: {score: 100, model: two-key-2, factors: [no-tests]}\n");
    two.risk(&["--check"]).exits(3).says("undecided: malformed: `lib/[` under `risk.sensitive`");
}

#[test]
fn a_change_that_does_not_start_from_what_runs_says_so() {
    let two = Two::new();
    let world = &two.governance;
    let propose = |id: &str, issued: &str, from: &str, to: &str| {
        let change = format!("{{repository: {}, from: {from}, to: {to}}}", two.app.repo().display());
        let terms = kit::lease(id).replace("15m", "2h").replace("weight: 5,", "weight: 1,");
        let risk = "risk: {score: 100, model: two-key-2, factors: [no-tests]}";
        let lease = format!("{}change: {change}\n{risk}\n", terms.replace("2025-10-27T02:19:13Z", issued));
        world.commit_file(&format!("leases/{id}.yaml"), &lease, "Propose");
    };
    let first = "LEASE-20251001-000000";
    propose(first, "2025-10-01T00:00:00Z", &two.from, &two.to);
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("user1", "start")] {
        world.turn(name, action, first);
    }
    for _ in 0..2 {
        world.turn("user1", "promote", first);
        world.turn("cp14", "promote", first);
    }
    let next = commit(&two.app, "bob", 5, "Go on", &[("src/a.rs", Some("x\n"))]);
    let last = commit(&two.app, "bob", 6, "And on", &[("src/b.rs", Some("x\n"))]);
    propose(LEASE, "2025-10-27T02:19:13Z", &next, &last);
    two.risk(&[]).exits(0).never_says("other-start");
    world.turn("user1", "complete", first);
    let why =
        format!("the last lease completed there brought {}, the change starts from {}", &two.to[..12], &next[..12]);
    two.risk(&[]).exits(0).says("other-start: ").says(&why);
    two.risk(&["--check"]).exits(1).says(": risk: the lease does not declare what its change has: other-start");
    propose(LEASE, "2025-10-27T02:19:13Z", &two.to, &last);
    two.risk(&["--check"]).exits(0).never_says("other-start");
    // What completes later than this lease is issued is nothing that it starts from; nor is it its own start.
    propose(LEASE, "2025-09-30T00:00:00Z", &next, &last);
    two.risk(&["--check"]).exits(0);
    world.two_key(&["risk", first]).exits(0).never_says("other-start");
}

#[test]
fn a_commits_claimed_time_does_not_hide_a_revert() {
    let mut two = Two::new();
    two.app.git(&["reset", "--quiet", "--hard", &two.from]);
    two.from = commit(&two.app, "ann", 4, "Revert \"Fix b\"", &[("src/b.rs", Some("b\n"))]);
    two.to = commit(&two.app, "bob", 400, "Again", &[("src/b.rs", Some("bb\n"))]);
    // The lease is issued on day 0, whatever the change claims.
    two.propose(LEASE, "risk: {score: 100, model: two-key-2, factors: [no-tests]}\n");
    two.risk(&["--check"]).exits(1).says("does not declare what its change has: reverts-90d");
    assert_eq!(factors(&assessed(&two.app, &two.from, &two.to)), ["no-tests"]);
}
