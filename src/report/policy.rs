//! The policy in force and the one that is proposed, side by side.

use std::{collections::BTreeSet, fmt::Write as _};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{self, Content, State},
    model::policy::Policy,
};

use super::{
    Awaits, VoteView,
    advice::unmet,
    awaits::awaits_of,
    difference::{PolicyRow, policy_difference_at, policy_rows, rows_text},
    lease::ballot_views,
    may::{MayRow, may, may_text},
    words::escaped,
};

/// A policy that is proposed in the tree, and not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProposedPolicy {
    /// Its version; null where it cannot be read.
    pub version: Option<u32>,
    /// The digest of its bytes.
    pub digest: Option<String>,
    /// What it changes, a line each.
    pub difference: Vec<String>,
    /// The votes for it that count so far.
    pub votes: Vec<VoteView>,
    /// What it awaits; null where it can never come in force.
    pub awaits: Option<Awaits>,
    /// Why it can never come in force, by the reason's code.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
}

/// What `show policy` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyShow {
    /// The policy in force.
    pub in_force: PolicyView,
    /// The one that is proposed.
    pub proposed: Option<ProposedPolicy>,
    /// What they say, rule by rule and gate by gate.
    pub rows: Vec<PolicyRow>,
    /// Who may do what under the policy in force.
    pub may: Vec<MayRow>,
    /// Rules of the proposed policy, else of the one in force, that nobody could ever pass.
    pub warnings: Vec<String>,
}

/// The policy that the tree proposes, if it is another than the one in force.
pub(super) fn proposed_policy(state: &State, now: Option<Timestamp>) -> Option<ProposedPolicy> {
    let file = state.policy_file().filter(|file| file.digest != Some(state.policy().digest()))?;
    let digest = file.digest.map(|digest| digest.to_string());
    let unusable = |reason: &str, message: &str, version| ProposedPolicy {
        version,
        digest: digest.clone(),
        difference: Vec::new(),
        votes: Vec::new(),
        awaits: None,
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
    };
    let proposed = match &file.content {
        Content::Proposal(proposed) => proposed,
        Content::Unusable { code, message } => return Some(unusable(code, message, None)),
    };
    let version = Some(proposed.get().version);
    if let Err(refusal) = state.can_follow(proposed) {
        return Some(unusable(refusal.reason.code(), &refusal.message, version));
    }
    let ballots = state.policy_votes().filter(|ballot| ballot.statement.fields().digest == file.digest);
    Some(ProposedPolicy {
        version,
        digest,
        difference: policy_difference_at(state.policy().get(), proposed.get(), now),
        votes: ballot_views(state, ballots).into_iter().flat_map(|ballot| ballot.votes).collect(),
        awaits: ledger::awaited_policy(state).map(|awaited| awaits_of(state, &awaited, &[], now)),
        reason: None,
        message: None,
    })
}

/// The policy in force and the one that is proposed.
pub fn policy_show(state: &State, moment: Timestamp) -> PolicyShow {
    let now = state.policy().get();
    let next = match state.policy_file().map(|file| &file.content) {
        Some(Content::Proposal(proposed)) => proposed.get(),
        _ => now,
    };
    let mut rows = policy_rows(now, next);
    mark_revoked(state, [now, next], &mut rows);
    let (in_force, proposed) = (PolicyView::of(state), proposed_policy(state, Some(moment)));
    PolicyShow { in_force, proposed, rows, may: may(now), warnings: unmet(next) }
}

/// Marks keys that a policy lists and that count for nothing any more.
fn mark_revoked(state: &State, policies: [&Policy; 2], rows: &mut [PolicyRow]) {
    let keys = policies.into_iter().flat_map(Policy::keys).filter(|(.., key)| state.is_revoked(key.raw()));
    let revoked: BTreeSet<String> = keys.map(|(.., key)| key.fingerprint().to_string()).collect();
    for row in rows.iter_mut().filter(|row| row.about.starts_with("principal ")) {
        for text in [&mut row.in_force, &mut row.proposed].into_iter().flatten() {
            for key in &revoked {
                *text = text.replace(key, &format!("{key} (revoked)"));
            }
        }
    }
}

/// The same for people.
pub fn policy_text(view: &PolicyShow) -> String {
    let since: String = view.in_force.since.chars().take(12).collect();
    let mut text =
        format!("Policy version {}, in force since {since}\n  {}\n", view.in_force.version, view.in_force.digest);
    if let Some(proposed) = &view.proposed {
        let version = proposed.version.map(|version| format!(" version {version}")).unwrap_or_default();
        let digest = proposed.digest.as_deref().unwrap_or("its bytes were not read");
        let _ = writeln!(text, "Policy{version}, proposed\n  {digest}");
        for line in &proposed.difference {
            let _ = writeln!(text, "  {}", escaped(line));
        }
        let signed: Vec<_> = proposed.votes.iter().map(|vote| format!("{} ({})", vote.principal, vote.role)).collect();
        if !signed.is_empty() {
            let _ = writeln!(text, "  signed by {}", signed.join(", "));
        }
        let _ = writeln!(text, "  {}", standing(proposed));
    }
    for warning in &view.warnings {
        let _ = writeln!(text, "warning: {}", escaped(warning));
    }
    let heading = if view.proposed.is_some() { "In force → proposed" } else { "In force" };
    let _ = write!(text, "\n{heading}\n{}\nWho may do what\n{}", rows_text(&view.rows), may_text(&view.may));
    text
}

/// Whom a proposed policy awaits and who could, or why it never comes in force.
pub(super) fn standing(proposed: &ProposedPolicy) -> String {
    match (&proposed.awaits, &proposed.reason) {
        (Some(awaits), _) if awaits.who.is_empty() => format!("waiting for {}", awaits.text),
        (Some(awaits), _) => format!("waiting for {}: {}", awaits.text, awaits.who.join(", ")),
        (None, Some(reason)) => {
            format!("cannot come in force: {reason}: {}", escaped(proposed.message.as_deref().unwrap_or_default()))
        }
        (None, None) => "waiting for nobody".to_owned(),
    }
}

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyView {
    /// Its version.
    pub version: u32,
    /// The digest of its bytes.
    pub digest: String,
    /// The commit that put it in force.
    pub since: String,
}

impl PolicyView {
    /// The policy in force at a state.
    pub fn of(state: &State) -> Self {
        let policy = state.policy();
        Self {
            version: policy.get().version,
            digest: policy.digest().to_string(),
            since: state.policy_since().to_string(),
        }
    }
}

/// A proposed policy on one line.
pub(super) fn policy_line(proposed: &ProposedPolicy) -> String {
    let version = proposed.version.map(|version| format!(" {version}")).unwrap_or_default();
    let has: Vec<_> = proposed.votes.iter().map(|vote| vote.principal.as_str()).collect();
    let has = if has.is_empty() { String::new() } else { format!("; has {}", has.join(", ")) };
    let changes = match proposed.difference.as_slice() {
        [] => String::new(),
        lines => format!(": {}", escaped(&lines.join("; "))),
    };
    format!("policy{version} is proposed{changes}; {}{has}; see: git two-key show policy", standing(proposed))
}
