//! Index of all that the ledger knows, by lease id: what grows with history, and of which a step needs little.
//!
//! A state need not hold it. What lies elsewhere ([`Shelves`]) is looked up there when it is asked for, and what changes is held
//! above it; so the fold knows nothing of where anything is, and does no I/O of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{LeaseId, TargetId, lease, lease::Lease};

use super::{
    lease_state::LeaseState,
    lifecycle::Phase,
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

/// A lease of an entry, as everybody sees it who looks for leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLease<'a> {
    /// Its id.
    pub id: LeaseId,
    /// Its document: the pinned one, else the first usable proposal in the tree.
    pub document: Option<&'a Lease>,
    /// Where it is.
    pub phase: Phase,
}

impl ListedLease<'_> {
    /// Where it goes.
    pub fn target(&self) -> Option<TargetId> {
        self.document.map(|lease| lease.target.clone())
    }

    /// Where it stands in the order in which leases are listed.
    pub fn rank(&self) -> (Option<Timestamp>, LeaseId) {
        (self.document.map(|lease| lease.issued), self.id.clone())
    }
}

impl LeaseEntry {
    /// The leases that it is about: those that a key was turned for, and those that are only proposed.
    pub fn known(&self) -> impl Iterator<Item = ListedLease<'_>> {
        let proposed = self.files.iter().filter_map(|(path, _)| lease::file_id(path));
        let ids: BTreeSet<LeaseId> = self.leases.iter().map(|lease| lease.id.clone()).chain(proposed).collect();
        ids.into_iter().map(|id| {
            let (document, phase) = (self.document(&id), self.lease(&id).map_or(Phase::Proposed, |lease| lease.phase));
            ListedLease { id, document, phase }
        })
    }

    /// A lease's document: the pinned one, else the first usable proposal in the tree.
    pub(in crate::ledger) fn document(&self, id: &LeaseId) -> Option<&Lease> {
        let usable = |file: &'_ ProposalFile<Lease>| matches!(file.content, Content::Proposal(_));
        let proposed = || self.files_of(id).map(|(_, file)| file).find(|file| usable(file));
        self.lease(id).and_then(LeaseState::lease).or_else(|| match &proposed()?.content {
            Content::Proposal(proposed) => Some(proposed.get()),
            Content::Unusable { .. } => None,
        })
    }

    fn files_of<'a>(&'a self, id: &LeaseId) -> impl Iterator<Item = (&'a str, &'a ProposalFile<Lease>)> {
        self.files.iter().filter(move |(path, _)| is_of(path, id)).map(|(path, file)| (path.as_str(), file))
    }
}

/// Leases that are looked for together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Those that have not ended, proposals included.
    Open,
    /// Of each target the one, of those that have ended, that was issued last.
    Last,
    /// Those for a target.
    Target(TargetId),
    /// Those with an intent.
    Intent(String),
}

impl Group {
    /// Whether a lease is one of them, as far as one alone can tell.
    pub fn has(&self, known: &ListedLease<'_>) -> bool {
        match self {
            Self::Open => !known.phase.ended(),
            Self::Last => known.phase.ended(),
            Self::Target(target) => known.document.is_some_and(|lease| lease.target == *target),
            Self::Intent(intent) => {
                known.document.and_then(|lease| lease.intent.as_ref()).is_some_and(|own| own.as_str() == intent)
            }
        }
    }
}

/// Where what is known of leases lies, for states that do not hold it. Whatever it is asked, it answers as it did before.
pub trait Shelves: fmt::Debug + Send + Sync {
    /// What is known under a case-folded lease id.
    fn entry(&self, id: &str) -> Option<&LeaseEntry>;
    /// Everything, by case-folded id.
    fn all(&self) -> &BTreeMap<String, LeaseEntry>;
    /// How many leases there are.
    fn leases(&self) -> usize;
    /// The entries under which all of a group are, and perhaps others, by case-folded id.
    fn group(&self, group: &Group) -> BTreeMap<&str, &LeaseEntry>;
}

/// The entries of a state, by case-folded lease id.
#[derive(Debug, Clone, Default)]
pub(in crate::ledger) struct LeaseIndex {
    /// What is known, or where it lies elsewhere what may differ from that.
    held: BTreeMap<String, Arc<LeaseEntry>>,
    under: Option<Under>,
}

/// What is below the entries that are held.
#[derive(Debug, Clone)]
enum Under {
    Shelves(Arc<dyn Shelves>),
    Index(Arc<LeaseIndex>),
}

