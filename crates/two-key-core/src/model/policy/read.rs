//! Policy reader: bytes → policy, in one place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    AllAtOnce, Band, Decimal, DriftBelow, DriverKind, Gate, LEAST_KEEP, Policy, Principal, RiskPolicy, Role, Target,
    Terms, Threshold, USUAL_FALSE_ALARMS, USUAL_KEEP,
    gates::{self, RawGate},
    rules::{self, People, RawRules, RawTargetRules},
    thresholds::{self, RawThreshold},
    times::{self, Day, RawWindow},
};
use crate::model::{
    Digest, GateId, GroupId, PrincipalId, Proposed, PublicKey, Reason, RepositoryId, TargetId,
    document::{
        At, DocumentError, Entries, Flag, Leveled, Line, Nullable, Parsed, Problems, Span, Whole, Word, labels, parse,
    },
};

/// A policy as it is written: who may turn which key, and targets, gates, thresholds and risk bands.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Policy")]
struct RawPolicy {
    /// The format level.
    #[serde(rename = "two-key")]
    #[schemars(extend("const" = 1))]
    level: At<Whole>,
    /// The governance repository's random id, bound into every statement and lease.
    repository: Word<RepositoryId>,
    /// The version of the policy in force, plus one.
    #[schemars(range(min = 1))]
    version: At<Whole>,
    /// The digest of the policy in force that this one replaces; null in the first.
    #[serde(deserialize_with = "Nullable::present")]
    previous: Nullable<Word<Digest>>,
    /// The governed branch; by default `main`.
    branch: Option<Word<Line>>,
    /// Who has keys.
    principals: At<Entries<PrincipalId, RawPrincipal>>,
    /// Names for several humans; one may be in several groups.
    #[schemars(with = "Option<Entries<GroupId, Vec<PrincipalId>>>")]
    groups: Option<Entries<GroupId, At<Vec<Word<PrincipalId>>>>>,
    /// Who must turn a key for what, on every target that says nothing else; by default one human and one agent.
    #[serde(default)]
    rules: RawRules,
    /// A first tier up to this weight starts on the lease's own two keys plus one to begin; by default 10.
    #[schemars(range(max = 99))]
    start_up_to: Option<At<Whole>>,
    /// The weight up to which a lease may let an agent promote alone; by default 0.
    #[schemars(range(max = 99))]
    delegable_up_to: Option<At<Whole>>,
    /// When leases are moved forward, on every target that says nothing else; by default at any time.
    windows: Option<At<Vec<RawWindow>>>,
    /// How long a lease keeps its labels after it has ended, at least `1d`; by default `90d`.
    keep: Option<Word<Span>>,
    /// What can be rolled out to.
    targets: Option<Entries<TargetId, RawTarget>>,
    /// The chance that a healthy lease is stopped by a test, shared among all gates, limits and tiers; by default 0.01.
    false_alarms: Option<At<Decimal>>,
    /// Health conditions that a target's tiers must pass.
    gates: Option<Entries<GateId, RawGate>>,
    /// Auto-halt limits, by metric.
    thresholds: Option<Entries<GateId, RawThreshold>>,
    /// What declared risk demands of leases.
    risk: Option<RawRiskRules>,
    /// Free text for people.
    labels: Option<Entries<Line, String>>,
}

impl Leveled for RawPolicy {
    /// Room for a thousand targets.
    const MAX_VALUES: usize = 20_000;

    fn level(&self) -> &At<Whole> {
        &self.level
    }
}

/// A person, an automaton or a reconciler.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Principal")]
struct RawPrincipal {
    /// The one role.
    role: Role,
    /// The last day on which the keys count for what goes forward. They stop things for ever.
    until: Option<Word<Day>>,
    /// Public keys: `ssh-ed25519 …`, `ecdsa-sha2-nistp256 …`, either as `sk-…@openssh.com …`, or `minisign …`.
    #[schemars(length(min = 1))]
    keys: Vec<At<RawListed>>,
}

/// A public key, alone or with its last day.
#[derive(JsonSchema)]
#[schemars(rename = "ListedKey", untagged)]
enum RawListed {
    /// The key.
    Bare(#[schemars(with = "PublicKey")] Parsed<PublicKey>),
    /// The key, and the last day on which it counts for what goes forward.
    Until(RawKeyUntil),
}

/// A public key with its last day.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeyUntil")]
struct RawKeyUntil {
    /// The key.
    key: Word<PublicKey>,
    /// The last day on which it counts for what goes forward.
    until: Word<Day>,
}

impl<'de> Deserialize<'de> for RawListed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListedVisitor;

