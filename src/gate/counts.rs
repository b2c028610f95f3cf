//! Count-ratio gates: bad events of all events, compared with the baseline's while both grow.
//!
//! Each slot asks for the counts of the whole tier so far, so that a slot at which nobody looked loses no error.

use jiff::Timestamp;

use crate::model::policy::{Absolute, Gate, Source, Worse};

use super::{
    conclude::{Bench, Cause, Reading, Says},
    context::Recorded,
    measure::Value,
    question::compares,
    report::{Aggregate, Comparison},
    slot::later,
    stats::counts::{certifying, ln_e_more},
    watch::{Part, Query, Side, Slot},
};

/// The confidence with which a default minimum of samples without failure would certify a limit.
const CONFIDENCE: f64 = 0.95;
/// The share of bad events that the default minimum certifies where the gate has no absolute limit.
const CERTIFIED: f64 = 0.01;
/// Prometheus extrapolates what it counts to the edges of a window, so that a count may fall a little as its window
/// grows; less than this of what was counted before is no such fall.
const EXTRAPOLATED: f64 = 1.0 / 3.0;
/// What rounding may add to a sum.
const ROUNDING: f64 = 1e-9;

/// Bad events of all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counts {
    pub(super) bad: f64,
    pub(super) total: f64,
}

impl Counts {
    fn share(self) -> f64 {
        if self.total > 0.0 { self.bad / self.total } else { 0.0 }
    }

    fn aggregate(self) -> Aggregate {
        Aggregate { bad: Some(self.bad), total: Some(self.total), summary: None }
    }
}

/// What a slot's two answers come to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Counted {
    /// Both are known.
    Known(Counts),
    /// The total is there and below its minimum, and nothing counts the bad.
    TotalOnly(f64),
    /// Nothing may be concluded.
    Unknown(String, Cause),
}

/// How many events a PASS needs, as a number to compare counts with. By default as many as, without a single bad one,
/// would certify the absolute limit, or 1 %, with a confidence of 95 %.
pub(super) fn minimum(bench: &Bench<'_>) -> (u64, f64) {
    let certified = |gate: &Gate| {
        let limit = gate.absolute.and_then(|absolute| absolute.max).map(crate::model::policy::Decimal::get);
        let limit = limit.filter(|limit| *limit > 0.0 && *limit < 1.0).unwrap_or(CERTIFIED);
        // Between 1 and a few hundred thousand for any limit that makes sense; more is capped.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let needed = certifying(limit, CONFIDENCE).clamp(1.0, f64::from(u32::MAX)) as u32;
        needed
    };
    let minimum = bench.raised(bench.gate.min.total.unwrap_or_else(|| certified(bench.gate)));
    #[allow(clippy::cast_precision_loss)]
    (minimum, minimum as f64)
}

/// What a slot's answers say of one side. Only a missing `bad`, with the total there and at its minimum, counts as zero.
pub(super) fn counted(slot: &Slot, part: Part, minimum: f64) -> Counted {
    let total = match number(slot, Part { query: Query::Total, ..part }) {
        Number::Known(total) => total,
        Number::Missing => return Counted::Unknown(format!("{}: no data", what(part, "total")), Cause::Silence),
        Number::Unknown(why, cause) => return Counted::Unknown(format!("{}: {why}", what(part, "total")), cause),
    };
    match number(slot, Part { query: Query::Bad, ..part }) {
        Number::Known(bad) if bad > total * (1.0 + ROUNDING) + ROUNDING => {
            let why = format!("{bad} bad of {total} in all cannot be");
            Counted::Unknown(format!("{}: {why}", what(part, "counts")), Cause::Silence)
        }
        Number::Known(bad) => Counted::Known(Counts { bad, total }),
        Number::Missing if total >= minimum => Counted::Known(Counts { bad: 0.0, total }),
        Number::Missing => Counted::TotalOnly(total),
        Number::Unknown(why, cause) => Counted::Unknown(format!("{}: {why}", what(part, "bad")), cause),
    }
}

enum Number {
    Known(f64),
    Missing,
    Unknown(String, Cause),
}

fn number(slot: &Slot, part: Part) -> Number {
    match slot.value(part) {
        Some(Value::Number(number)) if number.is_finite() && *number >= 0.0 => Number::Known(*number),
        Some(Value::Number(number)) => Number::Unknown(format!("{number} is no count"), Cause::Silence),
        Some(Value::Nothing) => Number::Missing,
        Some(Value::Invalid(why)) => Number::Unknown(why.clone(), Cause::Silence),
        Some(Value::Failed(why)) => Number::Unknown(why.clone(), Cause::Provider),
        Some(Value::Observations(_) | Value::Summarized(_)) => {
            Number::Unknown("observations where a count was expected".to_owned(), Cause::Silence)
        }
        None => Number::Unknown("it was not asked for".to_owned(), Cause::Silence),
    }
}

fn what(part: Part, query: &str) -> String {
    let side = match part.side {
        Side::Candidate => "candidate",
        Side::Baseline => "baseline",
    };
    part.window.map_or_else(|| format!("{side} {query}"), |window| format!("{side} {query} over {window}"))
}

