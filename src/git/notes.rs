//! The inbox: notes under `refs/notes/two-key/`, one ref a principal.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    GitError, Objects, Repository,
    tree::{Node, Tree},
};
use crate::{
    model::{Oid, PrincipalId},
    signature::note::MAX_NOTE,
};

/// Where notes live.
pub const NOTES: &str = "refs/notes/two-key/";
/// Entries of one notes tree that are looked at.
const MAX_NOTES: usize = 100_000;

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
    /// All notes of principals. What is on a ref that is no principal's, or is no note, is left out.
    pub fn notes(&self) -> Result<Vec<Note>, GitError> {
        self.notes_under(NOTES)
    }

    /// All notes on refs under a prefix, such as where a remote's notes are kept.
    pub fn notes_under(&self, prefix: &str) -> Result<Vec<Note>, GitError> {
        let refs = self.refs(&[prefix.trim_end_matches('/')])?;
        let mut notes = Vec::new();
        if refs.is_empty() {
            return Ok(notes);
        }
        let mut objects = self.objects()?;
        for (name, tip) in refs {
            let principal = name.strip_prefix(prefix).and_then(PrincipalId::parse);
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
    /// commit or no note, too large, or more than anybody writes, is left out: nobody's note may stand in the way of the others.
    /// So is a copy of a note on another object: it says nothing new.
    pub fn notes_of(&mut self, principal: &PrincipalId, tip: Oid) -> Result<Vec<Note>, GitError> {
        let mut found = Vec::new();
        let mut folders = match self.links(tip) {
            Ok(links) => vec![(String::new(), links.tree)],
            Err(error) => return error.verdict().map(|_| Vec::new()),
        };
        // A folder can stand in many others.
        let mut trees: HashMap<Oid, Arc<Tree>> = HashMap::new();
        let mut looked_at = 0;
        while let Some((prefix, folder)) = folders.pop() {
            let tree = match trees.get(&folder) {
                Some(tree) => Arc::clone(tree),
                None => Arc::new(self.tree(folder)?.unwrap_or_default()),
            };
            trees.insert(folder, Arc::clone(&tree));
            for (name, node) in tree.iter().take(MAX_NOTES - looked_at) {
                looked_at += 1;
                let Ok(name) = std::str::from_utf8(name) else { continue };
                let path = format!("{prefix}{name}");
                match node {
                    Node::Folder(folder) if name.len() == 2 && path.len() < 64 => folders.push((path, folder)),
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
