//! Thresholds: strict limits beyond which a rollout is warned about or halted. What was not measured never halts, and is
//! never healthy.

use jiff::Timestamp;

use crate::{
    ledger::PinnedTerms,
    model::{
        GateId,
        document::Span,
        policy::{Kind, Limit, Side::Above, Threshold},
    },
};

use super::{
    burn,
    conclude::{Bench, Says},
    context::TierContext,
    counts::{self, Counted, Counts, counted},
    gauge,
    report::{ThresholdReport, ThresholdState},
    sample,
    slot::{Slots, later},
    watch::{Seen, Side, Slot, Watch},
};

/// How often a threshold that no gate measures is looked at.
pub(super) const METRIC_INTERVAL: Span = Span::seconds(30);
/// How long such a look may be relied on.
const METRIC_TTL: Span = Span::seconds(120);

/// The clockwork of thresholds that no gate measures: they do not wait for anything to settle.
pub(super) fn clockwork(context: &TierContext) -> Slots {
    Slots::new(context.started, Span::seconds(0), METRIC_INTERVAL)
}

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
    let looks = looks(name, terms, context, seen.unwrap_or(&nothing));
    let Threshold { warn, halt } = *threshold;
    let base = |state, why, value, at| ThresholdReport { state, why, value, at, warn, halt };
    if let (Some(Look { at, known: Ok(known), .. }), Some(halt)) =
        (looks.iter().find(|look| look.halts(threshold)), halt)
    {
        let why = format!("{} is {halt}", sample::number(known.value));
        return base(ThresholdState::Halt, why, Some(known.value), Some(*at));
    }
    let Some(Look { at, known, .. }) = looks.last() else {
        return base(ThresholdState::NoData, "not measured yet".to_owned(), None, None);
    };
    if now > later(*at, gate.map_or(METRIC_TTL, |gate| gate.evidence_ttl)) {
        return base(ThresholdState::NoData, format!("the last look, at {at}, is too old"), None, Some(*at));
    }
    match known {
        Err(says) => base(ThresholdState::NoData, says.words().to_owned(), None, Some(*at)),
        Ok(known) => match (&known.few, warn.filter(|warn| known.beyond(*warn))) {
            (_, Some(warn)) => {
                let why = format!("{} is {warn}", sample::number(known.value));
                base(ThresholdState::Warn, why, Some(known.value), Some(*at))
            }
            (Some(few), None) => base(ThresholdState::NoData, few.clone(), None, Some(*at)),
            (None, None) => base(ThresholdState::Fine, "within its limits".to_owned(), Some(known.value), Some(*at)),
        },
    }
}

/// The first slot that halts, if one does.
pub(super) fn halting(name: &GateId, terms: &PinnedTerms, context: &TierContext, seen: &Seen) -> Option<u64> {
    let threshold = terms.thresholds.get(name)?;
    looks(name, terms, context, seen).iter().find(|look| look.halts(threshold)).map(|look| look.number)
}

/// One look at a metric.
struct Look {
    number: u64,
    at: Timestamp,
    known: Result<Known, Says>,
}

impl Look {
    fn halts(&self, threshold: &Threshold) -> bool {
        self.known.as_ref().is_ok_and(|known| threshold.halt.is_some_and(|halt| known.beyond(halt)))
    }
}

fn looks(name: &GateId, terms: &PinnedTerms, context: &TierContext, seen: &Seen) -> Vec<Look> {
    let Some(gate) = terms.gates.get(name) else {
        let of = |slot: &Slot| Look { number: slot.number, at: slot.at, known: gauge::value(slot).map(Known::exact) };
        return seen.slots.iter().map(of).collect();
    };
    by_gate(&Bench::new(name, gate, terms, context), &seen.slots)
}

/// A measured value.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    value: f64,
    /// Why the value may only be taken for a lower bound.
    few: Option<String>,
}

impl Known {
    fn exact(value: f64) -> Self {
        Self { value, few: None }
    }

    /// Whether the value, or all that it may still become, is beyond a limit.
    fn beyond(&self, limit: Limit) -> bool {
        (self.few.is_none() || limit.side == Above) && limit.crossed(self.value)
    }
}

/// What a gate of the same name measured: for count-ratio the percentage of bad events, of late; for a sample the 95th
/// percentile; for a gauge its value; for a burn rate how fast the budget burns over the shortest window.
fn by_gate(bench: &Bench<'_>, slots: &[Slot]) -> Vec<Look> {
    if bench.gate.kind == Kind::CountRatio {
        return percentages(bench, slots);
    }
    let of = |slot: &Slot| match bench.gate.kind {
        Kind::Sample => sample::summary(slot).map(|summary| summary.p95),
        Kind::BurnRate => burn::shortest(bench, slot),
        Kind::Gauge | Kind::CountRatio => gauge::value(slot),
    };
    let look = |slot: &Slot| Look { number: slot.number, at: slot.at, known: of(slot).map(Known::exact) };
    slots.iter().map(look).collect()
}

/// The percentage of bad events over the newest slots that have the minimum of events together: a long quiet tier must
/// not water down what is wrong now.
fn percentages(bench: &Bench<'_>, slots: &[Slot]) -> Vec<Look> {
    let (minimum, least) = counts::minimum(bench);
    let mut known: Vec<Counts> = Vec::new();
    let mut looks = Vec::new();
    for slot in slots {
        let known_now = match counted(slot, counts::part(Side::Candidate), least) {
            Counted::Known(now) => {
                known.push(now);
                let recent = recent(&known, now, least);
                let few = (recent.total < least).then(|| format!("{:.0} of {minimum} events", recent.total));
                Ok(Known { value: 100.0 * recent.bad / recent.total.max(least).max(1.0), few })
            }
            Counted::TotalOnly(total) => {
                Err(Says::Few(format!("{total:.0} of {minimum} events, none known to be bad")))
            }
            Counted::Unknown(why, cause) => Err(Says::Unknown(why, cause)),
        };
        looks.push(Look { number: slot.number, at: slot.at, known: known_now });
    }
    looks
}

/// What was counted since the latest earlier slot that leaves enough; else in the whole tier.
fn recent(known: &[Counts], now: Counts, least: f64) -> Counts {
    let since = |before: &Counts| Counts { bad: (now.bad - before.bad).max(0.0), total: now.total - before.total };
    let enough = known.iter().rev().map(since).find(|counts| counts.total >= least && counts.bad <= counts.total);
    enough.unwrap_or(now)
}
