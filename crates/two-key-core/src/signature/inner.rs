//! The innermost part of an SSH signature: what one key of one type made, and what an authenticator or a browser put
//! around the message before it was signed.
//!
//! ```text
//! ssh-ed25519                         string 64 bytes
//! ecdsa-sha2-nistp256                 string (mpint r, mpint s)                             RFC 5656
//! sk-…@openssh.com                    as above, byte flags, uint32 counter                  PROTOCOL.u2f
//! webauthn-sk-ecdsa-…@openssh.com     as above, string origin, string client data, string extensions
//! ```
//!
//! One signature, one spelling, wherever that is in our power: integers are canonical and nothing follows. On P-256
//! `(r, n - s)` verifies where `(r, s)` does, and programs make both, so two signatures may differ and say the same:
//! nothing may take a signature's bytes for an identity.

use std::sync::{Arc, OnceLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{
    Presence, ecdsa, ed25519,
    sshsig::{bad, malformed},
};
use crate::model::{
    PublicKey, Refusal, Wrapping,
    key::{Point, ssh_string},
};

/// The type of a signature that a browser had an authenticator make, with a key of type
/// `sk-ecdsa-sha2-nistp256@openssh.com`.
const WEBAUTHN: &str = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
/// The flag that says that somebody touched the authenticator (`WebAuthn` section 6.1, UP).
const USER_PRESENT: u8 = 0x01;
/// A PIN, a finger or a face was checked.
const USER_VERIFIED: u8 = 0x04;
/// The flags that say that the secret may be copied to other devices (BE), or was (BS).
const COPIED: u8 = 0x18;
/// The flag of data about a new key, which an assertion never has (AT).
const ATTESTED: u8 = 0x40;
/// The flag that says that extensions follow (ED).
const EXTENDED: u8 = 0x80;

/// A well-formed innermost signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inner {
    made: RawSignature,
    around: Around,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum RawSignature {
    Ed25519(Box<ed25519_dalek::Signature>),
    P256(Box<p256::ecdsa::Signature>),
}

/// Who made a signature, hence what follows it.
#[derive(Clone, Copy)]
enum SignedBy {
    Plain,
    Authenticator,
    Browser,
}

/// What was put around the message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Around {
    Nothing,
    Authenticator { flags: u8, counter: [u8; 4] },
    Browser { flags: u8, counter: [u8; 4], origin: Vec<u8>, client_data: Vec<u8>, extensions: Vec<u8> },
}

impl Inner {
    /// Reads a signature, which must be of the key's own type.
    pub(super) fn read(key: &PublicKey, bytes: &[u8]) -> Result<Self, Refusal> {
        let (kind, rest) = field(bytes)?;
        let form = match (key.wrapping(), key.raw().point()) {
            (Wrapping::SkSsh { .. }, Point::P256(_)) if kind == WEBAUTHN.as_bytes() => SignedBy::Browser,
            _ if Some(kind) != key.ssh_type().map(str::as_bytes) => {
                return Err(malformed("its signature is of another type than its key"));
            }
            (Wrapping::SkSsh { .. }, _) => SignedBy::Authenticator,
            (Wrapping::Ssh | Wrapping::Minisign { .. }, _) => SignedBy::Plain,
        };
        let (raw, rest) = field(rest)?;
        let made = match key.raw().point() {
            Point::Ed25519(_) => {
                let raw = raw.try_into().map_err(|_| malformed("an Ed25519 signature has 64 bytes"))?;
                RawSignature::Ed25519(Box::new(ed25519_dalek::Signature::from_bytes(&raw)))
            }
            Point::P256(_) => RawSignature::P256(Box::new(read_p256(raw)?)),
        };
        Ok(Self { made, around: Around::read(form, rest)? })
    }

    /// What the signature says that the key signed.
    pub(super) fn claim(&self, key: &PublicKey, message: &[u8]) -> Result<Claim, Refusal> {
        let (signed, presence) = self.around.signed(key, message)?;
        let what = match (key.raw().point(), &self.made) {
            (Point::Ed25519(point), RawSignature::Ed25519(signature)) => ClaimedBytes::Ed25519(ed25519::Ed25519Claim {
                point: *point,
                message: signed,
                signature: signature.clone(),
            }),
            (Point::P256(point), RawSignature::P256(signature)) => {
                ClaimedBytes::P256(ecdsa::EcdsaClaim { point: *point, message: signed, signature: signature.clone() })
            }
            _ => return Err(no()),
        };
        Ok(Claim { what, presence })
    }
}

