//! Index of all that the ledger knows, by lease id: what grows with history, and of which a step needs little.
//!
//! A state may hold only some of it. Then whoever looks for what is not held gets nothing, *and the state says what was
//! missed* ([`super::State::missed`]): whatever came of it is void, and has to be done again with that supplied. So the
//! fold knows nothing of where the rest is, and what it finds out with a part is what it finds out with the whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{LeaseId, TargetId, lease, lease::Lease};

use super::{
    lease_state::LeaseState,
    proposal::{Brought, Content, ProposalFile},
    vote::Spent,
};

/// Files that are kept under one lease id. Each is compared with the others when it comes, and folders that share folders
/// spell out a hundred thousand of them in a few bytes.
const MAX_FILES: usize = 100;

/// All that is known under one lease id, without regard to case; or, under the empty one, of files whose names give none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeaseEntry {
    /// The tree's files, by path.
    pub(in crate::ledger) files: Vec<(String, ProposalFile<Lease>)>,
    /// Who brought bytes of a lease that no vote has pinned yet.
    pub(in crate::ledger) brought: Brought,
    /// Every id that a file was ever under, sorted: deleting the file does not outrun a stop.
    pub(in crate::ledger) proposed: Vec<LeaseId>,
    /// The leases that some key was turned for or against; more than one only where ids differ by case.
    pub(in crate::ledger) leases: Vec<LeaseState>,
    /// The stops that have been folded already.
    pub(in crate::ledger) stops_seen: BTreeSet<Spent>,
}

impl LeaseEntry {
    /// Takes note of an id that a file is under.
    pub(in crate::ledger) fn was_proposed(&mut self, id: &LeaseId) {
        if let Err(at) = self.proposed.binary_search(id) {
            self.proposed.reserve_exact(1);
            self.proposed.insert(at, id.clone());
        }
    }

    /// Where a file is among those that are kept, or would be.
    fn place_of(&self, path: &str) -> Result<usize, usize> {
        self.files.binary_search_by(|(other, _)| other.as_str().cmp(path))
    }

    /// Whether a file can be kept: it is already, or there are not too many.
    pub(in crate::ledger) fn takes_file(&self, path: &str) -> bool {
        self.files.len() < MAX_FILES || self.place_of(path).is_ok()
    }

    /// Keeps a file.
    pub(in crate::ledger) fn insert_file(&mut self, path: &str, file: ProposalFile<Lease>) {
        match self.place_of(path) {
            Ok(at) => {
                if let Some((_, old)) = self.files.get_mut(at) {
                    *old = file;
                }
            }
            Err(at) => {
                // Hardly ever are there two, and there may be a million leases.
                self.files.reserve_exact(1);
                self.files.insert(at, (path.to_owned(), file));
            }
        }
    }

    /// Forgets a file.
    pub(in crate::ledger) fn remove_file(&mut self, path: &str) {
        if let Ok(at) = self.place_of(path) {
            self.files.remove(at);
            self.files.shrink_to_fit();
        }
    }

    /// The lease of exactly this id, if some key was turned for or against it.
    pub(in crate::ledger) fn lease(&self, id: &LeaseId) -> Option<&LeaseState> {
        self.leases.iter().find(|lease| lease.id == *id)
    }

    /// A lease of the ledger, or a proposal in the tree, whose id differs from this one only by case.
    pub(in crate::ledger) fn case_twin(&self, id: &LeaseId) -> Option<LeaseId> {
        let in_ledger = self.leases.first().map(|lease| &lease.id).filter(|other| *other != id).cloned();
        let proposals = self.files.iter().filter(|(_, file)| matches!(file.content, Content::Proposal(_)));
        in_ledger.or_else(|| proposals.filter_map(|(path, _)| lease::file_id(path)).find(|other| other != id))
    }
}

/// The entries that a state holds, by case-folded lease id.
#[derive(Debug, Clone, Default)]
pub(in crate::ledger) struct LeaseIndex {
    held: BTreeMap<String, Arc<LeaseEntry>>,
    part: Option<PartialState>,
}

