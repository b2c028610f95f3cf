//! The conformance kit: what every driver must do, tried on one. It moves weights: never try it where people are served.
//!
//! Nothing that a driver says is believed; each step looks, and says what it found.

use std::{cell::Cell, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    follower::clock,
    model::{LeaseId, Percent, Refusal},
};

use super::{
    decision::Observed,
    drivers::{Driver, Setting},
};

/// What a target is moved to, in turn.
const LOW: u32 = 500;
const HIGH: u32 = 2_500;
/// How long one call may take before it counts as slow.
const SLOW_MS: u64 = 10_000;

/// A driver that is to be tried.
pub struct DriverUnderTest<'a> {
    /// The driver.
    pub driver: &'a dyn Driver,
    /// The lease for which it was opened.
    pub lease: LeaseId,
    /// Begins a shift that is killed after a while.
    pub kill: &'a dyn Fn(&Setting, Duration) -> Result<(), Refusal>,
}

/// How one step came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConformanceStep {
    /// What was tried.
    pub name: &'static str,
    /// Whether the driver did what every driver must.
    pub ok: bool,
    /// What was found.
    pub message: String,
}

/// What was found, or what is wrong with it.
type Found = Result<String, String>;

/// Tries everything, and puts back what was there. What is tried later rests on what was tried before, so the first
/// failure ends it; what was there is put back all the same.
pub fn try_all(subject: &DriverUnderTest<'_>) -> Vec<ConformanceStep> {
    let mut trial = Trial { subject, slowest: Cell::new(("nothing", 0)), steps: Vec::new() };
    let before = trial.step("observe", Trial::observes);
    let Some(snapshot) = before.and_then(|_| trial.step_with("snapshot", Trial::takes_a_snapshot)) else {
        return trial.steps;
    };
    trial.tries(&snapshot);
    trial.step("restore", |trial| trial.restores(&snapshot));
    trial.step("slowness", Trial::is_not_slow);
    trial.steps
}

struct Trial<'a> {
    subject: &'a DriverUnderTest<'a>,
    /// The call that took longest, and how many milliseconds.
    slowest: Cell<(&'static str, u64)>,
    steps: Vec<ConformanceStep>,
}

/// What was there at the beginning.
struct InitialState {
    bytes: Vec<u8>,
    observed: Observed,
}

