//! Values that other programs computed (SciPy's `mannwhitneyu`, `betaln` and `betainc`, and published tables), compared
//! to the last digit given.

use super::{
    Summary, burn,
    counts::{self, CountBaseline, Counts, Harm, Weighed},
    dispersion::{self, Variation},
    ranks::{self, MannWhitney, Method},
};

#[track_caller]
fn near(ours: f64, theirs: f64, digits: i32) {
    let off = (ours - theirs).abs();
    assert!(off <= 0.500_001 * 10_f64.powi(-digits), "{ours} is not {theirs}");
}

fn by(method: Method, first: &[f64], second: &[f64]) -> MannWhitney {
    ranks::compare(first, second, method).unwrap()
}

#[test]
fn mann_whitney_of_two_samples_apart() {
    let (a, b) = ([10.0, 20.0, 30.0, 40.0], [1.0, 2.0, 3.0, 4.0]);
    let usual = ranks::mann_whitney(&a, &b).unwrap();
    near(usual.u, 16.0, 9);
    near(usual.p_two_sided, 0.028_571_4, 7);
    near(usual.a12, 1.0, 9);
    near(by(Method::Normal, &a, &b).p_two_sided, 0.030_382_8, 7);
    near(ranks::shift(&a, &b).unwrap(), 22.5, 9);
    // The mirror: the other side's U, the same two-sided p.
    let mirrored = ranks::mann_whitney(&b, &a).unwrap();
    near(mirrored.u, 0.0, 9);
    near(mirrored.p_less, usual.p_greater, 12);
    near(ranks::shift(&b, &a).unwrap(), -22.5, 9);
}

#[test]
fn mann_whitney_of_nine_untied_numbers() {
    let (a, b) = ([19.0, 22.0, 16.0, 29.0, 24.0], [20.0, 11.0, 17.0, 12.0]);
    let usual = ranks::mann_whitney(&a, &b).unwrap();
    near(usual.u, 17.0, 9);
    near(usual.p_two_sided, 0.111_111_1, 7);
    near(by(Method::Normal, &a, &b).p_two_sided, 0.111_346_9, 7);
    near(by(Method::NormalWithoutContinuity, &a, &b).p_two_sided, 0.086_410_7, 7);
}

#[test]
fn mann_whitney_of_fifteen_untied_numbers() {
    let a = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
    let b = [1.15, 0.88, 0.90, 0.74, 1.21];
    let usual = ranks::mann_whitney(&a, &b).unwrap();
    near(usual.u, 35.0, 9);
    near(usual.p_greater, 0.127_206_1, 7);
    near(usual.p_two_sided, 0.254_412_3, 7);
}

#[test]
fn mann_whitney_with_ties_is_by_the_normal_distribution_with_their_correction() {
    let (a, b) = ([1.0, 4.0, 2.0, 3.0, 1.0], [0.0; 5]);
    let usual = ranks::mann_whitney(&a, &b).unwrap();
    near(usual.u, 25.0, 9);
    near(usual.p_two_sided, 0.007_290_4, 7);
    near(by(Method::NormalWithoutContinuity, &a, &b).p_two_sided, 0.005_188_6, 7);
    let (a, b) = ([1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0], [2.0, 3.0, 3.0, 5.0, 6.0, 7.0, 8.0, 8.0]);
    let usual = ranks::mann_whitney(&a, &b).unwrap();
    near(usual.u, 12.5, 9);
    near(usual.p_two_sided, 0.079_564_7, 7);
    near(usual.a12, 0.223_214_3, 7);
}

#[test]
fn mann_whitney_of_equal_numbers_shows_nothing_and_of_none_is_none() {
    let same = ranks::mann_whitney(&[3.0; 9], &[3.0; 4]).unwrap();
    assert_eq!((same.a12, same.p_two_sided, same.p_greater), (0.5, 1.0, 1.0));
    let zeros = ranks::mann_whitney(&[0.0, -0.0], &[-0.0, 0.0]).unwrap();
    assert_eq!((zeros.a12, zeros.p_greater), (0.5, 1.0));
    assert_eq!(ranks::mann_whitney(&[], &[1.0]), None);
    assert_eq!(ranks::mann_whitney(&[1.0], &[]), None);
}

