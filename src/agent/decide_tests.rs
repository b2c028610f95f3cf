use super::*;
use crate::{
    agent::checks::{CheckResult, CheckVerdict},
    gate::health::{Deadline, Gates, LimitsVerdict},
};

const FIRST: Conduct = Conduct { promote: Promote::First, start: Start::WhenAuthorized };
const AFTER: Conduct = Conduct { promote: Promote::AfterHuman, start: Start::Never };

fn health(gates: Gates, limits: LimitsVerdict) -> Health {
    Health { gates, limits, figures: vec!["error-rate 0.2 %".to_owned()] }
}

fn well() -> Health {
    health(Gates::Pass, LimitsVerdict::Fine)
}

fn open(action: Action, humans: usize) -> Turn {
    Turn::Open { action, tier: None, humans }
}

/// A lease at its first tier that has baked, is healthy, and awaits our key alone.
fn ready() -> Situation {
    Situation {
        lease: LeaseId::parse("L-1").unwrap(),
        phase: Phase::Rolling { tier: 0 },
        turn: open(Action::Promote, 0),
        blockers: Vec::new(),
        window: None,
        checks: Vec::new(),
        watched: Watched::Baked("5 % for 16 min".to_owned()),
        health: well(),
        unmeasured: None,
        left_halted: None,
    }
}

fn proposed(verdicts: &[CheckVerdict]) -> Situation {
    let check = |verdict: &CheckVerdict| CheckResult::new("change", *verdict, Reason::NotDescended, "why");
    Situation {
        phase: Phase::Proposed,
        turn: open(Action::Cosign, 1),
        checks: verdicts.iter().map(check).collect(),
        watched: Watched::Nothing("nothing".to_owned()),
        health: Health::UNWATCHED,
        ..ready()
    }
}

fn reason() -> Refusal {
    Refusal::new(Reason::Stale, "why")
}

#[track_caller]
fn decides(situation: &Situation, conduct: Conduct, act: AgentAct, rule: AgentRule) -> AgentDecision {
    let decision = decide(situation, conduct);
    assert_eq!((decision.act, decision.rule), (act, rule), "{decision:?}");
    decision
}

#[test]
fn a_tier_that_has_baked_and_is_well_goes_on_and_says_on_what_evidence() {
    let decision = decides(&ready(), AFTER, AgentAct::Promote, AgentRule::Healthy);
    assert_eq!(decision.evidence, ["5 % for 16 min", "error-rate 0.2 %"]);
    assert!(decision.reasons.is_empty());
}

#[test]
fn stops_are_looked_at_before_anything_else() {
    let crossed = health(Gates::Pass, LimitsVerdict::Crossed("error-rate 4 > 2".to_owned()));
    // Whatever else is missing, unknown or not asked.
    let worst = Situation {
        health: crossed,
        turn: Turn::Nothing,
        blockers: vec![reason()],
        window: Some(reason()),
        watched: Watched::Nothing(String::new()),
        ..ready()
    };
    let decision = decides(&worst, AFTER, AgentAct::Halt, AgentRule::Unhealthy);
    assert_eq!(decision.reasons[0].reason, Reason::GateFailed);
    let paused = Situation { phase: Phase::Paused { tier: 0 }, ..worst.clone() };
    decides(&paused, AFTER, AgentAct::Halt, AgentRule::Unhealthy);
    let late = health(Gates::Fail(Deadline::Passed, "w".to_owned()), LimitsVerdict::Fine);
    decides(&Situation { health: late, ..worst.clone() }, AFTER, AgentAct::Rollback, AgentRule::Unhealthy);
    // The honest twin: nothing is crossed.
    decides(&Situation { health: well(), ..worst }, AFTER, AgentAct::Wait, AgentRule::NotAsked);
}

#[test]
fn a_lease_that_no_longer_runs_is_not_stopped_again() {
    let crossed = health(Gates::Pass, LimitsVerdict::Crossed("w".to_owned()));
    for phase in [Phase::Halted, Phase::RolledBack, Phase::Withdrawn] {
        let situation = Situation { phase, health: crossed.clone(), ..ready() };
        decides(&situation, FIRST, AgentAct::Wait, AgentRule::Stopped);
    }
    let completed = Situation { phase: Phase::Completed, turn: Turn::Nothing, health: crossed, ..ready() };
    decides(&completed, FIRST, AgentAct::Wait, AgentRule::NotAsked);
}

#[test]
fn what_an_automaton_halted_is_rolled_back_when_it_was_left_for_too_long_and_not_before() {
    let halted = Situation { phase: Phase::Halted, turn: Turn::Nothing, ..ready() };
    decides(&halted, FIRST, AgentAct::Wait, AgentRule::Stopped);
    let left = Situation { left_halted: Some(reason()), blockers: vec![reason()], ..halted };
    decides(&left, FIRST, AgentAct::Rollback, AgentRule::LeftHalted);
}

