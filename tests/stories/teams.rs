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

/// Two teams and three targets.
pub(crate) fn world() -> World {
    let world = World::empty();
    world.found(&policy(&world));
    world
}

#[track_caller]
fn by(world: &World, who: &str, args: &[&str]) -> Ran {
    let key = world.key_file(who);
    world.two_key(&[args, &["--key", key.to_str().unwrap()]].concat())
}

/// Proposes a lease.
pub(crate) fn propose(world: &World, id: &str, target: &str, more: &[&str]) -> Ran {
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

#[test]
fn a_key_is_spoken_of_from_thirty_days_before_its_last_day() {
    let day = |days: i64| {
        let then = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        then.to_string().split_once('T').unwrap().0.to_owned()
    };
    let (soon, past, far) = (day(20), day(-3), day(40));
    let world = World::empty();
    let own = |name: &str| format!("keys: [\"{}\"]", world.public_key(name));
    let policy = policy(&world)
        .replace("ana: {role: human,", &format!("ana: {{role: human, until: {soon},"))
        .replace(&own("bo"), &format!("keys: [{{key: \"{}\", until: {past}}}]", world.public_key("bo")))
        .replace("cy: {role: human,", &format!("cy: {{role: human, until: {far},"));
    world.found(&policy);
    let lines = [
        format!("ana's key {} has its last day on {soon}", world.fingerprint("ana")),
        format!("bo's key {} had its last day on {past}", world.fingerprint("bo")),
    ];
    let doctor = world.two_key(&["doctor"]);
    let doctor = lines.iter().fold(doctor, |ran, line| ran.says(line)).says("last-day");
    assert_eq!(doctor.never_says(&far).out.matches("last day on").count(), 2);
    for (who, own) in [("ana", Some(0)), ("bo", Some(1)), ("cy", None), ("dee", None)] {
        world.git(&["config", "two-key.key", world.key_file(who).to_str().unwrap()]);
        let ran = world.two_key(&["list", "--mine"]).exits(0);
        match own {
            Some(line) => drop(ran.says(&lines[line]).never_says(&lines[1 - line])),
            None => drop(ran.never_says("last day on")),
        }
    }
    world.two_key(&["report"]).exits(0);
    let page = std::fs::read_to_string(world.repo().join("two-key-report.html")).unwrap();
    for line in &lines {
        assert!(page.contains(&line.replace('\'', "&#39;")), "{line} is not in\n{page}");
    }
    assert_eq!(page.matches("last day on").count(), 2);
    assert!(page.contains(&format!("in force until {far}")), "{page}");
}

#[test]
fn a_rule_that_cannot_be_met_is_refused_where_it_stands() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/policy");
    let world = World::empty();
    let check = |file: &str| world.two_key_in(&folder, &["check", file, "--format", "json"]);
    for (file, place, why) in [
        ("group-empty.yaml", [14, 3], "the group sre is empty"),
        ("group-of-nobody.yaml", [14, 9], "user3 is no human among the principals"),
        ("from-unknown-group.yaml", [16, 39], "there is no group ops"),
        ("from-more-than-members.yaml", [16, 11], "nobody could ever meet `from` of the cosign rule"),
        ("from-one-person-for-two.yaml", [16, 11], "1 of leads or sre stays open"),
        ("windows-none.yaml", [18, 10], "windows without a window never open"),
        ("window-of-no-minute.yaml", [18, 49], "a window from 17:00 until 17:00 never opens"),
        ("window-zone-unknown.yaml", [18, 64], "there is no time zone `Europe/Atlantis`"),
    ] {
        let told = check(file).exits(1).json();
        let problem = &told["files"][0]["problems"][0];
        assert_eq!(
            (&told["reason"], &problem["line"], &problem["column"]),
            (&"malformed".into(), &place[0].into(), &place[1].into()),
            "{told}"
        );
        assert!(problem["message"].as_str().unwrap().contains(why), "{told}");
    }
    for file in ["honest-groups.yaml", "honest-target-rules.yaml", "honest-windows.yaml"] {
        check(file).exits(0);
    }
    // Two that wait for one another: told where they are written, as where they are proposed.
    let world = self::world();
    propose(&world, STAGE, "payments-staging", &["--after", "payments-prod"]).exits(0);
    world.two_key(&["check"]).exits(0);
    let text = std::fs::read_to_string(world.repo().join(format!("leases/{STAGE}.yaml"))).unwrap();
    let circle =
        text.replace(STAGE, PROD).replace("payments-staging", "HERE").replace("payments-prod", "payments-staging");
    std::fs::write(world.repo().join(format!("leases/{PROD}.yaml")), circle.replace("HERE", "payments-prod")).unwrap();
    world
        .two_key(&["check"])
        .exits(1)
        .says(&format!("refused leases/{PROD}.yaml: not-yet: "))
        .says("neither could ever start");
    let file = world.repo().join(format!("leases/{PROD}.yaml"));
    let other = std::fs::read_to_string(&file).unwrap().replace("target: payments-staging", "target: shop-prod");
    std::fs::write(&file, other).unwrap();
    world.two_key(&["check"]).exits(0);
}