/// The largest U whose exact two-sided p is at most 0.05.
fn critical(n: u32, m: u32) -> u32 {
    // The first sample begins below all of the second and rises past it, pair by pair.
    let of = |u: u32| {
        let second: Vec<f64> = (1..=m).map(f64::from).collect();
        let first = (0..n).map(|k| f64::from(u.saturating_sub(k * m).min(m)) + 0.5 + f64::from(k) / 1000.0);
        let compared = by(Method::Exact, &first.collect::<Vec<_>>(), &second);
        near(compared.u, u.into(), 9);
        compared.p_two_sided
    };
    (0..n * m).take_while(|u| of(*u) <= 0.05).last().unwrap()
}

#[test]
fn critical_values_are_those_of_the_tables() {
    let table = [
        ((5, 5), 2),
        ((6, 6), 5),
        ((8, 8), 13),
        ((10, 10), 23),
        ((12, 11), 33),
        ((13, 16), 59),
        ((15, 15), 64),
        ((20, 20), 127),
        ((14, 17), 69),
    ];
    for ((n, m), u) in table {
        assert_eq!(critical(n, m), u, "({n}, {m})");
    }
}

#[test]
fn the_smallest_p_is_one_order_of_all() {
    near(ranks::smallest_p(4, 4), 1.0 / 70.0, 12);
    near(ranks::smallest_p(20, 20), 1.0 / 137_846_528_820.0, 20);
}

#[test]
fn e_values_are_those_of_an_independent_implementation_and_near_the_mixture_in_closed_form() {
    // NumPy, of the same forty ratios; SciPy, (betaln, betainc) of all between the smallest and the largest.
    for ((more, fewer, rho), bets, closed) in [
        ((10.0, 0.0, 0.5), 281.326_019_286, 279.010_808_240),
        ((3.0, 0.0, 0.05), 381.102_503_387, 366.938_943_212),
        ((5.0, 5.0, 0.5), 0.203_761_879_7, 0.196_609_783_1),
        ((4.0, 6.0, 0.05), 120.642_774_556_8, 122.419_469_441),
        ((0.0, 50.0, 0.05), 0.057_245_041_41, 0.050_599_028_0),
        ((20.0, 80.0, 0.05), 224_254.045_361_5, 230_004.001_813_8),
        ((84.0, 399.0, 0.05), 1.645_003_409_33e20, 1.687_182_983_93e20),
    ] {
        let ours = counts::ln_e(more, fewer, rho);
        near(ours, f64::ln(bets), 9);
        near(ours, f64::ln(closed), 0);
        assert!((ours - f64::ln(closed)).abs() < 0.13, "{more} {fewer}");
    }
    near(counts::ln_e(0.0, 0.0, 0.3), 0.0, 12);
    // Nothing of it overflows, and what cannot be told apart is no number.
    assert!(counts::ln_e(1e6, 10.0, 0.01).is_finite() && counts::ln_e(0.0, 1e6, 0.5) < -1e4);
    assert!(counts::ln_e(5e10, 95e10, 0.05) < 0.0 && counts::ln_e(f64::INFINITY, 1.0, 0.5).is_nan());
}

#[test]
fn e_values_have_expectation_one_where_both_are_alike() {
    // At any fixed number of events: the sum over all splits of probability times E.
    for (events, rho) in [(10_u32, 0.05_f64), (40, 0.25), (25, 0.5)] {
        let mut expected = 0.0;
        for more in 0..=events {
            let (a, b) = (f64::from(more), f64::from(events - more));
            let ln_p = statrs::function::factorial::ln_binomial(events.into(), more.into())
                + a * rho.ln()
                + b * (1.0 - rho).ln();
            expected += (ln_p + counts::ln_e(a, b, rho)).exp();
        }
        near(expected, 1.0, 9);
    }
}

#[test]
fn tails_are_those_of_the_signed_root_of_the_likelihood_ratio() {
    // scipy.stats.norm.sf(sqrt(2 n KL)).
    for ((more, fewer, rho), p) in [
        ((10.0, 0.0, 0.5), 9.831_882_780e-5),
        ((4.0, 6.0, 0.05), 4.267_455_523_8e-4),
        ((84.0, 399.0, 0.1), 3.556_384_514e-7),
        ((42.0, 399.0, 0.05), 4.857_142_940_8e-5),
        ((30.0, 399.0, 0.05), 0.036_617_059_53),
    ] {
        assert!((counts::tail(more, fewer, rho) / p - 1.0).abs() < 1e-8, "{more} {fewer} {rho}");
    }
    assert_eq!((counts::tail(1.0, 99.0, 0.05), counts::tail(0.0, 0.0, 0.5)), (1.0, 1.0));
    assert!(counts::tail(f64::INFINITY, 1.0, 0.5).is_nan());
}

