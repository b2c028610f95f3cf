//! A temporary home with a repository, keys, and the programs that sign.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use git_two_key::{
    model::{Digest, PrincipalId, PublicKey, Statement},
    signature::ObjectFormat,
};
use tempfile::TempDir;

const DATE: &str = "1761531600 +0100";

/// A temporary home with a repository of one object format and keys of each program.
pub(crate) struct World {
    home: TempDir,
    pub(crate) format: ObjectFormat,
}

impl World {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        let world = Self { home: tempfile::tempdir().unwrap(), format };
        let name = match format {
            ObjectFormat::Sha1 => "sha1",
            ObjectFormat::Sha256 => "sha256",
        };
        world.git(&["init", "-q", "-b", "main", &format!("--object-format={name}")], b"");
        world.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "user1", "-f", "key"], b"");
        world.run("minisign", &["-G", "-W", "-p", "mini.pub", "-s", "mini.sec"], b"");
        let tree = world.git(&["mktree"], b"");
        let root = world.git(&["commit-tree", &tree], b"root\n");
        world.git(&["update-ref", "refs/heads/main", &root], b"");
        world
    }

    pub(crate) fn both() -> [Self; 2] {
        [Self::new(ObjectFormat::Sha1), Self::new(ObjectFormat::Sha256)]
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn try_run(&self, program: &str, args: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let mut child = Command::new(program)
            .args(args)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs([("GIT_AUTHOR_NAME", "User One"), ("GIT_AUTHOR_EMAIL", "user1@example"), ("GIT_AUTHOR_DATE", DATE)])
            .envs([("GIT_COMMITTER_NAME", "User One"), ("GIT_COMMITTER_EMAIL", "user1@example")])
            .env("GIT_COMMITTER_DATE", DATE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    pub(crate) fn run(&self, program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
        self.try_run(program, args, input).unwrap()
    }

    pub(crate) fn git(&self, args: &[&str], input: &[u8]) -> String {
        String::from_utf8(self.run("git", args, input)).unwrap().trim_end().to_owned()
    }

    /// The raw bytes of a signed commit of this message, made by plain Git.
    pub(crate) fn signed(&self, message: &str) -> Vec<u8> {
        let key = format!("user.signingkey={}", self.path("key").display());
        let args = ["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-p", "main", "main^{tree}"];
        let id = self.git(&args, message.as_bytes());
        self.run("git", &["cat-file", "commit", &id], b"")
    }

    pub(crate) fn unsigned(&self, message: &str) -> Vec<u8> {
        let id = self.git(&["commit-tree", "-p", "main", "main^{tree}"], message.as_bytes());
        self.run("git", &["cat-file", "commit", &id], b"")
    }

    pub(crate) fn key(&self) -> PublicKey {
        PublicKey::parse(&fs::read_to_string(self.path("key.pub")).unwrap().replace('\n', "")).unwrap()
    }

    pub(crate) fn minisign_key(&self) -> PublicKey {
        let file = fs::read_to_string(self.path("mini.pub")).unwrap();
        PublicKey::parse(&format!("minisign {}", file.lines().nth(1).unwrap())).unwrap()
    }

    /// The armour that ssh-keygen writes.
    pub(crate) fn ssh_sign(&self, message: &str, namespace: &str) -> String {
        fs::write(self.path("message"), message).unwrap();
        let _ = fs::remove_file(self.path("message.sig"));
        self.run("ssh-keygen", &["-q", "-Y", "sign", "-n", namespace, "-f", "key", "message"], b"");
        fs::read_to_string(self.path("message.sig")).unwrap()
    }

    /// The file that minisign writes.
    pub(crate) fn minisign(&self, message: &str, options: &[&str]) -> String {
        fs::write(self.path("message"), message).unwrap();
        let args = [&["-S", "-s", "mini.sec", "-m", "message", "-x", "message.mini"], options].concat();
        self.run("minisign", &args, b"");
        fs::read_to_string(self.path("message.mini")).unwrap()
    }
}

/// The principal of most tests.
pub(crate) fn user1() -> PrincipalId {
    PrincipalId::parse("user1").unwrap()
}

/// A statement about one lease.
pub(crate) fn statement(action: &str) -> Statement {
    let digest = Digest::of(b"lease");
    let tail = match action {
        "cosign" => format!("Two-Key-Digest: {digest}\n"),
        "start" => format!("Two-Key-Digest: {digest}\nTwo-Key-Step: 1\nTwo-Key-Tier: 5\n"),
        "promote" => format!("Two-Key-Digest: {digest}\nTwo-Key-Step: 2\nTwo-Key-Tier: 25\n"),
        "halt" => "Two-Key-Nonce: 000102030405060708090a0b0c0d0e0f\n".to_owned(),
        other => panic!("{other}"),
    };
    Statement::parse(&format!(
        "Two-Key-Statement: 1\nTwo-Key-Repository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\nTwo-Key-Action: {action}\n\
         Two-Key-Lease: LEASE-20251027-021913\n{tail}"
    ))
    .unwrap()
}
