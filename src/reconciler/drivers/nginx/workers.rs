//! nginx's old workers: after a reload they go on with the connections that they had, also with those on which nobody has asked
//! anything yet, by the split that they were started with.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::dump::directives;

/// How nginx calls its master, and a worker that was told to end.
const MASTER: &str = "nginx: master process";
const OLD: &str = "nginx: worker process is shutting down";

/// The file that nginx's configuration, as `nginx -T` prints it, names for its master's id.
pub(super) fn pid_file(text: &str) -> Result<PathBuf, String> {
    let lines = directives(text);
    let named = lines.iter().filter(|line| line.block.is_empty()).find_map(|line| match line.words.as_slice() {
        [word, path] if word == "pid" => Some(PathBuf::from(path)),
        _ => None,
    });
    let path = named.ok_or("nginx's configuration has no line `pid`")?;
    if path.is_absolute() { Ok(path) } else { Err(format!("{} is no absolute path", path.display())) }
}

/// How long old workers may go on by nginx's configuration, as it says it; none where nothing bounds that.
pub(super) fn shutdown_timeout(text: &str) -> Option<String> {
    let lines = directives(text);
    let mut ours = lines.iter().filter(|line| line.block.is_empty());
    ours.find(|line| line.words.first().is_some_and(|word| word == "worker_shutdown_timeout"))?.words.get(1).cloned()
}

/// The workers of the nginx whose master's id a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Workers {
    /// All of them, each by its id and the tick at which it began, which together name it for good.
    pub(super) all: BTreeSet<String>,
    /// Those that were told to end.
    pub(super) old: BTreeSet<String>,
}

impl Workers {
    /// Looks at them; an error where their processes cannot be seen from here.
    pub(super) fn look(pid_file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(pid_file).map_err(|error| format!("{}: {error}", pid_file.display()))?;
        let master = text.trim();
        let is_id = !master.is_empty() && master.bytes().all(|byte| byte.is_ascii_digit());
        if !is_id || !title(master).is_some_and(|title| title.starts_with(MASTER)) {
            return Err(format!("process {master} of {} is not seen to be nginx's master", pid_file.display()));
        }
        let entries = fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))?;
        let (mut all, mut old) = (BTreeSet::new(), BTreeSet::new());
        for entry in entries.flatten() {
            let Ok(id) = entry.file_name().into_string() else { continue };
            let Some(born) = fs::read_to_string(entry.path().join("stat")).ok().and_then(|stat| born_of(&stat, master))
            else {
                continue;
            };
            let name = format!("{id}:{born}");
            if title(&id).is_some_and(|title| title.starts_with(OLD)) {
                old.insert(name.clone());
            }
            all.insert(name);
        }
        if all.is_empty() {
            return Err(format!("no worker of nginx's master {master} is seen"));
        }
        Ok(Self { all, old })
    }
}

/// What a process calls itself.
fn title(id: &str) -> Option<String> {
    let bytes = fs::read(Path::new("/proc").join(id).join("cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The tick since the system's start at which a process began, by its `stat`, if a parent is its own.
fn born_of(stat: &str, parent: &str) -> Option<String> {
    // The name, in brackets, may hold anything; after it: state, parent, … with the start as the 20th.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    words.nth(1).filter(|word| *word == parent)?;
    words.nth(17).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_the_master_and_how_long_the_old_ones_may_go_on_is_read_where_it_counts() {
        let text = "pid /run/nginx.pid;\nworker_shutdown_timeout 10s;\nhttp { server { pid /other; } }\n";
        assert_eq!(pid_file(text), Ok(PathBuf::from("/run/nginx.pid")));
        assert_eq!(shutdown_timeout(text).as_deref(), Some("10s"));
        assert!(pid_file(&text.replace("/run/nginx.pid", "logs/nginx.pid")).unwrap_err().contains("no absolute path"));
        let elsewhere = text.replace("pid /run/nginx.pid;\nworker_shutdown_timeout 10s;\n", "");
        assert!(pid_file(&elsewhere).unwrap_err().contains("no line `pid`"));
        assert_eq!(shutdown_timeout(&elsewhere), None);
    }

    #[test]
    fn a_child_is_told_by_its_parent_whatever_its_name_holds() {
        let stat = "32450 (ng) 7 (x) S 32447 32253 32253 0 -1 4194368 92 0 0 0 0 0 0 0 20 0 1 0 123456 11411456 1207";
        assert_eq!(born_of(stat, "32447").as_deref(), Some("123456"));
        assert_eq!(born_of(stat, "7"), None);
        assert_eq!(born_of("", "7"), None);
    }

    #[test]
    fn what_is_no_master_of_nginx_is_nobody_whose_workers_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        assert!(Workers::look(&file).is_err());
        for content in [std::process::id().to_string(), "../self".to_owned(), String::new()] {
            fs::write(&file, &content).unwrap();
            assert!(Workers::look(&file).unwrap_err().contains("is not seen to be nginx's master"), "{content}");
        }
    }
}
