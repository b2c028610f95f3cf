//! What is so now: the policy that is proposed, what a target has, what waits and for whom, through the binary.

use std::fs;

use serde_json::Value;

use crate::kit::{LEASE, World, lease, scene::digest_of, schema::fits, stage::Stage};

/// The usual policy with a gate whose limit is so much.
fn gated(world: &World, limit: &str) -> String {
    let target = "driver: file, applier: edge1}";
    world.policy().replace(target, "driver: file, applier: edge1, gates: [errors]}")
        + &format!(
            "gates:\n  errors: {{source: file, kind: count-ratio, candidate: {{bad: b, total: t}}, absolute: {{max: {limit}}}}}\n"
        )
}

/// A policy as the next version of another.
fn after(before: &str, next: &str) -> String {
    next.replace("version: 1\nprevious: null", &format!("version: 2\nprevious: {}", digest_of(before)))
}

/// Turns a key for the proposed policy.
fn signs_policy(world: &World, name: &str) {
    let message = world.two_key(&["statement", "--message", "--principal", name, "policy"]).exits(0).out;
    world.carry(name, &message);
}

/// Who can turn a key for what a view awaits.
fn who(awaits: &Value) -> Vec<&str> {
    awaits["who"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

fn as_key_of(world: &World, name: &str) {
    world.git(&["config", "two-key.key", world.key_file(name).to_str().unwrap()]);
}

/// A world where a policy is proposed that loosens a gate, and an agent has signed it.
fn loosened() -> World {
    let world = World::empty();
    let policy = gated(&world, "0.05");
    world.found(&policy);
    world.commit_file(".two-key/policy.yaml", &after(&policy, &gated(&world, "0.99")), "Loosen a gate");
    signs_policy(&world, "cp14");
    world
}

#[test]
fn a_proposed_policy_is_in_every_list_for_those_whom_it_awaits() {
    let world = loosened();
    world
        .two_key(&["list"])
        .exits(0)
        .says("policy 2 is proposed: gate errors: absolute.max 0.05 → 0.99; waiting for a human");
    let proposed = world.two_key(&["list", "--format", "json"]).exits(0).json()["policy_proposed"].clone();
    assert_eq!((proposed["version"].as_u64(), who(&proposed["awaits"])), (Some(2), vec!["user1", "user2"]));
    assert_eq!(proposed["awaits"]["has"], serde_json::json!(["cp14"]));
    assert_eq!(world.two_key(&["list", "--short"]).exits(0).out, "1 policy proposed\n");
    as_key_of(&world, "user2");
    assert_eq!(world.two_key(&["list", "--short"]).exits(0).out, "1 policy proposed, 1 for you\n");
    world.two_key(&["list", "--mine"]).exits(0).says("policy 2 is proposed").never_says("no leases");
    // Who has signed, or could add nothing, is not awaited.
    for name in ["cp14", "cp18"] {
        as_key_of(&world, name);
        world.two_key(&["list", "--mine"]).exits(0).says("nothing waits for your key");
    }
    signs_policy(&world, "user1");
    world.two_key(&["list"]).exits(0).never_says("proposed");
    assert_eq!(world.two_key(&["list", "--short"]).exits(0).out, "");
}

#[test]
fn the_program_that_is_told_is_told_of_a_policy_too() {
    let world = loosened();
    as_key_of(&world, "user1");
    let (hook, told) = (world.path().join("hook"), world.path().join("told"));
    fs::write(&hook, format!("#!/bin/sh\necho \"$1: $2\" >> {0}\ncat >> {0}\n", told.display())).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.two_key(&["list", "--mine", "--exec", hook.to_str().unwrap()]).exits(0);
    let told = fs::read_to_string(told).unwrap();
    assert!(told.starts_with("policy: a human") && told.contains("absolute.max 0.05 → 0.99"), "{told}");
}

#[test]
fn show_policy_has_old_and_new_and_who_signed_and_who_could() {
    let world = loosened();
    let said = world.two_key(&["show", "policy"]).exits(0);
    let said = said.says("Policy version 1, in force since").says("Policy version 2, proposed");
    let said = said.says("* gate errors").says("absolute.max 0.05 → 0.99").says("signed by cp14 (agent)");
    said.says(": user1, user2\n").says("  rule cosign ").says(&world.fingerprint("edge1"));
    let view = world.two_key(&["show", "policy", "--format", "json"]).exits(0).json();
    let rows = view["rows"].as_array().unwrap();
    let differing: Vec<_> = rows.iter().filter(|row| row["in_force"] != row["proposed"]).collect();
    let expected =
        serde_json::json!({"about": "gate errors", "name": "absolute.max", "in_force": "0.05", "proposed": "0.99"});
    assert_eq!(differing, [&expected]);
    as_key_of(&world, "user1");
    world.two_key(&["sign", "policy", "--dry-run"]).exits(0).says("absolute.max 0.05 → 0.99");
    signs_policy(&world, "user1");
    let view = world.two_key(&["show", "policy", "--format", "json"]).exits(0).json();
    assert_eq!((view["in_force"]["version"].as_u64(), &view["proposed"]), (Some(2), &Value::Null));
    world.two_key(&["show", "policy"]).exits(0).says("\nIn force\n").never_says("→");
    world.two_key(&["show", "policy", "--watch"]).exits(2);
}

#[test]
fn a_policy_that_cannot_come_in_force_says_why_and_awaits_nobody() {
    let world = World::founded();
    let skips = after(&world.policy(), &world.policy()).replace("version: 2", "version: 7");
    world.commit_file(".two-key/policy.yaml", &skips, "Skip versions");
    world.two_key(&["list"]).exits(0).says("policy is proposed; cannot come in force: policy-version: ");
    as_key_of(&world, "user1");
    world.two_key(&["list", "--mine"]).exits(0).says("nothing waits for your key");
    let view = world.two_key(&["show", "policy", "--format", "json"]).exits(0).json();
    assert_eq!(
        (&view["proposed"]["awaits"], view["proposed"]["reason"].as_str()),
        (&Value::Null, Some("policy-version"))
    );
}

#[test]
fn a_target_shows_what_runs_there_before_what_is_proposed() {
    let world = World::rolling();
    world.commit_file("leases/NEXT-2.yaml", &lease("NEXT-2"), "Propose another");
    let ran = world.two_key(&["show", "checkout-prod"]).exits(0).says("Also open on checkout-prod\n");
    assert!(ran.out.starts_with(&format!("{LEASE}\n")), "{}", ran.out);
    ran.says("NEXT-2  checkout-prod  proposed");
    let view = world.two_key(&["show", "checkout-prod", "--format", "json"]).exits(0).json();
    assert_eq!((view["lease"].as_str(), view["others"][0]["lease"].as_str()), (Some(LEASE), Some("NEXT-2")));
    // The proposal's own view names what runs there.
    let view = world.two_key(&["show", "NEXT-2", "--format", "json"]).exits(0).json();
    assert_eq!((view["lease"].as_str(), view["others"][0]["lease"].as_str()), (Some("NEXT-2"), Some(LEASE)));
    world.turn("user1", "cosign", "NEXT-2");
    let trail = world.two_key(&["log", "checkout-prod"]).exits(0);
    trail.says("STARTED").says("COSIGNED          NEXT-2");
    world.two_key(&["log", LEASE]).exits(0).says("STARTED").never_says("NEXT-2");
    // What was undone stays first, as its checks are what people look for.
    world.turn("user1", "rollback", LEASE);
    assert!(world.two_key(&["show", "checkout-prod"]).exits(0).out.starts_with(&format!("{LEASE}\n")));
}

#[test]
fn a_halted_lease_says_what_goes_on_and_an_expired_proposal_awaits_nobody() {
    let world = World::rolling();
    world.turn("cp18", "halt", LEASE);
    let view = world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
    assert_eq!(
        (view["awaits"]["action"].as_str(), view["awaits"]["any_one"].as_bool()),
        (Some("rollback"), Some(true))
    );
    assert_eq!(who(&view["awaits"]), ["user1", "user2", "cp14", "cp18"]);
    world.two_key(&["list"]).exits(0).says("any one key, to roll back");
    let expired = lease("NEXT-2").replace("expires: 2035", "expires: 2025");
    world.commit_file("leases/NEXT-2.yaml", &expired, "Propose too late");
    let view = world.two_key(&["show", "NEXT-2", "--format", "json"]).exits(0).json();
    assert_eq!((&view["awaits"], view["expired"].as_bool()), (&Value::Null, Some(true)));
    world.two_key(&["show", "NEXT-2"]).exits(0).says("waits for: nobody: its window has closed");
    as_key_of(&world, "user1");
    world.two_key(&["list", "--mine"]).exits(0).says(LEASE).never_says("NEXT-2");
    assert_eq!(world.two_key(&["list", "--short"]).exits(0).out, "1 halted, 1 for you\n");
    // One that runs can still be ended once its window has closed.
    let world = World::founded();
    world.commit_file("leases/LEASE-3.yaml", &expired.replace("NEXT-2", "LEASE-3"), "Propose");
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
        world.turn(name, action, "LEASE-3");
    }
    world.two_key(&["list"]).exits(0).says("nobody: its window has closed");
    for name in ["user1", "cp14"].repeat(2) {
        world.turn(name, "promote", "LEASE-3");
    }
    world.two_key(&["list"]).exits(0).says("a human or an agent, to complete");
}

/// The status of the one target that the usual policy names.
fn status(world: &World) -> Value {
    let view = world.two_key(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(view["targets"].as_array().unwrap().len(), 1);
    view["targets"][0].clone()
}

/// The page of a world.
fn page(world: &World) -> String {
    let file = world.path().join("page.html");
    world.two_key(&["report", "--output", file.to_str().unwrap()]);
    fs::read_to_string(file).unwrap()
}

/// What stands on the page between two of its headings.
fn part<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    page.split(&format!("id=\"{from}\">")).nth(1).unwrap().split(&format!("id=\"{to}\">")).next().unwrap()
}

#[test]
fn the_page_leads_with_targets_and_has_what_is_about_no_lease() {
    let world = World::rolling();
    let sign = |name: &str, args: &[&str]| {
        let message = world.two_key(&[&["statement", "--message", "--principal", name], args].concat()).exits(0).out;
        world.carry(name, &message)
    };
    sign("cp18", &["freeze"]);
    sign("user1", &["thaw"]);
    sign("cp14", &["thaw"]);
    sign("user1", &["revoke", "--key", &world.fingerprint("cp18")]);
    world.commit_file(".two-key/policy.yaml", &after(&world.policy(), &gated(&world, "0.05")), "Add a gate");
    signs_policy(&world, "user1");
    let page = page(&world);
    assert!(page.find("id=\"targets\"").unwrap() < page.find("id=\"leases\"").unwrap());
    let targets = part(&page, "targets", "leases");
    for told in ["checkout-prod", LEASE, "no record of edge1 is here", "a human and an agent, to promote to 25 %"] {
        assert!(targets.contains(told), "{told}: {targets}");
    }
    let general = part(&page, "general", "keys");
    for told in [
        "FROZEN",
        "THAWED",
        "cp14 (agent), user1 (human)",
        "KEY_REVOKED",
        "cp18 (agent)",
        "VOTED",
        "gate errors comes:",
    ] {
        assert!(general.contains(told), "{told}: {general}");
    }
    assert!(!general.contains(LEASE) && page.contains("policy 2 is proposed"));
    // Each key has the time that its signer claims, and whole ids are there for who asks.
    assert!(page.contains("<th scope=\"col\">Claimed time"));
    assert!(page.contains(&format!("title=\"{}\"", world.head())));
}

/// Takes over what appliers recorded on the server.
fn fetches_records(stage: &Stage) {
    stage.world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
}

#[test]
fn the_status_has_what_is_served_and_wanted_and_why_they_differ() {
    let stage = Stage::rolling("0s");
    let world = &stage.world;
    let before = status(world);
    assert_eq!((&before["served"], before["wanted"]["weight"].as_u64()), (&Value::Null, Some(5)));
    assert_eq!(before["why"], "no record of edge1 is here");
    stage.apply().exits(0);
    fetches_records(&stage);
    let there = status(world);
    assert_eq!((there["served"]["weight"].as_f64(), &there["why"]), (Some(5.0), &Value::Null));
    assert_eq!((there["served"]["applier"].as_str(), there["served"]["lease"].as_str()), (Some("edge1"), Some(LEASE)));
    assert!(there["served"]["seconds_ago"].as_i64().is_some());
    assert_eq!(there["since"].as_str(), there["lease"]["state"].as_str().and(there["since"].as_str()));
    world.two_key(&["status"]).exits(0).says("checkout-prod  serves 5 % (seen by edge1 ").says("rolling for ");
    // Wanted, and not carried out yet.
    stage.promote();
    let behind = status(world);
    assert_eq!((behind["served"]["weight"].as_f64(), behind["wanted"]["weight"].as_u64()), (Some(5.0), Some(25)));
    assert_eq!(behind["why"].as_str(), Some(&format!("edge1 has not recorded step 2 of {LEASE}")[..]));
    world.two_key(&["status"]).exits(0).says("serves 5 % ").says(", wants 25 %: edge1 has not recorded step 2 of ");
    // Undone, and carried out: what another lease would have is no weight of this one.
    stage.turn("cp18", "rollback");
    stage.apply().exits(0);
    fetches_records(&stage);
    let undone = status(world);
    assert_eq!((&undone["why"], undone["wanted"]["weight"].as_u64()), (&Value::Null, Some(0)));
    world.two_key(&["status"]).exits(0).says(", verified)").says("rolled-back for ").never_says("wants");
}

/// Where the first lease was completed, a second starts at the target and is rolled back, and the applier looks after each.
fn falls_back(stage: &Stage) {
    let world = &stage.world;
    world.commit_file("leases/NEXT-2.yaml", &lease("NEXT-2").replace("15m", "0s"), "Propose another");
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
        world.turn(name, action, "NEXT-2");
    }
    stage.push();
    stage.apply().exits(0);
    world.turn("user1", "rollback", "NEXT-2");
    stage.push();
    stage.apply().exits(0);
    fetches_records(stage);
}

