//! Decision of an agent about one lease. Pure, and level-triggered: what the ledger says, what its applier attests,
//! what the checks and the metrics say → one act. Nothing here remembers a previous decision.
//!
//! The order is the rule. Stops come first and need nothing else to be known. Then comes whatever speaks against going
//! on; only if nothing does, the one forward step that the lease awaits. Whatever is unknown is never "forward": an
//! agent that cannot tell waits, and says why.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    gate::health::Health,
    ledger::Phase,
    model::{Action, LeaseId, Reason, Refusal, StopKind},
};

use super::{
    checks::CheckResult,
    config::{Conduct, Promote, Start},
};

/// All that a decision about one lease rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// The lease.
    pub lease: LeaseId,
    /// Where it is, stops included that the ledger has not folded yet.
    pub phase: Phase,
    /// What our key could be turned for next.
    pub turn: Turn,
    /// What speaks against every forward step: knowledge that is too old, a branch that does not continue.
    pub blockers: Vec<Refusal>,
    /// Why the lease's window is not open, if it is not.
    pub window: Option<Refusal>,
    /// What the checks of a lease say that awaits our cosignature. Where there is none, none was run.
    pub checks: Vec<CheckResult>,
    /// What the target's applier attests of the step that the lease is at.
    pub watched: Watched,
    /// What metrics say of the tier that the lease is at.
    pub health: Health,
    /// Why a tier of the lease could not be measured here, if it could not.
    pub unmeasured: Option<Refusal>,
    /// Why a halt that no person made has been left for too long, if it has.
    pub left_halted: Option<Refusal>,
}

/// What our key could be turned for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: the lease has ended, or only people go on with it.
    Nothing,
    /// It would not count, and why.
    Closed(Refusal),
    /// It would count.
    Open {
        /// For what.
        action: Action,
        /// The tier that it goes to, in percent.
        tier: Option<u8>,
        /// Humans whose keys are still missing, those that wait in notes not counted as missing.
        humans: usize,
    },
}

/// What a target's own applier attests of a lease's step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// Nothing that is about this step.
    Nothing(String),
    /// The weight is not there yet, or has not been watched for long enough.
    NotYet(String),
    /// The observed weight is the desired one, and has been for the whole bake.
    Baked(String),
}

/// What is to be done about a lease. At most one act a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AgentAct {
    /// Nothing, for now.
    Wait,
    /// Turn our key to authorize it.
    Sign,
    /// Record why our key is not turned.
    Refuse,
    /// Turn our key to start it.
    Start,
    /// Turn our key for its next tier.
    Promote,
    /// End it at its last tier.
    Complete,
    /// Weight to zero.
    Halt,
    /// Undo it.
    Rollback,
}

impl AgentAct {
    /// The word in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Sign => "sign",
            Self::Refuse => "refuse",
            Self::Start => "start",
            Self::Promote => "promote",
            Self::Complete => "complete",
            Self::Halt => "halt",
            Self::Rollback => "rollback",
        }
    }

    /// The action that a key is turned for; none for what needs no key.
    pub const fn action(self) -> Option<Action> {
        match self {
            Self::Wait | Self::Refuse => None,
            Self::Sign => Some(Action::Cosign),
            Self::Start => Some(Action::Start),
            Self::Promote => Some(Action::Promote),
            Self::Complete => Some(Action::Complete),
            Self::Halt => Some(Action::Halt),
            Self::Rollback => Some(Action::Rollback),
        }
    }
}

/// The rule by which a decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AgentRule {
    /// A limit or a gate says stop.
    Unhealthy,
    /// An automaton's halt was left for too long.
    LeftHalted,
    /// A person or another key stopped it.
    Stopped,
    /// Nothing is asked of our key.
    NotAsked,
    /// Our key would not count.
    NotCounted,
    /// Something is not known, or knowledge is too old.
    Doubt,
    /// The lease's window is not open.
    Window,
    /// Every check passes.
    ChecksPass,
    /// A check fails.
    ChecksFail,
    /// A check cannot say.
    ChecksOpen,
    /// The configuration leaves it to others.
    LeftToOthers,
    /// The lease is authorized, and the configuration says to begin.
    Begin,
    /// The applier has not watched the tier for its whole bake.
    Baking,
    /// The tier is not healthy, or nobody knows.
    NotHealthy,
    /// A person goes first.
    PersonFirst,
    /// The tier has baked, and nothing speaks against going on.
    Healthy,
}

