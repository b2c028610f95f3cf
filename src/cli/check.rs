//! `check`: lease and policy files, before anybody signs them.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::{
    follower::records::basis_points,
    gate::health::unmeasurable,
    ledger::{PinnedTerms, State},
    model::{
        MAX_FILE_BYTES, Reason, Refusal,
        document::{DocumentError, Problem},
        lease::{self, Lease},
        policy::{self, Policy},
    },
    reconciler::{ApplierConfig, opening},
    report::{self, Advice, CheckedFile, CheckedFiles, Expected, escaped, lease_alarms, lease_doubts},
    sources::Sources,
};
use clap::Args as ClapArgs;

use super::{Failure, Format, Place, governed::Which, session::Session, terminal};

/// Check lease and policy files
///
/// Reads the files as strictly as the ledger does and says what is wrong at which line and column. In a governance
/// repository it also checks them against the policy in force: leases against its risk bands and targets, a policy as
/// the next version. Without FILE it checks every lease and the policy of the worktree. What is only unwise is a
/// warning. It also says how likely a healthy lease is to be stopped by its own gates, and the smallest harm that
/// they can show.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key check\n  \
    git two-key check leases/*.yaml\n  \
    git two-key check --config applier.yaml --format json\n\n\
    Exit codes: 0 no errors, though there may be warnings; 1 a file could never be in force as it is.")]
pub struct Args {
    /// Files to check
    files: Vec<PathBuf>,
    /// An applier's configuration: leases are then held to the weights that its targets can reach
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Total requests per second; says how small a regression the gates can detect
    #[arg(long, value_name = "PER-SECOND", value_parser = positive)]
    traffic: Option<f64>,
    /// Baseline error rate in percent [default: 0.5]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    bad: Option<f64>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// More requests a second than anything serves.
const MOST: f64 = 1e9;

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is a number".to_owned())?;
    if number > 0.0 && number <= MOST { Ok(number) } else { Err(format!("it is above 0, and at most {MOST}")) }
}

fn percent(text: &str) -> Result<f64, String> {
    positive(text).and_then(|number| if number < 100.0 { Ok(number) } else { Err("it is below 100".to_owned()) })
}

/// Checks files.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = match Session::open(place, &Which::Local) {
        Ok(session) => Some(session),
        Err(failure) => {
            let why =
                failure.json(None).and_then(|json| json["message"].as_str().map(str::to_owned)).unwrap_or_default();
            terminal::remark(&format!("only the form is checked: {why}"));
            None
        }
    };
    let worktree = session.as_ref().and_then(|session| session.repo.worktree().map(Path::to_owned));
    let top = worktree.unwrap_or_else(|| place.folder.clone());
    let files = if args.files.is_empty() { all_files(&top)? } else { args.files.clone() };
    if files.is_empty() {
        let message = format!("{} has no .two-key/policy.yaml and no leases", top.display());
        return Err(Failure::undecided(Reason::NotFound, message));
    }
    let state = session.as_ref().map(|session| &session.state);
    let config = args.config.as_ref().map(|file| ApplierConfig::load(&place.folder.join(file))).transpose();
    let mut config = config.map_err(Failure::Undecided)?;
    if let Some(config) = &mut config {
        config.repository.get_or_insert_with(|| place.folder.clone());
    }
    let checked = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&top).unwrap_or(file);
            let expected = Expected { per_second: args.traffic, bad: args.bad };
            check(&place.folder.join(file), &name.to_string_lossy(), state, config.as_ref(), expected)
        })
        .collect::<Result<Vec<_>, _>>()?;
    say(args.format, &checked)
}

/// The policy and the leases of a worktree.
fn all_files(top: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let policy = top.join(".two-key/policy.yaml");
    if policy.symlink_metadata().is_ok() {
        files.push(policy);
    }
    leases_below(&top.join("leases"), 0, &mut files)
        .map_err(|error| Failure::undecided(Reason::Io, format!("reading leases/: {error}")))?;
    Ok(files)
}

fn leases_below(folder: &Path, depth: u8, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if depth > 15 || !folder.is_dir() {
        return Ok(());
    }
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_type()?.is_dir() {
            leases_below(&entry.path(), depth + 1, files)?;
        } else if entry.path().extension().is_some_and(|extension| extension == "yaml") {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn check(
    file: &Path,
    name: &str,
    state: Option<&State>,
    config: Option<&ApplierConfig>,
    expected: Expected,
) -> Result<CheckedFile, Failure> {
    let unreadable = |error| Failure::undecided(Reason::Io, format!("reading {}: {error}", file.display()));
    let kind = fs::symlink_metadata(file).map_err(unreadable)?;
    if !kind.is_file() {
        let refusal = Refusal::new(Reason::Malformed, "it is not a regular file; links are never followed");
        return Ok(CheckedFile::refused(name, "unknown", &refusal));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    fs::File::open(file).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    let says_principals = bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"principals:"));
    let is_policy = name.ends_with("policy.yaml") || says_principals;
    Ok(if is_policy { check_policy(&bytes, name, state) } else { check_lease(&bytes, name, state, config, expected) })
}

fn check_policy(bytes: &[u8], name: &str, state: Option<&State>) -> CheckedFile {
    match policy::read(bytes) {
        Ok(proposed) => CheckedFile::advised(name, "policy", report::policy_advice(state, &proposed)),
        Err(error) => CheckedFile::malformed(name, "policy", error),
    }
}

fn check_lease(
    bytes: &[u8],
    name: &str,
    state: Option<&State>,
    config: Option<&ApplierConfig>,
    expected: Expected,
) -> CheckedFile {
    let proposed = match lease::read(bytes) {
        Ok(proposed) => proposed,
        Err(error) => return CheckedFile::malformed(name, "lease", error),
    };
    let id = &proposed.get().id;
    let filed = Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if filed != id.as_str() {
        let message = format!("it says that it is lease {id}, so it must be named {id}.yaml");
        return CheckedFile::refused(name, "lease", &Refusal::new(Reason::Malformed, message));
    }
    let policy: Option<&Policy> = state.map(|state| state.policy().get());
    let mut advice = policy.map(|policy| report::lease_advice(policy, state, &proposed)).unwrap_or_default();
    advice.notes.extend(policy.into_iter().flat_map(|policy| lease_alarms(policy, proposed.get(), expected)));
    advice.warnings.extend(policy.into_iter().flat_map(|policy| lease_doubts(policy, proposed.get(), expected)));
    if let Some(config) = config {
        let terms = policy.map(|policy| PinnedTerms::of(policy, &proposed.get().target));
        check_sources(terms.as_ref(), config, &mut advice);
        check_reach(proposed.get(), config, &mut advice);
    }
    #[allow(clippy::disallowed_methods, reason = "the clock is read here; a warning is all that comes of it")]
    if proposed.get().expires < jiff::Timestamp::now() {
        advice.warnings.push(format!("its window was over at {}", proposed.get().expires));
    }
    CheckedFile::advised(name, "lease", advice)
}

/// Holds a lease's gates and limits to what the configuration can measure of them, and in time.
fn check_sources(terms: Option<&PinnedTerms>, config: &ApplierConfig, advice: &mut Advice) {
    let (Some(terms), Some(metrics)) = (terms, &config.metrics) else { return };
    let refused = match Sources::open(metrics) {
        Ok(sources) => unmeasurable(terms, Some(&sources)),
        Err(refusal) => Some(refusal),
    };
    advice.warnings.extend(refused.map(|refusal| {
        let hint = refusal.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("the applier could not watch it: {}{hint}", refusal.message)
    }));
}

/// Holds a lease's tiers to what its target can reach: by the configuration, and by what is there if it can be asked.
fn check_reach(lease: &Lease, config: &ApplierConfig, advice: &mut Advice) {
    let Some(place) = config.targets.get(&lease.target) else {
        advice.warnings.push(format!("the applier's configuration has no target {}", lease.target));
        return;
    };
    let weights = || lease.tiers.iter().map(|tier| basis_points(tier.weight));
    if let Some(refusal) = weights().find_map(|weight| place.reaches(weight).err()) {
        advice.errors.push(refusal);
        return;
    }
    let asked = opening::driver(config, &lease.target, Some(lease), None).and_then(|driver| {
        let survey = driver.survey()?;
        let remark = |remark| format!("target {}: {remark}", lease.target);
        advice.warnings.extend(survey.remarks.into_iter().map(remark));
        advice.errors.extend(survey.faults.into_iter().filter(|fault| fault.reason != Reason::NoData));
        weights().try_for_each(|weight| driver.reaches(weight))
    });
    match asked {
        Ok(()) => {}
        Err(refusal) if refusal.reason == Reason::Malformed => advice.errors.push(refusal),
        Err(refusal) => {
            advice.warnings.push(format!("target {} could not be asked what it reaches: {refusal}", lease.target));
        }
    }
}

impl CheckedFile {
    fn advised(path: &str, kind: &'static str, advice: Advice) -> Self {
        let problem = |refusal: &Refusal| Problem { line: 0, column: 0, message: refusal.message.clone() };
        Self {
            path: path.to_owned(),
            kind,
            ok: advice.errors.is_empty(),
            reason: advice.errors.first().map(|refusal| refusal.reason),
            problems: advice.errors.iter().map(problem).collect(),
            warnings: advice.warnings,
            notes: advice.notes,
            hint: advice.errors.into_iter().find_map(|refusal| refusal.hint),
        }
    }

    fn refused(path: &str, kind: &'static str, refusal: &Refusal) -> Self {
        Self::advised(path, kind, Advice { errors: vec![refusal.clone()], ..Advice::default() })
    }

    fn malformed(path: &str, kind: &'static str, error: DocumentError) -> Self {
        let (reason, problems) = (Some(error.reason), error.problems);
        Self {
            path: path.to_owned(),
            kind,
            ok: false,
            reason,
            problems,
            warnings: Vec::new(),
            notes: Vec::new(),
            hint: None,
        }
    }

    /// The refusal of the whole file.
    fn failure(&self) -> Option<Failure> {
        let message = self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let mut refusal = Refusal::new(self.reason?, message);
        refusal.hint.clone_from(&self.hint);
        Some(Failure::refused(self.path.as_str(), refusal))
    }

    /// A line for each thing that there is to say, as compilers do.
    fn lines(&self) -> Vec<String> {
        let path = escaped(&self.path);
        let place = |problem: &Problem| {
            if problem.line == 0 { format!("{path}: {problem}") } else { format!("{path}:{problem}") }
        };
        let problems = self.problems.iter().map(place);
        let warnings = self.warnings.iter().map(|warning| format!("{path}: warning: {warning}"));
        let notes = self.notes.iter().map(|note| format!("{path}: note: {note}"));
        problems.chain(warnings).chain(notes).collect()
    }
}

fn say(format: Format, checked: &[CheckedFile]) -> Result<(), Failure> {
    let bad = checked.iter().filter(|file| !file.ok).count();
    match format {
        Format::Json => terminal::say_value(&CheckedFiles {
            ok: bad == 0,
            reason: checked.iter().find_map(|file| file.reason),
            files: checked.to_vec(),
        }),
        Format::Text => {
            let mut lines: Vec<_> = checked.iter().flat_map(CheckedFile::lines).collect();
            let warnings: usize = checked.iter().map(|file| file.warnings.len()).sum();
            let files = checked.len();
            lines.push(format!("checked {files} file{}: {bad} refused, {warnings} warning{}", s(files), s(warnings)));
            terminal::say(&lines.join("\n"));
        }
    }
    for failure in checked.iter().filter_map(CheckedFile::failure) {
        terminal::remark(&failure.lines("check").unwrap_or_default());
    }
    if bad == 0 { Ok(()) } else { Err(Failure::Said(1)) }
}

fn s(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}
