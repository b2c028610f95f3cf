//! `check` and `doctor`, through the binary.

use std::fs;

use crate::kit::{self, LEASE, World, lease};

fn lease_file() -> String {
    format!("leases/{LEASE}.yaml")
}

fn write(world: &World, path: &str, content: &str) {
    let file = world.repo().join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

#[test]
fn a_good_lease_passes_and_a_bad_one_is_shown_where_it_is_bad() {
    let world = World::founded();
    write(&world, &lease_file(), &lease(LEASE));
    world.two_key(&["check", &lease_file()]).exits(0).says("checked 1 file: 0 refused");
    write(&world, &lease_file(), &lease(LEASE).replace("target: checkout-prod", "target: checkout-prod\ncolour: red"));
    let ran = world.two_key(&["check", &lease_file()]).exits(1);
    ran.says(&format!("leases/{LEASE}.yaml:9:1: ")).says(&format!("two-key: refused leases/{LEASE}.yaml: malformed: "));
    let json = world.two_key(&["check", "--format", "json"]).exits(1).json();
    assert_eq!(json["reason"], "malformed");
    assert_eq!(json["files"][0]["kind"], "policy");
    assert_eq!(json["files"][1]["problems"][0]["line"], 9);
}

#[test]
fn form_is_checked_without_any_repository() {
    let world = World::empty();
    let folder = world.path().join("elsewhere");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("LEASE-1.yaml"), lease("LEASE-1")).unwrap();
    world.two_key_in(&folder, &["check", "LEASE-1.yaml"]).exits(0).says("only the form is checked");
    fs::write(folder.join("LEASE-1.yaml"), lease("LEASE-2")).unwrap();
    world.two_key_in(&folder, &["check", "LEASE-1.yaml"]).exits(1).says("refused LEASE-1.yaml: malformed: ");
    world.two_key_in(&folder, &["check", "missing.yaml"]).exits(3);
}

#[test]
fn a_lease_is_held_to_the_policy_in_force() {
    let world = World::founded();
    let check = |text: String| {
        write(&world, &lease_file(), &text);
        world.two_key(&["check", &lease_file()])
    };
    check(lease(LEASE)).exits(0).says("warning: target checkout-prod has no health check").never_says("refused ");
    check(lease(LEASE).replace("checkout-prod", "nowhere"))
        .exits(0)
        .says("warning: the policy names no target nowhere");
    let other = "0".repeat(32);
    check(lease(LEASE).replace(kit::REPOSITORY, &other)).exits(1).says(": wrong-repository: ");
    check(lease(LEASE).replace("2035-", "2025-")).exits(0).says("warning: its window was over");
}

#[test]
fn an_edit_after_the_first_vote_is_shown_to_have_no_effect() {
    let world = World::proposed();
    let edited = lease(LEASE).replace("1.9.0", "1.9.1");
    write(&world, &lease_file(), &edited);
    world.two_key(&["check"]).exits(0);
    write(&world, &lease_file(), &lease(LEASE));
    world.turn("user1", "cosign", LEASE);
    world.two_key(&["check"]).exits(0);
    write(&world, &lease_file(), &edited);
    world.two_key(&["check"]).exits(1).says(": lease-changed: ");
}

#[test]
fn a_policy_must_follow_the_one_in_force() {
    let world = World::founded();
    world.two_key(&["check"]).exits(0);
    write(&world, ".two-key/policy.yaml", &world.policy().replace("start-up-to: 10", "start-up-to: 5"));
    world
        .two_key(&["check"])
        .exits(1)
        .says("refused .two-key/policy.yaml: policy-version: ")
        .says("hint: write `version: 2`");
    let digest =
        world.two_key(&["list", "--format", "json"]).exits(0).json()["policy"]["digest"].as_str().unwrap().to_owned();
    let next = world.policy().replace("version: 1\nprevious: null", &format!("version: 2\nprevious: {digest}"));
    write(&world, ".two-key/policy.yaml", &next);
    world.two_key(&["check"]).exits(0);
}

