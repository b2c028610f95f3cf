//! The facts that risk is computed from: a change, and a bounded window of the history before it.
//!
//! `git rev-list` names the commits and stops after as many as were asked for, so time grows with the change and the
//! window, not with the repository. Their words come from the one reader of objects, their files from `git diff-tree`,
//! told to use nothing but the two trees: no attributes, no drivers, no configured rename rules. So the facts are the
//! same in every clone.

use std::ops::Range;

use super::{GitError, Objects, Repository, command::Program, objects::linked};
use crate::{
    model::Oid,
    risk::{Author, ChangeFacts, CommitFacts, Facts, FileChange, FileKind, HISTORY, LABELLED, Lines, MessageFacts},
    signature::{CommitBytes, ObjectFormat},
};

/// Commits of one change that are read for what they say.
const MAX_COMMITS: usize = 10_000;
/// Commits that one child process compares, which bounds what is held of its answer.
const CHUNK: usize = 250;

/// How trees are compared. Spelled out, so that no configuration has a say.
const DIFF: [&str; 11] = [
    "diff-tree",
    "-r",
    "-z",
    "--root",
    "--find-renames=50%",
    "-l400",
    "--diff-algorithm=myers",
    "--ignore-submodules=none",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
];

impl Repository {
    /// The facts of a change, and of as much history before it as a score needs that is compared with so many changes.
    /// `from` is none where nothing ran.
    pub fn facts(&self, from: Option<Oid>, to: Oid, last: usize) -> Result<Facts, GitError> {
        self.whole()?;
        let mut objects = self.objects()?;
        let history = match from {
            Some(from) => self.history(&mut objects, from, last.saturating_add(HISTORY), last)?,
            None => Vec::new(),
        };
        Ok(Facts { change: self.change(&mut objects, from, to)?, history, counted: last })
    }

    /// The history that weights are fitted to, and each of some changes, unless one of its commits is not here.
    pub fn outcomes(
        &self,
        tip: Oid,
        changes: &[(Oid, Oid)],
    ) -> Result<(Vec<CommitFacts>, Vec<Option<ChangeFacts>>), GitError> {
        self.whole()?;
        let mut objects = self.objects()?;
        let history = self.history(&mut objects, tip, LABELLED + HISTORY, LABELLED)?;
        let mut known = Vec::with_capacity(changes.len());
        for (from, to) in changes {
            let here = self.revision(&from.to_string())?.zip(self.revision(&to.to_string())?);
            known.push(here.map(|(from, to)| self.change(&mut objects, Some(from), to)).transpose()?);
        }
        Ok((history, known))
    }

    /// The changes that a commit has behind it, newest first and itself included, merges left out; the lines of the
    /// newest ones are counted.
    fn history(
        &self,
        objects: &mut Objects,
        tip: Oid,
        most: usize,
        counted: usize,
    ) -> Result<Vec<CommitFacts>, GitError> {
        // Asks for the commit first, so that a missing one is said to be missing.
        objects.links(tip)?;
        let ids = self.ids(&["rev-list", "--no-merges", &format!("--max-count={most}"), &tip.to_string(), "--"])?;
        let (near, far) = ids.split_at(counted.min(ids.len()));
        let mut history = Vec::with_capacity(ids.len());
        for (ids, count) in near.chunks(CHUNK).map(|ids| (ids, true)).chain(far.chunks(CHUNK).map(|ids| (ids, false))) {
            let words = objects.commits(ids)?;
            let files = self.compare_each(ids, count)?;
            for ((id, commit), files) in ids.iter().zip(words).zip(files) {
                let (time, by) = (claimed_time(*id, &commit, self.format())?, author(commit.front()));
                history.push(CommitFacts { id: *id, time, by, files });
            }
        }
        Ok(history)
    }

    fn change(&self, objects: &mut Objects, from: Option<Oid>, to: Oid) -> Result<ChangeFacts, GitError> {
        let commit = objects.commit(to)?;
        let (most, upto) = (format!("--max-count={}", MAX_COMMITS + 1), to.to_string());
        let not = from.map(|from| format!("^{from}"));
        let mut args = vec!["rev-list", "--no-merges", &most, &upto];
        args.extend(not.as_deref());
        args.push("--");
        let mut ids = self.ids(&args)?;
        let more_commits = ids.len() > MAX_COMMITS;
        ids.truncate(MAX_COMMITS);
        let commits = objects.commits(&ids)?.iter().map(|commit| author(commit.front())).collect();
        let deltas = self.compare(from, to)?;
        let (mut lines_before, mut uncounted) = (0, 0);
        for delta in &deltas {
            match lines_of(objects, delta)? {
                Some(lines) => lines_before += lines,
                None => uncounted += 1,
            }
        }
        let files = deltas.into_iter().map(|delta| delta.file).collect();
        let time = claimed_time(to, &commit, self.format())?;
        Ok(ChangeFacts { from, to, time, commits, more_commits, files, lines_before, uncounted })
    }

