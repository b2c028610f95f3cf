//! Look at a tier: ask what is due, remember it, conclude.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    ledger::PinnedTerms,
    model::{GateId, policy::Gate},
};

use super::{
    conclude::{conclude, conclude_gate},
    context::TierContext,
    measure::{Answer, Measure, Metric, Value},
    question::{Planned, plan, plan_metric},
    reading::TierGate,
    report::Judgement,
    slot::{Slots, earlier},
    thresholds,
    watch::{Answered, Keep, Seen, Slot, Watch},
};

/// The most slots of one gate whose times are listed.
const MAX_TIMES: u64 = 100_000;

/// Judges a tier as of `now`.
///
/// Only the newest slot that is due is asked for, and only once; slots before it at which nobody looked stay without
/// data. The answers go into the watch, which the caller keeps from look to look (and begins anew by itself when the
/// tier is another). Between slots what the last one said stands, for as long as the gate's evidence may be relied on.
pub fn judge(
    terms: &PinnedTerms,
    context: &TierContext,
    watch: &mut Watch,
    now: Timestamp,
    measure: &dyn Measure,
) -> Judgement {
    watch.turn_to(context);
    // Limits that halt come first, whatever the gates say.
    for name in terms.thresholds.keys().filter(|name| !terms.gates.contains_key(*name)) {
        if let Some(metric) = measure.metric(name) {
            look_at_metric(name, &metric, terms, context, watch, now, measure);
        }
    }
    let (first, rest): (Vec<_>, Vec<_>) = terms.gates.iter().partition(|(id, _)| terms.thresholds.contains_key(*id));
    for (id, gate) in first.into_iter().chain(rest) {
        look_at_gate(id, gate, terms, context, watch, now, measure);
    }
    conclude(terms, context, watch, now)
}

/// The times of all slots of a tier up to an end, oldest first.
pub fn slot_times(terms: &PinnedTerms, context: &TierContext, end: Timestamp) -> Vec<Timestamp> {
    let gates = terms.gates.values().map(|gate| Slots::new(context.started, gate.settle, gate.interval));
    let metrics = terms.thresholds.keys().any(|name| !terms.gates.contains_key(name));
    let clockworks = gates.chain(metrics.then(|| Slots::of_thresholds(context.started)));
    let times: BTreeSet<Timestamp> = clockworks
        .flat_map(|clockwork| {
            let last = clockwork.newest(end).map_or(0, |(number, _)| number);
            (1..=last.min(MAX_TIMES)).map(move |number| clockwork.at(number))
        })
        .collect();
    times.into_iter().collect()
}

fn look_at_gate(
    id: &GateId,
    gate: &Gate,
    terms: &PinnedTerms,
    context: &TierContext,
    watch: &mut Watch,
    now: Timestamp,
    measure: &dyn Measure,
) {
    let tier_gate = TierGate::new(id, gate, terms, context);
    let seen = watch.gates.entry(id.clone()).or_default();
    seen.lag = measure.lag(gate.source);
    let due = tier_gate.clockwork().newest(earlier(now, seen.lag));
    let Some((number, at)) = due.filter(|(number, _)| *number > seen.newest()) else { return };
    let mut answers: Vec<Answered> = Vec::new();
    for planned in plan(gate, context, at) {
        // What could not be asked once is not waited for again in the same slot.
        let failed = answers.last().filter(|answered| matches!(answered.value, Value::Failed(_)));
        let (part, from) = (planned.part, planned.from);
        let again = failed.map(|failed| Answered { part, query: None, from, raw: None, value: failed.value.clone() });
        answers.push(again.unwrap_or_else(|| ask(planned, measure)));
    }
    let keep = kept(&tier_gate, terms, seen, at);
    seen.push(Slot { number, at, answers }, &keep);
}

fn look_at_metric(
    name: &GateId,
    metric: &Metric,
    terms: &PinnedTerms,
    context: &TierContext,
    watch: &mut Watch,
    now: Timestamp,
    measure: &dyn Measure,
) {
    let seen = watch.thresholds.entry(name.clone()).or_default();
    let clockwork = Slots::of_thresholds(context.started);
    seen.lag = measure.lag(metric.source);
    let due = clockwork.newest(earlier(now, seen.lag));
    let Some((number, at)) = due.filter(|(number, _)| *number > seen.newest()) else { return };
    let answers = vec![ask(plan_metric(metric, context, at), measure)];
    seen.metric = Some(metric.clone());
    let (halting, row) = thresholds::halting(name, terms, context, seen);
    let keep = Keep { halting, row, ..Keep::default() };
    seen.push(Slot { number, at, answers }, &keep);
}

/// What is to be kept of a gate's slots as of a time: what its verdict and its threshold rest on.
pub(super) fn kept(tier_gate: &TierGate<'_>, terms: &PinnedTerms, seen: &Seen, at: Timestamp) -> Keep {
    let (halting, row) = thresholds::halting(tier_gate.id, terms, tier_gate.context, seen);
    let mut keep = conclude_gate(tier_gate, seen, at).keep;
    keep.row.extend(row);
    Keep { halting, ..keep }
}

fn ask(planned: Planned, measure: &dyn Measure) -> Answered {
    let Planned { part, from, question } = planned;
    match question {
        Ok(question) => {
            let Answer { value, raw } = measure.ask(&question);
            Answered { part, query: Some(question.query), from, raw, value: sound(value) }
        }
        Err(why) => Answered { part, query: None, from, raw: None, value: Value::Invalid(why) },
    }
}

/// Only finite numbers are measurements, whatever a source calls them.
fn sound(value: Value) -> Value {
    match value {
        Value::Number(number) if !number.is_finite() => Value::Invalid(format!("the value is {number}")),
        Value::Observations(observations) if observations.values().iter().any(|number| !number.is_finite()) => {
            Value::Invalid("an observation is no finite number".to_owned())
        }
        other => other,
    }
}
