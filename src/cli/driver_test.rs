//! `driver-test`: the conformance kit.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use clap::Args as ClapArgs;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::{
    follower::state_folder::StateFolder,
    model::{LeaseId, Reason, Refusal, TargetId, document::Span, lease},
    reconciler::{
        ApplierConfig,
        conformance::{self, ConformanceStep, DriverUnderTest},
        drivers::{Context, Driver, ExecDriver, ExecDriverConfig, Setting},
        opening,
    },
};

use super::{Failure, Format, Place, terminal};

/// For whom a driver is tried: no lease has this id.
const LEASE: &str = "LEASE-driver-test";
/// How long one call of a program may take.
const PATIENCE: Span = Span::seconds(30);

/// Try whether a driver does what every driver must
///
/// Runs the conformance kit: observe, snapshot, garbage, apply, double apply, drift, being killed in the middle, lies about
/// success, slowness, restore. It MOVES WEIGHTS: to 5 %, 25 % and 0 %, and puts back what was there. Try it where nobody is
/// served. PROGRAM speaks two-key.driver/1; with --config a target's driver is tried as its applier opens it, while the applier is
/// kept out; where the target has a lease it asks first.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key driver-test /usr/local/lib/two-key/shift --arg staging\n  \
    git two-key driver-test --config applier.yaml --target staging\n\n\
    Exit codes: 0 it passes; 1 it does not; 3 it could not be tried.")]
pub struct Args {
    /// The program, by its absolute path
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    program: Option<PathBuf>,
    /// Arguments of the program, one each
    #[arg(long, value_name = "ARG", requires = "program", allow_hyphen_values = true)]
    arg: Vec<String>,
    /// The applier's configuration
    #[arg(long, value_name = "FILE", requires = "target")]
    config: Option<PathBuf>,
    /// The target in it
    #[arg(long, value_parser = |text: &str| TargetId::parse(text).ok_or("no name of a target"))]
    target: Option<TargetId>,
    /// Do not ask where the target has a lease
    #[arg(long, requires = "config")]
    yes: bool,
    /// Only shift, to so many basis points: what is killed in the middle
    #[arg(long, hide = true, requires = "config")]
    shift: Option<u32>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Tries a driver.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let undecided = Failure::Undecided;
    let (steps, name) = match (&args.program, &args.config, &args.target) {
        (Some(program), _, _) => (program_steps(program, &args.arg).map_err(undecided)?, program.display().to_string()),
        (None, Some(config), Some(target)) => {
            let mut config = ApplierConfig::load(&place.folder.join(config)).map_err(undecided)?;
            config.repository.get_or_insert_with(|| place.folder.clone());
            let lease = lease_for(target, &[]).map_err(undecided)?;
            let driver = opening::driver(&config, target, Some(&lease), None).map_err(undecided)?;
            if let Some(weight_bp) = args.shift {
                return driver.shift(&Setting { weight_bp, lease: lease.id, step: 1 }).map_err(undecided);
            }
            let _taken = take(&config, target, args)?;
            let kill = |to: &Setting, after: Duration| kill_ourselves(args, place, to, after);
            (try_all(&DriverUnderTest { driver: &*driver, lease: lease.id, kill: &kill }), target.to_string())
        }
        _ => return Err(Failure::Usage("name a program, or a configuration with --config and --target".to_owned())),
    };
    say(args.format, &name, &steps)
}

/// Keeps the applier out for as long as what is returned lives, and asks where the target has a lease.
fn take(config: &ApplierConfig, target: &TargetId, args: &Args) -> Result<StateFolder, Failure> {
    let refused = |refusal: Refusal| Failure::refused(target.to_string(), refusal);
    let (folder, lease) = opening::take(config, target).map_err(refused)?;
    let Some(lease) = lease.filter(|_| !args.yes) else { return Ok(folder) };
    let message =
        format!("target {target} has lease {lease}: trying its driver moves the weights of who is served there");
    let agrees = terminal::interactive() && {
        terminal::remark(&format!("{message}\nGo on? Type the target's name:"));
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).is_ok() && line.trim() == target.as_str()
    };
    if agrees {
        return Ok(folder);
    }
    Err(refused(Refusal::new(Reason::WrongState, message).hint("if nobody is served there, say so with: --yes")))
}

fn try_all(subject: &DriverUnderTest<'_>) -> Vec<ConformanceStep> {
    terminal::patiently("trying the driver", || conformance::try_all(subject))
}