/// Reads the slots of a count-ratio gate.
pub(super) fn read(bench: &Bench<'_>, slots: &[Slot]) -> Reading {
    let (minimum, least) = minimum(bench);
    let mut reading = Reading { minimum: Some(minimum), ..Reading::default() };
    let mut tier = Tier { bench, least, highest: [None, None], grew: None, looks: 0, looked_at: 0.0, blind: None };
    for slot in slots {
        let looks = tier.looks;
        let says = tier.slot(slot, &mut reading);
        if tier.looks > looks {
            reading.decisive.insert(slot.number);
        }
        reading.says.push((slot.number, slot.at, says));
    }
    reading
}

/// The parts of a count-ratio gate.
pub(super) fn part(side: Side) -> Part {
    Part { side, query: Query::Total, window: None }
}

/// One tier, slot by slot.
struct Tier<'a> {
    bench: &'a Bench<'a>,
    least: f64,
    /// The highest counts so far, the candidate's and the baseline's.
    highest: [Option<Counts>; 2],
    /// When the candidate's events last became more, and how many they were then.
    grew: Option<(Timestamp, f64)>,
    /// How often a recorded baseline has been looked at, and how many events the candidate had then.
    looks: i32,
    looked_at: f64,
    /// Why the last such look could not have noticed harm, if it could not: until the next one nothing more is known.
    blind: Option<String>,
}

