//! `ci`: a pull request judged as the hook would judge the push that merging it is.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place, governed,
    hook::{self, Outcome},
    output, terminal,
};
use crate::{
    git::{Conflict, JudgedAt, PushedRef, Repository},
    model::{Oid, Reason, Refusal},
    report::{self, AnnotationForm, MergeMethod, PullRequest, Remark},
};

/// Judge a pull request: what is refused, what merging puts in force
///
/// Makes the merge commit that a forge's button would make (no ref is moved, nothing is pushed) and judges it as the
/// server's hook judges a push, with the same findings. It says what merging would put in force, and which commits
/// carry signatures that squash or rebase merging would drop. The summary is Markdown: it goes to --summary, else to
/// the file that `GITHUB_STEP_SUMMARY` names, else to standard output. Annotations come in the form that the environment
/// asks for, or as told.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key ci --base origin/main --head HEAD\n  \
    git two-key ci --base origin/main --head HEAD --method fast-forward\n  \
    git two-key ci --base origin/main --head HEAD \\\n    \
    --annotate sarif --annotations two-key.sarif\n  \
    git two-key ci --base origin/main --head HEAD --format json \\\n    \
    | jq -r '.effects[].text'\n\n\
    Exit codes: 0 merging it is admitted; 1 it is refused; 3 it could not be decided (no root is pinned, or the clone is \
    shallow); 4 it does not merge by itself.")]
pub struct Args {
    /// The governed branch's tip
    #[arg(long, value_name = "COMMIT")]
    base: String,
    /// The pull request's tip
    #[arg(long, value_name = "COMMIT")]
    head: String,
    /// How it will be merged
    #[arg(long, value_enum, default_value_t)]
    method: How,
    /// The form of annotations (by default what the environment is known to show)
    #[arg(long, value_enum, value_name = "FORM")]
    annotate: Option<Annotate>,
    /// Where annotations that are a document go [default: gl-code-quality-report.json, two-key.sarif]
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// Where the summary goes
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// How a pull request is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum How {
    /// By a merge commit
    #[default]
    Merge,
    /// By moving the branch to its tip
    FastForward,
}

/// What shows annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Annotate {
    /// Nothing
    None,
    /// Workflow commands on standard output
    Github,
    /// A Code Quality report in a file
    Gitlab,
    /// Workflow commands on standard output
    Forgejo,
    /// SARIF 2.1.0 in a file
    Sarif,
}

impl Annotate {
    /// What the environment is known to show.
    fn here() -> Self {
        let set = |name: &str| variable(name).is_some_and(|value| value == "true");
        // Forgejo's and Gitea's runners say that they are GitHub's, too.
        if set("FORGEJO_ACTIONS") || set("GITEA_ACTIONS") {
            Self::Forgejo
        } else if set("GITHUB_ACTIONS") {
            Self::Github
        } else if set("GITLAB_CI") {
            Self::Gitlab
        } else {
            Self::None
        }
    }

