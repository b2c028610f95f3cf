//! Who may do what under a policy, target by target, in words.

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
    for (id, target) in &policy.targets {
        for (what, who) in own(policy, target) {
            row(Some(id.to_string()), &what, who);
        }
    }
    row(None, "complete, freeze", one());
    row(None, "pause, halt, roll back, withdraw", "any one key; an applier's for its own targets".to_owned());
    row(None, "thaw", words(promote));
    row(None, "change the policy", format!("{}; or {} humans", words(change), change.human.max(2)));
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

/// `2 humans, 1 of pay-leads and 1 of sre among them, and an agent (cp14)`.
fn words(rule: &Rule) -> String {
    let many = |number: u8, article: &str, what: &str| match number {
        1 => format!("{article} {what}"),
        number => format!("{number} {what}s"),
    };
    let of = |names: &Option<std::collections::BTreeSet<PrincipalId>>| {
        let names = names.iter().flatten().map(PrincipalId::as_str).collect::<Vec<_>>().join(", ");
        if names.is_empty() { names } else { format!(" ({names})") }
    };
    let mut humans = many(rule.human, "a", "human") + &of(&rule.humans);
    let groups: Vec<_> = rule.from.iter().map(|from| format!("{} of {}", from.count, from.group)).collect();
    if !groups.is_empty() {
        humans = format!("{humans}, {} among them,", all_of(&groups.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    let agents = many(rule.agent, "an", "agent") + &of(&rule.agents);
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
