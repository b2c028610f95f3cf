//! Changes of a notes ref by a push. Folders are compared, and equal ones never read.

use std::{collections::HashMap, sync::Arc};

use super::{
    GitError, ObjectKind, Objects,
    tree::{Node, Tree},
};
use crate::{
    model::Oid,
    push::{NoteChange, NotesFacts},
};

/// Notes that a push may change on one ref, and their bytes.
const MAX_NOTES: usize = 10_000;
const MAX_BYTES: usize = 64 << 20;
/// Entries that are looked at. Folders can be shared between folders, so a small push can spell out any number.
const MAX_ENTRIES: usize = 1_000_000;
/// Folders that are read.
const MAX_FOLDERS: usize = 5_000;
/// Entries that are no notes and are told of.
const MAX_STRAYS: usize = 10;

/// What is to be known of a notes ref.
pub(super) fn notes_facts(objects: &mut Objects, old: Option<Oid>, new: Oid) -> Result<NotesFacts, GitError> {
    if objects.kind(new)? != ObjectKind::Commit {
        let strays = vec!["its tip is no commit".to_owned()];
        return Ok(NotesFacts { fast_forward: old.is_none(), strays, changes: Vec::new() });
    }
    // What was there before could be anything: it came by another way. What is no commit holds no notes, and gives way.
    let before = old.and_then(|old| {
        objects.links(old).map_or_else(|error| error.verdict().err().map(Err), |links| Some(Ok(links.tree)))
    });
    let before = before.transpose()?;
    if before.is_some() && !objects.repository().continues(old, new)? {
        return Ok(NotesFacts::default());
    }
    let after = objects.links(new)?.tree;
    let mut walk = NotesWalk { folders: vec![(String::new(), before, Some(after))], ..NotesWalk::default() };
    while let Some((prefix, before, after)) = walk.folders.pop() {
        if before != after {
            walk.compare(objects, &prefix, before, after)?;
        }
    }
    let mut changes: Vec<NoteChange> = walk.changes.into_values().collect();
    changes.sort_by_key(|change| change.object);
    Ok(NotesFacts { fast_forward: true, strays: walk.strays, changes })
}

/// Two trees being compared.
#[derive(Default)]
struct NotesWalk {
    /// Folders that differ: where, before, after.
    folders: Vec<(String, Option<Oid>, Option<Oid>)>,
    /// What has been read: a folder can stand in many others, and a note on many objects.
    trees: HashMap<Oid, Option<Arc<Tree>>>,
    blobs: HashMap<Oid, Vec<u8>>,
    changes: HashMap<Oid, NoteChange>,
    strays: Vec<String>,
    entries: usize,
    read: usize,
    bytes: usize,
}

impl NotesWalk {
    fn compare(
        &mut self,
        objects: &mut Objects,
        prefix: &str,
        before: Option<Oid>,
        after: Option<Oid>,
    ) -> Result<(), GitError> {
        self.read += 1;
        self.limit(self.read > MAX_FOLDERS, format!("{MAX_FOLDERS} folders"))?;
        let old = self.tree(objects, before)?.unwrap_or_default();
        let Some(new) = self.tree(objects, after)? else {
            self.stray(prefix.to_owned());
            return Ok(());
        };
        self.entries += old.len() + new.len();
        self.limit(self.entries > MAX_ENTRIES, format!("{MAX_ENTRIES} entries"))?;
        for (name, old, new) in old.differences(&new) {
            self.differs(objects, prefix, name, old, new)?;
        }
        Ok(())
    }

    /// A folder, none where there is something else, and an empty one where there is nothing.
    fn tree(&mut self, objects: &mut Objects, id: Option<Oid>) -> Result<Option<Arc<Tree>>, GitError> {
        let Some(id) = id else { return Ok(Some(Arc::default())) };
        if let Some(tree) = self.trees.get(&id) {
            return Ok(tree.clone());
        }
        let tree = objects.tree(id)?.map(Arc::new);
        self.trees.insert(id, tree.clone());
        Ok(tree)
    }

    /// A note's bytes.
    fn blob(&mut self, objects: &mut Objects, id: Oid) -> Result<Vec<u8>, GitError> {
        if let Some(bytes) = self.blobs.get(&id) {
            return Ok(bytes.clone());
        }
        let bytes = objects.blob(id)?;
        self.blobs.insert(id, bytes.clone());
        Ok(bytes)
    }

    fn differs(
        &mut self,
        objects: &mut Objects,
        prefix: &str,
        name: &[u8],
        old: Node,
        new: Node,
    ) -> Result<(), GitError> {
        let path = format!("{prefix}{}", String::from_utf8_lossy(name));
        let folder = |node| if let Node::Folder(id) = node { Some(id) } else { None };
        let file = |node| if let Node::File(id) = node { Some(id) } else { None };
        let fan_out = name.len() == 2 && path.len() < 64;
        if folder(old).or(folder(new)).is_some() && fan_out {
            self.folders.push((path.clone(), folder(old), folder(new)));
        }
        // Nobody reads what is spelled otherwise.
        let object = Oid::parse(&path).filter(|id| objects.repository().fits(*id) && id.to_string() == path);
        // What was no note may go; what comes has to be one.
        let note = match new {
            Node::Absent => true,
            Node::File(_) => object.is_some(),
            Node::Folder(_) => fan_out,
            Node::Other => false,
        };
        if !note {
            self.stray(path);
            return Ok(());
        }
        let (Some(object), (old, new)) = (object, (file(old), file(new))) else { return Ok(()) };
        if old.or(new).is_some() {
            self.note(objects, object, old, new)?;
        }
        Ok(())
    }

    /// Takes up a note that differs. One that moved between folders comes twice: once as it was, once as it is.
    fn note(&mut self, objects: &mut Objects, object: Oid, old: Option<Oid>, new: Option<Oid>) -> Result<(), GitError> {
        let old = old.map(|id| self.blob(objects, id)).transpose()?;
        let new = new.map(|id| self.blob(objects, id)).transpose()?;
        self.bytes += [&old, &new].into_iter().flatten().map(Vec::len).sum::<usize>();
        let change = self.changes.entry(object).or_insert(NoteChange { object, before: Vec::new(), after: None });
        let twice = change.after.is_some() && new.is_some();
        change.before.extend(old);
        change.after = new.or(change.after.take());
        if twice {
            self.stray(format!("a second note on {object}"));
        }
        self.limit(self.changes.len() > MAX_NOTES, format!("{MAX_NOTES} changed notes"))?;
        self.limit(self.bytes > MAX_BYTES, format!("{MAX_BYTES} bytes of changed notes"))
    }

    fn stray(&mut self, what: String) {
        if self.strays.len() < MAX_STRAYS {
            self.strays.push(what);
        }
    }

    fn limit(&self, exceeded: bool, limit: String) -> Result<(), GitError> {
        if exceeded {
            let what = format!("what the push changes in notes ({} entries)", self.entries);
            return Err(GitError::TooLarge { what, limit });
        }
        Ok(())
    }
}
