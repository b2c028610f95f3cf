//! `new`: a lease from flags or prompts.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, Write as _},
    path::Path,
};

use clap::Args as ClapArgs;
use jiff::{SignedDuration, Timestamp};

use super::{
    Failure, Format, Place,
    governed::{Which, unverified_branch},
    output,
    session::Session,
    terminal::{interactive, remark, say},
    turn::{self, Local, Proposal, To},
};
use crate::{
    git::Repository,
    ledger,
    model::{
        Action, Digest, IntentId, LeaseId, Nonce, Oid, Reason, Refusal, TargetId,
        document::Span,
        lease::{
            self, After, AfterArtifacts, AfterState, Artifact, Change, DeclaredRisk, Exception, Lease, OnExpiry, Scope,
            Tier,
        },
        policy::SeparateProposer,
    },
    report,
};

/// Propose a lease: one change, one target, tiers, a time window
///
/// Writes leases/ID.yaml, checks it as strictly as it will be read, and commits it on the governed branch, or on
/// the one that is checked out where that continues it, as for a pull request. A lease in the tree is a proposal: it
/// is in force once the keys of its rule have signed exactly these bytes. On a terminal it asks for what no flag
/// gives.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key new --target checkout-prod --summary 'Checkout 1.9.0' \\\n    \
    --artifact checkout=sha256:$(sha256sum checkout.tar | cut -c-64)\n  \
    git two-key new --target checkout-prod --change ../checkout v1.8.0..v1.9.0 \\\n    \
    --expires 6h --tier 1:30m --tier 10:1h --tier 100:1h")]
pub struct Args {
    /// Where it is rolled out to
    #[arg(long)]
    target: Option<String>,
    /// Propose it although the policy in force has no such target
    #[arg(long)]
    anyway: bool,
    /// One line for people
    #[arg(long)]
    summary: Option<String>,
    /// What it is for; verbs take it in place of the lease id
    #[arg(long)]
    intent: Option<String>,
    /// Who proposes
    #[arg(long)]
    actor: Option<String>,
    /// The change that is rolled out: full ids, or revisions of a local clone, or branches and tags of a remote
    #[arg(long, num_args = 2, value_names = ["REPOSITORY", "FROM..TO"], conflicts_with_all = ["repository", "from", "to"])]
    change: Vec<String>,
    /// The repository of the change
    #[arg(long, requires_all = ["from", "to"])]
    repository: Option<String>,
    /// The commit that ran before
    #[arg(long, requires = "repository")]
    from: Option<String>,
    /// The commit that will run
    #[arg(long, requires = "repository")]
    to: Option<String>,
    /// What will run, by the digest of its bytes
    #[arg(long, value_name = "NAME=sha256:…")]
    artifact: Vec<String>,
    /// When the window closes: a length of time from now, or a time
    #[arg(long, value_name = "24h|TIME")]
    expires: Option<String>,
    /// A weight in percent and how long it is watched; again for each tier [default: 5:15m 25:15m 100:15m]
    #[arg(long, value_name = "WEIGHT[:BAKE]")]
    tier: Vec<String>,
    /// Start only after the same artifacts have completed on this target (without artifacts: after anything has)
    #[arg(long, value_name = "TARGET")]
    after: Vec<String>,
    /// Move it outside its target's windows too; each move then takes one more human
    #[arg(long)]
    exception: bool,
    /// What the applier does when the window closes in the middle
    #[arg(long, value_parser = ["rollback", "hold"], default_value = "rollback")]
    on_expiry: String,
    /// The highest weight to which an agent may promote alone, if the policy lets it
    #[arg(long, value_name = "WEIGHT", default_value_t = 0)]
    agent_alone_up_to: u8,
    /// The declared risk, 0 to 100
    #[arg(long, value_name = "SCORE", requires = "risk_model")]
    risk_score: Option<u8>,
    /// The model that gave the score
    #[arg(long, value_name = "NAME", requires = "risk_score")]
    risk_model: Option<String>,
    /// A factor beside the score, as the policy names it
    #[arg(long, value_name = "NAME", requires = "risk_score")]
    risk_factor: Vec<String>,
    /// A file or folder that a driver may touch for this lease
    #[arg(long, value_name = "PATH")]
    scope_path: Vec<String>,
    /// A program that a driver may run for this lease
    #[arg(long, value_name = "PATH")]
    scope_command: Vec<String>,
    /// A variable that a driver may pass on for this lease
    #[arg(long, value_name = "NAME")]
    scope_env: Vec<String>,
    /// Free text for people
    #[arg(long, value_name = "NAME=TEXT")]
    label: Vec<String>,
    /// The id [default: LEASE-DATE-TIME, in UTC]
    #[arg(long)]
    id: Option<String>,
    /// Write the file and leave committing it to you
    #[arg(long)]
    no_commit: bool,
    /// Sign the commit with this key; needed where a rule must know who proposes
    #[arg(long, value_name = "FILE", conflicts_with = "no_commit")]
    key: Option<String>,
    #[command(flatten)]
    pushed: To,
}

