//! What reading verbs remember of the ledger saves time and decides nothing, through the binary.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::kit::{LEASE, Ran, World, lease};

/// The other leases of these ledgers: one that is proposed, one that was withdrawn, and one of a target that no policy names.
const PROPOSED: &str = "LEASE-20251027-030000";
const WITHDRAWN: &str = "LEASE-20251027-040000";
const ELSEWHERE: &str = "LEASE-20251027-050000";

/// A ledger with something of everything, and more steps than are folded again rather than remembered.
fn ledger() -> World {
    let world = World::rolling();
    grown(world)
}

fn grown(world: World) -> World {
    let file = |id: &str| format!("leases/{id}.yaml");
    world.commit_file(&file(PROPOSED), &lease(PROPOSED).replace("INT-2025-0042", "INT-2"), "Propose");
    world.commit_file(&file(WITHDRAWN), &lease(WITHDRAWN).replace("INT-2025-0042", "INT-2"), "Propose");
    let elsewhere = lease(ELSEWHERE).replace("checkout-prod", "nowhere");
    world.commit_file(&file(ELSEWHERE), &elsewhere, "Propose");
    writes(&world, 10);
    world.turn("user1", "withdraw", WITHDRAWN);
    world.turn("user2", "cosign", PROPOSED);
    // By a clock that jumped, and was set right again.
    let jumped = [("GIT_COMMITTER_DATE", "2036-02-03T04:05:06Z"), ("GIT_AUTHOR_DATE", "2036-02-03T04:05:06Z")];
    let commit = ["commit", "--quiet", "--allow-empty", "--message", "Jump"];
    world.run_with(world.repo(), "git", &commit, b"", &jumped).exits(0);
    // What does not count: a key that nobody knows.
    world.turn("user1", "promote", LEASE);
    let message = world.two_key(&["statement", "--message", "--principal", "cp14", "promote", LEASE]).exits(0).out;
    world.carry("stranger", &message);
    world.commit_file("leases/rubbish.yaml", "rubbish", "Propose rubbish");
    writes(&world, 10);
    world.turn("cp14", "promote", LEASE);
    world
}

fn writes(world: &World, commits: usize) {
    for _ in 0..commits {
        let content = world.head();
        world.commit_file("README", &content, "Write");
    }
}

/// What everybody asks.
const QUESTIONS: [&[&str]; 18] = [
    &["list", "--format", "json", "--offline"],
    &["list", "--all", "--format", "json", "--offline"],
    &["list", "--target", "checkout-prod", "--offline"],
    &["list", "--state", "withdrawn", "--offline"],
    &["list", "--short", "--offline"],
    &["status", "--format", "json", "--offline"],
    &["status", "checkout-prod", "--offline"],
    &["show", "checkout-prod", "--format", "json", "--offline"],
    &["show", "nowhere", "--offline"],
    &["show", "INT-2", "--offline"],
    &["show", "LEASE-20251027-04", "--format", "json", "--offline"],
    &["show", "policy", "--offline"],
    &["log", "--format", "json", "--offline"],
    &["log", "--since", "2025-10-27T03:00:00Z", "--offline"],
    &["log", "--since", "2035-01-01", "--offline"],
    &["log", LEASE, "--offline"],
    &["key", "allowed-signers"],
    &["statement", "--message", "--principal", "cp14", "cosign", PROPOSED],
];

/// What a program answered, without progress.
type Answers = Vec<(i32, String, String)>;

fn asked(world: &World, questions: &[&[&str]]) -> Answers {
    let answer = |ran: Ran| (ran.code, ran.out, ran.err);
    questions.iter().map(|question| answer(world.two_key(question))).collect()
}

fn memory(world: &World) -> PathBuf {
    world.repo().join(".git/two-key")
}

fn checkpoint(world: &World) -> PathBuf {
    memory(world).join("checkpoint")
}

/// The files in a folder, with what is in them.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn put_back(folder: &Path, kept: &BTreeMap<PathBuf, Vec<u8>>) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir(folder).unwrap();
    for (path, bytes) in kept {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// What is answered where nothing is remembered, and what is remembered then.
fn known(world: &World) -> (Answers, BTreeMap<PathBuf, Vec<u8>>) {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        let _ = fs::remove_dir_all(memory(world));
        answers.extend(asked(world, &[question]));
    }
    for (question, (code, out, err)) in QUESTIONS.iter().zip(&answers) {
        assert!(matches!(code, 0 | 1), "{question:?}: {code}\n{out}{err}");
    }
    assert!(checkpoint(world).exists(), "every question has what it read remembered");
    (answers, files(&memory(world)))
}