#[test]
fn what_could_never_work_is_said_before_anybody_signs() {
    let world = World::founded();
    let digest =
        world.two_key(&["list", "--format", "json"]).exits(0).json()["policy"]["digest"].as_str().unwrap().to_owned();
    let next = world.policy().replace("version: 1\nprevious: null", &format!("version: 2\nprevious: {digest}"));
    write(&world, ".two-key/policy.yaml", &format!("{next}risk: {{sensitive: [\"auth/[\"]}}\n"));
    world.two_key(&["check"]).exits(1).says("malformed: ").says("auth/[");
    write(&world, ".two-key/policy.yaml", &format!("{next}risk: {{sensitive: [\"auth/*\"], model: two-key-2}}\n"));
    world.two_key(&["check"]).exits(0).never_says("this program computes");
    write(&world, ".two-key/policy.yaml", &format!("{next}risk: {{sensitive: [\"auth/*\"], model: two-key-1}}\n"));
    world.two_key(&["check"]).exits(0).says("of model two-key-1; this program computes two-key-2");
    write(&world, ".two-key/policy.yaml", &next);
    write(&world, &lease_file(), &format!("{}agent-alone-up-to: 25\n", lease(LEASE)));
    world.two_key(&["check"]).exits(1).says("policy-floor: agent-alone-up-to is 25 %");
    write(&world, &lease_file(), &format!("{}agent-alone-up-to: 0\n", lease(LEASE)));
    world.two_key(&["check"]).exits(0);
}

#[test]
fn links_are_never_followed() {
    let world = World::founded();
    write(&world, "elsewhere", &lease(LEASE));
    fs::create_dir_all(world.repo().join("leases")).unwrap();
    std::os::unix::fs::symlink(world.repo().join("elsewhere"), world.repo().join(lease_file())).unwrap();
    world.two_key(&["check"]).exits(1).says(": malformed: it is not a regular file");
}

/// A world with nothing wrong.
fn healthy() -> World {
    let world = World::empty();
    let second = |name: &str| world.public_key(&format!("{name}-2"));
    world.found(
        &world
            .policy()
            .replace(&world.public_key("user1"), &format!("{}\", \"{}", world.public_key("user1"), second("user1"))),
    );
    world.git(&["config", "gpg.format", "ssh"]);
    world.git(&["config", "user.signingkey", world.key_file("user1").to_str().unwrap()]);
    let hook = world.repo().join(".git/hooks/pre-push");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\nexec git two-key hook pre-push \"$@\"\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world
}

#[test]
fn a_healthy_set_up_is_told_so() {
    healthy().two_key(&["doctor"]).exits(0).says("nothing is wrong");
}

