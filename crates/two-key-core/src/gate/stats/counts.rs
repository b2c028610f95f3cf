//! Counts: two compared while they grow, and one held to a limit.
//!
//! Of `more + fewer` events, `more` are on the side that may be harmed. If nothing is wrong, each event is on that side with
//! probability `rho`: the candidate's share of the requests, or, for a limit, the limit itself. The e-value is the likelihood
//! of the counts mixed evenly over the logarithm of the odds ratio, from [`LEAST`] to [`MOST`], against that at a ratio of 1.
//! If nothing is wrong, the chance that it *ever* reaches `1 / alpha` is at most `alpha`, however often one looks (Ville's
//! inequality; Lindon et al., KDD 2022, arXiv 2205.14762, mix over the share instead):
//!
//! ```text
//! E = mean over r of (p / rho)^more ((1 - p) / (1 - rho))^fewer,    p = r rho / (1 - rho + r rho)
//! ```
//!
//! Only additions, multiplications and the functions of `libm` are used, so that the same counts give the same bits everywhere.

use std::ops::Range;

use super::dispersion::{self, Variation};

/// The smallest odds ratio that the e-value bets on.
pub const LEAST: f64 = 1.2;
/// The largest.
pub const MOST: f64 = 30.0;
/// How many ratios stand for all between the two. Each of them is a fair bet, so their mean is one too.
const BETS: u32 = 40;
/// The part of the rate of false alarms that is for looking at any time; the rest is for the one look at the end.
pub const ANY_TIME: f64 = 0.1;

/// From this many events on the digits of a number do not tell counts apart any more.
const TOO_MANY: f64 = 1e14;
/// How many of the newest blocks what went wrong may have begun in.
const BEGINNINGS: usize = 15;

/// Bad events of all.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Bad events.
    pub bad: f64,
    /// All events.
    pub total: f64,
}

impl Counts {
    /// The share of bad events; 0 of none.
    pub fn share(self) -> f64 {
        if self.total > 0.0 { self.bad / self.total } else { 0.0 }
    }

    /// What came since an earlier count of the same; a count that fell a little, as extrapolated ones do, added nothing.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        // A bad one may be counted later than the event itself, so that there are more of them than events.
        Self { bad: (self.bad - before.bad).max(0.0), total: (self.total - before.total).max(0.0) }
    }

    /// The good ones as the bad ones, for limits that want enough of them.
    #[must_use]
    pub fn good(self) -> Self {
        Self { bad: (self.total - self.bad).max(0.0), ..self }
    }

    /// The sum.
    pub fn sum(counts: impl IntoIterator<Item = Self>) -> Self {
        let add = |sum: Self, next: Self| Self { bad: sum.bad + next.bad, total: sum.total + next.total };
        counts.into_iter().fold(Self::default(), add)
    }
}

/// Evidence that more events than `rho` of all are on one side, as a natural logarithm. Counts may be fractions, as
/// extrapolated ones are; `rho` is above 0 and below 1. Not a number where the counts are too large to be told apart.
pub fn ln_e(more: f64, fewer: f64, rho: f64) -> f64 {
    if !is_told_apart(more + fewer) {
        return f64::NAN;
    }
    let odds = rho / (1.0 - rho);
    let step = libm::log(MOST / LEAST) / f64::from(BETS - 1);
    let bet = |number: u32| {
        let ln_ratio = libm::log(LEAST) + step * f64::from(number);
        // The share of events on this side is `ratio odds / (1 + ratio odds)`; without any difference it is `rho`.
        let ln_shrink = libm::log1p(odds) - libm::log1p(odds * libm::exp(ln_ratio));
        more * (ln_ratio + ln_shrink) + fewer * ln_shrink
    };
    let bets: Vec<f64> = (0..BETS).map(bet).collect();
    let best = bets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = bets.iter().map(|bet| libm::exp(bet - best)).sum::<f64>() / f64::from(BETS);
    best + libm::log(mean)
}

fn is_told_apart(events: f64) -> bool {
    events < TOO_MANY
}

/// The chance that so many events or more are on one side if nothing is wrong, for one look: the normal tail beyond the
/// signed root of the likelihood ratio. 1 where the share is not above `rho`; not a number where the counts are none.
pub fn tail(more: f64, fewer: f64, rho: f64) -> f64 {
    let all = more + fewer;
    if !is_told_apart(all) || rho.is_nan() {
        return f64::NAN;
    }
    if all <= 0.0 || more / all <= rho {
        return 1.0;
    }
    let share = more / all;
    let other = if fewer > 0.0 { (1.0 - share) * libm::log((1.0 - share) / (1.0 - rho)) } else { 0.0 };
    let divergence = share * libm::log(share / rho) + other;
    0.5 * libm::erfc((all * divergence).max(0.0).sqrt())
}

