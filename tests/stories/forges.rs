//! A forge without hooks of ours, with the buttons and rules that forges have: what each leaves on main, what `list`,
//! `verify` and an applier say of it, and the honest twin that does get in force.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::{Value, json};

use crate::kit::{self, LEASE, Ran, World, lease};

const OTHER: &str = "LEASE-20251028-000000";

/// What the forge lets people do to main, beside never rewinding or deleting it.
#[derive(Clone, Copy)]
enum Rules {
    /// Anything.
    Open,
    /// No merge commits, by whatever way.
    LinearHistory,
    /// Nothing but by its buttons.
    PullRequestsOnly,
}

/// How a pull request is merged.
#[derive(Clone, Copy)]
enum Button {
    Merge,
    Squash,
    Rebase,
}

/// People's repository, the forge, and an applier with its own clone of it.
struct Forge {
    world: World,
    server: PathBuf,
}

impl Forge {
    /// With a lease at 5 %, applied; nobody waits for a tier to bake.
    fn with(rules: Rules) -> Self {
        let world = World::founded();
        world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE).replace("15m", "0s"), "Propose a lease");
        world.turn("user1", "cosign", LEASE);
        world.turn("cp14", "cosign", LEASE);
        world.turn("user1", "start", LEASE);
        let server = world.path().join("forge.git");
        let path = server.to_str().unwrap();
        world.git(&["init", "--quiet", "--bare", "--initial-branch=main", path]);
        world.git(&["remote", "add", "origin", path]);
        world.git(&["push", "--quiet", "origin", "main"]);
        let rule = match rules {
            Rules::Open => "",
            Rules::LinearHistory => {
                "[ -z \"$(git rev-list --merges \"$2..$3\")\" ] || { echo 'main must have a linear history'; exit 1; }"
            }
            Rules::PullRequestsOnly => {
                "[ \"$BUTTON\" = pressed ] || { echo 'changes must be made through a pull request'; exit 1; }"
            }
        };
        let hook = server.join("hooks/update");
        let never = "git merge-base --is-ancestor \"$2\" \"$3\" || { echo 'main is protected'; exit 1; }";
        let script = format!("#!/bin/sh\nexec >&2\n[ \"$1\" = refs/heads/main ] || exit 0\n{never}\n{rule}\nexit 0\n");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, script).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        world.git(&["clone", "--quiet", path, world.path().join("applier").to_str().unwrap()]);
        let text = format!(
            "name: edge1\nkey: {}\nrepository: applier\nremote: origin\nroot: {}\ntargets:\n  \
             checkout-prod: {{file: weights.json}}\n",
            world.key_file("edge1").display(),
            world.git(&["config", "two-key.root"])
        );
        fs::write(world.path().join("applier.yaml"), text).unwrap();
        let forge = Self { world, server };
        forge.applies(500);
        forge
    }

    fn push(&self, refspecs: &[&str]) -> Ran {
        self.world.run(self.world.repo(), "git", &[&["push", "--quiet", "origin"], refspecs].concat(), b"")
    }

    /// Offers what is on the local main as a pull request.
    fn offer(&self) {
        self.push(&["+main:refs/heads/topic"]).exits(0);
    }

    /// Presses a button under the pull request: the forge makes commits in its own name and moves main.
    fn press(&self, button: Button) -> Ran {
        let work = self.world.path().join("work");
        let _ = fs::remove_dir_all(&work);
        let path = self.server.to_str().unwrap();
        self.world.git(&["clone", "--quiet", path, work.to_str().unwrap()]);
        let env =
            [("GIT_COMMITTER_NAME", "Forge"), ("GIT_COMMITTER_EMAIL", "noreply@forge.example"), ("BUTTON", "pressed")];
        let git = |args: &[&str]| self.world.run_with(&work, "git", args, b"", &env);
        match button {
            Button::Merge => {
                git(&["merge", "--quiet", "--no-ff", "-m", "Merge pull request #7", "origin/topic"]).exits(0);
            }
            Button::Squash => {
                let bodies = git(&["log", "--reverse", "--format=* %B", "main..origin/topic"]).exits(0).out;
                let text = format!("Promote (#7)\n\n{bodies}");
                git(&["merge", "--quiet", "--squash", "origin/topic"]).exits(0);
                git(&["commit", "--quiet", "--allow-empty", "-m", &text]).exits(0);
            }
            Button::Rebase => {
                git(&["cherry-pick", "--allow-empty", "main..origin/topic"]).exits(0);
            }
        }
        git(&["push", "--quiet", "origin", "main"])
    }

    /// Takes the forge's main over.
    fn pull(&self) {
        self.world.git(&["fetch", "--quiet", "origin"]);
        self.world.git(&["reset", "--quiet", "--hard", "origin/main"]);
    }

    /// What `list` says of a lease, on the forge.
    fn listed(&self, id: &str) -> Value {
        let list =
            self.world.two_key_in(&self.server_clone(), &["list", "--remote", "--format", "json"]).exits(0).json();
        let leases = list["leases"].as_array().unwrap().clone();
        let lease = leases.into_iter().find(|lease| lease["lease"] == id);
        lease.map_or(Value::Null, |lease| json!([lease["state"], lease["desired"], lease["findings"]]))
    }

    /// What `verify --all` says of the forge.
    fn verifies(&self) -> Ran {
        self.world.two_key_in(&self.server_clone(), &["verify", "--all", "--remote"])
    }

    /// People's repository, with what the forge has fetched.
    fn server_clone(&self) -> PathBuf {
        self.world.git(&["fetch", "--quiet", "--no-tags", "origin"]);
        self.world.repo().to_owned()
    }

    /// A look of the applier, and what its target is at then, in basis points.
    #[track_caller]
    fn looks(&self, basis_points: u32) -> Ran {
        let args = ["apply", "--once", "--config", "applier.yaml"];
        let ran = self.world.two_key_in(self.world.path(), &args);
        let file = fs::read(self.world.path().join("weights.json")).unwrap();
        let weights: Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(weights["weight_bp"], json!(basis_points), "{}{}", ran.out, ran.err);
        ran
    }

    /// A look that ends well.
    #[track_caller]
    fn applies(&self, basis_points: u32) {
        self.looks(basis_points).exits(0);
    }

    fn both_promote(&self) {
        self.world.turn("user1", "promote", LEASE);
        self.world.turn("cp14", "promote", LEASE);
    }

    /// What was merged has no effect, and the same commits merged with a merge commit do have theirs.
    #[track_caller]
    fn has_no_effect_but_its_twin_has(&self, button: Button) {
        self.both_promote();
        self.offer();
        // The check of the pull request said so beforehand.
        self.world
            .two_key(&["ci", "--base", "origin/main", "--head", "main"])
            .exits(0)
            .says("squash or rebase merging");
        self.press(button).exits(0);
        assert_eq!(self.listed(LEASE), json!(["rolling", 5, 0]));
        self.verifies().exits(1).says("malformed");
        self.applies(500);
        self.press(Button::Merge).exits(0);
        assert_eq!(self.listed(LEASE), json!(["rolling", 25, 0]));
        self.applies(2500);
    }
}

