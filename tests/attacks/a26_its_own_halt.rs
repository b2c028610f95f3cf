//! An applier that stopped by itself while the ledger goes on
//!
//! It never exceeds its own stop's weight until two keys have moved on from it.

use crate::dsl::*;

/// Its own stop is only in its clone, the ledger says 25 %: the stop holds.
#[test]
fn the_ledger_says_25() {
    let scene = Scene::applied();
    let halt = scene.aside("edge1", "main", &crate::applier::stop_it("halt", 1));
    scene.to_25();
    let name = format!("refs/two-key/stops/{OTHER}/{halt}");
    let from = scene.world.repo().to_str().unwrap();
    scene.world.git(&["branch", "halt", &halt]);
    scene.world.run(&scene.clone_path(), "git", &["fetch", "--quiet", from, &format!("halt:{name}")], b"").exits(0);
    scene.apply();
    scene.weighs(0);
    scene.apply();
    scene.weighs(0);
}

/// Without the stop it follows.
#[test]
fn without_a_stop() {
    let scene = Scene::applied();
    scene.to_25();
    scene.apply().exits(0);
    scene.weighs(2500);
}
