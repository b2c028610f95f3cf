//! Health of the tier that a lease is at, as far as moves go. Pure, and the same for agents and appliers: both
//! halt when a limit is crossed or a gate fails, and neither takes silence for health.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use crate::{
    ledger::{LeaseState, Phase, PinnedTerms},
    model::{
        GateId, PrincipalId, Reason, Refusal, StopKind,
        policy::{Gate, Role},
    },
};

use super::{Aggregate, Evidence, Judgement, Measure, ThresholdState, TierContext, Verdict, Watch, judge, words};

/// Where a tier's gates stand in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// They may still be waited for.
    Ahead,
    /// They had to pass by now.
    Passed,
}

/// What the gates of a tier say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gates {
    /// None are pinned: nothing but time is watched.
    None,
    /// Every one passes.
    Pass,
    /// None fails, and at least one cannot say yet.
    Open(Deadline, String),
    /// At least one fails.
    Fail(Deadline, String),
}

/// What the auto-halt limits of a tier say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitsVerdict {
    /// None are pinned, or nothing here was asked to measure them.
    None,
    /// None is crossed.
    Fine,
    /// A warning is crossed.
    Warn(String),
    /// At least one cannot be measured.
    NoData(String),
    /// A halt is crossed.
    Crossed(String),
}

/// What metrics say of a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The gates.
    pub gates: Gates,
    /// The limits.
    pub limits: LimitsVerdict,
    /// What was measured, a line each, for people.
    pub figures: Vec<String>,
}

impl Health {
    /// Of a lease that nothing was pinned for.
    pub const UNWATCHED: Self = Self { gates: Gates::None, limits: LimitsVerdict::None, figures: Vec::new() };

    /// Of a tier that nothing can be said of yet.
    pub fn open(terms: &PinnedTerms, why: &str) -> Self {
        let gates = if terms.gates.is_empty() { Gates::None } else { Gates::Open(Deadline::Ahead, why.to_owned()) };
        let limits =
            if terms.thresholds.is_empty() { LimitsVerdict::None } else { LimitsVerdict::NoData(why.to_owned()) };
        Self { gates, limits, figures: Vec::new() }
    }

    /// Of a tier that was judged.
    pub fn of(terms: &PinnedTerms, judgement: &Judgement) -> Self {
        let deadline = if judgement.overdue().next().is_some() { Deadline::Passed } else { Deadline::Ahead };
        let worst = judgement.gates.iter().find(|(_, report)| report.verdict == judgement.verdict);
        let words = worst.map_or_else(String::new, |(id, report)| format!("{id}: {}", report.why));
        let gates = match judgement.verdict {
            _ if terms.gates.is_empty() => Gates::None,
            Verdict::Pass => Gates::Pass,
            Verdict::Pending | Verdict::Inconclusive => Gates::Open(deadline, words),
            Verdict::Fail => Gates::Fail(deadline, words),
        };
        let worst = judgement.thresholds.iter().find(|(_, report)| report.state == judgement.threshold);
        let words = worst.map_or_else(String::new, |(id, report)| format!("{id}: {}", report.why));
        let limits = match judgement.threshold {
            _ if terms.thresholds.is_empty() => LimitsVerdict::None,
            ThresholdState::Fine => LimitsVerdict::Fine,
            ThresholdState::Warn => LimitsVerdict::Warn(words),
            ThresholdState::NoData => LimitsVerdict::NoData(words),
            ThresholdState::Halt => LimitsVerdict::Crossed(words),
        };
        Self { gates, limits, figures: figures(judgement) }
    }

    /// The stop that it asks for, the strongest first; no data ever asks for one before the deadline.
    pub fn stop(&self) -> Option<(StopKind, Refusal)> {
        if let Gates::Fail(Deadline::Passed, words) = &self.gates {
            let message = format!("the tier's gates fail, and their deadline is over: {words}");
            return Some((StopKind::Rollback, Refusal::new(Reason::GateFailed, message)));
        }
        if let Gates::Open(Deadline::Passed, words) = &self.gates {
            let message = format!("the tier's gates have not passed by their deadline: {words}");
            return Some((StopKind::Rollback, Refusal::new(Reason::NoData, message)));
        }
        if let LimitsVerdict::Crossed(words) = &self.limits {
            let message = format!("a halt limit is crossed: {words}");
            return Some((StopKind::Halt, Refusal::new(Reason::GateFailed, message)));
        }
        if let Gates::Fail(Deadline::Ahead, words) = &self.gates {
            return Some((StopKind::Halt, Refusal::new(Reason::GateFailed, format!("a gate fails: {words}"))));
        }
        None
    }

