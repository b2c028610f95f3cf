//! The black-box tests' world: a temporary folder with its own home, keys, repositories and clock, in which the real
//! `git` and `ssh-keygen` and the built program run. Nothing of the machine's own set-up is seen.
//!
//! Keys are derived from their owners' names and dates are counted, so every signature and every object id is the
//! same on each run: output can be compared to the byte.

#![allow(dead_code, reason = "each test binary uses its part of the kit")]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by a panic, and a world has clocks and programs"
)]

#[path = "../../crates/two-key-core/src/signature/tests/authenticator.rs"]
pub mod authenticator;
pub mod dice;
#[path = "../../crates/two-key-core/src/signature/tests/nistp256.rs"]
pub mod nistp256;
pub mod scene;
pub mod schema;
pub mod scratch;
pub mod second;
pub mod software;
pub mod stage;
pub mod web;

use std::{
    cell::Cell,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The governance repository's id in every world.
pub const REPOSITORY: &str = "6f1c0e2b9a4d4f70a1b2c3d4e5f60718";
/// The lease that most tests are about.
pub const LEASE: &str = "LEASE-20251027-021913";
/// The first second of every world: 2025-10-27T02:20:00Z.
pub const EPOCH: u64 = 1_761_531_600;

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Asserts the exit code, showing all that was said if it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Asserts that a text stands in what was said, on either stream.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let found = self.out.contains(text) || self.err.contains(text);
        assert!(found, "`{text}` is not in\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Asserts that a text does not stand in what was said.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        let found = self.out.contains(text) || self.err.contains(text);
        assert!(!found, "`{text}` is in\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

/// A world.
pub struct World {
    folder: TempDir,
    repo: PathBuf,
    clock: Cell<u64>,
}

/// The beginning of an applier's record, which says nothing but whose it is.
pub fn record_of(repository: &str) -> String {
    format!("{{\"repository\":\"{repository}\"}}\n")
}

impl World {
    /// A world with an empty repository, on branch `main`.
    pub fn empty() -> Self {
        Self::with_format("sha1")
    }

    /// The same with another object format.
    pub fn with_format(format: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("two-key-test").tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home/keys")).unwrap();
        let repo = folder.path().join("repo");
        let world = Self { folder, repo: repo.clone(), clock: Cell::new(EPOCH) };
        let format = format!("--object-format={format}");
        let path = repo.to_str().unwrap().to_owned();
        world.run(world.path(), "git", &["init", "--quiet", "--initial-branch=main", &format, &path], b"").exits(0);
        world
    }

    /// A world whose repository has the usual policy in its root commit, pinned.
    pub fn founded() -> Self {
        let world = Self::empty();
        world.found(&world.policy());
        world
    }

    /// The same with the usual lease proposed.
    pub fn proposed() -> Self {
        let world = Self::founded();
        world.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
        world
    }

    /// The same with the lease cosigned by both.
    pub fn authorized() -> Self {
        let world = Self::proposed();
        world.turn("user1", "cosign", LEASE);
        world.turn("cp14", "cosign", LEASE);
        world
    }

    /// The same with the lease started at its first tier.
    pub fn rolling() -> Self {
        let world = Self::authorized();
        world.turn("user1", "start", LEASE);
        world
    }

    /// An empty world that becomes one with a lease started at its first tier.
    pub fn rolled(self) -> Self {
        self.found(&self.policy());
        self.commit_file(&format!("leases/{LEASE}.yaml"), &lease(LEASE), "Propose a lease");
        for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("user1", "start")] {
            self.turn(name, action, LEASE);
        }
        self
    }

    /// The folder of everything.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The repository.
    pub fn repo(&self) -> &Path {
        &self.repo
    }

    /// Makes another folder the repository that helpers work in.
    pub fn enter(&mut self, repo: &Path) {
        repo.clone_into(&mut self.repo);
    }

    /// The usual policy: two humans, two agents, an applier.
    pub fn policy(&self) -> String {
        let key = |name: &str| self.public_key(name);
        format!(
            "two-key: 1\nrepository: {REPOSITORY}\nversion: 1\nprevious: null\nbranch: main\nprincipals:\n  \
             user1: {{role: human, keys: [\"{}\"]}}\n  user2: {{role: human, keys: [\"{}\"]}}\n  \
             cp14: {{role: agent, keys: [\"{}\"]}}\n  cp18: {{role: agent, keys: [\"{}\"]}}\n  \
             edge1: {{role: applier, keys: [\"{}\"]}}\nrules:\n  cosign: {{human: 1, agent: 1, agents: [cp14, cp18]}}\n  \
             promote: {{human: 1, agent: 1}}\n  policy: {{human: 1, agent: 1}}\nstart-up-to: 10\n\
             targets:\n  checkout-prod: {{driver: file, applier: edge1}}\n",
            key("user1"),
            key("user2"),
            key("cp14"),
            key("cp18"),
            key("edge1")
        )
    }

    /// Commits a policy as the root and pins that; returns its id.
    pub fn found(&self, policy: &str) -> String {
        let root = self.commit_file(".two-key/policy.yaml", policy, "Found the ledger");
        self.git(&["config", "two-key.root", &root]);
        root
    }

    /// Writes a file and commits it, unsigned; returns the commit's id.
    pub fn commit_file(&self, path: &str, content: &str, message: &str) -> String {
        let file = self.repo.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        self.git(&["add", "--", path]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.head()
    }

    /// The commit that `main` is at.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "refs/heads/main"])
    }

    /// The file of a principal's private key, derived from the name.
    pub fn key_file(&self, name: &str) -> PathBuf {
        let file = self.path().join("home/keys").join(name);
        if !file.exists() {
            write_key(&file, name);
        }
        file
    }

    /// The public key line of a principal, without a comment.
    pub fn public_key(&self, name: &str) -> String {
        self.key_file(name);
        let line = fs::read_to_string(self.path().join(format!("home/keys/{name}.pub"))).unwrap();
        line.split(' ').take(2).collect::<Vec<_>>().join(" ").trim_end().to_owned()
    }

    /// The fingerprint of a principal's key, as ssh-keygen prints it.
    pub fn fingerprint(&self, name: &str) -> String {
        let file = self.key_file(name);
        let said = self.run(self.path(), "ssh-keygen", &["-l", "-f", file.to_str().unwrap()], b"").exits(0).out;
        said.split(' ').nth(1).unwrap().to_owned()
    }

    /// Turns a principal's key: asks the program for the statement, signs with plain Git, moves `main`; the commit's id.
    #[track_caller]
    pub fn turn(&self, name: &str, action: &str, lease: &str) -> String {
        let message = self.two_key(&["statement", "--message", "--principal", name, action, lease]).exits(0).out;
        self.carry(name, &message)
    }

    /// Commits a message signed by a principal's key on `main`, leaving the tree as it is; the commit's id.
    #[track_caller]
    pub fn carry(&self, name: &str, message: &str) -> String {
        let commit = self.sign_commit(name, "main", message);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        commit
    }

    /// Makes a signed commit on a parent with that parent's tree; moves nothing.
    #[track_caller]
    pub fn sign_commit(&self, name: &str, parent: &str, message: &str) -> String {
        self.sign_tree(name, parent, &format!("{parent}^{{tree}}"), message)
    }

    /// Makes an applier's signed commit on a parent, with a record; moves nothing.
    #[track_caller]
    pub fn sign_record(&self, name: &str, parent: &str, record: &str) -> String {
        let git = |args: &[&str], input: String| {
            self.run(&self.repo, "git", args, input.as_bytes()).exits(0).out.trim_end().to_owned()
        };
        let blob = git(&["hash-object", "-w", "--stdin"], record.to_owned());
        let tree = git(&["mktree"], format!("100644 blob {blob}\trecord.json\n"));
        self.sign_tree(name, parent, &tree, "Observe\n")
    }

    fn sign_tree(&self, name: &str, parent: &str, tree: &str, message: &str) -> String {
        let key = format!("user.signingKey={}", self.key_file(name).display());
        let args = ["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-p", parent, "-F", "-", tree];
        self.run(&self.repo, "git", &args, message.as_bytes()).exits(0).out.trim_end().to_owned()
    }

    /// A detached signature in armour, namespace `two-key`, over a text.
    #[track_caller]
    pub fn detached(&self, name: &str, text: &str) -> String {
        let key = self.key_file(name);
        let args = ["-Y", "sign", "-n", "two-key", "-f", key.to_str().unwrap()];
        self.run(&self.repo, "ssh-keygen", &args, text.as_bytes()).exits(0).out
    }

    /// Runs Git in the repository; it must succeed. What it said, without the final line feed.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        let ran = self.run(&self.repo, "git", args, b"");
        assert_eq!(ran.code, 0, "git {args:?}\n{}{}", ran.out, ran.err);
        ran.out.trim_end_matches('\n').to_owned()
    }

    /// Runs the program in the repository.
    pub fn two_key(&self, args: &[&str]) -> Ran {
        self.two_key_in(&self.repo, args)
    }

    /// Runs the program in some folder.
    pub fn two_key_in(&self, folder: &Path, args: &[&str]) -> Ran {
        self.run(folder, env!("CARGO_BIN_EXE_git-two-key"), args, b"")
    }

    /// A library for programs for which the disk below a folder, `NO_ROOM`, is full.
    pub fn no_room(&self) -> PathBuf {
        let library = self.path().join("no_room.so");
        if !library.exists() {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kit/no_room.c");
            let args = ["-shared", "-fPIC", "-o", library.to_str().unwrap(), source.to_str().unwrap()];
            self.run(self.path(), "cc", &args, b"").exits(0);
        }
        library
    }

    /// Runs a program as somebody who may write everything here but a folder: root may write everywhere.
    pub fn as_nobody(&self, unwritable: &Path, at: &Path, program: &str, args: &[&str]) -> Ran {
        let run = |program: &str, args: &[&str]| self.run(at, program, args, b"");
        let (all, folder) = (self.path().to_str().unwrap(), unwritable.to_str().unwrap());
        let mut words = vec![program];
        let is_root = run("id", &["-u"]).out.trim() == "0";
        if is_root {
            words.splice(0..0, ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
            run("chown", &["-R", "65534:65534", all]).exits(0);
        }
        run("chmod", &["-R", "a-w", folder]).exits(0);
        words.extend(args);
        let ran = run(words[0], &words[1..]);
        run("chmod", &["-R", "u+w", folder]).exits(0);
        if is_root {
            run("chown", &["-R", "0:0", all]).exits(0);
        }
        ran
    }

    /// Runs a program with this world's environment and nothing else.
    pub fn run(&self, folder: &Path, program: &str, args: &[&str], input: &[u8]) -> Ran {
        self.run_with(folder, program, args, input, &[])
    }

    /// The same with more variables.
    pub fn run_with(&self, folder: &Path, program: &str, args: &[&str], input: &[u8], env: &[(&str, &str)]) -> Ran {
        let mut child = self
            .command(folder, program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        // A child that does not read its input ends before it is written; that is its own affair.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A command with this world's environment and nothing else; each one sees the clock a minute later.
    pub fn command(&self, folder: &Path, program: &str) -> Command {
        let now = self.clock.get();
        self.clock.set(now + 60);
        let date = format!("@{now} +0000");
        let own = Path::new(env!("CARGO_BIN_EXE_git-two-key")).parent().unwrap();
        let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path().join("home"))
            .env("TMPDIR", self.path())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // A file of its own: Git replaces what it writes, and root may replace even a device.
            .env("GIT_CONFIG_GLOBAL", self.path().join("home/.gitconfig"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "A Name")
            .env("GIT_AUTHOR_EMAIL", "name@example.org")
            .env("GIT_COMMITTER_NAME", "A Name")
            .env("GIT_COMMITTER_EMAIL", "name@example.org")
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date);
        command
    }
}

/// At the end of each test the second reader says of all repositories that have its ledger (people's, servers, forges, clones)
/// what the program says.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            second::agrees_below(self.path(), self.command(self.path(), "python3"));
        }
    }
}

