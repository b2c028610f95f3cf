//! A repository in a temporary folder, made by real Git with fixed dates and without anybody's configuration.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may stop, and runs programs")]

use std::{
    cell::Cell,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use git_two_key::{git::Repository, model::Oid};

/// A scratch repository.
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
    path: PathBuf,
    clock: Cell<u64>,
}

impl Scratch {
    /// An empty SHA-1 repository.
    pub(crate) fn new() -> Self {
        Self::with("sha1", "files", "repository")
    }

    /// An empty repository of some kind in a folder of some name.
    pub(crate) fn with(format: &str, refs: &str, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        let scratch = Self { folder, path, clock: Cell::new(1_761_530_400) };
        let (format, refs) = (format!("--object-format={format}"), format!("--ref-format={refs}"));
        scratch.git(&["init", "-q", "-b", "main", &format, &refs, "."]);
        scratch
    }

    /// The worktree.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path beside the worktree.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The repository, as the library sees it.
    pub(crate) fn repository(&self) -> Repository {
        Repository::open(&self.path).unwrap()
    }

    /// Git here, hermetic.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let date = format!("{} +0000", self.clock.get());
        command
            .current_dir(&self.path)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "A")
            .env("GIT_AUTHOR_EMAIL", "a@example.com")
            .env("GIT_COMMITTER_NAME", "A")
            .env("GIT_COMMITTER_EMAIL", "a@example.com")
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date)
            .args(if program == "git" { &["-c", "advice.graftFileDeprecated=false"][..] } else { &[] });
        command
    }

    /// Runs Git, which must succeed; what it printed.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.git_with(args, b"")
    }

    /// Runs Git with something on its standard input.
    pub(crate) fn git_with(&self, args: &[&str], input: &[u8]) -> String {
        let mut command = self.command("git");
        let mut child =
            command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes an SSH key without a passphrase beside the worktree.
    pub(crate) fn ssh_key(&self, name: &str) -> PathBuf {
        let path = self.beside(name);
        let mut command = self.command("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path);
        assert!(command.status().unwrap().success());
        path
    }

    /// Makes a minisign key without a password beside the worktree.
    pub(crate) fn minisign_key(&self, name: &str) -> PathBuf {
        let path = self.beside(name);
        let mut command = self.command("minisign");
        command.args(["-G", "-W", "-s"]).arg(&path).arg("-p").arg(path.with_extension("pub"));
        assert!(command.output().unwrap().status.success());
        path
    }

    /// The id that a revision names.
    pub(crate) fn id(&self, revision: &str) -> Oid {
        Oid::parse(self.git(&["rev-parse", "--verify", revision]).trim()).unwrap()
    }

    /// Writes a file of the worktree.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a symbolic link in the worktree.
    pub(crate) fn symlink(&self, path: &str, target: &str) {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// Adds a gitlink to the index, to a commit that is nowhere.
    pub(crate) fn gitlink(&self, path: &str) {
        fs::create_dir_all(self.path.join(path)).unwrap();
        self.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},{path}", "2".repeat(40))]);
    }

    /// Removes a file of the worktree.
    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path.join(path)).unwrap();
    }

    /// Empties the worktree.
    pub(crate) fn clear(&self) {
        for entry in fs::read_dir(&self.path).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() == ".git" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                fs::remove_dir_all(entry.path()).unwrap();
            } else {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// Commits the whole worktree, one second after the commit before.
    pub(crate) fn commit(&self, message: &str) -> Oid {
        self.git(&["add", "-A", "."]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.clock.set(self.clock.get() + 1);
        self.id("HEAD")
    }

    /// Writes an object of whatever bytes.
    pub(crate) fn raw(&self, kind: &str, bytes: &[u8]) -> Oid {
        let id = self.git_with(&["hash-object", "-t", kind, "-w", "--literally", "--stdin"], bytes);
        Oid::parse(id.trim()).unwrap()
    }

    /// Writes a tree from `git mktree` lines.
    pub(crate) fn mktree(&self, entries: &[String]) -> Oid {
        let input = entries.join("\n") + if entries.is_empty() { "" } else { "\n" };
        Oid::parse(self.git_with(&["mktree", "--missing"], input.as_bytes()).trim()).unwrap()
    }

    /// Makes a commit of a tree; no ref is moved.
    pub(crate) fn commit_tree(&self, tree: Oid, parents: &[Oid], message: &str) -> Oid {
        let (tree, parents) = (tree.to_string(), parents.iter().map(Oid::to_string).collect::<Vec<_>>());
        let mut args = vec!["commit-tree", "-F", "-"];
        for parent in &parents {
            args.extend(["-p", parent]);
        }
        args.push(&tree);
        let id = self.git_with(&args, message.as_bytes());
        self.clock.set(self.clock.get() + 1);
        Oid::parse(id.trim()).unwrap()
    }

    /// Makes a node of a graph with a date of its own.
    pub(crate) fn graph_at(&self, seconds: u64, message: &str, parents: &[Oid]) -> Oid {
        self.clock.set(seconds);
        self.graph(message, parents)
    }

    /// Makes a commit of the empty tree: a node of a graph.
    pub(crate) fn graph(&self, message: &str, parents: &[Oid]) -> Oid {
        self.commit_tree(self.mktree(&[]), parents, message)
    }
}
