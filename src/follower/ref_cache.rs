//! The refs that are known here, ours and a remote's, kept in memory from look to look: what did not move costs nothing.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    git::{GitError, Mirrored, RefFiles, Repository, mirrored},
    model::{Oid, PrincipalId},
    push::ASIDE,
};

use super::mirror::accepted_ref;

/// Where governed refs are, apart from the branch.
const SPACES: [&str; 3] = ["refs/two-key", "refs/notes/two-key", "refs/tags/rollout"];

/// Refs by their full names.
pub(super) type Listing = BTreeMap<String, Oid>;

/// The refs that are known here.
#[derive(Debug, Clone)]
pub(super) struct RefCache {
    branch: String,
    remote: Option<String>,
    /// What we have, and what belongs to this applier alone.
    prefixes: Vec<String>,
    ours: Arc<Listing>,
    /// What is kept here of the remote, by the names that it has here.
    theirs: Arc<Mirrored>,
    edition: u64,
    still: Option<Still>,
}

/// The coarsest that files' times are.
const COARSE: Duration = Duration::from_secs(3);

/// What the files of our refs have been like since some moment.
#[derive(Debug, Clone)]
struct Still {
    files: RefFiles,
    since: Instant,
    /// Whether refs were listed when that had been so for a while. Whatever moves one after that leaves another time on some file.
    listed: bool,
}

impl Still {
    /// What the files are like now, seen after what they were like before.
    fn after(before: Option<Self>, files: RefFiles) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "how long this process has seen something, which nobody else asks"
        )]
        let now = Instant::now();
        match before.filter(|before| before.files == files) {
            Some(before) => {
                let listed = now.duration_since(before.since) >= COARSE;
                Self { listed, ..before }
            }
            None => Self { files, since: now, listed: false },
        }
    }
}

impl RefCache {
    pub(super) fn new(
        repository: &Repository,
        remote: Option<&str>,
        branch: &str,
        name: &PrincipalId,
    ) -> Result<Self, GitError> {
        let mut prefixes: Vec<String> = SPACES.map(str::to_owned).into();
        prefixes.extend(ASIDE.map(|start| format!("{start}*")));
        prefixes.extend([branch.to_owned(), accepted_ref(name)]);
        let theirs = remote.map(|remote| repository.mirror(remote, branch)).transpose()?.unwrap_or_default();
        let (branch, remote) = (branch.to_owned(), remote.map(str::to_owned));
        let mut known =
            Self { branch, remote, prefixes, ours: Arc::default(), theirs: Arc::new(theirs), edition: 0, still: None };
        known.list_ours(repository)?;
        Ok(known)
    }

    /// Looks where our own refs are; Git is asked only where some may have moved.
    pub(super) fn list_ours(&mut self, repository: &Repository) -> Result<(), GitError> {
        let files = repository.ref_files();
        let is_still = |still: &Still| still.listed && files.as_ref() == Some(&still.files);
        if self.still.as_ref().is_some_and(is_still) {
            return Ok(());
        }
        let before = self.still.take();
        let ours = list(repository, &self.prefixes)?;
        if ours != *self.ours {
            self.ours = Arc::new(ours);
            self.edition += 1;
        }
        self.still = files.map(|files| Still::after(before, files));
        Ok(())
    }

    /// Refs of ours were moved by us.
    pub(super) fn moved(&mut self, refs: impl IntoIterator<Item = (String, Oid)>) {
        let mut refs = refs.into_iter().peekable();
        if refs.peek().is_some() {
            Arc::make_mut(&mut self.ours).extend(refs);
            self.edition += 1;
        }
    }

    /// The refs of ours that are elsewhere than they were, or new.
    pub(super) fn moved_since(&self, before: &Self) -> Vec<(String, Oid)> {
        if Arc::ptr_eq(&self.ours, &before.ours) {
            return Vec::new();
        }
        let moved = self.ours.iter().filter(|(name, id)| before.ours.get(*name) != Some(*id));
        moved.map(|(name, id)| (name.clone(), *id)).collect()
    }

    /// What is kept of the remote.
    pub(super) fn theirs(&self) -> Arc<Mirrored> {
        Arc::clone(&self.theirs)
    }

    /// More of the remote's refs are here.
    pub(super) fn fetched(&mut self, came: Mirrored) {
        if !came.is_empty() {
            Arc::make_mut(&mut self.theirs).extend(came);
            self.edition += 1;
        }
    }

    /// A number that changes whenever a ref does.
    pub(super) fn edition(&self) -> u64 {
        self.edition
    }

    /// Where a ref is, by its full name here.
    pub(super) fn at(&self, name: &str) -> Option<Oid> {
        self.ours.get(name).or_else(|| self.theirs.get(name)).copied()
    }

    /// Our refs below a prefix.
    pub(super) fn ours_below(&self, prefix: &str) -> Vec<(String, Oid)> {
        let from = self.ours.range(prefix.to_owned()..);
        from.take_while(|(name, _)| name.starts_with(prefix)).map(|(name, id)| (name.clone(), *id)).collect()
    }

    /// Whether the remote has some ref whose name here begins so.
    pub(super) fn has_below(&self, prefix: &str) -> bool {
        self.theirs.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// All of them, by the names that they have where they come from.
    pub(super) fn governed(&self) -> impl Iterator<Item = (String, Oid)> {
        let kept = self.remote.as_ref().map(|remote| (mirrored(remote, "refs/"), mirrored(remote, &self.branch)));
        let own = move |name: &str| match &kept {
            Some((_, branch)) if name == branch => self.branch.clone(),
            Some((kept, _)) => name.strip_prefix(kept).map_or_else(|| name.to_owned(), |rest| format!("refs/{rest}")),
            None => name.to_owned(),
        };
        let ours = self.ours.iter().map(|(name, id)| (name.clone(), *id));
        ours.chain(self.theirs.iter().map(move |(name, id)| (own(name), *id)))
    }
}

fn list(repository: &Repository, prefixes: &[String]) -> Result<Listing, GitError> {
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    Ok(repository.refs(&prefixes)?.into_iter().collect())
}
