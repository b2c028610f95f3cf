//! Public keys: one raw key, on Ed25519 or P-256, in one of three wrappings.
//!
//! A key *is* its point. The wrapping says which program signs with it and what its signatures look like, but never
//! makes a second key out of one secret. Key types are an enumeration: curve and wrapping together give SSH's name.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

mod raw;

pub(crate) use raw::verifying_key;
pub use raw::{Point, RawKey};

/// SSH's name of a plain Ed25519 key.
const ED25519: &str = "ssh-ed25519";
/// SSH's name of an Ed25519 key on a FIDO authenticator.
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
/// SSH's name of a plain key on P-256 (RFC 5656).
const P256: &str = "ecdsa-sha2-nistp256";
/// SSH's name of a key on P-256 on a FIDO authenticator.
const SK_P256: &str = "sk-ecdsa-sha2-nistp256@openssh.com";
/// RFC 5656's name of P-256, within a key.
const NISTP256: &[u8] = b"nistp256";

/// SSH's names of the key types that are verified.
pub const SSH_TYPES: [&str; 4] = [ED25519, SK_ED25519, P256, SK_P256];

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The first word names a type that is not supported.
    #[error("`{kind}` keys are not supported; use {types}, or minisign", kind = .0, types = SSH_TYPES.join(", "))]
    Unsupported(String),
    /// The first word names a type of certificates.
    #[error("SSH certificates do not count; sign with the plain key")]
    Certificate,
    /// The encoding is broken or holds more than a key.
    #[error("not a public key: {0}")]
    Encoding(&'static str),
    /// The bytes are not a point that signatures can be trusted under.
    #[error("the key is not a usable point (not on its curve, with a part of small order, or non-canonical)")]
    Weak,
}

/// Why keys of a type are not taken.
fn unsupported(kind: &str) -> KeyError {
    if kind.contains("-cert-v01@") {
        return KeyError::Certificate;
    }
    KeyError::Unsupported(kind.chars().take(40).collect())
}