#[test]
fn what_is_remembered_alters_no_answer() {
    let world = ledger();
    let (answers, _) = known(&world);
    let written = fs::read(checkpoint(&world)).unwrap();
    for (question, expected) in QUESTIONS.iter().zip(&answers) {
        assert_eq!(&asked(&world, &[question])[0], expected, "{question:?}");
    }
    // A few steps more are folded again, and many are remembered with the rest.
    world.turn("user2", "halt", LEASE);
    assert_eq!(asked(&world, &QUESTIONS).len(), QUESTIONS.len());
    assert_eq!(fs::read(checkpoint(&world)).unwrap(), written);
    for steps in [20, 130, 20] {
        writes(&world, steps);
        world.commit_file(&format!("leases/{WITHDRAWN}.yaml"), "rubbish", "Propose rubbish");
        world.git(&["rm", "--quiet", &format!("leases/{WITHDRAWN}.yaml")]);
        world.git(&["commit", "--quiet", "--message", "Take it away"]);
        world.commit_file(&format!("leases/{WITHDRAWN}.yaml"), &lease(WITHDRAWN), "Put it back");
        let with = asked(&world, &QUESTIONS);
        let again = asked(&world, &QUESTIONS);
        let (without, _) = known(&world);
        for (question, ((one, two), three)) in QUESTIONS.iter().zip(with.iter().zip(&again).zip(&without)) {
            assert_eq!((one, two), (three, three), "{question:?}");
        }
    }
}

#[test]
fn nothing_that_is_broken_is_believed_or_stands_in_the_way() {
    let world = ledger();
    let (answers, kept) = known(&world);
    let some = [0, 3, 7, 9, 12, 17];
    let questions = some.map(|at| QUESTIONS[at]);
    let expected = some.map(|at| answers[at].clone());
    let check = |what: &str| assert_eq!(asked(&world, &questions), expected, "{what}");
    let mut seed: u64 = 88_172_645_463_325_252;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(below).unwrap()).unwrap()
    };
    let paths: Vec<_> = kept.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(path, _)| path).collect();
    assert_eq!(paths.len(), 2, "a table and what is new");
    for _ in 0..24 {
        put_back(&memory(&world), &kept);
        let path = paths[random(paths.len())];
        let mut bytes = kept[path].clone();
        let (at, bit) = (random(bytes.len()), random(8));
        bytes[at] ^= 1 << bit;
        fs::write(path, bytes).unwrap();
        check(&format!("{path:?}: byte {at}, bit {bit}"));
    }
    for path in paths {
        let bytes = &kept[path];
        for length in [0, 1, random(bytes.len()), bytes.len() - 1] {
            put_back(&memory(&world), &kept);
            fs::write(path, &bytes[..length]).unwrap();
            check(&format!("{path:?}: cut to {length}"));
        }
        put_back(&memory(&world), &kept);
        fs::remove_file(path).unwrap();
        check(&format!("{path:?}: gone"));
        put_back(&memory(&world), &kept);
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        check(&format!("{path:?}: others may write it"));
    }
    // Files' times tell nothing.
    for time in ["1999-01-01", "2040-01-01"] {
        put_back(&memory(&world), &kept);
        let paths = kept.keys().map(|path| path.to_str().unwrap());
        let args: Vec<_> = ["-d", time].into_iter().chain(paths).collect();
        world.run(world.path(), "touch", &args, b"").exits(0);
        check(time);
    }
    put_back(&memory(&world), &kept);
    check("as it was");
}