#[test]
fn the_merge_button_keeps_both_keys() {
    let forge = Forge::with(Rules::Open);
    forge.both_promote();
    forge.offer();
    assert_eq!(forge.listed(LEASE), json!(["rolling", 5, 0]));
    forge.press(Button::Merge).exits(0);
    assert_eq!(forge.listed(LEASE), json!(["rolling", 25, 0]));
    forge.verifies().exits(0).says("everything counts");
    forge.applies(2500);
}

#[test]
fn the_squash_button_drops_both_keys_and_nothing_is_in_force() {
    Forge::with(Rules::Open).has_no_effect_but_its_twin_has(Button::Squash);
}

#[test]
fn the_rebase_button_drops_both_keys_and_nothing_is_in_force() {
    Forge::with(Rules::Open).has_no_effect_but_its_twin_has(Button::Rebase);
}

#[test]
fn under_a_linear_history_rule_the_commits_themselves_are_pushed() {
    let forge = Forge::with(Rules::LinearHistory);
    forge.both_promote();
    forge.offer();
    forge.press(Button::Merge).exits(1).says("linear history");
    assert_eq!(forge.listed(LEASE), json!(["rolling", 5, 0]));
    forge.applies(500);
    forge.push(&["main"]).exits(0);
    forge.verifies().exits(0);
    forge.applies(2500);
}

