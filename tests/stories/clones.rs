//! What is signed in a clone gets to the remote, whatever somebody without a key makes of the refs there: on a server with our
//! hooks and on one without, a forge.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::kit::{
    Ran, World, lease,
    scene::{digest_of, statement},
};

const NOTES: &str = "refs/notes/two-key/cp14";

/// Who looks at what is pushed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    /// Our hooks.
    Hooked,
    /// Nobody.
    Forge,
}

/// People's repository, a server, and somebody else's clone of it.
struct Scene {
    world: World,
    server: PathBuf,
    other: PathBuf,
}

impl Scene {
    /// With some leases proposed.
    fn with(kind: Server, leases: &[&str]) -> Self {
        let world = World::founded();
        for id in leases {
            world.commit_file(&format!("leases/{id}.yaml"), &lease(id), "Propose a lease");
        }
        let (server, other) = (world.path().join("server.git"), world.path().join("other"));
        world.git(&["clone", "--quiet", "--bare", ".", server.to_str().unwrap()]);
        world.git(&["remote", "add", "origin", server.to_str().unwrap()]);
        world.git(&["fetch", "--quiet", "origin"]);
        world.git(&["branch", "--quiet", "--set-upstream-to=origin/main", "main"]);
        world.git(&["clone", "--quiet", server.to_str().unwrap(), other.to_str().unwrap()]);
        let root = world.git(&["config", "two-key.root"]);
        world.run(&other, "git", &["config", "two-key.root", &root], b"").exits(0);
        let mirrored = "+refs/notes/two-key/*:refs/two-key-remote/origin/notes/two-key/*";
        world.run(&other, "git", &["config", "--add", "remote.origin.fetch", mirrored], b"").exits(0);
        if kind == Server::Hooked {
            world.two_key_in(&server, &["hook", "install", "--root", &root]).exits(0);
        }
        Self { world, server, other }
    }

    /// Runs the program with a principal's key.
    fn by(&self, who: &str, args: &[&str]) -> Ran {
        let key = self.world.key_file(who);
        self.world.two_key(&[args, &["--key", key.to_str().unwrap()]].concat())
    }

    /// Runs Git on the server, as its owner and past its hooks.
    fn there(&self, args: &[&str]) -> String {
        let args = [&["-c", "core.hooksPath=/dev/null"], args].concat();
        self.world.run(&self.server, "git", &args, b"").exits(0).out.trim_end().to_owned()
    }

    /// Makes an object on the server.
    fn made(&self, args: &[&str], input: &[u8]) -> String {
        self.world.run(&self.server, "git", args, input).exits(0).out.trim_end().to_owned()
    }

    /// A commit of somebody's on the server, of a tree of these lines.
    fn committed(&self, tree: &str) -> String {
        let tree = self.made(&["mktree"], tree.as_bytes());
        self.made(&["commit-tree", "-m", "Somebody's", &tree], b"")
    }

    /// The file of a lease.
    fn file(&self, id: &str) -> String {
        self.world.git(&["rev-parse", &format!("main:leases/{id}.yaml")])
    }

    /// Whether somebody else who fetches sees a vote of cp14's for a lease, by note.
    fn sees(&self, id: &str) -> bool {
        self.world.run(&self.other, "git", &["fetch", "--quiet", "origin"], b"").exits(0);
        self.world.two_key_in(&self.other, &["show", id]).exits(0).out.contains("by note: cp14")
    }
}

