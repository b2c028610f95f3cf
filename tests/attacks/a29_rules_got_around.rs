//! A team's own rules got around
//!
//! A person fills one place; only the policy's keys change a target's rule; `after` and windows hold; expired keys only
//! stop.

use crate::dsl::*;

/// The fields of a vote about a lease of any text.
fn of(id: &str, text: &str, action: &str, step: u32, tier: u8) -> String {
    about(id, action, step, tier).replace(&digest_of(&lease(id)), &digest_of(text))
}

/// A scene with a third human, and some lines of the policy changed.
fn scene(changes: &[(&str, &str)]) -> Scene {
    Scene::under(|world| {
        let own = world.policy();
        let third = format!("  user3: {{role: human, keys: [\"{}\"]}}\n  cp14:", world.public_key("user3"));
        changes.iter().fold(own.replacen("  cp14:", &third, 1), |policy, (from, to)| {
            assert!(policy.contains(from), "{policy}");
            policy.replace(from, to)
        })
    })
}

const COSIGN: &str = "cosign: {human: 1, agent: 1, agents: [cp14, cp18]}";
const TARGET: &str = "checkout-prod: {driver: file, applier: edge1}";

fn cosigned(scene: &Scene, names: &[&str]) {
    for name in names {
        scene.turn(name, &about(LEASE, "cosign", 0, 0));
    }
    scene.admits(&["main"]);
}

fn starts(scene: &Scene) {
    scene.turn("cp14", &about(LEASE, "start", 1, 5));
}

/// One person counted for two groups.
#[test]
fn one_person_for_two_groups() {
    let both = "cosign: {human: 2, agent: 1, from: {leads: 1, sre: 1}}";
    let scene = scene(&[("rules:", "groups: {leads: [user1, user2], sre: [user2]}\nrules:"), (COSIGN, both)]);
    cosigned(&scene, &["user2", "user3", "cp14"]);
    scene.never_counts("not-authorized", starts, |scene| {
        scene.turn("user1", &about(LEASE, "cosign", 0, 0));
        starts(scene);
    });
}

/// One key loosens a target's rule.
#[test]
fn a_targets_rule_loosened_by_one_key() {
    let own = "checkout-prod: {driver: file, applier: edge1, rules: {cosign: {human: 2, agent: 1}}}";
    let scene = scene(&[(TARGET, own)]);
    cosigned(&scene, &["user1", "cp14"]);
    let loose = next(&scene.world.run(scene.world.repo(), "cat", &[".two-key/policy.yaml"], b"").exits(0).out, 2);
    let loose = loose.replace(own, TARGET);
    scene.never_counts(
        "not-authorized",
        |scene| {
            scene.propose_policy(&loose);
            scene.turn("user1", &for_policy(&loose));
            starts(scene);
        },
        |scene| {
            scene.turn("user2", &about(LEASE, "cosign", 0, 0));
            starts(scene);
        },
    );
}

/// A start before what it waits for.
#[test]
fn started_before_what_it_waits_for() {
    let scene = Scene::new();
    let text = lease(OTHER).replace("target: checkout-prod", "target: production")
        + "after: [{target: checkout-prod, state: completed, artifacts: same}]\n";
    scene.propose(&text, OTHER);
    for name in ["user1", "cp14"] {
        scene.turn(name, &of(OTHER, &text, "cosign", 0, 0));
    }
    scene.start();
    for (step, tier) in [(2, 25), (3, 100)] {
        for name in ["user1", "cp14"] {
            scene.turn(name, &about(LEASE, "promote", step, tier));
        }
    }
    scene.admits(&["main"]);
    let start = |scene: &Scene| drop(scene.turn("cp14", &of(OTHER, &text, "start", 1, 5)));
    scene.never_counts("not-yet", start, |scene| {
        scene.turn("user1", &about(LEASE, "complete", 4, 0));
        start(scene);
    });
}

/// All at once where the target forbids it.
#[test]
fn all_at_once_where_it_is_not_allowed() {
    let scene = scene(&[(TARGET, &format!("{TARGET}\n  jobs: {{driver: file, all-at-once: true}}"))]);
    let at_once = |target: &str| {
        let tiers = "tiers: [{weight: 5, bake: 15m}, {weight: 25, bake: 15m}, {weight: 100, bake: 15m}]";
        let text = lease(OTHER).replace(tiers, "tiers: [{weight: 100, bake: 0s}]");
        text.replace("target: checkout-prod", &format!("target: {target}"))
    };
    let cosigns = |target: &'static str| {
        move |scene: &Scene| {
            scene.propose(&at_once(target), OTHER);
            scene.turn("user1", &of(OTHER, &at_once(target), "cosign", 0, 0));
        }
    };
    scene.refuses_but_takes("policy-floor", cosigns("checkout-prod"), cosigns("jobs"));
}

/// An unknown time zone.
#[test]
fn a_zone_that_does_not_exist() {
    let scene = Scene::new();
    let policy = |zone: &str| {
        let windows =
            format!("windows: [{{days: mon-sun, from: \"00:00\", until: \"24:00\", zone: {zone}}}]\ntargets:");
        next(&scene.world.policy(), 2).replace("targets:", &windows)
    };
    let (unknown, known) = (policy("Europe/Atlantis"), policy("Europe/Berlin"));
    scene.never_counts("malformed", |scene| drop(scene.propose_policy(&unknown)), |scene| scene.enact(&known));
}

