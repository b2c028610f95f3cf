//! Fitting the model's weights to one repository's own past, and saying honestly how well that went.

use std::collections::{BTreeMap, HashSet};

use schemars::JsonSchema;
use serde::Serialize;
use smartcore::{
    linalg::basic::matrix::DenseMatrix,
    linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters},
};

use crate::model::{Oid, Reason, Refusal};

use super::{
    Feature, Features, MODEL,
    factors::DAYS,
    facts::{ChangeFacts, CommitFacts},
    features::Past,
};

/// How many of the newest changes are labelled.
pub const LABELLED: usize = 8000;
/// Fewer labels carry no claim.
const MIN_LABELS: usize = 200;
/// Of each kind, for each weight that is fitted (Peduzzi et al. 1996).
const MIN_A_WEIGHT: usize = 10;
/// Of each kind among the changes that the fit is tested on.
const MIN_TESTED: usize = 10;
/// Draws weights towards nothing, by as much as one change could.
const RIDGE: f64 = 1.0;
/// Standard deviations of a two-sided 95 % interval.
const Z95: f64 = 1.96;

/// A change whose outcome is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// Its features.
    pub features: Features,
    /// Whether it was reverted or rolled back.
    pub bad: bool,
    /// When it was made.
    pub time: i64,
}

/// The outcomes that a history and a ledger tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// The changes, oldest first.
    pub labelled: Vec<Labelled>,
    /// How many are there, by outcome.
    pub counts: Counts,
}

/// How many changes had which outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Counts {
    /// Commits that a later commit says it reverts.
    pub reverted: usize,
    /// Commits that none does, after ninety days.
    pub kept: usize,
    /// Leases that were rolled back.
    pub rolled_back: usize,
    /// Leases that were completed and not rolled back.
    pub completed: usize,
    /// Commits too young to tell.
    pub too_young: usize,
}

/// A lease whose outcome the ledger tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedLease {
    /// Its change.
    pub change: ChangeFacts,
    /// Whether it was rolled back.
    pub rolled_back: bool,
}

/// Labels a history (newest change first) and ended leases, each measured against what came before it.
pub fn label(history: &[CommitFacts], ended: &[EndedLease]) -> Labels {
    let named: HashSet<&str> = history.iter().filter_map(|commit| commit.by.message.reverts.as_deref()).collect();
    let (full, short): (HashSet<&str>, HashSet<&str>) = named.into_iter().partition(|name| Oid::parse(name).is_some());
    let reverted = |id: &str| full.contains(id) || short.iter().any(|name| id.starts_with(name));
    let young = history.first().map_or(0, |newest| newest.time.saturating_sub(DAYS * 86_400));
    let mut past = Past::default();
    let mut labels = Labels { labelled: Vec::new(), counts: Counts::default() };
    let unlabelled = history.len().saturating_sub(LABELLED);
    for (place, commit) in history.iter().rev().enumerate() {
        if place >= unlabelled {
            let bad = reverted(&commit.id.to_string());
            labels.commit(Labelled { features: past.of(commit), bad, time: commit.time }, young);
        }
        past.push(commit);
        for lease in ended.iter().filter(|lease| lease.change.from == Some(commit.id)) {
            let change = &lease.change;
            let features = past.next(&change.files, &change.commits, change.time);
            labels.lease(Labelled { features, bad: lease.rolled_back, time: change.time });
        }
    }
    labels.labelled.sort_by_key(|labelled| labelled.time);
    labels
}

impl Labels {
    fn commit(&mut self, labelled: Labelled, young: i64) {
        let count = match (labelled.bad, labelled.time > young) {
            (true, _) => &mut self.counts.reverted,
            (false, true) => &mut self.counts.too_young,
            (false, false) => &mut self.counts.kept,
        };
        *count += 1;
        if labelled.bad || labelled.time <= young {
            self.labelled.push(labelled);
        }
    }

    fn lease(&mut self, labelled: Labelled) {
        let count = if labelled.bad { &mut self.counts.rolled_back } else { &mut self.counts.completed };
        *count += 1;
        self.labelled.push(labelled);
    }
}

/// What a fit is worth.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Calibration {
    /// Outcomes.
    pub labels: Counts,
    /// Changes that the weights were fitted to: the older two thirds.
    pub trained_on: usize,
    /// Changes that they were tested on: the newer third.
    pub tested_on: usize,
    /// How well each ranks the changes that it was tested on.
    pub auc: Vec<Ranking>,
    /// The fitted weights, by feature.
    pub weights: BTreeMap<&'static str, f64>,
    /// The fitted intercept. It belongs to the share of bad changes among the labels, and to no other.
    pub intercept: f64,
}

/// How well something ranks bad changes above good ones.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Ranking {
    /// What ranks.
    pub by: &'static str,
    /// The chance that of a bad and a good change drawn at random it ranks the bad one higher.
    pub auc: f64,
    /// Half the width of the 95 % interval (Hanley and `McNeil` 1982).
    pub margin: f64,
}

