//! The git driver: a deploy repository that Flux or Argo CD reconciles: weights are committed into a file and pushed. Only the
//! named numbers change; comments, order and every other byte stay.
//!
//! What is observed is the file at the remote's tip, freshly fetched. For which lease it was set, and which backend is
//! its candidate, the last commit for the target says in its message; where history was rewritten, a small file beside the
//! journal, or the lease's pack.

mod yaml;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Context, Driver, Setting, Sight, Snapshot, Survey,
    roles::{Pool, Remembered, Roles, Shares, candidate_of},
};
use crate::{
    gate::Pools,
    git::{NewCommit, PushOptions, Repository, SignWith, mirrored},
    model::{LeaseId, Oid, Percent, Reason, Refusal, TargetId, refs},
    reconciler::decision::Observed,
};

use yaml::YamlPath;

/// How long the deploy repository may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest manifest that is looked through.
const MAX_MANIFEST: usize = 1024 * 1024;
/// How often a push is tried again that another one was quicker than.
const ATTEMPTS: u32 = 4;

/// What it has to know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GitDriverConfig {
    /// The deploy repository: an address, or a path.
    pub repository: String,
    /// The branch that is reconciled.
    #[serde(default = "main")]
    pub branch: String,
    /// The file, in the repository.
    pub path: String,
    /// Where the weight is of the backend that serves before the first lease; none where one number says it all.
    pub stable: Option<YamlPath>,
    /// Where the weight is of the backend that serves nothing before the first lease.
    pub candidate: YamlPath,
    /// Where it says which version the candidate is, where one number says it all: it has to name what the lease names.
    pub version: Option<YamlPath>,
    /// What both weights are together.
    #[serde(default = "hundred")]
    pub total: u32,
}

fn main() -> String {
    "main".to_owned()
}

const fn hundred() -> u32 {
    100
}

impl GitDriverConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.total == 0 || self.total > 1_000_000 {
            return Err("git: total is between 1 and 1000000".to_owned());
        }
        if self.stable.is_some() == self.version.is_some() {
            return Err("git: either stable, for two weights, or version, for one".to_owned());
        }
        if self.repository.starts_with('-') || self.branch.starts_with('-') {
            return Err("git: neither repository nor branch begins with a dash".to_owned());
        }
        let climbs = self.path.split('/').any(|part| matches!(part, "" | "." | ".."));
        if climbs { Err(format!("git: `{}` is no path in a repository", self.path)) } else { Ok(()) }
    }

    /// Whether both weights would be whole numbers.
    pub(super) fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        self.numbers(weight_bp).map(drop).ok_or_else(|| {
            let percent = Percent::of(weight_bp);
            let message = format!("{percent} % of {} is no whole number, and weights are", self.total);
            Refusal::new(Reason::Malformed, message).hint("use another tier, or another total: 100 makes every percent")
        })
    }

    /// The weights of the candidate and of the stable backend.
    fn numbers(&self, weight_bp: u32) -> Option<(u32, u32)> {
        let product = u64::from(self.total) * u64::from(weight_bp.min(10_000));
        let candidate = u32::try_from(product / 10_000).ok().filter(|_| product.is_multiple_of(10_000))?;
        Some((candidate, self.total.saturating_sub(candidate)))
    }

    /// The weights in a file: of the stable backend, and of the candidate.
    fn weights(&self, text: &str) -> Result<(u32, u32), String> {
        let candidate = yaml::number(text, &self.candidate)?;
        let stable =
            self.stable.as_ref().map_or(Ok(self.total.saturating_sub(candidate)), |path| yaml::number(text, path));
        Ok((stable?, candidate))
    }

    /// A file with other weights.
    fn patch(&self, text: &str, (stable, candidate): (u32, u32)) -> Result<String, String> {
        let mut numbers = vec![(&self.candidate, candidate)];
        numbers.extend(self.stable.as_ref().map(|path| (path, stable)));
        yaml::patch(text, &numbers)
    }

    /// A backend's weight, for people.
    fn backends(&self, (stable, candidate): (u32, u32)) -> BTreeMap<String, u32> {
        let mut backends = BTreeMap::from([(self.candidate.to_string(), candidate)]);
        backends.extend(self.stable.as_ref().map(|path| (path.to_string(), stable)));
        backends
    }
}

/// How one file's weights are moved.
pub struct GitDriver {
    target: TargetId,
    config: GitDriverConfig,
    clone: PathBuf,
    /// What the lease names, by change and by artifacts.
    versions: Vec<String>,
    /// What the last commit here says of the pools' roles, where its message is gone.
    roles: Remembered,
    /// The lease that it is opened for.
    lease: Option<LeaseId>,
}

