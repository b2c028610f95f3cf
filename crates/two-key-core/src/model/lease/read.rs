//! Lease reader: bytes → lease, in one place.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    After, AfterArtifacts, AfterState, Artifact, Change, DeclaredRisk, Exception, Lease, OnExpiry, Scope, Tier,
};
use crate::model::{
    Digest, IntentId, LeaseId, Oid, Proposed, RepositoryId, TargetId,
    document::{At, DocumentError, Entries, Flag, Leveled, Line, Moment, Problems, Span, Whole, Word, labels, parse},
};

/// The most tiers that a lease may have.
const MAX_TIERS: usize = 20;

/// The bake of the default tiers.
const DEFAULT_BAKE: Span = Span::seconds(15 * 60);

/// A lease as it is written: it authorizes rolling one change out to one target, in tiers, within a time window.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Lease")]
struct RawLease {
    /// The format level.
    #[serde(rename = "two-key")]
    #[schemars(extend("const" = 1))]
    level: At<Whole>,
    /// The id; the file's name is `<id>.yaml`.
    lease: Word<LeaseId>,
    /// The governance repository's id, as its policy says.
    repository: Word<RepositoryId>,
    /// What this is for; verbs take it in place of the lease id.
    intent: Option<Word<IntentId>>,
    /// Who proposes.
    actor: Option<Word<Line>>,
    /// One line for people.
    summary: Option<Word<Line>>,
    /// The change that is rolled out. A lease has a change, or artifacts, or both.
    change: Option<RawChange>,
    /// What will run, if more than the commit.
    artifacts: Option<Vec<RawArtifact>>,
    /// Where it is rolled out to; the policy lists targets.
    target: Word<TargetId>,
    /// When the window opens: UTC, whole seconds.
    issued: Word<Moment>,
    /// When the window closes: UTC, whole seconds.
    expires: Word<Moment>,
    /// Weights that strictly increase, begin below 100 and end at 100; by default 5, 25, 100, each for 15 minutes. The single tier
    /// of 100 is for targets that allow `all-at-once`.
    #[schemars(length(min = 1, max = 20))]
    tiers: Option<At<Vec<RawTier>>>,
    /// What has to have completed on other targets before it starts.
    after: Option<Vec<RawAfter>>,
    /// Whether it is moved outside its target's windows too. Then each move takes the promote rule with one more human.
    #[serde(default)]
    exception: Flag,
    /// What happens when the window closes in the middle; by default `rollback`.
    on_expiry: Option<OnExpiry>,
    /// The highest weight in percent to which an agent alone may promote; by default 0.
    #[schemars(range(max = 99))]
    agent_alone_up_to: Option<At<Whole>>,
    /// All that a driver may touch or run for this lease; by default nothing.
    scope: Option<RawScope>,
    /// The declared risk; agents compute it again.
    risk: Option<RawDeclaredRisk>,
    /// Free text for people.
    labels: Option<Entries<Line, String>>,
}

impl Leveled for RawLease {
    const MAX_VALUES: usize = 1000;

    fn level(&self) -> &At<Whole> {
        &self.level
    }
}

/// A change in some source repository.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Change")]
struct RawChange {
    /// Where the repository is.
    repository: Word<Line>,
    /// The commit that ran before.
    from: Word<Oid>,
    /// The commit that will run.
    to: Word<Oid>,
}

/// Something that will run, by the digest of its bytes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Artifact")]
struct RawArtifact {
    /// Its name.
    name: Word<Line>,
    /// The SHA-256 of its bytes.
    digest: Word<Digest>,
}

/// One traffic weight and how long it is watched.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tier")]
struct RawTier {
    /// The weight in percent.
    #[schemars(range(min = 1, max = 100))]
    weight: At<Whole>,
    /// How long it is watched before the next tier, as in `15m`.
    bake: Word<Span>,
}

/// What has to have completed on another target.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "After")]
struct RawAfter {
    /// The other target.
    target: Word<TargetId>,
    /// How far a lease has to be there.
    state: AfterState,
    /// What that lease has to have rolled out; by default anything.
    artifacts: Option<AfterArtifacts>,
}

/// All that a driver may touch or run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Scope")]
struct RawScope {
    /// Files and folders.
    paths: Option<Vec<Word<Line>>>,
    /// Programs, by absolute path.
    commands: Option<Vec<Word<Line>>>,
    /// Environment variables that are passed on.
    env: Option<Vec<Word<Line>>>,
}

/// The risk that the proposer declares.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeclaredRisk")]
struct RawDeclaredRisk {
    /// Percentile among the repository's recent changes.
    #[schemars(range(max = 100))]
    score: At<Whole>,
    /// The model that gave the score.
    model: Word<Line>,
    /// Factors beside the score, as the policy names them.
    factors: Option<Vec<Word<Line>>>,
}

