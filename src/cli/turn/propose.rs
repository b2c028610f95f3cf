//! Proposals of files: ordinary commits on the governed branch. Files propose, keys decide, so they need no key, unless
//! a rule wants to know who proposed.

use super::{
    super::{Failure, Place, account, session::Session, terminal::say},
    advance, fold_on,
    keys::signing_key,
    push::{BranchPush, Consent, Moves},
};
use crate::{
    git::{NewCommit, RefUpdate, SignWith, SigningKey},
    ledger::rules,
    model::{Oid, Reason, Refusal, policy::SeparateProposer},
    report::ProposedView,
};

/// A file to be proposed.
#[derive(Debug)]
pub struct Proposal<'a> {
    /// Its path.
    pub path: &'a str,
    /// Its bytes.
    pub text: &'a str,
    /// The commit's message.
    pub message: &'a str,
    /// The key that signs the commit, if one was named.
    pub key: Option<&'a str>,
    /// Whether the rule that it will be counted under separates the proposer.
    pub separate: SeparateProposer,
}

impl Proposal<'_> {
    /// Makes the commit and folds it, moving nothing. Refused if the file could never be in force.
    pub fn commit(&self, session: &mut Session, place: &Place) -> Result<Oid, Failure> {
        let key = self.signer(session, place)?;
        let mut objects = session.repo.objects()?;
        let tree = objects.links(session.tip)?.tree;
        let tree = session.repo.with_files(Some(tree), &[(self.path, Some(self.text.as_bytes()))])?;
        let commit = session.repo.commit_tree(&NewCommit {
            tree,
            parents: &[session.tip],
            message: self.message,
            sign: key.as_ref().map_or(SignWith::Nobody, SignWith::Key),
            who: "two-key",
        })?;
        let (state, reports) = fold_on(&session.repo, session.root.commit(), session.state.clone(), commit)?;
        if let Some(finding) = reports.iter().flat_map(|report| &report.findings).next() {
            return Err(Failure::refused(self.path, finding.refusal.clone()));
        }
        session.move_to(commit, state, reports);
        Ok(commit)
    }

    /// Moves the governed branch to the proposal; where it is checked out, only this path changes.
    pub fn advance(&self, session: &Session, from: Oid) -> Result<(), Failure> {
        let update = RefUpdate { name: session.branch.clone(), old: Some(from), new: session.tip };
        let reason = format!("two-key: {}", self.message.lines().next().unwrap_or_default());
        advance(&session.repo, &update, &reason)?;
        let proposed = ProposedView { path: self.path.to_owned(), commit: session.tip.to_string() };
        account::note(|account| account.proposed.push(proposed));
        Ok(())
    }

    /// Says first that a proposal stays here, where there is a remote that could have it.
    pub fn say_if_kept(session: &Session, remote: Option<&str>) -> Result<(), Failure> {
        if remote.is_none() && !session.repo.remotes()?.is_empty() {
            say("NOT PUSHED: this proposal stays in this clone until: git two-key sync\n");
        }
        Ok(())
    }

    /// Pushes the proposal, if that was asked for.
    pub fn push(&self, session: &mut Session, remote: Option<&str>, about: &str) -> Result<(), Failure> {
        let Some(remote) = remote else { return Ok(()) };
        let moves = match self.separate {
            SeparateProposer::Required => Moves::Never,
            SeparateProposer::NotRequired => Moves::ByMerge,
        };
        let ours = session.tip;
        let (options, consent) = (Vec::new(), Consent::Asked);
        BranchPush { session, remote, about, who: "two-key", options, ours, moves, fresh: None, consent }.run()
    }

    /// The key that signs the proposal: as named, or the configured one where a rule must know who proposes.
    fn signer(&self, session: &Session, place: &Place) -> Result<Option<SigningKey>, Failure> {
        let must = self.separate == SeparateProposer::Required;
        if self.key.is_none() && !must {
            return Ok(None);
        }
        let key = signing_key(place, &session.repo, self.key).map_err(|failure| match failure {
            Failure::Undecided(refusal) if must && self.key.is_none() => {
                let message = "the rule must know who proposes, so the proposal has to be signed, and there is no key";
                let refusal = Refusal::new(Reason::Proposer, format!("{message} ({})", refusal.message));
                Failure::refused(self.path, refusal.hint("name one with --key FILE"))
            }
            other => other,
        })?;
        let public = key.public_key()?;
        rules::owner(&session.state, public.raw())
            .map_err(|refusal| Failure::refused(public.fingerprint().as_str(), refusal))?;
        Ok(Some(key))
    }
}