impl Args {
    /// How to print.
    pub(super) fn format(&self) -> Format {
        self.pushed.format
    }
}

/// The branch that is checked out, where that is not the governed one and continues its ledger: a pull request's.
fn topic(place: &Place) -> Result<Option<Session>, Failure> {
    let repo = place.repository()?;
    let (Some(root), Some(branch)) = (repo.pinned_root()?, repo.head()?) else { return Ok(None) };
    let Some(tip) = repo.resolve(&branch)?.filter(|_| branch != unverified_branch(&repo)) else { return Ok(None) };
    if !repo.is_on_chain(root, tip)? {
        return Ok(None);
    }
    let session = Session::open(place, &Which::At(tip.to_string()))?;
    Ok(Some(Session { branch, ..session }))
}

/// Proposes the lease.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let local = if args.no_commit { Local::Left } else { Local::Moved };
    let mut session = match topic(place)? {
        Some(_) if args.pushed.is_asked() => {
            return Err(Failure::Usage("--push is for the governed branch; push this one with: git push".to_owned()));
        }
        Some(session) => session,
        None => turn::proposing(place, &args.pushed, local)?,
    };
    let lease = lease_of(args, &session)?;
    let text = lease::write(&lease);
    let path = format!("leases/{}.yaml", lease.id);
    lease::read(text.as_bytes()).map_err(|error| Failure::refused(path.as_str(), error.into()))?;
    let targets = &session.state.policy().get().targets;
    let unknown = std::iter::once(&lease.target).chain(lease.after.iter().map(|after| &after.target));
    let unknown: Vec<_> = unknown.filter(|target| !targets.contains_key(*target)).collect();
    if let Some(unknown) = unknown.first().filter(|_| !args.anyway) {
        let known: Vec<_> = targets.keys().map(TargetId::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message =
            format!("the policy in force lists no target {unknown} (it lists {known}): nobody would apply it");
        let refusal = Refusal::new(Reason::NotFound, message).hint("name one of those, or say --anyway");
        return Err(Failure::refused(lease.id.as_str(), refusal));
    }
    if let Some(warning) = report::short_window(&lease) {
        remark(&format!("warning: {warning}"));
    }
    if args.no_commit {
        write_file(&session, &path, &text)?;
        say(&format!(
            "{}\n\nWritten to {path}. It counts once it is committed on {}.",
            lease.id,
            session.branch_name()
        ));
        return Ok(());
    }
    refuse_circle(&session, &lease)?;
    let destination = args.pushed.destination(&session.repo, &session.branch)?;
    let before = session.tip;
    let message = message(&lease);
    let policy = session.state.policy().get();
    let rules = [policy.cosign_rule(&lease.target), policy.promote_rule(&lease.target)];
    let separates = rules.iter().any(|r| r.separate_proposer == SeparateProposer::Required);
    let separate = if separates { SeparateProposer::Required } else { SeparateProposer::NotRequired };
    let proposal = Proposal { path: &path, text: &text, message: &message, key: args.key.as_deref(), separate };
    proposal.commit(&mut session, place)?;
    // What could never be cosigned (its risk's terms, what it delegates) is not worth proposing.
    let nonce = Nonce::from_bytes([0; 16]);
    ledger::next_statement(&session.state, Action::Cosign, Some(&lease.id), None, &nonce)
        .map_err(|refusal| Failure::refused(lease.id.as_str(), refusal))?;
    proposal.advance(&session, before)?;
    Proposal::say_if_kept(&session, destination.as_deref())?;
    say(&format!(
        "{}\n\nProposed in {path} on {} ({}). Two keys authorize it; sign with:\n  git two-key sign {}",
        lease.id,
        session.branch_name(),
        session.tip.short(),
        lease.id
    ));
    proposal.push(&mut session, destination.as_deref(), lease.id.as_str())
}

/// Refuses a lease that waits for one that waits for it.
fn refuse_circle(session: &Session, lease: &Lease) -> Result<(), Failure> {
    let Some(last) = session.state.waits_in_circle(lease) else { return Ok(()) };
    let message = format!("it would wait for {last} on another target, which waits for it: neither could ever start");
    Err(Failure::refused(lease.id.as_str(), Refusal::new(Reason::NotYet, message).hint("leave out one `after`")))
}

fn message(lease: &Lease) -> String {
    let subject = format!("Propose {}", lease.id);
    match &lease.summary {
        Some(summary) => format!("{subject}\n\n{summary}\n"),
        None => format!("{subject}\n"),
    }
}

