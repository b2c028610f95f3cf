//! Questions that a slot asks of a gate.

use jiff::Timestamp;

use crate::model::{
    document::Span,
    policy::{Gate, GateKind, Queries},
};

use super::{
    context::{MeasuredVersion, TierContext},
    measure::{Metric, Question, Shape},
    slot::{METRIC_INTERVAL, Slots, earlier},
    template::{Variables, render},
    watch::{Part, Query, Side},
};

/// One question of a slot: which part of the gate it is, where its window begins, and the question, or why it cannot be
/// asked.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) part: Part,
    pub(super) from: Timestamp,
    pub(super) question: Result<Question, String>,
}

/// The questions of a gate's slot at a time.
pub(super) fn plan(gate: &Gate, context: &TierContext, at: Timestamp) -> Vec<Planned> {
    let slots = Slots::new(context.started, gate.settle, gate.interval);
    let mut planned = Vec::new();
    match gate.kind {
        GateKind::BurnRate => {
            for window in windows(gate) {
                // What went before the tier is not the candidate's doing at this weight.
                let from = earlier(at, window).max(slots.ground);
                let plan = QuestionPlan { gate, context, from, at, window: Some(window) };
                plan.counts(Side::Candidate, &mut planned);
            }
        }
        GateKind::CountRatio => {
            for side in sides(gate, context) {
                QuestionPlan { gate, context, from: slots.ground, at, window: None }.counts(side, &mut planned);
            }
        }
        GateKind::Sample => {
            for side in sides(gate, context) {
                let plan = QuestionPlan { gate, context, from: slots.ground, at, window: None };
                planned.push(plan.one(side, Query::Value, Shape::Observations));
            }
        }
        GateKind::Gauge => {
            let from = earlier(at, gate.interval).max(slots.ground);
            let plan = QuestionPlan { gate, context, from, at, window: None };
            planned.push(plan.one(Side::Candidate, Query::Value, Shape::Number));
        }
    }
    planned
}

/// The question of a slot of a threshold that no gate measures.
pub(super) fn plan_metric(metric: &Metric, context: &TierContext, at: Timestamp) -> Planned {
    let from = earlier(at, METRIC_INTERVAL).max(Slots::of_thresholds(context.started).ground);
    let variables = Variables { context, candidate: &context.candidate, pool: context.subject, from, at };
    let question = render(&metric.query, metric.source, &variables).map(|query| Question {
        source: metric.source,
        query,
        shape: Shape::Number,
        from,
        at,
    });
    Planned { part: Part { side: Side::Candidate, query: Query::Value, window: None }, from, question }
}

/// How many numbers are kept of a slot that decides nothing; a summary of observations is as long as two.
pub(super) fn numbers(gate: &Gate) -> usize {
    let sides = if gate.compare.is_some() { 2 } else { 1 };
    match gate.kind {
        GateKind::CountRatio | GateKind::Sample => 2 * sides,
        GateKind::BurnRate => 2 * windows(gate).len(),
        GateKind::Gauge => 1,
    }
}

/// A burn-rate gate's windows, each once, the shortest first.
pub(super) fn windows(gate: &Gate) -> Vec<Span> {
    let mut windows: Vec<_> = gate.windows.iter().flat_map(|window| [window.short, window.long]).collect();
    windows.sort_unstable();
    windows.dedup();
    windows
}

/// Whether a gate is compared with something that runs beside the candidate.
pub(super) fn compares(gate: &Gate, context: &TierContext) -> bool {
    gate.compare.is_some() && !context.last
}

fn sides(gate: &Gate, context: &TierContext) -> Vec<Side> {
    if compares(gate, context) { vec![Side::Candidate, Side::Baseline] } else { vec![Side::Candidate] }
}

struct QuestionPlan<'a> {
    gate: &'a Gate,
    context: &'a TierContext,
    from: Timestamp,
    at: Timestamp,
    window: Option<Span>,
}

impl QuestionPlan<'_> {
    fn counts(&self, side: Side, planned: &mut Vec<Planned>) {
        planned.push(self.one(side, Query::Bad, Shape::Count));
        planned.push(self.one(side, Query::Total, Shape::Count));
    }

    fn one(&self, side: Side, query: Query, shape: Shape) -> Planned {
        let part = Part { side, query, window: self.window };
        let question = self.text(side, query).and_then(|(text, candidate, pool)| {
            let variables = Variables { context: self.context, candidate, pool, from: self.from, at: self.at };
            let query = render(text, self.gate.source, &variables)?;
            Ok(Question { source: self.gate.source, query, shape, from: self.from, at: self.at })
        });
        Planned { part, from: self.from, question }
    }

    /// A side's query, and what `{{candidate}}` and `{{candidate-pool}}` become in it.
    fn text(&self, side: Side, query: Query) -> Result<(&str, &str, MeasuredVersion), String> {
        let own = &self.gate.candidate;
        let candidate = self.context.candidate.as_str();
        // What ran before is measured as the gate measures it where it is compared with.
        let side = if self.context.subject == MeasuredVersion::Stable { Side::Baseline } else { side };
        let (text, version, pool) = match (side, &self.gate.baseline) {
            (Side::Candidate, _) => (of(own, query), candidate, MeasuredVersion::Candidate),
            (Side::Baseline, None) => (of(own, query), self.context.stable(), MeasuredVersion::Stable),
            (Side::Baseline, Some(baseline)) => match &baseline.version {
                // The word stands for the version that the lease names.
                Some(version) if version == "stable" => {
                    (of(own, query), self.context.stable(), MeasuredVersion::Stable)
                }
                Some(version) => (of(own, query), version.as_str(), MeasuredVersion::Stable),
                None => (
                    match query {
                        Query::Bad => baseline.bad.as_deref(),
                        Query::Total => baseline.total.as_deref(),
                        Query::Value => baseline.value.as_deref(),
                    },
                    candidate,
                    MeasuredVersion::Candidate,
                ),
            },
        };
        text.map(|text| (text, version, pool)).ok_or_else(|| "the gate has no query for it".to_owned())
    }
}

fn of(queries: &Queries, query: Query) -> Option<&str> {
    match query {
        Query::Bad => queries.bad.as_deref(),
        Query::Total => queries.total.as_deref(),
        Query::Value => queries.value.as_deref(),
    }
}