    /// What differs between two commits' trees.
    fn compare(&self, from: Option<Oid>, to: Oid) -> Result<Vec<Delta>, GitError> {
        let from = from.map_or_else(|| self.empty_tree().to_owned(), |from| from.to_string());
        let program = self.diff(true).args([from.as_str(), &to.to_string(), "--"]);
        let command = program.line();
        let answer = program.bytes()?;
        parse(&answer, None).and_then(|mut all| all.pop()).ok_or_else(|| nonsense(command))
    }

    /// What each of some commits changed against its parent, or against nothing.
    fn compare_each(&self, ids: &[Oid], count: bool) -> Result<Vec<Vec<FileChange>>, GitError> {
        let input = ids.iter().map(|id| format!("{id}\n")).collect::<Vec<_>>().concat();
        let program = self.diff(count).args(["--stdin", "--always"]).input(input);
        let command = program.line();
        let answer = program.bytes()?;
        let all = parse(&answer, Some(ids)).ok_or_else(|| nonsense(command))?;
        Ok(all.into_iter().map(|deltas| deltas.into_iter().map(|delta| delta.file).collect()).collect())
    }

    fn diff(&self, count: bool) -> Program {
        // Attributes could call a text binary. They are read from the empty tree.
        let program = self.git().env("GIT_ATTR_SOURCE", self.empty_tree()).env("GIT_ATTR_NOSYSTEM", "1");
        let settings = ["-c", "core.attributesFile=/dev/null", "-c", "core.bigFileThreshold=512m"];
        let program = program.args(settings).args(DIFF).arg("--raw");
        if count { program.arg("--numstat") } else { program }
    }

    fn empty_tree(&self) -> &'static str {
        match self.format() {
            ObjectFormat::Sha1 => "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            ObjectFormat::Sha256 => "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
        }
    }
}

fn nonsense(command: String) -> GitError {
    GitError::Answer { command, what: "its lines do not follow one another as they should".to_owned() }
}

/// A touched file, and what it was before.
struct Delta {
    file: FileChange,
    /// The blob before, if there was a regular file.
    before: Option<Oid>,
}

/// Reads the answer of `diff-tree -z --raw [--numstat]`: for each commit its id (unless two trees were compared),
/// then all raw entries, then all counts, in the same order.
fn parse(answer: &[u8], ids: Option<&[Oid]>) -> Option<Vec<Vec<Delta>>> {
    let mut tokens = answer.split(|byte| *byte == 0).peekable();
    let mut all = Vec::new();
    let commits = ids.map_or(1, <[Oid]>::len);
    for place in 0..commits {
        if let Some(ids) = ids {
            let named = tokens.next()?;
            if named != ids.get(place)?.to_string().as_bytes() {
                return None;
            }
        }
        let mut deltas = Vec::new();
        while let Some(raw) = tokens.next_if(|token| token.starts_with(b":")) {
            deltas.push(delta(raw, &mut tokens)?);
        }
        let mut counted = 0;
        while let Some(counts) = tokens.next_if(|token| token.contains(&b'\t')) {
            let (lines, path) = numbers(counts)?;
            let path = if path.is_empty() {
                tokens.next()?;
                tokens.next()?
            } else {
                path
            };
            // Same order, but Git may have nothing to count in an entry.
            let path = text(path);
            counted += deltas.get(counted..)?.iter().position(|delta| delta.file.path == path)?;
            let delta = deltas.get_mut(counted)?;
            if delta.file.kind != FileKind::Submodule {
                delta.file.lines = lines;
            }
            counted += 1;
        }
        all.push(deltas);
    }
    // Behind the last NUL there is nothing.
    let rest = tokens.next();
    (rest.is_none_or(<[u8]>::is_empty) && tokens.next().is_none()).then_some(all)
}