/// Writes the file into the worktree, over nothing.
fn write_file(session: &Session, path: &str, text: &str) -> Result<(), Failure> {
    let Some(top) = session.repo.worktree() else {
        return Err(Failure::Usage("--no-commit writes into a worktree, and this repository has none".to_owned()));
    };
    let file = output::within(&session.repo, top, Path::new(path))?;
    let failed = |error: std::io::Error| Failure::undecided(Reason::Io, format!("writing {path}: {error}"));
    std::fs::create_dir_all(file.parent().unwrap_or(top)).map_err(failed)?;
    let mut created = std::fs::File::create_new(&file).map_err(failed)?;
    created.write_all(text.as_bytes()).map_err(failed)
}

/// The lease that flags and answers describe.
fn lease_of(args: &Args, session: &Session) -> Result<Lease, Failure> {
    // The file holds whole seconds.
    let issued = Timestamp::from_second(turn::now().as_second())
        .map_err(|error| Failure::undecided(Reason::Clock, error.to_string()))?;
    let asks = interactive();
    let target = asked(args.target.as_deref(), asks, "target", "Where to (a target of the policy)")?;
    let summary = match &args.summary {
        Some(summary) => Some(summary.clone()),
        None if asks => Some(ask("What it is, in one line")?).filter(|line| !line.is_empty()),
        None => None,
    };
    let change = change(args, &session.repo)?;
    let mut artifacts = args.artifact.iter().map(|text| artifact(text)).collect::<Result<Vec<_>, _>>()?;
    if change.is_none() && artifacts.is_empty() {
        let what = asked(
            None,
            asks,
            "artifact NAME=sha256:… or --change REPOSITORY FROM..TO",
            "What will run (NAME=sha256:…)",
        )?;
        artifacts.push(artifact(&what)?);
    }
    let id = match &args.id {
        Some(text) => LeaseId::parse(text).ok_or_else(|| {
            let message = "an id is a letter or digit, then up to 63 letters, digits, `.`, `_` or `-`";
            Failure::refused(text.as_str(), Refusal::new(Reason::Malformed, message))
        })?,
        None => free_id(session, issued)?,
    };
    if args.id.is_some() && (session.state.uses(id.as_str()) || taken(session).contains(&id.folded())) {
        let refusal = Refusal::new(Reason::WrongState, "there is a lease of that id already; a new lease is a new id");
        return Err(Failure::refused(id.as_str(), refusal));
    }
    let after = after(&args.after, &artifacts)?;
    Ok(Lease {
        id,
        repository: session.state.policy().get().repository.clone(),
        intent: args.intent.as_deref().map(|text| word("intent", text, IntentId::parse)).transpose()?,
        actor: args.actor.clone(),
        summary,
        change,
        artifacts,
        target: word("target", &target, TargetId::parse)?,
        issued,
        expires: expires(args.expires.as_deref().unwrap_or("24h"), issued)?,
        tiers: tiers(&args.tier)?,
        after,
        exception: if args.exception { Exception::Taken } else { Exception::NotTaken },
        on_expiry: if args.on_expiry == "hold" { OnExpiry::Hold } else { OnExpiry::Rollback },
        agent_alone_up_to: args.agent_alone_up_to,
        scope: Scope {
            paths: args.scope_path.clone(),
            commands: args.scope_command.clone(),
            env: args.scope_env.clone(),
        },
        risk: risk(args),
        labels: labels(&args.label)?,
    })
}

