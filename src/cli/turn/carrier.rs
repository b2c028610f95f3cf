//! Carriers: how a key's turn gets into a commit. Nothing here moves a ref.

use super::keys::Signer;
use crate::{
    cli::Failure,
    git::{NewCommit, Repository, SignWith, SigningKey},
    model::{Action, Oid, Statement, policy::Role},
    report,
    signature::{Cosignature, detached_base64, open_detached, statement_message},
};

/// Whether a key's turn is sealed as a signature of its own, rather than made as a commit's.
///
/// People turn keys for rules by one deliberate signature. Agents, and everybody who stops something, sign the commit:
/// so the reason that they give is signed too. Minisign keys cannot sign commits.
fn is_sealed(signer: &Signer, action: Action) -> bool {
    let by_rule = matches!(
        action,
        Action::Cosign | Action::Start | Action::Promote | Action::Resume | Action::Thaw | Action::Policy
    );
    matches!(signer.key, SigningKey::Minisign(_)) || (signer.role == Role::Human && by_rule)
}

/// Signs a statement by itself: the signature's file as the program wrote it, and what it proves.
pub fn detached(signer: &Signer, statement: &Statement) -> Result<(String, Cosignature), Failure> {
    let file = signer.key.sign(&statement.text())?;
    let refused = |refusal| Failure::refused(signer.principal.as_str(), refusal);
    let base64 = detached_base64(&file).map_err(refused)?;
    let cosignature = open_detached(statement, signer.principal.clone(), &signer.public, &base64);
    Ok((file, cosignature.map_err(|bad| refused(bad.refusal))?))
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
    let refused = |refusal| Failure::refused(signer.principal.as_str(), refusal);
    let mut lines: Vec<_> = sealed.iter().filter_map(Cosignature::seal_line).collect();
    let subject = report::subject_line(statement);
    let (principal, sign) = if is_sealed(signer, statement.action()) {
        lines.extend(detached(signer, statement)?.1.seal_line());
        (None, SignWith::Nobody)
    } else {
        (Some(&signer.principal), SignWith::Key(&signer.key))
    };
    let message = statement_message(statement, &subject, principal, reason, None, &lines).map_err(refused)?;
    let tree = repo.objects()?.links(parent)?.tree;
    let commit = NewCommit { tree, parents: &[parent], message: &message, sign, who: signer.principal.as_str() };
    Ok(repo.commit_tree(&commit)?)
}
