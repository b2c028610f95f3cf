//! Minisign signatures: four strict lines, pre-hashed only, verified by the `minisign-verify` crate.
//!
//! ```text
//! untrusted comment: …            (covered by nothing)
//! base64 of "ED", key id, signature of the BLAKE2b-512 of the message
//! trusted comment: …
//! base64 of the signature of the first signature and the trusted comment
//! ```

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minisign_verify::Signature;

use crate::model::text::is_deceptive;
use crate::model::{PublicKey, RawKey, Reason, Refusal, Wrapping};

/// The longest signature file that is read, in bytes.
pub const MAX_FILE: usize = 4 * 1024;

/// A well-formed minisign signature file. Nothing is known yet about what it signs.
#[derive(Clone)]
pub struct Minisig {
    key_id: [u8; 8],
    signature: Signature,
    file: String,
}

impl Minisig {
    /// Reads a signature file: four lines, each ended by LF (the last LF may be missing), and nothing else.
    pub fn parse(file: &str) -> Result<Self, Refusal> {
        if file.len() > MAX_FILE {
            return Err(malformed("it is longer than 4 KiB"));
        }
        let lines: Vec<&str> = file.strip_suffix('\n').unwrap_or(file).split('\n').collect();
        let [untrusted, first, trusted, global] = lines[..] else {
            return Err(malformed("it does not have four lines"));
        };
        comment(untrusted, "untrusted comment: ")?;
        comment(trusted, "trusted comment: ")?;
        let first = decode(first)?;
        let global = decode(global)?;
        let (Some(algorithm), Some(key_id), Some(r), Some(global_r), 74, 64) =
            (first.get(..2), first.get(2..10), first.get(10..42), global.get(..32), first.len(), global.len())
        else {
            return Err(malformed("its two signatures are not 74 and 64 bytes"));
        };
        match algorithm {
            b"ED" => {}
            b"Ed" => return Err(malformed("it is of the legacy form that signs unhashed bytes; sign without -l")),
            _ => return Err(malformed("its algorithm is not `ED`")),
        }
        // As `verify_strict` does for SSH signatures, and the crate does not: no R of small order.
        for r in [r, global_r] {
            let canonical = r.try_into().ok().and_then(|r| RawKey::ed25519(r).ok());
            canonical.ok_or_else(|| bad("its commitment is not a usable point"))?;
        }
        let key_id = key_id.try_into().map_err(|_| malformed("a key id has eight bytes"))?;
        let signature = Signature::decode(file).map_err(malformed)?;
        Ok(Self { key_id, signature, file: file.to_owned() })
    }

    /// Reads the whole file's base64 on one line, as sealed lines hold it.
    pub fn from_base64(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_FILE * 2 {
            return Err(malformed("it is longer than 4 KiB"));
        }
        let file = String::from_utf8(decode(text)?).map_err(|_| malformed("it is not UTF-8"))?;
        Self::parse(&file)
    }

    /// The whole file's base64 on one line.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.file)
    }

    /// Whether the signature says that this key made it.
    pub fn names(&self, key: &PublicKey) -> bool {
        matches!(key.wrapping(), Wrapping::Minisign { key_id } if *key_id == self.key_id)
    }

    /// Checks that a key signed exactly these bytes.
    pub fn verify(&self, key: &PublicKey, message: &[u8]) -> Result<(), Refusal> {
        if !self.names(key) {
            return Err(bad("it was made by a key with another id"));
        }
        minisign_verify::PublicKey::from_base64(&key.bare())
            .and_then(|key| key.verify(message, &self.signature, false))
            .map_err(|_| bad("it does not verify over these bytes"))
    }
}

fn comment(line: &str, prefix: &str) -> Result<(), Refusal> {
    let text = line.strip_prefix(prefix).ok_or_else(|| malformed(format!("a line does not begin `{prefix}`")))?;
    // Minisign itself writes tabs between timestamp, file and mode.
    if text.chars().any(|c| c != '\t' && is_deceptive(c)) {
        return Err(malformed("a comment has control or bidi characters"));
    }
    Ok(())
}

fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(text).map_err(|_| malformed("its base64 is broken"))
}

fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the minisign signature is malformed: {what}"))
}

fn bad(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::BadSignature, format!("the minisign signature does not hold: {what}"))
}
