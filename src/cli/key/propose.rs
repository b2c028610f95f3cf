//! Policy amendment shared by `key add` and `key remove`: the next policy, proposed.

use std::fmt::Write as _;

use super::super::{
    Failure, Place,
    governed::POLICY_PATH,
    session::Session,
    terminal::say,
    turn::{self, Proposal, To},
};
use crate::{
    git::GitError,
    model::{
        Digest, Reason, Refusal,
        document::DocumentError,
        policy::{self, Amendment},
    },
    report,
};

/// Who signs a proposal, and where it goes.
pub struct ProposalSigner<'a> {
    /// The key that signs it, if one was named.
    pub key: Option<&'a str>,
    /// Whether and where to push it.
    pub to: &'a To,
}

/// Proposes the policy that a change makes of the one in force, or of the one that is proposed already.
pub fn propose(
    place: &Place,
    mut session: Session,
    by: &ProposalSigner<'_>,
    what: &str,
    change: &Amendment,
) -> Result<(), Failure> {
    let (text, stacked) = current(&session)?;
    let refused = |error: DocumentError| Failure::refused(POLICY_PATH, error.into());
    let mut amended = policy::amend(&text, change).map_err(refused)?;
    if stacked {
        amended = renumbered(&session, &text, &amended)?;
    }
    let proposed = policy::read(amended.as_bytes()).map_err(refused)?;
    let now = session.state.policy().clone();
    session.state.can_follow(&proposed).map_err(|refusal| Failure::refused(POLICY_PATH, refusal))?;
    let version = proposed.get().version;
    let message = format!("Propose policy version {version}: {what}\n");
    let separate = now.get().rules.policy.separate_proposer;
    let proposal = Proposal { path: POLICY_PATH, text: &amended, message: &message, key: by.key, separate };
    let destination = by.to.destination(&session.repo, &session.branch)?;
    let before = session.tip;
    proposal.commit(&mut session, place)?;
    proposal.advance(&session, before)?;
    Proposal::say_if_kept(&session, destination.as_deref())?;
    let mut text = format!("Proposed policy version {version} ({}):\n", session.tip.short());
    for line in report::policy_difference_at(now.get(), proposed.get(), Some(turn::now())) {
        let _ = writeln!(text, "  {line}");
    }
    for warning in report::unmet(proposed.get()) {
        let _ = writeln!(text, "  warning: {warning}");
    }
    if stacked {
        text.push_str(
            "It takes the place of the proposal that was in the tree; votes for that one do not count for this.\n",
        );
    }
    say(&format!(
        "{text}\nIt is in force once the policy rule's keys have been turned for it; turn yours with:\n  git two-key sign policy"
    ));
    proposal.push(&mut session, destination.as_deref(), POLICY_PATH)
}

/// The text to change, and whether it is itself only proposed.
fn current(session: &Session) -> Result<(String, bool), Failure> {
    let in_force = session.state.policy().digest();
    let mut objects = session.repo.objects()?;
    let here = objects.file_at(session.tip, POLICY_PATH)?;
    let usable = here.filter(|bytes| {
        let next = policy::read(bytes).ok().filter(|next| session.state.can_follow(next).is_ok());
        Digest::of(bytes) == in_force || next.is_some()
    });
    // What is in force stood in the tree when it came in force.
    let bytes = match usable {
        Some(bytes) => bytes,
        None => objects.file_at(session.state.policy_since(), POLICY_PATH)?.ok_or_else(|| missing(session))?,
    };
    let stacked = Digest::of(&bytes) != in_force;
    Ok((String::from_utf8(bytes).map_err(|_| missing(session))?, stacked))
}

fn missing(session: &Session) -> Failure {
    GitError::MissingObject(session.state.policy_since()).into()
}

/// A change of a proposal keeps the proposal's place: the version after the one in force.
fn renumbered(session: &Session, text: &str, amended: &str) -> Result<String, Failure> {
    let in_force = session.state.policy();
    let (proposed, digest) = (in_force.get().version.saturating_add(1), Digest::of(text.as_bytes()).to_string());
    let (next, own) = (format!("\nversion: {}", proposed.saturating_add(1)), format!("\nversion: {proposed}"));
    let text = amended.replacen(&next, &own, 1).replacen(&digest, &in_force.digest().to_string(), 1);
    match policy::read(text.as_bytes()) {
        Ok(read) if read.get().version == proposed && read.get().previous == Some(in_force.digest()) => Ok(text),
        _ => {
            let message = "the proposal in the tree is written in a way that cannot be changed by this program";
            let refusal = Refusal::new(Reason::Malformed, message);
            Err(Failure::refused(
                POLICY_PATH,
                refusal.hint("edit .two-key/policy.yaml, or have the proposal signed first"),
            ))
        }
    }
}
