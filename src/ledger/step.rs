//! What the fold eats: one first-parent commit of the governed branch with everything that it brought in.

use std::sync::Arc;

use crate::{model::Oid, signature::Opened};

/// One first-parent commit, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The first-parent commit.
    pub commit: Oid,
    /// Its committer time in seconds since 1970: what somebody claims, never an input to a decision.
    pub claimed_time: i64,
    /// The commits that it brought in, depth-first post-order, parents in header order, each once; itself last. Of a
    /// very long history the ordinary commits may be left out that say no more than others here.
    pub commits: Vec<StepCommit>,
    /// The entry at `.two-key/policy.yaml`, if it differs from the previous first-parent commit's.
    pub policy: Option<Entry>,
    /// Paths of lease files whose entries differ from the previous first-parent commit's, sorted.
    pub leases: Vec<(String, Entry)>,
}

/// One commit of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepCommit {
    /// Its id.
    pub id: Oid,
    /// Whether the root lies in its ancestry.
    pub descent: Descent,
    /// How many parents it has.
    pub parents: usize,
    /// What its bytes are.
    pub opened: Opened,
}

/// Whether a commit descends from the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Descent {
    /// It does.
    Descends,
    /// It does not: it is never a carrier.
    Foreign,
}

/// What stands at a path of a first-parent commit's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Absent,
    /// A regular file with these bytes.
    Regular(Arc<[u8]>),
    /// A regular file that is too large to be read.
    TooLarge,
    /// A gitlink, a symbolic link, or a folder where a file should be. Never opened.
    NotAFile,
}
