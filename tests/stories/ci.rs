//! Pull requests: the same findings as the hook's, what merging puts in force, and what must not be lost.

use std::fs;

use serde_json::{Value, json};

use crate::kit::{
    self, LEASE, Ran, World, lease,
    scene::{Scene, forward, message},
};

const OTHER: &str = "LEASE-20251028-000000";

/// The program's `ci` for everything on main after a commit.
fn ci(world: &World, base: &str, more: &[&str]) -> Ran {
    world.two_key(&[&["ci", "--base", base, "--head", "main"], more].concat())
}

fn texts(view: &Value) -> Vec<&str> {
    view["effects"].as_array().unwrap().iter().map(|effect| effect["text"].as_str().unwrap()).collect()
}

#[test]
fn a_pull_request_says_what_merging_it_would_put_in_force() {
    let scene = Scene::rolling();
    let base = scene.world.head();
    scene.promote("user1");
    let view = ci(&scene.world, &base, &["--format", "json"]).exits(0).json();
    let stays = format!("{LEASE} stays at 5 % on checkout-prod; waiting for an agent, to promote to 25 %");
    assert_eq!(texts(&view), [stays]);
    let vote = scene.promote("cp14");
    let view = ci(&scene.world, &base, &["--format", "json"]).exits(0).json();
    let moves = format!("25 % for checkout-prod: both keys are there (human user1 and agent cp14) — {LEASE}");
    assert_eq!(texts(&view), [moves]);
    assert_eq!(view["ok"], json!(true));
    assert_eq!(view["signatures"][1], json!({"commit": vote, "statement": format!("promote {LEASE} to 25 %")}));
    // Nothing was merged, and nothing was left behind.
    assert_eq!(scene.world.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    ci(&scene.world, &base, &[])
        .exits(0)
        .says("### two-key: merging this is admitted")
        .says("25 % for checkout-prod: both keys are there")
        .says("squash or rebase merging makes the commits again and would drop signatures")
        .says(&format!("| `{}` | promote {LEASE} to 25 % |", &vote[..12]));
}

#[test]
fn documents_are_not_written_where_a_link_in_the_worktree_leads() {
    let scene = Scene::rolling();
    let base = scene.world.head();
    scene.promote("user1");
    let outside = scene.world.path().join("outside");
    for (form, file) in [("sarif", "two-key.sarif"), ("gitlab", "gl-code-quality-report.json")] {
        let place = scene.world.repo().join(file);
        std::os::unix::fs::symlink(&outside, &place).unwrap();
        let ci = || ci(&scene.world, &base, &["--annotate", form]);
        ci().exits(1).says("malformed: ").says("symbolic link");
        assert!(!outside.exists(), "{form}");
        fs::remove_file(&place).unwrap();
        ci().exits(0);
        assert!(place.is_file(), "{form}");
    }
}

#[test]
fn the_whole_life_of_a_lease_is_told_in_words() {
    let world = World::founded();
    let said = |base: &str| {
        let view = ci(&world, base, &["--format", "json"]).exits(0).json();
        texts(&view).join("\n")
    };
    let root = world.head();
    world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
    assert_eq!(
        said(&root),
        format!("{LEASE} is proposed for checkout-prod; waiting for a human and an agent, to authorize")
    );
    let proposed = world.head();
    world.turn("user1", "cosign", LEASE);
    world.turn("cp14", "cosign", LEASE);
    let both = "both keys are there (human user1 and agent cp14)";
    assert_eq!(said(&proposed), format!("{LEASE} may start on checkout-prod: {both}"));
    let authorized = world.head();
    world.turn("cp14", "start", LEASE);
    let starts = format!("5 % for checkout-prod: agent cp14 turned a key, which suffices here — {LEASE}");
    assert_eq!(said(&authorized), starts);
    let rolling = world.head();
    world.turn("cp18", "halt", LEASE);
    let halts = format!("checkout-prod goes from 5 % to 0 %: halt by agent cp18, one key stops — {LEASE}");
    assert_eq!(said(&rolling), halts);
    let halted = world.head();
    world.two_key(&["freeze", "--key", world.key_file("user2").to_str().unwrap()]).exits(0);
    assert_eq!(said(&halted), "nothing goes forward in this repository until two keys end the freeze");
    assert_eq!(said("main"), "");
}

#[test]
fn policies_and_revocations_are_told_in_words() {
    let world = World::founded();
    let root = world.head();
    let key = |name: &str| world.key_file(name).display().to_string();
    world.two_key(&["key", "add", "user3", &world.public_key("user3"), "--role", "human"]).exits(0);
    let view = ci(&world, &root, &["--format", "json"]).exits(0).json();
    let comes = format!("adds human user3 with {}", world.fingerprint("user3"));
    assert_eq!(texts(&view), [format!("policy version 2 is proposed: {comes}; its keys so far: nobody yet")]);
    world.two_key(&["sign", "policy", "--key", &key("user1")]).exits(0);
    world.two_key(&["sign", "policy", "--key", &key("cp14")]).exits(0);
    let view = ci(&world, &root, &["--format", "json"]).exits(0).json();
    assert_eq!(texts(&view), [format!("policy version 2 is in force: {comes}")]);
    let enacted = world.head();
    let whose = world.fingerprint("cp18");
    world.two_key(&["key", "revoke", &whose, "--key", &key("user1")]).exits(0);
    let view = ci(&world, &enacted, &["--format", "json"]).exits(0).json();
    assert_eq!(texts(&view), [format!("the key {whose} of cp18 is revoked, permanently")]);
}

#[test]
fn what_the_hook_refuses_is_refused_in_the_same_words() {
    let scene = Scene::rolling();
    let base = scene.world.head();
    scene.promote("user1");
    scene.promote("stranger");
    let pushed = scene.push(&["main"]).exits(1);
    let line = pushed.err.lines().find_map(|line| line.strip_prefix("remote: two-key: refused")).unwrap().trim();
    let said = ci(&scene.world, &base, &[]).exits(1).says(line).says("### two-key: merging this is refused");
    assert!(said.err.contains("hint: "), "{}", said.err);
    let view = ci(&scene.world, &base, &["--format", "json"]).exits(1).json();
    assert_eq!((&view["ok"], &view["reason"]), (&json!(false), &json!("unknown-key")));
    assert_eq!(view["refused"][0]["path"], json!(format!("leases/{LEASE}.yaml")));
    // A person's vote beside it would still count where nobody refuses it.
    assert!(texts(&view)[0].contains("waiting for an agent, to promote to 25 %"), "{view}");
}

#[test]
fn a_branch_that_fell_behind_is_judged_as_it_would_be_merged() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let vote = world.sign_commit("user1", "main", &message("user1", &forward("promote", Some(2), Some(25))));
    world.git(&["branch", "topic", &vote]);
    scene.promote("cp14");
    world.two_key(&["ci", "--base", "main", "--head", "topic"]).exits(0).says("25 % for checkout-prod: both keys");
    // A fast-forward is not possible: it would take the other vote away.
    let args = ["ci", "--base", "main", "--head", "topic", "--method", "fast-forward"];
    world.two_key(&args).exits(1).says("ref-rewound");
    // Merged the wrong way round it is one for Git, and takes main off the first-parent chain.
    let foxtrot = world.git(&["commit-tree", "-p", "topic", "-p", "main", "-m", "Pull", "main^{tree}"]);
    world.git(&["update-ref", "refs/heads/topic", &foxtrot]);
    world.two_key(&args).exits(1).says("foxtrot");
    world.two_key(&["ci", "--base", "main", "--head", "topic"]).exits(0).says("25 % for checkout-prod: both keys");
}

