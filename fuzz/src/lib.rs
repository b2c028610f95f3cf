//! What each fuzz target does with its bytes: one function a parser, and one for the fold. None may panic; what reads
//! must say the same when it is written again, and a ledger may never say more than its votes.
//!
//! The usual tests run the same functions over the seeds (`tests/fuzz_seeds.rs`), so they also build without a
//! fuzzer. Run one with: `cargo +nightly fuzz run sshsig fuzz/corpus/sshsig tests/hostile/sshsig`.

mod fold;

use git_two_key::{
    model::{PrincipalId, PublicKey, Statement, lease as leases, policy as policies},
    signature::{
        ObjectFormat, Opened,
        attestation::{Attestation, Issuer, Root},
        links,
        minisign::Minisig,
        open_commit, open_note, parse_tag,
        sshsig::SshSig,
    },
};

pub use fold::{fold, honest};

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

/// A raw commit.
pub fn commit(data: &[u8]) {
    for format in FORMATS {
        let _ = links(data, format);
        if let Opened::Carrier { statement: stated, votes } = open_commit(data, format) {
            assert!(!votes.is_empty(), "a carrier has votes");
            statement(stated.text().as_bytes());
            for vote in votes.iter().flatten() {
                assert!(vote.statement().lease() == stated.lease());
                assert!(Statement::parse(&vote.statement().text()).as_ref() == Ok(vote.statement()));
            }
        }
    }
}

/// A raw tag.
pub fn tag(data: &[u8]) {
    for format in FORMATS {
        if let Ok(tag) = parse_tag(data, format) {
            assert!(!tag.name.is_empty() && !tag.name.contains('\n'));
        }
    }
}

/// An SSH signature: armour, base64 or binary.
pub fn sshsig(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = [SshSig::from_blob(data), SshSig::from_armour(&text), SshSig::from_base64(&text)];
    for ssh in read.into_iter().flatten() {
        assert!(SshSig::from_base64(&ssh.base64()).as_ref() == Ok(&ssh), "it reads back");
        assert!(ssh.verify("two-key", b"nobody signed this").is_err());
    }
}

/// A minisign signature file.
pub fn minisign(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for minisig in [Minisig::parse(&text), Minisig::from_base64(&text)].into_iter().flatten() {
        assert!(Minisig::from_base64(&minisig.base64()).is_ok_and(|again| again.base64() == minisig.base64()));
    }
}

/// What ssh-keygen wrote of a new key, or an issuer's certificate.
pub fn attestation(data: &[u8]) {
    const KEY: &str = "sk-ssh-ed25519@openssh.com \
        AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIsAAAABHNzaDo=";
    let _ = Root::from_pem(data);
    if let (Ok(read), Ok(key)) = (Attestation::read(data), PublicKey::parse(KEY)) {
        assert!(read.check(&key, b"a challenge that nobody was given", Issuer::Anybody).is_err());
    }
}

/// A note.
pub fn note(data: &[u8]) {
    if let Some(user1) = PrincipalId::parse("user1") {
        for entry in open_note(data, &user1, &[]) {
            if let Ok(vote) = &entry.opened {
                assert!(vote.seal_line().is_some(), "what is in a note can be sealed");
            }
        }
    }
}

/// A statement.
pub fn statement(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(statement) = Statement::parse(text) {
        assert_eq!(statement.text(), text, "one meaning has one spelling");
    }
}

/// A policy file.
pub fn policy(data: &[u8]) {
    if let Ok(policy) = policies::read(data) {
        let again = policies::read(policies::write(policy.get()).as_bytes());
        assert!(again.is_ok_and(|again| again.get() == policy.get()), "it reads back");
    }
}

/// A lease file.
pub fn lease(data: &[u8]) {
    if let Ok(lease) = leases::read(data) {
        let again = leases::read(leases::write(lease.get()).as_bytes());
        assert!(again.is_ok_and(|again| again.get() == lease.get()), "it reads back");
    }
}