#[test]
fn a_halt_of_what_a_target_falls_back_to_is_wanted_until_it_is_recorded() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    for _ in 0..2 {
        stage.promote();
        stage.apply().exits(0);
    }
    stage.turn("user1", "complete");
    stage.apply().exits(0);
    falls_back(&stage);
    stage.weighs(10_000);
    let back = status(&stage.world);
    assert_eq!((back["wanted"]["weight"].as_u64(), back["wanted"]["lease"].as_str()), (Some(100), Some(LEASE)));
    assert_eq!((back["served"]["weight"].as_f64(), &back["why"]), (Some(100.0), &Value::Null));
    stage.turn("user1", "halt");
    let said = stage.world.two_key(&["status"]).exits(0).says(&format!("serves 100 % of {LEASE} (seen by edge1 "));
    said.says(&format!(", wants 0 % of {LEASE}: edge1 has not recorded step 5 of {LEASE}"));
    stage.apply().exits(0);
    stage.weighs(0);
    fetches_records(&stage);
    let halted = status(&stage.world);
    assert_eq!((halted["wanted"]["weight"].as_u64(), &halted["why"]), (Some(0), &Value::Null));
    stage.world.two_key(&["status"]).exits(0).never_says("wants");
}

#[test]
fn a_rollback_to_less_than_the_ledger_wants_says_so() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    // The applier is away while the lease goes on to its end.
    stage.promote();
    stage.promote();
    stage.turn("user1", "complete");
    falls_back(&stage);
    stage.weighs(500);
    let said = stage.world.two_key(&["status"]).exits(0).says(&format!("serves 5 % of {LEASE} (seen by edge1 "));
    said.says(&format!(", wants 100 % of {LEASE}: edge1 restored what was there when NEXT-2 started"));
}

