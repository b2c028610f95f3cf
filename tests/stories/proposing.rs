//! Proposals: what `new` and `init` take, warn of and refuse.

use std::fs;

use crate::kit::World;

const ARTIFACT: &str = "shop=sha256:abababababababababababababababababababababababababababababababab";

#[test]
fn a_target_that_the_policy_lacks_is_refused_unless_somebody_says_so() {
    let world = World::founded();
    let before = world.head();
    let new = ["new", "--artifact", ARTIFACT, "--target"];
    world
        .two_key(&[&new[..], &["checkout-prd"]].concat())
        .exits(1)
        .says("not-found: the policy in force lists no target checkout-prd (it lists checkout-prod")
        .says("--anyway");
    assert_eq!(world.head(), before);
    let after = ["checkout-prod", "--after", "checkout-stagin"];
    world.two_key(&[&new[..], &after].concat()).exits(1).says("lists no target checkout-stagin");
    assert_eq!(world.head(), before);
    world.two_key(&[&new[..], &["checkout-prd", "--anyway"]].concat()).exits(0);
    world.two_key(&[&new[..], &["checkout-prod"]].concat()).exits(0).says("on main (");
}

#[test]
fn on_a_pull_requests_branch_it_is_committed_there() {
    let world = World::founded();
    let main = world.head();
    world.git(&["switch", "--quiet", "--create", "topic"]);
    let new = ["new", "--target", "checkout-prod", "--artifact", ARTIFACT];
    world.two_key(&[&new[..], &["--push"]].concat()).exits(2).says("push this one with: git push");
    world.two_key(&new).exits(0).says("on topic (");
    assert_eq!(world.git(&["rev-parse", "main"]), main, "the governed branch stays where it is");
    assert_eq!(world.git(&["log", "--format=%P", "-1", "topic"]), main);
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    // A branch that has nothing to do with the ledger is no place for a lease.
    world.git(&["switch", "--quiet", "--orphan", "elsewhere"]);
    world.git(&["commit", "--quiet", "--allow-empty", "--message", "Elsewhere"]);
    world.two_key(&new).exits(0).says("on main (");
}

#[test]
fn a_window_that_closes_before_the_tiers_have_baked_is_warned_of() {
    let world = World::founded();
    let new = |expires: &str| {
        let tiers = ["--tier", "5:30m", "--tier", "100:30m", "--expires", expires];
        world.two_key(&[&["new", "--target", "checkout-prod", "--artifact", ARTIFACT][..], &tiers].concat()).exits(0)
    };
    new("59m").says("warning: the window is 59 min, shorter than the bakes together, 60 min");
    new("60m").never_says("warning: the window");
    world.two_key(&["check"]).exits(0).says("warning: the window is 59 min");
}

#[test]
fn a_change_is_named_by_revisions() {
    let world = World::founded();
    let code = world.path().join("code");
    let git = |args: &[&str]| world.run(&code, "git", args, b"").exits(0).out.trim_end().to_owned();
    fs::create_dir(&code).unwrap();
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["commit", "--quiet", "--allow-empty", "--message", "One"]);
    git(&["tag", "--annotate", "--message", "1.0", "v1.0"]);
    git(&["commit", "--quiet", "--allow-empty", "--message", "Two"]);
    let (from, to) = (git(&["rev-parse", "main~1"]), git(&["rev-parse", "main"]));
    let change = |repository: &str, range: &str| {
        let new = ["new", "--target", "checkout-prod", "--change", repository, range];
        let ran = world.two_key(&new);
        let id = ran.out.lines().next().unwrap_or_default().to_owned();
        let text = fs::read_to_string(world.repo().join(format!("leases/{id}.yaml"))).unwrap_or_default();
        (ran, text)
    };
    let (folder, address) = (code.to_str().unwrap().to_owned(), format!("file://{}", code.display()));
    for (repository, range) in [(&folder, "v1.0..HEAD"), (&folder, "main~1..main"), (&address, "v1.0..main")] {
        let (ran, text) = change(repository, range);
        ran.exits(0);
        assert!(text.contains(&from) && text.contains(&to), "{range}: {text}");
    }
    let (ran, _) = change(&address, "v1.0..no-such-branch");
    ran.exits(1).says("not-found: ").says("has no commit `no-such-branch`");
}

#[test]
fn a_clone_that_converts_line_ends_still_has_the_signed_bytes() {
    let world = World::empty();
    let folder = world.path().join("fresh");
    fs::create_dir(&folder).unwrap();
    let pair = |name: &str| format!("{name}={}", world.public_key(name));
    let (user1, cp14) = (pair("user1"), pair("cp14"));
    world.two_key_in(&folder, &["init", "--human", &user1, "--agent", &cp14, "--target", "shop"]).exits(0);
    let root = world.run(&folder, "git", &["config", "two-key.root"], b"").exits(0).out.trim_end().to_owned();
    let clone_of = |from: &str, name: &str| {
        let clone = world.path().join(name);
        let args = ["clone", "--quiet", "--config", "core.autocrlf=true", from, clone.to_str().unwrap()];
        world.run(world.path(), "git", &args, b"").exits(0);
        world.run(&clone, "git", &["config", "two-key.root", &root], b"").exits(0);
        clone
    };
    let clone = clone_of("fresh", "converted");
    world.two_key_in(&clone, &["check"]).exits(0).says("0 refused");
    // Without the attributes Git gives the same file other bytes.
    world.run(&folder, "git", &["rm", "--quiet", ".gitattributes"], b"").exits(0);
    world.run(&folder, "git", &["commit", "--quiet", "--message", "Take them away"], b"").exits(0);
    let clone = clone_of("fresh", "broken");
    world.two_key_in(&clone, &["check"]).exits(1).says("malformed: ").says("Windows line ends");
}
