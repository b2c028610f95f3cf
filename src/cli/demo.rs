//! `demo`: the whole story in one command, through this very program and real Git, in a temporary directory.
//!
//! Nothing here decides anything and nothing is faked: every line that begins with `$` is run as a child process, just
//! as a person would type it, and what it prints is what is shown.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::model::Reason;

use super::{Failure, Place, terminal::say};

/// Show the whole story in a temporary directory
///
/// Makes a bare server with hooks, a person's and an agent's clone with keys of their own, and an applier. Takes one
/// lease from 5 to 25 to 100 %, shows three pushes being refused for three different reasons, rolls a second lease
/// back, and ends with the audit trail verified from the root. Needs git and ssh-keygen, no network.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "EXAMPLES\n  git two-key demo\n  git two-key demo --keep")]
pub struct Args {
    /// Leave the directory to play with, and say where it is
    #[arg(long)]
    keep: bool,
}

/// Runs the story.
pub fn run(args: &Args, _: &Place) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("two-key-demo-").tempdir().map_err(|error| failed(&error))?;
    let stage = Stage::new(folder.path())?;
    let outcome = stage.tell();
    if args.keep {
        let kept = folder.keep();
        let settings = Stage::settings(&kept).map(|(name, value)| format!("export {name}='{value}'")).join("\n");
        say(&format!("\nKept in {}. To go on there:\n{settings}", kept.display()));
    }
    outcome
}

/// The temporary directory and how commands run in it.
struct Stage {
    folder: PathBuf,
    path: std::ffi::OsString,
}

/// What a command is expected to do. Anything else ends the demo with exit code 3.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Success,
    Refusal(Reason),
}