/// What is at the remote's tip.
struct There {
    repository: Repository,
    tip: Oid,
    text: String,
    /// The weights: of the stable backend, and of the candidate.
    weights: (u32, u32),
    roles: Option<Roles>,
}

/// What a snapshot's bytes say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitSnapshot {
    version: u32,
    path: String,
    commit: Oid,
    file: String,
    roles: Option<Roles>,
}

impl There {
    fn shares(&self) -> Result<Shares, Refusal> {
        shares(self.weights)
    }
}

/// What two weights give to each backend.
fn shares((stable, candidate): (u32, u32)) -> Result<Shares, Refusal> {
    if stable == 0 && candidate == 0 {
        return Err(Refusal::new(Reason::NoData, "both weights are zero in the deploy repository"));
    }
    Ok(Shares::of_sums(u64::from(stable), u64::from(candidate)))
}

impl GitDriver {
    /// A driver for a target's file.
    pub fn open(target: &TargetId, config: GitDriverConfig, context: &Context<'_>) -> Self {
        let versions = context.lease.map(|lease| {
            let change = lease.change.iter().map(|change| change.to.to_string());
            change.chain(lease.artifacts.iter().map(|artifact| artifact.digest.to_string())).collect()
        });
        let clone = context.folder.join(format!("{target}.git"));
        let roles = Remembered::of(target, context);
        Self {
            target: target.clone(),
            config,
            clone,
            versions: versions.unwrap_or_default(),
            roles,
            lease: context.lease.map(|lease| lease.id.clone()),
        }
    }

    /// Fetches, and reads what is at the tip.
    fn there(&self) -> Result<There, Refusal> {
        let refused = |error: crate::git::GitError| {
            let message = format!("the deploy repository {} cannot be read: {error}", self.config.repository);
            Refusal::new(Reason::NoData, message)
        };
        let url = &self.config.repository;
        let repository = if self.clone.join("HEAD").exists() {
            Repository::open(&self.clone)
        } else {
            Repository::clone_bare(url, &self.clone, PATIENCE)
        };
        let repository = repository.map_err(refused)?.with_patience(PATIENCE);
        match repository.fetch(url, &self.config.branch) {
            // A process that was killed left a lock behind. All that is in this clone comes from the remote anyway.
            Err(error) if error.to_string().contains(".lock") => {
                std::fs::remove_dir_all(&self.clone)
                    .map_err(|error| self.unknown(&format!("{}: {error}", self.clone.display())))?;
                return Err(refused(error));
            }
            fetched => fetched.map_err(refused)?,
        }
        let branch = mirrored(url, &format!("{}{}", refs::HEADS, self.config.branch));
        let tip = repository.resolve(&branch).map_err(refused)?;
        let tip = tip.ok_or_else(|| self.unknown(&format!("it has no branch {}", self.config.branch)))?;
        let bytes = repository.objects().and_then(|mut objects| objects.file_at(tip, &self.config.path));
        let bytes = bytes.map_err(refused)?.ok_or_else(|| self.unknown(&"the file is not there"))?;
        let text = String::from_utf8(bytes).map_err(|_| self.unknown(&"the file is not UTF-8"))?;
        let weights = self.config.weights(&text).map_err(|why| self.unknown(&why))?;
        let message = repository.last_message_with(tip, &Self::line("Target", &self.target)).map_err(refused)?;
        let there = There { repository, tip, text, weights, roles: message.as_deref().and_then(Self::roles) };
        let roles = if message.is_some() { there.roles.clone() } else { self.roles_without_history(&there) };
        Ok(There { roles, ..there })
    }

    /// Which pool has which role where no commit says so any more.
    fn roles_without_history(&self, there: &There) -> Option<Roles> {
        let known = self.roles.read().ok().flatten();
        known.or_else(|| {
            let (lease, candidate) = self.packed()?;
            // Where it serves nothing there is nothing to lose: the roles were taken back, or never given.
            let serves = there.shares().ok()?.of(candidate) > 0;
            serves.then(|| Roles { lease: lease.clone(), candidate })
        })
    }

    /// The candidate of a lease that is not written down, as its pack knows it.
    fn packed(&self) -> Option<(&LeaseId, Pool)> {
        let (lease, bytes) = self.roles.packed()?;
        let (before, weights) = self.parse(bytes).ok()?;
        Some((lease, candidate_of(lease, before.roles.as_ref(), shares(weights).ok()?).ok()?))
    }

    fn unknown(&self, why: &dyn std::fmt::Display) -> Refusal {
        let message = format!("{} in {} cannot be read: {why}", self.config.path, self.config.repository);
        Refusal::new(Reason::NoData, message)
    }

