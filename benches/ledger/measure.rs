//! What is measured. Whatever is compared is run in turns, and the middle of each is taken.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use git_two_key::{model::Oid, signature::ObjectFormat};

use super::{
    corpus::Ground,
    floor::Floor,
    run::{self, Cost, cost, git, least, median, two_key},
};

/// A count, to divide by.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn count(count: usize) -> f64 {
    count as f64
}

/// What verifying one ledger costs.
pub struct Verified {
    pub signed: usize,
    pub leases: usize,
    /// `verify --all`, with the commit-graph that `git gc` writes, and without one.
    pub ours: Duration,
    pub ours_cpu: Duration,
    pub without_graph: Duration,
    pub memory: Option<u64>,
    /// One commit by `git verify-commit`, one process for all.
    pub git: Duration,
    pub git_cpu: Duration,
    pub floor: Duration,
}

/// Measures verifying.
pub fn verify(folder: &Path, ground: &Ground, format: ObjectFormat, turns: usize, sample: usize) -> Verified {
    let floor = Floor::of(&ground.server, folder, format);
    assert_eq!(floor.ids.len(), ground.signed, "every signed commit is found");
    let every = (floor.ids.len() / sample).max(1);
    let some: Vec<&str> = floor.ids.iter().step_by(every).map(String::as_str).collect();
    let signers = format!("gpg.ssh.allowedSignersFile={}", allowed_signers(folder).display());
    let all = || cost(two_key(&ground.server).args(["verify", "--all"]));
    let mut costs: [Vec<Duration>; 6] = Default::default();
    for _ in 0..turns {
        let _ = fs::remove_file(ground.server.join("objects/info/commit-graph"));
        let without_graph = all();
        let by_git = cost(git(&ground.server).args(["-c", &signers, "verify-commit"]).args(&some));
        let least = floor.measure(&ground.server);
        run::said(git(&ground.server).args(["commit-graph", "write", "--reachable"]));
        let ours = all();
        let Cost { wall, cpu } = by_git;
        let count = u32::try_from(some.len()).expect("a small sample");
        let values = [ours.wall, ours.cpu, without_graph.wall, wall / count, cpu / count, least];
        costs.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
    }
    let memory = run::peak_memory(two_key(&ground.server).args(["verify", "--all"]).stdin(Stdio::null()));
    let [ours, ours_cpu, without_graph, git, git_cpu, floor] = costs.map(median);
    let (signed, leases) = (ground.signed, ground.leases);
    Verified { signed, leases, ours, ours_cpu, without_graph, memory, git, git_cpu, floor }
}

fn allowed_signers(folder: &Path) -> PathBuf {
    let file = folder.join("allowed_signers");
    let line = |name: &str| {
        let key = fs::read_to_string(folder.join(format!("{name}.pub"))).expect("a key");
        format!("{name} namespaces=\"git\" {key}")
    };
    fs::write(&file, ["user1", "user2", "cp14"].map(line).concat()).expect("a file");
    file
}

/// What a push of some commits costs over a push to a server with an empty hook.
pub struct Pushed {
    pub commits: usize,
    /// The whole push with the empty hook.
    pub empty: Duration,
    /// What is added by our hook, with and without what it remembers, and by `git verify-commit` in a hook.
    pub ours: Duration,
    pub forgetful: Option<Duration>,
    pub shell: Duration,
    /// What the two take over an empty one when they are run by themselves, the commits being there already.
    pub ours_alone: Duration,
    pub shell_alone: Duration,
    /// What our hook has resident at most, in MiB.
    pub memory: Option<u64>,
}

/// A server's hook.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Empty,
    Ours,
    Shell,
}

/// Measures pushes.
pub fn push(folder: &Path, ground: &Ground, turns: usize, forgetful: usize) -> Vec<Pushed> {
    let one = |hook, tip| push_once(folder, ground, hook, tip);
    if let Some((_, tip)) = ground.pushes.first() {
        // The first one remembers.
        one(Hook::Ours, *tip);
    }
    let memory = ground.server.join("two-key");
    let each = |(commits, tip): &(usize, Oid)| {
        let in_turn = |turns, one: &dyn Fn(Hook) -> Duration| {
            let mut costs: [Vec<Duration>; 3] = Default::default();
            for _ in 0..turns {
                for (costs, hook) in costs.iter_mut().zip([Hook::Empty, Hook::Ours, Hook::Shell]) {
                    if hook != Hook::Shell || costs.is_empty() || *commits < 100 {
                        costs.push(one(hook));
                    }
                }
            }
            costs.map(median)
        };
        let [empty, ours, shell] = in_turn(turns, &|hook| one(hook, *tip));
        // The last of these pushes brought the commits.
        let [empty_alone, ours_alone, shell_alone] = in_turn(3 * turns, &|hook| hook_alone(folder, ground, hook, *tip));
        let kept = folder.join("kept");
        let forgotten = || {
            fs::rename(&memory, &kept).expect("the hook's memory");
            let took = one(Hook::Ours, *tip);
            fs::remove_dir_all(&memory).and_then(|()| fs::rename(&kept, &memory)).expect("the hook's memory");
            took
        };
        // It costs a whole verification, whatever is pushed.
        let forgetful = if *commits < 10 { forgetful } else { 0 };
        let without: Vec<_> = (0..forgetful).map(|_| forgotten()).collect();
        let over = |all: Duration| all.saturating_sub(empty);
        Pushed {
            commits: *commits,
            empty,
            ours: over(ours),
            forgetful: (forgetful > 0).then(|| over(median(without))),
            shell: over(shell),
            ours_alone: ours_alone.saturating_sub(empty_alone),
            shell_alone: shell_alone.saturating_sub(empty_alone),
            memory: run::peak_memory(&mut alone(folder, ground, Hook::Ours, *tip)),
        }
    };
    let measured = ground.pushes.iter().map(each).collect();
    ground.rewind();
    measured
}

