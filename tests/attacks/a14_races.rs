//! Two pushes that race
//!
//! Git's compare-and-swap decides who is first; the hook holds it to what was judged.

use crate::dsl::*;

/// The loser forces.
#[test]
fn the_loser_forces() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.promote("user1");
    scene.admits(&["main"]);
    let winner = scene.world.head();
    scene.back_to(&tip);
    let vote = scene.promote("cp14");
    scene.push(&["main"]).exits(1);
    scene.refuses(&["+main"], MAIN, "ref-rewound");
    scene.back_to(&winner);
    scene.merge(&vote);
    scene.admits(&["main"]);
    assert_eq!(scene.shown(LEASE)["desired"], 25);
}

/// The loser's vote and tag, after its step was taken.
#[test]
fn the_losers_vote_is_void() {
    let scene = Scene::rolling();
    let late = scene.aside("user2", "main", &about(LEASE, "promote", 2, 25));
    scene.both_promote();
    scene.admits(&["main"]);
    let tag = scene.tag("3-promote-100", "main");
    let name = format!("refs/tags/{tag}");
    let honest = |scene: &Scene| drop(scene.turn("user2", &about(LEASE, "promote", 3, 100)));
    scene.never_counts("stale-step", |scene| drop(scene.merge(&late)), honest);
    scene.refuses(&[&tag], &name, "missing-role");
    scene.turn("cp14", &about(LEASE, "promote", 3, 100));
    scene.tag("3-promote-100", "main");
    scene.admits(&["main", &tag]);
}

/// Branch and tag pushed together and outrun, with `--atomic` or without.
#[test]
fn a_tag_whose_transition_did_not_land() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.world.commit_file("README", "Read me\n", "Write");
    scene.admits(&["main"]);
    let winner = scene.world.head();
    scene.back_to(&tip);
    scene.both_promote();
    let tag = scene.tag("2-promote-25", "main");
    let name = format!("refs/tags/{tag}");
    scene.push(&["--atomic", "main", &tag]).exits(1);
    assert_eq!(scene.server_ref(&name), "");
    scene.refuses(&["main", &tag], &name, "tag-mismatch");
    let votes = scene.world.head();
    scene.back_to(&winner);
    scene.merge(&votes);
    scene.tag("2-promote-25", "main");
    scene.admits(&["--atomic", "main", &tag]);
}