impl AgentRule {
    /// The rule in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unhealthy => "a crossed limit, a failed gate or a passed deadline stops a lease before all else",
            Self::LeftHalted => "what an automaton halted is undone when nobody resolves it by the gates' deadline",
            Self::Stopped => "after a stop an agent turns no key: people go on",
            Self::NotAsked => "nothing is asked of this key",
            Self::NotCounted => "already signed, or it would not count",
            Self::Doubt => "nothing goes forward on a doubt",
            Self::Window => "nothing goes forward outside the lease's window",
            Self::ChecksPass => "a lease that passes every check is signed",
            Self::ChecksFail => "a lease that fails a check is refused, with the reasons",
            Self::ChecksOpen => "what cannot be checked is not signed",
            Self::LeftToOthers => "the configuration leaves this to others",
            Self::Begin => "the configuration says to start what is authorized",
            Self::Baking => "a tier is watched for its whole bake, by its applier",
            Self::NotHealthy => {
                "no data is never healthy: every gate passes and every limit is measured, or the lease stays"
            }
            Self::PersonFirst => "the configuration says that a person approves first",
            Self::Healthy => "a tier that has baked, with gates that pass and limits that hold, goes on",
        }
    }
}

impl fmt::Display for AgentRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// An act, by which rule, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentDecision {
    /// What is to be done.
    pub act: AgentAct,
    /// By which rule.
    pub rule: AgentRule,
    /// What speaks against more, if anything does.
    pub reasons: Vec<Refusal>,
    /// What it rests on, a line each.
    pub evidence: Vec<String>,
}

impl AgentDecision {
    fn new(act: AgentAct, rule: AgentRule) -> Self {
        Self { act, rule, reasons: Vec::new(), evidence: Vec::new() }
    }

    fn wait(rule: AgentRule, reason: Refusal) -> Self {
        Self { reasons: vec![reason], ..Self::new(AgentAct::Wait, rule) }
    }
}

/// Decides.
pub fn decide(situation: &Situation, conduct: Conduct) -> AgentDecision {
    stop(situation).unwrap_or_else(|| go_on(situation, conduct))
}

/// A stop of our own. Needs no repository, no clock that is right, no key but ours.
fn stop(situation: &Situation) -> Option<AgentDecision> {
    let (kind, rule, reason) = match situation.phase {
        Phase::Rolling { .. } | Phase::Paused { .. } => {
            let (kind, reason) = situation.health.stop()?;
            (kind, AgentRule::Unhealthy, reason)
        }
        Phase::Halted => (StopKind::Rollback, AgentRule::LeftHalted, situation.left_halted.clone()?),
        _ => return None,
    };
    let act = if kind == StopKind::Rollback { AgentAct::Rollback } else { AgentAct::Halt };
    Some(AgentDecision { reasons: vec![reason], ..AgentDecision::new(act, rule) })
}

