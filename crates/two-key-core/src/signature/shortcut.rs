//! A shortcut to the yes of `verify_strict`, for keys that sign much.
//!
//! The equation is the same (RFC 8032 section 5.1.7, without the cofactor): `R = [s]B - [k]A`. Usually `[k]A` is computed from
//! the point alone. For a key that has been seen often its [`Multiples`] are kept, with which that takes a fraction
//! of the time. The shortcut never says no: whatever it does not see to hold is asked of `verify_strict`.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, LazyLock, Mutex},
};

use curve25519_dalek::{EdwardsPoint, Scalar, constants::ED25519_BASEPOINT_POINT};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha512};

use super::{
    ed25519::Ed25519Claim,
    multiples,
    multiples::{Multiples, Sum, Tables},
};
use crate::model::key::verifying_key;

static BASE: LazyLock<Multiples<EdwardsPoint>> = LazyLock::new(|| Multiples::of(ED25519_BASEPOINT_POINT));

/// What all threads know of keys by their points, and the tables of their negatives.
static KEYS: LazyLock<Mutex<Tables<[u8; 32], EdwardsPoint>>> = LazyLock::new(Mutex::default);

thread_local! {
    static AT_HAND: RefCell<AtHand> = RefCell::default();
}

/// Of each signature, in order, whether it holds. Each is judged by itself: what is done for all of them at once is one
/// inversion, with which the computed commitments get their encodings.
pub(super) fn hold(all: &[&Ed25519Claim]) -> Vec<bool> {
    let computed = AT_HAND.with_borrow_mut(|own| all.iter().map(|claim| own.commitment(claim)).collect::<Vec<_>>());
    let points: Vec<EdwardsPoint> = computed.iter().flatten().copied().collect();
    let mut encoded = EdwardsPoint::compress_batch_alloc(&points).into_iter();
    let judge = |(claim, computed): (&&Ed25519Claim, Option<EdwardsPoint>)| {
        let encoded = computed.and_then(|_| encoded.next());
        encoded.is_some_and(|encoded| encoded.as_bytes() == claim.signature.r_bytes()) || claim.holds_strictly()
    };
    all.iter().zip(computed).map(judge).collect()
}

impl Ed25519Claim {
    /// The hash that the equation has as a scalar (RFC 8032 section 5.1.7).
    fn hash(&self) -> Scalar {
        let hash = Sha512::new()
            .chain_update(self.signature.r_bytes())
            .chain_update(self.point)
            .chain_update(&self.message)
            .finalize();
        Scalar::from_bytes_mod_order_wide(&hash.into())
    }
}

/// The table of a key, if it has one or gets one now.
fn table_of(point: &[u8; 32]) -> Option<Arc<Multiples<EdwardsPoint>>> {
    let make = || verifying_key(point).filter(|key| !key.is_weak()).map(|key| table(&key));
    multiples::table_of(&KEYS, point, make)
}

/// What a thread has at hand: the tables that it has used, and room for a sum.
#[derive(Default)]
struct AtHand {
    tables: HashMap<[u8; 32], Arc<Multiples<EdwardsPoint>>>,
    sum: Sum<EdwardsPoint>,
}

impl AtHand {
    /// The commitment that would make a signature hold, for keys that are asked for often.
    fn commitment(&mut self, claim: &Ed25519Claim) -> Option<EdwardsPoint> {
        let minus_key = match self.tables.entry(claim.point) {
            Entry::Occupied(at_hand) => at_hand.into_mut(),
            Entry::Vacant(missing) => missing.insert(table_of(&claim.point)?),
        };
        commitment(minus_key, claim, &mut self.sum)
    }
}

/// The multiples of a key's negative.
fn table(key: &VerifyingKey) -> Multiples<EdwardsPoint> {
    Multiples::of(-key.to_edwards())
}