/// What a candidate is compared with.
#[derive(Debug, Clone, Copy)]
pub enum CountBaseline<'a> {
    /// What ran beside it, block by block as the candidate's.
    Beside(&'a [Counts]),
    /// What was recorded before.
    Recorded(Counts),
}

/// Which side has more of the bad events if there is harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The candidate.
    More,
    /// The baseline: the candidate has fewer of what is counted.
    Fewer,
}

/// What is left out as the worst of a tier, to see whether harm is shown by the rest as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worst {
    /// A minute, whenever it began: a block, or two one after the other.
    Minute,
    /// One block.
    Block,
}

impl Worst {
    /// What the evidence of the rest has to reach, as a part of what all of it has to (in logarithms).
    pub const fn part(self) -> f64 {
        match self {
            Self::Minute => 0.5,
            Self::Block => 0.7,
        }
    }

    /// How many blocks, one after the other, it is at most.
    const fn blocks(self) -> usize {
        match self {
            Self::Minute => 2,
            Self::Block => 1,
        }
    }

    /// Those of the blocks that are furthest off together. Two in which as many went wrong as one has events are no minute that
    /// fell into both.
    fn of(self, blocks: &[Counts], excess: impl Fn(&Counts) -> f64, wrong: impl Fn(&Counts) -> f64) -> Range<usize> {
        let runs = (1..=self.blocks()).flat_map(|length| blocks.windows(length).enumerate());
        let most = |run: &[Counts]| run.iter().map(|block| block.total).fold(0.0, f64::max);
        let runs = runs.filter(|(_, run)| run.len() == 1 || run.iter().map(&wrong).sum::<f64>() < most(run));
        let runs = runs.map(|(start, run)| (start..start + run.len(), run.iter().map(&excess).sum::<f64>()));
        runs.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0..0, |(run, _)| run)
    }
}

/// Evidence for harm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strength {
    /// The e-value's natural logarithm, valid at any time.
    pub ln_e: f64,
    /// The chance of as much by accident, for one look.
    pub p: f64,
}

impl Strength {
    const NONE: Self = Self { ln_e: 0.0, p: 1.0 };

    fn of(candidate: Counts, baseline: Counts, dispersion: f64, harm: Harm) -> Self {
        if candidate.total <= 0.0 || baseline.total <= 0.0 {
            return Self::NONE;
        }
        let all = candidate.total + baseline.total;
        if !is_told_apart(all) {
            return Self { ln_e: f64::NAN, p: f64::NAN };
        }
        let rho = candidate.total / all;
        let (ours, theirs) = (candidate.bad / dispersion, baseline.bad / dispersion);
        let (more, fewer, rho) = match harm {
            Harm::More => (ours, theirs, rho),
            Harm::Fewer => (theirs, ours, 1.0 - rho),
        };
        Self { ln_e: ln_e(more, fewer, rho), p: tail(more, fewer, rho) }
    }

    /// Whether it is a number.
    pub fn is_known(self) -> bool {
        !self.ln_e.is_nan() && !self.p.is_nan()
    }
}

/// A comparison of two counts, block by block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    /// All of it.
    pub whole: Strength,
    /// Without the worst minute or block: one bad minute, or one user who retries, is no bad version.
    pub without_worst: Strength,
    /// What both counts were divided by: how many times more than chance their difference varies from block to block.
    pub dispersion: f64,
    /// The counts without it: the candidate's and the baseline's.
    pub rest: [Counts; 2],
    /// What was left out.
    pub worst: Worst,
}

impl Weighed {
    /// Compares, block by block.
    pub fn new(candidate: &[Counts], baseline: CountBaseline<'_>, harm: Harm) -> Self {
        let dispersion = match baseline {
            CountBaseline::Beside(blocks) => dispersion::of_both(candidate, blocks),
            CountBaseline::Recorded(counts) => dispersion::of_one(candidate, counts.share()),
        };
        Self::divided(candidate, baseline, harm, dispersion, Worst::Minute)
    }

    /// Compares as if bad events were independent; one block is left out as the worst.
    pub fn of_independent(candidate: &[Counts], baseline: CountBaseline<'_>, harm: Harm) -> Self {
        Self::divided(candidate, baseline, harm, 1.0, Worst::Block)
    }

