//! Tick of an agent: stops first, then fetch, verify, fold, and for each lease look, decide, act.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    follower::{
        Mode,
        clock::{self, Clock, Trust},
        follow::{Followed, Follower, FollowerConfig},
        records::{self, Observation},
        stops::SeenStop,
        writer::Writer,
    },
    git::{Signer, SigningKey, mirrored},
    inbox::{self, NoteText, Overlay},
    ledger::Phase,
    model::{LeaseId, Oid, PrincipalId, Reason, Refusal, TargetId, policy::Role, refs},
    sources::Sources,
};

use super::{
    act,
    config::AgentConfig,
    decide::{AgentAct, AgentDecision, AgentRule},
    state::AgentState,
};

/// What a tick saw and did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AgentReport {
    /// The agent.
    pub agent: PrincipalId,
    /// The ledger's tip that it went by.
    pub ledger: Oid,
    /// What it decided, by lease: those that run first.
    pub leases: Vec<LeaseReport>,
    /// Proposals that were not looked at because the others took all the time that a look may take. The next one goes on with
    /// them.
    pub waiting: usize,
    /// What went wrong beside that. Tried again at the next tick.
    pub remarks: Vec<Refusal>,
    /// Why the branch does not have stops that are obeyed all the same: the remote has them under names of their own, and
    /// does not take them there. Tried again at the next tick; nothing waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Refusal>,
}

/// What a tick decided about one lease.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LeaseReport {
    /// The lease.
    pub lease: LeaseId,
    /// Where it goes.
    pub target: TargetId,
    /// Where it was when that was decided.
    pub state: String,
    /// What was decided.
    pub act: AgentAct,
    /// By which rule.
    pub rule: AgentRule,
    /// The rule in words.
    pub because: String,
    /// What speaks against more.
    pub reasons: Vec<Refusal>,
    /// What it rests on.
    pub evidence: Vec<String>,
    /// The commit that was made; none where nothing had to be, or in a dry run.
    pub commit: Option<Oid>,
}

/// How long a push may take: nothing is stopped meanwhile.
const PUSH_LIMIT: Duration = Duration::from_secs(20);

/// An agent.
pub struct Agent {
    pub(super) config: AgentConfig,
    pub(super) remembered: AgentState,
    pub(super) follower: Follower,
    pub(super) signer: Signer,
    pub(super) measure: Option<Sources>,
}

/// What holds for all leases of one tick.
pub(super) struct Round {
    pub(super) mode: Mode,
    pub(super) now: Timestamp,
    /// What speaks against every forward step.
    pub(super) blockers: Vec<Refusal>,
    pub(super) remarks: Vec<Refusal>,
    /// Why the branch does not have stops that are obeyed.
    pub(super) beside: Option<Refusal>,
    /// Votes that wait in notes.
    pub(super) waiting: Overlay,
    /// What appliers attest.
    pub(super) observed: Vec<Observation>,
    /// Proposals that wait for the next look.
    waiting_proposals: usize,
}

impl Round {
    fn block(&mut self, refusal: Refusal) {
        self.blockers.push(refusal.clone());
        self.remark(refusal);
    }

    pub(super) fn remark(&mut self, refusal: Refusal) {
        if !self.remarks.contains(&refusal) {
            self.remarks.push(refusal);
        }
    }
}

impl Agent {
    /// Opens the repository, the pinned root, the key and the lock. `unpinned` without a root.
    pub fn open(config: AgentConfig, clock: Box<Clock>) -> Result<Self, Refusal> {
        if SigningKey::file(config.key.clone()).is_ok_and(|key| matches!(key, SigningKey::Minisign(_))) {
            let message = "a minisign key cannot sign commits, and what an agent gives as evidence is signed with them";
            return Err(Refusal::new(Reason::Unsigned, message).hint("make an SSH key: ssh-keygen -t ed25519"));
        }
        if !config.checks_leases() && config.metrics.is_none() {
            let message = "no check is configured, so it would sign whatever is well formed";
            let hint = "name a program under checks:, the clones of changes under changes:, or where figures are under metrics:";
            return Err(Refusal::new(Reason::Malformed, message).hint(hint));
        }
        let place = FollowerConfig {
            role: Role::Agent,
            name: config.name.clone(),
            key: config.key.clone(),
            repository: config.repository.clone(),
            remote: config.remote.clone(),
            root: config.root,
            push_limit: PUSH_LIMIT,
        };
        let (follower, remembered) = Follower::open(place, clock, AgentState::new)?;
        let Writer { name, key, public, .. } = &follower.writer;
        let (principal, role) = (name.clone(), Role::Agent);
        let signer = Signer { key: key.clone(), public: public.clone(), principal, role };
        let measure = config.metrics.as_ref().map(Sources::open).transpose()?;
        Ok(Self { config, remembered, follower, signer, measure })
    }