/// Reads a lease file's exact bytes.
pub fn read(bytes: &[u8]) -> Result<Proposed<Lease>, DocumentError> {
    let raw: RawLease = parse(bytes)?;
    let mut problems = Problems::default();
    let lease = check(raw, &mut problems);
    Ok(Proposed::new(Digest::of(bytes), problems.finish(lease)?))
}

/// The lease id that a path below `leases/` names (`leases/2025-10/LEASE-1.yaml` → `LEASE-1`), if it names one.
pub fn file_id(path: &str) -> Option<LeaseId> {
    let within = path.strip_prefix("leases/")?;
    let (folders, name) = within.rsplit_once('/').unwrap_or(("-", within));
    let clean = folders.split('/').all(|folder| !matches!(folder, "" | "." | ".."));
    if clean { LeaseId::parse(name.strip_suffix(".yaml")?) } else { None }
}

/// The JSON Schema of lease files.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RawLease)
}

fn check(raw: RawLease, problems: &mut Problems) -> Option<Lease> {
    let expires_at = raw.expires.place;
    let id = problems.word(raw.lease);
    let repository = problems.word(raw.repository);
    let target = problems.word(raw.target);
    let issued = problems.word(raw.issued);
    let expires = problems.word(raw.expires);
    if let (Some(issued), Some(expires)) = (issued, expires)
        && expires.0 <= issued.0
    {
        problems.malformed(expires_at, "`expires` is not after `issued`");
    }
    let has_change = raw.change.is_some();
    let change = raw.change.and_then(|change| self::change(change, problems));
    let artifacts = artifacts(raw.artifacts.unwrap_or_default(), problems);
    if !has_change && artifacts.is_empty() {
        problems.malformed(expires_at, "a lease says what will run: `change`, `artifacts`, or both");
    }
    let tiers = raw.tiers.map_or_else(|| Some(default_tiers()), |tiers| self::tiers(tiers, problems));
    let after = after(raw.after.unwrap_or_default(), target.as_ref(), &artifacts, problems);
    let agent_alone = raw.agent_alone_up_to.map_or(Some(0), |n| problems.within("`agent-alone-up-to`", &n, 0..=99));
    let optional_line = |line: Option<Word<Line>>, problems: &mut Problems| problems.maybe(line).map(|Line(text)| text);
    let lease_parts = (
        raw.intent.and_then(|intent| problems.word(intent)),
        optional_line(raw.actor, problems),
        optional_line(raw.summary, problems),
        raw.scope.map(|scope| self::scope(scope, problems)).unwrap_or_default(),
        raw.risk.and_then(|risk| self::risk(risk, problems)),
        labels(problems, raw.labels),
    );
    let (intent, actor, summary, scope, risk, labels) = lease_parts;
    Some(Lease {
        id: id?,
        repository: repository?,
        intent,
        actor,
        summary,
        change,
        artifacts,
        target: target?,
        issued: issued?.0,
        expires: expires?.0,
        tiers: tiers?,
        after,
        on_expiry: raw.on_expiry.unwrap_or(OnExpiry::Rollback),
        exception: if raw.exception.0 { Exception::Taken } else { Exception::NotTaken },
        agent_alone_up_to: agent_alone?,
        scope,
        risk,
        labels,
    })
}

fn change(raw: RawChange, problems: &mut Problems) -> Option<Change> {
    let place = raw.to.place;
    let repository = location(raw.repository, problems);
    let (from, to) = (problems.word(raw.from), problems.word(raw.to));
    if to.is_some_and(|to| to.is_zero()) {
        problems.malformed(place, "the all-zero id names no commit");
    }
    Some(Change { repository: repository?, from: from?, to: to? })
}

/// Where a repository is. A text that begins with `-` would reach Git as an option.
fn location(word: Word<Line>, problems: &mut Problems) -> Option<String> {
    let place = word.place;
    let Line(text) = problems.word(word)?;
    if text.starts_with('-') {
        problems.malformed(place, "a repository's address does not begin with `-`");
    }
    Some(text)
}

fn artifacts(raw: Vec<RawArtifact>, problems: &mut Problems) -> Vec<Artifact> {
    let mut artifacts: Vec<Artifact> = Vec::with_capacity(raw.len());
    for entry in raw {
        let place = entry.name.place;
        let (name, digest) = (problems.word(entry.name), problems.word(entry.digest));
        let (Some(Line(name)), Some(digest)) = (name, digest) else { continue };
        if artifacts.iter().any(|other| other.name == name) {
            problems.malformed(place, format!("the artifact `{name}` stands here twice"));
        }
        artifacts.push(Artifact { name, digest });
    }
    artifacts
}

