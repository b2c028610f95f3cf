//! What objects are, and the hash that each must have before anybody uses it.

use sha2::{Digest as _, Sha256};

use super::GitError;
use crate::{model::Oid, signature::ObjectFormat};

/// The largest commit that is held. Git holds commits in memory too; what is larger no forge takes.
const MAX_COMMIT: u64 = 256 << 20;
/// The largest tag that is read.
const MAX_TAG: u64 = 1 << 20;
/// The largest tree that is read.
const MAX_TREE: u64 = 64 << 20;
/// The largest other file that is read, such as a note or an applier's record.
const MAX_BLOB: u64 = 16 << 20;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A commit.
    Commit,
    /// A folder.
    Tree,
    /// A file's bytes.
    Blob,
    /// An annotated tag.
    Tag,
}

impl Kind {
    /// Git's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Commit, Self::Tree, Self::Blob, Self::Tag].into_iter().find(|kind| kind.name() == name)
    }

    /// The most bytes of it that are read.
    pub(super) const fn limit(self) -> u64 {
        match self {
            Self::Commit => MAX_COMMIT,
            Self::Tree => MAX_TREE,
            Self::Blob => MAX_BLOB,
            Self::Tag => MAX_TAG,
        }
    }
}

/// An object whose bytes have its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its bytes, without Git's own header.
    pub bytes: Vec<u8>,
}

/// An object as Git gave it: nobody has hashed it yet.
#[derive(Debug)]
pub(super) struct Unchecked {
    /// What it is said to be the object of.
    pub(super) id: Oid,
    /// What it is said to be.
    pub(super) kind: Kind,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
}

impl Unchecked {
    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Hashes it. For SHA-1 the hash detects collisions, and is none that it detects.
    pub(super) fn checked(self, format: ObjectFormat) -> Result<Object, GitError> {
        let Self { id, kind, bytes } = self;
        let is_its_own = match format {
            ObjectFormat::Sha1 => {
                let kind = match kind {
                    Kind::Commit => git2::ObjectType::Commit,
                    Kind::Tree => git2::ObjectType::Tree,
                    Kind::Blob => git2::ObjectType::Blob,
                    Kind::Tag => git2::ObjectType::Tag,
                };
                git2::Oid::hash_object_ext(kind, &bytes, git2::ObjectFormat::Sha1)
                    .is_ok_and(|hash| hash.as_bytes() == id.as_bytes())
            }
            ObjectFormat::Sha256 => {
                let head = format!("{} {}\0", kind.name(), bytes.len());
                let hash = Sha256::new_with_prefix(head).chain_update(&bytes).finalize();
                hash.as_slice() == id.as_bytes()
            }
        };
        if is_its_own { Ok(Object { kind, bytes }) } else { Err(GitError::Corrupt(id)) }
    }

    /// The id and the bytes of what must be a commit.
    pub(super) fn commit(self, format: ObjectFormat) -> Result<(Oid, Vec<u8>), GitError> {
        let id = self.id;
        Ok((id, wanted(id, self.checked(format)?, Kind::Commit)?))
    }
}

/// The bytes of an object that must be of a kind.
pub(super) fn wanted(id: Oid, object: Object, kind: Kind) -> Result<Vec<u8>, GitError> {
    if object.kind == kind {
        Ok(object.bytes)
    } else {
        Err(GitError::WrongKind { id, wanted: kind.name(), found: object.kind.name() })
    }
}
