//! An applier's configuration file.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::drivers::TargetConfig;
use crate::{
    follower::follow::MAX_STALENESS,
    model::{Oid, PrincipalId, Reason, Refusal, TargetId, document::Span},
    sources::{self, yaml},
};

/// Where an applier works, and as whom. Paths are absolute, or relative to where the program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplierConfig {
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
    /// How old knowledge may be for a forward move.
    pub max_staleness: Span,
    /// How long to wait from one look to the next.
    pub interval: Span,
    /// Where Prometheus finds numbers, on loopback only; none for nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// A file whose change says that there may be something to look at.
    pub wake: Option<PathBuf>,
    /// Its targets, and how each is driven.
    pub targets: BTreeMap<TargetId, TargetConfig>,
    /// Where measurements come from; none where nothing is measured here.
    pub metrics: Option<sources::SourcesConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawApplierConfig {
    name: PrincipalId,
    key: PathBuf,
    repository: Option<PathBuf>,
    remote: Option<String>,
    root: Option<Oid>,
    max_staleness: Option<Span>,
    interval: Option<Span>,
    metrics_listen: Option<SocketAddr>,
    wake: Option<PathBuf>,
    targets: BTreeMap<TargetId, TargetConfig>,
    metrics: Option<sources::SourcesConfig>,
}

impl ApplierConfig {
    /// Reads a configuration. Paths in it are relative to `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Refusal> {
        let raw: RawApplierConfig = yaml::read("the applier's configuration", text)?;
        // Knowledge that is stale at once would keep everything from going forward, and nobody would be told.
        for (name, span) in [("interval", raw.interval), ("max-staleness", raw.max_staleness)] {
            if span.is_some_and(|span| span.as_secs() == 0) {
                let message = format!("the applier's configuration: {name} is at least 1s");
                return Err(Refusal::new(Reason::Malformed, message));
            }
        }
        if raw.metrics_listen.is_some_and(|address| !address.ip().is_loopback()) {
            let message = "the applier's configuration: metrics-listen must be a loopback address";
            return Err(Refusal::new(Reason::Malformed, message).hint("for example: metrics-listen: 127.0.0.1:9469"));
        }
        let targets: BTreeMap<_, _> =
            raw.targets.into_iter().map(|(target, place)| (target, place.below(folder))).collect();
        moved_once(&targets)?;
        Ok(Self {
            name: raw.name,
            key: folder.join(raw.key),
            repository: raw.repository.map(|path| folder.join(path)),
            remote: raw.remote,
            root: raw.root,
            max_staleness: raw.max_staleness.unwrap_or(MAX_STALENESS),
            interval: raw.interval.unwrap_or(Span::seconds(10)),
            metrics_listen: raw.metrics_listen,
            wake: raw.wake.map(|path| folder.join(path)),
            targets,
            metrics: raw.metrics.map(|metrics| metrics.within(folder)),
        })
    }

    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<Self, Refusal> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Refusal::new(Reason::Io, format!("{}: {error}", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder)
    }
}

