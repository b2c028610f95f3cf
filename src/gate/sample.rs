//! Sample gates: single observations, such as latencies. Compared with the baseline's once, when the tier has baked;
//! their percentiles are held to absolute limits in every slot.

use crate::model::policy::{Absolute, Decimal, Worse};

use super::{
    conclude::{Bench, Cause, Reading, Says},
    context::Recorded,
    gauge,
    measure::Value,
    question::compares,
    report::{Aggregate, Comparison},
    slot::later,
    stats::{
        Summary,
        ranks::{mann_whitney, shift, smallest_p},
    },
    watch::{Part, Query, Side, Slot},
};

/// How many observations on each side a PASS needs where the policy does not say.
const MIN_OBSERVATIONS: u32 = 50;

/// One side's observations: in short, and whole while they may decide.
struct Observed<'a> {
    summary: Summary,
    whole: Option<&'a [f64]>,
}

/// Reads the slots of a sample gate. `forgotten` slots with data came before.
pub(super) fn read(bench: &Bench<'_>, slots: &[Slot], forgotten: u64) -> Reading {
    let least = bench.raised(bench.gate.min.n.unwrap_or(MIN_OBSERVATIONS));
    let mut reading = Reading { minimum: Some(least), ..Reading::default() };
    if baseline_of(bench) != Versus::Nothing {
        reading.not_before = Some(bench.clockwork().ground.max(later(bench.context.started, bench.context.bake)));
    }
    let mut tier = Tier { bench, least, measured: forgotten, looked: None };
    for slot in slots {
        let says = tier.slot(slot, &mut reading);
        reading.says.push((slot.number, slot.at, says));
    }
    reading
}

/// A slot's observations of the candidate in short.
pub(super) fn summary(slot: &Slot) -> Result<Summary, Says> {
    observed(slot, Side::Candidate).map(|observed| observed.summary)
}

#[derive(PartialEq)]
enum Versus<'a> {
    Nothing,
    Beside,
    Recorded(&'a [f64]),
}

/// What the candidate is compared with at this tier.
fn baseline_of<'a>(bench: &Bench<'a>) -> Versus<'a> {
    match (bench.gate.compare, bench.context.recorded.get(bench.id)) {
        (Some(_), _) if compares(bench.gate, bench.context) => Versus::Beside,
        (Some(_), Some(Recorded::Observations(observations))) => Versus::Recorded(observations),
        _ => Versus::Nothing,
    }
}

struct Tier<'a> {
    bench: &'a Bench<'a>,
    least: u64,
    /// Slots with data so far.
    measured: u64,
    /// What the one look said.
    looked: Option<Says>,
}

