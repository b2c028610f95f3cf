//! Count-ratio gates: bad events of all events, compared with the baseline's while both grow.
//!
//! Each slot asks for the counts of the whole tier so far, so that a slot at which nobody looked loses no error.

use super::{
    blocks::Blocks,
    comparison::Comparing,
    counted::{Counted, Served, aggregate, minimum},
    limits::{AbsoluteLimits, LimitState, Weighing},
    reading::{Figures, Reading, Says, SlotReading, TierGate},
    report::Aggregate,
    watch::Slot,
    words,
};

/// Reads the slots of a count-ratio gate.
pub(super) fn read(tier_gate: &TierGate<'_>, slots: &[Slot]) -> Reading {
    let (minimum, least) = minimum(tier_gate);
    let mut reading = Reading { minimum: Some(minimum), ..Reading::default() };
    let mut tier = CountTier {
        of: tier_gate,
        least,
        limits: AbsoluteLimits::new(tier_gate),
        blocks: Blocks::default(),
        comparing: Comparing::new(tier_gate, least),
        served: Served::default(),
    };
    for (index, slot) in slots.iter().enumerate() {
        // Of the newest slot all figures are wanted.
        tier.comparing.newest = index + 1 == slots.len();
        let mut figures = Figures::default();
        let says = tier.slot(slot, &mut figures, &mut reading);
        let figures = Some(figures).filter(|figures| *figures != Figures::default());
        reading.slots.push(SlotReading { number: slot.number, at: slot.at, says, figures });
    }
    reading.marks.extend(tier.served.mark());
    reading.awaited = tier.comparing.awaits().then(|| tier_gate.baked());
    reading
}

/// One tier, slot by slot.
struct CountTier<'a> {
    of: &'a TierGate<'a>,
    least: f64,
    limits: AbsoluteLimits,
    blocks: Blocks<1>,
    comparing: Comparing<'a>,
    served: Served,
}

impl CountTier<'_> {
    fn slot(&mut self, slot: &Slot, figures: &mut Figures, reading: &mut Reading) -> Says {
        let (candidate, baseline) = self.comparing.counts(slot);
        let candidate = match candidate {
            Counted::Known(counts) => counts,
            Counted::TotalOnly(total) => {
                figures.candidate = Aggregate { total: Some(total), ..Aggregate::default() };
                let total = words::count(total);
                return Says::Partial(format!("{total} of {} events, and nothing counts the bad ones yet", self.least));
            }
            unknown @ (Counted::NoneBad(_) | Counted::Unknown(..)) => return unknown.says(),
        };
        figures.candidate = aggregate(candidate);
        self.served.see(self.of, slot, candidate.total);
        reading.marks.extend(self.blocks.add(self.of, slot, [candidate]));
        let [blocks] = &self.blocks.counts;
        let limit = self.limits.hold(candidate, self.least, Weighing::Blocks(blocks));
        if let LimitState::Broken(why) = limit {
            return Says::Harm(why);
        }
        let few = |why: &str| Says::Few(format!("{}; {why}", words::counts(candidate)));
        match (self.comparing.slot(slot, (candidate, baseline), figures, reading), limit) {
            (Says::Unknown(why, cause), _) => Says::Unknown(why, cause),
            (Says::Harm(why), _) => Says::Harm(format!("{}{why}", words::counts(candidate))),
            (_, LimitState::NoNumber) => Says::no_number(),
            _ if candidate.total < self.least => {
                let total = words::count(candidate.total);
                Says::Few(format!("{total} of {} events; {}", self.least, words::counts(candidate)))
            }
            (_, LimitState::Beyond(why)) => Says::Few(why),
            (Says::Few(why) | Says::Partial(why), _) => few(&why),
            (Says::Fine(why), _) => match self.served.silent_since(self.of, slot) {
                Some(since) => Says::Few(format!("no event was counted since {since}; {}", words::counts(candidate))),
                None => Says::Fine(format!("{}{why}", words::counts(candidate))),
            },
        }
    }
}
