//! The server's and the client's hook, through real pushes.

use std::{fs, os::unix::fs::PermissionsExt as _};

use sha2::{Digest as _, Sha256};

use crate::kit::{
    LEASE, REPOSITORY, lease, record_of,
    scene::{MAIN, Scene, digest_of, forward, statement, stop},
};

#[test]
fn the_honest_story_goes_through_with_its_tags() {
    let scene = Scene::rolling();
    let started = scene.tag("1-start-5", "main");
    scene.push(&["--atomic", "main", &started]).exits(0);
    scene.promote("user1");
    scene.promote("cp14");
    let promoted = scene.tag("2-promote-25", "main");
    scene.push(&["--atomic", "main", &promoted]).exits(0);
    assert_eq!(scene.server_ref(MAIN), scene.world.head());
    assert_ne!(scene.server_ref(&format!("refs/tags/{promoted}")), "");
}

#[test]
fn one_key_is_not_enough_and_the_pusher_is_told_whose_is_missing() {
    let scene = Scene::rolling();
    scene.promote("user1");
    let tag = scene.tag("2-promote-25", "main");
    let name = format!("refs/tags/{tag}");
    scene
        .refuses(&["main", &tag], &name, "missing-role")
        .says("missing-role: promote to 25 % needs an agent (cp14 or cp18); has human user1")
        .says(&format!("hint: an agent can turn its key with: git two-key promote {LEASE} --key"));
    // Without the tag, the one vote is welcome.
    scene.push(&["main"]).exits(0);
    scene.refuses(&[&tag], &name, "missing-role");
    scene.promote("cp14");
    scene.push(&["main"]).exits(0);
    scene.refuses(&[&tag], &name, "tag-mismatch");
}

#[test]
fn a_finding_refuses_the_whole_push() {
    let scene = Scene::rolling();
    scene.turn("cp14", &forward("promote", Some(3), Some(25)));
    scene.refuses(&["main", "main:refs/heads/topic"], MAIN, "stale-step");
    assert_eq!(scene.server_ref("refs/heads/topic"), "");
}

#[test]
fn commits_that_came_by_a_scratch_branch_are_judged_when_main_takes_them() {
    let scene = Scene::rolling();
    scene.promote("stranger");
    scene.push(&["main:refs/heads/scratch"]).exits(0);
    scene.refuses(&["main"], MAIN, "unknown-key");
}

#[test]
fn main_only_grows() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.refuses(&["+main~1:main"], MAIN, "ref-rewound");
    // Nothing is quarantined in a push of deletions alone.
    scene.refuses(&[":main"], MAIN, "ref-deleted");
    // A merge the wrong way round, as `git pull` makes it.
    let world = &scene.world;
    let tree = world.git(&["rev-parse", "main^{tree}"]);
    let side = world.git(&["commit-tree", "-p", "main~1", "-m", "Mine", &tree]);
    let foxtrot = world.git(&["commit-tree", "-p", &side, "-p", "main", "-m", "Pull", &tree]);
    scene.refuses(&[&format!("{foxtrot}:main")], MAIN, "foxtrot");
    let merge = world.git(&["commit-tree", "-p", &tip, "-p", &side, "-m", "Merge", &tree]);
    scene.push(&[&format!("{merge}:main")]).exits(0);
}

#[test]
fn a_ledger_that_does_not_descend_from_the_root_is_not_founded() {
    let scene = Scene::new();
    let world = &scene.world;
    scene.on_server(&["update-ref", "-d", MAIN]).exits(0);
    let tree = world.git(&["rev-parse", "main^{tree}"]);
    let other = world.git(&["commit-tree", "-m", "Another root", &tree]);
    scene.refuses(&[&format!("{other}:{MAIN}")], MAIN, "not-descended");
    let reversed = world.git(&["commit-tree", "-p", &other, "-p", "main", "-m", "Merge", &tree]);
    scene.refuses(&[&format!("{reversed}:{MAIN}")], MAIN, "not-descended");
    scene.push(&["main"]).exits(0);
}

#[test]
fn a_server_without_the_root_takes_only_the_ledger_that_has_it() {
    let scene = Scene::new();
    let world = &scene.world;
    let server = world.path().join("fresh.git");
    let path = server.to_str().unwrap();
    world.git(&["init", "--quiet", "--bare", "--initial-branch=main", path]);
    world.two_key(&["hook", "install", path, "--root", &scene.root]).exits(0);
    let scene = Scene { server, ..scene };
    let tree = scene.world.git(&["rev-parse", "main^{tree}"]);
    let other = scene.world.git(&["commit-tree", "-m", "Another root", &tree]);
    scene.refuses(&[&format!("{other}:{MAIN}")], MAIN, "not-descended");
    scene.refuses(&[&format!("{other}:refs/two-key/appliers/edge1")], "refs/two-key/appliers/edge1", "not-descended");
    scene.push(&[&format!("{other}:refs/heads/topic")]).exits(0);
    scene.push(&["main"]).exits(0);
}

