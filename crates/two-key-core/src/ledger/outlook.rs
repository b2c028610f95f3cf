//! Outlook on what could come next: the statement for a verb, what a lease awaits, and what a vote would do.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{
        Action, Fingerprint, Forward, ForwardKind, LeaseId, Nonce, Oid, PrincipalId, PublicKey, Reason, Refusal,
        Statement, Stop, StopKind, Subject, TargetId,
    },
    signature::{Carrier, Cosignature, Presence},
};

use super::{
    Content, Fold, Group, IncomingVote, LeaseState, Phase, ProposalFile, Proposer, State, StepReport, StopEffect,
    UnownedVote, files::unknown_lease,
};

/// What a handle (lease id, intent id or target) stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// One lease.
    Lease(LeaseId),
    /// Several, listed.
    Ambiguous(Vec<LeaseId>),
    /// None.
    Unknown,
}

/// What a target has: what runs there, and what may run there next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtTarget {
    /// The target.
    pub target: TargetId,
    /// What occupies it, what it is at or what was undone there last: the lease that started last.
    pub newest: Option<LeaseId>,
    /// The other leases that have not ended, oldest first.
    pub open: Vec<LeaseId>,
}

/// What there is of a target.
pub fn at_target(state: &State, target: &TargetId) -> AtTarget {
    at(state, target, open_on(state, target))
}

/// What there is of each of some targets.
pub fn at_targets(state: &State, targets: &BTreeSet<TargetId>) -> Vec<AtTarget> {
    let mut open: BTreeMap<TargetId, Vec<LeaseId>> = BTreeMap::new();
    for id in state.group(&Group::Open) {
        if let Some(lease) = lease_of(state, &id) {
            open.entry(lease.target.clone()).or_default().push(id);
        }
    }
    targets
        .iter()
        .map(|target| at(state, target, oldest_first(state, open.remove(target).unwrap_or_default())))
        .collect()
}

fn at(state: &State, target: &TargetId, mut open: Vec<LeaseId>) -> AtTarget {
    let newest = state.newest_on(target).map(|lease| lease.id.clone());
    open.retain(|id| newest.as_ref() != Some(id));
    AtTarget { target: target.clone(), newest, open }
}

/// Every lease that names a target.
pub fn leases_on(state: &State, target: &TargetId) -> BTreeSet<LeaseId> {
    state.group(&Group::Target(target.clone()))
}

/// The leases on a target that have not ended, oldest first.
fn open_on(state: &State, target: &TargetId) -> Vec<LeaseId> {
    let here = |id: &LeaseId| lease_of(state, id).is_some_and(|lease| lease.target == *target);
    oldest_first(state, state.group(&Group::Open).into_iter().filter(here).collect())
}

fn oldest_first(state: &State, mut leases: Vec<LeaseId>) -> Vec<LeaseId> {
    leases.sort_by_key(|id| lease_of(state, id).map(|lease| lease.issued));
    leases
}

/// What a handle means to somebody who only looks: a target that has leases as a whole; else a lease.
pub fn looked_at(state: &State, handle: &str) -> Result<AtTarget, Resolution> {
    let target = TargetId::parse(handle).filter(|_| is_target(state, handle));
    let has_leases =
        |at: &AtTarget| at.newest.is_some() || !at.open.is_empty() || !leases_on(state, &at.target).is_empty();
    let at = target.map(|target| at_target(state, &target)).filter(has_leases);
    let elsewhere = |at: &AtTarget| {
        let id = LeaseId::parse(handle).filter(|id| state.lease(id).is_some());
        id.is_some_and(|id| lease_of(state, &id).is_none_or(|lease| lease.target != at.target))
    };
    at.filter(|at| !elsewhere(at)).ok_or_else(|| resolve(state, handle, None))
}

