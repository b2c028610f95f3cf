//! The past stays as it was, and the trail names every key, through the binary.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::kit::{LEASE, World, lease, scene::digest_of, stage::Stage};

/// The trail, an entry a value.
fn trail(world: &World, args: &[&str]) -> Vec<Value> {
    let out = world.two_key(&[&["log", "--format", "json"], args].concat()).exits(0).out;
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whose votes an entry has.
fn voters(entry: &Value) -> Vec<&str> {
    entry["votes"].as_array().unwrap().iter().map(|vote| vote["principal"].as_str().unwrap()).collect()
}

/// The events of a trail by name.
fn names(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["event"].as_str().unwrap()).collect()
}

/// Turns a key for something that is about no lease.
fn turn_for(world: &World, name: &str, args: &[&str]) -> String {
    let message = world.two_key(&[&["statement", "--message", "--principal", name], args].concat()).exits(0).out;
    world.carry(name, &message)
}

/// Commits a policy that follows another, in other words.
fn propose_policy(world: &World, before: &str, version: u32, change: impl Fn(&str) -> String) -> String {
    let head = format!("version: {}\nprevious: ", version - 1);
    let (start, rest) = before.split_once(&head).unwrap();
    let rest = rest.split_once('\n').unwrap().1;
    let next = change(&format!("{start}version: {version}\nprevious: {}\n{rest}", digest_of(before)));
    world.commit_file(".two-key/policy.yaml", &next, "Propose a policy");
    next
}

#[test]
fn a_transition_names_each_of_its_keys_in_every_form_and_is_found_by_each() {
    let world = World::rolling();
    let first = world.turn("cp14", "promote", LEASE);
    // One vote of two is told when it is made, and puts nothing in force.
    let pending = trail(&world, &["--principal", "cp14"]);
    assert_eq!(names(&pending), ["COSIGNED", "VERIFIED_2KEY", "VOTED"]);
    let voted = pending.last().unwrap();
    assert_eq!(
        (voted["action"].as_str(), voted["step"].as_u64(), voted["tier"].as_u64()),
        (Some("promote"), Some(2), Some(25))
    );
    assert_eq!((voters(voted), voted["tag"].as_str()), (vec!["cp14"], None));
    world
        .two_key(&["log"])
        .exits(0)
        .says(&format!("VOTED             promote {LEASE} step 2 25 % by cp14 (agent) SHA256:"));
    let second = world.turn("user1", "promote", LEASE);
    for name in ["cp14", "user1"] {
        let found = trail(&world, &["--principal", name, "--event", "CANARY_PROMOTED"]);
        let [promoted] = &found[..] else { panic!("{name}: {found:?}") };
        assert_eq!(voters(promoted), ["cp14", "user1"]);
        let votes = promoted["votes"].as_array().unwrap();
        for (vote, (role, name, commit)) in votes.iter().zip([("agent", "cp14", &first), ("human", "user1", &second)]) {
            assert_eq!((vote["role"].as_str(), vote["carrier"].as_str()), (Some(role), Some("commit")));
            assert_eq!(
                (vote["commit"].as_str(), vote["key"].as_str()),
                (Some(&commit[..]), Some(&world.fingerprint(name)[..]))
            );
            assert!(vote["claimed"].as_str().unwrap().starts_with("2025-10-27T"));
        }
        // What put it in force is the second.
        assert_eq!((promoted["principal"].as_str(), promoted["carrier"].as_str()), (Some("user1"), Some(&second[..])));
    }
    assert_eq!(names(&trail(&world, &["--principal", "cp18"])), [""; 0]);
    let text = world.two_key(&["log", "--event", "CANARY_PROMOTED"]).exits(0).out;
    let line = text.lines().find(|line| line.contains("CANARY_PROMOTED")).unwrap();
    let agent = format!("cp14 (agent) {} in {} at 2025-", world.fingerprint("cp14"), &first[..12]);
    assert!(line.contains(&agent) && line.contains(&format!("user1 (human) {}", world.fingerprint("user1"))), "{line}");
    let envelope = world.two_key(&["log", "--event", "CANARY_PROMOTED", "--format", "in-toto"]).exits(0).json();
    let statement: Value =
        serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(voters(&statement["predicate"]["entry"]), ["cp14", "user1"]);
}

