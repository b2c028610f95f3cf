//! Dispersion: how many times more than chance bad events vary from block to block of a tier. Retries, users who stay with a
//! version, and bad minutes make it large.
//!
//! It is Pearson's chi-squared over its degrees of freedom, made larger in two ways, as few blocks often look alike by chance, and
//! what makes them differ is mostly small and seldom very large: what is beyond chance counts one and a half times, and one more
//! block is added that nobody saw, off as far as a rate is that varies from block to block by as much as itself (a coefficient of
//! variation of 1, with the weight of two). With `X` the chi-squared, `f` its degrees of freedom and `v` the variance of a block's
//! bad events, were they independent:
//!
//! ```text
//! phi = max(1, (X + max(0, X - f) / 2 + 2 v) / f)
//! ```

use super::counts::Counts;

/// How many times more than chance the only block is taken to vary, beside by as much as its rate: as if each user who fails made
/// as many failed requests.
const UNSEEN: f64 = 10.0;

/// How much of what is beyond chance is added to it: estimates from a dozen blocks are too small more often than too large.
const BEYOND_CHANCE: f64 = 0.5;

/// Pearson's chi-squared of blocks, and its degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Variation {
    /// The squares of how far blocks are off, over what chance makes of them, summed.
    pub chi_squared: f64,
    /// In how many ways they could be.
    pub freedom: f64,
}

impl Variation {
    /// Of each block's share about that of all.
    pub fn of(blocks: &[Counts]) -> Self {
        let share = Counts::sum(blocks.iter().copied()).share();
        let served = blocks.iter().filter(|block| block.total > 0.0);
        if share <= 0.0 || share >= 1.0 {
            return Self::summed(served.map(|_| 0.0));
        }
        Self::summed(served.map(|block| off(block.bad, block.total, share)))
    }

    /// Of the candidate's part of each block's bad events about its part of all of them. What both versions share, such as an
    /// upstream that is worse for some minutes, is no variation of their difference.
    pub fn of_difference(candidate: &[Counts], baseline: &[Counts]) -> Self {
        let (ours, theirs) = (Counts::sum(candidate.iter().copied()), Counts::sum(baseline.iter().copied()));
        let failed = candidate
            .iter()
            .zip(baseline)
            .filter(|(ours, theirs)| ours.bad + theirs.bad > 0.0 && ours.total > 0.0 && theirs.total > 0.0);
        if ours.bad <= 0.0 || theirs.bad <= 0.0 {
            return Self::summed(failed.map(|_| 0.0));
        }
        let ratio = ours.share() / theirs.share();
        Self::summed(failed.map(|(ours, theirs)| {
            let weight = ratio * ours.total;
            off(ours.bad, ours.bad + theirs.bad, weight / (weight + theirs.total))
        }))
    }

    fn summed(off: impl Iterator<Item = f64>) -> Self {
        let (chi_squared, blocks) = off.fold((0.0, 0.0), |(sum, blocks), off| (sum + off, blocks + 1.0));
        Self { chi_squared, freedom: (blocks - 1.0_f64).max(0.0) }
    }

    /// Of both, each about its own.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { chi_squared: self.chi_squared + other.chi_squared, freedom: self.freedom + other.freedom }
    }

    /// The dispersion, at least 1. `expected` is the mean variance of a block's bad events, were they independent; `resembling` is
    /// how many of them are known to come as one, and 0 where nothing is known of that.
    pub fn dispersion(self, expected: f64, resembling: f64) -> f64 {
        if self.freedom < 1.0 {
            return UNSEEN.max(resembling) + expected;
        }
        let beyond = BEYOND_CHANCE * (self.chi_squared - self.freedom).max(0.0);
        at_least_one((self.chi_squared + beyond + resembling + 2.0 * expected) / self.freedom)
    }

    /// What was seen alone.
    fn seen(self) -> f64 {
        if self.freedom < 1.0 { 1.0 } else { at_least_one(self.chi_squared / self.freedom) }
    }
}

/// How many times more than chance the difference of two versions varies, block by block of both.
///
/// What the candidate varies by beyond what it shares with the baseline is held against it as well: where all that failed was one
/// side's, the parts of blocks do not vary at all, however few users it was.
pub fn of_both(candidate: &[Counts], baseline: &[Counts]) -> f64 {
    let (ours, theirs) = (Counts::sum(candidate.iter().copied()), Counts::sum(baseline.iter().copied()));
    let rho = ours.total / (ours.total + theirs.total);
    let expected = mean(ours.bad + theirs.bad, candidate) * rho * (1.0 - rho);
    let of_difference = Variation::of_difference(candidate, baseline).dispersion(expected, 0.0);
    let shared = if theirs.bad > 0.0 { (Variation::of(baseline).seen() - 1.0) * ours.bad / theirs.bad } else { 0.0 };
    let own = Variation::of(candidate).seen() - shared;
    if own > of_difference { own } else { of_difference }
}

/// The same of a candidate alone, where of the version before only its share is known.
pub fn of_one(candidate: &[Counts], share: f64) -> f64 {
    let total = Counts::sum(candidate.iter().copied()).total;
    Variation::of(candidate).dispersion(mean(total, candidate) * share * (1.0 - share), 0.0)
}

/// How far `bad` of `total` events are off a share, squared, over their variance.
fn off(bad: f64, total: f64, share: f64) -> f64 {
    let off = bad - total * share;
    off * off / (total * share * (1.0 - share))
}

/// A sum divided among the blocks in which anything was counted.
pub(super) fn mean(sum: f64, blocks: &[Counts]) -> f64 {
    let served = blocks.iter().filter(|block| block.total > 0.0).fold(0.0, |count, _| count + 1.0);
    if served > 0.0 { sum / served } else { 0.0 }
}

/// At least 1; what is no number stays none.
fn at_least_one(dispersion: f64) -> f64 {
    if dispersion < 1.0 { 1.0 } else { dispersion }
}
