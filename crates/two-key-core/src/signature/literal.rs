//! Cosignatures for tests of the fold, which is about who may do what and not about curves.

use super::{Carrier, Cosignature, Presence};
use crate::model::{PrincipalId, PublicKey, Statement};

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
