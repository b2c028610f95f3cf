//! Git signs again what somebody else wrote
//!
//! A carrier's author and committer are equal, and it names the principal whose key signs.

use crate::dsl::*;

/// Cherry-picks a commit as a person whose Git signs every commit.
fn signed_again(scene: &Scene, commit: &str) {
    let key = format!("user.signingKey={}", scene.world.key_file("user1").display());
    let args =
        ["-c", "gpg.format=ssh", "-c", "commit.gpgSign=true", "-c", &key, "cherry-pick", "--allow-empty", commit];
    scene.world.git(&args);
    let raw = scene.raw("main");
    assert!(raw.contains("gpgsig "), "{raw}");
}

/// The usual lease and one more commit, so that a pick is another commit.
fn scene() -> (Scene, String) {
    let scene = Scene::rolling();
    scene.promote("cp14");
    let parent = scene.world.head();
    scene.world.commit_file("README", "Read me\n", "Write");
    (scene, parent)
}

/// An agent's statement cherry-picked and signed by a human.
#[test]
fn an_agents_statement_picked_by_a_human() {
    let (scene, parent) = scene();
    let agents = scene.aside("cp18", &parent, &about(LEASE, "promote", 2, 25));
    scene.never_counts("malformed", |scene| signed_again(scene, &agents), |scene| drop(scene.promote("user1")));
}

/// The same, where the agent had written the human's name.
#[test]
fn the_humans_name_written_by_an_agent() {
    let (scene, parent) = scene();
    let text = message("user1", &about(LEASE, "promote", 2, 25));
    let prepared = scene.world.sign_commit("cp18", &parent, &text);
    scene.never_counts("malformed", |scene| signed_again(scene, &prepared), |scene| drop(scene.promote("user1")));
}

/// The same by `git rebase`.
#[test]
fn the_humans_name_and_a_rebase() {
    let (scene, parent) = scene();
    let text = message("user1", &about(LEASE, "promote", 2, 25));
    let prepared = scene.world.sign_commit("cp18", &parent, &text);
    let attack = |scene: &Scene| {
        let key = format!("user.signingKey={}", scene.world.key_file("user1").display());
        scene.world.git(&["branch", "--force", "side", &prepared]);
        scene.world.git(&[
            "-c",
            "gpg.format=ssh",
            "-c",
            "commit.gpgSign=true",
            "-c",
            &key,
            "rebase",
            "-q",
            "main",
            "side",
        ]);
        scene.world.git(&["checkout", "--quiet", "-B", "main", "side"]);
    };
    scene.never_counts("malformed", attack, |scene| drop(scene.promote("user1")));
}

/// The agent's text as a new commit.
#[test]
fn an_agents_text_under_a_humans_key() {
    let (scene, _) = scene();
    let text = message("cp18", &about(LEASE, "promote", 2, 25));
    let attack = |scene: &Scene| drop(scene.world.carry("user1", &text));
    scene.never_counts("wrong-principal", attack, |scene| drop(scene.promote("user1")));
}

/// A commit signature where a deliberate one is asked for.
#[test]
fn a_commit_signature_where_a_deliberate_one_is_asked_for() {
    let strict = |world: &World| {
        world.policy().replace("promote: {human: 1, agent: 1}", "promote: {human: 1, agent: 1, deliberate: true}")
    };
    let scene = Scene::under(strict);
    scene.start();
    scene.promote("cp14");
    let fields = about(LEASE, "promote", 2, 25);
    let line = scene.sealed("user1", "promote", &fields);
    let sealed = |scene: &Scene| drop(scene.unsigned(&fields, &line));
    scene.never_counts("missing-role", |scene| drop(scene.promote("user1")), sealed);
}

/// A Git signature used as a sealed one, and vice versa.
#[test]
fn a_signature_made_for_another_purpose() {
    let scene = Scene::rolling();
    scene.promote("cp14");
    let fields = about(LEASE, "promote", 2, 25);
    let honest = scene.sealed("user1", "promote", &fields);
    let key = scene.world.key_file("user1");
    let args = ["-Y", "sign", "-n", "git", "-f", key.to_str().unwrap()];
    let armour = scene.world.run(scene.world.repo(), "ssh-keygen", &args, statement(&fields).as_bytes()).exits(0).out;
    let blob: String = armour.lines().filter(|line| !line.starts_with("-----")).collect();
    let (front, _) = honest.trim_end().rsplit_once(' ').unwrap();
    let line = format!("{front} {blob}\n");
    let seal = |line: String| {
        let fields = fields.clone();
        move |scene: &Scene| drop(scene.unsigned(&fields, &line))
    };
    scene.never_counts("bad-signature", seal(line), seal(honest));
}
