//! Symbolic refs on the server that stand for governed ones
//!
//! A symbolic ref is judged as its target, in both directions.

use crate::dsl::*;

/// A branch that is an alias of main.
#[test]
fn an_alias_of_the_branch() {
    let scene = Scene::rolling();
    scene.on_server(&["symbolic-ref", "refs/heads/alias", MAIN]).exits(0);
    let tip = scene.world.head();
    scene.promote("stranger");
    scene.refuses(&["main:refs/heads/alias"], MAIN, "unknown-key");
    scene.refuses(&["+main~2:refs/heads/alias"], MAIN, "ref-rewound");
    scene.back_to(&tip);
    scene.promote("user1");
    scene.admits(&["main:refs/heads/alias"]);
    assert_eq!(scene.server_ref(MAIN), scene.world.head());
}

/// Main as an alias of another branch.
#[test]
fn the_branch_is_an_alias() {
    let scene = Scene::rolling();
    let tip = scene.server_ref(MAIN);
    scene.on_server(&["update-ref", "refs/heads/trunk", &tip]).exits(0);
    scene.on_server(&["symbolic-ref", MAIN, "refs/heads/trunk"]).exits(0);
    scene.promote("stranger");
    scene.refuses(&["main:refs/heads/trunk"], MAIN, "unknown-key");
    scene.back_to(&tip);
    scene.promote("user1");
    scene.admits(&["main:refs/heads/trunk"]);
    assert_eq!(scene.server_ref(MAIN), scene.world.head());
}

/// A branch that is an alias of a rollout tag.
#[test]
fn an_alias_of_a_tag() {
    let scene = Scene::rolling();
    let name = format!("refs/tags/rollout/{LEASE}/1-start-5");
    scene.on_server(&["symbolic-ref", "refs/heads/alias", &name]).exits(0);
    scene.refuses(&["main:refs/heads/alias"], &name, "tag-mismatch");
    let tag = scene.tag("1-start-5", "main");
    scene.admits(&[&tag]);
}

/// A rollout tag that points to a missing branch.
#[test]
fn a_tag_that_stands_for_nothing_yet() {
    let scene = Scene::rolling();
    let name = format!("refs/tags/rollout/{LEASE}/2-promote-25");
    scene.on_server(&["symbolic-ref", &name, "refs/heads/later"]).exits(0);
    scene.refuses(&["main:refs/heads/later"], &name, "tag-mismatch");
    scene.admits(&["main:refs/heads/other"]);
}

/// Notes that point, through another branch, to a missing one.
#[test]
fn notes_that_stand_for_nothing_yet() {
    let scene = Scene::rolling();
    scene.on_server(&["symbolic-ref", "refs/heads/between", "refs/heads/later"]).exits(0);
    scene.on_server(&["symbolic-ref", "refs/notes/two-key/user1", "refs/heads/between"]).exits(0);
    scene.refuses(&["main:refs/heads/later"], "refs/notes/two-key/user1", "malformed");
    scene.admits(&["main:refs/heads/other"]);
}

/// A stop ref that points to a missing branch.
#[test]
fn a_stop_that_stands_for_nothing_yet() {
    let scene = Scene::rolling();
    let stop = scene.halt("user1", "main", 7);
    let other = scene.halt("user1", "main", 8);
    let name = format!("refs/two-key/stops/{LEASE}/{stop}");
    scene.on_server(&["symbolic-ref", &name, "refs/heads/later"]).exits(0);
    scene.refuses(&[&format!("{other}:refs/heads/later")], &name, "malformed");
    scene.admits(&[&format!("{stop}:refs/heads/later")]);
}
