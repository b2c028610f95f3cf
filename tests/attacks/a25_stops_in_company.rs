//! A stop pushed together with what would be refused
//!
//! Only the fold's findings are waived beside a stop, as they have no effect; the stop can go in alone.

use crate::dsl::*;

/// With a stale vote.
#[test]
fn with_a_stale_vote() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let stale = |scene: &Scene| drop(scene.turn("cp14", &about(LEASE, "promote", 7, 25)));
    stale(&scene);
    scene.refuses(&["main"], MAIN, "stale-step");
    scene.back_to(&tip);
    stale(&scene);
    scene.turn("cp18", &stop("halt", 1));
    scene.admits(&["main"]);
    assert_eq!(scene.shown(LEASE)["state"], "halted");
}

/// With a false tag.
#[test]
fn with_a_tag_that_lies() {
    let scene = Scene::rolling();
    let halt = scene.turn("cp18", &stop("halt", 1));
    let lie = scene.tag("2-promote-25", "main");
    let alone = format!("{halt}:refs/two-key/stops/{LEASE}/{halt}");
    scene.refuses(&["main", &lie], &format!("refs/tags/{lie}"), "tag-mismatch").says(&format!("git push … {alone}"));
    scene.admits(&[&alone]);
    scene.admits(&["main"]);
    assert_eq!(scene.shown(LEASE)["state"], "halted");
}

/// With too many names below `leases/`.
#[test]
fn with_too_many_names() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.turn("cp18", &stop("halt", 1));
    let halted = scene.world.head();
    let make = |lines: String| {
        scene.world.run(scene.world.repo(), "git", &["mktree"], lines.as_bytes()).exits(0).out.trim().to_owned()
    };
    let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let policy = scene.world.git(&["rev-parse", "main:.two-key"]);
    let merge = |names: usize| {
        let junk =
            make((0..names).fold(String::new(), |lines, at| lines + &format!("100644 blob {blob}\t{at:03}.txt\n")));
        let leases = make(format!("100644 blob {blob}\t{LEASE}.yaml\n040000 tree {junk}\tjunk\n"));
        let tree = make(format!("040000 tree {policy}\t.two-key\n040000 tree {leases}\tleases\n"));
        scene.world.git(&["commit-tree", "-p", &tip, "-p", &halted, "-m", "Merge", &tree])
    };
    scene.refuses(&[&format!("{}:main", merge(300))], MAIN, "too-large");
    scene.admits(&[&format!("{}:main", merge(200))]);
    scene.world.git(&["reset", "--quiet", "--hard", &scene.server_ref(MAIN)]);
    assert_eq!(scene.shown(LEASE)["state"], "halted");
}

/// With votes for an expired lease.
#[test]
fn with_votes_that_come_too_late() {
    let scene = Scene::rolling();
    let late = lease(OTHER)
        .replace("expires: 2035-10-28", "expires: 2025-10-27")
        .replace("02:19:13Z\ntiers", "03:19:13Z\ntiers");
    scene.propose(&late, OTHER);
    scene.admits(&["main"]);
    let vote = || {
        let fields = format!("Two-Key-Action: cosign\nTwo-Key-Lease: {OTHER}\nTwo-Key-Digest: {}\n", digest_of(&late));
        scene.turn("user1", &fields);
    };
    let tip = scene.world.head();
    vote();
    scene.refuses(&["main"], MAIN, "expired");
    scene.turn("cp18", &stop("halt", 1));
    scene.refuses(&["main"], MAIN, "expired");
    scene.back_to(&tip);
    scene.turn("cp18", &stop("halt", 1));
    scene.admits(&["main"]);
}

/// With a blob as somebody's notes.
#[test]
fn with_a_blob_as_notes() {
    let scene = Scene::rolling();
    let name = "refs/notes/two-key/user1";
    let blob = scene.world.git(&["rev-parse", "main:.two-key/policy.yaml"]);
    let halt = scene.halt("cp18", "main", 1);
    let alone = format!("{halt}:refs/two-key/stops/{LEASE}/{halt}");
    scene.refuses(&[&format!("{blob}:{name}"), &alone], name, "malformed");
    scene.admits(&[&alone]);
    assert_eq!(scene.shown(LEASE)["state"], "rolling", "it waits under its own ref");
}

