//! Examples in `--help` are commands: each is run, alone, where the quickstart has come to.

use std::fmt::Write as _;

use crate::docs::{blocks, run_script, text};

/// Verbs whose examples are steps of one thing, up to an empty line.
const IN_STEPS: [&str; 2] = ["statement", "key allowed-signers"];

/// The help's examples of a verb, each with the lines that continue it.
fn examples(verb: &str) -> Vec<String> {
    let mut command = &git_two_key::cli::command();
    for word in verb.split(' ') {
        command = command.find_subcommand(word).unwrap_or_else(|| panic!("{verb} is no verb"));
    }
    let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{verb} has no example"));
    let examples = examples.split("\n\nExit codes").next().unwrap();
    if IN_STEPS.contains(&verb) {
        return examples.split("\n\n").map(str::to_owned).collect();
    }
    let mut found = Vec::<String>::new();
    let mut goes_on = false;
    for line in examples.lines() {
        match found.last_mut().filter(|_| goes_on) {
            Some(last) => last.extend(["\n", line]),
            None => found.push(line.to_owned()),
        }
        goes_on = line.ends_with('\\');
    }
    found
}

/// What is not run: views that stay, and what needs a file, a program or a repository that the quickstart does not make.
const LEFT_OUT: [&str; 8] = [
    "--watch",
    "--refresh",
    "PS1=",
    "--remote upstream",
    "--config applier.yaml",
    "--config /etc/two-key/applier.yaml",
    "-C ../governance",
    "--restore",
];

/// Where the quickstart stands, what is done then, and the verbs whose examples work there.
const PLACES: [(&str, &str, &[&str]); 7] = [
    (
        "## 5.",
        "ssh-keygen -q -t ed25519 -N '' -f $keys/new\n\
         git two-key key add user1 $keys/new.pub\n\
         echo checkout > checkout.tar\n\
         git init -q -b main ../checkout\n\
         for tag in v1.8.0 v1.9.0; do\n\
           git -C ../checkout commit -q --allow-empty -m $tag && git -C ../checkout tag $tag\n\
         done\n",
        &["new", "sign", "refuse", "withdraw", "undo", "sync"],
    ),
    ("## 6.", "", &["start"]),
    (
        "A promotion needs both keys",
        "git config user.signingkey $keys/user1\n",
        &[
            "approve",
            "promote",
            "status",
            "list",
            "show",
            "log",
            "report",
            "pause",
            "halt",
            "rollback",
            "freeze",
            "verify",
            "check",
            "tidy",
            "ci",
            "key list",
            "key allowed-signers",
            "statement",
        ],
    ),
    ("A promotion needs both keys", "git two-key pause checkout-prod --reason graph\n", &["resume"]),
    ("A promotion needs both keys", "git two-key freeze --reason graph\n", &["thaw"]),
    ("## 7.", "", &["complete"]),
    ("## 9.", "git fetch -q\n", &["pack"]),
];

#[test]
fn examples_work_where_they_are_pasted() {
    let quickstart = text("docs/quickstart.md");
    let mut left_out = LEFT_OUT.to_vec();
    for (until, more, verbs) in PLACES {
        let (before, _) = quickstart.split_once(until).unwrap();
        let mut script =
            blocks(before) + more + "mkdir -p ~/.ssh\ncp $keys/cp14 ~/.ssh/agent\ncp $keys/user1 ~/.ssh/id_ed25519\n";
        for verb in verbs {
            let (skipped, run): (Vec<_>, Vec<_>) =
                examples(verb).into_iter().partition(|example| LEFT_OUT.iter().any(|word| example.contains(word)));
            left_out.retain(|word| !skipped.iter().any(|example| example.contains(word)));
            assert!(!run.is_empty(), "{verb} has no example that is run");
            for example in run {
                // What picks from the answer need not be installed here.
                let command = example.split("| jq").next().unwrap().trim_end_matches(['\\', '\n', ' ']);
                let _ = writeln!(
                    script,
                    "rm -rf ../../copy; cp -a .. ../../copy; (cd ../../copy/governance\n{command}\n) < /dev/null"
                );
            }
        }
        run_script(&format!("help: {verbs:?}"), &script);
    }
    assert!(left_out.is_empty(), "no example has {left_out:?}");
}
