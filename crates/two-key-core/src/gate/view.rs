//! Judgements in human- and machine-readable form.

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Digest, GateId, LeaseId, Oid, Reason, TargetId};

use super::{
    context::{MeasuredVersion, TierContext},
    report::{GateReport, Judgement, ThresholdReport, ThresholdState, Verdict},
};

/// What `gate LEASE` says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GateView {
    /// The lease.
    pub lease: LeaseId,
    /// Where it is rolled out to.
    pub target: TargetId,
    /// The tier's weight in percent.
    pub tier: u8,
    /// When the target was first seen there.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// The version that is measured.
    pub candidate: String,
    /// The version that it is compared with.
    pub stable: Option<String>,
    /// Whether the tier may be left forward as this stands.
    pub ok: bool,
    /// The reason code if it may not.
    pub reason: Option<Reason>,
    /// The same in words.
    pub message: Option<String>,
    /// What the gates and thresholds say.
    pub judgement: Judgement,
}

/// What `gate LEASE --replay FROM..TO` says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ReplayView {
    /// What would have been said at the end.
    #[serde(flatten)]
    pub end: GateView,
    /// What would have been said at each slot.
    pub slots: Vec<ReplayedSlot>,
}

/// One slot of a replay.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ReplayedSlot {
    /// Its time.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The worst verdict.
    pub verdict: Verdict,
    /// Each gate's verdict.
    pub gates: BTreeMap<GateId, Verdict>,
    /// The worst threshold.
    pub threshold: ThresholdState,
    /// Why it is not PASS.
    pub message: Option<String>,
}

/// What `gate --evidence COMMIT` says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EvidenceView {
    /// The commit that names the evidence.
    #[schemars(with = "String")]
    pub commit: Oid,
    /// Its digest.
    pub digest: Digest,
    /// Whether all that it says follows from what it recorded, by the gates that were pinned.
    pub ok: bool,
    /// Where it does not.
    pub differences: Vec<String>,
    /// How many numbers that it rests on are there without the source's words (they were too long to be kept, or were left out):
    /// whoever signed is taken at their word.
    pub on_word: u32,
    /// What was concluded then.
    pub recorded: Judgement,
    /// What is concluded from the same answers now.
    pub evaluated: Judgement,
    /// The lease, its tier, its versions, as the evidence has them.
    pub lease: LeaseId,
    /// The tier's weight in percent.
    pub tier: u8,
    /// When it was first seen there.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// Which version was measured.
    pub subject: MeasuredVersion,
}

impl GateView {
    /// The view of a judgement.
    pub fn new(context: &TierContext, judgement: Judgement) -> Self {
        let objection = judgement.objection();
        Self {
            lease: context.lease.clone(),
            target: context.target.clone(),
            tier: context.tier,
            started: context.started,
            candidate: context.candidate.clone(),
            stable: context.stable.clone(),
            ok: objection.is_none(),
            reason: objection.as_ref().map(|refusal| refusal.reason),
            message: objection.map(|refusal| refusal.message),
            judgement,
        }
    }
}

impl ReplayedSlot {
    /// The view of a slot's judgement.
    pub fn new(judgement: &Judgement) -> Self {
        Self {
            at: judgement.at,
            verdict: judgement.verdict,
            gates: judgement.gates.iter().map(|(id, report)| (id.clone(), report.verdict)).collect(),
            threshold: judgement.threshold,
            message: judgement.objection().map(|refusal| refusal.message),
        }
    }
}

/// A judgement as a table that is read in five seconds: the verdict first, then a line a gate, then a line a threshold.
pub fn gate_text(view: &GateView) -> String {
    let mut out = format!(
        "{}: {} at {} % since {:.0}: {}\n",
        view.target, view.lease, view.tier, view.started, view.judgement.verdict
    );
    if let Some(message) = &view.message {
        let _ = writeln!(out, "not forward: {message}");
    }
    out + &judgement_text(&view.judgement)
}