/// A program is killed by its own driver, at a deadline that comes too soon.
fn program_steps(program: &std::path::Path, args: &[String]) -> Result<Vec<ConformanceStep>, Refusal> {
    let config = ExecDriverConfig { program: program.to_owned(), args: args.to_vec(), timeout: PATIENCE };
    config.check().map_err(|why| Refusal::new(Reason::Malformed, why).hint("name the program by its absolute path"))?;
    let target = TargetId::parse("driver-test").ok_or_else(|| Refusal::new(Reason::Internal, "no target"))?;
    let lease = lease_for(&target, &[program])?;
    let folder = tempfile::tempdir()
        .map_err(|error| Refusal::new(Reason::Io, format!("a temporary folder cannot be made: {error}")))?;
    let context = Context { folder: folder.path().to_owned(), lease: Some(&lease), before: &|| None };
    let open = || ExecDriver::open(&target, config.clone(), &context);
    let driver = open();
    driver.reversible()?;
    let kill = |to: &Setting, after: Duration| {
        // That it is killed is what is wanted; what it left is looked at next.
        let _ = open().within(after.max(Duration::from_millis(1))).shift(to);
        Ok(())
    };
    Ok(try_all(&DriverUnderTest { driver: &driver, lease: lease.id.clone(), kill: &kill }))
}

/// A lease for nobody but the kit.
fn lease_for(target: &TargetId, programs: &[&std::path::Path]) -> Result<lease::Lease, Refusal> {
    let id = LeaseId::parse(LEASE).ok_or_else(|| Refusal::new(Reason::Internal, "no lease"))?;
    let commands: Vec<_> = programs.iter().map(|program| program.display().to_string()).collect();
    let text = json!({
        "two-key": 1, "lease": id, "repository": "0".repeat(32), "target": target,
        "artifacts": [{"name": "driver-test", "digest": format!("sha256:{}", "0".repeat(64))}],
        "issued": "2000-01-01T00:00:00Z", "expires": "2100-01-01T00:00:00Z",
        "tiers": [{"weight": 5, "bake": "1m"}, {"weight": 25, "bake": "1m"}, {"weight": 100, "bake": "1m"}],
        "scope": {"commands": commands},
    });
    let read = lease::read(format!("{text}\n").as_bytes());
    read.map(|proposed| proposed.get().clone())
        .map_err(|error| Refusal::new(Reason::Internal, format!("the kit's lease is none: {error}")))
}

/// Shifts in a process of its own, which is killed with all that is in its group.
#[allow(clippy::disallowed_methods, reason = "the kit kills what it tries, which has to be another process")]
fn kill_ourselves(args: &Args, place: &Place, to: &Setting, after: Duration) -> Result<(), Refusal> {
    let failed = |error: std::io::Error| Refusal::new(Reason::Io, format!("nothing could be killed: {error}"));
    let mut line: Vec<OsString> = vec!["-C".into(), place.folder.clone().into(), "driver-test".into()];
    for (name, value) in [("--config", args.config.as_ref().map(|path| path.clone().into_os_string()))]
        .into_iter()
        .chain([("--target", args.target.as_ref().map(|target| target.as_str().into()))])
    {
        line.extend(value.into_iter().flat_map(|value| [OsString::from(name), value]));
    }
    line.extend(["--shift".into(), to.weight_bp.to_string().into()]);
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(line).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    std::thread::sleep(after);
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    // One that has ended already needs no killing.
    let _ = group.map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
    child.wait().map(drop).map_err(failed)
}

/// How a driver came out.
#[derive(Serialize, JsonSchema)]
pub(super) struct DriverTestView {
    /// Whether it did what every driver must.
    ok: bool,
    /// The driver.
    driver: String,
    /// What was tried, in order.
    steps: Vec<ConformanceStep>,
}

fn say(format: Format, name: &str, steps: &[ConformanceStep]) -> Result<(), Failure> {
    let ok = steps.iter().all(|step| step.ok);
    match format {
        Format::Json => terminal::say_value(&DriverTestView { ok, driver: name.to_owned(), steps: steps.to_vec() }),
        Format::Text => {
            let line = |step: &ConformanceStep| {
                format!("{} {:<18} {}", if step.ok { "ok  " } else { "FAIL" }, step.name, step.message)
            };
            let lines: Vec<_> = steps.iter().map(line).collect();
            let verdict = if ok { "passes" } else { "does not pass" };
            terminal::say(&format!("{}\n{name} {verdict}", lines.join("\n")));
        }
    }
    if ok { Ok(()) } else { Err(Failure::Said(1)) }
}