#[test]
fn what_an_applier_said_of_the_step_before_is_not_what_is_waited_for() {
    let stage = Stage::rolling("0s");
    let wait = |state: &str| {
        fetches_records(&stage);
        stage.world.two_key(&["wait", "checkout-prod", "--for", state, "--timeout", "0s"])
    };
    stage.apply().exits(0);
    wait("ready").exits(0).says("rolling (an applier says ready)");
    stage.promote();
    stage.weighs(500);
    wait("ready").exits(4).says("is still rolling (edge1 has not recorded step 2)");
    stage.apply().exits(0);
    stage.weighs(2_500);
    wait("ready").exits(0);
    // A stop is in force before there is no weight.
    stage.turn("user1", "halt");
    wait("halted").exits(0);
    wait("at-zero").exits(4).says("is still halted (edge1 has not recorded step 3)");
    stage.apply().exits(0);
    stage.weighs(0);
    wait("at-zero").exits(0).says(&format!("{LEASE}: halted"));
}

#[test]
fn whoever_waits_for_a_target_waits_for_what_runs_there_and_not_for_a_proposal() {
    let stage = Stage::rolling("0s");
    stage.apply().exits(0);
    fetches_records(&stage);
    let wait = |lease: &str| stage.world.two_key(&["wait", lease, "--for", "ready", "--timeout", "0s"]);
    let next = lease("NEXT-2").replace("issued: 2025-10-27", "issued: 2025-10-28");
    stage.world.commit_file("leases/NEXT-2.yaml", &next, "Propose another");
    stage.push();
    wait("checkout-prod").exits(0).says(&format!("{LEASE}: rolling"));
    stage.world.two_key(&["verify", "checkout-prod"]).exits(0).says(LEASE);
    wait("NEXT-2").exits(4).says("NEXT-2 is still proposed");
}

