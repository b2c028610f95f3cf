//! What the environment says: identities, the pinned root, and a hook's quarantine. A test cannot change its own
//! environment, so each of these runs this program again as a child, in an environment made for it, where `INNER` names
//! what the child does.

#![allow(clippy::unwrap_used, clippy::panic, clippy::similar_names, reason = "a test may stop")]
#![allow(clippy::disallowed_methods, reason = "a test runs programs and reads its environment")]

#[path = "kit/scratch.rs"]
mod scratch;

use std::{fs, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path, process::ExitCode};

use git_two_key::{
    git::{Base, GitError, Layout, NewCommit, Repository, SignWith, SigningKey},
    model::Oid,
    signature::ObjectFormat,
};
use libtest_mimic::{Arguments, Trial};
use scratch::Scratch;

fn main() -> ExitCode {
    match std::env::var("INNER").as_deref() {
        Ok("identity") => inner_identity(),
        Ok("root") => inner_root(),
        Ok("hook") => inner_hook(),
        Ok("agent") => inner_agent(),
        Ok(other) => panic!("{other}"),
        Err(_) => return outer(),
    }
    ExitCode::SUCCESS
}

fn outer() -> ExitCode {
    let tests: [(&str, fn()); 4] = [
        (
            "author_and_committer_are_equal_and_fall_back_to_the_principal",
            author_and_committer_are_equal_and_fall_back_to_the_principal,
        ),
        (
            "the_pinned_root_of_the_environment_goes_before_the_configured_one",
            the_pinned_root_of_the_environment_goes_before_the_configured_one,
        ),
        ("a_hook_sees_quarantined_objects_and_nobody_else_does", a_hook_sees_quarantined_objects_and_nobody_else_does),
        ("a_key_in_an_agent_signs_by_its_public_line", a_key_in_an_agent_signs_by_its_public_line),
    ];
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), tests.map(trial).into()).exit_code()
}

/// Runs this program's other side in a repository, in a clean environment with some variables.
fn inside(scratch: &Scratch, name: &str, variables: &[(&str, &str)]) {
    let mut command = scratch.command(std::env::current_exe().unwrap().to_str().unwrap());
    for role in ["AUTHOR", "COMMITTER"] {
        for part in ["NAME", "EMAIL", "DATE"] {
            command.env_remove(format!("GIT_{role}_{part}"));
        }
    }
    let output = command.env("INNER", name).envs(variables.iter().copied()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
}

fn here(name: &str) -> Oid {
    Oid::parse(&std::env::var(name).unwrap()).unwrap()
}

fn author_and_committer_are_equal_and_fall_back_to_the_principal() {
    let scratch = Scratch::new();
    scratch.write("README", "hello\n");
    scratch.commit("root");
    inside(&scratch, "identity", &[("EXPECTED", "user1 <user1@two-key.invalid> ")]);
    scratch.git(&["config", "user.name", "Ünicode Name"]);
    scratch.git(&["config", "user.email", "name@example.com"]);
    inside(&scratch, "identity", &[("EXPECTED", "Ünicode Name <name@example.com> ")]);
    let date = ("GIT_COMMITTER_DATE", "1761530400 +0130");
    inside(&scratch, "identity", &[("EXPECTED", "Ünicode Name <name@example.com> 1761530400 +0130"), date]);
    let other = ("GIT_AUTHOR_NAME", "Somebody Else");
    inside(&scratch, "identity", &[("EXPECTED", "Ünicode Name <name@example.com> "), other]);
}

fn inner_identity() {
    let repository = Repository::discover().unwrap();
    let mut objects = repository.objects().unwrap();
    let parent = repository.revision("HEAD").unwrap().unwrap();
    let tree = objects.links(parent).unwrap().tree;
    let commit = NewCommit { tree, parents: &[parent], message: "x\n", sign: SignWith::Nobody, who: "user1" };
    let id = repository.commit_tree(&commit).unwrap();
    let raw = String::from_utf8(objects.commit(id).unwrap().front().to_vec()).unwrap();
    let line = |name: &str| raw.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    assert_eq!(line("author "), line("committer "));
    assert!(line("author ").starts_with(&std::env::var("EXPECTED").unwrap()), "{raw}");
}

fn the_pinned_root_of_the_environment_goes_before_the_configured_one() {
    let scratch = Scratch::new();
    let (root, other) = (scratch.graph("root", &[]), scratch.graph("other", &[]));
    scratch.git(&["config", "two-key.root", &other.to_string()]);
    let (root, other) = (root.to_string(), other.to_string());
    inside(&scratch, "root", &[("EXPECTED", &other)]);
    inside(&scratch, "root", &[("EXPECTED", &root), ("TWO_KEY_ROOT", &root)]);
    inside(&scratch, "root", &[("EXPECTED", &other), ("TWO_KEY_ROOT", "")]);
    inside(&scratch, "root", &[("TWO_KEY_ROOT", "main")]);
}

fn inner_root() {
    let pinned = Repository::discover().unwrap().pinned_root();
    if std::env::var("EXPECTED").is_ok() {
        assert_eq!(pinned, Ok(Some(here("EXPECTED"))));
    } else {
        assert!(matches!(pinned, Err(GitError::BadRoot { from: "TWO_KEY_ROOT", .. })), "{pinned:?}");
    }
}

fn a_hook_sees_quarantined_objects_and_nobody_else_does() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let name = if format == ObjectFormat::Sha1 { "sha1" } else { "sha256" };
        let scratch = Scratch::with(name, "files", "repository");
        scratch.write("leases/A.yaml", "a\n");
        let root = scratch.commit("root");
        let remote = Repository::init(&scratch.beside("remote: é.git"), Layout::Bare, format, "main").unwrap();
        let path = remote.git_dir().to_str().unwrap().to_owned();
        scratch.git(&["push", "-q", &path, "main"]);
        scratch.write("leases/B.yaml", "b\n");
        scratch.commit("next");
        let (program, ran) = (std::env::current_exe().unwrap(), scratch.beside("ran"));
        let hook = remote.git_dir().join("hooks/pre-receive");
        let text = format!("INNER=hook ROOT={root} RAN='{}' exec '{}'", ran.display(), program.display());
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        scratch.git(&["push", "-q", &path, "main"]);
        assert_eq!(remote.resolve("refs/heads/main").unwrap(), Some(scratch.id("HEAD")));
        assert!(ran.exists());
    }
}

