//! Time, as an applier needs it: bakes by a monotonic clock that survives restarts, and no trust in a clock that jumped.

use std::{sync::OnceLock, time::Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{CLOCK_TOLERANCE, Reason, Refusal, document::Span};

/// How far the wall clock may run from the monotonic one between two readings.
const TOLERANCE_MS: u64 = CLOCK_TOLERANCE.as_secs().unsigned_abs() * 1000;

/// How the clocks are read.
pub type Clock = dyn Fn() -> ClockReading + Send + Sync;

/// One look at the clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClockReading {
    /// The wall clock.
    pub now: Timestamp,
    /// Which run of the machine the monotonic clock belongs to, and its milliseconds.
    pub monotonic: Option<Monotonic>,
}

/// Whether a wall clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It agrees with the monotonic one.
    Believed,
    /// It does not: nothing goes forward by it.
    Doubted,
}

/// A monotonic clock's reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Monotonic {
    /// The machine's run: readings of different runs cannot be compared.
    pub boot: String,
    /// Milliseconds since its beginning.
    pub ms: u64,
}

impl ClockReading {
    /// Milliseconds from an earlier reading to this one, as far as they can be proven: none across a reboot, and none
    /// by the wall clock, which anybody may set.
    pub fn proven_ms_since(&self, earlier: &Self) -> u64 {
        match (&self.monotonic, &earlier.monotonic) {
            (Some(here), Some(there)) if here.boot == there.boot => here.ms.saturating_sub(there.ms),
            _ => 0,
        }
    }

    /// Milliseconds since an earlier reading, the most that it can have been: for what grows old.
    pub fn at_most_ms_since(&self, earlier: &Self) -> u64 {
        match (&self.monotonic, &earlier.monotonic) {
            (Some(here), Some(there)) if here.boot == there.boot => here.ms.saturating_sub(there.ms),
            // A clock that went back across a reboot proves nothing about age.
            _ if self.now < earlier.now => u64::MAX,
            _ => self.wall_ms_since(earlier),
        }
    }

    /// Whether the wall clock jumped since an earlier reading.
    pub fn jumped_since(&self, earlier: &Self) -> bool {
        let wall = self.now.as_millisecond().saturating_sub(earlier.now.as_millisecond());
        match (&self.monotonic, &earlier.monotonic) {
            (Some(here), Some(there)) if here.boot == there.boot => {
                let passed = i64::try_from(here.ms.saturating_sub(there.ms)).unwrap_or(i64::MAX);
                here.ms < there.ms || wall.saturating_sub(passed).unsigned_abs() > TOLERANCE_MS
            }
            _ => wall < 0 && wall.unsigned_abs() > TOLERANCE_MS,
        }
    }

    /// What may be believed of this reading after the last one that was: a wall clock that disagrees with the monotonic one
    /// since then is not believed however long it stays, and the time is counted on from then.
    pub fn believed_after(self, good: Option<&Self>) -> (Self, Trust) {
        let Some(good) = good.filter(|good| self.jumped_since(good)) else { return (self, Trust::Believed) };
        let same =
            self.monotonic.as_ref().zip(good.monotonic.as_ref()).is_some_and(|(here, there)| here.boot == there.boot);
        let passed = match &self.monotonic {
            Some(here) if !same => here.ms,
            _ => self.proven_ms_since(good),
        };
        let passed = SignedDuration::from_millis(i64::try_from(passed).unwrap_or(i64::MAX));
        let now = good.now.checked_add(passed).unwrap_or(Timestamp::MAX);
        (Self { now, ..self }, Trust::Doubted)
    }

    fn wall_ms_since(&self, earlier: &Self) -> u64 {
        u64::try_from(self.now.as_millisecond().saturating_sub(earlier.now.as_millisecond())).unwrap_or(0)
    }
}

/// Why nothing goes forward by a clock that is doubted.
pub fn doubted() -> Refusal {
    let message = "the clock here disagrees with the time that has passed since it was last right";
    Refusal::new(Reason::Clock, message)
        .hint("set the clock right; if it is, have it believed: git two-key doctor --believe-clock")
}

/// How long a weight has been watched: time is credited from look to look, only while the target was found in place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bake {
    /// When watching began.
    pub since: Option<ClockReading>,
    /// Milliseconds credited so far.
    pub credited_ms: u64,
    /// The last look.
    pub last: Option<ClockReading>,
}

impl Bake {
    /// Takes a look at a target that is in place.
    pub fn look(&mut self, reading: &ClockReading) {
        if let Some(last) = &self.last {
            self.credited_ms = self.credited_ms.saturating_add(reading.proven_ms_since(last));
        }
        self.since.get_or_insert_with(|| reading.clone());
        self.last = Some(reading.clone());
    }

    /// Whether it has been watched for so long. A weight that nobody has looked at since has not been.
    pub fn is_over(&self, span: Span) -> bool {
        self.last.is_some() && self.credited_ms >= span.as_secs().saturating_mul(1000)
    }
}

/// Looks at the machine's clocks.
#[allow(clippy::disallowed_methods, reason = "the applier's one look at the clock")]
pub fn read_clocks() -> ClockReading {
    ClockReading { now: Timestamp::now(), monotonic: Some(of_this_boot().unwrap_or_else(of_this_process)) }
}

