//! SSH signatures by keys on P-256.

use super::nistp256::{Browser, P256, PHONE, SignatureForm, mpint, strings, twin};
use crate::{
    model::{PublicKey, Reason},
    signature::{Presence, sshsig::SshSig, testing::Key},
};

/// Writes the two numbers of a signature.
type Write = fn(&[u8], &[u8]) -> Vec<u8>;

fn longer(number: &[u8]) -> Vec<u8> {
    [b"\0", number].concat()
}

const MESSAGE: &[u8] = b"message";
/// The order of the group.
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn verify(blob: &[u8]) -> Result<Presence, Reason> {
    SshSig::from_blob(blob).and_then(|ssh| ssh.verify("two-key", MESSAGE)).map_err(|refusal| refusal.reason)
}

fn keys() -> [P256; 3] {
    [SignatureForm::Plain, SignatureForm::Authenticator { flags: 1 }, SignatureForm::Browser(PHONE)]
        .map(|form| P256::new(3, form))
}

#[test]
fn each_form_of_key_verifies_and_is_one_raw_key() {
    let raw = PublicKey::from_ssh_blob(&keys()[0].public()).unwrap().raw();
    for (key, presence) in keys().into_iter().zip([Presence::None, Presence::Touched, Presence::Verified]) {
        let public = PublicKey::parse(&key.line()).unwrap();
        assert_eq!((public.line(), public.blob(), public.raw()), (key.line(), key.public(), raw));
        assert_eq!(public.is_hardware(), presence != Presence::None);
        let blob = key.blob("two-key", MESSAGE);
        assert_eq!(SshSig::from_blob(&blob).unwrap().key(), &public);
        assert_eq!(verify(&blob), Ok(presence));
        assert_eq!(verify(&key.blob("git", MESSAGE)), Err(Reason::BadSignature));
        assert_eq!(verify(&key.blob("two-key", b"messagf")), Err(Reason::BadSignature));
    }
}

#[test]
fn presence_is_what_the_flags_say_and_flags_are_signed() {
    for (flags, presence) in
        [(0, Presence::NotShown), (1, Presence::Touched), (4, Presence::NotShown), (5, Presence::Verified)]
    {
        for form in [SignatureForm::Authenticator { flags }, SignatureForm::Browser(Browser { flags, ..PHONE })] {
            let key = P256::new(3, form);
            let mut blob = key.blob("two-key", MESSAGE);
            assert_eq!(verify(&blob), Ok(presence), "{flags}");
            let at = blob.windows(5).rposition(|window| window == [flags, 0, 0, 0, 7]).unwrap();
            blob[at] ^= 1;
            assert_eq!(verify(&blob), Err(Reason::BadSignature), "{flags}");
        }
    }
}

#[test]
fn no_byte_can_change() {
    for key in keys() {
        let honest = key.blob("two-key", MESSAGE);
        for at in 0..honest.len() {
            let mut altered = honest.clone();
            altered[at] ^= 1;
            assert!(verify(&altered).is_err(), "byte {at}");
            assert_eq!(verify(&honest[..at]), Err(Reason::Malformed), "cut at {at}");
        }
        assert_eq!(verify(&[&honest[..], b"\0"].concat()), Err(Reason::Malformed));
    }
}

/// ECDSA cannot help it: so nothing may take a signature's bytes for an identity, and votes are by key.
#[test]
fn a_signature_has_a_twin_that_verifies_too() {
    for key in keys() {
        let blob = key.blob_with("two-key", MESSAGE, |signature| {
            let (r, s) = twin(signature).split_bytes();
            strings(&[&mpint(&r), &mpint(&s)])
        });
        assert_ne!(blob, key.blob("two-key", MESSAGE));
        assert!(verify(&blob).is_ok());
    }
}

#[test]
fn the_two_numbers_have_one_spelling_and_are_in_range() {
    for key in keys() {
        let with = |r: &[u8], s: &[u8]| verify(&key.blob_with("two-key", MESSAGE, |_| strings(&[r, s])));
        let own = |write: Write| {
            verify(&key.blob_with("two-key", MESSAGE, |signature| {
                let (r, s) = signature.split_bytes();
                write(&mpint(&r), &mpint(&s))
            }))
        };
        let n = mpint(&N);
        assert!(own(|r, s| strings(&[r, s])).is_ok());
        for (what, verdict, reason) in [
            ("zeros before r", own(|r, s| strings(&[&longer(r), s])), Reason::Malformed),
            ("zeros before s", own(|r, s| strings(&[r, &longer(s)])), Reason::Malformed),
            ("something after s", own(|r, s| strings(&[r, s, b""])), Reason::Malformed),
            ("no s", own(|r, _| strings(&[r])), Reason::Malformed),
            ("swapped", own(|r, s| strings(&[s, r])), Reason::BadSignature),
            ("negative", with(&[0x80], b"\x01"), Reason::Malformed),
            ("33 digits", with(&[&[1][..], &[0; 32]].concat(), b"\x01"), Reason::Malformed),
            ("zero spelled", with(b"\0", b"\x01"), Reason::Malformed),
            ("r = 0", with(b"", b"\x01"), Reason::BadSignature),
            ("s = 0", with(b"\x01", b""), Reason::BadSignature),
            ("r = n", with(&n, b"\x01"), Reason::BadSignature),
            ("s = n", with(b"\x01", &n), Reason::BadSignature),
            ("1, 1", with(b"\x01", b"\x01"), Reason::BadSignature),
        ] {
            assert_eq!(verdict, Err(reason), "{what}");
        }
    }
}

