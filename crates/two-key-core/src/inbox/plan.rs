//! A key's turn before it is made: the statement, the votes in notes that it seals, and what it would do.
//!
//! People's verbs and the agent plan alike, so that nobody signs what would not count, and what was made can be held to
//! what was said before.

use jiff::Timestamp;

use crate::{
    ledger::{self, Hypothesis, State, StepReport},
    model::{
        Action, CLOCK_TOLERANCE, Fingerprint, LeaseId, Nonce, PrincipalId, PublicKey, RawKey, Reason, Refusal,
        Statement,
    },
    signature::Cosignature,
};

use super::Overlay;

/// A vote that could be made, seen from one state.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What would be signed.
    pub statement: Statement,
    /// The state on which the vote comes: the ledger's, with what is sealed before it.
    pub before: State,
    /// The state after it.
    pub after: State,
    /// Votes from notes that the commit seals.
    pub sealed: Vec<Cosignature>,
}

impl Plan {
    /// Finds the statement, and checks everything that does not depend on who signs. Not for stops, which need no plan.
    pub fn new(
        state: &State,
        waiting: &Overlay,
        action: Action,
        lease: Option<&LeaseId>,
        revoked: Option<&Fingerprint>,
    ) -> Result<Self, Refusal> {
        let mut sealed = Vec::new();
        let mut before = state.clone();
        if let (Action::Start, Some(lease)) = (action, lease) {
            sealed = waiting.cosignatures_of(lease).cloned().collect();
            before = ledger::hypothetical(&before, Hypothesis::Signed(&sealed)).0;
        }
        // Only stops and freezes have a nonce.
        let nonce = Nonce::from_bytes([0; 16]);
        let statement = ledger::next_statement(&before, action, lease, revoked, &nonce)?;
        Ok(Self { statement, after: before.clone(), before, sealed })
    }

    /// Adds the votes that wait in notes for the same statement, short of what would make this one superfluous, and
    /// checks that this one counts on top of them.
    pub fn turned_by(mut self, waiting: &Overlay, key: &PublicKey, principal: &PrincipalId) -> Result<Self, Refusal> {
        let others = waiting.votes_for(&self.statement);
        let others: Vec<_> = others.filter(|vote| vote.claims() != principal).cloned().collect();
        for vote in others {
            let (state, report) = ledger::hypothetical(&self.before, Hypothesis::Signed(std::slice::from_ref(&vote)));
            let complete = self.statement.action() != Action::Cosign && report.took_effect();
            if report.findings.is_empty() && !complete {
                self.before = state;
                self.sealed.push(vote);
            }
        }
        let vote = Hypothesis::IfSigned { statement: &self.statement, key, claims: principal };
        let (after, report) = ledger::hypothetical(&self.before, vote);
        if let Some(finding) = report.findings.into_iter().next() {
            return Err(finding.refusal);
        }
        self.after = after;
        Ok(self)
    }

    /// Holds what was made to what was said before it was signed.
    pub fn came_about(&self, reports: &[StepReport], state: &State) -> Result<(), Refusal> {
        if let Some(finding) = reports.iter().flat_map(|report| &report.findings).next() {
            return Err(finding.refusal.clone());
        }
        let phase = |state: &State| self.statement.lease().and_then(|id| state.lease(id)).map(|lease| lease.phase);
        let same = phase(state) == phase(&self.after) && state.policy().digest() == self.after.policy().digest();
        if same { Ok(()) } else { Err(Refusal::new(Reason::Internal, "the commit does not do what was said before")) }
    }
}

/// Refuses what the server's clock would refuse, by the local one: a turn forward by a key after its last day.
pub fn key_in_time(state: &State, action: Action, key: RawKey, now: Timestamp) -> Result<(), Refusal> {
    if action.goes_forward() { state.policy().get().key_in_time(key, now) } else { Ok(()) }
}

/// Refuses what the server's clock would refuse, by the local one: a turn for a lease whose window is not open.
pub fn in_window(state: &State, action: Action, lease: Option<&LeaseId>, now: Timestamp) -> Result<(), Refusal> {
    if !action.needs_window() {
        return Ok(());
    }
    let Some(lease) = lease.and_then(|id| state.document(id)) else { return Ok(()) };
    if action.moves() {
        state.policy().get().open_for(lease, now)?;
    }
    if lease.expires <= now {
        let refusal = Refusal::new(Reason::Expired, format!("lease {} expired at {}", lease.id, lease.expires));
        return Err(refusal.hint("propose the change again, as a new lease: git two-key new"));
    }
    if lease.issued.as_second().saturating_sub(now.as_second()) > CLOCK_TOLERANCE.as_secs() {
        let message = format!("lease {} is valid from {} on, by this clock not yet", lease.id, lease.issued);
        return Err(Refusal::new(Reason::NotYetValid, message));
    }
    Ok(())
}
