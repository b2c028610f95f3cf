//! Something that was signed here and is not on the upstream.

use schemars::JsonSchema;
use serde::Serialize;

/// Something that was signed here and is not on the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unpushed {
    /// What it is, by its name in the trail; `BY_NOTE` for a vote that waits in a note, `PROPOSED` and `POLICY_PROPOSED` for a file.
    pub event: String,
    /// The lease.
    pub lease: Option<String>,
    /// Whose keys; none for what was only proposed.
    pub principals: Vec<String>,
    /// A commit that has it; null for a note.
    pub commit: Option<String>,
}

pub(super) fn unpushed_words(one: &Unpushed) -> String {
    let by = if one.principals.is_empty() { String::new() } else { format!(" by {}", one.principals.join(", ")) };
    format!("NOT PUSHED: {}{by}", one.event)
}