#[test]
fn each_thing_that_is_wrong_comes_with_what_mends_it() {
    let world = healthy();
    let root = world.git(&["config", "two-key.root"]);
    let complains = |check: &str, mend: &str| {
        let ran = world.two_key(&["doctor"]).exits(1).says(mend);
        assert_eq!(ran.out.lines().filter(|line| !line.starts_with("  ")).count(), 1, "{}", ran.out);
        assert!(ran.out.starts_with(&format!("{check}: ")), "{}", ran.out);
        let json = world.two_key(&["doctor", "--format", "json"]).exits(1).json();
        assert_eq!(json["problems"][0]["check"], check);
    };
    world.git(&["config", "--unset", "two-key.root"]);
    complains("root", &format!("git two-key trust {root}"));
    world.git(&["config", "two-key.root", &"1".repeat(40)]);
    complains("root", &format!("git two-key clone URL --root {}", "1".repeat(40)));
    world.git(&["config", "two-key.root", &root]);
    world.git(&["config", "--unset", "user.signingkey"]);
    complains("key", "git config two-key.key");
    world.git(&["config", "two-key.key", world.key_file("mallory").to_str().unwrap()]);
    complains("key", "git two-key key add");
    world.git(&["config", "two-key.key", world.key_file("user2").to_str().unwrap()]);
    // Advice is no fault.
    world.git(&["config", "--unset", "gpg.format"]);
    world.two_key(&["doctor"]).exits(0).says("nothing is wrong").says("git config gpg.format ssh");
    world.git(&["config", "gpg.format", "ssh"]);
    world.two_key(&["doctor"]).exits(0).never_says("gpg.format");
    fs::rename(world.repo().join(".git/hooks/pre-push"), world.repo().join("kept")).unwrap();
    complains("hook", "git two-key hook install");
    fs::rename(world.repo().join("kept"), world.repo().join(".git/hooks/pre-push")).unwrap();
    world.two_key(&["doctor"]).exits(0);
    add_remote(&world);
    let notes = "+refs/notes/two-key/*:refs/two-key-remote/origin/notes/two-key/*";
    let ours = "+refs/two-key/*:refs/two-key-remote/origin/two-key/*";
    world.git(&["config", "--add", "remote.origin.fetch", ours]);
    complains("notes", &format!("git config --add remote.origin.fetch '{notes}'"));
    world.git(&["config", "--replace-all", "remote.origin.fetch", notes]);
    complains("observed", &format!("git config --add remote.origin.fetch '{ours}'"));
    world.git(&["config", "--add", "remote.origin.fetch", ours]);
    world.two_key(&["doctor"]).exits(0);
    // What was told people once: the remote's refs onto their own.
    for old in ["refs/notes/two-key/*:refs/notes/two-key/*", "+refs/two-key/*:refs/two-key/*"] {
        world.git(&["config", "--add", "remote.origin.fetch", old]);
        let mend = "git config --unset-all remote.origin.fetch ':refs/(two-key|notes)/'";
        complains("mirror", mend);
        world.run(world.repo(), "sh", &["-c", mend], b"").exits(0);
        world.two_key(&["doctor"]).exits(0);
    }
    world.commit_file("leases/bad.yaml", "nonsense\n", "Propose nonsense");
    complains("findings", "git two-key verify --all");
}

#[test]
fn a_bare_repository_wants_its_own_hook() {
    let mut world = healthy();
    let (bare, root) = (world.path().join("bare.git"), world.git(&["config", "two-key.root"]));
    world.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    world.enter(&bare);
    world.git(&["config", "two-key.root", &root]);
    world.git(&["remote", "remove", "origin"]);
    world.two_key(&["doctor"]).exits(1).says("the pre-receive hook is not installed").never_says("key:");
}

#[test]
fn a_foxtrot_is_healed_by_the_merge_that_is_printed() {
    let world = healthy();
    let (ours, root) = (world.head(), world.git(&["config", "two-key.root"]));
    let tree = world.git(&["rev-parse", "main^{tree}"]);
    // A side commit takes the branch's tip in as its second parent, which Git calls a fast-forward.
    world.commit_file("note", "x\n", "Say something");
    let tip = world.head();
    let side = world.git(&["commit-tree", "-p", &ours, "-m", "Aside", &tree]);
    let foxtrot = world.git(&["commit-tree", "-p", &side, "-p", &tip, "-m", "Merge", &format!("{tip}^{{tree}}")]);
    let bare = world.path().join("bare.git");
    world.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    world.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
    world.git(&[
        "config",
        "--add",
        "remote.origin.fetch",
        "+refs/notes/two-key/*:refs/two-key-remote/origin/notes/two-key/*",
    ]);
    world.git(&["config", "--add", "remote.origin.fetch", "+refs/two-key/*:refs/two-key-remote/origin/two-key/*"]);
    world.git(&["push", "--quiet", "--no-verify", "origin", &format!("{foxtrot}:main")]);
    world.git(&["fetch", "--quiet"]);
    let ran = world.two_key(&["doctor"]).exits(1).says("upstream: foxtrot: ");
    let mend = ran.out.lines().find_map(|line| line.strip_prefix("  fix: ")).unwrap();
    world.run(world.repo(), "sh", &["-c", mend], b"").exits(0);
    world.git(&["fetch", "--quiet"]);
    world.two_key(&["doctor"]).exits(1).says("origin/main is ahead of main").says("git two-key sync");
    world.git(&["merge", "--quiet", "--ff-only", "origin/main"]);
    world.two_key(&["doctor"]).exits(0);
    let chain = world.git(&["rev-list", "--first-parent", "main"]);
    assert!(chain.contains(&tip) && chain.contains(&root) && !chain.contains(&side));
}

