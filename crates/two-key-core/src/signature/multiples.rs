//! Multiples of points that are multiplied often, so that each product is a few additions, and which points these are.
//!
//! The product's time depends on the scalar. That is for verifying, where all numbers are public; no secret may come here.

use std::{
    collections::HashMap,
    hash::Hash,
    ops::{AddAssign, SubAssign},
    sync::{Arc, Mutex},
};

/// Bits of a digit. With one more a product is a ninth quicker, and its table twice as large.
const WIDTH: usize = 10;
/// Digits of a scalar, which is below 2^256: the last digit takes what the one before it carries.
const DIGITS: usize = 256_usize.div_ceil(WIDTH);
/// Digits are from `1 - LARGEST` to `LARGEST`, since a point's negative costs nothing.
const LARGEST: usize = 1 << (WIDTH - 1);

/// A point of some group, none at all by default.
pub(super) trait CurvePoint: Copy + Default + AddAssign + SubAssign {}

impl<P: Copy + Default + AddAssign + SubAssign> CurvePoint for P {}

/// For each digit of a scalar the products of a point with all that the digit can stand for: 2 MiB of an Edwards point.
pub(super) struct Multiples<P>(Vec<P>);

impl<P: CurvePoint> Multiples<P> {
    /// The multiples of a point.
    pub(super) fn of(point: P) -> Self {
        let mut multiples = Vec::with_capacity(DIGITS * LARGEST);
        let mut unit = point;
        for _ in 0..DIGITS {
            let mut multiple = unit;
            for _ in 1..LARGEST {
                multiples.push(multiple);
                multiple += unit;
            }
            multiples.push(multiple);
            unit = multiple;
            unit += multiple;
        }
        Self(multiples)
    }

    /// Adds the product of the point with a scalar, whose lowest byte comes first, to a sum.
    pub(super) fn gather(&self, scalar: &[u8; 32], sum: &mut Sum<P>) {
        for (digit, multiples) in digits(scalar).into_iter().zip(self.0.chunks_exact(LARGEST)) {
            // No multiple stands for a digit of zero.
            let multiple = usize::from(digit.unsigned_abs()).checked_sub(1).and_then(|at| multiples.get(at));
            let terms = if digit > 0 { &mut sum.added } else { &mut sum.subtracted };
            terms.extend(multiple);
        }
    }
}

/// A sum of multiples. They are gathered before they are added, because looking up waits for memory, and for many places
/// at once no longer than for one.
#[derive(Default)]
pub(super) struct Sum<P> {
    added: Vec<P>,
    subtracted: Vec<P>,
}

impl<P: CurvePoint> Sum<P> {
    /// The sum of all that has been gathered, which begins anew.
    pub(super) fn take(&mut self) -> P {
        let mut sum = P::default();
        self.added.drain(..).for_each(|term| sum += term);
        self.subtracted.drain(..).for_each(|term| sum -= term);
        sum
    }
}

/// Signatures that are seen of a key before its table is made. That takes about as long as verifying a hundred: whoever signs no
/// more than this has cost nothing, and of whoever signs more most sign many more.
pub(super) const OFTEN: u32 = 64;
/// Keys that are counted at a time.
pub(super) const MAX_COUNTED: usize = 32;
/// Keys that get a table.
pub(super) const MAX_TABLES: usize = 16;

/// Keys, and what is known of them.
pub(super) struct Tables<K, P> {
    /// How often those that have no table were asked for.
    pub(super) times: HashMap<K, u32>,
    /// Tables of keys: none while one is being made, and never one of a weak key.
    pub(super) tables: HashMap<K, Option<Arc<Multiples<P>>>>,
}

