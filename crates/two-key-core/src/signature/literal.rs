//! Cosignatures for tests of the fold, which is about who may do what and not about curves.

use super::{Carrier, Cosignature, ObjectFormat, Opened, Presence, open_commit, testing};
use crate::model::{PrincipalId, PublicKey, Statement};

/// An ordinary commit, signed by the key of a secret.
pub(crate) fn signed_commit(seed: u8) -> Opened {
    let unsigned = testing::commit("Files\n");
    open_commit(&testing::Key::ssh(seed).sign_commit(&unsigned, ObjectFormat::Sha1), ObjectFormat::Sha1)
}

/// The same with a signature that the key made over another commit.
pub(crate) fn forged_commit(seed: u8) -> Opened {
    let signed = testing::Key::ssh(seed).sign_commit(&testing::commit("Files\n"), ObjectFormat::Sha1);
    let other = String::from_utf8(signed).unwrap().replace("\n\nFiles", "\n\nOther files");
    open_commit(other.as_bytes(), ObjectFormat::Sha1)
}

impl Cosignature {
    /// A cosignature as if it had been verified.
    pub(crate) fn literal(
        key: PublicKey,
        statement: Statement,
        claims: PrincipalId,
        carrier: Carrier,
        presence: Presence,
    ) -> Self {
        Self {
            key,
            statement,
            claims,
            carrier,
            presence,
            signature: String::new(),
            reason: None,
            evidence: None,
            claimed_time: None,
        }
    }
}
