//! Burn-rate gates: an error budget that is spent too fast over a short and a long window at once.

use crate::model::{
    document::Span,
    policy::{Decimal, Gate},
};

use super::{
    counted::{Counted, aggregate, counted, is_none_good, minimum, uncounted},
    limits::{AbsoluteLimits, LimitState, Weighing},
    question::windows,
    reading::{Cause, Figures, Reading, Says, SlotReading, TierGate},
    stats::{
        Summary, burn,
        counts::{Counts, beginning, ln_e},
    },
    watch::{Part, Query, Side, Slot},
    words,
};

/// How far two sums of the same may be apart, relative to them.
const ROUNDING: f64 = 1e-9;

/// Reads the slots of a burn-rate gate.
pub(super) fn read(tier_gate: &TierGate<'_>, slots: &[Slot]) -> Reading {
    let (minimum, least) = minimum(tier_gate);
    let mut reading = Reading { minimum: Some(minimum), ..Reading::default() };
    let mut tier =
        BurnTier { of: tier_gate, least, limits: AbsoluteLimits::new(tier_gate), rates: Vec::new(), counted: false };
    for (index, slot) in slots.iter().enumerate() {
        let mut figures = Figures::default();
        let (measured, unknown) = measured(tier_gate, slot, least, tier.counted);
        let says = tier.slot(slot, &measured, unknown, &mut figures);
        if index + 1 == slots.len() || matches!(says, Says::Harm(_)) {
            figures.candidate.summary = Summary::of(&tier.rates);
        }
        let figures = Some(figures).filter(|figures| *figures != Figures::default());
        reading.slots.push(SlotReading { number: slot.number, at: slot.at, says, figures });
    }
    reading
}

/// The counts over each window, the longest first, and why no more of them are known, if they are not. What is bad over the
/// longest one may be missing only where its total is enough and it was not `counted` before; a shorter window is part of it.
fn measured(
    tier_gate: &TierGate<'_>,
    slot: &Slot,
    least: f64,
    counted_before: bool,
) -> (Vec<(Span, Counts)>, Option<Says>) {
    let mut measured = Vec::new();
    let mut least = least;
    for window in windows(tier_gate.gate).into_iter().rev() {
        let part = Part { side: Side::Candidate, query: Query::Total, window: Some(window) };
        let counts = match counted(slot, part, least) {
            Counted::Known(counts) => counts,
            Counted::NoneBad(_) if !is_none_good(tier_gate.gate) => return (measured, Some(uncounted(part).says())),
            // Counts of the whole tier are not taken back: what was counted, and is not there, is lost.
            Counted::NoneBad(_) if counted_before && measured.is_empty() && covered(tier_gate, slot, window) < 1.0 => {
                return (measured, Some(uncounted(part).says()));
            }
            Counted::NoneBad(total) => Counts { bad: 0.0, total },
            Counted::TotalOnly(total) => {
                let total = words::count(total);
                let why = format!("{total} of {least} events, and nothing counts the bad ones yet");
                return (measured, Some(Says::Partial(why)));
            }
            unknown @ Counted::Unknown(..) => return (measured, Some(unknown.says())),
        };
        if counts.total >= least {
            least = 0.0;
        }
        measured.push((window, counts));
    }
    (measured, None)
}

/// One tier, slot by slot.
struct BurnTier<'a> {
    of: &'a TierGate<'a>,
    least: f64,
    limits: AbsoluteLimits,
    /// The fastest that each slot's budget burned.
    rates: Vec<f64>,
    /// Whether anything counted bad events over the longest window yet.
    counted: bool,
}

impl BurnTier<'_> {
    /// What a slot says. A limit that is broken, or a budget that burns, is so whatever is unknown of other windows.
    fn slot(&mut self, slot: &Slot, measured: &[(Span, Counts)], unknown: Option<Says>, figures: &mut Figures) -> Says {
        let gate = self.of.gate;
        let (Some((longest_window, longest)), Some(objective)) = (measured.first().copied(), gate.objective) else {
            let nothing = || Says::Unknown("the gate has no windows or no objective".to_owned(), Cause::Silence);
            return unknown.unwrap_or_else(nothing);
        };
        self.counted |= longest.bad > 0.0;
        figures.candidate = aggregate(longest);
        let passed = |window| passed(self.of, slot, window);
        let limit = self.limits.hold(longest, self.least, Weighing::Sliding(passed(longest_window)));
        if let LimitState::Broken(why) = limit {
            return Says::Harm(why);
        }
        let needed = -libm::log(self.of.budget.limit());
        let over = |window: Span| measured.iter().find(|(own, _)| *own == window).map(|(_, counts)| *counts);
        let burns = |counts: Counts, window: Span| rate(counts, objective) * covered(self.of, slot, window);
        let budget = 1.0 - objective.get() / 100.0;
        let (mut fastest, mut outage, mut suspected) = (0.0_f64, Outage::Unseen(0.0, 0.0), None);
        for window in &gate.windows {
            let (Some(short), Some(long)) = (over(window.short), over(window.long)) else { continue };
            // That the budget is overspent is to be beyond chance: of few events one is soon too many. Each beginning of a window
            // is another chance to be wrong.
            let needed = needed + beginning(passed(window.long));
            let evidence = ln_e(long.bad, long.total - long.bad, budget);
            let most = covered(self.of, slot, window.long).min(covered(self.of, slot, window.short)) / budget;
            outage = outage.or(most, window.factor.get(), ln_e(long.total, 0.0, budget) >= needed);
            let (short, long) = (burns(short, window.short), burns(long, window.long));
            if evidence.is_nan() || short.is_nan() || long.is_nan() {
                return Says::no_number();
            }
            let factor = window.factor.get();
            // A rate on the limit is good, whatever rounding makes of it.
            let limit = factor * (1.0 + ROUNDING);
            if short > limit && long > limit {
                let burns = format!(
                    "the budget burns {short:.1} times too fast over {} and {long:.1} over {}; the limit is {factor}",
                    window.short, window.long
                );
                if evidence >= needed {
                    return Says::Harm(burns);
                }
                suspected = Some(format!("{burns}, which may be chance"));
            }
            fastest = fastest.max(short.min(long));
        }
        if let Some(says) = unknown {
            return says;
        }
        self.rates.push(fastest);
        if longest.total < self.least {
            return Says::Few(format!("{} of {} events", words::count(longest.total), self.least));
        }
        if let LimitState::Beyond(why) = limit {
            return Says::Few(why);
        }
        if let Some(why) = suspected {
            return Says::Few(why);
        }
        if limit == LimitState::NoNumber {
            return Says::no_number();
        }
        // What could not see an outage says nothing of health.
        if let Outage::Unseen(most, factor) = outage
            && !self.limits.sees_outages()
        {
            return Says::Few(format!(
                "too early to notice an outage: were all bad, the budget would burn at {most:.1} of {factor}"
            ));
        }
        if let Some(silent) = gate.windows.iter().map(|window| window.short).find(|short| is_silent(over(*short))) {
            return silence(silent);
        }
        Says::Fine(format!("the budget burns at {fastest:.2} of what it bears; {} events", words::count(longest.total)))
    }
}