#[test]
fn the_governed_branch_is_the_ref_of_exactly_that_name() {
    // Where Git looks for a name that is not there.
    let others = [
        "refs/refs/heads/main",
        "refs/tags/refs/heads/main",
        "refs/heads/refs/heads/main",
        "refs/remotes/refs/heads/main",
        "refs/remotes/refs/heads/main/HEAD",
    ];
    for other in others {
        let scene = Scene::rolling();
        let tip = scene.server_ref(MAIN);
        scene.on_server(&["update-ref", other, &tip]).exits(0);
        scene.promote("user1");
        // A pattern, as Git's push finds a single ref by names that are only like it, too.
        let exactly = ["refs/heads/mai*:refs/heads/mai*"];
        scene.push(&exactly).exits(0);
        scene.on_server(&["update-ref", "-d", MAIN]).exits(0);
        scene.push(&exactly).exits(0);
        assert_eq!(scene.server_ref(other), tip);
        assert_eq!(scene.server_ref(MAIN), scene.world.head(), "{other}");
    }
}

#[test]
fn symbolic_refs_are_judged_by_what_they_stand_for() {
    let scene = Scene::rolling();
    scene.on_server(&["symbolic-ref", "refs/heads/alias", MAIN]).exits(0);
    scene.promote("stranger");
    scene.refuses(&["main:refs/heads/alias"], MAIN, "unknown-key");
    // The other way round: the governed name stands for another ref.
    let tip = scene.server_ref(MAIN);
    scene.on_server(&["update-ref", "refs/heads/trunk", &tip]).exits(0);
    scene.on_server(&["symbolic-ref", MAIN, "refs/heads/trunk"]).exits(0);
    scene.refuses(&["main:refs/heads/trunk"], MAIN, "unknown-key");
    scene.refuses(&["main"], MAIN, "unknown-key");
    scene.world.git(&["reset", "--quiet", "--hard", &tip]);
    scene.promote("user1");
    scene.push(&["main:refs/heads/trunk"]).exits(0);
    // From or to a ref that is not there yet.
    let scratch = scene.server_ref(MAIN);
    scene.on_server(&["symbolic-ref", MAIN, "refs/heads/absent"]).exits(0);
    let other = scene.world.git(&["commit-tree", "-m", "Another root", "main^{tree}"]);
    scene.refuses(&[&format!("{other}:refs/heads/absent")], MAIN, "not-descended");
    scene.on_server(&["symbolic-ref", MAIN, "refs/heads/trunk"]).exits(0);
    assert_eq!(scene.server_ref(MAIN), scratch);
    let name = format!("refs/tags/rollout/{LEASE}/9-promote-100");
    scene.on_server(&["symbolic-ref", "refs/heads/dangling", &name]).exits(0);
    scene.refuses(&["main:refs/heads/dangling"], &name, "tag-mismatch");
}

#[test]
fn tags_tell_the_truth_or_stay_out() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let name = |tag: &str| format!("refs/tags/{tag}");
    let wrong = scene.tag("1-start-5", "main~1");
    scene.refuses(&[&wrong], &name(&wrong), "tag-mismatch");
    world.git(&["tag", "--force", &wrong, "main"]);
    scene.refuses(&[&wrong], &name(&wrong), "tag-mismatch");
    let inner = scene.tag("1-start-5", "main");
    let other = format!("{}:{}", name(&inner), name(&format!("rollout/{LEASE}/2-promote-25")));
    scene.refuses(&[&other], &name(&format!("rollout/{LEASE}/2-promote-25")), "tag-mismatch");
    let object = world.git(&["rev-parse", &name(&inner)]);
    world.git(&["tag", "--force", "--annotate", "--message", "Nested", &inner, &object]);
    scene.refuses(&[&inner], &name(&inner), "tag-mismatch");
    let honest = scene.tag("1-start-5", "main");
    scene.push(&[&honest]).exits(0);
    scene.tag("1-start-5", "main~1");
    scene.refuses(&[&format!("+{0}:{0}", name(&honest))], &name(&honest), "tag-moved");
    scene.refuses(&[&format!(":{}", name(&honest))], &name(&honest), "ref-deleted");
}