fn after(raw: Vec<RawAfter>, own: Option<&TargetId>, artifacts: &[Artifact], problems: &mut Problems) -> Vec<After> {
    let mut after: Vec<After> = Vec::new();
    for entry in raw {
        let place = entry.target.place;
        let Some(target) = problems.word(entry.target) else { continue };
        if own == Some(&target) {
            problems
                .malformed(place, format!("a lease on {target} cannot wait for a lease on {target}: it is its own"));
        }
        if after.iter().any(|other| other.target == target) {
            problems.malformed(place, format!("the target {target} stands here twice"));
        }
        let same = entry.artifacts.unwrap_or_default();
        if same == AfterArtifacts::Same && artifacts.is_empty() {
            problems.malformed(place, "`artifacts: same` is said of a lease that has artifacts");
        }
        after.push(After { target, state: entry.state, artifacts: same });
    }
    after
}

fn default_tiers() -> Vec<Tier> {
    [5, 25, 100].into_iter().map(|weight| Tier { weight, bake: DEFAULT_BAKE }).collect()
}

fn tiers(raw: At<Vec<RawTier>>, problems: &mut Problems) -> Option<Vec<Tier>> {
    let count = raw.value.len();
    if count > MAX_TIERS {
        problems.malformed(raw.place, format!("there are {count} tiers; at most {MAX_TIERS} are allowed"));
        return None;
    }
    let mut tiers: Vec<Tier> = Vec::with_capacity(count);
    for entry in raw.value {
        let place = entry.weight.place;
        let weight = problems.within::<u8>("a tier's weight", &entry.weight, 1..=100);
        let bake = problems.word(entry.bake);
        let (Some(weight), Some(bake)) = (weight, bake) else { continue };
        if tiers.last().is_some_and(|previous| previous.weight >= weight) {
            problems.malformed(place, "tiers strictly increase; this one is not above the one before");
        }
        tiers.push(Tier { weight, bake });
    }
    if tiers.len() == count && tiers.last().is_none_or(|tier| tier.weight != 100) {
        problems.malformed(raw.place, "tiers begin below 100 and end at 100, or are the single tier of 100");
    }
    Some(tiers)
}

fn scope(raw: RawScope, problems: &mut Problems) -> Scope {
    let mut list = |words: Option<Vec<Word<Line>>>, good: fn(&str) -> bool, rule: &str| -> Vec<String> {
        let mut texts = Vec::new();
        for word in words.unwrap_or_default() {
            let place = word.place;
            let Some(Line(text)) = problems.word(word) else { continue };
            if !good(&text) {
                problems.malformed(place, rule);
            }
            texts.push(text);
        }
        texts
    };
    Scope {
        paths: list(raw.paths, |path| !path.split('/').any(|part| part == ".."), "a path in a scope has no `..`"),
        commands: list(
            raw.commands,
            |path| path.starts_with('/') && path.len() > 1 && !path.split('/').any(|part| part == ".."),
            "a command in a scope is an absolute path without `..`",
        ),
        env: list(raw.env, is_variable, "an environment variable's name has letters, digits and `_`"),
    }
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn risk(raw: RawDeclaredRisk, problems: &mut Problems) -> Option<DeclaredRisk> {
    let score = problems.within("the score", &raw.score, 0..=100);
    let model = problems.word(raw.model);
    let factors = problems.words(raw.factors.unwrap_or_default()).into_iter().map(|Line(name)| name).collect();
    Some(DeclaredRisk { score: score?, model: model?.0, factors })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HONEST: &str = include_str!("../../../../../tests/hostile/lease/honest-twin.yaml");

    #[test]
    fn a_scope_names_what_stays_where_it_is() {
        for (what, good, bad) in [
            ("paths", vec!["src", "a/b..c", "...", "/etc/app"], vec!["..", "a/../b", "../a", "a/..", ""]),
            ("commands", vec!["/usr/bin/make", "/a..b"], vec!["make", "./make", "/", "/usr/../make", "/..", ""]),
            ("env", vec!["PATH", "_A1", "a", "_"], vec!["1A", "A-B", "A B", "A=B", "\u{c4}", ""]),
        ] {
            let scope = |entry: &str| read(format!("{HONEST}scope: {{{what}: [\"{entry}\"]}}\n").as_bytes());
            for entry in good {
                assert!(scope(entry).is_ok(), "{what}: {entry:?}: {:?}", scope(entry));
            }
            for entry in bad {
                let refused = scope(entry).expect_err(entry).to_string();
                assert!(
                    refused.contains("scope") || refused.contains("variable") || entry.is_empty(),
                    "{what}: {refused}"
                );
            }
        }
    }
}
