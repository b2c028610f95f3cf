//! Two counts compared while they grow, and one count held to a limit.
//!
//! Of `more + fewer` events, `more` are on the side that may be harmed. If nothing is wrong, each event is on that side with
//! probability `rho`: the candidate's share of the requests, or, for a limit, the limit itself. The e-value is the likelihood
//! of the counts mixed evenly over the logarithm of the odds ratio, from [`LEAST`] to [`MOST`], against that at a ratio of 1.
//! If nothing is wrong, the chance that it *ever* reaches `1 / alpha` is at most `alpha`, however often one looks (Ville's
//! inequality; Lindon et al., KDD 2022, arXiv 2205.14762, mix over the share instead).
//!
//! Only additions, multiplications and the functions of `libm` are used, so that the same counts give the same bits everywhere.

/// The smallest odds ratio that the e-value bets on.
pub const LEAST: f64 = 1.2;
/// The largest.
pub const MOST: f64 = 30.0;
/// How many ratios stand for all between the two. Each of them is a fair bet, so their mean is one too.
const BETS: u32 = 40;
/// What the evidence without the worst slot has to reach, as a part of what all of it has to (in logarithms).
pub const WITHOUT_WORST: f64 = 0.7;
/// The part of the rate of false alarms that is for looking at any time; the rest is for the one look at the end.
pub const ANY_TIME: f64 = 0.1;

/// From this many events on the digits of a number do not tell counts apart any more.
const TOO_MANY: f64 = 1e14;
/// How many of the newest slots what went wrong may have begun in.
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

/// How many times more than chance bad events vary from slot to slot: Pearson's chi-squared over its degrees of freedom, at
/// least 1. Retries, users who stay with a version, and bad minutes make it large.
pub fn dispersion(slots: &[Counts]) -> f64 {
    let all = Counts::sum(slots.iter().copied());
    let served: Vec<_> = slots.iter().filter(|slot| slot.total > 0.0).collect();
    let (share, freedom) = (all.share(), served.len().saturating_sub(1));
    if freedom == 0 || share <= 0.0 || share >= 1.0 {
        return 1.0;
    }
    let off = |slot: &&Counts| (slot.bad - slot.total * share) * (slot.bad - slot.total * share) / slot.total;
    let chi_squared = served.iter().map(off).sum::<f64>() / (share * (1.0 - share));
    #[allow(clippy::cast_precision_loss, reason = "there are a few thousand slots at most")]
    let freedom = freedom as f64;
    (chi_squared / freedom).max(1.0)
}

/// What a candidate is compared with.
#[derive(Debug, Clone, Copy)]
pub enum Baseline<'a> {
    /// What ran beside it, slot by slot as the candidate's.
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

/// A comparison of two counts, slot by slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    /// All of it.
    pub whole: Strength,
    /// Without the slot that speaks most for harm: one bad minute, or one user who retries, is no bad version.
    pub without_worst: Strength,
    /// What both counts were divided by: how many times more than chance either varies from slot to slot.
    pub dispersion: f64,
    /// The counts without that slot: the candidate's and the baseline's.
    pub rest: [Counts; 2],
}

impl Weighed {
    /// Compares.
    pub fn new(candidate: &[Counts], baseline: Baseline<'_>, harm: Harm) -> Self {
        let theirs_varies = if let Baseline::Beside(slots) = baseline { dispersion(slots) } else { 1.0 };
        Self::divided(candidate, baseline, harm, dispersion(candidate).max(theirs_varies))
    }

    /// Compares as if bad events were independent.
    pub fn of_independent(candidate: &[Counts], baseline: Baseline<'_>, harm: Harm) -> Self {
        Self::divided(candidate, baseline, harm, 1.0)
    }

    fn divided(candidate: &[Counts], baseline: Baseline<'_>, harm: Harm, dispersion: f64) -> Self {
        let sum = |without: Option<usize>| {
            let kept = |slots: &[Counts]| {
                Counts::sum(slots.iter().enumerate().filter(|(k, _)| Some(*k) != without).map(|(_, slot)| *slot))
            };
            let theirs = match baseline {
                Baseline::Beside(slots) => kept(slots),
                Baseline::Recorded(counts) => counts,
            };
            (kept(candidate), theirs)
        };
        let (ours, theirs) = sum(None);
        let strength = |(ours, theirs)| Strength::of(ours, theirs, dispersion, harm);
        let excess = |slot: &Counts| {
            let off = slot.bad - slot.total * theirs.share();
            if harm == Harm::More { off } else { -off }
        };
        let worst = candidate.iter().map(excess).enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(k, _)| k);
        let rest = sum(worst);
        Self { whole: strength((ours, theirs)), without_worst: strength(rest), dispersion, rest: [rest.0, rest.1] }
    }

    /// Whether it shows harm at any time, for so many false alarms.
    pub fn shows_harm(&self, alpha: f64) -> bool {
        let needed = -libm::log(alpha);
        self.whole.ln_e >= needed && self.without_worst.ln_e >= WITHOUT_WORST * needed
    }

    /// Whether it shows harm in the one look at the end, for so many false alarms.
    pub fn shows_harm_once(&self, alpha: f64) -> bool {
        self.whole.p <= alpha && self.without_worst.p <= libm::pow(alpha, WITHOUT_WORST)
    }
}

/// Evidence that a rate is above a limit since some slot, as a natural logarithm: the strongest over several beginnings, each
/// of which has its own share of the false alarms (`1 / k (k + 1)` for the `k`-th slot), so that what goes wrong late is seen
/// although it went well for long.
pub fn ln_e_since_any(slots: &[Counts], limit: f64) -> f64 {
    let mut strongest = f64::NEG_INFINITY;
    let mut since = Counts::default();
    for (index, slot) in slots.iter().enumerate().rev() {
        let number = index + 1;
        since = Counts::sum([since, *slot]);
        // The newest few beginnings, and the first of all.
        if number > 1 && number + BEGINNINGS <= slots.len() {
            continue;
        }
        #[allow(clippy::cast_precision_loss, reason = "there are a few thousand slots at most")]
        let k = number as f64;
        // What is not above the limit is no evidence.
        if since.share() <= limit {
            continue;
        }
        let evidence = ln_e(since.bad, (since.total - since.bad).max(0.0), limit) - libm::log(k * (k + 1.0));
        if evidence.is_nan() {
            return f64::NAN;
        }
        strongest = strongest.max(evidence);
    }
    strongest
}

/// How many samples without a single failure it takes to say, with a confidence, that fewer than a share `p` fail:
/// the least `n` with `(1 - p)^n <= 1 - confidence`. `p` and the confidence are above 0 and below 1.
pub fn certifying(p: f64, confidence: f64) -> f64 {
    (libm::log1p(-confidence) / libm::log1p(-p)).ceil()
}
