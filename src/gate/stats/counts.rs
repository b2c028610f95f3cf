//! Two counts compared while they grow.
//!
//! Of `s1 + s0` events, `s1` were the candidate's. If both versions are alike, each event is the candidate's with
//! probability `rho`, its share of the requests. The e-value is the likelihood of the counts mixed over all shares,
//! against that at `rho`: if the two are alike, the chance that it *ever* reaches `1 / alpha` is at most `alpha`, however
//! often one looks (Ville's inequality; Lindon et al., KDD 2022, arXiv 2205.14762).

use statrs::function::beta::{beta_reg, ln_beta};

/// Evidence that a candidate differs from its baseline, as a natural logarithm.
///
/// `ln E = ln B(1 + s1, 1 + s0) - s1 ln rho - s0 ln (1 - rho)`. Counts may be fractions, as extrapolated ones are; `rho`
/// is above 0 and below 1.
pub fn ln_e_two_sided(s1: f64, s0: f64, rho: f64) -> f64 {
    ln_beta(1.0 + s1, 1.0 + s0) - s1 * rho.ln() - s0 * (-rho).ln_1p()
}

/// Evidence that a candidate has *more* of the events than its share, as a natural logarithm.
///
/// The two-sided one times `(1 - I_rho(1 + s1, 1 + s0)) / (1 - rho)`: mixed over the shares above `rho` only.
pub fn ln_e_more(s1: f64, s0: f64, rho: f64) -> f64 {
    // I_(1-rho)(b, a) = 1 - I_rho(a, b), without losing the digits of a small difference.
    let above = beta_reg(1.0 + s0, 1.0 + s1, 1.0 - rho);
    ln_e_two_sided(s1, s0, rho) + above.ln() - (-rho).ln_1p()
}

/// How many samples without a single failure it takes to say, with a confidence, that fewer than a share `p` fail:
/// the least `n` with `(1 - p)^n <= 1 - confidence`. `p` and the confidence are above 0 and below 1.
pub fn certifying(p: f64, confidence: f64) -> f64 {
    ((-confidence).ln_1p() / (-p).ln_1p()).ceil()
}