impl Hook {
    fn script(self, folder: &Path) -> String {
        match self {
            Self::Empty => "#!/bin/sh\nexit 0\n".to_owned(),
            Self::Ours => format!("#!/bin/sh\nexec '{}' hook pre-receive\n", run::program()),
            Self::Shell => format!(
                "#!/bin/sh\nwhile read old new ref; do\n  git -c gpg.ssh.allowedSignersFile='{}' verify-commit \
                 $(git rev-list --no-merges $old..$new) || exit 1\ndone\n",
                allowed_signers(folder).display()
            ),
        }
    }
}

/// What it takes to run a hook as a push of commits would that the server has already.
fn hook_alone(folder: &Path, ground: &Ground, hook: Hook, tip: Oid) -> Duration {
    cost(&mut alone(folder, ground, hook, tip)).wall
}

/// A hook, as Git starts it.
fn alone(folder: &Path, ground: &Ground, hook: Hook, tip: Oid) -> Command {
    let (script, updates) = (folder.join("hook"), folder.join("updates"));
    write_script(&script, &hook.script(folder));
    fs::write(&updates, format!("{} {tip} refs/heads/main\n", ground.tip)).expect("a file");
    ground.rewind();
    let mut hook = run::command(&script);
    hook.current_dir(&ground.server).env("GIT_DIR", ".").stdin(fs::File::open(&updates).expect("a file"));
    hook
}

/// A push of a commit to the server, which has the ledger before it.
pub fn push_once(folder: &Path, ground: &Ground, hook: Hook, tip: Oid) -> Duration {
    install(folder, ground, hook);
    ground.rewind();
    let (server, refspec) = (ground.server.to_string_lossy().into_owned(), format!("{tip}:refs/heads/main"));
    cost(git(&ground.client).args(["push", "-q", &server, &refspec])).wall
}

/// Makes a hook the server's.
pub fn install(folder: &Path, ground: &Ground, hook: Hook) {
    fs::create_dir_all(ground.server.join("hooks")).expect("a folder");
    write_script(&ground.server.join("hooks/pre-receive"), &hook.script(folder));
}

/// How many times more our hook takes, over an empty one, for the same push in each of two ledgers: the least of runs in turn.
pub fn growth(grounds: [(&Path, &Ground); 2], push: usize, turns: usize) -> f64 {
    for (folder, ground) in grounds {
        // Now the commits are there, and what the hook remembers.
        push_once(folder, ground, Hook::Ours, ground.pushes[push].1);
    }
    let mut costs: [[Vec<Duration>; 2]; 2] = Default::default();
    for _ in 0..turns {
        for (costs, (folder, ground)) in costs.iter_mut().zip(grounds) {
            for (costs, hook) in costs.iter_mut().zip([Hook::Empty, Hook::Ours]) {
                costs.push(hook_alone(folder, ground, hook, ground.pushes[push].1));
            }
        }
    }
    let [short, long] = costs.map(|[empty, ours]| least(ours).saturating_sub(least(empty)).as_secs_f64());
    long / short
}

fn write_script(path: &Path, script: &str) {
    fs::write(path, script).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a script");
}

/// The verbs that look, and one that is about to sign; what they are about is put in for `LEASE`.
pub const VERBS: [(&str, &[&str]); 7] = [
    ("status", &["status", "--offline"]),
    ("list", &["list", "--offline"]),
    ("list --short", &["list", "--short", "--offline"]),
    ("show", &["show", "LEASE", "--offline"]),
    ("sign --dry-run", &["sign", "LEASE", "--dry-run", "--offline"]),
    ("log --since 1d", &["log", "--since", "1d", "--offline"]),
    ("log", &["log", "--offline"]),
];

