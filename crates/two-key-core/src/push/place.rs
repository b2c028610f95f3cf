//! Places of refs: which names are governed, and what each stands for.

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::model::{LeaseId, Oid, PrincipalId, refs, text::is_ignorable};

/// What a ref name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefMeaning {
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
    /// Not governed.
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

/// Where stops go besides, each under its commit's id right after this, and perhaps a hyphen and a number: names that nobody can
/// block beforehand, as there are branches and tags anyway.
pub const ASIDE: [&str; 2] = ["refs/heads/two-key-stop-", "refs/tags/two-key-stop-"];

/// The names under which a stop may be beside the governed branch, in the order in which they are tried.
pub fn stop_names(lease: Option<&LeaseId>, stop: Oid) -> Vec<String> {
    let own = refs::of_stop(refs::STOPS, lease, stop);
    std::iter::once(own).chain(ASIDE.map(|start| format!("{start}{stop}"))).collect()
}

/// Further such names, for a stop whose others are known and may be blocked by now: nobody foresees the number.
pub fn unforeseen_stop_names(stop: Oid, number: u64) -> [String; 2] {
    ASIDE.map(|start| format!("{start}{stop}-{number:016x}"))
}

/// The name spaces in which only our own refs may be.
pub const GOVERNED: [&str; 4] = ["refs/two-key", "refs/notes/two-key", "refs/tags/rollout", "refs/replace"];

/// The name spaces in which clones keep what is theirs: what was signed there, what a remote has, what was accepted. In a clone
/// that mirrors all refs, what a server has there would be taken for that.
const OF_CLONES: [&str; 3] = [refs::LOCAL, refs::MIRROR, refs::STATE];

/// Whether a name is one under which clones keep what is theirs.
pub fn is_of_clones(name: &str) -> bool {
    let folded = folded(name);
    OF_CLONES.iter().any(|space| folded.starts_with(space))
}

/// Says what a full ref name stands for. A name that some file system takes for a governed one is foreign.
pub fn place(name: &str, branch: &str) -> RefMeaning {
    if name == branch {
        return RefMeaning::Branch;
    }
    let folded = folded(name);
    if in_the_way(&folded, &self::folded(branch)) {
        return RefMeaning::Foreign;
    }
    if let Some(start) = ASIDE.iter().find(|start| folded.starts_with(**start)) {
        let stop = name.strip_prefix(start).and_then(stop_aside);
        return stop.map_or(RefMeaning::Foreign, |id| RefMeaning::Stop { target: StopTarget::Unnamed, id });
    }
    if !in_governed_space(&folded) {
        return RefMeaning::Other;
    }
    let components: Vec<&str> = name.split('/').collect();
    let known = match components.as_slice() {
        ["refs", "tags", "rollout", lease, suffix] => LeaseId::parse(lease)
            .filter(|_| !suffix.is_empty())
            .map(|lease| RefMeaning::Tag { lease, suffix: (*suffix).to_owned() }),
        ["refs", "notes", "two-key", principal] => PrincipalId::parse(principal).map(RefMeaning::Notes),
        ["refs", "two-key", "appliers", name] => PrincipalId::parse(name).map(RefMeaning::Applier),
        ["refs", "two-key", "stops", target, id] => stop(target, id),
        _ => None,
    };
    known.unwrap_or(RefMeaning::Foreign)
}

/// Whether Git could take a name for a governed one: where `refs/heads/main` or something shorter is pushed to, fetched or
/// read, it looks below `refs/`, tags, heads and remotes (`gitrevisions`), and two that fit are one too many.
pub fn is_taken_for_governed(name: &str, branch: &str) -> bool {
    let spaces = ["refs/", refs::TAGS, refs::HEADS, "refs/remotes/"];
    let short = spaces.iter().filter_map(|space| name.strip_prefix(space));
    let mut short = short.flat_map(|short| [Some(short), short.strip_suffix("/HEAD")]).flatten();
    let is_ref = |name: &str| !matches!(place(name, branch), RefMeaning::Foreign | RefMeaning::Other);
    short.any(|short| {
        let full = ["refs/", refs::TAGS, refs::HEADS].map(|space| format!("{space}{short}"));
        short == "HEAD"
            || place(short, branch) != RefMeaning::Other
            || full.iter().any(|full| full != name && is_ref(full))
    })
}

