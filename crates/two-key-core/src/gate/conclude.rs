//! Conclusions from what was seen. Pure: the same slots give the same conclusions, now and for an auditor.

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
    budget::Budget,
    burn,
    context::TierContext,
    counts, gauge,
    report::{Aggregate, Comparison, GateReport, Judgement, Slots as Tally, ThresholdState, Verdict},
    sample,
    slot::{Slots, earlier, later},
    thresholds,
    watch::{Keep, Seen, Watch},
};

/// How many slots with data a PASS needs where the policy does not say.
const MIN_SLOTS: u32 = 3;

/// One gate at one tier, with what it is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) id: &'a GateId,
    pub(super) gate: &'a Gate,
    pub(super) context: &'a TierContext,
    /// How many false alarms it may raise.
    pub(super) budget: Budget,
}

impl<'a> Bench<'a> {
    pub(super) fn new(id: &'a GateId, gate: &'a Gate, terms: &PinnedTerms, context: &'a TierContext) -> Self {
        Self { id, gate, context, budget: Budget::new(terms, context.tiers) }
    }

    pub(super) fn clockwork(&self) -> Slots {
        Slots::new(self.context.started, self.gate.settle, self.gate.interval)
    }

    /// When the tier has baked.
    pub(super) fn baked(&self) -> Timestamp {
        later(self.context.started, self.context.bake)
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
    /// What comes of the numbers is no number: neither good nor bad.
    Arithmetic,
}

impl Says {
    /// What is said of figures that are no numbers.
    pub(super) fn no_number() -> Self {
        Self::Unknown("what comes of these numbers is no number".to_owned(), Cause::Arithmetic)
    }
}

/// One slot of a gate, read by its kind.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) says: Says,
    /// What was measured so far; none where this slot measured nothing.
    pub(super) figures: Option<Figures>,
}

/// What was measured of a tier up to some slot.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Figures {
    pub(super) candidate: Aggregate,
    pub(super) baseline: Option<Aggregate>,
    pub(super) comparison: Option<Comparison>,
}

/// All slots of a gate.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// In their order.
    pub(super) slots: Vec<Read>,
    /// How many samples of the candidate a PASS needs.
    pub(super) minimum: Option<u64>,
    /// Slots that decided something beside their own verdict.
    pub(super) decisive: BTreeSet<u64>,
    /// Slots in which a limit was broken that takes more of them in a row.
    pub(super) row: BTreeSet<u64>,
    /// Slots that later ones are measured from.
    pub(super) marks: BTreeSet<u64>,
    /// Before this an open verdict is no sign of trouble.
    pub(super) not_before: Option<Timestamp>,
    /// From this moment on nothing passes without a look that has not been made yet.
    pub(super) awaited: Option<Timestamp>,
}

/// What is concluded of one gate.
pub(super) struct Conclusion {
    pub(super) report: GateReport,
    /// What is to be kept for it.
    pub(super) keep: Keep,
}