#[test]
fn nobody_waits_for_what_a_stopped_lease_cannot_come_to() {
    let world = World::rolling();
    world.two_key(&["wait", LEASE, "--for", "authorized"]).exits(0);
    world.turn("cp18", "halt", LEASE);
    world.two_key(&["wait", LEASE, "--for", "halted"]).exits(0);
    for state in ["authorized", "rolling", "ready", "completed"] {
        world.two_key(&["wait", LEASE, "--for", state, "--timeout", "1h"]).exits(1).says("wrong-state");
    }
    world.turn("cp18", "rollback", LEASE);
    world.two_key(&["wait", LEASE, "--for", "authorized", "--timeout", "1h"]).exits(1).says("wrong-state");
}

#[test]
fn the_status_says_what_is_waited_for_and_who_can_do_it() {
    let world = World::rolling();
    world.commit_file("leases/NEXT-2.yaml", &lease("NEXT-2"), "Propose another");
    world.turn("cp14", "promote", LEASE);
    let said = world.two_key(&["status"]).exits(0);
    said.says("waiting for a human, to promote to 25 % (user1, user2)")
        .says("also NEXT-2 proposed, waiting for a human and an agent, to authorize (");
    let one = status(&world);
    assert_eq!(
        (who(&one["lease"]["awaits"]), one["others"][0]["lease"].as_str()),
        (vec!["user1", "user2"], Some("NEXT-2"))
    );
    // With one target the whole picture; any handle of its leases means it.
    for handle in ["checkout-prod", LEASE, "NEXT-2"] {
        world.two_key(&["status", handle]).exits(0).says("Transitions\n").says("Also open on checkout-prod\n");
    }
    world.two_key(&["status"]).exits(0).never_says("Transitions");
    world.two_key(&["status", "nothing"]).exits(1).says("unknown-lease");
    let message = world.two_key(&["statement", "--message", "--principal", "cp14", "freeze"]).exits(0).out;
    world.carry("cp14", &message);
    assert!(world.two_key(&["status"]).exits(0).out.starts_with("frozen: nothing goes forward"));
    let empty = World::founded();
    empty.two_key(&["status"]).exits(0).says("checkout-prod  nothing has been rolled out yet");
    loosened().two_key(&["status"]).exits(0).says("policy 2 is proposed");
}