/// What reading costs.
pub struct Read {
    pub commits: usize,
    pub leases: usize,
    /// `list` where nothing is remembered, and where there are so many commits more than what is remembered.
    pub first: Duration,
    pub fetched: Duration,
    /// Each verb where what there is is remembered.
    pub costs: [Duration; VERBS.len()],
    /// What each has resident at most, in MiB.
    pub memory: [Option<u64>; VERBS.len()],
    /// `verify --all` in the same run.
    pub verify: Duration,
}

/// Commits that come in with a fetch.
pub const FETCHED: usize = 100;

/// Measures what reading verbs cost.
pub fn read(folder: &Path, ground: &Ground, turns: usize) -> Read {
    let remembered = ground.server.join("two-key");
    let list = |tip: &str| {
        run::said(git(&ground.server).args(["update-ref", "refs/heads/main", tip]));
        cost(two_key(&ground.server).args(["list", "--offline"])).wall
    };
    // A lease that awaits a key, and one who may turn one.
    let all = run::said(two_key(&ground.server).args(["list", "--format", "json", "--offline"]));
    let all: serde_json::Value = serde_json::from_str(&all).expect("a list");
    let mut leases = all["leases"].as_array().expect("leases").iter();
    let cosign = leases.rfind(|lease| lease["awaits"]["action"] == "cosign");
    let lease = cosign.and_then(|lease| lease["lease"].as_str()).expect("a lease that awaits a cosignature").to_owned();
    let key = |word: &str| cosign.is_some_and(|lease| lease["awaits"]["who"].to_string().contains(word));
    let key = ["user1", "user2", "cp14"].into_iter().find(|name| key(name)).expect("somebody who may cosign");
    let key = folder.join(key).display().to_string();
    let verb = |words: &[&str]| {
        let mut verb = two_key(&ground.server);
        verb.args(words.iter().map(|word| if *word == "LEASE" { lease.as_str() } else { word }));
        if words[0] == "sign" {
            verb.args(["--key", &key]);
        }
        verb
    };
    let (tip, before) = (ground.tip.to_string(), format!("{}~{FETCHED}", ground.tip));
    let (mut first, mut fetched, mut verify) = (Vec::new(), Vec::new(), Vec::new());
    let mut costs: [Vec<Duration>; VERBS.len()] = Default::default();
    for _ in 0..turns {
        let _ = fs::remove_dir_all(&remembered);
        first.push(list(&before));
        fetched.push(list(&tip));
        for _ in 0..3 {
            for (costs, (_, words)) in costs.iter_mut().zip(VERBS) {
                costs.push(cost(&mut verb(words)).wall);
            }
        }
        verify.push(cost(two_key(&ground.server).args(["verify", "--all"])).wall);
    }
    let memory = VERBS.map(|(_, words)| run::peak_memory(verb(words).stdin(Stdio::null())));
    let (first, fetched, verify) = (median(first), median(fetched), median(verify));
    let (commits, leases) = (ground.commits, ground.leases);
    Read { commits, leases, first, fetched, costs: costs.map(median), memory, verify }
}

/// What it costs to start our program, and Git.
pub fn start(turns: usize) -> [Duration; 2] {
    let mut costs: [Vec<Duration>; 2] = Default::default();
    for _ in 0..turns {
        costs[0].push(cost(run::command(run::program()).arg("--version")).wall);
        costs[1].push(cost(run::command("git").arg("--version")).wall);
    }
    costs.map(median)
}

/// How many pushes a second one branch takes, from so many clients at once who each fetch, commit and push.
pub fn clients(folder: &Path, ground: &Ground, clients: usize, seconds: u64) -> f64 {
    install(folder, ground, Hook::Ours);
    ground.rewind();
    let (landed, start) = (AtomicUsize::new(0), Instant::now());
    let limit = Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for number in 0..clients {
            let landed = &landed;
            scope.spawn(move || {
                let clone = folder.join(format!("client-{number}.git"));
                let _ = fs::remove_dir_all(&clone);
                run::said(git(folder).args(["clone", "-q", "--bare", "--shared", "server.git"]).arg(&clone));
                while start.elapsed() < limit {
                    run::said(git(&clone).args(["fetch", "-q", "origin", "+refs/heads/main:refs/heads/main"]));
                    let message = format!("By {number}");
                    let commit =
                        git(&clone).args(["commit-tree", "-p", "main", "-m", &message, "main^{tree}"]).output();
                    let commit =
                        String::from_utf8_lossy(&commit.expect("git commit-tree").stdout).trim_end().to_owned();
                    let push =
                        git(&clone).args(["push", "-q", "origin", &format!("{commit}:refs/heads/main")]).output();
                    if push.expect("git push").status.success() {
                        landed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let landed = u32::try_from(landed.into_inner()).unwrap_or(u32::MAX);
    f64::from(landed) / start.elapsed().as_secs_f64()
}
