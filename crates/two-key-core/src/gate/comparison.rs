//! Comparisons of a candidate's bad events with its baseline's, slot by slot of a tier.

use jiff::Timestamp;

use crate::model::policy::{Decimal, Worse};

use super::{
    blocks::Blocks,
    context::{MeasuredVersion, Recorded},
    counted::{Counted, aggregate, counted, fell, is_none_good, part, uncounted, what},
    question::compares,
    reading::{Cause, Figures, Reading, Says, TierGate},
    report::{Aggregate, Comparison},
    stats::counts::{CountBaseline, Counts, Harm, Weighed},
    watch::{Side, Slot},
    words,
};

/// How many of the newest blocks are looked at by themselves.
const RECENT: usize = 3;
/// From so many blocks on it is known how a candidate varies.
const SEEN: usize = 4;
/// From so many events on that were to be expected of a baseline, that none came is no chance.
const EXPECTED: f64 = 20.0;
/// The part of what was to be expected of a baseline below which it stands still.
const STANDSTILL: f64 = 0.05;
/// The natural logarithm of the largest e-value that is written down.
const MOST_LN: f64 = 690.0;

/// The one look at a comparison when the tier has baked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Once {
    /// There is none: nothing that grows beside the candidate is compared with.
    Never,
    /// Due in the first slot from this time on that has enough.
    Due(Timestamp),
    /// Made.
    Made,
}

/// A tier's comparison, slot by slot.
pub(super) struct Comparing<'a> {
    tier_gate: &'a TierGate<'a>,
    least: f64,
    /// Whether this is the slot of which all figures are wanted.
    pub(super) newest: bool,
    /// The counts of the slot before, the candidate's and the baseline's.
    before: [Option<Counts>; 2],
    /// Whether anything ever counted the bad events of each.
    ever: [bool; 2],
    /// The counts of both when the baseline was last seen to grow, and when that was.
    beside: Option<([Counts; 2], Timestamp)>,
    blocks: Blocks<2>,
    once: Once,
    /// Whether the comparison could have noticed the worst already.
    sighted: bool,
    /// How often a recorded baseline has been looked at, and how many events the candidate had then.
    looks: i32,
    looked_at: f64,
    /// What the last such look showed, and why it could not have noticed harm, if it could not.
    looked: (Option<Aggregate>, Option<Comparison>),
    blind: Option<String>,
}

impl<'a> Comparing<'a> {
    pub(super) fn new(tier_gate: &'a TierGate<'a>, least: f64) -> Self {
        let clockwork = tier_gate.clockwork();
        // The last slot of the bake, so that what is to be known when it ends is known then.
        let due = clockwork.newest(tier_gate.baked()).map_or(clockwork.at(1), |(_, at)| at);
        Self {
            tier_gate,
            least,
            newest: false,
            before: [None, None],
            ever: [false; 2],
            beside: None,
            blocks: Blocks::default(),
            once: if compares(tier_gate.gate, tier_gate.context) { Once::Due(due) } else { Once::Never },
            sighted: false,
            looks: 0,
            looked_at: 0.0,
            looked: (None, None),
            blind: None,
        }
    }

    /// Whether the one look when the tier has baked is still to be made.
    pub(super) fn awaits(&self) -> bool {
        matches!(self.once, Once::Due(_))
    }