#[test]
fn one_vote_a_pull_request_is_as_good_as_both_in_one() {
    let forge = Forge::with(Rules::PullRequestsOnly);
    let base = forge.world.head();
    forge.world.turn("user1", "promote", LEASE);
    forge.offer();
    forge.press(Button::Merge).exits(0);
    forge.applies(500);
    // The other began before the first was merged: no conflict, and nobody signs twice.
    forge.world.git(&["reset", "--quiet", "--hard", &base]);
    forge.world.turn("cp14", "promote", LEASE);
    forge.offer();
    forge.press(Button::Merge).exits(0);
    forge.verifies().exits(0).says("everything counts");
    forge.applies(2500);
}

#[test]
fn junk_on_main_is_found_and_stands_in_nobodys_way() {
    let forge = Forge::with(Rules::Open);
    let world = &forge.world;
    world.commit_file("README", "Read me\n", "Somebody writes");
    world.commit_file(&format!("leases/{OTHER}.yaml"), "lease: [what\n", "Propose rubbish");
    let stolen = world.two_key(&["statement", "--message", "--principal", "cp14", "promote", LEASE]).exits(0).out;
    world.carry("stranger", &stolen);
    world.git(&["rm", "--quiet", "-r", ".two-key"]);
    world.git(&["commit", "--quiet", "-m", "Nobody rules"]);
    forge.push(&["main"]).exits(0);
    assert_eq!(forge.listed(LEASE), json!(["rolling", 5, 1]));
    forge.verifies().exits(1).says("unknown-key").says("malformed").says("they altered nothing");
    forge.applies(500);
    forge.both_promote();
    forge.push(&["main"]).exits(0);
    assert_eq!(forge.listed(LEASE), json!(["rolling", 25, 1]));
    forge.applies(2500);
}

#[test]
fn a_lying_tag_moves_nothing() {
    let forge = Forge::with(Rules::Open);
    let name = format!("rollout/{LEASE}/2-promote-25");
    forge.world.git(&["tag", "-a", "-m", "A lie", &name]);
    forge.push(&[&name]).exits(0);
    assert_eq!(forge.listed(LEASE), json!(["rolling", 5, 0]));
    forge.applies(500);
    forge.both_promote();
    forge.push(&["main"]).exits(0);
    forge.applies(2500);
}

/// A promotion by the verbs, the second one with somebody's ref on the forge by then, which is fetched or not: both votes get
/// there all the same.
fn promotes_beside(squatted: &str, args: &[&str], says: &str) {
    let forge = Forge::with(Rules::Open);
    let verb = |name: &str| {
        let key = forge.world.key_file(name);
        forge.world.two_key(&["promote", LEASE, "--push", "--key", key.to_str().unwrap()])
    };
    verb("user1").exits(0);
    forge.push(&[&format!("main~1:{squatted}")]).exits(0);
    forge.world.git(&[&["fetch", "--quiet", "origin"], args].concat());
    verb("cp14").exits(0).says(says).says("pushed to origin");
    assert_eq!(forge.listed(LEASE), json!(["rolling", 25, 0]));
    forge.verifies().exits(0).says("everything counts");
    // Nor does it hold the applier up, which would put the same tag there.
    forge.looks(2500).exits(0).never_says("did not take");
    let tags = ["for-each-ref", "--format=%(objecttype)", &format!("refs/tags/rollout/{LEASE}/2-promote-25")];
    let is_tagged = forge.world.run(&forge.server, "git", &tags, b"").exits(0).out == "tag\n";
    assert_eq!(is_tagged, squatted == "refs/tags/x");
}

#[test]
fn a_ref_in_the_way_of_a_tag_holds_no_vote_up() {
    let tag = format!("refs/tags/rollout/{LEASE}/2-promote-25");
    promotes_beside(&format!("{tag}/x"), &["--no-tags"], "the tag was not taken");
    promotes_beside(&format!("{tag}/x"), &["--tags"], "warning: the tag cannot be made here");
    promotes_beside(&tag, &["--no-tags"], "the tag was not taken");
    // Beside any other ref the tag comes with the votes.
    promotes_beside("refs/tags/x", &["--tags"], "tagged rollout/");
}

