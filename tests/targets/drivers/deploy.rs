//! The git driver, with a real deploy repository.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use git_two_key::{
    model::{
        Reason, TargetId,
        lease::{self, Lease},
        policy,
    },
    reconciler::{
        ApplierConfig,
        drivers::{self, Context, Setting},
    },
};

use super::rig::{FIRST, NEXT, Rig};
use crate::kit::web::Backend;

/// A route whose weights are moved.
const ROUTE: &str = "# Who serves the shop. Weights are moved by git two-key.\napiVersion: gateway.networking.k8s.io/v1\n\
    kind: HTTPRoute\nmetadata:\n  name: checkout\nspec:\n  parentRefs: [{name: edge}]\n  rules:\n    - backendRefs:   # both\n        \
    - {name: checkout-a, port: 8080, weight: 100}\n        - name: checkout-b\n          weight: 0     # the other one\n          \
    port: 8080\n";

/// A rollout that has one weight.
const ROLLOUT: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: checkout}\nspec:\n  strategy:\n    canary:\n      \
    steps:\n        - setWeight: 0   # moved by git two-key\n        - pause: {}\n  template:\n    spec:\n      containers:\n        \
    - {name: checkout, image: \"shop/checkout@sha256:1111111111111111111111111111111111111111111111111111111111111111\"}\n";

/// A rig with a deploy repository.
pub(crate) struct Edge {
    pub(crate) rig: Rig,
    file: &'static str,
}

impl Edge {
    pub(crate) fn new() -> Self {
        let paths = "stable: \"spec.rules[0].backendRefs[name=checkout-a].weight\", \
                     candidate: \"spec.rules[0].backendRefs[name=checkout-b].weight\"";
        Self::with("apps/checkout/route.yaml", ROUTE, paths)
    }

    pub(crate) fn with(file: &'static str, text: &str, paths: &str) -> Self {
        let rig = Rig::new("git");
        rig.in_all(&["init", "--quiet", "--bare", "--initial-branch=main", "deploy.git"]);
        rig.in_all(&["clone", "--quiet", "deploy.git", "people"]);
        let url = rig.path("deploy.git").display().to_string();
        rig.configure(&format!("{{git: {{repository: {url}, path: {file}, {paths}}}}}"));
        let edge = Self { rig, file };
        edge.commit(file, text);
        edge
    }

    /// Somebody else's commit.
    fn commit(&self, file: &str, text: &str) {
        let path = self.rig.path("people").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.rig.in_all(&["-C", "people", "add", "--all"]);
        self.rig.in_all(&["-C", "people", "commit", "--quiet", "--message", "Work on it"]);
        self.rig.in_all(&["-C", "people", "push", "--quiet", "origin", "main"]);
    }

    /// What the deploy repository says to pushes.
    fn hook(&self, script: &str) {
        let path = self.rig.path("deploy.git/hooks/pre-receive");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn pull(&self) {
        self.rig.in_all(&["-C", "people", "pull", "--quiet", "--ff-only", "origin", "main"]);
    }

    pub(crate) fn there(&self) -> String {
        let object = format!("main:{}", self.file);
        self.rig.in_all(&["--git-dir=deploy.git", "show", &object]) + "\n"
    }

    fn commits(&self) -> usize {
        self.rig.in_all(&["--git-dir=deploy.git", "rev-list", "--count", "main"]).parse().unwrap()
    }
}

/// The route with other weights, to the byte.
fn route(stable: u32, candidate: u32) -> String {
    ROUTE
        .replace("weight: 100}", &format!("weight: {stable}}}"))
        .replace("weight: 0  ", &format!("weight: {candidate}  "))
}

#[test]
fn two_leases_in_a_row_are_committed_and_restored_and_only_the_weights_change() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route(95, 5));
    let commits = edge.commits();
    edge.rig.apply().exits(0);
    assert_eq!(edge.commits(), commits, "what is there already is not committed again");
    edge.rig.promote(FIRST);
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route(75, 25));
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route(0, 100));
    edge.rig.turn("cp14", "complete", FIRST);
    edge.rig.start(NEXT);
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route(5, 95));
    edge.rig.observed(500);
    edge.rig.turn("user2", "rollback", NEXT);
    // Nobody here sees whether Flux or Argo CD followed.
    edge.rig.apply().exits(0).says(", restored").never_says("verified");
    assert_eq!(edge.there(), route(0, 100));
    assert_eq!(edge.rig.record()["phase"], "restored");
    assert_eq!(edge.rig.record()["checks"]["candidate"]["outcome"], "not-configured");
    assert_eq!(edge.rig.events().last().unwrap(), "ROLLBACK_RESTORED");
    edge.rig.world.git(&["fetch", "--quiet", "../server.git", "+refs/two-key/*:refs/two-key/*"]);
    edge.rig.world.two_key(&["list"]).exits(0).says("restored").never_says("verified");
}