fn blocks<const N: usize>(counts: [(f64, f64); N]) -> [Counts; N] {
    counts.map(|(bad, total)| Counts { bad, total })
}

#[test]
fn variation_is_chi_squared() {
    // scipy.stats.chi2_contingency(…, correction=False), of bad and good ones, and of both versions' bad ones.
    let slots = blocks([(3.0, 300.0), (5.0, 310.0), (1.0, 290.0), (9.0, 305.0)]);
    let varies = Variation::of(&slots);
    near(varies.chi_squared / varies.freedom, 2.509_692_614_115, 9);
    near(Variation::of(&[Counts { bad: 2.0, total: 300.0 }; 5]).chi_squared, 0.0, 9);
    let ours = blocks([(3.0, 300.0), (9.0, 300.0), (1.0, 300.0), (4.0, 300.0)]);
    let theirs = blocks([(30.0, 5700.0), (61.0, 5700.0), (12.0, 5700.0), (40.0, 5700.0)]);
    let differs = Variation::of_difference(&ours, &theirs);
    near(differs.chi_squared, 0.675_852_325_379, 9);
    near(differs.freedom, 3.0, 9);
}

#[test]
fn dispersion_is_of_the_difference_and_of_more_than_was_seen() {
    // NumPy, by the formulas of the page.
    let ours = blocks([(3.0, 300.0), (9.0, 310.0), (1.0, 290.0), (4.0, 305.0)]);
    let theirs = blocks([(30.0, 5700.0), (61.0, 5690.0), (12.0, 5710.0), (40.0, 5705.0)]);
    near(Variation::of_difference(&ours, &theirs).chi_squared, 0.565_493_319_783, 9);
    near(dispersion::of_both(&ours, &theirs), 1.459_661_628_989, 9);
    near(dispersion::of_one(&ours, 0.01), 5.347_791_906_379, 9);
    // The only block is taken to vary, and not only a little.
    near(dispersion::of_one(&ours[..1], 0.01), 10.0 + 2.97, 9);
    // Few users who failed, all of them the candidate's: the parts do not vary, and the candidate does.
    let users = [(12.0, 300.0), (0.0, 300.0), (9.0, 300.0), (0.0, 300.0), (0.0, 300.0), (0.0, 300.0)]
        .map(|(bad, total)| Counts { bad, total });
    assert!(dispersion::of_both(&users, &[Counts { bad: 0.0, total: 5700.0 }; 6]) > 8.0);
    assert!(dispersion::of_both(&users, &[Counts { bad: f64::NAN, total: 5700.0 }; 6]).is_nan());
}

#[test]
fn limits_are_weighed_by_how_blocks_vary() {
    // NumPy and SciPy's logsumexp, by the formulas of the page.
    let above = |bad: [f64; 4]| {
        let totals = [300.0, 310.0, 290.0, 305.0];
        let blocks: Vec<_> = bad.iter().zip(totals).map(|(bad, total)| Counts { bad: *bad, total }).collect();
        counts::ln_e_above(&blocks, Variation::default(), 0.0, 0.02)
    };
    near(above([30.0, 29.0, 31.0, 24.0]), 17.906_029_144_997, 9);
    near(above([30.0, 9.0, 21.0, 14.0]), 0.257_408_695_115, 9);
    let one = Counts { bad: 200.0, total: 300.0 };
    near(counts::ln_e_above(&[one], Variation::default(), 0.0, 0.01), 43.417_944_851_16, 9);
    // Of what began late, the time before shows how it varies, and costs.
    let calm = [Counts { bad: 3.0, total: 300.0 }; 9];
    let late = [&calm[..], &[one]].concat();
    let since = counts::ln_e_since_any(&late, 0.01);
    near(since, 43.417_944_851_16 - counts::beginning(9), 9);
    near(counts::beginning(9), 110.0_f64.ln(), 12);
    assert!(counts::ln_e_since_any(&calm, 0.02) < f64::MIN);
}

#[test]
fn a_comparison_takes_the_weaker_of_all_slots_and_all_but_the_worst() {
    let alike = [Counts { bad: 20.0, total: 2000.0 }; 4];
    let mut ours = [Counts { bad: 1.0, total: 100.0 }; 4];
    ours[2].bad = 40.0;
    let weighed = Weighed::new(&ours, CountBaseline::Beside(&alike), Harm::More);
    assert!(weighed.whole.ln_e > 0.0 && weighed.dispersion > 8.0, "{weighed:?}");
    // Without the third slot the two are alike.
    assert!(weighed.without_worst.ln_e < 0.1 && !weighed.shows_harm(0.5), "{weighed:?}");
    let all = Weighed::new(&[Counts { bad: 40.0, total: 100.0 }; 4], CountBaseline::Beside(&alike), Harm::More);
    assert!(all.shows_harm(1e-9) && all.shows_harm_once(1e-9), "{all:?}");
    // Where less is harm, the other way round.
    let fewer = Weighed::new(&[Counts { bad: 40.0, total: 100.0 }; 4], CountBaseline::Beside(&alike), Harm::Fewer);
    assert!(fewer.whole.ln_e < 0.0 && fewer.whole.p >= 1.0, "{fewer:?}");
}

