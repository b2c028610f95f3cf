//! Help: the verbs under the headings that people look for.

use std::fmt::Write as _;

use clap::Command;

/// What people come for, and the verbs for it.
const HEADINGS: [(&str, &[&str]); 5] = [
    ("Sign", &["new", "sign", "start", "approve", "promote", "resume", "complete", "thaw", "refuse", "sync", "undo"]),
    ("See", &["status", "list", "show", "log", "report", "wait"]),
    ("Stop", &["pause", "halt", "rollback", "withdraw", "freeze"]),
    ("Operate", &["apply", "agent", "pack", "gate", "risk", "driver-test", "hook", "ci", "tidy"]),
    ("Inspect", &["verify", "doctor", "check", "statement"]),
];
/// What is done once.
const ONCE: (&str, &[&str]) = ("Set up", &["init", "clone", "trust", "key", "demo", "completions", "man"]);

/// The command with its verbs under headings in its own help.
pub fn under_headings(command: Command) -> Command {
    let mut verbs = String::new();
    for (heading, names) in HEADINGS.iter().chain([&ONCE]) {
        let _ = writeln!(verbs, "{heading}:");
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            let _ = writeln!(verbs, "  {name:<12} {}", about.unwrap_or_default());
        }
        verbs.push('\n');
    }
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{verbs}Options:\n{{options}}{{after-help}}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn every_verb_stands_under_one_heading_in_a_line_that_fits() {
        let command = cli::command();
        let mut under: Vec<_> = HEADINGS.iter().chain([&ONCE]).flat_map(|(_, names)| names.iter().copied()).collect();
        let mut verbs: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        under.sort_unstable();
        verbs.sort_unstable();
        assert_eq!(under, verbs);
        for verb in command.get_subcommands() {
            let about = verb.get_about().unwrap().to_string();
            assert!(about.len() <= 65, "{}: {about}", verb.get_name());
        }
    }
}
