//! Clock games
//!
//! The fold reads no clock; at admission the server's clock judges forward votes.

use crate::dsl::*;

/// The usual lease with another window.
fn window(id: &str, issued: &str, expires: &str) -> String {
    lease(id).replace("2025-10-27T02:19:13Z", issued).replace("2035-10-28T02:19:13Z", expires)
}

fn cosign(text: &str, id: &str) -> String {
    format!("Two-Key-Action: cosign\nTwo-Key-Lease: {id}\nTwo-Key-Digest: {}\n", digest_of(text))
}

/// A signed commit on main that says it was made at some time.
fn dated(scene: &Scene, when: &str, fields: &str) {
    let world = &scene.world;
    let key = format!("user.signingKey={}", world.key_file("user1").display());
    let args = ["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-p", "main", "-F", "-", "main^{tree}"];
    let dates = [("GIT_AUTHOR_DATE", when), ("GIT_COMMITTER_DATE", when)];
    let ran = world.run_with(world.repo(), "git", &args, message("user1", fields).as_bytes(), &dates).exits(0);
    world.git(&["update-ref", MAIN, ran.out.trim()]);
}

/// A commit back-dated into an expired lease's window.
#[test]
fn back_dated_into_an_expired_window() {
    let scene = Scene::new();
    let text = window(OTHER, "2025-10-27T02:19:13Z", "2025-10-28T02:19:13Z");
    scene.propose(&text, OTHER);
    let halt = stop("halt", 1).replace(LEASE, OTHER);
    scene.refuses_but_takes(
        "expired",
        |scene| dated(scene, "@1761531600 +0000", &cosign(&text, OTHER)),
        |scene| drop(scene.turn("user1", &halt)),
    );
}

/// A deliberate signature, which has no date, for an expired lease.
#[test]
fn sealed_for_an_expired_lease() {
    let scene = Scene::new();
    let text = window(OTHER, "2025-10-27T02:19:13Z", "2025-10-28T02:19:13Z");
    scene.propose(&text, OTHER);
    let seal = |text: &str, id: &str| {
        let fields = cosign(text, id);
        let line = scene.sealed("user1", "cosign", &fields);
        move |scene: &Scene| drop(scene.unsigned(&fields, &line))
    };
    scene.refuses_but_takes("expired", seal(&text, OTHER), seal(&lease(LEASE), LEASE));
}

/// A vote dated decades ahead.
#[test]
fn dated_ahead() {
    let scene = Scene::new();
    let vote = |when: &'static str| move |scene: &Scene| dated(scene, when, &about(LEASE, "cosign", 0, 0));
    scene.refuses_but_takes("future-dated", vote("@4000000000 +0000"), vote("@1761531600 +0000"));
}

/// An ordinary commit dated centuries ahead, which breaks Git's commit-graph and with it other people's pulls, on main or merged.
#[test]
fn an_ordinary_commit_dated_ahead() {
    let scene = Scene::rolling();
    let mut tip = scene.world.head();
    let ordinary = |when: u64| {
        let dated = format!("@{when} +0000");
        let dates = [("GIT_AUTHOR_DATE", &*dated), ("GIT_COMMITTER_DATE", &*dated)];
        let args = ["commit-tree", "-p", "main", "-m", "Notes", "main^{tree}"];
        scene.world.run_with(scene.world.repo(), "git", &args, b"", &dates).exits(0).out.trim().to_owned()
    };
    for merged in [false, true] {
        scene.back_to(&tip);
        let [odd, plain] = [4_294_967_296, 1_764_000_000].map(&ordinary);
        let taken = |commit: &str| {
            scene.back_to(&tip);
            if merged {
                scene.merge(commit);
            } else {
                scene.world.git(&["update-ref", MAIN, commit]);
            }
        };
        taken(&odd);
        scene.refuses_main("future-dated");
        taken(&plain);
        scene.admits_main();
        tip = scene.world.head();
    }
    scene.admits(&[&format!("{}:refs/heads/topic", ordinary(4_294_967_296))]);
}

/// The same in a zone whose local time is earlier.
#[test]
fn dated_ahead_in_another_zone() {
    let scene = Scene::new();
    let vote = |when: &'static str| move |scene: &Scene| dated(scene, when, &about(LEASE, "cosign", 0, 0));
    scene.refuses_but_takes("future-dated", vote("@4000000000 -1200"), vote("@1761531600 +1400"));
}

/// A lease whose window has not begun.
#[test]
fn before_the_window() {
    let scene = Scene::new();
    let text = window(OTHER, "2090-01-01T00:00:00Z", "2090-01-02T00:00:00Z");
    scene.propose(&text, OTHER);
    let attack = |scene: &Scene| drop(scene.turn("user1", &cosign(&text, OTHER)));
    scene.refuses_but_takes("not-yet-valid", attack, |scene| drop(scene.turn("user1", &about(LEASE, "cosign", 0, 0))));
}
