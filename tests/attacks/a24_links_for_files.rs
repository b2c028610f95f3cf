//! Gitlinks and symbolic links where files should be
//!
//! Only regular files are read.

use crate::dsl::*;

/// Commits a tree in which a path is an entry of some mode.
fn entry(scene: &Scene, mode: &str, object: &str, path: &str) {
    let world = &scene.world;
    if path == ".two-key" {
        world.git(&["rm", "--quiet", "--cached", "-r", ".two-key"]);
    }
    world.git(&["update-index", "--add", "--cacheinfo", &format!("{mode},{object},{path}")]);
    world.git(&["commit", "--quiet", "--message", "A link"]);
}

#[track_caller]
fn refused(reason: &str, mode: &'static str, path: &'static str) {
    let scene = Scene::rolling();
    scene.promote("user1");
    let object = if mode == "160000" {
        scene.world.head()
    } else {
        let args = ["hash-object", "-w", "--stdin"];
        scene.world.run(scene.world.repo(), "git", &args, b"/etc/passwd").exits(0).out.trim().to_owned()
    };
    scene.never_counts(reason, |scene| entry(scene, mode, &object, path), |scene| drop(scene.promote("cp14")));
}

/// A lease that is a gitlink.
#[test]
fn a_gitlink_for_a_lease() {
    refused("malformed", "160000", "leases/x.yaml");
}

/// A lease that is a symbolic link.
#[test]
fn a_symbolic_link_for_a_lease() {
    refused("malformed", "120000", "leases/x.yaml");
}

/// A policy that is a symbolic link.
#[test]
fn a_symbolic_link_for_the_policy() {
    refused("malformed", "120000", ".two-key/policy.yaml");
}

/// A policy's folder that is a gitlink.
#[test]
fn a_gitlink_for_the_policys_folder() {
    refused("malformed", "160000", ".two-key");
}