#[test]
fn what_does_not_merge_by_itself_is_stale() {
    let world = World::founded();
    let base = world.head();
    world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
    world.git(&["branch", "topic", &base]);
    world.git(&["checkout", "--quiet", "topic"]);
    let other = lease(LEASE).replace("1.9.0", "1.9.1");
    fs::create_dir_all(world.repo().join("leases")).unwrap();
    fs::write(world.repo().join(format!("leases/{LEASE}.yaml")), other).unwrap();
    world.git(&["add", "."]);
    world.git(&["commit", "--quiet", "--message", "Propose it too"]);
    let ran = world.two_key(&["ci", "--base", "main", "--head", "topic"]).exits(4);
    ran.says(&format!("two-key: stale: it does not merge by itself: both sides changed leases/{LEASE}.yaml"));
}

#[test]
fn without_a_root_or_with_half_a_history_nothing_is_decided() {
    let scene = Scene::rolling();
    let world = &scene.world;
    scene.promote("user1");
    let shallow = world.path().join("shallow");
    let from = format!("file://{}", world.repo().display());
    world.git(&["clone", "--quiet", "--depth", "2", &from, shallow.to_str().unwrap()]);
    let args = ["ci", "--base", "HEAD~1", "--head", "HEAD", "--annotate", "github"];
    let unpinned = world.two_key_in(&shallow, &args).exits(3);
    unpinned
        .says("::error title=two-key%3A unpinned::undecided: no root is pinned")
        .says("two-key: undecided: unpinned");
    world.run(&shallow, "git", &["config", "two-key.root", &scene.root], b"").exits(0);
    world.two_key_in(&shallow, &args).exits(3).says("two-key: undecided: shallow: ").says("fetch-depth: 0");
    world.run(&shallow, "git", &["fetch", "--quiet", "--unshallow"], b"").exits(0);
    world.two_key_in(&shallow, &args).exits(0);
    let json = world.two_key_in(&shallow, &["ci", "--base", "nowhere", "--head", "HEAD", "--format", "json"]).exits(3);
    assert_eq!(json.json()["ok"], json!(false));
}