/// What a state that holds only some entries keeps beside them.
#[derive(Debug, Clone, Default)]
struct PartialState {
    /// Ids that are known to have no entry.
    absent: BTreeSet<String>,
    /// What may differ from what was supplied.
    changed: BTreeSet<String>,
    /// What was looked for in vain, by this state or one that came of it.
    missed: Arc<Mutex<Missed>>,
}

/// What was looked for and not held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missed {
    /// Case-folded lease ids.
    pub ids: BTreeSet<String>,
    /// Whether all there are were asked for.
    pub all: bool,
}

/// After so many rounds of asking for what was missed everything is asked for: leases that hand on to one another come to
/// light one a round.
const MAX_ROUNDS: usize = 8;

impl Missed {
    /// What to ask for after so many rounds.
    #[must_use]
    pub fn after(self, rounds: usize) -> Self {
        Self { all: self.all || rounds >= MAX_ROUNDS, ..self }
    }
}

impl PartialState {
    fn miss(&self, id: &str) {
        if let Ok(mut missed) = self.missed.lock() {
            missed.ids.insert(id.to_owned());
        }
    }
}

/// A file's path, and what it says of the file: found out once for each change.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct FilePath<'a> {
    pub(in crate::ledger) path: &'a str,
    /// The lease that it names, if it does.
    pub(in crate::ledger) id: Option<LeaseId>,
    /// Under which id it is kept.
    pub(in crate::ledger) shelf: String,
}

impl<'a> FilePath<'a> {
    pub(in crate::ledger) fn of(path: &'a str) -> Self {
        let id = lease::file_id(path);
        let shelf = id.as_ref().map(LeaseId::folded).unwrap_or_default();
        Self { path, id, shelf }
    }
}

/// Whether a file that is kept under a lease's id, without regard to case, is under exactly that.
fn is_of(path: &str, id: &LeaseId) -> bool {
    let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".yaml"));
    name == Some(id.as_str())
}

impl LeaseIndex {
    /// Holds nothing, and knows that there is more.
    pub(in crate::ledger) fn part() -> Self {
        Self { held: BTreeMap::new(), part: Some(PartialState::default()) }
    }

    /// Takes in what there is under some ids, or that there is nothing, unless it is held already. What was missed until now
    /// is forgotten.
    pub(in crate::ledger) fn supply(&mut self, found: BTreeMap<String, Option<LeaseEntry>>) {
        let Some(part) = &mut self.part else { return };
        part.missed = Arc::default();
        for (id, entry) in found {
            match entry {
                Some(entry) => {
                    self.held.entry(id).or_insert_with(|| Arc::new(entry));
                }
                None => {
                    part.absent.insert(id);
                }
            }
        }
    }

    /// From now on what is held is all there is.
    pub(in crate::ledger) fn complete(&mut self) {
        self.part = None;
    }

    /// What was looked for in vain.
    pub(in crate::ledger) fn missed(&self) -> Option<Missed> {
        let missed = self.part.as_ref()?.missed.lock();
        // A thread that panicked while it held the lock leaves nothing that could be relied on.
        let missed = missed.map_or(Missed { ids: BTreeSet::new(), all: true }, |missed| missed.clone());
        (missed != Missed::default()).then_some(missed)
    }

    /// Those that may differ from what was supplied; all of them where nothing was.
    pub(in crate::ledger) fn changed(&self) -> impl Iterator<Item = (&str, &LeaseEntry)> {
        let changed = |id: &str| self.part.as_ref().is_none_or(|part| part.changed.contains(id));
        self.held.iter().filter(move |(id, _)| changed(id)).map(|(id, entry)| (id.as_str(), entry.as_ref()))
    }

    fn all(&self) -> impl Iterator<Item = &LeaseEntry> {
        if let Some(part) = &self.part
            && let Ok(mut missed) = part.missed.lock()
        {
            missed.all = true;
        }
        self.held.values().map(AsRef::as_ref)
    }

