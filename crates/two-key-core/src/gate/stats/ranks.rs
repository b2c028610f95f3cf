//! Ranks of two samples, compared: Mann and Whitney's U. For one look, not for many.

use std::iter::successors;

use libm::erfc;

/// Up to this size on each side, untied samples get an exact p-value.
const EXACT_UP_TO: usize = 20;

/// How many hosts' observations may stand in turn, at most.
const MOST_HOSTS: usize = 32;
/// How many observations of each host that takes at least.
const SHORTEST_SERIES: usize = 4;
/// From how many standard deviations on a correlation is beyond chance, of all that are looked at.
const BEYOND_CHANCE: f64 = 4.0;

/// The most pairs of which the median difference is computed.
const MAX_PAIRS: usize = 1_000_000;

/// Two samples compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannWhitney {
    /// How many pairs the first sample wins, ties counting half.
    pub u: f64,
    /// The chance of such a `u` or a larger one if both samples are of one distribution: the first tends to be larger.
    pub p_greater: f64,
    /// The chance of such a `u` or a smaller one: the first tends to be smaller.
    pub p_less: f64,
    /// The chance of a `u` as far off as this on either side.
    pub p_two_sided: f64,
    /// Vargha and Delaney's A12: the probability that one of the first sample exceeds one of the second, ties counting
    /// half. 0.5 is no effect.
    pub a12: f64,
}

/// How a p-value is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By counting all orders. For samples without ties.
    Exact,
    /// By the normal distribution, corrected for ties, and for continuity.
    Normal,
    /// The same without the correction for continuity.
    NormalWithoutContinuity,
}

/// Compares two samples of finite numbers that are independent; none if one of them is empty. Small untied samples get exact
/// p-values.
pub fn mann_whitney(first: &[f64], second: &[f64]) -> Option<MannWhitney> {
    let small = first.len() <= EXACT_UP_TO && second.len() <= EXACT_UP_TO;
    let method = if small && ranked(first, second).ties == 0.0 { Method::Exact } else { Method::Normal };
    compare(first, second, method)
}

/// The same of samples in the order in which they were observed: those that resemble the ones before them count for fewer, see
/// [`effective`].
pub fn mann_whitney_in_order(first: &[f64], second: &[f64]) -> Option<MannWhitney> {
    let share = effective_share(first, second);
    if share < 1.0 { tails(first, second, Method::Normal, share) } else { mann_whitney(first, second) }
}

/// The smallest one-sided p-value that two samples could give in the order in which they were observed, if each of one exceeded each
/// of the other. What resembles the ones before it shows little, however many there are of it.
pub fn smallest_p_in_order(first: &[f64], second: &[f64]) -> f64 {
    let (n, m) = (size(first), size(second));
    let share = effective_share(first, second);
    if share < 1.0 { normal_tails(n, m, n * m, 0.0, share, 0.5).1 } else { smallest_p(first.len(), second.len()) }
}

/// Which part of two samples' observations counts: the harmonic mean of both sides' [`effective`].
fn effective_share(first: &[f64], second: &[f64]) -> f64 {
    2.0 / (1.0 / effective(first) + 1.0 / effective(second))
}

/// Which part of a sample's observations counts, as if they were independent: `(1 - r) / (1 + r)` for the correlation `r` of
/// each one's rank with that of the next one, corrected for its bias in small samples; at most 1. Observations of several hosts may
/// stand in turn: the same of the second next, and so on up to the 32nd, where that correlation is beyond chance, and the least of
/// these counts. What comes and goes in turn resembles itself as well, and is made up for by what is in between: of the correlation
/// and the sum of all up to it, the smaller one is taken.
pub fn effective(sample: &[f64]) -> f64 {
    let n = size(sample);
    let mean = f64::midpoint(n, 1.0);
    let ranks: Vec<f64> = ranks(sample).into_iter().map(|rank| rank - mean).collect();
    let all: f64 = ranks.iter().map(|rank| rank * rank).sum();
    if n < 3.0 || all <= 0.0 {
        return 1.0;
    }
    let longest = (sample.len() / SHORTEST_SERIES).clamp(1, MOST_HOSTS);
    let (mut least, mut sum) = (1.0_f64, 0.0);
    for lag in 1..=longest {
        let pairs: f64 = ranks.iter().zip(ranks.iter().skip(lag)).map(|(one, next)| one * next).sum();
        let raw = pairs / all;
        sum += raw;
        if lag > 1 && raw.min(sum) <= BEYOND_CHANCE / n.sqrt() {
            continue;
        }
        #[allow(clippy::cast_precision_loss, reason = "a few dozen at most")]
        let each = n / lag as f64;
        let raw = raw.min(sum);
        let r = (raw + (1.0 + 4.0 * raw) / each).clamp(0.0, 0.99);
        least = least.min((1.0 - r) / (1.0 + r));
    }
    least
}

/// Each number's rank in its sample, from 1; ties share theirs.
fn ranks(sample: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = sample.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranks = vec![0.0; sample.len()];
    let mut before = 0.0;
    #[allow(clippy::float_cmp, reason = "ties are equal numbers, to the bit")]
    for group in order.chunk_by(|a, b| a.1 == b.1) {
        #[allow(clippy::cast_precision_loss)]
        let length = group.len() as f64;
        for (index, _) in group {
            if let Some(rank) = ranks.get_mut(*index) {
                *rank = before + f64::midpoint(length, 1.0);
            }
        }
        before += length;
    }
    ranks
}

