//! Evidence: all that a judgement rests on, in one document, so that anybody can judge again without asking anybody.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ledger::PinnedTerms,
    model::{Digest, GateId, LeaseId, Reason, Refusal, document::Span, policy::Gate},
};

use super::{
    answers::meaning,
    conclude::conclude,
    context::TierContext,
    difference::difference,
    judge::kept,
    measure::Value,
    question::{Planned, numbers, plan, plan_metric},
    reading::TierGate,
    report::{Judgement, Verdict},
    slot::Slots,
    thresholds,
    watch::{Keep, MAX_SLOTS, Seen, Watch},
};

/// The form of the document, and the methods by which it is judged: whatever changes what is concluded from the same answers
/// is another one.
const VERSION: u32 = 5;
/// How long a document may be and still be written for people to read.
const READABLE_BYTES: usize = 1024 * 1024;
/// The largest document that is read.
pub const MAX_EVIDENCE_BYTES: usize = 16 * 1024 * 1024;

/// About how many bytes a slot takes in a document, and each number that it measured.
const SLOT_BYTES: usize = 60;
const NUMBER_BYTES: usize = 115;

/// About how many bytes the evidence of a tier that bakes for so long comes to. An estimate for people.
pub fn estimated_bytes<'a>(gates: impl Iterator<Item = &'a Gate>, bake: Span) -> usize {
    let of = |gate: &Gate| {
        let slots = bake.as_secs().saturating_sub(gate.settle.as_secs()) / gate.interval.as_secs().max(1);
        let slots = usize::try_from(slots).unwrap_or(usize::MAX).min(MAX_SLOTS);
        slots * (SLOT_BYTES + NUMBER_BYTES * numbers(gate))
    };
    gates.map(of).sum()
}

/// What a judgement of a tier rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The form of the document: 5.
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

/// What is read of a document before it is known to be of a form that is.
#[derive(Deserialize)]
struct FormVersion {
    version: u32,
}

/// Evidence judged again.
#[derive(Debug, Clone, PartialEq)]
pub struct Reevaluation {
    /// What is concluded now.
    pub judgement: Judgement,
    /// Where that, or what it rests on, is other than what the document says; empty if the document holds.
    pub differences: Vec<String>,
    /// How many numbers that it rests on are there without the source's words: they are taken on the word of whoever signed.
    pub on_word: u32,
}

impl Evidence {
    /// Puts together what a judgement rests on. Observations that decided nothing are in it in short.
    pub fn new(terms: PinnedTerms, context: TierContext, mut watch: Watch, judgement: Judgement) -> Self {
        for (id, seen) in &mut watch.gates {
            if let Some(gate) = terms.gates.get(id) {
                let keep = kept(&TierGate::new(id, gate, &terms, &context), &terms, seen, judgement.at);
                seen.thin_long(&keep);
            }
        }
        Self { version: VERSION, context, terms, watch, judgement }
    }

    /// The document's bytes. The digest of exactly these is what gets signed. Never more than are read again: what only
    /// explains is left out of a document that would be too long, and one that still is, is refused.
    pub fn bytes(&self) -> Result<Vec<u8>, Refusal> {
        let failed = |error| Refusal::new(Reason::Internal, format!("the evidence cannot be written: {error}"));
        let mut bytes = serde_json::to_vec_pretty(self).map_err(failed)?;
        if bytes.len() > READABLE_BYTES {
            bytes = serde_json::to_vec(self).map_err(failed)?;
        }
        if bytes.len() >= MAX_EVIDENCE_BYTES {
            let mut bare = self.clone();
            bare.watch.bare();
            bytes = serde_json::to_vec(&bare).map_err(failed)?;
        }
        bytes.push(b'\n');
        if bytes.len() > MAX_EVIDENCE_BYTES {
            let message = format!("the evidence would have {} bytes, and {MAX_EVIDENCE_BYTES} are read", bytes.len());
            return Err(Refusal::new(Reason::TooLarge, message));
        }
        Ok(bytes)
    }

    /// Where evidence is in a tree.
    pub fn path(lease: &LeaseId, digest: Digest) -> String {
        let digest = digest.to_string();
        format!("evidence/{lease}/{}.json", digest.strip_prefix("sha256:").unwrap_or(&digest))
    }

