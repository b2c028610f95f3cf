//! False-alarm budget: a lease's rate, shared among all that may stop it without there being harm.

use crate::{
    ledger::PinnedTerms,
    model::policy::{Decimal, Gate, GateKind, LimitRule},
};

use super::stats::counts::ANY_TIME;

/// The part of the rate that is for limits, where something is compared as well: a limit that is broken shows it soon.
const FOR_LIMITS: f64 = 0.1;

/// The shares of a rate of false alarms, over all tiers of a lease. Whatever is tested has one; together they are no more
/// than the rate that the policy names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// The policy's `false-alarms`.
    pub rate: f64,
    /// How many tiers the lease has.
    pub tiers: u32,
    /// How many gates compare.
    pub comparisons: u32,
    /// How many limits are tested.
    pub limits: u32,
    /// How many limits are points, which no rate of false alarms holds for.
    pub points: u32,
}

impl Budget {
    /// The shares of a lease with so many tiers.
    pub fn new(terms: &PinnedTerms, tiers: u32) -> Self {
        let (mut comparisons, mut limits, mut points) = (0, 0, 0);
        let mut limit = |rule: LimitRule| if rule == LimitRule::Test { limits += 1 } else { points += 1 };
        for gate in terms.gates.values() {
            comparisons += u32::from(gate.compare.is_some());
            if let Some(absolute) = gate.absolute {
                let rule = absolute.rule.unwrap_or(LimitRule::usual(gate.kind));
                [absolute.max, absolute.min].into_iter().flatten().for_each(|_| limit(rule));
            }
            gate.windows.iter().for_each(|_| limit(LimitRule::Test));
        }
        for (name, threshold) in terms.thresholds.iter().filter(|(_, threshold)| threshold.halt.is_some()) {
            // What no gate counts is a point, whatever its rule.
            let counts = terms.gates.get(name).filter(|gate| gate.kind != GateKind::Gauge);
            limit(counts.map_or(LimitRule::Point, |gate| threshold.rule.unwrap_or(LimitRule::usual(gate.kind))));
        }
        Self { rate: terms.false_alarms.get(), tiers: tiers.max(1), comparisons, limits, points }
    }

    /// The chance that one gate's comparison at one tier raises a false alarm, at most.
    pub fn comparison(&self, gate: &Gate) -> Option<f64> {
        let most = gate.compare?.alpha.map_or(1.0, Decimal::get);
        let part = if self.limits > 0 { 1.0 - FOR_LIMITS } else { 1.0 };
        Some((self.rate * part / f64::from(self.comparisons.max(1))).min(most) / f64::from(self.tiers))
    }

    /// The part of a comparison's that is for looking at any time.
    pub fn any_time(&self, gate: &Gate) -> Option<f64> {
        Some(self.comparison(gate)? * ANY_TIME)
    }

    /// The part of a comparison's that is for the one look when the tier has baked.
    pub fn once(&self, gate: &Gate) -> Option<f64> {
        Some(self.comparison(gate)? * (1.0 - ANY_TIME))
    }

    /// The chance that one limit at one tier is taken for broken although it is kept, at most.
    pub fn limit(&self) -> f64 {
        let part = if self.comparisons > 0 { FOR_LIMITS } else { 1.0 };
        self.rate * part / f64::from(self.limits.max(1)) / f64::from(self.tiers)
    }
}
