//! `refs/replace` and grafts
//!
//! Never applied, and refused in pushes.

use crate::dsl::*;

/// A replacement pushed.
#[test]
fn a_replacement_pushed() {
    let scene = Scene::rolling();
    let name = format!("refs/replace/{}", scene.world.head());
    scene.refuses(&[&format!("main~1:{name}")], &name, "foreign-ref");
    scene.admits(&["main:refs/heads/topic"]);
}

/// A replacement or graft on the server that shows a stranger's vote as an agent's.
#[test]
fn a_replacement_that_is_there() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let tip = scene.world.head();
    let honest = scene.aside("cp14", "main", &about(LEASE, "promote", 2, 25));
    let bad = scene.promote("stranger");
    scene.admits(&[&format!("{honest}:refs/heads/honest"), "main:refs/heads/bad"]);
    scene.on_server(&["update-ref", &format!("refs/replace/{bad}"), &honest]).exits(0);
    scene.refuses_main("unknown-key");
    scene.on_server(&["replace", "--delete", &bad]).exits(0);
    std::fs::create_dir_all(scene.server.join("info")).unwrap();
    std::fs::write(scene.server.join("info/grafts"), format!("{bad} {honest}\n")).unwrap();
    scene.refuses_main("unknown-key");
    // The other way round, they do not stand in an honest vote's way.
    scene.on_server(&["update-ref", &format!("refs/replace/{honest}"), &bad]).exits(0);
    scene.back_to(&tip);
    scene.admits(&[&format!("{honest}:{MAIN}")]);
}
