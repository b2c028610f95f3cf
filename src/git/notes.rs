//! The inbox: notes under `refs/notes/two-key/`, one ref a principal.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{GitError, NewCommit, Objects, Repository, SignWith, tree::Node};
use crate::{
    model::{Fingerprint, Oid, PrincipalId, Statement, policy::Principal},
    signature::{Inbox, note::MAX_NOTE},
};

/// The longest path of a folder of notes, in a repository of SHA-256: one digit pair of the id is left.
const MAX_PATH: usize = 3 * 31;

/// One note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whose ref it is on.
    pub principal: PrincipalId,
    /// The lease's or policy's blob that it is about.
    pub annotated: Oid,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A vote that a note holds, as it says itself: nobody has checked its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedVote {
    /// Whose ref it is on.
    pub principal: PrincipalId,
    /// What it is for.
    pub statement: Statement,
    /// Which key.
    pub key: Fingerprint,
    /// The notes commit that first held it, of those that were looked at.
    pub commit: Oid,
    /// When that commit says that it was made, in seconds since 1970.
    pub made: i64,
}

/// What becomes of a note that has no room for an entry more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullNote {
    /// It goes, with what anybody wrote there.
    GivesWay,
    /// It stays, and the entry goes on another object.
    Stays,
}

/// How many commits of a notes ref are looked at, the newest, to find when its votes were made.
const MAX_LOOK_BACK: &str = "--max-count=1000";

/// A note where it stands in a notes tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct NoteFile {
    annotated: Oid,
    note: Oid,
    path: String,
}

/// A note that a notes commit wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WrittenNote {
    commit: Oid,
    made: i64,
    note: Oid,
}

impl Repository {
    /// All notes on the refs of known principals under a prefix: [`NOTES`](crate::model::refs::NOTES), or where a remote's are kept. What is no note is
    /// left out.
    pub fn notes(&self, prefix: &str, is_known: impl Fn(&PrincipalId) -> bool) -> Result<Vec<Note>, GitError> {
        let refs = self.refs(&[prefix.trim_end_matches('/')])?;
        let mut notes = Vec::new();
        if refs.is_empty() {
            return Ok(notes);
        }
        let mut objects = self.objects()?;
        for (name, tip) in refs {
            let principal = name.strip_prefix(prefix).and_then(PrincipalId::parse).filter(&is_known);
            if let Some(principal) = principal {
                notes.extend(objects.notes_of(&principal, tip)?);
            }
        }
        Ok(notes)
    }

    /// When the votes were made that notes under a prefix hold, oldest first, as the notes commits say.
    pub fn noted(
        &self,
        prefix: &str,
        principals: &BTreeMap<PrincipalId, Principal>,
    ) -> Result<Vec<NotedVote>, GitError> {
        let mut noted = Vec::new();
        for (name, tip) in self.refs(&[prefix.trim_end_matches('/')])? {
            let known = name.strip_prefix(prefix).and_then(PrincipalId::parse);
            let Some((id, principal)) = known.and_then(|id| principals.get_key_value(&id)) else { continue };
            let written = self.written_notes(tip)?;
            let blobs: Vec<Oid> = written.iter().map(|written| written.note).collect();
            let bytes = self.objects()?.blobs_up_to(&blobs, MAX_NOTE)?;
            let mut inbox = Inbox::new(id, &principal.keys);
            for WrittenNote { commit, made, note } in written {
                for entry in bytes.get(&note).map(|bytes| inbox.read(bytes)).unwrap_or_default() {
                    let Some((statement, key)) = entry.says() else { continue };
                    let (principal, statement, key) = (id.clone(), statement.clone(), key.fingerprint());
                    noted.push(NotedVote { principal, statement, key, commit, made });
                }
            }
        }
        Ok(noted)
    }

    /// Which notes the commits of a notes ref wrote, oldest first. A ref that is none has none.
    fn written_notes(&self, tip: Oid) -> Result<Vec<WrittenNote>, GitError> {
        let settings = ["-c", "log.showSignature=false", "-c", "log.showRoot=true"];
        let form =
            ["--first-parent", "--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-renames", "--format=%H %ct"];
        let program = self.git().args(settings).arg("log").args(form).args([MAX_LOOK_BACK, &tip.to_string()]);
        let lines = match program.lines() {
            Err(GitError::Program { .. }) => return Ok(Vec::new()),
            lines => lines?,
        };
        let (mut written, mut at) = (Vec::new(), None);
        for line in lines {
            match line.strip_prefix(':') {
                // `<mode> <mode> <id> <id> <status>\t<path>`
                Some(change) => {
                    let note = change.split(' ').nth(3).and_then(Oid::parse).filter(|note| *note != self.zero());
                    written.extend(at.zip(note).map(|((commit, made), note)| WrittenNote { commit, made, note }));
                }
                None => {
                    at = line.split_once(' ').and_then(|(id, made)| Some((Oid::parse(id)?, made.parse().ok()?)));
                }
            }
        }
        written.reverse();
        Ok(written)
    }