    fn divided(candidate: &[Counts], baseline: CountBaseline<'_>, harm: Harm, dispersion: f64, worst: Worst) -> Self {
        let sum = |without: Range<usize>| {
            let kept = |slots: &[Counts]| {
                Counts::sum(slots.iter().enumerate().filter(|(k, _)| !without.contains(k)).map(|(_, slot)| *slot))
            };
            let theirs = match baseline {
                CountBaseline::Beside(slots) => kept(slots),
                CountBaseline::Recorded(counts) => counts,
            };
            (kept(candidate), theirs)
        };
        let (ours, theirs) = sum(0..0);
        let strength = |(ours, theirs)| Strength::of(ours, theirs, dispersion, harm);
        let excess = |slot: &Counts| {
            let off = slot.bad - slot.total * theirs.share();
            if harm == Harm::More { off } else { -off }
        };
        let wrong = |slot: &Counts| if harm == Harm::More { slot.bad } else { slot.total - slot.bad };
        let rest = sum(worst.of(candidate, excess, wrong));
        Self {
            whole: strength((ours, theirs)),
            without_worst: strength(rest),
            dispersion,
            rest: [rest.0, rest.1],
            worst,
        }
    }

    /// Whether it shows harm at any time, for so many false alarms.
    pub fn shows_harm(&self, alpha: f64) -> bool {
        let needed = -libm::log(alpha);
        self.whole.ln_e >= needed && self.without_worst.ln_e >= self.worst.part() * needed
    }

    /// Whether it shows harm in the one look at the end, for so many false alarms.
    pub fn shows_harm_once(&self, alpha: f64) -> bool {
        self.whole.p <= alpha && self.without_worst.p <= libm::pow(alpha, self.worst.part())
    }
}

/// Evidence that the rate of blocks is above a limit, as a natural logarithm: what the e-value reaches both of all blocks and
/// without the worst one (a part of it, [`Worst::part`]), counts divided by how many times more than chance they vary. Of the only
/// block nothing is left out, and it is taken to vary as much as blocks do of which nothing is known.
///
/// `before` is how blocks varied that came before these and are not weighed; `resembling` is as for [`Variation::dispersion`]. The
/// limit is above 0 and below 1. What is not above it is no evidence.
pub fn ln_e_above(blocks: &[Counts], before: Variation, resembling: f64, limit: f64) -> f64 {
    let all = Counts::sum(blocks.iter().copied());
    if all.share() <= limit {
        return f64::NEG_INFINITY;
    }
    let expected = dispersion::mean(all.total, blocks) * limit * (1.0 - limit);
    let within = Variation::of(blocks);
    let dispersion = within.and(before).dispersion(expected, resembling);
    let weigh = |counts: Counts, dispersion: f64| ln_e(counts.bad / dispersion, counts.good().bad / dispersion, limit);
    if within.freedom < 1.0 {
        let unseen = Variation::default().dispersion(expected, resembling);
        return weigh(all, if dispersion < unseen { unseen } else { dispersion });
    }
    let excess = |block: &Counts| block.bad - block.total * limit;
    let worst = blocks.iter().copied().max_by(|a, b| excess(a).total_cmp(&excess(b))).unwrap_or_default();
    let (whole, rest) = (weigh(all, dispersion), weigh(all.since(worst), dispersion) / Worst::Block.part());
    if rest.is_nan() || rest < whole { rest } else { whole }
}

/// Evidence that a rate is above a limit since some block, as a natural logarithm: the strongest over several beginnings, each
/// of which has its own share of the false alarms ([`beginning`]), so that what goes wrong late is seen although it went well for
/// long. How blocks vary is taken before a beginning and from it on, each about its own rate.
pub fn ln_e_since_any(blocks: &[Counts], limit: f64) -> f64 {
    let mut strongest = f64::NEG_INFINITY;
    // The newest few beginnings, and the first of all.
    let first = blocks.len().saturating_sub(BEGINNINGS);
    let starts = (first..blocks.len()).chain((first > 0).then_some(0));
    for start in starts {
        let (before, since) = blocks.split_at(start);
        let evidence = ln_e_above(since, Variation::of(before), 0.0, limit) - beginning(start);
        if evidence.is_nan() {
            return f64::NAN;
        }
        strongest = strongest.max(evidence);
    }
    strongest
}

/// How much more evidence it takes of what began after so many others could have, as a natural logarithm: the `k`-th beginning has
/// `1 / k (k + 1)` of the false alarms, and all of them have one.
pub fn beginning(passed: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "slots and blocks are far fewer than numbers that are exact")]
    let k = passed as f64 + 1.0;
    libm::log(k * (k + 1.0))
}

/// How many samples without a single failure it takes to say, with a confidence, that fewer than a share `p` fail:
/// the least `n` with `(1 - p)^n <= 1 - confidence`. `p` and the confidence are above 0 and below 1.
pub fn certifying(p: f64, confidence: f64) -> f64 {
    (libm::log1p(-confidence) / libm::log1p(-p)).ceil()
}
