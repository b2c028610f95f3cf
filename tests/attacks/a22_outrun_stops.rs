//! Stops outrun or replayed
//!
//! A stop names only its lease, comes first in its step, has its own ref, takes effect once, and undoes what started on
//! its lease and has not completed.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _};

use serde_json::Value;

use crate::{
    applier::{quickly, stop_it},
    dsl::*,
};

/// A promotion lands before the halt.
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

/// Main is protected or busy: the halt gets its own ref.
#[test]
fn the_branch_is_busy() {
    let scene = Scene::rolling();
    let halt = scene.halt("cp18", "main~2", 1);
    scene.admits(&[&format!("{halt}:refs/two-key/stops/{LEASE}/{halt}")]);
}

/// That ref's name is blocked: it lands as a branch.
#[test]
fn the_name_is_blocked() {
    let scene = Scene::rolling();
    let halt = scene.halt("cp18", "main~2", 1);
    let aside = |commit: &str| format!("refs/heads/two-key-stop-{commit}");
    let tip = scene.world.head();
    scene.refuses(&[&format!("{tip}:{}", aside(&tip))], &aside(&tip), "malformed");
    scene.refuses(&[&format!("{halt}:{}", aside(&tip))], &aside(&tip), "malformed");
    scene.admits(&[&format!("{halt}:{}", aside(&halt))]);
    scene.refuses(&[&format!(":{}", aside(&halt))], &aside(&halt), "ref-deleted");
}

/// A non-UTF-8 branch beside the halt.
#[test]
fn a_name_that_is_no_text_lies_beside_it() {
    let scene = Scene::applied();
    let odd = [b"refs/heads/x/refs/two-key/stops/".as_slice(), OTHER.as_bytes(), b"/\xff"].concat();
    let main = scene.on_server(&["rev-parse", "main"]).exits(0).out;
    let path = scene.server.join(OsStr::from_bytes(&odd));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, main).unwrap();
    scene.apply().exits(0);
    scene.weighs(500);
    let halt = scene.aside("cp18", "main", &stop_it("halt", 1));
    scene.admits(&[&format!("{halt}:refs/two-key/stops/{OTHER}/{halt}")]);
    scene.apply().exits(0);
    scene.weighs(0);
}

/// The same pause again after both keys resumed: no effect.
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

/// A lease at 100 %, an applier that saw it there, and the next lease on its target, which may start.
fn before_the_next_lease() -> Scene {
    let scene = Scene::applied();
    scene.to_25();
    scene.apply().exits(0);
    for name in ["user1", "cp14"] {
        scene.turn(name, &quickly("promote", 3, 100));
        scene.turn(name, &about(LEASE, "cosign", 0, 0));
    }
    scene.admits(&["main"]);
    scene.apply().exits(0);
    scene.weighs(10_000);
    scene
}

/// The next lease starts first: halted too.
#[test]
fn the_next_lease_starts_first() {
    for seen in [false, true] {
        let scene = before_the_next_lease();
        let halt = scene.aside("cp18", "main", &stop_it("halt", 1));
        scene.turn("cp14", &about(LEASE, "start", 1, 5));
        scene.admits(&["main"]);
        if seen {
            scene.apply().exits(0);
            scene.weighs(500);
        }
        scene.merge(&halt);
        scene.admits(&["main"]);
        assert_eq!(
            (&scene.shown(OTHER)["state"], &scene.shown(LEASE)["state"]),
            (&"halted".into(), &"rolled-back".into())
        );
        // What the newer one moved is undone, then the older one is stopped.
        scene.apply().exits(0);
        scene.apply().exits(0);
        scene.weighs(0);
        scene.apply().exits(0);
        scene.weighs(0);
    }
}

/// The same as a stop ref that main lacks.
#[test]
fn the_next_lease_starts_first_and_the_branch_is_busy() {
    let scene = before_the_next_lease();
    let halt = scene.aside("cp18", "main", &stop_it("halt", 1));
    scene.turn("cp14", &about(LEASE, "start", 1, 5));
    scene.admits(&["main"]);
    scene.apply().exits(0);
    scene.admits(&[&format!("{halt}:refs/two-key/stops/{OTHER}/{halt}")]);
    scene.apply().exits(0);
    scene.apply().exits(0);
    scene.weighs(0);
}