#[test]
fn a_new_policy_is_told_with_its_digest_and_what_it_changes_and_each_vote_for_it() {
    let world = World::founded();
    let next = propose_policy(&world, &world.policy(), 2, |text| text.replace("start-up-to: 10", "start-up-to: 50"));
    turn_for(&world, "user1", &["policy"]);
    turn_for(&world, "cp14", &["policy"]);
    let entries = trail(&world, &[]);
    assert_eq!(names(&entries), ["VOTED", "POLICY_CHANGED"]);
    for entry in &entries {
        let policy = &entry["policy"];
        assert_eq!((policy["version"].as_u64(), policy["digest"].as_str()), (Some(2), Some(&digest_of(&next)[..])));
        assert_eq!(
            policy["difference"],
            serde_json::json!(["loosens start-up-to: 10 % → 50 %", "start-up-to: 10 % → 50 %"])
        );
    }
    assert_eq!((voters(&entries[0]), voters(&entries[1])), (vec!["user1"], vec!["cp14", "user1"]));
    world.two_key(&["log"]).exits(0).says("start-up-to: 10 % → 50 %").says(&digest_of(&next));
}

#[test]
fn a_thaw_and_a_revocation_name_whom_they_are_about() {
    let world = World::founded();
    turn_for(&world, "cp18", &["freeze"]);
    turn_for(&world, "user1", &["thaw"]);
    turn_for(&world, "cp14", &["thaw"]);
    turn_for(&world, "user1", &["revoke", "--key", &world.fingerprint("cp18")]);
    let entries = trail(&world, &[]);
    assert_eq!(names(&entries), ["FROZEN", "VOTED", "THAWED", "KEY_REVOKED"]);
    assert_eq!((voters(&entries[2]), voters(&entries[3])), (vec!["cp14", "user1"], vec!["user1"]));
    assert_eq!(entries[1]["action"], "thaw");
    let revoked = &entries[3]["revoked"];
    assert_eq!((revoked["principal"].as_str(), revoked["role"].as_str()), (Some("cp18"), Some("agent")));
    assert_eq!(revoked["key"].as_str(), Some(&world.fingerprint("cp18")[..]));
    // Found by who did it and by whose key it was.
    for name in ["user1", "cp18"] {
        assert!(names(&trail(&world, &["--principal", name])).contains(&"KEY_REVOKED"), "{name}");
    }
    assert!(!names(&trail(&world, &["--principal", "cp14"])).contains(&"KEY_REVOKED"));
}

/// How the keys of a lease are counted: the figures, and how each stands.
fn counted(world: &World) -> (String, Vec<(String, bool, String)>) {
    let view = world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let cosigners = view["cosigners"].as_array().unwrap().iter();
    let cosigners = cosigners.map(|one| (text(&one["id"]), one["counts"].as_bool().unwrap(), text(&one["key_is"])));
    (format!("{}/{}", view["cosigners_have"], view["cosigners_needed"]), cosigners.collect())
}