/// The same of independent observations, by a method of one's own choice; exact p-values of tied samples are wrong.
pub fn compare(first: &[f64], second: &[f64], method: Method) -> Option<MannWhitney> {
    tails(first, second, method, 1.0)
}

/// The same where only a share of the observations counts.
fn tails(first: &[f64], second: &[f64], method: Method, share: f64) -> Option<MannWhitney> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let (n, m) = (size(first), size(second));
    let Ranked { sum, ties } = ranked(first, second);
    let u = sum - n * (n + 1.0) / 2.0;
    let (p_less, p_greater) = match method {
        Method::Exact => exact_tails(first.len(), second.len(), u),
        Method::Normal => normal_tails(n, m, u, ties, share, 0.5),
        Method::NormalWithoutContinuity => normal_tails(n, m, u, ties, share, 0.0),
    };
    let p_two_sided = (2.0 * p_less.min(p_greater)).min(1.0);
    Some(MannWhitney { u, p_greater, p_less, p_two_sided, a12: u / (n * m) })
}

/// Hodges and Lehmann's estimate of how much larger the first sample is: the median of all pairwise differences. None
/// where there is no pair, or more than a million.
pub fn shift(first: &[f64], second: &[f64]) -> Option<f64> {
    let pairs = first.len().checked_mul(second.len()).filter(|pairs| (1..=MAX_PAIRS).contains(pairs))?;
    let mut differences: Vec<f64> = first.iter().flat_map(|a| second.iter().map(move |b| a - b)).collect();
    differences.sort_by(f64::total_cmp);
    let (low, high) = (differences.get((pairs - 1) / 2)?, differences.get(pairs / 2)?);
    Some(f64::midpoint(*low, *high)).filter(|shift| shift.is_finite())
}

/// The smallest one-sided p-value that samples of these sizes could ever give: one order of all.
pub fn smallest_p(n: usize, m: usize) -> f64 {
    // From the smaller binomial coefficients up, so that nothing overflows before it is small beyond use.
    let (larger, smaller) = (n.max(m), n.min(m));
    (1..=smaller).map(|k| ratio(k, larger + k)).product()
}

#[allow(clippy::cast_precision_loss, reason = "samples are far below the largest whole number that is exact")]
fn ratio(a: usize, b: usize) -> f64 {
    a as f64 / b as f64
}

/// A sample's size. Samples are far below the largest whole number that is exact.
#[allow(clippy::cast_precision_loss)]
fn size(sample: &[f64]) -> f64 {
    sample.len() as f64
}

struct Ranked {
    /// The first sample's ranks, summed; ties share theirs.
    sum: f64,
    /// Σ (t³ - t) over groups of t equal numbers.
    ties: f64,
}

fn ranked(first: &[f64], second: &[f64]) -> Ranked {
    let ours = first.iter().map(|number| (*number, 1.0));
    let mut all: Vec<(f64, f64)> = ours.chain(second.iter().map(|number| (*number, 0.0))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    // Zero has two signs and is one number.
    #[allow(clippy::float_cmp, reason = "ties are equal numbers, to the bit")]
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        #[allow(clippy::cast_precision_loss)]
        let length = group.len() as f64;
        let rank = before + f64::midpoint(length, 1.0);
        sum += rank * group.iter().map(|(_, ours)| ours).sum::<f64>();
        ties += length * length * length - length;
        before += length;
    }
    Ranked { sum, ties }
}

/// The chances of at most and of at least `u`, counted.
fn exact_tails(n: usize, m: usize, u: f64) -> (f64, f64) {
    let orders = orders(n, m);
    let all: f64 = orders.iter().sum();
    let values = || successors(Some(0.0), |value| Some(value + 1.0)).zip(&orders);
    let less: f64 = values().filter(|(value, _)| *value <= u).map(|(_, count)| count).sum();
    let greater: f64 = values().filter(|(value, _)| *value >= u).map(|(_, count)| count).sum();
    (less / all, greater / all)
}

/// In how many orders of `n` and `m` numbers U is 0, 1, … `n m`: the coefficients of the Gaussian binomial, the product
/// of `(1 - x^(m + i)) / (1 - x^i)` for `i` in 1 to `n`. Exact while they are below 2^53.
fn orders(n: usize, m: usize) -> Vec<f64> {
    let mut orders = vec![0.0; n * m + 1];
    if let Some(first) = orders.first_mut() {
        *first = 1.0;
    }
    for i in 1..=n {
        for value in (m + i..orders.len()).rev() {
            orders[value] -= orders[value - m - i];
        }
        for value in i..orders.len() {
            orders[value] += orders[value - i];
        }
    }
    orders
}

/// The chances of at most and of at least `u`, by the normal distribution, where a share of the observations counts.
fn normal_tails(n: f64, m: f64, u: f64, ties: f64, share: f64, continuity: f64) -> (f64, f64) {
    let all = n + m;
    let mean = n * m / 2.0;
    let deviation = (n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0))) / share).sqrt();
    if deviation.is_nan() || deviation <= 0.0 {
        // All numbers are equal: nothing speaks for a difference.
        return (1.0, 1.0);
    }
    let tail = |beyond: f64| 0.5 * erfc(beyond / deviation / std::f64::consts::SQRT_2);
    (tail(mean - u - continuity), tail(u - mean - continuity))
}
