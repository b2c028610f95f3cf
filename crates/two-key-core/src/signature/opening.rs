//! Opening of raw commits: each is ordinary, malformed or a carrier of votes.

use super::{CommitBytes, MAX_HELD, ObjectFormat, Opened, carrier, commit::git_signature, inner::check_ahead};

/// Says what a commit is. Needs no policy, and never fails: whatever is not a carrier in the strict form is ordinary
/// or malformed. That a carrier's tree is its parent's is for the caller to check, who has the parent.
pub fn open_commit(raw: &[u8], format: ObjectFormat) -> Opened {
    if !carrier::has_statement_line(raw) {
        let signature = if raw.len() > MAX_HELD { None } else { git_signature(raw, format) };
        return Opened::Ordinary { signature };
    }
    carrier::read(raw, format).unwrap_or_else(Opened::Malformed)
}

/// Says of each of some commits what it is, as [`open_commit`] does, and checks the signatures of many at once, which costs less
/// each.
pub fn open_commits(commits: &[CommitBytes], format: ObjectFormat) -> Vec<Opened> {
    let open = |commit: &CommitBytes| match commit {
        CommitBytes::Whole(raw) => open_commit(raw, format),
        CommitBytes::Large(large) => large.opened(),
    };
    let opened: Vec<Opened> = commits.iter().map(open).collect();
    check_ahead(opened.iter().filter_map(|opened| match opened {
        Opened::Ordinary { signature } => signature.as_ref().map(|signature| &signature.claim),
        Opened::Carrier { own, .. } => own.as_ref()?.claim(),
        Opened::Malformed(_) => None,
    }));
    opened
}