    /// Counts of a tier only grow: one that fell was begun anew somewhere, and what it counted before is lost. That slot says
    /// nothing; from the next one on, what is counted is counted from there.
    fn growing(&mut self, counted: Counted, side: Side) -> Counted {
        let index = usize::from(side == Side::Baseline);
        let ever = self.ever.get(index).copied().unwrap_or_default();
        let now = match counted {
            Counted::Known(now) => now,
            // Counts of a tier are not taken back: what was counted, and is not there, is lost.
            Counted::NoneBad(_) if ever || !is_none_good(self.tier_gate.gate) => return uncounted(part(side)),
            Counted::NoneBad(total) => Counts { bad: 0.0, total },
            Counted::TotalOnly(_) | Counted::Unknown(..) => return counted,
        };
        if let Some(ever) = self.ever.get_mut(index) {
            *ever |= matches!(counted, Counted::Known(_));
        }
        let before = self.before.get_mut(index).and_then(|before| before.replace(now));
        if let Some(before) = before
            && fell(self.tier_gate.gate, now, before)
        {
            let (now, before) = (words::counts(now), words::counts(before));
            let why = format!("counter reset: {now} after {before} in the same tier");
            return Counted::Unknown(format!("{}: {why}", what(part(side), "counts")), Cause::Silence);
        }
        // That nothing counts the candidate's bad ones yet means that there are none; of the baseline's it may not make harm.
        if side == Side::Candidate { Counted::Known(now) } else { counted }
    }

    /// What a slot counted of both sides; of the baseline only where it runs beside.
    pub(super) fn counts(&mut self, slot: &Slot) -> (Counted, Option<Counted>) {
        let candidate = self.growing(counted(slot, part(Side::Candidate), self.least), Side::Candidate);
        let beside = compares(self.tier_gate.gate, self.tier_gate.context);
        let baseline = beside.then(|| counted(slot, part(Side::Baseline), self.least));
        (candidate, baseline.map(|counted| self.growing(counted, Side::Baseline)))
    }

    /// What a slot's comparison says, in words that go on from the candidate's counts.
    pub(super) fn slot(
        &mut self,
        slot: &Slot,
        (candidate, baseline): (Counts, Option<Counted>),
        figures: &mut Figures,
        reading: &mut Reading,
    ) -> Says {
        if self.tier_gate.gate.compare.is_none() {
            return Says::Fine(String::new());
        }
        if let Some(baseline) = baseline {
            let is_counted = !matches!(baseline, Counted::NoneBad(_));
            let baseline = match baseline {
                Counted::Known(counts) => counts,
                Counted::NoneBad(total) => Counts { bad: 0.0, total },
                Counted::TotalOnly(total) => {
                    let total = words::count(total);
                    let why = format!("baseline: {total} of {} events, and nothing counts the bad ones", self.least);
                    return Says::Few(why);
                }
                Counted::Unknown(why, cause) => return Says::Unknown(why, cause),
            };
            if let Some(since) = self.stands_still(slot, [candidate, baseline]) {
                return Says::Few(format!(
                    "nothing was counted of the baseline since {since}, while the candidate served"
                ));
            }
            reading.marks.extend(self.blocks.add(self.tier_gate, slot, [candidate, baseline]));
            return match self.beside(slot, [candidate, baseline], figures, reading) {
                // That nothing counts the baseline's bad events is no harm of the candidate's.
                Says::Harm(_) if !is_counted => uncounted(part(Side::Baseline)).says(),
                says => says,
            };
        }
        let Some(Recorded::Counts { bad, total }) = self.tier_gate.context.recorded.get(self.tier_gate.id) else {
            return Says::Fine("; there is nothing to compare with".to_owned());
        };
        reading.marks.extend(self.blocks.add(self.tier_gate, slot, [candidate, Counts::default()]));
        let says = self.recorded(slot, [candidate, Counts { bad: *bad, total: *total }], figures, reading);
        (figures.baseline, figures.comparison) = self.looked;
        says
    }

    /// Since when the baseline stands still while the candidate serves, by what its share was to bring: then its exporter is gone
    /// and not its traffic, and there is nothing beside the candidate to compare with.
    fn stands_still(&mut self, slot: &Slot, now: [Counts; 2]) -> Option<Timestamp> {
        let [candidate, baseline] = now;
        let Some(([ours, theirs], at)) = self.beside.filter(|([ours, theirs], _)| {
            ours.total > 0.0
                && ours.total <= candidate.total
                && theirs.total <= baseline.total + theirs.total * STANDSTILL
        }) else {
            self.beside = Some((now, slot.at));
            return None;
        };
        let expected = (candidate.total - ours.total) * theirs.total / ours.total;
        if baseline.total - theirs.total >= (expected * STANDSTILL).max(1.0) {
            self.beside = Some((now, slot.at));
            return None;
        }
        (expected >= EXPECTED).then_some(at)
    }

