//! Unpushed things: signed here, and not on the upstream.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{Event, EventKind, GovernanceChange},
    model::Action,
};

use super::words::escaped;

/// Something that was signed here and is not on the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unpushed {
    /// What it is, by its name in the trail; `BY_NOTE` for a vote that waits in a note, `PROPOSED` and `POLICY_PROPOSED` for a file.
    pub event: String,
    /// The same in words: `promotion to 25 %`.
    pub what: String,
    /// The lease.
    pub lease: Option<String>,
    /// Whose keys; none for what was only proposed.
    pub principals: Vec<String>,
    /// A commit that has it; null for a note.
    pub commit: Option<String>,
    /// The remotes that have it as a stop beside the branch: appliers that fetch from there obey it.
    pub beside: Vec<String>,
}

/// What an event is, as people speak of it.
pub fn event_words(event: &Event) -> String {
    let to = |words: &str| event.tier.map_or(words.to_owned(), |tier| format!("{words} {tier} %"));
    match (event.event, event.change.as_deref()) {
        (EventKind::Cosigned, _) => "signature".to_owned(),
        (EventKind::Voted, _) => match event.action {
            Some(Action::Policy) => "vote for a policy".to_owned(),
            Some(Action::Thaw) => "vote to end the freeze".to_owned(),
            Some(action @ Action::Promote) => format!("vote to {}", to(&format!("{action} to"))),
            Some(action) => format!("vote to {action}"),
            None => "vote".to_owned(),
        },
        (EventKind::Started, _) => to("start at"),
        (EventKind::Paused, _) => "pause".to_owned(),
        (EventKind::Resumed, _) => "resumption".to_owned(),
        (EventKind::Halted, _) => "halt".to_owned(),
        (EventKind::CanaryPromoted, _) => to("promotion to"),
        (EventKind::Completed, _) => "completion".to_owned(),
        (EventKind::RolledBack, _) => "rollback".to_owned(),
        (EventKind::Withdrawn, _) => "withdrawal".to_owned(),
        (EventKind::PolicyChanged, Some(GovernanceChange::Policy { to, .. })) => {
            format!("policy version {}", to.get().version)
        }
        (EventKind::KeyRevoked, Some(GovernanceChange::Revoked { principal, .. })) => {
            format!("revocation of {principal}'s key")
        }
        (EventKind::Frozen, _) => "freeze".to_owned(),
        (EventKind::Thawed, _) => "end of the freeze".to_owned(),
        (other, _) => other.name().to_owned(),
    }
}

impl Unpushed {
    /// Whether a remote has it all the same.
    pub(super) fn is_beside(&self) -> bool {
        !self.beside.is_empty()
    }
}

pub(super) fn unpushed_words(one: &Unpushed) -> String {
    let by = if one.principals.is_empty() { String::new() } else { format!(" ({})", one.principals.join(", ")) };
    let what = format!("{}{by}", escaped(&one.what));
    if one.is_beside() {
        let (at, have) = (one.beside.join(", "), if one.beside.len() == 1 { "has" } else { "have" });
        return format!("NOT ON THE BRANCH: {what}; {at} {have} it as a stop of its own, which appliers obey");
    }
    format!("NOT PUSHED: {what}")
}