    /// Reads a document whose digest is known. One of another form is not false, only unknown: reason `no-data`.
    pub fn read(bytes: &[u8], digest: Digest) -> Result<Self, Refusal> {
        let malformed = |why: String| Refusal::new(Reason::Malformed, format!("the evidence {digest}: {why}"));
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(Refusal::new(Reason::TooLarge, format!("the evidence has {} bytes", bytes.len())));
        }
        if Digest::of(bytes) != digest {
            let message = format!("the evidence is {}, not {digest} as it was signed", Digest::of(bytes));
            return Err(Refusal::new(Reason::DigestMismatch, message));
        }
        let FormVersion { version } = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if version != VERSION {
            let message = format!(
                "this version cannot judge it again: the evidence is of form {version}, and form {VERSION} is known here"
            );
            let hint = "judge it with the version of git-two-key that wrote it";
            return Err(Refusal::new(Reason::NoData, message).hint(hint));
        }
        serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))
    }

    /// Judges again from what was recorded: the queries that the gates ask, the words that were answered, and all that
    /// follows from them.
    pub fn reevaluate(&self) -> Reevaluation {
        let (mut differences, mut on_word) = (Vec::new(), 0);
        let nothing = Seen::default();
        for (id, gate) in &self.terms.gates {
            let tier_gate = TierGate::new(id, gate, &self.terms, &self.context);
            let plan = |at| plan(gate, &self.context, at);
            let seen = self.watch.gates.get(id).unwrap_or(&nothing);
            let keep = kept(&tier_gate, &self.terms, seen, self.judgement.at);
            let of = EvidenceSlots { what: "gate", id, seen, keep: &keep, clockwork: tier_gate.clockwork() };
            on_word += self.check(of, &plan, &mut differences);
        }
        for (id, seen) in &self.watch.gates {
            differences.extend(seen.forgot_wrongly().map(|why| format!("gate {id}: {why}")));
        }
        for (id, seen) in &self.watch.thresholds {
            differences.extend(seen.forgot_wrongly().map(|why| format!("threshold {id}: {why}")));
            // What was never looked at was not measured in any way.
            if seen.slots.is_empty() {
                continue;
            }
            let Some(metric) = &seen.metric else {
                differences.push(format!("threshold {id}: nobody knows how it was measured"));
                continue;
            };
            let plan = |at| vec![plan_metric(metric, &self.context, at)];
            let (halting, row) = thresholds::halting(id, &self.terms, &self.context, seen);
            let keep = Keep { halting, row, ..Keep::default() };
            let of = EvidenceSlots {
                what: "threshold",
                id,
                seen,
                keep: &keep,
                clockwork: Slots::of_thresholds(self.context.started),
            };
            on_word += self.check(of, &plan, &mut differences);
        }
        if let Some(other) = self.watch.is_of_another(&self.context) {
            differences.push(format!("what was seen is of {other}"));
        }
        let judgement = conclude(&self.terms, &self.context, &self.watch, self.judgement.at);
        compare(&self.judgement, &judgement, &mut differences);
        Reevaluation { judgement, differences, on_word }
    }

    /// Whether slots are at times of their own, their questions those that are to be asked, and their values those that
    /// were answered. Of slots that decide, and of the newest one, the queries have to be there; returns how many of their numbers
    /// are without words.
    fn check(
        &self,
        of: EvidenceSlots<'_>,
        plan: &dyn Fn(Timestamp) -> Vec<Planned>,
        differences: &mut Vec<String>,
    ) -> u32 {
        let EvidenceSlots { what, id, seen, keep, clockwork } = of;
        let (mut before, mut on_word) = (0, 0);
        for slot in &seen.slots {
            let number = slot.number;
            let mut differs = |why: &str| differences.push(format!("{what} {id}: slot {number}: {why}"));
            if number <= before || slot.at != clockwork.at(number) || slot.at > self.judgement.at {
                differs("it is not at a time of its own");
            }
            before = number;
            let is_whole = keep.whole(number) || number == seen.newest();
            let planned = plan(slot.at);
            if planned.len() != slot.answers.len() {
                differs("it has other questions than are to be asked");
            }
            for (planned, answered) in planned.iter().zip(&slot.answers) {
                if planned.part != answered.part || planned.from != answered.from {
                    differs("a question is not one that is to be asked");
                }
                let Ok(question) = &planned.question else { continue };
                let is_number = matches!(answered.value, Value::Number(_) | Value::Observations(_));
                match &answered.query {
                    Some(query) if *query != question.query => differs("a query is not the one that is to be asked"),
                    None if is_whole && is_number => differs("a query is missing that decides"),
                    _ => {}
                }
                match &answered.raw {
                    Some(raw) if meaning(question, raw) != answered.value => {
                        differs("the words that were answered mean something else");
                    }
                    None if is_whole && is_number => on_word += 1,
                    _ => {}
                }
            }
        }
        on_word
    }
}

/// The slots of a gate or threshold, and what of them is kept whole.
#[derive(Clone, Copy)]
struct EvidenceSlots<'a> {
    what: &'a str,
    id: &'a GateId,
    seen: &'a Seen,
    keep: &'a Keep,
    clockwork: Slots,
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
            (Some(was), Some(is)) => {
                differences.extend(difference(was, is).map(|what| format!("gate {id}: the figures differ: {what}")));
            }
            _ => differences.push(format!("gate {id}: it is in one of the two judgements only")),
        }
    }
    let (was, is) = (recorded.threshold.word(), now.threshold.word());
    if was != is {
        differences.push(format!("the thresholds were {was} and are {is}"));
    } else if let Some(what) = difference(&recorded.thresholds, &now.thresholds) {
        differences.push(format!("the thresholds' figures differ: {what}"));
    }
}