impl Tier<'_> {
    fn slot(&mut self, slot: &Slot, reading: &mut Reading) -> Says {
        let candidate = match observed(slot, Side::Candidate) {
            Ok(observed) => observed,
            Err(says) => return says,
        };
        reading.candidate = aggregate(candidate.summary);
        let baseline = match baseline_of(self.bench) {
            Versus::Nothing => None,
            Versus::Beside => match observed(slot, Side::Baseline) {
                Ok(observed) => Some(observed),
                Err(says) => return says,
            },
            Versus::Recorded(recorded) => {
                Summary::of(recorded).map(|summary| Observed { summary, whole: Some(recorded) })
            }
        };
        self.measured += 1;
        let enough = |summary: &Summary| u64::from(summary.count) >= self.least;
        let figures = in_words(&candidate.summary);
        if enough(&candidate.summary)
            && let Some(why) = self.bench.gate.absolute.and_then(|limits| broken(limits, &candidate.summary))
        {
            return Says::Harm(why);
        }
        if !enough(&candidate.summary) {
            return Says::Few(format!("{} of {} observations; {figures}", candidate.summary.count, self.least));
        }
        let Some(baseline) = baseline else {
            let alone = if self.bench.gate.compare.is_some() { "; there is nothing to compare with" } else { "" };
            return Says::Fine(format!("{figures}{alone}"));
        };
        reading.baseline = Some(aggregate(baseline.summary));
        if !enough(&baseline.summary) {
            return Says::Few(format!(
                "baseline: {} of {} observations; {figures}",
                baseline.summary.count, self.least
            ));
        }
        if let Some(looked) = &self.looked {
            return looked.clone();
        }
        self.look(slot, &candidate, &baseline, reading)
    }

    /// The one look, once the tier has baked.
    fn look(&mut self, slot: &Slot, candidate: &Observed<'_>, baseline: &Observed<'_>, reading: &mut Reading) -> Says {
        let figures = in_words(&candidate.summary);
        let due = later(self.bench.context.started, self.bench.context.bake);
        if slot.at < due || self.measured < self.bench.slots_needed() {
            let when = if slot.at < due { format!("at {due}") } else { "when there are enough slots".to_owned() };
            return Says::Few(format!("compared once, {when}; {figures}"));
        }
        let (Some(ours), Some(theirs), Some(alpha)) = (candidate.whole, baseline.whole, self.bench.alpha()) else {
            return Says::Unknown("the observations were not kept".to_owned(), Cause::Silence);
        };
        if smallest_p(ours.len(), theirs.len()) > alpha {
            return Says::Few(format!("too few observations to notice harm; {figures}"));
        }
        let Some(compared) = mann_whitney(ours, theirs) else {
            return Says::Unknown("there is nothing to compare".to_owned(), Cause::Silence);
        };
        let (p, effect) = match self.bench.gate.worse {
            Worse::Higher => (compared.p_greater, compared.a12),
            Worse::Lower => (compared.p_less, 1.0 - compared.a12),
        };
        reading.decisive.insert(slot.number);
        reading.comparison = Some(Comparison::MannWhitney {
            u: compared.u,
            p,
            needed: alpha,
            a12: compared.a12,
            shift: shift(ours, theirs),
            slot: slot.number,
        });
        let floor = self.bench.gate.compare.and_then(|compare| compare.min_a12).map_or(0.5, Decimal::get);
        let words = format!(
            "{figures} against {} of the baseline (p {p:.2e} of {alpha:.2e}, A12 {:.2})",
            number(baseline.summary.p50),
            compared.a12
        );
        let says = if p <= alpha && effect >= floor { Says::Harm(words) } else { Says::Fine(words) };
        self.looked = Some(says.clone());
        says
    }
}

fn observed(slot: &Slot, side: Side) -> Result<Observed<'_>, Says> {
    let name = if side == Side::Candidate { "candidate" } else { "baseline" };
    let silent = |why: &str| Says::Unknown(format!("{name}: {why}"), Cause::Silence);
    match slot.value(Part { side, query: Query::Value, window: None }) {
        Some(Value::Observations(numbers)) if numbers.iter().all(|number| number.is_finite()) => {
            let summary = Summary::of(numbers).ok_or_else(|| silent("no observations"))?;
            Ok(Observed { summary, whole: Some(numbers) })
        }
        Some(Value::Observations(_)) => Err(silent("an observation is no number")),
        Some(Value::Summarized(summary)) => Ok(Observed { summary: *summary, whole: None }),
        Some(Value::Number(_)) => Err(silent("one number where observations were expected")),
        Some(Value::Nothing) => Err(silent("no data")),
        Some(Value::Invalid(why)) => Err(silent(why)),
        Some(Value::Failed(why)) => Err(Says::Unknown(format!("{name}: {why}"), Cause::Provider)),
        None => Err(silent("it was not asked for")),
    }
}

/// How a sample is beyond its limits: 95 % of the observations are within each.
fn broken(limits: Absolute, summary: &Summary) -> Option<String> {
    let above = Absolute { min: None, ..limits };
    let below = Absolute { max: None, ..limits };
    gauge::broken(above, summary.p95, "the 95th percentile")
        .or_else(|| gauge::broken(below, summary.p5, "the 5th percentile"))
}

fn aggregate(summary: Summary) -> Aggregate {
    Aggregate { summary: Some(summary), ..Aggregate::default() }
}

fn in_words(summary: &Summary) -> String {
    format!("median {}, p95 {}", number(summary.p50), number(summary.p95))
}

/// A number with four significant digits or so.
pub(super) fn number(value: f64) -> String {
    let text = if value == 0.0 || (0.001..1e6).contains(&value.abs()) {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    };
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
