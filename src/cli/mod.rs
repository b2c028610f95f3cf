//! The command line: one file a verb. Arguments in, calls, words out; no rules here.

#![allow(unreachable_pub, reason = "each verb is a private module whose Args and run read alike")]

mod account;
mod agent;
mod apply;
mod apply_log;
mod check;
mod ci;
mod clone;
mod completions;
mod demo;
mod doctor;
mod driver_test;
mod elsewhere;
mod evidence;
mod failure;
pub mod fresh;
mod gate;
mod governed;
pub mod ground;
mod help;
mod hook;
mod init;
mod kept;
mod key;
mod list;
mod log;
mod man;
mod mend;
mod new;
mod notify;
mod observed;
mod output;
mod pack;
mod pager;
mod printer;
mod refuse;
mod remotes;
mod report;
mod risk;
mod schema;
pub mod session;
mod show;
mod sign;
mod signers;
mod statement;
mod status;
mod steps;
mod subject;
mod sync;
mod terminal;
mod tidy;
mod trust;
mod turn;
mod undo;
mod verify;
mod wait;
mod watch;
mod words;

use std::{ffi::OsString, panic, path::PathBuf, process::ExitCode, sync::OnceLock};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    git::Repository,
    model::{Reason, Refusal},
    process,
};

pub use failure::Failure;
pub use schema::schema;
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
                  root); 4 stale; 5 a stop could not be carried out.\nWherever a verb takes LEASE it takes a lease id, an intent id or a target."
)]
pub struct CommandLine {
    /// Run as if started in this folder
    #[arg(short = 'C', value_name = "PATH", global = true)]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

impl CommandLine {
    fn parsed(args: &[OsString]) -> Result<Self, clap::Error> {
        Self::from_arg_matches(&command().try_get_matches_from(args)?)
    }

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

/// Makes the verbs of their table: what the parser knows, what runs, and how a verb prints, so that a failure is printed
/// in that form too.
macro_rules! verbs {
    ($($(#[$how:meta])* $verb:ident($args:ty) => $run:path $(, |$given:ident| $format:expr)?;)+) => {
        #[derive(Debug, Subcommand)]
        enum Verb {
            $($(#[$how])* $verb($args),)+
        }

        impl Verb {
            fn run(&self, place: &Place) -> Result<(), Failure> {
                match self {
                    $(Self::$verb(args) => $run(args, place),)+
                }
            }

            fn format(&self) -> Format {
                match self {
                    $($(Self::$verb($given) => $format,)?)+
                    _ => Format::Text,
                }
            }
        }
    };
}

verbs! {
    Init(init::Args) => init::run;
    Clone(clone::Args) => clone::run;
    Trust(trust::Args) => trust::run;
    #[command(visible_alias = "push")]
    Sync(sync::Args) => sync::run, |args| args.format;
    Undo(undo::Args) => undo::run, |args| args.format;
    Tidy(tidy::Args) => tidy::run, |args| args.format;
    New(Box<new::Args>) => new::run, |args| args.format();
    #[command(visible_alias = "sign-lease")]
    Sign(sign::Args) => sign::run, |args| args.format();
    Refuse(refuse::Args) => refuse::run, |args| args.format();
    #[command(flatten)]
    Forward(steps::ForwardVerb) => steps::ForwardVerb::run, |args| args.format();
    #[command(flatten)]
    Stop(steps::StopVerb) => steps::StopVerb::run, |args| args.format();
    Wait(wait::Args) => wait::run;
    Verify(verify::Args) => verify::run, |args| args.format;
    Status(status::Args) => status::run, |args| args.format;
    #[command(visible_alias = "list-leases")]
    List(list::Args) => list::run, |args| args.format;
    Show(show::Args) => show::run, |args| args.format;
    Log(log::Args) => log::run, |args| args.format.of_failure();
    Check(check::Args) => check::run, |args| args.format;
    Statement(statement::Args) => statement::run;
    Key(key::Args) => key::run, |args| args.format();
    Doctor(doctor::Args) => doctor::run, |args| args.format;
    Gate(gate::Args) => gate::run, |args| args.format;
    Risk(risk::Args) => risk::run, |args| args.format();
    Agent(agent::Args) => agent::run, |args| args.format;
    Report(report::Args) => report::run;
    Apply(apply::Args) => apply::run, |args| args.format;
    Pack(pack::Args) => pack::run, |args| args.format();
    DriverTest(driver_test::Args) => driver_test::run, |args| args.format;
    Demo(demo::Args) => demo::run;
    Completions(completions::Args) => completions::run;
    Man(man::Args) => man::run;
    Hook(hook::Args) => hook::run;
    Ci(ci::Args) => ci::run, |args| args.format;
}

impl Verb {
    /// Whether it signs, proposes or pushes: then it gives an account.
    fn writes(&self) -> bool {
        match self {
            Self::Sync(_)
            | Self::Undo(_)
            | Self::Tidy(_)
            | Self::New(_)
            | Self::Sign(_)
            | Self::Refuse(_)
            | Self::Forward(_)
            | Self::Stop(_) => true,
            Self::Key(args) => args.writes(),
            _ => false,
        }
    }
}

/// Where a verb runs.
#[derive(Debug)]
pub struct Place {
    /// The folder given by `-C`, else the current one.
    pub folder: PathBuf,
    /// The repository there, once somebody has asked Git for it: each part of a verb works in the same one.
    opened: OnceLock<Repository>,
}

impl Place {
    /// A folder, in which nobody has looked yet.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder, opened: OnceLock::new() }
    }

    /// The same folder, to be looked at anew: what lasts long sees what is configured meanwhile.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::at(self.folder.clone())
    }
}

/// Runs the program.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let line = match CommandLine::known(&args).map_or_else(|| CommandLine::parsed(&args), Ok) {
        Ok(line) => line,
        Err(error) => {
            // Help and version come as errors too; clap knows where each is printed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let place = Place::at(line.folder.clone().unwrap_or_else(|| PathBuf::from(".")));
    let format = line.verb.format();
    if format == Format::Json && line.verb.writes() {
        account::begin();
    }
    if line.verb.writes() || matches!(line.verb, Verb::Clone(_)) {
        process::heed_interrupts();
    }
    let outcome = panic::catch_unwind(|| line.verb.run(&place));
    let outcome = outcome.unwrap_or_else(|_| {
        let message = "internal error; nothing was decided";
        Err(Failure::Undecided(Refusal::new(Reason::Internal, message).hint("report it with the message above")))
    });
    let done = account::end();
    match outcome {
        Ok(()) => {
            if let Some(done) = done {
                terminal::say_value(&done);
            }
            let Some(lost) = terminal::lost() else { return ExitCode::SUCCESS };
            terminal::remark(&lost.lines(&verb(&args)).unwrap_or_default());
            lost.exit()
        }
        Err(failure) => {
            if format == Format::Json
                && let Some(value) = failure.json(done.filter(|done| !done.is_empty()))
            {
                terminal::say_json(&value);
            }
            if let Some(lines) = failure.lines(&verb(&args)) {
                terminal::remark(&lines);
            }
            process::end_if_interrupted();
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

/// The whole command line, for man pages, completions and tests.
pub fn command() -> clap::Command {
    help::under_headings(CommandLine::command())
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
            assert_eq!(known, CommandLine::parsed(&hook).map(|line| format!("{line:?}")).ok());
            assert!(known.is_some());
        }
        for other in [&["git-two-key"][..], &["git-two-key", "hook"], &["git-two-key", "hook", "pre-receive", "--help"]]
        {
            assert!(CommandLine::known(&line(other)).is_none(), "{other:?}");
        }
    }
}
