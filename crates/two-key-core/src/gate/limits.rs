//! Absolute limits of a gate: broken by evidence that the rate is beyond one, or, where the policy says so, by a value that is.

use crate::model::policy::{Absolute, LimitRule};

use super::{
    reading::TierGate,
    stats::{
        counts::{self, Counts, ln_e, ln_e_above},
        dispersion::Variation,
    },
    words,
};

/// The share of observations that may be beyond a limit: percentiles are held to it.
pub(super) const BEYOND: f64 = 0.05;

/// How an absolute limit stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LimitState {
    /// Kept, or there is none.
    Kept,
    /// What was measured is beyond it, and that may be chance, or has not been so in enough slots.
    Beyond(String),
    /// Broken.
    Broken(String),
    /// What comes of the counts is no number.
    NoNumber,
}

/// A gate's absolute limits, held slot by slot.
#[derive(Debug, Clone)]
pub(super) struct AbsoluteLimits {
    absolute: Option<Absolute>,
    rule: LimitRule,
    /// The natural logarithm of the evidence that breaks a limit.
    needed: f64,
    /// In how many slots in a row it was broken so far.
    row: u32,
}

/// How one limit is held in one slot.
struct LimitInSlot {
    /// What was measured, and that it is beyond which limit.
    words: String,
    /// Whether it is.
    beyond: bool,
    /// The natural logarithm of the evidence that the rate is; none where none was kept.
    ln_e: Option<f64>,
}

/// A sample's observations as limits see them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Percentiles {
    pub(super) p5: f64,
    pub(super) p95: f64,
    /// The natural logarithm of the evidence that too many are above the largest good value; none if the observations were not kept.
    pub(super) above: Option<f64>,
    /// That too many are below the smallest.
    pub(super) below: Option<f64>,
}

/// How counts are weighed against a limit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weighing<'a> {
    /// By how they vary from block to block of the tier.
    Blocks(&'a [Counts]),
    /// As independent events of a window that slides: so many slots had begun when it did.
    Sliding(usize),
}

impl Weighing<'_> {
    /// Evidence that the share of bad ones of all is above a limit, as a natural logarithm. A limit of nothing is broken by the
    /// first; one of all, by none.
    fn ln_e_above(self, all: Counts, limit: f64) -> f64 {
        if limit >= 1.0 || limit <= 0.0 && all.bad <= 0.0 {
            return f64::NEG_INFINITY;
        }
        if limit <= 0.0 {
            return f64::INFINITY;
        }
        match self {
            Self::Blocks(blocks) => ln_e_above(blocks, Variation::default(), 0.0, limit),
            Self::Sliding(passed) => ln_e(all.bad, all.total - all.bad, limit) - counts::beginning(passed),
        }
    }

    /// The same of the good ones.
    fn ln_e_below(self, all: Counts, limit: f64) -> f64 {
        match self {
            Self::Blocks(blocks) => {
                let good: Vec<_> = blocks.iter().map(|block| block.good()).collect();
                Weighing::Blocks(&good).ln_e_above(all.good(), 1.0 - limit)
            }
            Self::Sliding(_) => self.ln_e_above(all.good(), 1.0 - limit),
        }
    }
}

impl AbsoluteLimits {
    pub(super) fn new(tier_gate: &TierGate<'_>) -> Self {
        let absolute = tier_gate.gate.absolute;
        let rule = absolute.and_then(|absolute| absolute.rule).unwrap_or(LimitRule::usual(tier_gate.gate.kind));
        Self { absolute, rule, needed: -libm::log(tier_gate.budget.limit()), row: 0 }
    }

    /// Whether a share of bad ones is limited, so that all of them bad are beyond it.
    pub(super) fn sees_outages(&self) -> bool {
        self.absolute.and_then(|absolute| absolute.max).is_some_and(|max| max.get() < 1.0)
    }

    /// Whether the newest slot broke a limit that takes more of them in a row.
    pub(super) fn is_in_a_row(&self) -> bool {
        self.row > 0
    }

    /// Holds a share of bad events to the limits. Below the minimum of events a point breaks one only if no good event up to it
    /// could mend that.
    pub(super) fn hold(&mut self, counts: Counts, least: f64, weighing: Weighing<'_>) -> LimitState {
        let Some(Absolute { max, min, .. }) = self.absolute else { return LimitState::Kept };
        let at_best = counts.bad / counts.total.max(least).max(1.0);
        let words = |side: &str, limit: f64| {
            format!("{} is {side} the limit of {}", words::counts(counts), words::percent(limit))
        };
        let too_many = max.map(|max| LimitInSlot {
            words: words("above", max.get()),
            beyond: at_best > max.get(),
            ln_e: Some(weighing.ln_e_above(counts, max.get())),
        });
        let too_few = min.map(|min| LimitInSlot {
            words: words("below", min.get()),
            beyond: counts.total >= least && counts.share() < min.get(),
            ln_e: Some(weighing.ln_e_below(counts, min.get())),
        });
        self.state([too_many, too_few])
    }

    /// Holds observations to the limits: 95 % of them are to be within each.
    pub(super) fn hold_percentiles(&mut self, observed: Percentiles) -> LimitState {
        let Some(Absolute { max, min, .. }) = self.absolute else { return LimitState::Kept };
        let words = |name: &str, value: f64, side: &str, limit: f64| {
            format!("the {name} percentile {} is {side} the limit of {}", words::number(value), words::number(limit))
        };
        let too_large = max.map(|max| LimitInSlot {
            words: words("95th", observed.p95, "above", max.get()),
            beyond: observed.p95 > max.get(),
            ln_e: observed.above,
        });
        let too_small = min.map(|min| LimitInSlot {
            words: words("5th", observed.p5, "below", min.get()),
            beyond: observed.p5 < min.get(),
            ln_e: observed.below,
        });
        self.state([too_large, too_small])
    }

    /// Holds one value to the limits.
    pub(super) fn hold_value(&mut self, value: f64) -> LimitState {
        let Some(Absolute { max, min, .. }) = self.absolute else { return LimitState::Kept };
        let held = |beyond: bool, side: &str, limit: f64| LimitInSlot {
            words: format!("the value {} is {side} the limit of {}", words::number(value), words::number(limit)),
            beyond,
            ln_e: None,
        };
        let too_large = max.map(|max| held(value > max.get(), "above", max.get()));
        let too_small = min.map(|min| held(value < min.get(), "below", min.get()));
        self.state([too_large, too_small])
    }

    fn state(&mut self, held: [Option<LimitInSlot>; 2]) -> LimitState {
        let held: Vec<_> = held.into_iter().flatten().collect();
        if held.iter().any(|held| held.ln_e.is_some_and(f64::is_nan)) {
            return LimitState::NoNumber;
        }
        let is_broken = |held: &&LimitInSlot| match self.rule {
            LimitRule::Test => held.beyond && held.ln_e.is_some_and(|ln_e| ln_e >= self.needed),
            LimitRule::Point => held.beyond,
        };
        if let Some(broken) = held.iter().find(is_broken) {
            self.row += 1;
            let asked = self.absolute.and_then(|absolute| absolute.slots).unwrap_or(1);
            return if self.row >= asked {
                LimitState::Broken(broken.words.clone())
            } else {
                LimitState::Beyond(format!("{}, in {} of {asked} slots in a row", broken.words, self.row))
            };
        }
        self.row = 0;
        let beyond = held.iter().find(|held| held.beyond);
        beyond.map_or(LimitState::Kept, |held| LimitState::Beyond(format!("{}, which may be chance", held.words)))
    }
}
