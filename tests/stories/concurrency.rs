//! Many clients at once against one server with the hook: nothing that was accepted is lost, nothing is half applied, no two
//! pushes together break a rule, and a rollback is never outrun.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::kit::{
    self, LEASE, Ran,
    scene::{MAIN, Scene},
};

/// More leases, to be cosigned at once.
const OTHERS: [&str; 2] = ["LEASE-20251028-000000", "LEASE-20251029-000000"];

/// Somebody with a clone and a key, who can be in another thread.
struct Client {
    folder: PathBuf,
    env: Vec<(OsString, OsString)>,
    key: PathBuf,
}

impl Client {
    fn new(scene: &Scene, name: &str) -> Self {
        Self::number(0, scene, name)
    }

    /// One of several clones of somebody's.
    fn number(number: usize, scene: &Scene, name: &str) -> Self {
        let folder = scene.world.path().join(format!("clone {number} of {name}"));
        scene.world.git(&["clone", "--quiet", scene.server.to_str().unwrap(), folder.to_str().unwrap()]);
        scene.world.run(&folder, "git", &["config", "two-key.root", &scene.root], b"").exits(0);
        let command = scene.world.command(&folder, "git");
        let env = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        Self { folder, env, key: scene.world.key_file(name) }
    }

    fn run(&self, program: &str, args: &[&str]) -> Ran {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder).env_clear().envs(self.env.clone()).stdin(Stdio::null());
        let output = command.output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn git(&self, args: &[&str]) -> String {
        self.run("git", args).exits(0).out.trim_end().to_owned()
    }

    /// Turns a key and pushes.
    fn turns(&self, verb: &str, lease: &str) -> Ran {
        self.run(
            env!("CARGO_BIN_EXE_git-two-key"),
            &[verb, lease, "--push", "--yes", "--key", self.key.to_str().unwrap()],
        )
    }

    /// An empty commit on the server's tip, as anybody may push who has no key at all.
    fn floods(&self) -> bool {
        self.git(&["fetch", "--quiet", "origin"]);
        let commit = self.git(&["commit-tree", "-p", "origin/main", "-m", "Flood", "origin/main^{tree}"]);
        self.run("git", &["push", "--quiet", "origin", &format!("{commit}:{MAIN}")]).code == 0
    }
}

/// What the server's ledger says, read by a clone that has only what the server has, stop refs too.
fn audit(scene: &Scene, verb: &[&str]) -> Ran {
    let folder = scene.world.path().join("auditor.git");
    if !folder.exists() {
        scene.world.git(&["init", "--quiet", "--bare", "--initial-branch=main", folder.to_str().unwrap()]);
        scene.world.run(&folder, "git", &["config", "two-key.root", &scene.root], b"").exits(0);
    }
    let refs = ["+refs/heads/*:refs/heads/*", "+refs/two-key/*:refs/two-key/*", "+refs/tags/*:refs/tags/*"];
    let fetch = [&["fetch", "--quiet", scene.server.to_str().unwrap()][..], &refs].concat();
    scene.world.run(&folder, "git", &fetch, b"").exits(0);
    scene.world.two_key_in(&folder, verb)
}

/// Whether the server's main has a commit.
fn on_main(scene: &Scene, client: &Client) -> bool {
    let tip = client.git(&["rev-parse", "main"]);
    scene.on_server(&["merge-base", "--is-ancestor", &tip, "main"]).code == 0
}

/// The principals whose votes for something the whole history holds.
fn voters(scene: &Scene, lines: &str) -> BTreeSet<String> {
    let messages = scene.on_server(&["log", "--format=%B%x00", "main"]).out;
    let votes = messages.split('\0').filter(|message| message.contains(lines)).flat_map(str::lines);
    // A commit names its signer, a sealed line its own.
    let name = |line: &str| {
        let own = line.strip_prefix("Two-Key-Principal: ").or_else(|| line.strip_prefix("Two-Key-Cosignature: "))?;
        own.split(' ').next().map(str::to_owned)
    };
    votes.filter_map(name).collect()
}