#[test]
fn foreign_refs_stay_out_and_other_refs_are_nobodys_business() {
    let scene = Scene::rolling();
    for name in ["refs/two-key/mine", "refs/notes/two-key/a/b", "refs/tags/rollout/loose"] {
        scene.refuses(&[&format!("main:{name}")], name, "foreign-ref");
    }
    let replaced = format!("refs/replace/{}", scene.world.head());
    scene.refuses(&[&format!("main~1:{replaced}")], &replaced, "foreign-ref");
    scene.push(&["main:refs/heads/topic", "main:refs/notes/commits", "main:refs/tags/v1"]).exits(0);
    scene.push(&["+main~1:refs/heads/topic", ":refs/tags/v1"]).exits(0);
    // A clone that mirrors all refs would take these for its own.
    for name in ["refs/two-key-state/edge1/accepted", "refs/two-key-local/votes/x", "refs/Two-Key-Remote/origin/x"] {
        scene.refuses(&[&format!("main~1:{name}")], name, "foreign-ref");
        scene.on_server(&["update-ref", name, "main"]).exits(0);
        scene.push(&[&format!(":{name}")]).exits(0);
    }
    scene.push(&["main:refs/two-key-mine/x"]).exits(0);
}

#[test]
fn stop_refs_are_created_once_under_their_commits_id() {
    let scene = Scene::rolling();
    let halt = scene.halt("cp14", "main", 1);
    let name = format!("refs/two-key/stops/{LEASE}/{halt}");
    let other = format!("refs/two-key/stops/{LEASE}/{}", scene.halt("cp14", "main", 2));
    scene.refuses(&[&format!("{halt}:{other}")], &other, "malformed");
    let elsewhere = format!("refs/two-key/stops/_all/{halt}");
    scene.refuses(&[&format!("{halt}:{elsewhere}")], &elsewhere, "malformed");
    let tip = scene.world.head();
    let no_stop = format!("refs/two-key/stops/{LEASE}/{tip}");
    scene.refuses(&[&format!("{tip}:{no_stop}")], &no_stop, "malformed");
    scene.push(&[&format!("{halt}:{name}")]).exits(0);
    scene.refuses(&[&format!(":{name}")], &name, "ref-deleted");
    scene.refuses(&[&format!("+main:{name}")], &name, "ref-rewound");
}

#[test]
fn a_stop_by_a_revoked_key_is_refused() {
    let scene = Scene::rolling();
    let fingerprint = scene.world.fingerprint("cp14");
    scene.turn("user1", &format!("Two-Key-Action: revoke\nTwo-Key-Key: {fingerprint}\n"));
    scene.push(&["main"]).exits(0);
    let halt = scene.halt("cp14", "main", 1);
    let name = format!("refs/two-key/stops/{LEASE}/{halt}");
    scene.refuses(&[&format!("{halt}:{name}")], &name, "revoked-key");
    let halt = scene.halt("cp18", "main", 1);
    scene.push(&[&format!("{halt}:refs/two-key/stops/{LEASE}/{halt}")]).exits(0);
}

#[test]
fn on_doubt_stops_alone_are_admitted_and_nothing_else_is() {
    let scene = Scene::rolling();
    // No time at all is not enough for anything.
    scene.on_server(&["config", "two-key.hookTimeout", "0"]).exits(0);
    let halt = scene.halt("cp14", "main", 1);
    let stop = format!("{halt}:refs/two-key/stops/{LEASE}/{halt}");
    scene.promote("user1");
    scene.refuses(&["main"], MAIN, "stale");
    scene.refuses(&["main", &stop], MAIN, "stale");
    scene.push(&[&stop]).exits(0).says("admitted");
    scene.on_server(&["config", "two-key.hookTimeout", "soon"]).exits(0);
    scene.refuses(&["main"], MAIN, "malformed");
    scene.on_server(&["config", "two-key.hookTimeout", "60"]).exits(0);
    scene.push(&["main"]).exits(0);
}

#[test]
fn findings_never_refuse_a_push_in_which_a_stop_takes_effect() {
    let scene = Scene::rolling();
    scene.turn("cp14", &forward("promote", Some(7), Some(25)));
    let halt = scene.halt("cp14", "main", 1);
    scene.world.git(&["update-ref", MAIN, &halt]);
    let lie = scene.tag("2-promote-25", "main");
    scene
        .refuses(&["main", &lie], &format!("refs/tags/{lie}"), "tag-mismatch")
        .says("not refused, because a stop came with it")
        .says("stale-step");
    scene.push(&["main"]).exits(0).says("not refused, because a stop came with it").says("stale-step");
    assert_eq!(scene.server_ref(MAIN), halt);
}