    /// Whether the version that the weight is of is one that the lease names. Two backends are told apart by their names.
    fn names_the_version(&self, there: &There) -> Result<(), Refusal> {
        let Some(path) = &self.config.version else { return Ok(()) };
        let (version, _) = yaml::find(&there.text, path).map_err(|why| self.unknown(&why))?;
        if self.versions.iter().any(|named| version.contains(named.as_str())) {
            return Ok(());
        }
        let message = format!("{path} in {} is {version}, which the lease does not name", self.config.path);
        Err(Refusal::new(Reason::Drift, message)
            .hint("name the image by its digest, and let the lease have that artifact"))
    }

    /// The lease's pool: with one number there is but one.
    fn pool(&self, lease: &LeaseId, there: &There) -> Result<Pool, Refusal> {
        if self.config.stable.is_none() {
            return Ok(Pool::Candidate);
        }
        let kept = self.roles.read().ok().flatten();
        if let Some(roles) = there.roles.iter().chain(&kept).find(|roles| roles.lease == *lease) {
            return Ok(roles.candidate);
        }
        // Where both are zero nobody serves, and a stop still finds its pool.
        let shares = there.shares().unwrap_or(Shares { stable_bp: 10_000, candidate_bp: 0 });
        let packed = self.packed().filter(|(id, _)| *id == lease);
        packed.map_or_else(|| candidate_of(lease, None, shares), |(_, candidate)| Ok(candidate))
    }

    fn line(name: &str, value: &dyn std::fmt::Display) -> String {
        format!("Rollout-{name}: {value}")
    }

    /// What a commit's message says.
    fn roles(message: &str) -> Option<Roles> {
        let value = |name: &str| {
            let start = format!("Rollout-{name}: ");
            message.lines().rev().find_map(|line| line.strip_prefix(&start))
        };
        let candidate = match value("Candidate")? {
            "stable" => Pool::Stable,
            "candidate" => Pool::Candidate,
            _ => return None,
        };
        Some(Roles { lease: LeaseId::parse(value("Lease")?)?, candidate })
    }

    fn message(&self, subject: &str, roles: Option<&Roles>) -> String {
        let mut lines = vec![format!("{}: {subject}", self.target), String::new(), Self::line("Target", &self.target)];
        match roles {
            None => lines.push(Self::line("Lease", &"none")),
            Some(Roles { lease, candidate }) => {
                lines.push(Self::line("Lease", lease));
                let word = if *candidate == Pool::Stable { "stable" } else { "candidate" };
                lines.push(Self::line("Candidate", &word));
            }
        }
        lines.join("\n") + "\n"
    }

    /// Where the weights are.
    fn paths(&self) -> impl Iterator<Item = &YamlPath> {
        self.config.stable.iter().chain([&self.config.candidate])
    }

    /// The YAML files of the folder in which the weights are, as far as they can be read.
    fn manifests(&self, there: &There) -> Result<Vec<(String, String)>, Refusal> {
        let unknown = |error: crate::git::GitError| self.unknown(&error);
        let folder = self.config.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut objects = there.repository.objects().map_err(unknown)?;
        let mut manifests = Vec::new();
        let is_yaml = |name: &String| [".yaml", ".yml"].iter().any(|end| name.ends_with(end));
        for (name, id) in objects.files_in(there.tip, folder).map_err(unknown)? {
            let is_read = is_yaml(&name) && objects.is_file_up_to(id, MAX_MANIFEST).map_err(unknown)?;
            if is_read && let Ok(text) = String::from_utf8(objects.blob(id).map_err(unknown)?) {
                manifests.push((name, text));
            }
        }
        Ok(manifests)
    }

