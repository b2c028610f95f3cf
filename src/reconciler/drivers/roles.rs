//! Roles of two pools, which take turns: the one that serves nothing is the next lease's candidate. Which one it is,
//! and for which lease, is written down, because weights alone do not say so.

use serde::{Deserialize, Serialize};

use super::{Context, kept::KeptFile};
use crate::model::{LeaseId, Percent, Reason, Refusal, TargetId};

/// One of a target's two pools, by its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pool {
    /// The one that is configured as `stable`: it serves until the first lease.
    Stable,
    /// The one that is configured as `candidate`.
    Candidate,
}

impl Pool {
    /// The other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Stable => Self::Candidate,
            Self::Candidate => Self::Stable,
        }
    }
}

/// Which pool has which role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roles {
    /// The lease that the weights were set for.
    pub(super) lease: LeaseId,
    /// The pool that its change is in.
    pub(super) candidate: Pool,
}

/// What each pool serves, in basis points of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// What the pool configured as `stable` serves, rounded up.
    pub(super) stable_bp: u32,
    /// What the pool configured as `candidate` serves, rounded up.
    pub(super) candidate_bp: u32,
}

impl Shares {
    /// What a pool serves.
    pub(super) const fn of(self, pool: Pool) -> u32 {
        match pool {
            Pool::Candidate => self.candidate_bp,
            Pool::Stable => self.stable_bp,
        }
    }

    /// What pools serve by the sums of their weights; nothing where nobody has any.
    pub(super) fn of_sums(stable: u64, candidate: u64) -> Self {
        let whole = stable.saturating_add(candidate);
        let share = |part: u64| part.saturating_mul(10_000).div_ceil(whole.max(1));
        let share = |part: u64| u32::try_from(share(part)).unwrap_or(10_000);
        Self { stable_bp: share(stable), candidate_bp: share(candidate) }
    }

    /// The pool that serves nothing, if one does.
    pub(super) const fn idle(self) -> Option<Pool> {
        match (self.stable_bp, self.candidate_bp) {
            (_, 0) => Some(Pool::Candidate),
            (0, _) => Some(Pool::Stable),
            _ => None,
        }
    }
}

/// The pool that is a lease's candidate, from now on or still.
pub(super) fn candidate_of(lease: &LeaseId, known: Option<&Roles>, shares: Shares) -> Result<Pool, Refusal> {
    match known.filter(|roles| roles.lease == *lease) {
        Some(roles) => Ok(roles.candidate),
        None => shares.idle().ok_or_else(|| mixed(lease, shares)),
    }
}

/// What is known of who plays which part beside what the target says: a small file beside the journal, and what was there
/// before the lease, as its pack has it, where that file does not name the lease.
pub(super) struct Remembered {
    kept: KeptFile<Roles>,
    packed: Option<(LeaseId, Vec<u8>)>,
}

impl Remembered {
    /// What is remembered of a target for the lease of a context.
    pub(super) fn of(target: &TargetId, context: &Context<'_>) -> Self {
        let kept = KeptFile::<Roles>::new(&context.folder, target.as_str());
        let known = kept.read().ok().flatten();
        let lost = |id: &LeaseId| known.as_ref().is_none_or(|roles| roles.lease != *id);
        let lease = context.lease.map(|lease| &lease.id).filter(|id| lost(id));
        let packed = lease.and_then(|id| Some((id.clone(), (context.before)()?)));
        Self { kept, packed }
    }

    /// What is written down; none if nothing is.
    pub(super) fn read(&self) -> Result<Option<Roles>, Refusal> {
        self.kept.read()
    }

    /// Writes down who plays which part, or that nobody does.
    pub(super) fn write(&self, roles: Option<&Roles>) -> Result<(), Refusal> {
        self.kept.write(roles)
    }

    /// The lease whose pack had to be asked, and the snapshot in it.
    pub(super) fn packed(&self) -> Option<(&LeaseId, &[u8])> {
        self.packed.as_ref().map(|(lease, bytes)| (lease, bytes.as_slice()))
    }
}

fn mixed(lease: &LeaseId, shares: Shares) -> Refusal {
    let percent = Percent::of(shares.candidate_bp);
    let message = format!(
        "both pools serve ({percent} % in `candidate`), and nothing here says for which lease: neither can be {lease}'s"
    );
    Refusal::new(Reason::Drift, message)
        .hint("give one of them no weight by hand, or roll back the lease that is running")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(id: &str) -> LeaseId {
        LeaseId::parse(id).unwrap()
    }

    #[test]
    fn the_pool_that_serves_nothing_is_the_next_candidate_and_stays_it() {
        let all_on = |candidate_bp| Shares { stable_bp: 10_000 - candidate_bp, candidate_bp };
        assert_eq!(candidate_of(&lease("L-1"), None, all_on(0)), Ok(Pool::Candidate));
        let first = Roles { lease: lease("L-1"), candidate: Pool::Candidate };
        assert_eq!(candidate_of(&lease("L-1"), Some(&first), all_on(500)), Ok(Pool::Candidate));
        assert_eq!(candidate_of(&lease("L-1"), Some(&first), all_on(10_000)), Ok(Pool::Candidate));
        assert_eq!(candidate_of(&lease("L-2"), Some(&first), all_on(10_000)), Ok(Pool::Stable));
        let mixed = candidate_of(&lease("L-2"), Some(&first), all_on(2_500)).unwrap_err();
        assert_eq!(mixed.reason, Reason::Drift);
    }
}