#[test]
fn notes_grow_by_what_verifies_for_their_principal() {
    let scene = Scene::new();
    let world = &scene.world;
    let blob = world.git(&["rev-parse", &format!("main:leases/{LEASE}.yaml")]);
    let note = |notes: &str, signer: &str| {
        let text = statement(&forward("cosign", None, None));
        let entry = format!("{text}{}", world.detached(signer, &text));
        let args = ["notes", "--ref", &format!("two-key/{notes}"), "append", "-F", "-", &blob];
        world.run(world.repo(), "git", &args, entry.as_bytes()).exits(0);
        format!("refs/notes/two-key/{notes}")
    };
    let stolen = note("user2", "cp14");
    scene.refuses(&[&stolen], &stolen, "wrong-principal");
    let strange = note("stranger", "stranger");
    scene.refuses(&[&strange], &strange, "foreign-ref");
    let own = note("user1", "user1");
    scene.push(&[&own]).exits(0);
    // What needs no other key waits for none.
    let halt = statement(&stop("halt", 1));
    let halt = format!("{halt}{}", world.detached("user1", &halt));
    let append = ["notes", "--ref", &own, "append", "-F", "-", &blob];
    world.run(world.repo(), "git", &append, halt.as_bytes()).exits(0);
    scene.refuses(&[&own], &own, "malformed").says("a halt does not wait in a note").says("git two-key halt");
    world.git(&["update-ref", &own, &format!("{own}~1")]);
    note("user1", "cp14");
    scene.refuses(&[&own], &own, "wrong-principal");
    world.git(&["update-ref", &own, &format!("{own}~1")]);
    world.git(&["notes", "--ref", &own, "remove", &blob]);
    scene.refuses(&[&own], &own, "ref-rewound");
    scene.refuses(&[&format!(":{own}")], &own, "ref-deleted");
    let tree = world.git(&["rev-parse", "main^{tree}"]);
    let stray = world.git(&["commit-tree", "-p", &scene.server_ref(&own), "-m", "Files", &tree]);
    // The note is gone as well; the first refusal of either kind will do.
    scene.refuses(&[&format!("{stray}:{own}")], &own, "malformed").says("ref-rewound");
    // Git itself moves notes into folders when there are many.
    let parent = scene.server_ref(&own);
    let commit = |tree: &str| world.git(&["commit-tree", "-p", &parent, "-m", "Notes", tree]);
    let make = |line: &str| world.run(world.repo(), "git", &["mktree"], line.as_bytes()).exits(0).out.trim().to_owned();
    let kept = world.git(&["rev-parse", &format!("{parent}:{blob}")]);
    let (first, rest) = blob.split_at(2);
    let folder = make(&format!("100644 blob {kept}\t{rest}\n"));
    let twice = make(&format!("100644 blob {kept}\t{blob}\n040000 tree {folder}\t{first}\n"));
    scene.push(&[&format!("{}:{own}", commit(&twice))]).exits(0);
    let parent = scene.server_ref(&own);
    let other = world.run(world.repo(), "git", &["hash-object", "-w", "--stdin"], b"hello").exits(0).out;
    let folder = make(&format!("100644 blob {}\t{rest}\n", other.trim()));
    let changed = make(&format!("100644 blob {kept}\t{blob}\n040000 tree {folder}\t{first}\n"));
    let changed = world.git(&["commit-tree", "-p", &parent, "-m", "Notes", &changed]);
    scene.refuses(&[&format!("{changed}:{own}")], &own, "ref-rewound");
    // A link, and a tree that unfolds without end.
    let link = make(&format!("120000 blob {kept}\t{blob}\n"));
    let link = world.git(&["commit-tree", "-p", &parent, "-m", "Notes", &link]);
    scene.refuses(&[&format!("{link}:{own}")], &own, "malformed");
    let bomb = (0..6).fold(make(&format!("100644 blob {kept}\t{rest}\n")), |inner, _| {
        make(&(0..=255).fold(String::new(), |lines, at| lines + &format!("040000 tree {inner}\t{at:02x}\n")))
    });
    let bomb = world.git(&["commit-tree", "-p", &parent, "-m", "Notes", &bomb]);
    scene.refuses(&[&format!("{bomb}:{own}")], &own, "too-large");
}

