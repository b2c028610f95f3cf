//! Configuration of the driver for one backend, and the files that `HAProxy` itself reads.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::split;
use crate::{
    model::{Percent, Reason, Refusal},
    reconciler::drivers::roles::Pool,
};

/// The longest configuration that is read.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What it has to know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HaproxyDriverConfig {
    /// The runtime socket: `stats socket PATH level admin`.
    pub socket: PathBuf,
    /// The backend.
    pub backend: String,
    /// The servers that serve before the first lease.
    pub stable: Vec<String>,
    /// The servers that serve nothing before the first lease.
    pub candidate: Vec<String>,
    /// The files that a restart reads, in their order; by default those that the running process was started with.
    #[serde(default)]
    pub config: Vec<PathBuf>,
    /// A file that `HAProxy` loads its servers' state from when it starts: written whenever weights were moved.
    pub server_state: Option<PathBuf>,
}

impl HaproxyDriverConfig {
    /// Names are sent as words of commands, so they are held to what a name can be.
    pub(in super::super) fn check(&self) -> Result<(), String> {
        let plain = |name: &String| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
            !name.is_empty() && name.bytes().all(allowed)
        };
        if self.stable.is_empty() || self.candidate.is_empty() {
            return Err("haproxy: both stable and candidate name at least one server".to_owned());
        }
        let names = || self.stable.iter().chain(&self.candidate);
        if let Some(name) = names().chain([&self.backend]).find(|name| !plain(name)) {
            return Err(format!("haproxy: `{name}` is no name of a backend or server"));
        }
        let mut known = BTreeSet::new();
        match names().find(|name| !known.insert(name.as_str())) {
            Some(name) => Err(format!("haproxy: server {name} is named twice")),
            None => Ok(()),
        }
    }

    /// The same with its paths relative to a folder.
    #[must_use]
    pub(in super::super) fn below(self, folder: &Path) -> Self {
        let below = |path: PathBuf| folder.join(path);
        Self {
            socket: below(self.socket),
            config: self.config.into_iter().map(below).collect(),
            server_state: self.server_state.map(below),
            ..self
        }
    }

    /// Whether servers of one size could make a share exactly. What the servers really are, the driver asks.
    pub(in super::super) fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        let ones = |names: &[String]| vec![1; names.len()];
        split::split(weight_bp, &ones(&self.stable), &ones(&self.candidate))
            .map(drop)
            .map_err(|needed| self.unreachable(weight_bp, needed))
    }

    pub(super) fn unreachable(&self, weight_bp: u32, needed: u64) -> Refusal {
        let message = format!(
            "{} % cannot be made of the servers of backend {}: one would need weight {needed}, and HAProxy's end at {}",
            Percent::of(weight_bp),
            self.backend,
            split::MAX_WEIGHT
        );
        Refusal::new(Reason::Malformed, message)
            .hint("use another tier, another number of servers, or servers of equal weight")
    }

    pub(super) fn pool(&self, pool: Pool) -> &[String] {
        match pool {
            Pool::Stable => &self.stable,
            Pool::Candidate => &self.candidate,
        }
    }
}

/// The text of files, one after the other; of a folder its `.cfg` files, as `HAProxy` reads them.
pub(super) fn text(paths: &[PathBuf]) -> Result<String, String> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut inside: Vec<_> =
            entries.map_err(|error| failed(path, &error))?.iter().map(std::fs::DirEntry::path).collect();
        inside.retain(|path| path.extension().is_some_and(|extension| extension == "cfg"));
        inside.sort();
        files.extend(inside);
    }
    let mut text = String::new();
    for path in files {
        text.push_str(&std::fs::read_to_string(&path).map_err(|error| failed(&path, &error))?);
        text.push('\n');
        if text.len() > MAX_BYTES {
            return Err(failed(&path, &"it is too large"));
        }
    }
    Ok(text)
}

/// The configuration files that a process was started with, as its command line has them.
pub(super) fn of_process(number: u32) -> Result<Vec<PathBuf>, String> {
    let process = Path::new("/proc").join(number.to_string());
    let line = std::fs::read(process.join("cmdline")).map_err(|error| format!("process {number}: {error}"))?;
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let is_haproxy = words.first().is_some_and(|word| word.contains("haproxy"));
    let named = words.iter().zip(words.iter().skip(1)).filter(|(option, _)| *option == "-f");
    let folder = std::fs::read_link(process.join("cwd")).unwrap_or_default();
    let paths: Vec<_> = named.map(|(_, path)| folder.join(path.as_ref())).collect();
    if is_haproxy && !paths.is_empty() {
        Ok(paths)
    } else {
        Err(format!("process {number} does not say which files it was started with"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(stable: &[&str], candidate: &[&str]) -> HaproxyDriverConfig {
        let config = serde_json::json!({"socket": "s", "backend": "be", "stable": stable, "candidate": candidate});
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn names_that_would_be_more_than_one_word_of_a_command_are_refused() {
        assert_eq!(config(&["web1"], &["web2"]).check(), Ok(()));
        for (stable, candidate) in
            [(vec![], vec!["b"]), (vec!["a"], vec![]), (vec!["a; shutdown"], vec!["b"]), (vec!["a"], vec!["a"])]
        {
            assert!(config(&stable, &candidate).check().is_err(), "{stable:?} {candidate:?}");
        }
        assert!(HaproxyDriverConfig { backend: "be/web1".to_owned(), ..config(&["a"], &["b"]) }.check().is_err());
    }

    #[test]
    fn a_share_that_no_weights_make_is_refused_and_the_next_one_is_not() {
        let one_to_three = config(&["a"], &["b", "c", "d"]);
        let refused = one_to_three.reaches(100).unwrap_err();
        assert_eq!(refused.reason, Reason::Malformed);
        assert!(refused.message.contains("weight 297"), "{}", refused.message);
        assert_eq!(one_to_three.reaches(200), Ok(()));
    }

    #[test]
    fn a_folder_is_read_as_its_files_in_order_and_a_process_that_is_none_of_ours_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("b.cfg", "two"), ("a.cfg", "one"), ("c.txt", "three")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(text(&[folder.path().to_owned()]).unwrap(), "one\ntwo\n");
        assert!(text(&[folder.path().join("none.cfg")]).is_err());
        assert!(of_process(std::process::id()).is_err());
    }
}
