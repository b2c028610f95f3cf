//! Public keys: one raw Ed25519 key, in one of three wrappings.
//!
//! A key *is* its 32 raw bytes. The wrapping says which program signs with it and what its signatures look like,
//! but never makes a second key out of one secret. Key types are an enumeration: `ecdsa-sha2-nistp256` and its
//! `sk-` form are reserved.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::STANDARD_NO_PAD};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::oid::{hex_decode, hex_encode};

/// SSH's name of a plain Ed25519 key.
const SSH: &str = "ssh-ed25519";
/// SSH's name of an Ed25519 key on a FIDO authenticator.
const SK_SSH: &str = "sk-ssh-ed25519@openssh.com";

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The first word names a type that is not supported.
    #[error("`{0}` keys are not supported; use ssh-ed25519, sk-ssh-ed25519@openssh.com or minisign")]
    Unsupported(String),
    /// The encoding is broken or holds more than a key.
    #[error("not a public key: {0}")]
    Encoding(&'static str),
    /// The 32 bytes are not a point that signatures can be trusted under.
    #[error("the key is not a usable Ed25519 point (small order or non-canonical)")]
    Weak,
}

/// The 32 bytes of an Ed25519 public key: what a key is, whatever its wrapping.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RawKey([u8; 32]);

impl RawKey {
    /// Takes 32 bytes that are the canonical encoding of a point not of small order.
    pub fn new(bytes: [u8; 32]) -> Result<Self, KeyError> {
        // y >= 2^255 - 19 is a second spelling of a smaller y.
        let overflow = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|b| *b == 0xff) && bytes[0] >= 0xed;
        let point = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Weak)?;
        if overflow || point.is_weak() { Err(KeyError::Weak) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RawKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex_encode(&self.0))
    }
}

impl TryFrom<String> for RawKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = hex_decode(&text).and_then(|bytes| bytes.try_into().ok()).ok_or("a raw key is 64 hex digits")?;
        Self::new(bytes).map_err(|error| error.to_string())
    }
}

impl From<RawKey> for String {
    fn from(key: RawKey) -> Self {
        hex_encode(&key.0)
    }
}

/// How a raw key is wrapped, hence which program signs with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrapping {
    /// `ssh-ed25519`: a software key.
    Ssh,
    /// `sk-ssh-ed25519@openssh.com`: a key on a FIDO authenticator, for one application string.
    SkSsh {
        /// What the authenticator was told at enrolment, usually `ssh:`.
        application: String,
    },
    /// A minisign key, with the id that its signatures carry.
    Minisign {
        /// Eight random bytes, little-endian as in the file.
        key_id: [u8; 8],
    },
}

/// A public key in its wrapping.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    raw: RawKey,
    wrapping: Wrapping,
}

impl PublicKey {
    /// Reads a key as policies write it: `ssh-ed25519 AAAA…`, `sk-ssh-ed25519@openssh.com AAAA…` or `minisign RWQ…`.
    /// A comment after an SSH key is allowed and dropped.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let kind = words.next().ok_or(KeyError::Encoding("it is empty"))?;
        let body = words.next();
        match kind {
            SSH | SK_SSH => {
                let key = Self::from_bare_ssh(body.ok_or(KeyError::Encoding("the base64 part is missing"))?)?;
                if key.ssh_type() == Some(kind) {
                    Ok(key)
                } else {
                    Err(KeyError::Encoding("its type is not the one it holds"))
                }
            }
            "minisign" if words.next().is_some() => Err(KeyError::Encoding("text after the key")),
            "minisign" => Self::from_bare_minisign(body.ok_or(KeyError::Encoding("the base64 part is missing"))?),
            other => Err(KeyError::Unsupported(other.chars().take(40).collect())),
        }
    }

    /// Reads the base64 part of an SSH public key line.
    pub fn from_bare_ssh(base64: &str) -> Result<Self, KeyError> {
        let blob = STANDARD.decode(base64).map_err(|_| KeyError::Encoding("bad base64"))?;
        Self::from_ssh_blob(&blob)
    }

    /// Reads the base64 line of a minisign public key file: `Ed`, key id, raw key.
    pub fn from_bare_minisign(base64: &str) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(base64).map_err(|_| KeyError::Encoding("bad base64"))?;
        let (Some(b"Ed"), Some(id), Some(raw), 42) = (bytes.get(..2), bytes.get(2..10), bytes.get(10..), bytes.len())
        else {
            return Err(KeyError::Encoding("a minisign key is 42 bytes that begin with `Ed`"));
        };
        let key_id = id.try_into().map_err(|_| KeyError::Encoding("a key id has eight bytes"))?;
        Ok(Self { raw: raw_key(raw)?, wrapping: Wrapping::Minisign { key_id } })
    }

    /// Reads an SSH wire-format public key (RFC 4253 section 6.6, RFC 8709, OpenSSH's PROTOCOL.u2f).
    pub fn from_ssh_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let truncated = KeyError::Encoding("truncated");
        let (kind, rest) = ssh_string(blob).ok_or(truncated.clone())?;
        let (raw, rest) = match kind {
            b"ssh-ed25519" | b"sk-ssh-ed25519@openssh.com" => ssh_string(rest).ok_or(truncated.clone())?,
            other => return Err(KeyError::Unsupported(String::from_utf8_lossy(other).chars().take(40).collect())),
        };
        let raw = raw_key(raw)?;
        if kind == SSH.as_bytes() {
            return if rest.is_empty() {
                Ok(Self { raw, wrapping: Wrapping::Ssh })
            } else {
                Err(KeyError::Encoding("trailing bytes"))
            };
        }
        let (application, rest) = ssh_string(rest).ok_or(truncated)?;
        if !rest.is_empty() {
            return Err(KeyError::Encoding("trailing bytes"));
        }
        let printable = application.len() <= 255 && application.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(application).ok().filter(|_| printable);
        let application = text.ok_or(KeyError::Encoding("its application is not printable"))?.to_owned();
        Ok(Self { raw, wrapping: Wrapping::SkSsh { application } })
    }

    /// The raw key: the identity.
    pub fn raw(&self) -> RawKey {
        self.raw
    }

    /// The wrapping.
    pub fn wrapping(&self) -> &Wrapping {
        &self.wrapping
    }

    /// Whether a FIDO authenticator holds the secret, as far as the wrapping says.
    pub fn is_hardware(&self) -> bool {
        matches!(self.wrapping, Wrapping::SkSsh { .. })
    }

    /// SSH's name of the key type, if it is an SSH key.
    pub fn ssh_type(&self) -> Option<&'static str> {
        match self.wrapping {
            Wrapping::Ssh => Some(SSH),
            Wrapping::SkSsh { .. } => Some(SK_SSH),
            Wrapping::Minisign { .. } => None,
        }
    }

    /// The bytes of the public key line's base64 part: SSH wire format, or minisign's 42 bytes.
    pub fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        match &self.wrapping {
            Wrapping::Ssh => {
                put_ssh_string(&mut blob, SSH.as_bytes());
                put_ssh_string(&mut blob, &self.raw.0);
            }
            Wrapping::SkSsh { application } => {
                put_ssh_string(&mut blob, SK_SSH.as_bytes());
                put_ssh_string(&mut blob, &self.raw.0);
                put_ssh_string(&mut blob, application.as_bytes());
            }
            Wrapping::Minisign { key_id } => {
                blob.extend_from_slice(b"Ed");
                blob.extend_from_slice(key_id);
                blob.extend_from_slice(&self.raw.0);
            }
        }
        blob
    }

    /// The base64 part of the public key line.
    pub fn bare(&self) -> String {
        STANDARD.encode(self.blob())
    }

    /// The key as policies write it, without a comment.
    pub fn line(&self) -> String {
        format!("{} {}", self.ssh_type().unwrap_or("minisign"), self.bare())
    }

    /// The fingerprint that people compare.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(match self.wrapping {
            Wrapping::Minisign { key_id } => format!("minisign:{:016X}", u64::from_le_bytes(key_id)),
            _ => format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(self.blob()))),
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

