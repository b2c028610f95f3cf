//! Refs deleted in the name of tidying
//!
//! By the server's clock, a label goes long after its lease ended, a stop ref once the ledger has its stop.

use crate::dsl::*;

/// The tag of the start, pushed; and its full name.
fn tagged(scene: &Scene) -> String {
    let tag = scene.tag("1-start-5", "main");
    scene.admits(&["main", &tag]);
    format!("refs/tags/{tag}")
}

/// A later lease on the same target comes and is withdrawn.
fn a_later_one_ends(scene: &Scene) {
    scene.propose(&lease(OTHER), OTHER);
    scene.turn("cp14", &stop("withdraw", 9).replace(LEASE, OTHER));
}

/// A label of an open lease.
#[test]
fn a_label_of_an_open_lease() {
    let scene = Scene::rolling();
    let name = tagged(&scene);
    a_later_one_ends(&scene);
    scene.admits(&["main"]);
    scene.refuses(&[&format!(":{name}")], &name, "ref-deleted").says("keeps its labels until it has ended");
    scene.turn("cp14", &stop("rollback", 1));
    scene.admits(&["main"]);
    scene.admits(&[&format!(":{name}")]);
    assert_eq!(scene.server_ref(&name), "");
    // It may come again, as it was and nothing else.
    scene.tag("1-start-5", "main");
    let short = name.trim_start_matches("refs/tags/").to_owned();
    scene.refuses(&[&short], &name, "tag-mismatch");
    scene.tag("1-start-5", "main~3");
    scene.admits(&[&short]);
}

/// A label of the target's last ended lease.
#[test]
fn a_label_of_the_last_that_ended() {
    let scene = Scene::rolling();
    let name = tagged(&scene);
    scene.turn("cp14", &stop("rollback", 1));
    scene.admits(&["main"]);
    scene.refuses(&[&format!(":{name}")], &name, "ref-deleted").says("the last that ended on its target");
    a_later_one_ends(&scene);
    scene.admits(&["main"]);
    scene.admits(&[&format!(":{name}")]);
}

/// A label of a lease that ended less than `keep` ago.
#[test]
fn a_label_that_is_too_young() {
    let long = Scene::under(|world| world.policy() + "keep: 3650d\n");
    let usual = Scene::under(|world| world.policy() + "keep: 1d\n");
    for scene in [&long, &usual] {
        scene.start();
        let name = tagged(scene);
        scene.turn("cp14", &stop("rollback", 1));
        a_later_one_ends(scene);
        scene.admits(&["main"]);
        if scene.root == long.root {
            scene.refuses(&[&format!(":{name}")], &name, "ref-deleted").says("ended less than 3650d ago");
        } else {
            scene.admits(&[&format!(":{name}")]);
        }
    }
}

/// A label in a push that opens its lease again.
#[test]
fn a_label_of_a_lease_that_the_same_push_reopens() {
    let scene = Scene::rolling();
    let name = tagged(&scene);
    for (step, tier) in [(2, 25), (3, 100)] {
        scene.turn("user1", &about(LEASE, "promote", step, tier));
        scene.turn("cp14", &about(LEASE, "promote", step, tier));
    }
    scene.turn("user1", &about(LEASE, "complete", 4, 0));
    a_later_one_ends(&scene);
    scene.admits(&["main"]);
    let completed = scene.world.head();
    scene.turn("cp14", &stop("halt", 1));
    scene.refuses(&["main", &format!(":{name}")], &name, "ref-deleted").says("is halted");
    // The same deletion alone, by the ledger as it is.
    assert_eq!(scene.server_ref(MAIN), completed);
    scene.admits(&[&format!(":{name}")]);
    scene.admits(&["main"]);
}

/// A stop ref whose stop is not in the ledger, or that is no stop.
#[test]
fn a_stop_that_is_not_folded() {
    let scene = Scene::rolling();
    let halt = scene.halt("cp14", "main", 1);
    let name = format!("refs/two-key/stops/{LEASE}/{halt}");
    scene.admits(&[&format!("{halt}:{name}")]);
    scene.refuses(&[&format!(":{name}")], &name, "ref-deleted").says("the ledger does not hold its stop");
    let junk = format!("refs/two-key/stops/{LEASE}/{}", scene.root);
    scene.on_server(&["update-ref", &junk, &scene.root]).exits(0);
    scene.merge(&halt);
    scene.refuses(&["main", &format!(":{junk}")], &junk, "ref-deleted");
    scene.admits(&["main"]);
    scene.admits(&[&format!(":{name}")]);
    assert_eq!(scene.server_ref(&name), "");
    scene.refuses(&[&format!(":{junk}")], &junk, "ref-deleted");
}

/// Anything else that is governed.
#[test]
fn what_is_no_label() {
    let scene = Scene::rolling();
    let label = tagged(&scene);
    scene.turn("cp14", &stop("rollback", 1));
    a_later_one_ends(&scene);
    scene.admits(&["main"]);
    let record = scene.world.sign_record("edge1", "main", &record_of(REPOSITORY));
    scene.admits(&[&format!("{record}:refs/two-key/appliers/edge1")]);
    for name in [MAIN, "refs/two-key/appliers/edge1"] {
        scene.refuses(&[&format!(":{label}"), &format!(":{name}")], name, "ref-deleted");
    }
    assert_ne!(scene.server_ref(&label), "");
    scene.admits(&[&format!(":{label}")]);
}
