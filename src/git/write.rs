//! New objects: commits, tags, trees and files, made without touching worktree or index.

use std::io::Write as _;

use super::{GitError, RefUpdate, Repository, SigningKey, command::Program};
use crate::{
    ledger::Transition,
    model::{CLOCK_TOLERANCE, LeaseId, Oid, refs},
};

/// The variable with which Git is told another time than the clock's.
const DATE: &str = "GIT_COMMITTER_DATE";

/// With what a commit is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignWith<'a> {
    /// With nothing.
    Nobody,
    /// With the user's own Git configuration (`user.signingkey`, `gpg.ssh.defaultKeyCommand`), as an SSH signature.
    GitDefault,
    /// With a key. Minisign keys cannot sign commits.
    Key(&'a SigningKey),
}

/// A commit to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewCommit<'a> {
    /// Its tree.
    pub tree: Oid,
    /// Its parents, in order.
    pub parents: &'a [Oid],
    /// Its message.
    pub message: &'a str,
    /// What signs it.
    pub sign: SignWith<'a>,
    /// Whose name it bears if Git knows none: a principal's.
    pub who: &'a str,
}

/// Author and committer in one: who and when, the same to the byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    name: String,
    email: String,
    /// Seconds and zone.
    when: String,
}

/// A name as Git was told it. One that is not UTF-8 is Latin-1, in which every byte is a letter: a commit is made in UTF-8.
fn utf8(name: Vec<u8>) -> String {
    String::from_utf8(name).unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect())
}

impl Who {
    /// Gives Git this identity for everything it writes.
    pub(crate) fn author_and_committer(&self, mut program: Program) -> Program {
        for role in ["AUTHOR", "COMMITTER"] {
            program = program
                .env(&format!("GIT_{role}_NAME"), &self.name)
                .env(&format!("GIT_{role}_EMAIL"), &self.email)
                .env(&format!("GIT_{role}_DATE"), format!("@{}", self.when));
        }
        program
    }

    /// When, in seconds since 1970.
    fn seconds(&self) -> i64 {
        self.when.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default()
    }

    fn parse(ident: &str) -> Option<Self> {
        let (person, when) = ident.rsplit_once("> ")?;
        let (name, email) = person.rsplit_once('<')?;
        Some(Self { name: name.trim_end().to_owned(), email: email.to_owned(), when: when.to_owned() })
    }
}

impl Repository {
    /// Who the committer is now, as Git knows it; if Git was never told, a principal at an address that is none.
    pub fn who(&self, principal: &str) -> Result<Who, GitError> {
        let who = self.who_by(principal, |program| program)?;
        // Nothing counts that is dated ahead of the clock, so a date of the caller's that is ahead is not the signature's.
        let tolerated = |clock: &Who| clock.seconds().saturating_add(CLOCK_TOLERANCE.as_secs());
        #[allow(clippy::disallowed_methods, reason = "git reads the environment")]
        if std::env::var_os(DATE).is_some() {
            let clock = self.who_by(principal, |program| program.without(DATE))?;
            if who.seconds() > tolerated(&clock) {
                return Ok(clock);
            }
        }
        Ok(who)
    }

    fn who_by(&self, principal: &str, dated: fn(Program) -> Program) -> Result<Who, GitError> {
        let ask = |extra: &[String]| {
            let program = dated(self.git()).args(["-c", "user.useConfigOnly=true"]).args(extra);
            program.args(["var", "GIT_COMMITTER_IDENT"]).bytes()
        };
        let fallback = [
            "-c".to_owned(),
            format!("user.name={principal}"),
            "-c".to_owned(),
            format!("user.email={principal}@two-key.invalid"),
        ];
        let ident = match ask(&[]) {
            Ok(ident) => ident,
            Err(GitError::Program { .. }) => ask(&fallback)?,
            Err(error) => return Err(error),
        };
        let command = "git var GIT_COMMITTER_IDENT".to_owned();
        let ident = utf8(ident);
        Who::parse(ident.trim_end_matches('\n')).ok_or(GitError::Answer { command, what: ident })
    }