#[test]
fn an_appliers_ref_takes_its_own_commits_only() {
    let scene = Scene::rolling();
    let name = "refs/two-key/appliers/edge1";
    let record = |signer: &str, parent: &str| scene.world.sign_record(signer, parent, &record_of(REPOSITORY));
    let root = scene.world.git(&["commit-tree", "-m", "Unsigned", "main^{tree}"]);
    scene.refuses(&[&format!("{root}:{name}")], name, "unsigned");
    let one = record("edge1", "main");
    scene.push(&[&format!("{one}:{name}")]).exits(0);
    let forged = record("edge1", &record("user1", &one));
    scene.refuses(&[&format!("{forged}:{name}")], name, "wrong-principal");
    let two = record("edge1", &one);
    scene.push(&[&format!("{two}:{name}")]).exits(0);
    let other = record("edge1", &record("edge1", "main~1"));
    scene.refuses(&[&format!("+{other}:{name}")], name, "ref-rewound");
}

#[test]
fn a_revocation_that_strands_the_policy_must_be_forced() {
    let scene = Scene::new();
    for (by, key) in [("user1", "cp14"), ("user1", "cp18"), ("user2", "user2")] {
        let fingerprint = scene.world.fingerprint(key);
        scene.turn(by, &format!("Two-Key-Action: revoke\nTwo-Key-Key: {fingerprint}\n"));
    }
    scene.refuses(&["main"], MAIN, "policy-floor").says("two-key.force-revoke");
    scene.push(&["-o", "two-key.force-revoke", "main"]).exits(0);
}

#[test]
fn expired_leases_take_no_forward_votes_and_every_stop() {
    let scene = Scene::new();
    let expired = lease(LEASE).replace("2035-10-28", "2025-10-28").replace(LEASE, "LEASE-OLD");
    scene.world.commit_file("leases/LEASE-OLD.yaml", &expired, "Propose an old lease");
    let digest = digest_of(&expired);
    let fields = format!("Two-Key-Action: cosign\nTwo-Key-Lease: LEASE-OLD\nTwo-Key-Digest: {digest}\n");
    let proposed = scene.world.head();
    scene.turn("user1", &fields);
    scene.refuses(&["main"], MAIN, "expired");
    scene.world.git(&["update-ref", MAIN, &proposed]);
    scene.turn("user1", &stop("halt", 1).replace(LEASE, "LEASE-OLD"));
    scene.push(&["main"]).exits(0);
}

#[test]
fn without_a_root_or_with_half_a_history_nothing_is_admitted() {
    let scene = Scene::rolling();
    scene.promote("user1");
    scene.on_server(&["config", "--unset", "two-key.root"]).exits(0);
    scene.refuses(&["main"], MAIN, "unpinned");
    scene.refuses(&["main:refs/heads/topic"], "refs/heads/topic", "unpinned");
    let shallow = scene.world.path().join("shallow.git");
    let url = format!("file://{}", scene.server.display());
    let path = shallow.to_str().unwrap();
    scene.world.git(&["clone", "--quiet", "--bare", "--depth=1", &url, path]);
    scene.world.two_key(&["hook", "install", path, "--root", &scene.root]).exits(0);
    let scene = Scene { server: shallow, ..scene };
    scene.refuses(&["main"], MAIN, "shallow");
}

#[test]
fn every_kind_of_repository_at_every_path() {
    for (name, objects, refs) in [
        ("a: server, größer.git", "sha1", "files"),
        ("sha256.git", "sha256", "files"),
        ("refs.git", "sha256", "reftable"),
    ] {
        let scene = Scene::at(name, objects, refs);
        scene.start();
        let tag = scene.tag("1-start-5", "main");
        scene.push(&["--atomic", "main", &tag]).exits(0);
        scene.promote("stranger");
        scene.refuses(&["main"], MAIN, "unknown-key");
        scene.refuses(&[&format!(":refs/tags/{tag}")], &format!("refs/tags/{tag}"), "ref-deleted");
    }
}

