//! Rollback: weight to zero, restoration of what was there before, and the five checks of it. All of them hold, or
//! the rollback failed. The restoration is tried once for each rollback that is signed, and again where what was
//! verified is gone; weight zero is tried until it is seen.

use std::time::Duration;

use crate::{
    follower::{
        checks::{Check, CheckOutcome, Checks, Holds},
        clock,
        records::Intent,
    },
    ledger::EventKind,
    model::{Reason, Refusal},
};

use super::{
    applied::{Applied, Restored, Rollback},
    decision::Desired,
    drivers::{Driver, Lingering, Reversible, Sight},
    pack::RollbackPack,
    target::{ShiftKind, TargetRun},
};

impl Checks {
    /// What does not hold.
    fn failure(&self) -> Result<(), Refusal> {
        let failed = self.all().into_iter().filter(|(_, check)| check.outcome == CheckOutcome::Failed);
        let failed: Vec<_> = failed.map(|(name, check)| format!("{name}: {}", check.message)).collect();
        if failed.is_empty() { Ok(()) } else { Err(Refusal::new(Reason::Drift, failed.join("; "))) }
    }

    /// Makes the checks, health aside. `served` is what the candidate had served when the restoration was done, where the
    /// target counts that.
    fn make(
        driver: &dyn Driver,
        pack: &RollbackPack,
        desired: &Desired,
        snapshot: &[u8],
        served: Option<u64>,
        health: Check,
    ) -> Self {
        CheckInputs { driver, pack, desired, snapshot }.make(served, health)
    }
}

/// What checks are made by.
struct CheckInputs<'a> {
    driver: &'a dyn Driver,
    pack: &'a RollbackPack,
    desired: &'a Desired,
    snapshot: &'a [u8],
}

impl CheckInputs<'_> {
    fn make(&self, served: Option<u64>, health: Check) -> Checks {
        let seen = self.driver.observe();
        let observed = Check::of(seen.clone().and_then(|seen| {
            let (now, then) = (seen.to_string(), self.pack.observed.to_string());
            if seen != self.pack.observed {
                return Err(Refusal::new(Reason::Drift, format!("{now}, then {then}")));
            }
            // An applier that came later, or whose state was lost, can go back to what it found, and no further.
            match self
                .desired
                .falls_back_to
                .as_ref()
                .filter(|before| self.pack.observed.lease.as_ref() != Some(*before))
            {
                Some(before) => {
                    let message =
                        format!("{now}, and the target falls back to lease {before}, which was not there then");
                    Err(Refusal::new(Reason::Drift, message))
                }
                None => Ok(now),
            }
        }));
        let probes = self.probes();
        let candidate = match seen {
            Ok(seen) if seen.lease.as_ref() == Some(&self.desired.lease) && seen.weight_bp > 0 => {
                Check::failed(seen.to_string())
            }
            Err(refusal) => Check::failed(refusal.message),
            Ok(_) => self.candidate(served, &probes),
        };
        let configuration = Check::of(self.driver.verify(self.snapshot).map(|()| {
            let changes = self.driver.changes(self.snapshot).unwrap_or_default();
            [vec![self.pack.digest.to_string()], changes].concat().join("; ")
        }));
        Checks { observed, probes, health, candidate, configuration }
    }

    /// Asks at the entrance. Where the driver does not see traffic, often enough to meet the candidate if its first tier were
    /// still there.
    fn probes(&self) -> Check {
        let Some(probed) = &self.pack.probes else { return Check::not_configured("the pack has none") };
        let mut probe = probed.probe.clone();
        if self.driver.sight() == Sight::Intent {
            let least = self.desired.tiers.first().map_or(1, |tier| tier.weight);
            probe.count = probe.count.max(enough_to_meet(least));
        }
        Check::of(probe.expect(&probed.served))
    }

    /// A candidate without weight: whether it serves nothing.
    fn candidate(&self, served: Option<u64>, probes: &Check) -> Check {
        let no_weight = "it has no weight";
        match (served, self.driver.sight(), probes.outcome) {
            (Some(before), ..) => Check::of(self.serves_nothing(before)),
            (None, Sight::Traffic, _) => match self.driver.lingering(&|| Ok(self.snapshot.to_vec()), GRACE) {
                Ok(Lingering::Nobody) => Check::passed(no_weight),
                Ok(Lingering::Somebody(who)) => Check::pending(format!("{no_weight}, and {who}")),
                Ok(Lingering::Unknown(why)) => Check::not_configured(format!("{no_weight}, and {why}")),
                Err(refusal) => Check::failed(refusal.message),
            },
            (None, Sight::Intent, CheckOutcome::Passed) => {
                Check::passed(format!("{no_weight}, and no probe was served it: {}", probes.message))
            }
            (None, Sight::Intent, _) => Check::not_configured(format!(
                "{no_weight} where this driver orders it, and nobody here sees whether traffic followed: configure a probe"
            )),
        }
    }

    /// Counts for a while what the candidate is sent.
    fn serves_nothing(&self, before: u64) -> Result<String, Refusal> {
        let began = clock::read_clocks();
        loop {
            let served = self.driver.served_by_candidate(self.snapshot)?.unwrap_or_default();
            if served > before {
                let message = format!("it served {} more since the restoration", served - before);
                return Err(Refusal::new(Reason::Drift, message));
            }
            if clock::read_clocks().proven_ms_since(&began) >= COUNTED_MS {
                return match self.driver.open_with_candidate(self.snapshot)? {
                    0 => Ok(format!(
                        "it has no weight, and has served nothing since the restoration, {COUNTED_MS} ms ago or more"
                    )),
                    open => Err(Refusal::new(Reason::Drift, format!("{open} connections to it are still open"))),
                };
            }
            std::thread::sleep(NAP);
        }
    }
}

