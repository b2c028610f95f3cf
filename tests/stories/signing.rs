//! Signing as people do it every day, where nothing is said about fetching or pushing: what is shown is what comes about, what is
//! signed is delivered, and keys are used as Git uses them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::kit::{LEASE, Ran, World};

/// People's repository and another clone, both of a server with the hook; all three were made a moment ago.
pub(crate) struct Scene {
    /// People's.
    pub(crate) world: World,
    /// The server.
    pub(crate) server: PathBuf,
    /// The other clone.
    pub(crate) other: PathBuf,
}

impl Scene {
    /// A world with a server and another clone.
    pub(crate) fn of(world: World) -> Self {
        let (server, other) = (world.path().join("server.git"), world.path().join("other"));
        let root = world.git(&["config", "two-key.root"]);
        world.git(&["clone", "--quiet", "--bare", ".", server.to_str().unwrap()]);
        world.git(&["remote", "add", "origin", server.to_str().unwrap()]);
        world.git(&["fetch", "--quiet", "origin"]);
        world.git(&["branch", "--quiet", "--set-upstream-to=origin/main", "main"]);
        world.git(&["clone", "--quiet", server.to_str().unwrap(), other.to_str().unwrap()]);
        world.run(&other, "git", &["config", "two-key.root", &root], b"").exits(0);
        world.two_key_in(&server, &["hook", "install", "--root", &root]).exits(0);
        Self { world, server, other }
    }

    /// Runs the program with a principal's key, in people's repository.
    pub(crate) fn by(&self, who: &str, args: &[&str]) -> Ran {
        self.in_clone(self.world.repo(), who, args)
    }

    /// The same in any clone.
    pub(crate) fn in_clone(&self, clone: &Path, who: &str, args: &[&str]) -> Ran {
        let key = self.world.key_file(who);
        self.world.two_key_in(clone, &[args, &["--key", key.to_str().unwrap()]].concat())
    }

    /// Runs Git on the server.
    pub(crate) fn on_server(&self, args: &[&str]) -> String {
        self.world.run(&self.server, "git", args, b"").exits(0).out.trim_end().to_owned()
    }

    /// The weight that the server's ledger wants for the usual lease.
    fn desired(&self) -> u64 {
        let shown = self.world.two_key_in(&self.server, &["show", LEASE, "--format", "json"]).exits(0).json();
        shown["desired"].as_u64().unwrap()
    }

    /// Takes the server away, or brings it back.
    fn away(&self, away: bool) {
        let gone = self.server.with_extension("gone");
        let (from, to) = if away { (&self.server, &gone) } else { (&gone, &self.server) };
        fs::rename(from, to).unwrap();
    }