impl Under {
    fn find(&self, id: &str) -> Option<&LeaseEntry> {
        match self {
            Self::Shelves(shelves) => shelves.entry(id),
            Self::Index(index) => index.get(id),
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
    /// What lies elsewhere.
    pub(in crate::ledger) fn of(shelves: Arc<dyn Shelves>) -> Self {
        Self { held: BTreeMap::new(), under: Some(Under::Shelves(shelves)) }
    }

    /// The same as another, of which nothing is copied.
    pub(in crate::ledger) fn above(index: &Arc<Self>) -> Self {
        Self { held: BTreeMap::new(), under: Some(Under::Index(Arc::clone(index))) }
    }

    /// The same without anything that lies elsewhere.
    pub(in crate::ledger) fn held(&self) -> Self {
        let held = self.all().into_iter().map(|(id, entry)| (id.to_owned(), Arc::new(entry.clone()))).collect();
        Self { held, under: None }
    }

    /// Those that may differ from what lies elsewhere; all of them where nothing does.
    pub(in crate::ledger) fn changed(&self) -> impl Iterator<Item = (&str, &LeaseEntry)> {
        self.held.iter().map(|(id, entry)| (id.as_str(), entry.as_ref()))
    }

    /// Everything, by case-folded id.
    pub(in crate::ledger) fn all(&self) -> BTreeMap<&str, &LeaseEntry> {
        let mut all = match &self.under {
            None => BTreeMap::new(),
            Some(Under::Index(index)) => index.all(),
            Some(Under::Shelves(shelves)) => shelves.all().iter().map(|(id, entry)| (id.as_str(), entry)).collect(),
        };
        all.extend(self.changed());
        all
    }

    /// How many leases there are.
    pub(in crate::ledger) fn count(&self) -> usize {
        let (below, under): (usize, Option<&Under>) = match &self.under {
            None => (0, None),
            Some(under @ Under::Index(index)) => (index.count(), Some(under)),
            Some(under @ Under::Shelves(shelves)) => (shelves.leases(), Some(under)),
        };
        let of = |entry: &LeaseEntry| entry.known().count();
        let instead = |id: &str| under.and_then(|under| under.find(id)).map_or(0, of);
        self.changed().fold(below, |count, (id, entry)| (count + of(entry)).saturating_sub(instead(id)))
    }

    pub(in crate::ledger) fn get(&self, id: &str) -> Option<&LeaseEntry> {
        match (self.held.get(id), &self.under) {
            (Some(held), _) => Some(held),
            (None, Some(under)) => under.find(id),
            (None, None) => None,
        }
    }

    /// The entry of an id, made if there is none.
    pub(in crate::ledger) fn entry(&mut self, id: &str) -> &mut LeaseEntry {
        let Self { held, under } = self;
        let entry = held.entry(id.to_owned()).or_insert_with(|| {
            let found = under.as_ref().and_then(|under| under.find(id));
            Arc::new(found.cloned().unwrap_or_default())
        });
        Arc::make_mut(entry)
    }

    /// The entries under which all of a group are, and perhaps others.
    fn near(&self, group: &Group) -> BTreeMap<&str, &LeaseEntry> {
        let mut near = match &self.under {
            None => BTreeMap::new(),
            Some(Under::Index(index)) => index.near(group),
            Some(Under::Shelves(shelves)) => shelves.group(group),
        };
        near.extend(self.changed());
        near
    }

    /// The leases of a group.
    pub(in crate::ledger) fn group(&self, group: &Group) -> BTreeSet<LeaseId> {
        let near = self.near(group);
        let found = near.into_values().flat_map(LeaseEntry::known).filter(|known| group.has(known));
        if *group != Group::Last {
            return found.map(|known| known.id).collect();
        }
        let mut last: BTreeMap<Option<TargetId>, (Option<Timestamp>, LeaseId)> = BTreeMap::new();
        for known in found {
            let (target, at) = (known.target(), known.rank());
            match last.get_mut(&target) {
                Some(newest) => *newest = at.max(newest.clone()),
                None => drop(last.insert(target, at)),
            }
        }
        last.into_values().map(|(_, id)| id).collect()
    }

    /// The leases that some key was turned for or against.
    pub(in crate::ledger) fn leases(&self) -> impl Iterator<Item = &LeaseState> {
        self.all().into_values().flat_map(|entry| &entry.leases)
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
        self.all().into_values().flat_map(|entry| &entry.files).map(|(path, file)| (path.as_str(), file))
    }

    /// The files under an id, in exactly its case.
    pub(in crate::ledger) fn files_of<'a>(
        &'a self,
        id: &LeaseId,
    ) -> impl Iterator<Item = (&'a str, &'a ProposalFile<Lease>)> {
        self.get(&id.folded()).into_iter().flat_map(|entry| entry.files_of(id))
    }

    /// A lease of the ledger, or a proposal in the tree, whose id differs from this one only by case.
    pub(in crate::ledger) fn case_twin(&self, id: &LeaseId) -> Option<LeaseId> {
        self.get(&id.folded())?.case_twin(id)
    }
}

impl PartialEq for LeaseIndex {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl Eq for LeaseIndex {}

impl Serialize for LeaseIndex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.all())
    }
}

impl<'de> Deserialize<'de> for LeaseIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let held = BTreeMap::<String, LeaseEntry>::deserialize(deserializer)?;
        let held = held.into_iter().map(|(id, entry)| (id, Arc::new(entry))).collect();
        Ok(Self { held, under: None })
    }
}
