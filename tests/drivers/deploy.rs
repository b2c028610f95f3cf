//! The git driver, with a real deploy repository.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::rig::{FIRST, NEXT, Rig};

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
    edge.rig.apply().exits(0).says("verified");
    assert_eq!(edge.there(), route(0, 100));
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
    edge.commit(edge.file, &route(50, 50).replace("# both", "# both, and no third"));
    edge.rig.apply().exits(0);
    assert_eq!(edge.there(), route(95, 5).replace("# both", "# both, and no third"));
    assert!(edge.rig.events().contains(&"DRIFTED".to_owned()));
    // What was there before the lease is not what is there after it: somebody has to look.
    edge.rig.turn("user2", "rollback", FIRST);
    edge.rig.apply().exits(1).says("rollback-failed");
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
