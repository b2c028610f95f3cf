//! Domain types: ids, keys, statements, leases, policies, reasons.
//!
//! Everything here is pure. A raw document becomes a valid one in exactly one place ([`lease::read`],
//! [`policy::read`], [`statement::Statement::parse`]); a value of one of these types is well formed, but nothing
//! here says that anybody signed it. Called by every other module; calls none of them.

pub mod action;
pub mod digest;
pub mod document;
pub mod id;
pub mod key;
pub mod lease;
pub mod oid;
pub mod percent;
pub mod policy;
pub mod reason;
pub mod refs;
pub mod statement;
pub mod text;

pub use action::Action;
pub use digest::Digest;
pub use id::{GateId, GroupId, IntentId, LeaseId, Nonce, PrincipalId, RepositoryId, TargetId};
pub use key::{Fingerprint, PublicKey, RawKey, Wrapping};
pub use oid::Oid;
pub use percent::Percent;
pub use reason::{Reason, Refusal};
pub use statement::{Fields, Forward, ForwardKind, Statement, Stop, StopKind, Subject};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// The format level that this program reads and writes. What level 1 means is frozen.
pub const FORMAT_LEVEL: u32 = 1;

/// How far clocks may differ: a commit may be dated so far ahead, and a lease's window may open so far in the future.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The largest lease or policy file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 64 * 1024;

/// Names below `leases/` that one step may change, those of folders with all that comes or goes with them. A step that
/// changes more changes none: a commit that takes up old trees is a few bytes, and must not cost a reader much more.
pub const MAX_STEP_NAMES: usize = 256;

/// Bytes of the lease files that one step may bring, together: as many as one file may have. A step that brings more brings none.
pub const MAX_STEP_BYTES: usize = MAX_FILE_BYTES;

/// A document that is well formed, and no more than a proposal: nobody's key is known to stand behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed<T> {
    digest: Digest,
    document: T,
}

impl<T> Proposed<T> {
    /// Ties a document to the SHA-256 of the exact bytes that it was read from.
    pub(in crate::model) fn new(digest: Digest, document: T) -> Self {
        Self { digest, document }
    }

    /// The SHA-256 of the file's exact bytes: what signatures name.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The document.
    pub fn get(&self) -> &T {
        &self.document
    }
}
