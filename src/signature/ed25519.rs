//! Ed25519, strictly: `verify_strict` decides, and for keys that sign much there is a shorter way to its yes.
//!
//! The equation is the same (RFC 8032 section 5.1.7, without the cofactor): `R = [s]B - [k]A`. Usually `[k]A` is computed from
//! the point alone. For a key that has been seen often its [`Multiples`] are kept, with which that takes a fraction
//! of the time. The shortcut never says no: whatever it does not see to hold is asked of `verify_strict`.

use std::{cell::RefCell, collections::HashMap, sync::LazyLock};

use curve25519_dalek::{EdwardsPoint, Scalar, constants::ED25519_BASEPOINT_POINT};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha512};

use super::multiples::Multiples;
use crate::model::key::verifying_key;

/// Signatures after which a key gets its table, which takes as long to make as some thirty are to verify.
const OFTEN: u32 = 60;
/// Keys that are counted in each thread. A table has 640 KiB.
const MAX_COUNTED: usize = 32;

static BASE: LazyLock<Multiples> = LazyLock::new(|| Multiples::of(ED25519_BASEPOINT_POINT));

thread_local! {
    static SEEN: RefCell<HashMap<[u8; 32], Seen>> = RefCell::default();
}

/// How often a key has been asked for, and from some number on its table.
#[derive(Default)]
struct Seen {
    times: u32,
    minus_key: Option<Multiples>,
}

/// Whether the key of a point signed exactly these bytes.
pub(super) fn holds(point: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
    let Some(key) = verifying_key(point) else { return false };
    let quickly = SEEN.with_borrow_mut(|seen| {
        if seen.len() >= MAX_COUNTED && !seen.contains_key(point) {
            seen.clear();
        }
        seen.entry(*point).or_default().holds(&key, message, signature)
    });
    quickly || key.verify_strict(message, signature).is_ok()
}

impl Seen {
    /// Whether a signature is seen to hold.
    fn holds(&mut self, key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
        if let Some(table) = &self.minus_key {
            return holds_by(table, key, message, signature);
        }
        self.times += 1;
        if self.times >= OFTEN && !key.is_weak() {
            self.minus_key = Some(table(key));
        }
        false
    }
}

/// The multiples of a key's negative.
fn table(key: &VerifyingKey) -> Multiples {
    Multiples::of(-key.to_edwards())
}