    /// Makes a commit. No ref is moved.
    pub fn commit_tree(&self, commit: &NewCommit<'_>) -> Result<Oid, GitError> {
        // Another encoding would be a header of its own, which the strict form does not have.
        let mut program = self.git().args(["-c", "i18n.commitEncoding=UTF-8", "-c", "gpg.format=ssh"]);
        // Git takes a public key file or line for a key that an SSH agent holds.
        match commit.sign {
            SignWith::Nobody | SignWith::GitDefault => {}
            SignWith::Key(SigningKey::Ssh(path)) => {
                let mut setting = std::ffi::OsString::from("user.signingkey=");
                setting.push(std::path::absolute(path).map_err(|error| GitError::io("finding the key", error))?);
                program = program.arg("-c").arg(setting);
            }
            SignWith::Key(SigningKey::Literal(line)) => {
                program = program.arg("-c").arg(format!("user.signingkey=key::{line}"));
            }
            SignWith::Key(SigningKey::Minisign(path)) => {
                let message = format!("{}: minisign keys cannot sign commits", path.display());
                return Err(GitError::NoKey(message));
            }
        }
        // Not by standard input, which stays the terminal's: a passphrase is asked for there.
        let failed = |error| GitError::io("writing a temporary file", error);
        let mut message = tempfile::NamedTempFile::new().map_err(failed)?;
        message.write_all(commit.message.as_bytes()).map_err(failed)?;
        program = program.args(["commit-tree", "-F"]).arg(message.path());
        for parent in commit.parents {
            program = program.arg("-p").arg(parent.to_string());
        }
        program = match commit.sign {
            SignWith::Nobody => program.arg("--no-gpg-sign"),
            SignWith::GitDefault | SignWith::Key(_) => self.asking(program.arg("-S")),
        };
        let program = self.who(commit.who)?.author_and_committer(program);
        match (self.id_from(program.arg(commit.tree.to_string())), commit.sign) {
            (Err(GitError::Program { stderr, .. }), SignWith::Key(key)) => {
                Err(GitError::NotSigned { key: key.to_string(), stderr })
            }
            (made, _) => made,
        }
    }

    /// Makes a transition's annotated tag object, on the commit that put it in force. The ref is still to be made.
    pub fn tag_of(&self, lease: &LeaseId, transition: &Transition, who: &str) -> Result<RefUpdate, GitError> {
        let Who { name: tagger, email, when } = self.who(who)?;
        let (name, commit) = (transition.tag(lease), transition.commit);
        let to = transition.tier.map(|tier| format!(" to {tier} %")).unwrap_or_default();
        let text = format!(
            "object {commit}\ntype commit\ntag {}\ntagger {tagger} <{email}> {when}\n\n{lease}: {}{to}\n",
            refs::short(&name),
            transition.action
        );
        // `git tag` would make the ref at once, and sign where the user's configuration says so.
        let tag = self.id_from(self.run(&["mktag"]).input(text))?;
        Ok(RefUpdate::create(name, tag))
    }

    /// Writes a file's bytes.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<Oid, GitError> {
        // Given no path, Git converts no line ends and runs no filter: what was signed is these bytes.
        self.id_from(self.run(&["hash-object", "-t", "blob", "-w", "--stdin"]).input(bytes))
    }

    /// Writes a tree that is another one (or the empty one) with some files replaced, added, or taken out (`None`).
    pub fn with_files(&self, tree: Option<Oid>, files: &[(&str, Option<&[u8]>)]) -> Result<Oid, GitError> {
        let folder = super::scratch::folder().map_err(|error| GitError::io("making a temporary folder", error))?;
        let index = folder.path().join("index");
        let run = |args: &[&str]| self.run(args).env("GIT_INDEX_FILE", &index);
        match tree {
            Some(tree) => run(&["read-tree", &tree.to_string()]).bytes()?,
            None => run(&["read-tree", "--empty"]).bytes()?,
        };
        let mut input = Vec::new();
        for (path, bytes) in files {
            let line = match bytes {
                Some(bytes) => format!("100644 {}\t{path}\0", self.write_blob(bytes)?),
                // Mode 0 takes the path out of the index.
                None => format!("0 {}\t{path}\0", self.zero()),
            };
            input.extend_from_slice(line.as_bytes());
        }
        run(&["update-index", "--add", "--replace", "-z", "--index-info"]).input(input).bytes()?;
        self.id_from(run(&["write-tree"]))
    }

    /// Runs a program that prints one id.
    pub(crate) fn id_from(&self, program: Program) -> Result<Oid, GitError> {
        let command = program.line();
        let text = program.text()?;
        let id = Oid::parse(&text).filter(|id| self.fits(*id));
        id.ok_or_else(|| GitError::Answer { command, what: format!("`{text}` is no object id") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_taken_apart() {
        let who = Who::parse("A <b> Name <a@example.com> 1761530400 +0130").unwrap();
        assert_eq!((who.name.as_str(), who.email.as_str()), ("A <b> Name", "a@example.com"));
        assert_eq!(who.when, "1761530400 +0130");
        assert_eq!(Who::parse("nobody"), None);
    }
}