/// The usual lease, under an id.
pub fn lease(id: &str) -> String {
    format!(
        "two-key: 1\nlease: {id}\nrepository: {REPOSITORY}\nintent: INT-2025-0042\nactor: cp20\n\
         summary: Roll out checkout 1.9.0\nartifacts: [{{name: checkout, digest: \"sha256:{}\"}}]\n\
         target: checkout-prod\nissued: 2025-10-27T02:19:13Z\nexpires: 2035-10-28T02:19:13Z\n\
         tiers: [{{weight: 5, bake: 15m}}, {{weight: 25, bake: 15m}}, {{weight: 100, bake: 15m}}]\non-expiry: rollback\n",
        "11".repeat(32)
    )
}

/// Writes an unencrypted OpenSSH private key whose secret is a hash of a name, and its public key.
fn write_key(file: &Path, name: &str) {
    let secret: [u8; 32] = Sha256::digest(format!("two-key test key of {name}").as_bytes()).into();
    let public = SigningKey::from_bytes(&secret).verifying_key().to_bytes();
    let mut blob = Vec::new();
    put(&mut blob, b"ssh-ed25519");
    put(&mut blob, &public);
    let mut private = vec![0, 0, 0, 7, 0, 0, 0, 7];
    private.extend_from_slice(&blob);
    put(&mut private, &[secret, public].concat());
    put(&mut private, name.as_bytes());
    for padding in 1.. {
        if private.len().is_multiple_of(8) {
            break;
        }
        private.push(padding);
    }
    let mut whole = b"openssh-key-v1\0".to_vec();
    put(&mut whole, b"none");
    put(&mut whole, b"none");
    put(&mut whole, b"");
    whole.extend_from_slice(&1_u32.to_be_bytes());
    put(&mut whole, &blob);
    put(&mut whole, &private);
    let armour = STANDARD.encode(whole);
    let lines: Vec<_> = armour.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let kind = "OPENSSH PRIVATE KEY";
    fs::write(file, format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))).unwrap();
    fs::write(file.with_extension("pub"), format!("ssh-ed25519 {} {name}\n", STANDARD.encode(&blob))).unwrap();
    let mut mode = fs::metadata(file).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
    fs::set_permissions(file, mode).unwrap();
}

/// Appends one length-prefixed string in SSH wire format.
fn put(out: &mut Vec<u8>, string: &[u8]) {
    out.extend_from_slice(&u32::try_from(string.len()).unwrap().to_be_bytes());
    out.extend_from_slice(string);
}
