//! Shelf: what is remembered of leases and steps, read when it is looked for and kept from then on.
//!
//! Where something of it turns out to be broken, the ledger is folded from its root to the remembered tip, once, and that
//! answers: whatever is asked, the answer is what the whole ledger says.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, OnceLock},
};

use super::{
    Repository,
    checkpoint::{Checkpoint, LeaseMentions},
    stuck::Stuck,
};
use crate::{
    ledger::{Group, LeaseEntry, Shelves, State, StepReport},
    model::{LeaseId, Oid, Refusal},
};

/// Chains of what has been read.
const CHAINS: usize = 256;

/// What is remembered at one tip.
#[derive(Debug)]
pub(super) struct Shelf {
    checkpoint: Checkpoint,
    repository: Repository,
    root: Oid,
    /// What has been read: only ever more, so that it can be lent out.
    read: Vec<OnceLock<Box<Read>>>,
    all: OnceLock<BTreeMap<String, LeaseEntry>>,
    whole: OnceLock<Result<FullFold, Refusal>>,
}

/// An entry that has been read, or that there is none.
#[derive(Debug)]
struct Read {
    id: String,
    entry: Option<LeaseEntry>,
    next: OnceLock<Box<Read>>,
}

/// The same, folded from the root.
#[derive(Debug)]
struct FullFold {
    entries: BTreeMap<String, LeaseEntry>,
    steps: Vec<StepReport>,
}

impl Shelf {
    pub(super) fn new(checkpoint: Checkpoint, repository: Repository, root: Oid) -> Self {
        let read = (0..CHAINS).map(|_| OnceLock::new()).collect();
        Self { checkpoint, repository, root, read, all: OnceLock::new(), whole: OnceLock::new() }
    }

    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The state at the remembered tip.
    pub(super) fn state(self: &Arc<Self>) -> State {
        let shelves: Arc<dyn Shelves> = Arc::clone(self) as Arc<dyn Shelves>;
        self.checkpoint.core().clone().on(shelves)
    }

    /// Fails where neither the memory nor the ledger could be read.
    pub(super) fn sound(&self) -> Result<(), Refusal> {
        match self.whole.get() {
            Some(Err(refusal)) => Err(refusal.clone()),
            _ => Ok(()),
        }
    }

    /// What there is, by the ledger itself; nothing where that cannot be read either, which [`Self::sound`] says.
    fn whole(&self) -> Option<&FullFold> {
        let fold = || {
            Checkpoint::forget(&self.repository);
            let mut steps = Vec::new();
            let each = |_: &_, report, _| steps.push(report);
            let tip = self.checkpoint.core().tip();
            let state = self.repository.fold_from_root(self.root, tip, each).map_err(Stuck::refusal)?;
            let entries = state.changed_entries().map(|(id, entry)| (id.to_owned(), entry.clone())).collect();
            Ok(FullFold { entries, steps })
        };
        self.whole.get_or_init(fold).as_ref().ok()
    }

    /// An entry, read once.
    fn find(&self, id: &str) -> Option<(&str, &LeaseEntry)> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let chain = usize::try_from(hasher.finish() % CHAINS as u64).unwrap_or_default();
        let mut place = self.read.get(chain)?;
        loop {
            let read = place.get_or_init(|| {
                let entry = self.checkpoint.entry(id);
                let entry = entry.unwrap_or_else(|_| self.whole()?.entries.get(id).cloned());
                Box::new(Read { id: id.to_owned(), entry, next: OnceLock::new() })
            });
            if read.id == id {
                return read.entry.as_ref().map(|entry| (read.id.as_str(), entry));
            }
            place = &read.next;
        }
    }

    /// How many steps there are.
    pub(super) fn length(&self) -> u64 {
        self.checkpoint.core().length()
    }

    /// What all steps did.
    pub(super) fn steps(&self) -> Vec<StepReport> {
        self.chunks(&self.checkpoint.chunks().collect())
    }

    /// What the steps of some chunks did.
    fn chunks(&self, chunks: &BTreeSet<u64>) -> Vec<StepReport> {
        let read: std::io::Result<Vec<_>> = chunks.iter().map(|chunk| self.checkpoint.chunk(*chunk)).collect();
        match read {
            Ok(steps) => steps.into_iter().flatten().collect(),
            Err(_) => self.whole().map(|whole| whole.steps.clone()).unwrap_or_default(),
        }
    }

    /// What the last steps did: at least so many, if there are.
    pub(super) fn last(&self, most: usize) -> Vec<StepReport> {
        self.chunks(&self.checkpoint.last(most))
    }

    /// What steps did in which something was claimed to be at some time or later, and perhaps others.
    pub(super) fn since(&self, time: i64) -> Vec<StepReport> {
        self.chunks(&self.checkpoint.since(time))
    }

    fn about(&self, lease: &LeaseId) -> LeaseMentions {
        self.checkpoint.about(lease).unwrap_or_else(|_| {
            let steps = self.whole().map(|whole| whole.steps.as_slice()).unwrap_or_default();
            let found = steps.iter().flat_map(|step| &step.findings);
            let findings = found.filter(|finding| finding.lease.as_ref() == Some(lease)).count() as u64;
            LeaseMentions { chunks: self.checkpoint.chunks().collect(), findings }
        })
    }

    /// What steps did that were about some leases, and perhaps others.
    pub(super) fn steps_about(&self, leases: &BTreeSet<LeaseId>) -> Vec<StepReport> {
        self.chunks(&leases.iter().flat_map(|lease| self.about(lease).chunks).collect())
    }

    /// What all steps did since the first that was about one of some leases, and perhaps some before it.
    pub(super) fn since_first_about(&self, leases: &BTreeSet<LeaseId>) -> Vec<StepReport> {
        let first = leases.iter().filter_map(|lease| self.about(lease).chunks.first().copied()).min();
        self.chunks(&self.checkpoint.chunks().skip_while(|chunk| first.is_none_or(|first| *chunk < first)).collect())
    }

    /// How many findings are about a lease.
    pub(super) fn findings_of(&self, lease: &LeaseId) -> u64 {
        self.about(lease).findings
    }
}

impl Shelves for Shelf {
    fn entry(&self, id: &str) -> Option<&LeaseEntry> {
        match self.all.get() {
            Some(all) => all.get(id),
            None => self.find(id).map(|(_, entry)| entry),
        }
    }

    fn all(&self) -> &BTreeMap<String, LeaseEntry> {
        self.all.get_or_init(|| {
            let all = self.checkpoint.entries();
            all.unwrap_or_else(|_| self.whole().map(|whole| whole.entries.clone()).unwrap_or_default())
        })
    }

    fn leases(&self) -> usize {
        self.checkpoint.leases()
    }

    fn group(&self, group: &Group) -> BTreeMap<&str, &LeaseEntry> {
        match self.checkpoint.group(group) {
            Ok(ids) => ids.iter().filter_map(|id| self.find(id)).collect(),
            Err(_) => self.all().iter().map(|(id, entry)| (id.as_str(), entry)).collect(),
        }
    }
}