        impl<'de> Visitor<'de> for ListedVisitor {
            type Value = RawListed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a public key, or `{key: …, until: …}`")
            }

            fn visit_str<E>(self, text: &str) -> Result<RawListed, E> {
                Ok(RawListed::Bare(Parsed::of(text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawListed, A::Error> {
                RawKeyUntil::deserialize(MapAccessDeserializer::new(map)).map(RawListed::Until)
            }
        }

        deserializer.deserialize_any(ListedVisitor)
    }
}

/// Something that can be rolled out to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Target")]
struct RawTarget {
    /// How traffic is moved.
    driver: DriverKind,
    /// Who moves it: a principal with the role applier.
    applier: Option<Word<PrincipalId>>,
    /// The gates that each tier must pass.
    gates: Option<Vec<Word<GateId>>>,
    /// Who must turn a key for leases on this target; what is left out is the policy's.
    #[serde(default)]
    rules: RawTargetRules,
    /// Auto-halt limits of this target alone, by metric. One that is not measured holds the target.
    thresholds: Option<Entries<GateId, RawThreshold>>,
    /// When leases are moved forward here; by default when the policy says.
    windows: Option<At<Vec<RawWindow>>>,
    /// Whether leases here may have the single tier 100; their start needs the promote rule.
    #[serde(default)]
    all_at_once: Flag,
    /// What becomes of traffic that somebody took off the candidate; by default it is kept off until a key is turned.
    drift_below: Option<DriftBelow>,
}

/// What declared risk demands. Only ever tightens.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Risk")]
struct RawRiskRules {
    /// The model whose scores are accepted.
    model: Option<Word<Line>>,
    /// Path patterns whose touching is a factor.
    sensitive: Option<Vec<Word<Line>>>,
    /// Demands from a score on; every band whose `from` is reached applies.
    bands: Option<Vec<RawBand>>,
    /// Demands of a factor, by its name.
    factors: Option<Entries<Line, RawTerms>>,
}

/// Demands from a score on.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Band")]
struct RawBand {
    /// The lowest score that it applies to.
    #[schemars(range(max = 100))]
    from: At<Whole>,
    /// Every tier's bake is at least this.
    bake: Option<Word<Span>>,
    /// The first tier is at most this weight.
    #[schemars(range(min = 1, max = 99))]
    first_tier: Option<At<Whole>>,
    /// Gates' minimum samples are multiplied by this.
    #[schemars(range(min = 1, max = 1000))]
    samples: Option<At<Whole>>,
    /// That many more humans for cosign and promote.
    #[schemars(range(max = 16))]
    humans: Option<At<Whole>>,
}

/// Tighter terms.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Terms")]
struct RawTerms {
    /// Every tier's bake is at least this.
    bake: Option<Word<Span>>,
    /// The first tier is at most this weight.
    #[schemars(range(min = 1, max = 99))]
    first_tier: Option<At<Whole>>,
    /// Gates' minimum samples are multiplied by this.
    #[schemars(range(min = 1, max = 1000))]
    samples: Option<At<Whole>>,
    /// That many more humans for cosign and promote.
    #[schemars(range(max = 16))]
    humans: Option<At<Whole>>,
}

/// Reads a policy file's exact bytes.
pub fn read(bytes: &[u8]) -> Result<Proposed<Policy>, DocumentError> {
    let raw: RawPolicy = parse(bytes)?;
    let mut problems = Problems::default();
    let policy = check(raw, &mut problems);
    Ok(Proposed::new(Digest::of(bytes), problems.finish(policy)?))
}

/// The JSON Schema of policy files.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RawPolicy)
}

fn check(raw: RawPolicy, problems: &mut Problems) -> Option<Policy> {
    let repository = problems.word(raw.repository);
    let version_at = raw.version.place;
    let version = problems.within::<u32>("`version`", &raw.version, 1..=u64::from(u32::MAX));
    if let Some(version) = version
        && (version == 1) != raw.previous.0.is_none()
    {
        let message = "`previous` is null in version 1, and the digest of the policy before in every other";
        problems.malformed(version_at, message);
    }
    let previous = problems.maybe(raw.previous.0);
    let branch = raw.branch.map_or_else(|| Some("main".to_owned()), |branch| branch_name(branch, problems));
    let principals_at = raw.principals.place;
    let principals = principals(raw.principals.value, problems);
    let groups = rules::groups(raw.groups.unwrap_or_default(), &principals, problems);
    let people = People { principals: &principals, groups: &groups };
    let rules = rules::rules(raw.rules, principals_at, people, problems);
    let start_up_to = percent("`start-up-to`", raw.start_up_to, 10, problems);
    let delegable_up_to = percent("`delegable-up-to`", raw.delegable_up_to, 0, problems);
    let false_alarms = raw.false_alarms.map_or(USUAL_FALSE_ALARMS, |rate| {
        if rate.value.get() <= 0.0 || rate.value.get() >= 1.0 {
            problems.malformed(rate.place, "`false-alarms` is above 0 and below 1");
        }
        rate.value
    });
    let gates: BTreeMap<GateId, Gate> = problems
        .unique(raw.gates.unwrap_or_default(), GateId::folded)
        .into_iter()
        .filter_map(|(place, name, gate)| Some((name, gates::gate(gate, place, problems)?)))
        .collect();
    let thresholds = self::thresholds(raw.thresholds, problems);
    let windows = raw.windows.map(|windows| times::windows(windows, problems)).unwrap_or_default();
    let keep = raw.keep.map_or(Some(USUAL_KEEP), |keep| {
        let place = keep.place;
        let keep = problems.word(keep)?;
        if keep < LEAST_KEEP {
            problems.malformed(place, format!("`keep` is at least {LEAST_KEEP}"));
        }
        Some(keep)
    });
    let targets = targets(raw.targets.unwrap_or_default(), people, &gates, problems);
    let risk = raw.risk.map(|risk| self::risk(risk, problems)).unwrap_or_default();
    let labels = labels(problems, raw.labels);
    Some(Policy {
        repository: repository?,
        version: version?,
        previous,
        branch: branch?,
        principals,
        groups,
        rules: rules?,
        start_up_to: start_up_to?,
        delegable_up_to: delegable_up_to?,
        windows,
        keep: keep?,
        targets,
        false_alarms,
        gates,
        thresholds,
        risk,
        labels,
    })
}

/// A weight that is never the whole traffic: a floor.
fn percent(what: &str, number: Option<At<Whole>>, default: u8, problems: &mut Problems) -> Option<u8> {
    let Some(number) = number else { return Some(default) };
    if number.value.0 >= 100 {
        let message = format!("{what} is {}; no policy may let it reach 100", number.value.0);
        problems.add(Reason::PolicyFloor, number.place, message);
        return None;
    }
    u8::try_from(number.value.0).ok()
}

/// A branch's name without `refs/heads/`, as `git check-ref-format --branch` has it, and no wider.
fn branch_name(word: Word<Line>, problems: &mut Problems) -> Option<String> {
    let place = word.place;
    let Line(name) = problems.word(word)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
    let component = |part: &str| {
        let clean = !part.starts_with(['.', '-']) && !part.ends_with('.');
        !part.is_empty() && clean && !part.contains("..") && !part.to_ascii_lowercase().ends_with(".lock")
    };
    let good = name.len() <= 200 && name.bytes().all(plain) && name.split('/').all(component);
    if !good || name.starts_with("refs/") || name == "HEAD" {
        problems.malformed(
            place,
            "`branch` is a plain branch name without `refs/heads/`: letters, digits, `.`, `_`, `-`, `/`",
        );
        return None;
    }
    Some(name)
}

fn principals(raw: Entries<PrincipalId, RawPrincipal>, problems: &mut Problems) -> BTreeMap<PrincipalId, Principal> {
    let mut owners: BTreeMap<Vec<u8>, PrincipalId> = BTreeMap::new();
    let mut fingerprints = BTreeSet::new();
    let mut principals = BTreeMap::new();
    for (place, name, entry) in problems.unique(raw, PrincipalId::folded) {
        if entry.keys.is_empty() {
            problems.add(Reason::PolicyFloor, place, format!("{name} has no key; a principal has at least one"));
        }
        let mut keys = Vec::new();
        let mut last_days = BTreeMap::new();
        for At { value, place: key_place } in entry.keys {
            let (word, day) = match value {
                RawListed::Bare(value) => (At { value, place: key_place }, None),
                RawListed::Until(listed) => (listed.key, problems.word(listed.until)),
            };
            let Some(key) = problems.word(word) else { continue };
            last_days.extend(day.map(|day| (key.raw(), day)));
            if let Some(owner) = owners.insert(key.raw().up_to_sign(), name.clone()) {
                let message =
                    format!("this key is already {owner}'s; whatever its wrapping or sign, a key stands once");
                problems.add(Reason::SameKey, key_place, message);
            } else if !fingerprints.insert(key.fingerprint()) {
                // Whoever makes a minisign key chooses its id, and revocations name keys by it.
                let message = format!("another key has the fingerprint {} too; make a new key", key.fingerprint());
                problems.add(Reason::SameKey, key_place, message);
            }
            keys.push(key);
        }
        let until = problems.maybe(entry.until);
        principals.insert(name, Principal { role: entry.role, keys, until, last_days });
    }
    principals
}

fn targets(
    raw: Entries<TargetId, RawTarget>,
    people: People<'_>,
    gates: &BTreeMap<GateId, Gate>,
    problems: &mut Problems,
) -> BTreeMap<TargetId, Target> {
    let mut targets = BTreeMap::new();
    for (_, name, entry) in problems.unique(raw, TargetId::folded) {
        let applier_at = entry.applier.as_ref().map(|word| word.place);
        let applier = problems.maybe(entry.applier);
        if let (Some(applier), Some(place)) = (&applier, applier_at)
            && people.principals.get(applier).is_none_or(|principal| principal.role != Role::Applier)
        {
            problems.malformed(place, format!("{applier} is no applier among the principals"));
        }
        let mut named: Vec<GateId> = Vec::new();
        for word in entry.gates.unwrap_or_default() {
            let place = word.place;
            let Some(gate) = problems.word(word) else { continue };
            if !gates.contains_key(&gate) {
                problems.malformed(place, format!("there is no gate {gate}"));
            }
            if named.contains(&gate) {
                problems.malformed(place, format!("the gate {gate} stands here twice"));
            }
            named.push(gate);
        }
        let rules = rules::target_rules(&name, entry.rules, people, problems);
        let thresholds = self::thresholds(entry.thresholds, problems);
        let drift_below = entry.drift_below.unwrap_or_default();
        let all_at_once = if entry.all_at_once.0 { AllAtOnce::Allowed } else { AllAtOnce::Refused };
        let windows = entry.windows.map(|windows| times::windows(windows, problems)).unwrap_or_default();
        let driver = entry.driver;
        targets.insert(
            name,
            Target { driver, applier, gates: named, rules, thresholds, windows, all_at_once, drift_below },
        );
    }
    targets
}

fn thresholds(raw: Option<Entries<GateId, RawThreshold>>, problems: &mut Problems) -> BTreeMap<GateId, Threshold> {
    problems
        .unique(raw.unwrap_or_default(), GateId::folded)
        .into_iter()
        .filter_map(|(place, name, threshold)| Some((name, thresholds::threshold(threshold, place, problems)?)))
        .collect()
}

fn risk(raw: RawRiskRules, problems: &mut Problems) -> RiskPolicy {
    let model = problems.maybe(raw.model).map(|Line(name)| name);
    let sensitive = problems.words(raw.sensitive.unwrap_or_default()).into_iter().map(|Line(glob)| glob).collect();
    let mut bands = Vec::new();
    for band in raw.bands.unwrap_or_default() {
        let from = problems.within::<u8>("`from`", &band.from, 0..=100);
        let RawBand { bake, first_tier, samples, humans, .. } = band;
        let terms = terms(RawTerms { bake, first_tier, samples, humans }, problems);
        if let (Some(from), Some(terms)) = (from, terms) {
            bands.push(Band { from, terms });
        }
    }
    let factors = problems
        .unique(raw.factors.unwrap_or_default(), |Line(name)| name.to_lowercase())
        .into_iter()
        .filter_map(|(_, Line(name), raw)| Some((name, terms(raw, problems)?)))
        .collect();
    RiskPolicy { model, sensitive, bands, factors }
}

fn terms(raw: RawTerms, problems: &mut Problems) -> Option<Terms> {
    let bake = problems.maybe(raw.bake);
    let first_tier = match raw.first_tier {
        Some(weight) => Some(problems.within("`first-tier`", &weight, 1..=99)?),
        None => None,
    };
    let samples = match raw.samples {
        Some(factor) => Some(problems.within("`samples`", &factor, 1..=1000)?),
        None => None,
    };
    let humans = raw.humans.map_or(Some(0), |number| problems.within("`humans`", &number, 0..=16))?;
    Some(Terms { bake, first_tier, samples, humans })
}