    /// Commits and pushes other weights, unless they are there already; once more where somebody else was quicker.
    fn push(&self, subject: &str, change: impl Fn(&There) -> Result<ManifestChange, Refusal>) -> Result<(), Refusal> {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            let there = self.there()?;
            let ManifestChange { stable, candidate, roles } = change(&there)?;
            // What cannot be written down keeps no weight where it is: the commit says the same.
            let _ = self.roles.write(roles.as_ref());
            let text = self.config.patch(&there.text, (stable, candidate)).map_err(|why| self.unknown(&why))?;
            if text == there.text && roles == there.roles {
                return Ok(());
            }
            match self.commit(&there, &text, &self.message(subject, roles.as_ref()))? {
                None => return Ok(()),
                Some(rejected) => why = rejected,
            }
        }
        let message = format!("{} does not take a push to {}: {why}", self.config.repository, self.config.branch);
        Err(Refusal::new(Reason::Stale, message))
    }

    /// Why the push was rejected, if it was.
    fn commit(&self, there: &There, text: &str, message: &str) -> Result<Option<String>, Refusal> {
        let repository = &there.repository;
        let make = || {
            let tree = repository.objects()?.links(there.tip)?.tree;
            let tree = repository.with_files(Some(tree), &[(&self.config.path, Some(text.as_bytes()))])?;
            let parents = [there.tip];
            let commit = NewCommit { tree, parents: &parents, message, sign: SignWith::Nobody, who: "two-key" };
            let new = repository.commit_tree(&commit)?;
            let name = format!("{}{}", refs::HEADS, self.config.branch);
            let options = PushOptions { expected: vec![(name.clone(), Some(there.tip))], ..PushOptions::default() };
            repository.push(&self.config.repository, &[format!("{new}:{name}")], &options)
        };
        let outcome = make()?;
        Ok(outcome.rejected.first().map(|(_, why)| format!("{why} {}", outcome.remote.join(" "))))
    }

    fn parse(&self, snapshot: &[u8]) -> Result<(GitSnapshot, (u32, u32)), Refusal> {
        let before: GitSnapshot = serde_json::from_slice(snapshot).map_err(|error| bad(&error))?;
        if before.version != 1 || before.path != self.config.path {
            return Err(bad(&format!("it is of another form, or of {}", before.path)));
        }
        let weights = self.config.weights(&before.file).map_err(|why| bad(&why))?;
        Ok((before, weights))
    }
}

/// What a commit is to bring about.
struct ManifestChange {
    stable: u32,
    candidate: u32,
    roles: Option<Roles>,
}

fn bad(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::NoPack, format!("the snapshot is none of a deploy repository: {error}"))
}

