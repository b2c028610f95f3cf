//! The audit trail: what took effect and what was refused, in the order in which the ledger has it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{Event, EventKind, EventVote, Finding, GovernanceChange, State, StepReport},
    model::{LeaseId, Oid, Percent, refs},
};

use super::{
    Beside, ObservedEvent, VoteView, finding_subject,
    lease::since,
    policy_difference,
    words::{all_of, escaped, time},
};

/// One entry of the trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrailEntry {
    /// What happened, by its name in the trail.
    pub event: String,
    /// When, RFC 3339.
    pub time: Option<String>,
    /// Who says so: `claimed` by its signer's commit, `sealed`: by another's, and nobody says when it was made, or `seen` by an
    /// applier.
    pub time_is: String,
    /// The first-parent commit that put it in force, or in whose step it was refused; of a vote in a note, the notes commit.
    pub commit: String,
    /// The commit whose signature did it; of several votes, the one that completed them.
    pub carrier: Option<String>,
    /// What a vote that waits for others is for.
    pub action: Option<String>,
    /// The lease.
    pub lease: Option<String>,
    /// The step number.
    pub step: Option<u32>,
    /// The tier, in percent.
    pub tier: Option<u8>,
    /// Every vote that it rests on, by principal.
    pub votes: Vec<VoteView>,
    /// The policy that came in force, or that a vote is for.
    pub policy: Option<PolicyChange>,
    /// The key that went out of force.
    pub revoked: Option<RevokedKey>,
    /// The target, in what appliers saw.
    pub target: Option<String>,
    /// The weight in percent, in what appliers saw; null where a stop failed and nobody could see it.
    pub weight: Option<Percent>,
    /// Whose key it was, of several votes the one that completed them; in refusals, whose it claims to be.
    pub principal: Option<String>,
    /// That key's fingerprint.
    pub key: Option<String>,
    /// Why the key of what an applier saw is in force no more, where it counted then: `revoked` or `not-listed`.
    pub key_standing: Option<String>,
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

impl TrailEntry {
    /// Everybody whose key it is about.
    pub(super) fn principals(&self) -> impl Iterator<Item = &String> {
        let votes = self.votes.iter().map(|vote| &vote.principal);
        votes.chain(&self.principal).chain(self.revoked.as_ref().map(|revoked| &revoked.principal))
    }
}

/// A policy that follows another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyChange {
    /// Its version.
    pub version: u32,
    /// The digest of its bytes.
    pub digest: String,
    /// What it changes, a line each.
    pub difference: Vec<String>,
}

/// A revoked key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RevokedKey {
    /// Whose key it is.
    pub principal: String,
    /// That principal's role.
    pub role: String,
    /// The key's fingerprint.
    pub key: String,
}