#[test]
fn what_counted_when_a_lease_started_is_told_so_whatever_becomes_of_keys_and_rules() {
    let world = World::rolling();
    let expected = |standing: &str| {
        let cosigners =
            vec![("user1".to_owned(), true, "in-force".to_owned()), ("cp14".to_owned(), true, standing.to_owned())];
        ("2/2".to_owned(), cosigners)
    };
    assert_eq!(counted(&world), expected("in-force"));
    // A stricter rule alters nothing that has happened.
    let stricter =
        propose_policy(&world, &world.policy(), 2, |text| text.replace("cosign: {human: 1", "cosign: {human: 2"));
    turn_for(&world, "user1", &["policy"]);
    turn_for(&world, "cp18", &["policy"]);
    assert_eq!(counted(&world), expected("in-force"));
    // Nor does a policy that no longer lists the key.
    let line = stricter.lines().find(|line| line.contains("cp14: {")).unwrap().to_owned() + "\n";
    propose_policy(&world, &stricter, 3, |text| text.replace(&line, "").replace("[cp14, cp18]", "[cp18]"));
    turn_for(&world, "user1", &["policy"]);
    turn_for(&world, "cp18", &["policy"]);
    assert_eq!(counted(&world), expected("not-listed"));
    world.two_key(&["show", LEASE]).exits(0).says("counted then; key no longer listed");
    world.two_key(&["verify", LEASE]).exits(0).says("cosigners 2/2");
    world.two_key(&["list"]).exits(0).says("2/2");
}

#[test]
fn a_revocation_takes_votes_away_before_the_start_and_none_after_it() {
    let (open, begun, withdrawn) = (World::authorized(), World::rolling(), World::authorized());
    withdrawn.turn("user2", "withdraw", LEASE);
    for world in [&open, &begun, &withdrawn] {
        assert_eq!(counted(world).0, "2/2");
        turn_for(world, "user1", &["revoke", "--key", &world.fingerprint("cp14")]);
    }
    assert_eq!(counted(&open).0, "1/2");
    for world in [&begun, &withdrawn] {
        let (figures, cosigners) = counted(world);
        assert_eq!((figures.as_str(), &cosigners[1]), ("2/2", &("cp14".to_owned(), true, "revoked".to_owned())));
        world.two_key(&["show", LEASE]).exits(0).says("counted then; key revoked since");
    }
}

#[test]
fn an_ended_lease_keeps_what_was_seen_of_it_and_its_rollback_checks() {
    let stage = Stage::rolling("0s");
    let world = &stage.world;
    stage.apply().exits(0);
    stage.turn("user1", "rollback");
    stage.apply().exits(0);
    let fetch = || world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
    let observed = |lease: &str| {
        fetch();
        world.two_key(&["show", lease, "--format", "json"]).exits(0).json()["observed"].clone()
    };
    let before = observed(LEASE);
    assert_eq!((before["doing"].as_str(), before["checks"].as_array().unwrap().len()), (Some("verified"), 5));
    world.commit_file("leases/LEASE-2.yaml", &lease("LEASE-2").replace("15m", "0s"), "Propose another");
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
        world.turn(name, action, "LEASE-2");
    }
    stage.push();
    stage.apply().exits(0);
    assert_eq!(observed("LEASE-2")["weight"], 5.0);
    assert_eq!(observed(LEASE), before);
    world.two_key(&["list", "--format", "json"]).exits(0).says("\"verified\"");
    // A lease that never was recorded has nothing, also where records go back before it.
    world.turn("user1", "rollback", "LEASE-2");
    world.commit_file("leases/LEASE-3.yaml", &lease("LEASE-3"), "Propose a third");
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
        world.turn(name, action, "LEASE-3");
    }
    assert_eq!(observed("LEASE-3"), Value::Null);
}