/// A policy whose usual target has these gates.
fn gated(sections: &str) -> World {
    let world = World::empty();
    let policy = world.policy().replace("applier: edge1}", "applier: edge1, gates: [error-rate]}") + sections;
    world.found(&policy);
    write(&world, &lease_file(), &lease(LEASE));
    world
}

const RATIO: &str = "gates:\n  error-rate:\n    source: file\n    kind: count-ratio\n    candidate: {bad: b, total: t}\n    \
    compare: {test: e-value, max-ratio: 1.5}\n    absolute: {max: 0.05}\n";

#[test]
fn a_lease_s_false_alarms_and_the_smallest_harm_that_it_can_show_are_told() {
    let world = gated(RATIO);
    let check = |more: &[&str]| world.two_key(&[&["check", &lease_file()], more].concat()).exits(0);
    check(&[])
        .says("note: a healthy lease is stopped by a test with a chance of at most 1 % (false-alarms), if errors are independent or come by users who retry, and of about twice that if each version's rate varies by the minute by as much as itself; shared among 1 comparison and 1 tested limit at 3 tiers")
        .says("note: gate error-rate at 5 % shows in nine of ten tiers (where 0.5 % are bad anyway), if errors are independent: ")
        .says("at 100 requests a second")
        .never_says("at 100 %");
    check(&["--traffic", "40", "--bad", "2"])
        .says("(where 2 % are bad anyway), if errors are independent: ")
        .says("times as many at 40 requests a second")
        .never_says("at 100 requests a second");
    check(&["--traffic", "0.001"])
        .says("nothing at 0.001 requests a second")
        .says("warning: gate error-rate at 5 % passes nothing for 19667 minutes, and it is rolled back after 30m (`inconclusive-deadline`): its minimum of 59 events takes as long at 0.001 requests a second");
    check(&["--traffic", "40"]).never_says("passes nothing");
    world.two_key(&["check", &lease_file(), "--traffic", "40", "--bad", "200"]).exits(2);
    world.two_key(&["check", "--traffic", "-1"]).exits(2);
    let stricter = gated(&format!("false-alarms: 0.001\n{}", RATIO.replace("max: 0.05", "max: 0.05, rule: point")));
    stricter
        .two_key(&["check", &lease_file()])
        .exits(0)
        .says("at most 0.1 % (false-alarms), if ")
        .says("shared among 1 comparison and 0 tested limits at 3 tiers; no such rate holds for 1 point");
}

#[test]
fn where_fewer_are_worse_it_is_told_how_few_are_shown() {
    let world = gated(
        &RATIO.replace("kind: count-ratio", "kind: count-ratio\n    worse: lower").replace("max: 0.05", "min: 0.01"),
    );
    world
        .two_key(&["check", &lease_file(), "--traffic", "100", "--bad", "5"])
        .exits(0)
        .says("(where 5 % are counted anyway), if errors are independent: 0.55 times as many at 100 requests a second");
    world.two_key(&["check", &lease_file(), "--traffic", "1e12"]).exits(2);
}

