//! Keys whose secrets the tests have, signing as ssh-keygen and FIDO authenticators do.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use git_two_key::model::PublicKey;
use sha2::{Digest as _, Sha256, Sha512};

/// Appends a length-prefixed string.
pub(crate) fn put(out: &mut Vec<u8>, string: &[u8]) {
    out.extend_from_slice(&u32::try_from(string.len()).unwrap().to_be_bytes());
    out.extend_from_slice(string);
}

/// Length-prefixed strings, one after another.
pub(crate) fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        put(&mut out, part);
    }
    out
}

/// A key, and what it signs unlike others. Every field is what goes into the blob, so that a test can make it wrong.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) secret: SigningKey,
    pub(crate) flags: Option<u8>,
    pub(crate) version: u32,
    pub(crate) reserved: Vec<u8>,
    pub(crate) hash: &'static str,
    pub(crate) public: Vec<u8>,
}

impl Key {
    pub(crate) fn ssh(seed: u8) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let public = strings(&[b"ssh-ed25519", secret.verifying_key().as_bytes()]);
        Self { secret, flags: None, version: 1, reserved: Vec::new(), hash: "sha512", public }
    }

    pub(crate) fn hardware(seed: u8, flags: u8) -> Self {
        let key = Self::ssh(seed);
        let raw = key.secret.verifying_key();
        let public = strings(&[b"sk-ssh-ed25519@openssh.com", raw.as_bytes(), b"ssh:"]);
        Self { flags: Some(flags), public, ..key }
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey::from_ssh_blob(&self.public).unwrap()
    }

    /// The innermost signature: type, 64 bytes, and an authenticator's flags and counter.
    fn signature(&self, namespace: &str, message: &[u8]) -> Vec<u8> {
        let digest =
            if self.hash == "sha256" { Sha256::digest(message).to_vec() } else { Sha512::digest(message).to_vec() };
        let parts = strings(&[namespace.as_bytes(), &self.reserved, self.hash.as_bytes(), &digest]);
        let signed = [b"SSHSIG", &parts[..]].concat();
        let Some(flags) = self.flags else {
            return strings(&[b"ssh-ed25519", &self.secret.sign(&signed).to_bytes()]);
        };
        let counter = 7_u32.to_be_bytes();
        let outer = [&Sha256::digest(b"ssh:")[..], &[flags], &counter, &Sha256::digest(&signed)].concat();
        let signature = strings(&[b"sk-ssh-ed25519@openssh.com", &self.secret.sign(&outer).to_bytes()]);
        [&signature[..], &[flags], &counter].concat()
    }

    /// The SSHSIG blob.
    pub(crate) fn blob(&self, namespace: &str, message: &[u8]) -> Vec<u8> {
        self.blob_around(namespace, &self.signature(namespace, message))
    }

    /// The SSHSIG blob around an innermost signature.
    pub(crate) fn blob_around(&self, namespace: &str, signature: &[u8]) -> Vec<u8> {
        let parts = strings(&[&self.public, namespace.as_bytes(), &self.reserved, self.hash.as_bytes(), signature]);
        [b"SSHSIG", &self.version.to_be_bytes()[..], &parts].concat()
    }

    /// The armour around the blob.
    pub(crate) fn armour(&self, namespace: &str, message: &[u8]) -> String {
        armour(&self.blob(namespace, message))
    }

    /// Signs a raw commit as Git does.
    pub(crate) fn commit(&self, unsigned: &[u8], header: &str) -> Vec<u8> {
        let end = unsigned.windows(2).position(|pair| pair == b"\n\n").unwrap() + 1;
        let folded = self.armour("git", unsigned).trim_end().replace('\n', "\n ");
        [&unsigned[..end], format!("{header} {folded}\n").as_bytes(), &unsigned[end..]].concat()
    }
}

/// Armour as ssh-keygen writes it.
pub(crate) fn armour(blob: &[u8]) -> String {
    let base64 = STANDARD.encode(blob);
    let lines: Vec<&str> = base64.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}
