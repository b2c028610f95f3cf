//! Rights under a policy: who may do what, target by target, in words.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{
    PrincipalId,
    policy::{AllAtOnce, Deliberate, Hardware, Policy, Rule, SeparateProposer, Target},
};

use super::words::{all_of, table};

/// Something that somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MayRow {
    /// On which target; null for all that have no rules of their own, and for what is about no target.
    pub target: Option<String>,
    /// What.
    pub what: String,
    /// Whose keys it takes.
    pub who: String,
}

/// Who may do what.
pub(super) fn may(policy: &Policy) -> Vec<MayRow> {
    let mut rows = Vec::new();
    let mut row =
        |target: Option<String>, what: &str, who: String| rows.push(MayRow { target, what: what.to_owned(), who });
    let one = || "a human or an agent".to_owned();
    let (cosign, promote, change) = (&policy.rules.cosign, &policy.rules.promote, &policy.rules.policy);
    row(None, "authorize", words(cosign));
    row(None, &format!("start up to {} %", policy.start_up_to), one());
    row(None, "start above, promote, resume", words(promote));
    if policy.delegable_up_to > 0 {
        let what = format!("promote up to {} %, as far as a lease lets an agent alone", policy.delegable_up_to);
        row(None, &what, "an agent".to_owned());
    }
    if policy.targets.values().any(|target| !target.windows.is_empty()) || !policy.windows.is_empty() {
        row(None, "start, promote, resume outside the windows", "as to promote, and one more human".to_owned());
    }
    for (id, target) in &policy.targets {
        for (what, who) in own(policy, target) {
            row(Some(id.to_string()), &what, who);
        }
    }
    row(None, "complete, freeze", one());
    row(None, "pause, halt, roll back, withdraw", "any one key; an applier's for its own targets".to_owned());
    row(None, "thaw", words(promote));
    row(None, "revoke a key", "that key; a human for an agent's or an applier's".to_owned());
    row(None, "change the policy", format!("{}; or {}", words(change), instead(change)));
    rows
}

/// What a target has for itself.
fn own(policy: &Policy, target: &Target) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    rows.extend(target.rules.cosign.as_ref().map(|rule| ("authorize".to_owned(), words(rule))));
    let promote = target.rules.promote.as_ref();
    rows.extend(promote.map(|rule| ("start above, promote, resume".to_owned(), words(rule))));
    if target.all_at_once == AllAtOnce::Allowed {
        rows.push(("start at 100 % at once".to_owned(), words(promote.unwrap_or(&policy.rules.promote))));
    }
    rows
}

/// The humans who may change the policy without an agent: `2 humans, 1 of sre among them`.
pub fn instead(rule: &Rule) -> String {
    humans(rule, rule.human.max(2))
}

fn many(number: u8, article: &str, what: &str) -> String {
    match number {
        1 => format!("{article} {what}"),
        number => format!("{number} {what}s"),
    }
}

fn of(names: Option<&std::collections::BTreeSet<PrincipalId>>) -> String {
    let names = names.into_iter().flatten().map(PrincipalId::as_str).collect::<Vec<_>>().join(", ");
    if names.is_empty() { names } else { format!(" ({names})") }
}

/// So many humans, with whom a rule wants among them.
fn humans(rule: &Rule, number: u8) -> String {
    let humans = many(number, "a", "human") + &of(rule.humans.as_ref());
    let groups: Vec<_> = rule.from.iter().map(|from| format!("{} of {}", from.count, from.group)).collect();
    if groups.is_empty() {
        return humans;
    }
    format!("{humans}, {} among them", all_of(&groups.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// `2 humans, 1 of pay-leads and 1 of sre among them, and an agent (cp14)`.
fn words(rule: &Rule) -> String {
    let mut humans = humans(rule, rule.human);
    if !rule.from.is_empty() {
        humans.push(',');
    }
    let agents = many(rule.agent, "an", "agent") + &of(rule.agents.as_ref());
    let mut parts = Vec::new();
    parts.extend((rule.human > 0).then_some(humans));
    parts.extend((rule.agent > 0).then_some(agents));
    let mut text = all_of(&parts.iter().map(String::as_str).collect::<Vec<_>>());
    for (asked, what) in [
        (rule.hardware == Hardware::Presence, "humans by hardware keys"),
        (rule.hardware == Hardware::Verified, "humans by hardware keys that checked who it was"),
        (rule.deliberate == Deliberate::Required, "by deliberate signatures"),
        (rule.separate_proposer == SeparateProposer::Required, "not the proposer"),
    ] {
        if asked {
            text = format!("{text}; {what}");
        }
    }
    text
}

/// The same as a table.
pub(super) fn may_text(rows: &[MayRow]) -> String {
    let row =
        |row: &MayRow| vec![row.target.clone().unwrap_or_else(|| "*".to_owned()), row.what.clone(), row.who.clone()];
    table(&["TARGET", "WHAT", "WHOSE KEYS"], &rows.iter().map(row).collect::<Vec<_>>())
}
