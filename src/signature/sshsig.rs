//! SSH signatures (OpenSSH's PROTOCOL.sshsig), read strictly from raw bytes and verified in-process.
//!
//! ```text
//! "SSHSIG"  uint32 version = 1  string public key  string namespace  string reserved = ""
//! string hash = "sha256" | "sha512"  string signature
//! ```
//!
//! The key and the signature are `ssh-ed25519` or `sk-ssh-ed25519@openssh.com` (PROTOCOL.u2f), both the same.
//! Nothing may follow anything. A signature over other bytes, for another namespace or by a key of another type is
//! `bad-signature`; bytes that are no SSH signature at all are `malformed`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256, Sha512};

use super::Presence;
use crate::model::{
    PublicKey, Reason, Refusal, Wrapping,
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
/// The bit that says that somebody touched the authenticator.
const USER_PRESENT: u8 = 0x01;

/// A well-formed SSH signature. Nothing is known yet about what it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSig {
    key: PublicKey,
    namespace: Vec<u8>,
    hash: Hash,
    signature: Signature,
    /// Flags and counter, for an authenticator's signature.
    authenticator: Option<(u8, u32)>,
    blob: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
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
        let hash = Hash::from_name(hash).ok_or_else(|| malformed("its hash is neither sha256 nor sha512"))?;
        let key = PublicKey::from_ssh_blob(key).map_err(|error| of_key(&error))?;
        let (signature, authenticator) = read_signature(&key, signature)?;
        Ok(Self { key, namespace: namespace.to_vec(), hash, signature, authenticator, blob: blob.to_vec() })
    }

    /// The key that the signature says made it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The binary form as base64 on one line: the armour's content.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.blob)
    }

    /// Checks that the key signed exactly these bytes for exactly this namespace.
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<Presence, Refusal> {
        if self.namespace != namespace.as_bytes() {
            return Err(bad(format!("it was made for another purpose than `{namespace}`")));
        }
        let mut signed = MAGIC.to_vec();
        put_ssh_string(&mut signed, namespace.as_bytes());
        put_ssh_string(&mut signed, b"");
        put_ssh_string(&mut signed, self.hash.name());
        put_ssh_string(&mut signed, &self.hash.digest(message));
        let presence = match (self.key.wrapping(), self.authenticator) {
            (Wrapping::SkSsh { application }, Some((flags, counter))) => {
                let mut outer = Sha256::digest(application).to_vec();
                outer.push(flags);
                outer.extend_from_slice(&counter.to_be_bytes());
                outer.extend_from_slice(&Sha256::digest(&signed));
                signed = outer;
                if flags & USER_PRESENT == 0 { Presence::NotShown } else { Presence::Touched }
            }
            _ => Presence::None,
        };
        VerifyingKey::from_bytes(self.key.raw().as_bytes())
            .and_then(|key| key.verify_strict(&signed, &self.signature))
            .map_err(|_| bad("it does not verify over these bytes"))?;
        Ok(presence)
    }
}

/// Reads the innermost signature, which must be of the key's own type.
fn read_signature(key: &PublicKey, bytes: &[u8]) -> Result<(Signature, Option<(u8, u32)>), Refusal> {
    let (kind, rest) = ssh_string(bytes).ok_or_else(|| malformed("its signature is cut short"))?;
    if Some(kind) != key.ssh_type().map(str::as_bytes) {
        return Err(malformed("its signature is of another type than its key"));
    }
    let (raw, rest) = ssh_string(rest).ok_or_else(|| malformed("its signature is cut short"))?;
    let raw = raw.try_into().map_err(|_| malformed("an Ed25519 signature has 64 bytes"))?;
    let authenticator = match (key.is_hardware(), rest) {
        (false, []) => None,
        (true, [flags, counter @ ..]) => {
            let counter = counter.try_into().map_err(|_| malformed("after its flags there are not four bytes"))?;
            Some((*flags, u32::from_be_bytes(counter)))
        }
        (true, []) => return Err(malformed("an authenticator's signature has flags and a counter")),
        (false, _) => return Err(malformed("bytes follow its signature")),
    };
    Ok((Signature::from_bytes(&raw), authenticator))
}

/// A key that is none is `malformed`; a type that is not verified, or a point that nothing can be trusted under, is
/// a signature that does not verify.
fn of_key(error: &KeyError) -> Refusal {
    match error {
        KeyError::Unsupported(_) | KeyError::Weak => bad(error.to_string()),
        KeyError::Encoding(_) => malformed(error.to_string()),
    }
}

fn bounded(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_TEXT { Err(malformed("it is longer than 16 KiB")) } else { Ok(()) }
}

fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the SSH signature is malformed: {what}"))
}

fn bad(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::BadSignature, format!("the SSH signature does not hold: {what}"))
}
