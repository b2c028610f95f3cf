//! The audit trail: what took effect and what was refused, in the order in which the ledger has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{Event, EventKind, Finding, State, StepReport},
    model::{LeaseId, Oid},
};

use super::{
    Beside, Happened, finding_subject,
    words::{escaped, time},
};

/// One entry of the trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// What happened, by its name in the trail.
    pub event: String,
    /// When, RFC 3339.
    pub time: Option<String>,
    /// Who says so: `claimed` by the commit, or `seen` by an applier.
    pub time_is: String,
    /// The first-parent commit that put it in force, or in whose step it was refused.
    pub commit: String,
    /// The commit whose signature did it.
    pub carrier: Option<String>,
    /// The lease.
    pub lease: Option<String>,
    /// The step number.
    pub step: Option<u32>,
    /// The tier, in percent.
    pub tier: Option<u8>,
    /// The target, in what appliers saw.
    pub target: Option<String>,
    /// The weight in basis points, in what appliers saw.
    pub weight_bp: Option<u32>,
    /// Whose key it was; in refusals, whose it claims to be.
    pub principal: Option<String>,
    /// The key's fingerprint.
    pub key: Option<String>,
    /// The transition's tag below `refs/tags/`, where it is there.
    pub tag: Option<String>,
    /// Why, in the signer's words.
    pub remark: Option<String>,
    /// The digest of the evidence that the signer names.
    pub evidence: Option<String>,
    /// What was refused.
    pub subject: Option<String>,
    /// The reason's code, in refusals.
    pub reason: Option<String>,
    /// Why it was refused.
    pub message: Option<String>,
}

/// The trail of everything, or of one lease; newest last.
pub fn trail(state: &State, reports: &[StepReport], beside: &Beside, lease: Option<&LeaseId>) -> Vec<Entry> {
    let tags = transition_tags(state);
    let wanted = |about: Option<&LeaseId>| lease.is_none() || about == lease;
    let mut entries = Vec::new();
    let mut seen: BTreeMap<Oid, Vec<&Happened>> = BTreeMap::new();
    for happened in &beside.happened {
        seen.entry(happened.ledger).or_default().push(happened);
    }
    for report in reports {
        for event in report.events.iter().filter(|event| wanted(event.lease.as_ref())) {
            entries.push(event_entry(event, report, &tags, beside));
        }
        for finding in report.findings.iter().filter(|finding| wanted(finding.lease.as_ref())) {
            entries.push(refusal_entry(finding, report));
        }
        // What an applier saw stands behind the step that it went by.
        let then = seen.get(&report.commit).into_iter().flatten().copied();
        entries.extend(then.filter(|happened| wanted(Some(&happened.lease))).map(applier_entry));
    }
    let folded: BTreeSet<_> = reports.iter().map(|report| report.commit).collect();
    let elsewhere = beside.happened.iter().filter(|happened| !folded.contains(&happened.ledger));
    entries.extend(elsewhere.filter(|happened| wanted(Some(&happened.lease))).map(applier_entry));
    entries
}

fn applier_entry(happened: &Happened) -> Entry {
    Entry {
        event: happened.event.clone(),
        time: time(happened.seen),
        time_is: "seen".to_owned(),
        commit: happened.commit.to_string(),
        carrier: None,
        lease: Some(happened.lease.to_string()),
        step: Some(happened.step),
        tier: None,
        target: Some(happened.target.to_string()),
        weight_bp: Some(happened.weight_bp),
        principal: Some(happened.applier.to_string()),
        key: Some(happened.key.to_string()),
        tag: None,
        remark: None,
        evidence: None,
        subject: None,
        reason: None,
        message: None,
    }
}

/// The tags that transitions should have, by lease and step.
fn transition_tags(state: &State) -> BTreeMap<(&LeaseId, u32), String> {
    let of = |lease: &'_ crate::ledger::LeaseState| {
        let id = lease.id.clone();
        lease.transitions.iter().map(move |t| (t.step, format!("rollout/{id}/{}", t.tag_suffix()))).collect::<Vec<_>>()
    };
    state.leases().flat_map(|lease| of(lease).into_iter().map(|(step, tag)| ((&lease.id, step), tag))).collect()
}

fn event_entry(event: &Event, report: &StepReport, tags: &BTreeMap<(&LeaseId, u32), String>, beside: &Beside) -> Entry {
    let at = event.lease.as_ref().zip(event.step);
    let tag = at.and_then(|at| tags.get(&at)).filter(|tag| beside.tags.contains(*tag));
    Entry {
        event: event.event.name().to_owned(),
        time: time(event.claimed_time.unwrap_or(report.claimed_time)),
        time_is: "claimed".to_owned(),
        commit: event.commit.to_string(),
        carrier: event.carrier.map(|carrier| carrier.to_string()),
        lease: event.lease.as_ref().map(ToString::to_string),
        step: event.step,
        tier: event.tier,
        target: None,
        weight_bp: None,
        principal: event.principal.as_ref().map(ToString::to_string),
        key: event.key.as_ref().map(ToString::to_string),
        tag: tag.cloned(),
        remark: event.reason.clone(),
        evidence: event.evidence.map(|digest| digest.to_string()),
        subject: None,
        reason: None,
        message: None,
    }
}

fn refusal_entry(finding: &Finding, report: &StepReport) -> Entry {
    Entry {
        event: EventKind::Refused.name().to_owned(),
        time: time(report.claimed_time),
        time_is: "claimed".to_owned(),
        commit: finding.commit.to_string(),
        carrier: Some(finding.carrier.to_string()),
        lease: finding.lease.as_ref().map(ToString::to_string),
        step: None,
        tier: None,
        target: None,
        weight_bp: None,
        principal: finding.claims.as_ref().map(ToString::to_string),
        key: None,
        tag: None,
        remark: None,
        evidence: None,
        subject: Some(finding_subject(finding)),
        reason: Some(finding.refusal.reason.code().to_owned()),
        message: Some(finding.refusal.message.clone()),
    }
}

/// Basis points as percent, with decimals only where there are any.
struct Percent(u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) => write!(f, "{whole}.{part:02}"),
        }
    }
}

/// An entry for people, on one line.
pub fn entry_text(entry: &Entry) -> String {
    let when = entry.time.as_deref().unwrap_or("-");
    let commit: String = entry.commit.chars().take(12).collect();
    let mut line = format!("{when} {:<7}  {commit}  {:<17}", entry.time_is, entry.event);
    let mut word = |text: String| {
        line.push(' ');
        line.push_str(&text);
    };
    if let (Some(subject), Some(reason)) = (&entry.subject, &entry.reason) {
        word(format!("{subject}: {reason}: {}", escaped(entry.message.as_deref().unwrap_or_default())));
        return line;
    }
    if let Some(lease) = &entry.lease {
        word(lease.clone());
    }
    if let Some(step) = entry.step {
        word(format!("step {step}"));
    }
    if let Some(tier) = entry.tier {
        word(format!("{tier} %"));
    }
    if let (Some(target), Some(weight)) = (&entry.target, entry.weight_bp) {
        word(format!("{target} at {} %", Percent(weight)));
    }
    if let (Some(principal), Some(key)) = (&entry.principal, &entry.key) {
        word(format!("by {principal} {key}"));
    }
    if let Some(tag) = &entry.tag {
        word(format!("tag {tag}"));
    }
    if let Some(remark) = &entry.remark {
        word(format!("\"{}\"", escaped(remark)));
    }
    line.trim_end().to_owned()
}
