//! Gates as policies write them: health conditions that tiers must pass.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Decimal;

use crate::model::document::{At, Position, Problems, Span, Whole, Word};

/// The variables that queries may name, as in `{{candidate}}`. Any other is an error.
pub const QUERY_VARIABLES: [&str; 8] =
    ["candidate", "stable", "window", "target", "lease", "tier", "candidate-pool", "stable-pool"];
/// How variables begin that are of the lease: a label's value, and an artifact's digest, each by its name.
pub const LEASE_VARIABLES: [&str; 2] = ["label.", "artifact."];

/// A health condition over metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Gate {
    /// Where the measurements come from.
    pub source: Source,
    /// What is measured.
    pub kind: GateKind,
    /// Which way is harm.
    pub worse: Worse,
    /// The candidate's queries.
    #[serde(default, skip_serializing_if = "Queries::is_empty")]
    pub candidate: Queries,
    /// What the candidate is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// What is thrown away after each shift.
    pub settle: Span,
    /// The time from one slot to the next; slot k is at tier start + settle + k × interval. Never zero.
    pub interval: Span,
    /// What a PASS needs at least.
    #[serde(default, skip_serializing_if = "Minimum::is_empty")]
    pub min: Minimum,
    /// The comparison with the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
    /// Limits whatever the baseline says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute: Option<Absolute>,
    /// What no data means.
    pub no_data: NoData,
    /// How long evidence may be relied on.
    pub evidence_ttl: Span,
    /// How long the verdict may stay open before the rollout is rolled back.
    pub inconclusive_deadline: Span,
    /// The service level objective in percent, above 0 and below 100; burn-rate gates have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Decimal>,
    /// The windows of a burn-rate gate, at least one; other gates have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<BurnWindow>,
}

/// Where measurements come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A Prometheus server.
    Prometheus,
    /// A JSON file.
    File,
    /// A program.
    Exec,
}

impl Source {
    /// The word in policies and configurations.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::File => "file",
            Self::Exec => "exec",
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateKind {
    /// Bad events of all events.
    CountRatio,
    /// Single observations, such as latencies.
    Sample,
    /// One value at a time.
    Gauge,
    /// How fast an error budget is spent.
    BurnRate,
}

/// Which way is harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Worse {
    /// More is worse.
    #[default]
    Higher,
    /// Less is worse.
    Lower,
}

/// What no data means for a verdict; it is never PASS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoData {
    /// The verdict stays open, until the deadline.
    #[default]
    Inconclusive,
    /// The gate fails.
    Fail,
}

/// Query texts. What they are in is the source's language; `{{…}}` names one of [`QUERY_VARIABLES`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queries {
    /// Counts what is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    /// Counts all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Gives observations or the one value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Queries {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Those that are there.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        [&self.bad, &self.total, &self.value].into_iter().filter_map(|query| query.as_deref())
    }
}

/// What the candidate is compared with: a version for the same queries, or queries of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// What `{{candidate}}` becomes in the candidate's queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Counts what is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    /// Counts all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Gives observations or the one value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// What a PASS needs at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Minimum {
    /// Events of the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Slots with data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Observations on each side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
}

impl Minimum {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A comparison with the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Compare {
    /// The test.
    pub test: Test,
    /// The most of the policy's `false-alarms` that this comparison may take over a whole lease, above 0 and below 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Decimal>,
    /// The ratio of the two rates that is put up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ratio: Option<Decimal>,
    /// The smallest effect that counts, 0.5 to 1: the probability that one side exceeds the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_a12: Option<Decimal>,
}

/// A statistical test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// Counts, valid at any time.
    EValue,
    /// Observations, once a tier.
    MannWhitney,
}

/// Limits whatever the baseline says; a value beyond one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Absolute {
    /// The largest good value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Decimal>,
    /// The smallest good value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Decimal>,
    /// What breaks a limit; by default `test`, for a gauge `point`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<LimitRule>,
    /// In how many measured slots in a row it has to be broken; by default 1.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
}

/// What breaks a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LimitRule {
    /// Evidence that the rate is beyond the limit, and not only what was measured: for what is counted.
    Test,
    /// A measured value beyond the limit.
    Point,
}

