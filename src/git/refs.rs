//! Refs: read, and moved only from where they were expected to be.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{ErrorKind, Read as _},
    path::Path,
};

use super::{
    GitError, Repository,
    early_refs::{AskedRef, AskedRefs, EarlyRefs, FOR_EACH_REF},
};
use crate::model::Oid;

/// One ref's move. All moves of a call happen, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The full name.
    pub name: String,
    /// Where it must be now: `None` if it must not be there.
    pub old: Option<Oid>,
    /// Where it goes.
    pub new: Oid,
}

impl RefUpdate {
    /// A ref that must not be there yet.
    pub fn create(name: impl Into<String>, new: Oid) -> Self {
        Self { name: name.into(), old: None, new }
    }
}

/// Names that are asked for at a time.
pub(super) const NAMES: usize = 500;

/// The least digits of an id that Git takes for it.
const MIN_ABBREVIATION: usize = 4;

impl Repository {
    /// The refs at or below some prefixes (`refs/notes/two-key`), sorted by name. Names that are not UTF-8 are not ours
    /// and are left out.
    pub fn refs(&self, prefixes: &[&str]) -> Result<Vec<(String, Oid)>, GitError> {
        let program = self.run(&FOR_EACH_REF).args(prefixes);
        let command = program.line();
        self.listed_refs(&command, &program.bytes()?)
    }

    fn listed_refs(&self, command: &str, bytes: &[u8]) -> Result<Vec<(String, Oid)>, GitError> {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .filter_map(|line| std::str::from_utf8(line).ok())
            .map(|line| {
                let (id, name) = line.split_once(' ').unwrap_or_default();
                let id = Oid::parse(id).filter(|id| self.fits(*id));
                let wrong = || GitError::Answer { command: command.to_owned(), what: line.to_owned() };
                id.map(|id| (name.to_owned(), id)).ok_or_else(wrong)
            })
            .collect()
    }

    /// Where a ref is, by its full name.
    pub fn resolve(&self, name: &str) -> Result<Option<Oid>, GitError> {
        Ok(self.refs(&[name])?.into_iter().find(|(other, _)| other == name).map(|(_, id)| id))
    }

    /// Has Git look where a ref is, while something else is done. If that fails, whoever wants to know asks again.
    pub fn asked(&self, name: &str) -> Option<AskedRef> {
        let git = self.run(&FOR_EACH_REF).arg(name).started().ok()?;
        Some(AskedRef { name: name.to_owned(), git })
    }

    /// Where a ref is; perhaps that has been asked already.
    pub fn resolve_asked(&self, asked: Option<AskedRef>, name: &str) -> Result<Option<Oid>, GitError> {
        match asked.filter(|asked| asked.name == name).map(|asked| asked.git.output()) {
            Some(Ok(answer)) if answer.status.success() => {
                let there = self.listed_refs("git for-each-ref", &answer.stdout)?;
                Ok(there.into_iter().find(|(other, _)| other == name).map(|(_, id)| id))
            }
            _ => self.resolve(name),
        }
    }

    /// Where refs of a push were when that was asked for at its arrival, the first time that somebody wants to know.
    pub(super) fn early_refs(&self) -> Result<EarlyRefs, GitError> {
        let asked = self.asked_refs().lock().ok().and_then(|mut asked| asked.take());
        let Some(AskedRefs { names, git }) = asked else { return Ok(EarlyRefs::default()) };
        match git.output() {
            Ok(answer) if answer.status.success() => {
                let there = self.listed_refs("git for-each-ref", &answer.stdout)?.into_iter().collect();
                Ok(EarlyRefs { names, there })
            }
            _ => Ok(EarlyRefs::default()),
        }
    }