impl Stage {
    fn new(folder: &Path) -> Result<Self, Failure> {
        // `git two-key` must find this very program, under the name that Git looks for.
        let bin = folder.join("bin");
        fs::create_dir_all(&bin).map_err(|error| failed(&error))?;
        let this = std::env::current_exe().map_err(|error| failed(&error))?;
        std::os::unix::fs::symlink(&this, bin.join("git-two-key")).map_err(|error| failed(&error))?;
        #[expect(clippy::disallowed_methods, reason = "the demo's commands need the caller's PATH to find git")]
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&inherited)));
        Ok(Self { folder: folder.to_owned(), path: path.map_err(|error| failed(&error))? })
    }

    /// Nobody's own configuration plays a part.
    fn settings(folder: &Path) -> [(&'static str, String); 4] {
        [
            ("HOME", folder.display().to_string()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_CONFIG_GLOBAL", folder.join("gitconfig").display().to_string()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ]
    }

    /// Shows and runs one command line.
    fn run(&self, expect: Expect, within: &str, line: &str) -> Result<String, Failure> {
        say(&format!("{within}$ {line}"));
        let output = self.shell(within, line)?;
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        for printed in
            printed.lines().map(str::trim_end).filter(|line| !line.trim_start_matches("remote:").trim().is_empty())
        {
            say(&format!("    {printed}"));
        }
        let as_expected = match expect {
            Expect::Success => output.status.success(),
            Expect::Refusal(reason) => !output.status.success() && printed.contains(&format!(": {reason}: ")),
        };
        if as_expected {
            Ok(printed)
        } else {
            Err(Failure::undecided(
                Reason::Internal,
                format!("the demo did not go as told: `{line}` ended with {}", output.status),
            ))
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the demo types commands, as a person would")]
    fn shell(&self, within: &str, line: &str) -> Result<Output, Failure> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.folder.join(within)).env("PATH", &self.path);
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "TWO_KEY_ROOT", "SSH_AUTH_SOCK", "SSH_ASKPASS"] {
            command.env_remove(name);
        }
        command.envs(Self::settings(&self.folder)).stdin(std::process::Stdio::null());
        command.output().map_err(|error| failed(&error))
    }

    fn ok(&self, within: &str, line: &str) -> Result<String, Failure> {
        self.run(Expect::Success, within, line)
    }

    fn refused(&self, reason: Reason, within: &str, line: &str) -> Result<(), Failure> {
        self.run(Expect::Refusal(reason), within, line).map(drop)
    }
}

const CHECKOUT: &str = "INT-2025-0042";
const NEXT: &str = "INT-2025-0043";

impl Stage {
    fn tell(&self) -> Result<(), Failure> {
        let root = self.found()?;
        chapter(
            "A lease: one change, one target, three tiers (no baking time, so that the demo is short). Two keys authorize it.",
        );
        let lease = self.authorize(CHECKOUT, "Roll out checkout 1.9.0")?;
        self.first_tier()?;
        self.three_refusals(&lease)?;
        self.to_the_end()?;
        self.undo()?;
        self.audit(&root)
    }

    fn found(&self) -> Result<String, Failure> {
        chapter("Three keys: a person's, an agent's, an applier's. And one that nobody lists.");
        self.ok("", "mkdir keys && for name in user1 cp14 edge1 mallory; do ssh-keygen -q -t ed25519 -N '' -C $name -f keys/$name; done")?;
        self.ok("", "git config --global user.name demo && git config --global user.email demo@example.invalid")?;
        chapter("The governance repository. Its first commit is the root: the one thing to remember.");
        self.ok("", "git init -q -b main person")?;
        self.ok(
            "person",
            "git two-key init --human user1=../keys/user1.pub --agent cp14=../keys/cp14.pub \\\n    --applier edge1=../keys/edge1.pub --target checkout-prod=file:edge1",
        )?;
        self.ok("person", "git config two-key.key ../keys/user1")?;
        let root = self.ok("person", "git config two-key.root")?.trim().to_owned();
        chapter("A server whose hook judges every push, and a clone for the agent.");
        self.ok(
            "",
            &format!("git init -q --bare -b main server.git && git -C server.git two-key hook install --root {root}"),
        )?;
        self.ok("person", "git remote add origin ../server.git && git push -q -u origin main")?;
        self.ok(
            "person",
            "git config --add remote.origin.fetch '+refs/two-key/*:refs/two-key-remote/origin/two-key/*'",
        )?;
        self.ok("", "git clone -q -c remote.origin.fetch='+refs/two-key/*:refs/two-key-remote/origin/two-key/*' server.git agent")?;
        self.ok("agent", &format!("git config two-key.key ../keys/cp14 && git two-key trust {root}"))?;
        let config = format!(
            "name: edge1\nkey: keys/edge1\nrepository: applier\nroot: {root}\nremote: origin\ntargets:\n  checkout-prod: {{file: weights.json}}\n"
        );
        fs::write(self.folder.join("applier.yaml"), config).map_err(|error| failed(&error))?;
        self.ok("", "git clone -q server.git applier && cat applier.yaml")?;
        Ok(root)
    }

    /// Proposes a lease and has both keys turned for it.
    fn authorize(&self, intent: &str, summary: &str) -> Result<String, Failure> {
        let printed = self.ok("person", &format!(
            "git two-key new --target checkout-prod --intent {intent} --summary '{summary}' --expires 1h \\\n    --artifact checkout=sha256:{} --tier 5:0s --tier 25:0s --tier 100:0s",
            "ab".repeat(32)
        ))?;
        let lease =
            printed.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(|word| word.starts_with("LEASE-"));
        let lease = lease.ok_or_else(|| failed(&"`new` did not say the lease's id"))?.to_owned();
        self.ok("person", &format!("git two-key sign {intent} --push"))?;
        self.ok("agent", &format!("git pull -q --ff-only && git two-key sign {intent} --push"))?;
        Ok(lease)
    }

    fn first_tier(&self) -> Result<(), Failure> {
        chapter(
            "Authorized: one more turn of one key begins at 5 %. The applier carries it out, and says what it sees.",
        );
        self.ok("agent", &format!("git two-key start {CHECKOUT} --push"))?;
        self.apply()?;
        self.ok("person", "git pull -q --ff-only && git two-key list")?;
        chapter("To 25 %: the person turns a key. One of two.");
        self.ok("person", &format!("git two-key approve {CHECKOUT} --push"))?;
        Ok(())
    }

    fn three_refusals(&self, lease: &str) -> Result<(), Failure> {
        chapter("Refused, first: a tag that says 25 % although the agent has not turned its key.");
        let tag = format!("rollout/{lease}/2-promote-25");
        self.ok("person", &format!("git tag -a -m 'promote to 25 %' {tag} main"))?;
        self.refused(Reason::MissingRole, "person", &format!("git push -q origin {tag}"))?;
        self.ok("person", &format!("git tag -d {tag}"))?;
        chapter("Refused, second: the agent's half, signed by a key that nobody lists. Plain Git, no tool of ours.");
        self.ok("agent", &format!("git pull -q --ff-only && git two-key statement --message --principal cp14 promote {lease} > ../m && cat ../m"))?;
        self.refused(
            Reason::UnknownKey,
            "agent",
            "git push -q origin \"$(git -c gpg.format=ssh -c user.signingkey=../keys/mallory commit-tree -S -p main -F ../m 'main^{tree}')\":main",
        )?;
        chapter("Refused, third: the lease's file, edited after it was signed.");
        self.ok("person", &format!("sed -i.orig 's/weight: 25/weight: 75/' leases/{lease}.yaml && rm leases/{lease}.yaml.orig && git commit -q -a -m 'just a little faster'"))?;
        self.refused(Reason::LeaseChanged, "person", "git push -q origin main")?;
        self.ok("person", "git reset -q --hard origin/main")?;
        Ok(())
    }

    fn to_the_end(&self) -> Result<(), Failure> {
        chapter("The agent turns its key as well: 25 %. Then both for 100 %.");
        self.ok("agent", &format!("git two-key promote {CHECKOUT} --push"))?;
        self.apply()?;
        self.ok("person", &format!("git pull -q --ff-only && git two-key approve {CHECKOUT} --push"))?;
        self.ok("agent", &format!("git pull -q --ff-only && git two-key promote {CHECKOUT} --push"))?;
        self.apply()?;
        self.ok("agent", &format!("git two-key complete {CHECKOUT} --push"))?;
        Ok(())
    }

    fn undo(&self) -> Result<(), Failure> {
        self.ok("person", "git pull -q --ff-only")?;
        chapter("The next version: proposed, authorized by both keys, begun at 5 %.");
        self.authorize(NEXT, "Roll out checkout 1.9.1")?;
        self.ok("agent", &format!("git two-key start {NEXT} --push"))?;
        self.apply()?;
        chapter("Errors double. One key suffices to stop: the person's, alone.");
        self.ok("person", &format!("git two-key rollback {NEXT} --reason 'errors doubled' --push"))?;
        self.apply()?;
        Ok(())
    }

    fn apply(&self) -> Result<(), Failure> {
        self.ok("", "git two-key apply --once --config applier.yaml && cat weights.json").map(drop)
    }

    fn audit(&self, root: &str) -> Result<(), Failure> {
        chapter("An auditor: a fresh clone and the root id, nothing else.");
        self.ok("", "git clone -q server.git auditor")?;
        self.ok(
            "auditor",
            &format!(
                "git fetch -q origin '+refs/two-key/*:refs/two-key-remote/origin/two-key/*' && git two-key trust {root}"
            ),
        )?;
        self.ok("auditor", "git two-key verify --all")?;
        self.ok("auditor", "git two-key log")?;
        self.ok("auditor", "git two-key list")?;
        say("\nEvery line above came from the commands shown. Two keys to go forward, one key to stop.");
        Ok(())
    }
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::undecided(Reason::Io, format!("the demo cannot run here: {error}"))
}

fn chapter(title: &str) {
    say(&format!("\n── {title}"));
}