/// The one forward step that the lease awaits, if nothing speaks against it.
fn go_on(situation: &Situation, conduct: Conduct) -> AgentDecision {
    let lease = &situation.lease;
    if matches!(situation.phase, Phase::Paused { .. } | Phase::Halted | Phase::RolledBack | Phase::Withdrawn) {
        let message = format!("lease {lease} is {}", situation.phase.word());
        return AgentDecision::wait(AgentRule::Stopped, Refusal::new(Reason::WrongState, message));
    }
    let (action, humans) = match &situation.turn {
        Turn::Nothing => return AgentDecision::new(AgentAct::Wait, AgentRule::NotAsked),
        Turn::Closed(reason) => return AgentDecision::wait(AgentRule::NotCounted, reason.clone()),
        Turn::Open { action, humans, .. } => (*action, *humans),
    };
    if let Some(blocker) = situation.blockers.first() {
        return AgentDecision::wait(AgentRule::Doubt, blocker.clone());
    }
    if let Some(closed) = situation.window.as_ref().filter(|_| action != Action::Complete) {
        return AgentDecision::wait(AgentRule::Window, closed.clone());
    }
    match action {
        Action::Cosign => sign(situation),
        Action::Start => start(situation, conduct),
        Action::Promote => promote(situation, humans, conduct),
        Action::Complete => match settled(situation) {
            Ok(evidence) => AgentDecision { evidence, ..AgentDecision::new(AgentAct::Complete, AgentRule::Healthy) },
            Err(decision) => decision,
        },
        _ => AgentDecision::new(AgentAct::Wait, AgentRule::NotAsked),
    }
}

/// A lease that awaits our cosignature: every check passes, or it is not signed.
fn sign(situation: &Situation) -> AgentDecision {
    let checks = &situation.checks;
    let evidence = checks.iter().map(ToString::to_string).collect();
    let of = |wanted: fn(&CheckResult) -> bool| -> Vec<Refusal> {
        checks.iter().filter(|check| wanted(check)).map(CheckResult::refusal).collect()
    };
    let (failed, open) = (of(CheckResult::fails), of(CheckResult::is_open));
    let (act, rule, reasons) = if checks.is_empty() {
        let reason = Refusal::new(Reason::NoData, "no check was run");
        (AgentAct::Wait, AgentRule::ChecksOpen, vec![reason])
    } else if !failed.is_empty() {
        (AgentAct::Refuse, AgentRule::ChecksFail, failed)
    } else if !open.is_empty() {
        (AgentAct::Wait, AgentRule::ChecksOpen, open)
    } else {
        (AgentAct::Sign, AgentRule::ChecksPass, Vec::new())
    };
    AgentDecision { reasons, evidence, ..AgentDecision::new(act, rule) }
}

fn start(situation: &Situation, conduct: Conduct) -> AgentDecision {
    if conduct.start == Start::Never {
        return AgentDecision::new(AgentAct::Wait, AgentRule::LeftToOthers);
    }
    if let Some(reason) = &situation.unmeasured {
        return AgentDecision::wait(AgentRule::NotHealthy, reason.clone());
    }
    AgentDecision {
        evidence: vec!["the lease is authorized".to_owned()],
        ..AgentDecision::new(AgentAct::Start, AgentRule::Begin)
    }
}

fn promote(situation: &Situation, humans: usize, conduct: Conduct) -> AgentDecision {
    let evidence = match settled(situation) {
        Ok(evidence) => evidence,
        Err(decision) => return decision,
    };
    if conduct.promote == Promote::AfterHuman && humans > 0 {
        let reason = Refusal::new(Reason::MissingRole, "no person has approved the next tier yet");
        let hint = format!("a person approves it with: git two-key approve {}", situation.lease);
        return AgentDecision { evidence, ..AgentDecision::wait(AgentRule::PersonFirst, reason.hint(hint)) };
    }
    AgentDecision { evidence, ..AgentDecision::new(AgentAct::Promote, AgentRule::Healthy) }
}

/// Whether a tier has been watched for long enough and is well; what says so.
fn settled(situation: &Situation) -> Result<Vec<String>, AgentDecision> {
    let baked = match &situation.watched {
        Watched::Baked(words) => words.clone(),
        Watched::NotYet(words) | Watched::Nothing(words) => {
            return Err(AgentDecision::wait(AgentRule::Baking, Refusal::new(Reason::NoData, words.clone())));
        }
    };
    match situation.health.against() {
        Some(reason) => {
            Err(AgentDecision { evidence: vec![baked], ..AgentDecision::wait(AgentRule::NotHealthy, reason) })
        }
        None => Ok(std::iter::once(baked).chain(situation.health.figures.iter().cloned()).collect()),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
