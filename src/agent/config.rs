//! An agent's configuration file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    follower::follow::MAX_STALENESS,
    model::{Oid, PrincipalId, Reason, Refusal, TargetId, document::Span},
    sources::{self, yaml},
};

/// How an agent behaves, as whom, and where. Paths are absolute, or relative to where the program runs.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentConfig {
    /// Its name in the policy.
    pub name: PrincipalId,
    /// The key that it signs with: a file.
    pub key: PathBuf,
    /// Its clone of the governance repository; none for the one where the program runs.
    pub repository: Option<PathBuf>,
    /// The remote that it fetches from and pushes to; none to work in the repository alone.
    pub remote: Option<String>,
    /// The root; none for the one that is pinned in the clone.
    pub root: Option<Oid>,
    /// How old knowledge may be for a forward step.
    pub max_staleness: Span,
    /// How long to wait from one look to the next.
    pub interval: Span,
    /// The targets that it looks after; none for all.
    pub targets: Option<BTreeSet<TargetId>>,
    /// What it does by itself.
    pub conduct: Conduct,
    /// The highest declared risk score that it signs; none for any that the policy allows.
    pub max_risk: Option<u8>,
    /// Clones of the repositories that leases name changes of, by the address in the lease.
    pub changes: BTreeMap<String, PathBuf>,
    /// Programs that a lease must satisfy, by name.
    pub checks: BTreeMap<String, ExecCheck>,
    /// Where measurements come from; none where nothing is measured here.
    pub metrics: Option<sources::SourcesConfig>,
}

/// What an agent does by itself, where the rules leave it a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conduct {
    /// Who approves a tier first.
    pub promote: Promote,
    /// Whether it begins what is authorized.
    pub start: Start,
}

/// Who approves a tier first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promote {
    /// The agent waits until enough people have turned their keys.
    #[default]
    AfterHuman,
    /// The agent turns its key as soon as it can, and people decide on that.
    First,
}

/// Whether an agent begins what is authorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Somebody else does.
    #[default]
    Never,
    /// It does, as soon as the lease's own keys are there.
    WhenAuthorized,
}

/// A program that says whether a lease may be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecCheck {
    /// The program: an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment; beside it only what names the change.
    pub env: BTreeMap<String, String>,
    /// How long it may take. Then it is killed with all that it started, and nothing is known.
    pub deadline: Span,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawAgentConfig {
    name: PrincipalId,
    key: PathBuf,
    repository: Option<PathBuf>,
    remote: Option<String>,
    root: Option<Oid>,
    max_staleness: Option<Span>,
    interval: Option<Span>,
    targets: Option<BTreeSet<TargetId>>,
    #[serde(default)]
    promote: Promote,
    #[serde(default)]
    start: Start,
    max_risk: Option<u8>,
    #[serde(default)]
    changes: BTreeMap<String, PathBuf>,
    #[serde(default)]
    checks: BTreeMap<String, RawCheck>,
    metrics: Option<sources::SourcesConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    program: PathBuf,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    deadline: Option<Span>,
}

/// The names of the checks that are built in.
pub const BUILT_IN: [&str; 4] = ["policy", "target", "change", "risk"];

impl AgentConfig {
    /// Whether it says how leases are checked before they are signed.
    pub fn checks_leases(&self) -> bool {
        !self.checks.is_empty() || !self.changes.is_empty()
    }

    /// Reads a configuration. Paths in it are relative to `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Refusal> {
        let raw: RawAgentConfig = yaml::read("the agent's configuration", text)?;
        for (name, span) in [("interval", raw.interval), ("max-staleness", raw.max_staleness)] {
            if span.is_some_and(|span| span.as_secs() == 0) {
                return Err(malformed(&format!("{name} is at least 1s")));
            }
        }
        let mut checks = BTreeMap::new();
        for (name, raw) in raw.checks {
            checks.insert(name.clone(), check(&name, raw)?);
        }
        Ok(Self {
            name: raw.name,
            key: folder.join(raw.key),
            repository: raw.repository.map(|path| folder.join(path)),
            remote: raw.remote,
            root: raw.root,
            max_staleness: raw.max_staleness.unwrap_or(MAX_STALENESS),
            interval: raw.interval.unwrap_or(Span::seconds(30)),
            targets: raw.targets,
            conduct: Conduct { promote: raw.promote, start: raw.start },
            max_risk: raw.max_risk,
            changes: raw.changes.into_iter().map(|(address, path)| (address, folder.join(path))).collect(),
            checks,
            metrics: raw.metrics.map(|metrics| metrics.within(folder)),
        })
    }

    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<Self, Refusal> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Refusal::new(Reason::Io, format!("{}: {error}", path.display())))?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }
}

fn check(name: &str, raw: RawCheck) -> Result<ExecCheck, Refusal> {
    let wrong = |what: &str| Err(malformed(&format!("check {name}: {what}")));
    // Its name goes into records and messages.
    if PrincipalId::parse(name).is_none() || BUILT_IN.contains(&name) {
        return wrong("a check's name is an id, and none of the built-in ones (policy, target, change, risk)");
    }
    if !raw.program.is_absolute() {
        return wrong("the program is an absolute path");
    }
    let deadline = raw.deadline.unwrap_or(Span::seconds(60));
    if deadline.as_secs() == 0 {
        return wrong("the deadline is at least 1s");
    }
    Ok(ExecCheck { program: raw.program, args: raw.args, env: raw.env, deadline })
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the agent's configuration: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../templates/agent.yaml");

    #[test]
    fn an_agent_waits_for_people_and_starts_nothing_unless_it_is_told_to() {
        let config = AgentConfig::parse("name: cp14\nkey: k\n", Path::new("/etc/x")).unwrap();
        assert_eq!(config.key, Path::new("/etc/x/k"));
        assert_eq!(config.conduct, Conduct { promote: Promote::AfterHuman, start: Start::Never });
        assert_eq!((config.interval.as_secs(), config.targets), (30, None));
        let bold = "name: cp14\nkey: k\npromote: first\nstart: when-authorized\n";
        let config = AgentConfig::parse(bold, Path::new("")).unwrap();
        assert_eq!(config.conduct, Conduct { promote: Promote::First, start: Start::WhenAuthorized });
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            "",
            "name: cp14\n",
            "name: cp14\nkey: k\ncolour: red\n",
            "name: cp14\nkey: k\npromote: always\n",
            "name: cp14\nkey: k\ninterval: 0s\n",
            "name: cp14\nkey: k\nmax-risk: 300\n",
            "name: cp14\nkey: k\nchecks: {ci: {program: ci-status}}\n",
            "name: cp14\nkey: k\nchecks: {risk: {program: /bin/true}}\n",
            "name: cp14\nkey: k\nchecks: {a/b: {program: /bin/true}}\n",
            "name: cp14\nkey: k\nchecks: {ci: {program: /bin/true, deadline: 0s}}\n",
            "name: cp14\nkey: k\nchecks: {ci: {program: /bin/true, shell: yes}}\n",
        ] {
            assert_eq!(AgentConfig::parse(wrong, Path::new("")).unwrap_err().reason, Reason::Malformed, "{wrong}");
        }
        AgentConfig::parse("name: cp14\nkey: k\nchecks: {ci: {program: /bin/true, deadline: 5s}}\n", Path::new(""))
            .unwrap();
    }

    #[test]
    fn the_template_is_a_configuration() {
        let config = AgentConfig::parse(TEMPLATE, Path::new("")).unwrap();
        assert_eq!(config.conduct, Conduct::default());
    }
}
