//! Slots: the times at which gates are read. Slot `k` is at tier start + settle + `k` × interval, for `k` from 1.

use jiff::Timestamp;

use crate::model::document::Span;

/// How often a threshold that no gate measures is looked at.
pub(super) const METRIC_INTERVAL: Span = Span::seconds(30);

/// The clockwork of one gate at one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    /// When what is measured begins to count: tier start + settle.
    pub(super) ground: Timestamp,
    /// From one slot to the next, in seconds; at least 1.
    interval: i64,
}

impl Slots {
    pub(super) fn new(started: Timestamp, settle: Span, interval: Span) -> Self {
        let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1);
        Self { ground: later(started, settle), interval }
    }

    /// The clockwork of thresholds that no gate measures: they do not wait for anything to settle.
    pub(super) fn of_thresholds(started: Timestamp) -> Self {
        Self::new(started, Span::seconds(0), METRIC_INTERVAL)
    }

    /// The newest slot that is due, and its time.
    pub(super) fn newest(self, now: Timestamp) -> Option<(u64, Timestamp)> {
        let passed = now.as_second().saturating_sub(self.ground.as_second());
        // A second that is not over yet does not count.
        let passed = if now.subsec_nanosecond() < self.ground.subsec_nanosecond() { passed - 1 } else { passed };
        let number = u64::try_from(passed / self.interval).ok().filter(|number| *number >= 1 && passed >= 0)?;
        Some((number, self.at(number)))
    }

    /// The time of a slot.
    pub(super) fn at(self, number: u64) -> Timestamp {
        let seconds = self.interval.saturating_mul(i64::try_from(number).unwrap_or(i64::MAX));
        later(self.ground, Span::seconds(u64::try_from(seconds).unwrap_or(0)))
    }
}

/// A time and so much later; the end of time, at most.
pub(super) fn later(time: Timestamp, span: Span) -> Timestamp {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    time.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// A time and so much earlier; the beginning of time, at least.
pub(super) fn earlier(time: Timestamp, span: Span) -> Timestamp {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    time.checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::time;

    #[test]
    fn slots_begin_one_interval_after_settling() {
        let slots = Slots::new(time(0), Span::seconds(60), Span::seconds(30));
        assert_eq!(slots.ground, time(60));
        for (now, newest) in
            [(-500, None), (0, None), (60, None), (89, None), (90, Some(1)), (119, Some(1)), (120, Some(2))]
        {
            let newest = newest.map(|k: u32| (k.into(), time(60 + 30 * i64::from(k))));
            assert_eq!(slots.newest(time(now)), newest, "{now}");
        }
    }

    #[test]
    fn a_slot_is_due_to_the_nanosecond() {
        let started = time(0) + jiff::SignedDuration::from_nanos(7);
        let slots = Slots::new(started, Span::seconds(0), Span::seconds(1));
        assert_eq!(slots.newest(time(1)), None);
        assert_eq!(slots.newest(started + jiff::SignedDuration::from_secs(1)).unwrap().0, 1);
    }

    #[test]
    fn times_do_not_overflow() {
        assert_eq!(later(Timestamp::MAX, Span::seconds(5)), Timestamp::MAX);
        assert_eq!(earlier(Timestamp::MIN, Span::seconds(5)), Timestamp::MIN);
        let slots = Slots::new(Timestamp::MIN, Span::seconds(0), Span::seconds(1));
        assert!(slots.newest(Timestamp::MAX).is_some());
    }
}