/// The same bytes with one text in place of another of the same length.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(from.len()).position(|window| window == from.as_bytes()) {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// Makes another checkpoint of an honest one.
type Forge<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// A checkpoint whose head has the sum that it must have, as somebody would make it who knows how.
fn summed_anew(bytes: &[u8]) -> Vec<u8> {
    let number = |at: usize| usize::try_from(u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    let (at, length) = (number(bytes.len() - 16), number(bytes.len() - 8));
    let sum = Sha256::new_with_prefix([0xff; 8]).chain_update(&bytes[at + 32..at + length]).finalize();
    [&bytes[..at], &sum, &bytes[at + 32..]].concat()
}

#[test]
fn leases_that_a_push_is_about_are_remembered_one_by_one() {
    let scene = Scene::rolling();
    for number in 0..20 {
        scene.world.commit_file("README", &format!("{number}\n"), "Write");
    }
    scene.push(&["main"]).exits(0);
    scene.promote("user1");
    scene.push(&["main"]).exits(0);
    assert!(scene.server.join("two-key/checkpoint").exists());
    // Its two halves come from what is remembered and from what was refolded since, and its tag from a third push.
    scene.promote("cp14");
    scene.push(&["main"]).exits(0);
    let tag = scene.tag("2-promote-25", "main");
    scene.push(&[&tag]).exits(0);
    scene.refuses(&[&scene.tag("3-halt", "main")], "refs/tags/rollout/LEASE-20251027-021913/3-halt", "tag-mismatch");
    // What is remembered of leases is broken, something else, or gone: everything is read anew from the root.
    let leases = || {
        let mut files = fs::read_dir(scene.server.join("two-key")).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.to_string_lossy().contains("/leases-")).unwrap()
    };
    let mut broken = fs::read(leases()).unwrap();
    broken[40] ^= 1;
    fs::write(leases(), broken).unwrap();
    scene.turn("cp18", &forward("promote", Some(3), Some(100)));
    scene.push(&["main"]).exits(0);
    assert!(!scene.server.join("two-key/checkpoint").exists(), "what is found broken is forgotten");
    scene.world.commit_file("README", "more\n", "Write");
    scene.push(&["main"]).exits(0);
    fs::write(leases(), fs::read(scene.server.join("two-key/checkpoint")).unwrap()).unwrap();
    scene.turn("cp14", &forward("promote", Some(3), Some(100)));
    scene.push(&["main"]).exits(0);
    fs::remove_file(leases()).unwrap();
    scene.turn("user1", &forward("promote", Some(3), Some(100)));
    scene.push(&["main"]).exits(0);
    scene.turn("user2", &forward("promote", Some(3), Some(100)));
    scene.refuses(&["main"], MAIN, "stale-step");
}

#[test]
fn what_is_found_broken_while_it_is_written_anew_is_forgotten() {
    let scene = Scene::rolling();
    let writes = || {
        for number in 0..20 {
            scene.world.commit_file("README", &format!("{number}\n"), "Write");
        }
        scene.push(&["main"]).exits(0);
    };
    let file = scene.server.join("two-key/checkpoint");
    writes();
    scene.promote("user1");
    // What is remembered is of the tip before a push.
    writes();
    writes();
    // Of the lease, which none of these pushes is about.
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 1;
    fs::write(&file, &bytes).unwrap();
    writes();
    assert!(!file.exists());
    writes();
    assert_ne!(fs::read(&file).unwrap(), bytes);
    scene.promote("cp14");
    scene.push(&["main"]).exits(0);
}

#[test]
fn a_push_of_very_much_is_judged_by_what_is_remembered_too() {
    let scene = Scene::rolling();
    for number in 0..20 {
        scene.world.commit_file("README", &format!("{number}\n"), "Write");
    }
    scene.push(&["main"]).exits(0);
    scene.promote("user1");
    scene.push(&["main"]).exits(0);
    assert!(scene.server.join("two-key/checkpoint").exists());
    // Files that are no leases, as many as a step may bring, moved to and fro: each time they are read again.
    let make = |args: &[&str], input: &[u8]| {
        scene.world.run(scene.world.repo(), "git", args, input).exits(0).out.trim().to_owned()
    };
    let files = (0..3).map(|number| {
        let blob = make(&["hash-object", "-w", "--stdin"], &[vec![0xff, number], vec![0; 21_000]].concat());
        format!("100644 blob {blob}\tL{number}.yaml\n")
    });
    let files = make(&["mktree"], files.collect::<String>().as_bytes());
    let (leases, rest) = (scene.world.git(&["ls-tree", "main:leases"]), scene.world.git(&["ls-tree", "main"]));
    let rest: String =
        rest.lines().filter(|line| !line.ends_with("\tleases")).map(|line| line.to_owned() + "\n").collect();
    let trees = ["a", "b"].map(|name| {
        let leases = make(&["mktree"], format!("{leases}\n040000 tree {files}\t{name}\n").as_bytes());
        make(&["mktree"], format!("{rest}040000 tree {leases}\tleases\n").as_bytes())
    });
    let mut tip = scene.world.head();
    for number in 0..360 {
        tip = make(&["commit-tree", "-p", &tip, "-m", "Move", &trees[number % 2]], b"");
    }
    scene.refuses(&[&format!("{tip}:main")], MAIN, "malformed");
    let halt = scene.halt("cp14", &tip, 1);
    scene.push(&[&format!("{halt}:main")]).exits(0);
    scene.push(&[&scene.tag("2-halt", &halt)]).exits(0);
}