/// Anybody may push a tag that has the branch's name for short, and what fetches the branch follows it.
#[test]
fn a_base_that_a_tag_could_be_is_never_judged() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let base = world.head();
    world.git(&["update-ref", "refs/remotes/origin/main", &base]);
    let bad = world.sign_commit("stranger", "main", &message("stranger", &forward("promote", Some(2), Some(25))));
    let judged = |base: &str| world.two_key(&["ci", "--base", base, "--head", &bad]);
    judged("origin/main").exits(1).says("unknown-key");
    world.git(&["tag", "origin/main", &bad]);
    judged("origin/main").exits(3).says("ambiguous").says("refs/remotes/origin/main or refs/tags/origin/main");
    judged("refs/remotes/origin/main").exits(1).says("unknown-key");
}

#[test]
fn a_base_that_is_no_ledger_is_never_admitted() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let island = world.git(&["commit-tree", "-m", "Another root", "main^{tree}"]);
    let child = world.git(&["commit-tree", "-p", &island, "-m", "More", "main^{tree}"]);
    world.two_key(&["ci", "--base", &island, "--head", &child]).exits(3).says("not-descended");
    world.two_key(&["ci", "--base", &scene.root, "--head", "main"]).exits(0);
}

#[test]
fn a_stop_is_admitted_beside_what_does_not_count() {
    let scene = Scene::rolling();
    let base = scene.world.head();
    scene.promote("stranger");
    scene.turn("cp18", &kit::scene::stop("halt", 1));
    let ran = ci(&scene.world, &base, &["--annotate", "github"]).exits(0);
    ran.says("checkout-prod goes from 5 % to 0 %: halt by agent cp18")
        .says("not refused, because a stop came with it")
        .says(&format!("::warning file=leases/{LEASE}.yaml,line=1,title=two-key%3A unknown-key::not refused, because a stop came with it"));
}