impl Tier<'_> {
    fn slot(&mut self, slot: &Slot, reading: &mut Reading) -> Says {
        let candidate = match self.growing(counted(slot, part(Side::Candidate), self.least), Side::Candidate) {
            Counted::Known(counts) => counts,
            Counted::TotalOnly(total) => {
                reading.candidate = Aggregate { bad: None, total: Some(total), summary: None };
                return Says::Partial(format!(
                    "{total:.0} of {} events, and nothing counts the bad ones yet",
                    self.least
                ));
            }
            Counted::Unknown(why, cause) => return Says::Unknown(why, cause),
        };
        reading.candidate = candidate.aggregate();
        if self.grew.is_none_or(|(_, then)| candidate.total - then >= 1.0) {
            self.grew = Some((slot.at, candidate.total));
        }
        let broken = self.bench.gate.absolute.and_then(|limits| broken(limits, candidate, self.least));
        if let Some(why) = broken {
            return Says::Harm(why);
        }
        match self.compare(slot, candidate, reading) {
            Compared::Harm(why) => Says::Harm(why),
            Compared::Unknown(why, cause) => Says::Unknown(why, cause),
            _ if candidate.total < self.least => {
                Says::Few(format!("{:.0} of {} events; {}", candidate.total, self.least, in_words(candidate)))
            }
            Compared::Few(why) => Says::Few(format!("{}; {why}", in_words(candidate))),
            Compared::Fine(_) if self.stands_still(slot, candidate) => {
                let since = self.grew.map(|(at, _)| format!(" since {at}")).unwrap_or_default();
                Says::Few(format!("no event was counted{since}; {}", in_words(candidate)))
            }
            Compared::Fine(why) => Says::Fine(format!("{}{why}", in_words(candidate))),
        }
    }

    /// Whether nothing new was counted for as long as a look may be relied on. What stopped serving goes on to look as well
    /// as it did when it last served. At the last tier there is nobody else who would serve, and nowhere to go from there.
    fn stands_still(&self, slot: &Slot, candidate: Counts) -> bool {
        let until = self.grew.map(|(at, _)| later(at, self.bench.gate.evidence_ttl));
        candidate.total > 0.0 && !self.bench.context.last && until.is_some_and(|until| slot.at > until)
    }

    /// Counts of a tier only grow: one that fell was begun anew somewhere, and what it counted before is lost.
    fn growing(&mut self, counted: Counted, side: Side) -> Counted {
        let Counted::Known(now) = counted else { return counted };
        let index = usize::from(side == Side::Baseline);
        let Some(highest) = self.highest.get_mut(index) else { return counted };
        let kept = if self.bench.gate.source == Source::Prometheus { EXTRAPOLATED } else { 1.0 };
        let fell = |now: f64, before: f64| now < before * kept - ROUNDING && before - now >= 1.0;
        if let Some(before) = highest
            && (fell(now.total, before.total) || (kept >= 1.0 && fell(now.bad, before.bad)))
        {
            let why = format!(
                "counter reset: {:.0} bad of {:.0} after {:.0} of {:.0} in the same tier",
                now.bad, now.total, before.bad, before.total
            );
            return Counted::Unknown(format!("{}: {why}", what(part(side), "counts")), Cause::Silence);
        }
        let before = highest.unwrap_or(now);
        *highest = Some(Counts { bad: now.bad.max(before.bad), total: now.total.max(before.total) });
        counted
    }

    fn compare(&mut self, slot: &Slot, candidate: Counts, reading: &mut Reading) -> Compared {
        let Some(alpha) = self.bench.alpha() else { return Compared::Fine(String::new()) };
        if compares(self.bench.gate, self.bench.context) {
            let baseline = match self.growing(counted(slot, part(Side::Baseline), self.least), Side::Baseline) {
                Counted::Known(counts) => counts,
                Counted::TotalOnly(total) => {
                    let why = format!("baseline: {total:.0} of {} events, and nothing counts the bad ones", self.least);
                    return Compared::Few(why);
                }
                Counted::Unknown(why, cause) => return Compared::Unknown(why, cause),
            };
            return self.weigh(candidate, baseline, alpha, reading);
        }
        let Some(Recorded::Counts { bad, total }) = self.bench.context.recorded.get(self.bench.id) else {
            return Compared::Fine("; there is nothing to compare with".to_owned());
        };
        // What does not grow with the candidate is no fair bet at any time. So it is looked at only when the candidate's
        // events have doubled, each time for half of the false alarms that are left.
        if candidate.total >= self.least && candidate.total >= 2.0 * self.looked_at {
            self.looks += 1;
            self.looked_at = candidate.total;
            let alpha = alpha * 0.5_f64.powi(self.looks);
            let compared = self.weigh(candidate, Counts { bad: *bad, total: *total }, alpha, reading);
            self.blind = if let Compared::Few(why) = &compared { Some(why.clone()) } else { None };
            return compared;
        }
        match &self.blind {
            Some(why) => Compared::Few(why.clone()),
            None => Compared::Fine("; as the recorded baseline said".to_owned()),
        }
    }

    /// Weighs two counts.
    fn weigh(&self, candidate: Counts, baseline: Counts, alpha: f64, reading: &mut Reading) -> Compared {
        reading.baseline = Some(baseline.aggregate());
        if candidate.total <= 0.0 || baseline.total <= 0.0 {
            return Compared::Few("there is nothing to compare yet".to_owned());
        }
        let evidence = self.evidence(candidate, baseline);
        let needed = (1.0 / alpha).ln();
        let ratio = (baseline.bad > 0.0).then(|| candidate.share() / baseline.share());
        let exp = |ln: f64| ln.exp().min(f64::MAX);
        reading.comparison = Some(Comparison::EValue { e_value: exp(evidence), needed: exp(needed), ratio });
        let against = format!(
            " against {} of the baseline (E {:.3} of {:.0})",
            percent(baseline.share()),
            exp(evidence),
            exp(needed)
        );
        if evidence >= needed && self.is_much(ratio) {
            return Compared::Harm(format!("{}{against}", in_words(candidate)));
        }
        // A comparison that would not notice the worst is none.
        if self.evidence(Counts { bad: self.alarming(candidate, baseline), ..candidate }, baseline) < needed {
            return Compared::Few(format!("too few to notice harm{against}"));
        }
        Compared::Fine(against)
    }

    /// The evidence for harm, as a natural logarithm.
    fn evidence(&self, candidate: Counts, baseline: Counts) -> f64 {
        let rho = candidate.total / (candidate.total + baseline.total);
        match self.bench.gate.worse {
            Worse::Higher => ln_e_more(candidate.bad, baseline.bad, rho),
            Worse::Lower => ln_e_more(baseline.bad, candidate.bad, 1.0 - rho),
        }
    }

    /// Whether the ratio of the two rates is beyond what is put up with.
    fn is_much(&self, ratio: Option<f64>) -> bool {
        let Some(limit) = self.bench.gate.compare.and_then(|compare| compare.max_ratio) else { return true };
        match (self.bench.gate.worse, ratio) {
            (Worse::Higher, Some(ratio)) => ratio > limit.get(),
            (Worse::Higher, None) => true,
            (Worse::Lower, Some(ratio)) => ratio < 1.0 / limit.get(),
            (Worse::Lower, None) => false,
        }
    }

    /// How many bad events a comparison must be able to notice: one in ten, or three times the baseline's rate; where
    /// less is worse, none at all.
    fn alarming(&self, candidate: Counts, baseline: Counts) -> f64 {
        match self.bench.gate.worse {
            Worse::Higher => candidate.total * (3.0 * baseline.share()).clamp(0.1, 1.0),
            Worse::Lower => 0.0,
        }
    }
}

enum Compared {
    Fine(String),
    Few(String),
    Unknown(String, Cause),
    Harm(String),
}

/// How a share is beyond its limits. Below the minimum of events only what no good event up to it could mend is.
pub(super) fn broken(limits: Absolute, counts: Counts, least: f64) -> Option<String> {
    let at_best = counts.bad / counts.total.max(least).max(1.0);
    if let Some(max) = limits.max.filter(|max| at_best > max.get()) {
        return Some(format!("{} is above the limit of {}", in_words(counts), percent(max.get())));
    }
    let min = limits.min.filter(|min| counts.total >= least && counts.share() < min.get())?;
    Some(format!("{} is below the limit of {}", in_words(counts), percent(min.get())))
}

fn in_words(counts: Counts) -> String {
    format!("{:.0} bad of {:.0} ({})", counts.bad, counts.total, percent(counts.share()))
}

/// A share in percent, with as many digits as tell it from zero.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 0.1 { format!("{percent:.1} %") } else { format!("{percent:.2e} %") }
}
