//! One signature counted twice
//!
//! Votes are counted by principal and raw key.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    dsl::*,
    kit::nistp256::{P256, PHONE, SignatureForm, mpint, strings, twin},
};

/// A sealed line doubled.
#[test]
fn a_sealed_line_doubled() {
    let scene = Scene::rolling();
    let fields = about(LEASE, "promote", 2, 25);
    let line = scene.sealed("user1", "promote", &fields);
    let tip = scene.world.head();
    scene.unsigned(&fields, &line.repeat(2));
    let tag = scene.tag("2-promote-25", "main");
    scene.refuses(&["main", &tag], &format!("refs/tags/{tag}"), "tag-mismatch").says("two signatures of one key");
    scene.back_to(&tip);
    let other = scene.sealed("cp14", "promote", &fields);
    scene.unsigned(&fields, &format!("{line}{other}"));
    scene.tag("2-promote-25", "main");
    scene.admits(&["main", &tag]);
}

/// The same vote in a second commit.
#[test]
fn the_same_vote_again() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let again = |scene: &Scene| drop(scene.promote("user1"));
    scene.never_counts("already-voted", again, |scene| drop(scene.promote("cp14")));
}

/// The armour wrapped differently.
#[test]
fn the_armour_wrapped_otherwise() {
    let scene = Scene::rolling();
    let vote = scene.aside("user1", "main", &about(LEASE, "promote", 2, 25));
    let raw = scene.raw(&vote);
    let armour = signature_of(&raw);
    let blob: String = armour.lines().filter(|line| !line.contains("-----")).map(str::trim).collect();
    let lines: Vec<_> = blob.as_bytes().chunks(60).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let other = format!("gpgsig -----BEGIN SSH SIGNATURE-----\n {}\n -----END SSH SIGNATURE-----\n", lines.join("\n "));
    scene.world.git(&["update-ref", MAIN, &vote]);
    scene.admits(&["main"]);
    let attack = |scene: &Scene| {
        let tip = scene.world.head();
        let copy = scene.forge_commit(raw.replace(&armour, &other).as_bytes());
        assert_ne!(copy, vote);
        scene.world.git(&["update-ref", MAIN, &tip]);
        scene.merge(&copy);
    };
    scene.never_counts("already-voted", attack, |scene| drop(scene.promote("cp14")));
}

/// The other ECDSA signature, (r, n - s).
#[test]
fn the_twin_of_a_signature_on_p256() {
    let phone = P256::new(42, SignatureForm::Browser(PHONE));
    let scene = Scene::under(|world| {
        world
            .policy()
            .replace(&world.public_key("user1"), &{ format!("{}\", \"{}", world.public_key("user1"), phone.line()) })
    });
    scene.start();
    let fields = about(LEASE, "promote", 2, 25);
    let text = statement(&fields);
    let line = |blob: &[u8]| {
        let [key, blob] = [&phone.public()[..], blob].map(|bytes| STANDARD.encode(bytes));
        format!("Two-Key-Cosignature: user1 promote ssh {key} {blob}\n")
    };
    scene.unsigned(&fields, &line(&phone.blob("two-key", text.as_bytes())));
    scene.admits(&["main"]);
    let twin = line(&phone.blob_with("two-key", text.as_bytes(), |signature| {
        let (r, s) = twin(signature).split_bytes();
        strings(&[&mpint(&r), &mpint(&s)])
    }));
    let again = |scene: &Scene| drop(scene.unsigned(&fields, &twin));
    scene.never_counts("already-voted", again, |scene| drop(scene.promote("cp14")));
}

/// A note's entry doubled, in one push or by another.
#[test]
fn a_note_doubled() {
    let scene = Scene::new();
    let notes = "refs/notes/two-key/user1";
    let fields = about(LEASE, "cosign", 0, 0);
    scene.turn("user1", &fields);
    let blob = scene.world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let entry = scene.entry("user1", &fields);
    for _ in 0..2 {
        scene.note("user1", &blob, &entry);
    }
    scene.admits(&["main"]);
    scene.refuses(&[notes], notes, "already-voted");
    scene.admits(&[&format!("{notes}~1:{notes}")]);
    scene.refuses(&[notes], notes, "already-voted");
    scene.world.two_key(&["verify", LEASE]).exits(1).says("missing-role");
    scene.turn("cp14", &fields);
    scene.world.two_key(&["verify", LEASE]).exits(0);
}

/// A minisign file with changed comments.
#[test]
fn a_minisign_file_with_another_comment() {
    let scene = Scene::under(crate::minisign::policy);
    scene.start();
    let fields = about(LEASE, "promote", 2, 25);
    let one = crate::minisign::sealed(&scene, "promote", &fields);
    scene.unsigned(&fields, &one);
    scene.admits(&["main"]);
    let args = ["-S", "-s", "mini.sec", "-m", "statement", "-x", "statement.minisig", "-t", "another comment"];
    scene.world.run(scene.world.path(), "minisign", &args, b"").exits(0);
    let (front, _) = one.trim_end().rsplit_once(' ').unwrap();
    let file = std::fs::read(scene.world.path().join("statement.minisig")).unwrap();
    let again = format!("{front} {}\n", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, file));
    assert_ne!(again, one);
    let attack = |scene: &Scene| drop(scene.unsigned(&fields, &again));
    scene.never_counts("already-voted", attack, |scene| drop(scene.promote("user1")));
}