#[test]
fn git_agrees_about_commits_whose_keys_came_later_and_were_rotated_away_since() {
    let world = World::founded();
    let allowed = world.path().join("allowed");
    let agrees = |commit: &str| {
        fs::write(&allowed, world.two_key(&["key", "allowed-signers"]).exits(0).out).unwrap();
        let setting = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
        world.run(world.repo(), "git", &["-c", &setting, "verify-commit", commit], b"").code == 0
    };
    let by_old = turn_for(&world, "user2", &["freeze"]);
    let early = world.sign_commit("user2b", "main", "Say something\n");
    let (old, new) = (world.public_key("user2"), world.public_key("user2b"));
    let added = propose_policy(&world, &world.policy(), 2, |text| {
        text.replace(&format!("\"{old}\""), &format!("\"{old}\", \"{new}\""))
    });
    turn_for(&world, "user1", &["policy"]);
    turn_for(&world, "cp14", &["policy"]);
    let message = world.two_key(&["statement", "--message", "--principal", "user2", "thaw"]).exits(0).out;
    let by_new = world.carry("user2b", &message);
    propose_policy(&world, &added, 3, |text| text.replace(&format!("\"{old}\", "), ""));
    turn_for(&world, "user1", &["policy"]);
    turn_for(&world, "cp14", &["policy"]);
    let late = world.sign_commit("user2", "main", "Say something\n");
    world.two_key(&["verify", "--all"]).exits(0);
    assert!(agrees(&by_old) && agrees(&by_new));
    assert!(!agrees(&late), "its key had been rotated away");
    assert!(!agrees(&early), "its key had not come yet");
    assert!(!agrees(&world.sign_commit("mallory", "main", "Say something\n")), "it never was in force");
    // A revoked key is no longer valid from then on.
    let by_agent = turn_for(&world, "cp18", &["revoke", "--key", &world.fingerprint("cp18")]);
    let thief = world.sign_commit("cp18", "main", "Say something\n");
    assert!(agrees(&by_agent) && !agrees(&thief));
}

#[test]
fn what_an_applier_recorded_by_a_key_that_was_rotated_away_is_told_as_it_counted_then() {
    let stage = Stage::rolling("0s");
    let world = &stage.world;
    stage.apply().exits(0);
    stage.turn("user1", "rollback");
    stage.apply().exits(0);
    world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
    let observed = || world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["observed"].clone();
    let seen = || {
        let entries = trail(world, &[]);
        let seen = entries.into_iter().filter(|entry| entry["time_is"] == "seen");
        seen.map(|entry| (entry["event"].clone(), entry["key_standing"].clone())).collect::<Vec<_>>()
    };
    let (before, told) = (observed(), seen());
    assert!(told.len() > 2 && told.iter().all(|(_, standing)| standing.is_null()), "{told:?}");
    let (old, new) = (world.public_key("edge1"), world.public_key("edge1b"));
    propose_policy(world, &world.policy(), 2, |text| text.replace(&old, &new));
    turn_for(world, "user1", &["policy"]);
    turn_for(world, "cp14", &["policy"]);
    let (after, still) = (observed(), seen());
    assert_eq!(after["key_standing"], "not-listed");
    for field in ["weight", "doing", "checks", "applier"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(still.len(), told.len());
    assert!(still.iter().all(|(_, standing)| standing == "not-listed"), "{still:?}");
    world.two_key(&["log"]).exits(0).says("(counted then; key taken off the list since)");
    world.two_key(&["show", LEASE]).exits(0).says("; counted then; key taken off the list since)");
    // By that key nothing is attested that went by a later ledger.
    let reference = "refs/two-key/appliers/edge1";
    let tip = world.git(&["rev-parse", reference]);
    let record = world.git(&["cat-file", "blob", &format!("{tip}:record.json")]);
    let mut record: Value = serde_json::from_str(&record).unwrap();
    assert!(!record["events"].as_array().unwrap().is_empty());
    record["ledger"] = Value::String(world.head());
    let file = world.path().join("record.json");
    fs::write(&file, record.to_string()).unwrap();
    let blob = world.git(&["hash-object", "-w", file.to_str().unwrap()]);
    let entry = format!("100644 blob {blob}\trecord.json\n");
    let tree = world.run(world.repo(), "git", &["mktree"], entry.as_bytes()).exits(0).out.trim_end().to_owned();
    let key = format!("user.signingkey={}", world.key_file("edge1").display());
    let commit = ["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-p", &tip, "-m", "Record", &tree];
    let forged = world.git(&commit);
    world.git(&["update-ref", reference, &forged]);
    assert_eq!(seen(), still);
    // The same by the key of today counts.
    let key = format!("user.signingkey={}", world.key_file("edge1b").display());
    let commit = ["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-p", &tip, "-m", "Record", &tree];
    world.git(&["update-ref", reference, &world.git(&commit)]);
    assert!(seen().len() > still.len());
}
