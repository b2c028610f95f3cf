//! Objects, and the hash that each must have before anybody uses it.

use sha1_checked::Sha1;
use sha2::{Digest as _, Sha256};

use super::GitError;
use crate::{
    model::Oid,
    signature::{CommitBytes, Large, LargeReader, MAX_HELD, ObjectFormat},
};

/// The largest tag that is held.
const MAX_TAG: u64 = 1 << 20;
/// The largest tree that is held.
const MAX_TREE: u64 = 64 << 20;
/// The largest other file that is held, such as a note or an applier's record.
const MAX_BLOB: u64 = 16 << 20;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A commit.
    Commit,
    /// A folder.
    Tree,
    /// A file's bytes.
    Blob,
    /// An annotated tag.
    Tag,
}

impl ObjectKind {
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

    /// The most bytes of it that are held. What is larger is read and hashed all the same.
    pub(super) const fn limit(self) -> u64 {
        match self {
            Self::Commit => MAX_HELD as u64,
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
    pub kind: ObjectKind,
    /// Its bytes, without Git's own header.
    pub(super) bytes: Bytes,
}

/// An object's bytes, as far as they are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bytes {
    /// All of them.
    Whole(Vec<u8>),
    /// There are too many.
    Large {
        /// How many.
        size: u64,
        /// What there is to know of a commit.
        commit: Option<Large>,
    },
}

/// An object as Git gave it: nobody has hashed it yet, or nobody has looked at the hash.
#[derive(Debug)]
pub(super) struct Unchecked {
    /// What it is said to be the object of.
    pub(super) id: Oid,
    /// What it is said to be.
    kind: ObjectKind,
    bytes: Bytes,
    /// The hash of what is not held; none if it is held, or if somebody made the hash collide.
    hash: Option<Oid>,
}

impl Unchecked {
    /// An object that is held.
    pub(super) fn whole(id: Oid, kind: ObjectKind, bytes: Vec<u8>) -> Self {
        Self { id, kind, bytes: Bytes::Whole(bytes), hash: None }
    }

    /// How many of its bytes are held.
    pub(super) fn len(&self) -> usize {
        if let Bytes::Whole(bytes) = &self.bytes { bytes.len() } else { 0 }
    }

    /// Hashes it. For SHA-1 the hash detects collisions, and is none that it detects.
    pub(super) fn checked(self, format: ObjectFormat) -> Result<Object, GitError> {
        let Self { id, kind, bytes, hash } = self;
        let is_its_own = match (&bytes, format) {
            (Bytes::Large { .. }, _) => hash == Some(id),
            (Bytes::Whole(bytes), ObjectFormat::Sha1) => {
                let kind = match kind {
                    ObjectKind::Commit => git2::ObjectType::Commit,
                    ObjectKind::Tree => git2::ObjectType::Tree,
                    ObjectKind::Blob => git2::ObjectType::Blob,
                    ObjectKind::Tag => git2::ObjectType::Tag,
                };
                git2::Oid::hash_object_ext(kind, bytes, git2::ObjectFormat::Sha1)
                    .is_ok_and(|hash| hash.as_bytes() == id.as_bytes())
            }
            (Bytes::Whole(bytes), ObjectFormat::Sha256) => {
                let head = format!("{} {}\0", kind.name(), bytes.len());
                let hash = Sha256::new_with_prefix(head).chain_update(bytes).finalize();
                hash.as_slice() == id.as_bytes()
            }
        };
        if is_its_own { Ok(Object { kind, bytes }) } else { Err(GitError::Corrupt(id)) }
    }

    /// The id and the bytes of what must be a commit.
    pub(super) fn commit(self, format: ObjectFormat) -> Result<(Oid, CommitBytes), GitError> {
        let id = self.id;
        Ok((id, self.checked(format)?.commit(id)?))
    }
}

impl Object {
    /// The bytes of an object that must be of a kind, and small enough to be held.
    pub(super) fn wanted(self, id: Oid, kind: ObjectKind) -> Result<Vec<u8>, GitError> {
        self.is_a(id, kind)?;
        match self.bytes {
            Bytes::Whole(bytes) => Ok(bytes),
            Bytes::Large { size, .. } => Err(too_large(id, kind, size)),
        }
    }

    /// The bytes of an object that must be a commit.
    pub(super) fn commit(self, id: Oid) -> Result<CommitBytes, GitError> {
        self.is_a(id, ObjectKind::Commit)?;
        match self.bytes {
            Bytes::Whole(bytes) => Ok(CommitBytes::Whole(bytes)),
            Bytes::Large { commit: Some(large), .. } => Ok(CommitBytes::Large(large)),
            Bytes::Large { size, commit: None } => Err(too_large(id, ObjectKind::Commit, size)),
        }
    }

    fn is_a(&self, id: Oid, kind: ObjectKind) -> Result<(), GitError> {
        if self.kind == kind {
            Ok(())
        } else {
            Err(GitError::WrongKind { id, wanted: kind.name(), found: self.kind.name() })
        }
    }
}

fn too_large(id: Oid, kind: ObjectKind, size: u64) -> GitError {
    let what = format!("{} {id} of {size} bytes", kind.name());
    GitError::TooLarge { what, limit: format!("{} bytes", kind.limit()) }
}

/// Hashes an object that is too large to be held, as it comes, and reads a commit on the way.
#[derive(Debug)]
pub(super) struct Passing {
    id: Oid,
    kind: ObjectKind,
    size: u64,
    hash: Hash,
    commit: Option<LargeReader>,
}

#[derive(Debug)]
enum Hash {
    Sha1(Box<Sha1>),
    Sha256(Sha256),
}

impl Passing {
    /// An object of so many bytes.
    pub(super) fn new(id: Oid, kind: ObjectKind, size: u64) -> Self {
        let head = format!("{} {size}\0", kind.name());
        let hash = match id {
            Oid::Sha1(_) => Hash::Sha1(Box::new(Sha1::new_with_prefix(head))),
            Oid::Sha256(_) => Hash::Sha256(Sha256::new_with_prefix(head)),
        };
        let commit = (kind == ObjectKind::Commit).then(LargeReader::default);
        Self { id, kind, size, hash, commit }
    }

    /// Reads on.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha1(hash) => hash.update(bytes),
            Hash::Sha256(hash) => hash.update(bytes),
        }
        if let Some(commit) = &mut self.commit {
            commit.read(bytes);
        }
    }

    /// The object has ended.
    pub(super) fn end(self) -> Unchecked {
        let Self { id, kind, size, hash, commit } = self;
        let hash = match hash {
            Hash::Sha1(hash) => {
                let hash = hash.try_finalize();
                Oid::from_bytes(hash.hash()).filter(|_| !hash.has_collision())
            }
            Hash::Sha256(hash) => Oid::from_bytes(&hash.finalize()),
        };
        Unchecked { id, kind, bytes: Bytes::Large { size, commit: commit.map(LargeReader::end) }, hash }
    }
}