#[test]
fn annotations_come_in_the_form_that_the_environment_shows() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let base = world.head();
    world.commit_file(&format!("leases/{OTHER}.yaml"), "two-key: 1\n", "Propose nothing much");
    let program = env!("CARGO_BIN_EXE_git-two-key");
    let ci = |more: &[&str], env: &[(&str, &str)]| {
        let args = [&["ci", "--base", &base, "--head", "main"], more].concat();
        world.run_with(world.repo(), program, &args, b"", env)
    };
    let command = format!("::error file=leases/{OTHER}.yaml,line=1,title=two-key%3A malformed::");
    let summary = world.path().join("summary.md");
    fs::write(&summary, "Before\n").unwrap();
    let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    ci(&[], &github).exits(1).says(&command).never_says("###");
    let text = fs::read_to_string(&summary).unwrap();
    assert!(text.starts_with("Before\n### two-key: merging this is refused\n"), "{text}");
    ci(&[], &[("GITHUB_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")]).exits(1).says(&command).says("###");
    ci(&["--annotate", "none"], &github).exits(1).never_says("::error");
    ci(&["--format", "json"], &github).exits(1).json();
    let document =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(world.repo().join(name)).unwrap()).unwrap() };
    ci(&[], &[("GITLAB_CI", "true")]).exits(1).never_says("::error");
    let quality = document("gl-code-quality-report.json");
    assert_eq!(quality[0]["check_name"], "two-key/malformed");
    assert_eq!(quality[0]["location"], json!({"path": format!("leases/{OTHER}.yaml"), "lines": {"begin": 1}}));
    let sarif = ["--annotate", "sarif", "--annotations", "here.sarif", "--summary", "here.md"];
    ci(&sarif, &[]).exits(1).never_says("###");
    assert_eq!(document("here.sarif")["runs"][0]["results"][0]["ruleId"], "malformed");
    assert!(fs::read_to_string(world.repo().join("here.md")).unwrap().contains("**malformed**"));
    ci(&["--annotate", "github", "--annotations", "x"], &[]).exits(2);
}

#[test]
fn nothing_that_strangers_wrote_becomes_a_command_or_markup() {
    let world = World::founded();
    let base = world.head();
    let path = "leases/::set-output name=a::b\n::error::`<b>@all ##[add-mask].yaml";
    world.commit_file(path, "two-key: 1\n", "Propose nothing much");
    let summary = ["--annotate", "github", "--summary", "summary.md"];
    let ran = ci(&world, &base, &summary).exits(1).never_says("##[");
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    assert!(ran.out.starts_with("::error file=leases/%3A%3Aset-output") && ran.err.is_empty(), "{ran:?}");
    let text = fs::read_to_string(world.repo().join("summary.md")).unwrap();
    assert!(!text.contains("<b>") && !text.contains("@all") && !text.contains("##["), "{text}");
}

#[test]
fn a_merge_hides_who_proposed_where_a_rule_wants_to_know() {
    let separate = |world: &World| {
        world.policy().replace("cosign: {human: 1, agent: 1,", "cosign: {human: 1, agent: 1, separate-proposer: true,")
    };
    let scene = Scene::under(separate);
    let world = &scene.world;
    let base = world.head();
    let key = format!("user.signingKey={}", world.key_file("cp14").display());
    fs::write(world.repo().join(format!("leases/{OTHER}.yaml")), lease(OTHER)).unwrap();
    world.git(&["add", "."]);
    world.git(&["-c", "gpg.format=ssh", "-c", &key, "commit", "--quiet", "-S", "--message", "Propose a lease"]);
    ci(world, &base, &[]).exits(0).says(&format!("nobody could ever turn a key for {OTHER}"));
    ci(world, &base, &["--method", "fast-forward"]).exits(0).never_says("nobody could ever");
}

#[test]
fn every_kind_of_repository_is_judged_alike() {
    for (objects, refs) in [("sha256", "files"), ("sha1", "reftable")] {
        let scene = Scene::at("ser ver:ä.git", objects, refs);
        scene.start();
        scene.push(&["main"]).exits(0);
        let base = scene.world.head();
        scene.promote("user1");
        scene.promote("cp14");
        // On the server too, which is bare and whose path has a space, a colon and another script's letters.
        scene.push(&["main:refs/heads/topic"]).exits(0);
        let args = ["ci", "--base", "main", "--head", "topic"];
        scene.world.two_key_in(&scene.server, &args).exits(0).says("25 % for checkout-prod: both keys are there");
        scene.promote("stranger");
        ci(&scene.world, &base, &[]).exits(1).says("unknown-key");
    }
}

#[test]
fn what_cannot_be_read_is_never_admitted() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let base = world.head();
    scene.promote("user1");
    let blob = world.git(&["rev-parse", &format!("{base}~1")]);
    let file = world.repo().join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    let honest = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    ci(world, &base, &["--annotate", "github"]).exits(3).says("::error title=two-key%3A damaged::undecided: ");
    fs::write(&file, honest).unwrap();
    ci(world, &base, &[]).exits(0);
}
