//! Signatures: from raw bytes to verified cosignatures. Pure: no Git, no policy, no clock.
//!
//! [`open_commit`] takes a commit's raw bytes and says what it is: ordinary, malformed, or a carrier of votes. A
//! [`Cosignature`] exists only if its signature verified over its statement's exact bytes; there is no other way to
//! make one. Whether its key means anything is the ledger's question.

use crate::model::{Action, Digest, PrincipalId, PublicKey, RawKey, Refusal, Statement};

#[cfg(feature = "attestation")]
pub mod attestation;
pub mod carrier;
pub mod commit;
mod compose;
mod detached;
mod ecdsa;
mod ed25519;
mod inner;
mod large;
pub mod minisign;
#[cfg(feature = "multiples")]
mod multiples;
pub mod note;
mod opening;
#[cfg(feature = "multiples")]
mod shortcut;
pub mod sshsig;
pub mod tag;

#[cfg(test)]
pub(crate) mod literal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

/// How a signature came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// A Git commit signature (SSHSIG namespace `git`) on the commit that holds the statement.
    Commit,
    /// A detached signature made for this purpose (SSHSIG namespace `two-key`, or minisign): sealed, or in a note.
    Detached,
}

/// What a signature proves about somebody being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Nothing: a software key.
    None,
    /// An `sk-` signature without the user-presence flag.
    NotShown,
    /// An `sk-` signature with the user-presence flag, which says that the secret may be copied, or was.
    Copied,
    /// An `sk-` signature with the user-presence flag, by a secret that stays in its authenticator.
    Touched,
    /// The same with the user-verified flag: a PIN, a finger or a face was checked.
    Verified,
}

/// One key's verified signature over one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    pub(in crate::signature) key: PublicKey,
    pub(in crate::signature) statement: Statement,
    pub(in crate::signature) claims: PrincipalId,
    pub(in crate::signature) carrier: Carrier,
    pub(in crate::signature) presence: Presence,
    pub(in crate::signature) signature: String,
    pub(in crate::signature) reason: Option<String>,
    pub(in crate::signature) evidence: Option<Digest>,
    pub(in crate::signature) claimed_time: Option<i64>,
}

impl Cosignature {
    /// The key that signed.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
    /// What it signed.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }
    /// The principal that the carrier names beside the signature: a claim that the ledger checks.
    pub fn claims(&self) -> &PrincipalId {
        &self.claims
    }
    /// How it came.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }
    /// What it proves about somebody being there.
    pub fn presence(&self) -> Presence {
        self.presence
    }
    /// The signature itself, base64: the SSHSIG blob, or the whole minisign file.
    pub fn signature(&self) -> &str {
        &self.signature
    }
    /// The `Two-Key-Reason` remark, if the signature covers one.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
    /// The `Two-Key-Evidence` remark, if the signature covers one.
    pub fn evidence(&self) -> Option<Digest> {
        self.evidence
    }
    /// When the signer says that it was (the committer line's seconds since 1970), if the signature covers that.
    pub fn claimed_time(&self) -> Option<i64> {
        self.claimed_time
    }
}

/// What a commit is, once its raw bytes have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// No statement line in its message.
    Ordinary {
        /// The Git signature (SSHSIG, namespace `git`) over the commit, if there is one. Nobody need have checked it.
        signature: Option<GitSignature>,
    },
    /// A statement line, in any form but the strict one.
    Malformed(Refusal),
    /// A statement in the strict form. In order: sealed lines, then the commit's own signature; there is one or the
    /// other.
    Carrier {
        /// What the commit's own fields state.
        statement: Statement,
        /// When the commit says that it was made, in seconds since 1970.
        committed: i64,
        /// The sealed signatures, which cost anybody nothing to write: nobody has checked them.
        sealed: Vec<Sealed>,
        /// The commit's own signature, which nobody need have checked either.
        own: Option<OwnVote>,
    },
}

impl Opened {
    /// The votes of a carrier, in order. Of a signature `standing` says why its key could not count, if it could not: then it is
    /// not checked. Nor are the sealed ones after the first of them that does not verify.
    pub fn votes(&self, standing: impl Fn(RawKey) -> Result<(), Refusal>) -> Vec<Result<Cosignature, BadVote>> {
        let Self::Carrier { sealed, own, .. } = self else { return Vec::new() };
        carrier::sealed_votes(sealed, &standing).chain(own.as_ref().map(|own| own.vote(&standing))).collect()
    }

    /// The votes of a carrier that somebody took, and that verified.
    pub fn verified(&self) -> impl Iterator<Item = &Cosignature> {
        let (sealed, own) = match self {
            Self::Carrier { sealed, own, .. } => (sealed.as_slice(), own.as_ref()),
            Self::Ordinary { .. } | Self::Malformed(_) => (&[][..], None),
        };
        let taken = sealed.iter().filter_map(Sealed::checked).chain(own.and_then(OwnVote::checked));
        taken.filter_map(|vote| vote.as_ref().ok())
    }
}

/// A signature in a well-formed carrier that does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadVote {
    /// Whom the carrier names, if anybody.
    pub claims: Option<PrincipalId>,
    /// The action that the line is for.
    pub action: Action,
    /// `unsigned`, `bad-signature`, `malformed`, or `wrong-principal` where a signed commit names nobody.
    pub refusal: Refusal,
}

/// The hash that a repository names its objects with, which decides the name of a commit's signature header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// 20-byte ids; signature header `gpgsig`.
    Sha1,
    /// 32-byte ids; signature header `gpgsig-sha256`.
    Sha256,
}

pub use carrier::{OwnVote, Sealed};
pub use commit::{GitSignature, Links, RawCommit, links};
pub use compose::statement_message;
pub use detached::{detached_base64, open_detached};
pub use large::{CommitBytes, Large, LargeReader, MAX_HELD};
pub use note::{Inbox, NoteEntry, UncheckedEntry, open_note};
pub use opening::{open_commit, open_commits};
pub use tag::{RawTag, parse_tag};
