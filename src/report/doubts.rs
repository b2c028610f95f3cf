//! Doubts about gates and limits: what can never fail, never pass, or says something else than it seems to.

use crate::{
    gate::MAX_OBSERVATIONS,
    model::policy::{
        Compare, Decimal, Gate, GateKind, Limit, LimitRule, LimitSide, Policy, Queries, Source, Threshold,
    },
};

/// A share of false alarms below which no traffic shows any harm.
const TINY: f64 = 1e-9;
/// A share of false alarms above which it bounds nothing that matters.
const LARGE: f64 = 0.1;
/// How many slots in a row of a sample's observations fit into one document of evidence.
const ROW: u32 = 30;

/// What there is to doubt of a policy's gates and thresholds.
pub(super) fn doubts(policy: &Policy) -> Vec<String> {
    let mut doubts = Vec::new();
    for (id, gate) in &policy.gates {
        let own = [queries(gate), limits(gate), comparison(gate), windows(gate), times(gate)];
        doubts.extend(own.into_iter().flatten().map(|doubt| format!("gate {id} {doubt}")));
    }
    for (id, threshold) in &policy.thresholds {
        let own = crossing(threshold, policy.gates.get(id));
        doubts.extend(own.into_iter().map(|doubt| format!("threshold {id} {doubt}")));
    }
    for (target, known) in &policy.targets {
        for (id, threshold) in &known.thresholds {
            let own = crossing(threshold, policy.gates.get(id).filter(|_| known.gates.contains(id)));
            doubts.extend(own.into_iter().map(|doubt| format!("threshold {id} of target {target} {doubt}")));
        }
    }
    let rate = policy.false_alarms.get();
    if rate > LARGE {
        doubts.push(format!("false-alarms of {} % bound nothing: 1 % is usual", rate * 100.0));
    }
    if rate < TINY {
        doubts.push(format!("false-alarms of {rate} are so few that no traffic shows any harm: 0.01 is usual"));
    }
    doubts
}

/// Whether a query names the candidate, or what serves it.
fn names_candidate(query: &str) -> bool {
    query.replace(' ', "").contains("{{candidate")
}

fn queries(gate: &Gate) -> Vec<String> {
    let mut doubts = Vec::new();
    let Gate { candidate, baseline, .. } = gate;
    if candidate.is_empty() {
        return vec!["has no query of the candidate: it never measures anything".to_owned()];
    }
    let own = baseline.as_ref().filter(|baseline| baseline.version.is_none());
    let beside = own.map(|own| Queries { bad: own.bad.clone(), total: own.total.clone(), value: own.value.clone() });
    if gate.compare.is_some() && beside.as_ref() == Some(candidate) {
        doubts.push("compares the candidate with itself: its baseline has the same queries".to_owned());
    }
    if gate.compare.is_some() && beside.is_none() && !candidate.all().any(names_candidate) {
        doubts.push(
            "compares the candidate with itself: its queries do not name `{{candidate}}` or `{{candidate-pool}}`"
                .to_owned(),
        );
    }
    if candidate.bad.is_some() && candidate.bad == candidate.total {
        doubts.push("counts all events as bad ones: `bad` and `total` are the same query".to_owned());
    }
    let is_fixed = |query: &str| query.contains('[') && !query.replace(' ', "").contains("{{window}}");
    let all = candidate.all().chain(beside.iter().flat_map(Queries::all));
    if gate.source == Source::Prometheus && gate.kind != GateKind::Gauge && all.into_iter().any(is_fixed) {
        doubts.push("asks for a window of its own, where that of the tier is meant: write `[{{window}}]`".to_owned());
    }
    doubts
}

fn limits(gate: &Gate) -> Vec<String> {
    let mut doubts = Vec::new();
    let Some(absolute) = gate.absolute else { return doubts };
    let (max, min) = (absolute.max.map(Decimal::get), absolute.min.map(Decimal::get));
    if matches!(gate.kind, GateKind::CountRatio | GateKind::BurnRate) {
        if max.is_some_and(|max| max >= 1.0) || min.is_some_and(|min| min <= 0.0) {
            doubts
                .push("has a limit that no share can be beyond: `absolute` is a share, so that 0.05 is 5 %".to_owned());
        }
        if max.is_some_and(|max| max < 0.0) || min.is_some_and(|min| min > 1.0) {
            doubts
                .push("has a limit that every share is beyond: `absolute` is a share, so that 0.05 is 5 %".to_owned());
        }
    }
    let row = absolute.slots.unwrap_or(1);
    if u64::from(row).saturating_mul(gate.interval.as_secs()) > gate.inconclusive_deadline.as_secs() {
        doubts.push(format!(
            "never fails by its limit: {row} slots in a row (`slots`) take longer than `inconclusive-deadline`"
        ));
    }
    if gate.kind == GateKind::Sample && row > ROW {
        doubts.push(format!(
            "may stop a rollout without evidence: the observations of {row} slots in a row (`slots`) may be too many to be kept; \
             write {ROW} at most"
        ));
    }
    doubts
}