/// Finds the lease that a handle means: of a target the lease there that the action is possible for (for stops, moves and
/// whoever only looks the one that occupies it), else its newest; of any other word the lease with that id, else the one with
/// that intent that the action is possible for, else the only one whose id begins so.
///
/// A target's name means the target first, whatever ids and intents are proposed: proposing needs no key, and must not redirect
/// a stop from what runs there.
pub fn resolve(state: &State, handle: &str, action: Option<Action>) -> Resolution {
    let named = LeaseId::parse(handle).filter(|id| state.knows(id));
    if is_target(state, handle) {
        let turned_for = named.as_ref().filter(|id| state.lease(id).is_some());
        match (on_target(state, handle, action), turned_for) {
            (Resolution::Unknown, _) => {}
            (Resolution::Lease(here), Some(id)) if here != *id => return Resolution::Ambiguous(vec![id.clone(), here]),
            (found, _) => return found,
        }
    }
    if let Some(id) = named {
        return Resolution::Lease(id);
    }
    let by_intent = state.group(&Group::Intent(handle.to_owned()));
    if !by_intent.is_empty() {
        return one_of(likeliest(state, by_intent.into_iter().collect(), action));
    }
    match on_target(state, handle, action) {
        Resolution::Unknown => begins_with(state, handle, action),
        found => found,
    }
}

/// Those of some leases that an action is possible for, else those that have not ended, else all. A stop, and whoever only
/// looks, means those that a key was turned for, if there are any: proposing needs no key, and must not turn a stop away.
fn likeliest(state: &State, ids: Vec<LeaseId>, action: Option<Action>) -> Vec<LeaseId> {
    let is_open = |id: &LeaseId| !phase_of(state, id).ended();
    let is_known = |id: &LeaseId| state.lease(id).is_some();
    let would = |id: &LeaseId| match action {
        None => is_open(id),
        Some(action) => match stop_kind(action) {
            Some(kind) => stops_any(state, kind, id),
            None => is_possible(phase_of(state, id), action),
        },
    };
    let turned_for = |id: &LeaseId| would(id) && is_known(id) && action.is_none_or(Action::stops);
    let narrower: [&dyn Fn(&LeaseId) -> bool; 3] = [&turned_for, &would, &is_open];
    let narrowed = narrower.into_iter().map(|fits| ids.iter().filter(|id| fits(id)).cloned().collect::<Vec<_>>());
    narrowed.into_iter().find(|some| !some.is_empty()).unwrap_or(ids)
}

/// The stop of a lease that an action is.
fn stop_kind(action: Action) -> Option<StopKind> {
    [StopKind::Pause, StopKind::Halt, StopKind::Rollback, StopKind::Withdraw]
        .into_iter()
        .find(|kind| kind.action() == action)
}

/// Whether a stop would act on anything.
fn stops_any(state: &State, kind: StopKind, id: &LeaseId) -> bool {
    stop_targets(state, kind, id)
        .is_ok_and(|landings| landings.iter().any(|(_, effect)| *effect != StopEffect::Nothing))
}

/// Whether a step forward is possible in a phase.
fn is_possible(phase: Phase, action: Action) -> bool {
    match action {
        Action::Cosign => phase == Phase::Proposed,
        Action::Start => matches!(phase, Phase::Proposed | Phase::Authorized),
        Action::Promote | Action::Complete => matches!(phase, Phase::Rolling { .. }),
        Action::Resume => matches!(phase, Phase::Paused { .. }),
        _ => true,
    }
}

fn phase_of(state: &State, id: &LeaseId) -> Phase {
    state.lease(id).map_or(Phase::Proposed, |lease| lease.phase)
}

/// The lease whose id begins with a handle. A stop means one that a key was turned for, if there is such a one: proposing needs
/// no key, and must not redirect a stop.
fn begins_with(state: &State, start: &str, action: Option<Action>) -> Resolution {
    if start.is_empty() {
        return Resolution::Unknown;
    }
    let all: Vec<_> = known_leases(state).into_iter().filter(|id| id.as_str().starts_with(start)).collect();
    if action.is_some_and(Action::stops) {
        let known: Vec<_> = all.iter().filter(|id| state.lease(id).is_some()).cloned().collect();
        if !known.is_empty() {
            return one_of(known);
        }
    }
    one_of(all)
}

/// Whether a handle is the name of a target that the policy names or that some lease ever started on.
fn is_target(state: &State, handle: &str) -> bool {
    TargetId::parse(handle)
        .is_some_and(|target| state.policy().get().targets.contains_key(&target) || state.newest_on(&target).is_some())
}

