//! What a comparison can see at some traffic: the smallest harm that it shows nine times of ten. An estimate for people, by the
//! counts that are to be expected; `docs/gates.md` has it simulated.

use crate::model::policy::{Decimal, Gate, Kind, Worse};

use super::{Budget, stats::counts::tail};

/// The normal deviate that nine of ten are above.
const NINE_OF_TEN: f64 = 1.281_551_565_5;
/// By how much independent errors are usually found to vary, since the larger of two estimates is taken.
const DISPERSION: f64 = 1.25;
/// The largest ratio that is looked for.
const MOST: f64 = 100.0;

/// Traffic beside which a tier is watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Traffic {
    /// Requests a second, of both versions together.
    pub per_second: f64,
    /// The share of them that is the candidate's: above 0 and below 1.
    pub share: f64,
    /// For how many seconds they are counted.
    pub seconds: f64,
    /// The share of bad events of the stable version.
    pub bad: f64,
}

/// How many times the bad events a candidate has to have for a count-ratio gate to fail it in nine of ten tiers; none if it
/// compares nothing, or sees nothing up to a hundred times.
pub fn smallest_harm(gate: &Gate, budget: &Budget, traffic: Traffic) -> Option<f64> {
    let alpha = budget.once(gate).filter(|_| gate.kind == Kind::CountRatio && gate.worse == Worse::Higher)?;
    let Traffic { per_second, share, seconds, bad } = traffic;
    let all = per_second * seconds;
    let theirs = all * (1.0 - share) * bad;
    let put_up_with = gate.compare.and_then(|compare| compare.max_ratio).map_or(1.0, Decimal::get);
    let is_seen = |times: f64| {
        let ours = all * share * (bad * times).min(1.0);
        let spread = NINE_OF_TEN * (1.0 / ours + 1.0 / theirs).sqrt();
        let shown = weakened(ours / DISPERSION, theirs / DISPERSION, share) <= alpha;
        shown && libm::log(times / put_up_with) >= spread
    };
    // In steps of five percent: more would be more than is known.
    let mut times = 1.05;
    while times <= MOST {
        if is_seen(times) {
            return Some(times);
        }
        times *= 1.05;
    }
    None
}

/// The tail of counts that came out smaller than expected, as they do in one of ten.
fn weakened(ours: f64, theirs: f64, share: f64) -> f64 {
    let spread = NINE_OF_TEN * ours.sqrt();
    tail((ours - spread).max(0.0), theirs, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::terms;

    #[test]
    fn more_traffic_and_a_larger_share_show_less_harm() {
        let terms = terms(
            "gates:\n  error-rate: {source: file, kind: count-ratio, compare: {test: e-value, max-ratio: 1.5}, candidate: {bad: b, total: t}}\n",
        );
        let gate = terms.gates.values().next().unwrap();
        let budget = Budget::new(&terms, 3);
        let seen =
            |per_second, share| smallest_harm(gate, &budget, Traffic { per_second, share, seconds: 840.0, bad: 0.005 });
        let (slow, usual, fast) = (seen(10.0, 0.05).unwrap(), seen(100.0, 0.05).unwrap(), seen(1000.0, 0.05).unwrap());
        assert!(slow > 4.0 && (2.0..2.6).contains(&usual) && (1.5..1.8).contains(&fast), "{slow} {usual} {fast}");
        assert!(seen(100.0, 0.25).unwrap() < usual);
        assert_eq!(seen(0.01, 0.05), None, "eight requests show nothing");
    }
}
