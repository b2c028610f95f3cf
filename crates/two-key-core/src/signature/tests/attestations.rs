//! What authenticators say of new keys: each refusal beside the honest twin that differs from it by one thing.

use std::{collections::BTreeSet, fs, path::Path};

use super::authenticator::{
    BATCH, CHALLENGE, CRED_PROTECT, Certificate, Enrolment, FROM, MadeKey, Over, UNTIL, VENDOR, file, pem, secret,
};
use crate::{
    model::{PublicKey, Reason, Refusal},
    signature::attestation::{Attestation, AttestationRoot, Attested, Issuer, MAX_BYTES},
};

const KEY: MadeKey = MadeKey::Ed25519(7);
const NOW: u64 = 1_767_225_600;

fn vendor() -> AttestationRoot {
    AttestationRoot::from_pem(pem(&VENDOR.of(&secret(1), &secret(1))).as_bytes()).unwrap()
}

fn checked(file: &[u8], key: &MadeKey, issuer: Issuer<'_>) -> Result<Attested, Refusal> {
    Attestation::read(file)?.check(&PublicKey::parse(&key.line()).unwrap(), CHALLENGE, issuer)
}

fn honest() -> Enrolment {
    Enrolment::honest(KEY)
}

#[track_caller]
fn refused(result: Result<Attested, Refusal>, reason: Reason, words: &str) {
    let refusal = result.unwrap_err();
    assert_eq!((refusal.reason, refusal.message.contains(words)), (reason, true), "{refusal:?}");
}

#[test]
fn honest_attestations_hold_under_the_vendors_certificate() {
    let (ed25519, p256) = (KEY, MadeKey::P256(9));
    let plain = |made: &MadeKey| Enrolment { flags: 0x41, extensions: b"", ..Enrolment::honest(made.clone()) };
    let untold = Enrolment { certificate: Certificate { model: None, ..BATCH }.of(&secret(2), &secret(1)), ..honest() };
    let cases = [
        (honest(), "PIN, finger or face was checked"),
        (Enrolment::honest(p256.clone()), "PIN, finger or face was checked"),
        (plain(&ed25519), "no PIN"),
        (plain(&p256), "no PIN"),
        (untold, "5a5a5a5a"),
        (Enrolment::u2f(), "U2F"),
    ];
    for (enrolment, words) in cases {
        let attested = checked(&enrolment.file(), &enrolment.made, Issuer::Root(&vendor(), NOW)).unwrap();
        let text = attested.to_string();
        assert!(text.contains(words) && text.contains("that you named") && !text.contains("NOT CHECKED"), "{text}");
        assert_eq!(attested.label(), "attested: its certificate's issuer was checked");
    }
}

#[test]
fn without_the_vendors_certificate_it_says_that_nothing_of_hardware_is_shown() {
    let selfmade = Enrolment { certificate: VENDOR.of(&secret(3), &secret(3)), signer: secret(3), ..honest() };
    for enrolment in [honest(), selfmade.clone()] {
        let attested = checked(&enrolment.file(), &KEY, Issuer::Anybody).unwrap();
        let text = attested.to_string();
        assert!(text.contains("NOT CHECKED") && text.contains("--attestation-root"), "{text}");
        assert!(attested.label().contains("not checked"));
    }
    refused(
        checked(&selfmade.file(), &KEY, Issuer::Root(&vendor(), NOW)),
        Reason::BadSignature,
        "issuer that you named",
    );
}