    /// What speaks against going on from this tier.
    pub fn against(&self) -> Option<Refusal> {
        if let Some((_, refusal)) = self.stop() {
            return Some(refusal);
        }
        if let Gates::Open(_, words) = &self.gates {
            return Some(Refusal::new(Reason::NoData, format!("the tier's gates have not passed yet: {words}")));
        }
        if let LimitsVerdict::NoData(words) = &self.limits {
            let message = format!("a limit cannot be measured, and no data is never healthy: {words}");
            return Some(Refusal::new(Reason::NoData, message));
        }
        None
    }
}

/// A look at a tier: what metrics say of it, and the evidence for that.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// What they say.
    pub health: Health,
    /// What that rests on; none where nothing was judged.
    pub evidence: Option<Evidence>,
}

impl Look {
    /// What it says, and the bytes of its evidence. Nothing goes on by evidence that cannot be written; a stop does not wait for it.
    pub fn with_evidence_bytes(self, terms: &PinnedTerms) -> (Health, Option<Vec<u8>>) {
        match self.evidence.map(|evidence| evidence.bytes()).transpose() {
            Ok(bytes) => (self.health, bytes),
            Err(refusal) if self.health.stop().is_none() => (Health::open(terms, &refusal.message), None),
            Err(_) => (self.health, None),
        }
    }
}

/// Looks at a tier. `context` says why nothing can be judged of it yet, if nothing can; `measure` is none where no metrics
/// are configured.
///
/// A lease without gates and limits that are to be measured here is not watched: only time is.
pub fn look(
    terms: &PinnedTerms,
    context: Result<TierContext, Refusal>,
    measure: Option<&dyn Measure>,
    watch: &mut Watch,
    now: Timestamp,
) -> Look {
    let terms = &*measured_here(terms, measure);
    if terms.gates.is_empty() && terms.thresholds.is_empty() {
        return Look { health: Health::UNWATCHED, evidence: None };
    }
    let open = |refusal: &Refusal| Look { health: Health::open(terms, &refusal.message), evidence: None };
    let Some(measure) = measure else { return open(&unconfigured()) };
    let context = match context {
        Ok(context) => context,
        Err(refusal) => return open(&refusal),
    };
    let judgement = judge(terms, &context, watch, now, measure);
    let health = Health::of(terms, &judgement);
    Look { health, evidence: Some(Evidence::new(terms.clone(), context, watch.clone(), judgement)) }
}

/// Two looks at one tier: of `harm`, which runs from the first shift to it whatever was observed since, and of what was
/// `settled` since the target was last found elsewhere. Harm, deadlines and limits are the first one's; only what lets a
/// lease go on starts over.
pub fn combined(harm: Look, settled: Look) -> Look {
    if harm.health.stop().is_some() {
        return harm;
    }
    let health = Health { limits: harm.health.limits, ..settled.health };
    Look { health, evidence: settled.evidence.or(harm.evidence) }
}

/// What a lease is held to where these metrics are configured: limits of the policy that nobody is asked to measure there are
/// for other targets; the target's own are not.
pub fn measured_here<'a>(terms: &'a PinnedTerms, measure: Option<&dyn Measure>) -> Cow<'a, PinnedTerms> {
    let is_measured = |name: &GateId| measure.is_some_and(|measure| measure.metric(name).is_some());
    if terms.if_measured.iter().all(is_measured) {
        return Cow::Borrowed(terms);
    }
    Cow::Owned(terms.clone().where_measured(is_measured))
}

/// Why a lease with these gates and limits could not be watched here once it runs; none if it could, or has none.
pub fn unmeasurable(terms: &PinnedTerms, measure: Option<&dyn Measure>) -> Option<Refusal> {
    let terms = &*measured_here(terms, measure);
    let gates = &terms.gates;
    if gates.is_empty() && terms.thresholds.is_empty() {
        return None;
    }
    let Some(measure) = measure else { return Some(unconfigured()) };
    if let Some(refusal) = gates.iter().find_map(|(_, gate)| measure.has(gate.source).err()) {
        return Some(refusal);
    }
    let late = |(_, gate): &(&GateId, &Gate)| measure.lag(gate.source) >= gate.evidence_ttl;
    if let Some((id, gate)) = gates.iter().find(late) {
        let (lag, ttl, word) = (measure.lag(gate.source), gate.evidence_ttl, gate.source.word());
        let message = format!("gate {id} is asked {lag} late, and its evidence may be relied on for {ttl}");
        let hint = format!("lower `lag` under metrics: {word} here, or raise the gate's `evidence-ttl` in the policy");
        return Some(Refusal::new(Reason::NoData, message).hint(hint));
    }
    let is_measured = |name: &GateId| gates.contains_key(name) || measure.metric(name).is_some();
    terms.thresholds.keys().find(|name| !is_measured(name)).map(|name| {
        let message = format!("limit {name} is measured by no gate, and no query for it is configured here");
        Refusal::new(Reason::NoData, message).hint(format!("add it: metrics: {{thresholds: {{{name}: …}}}}"))
    })
}

