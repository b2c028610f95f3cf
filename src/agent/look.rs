//! Agent's work on one lease in one tick.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    follower::{Mode, stops::in_one_line},
    gate::{
        Measure, TierContext,
        health::{Health, combined, left_halted, look},
    },
    inbox::Plan,
    ledger::Phase,
    model::{Action, Digest, LeaseId, Oid, PrincipalId, Reason, Refusal, StopKind},
};

use super::{
    act::{self, EvidenceFile, RecordPush},
    checks::{self, ChangeClone, CheckResult},
    decide::{AgentAct, AgentDecision, Situation, Turn, Watched, decide},
    refusal::AgentRefusal,
    run::{Agent, LeaseReport, Round},
    situation,
};

/// How often a moving branch is run after in one tick.
const TRIES: usize = 5;

/// What was gathered about one lease.
struct Gathered {
    situation: Situation,
    plan: Option<Plan>,
    evidence_file: Option<EvidenceFile>,
}

/// The checks of a lease, as evidence.
#[derive(Serialize)]
struct ChecksDocument<'a> {
    version: u32,
    lease: &'a LeaseId,
    digest: Digest,
    agent: &'a PrincipalId,
    at: Timestamp,
    checks: &'a [CheckResult],
}

impl Agent {
    /// Stops a lease that runs, if its metrics say so. Needs nothing but what is known already.
    pub(super) fn stop_if_needed(&mut self, id: &LeaseId, round: &mut Round) -> Result<Option<LeaseReport>, Refusal> {
        let gathered = self.gather(id, round);
        let decision = decide(&gathered.situation, self.config.conduct);
        if !matches!(decision.act, AgentAct::Halt | AgentAct::Rollback) {
            return Ok(None);
        }
        let commit = self.carry_out(&gathered, &decision, round)?;
        Ok(self.reported(id, gathered.situation.phase, decision, commit.and_then(done)))
    }

    /// Looks, decides and acts; again where another push came first.
    pub(super) fn look_after(&mut self, id: &LeaseId, round: &mut Round) -> Result<Option<LeaseReport>, Refusal> {
        let mut tries = 0;
        loop {
            let gathered = self.gather(id, round);
            let mut decision = decide(&gathered.situation, self.config.conduct);
            let outcome = match self.carry_out(&gathered, &decision, round) {
                Ok(outcome) => outcome,
                Err(refusal) => {
                    decision.reasons.push(refusal.clone());
                    round.remark(refusal);
                    None
                }
            };
            tries += 1;
            if outcome.is_some() {
                self.refresh(round)?;
            }
            if outcome == Some(RecordPush::Outrun) && tries < TRIES {
                continue;
            }
            return Ok(self.reported(id, gathered.situation.phase, decision, outcome.and_then(done)));
        }
    }

    /// Gathers what a decision rests on.
    fn gather(&mut self, id: &LeaseId, round: &Round) -> Gathered {
        let phase = situation::phase(&self.follower.mirror.state, id, &self.remembered.follower.stops);
        let (health, evidence_file) = self.health(id, phase, round);
        let state = &self.follower.mirror.state;
        let who = (&self.signer.public, &self.signer.principal);
        let next = situation::next(state, &round.waiting, id, who, round.now);
        let entry = state.lease(id);
        let lease = state.document(id);
        let seen = lease.and_then(|lease| situation::observed(&round.observed, &lease.target));
        let watched = match (entry, phase.tier()) {
            (Some(entry), Some(tier)) => situation::watched(entry, tier, seen),
            _ => Watched::Nothing("the lease is at no tier".to_owned()),
        };
        let asked = matches!(next.turn, Turn::Open { action: Action::Cosign, .. });
        let quiet = round.blockers.is_empty() && next.window.is_none() && phase == Phase::Proposed;
        let checks = if asked && quiet { self.checks(id) } else { Vec::new() };
        let state = &self.follower.mirror.state;
        let measure = self.measure.as_ref().map(|sources| sources as &dyn Measure);
        let unmeasured = state.document(id).and_then(|lease| situation::unmeasured(state, lease, measure));
        let situation = Situation {
            lease: id.clone(),
            phase,
            turn: next.turn,
            blockers: round.blockers.clone(),
            window: next.window,
            checks,
            watched,
            health,
            unmeasured,
            left_halted: state.lease(id).filter(|_| phase == Phase::Halted).and_then(|e| left_halted(e, round.now)),
        };
        Gathered { situation, plan: next.plan, evidence_file }
    }

    /// What metrics say of the tier that a lease is at, and the evidence for it.
    fn health(&mut self, id: &LeaseId, phase: Phase, round: &Round) -> (Health, Option<EvidenceFile>) {
        let state = &self.follower.mirror.state;
        let entry = state.lease(id);
        let (Some(entry), Some(tier)) = (entry, phase.tier()) else { return (Health::UNWATCHED, None) };
        let (Some(terms), Some(lease)) = (&entry.terms, entry.lease()) else { return (Health::UNWATCHED, None) };
        let seen = situation::observed(&round.observed, &lease.target);
        let started = situation::started(entry, tier, seen);
        let reached = situation::reached(entry, tier, seen).or(started);
        let context = |since: Option<Timestamp>| {
            let since = since.ok_or_else(|| situation::not_there(seen))?;
            // Who serves which version, its applier says.
            let pools = seen.and_then(|seen| seen.record.pools.clone());
            let context = TierContext::new(state.policy().get(), lease, tier, since);
            let context = context.map(|context| context.with_pools(pools));
            context.ok_or_else(|| Refusal::new(Reason::Internal, "the lease has no such tier"))
        };
        let measure = self.measure.as_ref().map(|sources| sources as &dyn Measure);
        let watch = self.remembered.watches.entry(id.clone()).or_default();
        let harm = look(terms, context(reached), measure, watch, round.now);
        let looked = if started == reached {
            harm
        } else {
            let watch = self.remembered.settled.entry(id.clone()).or_default();
            combined(harm, look(terms, context(started), measure, watch, round.now))
        };
        let (health, bytes) = looked.with_evidence_bytes(terms);
        (health, bytes.map(|bytes| EvidenceFile { lease: id.clone(), bytes }))
    }