/// Fits the model's features to the older two thirds of the labels, and tests on the newer third.
pub fn calibrate(labels: &Labels) -> Result<Calibration, Refusal> {
    let all = &labels.labelled;
    let (train, test) = all.split_at(all.len() * 2 / 3);
    enough(all, train, test)?;
    let (intercept, weights) = fit(train).ok_or_else(|| {
        let message = "the regression did not come to an end: the features say too little about the outcomes";
        Refusal::new(Reason::NoData, message)
    })?;
    let refitted = |change: &Labelled| sum(&weights, change);
    let published = |change: &Labelled| MODEL.terms.iter().map(|term| term.adds(value(change, term.feature))).sum();
    let size = |change: &Labelled| value(change, Feature::La);
    let auc = vec![
        ranking("refitted", test, refitted),
        ranking(MODEL.name, test, published),
        ranking("lines added alone", test, size),
    ];
    let names = MODEL.terms.iter().map(|term| term.feature.name());
    Ok(Calibration {
        labels: labels.counts,
        trained_on: train.len(),
        tested_on: test.len(),
        auc,
        weights: names.zip(weights).collect(),
        intercept,
    })
}

fn enough(all: &[Labelled], train: &[Labelled], test: &[Labelled]) -> Result<(), Refusal> {
    let refuse = |what: String| {
        let hint = "go on with the published weights; the percentile needs no calibration";
        Err(Refusal::new(Reason::NoData, format!("{what}: too few to carry a claim")).hint(hint))
    };
    if all.len() < MIN_LABELS {
        return refuse(format!("{} labelled changes, where at least {MIN_LABELS} are needed", all.len()));
    }
    let parts = [("to fit", train, MIN_A_WEIGHT * MODEL.terms.len()), ("to test on", test, MIN_TESTED)];
    for (what, part, least) in parts {
        let bad = part.iter().filter(|change| change.bad).count();
        let good = part.len() - bad;
        if bad < least || good < least {
            return refuse(format!("{bad} bad and {good} good changes {what}, where {least} of each are needed"));
        }
    }
    Ok(())
}

fn value(change: &Labelled, feature: Feature) -> f64 {
    change.features.get(&feature).copied().unwrap_or_default()
}

/// The model's terms of a change, before they are weighted.
fn row(change: &Labelled) -> Vec<f64> {
    MODEL.terms.iter().map(|term| term.scaled(value(change, term.feature))).collect()
}

fn sum(weights: &[f64], change: &Labelled) -> f64 {
    row(change).iter().zip(weights).map(|(value, weight)| value * weight).sum()
}

/// The intercept and the weights. Terms are brought to one scale first, so that the ridge treats them alike.
fn fit(train: &[Labelled]) -> Option<(f64, Vec<f64>)> {
    // Only here: it gives vectors a `get` that panics.
    use smartcore::linalg::basic::arrays::Array as _;

    let mut rows: Vec<Vec<f64>> = train.iter().map(row).collect();
    let scales: Vec<(f64, f64)> = (0..MODEL.terms.len()).map(|column| scale(&rows, column)).collect();
    for row in &mut rows {
        for (value, (mean, deviation)) in row.iter_mut().zip(&scales) {
            *value = (*value - mean) / deviation;
        }
    }
    let outcomes: Vec<i32> = train.iter().map(|change| i32::from(change.bad)).collect();
    let matrix = DenseMatrix::from_2d_vec(&rows).ok()?;
    let parameters = LogisticRegressionParameters::default().with_alpha(RIDGE);
    let fitted = LogisticRegression::fit(&matrix, &outcomes, parameters).ok()?;
    let mut intercept = *fitted.intercept().get((0, 0));
    let mut weights = Vec::new();
    for (column, (mean, deviation)) in scales.iter().enumerate() {
        let weight = *fitted.coefficients().get((0, column)) / deviation;
        intercept -= weight * mean;
        weights.push(weight);
    }
    let finite = intercept.is_finite() && weights.iter().all(|weight| weight.is_finite());
    finite.then_some((intercept, weights))
}

/// A column's mean and standard deviation; a constant column has the deviation 1.
fn scale(rows: &[Vec<f64>], column: usize) -> (f64, f64) {
    let values = || rows.iter().filter_map(|row| row.get(column));
    let number = super::features::count(rows.len().max(1));
    let mean = values().sum::<f64>() / number;
    let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / number).sqrt();
    (mean, if deviation > 1e-9 { deviation } else { 1.0 })
}

fn ranking(by: &'static str, test: &[Labelled], score: impl Fn(&Labelled) -> f64) -> Ranking {
    let scores: Vec<(f64, bool)> = test.iter().map(|change| (score(change), change.bad)).collect();
    let bad = super::features::count(scores.iter().filter(|(_, bad)| *bad).count());
    let auc = auc(scores);
    let good = super::features::count(test.len()) - bad;
    let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let variance = auc.mul_add(1.0 - auc, (bad - 1.0) * (q1 - auc * auc) + (good - 1.0) * (q2 - auc * auc));
    Ranking { by, auc, margin: Z95 * (variance.max(0.0) / (bad * good)).sqrt() }
}

