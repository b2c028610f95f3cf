//! Sample gates: single observations, such as latencies. Compared with the baseline's once, when the tier has baked;
//! their percentiles are held to absolute limits in every slot.

use crate::model::policy::{Decimal, LimitRule, Worse};

use super::{
    blocks,
    context::Recorded,
    counted::Served,
    limits::{AbsoluteLimits, BEYOND, LimitState, Percentiles},
    measure::{Observations, Value},
    question::compares,
    reading::{Cause, Figures, Reading, Says, SlotReading, TierGate},
    report::{Aggregate, Comparison},
    stats::{
        Summary,
        counts::{Counts, ln_e_above},
        dispersion::Variation,
        ranks::{effective, mann_whitney_in_order, shift, smallest_p_in_order},
    },
    watch::{Part, Query, Side, Slot},
    words,
};

/// How many observations on each side a PASS needs where the policy does not say.
const MIN_OBSERVATIONS: u32 = 50;

/// One side's observations: in short, and whole while they may decide.
struct SideSample<'a> {
    summary: Summary,
    whole: Option<&'a [f64]>,
}

/// Reads the slots of a sample gate. `forgotten` slots with data came before.
pub(super) fn read(tier_gate: &TierGate<'_>, slots: &[Slot], forgotten: u64) -> Reading {
    let least = tier_gate.raised(tier_gate.gate.min.n.unwrap_or(MIN_OBSERVATIONS));
    let mut reading = Reading { minimum: Some(least), ..Reading::default() };
    if baseline_of(tier_gate) != Versus::Nothing {
        reading.not_before = Some(tier_gate.clockwork().ground.max(tier_gate.baked()));
    }
    let limits = AbsoluteLimits::new(tier_gate);
    let mut tier = SampleTier {
        of: tier_gate,
        least,
        limits,
        measured: forgotten,
        looked: None,
        comparison: None,
        row: Vec::new(),
        served: Served::default(),
    };
    for slot in slots {
        let mut figures = Figures::default();
        let says = tier.slot(slot, &mut figures, &mut reading);
        let figures = Some(figures).filter(|figures| *figures != Figures::default());
        reading.slots.push(SlotReading { number: slot.number, at: slot.at, says, figures });
    }
    reading.marks.extend(tier.served.mark());
    reading.row.extend(tier.row);
    reading
}

/// What a slot observed of the candidate: in short, and the evidence that more than a share of the observations are beyond a value,
/// as a natural logarithm, if they were kept.
pub(super) fn beyond(
    tier_gate: &TierGate<'_>,
    slot: &Slot,
    is_beyond: impl Fn(f64) -> bool,
    share: f64,
) -> Result<(Summary, Option<f64>), Says> {
    let observed = observed(slot, Side::Candidate)?;
    Ok((observed.summary, observed.whole.map(|whole| ln_e_beyond(tier_gate, slot, whole, is_beyond, share))))
}

/// Evidence that more than a share of observations are beyond a value, as a natural logarithm. They are weighed as events are, in as
/// many parts, one after another, as the tier has had blocks. Before parts show how they vary, what resembles the ones before it is
/// taken for one, up to all of a part.
fn ln_e_beyond(
    tier_gate: &TierGate<'_>,
    slot: &Slot,
    observations: &[f64],
    is_beyond: impl Fn(f64) -> bool,
    share: f64,
) -> f64 {
    let parts = usize::try_from(blocks::number(tier_gate, slot)).unwrap_or(usize::MAX).saturating_add(1);
    let length = observations.len().div_ceil(parts).max(1);
    #[allow(clippy::cast_precision_loss, reason = "there are 20,000 at most")]
    let part = |part: &[f64]| {
        let bad = part.iter().filter(|value| is_beyond(**value)).count();
        Counts { bad: bad as f64, total: part.len() as f64 }
    };
    let parts: Vec<Counts> = observations.chunks(length).map(part).collect();
    #[allow(clippy::cast_precision_loss, reason = "there are 20,000 at most")]
    let resembling = (1.0 / effective(observations)).min(length as f64);
    ln_e_above(&parts, Variation::default(), resembling, share)
}

#[derive(PartialEq)]
enum Versus<'a> {
    Nothing,
    Beside,
    Recorded(&'a [f64]),
}