#[test]
fn where_a_probe_sees_the_entrance_a_rollback_is_verified_by_enough_answers_to_meet_the_candidate() {
    let edge = Edge::new();
    let entrance = Backend::new("v1");
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    let probe = format!("}}, probe: {{url: \"http://127.0.0.1:{}/\", count: 3}}}}", entrance.port);
    fs::write(edge.rig.path("applier.yaml"), text.trim_end().strip_suffix("}}").unwrap().to_owned() + &probe + "\n")
        .unwrap();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(0).says("verified");
    let checks = edge.rig.record()["checks"].clone();
    // Where 5 % were left one would miss them 135 times in a row less than once in a thousand.
    assert_eq!(checks["probes"]["message"], "135 of 135 are served v1");
    assert_eq!(checks["candidate"]["outcome"], "passed", "{checks:#}");
    assert_eq!(edge.rig.events().last().unwrap(), "ROLLBACK_VERIFIED");
}

#[test]
fn a_halt_needs_no_history_of_the_deploy_repository() {
    for keeps_its_file in [true, false] {
        let edge = Edge::new();
        edge.rig.start(FIRST);
        edge.rig.apply().exits(0);
        edge.pull();
        for args in [
            &["checkout", "--quiet", "--orphan", "squashed"][..],
            &["commit", "--quiet", "--message", "One commit"],
            &["push", "--quiet", "--force", "origin", "squashed:main"],
        ] {
            edge.rig.in_all(&[&["-C", "people"], args].concat());
        }
        if !keeps_its_file {
            // The machine is lost as well: the pack knows the candidate.
            fs::remove_file(edge.rig.kept().join("targets/checkout-prod.json")).unwrap();
        }
        edge.rig.turn("cp18", "halt", FIRST);
        edge.rig.apply().exits(0);
        assert_eq!(edge.there(), route(100, 0));
        edge.rig.turn("user2", "rollback", FIRST);
        edge.rig.apply().exits(0).says("restored");
        assert_eq!(edge.there(), ROUTE);
    }
}

#[test]
fn a_route_that_keeps_people_with_a_backend_is_refused_before_the_first_shift_and_by_check() {
    let kept = ROUTE.replace("rules:\n    - ", "rules:\n    - sessionPersistence: {sessionName: shop}\n      ");
    for (name, text, refused) in [
        ("apps/checkout/route.yaml", kept.as_str(), true),
        ("apps/checkout/traefik.yaml", "spec: {weighted: {sticky: {cookie: {}}}}\n", true),
        ("apps/other/traefik.yaml", "spec: {weighted: {sticky: {cookie: {}}}}\n", false),
        ("apps/checkout/notes.txt", "sticky: yes\n", false),
    ] {
        let edge = Edge::new();
        edge.commit(name, text);
        edge.rig.start(FIRST);
        let check = edge.rig.world.two_key(&["check", "--config", "../applier.yaml"]);
        let ran = edge.rig.apply().exits(0);
        if refused {
            check.exits(1).says("malformed").says("whatever the weights are").says("out of");
            ran.says("malformed").says("whatever the weights are");
            assert_eq!(edge.rig.record()["observed_bp"], 0, "{name}");
        } else {
            check.exits(0);
            edge.rig.observed(500);
        }
    }
}

#[test]
fn a_restored_file_that_a_revert_changes_is_seen_to_be_another_one() {
    let edge = Edge::new();
    let folder = edge.rig.path("state");
    let driver = |lease: Option<&Lease>| {
        let config = ApplierConfig::load(&edge.rig.path("applier.yaml")).unwrap();
        let target = TargetId::parse("checkout-prod").unwrap();
        let context = Context { folder: folder.clone(), lease, before: &|| None };
        drivers::open(policy::DriverKind::Git, &target, config.targets.get(&target), &context).unwrap()
    };
    let lease = lease::read(crate::kit::lease(FIRST).as_bytes()).unwrap().get().clone();
    let driver = driver(Some(&lease));
    let before = driver.snapshot().unwrap().bytes;
    driver.shift(&Setting { weight_bp: 2_500, lease: lease.id.clone(), step: 1 }).unwrap();
    assert_eq!(driver.verify(&before).unwrap_err().reason, Reason::Drift);
    driver.restore(&before).unwrap();
    driver.verify(&before).unwrap();
    edge.pull();
    edge.rig.in_all(&["-C", "people", "revert", "--no-edit", "HEAD"]);
    edge.rig.in_all(&["-C", "people", "push", "--quiet", "origin", "main"]);
    let seen = driver.verify(&before).unwrap_err();
    assert_eq!(seen.reason, Reason::Drift);
    assert!(seen.message.contains("weights 75 and 25, then 100 and 0"), "{seen}");
    driver.restore(&before).unwrap();
    driver.verify(&before).unwrap();
    // What makes no difference to who serves is told, and is no drift.
    assert!(driver.changes(&before).unwrap().is_empty());
    edge.pull();
    edge.commit(edge.file, &ROUTE.replace("# both", "# both, and no third"));
    driver.verify(&before).unwrap();
    assert!(driver.changes(&before).unwrap()[0].contains("no longer what it was"));
    edge.commit(edge.file, &ROUTE.replace("8080, weight: 100", "8081, weight: 100"));
    assert!(driver.verify(&before).unwrap_err().message.contains("beside the weights"));
    fs::rename(edge.rig.path("deploy.git"), edge.rig.path("gone.git")).unwrap();
    assert_eq!(driver.verify(&before).unwrap_err().reason, Reason::NoData);
}