/// Where the machine does not tell, each process counts for itself: a bake then goes on only for as long as it runs.
#[allow(clippy::disallowed_methods, reason = "the applier's one look at the clock")]
fn of_this_process() -> Monotonic {
    static BEGAN: OnceLock<(String, Instant)> = OnceLock::new();
    let (run, began) = BEGAN.get_or_init(|| (format!("process {:032x}", rand::random::<u128>()), Instant::now()));
    Monotonic { boot: run.clone(), ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) }
}

/// Linux tells the seconds since boot, suspension included, and names the boot. It tells them to every process alike, so
/// that one run can go on counting where another ended.
fn of_this_boot() -> Option<Monotonic> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, fraction) = uptime.split_ascii_whitespace().next()?.split_once('.')?;
    let hundredths: u64 = fraction.get(..2)?.parse().ok()?;
    let ms = seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(hundredths * 10)?;
    Some(Monotonic { boot, ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: i64, boot: &str, ms: u64) -> ClockReading {
        let now = Timestamp::from_millisecond(wall).unwrap();
        ClockReading { now, monotonic: Some(Monotonic { boot: boot.to_owned(), ms }) }
    }

    #[test]
    fn a_bake_is_credited_across_restarts_and_never_across_reboots() {
        let mut bake = Bake::default();
        assert!(!bake.is_over(Span::seconds(0)), "nobody has looked yet");
        bake.look(&reading(0, "a", 1_000));
        assert!(bake.is_over(Span::seconds(0)));
        bake.look(&reading(600_000, "a", 601_000));
        assert_eq!(bake.credited_ms, 600_000);
        bake.look(&reading(9_000_000, "b", 5_000));
        assert_eq!(bake.credited_ms, 600_000);
        bake.look(&reading(9_300_000, "b", 305_000));
        assert_eq!(bake.credited_ms, 900_000);
        assert!(bake.is_over(Span::seconds(900)) && !bake.is_over(Span::seconds(901)));
    }

    #[test]
    fn the_wall_clock_bakes_nothing_while_there_is_a_better_one() {
        let mut bake = Bake::default();
        bake.look(&reading(0, "a", 0));
        bake.look(&reading(3_600_000, "a", 1_000));
        assert_eq!(bake.credited_ms, 1_000);
    }

    #[test]
    fn without_a_monotonic_clock_the_wall_clock_proves_nothing() {
        let at = |second| ClockReading { now: Timestamp::from_second(second).unwrap(), monotonic: None };
        let mut bake = Bake::default();
        bake.look(&at(0));
        bake.look(&at(3_600));
        assert_eq!(bake.credited_ms, 0);
        // So each process has one of its own, that no other process goes on with.
        let (first, second) = (of_this_process(), of_this_process());
        assert!(first.boot == second.boot && first.ms <= second.ms);
        assert_ne!(Some(first.boot), of_this_boot().map(|here| here.boot));
    }

    #[test]
    fn jumps_are_noticed_both_ways_and_a_reboot_is_none() {
        let before = reading(1_000_000_000, "a", 1_000_000);
        assert!(!reading(1_000_060_000, "a", 1_060_000).jumped_since(&before));
        assert!(reading(1_000_960_000, "a", 1_060_000).jumped_since(&before));
        assert!(reading(999_000_000, "a", 1_060_000).jumped_since(&before));
        assert!(!reading(1_009_000_000, "b", 5_000).jumped_since(&before));
        assert!(reading(999_000_000, "b", 5_000).jumped_since(&before));
        assert_eq!(reading(999_000_000, "b", 5_000).at_most_ms_since(&before), u64::MAX);
    }

    #[test]
    fn a_clock_that_disagrees_is_not_believed_however_long_it_stays_and_time_is_counted_on() {
        let good = reading(1_000_000_000, "a", 1_000_000);
        for ms in [60_000, 86_400_000] {
            let ahead = reading(317_000_000_000 + i64::try_from(ms).unwrap(), "a", 1_000_000 + ms);
            let (believed, trust) = ahead.believed_after(Some(&good));
            assert_eq!(
                (believed, trust),
                (reading(1_000_000_000 + i64::try_from(ms).unwrap(), "a", 1_000_000 + ms), Trust::Doubted)
            );
        }
        let right = reading(1_000_060_000, "a", 1_060_000);
        assert_eq!(right.clone().believed_after(Some(&good)), (right.clone(), Trust::Believed));
        assert_eq!(right.clone().believed_after(None), (right, Trust::Believed));
        // After a reboot only a clock that went back is known to be wrong; at least its uptime has passed.
        let (believed, trust) = reading(5_000, "b", 9_000).believed_after(Some(&good));
        assert_eq!((believed.now, trust), (Timestamp::from_millisecond(1_000_009_000).unwrap(), Trust::Doubted));
        assert_eq!(reading(9_000_000_000, "b", 9_000).believed_after(Some(&good)).1, Trust::Believed);
    }

    #[test]
    fn this_machine_has_clocks() {
        let first = read_clocks();
        let second = read_clocks();
        assert!(!second.jumped_since(&first));
    }
}
