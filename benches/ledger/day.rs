//! A long run: votes that land one by one, each judged by the hook and moved as a push of its own, without Git's transfer of it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    corpus::Ground,
    run::{self, git, median},
};

/// Commits that the ledger has before.
const BEFORE: usize = 1_000;
/// Of the votes so many at the beginning and at the end are timed.
const SAMPLE: usize = 200;

/// What was seen of a long run.
pub struct Day {
    pub votes: usize,
    pub took: Duration,
    /// One vote by the hook and its move, at the beginning and at the end.
    pub first: Duration,
    pub last: Duration,
    /// What the hook has resident, likewise, in MiB.
    pub memory: [Option<u64>; 2],
    /// Files of what the server remembers of the ledger, and their bytes.
    pub files: usize,
    pub bytes: u64,
    /// Files of what was admitted in the last ten minutes, one a push.
    pub admitted: usize,
}

/// Lands so many votes.
pub fn run(folder: &Path, votes: usize) -> Day {
    let ground = Ground::make(folder, BEFORE, git_two_key::signature::ObjectFormat::Sha1, &[votes]).expect("a ledger");
    let root = run::said(git(&ground.server).args(["config", "two-key.root"]));
    let mut hooks = run::two_key(folder);
    run::said(hooks.args(["hook", "install", "server.git", "--root", &root]));
    // All objects are there, as after the transfer.
    let objects = ground.client.join("objects");
    fs::write(ground.server.join("objects/info/alternates"), format!("{}\n", objects.display())).expect("a file");
    fs::remove_file(ground.client.join("objects/info/alternates")).expect("a file");
    let (_, end) = ground.pushes.first().expect("a push");
    let range = format!("{}..{end}", ground.tip);
    let chain = run::said(git(&ground.server).args(["rev-list", "--first-parent", "--reverse", &range]));
    let (mut tip, mut each, began) = (ground.tip.to_string(), Vec::new(), Instant::now());
    let updates = folder.join("updates");
    let memory = |old: &str, new: &str| {
        fs::write(&updates, format!("{old} {new} refs/heads/main\n")).expect("a file");
        run::peak_memory(&mut hook(&ground, &updates))
    };
    let first = chain.lines().next().map(|next| memory(&tip, next));
    let mut before_last = tip.clone();
    for next in chain.lines() {
        let start = Instant::now();
        fs::write(&updates, format!("{tip} {next} refs/heads/main\n")).expect("a file");
        run::said_with(&mut hook(&ground, &updates));
        run::said(git(&ground.server).args(["update-ref", "refs/heads/main", next, &tip]));
        each.push(start.elapsed());
        before_last = std::mem::replace(&mut tip, next.to_owned());
    }
    let took = began.elapsed();
    let last = memory(&before_last, &tip);
    let (all, bytes) = weigh(&ground.server.join("two-key"));
    let (admitted, of_these) = weigh(&ground.server.join("two-key/admitted"));
    let (files, bytes) = (all - admitted, bytes - of_these);
    let votes = each.len();
    let sample = SAMPLE.min(votes / 2);
    let at_end = each.split_off(votes - sample);
    each.truncate(sample);
    Day {
        votes,
        took,
        first: median(each),
        last: median(at_end),
        memory: [first.flatten(), last],
        files,
        bytes,
        admitted,
    }
}

/// The server's own hook, as Git starts it.
fn hook(ground: &Ground, updates: &Path) -> std::process::Command {
    let mut hook = run::command(ground.server.join("hooks/pre-receive"));
    hook.current_dir(&ground.server).env("GIT_DIR", ".").stdin(fs::File::open(updates).expect("a file"));
    hook
}

/// How many files there are below a folder, and how large they are.
fn weigh(folder: &Path) -> (usize, u64) {
    let (mut files, mut bytes, mut open) = (0, 0, vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(file) if file.is_dir() => open.push(entry.path()),
                Ok(file) => (files, bytes) = (files + 1, bytes + file.len()),
                Err(_) => {}
            }
        }
    }
    (files, bytes)
}
