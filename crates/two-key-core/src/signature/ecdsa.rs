//! ECDSA on P-256.
//!
//! Verifying a signature takes as long as reading dozens of commits, and whoever copies one, with what it is over, into
//! thousands of commits copies a few bytes. So verdicts are kept for a while: what comes again is not verified again.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};

use crate::model::Digest;

/// Verdicts that are kept. When there are so many, all of them go.
const MAX_KEPT: usize = 4096;

static KEPT: LazyLock<Mutex<KeptVerdicts>> = LazyLock::new(Mutex::default);

/// Bytes that a key is said to have signed.
#[derive(Debug)]
pub(super) struct EcdsaClaim {
    /// The key's point, uncompressed.
    pub(super) point: [u8; 65],
    /// The bytes.
    pub(super) message: Vec<u8>,
    /// The signature.
    pub(super) signature: Box<Signature>,
}

impl EcdsaClaim {
    /// Whether the key signed these bytes.
    pub(super) fn holds(&self) -> bool {
        let id = self.id();
        let known = KEPT.lock().ok().and_then(|kept| kept.verdicts.get(&id).copied());
        known.unwrap_or_else(|| {
            let holds = self.verifies();
            if let Ok(mut kept) = KEPT.lock() {
                kept.keep(id, holds);
            }
            holds
        })
    }

    fn verifies(&self) -> bool {
        let key = VerifyingKey::from_sec1_bytes(&self.point);
        key.is_ok_and(|key| key.verify(&self.message, self.signature.as_ref()).is_ok())
    }

    /// All that the verdict depends on; what has no fixed length stands last.
    fn id(&self) -> Digest {
        Digest::of(&[&self.point[..], &self.signature.to_bytes(), &self.message].concat())
    }
}

/// What was found out, by all that it depends on.
#[derive(Debug, Default)]
struct KeptVerdicts {
    verdicts: HashMap<Digest, bool>,
}

impl KeptVerdicts {
    fn keep(&mut self, id: Digest, holds: bool) {
        if self.verdicts.len() >= MAX_KEPT {
            self.verdicts.clear();
        }
        self.verdicts.insert(id, holds);
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{SigningKey, signature::Signer as _};

    use super::*;

    fn claim(secret: u8, message: &[u8]) -> EcdsaClaim {
        let key = SigningKey::from_slice(&[secret; 32]).unwrap();
        let signature: Signature = key.sign(message);
        let point = key.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap();
        EcdsaClaim { point, message: message.to_vec(), signature: Box::new(signature) }
    }

    #[test]
    fn what_differs_in_anything_is_verified_by_itself_and_what_comes_again_is_known() {
        let known = |claim: &EcdsaClaim| KEPT.lock().unwrap().verdicts.get(&claim.id()).copied();
        let honest = claim(7, b"step 1");
        let others = [
            (EcdsaClaim { message: b"step 2".to_vec(), ..claim(7, b"step 1") }, false),
            (EcdsaClaim { signature: claim(7, b"step 2").signature, ..claim(7, b"step 1") }, false),
            (EcdsaClaim { point: claim(8, b"step 1").point, ..claim(7, b"step 1") }, false),
            (claim(8, b"step 1"), true),
        ];
        assert_eq!((known(&honest), honest.holds(), known(&honest), honest.holds()), (None, true, Some(true), true));
        for (other, holds) in others {
            assert_eq!((known(&other), other.holds(), known(&other), other.holds()), (None, holds, Some(holds), holds));
        }
        // Found out once: nobody looks at the signature again.
        KEPT.lock().unwrap().keep(honest.id(), false);
        assert!(!honest.holds() && honest.verifies());
        KEPT.lock().unwrap().keep(honest.id(), true);
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let mut kept = KeptVerdicts::default();
        for number in 0..=MAX_KEPT {
            kept.keep(Digest::of(&number.to_be_bytes()), true);
            assert!(kept.verdicts.len() <= MAX_KEPT);
        }
        assert_eq!(kept.verdicts.len(), 1);
    }
}