impl LimitRule {
    /// The rule for a kind of gate where the policy does not say.
    pub fn usual(kind: GateKind) -> Self {
        if kind == GateKind::Gauge { Self::Point } else { Self::Test }
    }
}

/// A pair of windows, both of which must burn faster than the factor: `[5m, 1h, 14.4]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(Span, Span, Decimal)", into = "(Span, Span, Decimal)")]
#[schemars(inline, with = "(Span, Span, Decimal)")]
pub struct BurnWindow {
    /// The short window.
    pub short: Span,
    /// The long window.
    pub long: Span,
    /// How many times faster than sustainable.
    pub factor: Decimal,
}

impl From<(Span, Span, Decimal)> for BurnWindow {
    fn from((short, long, factor): (Span, Span, Decimal)) -> Self {
        Self { short, long, factor }
    }
}

impl From<BurnWindow> for (Span, Span, Decimal) {
    fn from(window: BurnWindow) -> Self {
        (window.short, window.long, window.factor)
    }
}

/// A health condition over metrics.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Gate")]
pub(super) struct RawGate {
    /// Where the measurements come from.
    source: Source,
    /// What is measured.
    kind: At<GateKind>,
    /// Which way is harm; by default `higher`.
    #[serde(default)]
    worse: Worse,
    /// The candidate's queries.
    candidate: Option<At<Queries>>,
    /// What the candidate is compared with.
    baseline: Option<At<Baseline>>,
    /// What is thrown away after each shift; by default `60s`.
    settle: Option<Word<Span>>,
    /// The time from one slot to the next; by default `1m`.
    interval: Option<Word<Span>>,
    /// What a PASS needs at least.
    min: Option<RawMinimum>,
    /// The comparison with the baseline: e-value for count-ratio, mann-whitney for sample.
    compare: Option<At<Compare>>,
    /// Limits whatever the baseline says.
    absolute: Option<At<Absolute>>,
    /// What no data means; by default `inconclusive`.
    #[serde(default)]
    no_data: NoData,
    /// How long evidence may be relied on; by default `10m`.
    evidence_ttl: Option<Word<Span>>,
    /// How long the verdict may stay open before the rollout is rolled back; by default `30m`.
    inconclusive_deadline: Option<Word<Span>>,
    /// The service level objective in percent, for burn-rate.
    objective: Option<At<Decimal>>,
    /// For burn-rate: short window, long window, factor; by default `[5m, 1h, 14.4]` and `[30m, 6h, 6]`.
    windows: Option<Vec<At<BurnWindow>>>,
}

/// What a PASS needs at least.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Minimum")]
struct RawMinimum {
    /// Events of the candidate.
    #[schemars(range(min = 1))]
    total: Option<At<Whole>>,
    /// Slots with data.
    #[schemars(range(min = 1))]
    slots: Option<At<Whole>>,
    /// Observations on each side.
    #[schemars(range(min = 1))]
    n: Option<At<Whole>>,
}

