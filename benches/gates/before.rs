//! The ways of before, for comparison: an e-value mixed over all shares, windows that are clamped and not made up for, and
//! observations that are all taken for independent.

use git_two_key::gate::stats::{burn, counts, ranks};
use statrs::function::beta::{beta_reg, ln_beta};

use crate::random::Random;

/// A comparison of counts in every slot (Lindon et al., KDD 2022).
pub(crate) struct Before {
    needed: f64,
    max_ratio: f64,
}

impl Before {
    pub(crate) fn new(alpha: f64, max_ratio: f64) -> Self {
        Self { needed: (1.0 / alpha).ln(), max_ratio }
    }

    /// Whether the counts so far, bad and all of the candidate and of the stable version, show harm.
    pub(crate) fn shows_harm(&mut self, [bad, total, bad_before, total_before]: [f64; 4]) -> bool {
        let rho = total / (total + total_before);
        let above = beta_reg(1.0 + bad_before, 1.0 + bad, 1.0 - rho);
        let ln_e = ln_beta(1.0 + bad, 1.0 + bad_before) - bad * rho.ln() - bad_before * (-rho).ln_1p() + above.ln()
            - (-rho).ln_1p();
        ln_e >= self.needed && bad / total > self.max_ratio * bad_before / total_before
    }
}

/// In how many tiers clamped windows fail by the usual factors.
pub(crate) fn burns(requests: f64, rate: f64, slots: u32, runs: u32) -> String {
    let mut random = Random(11);
    let mut failed = 0;
    for _ in 0..runs {
        let mut minutes: Vec<[f64; 2]> = Vec::new();
        for _ in 0..slots {
            let total = random.poisson(requests);
            minutes.push([random.poisson(requests * rate).min(total), total]);
            let over = |length: usize, least: f64| {
                let window = &minutes[minutes.len().saturating_sub(length)..];
                let sum = |index: usize| window.iter().map(|minute| minute[index]).sum::<f64>();
                burn::rate(sum(0), sum(1).max(least).max(1.0), 99.9)
            };
            if [(5, 60, 14.4), (30, 360, 6.0)]
                .iter()
                .any(|(short, long, factor)| over(*short, 0.0) > *factor && over(*long, 300.0) > *factor)
            {
                failed += 1;
                break;
            }
        }
    }
    format!("{:.1} %", 100.0 * f64::from(failed) / f64::from(runs))
}

/// Whether two samples differ, were all observations independent.
pub(crate) fn ranks(ours: &[f64], theirs: &[f64], alpha: f64) -> bool {
    ranks::mann_whitney(ours, theirs).is_some_and(|compared| compared.p_greater <= alpha && compared.a12 >= 0.6)
}

/// Evidence that the rate of slots is above a limit since some slot, were events independent.
pub(crate) fn ln_e_since_any(slots: &[[f64; 2]], limit: f64) -> f64 {
    let mut since = [0.0; 2];
    let evidence = slots.iter().enumerate().rev().map(|(index, slot)| {
        since = [since[0] + slot[0], since[1] + slot[1]];
        if since[0] <= limit * since[1] {
            return f64::NEG_INFINITY;
        }
        counts::ln_e(since[0], since[1] - since[0], limit) - counts::beginning(index)
    });
    evidence.fold(f64::NEG_INFINITY, f64::max)
}

/// Whether two samples differ, where each observation may resemble the one before it and no other.
pub(crate) fn ranks_in_order(ours: &[f64], theirs: &[f64], alpha: f64) -> bool {
    let share = 2.0 / (1.0 / lag_one(ours) + 1.0 / lag_one(theirs));
    ranks::mann_whitney(ours, theirs).is_some_and(|compared| {
        let (n, m) = (ours.len() as f64, theirs.len() as f64);
        let deviation = (n * m / 12.0 * (n + m + 1.0) / share).sqrt();
        let beyond = (compared.u - n * m / 2.0 - 0.5) / deviation;
        0.5 * libm::erfc(beyond / std::f64::consts::SQRT_2) <= alpha && compared.a12 >= 0.6
    })
}

/// Which part of a sample counts, by the correlation of each one's rank with the next one's.
fn lag_one(sample: &[f64]) -> f64 {
    let n = sample.len() as f64;
    let mut order: Vec<usize> = (0..sample.len()).collect();
    order.sort_by(|a, b| sample[*a].total_cmp(&sample[*b]));
    let mut ranks = vec![0.0; sample.len()];
    order.iter().enumerate().for_each(|(rank, index)| ranks[*index] = rank as f64 - (n - 1.0) / 2.0);
    let raw =
        ranks.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / ranks.iter().map(|rank| rank * rank).sum::<f64>();
    let r = (raw + (1.0 + 4.0 * raw) / n).clamp(0.0, 0.99);
    (1.0 - r) / (1.0 + r)
}
