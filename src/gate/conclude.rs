//! From what was seen to what is concluded. Pure: the same slots give the same conclusions, now and for an auditor.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    ledger::PinnedTerms,
    model::{
        GateId, Reason,
        policy::{Gate, Kind, NoData},
    },
};

use super::{
    burn,
    context::TierContext,
    counts, gauge,
    report::{Aggregate, Comparison, GateReport, Judgement, Slots as Tally, ThresholdState, Verdict},
    sample,
    slot::{Slots, later},
    thresholds,
    watch::{Seen, Watch},
};

/// How many slots with data a PASS needs where the policy does not say.
const MIN_SLOTS: u32 = 3;

/// One gate at one tier, with what it is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) id: &'a GateId,
    pub(super) gate: &'a Gate,
    pub(super) context: &'a TierContext,
    /// Among how many comparisons the rate of false alarms is shared: gates that compare × tiers.
    shares: f64,
}

impl<'a> Bench<'a> {
    pub(super) fn new(id: &'a GateId, gate: &'a Gate, terms: &'a PinnedTerms, context: &'a TierContext) -> Self {
        let comparing = terms.gates.values().filter(|gate| gate.compare.is_some()).count();
        let comparing = u32::try_from(comparing).unwrap_or(u32::MAX).max(1);
        Self { id, gate, context, shares: f64::from(comparing) * f64::from(context.tiers.max(1)) }
    }

    /// This comparison's own share of the rate of false alarms that is put up with.
    pub(super) fn alpha(&self) -> Option<f64> {
        self.gate.compare.map(|compare| compare.alpha.get() / self.shares)
    }

    pub(super) fn clockwork(&self) -> Slots {
        Slots::new(self.context.started, self.gate.settle, self.gate.interval)
    }

    /// A minimum, raised as the risk demands.
    pub(super) fn raised(&self, minimum: u32) -> u64 {
        u64::from(minimum).saturating_mul(u64::from(self.context.samples.max(1)))
    }

    /// How many slots with data a PASS needs. A gauge's slots are its samples.
    pub(super) fn slots_needed(&self) -> u64 {
        let slots = self.gate.min.slots.unwrap_or(MIN_SLOTS);
        if self.gate.kind == Kind::Gauge { self.raised(slots) } else { u64::from(slots) }
    }
}

/// What one slot says by itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Says {
    /// Measured, enough of it, and nothing is wrong.
    Fine(String),
    /// Measured, and too little.
    Few(String),
    /// Part of it was measured, and that is too little to know what the rest means.
    Partial(String),
    /// Not measured.
    Unknown(String, Cause),
    /// Harm.
    Harm(String),
}

impl Says {
    /// The words.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Fine(why) | Self::Few(why) | Self::Partial(why) | Self::Unknown(why, _) | Self::Harm(why) => why,
        }
    }
}

/// Why something was not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The source knew nothing, or said what may not be relied on.
    Silence,
    /// The source could not be asked: neither good nor bad.
    Provider,
}

/// All slots of a gate, read by its kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// What each slot says, in their order.
    pub(super) says: Vec<(u64, Timestamp, Says)>,
    pub(super) candidate: Aggregate,
    pub(super) baseline: Option<Aggregate>,
    pub(super) comparison: Option<Comparison>,
    /// How many samples of the candidate a PASS needs.
    pub(super) minimum: Option<u64>,
    /// Slots that decided something beside their own verdict.
    pub(super) decisive: BTreeSet<u64>,
    /// Before this an open verdict is no sign of trouble.
    pub(super) not_before: Option<Timestamp>,
}

/// The judgement of what was seen.
pub(super) fn conclude(terms: &PinnedTerms, context: &TierContext, watch: &Watch, now: Timestamp) -> Judgement {
    let nothing = Seen::default();
    let mut gates = BTreeMap::new();
    for (id, gate) in &terms.gates {
        let seen = watch.gates.get(id).unwrap_or(&nothing);
        gates.insert(id.clone(), conclude_gate(&Bench::new(id, gate, terms, context), seen, now).0);
    }
    let thresholds: BTreeMap<_, _> = terms
        .thresholds
        .iter()
        .map(|(name, threshold)| (name.clone(), thresholds::report(name, threshold, terms, context, watch, now)))
        .collect();
    Judgement {
        at: now,
        verdict: gates.values().map(|report| report.verdict).max().unwrap_or(Verdict::Inconclusive),
        gates,
        threshold: thresholds.values().map(|report| report.state).max().unwrap_or(ThresholdState::Fine),
        thresholds,
    }
}