#[test]
fn what_another_repository_remembers_is_ignored_and_said() {
    let world = ledger();
    let (answers, kept) = known(&world);
    world.two_key(&["doctor"]).never_says("memory: ");
    let other = grown(World::with_format("sha256").rolled());
    other.two_key(&["list", "--offline"]).exits(0);
    let foreign = files(&memory(&other));
    let moved = foreign.iter().map(|(path, bytes)| (memory(&world).join(path.file_name().unwrap()), bytes.clone()));
    put_back(&memory(&world), &moved.collect());
    world.two_key(&["doctor"]).says("memory: what is remembered of the ledger is another root's or build's");
    // Which wrote it anew.
    world.two_key(&["doctor"]).never_says("memory: ");
    assert_eq!(asked(&world, &QUESTIONS), answers);
    let build = concat!(env!("CARGO_PKG_VERSION"), "+").as_bytes();
    let mut of_another_build = kept[&checkpoint(&world)].clone();
    let at = of_another_build.windows(build.len()).position(|window| window == build).unwrap();
    of_another_build[at..at + build.len()].copy_from_slice(b"0.0.0+");
    fs::write(checkpoint(&world), summed_anew(&of_another_build)).unwrap();
    world.two_key(&["doctor"]).says("memory: what is remembered of the ledger is another root's or build's");
    fs::write(checkpoint(&world), b"half").unwrap();
    world.two_key(&["doctor"]).says("memory: what is remembered of the ledger cannot be used");
    world.two_key(&["doctor"]).never_says("memory: ");
}