fn comparison(gate: &Gate) -> Vec<String> {
    let mut doubts = Vec::new();
    let Some(Compare { alpha, .. }) = gate.compare else { return doubts };
    if gate.kind == GateKind::Sample && gate.absolute.is_none() {
        doubts.push(
            "only compares samples: one in six requests may hang forever and it passes; give it an `absolute` limit, or count \
             slow requests with a count-ratio gate"
                .to_owned(),
        );
    }
    if alpha.is_some_and(|alpha| alpha.get() < TINY) {
        doubts.push(
            "never fails by its comparison: no traffic shows harm by so small an `alpha`; 0.01 is usual".to_owned(),
        );
    }
    doubts
}

fn windows(gate: &Gate) -> Vec<String> {
    let budget = gate.objective.map_or(0.0, |objective| 1.0 - objective.get() / 100.0);
    let never = gate.windows.iter().filter(|window| window.factor.get() * budget >= 1.0);
    let most = 1.0 / budget;
    never
        .map(|window| {
            format!(
                "never fails by {} over {}: where all is bad the budget burns at {most:.1}; write a smaller factor",
                window.factor, window.long
            )
        })
        .collect()
}

fn times(gate: &Gate) -> Vec<String> {
    let mut doubts = Vec::new();
    let (interval, deadline) = (gate.interval.as_secs(), gate.inconclusive_deadline.as_secs());
    if gate.interval > gate.evidence_ttl {
        doubts.push(format!(
            "is stale between any two slots: they are {} apart (`interval`), and each may be relied on for {} (`evidence-ttl`)",
            gate.interval, gate.evidence_ttl
        ));
    }
    let slots = gate.min.slots.unwrap_or(1);
    if u64::from(slots).saturating_mul(interval) > deadline {
        doubts.push(format!(
            "is rolled back before it can pass: {slots} {} of {} take longer than {} (`inconclusive-deadline`)",
            if slots == 1 { "slot" } else { "slots" },
            gate.interval,
            gate.inconclusive_deadline
        ));
    }
    let most = u32::try_from(MAX_OBSERVATIONS).unwrap_or(u32::MAX);
    if gate.kind == GateKind::Sample && gate.min.n.is_some_and(|n| n > most) {
        doubts.push(format!(
            "waits for more than {most} observations (`min.n`), and tests a sample of {most}: more of them make nothing surer"
        ));
    }
    doubts
}