impl Driver for GitDriver {
    fn name(&self) -> &'static str {
        "git/1"
    }

    fn sight(&self) -> Sight {
        Sight::Intent
    }

    fn pools(&self) -> Option<Pools> {
        let stable = self.config.stable.as_ref()?;
        let lease = self.lease.as_ref()?;
        let known = self.roles.read().ok().flatten().filter(|roles| roles.lease == *lease).map(|roles| roles.candidate);
        let packed = || self.packed().filter(|(id, _)| *id == lease).map(|(_, candidate)| candidate);
        let candidate = known.or_else(packed).or_else(|| self.pool(lease, &self.there().ok()?).ok())?;
        let name = |pool: Pool| {
            let path = if pool == Pool::Candidate { &self.config.candidate } else { stable };
            path.named().unwrap_or_else(|| path.to_string())
        };
        Some(Pools { candidate: name(candidate), stable: name(candidate.other()) })
    }

    fn survey(&self) -> Result<Survey, Refusal> {
        let there = self.there()?;
        let mut survey = Survey::default();
        for (name, text) in self.manifests(&there)? {
            let Some(key) = yaml::persistence(&text) else { continue };
            let message = format!(
                "{name} has `{key}`: people stay with the backend that they had, whatever the weights are, so that no stop moves them"
            );
            let hint = format!("take `{key}` out of {name}");
            survey.faults.push(Refusal::new(Reason::Malformed, message).hint(hint));
        }
        Ok(survey)
    }

    fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        self.config.reaches(weight_bp)
    }

    fn observe(&self) -> Result<Observed, Refusal> {
        let there = self.there()?;
        let shares = there.shares();
        Ok(match there.roles.clone() {
            Some(roles) => {
                let (stable, candidate) = there.weights;
                let own = if roles.candidate == Pool::Candidate { candidate } else { stable };
                // Without weight it serves nothing, even where nobody else does.
                let weight_bp = if own == 0 { 0 } else { shares?.of(roles.candidate) };
                // Another version than the lease's has not been given any weight by it.
                let ours = weight_bp == 0 || self.names_the_version(&there).is_ok();
                Observed { weight_bp, lease: Some(roles.lease).filter(|_| ours) }
            }
            None => Observed { weight_bp: shares?.candidate_bp, lease: None },
        })
    }

    fn shift(&self, to: &Setting) -> Result<(), Refusal> {
        self.config.reaches(to.weight_bp)?;
        let subject = format!("{} % to {} (step {})", Percent::of(to.weight_bp), to.lease, to.step);
        self.push(&subject, |there| {
            if to.weight_bp > 0 {
                self.names_the_version(there)?;
            }
            let pool = self.pool(&to.lease, there)?;
            let (part, rest) = self.config.numbers(to.weight_bp).unwrap_or((0, self.config.total));
            let (stable, candidate) = if pool == Pool::Candidate { (rest, part) } else { (part, rest) };
            Ok(ManifestChange { stable, candidate, roles: Some(Roles { lease: to.lease.clone(), candidate: pool }) })
        })
    }

    fn snapshot(&self) -> Result<Snapshot, Refusal> {
        let there = self.there()?;
        if there.roles.is_none() && there.shares()?.idle().is_none() {
            let message = format!("both backends of {} serve, and no commit says for which lease", self.config.path);
            return Err(Refusal::new(Reason::Drift, message).hint("give one of them no weight"));
        }
        if self.config.stable.is_none() && there.weights.1 != 0 {
            let message = format!("{} has weight already, and it is not the lease's", self.config.candidate);
            return Err(Refusal::new(Reason::Drift, message).hint("set it to 0 in the commit that changes the version"));
        }
        let backends = self.config.backends(there.weights);
        let (path, commit) = (self.config.path.clone(), there.tip);
        let before = GitSnapshot { version: 1, path, commit, file: there.text, roles: there.roles };
        let bytes = serde_json::to_vec(&before).map_err(|error| bad(&error))?;
        Ok(Snapshot { bytes, backends, commit: Some(commit.to_string()) })
    }

    fn rehearse(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
        let (_, (stable, candidate)) = self.parse(snapshot)?;
        let there = self.there()?;
        self.config.patch(&there.text, (stable, candidate)).map_err(|why| bad(&why))?;
        let set = |(path, weight): (String, u32)| format!("set {path} to {weight}");
        let mut plan: Vec<_> = self.config.backends((stable, candidate)).into_iter().map(set).collect();
        plan.push(format!("commit, and push to {} of {}", self.config.branch, self.config.repository));
        Ok(plan)
    }

    fn restore(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let (before, (stable, candidate)) = self.parse(snapshot)?;
        self.push("what was there before", |_| Ok(ManifestChange { stable, candidate, roles: before.roles.clone() }))
    }

    fn verify(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let (before, weights) = self.parse(snapshot)?;
        let there = self.there()?;
        let what = if there.weights != weights {
            let ((stable, candidate), (then_stable, then_candidate)) = (there.weights, weights);
            format!("weights {stable} and {candidate}, then {then_stable} and {then_candidate}")
        } else if there.roles != before.roles {
            "another lease is said to be there".to_owned()
        } else if !self.paths().all(|path| yaml::is_same_around(&there.text, &before.file, path)) {
            "what stands beside the weights".to_owned()
        } else {
            return Ok(());
        };
        let then = before.commit.short();
        let message = format!("{} is not what it was at commit {then} before the lease: {what}", self.config.path);
        let hint = format!("see what else changed: git diff {} {} -- {}", before.commit, there.tip, self.config.path);
        Err(Refusal::new(Reason::Drift, message).hint(hint))
    }

    fn changes(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
        let (before, weights) = self.parse(snapshot)?;
        let there = self.there()?;
        let (stable, candidate) = weights;
        let same = self.config.patch(&there.text, (stable, candidate)).is_ok_and(|text| text == before.file);
        let change = || {
            let then = before.commit.short();
            format!("what else {} says is no longer what it was at commit {then}", self.config.path)
        };
        Ok(if same { Vec::new() } else { vec![change()] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(total: u32) -> GitDriverConfig {
        serde_json::from_value(serde_json::json!({
            "repository": "/r", "path": "a/b.yaml", "stable": "a.weight", "candidate": "b.weight", "total": total,
        }))
        .unwrap()
    }

    #[test]
    fn a_share_that_is_no_whole_number_of_the_total_is_refused() {
        assert_eq!(config(100).reaches(500), Ok(()));
        assert_eq!(config(10).reaches(500).unwrap_err().reason, Reason::Malformed);
        assert_eq!(config(10).reaches(1_000), Ok(()));
        assert_eq!(config(1_000).numbers(550), Some((55, 945)));
    }

    #[test]
    fn paths_that_climb_and_words_that_are_options_are_refused() {
        assert_eq!(config(100).check(), Ok(()));
        for edit in [
            |config: &mut GitDriverConfig| config.path = "../x".to_owned(),
            |config: &mut GitDriverConfig| config.path = "/x".to_owned(),
            |config: &mut GitDriverConfig| config.repository = "--upload-pack=x".to_owned(),
            |config: &mut GitDriverConfig| config.total = 0,
            |config: &mut GitDriverConfig| config.version = Some(config.candidate.clone()),
            |config: &mut GitDriverConfig| config.stable = None,
        ] {
            let mut wrong = config(100);
            edit(&mut wrong);
            assert!(wrong.check().is_err());
        }
    }
}
