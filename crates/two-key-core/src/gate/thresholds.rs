//! Thresholds: strict limits beyond which a rollout is warned about or halted. What was not measured never halts, and is
//! never healthy.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    ledger::PinnedTerms,
    model::{
        GateId,
        document::Span,
        policy::{GateKind, Limit, LimitRule, LimitSide::Above, Threshold},
    },
};

use super::{
    blocks::Blocks,
    burn,
    context::TierContext,
    counted::{self, Counted, counted, uncounted},
    gauge,
    limits::BEYOND,
    reading::{Says, TierGate},
    report::{ThresholdReport, ThresholdState},
    sample,
    slot::later,
    stats::counts::{Counts, beginning, ln_e, ln_e_since_any},
    watch::{Seen, Side, Slot, Watch},
    words,
};

/// How long such a look may be relied on.
const METRIC_TTL: Span = Span::seconds(120);

/// What is concluded of a threshold.
pub(super) fn report(
    name: &GateId,
    threshold: &Threshold,
    terms: &PinnedTerms,
    context: &TierContext,
    watch: &Watch,
    now: Timestamp,
) -> ThresholdReport {
    let nothing = Seen::default();
    let gate = terms.gates.get(name);
    let seen = if gate.is_some() { watch.gates.get(name) } else { watch.thresholds.get(name) };
    let looks = looks(name, threshold, terms, context, seen.unwrap_or(&nothing));
    let Threshold { warn, halt, .. } = *threshold;
    let base = |state, why, value, at| ThresholdReport { state, why, value, at, warn, halt };
    if let (Some((look, value)), Some(halt)) = (crossed(&looks, threshold).0, halt) {
        let why = format!("{} (slot {})", crosses(value, halt), look.number);
        return base(ThresholdState::Halt, why, Some(value), Some(look.at));
    }
    let Some(MetricLook { at, known, .. }) = looks.last() else {
        return base(ThresholdState::NoData, "not measured yet".to_owned(), None, None);
    };
    if now > later(*at, gate.map_or(METRIC_TTL, |gate| gate.evidence_ttl)) {
        return base(ThresholdState::NoData, format!("the last look, at {at}, is too old"), None, Some(*at));
    }
    let known = match known {
        Err(says) => return base(ThresholdState::NoData, says.words().to_owned(), None, Some(*at)),
        Ok(known) => known,
    };
    let value = || Some(known.value);
    let is = |limit: Limit| crosses(known.value, limit);
    let (warned, beyond) = (warn.filter(|warn| known.beyond(*warn)), halt.filter(|halt| known.beyond(*halt)));
    match (&known.few, warned, beyond) {
        // Beyond what halts, and not halted: nobody knows yet, and that is not healthy.
        (_, _, Some(halt)) => {
            base(ThresholdState::NoData, format!("{}, which may be chance", is(halt)), value(), Some(*at))
        }
        (_, Some(warn), None) => base(ThresholdState::Warn, is(warn), value(), Some(*at)),
        (Some(few), None, None) => base(ThresholdState::NoData, few.clone(), None, Some(*at)),
        (None, None, None) => base(ThresholdState::Fine, "within its limits".to_owned(), value(), Some(*at)),
    }
}

/// A value beyond a limit, as people read it.
fn crosses(value: f64, limit: Limit) -> String {
    let side = if limit.side == Above { "above" } else { "below" };
    format!("{} is {side} the limit of {}", words::number(value), limit.value)
}

/// The first slot that halts, if one does; and those that go on crossing the limit, if that is not enough
/// yet.
pub(super) fn halting(
    name: &GateId,
    terms: &PinnedTerms,
    context: &TierContext,
    seen: &Seen,
) -> (Option<u64>, BTreeSet<u64>) {
    let Some(threshold) = terms.thresholds.get(name) else { return (None, BTreeSet::new()) };
    let looks = looks(name, threshold, terms, context, seen);
    let (crossed, row) = crossed(&looks, threshold);
    (crossed.map(|(look, _)| look.number), row)
}