fn crossing(threshold: &Threshold, gate: Option<&Gate>) -> Vec<String> {
    let mut doubts = Vec::new();
    if gate.is_some_and(|gate| gate.kind == GateKind::CountRatio) {
        let never = |limit: &Limit| match limit.side {
            LimitSide::Above => limit.value.get() >= 100.0,
            LimitSide::Below => limit.value.get() <= 0.0,
        };
        if [threshold.warn, threshold.halt].iter().flatten().any(never) {
            doubts.push("can never be crossed: it is a percentage of events, from 0 to 100".to_owned());
        }
    }
    if threshold.rule == Some(LimitRule::Test) && gate.is_none_or(|gate| gate.kind == GateKind::Gauge) {
        doubts.push("is a point whatever its `rule` says: no gate counts what it measures".to_owned());
    }
    let row = threshold.slots.unwrap_or(1);
    let deadline = gate.map(|gate| (gate.interval.as_secs(), gate.inconclusive_deadline.as_secs()));
    if deadline.is_some_and(|(interval, deadline)| u64::from(row).saturating_mul(interval) > deadline) {
        doubts.push(format!(
            "never halts: {row} slots in a row (`slots`) take longer than its gate's `inconclusive-deadline`"
        ));
    }
    if gate.is_some_and(|gate| gate.kind == GateKind::Sample) && row > ROW {
        doubts.push(format!(
            "may halt a rollout without evidence: the observations of {row} slots in a row (`slots`) may be too many to be kept; \
             write {ROW} at most"
        ));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy;

    /// The doubts of a policy with these sections.
    fn doubted(sections: &str) -> Vec<String> {
        let text = format!(
            "two-key: 1\nrepository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\nversion: 1\nprevious: null\nprincipals:\n  \
             user1: {{role: human, keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILMosAnnMBmbSsVuPeRCwaAz9riEocuL63ZsGTsvz2nV\"]}}\n  \
             cp14: {{role: agent, keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxYf809HjbbpxPuutP7dvEs86BruAUGM0lMHbigRrv/\"]}}\n{sections}"
        );
        doubts(policy::read(text.as_bytes()).unwrap().get())
    }

    #[test]
    fn what_cannot_work_is_doubted_and_its_twin_is_not() {
        let counts = "kind: count-ratio, candidate: {bad: 'e {{candidate}}', total: 't {{candidate}}'}";
        let gate = |body: &str| format!("gates:\n  g: {{source: file, {body}}}\n");
        let compared = ", baseline: {version: stable}, compare: {test: e-value}";
        let asked = |window: &str| {
            format!(
                "gates:\n  g: {{source: prometheus, kind: count-ratio, candidate: {{bad: 'e[{window}]', total: 't[{window}]'}}, absolute: {{max: 0.1}}}}\n"
            )
        };
        for (bad, good, words) in [
            (
                gate(&format!("{counts}, absolute: {{min: 1.5, rule: point}}")),
                gate(&format!("{counts}, absolute: {{min: 0.5}}")),
                "every share",
            ),
            (
                gate(&format!("{counts}, absolute: {{max: 5}}")),
                gate(&format!("{counts}, absolute: {{max: 0.5}}")),
                "no share",
            ),
            (
                gate(
                    "kind: count-ratio, candidate: {bad: e, total: t}, baseline: {bad: e, total: t}, compare: {test: e-value}",
                ),
                gate(
                    "kind: count-ratio, candidate: {bad: e, total: t}, baseline: {bad: e1, total: t1}, compare: {test: e-value}",
                ),
                "the same queries",
            ),
            (
                gate("kind: count-ratio, candidate: {bad: t, total: t}, absolute: {max: 0.1}"),
                gate("kind: count-ratio, candidate: {bad: e, total: t}, absolute: {max: 0.1}"),
                "all events as bad",
            ),
            (asked("5m"), asked("{{window}}"), "window of its own"),
            (
                gate(&format!("kind: count-ratio{compared}")),
                gate(&format!("{counts}{compared}")),
                "no query of the candidate",
            ),
            (
                gate("kind: sample, candidate: {value: x}, min: {n: 30000}, absolute: {max: 2}"),
                gate("kind: sample, candidate: {value: x}, min: {n: 20000}, absolute: {max: 2}"),
                "20000 observations",
            ),
            (
                gate(&format!("{counts}, interval: 20m, absolute: {{max: 0.1}}")),
                gate(&format!("{counts}, interval: 10m, absolute: {{max: 0.1}}")),
                "stale between",
            ),
            (
                gate(&format!("{counts}, min: {{slots: 31}}, absolute: {{max: 0.1}}")),
                gate(&format!("{counts}, min: {{slots: 30}}, absolute: {{max: 0.1}}")),
                "rolled back before",
            ),
            (
                gate(&format!("{counts}, absolute: {{max: 0.1, slots: 4000000000}}")),
                gate(&format!("{counts}, absolute: {{max: 0.1, slots: 3}}")),
                "never fails by its limit",
            ),
            (
                gate("kind: sample, interval: 1s, candidate: {value: x}, absolute: {max: 2, slots: 31}"),
                gate("kind: sample, interval: 1s, candidate: {value: x}, absolute: {max: 2, slots: 30}"),
                "without evidence",
            ),
            (
                gate(&format!("{counts}, baseline: {{version: stable}}, compare: {{test: e-value, alpha: 1e-300}}")),
                gate(&format!("{counts}, baseline: {{version: stable}}, compare: {{test: e-value, alpha: 0.001}}")),
                "so small an `alpha`",
            ),
            ("false-alarms: 0.999\n".to_owned(), "false-alarms: 0.1\n".to_owned(), "bound nothing"),
            ("false-alarms: 1e-12\n".to_owned(), "false-alarms: 1e-6\n".to_owned(), "no traffic"),
            (
                "thresholds: {cpu: {halt: '> 2', rule: test}}\n".to_owned(),
                "thresholds: {cpu: {halt: '> 2', rule: point}}\n".to_owned(),
                "a point",
            ),
        ] {
            let of = doubted(&bad);
            assert!(of.iter().any(|doubt| doubt.contains(words)), "{words} of {bad}: {of:?}");
            assert_eq!(doubted(&good), Vec::<String>::new(), "{good}");
        }
    }
}