/// How a raw key is wrapped, hence which program signs with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrapping {
    /// `ssh-ed25519`, `ecdsa-sha2-nistp256`: a software key, or one in an enclave that says nothing of itself.
    Ssh,
    /// `sk-ssh-ed25519@openssh.com`, `sk-ecdsa-sha2-nistp256@openssh.com`: a key on a FIDO authenticator, for one
    /// application string.
    SkSsh {
        /// What the authenticator was told at enrolment, usually `ssh:`; where a browser enrolled it, a host name.
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
    /// Reads a key as policies write it: one of [`SSH_TYPES`] and its base64, or `minisign RWQ…`. A comment after an SSH
    /// key is allowed and dropped.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let kind = words.next().ok_or(KeyError::Encoding("it is empty"))?;
        let body = words.next();
        match kind {
            ED25519 | SK_ED25519 | P256 | SK_P256 => {
                let key = Self::from_bare_ssh(body.ok_or(KeyError::Encoding("the base64 part is missing"))?)?;
                if key.ssh_type() == Some(kind) {
                    Ok(key)
                } else {
                    Err(KeyError::Encoding("its type is not the one it holds"))
                }
            }
            "minisign" if words.next().is_some() => Err(KeyError::Encoding("text after the key")),
            "minisign" => Self::from_bare_minisign(body.ok_or(KeyError::Encoding("the base64 part is missing"))?),
            other => Err(unsupported(other)),
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
        Ok(Self { raw: raw_ed25519(raw)?, wrapping: Wrapping::Minisign { key_id } })
    }

    /// Reads an SSH wire-format public key (RFC 4253 section 6.6, RFC 8709, OpenSSH's PROTOCOL.u2f).
    pub fn from_ssh_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let (kind, rest) = field(blob)?;
        let (raw, rest) = match SSH_TYPES.into_iter().find(|name| name.as_bytes() == kind) {
            Some(ED25519 | SK_ED25519) => {
                let (point, rest) = field(rest)?;
                (raw_ed25519(point)?, rest)
            }
            Some(_) => {
                let (curve, rest) = field(rest)?;
                let (point, rest) = field(rest)?;
                if curve != NISTP256 {
                    return Err(KeyError::Encoding("its curve is not the one of its type"));
                }
                (raw_p256(point)?, rest)
            }
            None => return Err(unsupported(&String::from_utf8_lossy(kind))),
        };
        let (wrapping, rest) = if kind.starts_with(b"sk-") {
            let (application, rest) = field(rest)?;
            (Wrapping::SkSsh { application: printable(application)? }, rest)
        } else {
            (Wrapping::Ssh, rest)
        };
        if rest.is_empty() { Ok(Self { raw, wrapping }) } else { Err(KeyError::Encoding("trailing bytes")) }
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
        match (&self.wrapping, self.raw.point()) {
            (Wrapping::Ssh, Point::Ed25519(_)) => Some(ED25519),
            (Wrapping::Ssh, Point::P256(_)) => Some(P256),
            (Wrapping::SkSsh { .. }, Point::Ed25519(_)) => Some(SK_ED25519),
            (Wrapping::SkSsh { .. }, Point::P256(_)) => Some(SK_P256),
            (Wrapping::Minisign { .. }, _) => None,
        }
    }

    /// The bytes of the public key line's base64 part: SSH wire format, or minisign's 42 bytes.
    pub fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        if let Wrapping::Minisign { key_id } = &self.wrapping {
            blob.extend_from_slice(b"Ed");
            blob.extend_from_slice(key_id);
            blob.extend_from_slice(self.raw.as_bytes());
            return blob;
        }
        put_ssh_string(&mut blob, self.ssh_type().unwrap_or_default().as_bytes());
        if let Point::P256(_) = self.raw.point() {
            put_ssh_string(&mut blob, NISTP256);
        }
        put_ssh_string(&mut blob, self.raw.as_bytes());
        if let Wrapping::SkSsh { application } = &self.wrapping {
            put_ssh_string(&mut blob, application.as_bytes());
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

/// Splits one field off a key's wire format.
fn field(bytes: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    ssh_string(bytes).ok_or(KeyError::Encoding("truncated"))
}

/// Checks the 32 bytes of a raw key.
fn raw_ed25519(bytes: &[u8]) -> Result<RawKey, KeyError> {
    RawKey::ed25519(bytes.try_into().map_err(|_| KeyError::Encoding("an Ed25519 key has 32 bytes"))?)
}

/// Checks the 65 bytes of a raw key.
fn raw_p256(bytes: &[u8]) -> Result<RawKey, KeyError> {
    RawKey::p256(bytes.try_into().map_err(|_| KeyError::Encoding("a P-256 point has 65 bytes"))?)
}

/// Checks the application of an authenticator's key.
fn printable(application: &[u8]) -> Result<String, KeyError> {
    let good = application.len() <= 255 && application.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(application).ok().filter(|_| good);
    text.map(str::to_owned).ok_or(KeyError::Encoding("its application is not printable"))
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
        let certificate = "ssh-ed25519-cert-v01@openssh.com AAAA";
        assert!(matches!(PublicKey::parse(certificate), Err(KeyError::Certificate)));
        assert!(matches!(PublicKey::parse("ecdsa-sha2-nistp384 AAAA"), Err(KeyError::Unsupported(_))));
    }

    #[test]
    fn weak_and_non_canonical_points_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(RawKey::ed25519(identity), Err(KeyError::Weak));
        assert_eq!(RawKey::ed25519([0; 32]), Err(KeyError::Weak));
        // A good key, and the same with a point of order 8 added: one secret signs for both.
        let good = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
        assert!(RawKey::ed25519(good.to_bytes()).is_ok());
        for torsion in &curve25519_dalek::constants::EIGHT_TORSION[1..] {
            let sum = (good.to_edwards() + torsion).compress().to_bytes();
            assert_eq!(RawKey::ed25519(sum), Err(KeyError::Weak));
        }
        let mut beyond = [0xff; 32];
        beyond[31] = 0x7f;
        for low in 0xed..=0xff {
            beyond[0] = low;
            assert_eq!(RawKey::ed25519(beyond), Err(KeyError::Weak), "{low:x}");
        }
    }

    /// The generator of P-256 (SEC 2, section 2.4.2).
    const G: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162b\
                     ce33576b315ececbb6406837bf51f5";

    fn p256(point: &[u8], curve: &[u8], kind: &str, application: Option<&str>) -> Result<PublicKey, KeyError> {
        let mut blob = Vec::new();
        for part in [kind.as_bytes(), curve, point].into_iter().chain(application.map(str::as_bytes)) {
            put_ssh_string(&mut blob, part);
        }
        PublicKey::from_ssh_blob(&blob)
    }

    #[test]
    fn a_key_on_p256_reads_back_and_is_one_key_in_both_wrappings() {
        let point = super::super::oid::hex_array::<65>(G).unwrap();
        let soft = p256(&point, NISTP256, P256, None).unwrap();
        let hard = p256(&point, NISTP256, SK_P256, Some("ssh:")).unwrap();
        assert_eq!((soft.ssh_type(), hard.ssh_type()), (Some(P256), Some(SK_P256)));
        assert_eq!((soft.is_hardware(), hard.is_hardware()), (false, true));
        assert_eq!(
            (PublicKey::parse(&soft.line()).unwrap(), PublicKey::parse(&hard.line()).unwrap()),
            (soft.clone(), hard.clone())
        );
        assert_eq!(soft.raw(), hard.raw());
        let text = String::from(soft.raw());
        assert_eq!((text.as_str(), RawKey::try_from(text.clone())), (G, Ok(soft.raw())));
        for bad in [&text[2..], &text[..66], &format!("{text}00"), &format!("02{}", &text[2..66]), ""] {
            assert!(RawKey::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_point_that_is_not_on_p256_or_is_spelled_otherwise_is_refused() {
        let point = super::super::oid::hex_array::<65>(G).unwrap().to_vec();
        let altered = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut point = point.clone();
            change(&mut point);
            p256(&point, NISTP256, P256, None)
        };
        assert!(altered(&|_| ()).is_ok());
        assert_eq!(altered(&|point| point[64] ^= 1), Err(KeyError::Weak), "not on the curve");
        assert_eq!(altered(&|point| point[1..33].fill(0xff)), Err(KeyError::Weak), "x beyond the field");
        assert_eq!(altered(&|point| point.truncate(0)), Err(KeyError::Encoding("a P-256 point has 65 bytes")));
        for first in [0, 2, 3, 5, 6, 7] {
            assert_eq!(altered(&|point| point[0] = first), Err(KeyError::Encoding("a P-256 point begins with 04")));
        }
        let compressed = |point: &mut Vec<u8>| {
            point.truncate(33);
            point[0] = 3;
        };
        assert!(matches!(altered(&compressed), Err(KeyError::Encoding(_))));
        assert!(matches!(p256(&point, b"nistp384", P256, None), Err(KeyError::Encoding(_))));
        assert!(matches!(p256(&point, NISTP256, P256, Some("ssh:")), Err(KeyError::Encoding(_))));
        assert!(matches!(p256(&point, NISTP256, SK_P256, None), Err(KeyError::Encoding(_))));
        assert!(matches!(p256(&point, NISTP256, "ecdsa-sha2-nistp384", None), Err(KeyError::Unsupported(_))));
        assert!(matches!(
            p256(&point, NISTP256, "webauthn-sk-ecdsa-sha2-nistp256@openssh.com", Some("x")),
            Err(KeyError::Unsupported(_))
        ));
    }
}
