//! Remotes: exactly the governed refs are fetched, into names where they overwrite nothing of ours.

use super::{GitError, Repository};
use crate::model::{Digest, Oid, PrincipalId};

/// Where a remote's governed refs are kept, apart from its branches, which go to `refs/remotes/`.
pub const MIRROR: &str = "refs/two-key-remote/";

/// A child of ours must not leave a background process behind.
const NO_BACKGROUND: [&str; 4] = ["-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false"];

/// How to push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// All refs or none.
    pub atomic: bool,
    /// Refs that must be where they were last seen, or not be there (`None`).
    pub expected: Vec<(String, Option<Oid>)>,
    /// Push options, which the remote's hook reads.
    pub options: Vec<String>,
}

/// What became of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushOutcome {
    /// Refs that the remote took, or had already.
    pub accepted: Vec<String>,
    /// Refs that it did not take, with its reason.
    pub rejected: Vec<(String, String)>,
    /// What the remote said, such as its hook's refusals.
    pub remote: Vec<String>,
}

impl PushOutcome {
    /// Whether the remote took everything.
    pub fn is_accepted(&self) -> bool {
        self.rejected.is_empty()
    }
}

/// The name under which a remote's refs are kept: its own, if that is one, else a digest of its address.
fn place(remote: &str) -> String {
    // Ids and components of ref names have one shape.
    if let Some(name) = PrincipalId::parse(remote) {
        return name.as_str().to_owned();
    }
    let digest = Digest::of(remote.as_bytes()).to_string();
    digest.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}

/// Where a remote's ref is kept here after a fetch.
pub fn mirrored(remote: &str, name: &str) -> String {
    let place = place(remote);
    match (name.strip_prefix("refs/heads/"), name.strip_prefix("refs/")) {
        (Some(branch), _) => format!("refs/remotes/{place}/{branch}"),
        (None, rest) => format!("{MIRROR}{place}/{}", rest.unwrap_or(name)),
    }
}

impl Repository {
    /// Fetches exactly the governed refs. What is kept here of a remote follows it, rewinds and all: whether it may
    /// is for the reader to say. Refs that are gone from the remote stay.
    pub fn fetch(&self, remote: &str, branch: &str) -> Result<(), GitError> {
        let names = [&format!("refs/heads/{branch}"), "refs/tags/rollout/*", "refs/notes/two-key/*", "refs/two-key/*"];
        let refspecs = names.map(|name| format!("+{name}:{}", mirrored(remote, name)));
        let options = ["--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules"];
        // An empty refmap keeps the configured refspecs out.
        let program = self.git().args(NO_BACKGROUND).arg("fetch").args(options).args(["--refmap=", "--", remote]);
        self.limited(program.args(refspecs)).bytes().map(drop)
    }

    /// The refs that a remote has under some patterns (`refs/two-key/*`), as it says itself.
    pub fn ls_remote(&self, remote: &str, patterns: &[&str]) -> Result<Vec<(String, Oid)>, GitError> {
        let program = self.run(&["ls-remote", "--quiet", "--refs", "--", remote]).args(patterns);
        let text = self.limited(program).text()?;
        let refs = text.lines().filter_map(|line| {
            let (id, name) = line.split_once('\t')?;
            Some((name.to_owned(), Oid::parse(id).filter(|id| self.fits(*id))?))
        });
        // Git matches patterns at the end of names; ours are meant from the beginning.
        let wanted = |name: &str| {
            patterns.is_empty()
                || patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => name == *pattern,
                })
        };
        Ok(refs.filter(|(name, _)| wanted(name)).collect())
    }

    /// The names of the configured remotes.
    pub fn remotes(&self) -> Result<Vec<String>, GitError> {
        Ok(self.run(&["remote"]).text()?.lines().map(str::to_owned).collect())
    }

    /// Pushes refspecs. A refusal is an outcome; only a push that did not get to an answer is an error.
    pub fn push(&self, remote: &str, refspecs: &[String], options: &PushOptions) -> Result<PushOutcome, GitError> {
        let mut program = self.git().args(NO_BACKGROUND).args(["push", "--porcelain", "--no-follow-tags"]);
        program = program.arg("--recurse-submodules=no");
        if options.atomic {
            program = program.arg("--atomic");
        }
        for (name, expected) in &options.expected {
            let expected = expected.map(|id| id.to_string()).unwrap_or_default();
            program = program.arg(format!("--force-with-lease={name}:{expected}"));
        }
        for option in &options.options {
            program = program.arg(format!("--push-option={option}"));
        }
        let program = self.limited(program.args(["--", remote]).args(refspecs));
        let command = program.line();
        let output = program.output()?;
        let mut outcome = PushOutcome::default();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            // `<flag>\t<from>:<to>\t<summary> (<reason>)`
            let mut fields = line.splitn(3, '\t');
            let (Some(flag), Some(refs), Some(summary)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let name = refs.rsplit_once(':').map_or(refs, |(_, to)| to).to_owned();
            if flag == "!" {
                outcome.rejected.push((name, summary.to_owned()));
            } else {
                outcome.accepted.push(name);
            }
        }
        let said = output.stderr.lines().filter_map(|line| line.strip_prefix("remote:"));
        outcome.remote = said.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        if output.status.success() || !outcome.rejected.is_empty() {
            Ok(outcome)
        } else {
            Err(GitError::Program { command, stderr: output.stderr })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remotes_refs_are_kept_apart_from_ours() {
        assert_eq!(mirrored("origin", "refs/heads/main"), "refs/remotes/origin/main");
        assert_eq!(mirrored("origin", "refs/two-key/stops/A/b"), "refs/two-key-remote/origin/two-key/stops/A/b");
        assert_eq!(mirrored("origin", "refs/notes/two-key/*"), "refs/two-key-remote/origin/notes/two-key/*");
        let url = mirrored("https://git.example/x.git", "refs/two-key/x");
        assert!(url.starts_with(MIRROR) && !url.contains(".git") && url.ends_with("/two-key/x"), "{url}");
        assert_ne!(url, mirrored("https://git.example/y.git", "refs/two-key/x"));
    }
}