    fn find(&self, id: &str) -> Option<&Arc<LeaseEntry>> {
        let found = self.held.get(id);
        if let (None, Some(part)) = (found, &self.part)
            && !part.absent.contains(id)
        {
            part.miss(id);
        }
        found
    }

    pub(in crate::ledger) fn get(&self, id: &str) -> Option<&LeaseEntry> {
        self.find(id).map(AsRef::as_ref)
    }

    /// A part that holds what there is under some ids, and knows that there is more.
    pub(in crate::ledger) fn only(&self, ids: &BTreeSet<String>) -> Self {
        let mut part = PartialState::default();
        let mut held = BTreeMap::new();
        for id in ids {
            match self.find(id) {
                Some(entry) => drop(held.insert(id.clone(), Arc::clone(entry))),
                None => drop(part.absent.insert(id.clone())),
            }
        }
        Self { held, part: Some(part) }
    }

    /// The targets that are named by what is held, those that it waits for among them, whether there is more or not.
    pub(in crate::ledger) fn targets_held(&self) -> impl Iterator<Item = &TargetId> {
        self.held.values().flat_map(|entry| {
            let pinned = entry.leases.iter().filter_map(LeaseState::lease);
            let proposed = entry.files.iter().filter_map(|(_, file)| match &file.content {
                Content::Proposal(proposed) => Some(proposed.get()),
                Content::Unusable { .. } => None,
            });
            pinned.chain(proposed).flat_map(Lease::targets)
        })
    }

    /// The entry of an id, made if there is none.
    pub(in crate::ledger) fn entry(&mut self, id: &str) -> &mut LeaseEntry {
        if let Some(part) = &mut self.part {
            if !self.held.contains_key(id) && !part.absent.contains(id) {
                part.miss(id);
            }
            part.changed.insert(id.to_owned());
        }
        Arc::make_mut(self.held.entry(id.to_owned()).or_default())
    }

    /// The leases that some key was turned for or against.
    pub(in crate::ledger) fn leases(&self) -> impl Iterator<Item = &LeaseState> {
        self.all().flat_map(|entry| &entry.leases)
    }

    pub(in crate::ledger) fn lease(&self, id: &LeaseId) -> Option<&LeaseState> {
        self.get(&id.folded())?.lease(id)
    }

    pub(in crate::ledger) fn lease_mut(&mut self, id: &LeaseId) -> Option<&mut LeaseState> {
        self.lease(id)?;
        self.entry(&id.folded()).leases.iter_mut().find(|lease| lease.id == *id)
    }

    /// Every file of the tree.
    pub(in crate::ledger) fn files(&self) -> impl Iterator<Item = (&str, &ProposalFile<Lease>)> {
        self.all().flat_map(|entry| &entry.files).map(|(path, file)| (path.as_str(), file))
    }

    /// The files under an id, in exactly its case.
    pub(in crate::ledger) fn files_of<'a>(
        &'a self,
        id: &LeaseId,
    ) -> impl Iterator<Item = (&'a str, &'a ProposalFile<Lease>)> {
        let files = self.get(&id.folded()).map(|entry| entry.files.as_slice()).unwrap_or_default();
        files.iter().filter(move |(path, _)| is_of(path, id)).map(|(path, file)| (path.as_str(), file))
    }

    /// A lease of the ledger, or a proposal in the tree, whose id differs from this one only by case.
    pub(in crate::ledger) fn case_twin(&self, id: &LeaseId) -> Option<LeaseId> {
        self.get(&id.folded())?.case_twin(id)
    }
}

impl PartialEq for LeaseIndex {
    /// Whether both hold the same. What neither holds is not compared.
    fn eq(&self, other: &Self) -> bool {
        self.held == other.held
    }
}

impl Eq for LeaseIndex {}

impl Serialize for LeaseIndex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.held.iter().map(|(id, entry)| (id, entry.as_ref())))
    }
}

impl<'de> Deserialize<'de> for LeaseIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let held = BTreeMap::<String, LeaseEntry>::deserialize(deserializer)?;
        let held = held.into_iter().map(|(id, entry)| (id, Arc::new(entry))).collect();
        Ok(Self { held, part: None })
    }
}