/// Refuses targets that move the same: each would put back what the other did.
fn moved_once(targets: &BTreeMap<TargetId, TargetConfig>) -> Result<(), Refusal> {
    let mut moved: BTreeMap<String, &TargetId> = BTreeMap::new();
    for (target, place) in targets {
        if let Some(other) = moved.insert(place.moves(), target) {
            let message =
                format!("the applier's configuration: targets {other} and {target} both move {}", place.moves());
            return Err(Refusal::new(Reason::Malformed, message).hint("make one target of them, or name two places"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconciler::drivers::DriverConfig;

    const TEMPLATE: &str = include_str!("../../templates/applier.yaml");

    #[test]
    fn paths_are_relative_to_the_file_and_what_is_left_out_has_its_default() {
        let config =
            ApplierConfig::parse("name: e\nkey: k\ntargets: {shop: {file: w.json}}\n", Path::new("/etc/x")).unwrap();
        assert_eq!(config.key, Path::new("/etc/x/k"));
        assert_eq!(
            config.targets[&TargetId::parse("shop").unwrap()].section,
            DriverConfig::File("/etc/x/w.json".into())
        );
        assert_eq!((config.max_staleness.as_secs(), config.interval.as_secs()), (900, 10));
        assert_eq!((config.remote, config.root), (None, None));
        let shortest = "name: e\nkey: k\ntargets: {}\ninterval: 1s\nmax-staleness: 1s\n";
        assert_eq!(ApplierConfig::parse(shortest, Path::new("")).unwrap().max_staleness.as_secs(), 1);
        let absolute = ApplierConfig::parse("name: e\nkey: /k\ntargets: {}\n", Path::new("/etc/x")).unwrap();
        assert_eq!(absolute.key, Path::new("/k"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            "",
            "name: e\nkey: k\n",
            "name: e\nkey: k\ntargets: {}\ncolour: red\n",
            "name: e\nname: f\nkey: k\ntargets: {}\n",
            "name: e\nkey: k\ntargets: {shop: {file: w, shell: x}}\n",
            "name: e\nkey: k\ntargets: {shop: {}}\n",
            "name: e\nkey: k\ntargets: {shop: {file: w, haproxy: {socket: s, backend: b, stable: [a], candidate: [b]}}}\n",
            "name: e\nkey: k\ntargets: {shop: {haproxy: {socket: s, backend: b, stable: [a], candidate: [a]}}}\n",
            "name: e\nkey: k\ntargets: {}\ninterval: 0s\n",
            "name: e\nkey: k\ntargets: {}\nmax-staleness: 0s\n",
            "name: e\nkey: k\ntargets: {}\nmax-staleness: soon\n",
            "name: e\nkey: k\ntargets: {}\nmetrics-listen: 0.0.0.0:9469\n",
            "name: e\nkey: k\ntargets: {}\nmetrics-listen: 192.0.2.1:9469\n",
            "name: e\nkey: k\ntargets: {}\nmetrics-listen: localhost\n",
            "name: e/f\nkey: k\ntargets: {}\n",
        ] {
            assert_eq!(ApplierConfig::parse(wrong, Path::new("")).unwrap_err().reason, Reason::Malformed, "{wrong}");
        }
    }

    #[test]
    fn what_is_moved_has_one_target() {
        let parse = |one: &str, other: &str| {
            let text = format!("name: e\nkey: k\ntargets:\n  blue: {one}\n  green: {other}\n");
            ApplierConfig::parse(&text, Path::new("/nowhere"))
        };
        let haproxy = |socket: &str, backend: &str, stable: &str, candidate: &str| {
            format!(
                "{{haproxy: {{socket: {socket}, backend: {backend}, stable: [{stable}], candidate: [{candidate}]}}}}"
            )
        };
        let git = |path: &str, at: &str| {
            format!("{{git: {{repository: r, path: {path}, stable: a.weight, candidate: {at}}}}}")
        };
        let nginx = |path: &str| {
            format!(
                "{{nginx: {{include: {path}, stable: a, candidate: b, test: [/bin/true], reload: [/bin/true], status: \"http://127.0.0.1:1/\"}}}}"
            )
        };
        let exec = |args: &str| format!("{{exec: {{program: /bin/true, args: [{args}]}}}}");
        for (one, same, other) in [
            ("{file: w.json}".to_owned(), "{file: /nowhere/w.json}".to_owned(), "{file: v.json}".to_owned()),
            (haproxy("s", "b", "x", "y"), haproxy("s", "b", "y", "x"), haproxy("s", "c", "x", "y")),
            (git("f", "b.weight"), git("f", "b.weight"), git("f", "c.weight")),
            (nginx("f"), nginx("f"), nginx("g")),
            (exec("a"), exec("a"), exec("b")),
        ] {
            let refused = parse(&one, &same).unwrap_err();
            assert_eq!(refused.reason, Reason::Malformed);
            assert!(refused.message.contains("targets blue and green both move "), "{}", refused.message);
            parse(&one, &other).unwrap();
        }
    }

    #[test]
    fn the_template_is_a_configuration() {
        let config = ApplierConfig::parse(TEMPLATE, Path::new("")).unwrap();
        assert_eq!(config.targets.len(), 1);
    }
}
