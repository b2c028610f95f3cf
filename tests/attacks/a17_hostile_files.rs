//! Files that are too much, or read in two ways
//!
//! Files are read strictly, and only up to the limits.

use crate::dsl::*;

/// Refuses a lease's file that was altered, and takes it unaltered.
#[track_caller]
fn refused(reason: &str, alter: impl Fn(&str) -> String) {
    let scene = Scene::rolling();
    scene.promote("user1");
    let attack = |scene: &Scene| drop(scene.propose(&alter(&lease(OTHER)), OTHER));
    scene.never_counts(reason, attack, |scene| {
        scene.propose(&lease(OTHER), OTHER);
        scene.turn("cp14", &about(OTHER, "cosign", 0, 0));
    });
}

/// Aliases that unfold to billions of words.
#[test]
fn a_bomb() {
    refused("malformed", |text| {
        let lines = (1..10).fold("a0: &a0 [x, x]\n".to_owned(), |all, at| {
            let before = at - 1;
            all + &format!("a{at}: &a{at} [*a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}]\n")
        });
        format!("{text}labels:\n  {}\n", lines.replace('\n', "\n  ").trim_end())
    });
}

/// Thousands of brackets.
#[test]
fn deep_nesting() {
    refused("malformed", |text| format!("{text}labels: {}{}\n", "[".repeat(5_000), "]".repeat(5_000)));
}

/// One key twice.
#[test]
fn a_duplicate_key() {
    refused("malformed", |text| format!("{text}target: checkout-prod\n"));
}

/// More than 64 KiB.
#[test]
fn too_many_bytes() {
    refused("too-large", |text| format!("{text}# {}\n", "x".repeat(70_000)));
}

/// A hundred megabytes, well compressed.
#[test]
fn a_hundred_megabytes() {
    let scene = Scene::rolling();
    let propose = |text: String| move |scene: &Scene| drop(scene.propose(&text, OTHER));
    let large = format!("{}# {}\n", lease(OTHER), "x".repeat(100 << 20));
    scene.refuses_but_takes("too-large", propose(large), propose(lease(OTHER)));
}

/// Ids that would be paths.
#[test]
fn an_id_with_slashes() {
    refused("malformed", |text| text.replace(&format!("lease: {OTHER}"), "lease: ../../refs/heads/main"));
}

/// Another file's id.
#[test]
fn filed_under_another_id() {
    refused("malformed", |text| text.replace(OTHER, "LEASE-20251029-000000"));
}

/// A control character that hides text.
#[test]
fn a_control_character() {
    refused("malformed", |text| text.replace("Roll out", "\u{1b}[2KRoll out"));
}

/// A mark that turns the reading direction.
#[test]
fn a_right_to_left_mark() {
    refused("malformed", |text| text.replace("Roll out", "\u{202e}Roll out"));
}

/// The same in a statement's reason.
#[test]
fn a_right_to_left_mark_in_a_statement() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let text = |reason: &str| format!("{}Two-Key-Reason: {reason}\n", message("cp14", &about(LEASE, "promote", 2, 25)));
    let vote = |reason: &'static str| move |scene: &Scene| drop(scene.world.carry("cp14", &text(reason)));
    scene.never_counts("malformed", vote("all \u{202e}good"), vote("all good"));
}