/// The gates and thresholds of a judgement, a line each.
pub fn judgement_text(judgement: &Judgement) -> String {
    let rows: Vec<[String; 4]> = judgement.gates.iter().map(|(id, report)| gate_row(id, report)).collect();
    let mut out = String::new();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&table(["gate", "verdict", "slots", "figures"], &rows));
    }
    let rows: Vec<[String; 4]> = judgement.thresholds.iter().map(|(id, report)| threshold_row(id, report)).collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&table(["threshold", "state", "value", "limits"], &rows));
    }
    out
}

/// A replay, a line a slot, then the table of the last one.
pub fn replay_text(view: &ReplayView) -> String {
    let mut out = String::new();
    for slot in &view.slots {
        let halts = if slot.threshold == ThresholdState::Halt { " HALT" } else { "" };
        let why = slot.message.as_deref().unwrap_or("every gate passes");
        let _ = writeln!(out, "{:.0} {:<12}{halts} {why}", slot.at, slot.verdict);
    }
    out.push('\n');
    out + &gate_text(&view.end)
}

/// Evidence judged again, in words.
pub fn evidence_text(view: &EvidenceView) -> String {
    let mut out = format!(
        "evidence {} of commit {}: {} at {} % since {:.0}, judged at {:.0}\n",
        view.digest,
        view.commit.short(),
        view.lease,
        view.tier,
        view.started,
        view.recorded.at
    );
    if view.subject == MeasuredVersion::Stable {
        out.push_str("measured: the version that ran before, and not what rolls out\n");
    }
    let (was, is) = (view.recorded.verdict, view.evaluated.verdict);
    if view.ok {
        let _ = writeln!(out, "holds: {was} then, and {is} from the same answers now");
    } else {
        let _ = writeln!(out, "DOES NOT HOLD: {was} was recorded, {is} is what the recorded answers come to");
    }
    for difference in &view.differences {
        let _ = writeln!(out, "  {difference}");
    }
    if view.on_word > 0 {
        let numbers = if view.on_word == 1 { "1 number".to_owned() } else { format!("{} numbers", view.on_word) };
        let _ = writeln!(out, "on the signer's word: {numbers} of which the source's words are not there");
    }
    out + &judgement_text(&view.evaluated)
}

fn gate_row(id: &GateId, report: &GateReport) -> [String; 4] {
    let slots = report.slots;
    let missed = if slots.missed > 0 { format!(", {} missed", slots.missed) } else { String::new() };
    let deadline = report.deadline.map(|deadline| format!("; rolls back at {deadline:.0}")).unwrap_or_default();
    [
        id.to_string(),
        report.verdict.to_string(),
        format!("{} of {}{missed}", slots.measured, slots.needed),
        format!("{}{deadline}", report.why),
    ]
}

fn threshold_row(id: &GateId, report: &ThresholdReport) -> [String; 4] {
    let limits = [("warn", report.warn), ("halt", report.halt)];
    let limits: Vec<_> = limits.iter().filter_map(|(word, limit)| Some(format!("{word} {}", (*limit)?))).collect();
    let value = report.value.map_or_else(|| "-".to_owned(), super::words::number);
    let why = match report.state {
        ThresholdState::NoData => format!(" ({})", report.why),
        _ => String::new(),
    };
    [id.to_string(), report.state.word().to_owned(), value, format!("{}{why}", limits.join(", "))]
}

/// Rows in columns as wide as they must be; the last is as wide as it likes.
fn table(head: [&str; 4], rows: &[[String; 4]]) -> String {
    let head = head.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (first, second, third) = (width(0), width(1), width(2));
    let mut out = String::new();
    for [a, b, c, d] in [&head].into_iter().chain(rows) {
        let _ = writeln!(out, "  {a:<first$}  {b:<second$}  {c:<third$}  {d}");
    }
    out
}