/// The trail of everything, or of some leases; newest last.
pub fn trail(
    state: &State,
    reports: &[StepReport],
    beside: &Beside,
    leases: Option<&BTreeSet<LeaseId>>,
) -> Vec<TrailEntry> {
    let wanted = |about: Option<&LeaseId>| leases.is_none_or(|leases| about.is_some_and(|id| leases.contains(id)));
    let mut entries = Vec::new();
    let mut seen: BTreeMap<Oid, Vec<&ObservedEvent>> = BTreeMap::new();
    for happened in &beside.happened {
        seen.entry(happened.ledger).or_default().push(happened);
    }
    for report in reports {
        for event in report.events.iter().filter(|event| wanted(event.lease.as_ref())) {
            entries.push(event_entry(event, report, state, beside));
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
    entries.extend(beside.noted.entries(wanted));
    entries
}

fn applier_entry(happened: &ObservedEvent) -> TrailEntry {
    TrailEntry {
        event: happened.event.clone(),
        time: time(happened.seen),
        time_is: "seen".to_owned(),
        commit: happened.commit.to_string(),
        lease: Some(happened.lease.to_string()),
        step: Some(happened.step),
        target: Some(happened.target.to_string()),
        weight: happened.weight_bp.map(Percent::of),
        principal: Some(happened.applier.to_string()),
        key: Some(happened.key.to_string()),
        key_standing: happened.key_standing.clone(),
        ..TrailEntry::default()
    }
}

/// The tag that the transition of an event should have.
fn tag_of(state: &State, event: &Event) -> Option<String> {
    // A vote that waits for others put nothing in force that could have a tag.
    let (id, step) = event.lease.as_ref().zip(event.step).filter(|_| event.event != EventKind::Voted)?;
    let transition = state.lease(id)?.transitions.iter().find(|transition| transition.step == step)?;
    Some(refs::short(&transition.tag(id)).to_owned())
}

fn event_entry(event: &Event, report: &StepReport, state: &State, beside: &Beside) -> TrailEntry {
    let tag = tag_of(state, event).filter(|tag| beside.tags.contains(tag));
    let last = event.last_vote();
    let (policy, revoked) = match event.change.as_deref() {
        Some(GovernanceChange::Policy { from, to }) => {
            let difference = policy_difference(from.get(), to.get());
            (Some(PolicyChange { version: to.get().version, digest: to.digest().to_string(), difference }), None)
        }
        Some(GovernanceChange::Revoked { key, principal, role }) => {
            let (principal, role, key) = (principal.to_string(), role.word().to_owned(), key.to_string());
            (None, Some(RevokedKey { principal, role, key }))
        }
        None => (None, None),
    };
    let noted = |vote: &EventVote| beside.noted.at_event(event, &vote.key);
    let made = last.map(|vote| vote.claimed_time.or_else(|| noted(vote)));
    TrailEntry {
        event: event.event.name().to_owned(),
        time: time(made.flatten().unwrap_or(report.claimed_time)),
        time_is: if made == Some(None) { "sealed".to_owned() } else { "claimed".to_owned() },
        commit: event.commit.to_string(),
        carrier: event.last.as_ref().map(|(carrier, _)| carrier.to_string()),
        action: event.action.map(|action| action.word().to_owned()),
        lease: event.lease.as_ref().map(ToString::to_string),
        step: event.step,
        tier: event.tier,
        votes: event.votes.iter().map(|vote| VoteView::of(vote, noted(vote))).collect(),
        policy,
        revoked,
        principal: last.map(|vote| vote.principal.to_string()),
        key: last.map(|vote| vote.key.to_string()),
        tag,
        remark: last.and_then(|vote| vote.reason.clone()),
        evidence: last.and_then(|vote| vote.evidence).map(|digest| digest.to_string()),
        ..TrailEntry::default()
    }
}

fn refusal_entry(finding: &Finding, report: &StepReport) -> TrailEntry {
    TrailEntry {
        event: EventKind::Refused.name().to_owned(),
        time: time(report.claimed_time),
        time_is: "claimed".to_owned(),
        commit: finding.commit.to_string(),
        carrier: Some(finding.carrier.to_string()),
        action: finding.action.map(|action| action.word().to_owned()),
        lease: finding.lease.as_ref().map(ToString::to_string),
        principal: finding.claims.as_ref().map(ToString::to_string),
        subject: Some(finding_subject(finding)),
        reason: Some(finding.refusal.reason.code().to_owned()),
        message: Some(finding.refusal.message.clone()),
        ..TrailEntry::default()
    }
}

/// An entry for people, on one line.
pub fn entry_text(entry: &TrailEntry) -> String {
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
    if let Some(action) = &entry.action {
        word(action.clone());
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
    if let Some(target) = &entry.target {
        let weight = entry.weight.map_or("an unknown weight".to_owned(), |weight| format!("{weight} %"));
        word(format!("{target} at {weight}"));
    }
    if let Some(policy) = &entry.policy {
        word(format!("version {} {}: {};", policy.version, policy.digest, policy.difference.join("; ")));
    }
    if let Some(revoked) = &entry.revoked {
        word(format!("{} ({}) {}", revoked.principal, revoked.role, revoked.key));
    }
    let votes: Vec<_> = entry.votes.iter().map(|vote| vote_text(vote, entry)).collect();
    match (votes.as_slice(), &entry.principal, &entry.key) {
        ([], Some(principal), Some(key)) => word(format!("by {principal} {key}")),
        ([], ..) => {}
        (votes, ..) => word(format!("by {}", all_of(&votes.iter().map(String::as_str).collect::<Vec<_>>()))),
    }
    if let Some(standing) = &entry.key_standing {
        word(format!("({})", since(standing)));
    }
    if let Some(tag) = &entry.tag {
        word(format!("tag {tag}"));
    }
    line.trim_end().to_owned()
}

/// A vote within its entry: of what the entry says already, nothing again.
fn vote_text(vote: &VoteView, entry: &TrailEntry) -> String {
    let mut text = format!("{} ({}) {}", vote.principal, vote.role, vote.key);
    if vote.commit != entry.commit {
        let commit: String = vote.commit.chars().take(12).collect();
        text = format!("{text} in {commit}");
    }
    if let Some(claimed) = vote.claimed.as_ref().filter(|claimed| Some(*claimed) != entry.time.as_ref()) {
        text = format!("{text} at {claimed}");
    }
    match vote.carrier.as_str() {
        "detached" => text.push_str(" detached"),
        "note" => text.push_str(" by note, not sealed yet"),
        _ => {}
    }
    match &vote.remark {
        Some(remark) => format!("{text} \"{}\"", escaped(remark)),
        None => text,
    }
}