fn word<T>(flag: &str, text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Failure> {
    let rule = "a letter or digit, then up to 63 letters, digits, `.`, `_` or `-`";
    parse(text).ok_or_else(|| Failure::Usage(format!("--{flag} {text}: it is {rule}")))
}

fn after(targets: &[String], artifacts: &[Artifact]) -> Result<Vec<After>, Failure> {
    let same = if artifacts.is_empty() { AfterArtifacts::Any } else { AfterArtifacts::Same };
    let one = |text: &String| {
        let target = word("after", text, TargetId::parse)?;
        Ok(After { target, state: AfterState::Completed, artifacts: same })
    };
    targets.iter().map(one).collect()
}

fn risk(args: &Args) -> Option<DeclaredRisk> {
    let (score, model) = (args.risk_score?, args.risk_model.clone()?);
    Some(DeclaredRisk { score, model, factors: args.risk_factor.clone() })
}

fn labels(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| {
        let (name, value) =
            text.split_once('=').ok_or_else(|| Failure::Usage(format!("--label {text}: it is NAME=TEXT")))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}

fn change(args: &Args, repo: &Repository) -> Result<Option<Change>, Failure> {
    let (repository, from, to) = match (args.change.as_slice(), &args.repository, &args.from, &args.to) {
        ([repository, range], ..) => {
            let wrong = || Failure::Usage(format!("--change … {range}: the range is written FROM..TO"));
            let (from, to) = range.split_once("..").ok_or_else(wrong)?;
            (repository.as_str(), from, to)
        }
        (_, Some(repository), Some(from), Some(to)) => (repository.as_str(), from.as_str(), to.as_str()),
        _ => return Ok(None),
    };
    let (from, to) = (commit_of(repo, repository, from)?, commit_of(repo, repository, to)?);
    Ok(Some(Change { repository: repository.to_owned(), from, to }))
}

/// The commit that a revision names: a full id as it stands, else what a clone in that folder says, else a branch or tag there.
fn commit_of(repo: &Repository, repository: &str, revision: &str) -> Result<Oid, Failure> {
    if let Some(id) = Oid::parse(revision) {
        return Ok(id);
    }
    let none = || {
        let message = format!("{repository} has no commit `{revision}`");
        let refusal = Refusal::new(Reason::NotFound, message)
            .hint("name a full id, a revision of a clone in a local folder, or a branch or tag of a remote");
        Failure::refused("the change", refusal)
    };
    if Path::new(repository).is_dir() {
        return Repository::open(Path::new(repository))?.revision(revision)?.ok_or_else(none);
    }
    repo.remote_revision(repository, revision)?.ok_or_else(none)
}

fn artifact(text: &str) -> Result<Artifact, Failure> {
    let wrong = || Failure::Usage(format!("artifact `{text}`: it is written NAME=sha256:<64 hexadecimal digits>"));
    let (name, digest) = text.rsplit_once('=').ok_or_else(wrong)?;
    Ok(Artifact { name: name.to_owned(), digest: Digest::parse(digest).ok_or_else(wrong)? })
}

fn expires(text: &str, issued: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "--expires {text}: it is a length of time as in 24h, or a time as in 2026-01-31T12:00:00Z"
        ))
    };
    if let Some(span) = Span::parse(text) {
        let seconds = i64::try_from(span.as_secs()).map_err(|_| wrong())?;
        return issued.checked_add(SignedDuration::from_secs(seconds)).map_err(|_| wrong());
    }
    let time: Timestamp = text.parse().map_err(|_| wrong())?;
    if time <= issued {
        let refusal = Refusal::new(Reason::Expired, format!("{text} has passed: the lease would be expired at once"));
        return Err(Failure::refused("lease", refusal));
    }
    Ok(time)
}

fn tiers(texts: &[String]) -> Result<Vec<Tier>, Failure> {
    let tier = |text: &str| {
        let wrong =
            || Failure::Usage(format!("--tier {text}: a weight in whole percent, then `:` and how long, as in 5:15m"));
        let (weight, bake) = text.split_once(':').unwrap_or((text, "15m"));
        let weight = weight.trim_end_matches('%').parse().map_err(|_| wrong())?;
        Ok(Tier { weight, bake: Span::parse(bake).ok_or_else(wrong)? })
    };
    if texts.is_empty() {
        return ["5", "25", "100"].into_iter().map(tier).collect();
    }
    texts.iter().map(|text| tier(text)).collect()
}

/// Every id that a file of the worktree has, with case folded: one that is not committed yet has its id too.
fn taken(session: &Session) -> BTreeSet<String> {
    let mut taken = BTreeSet::new();
    let folder = session.repo.worktree().map(|top| top.join("leases"));
    let files = folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    taken.extend(files.filter_map(|file| {
        let name = file.file_name().to_string_lossy().to_ascii_lowercase();
        name.strip_suffix(".yaml").map(str::to_owned)
    }));
    taken
}

/// `LEASE-<UTC date>-<UTC time>`, with -2, -3 … if that is taken.
fn free_id(session: &Session, issued: Timestamp) -> Result<LeaseId, Failure> {
    let base = issued.strftime("LEASE-%Y%m%d-%H%M%S").to_string();
    let taken = taken(session);
    let is_free = |id: &String| !taken.contains(&id.to_ascii_lowercase()) && !session.state.uses(id);
    let numbered = (2..10_000).map(|number| format!("{base}-{number}"));
    let free = std::iter::once(base.clone()).chain(numbered).find(|id| is_free(id));
    free.and_then(|id| LeaseId::parse(&id))
        .ok_or_else(|| Failure::undecided(Reason::NotFound, format!("there is no free id that begins {base}")))
}

/// A value that is needed: as given, else as answered.
fn asked(given: Option<&str>, asks: bool, flag: &str, question: &str) -> Result<String, Failure> {
    match given {
        Some(text) => Ok(text.to_owned()),
        None if asks => ask(question),
        None => Err(Failure::Usage(format!("new needs --{flag}"))),
    }
}

fn ask(question: &str) -> Result<String, Failure> {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{question}: ").and_then(|()| err.flush());
    let mut line = String::new();
    let failed = |error: std::io::Error| Failure::undecided(Reason::Io, format!("reading the answer: {error}"));
    std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(line.trim().to_owned())
}
