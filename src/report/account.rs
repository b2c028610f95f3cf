//! Account of what a writing verb did, for programs.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Oid, Reason, Refusal, Statement};

/// What a verb signed, proposed, took back and pushed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Account {
    /// What was signed.
    pub signed: Vec<SignedView>,
    /// What was proposed: an ordinary commit with a file.
    pub proposed: Vec<ProposedView>,
    /// What was signed or proposed here before and is taken back; refs and lease files that `tidy` took away.
    pub taken_back: Vec<String>,
    /// The leases that were refused where several were asked for: then nothing was signed.
    pub refused: Vec<RefusedView>,
    /// What came about, in words, a line each; in a dry run what would.
    pub effect: Vec<String>,
    /// The tags that were made.
    pub tags: Vec<String>,
    /// The remote that has it now; null where it is in this clone alone.
    pub pushed_to: Option<String>,
}

impl Account {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SignedView {
    /// The action's word.
    pub action: String,
    /// The lease.
    pub lease: Option<String>,
    /// The step number.
    pub step: Option<u32>,
    /// The tier, in percent.
    pub tier: Option<u8>,
    /// Whose key signed.
    pub principal: String,
    /// That principal's role.
    pub role: String,
    /// The commit that carries it; null for a vote by note, and in a dry run.
    pub commit: Option<String>,
    /// The signed text.
    pub statement: String,
}

impl SignedView {
    /// A vote over a statement.
    pub fn new(statement: &Statement, principal: &str, role: &str, commit: Option<Oid>) -> Self {
        let fields = statement.fields();
        Self {
            action: fields.action.word().to_owned(),
            lease: fields.lease.as_ref().map(ToString::to_string),
            step: fields.step,
            tier: fields.tier,
            principal: principal.to_owned(),
            role: role.to_owned(),
            commit: commit.map(|commit| commit.to_string()),
            statement: statement.to_string(),
        }
    }
}

/// A file that is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProposedView {
    /// Its path.
    pub path: String,
    /// The commit.
    pub commit: String,
}

/// A lease for which no key can be turned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefusedView {
    /// The lease, or what was named for it.
    pub lease: String,
    /// The reason code.
    pub reason: Reason,
    /// Why, in words.
    pub message: String,
}

impl RefusedView {
    /// Why a lease is refused.
    pub fn new(lease: &str, refusal: &Refusal) -> Self {
        Self { lease: lease.to_owned(), reason: refusal.reason, message: refusal.message.clone() }
    }
}
