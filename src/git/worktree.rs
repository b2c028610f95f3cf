//! Worktree update: moving a branch that is checked out, when the move changes files.

use std::path::{Component, Path, PathBuf};

use super::{
    GitError, RefUpdate, Repository,
    command::{Program, path_from},
};
use crate::model::Oid;

/// One changed path between two commits.
struct ChangedPath {
    path: Vec<u8>,
    old: Option<Oid>,
    new: Option<Oid>,
    new_mode: String,
}

/// A path that a worktree was not brought up to date with.
#[derive(Debug)]
pub struct LeftOut {
    /// Where.
    pub path: String,
    /// Why.
    pub why: NotBroughtUp,
}

/// Why a path was not brought up to date.
#[derive(Debug)]
pub enum NotBroughtUp {
    /// Somebody edited it and has not committed that: committed as it is, it would take back what others changed.
    Edited,
    /// Git could not.
    Failed(GitError),
}

impl From<GitError> for NotBroughtUp {
    fn from(error: GitError) -> Self {
        Self::Failed(error)
    }
}

impl Repository {
    /// Moves or makes a branch, and where it is checked out brings the paths that changed up to date: in the index, and in the
    /// worktree unless the file there was edited. Statement commits change no file and need no more than
    /// [`Self::update_refs`]. Returned are the paths that could not be brought up to date, as those that Git writes into no
    /// worktree (`.git`, `..`), and why: the branch has moved, so they do not keep the others from it.
    pub fn advance_with_worktree(&self, update: &RefUpdate, reason: &str) -> Result<Vec<LeftOut>, GitError> {
        self.update_refs(std::slice::from_ref(update), reason)?;
        let Some(worktree) = self.worktree_of(&update.name)? else { return Ok(Vec::new()) };
        let worktree = Self::open(&worktree)?;
        if worktree.worktree().is_none() {
            // Git gives a bare repository's own folder for the branch that its HEAD names.
            return Ok(Vec::new());
        }
        Ok(worktree.bring_up_all(&self.changes(update.old, update.new)?))
    }

    /// Writes the files of what is checked out into an empty worktree. Returned are those that Git writes into none, and why:
    /// anybody may have put them there, so they do not keep the others from it.
    pub fn fill_worktree(&self) -> Result<Vec<LeftOut>, GitError> {
        let tip = self.head()?.map(|branch| self.resolve(&branch)).transpose()?.flatten();
        let Some(tip) = tip else { return Ok(Vec::new()) };
        if self.run(&["reset", "--hard", "--quiet"]).bytes().is_ok() {
            return Ok(Vec::new());
        }
        self.run(&["read-tree", "--empty"]).bytes()?;
        Ok(self.bring_up_all(&self.changes(None, tip)?))
    }

    /// Brings paths of this worktree up to date; those are returned with which that failed.
    fn bring_up_all(&self, changes: &[ChangedPath]) -> Vec<LeftOut> {
        let left_out = |change: &ChangedPath| {
            let why = self.bring_up(change).err()?;
            Some(LeftOut { path: String::from_utf8_lossy(&change.path).into_owned(), why })
        };
        changes.iter().filter_map(left_out).collect()
    }

    /// The symbolic link within the worktree that is on the way to a file, or in its place, if there is one: where that leads,
    /// whoever wrote the repository's files chose. Links elsewhere are their namer's own business, and followed.
    pub fn link_on_the_way(&self, file: &Path) -> Option<PathBuf> {
        let top = self.worktree()?.canonicalize().ok()?;
        let mut at = PathBuf::new();
        for part in file.components() {
            match part {
                Component::ParentDir => drop(at.pop()),
                Component::CurDir => {}
                part => at.push(part),
            }
            if at.is_symlink() {
                if at.parent().is_some_and(|folder| folder.starts_with(&top)) {
                    return Some(at);
                }
                at = at.canonicalize().ok()?;
            }
        }
        None
    }

