//! Real servers on loopback: sshd, gitolite behind it, `git daemon`, `git http-backend`, and a hook that a forge
//! delegates to. Whatever way a push comes, it gets the same codes.

mod http;
mod served;
mod sshd;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::kit::web::free_port;
use served::Served;

use crate::kit::{
    self, Ran, World,
    scene::{MAIN, Scene, stop},
};

/// A way to reach a server: its address, and the variables that a client needs.
struct Way {
    url: String,
    env: Vec<(String, String)>,
}

impl Way {
    fn new(url: String) -> Self {
        Self { url, env: Vec::new() }
    }

    fn git(&self, world: &World, folder: &Path, args: &[&str]) -> Ran {
        let env: Vec<_> = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        world.run_with(folder, "git", args, b"", &env)
    }

    fn push(&self, scene: &Scene, refspecs: &[&str]) -> Ran {
        self.git(&scene.world, scene.world.repo(), &[&["push", "--quiet", &self.url], refspecs].concat())
    }

    /// A push that is refused for a reason, and changes nothing.
    #[track_caller]
    fn refuses(&self, scene: &Scene, refspecs: &[&str], name: &str, reason: &str) {
        let before = scene.on_server(&["for-each-ref"]).out;
        self.push(scene, refspecs).exits(1).says(&format!("two-key: refused {name}: {reason}: "));
        assert_eq!(scene.on_server(&["for-each-ref"]).out, before);
    }

    /// What the hook refuses and admits, by this way; and what a clone says of it.
    #[track_caller]
    fn judges_as_everywhere(&self, scene: &Scene) {
        let world = &scene.world;
        let tip = world.head();
        scene.promote("stranger");
        self.refuses(scene, &["main"], MAIN, "unknown-key");
        self.refuses(scene, &["main:refs/heads/topic", "main"], MAIN, "unknown-key");
        world.git(&["reset", "--quiet", "--hard", &tip]);
        self.refuses(scene, &[":main"], MAIN, "ref-deleted");
        self.refuses(scene, &[&format!("main:refs/replace/{tip}")], &format!("refs/replace/{tip}"), "foreign-ref");
        scene.promote("user1");
        let tag = scene.tag("2-promote-25", "main");
        self.refuses(scene, &["--atomic", "main", &tag], &format!("refs/tags/{tag}"), "missing-role");
        scene.promote("cp14");
        scene.tag("2-promote-25", "main");
        self.push(scene, &["--atomic", "main", &tag]).exits(0);
        assert_eq!(scene.server_ref(MAIN), world.head());
        let halt = scene.halt("cp18", "main", 1);
        let name = format!("refs/two-key/stops/{}/{halt}", kit::LEASE);
        self.push(scene, &[&format!("{halt}:{name}")]).exits(0);
        self.refuses(scene, &[&format!(":{name}")], &name, "ref-deleted");
        let clone = world.path().join("clone");
        self.git(world, world.path(), &["clone", "--quiet", &self.url, clone.to_str().unwrap()]).exits(0);
        world.run(&clone, "git", &["config", "two-key.root", &scene.root], b"").exits(0);
        world.two_key_in(&clone, &["verify", "--all"]).exits(0).says("everything counts");
    }
}

#[test]
fn a_plain_ssh_server_judges_every_push() {
    let scene = Scene::rolling();
    let shell = "git shell -c \\\"$SSH_ORIGINAL_COMMAND\\\"";
    let (_sshd, way) = sshd::serve(&scene.world, &[("user1", shell)], &format!("{}", scene.server.display()));
    way.judges_as_everywhere(&scene);
}