impl TryFrom<String> for PublicKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|error| error.to_string())
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.line()
    }
}

/// The fingerprint of a key in its wrapping: `SHA256:<43 base64>` as ssh-keygen prints it, or
/// `minisign:<16 upper-case hex>` as minisign does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Takes a text in one of the two forms.
    pub fn parse(text: &str) -> Option<Self> {
        let ssh = |rest: &str| rest.len() == 43 && STANDARD_NO_PAD.decode(rest).is_ok_and(|bytes| bytes.len() == 32);
        let minisign = |rest: &str| rest.len() == 16 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
        let good =
            text.strip_prefix("SHA256:").is_some_and(ssh) || text.strip_prefix("minisign:").is_some_and(minisign);
        good.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| "a fingerprint is `SHA256:…` or `minisign:…`".to_owned())
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

/// Splits one length-prefixed string off SSH wire format.
pub(crate) fn ssh_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Appends one length-prefixed string in SSH wire format.
pub(crate) fn put_ssh_string(out: &mut Vec<u8>, string: &[u8]) {
    let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(string);
}

/// Checks the 32 bytes of a raw key.
fn raw_key(bytes: &[u8]) -> Result<RawKey, KeyError> {
    RawKey::new(bytes.try_into().map_err(|_| KeyError::Encoding("an Ed25519 key has 32 bytes"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn an_ssh_key_reads_back_and_its_comment_is_dropped() {
        let key = PublicKey::parse(&format!("{KEY} user1@example")).unwrap();
        assert_eq!(key.line(), KEY);
        assert_eq!(PublicKey::from_ssh_blob(&key.blob()).unwrap(), key);
        assert!(Fingerprint::parse(key.fingerprint().as_str()).is_some());
    }

    #[test]
    fn one_raw_key_in_two_wrappings_is_one_key() {
        let ssh = PublicKey::parse(KEY).unwrap();
        let sk = PublicKey { raw: ssh.raw, wrapping: Wrapping::SkSsh { application: "ssh:".into() } };
        assert_eq!(PublicKey::parse(&sk.line()).unwrap(), sk);
        assert_eq!(sk.raw(), ssh.raw());
        assert_ne!(sk.fingerprint(), ssh.fingerprint());
    }

    #[test]
    fn the_type_word_must_be_the_type_within() {
        let body = KEY.split(' ').nth(1).unwrap();
        assert!(PublicKey::parse(&format!("sk-ssh-ed25519@openssh.com {body}")).is_err());
        assert!(matches!(PublicKey::parse("ssh-rsa AAAA"), Err(KeyError::Unsupported(_))));
        assert!(matches!(PublicKey::parse("ecdsa-sha2-nistp256 AAAA"), Err(KeyError::Unsupported(_))));
    }

    #[test]
    fn weak_and_non_canonical_points_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(RawKey::new(identity), Err(KeyError::Weak));
        assert_eq!(RawKey::new([0; 32]), Err(KeyError::Weak));
        let mut beyond = [0xff; 32];
        beyond[31] = 0x7f;
        for low in 0xed..=0xff {
            beyond[0] = low;
            assert_eq!(RawKey::new(beyond), Err(KeyError::Weak), "{low:x}");
        }
    }
}