/// The first look with which `halt` was crossed in as many slots in a row as it takes; and the row so far.
fn crossed<'a>(looks: &'a [MetricLook], threshold: &Threshold) -> (Option<(&'a MetricLook, f64)>, BTreeSet<u64>) {
    let mut row = BTreeSet::new();
    for look in looks {
        // A slot without data neither counts nor interrupts.
        let (Ok(known), Some(halt)) = (&look.known, threshold.halt) else { continue };
        if !known.crosses(halt) {
            row.clear();
            continue;
        }
        row.insert(look.number);
        if u32::try_from(row.len()).is_ok_and(|length| length >= threshold.slots.unwrap_or(1)) {
            return (Some((look, known.value)), row);
        }
    }
    (None, row)
}

/// One look at a metric.
struct MetricLook {
    number: u64,
    at: Timestamp,
    known: Result<MeasuredValue, Says>,
}

impl MetricLook {
    fn new(slot: &Slot, known: Result<MeasuredValue, Says>) -> Self {
        Self { number: slot.number, at: slot.at, known }
    }
}

fn looks(
    name: &GateId,
    threshold: &Threshold,
    terms: &PinnedTerms,
    context: &TierContext,
    seen: &Seen,
) -> Vec<MetricLook> {
    let Some(gate) = terms.gates.get(name) else {
        return seen
            .slots
            .iter()
            .map(|slot| MetricLook::new(slot, gauge::value(slot).map(MeasuredValue::exact)))
            .collect();
    };
    let tier_gate = TierGate::new(name, gate, terms, context);
    let test = ThresholdTest {
        tier_gate: &tier_gate,
        halt: threshold.halt.filter(|_| threshold.rule.unwrap_or(LimitRule::usual(gate.kind)) == LimitRule::Test),
        needed: -libm::log(tier_gate.budget.limit()),
    };
    if gate.kind == GateKind::CountRatio {
        return test.percentages(&seen.slots);
    }
    let of = |slot: &Slot| match gate.kind {
        GateKind::Sample => test.percentile(slot),
        GateKind::BurnRate => test.burn(slot),
        GateKind::Gauge | GateKind::CountRatio => gauge::value(slot).map(MeasuredValue::exact),
    };
    seen.slots.iter().map(|slot| MetricLook::new(slot, of(slot).and_then(MeasuredValue::number))).collect()
}

/// A measured value.
#[derive(Debug, Clone, PartialEq)]
struct MeasuredValue {
    value: f64,
    /// Why the value may only be taken for a lower bound.
    few: Option<String>,
    /// Whether it is shown that `halt` is crossed; none where a value beyond it shows that.
    shown: Option<Crossing>,
}

/// What a test of a limit shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crossing {
    Crossed,
    NotCrossed,
}

impl MeasuredValue {
    fn exact(value: f64) -> Self {
        Self { value, few: None, shown: None }
    }

    /// What is no number is not known.
    fn number(self) -> Result<Self, Says> {
        if self.value.is_finite() { Ok(self) } else { Err(Says::no_number()) }
    }

    /// Whether the value, or all that it may still become, is beyond a limit.
    fn beyond(&self, limit: Limit) -> bool {
        (self.few.is_none() || limit.side == Above) && limit.crossed(self.value)
    }

    /// Whether a limit that halts is crossed.
    fn crosses(&self, halt: Limit) -> bool {
        match self.shown {
            Some(shown) => shown == Crossing::Crossed,
            None => self.beyond(halt),
        }
    }
}

/// How a threshold is tested that a gate of its name measures: for count-ratio the percentage of bad events, of late; for a
/// sample the 95th percentile; for a burn rate how fast the budget burns over the shortest window.
struct ThresholdTest<'a> {
    tier_gate: &'a TierGate<'a>,
    /// The limit that is tested; none where a value beyond it is enough.
    halt: Option<Limit>,
    /// The natural logarithm of the evidence that it takes.
    needed: f64,
}

