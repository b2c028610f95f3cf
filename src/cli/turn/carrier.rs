//! Carriers as verbs make them: with failures that name the signer. Nothing here moves a ref.

use crate::{
    cli::Failure,
    git::{CarryError, NewCarrier, Repository, Signer},
    model::{Oid, Statement},
    report,
    signature::Cosignature,
};

/// Signs a statement by itself: the signature's file as the program wrote it, and what it proves.
pub fn detached(repo: &Repository, signer: &Signer, statement: &Statement) -> Result<(String, Cosignature), Failure> {
    repo.detached(signer, statement).map_err(|error| failed(signer, error))
}

/// Makes the commit that carries a key's turn for a statement, and seals other detached votes into it.
pub fn commit(
    repo: &Repository,
    parent: Oid,
    statement: &Statement,
    signer: &Signer,
    reason: Option<&str>,
    sealed: &[Cosignature],
) -> Result<Oid, Failure> {
    let subject = report::subject_line(statement);
    let turn = NewCarrier { parent, statement, subject: &subject, reason, evidence: None, sealed };
    repo.carry(signer, &turn).map_err(|error| failed(signer, error))
}

fn failed(signer: &Signer, error: CarryError) -> Failure {
    match error {
        CarryError::Git(error) => error.into(),
        CarryError::Refused(refusal) => Failure::refused(signer.principal.as_str(), refusal),
    }
}