/// The area under the curve: the share of pairs of a bad and a good change where the bad one has the higher score,
/// equal ones counting half. One half if there are no such pairs.
pub fn auc(mut scores: Vec<(f64, bool)>) -> f64 {
    scores.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut pairs, mut bad_so_far, mut good_so_far) = (0.0, 0.0, 0.0);
    for equal in scores.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
        let bad = super::features::count(equal.iter().filter(|(_, bad)| *bad).count());
        let good = super::features::count(equal.len()) - bad;
        pairs += bad * (good_so_far + good / 2.0);
        bad_so_far += bad;
        good_so_far += good;
    }
    if bad_so_far > 0.0 && good_so_far > 0.0 { pairs / (bad_so_far * good_so_far) } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same in every run (a linear congruential generator).
    struct Dice(u64);

    impl Dice {
        fn throw(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX)
        }
    }

    /// Changes that go wrong with log odds `-3 + 1.0 ln(1+LA)`, whatever else they are.
    fn sample(number: usize) -> Labels {
        let mut dice = Dice(7);
        let labelled = (0..number).map(|time| {
            let (la, nf) = ((dice.throw() * 6.0).exp().floor(), (dice.throw() * 2.0).exp().floor());
            let odds = (-3.0 + la.ln_1p()).exp();
            let features = Features::from([(Feature::La, la), (Feature::Nf, nf), (Feature::Fix, dice.throw().round())]);
            Labelled { features, bad: dice.throw() < odds / (1.0 + odds), time: i64::try_from(time).unwrap() }
        });
        Labels { labelled: labelled.collect(), counts: Counts::default() }
    }

    #[test]
    fn the_weights_that_made_the_labels_are_found_again() {
        let calibration = calibrate(&sample(6000)).unwrap();
        assert_eq!((calibration.trained_on, calibration.tested_on), (4000, 2000));
        assert!((calibration.weights["LA"] - 1.0).abs() < 0.1, "{calibration:?}");
        assert!((calibration.intercept + 3.0).abs() < 0.4, "{calibration:?}");
        assert!(calibration.weights["NF"].abs() < 0.2 && calibration.weights["FIX"].abs() < 0.2, "{calibration:?}");
        let refitted = &calibration.auc[0];
        assert!(refitted.auc > 0.8 && refitted.margin < 0.03, "{refitted:?}");
    }

    #[test]
    fn labels_without_a_pattern_give_a_coin() {
        let mut labels = sample(6000);
        let mut dice = Dice(99);
        for labelled in &mut labels.labelled {
            labelled.bad = dice.throw() < 0.3;
        }
        let calibration = calibrate(&labels).unwrap();
        for ranking in calibration.auc {
            assert!((ranking.auc - 0.5).abs() < 2.0 * ranking.margin, "{ranking:?}");
        }
    }

    #[test]
    fn too_few_labels_carry_no_claim() {
        let refusal = calibrate(&sample(199)).unwrap_err();
        assert_eq!(refusal.reason, Reason::NoData);
        assert!(refusal.message.contains("199 labelled changes, where at least 200"), "{refusal}");
        let mut lucky = sample(6000);
        for (place, labelled) in lucky.labelled.iter_mut().enumerate() {
            labelled.bad = place % 100 == 0;
        }
        let refusal = calibrate(&lucky).unwrap_err();
        assert!(refusal.message.contains("40 bad and 3960 good changes to fit, where 70 of each"), "{refusal}");
        for (place, labelled) in lucky.labelled.iter_mut().enumerate() {
            labelled.bad = place % 100 == 0 || (place < 4000 && place % 10 == 5);
        }
        lucky.labelled.truncate(5000);
        assert!(calibrate(&lucky).is_ok());
        lucky.labelled.drain(4001..);
        for labelled in lucky.labelled.iter_mut().skip(2667) {
            labelled.bad = false;
        }
        let refusal = calibrate(&lucky).unwrap_err();
        assert!(refusal.message.contains("0 bad and 1334 good changes to test on, where 10 of each"), "{refusal}");
    }

    #[test]
    fn the_area_counts_pairs() {
        // Bad 2 is above good 1 and level with good 2, bad 3 is above both: 3.5 of 4.
        assert_eq!(auc(vec![(3.0, true), (2.0, false), (1.0, false), (2.0, true)]).to_bits(), 0.875_f64.to_bits());
        assert_eq!(auc(vec![(1.0, true), (2.0, false)]).to_bits(), 0.0_f64.to_bits());
        assert_eq!(auc(vec![(1.0, false)]).to_bits(), 0.5_f64.to_bits());
    }
}
