//! Allowed signers: the file by which Git's own commands check signatures, where this clone's configuration names ours.
//!
//! Its first line says of what ledger it was made, so that only the steps since are looked at: as long as they bring no policy and
//! revoke no key, and no vote in them is dated before what the list was made of, every key's validity is what it was.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Failure, session::Session};
use crate::{
    git::Repository,
    ledger::StepReport,
    model::{Digest, Reason},
    report,
};

/// The setting that names the file.
const SETTING: &str = "gpg.ssh.allowedSignersFile";

/// What a list was made of, and its own digest.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    steps: usize,
    /// The latest time that anything in them claims.
    newest: i64,
    policy: Digest,
    revoked: usize,
    list: Digest,
}

impl Origin {
    /// The first line of a file.
    fn line(&self) -> String {
        let Self { steps, newest, policy, revoked, list } = self;
        format!("# made of {steps} steps until {newest} with policy {policy} and {revoked} keys revoked: {list}\n")
    }

    /// The same, read.
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        let [
            "#",
            "made",
            "of",
            steps,
            "steps",
            "until",
            newest,
            "with",
            "policy",
            policy,
            "and",
            revoked,
            "keys",
            "revoked:",
            list,
        ] = words.as_slice()
        else {
            return None;
        };
        Some(Self {
            steps: steps.parse().ok()?,
            newest: newest.parse().ok()?,
            policy: Digest::parse(policy)?,
            revoked: revoked.parse().ok()?,
            list: Digest::parse(list)?,
        })
    }
}

/// A file's first line, if it says of what the rest was made, and the rest.
fn parts(text: &str) -> (Option<Origin>, &str) {
    let (line, list) = text.split_once('\n').unwrap_or((text, ""));
    Origin::read(line).map_or((None, text), |origin| (Some(origin), list))
}

/// Where the file is.
fn file(repo: &Repository) -> PathBuf {
    repo.common_dir().join("two-key/allowed_signers")
}

/// What the file should say, where Git reads it here and it lacks what changed since it was written.
pub(super) fn stale(session: &Session) -> Result<Option<String>, Failure> {
    let file = file(&session.repo);
    if session.repo.config(SETTING)?.is_none_or(|named| Path::new(&named) != file) {
        return Ok(None);
    }
    let known = fs::read_to_string(&file).unwrap_or_default();
    if let (Some(origin), list) = parts(&known)
        && Digest::of(list.as_bytes()) == origin.list
        && still_holds(session, &origin)
    {
        return Ok(None);
    }
    let text = text(session);
    Ok(Some(text).filter(|text| parts(text).1 != parts(&known).1))
}

/// Whether nothing since changed whose key counts when.
fn still_holds(session: &Session, origin: &Origin) -> bool {
    let state = &session.state;
    let Some(new) = session.past.len().checked_sub(origin.steps) else { return false };
    let is_later = |report: &StepReport| claims(report).all(|claimed| claimed >= origin.newest);
    state.policy().digest() == origin.policy
        && state.revoked().len() == origin.revoked
        && session.past.last(new).iter().all(is_later)
}

/// The times that a step and its votes claim.
fn claims(report: &StepReport) -> impl Iterator<Item = i64> {
    let votes = report.events.iter().flat_map(|event| &event.votes).filter_map(|vote| vote.claimed_time);
    votes.chain([report.claimed_time])
}

/// Every key that ever was in force, with its validity, after what that was made of.
pub(super) fn text(session: &Session) -> String {
    let steps = session.past.all();
    let list = report::allowed_signers(&session.state, &steps) + "\n";
    let origin = Origin {
        steps: steps.len(),
        newest: steps.iter().flat_map(claims).max().unwrap_or(i64::MIN),
        policy: session.state.policy().digest(),
        revoked: session.state.revoked().len(),
        list: Digest::of(list.as_bytes()),
    };
    origin.line() + &list
}

/// Writes the file, and has Git read it.
pub(super) fn write(repo: &Repository, text: &str) -> Result<(), Failure> {
    let file = file(repo);
    let failed = |error| Failure::undecided(Reason::Io, format!("writing {}: {error}", file.display()));
    fs::create_dir_all(file.parent().unwrap_or(&file)).map_err(failed)?;
    fs::write(&file, text).map_err(failed)?;
    Ok(repo.set_config(SETTING, &file.display().to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_of_what_it_was_made() {
        let origin = Origin { steps: 7, newest: -3, policy: Digest::of(b"a"), revoked: 1, list: Digest::of(b"list\n") };
        let text = origin.line() + "list\n";
        assert_eq!(parts(&text), (Some(origin), "list\n"));
        for other in ["", "list\n", "# a note\nlist\n", &text.replace("7 steps", "x steps"), &text.replace(" keys", "")]
        {
            assert_eq!(parts(other), (None, other));
        }
    }
}