#[test]
fn observations_that_resemble_the_ones_before_count_for_fewer() {
    // NumPy: ranks, their lag-1 autocorrelation, corrected for its bias; SciPy's U with a deviation that is larger by that.
    let a = [1.0, 2.0, 3.0, 5.0, 4.0, 6.0, 8.0, 7.0, 9.0, 10.0, 12.0, 11.0];
    let b = [0.5, 3.5, 1.5, 2.5, 6.5, 4.5, 5.5, 7.5, 9.5, 8.5];
    near(ranks::effective(&a), 0.005_025_125_628, 12);
    near(ranks::effective(&b), 0.080_550_098_232, 12);
    let compared = ranks::mann_whitney_in_order(&a, &b).unwrap();
    near(compared.u, 75.0, 9);
    near(compared.p_greater, 0.462_954_450_536, 9);
    // Of two hosts in turn, it is the next but one that each resembles.
    #[allow(clippy::approx_constant, reason = "observations")]
    let in_turn = [
        0.155, -0.195, 0.268, -0.51, 0.177, -0.317, 0.209, -0.32, -0.118, -0.318, 0.255, -0.518, -0.049, -0.167, 0.26,
        0.387, 0.457, 0.197, 0.313, 0.244, -0.062, 0.35, 0.179, 0.69, -0.064, 0.359, 0.17, 0.455, -0.225, -0.211,
        0.148, -0.585, 0.186, -0.606, 0.168, -0.348, -0.002, -0.526, 0.145, -0.099, -0.108, 0.412, 0.27, 0.137, 0.367,
        -0.292, 0.328, -0.126, 0.397, 0.328, 0.135, 0.529, 0.199, -0.166, -0.005, -0.49, 0.057, -0.424, -0.316, 0.049,
        -0.617, -0.385, -0.673, 0.168, -0.355, 0.089, -0.337, -0.346, -0.249, -0.399, -0.272, -0.617, 0.282, -0.078,
        0.104, 0.018, -0.417, 0.471, -0.59, 0.132, -0.106, 0.299, 0.269, -0.137, 0.36, -0.53, 0.707, -0.788, 0.085,
        0.022, 0.227, -0.448, -0.122, -0.129, -0.415, 0.331,
    ];
    near(ranks::effective(&in_turn), 0.353_913_060_197, 12);
    // Such as do not, count in full.
    near(ranks::effective(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]), 1.0, 12);
    near(ranks::effective(&[2.0; 9]), 1.0, 12);
}

#[test]
fn zero_failures_certify_a_rate() {
    for (p, needed) in [(0.05, 59.0), (0.01, 299.0), (0.001, 2995.0)] {
        near(counts::certifying(p, 0.95), needed, 9);
    }
}

#[test]
fn burn_factors_of_thirty_days() {
    for (budget, hours, factor) in [(0.02, 1.0, 14.4), (0.05, 6.0, 6.0), (0.10, 24.0, 3.0), (0.10, 72.0, 1.0)] {
        near(burn::spent(factor, hours * 3600.0), budget, 12);
    }
    near(burn::rate(144.0, 10_000.0, 99.9), 14.4, 9);
}

#[test]
fn summaries_are_those_of_numpy() {
    // numpy.percentile([15, 20, 35, 40, 50], [5, 50, 95, 99]) = 16, 35, 48, 49.6
    let summary = Summary::of(&[35.0, 20.0, 15.0, 50.0, 40.0]).unwrap();
    near(summary.p5, 16.0, 9);
    near(summary.p50, 35.0, 9);
    near(summary.p95, 48.0, 9);
    near(summary.p99, 49.6, 9);
    near(summary.mean, 32.0, 9);
    assert_eq!((summary.count, summary.min, summary.max), (5, 15.0, 50.0));
    near(Summary::of(&[7.5]).unwrap().p99, 7.5, 9);
    assert_eq!(Summary::of(&[]), None);
}
