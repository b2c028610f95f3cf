//! Bad commits pushed to a scratch branch first
//!
//! All commits between main's old and new tip are judged, wherever they came from.

use crate::dsl::*;

/// A stranger's vote.
#[test]
fn a_bad_vote() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.promote("stranger");
    scene.admits(&["main:refs/heads/scratch"]);
    scene.refuses_main("unknown-key");
    scene.refuses(&["main", ":refs/heads/scratch"], MAIN, "unknown-key");
    scene.back_to(&tip);
    scene.promote("user1");
    scene.admits(&["main:refs/heads/honest"]);
    scene.admits(&["main"]);
}

/// A bad commit below a good one.
#[test]
fn a_bad_commit_below_a_good_one() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.turn("cp14", &about(LEASE, "promote", 3, 100));
    scene.promote("user1");
    scene.admits(&["main~1:refs/heads/one", "main:refs/heads/two"]);
    scene.refuses_main("stale-step");
    scene.back_to(&tip);
    scene.promote("user1");
    scene.promote("cp14");
    scene.admits(&["main~1:refs/heads/three", "main:refs/heads/four"]);
    scene.admits(&["main"]);
}