/// A raw gate's valid form.
pub(super) fn gate(raw: RawGate, place: Position, problems: &mut Problems) -> Option<Gate> {
    let kind = raw.kind.value;
    if let Some(candidate) = &raw.candidate {
        queries(&candidate.value, kind, candidate.place, problems);
    }
    if let Some(baseline) = &raw.baseline {
        let Baseline { version, bad, total, value } = baseline.value.clone();
        let own = Queries { bad, total, value };
        if version.is_some() == own.is_empty() {
            queries(&own, kind, baseline.place, problems);
        } else {
            problems.malformed(
                baseline.place,
                "a baseline has a `version` for the candidate's queries, or its own queries",
            );
        }
    }
    if let Some(compare) = &raw.compare {
        comparison(compare, kind, problems);
    }
    if let Some(absolute) = &raw.absolute {
        let Absolute { max, min, rule, slots } = absolute.value;
        if rule == Some(LimitRule::Test) && kind == GateKind::Gauge {
            problems.malformed(absolute.place, "a gauge's single values are no rate to test: its `rule` is `point`");
        }
        if slots == Some(0) {
            problems.malformed(absolute.place, "a limit is broken in at least one slot");
        }
        if max.is_none() && min.is_none() || matches!((min, max), (Some(min), Some(max)) if min > max) {
            problems.malformed(absolute.place, "`absolute` has a `max`, a `min`, or both with `min` not above `max`");
        }
    }
    let windows = burn_windows(kind, raw.objective, raw.windows, place, problems);
    if kind != GateKind::BurnRate && raw.compare.is_none() && raw.absolute.is_none() {
        problems.malformed(place, "this gate could never fail: it has neither `compare` nor `absolute`");
    }
    let mut span = |word: Option<Word<Span>>, default: u64, least: u64| {
        let Some(word) = word else { return Some(Span::seconds(default)) };
        let place = word.place;
        let span = problems.word(word)?;
        if span.as_secs() < least {
            problems.malformed(place, "this length of time is at least one second");
        }
        Some(span)
    };
    let (settle, interval) = (span(raw.settle, 60, 0), span(raw.interval, 60, 1));
    let (evidence_ttl, deadline) = (span(raw.evidence_ttl, 600, 1), span(raw.inconclusive_deadline, 1800, 1));
    Some(Gate {
        source: raw.source,
        kind,
        worse: raw.worse,
        candidate: raw.candidate.map(|queries| queries.value).unwrap_or_default(),
        baseline: raw.baseline.map(|baseline| baseline.value),
        settle: settle?,
        interval: interval?,
        min: raw.min.map(|min| minimum(&min, problems)).unwrap_or_default(),
        compare: raw.compare.map(|compare| compare.value),
        absolute: raw.absolute.map(|absolute| absolute.value),
        no_data: raw.no_data,
        evidence_ttl: evidence_ttl?,
        inconclusive_deadline: deadline?,
        objective: raw.objective.map(|objective| objective.value),
        windows,
    })
}

fn minimum(raw: &RawMinimum, problems: &mut Problems) -> Minimum {
    let mut count = |what: &str, number: &Option<At<Whole>>| {
        number.as_ref().and_then(|number| problems.within(what, number, 1..=u64::from(u32::MAX)))
    };
    Minimum { total: count("`total`", &raw.total), slots: count("`slots`", &raw.slots), n: count("`n`", &raw.n) }
}

/// Queries fit the kind, are not blank, and name only known variables.
fn queries(queries: &Queries, kind: GateKind, place: Position, problems: &mut Problems) {
    let counts = matches!(kind, GateKind::CountRatio | GateKind::BurnRate);
    let fits = if counts {
        queries.value.is_none() && queries.bad.is_some() == queries.total.is_some()
    } else {
        queries.bad.is_none() && queries.total.is_none()
    };
    if !fits {
        let needs = if counts { "`bad` and `total`" } else { "`value`" };
        problems.malformed(place, format!("queries of a gate of this kind are {needs}"));
    }
    for query in queries.all() {
        if query.trim().is_empty() {
            problems.malformed(place, "a query is empty");
        }
        if let Err(name) = variables(query) {
            let known = QUERY_VARIABLES.join(", ") + ", label.NAME, artifact.NAME";
            problems.malformed(place, format!("a query names the unknown variable `{name}`; there are: {known}"));
        }
    }
}

/// Checks the variables that a query names.
fn variables(query: &str) -> Result<(), String> {
    for part in query.split("{{").skip(1) {
        let name = part.split_once("}}").map_or(part, |(name, _)| name).trim();
        let of_lease = LEASE_VARIABLES.iter().any(|family| name.len() > family.len() && name.starts_with(family));
        if !QUERY_VARIABLES.contains(&name) && !of_lease {
            return Err(name.chars().take(40).collect());
        }
    }
    Ok(())
}

