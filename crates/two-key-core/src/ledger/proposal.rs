//! Proposals: what is known of files in the tree, who brought them, and what the keys made of them.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Proposed, RawKey, Refusal};

/// A document that the keys have put in force. Only the fold makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce<T>(Arc<Proposed<T>>);

impl<T> InForce<T> {
    pub(in crate::ledger) fn new(proposed: Arc<Proposed<T>>) -> Self {
        Self(proposed)
    }

    /// The SHA-256 of the file's exact bytes.
    pub fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// The document.
    pub fn get(&self) -> &T {
        self.0.get()
    }
}

/// Who brought a file's bytes into the tree, as far as signatures tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proposer {
    /// The keys that signed every commit of a step that brought them; sorted, of all such steps.
    Known(Arc<[RawKey]>),
    /// They came in no such step.
    Unknown,
}

/// Who brought which bytes, by their digests. Steps with a commit that nobody's key signed make nobody a proposer, and take
/// nobody away: without a key nobody can have anybody left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Brought(Vec<(Digest, Arc<[RawKey]>)>);

impl Brought {
    /// Takes note of those who brought some bytes now.
    pub(in crate::ledger) fn note(&mut self, digest: Digest, now: &Proposer) {
        let Proposer::Known(now) = now else { return };
        if let Some((_, known)) = self.0.iter_mut().find(|(other, _)| *other == digest) {
            let all: BTreeSet<RawKey> = known.iter().chain(now.iter()).copied().collect();
            if all.len() > known.len() {
                *known = all.into_iter().collect();
            }
            return;
        }
        // Hardly ever are there two, and there may be a million leases.
        self.0.reserve_exact(1);
        self.0.push((digest, Arc::clone(now)));
    }

    /// Who brought some bytes.
    pub(in crate::ledger) fn of(&self, digest: Digest) -> Proposer {
        let known = self.0.iter().find(|(other, _)| *other == digest);
        known.map_or(Proposer::Unknown, |(_, keys)| Proposer::Known(Arc::clone(keys)))
    }
}

/// What is known of one file in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalFile<T> {
    /// The SHA-256 of its bytes, where they were read.
    pub digest: Option<Digest>,
    /// What it says.
    pub content: Content<T>,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content<T> {
    /// A well-formed proposal.
    Proposal(Arc<Proposed<T>>),
    /// Something that can never be in force, by its reason code and message.
    Unusable {
        /// The reason's code.
        code: String,
        /// Why.
        message: String,
    },
}

impl<T> Content<T> {
    pub(in crate::ledger) fn unusable(refusal: &Refusal) -> Self {
        Self::Unusable { code: refusal.reason.code().to_owned(), message: refusal.message.clone() }
    }
}
