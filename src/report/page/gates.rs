//! A gate's chart: what the evidence says was measured, slot by slot, and what was concluded from it.

use crate::{
    gate::{Evidence, GateReport, Part, Query, Side, Slot, Value},
    model::{
        Digest, GateId,
        policy::{Gate, GateKind},
    },
};

use super::{
    super::words::escaped,
    chart::{ChartPoint, measurements, number},
};

/// One gate at one tier.
pub(super) struct GateChart {
    pub(super) tier: u8,
    pub(super) gate: String,
    pub(super) verdict: &'static str,
    pub(super) why: String,
    pub(super) at: String,
    pub(super) limit: Option<String>,
    pub(super) digest: String,
    /// Where judging again comes to another conclusion.
    pub(super) differences: Vec<String>,
    /// Whether anything was measured beside the candidate.
    pub(super) compared: bool,
    pub(super) svg: Option<String>,
}

/// The charts of one document, judged again.
pub(super) fn charts(digest: Digest, evidence: &Evidence) -> Vec<GateChart> {
    let again = evidence.reevaluate();
    let differences: Vec<_> = again.differences.iter().map(|text| escaped(text)).collect();
    let chart = |(id, report): (&GateId, &GateReport)| {
        let gate = evidence.terms.gates.get(id);
        let slots = evidence.watch.slots(id);
        let percent = gate.map_or(1.0, |gate| if gate.kind == GateKind::CountRatio { 100.0 } else { 1.0 });
        let limit = gate.and_then(|gate| Some(gate.absolute.as_ref()?.max?.get() * percent));
        let side = |side| slots.iter().filter_map(|slot| point(slot, side)).collect::<Vec<_>>();
        let words =
            format!("Gate {id} at {} %: {} in {} slots", evidence.context.tier, report.verdict.word(), slots.len());
        GateChart {
            tier: evidence.context.tier,
            gate: id.to_string(),
            verdict: report.verdict.word(),
            why: escaped(&report.why),
            at: format!("{:.0}", evidence.judgement.at),
            limit: limit.map(|limit| format!("{}{}", number(limit), unit(gate))),
            digest: digest.to_string(),
            differences: differences.clone(),
            compared: !side(Side::Baseline).is_empty(),
            svg: measurements(&side(Side::Candidate), &side(Side::Baseline), limit, &words),
        }
    };
    evidence.judgement.gates.iter().map(chart).collect()
}

fn unit(gate: Option<&Gate>) -> &'static str {
    if gate.is_some_and(|gate| gate.kind == GateKind::CountRatio) { " %" } else { "" }
}

/// What was measured in one slot: bad of all in percent, the median of observations, or the value.
fn point(slot: &Slot, side: Side) -> Option<ChartPoint> {
    let answer = |query| {
        let wanted = |part: &Part| part.side == side && part.query == query;
        slot.answers.iter().find(|answered| wanted(&answered.part)).map(|answered| &answered.value)
    };
    let value = match (answer(Query::Bad), answer(Query::Total)) {
        (bad, Some(Value::Number(total))) if *total > 0.0 => match bad {
            Some(Value::Number(bad)) => 100.0 * bad / total,
            // All are counted and none is bad: that is how sources say zero.
            Some(Value::Nothing) => 0.0,
            _ => return None,
        },
        _ => match answer(Query::Value)? {
            Value::Number(value) => *value,
            Value::Observations(values) => values.summary()?.p50,
            Value::Summarized(summary) => summary.p50,
            _ => return None,
        },
    };
    value.is_finite().then(|| ChartPoint { at: slot.at.as_second(), value })
}
