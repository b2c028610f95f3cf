//! Ed25519, strictly (RFC 8032 section 5.1.7, without the cofactor).

use ed25519_dalek::Signature;

use crate::model::key::verifying_key;

/// Bytes that a key is said to have signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ed25519Claim {
    /// The key's point.
    pub(super) point: [u8; 32],
    /// The bytes.
    pub(super) message: Vec<u8>,
    /// The signature.
    pub(super) signature: Box<Signature>,
}

impl Ed25519Claim {
    /// Whether the key signed exactly these bytes.
    pub(super) fn holds_strictly(&self) -> bool {
        verifying_key(&self.point).is_some_and(|key| key.verify_strict(&self.message, &self.signature).is_ok())
    }
}

/// Of each signature, in order, whether it holds. Each is judged by itself.
pub(super) fn hold(all: &[&Ed25519Claim]) -> Vec<bool> {
    #[cfg(feature = "multiples")]
    return super::shortcut::hold(all);
    #[cfg(not(feature = "multiples"))]
    all.iter().map(|claim| claim.holds_strictly()).collect()
}