/// A promotion outside the windows.
#[test]
fn outside_the_targets_windows() {
    const DAYS: [&str; 7] = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let today = usize::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
    let windows =
        |day: &str| format!("windows: [{{days: {day}, from: \"00:00\", until: \"24:00\", zone: UTC}}]\ntargets:");
    let scene = scene(&[]);
    scene.start();
    scene.admits(&["main"]);
    // Three days from now, whatever the hour: no midnight comes between.
    let closed = next(&scene.world.run(scene.world.repo(), "cat", &[".two-key/policy.yaml"], b"").exits(0).out, 2);
    scene.enact(&closed.replace("targets:", &windows(DAYS[(today + 3) % 7])));
    scene.admits(&["main"]);
    scene.refuses_but_takes(
        "outside-window",
        |scene| drop(scene.promote("user1")),
        |scene| drop(scene.turn("user1", &stop("halt", 1))),
    );
}

/// A promotion by an expired key.
#[test]
fn a_key_after_its_last_day() {
    let scene = scene(&[("user2: {role: human,", "user2: {role: human, until: 2025-12-31,")]);
    scene.start();
    scene.admits(&["main"]);
    scene.refuses_but_takes(
        "key-expired",
        |scene| drop(scene.promote("user2")),
        |scene| drop(scene.turn("user2", &stop("halt", 1))),
    );
}

/// An expired key votes to extend itself.
#[test]
fn a_key_that_puts_off_its_last_day() {
    let scene = scene(&[("user2: {role: human,", "user2: {role: human, until: 2025-12-31,")]);
    let later = next(&scene.world.run(scene.world.repo(), "cat", &[".two-key/policy.yaml"], b"").exits(0).out, 2);
    let later = later.replace("2025-12-31", "2035-12-31");
    let enacts = |name: &'static str| {
        let later = later.clone();
        move |scene: &Scene| {
            scene.propose_policy(&later);
            scene.turn(name, &for_policy(&later));
            scene.turn("cp14", &for_policy(&later));
        }
    };
    scene.refuses_but_takes("key-expired", enacts("user2"), enacts("user1"));
}

/// A policy that asks for people who are not there, or opens at no hour.
#[test]
fn rules_that_nobody_could_ever_meet() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let grouped = |groups: &str, from: &str| {
        let rule = format!("cosign: {{human: 2, agent: 1, from: {{{from}}}}}");
        policy.replace("rules:", &format!("groups: {{{groups}}}\nrules:")).replace(COSIGN, &rule)
    };
    let listed = |agents: &str| policy.replace(COSIGN, &format!("cosign: {{human: 1, agent: 2, agents: [{agents}]}}"));
    let of_three = |human: u8| grouped("sre: [user1]", "sre: 1").replace("human: 2", &format!("human: {human}"));
    let open = |windows: &str| policy.replace("targets:", &format!("windows: [{windows}]\ntargets:"));
    let hours =
        |from: &str, until: &str| open(&format!("{{days: mon-fri, from: \"{from}\", until: \"{until}\", zone: UTC}}"));
    for (never, sometimes) in [
        (grouped("sre: []", "sre: 1"), grouped("sre: [user2]", "sre: 1")),
        (grouped("sre: [nobody]", "sre: 1"), grouped("sre: [user1]", "sre: 1")),
        (grouped("sre: [cp14]", "sre: 1"), grouped("sre: [user1, user2]", "sre: 1")),
        (grouped("sre: [user2]", "ops: 1"), grouped("ops: [user2]", "ops: 1")),
        (grouped("sre: [user2]", "sre: 2"), grouped("sre: [user1, user2]", "sre: 2")),
        (grouped("a: [user2], b: [user2]", "a: 1, b: 1"), grouped("a: [user2], b: [user1]", "a: 1, b: 1")),
        (listed("cp14"), listed("cp14, cp18")),
        (of_three(3), of_three(2)),
        (open(""), policy.clone()),
        (hours("17:00", "17:00"), hours("17:00", "17:01")),
        (hours("17:00", "09:00"), hours("09:00", "17:00")),
    ] {
        scene.refuses_but_takes(
            "malformed",
            |scene| drop(scene.propose_policy(&never)),
            |scene| drop(scene.propose_policy(&sometimes)),
        );
    }
}

/// A policy by which everybody's last day has passed.
#[test]
fn everybodys_last_day_in_the_past() {
    let scene = Scene::new();
    let policy = next(&scene.world.policy(), 2);
    let all_until = |day: &str| {
        ["human", "agent"].iter().fold(policy.clone(), |policy, role| {
            policy.replace(&format!("role: {role},"), &format!("role: {role}, until: {day},"))
        })
    };
    let (past, ahead) = (all_until("2020-01-01"), all_until("2099-12-31"));
    scene.refuses_but_takes("policy-floor", |scene| scene.enact(&past), |scene| scene.enact(&ahead));
}

/// A note by an expired key: sealed by nobody.
#[test]
fn a_note_by_an_expired_key_in_everybodys_way() {
    for (until, sealed) in [("2025-12-31", 0), ("2099-12-31", 1)] {
        let scene = scene(&[("user2: {role: human,", &format!("user2: {{role: human, until: {until},"))]);
        let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
        scene.note("user2", &blob, &scene.entry("user2", &about(LEASE, "cosign", 0, 0)));
        let key = scene.world.key_file("cp14").to_str().unwrap().to_owned();
        scene.world.two_key(&["sign", LEASE, "--no-push", "--key", &key]).exits(0);
        let message = scene.world.git(&["log", "-1", "--format=%B"]);
        assert_eq!(message.matches("Two-Key-Cosignature: ").count(), sealed, "{until}: {message}");
        scene.admits(&["main"]);
    }
}
