//! Changes: the facts that risk is assessed from, and what a bounded window of the history before says.
//!
//! `git rev-list` names the commits and stops after as many as were asked for, so time grows with the change and the
//! window, not with the repository. Their words come from the one reader of objects, their files from `git diff-tree`,
//! told to use nothing but the two trees: no attributes, no drivers, no configured rename rules. So the facts are the
//! same in every clone.

use crate::{
    git::{GitError, Objects, Program, Repository, linked},
    model::Oid,
    risk::{ChangeFacts, DAYS, FileChange, FileKind, LineCount, MessageFacts, Range, RiskFacts, WALKED, ranges},
    signature::{CommitBytes, ObjectFormat},
};

/// Pairs of trees that one child process compares, which bounds what is held of its answer.
const CHUNK: usize = 50;
/// Commits that are read at a time for what they say.
const READ: usize = 500;

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

/// The facts of a change, of at most `last` earlier ranges, and of the reverts before it was looked at: at `seen`, in seconds
/// since 1970, or when `to` was committed. `from` is none where nothing ran.
pub fn facts(
    repository: &Repository,
    from: Option<Oid>,
    to: Oid,
    last: usize,
    seen: Option<i64>,
) -> Result<RiskFacts, GitError> {
    repository.whole()?;
    let mut objects = repository.objects()?;
    let committed = claimed_time(to, &objects.commit(to)?, repository.format())?;
    let change = change(repository, &mut objects, from, to)?;
    let walked = match from {
        Some(from) => walk(repository, &mut objects, from)?,
        None => Vec::new(),
    };
    let ranges = ranges(&walked, change.commits.max(1), last);
    let since = seen.unwrap_or(committed).saturating_sub(DAYS * 86_400);
    let reverts = reverts(repository, &mut objects, &walked, since)?;
    Ok(RiskFacts {
        earlier: compare_each(repository, &ranges)?,
        reverts: compare_each(repository, &reverts)?,
        walked: walked.len(),
        change,
    })
}

/// The commits that a commit has behind it, newest first and itself included, each with its parents.
fn walk(repository: &Repository, objects: &mut Objects, tip: Oid) -> Result<Vec<Vec<Oid>>, GitError> {
    // Asks for the commit first, so that a missing one is said to be missing.
    objects.links(tip)?;
    let args = ["rev-list", "--parents", &format!("--max-count={WALKED}"), &tip.to_string(), "--"];
    repository.ids_with_parents(repository.run(&args))
}

/// Of the commits that were walked, those since a time that say they are reverts, each as the range that it alone is.
fn reverts(
    repository: &Repository,
    objects: &mut Objects,
    walked: &[Vec<Oid>],
    since: i64,
) -> Result<Vec<Range>, GitError> {
    let alone = |words: &Vec<Oid>| match words.as_slice() {
        [to] => Some(Range { to: *to, from: None }),
        [to, from] => Some(Range { to: *to, from: Some(*from) }),
        _ => None,
    };
    let commits: Vec<Range> = walked.iter().filter_map(alone).collect();
    let mut reverts = Vec::new();
    for commits in commits.chunks(READ) {
        let ids: Vec<Oid> = commits.iter().map(|commit| commit.to).collect();
        let read = objects.commits_as(&ids, |id, commit| {
            let time = claimed_time(id, &commit, repository.format())?;
            Ok((time >= since, message(commit.front()).revert))
        })?;
        let read: Vec<(bool, bool)> = read.into_iter().collect::<Result<_, GitError>>()?;
        let late = |(_, (late, revert)): &(&Range, &(bool, bool))| *late && *revert;
        reverts.extend(commits.iter().zip(&read).filter(late).map(|(commit, _)| *commit));
        // Times do not quite follow the order; where a whole window of commits is older, what comes then is too.
        if read.iter().all(|(late, _)| !late) {
            break;
        }
    }
    Ok(reverts)
}

fn change(repository: &Repository, objects: &mut Objects, from: Option<Oid>, to: Oid) -> Result<ChangeFacts, GitError> {
    let between = |older: Option<Oid>, newer: Oid| {
        let (most, newer) = (format!("--max-count={WALKED}"), newer.to_string());
        let mut args = vec!["rev-list", "--no-merges", &most, &newer];
        let not = older.map(|older| format!("^{older}"));
        args.extend(not.as_deref());
        args.push("--");
        repository.ids(&args)
    };
    let ahead = between(from, to)?;
    let behind = from.map_or(Ok(Vec::new()), |from| between(Some(to), from))?;
    let messages = objects.commits_as(&ahead, |_, commit| message(commit.front()))?;
    let files = compare(repository, from, to)?;
    Ok(ChangeFacts { from, to, commits: ahead.len().max(behind.len()), messages, files })
}

/// What differs between two commits' trees.
fn compare(repository: &Repository, from: Option<Oid>, to: Oid) -> Result<Vec<FileChange>, GitError> {
    let from = from.map_or_else(|| empty_tree(repository).to_owned(), |from| from.to_string());
    let program = diff(repository).args([from.as_str(), &to.to_string(), "--"]);
    let command = program.line();
    let answer = program.bytes().map_err(lacking)?;
    parse(&answer, None).and_then(|mut all| all.pop()).ok_or_else(|| nonsense(command))
}