fn unconfigured() -> Refusal {
    Refusal::new(Reason::NoData, "no metrics are configured here, so nothing can be measured")
        .hint("name their sources in the configuration, under metrics")
}

/// What was measured, in words: `error-rate PASS, 1 of 412 (0.24 %) against 0.9 %`, `cpu-load 40, fine`.
pub fn figures(judgement: &Judgement) -> Vec<String> {
    let gates = judgement.gates.iter().map(|(id, report)| {
        let measured = measured(&report.candidate).map(|words| format!(", {words}")).unwrap_or_default();
        let before = report.baseline.as_ref().and_then(measured_short);
        let before = before.map(|words| format!(" against {words}")).unwrap_or_default();
        let why = if report.verdict == Verdict::Pass { String::new() } else { format!(": {}", report.why) };
        format!("{id} {}{measured}{before}{why}", report.verdict)
    });
    let limits = judgement.thresholds.iter().map(|(id, report)| {
        let value = report.value.map(|value| format!(" {}", round(value))).unwrap_or_default();
        let why = if report.state == ThresholdState::Fine { String::new() } else { format!(": {}", report.why) };
        format!("limit {id}{value} {}{why}", report.state.word())
    });
    gates.chain(limits).collect()
}

fn measured(what: &Aggregate) -> Option<String> {
    match (what.bad, what.total) {
        (Some(bad), Some(total)) => {
            let share = what.share().map(|share| format!(" ({} %)", round(share * 100.0))).unwrap_or_default();
            Some(format!("{} of {}{share}", round(bad), round(total)))
        }
        _ => measured_short(what),
    }
}

fn measured_short(what: &Aggregate) -> Option<String> {
    let share = what.share().map(|share| format!("{} %", round(share * 100.0)));
    share.or_else(|| what.summary.map(|summary| format!("p95 {} of {}", round(summary.p95), summary.count)))
}

/// A figure that a person reads: three digits that say something.
fn round(number: f64) -> String {
    if number.abs() >= 1e15 {
        return format!("{number:.2e}");
    }
    if number.abs() < 0.1 {
        return words::number(number);
    }
    let digits = if number.abs() >= 100.0 || number.fract() == 0.0 { 0 } else { 2 };
    format!("{number:.digits$}")
}

/// Why a halted lease is to be rolled back: an automaton halted it, and nobody has done anything about it within the
/// deadline of its gates. What a person halted is left to people.
pub fn left_halted(lease: &LeaseState, now: Timestamp) -> Option<Refusal> {
    let last = lease.transitions.last().filter(|last| last.phase == Phase::Halted && lease.phase == Phase::Halted)?;
    let vote = last.votes.last().filter(|vote| matches!(vote.role, Role::Agent | Role::Applier))?;
    resolve_by(lease, Timestamp::from_second(vote.claimed_time?).ok()?, &vote.principal, now)
}

