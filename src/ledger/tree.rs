//! The lease files of the tree, found by path and by lease id without regard to case.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{LeaseId, lease, lease::Lease};

use super::{Content, ProposalFile};

/// The tree's lease files. Looking a lease up costs what its own files cost, however many others there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::ledger) struct LeaseFiles {
    /// By the id that the file's name gives, case folded (empty where it gives none), then by path.
    by_id: BTreeMap<String, BTreeMap<String, ProposalFile<Lease>>>,
}

/// Where a path is kept.
fn shelf(path: &str) -> String {
    lease::file_id(path).map(|id| id.folded()).unwrap_or_default()
}

impl LeaseFiles {
    pub(in crate::ledger) fn insert(&mut self, path: &str, file: ProposalFile<Lease>) {
        self.by_id.entry(shelf(path)).or_default().insert(path.to_owned(), file);
    }

    pub(in crate::ledger) fn remove(&mut self, path: &str) {
        let shelf = shelf(path);
        if let Some(files) = self.by_id.get_mut(&shelf) {
            files.remove(path);
            if files.is_empty() {
                self.by_id.remove(&shelf);
            }
        }
    }

    /// Every file.
    pub(in crate::ledger) fn iter(&self) -> impl Iterator<Item = (&str, &ProposalFile<Lease>)> {
        self.by_id.values().flatten().map(|(path, file)| (path.as_str(), file))
    }

    /// The files under an id, in exactly its case.
    pub(in crate::ledger) fn of<'a>(
        &'a self,
        id: &LeaseId,
    ) -> impl Iterator<Item = (&'a str, &'a ProposalFile<Lease>)> {
        let files = self.by_id.get(&id.folded()).into_iter().flatten();
        files
            .filter(move |(path, _)| lease::file_id(path).as_ref() == Some(id))
            .map(|(path, file)| (path.as_str(), file))
    }

    /// A proposal whose id differs from this one only by case.
    pub(in crate::ledger) fn case_twin(&self, id: &LeaseId) -> Option<LeaseId> {
        let files = self.by_id.get(&id.folded()).into_iter().flatten();
        files
            .filter(|(_, file)| matches!(file.content, Content::Proposal(_)))
            .filter_map(|(path, _)| lease::file_id(path))
            .find(|other| other != id)
    }
}