#[test]
fn many_clients_at_once_lose_nothing_and_break_no_rule() {
    let scene = Scene::rolling();
    for id in OTHERS {
        scene.world.commit_file(&format!("leases/{id}.yaml"), &kit::lease(id), "Propose a lease");
    }
    scene.push(&["main"]).exits(0);
    let clients = ["user1", "user2", "cp14", "cp18"].map(|name| (name, Client::new(&scene, name)));
    let together = Barrier::new(clients.len());
    let work = |client: &Client| {
        together.wait();
        let done = [("sign", OTHERS[0]), ("promote", LEASE), ("sign", OTHERS[1])];
        done.map(|(verb, lease)| {
            // Whoever came last as often as is tried begins again from what is there.
            let deadline = Instant::now() + Duration::from_secs(120);
            loop {
                let ran = client.turns(verb, lease);
                if ran.code == 1 {
                    // As the hint says: what no longer counts is dropped.
                    client.git(&["fetch", "--quiet", "origin"]);
                    client.git(&["reset", "--quiet", "--keep", "origin/main"]);
                }
                if ran.code != 3 || Instant::now() > deadline {
                    return (verb, ran);
                }
            }
        })
    };
    let ends: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = clients.iter().map(|(_, client)| scope.spawn(|| work(client))).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    audit(&scene, &["verify", "--all"]).exits(0).says("everything counts");
    for ((name, client), ends) in clients.iter().zip(&ends) {
        for (verb, ran) in ends {
            // What was refused, was so since somebody's step came first; and says so.
            assert!(ran.code == 0 || ran.err.contains("stale-step"), "{name} {verb}: {}{}", ran.out, ran.err);
        }
        let (_, last) = &ends[2];
        assert!(last.code != 0 || on_main(&scene, client), "{name}: what was accepted is lost");
    }
    for id in OTHERS {
        let lines = format!("Two-Key-Action: cosign\nTwo-Key-Lease: {id}\n");
        assert_eq!(voters(&scene, &lines).len(), 4, "every cosignature of {id} is there");
        let shown = audit(&scene, &["show", id, "--format", "json"]).exits(0).json();
        assert_eq!(shown["state"], "authorized");
    }
    // Each step in force has its two keys in the history, and its tag.
    let shown = audit(&scene, &["show", LEASE, "--format", "json"]).exits(0).json();
    let tiers = [(2, 25), (3, 100)];
    let reached = tiers.iter().filter(|(_, tier)| shown["desired"].as_u64().unwrap() >= *tier);
    assert!(reached.clone().count() > 0, "{shown}");
    for (step, tier) in reached {
        let lines = format!("Two-Key-Step: {step}\nTwo-Key-Tier: {tier}\n");
        let voters = voters(&scene, &lines);
        let has = |prefix| voters.iter().any(|name| name.starts_with(prefix));
        assert!(has("user") && has("cp"), "{tier} %: {voters:?}");
        assert_ne!(scene.server_ref(&format!("refs/tags/rollout/{LEASE}/{step}-promote-{tier}")), "");
    }
}