#[test]
fn a_stop_that_somebody_deleted_there_is_undelivered_again() {
    let forge = Forge::with(Rules::PullRequestsOnly);
    let there = |args: &[&str]| forge.world.run(&forge.server, "git", args, b"").exits(0).out;
    let key = forge.world.key_file("cp18");
    let halt = || forge.world.two_key(&["halt", LEASE, "--reason", "errors", "--key", key.to_str().unwrap()]).exits(0);
    halt();
    forge.world.two_key(&["doctor"]).never_says("no remote is known to have it");
    let own = there(&["for-each-ref", "--format=%(refname)", "refs/two-key/stops"]).trim().to_owned();
    let id = own.rsplit('/').next().unwrap();
    there(&["update-ref", "-d", &own]);
    // Reading it there again, every verb knows.
    forge.world.two_key(&["list"]).says("no remote is known to have it");
    forge.world.two_key(&["doctor"]).says("no remote is known to have it");
    // Its names are known by now, and somebody keeps it out there; there are others that nobody foresees.
    for name in [&own, &format!("refs/heads/two-key-stop-{id}"), &format!("refs/tags/two-key-stop-{id}")] {
        there(&["update-ref", &format!("{name}/x"), "main"]);
    }
    for _ in 0..2 {
        let said = forge.world.two_key(&["sync"]).exits(0);
        said.says("delivered a stop that was signed here before").says(&format!("as refs/heads/two-key-stop-{id}-"));
        forge.world.two_key(&["list"]).never_says("no remote is known to have it");
        // Taken back once more, it has another number.
        let names = there(&["for-each-ref", "--format=%(refname)", &format!("refs/heads/two-key-stop-{id}-*")]);
        assert_eq!(names.lines().count(), 1, "{names}");
        there(&["update-ref", "-d", names.trim()]);
        there(&["update-ref", &format!("{}/x", names.trim()), "main"]);
        for verb in ["list", "doctor"] {
            forge.world.two_key(&[verb]).says("no remote is known to have it");
        }
    }
    forge.world.two_key(&["sync"]).exits(0);
    forge.world.two_key(&["sync"]).exits(0).never_says("delivered");
    forge.looks(0);
    // Where nobody is in its way, it has its own name.
    halt().says("refs/two-key/stops/");
}

/// By Git's rules for short names, two of which for one ref are one too many.
#[test]
fn refs_that_git_takes_for_ours_lead_nothing_astray() {
    let forge = Forge::with(Rules::Open);
    let (note, tag) = ("refs/notes/two-key/user1", format!("refs/tags/rollout/{LEASE}/2-promote-25"));
    let record = "refs/two-key/appliers/edge1";
    let tip = forge.world.head();
    let there = |args: &[&str]| forge.world.run(&forge.server, "git", args, b"").exits(0).out;
    for name in ["refs/heads/main", note, &tag, record] {
        for space in ["refs/", "refs/tags/", "refs/heads/", "refs/remotes/"] {
            there(&["update-ref", &format!("{space}{name}"), &tip]);
        }
    }
    forge.push(&["main~1:refs/heads/main"]).exits(1).says("matches more than one");
    let recorded = there(&["rev-parse", record]);
    let by = |name: &str, args: &[&str]| {
        let key = forge.world.key_file(name);
        forge.world.two_key(&[args, &["--key", key.to_str().unwrap()]].concat()).exits(0).says("pushed to origin")
    };
    forge.world.commit_file(&format!("leases/{OTHER}.yaml"), &lease(OTHER), "Propose another");
    forge.world.two_key(&["sync"]).exits(0);
    by("user1", &["sign", OTHER, "--as", "note"]);
    by("user1", &["promote", LEASE]);
    by("cp14", &["promote", LEASE]).never_says("not taken");
    assert_eq!(forge.listed(LEASE), json!(["rolling", 25, 0]));
    forge.looks(2500).exits(0).never_says("did not take");
    for name in ["refs/heads/main", note, &tag, record] {
        assert_ne!(there(&["rev-parse", name]), format!("{tip}\n"), "{name}");
        for space in ["refs/", "refs/tags/", "refs/heads/", "refs/remotes/"] {
            assert_eq!(there(&["rev-parse", &format!("{space}{name}")]), format!("{tip}\n"), "{space}{name}");
        }
    }
    assert_ne!(there(&["rev-parse", record]), recorded);
    let key = forge.world.key_file("cp18");
    forge.world.two_key(&["halt", LEASE, "--reason", "errors", "--key", key.to_str().unwrap()]).exits(0);
    assert_eq!(forge.listed(LEASE), json!(["halted", 0, 0]));
}

