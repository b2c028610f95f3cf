//! Two teams, three targets, staging before production, in one repository: who may do what, and what each is told.

use crate::kit::{REPOSITORY, Ran, World};

const STAGE: &str = "STAGE-1";
const PROD: &str = "PROD-1";
const SHOP: &str = "SHOP-1";
const OWN: &str = ", rules: {cosign: {human: 2, agent: 1, from: {pay-leads: 1, sre: 1}}, promote: {human: 1, agent: 1, from: {sre: 1}}}";

fn policy(world: &World) -> String {
    let principal =
        |(name, role): (&str, &str)| format!("  {name}: {{role: {role}, keys: [\"{}\"]}}\n", world.public_key(name));
    let people =
        [("ana", "human"), ("bo", "human"), ("cy", "human"), ("dee", "human"), ("cp14", "agent"), ("edge1", "applier")];
    format!(
        "two-key: 1\nrepository: {REPOSITORY}\nversion: 1\nprevious: null\nprincipals:\n{}groups:\n  pay-leads: [ana, bo]\n  \
         sre: [cy, dee]\nrules:\n  promote: {{human: 1, agent: 1}}\ntargets:\n  payments-staging: {{driver: file, applier: edge1}}\n  \
         payments-prod: {{driver: file, applier: edge1{OWN}}}\n  shop-prod: {{driver: file, applier: edge1}}\n",
        people.map(principal).concat()
    )
}

fn world() -> World {
    let world = World::empty();
    world.found(&policy(&world));
    world
}

#[track_caller]
fn by(world: &World, who: &str, args: &[&str]) -> Ran {
    let key = world.key_file(who);
    world.two_key(&[args, &["--key", key.to_str().unwrap()]].concat())
}

fn propose(world: &World, id: &str, target: &str, more: &[&str]) -> Ran {
    let artifact = format!("payments=sha256:{}", "11".repeat(32));
    let fixed = ["new", "--id", id, "--target", target, "--summary", "Payments 2.1", "--artifact", &artifact];
    world.two_key(&[&fixed[..], more].concat())
}

fn state(world: &World, id: &str) -> String {
    world.two_key(&["show", id, "--format", "json"]).exits(0).json()["state"].as_str().unwrap().to_owned()
}

fn both(world: &World, human: &str, args: &[&str]) {
    by(world, human, args).exits(0);
    by(world, "cp14", args).exits(0);
}

#[test]
fn two_teams_bring_one_version_by_staging_into_production() {
    let world = world();
    propose(&world, STAGE, "payments-staging", &[]).exits(0);
    propose(&world, PROD, "payments-prod", &["--after", "payments-staging"]).exits(0);
    both(&world, "dee", &["sign", STAGE]);
    assert_eq!(state(&world, STAGE), "authorized", "the policy's rule: anybody with an agent");
    // Production wants one of each team.
    both(&world, "ana", &["sign", PROD]);
    world.two_key(&["verify", PROD]).exits(1).says("cosign needs 1 of sre (cy or dee); has ana, cp14");
    by(&world, "bo", &["start", PROD])
        .exits(1)
        .says("not-authorized")
        .says("needs 1 of sre (cy or dee); has ana, cp14");
    by(&world, "cy", &["sign", PROD]).exits(0);
    assert_eq!(state(&world, PROD), "authorized");
    // And it has to have run in staging first.
    by(&world, "cy", &["start", PROD]).exits(1).says("not-yet").says("has completed on target payments-staging");
    by(&world, "bo", &["start", STAGE]).exits(0);
    for _ in 0..2 {
        both(&world, "bo", &["promote", STAGE]);
    }
    by(&world, "cp14", &["complete", STAGE]).exits(0);
    by(&world, "ana", &["start", PROD]).exits(0);
    // There is no promotion in production without an sre.
    both(&world, "ana", &["promote", PROD]);
    let shown = world.two_key(&["show", PROD]).exits(0);
    shown.says("waits for: 1 of sre, to promote to 25 %");
    by(&world, "dee", &["promote", PROD]).exits(0);
    assert_eq!(world.two_key(&["show", PROD, "--format", "json"]).exits(0).json()["tier"], 25);
    // Anybody stops it.
    by(&world, "bo", &["halt", PROD]).exits(0);
    assert_eq!(state(&world, PROD), "halted");
}

#[test]
fn what_waits_for_one_another_is_not_proposed() {
    let world = world();
    propose(&world, STAGE, "payments-staging", &["--after", "payments-prod"]).exits(0);
    propose(&world, PROD, "payments-prod", &["--after", "payments-staging"]).exits(1).says("not-yet").says(STAGE);
    propose(&world, SHOP, "shop-prod", &["--after", "payments-staging"]).exits(0);
}

#[test]
fn a_policy_that_loosens_a_targets_rule_says_so_first() {
    let world = world();
    let now = policy(&world);
    let digest =
        world.two_key(&["list", "--format", "json"]).exits(0).json()["policy"]["digest"].as_str().unwrap().to_owned();
    let next = now.replace("version: 1\nprevious: null", &format!("version: 2\nprevious: {digest}"));
    let next = next
        .replace("from: {pay-leads: 1, sre: 1}", "from: {pay-leads: 1}")
        .replace("promote: {human: 1, agent: 1, from: {sre: 1}}", "promote: {human: 1, agent: 1}");
    world.commit_file(".two-key/policy.yaml", &next, "Propose a policy");
    for ran in [world.two_key(&["show", "policy"]), by(&world, "ana", &["sign", "policy", "--dry-run"])] {
        let ran = ran.exits(0).says("loosens rule cosign of target payments-prod: from sre 1 → none");
        let ran = ran.says("loosens rule promote of target payments-prod: from sre 1 → none");
        let (first, other) =
            (ran.out.find("loosens rule").unwrap(), ran.out.find("target payments-prod: rules").unwrap());
        assert!(first < other, "{}", ran.out);
    }
}
