//! `risk`: how risky a change is, term by term.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{Failure, Format, Place, terminal};
use crate::{
    git::{GitError, Repository},
    model::{Oid, Reason, Refusal},
    risk::{self, AuthorRole, Circumstances, Sensitive},
};

/// Say how risky a change is, term by term
///
/// The score is a percentile: at which place, from 0 to 100, the change stands among the last 1000 changes of its own
/// repository. Each term of it is shown with what it adds against the median change. Beside it, never blended into it,
/// stand factors: sensitive paths, lockfiles, migrations, no tests touched, reverts in 90 days. It is no probability.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key risk --repository ../checkout --from v1.8.2 --to v1.9.0\n  \
    git two-key risk --repository ../checkout --from v1.8.2 --to v1.9.0 --format yaml-block >> leases/LEASE-….yaml")]
pub struct Args {
    /// The change's repository: a clone of it with its whole history
    #[arg(long, value_name = "PATH")]
    repository: PathBuf,
    /// What ran before: a commit of that repository, or the all-zero id for nothing
    #[arg(long, value_name = "COMMIT")]
    from: String,
    /// What will run
    #[arg(long, value_name = "COMMIT")]
    to: String,
    /// Who made the change; an agent's experience is left out
    #[arg(long, value_enum, default_value_t)]
    author_role: Role,
    /// A path pattern that is sensitive, as under the policy's `risk.sensitive`; may be given several times
    #[arg(long, value_name = "PATTERN")]
    sensitive: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Print,
}

/// Who made a change.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Role {
    /// A person.
    #[default]
    Human,
    /// An automaton.
    Agent,
}

impl From<Role> for AuthorRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Human => Self::Human,
            Role::Agent => Self::Agent,
        }
    }
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
    let sensitive = Sensitive::new(&args.sensitive).map_err(|refusal| Failure::Usage(refusal.message))?;
    let circumstances = Circumstances { author: args.author_role.into(), sensitive, rolled_back: None };
    let repository = Repository::open(&place.folder.join(&args.repository)).map_err(elsewhere)?;
    let from = if is_nothing(&args.from) { None } else { Some(commit(&repository, &args.from)?) };
    let to = commit(&repository, &args.to)?;
    let assessment = risk::assess(&repository.facts(from, to).map_err(elsewhere)?, &circumstances);
    match args.format {
        Print::Text => terminal::say(&risk::text(&assessment)),
        Print::Json => terminal::say_value(&assessment),
        Print::YamlBlock => terminal::say(&risk::block(&assessment.declared())),
    }
    Ok(())
}

fn is_nothing(revision: &str) -> bool {
    Oid::parse(revision).is_some_and(|id| id.is_zero())
}

fn commit(repository: &Repository, revision: &str) -> Result<Oid, Failure> {
    repository.revision(revision)?.ok_or_else(|| {
        let message = format!("`{revision}` names no commit in the change's repository");
        Failure::Undecided(Refusal::new(Reason::Internal, message).hint("fetch it there, or name another clone"))
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
        GitError::NotARepository { .. } => {
            refusal.hint = Some("name a clone of the change's repository with --repository PATH".to_owned());
        }
        _ => {}
    }
    Failure::Undecided(refusal)
}
