//! A lease's states, and what each stop does in each of them.

use serde::{Deserialize, Serialize};

use crate::model::{Action, LeaseId, Oid, StopKind, refs};

use super::vote::Vote;

/// Where a lease is. Tiers are indices into the lease's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Not all keys that authorize it have been turned.
    Proposed,
    /// It may start.
    Authorized,
    /// Traffic flows at a tier's weight.
    Rolling {
        /// The tier.
        tier: usize,
    },
    /// It holds at a tier's weight.
    Paused {
        /// The tier.
        tier: usize,
    },
    /// Weight zero, instances kept.
    Halted,
    /// It ended at 100 %.
    Completed,
    /// It was undone.
    RolledBack,
    /// It ended before it began.
    Withdrawn,
}

impl Phase {
    /// The words of all phases, in the order in which a lease meets them.
    pub const WORDS: [&'static str; 8] =
        ["proposed", "authorized", "rolling", "paused", "halted", "completed", "rolled-back", "withdrawn"];

    /// The word in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Authorized => "authorized",
            Self::Rolling { .. } => "rolling",
            Self::Paused { .. } => "paused",
            Self::Halted => "halted",
            Self::Completed => "completed",
            Self::RolledBack => "rolled-back",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether the lease keeps its target to itself.
    pub const fn occupies(self) -> bool {
        matches!(self, Self::Rolling { .. } | Self::Paused { .. } | Self::Halted)
    }

    /// Whether the lease has ended, so that only a rollback can still concern it.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack | Self::Withdrawn)
    }

    /// Whether the lease has ever been started.
    pub const fn started(self) -> bool {
        !matches!(self, Self::Proposed | Self::Authorized | Self::Withdrawn)
    }

    /// The tier that it is at, if it is at one.
    pub const fn tier(self) -> Option<usize> {
        match self {
            Self::Rolling { tier } | Self::Paused { tier } => Some(tier),
            _ => None,
        }
    }
}

/// A transition in force: one number of a lease's sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Its number, from 1.
    pub step: u32,
    /// What it did; for stops, what took effect (a pause of a lease that has not started withdraws it).
    pub action: Action,
    /// The tier that it went to, in percent, for start and promote.
    pub tier: Option<u8>,
    /// The first-parent commit that put it in force, where its tag belongs.
    pub commit: Oid,
    /// Where the lease was afterwards.
    pub phase: Phase,
    /// The votes that it rests on. None for the completion that another lease's start implies.
    pub votes: Vec<Vote>,
}

impl Transition {
    /// Its tag's full name.
    pub fn tag(&self, lease: &LeaseId) -> String {
        refs::rollout_tag(lease, &self.tag_suffix())
    }

    /// The end of its tag's name: the step, the action and perhaps the tier.
    pub fn tag_suffix(&self) -> String {
        match self.tier {
            Some(tier) => format!("{}-{}-{tier}", self.step, self.action),
            None => format!("{}-{}", self.step, self.action),
        }
    }
}

/// What a stop does to a lease that the design's table knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopEffect {
    /// Nothing, and it is not refused for that.
    Nothing,
    /// The lease goes to this phase, by this action's name.
    Goes(Phase, Action),
}

/// The table of stops, for a lease that is the newest of its target (or has not started).
pub const fn stop_effect(phase: Phase, stop: StopKind) -> StopEffect {
    use StopEffect::{Goes, Nothing};
    match (phase, stop) {
        (Phase::Proposed | Phase::Authorized, _) => Goes(Phase::Withdrawn, Action::Withdraw),
        (Phase::Withdrawn, _)
        | (Phase::Paused { .. } | Phase::Halted | Phase::Completed | Phase::RolledBack, StopKind::Pause)
        | (Phase::Halted | Phase::RolledBack, StopKind::Halt) => Nothing,
        (Phase::Rolling { tier }, StopKind::Pause) => Goes(Phase::Paused { tier }, Action::Pause),
        (Phase::Rolling { .. } | Phase::Paused { .. } | Phase::Completed, StopKind::Halt) => {
            Goes(Phase::Halted, Action::Halt)
        }
        // On a lease that is rolled back already this is another attempt: appliers make it after a recorded failure.
        (
            Phase::Rolling { .. } | Phase::Paused { .. } | Phase::Halted | Phase::Completed | Phase::RolledBack,
            StopKind::Rollback | StopKind::Withdraw,
        ) => Goes(Phase::RolledBack, Action::Rollback),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stop_ever_leads_to_a_phase_with_more_weight() {
        fn weight(phase: Phase) -> usize {
            match phase {
                Phase::Rolling { tier } | Phase::Paused { tier } => tier + 1,
                Phase::Completed => 100,
                _ => 0,
            }
        }
        let phases = [
            Phase::Proposed,
            Phase::Authorized,
            Phase::Rolling { tier: 1 },
            Phase::Paused { tier: 1 },
            Phase::Halted,
            Phase::Completed,
            Phase::RolledBack,
            Phase::Withdrawn,
        ];
        for phase in phases {
            for stop in [StopKind::Pause, StopKind::Halt, StopKind::Withdraw, StopKind::Rollback] {
                if let StopEffect::Goes(after, _) = stop_effect(phase, stop) {
                    assert!(weight(after) <= weight(phase), "{phase:?} {stop:?} {after:?}");
                }
            }
        }
    }
}
