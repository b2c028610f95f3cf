//! Tick: what holds for all targets from one look at the remote to the next.

use std::collections::BTreeSet;

use crate::{
    follower::{
        Mode,
        clock::{ClockReading, Trust},
        fetching::Remote,
    },
    gate::health::Health,
    model::{LeaseId, Reason, Refusal},
};

use super::{
    decision::{Conditions, Desired, Pack, PackMatch},
    rollback_health::RollbackHealth,
};

/// What holds for all targets of a tick.
#[derive(Clone)]
pub(super) struct Tick {
    pub(super) reading: ClockReading,
    pub(super) mode: Mode,
    /// What speaks against every forward move.
    pub(super) blockers: Vec<Refusal>,
    /// Whether the clock is believed.
    pub(super) trust: Trust,
    /// Whether the remote was asked in this tick: before that nobody knows yet what speaks against a forward move.
    pub(super) remote: Remote,
}

impl Tick {
    pub(super) fn new(reading: ClockReading, mode: Mode, trust: Trust) -> Self {
        Self { reading, mode, blockers: Vec::new(), trust, remote: Remote::Asked }
    }

    /// Nothing goes forward in this tick any more.
    pub(super) fn block(&mut self, refusal: Refusal) {
        if !self.blockers.contains(&refusal) {
            self.blockers.push(refusal);
        }
    }

    /// The remote has answered, or not in time: what speaks against every forward move is known.
    pub(super) fn is_answered(&mut self) {
        self.remote = Remote::Answered;
    }

    /// The remote is asked once more: until it has answered nothing goes forward.
    pub(super) fn asks_again(&mut self) {
        self.remote = Remote::Asked;
    }

    /// Whether a forward move that was decided on may be made now. One that a slow target held up until a later tick
    /// waits until that tick knows what speaks against it.
    pub(super) fn lets_move(&self) -> bool {
        self.remote == Remote::Answered
    }

    /// Looks at the clocks once more: a push and a fetch may have taken minutes.
    pub(super) fn look_again(&mut self, (reading, trust): (ClockReading, Trust)) {
        if trust == Trust::Doubted {
            self.trust = trust;
        }
        self.reading = reading;
    }

    /// What holds for every target, were its pack there.
    pub(super) fn conditions(&self) -> Conditions {
        Conditions {
            now: (self.trust == Trust::Believed).then_some(self.reading.now),
            blockers: self.blockers.clone(),
            pack: Pack::Rehearsed,
            standing: PackMatch::Unknown,
            health: Health::UNWATCHED,
            rollback_health: RollbackHealth::UNKNOWN,
            unmeasured: None,
            left_halted: None,
        }
    }

    /// A lease whose window was seen to be closed does not open again because somebody sets the clock back.
    pub(super) fn outlived(&self, wanted: &Desired, expired: &BTreeSet<LeaseId>) -> Option<Refusal> {
        (expired.contains(&wanted.lease) && self.reading.now < wanted.expires).then(|| {
            let message = format!("the clock here went back: lease {} has been seen to expire", wanted.lease);
            Refusal::new(Reason::Clock, message).hint("set the clock right, and issue a new lease: git two-key new")
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::follower::clock::Monotonic;

    fn reading(second: i64, ms: u64) -> ClockReading {
        let monotonic = Some(Monotonic { boot: "a".to_owned(), ms });
        ClockReading { now: Timestamp::from_second(second).unwrap(), monotonic }
    }

    #[test]
    fn nothing_moves_forward_in_a_tick_that_has_not_asked_the_remote() {
        let mut tick = Tick::new(reading(1_000, 0), Mode::Act, Trust::Believed);
        assert!(tick.conditions().blockers.is_empty() && !tick.lets_move());
        tick.is_answered();
        assert!(tick.lets_move());
    }

    #[test]
    fn time_that_passes_within_a_tick_counts_and_a_clock_that_is_doubted_within_it_holds() {
        let mut tick = Tick::new(reading(1_000, 0), Mode::Act, Trust::Believed);
        tick.look_again((reading(1_100, 100_000), Trust::Believed));
        assert_eq!(tick.conditions().now, Some(Timestamp::from_second(1_100).unwrap()));
        tick.look_again((reading(1_200, 200_000), Trust::Doubted));
        assert_eq!(tick.conditions().now, None);
        tick.look_again((reading(1_201, 201_000), Trust::Believed));
        assert_eq!(tick.conditions().now, None, "it stays untrusted until the next tick");
    }
}