/// What stands at the server's notes ref of cp14, instead of what cp14 pushed there.
fn whatever_stands_there(kind: Server, stands: &[fn(&Scene)], verb: fn(&Scene, &str)) {
    let ids: Vec<String> = (0..=stands.len()).map(|at| format!("L-{at}")).collect();
    let scene = Scene::with(kind, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    scene.by("cp14", &["sign", "L-0", "--as", "note", "--push"]).exits(0).says("pushed to origin");
    for (at, stand) in stands.iter().enumerate() {
        stand(&scene);
        let new = &ids[at + 1];
        verb(&scene, new);
        for (which, id) in ids[..=at + 1].iter().enumerate() {
            assert!(scene.sees(id), "case {at}: the vote for {id} ({which}) is not there");
        }
    }
    scene.world.two_key(&["sync"]).exits(0);
    assert_eq!(scene.there(&["rev-parse", NOTES]), scene.world.git(&["rev-parse", NOTES]));
    // With Git's own reading, all of them are there.
    for id in &ids {
        let note = scene.there(&["notes", "--ref", NOTES, "show", &scene.file(id)]);
        assert!(note.contains(&format!("Two-Key-Lease: {id}\n")), "{note}");
    }
}

/// A copy of a vote, in a history of its own.
fn copied(scene: &Scene) {
    let note = scene.world.git(&["notes", "--ref", NOTES, "show", &scene.file("L-0")]);
    let blob = scene.made(&["hash-object", "-w", "--stdin"], note.as_bytes());
    let commit = scene.committed(&format!("100644 blob {blob}\t{}\n", scene.file("L-0")));
    scene.there(&["update-ref", NOTES, &commit]);
}

fn empty(scene: &Scene) {
    scene.there(&["update-ref", NOTES, &scene.committed("")]);
}

fn gone(scene: &Scene) {
    scene.there(&["update-ref", "-d", NOTES]);
}

fn a_blob(scene: &Scene) {
    let blob = scene.made(&["hash-object", "-w", "--stdin"], b"what\n");
    scene.there(&["update-ref", NOTES, &blob]);
}

fn a_tree(scene: &Scene) {
    let tree = scene.made(&["mktree"], b"");
    scene.there(&["update-ref", NOTES, &tree]);
}

fn a_tag(scene: &Scene) {
    let main = scene.there(&["rev-parse", "main"]);
    let text = format!("object {main}\ntype commit\ntag t\ntagger A <a@example.org> 1761531600 +0000\n\nt\n");
    scene.there(&["update-ref", NOTES, &scene.made(&["mktag"], text.as_bytes())]);
}

fn main_itself(scene: &Scene) {
    scene.there(&["update-ref", NOTES, "main"]);
}

/// A tree that Git does not check out, with notes that nobody reads where the votes were.
fn a_hostile_tree(scene: &Scene) {
    let blob = scene.made(&["hash-object", "-w", "--stdin"], b"\xff\xfe\n");
    let large = scene.made(&["hash-object", "-w", "--stdin"], &vec![b'x'; (1 << 20) + 1]);
    let git = scene.made(&["mktree"], format!("100644 blob {blob}\tconfig\n").as_bytes());
    let lines = ["L-0", "L-1"].map(|id| format!("100644 blob {blob}\t{}\n", scene.file(id))).concat();
    let tree = format!(
        "{lines}100644 blob {large}\t{}\n100644 blob {blob}\tREADME\n040000 tree {git}\t.git\n",
        scene.file("L-2")
    );
    scene.there(&["update-ref", NOTES, &scene.committed(&tree)]);
}

/// Notes that nobody reads where the votes were, or are to be.
fn unreadable_notes(scene: &Scene) {
    let blob = scene.made(&["hash-object", "-w", "--stdin"], b"\xff\xfe\n");
    let large = scene.made(&["hash-object", "-w", "--stdin"], &vec![b'x'; (1 << 20) - 1]);
    let files: Vec<_> = ["L-0", "L-1", "L-2", "L-3", "L-4"].map(|id| scene.file(id)).into();
    let line = |(at, file): (usize, &String)| {
        let id = if at % 2 == 0 { &blob } else { &large };
        format!("100644 blob {id}\t{file}\n")
    };
    let lines = files.iter().enumerate().map(line).collect::<Vec<_>>().concat();
    scene.there(&["update-ref", NOTES, &scene.committed(&lines)]);
}

/// Signatures over something else, where the votes are or are to be, and on an object that comes last: more than anybody looks
/// at.
fn buried(scene: &Scene) {
    let ids = ["L-0", "L-1", "L-2"];
    let all = ids.map(|id| {
        let note = scene.world.git(&["notes", "--ref", NOTES, "show", &scene.file("L-0")]);
        let digest = digest_of(&lease(id));
        let text = statement(&format!("Two-Key-Action: cosign\nTwo-Key-Lease: {id}\nTwo-Key-Digest: {digest}\n"));
        let junk = |at: i32| text.clone() + &scene.world.detached("cp14", &format!("{text}{at}\n")) + "\n";
        let junk: String = (0..5).map(junk).collect();
        let before = if id == "L-0" { note + "\n\n" } else { String::new() };
        (scene.file(id), format!("{before}{junk}"))
    });
    let last = ("f".repeat(40), all.iter().map(|(_, note)| note.as_str()).collect::<Vec<_>>().join("\n"));
    let line = |(file, note): &(String, String)| {
        let blob = scene.made(&["hash-object", "-w", "--stdin"], note.as_bytes());
        format!("100644 blob {blob}\t{file}\n")
    };
    let lines: String = all.iter().chain([&last]).map(line).collect();
    scene.there(&["update-ref", NOTES, &scene.committed(&lines)]);
}

/// In the clone itself, notes that no server takes.
fn what_no_server_takes(scene: &Scene) {
    let (file, repo) = (scene.file("L-0"), scene.world.repo());
    let blob: Vec<u8> =
        (0..file.len()).step_by(2).map(|at| u8::from_str_radix(&file[at..at + 2], 16).unwrap()).collect();
    let tree = [b"40000 no-tree\0".as_slice(), &blob].concat();
    let args = ["hash-object", "-t", "tree", "-w", "--literally", "--stdin"];
    let tree = scene.world.run(repo, "git", &args, &tree).exits(0).out;
    let commit = scene.world.git(&["commit-tree", "-m", "Somebody's", tree.trim()]);
    scene.world.git(&["update-ref", NOTES, &commit]);
    scene.world.run(repo, "git", &["push", "--quiet", "origin", &format!("{NOTES}:refs/heads/x")], b"").exits(1);
}

fn sign_and_push(scene: &Scene, id: &str) {
    scene.by("cp14", &["sign", id, "--as", "note", "--push"]).exits(0).says("pushed to origin");
}

fn sign_and_sync(scene: &Scene, id: &str) {
    scene.by("cp14", &["sign", id, "--as", "note", "--no-push"]).exits(0);
    scene.world.two_key(&["doctor"]).exits(1).says("votes: ").says(id).says("git two-key sync");
    scene.world.two_key(&["sync"]).exits(0).says("pushed to origin");
    scene.world.two_key(&["doctor"]).exits(1).never_says("votes: ");
}

#[test]
fn votes_by_note_get_to_a_server_with_hooks_whatever_stands_there() {
    whatever_stands_there(Server::Hooked, &[copied, empty, gone, a_blob, a_tag, what_no_server_takes], sign_and_push);
}

#[test]
fn votes_by_note_get_to_a_forge_whatever_stands_there() {
    let stands: [fn(&Scene); 9] =
        [copied, empty, gone, a_blob, a_tree, main_itself, a_hostile_tree, unreadable_notes, what_no_server_takes];
    whatever_stands_there(Server::Forge, &stands, sign_and_push);
}

#[test]
fn votes_by_note_get_to_a_forge_whatever_they_are_buried_under() {
    whatever_stands_there(Server::Forge, &[buried, buried], sign_and_push);
}

#[test]
fn sync_brings_votes_by_note_too() {
    for server in [Server::Hooked, Server::Forge] {
        whatever_stands_there(server, &[copied, gone], sign_and_sync);
    }
}

/// A clone of the server that is made in some way, pinned.
fn cloned(scene: &Scene, name: &str, how: &[&str]) -> PathBuf {
    let path = scene.world.path().join(name);
    let args = [&["clone", "--quiet"], how, &[scene.server.to_str().unwrap(), path.to_str().unwrap()]].concat();
    scene.world.git(&args);
    let root = scene.world.git(&["config", "two-key.root"]);
    scene.world.run(&path, "git", &["config", "two-key.root", &root], b"").exits(0);
    path
}

/// A stop of a lease by user1, in some clone.
fn halts(scene: &Scene, clone: &Path, id: &str) -> Ran {
    let key = scene.world.key_file("user1");
    scene.world.two_key_in(clone, &["halt", id, "--push", "--key", key.to_str().unwrap()])
}

/// Whether the server has a stop of a lease, on main or under a name of its own.
fn has_stop(scene: &Scene, id: &str) -> bool {
    let log = scene.there(&["log", "--all", "--format=%B"]);
    log.contains(&format!("Two-Key-Action: halt\nTwo-Key-Lease: {id}\n"))
}

#[test]
fn a_stop_comes_from_every_clone_whatever_keeps_it() {
    let scene = Scene::with(Server::Hooked, &["L-0", "L-1", "L-2"]);
    let git = |clone: &Path, args: &[&str]| scene.world.run(clone, "git", args, b"").exits(0);
    let away = |clone: &Path| drop(git(clone, &["config", "remote.origin.url", "/nowhere"]));
    let back = |clone: &Path| drop(git(clone, &["config", "remote.origin.url", scene.server.to_str().unwrap()]));
    // One that was made for another branch has no main.
    scene.there(&["branch", "topic", "main"]);
    let topic = cloned(&scene, "topic", &["--branch=topic"]);
    halts(&scene, &topic, "L-0").exits(0).says("the local main is not here").says("pushed to origin");
    assert!(has_stop(&scene, "L-0"));
    // A hook of the clone's own, which runs somebody's tests; it still has a say in everything else.
    let hook = topic.join(".git/hooks/pre-push");
    fs::write(&hook, "#!/bin/sh\necho tests failed >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    halts(&scene, &topic, "L-1").exits(0);
    assert!(has_stop(&scene, "L-1"));
    scene.world.run(&topic, "git", &["push", "origin", "HEAD:refs/heads/other"], b"").exits(1).says("tests failed");
    // A mirror: its remote takes no refspecs, and its fetches map everything onto what is here.
    let mirror = cloned(&scene, "mirror", &["--mirror"]);
    away(&mirror);
    halts(&scene, &mirror, "L-2").exits(3).says("signed and kept here");
    back(&mirror);
    for args in [
        &["remote", "update", "--prune"][..],
        &["fetch", "--quiet", "--prune", "--prune-tags"],
        &["gc", "--quiet", "--prune=now"],
    ] {
        git(&mirror, args);
    }
    assert!(!has_stop(&scene, "L-2"));
    scene.world.two_key_in(&mirror, &["sync"]).exits(0).says("delivered a stop that was signed here before");
    assert!(has_stop(&scene, "L-2"));
    // Without what keeps fetches off, doctor asks for it.
    git(&mirror, &["config", "--unset-all", "remote.origin.fetch", "^\\^"]);
    scene
        .world
        .two_key_in(&mirror, &["doctor"])
        .exits(1)
        .says("mirror: `git fetch origin` prunes what was signed here");
    git(&mirror, &["config", "--add", "remote.origin.fetch", "^refs/two-key-local/*"]);
    scene.world.two_key_in(&mirror, &["doctor"]).never_says("mirror: ");
}

/// On a forge anybody makes refs where clones keep what is theirs, and a clone that mirrors all refs has them.
#[test]
fn a_stop_comes_from_a_mirror_whose_remote_has_refs_in_the_way_of_what_is_kept_there() {
    let scene = Scene::with(Server::Forge, &["L-0", "L-1", "L-2"]);
    for (id, junk) in [
        ("L-0", "refs/two-key-local/other"),
        ("L-1", "refs/two-key-local/stops"),
        ("L-2", "refs/two-key-local/stops/L-2"),
    ] {
        scene.there(&["update-ref", junk, "main"]);
        let mirror = cloned(&scene, id, &["--mirror"]);
        halts(&scene, &mirror, id).exits(0).says("pushed to origin").never_says("could not be kept");
        assert!(has_stop(&scene, id), "{junk}");
        scene.there(&["update-ref", "-d", junk]);
    }
}

#[test]
fn a_stop_that_cannot_be_kept_is_delivered_all_the_same() {
    let scene = Scene::with(Server::Hooked, &["L-0", "L-1"]);
    let clone = cloned(&scene, "clone", &[]);
    let hook = clone.join(".git/hooks/reference-transaction");
    fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    halts(&scene, &clone, "L-0").exits(0).says("could not be kept here").says("pushed to origin");
    assert!(has_stop(&scene, "L-0"));
    // Where it is not to be delivered, nobody would have it.
    let key = scene.world.key_file("user1");
    scene.world.two_key_in(&clone, &["halt", "L-1", "--no-push", "--key", key.to_str().unwrap()]).exits(3);
    fs::remove_file(&hook).unwrap();
    halts(&scene, &clone, "L-1").exits(0).never_says("could not be kept here");
    assert!(has_stop(&scene, "L-1"));
}

#[test]
fn what_tidies_a_clone_up_takes_no_stop_and_no_vote_away() {
    for format in ["files", "reftable"] {
        let scene = Scene::with(Server::Forge, &["L-0", "L-1"]);
        let clone = cloned(&scene, "clone", &[&format!("--ref-format={format}")]);
        let git = |args: &[&str]| drop(scene.world.run(&clone, "git", args, b"").exits(0));
        let key = scene.world.key_file("cp14");
        scene.world.two_key_in(&clone, &["sign", "L-0", "--no-push", "--key", key.to_str().unwrap()]).exits(0);
        git(&["config", "remote.origin.url", "/nowhere"]);
        // Signed in a worktree of its own.
        git(&["worktree", "add", "--quiet", "../tree", "--detach"]);
        halts(&scene, &scene.world.path().join("tree"), "L-1").exits(3);
        git(&["config", "remote.origin.url", scene.server.to_str().unwrap()]);
        git(&["worktree", "remove", "--force", "../tree"]);
        git(&["reset", "--quiet", "--hard", "origin/main"]);
        git(&["fetch", "--quiet", "--prune", "--prune-tags"]);
        git(&["remote", "prune", "origin"]);
        git(&["pack-refs", "--all", "--prune"]);
        git(&["reflog", "expire", "--expire=now", "--all"]);
        git(&["gc", "--quiet", "--prune=now"]);
        scene.world.two_key_in(&clone, &["sync"]).exits(0).says("with 1 vote that was signed here");
        assert!(has_stop(&scene, "L-1"), "{format}");
        assert!(scene.there(&["log", "main", "--format=%B"]).contains("Two-Key-Action: cosign"), "{format}");
    }
}

#[test]
fn a_stop_comes_from_a_clone_that_left_files_and_folders_out() {
    let scene = Scene::with(Server::Hooked, &["L-0", "L-1", "L-2"]);
    scene.there(&["config", "uploadpack.allowFilter", "true"]);
    let hows: [&[&str]; 3] = [&["--bare", "--filter=blob:none"], &["--filter=tree:0"], &["--bare", "--filter=tree:0"]];
    for (at, how) in hows.iter().enumerate() {
        let id = format!("L-{at}");
        let clone = cloned(&scene, &id, &[&["--no-local"], *how].concat());
        halts(&scene, &clone, &id).exits(0).says("pushed to origin as refs/two-key/stops/");
        assert!(has_stop(&scene, &id), "{how:?}");
    }
    scene.world.two_key_in(&scene.server, &["verify", "--all"]).exits(0).says("everything counts");
}

#[test]
fn a_stop_comes_from_a_shallow_clone_of_somebody_who_has_another_name_than_at_the_root() {
    let scene = Scene::with(Server::Hooked, &["L-0"]);
    let public = format!("{}.pub", scene.world.key_file("user1").display());
    for change in [&["key", "remove", "user1", &public][..], &["key", "add", "alice", &public, "--role", "human"]] {
        scene.by("user2", &[change, &["--push"]].concat()).exits(0);
        scene.by("user2", &["sign", "policy", "--push"]).exits(0);
        scene.by("cp14", &["sign", "policy", "--push"]).exits(0);
    }
    let clone = cloned(&scene, "shallow", &["--no-local", "--depth=1"]);
    // Nothing here says which name is the right one.
    let ran = halts(&scene, &clone, "L-0").exits(0).says("alice: Halt L-0").says("pushed to origin");
    ran.says("warning: two-key: refused").says("wrong-principal");
    assert!(has_stop(&scene, "L-0"));
    let outbox = ["for-each-ref", "--format=%(refname)", "refs/two-key-local/stops"];
    assert_eq!(scene.world.run(&clone, "git", &outbox, b"").exits(0).out.lines().count(), 0, "nothing is undelivered");
}

#[test]
fn a_stop_goes_where_a_server_shows_it() {
    let scene = Scene::with(Server::Hooked, &["L-0", "L-1"]);
    let clone = cloned(&scene, "clone", &[]);
    let hook = scene.server.join("hooks/update");
    fs::write(&hook, "#!/bin/sh\n[ $1 != refs/heads/main ] || { echo protected >&2; exit 1; }\n").unwrap();
    fs::set_permissions(&hook, <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755)).unwrap();
    let doctor = || scene.world.two_key_in(&scene.server, &["doctor"]);
    doctor().never_says("hideRefs");
    halts(&scene, &clone, "L-0").exits(0).says("pushed to origin as refs/two-key/stops/L-0/");
    scene.there(&["config", "uploadpack.hideRefs", "refs/two-key"]);
    halts(&scene, &clone, "L-1").exits(0).says("pushed to origin as refs/heads/two-key-stop-");
    let mend = "git config --unset uploadpack.hideRefs '^refs/two-key$'";
    doctor().exits(1).says("uploadpack.hideRefs hides refs/two-key").says(mend);
    scene.world.run(&scene.server, "sh", &["-c", mend], b"").exits(0);
    doctor().never_says("hideRefs");
}

#[test]
fn a_stop_that_only_a_clone_has_is_not_said_to_be_obeyed() {
    let scene = Scene::with(Server::Forge, &["L-0"]);
    let clone = cloned(&scene, "clone", &[]);
    let bundle = scene.world.path().join("x.bundle");
    scene.there(&["bundle", "create", "--quiet", bundle.to_str().unwrap(), "main"]);
    let from = |url: &Path| {
        scene.world.run(&clone, "git", &["remote", "set-url", "origin", url.to_str().unwrap()], b"").exits(0);
        scene.world.two_key_in(&clone, &["sync"])
    };
    from(&bundle).exits(0);
    // Nobody pushes to a bundle.
    halts(&scene, &clone, "L-0").exits(3).says("signed and kept here");
    from(&bundle).exits(3).never_says("obey");
    from(&scene.server).exits(0).says("delivered a stop that was signed here before");
    assert!(has_stop(&scene, "L-0"));
    // Nor is it said where there is nothing else to bring, as the lease is withdrawn already.
    scene.world.run(&clone, "git", &["config", "remote.origin.receivepack", "/bin/false"], b"").exits(0);
    halts(&scene, &clone, "L-0").exits(3).says("signed and kept here");
    scene.world.run(&clone, "git", &["reset", "--quiet", "--hard", "origin/main"], b"").exits(0);
    from(&scene.server).exits(3).says("does not have every stop");
    scene.world.run(&clone, "git", &["config", "--unset", "remote.origin.receivepack"], b"").exits(0);
    from(&scene.server).exits(0).says("delivered a stop that was signed here before");
}
