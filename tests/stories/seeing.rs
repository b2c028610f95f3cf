//! What people look at: the trail and its filters, completions, manual pages, through the binary.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use git_two_key::{
    gate,
    ledger::PinnedTerms,
    model::{Digest, GateId, LeaseId, Refusal, TargetId, document::Span, policy},
};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::kit::{EPOCH, LEASE, World, lease};

/// The events of a trail, as `--format json` prints them.
fn events(world: &World, args: &[&str]) -> Vec<String> {
    let ran = world.two_key(&[&["log", "--format", "json"], args].concat());
    let event = |line: &str| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().unwrap().to_owned();
    ran.out.lines().map(event).collect()
}

/// A lease that was started, paused and resumed; then a stranger's vote, if one is wanted.
fn paused() -> World {
    let world = World::rolling();
    world.turn("cp18", "pause", LEASE);
    world
}

#[test]
fn the_trail_can_be_narrowed_and_is_verified_as_a_whole_all_the_same() {
    let world = paused();
    assert_eq!(events(&world, &[]), ["COSIGNED", "COSIGNED", "VERIFIED_2KEY", "STARTED", "PAUSED"]);
    assert_eq!(events(&world, &["--event", "PAUSED", "--event", "started"]), ["STARTED", "PAUSED"]);
    assert_eq!(events(&world, &["--principal", "user1"]), ["COSIGNED", "VERIFIED_2KEY", "STARTED"]);
    assert_eq!(events(&world, &["--lease", "checkout-prod", "--principal", "cp18"]), ["PAUSED"]);
    assert_eq!(events(&world, &["--since", "2025-10-28"]), [""; 0]);
    assert_eq!(events(&world, &["--since", "2025-10-27"]).len(), 5);
    world.two_key(&["log", "--event", "PAUSED"]).exits(0).says("verified: 6 steps from root ");
    world.two_key(&["log", "--event", "NOTHING"]).exits(2);
    world.two_key(&["log", "--since", "yesterday"]).exits(2).says("--since yesterday: it is a length of time");
    world.two_key(&["log", LEASE, "--lease", LEASE]).exits(2);
    // What does not count is said at the top, also where it is not among what is shown.
    let message = world.two_key(&["statement", "--message", "--principal", "user2", "resume", LEASE]).exits(0).out;
    world.carry("mallory", &message);
    let ran = world.two_key(&["log", "--event", "PAUSED"]).exits(1);
    assert!(ran.out.starts_with("DOES NOT VERIFY: 1 REFUSED in 7 steps "), "{}", ran.out);
    assert_eq!(ran.out.lines().filter(|line| line.contains("PAUSED")).count(), 1);
    assert!(!ran.out.contains("unknown-key"));
    let json = world.two_key(&["log", "--event", "PAUSED", "--format", "json"]).exits(1);
    assert!(json.err.starts_with("DOES NOT VERIFY: ") && json.out.lines().count() == 1);
}

#[test]
fn the_trail_can_be_had_as_in_toto_statements_about_what_ran() {
    let world = paused();
    let lines = world.two_key(&["log", "--format", "json"]).exits(0).out;
    let envelopes = world.two_key(&["log", "--format", "in-toto"]).exits(0).out;
    assert_eq!(envelopes.lines().count(), lines.lines().count());
    for (line, envelope) in lines.lines().zip(envelopes.lines()) {
        let (entry, envelope): (Value, Value) =
            (serde_json::from_str(line).unwrap(), serde_json::from_str(envelope).unwrap());
        assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
        assert_eq!(envelope["signatures"], Value::Array(Vec::new()));
        let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
        let statement: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(statement["predicate"]["entry"], entry);
        assert_eq!(statement["subject"][0]["digest"]["gitCommit"], entry["commit"]);
        // Who holds the artifact's digest finds what was decided about it.
        let digests: Vec<_> = statement["subject"].as_array().unwrap().iter().map(|s| &s["digest"]["sha256"]).collect();
        assert!(digests.contains(&&Value::from("11".repeat(32))), "{statement}");
        assert_eq!(statement["predicate"]["root"], Value::from(world.git(&["config", "two-key.root"])));
    }
}