/// What the candidate is compared with at this tier.
fn baseline_of<'a>(tier_gate: &TierGate<'a>) -> Versus<'a> {
    match (tier_gate.gate.compare, tier_gate.context.recorded.get(tier_gate.id)) {
        (Some(_), _) if compares(tier_gate.gate, tier_gate.context) => Versus::Beside,
        (Some(_), Some(Recorded::Observations(observations))) => Versus::Recorded(observations),
        _ => Versus::Nothing,
    }
}

struct SampleTier<'a> {
    of: &'a TierGate<'a>,
    least: u64,
    limits: AbsoluteLimits,
    /// Slots with data so far.
    measured: u64,
    /// What the one look said, and showed.
    looked: Option<Says>,
    comparison: Option<Comparison>,
    /// The slots in which a limit was broken that takes more of them in a row.
    row: Vec<u64>,
    served: Served,
}

impl SampleTier<'_> {
    fn slot(&mut self, slot: &Slot, figures: &mut Figures, reading: &mut Reading) -> Says {
        let candidate = match observed(slot, Side::Candidate) {
            Ok(observed) => observed,
            Err(says) => return says,
        };
        self.served.see(self.of, slot, count(made(&candidate.summary)));
        figures.candidate = aggregate(&candidate);
        figures.comparison = self.comparison;
        // A limit that is broken is broken whatever is known of the baseline.
        let limit = self.hold(slot, &candidate);
        if self.limits.is_in_a_row() {
            self.row.push(slot.number);
        } else {
            self.row.clear();
        }
        if let LimitState::Broken(why) = limit {
            self.measured += 1;
            return Says::Harm(why);
        }
        let baseline = match baseline_of(self.of) {
            Versus::Nothing => None,
            Versus::Beside => match observed(slot, Side::Baseline) {
                Ok(observed) => Some(observed),
                Err(says) => return says,
            },
            Versus::Recorded(recorded) => {
                let observed = |summary| SideSample { summary, whole: Some(recorded) };
                Summary::of(recorded).map(observed)
            }
        };
        self.measured += 1;
        figures.baseline = baseline.as_ref().map(aggregate);
        let enough = |summary: &Summary| made(summary) >= self.least;
        let words = in_words(&candidate);
        if limit == LimitState::NoNumber {
            return Says::no_number();
        }
        if !enough(&candidate.summary) {
            return Says::Few(format!("{} of {} observations; {words}", made(&candidate.summary), self.least));
        }
        if let Some(baseline) = baseline.as_ref().filter(|baseline| !enough(&baseline.summary)) {
            return Says::Few(format!("baseline: {} of {} observations; {words}", made(&baseline.summary), self.least));
        }
        let says = match (baseline, &self.looked) {
            (None, _) => {
                let alone = if self.of.gate.compare.is_some() { "; there is nothing to compare with" } else { "" };
                Says::Fine(format!("{words}{alone}"))
            }
            (Some(_), Some(looked)) => looked.clone(),
            (Some(baseline), None) => self.look(slot, &candidate, &baseline, reading),
        };
        figures.comparison = self.comparison;
        match (says, limit, self.served.silent_since(self.of, slot)) {
            (Says::Fine(_), LimitState::Beyond(why), _) => Says::Few(why),
            (Says::Fine(words), _, Some(since)) => Says::Few(format!("nothing was observed since {since}; {words}")),
            (says, ..) => says,
        }
    }

    /// Holds the candidate's observations to the absolute limits. A point needs the minimum of them.
    fn hold(&mut self, slot: &Slot, candidate: &SideSample<'_>) -> LimitState {
        let Some(absolute) = self.of.gate.absolute else { return LimitState::Kept };
        if absolute.rule == Some(LimitRule::Point) && made(&candidate.summary) < self.least {
            return LimitState::Kept;
        }
        let tier_gate = self.of;
        let above =
            |max: Decimal| Some(ln_e_beyond(tier_gate, slot, candidate.whole?, |value| value > max.get(), BEYOND));
        let below =
            |min: Decimal| Some(ln_e_beyond(tier_gate, slot, candidate.whole?, |value| value < min.get(), BEYOND));
        self.limits.hold_percentiles(Percentiles {
            p5: candidate.summary.p5,
            p95: candidate.summary.p95,
            above: absolute.max.and_then(above),
            below: absolute.min.and_then(below),
        })
    }

    /// The one look, once the tier has baked.
    fn look(
        &mut self,
        slot: &Slot,
        candidate: &SideSample<'_>,
        baseline: &SideSample<'_>,
        reading: &mut Reading,
    ) -> Says {
        let words = in_words(candidate);
        let due = self.of.baked();
        if slot.at < due || self.measured < self.of.slots_needed() {
            let when = if slot.at < due { format!("at {due}") } else { "when there are enough slots".to_owned() };
            return Says::Few(format!("compared once, {when}; {words}"));
        }
        let Some(alpha) = self.of.budget.comparison(self.of.gate) else { return Says::Fine(words) };
        let too_few = || Says::Few(format!("too few observations to notice harm; {words}"));
        // Only what was looked at is kept whole, so this slot was not: it had too few.
        let (Some(ours), Some(theirs)) = (candidate.whole, baseline.whole) else { return too_few() };
        if smallest_p_in_order(ours, theirs) > alpha {
            return too_few();
        }
        let Some(compared) = mann_whitney_in_order(ours, theirs) else { return too_few() };
        let (p, effect) = match self.of.gate.worse {
            Worse::Higher => (compared.p_greater, compared.a12),
            Worse::Lower => (compared.p_less, 1.0 - compared.a12),
        };
        if p.is_nan() || effect.is_nan() {
            return Says::no_number();
        }
        reading.decisive.insert(slot.number);
        self.comparison = Some(Comparison::MannWhitney {
            u: compared.u,
            p,
            needed: alpha,
            a12: compared.a12,
            shift: shift(ours, theirs),
            slot: slot.number,
        });
        let floor = self.of.gate.compare.and_then(|compare| compare.min_a12).map_or(0.5, Decimal::get);
        let words = format!(
            "{words} against {} of the baseline{} (p {p:.2e} of {alpha:.2e}, A12 {:.2})",
            words::number(baseline.summary.p50),
            sampled(baseline),
            compared.a12
        );
        let says = if p <= alpha && effect >= floor { Says::Harm(words) } else { Says::Fine(words) };
        self.looked = Some(says.clone());
        says
    }
}