/// Whether an outage of all that was served so far would be seen.
#[derive(Debug, Clone, Copy)]
enum Outage {
    Seen,
    /// The fastest that a budget could have burned over a pair of windows, and the pair's factor.
    Unseen(f64, f64),
}

impl Outage {
    /// The same with one more pair of windows: how fast its budget could have burned at most, its factor, and whether there are
    /// events enough to show that.
    fn or(self, most: f64, factor: f64, is_enough: bool) -> Self {
        match self {
            Self::Seen => Self::Seen,
            Self::Unseen(..) if most > factor * (1.0 + ROUNDING) && is_enough => Self::Seen,
            Self::Unseen(best, of) if of > 0.0 && best / of >= most / factor => self,
            Self::Unseen(..) => Self::Unseen(most, factor),
        }
    }
}

/// How many slots had begun when a window did, from the first of the tier on.
fn passed(tier_gate: &TierGate<'_>, slot: &Slot, window: Span) -> usize {
    let lasted = slot.at.as_second().saturating_sub(tier_gate.clockwork().ground.as_second());
    let before = u64::try_from(lasted).unwrap_or(0).saturating_sub(window.as_secs());
    usize::try_from(before / tier_gate.gate.interval.as_secs().max(1)).unwrap_or(usize::MAX)
}

/// Which part of a window the tier has lasted for. What went before was not the candidate's doing: a window bears as much as it
/// would if all of that had been good.
fn covered(tier_gate: &TierGate<'_>, slot: &Slot, window: Span) -> f64 {
    let lasted = slot.at.as_second().saturating_sub(tier_gate.clockwork().ground.as_second()).max(0);
    #[allow(clippy::cast_precision_loss, reason = "seconds of any tier are exact")]
    let (lasted, window) = (lasted as f64, window.as_secs().max(1) as f64);
    (lasted / window).min(1.0)
}

/// After how many seconds a tier in which all is bad has burned faster than one of a gate's pairs of windows bears; none if it
/// never does. Before that nothing passes: what could not see an outage says nothing of health.
pub fn seen_after(gate: &Gate) -> Option<f64> {
    let budget = 1.0 - gate.objective?.get() / 100.0;
    let reached = gate.windows.iter().filter(|window| window.factor.get() * budget < 1.0);
    #[allow(clippy::cast_precision_loss, reason = "seconds of any window are exact")]
    let after = reached.map(|window| window.factor.get() * budget * window.short.max(window.long).as_secs() as f64);
    after.reduce(f64::min)
}

/// Whether nothing at all came over a window. That is no sign of health, however it was counted.
fn is_silent(counts: Option<Counts>) -> bool {
    counts.is_none_or(|counts| counts.total <= 0.0)
}

fn silence(window: Span) -> Says {
    Says::Unknown(format!("nothing was counted over the last {window}"), Cause::Silence)
}

/// How fast a budget burns; none burn nothing.
fn rate(counts: Counts, objective: Decimal) -> f64 {
    if counts.total > 0.0 { burn::rate(counts.bad, counts.total, objective.get()) } else { 0.0 }
}

/// What the shortest window of a slot counted, how fast the budget burned over it, and how many slots had begun when it did.
pub(super) fn shortest(tier_gate: &TierGate<'_>, slot: &Slot) -> Result<(Counts, f64, usize), Says> {
    let (_, least) = minimum(tier_gate);
    let (measured, unknown) = measured(tier_gate, slot, least, false);
    if let Some(says) = unknown {
        return Err(says);
    }
    let nothing = || Says::Unknown("the gate has no windows or no objective".to_owned(), Cause::Silence);
    let ((_, longest), (window, counts)) = measured.first().zip(measured.last()).ok_or_else(nothing)?;
    if longest.total < least {
        return Err(Says::Few(format!("{} of {least} events", words::count(longest.total))));
    }
    if is_silent(Some(*counts)) {
        return Err(silence(*window));
    }
    let rate = rate(*counts, tier_gate.gate.objective.ok_or_else(nothing)?);
    Ok((*counts, rate * covered(tier_gate, slot, *window), passed(tier_gate, slot, *window)))
}
