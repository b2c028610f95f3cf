//! What Git, ssh-keygen and minisign sign opens here; what is altered afterwards does not.
//!
//! The programs are the oracles: every signature in this file is made by them, or checked by them, in a temporary
//! home with fixed dates.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use git_two_key::{
    model::{Digest, PrincipalId, PublicKey, Reason, Statement},
    signature::{
        Carrier, Cosignature, ObjectFormat, Opened, Presence, detached_base64, links, open_commit, open_detached,
        open_note, parse_tag, statement_message,
    },
};
use tempfile::TempDir;

const DATE: &str = "1761531600 +0100";

/// A temporary home with a repository of one object format and keys of each program.
struct World {
    home: TempDir,
    format: ObjectFormat,
}

impl World {
    fn new(format: ObjectFormat) -> Self {
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

    fn both() -> [Self; 2] {
        [Self::new(ObjectFormat::Sha1), Self::new(ObjectFormat::Sha256)]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn try_run(&self, program: &str, args: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
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

    fn run(&self, program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
        self.try_run(program, args, input).unwrap()
    }

    fn git(&self, args: &[&str], input: &[u8]) -> String {
        String::from_utf8(self.run("git", args, input)).unwrap().trim_end().to_owned()
    }

    /// The raw bytes of a signed commit of this message, made by plain Git.
    fn signed(&self, message: &str) -> Vec<u8> {
        let key = format!("user.signingkey={}", self.path("key").display());
        let args = ["-c", "gpg.format=ssh", "-c", &key, "commit-tree", "-S", "-p", "main", "main^{tree}"];
        let id = self.git(&args, message.as_bytes());
        self.run("git", &["cat-file", "commit", &id], b"")
    }

    fn unsigned(&self, message: &str) -> Vec<u8> {
        let id = self.git(&["commit-tree", "-p", "main", "main^{tree}"], message.as_bytes());
        self.run("git", &["cat-file", "commit", &id], b"")
    }

    fn key(&self) -> PublicKey {
        PublicKey::parse(&fs::read_to_string(self.path("key.pub")).unwrap().replace('\n', "")).unwrap()
    }

    fn minisign_key(&self) -> PublicKey {
        let file = fs::read_to_string(self.path("mini.pub")).unwrap();
        PublicKey::parse(&format!("minisign {}", file.lines().nth(1).unwrap())).unwrap()
    }

    /// The armour that ssh-keygen writes.
    fn ssh_sign(&self, message: &str, namespace: &str) -> String {
        fs::write(self.path("message"), message).unwrap();
        let _ = fs::remove_file(self.path("message.sig"));
        self.run("ssh-keygen", &["-q", "-Y", "sign", "-n", namespace, "-f", "key", "message"], b"");
        fs::read_to_string(self.path("message.sig")).unwrap()
    }

    /// The file that minisign writes.
    fn minisign(&self, message: &str, options: &[&str]) -> String {
        fs::write(self.path("message"), message).unwrap();
        let args = [&["-S", "-s", "mini.sec", "-m", "message", "-x", "message.mini"], options].concat();
        self.run("minisign", &args, b"");
        fs::read_to_string(self.path("message.mini")).unwrap()
    }
}

fn user1() -> PrincipalId {
    PrincipalId::parse("user1").unwrap()
}

fn statement(action: &str) -> Statement {
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

fn votes(opened: Opened) -> Vec<Result<Cosignature, Reason>> {
    match opened {
        Opened::Carrier { votes, .. } => votes.into_iter().map(|vote| vote.map_err(|bad| bad.refusal.reason)).collect(),
        other => panic!("no carrier: {other:?}"),
    }
}

fn only_vote(opened: Opened) -> Result<Cosignature, Reason> {
    let mut votes = votes(opened);
    assert_eq!(votes.len(), 1);
    votes.remove(0)
}

#[test]
fn what_git_signs_opens_in_both_object_formats() {
    for world in World::both() {
        let promote = statement("promote");
        let evidence = Digest::of(b"evidence");
        let reason = Some("p99 is flat — go");
        let message =
            statement_message(&promote, "promote to 25 %", Some(&user1()), reason, Some(evidence), &[]).unwrap();
        let raw = world.signed(&message);
        let vote = only_vote(open_commit(&raw, world.format)).unwrap();
        assert_eq!(vote.statement(), &promote);
        assert_eq!(vote.key(), &world.key());
        assert_eq!(vote.claims(), &user1());
        assert_eq!((vote.carrier(), vote.presence()), (Carrier::Commit, Presence::None));
        assert_eq!((vote.reason(), vote.evidence()), (reason, Some(evidence)));
        assert_eq!(vote.claimed_time(), Some(1_761_531_600));
        assert_eq!(vote.seal_line(), None);
        let links = links(&raw).unwrap();
        assert_eq!(links.tree.to_string(), world.git(&["rev-parse", "main^{tree}"], b""));
        assert_eq!(links.parents[0].to_string(), world.git(&["rev-parse", "main"], b""));
        assert_eq!(links.committer_time, Some(1_761_531_600));
    }
}

#[test]
fn what_ssh_keygen_and_minisign_sign_opens_sealed_and_by_note() {
    for world in World::both() {
        let start = statement("start");
        let cosign = statement("cosign");
        let armour = world.ssh_sign(&cosign.text(), "two-key");
        let ssh = open_detached(&cosign, user1(), &world.key(), &detached_base64(&armour).unwrap()).expect("honest");
        let mini_file = world.minisign(&start.text(), &[]);
        let cp18 = PrincipalId::parse("cp18").unwrap();
        let mini_key = world.minisign_key();
        let mini = open_detached(&start, cp18.clone(), &mini_key, &detached_base64(&mini_file).unwrap()).unwrap();
        assert_eq!((ssh.carrier(), mini.carrier()), (Carrier::Detached, Carrier::Detached));

        let sealed = [ssh.seal_line().unwrap(), mini.seal_line().unwrap()];
        let unsigned = statement_message(&start, "start", None, None, None, &sealed).unwrap();
        let opened = votes(open_commit(&world.unsigned(&unsigned), world.format));
        assert_eq!(opened, [Ok(ssh.clone()), Ok(mini.clone())]);

        let signed = statement_message(&start, "start", Some(&user1()), None, None, &sealed).unwrap();
        let opened = votes(open_commit(&world.signed(&signed), world.format));
        assert_eq!(opened.len(), 3, "sealed lines first, then the commit's own");
        assert_eq!(opened[..2], [Ok(ssh.clone()), Ok(mini.clone())]);
        assert_eq!(opened[2].as_ref().unwrap().carrier(), Carrier::Commit);

        // As `cat s s.sig | git notes append -F -` twice makes a note.
        for (statement, file) in [(&cosign, &armour), (&start, &mini_file)] {
            let entry = format!("{}{file}", statement.text());
            world.git(&["notes", "--ref", "two-key/user1", "append", "-F", "-", "main^{tree}"], entry.as_bytes());
        }
        let note = world.run("git", &["notes", "--ref", "two-key/user1", "show", "main^{tree}"], b"");
        let entries = open_note(&note, &user1(), &[world.key(), mini_key.clone()]);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].opened.as_ref().unwrap(), &ssh);
        assert_eq!(entries[1].opened.as_ref().unwrap().key(), &mini_key);
        let unlisted = open_note(&note, &user1(), &[]);
        assert!(unlisted[0].opened.is_ok(), "an SSH signature brings its key along");
        assert_eq!(unlisted[1].opened.as_ref().unwrap_err().reason, Reason::UnknownKey);
    }
}

#[test]
fn an_ordinary_commit_names_its_signer_and_only_a_good_one() {
    for world in World::both() {
        let raw = world.signed("a lease\n");
        assert_eq!(open_commit(&raw, world.format), Opened::Ordinary { signer: Some(world.key().raw()) });
        let other = match world.format {
            ObjectFormat::Sha1 => ObjectFormat::Sha256,
            ObjectFormat::Sha256 => ObjectFormat::Sha1,
        };
        assert_eq!(open_commit(&raw, other), Opened::Ordinary { signer: None });
        let unsigned = world.unsigned("a lease\n");
        assert_eq!(open_commit(&unsigned, world.format), Opened::Ordinary { signer: None });
        for at in 0..raw.len() {
            let mut altered = raw.clone();
            altered[at] ^= 1;
            assert_eq!(open_commit(&altered, world.format), Opened::Ordinary { signer: None }, "byte {at}");
        }
    }
}

#[test]
fn no_byte_of_a_signed_carrier_can_change() {
    for world in World::both() {
        let message = statement_message(&statement("promote"), "go", Some(&user1()), Some("why"), None, &[]).unwrap();
        let raw = world.signed(&message);
        assert!(only_vote(open_commit(&raw, world.format)).is_ok());
        for at in 0..raw.len() {
            for bit in 0..8 {
                let mut altered = raw.clone();
                altered[at] ^= 1 << bit;
                if let Opened::Carrier { votes, .. } = open_commit(&altered, world.format) {
                    assert!(votes.iter().all(Result::is_err), "byte {at} bit {bit}");
                }
            }
        }
    }
}

#[test]
fn a_tag_that_git_makes_reads_and_a_nested_or_lightweight_one_does_not() {
    for world in World::both() {
        let name = "rollout/LEASE-20251027-021913/2-promote-25";
        let key = format!("user.signingkey={}", world.path("key").display());
        for signed in [false, true] {
            let sign: &[&str] = if signed { &["-c", "gpg.format=ssh", "-c", &key] } else { &[] };
            let tag = [sign, &["tag", "-f", if signed { "-s" } else { "-a" }, "-m", "x", name, "main"]].concat();
            world.git(&tag, b"");
            let raw = world.run("git", &["cat-file", "tag", name], b"");
            let tag = parse_tag(&raw, world.format).unwrap();
            assert_eq!(tag.name, name);
            assert_eq!(tag.object.to_string(), world.git(&["rev-parse", "main"], b""));
        }
        world.git(&["tag", "-a", "-m", "nested", "outer", name], b"");
        let nested = world.run("git", &["cat-file", "tag", "outer"], b"");
        assert_eq!(parse_tag(&nested, world.format).unwrap_err().reason, Reason::Malformed);
        let commit = world.run("git", &["cat-file", "commit", "main"], b"");
        assert_eq!(parse_tag(&commit, world.format).unwrap_err().reason, Reason::Malformed);
    }
}