#[test]
fn what_is_signed_is_what_is_shown_of_it_ever_after() {
    let world = World::empty();
    let pay = "targets:\n  pay-prod: {driver: file, applier: edge1}\n";
    world.found(
        &world
            .policy()
            .replace("start-up-to: 10\n", "start-up-to: 10\ndelegable-up-to: 25\n")
            .replace("targets:\n", pay),
    );
    let more = "after: [{target: pay-prod, state: completed, artifacts: same}]\nexception: true\nagent-alone-up-to: 25\n\
                scope: {paths: [/srv/shop], commands: [/bin/reload], env: [ZONE]}\n\
                risk: {score: 40, model: two-key-2, factors: [no-tests]}\n";
    world.commit_file(&format!("leases/{LEASE}.yaml"), &(lease(LEASE) + more), "Propose with conditions");
    let plain = lease("PLAIN-1").replace("checkout-prod", "pay-prod");
    world.commit_file("leases/PLAIN-1.yaml", &plain, "Propose without");
    as_key_of(&world, "user1");
    let conditions = |args: &[&str]| -> Vec<String> {
        let names = ["after", "exception", "delegates", "paths", "commands", "variables", "risk"];
        let said = world.two_key(args).exits(0).out;
        let told = said.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("  ")?.split_once(' ')?;
            let name = name.trim_end_matches(':');
            names.contains(&name).then(|| format!("{name} {}", value.trim()))
        });
        told.collect()
    };
    let signed = conditions(&["sign", LEASE, "--dry-run"]);
    assert_eq!(
        signed,
        [
            "after the same artifacts have completed on pay-prod",
            "exception it is moved outside its target's windows too",
            "delegates an agent may promote alone up to 25 %",
            "paths /srv/shop",
            "commands /bin/reload",
            "variables ZONE",
            "risk 40 (declared by model two-key-2), factors: no-tests",
        ]
    );
    world.turn("user1", "cosign", LEASE);
    for args in [&["show", LEASE][..], &["status", LEASE]] {
        assert_eq!(conditions(args), signed, "{args:?}");
    }
    let page = page(&world);
    assert!(page.contains("<dt>Delegates<dd>an agent may promote alone up to 25 %"), "{page}");
    let view = world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
    fits("show", &view);
    let told = ["after", "exception", "agent_alone_up_to", "commands", "risk_factors"].map(|name| view[name].clone());
    let after = serde_json::json!([{"target": "pay-prod", "artifacts": "same"}]);
    assert_eq!(Value::from(told.to_vec()), serde_json::json!([after, true, 25, ["/bin/reload"], ["no-tests"]]));
    // One without conditions has none.
    for args in [&["sign", "PLAIN-1", "--dry-run"][..], &["show", "PLAIN-1"]] {
        assert_eq!(conditions(args), [""; 0], "{args:?}");
    }
}