    /// Compares with what runs beside: at any time, and once when the tier has baked.
    fn beside(&mut self, slot: &Slot, counts: [Counts; 2], figures: &mut Figures, reading: &mut Reading) -> Says {
        let (gate, budget) = (self.tier_gate.gate, self.tier_gate.budget);
        let (Some(any_time), Some(once)) = (budget.any_time(gate), budget.once(gate)) else {
            return Says::Fine(String::new());
        };
        let due = matches!(self.once, Once::Due(at) if slot.at >= at) && counts[0].total >= self.least;
        if due {
            self.once = Once::Made;
            reading.decisive.insert(slot.number);
        }
        // What cannot be harm is weighed for its figures only.
        if !due && !self.newest && self.sighted && !self.is_much(counts) {
            return if self.goes_wrong(any_time) { Says::Few(String::new()) } else { Says::Fine(String::new()) };
        }
        let [ours, theirs] = &self.blocks.counts;
        let weighed = Weighed::new(ours, CountBaseline::Beside(theirs), self.harm());
        let shows_harm = weighed.shows_harm(any_time) || due && weighed.shows_harm_once(once);
        let says = if shows_harm { Shows::Harm } else { Shows::Nothing };
        self.weigh(&weighed, counts, says, any_time, figures)
    }

    /// Compares with what was recorded. That does not grow with the candidate, and is no fair bet at any time. So it is looked
    /// at only when the candidate's events have doubled, each time for half of the false alarms that are left, and of a candidate
    /// not before it is known how it varies.
    fn recorded(&mut self, slot: &Slot, counts: [Counts; 2], figures: &mut Figures, reading: &mut Reading) -> Says {
        let [candidate, baseline] = counts;
        let is_seen = self.blocks.counts[0].len() >= SEEN || self.tier_gate.context.subject == MeasuredVersion::Stable;
        if !is_seen || candidate.total < self.least || candidate.total < 2.0 * self.looked_at {
            return match &self.blind {
                Some(why) => Says::Few(why.clone()),
                None if self.looks == 0 => Says::Few("not compared with what was recorded yet".to_owned()),
                None => Says::Fine("; as the recorded baseline said".to_owned()),
            };
        }
        self.looks += 1;
        self.looked_at = candidate.total;
        reading.decisive.insert(slot.number);
        let alpha = self.tier_gate.budget.comparison(self.tier_gate.gate).unwrap_or(0.0);
        let alpha = libm::ldexp(alpha, -self.looks);
        let [ours, _] = &self.blocks.counts;
        let weighed = Weighed::new(ours, CountBaseline::Recorded(baseline), self.harm());
        let shows_harm = match self.tier_gate.context.subject {
            MeasuredVersion::Candidate => weighed.shows_harm(alpha),
            // What was restored and is not seen to be well has failed anyway: one bad moment is waited for by nobody.
            MeasuredVersion::Stable => weighed.whole.ln_e >= -libm::log(alpha),
        };
        let shows = if shows_harm { Shows::Harm } else { Shows::Nothing };
        self.sighted = false;
        let says = self.weigh(&weighed, counts, shows, alpha, figures);
        self.looked = (figures.baseline, figures.comparison);
        self.blind = if let Says::Few(why) = &says { Some(why.clone()) } else { None };
        says
    }