/// A next lease that cannot be undone is reported.
#[test]
fn the_next_lease_cannot_be_undone() {
    let scene = before_the_next_lease();
    scene.turn("cp14", &about(LEASE, "start", 1, 5));
    scene.admits(&["main"]);
    scene.apply().exits(0);
    let name = "refs/two-key/appliers/edge1";
    scene.on_server(&["update-ref", "-d", name]).exits(0);
    for name in [name, "refs/two-key-remote/origin/two-key/appliers/edge1"] {
        scene.world.run(&scene.clone_path(), "git", &["update-ref", "-d", name], b"").exits(0);
    }
    scene.turn("cp18", &stop_it("halt", 1));
    scene.admits(&["main"]);
    scene.apply().exits(1).says("rollback-failed");
    scene.apply().exits(1).says("rollback-failed");
    scene.weighs(0);
}

/// Between two looks of an applier that moved `OTHER` to 5 % people do this to it, and then this to the next lease.
fn between_two_looks(first: &[&str], next: &[&str]) -> Scene {
    let scene = Scene::applied();
    for name in ["user1", "cp14"] {
        scene.turn(name, &about(LEASE, "cosign", 0, 0));
    }
    for action in first {
        scene.turn("user2", &stop_it(action, 1));
    }
    for action in next {
        let fields = if *action == "start" { about(LEASE, "start", 1, 5) } else { stop(action, 2) };
        scene.turn("cp14", &fields);
    }
    scene.admits(&["main"]);
    scene
}

/// What the target is at, and whose lease that is.
fn at(scene: &Scene) -> (Value, Value) {
    let text = fs::read(scene.world.path().join("weights.json")).unwrap();
    let weights: Value = serde_json::from_slice(&text).unwrap();
    (weights["weight_bp"].clone(), weights["lease"].clone())
}

/// The next lease starts and stops before an applier saw the rollback: the older candidate goes first, and what nobody
/// stopped keeps its weight.
#[test]
fn the_next_lease_starts_and_is_stopped_before_anybody_looks() {
    let nobody = (Value::from(0), Value::Null);
    for (first, next) in [
        (&["rollback"][..], &["start", "halt"][..]),
        (&["halt", "rollback"], &["start", "rollback"]),
        (&["rollback"], &["start", "pause"]),
        (&["rollback"], &[]),
    ] {
        let scene = between_two_looks(first, next);
        scene.apply();
        assert_eq!(at(&scene), nobody, "{first:?} {next:?}");
        scene.apply();
        assert_eq!(at(&scene), nobody, "{first:?} {next:?}");
    }
    let goes_on = between_two_looks(&["rollback"], &["start"]);
    goes_on.apply().exits(0);
    goes_on.apply().exits(0);
    assert_eq!(at(&goes_on), (500.into(), LEASE.into()));
    // What that one is undone to is what was there before both.
    goes_on.turn("user2", &stop("rollback", 3));
    goes_on.admits(&["main"]);
    goes_on.apply().exits(0).says("verified");
    assert_eq!(at(&goes_on), nobody);
    let untouched = between_two_looks(&[], &[]);
    untouched.apply().exits(0);
    assert_eq!(at(&untouched), (500.into(), OTHER.into()));
}

/// The same with the journal lost.
#[test]
fn the_next_lease_starts_and_is_stopped_while_the_journal_is_lost() {
    for (next, left) in [(&["start", "halt"][..], (0.into(), Value::Null)), (&[], (500.into(), OTHER.into()))] {
        let first: &[&str] = if next.is_empty() { &[] } else { &["rollback"] };
        let scene = between_two_looks(first, next);
        fs::remove_dir_all(scene.clone_path()).unwrap();
        let (server, clone) = (scene.server.to_str().unwrap(), scene.clone_path());
        scene.world.git(&["clone", "--quiet", server, clone.to_str().unwrap()]);
        scene.apply().exits(0);
        assert_eq!(at(&scene), left);
    }
}

/// The same after an undo that failed.
#[test]
fn the_next_lease_starts_and_is_stopped_after_what_cannot_be_undone() {
    let scene = between_two_looks(&["rollback"], &["start", "halt"]);
    let name = "refs/two-key/appliers/edge1";
    scene.on_server(&["update-ref", "-d", name]).exits(0);
    for name in [name, "refs/two-key-remote/origin/two-key/appliers/edge1"] {
        scene.world.run(&scene.clone_path(), "git", &["update-ref", "-d", name], b"").exits(0);
    }
    for _ in 0..2 {
        scene.apply().exits(1).says("rollback-failed");
        scene.weighs(0);
    }
}
