//! SSH signatures (OpenSSH's PROTOCOL.sshsig), read strictly from raw bytes and verified in-process.
//!
//! ```text
//! "SSHSIG"  uint32 version = 1  string public key  string namespace  string reserved = ""
//! string hash = "sha256" | "sha512"  string signature
//! ```
//!
//! The key and the signature are of one of the types in [`SSH_TYPES`](crate::model::key::SSH_TYPES), both the same; an
//! `sk-ecdsa-` key also signs through a browser. Nothing may follow anything. A signature over other bytes, for another namespace or by a key of another type is
//! `bad-signature`; bytes that are no SSH signature at all are `malformed`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256, Sha512};

use super::{
    Presence,
    inner::{Claim, Inner, Proof},
};
use crate::model::{
    PublicKey, Reason, Refusal,
    key::{KeyError, put_ssh_string, ssh_string},
};

/// The namespace of Git's own commit and tag signatures.
pub const GIT: &str = "git";
/// The namespace of signatures made for two-key governance and nothing else.
pub const TWO_KEY: &str = "two-key";

/// The longest armour or base64 text that is read, in bytes.
pub const MAX_TEXT: usize = 16 * 1024;

const MAGIC: &[u8] = b"SSHSIG";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// The longest base64 line within an armour. ssh-keygen writes 70, PEM writers 64 or 76.
const MAX_LINE: usize = 76;

/// A well-formed SSH signature. Nothing is known yet about what it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSig {
    key: PublicKey,
    namespace: Vec<u8>,
    hash: SshHash,
    inner: Inner,
    blob: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SshHash {
    Sha256,
    Sha512,
}

impl SshHash {
    fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"sha256" => Some(Self::Sha256),
            b"sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Sha256 => b"sha256",
            Self::Sha512 => b"sha512",
        }
    }

    fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }
}

impl SshSig {
    /// Reads the armour that ssh-keygen writes and Git stores: BEGIN line, base64 lines, END line. The last line feed
    /// may be missing.
    pub fn from_armour(text: &str) -> Result<Self, Refusal> {
        bounded(text)?;
        let body = text
            .strip_suffix('\n')
            .unwrap_or(text)
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_prefix('\n'))
            .and_then(|rest| rest.strip_suffix(END))
            .and_then(|rest| rest.strip_suffix('\n'))
            .ok_or_else(|| malformed("its armour does not have exactly one BEGIN and one END line"))?;
        if body.split('\n').any(|line| line.is_empty() || line.len() > MAX_LINE) {
            return Err(malformed("its armour has an empty line or one of more than 76 characters"));
        }
        Self::from_base64(&body.replace('\n', ""))
    }

    /// Reads the armour's content on one line.
    pub fn from_base64(text: &str) -> Result<Self, Refusal> {
        bounded(text)?;
        Self::from_blob(&STANDARD.decode(text).map_err(|_| malformed("its base64 is broken"))?)
    }

    /// Reads the binary form.
    pub fn from_blob(blob: &[u8]) -> Result<Self, Refusal> {
        let truncated = || malformed("it is cut short");
        let rest = blob.strip_prefix(MAGIC).ok_or_else(|| malformed("it does not begin with `SSHSIG`"))?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
        if u32::from_be_bytes(*version) != 1 {
            return Err(malformed("its version is not 1"));
        }
        let (key, rest) = ssh_string(rest).ok_or_else(truncated)?;
        let (namespace, rest) = ssh_string(rest).ok_or_else(truncated)?;
        let (reserved, rest) = ssh_string(rest).ok_or_else(truncated)?;
        let (hash, rest) = ssh_string(rest).ok_or_else(truncated)?;
        let (signature, rest) = ssh_string(rest).ok_or_else(truncated)?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow its end"));
        }
        if !reserved.is_empty() {
            return Err(malformed("its reserved field is not empty"));
        }
        let hash = SshHash::from_name(hash).ok_or_else(|| malformed("its hash is neither sha256 nor sha512"))?;
        let key = PublicKey::from_ssh_blob(key).map_err(|error| of_key(&error))?;
        let inner = Inner::read(&key, signature)?;
        Ok(Self { key, namespace: namespace.to_vec(), hash, inner, blob: blob.to_vec() })
    }

    /// The key that the signature says made it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The binary form as base64 on one line: the armour's content.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.blob)
    }

    /// How many bytes its binary form has.
    pub(super) fn weight(&self) -> usize {
        self.blob.len()
    }

    /// Checks that the key signed exactly these bytes for exactly this namespace.
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<Presence, Refusal> {
        self.claim(namespace, message)?.check().map(Proof::presence)
    }

    /// What the signature says: that the key signed exactly these bytes for exactly this namespace.
    pub(super) fn claim(&self, namespace: &str, message: &[u8]) -> Result<Claim, Refusal> {
        if self.namespace != namespace.as_bytes() {
            return Err(bad(format!("it was made for another purpose than `{namespace}`")));
        }
        let mut signed = MAGIC.to_vec();
        put_ssh_string(&mut signed, namespace.as_bytes());
        put_ssh_string(&mut signed, b"");
        put_ssh_string(&mut signed, self.hash.name());
        put_ssh_string(&mut signed, &self.hash.digest(message));
        self.inner.claim(&self.key, &signed)
    }
}

/// A key that is none is `malformed`; a type that is not verified, or a point that nothing can be trusted under, is
/// a signature that does not verify.
fn of_key(error: &KeyError) -> Refusal {
    match error {
        KeyError::Unsupported(_) | KeyError::Certificate | KeyError::Weak => bad(error.to_string()),
        KeyError::Encoding(_) => malformed(error.to_string()),
    }
}

fn bounded(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_TEXT { Err(malformed("it is longer than 16 KiB")) } else { Ok(()) }
}

pub(super) fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the SSH signature is malformed: {what}"))
}

pub(super) fn bad(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::BadSignature, format!("the SSH signature does not hold: {what}"))
}
