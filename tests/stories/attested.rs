//! A hardware key is enrolled with what its authenticator said of it, and not with what another one said.

use std::fs;

use crate::kit::authenticator::{CHALLENGE, Enrolment, MadeKey, VENDOR, pem, secret};
use crate::kit::{Ran, World};

/// Enrols user1's new key with files of these contents.
struct Desk {
    world: World,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { world: World::authorized() };
        desk.put("attestation", &Enrolment::honest(KEY).file());
        desk.put("challenge", CHALLENGE);
        desk.put("vendor.pem", pem(&VENDOR.of(&secret(1), &secret(1))).as_bytes());
        desk.put("other.pem", pem(&VENDOR.of(&secret(3), &secret(3))).as_bytes());
        desk
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.world.path().join(name), bytes).unwrap();
    }

    fn add(&self, key: &str, options: &[(&str, &str)]) -> Ran {
        let mut args = vec!["key".to_owned(), "add".to_owned(), "user1".to_owned(), key.to_owned()];
        for (option, file) in options {
            args.extend([(*option).to_owned(), self.world.path().join(file).to_str().unwrap().to_owned()]);
        }
        self.world.two_key(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

const KEY: MadeKey = MadeKey::Ed25519(7);
const FILES: [(&str, &str); 2] = [("--attestation", "attestation"), ("--challenge", "challenge")];

#[test]
fn a_key_is_enrolled_with_its_attestation_and_nothing_is_written_where_that_does_not_hold() {
    let desk = Desk::new();
    let before = desk.world.head();
    let rooted = |root| [&FILES[..], &[("--attestation-root", root)]].concat();
    desk.add(&MadeKey::Ed25519(8).line(), &rooted("vendor.pem")).exits(1).says("bad-signature").says("another key");
    desk.add(&KEY.line(), &rooted("other.pem")).exits(1).says("bad-signature").says("issuer that you named");
    desk.add(&KEY.line(), &rooted("challenge")).exits(1).says("malformed").says("CERTIFICATE");
    desk.add(&desk.world.public_key("cp20"), &rooted("vendor.pem")).exits(1).says("hardware-required");
    desk.put("challenge", b"not what the authenticator was given");
    desk.add(&KEY.line(), &rooted("vendor.pem")).exits(1).says("bad-signature").says("challenge");
    desk.put("challenge", CHALLENGE);
    desk.add(&KEY.line(), &FILES[..1]).exits(2).says("--challenge");
    desk.add(&KEY.line(), &[FILES[0], ("--challenge", "nowhere")]).exits(3).says("cannot be read");
    assert_eq!((desk.world.head(), desk.world.git(&["status", "--porcelain"])), (before, String::new()));

    desk.add(&KEY.line(), &rooted("vendor.pem")).exits(0).says("PIN, finger or face was checked").says("you named");
    let message = desk.world.git(&["log", "-1", "--format=%s"]);
    assert!(message.contains("attested: its certificate's issuer was checked"), "{message}");
}

#[test]
fn what_nothing_shows_is_said_plainly() {
    let desk = Desk::new();
    desk.add(&KEY.line(), &FILES).exits(0).says("NOT CHECKED").says("Software can make");
    let message = desk.world.git(&["log", "-1", "--format=%s"]);
    assert!(message.contains("issuer was not checked"), "{message}");
    desk.add(&MadeKey::P256(9).line(), &[]).exits(0).says("owner's word");
}
