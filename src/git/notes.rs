//! The inbox: notes under `refs/notes/two-key/`, one ref a principal.

use std::collections::HashSet;

use super::{GitError, Objects, Repository, tree::Node};
use crate::{
    model::{Oid, PrincipalId},
    signature::note::MAX_NOTE,
};

/// Where notes live.
pub const NOTES: &str = "refs/notes/two-key/";
/// How many digits an object id has at most.
const MAX_DIGITS: usize = 64;

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

impl Repository {
    /// All notes on the refs of known principals under a prefix: [`NOTES`], or where a remote's are kept. What is no note is
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

    /// Appends to a principal's note on an object.
    pub fn append_note(&self, principal: &PrincipalId, annotated: Oid, text: &str) -> Result<(), GitError> {
        let who = self.who(principal.as_str())?;
        let name = format!("{NOTES}{principal}");
        let program = who.author_and_committer(self.run(&["notes", "--ref", &name, "append", "-F", "-"]));
        program.arg(annotated.to_string()).input(text).bytes().map(drop)
    }
}

impl Objects {
    /// The notes of one notes commit. The note's path is the annotated id, cut into folders of two digits. What is no
    /// commit or no note, or too large, is left out: nobody's note may stand in the way of the others.
    /// So is a copy of a note on another object: it says nothing new.
    pub fn notes_of(&mut self, principal: &PrincipalId, tip: Oid) -> Result<Vec<Note>, GitError> {
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
                    Node::Folder(folder) if name.len() == 2 && path.len() < MAX_DIGITS => folders.push((path, folder)),
                    Node::File(note) => found.extend(Oid::parse(&path).map(|annotated| (annotated, note))),
                    Node::Folder(_) | Node::Other | Node::Absent => {}
                }
            }
        }
        found.sort_unstable();
        let (mut notes, mut met) = (Vec::new(), HashSet::new());
        for (annotated, note) in found {
            if met.insert(note) && self.is_file_up_to(note, MAX_NOTE)? {
                notes.push(Note { principal: principal.clone(), annotated, bytes: self.blob(note)? });
            }
        }
        Ok(notes)
    }
}
