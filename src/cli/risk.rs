//! `risk`: how large a change is beside earlier ones, and what there is about it.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use crate::{
    changes,
    follower::records,
    git::{GitError, Repository},
    model::{Oid, Reason, Refusal, TargetId, lease::Lease},
    risk::{self, Assessment, Circumstances, MODEL, RANGES, Sensitive, TargetPast},
};

use super::{Failure, Format, Place, fresh::ReadSource, session::Session, terminal};

/// Estimate how large a change is beside earlier ones
///
/// The score is a percentile, 0 to 100: of the change's size and spread (lines times files) among the last 200 ranges of as many
/// commits of its own repository. It describes and forecasts nothing. Beside it, never blended into it, stand factors: reverts and
/// rollbacks in 90 days, sensitive paths, lockfiles, migrations, deleted, renamed and binary files, no tests touched, another start
/// than what runs.
///
/// With LEASE it assesses the lease's change under the policy in force, and says whether the lease declares it and what
/// the policy demands. Without, it assesses any change of any repository.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key risk checkout-prod --repository ../checkout\n  \
    git two-key risk INT-2025-0042 --check --repository ../checkout\n  \
    git two-key risk --repository ../checkout --from v1.8.2 --to v1.9.0 \\\n    \
    --format yaml-block\n  \
    git two-key risk --repository ../checkout --from v1.8.2 --to v1.9.0 \\\n    \
    --target checkout-prod\n\n\
    Exit codes: 0 it was computed (--check: the declaration holds); 1 the declared score is too low or a factor is \
    missing; 3 it could not be computed.")]
pub struct Args {
    /// The lease: its id, its intent or its target
    #[arg(required_unless_present = "from", conflicts_with_all = ["from", "to"])]
    lease: Option<String>,
    /// The change's repository: a clone of it with its whole history; with LEASE, by default where the lease says, if
    /// that is a path
    #[arg(long, value_name = "PATH")]
    repository: Option<PathBuf>,
    /// What ran before: a commit of that repository, or the all-zero id for nothing
    #[arg(long, value_name = "COMMIT", requires_all = ["to", "repository"])]
    from: Option<String>,
    /// What will run
    #[arg(long, value_name = "COMMIT", requires = "from")]
    to: Option<String>,
    /// The target that it is for: asks the ledger here for the policy's sensitive paths and demands, for rollbacks,
    /// and for what runs there
    #[arg(long, requires = "from")]
    target: Option<String>,
    /// Compare with so many ranges instead of the 200 that the model's name pins
    #[arg(long, value_name = "N", requires = "from", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    last: Option<u32>,
    /// A path pattern that is sensitive, as under the policy's `risk.sensitive`; may be given several times
    #[arg(long, value_name = "PATTERN", requires = "from")]
    sensitive: Vec<String>,
    /// Refuse unless the lease declares at least what is computed
    #[arg(long, conflicts_with = "from")]
    check: bool,
    #[command(flatten)]
    source: ReadSource,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Print,
}

/// How an assessment is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Print {
    /// For people.
    #[default]
    Text,
    /// For programs; keeps its shape within a major version.
    Json,
    /// The line to paste into a lease.
    YamlBlock,
}

impl Args {
    /// How a failure is printed.
    pub(super) fn format(&self) -> Format {
        if self.format == Print::Json { Format::Json } else { Format::Text }
    }
}

/// Assesses.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    match (&args.lease, &args.repository, &args.from, &args.to) {
        (Some(lease), ..) => of_lease(args, place, lease),
        (None, Some(repository), Some(from), Some(to)) => of_change(args, place, repository, (from, to)),
        _ => Err(Failure::Usage("name a lease, or a change with --repository, --from and --to".to_owned())),
    }
}

fn of_change(args: &Args, place: &Place, repository: &Path, (from, to): (&str, &str)) -> Result<(), Failure> {
    let last = args.last.and_then(|last| usize::try_from(last).ok()).unwrap_or(RANGES);
    if args.format == Print::YamlBlock && last != RANGES {
        let message = format!("a lease declares a score of model {MODEL}, which compares with {RANGES} ranges");
        return Err(Failure::Usage(message));
    }
    let session = args.target.as_ref().map(|_| args.source.open(place)).transpose()?;
    let policy = session.as_ref().map(|session| session.state.policy().get());
    let patterns = policy.map(|policy| policy.risk.sensitive.clone()).unwrap_or_default();
    // By themselves first, so that it is said whose pattern is wrong.
    Sensitive::new(&args.sensitive).map_err(|refusal| Failure::Usage(refusal.message))?;
    let patterns = [patterns, args.sensitive.clone()].concat();
    let circumstances = Circumstances {
        sensitive: Sensitive::new(&patterns).map_err(Failure::Undecided)?,
        target: match (&session, &args.target) {
            (Some(session), Some(target)) => Some(target_past(session, target)?),
            _ => None,
        },
    };
    let mut assessment = assess(&place.folder.join(repository), (from, to), last, &circumstances)?;
    if let Some(policy) = policy {
        assessment = risk::answered(policy, assessment);
    }
    match args.format {
        Print::Text => {
            if let Some(session) = &session {
                session.say_remarks();
            }
            terminal::say(&risk::text(&assessment));
        }
        Print::Json => terminal::say_value(&assessment),
        Print::YamlBlock => terminal::say(&risk::block(&assessment.declared())),
    }
    Ok(())
}