/// What `verify_strict` looks at, given a key that is not weak: `s` is below the group's order, the commitment is not of
/// small order, and it is, byte by byte, what the equation says. An encoding that a computed point has is canonical.
fn holds_by(minus_key: &Multiples, key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    let Some(s) = Scalar::from_canonical_bytes(*signature.s_bytes()).into_option() else { return false };
    let hash =
        Sha512::new().chain_update(signature.r_bytes()).chain_update(key.as_bytes()).chain_update(message).finalize();
    let k = Scalar::from_bytes_mod_order_wide(&hash.into());
    let commitment: EdwardsPoint = BASE.terms(&s).iter().chain(&minus_key.terms(&k)).sum();
    !commitment.is_small_order() && commitment.compress().as_bytes() == signature.r_bytes()
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    use super::*;

    /// What both ways say of a signature, the short one first.
    fn both(key: &VerifyingKey, message: &[u8], signature: &Signature) -> [bool; 2] {
        let short = !key.is_weak() && holds_by(&table(key), key, message, signature);
        [short, key.verify_strict(message, signature).is_ok()]
    }

    /// A signature by a secret scalar and nonce of our choice, with whatever commitment and key they are said to have.
    fn made(secret: Scalar, nonce: Scalar, r: [u8; 32], key: &VerifyingKey, message: &[u8]) -> Signature {
        let hash = Sha512::new().chain_update(r).chain_update(key.as_bytes()).chain_update(message).finalize();
        let s = nonce + Scalar::from_bytes_mod_order_wide(&hash.into()) * secret;
        Signature::from_components(r, s.to_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_signature_holds_either_way_and_an_altered_one_neither_way(
            secret: [u8; 32], message: Vec<u8>, other: Vec<u8>, bit in 0_usize..512,
        ) {
            let signer = SigningKey::from_bytes(&secret);
            let (key, signature) = (signer.verifying_key(), signer.sign(&message));
            prop_assert_eq!(both(&key, &message, &signature), [true; 2]);
            prop_assert_eq!(both(&key, &other, &signature), [other == message; 2]);
            let mut bytes = signature.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(both(&key, &message, &Signature::from_bytes(&bytes)), [false; 2]);
        }

        /// Of a key with a part of small order, and of commitments with one, both ways say the same, whatever they say.
        #[test]
        fn parts_of_small_order_are_judged_alike(
            secret: [u8; 64], nonce: [u8; 64], in_key in 0_usize..8, in_commitment in 0_usize..8, message: Vec<u8>,
        ) {
            let [secret, nonce] = [secret, nonce].map(|bytes| Scalar::from_bytes_mod_order_wide(&bytes));
            let point = ED25519_BASEPOINT_POINT * secret + EIGHT_TORSION[in_key];
            let key = VerifyingKey::from_bytes(point.compress().as_bytes()).unwrap();
            let r = ED25519_BASEPOINT_POINT * nonce + EIGHT_TORSION[in_commitment];
            let [short, strict] = both(&key, &message, &made(secret, nonce, r.compress().to_bytes(), &key, &message));
            prop_assert_eq!(short, strict);
            if in_key == 0 {
                prop_assert_eq!(strict, in_commitment == 0);
            }
        }
    }

    #[test]
    fn a_second_spelling_of_s_holds_neither_way() {
        let signer = SigningKey::from_bytes(&[3; 32]);
        let (key, signature) = (signer.verifying_key(), signer.sign(b"step 1"));
        // The group's order, little-endian (RFC 8032 section 5.1): s and s + L are the same number to the equation.
        let order: [u8; 32] = (Scalar::ZERO - Scalar::ONE).to_bytes();
        let mut carry = 1_u16;
        let mut bytes = signature.to_bytes();
        for (byte, order) in bytes[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert_eq!(both(&key, b"step 1", &signature), [true; 2]);
        assert_eq!(both(&key, b"step 1", &Signature::from_bytes(&bytes)), [false; 2]);
    }

    #[test]
    fn a_commitment_or_key_of_small_order_holds_neither_way() {
        let (secret, zero) = (Scalar::from(7_u8), Scalar::ZERO);
        let honest = VerifyingKey::from(&SigningKey::from_bytes(&[3; 32]));
        let key = VerifyingKey::from_bytes((ED25519_BASEPOINT_POINT * secret).compress().as_bytes()).unwrap();
        for torsion in EIGHT_TORSION {
            let r = torsion.compress().to_bytes();
            assert_eq!(both(&key, b"step 1", &made(secret, zero, r, &key, b"step 1")), [false; 2]);
            let weak = VerifyingKey::from_bytes(&r).unwrap();
            let nonce = (ED25519_BASEPOINT_POINT * secret).compress().to_bytes();
            assert_eq!(both(&weak, b"step 1", &made(zero, secret, nonce, &weak, b"step 1")), [false; 2]);
        }
        assert!(!holds(honest.as_bytes(), b"step 1", &Signature::from_bytes(&[0; 64])));
    }

    #[test]
    fn whatever_spelling_a_commitment_has_it_is_judged_alike_for_every_key() {
        // Points of small order, all that lies above the field's prime, and the first that lie above zero, with both signs.
        let mut commitments: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
        for sign in [0, 0x80] {
            for low in 0..19 {
                let (mut small, mut large) = ([0; 32], [0xff; 32]);
                (small[0], small[31]) = (low, sign);
                (large[0], large[31]) = (0xed + low, 0x7f | sign);
                commitments.extend([small, large]);
            }
        }
        let (secret, nonce) = (Scalar::from(77_u8), Scalar::from(5_u8));
        commitments.push((ED25519_BASEPOINT_POINT * nonce).compress().to_bytes());
        let mut good = 0;
        for torsion in EIGHT_TORSION {
            let key = (ED25519_BASEPOINT_POINT * secret + torsion).compress();
            let key = VerifyingKey::from_bytes(key.as_bytes()).unwrap();
            let table = table(&key);
            for r in &commitments {
                for (secret, nonce) in [(secret, nonce), (secret, Scalar::ZERO), (Scalar::ZERO, nonce)] {
                    let signature = made(secret, nonce, *r, &key, b"step 1");
                    let strict = key.verify_strict(b"step 1", &signature).is_ok();
                    assert_eq!(holds_by(&table, &key, b"step 1", &signature), strict, "{r:?} {key:?}");
                    good += u32::from(strict);
                }
            }
        }
        assert!(good > 0);
    }

    #[test]
    fn more_keys_than_are_counted_are_never_taken_for_each_other() {
        let signers: Vec<_> =
            (0..=MAX_COUNTED).map(|number| SigningKey::from_bytes(&[u8::try_from(number).unwrap(); 32])).collect();
        for round in 0..OFTEN + 3 {
            // Near the end there is one more.
            let these = &signers[..MAX_COUNTED + usize::from(round > OFTEN)];
            let mut neighbour = these[0].verifying_key();
            for signer in these.iter().rev() {
                let (key, message) = (signer.verifying_key(), round.to_le_bytes());
                let signature = signer.sign(&message);
                assert!(holds(key.as_bytes(), &message, &signature));
                assert!(!holds(neighbour.as_bytes(), &message, &signature));
                neighbour = key;
            }
        }
    }

    #[test]
    fn a_key_that_signs_often_is_judged_as_before() {
        let signer = SigningKey::from_bytes(&[9; 32]);
        let key = signer.verifying_key();
        for number in 0..3 * OFTEN {
            let message = number.to_le_bytes();
            let signature = signer.sign(&message);
            assert!(holds(key.as_bytes(), &message, &signature), "{number}");
            assert!(!holds(key.as_bytes(), b"something else", &signature), "{number}");
        }
        let has_table = SEEN.with_borrow(|seen| seen.get(key.as_bytes()).is_some_and(|seen| seen.minus_key.is_some()));
        assert!(has_table);
    }
}