#[test]
fn each_thing_that_speaks_against_going_on_suffices() {
    let not_yet = || Watched::NotYet("holding".to_owned());
    let open_gates = health(Gates::Open(Deadline::Ahead, "w".to_owned()), LimitsVerdict::Fine);
    let blind = health(Gates::Pass, LimitsVerdict::NoData("w".to_owned()));
    for (situation, rule) in [
        (Situation { phase: Phase::Paused { tier: 0 }, ..ready() }, AgentRule::Stopped),
        (Situation { turn: Turn::Nothing, ..ready() }, AgentRule::NotAsked),
        (Situation { turn: Turn::Closed(reason()), ..ready() }, AgentRule::NotCounted),
        (Situation { blockers: vec![reason()], ..ready() }, AgentRule::Doubt),
        (Situation { window: Some(reason()), ..ready() }, AgentRule::Window),
        (Situation { watched: not_yet(), ..ready() }, AgentRule::Baking),
        (Situation { watched: Watched::Nothing("w".to_owned()), ..ready() }, AgentRule::Baking),
        (Situation { health: open_gates, ..ready() }, AgentRule::NotHealthy),
        (Situation { health: blind, ..ready() }, AgentRule::NotHealthy),
    ] {
        decides(&situation, FIRST, AgentAct::Wait, rule);
    }
    decides(&ready(), FIRST, AgentAct::Promote, AgentRule::Healthy);
}

#[test]
fn a_person_goes_first_where_the_configuration_says_so() {
    let alone = Situation { turn: open(Action::Promote, 1), ..ready() };
    let decision = decides(&alone, AFTER, AgentAct::Wait, AgentRule::PersonFirst);
    assert_eq!(decision.evidence.len(), 2, "what a person would approve is shown all the same");
    decides(&alone, FIRST, AgentAct::Promote, AgentRule::Healthy);
    decides(&Situation { turn: open(Action::Promote, 0), ..ready() }, AFTER, AgentAct::Promote, AgentRule::Healthy);
}

#[test]
fn a_lease_is_signed_only_if_every_check_passes() {
    use CheckVerdict::{Fail, Open, Pass};
    decides(&proposed(&[Pass, Pass]), FIRST, AgentAct::Sign, AgentRule::ChecksPass);
    let refused = decides(&proposed(&[Pass, Open, Fail]), FIRST, AgentAct::Refuse, AgentRule::ChecksFail);
    assert_eq!(refused.reasons.len(), 1);
    assert_eq!(refused.evidence.len(), 3);
    decides(&proposed(&[Pass, Open]), FIRST, AgentAct::Wait, AgentRule::ChecksOpen);
    decides(&proposed(&[]), FIRST, AgentAct::Wait, AgentRule::ChecksOpen);
    // Neither is done on a doubt.
    let doubt = |situation| Situation { blockers: vec![reason()], ..situation };
    decides(&doubt(proposed(&[Pass])), FIRST, AgentAct::Wait, AgentRule::Doubt);
    decides(&doubt(proposed(&[Fail])), FIRST, AgentAct::Wait, AgentRule::Doubt);
    let closed = Situation { window: Some(reason()), ..proposed(&[Pass]) };
    decides(&closed, FIRST, AgentAct::Wait, AgentRule::Window);
}

#[test]
fn what_is_authorized_starts_only_where_that_is_configured_and_could_be_watched() {
    let authorized = Situation {
        phase: Phase::Authorized,
        turn: open(Action::Start, 0),
        watched: Watched::Nothing(String::new()),
        health: Health::UNWATCHED,
        ..ready()
    };
    decides(&authorized, FIRST, AgentAct::Start, AgentRule::Begin);
    decides(&authorized, AFTER, AgentAct::Wait, AgentRule::LeftToOthers);
    let unmeasured = Situation { unmeasured: Some(reason()), ..authorized.clone() };
    decides(&unmeasured, FIRST, AgentAct::Wait, AgentRule::NotHealthy);
    decides(&Situation { window: Some(reason()), ..authorized }, FIRST, AgentAct::Wait, AgentRule::Window);
}

#[test]
fn the_last_tier_is_completed_after_its_bake_even_when_the_window_has_closed() {
    let last = Situation { phase: Phase::Rolling { tier: 2 }, turn: open(Action::Complete, 0), ..ready() };
    decides(&last, AFTER, AgentAct::Complete, AgentRule::Healthy);
    decides(&Situation { window: Some(reason()), ..last.clone() }, AFTER, AgentAct::Complete, AgentRule::Healthy);
    let watched = Watched::NotYet("baking".to_owned());
    decides(&Situation { watched, ..last.clone() }, AFTER, AgentAct::Wait, AgentRule::Baking);
    let health = health(Gates::Open(Deadline::Ahead, "w".to_owned()), LimitsVerdict::Fine);
    decides(&Situation { health, ..last }, AFTER, AgentAct::Wait, AgentRule::NotHealthy);
}

#[test]
fn an_agent_never_resumes_what_people_paused() {
    let paused = Situation { phase: Phase::Paused { tier: 0 }, turn: open(Action::Resume, 0), ..ready() };
    decides(&paused, FIRST, AgentAct::Wait, AgentRule::Stopped);
}
