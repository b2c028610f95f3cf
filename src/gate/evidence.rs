//! Evidence: all that a judgement rests on, in one document, so that anybody can judge again without asking anybody.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ledger::PinnedTerms,
    model::{Digest, GateId, LeaseId, Reason, Refusal},
};

use super::{
    answers::meaning,
    conclude::{Bench, conclude},
    context::TierContext,
    question::{Planned, plan, plan_metric},
    report::{Judgement, Verdict},
    slot::Slots,
    thresholds,
    watch::{Slot, Watch},
};

/// The form of the document.
const VERSION: u32 = 1;
/// The largest document that is read.
pub const MAX_EVIDENCE_BYTES: usize = 16 * 1024 * 1024;

/// What a judgement of a tier rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The form of the document: 1.
    version: u32,
    /// What was judged.
    pub context: TierContext,
    /// By which gates and limits.
    pub terms: PinnedTerms,
    /// What was asked and answered.
    pub watch: Watch,
    /// What was concluded.
    pub judgement: Judgement,
}

/// Evidence judged again.
#[derive(Debug, Clone, PartialEq)]
pub struct Reevaluation {
    /// What is concluded now.
    pub judgement: Judgement,
    /// Where that, or what it rests on, is other than what the document says; empty if the document holds.
    pub differences: Vec<String>,
}

impl Evidence {
    /// Puts together what a judgement rests on.
    pub fn new(terms: PinnedTerms, context: TierContext, watch: Watch, judgement: Judgement) -> Self {
        Self { version: VERSION, context, terms, watch, judgement }
    }

    /// The document's bytes. The digest of exactly these is what gets signed.
    pub fn bytes(&self) -> Result<Vec<u8>, Refusal> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Refusal::new(Reason::Internal, format!("the evidence cannot be written: {error}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Where evidence is in a tree.
    pub fn path(lease: &LeaseId, digest: Digest) -> String {
        let digest = digest.to_string();
        format!("evidence/{lease}/{}.json", digest.strip_prefix("sha256:").unwrap_or(&digest))
    }

    /// Reads a document whose digest is known.
    pub fn read(bytes: &[u8], digest: Digest) -> Result<Self, Refusal> {
        let malformed = |why: String| Refusal::new(Reason::Malformed, format!("the evidence {digest}: {why}"));
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(Refusal::new(Reason::TooLarge, format!("the evidence has {} bytes", bytes.len())));
        }
        if Digest::of(bytes) != digest {
            let message = format!("the evidence is {}, not {digest} as it was signed", Digest::of(bytes));
            return Err(Refusal::new(Reason::DigestMismatch, message));
        }
        let evidence: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if evidence.version == VERSION { Ok(evidence) } else { Err(malformed(format!("form {}", evidence.version))) }
    }

    /// Judges again from what was recorded: the queries that the gates ask, the words that were answered, and all that
    /// follows from them.
    pub fn reevaluate(&self) -> Reevaluation {
        let mut differences = Vec::new();
        for (id, gate) in &self.terms.gates {
            let bench = Bench::new(id, gate, &self.terms, &self.context);
            let plan = |at| plan(gate, &self.context, at);
            self.check("gate", id, self.watch.slots(id), bench.clockwork(), &plan, &mut differences);
        }
        for (id, seen) in &self.watch.thresholds {
            let Some(metric) = &seen.metric else {
                differences.push(format!("threshold {id}: nobody knows how it was measured"));
                continue;
            };
            let plan = |at| vec![plan_metric(metric, &self.context, at)];
            let clockwork = thresholds::clockwork(&self.context);
            self.check("threshold", id, &seen.slots, clockwork, &plan, &mut differences);
        }
        if let Some(other) = self.watch.is_of_another(&self.context) {
            differences.push(format!("what was seen is of {other}"));
        }
        let judgement = conclude(&self.terms, &self.context, &self.watch, self.judgement.at);
        compare(&self.judgement, &judgement, &mut differences);
        Reevaluation { judgement, differences }
    }

    /// Whether slots are at times of their own, their questions those that are to be asked, and their values those that
    /// were answered.
    fn check(
        &self,
        what: &str,
        id: &GateId,
        slots: &[Slot],
        clockwork: Slots,
        plan: &dyn Fn(Timestamp) -> Vec<Planned>,
        differences: &mut Vec<String>,
    ) {
        let mut before = 0;
        for slot in slots {
            let number = slot.number;
            let mut differs = |why: &str| differences.push(format!("{what} {id}: slot {number}: {why}"));
            if number <= before || slot.at != clockwork.at(number) || slot.at > self.judgement.at {
                differs("it is not at a time of its own");
            }
            before = number;
            let planned = plan(slot.at);
            if planned.len() != slot.answers.len() {
                differs("it has other questions than are to be asked");
            }
            for (planned, answered) in planned.iter().zip(&slot.answers) {
                if planned.part != answered.part || planned.from != answered.from {
                    differs("a question is not one that is to be asked");
                }
                let Ok(question) = &planned.question else { continue };
                if answered.query.as_ref().is_some_and(|query| *query != question.query) {
                    differs("a query is not the one that is to be asked");
                }
                if answered.raw.as_ref().is_some_and(|raw| meaning(question, raw) != answered.value) {
                    differs("the words that were answered mean something else");
                }
            }
        }
    }
}

/// Says where two judgements differ.
fn compare(recorded: &Judgement, now: &Judgement, differences: &mut Vec<String>) {
    let worst = |judgement: &Judgement| judgement.verdict;
    let (was, is): (Verdict, Verdict) = (worst(recorded), worst(now));
    if was != is {
        differences.push(format!("the verdict was {was} and is {is}"));
    }
    let ids: std::collections::BTreeSet<&GateId> = recorded.gates.keys().chain(now.gates.keys()).collect();
    for id in ids {
        match (recorded.gates.get(id), now.gates.get(id)) {
            (Some(was), Some(is)) if was.verdict != is.verdict => {
                differences
                    .push(format!("gate {id}: the verdict was {} and is {}: {}", was.verdict, is.verdict, is.why));
            }
            (Some(was), Some(is)) if was != is => {
                differences.push(format!("gate {id}: the figures differ: {}", is.why));
            }
            (Some(_), Some(_)) => {}
            _ => differences.push(format!("gate {id}: it is in one of the two judgements only")),
        }
    }
    if recorded.threshold != now.threshold || recorded.thresholds != now.thresholds {
        let (was, is) = (recorded.threshold.word(), now.threshold.word());
        differences.push(format!("the thresholds were {was} and are {is}, or their figures differ"));
    }
}