    /// How long to wait from one look to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.config.interval.as_secs())
    }

    /// One tick.
    pub fn tick(&mut self, mode: Mode) -> Result<AgentReport, Refusal> {
        self.follower.begin(&self.remembered.follower)?;
        let mut round = self.begin(mode);
        self.know(&mut round)?;
        // Stops come before the remote is asked: it may take long, or not answer.
        let mut leases = Vec::new();
        if self.follower.own_key().is_ok() {
            for id in self.running() {
                // One that cannot be stopped keeps no other one from being stopped.
                match self.stop_if_needed(&id, &mut round) {
                    Ok(report) => leases.extend(report),
                    Err(refusal) => round.remark(refusal),
                }
            }
        }
        self.refresh(&mut round)?;
        self.follower.own_key()?;
        self.deliver(&mut round);
        self.look_after_all(&mut leases, &mut round)?;
        let running = self.running();
        self.remembered.watches.retain(|lease, _| running.contains(lease));
        self.remembered.settled.retain(|lease, _| running.contains(lease));
        if mode == Mode::Act {
            self.follower.folder.write(&self.remembered)?;
        }
        Ok(AgentReport {
            agent: self.config.name.clone(),
            ledger: self.follower.mirror.state.tip(),
            leases,
            waiting: round.waiting_proposals,
            remarks: round.remarks,
            beside: round.beside,
        })
    }

    /// Looks after the leases that have not ended and have not been stopped just now: those that run, those that a key was turned
    /// for, and then proposals for as long as a look may take. Anybody may propose, any number, and checking takes its time, in
    /// which nothing is stopped. The next look goes on with the proposal that this one did not come to; what is proposed meanwhile
    /// waits behind those that wait already.
    fn look_after_all(&mut self, leases: &mut Vec<LeaseReport>, round: &mut Round) -> Result<(), Refusal> {
        let (clock, most) = (self.follower.clock(), self.interval().as_millis());
        let begun = clock();
        let stopped: Vec<_> = leases.iter().map(|report| report.lease.clone()).collect();
        let (wanted, proposed) = self.leases(round);
        for id in wanted.into_iter().filter(|id| !stopped.contains(id)) {
            leases.extend(self.look_after(&id, round)?);
        }
        self.remembered.proposed(proposed);
        for (at, id) in self.remembered.queue.clone().into_iter().enumerate() {
            if at > 0 && u128::from(clock().proven_ms_since(&begun)) >= most {
                round.waiting_proposals = self.remembered.queue.len() - at;
                break;
            }
            self.remembered.queue.rotate_left(1);
            leases.extend(self.look_after(&id, round)?);
        }
        Ok(())
    }

    /// Ticks until told to end. Each report goes to `on_report`.
    pub fn watch(&mut self, end: &AtomicBool, on_report: &mut dyn FnMut(Result<AgentReport, Refusal>)) {
        /// How long a signal may go unnoticed.
        const NAP: Duration = Duration::from_millis(200);
        while !end.load(Ordering::Relaxed) {
            on_report(self.tick(Mode::Act));
            let mut left = self.interval();
            while !left.is_zero() && !end.load(Ordering::Relaxed) {
                let nap = left.min(NAP);
                std::thread::sleep(nap);
                left = left.saturating_sub(nap);
            }
        }
    }

    /// Looks at the clocks.
    fn begin(&mut self, mode: Mode) -> Round {
        let (reading, trust) = self.follower.read_clocks(&mut self.remembered.follower);
        let mut round = Round {
            mode,
            now: reading.now,
            blockers: Vec::new(),
            remarks: Vec::new(),
            beside: None,
            waiting: Overlay::default(),
            observed: Vec::new(),
            waiting_proposals: 0,
        };
        if trust == Trust::Doubted {
            round.block(clock::doubted());
        }
        if let Err(refusal) = self.follower.folder.can_be_written() {
            round.block(refusal);
        }
        round
    }

    /// Brings everything up to date that comes from the repository. What cannot be known blocks forward steps only.
    pub(super) fn refresh(&mut self, round: &mut Round) -> Result<(), Refusal> {
        let remembered = &mut self.remembered.follower;
        let (reading, _) = self.follower.read_clocks(remembered);
        match self.follower.mirror.fetch() {
            Ok(()) => remembered.fetched = Some(reading.clone()),
            Err(error) => round.block(Follower::not_reached(&error)),
        }
        round.now = reading.now;
        if let Some(refusal) = Follower::stale(remembered, &reading, self.config.max_staleness) {
            round.block(refusal);
        }
        let Followed { blockers, remarks, .. } = self.follower.follow(remembered, round.mode);
        for refusal in blockers {
            round.block(refusal);
        }
        for refusal in remarks {
            round.remark(refusal);
        }
        let frozen = self
            .remembered
            .follower
            .stops
            .iter()
            .any(|stop| stop.is_freeze() && !stop.is_folded(&self.follower.mirror.state));
        if frozen {
            round.block(Refusal::new(Reason::Frozen, "a freeze was seen that the branch does not have yet"));
        }
        self.know(round)
    }

    /// Reads what waits in notes and what appliers attest.
    fn know(&self, round: &mut Round) -> Result<(), Refusal> {
        let repository = &self.follower.mirror.repository;
        let is_known = |name: &PrincipalId| self.follower.mirror.state.policy().get().principals.contains_key(name);
        let mut notes = repository.notes(refs::NOTES, is_known)?;
        if let Some(remote) = &self.follower.mirror.remote {
            notes.extend(repository.notes(&mirrored(remote, refs::NOTES), is_known)?);
        }
        let texts: Vec<_> =
            notes.iter().map(|note| NoteText { principal: &note.principal, text: &note.bytes }).collect();
        round.waiting = inbox::overlay(&texts, &self.follower.mirror.state, round.now);
        round.observed = records::read(repository, &self.follower.mirror.state)?.found;
        Ok(())
    }

    /// Puts stops where everybody finds them. Whatever fails is said, and tried again at the next tick.
    fn deliver(&mut self, round: &mut Round) {
        if round.mode == Mode::DryRun {
            return;
        }
        let (failed, beside) = act::deliver(&mut self.follower, &self.remembered.follower.stops);
        for refusal in failed {
            round.remark(refusal);
        }
        round.beside = beside;
    }

    /// Writes down a stop of our own: from then on it binds us, and is pushed when it can be.
    pub(super) fn bind(&mut self, stop: SeenStop, round: &mut Round) -> Result<(), Refusal> {
        self.remembered.follower.stops.push(stop);
        // A stop does not wait until the disk has room.
        let written = self.follower.folder.write(&self.remembered);
        self.deliver(round);
        written
    }

    /// The leases that have weight, or could have.
    fn running(&self) -> Vec<LeaseId> {
        let runs = |phase: Phase| matches!(phase, Phase::Rolling { .. } | Phase::Paused { .. } | Phase::Halted);
        let running =
            self.follower.mirror.state.leases().filter(|lease| runs(lease.phase)).map(|lease| lease.id.clone());
        running.filter(|id| self.looks_after(id)).collect()
    }

    /// The leases that have not ended: those that run, and then those that a key was turned for; and those that are only
    /// proposed.
    fn leases(&self, round: &Round) -> (Vec<LeaseId>, Vec<LeaseId>) {
        let state = &self.follower.mirror.state;
        let running = self.running();
        let open = |id: &LeaseId| state.lease(id).is_none_or(|lease| !lease.phase.ended());
        let turned_for = |id: &LeaseId| state.lease(id).is_some() || round.waiting.cosignatures_of(id).next().is_some();
        let others = state.known_leases().into_iter();
        let others = others.filter(|id| !running.contains(id) && open(id) && self.looks_after(id));
        let (voted, proposed): (Vec<_>, Vec<_>) = others.partition(turned_for);
        (running.into_iter().chain(voted).collect(), proposed)
    }

    fn looks_after(&self, id: &LeaseId) -> bool {
        let target = self.follower.mirror.state.document(id).map(|lease| &lease.target);
        target.is_some_and(|target| self.config.targets.as_ref().is_none_or(|targets| targets.contains(target)))
    }

    pub(super) fn reported(
        &self,
        id: &LeaseId,
        phase: Phase,
        decision: AgentDecision,
        commit: Option<Oid>,
    ) -> Option<LeaseReport> {
        Some(LeaseReport {
            lease: id.clone(),
            target: self.follower.mirror.state.document(id)?.target.clone(),
            state: phase.word().to_owned(),
            act: decision.act,
            rule: decision.rule,
            because: decision.rule.text().to_owned(),
            reasons: decision.reasons,
            evidence: decision.evidence,
            commit,
        })
    }
}
