//! Agent's writes into the repository: its turns, its refusals, its stops, each with what it rests on.
//!
//! Evidence comes first, in an ordinary commit that adds one document; the carrier on top of it names the document's
//! digest, and its signature covers that. A push is all or nothing. Where another push came first nothing is carried
//! over: the agent looks again, and decides anew on what the ledger says then.

use crate::{
    follower::{
        follow::Follower,
        mirror::Mirror,
        stops::SeenStop,
        writer::{Writer, beside, keep_stop, stops_pushes},
    },
    git::{GitError, NewCarrier, PushOptions, RefUpdate, SignWith, Signer},
    inbox::Plan,
    ledger::{State, StepReport},
    model::{Digest, LeaseId, Oid, Reason, Refusal, StopKind},
    report,
};

use super::refusal::AgentRefusal;

/// A document that something rests on.
#[derive(Debug, Clone)]
pub(super) struct EvidenceFile {
    pub(super) lease: LeaseId,
    pub(super) bytes: Vec<u8>,
}

impl EvidenceFile {
    fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

/// What became of something that was to be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordPush {
    /// It is in the governed branch.
    Done(Oid),
    /// Another push came first.
    Outrun,
}

/// Turns our key as planned, with the evidence for it.
pub(super) fn turn(
    mirror: &mut Mirror,
    (signer, writer): (&Signer, &Writer),
    plan: &Plan,
    reason: Option<&str>,
    evidence_file: Option<&EvidenceFile>,
) -> Result<RecordPush, Refusal> {
    let parent = commit_with_evidence(mirror, writer, evidence_file)?;
    let subject = report::subject_line(&plan.statement);
    let turn = NewCarrier {
        parent,
        statement: &plan.statement,
        subject: &subject,
        reason,
        evidence: evidence_file.map(EvidenceFile::digest),
        sealed: &plan.sealed,
    };
    let commit = mirror.repository.carry(signer, &turn).map_err(crate::git::CarryError::refusal)?;
    let (state, reports) = folded(mirror, commit)?;
    plan.came_about(&reports, &state)?;
    let tags = tags(mirror, &state, commit, signer)?;
    publish(mirror, commit, tags, &subject)
}

/// Records why our key is not turned.
pub(super) fn refuse(mirror: &mut Mirror, writer: &Writer, refusal: &AgentRefusal) -> Result<RecordPush, Refusal> {
    let path = AgentRefusal::path(&refusal.lease, &refusal.agent);
    let message = format!("Refuse {}: {}\n", refusal.lease, reasons(refusal));
    let commit = writer.with_file(mirror, (&path, &refusal.bytes()), &message, SignWith::Key(&writer.key));
    publish(mirror, commit?, Vec::new(), "refuse a lease")
}

fn reasons(refusal: &AgentRefusal) -> String {
    let checks: Vec<_> = refusal.reasons.iter().map(|why| why.check.as_str()).collect();
    checks.join(", ")
}

/// The refusal of ours that is at the tip, if there is one.
pub(super) fn standing(mirror: &Mirror, lease: &LeaseId, signer: &Signer) -> Result<Option<AgentRefusal>, Refusal> {
    let path = AgentRefusal::path(lease, &signer.principal);
    let read = mirror.repository.objects().and_then(|mut objects| objects.file_at(mirror.state.tip(), &path));
    Ok(read?.and_then(|bytes| AgentRefusal::parse(&bytes, &path)))
}

/// Signs a stop of our own on the accepted tip, with the evidence for it. No ref is made yet.
pub(super) fn stop(
    Follower { mirror, writer, .. }: &Follower,
    lease: &LeaseId,
    (kind, reason): (StopKind, &str),
    evidence_file: Option<&EvidenceFile>,
) -> Result<(SeenStop, Oid), Refusal> {
    let stop = SeenStop::own(&mirror.state, writer.public.raw(), (lease, kind), reason);
    let commit = writer.sign_stop(mirror, &stop, evidence_file.map(|evidence_file| evidence_file.bytes.as_slice()))?;
    Ok((SeenStop { commit: Some(commit), ..stop }, commit))
}