#[test]
fn gates_whose_evidence_would_be_too_long_to_be_read_are_warned_of() {
    let warned = |interval: &str| {
        let gate = RATIO.trim_start_matches("gates:\n").replace("kind:", &format!("interval: {interval}\n    kind:"));
        let names: Vec<_> = (0..40).map(|k| format!("gate-{k}")).collect();
        let gates: String = names.iter().map(|name| gate.replace("error-rate", name)).collect();
        let world = World::empty();
        let target = format!("applier: edge1, gates: [{}]}}", names.join(", "));
        world.found(&(world.policy().replace("applier: edge1}", &target) + "gates:\n" + &gates));
        write(&world, &lease_file(), &lease(LEASE));
        world.two_key(&["check", &lease_file()]).exits(0)
    };
    warned("1s").says("warning: the gates' evidence at 5 % may be more than 16 MiB, which nobody reads");
    warned("1m").never_says("the gates' evidence");
}

#[test]
fn a_sample_gate_that_only_compares_is_warned_of() {
    let sample = "gates:\n  error-rate: {source: file, kind: sample, candidate: {value: v}, compare: {test: mann-whitney, min-a12: 0.6}}\n";
    let check = |sections: &str| gated(sections).two_key(&["check", ".two-key/policy.yaml"]).exits(0);
    check(sample)
        .says("warning: gate error-rate only compares samples: one in six requests may hang forever and it passes");
    check(&sample.replace("0.6}}", "0.6}, absolute: {max: 2}}")).never_says("only compares");
}

#[test]
fn a_limit_that_no_share_can_reach_and_a_version_compared_with_itself_are_warned_of() {
    let check = |sections: &str| gated(sections).two_key(&["check", ".two-key/policy.yaml"]).exits(0);
    let own = RATIO.replace("bad: b,", "bad: 'b {{candidate}}',");
    let warned = "warning: gate error-rate";
    check(&own).never_says(warned);
    check(RATIO).says("warning: gate error-rate compares the candidate with itself");
    check(&own.replace("max: 0.05", "max: 5")).says("warning: gate error-rate has a limit that no share can be beyond");
    let halt = |limit: &str| format!("{own}thresholds:\n  error-rate: {{halt: '{limit}'}}\n");
    check(&halt("> 2")).never_says("warning: threshold");
    check(&halt("> 150")).says("warning: threshold error-rate can never be crossed");
    let burn = |objective: &str| {
        format!(
            "gates:\n  error-rate: {{source: file, kind: burn-rate, objective: {objective}, candidate: {{bad: b, total: t}}, windows: [[5m, 1h, 14.4]]}}\n"
        )
    };
    check(&burn("99")).never_says(warned);
    check(&burn("90")).says("warning: gate error-rate never fails by 14.4 over 1h");
}

#[test]
fn a_gate_that_sees_no_outage_in_time_or_is_asked_too_late_is_told_of() {
    let burn = |objective: &str| {
        format!(
            "gates:\n  error-rate: {{source: file, kind: burn-rate, objective: {objective}, candidate: {{bad: 'b {{{{candidate}}}}', total: 't {{{{candidate}}}}'}}}}\n"
        )
    };
    let late = "warning: gate error-rate at 5 % passes nothing for ";
    gated(&burn("98"))
        .two_key(&["check", &lease_file()])
        .exits(0)
        .says(&format!("{late}18 minutes, and it bakes for "));
    gated(&burn("95")).two_key(&["check", &lease_file()]).exits(0).says("it is rolled back after 30m");
    let world = gated(&burn("99.9"));
    world.two_key(&["check", &lease_file()]).exits(0).never_says(late);
    let check = |lag: &str| {
        let root = world.git(&["rev-parse", "HEAD"]);
        let config = format!(
            "name: edge1\nkey: key\nrepository: .\nroot: {root}\nremote: origin\ninterval: 1s\ntargets:\n  checkout-prod: {{file: weights.json}}\n\
             metrics:\n  file: {{path: metrics.jsonl, lag: {lag}}}\n"
        );
        write(&world, "applier.yaml", &config);
        world.two_key(&["check", &lease_file(), "--config", "applier.yaml"]).exits(0)
    };
    check("11m")
        .says("warning: the applier could not watch it: gate error-rate is asked 11m late")
        .says("lower `lag` under metrics: file");
    check("9m").never_says("could not watch");
}

