//! Carriers as Git objects: a statement, signed in a commit or sealed in one. Nothing here moves a ref.

use super::{GitError, NewCommit, Repository, SignWith, SigningKey};
use crate::{
    model::{Action, Digest, Oid, PrincipalId, PublicKey, Refusal, Statement, policy::Role},
    signature::{Cosignature, detached_base64, open_detached, statement_message},
};

/// Whose key is turned.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The key.
    pub key: SigningKey,
    /// Its public half.
    pub public: PublicKey,
    /// Whose it is.
    pub principal: PrincipalId,
    /// What that principal is.
    pub role: Role,
}

/// A key's turn about to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewCarrier<'a> {
    /// The commit that it continues, and whose tree it has.
    pub parent: Oid,
    /// What is signed.
    pub statement: &'a Statement,
    /// The message's first line.
    pub subject: &'a str,
    /// Why, in the signer's words.
    pub reason: Option<&'a str>,
    /// The digest of what it rests on.
    pub evidence: Option<Digest>,
    /// Others' detached votes that it seals.
    pub sealed: &'a [Cosignature],
}

/// Why a key's turn could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// Git or the signing program failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// What was signed would not count.
    #[error("{0}")]
    Refused(Refusal),
}

impl CarryError {
    /// The same as a refusal.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Git(error) => error.refusal(),
            Self::Refused(refusal) => refusal,
        }
    }
}

impl Signer {
    /// Whether a turn is sealed as a signature of its own, rather than made as a commit's.
    ///
    /// People turn keys for rules by one deliberate signature. Agents, and everybody who stops something, sign the
    /// commit: so the reason and the evidence that they give are signed too. Minisign keys cannot sign commits.
    fn seals(&self, action: Action) -> bool {
        let by_rule = matches!(
            action,
            Action::Cosign | Action::Start | Action::Promote | Action::Resume | Action::Thaw | Action::Policy
        );
        matches!(self.key, SigningKey::Minisign(_)) || (self.role == Role::Human && by_rule)
    }
}

impl Repository {
    /// Signs a statement by itself: the signature's file as the program wrote it, and what it proves.
    pub fn detached(&self, signer: &Signer, statement: &Statement) -> Result<(String, Cosignature), CarryError> {
        let file = signer.key.sign(&self.ssh_program()?, &statement.text())?;
        let base64 = detached_base64(&file).map_err(CarryError::Refused)?;
        let cosignature = open_detached(statement, signer.principal.clone(), &signer.public, &base64);
        Ok((file, cosignature.map_err(|bad| CarryError::Refused(bad.refusal))?))
    }

    /// Makes the commit that carries a key's turn for a statement, and seals other detached votes into it.
    pub fn carry(&self, signer: &Signer, turn: &NewCarrier<'_>) -> Result<Oid, CarryError> {
        let mut lines: Vec<_> = turn.sealed.iter().filter_map(Cosignature::seal_line).collect();
        let (principal, sign) = if signer.seals(turn.statement.action()) {
            lines.extend(self.detached(signer, turn.statement)?.1.seal_line());
            (None, SignWith::Nobody)
        } else {
            (Some(&signer.principal), SignWith::Key(&signer.key))
        };
        let message = statement_message(turn.statement, turn.subject, principal, turn.reason, turn.evidence, &lines);
        let message = message.map_err(CarryError::Refused)?;
        let tree = self.objects()?.links(turn.parent)?.tree;
        let who = signer.principal.as_str();
        Ok(self.commit_tree(&NewCommit { tree, parents: &[turn.parent], message: &message, sign, who })?)
    }
}