impl Trial<'_> {
    fn step(&mut self, name: &'static str, try_it: impl FnOnce(&Self) -> Found) -> Option<String> {
        self.step_with(name, |trial| try_it(trial).map(|message| (message.clone(), message)))
    }

    fn step_with<T>(
        &mut self,
        name: &'static str,
        try_it: impl FnOnce(&Self) -> Result<(String, T), String>,
    ) -> Option<T> {
        let (ok, message, value) = match try_it(self) {
            Ok((message, value)) => (true, message, Some(value)),
            Err(message) => (false, message, None),
        };
        self.steps.push(ConformanceStep { name, ok, message });
        value
    }

    /// Everything that moves the target.
    fn tries(&mut self, start: &InitialState) -> Option<()> {
        self.step("garbage", Trial::refuses_garbage)?;
        self.step("apply", |trial| trial.moves(LOW))?;
        self.step("double apply", |trial| trial.moves(LOW))?;
        self.step("verify", |trial| trial.notices_a_difference(start))?;
        self.step("drift", Trial::sees_drift)?;
        self.step("kill in the middle", Trial::bears_being_killed)?;
        self.step("zero", |trial| trial.moves(0))?;
        Some(())
    }

    /// A call, with the time that it took.
    fn timed<T>(&self, what: &'static str, call: impl FnOnce(&dyn Driver) -> Result<T, Refusal>) -> Result<T, String> {
        let before = clock::read_clocks();
        let outcome = call(self.subject.driver);
        let took = clock::read_clocks().proven_ms_since(&before);
        if took >= self.slowest.get().1 {
            self.slowest.set((what, took));
        }
        outcome.map_err(|refusal| format!("{what}: {refusal}"))
    }

    fn look(&self) -> Result<Observed, String> {
        self.timed("observe", |driver| driver.observe())
    }

    fn observes(&self) -> Found {
        let (first, second) = (self.look()?, self.look()?);
        if first == second { Ok(first.to_string()) } else { Err(format!("{first}, then {second}")) }
    }

    fn takes_a_snapshot(&self) -> Result<(String, InitialState), String> {
        let observed = self.look()?;
        let bytes = self.timed("snapshot", |driver| driver.snapshot())?.bytes;
        let plan = self.timed("rehearse", |driver| driver.rehearse(&bytes))?;
        self.timed("verify", |driver| driver.verify(&bytes))?;
        if self.look()? != observed {
            return Err("taking it moved the target".to_owned());
        }
        Ok((plan.join("; "), InitialState { bytes, observed }))
    }

    /// What is no snapshot is not restored, and moves nothing.
    fn refuses_garbage(&self) -> Found {
        let before = self.look()?;
        for garbage in [&b""[..], b"garbage", b"{}", b"[1, 2"] {
            if self.subject.driver.rehearse(garbage).is_ok() || self.subject.driver.restore(garbage).is_ok() {
                return Err(format!("it takes `{}` for a snapshot", String::from_utf8_lossy(garbage)));
            }
        }
        if self.look()? == before {
            Ok("refused, and nothing moved".to_owned())
        } else {
            Err("it moved the target".into())
        }
    }

    fn setting(&self, weight_bp: u32) -> Setting {
        Setting { weight_bp, lease: self.subject.lease.clone(), step: 1 }
    }

    fn shift(&self, weight_bp: u32) -> Result<(), String> {
        self.timed("shift", |driver| driver.shift(&self.setting(weight_bp)))
    }

    /// A shift whose effect is there when it is looked for.
    fn moves(&self, weight_bp: u32) -> Found {
        self.shift(weight_bp)?;
        let seen = self.look()?;
        let wanted = Observed { weight_bp, lease: Some(self.subject.lease.clone()) };
        if seen == wanted {
            Ok(seen.to_string())
        } else {
            Err(format!("it says that it is at {wanted}, and what is observed is {seen}"))
        }
    }

    fn notices_a_difference(&self, start: &InitialState) -> Found {
        match self.subject.driver.verify(&start.bytes) {
            Err(refusal) => Ok(format!("a difference is noticed: {}", refusal.message)),
            Ok(()) => Err("it says that what is there is what was there before".to_owned()),
        }
    }

    /// What another hand set is seen, and put back.
    fn sees_drift(&self) -> Found {
        self.moves(HIGH)?;
        let drifted = self.look()?;
        self.moves(LOW)?;
        Ok(format!("{drifted} was seen, and put back"))
    }

    /// Killed at any moment, the old weight is there, or the new one; and the next shift brings the new one about.
    fn bears_being_killed(&self) -> Found {
        let before = clock::read_clocks();
        self.moves(HIGH)?;
        let whole = clock::read_clocks().proven_ms_since(&before).max(8);
        let mut seen = Vec::new();
        for eighth in [0, 1, 2, 3, 4, 6] {
            self.moves(LOW)?;
            (self.subject.kill)(&self.setting(HIGH), Duration::from_millis(whole * eighth / 8))
                .map_err(|refusal| refusal.to_string())?;
            // What is left behind may be unknown for now; it must not be anything else.
            match self.subject.driver.observe() {
                Ok(there) if there.weight_bp != LOW && there.weight_bp != HIGH => {
                    return Err(format!("it left {there} behind"));
                }
                Ok(there) => seen.push(Percent::of(there.weight_bp)),
                Err(_) => {}
            }
            self.moves(HIGH)?;
        }
        Ok(format!("left at {seen:?} %, and converged each time"))
    }

    fn restores(&self, start: &InitialState) -> Found {
        self.timed("restore", |driver| driver.restore(&start.bytes))?;
        self.timed("verify", |driver| driver.verify(&start.bytes))?;
        let seen = self.look()?;
        if seen == start.observed {
            Ok(seen.to_string())
        } else {
            Err(format!("it was {}, and is {}", start.observed, seen))
        }
    }

    fn is_not_slow(&self) -> Found {
        let (what, ms) = self.slowest.get();
        let message = format!("the slowest call was {what}: {ms} ms");
        if ms > SLOW_MS { Err(format!("{message}; that is too long for a stop")) } else { Ok(message) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::{model::Reason, reconciler::drivers::Snapshot};

    /// How a driver goes wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fault {
        None,
        LiesAboutSuccess,
        AddsUp,
        TakesGarbage,
        VerifiesAnything,
        RestoresNothing,
        MovesWhenAsked,
    }

    struct Toy {
        fault: Fault,
        there: RefCell<Observed>,
    }

    impl Toy {
        fn set(&self, there: Observed) {
            *self.there.borrow_mut() = there;
        }
    }

    impl Driver for Toy {
        fn name(&self) -> &'static str {
            "toy/1"
        }

        fn reaches(&self, _: u32) -> Result<(), Refusal> {
            Ok(())
        }

        fn observe(&self) -> Result<Observed, Refusal> {
            let there = self.there.borrow().clone();
            if self.fault == Fault::MovesWhenAsked {
                self.set(Observed { weight_bp: there.weight_bp + 1, ..there.clone() });
            }
            Ok(there)
        }

        fn shift(&self, to: &Setting) -> Result<(), Refusal> {
            let now = self.there.borrow().weight_bp;
            let weight_bp = match self.fault {
                Fault::LiesAboutSuccess => now,
                Fault::AddsUp => now + to.weight_bp,
                _ => to.weight_bp,
            };
            self.set(Observed { weight_bp, lease: Some(to.lease.clone()) });
            Ok(())
        }

        fn snapshot(&self) -> Result<Snapshot, Refusal> {
            let bytes = serde_json::to_vec(&*self.there.borrow()).unwrap();
            Ok(Snapshot { bytes, ..Snapshot::default() })
        }

        fn rehearse(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
            match serde_json::from_slice::<Observed>(snapshot) {
                Err(_) if self.fault != Fault::TakesGarbage => Err(Refusal::new(Reason::NoPack, "no snapshot")),
                _ => Ok(vec!["put it back".to_owned()]),
            }
        }

        fn restore(&self, snapshot: &[u8]) -> Result<(), Refusal> {
            self.rehearse(snapshot)?;
            if self.fault != Fault::RestoresNothing
                && let Ok(there) = serde_json::from_slice(snapshot)
            {
                self.set(there);
            }
            Ok(())
        }

        fn verify(&self, snapshot: &[u8]) -> Result<(), Refusal> {
            let same = serde_json::from_slice::<Observed>(snapshot).ok().as_ref() == Some(&*self.there.borrow());
            if same || self.fault == Fault::VerifiesAnything {
                Ok(())
            } else {
                Err(Refusal::new(Reason::Drift, "it is another one"))
            }
        }
    }

    fn try_toy(fault: Fault) -> Vec<ConformanceStep> {
        let driver = Toy { fault, there: RefCell::new(Observed { weight_bp: 0, lease: None }) };
        let lease = LeaseId::parse("L-1").unwrap();
        let kill = |_: &Setting, _: Duration| Ok(());
        try_all(&DriverUnderTest { driver: &driver, lease, kill: &kill })
    }

    #[test]
    fn a_driver_that_does_what_it_must_passes_everything() {
        let steps = try_toy(Fault::None);
        assert!(steps.iter().all(|step| step.ok), "{steps:?}");
        assert_eq!(steps.len(), 11);
    }

    #[test]
    fn every_fault_is_found_at_its_step() {
        for (fault, step) in [
            (Fault::LiesAboutSuccess, "apply"),
            (Fault::AddsUp, "double apply"),
            (Fault::TakesGarbage, "garbage"),
            (Fault::VerifiesAnything, "verify"),
            (Fault::RestoresNothing, "restore"),
            (Fault::MovesWhenAsked, "observe"),
        ] {
            let steps = try_toy(fault);
            let failed = steps.iter().find(|step| !step.ok).map(|step| step.name);
            assert_eq!(failed, Some(step), "{fault:?}: {steps:?}");
        }
    }
}
