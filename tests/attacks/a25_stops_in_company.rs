//! A stop pushed together with what would be refused
//!
//! Beside a stop that takes effect, what merely does not count is waived; what would take something away is not.

use crate::dsl::*;

/// With a stale vote, a tier skipped and a squatted tag: the stop takes effect, the rest does not.
#[test]
fn with_a_stale_vote_and_a_squatted_tag() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    let stale = |scene: &Scene| drop(scene.turn("cp14", &about(LEASE, "promote", 7, 25)));
    stale(&scene);
    let squatter = scene.tag("2-promote-25", "main");
    scene.refuses(&["main", &squatter], MAIN, "stale-step").says("tag-mismatch");
    scene.back_to(&tip);
    stale(&scene);
    scene.turn("cp18", &stop("halt", 1));
    scene.tag("2-promote-25", "main");
    scene.admits(&["main", &squatter]);
    assert_eq!(scene.shown(LEASE)["state"], "halted");
}

/// Over a tag that somebody squatted: the halt's own tag comes to where it belongs.
#[test]
fn its_own_tag_is_squatted() {
    let scene = Scene::rolling();
    let name = format!("refs/tags/rollout/{LEASE}/2-halt");
    let tip = scene.world.head();
    scene.on_server(&["update-ref", &name, &tip]).exits(0);
    let lie = scene.tag("2-halt", "main");
    scene.refuses(&[&format!("+{lie}:{name}")], &name, "tag-moved");
    scene.turn("cp18", &stop("halt", 1));
    scene.tag("2-halt", "main");
    scene.admits(&["main", &format!("+{lie}:{name}")]);
    assert_eq!(scene.server_ref(&format!("{name}^{{commit}}")), scene.world.head());
}

/// What takes something away is refused even beside a stop, which then comes alone.
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