#[test]
fn an_unpinned_trail_is_not_called_verified() {
    let world = paused();
    world.git(&["config", "--unset", "two-key.root"]);
    world.two_key(&["log"]).exits(0).says("unpinned: ").says("not verified, as no root is pinned").never_says("counts");
}

/// What asks bash what it would offer for these words.
fn offering(words: &str, at: usize) -> String {
    let program = env!("CARGO_BIN_EXE_git-two-key");
    format!(
        "eval \"$({program} completions bash)\"; COMP_WORDS=({words}); COMP_CWORD={at}; _git_two_key; echo \"${{COMPREPLY[*]}}\""
    )
}

fn offered(world: &World, words: &str, at: usize) -> String {
    world.run(world.path(), "bash", &["-c", &offering(words, at)], b"").exits(0).out.trim_end().to_owned()
}

#[test]
fn shells_complete_verbs_and_flags_also_through_git() {
    let world = World::empty();
    assert_eq!(offered(&world, "git two-key lo", 2), "log");
    assert_eq!(offered(&world, "git -C x two-key log --ev", 5), "--event");
    assert_eq!(offered(&world, "git two-key key allowed", 3), "allowed-signers");
    assert_eq!(offered(&world, "git two-key nothing", 2), "");
    for shell in ["zsh", "fish"] {
        world.two_key(&["completions", shell]).exits(0).says("approve-next-tier");
    }
    world.two_key(&["completions", "sh"]).exits(2);
}

#[test]
fn shells_complete_the_names_that_are_in_the_ledger_here() {
    let mut world = World::proposed();
    let here = world.repo().to_owned();
    let offered = |world: &World, words: &str, at: usize| {
        let script = format!("cd '{}'; {}", here.display(), offering(words, at));
        world.run(world.path(), "bash", &["-c", &script], b"").exits(0).out.trim_end().to_owned()
    };
    assert_eq!(offered(&world, "git two-key show LEASE-2025", 3), LEASE);
    assert_eq!(offered(&world, "git two-key show INT-", 3), "INT-2025-0042");
    assert_eq!(offered(&world, "git two-key status check", 3), "checkout-prod");
    assert_eq!(offered(&world, "git two-key log --principal cp", 4), "cp14 cp18");
    // What has ended is not offered, and where there is no ledger nothing is.
    world.turn("user1", "withdraw", LEASE);
    assert_eq!(offered(&world, "git two-key show LEASE-2025", 3), "");
    for shell in ["zsh", "fish"] {
        world.two_key(&["completions", shell]).exits(0).says("completions words");
    }
    let elsewhere = world.path().to_owned();
    world.enter(&elsewhere);
    assert_eq!(world.two_key(&["completions", "words"]).exits(3).out, "");
}

#[test]
fn what_is_long_goes_through_the_pager_on_a_terminal_alone() {
    let world = World::rolling();
    let script = "import os, pty, sys\n\
        pid, fd = pty.fork()\n\
        if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])\n\
        said = b''\n\
        while True:\n    \
            try: more = os.read(fd, 4096)\n    \
            except OSError: break\n    \
            if not more: break\n    \
            said += more\n\
        print(said.decode(), end='')\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let at_terminal = |args: &[&str], pager: &str| {
        let args = [&["-c", script, program][..], args].concat();
        world.run_with(world.repo(), "python3", &args, b"", &[("GIT_PAGER", pager)]).exits(0)
    };
    for verb in [&["list"][..], &["show", LEASE], &["log"]] {
        at_terminal(verb, "sed s/^/paged:/").says("paged:");
        at_terminal(verb, "cat").never_says("paged:").says(LEASE);
        // One that is not there keeps nobody from reading.
        at_terminal(verb, "no-such-pager").says(LEASE);
        let piped = [("GIT_PAGER", "sed s/^/paged:/")];
        world.run_with(world.repo(), program, verb, b"", &piped).exits(0).never_says("paged:").says(LEASE);
    }
}

