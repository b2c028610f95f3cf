//! Keys on P-256: ssh-keygen is the oracle, both for what it signs and for what authenticators and browsers do.

use std::fs;

use git_two_key::{
    model::{PublicKey, Reason},
    push::signer_of,
    signature::{
        Carrier, ObjectFormat, Opened, Presence, detached_base64, open_commit, open_detached, statement_message,
    },
};

use super::world::{World, statement, user1};
use crate::{
    kit::nistp256::{Browser, P256, PHONE, SignatureForm, mpint, strings, twin},
    kit::software::armour,
};

fn public(key: &P256) -> PublicKey {
    PublicKey::parse(&key.line()).unwrap()
}

/// What ssh-keygen and this crate say of a signature over a cosignature.
fn verdicts(world: &World, key: &P256, blob: &[u8]) -> (bool, Result<Presence, Reason>) {
    let cosign = statement("cosign");
    fs::write(world.path("p256.sig"), armour(blob)).unwrap();
    fs::write(world.path("allowed"), format!("user1 {}\n", key.line())).unwrap();
    let args = ["-Y", "verify", "-f", "allowed", "-I", "user1", "-n", "two-key", "-s", "p256.sig"];
    let theirs = world.try_run("ssh-keygen", &args, cosign.text().as_bytes()).is_ok();
    let ours = detached_base64(&armour(blob)).map_err(|refusal| refusal.reason).and_then(|base64| {
        let vote = open_detached(&cosign, user1(), &public(key), &base64).map_err(|bad| bad.refusal.reason)?;
        Ok(vote.presence())
    });
    (theirs, ours)
}

#[test]
fn what_ssh_keygen_signs_on_p256_opens_in_commits_and_detached() {
    for world in World::both() {
        fs::remove_file(world.path("key")).unwrap();
        world.run("ssh-keygen", &["-q", "-t", "ecdsa", "-b", "256", "-N", "", "-C", "user1", "-f", "key"], b"");
        assert_eq!(world.key().ssh_type(), Some("ecdsa-sha2-nistp256"));
        let printed = String::from_utf8(world.run("ssh-keygen", &["-l", "-f", "key.pub"], b"")).unwrap();
        assert!(printed.contains(world.key().fingerprint().as_str()), "{printed}");
        let cosign = statement("cosign");
        // Numbers of every length and sign come up: half of them need a zero before, one in 256 is shorter.
        for _ in 0..8 {
            let base64 = detached_base64(&world.ssh_sign(&cosign.text(), "two-key")).unwrap();
            let vote = open_detached(&cosign, user1(), &world.key(), &base64).unwrap();
            assert_eq!((vote.carrier(), vote.presence()), (Carrier::Detached, Presence::None));
        }
        let message = statement_message(&statement("promote"), "go", Some(&user1()), None, None, &[]).unwrap();
        match open_commit(&world.signed(&message), world.format) {
            Opened::Carrier { own: Some(own), .. } => {
                assert_eq!(own.vote(|_| Ok(())).unwrap().key(), &world.key());
            }
            other => panic!("{other:?}"),
        }
        let ordinary = world.signed("a lease\n");
        assert_eq!(signer_of(&open_commit(&ordinary, world.format)), Some(world.key().raw()), "an ordinary commit");
    }
}

#[test]
fn authenticators_and_browsers_agree_with_ssh_keygen() {
    let world = World::new(ObjectFormat::Sha1);
    let cosign = statement("cosign").text();
    let browser = |change: &dyn Fn(&mut Browser)| {
        let mut browser = PHONE;
        change(&mut browser);
        P256::new(9, SignatureForm::Browser(browser))
    };
    let touched = Ok(Presence::Touched);
    for (what, key, verdict) in [
        ("plain", P256::new(9, SignatureForm::Plain), Ok(Presence::None)),
        ("untouched", P256::new(9, SignatureForm::Authenticator { flags: 0 }), Ok(Presence::NotShown)),
        ("touched", P256::new(9, SignatureForm::Authenticator { flags: 1 }), touched),
        ("verified", P256::new(9, SignatureForm::Authenticator { flags: 5 }), Ok(Presence::Verified)),
        ("verified, untouched", P256::new(9, SignatureForm::Authenticator { flags: 4 }), Ok(Presence::NotShown)),
        ("copied", P256::new(9, SignatureForm::Authenticator { flags: 0x19 }), Ok(Presence::Copied)),
        ("browser", browser(&|_| ()), Ok(Presence::Verified)),
        ("browser, copied", browser(&|browser| browser.flags = 0x1d), Ok(Presence::Copied)),
        ("browser, may be copied", browser(&|browser| browser.flags = 0x0d), Ok(Presence::Copied)),
        ("browser, untouched", browser(&|browser| browser.flags = 0), Ok(Presence::NotShown)),
        ("browser, extended", browser(&|b| (b.flags, b.extensions) = (0x81, b"\xa1\x63abc\xf5")), touched),
        ("browser, flags lie", browser(&|browser| browser.flags = 0x81), Err(Reason::BadSignature)),
        ("browser, enrolment", browser(&|browser| browser.flags = 0x41), Err(Reason::BadSignature)),
        ("browser, origin", browser(&|browser| browser.origin = "https://evil.example"), Err(Reason::BadSignature)),
        ("browser, text", browser(&|browser| browser.client_data = "{}"), Err(Reason::BadSignature)),
    ] {
        let blob = key.blob("two-key", cosign.as_bytes());
        assert_eq!(verdicts(&world, &key, &blob), (verdict.is_ok(), verdict), "{what}");
        let other = key.blob("two-key", b"other\n");
        assert_eq!(verdicts(&world, &key, &other), (false, Err(Reason::BadSignature)), "{what}");
        let twin = key.blob_with("two-key", cosign.as_bytes(), |signature| {
            let (r, s) = twin(signature).split_bytes();
            strings(&[&mpint(&r), &mpint(&s)])
        });
        assert_eq!(verdicts(&world, &key, &twin), (verdict.is_ok(), verdict), "the twin of {what}");
    }
}

/// Where this crate is stricter than ssh-keygen, it is on purpose.
#[test]
fn what_ssh_keygen_tolerates_on_p256_and_this_crate_does_not() {
    let world = World::new(ObjectFormat::Sha1);
    let cosign = statement("cosign").text();
    let plain = P256::new(9, SignatureForm::Plain);
    let zeros = plain.blob_with("two-key", cosign.as_bytes(), |signature| {
        let (r, s) = signature.split_bytes();
        strings(&[&[b"\0", &mpint(&r)[..]].concat(), &mpint(&s)])
    });
    let (_, ours) = verdicts(&world, &plain, &zeros);
    assert_eq!(ours, Err(Reason::Malformed), "a number that is not in its shortest form");
    let client_data = PHONE.client_data.replace("false", "true").leak();
    let framed = P256::new(9, SignatureForm::Browser(Browser { client_data, ..PHONE }));
    let blob = framed.blob("two-key", cosign.as_bytes());
    assert_eq!(verdicts(&world, &framed, &blob), (true, Err(Reason::BadSignature)), "a frame of another origin");
}