impl ThresholdTest<'_> {
    /// What evidence shows that a share is beyond a limit, or that the rest is.
    fn shown(&self, share: f64, evidence: impl Fn(Limit, f64) -> f64) -> Result<Option<Crossing>, Says> {
        let Some(halt) = self.halt else { return Ok(None) };
        if share <= 0.0 || share >= 1.0 {
            // A share is never beyond all or nothing.
            return Ok((share >= 1.0).then_some(Crossing::NotCrossed));
        }
        let ln_e = evidence(halt, share);
        if ln_e.is_nan() {
            return Err(Says::no_number());
        }
        Ok(Some(if ln_e >= self.needed { Crossing::Crossed } else { Crossing::NotCrossed }))
    }

    /// The percentage of bad events over the newest slots that have the minimum of events together: a long quiet tier must
    /// not water down what is wrong now.
    fn percentages(&self, slots: &[Slot]) -> Vec<MetricLook> {
        let (minimum, least) = counted::minimum(self.tier_gate);
        let mut known: Vec<Counts> = Vec::new();
        let (mut blocks, mut ever) = (Blocks::<1>::default(), false);
        let mut looks = Vec::new();
        for slot in slots {
            let counted = match counted(slot, counted::part(Side::Candidate), least) {
                Counted::NoneBad(total) if !ever && self.is_none_good() => Counted::Known(Counts { bad: 0.0, total }),
                other => {
                    ever |= matches!(other, Counted::Known(_));
                    other
                }
            };
            let known_now = match counted {
                Counted::Known(now) => {
                    blocks.add(self.tier_gate, slot, [now]);
                    known.push(now);
                    let recent = recent(&known, now, least);
                    let few =
                        (recent.total < least).then(|| format!("{} of {minimum} events", words::count(recent.total)));
                    let value = 100.0 * recent.bad / recent.total.max(least).max(1.0);
                    self.shown_of(&blocks.counts[0], value)
                        .and_then(|shown| MeasuredValue { value, few, shown }.number())
                }
                Counted::TotalOnly(total) => {
                    let total = words::count(total);
                    Err(Says::Few(format!("{total} of {minimum} events, none known to be bad")))
                }
                Counted::NoneBad(_) => Err(uncounted(counted::part(Side::Candidate)).says()),
                Counted::Unknown(why, cause) => Err(Says::Unknown(why, cause)),
            };
            looks.push(MetricLook::new(slot, known_now));
        }
        looks
    }

    /// Whether bad events that nothing ever counted are none: not where that would cross a limit.
    fn is_none_good(&self) -> bool {
        counted::is_none_good(self.tier_gate.gate) && self.halt.is_none_or(|halt| halt.side == Above)
    }

    fn shown_of(&self, blocks: &[Counts], value: f64) -> Result<Option<Crossing>, Says> {
        let Some(halt) = self.halt else { return Ok(None) };
        // What was not even measured beyond the limit is not weighed.
        if !halt.crossed(value) {
            return Ok(Some(Crossing::NotCrossed));
        }
        let share = halt.value.get() / 100.0;
        self.shown(share, |halt, share| {
            if halt.side == Above {
                return ln_e_since_any(blocks, share);
            }
            ln_e_since_any(&blocks.iter().map(|block| block.good()).collect::<Vec<_>>(), 1.0 - share)
        })
    }

    fn percentile(&self, slot: &Slot) -> Result<MeasuredValue, Says> {
        let is_beyond = |value: f64| self.halt.is_some_and(|halt| halt.crossed(value));
        let limit = if self.halt.is_none_or(|halt| halt.side == Above) { BEYOND } else { 1.0 - BEYOND };
        let (summary, evidence) = sample::beyond(self.tier_gate, slot, is_beyond, limit)?;
        // Of a slot of which only figures were kept, nothing was shown when it was the newest.
        let shown = self.shown(limit, |_, _| evidence.unwrap_or(f64::NEG_INFINITY))?;
        Ok(MeasuredValue { value: summary.p95, few: None, shown })
    }

    fn burn(&self, slot: &Slot) -> Result<MeasuredValue, Says> {
        let (counts, rate, passed) = burn::shortest(self.tier_gate, slot)?;
        let budget = self.tier_gate.gate.objective.map_or(1.0, |objective| 1.0 - objective.get() / 100.0);
        let share = self.halt.map_or(0.0, |halt| halt.value.get() * budget);
        let shown =
            self.shown(share, |_, share| ln_e(counts.bad, counts.total - counts.bad, share) - beginning(passed))?;
        // What the whole window bears is what counts: a rate that only the tier's first minutes show crosses nothing.
        let shown = shown
            .map(|shown| if self.halt.is_some_and(|halt| halt.crossed(rate)) { shown } else { Crossing::NotCrossed });
        Ok(MeasuredValue { value: rate, few: None, shown })
    }
}

/// What was counted since the latest earlier slot that leaves enough; else in the whole tier.
fn recent(known: &[Counts], now: Counts, least: f64) -> Counts {
    let since = |before: &Counts| Counts { bad: (now.bad - before.bad).max(0.0), total: now.total - before.total };
    let enough = known.iter().rev().map(since).find(|counts| counts.total >= least && counts.bad <= counts.total);
    enough.unwrap_or(now)
}