fn comparison(compare: &At<Compare>, kind: GateKind, problems: &mut Problems) {
    let Compare { test, alpha, max_ratio, min_a12 } = compare.value;
    let mut wrong = |message: &str| problems.malformed(compare.place, message);
    match (kind, test) {
        (GateKind::CountRatio, Test::EValue) | (GateKind::Sample, Test::MannWhitney) => {}
        _ => wrong("`e-value` is for count-ratio, `mann-whitney` for sample; other kinds compare nothing"),
    }
    if alpha.is_some_and(|alpha| alpha.get() <= 0.0 || alpha.get() >= 1.0) {
        wrong("`alpha` is above 0 and below 1");
    }
    if max_ratio.is_some_and(|ratio| ratio.get() < 1.0) {
        wrong("`max-ratio` is at least 1");
    }
    if min_a12.is_some_and(|a12| !(0.5..=1.0).contains(&a12.get())) {
        wrong("`min-a12` is 0.5 to 1");
    }
}

fn burn_windows(
    kind: GateKind,
    objective: Option<At<Decimal>>,
    raw: Option<Vec<At<BurnWindow>>>,
    place: Position,
    problems: &mut Problems,
) -> Vec<BurnWindow> {
    if kind != GateKind::BurnRate {
        if objective.is_some() || raw.is_some() {
            problems.malformed(place, "`objective` and `windows` are for burn-rate gates");
        }
        return Vec::new();
    }
    match objective {
        None => problems.malformed(place, "a burn-rate gate has an `objective`, as in 99.9"),
        Some(objective) if objective.value.get() <= 0.0 || objective.value.get() >= 100.0 => {
            problems.malformed(objective.place, "`objective` is above 0 and below 100");
        }
        Some(_) => {}
    }
    let Some(raw) = raw else {
        let window = |short, long, factor| BurnWindow {
            short: Span::seconds(short),
            long: Span::seconds(long),
            factor: Decimal(factor),
        };
        return vec![window(300, 3_600, 14.4), window(1_800, 21_600, 6.0)];
    };
    if raw.is_empty() {
        problems.malformed(place, "`windows` is empty; leave it out for the usual two");
    }
    for window in &raw {
        let BurnWindow { short, long, factor } = window.value;
        if short.as_secs() == 0 || short >= long || factor.get() <= 0.0 {
            problems.malformed(window.place, "windows are: a short one, a longer one, and a factor above 0");
        }
    }
    raw.into_iter().map(|window| window.value).collect()
}

#[cfg(test)]
mod tests {
    const HONEST: &str = include_str!("../../../../../tests/hostile/policy/honest-twin.yaml");

    /// What is wrong with a gate, if anything is.
    fn wrong(gate: &str) -> Option<String> {
        let other = "{source: file, kind: count-ratio, compare: {test: e-value, alpha: 0.01}}";
        assert!(HONEST.contains(other));
        crate::model::policy::read(HONEST.replace(other, &format!("{{source: file, {gate}}}")).as_bytes())
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn an_absolute_gate_has_one_side_or_both_in_order() {
        for absolute in ["max: 1", "min: 1", "min: 1, max: 1", "min: 1, max: 2"] {
            assert_eq!(wrong(&format!("kind: gauge, absolute: {{{absolute}}}")), None);
        }
        for absolute in ["", "min: 2, max: 1"] {
            let wrong = wrong(&format!("kind: gauge, absolute: {{{absolute}}}")).expect(absolute);
            assert!(wrong.contains("`absolute` has a `max`, a `min`, or both"), "{wrong}");
        }
    }

    #[test]
    fn queries_are_those_of_the_kind() {
        let ask =
            |kind: &str, queries: &str| wrong(&format!("kind: {kind}, absolute: {{max: 1}}, candidate: {queries}"));
        for (kind, good, bad) in [
            ("gauge", ["{value: a}", "{}"], ["{value: a, bad: b}", "{value: a, total: b}", "{bad: a, total: b}"]),
            ("sample", ["{value: a}", "{}"], ["{bad: a}", "{total: a}", "{bad: a, total: b}"]),
            ("count-ratio", ["{bad: a, total: b}", "{}"], ["{bad: a}", "{total: a}", "{value: a}"]),
        ] {
            for queries in good {
                assert_eq!(ask(kind, queries), None, "{kind} {queries}");
            }
            for queries in bad {
                let wrong = ask(kind, queries).expect(queries);
                assert!(wrong.contains("queries of a gate of this kind are"), "{kind} {queries}: {wrong}");
            }
        }
    }
}