    /// A hook of people's repository that runs once, before its next push.
    pub(crate) fn before_the_push(&self, script: &str) {
        let hook = self.world.repo().join(".git/hooks/pre-push");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, format!("#!/bin/sh\nrm \"$0\"\n{script}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Has cp14 promote in the other clone at that moment.
    fn promoted_meanwhile(&self) {
        let (other, key) = (self.other.display(), self.world.key_file("cp14"));
        let program = env!("CARGO_BIN_EXE_git-two-key");
        let run = format!("{program} -C '{other}' promote {LEASE} --key '{}' >/dev/null", key.display());
        self.before_the_push(&format!("unset GIT_DIR GIT_WORK_TREE GIT_PREFIX\n{run} || exit 1"));
    }
}

#[test]
fn the_effect_that_is_shown_is_that_on_the_servers_tip() {
    let scene = Scene::of(World::rolling());
    scene.by("user1", &["approve", LEASE]).exits(0).says("stays at 5 %").says("pushed to origin");
    // The other clone was made before that.
    let ran = scene.in_clone(&scene.other, "cp14", &["promote", LEASE]).exits(0);
    ran.says("5 % → 25 %, rolling").says("pushed to origin").never_says("had newer commits");
    assert_eq!(scene.desired(), 25);
    // Without a look first it is what is known here, and said so before it is pushed.
    let shown = ["promote", LEASE, "--offline", "--dry-run"];
    scene.by("cp18", &shown).exits(0).says("5 % → 25 %");
    scene.by("user2", &["promote", LEASE, "--dry-run"]).exits(0).says("stays at 25 %");
}

#[test]
fn more_than_was_shown_is_not_pushed_unless_somebody_says_so() {
    let scene = Scene::of(World::rolling());
    let before = scene.world.head();
    scene.promoted_meanwhile();
    let ran = scene.by("user1", &["promote", LEASE]).exits(1).says("stays at 5 %").says("5 % → 25 %, rolling");
    ran.says("stale: origin moved on meanwhile").never_says("pushed to origin");
    assert_eq!(scene.desired(), 5);
    // Nothing is left that would be pushed later.
    assert_eq!(scene.world.head(), before);
    assert_eq!(scene.world.git(&["for-each-ref", "refs/two-key-local", "refs/tags"]), "");
    scene.world.two_key(&["sync"]).exits(0);
    assert_eq!(scene.desired(), 5);
    scene.by("user1", &["promote", LEASE]).exits(0).says("5 % → 25 %, rolling");

    let scene = Scene::of(World::rolling());
    scene.promoted_meanwhile();
    let ran = scene.by("user1", &["promote", LEASE, "--yes"]).exits(0).says("stays at 5 %");
    ran.says("had newer commits").says("5 % → 25 %, rolling").says("pushed to origin");
    assert_eq!(scene.desired(), 25);
    // What does no more than was shown needs no answer.
    let scene = Scene::of(World::rolling());
    let (program, other) = (env!("CARGO_BIN_EXE_git-two-key"), scene.other.display());
    let key = scene.world.key_file("user2");
    scene.before_the_push(&format!(
        "unset GIT_DIR GIT_WORK_TREE GIT_PREFIX\n{program} -C '{other}' promote {LEASE} --key '{}' >/dev/null || exit 1",
        key.display()
    ));
    scene
        .by("user1", &["promote", LEASE])
        .exits(0)
        .says("had newer commits")
        .says("stays at 5 %")
        .says("pushed to origin");
}

#[test]
fn what_is_signed_is_delivered_unless_that_is_switched_off_and_then_the_first_line_says_so() {
    let scene = Scene::of(World::authorized());
    scene.by("user1", &["start", LEASE]).exits(0).says("pushed to origin").never_says("NOT PUSHED");
    assert_eq!(scene.desired(), 5);
    scene.world.git(&["config", "two-key.push", "false"]);
    let first = |ran: Ran, why: &str| {
        let line = format!("NOT PUSHED ({why})");
        assert!(ran.exits(0).out.starts_with(&line), "{line}");
    };
    first(scene.by("user1", &["promote", LEASE]), "two-key.push is false");
    scene.world.two_key(&["list"]).exits(0).says("NOT PUSHED: the local main has 1 commit");
    scene.world.git(&["config", "--unset", "two-key.push"]);
    first(scene.by("cp14", &["promote", LEASE, "--no-push"]), "--no-push");
    first(scene.by("user2", &["halt", LEASE, "--offline"]), "--offline");
    assert_eq!(scene.desired(), 5);
    // One command brings all of it, and says what came of it.
    let ran = scene.world.two_key(&["sync"]).exits(0).says("with 2 votes that were signed here");
    ran.says("pushed to origin").says(&format!("{LEASE}: 5 % → 0 %, halted"));
    assert_eq!(scene.desired(), 0);
    scene.world.two_key(&["push"]).exits(0);
    scene.by("user1", &["rollback", LEASE, "--no-push", "--push"]).exits(2);
    scene.by("user1", &["rollback", LEASE, "--remote", "nowhere"]).exits(3).says("not-found: there is no remote");
}

#[test]
fn a_stop_without_a_network_says_first_that_the_server_does_not_have_it() {
    let scene = Scene::of(World::rolling());
    scene.away(true);
    for verb in [&["halt", LEASE][..], &["freeze"]] {
        let ran = scene.by("user1", verb).exits(3).says("unreachable: ").never_says("internal").never_says("\\u{");
        let lines: Vec<_> = ran.out.lines().collect();
        assert!(lines[0].starts_with("STOP SIGNED, NOT ON THE SERVER: origin is no Git repository"), "{}", ran.out);
        assert_eq!(lines[1].trim(), "git two-key sync");
    }
    scene.world.two_key(&["list"]).says("undelivered: ").says("git two-key sync");
    scene.away(false);
    scene.world.two_key(&["sync"]).exits(0).says("delivered a stop that was signed here before");
    assert_eq!(scene.desired(), 0);
    // With one, it says nothing of the kind.
    scene.by("user2", &["rollback", LEASE]).exits(0).says("pushed to origin").never_says("NOT ON THE SERVER");
}

#[test]
fn what_has_not_started_is_not_paused_but_withdrawn() {
    let scene = Scene::of(World::authorized());
    let refused = scene.by("user1", &["pause", LEASE]).exits(1).says("wrong-state: ");
    refused.says(&format!("git two-key withdraw {LEASE}"));
    // Somebody else starts it, and what this clone knows is old: the look says so, and the pause holds it.
    scene.in_clone(&scene.other, "cp14", &["start", LEASE]).exits(0);
    scene.by("user1", &["pause", LEASE]).exits(0).says("paused at 5 %");
    // Where nobody can be asked whether it has started, a stop is made all the same.
    let scene = Scene::of(World::authorized());
    scene.away(true);
    scene.by("user1", &["pause", LEASE]).exits(3).says("STOP SIGNED");
}

#[test]
fn a_vote_that_is_dated_ahead_is_made_anew_once_the_clock_is_right() {
    let scene = Scene::of(World::proposed());
    scene.by("cp14", &["sign", LEASE]).exits(0);
    let key = scene.world.key_file("user1");
    let sign = |env: &[(&str, &str)]| {
        let args = ["sign", LEASE, "--key", key.to_str().unwrap()];
        scene.world.run_with(scene.world.repo(), env!("CARGO_BIN_EXE_git-two-key"), &args, b"", env)
    };
    let ahead = "@4102444800 +0000";
    let before = scene.world.git(&["rev-parse", "main"]);
    let clock = [("GIT_AUTHOR_DATE", ahead), ("GIT_COMMITTER_DATE", ahead)];
    // A clock that is ahead, as Git knows it.
    let real = scene.world.run(scene.world.path(), "sh", &["-c", "command -v git"], b"").exits(0).out;
    let fast = scene.world.path().join("fast");
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" = GIT_COMMITTER_IDENT ] && exec echo 'A Name <name@example.org> 4102444800 +0000'; \
         done\nexec {} \"$@\"\n",
        real.trim()
    );
    fs::create_dir(&fast).unwrap();
    fs::write(fast.join("git"), script).unwrap();
    fs::set_permissions(fast.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", fast.display(), std::env::var("PATH").unwrap());
    sign(&[("PATH", &path)]).exits(1).says("future-dated: ").says("set the clock right, then sign again");
    assert_eq!(scene.world.git(&["rev-parse", "main"]), before);
    assert_eq!(scene.world.git(&["for-each-ref", "refs/two-key-local"]), "");
    // One that plain Git left there is no hindrance either.
    let statement = ["statement", "--message", "--principal", "user1", "cosign", LEASE];
    let message = scene.world.two_key(&statement).exits(0).out;
    let setting = format!("user.signingKey={}", key.display());
    let tree = ["-c", "gpg.format=ssh", "-c", &setting, "commit-tree", "-S", "-p", "main", "-F", "-", "main^{tree}"];
    let made = scene.world.run_with(scene.world.repo(), "git", &tree, message.as_bytes(), &clock).exits(0).out;
    scene.world.git(&["update-ref", "refs/heads/main", made.trim()]);
    sign(&[]).exits(0).says("is dated ahead").says("authorized").says("pushed to origin");
    scene.world.two_key_in(&scene.server, &["verify", LEASE]).exits(0);
}

#[test]
fn the_signer_that_git_is_configured_with_signs() {
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    let (key, vault) = (world.key_file("user1"), world.path().join("vault"));
    let public = world.public_key("user1");
    fs::create_dir(&vault).unwrap();
    fs::rename(&key, vault.join("user1")).unwrap();
    // Such a program has the private key, and is told which by the public half.
    let program = vault.join("signer");
    let script = format!(
        "#!/bin/bash\na=()\nwhile [ $# -gt 0 ]; do case $1 in -f) a+=(-f '{0}/user1'); shift;; -U) ;; *) a+=(\"$1\");; esac; shift; done\n\
         echo used >> '{0}/used'\nexec ssh-keygen \"${{a[@]}}\"\n",
        vault.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    world.git(&["config", "--global", "user.signingkey", &public]);
    world.two_key(&["promote", LEASE]).exits(3).says("not-signed: ").never_says("internal");
    world.git(&["config", "--global", "gpg.ssh.program", program.to_str().unwrap()]);
    world.two_key(&["promote", LEASE]).exits(0).says("user1: Promote").says("pushed to origin");
    world.git(&["config", "--global", "--unset", "user.signingkey"]);
    world.two_key(&["halt", LEASE]).exits(3).says("no-key: ");
    world.git(&["config", "--global", "gpg.ssh.defaultKeyCommand", &format!("echo key::{public}")]);
    world.two_key(&["halt", LEASE]).exits(0).says("5 % → 0 %, halted").says("pushed to origin");
    assert!(fs::read_to_string(vault.join("used")).unwrap().lines().count() >= 2);
    world.git(&["config", "--global", "gpg.ssh.defaultKeyCommand", "echo nothing"]);
    world.two_key(&["rollback", LEASE]).exits(3).says("no-key: ").says("printed no public key");
}

#[test]
fn a_passphrase_is_asked_for_at_the_terminal_and_a_wrong_one_is_said() {
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    let key = world.key_file("user1");
    let key = key.to_str().unwrap();
    world.run(world.path(), "ssh-keygen", &["-q", "-p", "-P", "", "-N", "secret words", "-f", key], b"").exits(0);
    // A terminal of its own, where the words are typed once they are asked for.
    let at_terminal = |words: &str, args: &[&str]| {
        let script = "import os, pty, sys\n\
            pid, fd = pty.fork()\n\
            if pid == 0: os.execvp(sys.argv[2], sys.argv[2:])\n\
            said, asked = b'', 0\n\
            while True:\n    \
                try: more = os.read(fd, 4096)\n    \
                except OSError: break\n    \
                if not more: break\n    \
                said += more\n    \
                if said.lower().count(b'passphrase') > asked and asked < 3: asked += 1; os.write(fd, sys.argv[1].encode() + b'\\n')\n\
            print(said.decode(), end='')\n\
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
        let program = env!("CARGO_BIN_EXE_git-two-key");
        let args = [&["-c", script, words, program][..], args, &["--key", key]].concat();
        world.run_with(world.repo(), "python3", &args, b"", &[("DISPLAY", ":77")])
    };
    at_terminal("secret words", &["promote", LEASE]).exits(0).says("pushed to origin");
    let wrong = at_terminal("other words", &["promote", LEASE, "--push"]);
    wrong.exits(1).says("already-voted");
    let wrong = at_terminal("other words", &["halt", LEASE]).exits(3).never_says("internal");
    wrong.says("not-signed: the passphrase is not that of the key");
    at_terminal("secret words", &["halt", LEASE]).exits(0).says("5 % → 0 %, halted");
}

#[test]
fn names_and_variables_of_the_callers_keep_no_key_from_being_turned() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    let latin = std::ffi::OsStr::from_bytes(b"J\xf6rg");
    let key = world.key_file("user1");
    for (verb, variable, value) in [
        ("approve", "GIT_COMMITTER_NAME", latin),
        ("halt", "GIT_COMMITTER_NAME", latin),
        ("rollback", "GIT_GLOB_PATHSPECS", "1".as_ref()),
    ] {
        let mut command = world.command(world.repo(), env!("CARGO_BIN_EXE_git-two-key"));
        command.args([verb, LEASE, "--key", key.to_str().unwrap()]).env(variable, value);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // As everybody writes it.
    let log = scene.on_server(&["log", "--format=%cn", "-3", "main"]);
    assert_eq!(log.lines().collect::<Vec<_>>(), ["A Name", "Jörg", "Jörg"]);
    for name in ["GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"] {
        world.run_with(world.repo(), env!("CARGO_BIN_EXE_git-two-key"), &["list"], b"", &[(name, "1")]).exits(0);
    }
}

#[test]
fn what_surrounds_the_program_has_reason_codes_of_its_own() {
    let scene = Scene::of(World::rolling());
    let world = &scene.world;
    let nowhere = world.path().join("nowhere");
    fs::create_dir(&nowhere).unwrap();
    let folded =
        world.two_key_in(&nowhere, &["list"]).exits(3).says("undecided: no-repository: ").says("git two-key clone");
    // Git's own words stand underneath, each on a line of its own.
    assert!(folded.err.lines().any(|line| line.starts_with("  | fatal: not a git repository")), "{}", folded.err);
    world.two_key(&["promote", LEASE]).exits(3).says("undecided: no-key: ");
    world.two_key(&["promote", LEASE, "--key", "gone"]).exits(3).says("undecided: no-key: ");
    world.two_key(&["list", "--remote", "gone"]).exits(3).says("undecided: not-found: ");
    world.two_key(&["verify", "--range", "gone.."]).exits(3).says("undecided: not-found: ");
    let empty = world.path().join("empty");
    world.git(&["init", "--quiet", empty.to_str().unwrap()]);
    world.two_key_in(&empty, &["list"]).exits(3).says("undecided: no-ledger: ");
    scene.away(true);
    world.two_key(&["sync"]).exits(3).says("undecided: unreachable: ").says("  | fatal: ").never_says("\\u{a}");
    scene.by("user1", &["promote", LEASE]).exits(3).says("undecided: unreachable: NOT PUSHED: ").never_says("\\u{a}");
    let failed = world.two_key_in(&nowhere, &["list", "--format", "json"]).exits(3).json();
    assert_eq!(failed["reason"], "no-repository");
    assert!(failed["detail"].as_str().unwrap().starts_with("fatal: "));
}

/// What a `git pull` of either kind leaves, and where the clone stands then.
#[test]
fn one_command_leads_back_from_whatever_a_pull_left() {
    let pulls = |world: &World, how: &[&str]| {
        world.run(world.repo(), "git", &[how, &["pull", "--quiet", "--no-edit", "origin", "main"]].concat(), b"")
    };
    let (rebase, merge) = (["-c", "pull.rebase=true"], ["-c", "pull.rebase=false"]);
    // Another's push comes between: a proposal for which both have a file.
    let conflict = |scene: &Scene| {
        let git = |args: &[&str]| drop(scene.world.run(&scene.other, "git", args, b"").exits(0));
        fs::write(scene.other.join("README"), "theirs\n").unwrap();
        git(&["add", "README"]);
        git(&["commit", "--quiet", "-m", "Theirs"]);
        git(&["push", "--quiet", "origin", "HEAD:main"]);
    };
    for how in [&rebase[..], &merge[..]] {
        // A stop, and a vote by note.
        let scene = Scene::of(World::rolling());
        scene.by("user1", &["pause", LEASE, "--no-push"]).exits(0);
        conflict(&scene);
        pulls(&scene.world, how).exits(0);
        scene.world.two_key(&["sync"]).exits(0);
        let shown = scene.world.two_key_in(&scene.server, &["show", LEASE, "--format", "json"]).exits(0).json();
        assert_eq!(shown["state"], "paused");
        let scene = Scene::of(World::rolling());
        scene.by("cp14", &["sign", LEASE, "--as", "note", "--no-push"]).exits(1);
        // A proposal below a vote.
        scene.world.commit_file("mine", "mine\n", "Mine");
        scene.by("user1", &["promote", LEASE, "--no-push"]).exits(0);
        conflict(&scene);
        pulls(&scene.world, how).exits(0);
        scene.world.two_key(&["sync"]).exits(0).says("with 1 vote").says("pushed to origin");
        assert_eq!(scene.on_server(&["show", "main:mine"]), "mine");
        assert_eq!(scene.world.git(&["status", "--porcelain"]), "");
        scene.by("cp14", &["promote", LEASE]).exits(0).says("5 % → 25 %");

        // A pull that stopped half-way over a vote that rests on a file of one's own.
        let scene = Scene::of(World::rolling());
        scene.by("user1", &["promote", LEASE, "--no-push"]).exits(0);
        scene.world.commit_file("README", "mine\n", "Mine");
        conflict(&scene);
        assert_ne!(pulls(&scene.world, how).code, 0);
        let stuck = scene.world.two_key(&["sync"]).exits(1).says("was undone").says("would be left behind");
        stuck.says(if how == rebase { "git rebase --abort" } else { "git merge --abort" });
        assert_eq!(scene.world.git(&["status", "--porcelain"]), "");
        assert_eq!(scene.world.git(&["show", "main:README"]), "mine");
        scene.world.git(&["reset", "--quiet", "--keep", "HEAD^"]);
        scene.world.two_key(&["sync"]).exits(0).says("with 1 vote").says("pushed to origin");
    }
    // With another branch checked out, and with none.
    for place in [&["checkout", "--quiet", "-b", "topic"][..], &["checkout", "--quiet", "--detach"]] {
        let scene = Scene::of(World::rolling());
        scene.by("user1", &["promote", LEASE, "--no-push"]).exits(0);
        conflict(&scene);
        pulls(&scene.world, &rebase).exits(0);
        scene.world.git(place);
        let head = scene.world.git(&["rev-parse", "HEAD"]);
        scene.world.two_key(&["sync"]).exits(0).says("with 1 vote").says("pushed to origin");
        assert_eq!(scene.world.git(&["rev-parse", "HEAD"]), head);
        assert_eq!(scene.on_server(&["rev-parse", "main"]), scene.world.head());
        assert_eq!(scene.world.git(&["status", "--porcelain"]), "");
    }
}