fn stop(target: &str, id: &str) -> Option<RefMeaning> {
    let target = if target == refs::ALL { StopTarget::All } else { StopTarget::Lease(LeaseId::parse(target)?) };
    Some(RefMeaning::Stop { target, id: Oid::parse(id)? })
}

/// The id of a stop's commit, alone or with a number.
fn stop_aside(rest: &str) -> Option<Oid> {
    let (id, number) = rest.split_once('-').map_or((rest, None), |(id, number)| (id, Some(number)));
    let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fits = number.is_none_or(|number| number.len() == 16 && number.bytes().all(digit));
    Oid::parse(id).filter(|_| fits)
}

/// Whether a ref of one folded name could be taken for one of the other, or keeps it from being there: a name that is a folder
/// of the other's, or lies below it. Before the ledger is founded nothing else keeps its branch's place free.
fn in_the_way(name: &str, of: &str) -> bool {
    let is_folder = |folder: &str, name: &str| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    name == of || is_folder(name, of) || is_folder(of, name)
}

/// Whether a folded name lies in a governed name space, or is the name of one.
fn in_governed_space(folded: &str) -> bool {
    let below = |space: &str| folded.strip_prefix(space).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    GOVERNED.iter().any(|space| below(space))
}

/// A name as the file systems see it that take most names for one: normalized, also by compatibility (as ZFS can be told to),
/// without regard to case, and without the characters that such a comparison leaves out. Refs are files on many servers, so
/// what is equal here may be one ref there, whatever the server's configuration says.
fn folded(name: &str) -> String {
    let components = without_case(name);
    // FAT leaves out dots at a name's end.
    components.split('/').map(|name| name.trim_end_matches('.')).collect::<Vec<_>>().join("/")
}