impl<K, P> Default for Tables<K, P> {
    fn default() -> Self {
        Self { times: HashMap::new(), tables: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, P> Tables<K, P> {
    /// A key's table, or whether to make one, which is then for the asker to do. Meanwhile the others go without.
    pub(super) fn ask(&mut self, key: &K) -> TableAnswer<P> {
        if let Some(made) = self.tables.get(key) {
            return made.clone().map_or(TableAnswer::Without, TableAnswer::Table);
        }
        if self.tables.len() >= MAX_TABLES {
            return TableAnswer::Without;
        }
        if self.times.len() >= MAX_COUNTED && !self.times.contains_key(key) {
            self.times.clear();
        }
        let times = self.times.entry(*key).or_default();
        *times += 1;
        if *times < OFTEN {
            return TableAnswer::Without;
        }
        self.times.remove(key);
        self.tables.insert(*key, None);
        TableAnswer::Make
    }
}

/// What is said to whoever asks for a key's table.
pub(super) enum TableAnswer<P> {
    Table(Arc<Multiples<P>>),
    Make,
    Without,
}

/// The table of a key, if it has one or gets one now.
pub(super) fn table_of<K: Copy + Eq + Hash, P: CurvePoint>(
    tables: &Mutex<Tables<K, P>>,
    key: &K,
    make: impl FnOnce() -> Option<Multiples<P>>,
) -> Option<Arc<Multiples<P>>> {
    let asked = tables.lock().ok()?.ask(key);
    match asked {
        TableAnswer::Table(table) => Some(table),
        TableAnswer::Without => None,
        TableAnswer::Make => {
            let made = make().map(Arc::new);
            tables.lock().ok()?.tables.insert(*key, made.clone());
            made
        }
    }
}

/// A scalar's digits, the lowest first.
fn digits(bytes: &[u8; 32]) -> [i16; DIGITS] {
    const BASE: i16 = 1 << WIDTH;
    let byte = |at: usize| u32::from(bytes.get(at).copied().unwrap_or_default());
    let mut carry = 0;
    std::array::from_fn(|digit| {
        let bit = digit * WIDTH;
        let window = (byte(bit / 8) | byte(bit / 8 + 1) << 8 | byte(bit / 8 + 2) << 16) >> (bit % 8);
        let value = i16::try_from(window % (1 << WIDTH)).unwrap_or_default() + carry;
        carry = i16::from(usize::from(value.unsigned_abs()) > LARGEST);
        value - BASE * carry
    })
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::{
        Scalar,
        constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    };
    use p256::{FieldBytes, ProjectivePoint, elliptic_curve::ops::Reduce as _};
    use proptest::prelude::*;

    use super::*;

    /// The number that has these digits, the lowest first.
    fn number(digits: &[i16]) -> Scalar {
        digits.iter().rev().fold(Scalar::ZERO, |number, digit| {
            let size = Scalar::from(digit.unsigned_abs());
            number * Scalar::from(1_u16 << WIDTH) + if *digit < 0 { -size } else { size }
        })
    }

    /// Scalars at the ends: of their range, of a digit, of what carries through all digits.
    fn extremes() -> Vec<Scalar> {
        let mut extremes = vec![Scalar::ZERO, -Scalar::ONE];
        let half = i16::try_from(LARGEST).unwrap();
        for digit in [1, half - 1, half, half + 1, 2 * half - 1] {
            extremes.extend([number(&[digit]), number(&[digit; DIGITS - 1])]);
        }
        let powers = (0..253).scan(Scalar::ONE, |power, _| Some(std::mem::replace(power, *power + *power)));
        extremes.extend(powers.flat_map(|power| [power, power - Scalar::ONE, -power]));
        extremes
    }

    fn any_scalar() -> impl Strategy<Value = Scalar> {
        let random = any::<[u8; 64]>().prop_map(|bytes| Scalar::from_bytes_mod_order_wide(&bytes));
        prop_oneof![random, proptest::sample::select(extremes())]
    }

    fn product<P: CurvePoint>(multiples: &Multiples<P>, scalar: &[u8; 32]) -> P {
        let mut sum = Sum { added: Vec::new(), subtracted: Vec::new() };
        multiples.gather(scalar, &mut sum);
        sum.take()
    }

    /// Scalars of P-256: the ends of their range, powers of two and what is next to them, and what reads as them there.
    fn extremes_p256() -> Vec<p256::Scalar> {
        let powers = (0..256).scan(p256::Scalar::ONE, |power, _| Some(std::mem::replace(power, *power + *power)));
        let read = |scalar: Scalar| p256::Scalar::reduce(&FieldBytes::from(scalar.to_bytes()));
        powers
            .flat_map(|power| [power, power - p256::Scalar::ONE, -power])
            .chain(extremes().into_iter().map(read))
            .collect()
    }

    #[test]
    fn extreme_products_on_p256_are_what_the_library_computes() {
        let point = ProjectivePoint::GENERATOR * p256::Scalar::from(7_u64);
        let multiples = Multiples::of(point);
        for scalar in extremes_p256() {
            let mut bytes: [u8; 32] = scalar.to_bytes().into();
            bytes.reverse();
            assert_eq!(product(&multiples, &bytes), point * scalar, "{scalar:?}");
        }
    }

    #[test]
    fn extreme_products_are_what_the_library_computes() {
        let point = ED25519_BASEPOINT_POINT * Scalar::from(7_u8) + EIGHT_TORSION[1];
        let multiples = Multiples::of(point);
        for scalar in extremes() {
            assert_eq!(product(&multiples, scalar.as_bytes()), point * scalar, "{scalar:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn digits_are_within_the_table_and_make_up_their_scalar(scalar in any_scalar()) {
            let digits = digits(scalar.as_bytes());
            let most = i16::try_from(LARGEST).unwrap();
            prop_assert!(digits.iter().all(|digit| (1 - most..=most).contains(digit)));
            prop_assert_eq!(number(&digits), scalar);
        }

        #[test]
        fn products_are_what_the_library_computes(of in any_scalar(), torsion in 0_usize..8, scalar in any_scalar()) {
            let point = ED25519_BASEPOINT_POINT * of + EIGHT_TORSION[torsion];
            prop_assert_eq!(product(&Multiples::of(point), scalar.as_bytes()), point * scalar);
        }
    }
}
