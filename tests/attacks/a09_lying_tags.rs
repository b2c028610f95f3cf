//! Tags that say what is not in force
//!
//! A tag is annotated, says its own name, stands on the commit that put exactly that in force, and is never an input.

use crate::dsl::*;

fn full(tag: &str) -> String {
    format!("refs/tags/{tag}")
}

/// `promote-100` on `promote-25`'s commit.
#[test]
fn a_later_step_on_an_earlier_commit() {
    let scene = Scene::rolling();
    scene.both_promote();
    let honest = scene.tag("2-promote-25", "main");
    scene.admits(&["main", &honest]);
    let lie = scene.tag("3-promote-100", "main");
    scene.refuses(&[&lie], &full(&lie), "tag-mismatch");
    scene.turn("user1", &about(LEASE, "promote", 3, 100));
    scene.turn("cp14", &about(LEASE, "promote", 3, 100));
    scene.refuses(&["main", &lie], &full(&lie), "tag-mismatch");
    scene.tag("3-promote-100", "main");
    scene.admits(&["main", &lie]);
}

/// A true tag moved.
#[test]
fn a_tag_moved() {
    let scene = Scene::rolling();
    let tag = scene.tag("1-start-5", "main");
    scene.admits(&[&tag]);
    scene.tag("1-start-5", "main~1");
    scene.refuses(&[&format!("+{tag}:{}", full(&tag))], &full(&tag), "tag-moved");
}

/// A lightweight tag.
#[test]
fn a_lightweight_tag() {
    let scene = Scene::rolling();
    let name = full(&format!("rollout/{LEASE}/1-start-5"));
    scene.refuses(&[&format!("main:{name}")], &name, "tag-mismatch");
    let tag = scene.tag("1-start-5", "main");
    scene.admits(&[&tag]);
}

/// A tag on a tag.
#[test]
fn a_nested_tag() {
    let scene = Scene::rolling();
    let tag = scene.tag("1-start-5", "main");
    let inner = scene.world.git(&["rev-parse", &full(&tag)]);
    scene.tag("1-start-5", &inner);
    scene.refuses(&[&tag], &full(&tag), "tag-mismatch");
    scene.admits(&[&format!("{inner}:{}", full(&tag))]);
}

/// A tag object under another name.
#[test]
fn an_inner_name_that_is_not_the_refs() {
    let scene = Scene::rolling();
    let tag = scene.tag("1-start-5", "main");
    let other = scene.tag("2-promote-25", "main");
    scene.refuses(&[&format!("{}:{}", full(&other), full(&tag))], &full(&tag), "tag-mismatch");
    scene.admits(&[&tag]);
}

/// A tag on another commit with the right tree.
#[test]
fn a_tag_on_a_commit_that_put_nothing_in_force() {
    let scene = Scene::rolling();
    let tag = scene.tag("1-start-5", "main~1");
    scene.refuses(&[&tag], &full(&tag), "tag-mismatch");
    scene.tag("1-start-5", "main");
    scene.admits(&[&tag]);
}
