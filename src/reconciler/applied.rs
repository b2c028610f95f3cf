//! Applied state of a target, as it is remembered from tick to tick. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    follower::{
        checks::{Checks, Holds},
        clock::{Bake, ClockReading},
        records::{Intent, basis_points},
    },
    gate::Verdict,
    model::{Digest, LeaseId},
};

use super::decision::{Act, Desired, Observed};

/// What this applier did last to a target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Applied {
    /// For which lease.
    pub lease: Option<LeaseId>,
    /// To which of its tiers; none at weight zero.
    pub tier: Option<usize>,
    /// The weight in basis points: the ceiling for everything that is no forward move.
    pub weight_bp: u32,
    /// The transition that it carried out.
    pub step: u32,
    /// How long that weight has been watched.
    pub bake: Bake,
    /// The rollback pack that was taken before the first shift.
    pub pack: Option<Digest>,
    /// What became of the lease's rollback.
    pub rollback: Rollback,
    /// How the checks of the last rollback came out.
    #[serde(default)]
    pub checks: Option<Checks>,
    /// What was about to be done when this was written.
    pub intent: Option<Intent>,
    /// What the gates of that tier said last, once they passed or failed.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// The digest of the evidence for that.
    #[serde(default)]
    pub evidence: Option<Digest>,
    /// When this applier halted the lease by itself.
    #[serde(default)]
    pub halted: Option<Timestamp>,
    /// When the target was first seen at that weight: harm is measured from then on, whatever is seen later.
    #[serde(default)]
    pub reached: Option<Timestamp>,
    /// The ledger's last transition when the target was found below that weight. It stays there until a key is turned.
    #[serde(default)]
    pub lowered: Option<u32>,
    /// Since when it has been seen above that weight, and could not be put back.
    #[serde(default)]
    pub raised: Option<Timestamp>,
    /// Since when a stop could not be carried out.
    #[serde(default)]
    pub unstopped: Option<Timestamp>,
}

/// What became of a lease's rollback.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rollback {
    /// It was not tried.
    #[default]
    None,
    /// It was tried, and nobody could see yet what came of it.
    Attempted {
        /// What the candidate had served by then, where the target counts that.
        served: Option<u64>,
    },
    /// What was there before is there again; whether it is as healthy is not known yet.
    Restored(Restored),
    /// The restored state matches the pack.
    Verified,
    /// It is not; the number of rollbacks that had been signed by then.
    Failed(u32),
}

/// A restoration whose other checks hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Restored {
    /// When it was done: nothing that was measured before counts.
    pub since: ClockReading,
    /// What the candidate had served by then, where the target counts that.
    pub served: Option<u64>,
}

impl Rollback {
    /// Begins to watch anew, as after a jump of the clock: what was measured is of times that nobody knows.
    pub fn watch_anew(&mut self, reading: &ClockReading) {
        if let Self::Restored(restored) = self {
            restored.since = reading.clone();
        }
    }
}

impl Applied {
    /// Whether an act leads above the weight that was applied last: the forward moves, and nothing else.
    pub fn is_exceeded_by(&self, lease: &LeaseId, act: &Act) -> bool {
        let ceiling = if self.lease.as_ref() == Some(lease) { self.weight_bp } else { 0 };
        matches!(act, Act::Shift { weight_bp, .. } if *weight_bp > ceiling)
    }

    /// Whether what was restored is ordered, and not all of the traffic has followed.
    pub(super) fn is_followed_by_some_only(&self) -> bool {
        let not_yet = self.checks.as_ref().is_some_and(|checks| checks.holds() == Holds::NotYet);
        matches!(self.rollback, Rollback::Restored(_)) && not_yet
    }

    /// Whether nothing but looks at what is there lies between an earlier state and this one.
    pub fn differs_by_looks_only(&self, earlier: &Self) -> bool {
        let looked = Bake { since: self.bake.since.clone(), ..earlier.bake.clone() };
        let goes_on = self.bake.credited_ms >= earlier.bake.credited_ms;
        goes_on && *earlier == Self { bake: looked, ..self.clone() }
    }

    /// Takes what was observed for what was done, where a process ended between the act and its being written down.
    /// True if it was done.
    pub fn settle(&mut self, observed: Option<&Observed>) -> bool {
        let (Some(intent), Some(seen)) = (self.intent.clone(), observed) else { return false };
        self.intent = None;
        let done = seen.lease.as_ref() == Some(&intent.lease) && seen.weight_bp == intent.weight_bp;
        if done {
            self.arrive(&intent);
        }
        done
    }

    /// Writes down that a shift was made and observed.
    pub fn arrive(&mut self, intent: &Intent) {
        let same = self.lease.as_ref() == Some(&intent.lease);
        let stays = same && self.tier == intent.tier && self.weight_bp == intent.weight_bp;
        if !same {
            self.rollback = Rollback::None;
            (self.pack, self.checks, self.halted, self.unstopped) = (None, None, None, None);
        }
        if !stays {
            self.bake = Bake::default();
            (self.verdict, self.evidence, self.reached) = (None, None, None);
            (self.lowered, self.raised) = (None, None);
        }
        self.lease = Some(intent.lease.clone());
        self.tier = intent.tier;
        self.weight_bp = intent.weight_bp;
        self.step = intent.step;
        self.intent = None;
    }

    /// Takes over a target that is seen where nothing was written down here, as after the loss of a machine: the weight counts
    /// as applied if it is one of the lease's tiers that the ledger has reached, else as zero.
    pub fn adopt(&mut self, desired: &Desired, observed: Option<&Observed>) {
        let Some(seen) = observed.filter(|seen| seen.lease.as_ref() == Some(&desired.lease)) else { return };
        // Tiers strictly increase: no two have one weight.
        let mut reached = desired.tiers.iter().zip(&desired.tier_steps).enumerate();
        let here = reached.find(|(_, (tier, _))| basis_points(tier.weight) == seen.weight_bp);
        *self = Self { lease: Some(desired.lease.clone()), ..Self::default() };
        if let Some((tier, (_, step))) = here {
            self.tier = Some(tier);
            self.weight_bp = seen.weight_bp;
            self.step = *step;
        }
    }
}