#[test]
fn a_browser_must_have_been_asked_for_this_message() {
    let signed = |change: &dyn Fn(&mut Browser)| {
        let mut browser = PHONE;
        change(&mut browser);
        verify(&P256::new(3, SignatureForm::Browser(browser)).blob("two-key", MESSAGE))
    };
    let text = |client_data: &'static str| signed(&|browser| browser.client_data = client_data);
    assert_eq!(signed(&|_| ()), Ok(Presence::Verified));
    // Older browsers say nothing of frames; others say more.
    for honest in [
        "{\"type\":\"webauthn.get\",\"challenge\":\"CHALLENGE\",\"origin\":\"https://two-key.example\"}",
        "{\"type\":\"webauthn.get\",\"challenge\":\"CHALLENGE\",\"origin\":\"https://two-key.example\",\"x\":{}}",
    ] {
        assert_eq!(text(honest), Ok(Presence::Verified), "{honest}");
    }
    for (what, client_data) in [
        ("enrolment", PHONE.client_data.replace(".get", ".create")),
        ("another challenge", PHONE.client_data.replace("CHALLENGE", "AAAA")),
        ("a challenge with more", PHONE.client_data.replace("CHALLENGE", "CHALLENGEA")),
        ("another origin", PHONE.client_data.replace("two-key.example", "evil.example")),
        ("a longer origin", PHONE.client_data.replace("two-key.example", "two-key.example.evil")),
        ("spaces", PHONE.client_data.replace(':', ": ")),
        ("a frame", PHONE.client_data.replace("false", "true")),
        ("cut short", PHONE.client_data.replace('}', "")),
        ("run on", PHONE.client_data.replace(",\"crossOrigin", "x,\"crossOrigin")),
        ("nothing", String::new()),
    ] {
        assert_eq!(text(client_data.leak()), Err(Reason::BadSignature), "{what}");
    }
    assert_eq!(signed(&|browser| browser.flags = 0x45), Err(Reason::BadSignature), "data of a new key");
    assert_eq!(signed(&|browser| browser.flags = 0x85), Err(Reason::BadSignature), "extensions that are not there");
    assert_eq!(signed(&|browser| browser.extensions = b"\xa0"), Err(Reason::BadSignature), "extensions not announced");
    let extended = |browser: &mut Browser| (browser.flags, browser.extensions) = (0x85, b"\xa0");
    assert_eq!(signed(&extended), Ok(Presence::Verified));
    for origin in ["", "https://a\"b", "https://a\\b", "https://a b", "https://a\nb"] {
        let client_data: &str = PHONE.client_data.replace(PHONE.origin, origin).leak();
        let change = |browser: &mut Browser| (browser.origin, browser.client_data) = (origin, client_data);
        assert_eq!(signed(&change), Err(Reason::BadSignature), "{origin:?}");
    }
}

#[test]
fn types_do_not_mix() {
    let [plain, authenticator, browser] = keys().map(|key| super::super::testing::parts(&key.blob("two-key", MESSAGE)));
    let ed25519 = super::super::testing::parts(&Key::hardware(3, 1).blob("two-key", MESSAGE));
    let with = |key: &[Vec<u8>], signature: &[Vec<u8>]| {
        let mut parts = signature.to_vec();
        parts[0].clone_from(&key[0]);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        verify(&[b"SSHSIG\0\0\0\x01", &strings(&parts)[..]].concat())
    };
    for (key, signature) in [
        (&plain, &authenticator),
        (&plain, &browser),
        (&plain, &ed25519),
        (&authenticator, &plain),
        (&authenticator, &ed25519),
        (&ed25519, &browser),
        (&ed25519, &authenticator),
        (&ed25519, &plain),
    ] {
        assert_eq!(with(key, signature), Err(Reason::Malformed));
    }
    // One type of key, two of signature: another application is another key.
    assert_eq!(with(&authenticator, &browser), Err(Reason::BadSignature));
    assert_eq!(with(&browser, &browser), Ok(Presence::Verified));
}