#[test]
fn what_others_change_beside_the_weights_stays_and_weights_that_they_change_are_drift() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    edge.pull();
    edge.commit("README.md", "Read me\n");
    edge.rig.apply().exits(0);
    assert!(!edge.rig.events().contains(&"DRIFTED".to_owned()));
    edge.pull();
    edge.commit(edge.file, &route(50, 50).replace("# both", "# both, and no third"));
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route(95, 5).replace("# both", "# both, and no third"));
    assert!(edge.rig.events().contains(&"DRIFTED".to_owned()));
    // What was there before the lease is not all that is there after it: a comment is told, another backend is not restored.
    edge.pull();
    edge.commit(edge.file, &edge.there().replace("name: checkout-a, port: 8080", "name: checkout-a, port: 8081"));
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(1).says("rollback-failed");
    edge.pull();
    edge.commit(edge.file, &edge.there().replace("name: checkout-a, port: 8081", "name: checkout-a, port: 8080"));
    edge.rig.turn("user1", "rollback", FIRST);
    edge.rig.apply().exits(0).says("restored");
    let message = edge.rig.record()["checks"]["configuration"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("what else apps/checkout/route.yaml says"), "{message}");
    assert_eq!(edge.there(), route(100, 0).replace("# both", "# both, and no third"));
}

#[test]
fn a_weight_that_is_of_another_version_than_the_leases_is_given_nothing() {
    let paths = "candidate: \"spec.strategy.canary.steps[0].setWeight\", \
                 version: \"spec.template.spec.containers[0].image\"";
    let edge = Edge::with("rollout.yaml", ROLLOUT, paths);
    edge.commit("rollout.yaml", &ROLLOUT.replace("11111111", "22222222"));
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0).says("which the lease does not name");
    assert!(edge.there().contains("setWeight: 0 "));
    edge.commit("rollout.yaml", ROLLOUT);
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), ROLLOUT.replace("setWeight: 0 ", "setWeight: 5 "));
    edge.rig.turn("user1", "halt", FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), ROLLOUT);
}

#[test]
fn a_file_without_the_weights_is_unknown_and_a_repository_that_is_gone_keeps_them() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    fs::rename(edge.rig.path("deploy.git"), edge.rig.path("gone.git")).unwrap();
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0).says("no-data");
    fs::rename(edge.rig.path("gone.git"), edge.rig.path("deploy.git")).unwrap();
    edge.pull();
    edge.commit(edge.file, "kind: HTTPRoute\n");
    edge.rig.apply().exits(0).says("no-data").says("nothing is at");
    assert_eq!(edge.there(), "kind: HTTPRoute\n");
    assert!(Path::new(&edge.rig.kept()).exists());
}

#[test]
fn a_push_that_is_rejected_is_made_anew_and_one_that_always_is_holds() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    // Somebody was quicker, once: the hook says so.
    let hook = edge.rig.path("deploy.git/hooks/pre-receive");
    edge.hook("#!/bin/sh\n[ -e ../once ] && exit 0\ntouch ../once\necho somebody was quicker\nexit 1\n");
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route(95, 5));
    edge.hook("#!/bin/sh\necho closed for today\nexit 1\n");
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0).says("closed for today");
    assert_eq!(edge.there(), route(95, 5));
    edge.rig.observed(500);
    fs::remove_file(hook).unwrap();
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route(75, 25));
}

#[test]
fn a_lock_that_a_killed_process_left_behind_mends_itself() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    let clone = edge.rig.kept().join("targets/checkout-prod.git");
    let mut folders = vec![clone.join("refs/remotes")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                fs::write(entry.path().with_extension("lock"), "").unwrap();
            }
        }
    }
    edge.pull();
    edge.commit("README.md", "Read me\n");
    edge.rig.apply().exits(0).says("no-data");
    edge.rig.promote(FIRST);
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route(75, 25));
}
