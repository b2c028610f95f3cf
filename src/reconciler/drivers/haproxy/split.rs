//! Split by weights: which of them make a share of the traffic exactly. Pure.
//!
//! HAProxy splits by the sum of server weights, each a whole number up to 256. With proportions s₁…sₙ of the stable pool
//! (sum S) and c₁…cₘ of the candidate (sum C), a share p needs multiples a and b with a·C ÷ (a·C + b·S) = p, so
//! a ÷ b = p·S ÷ ((1 − p)·C) in lowest terms. Where a multiple would lead above 256, the share cannot be made.

/// The largest weight of a server.
pub(super) const MAX_WEIGHT: u32 = 256;
/// Everything, in basis points.
const WHOLE: u64 = 10_000;

/// Weights for the servers of both pools, in the order of their proportions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    /// The stable pool's.
    pub(super) stable: Vec<u32>,
    /// The candidate's.
    pub(super) candidate: Vec<u32>,
}

/// The weights that give the candidate `weight_bp` basis points of the traffic, or the weight that a server would need
/// for that. Servers keep their proportions within their pool; a proportion of zero counts as one.
pub(super) fn split(weight_bp: u32, stable: &[u32], candidate: &[u32]) -> Result<Split, u64> {
    let (stable, candidate) = (lowest_terms(stable), lowest_terms(candidate));
    let share = u64::from(weight_bp).min(WHOLE);
    let (over, under) = (share * sum(&stable), (WHOLE - share) * sum(&candidate));
    // At the ends one pool has no weight, and the other its own proportions.
    let divisor = gcd(over, under).max(1);
    let (a, b) = (over / divisor, under / divisor);
    Ok(Split { candidate: times(&candidate, a)?, stable: times(&stable, b)? })
}

/// The share of the traffic that a candidate gets by these sums of weights, in basis points. What is no whole number is
/// rounded up: less is never claimed than is served.
pub(super) fn share(stable: u64, candidate: u64) -> Option<u32> {
    let whole = stable.checked_add(candidate).filter(|whole| *whole > 0)?;
    u32::try_from((candidate * WHOLE).div_ceil(whole)).ok()
}

/// Which pool's weights are set first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// The candidate's.
    Candidate,
    /// The stable one's.
    Stable,
}

/// Which pool's weights are to be set first, by the sums of candidate and stable now and then: such that the candidate's
/// share in between is never more than before and after, and that never nobody has weight.
pub(super) fn first((candidate, stable): (u64, u64), (candidate_then, stable_then): (u64, u64)) -> First {
    let rises = candidate_then * stable >= candidate * stable_then;
    let candidate_first =
        if rises { stable >= stable_then } else { candidate_then <= candidate && candidate_then + stable > 0 };
    if candidate_first { First::Candidate } else { First::Stable }
}

fn times(proportions: &[u64], factor: u64) -> Result<Vec<u32>, u64> {
    let weight = |proportion: &u64| {
        let weight = proportion.saturating_mul(factor);
        u32::try_from(weight).ok().filter(|weight| *weight <= MAX_WEIGHT).ok_or(weight)
    };
    proportions.iter().map(weight).collect()
}

fn lowest_terms(proportions: &[u32]) -> Vec<u64> {
    let positive: Vec<u64> = proportions.iter().map(|one| u64::from(*one).max(1)).collect();
    let divisor = positive.iter().copied().fold(0, gcd).max(1);
    positive.into_iter().map(|one| one / divisor).collect()
}

fn sum(proportions: &[u64]) -> u64 {
    proportions.iter().sum()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_whole_percent_is_exact_for_equal_servers_up_to_two_against_two() {
        for stable in 1..=2_usize {
            for candidate in 1..=2_usize {
                for percent in 0..=100_u32 {
                    let split = split(percent * 100, &vec![1; stable], &vec![0; candidate]).unwrap();
                    let sum = |weights: &[u32]| weights.iter().map(|one| u64::from(*one)).sum::<u64>();
                    assert_eq!(share(sum(&split.stable), sum(&split.candidate)), Some(percent * 100));
                }
            }
        }
    }

    #[test]
    fn weights_are_the_smallest_that_do_and_proportions_are_kept() {
        let made = |bp, stable: &[u32], candidate: &[u32]| {
            let split = split(bp, stable, candidate).unwrap();
            (split.stable, split.candidate)
        };
        assert_eq!(made(500, &[1], &[1]), (vec![19], vec![1]));
        assert_eq!(made(2_500, &[100], &[100]), (vec![3], vec![1]));
        assert_eq!(made(500, &[2, 4], &[1]), (vec![19, 38], vec![3]));
        assert_eq!(made(0, &[2, 4], &[1]), (vec![1, 2], vec![0]));
        assert_eq!(made(10_000, &[2, 4], &[1]), (vec![0, 0], vec![1]));
    }

    #[test]
    fn what_no_weights_make_is_said_with_the_weight_that_it_would_take() {
        assert_eq!(split(100, &[1], &[1; 3]), Err(297));
        assert!(split(200, &[1], &[1; 3]).is_ok());
        assert_eq!(split(100, &[100, 99], &[1; 7]), Err(69_300));
        assert_eq!(split(1, &[1], &[1]), Err(9_999));
    }

    #[test]
    fn between_two_splits_the_candidate_never_has_more_than_in_either_and_somebody_always_serves() {
        let splits = || (1_u64..36).map(|number| (number / 6, number % 6));
        for ((a1, b1), (a2, b2)) in splits().flat_map(|now| splits().map(move |then| (now, then))) {
            let (a, b) = match first((a1, b1), (a2, b2)) {
                First::Candidate => (a2, b1),
                First::Stable => (a1, b2),
            };
            assert!(a + b > 0, "nobody serves from {a1}:{b1} to {a2}:{b2}");
            let no_more_than = |a1: u64, b1: u64| a * (a1 + b1) <= a1 * (a + b);
            assert!(no_more_than(a1, b1) || no_more_than(a2, b2), "{a1}:{b1} to {a2}:{b2} by {a}:{b}");
        }
    }

    #[test]
    fn shares_are_never_said_to_be_less_than_they_are() {
        assert_eq!(share(19, 1), Some(500));
        assert_eq!(share(256, 13), Some(484));
        assert_eq!(share(0, 1), Some(10_000));
        assert_eq!(share(1, 0), Some(0));
        assert_eq!(share(0, 0), None);
    }
}