    /// What a comparison says.
    fn weigh(
        &mut self,
        weighed: &Weighed,
        counts: [Counts; 2],
        shows: Shows,
        alpha: f64,
        figures: &mut Figures,
    ) -> Says {
        let [candidate, baseline] = counts;
        figures.baseline = Some(aggregate(baseline));
        if candidate.total <= 0.0 || baseline.total <= 0.0 {
            return Says::Few("there is nothing to compare yet".to_owned());
        }
        if !weighed.whole.is_known() || !weighed.without_worst.is_known() || weighed.dispersion.is_nan() {
            return Says::no_number();
        }
        let needed = -libm::log(alpha);
        let exp = |ln: f64| libm::exp(ln.min(MOST_LN));
        let ratio = (baseline.bad > 0.0).then(|| candidate.share() / baseline.share());
        figures.comparison = Some(Comparison::EValue {
            e_value: exp(weighed.whole.ln_e),
            without_worst: exp(weighed.without_worst.ln_e),
            needed: exp(needed),
            p: weighed.whole.p,
            dispersion: weighed.dispersion,
            ratio: ratio.filter(|ratio| ratio.is_finite()),
        });
        let against = format!(
            " against {} of the baseline (E {} of {}, p {})",
            words::percent(baseline.share()),
            words::evidence(weighed.whole.ln_e),
            words::evidence(needed),
            words::number(weighed.whole.p)
        );
        if shows == Shows::Harm && self.is_much(counts) {
            return Says::Harm(against);
        }
        // A comparison that would not notice the worst is none.
        self.sighted = self.sighted || self.would_notice(counts, needed);
        if !self.sighted {
            return Says::Few(format!("too few to notice harm{against}"));
        }
        // Neither is one that rests on a single minute, whatever that says.
        let alone = weighed.whole.ln_e >= needed && self.is_much(counts);
        if alone && !self.would_notice(weighed.rest, weighed.worst.part() * needed) {
            return Says::Few(format!("harm in one minute, and too few in others to tell{against}"));
        }
        // What varies because it has just gone wrong is not made well by how much it varies.
        if self.goes_wrong(alpha) {
            return Says::Few(format!("harm in the newest slots, which may be chance{against}"));
        }
        Says::Fine(against)
    }

    /// Whether the newest blocks show harm by themselves, were they independent, and each but one of them.
    fn goes_wrong(&self, alpha: f64) -> bool {
        let [ours, theirs] = &self.blocks.counts;
        let newest = |blocks: &[Counts], length| blocks.iter().rev().take(length).copied().collect::<Vec<_>>();
        (2..=RECENT.min(theirs.len())).any(|length| {
            let (ours, theirs) = (newest(ours, length), newest(theirs, length));
            self.is_much([Counts::sum(ours.clone()), Counts::sum(theirs.clone())])
                && Weighed::of_independent(&ours, CountBaseline::Beside(&theirs), self.harm()).shows_harm(alpha)
        })
    }

    /// Whether so many events are enough for the worst to be noticed.
    fn would_notice(&self, counts: [Counts; 2], needed: f64) -> bool {
        let [candidate, baseline] = counts;
        let worst = Counts { bad: self.alarming(counts), ..candidate };
        Weighed::of_independent(&[worst], CountBaseline::Recorded(baseline), self.harm()).whole.ln_e >= needed
    }

    fn harm(&self) -> Harm {
        match self.tier_gate.gate.worse {
            Worse::Higher => Harm::More,
            Worse::Lower => Harm::Fewer,
        }
    }

    /// Whether the ratio of the two rates, as it was measured, is beyond what is put up with.
    fn is_much(&self, [candidate, baseline]: [Counts; 2]) -> bool {
        let limit = self.tier_gate.gate.compare.and_then(|compare| compare.max_ratio).map_or(1.0, Decimal::get);
        match self.tier_gate.gate.worse {
            Worse::Higher => candidate.share() > limit * baseline.share(),
            Worse::Lower => candidate.share() * limit < baseline.share(),
        }
    }

    /// How many bad events a comparison must be able to notice: one in ten, or three times the baseline's rate; where
    /// less is worse, none at all.
    fn alarming(&self, [candidate, baseline]: [Counts; 2]) -> f64 {
        match self.tier_gate.gate.worse {
            Worse::Higher => candidate.total * (3.0 * baseline.share()).clamp(0.1, 1.0),
            Worse::Lower => 0.0,
        }
    }
}

/// What evidence shows, whatever the ratio of the two rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Nothing,
    Harm,
}
