//! Presence pretended
//!
//! Where a rule asks for hardware, only a listed authenticator's key with the user-presence flag counts, and none whose
//! flags say it may be copied.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    dsl::*,
    kit::nistp256::{Browser, P256, PHONE, SignatureForm},
    kit::software::Key,
};

/// Keys of user1 that only software holds: one as if on a token, one as if on a phone.
const TOUCHED: SignatureForm = SignatureForm::Browser(PHONE);

fn phone(form: SignatureForm) -> P256 {
    P256::new(41, form)
}

/// A scene at 5 %, where promoting counts a human only by hardware, and user1 has a token, a phone and a software key.
fn scene() -> Scene {
    asking("true")
}

/// The same, asking for something else of the hardware.
fn asking(hardware: &str) -> Scene {
    let scene = Scene::under(|world| {
        let own = world.public_key("user1");
        let keys = format!("{own}\", \"{}\", \"{}", Key::hardware(40, 1).public().line(), phone(TOUCHED).line());
        let policy = world.policy().replace(&own, &keys);
        let rule = format!("promote: {{human: 1, agent: 1, hardware: {hardware}}}");
        policy.replace("promote: {human: 1, agent: 1}", &rule)
    });
    scene.start();
    scene.admits(&["main"]);
    scene.promote("cp14");
    scene.admits(&["main"]);
    scene
}

/// A commit that seals what a key of user1 signed for 25 %.
fn seal(public: &[u8], blob: &[u8]) -> impl Fn(&Scene) + use<> {
    let (public, blob) = (STANDARD.encode(public), STANDARD.encode(blob));
    move |scene| {
        let line = format!("Two-Key-Cosignature: user1 promote ssh {public} {blob}\n");
        scene.unsigned(&about(LEASE, "promote", 2, 25), &line);
    }
}

fn text() -> String {
    statement(&about(LEASE, "promote", 2, 25))
}

fn by_token(flags: u8) -> impl Fn(&Scene) {
    let key = Key::hardware(40, flags);
    seal(&key.public, &key.blob("two-key", text().as_bytes()))
}

fn by_phone(form: SignatureForm) -> impl Fn(&Scene) {
    let key = phone(form);
    seal(&key.public(), &key.blob("two-key", text().as_bytes()))
}

/// A token without touch.
#[test]
fn a_token_that_nobody_touched() {
    scene().never_counts("hardware-required", by_token(0), by_token(1));
}

/// A touch without user verification, where it is asked for.
#[test]
fn a_token_that_checked_nobody() {
    asking("verified").never_counts("hardware-required", by_token(1), by_token(5));
}

/// User verification without user presence.
#[test]
fn a_token_that_knows_its_owner_but_was_not_touched() {
    scene().never_counts("hardware-required", by_token(4), by_token(5));
}

/// A phone without touch.
#[test]
fn a_phone_that_nobody_touched() {
    let untouched = by_phone(SignatureForm::Browser(Browser { flags: 0, ..PHONE }));
    scene().never_counts("hardware-required", untouched, by_phone(TOUCHED));
}

/// A touched token whose secret may be copied.
#[test]
fn a_token_that_may_be_copied() {
    scene().never_counts("hardware-required", by_token(0x09), by_token(0x05));
}

/// A touched phone whose secret is on other devices.
#[test]
fn a_phone_that_is_copied() {
    let copied = by_phone(SignatureForm::Browser(Browser { flags: PHONE.flags | 0x18, ..PHONE }));
    scene().never_counts("hardware-required", copied, by_phone(TOUCHED));
}

/// A software key of the same human.
#[test]
fn a_software_key_of_the_same_human() {
    scene().never_counts("hardware-required", |scene| drop(scene.promote("user1")), by_phone(TOUCHED));
}

/// A phone's secret without an authenticator.
#[test]
fn a_phones_secret_without_the_phone() {
    scene().never_counts("hardware-required", by_phone(SignatureForm::Plain), by_phone(TOUCHED));
}

/// A phone's key for another host name.
#[test]
fn a_phones_secret_for_another_host() {
    let key = P256 { application: "evil.example", ..phone(TOUCHED) };
    let elsewhere = seal(&key.public(), &key.blob("two-key", text().as_bytes()));
    scene().never_counts("hardware-required", elsewhere, by_phone(TOUCHED));
}

/// A phone's signature of something else.
#[test]
fn a_phone_that_was_asked_for_something_else() {
    let key = phone(TOUCHED);
    let other = statement(&about(OTHER, "promote", 2, 25));
    let asked = seal(&key.public(), &key.blob("two-key", other.as_bytes()));
    scene().never_counts("bad-signature", asked, by_phone(TOUCHED));
}

/// A phone asked in another origin's frame.
#[test]
fn a_phone_in_a_frame_of_another_origin() {
    let client_data = PHONE.client_data.replace("\"crossOrigin\":false", "\"crossOrigin\":true").leak();
    let framed = by_phone(SignatureForm::Browser(Browser { client_data, ..PHONE }));
    scene().never_counts("bad-signature", framed, by_phone(TOUCHED));
}