fn observed(slot: &Slot, side: Side) -> Result<SideSample<'_>, Says> {
    let name = if side == Side::Candidate { "candidate" } else { "baseline" };
    let silent = |why: &str| Says::Unknown(format!("{name}: {why}"), Cause::Silence);
    match slot.value(Part { side, query: Query::Value, window: None }) {
        Some(Value::Observations(observations)) if is_finite(observations) => {
            let summary = observations.summary().ok_or_else(|| silent("no observations"))?;
            Ok(SideSample { summary, whole: Some(observations.values()) })
        }
        Some(Value::Observations(_)) => Err(silent("an observation is no number")),
        Some(Value::Summarized(summary)) => Ok(SideSample { summary: *summary, whole: None }),
        Some(Value::Number(_)) => Err(silent("one number where observations were expected")),
        Some(Value::Nothing) => Err(silent("no data")),
        Some(Value::Invalid(why)) => Err(silent(why)),
        Some(Value::Failed(why)) => Err(Says::Unknown(format!("{name}: {why}"), Cause::Provider)),
        None => Err(silent("it was not asked for")),
    }
}

/// How many observations there were, of which those that are known may be a sample.
fn made(summary: &Summary) -> u64 {
    summary.sampled_of.unwrap_or(u64::from(summary.count))
}

#[allow(clippy::cast_precision_loss, reason = "as many as there are bytes of an answer, at most")]
fn count(number: u64) -> f64 {
    number as f64
}

fn is_finite(observations: &Observations) -> bool {
    observations.values().iter().all(|number| number.is_finite())
}

fn aggregate(observed: &SideSample<'_>) -> Aggregate {
    Aggregate { summary: Some(observed.summary), ..Aggregate::default() }
}

fn in_words(observed: &SideSample<'_>) -> String {
    let Summary { p50, p95, .. } = observed.summary;
    format!("median {}, p95 {}{}", words::number(p50), words::number(p95), sampled(observed))
}

/// Of how many observations these are a sample.
fn sampled(observed: &SideSample<'_>) -> String {
    let Summary { count, sampled_of, .. } = observed.summary;
    sampled_of.map(|of| format!(", by a sample of {count} of {of}")).unwrap_or_default()
}