    /// The form, and where it goes unless told otherwise if it is a document.
    fn form(self) -> Option<(AnnotationForm, Option<&'static str>)> {
        match self {
            Self::None => None,
            Self::Github | Self::Forgejo => Some((AnnotationForm::Workflow, None)),
            Self::Gitlab => Some((AnnotationForm::CodeQuality, Some("gl-code-quality-report.json"))),
            Self::Sarif => Some((AnnotationForm::Sarif, Some("two-key.sarif"))),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "forges tell their jobs where they run by the environment")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Judges.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let annotate = args.annotate.unwrap_or_else(Annotate::here);
    if args.annotations.is_some() && annotate.form().is_none_or(|(_, file)| file.is_none()) {
        return Err(Failure::Usage("--annotations goes with --annotate gitlab or sarif".to_owned()));
    }
    match judged(args, place) {
        Ok(judged) => print_verdict(args, annotate, place, &judged),
        Err(failure) => {
            if let Failure::Undecided(refusal) | Failure::Stale(refusal) = &failure {
                show(args, annotate, place, &[report::undecided_remark(refusal)])?;
            }
            Err(failure)
        }
    }
}

/// A pull request, judged as a push.
struct JudgedPull {
    base: Oid,
    head: Oid,
    method: MergeMethod,
    outcome: Box<hook::Judged>,
}

fn judged(args: &Args, place: &Place) -> Result<JudgedPull, Failure> {
    let repo = place.repository()?;
    let root = hook::root(&repo).map_err(Failure::Undecided)?;
    repo.whole().map_err(|error| Failure::Undecided(if repo.is_shallow() { shallow() } else { error.refusal() }))?;
    let branch = governed::pinned_branch(&repo, root)?;
    let (base, head) = (governed::commit(&repo, &args.base)?, governed::commit(&repo, &args.head)?);
    let (method, new) = match args.method {
        How::FastForward => (MergeMethod::FastForward, head),
        How::Merge => (MergeMethod::Merge, merged(&repo, base, head)?),
    };
    let push = [PushedRef { name: branch, old: Some(base), new: Some(new) }];
    match hook::decide(&repo, &push, root, JudgedAt::Client, None) {
        Outcome::Judged(outcome) => Ok(JudgedPull { base, head, method, outcome }),
        Outcome::Undecided(refusal) => Err(Failure::Undecided(refusal)),
    }
}

fn shallow() -> Refusal {
    let refusal = crate::git::GitError::Shallow.refusal();
    let hint = "fetch the rest with: git fetch --unshallow; in a job: fetch-depth: 0 (GitHub, Forgejo), GIT_DEPTH: 0 \
                (GitLab)";
    refusal.hint(hint)
}

/// The merge commit that a forge's button would make.
fn merged(repo: &Repository, base: Oid, head: Oid) -> Result<Oid, Failure> {
    repo.merge_commit(base, head, "Merge a pull request")?.map_err(|conflict| {
        let message = format!("it does not merge by itself: {conflict}");
        let refusal = Refusal::new(conflict.reason(), message);
        match conflict {
            Conflict::Unreadable(id) => Failure::refused(id.short(), refusal),
            Conflict::Paths(_) | Conflict::Strangers => {
                Failure::Stale(refusal.hint("merge the branch into it, its own tip as first parent; then ask again"))
            }
        }
    })
}

/// Says the verdict in every form that is asked for.
fn print_verdict(args: &Args, annotate: Annotate, place: &Place, judged: &JudgedPull) -> Result<(), Failure> {
    let hook::Judged { push, verdict } = &*judged.outcome;
    let pull = PullRequest { base: judged.base, head: judged.head, method: judged.method, push, verdict };
    let view = report::pull_view(&pull);
    show(args, annotate, place, &report::pull_remarks(&view))?;
    let summary = report::pull_markdown(&view);
    let elsewhere = match (&args.summary, variable("GITHUB_STEP_SUMMARY")) {
        (Some(file), _) => Some(write(place, file, &summary)?),
        // The step's other commands write there too.
        (None, Some(file)) => Some(append(&file.into(), &summary)?),
        (None, None) => None,
    };
    match (args.format, elsewhere) {
        (Format::Json, _) => {
            terminal::say_value(&view);
            if view.ok { Ok(()) } else { Err(Failure::Said(1)) }
        }
        (Format::Text, elsewhere) => {
            if elsewhere.is_none() {
                terminal::say(&summary);
            }
            // Workflow commands have said it all on the same log, in a form that nobody's words can break out of.
            if annotate.form() == Some((AnnotationForm::Workflow, None)) {
                return if view.ok { Ok(()) } else { Err(Failure::Said(1)) };
            }
            hook::say(verdict)
        }
    }
}

/// Shows remarks beside the change.
fn show(args: &Args, annotate: Annotate, place: &Place, remarks: &[Remark]) -> Result<(), Failure> {
    let Some((form, document)) = annotate.form() else { return Ok(()) };
    let text = report::annotations(form, remarks);
    match (document, args.format) {
        (Some(file), _) => {
            let file = args.annotations.clone().unwrap_or_else(|| PathBuf::from(file));
            write(place, &file, &text)
        }
        (None, Format::Text) => {
            terminal::say(&text);
            Ok(())
        }
        // Standard output is one JSON value then.
        (None, Format::Json) => Ok(()),
    }
}

/// Writes a file anew, as the pipeline named it.
fn write(place: &Place, file: &Path, text: &str) -> Result<(), Failure> {
    let here = Path::new(".");
    // Where there is no repository, nobody's files are in the way.
    let path = place.repository().map_or_else(|_| Ok(file.to_owned()), |repo| output::within(&repo, here, file))?;
    fs::write(path, text).map_err(|error| cannot_write(file, &error))
}

/// Writes at the end of a file that the runner made.
fn append(file: &PathBuf, text: &str) -> Result<(), Failure> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(file);
    opened.and_then(|mut open| open.write_all(text.as_bytes())).map_err(|error| cannot_write(file, &error))
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Failure {
    Failure::undecided(Reason::Io, format!("writing {}: {error}", file.display()))
}