/// From a shallow clone, on a server that lets such clones cut its history off.
#[test]
fn from_a_shallow_clone() {
    let scene = Scene::rolling();
    let world = &scene.world;
    scene.on_server(&["config", "receive.shallowUpdate", "true"]).exits(0);
    let [strange, shallow] = ["strange", "shallow"].map(|name| world.path().join(name));
    let in_strange = |args: &[&str]| world.run(&strange, "git", args, b"").exits(0);
    std::fs::create_dir(&strange).unwrap();
    in_strange(&["init", "--quiet"]);
    for message in ["One", "Two"] {
        in_strange(&["commit", "--quiet", "--allow-empty", "--message", message]);
    }
    let from = format!("file://{}", strange.display());
    world.git(&["clone", "--quiet", "--depth", "1", &from, shallow.to_str().unwrap()]);
    let commit = world.run(&shallow, "git", &["rev-parse", "HEAD"], b"").exits(0).out.trim().to_owned();
    for name in [format!("refs/two-key/stops/{LEASE}/{commit}"), "refs/heads/topic".to_owned()] {
        let args = ["push", "--quiet", scene.server.to_str().unwrap(), &format!("{commit}:{name}")];
        world.run(&shallow, "git", &args, b"").exits(1).says(&format!("refused {name}: shallow: "));
    }
    assert!(!scene.server.join("shallow").exists());
    scene.promote("user1");
    scene.admits(&["main"]);
    // Where it is cut off already, stops go in all the same, and nothing else does.
    std::fs::write(scene.server.join("shallow"), format!("{}\n", scene.root)).unwrap();
    let halt = scene.halt("cp18", "main", 1);
    scene.promote("cp14");
    scene.refuses(&["main"], MAIN, "shallow");
    scene.admits(&[&format!("{halt}:refs/two-key/stops/{LEASE}/{halt}")]);
}

/// With a stop ref that is already there.
#[test]
fn with_a_stop_that_is_there_already() {
    let scene = Scene::rolling();
    let halt = scene.halt("cp18", "main", 1);
    let name = format!("refs/two-key/stops/{LEASE}/{halt}");
    scene.admits(&[&format!("{halt}:{name}")]);
    let tip = scene.world.head();
    let stale = scene.turn("cp14", &about(LEASE, "promote", 7, 25));
    let moves = [(tip.as_str(), stale.as_str(), MAIN), ("", &halt, &name)];
    let said = scene.receives(&moves);
    assert!(said.contains("stale-step: ") && said.contains(&format!("{name}: stale: ")), "{said}");
    assert_eq!(scene.server_ref(MAIN), tip);
}

/// With the halt's tag squatted: only the true tag replaces it.
#[test]
fn its_own_tag_is_squatted() {
    let scene = Scene::rolling();
    let name = format!("refs/tags/rollout/{LEASE}/2-halt");
    let tip = scene.world.head();
    scene.on_server(&["update-ref", &name, &tip]).exits(0);
    let tag = scene.tag("2-halt", "main");
    scene.refuses(&[&format!("+{tag}:{name}")], &name, "tag-moved");
    scene.turn("cp18", &stop("halt", 1));
    scene.tag("2-halt", "main");
    scene.admits(&["main", &format!("+{tag}:{name}")]);
    assert_eq!(scene.server_ref(&format!("{name}^{{commit}}")), scene.world.head());
    scene.tag("2-halt", "main");
    scene.world.git(&["tag", "--force", "--annotate", "--message", "Another", &tag, "main"]);
    scene.refuses(&[&format!("+{tag}:{name}")], &name, "tag-moved");
}

/// With a deletion.
#[test]
fn with_a_deletion() {
    let scene = Scene::rolling();
    let tag = scene.tag("1-start-5", "main");
    scene.admits(&[&tag]);
    scene.turn("cp18", &stop("halt", 1));
    let name = format!("refs/tags/{tag}");
    scene.refuses(&["main", &format!(":{name}")], &name, "ref-deleted");
    scene.admits(&["main"]);
}

/// As a stop ref without effect, on a refused step.
#[test]
fn without_effect_on_top_of_a_refused_step() {
    let scene = Scene::applied();
    scene.turn("cp14", &stop("pause", 1));
    scene.admits(&["main"]);
    scene.apply().exits(0);
    let tip = scene.server_ref(MAIN);
    scene.turn("cp18", &crate::applier::quickly("start", 1, 5));
    scene.refuses(&["main"], MAIN, "stale-step");
    let pause = scene.turn("cp18", &stop("pause", 2));
    scene.admits(&[&format!("{pause}:refs/two-key/stops/{LEASE}/{pause}")]);
    scene.apply().exits(0);
    assert_eq!(scene.server_ref(MAIN), tip);
    scene.back_to(&tip);
    let clean = scene.turn("cp18", &stop("pause", 3));
    scene.admits(&[&format!("{clean}:refs/two-key/stops/{LEASE}/{clean}")]);
    scene.apply().exits(0);
    assert_ne!(scene.server_ref(MAIN), tip);
}