/// What a signature says that a key signed. Nobody has checked it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    what: ClaimedBytes,
    presence: Presence,
}

#[derive(Debug, PartialEq, Eq)]
enum ClaimedBytes {
    Ed25519(ed25519::Ed25519Claim),
    P256(ecdsa::EcdsaClaim),
}

/// That a key signed what it was said to have signed. Only checking a [`Claim`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proof(Presence);

impl Proof {
    /// What it proves about somebody being there.
    pub(super) fn presence(self) -> Presence {
        self.0
    }
}

impl Claim {
    /// Checks it.
    pub(super) fn check(&self) -> Result<Proof, Refusal> {
        let holds = match &self.what {
            ClaimedBytes::Ed25519(claimed) => ed25519::hold(&[claimed]) == [true],
            ClaimedBytes::P256(claimed) => claimed.holds(),
        };
        self.verdict(holds)
    }

    fn verdict(&self, holds: bool) -> Result<Proof, Refusal> {
        if holds { Ok(Proof(self.presence)) } else { Err(no()) }
    }
}

/// About how many bytes of memory a claim takes up: the signature, and what is signed, which is a hash.
pub(super) const MEMORY_OF_A_CLAIM: usize = 512;

/// A claim that is checked when somebody asks, and once: what a stranger signs costs nobody more than reading it.
#[derive(Debug, Clone)]
pub(super) struct PendingClaim(Arc<Pending>);

#[derive(Debug)]
struct Pending {
    claim: Claim,
    verdict: OnceLock<Result<Proof, Refusal>>,
}

impl PendingClaim {
    /// Checks it, unless that has been done.
    pub(super) fn check(&self) -> Result<Proof, Refusal> {
        self.0.verdict.get_or_init(|| self.0.claim.check()).clone()
    }
}

impl From<Claim> for PendingClaim {
    fn from(claim: Claim) -> Self {
        Self(Arc::new(Pending { claim, verdict: OnceLock::new() }))
    }
}

impl PartialEq for PendingClaim {
    fn eq(&self, other: &Self) -> bool {
        self.0.claim == other.0.claim
    }
}

impl Eq for PendingClaim {}

/// Checks claims before somebody asks, each by itself: those on Ed25519, of which many at once cost less each, and those of keys
/// on P-256 that are asked for often. What others claim on P-256 would cost too much in vain.
pub(super) fn check_ahead<'a>(all: impl Iterator<Item = &'a PendingClaim>) {
    let (mut ed25519, mut pending) = (Vec::new(), Vec::new());
    for one in all {
        match &one.0.claim.what {
            ClaimedBytes::Ed25519(claimed) => {
                ed25519.push(claimed);
                pending.push(&one.0);
            }
            ClaimedBytes::P256(claimed) if claimed.is_of_a_frequent_key() => drop(one.check()),
            ClaimedBytes::P256(_) => {}
        }
    }
    for (pending, holds) in pending.into_iter().zip(ed25519::hold(&ed25519)) {
        pending.verdict.get_or_init(|| pending.claim.verdict(holds));
    }
}

fn no() -> Refusal {
    bad("it does not verify over these bytes")
}

impl Around {
    fn read(form: SignedBy, bytes: &[u8]) -> Result<Self, Refusal> {
        if let SignedBy::Plain = form {
            return nothing(bytes, Self::Nothing);
        }
        let (flags, rest) =
            bytes.split_first().ok_or_else(|| malformed("an authenticator's signature has flags and a counter"))?;
        let (counter, rest) =
            rest.split_first_chunk::<4>().ok_or_else(|| malformed("after its flags there are not four bytes"))?;
        let (flags, counter) = (*flags, *counter);
        if let SignedBy::Authenticator = form {
            return nothing(rest, Self::Authenticator { flags, counter });
        }
        let (origin, rest) = field(rest)?;
        let (client_data, rest) = field(rest)?;
        let (extensions, rest) = field(rest)?;
        let [origin, client_data, extensions] = [origin, client_data, extensions].map(<[u8]>::to_vec);
        nothing(rest, Self::Browser { flags, counter, origin, client_data, extensions })
    }

