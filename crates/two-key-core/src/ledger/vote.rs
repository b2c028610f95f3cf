//! Votes: keys turned, as the fold counted them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    model::{Digest, Oid, PrincipalId, PublicKey, RawKey, Statement, policy::Role},
    signature::{Carrier, Presence},
};

/// A key turned, as the fold counted it: the key was in force, its principal had the right to vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The key, in the wrapping that it signed in.
    pub key: PublicKey,
    /// Whose key it was.
    pub principal: PrincipalId,
    /// That principal's role.
    pub role: Role,
    /// How the signature came.
    pub carrier: Carrier,
    /// What it proves about somebody being there.
    pub presence: Presence,
    /// The signature, base64.
    pub signature: String,
    /// The commit that carried it.
    pub commit: Oid,
    /// When the commit says that it was which its signer made for it, in seconds since 1970; none of a vote that another's commit
    /// sealed.
    pub claimed_time: Option<i64>,
    /// Why, in the signer's words.
    pub reason: Option<String>,
    /// The digest of the evidence that the signer names.
    pub evidence: Option<Digest>,
}

/// Votes by raw key: one key, one vote.
pub type Votes = BTreeMap<RawKey, Vote>;

/// Votes for one statement that is not in force yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// What they are for.
    pub statement: Statement,
    /// Who voted.
    pub votes: Votes,
}

/// A stop that has been folded: a raw key and a statement stop once. One digest of both, as there may be a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::ledger) struct Spent(Digest);

impl Spent {
    pub(in crate::ledger) fn of(key: RawKey, statement: &Statement) -> Self {
        Self(Digest::of(format!("{} {}", String::from(key), statement.id()).as_bytes()))
    }
}
