//! Conclusions from what was seen. Pure: the same slots give the same conclusions, now and for an auditor.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    ledger::PinnedTerms,
    model::{
        Reason,
        policy::{GateKind, NoData},
    },
};

use super::{
    burn,
    context::TierContext,
    counts, gauge,
    reading::{Cause, Reading, Says, SlotReading, TierGate},
    report::{GateReport, Judgement, SlotCounts as Tally, ThresholdState, Verdict},
    sample,
    slot::{earlier, later},
    thresholds,
    watch::{Keep, Seen, Watch},
};

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
        gates.insert(id.clone(), conclude_gate(&TierGate::new(id, gate, terms, context), seen, now).report);
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
pub(super) fn conclude_gate(tier_gate: &TierGate<'_>, seen: &Seen, now: Timestamp) -> Conclusion {
    let mut reading = read(tier_gate, seen);
    let needed = tier_gate.slots_needed();
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
        if failed.is_none() && fails(tier_gate, &slot.says) {
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
    let clockwork = tier_gate.clockwork();
    let newest_due = clockwork.newest(earlier(now, seen.lag)).map_or(0, |(number, _)| number);
    tally.missed = newest_due.saturating_sub(tally.measured + tally.without_data);
    let newest = reading.slots.last().map(|slot| slot.at);
    let fresh_until = newest.map(|at| later(at, tier_gate.gate.evidence_ttl));
    let ground = reading.not_before.unwrap_or(clockwork.ground);
    let open_since = last_pass.map_or(ground, |slot| slot.at).max(ground);
    let awaited = reading.awaited.filter(|since| verdict.0 == Verdict::Pass && now >= *since);
    let (verdict, reason, why, since) = if let Some(slot) = failed {
        let why = format!("{} (slot {})", slot.says.words(), slot.number);
        (Verdict::Fail, Some(Reason::GateFailed), why, slot.at)
    } else if let Some(until) = fresh_until.filter(|until| now > *until) {
        let why = if seen.lag >= tier_gate.gate.evidence_ttl {
            let (lag, ttl) = (seen.lag, tier_gate.gate.evidence_ttl);
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
    let decides = |slot: &&SlotReading| reading.decisive.contains(&slot.number) || decided == Some(slot.number);
    let decisive = reading.slots.iter().filter(decides).map(|slot| slot.number).collect();
    let report = GateReport {
        kind: tier_gate.gate.kind,
        source: tier_gate.gate.source,
        verdict,
        reason,
        why,
        since,
        decided,
        deadline: (verdict != Verdict::Pass).then(|| later(since, tier_gate.gate.inconclusive_deadline)),
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
fn fails(tier_gate: &TierGate<'_>, says: &Says) -> bool {
    match says {
        Says::Harm(_) => true,
        Says::Unknown(_, Cause::Silence) => tier_gate.gate.no_data == NoData::Fail,
        _ => false,
    }
}

/// All slots.
fn read(tier_gate: &TierGate<'_>, seen: &Seen) -> Reading {
    match tier_gate.gate.kind {
        GateKind::CountRatio => counts::read(tier_gate, &seen.slots),
        GateKind::Sample => sample::read(tier_gate, &seen.slots, seen.forgotten.measured),
        GateKind::Gauge => gauge::read(tier_gate, &seen.slots),
        GateKind::BurnRate => burn::read(tier_gate, &seen.slots),
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