/// The same of a halt that was made at some time by somebody.
pub fn resolve_by(lease: &LeaseState, since: Timestamp, by: &PrincipalId, now: Timestamp) -> Option<Refusal> {
    let gates = lease.terms.as_ref()?.gates.values();
    let deadline = gates.map(|gate| gate.inconclusive_deadline).min_by_key(|span| span.as_secs())?;
    let seconds = i64::try_from(deadline.as_secs()).ok()?;
    let over = since.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    (now >= over).then(|| {
        let message = format!("{by} halted it at {since}, and nobody has resolved that within {deadline}");
        Refusal::new(Reason::GateFailed, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(gates: Gates, limits: LimitsVerdict) -> Health {
        Health { gates, limits, figures: Vec::new() }
    }

    fn kind(health: &Health) -> Option<StopKind> {
        health.stop().map(|(kind, _)| kind)
    }

    #[test]
    fn a_crossed_limit_and_a_failed_gate_halt_and_a_passed_deadline_rolls_back() {
        let words = || "w".to_owned();
        assert_eq!(kind(&health(Gates::Pass, LimitsVerdict::Crossed(words()))), Some(StopKind::Halt));
        assert_eq!(kind(&health(Gates::Pass, LimitsVerdict::Fine)), None);
        assert_eq!(kind(&health(Gates::Fail(Deadline::Ahead, words()), LimitsVerdict::Fine)), Some(StopKind::Halt));
        assert_eq!(
            kind(&health(Gates::Fail(Deadline::Passed, words()), LimitsVerdict::Fine)),
            Some(StopKind::Rollback)
        );
        assert_eq!(
            kind(&health(Gates::Open(Deadline::Passed, words()), LimitsVerdict::Fine)),
            Some(StopKind::Rollback)
        );
        assert_eq!(kind(&health(Gates::Open(Deadline::Ahead, words()), LimitsVerdict::Fine)), None);
        // The stronger of two stops.
        let both = health(Gates::Open(Deadline::Passed, words()), LimitsVerdict::Crossed(words()));
        assert_eq!(kind(&both), Some(StopKind::Rollback));
    }

    #[test]
    fn only_passing_gates_and_measured_limits_let_a_lease_go_on() {
        let words = || "w".to_owned();
        for (gates, limits, reason) in [
            (Gates::Pass, LimitsVerdict::Fine, None),
            (Gates::Pass, LimitsVerdict::Warn(words()), None),
            (Gates::None, LimitsVerdict::None, None),
            (Gates::Pass, LimitsVerdict::NoData(words()), Some(Reason::NoData)),
            (Gates::Open(Deadline::Ahead, words()), LimitsVerdict::Fine, Some(Reason::NoData)),
            (Gates::Fail(Deadline::Ahead, words()), LimitsVerdict::Fine, Some(Reason::GateFailed)),
            (Gates::Pass, LimitsVerdict::Crossed(words()), Some(Reason::GateFailed)),
        ] {
            let health = health(gates, limits);
            assert_eq!(health.against().map(|refusal| refusal.reason), reason, "{health:?}");
        }
    }

    #[test]
    fn harm_is_not_hidden_by_what_starts_over_and_going_on_is() {
        let words = || "w".to_owned();
        let look = |gates, limits| Look { health: health(gates, limits), evidence: None };
        let anew = || look(Gates::Open(Deadline::Ahead, words()), LimitsVerdict::NoData(words()));
        for (harm, stop) in [
            (look(Gates::Fail(Deadline::Ahead, words()), LimitsVerdict::Fine), Some(StopKind::Halt)),
            (look(Gates::Open(Deadline::Passed, words()), LimitsVerdict::Fine), Some(StopKind::Rollback)),
            (look(Gates::Pass, LimitsVerdict::Crossed(words())), Some(StopKind::Halt)),
            (look(Gates::Pass, LimitsVerdict::Fine), None),
        ] {
            let health = combined(harm, anew()).health;
            assert_eq!(kind(&health), stop);
            assert!(health.against().is_some(), "it has not passed since");
        }
        let well = || look(Gates::Pass, LimitsVerdict::Fine);
        assert_eq!(combined(well(), well()).health.against(), None);
    }

    #[test]
    fn nothing_goes_on_by_evidence_that_is_too_long_to_be_read_and_a_stop_does_not_wait_for_it() {
        use crate::gate::testing::{Scene, context};
        let mut scene =
            Scene::new("gates:\n  depth: {source: file, kind: gauge, candidate: {value: d}, absolute: {max: 5}}\n");
        let judgement = scene.look(120);
        let evidence = |label: usize| {
            let mut context = context();
            context.names.labels.insert("long".to_owned(), "x".repeat(label));
            Evidence::new(scene.terms.clone(), context, Watch::default(), judgement.clone())
        };
        let with_evidence_bytes = |gates: &Gates, label| {
            let look = Look { health: health(gates.clone(), LimitsVerdict::None), evidence: Some(evidence(label)) };
            look.with_evidence_bytes(&scene.terms)
        };
        let fails = Gates::Fail(Deadline::Ahead, "w".to_owned());
        for (gates, stop) in [(Gates::Pass, None), (fails, Some(StopKind::Halt))] {
            let (short, bytes) = with_evidence_bytes(&gates, 10);
            assert!(short.gates == gates && bytes.is_some());
            let (long, bytes) = with_evidence_bytes(&gates, crate::gate::MAX_EVIDENCE_BYTES);
            assert_eq!((kind(&long), bytes), (stop, None));
            assert_eq!(
                long.against().map(|refusal| refusal.reason),
                Some(if stop.is_none() { Reason::NoData } else { Reason::GateFailed })
            );
        }
    }

    #[test]
    fn figures_tell_small_numbers_from_none() {
        let rounded = [0.004, 0.02, 0.25, 3.0, 412.4, 2e15].map(round);
        assert_eq!(rounded, ["0.004", "0.02", "0.25", "3", "412", "2.00e15"]);
        assert_eq!(round(0.0), "0");
    }

    #[test]
    fn no_data_never_halts_by_itself() {
        assert_eq!(kind(&health(Gates::None, LimitsVerdict::NoData("w".to_owned()))), None);
    }
}