/// How long whoever has connections from before may take to go, before it is said that they have not.
const GRACE: Duration = Duration::from_secs(2);

/// For how long it is counted what a candidate serves after a restoration, and how often it is looked.
const COUNTED_MS: u64 = 2_000;
const NAP: Duration = Duration::from_millis(100);

/// How many probes meet a version that has a weight in percent, but one time in a thousand.
fn enough_to_meet(percent: u8) -> u32 {
    let missed = 1.0 - f64::from(percent.clamp(1, 99)) / 100.0;
    // Between 2 and 688: a sum of ones is exact, and no float has to be cast.
    let mut left = 1.0;
    (0_u32..1_000)
        .find(|_| {
            left *= missed;
            left <= 0.001
        })
        .map_or(1_000, |before| before + 1)
}

impl TargetRun {
    /// Weight to zero, then what was there before, then the checks. `health` is the one that takes time: where there is
    /// nothing to make it by the rollback is verified at once, else it is watched from here on.
    ///
    /// Unknown is not failed: while the target cannot be seen nothing is restored, and weight zero is tried again.
    pub(super) fn restore(
        &mut self,
        applied: &mut Applied,
        desired: &Desired,
        pack: impl FnOnce() -> Result<RollbackPack, Refusal>,
        health: Check,
    ) -> Result<(), Refusal> {
        let was_restored = matches!(applied.rollback, Rollback::Verified | Rollback::Restored(_));
        let is_ours = self.driver.observe().map(|seen| seen.lease.as_ref() == Some(&desired.lease));
        // Where it was restored once, only the pack knows who is who.
        if !was_restored || is_ours != Ok(false) {
            let zero = Intent { lease: desired.lease.clone(), tier: None, weight_bp: 0, step: desired.step };
            // Whether it came about is seen; without a pack it is all that can be done.
            let _ = self.shift(applied, &zero, ShiftKind::Stop);
        }
        self.driver.observe()?;
        applied.checks = None;
        (applied.verdict, applied.evidence) = (None, None);
        let restorable = pack().and_then(|pack| {
            applied.pack = Some(pack.digest);
            if pack.reversible == Reversible::No {
                let message = format!("the pack of lease {} says reversible: no, so it is halted only", desired.lease);
                return Err(Refusal::new(Reason::NoPack, message).hint("undo by hand what cannot be restored"));
            }
            let snapshot = pack.restorable()?;
            Ok((pack, snapshot))
        });
        let (pack, snapshot) = match restorable {
            Ok(restorable) => restorable,
            Err(refusal) => return self.without_pack(applied, desired, refusal),
        };
        // What is there is looked at whether or not the driver says that it did it.
        let restored = self.driver.restore(&snapshot);
        // Counted from here on: until now requests may have come to the candidate.
        let served = self.driver.served_by_candidate(&snapshot).ok().flatten();
        applied.rollback = Rollback::Attempted { served };
        self.check(applied, desired, (&pack, &snapshot), health, restored)
    }

    /// What was restored has been watched, or is seen for the first time: all checks, and what they come to.
    pub(super) fn verify(
        &mut self,
        applied: &mut Applied,
        desired: &Desired,
        pack: Result<RollbackPack, Refusal>,
        health: Check,
    ) -> Result<(), Refusal> {
        if let Some(checks) = &mut applied.checks {
            checks.health = health.clone();
        }
        match pack.and_then(|pack| Ok((pack.restorable()?, pack))) {
            Ok((snapshot, pack)) => self.check(applied, desired, (&pack, &snapshot), health, Ok(())),
            Err(refusal) => self.without_pack(applied, desired, refusal),
        }
    }

    /// Makes the checks. While the target cannot be seen nothing is concluded: it is looked at again.
    fn check(
        &mut self,
        applied: &mut Applied,
        desired: &Desired,
        (pack, snapshot): (&RollbackPack, &[u8]),
        health: Check,
        restored: Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if health.outcome != CheckOutcome::Failed {
            self.driver.observe()?;
        }
        let served = match &applied.rollback {
            Rollback::Restored(restored) => restored.served,
            Rollback::Attempted { served } => *served,
            _ => None,
        };
        let is_watched = health.outcome == CheckOutcome::Pending;
        let mut checks = Checks::make(&*self.driver, pack, desired, snapshot, served, health);
        let holds = checks.failure().and(restored);
        if is_watched && holds.is_err() {
            checks.health = Check::failed("it was not watched, as the restoration failed");
        }
        let not_yet = holds.is_ok() && checks.holds() == Holds::NotYet;
        applied.checks = Some(checks);
        if not_yet || (is_watched && holds.is_ok()) {
            applied.rollback = Rollback::Restored(Restored { since: self.reading.clone(), served });
            return Ok(());
        }
        self.conclude(applied, desired, holds)
    }

    /// There is no way back, or it cannot be read now.
    fn without_pack(&mut self, applied: &mut Applied, desired: &Desired, why: Refusal) -> Result<(), Refusal> {
        if why.reason == Reason::NoPack { self.conclude(applied, desired, Err(why)) } else { Err(why) }
    }

    fn conclude(
        &mut self,
        applied: &mut Applied,
        desired: &Desired,
        outcome: Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (rollback, event) = match &outcome {
            Ok(()) if applied.checks.as_ref().is_some_and(|checks| checks.holds() == Holds::Unseen) => {
                (Rollback::Verified, EventKind::RollbackRestored)
            }
            Ok(()) => (Rollback::Verified, EventKind::RollbackVerified),
            Err(_) => (Rollback::Failed(desired.rollbacks), EventKind::RollbackFailed),
        };
        applied.rollback = rollback;
        self.happened(event, &desired.lease, desired.step, 0);
        outcome
    }
}
