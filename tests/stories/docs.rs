//! Documents run: every `sh` block of a tutorial, in order, in one shell, in an empty folder, with this very program.

use std::{collections::BTreeSet, fmt::Write as _, fs, os::unix::fs::symlink, path::Path, process::Command};

/// A document's text.
pub(crate) fn text(document: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap()
}

/// The `sh` blocks of a text, joined.
pub(crate) fn blocks(text: &str) -> String {
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
pub(crate) fn run_script(document: &str, script: &str) -> String {
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
    let said = run_after_quickstart("## 5.", "docs/plain-git.md");
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
    let said = run_after_quickstart("## 2.", "docs/server.md");
    assert!(said.contains("everything counts") && said.contains("You sign here as user2"), "{said}");
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
    // What follows is run by `lost_keys`.
    let page = text("docs/keys.md");
    let (before, _) = page.split_once("## A key is lost\n").unwrap();
    let said = run_script("docs/keys.md", &blocks(before));
    assert!(said.contains("KEY_REVOKED") && said.contains("policy version 3"), "{said}");
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

/// The lines about broken things in `docs/operations.md`, each with the tests that show what it says.
const BROKEN: &[(&str, &[&str])] = &[
    ("the remote does not answer", &["broken::the_remote_takes_connections_and_says_nothing"]),
    ("… for `max-staleness`", &["broken::the_remote_has_not_been_reached_for_longer_than_max_staleness"]),
    (
        "its answers take longer than `interval`",
        &["waiting::a_remote_whose_answers_take_longer_than_a_tick_starves_nothing"],
    ),
    (
        "the branch is too large to fetch in seconds",
        &["waiting::the_branch_brings_more_than_the_network_carries_quickly"],
    ),
    ("metrics do not answer", &["hanging::metrics_a_push_another_target_and_readers_hang"]),
    (
        "… and the next lease's pack needs them",
        &["waiting::what_serves_is_rolled_back_while_metrics_are_asked_for_the_next_lease"],
    ),
    ("a push hangs", &["hanging::metrics_a_push_another_target_and_readers_hang"]),
    ("other targets hang, however many", &["hanging::metrics_a_push_another_target_and_readers_hang"]),
    (
        "the key does not sign: an SSH agent or signing program hangs",
        &["hanging::a_key_that_never_answers_keeps_no_stop_waiting"],
    ),
    ("readers of `/metrics` hang", &["hanging::metrics_a_push_another_target_and_readers_hang"]),
    ("nobody reads its output", &["waiting::nobody_reads_the_log_or_the_reports"]),
    ("the remote refuses a stop on the branch", &["forges::where_main_takes_no_pushes_a_stop_has_its_own_ref"]),
    (
        "the branch was rewound, or taken over by a foxtrot merge",
        &["broken::the_branch_was_rewound_or_taken_over_by_a_foxtrot_merge"],
    ),
    ("the remote is frozen on an old tip", &["broken::the_remote_is_frozen_on_an_old_tip"]),
    (
        "the wall clock has jumped by 5 minutes or more, compared with the monotonic clock",
        &["broken::the_wall_clock_disagrees_with_the_monotonic_one"],
    ),
    (
        "processes share no monotonic clock (no `/proc/uptime`)",
        &["broken::no_monotonic_clock_is_shared_by_all_processes"],
    ),
    (
        "the clock went back behind a lease's expiry that was seen",
        &["applier::an_expired_lease_does_not_come_back_with_a_clock_that_was_set_back"],
    ),
    ("the pack is missing or cannot be rehearsed", &["broken::the_pack_is_missing_where_a_rollback_needs_it"]),
    (
        "gates cannot be evaluated; the target cannot be observed",
        &["broken::gates_cannot_be_evaluated", "broken::the_target_cannot_be_reached"],
    ),
    (
        "a rollback's health is not known yet",
        &["rollback::a_rollback_is_verified_only_when_what_was_restored_is_seen_to_be_as_healthy_as_before"],
    ),
    (
        "the applier cannot see a rollback's traffic",
        &[
            "deploy::two_leases_in_a_row_are_committed_and_restored_and_only_the_weights_change",
            "nginx::where_nobody_sees_old_workers_a_rollback_is_restored_and_not_verified",
        ],
    ),
    (
        "nginx's old workers keep connections from a higher weight",
        &["nginx::a_rollback_is_verified_only_when_the_old_workers_that_know_the_candidate_are_gone"],
    ),
    ("a stop cannot be carried out", &["broken::the_target_cannot_be_reached"]),
    (
        "… as the target does not answer for 10 s, or has another driver",
        &[
            "broken::the_configuration_has_another_driver_for_the_target",
            "exec::a_stop_at_a_program_that_hangs_is_told_as_not_carried_out_and_is_carried_out_once_it_goes_on",
        ],
    ),
    (
        "a halted candidate still has requests or connections",
        &[
            "haproxy_odd::a_halt_says_that_somebody_is_still_connected_with_the_candidate_and_no_more_once_nobody_is",
            "nginx::a_halt_says_that_old_workers_that_know_the_candidate_go_on_and_no_more_once_they_are_gone",
        ],
    ),
    (
        "HAProxy no longer splits by weights: another `balance`, an `agent-check`",
        &["haproxy_odd::a_split_that_weights_do_not_tell_any_more_is_unknown_and_a_stop_is_carried_out"],
    ),
    (
        "all stable servers are down, so the candidate gets more than its weight",
        &[
            "haproxy_odd::where_all_that_is_stable_is_down_the_candidate_has_more_than_was_given_to_it_and_that_is_told_once",
        ],
    ),
    ("the target is below what was applied", &["broken::somebody_took_traffic_off_by_hand"]),
    (
        "… with `drift-below: restored` in the policy",
        &[
            "applier::where_the_policy_has_it_restored_what_somebody_took_off_comes_back_by_itself_but_in_a_pause_and_after_a_stop",
        ],
    ),
    ("the target is above it", &["broken::somebody_gave_the_candidate_more_or_brought_back_what_was_rolled_back"]),
    ("what was restored is gone", &["broken::somebody_gave_the_candidate_more_or_brought_back_what_was_rolled_back"]),
    (
        "the target can be seen only now and then",
        &["broken::the_target_is_seen_now_and_then_only_and_its_candidate_fails"],
    ),
    (
        "a rollback goes to a version that this applier never served",
        &["applier::a_rollback_to_where_this_applier_never_was_is_no_success"],
    ),
    (
        "a rollback failed",
        &[
            "rollback::where_the_old_version_died_the_stop_is_carried_out_and_the_restoration_fails_until_another_is_signed",
        ],
    ),
    ("another applier has its name", &["broken::another_applier_has_its_name"]),
    (
        "the policy gives the target to another applier, or to nobody",
        &["broken::the_policy_gives_the_target_to_another_applier_or_to_nobody"],
    ),
    (
        "the disk is full; clone or state folder is read-only; a killed Git left a lock",
        &[
            "applier_unwritable::on_a_full_disk_a_stop_that_is_pushed_afterwards_is_carried_out_and_written_down_later",
            "applier_unwritable::where_the_clone_is_read_only_a_stop_that_is_pushed_afterwards_is_carried_out",
            "applier_unwritable::where_the_state_folder_is_read_only_a_stop_is_carried_out_and_pushed",
            "applier_unwritable::a_lock_that_a_killed_git_left_behind_keeps_no_stop_away",
        ],
    ),
    ("the clone becomes unreadable while it runs", &["broken::the_clone_cannot_be_read_any_more"]),
    (
        "the clone's disk or its Git hangs",
        &[
            "waiting::the_disk_and_the_git_of_the_clone_hang_while_a_candidate_fails",
            "waiting::the_git_of_the_clone_hangs_while_a_stop_that_is_known_becomes_possible",
        ],
    ),
    (
        "its key file is gone",
        &["applier_unwritable::where_the_key_is_gone_a_stop_is_carried_out_and_signed_for_once_it_is_back"],
    ),
    (
        "the journal is unreadable, or of another root",
        &["applier_unwritable::a_journal_that_cannot_be_read_keeps_no_stop_away_and_is_not_written_over"],
    ),
    (
        "the port of `metrics-listen` is taken",
        &["applier_service::where_somebody_else_has_the_port_of_metrics_that_is_said_and_stops_are_carried_out"],
    ),
    (
        "HAProxy's state file cannot be written",
        &["haproxy_odd::a_file_with_the_servers_state_carries_the_weights_over_a_restart"],
    ),
    (
        "somebody moved the target between its pack and the first shift",
        &["applier::a_target_that_somebody_moved_after_its_pack_was_taken_is_not_shifted"],
    ),
    (
        "an internal failure in a critical section",
        &["applier_service::an_applier_that_can_only_fail_from_now_on_ends_and_is_not_taken_for_alive"],
    ),
    (
        "it was killed, anywhere",
        &["broken::it_is_killed_again_and_again", "applier_killed::killed_anywhere_on_the_way_to_the_next_tier"],
    ),
];

/// What the lines about broken things promise is tried: each has tests, and each of those is there.
#[test]
fn each_line_of_what_stops_still_do_has_a_test_that_there_is() {
    let page = text("docs/operations.md");
    let (_, lists) = page.split_once("### What it holds for").unwrap();
    let conditions = lists.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**"));
    let when: BTreeSet<_> = conditions.map(|(when, _)| when).collect();
    let tested: BTreeSet<_> = BROKEN.iter().map(|(when, _)| *when).collect();
    assert_eq!(when, tested, "a line without tests, or tests without a line");
    for (row, names) in BROKEN {
        assert!(!names.is_empty(), "no test is named: {row}");
        for name in *names {
            let (file, test) = name.split_once("::").unwrap_or_else(|| panic!("`{name}` names no file: {row}"));
            let files = ["stories", "targets", "targets/drivers"].map(|folder| format!("tests/{folder}/{file}.rs"));
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let path = files.iter().find(|file| root.join(file).exists()).unwrap_or_else(|| panic!("no file: {name}"));
            assert!(text(path).contains(&format!("#[test]\nfn {test}() {{")), "{path} has no test {test}");
        }
    }
}