fn without_case(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let normal = ComposingNormalizerBorrowed::new_nfkc();
    let name = normal.normalize(name);
    let seen = name.chars().filter(|char| !is_ignorable(*char));
    let folded: String = seen.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    normal.normalize(&folded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRANCH: &str = "refs/heads/main";

    #[test]
    fn each_governed_name_has_its_place() {
        let id = "1".repeat(40);
        let lease = LeaseId::parse("L-1").unwrap();
        let stop = |target| RefMeaning::Stop { target, id: Oid::parse(&id).unwrap() };
        assert_eq!(place(BRANCH, BRANCH), RefMeaning::Branch);
        assert_eq!(place(&format!("refs/two-key/stops/L-1/{id}"), BRANCH), stop(StopTarget::Lease(lease.clone())));
        assert_eq!(place(&format!("refs/two-key/stops/_all/{id}"), BRANCH), stop(StopTarget::All));
        for name in [format!("refs/heads/two-key-stop-{id}"), format!("refs/tags/two-key-stop-{id}")] {
            assert_eq!(place(&name, BRANCH), stop(StopTarget::Unnamed), "{name}");
        }
        for target in [None, Some(&lease)] {
            let stop = Oid::parse(&id).unwrap();
            let names = [stop_names(target, stop), unforeseen_stop_names(stop, 1).to_vec()].concat();
            assert!(names.iter().all(|name| matches!(place(name, BRANCH), RefMeaning::Stop { .. })), "{names:?}");
        }
        let tag = RefMeaning::Tag { lease, suffix: "2-promote-25".to_owned() };
        assert_eq!(place("refs/tags/rollout/L-1/2-promote-25", BRANCH), tag);
        assert_eq!(place("refs/notes/two-key/u", BRANCH), RefMeaning::Notes(PrincipalId::parse("u").unwrap()));
        assert_eq!(place("refs/two-key/appliers/e", BRANCH), RefMeaning::Applier(PrincipalId::parse("e").unwrap()));
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
            "refs/two-\u{212a}ey/appliers/e",
            "refs/tag\u{17f}/rollout/L/1-start-5",
            "refs/no\u{200c}tes/two-key/u",
            "refs/two\u{fe63}key/appliers/e",
            "refs/two-key./stops/L-1/x",
            "refs/tags../rollout./L/1-start-5",
            "refs/notes\u{ff0e}/two-key/u",
            "refs/heads/two-key-stop-L-1",
            "refs/heads/two-key-stop-1111111111111111111111111111111111111111-",
            "refs/heads/two-key-stop-1111111111111111111111111111111111111111-000000000000000",
            "refs/heads/two-key-stop-1111111111111111111111111111111111111111-000000000000000G",
            "refs/tags/two-key-stop-1111111111111111111111111111111111111111-0000000000000000/more",
            "refs/two-key/stops/L-1/1111111111111111111111111111111111111111-0000000000000000",
            "refs/heads/Two-Key-Stop-1111111111111111111111111111111111111111",
            "refs/tags/two-key-stop-1111111111111111111111111111111111111111/more",
        ] {
            assert_eq!(place(name, BRANCH), RefMeaning::Foreign, "{name}");
        }
    }

    #[test]
    fn what_a_file_system_takes_for_the_branch_is_foreign() {
        for name in [
            "refs/heads/MAIN",
            "refs/heads./main",
            "refs/heads/Main",
            "refs/Heads/main",
            "refs/heads/ma\u{200d}in",
            "refs/heads/main\u{feff}",
            "refs/head\u{17f}/main",
            "refs/heads/\u{ff4d}ain",
            "refs/heads/ma\u{2071}n",
            "refs/\u{210e}eads/main",
        ] {
            assert_eq!(place(name, BRANCH), RefMeaning::Foreign, "{name}");
        }
        assert_eq!(place("refs/heads/WOR\u{212a}", "refs/heads/work"), RefMeaning::Foreign);
        for (name, branch) in [
            ("refs/heads/main/x", BRANCH),
            ("refs/heads/Main/x/y", BRANCH),
            ("refs/heads/a", "refs/heads/a/b"),
            ("refs/heads/A/B", "refs/heads/a/b/c"),
        ] {
            assert_eq!(place(name, branch), RefMeaning::Foreign, "{name} is in the way of {branch}");
            let [name, branch] = [name, branch].map(|name| format!("{name}2"));
            assert_eq!(place(&name, &branch), RefMeaning::Other, "{name} is in no way of {branch}");
        }
        assert_eq!(place("refs/heads/o\u{fb03}ce", "refs/heads/office"), RefMeaning::Foreign);
        for name in [
            "refs/heads/MAIN-2",
            "refs/heads/.main",
            "refs/heads/main\u{e4}",
            "refs/heads/maın2",
            "refs/heads/m\u{430}in",
        ] {
            assert_eq!(place(name, BRANCH), RefMeaning::Other, "{name}");
        }
    }

    #[test]
    fn names_that_git_takes_for_governed_ones_are_known() {
        let stop = format!("refs/two-key/stops/L-1/{}", "1".repeat(40));
        let governed =
            [BRANCH, &stop, "refs/two-key/appliers/e", "refs/notes/two-key/u", "refs/tags/rollout/L-1/2-promote-25"];
        for name in governed {
            for space in ["refs/", "refs/tags/", "refs/heads/", "refs/remotes/"] {
                for short in [name, &name["refs/".len()..]] {
                    let taken = format!("{space}{short}");
                    assert!(taken == name || is_taken_for_governed(&taken, BRANCH), "{taken}");
                }
            }
            assert!(is_taken_for_governed(&format!("refs/remotes/{name}/HEAD"), BRANCH), "{name}");
        }
        for name in [
            "refs/tags/main",
            "refs/main",
            "refs/remotes/main",
            "refs/heads/HEAD",
            "refs/tags/HEAD",
            "refs/tags/refs/two-key/x",
        ] {
            assert!(is_taken_for_governed(name, BRANCH), "{name}");
        }
        for name in [
            "refs/heads/topic",
            "refs/heads/two-key/topic",
            "refs/heads/rollout/plan",
            "refs/tags/main2",
            "refs/tags/main/x",
            "refs/tags/v1",
            "refs/heads/heads/topic",
            "refs/remotes/origin/main",
            "refs/remotes/origin/HEAD",
            "refs/notes/commits",
            "refs/pull/1/head",
        ] {
            assert!(!is_taken_for_governed(name, BRANCH), "{name}");
        }
    }

    #[test]
    fn other_refs_are_none_of_our_business() {
        for name in ["refs/heads/topic", "refs/heads/main2", "refs/tags/v1", "refs/notes/commits", "refs/tags/rollouts"]
        {
            assert_eq!(place(name, BRANCH), RefMeaning::Other, "{name}");
        }
    }
}