/// Files that are refused, each for one thing; they lie in `tests/hostile/attestation`, where the fuzzers begin.
fn hostile() -> Vec<(&'static str, Vec<u8>, Reason, &'static str)> {
    let (honest, u2f) = (honest(), Enrolment::u2f());
    let parts = |magic: &[u8], data: &[u8]| file(magic, &honest.certificate, &honest.signature(), data);
    let (v01, data) = (&b"ssh-sk-attest-v01"[..], honest.data());
    let length = u8::try_from(data.len()).unwrap();
    let with = |prefix: &[u8]| parts(v01, &[prefix, &data[..]].concat());
    let whole = honest.file();
    let flipped = |at: usize| {
        let mut signature = honest.signature();
        signature[at] ^= 1;
        file(v01, &honest.certificate, &signature, &[&[0x58, length], &data[..]].concat())
    };
    let made = |enrolment: Enrolment| enrolment.file();
    let certified = |certificate: Vec<u8>| Enrolment { certificate, ..honest.clone() }.file();
    let own = Enrolment { flags: 0x41, extensions: b"", ..Enrolment::honest(KEY) };
    let (malformed, bad, hardware) = (Reason::Malformed, Reason::BadSignature, Reason::HardwareRequired);
    vec![
        ("empty", Vec::new(), malformed, "cut short"),
        ("cut-short", whole[..whole.len() - 1].to_vec(), malformed, "its end"),
        ("bytes-after", [&whole[..], b"\0"].concat(), malformed, "its end"),
        ("reserved-flag", [&whole[..whole.len() - 5], &[1, 0, 0, 0, 0]].concat(), malformed, "its end"),
        ("v00", parts(b"ssh-sk-attest-v00", &[]), malformed, "v00"),
        ("v02", parts(b"ssh-sk-attest-v02", &[]), malformed, "begin with"),
        ("data-not-wrapped", with(&[]), malformed, "byte string"),
        ("data-with-a-long-length", with(&[0x59, 0, length]), malformed, "shortest"),
        ("data-longer-than-it-says", with(&[0x58, length - 1]), malformed, "says"),
        ("data-cut-short", parts(v01, &[&[0x58, 40], &data[..40]].concat()), malformed, "cut short"),
        ("no-certificate", certified(Vec::new()), bad, "speaks for itself"),
        ("certificate-of-nothing", certified(vec![0x30, 0]), malformed, "certificate"),
        ("bytes-after-the-certificate", certified([&honest.certificate[..], b"\0"].concat()), malformed, "certificate"),
        ("certificate-of-another-key", certified(BATCH.of(&secret(4), &secret(1))), bad, "did not sign"),
        ("signature-altered", flipped(honest.signature().len() - 1), bad, "did not sign"),
        ("signature-is-not-der", flipped(0), bad, "did not sign"),
        ("another-challenge", made(Enrolment { challenge: b"an older challenge", ..honest.clone() }), bad, "challenge"),
        ("another-application", made(Enrolment { application: "ssh:x", ..honest.clone() }), bad, "application"),
        ("another-key", made(Enrolment { made: MadeKey::Ed25519(8), ..honest.clone() }), bad, "another key"),
        ("another-model", made(Enrolment { model: [0; 16], ..honest.clone() }), bad, "another model"),
        ("not-touched", made(Enrolment { flags: 0xc4, ..honest.clone() }), hardware, "touched"),
        ("copied-elsewhere", made(Enrolment { flags: 0xcd, ..honest.clone() }), hardware, "copied"),
        ("reserved-data-flag", made(Enrolment { flags: 0xc7, ..honest.clone() }), malformed, "reserved"),
        ("no-new-key", made(Enrolment { flags: 0x85, ..honest.clone() }), malformed, "no new key"),
        (
            "extensions-without-their-flag",
            made(Enrolment { flags: 0x45, ..honest.clone() }),
            malformed,
            "after its key",
        ),
        ("flag-without-extensions", made(Enrolment { extensions: b"", ..honest.clone() }), malformed, "after its key"),
        (
            "another-extension",
            made(Enrolment { extensions: b"\xa1\x61x\x03", ..honest.clone() }),
            malformed,
            "after its key",
        ),
        ("bytes-after-the-key", made(Enrolment { extensions: b"\0", ..own.clone() }), malformed, "after its key"),
        ("u2f-of-an-ed25519-key", made(Enrolment { over: Over::U2f, ..own }), bad, "did not sign"),
        ("u2f-with-a-pin", made(Enrolment { flags: 0x45, ..u2f.clone() }), bad, "did not sign"),
        (
            "u2f-with-an-extension",
            made(Enrolment { flags: 0xc1, extensions: CRED_PROTECT, ..u2f }),
            bad,
            "did not sign",
        ),
    ]
}