#[test]
fn every_verb_has_a_manual_page_and_help_finds_the_first() {
    let world = World::empty();
    let pages = world.path().join("man1");
    world.two_key(&["man", "--to", pages.to_str().unwrap()]).exits(0).says("pages into");
    let command = git_two_key::cli::command();
    let verbs: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
    assert!(verbs.len() > 20 && verbs.contains(&"man"), "{verbs:?}");
    for verb in verbs {
        let page = fs::read_to_string(pages.join(format!("git-two-key-{verb}.1"))).unwrap();
        assert!(page.contains(".SH DESCRIPTION") || page.contains(".SH SYNOPSIS"), "{verb}");
    }
    // `git two-key --help` asks man for the page of this name.
    assert!(fs::read_to_string(pages.join("git-two-key.1")).unwrap().starts_with(".ie"));
    assert!(world.two_key(&["man"]).exits(0).out.contains(r"[\fB\-C\fR \fI<PATH>\fR] "));
    assert_eq!(world.two_key(&["man"]).exits(0).out, fs::read_to_string(pages.join("git-two-key.1")).unwrap());
}

/// A founded world about which the only complaints are those that it is made for.
fn complaints(world: &World) -> Vec<(String, String)> {
    let problems = world.two_key(&["doctor", "--format", "json"]).json()["problems"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    problems.as_array().unwrap().iter().map(|one| (text(&one["check"]), text(&one["message"]))).collect()
}

fn complains_of(world: &World, check: &str) -> bool {
    complaints(world).iter().any(|(found, _)| found == check)
}

#[test]
fn doctor_sees_a_clock_that_is_behind_the_newest_commit() {
    let world = World::founded();
    let dated = |date: &str| {
        let env = [("GIT_COMMITTER_DATE", date)];
        world.run_with(world.repo(), "git", &["commit", "-q", "--allow-empty", "-m", "x"], b"", &env).exits(0);
    };
    dated(&format!("@{EPOCH} +0000"));
    assert!(!complains_of(&world, "clock"));
    dated("@4102444800 +0000");
    assert!(complains_of(&world, "clock"), "{:?}", complaints(&world));
    world.two_key(&["doctor"]).exits(1).says("minutes ahead of the clock here").says("timedatectl");
}

#[test]
fn doctor_sees_an_applier_that_lags_behind_the_ledger() {
    let world = World::authorized();
    assert!(!complains_of(&world, "applier"));
    world.turn("user1", "start", LEASE);
    assert!(complains_of(&world, "applier"));
    world.two_key(&["doctor"]).exits(1).says("applier edge1 has not recorded step 1 (start)").says("apply --once");
    let config = format!(
        "name: edge1\nkey: {}\nrepository: repo\ntargets:\n  checkout-prod: {{file: weights.json}}\n",
        world.key_file("edge1").display()
    );
    fs::write(world.path().join("applier.yaml"), config).unwrap();
    world.two_key_in(world.path(), &["apply", "--once", "--config", "applier.yaml"]).exits(0);
    assert!(!complains_of(&world, "applier"), "{:?}", complaints(&world));
    world.turn("cp18", "pause", LEASE);
    assert!(complains_of(&world, "applier"));
}

#[test]
fn doctor_sees_a_git_that_is_too_old() {
    let world = World::founded();
    let real = world.run(world.path(), "sh", &["-c", "command -v git"], b"").exits(0).out;
    let bin = world.path().join("old");
    fs::create_dir_all(&bin).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let complains = |version: &str| {
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = version ] && exec echo 'git version {version}'\nexec {} \"$@\"\n",
            real.trim_end()
        );
        fs::write(bin.join("git"), script).unwrap();
        fs::set_permissions(bin.join("git"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let program = env!("CARGO_BIN_EXE_git-two-key");
        world.run_with(world.repo(), program, &["doctor"], b"", &[("PATH", &path)]).out.contains("git: Git 2.33")
    };
    assert!(complains("2.33.8"));
    assert!(!complains("2.34.1"));
}

/// What a live view draws first, without its end: it goes on for as long as somebody reads.
fn first_frame(world: &World, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = world.command(world.repo(), env!("CARGO_BIN_EXE_git-two-key"));
    let mut child = command.args(args).envs(env.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let frame = lines.take_while(|line| !line.is_empty()).map(|line| line + "\n").collect();
    child.kill().unwrap();
    child.wait().unwrap();
    frame
}

#[test]
fn a_live_lease_is_a_tree_of_keys_and_tiers() {
    let world = World::rolling();
    world.turn("cp14", "promote", LEASE);
    let key = |name: &str| world.fingerprint(name);
    let expected = format!(
        "◐ {LEASE} · rolling at 5 %, tier 1 of 3, step 1\n\
         \x20 summary    Roll out checkout 1.9.0\n\
         \x20 target     checkout-prod · INT-2025-0042\n\
         \x20 desired       5 %  █░░░░░░░░░\n\
         \x20 observed      nothing yet\n\
         \x20 waits for  a human, to promote to 25 %\n\
         \x20 expires    2035-10-28T02:19:13Z, then rollback\n\
         ├── ✔ keys to authorize: 2/2\n\
         │   ├── ✔ user1 (human) {}\n\
         │   └── ✔ cp14 (agent) {}\n\
         ├── ◐   5 %  bake 15m 00s, not begun · start (step 1) · user1 (human)\n\
         ├── ○  25 %  bake 15m 00s\n\
         │   ├── ✔ cp14 (agent) has signed\n\
         │   └── ○ waiting for a human\n\
         └── · 100 %  bake 15m 00s\n",
        key("user1"),
        key("cp14")
    );
    assert_eq!(first_frame(&world, &["show", LEASE, "--watch"], &[]), expected);
    let ascii = first_frame(&world, &["show", LEASE, "--watch"], &[("LC_ALL", "C")]);
    assert!(ascii.is_ascii() && ascii.contains("`-- . 100 %"), "{ascii}");
    world.turn("user1", "rollback", LEASE);
    let frame = first_frame(&world, &["show", LEASE, "--watch"], &[]);
    assert!(frame.contains("└── ✘ rollback (step 2) · user1 (human)\n"), "{frame}");
}

#[test]
fn a_live_list_is_a_tree_of_targets() {
    let world = World::rolling();
    world.commit_file("leases/LEASE-2.yaml", &lease("LEASE-2"), "Propose another");
    let frame = first_frame(&world, &["list", "--watch"], &[]);
    assert_eq!(
        frame,
        format!(
            "main {} · policy 1 · 2 open, 0 ended\n\
             └── checkout-prod\n\
             \x20   ├── ○ LEASE-2 proposed · keys 0/2 · waiting for a human and an agent, to authorize · until 2035-10-28T02:19:13Z\n\
             \x20   └── ◐ {LEASE} rolling · 5 %, tier 1 of 3 · waiting for a human and an agent, to promote to 25 % · until 2035-10-28T02:19:13Z\n",
            &world.head()[..12]
        )
    );
    let message = world.two_key(&["statement", "--message", "--principal", "cp14", "freeze"]).exits(0).out;
    world.carry("cp14", &message);
    assert!(first_frame(&world, &["list", "--watch"], &[]).contains("frozen: nothing goes forward"));
}

#[test]
fn a_live_view_of_the_remote_fetches_by_itself() {
    let mut world = World::rolling();
    let (origin, clone) = (world.repo().to_owned(), world.path().join("clone"));
    let root = world.git(&["config", "two-key.root"]);
    world.git(&["clone", "--quiet", origin.to_str().unwrap(), clone.to_str().unwrap()]);
    world.turn("cp18", "halt", LEASE);
    world.enter(&clone);
    world.git(&["config", "two-key.root", &root]);
    assert!(first_frame(&world, &["show", LEASE, "--watch", "--offline"], &[]).contains("rolling at 5 %"));
    assert!(first_frame(&world, &["show", LEASE, "--watch"], &[]).contains("halted, step 2"));
}

/// Whether a view that goes on has ended by itself, once what it had said first was read and its reader had left.
fn ends_with_its_reader(world: &World, args: &[&str]) -> bool {
    let mut command = world.command(world.repo(), env!("CARGO_BIN_EXE_git-two-key"));
    let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty());
    let deadline = Instant::now() + Duration::from_secs(60);
    let ended = loop {
        match child.try_wait().unwrap() {
            Some(ended) => break Some(ended),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    ended.is_some_and(|ended| ended.success())
}

#[test]
fn a_view_that_nobody_reads_any_more_ends_although_nothing_new_is_drawn() {
    let world = World::rolling();
    assert!(ends_with_its_reader(&world, &["show", LEASE, "--watch"]));
    assert!(ends_with_its_reader(&world, &["list", "--watch"]));
    let page = world.path().join("page.html");
    assert!(ends_with_its_reader(&world, &["report", "--refresh", "--output", page.to_str().unwrap()]));
}

#[test]
fn a_prompt_gets_one_short_line_and_nothing_when_nothing_is_open() {
    let world = World::founded();
    assert_eq!(world.two_key(&["list", "--short"]).exits(0).out, "");
    world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
    assert_eq!(world.two_key(&["list", "--short"]).exits(0).out, "1 proposed\n");
    world.git(&["config", "two-key.key", world.key_file("user1").to_str().unwrap()]);
    assert_eq!(world.two_key(&["list", "--short"]).exits(0).out, "1 proposed, 1 for you\n");
    world.turn("user1", "cosign", LEASE);
    assert_eq!(world.two_key(&["list", "--short"]).exits(0).out, "1 proposed\n");
    world.turn("cp14", "cosign", LEASE);
    world.turn("cp14", "start", LEASE);
    assert_eq!(world.two_key(&["list", "--short"]).exits(0).out, "1 rolling, 1 for you\n");
}

#[test]
fn what_awaits_my_key_is_listed_and_told_to_a_program() {
    let world = World::rolling();
    let (program, told) = (world.path().join("notify"), world.path().join("told"));
    let script = format!("#!/bin/sh\n{{ printf '%s: %s: ' \"$1\" \"$2\"; cat; echo; }} >> {}\n", told.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mine = |name: &str| {
        world.git(&["config", "two-key.key", world.key_file(name).to_str().unwrap()]);
        world.two_key(&["list", "--mine", "--exec", program.to_str().unwrap()])
    };
    world.turn("user1", "promote", LEASE);
    mine("user1").exits(0).says("nothing waits for your key");
    mine("edge1").exits(0).says("nothing waits for your key");
    assert!(!told.exists());
    mine("cp14").exits(0).says(LEASE);
    let said = fs::read_to_string(&told).unwrap();
    let json =
        said.strip_prefix(&format!("{LEASE}: an agent, to promote to 25 %: ")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(serde_json::from_str::<Value>(json).unwrap()["awaits"]["who"], serde_json::json!(["cp14", "cp18"]));
    mine("mallory").exits(1).says("unknown-key");
    fs::write(&program, "#!/bin/sh\nexit 7\n").unwrap();
    mine("cp14").exits(0).says("was not told of").says(LEASE);
    world.two_key(&["list", "--exec", "true"]).exits(2);
}

/// The page of a world.
fn page(world: &World, args: &[&str]) -> (i32, String) {
    let file = world.path().join("page.html");
    let ran = world.two_key(&[&["report", "--output", file.to_str().unwrap()], args].concat());
    (ran.code, fs::read_to_string(file).unwrap())
}

#[test]
fn the_page_needs_nothing_else_and_lets_nothing_else_in() {
    let world = World::rolling();
    let (code, page) = page(&world, &[]);
    assert_eq!(code, 0);
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    assert!(page.contains(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")));
    for forbidden in ["<script", " style=", "://", " src=", "@import", "url(", "http-equiv=\"refresh\""] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    for told in
        ["<b>Verified:</b> 5 steps", LEASE, "VERIFIED_2KEY", "desired 5 % from 2025-10-27T", &world.fingerprint("cp14")]
    {
        assert!(page.contains(told), "{told}");
    }
}

#[test]
fn whatever_strangers_write_is_text_on_the_page() {
    let world = World::founded();
    let evil = lease("LEASE-2").replace("Roll out checkout 1.9.0", "\"</p><script>alert(1)</script>&amp;\"");
    world.commit_file("leases/LEASE-2.yaml", &evil, "Propose");
    world.commit_file("leases/<img src=x onerror=alert(2)>.yaml", "two-key: 1\n", "Propose nonsense");
    let (code, page) = page(&world, &[]);
    assert_eq!(code, 1);
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(page.contains("&#60;/p&#62;&#60;script&#62;alert(1)&#60;/script&#62;&#38;amp;"), "{page}");
    assert!(page.contains("<b>Does not verify:</b> 1 in 3 steps"));
}

#[test]
fn a_page_without_a_pinned_root_says_so_and_one_of_a_lease_is_of_that_lease() {
    let world = World::rolling();
    world.commit_file("leases/LEASE-2.yaml", &lease("LEASE-2"), "Propose another");
    let (_, of_one) = page(&world, &["LEASE-2"]);
    assert!(of_one.contains("LEASE-2") && !of_one.contains(LEASE));
    world.two_key(&["report", "LEASE-3"]).exits(1).says("unknown-lease");
    world.git(&["config", "--unset", "two-key.root"]);
    let (code, unpinned) = page(&world, &[]);
    assert_eq!(code, 0);
    assert!(unpinned.contains("<b>Not verified:</b>") && !unpinned.contains("<b>Verified:</b>"));
}

#[test]
fn a_thousand_leases_fit_on_half_a_megabyte() {
    let world = World::founded();
    let folder = world.repo().join("leases");
    fs::create_dir_all(&folder).unwrap();
    // One step may bring no more than so many bytes.
    for step in 0..10 {
        for number in step * 100..(step + 1) * 100 {
            let id = format!("LEASE-20251027-{number:06}");
            fs::write(folder.join(format!("{id}.yaml")), lease(&id)).unwrap();
        }
        world.git(&["add", "."]);
        world.git(&["commit", "--quiet", "-m", "Propose a hundred leases"]);
    }
    let (code, page) = page(&world, &[]);
    assert_eq!(code, 0);
    assert!(page.len() < 500_000, "{} bytes", page.len());
    for number in [0, 999] {
        assert!(page.contains(&format!("LEASE-20251027-{number:06}")));
    }
    assert!(page.contains(" in all, have no section here"));
}

#[test]
fn a_page_that_is_watched_is_rewritten_when_a_key_was_turned() {
    let world = World::rolling();
    let file = world.path().join("live.html");
    let mut command = world.command(world.repo(), env!("CARGO_BIN_EXE_git-two-key"));
    let mut child = command
        .args(["report", "--refresh", "--output", file.to_str().unwrap()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let comes_to_say = |what: &str| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !fs::read_to_string(&file).is_ok_and(|page| page.contains(what)) {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    comes_to_say("<meta http-equiv=\"refresh\" content=\"5\">");
    world.turn("cp18", "pause", LEASE);
    comes_to_say("PAUSED");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A source that says one number.
struct Says(f64);

impl gate::Measure for Says {
    fn ask(&self, _: &gate::Question) -> gate::Answer {
        gate::Answer::of(gate::Value::Number(self.0))
    }

    fn has(&self, _: policy::Source) -> Result<(), Refusal> {
        Ok(())
    }

    fn metric(&self, _: &GateId) -> Option<gate::Metric> {
        None
    }
}

/// Evidence about the lease's first tier: a depth of one, then another; no more than ten will do.
fn evidence(world: &World, depth: f64) -> gate::Evidence {
    let gates = "gates:\n  depth: {source: exec, kind: gauge, candidate: {value: depth}, settle: 0s, interval: 1m, \
                 min: {slots: 2}, absolute: {max: 10}}\n";
    let policy = policy::read((world.policy() + gates).as_bytes()).unwrap();
    let terms = PinnedTerms {
        driver: None,
        gates: policy.get().gates.clone(),
        thresholds: BTreeMap::new(),
        if_measured: std::collections::BTreeSet::new(),
        promote: None,
        false_alarms: policy.get().false_alarms,
        drift_below: policy::DriftBelow::default(),
    };
    let time = |seconds| Timestamp::from_second(i64::try_from(EPOCH).unwrap() + seconds).unwrap();
    let context = gate::TierContext {
        subject: gate::MeasuredVersion::Candidate,
        names: gate::Names::default(),
        lease: LeaseId::parse(LEASE).unwrap(),
        target: TargetId::parse("checkout-prod").unwrap(),
        candidate: "v2".to_owned(),
        stable: None,
        tier: 5,
        started: time(0),
        bake: Span::seconds(900),
        tiers: 3,
        last: false,
        samples: 1,
        recorded: BTreeMap::new(),
    };
    let mut watch = gate::Watch::default();
    gate::judge(&terms, &context, &mut watch, time(60), &Says(1.0));
    let judgement = gate::judge(&terms, &context, &mut watch, time(120), &Says(depth));
    gate::Evidence::new(terms, context, watch, judgement)
}

/// The page of a ledger in whose tree some evidence is, which a vote names if it is to.
fn page_with(evidence: &gate::Evidence, named: Option<()>) -> String {
    let world = World::rolling();
    let bytes = evidence.bytes().unwrap();
    let digest = Digest::of(&bytes);
    let path = gate::Evidence::path(&LeaseId::parse(LEASE).unwrap(), digest);
    world.commit_file(&path, std::str::from_utf8(&bytes).unwrap(), "Bring evidence");
    let statement = world.two_key(&["statement", "--message", "--principal", "cp14", "promote", LEASE]).exits(0).out;
    let remark = named.map(|()| format!("Two-Key-Evidence: {digest}\n")).unwrap_or_default();
    world.carry("cp14", &(statement + &remark));
    world.two_key(&["verify"]).exits(0);
    page(&world, &[]).1
}

#[test]
fn evidence_that_a_vote_names_is_drawn_and_judged_again() {
    let world = World::empty();
    let passed = page_with(&evidence(&world, 4.0), Some(()));
    for told in
        ["Gate <b>depth</b> at 5 %: <b class=\"PASS\">PASS</b>", "<path class=limit", "judged again here: the same"]
    {
        assert!(passed.contains(told), "{told}");
    }
    assert_eq!(passed.matches("<circle class=candidate").count(), 2);
    assert!(page_with(&evidence(&world, 40.0), Some(())).contains("<b class=\"FAIL\">FAIL</b>"));
    // Anybody can put a file into the tree.
    assert!(!page_with(&evidence(&world, 4.0), None).contains("Gate <b>depth</b>"));
}

#[test]
fn evidence_that_says_more_than_was_measured_is_found_out() {
    let world = World::empty();
    let mut bad = evidence(&world, 40.0);
    bad.judgement.verdict = gate::Verdict::Pass;
    assert!(page_with(&bad, Some(())).contains("<b class=\"bad\">not the same</b>: the verdict was PASS and is FAIL"));
}