/// Gives a clone a remote that answers.
fn add_remote(world: &World) {
    let remote = world.path().join("remote.git");
    world.git(&["init", "--quiet", "--bare", remote.to_str().unwrap()]);
    world.git(&["remote", "add", "origin", remote.to_str().unwrap()]);
}

#[test]
fn fix_mends_settings_the_hook_and_false_tags_and_nothing_else() {
    let world = healthy();
    add_remote(&world);
    world.git(&["config", "--add", "remote.origin.fetch", "+refs/two-key/*:refs/two-key/*"]);
    fs::remove_file(world.repo().join(".git/hooks/pre-push")).unwrap();
    world.commit_file(&lease_file(), &lease(LEASE), "Propose a lease");
    let tag = format!("rollout/{LEASE}/1-start-5");
    world.git(&["tag", "--annotate", "--message", "start", &tag]);
    let before = world.git(&["rev-parse", "main"]);
    world.git(&["config", "user.signingkey", ""]);
    let said = world.two_key(&["doctor", "--fix"]).exits(1);
    let said = said.says("fixed: git tag --delete").says("fixed: git two-key hook install").says("key: ");
    for mended in ["tags: ", "mirror: ", "hook: ", "notes: ", "observed: "] {
        assert!(!said.out.lines().any(|line| line.starts_with(mended)), "{}", said.out);
    }
    assert_eq!(world.git(&["tag", "--list"]), "");
    assert_eq!(world.git(&["rev-parse", "main"]), before);
    assert!(world.repo().join(".git/hooks/pre-push").is_file());
    assert!(!world.git(&["config", "--get-all", "remote.origin.fetch"]).contains(":refs/two-key/"));
    // What a person has to decide is left to a person.
    world.git(&["config", "two-key.key", world.key_file("user2").to_str().unwrap()]);
    world.two_key(&["doctor", "--fix"]).exits(0).never_says("fixed: ");
}

#[test]
fn a_true_tag_is_left_where_it_is() {
    let world = healthy();
    world.commit_file(&lease_file(), &lease(LEASE), "Propose a lease");
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("user1", "start")] {
        world.turn(name, action, LEASE);
    }
    let tag = format!("rollout/{LEASE}/1-start-5");
    world.git(&["tag", "--annotate", "--message", "start", &tag]);
    world.two_key(&["doctor", "--fix"]).never_says("fixed: ").never_says("tags: ");
    // On another commit it claims what is not in force there.
    world.git(&["tag", "--force", "--annotate", "--message", "start", &tag, "main~1"]);
    world.two_key(&["doctor"]).exits(1).says("tags here claim what is not in force").says(&tag);
    world.two_key(&["doctor", "--fix"]).says("fixed: git tag --delete").never_says("tags: ");
}

#[test]
fn doctor_names_what_a_pull_merged_the_wrong_way_round() {
    let world = healthy();
    let bare = world.path().join("bare.git");
    world.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    world.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
    world.two_key(&["doctor", "--fix"]);
    let base = world.head();
    world.commit_file("note", "x\n", "Somebody else's");
    world.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
    world.git(&["fetch", "--quiet"]);
    world.git(&["branch", "--quiet", "--set-upstream-to=origin/main", "main"]);
    world.two_key(&["doctor"]).exits(0);
    world.git(&["reset", "--quiet", "--hard", &base]);
    world.git(&["commit", "--quiet", "--allow-empty", "--message", "Mine"]);
    world.git(&["merge", "--quiet", "--no-edit", "origin/main"]);
    world.two_key(&["doctor"]).exits(1).says("upstream: foxtrot: main contains origin/main").says("git two-key sync");
}
