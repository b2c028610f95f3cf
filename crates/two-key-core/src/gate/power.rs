//! Power of a comparison at some traffic: the smallest harm that it shows nine times of ten. An estimate for people, by the
//! counts that are to be expected; `docs/gates.md` has it simulated.

use crate::model::policy::{Decimal, Gate, GateKind, Worse};

use super::{
    Budget,
    stats::counts::{Worst, tail},
};

/// The normal deviate that nine of ten are above.
const NINE_OF_TEN: f64 = 1.281_551_565_5;
/// By how much the estimate of dispersion is usually above what independent errors make of it, since it is never below 1.
const ESTIMATED: f64 = 1.3;
/// Of how many deviations the worst of many minutes is above the others, as a part of the square root of twice their number's logarithm.
const WORST: f64 = 0.75;
/// The largest ratio that is looked for, and what the smallest is one of.
const MOST: f64 = 100.0;
/// From one ratio to the next: more would be more than is known.
const STEP: f64 = 1.05;

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

/// The fewest blocks of which a comparison shows anything: with fewer, nothing is left without the worst minute.
pub const FEWEST_BLOCKS: u64 = 3;

/// How many times the bad events a candidate has to have for a count-ratio gate to fail it in nine of ten tiers, where events are
/// independent; where fewer are worse, how few times as many are shown as often. None if it compares nothing, or sees nothing up to
/// a hundred times, or a hundredth.
pub fn smallest_harm(gate: &Gate, budget: &Budget, traffic: Traffic) -> Option<f64> {
    let alpha = budget.once(gate).filter(|_| gate.kind == GateKind::CountRatio)?;
    let put_up_with = gate.compare.and_then(|compare| compare.max_ratio).map_or(1.0, Decimal::get);
    #[allow(clippy::cast_precision_loss, reason = "it is a handful")]
    let fewest = FEWEST_BLOCKS as f64;
    if traffic.blocks < fewest || traffic.per_second * traffic.seconds * traffic.share < traffic.least {
        return None;
    }
    let mut times = STEP;
    while times <= MOST {
        let of = if gate.worse == Worse::Higher { times } else { 1.0 / times };
        if traffic.shows(of, gate.worse, put_up_with, alpha) {
            return Some(of);
        }
        times *= STEP;
    }
    None
}

impl Traffic {
    /// Whether nine of ten candidates with so many times the bad events are seen, for so many false alarms.
    fn shows(self, times: f64, worse: Worse, put_up_with: f64, alpha: f64) -> bool {
        let Self { share, blocks, bad, .. } = self;
        let all = self.per_second * self.seconds;
        let (ours, theirs) = (all * share * (bad * times).min(1.0), all * (1.0 - share) * bad);
        let expected = (ours + theirs) / blocks * share * (1.0 - share);
        let dispersion = ((blocks - 1.0 + 2.0 * expected) / (blocks - 1.0)).max(1.0) * ESTIMATED;
        // What one of ten is off by, of both together; and the rest without the worst minute.
        let deviation = (1.0 / ours + 1.0 / theirs).sqrt();
        let off = NINE_OF_TEN / deviation;
        let kept = (blocks - 2.0) / blocks;
        let worst = WORST * (2.0 * libm::log(blocks)).sqrt() * (2.0 * ours / blocks).sqrt();
        let at_least = |count: f64| count.max(0.0) / dispersion;
        let (whole, rest, ratio) = match worse {
            Worse::Higher => {
                let (few, many) = (ours - off, theirs + off);
                let whole = tail(at_least(few), at_least(many), share);
                (whole, tail(at_least(few * kept - worst), at_least(many * kept), share), times)
            }
            Worse::Lower => {
                let (many, few) = (ours + off, theirs - off);
                let whole = tail(at_least(few), at_least(many), 1.0 - share);
                (whole, tail(at_least(few * kept), at_least(many * kept + worst), 1.0 - share), 1.0 / times)
            }
        };
        whole <= alpha
            && rest <= libm::pow(alpha, Worst::Minute.part())
            && libm::log(ratio / put_up_with) >= NINE_OF_TEN * deviation
    }
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
        let blocks = |blocks: f64| smallest_harm(gate, &budget, Traffic { seconds: 60.0 * blocks, blocks, ..traffic });
        assert!(blocks(3.0).unwrap() > blocks(5.0).unwrap() && blocks(5.0).unwrap() > blocks(59.0).unwrap());
        assert_eq!(blocks(2.0), None, "no tier fails by one bad minute");
        assert_eq!(smallest_harm(gate, &budget, Traffic { least: 5000.0, ..traffic }), None, "it waits for more");
    }
}
