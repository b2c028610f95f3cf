//! Fixtures for the gates' tests: a tier, a clock that counts from its start, a source that says what it is told.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    ledger::PinnedTerms,
    model::{
        GateId, LeaseId, Reason, Refusal, TargetId,
        document::Span,
        policy::{self, Source},
    },
};

use super::{
    Answer, Judgement, Measure, MeasuredVersion, Metric, Names, Observations, Question, TierContext, Value, Watch,
    judge,
};

/// So many seconds after the tier's start.
pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_761_531_600).unwrap() + SignedDuration::from_secs(seconds)
}

/// The first of three tiers, 5 % for 15 minutes.
pub(super) fn context() -> TierContext {
    TierContext {
        lease: LeaseId::parse("L-1").unwrap(),
        target: TargetId::parse("shop").unwrap(),
        candidate: "v2".to_owned(),
        stable: Some("v1".to_owned()),
        tier: 5,
        started: time(0),
        bake: Span::seconds(900),
        tiers: 3,
        last: false,
        samples: 1,
        subject: MeasuredVersion::Candidate,
        names: Names::default(),
        recorded: BTreeMap::new(),
    }
}

/// The gates and thresholds of a policy's sections, as they are pinned.
pub(super) fn terms(sections: &str) -> PinnedTerms {
    let policy = format!(
        "two-key: 1\nrepository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\nversion: 1\nprevious: null\nprincipals:\n  \
         user1: {{role: human, keys: [\"{}\"]}}\n  cp14: {{role: agent, keys: [\"{}\"]}}\n{sections}",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILMosAnnMBmbSsVuPeRCwaAz9riEocuL63ZsGTsvz2nV",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxYf809HjbbpxPuutP7dvEs86BruAUGM0lMHbigRrv/",
    );
    let policy = policy::read(policy.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{policy}"));
    PinnedTerms {
        driver: None,
        gates: policy.get().gates.clone(),
        thresholds: policy.get().thresholds.clone(),
        if_measured: std::collections::BTreeSet::new(),
        promote: None,
        false_alarms: policy.get().false_alarms,
        drift_below: policy::DriftBelow::default(),
    }
}

/// Observations, as a source gives them.
pub(super) fn observed(values: Vec<f64>) -> Value {
    Value::Observations(Observations::new(values))
}

pub(super) fn id(name: &str) -> GateId {
    GateId::parse(name).unwrap()
}

/// A source that answers by the query's text; to a query that it was not told of, with nothing.
#[derive(Debug, Default)]
pub(super) struct CannedSource {
    answers: RefCell<BTreeMap<String, Value>>,
    pub(super) asked: RefCell<Vec<Question>>,
    pub(super) metrics: BTreeMap<GateId, Metric>,
    pub(super) missing: BTreeSet<&'static str>,
    pub(super) lag: Span,
}

impl CannedSource {
    pub(super) fn tell(&self, query: &str, value: Value) {
        self.answers.borrow_mut().insert(query.to_owned(), value);
    }

    pub(super) fn number(&self, query: &str, number: f64) {
        self.tell(query, Value::Number(number));
    }
}

impl Measure for CannedSource {
    fn ask(&self, question: &Question) -> Answer {
        self.asked.borrow_mut().push(question.clone());
        Answer::of(self.answers.borrow().get(&question.query).cloned().unwrap_or(Value::Nothing))
    }

    fn has(&self, source: Source) -> Result<(), Refusal> {
        let missing = source == Source::Exec && self.missing.contains("exec");
        if missing { Err(Refusal::new(Reason::NoData, "exec")) } else { Ok(()) }
    }

    fn lag(&self, _: Source) -> Span {
        self.lag
    }

    fn metric(&self, name: &GateId) -> Option<Metric> {
        self.metrics.get(name).cloned()
    }
}

/// A tier that is looked at.
pub(super) struct Scene {
    pub(super) terms: PinnedTerms,
    pub(super) context: TierContext,
    pub(super) watch: Watch,
    pub(super) source: CannedSource,
}

impl Scene {
    pub(super) fn new(sections: &str) -> Self {
        Self { terms: terms(sections), context: context(), watch: Watch::default(), source: CannedSource::default() }
    }

    /// Looks, so many seconds after the start.
    pub(super) fn look(&mut self, seconds: i64) -> Judgement {
        judge(&self.terms, &self.context, &mut self.watch, time(seconds), &self.source)
    }
}
