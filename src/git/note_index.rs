//! Index of notes: on which leases the notes of a ref hold votes, so that those of leases that have ended are not read each time.
//!
//! It follows from the ref's tip alone, and lies beside what is remembered of the ledger. Anything off about it, and it is made anew.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
};

use serde::{Deserialize, Serialize};

use super::{
    GitError, Memory, Note, Objects, Repository,
    checkpoint::{self, BUILD},
    shared,
    table::Table,
};
use crate::{
    model::{LeaseId, Oid, PrincipalId},
    signature::Inbox,
};

const FILE: &str = "notes";

/// A note, and what is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct IndexedNote {
    annotated: Oid,
    note: Oid,
    /// The leases on which it holds votes; none where something in it is a stop, or about no lease: that may always count.
    leases: Option<BTreeSet<LeaseId>>,
}

/// The notes of a ref.
#[derive(Debug, Serialize, Deserialize)]
struct OfRef {
    tip: Oid,
    notes: Vec<IndexedNote>,
}

/// What is known of notes, by the refs' names.
#[derive(Debug, Default)]
struct Index(Option<Table>);

impl Repository {
    /// The notes on the refs of known principals under a prefix, but for those in which nothing could count: a vote that is no stop
    /// counts on an open lease alone.
    pub fn notes_that_could_count(
        &self,
        prefix: &str,
        is_known: impl Fn(&PrincipalId) -> bool,
        open: &BTreeSet<LeaseId>,
        memory: &Memory,
    ) -> Result<Vec<Note>, GitError> {
        let refs = self.refs(&[prefix.trim_end_matches('/')])?;
        let index = if memory.is_kept() && !refs.is_empty() { Index::open(self) } else { Index::default() };
        let (mut objects, mut fresh, mut notes) = (self.objects()?, BTreeMap::new(), Vec::new());
        for (name, tip) in refs {
            let principal = name.strip_prefix(prefix).and_then(PrincipalId::parse).filter(&is_known);
            let Some(principal) = principal else { continue };
            let known = index.of(&name);
            let listed = match known {
                Some(known) if known.tip == tip => known.notes,
                known => {
                    let listed = listed(&mut objects, &principal, tip, known)?;
                    fresh.insert(name, serde_json::to_vec(&OfRef { tip, notes: listed.clone() }).unwrap_or_default());
                    listed
                }
            };
            let could_count = |note: &&IndexedNote| note.leases.as_ref().is_none_or(|leases| !leases.is_disjoint(open));
            let places: Vec<_> = listed.iter().filter(could_count).map(|note| (note.annotated, note.note)).collect();
            notes.extend(objects.notes_at(&principal, &places)?);
        }
        if memory.is_kept() && !fresh.is_empty() {
            // It only saves time.
            let _ = index.save(self, fresh);
        }
        Ok(notes)
    }
}

/// What the notes at a tip are about. Those that were there before are not read again.
fn listed(
    objects: &mut Objects,
    principal: &PrincipalId,
    tip: Oid,
    known: Option<OfRef>,
) -> Result<Vec<IndexedNote>, GitError> {
    let known = known.into_iter().flat_map(|known| known.notes).map(|note| (note.note, note.leases));
    let known: HashMap<Oid, _> = known.collect();
    let (there, new): (Vec<_>, Vec<_>) =
        objects.note_places(tip)?.into_iter().partition(|(_, note)| known.contains_key(note));
    let of = |(annotated, note): (Oid, Oid)| IndexedNote {
        annotated,
        note,
        leases: known.get(&note).cloned().unwrap_or_default(),
    };
    let mut all: Vec<_> = there.into_iter().map(of).collect();
    for place in new {
        // One that is too large to be read is not listed.
        let read = objects.notes_at(principal, &[place])?;
        let (annotated, note) = place;
        all.extend(read.iter().map(|read| IndexedNote { annotated, note, leases: leases_in(principal, &read.bytes) }));
    }
    all.sort_unstable_by_key(|note| (note.annotated, note.note));
    Ok(all)
}

/// The leases on which a note holds votes; none where something in it may count without one.
fn leases_in(principal: &PrincipalId, note: &[u8]) -> Option<BTreeSet<LeaseId>> {
    let entries = Inbox::new(principal, &[]).read(note);
    let statements = entries.iter().filter_map(|entry| entry.statement());
    statements
        .map(|statement| statement.lease().filter(|_| !statement.action().stops()).cloned())
        .collect::<Option<BTreeSet<_>>>()
}

impl Index {
    fn open(repository: &Repository) -> Self {
        let table = Table::open(&checkpoint::folder(repository).join(FILE));
        Self(table.ok().filter(|(_, head)| head == BUILD.as_bytes()).map(|(table, _)| table))
    }

    fn of(&self, name: &str) -> Option<OfRef> {
        let record = self.0.as_ref()?.get(name).ok()??;
        serde_json::from_slice(&record).ok()
    }

    fn save(&self, repository: &Repository, fresh: BTreeMap<String, Vec<u8>>) -> io::Result<()> {
        let folder = checkpoint::folder(repository);
        shared::create(repository, &folder)?;
        let mut all = self.0.as_ref().and_then(|table| table.all().ok()).unwrap_or_default();
        all.extend(fresh);
        let file = checkpoint::new_file(&folder)?;
        Table::write(file.as_file(), BUILD.as_bytes(), &all)?;
        fs::rename(file.into_temp_path(), folder.join(FILE))
    }
}
