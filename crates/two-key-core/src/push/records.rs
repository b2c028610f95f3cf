//! An applier's record in a push: whose it is, and of which repository.

use serde::Deserialize;

use crate::{
    model::{RawKey, RepositoryId},
    signature::Opened,
};

/// The path of an applier's record in its commit's tree.
pub const RECORD: &str = "record.json";

/// The repository that a record says it is of.
pub fn repository_of(record: &[u8]) -> Option<RepositoryId> {
    /// What every record has.
    #[derive(Deserialize)]
    struct RecordHead {
        repository: RepositoryId,
    }
    serde_json::from_slice::<RecordHead>(record).ok().map(|head| head.repository)
}

/// The raw key whose Git signature over a commit verifies, whatever the commit is.
pub fn signer_of(opened: &Opened) -> Option<RawKey> {
    match opened {
        Opened::Ordinary { signature } => signature.as_ref()?.signer(|_| true),
        Opened::Carrier { own, .. } => own.as_ref()?.vote(|_| Ok(())).ok().map(|vote| vote.key().raw()),
        Opened::Malformed(_) => None,
    }
}