fn inner_hook() {
    assert!(std::env::var_os("GIT_QUARANTINE_PATH").is_some());
    let root = here("ROOT");
    let mut line = String::new();
    std::io::stdin().read_to_string(&mut line).unwrap();
    let ids: Vec<Oid> = line.split(' ').filter_map(Oid::parse).collect();
    let [old, new] = ids.as_slice() else { panic!("{line}") };
    assert_eq!(*old, root);
    let repository = Repository::discover().unwrap();
    assert_eq!(repository.worktree(), None);
    let steps: Result<Vec<_>, _> = repository.steps(Base::After { tip: *old, root }, *new).unwrap().collect();
    let steps = steps.unwrap();
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].leases[0].0, "leases/B.yaml");
    let outside = Repository::open(Path::new(".")).unwrap();
    assert_eq!(outside.objects().unwrap().commit(*new), Err(GitError::MissingObject(*new)));
    fs::write(std::env::var_os("RAN").unwrap(), "yes").unwrap();
}

fn a_key_in_an_agent_signs_by_its_public_line() {
    let scratch = Scratch::new();
    scratch.commit("root");
    let key = scratch.ssh_key("key");
    let script = "ssh-add -q \"$KEY\" && rm \"$KEY\" && INNER=agent exec \"$PROGRAM\"";
    let mut command = scratch.command("ssh-agent");
    command.args(["sh", "-c", script]).env("KEY", &key).env("PROGRAM", std::env::current_exe().unwrap());
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
}

fn inner_agent() {
    let repository = Repository::discover().unwrap();
    let line = fs::read_to_string(format!("{}.pub", std::env::var("KEY").unwrap())).unwrap();
    let literal = SigningKey::parse(&format!("key::{}", line.trim())).unwrap();
    let file = SigningKey::parse(&format!("{}.pub", std::env::var("KEY").unwrap())).unwrap();
    let parent = repository.revision("HEAD").unwrap().unwrap();
    let tree = repository.objects().unwrap().links(parent).unwrap().tree;
    for key in [&literal, &file] {
        assert!(
            key.sign(Path::new("ssh-keygen"), "text\n").unwrap().starts_with("-----BEGIN SSH SIGNATURE-----\n"),
            "{key}"
        );
        let sign = SignWith::Key(key);
        let commit = NewCommit { tree, parents: &[parent], message: "x\n", sign, who: "user1" };
        let id = repository.commit_tree(&commit).unwrap();
        let opened = repository.objects().unwrap().open_one(id).unwrap();
        let signer = Some(key.public_key().unwrap().raw());
        assert_eq!(git_two_key::push::signer_of(&opened), signer, "{key}");
    }
}