#[test]
fn the_status_marks_what_is_only_here_and_stops_that_wait_anywhere() {
    let mut world = World::rolling();
    let (origin, clone) = (world.repo().to_owned(), world.path().join("clone"));
    let root = world.git(&["config", "two-key.root"]);
    world.git(&["clone", "--quiet", origin.to_str().unwrap(), clone.to_str().unwrap()]);
    // A stop beside main, as a forge without the hook has it.
    let message = world.two_key(&["statement", "--message", "--principal", "cp18", "halt", LEASE]).exits(0).out;
    let stop = world.sign_commit("cp18", "main", &message);
    world.git(&["update-ref", &format!("refs/two-key/stops/{LEASE}/{stop}"), &stop]);
    world.enter(&clone);
    world.git(&["config", "two-key.root", &root]);
    world.git(&["config", "two-key.fetch", "false"]);
    let before = status(&world);
    assert_eq!((&before["stops"], &before["unpushed"]), (&serde_json::json!([]), &serde_json::json!([])));
    world.two_key(&["list", "--short"]).exits(0).says("1 rolling").never_says("NOT PUSHED");
    world.turn("cp14", "promote", LEASE);
    let unpushed = &status(&world)["unpushed"];
    assert_eq!(
        (unpushed[0]["event"].as_str(), &unpushed[0]["principals"]),
        (Some("VOTED"), &serde_json::json!(["cp14"]))
    );
    world.two_key(&["status"]).exits(0).says("checkout-prod  NOT PUSHED: vote to promote to 25 % (cp14)");
    world.two_key(&["list", "--short"]).exits(0).says("1 rolling, NOT PUSHED");
    world.git(&["config", "remote.origin.fetch", "+refs/two-key/*:refs/two-key-remote/origin/two-key/*"]);
    world.git(&["fetch", "--quiet", "origin"]);
    let stops = &status(&world)["stops"];
    assert_eq!((stops[0]["action"].as_str(), stops[0]["principal"].as_str()), (Some("halt"), Some("cp18")));
    assert_eq!((stops[0]["commit"].as_str(), &stops[0]["places"]), (Some(&stop[..]), &serde_json::json!(["origin"])));
    world.two_key(&["status"]).exits(0).says(&format!("STOP WAITS: halt of {LEASE} by cp18, on origin"));
    // Folded, it waits no longer; pushed, nothing is only here.
    world.git(&["merge", "--quiet", "--no-ff", "-s", "ours", "-m", "Carry over a stop", &stop]);
    assert_eq!(status(&world)["stops"], serde_json::json!([]));
    world.git(&["push", "--quiet", "origin", "HEAD:refs/heads/elsewhere"]);
    world.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    assert_eq!(status(&world)["unpushed"], serde_json::json!([]));
    world.two_key(&["status"]).exits(0).never_says("NOT PUSHED");
}

