//! Policy reader: bytes → policy, in one place.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Band, Decimal, Deliberate, DriftBelow, Driver, Gate, Hardware, Policy, Principal, RiskPolicy, Role, Rule, Rules,
    SeparateProposer, Target, Terms, Threshold,
    gates::{self, RawGate},
    thresholds::{self, RawThreshold},
};
use crate::model::{
    Digest, GateId, PrincipalId, Proposed, PublicKey, Reason, RepositoryId, TargetId,
    document::{
        At, DocumentError, Entries, Flag, Leveled, Line, Nullable, Place, Problems, Span, Whole, Word, labels, parse,
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
    /// Who must turn a key for what; by default one human and one agent.
    #[serde(default)]
    rules: RawRules,
    /// A first tier up to this weight starts on the lease's own two keys plus one to begin; by default 10.
    #[schemars(range(max = 99))]
    start_up_to: Option<At<Whole>>,
    /// The weight up to which a lease may let an agent promote alone; by default 0.
    #[schemars(range(max = 99))]
    delegable_up_to: Option<At<Whole>>,
    /// What can be rolled out to.
    targets: Option<Entries<TargetId, RawTarget>>,
    /// The chance that a healthy lease is stopped by a test, shared among all gates, limits and tiers; by default 0.01.
    false_alarms: Option<At<Decimal>>,
    /// Health conditions that a target's tiers must pass.
    gates: Option<Entries<GateId, RawGate>>,
    /// Auto-halt limits, by metric.
    thresholds: Option<Entries<GateId, RawThreshold>>,
    /// What declared risk demands of leases.
    risk: Option<RawRisk>,
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
    /// Public keys: `ssh-ed25519 …`, `ecdsa-sha2-nistp256 …`, either as `sk-…@openssh.com …`, or `minisign …`.
    #[schemars(length(min = 1))]
    keys: Vec<Word<PublicKey>>,
}

/// The three rules.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rules")]
struct RawRules {
    /// Who authorizes a lease.
    cosign: Option<At<RawRule>>,
    /// Who raises a weight, resumes, thaws, and starts above `start-up-to`.
    promote: Option<At<RawRule>>,
    /// Who changes the policy; two humans always suffice.
    policy: Option<At<RawRule>>,
}

/// How many principals of each role must turn a key, and which votes count.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Rule")]
struct RawRule {
    /// How many humans; by default 1.
    #[schemars(range(max = 255))]
    human: Option<At<Whole>>,
    /// How many agents; by default 1.
    #[schemars(range(max = 255))]
    agent: Option<At<Whole>>,
    /// Which agents count; by default all.
    agents: Option<Vec<Word<PrincipalId>>>,
    /// Whether a human counts only by a hardware key's signature with the user-presence flag.
    #[serde(default)]
    hardware: Flag,
    /// Whether a human counts only by a signature made for this purpose.
    #[serde(default)]
    deliberate: Flag,
    /// Whether the proposer must be known and does not count.
    #[serde(default)]
    separate_proposer: Flag,
}

/// Something that can be rolled out to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Target")]
struct RawTarget {
    /// How traffic is moved.
    driver: Driver,
    /// Who moves it: a principal with the role applier.
    applier: Option<Word<PrincipalId>>,
    /// The gates that each tier must pass.
    gates: Option<Vec<Word<GateId>>>,
    /// What becomes of traffic that somebody took off the candidate; by default it is kept off until a key is turned.
    drift_below: Option<DriftBelow>,
}

/// What declared risk demands. Only ever tightens.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Risk")]
struct RawRisk {
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
    let rules = rules(raw.rules, principals_at, &principals, problems);
    let start_up_to = percent("`start-up-to`", raw.start_up_to, 10, problems);
    let delegable_up_to = percent("`delegable-up-to`", raw.delegable_up_to, 0, problems);
    let false_alarms = raw.false_alarms.map_or(gates::USUAL_FALSE_ALARMS, |rate| {
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
    let thresholds: BTreeMap<GateId, Threshold> = problems
        .unique(raw.thresholds.unwrap_or_default(), GateId::folded)
        .into_iter()
        .filter_map(|(place, name, threshold)| Some((name, thresholds::threshold(threshold, place, problems)?)))
        .collect();
    let targets = targets(raw.targets.unwrap_or_default(), &principals, &gates, problems);
    let risk = raw.risk.map(|risk| self::risk(risk, problems)).unwrap_or_default();
    let labels = labels(problems, raw.labels);
    Some(Policy {
        repository: repository?,
        version: version?,
        previous,
        branch: branch?,
        principals,
        rules: rules?,
        start_up_to: start_up_to?,
        delegable_up_to: delegable_up_to?,
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
        for word in entry.keys {
            let key_place = word.place;
            let Some(key) = problems.word(word) else { continue };
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
        principals.insert(name, Principal { role: entry.role, keys });
    }
    principals
}

fn rules(
    raw: RawRules,
    principals_at: Place,
    principals: &BTreeMap<PrincipalId, Principal>,
    problems: &mut Problems,
) -> Option<Rules> {
    let mut one = |name: &str, raw: Option<At<RawRule>>| {
        let place = raw.as_ref().map_or(principals_at, |raw| raw.place);
        let rule = rule(raw.map(|raw| raw.value).unwrap_or_default(), principals, problems)?;
        floor(name, &rule, place, problems);
        Some((rule, place))
    };
    let (cosign, promote, policy) = (one("cosign", raw.cosign), one("promote", raw.promote), one("policy", raw.policy));
    let (policy, place) = policy?;
    satisfiable(&policy, place, principals, problems);
    Some(Rules { cosign: cosign?.0, promote: promote?.0, policy })
}

fn rule(raw: RawRule, principals: &BTreeMap<PrincipalId, Principal>, problems: &mut Problems) -> Option<Rule> {
    let mut count = |what: &str, number: Option<At<Whole>>| {
        number.map_or(Some(1), |number| problems.within::<u8>(what, &number, 0..=255))
    };
    let (human, agent) = (count("`human`", raw.human), count("`agent`", raw.agent));
    let agents = raw.agents.map(|words| agents(words, principals, problems));
    Some(Rule {
        human: human?,
        agent: agent?,
        agents,
        hardware: if raw.hardware.0 { Hardware::Required } else { Hardware::NotRequired },
        deliberate: if raw.deliberate.0 { Deliberate::Required } else { Deliberate::NotRequired },
        separate_proposer: if raw.separate_proposer.0 {
            SeparateProposer::Required
        } else {
            SeparateProposer::NotRequired
        },
    })
}

fn agents(
    words: Vec<Word<PrincipalId>>,
    principals: &BTreeMap<PrincipalId, Principal>,
    problems: &mut Problems,
) -> BTreeSet<PrincipalId> {
    let mut agents = BTreeSet::new();
    for word in words {
        let place = word.place;
        let Some(name) = problems.word(word) else { continue };
        if principals.get(&name).is_none_or(|principal| principal.role != Role::Agent) {
            problems.malformed(place, format!("{name} is no agent among the principals"));
        }
        if !agents.insert(name) {
            problems.malformed(place, "this agent stands here twice");
        }
    }
    agents
}

/// What no policy can lower.
fn floor(name: &str, rule: &Rule, place: Place, problems: &mut Problems) {
    let both = rule.human >= 1 && rule.agent >= 1;
    let (good, needs) = if name == "policy" {
        (both || rule.human >= 2, "one human and one agent, or two humans")
    } else {
        (both, "one human and one agent")
    };
    if !good {
        let message =
            format!("the {name} rule has human {}, agent {}; it needs at least {needs}", rule.human, rule.agent);
        problems.add(Reason::PolicyFloor, place, message);
    }
}

/// A policy that nobody could ever change is refused.
fn satisfiable(rule: &Rule, place: Place, principals: &BTreeMap<PrincipalId, Principal>, problems: &mut Problems) {
    let hardware = |principal: &Principal| {
        rule.hardware == Hardware::NotRequired || principal.keys.iter().any(crate::model::PublicKey::is_hardware)
    };
    let humans = principals.values().filter(|p| p.role == Role::Human && hardware(p)).count();
    let counted = |name: &PrincipalId| rule.agents.as_ref().is_none_or(|agents| agents.contains(name));
    let agents = principals.iter().filter(|(name, p)| p.role == Role::Agent && counted(name)).count();
    let by_rule = humans >= usize::from(rule.human) && agents >= usize::from(rule.agent);
    if !by_rule && humans < usize::from(rule.human.max(2)) {
        let message = format!(
            "nobody could ever change this policy: its policy rule needs human {}, agent {} (or {} humans), and there are {humans} and {agents} who count",
            rule.human,
            rule.agent,
            rule.human.max(2)
        );
        problems.add(Reason::PolicyFloor, place, message);
    }
}

fn targets(
    raw: Entries<TargetId, RawTarget>,
    principals: &BTreeMap<PrincipalId, Principal>,
    gates: &BTreeMap<GateId, Gate>,
    problems: &mut Problems,
) -> BTreeMap<TargetId, Target> {
    let mut targets = BTreeMap::new();
    for (_, name, entry) in problems.unique(raw, TargetId::folded) {
        let applier_at = entry.applier.as_ref().map(|word| word.place);
        let applier = problems.maybe(entry.applier);
        if let (Some(applier), Some(place)) = (&applier, applier_at)
            && principals.get(applier).is_none_or(|principal| principal.role != Role::Applier)
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
        let drift_below = entry.drift_below.unwrap_or_default();
        targets.insert(name, Target { driver: entry.driver, applier, gates: named, drift_below });
    }
    targets
}

fn risk(raw: RawRisk, problems: &mut Problems) -> RiskPolicy {
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
