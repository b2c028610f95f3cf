//! Documents run: every `sh` block of a tutorial, in order, in one shell, in an empty folder, with this very program.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that runs what people type")]

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

/// The `sh` blocks of a document, joined.
fn script(document: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let mut script = String::from("set -eux\n");
    let mut inside = false;
    for line in text.lines() {
        match (inside, line) {
            (false, "```sh") => inside = true,
            (true, "```") => inside = false,
            (true, line) => {
                // `set -e` does not look at negated commands, so a refusal that does not come must be made to count.
                let line = match line.strip_prefix("! ") {
                    Some(refused) => format!("if {refused}; then echo 'not refused' >&2; exit 1; fi"),
                    None => line.to_owned(),
                };
                script.push_str(&line);
                script.push('\n');
            }
            (false, _) => {}
        }
    }
    script
}

/// Runs a document's blocks as somebody with nothing but Git, ssh-keygen and this program.
fn run(document: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (bin, work, home) = (folder.path().join("bin"), folder.path().join("work"), folder.path().join("home"));
    for path in [&bin, &work, &home] {
        fs::create_dir_all(path).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_git-two-key"), bin.join("git-two-key")).unwrap();
    fs::write(home.join(".gitconfig"), "[user]\n\tname = User One\n\temail = user1@example.invalid\n").unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &script(document)])
        .current_dir(&work)
        .env_clear()
        .envs([("PATH", path), ("HOME", home.display().to_string()), ("GIT_CONFIG_NOSYSTEM", "1".to_owned())])
        .envs([("LC_ALL", "C.UTF-8"), ("GIT_TERMINAL_PROMPT", "0")])
        .output()
        .unwrap();
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{document} ended with {}:\n{said}", output.status);
    said
}

#[test]
fn the_quickstart_goes_from_nothing_to_a_verified_rollback() {
    let said = run("docs/quickstart.md");
    for expected in ["tag-mismatch", "lease-changed", "CANARY_PROMOTED", "ROLLED_BACK"] {
        assert!(said.contains(expected), "{expected}:\n{said}");
    }
}

#[test]
fn plain_git_alone_turns_every_key() {
    let said = run("docs/plain-git.md");
    assert!(said.contains("by note"), "{said}");
    assert!(said.contains("rolled-back"), "{said}");
}
