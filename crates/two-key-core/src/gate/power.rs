//! Power of a comparison at some traffic: the smallest harm that it shows nine times of ten. An estimate for people, by the
//! counts that are to be expected; `docs/gates.md` has it simulated.

use crate::model::policy::{Decimal, Gate, Kind, Worse};

use super::{
    Budget,
    stats::counts::{WITHOUT_WORST, tail},
};

/// The normal deviate that nine of ten are above.
const NINE_OF_TEN: f64 = 1.281_551_565_5;
/// By how much the estimate of dispersion is usually above what independent errors make of it, since it is never below 1.
const ESTIMATED: f64 = 1.2;
/// Of how many deviations the worst of many blocks is above the others, as a part of the square root of twice their number's logarithm.
const WORST: f64 = 0.75;
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
    /// In how many blocks that is: minutes, or slots where they are longer.
    pub blocks: f64,
    /// How many events of the candidate a comparison waits for.
    pub least: f64,
    /// The share of bad events of the stable version.
    pub bad: f64,
}

/// How many times the bad events a candidate has to have for a count-ratio gate to fail it in nine of ten tiers, where events are
/// independent; none if it compares nothing, or sees nothing up to a hundred times.
pub fn smallest_harm(gate: &Gate, budget: &Budget, traffic: Traffic) -> Option<f64> {
    let alpha = budget.once(gate).filter(|_| gate.kind == Kind::CountRatio && gate.worse == Worse::Higher)?;
    let Traffic { per_second, share, seconds, blocks, least, bad } = traffic;
    let all = per_second * seconds;
    if blocks < 2.0 || all * share < least {
        return None;
    }
    let theirs = all * (1.0 - share) * bad;
    let put_up_with = gate.compare.and_then(|compare| compare.max_ratio).map_or(1.0, Decimal::get);
    let is_seen = |times: f64| {
        let ours = all * share * (bad * times).min(1.0);
        let expected = (ours + theirs) / blocks * share * (1.0 - share);
        let dispersion = ((blocks - 1.0 + 2.0 * expected) / (blocks - 1.0)).max(1.0) * ESTIMATED;
        // As few as one of ten has, and without the worst block.
        let few = (ours - NINE_OF_TEN * ours.sqrt()).max(0.0);
        let kept = (blocks - 1.0) / blocks;
        let worst = WORST * (2.0 * libm::log(blocks)).sqrt() * (ours / blocks).sqrt();
        let rest = (few * kept - worst).max(0.0);
        tail(few / dispersion, theirs / dispersion, share) <= alpha
            && tail(rest / dispersion, theirs * kept / dispersion, share) <= libm::pow(alpha, WITHOUT_WORST)
            && libm::log(times / put_up_with) >= NINE_OF_TEN * (1.0 / ours + 1.0 / theirs).sqrt()
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
        let traffic =
            Traffic { per_second: 100.0, share: 0.05, seconds: 840.0, blocks: 14.0, least: 300.0, bad: 0.005 };
        let seen = |per_second, share| smallest_harm(gate, &budget, Traffic { per_second, share, ..traffic });
        let (slow, usual, fast) = (seen(10.0, 0.05).unwrap(), seen(100.0, 0.05).unwrap(), seen(1000.0, 0.05).unwrap());
        assert!(slow > 4.0 && (2.0..2.6).contains(&usual) && (1.5..1.8).contains(&fast), "{slow} {usual} {fast}");
        assert!(seen(100.0, 0.25).unwrap() < usual);
        assert_eq!(seen(0.01, 0.05), None, "eight requests show nothing");
        // Simulated: 14.6 times are seen in 91 of 100 tiers of two blocks, 4.1 times in 90 of five, 1.7 times in 93 of 59.
        let blocks = |blocks: f64| smallest_harm(gate, &budget, Traffic { seconds: 60.0 * blocks, blocks, ..traffic });
        assert!((blocks(2.0).unwrap() - 14.64).abs() < 0.01 && (blocks(5.0).unwrap() - 4.12).abs() < 0.01);
        assert!((blocks(59.0).unwrap() - 1.71).abs() < 0.01);
        assert_eq!(blocks(1.0), None, "no tier fails by one block");
        assert_eq!(smallest_harm(gate, &budget, Traffic { least: 5000.0, ..traffic }), None, "it waits for more");
    }
}