/// The judgement of what was seen.
pub(super) fn conclude(terms: &PinnedTerms, context: &TierContext, watch: &Watch, now: Timestamp) -> Judgement {
    let nothing = Seen::default();
    let mut gates = BTreeMap::new();
    for (id, gate) in &terms.gates {
        let seen = watch.gates.get(id).unwrap_or(&nothing);
        gates.insert(id.clone(), conclude_gate(&Bench::new(id, gate, terms, context), seen, now).report);
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

/// What is concluded of one gate.
pub(super) fn conclude_gate(bench: &Bench<'_>, seen: &Seen, now: Timestamp) -> Conclusion {
    let mut reading = read(bench, seen);
    let needed = bench.slots_needed();
    let mut tally = Tally {
        needed,
        measured: seen.forgotten.measured,
        without_data: seen.forgotten.without_data,
        ..Tally::default()
    };
    let mut verdict = (Verdict::Pending, String::new());
    let (mut passing_since, mut last_pass, mut failed) = (None, None, None);
    let mut silent = BTreeSet::new();
    for slot in &reading.slots {
        if matches!(slot.says, Says::Unknown(..) | Says::Partial(_)) {
            tally.without_data += 1;
            silent.insert(slot.number);
        } else {
            tally.measured += 1;
        }
        if failed.is_none() && fails(bench, &slot.says) {
            failed = Some(slot);
        }
        verdict = of_slot(&slot.says, tally.measured, needed);
        if verdict.0 == Verdict::Pass {
            passing_since.get_or_insert(slot.at);
            last_pass = Some(slot);
        } else {
            passing_since = None;
        }
    }
    let clockwork = bench.clockwork();
    let newest_due = clockwork.newest(earlier(now, seen.lag)).map_or(0, |(number, _)| number);
    tally.missed = newest_due.saturating_sub(tally.measured + tally.without_data);
    let newest = reading.slots.last().map(|slot| slot.at);
    let fresh_until = newest.map(|at| later(at, bench.gate.evidence_ttl));
    let ground = reading.not_before.unwrap_or(clockwork.ground);
    let open_since = last_pass.map_or(ground, |slot| slot.at).max(ground);
    let awaited = reading.awaited.filter(|since| verdict.0 == Verdict::Pass && now >= *since);
    let (verdict, reason, why, since) = if let Some(slot) = failed {
        let why = format!("{} (slot {})", slot.says.words(), slot.number);
        (Verdict::Fail, Some(Reason::GateFailed), why, slot.at)
    } else if let Some(until) = fresh_until.filter(|until| now > *until) {
        let why = if seen.lag >= bench.gate.evidence_ttl {
            let (lag, ttl) = (seen.lag, bench.gate.evidence_ttl);
            format!(
                "a look is made {lag} after its time (`lag` of the source) and may be relied on for {ttl} (`evidence-ttl`): lower the one, or raise the other"
            )
        } else {
            format!("the last look is too old: it could be relied on until {until:.0}")
        };
        (Verdict::Inconclusive, Some(Reason::Stale), why, open_since)
    } else if newest.is_none() {
        let why = format!("the first look is due at {:.0}", later(clockwork.at(1), seen.lag));
        (Verdict::Pending, Some(Reason::NoData), why, open_since)
    } else if awaited.is_some() {
        let why = format!("the look when the tier has baked is still to be made; {}", verdict.1);
        (Verdict::Pending, Some(Reason::NoData), why, open_since)
    } else if verdict.0 == Verdict::Pass {
        (Verdict::Pass, None, verdict.1, passing_since.unwrap_or(open_since))
    } else {
        (verdict.0, Some(Reason::NoData), verdict.1, open_since)
    };
    let decided = failed.map(|slot| slot.number);
    // Of a failure the figures that showed it are shown, not those that came later.
    let mut known = reading.slots.iter().rev().filter(|slot| decided.is_none_or(|decided| slot.number <= decided));
    let figures = known.find_map(|slot| slot.figures).unwrap_or_default();
    let mut marks = std::mem::take(&mut reading.marks);
    marks.extend(last_pass.map(|slot| slot.number));
    let decides = |slot: &&Read| reading.decisive.contains(&slot.number) || decided == Some(slot.number);
    let decisive = reading.slots.iter().filter(decides).map(|slot| slot.number).collect();
    let report = GateReport {
        kind: bench.gate.kind,
        source: bench.gate.source,
        verdict,
        reason,
        why,
        since,
        decided,
        deadline: (verdict != Verdict::Pass).then(|| later(since, bench.gate.inconclusive_deadline)),
        slots: tally,
        newest,
        fresh_until,
        minimum: reading.minimum,
        candidate: figures.candidate,
        baseline: figures.baseline,
        comparison: figures.comparison,
    };
    let row = std::mem::take(&mut reading.row);
    Conclusion { report, keep: Keep { decisive, marks, silent, row, ..Keep::default() } }
}

/// Whether what a slot says is a failure.
fn fails(bench: &Bench<'_>, says: &Says) -> bool {
    match says {
        Says::Harm(_) => true,
        Says::Unknown(_, Cause::Silence) => bench.gate.no_data == NoData::Fail,
        _ => false,
    }
}

/// All slots.
fn read(bench: &Bench<'_>, seen: &Seen) -> Reading {
    match bench.gate.kind {
        Kind::CountRatio => counts::read(bench, &seen.slots),
        Kind::Sample => sample::read(bench, &seen.slots, seen.forgotten.measured),
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