#[test]
fn where_main_takes_no_pushes_a_stop_has_its_own_ref() {
    let forge = Forge::with(Rules::PullRequestsOnly);
    forge.both_promote();
    forge.push(&["main"]).exits(1).says("through a pull request");
    forge.offer();
    forge.press(Button::Merge).exits(0);
    forge.pull();
    forge.applies(2500);
    let key = forge.world.key_file("cp18");
    let halt = ["halt", LEASE, "--reason", "errors doubled", "--push", "--key", key.to_str().unwrap()];
    let said = forge.world.two_key(&halt).exits(0).says("refs/two-key/stops/");
    said.says("main does not have it").says("through a pull request").says("Appliers that fetch from there obey it");
    let refs = forge.world.run(&forge.server, "git", &["for-each-ref", "refs/two-key/stops"], b"").exits(0).out;
    assert_eq!(refs.lines().count(), 1, "{refs}");
    // Main does not know it yet; the applier does. It cannot carry it over to main by itself, and says so at each look: no
    // failure, since nothing waits for that.
    assert_eq!(forge.listed(LEASE), json!(["rolling", 25, 0]));
    for _ in 0..2 {
        let ran = forge.looks(0).exits(0).says("main does not have every stop that is obeyed here");
        ran.says("the remote did not take refs/heads/main").says("through a pull request");
    }
    // Nor is it one of the verb that brings everything together, which keeps the stop on the local branch.
    forge.world.two_key(&["sync"]).exits(0).says("only stops are missing there");
    assert_eq!(forge.world.two_key(&["show", LEASE, "--format", "json"]).exits(0).json()["state"], "halted");
    // Another one that was not pushed gets its own ref too.
    let rollback = ["rollback", LEASE, "--reason", "still", "--no-push", "--key", key.to_str().unwrap()];
    forge.world.two_key(&rollback).exits(0);
    forge.world.two_key(&["sync"]).exits(0).says("delivered a stop that was signed here before");
    // It gets there as a pull request, in its own time.
    forge.offer();
    forge.press(Button::Merge).exits(0);
    assert_eq!(forge.listed(LEASE), json!(["rolled-back", 0, 0]));
    forge.verifies().exits(0).says("everything counts");
    forge.looks(0).never_says("main does not have");
}

#[test]
fn a_foxtrot_on_an_open_forge_is_held_and_healed() {
    let forge = Forge::with(Rules::Open);
    let world = &forge.world;
    let start = world.head();
    forge.both_promote();
    forge.push(&["main"]).exits(0);
    forge.applies(2500);
    // `git pull` in a clone that had a commit of its own, and a push: for the forge, a fast-forward.
    world.git(&["reset", "--quiet", "--hard", &start]);
    world.commit_file("README", "Read me\n", "Write");
    world.git(&["fetch", "--quiet", "origin"]);
    world.git(&["merge", "--quiet", "--no-edit", "origin/main"]);
    forge.push(&["main"]).exits(0);
    let accepted = world.git(&["rev-parse", "main^2"]);
    forge.looks(2500).exits(1).says("foxtrot: ").says(&format!("whose first parent is {accepted}"));
    // The merge the right way round, which for the forge is one more commit.
    let heal = world.git(&["commit-tree", "-p", &accepted, "-p", "main", "-m", "Heal", "main^{tree}"]);
    forge.push(&[&format!("{heal}:refs/heads/main")]).exits(0);
    forge.applies(2500);
    forge.verifies().exits(0).says("everything counts");
}