#[test]
fn the_checkpoint_saves_time_and_decides_nothing() {
    let scene = Scene::new();
    for number in 0..40 {
        scene.world.commit_file("README", &format!("{number}\n"), "Write");
    }
    let file = scene.server.join("two-key/checkpoint");
    scene.push(&["main"]).exits(0);
    assert!(!file.exists(), "what is not accepted yet is not remembered");
    scene.start();
    scene.push(&["main"]).exits(0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = |name: &str| scene.world.public_key(name).split(' ').nth(1).unwrap().to_owned();
    let (user1, stranger) = (key("user1"), key("stranger"));
    let broken = |honest: &[u8]| replaced(honest, &user1, &stranger);
    let forged = |honest: &[u8]| summed_anew(&broken(honest));
    let of_another_build =
        |honest: &[u8]| summed_anew(&replaced(&broken(honest), concat!(env!("CARGO_PKG_VERSION"), "+"), "0.0.0+"));
    let honest = fs::read(&file).unwrap();
    assert_ne!(broken(&honest), honest);
    assert_eq!(summed_anew(&honest), honest);
    let tip = scene.server_ref(MAIN);
    scene.promote("stranger");
    // Forged by somebody who could write there, which file modes prevent; without its sum; of another build; no checkpoint.
    let forgeries: [(Forge<'_>, u32); 6] = [
        (&forged, 0o666),
        (&broken, 0o600),
        (&of_another_build, 0o600),
        (&|_| b"{}".to_vec(), 0o600),
        (&|_| Vec::new(), 0o600),
        (&<[u8]>::to_vec, 0o600),
    ];
    for (forge, mode) in forgeries {
        // Whatever is not taken for one is written anew.
        fs::write(&file, forge(&fs::read(&file).unwrap())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        scene.refuses(&["main"], MAIN, "unknown-key");
    }
    // It is read, though (user1's key is the stranger's in it): who may write there is the server itself.
    fs::write(&file, forged(&fs::read(&file).unwrap())).unwrap();
    let line = format!("{tip} {} {MAIN}\n", scene.world.head());
    scene.world.git(&["push", "--quiet", scene.server.to_str().unwrap(), "main:refs/heads/scratch"]);
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let judge = || scene.world.run(&scene.server, program, &["hook", "pre-receive"], line.as_bytes());
    judge().exits(1).says("wrong-principal");
    fs::remove_file(&file).unwrap();
    judge().exits(1).says("unknown-key");
}

#[test]
fn many_refs_and_many_commits_end_in_time() {
    use std::fmt::Write as _;
    let scene = Scene::rolling();
    let (tip, zero) = (scene.world.head(), "0".repeat(40));
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let judge = |lines: &str| scene.world.run(&scene.server, program, &["hook", "pre-receive"], lines.as_bytes());
    let mut lines = String::new();
    for number in 0..10_000 {
        writeln!(lines, "{tip} {zero} refs/heads/topic-{number}").unwrap();
    }
    judge(&lines).exits(0);
    writeln!(lines, "{tip} {zero} {MAIN}").unwrap();
    judge(&lines).exits(1).says("ref-deleted");
    judge(&(0..10_000).fold(String::new(), |lines, at| lines + &format!("{zero} {tip} refs/heads/topic-{at}\n")))
        .exits(0);
    let mut commits = String::new();
    for number in 0..=100_000 {
        let from = if number == 0 { format!("from {tip}\n") } else { String::new() };
        writeln!(commits, "commit refs/heads/long\ncommitter A <a> {number} +0000\ndata 0\n{from}").unwrap();
    }
    let ran = scene.world.run(&scene.server, "git", &["fast-import", "--quiet"], commits.as_bytes());
    ran.exits(0);
    let long = scene.server_ref("refs/heads/long");
    judge(&format!("{tip} {long} {MAIN}\n")).exits(1).says("too-large");
    judge(&format!("{zero} {long} refs/two-key/appliers/edge1\n")).exits(1).says("too-large");
    judge(&format!("{tip} {long}~1 {MAIN}\n")).exits(3);
    let shorter = scene.server_ref("refs/heads/long~80000");
    judge(&format!("{tip} {shorter} {MAIN}\n")).exits(0);
}

#[test]
fn the_loser_of_a_race_changes_nothing() {
    let scene = Scene::rolling();
    let tip = scene.world.head();
    scene.promote("user1");
    scene.push(&["main"]).exits(0);
    let winner = scene.server_ref(MAIN);
    scene.world.git(&["update-ref", MAIN, &tip]);
    scene.promote("user2");
    // What Git tells the hook of a push that began before the other one ended.
    let late = scene.world.head();
    let tag = scene.tag("2-promote-25", "main");
    let object = scene.world.git(&["rev-parse", &format!("refs/tags/{tag}")]);
    let halt = scene.halt("cp14", "main", 1);
    let stop = format!("refs/two-key/stops/{LEASE}/{halt}");
    scene
        .push(&["main:refs/heads/scratch", &format!("{object}:refs/tags/other"), &format!("{halt}:refs/heads/halt")])
        .exits(0);
    let zero = "0".repeat(40);
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let judge = |lines: &str| scene.world.run(&scene.server, program, &["hook", "pre-receive"], lines.as_bytes());
    judge(&format!("{tip} {late} {MAIN}\n")).exits(1).says("refs/heads/main: stale: ");
    judge(&format!("{zero} {late} {MAIN}\n")).exits(1).says("refs/heads/main: stale: ");
    // Its other refs are judged by the ledger as it is, not as the late push believes.
    judge(&format!("{tip} {late} {MAIN}\n{zero} {object} refs/tags/{tag}\n")).exits(1).says("missing-role: ");
    // A stop beside it changes nothing, and goes in alone.
    judge(&format!("{tip} {late} {MAIN}\n{zero} {halt} {stop}\n"))
        .exits(1)
        .says("stale: ")
        .says(&format!("{halt}:{stop}"));
    judge(&format!("{zero} {halt} {stop}\n")).exits(0);
    scene.push(&["main"]).exits(1);
    assert_eq!(scene.server_ref(MAIN), winner);
    scene.refuses(&["+main"], MAIN, "ref-rewound");
}

#[test]
fn the_clients_hook_says_beforehand_what_the_server_would_refuse() {
    let scene = Scene::rolling();
    scene.on_server(&["config", "core.hooksPath", "/nowhere"]).exits(0);
    scene.world.two_key(&["hook", "install"]).exits(0).says("pre-push").never_says("pre-receive");
    scene.world.two_key(&["hook", "install", "--server"]).exits(0).says("pre-receive").never_says("pre-push");
    scene.world.two_key(&["hook", "install", "--client", "--server"]).exits(2);
    fs::remove_file(scene.world.repo().join(".git/hooks/pre-receive")).unwrap();
    fs::remove_file(scene.world.repo().join(".git/hooks/reference-transaction")).unwrap();
    scene.world.two_key(&["hook", "install", "--wake", "wake"]).exits(2).says("bare repository");
    let tip = scene.world.head();
    scene.promote("stranger");
    scene.refuses(&["main"], MAIN, "unknown-key");
    scene.world.git(&["update-ref", MAIN, &tip]);
    scene.promote("user1");
    scene.push(&["main"]).exits(0);
    // What it cannot decide it leaves to the server.
    scene.world.git(&["config", "--unset", "two-key.root"]);
    scene.world.git(&["update-ref", MAIN, &tip]);
    scene.push(&["main:refs/heads/topic"]).exits(0).says("unpinned");
}

#[test]
fn installing_never_overwrites_another_hook() {
    let scene = Scene::new();
    let path = scene.server.to_str().unwrap();
    let hook = scene.server.join("hooks/pre-receive");
    scene.world.two_key(&["hook", "install", path]).exits(0);
    let other = "#!/bin/sh\nexit 0\n";
    fs::write(&hook, other).unwrap();
    scene.world.two_key(&["hook", "install", path]).exits(1).says("another hook");
    assert_eq!(fs::read_to_string(&hook).unwrap(), other);
    fs::remove_file(&hook).unwrap();
    let another = "0".repeat(39) + "1";
    scene.world.two_key(&["hook", "install", path, "--root", &another]).exits(1).says("another root");
    let fresh = scene.world.path().join("fresh.git");
    let path = fresh.to_str().unwrap();
    scene.world.git(&["init", "--quiet", "--bare", path]);
    scene.world.two_key(&["hook", "install", path]).exits(3).says("unpinned");
    scene.world.two_key(&["hook", "install", path, "--root", "main"]).exits(2);
    scene.world.two_key(&["hook", "install", path, "--root", &scene.root]).exits(0);
}
