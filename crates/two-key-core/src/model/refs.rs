//! Ref names: where the refs of a ledger are, on servers and in clones.

use super::{LeaseId, Oid};

/// Below this are branches.
pub const HEADS: &str = "refs/heads/";
/// Below this are tags.
pub const TAGS: &str = "refs/tags/";
/// Below this are votes by note, a ref for each principal.
pub const NOTES: &str = "refs/notes/two-key/";
/// Below this are the stops that the governed branch would not have, or may not have yet.
pub const STOPS: &str = "refs/two-key/stops/";
/// Below this are the records of appliers, a ref for each.
pub const APPLIERS: &str = "refs/two-key/appliers/";
/// Below this a clone keeps what a remote has, apart from its branches, which go to `refs/remotes/`.
pub const MIRROR: &str = "refs/two-key-remote/";
/// Below this a clone keeps what was signed there until a remote has it.
pub const LOCAL: &str = "refs/two-key-local/";
/// Below this are votes of those.
pub const SIGNED_VOTES: &str = "refs/two-key-local/votes/";
/// Below this are votes of those that count nowhere any more.
pub const LEFT_OUT: &str = "refs/two-key-local/left-out/";
/// Below this are stops of those.
pub const SIGNED_STOPS: &str = "refs/two-key-local/stops/";
/// Below this an applier or agent keeps which tip it has accepted.
pub const STATE: &str = "refs/two-key-state/";
/// What stands for a lease in the name of a stop that is of none: a freeze.
pub const ALL: &str = "_all";

/// A full name without `refs/heads/` or `refs/tags/`.
pub fn short(name: &str) -> &str {
    [HEADS, TAGS].iter().find_map(|space| name.strip_prefix(space)).unwrap_or(name)
}

/// The full name of a transition's tag, of which the ledger gives the end.
pub fn rollout_tag(lease: &LeaseId, suffix: &str) -> String {
    format!("{TAGS}rollout/{lease}/{suffix}")
}

/// The name of a stop of a lease, or of all, below a name space.
pub fn of_stop(space: &str, lease: Option<&LeaseId>, stop: Oid) -> String {
    format!("{space}{}/{stop}", lease.map_or(ALL, LeaseId::as_str))
}

/// A name space without its last slash, as Git lists what is below it.
pub fn space(space: &str) -> &str {
    space.trim_end_matches('/')
}
