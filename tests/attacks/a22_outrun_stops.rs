//! Stops outrun or replayed
//!
//! A stop binds to a lease and nothing else, is folded first in its step, has a ref of its own, and takes effect
//! once.

use crate::dsl::*;

/// A promotion lands first: the halt made before it takes effect all the same.
#[test]
fn a_promotion_lands_first() {
    let scene = Scene::rolling();
    let halt = scene.halt("cp18", "main", 1);
    scene.both_promote();
    scene.admits(&["main"]);
    scene.merge(&halt);
    scene.admits(&["main"]);
    assert_eq!(scene.shown(LEASE)["state"], "halted");
}

/// Main is protected or busy: the halt lands under its own ref.
#[test]
fn the_branch_is_busy() {
    let scene = Scene::rolling();
    let halt = scene.halt("cp18", "main~2", 1);
    scene.admits(&[&format!("{halt}:refs/two-key/stops/{LEASE}/{halt}")]);
}

/// The same pause again, in another commit, after both keys had resumed: no second effect.
#[test]
fn replayed() {
    let scene = Scene::rolling();
    let pause = scene.aside("cp18", "main", &stop("pause", 1));
    scene.merge(&pause);
    for name in ["user1", "cp14"] {
        scene.turn(name, &about(LEASE, "resume", 3, 0));
    }
    scene.admits(&["main"]);
    let rolling = scene.shown(LEASE)["state"].clone();
    assert_eq!(rolling, "rolling");
    scene.turn("cp18", &stop("pause", 1));
    scene.admits(&["main"]);
    assert_eq!(scene.shown(LEASE)["state"], rolling);
    scene.turn("cp18", &stop("pause", 2));
    scene.admits(&["main"]);
    assert_eq!(scene.shown(LEASE)["state"], "paused");
}
