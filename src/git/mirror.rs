//! The mirror: what is kept here of a remote's governed refs, under names where it overwrites nothing of ours.
//!
//! The remote says which refs it has, their objects are fetched by id, and the mirror's refs are written here. So no name
//! that somebody made there keeps another ref from arriving. Stops come first, in a fetch of their own; what cannot be
//! fetched together is fetched apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
    time::SystemTime,
};

use super::{GitError, RefUpdate, Repository, command::Program};
use crate::{
    model::{Digest, Oid, PrincipalId, refs},
    push::{ASIDE, RefMeaning, place},
};

/// A child of ours must not leave a background process behind.
pub(super) const NO_BACKGROUND: [&str; 4] = ["-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false"];

/// What is fetched is hashed and judged here: neither Git's opinion of it nor a lock of what Git writes beside it may keep it
/// away.
const UNJUDGED: [&str; 6] =
    ["-c", "fetch.fsckObjects=false", "-c", "transfer.fsckObjects=false", "-c", "fetch.writeCommitGraph=false"];

/// So many fetches may fail, or a few that take too long, before what is left is given up with them: a remote that is not there
/// any more is not asked for each of a thousand refs.
const MAX_FAILED: usize = 400;
const TIMED_OUT: usize = 32;

/// Refs by their names in the mirror.
pub type Mirrored = BTreeMap<String, Oid>;

/// A governed ref that a remote has and that is not in the mirror. In the order in which they are fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    rank: Rank,
    /// Its full name at the remote.
    pub name: String,
    /// Where it is.
    pub id: Oid,
}

/// What goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Stop,
    Branch,
    Other,
}

impl Wanted {
    /// Whether it is a stop under its own name.
    pub fn is_stop(&self) -> bool {
        self.rank == Rank::Stop
    }

    /// Whether nothing may go forward without it.
    pub fn is_needed(&self) -> bool {
        self.rank != Rank::Other
    }
}

/// A ref that could not be fetched, or not be written down, and why.
#[derive(Debug)]
pub struct Missed {
    /// The ref.
    pub wanted: Wanted,
    /// Why.
    pub error: GitError,
}

/// The name under which a remote's refs are kept: its own, if that is one, else a digest of its address.
fn folder(remote: &str) -> String {
    // Ids and components of ref names have one shape.
    if let Some(name) = PrincipalId::parse(remote) {
        return name.as_str().to_owned();
    }
    let digest = Digest::of(remote.as_bytes()).to_string();
    digest.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}

