//! Documents run: every `sh` block of a tutorial, in order, in one shell, in an empty folder, with this very program.

use std::{fmt::Write as _, fs, os::unix::fs::symlink, path::Path, process::Command};

/// A document's text.
fn text(document: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap()
}

/// The `sh` blocks of a text, joined.
fn blocks(text: &str) -> String {
    let mut script = String::new();
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

/// Runs a document's blocks.
fn run(document: &str) -> String {
    run_script(document, &blocks(&text(document)))
}

/// Runs a document's blocks where the quickstart has come to a heading.
fn run_after_quickstart(until: &str, document: &str) -> String {
    let quickstart = text("docs/quickstart.md");
    let (before, _) = quickstart.split_once(until).unwrap();
    run_script(document, &(blocks(before) + &blocks(&text(document))))
}

/// Runs a script as somebody with nothing but Git, ssh-keygen and this program.
fn run_script(document: &str, script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (bin, work, home) = (folder.path().join("bin"), folder.path().join("work"), folder.path().join("home"));
    for path in [&bin, &work, &home] {
        fs::create_dir_all(path).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_git-two-key"), bin.join("git-two-key")).unwrap();
    fs::write(home.join(".gitconfig"), "[user]\n\tname = User One\n\temail = user1@example.invalid\n").unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let command = |program: &str| {
        let mut command = Command::new(program);
        command
            .current_dir(&work)
            .env_clear()
            .envs([
                ("PATH", path.clone()),
                ("HOME", home.display().to_string()),
                ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ])
            .envs([("LC_ALL", "C.UTF-8"), ("GIT_TERMINAL_PROMPT", "0")]);
        command
    };
    let output = command("bash").args(["-c", &format!("set -eux\n{script}")]).output().unwrap();
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{document} ended with {}:\n{said}", output.status);
    crate::kit::second::agrees_below(&work, command("python3"));
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

#[test]
fn the_file_driver_is_tried_as_the_page_says() {
    assert!(run("docs/drivers.md").contains("checkout-prod passes"));
}

#[test]
fn keys_are_turned_as_the_page_says() {
    let said = run_after_quickstart("## 5.", "docs/signing.md");
    assert!(said.contains("by note: cp14") && said.contains("halted"), "{said}");
}

#[test]
fn what_goes_on_is_seen_as_the_page_says() {
    let said = run_after_quickstart("## 5.", "docs/watching.md");
    assert!(said.contains("1 rolling") && said.contains("wrote ../report.html"), "{said}");
}

#[test]
fn a_server_is_set_up_as_the_page_says() {
    let said = run("docs/server.md");
    assert!(said.contains("everything counts") && said.contains("tag-mismatch"), "{said}");
}

#[test]
fn a_year_is_audited_as_the_page_says() {
    // The agent's key comes by note, so that there is a sealed signature to check.
    let quickstart = text("docs/quickstart.md");
    let (before, _) = quickstart.split_once("## 10.").unwrap();
    let by_commit = "git two-key sign INT-2025-0042 --key $keys/cp14\ngit two-key verify INT-2025-0042\n";
    assert_eq!(before.matches(by_commit).count(), 1);
    let before = before.replace(by_commit, "git two-key sign INT-2025-0042 --as note --key $keys/cp14\n");
    let said = run_script("docs/audit.md", &(blocks(&before) + &blocks(&text("docs/audit.md"))));
    assert!(said.contains("everything counts") && said.contains("ROLLED_BACK"), "{said}");
    assert!(said.contains("Good \"two-key\" signature for cp14 with ED25519 key"), "{said}");
}

#[test]
fn keys_are_rotated_and_lost_as_the_page_says() {
    let said = run("docs/keys.md");
    assert!(said.contains("KEY_REVOKED") && said.contains("policy version 4"), "{said}");
}

#[test]
fn an_agent_refuses_and_signs_as_the_page_says() {
    let said = run_after_quickstart("## 5.", "docs/agents.md");
    assert!(said.contains("refused by cp14 (change-freeze)") && said.contains("no changes on fair days"), "{said}");
    assert!(said.contains("a lease that passes every check is signed"), "{said}");
}

/// The table on the page is what `show policy` says of the page's policy; `UPDATE_DOCS=1` writes it.
#[test]
fn two_teams_go_by_staging_into_production_as_the_page_says() {
    let said = run("docs/teams.md");
    for expected in ["not-yet", "cosign needs 1 of operations (cy)", "waiting for 1 of operations"] {
        assert!(said.contains(expected), "{expected}:\n{said}");
    }
    let table = said.split("Who may do what\n").nth(1).unwrap().lines().take_while(|line| line.contains("  "));
    let table = table.map(|line| line.to_owned() + "\n").collect::<Vec<_>>().concat();
    let page = text("docs/teams.md");
    let (before, rest) = page.split_once("tests/stories/docs.rs. -->\n").unwrap();
    let (told, after) = rest.split_once("<!-- End of what is written").unwrap();
    let block = format!("```text\n{}\n```\n", table.trim_end());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/teams.md");
        fs::write(path, format!("{before}tests/stories/docs.rs. -->\n{block}<!-- End of what is written{after}"))
            .unwrap();
        return;
    }
    assert_eq!(told, block, "UPDATE_DOCS=1 writes it anew");
}

#[test]
fn the_manual_is_installed_as_the_page_says() {
    assert!(run("docs/install.md").contains("pages into"));
}

/// What each of the commonest tasks has done when its one command has run: words that it says, and words that a second look says.
const TASKS: [(&str, &str, &str); 12] = [
    ("git two-key clone", "You sign here as user1", "git -C ../mine two-key verify --all | grep 'everything counts'"),
    ("git two-key status", "authorized", "true"),
    ("git two-key status checkout-prod", "INT-2025-0042", "true"),
    ("git two-key start", "0 % → 5 %", "git -C ../server.git for-each-ref | grep /1-start-5"),
    ("git two-key list --mine", "a human and an agent, to promote to 25 %", "true"),
    (
        "git two-key approve",
        "pushed to origin",
        "git -C ../server.git log -1 --format=%B main | grep 'Action: promote'",
    ),
    ("git two-key promote", "NOT PUSHED", "test -n \"$(git log origin/main..main --format=%h)\""),
    (
        "git two-key undo",
        "took back: Promote",
        "test -z \"$(git log origin/main..main --format=%h)\" && test -z \"$(git tag --list '*promote-25')\" && \
         test -z \"$(git for-each-ref refs/two-key-local/votes)\"",
    ),
    ("git two-key halt", "5 % → 0 %", "git -C ../server.git for-each-ref | grep /2-halt"),
    ("git two-key rollback", "rolled-back", "git -C ../server.git for-each-ref | grep /3-rollback"),
    ("git two-key log", "ROLLED_BACK", "true"),
    ("git two-key sync", "main is at origin", "git two-key verify --all"),
];

#[test]
fn the_commonest_tasks_take_one_command_each() {
    let page = text("docs/tasks.md");
    let (_, table) = page.split_once("| task | command | before |\n").unwrap();
    let commands: Vec<_> = table.lines().skip(1).map(|row| row.split('`').nth(1).unwrap()).collect();
    assert_eq!(commands.len(), TASKS.len());
    let quickstart = text("docs/quickstart.md");
    let (before, _) = quickstart.split_once("## 6.").unwrap();
    let mut script = blocks(before) + "root=$(git config two-key.root)\ntrap 'cat ../said >&2' ERR\n";
    for (command, (verb, says, look)) in commands.iter().zip(TASKS) {
        assert!(
            command.starts_with(verb) && !command.contains([';', '&', '|', '\n']),
            "{command} is one command: {verb}"
        );
        let _ = writeln!(script, "{command} > ../said 2>&1\ngrep -qF -- '{says}' ../said\n{look}");
    }
    run_script("docs/tasks.md", &script);
}

#[test]
fn the_book_has_every_page_and_no_link_leads_nowhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = text("docs/SUMMARY.md");
    for entry in fs::read_dir(&docs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let listed = summary.contains(&format!("]({name})"));
        assert!(listed || name == "SUMMARY.md", "docs/{name} is in no chapter of docs/SUMMARY.md");
        let text = text(&format!("docs/{name}"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            let here = path.is_empty() || path.contains("://") || docs.join(path).exists();
            assert!(here, "docs/{name}: {link} leads nowhere");
        }
    }
}

/// What the table of broken things promises is tried: each row names tests, and each of those is there.
#[test]
fn each_row_of_what_stops_still_do_names_a_test_that_there_is() {
    let page = text("docs/operations.md");
    let (_, table) = page.split_once("| what is so | forward | stops | says | shown by |\n").unwrap();
    let rows: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 25, "{} rows", rows.len());
    for row in rows {
        let shown_by = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        let names: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test is named: {row}");
        for name in names {
            let (file, test) = name.split_once("::").unwrap_or_else(|| panic!("`{name}` names no file: {row}"));
            let files = ["stories", "targets", "targets/drivers"].map(|folder| format!("tests/{folder}/{file}.rs"));
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let path = files.iter().find(|file| root.join(file).exists()).unwrap_or_else(|| panic!("no file: {name}"));
            assert!(text(path).contains(&format!("#[test]\nfn {test}() {{")), "{path} has no test {test}");
        }
    }
}
