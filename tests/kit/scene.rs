//! A server that has the hook, and people who push to it.

use std::{io::Write as _, path::PathBuf, process::Stdio};

use sha2::{Digest as _, Sha256};

use super::{LEASE, REPOSITORY, Ran, World, lease};

/// A world with a server that has the hook, and the lease proposed there.
pub struct Scene {
    /// People's repository, their keys and their clock.
    pub world: World,
    /// The server.
    pub server: PathBuf,
    /// The root commit.
    pub root: String,
}

impl Scene {
    /// With the lease proposed.
    pub fn new() -> Self {
        Self::at("server.git", "sha1", "files")
    }

    /// The same, at some path and with some formats.
    pub fn at(name: &str, objects: &str, refs: &str) -> Self {
        let world = World::with_format(objects);
        let policy = world.policy();
        Self::founded(world, &policy, name, objects, refs)
    }

    /// With another policy.
    pub fn under(policy: impl FnOnce(&World) -> String) -> Self {
        let world = World::empty();
        let policy = policy(&world);
        Self::founded(world, &policy, "server.git", "sha1", "files")
    }

    fn founded(world: World, policy: &str, name: &str, objects: &str, refs: &str) -> Self {
        let root = world.found(policy);
        world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
        let server = world.path().join(name);
        let (objects, refs) = (format!("--object-format={objects}"), format!("--ref-format={refs}"));
        let path = server.to_str().unwrap();
        world.git(&["init", "--quiet", "--bare", "--initial-branch=main", &objects, &refs, path]);
        world.two_key(&["hook", "install", path, "--root", &root]).exits(0).says("pre-receive");
        let scene = Self { world, server, root };
        // What the hook refuses is to be seen, and not what Git's own look at the form of objects refuses before it.
        scene.on_server(&["config", "receive.fsckObjects", "false"]).exits(0);
        scene.push(&["main"]).exits(0);
        scene
    }

    /// With the lease at 5 %.
    pub fn rolling() -> Self {
        let scene = Self::new();
        scene.start();
        scene.push(&["main"]).exits(0);
        scene
    }

    /// Both cosignatures, and the start.
    pub fn start(&self) {
        self.turn("user1", &forward("cosign", None, None));
        self.turn("cp14", &forward("cosign", None, None));
        self.turn("user1", &forward("start", Some(1), Some(5)));
    }

    /// A signed commit on the local main, of a principal.
    pub fn turn(&self, name: &str, fields: &str) -> String {
        self.world.carry(name, &message(name, fields))
    }

    /// One key for 25 %.
    pub fn promote(&self, name: &str) -> String {
        self.turn(name, &forward("promote", Some(2), Some(25)))
    }

    /// A halt on some parent, on no branch.
    pub fn halt(&self, name: &str, parent: &str, nonce: u8) -> String {
        self.world.sign_commit(name, parent, &message(name, &stop("halt", nonce)))
    }

    /// A rollout tag of the usual lease; its name below `refs/tags/`.
    pub fn tag(&self, suffix: &str, commit: &str) -> String {
        let name = format!("rollout/{LEASE}/{suffix}");
        self.world.git(&["tag", "--force", "--annotate", "--message", "A tag", &name, commit]);
        name
    }

    /// Pushes to the server.
    pub fn push(&self, refspecs: &[&str]) -> Ran {
        let server = self.server.to_str().unwrap();
        let args = [&["push", "--quiet", server][..], refspecs].concat();
        self.world.run(self.world.repo(), "git", &args, b"")
    }

    /// Speaks to the server's `git receive-pack` as any client could: moves `(old, new, ref)`, each its own transaction, with old
    /// values of the pusher's choosing; an empty one is none. What the server said.
    pub fn receives(&self, moves: &[(&str, &str, &str)]) -> String {
        let zero = "0".repeat(self.world.head().len());
        let id = |id: &str| if id.is_empty() { zero.clone() } else { id.to_owned() };
        let wanted: Vec<&str> = moves.iter().map(|(_, new, _)| *new).filter(|new| !new.is_empty()).collect();
        let mut pack = self.world.command(self.world.repo(), "git");
        pack.args(["pack-objects", "--quiet", "--revs", "--stdout"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut pack = pack.spawn().unwrap();
        pack.stdin.take().unwrap().write_all((wanted.join("\n") + "\n").as_bytes()).unwrap();
        let pack = pack.wait_with_output().unwrap().stdout;
        let mut input = Vec::new();
        for (at, (old, new, name)) in moves.iter().enumerate() {
            let wishes = if at == 0 { "\0report-status" } else { "" };
            let line = format!("{} {} {name}{wishes}", id(old), id(new));
            input.extend(format!("{:04x}{line}", line.len() + 4).bytes());
        }
        input.extend(b"0000");
        input.extend(pack);
        let ran = self.world.run(self.world.path(), "git", &["receive-pack", self.server.to_str().unwrap()], &input);
        format!("{}{}", ran.out, ran.err)
    }

    /// Runs Git on the server, as its owner and past its hooks.
    pub fn on_server(&self, args: &[&str]) -> Ran {
        let args = [&["-c", "core.hooksPath=/dev/null"], args].concat();
        self.world.run(&self.server, "git", &args, b"")
    }

    /// Where a ref is on the server; empty if it is not there.
    pub fn server_ref(&self, name: &str) -> String {
        self.on_server(&["rev-parse", "--verify", "--quiet", name]).out.trim().to_owned()
    }

    /// A push that is refused for a reason, and changes nothing.
    #[track_caller]
    pub fn refuses(&self, refspecs: &[&str], refname: &str, reason: &str) -> Ran {
        let before = self.on_server(&["for-each-ref"]).out;
        let ran = self.push(refspecs).exits(1).says(&format!("two-key: refused {refname}: {reason}: "));
        assert_eq!(self.on_server(&["for-each-ref"]).out, before);
        ran
    }
}

/// The usual lease's digest.
pub fn digest() -> String {
    digest_of(&lease(LEASE))
}

/// The digest that a statement names a file's bytes by.
pub fn digest_of(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// A statement's fields, of the usual lease.
pub fn forward(action: &str, step: Option<u32>, tier: Option<u8>) -> String {
    let step = step.map(|step| format!("Two-Key-Step: {step}\n")).unwrap_or_default();
    let tier = tier.map(|tier| format!("Two-Key-Tier: {tier}\n")).unwrap_or_default();
    format!("Two-Key-Action: {action}\nTwo-Key-Lease: {LEASE}\nTwo-Key-Digest: {}\n{step}{tier}", digest())
}

/// A stop's fields.
pub fn stop(action: &str, nonce: u8) -> String {
    format!("Two-Key-Action: {action}\nTwo-Key-Lease: {LEASE}\nTwo-Key-Nonce: {}\n", format!("{nonce:02x}").repeat(16))
}

/// A whole statement of these fields.
pub fn statement(fields: &str) -> String {
    format!("Two-Key-Statement: 1\nTwo-Key-Repository: {REPOSITORY}\n{fields}")
}

/// The message of a commit that carries it.
pub fn message(name: &str, fields: &str) -> String {
    format!("Turn a key\n\n{}Two-Key-Principal: {name}\n", statement(fields))
}

/// The governed branch.
pub const MAIN: &str = "refs/heads/main";