/// A checkpoint whose head has the sum that it must have, as somebody would make it who knows how.
fn summed_anew(bytes: &[u8]) -> Vec<u8> {
    let number = |at: usize| usize::try_from(u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    let (at, length) = (number(bytes.len() - 16), number(bytes.len() - 8));
    let sum = Sha256::new_with_prefix([0xff; 8]).chain_update(&bytes[at + 32..at + length]).finalize();
    [&bytes[..at], &sum, &bytes[at + 32..]].concat()
}

#[test]
fn who_looks_reads_what_is_remembered_and_who_verifies_does_not() {
    let world = ledger();
    known(&world);
    let key = |name: &str| world.public_key(name).split(' ').nth(1).unwrap().to_owned();
    let (user1, stranger) = (key("user1"), key("stranger"));
    let honest = fs::read(checkpoint(&world)).unwrap();
    let mut forged = honest.clone();
    while let Some(at) = forged.windows(user1.len()).position(|window| window == user1.as_bytes()) {
        forged[at..at + user1.len()].copy_from_slice(stranger.as_bytes());
    }
    fs::write(checkpoint(&world), summed_anew(&forged)).unwrap();
    let strangers = world.fingerprint("stranger");
    world.two_key(&["key", "list"]).exits(0).says(&strangers);
    // What counts there is found out from the ledger alone.
    for verify in [&["verify", "--all", "--format", "json"][..], &["verify", LEASE, "--format", "json"]] {
        let said = world.two_key(verify).never_says(&strangers);
        fs::write(checkpoint(&world), &honest).unwrap();
        assert_eq!(said.out, world.two_key(verify).out);
        fs::write(checkpoint(&world), summed_anew(&forged)).unwrap();
    }
    fs::remove_file(checkpoint(&world)).unwrap();
    world.two_key(&["verify", "--all"]);
    assert!(!checkpoint(&world).exists(), "nor does it write any");
    world.two_key(&["key", "list"]).exits(0).never_says(&strangers);
    assert!(checkpoint(&world).exists());
}

#[test]
fn a_root_from_the_environment_is_verified_and_one_that_is_pinned_anew_begins_anew() {
    let world = ledger();
    known(&world);
    let key = |name: &str| world.public_key(name).split(' ').nth(1).unwrap().to_owned();
    let (user1, stranger) = (key("user1"), key("stranger"));
    let mut forged = fs::read(checkpoint(&world)).unwrap();
    while let Some(at) = forged.windows(user1.len()).position(|window| window == user1.as_bytes()) {
        forged[at..at + user1.len()].copy_from_slice(stranger.as_bytes());
    }
    fs::write(checkpoint(&world), summed_anew(&forged)).unwrap();
    let (strangers, root) = (world.fingerprint("stranger"), world.git(&["config", "two-key.root"]));
    let list = |env: &[(&str, &str)]| {
        let program = env!("CARGO_BIN_EXE_git-two-key");
        world.run_with(world.repo(), program, &["key", "list"], b"", env).exits(0)
    };
    list(&[("TWO_KEY_ROOT", &root)]).never_says(&strangers);
    // Who left it here could have left another root, too.
    list(&[("TWO_KEY_ROOT", "")]).says(&strangers);
    world.two_key(&["trust", &root]).exits(0);
    assert!(!checkpoint(&world).exists());
    list(&[]).never_says(&strangers);
    assert!(checkpoint(&world).exists());
    fs::remove_file(checkpoint(&world)).unwrap();
    list(&[("TWO_KEY_ROOT", &root)]);
    assert!(!checkpoint(&world).exists(), "nor is anything remembered of it");
}

#[test]
fn a_full_disk_and_a_folder_that_may_only_be_read_cost_time_alone() {
    let world = ledger();
    let (answers, kept) = known(&world);
    let questions = [0, 3, 7, 12];
    let check = |ask: &dyn Fn(&[&str]) -> Ran| {
        for at in questions {
            let ran = ask(QUESTIONS[at]);
            assert_eq!((ran.code, ran.out, ran.err), answers[at], "{:?}", QUESTIONS[at]);
        }
    };
    let (library, program) = (world.no_room(), env!("CARGO_BIN_EXE_git-two-key"));
    let folder = memory(&world).canonicalize().unwrap();
    let env = [("LD_PRELOAD", library.to_str().unwrap()), ("NO_ROOM", folder.to_str().unwrap())];
    let full = |args: &[&str]| world.run_with(world.repo(), program, args, b"", &env);
    for name in kept.keys() {
        fs::remove_file(name).unwrap();
    }
    check(&full);
    assert!(!checkpoint(&world).exists(), "the disk is full");
    put_back(&memory(&world), &kept);
    check(&full);
    // As somebody whom modes bind.
    for remembers in [true, false] {
        if !remembers {
            fs::remove_file(checkpoint(&world)).unwrap();
        }
        let before = files(&memory(&world));
        let read_only = |args: &[&str]| world.as_nobody(&memory(&world), world.repo(), program, args);
        check(&read_only);
        assert_eq!(files(&memory(&world)), before);
    }
}

#[test]
fn in_a_shared_repository_what_others_may_write_is_not_read() {
    let world = ledger();
    let (answers, _) = known(&world);
    world.git(&["config", "core.sharedRepository", "group"]);
    fs::remove_dir_all(memory(&world)).unwrap();
    for _ in 0..2 {
        assert_eq!(asked(&world, &QUESTIONS), answers);
        let mode = fs::metadata(checkpoint(&world)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o660);
    }
    world.two_key(&["doctor"]).says("memory: what is remembered of the ledger cannot be used").says("others own it");
}

/// Leaves a vote in a note of somebody; the note's own id.
fn note(world: &World, name: &str, action: &str, id: &str) -> String {
    let text = world.two_key(&["statement", action, id]).exits(0).out;
    let file = world.path().join("note");
    fs::write(&file, format!("{text}{}", world.detached(name, &text))).unwrap();
    let blob = world.git(&["rev-parse", &format!("main:leases/{id}.yaml")]);
    let reference = format!("--ref=refs/notes/two-key/{name}");
    world.git(&["notes", &reference, "append", "-F", file.to_str().unwrap(), &blob]);
    world.git(&["notes", &reference, "list", &blob])
}

#[test]
fn notes_of_leases_that_have_ended_are_not_read_and_those_of_open_ones_are() {
    let world = World::proposed();
    world.commit_file(&format!("leases/{PROPOSED}.yaml"), &lease(PROPOSED), "Propose");
    let ended = note(&world, "cp14", "cosign", LEASE);
    let open = note(&world, "cp14", "cosign", PROPOSED);
    let shown = |ask: &[&str]| world.two_key(ask).exits(0).json()["leases"].clone();
    let list: &[&str] = &["list", "--all", "--format", "json", "--offline"];
    let by_note = |id: &str| {
        let all = shown(list);
        let of = all.as_array().unwrap().iter().find(|one| one["lease"] == id).unwrap().clone();
        of["awaits"]["by_note"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((by_note(LEASE), by_note(PROPOSED)), (1, 1));
    world.turn("user1", "withdraw", LEASE);
    assert_eq!((by_note(LEASE), by_note(PROPOSED)), (0, 1));
    // Where nothing is remembered that is so as well.
    fs::remove_dir_all(memory(&world)).unwrap();
    assert_eq!((by_note(LEASE), by_note(PROPOSED)), (0, 1));
    let object = |id: &str| world.repo().join(".git/objects").join(&id[..2]).join(&id[2..]);
    let kept = memory(&world).join("notes");
    assert!(kept.exists());
    let bytes = fs::read(&kept).unwrap();
    // Broken in any way it is made anew.
    for at in (0..bytes.len()).step_by(bytes.len() / 12) {
        let mut broken = bytes.clone();
        broken[at] ^= 4;
        fs::write(&kept, broken).unwrap();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!((by_note(LEASE), by_note(PROPOSED)), (0, 1), "byte {at}");
    }
    let aside = world.path().join("aside");
    fs::rename(object(&ended), &aside).unwrap();
    assert_eq!((by_note(LEASE), by_note(PROPOSED)), (0, 1), "it is not looked for");
    fs::rename(&aside, object(&ended)).unwrap();
    fs::rename(object(&open), &aside).unwrap();
    assert_ne!(world.two_key(list).code, 0, "this one is");
    fs::rename(&aside, object(&open)).unwrap();
}

#[test]
fn where_nothing_can_be_written_reading_goes_on_without() {
    let world = ledger();
    let (answers, _) = known(&world);
    let _ = fs::remove_dir_all(memory(&world));
    // A file in the way of the folder: modes do not bind everybody.
    fs::write(memory(&world), "").unwrap();
    assert_eq!(asked(&world, &QUESTIONS), answers);
    assert!(memory(&world).is_file());
}

#[test]
fn worktrees_share_what_is_remembered_and_so_do_processes_at_once() {
    let world = ledger();
    let (answers, _) = known(&world);
    world.git(&["worktree", "add", "--quiet", "--detach", "../beside"]);
    let beside = world.path().join("beside");
    let written = fs::read(checkpoint(&world)).unwrap();
    let ran = world.two_key_in(&beside, QUESTIONS[0]);
    assert_eq!((ran.code, ran.out, ran.err), answers[0]);
    assert_eq!(fs::read(checkpoint(&world)).unwrap(), written);
    for round in 0..3 {
        if round == 1 {
            fs::remove_file(checkpoint(&world)).unwrap();
        }
        writes(&world, 20);
        let program = env!("CARGO_BIN_EXE_git-two-key");
        let start = |_| {
            let mut command = world.command(world.repo(), program);
            command.args(QUESTIONS[0]).stdout(std::process::Stdio::piped()).spawn().unwrap()
        };
        let all: Vec<_> = (0..6).map(start).collect();
        let said: Vec<_> = all.into_iter().map(|child| child.wait_with_output().unwrap().stdout).collect();
        assert!(said.iter().all(|one| *one == said[0] && !one.is_empty()), "round {round}");
        let names: Vec<_> = files(&memory(&world)).into_keys().collect();
        assert!(names.len() <= 4, "what nobody refers to is gone: {names:?}");
        let with = asked(&world, &QUESTIONS);
        assert_eq!(with, known(&world).0, "round {round}");
    }
}

#[test]
fn a_branch_that_is_rewound_is_read_as_it_is_and_what_is_only_here_is_not_remembered() {
    let world = ledger();
    world.git(&["clone", "--quiet", "--bare", ".", "../server.git"]);
    world.git(&["remote", "add", "origin", "../server.git"]);
    let fetch = || world.git(&["fetch", "--quiet", "origin", "+refs/heads/main:refs/remotes/origin/main"]);
    fetch();
    world.two_key(&["list", "--offline"]).exits(0);
    let at_theirs = fs::read(checkpoint(&world)).unwrap();
    // Signed here, and nowhere else: what is remembered stays where the remote is.
    world.turn("user2", "halt", LEASE);
    writes(&world, 40);
    world.two_key(&["list", "--offline"]).exits(0).says("halted");
    assert_eq!(fs::read(checkpoint(&world)).unwrap(), at_theirs);
    // Taken back here.
    world.git(&["reset", "--quiet", "--hard", "origin/main"]);
    world.two_key(&["list", "--offline"]).exits(0).says("rolling");
    // The remote is rewound and goes on elsewhere, by force.
    world.git(&["reset", "--quiet", "--hard", "HEAD~12"]);
    writes(&world, 2);
    world.git(&["push", "--quiet", "--force", "origin", "main"]);
    fetch();
    for _ in 0..2 {
        let answers = asked(&world, &QUESTIONS);
        assert_eq!(answers, known(&world).0);
    }
    world.two_key(&["verify", "--all"]).says(&world.head()[..12]);
}