/// What is concluded of one gate, and which slots that rests on.
pub(super) fn conclude_gate(bench: &Bench<'_>, seen: &Seen, now: Timestamp) -> (GateReport, BTreeSet<u64>) {
    let reading = read(bench, seen);
    let needed = bench.slots_needed();
    let fails = |says: &Says| match says {
        Says::Harm(_) => true,
        Says::Unknown(_, Cause::Silence) => bench.gate.no_data == NoData::Fail,
        _ => false,
    };
    let mut tally = Tally { needed, measured: seen.forgotten, ..Tally::default() };
    let mut verdict = (Verdict::Pending, String::new());
    let (mut passing_since, mut last_pass, mut failed) = (None, None, None);
    for (number, at, says) in &reading.says {
        match says {
            Says::Unknown(..) | Says::Partial(_) => tally.without_data += 1,
            Says::Fine(_) | Says::Few(_) | Says::Harm(_) => tally.measured += 1,
        }
        if failed.is_none() && fails(says) {
            failed = Some((*number, *at, says));
        }
        verdict = of_slot(says, tally.measured, needed);
        if verdict.0 == Verdict::Pass {
            passing_since.get_or_insert(*at);
            last_pass = Some(*at);
        } else {
            passing_since = None;
        }
    }
    let clockwork = bench.clockwork();
    let newest_due = clockwork.newest(now).map_or(0, |(number, _)| number);
    tally.missed = newest_due.saturating_sub(tally.measured + tally.without_data);
    let newest = reading.says.last().map(|(_, at, _)| *at);
    let fresh_until = newest.map(|at| later(at, bench.gate.evidence_ttl));
    let ground = reading.not_before.unwrap_or(clockwork.ground);
    let open_since = last_pass.unwrap_or(ground).max(ground);
    let mut decisive = reading.decisive;
    let (verdict, reason, why, since) = if let Some((number, at, says)) = failed {
        decisive.insert(number);
        (Verdict::Fail, Some(Reason::GateFailed), format!("{} (slot {number})", says.words()), at)
    } else if let Some(until) = fresh_until.filter(|until| now > *until) {
        let why = format!("the last look is too old: it could be relied on until {until:.0}");
        (Verdict::Inconclusive, Some(Reason::Stale), why, open_since)
    } else if newest.is_none() {
        let why = format!("the first look is due at {:.0}", clockwork.at(1));
        (Verdict::Pending, Some(Reason::NoData), why, open_since)
    } else if verdict.0 == Verdict::Pass {
        (Verdict::Pass, None, verdict.1, passing_since.unwrap_or(open_since))
    } else {
        (verdict.0, Some(Reason::NoData), verdict.1, open_since)
    };
    let deadline = (verdict != Verdict::Pass).then(|| later(since, bench.gate.inconclusive_deadline));
    let report = GateReport {
        kind: bench.gate.kind,
        source: bench.gate.source,
        verdict,
        reason,
        why,
        since,
        deadline,
        slots: tally,
        newest,
        fresh_until,
        minimum: reading.minimum,
        candidate: reading.candidate,
        baseline: reading.baseline,
        comparison: reading.comparison,
    };
    (report, decisive)
}

fn read(bench: &Bench<'_>, seen: &Seen) -> Reading {
    match bench.gate.kind {
        Kind::CountRatio => counts::read(bench, &seen.slots),
        Kind::Sample => sample::read(bench, &seen.slots, seen.forgotten),
        Kind::Gauge => gauge::read(bench, &seen.slots),
        Kind::BurnRate => burn::read(bench, &seen.slots),
    }
}

/// The verdict as of one slot.
fn of_slot(says: &Says, measured: u64, needed: u64) -> (Verdict, String) {
    match says {
        Says::Unknown(why, _) => (Verdict::Inconclusive, why.clone()),
        Says::Few(why) | Says::Partial(why) => (Verdict::Pending, why.clone()),
        Says::Fine(why) if measured < needed => {
            (Verdict::Pending, format!("{measured} of {needed} slots with data; {why}"))
        }
        Says::Fine(why) => (Verdict::Pass, why.clone()),
        Says::Harm(why) => (Verdict::Fail, why.clone()),
    }
}