/// What `git fetch` has to be told besides a remote's branches, and what that brings: nothing of it writes over refs of ours.
pub fn refspecs(remote: &str) -> [(String, &'static str); 2] {
    let refspec = |theirs: &str| format!("{theirs}:{}", mirrored(remote, theirs));
    [
        (refspec("refs/notes/two-key/*"), "the inbox: votes by note are not seen"),
        (refspec("refs/two-key/*"), "stops and what appliers saw"),
    ]
}

/// Where a remote's ref is kept here after a fetch.
pub fn mirrored(remote: &str, name: &str) -> String {
    let folder = folder(remote);
    let branch = name.strip_prefix(refs::HEADS).filter(|_| !ASIDE.iter().any(|start| name.starts_with(start)));
    match (branch, name.strip_prefix("refs/")) {
        (Some(branch), _) => format!("refs/remotes/{folder}/{branch}"),
        (None, rest) => format!("{}{folder}/{}", refs::MIRROR, rest.unwrap_or(name)),
    }
}

impl Repository {
    /// Fetches exactly the governed refs, and writes down when. What is kept here of a remote follows it, rewinds and all: whether it may is for
    /// the reader to say. Refs that are gone from the remote stay. An error if the branch or a stop did not come; whatever
    /// else came is here then all the same.
    pub fn fetch(&self, remote: &str, branch: &str) -> Result<(), GitError> {
        let branch = format!("{}{branch}", refs::HEADS);
        let wanted = self.wanted(remote, &branch, &self.mirror(remote, &branch)?);
        let (wanted, lost) = wanted.map(|(wanted, lost)| (wanted, lost.map_or(Ok(()), Err)))?;
        let missed = self.bring(remote, &wanted, &mut |_| ());
        missed.into_iter().find(|missed| missed.wanted.is_needed()).map_or(Ok(()), |missed| Err(missed.error))?;
        self.unwritten().or(lost.err()).map_or(Ok(()), Err)?;
        // Where that cannot be written down, nobody knows how old it is.
        let stamp = self.stamp(remote);
        let _ = stamp.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&stamp, ""));
        Ok(())
    }

    /// When all that is governed was last fetched from a remote, if that is known.
    pub fn fetched_at(&self, remote: &str) -> Option<SystemTime> {
        fs::metadata(self.stamp(remote)).and_then(|stamp| stamp.modified()).ok()
    }

    /// The file whose time says when a remote was last fetched.
    fn stamp(&self, remote: &str) -> PathBuf {
        self.common_dir().join("two-key/fetched").join(folder(remote))
    }

    /// Fetches one governed ref, and says where the remote has it now.
    pub fn fetch_ref(&self, remote: &str, name: &str) -> Result<Option<Oid>, GitError> {
        let Some((name, id)) = self.ls_remote(remote, &[name])?.pop() else { return Ok(None) };
        let missed = self.bring(remote, &[Wanted { rank: Rank::Other, name, id }], &mut |_| ());
        missed.into_iter().next().map_or(Ok(Some(id)), |missed| Err(missed.error))
    }

    /// Brings a commit with a file of it here, into no ref: also where that was left out when this was cloned.
    pub fn fetch_file(&self, remote: &str, commit: Oid, path: &str) -> Result<(), GitError> {
        if self.objects()?.kind(commit).is_err() {
            let wanted = Wanted { rank: Rank::Other, name: String::new(), id: commit };
            let fetched = self.limited(self.fetch_objects(remote, &[wanted])).bytes();
            fetched.map_err(|error| error.of_remote(remote))?;
        }
        let file = format!("{commit}:{path}");
        let program = self.git_alone().args(["cat-file", "-e", &file]).env("GIT_NO_LAZY_FETCH", "0");
        self.limited(program).bytes().map(drop)
    }

    /// Notes down that a remote has taken a ref.
    pub fn took(&self, remote: &str, name: &str, id: Oid) -> Result<(), GitError> {
        self.set_refs(&[(mirrored(remote, name), id)], "two-key: push")
    }

    /// Keeps what was signed here under a name below [`refs::LOCAL`]. In a clone that mirrors all refs anybody's ref may lie in its way,
    /// under a name that none of ours has; that one goes.
    pub fn keep_local(&self, name: String, id: Oid, reason: &str) -> Result<(), GitError> {
        let updates = [RefUpdate::create(name, id)];
        if self.update_refs(&updates, reason).is_err() {
            let [RefUpdate { name, .. }] = &updates;
            let ways = name.match_indices('/').filter_map(|(end, _)| name.get(..end));
            for way in ways.filter(|way| way.len() + 1 >= refs::LOCAL.len()) {
                if let Some(in_the_way) = self.resolve(way)? {
                    self.delete_ref(way, in_the_way)?;
                }
            }
            self.update_refs(&updates, reason)?;
        }
        // Where that cannot be written, `doctor` says so.
        let _ = self.keep_fetches_off(refs::LOCAL);
        Ok(())
    }

    /// The remotes whose fetches would prune and overwrite what a clone keeps below a prefix: those of a clone that mirrors all
    /// refs (`git clone --mirror`).
    pub fn mirrors_onto(&self, kept: &str) -> Result<Vec<String>, GitError> {
        let mut found = Vec::new();
        for remote in self.remotes()? {
            let [name, off] = Self::off(&remote, kept);
            let refspecs = self.config_all(&name)?;
            let covers = |refspec: &String| {
                let to = refspec.split_once(':').and_then(|(_, to)| to.split_once('*'));
                to.is_some_and(|(start, _)| kept.starts_with(start) || start.starts_with(kept))
            };
            if refspecs.iter().any(covers) && !refspecs.contains(&off) {
                found.push(remote);
            }
        }
        Ok(found)
    }

    /// The setting that keeps a remote's fetches off that, whatever else they map.
    pub fn off(remote: &str, kept: &str) -> [String; 2] {
        [format!("remote.{remote}.fetch"), format!("^{kept}*")]
    }

    /// Keeps all fetches off what a clone keeps below a prefix.
    pub fn keep_fetches_off(&self, kept: &str) -> Result<(), GitError> {
        for remote in self.mirrors_onto(kept)? {
            let [name, value] = Self::off(&remote, kept);
            self.add_config(&name, &value)?;
        }
        Ok(())
    }

    /// What is kept here of a remote.
    pub fn mirror(&self, remote: &str, branch: &str) -> Result<Mirrored, GitError> {
        let everything = mirrored(remote, "refs/");
        let prefixes = [everything.trim_end_matches('/'), &mirrored(remote, branch)];
        Ok(self.refs(&prefixes)?.into_iter().collect())
    }

    /// The governed refs of a remote that are not in its mirror, in the order in which they are to be fetched; and, if it
    /// has no such branch, the error that says so.
    pub fn wanted(
        &self,
        remote: &str,
        branch: &str,
        kept: &Mirrored,
    ) -> Result<(Vec<Wanted>, Option<GitError>), GitError> {
        let aside = ASIDE.map(|start| format!("{start}*"));
        let [heads, tags] = &aside;
        let patterns = [branch, "refs/two-key/*", heads, tags, "refs/notes/two-key/*", "refs/tags/rollout/*"];
        let there = self.ls_remote(remote, &patterns)?;
        self.forget_taken_back(remote, kept, &there)?;
        // Who fetches with plain Git gets those as well, and would get no others whose names they are in the way of.
        self.clear_mirror(remote, kept);
        let lost = (!there.iter().any(|(name, _)| name == branch))
            .then(|| GitError::NoBranch { remote: remote.to_owned(), branch: branch.to_owned() });
        // What is only kept aside is fetched again, until the clone takes it.
        let is_here = |name: &str, id: &Oid| kept.get(name) == Some(id) && !self.aside().has(name);
        let wanted = there.into_iter().filter(|(name, id)| !is_here(&mirrored(remote, name), id));
        let ranked = |(name, id): (String, Oid)| {
            let rank = match place(&name, branch) {
                RefMeaning::Stop { .. } => Rank::Stop,
                RefMeaning::Branch => Rank::Branch,
                RefMeaning::Tag { .. } | RefMeaning::Notes(_) | RefMeaning::Applier(_) => Rank::Other,
                // Names that nobody reads, some of which would be in the way of others.
                RefMeaning::Foreign | RefMeaning::Other => return None,
            };
            Some(Wanted { rank, name, id })
        };
        let mut wanted: Vec<Wanted> = wanted.filter_map(ranked).collect();
        wanted.sort_unstable();
        Ok((wanted, lost))
    }

    /// Forgets that a remote had a stop that was signed here and that it has no more: it is to be delivered again. Those of
    /// others stay, as this clone may be all that has them.
    fn forget_taken_back(&self, remote: &str, kept: &Mirrored, there: &[(String, Oid)]) -> Result<(), GitError> {
        let stops = mirrored(remote, refs::STOPS);
        let aside = ASIDE.map(|start| mirrored(remote, start));
        let is_stop = |name: &str| name.starts_with(&stops) || aside.iter().any(|start| name.starts_with(start));
        let there: BTreeSet<String> = there.iter().map(|(name, _)| mirrored(remote, name)).collect();
        let mut gone = kept.iter().filter(|(name, _)| is_stop(name) && !there.contains(*name)).peekable();
        if gone.peek().is_none() {
            return Ok(());
        }
        let signed = self.refs(&[refs::space(refs::SIGNED_STOPS)])?;
        let signed: BTreeSet<Oid> = signed.into_iter().map(|(_, id)| id).collect();
        gone.filter(|(_, id)| signed.contains(id)).try_for_each(|(name, id)| self.delete_ref(name, *id))
    }

    /// Fetches some of a remote's refs into its mirror. What came is handed over as it comes; what did not is returned.
    pub fn bring(&self, remote: &str, wanted: &[Wanted], came: &mut dyn FnMut(Mirrored)) -> Vec<Missed> {
        let stops = wanted.iter().take_while(|wanted| wanted.rank == Rank::Stop).count();
        let (stops, others) = wanted.split_at(stops);
        let mut missed = Vec::new();
        for group in [stops, others] {
            self.bring_apart(remote, group, &mut 0, came, &mut missed);
        }
        missed
    }

    /// Fetches a group; where that fails, its parts, so that none hides another.
    fn bring_apart(
        &self,
        remote: &str,
        wanted: &[Wanted],
        failed: &mut usize,
        came: &mut dyn FnMut(Mirrored),
        missed: &mut Vec<Missed>,
    ) {
        let Some(first) = wanted.first() else { return };
        let refs = || -> Mirrored { wanted.iter().map(|one| (mirrored(remote, &one.name), one.id)).collect() };
        let Err(error) = self.limited(self.fetch_objects(remote, wanted)).bytes() else {
            missed.extend(self.write_down(remote, wanted));
            if self.aside().forget(refs().keys().map(String::as_str)) {
                self.idle().renew();
            }
            came(refs());
            return;
        };
        // A clone that cannot be written keeps nothing away. Whether that was it shows.
        let took_long = matches!(error, GitError::TimedOut { .. });
        if !took_long && self.fetch_aside(remote, wanted, refs(), &error) {
            came(refs());
            return;
        }
        *failed += if took_long { TIMED_OUT } else { 1 };
        if wanted.len() == 1 || *failed > MAX_FAILED {
            let one = |wanted: &Wanted| Missed { wanted: wanted.clone(), error: error.clone() };
            missed.extend(wanted.iter().map(one));
            return;
        }
        let at = if first.rank == Rank::Branch { 1 } else { wanted.len() / 2 };
        let (one, other) = wanted.split_at(at);
        self.bring_apart(remote, one, failed, came, missed);
        self.bring_apart(remote, other, failed, came, missed);
    }

    /// Fetches objects that the clone does not take, and keeps them aside; true if that could be done.
    fn fetch_aside(&self, remote: &str, wanted: &[Wanted], refs: Mirrored, why: &GitError) -> bool {
        let fetch = || self.limited(self.fetch_objects(remote, wanted));
        let kept = self.aside().fetch(self.common_dir(), refs, why, fetch);
        if kept {
            // Readers that run already do not see it.
            self.idle().renew();
        }
        kept
    }

    /// Why the clone could not be written, as long as something that was fetched is not in it.
    pub fn unwritten(&self) -> Option<GitError> {
        self.aside().unwritten(self.common_dir())
    }

    /// What fetches objects by their ids, with all that they need, into no ref. What is kept aside does not count as here.
    fn fetch_objects(&self, remote: &str, wanted: &[Wanted]) -> Program {
        let ids: BTreeSet<Oid> = wanted.iter().map(|wanted| wanted.id).collect();
        let input = ids.iter().fold(String::new(), |mut input, id| {
            let _ = writeln!(input, "{id}");
            input
        });
        let options = ["--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules"];
        // FETCH_HEAD is what the user fetched last. An empty refmap keeps the configured refspecs out.
        let program = self.git_alone().args(NO_BACKGROUND).args(UNJUDGED).arg("fetch").args(options);
        program.args(["--stdin", "--refmap=", "--", remote]).input(input)
    }

    /// Writes the mirror's refs. They have names of few shapes, none of which is in another's way; but a process that was
    /// killed may have left a lock behind, and a mirror of old may hold names that are in the way.
    fn write_down(&self, remote: &str, wanted: &[Wanted]) -> Vec<Missed> {
        let write = |wanted: &[Wanted]| {
            let refs: Vec<_> = wanted.iter().map(|wanted| (mirrored(remote, &wanted.name), wanted.id)).collect();
            self.set_refs(&refs, "two-key: fetch")
        };
        if write(wanted).is_ok() {
            return Vec::new();
        }
        let kept = self.refs(&[mirrored(remote, "refs/").trim_end_matches('/')]).unwrap_or_default();
        self.clear_mirror(remote, &kept.into_iter().collect());
        let missed = |wanted: &Wanted| {
            let error = write(std::slice::from_ref(wanted)).err()?;
            Some(Missed { wanted: wanted.clone(), error })
        };
        wanted.iter().filter_map(missed).collect()
    }

    /// Deletes what nobody reads from a mirror.
    fn clear_mirror(&self, remote: &str, kept: &Mirrored) {
        let folder = mirrored(remote, "refs/");
        for (name, id) in kept {
            let Some(rest) = name.strip_prefix(&folder) else { continue };
            // There may be tens of thousands of tags, which are never in the way of others.
            let is_tag = rest.starts_with("tags/");
            if !is_tag && matches!(place(&format!("refs/{rest}"), ""), RefMeaning::Foreign | RefMeaning::Other) {
                // What cannot be deleted says so when something is to be written in its place.
                let _ = self.delete_ref(name, *id);
            }
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
        assert_eq!(mirrored("origin", "refs/heads/two-key-stop-b"), "refs/two-key-remote/origin/heads/two-key-stop-b");
        assert_eq!(mirrored("origin", "refs/notes/two-key/*"), "refs/two-key-remote/origin/notes/two-key/*");
        let url = mirrored("https://git.example/x.git", "refs/two-key/x");
        assert!(url.starts_with(refs::MIRROR) && !url.contains(".git") && url.ends_with("/two-key/x"), "{url}");
        assert_ne!(url, mirrored("https://git.example/y.git", "refs/two-key/x"));
    }
}
