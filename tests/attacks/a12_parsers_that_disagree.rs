//! Commits that two parsers read differently
//!
//! One strict parser reads raw bytes; what another could read differently is malformed.

use crate::dsl::*;

/// Refuses a vote of cp14 for 25 % after its bytes were altered, and takes it unaltered.
#[track_caller]
fn refused(alter: impl Fn(&str) -> Vec<u8>, reason: &str) {
    let scene = Scene::rolling();
    scene.promote("user1");
    let vote = |scene: &Scene| scene.raw(&scene.aside("cp14", "main", &about(LEASE, "promote", 2, 25)));
    let attack = |scene: &Scene| drop(scene.forge_commit(&alter(&vote(scene))));
    scene.never_counts(reason, attack, |scene| drop(scene.forge_commit(vote(scene).as_bytes())));
}

/// The signature in the message.
#[test]
fn the_signature_inside_the_message() {
    refused(
        |raw| {
            let header = signature_of(raw);
            raw.replace(&header, "").replacen("Turn a key\n", &format!("{header}\nTurn a key\n"), 1).into_bytes()
        },
        "malformed",
    );
}

/// A NUL with trailers behind it.
#[test]
fn a_nul_and_a_second_trailer_block() {
    refused(|raw| format!("{raw}\0\n\n{}", statement(&about(LEASE, "promote", 2, 25))).into_bytes(), "malformed");
}

/// Two signature headers.
#[test]
fn two_signature_headers() {
    refused(|raw| with_headers(raw, &signature_of(raw)).into_bytes(), "malformed");
}

/// One more for the other object format.
#[test]
fn a_signature_header_of_the_other_format() {
    refused(
        |raw| with_headers(raw, &signature_of(raw).replacen("gpgsig", "gpgsig-sha256", 1)).into_bytes(),
        "malformed",
    );
}

/// A header with the signature's as prefix.
#[test]
fn a_header_that_begins_with_gpgsig() {
    refused(|raw| with_headers(raw, "gpgsigx nothing\n").into_bytes(), "malformed");
}

/// Two trees.
#[test]
fn a_duplicate_tree() {
    refused(
        |raw| {
            let tree = raw.split_inclusive('\n').next().unwrap();
            raw.replacen("\nauthor ", &format!("\n{tree}author "), 1).into_bytes()
        },
        "malformed",
    );
}

/// CR LF line ends.
#[test]
fn carriage_returns() {
    refused(
        |raw| {
            let at = raw.find("\n\n").unwrap() + 2;
            format!("{}{}", &raw[..at], raw[at..].replace('\n', "\r\n")).into_bytes()
        },
        "malformed",
    );
}

/// An encoding header.
#[test]
fn an_encoding_header() {
    refused(|raw| with_headers(raw, "encoding ISO-8859-1\n").into_bytes(), "malformed");
}

/// A second statement in an earlier paragraph.
#[test]
fn two_statements() {
    refused(
        |raw| {
            raw.replacen("Turn a key\n", "Turn a key\n\nTwo-Key-Statement: 1\nTwo-Key-Action: halt\n", 1).into_bytes()
        },
        "malformed",
    );
}

/// A byte changed after signing.
#[test]
fn a_byte_changed() {
    refused(|raw| raw.replacen("Turn a key", "Turn a Key", 1).into_bytes(), "bad-signature");
}

/// The tier changed after signing.
#[test]
fn a_tier_changed() {
    refused(|raw| raw.replace("Two-Key-Tier: 25", "Two-Key-Tier: 100").into_bytes(), "bad-signature");
}
