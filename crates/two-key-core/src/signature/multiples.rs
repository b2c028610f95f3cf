//! Multiples of a point that is multiplied often, so that each product is a few additions.
//!
//! The product's time depends on the scalar. That is for verifying, where all numbers are public; no secret may come here.

use curve25519_dalek::{EdwardsPoint, Scalar, traits::Identity as _};

/// Bits of a digit. With one more a product is a ninth quicker, and its table twice as large.
const WIDTH: usize = 10;
/// Digits of a scalar, which is below 2^253: the last digit takes what the one before it carries.
const DIGITS: usize = 256_usize.div_ceil(WIDTH);
/// Digits are from `1 - LARGEST` to `LARGEST`, since a point's negative costs nothing.
const LARGEST: usize = 1 << (WIDTH - 1);

/// For each digit of a scalar the products of a point with all that the digit can stand for: 2 MiB.
pub(super) struct Multiples(Vec<EdwardsPoint>);

impl Multiples {
    /// The multiples of a point.
    pub(super) fn of(point: EdwardsPoint) -> Self {
        let mut multiples = Vec::with_capacity(DIGITS * LARGEST);
        let mut unit = point;
        for _ in 0..DIGITS {
            let mut multiple = unit;
            for _ in 1..LARGEST {
                multiples.push(multiple);
                multiple += unit;
            }
            multiples.push(multiple);
            unit = multiple + multiple;
        }
        Self(multiples)
    }

    /// Adds the product of the point with a scalar to a sum.
    pub(super) fn gather(&self, scalar: &Scalar, sum: &mut Sum) {
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
pub(super) struct Sum {
    added: Vec<EdwardsPoint>,
    subtracted: Vec<EdwardsPoint>,
}

impl Sum {
    /// The sum of all that has been gathered, which begins anew.
    pub(super) fn take(&mut self) -> EdwardsPoint {
        let sum = self.added.iter().fold(EdwardsPoint::identity(), |sum, term| sum + term);
        let sum = self.subtracted.iter().fold(sum, |sum, term| sum - term);
        self.added.clear();
        self.subtracted.clear();
        sum
    }
}

/// A scalar's digits, the lowest first.
fn digits(scalar: &Scalar) -> [i16; DIGITS] {
    const BASE: i16 = 1 << WIDTH;
    let bytes = scalar.to_bytes();
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
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
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

    fn product(multiples: &Multiples, scalar: &Scalar) -> EdwardsPoint {
        let mut sum = Sum::default();
        multiples.gather(scalar, &mut sum);
        sum.take()
    }

    #[test]
    fn extreme_products_are_what_the_library_computes() {
        let point = ED25519_BASEPOINT_POINT * Scalar::from(7_u8) + EIGHT_TORSION[1];
        let multiples = Multiples::of(point);
        for scalar in extremes() {
            assert_eq!(product(&multiples, &scalar), point * scalar, "{scalar:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn digits_are_within_the_table_and_make_up_their_scalar(scalar in any_scalar()) {
            let digits = digits(&scalar);
            let most = i16::try_from(LARGEST).unwrap();
            prop_assert!(digits.iter().all(|digit| (1 - most..=most).contains(digit)));
            prop_assert_eq!(number(&digits), scalar);
        }

        #[test]
        fn products_are_what_the_library_computes(of in any_scalar(), torsion in 0_usize..8, scalar in any_scalar()) {
            let point = ED25519_BASEPOINT_POINT * of + EIGHT_TORSION[torsion];
            prop_assert_eq!(product(&Multiples::of(point), &scalar), point * scalar);
        }
    }
}
