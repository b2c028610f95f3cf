//! sequoia-git, another program that says whether a history was authorized: measured on a history of its own kind, signed with
//! `OpenPGP`. Needs `sq-git` (`cargo install sequoia-git`, or its path in `SQ_GIT`) and `gpg`; without them it is left out.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration};

use git_two_key::signature::ObjectFormat;

use super::{
    corpus::Ground,
    run::{self, cost, median, two_key},
};

/// Commits of the history that is verified, at its end and on the way there.
const COMMITS: usize = 10_000;
const ON_THE_WAY: usize = 1_000;

/// What sequoia-git costs.
pub struct Peer {
    pub version: String,
    /// `sq-git log` of so many commits, without its cache and again with it.
    pub logs: Vec<(usize, [Duration; 2])>,
    /// Signed commits of a ledger as long as its history, and `verify --all` of that.
    pub ours: (usize, Duration),
    /// Commits pushed, and what `sq-git update-hook` adds to a push over an empty hook: without its cache, and with all in it that
    /// the server had before.
    pub pushes: Vec<(usize, [Duration; 2])>,
}

/// Measures it, if it is here.
pub fn measure(folder: &Path, pushes: &[usize], turns: usize) -> Option<Peer> {
    let program = std::env::var("SQ_GIT").unwrap_or_else(|_| "sq-git".to_owned());
    let version = run::command(&program).arg("version").output().ok()?;
    run::command("gpg").arg("--version").output().ok()?;
    let version = [version.stdout, version.stderr].concat();
    let version = String::from_utf8_lossy(&version).lines().next().unwrap_or_default().to_owned();
    let history = History::make(folder, program);

    let ledger = folder.join("ledger");
    fs::create_dir_all(&ledger).expect("a folder");
    let ground = Ground::make(&ledger, COMMITS, ObjectFormat::Sha1, &[]).expect("a ledger");
    run::said(run::git(&ground.server).args(["commit-graph", "write", "--reachable"]));

    let (mut logs, mut ours): ([[Vec<Duration>; 2]; 2], Vec<Duration>) = Default::default();
    for _ in 0..turns {
        for (costs, commits) in logs.iter_mut().zip([ON_THE_WAY, COMMITS]) {
            let tip = history.commit(commits);
            costs[0].push(history.without_cache(|| history.log(tip)));
            costs[1].push(history.with_cache_of(tip, || history.log(tip)));
        }
        ours.push(cost(two_key(&ground.server).args(["verify", "--all"])).wall);
    }
    let logs = [ON_THE_WAY, COMMITS].into_iter().zip(logs.map(|costs| costs.map(median))).collect();
    let pushes = pushes.iter().map(|commits| (*commits, history.push(*commits, turns))).collect();
    Some(Peer { version, logs, ours: (ground.signed, median(ours)), pushes })
}

/// A repository with a policy for sequoia-git, signed commits, and a server to push them to.
struct History<'a> {
    folder: &'a Path,
    program: String,
    root: String,
    /// Oldest first.
    commits: Vec<String>,
}

impl<'a> History<'a> {
    fn make(folder: &'a Path, program: String) -> Self {
        let keys = folder.join("gnupg");
        fs::create_dir_all(&keys).expect("a folder");
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).expect("our own folder");
        let mut history = Self { folder, program, root: String::new(), commits: Vec::new() };
        let key = ["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "A Person <a@example>", "ed25519"];
        run::said(history.gpg().args(key).args(["sign", "never"]));
        let exported = run::said(history.gpg().args(["--export", "--armor"])) + "\n";
        fs::write(folder.join("certificate"), exported).expect("a file");
        run::said(run::git(folder).args(["init", "-q", "-b", "main", "history"]));
        let certificate = folder.join("certificate");
        let authorize = ["policy", "authorize", "a", "--project-maintainer", "--cert-file"];
        run::said(history.sq_git().args(authorize).arg(&certificate));
        run::said(history.git().args(["add", "-A"]));
        run::said(history.git().args(["commit", "-q", "-Sa@example", "-m", "A policy"]));
        history.root = run::said(history.git().args(["rev-parse", "HEAD"]));
        let mut parent = history.root.clone();
        for number in 1..COMMITS {
            let message = format!("Commit {number}");
            let commit = ["commit-tree", "-Sa@example", "-p", &parent, "-m", &message, "HEAD^{tree}"];
            parent = run::said(history.git().args(commit));
            history.commits.push(parent.clone());
        }
        run::said(history.git().args(["update-ref", "refs/heads/main", &parent]));
        run::said(run::git(folder).args(["clone", "-q", "--bare", "history", "server.git"]));
        // gpg leaves it running.
        run::said(history.with_keys(run::command("gpgconf")).args(["--kill", "gpg-agent"]));
        history
    }

    /// The tip of the first so many commits, the root among them.
    fn commit(&self, number: usize) -> &str {
        self.commits.get(number - 2).expect("a commit of the history")
    }

    /// What verifying up to a commit takes.
    fn log(&self, tip: &str) -> Duration {
        cost(self.sq_git().args(["log", "--trust-root", &self.root, tip])).wall
    }

    /// Does something without a cache. sequoia-git keeps none where there is no folder for it.
    fn without_cache<T>(&self, act: impl FnOnce() -> T) -> T {
        let _ = fs::remove_dir_all(self.folder.join(".cache"));
        act()
    }

    /// Does something with all in the cache up to a commit.
    fn with_cache_of<T>(&self, tip: &str, act: impl FnOnce() -> T) -> T {
        let cache = self.folder.join(".cache");
        let _ = fs::remove_dir_all(&cache);
        fs::create_dir_all(&cache).expect("a folder");
        self.log(tip);
        assert!(cache.join("sq-git.verification.cache").exists(), "sq-git keeps a cache");
        act()
    }

    /// What a hook adds to a push of so many commits.
    fn push(&self, commits: usize, turns: usize) -> [Duration; 2] {
        let before = self.commit(COMMITS - commits);
        let ours = format!("#!/bin/sh\nexec '{}' update-hook --trust-root={} \"$@\"\n", self.program, self.root);
        let mut costs: [Vec<Duration>; 3] = Default::default();
        for _ in 0..turns {
            costs[0].push(self.push_once(before, "#!/bin/sh\nexit 0\n"));
            costs[1].push(self.without_cache(|| self.push_once(before, &ours)));
            costs[2].push(self.with_cache_of(before, || self.push_once(before, &ours)));
        }
        let [empty, cold, warm] = costs.map(median);
        [cold, warm].map(|hook| hook.saturating_sub(empty))
    }

    fn push_once(&self, before: &str, script: &str) -> Duration {
        let server = self.folder.join("server.git");
        let hook = server.join("hooks/update");
        fs::write(&hook, script).expect("a hook");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("a hook");
        run::said(run::git(&server).args(["update-ref", "refs/heads/main", before]));
        cost(self.git().args(["push", "-q"]).arg(&server).arg("main")).wall
    }

    fn with_keys(&self, mut command: Command) -> Command {
        command.env("GNUPGHOME", self.folder.join("gnupg")).env("HOME", self.folder);
        command
    }

    fn gpg(&self) -> Command {
        self.with_keys(run::command("gpg"))
    }

    fn git(&self) -> Command {
        self.with_keys(run::git(&self.folder.join("history")))
    }

    fn sq_git(&self) -> Command {
        let mut command = self.with_keys(run::command(&self.program));
        command.current_dir(self.folder.join("history"));
        command
    }
}