/// What stands on main by somebody's force, without any key; `None` where nothing does.
fn junk(forge: &Forge) -> [(&'static str, Option<String>); 7] {
    let world = &forge.world;
    let (tip, tree) = (world.head(), world.git(&["rev-parse", "main^{tree}"]));
    let tree_with = |path: &str, text: &str| {
        let text = world.run(world.repo(), "git", &["hash-object", "-w", "--stdin"], text.as_bytes()).exits(0).out;
        let index = [("GIT_INDEX_FILE", "odd-index")];
        let git = |args: &[&str]| world.run_with(world.repo(), "git", args, b"", &index).exits(0).out.trim().to_owned();
        git(&["read-tree", &tree]);
        git(&["update-index", "--cacheinfo", &format!("100644,{},{path}", text.trim())]);
        git(&["write-tree"])
    };
    let commit =
        |tree: &str, parents: &[&str]| world.git(&[&["commit-tree", "-m", "Junk", tree][..], parents].concat());
    let loose = |raw: &str| {
        let args = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
        world.run(&forge.server, "git", &args, raw.as_bytes()).exits(0).out.trim().to_owned()
    };
    let policy = world.git(&["show", "main:.two-key/policy.yaml"]) + "\n";
    let empty = world.git(&["hash-object", "-t", "tree", "-w", "/dev/null"]);
    let mine = tree_with(".two-key/policy.yaml", &policy.replace("user1", "mallory"));
    let other = tree_with(".two-key/policy.yaml", &policy.replace(kit::REPOSITORY, &"0".repeat(32)));
    [
        ("nothing", None),
        ("no files", Some(commit(&empty, &["-p", &tip]))),
        ("nothing of the ledger", Some(commit(&empty, &[]))),
        ("the ledger's files and not its history", Some(commit(&tree, &[]))),
        ("a commit that Git takes for one without parents", Some(loose(&format!("tree {tree}\nparent {tip}")))),
        ("a policy that gives the key to somebody else", Some(commit(&mine, &["-p", &tip]))),
        ("a policy of another repository", Some(commit(&other, &[]))),
    ]
}

/// Moves the forge's main, which nothing protects, wherever somebody wants it.
fn force(forge: &Forge, commit: &str) {
    let aside = format!("{commit}:refs/junk/{commit}");
    forge.world.run(forge.world.repo(), "git", &["push", "--quiet", "origin", &aside], b"");
    fs::write(forge.server.join("refs/heads/main"), format!("{commit}\n")).unwrap();
}

/// A clone that knows the root, and what it has fetched of main.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Has {
    /// All of it, before the junk came.
    Everything,
    /// Its tip, before the junk came.
    ItsTip,
    /// Its tip, which is the junk.
    TheJunk,
}

/// What a halt would do that somebody makes in such a clone: by the pull request that offers each commit that got to the forge.
fn halts_from(forge: &Forge, has: Has, tip: &str, junk: Option<&str>) -> Vec<String> {
    let (world, clone) = (&forge.world, forge.world.path().join("clone"));
    let _ = fs::remove_dir_all(&clone);
    let (root, url) = (world.git(&["config", "two-key.root"]), format!("file://{}", forge.server.display()));
    let git = |args: &[&str]| world.run(&clone, "git", args, b"");
    world.git(&["init", "--quiet", "--bare", "--initial-branch=main", clone.to_str().unwrap()]);
    git(&["remote", "add", "origin", &url]).exits(0);
    git(&["config", "two-key.root", &root]).exits(0);
    let depth = if has == Has::Everything { "--no-tags" } else { "--depth=1" };
    let fetch = || git(&["fetch", "--quiet", depth, "origin", "main:main"]);
    if has != Has::TheJunk {
        fetch().exits(0);
    }
    force(forge, junk.unwrap_or(tip));
    if has == Has::TheJunk {
        fetch();
    }
    let there = || {
        let refs = ["for-each-ref", "--format=%(objectname)", "refs/two-key/stops", "refs/heads/main"];
        world.run(&forge.server, "git", &refs, b"").exits(0).out
    };
    let (before, key) = (there(), world.key_file("user1"));
    world.two_key_in(&clone, &["halt", LEASE, "--push", "--key", key.to_str().unwrap()]).exits(0);
    let after = there();
    force(forge, tip);
    let new = after.lines().filter(|commit| !before.contains(commit));
    let says = |commit: &str| {
        world.git(&["fetch", "--quiet", "origin", commit]);
        world.two_key(&["ci", "--base", tip, "--head", commit]).out
    };
    new.map(says).collect()
}

#[test]
fn a_stop_arrives_from_any_clone_that_knows_the_root_whatever_stands_on_main() {
    let forge = Forge::with(Rules::Open);
    let tip = forge.world.head();
    for (what, junk) in junk(&forge) {
        for has in [Has::Everything, Has::ItsTip, Has::TheJunk] {
            let effects = halts_from(&forge, has, &tip, junk.as_deref());
            let halts = effects.iter().any(|said| said.contains("goes from 5 % to 0 %: halt by human user1"));
            assert!(halts, "{what}, {has:?}: {effects:?}");
        }
    }
    forge.looks(0);
}
