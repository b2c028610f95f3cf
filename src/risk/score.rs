//! The model, and the score that it gives: a percentile among the repository's own recent changes.

use serde::Serialize;

use super::features::{Feature, Features};

/// How many of the last changes a score is compared with.
pub const LAST: usize = 1000;

/// A logit: a sum of weighted features, pinned by its name. The name also pins [`LAST`] and
/// [`HISTORY`](super::HISTORY), since they have a say in the score.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name, as leases and policies write it.
    pub name: &'static str,
    /// What is added to every sum. It shifts all changes alike, so no percentile depends on it.
    pub intercept: f64,
    /// The weighted features.
    pub terms: [Term; 7],
}

/// One weighted feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// The feature.
    pub feature: Feature,
    /// Its weight.
    pub weight: f64,
}

const fn term(feature: Feature, weight: f64) -> Term {
    Term { feature, weight }
}

/// The compact model over six projects and 94,918 changes (data: Zeng et al., ISSTA 2021).
pub const MODEL: Model = Model {
    name: "two-key-1",
    intercept: -2.842,
    terms: [
        term(Feature::La, 0.419),
        term(Feature::Nf, 0.214),
        term(Feature::Entropy, 0.063),
        term(Feature::Ndev, -0.031),
        term(Feature::Sexp, 0.0003),
        term(Feature::Fix, 1.094),
        term(Feature::Ld, 0.072),
    ],
};

/// A logit in millionths. Whole numbers compare the same everywhere, whatever a platform's logarithm does to the last
/// digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Logit(i64);

impl Term {
    /// The feature as the model takes it: counts by their logarithm, shares and yes or no as they are.
    pub fn scaled(self, value: f64) -> f64 {
        match self.feature {
            Feature::Entropy | Feature::Fix => value,
            _ => value.ln_1p(),
        }
    }

    /// What the feature adds to the logit.
    pub fn adds(self, value: f64) -> f64 {
        self.weight * self.scaled(value)
    }
}

impl Model {
    /// The sum. A feature that was left out adds nothing.
    pub fn logit(&self, features: &Features) -> Logit {
        let terms = self.terms.iter().filter_map(|term| Some(term.adds(*features.get(&term.feature)?)));
        let sum = self.intercept + terms.sum::<f64>();
        // Far within range: no term of a repository that fits on a disk exceeds a hundred.
        #[allow(clippy::cast_possible_truncation)]
        Logit((sum * 1e6).round() as i64)
    }
}

/// The percentage of a population that is below a value, those equal to it counting half; rounded, half up.
///
/// In an empty population everything is at the top: what cannot be compared is not called safe.
pub fn percentile<T: PartialOrd>(population: &[T], value: &T) -> u8 {
    if population.is_empty() {
        return 100;
    }
    let below = population.iter().filter(|other| *other < value).count();
    let equal = population.iter().filter(|other| *other == value).count();
    let halves = 2 * below + equal;
    let percent = (100 * halves + population.len()) / (2 * population.len());
    u8::try_from(percent.min(100)).unwrap_or(100)
}

/// The lower median.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compact_logit_is_the_published_sum() {
        let features = Features::from([
            (Feature::La, 640.0),
            (Feature::Nf, 14.0),
            (Feature::Entropy, 0.5),
            (Feature::Ndev, 3.0),
            (Feature::Sexp, 20.0),
            (Feature::Fix, 1.0),
            (Feature::Ld, 12.0),
            (Feature::Age, 1e9),
        ]);
        // -2.842 + .419 ln 641 + .214 ln 15 + .063 * .5 - .031 ln 4 + .0003 ln 21 + 1.094 + .072 ln 13
        // = -2.842 + 2.708009 + 0.579523 + 0.0315 - 0.042975 + 0.000913 + 1.094 + 0.184676
        assert_eq!(MODEL.logit(&features).0, 1_713_647);
        assert_eq!(MODEL.logit(&Features::new()), Logit(-2_842_000));
    }

    #[test]
    fn what_is_left_out_adds_nothing() {
        let with = Features::from([(Feature::La, 9.0), (Feature::Sexp, 1000.0)]);
        let without = Features::from([(Feature::La, 9.0)]);
        assert_eq!(MODEL.logit(&with).0 - MODEL.logit(&without).0, 2073); // .0003 ln 1001 = .0020726
    }

    #[test]
    fn percentiles_count_equals_half_and_nothing_is_the_top() {
        assert_eq!(percentile::<i64>(&[], &5), 100);
        assert_eq!(percentile(&[1, 2, 3, 4], &0), 0);
        assert_eq!(percentile(&[1, 2, 3, 4], &9), 100);
        assert_eq!(percentile(&[1, 2, 3, 4], &3), 63); // 2 below, 1 equal: 62.5
        assert_eq!(percentile(&[7, 7, 7], &7), 50);
    }

    #[test]
    fn the_median_is_a_value_that_occurs() {
        assert_eq!(median(vec![3.0, 1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