/// `:<mode> <mode> <id> <id> <letter>`, then one path, or two for a rename.
fn delta<'a>(raw: &[u8], tokens: &mut impl Iterator<Item = &'a [u8]>) -> Option<Delta> {
    let raw = std::str::from_utf8(raw).ok()?.strip_prefix(':')?;
    let words: Vec<&str> = raw.split(' ').collect();
    let [old_mode, new_mode, old_id, _, status] = words.as_slice() else { return None };
    let first = text(tokens.next()?);
    let (path, renamed_from) =
        if status.starts_with('R') { (text(tokens.next()?), Some(first)) } else { (first, None) };
    let kind = match (*old_mode, *new_mode) {
        ("160000", _) | (_, "160000") => FileKind::Submodule,
        ("000000", _) => FileKind::Added,
        (_, "000000") => FileKind::Deleted,
        _ => FileKind::Changed,
    };
    let before = if old_mode.starts_with("100") { Some(Oid::parse(old_id)?) } else { None };
    Some(Delta { file: FileChange { path, renamed_from, kind, lines: None }, before })
}

/// `<added> TAB <deleted> TAB <path>`, with `-` for both of a binary file.
fn numbers(token: &[u8]) -> Option<(Option<Lines>, &[u8])> {
    let mut parts = token.splitn(3, |byte| *byte == b'\t');
    let (added, deleted, path) = (parts.next()?, parts.next()?, parts.next()?);
    if added == b"-" && deleted == b"-" {
        return Some((None, path));
    }
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
    Some((Some(Lines { added: number(added)?, deleted: number(deleted)? }), path))
}

/// Paths are bytes. What is no UTF-8 is shown with replacement characters, the same in every clone.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The lines that a file had before; none if they are not known.
fn lines_of(objects: &mut Objects, delta: &Delta) -> Result<Option<u64>, GitError> {
    let Some(before) = delta.before else {
        return Ok((delta.file.kind == FileKind::Added).then_some(0));
    };
    match objects.blob(before) {
        Ok(bytes) if is_binary(&bytes) => Ok(None),
        Ok(bytes) => Ok(Some(lines_in(&bytes))),
        Err(GitError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// As Git has it: a NUL near the beginning.
fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(8000).any(|byte| *byte == 0)
}

fn lines_in(bytes: &[u8]) -> u64 {
    bytes.split_inclusive(|byte| *byte == b'\n').count() as u64
}

/// The committer's claim. A commit without one counts as made in 1970.
fn claimed_time(id: Oid, commit: &CommitBytes, format: ObjectFormat) -> Result<i64, GitError> {
    Ok(i64::try_from(linked(id, commit, format)?.committer_time).unwrap_or(i64::MAX))
}

/// Who made a commit, by address, and what its message says.
fn author(raw: &[u8]) -> Author {
    let end = raw.windows(2).position(|two| two == b"\n\n").unwrap_or(raw.len());
    let headers = raw.get(..end).unwrap_or_default();
    let message = raw.get(end + 2..).unwrap_or_default();
    let line = headers.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"author "));
    let line = text(line.unwrap_or_default());
    let address = address(&line).map_or(line.as_str(), |range| line.get(range).unwrap_or_default());
    Author { author: address.to_lowercase(), message: MessageFacts::read(&text(message)) }
}

/// Where the address stands in `Name <address> seconds zone`, if there is one.
fn address(line: &str) -> Option<Range<usize>> {
    let end = line.rfind('>')?;
    let start = line.get(..end)?.rfind('<')? + 1;
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authors_are_known_by_their_address() {
        let raw = b"tree 1\nauthor A. Name <A@Example.org> 1 +0000\ncommitter x <y> 2 +0000\n\nFix it\n";
        let author = author(raw);
        assert_eq!((author.author.as_str(), author.message.fix), ("a@example.org", true));
    }

    #[test]
    fn an_answer_out_of_order_is_no_answer() {
        let raw = b":100644 100644 0000000000000000000000000000000000000001 0000000000000000000000000000000000000002 M\0a\x001\t0\ta\0";
        assert_eq!(parse(raw, None).unwrap()[0][0].file.lines, Some(Lines { added: 1, deleted: 0 }));
        let other = b":100644 100644 0000000000000000000000000000000000000001 0000000000000000000000000000000000000002 M\0a\x001\t0\tb\0";
        assert!(parse(other, None).is_none());
        assert!(parse(b"1\t0\ta\0", None).is_none());
        assert!(parse(b"", Some(&[Oid::Sha1([1; 20])])).is_none());
    }

    #[test]
    fn lines_are_counted_with_an_open_last_one() {
        assert_eq!([b"".as_slice(), b"a", b"a\n", b"a\nb"].map(lines_in), [0, 1, 1, 2]);
    }
}