#[test]
fn a_rollback_is_never_outrun_by_promotions_or_a_flood() {
    let scene = Scene::rolling();
    let [user1, user2, cp14, mallory] = ["user1", "user2", "cp14", "mallory"].map(|name| Client::new(&scene, name));
    let (over, flooded) = (AtomicBool::new(false), AtomicUsize::new(0));
    let stopped = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                flooded.fetch_add(usize::from(mallory.floods()), Ordering::SeqCst);
            }
        });
        for client in [&user1, &cp14] {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) && client.turns("promote", LEASE).code != 1 {
                    client.git(&["fetch", "--quiet", "origin"]);
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while flooded.load(Ordering::SeqCst) == 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let stopped = user2.turns("rollback", LEASE);
        // Forward verbs go on for a while after it.
        let seen = flooded.load(Ordering::SeqCst);
        while flooded.load(Ordering::SeqCst) < seen + 3 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::SeqCst);
        stopped
    });
    let stopped = stopped.exits(0);
    assert!(flooded.load(Ordering::SeqCst) > 3, "there was a flood");
    audit(&scene, &["verify", "--all"]).exits(0).says("everything counts");
    // On main, or beside it where every reader looks and every forward verb carries it over.
    let state = audit(&scene, &["show", LEASE, "--format", "json"]).exits(0).json()["state"].clone();
    let beside = scene.on_server(&["for-each-ref", "--format=%(refname)", "refs/two-key/stops"]).out;
    assert!(state == "rolled-back" || !beside.is_empty(), "{state} {}{}", stopped.out, stopped.err);
    cp14.git(&[
        "fetch",
        "--quiet",
        "origin",
        "+refs/two-key/*:refs/two-key/*",
        "+refs/heads/main:refs/remotes/origin/main",
    ]);
    cp14.git(&["reset", "--quiet", "--hard", "origin/main"]);
    cp14.turns("promote", LEASE).exits(1).says("wrong-state");
    // Where main does not have it, somebody merges it, as the verb said. Whatever came there meanwhile, it takes effect.
    if state != "rolled-back" {
        let (_, stop) = beside.lines().next().unwrap().rsplit_once('/').unwrap();
        cp14.git(&["reset", "--quiet", "--hard", "origin/main"]);
        cp14.git(&["merge", "--quiet", "--no-ff", "-m", "Carry the rollback over", stop]);
        cp14.git(&["push", "--quiet", "origin", "HEAD:main"]);
        assert_eq!(audit(&scene, &["show", LEASE, "--format", "json"]).exits(0).json()["state"], "rolled-back");
    }
    // Once, and nothing went forward once it was there.
    let log = audit(&scene, &["log", "--format", "json"]).exits(0).out;
    let events: Vec<_> = log
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().map(str::to_owned)
        })
        .collect();
    let at = events.iter().position(|event| event == "ROLLED_BACK").expect("it is on main");
    let forward = ["STARTED", "RESUMED", "CANARY_PROMOTED", "COMPLETED"];
    assert!(events[at..].iter().all(|event| !forward.contains(&event.as_str())), "{events:?}");
    assert_eq!(events.iter().filter(|event| *event == "ROLLED_BACK").count(), 1);
}