/// What the ledger says of a target until now.
fn target_past(session: &Session, target: &str) -> Result<TargetPast, Failure> {
    let known = TargetId::parse(target).filter(|id| session.state.policy().get().targets.contains_key(id));
    let target = known.ok_or_else(|| {
        let targets: Vec<_> = session.state.policy().get().targets.keys().map(TargetId::as_str).collect();
        Failure::Usage(format!("the policy in force has no target `{target}`; it has: {}", targets.join(", ")))
    })?;
    #[expect(clippy::disallowed_methods, reason = "a lease that is written now is issued now")]
    let now = jiff::Timestamp::now();
    let past = risk::target_past(&session.state, &target, now, None);
    Ok(TargetPast { unrestorable: records::unrestorable(&session.repo, &session.state, &target, now)?, ..past })
}

fn of_lease(args: &Args, place: &Place, handle: &str) -> Result<(), Failure> {
    let session = args.source.open(place)?;
    let id = session.lease(handle, None)?;
    let lease = session.state.document(&id).ok_or_else(|| {
        let message = "the lease's file cannot be read, so its change is not known";
        Failure::refused(id.as_str(), Refusal::new(Reason::Malformed, message).hint("see why with: git two-key check"))
    })?;
    if args.check {
        session.must_be_pinned("so there is no policy to check the lease by")?;
        risk::computable(lease).map_err(Failure::Undecided)?;
    }
    let mut circumstances = risk::circumstances(&session.state, lease).map_err(Failure::Undecided)?;
    if let Some(past) = &mut circumstances.target {
        past.unrestorable = records::unrestorable(&session.repo, &session.state, &lease.target, lease.issued)?;
    }
    let Some(change) = &lease.change else {
        let message = format!("{id} names no change, only artifacts, so there is nothing to measure");
        return Err(Failure::undecided(Reason::Risk, message));
    };
    let repository = repository_of(args, place, &change.repository)?;
    let ids = (change.from.to_string(), change.to.to_string());
    let assessment = assess(&repository, (&ids.0, &ids.1), RANGES, &circumstances)?;
    say(args, &session, lease, assessment)
}

fn say(args: &Args, session: &Session, lease: &Lease, assessment: Assessment) -> Result<(), Failure> {
    let checked = risk::check(lease, &assessment);
    let view = risk::assess_lease(session.state.policy().get(), lease, assessment);
    match args.format {
        Print::Text => {
            session.say_remarks();
            terminal::say(&risk::lease_text(&view));
        }
        Print::Json => terminal::say_value(&view),
        Print::YamlBlock => terminal::say(&risk::block(&view.assessment.declared())),
    }
    match checked {
        Err(refusal) if args.check => {
            let failure = Failure::refused(lease.id.as_str(), refusal);
            // The assessment has been printed; the failure would be a second value.
            Err(if args.format == Print::Json { Failure::Said(failure.code()) } else { failure })
        }
        _ => Ok(()),
    }
}

/// Where the lease's change is.
fn repository_of(args: &Args, place: &Place, address: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.repository {
        return Ok(place.folder.join(path));
    }
    let local = address.strip_prefix("file://").unwrap_or(address);
    // `host:path` is an address, as Git reads it: a colon before any slash.
    let remote = local.contains("://") || local.split('/').next().is_some_and(|first| first.contains(':'));
    if remote {
        let message = format!("the lease's change is in {address}; name a clone of it with --repository PATH");
        return Err(Failure::Usage(message));
    }
    Ok(place.folder.join(local))
}

fn assess(
    path: &Path,
    (from, to): (&str, &str),
    last: usize,
    circumstances: &Circumstances,
) -> Result<Assessment, Failure> {
    let repository = Repository::open(path).map_err(elsewhere)?;
    let nothing = Oid::parse(from).is_some_and(|id| id.is_zero());
    let from = if nothing { None } else { Some(commit(&repository, from)?) };
    let to = commit(&repository, to)?;
    let facts = terminal::patiently("comparing with earlier changes", || {
        changes::facts(&repository, from, to, last, circumstances.seen())
    });
    Ok(risk::assess(&facts.map_err(elsewhere)?, circumstances))
}

fn commit(repository: &Repository, revision: &str) -> Result<Oid, Failure> {
    repository.revision(revision)?.ok_or_else(|| {
        let message = format!("`{revision}` names no commit in the change's repository");
        Failure::Undecided(Refusal::new(Reason::NotFound, message).hint("fetch it there, or name another clone"))
    })
}

/// Says of a failure that it is the change's repository that failed.
#[allow(clippy::needless_pass_by_value, reason = "taken by `map_err`")]
fn elsewhere(error: GitError) -> Failure {
    let mut refusal = error.refusal();
    match error {
        GitError::Shallow => {
            "the change's repository is shallow: the history that the change is compared with is not all there"
                .clone_into(&mut refusal.message);
        }
        GitError::Partial => {
            "the change's repository is a partial clone: files whose lines are counted may not be there"
                .clone_into(&mut refusal.message);
        }
        GitError::MissingObject(id) => {
            refusal.message =
                format!("the change's repository lacks {id}, which is needed to compare with earlier changes");
            refusal.hint =
                Some("fetch it there, or name a clone that has everything with --repository PATH".to_owned());
        }
        GitError::NotARepository { .. } => {
            refusal.hint = Some("name a clone of the change's repository with --repository PATH".to_owned());
        }
        _ => {}
    }
    Failure::Undecided(refusal)
}