    /// The commit that a revision names, as people write it; none if there is no such commit.
    pub fn revision(&self, revision: &str) -> Result<Option<Oid>, GitError> {
        self.is_one_name(revision)?;
        let commit = format!("{revision}^{{commit}}");
        let output = self.run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            return Ok(Oid::parse(text.trim_end()).filter(|id| self.fits(*id)));
        }
        // One that Git cannot parse is a commit all the same. Whoever reads it finds what is wrong with it.
        match Oid::parse(revision).filter(|id| self.fits(*id)) {
            Some(id) => Ok(self.objects()?.is_commit(id)?.then_some(id)),
            None => Ok(None),
        }
    }

    /// Refuses what a revision begins with if Git would choose among several things: anybody may push a tag that has a branch's
    /// name for short, or a commit's.
    fn is_one_name(&self, revision: &str) -> Result<(), GitError> {
        let word = revision.split(['^', '~', '@', ':']).next().unwrap_or_default();
        let is_full = word.is_empty() || word == "HEAD" || word.starts_with("refs/");
        if is_full || Oid::parse(word).is_some_and(|id| self.fits(id)) {
            return Ok(());
        }
        let names = ["refs", "refs/tags", "refs/heads", "refs/remotes"].map(|folder| format!("{folder}/{word}"));
        let there = self.refs(&names.each_ref().map(String::as_str))?.into_iter().map(|(name, _)| name);
        let mut refs: Vec<String> = there.filter(|name| names.contains(name)).collect();
        if word.len() >= MIN_ABBREVIATION && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            refs.push(format!("the object {word}…"));
        }
        if refs.len() > 1 { Err(GitError::AmbiguousName { word: word.to_owned(), refs }) } else { Ok(()) }
    }

    /// The symbolic refs in some folders of refs (`refs/two-key`), those to what does not exist among them, which Git
    /// lists nowhere. Only where refs are files: elsewhere there is no way to ask for them.
    fn symbolic_files(&self, folders: &[&str]) -> Result<Vec<String>, GitError> {
        let mut found = Vec::new();
        let mut open: Vec<String> = folders.iter().map(|folder| (*folder).to_owned()).collect();
        while let Some(folder) = open.pop() {
            let doing = || format!("looking for symbolic refs in {folder}");
            let entries = match fs::read_dir(self.common_dir().join(&folder)) {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                entries => entries.map_err(|error| GitError::io(doing(), error))?,
            };
            for entry in entries {
                let entry = entry.map_err(|error| GitError::io(doing(), error))?;
                let kind = entry.file_type().map_err(|error| GitError::io(doing(), error))?;
                // Names that are not UTF-8 are not ours.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = format!("{folder}/{name}");
                if kind.is_dir() {
                    open.push(name);
                } else if is_symbolic(&entry.path()) {
                    found.push(name);
                }
            }
        }
        Ok(found)
    }

    /// Which of many refs, by their full names, are symbolic ones to what does not exist. Git says so only by the way.
    fn dangling(&self, names: impl Iterator<Item = String>) -> Result<Vec<String>, GitError> {
        const SAYS: &str = "warning: ignoring dangling symref ";
        let input: String = names.map(|name| name + "\n").collect();
        let program = self.run(&["cat-file", "--batch-check"]).input(input);
        let command = program.line();
        let output = program.output()?;
        if !output.status.success() {
            return Err(GitError::Program { command, stderr: output.stderr });
        }
        Ok(output.stderr.lines().filter_map(|line| line.strip_prefix(SAYS)).map(str::to_owned).collect())
    }

    /// What the governed branch stands for, if it is a symbolic ref.
    pub(super) fn branch_stands_for(&self, branch: &str) -> Result<Option<String>, GitError> {
        if !may_be_symbolic(self.common_dir(), branch) {
            return Ok(None);
        }
        let output = self.run(&["symbolic-ref", "--quiet", branch]).output()?;
        let target = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        Ok(Some(target).filter(|_| output.status.success()))
    }

    /// The full name of the branch that is checked out here.
    pub fn head(&self) -> Result<Option<String>, GitError> {
        let output = self.run(&["symbolic-ref", "--quiet", "HEAD"]).output()?;
        let name = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        Ok(Some(name).filter(|name| output.status.success() && !name.is_empty()))
    }

    /// Has HEAD name a branch. No file of the worktree changes.
    pub fn stand_on(&self, branch: &str) -> Result<(), GitError> {
        self.run(&["symbolic-ref", "HEAD", branch]).bytes().map(drop)
    }

    /// The full name of the remote-tracking ref that is a ref's upstream.
    pub fn upstream(&self, name: &str) -> Result<Option<String>, GitError> {
        let lines = self.run(&["for-each-ref", "--format=%(refname) %(upstream)", "--", name]).lines()?;
        let upstream = lines.iter().filter_map(|line| line.split_once(' ')).find(|(other, _)| *other == name);
        Ok(upstream.map(|(_, upstream)| upstream.to_owned()).filter(|upstream| !upstream.is_empty()))
    }

    /// The symbolic refs at or below some prefixes, and among some names, with what they stand for.
    pub(super) fn symbolic_refs<'a>(
        &self,
        prefixes: &[&str],
        names: impl Iterator<Item = &'a str>,
    ) -> Result<HashMap<String, String>, GitError> {
        let mut targets = HashMap::new();
        let mut ask = |name: String| -> Result<(), GitError> {
            let output = self.run(&["symbolic-ref", "--quiet", &name]).output()?;
            if output.status.success() {
                targets.insert(name, String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
            }
            Ok(())
        };
        if has_reftable(self.common_dir()) {
            // A symbolic ref to what does not exist yet is not listed.
            self.dangling(names.map(str::to_owned))?.into_iter().try_for_each(&mut ask)?;
            for line in self.run(&["for-each-ref", "--format=%(refname) %(symref)"]).lines()? {
                if let Some((name, target)) = line.split_once(' ').filter(|(_, target)| !target.is_empty()) {
                    targets.insert(name.to_owned(), target.to_owned());
                }
            }
            return Ok(targets);
        }
        // Where refs are files a symbolic one is a file of its own: packed refs are never symbolic. So Git need not be
        // asked about each of ten thousand refs.
        let mut symbolic = self.symbolic_files(prefixes)?;
        symbolic.extend(names.filter(|name| is_symbolic(&self.common_dir().join(name))).map(str::to_owned));
        symbolic.into_iter().try_for_each(ask)?;
        Ok(targets)
    }

    /// Moves refs, all or none, each only from where it was expected to be.
    pub fn update_refs(&self, updates: &[RefUpdate], reason: &str) -> Result<(), GitError> {
        let mut input = Vec::new();
        for RefUpdate { name, old, new } in updates {
            // The zero id says that the ref must not be there.
            let old = old.unwrap_or_else(|| self.zero());
            input.extend_from_slice(format!("update {name}\0{new}\0{old}\0").as_bytes());
        }
        self.transaction(input, reason, updates.iter().map(|update| update.name.as_str()))
    }

    /// Sets refs of a mirror, all or none, wherever they are now.
    pub(super) fn set_refs(&self, refs: &[(String, Oid)], reason: &str) -> Result<(), GitError> {
        let mut input = Vec::new();
        for (name, id) in refs {
            input.extend_from_slice(format!("update {name}\0{id}\0\0").as_bytes());
        }
        self.transaction(input, reason, refs.iter().map(|(name, _)| name.as_str()))
    }

    /// Deletes a ref that is where it was expected to be.
    pub fn delete_ref(&self, name: &str, old: Oid) -> Result<(), GitError> {
        self.delete_refs(&[(name.to_owned(), old)], "two-key")
    }

    /// Deletes refs, all or none, each only where it was expected to be.
    pub fn delete_refs(&self, refs: &[(String, Oid)], reason: &str) -> Result<(), GitError> {
        let mut input = Vec::new();
        for (name, old) in refs {
            input.extend_from_slice(format!("delete {name}\0{old}\0").as_bytes());
        }
        self.transaction(input, reason, refs.iter().map(|(name, _)| name.as_str()))
    }

    fn transaction<'a>(
        &self,
        input: Vec<u8>,
        reason: &str,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), GitError> {
        // Where one of the names is symbolic, another ref would move in its place.
        let program = self.run(&["update-ref", "--no-deref", "-m", reason, "-z", "--stdin"]).input(input);
        match program.bytes() {
            Ok(_) => Ok(()),
            Err(GitError::Program { stderr, .. }) => {
                let refname = names.collect::<Vec<_>>().join(", ");
                Err(GitError::RefChanged { refname, stderr })
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a ref may stand for another one. Where refs are files such a one is a file; packed ones never are.
pub(super) fn may_be_symbolic(common_dir: &Path, name: &str) -> bool {
    has_reftable(common_dir) || is_symbolic(&common_dir.join(name))
}

fn has_reftable(common_dir: &Path) -> bool {
    common_dir.join("reftable").is_dir()
}

/// Whether a file may be a symbolic ref: one that says so, or a symbolic link.
pub(super) fn is_symbolic(path: &Path) -> bool {
    let Ok(metadata) = path.symlink_metadata() else { return false };
    let mut start = [0; 4];
    // What cannot be read is for Git to say.
    metadata.is_symlink()
        || (metadata.is_file()
            && File::open(path).and_then(|mut file| file.read_exact(&mut start)).map_or(true, |()| start == *b"ref:"))
}