/// The newest lease of a target: of those that have not ended if there are any, else the one started last.
fn on_target(state: &State, target: &str, action: Option<Action>) -> Resolution {
    let occupant = !matches!(action, Some(Action::Cosign | Action::Start));
    // What runs there is halted and rolled back, not what somebody proposes to run there next.
    let undone = matches!(action, Some(Action::Halt | Action::Rollback));
    let stands = |phase: Phase| phase.occupies() || (undone && phase == Phase::Completed);
    let Some(target) = TargetId::parse(target) else { return Resolution::Unknown };
    let newest = state.newest_on(&target).filter(|lease| stands(lease.phase));
    // Where that one was undone, what the target fell back to can be halted; undone it is by its own name only.
    let below = state.stands_on(&target);
    let below = below.filter(|lease| lease.phase.occupies() || (action == Some(Action::Halt) && stands(lease.phase)));
    if let (true, Some(lease)) = (occupant, newest.or(below)) {
        return Resolution::Lease(lease.id.clone());
    }
    let issued = |id: &LeaseId| lease_of(state, id).map(|lease| lease.issued);
    // Of a target that nothing occupies, whatever is open there is the newest.
    let begins = action.filter(|_| !occupant);
    let fits = |id: &LeaseId| begins.is_none_or(|action| is_possible(phase_of(state, id), action));
    let open = open_on(state, &target);
    let fitting: Vec<_> = open.iter().filter(|id| fits(id)).cloned().collect();
    let mut candidates = if fitting.is_empty() { open } else { fitting };
    if candidates.is_empty() {
        candidates = leases_on(state, &target).into_iter().collect();
    }
    let Some(newest) = candidates.iter().map(&issued).max() else { return Resolution::Unknown };
    one_of(candidates.into_iter().filter(|id| issued(id) == newest).collect())
}

fn one_of(mut ids: Vec<LeaseId>) -> Resolution {
    match (ids.pop(), ids.is_empty()) {
        (None, _) => Resolution::Unknown,
        (Some(id), true) => Resolution::Lease(id),
        (Some(id), false) => {
            ids.push(id);
            Resolution::Ambiguous(ids)
        }
    }
}

/// Every lease of the ledger and of the tree.
fn known_leases(state: &State) -> BTreeSet<LeaseId> {
    let in_tree = state.files().filter_map(|(path, _)| crate::model::lease::file_id(path));
    state.leases().map(|lease| lease.id.clone()).chain(in_tree).collect()
}

/// A lease's document: the pinned one, else the first proposal in the tree.
fn lease_of<'a>(state: &'a State, id: &LeaseId) -> Option<&'a crate::model::lease::Lease> {
    state.index.get(&id.folded())?.document(id)
}

impl State {
    /// A lease's document: the pinned one, else the first usable proposal in the tree.
    pub fn document(&self, id: &LeaseId) -> Option<&crate::model::lease::Lease> {
        lease_of(self, id)
    }

    /// Who brought a lease's document.
    pub fn document_proposer(&self, id: &LeaseId) -> Proposer {
        let pinned = self.lease(id).and_then(|lease| lease.pinned.as_ref()).map(|pinned| pinned.digest());
        let usable = |file: &ProposalFile<_>| matches!(file.content, Content::Proposal(_)).then_some(file.digest)?;
        let digest = pinned.or_else(|| self.proposals(id).find_map(|(_, file)| usable(file)));
        digest.map_or(Proposer::Unknown, |digest| self.lease_proposer(id, digest))
    }

    /// Every lease of the ledger and of the tree, by id.
    pub fn known_leases(&self) -> BTreeSet<LeaseId> {
        known_leases(self)
    }
}

/// The statement for a verb at this state, or why there is none. Stops and freezes take `nonce`; nothing else does.
pub fn next_statement(
    state: &State,
    action: Action,
    lease: Option<&LeaseId>,
    key: Option<&Fingerprint>,
    nonce: &Nonce,
) -> Result<Statement, Refusal> {
    let id = || lease.cloned().ok_or_else(|| Refusal::new(Reason::UnknownLease, format!("{action} needs a lease")));
    let subject = match action {
        Action::Cosign => cosign_subject(state, &id()?)?,
        Action::Start | Action::Promote | Action::Resume | Action::Complete => forward_subject(state, action, &id()?)?,
        Action::Pause => stop_subject(state, StopKind::Pause, id()?, nonce)?,
        Action::Halt => stop_subject(state, StopKind::Halt, id()?, nonce)?,
        Action::Rollback => stop_subject(state, StopKind::Rollback, id()?, nonce)?,
        Action::Withdraw => stop_subject(state, StopKind::Withdraw, id()?, nonce)?,
        Action::Freeze => Subject::Freeze { nonce: nonce.clone() },
        Action::Thaw => {
            state.thawable(state.freezes())?;
            Subject::Thaw { step: state.freezes() }
        }
        Action::Policy => {
            let proposed = state.policy_file().and_then(|file| file.digest);
            let digest = proposed.filter(|digest| *digest != state.policy().digest()).ok_or_else(|| {
                Refusal::new(Reason::PolicyVersion, "no other policy than the one in force is proposed in the tree")
                    .hint("propose one with: git two-key key add …, or by a commit that edits .two-key/policy.yaml")
            })?;
            state.policy_named(digest)?;
            Subject::Policy { digest }
        }
        Action::Revoke => {
            let key = key.ok_or_else(|| Refusal::new(Reason::UnknownKey, "revoke needs a key's fingerprint"))?;
            state.revocable(key)?;
            Subject::Revoke { key: key.clone() }
        }
    };
    Ok(Statement { repository: state.policy().get().repository.clone(), subject })
}

