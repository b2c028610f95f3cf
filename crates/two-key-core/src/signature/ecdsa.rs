//! ECDSA on P-256.
//!
//! Verifying a signature takes as long as reading dozens of commits, and whoever copies one, with what it is over, into
//! thousands of commits copies a few bytes. So verdicts are kept for a while: what comes again is not verified again. And of keys
//! that are asked for often multiples are kept, with which verifying takes a fraction of the time.

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
#[derive(Debug, PartialEq, Eq)]
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
        #[cfg(feature = "multiples")]
        if let Some(key) = frequent::table_of(&self.point) {
            return frequent::verifies(&key, self);
        }
        self.verifies_at_length()
    }

    fn verifies_at_length(&self) -> bool {
        let key = VerifyingKey::from_sec1_bytes(&self.point);
        key.is_ok_and(|key| key.verify(&self.message, self.signature.as_ref()).is_ok())
    }

    /// Whether verifying it takes little time, because its key has been asked for often.
    pub(super) fn is_of_a_frequent_key(&self) -> bool {
        #[cfg(feature = "multiples")]
        return frequent::has_table(&self.point);
        #[cfg(not(feature = "multiples"))]
        false
    }

    /// All that the verdict depends on; what has no fixed length stands last.
    fn id(&self) -> Digest {
        Digest::of(&[&self.point[..], &self.signature.to_bytes(), &self.message].concat())
    }
}

/// Verifying by multiples of the key.
#[cfg(feature = "multiples")]
mod frequent {
    use std::sync::{Arc, LazyLock, Mutex};

    use p256::{
        FieldBytes, ProjectivePoint, Scalar,
        ecdsa::VerifyingKey,
        elliptic_curve::{
            ops::{Invert as _, Reduce as _},
            point::AffineCoordinates as _,
        },
    };
    use sha2::{Digest as _, Sha256};

    use super::EcdsaClaim;
    use crate::signature::multiples::{self, Multiples, Sum, Tables};

    static BASE: LazyLock<Multiples<ProjectivePoint>> = LazyLock::new(|| Multiples::of(ProjectivePoint::GENERATOR));

    /// What all threads know of keys by their points.
    static KEYS: LazyLock<Mutex<Tables<[u8; 65], ProjectivePoint>>> = LazyLock::new(Mutex::default);

    /// The table of a key, if it has one or gets one now.
    pub(super) fn table_of(point: &[u8; 65]) -> Option<Arc<Multiples<ProjectivePoint>>> {
        multiples::table_of(&KEYS, point, || table(point))
    }

    pub(super) fn has_table(point: &[u8; 65]) -> bool {
        KEYS.lock().is_ok_and(|keys| matches!(keys.tables.get(point), Some(Some(_))))
    }

    pub(super) fn table(point: &[u8; 65]) -> Option<Multiples<ProjectivePoint>> {
        let key = VerifyingKey::from_sec1_bytes(point).ok()?;
        Some(Multiples::of(ProjectivePoint::from(*key.as_affine())))
    }

    /// FIPS 186-5, section 6.4.2: the numbers of a signature are in range, of a key the point is on the curve.
    pub(super) fn verifies(key: &Multiples<ProjectivePoint>, claim: &EcdsaClaim) -> bool {
        let (r, s) = claim.signature.split_scalars();
        let (hash, inverse) = (hash(&claim.message), *s.invert_vartime());
        let mut sum = Sum::default();
        BASE.gather(&lowest_first(hash * inverse), &mut sum);
        key.gather(&lowest_first(*r * inverse), &mut sum);
        // The x of no point is zero here, which no r is.
        Scalar::reduce(&sum.take().to_affine().x()) == *r
    }

    /// What is signed of a message.
    pub(super) fn hash(message: &[u8]) -> Scalar {
        let hash: [u8; 32] = Sha256::digest(message).into();
        Scalar::reduce(&FieldBytes::from(hash))
    }

    fn lowest_first(scalar: Scalar) -> [u8; 32] {
        let mut bytes: [u8; 32] = scalar.to_bytes().into();
        bytes.reverse();
        bytes
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

    /// A secret, a message, and how its signature is altered.
    #[cfg(feature = "multiples")]
    mod by_multiples {
        use p256::{ProjectivePoint, Scalar, elliptic_curve::point::AffineCoordinates as _};
        use proptest::prelude::*;

        use super::*;
        use crate::signature::multiples::OFTEN;

        fn both(claim: &EcdsaClaim) -> [bool; 2] {
            [frequent::verifies(&frequent::table(&claim.point).unwrap(), claim), claim.verifies_at_length()]
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(40))]

            #[test]
            fn a_signature_holds_either_way_and_an_altered_one_neither_way(
                secret in 1_u8.., message: Vec<u8>, other: Vec<u8>, bit in 0_usize..512,
            ) {
                let honest = claim(secret, &message);
                prop_assert_eq!(both(&honest), [true; 2]);
                let moved = EcdsaClaim { message: other.clone(), ..claim(secret, &message) };
                prop_assert_eq!(both(&moved), [other == message; 2]);
                let mut bytes: [u8; 64] = honest.signature.to_bytes().into();
                bytes[bit / 8] ^= 1 << (bit % 8);
                if let Ok(altered) = Signature::from_slice(&bytes) {
                    prop_assert_eq!(both(&EcdsaClaim { signature: Box::new(altered), ..honest }), [false; 2]);
                }
            }
        }

        #[test]
        fn both_spellings_of_s_hold_either_way() {
            let honest = claim(5, b"step 1");
            let (r, s) = honest.signature.split_scalars();
            let other = Signature::from_scalars(*r, -*s).unwrap();
            assert_ne!(other, *honest.signature);
            assert_eq!(both(&EcdsaClaim { signature: Box::new(other), ..honest }), [true; 2]);
        }

        /// A sum that is no point at all: the two products are each other's negatives.
        #[test]
        fn a_sum_that_is_no_point_holds_neither_way() {
            let (hash, secret) = (frequent::hash(b"step 1"), Scalar::from(7_u64));
            // hash + r * secret = 0.
            let r = -(hash * secret.invert().unwrap());
            let point = (ProjectivePoint::GENERATOR * secret).to_affine();
            let [x, y] = [point.x(), point.y()];
            let point: [u8; 65] = [&[4][..], &x, &y].concat().try_into().unwrap();
            for s in [Scalar::ONE, Scalar::from(99_u64)] {
                let signature = Box::new(Signature::from_scalars(r, s).unwrap());
                assert_eq!(both(&EcdsaClaim { point, message: b"step 1".to_vec(), signature }), [false; 2]);
            }
        }

        #[test]
        fn a_key_that_is_asked_for_often_is_judged_as_before_and_ahead_of_time() {
            assert!(!claim(9, b"step").is_of_a_frequent_key());
            for number in 0..2 * OFTEN {
                let message = number.to_be_bytes();
                assert!(claim(9, &message).holds(), "{number}");
                assert!(!EcdsaClaim { message: b"other".to_vec(), ..claim(9, &message) }.holds(), "{number}");
            }
            assert!(claim(9, b"step").is_of_a_frequent_key());
        }
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
