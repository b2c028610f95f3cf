//! The error of a fold: why a range of the ledger could not be folded.

use super::GitError;
use crate::model::{Reason, Refusal};

/// Why a range could not be folded.
#[derive(Debug)]
pub enum Stuck {
    /// Git, or what it has, is in the way.
    Git(GitError),
    /// The root founds nothing.
    Root(Refusal),
}

impl Stuck {
    /// The same, for whoever asked.
    pub fn refusal(self) -> Refusal {
        match self {
            // An old tip that does not descend from the root: this is another repository's ledger, or another root.
            Self::Git(error @ GitError::NotOnChain { .. }) => Refusal::new(Reason::NotDescended, error.to_string())
                .hint("see which root is pinned: git two-key doctor"),
            Self::Git(error) => error.refusal(),
            Self::Root(refusal) => refusal,
        }
    }
}
