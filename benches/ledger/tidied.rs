//! A ledger before and after `tidy`: what its refs cost every push and fetch, and what the verbs take that look at all of it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    corpus::Ground,
    measure::{self, Hook},
    run::{self, cost, git, least, two_key},
};

/// What one ledger costs with its labels, and without those of leases that ended long ago.
pub struct Tidied {
    pub commits: usize,
    pub before: Costs,
    pub after: Costs,
    /// How long `tidy` took on the server.
    pub took: Duration,
}

/// What it costs with some refs.
pub struct Costs {
    pub refs: usize,
    /// Files of leases in the tree.
    pub files: usize,
    /// A push of one commit with an empty hook, and with ours.
    pub empty: Duration,
    pub push: Duration,
    /// A fetch of one commit by Git, and by `sync`, which fetches what is governed and pushes what is here.
    pub fetch: Duration,
    pub sync: Duration,
    pub doctor: Duration,
}

/// Measures the ledger, tidies it, and measures it again. What was remembered stays.
pub fn measure(folder: &Path, ground: &Ground, turns: usize) -> Tidied {
    let before = costs(folder, ground, turns);
    measure::install(folder, ground, Hook::Ours);
    let took = tidy(ground);
    let after = costs(folder, ground, turns);
    Tidied { commits: ground.commits, before, after, took }
}

/// Tidies the server.
pub fn tidy(ground: &Ground) -> Duration {
    ground.rewind();
    let took = cost(two_key(&ground.server).arg("tidy")).wall;
    // Its commits are the ledger's by now; everything else that is measured stands on the old tip.
    run::said(git(&ground.server).args(["branch", "--force", "tidied", "main"]));
    // What is remembered is of a tip that is not there any more: the next push remembers anew.
    let _ = fs::remove_dir_all(ground.server.join("two-key"));
    took
}

fn costs(folder: &Path, ground: &Ground, turns: usize) -> Costs {
    let tidied = git(&ground.server).args(["rev-parse", "--verify", "--quiet", "tidied"]).output();
    let tidied = tidied.is_ok_and(|output| output.status.success());
    let files = run::said(git(&ground.server).args([
        "ls-tree",
        "-r",
        "--name-only",
        if tidied { "tidied" } else { "main" },
        "leases",
    ]));
    ground.rewind();
    let clone = cloned(folder, ground);
    for verb in ["sync", "doctor"] {
        // The first one folds; what doctor finds is none of our business here.
        let _ = two_key(&clone).arg(verb).output();
    }
    let mut all: [Vec<Duration>; 5] = Default::default();
    for _ in 0..turns {
        let [empty, push] = [Hook::Empty, Hook::Ours].map(|hook| push(folder, ground, hook));
        let fetch = fetch(ground, &clone);
        // The branch here goes along with what came.
        run::said(git(&clone).args(["update-ref", "refs/heads/main", &ground.tip.to_string()]));
        let sync = cost(two_key(&clone).arg("sync")).wall;
        let doctor = run::cost_of_any(two_key(&clone).arg("doctor")).wall;
        all.iter_mut().zip([empty, push, fetch, sync, doctor]).for_each(|(all, one)| all.push(one));
    }
    let _ = fs::remove_dir_all(&clone);
    let [empty, push, fetch, sync, doctor] = all.map(least);
    let refs = run::said(git(&ground.server).arg("for-each-ref")).lines().count();
    Costs { refs, files: files.lines().count(), empty, push, fetch, sync, doctor }
}

/// A push of one commit.
pub fn push(folder: &Path, ground: &Ground, hook: Hook) -> Duration {
    let (_, tip) = ground.pushes.first().expect("a push");
    measure::push_once(folder, ground, hook, *tip)
}

/// A fetch of the commit that the last push brought.
pub fn fetch(ground: &Ground, clone: &Path) -> Duration {
    run::said(git(clone).args(["update-ref", "refs/remotes/origin/main", &ground.tip.to_string()]));
    cost(git(clone).args(["fetch", "-q", "origin"])).wall
}

/// A clone of the server that has all of its objects.
pub fn cloned(folder: &Path, ground: &Ground) -> PathBuf {
    let clone = folder.join("clone");
    let _ = fs::remove_dir_all(&clone);
    run::said(git(folder).args(["clone", "-q", "--no-checkout", "--shared", "server.git"]).arg(&clone));
    let root = run::said(git(&ground.server).args(["config", "two-key.root"]));
    run::said(git(&clone).args(["config", "two-key.root", &root]));
    clone
}