    /// Makes a notes commit that continues another, if there is one, with further entries, each with the object that it is about.
    /// What stands in its tree stays, as far as Git can take it over, but for full notes that may give way. No ref is moved.
    pub fn with_notes(
        &self,
        principal: &PrincipalId,
        onto: Option<Oid>,
        entries: &[(Oid, &str)],
        full: FullNote,
    ) -> Result<Oid, GitError> {
        let mut objects = self.objects()?;
        let (mut there, mut paths) = (BTreeMap::new(), HashMap::new());
        for file in onto.map(|tip| objects.note_files(tip)).transpose()?.unwrap_or_default() {
            if let Some(bytes) = objects.note(file.note)? {
                there.insert(file.annotated, bytes);
            }
            paths.insert(file.annotated, file.path);
        }
        let mut changed: BTreeMap<Oid, Vec<u8>> = BTreeMap::new();
        for (annotated, entry) in entries {
            let mut annotated = *annotated;
            let mut note = changed.remove(&annotated).or_else(|| there.get(&annotated).cloned()).unwrap_or_default();
            if !has_room(&note, entry) {
                if full == FullNote::Stays {
                    changed.insert(annotated, note);
                    // Nobody can have foreseen the signature, and filled that one too.
                    annotated = self.write_blob(entry.as_bytes())?;
                }
                note = Vec::new();
            }
            changed.insert(annotated, appended(&note, entry));
        }
        let tree = onto.map(|tip| objects.links(tip)).transpose()?.map(|links| links.tree);
        let path = |annotated: &Oid| paths.get(annotated).cloned().unwrap_or_else(|| annotated.to_string());
        let tree = match self.tree_of_notes(tree, changed.iter().map(|(id, note)| (path(id), note))) {
            // Git takes no tree up with names that it would not check out. Then its notes are all that is kept of it.
            Err(GitError::Program { .. }) if tree.is_some() => {
                there.extend(changed);
                self.tree_of_notes(None, there.iter().map(|(id, note)| (id.to_string(), note)))?
            }
            tree => tree?,
        };
        let message = format!("Notes of {principal}\n");
        let (sign, who) = (SignWith::Nobody, principal.as_str());
        self.commit_tree(&NewCommit { tree, parents: onto.as_slice(), message: &message, sign, who })
    }

    fn tree_of_notes<'a>(
        &self,
        tree: Option<Oid>,
        notes: impl Iterator<Item = (String, &'a Vec<u8>)>,
    ) -> Result<Oid, GitError> {
        let notes: Vec<_> = notes.collect();
        let files: Vec<_> = notes.iter().map(|(path, note)| (path.as_str(), Some(note.as_slice()))).collect();
        self.with_files(tree, &files)
    }
}

impl Objects {
    /// The notes of one notes commit. What is no commit or no note, or too large, is left out: nobody's note may stand in the
    /// way of the others. So is a copy of a note on another object: it says nothing new.
    pub fn notes_of(&mut self, principal: &PrincipalId, tip: Oid) -> Result<Vec<Note>, GitError> {
        let places = self.note_places(tip)?;
        self.notes_at(principal, &places)
    }

    /// Of each note of a notes commit the object that it is about, and its own id.
    pub(super) fn note_places(&mut self, tip: Oid) -> Result<Vec<(Oid, Oid)>, GitError> {
        let mut found = self.note_files(tip)?;
        found.sort_unstable();
        let mut met = HashSet::new();
        found.retain(|file| met.insert(file.note));
        Ok(found.into_iter().map(|file| (file.annotated, file.note)).collect())
    }

    /// The notes in some such places.
    pub(super) fn notes_at(&mut self, principal: &PrincipalId, places: &[(Oid, Oid)]) -> Result<Vec<Note>, GitError> {
        let ids: Vec<Oid> = places.iter().map(|(_, note)| *note).collect();
        let mut bytes = self.blobs_up_to(&ids, MAX_NOTE)?;
        let read = places.iter().filter_map(|(annotated, note)| Some((*annotated, bytes.remove(note)?)));
        Ok(read.map(|(annotated, bytes)| Note { principal: principal.clone(), annotated, bytes }).collect())
    }

    /// A note's bytes, if it is one that anybody reads.
    fn note(&mut self, id: Oid) -> Result<Option<Vec<u8>>, GitError> {
        if self.is_file_up_to(id, MAX_NOTE)? { self.blob(id).map(Some) } else { Ok(None) }
    }

    /// Where the notes of a notes commit are. A note's path is the annotated id, cut into folders of two digits.
    fn note_files(&mut self, tip: Oid) -> Result<Vec<NoteFile>, GitError> {
        let mut found = Vec::new();
        let mut folders = match self.links(tip) {
            Ok(links) => vec![(String::new(), links.tree)],
            Err(error) => return error.verdict().map(|_| Vec::new()),
        };
        // A folder that stands in many others, as deep, holds the same notes there.
        let mut met = HashSet::new();
        while let Some((prefix, folder)) = folders.pop() {
            if !met.insert((prefix.len(), folder)) {
                continue;
            }
            for (name, node) in self.tree(folder)?.unwrap_or_default().iter() {
                let digits = name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                let Some(name) = std::str::from_utf8(name).ok().filter(|_| digits) else { continue };
                let path = format!("{prefix}{name}");
                match node {
                    Node::Folder(folder) if name.len() == 2 && path.len() < MAX_PATH => {
                        folders.push((path + "/", folder));
                    }
                    Node::File(note) => {
                        let annotated = Oid::parse(&path.replace('/', ""));
                        found.extend(annotated.map(|annotated| NoteFile { annotated, note, path }));
                    }
                    Node::Folder(_) | Node::Other | Node::Absent => {}
                }
            }
        }
        Ok(found)
    }
}

/// Whether anybody would read a note with an entry more.
fn has_room(note: &[u8], entry: &str) -> bool {
    note.trim_ascii_end().len() + "\n\n\n".len() + entry.trim_matches('\n').len() <= MAX_NOTE
}

/// A note's bytes with an entry more. What nobody reads gives way.
fn appended(note: &[u8], entry: &str) -> Vec<u8> {
    let entry = format!("{}\n", entry.trim_matches('\n'));
    let before = note.trim_ascii_end();
    if before.is_empty() || std::str::from_utf8(before).is_err() {
        return entry.into_bytes();
    }
    [before, b"\n\n", entry.as_bytes()].concat()
}