/// Proposes so many leases, and has somebody else sign each, all at once. The commits of the votes on the server's main.
fn at_once(scene: &Scene, clients: usize) -> Vec<String> {
    let ids: Vec<_> = (0..clients).map(|number| format!("LEASE-20251101-{number:06}")).collect();
    for id in &ids {
        scene.world.commit_file(&format!("leases/{id}.yaml"), &kit::lease(id), "Propose a lease");
    }
    scene.push(&["main"]).exits(0);
    let key = |number: usize| ["user1", "user2", "cp14", "cp18"][number % 4];
    let clients: Vec<_> = ids.iter().enumerate().map(|(at, id)| (id, Client::number(at, scene, key(at)))).collect();
    let together = Barrier::new(clients.len());
    let turn = |client: &Client, id: &str| {
        together.wait();
        client.turns("sign", id)
    };
    let ends: Vec<_> = thread::scope(|scope| {
        let turn = &turn;
        let running: Vec<_> = clients.iter().map(|(id, client)| scope.spawn(move || turn(client, id))).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for ((_, client), ran) in clients.iter().zip(ends) {
        ran.exits(0).says("pushed to origin");
        assert!(on_main(scene, client), "what was accepted is lost");
    }
    audit(scene, &["verify", "--all"]).exits(0).says("everything counts");
    let vote = "--grep=^Two-Key-Action: cosign$";
    let votes = scene.on_server(&["log", "--format=%H %(trailers:key=Two-Key-Lease,valueonly)", vote, "main"]).out;
    let votes: Vec<_> = votes.lines().filter(|line| line.contains("LEASE-20251101")).map(str::to_owned).collect();
    for id in &ids {
        assert_eq!(votes.iter().filter(|line| line.ends_with(id)).count(), 1, "{id}: {votes:?}");
    }
    votes
}

#[test]
fn eight_at_once_all_land_where_nobody_judges_pushes() {
    let scene = Scene::new();
    fs::remove_dir_all(scene.server.join("hooks")).unwrap();
    assert_eq!(at_once(&scene, 8).len(), 8);
}

#[test]
fn several_at_once_in_one_clone_all_land_and_leave_nothing_behind() {
    let scene = Scene::new();
    let ids: Vec<_> = (0..5).map(|number| format!("LEASE-20251101-{number:06}")).collect();
    for id in &ids {
        scene.world.commit_file(&format!("leases/{id}.yaml"), &kit::lease(id), "Propose a lease");
    }
    scene.push(&["main"]).exits(0);
    let client = Client::new(&scene, "user1");
    let together = Barrier::new(ids.len());
    let turn = |id: &str| {
        together.wait();
        client.turns("sign", id)
    };
    let ends: Vec<_> = thread::scope(|scope| {
        let turn = &turn;
        let running: Vec<_> = ids.iter().map(|id| scope.spawn(move || turn(id))).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for ran in ends {
        ran.exits(0).says("pushed to origin");
    }
    for id in &ids {
        audit(&scene, &["show", id]).exits(0).says("Cosigners 1/2");
    }
    // The next verb finds nothing to bring along.
    let ran = client.run(env!("CARGO_BIN_EXE_git-two-key"), &["sync"]).exits(0);
    ran.says("main is at origin's tip").never_says("signed here");
    assert_eq!(client.git(&["for-each-ref", "refs/two-key-local"]), "");
    assert!(on_main(&scene, &client));
}

/// Every file below a folder, but for the moves that were admitted, which wait for Git to make them and mean nothing to others.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("two-key/admitted") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    found
}

#[test]
fn a_hook_that_is_killed_at_any_point_leaves_the_repository_as_it_was() {
    let scene = Scene::rolling();
    let hook = scene.server.join("hooks/pre-receive");
    let program = env!("CARGO_BIN_EXE_git-two-key");
    scene.promote("user1");
    scene.promote("cp14");
    let tag = scene.tag("2-promote-25", "main");
    let before = (scene.on_server(&["for-each-ref"]).out, files(&scene.server));
    let honest = fs::read_to_string(&hook).unwrap();
    let kill_after = |milliseconds: u32| {
        let seconds = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
        let text = format!(
            "#!/bin/sh\nexec 3<&0\n\"{program}\" hook pre-receive <&3 & pid=$!\nsleep {seconds}\nkill -9 $pid 2>/dev/null\nwait $pid\n"
        );
        fs::write(&hook, text).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let mut killed = 0;
    for milliseconds in [0, 2, 4, 7, 10, 15, 20, 30, 45] {
        kill_after(milliseconds);
        let ran = scene.push(&["--atomic", "main", &tag]);
        if ran.code == 0 {
            break;
        }
        killed += 1;
        let after = (scene.on_server(&["for-each-ref"]).out, files(&scene.server));
        assert_eq!(after, before, "killed after {milliseconds} ms\n{}", ran.err);
    }
    assert!(killed > 0, "it was never killed in time");
    fs::write(&hook, honest).unwrap();
    scene.push(&["--atomic", "main", &tag]).exits(0);
    assert_eq!(scene.server_ref(MAIN), scene.world.head());
    scene.on_server(&["fsck", "--strict"]).exits(0);
    assert!(files(&scene.server).iter().all(|file| !file.to_string_lossy().contains("tmp_objdir")));
}

#[test]
fn while_one_hook_writes_what_it_remembers_another_judges_and_writes_nothing() {
    let scene = Scene::rolling();
    let writes = || {
        for number in 0..20 {
            scene.world.commit_file("README", &format!("{number}\n"), "Write");
        }
        scene.push(&["main"]).exits(0);
    };
    let memory = scene.server.join("two-key");
    // What is remembered is of the tip before a push.
    writes();
    writes();
    let before = fs::read(memory.join("checkpoint")).unwrap();
    let kept = files(&memory);
    let other = fs::File::options().write(true).open(memory.join("lock")).unwrap();
    other.lock().unwrap();
    writes();
    scene.promote("user1");
    scene.push(&["main"]).exits(0);
    scene.turn("cp14", &kit::scene::forward("promote", Some(3), Some(100)));
    scene.refuses(&["main"], MAIN, "stale-step");
    assert_eq!((fs::read(memory.join("checkpoint")).unwrap(), files(&memory)), (before.clone(), kept));
    drop(other);
    scene.world.git(&["reset", "--quiet", "--hard", "HEAD^"]);
    writes();
    assert_ne!(fs::read(memory.join("checkpoint")).unwrap(), before);
}
