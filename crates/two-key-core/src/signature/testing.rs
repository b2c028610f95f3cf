//! Software keys that sign as ssh-keygen and FIDO authenticators do, and commits that are written by hand.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256, Sha512};

use super::{ObjectFormat, sshsig::SshSig};
use crate::model::{
    Digest, PrincipalId, PublicKey, Statement,
    key::{put_ssh_string, ssh_string},
};

/// A key whose secret the tests have.
pub(super) struct Key {
    secret: SigningKey,
    /// The flags byte that the authenticator signs, if this key pretends to be on one.
    flags: Option<u8>,
    pub(super) public: PublicKey,
}

impl Key {
    pub(super) fn ssh(seed: u8) -> Self {
        Self::new(seed, None)
    }

    pub(super) fn hardware(seed: u8, flags: u8) -> Self {
        Self::new(seed, Some(flags))
    }

    fn new(seed: u8, flags: Option<u8>) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let mut blob = Vec::new();
        put_ssh_string(&mut blob, kind(flags));
        put_ssh_string(&mut blob, secret.verifying_key().as_bytes());
        if flags.is_some() {
            put_ssh_string(&mut blob, b"ssh:");
        }
        Self { secret, flags, public: PublicKey::from_ssh_blob(&blob).unwrap() }
    }

    /// The SSHSIG blob over a message.
    pub(super) fn blob(&self, namespace: &str, message: &[u8]) -> Vec<u8> {
        let mut signed = b"SSHSIG".to_vec();
        for part in [namespace.as_bytes(), b"", b"sha512", &Sha512::digest(message)] {
            put_ssh_string(&mut signed, part);
        }
        if let Some(flags) = self.flags {
            let parts: [&[u8]; 4] =
                [&Sha256::digest(b"ssh:"), &[flags], &7_u32.to_be_bytes(), &Sha256::digest(&signed)];
            signed = parts.concat();
        }
        let mut signature = Vec::new();
        put_ssh_string(&mut signature, kind(self.flags));
        put_ssh_string(&mut signature, &self.secret.sign(&signed).to_bytes());
        if let Some(flags) = self.flags {
            signature.push(flags);
            signature.extend_from_slice(&7_u32.to_be_bytes());
        }
        let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [&self.public.blob(), namespace.as_bytes(), b"", b"sha512", &signature] {
            put_ssh_string(&mut blob, part);
        }
        blob
    }

    /// The SSHSIG blob in base64.
    pub(super) fn base64(&self, namespace: &str, message: &[u8]) -> String {
        STANDARD.encode(self.blob(namespace, message))
    }

    /// A sealed line over a statement.
    pub(super) fn seal(&self, principal: &str, statement: &Statement) -> String {
        let signature = self.base64("two-key", statement.text().as_bytes());
        format!("Two-Key-Cosignature: {principal} {} ssh {} {signature}", statement.action(), self.public.bare())
    }

    /// Signs a raw commit as Git does.
    pub(super) fn sign_commit(&self, unsigned: &[u8], format: ObjectFormat) -> Vec<u8> {
        with_header(unsigned, format.signature_header(), &armour(&self.base64("git", unsigned), 70))
    }
}

fn kind(flags: Option<u8>) -> &'static [u8] {
    if flags.is_some() { b"sk-ssh-ed25519@openssh.com" } else { b"ssh-ed25519" }
}

/// Wraps base64 in armour with lines of this width.
pub(super) fn armour(base64: &str, width: usize) -> String {
    let lines: Vec<&str> = base64.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

/// Puts a header at the end of a raw commit's headers.
pub(super) fn with_header(raw: &[u8], name: &str, value: &str) -> Vec<u8> {
    let end = raw.windows(2).position(|pair| pair == b"\n\n").unwrap() + 1;
    let header = format!("{name} {}\n", value.trim_end().replace('\n', "\n "));
    [&raw[..end], header.as_bytes(), &raw[end..]].concat()
}

/// The author and committer of commits that are written by hand.
pub(super) const WHO: &str = "User One <user1@example> 1761531600 +0100";

/// A raw commit without a signature.
pub(super) fn commit(message: &str) -> Vec<u8> {
    let (tree, parent) = ("1".repeat(40), "2".repeat(40));
    format!("tree {tree}\nparent {parent}\nauthor {WHO}\ncommitter {WHO}\n\n{message}").into_bytes()
}

/// A statement about one lease.
pub(super) fn statement(action: &str, lease: &str) -> Statement {
    let digest = Digest::of(lease.as_bytes());
    let tail = match action {
        "cosign" => format!("Two-Key-Digest: {digest}\n"),
        "start" => format!("Two-Key-Digest: {digest}\nTwo-Key-Step: 1\nTwo-Key-Tier: 5\n"),
        _ => "Two-Key-Nonce: 000102030405060708090a0b0c0d0e0f\n".to_owned(),
    };
    Statement::parse(&format!(
        "Two-Key-Statement: 1\nTwo-Key-Repository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\nTwo-Key-Action: {action}\n\
         Two-Key-Lease: {lease}\n{tail}"
    ))
    .unwrap()
}

/// A principal.
pub(super) fn principal(name: &str) -> PrincipalId {
    PrincipalId::parse(name).unwrap()
}

/// Splits an SSHSIG blob after its version into key, namespace, reserved, hash and signature.
pub(super) fn parts(blob: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &blob[10..];
    let mut parts = Vec::new();
    while let Some((part, more)) = ssh_string(rest) {
        parts.push(part.to_vec());
        rest = more;
    }
    assert!(rest.is_empty() && SshSig::from_blob(blob).is_ok());
    parts
}

/// Puts the five parts of an SSHSIG blob together.
pub(super) fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
    for part in parts {
        put_ssh_string(&mut blob, part);
    }
    blob
}