/// What each of some ranges changed.
fn compare_each(repository: &Repository, ranges: &[Range]) -> Result<Vec<Vec<FileChange>>, GitError> {
    let mut all = Vec::with_capacity(ranges.len());
    for ranges in ranges.chunks(CHUNK) {
        let line = |range: &Range| {
            range.from.map_or_else(|| format!("{}\n", range.to), |from| format!("{} {from}\n", range.to))
        };
        let program = diff(repository).args(["--stdin", "--always"]).input(ranges.iter().map(line).collect::<String>());
        let command = program.line();
        let answer = program.bytes().map_err(lacking)?;
        let ids: Vec<Oid> = ranges.iter().map(|range| range.to).collect();
        all.extend(parse(&answer, Some(&ids)).ok_or_else(|| nonsense(command))?);
    }
    Ok(all)
}

fn diff(repository: &Repository) -> Program {
    // Attributes could call a text binary. They are read from the empty tree.
    let program = repository.git().env("GIT_ATTR_SOURCE", empty_tree(repository)).env("GIT_ATTR_NOSYSTEM", "1");
    let settings = ["-c", "core.attributesFile=/dev/null", "-c", "core.bigFileThreshold=512m"];
    program.args(settings).args(DIFF).args(["--raw", "--numstat"])
}

fn empty_tree(repository: &Repository) -> &'static str {
    match repository.format() {
        ObjectFormat::Sha1 => "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        ObjectFormat::Sha256 => "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
    }
}
fn nonsense(command: String) -> GitError {
    GitError::Answer { command, what: "its lines do not follow one another as they should".to_owned() }
}

/// Says of a comparison that failed for want of a file which one it was, as Git names it.
fn lacking(error: GitError) -> GitError {
    let GitError::Program { stderr, .. } = &error else { return error };
    let named = stderr.lines().find_map(|line| Oid::parse(line.strip_prefix("fatal: unable to read ")?.trim()));
    named.map_or(error, GitError::MissingObject)
}

/// Reads the answer of `diff-tree -z --raw [--numstat]`: for each commit its id (unless two trees were compared),
/// then all raw entries, then all counts, in the same order.
fn parse(answer: &[u8], ids: Option<&[Oid]>) -> Option<Vec<Vec<FileChange>>> {
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
        let mut files = Vec::new();
        while let Some(raw) = tokens.next_if(|token| token.starts_with(b":")) {
            files.push(file(raw, &mut tokens)?);
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
            counted += files.get(counted..)?.iter().position(|file| file.path == path)?;
            let file = files.get_mut(counted)?;
            if file.kind != FileKind::Submodule {
                file.lines = lines;
            }
            counted += 1;
        }
        all.push(files);
    }
    // Behind the last NUL there is nothing.
    let rest = tokens.next();
    (rest.is_none_or(<[u8]>::is_empty) && tokens.next().is_none()).then_some(all)
}

/// `:<mode> <mode> <id> <id> <letter>`, then one path, or two for a rename.
fn file<'a>(raw: &[u8], tokens: &mut impl Iterator<Item = &'a [u8]>) -> Option<FileChange> {
    let raw = std::str::from_utf8(raw).ok()?.strip_prefix(':')?;
    let words: Vec<&str> = raw.split(' ').collect();
    let [old_mode, new_mode, _, _, status] = words.as_slice() else { return None };
    let first = text(tokens.next()?);
    let (path, renamed_from) =
        if status.starts_with('R') { (text(tokens.next()?), Some(first)) } else { (first, None) };
    let kind = match (*old_mode, *new_mode) {
        ("160000", _) | (_, "160000") => FileKind::Submodule,
        ("000000", _) => FileKind::Added,
        (_, "000000") => FileKind::Deleted,
        _ => FileKind::Changed,
    };
    Some(FileChange { path, renamed_from, kind, lines: None })
}

/// `<added> TAB <deleted> TAB <path>`, with `-` for both of a binary file.
fn numbers(token: &[u8]) -> Option<(Option<LineCount>, &[u8])> {
    let mut parts = token.splitn(3, |byte| *byte == b'\t');
    let (added, deleted, path) = (parts.next()?, parts.next()?, parts.next()?);
    if added == b"-" && deleted == b"-" {
        return Some((None, path));
    }
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
    Some((Some(LineCount { added: number(added)?, deleted: number(deleted)? }), path))
}

/// Paths are bytes. What is no UTF-8 is shown with replacement characters, the same in every clone.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The committer's claim. A commit without one counts as made in 1970.
fn claimed_time(id: Oid, commit: &CommitBytes, format: ObjectFormat) -> Result<i64, GitError> {
    Ok(i64::try_from(linked(id, commit, format)?.committer_time).unwrap_or(i64::MAX))
}

/// What a commit's message says.
fn message(raw: &[u8]) -> MessageFacts {
    let end = raw.windows(2).position(|two| two == b"\n\n").map_or(raw.len(), |end| end + 2);
    MessageFacts::read(&text(raw.get(end..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_out_of_order_is_no_answer() {
        let raw = b":100644 100644 0000000000000000000000000000000000000001 0000000000000000000000000000000000000002 M\0a\x001\t0\ta\0";
        assert_eq!(parse(raw, None).unwrap()[0][0].lines, Some(LineCount { added: 1, deleted: 0 }));
        let other = b":100644 100644 0000000000000000000000000000000000000001 0000000000000000000000000000000000000002 M\0a\x001\t0\tb\0";
        assert!(parse(other, None).is_none());
        assert!(parse(b"1\t0\ta\0", None).is_none());
        assert!(parse(b"", Some(&[Oid::Sha1([1; 20])])).is_none());
    }
}