    /// The worktree in which a branch is checked out.
    fn worktree_of(&self, name: &str) -> Result<Option<PathBuf>, GitError> {
        let mut path = self.run(&["for-each-ref", "--format=%(refname) %(worktreepath)", "--", name]).bytes()?;
        while path.last() == Some(&b'\n') {
            path.pop();
        }
        let path = path.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b" ")).unwrap_or_default();
        Ok(Some(path_from(path.to_vec())).filter(|path| path.is_absolute()))
    }

    /// Whether a tip has the files that a commit changed since its parent as another tip has them.
    pub fn agree_on(&self, tips: [Oid; 2], parent: Oid, commit: Oid) -> Result<bool, GitError> {
        let [one, other] = tips;
        let differ = self.changes(Some(one), other)?;
        let touched = self.changes(Some(parent), commit)?;
        Ok(!touched.iter().any(|touched| differ.iter().any(|differs| differs.path == touched.path)))
    }

    /// The files that differ between two commits, or between nothing and one.
    fn changes(&self, old: Option<Oid>, new: Oid) -> Result<Vec<ChangedPath>, GitError> {
        let old = match old {
            Some(old) => old,
            None => self.with_files(None, &[])?,
        };
        let (old, new) = (old.to_string(), new.to_string());
        // A rename would have two paths in one entry.
        let bytes = self.run(&["diff-tree", "-r", "-z", "--no-renames", &old, &new]).bytes()?;
        let mut fields = bytes.split(|byte| *byte == 0);
        let mut changes = Vec::new();
        // `:<old mode> <new mode> <old id> <new id> <status>`, then the path.
        while let (Some(head), Some(path)) = (fields.next(), fields.next()) {
            let head = String::from_utf8_lossy(head);
            let mut words = head.split(' ');
            let new_mode = words.nth(1).unwrap_or_default().to_owned();
            let id = |word: Option<&str>| Oid::parse(word.unwrap_or_default()).filter(|id| !id.is_zero());
            let (old, new) = (id(words.next()), id(words.next()));
            changes.push(ChangedPath { path: path.to_vec(), old, new, new_mode });
        }
        Ok(changes)
    }

    /// Brings one path of this worktree up to date. What somebody has staged or edited stays.
    fn bring_up(&self, change: &ChangedPath) -> Result<(), NotBroughtUp> {
        let path = path_from(change.path.clone());
        let staged = self.run(&["ls-files", "--stage", "-z", "--"]).arg(&path).bytes()?;
        let staged = staged.split(|byte| *byte == b' ').nth(1).map(String::from_utf8_lossy);
        let staged = staged.and_then(|id| Oid::parse(&id));
        let in_folder = self.in_folder(&path)?;
        if staged == change.old {
            let head = match change.new {
                Some(new) => format!("{} {new}\t", change.new_mode),
                // Mode 0 takes the path out of the index.
                None => format!("0 {}\t", self.zero()),
            };
            let input = [head.as_bytes(), &change.path, b"\0"].concat();
            self.run(&["update-index", "--add", "--replace", "-z", "--index-info"]).input(input).bytes()?;
        }
        if staged != change.old || in_folder != change.old || self.link_on_the_way(&self.top().join(&path)).is_some() {
            let differs = |found: Option<Oid>| found != change.old && found != change.new;
            // What is no plain file there (a link, a submodule, left out of a sparse checkout) is nobody's edit.
            let is_plain = self.top().join(&path).symlink_metadata().is_ok_and(|file| file.is_file());
            let is_edited = differs(staged) || (is_plain && differs(in_folder));
            return if is_edited { Err(NotBroughtUp::Edited) } else { Ok(()) };
        }
        if change.new.is_some() {
            self.run(&["checkout-index", "-f", "-u", "--"]).arg(&path).bytes()?;
        } else {
            let file = self.top().join(&path);
            std::fs::remove_file(&file).map_err(|error| GitError::io(format!("removing {}", file.display()), error))?;
        }
        Ok(())
    }

    /// The id of the file at a path of the worktree, after Git's own filters.
    fn in_folder(&self, path: &Path) -> Result<Option<Oid>, GitError> {
        if !self.top().join(path).is_file() {
            return Ok(None);
        }
        let program: Program = self.run(&["hash-object", "--"]).arg(path);
        self.id_from(program).map(Some)
    }

    fn top(&self) -> &Path {
        self.worktree().unwrap_or(self.git_dir())
    }
}
