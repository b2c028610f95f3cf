//! SSH signatures.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    model::{Reason, key::put_ssh_string},
    signature::{
        Presence,
        sshsig::SshSig,
        testing::{Key, armour, join, parts},
    },
};

const MESSAGE: &[u8] = b"message";

fn verify(blob: &[u8]) -> Result<Presence, Reason> {
    SshSig::from_blob(blob).and_then(|ssh| ssh.verify("two-key", MESSAGE)).map_err(|refusal| refusal.reason)
}

#[test]
fn presence_is_what_the_flags_say_and_flags_are_signed() {
    assert_eq!(verify(&Key::ssh(1).blob("two-key", MESSAGE)), Ok(Presence::None));
    for (flags, presence) in [
        (0, Presence::NotShown),
        (1, Presence::Touched),
        (4, Presence::NotShown),
        (5, Presence::Verified),
        (0xfe, Presence::NotShown),
        (0x09, Presence::Copied),
        (0x11, Presence::Copied),
        (0x1d, Presence::Copied),
        (0x18, Presence::NotShown),
        (0xe7, Presence::Verified),
        (0xff, Presence::Copied),
    ] {
        let blob = Key::hardware(1, flags).blob("two-key", MESSAGE);
        assert_eq!(verify(&blob), Ok(presence), "{flags:x}");
        let mut claimed = blob;
        let at = claimed.len() - 5;
        claimed[at] ^= 1;
        assert_eq!(verify(&claimed), Err(Reason::BadSignature), "{flags:x}");
    }
}

#[test]
fn one_secret_in_two_wrappings_is_one_raw_key() {
    let (soft, hard) = (Key::ssh(1), Key::hardware(1, 1));
    let soft = SshSig::from_blob(&soft.blob("two-key", MESSAGE)).unwrap();
    let hard = SshSig::from_blob(&hard.blob("two-key", MESSAGE)).unwrap();
    assert_eq!(soft.key().raw(), hard.key().raw());
    assert_ne!(soft.key(), hard.key());
}

#[test]
fn another_namespace_or_message_is_a_bad_signature() {
    for namespace in ["git", "file", "", "two-key ", "two-ke"] {
        assert_eq!(verify(&Key::ssh(1).blob(namespace, MESSAGE)), Err(Reason::BadSignature), "{namespace}");
    }
    assert_eq!(verify(&Key::ssh(1).blob("two-key", b"messagf")), Err(Reason::BadSignature));
}

#[test]
fn every_field_is_strict() {
    let honest = Key::ssh(1).blob("two-key", MESSAGE);
    let [key, namespace, reserved, hash, signature] = &parts(&honest)[..] else { panic!() };
    let blob = |key: &[u8], reserved: &[u8], hash: &[u8], signature: &[u8]| {
        join(&[key.to_vec(), namespace.clone(), reserved.to_vec(), hash.to_vec(), signature.to_vec()])
    };
    assert!(verify(&blob(key, reserved, hash, signature)).is_ok());

    let mut longer = signature.clone();
    longer.push(0);
    let (short, mut rsa) = (&signature[..signature.len() - 1], Vec::new());
    put_ssh_string(&mut rsa, b"ssh-rsa");
    let hard = Key::hardware(1, 1);
    let hard_parts = parts(&hard.blob("two-key", MESSAGE));
    let mut weak = Vec::new();
    put_ssh_string(&mut weak, b"ssh-ed25519");
    put_ssh_string(&mut weak, &[&[1][..], &[0; 31]].concat());
    let cases = [
        ("magic", [b"SSHSIH", &honest[6..]].concat(), Reason::Malformed),
        ("version", [b"SSHSIG\0\0\0\x02", &honest[10..]].concat(), Reason::Malformed),
        ("reserved", blob(key, b"x", hash, signature), Reason::Malformed),
        ("hash md5", blob(key, reserved, b"md5", signature), Reason::Malformed),
        ("hash not the signed", blob(key, reserved, b"sha256", signature), Reason::BadSignature),
        ("trailing", [&honest[..], b"\0"].concat(), Reason::Malformed),
        ("trailing in the signature", blob(key, reserved, hash, &longer), Reason::Malformed),
        ("short signature", blob(key, reserved, hash, short), Reason::Malformed),
        ("trailing in the key", blob(&[&key[..], b"\0"].concat(), reserved, hash, signature), Reason::Malformed),
        ("another type", blob(&hard_parts[0], reserved, hash, signature), Reason::Malformed),
        ("the other type", blob(key, reserved, hash, &hard_parts[4]), Reason::Malformed),
        (
            "no counter",
            blob(&hard_parts[0], reserved, hash, &hard_parts[4][..hard_parts[4].len() - 1]),
            Reason::Malformed,
        ),
        (
            "no flags",
            blob(&hard_parts[0], reserved, hash, &hard_parts[4][..hard_parts[4].len() - 5]),
            Reason::Malformed,
        ),
        ("rsa", blob(&rsa, reserved, hash, signature), Reason::BadSignature),
        ("small order key", blob(&weak, reserved, hash, signature), Reason::BadSignature),
        ("another key", blob(&Key::ssh(2).public.blob(), reserved, hash, signature), Reason::BadSignature),
        ("empty", Vec::new(), Reason::Malformed),
    ];
    for (what, blob, reason) in cases {
        assert_eq!(verify(&blob), Err(reason), "{what}");
    }
    for end in 0..honest.len() {
        assert_eq!(verify(&honest[..end]), Err(Reason::Malformed), "cut at {end}");
    }
}

#[test]
fn armour_may_be_wrapped_anew_but_holds_nothing_else() {
    let base64 = STANDARD.encode(Key::ssh(1).blob("two-key", MESSAGE));
    let good = armour(&base64, 70);
    let original = SshSig::from_armour(&good).unwrap();
    for width in [1, 64, 70, 76] {
        assert_eq!(SshSig::from_armour(&armour(&base64, width)).unwrap(), original, "{width}");
    }
    assert_eq!(SshSig::from_armour(good.trim_end()).unwrap(), original);
    for bad in [
        armour(&base64, 77),
        good.replace('\n', "\r\n"),
        format!("{good}\n"),
        format!("\n{good}"),
        format!("{good}{good}"),
        good.replace("-----\n", "-----\n\n"),
        good.replace("-----\n", "----- \n"),
        good.replacen("U1N", "U1N ", 1),
        good.replacen("U1N", "U1N=", 1),
        good.replace("SSH SIG", "PGP SIG"),
        armour(&"A".repeat(17 * 1024), 70),
        String::new(),
    ] {
        assert_eq!(SshSig::from_armour(&bad).unwrap_err().reason, Reason::Malformed, "{bad}");
    }
}