#[allow(clippy::disallowed_methods, reason = "the files are looked at as they lie there")]
#[test]
fn hostile_attestations_are_refused_and_lie_with_the_hostile_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hostile/attestation");
    let mut names = BTreeSet::from(["honest.attest".to_owned(), "honest-u2f.attest".to_owned()]);
    for (name, file, reason, words) in hostile() {
        let key = if name.starts_with("u2f-with") { MadeKey::P256(9) } else { KEY };
        refused(checked(&file, &key, Issuer::Anybody), reason, words);
        refused(checked(&file, &key, Issuer::Root(&vendor(), NOW)), reason, words);
        assert!(fs::read(folder.join(format!("{name}.attest"))).unwrap() == file, "{name}.attest is another file");
        names.insert(format!("{name}.attest"));
    }
    assert!(fs::read(folder.join("honest.attest")).unwrap() == honest().file());
    assert!(fs::read(folder.join("honest-u2f.attest")).unwrap() == Enrolment::u2f().file());
    let there = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.collect::<BTreeSet<_>>(), names);
}

#[test]
fn a_certificate_that_the_vendor_did_not_issue_so_is_refused() {
    let with = |certificate| Enrolment { certificate, ..honest() }.file();
    let root = vendor();
    let under = |certificate, now| checked(&with(certificate), &KEY, Issuer::Root(&root, now));
    let issued = BATCH.of(&secret(2), &secret(1));
    for (now, words) in [(FROM - 1, "CertNotValidYet"), (UNTIL + 1, "CertExpired")] {
        refused(under(issued.clone(), now), Reason::BadSignature, words);
    }
    under(issued.clone(), FROM).unwrap();
    under(issued, UNTIL).unwrap();
    // Another key under the vendor's name; another name under the vendor's key; one that certifies others.
    let forged = BATCH.of(&secret(2), &secret(3));
    refused(under(forged, NOW), Reason::BadSignature, "InvalidSignatureForPublicKey");
    let renamed = Certificate { issuer: "CN=Vendor 2", ..BATCH }.of(&secret(2), &secret(1));
    refused(under(renamed, NOW), Reason::BadSignature, "UnknownIssuer");
    let authority = Certificate { authority: true, ..BATCH }.of(&secret(2), &secret(1));
    refused(under(authority, NOW), Reason::BadSignature, "CaUsedAsEndEntity");
}

#[test]
fn only_an_authenticators_key_and_a_challenge_that_nobody_guesses_are_attested() {
    let read = Attestation::read(&honest().file()).unwrap();
    let key = PublicKey::parse(&KEY.line()).unwrap();
    let soft = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
    let blob = super::nistp256::strings(&[b"ssh-ed25519", soft.as_bytes()]);
    let plain = PublicKey::from_ssh_blob(&blob).unwrap();
    assert_eq!(plain.raw(), key.raw());
    refused(read.check(&plain, CHALLENGE, Issuer::Anybody), Reason::HardwareRequired, "sk-");
    read.check(&key, CHALLENGE, Issuer::Anybody).unwrap();
    let short = |challenge| Enrolment { challenge, ..honest() };
    let check =
        |challenge| Attestation::read(&short(challenge).file()).unwrap().check(&key, challenge, Issuer::Anybody);
    refused(check(b"15 bytes are it"), Reason::Malformed, "16 bytes");
    check(b"16 bytes are it!").unwrap();
}

#[test]
fn what_is_read_is_bounded() {
    let long = vec![0; MAX_BYTES + 1];
    let refusal = Attestation::read(&long).unwrap_err();
    assert!(refusal.reason == Reason::Malformed && refusal.message.contains("16 KiB"));
    let refusal = AttestationRoot::from_pem(&long).unwrap_err();
    assert!(refusal.reason == Reason::Malformed && refusal.message.contains("16 KiB"));
}

#[test]
fn an_issuers_file_holds_one_certificate() {
    let one = pem(&VENDOR.of(&secret(1), &secret(1)));
    AttestationRoot::from_pem(one.as_bytes()).unwrap();
    AttestationRoot::from_pem(format!("The vendor's, from its page\n\n{one}").as_bytes()).unwrap();
    for text in [String::new(), format!("{one}{one}"), one.replace("CERTIFICATE", "PUBLIC KEY"), pem(b"\x30\0")] {
        assert_eq!(AttestationRoot::from_pem(text.as_bytes()).unwrap_err().reason, Reason::Malformed, "{text}");
    }
}