/// The leases that a list has, and how many it leaves out.
fn listed(world: &World, args: &[&str]) -> (Vec<String>, u64) {
    let view = world.two_key(&[&["list", "--format", "json"], args].concat()).exits(0).json();
    let leases = view["leases"].as_array().unwrap().iter().map(|lease| lease["lease"].as_str().unwrap().to_owned());
    (leases.collect(), view["left_out"].as_u64().unwrap())
}

#[test]
fn a_list_has_what_is_open_and_what_ended_last_and_the_rest_on_demand() {
    let world = World::founded();
    for (at, id) in ["ONE-1", "TWO-2", "THREE-3"].into_iter().enumerate() {
        let issued = format!("issued: 2025-10-27T02:19:1{at}Z");
        let text = lease(id).replace("issued: 2025-10-27T02:19:13Z", &issued);
        world.commit_file(&format!("leases/{id}.yaml"), &text, "Propose a lease");
    }
    for (id, end) in [("ONE-1", "rollback"), ("TWO-2", "rollback")] {
        for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start"), ("user1", end)] {
            world.turn(name, action, id);
        }
    }
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(listed(&world, &[]), (names(&["TWO-2", "THREE-3"]), 1));
    assert_eq!(listed(&world, &["--all"]), (names(&["ONE-1", "TWO-2", "THREE-3"]), 0));
    assert_eq!(listed(&world, &["--state", "rolled-back"]), (names(&["ONE-1", "TWO-2"]), 1));
    assert_eq!(listed(&world, &["--state", "rolled-back", "--limit", "1"]), (names(&["TWO-2"]), 2));
    assert_eq!(listed(&world, &["--target", "checkout-prod"]).0.len(), 3);
    assert_eq!(listed(&world, &["--target", "elsewhere"]), (names(&[]), 3));
    world.two_key(&["list", "--state", "nothing"]).exits(2);
    let said = world.two_key(&["list"]).exits(0).says("1 lease left out; see all with: git two-key list --all");
    said.says("Roll out checkout 1.9.0").says("INT-2025-0042").never_says("ONE-1");
    world.two_key(&["list", "--target", "elsewhere"]).exits(0).says("3 leases left out").never_says("no leases yet");
}

#[test]
fn an_id_may_be_short_and_a_name_that_is_not_there_is_like_one_that_is() {
    let world = World::rolling();
    world.two_key(&["show", &LEASE[..10]]).exits(0).says(LEASE);
    world.commit_file("leases/LEASE-2025-2.yaml", &lease("LEASE-2025-2"), "Propose another");
    world.two_key(&["show", "LEASE-2025"]).exits(1).says(": ambiguous: ").says(LEASE).says("LEASE-2025-2");
    // A proposal, which needs no key, turns no stop away from what keys were turned for.
    let halt = world.two_key(&["statement", "halt", "LEASE-2025"]).exits(0);
    halt.says(&format!("Two-Key-Lease: {LEASE}\n"));
    world.two_key(&["statement", "cosign", "LEASE-2025"]).exits(1).says(": ambiguous: ");
    world.two_key(&["show", "chekout-prod"]).exits(1).says(": unknown-lease: ").says("did you mean checkout-prod?");
    world.two_key(&["show", "something"]).exits(1).says(": unknown-lease: ").never_says("did you mean");
}