    /// Runs every check of a lease that awaits our key.
    fn checks(&self, id: &LeaseId) -> Vec<CheckResult> {
        let state = &self.follower.mirror.state;
        let Some(proposed) = checks::proposed(state, id) else { return Vec::new() };
        let lease = proposed.get();
        let clone = lease.change.as_ref().map(|change| {
            ChangeClone::open(self.config.changes.get(&change.repository), change, &self.follower.mirror.repository)
        });
        let mut results = vec![
            checks::policy(state, proposed),
            checks::target(state, lease),
            checks::change(lease, clone.as_ref()),
            checks::risk(state, lease, clone.as_ref(), self.config.max_risk),
        ];
        // Who only watches figures stops and promotes; what is well formed is no reason to sign.
        if !self.config.checks_leases() {
            let refusal = Refusal::new(Reason::NoData, "no check of leases is configured, so none is signed here");
            results.push(CheckResult::open("configured", &refusal));
        }
        // Programs see only what is well formed.
        if results.iter().all(|result| result.verdict == checks::CheckVerdict::Pass) {
            let more = self.config.checks.iter();
            results
                .extend(more.map(|(name, check)| checks::run(name, check, lease, proposed.digest(), clone.as_ref())));
        }
        results
    }

    /// Carries out what was decided. Nothing where nothing had to be done, or this is a dry run.
    fn carry_out(
        &mut self,
        gathered: &Gathered,
        decision: &AgentDecision,
        round: &mut Round,
    ) -> Result<Option<RecordPush>, Refusal> {
        if round.mode == Mode::DryRun {
            return Ok(None);
        }
        let id = &gathered.situation.lease;
        match decision.act {
            AgentAct::Wait => Ok(None),
            AgentAct::Refuse => self.refuse(id, &gathered.situation.checks, round.now),
            AgentAct::Halt => self.stop(id, StopKind::Halt, gathered, decision, round),
            AgentAct::Rollback => self.stop(id, StopKind::Rollback, gathered, decision, round),
            AgentAct::Sign | AgentAct::Start | AgentAct::Promote | AgentAct::Complete => {
                let plan = gathered.plan.as_ref();
                let plan = plan.ok_or_else(|| Refusal::new(Reason::Internal, "nothing was planned"))?;
                let evidence_file = match decision.act {
                    AgentAct::Sign => self.checks_evidence(id, &gathered.situation.checks, round.now),
                    _ => gathered.evidence_file.clone(),
                };
                let reason = in_one_line(&decision.evidence.join("; "));
                let who = (&self.signer, &self.follower.writer);
                act::turn(&mut self.follower.mirror, who, plan, Some(&reason), evidence_file.as_ref()).map(Some)
            }
        }
    }

    fn stop(
        &mut self,
        id: &LeaseId,
        kind: StopKind,
        gathered: &Gathered,
        decision: &AgentDecision,
        round: &mut Round,
    ) -> Result<Option<RecordPush>, Refusal> {
        let why = decision.reasons.first().map_or(decision.rule.text(), |refusal| refusal.message.as_str());
        let evidence_file = gathered.evidence_file.as_ref();
        let (stop, commit) = act::stop(&self.follower, id, (kind, why), evidence_file)?;
        self.bind(stop, round)?;
        Ok(Some(RecordPush::Done(commit)))
    }

    /// Records a refusal, unless the same one is there already.
    fn refuse(&mut self, id: &LeaseId, checks: &[CheckResult], now: Timestamp) -> Result<Option<RecordPush>, Refusal> {
        let state = &self.follower.mirror.state;
        let Some(proposed) = checks::proposed(state, id) else { return Ok(None) };
        let who = self.signer.principal.clone();
        let refusal = AgentRefusal::new(state, id.clone(), proposed.digest(), who, now, checks);
        let standing = act::standing(&self.follower.mirror, id, &self.signer)?;
        if standing.is_some_and(|standing| standing.says_the_same_as(&refusal)) {
            return Ok(None);
        }
        act::refuse(&mut self.follower.mirror, &self.follower.writer, &refusal).map(Some)
    }

    fn checks_evidence(&self, id: &LeaseId, checks: &[CheckResult], at: Timestamp) -> Option<EvidenceFile> {
        let digest = checks::proposed(&self.follower.mirror.state, id)?.digest();
        let document = ChecksDocument { version: 1, lease: id, digest, agent: &self.signer.principal, at, checks };
        let mut bytes = serde_json::to_vec_pretty(&document).ok()?;
        bytes.push(b'\n');
        Some(EvidenceFile { lease: id.clone(), bytes })
    }
}

fn done(outcome: RecordPush) -> Option<Oid> {
    match outcome {
        RecordPush::Done(commit) => Some(commit),
        RecordPush::Outrun => None,
    }
}