/// The only usable bytes that a vote could name for a lease.
fn cosign_subject(state: &State, id: &LeaseId) -> Result<Subject, Refusal> {
    let digest = digest_of(state, id)?;
    state.cosignable(id, digest)?;
    Ok(Subject::Cosign { lease: id.clone(), digest })
}

fn digest_of(state: &State, id: &LeaseId) -> Result<crate::model::Digest, Refusal> {
    if let Some(pinned) = state.lease(id).and_then(|lease| lease.pinned.as_ref()) {
        return Ok(pinned.digest());
    }
    let files: Vec<(&str, &ProposalFile<_>)> = state.proposals(id).collect();
    let digests: BTreeSet<_> = files.iter().filter_map(|(_, file)| file.digest).collect();
    match (files.first(), digests.len()) {
        (None, _) if state.lease(id).is_none() => Err(unknown_lease(id)),
        (None, _) => Err(Refusal::new(Reason::WrongState, format!("lease {id} was withdrawn, and its file is gone"))),
        (Some(_), 1) => digests.first().copied().ok_or_else(|| unknown_lease(id)),
        (Some((path, file)), 0) => {
            let why = match &file.content {
                Content::Unusable { message, .. } => message.as_str(),
                Content::Proposal(_) => "its bytes were not read",
            };
            Err(Refusal::new(Reason::Malformed, format!("{path}: {why}")))
        }
        (Some(_), _) => {
            let paths: Vec<_> = files.iter().map(|(path, _)| *path).collect();
            let message = format!("lease {id} has files with different bytes: {}", paths.join(", "));
            Err(Refusal::new(Reason::Ambiguous, message).hint("delete all but one"))
        }
    }
}

fn forward_subject(state: &State, action: Action, id: &LeaseId) -> Result<Subject, Refusal> {
    let digest = digest_of(state, id)?;
    let (lease, _) = state.named(id, digest)?;
    let entry = state.lease(id);
    let step = entry.map_or(1, LeaseState::next_step);
    let at = entry.and_then(|entry| entry.phase.tier());
    let kind = match action {
        Action::Start => ForwardKind::Start { tier: lease.get().tiers.first().map_or(0, |tier| tier.weight) },
        Action::Promote => {
            let next = at.and_then(|at| lease.get().tier_after(at));
            // Without a next tier the last one stands in; `movable` then says what is wrong.
            ForwardKind::Promote { tier: next.or(lease.get().tiers.last().copied()).map_or(100, |tier| tier.weight) }
        }
        Action::Resume => ForwardKind::Resume,
        _ => ForwardKind::Complete,
    };
    let forward = Forward { lease: id.clone(), digest, step, kind };
    // A lease that has started answers `start` with its state, not with a step number that nobody typed.
    if let (Action::Start, Some(entry)) = (action, entry)
        && entry.phase != Phase::Proposed
        && entry.phase != Phase::Authorized
    {
        return Err(super::forward::wrong_state(id, entry.phase, action));
    }
    state.movable(&forward)?;
    Ok(Subject::Forward(forward))
}

fn stop_subject(state: &State, kind: StopKind, lease: LeaseId, nonce: &Nonce) -> Result<Subject, Refusal> {
    stop_targets(state, kind, &lease)?;
    Ok(Subject::Stop(Stop { lease, kind, nonce: nonce.clone() }))
}

/// Which leases a stop would act on, in this order, and what it would do to each.
pub fn stop_targets(state: &State, kind: StopKind, lease: &LeaseId) -> Result<Vec<(LeaseId, StopEffect)>, Refusal> {
    state.stoppable(lease)?;
    state.stop_lands_on(lease, kind)
}