/// The commitment that the equation gives for a key that is not weak, by the multiples of its negative: none where `s` is
/// not below the group's order or the commitment is of small order. A signature has to have it byte by byte, so all is
/// looked at that `verify_strict` looks at. An encoding that a computed point has is canonical.
fn commitment(
    minus_key: &Multiples<EdwardsPoint>,
    claim: &Ed25519Claim,
    sum: &mut Sum<EdwardsPoint>,
) -> Option<EdwardsPoint> {
    let s = Scalar::from_canonical_bytes(*claim.signature.s_bytes()).into_option()?;
    BASE.gather(s.as_bytes(), sum);
    minus_key.gather(claim.hash().as_bytes(), sum);
    Some(sum.take()).filter(|commitment| !commitment.is_small_order())
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use ed25519_dalek::{Signature, Signer as _, SigningKey};
    use proptest::prelude::*;

    use super::{
        multiples::{MAX_COUNTED, MAX_TABLES, OFTEN, TableAnswer},
        *,
    };

    type Keys = Tables<[u8; 32], EdwardsPoint>;

    fn claim(key: &VerifyingKey, message: &[u8], signature: &Signature) -> Ed25519Claim {
        Ed25519Claim { point: *key.as_bytes(), message: message.to_vec(), signature: Box::new(*signature) }
    }

    fn holds(key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
        hold(&[&claim(key, message, signature)]) == [true]
    }

    /// Whether a signature holds by a table.
    fn holds_by(
        minus_key: &Multiples<EdwardsPoint>,
        key: &VerifyingKey,
        message: &[u8],
        signature: &Signature,
    ) -> bool {
        let computed = commitment(minus_key, &claim(key, message, signature), &mut Sum::default());
        computed.is_some_and(|computed| computed.compress().as_bytes() == signature.r_bytes())
    }

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

        /// Some keys have tables, some get theirs on the way; what is altered and what is not come in any order.
        #[test]
        fn each_of_many_is_judged_as_it_is_alone(which in proptest::collection::vec((0_u8..4, 0_usize..4), 0..150)) {
            let all = which.iter().map(|(seed, alteration)| {
                let signer = SigningKey::from_bytes(&[*seed; 32]);
                let message = [*seed; 40];
                let mut signature = signer.sign(&message).to_bytes();
                match alteration {
                    1 => signature[0] ^= 1,
                    2 => signature[33] ^= 1,
                    3 => signature[63] |= 0x80,
                    _ => {}
                }
                claim(&signer.verifying_key(), &message, &Signature::from_bytes(&signature))
            });
            let all: Vec<Ed25519Claim> = all.collect();
            let verdicts = hold(&all.iter().collect::<Vec<_>>());
            prop_assert_eq!(&verdicts, &all.iter().map(Ed25519Claim::holds_strictly).collect::<Vec<_>>());
            prop_assert_eq!(verdicts, which.iter().map(|(_, alteration)| *alteration == 0).collect::<Vec<_>>());
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
        assert!(!holds(&honest, b"step 1", &Signature::from_bytes(&[0; 64])));
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
    fn a_key_that_is_asked_for_often_gets_one_table_and_few_keys_are_counted_at_a_time() {
        let key = |number: usize| [u8::try_from(number).unwrap(); 32];
        let makes = |keys: &mut Keys, number| matches!(keys.ask(&key(number)), TableAnswer::Make);
        let mut keys = Keys::default();
        for number in 0..MAX_COUNTED {
            assert!(!makes(&mut keys, number));
        }
        assert_eq!(keys.times.len(), MAX_COUNTED);
        // One of those that are counted forgets nobody; one more forgets all.
        assert!(!makes(&mut keys, 0));
        assert_eq!(keys.times.len(), MAX_COUNTED);
        assert!(!makes(&mut keys, MAX_COUNTED));
        assert_eq!(keys.times, HashMap::from([(key(MAX_COUNTED), 1)]));
        for number in 0..=MAX_TABLES {
            let asked = (1..=2 * OFTEN).filter(|_| makes(&mut keys, number)).count();
            assert_eq!(asked, usize::from(number < MAX_TABLES), "key {number}");
            assert!(!keys.times.contains_key(&key(number)), "key {number}");
        }
        // While its table is made a key goes without.
        assert!(matches!(keys.ask(&key(0)), TableAnswer::Without));
        let made = Arc::new(Multiples::of(ED25519_BASEPOINT_POINT));
        keys.tables.insert(key(0), Some(made));
        assert!(matches!(keys.ask(&key(0)), TableAnswer::Table(_)));
    }

    #[test]
    fn a_table_is_made_at_the_last_of_so_many_questions() {
        let mut keys = Keys::default();
        let asked: Vec<bool> = (0..OFTEN).map(|_| matches!(keys.ask(&[1; 32]), TableAnswer::Make)).collect();
        assert_eq!(asked.iter().position(|make| *make), asked.len().checked_sub(1));
    }

    /// In one test, because keys that come later get no tables.
    #[test]
    fn keys_that_sign_often_and_more_of_them_than_are_counted_are_judged_as_before() {
        one_key_signs_often();
        more_keys_than_are_counted_are_never_taken_for_each_other();
    }

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
                assert!(holds(&key, &message, &signature));
                assert!(!holds(&neighbour, &message, &signature));
                neighbour = key;
            }
        }
    }

    fn one_key_signs_often() {
        let signer = SigningKey::from_bytes(&[9; 32]);
        let key = signer.verifying_key();
        for number in 0..3 * OFTEN {
            let message = number.to_le_bytes();
            let signature = signer.sign(&message);
            assert!(holds(&key, &message, &signature), "{number}");
            assert!(!holds(&key, b"something else", &signature), "{number}");
        }
        assert!(AT_HAND.with_borrow(|own| own.tables.contains_key(key.as_bytes())));
    }
}