/// Puts our stops where everybody finds them, and every stop that waits onto the branch. What could not be done keeps nothing
/// else from being done; and, if the branch cannot have them, why.
pub(super) fn deliver(follower: &mut Follower, stops: &[SeenStop]) -> (Vec<Refusal>, Option<Refusal>) {
    let Follower { mirror, writer, .. } = follower;
    let mut failed = Vec::new();
    for stop in stops.iter().filter(|stop| stop.key == writer.public.raw()) {
        failed.extend(keep_stop(mirror, stop).err());
    }
    let mut pushes = stops_pushes(mirror);
    match writer.carry_over(mirror, stops) {
        Ok(carried) => pushes.extend(carried),
        Err(refusal) => failed.push(refusal),
    }
    let mut not_on_branch = None;
    for push in pushes {
        let Some(remote) = &mirror.remote else { break };
        let outcome = push.make(&mirror.repository, remote);
        match beside(mirror, &push, &outcome) {
            Some(why) => not_on_branch = Some(why),
            None => failed.extend(writer.pushed(&push, outcome).err()),
        }
    }
    (failed, not_on_branch)
}

/// The commit that brings evidence, on the accepted tip; that tip where there is none to bring.
fn commit_with_evidence(
    mirror: &Mirror,
    writer: &Writer,
    evidence_file: Option<&EvidenceFile>,
) -> Result<Oid, Refusal> {
    let Some(EvidenceFile { lease, bytes }) = evidence_file else { return Ok(mirror.state.tip()) };
    writer.commit_evidence(mirror, lease, bytes).map_err(Refusal::from)
}

/// Folds on to a commit that is not accepted yet.
fn folded(mirror: &Mirror, commit: Oid) -> Result<(State, Vec<StepReport>), GitError> {
    let mut reports = Vec::new();
    let each = |_: &_, report, _| reports.push(report);
    let state = mirror.repository.fold_on((*mirror.state).clone(), mirror.root, commit, each)?;
    Ok((state, reports))
}

/// The tags of what a commit put in force.
fn tags(mirror: &Mirror, state: &State, commit: Oid, signer: &Signer) -> Result<Vec<RefUpdate>, GitError> {
    let mut tags = Vec::new();
    for lease in state.leases() {
        for transition in lease.transitions.iter().filter(|transition| transition.commit == commit) {
            tags.push(mirror.repository.tag_of(&lease.id, transition, signer.principal.as_str())?);
        }
    }
    Ok(tags)
}

/// Puts a commit on the governed branch, with its tags, all or nothing.
fn publish(mirror: &mut Mirror, commit: Oid, tags: Vec<RefUpdate>, what: &str) -> Result<RecordPush, Refusal> {
    let refused = |error: GitError| error.refusal();
    let old = mirror.state.tip();
    let Some(remote) = mirror.remote.clone() else {
        let mut updates = vec![RefUpdate { name: mirror.branch.clone(), old: Some(old), new: commit }];
        updates.extend(tags);
        return match mirror.update(&updates, &format!("two-key: {what}")) {
            Ok(()) => Ok(RecordPush::Done(commit)),
            Err(GitError::RefChanged { .. }) => Ok(RecordPush::Outrun),
            Err(error) => Err(refused(error)),
        };
    };
    let mut refspecs = vec![format!("{commit}:{}", mirror.branch)];
    refspecs.extend(tags.iter().map(|tag| format!("{}:{}", tag.new, tag.name)));
    let options = PushOptions {
        atomic: true,
        // What was decided rests on this tip and no other.
        expected: vec![(mirror.branch.clone(), Some(old))],
        ..PushOptions::default()
    };
    let outcome = mirror.repository.push(&remote, &refspecs, &options).map_err(refused)?;
    if outcome.is_accepted() {
        return Ok(RecordPush::Done(commit));
    }
    mirror.fetch().map_err(refused)?;
    if mirror.at(&mirror.known_as(&mirror.branch)) != Some(old) {
        return Ok(RecordPush::Outrun);
    }
    let words: Vec<_> = outcome.rejected.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    let refused = outcome.remote.iter().find(|line| line.starts_with("two-key: refused"));
    let message = format!("the remote did not take it: {}", refused.cloned().unwrap_or_else(|| words.join("; ")));
    Err(Refusal::new(Reason::Stale, message))
}