/// What has to happen before any key counts for what a lease awaits next: the refusal that its signer would get.
pub fn held_up(state: &State, id: &LeaseId, action: Action) -> Option<Refusal> {
    let moves = matches!(action, Action::Start | Action::Promote | Action::Resume | Action::Complete);
    moves.then(|| forward_subject(state, action, id).err()).flatten()
}

/// What votes would do if they were folded next: the report, and the state that nobody may take for the ledger's.
pub fn hypothetical(state: &State, votes: Hypothesis<'_>) -> (State, StepReport) {
    folded(state.above(), votes)
}

fn folded(state: State, votes: Hypothesis<'_>) -> (State, StepReport) {
    let commit = if let Hypothesis::Carried { commit, .. } = votes { commit } else { state.tip() };
    let turns = match votes {
        Hypothesis::Signed(cosignatures) | Hypothesis::Carried { votes: cosignatures, .. } => {
            cosignatures.iter().map(|cosignature| IncomingVote::of(cosignature, commit, None)).collect()
        }
        Hypothesis::IfSigned { statement, key, claims } => vec![if_signed(statement, key, claims, commit)],
    };
    let mut fold = Fold::new(state, commit, 0);
    fold.votes(turns);
    fold.enact_policy();
    (fold.state, fold.report)
}

/// What one vote would do if it were folded next: the report of [`hypothetical`], found out with the leases alone that the
/// vote turns out to concern. Notes and stop refs are many, and a copy of everything for each would be their product.
pub fn forecast(state: &State, vote: &Cosignature) -> StepReport {
    foretold(state, Hypothesis::Signed(std::slice::from_ref(vote)))
}

/// Whether a vote could count if it were folded next, as far as can be told before anybody has checked its signature.
pub fn could_count(state: &State, statement: &Statement, key: &PublicKey, claims: &PrincipalId) -> bool {
    foretold(state, Hypothesis::IfSigned { statement, key, claims }).findings.is_empty()
}

fn foretold(state: &State, votes: Hypothesis<'_>) -> StepReport {
    folded(state.about(), votes).1
}

/// Whether a stop or freeze would stop something if it were folded next, or why it would not count: what
/// [`hypothetical`] gives, without a copy of all that its lease went through, as there may be very many stops of one lease.
/// No other vote stops anything.
pub fn stops_something(state: &State, vote: &Cosignature) -> Result<bool, Refusal> {
    let turn = IncomingVote::of(vote, state.tip(), None);
    let vote = state.owned(&turn)?;
    match &turn.statement.subject {
        Subject::Stop(stop) => {
            let landings = state.stop_counts(stop, &turn.statement, &vote)?;
            Ok(landings.into_iter().flatten().any(|(_, effect)| effect != StopEffect::Nothing))
        }
        Subject::Freeze { .. } => {
            State::may_freeze(&vote)?;
            Ok(state.frozen.is_none() && !state.stop_seen(vote.key.raw(), &turn.statement))
        }
        _ => Ok(false),
    }
}

/// Votes that are not in the ledger.
#[derive(Debug, Clone, Copy)]
pub enum Hypothesis<'a> {
    /// Verified signatures that wait to be sealed.
    Signed(&'a [Cosignature]),
    /// The verified signatures of a commit that is not in the ledger yet. What they do is told of that commit.
    Carried {
        /// The signatures.
        votes: &'a [Cosignature],
        /// The commit.
        commit: Oid,
    },
    /// A statement that a key's holder is about to sign.
    IfSigned {
        /// What would be signed.
        statement: &'a Statement,
        /// With which key.
        key: &'a PublicKey,
        /// Whose it is said to be.
        claims: &'a PrincipalId,
    },
}

fn if_signed(statement: &Statement, key: &PublicKey, claims: &PrincipalId, commit: Oid) -> IncomingVote {
    // The most that the key can show: whether it does is checked when the signature is there.
    let presence = if key.is_hardware() { Presence::Verified } else { Presence::None };
    let vote = UnownedVote {
        key: key.clone(),
        claims: claims.clone(),
        carrier: Carrier::Detached,
        presence,
        signature: String::new(),
        commit,
        claimed_time: None,
        reason: None,
        evidence: None,
    };
    IncomingVote { vote, statement: statement.clone() }
}
