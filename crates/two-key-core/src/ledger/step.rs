//! Input of the fold: one first-parent commit of the governed branch with everything that it brought in.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use crate::{
    model::{
        Digest, Oid, Proposed, Refusal,
        lease::{self, Lease},
        policy::{self, Policy},
    },
    signature::{GitSignature, Opened, OwnVote, Sealed},
};

/// One first-parent commit, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The first-parent commit.
    pub commit: Oid,
    /// Its committer time in seconds since 1970: what somebody claims, never an input to a decision.
    pub claimed_time: i64,
    /// The latest committer time of all that it brought in, itself included: no input to a decision of the fold either.
    pub latest_time: i64,
    /// The commits that it brought in, depth-first post-order, parents in header order, each once; itself last. Of a
    /// very long history no more ordinary commits are here than can matter, one of which nobody signed.
    pub commits: Vec<StepCommit>,
    /// The entry at `.two-key/policy.yaml`, if it differs from the previous first-parent commit's.
    pub policy: Option<Entry>,
    /// Paths of lease files whose entries differ from the previous first-parent commit's, sorted.
    pub leases: Vec<(String, Entry)>,
}

impl Step {
    /// About how many bytes of memory it takes up. Files that share their bytes are counted each by itself.
    pub fn weight(&self) -> usize {
        let file = |entry: &Entry| if let Entry::Regular(bytes) = entry { bytes.len() } else { 0 };
        let commit = |commit: &StepCommit| {
            size_of::<StepCommit>()
                + match &commit.opened {
                    Opened::Carrier { sealed, own, .. } => {
                        sealed.iter().map(Sealed::weight).sum::<usize>() + own.as_ref().map_or(0, OwnVote::weight)
                    }
                    Opened::Ordinary { signature } => signature.as_ref().map_or(0, GitSignature::weight),
                    Opened::Malformed(_) => 0,
                }
        };
        let lease = |(path, entry): &(String, Entry)| size_of::<(String, Entry)>() + path.len() + file(entry);
        size_of::<Self>()
            + self.commits.iter().map(commit).sum::<usize>()
            + self.policy.as_ref().map_or(0, file)
            + self.leases.iter().map(lease).sum::<usize>()
    }
}

/// One commit of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepCommit {
    /// Its id. That it is the hash of the bytes, whoever read them has checked: nothing here can.
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
    Regular(File),
    /// A regular file that is too large to be read.
    TooLarge,
    /// A gitlink, a symbolic link, a folder where a file should be, or one that cannot be read. Never opened.
    NotAFile,
    /// A folder that lies too deep below `leases/` to be looked into.
    TooDeep,
    /// More below it changed in one step than a step may change. Nothing of that is taken up.
    TooMuch,
}

/// A file's bytes, and what they say. However many steps and paths share it, it is read for that once.
#[derive(Debug, Clone)]
pub struct File(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes: Box<[u8]>,
    digest: OnceLock<Digest>,
    lease: OnceLock<Result<Arc<Proposed<Lease>>, Refusal>>,
    policy: OnceLock<Result<Arc<Proposed<Policy>>, Refusal>>,
}

impl File {
    /// The SHA-256 of its bytes.
    pub fn digest(&self) -> Digest {
        *self.0.digest.get_or_init(|| Digest::of(&self.0.bytes))
    }

    /// The lease that it proposes, or why it proposes none.
    pub(in crate::ledger) fn lease(&self) -> Result<Arc<Proposed<Lease>>, Refusal> {
        self.0.lease.get_or_init(|| lease::read(self).map(Arc::new).map_err(Refusal::from)).clone()
    }

    /// The policy that it proposes, or why it proposes none.
    pub(in crate::ledger) fn policy(&self) -> Result<Arc<Proposed<Policy>>, Refusal> {
        self.0.policy.get_or_init(|| policy::read(self).map(Arc::new).map_err(Refusal::from)).clone()
    }
}

impl<T: Into<Box<[u8]>>> From<T> for File {
    fn from(bytes: T) -> Self {
        let (digest, lease, policy) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self(Arc::new(Shared { bytes: bytes.into(), digest, lease, policy }))
    }
}

impl Deref for File {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl Eq for File {}
