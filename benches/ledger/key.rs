//! Keys that are derived from their owners' names and sign as `ssh-keygen` does.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use git_two_key::model::{PrincipalId, PublicKey};
use sha2::{Digest as _, Sha256, Sha512};

/// A principal and its key.
pub struct Key {
    /// Whose it is.
    pub principal: PrincipalId,
    /// Its public half.
    pub public: PublicKey,
    secret: SigningKey,
}

impl Key {
    /// The key of somebody.
    pub fn of(name: &str) -> Self {
        let seed: [u8; 32] = Sha256::digest(format!("two-key bench key of {name}")).into();
        let secret = SigningKey::from_bytes(&seed);
        let mut blob = Vec::new();
        put(&mut blob, b"ssh-ed25519");
        put(&mut blob, secret.verifying_key().as_bytes());
        let public = PublicKey::from_ssh_blob(&blob).expect("a key that was just made");
        Self { principal: PrincipalId::parse(name).expect("a name"), public, secret }
    }

    /// The SSHSIG blob over a message, in base64.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> String {
        let mut signed = b"SSHSIG".to_vec();
        for part in [namespace.as_bytes(), b"", b"sha512", &Sha512::digest(message)] {
            put(&mut signed, part);
        }
        let mut signature = Vec::new();
        put(&mut signature, b"ssh-ed25519");
        put(&mut signature, &self.secret.sign(&signed).to_bytes());
        let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [&self.public.blob(), namespace.as_bytes(), b"", b"sha512", &signature] {
            put(&mut blob, part);
        }
        STANDARD.encode(blob)
    }

    /// The armour around a signature.
    pub fn armour(&self, namespace: &str, message: &[u8]) -> String {
        let base64 = self.sign(namespace, message);
        let lines: Vec<_> = base64.as_bytes().chunks(70).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    }

    /// A signature header's value: the armour, with its lines continued.
    pub fn header(&self, payload: &[u8]) -> String {
        self.armour("git", payload).trim_end().replace('\n', "\n ") + "\n"
    }

    /// The private key as OpenSSH writes it, without a passphrase.
    pub fn private_file(&self) -> String {
        let mut private = vec![0, 0, 0, 7, 0, 0, 0, 7];
        private.extend_from_slice(&self.public.blob());
        put(&mut private, &self.secret.to_keypair_bytes());
        put(&mut private, self.principal.as_str().as_bytes());
        for padding in 1.. {
            if private.len().is_multiple_of(8) {
                break;
            }
            private.push(padding);
        }
        let mut file = b"openssh-key-v1\0".to_vec();
        for part in [&b"none"[..], b"none", b""] {
            put(&mut file, part);
        }
        file.extend_from_slice(&1_u32.to_be_bytes());
        put(&mut file, &self.public.blob());
        put(&mut file, &private);
        let base64 = STANDARD.encode(file);
        let lines: Vec<_> = base64.as_bytes().chunks(70).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", lines.join("\n"))
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&u32::try_from(part.len()).expect("a short part").to_be_bytes());
    out.extend_from_slice(part);
}
