//! Ref names: which are governed, and what each stands for.

use crate::model::{LeaseId, Oid, PrincipalId};

/// What a ref name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The governed branch: the ledger.
    Branch,
    /// `refs/tags/rollout/<LEASE>/<suffix>`.
    Tag {
        /// The lease.
        lease: LeaseId,
        /// The step, the action and perhaps the tier.
        suffix: String,
    },
    /// `refs/notes/two-key/<principal>`.
    Notes(PrincipalId),
    /// `refs/two-key/stops/<LEASE>/<commit id>`, or aside.
    Stop {
        /// What is stopped.
        target: StopTarget,
        /// The commit that the name names.
        id: Oid,
    },
    /// `refs/two-key/appliers/<name>`.
    Applier(PrincipalId),
    /// In a governed name space, and none of the above.
    Foreign,
    /// None of our business.
    Other,
}

/// What a stop ref stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopTarget {
    /// One lease.
    Lease(LeaseId),
    /// Everything: a freeze, under `_all`.
    All,
    /// What its commit says: the stop of a lease, or a freeze.
    Unnamed,
}

/// Where stops go besides, each under its commit's id right after this: names that nobody can block beforehand, as there are
/// branches and tags anyway.
pub const ASIDE: [&str; 2] = ["refs/heads/two-key-stop-", "refs/tags/two-key-stop-"];

/// The names under which a stop may be beside the governed branch, in the order in which they are tried.
pub fn stop_names(lease: Option<&LeaseId>, stop: Oid) -> Vec<String> {
    let own = format!("refs/two-key/stops/{}/{stop}", lease.map_or("_all", LeaseId::as_str));
    std::iter::once(own).chain(ASIDE.map(|start| format!("{start}{stop}"))).collect()
}

/// The name spaces in which only our own refs may be.
pub const GOVERNED: [&str; 4] = ["refs/two-key", "refs/notes/two-key", "refs/tags/rollout", "refs/replace"];

/// Says what a full ref name stands for.
pub fn place(name: &str, branch: &str) -> Place {
    if name == branch {
        return Place::Branch;
    }
    if let Some(start) = ASIDE.iter().find(|start| begins(name, start)) {
        let stop = name.strip_prefix(start).and_then(Oid::parse);
        return stop.map_or(Place::Foreign, |id| Place::Stop { target: StopTarget::Unnamed, id });
    }
    if !in_governed_space(name) {
        return Place::Other;
    }
    let components: Vec<&str> = name.split('/').collect();
    let known = match components.as_slice() {
        ["refs", "tags", "rollout", lease, suffix] => LeaseId::parse(lease)
            .filter(|_| !suffix.is_empty())
            .map(|lease| Place::Tag { lease, suffix: (*suffix).to_owned() }),
        ["refs", "notes", "two-key", principal] => PrincipalId::parse(principal).map(Place::Notes),
        ["refs", "two-key", "appliers", name] => PrincipalId::parse(name).map(Place::Applier),
        ["refs", "two-key", "stops", target, id] => stop(target, id),
        _ => None,
    };
    known.unwrap_or(Place::Foreign)
}

fn stop(target: &str, id: &str) -> Option<Place> {
    let target = if target == "_all" { StopTarget::All } else { StopTarget::Lease(LeaseId::parse(target)?) };
    Some(Place::Stop { target, id: Oid::parse(id)? })
}

/// Whether a name lies in a governed name space, or is the name of one. Case is folded: on some file systems names
/// that differ in case alone are one ref.
fn in_governed_space(name: &str) -> bool {
    GOVERNED.iter().any(|space| begins(name, space) && matches!(name.as_bytes().get(space.len()), None | Some(b'/')))
}

/// Whether a name begins so, in whatever case.
fn begins(name: &str, start: &str) -> bool {
    name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRANCH: &str = "refs/heads/main";

    #[test]
    fn each_governed_name_has_its_place() {
        let id = "1".repeat(40);
        let lease = LeaseId::parse("L-1").unwrap();
        let stop = |target| Place::Stop { target, id: Oid::parse(&id).unwrap() };
        assert_eq!(place(BRANCH, BRANCH), Place::Branch);
        assert_eq!(place(&format!("refs/two-key/stops/L-1/{id}"), BRANCH), stop(StopTarget::Lease(lease.clone())));
        assert_eq!(place(&format!("refs/two-key/stops/_all/{id}"), BRANCH), stop(StopTarget::All));
        for name in [format!("refs/heads/two-key-stop-{id}"), format!("refs/tags/two-key-stop-{id}")] {
            assert_eq!(place(&name, BRANCH), stop(StopTarget::Unnamed), "{name}");
        }
        for target in [None, Some(&lease)] {
            let names = stop_names(target, Oid::parse(&id).unwrap());
            assert!(names.iter().all(|name| matches!(place(name, BRANCH), Place::Stop { .. })), "{names:?}");
        }
        let tag = Place::Tag { lease, suffix: "2-promote-25".to_owned() };
        assert_eq!(place("refs/tags/rollout/L-1/2-promote-25", BRANCH), tag);
        assert_eq!(place("refs/notes/two-key/u", BRANCH), Place::Notes(PrincipalId::parse("u").unwrap()));
        assert_eq!(place("refs/two-key/appliers/e", BRANCH), Place::Applier(PrincipalId::parse("e").unwrap()));
    }

    #[test]
    fn the_rest_of_the_governed_name_spaces_is_foreign() {
        for name in [
            "refs/two-key",
            "refs/two-key/other",
            "refs/two-key/stops/L-1/notanid",
            "refs/two-key/stops/L-1/1111111111111111111111111111111111111111/more",
            "refs/two-key/appliers/a/b",
            "refs/notes/two-key",
            "refs/notes/two-key/a/b",
            "refs/notes/two-key/-a",
            "refs/tags/rollout",
            "refs/tags/rollout/L-1",
            "refs/tags/rollout/-L/1-start-5",
            "refs/tags/rollout/L/1-start-5/x",
            "refs/replace/1111111111111111111111111111111111111111",
            "refs/Two-Key/appliers/e",
            "refs/heads/two-key-stop-L-1",
            "refs/heads/Two-Key-Stop-1111111111111111111111111111111111111111",
            "refs/tags/two-key-stop-1111111111111111111111111111111111111111/more",
        ] {
            assert_eq!(place(name, BRANCH), Place::Foreign, "{name}");
        }
    }

    #[test]
    fn other_refs_are_none_of_our_business() {
        for name in ["refs/heads/topic", "refs/heads/main2", "refs/tags/v1", "refs/notes/commits", "refs/tags/rollouts"]
        {
            assert_eq!(place(name, BRANCH), Place::Other, "{name}");
        }
    }
}
