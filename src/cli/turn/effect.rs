//! Effect of a signature, in words, before it is made.

use crate::{
    ledger::{self, Phase, State},
    model::{LeaseId, Statement, Stop, StopKind, Subject},
    report::{self, Beside},
};

/// One line on what a statement does between two states.
pub fn words(before: &State, after: &State, statement: &Statement) -> String {
    match &statement.subject {
        Subject::Cosign { lease, .. } => moved(before, after, lease),
        Subject::Forward(forward) => moved(before, after, &forward.lease),
        Subject::Stop(stop) => stopped(before, after, stop),
        Subject::Policy { .. } => policy(before, after, statement),
        Subject::Revoke { key } => format!("{key} is revoked at once, permanently"),
        Subject::Freeze { .. } if before.frozen().is_some() => "the repository is frozen already".to_owned(),
        Subject::Freeze { .. } => "nothing goes forward in this repository until two keys end the freeze".to_owned(),
        Subject::Thaw { .. } if after.frozen().is_none() => "the freeze ends".to_owned(),
        Subject::Thaw { .. } => thaw_waits(after),
    }
}

/// How far a statement goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The weight of the lease that it is about, in percent.
    pub weight: u8,
    /// Whether anything is in force by it: a transition, the lease's authorization, a policy, the end of a freeze.
    pub in_force: bool,
}

impl Reach {
    /// It does nothing.
    pub const NOWHERE: Self = Self { weight: 0, in_force: false };

    /// The further of two.
    pub fn max(self, other: Self) -> Self {
        Self { weight: self.weight.max(other.weight), in_force: self.in_force || other.in_force }
    }

    /// Whether it goes further than somebody was shown.
    pub const fn exceeds(self, shown: Self) -> bool {
        self.weight > shown.weight || (self.in_force && !shown.in_force)
    }
}

/// How far a statement goes between two states.
pub fn reach(before: &State, after: &State, statement: &Statement) -> Reach {
    let Some(lease) = statement.lease() else {
        let policy = before.policy().digest() != after.policy().digest();
        return Reach { weight: 0, in_force: policy || before.frozen().is_some() != after.frozen().is_some() };
    };
    let (was, is) = (place(before, lease), place(after, lease));
    Reach { weight: is.0, in_force: was != is }
}

/// What differs between two states, a line each: leases that are elsewhere, the policy, a freeze.
pub fn changes(before: &State, after: &State) -> Vec<String> {
    let moved_lease = |lease: &ledger::LeaseState| {
        let ((from, phase), (to, next)) = (place(before, &lease.id), place(after, &lease.id));
        match () {
            () if from != to => Some(format!("{}: {from} % → {to} %, {next}", lease.id)),
            () if phase != next => Some(format!("{}: {next}, at {to} %", lease.id)),
            () => None,
        }
    };
    let mut lines: Vec<_> = after.leases().filter_map(moved_lease).collect();
    if before.policy().digest() != after.policy().digest() {
        lines.push(format!("policy version {} is in force", after.policy().get().version));
    }
    match (before.frozen().is_some(), after.frozen().is_some()) {
        (false, true) => lines.push("the repository is frozen".to_owned()),
        (true, false) => lines.push("the freeze has ended".to_owned()),
        _ => {}
    }
    lines
}

/// `25 %, rolling`.
fn place(state: &State, id: &LeaseId) -> (u8, &'static str) {
    state.lease(id).map_or((0, "proposed"), |lease| (lease.weight(), lease.phase.word()))
}

fn moved(before: &State, after: &State, id: &LeaseId) -> String {
    let ((from, phase), (to, next)) = (place(before, id), place(after, id));
    let awaits = report::awaits(after, &Beside::default(), id).map(|awaits| awaits.text);
    if from != to {
        return format!("{id}: {from} % → {to} %, {next}");
    }
    match awaits {
        _ if phase != next => format!("{id}: {next}, at {to} %"),
        Some(whom) => format!("{id}: {next}, stays at {to} %; waiting for {whom}"),
        None => format!("{id}: {next}, stays at {to} %"),
    }
}

fn stopped(before: &State, after: &State, stop: &Stop) -> String {
    let landings = ledger::stop_targets(before, stop.kind, &stop.lease);
    let landings =
        landings.map_or_else(|_| vec![stop.lease.clone()], |all| all.into_iter().map(|(id, _)| id).collect());
    let lines: Vec<_> = landings.iter().map(|id| stopped_one(before, after, stop, id, &landings)).collect();
    lines.join("\n")
}

fn stopped_one(before: &State, after: &State, stop: &Stop, id: &LeaseId, all: &[LeaseId]) -> String {
    let ((from, phase), (to, next)) = (place(before, id), place(after, id));
    let handed = match all {
        _ if *id == stop.lease => String::new(),
        [_] => format!(" ({} ended when it started)", stop.lease),
        _ => format!(" (it started on {}, and goes first)", stop.lease),
    };
    let again = phase == next && !(stop.kind == StopKind::Rollback && next == "rolled-back");
    if again {
        format!("{id}{handed}: {phase} already, at {to} %; this {} changes nothing", stop.kind.action())
    } else {
        format!("{id}{handed}: {}", went(after, id, (from, to)))
    }
}

/// Where a stop takes a lease: `25 % → 0 %, halted`, `paused at 5 %`, `withdrawn`.
fn went(after: &State, id: &LeaseId, (from, to): (u8, u8)) -> String {
    let phase = after.lease(id).map_or(Phase::Proposed, |lease| lease.phase);
    match phase.word() {
        next if from != to => format!("{from} % → {to} %, {next}"),
        next if phase.ended() => next.to_owned(),
        next => format!("{next} at {to} %"),
    }
}

/// Whose keys the end of a freeze waits for.
fn thaw_waits(after: &State) -> String {
    let needs = ledger::awaited_thaw(after).map(|awaited| awaited.needs().join(" and ")).unwrap_or_default();
    format!("still frozen: a thaw needs the same keys as a promotion; waiting for {needs}")
}

fn policy(before: &State, after: &State, statement: &Statement) -> String {
    if after.policy().digest() != before.policy().digest() {
        return format!("policy version {} is in force from the next commit on", after.policy().get().version);
    }
    let ballot = after.policy_votes().find(|ballot| ballot.statement == *statement);
    let awaited = ballot.and_then(|_| ledger::awaited_policy(after));
    let Some(awaited) = awaited else { return "the policy waits for more keys".to_owned() };
    let has: Vec<_> = awaited.has.iter().map(crate::model::PrincipalId::as_str).collect();
    let (has, needs) = (has.join(", "), awaited.needs().join(" and "));
    let instead = report::instead(&after.policy().get().rules.policy);
    format!("the policy is signed by {has}; waiting for {needs} (or {instead})")
}
