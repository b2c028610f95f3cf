//! Remotes: what they have, and pushing to them.

use super::{GitError, Repository, mirror::NO_BACKGROUND, outgoing::Outgoing};
use crate::model::Oid;

/// Whether the `pre-push` hook of this clone has a say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PrePush {
    /// It has.
    #[default]
    Asked,
    /// It has not: a stop waits for nobody's tests.
    PassedOver,
}

/// A push is what its refspecs and options say, whatever somebody's own settings add: options of theirs, which not every
/// server takes, and colours in the server's words.
const AS_ASKED: [&str; 4] = ["-c", "push.pushOption=", "-c", "color.remote=false"];

/// How to push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// All refs or none.
    pub atomic: bool,
    /// Refs that must be where they were last seen, or not be there (`None`).
    pub expected: Vec<(String, Option<Oid>)>,
    /// Push options, which the remote's hook reads.
    pub options: Vec<String>,
    /// Whether the hook here is asked.
    pub pre_push: PrePush,
}

impl PushOptions {
    /// For stops.
    pub fn of_a_stop() -> Self {
        Self { pre_push: PrePush::PassedOver, ..Self::default() }
    }
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

impl Repository {
    /// The refs that a remote has under some patterns (`refs/two-key/*`), as it says itself. Names that are not UTF-8 are not
    /// ours and are left out.
    pub fn ls_remote(&self, remote: &str, patterns: &[&str]) -> Result<Vec<(String, Oid)>, GitError> {
        let program = self.run(&["ls-remote", "--quiet", "--refs", "--", remote]).args(patterns);
        let lines = self.limited(program).lines().map_err(|error| error.of_remote(remote))?;
        let refs = lines.iter().filter_map(|line| {
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

    /// The commit that a branch or tag of a remote is on, annotated tags peeled; a tag goes before a branch of the same name.
    pub fn remote_revision(&self, remote: &str, name: &str) -> Result<Option<Oid>, GitError> {
        let tag = name.strip_prefix("refs/tags/").unwrap_or(name);
        let branch = name.strip_prefix("refs/heads/").unwrap_or(name);
        let wanted = [format!("refs/tags/{tag}^{{}}"), format!("refs/tags/{tag}"), format!("refs/heads/{branch}")];
        let program = self.run(&["ls-remote", "--quiet", "--", remote]).args(&wanted);
        let lines = self.limited(program).lines().map_err(|error| error.of_remote(remote))?;
        let there =
            |wanted: &String| lines.iter().find_map(|line| line.strip_suffix(wanted.as_str())?.strip_suffix('\t'));
        Ok(wanted.iter().find_map(there).and_then(Oid::parse))
    }

    /// The names of the configured remotes.
    pub fn remotes(&self) -> Result<Vec<String>, GitError> {
        self.run(&["remote"]).lines()
    }

    /// Pushes refspecs `<what>:<full name>`, or `:<full name>` to delete. A refusal is an outcome; only a push that did not get to an answer is an error.
    pub fn push(&self, remote: &str, refspecs: &[String], options: &PushOptions) -> Result<PushOutcome, GitError> {
        let outgoing = Outgoing::of(self, refspecs)?;
        let mut program = outgoing.seen_by(self.git()).args(NO_BACKGROUND).args(AS_ASKED);
        // What `git clone --mirror` sets takes no refspecs, and would delete there what is not here. A path or an address has no
        // such settings.
        if !remote.starts_with('/') && !remote.contains([':', '=']) {
            program = program.arg("-c").arg(format!("remote.{remote}.mirror=false"));
        }
        // Of what the user's configuration adds to each push nothing goes along: it could be refused, and ours with it.
        program = program.args(["push", "--porcelain", "--no-follow-tags", "--no-signed", "--recurse-submodules=no"]);
        if options.pre_push == PrePush::PassedOver {
            program = program.arg("--no-verify");
        }
        if options.atomic {
            program = program.arg("--atomic");
        }
        for (name, expected) in &options.expected {
            // Without an id it says that there must be no such ref yet.
            let expected = expected.map(|id| id.to_string()).unwrap_or_default();
            program = program.arg(format!("--force-with-lease={name}:{expected}"));
        }
        for option in &options.options {
            program = program.arg(format!("--push-option={option}"));
        }
        let program = self.limited(program.args(["--", remote]).args(outgoing.refspecs()));
        let command = program.line();
        let output = program.output().map_err(|error| error.of_remote(remote))?;
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
        let words = |line: &str| line.strip_prefix("remote:").map(|line| line.trim().to_owned());
        outcome.remote = output.stderr.lines().filter_map(words).filter(|line| !line.is_empty()).collect();
        // A hook may end the connection before Git says what becomes of each ref; its verdict is an answer all the same.
        let of_a_hook: Vec<_> = verdict_lines(&output.stderr).collect();
        if !output.status.success() && outcome.rejected.is_empty() && !of_a_hook.is_empty() {
            let names = refspecs.iter().map(|refspec| refspec.rsplit_once(':').map_or(refspec.as_str(), |(_, to)| to));
            outcome.rejected = names.map(|name| (name.to_owned(), "refused by the server's hook".to_owned())).collect();
            outcome.accepted.clear();
            outcome.remote = of_a_hook;
        }
        if output.status.success() || !outcome.rejected.is_empty() {
            Ok(outcome)
        } else {
            Err(GitError::Program { command, stderr: output.stderr }.of_remote(remote))
        }
    }
}

/// The verdict of a hook of this program among what was said, with its hint.
fn verdict_lines(stderr: &str) -> impl Iterator<Item = String> {
    let lines = stderr.lines().map(|line| line.strip_prefix("remote:").unwrap_or(line).trim());
    let verdict = lines.skip_while(|line| !line.starts_with("two-key: refused "));
    verdict.take_while(|line| line.starts_with("two-key: ") || line.starts_with("hint: ")).map(str::to_owned)
}
