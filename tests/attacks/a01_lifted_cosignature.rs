//! A vote for one lease lifted onto another
//!
//! A signature is checked against its own statement, which binds repository, lease, bytes and step.

use crate::dsl::*;

/// A's sealed signature in a commit about B.
#[test]
fn sealed_in_a_commit_about_another_lease() {
    let scene = two_leases();
    let lifted = scene.sealed("user1", "cosign", &about(LEASE, "cosign", 0, 0));
    let own = scene.sealed("user1", "cosign", &about(OTHER, "cosign", 0, 0));
    let seal = |line: String| move |scene: &Scene| drop(scene.unsigned(&about(OTHER, "cosign", 0, 0), &line));
    scene.never_counts("bad-signature", seal(lifted), seal(own));
}

/// Its signature header on a commit about B.
#[test]
fn a_signature_header_moved_to_another_commit() {
    let scene = two_leases();
    let attack = |scene: &Scene| {
        let signed = scene.raw(&scene.aside("user1", "main", &about(LEASE, "cosign", 0, 0)));
        let own = scene.raw(&scene.aside("user1", "main", &about(OTHER, "cosign", 0, 0)));
        let forged = own.replace(&signature_of(&own), &signature_of(&signed));
        scene.forge_commit(forged.as_bytes());
    };
    scene.never_counts("bad-signature", attack, |scene| drop(scene.turn("user1", &about(OTHER, "cosign", 0, 0))));
}

/// A signed commit, cherry-picked.
#[test]
fn cherry_picked() {
    let scene = Scene::new();
    let vote = scene.aside("user1", "main", &about(LEASE, "cosign", 0, 0));
    scene.world.commit_file("README", "Read me\n", "Write");
    let attack = |scene: &Scene| drop(scene.world.git(&["cherry-pick", "--allow-empty", &vote]));
    scene.never_counts("malformed", attack, |scene| drop(scene.merge(&vote)));
}

/// Signed commits, rebased.
#[test]
fn rebased() {
    let scene = Scene::new();
    let vote = scene.aside("user1", "main", &about(LEASE, "cosign", 0, 0));
    scene.world.commit_file("README", "Read me\n", "Write");
    let attack = |scene: &Scene| {
        scene.world.git(&["branch", "--force", "side", &vote]);
        scene.world.git(&["rebase", "--quiet", "main", "side"]);
        scene.world.git(&["checkout", "--quiet", "-B", "main", "side"]);
    };
    scene.never_counts("malformed", attack, |scene| drop(scene.merge(&vote)));
}

/// B named with A's bytes.
#[test]
fn another_leases_digest() {
    let scene = two_leases();
    let fields = about(LEASE, "cosign", 0, 0).replacen(LEASE, OTHER, 1);
    let attack = |scene: &Scene| drop(scene.turn("cp14", &fields));
    scene.never_counts("digest-mismatch", attack, |scene| drop(scene.turn("cp14", &about(OTHER, "cosign", 0, 0))));
}

/// A vote kept back until its step was taken.
#[test]
fn a_vote_kept_back_until_its_step_was_taken() {
    let scene = Scene::rolling();
    let kept = scene.aside("user1", "main", &about(LEASE, "promote", 2, 25));
    scene.promote("user2");
    scene.promote("cp14");
    let honest = |scene: &Scene| drop(scene.turn("user1", &about(LEASE, "promote", 3, 100)));
    scene.never_counts("stale-step", |scene| drop(scene.merge(&kept)), honest);
}

/// A note with another lease's signature.
#[test]
fn a_signature_under_another_statement_in_a_note() {
    let scene = two_leases();
    let blob = scene.world.git(&["rev-parse", &format!("main:leases/{OTHER}.yaml")]);
    let signature = scene.world.detached("user1", &statement(&about(LEASE, "cosign", 0, 0)));
    let lifted = format!("{}{signature}", statement(&about(OTHER, "cosign", 0, 0)));
    let notes = scene.note("user1", &blob, &lifted);
    scene.refuses(&[&notes], &notes, "bad-signature");
    scene.world.git(&["update-ref", "-d", &notes]);
    scene.note("user1", &blob, &scene.entry("user1", &about(OTHER, "cosign", 0, 0)));
    scene.admits(&[&notes]);
}

/// A note copied to another lease's file.
#[test]
fn a_note_copied_to_another_lease() {
    let scene = two_leases();
    let blob = |id: &str| scene.world.git(&["rev-parse", &format!("main:leases/{id}.yaml")]);
    scene.note("user1", &blob(OTHER), &scene.entry("user1", &about(LEASE, "cosign", 0, 0)));
    scene.world.two_key(&["verify", OTHER]).exits(1).says("not-authorized").never_says("by note");
    assert_eq!(scene.shown(OTHER)["awaits"]["by_note"], serde_json::json!([]));
    scene.note("user1", &blob(LEASE), &scene.entry("user1", &about(LEASE, "cosign", 0, 0)));
    scene.world.two_key(&["verify", LEASE]).exits(1).says("by note: user1");
}

/// A's minisign file in a commit about B.
#[test]
fn a_minisign_file_for_another_lease() {
    let scene = Scene::under(crate::minisign::policy);
    scene.propose(&lease(OTHER), OTHER);
    let lifted = crate::minisign::sealed(&scene, "cosign", &about(LEASE, "cosign", 0, 0));
    let own = crate::minisign::sealed(&scene, "cosign", &about(OTHER, "cosign", 0, 0));
    let seal = |line: String| move |scene: &Scene| drop(scene.unsigned(&about(OTHER, "cosign", 0, 0), &line));
    scene.never_counts("bad-signature", seal(lifted), seal(own));
}