#[test]
fn gitolite_judges_every_push_beside_its_own_rules() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let home = world.path().join("gitolite");
    fs::create_dir(&home).unwrap();
    let server = home.join("repositories/governance.git");
    let gitolite = |args: &[&str]| {
        let env = [("HOME", home.to_str().unwrap()), ("USER", "git")];
        world.run_with(&home, "gitolite", args, b"", &env).exits(0)
    };
    gitolite(&["setup", "-a", "admin"]);
    let rules = "repo governance\n    RW = user1 cp14\n    R = edge1\n";
    fs::write(home.join(".gitolite/conf/gitolite.conf"), rules).unwrap();
    gitolite(&["compile"]);
    world.run(&server, "git", &["symbolic-ref", "HEAD", MAIN], b"").exits(0);
    world.two_key(&["hook", "install", server.to_str().unwrap(), "--root", &scene.root]).exits(0);
    // Set-ups of gitolite put its hooks in again; ours stays.
    gitolite(&["setup", "--hooks-only"]);
    let shell = |name: &str| format!("HOME={} /usr/share/gitolite3/gitolite-shell {name}", home.display());
    let (user1, edge1) = (shell("user1"), shell("edge1"));
    let (sshd, way) = sshd::serve(world, &[("user1", &user1), ("edge1", &edge1)], "/governance");
    let scene = Scene { server, ..scene };
    way.push(&scene, &["main"]).exits(0);
    way.judges_as_everywhere(&scene);
    // Who may push at all stays gitolite's to say.
    let reader = sshd.way(&scene.world, "edge1", "/governance");
    reader.push(&scene, &["main:refs/heads/other"]).exits(128).says("DENIED by fallthru");
}

#[test]
fn git_daemon_judges_every_push() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let port = free_port();
    let daemon = Path::new(&world.git(&["--exec-path"])).join("git-daemon");
    let mut command = world.command(world.path(), daemon.to_str().unwrap());
    command.args(["--reuseaddr", "--listen=127.0.0.1", "--export-all", "--enable=receive-pack"]);
    command.arg(format!("--port={port}")).arg(format!("--base-path={}", world.path().display()));
    let _daemon = Served::start(&mut command, port);
    Way::new(format!("git://127.0.0.1:{port}/server.git")).judges_as_everywhere(&scene);
}

#[test]
fn git_http_backend_judges_every_push() {
    let scene = Scene::rolling();
    let server = http::serve(&scene.world);
    Way::new(format!("{}/server.git", server.url)).judges_as_everywhere(&scene);
}

/// Forgejo and Gitea put a hook of their own there, which runs every program in `hooks/pre-receive.d/`.
#[test]
fn where_a_forge_delegates_hooks_ours_goes_beside_the_others() {
    let scene = Scene::rolling();
    let world = &scene.world;
    let hooks = scene.server.join("hooks");
    fs::create_dir(hooks.join("pre-receive.d")).unwrap();
    let write = |name: &str, script: &str| {
        fs::write(hooks.join(name), script).unwrap();
        fs::set_permissions(hooks.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let delegate = "#!/usr/bin/env bash\ndata=$(cat)\ncodes=\"\"\nfor hook in \"$(dirname \"$0\")/pre-receive.d\"/*; do\n  \
                    test -x \"$hook\" || continue\n  echo \"$data\" | \"$hook\"\n  codes=\"$codes $?\"\ndone\n\
                    for code in $codes; do [ \"$code\" = 0 ] || exit \"$code\"; done\n";
    let path = scene.server.to_str().unwrap();
    // A folder that nothing runs is no place for a hook.
    world.two_key(&["hook", "install", path]).exits(0).says("hooks/pre-receive\n");
    write("pre-receive", delegate);
    write("pre-receive.d/forge", "#!/bin/sh\ncat >/dev/null\n");
    world.two_key(&["hook", "install", path]).exits(0).says("hooks/pre-receive.d/two-key");
    assert_eq!(fs::read_to_string(hooks.join("pre-receive")).unwrap(), delegate);
    Way::new(path.to_owned()).judges_as_everywhere(&scene);
    world.two_key_in(&scene.server, &["doctor"]).never_says("the pre-receive hook is not installed");
    fs::remove_file(hooks.join("pre-receive.d/two-key")).unwrap();
    world.two_key_in(&scene.server, &["doctor"]).exits(1).says("the pre-receive hook is not installed");
    // Without a verdict nothing governed moves.
    let tip = scene.server_ref(MAIN);
    scene.turn("cp18", &stop("pause", 3));
    assert_ne!(scene.push(&["main"]).says("unjudged: ").code, 0);
    assert_eq!(scene.server_ref(MAIN), tip);
    world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    world.two_key(&["hook", "install", path]).exits(0);
    // A halt is no less one for coming by another way.
    scene.turn("cp18", &stop("halt", 2));
    scene.push(&["main"]).exits(0);
}
