//! The command line: one file a verb. Arguments in, calls, words out; no rules here.

#![allow(unreachable_pub, reason = "each verb is a private module whose Args and run read alike")]

mod agent;
mod apply;
mod apply_log;
mod approve;
mod check;
mod ci;
mod clone;
mod complete;
mod completions;
mod demo;
mod doctor;
mod driver_test;
mod evidence;
mod failure;
mod freeze;
pub mod fresh;
mod gate;
pub mod ground;
mod halt;
mod hook;
mod init;
mod key;
mod list;
mod log;
mod man;
mod new;
mod notify;
mod observed;
mod output;
mod pack;
mod pause;
mod promote;
mod refuse;
mod remotes;
mod report;
mod resume;
mod risk;
mod rollback;
pub mod session;
mod show;
mod sign;
mod start;
mod statement;
mod status;
mod subject;
mod sync;
mod teller;
mod terminal;
mod thaw;
mod trust;
mod turn;
mod verify;
mod wait;
mod watch;
mod withdraw;

use std::{ffi::OsString, panic, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::model::{Reason, Refusal};

pub use failure::Failure;
pub use terminal::Format;

/// Two-key governance in Git.
///
/// A rollout goes forward only when a human key and an agent key have both been turned for exactly that step; any
/// one key can stop it. Everything that was decided is in one Git repository, signed, and can be verified offline by
/// anyone who has a clone and the root commit id.
#[derive(Debug, Parser)]
#[command(
    name = "git two-key",
    bin_name = "git two-key",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 holds; 1 refused; 2 wrong usage; 3 could not be decided (repository, I/O, network, no \
                  root); 4 stale.\nWherever a verb takes LEASE it takes a lease id, an intent id or a target."
)]
pub struct CommandLine {
    /// Run as if started in this folder
    #[arg(short = 'C', value_name = "PATH", global = true)]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

impl CommandLine {
    /// The lines that every push runs. To describe all verbs to the parser takes as long as to judge a commit.
    fn known(args: &[OsString]) -> Option<Self> {
        let words: Vec<&str> = args.iter().skip(1).map(|word| word.to_str()).collect::<Option<_>>()?;
        let hook = match words.as_slice() {
            ["hook", "pre-receive"] => hook::Args::PRE_RECEIVE,
            ["hook", "reference-transaction"] => hook::Args::REFERENCE_TRANSACTION,
            _ => return None,
        };
        Some(Self { folder: None, verb: Verb::Hook(hook) })
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Args),
    Clone(clone::Args),
    Trust(trust::Args),
    #[command(visible_alias = "push")]
    Sync(sync::Args),
    New(Box<new::Args>),
    #[command(visible_alias = "sign-lease")]
    Sign(sign::Args),
    Refuse(refuse::Args),
    Start(start::Args),
    Promote(promote::Args),
    #[command(visible_alias = "approve-next-tier")]
    Approve(approve::Args),
    #[command(visible_alias = "pause-rollout")]
    Pause(pause::Args),
    Resume(resume::Args),
    #[command(visible_alias = "abort")]
    Halt(halt::Args),
    #[command(visible_alias = "force-rollback")]
    Rollback(rollback::Args),
    Complete(complete::Args),
    #[command(visible_alias = "reject")]
    Withdraw(withdraw::Args),
    Freeze(freeze::Args),
    Thaw(thaw::Args),
    Wait(wait::Args),
    Verify(verify::Args),
    Status(status::Args),
    #[command(visible_alias = "list-leases")]
    List(list::Args),
    Show(show::Args),
    Log(log::Args),
    Check(check::Args),
    Statement(statement::Args),
    Key(key::Args),
    Doctor(doctor::Args),
    Gate(gate::Args),
    Risk(risk::Args),
    Agent(agent::Args),
    Report(report::Args),
    Apply(apply::Args),
    Pack(pack::Args),
    DriverTest(driver_test::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
    Hook(hook::Args),
    Ci(ci::Args),
}

impl Verb {
    /// How the verb prints, so that a failure is printed in that form too.
    fn format(&self) -> Format {
        match self {
            Self::Verify(args) => args.format,
            Self::Status(args) => args.format,
            Self::List(args) => args.format,
            Self::Show(args) => args.format,
            Self::Log(args) => args.format.of_failure(),
            Self::Check(args) => args.format,
            Self::Doctor(args) => args.format,
            Self::Key(args) => args.format(),
            Self::Gate(args) => args.format,
            Self::Risk(args) => args.format(),
            Self::Agent(args) => args.format,
            Self::Apply(args) => args.format,
            Self::Pack(args) => args.format(),
            Self::DriverTest(args) => args.format,
            Self::Ci(args) => args.format,
            _ => Format::Text,
        }
    }
}

/// Where a verb runs.
#[derive(Debug)]
pub struct Place {
    /// The folder given by `-C`, else the current one.
    pub folder: PathBuf,
}

/// Runs the program.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let line = match CommandLine::known(&args).map_or_else(|| CommandLine::try_parse_from(&args), Ok) {
        Ok(line) => line,
        Err(error) => {
            // Help and version come as errors too; clap knows where each is printed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = panic::catch_unwind(|| dispatch(&line));
    let outcome = outcome.unwrap_or_else(|_| {
        let message = "a fault of this program; nothing may be concluded from it";
        Err(Failure::Undecided(Refusal::new(Reason::Internal, message).hint("report it with the message above")))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if line.verb.format() == Format::Json
                && let Some(value) = failure.json()
            {
                terminal::say_json(&value);
            }
            if let Some(lines) = failure.lines(&verb(&args)) {
                terminal::remark(&lines);
            }
            failure.exit()
        }
    }
}

/// The verb that was given, with what is below it: `key add`.
fn verb(args: &[OsString]) -> String {
    let Ok(matches) = command().try_get_matches_from(args) else { return String::new() };
    let mut words = Vec::new();
    let mut at = &matches;
    while let Some((word, below)) = at.subcommand() {
        words.push(word);
        at = below;
    }
    words.join(" ")
}

fn dispatch(line: &CommandLine) -> Result<(), Failure> {
    let place = Place { folder: line.folder.clone().unwrap_or_else(|| PathBuf::from(".")) };

    match &line.verb {
        Verb::Init(args) => init::run(args, &place),
        Verb::Clone(args) => clone::run(args, &place),
        Verb::Trust(args) => trust::run(args, &place),
        Verb::Sync(args) => sync::run(args, &place),
        Verb::New(args) => new::run(args, &place),
        Verb::Sign(args) => sign::run(args, &place),
        Verb::Refuse(args) => refuse::run(args, &place),
        Verb::Start(args) => start::run(args, &place),
        Verb::Promote(args) => promote::run(args, &place),
        Verb::Approve(args) => approve::run(args, &place),
        Verb::Pause(args) => pause::run(args, &place),
        Verb::Resume(args) => resume::run(args, &place),
        Verb::Halt(args) => halt::run(args, &place),
        Verb::Rollback(args) => rollback::run(args, &place),
        Verb::Complete(args) => complete::run(args, &place),
        Verb::Withdraw(args) => withdraw::run(args, &place),
        Verb::Freeze(args) => freeze::run(args, &place),
        Verb::Thaw(args) => thaw::run(args, &place),
        Verb::Wait(args) => wait::run(args, &place),
        Verb::Verify(args) => verify::run(args, &place),
        Verb::Status(args) => status::run(args, &place),
        Verb::List(args) => list::run(args, &place),
        Verb::Show(args) => show::run(args, &place),
        Verb::Log(args) => log::run(args, &place),
        Verb::Statement(args) => statement::run(args, &place),
        Verb::Key(args) => key::run(args, &place),
        Verb::Check(args) => check::run(args, &place),
        Verb::Doctor(args) => doctor::run(args, &place),
        Verb::Gate(args) => gate::run(args, &place),
        Verb::Risk(args) => risk::run(args, &place),
        Verb::Agent(args) => agent::run(args, &place),
        Verb::Report(args) => report::run(args, &place),
        Verb::Apply(args) => apply::run(args, &place),
        Verb::Pack(args) => pack::run(args, &place),
        Verb::DriverTest(args) => driver_test::run(args, &place),
        Verb::Demo(args) => demo::run(args, &place),
        Verb::Completions(args) => {
            completions::run(args);
            Ok(())
        }
        Verb::Man(args) => man::run(args, &place),
        Verb::Hook(args) => hook::run(args, &place),
        Verb::Ci(args) => ci::run(args, &place),
    }
}

/// The whole command line, for man pages, completions and tests.
pub fn command() -> clap::Command {
    <CommandLine as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_without_the_parser_is_what_it_says() {
        let line = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for hook in ["pre-receive", "reference-transaction"] {
            let hook = line(&["git-two-key", "hook", hook]);
            let known = CommandLine::known(&hook).map(|line| format!("{line:?}"));
            assert_eq!(known, CommandLine::try_parse_from(&hook).map(|line| format!("{line:?}")).ok());
            assert!(known.is_some());
        }
        for other in [&["git-two-key"][..], &["git-two-key", "hook"], &["git-two-key", "hook", "pre-receive", "--help"]]
        {
            assert!(CommandLine::known(&line(other)).is_none(), "{other:?}");
        }
    }
}