    /// The bytes that were signed for this message, and what they prove about somebody being there.
    fn signed(&self, key: &PublicKey, message: &[u8]) -> Result<(Vec<u8>, Presence), Refusal> {
        let application = match key.wrapping() {
            Wrapping::SkSsh { application } => application.as_bytes(),
            Wrapping::Ssh | Wrapping::Minisign { .. } => return Ok((message.to_vec(), Presence::None)),
        };
        let (flags, counter, extensions, hash) = match self {
            Self::Nothing => return Err(bad("an authenticator's signature has flags and a counter")),
            Self::Authenticator { flags, counter } => (*flags, counter, &[][..], Sha256::digest(message)),
            Self::Browser { flags, counter, origin, client_data, extensions } => {
                check_browser(*flags, origin, client_data, extensions, message)?;
                (*flags, counter, &extensions[..], Sha256::digest(client_data))
            }
        };
        let presence = match (flags & USER_PRESENT != 0, flags & COPIED != 0, flags & USER_VERIFIED != 0) {
            (false, ..) => Presence::NotShown,
            (true, true, _) => Presence::Copied,
            (true, false, false) => Presence::Touched,
            (true, false, true) => Presence::Verified,
        };
        // The order in which an authenticator signs them (OpenSSH's PROTOCOL.u2f).
        let parts: [&[u8]; 5] = [&Sha256::digest(application), &[flags], counter, extensions, &hash];
        Ok((parts.concat(), presence))
    }
}

/// Checks that a browser was asked for exactly this message: the limited verification algorithm of `WebAuthn` (section
/// 5.8.1.2) and of OpenSSH, and no frame of another origin.
fn check_browser(
    flags: u8,
    origin: &[u8],
    client_data: &[u8],
    extensions: &[u8],
    message: &[u8],
) -> Result<(), Refusal> {
    if flags & ATTESTED != 0 || (flags & EXTENDED == 0) != extensions.is_empty() {
        return Err(bad("its flags do not agree with what it holds"));
    }
    if origin.is_empty() || !origin.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
        return Err(bad("its origin is not one"));
    }
    let challenge = URL_SAFE_NO_PAD.encode(message);
    let parts: [&[u8]; 5] =
        [b"{\"type\":\"webauthn.get\",\"challenge\":\"", challenge.as_bytes(), b"\",\"origin\":\"", origin, b"\""];
    let rest = client_data.strip_prefix(&parts.concat()[..]);
    let rest = rest.ok_or_else(|| bad("the browser was asked to sign something else"))?;
    if rest.starts_with(b",\"crossOrigin\":true") {
        return Err(bad("it was made in a frame of another origin"));
    }
    if (rest.starts_with(b",") || rest.starts_with(b"}")) && rest.ends_with(b"}") {
        Ok(())
    } else {
        Err(bad("the browser's text is cut short"))
    }
}

/// Reads an ECDSA signature: two integers in their shortest form.
fn read_p256(bytes: &[u8]) -> Result<p256::ecdsa::Signature, Refusal> {
    let (r, rest) = field(bytes)?;
    let (s, rest) = field(rest)?;
    let (r, s) = nothing(rest, (scalar(r)?, scalar(s)?))?;
    p256::ecdsa::Signature::from_scalars(r, s).map_err(|_| bad("its numbers are out of range"))
}

/// An mpint (RFC 4251 section 5) that is not negative, as 32 bytes.
fn scalar(mpint: &[u8]) -> Result<[u8; 32], Refusal> {
    let digits = match mpint {
        [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => rest,
        [0, ..] => return Err(malformed("a number of its signature is not in the shortest form")),
        [byte, ..] if byte & 0x80 != 0 => return Err(malformed("a number of its signature is negative")),
        all => all,
    };
    let mut out = [0; 32];
    let at = out.len().checked_sub(digits.len()).ok_or_else(|| malformed("a number of its signature is too long"))?;
    out[at..].copy_from_slice(digits);
    Ok(out)
}

fn field(bytes: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    ssh_string(bytes).ok_or_else(|| malformed("its signature is cut short"))
}

fn nothing<T>(rest: &[u8], value: T) -> Result<T, Refusal> {
    if rest.is_empty() { Ok(value) } else { Err(malformed("bytes follow its signature")) }
}
