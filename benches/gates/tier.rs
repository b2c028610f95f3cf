//! A tier that is judged slot by slot, by the product's own code.

use std::{cell::RefCell, collections::BTreeMap};

use git_two_key::{
    gate::{
        Answer, Judgement, Measure, MeasuredVersion, Metric, Observations, Question, Recorded, TierContext, Value,
        Watch, judge,
    },
    ledger::PinnedTerms,
    model::{
        GateId, LeaseId, Refusal, TargetId,
        document::Span,
        policy::{self, Source},
    },
};
use jiff::{SignedDuration, Timestamp};

/// What is answered to each query.
#[derive(Default)]
pub(crate) struct Told(RefCell<BTreeMap<String, Value>>);

impl Told {
    pub(crate) fn number(&self, query: &str, number: f64) {
        self.0.borrow_mut().insert(query.to_owned(), Value::Number(number));
    }

    pub(crate) fn observations(&self, query: &str, values: Vec<f64>) {
        self.0.borrow_mut().insert(query.to_owned(), Value::Observations(Observations::new(values)));
    }
}

impl Measure for Told {
    fn ask(&self, question: &Question) -> Answer {
        Answer::of(self.0.borrow().get(&question.query).cloned().unwrap_or(Value::Nothing))
    }

    fn has(&self, _: Source) -> Result<(), Refusal> {
        Ok(())
    }

    fn metric(&self, _: &GateId) -> Option<Metric> {
        None
    }
}

/// The gates of a policy's sections, pinned.
pub(crate) fn terms(sections: &str) -> PinnedTerms {
    let policy = format!(
        "two-key: 1\nrepository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\nversion: 1\nprevious: null\nprincipals:\n  \
         user1: {{role: human, keys: [\"{}\"]}}\n  cp14: {{role: agent, keys: [\"{}\"]}}\n{sections}",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILMosAnnMBmbSsVuPeRCwaAz9riEocuL63ZsGTsvz2nV",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxYf809HjbbpxPuutP7dvEs86BruAUGM0lMHbigRrv/",
    );
    let policy = policy::read(policy.as_bytes()).unwrap();
    let policy = policy.get();
    PinnedTerms {
        driver: None,
        gates: policy.gates.clone(),
        thresholds: policy.thresholds.clone(),
        if_measured: std::collections::BTreeSet::new(),
        promote: None,
        false_alarms: policy.false_alarms,
        drift_below: policy::DriftBelow::default(),
    }
}

/// One of three tiers, by default the first, which settles for a minute and bakes for so many one-minute slots.
pub(crate) struct Tier<'a> {
    terms: &'a PinnedTerms,
    context: TierContext,
    watch: Watch,
    pub(crate) told: Told,
    slot: i64,
}

impl<'a> Tier<'a> {
    pub(crate) fn new(terms: &'a PinnedTerms, slots: u32) -> Self {
        let context = TierContext {
            lease: LeaseId::parse("L-1").unwrap(),
            target: TargetId::parse("shop").unwrap(),
            candidate: "v2".to_owned(),
            stable: Some("v1".to_owned()),
            tier: 5,
            started: Timestamp::from_second(1_761_531_600).unwrap(),
            bake: Span::seconds(60 * (u64::from(slots) + 1)),
            tiers: 3,
            last: false,
            samples: 1,
            subject: MeasuredVersion::Candidate,
            recorded: BTreeMap::new(),
            names: git_two_key::gate::Names::default(),
        };
        Self { terms, context, watch: Watch::default(), told: Told::default(), slot: 0 }
    }

    /// The last tier: with what was recorded of the error rate, if anything was.
    pub(crate) fn last(self, recorded: Option<[f64; 2]>) -> Self {
        let recorded =
            recorded.map(|[bad, total]| (GateId::parse("error-rate").unwrap(), Recorded::Counts { bad, total }));
        let context = TierContext { last: true, recorded: recorded.into_iter().collect(), ..self.context };
        Self { context, ..self }
    }

    /// The same tier of a lease with so many.
    pub(crate) fn of(self, tiers: u32) -> Self {
        Self { context: TierContext { tiers, ..self.context }, ..self }
    }

    /// Judges the next slot.
    pub(crate) fn look(&mut self) -> Judgement {
        self.slot += 1;
        let now = self.context.started + SignedDuration::from_secs(60 * (self.slot + 1));
        judge(self.terms, &self.context, &mut self.watch, now, &self.told)
    }
}
