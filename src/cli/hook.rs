//! `git two-key hook`: what servers and clients run around a push.
//!
//! Fail-closed: a panic, a timeout or an unreadable object refuses the push (exit code 3). The one exception is a push
//! of nothing but a few stop refs, which is admitted on doubt. The client's hook only warns early: what it cannot decide it
//! leaves to the server.

use std::{
    env,
    io::Read as _,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

use super::{Failure, Place, terminal};
use crate::{
    admission::{Push, PushVerdict, RefusedRef, admitted_on_doubt, judge, judge_move, only_stop_refs},
    git::{GitError, Hook, JudgedAt, Memory, PushedRef, Repository, plainly_admitted},
    model::{Oid, Reason, Refusal},
    report::escaped,
};

/// The configuration key of the seconds after which a push is refused undecided.
const TIMEOUT: &str = "two-key.hookTimeout";
/// Those seconds, unless configured.
const DEFAULT_TIMEOUT: u64 = 60;
/// What a server has to be told: to take push options, to look at the form of what is pushed before the hook does, to move main
/// and its tags together, and never to let a push cut off its history.
pub(super) const SERVER_SETTINGS: [ServerSetting; 4] = [
    ServerSetting { name: "receive.advertisePushOptions", right: true, untold: false },
    ServerSetting { name: "receive.fsckObjects", right: true, untold: false },
    ServerSetting { name: "receive.advertiseAtomic", right: true, untold: true },
    ServerSetting { name: "receive.shallowUpdate", right: false, untold: false },
];
/// Refusals that are said one by one.
const MAX_SAID: usize = 100;
/// The most that Git may tell a hook.
const MAX_INPUT: u64 = 64 << 20;

/// A setting of a server's Git.
pub(super) struct ServerSetting {
    /// Its name.
    pub(super) name: &'static str,
    /// What it has to be.
    pub(super) right: bool,
    /// What it is where nobody says anything.
    untold: bool,
}

impl ServerSetting {
    /// Whether a server has it otherwise.
    pub(super) fn is_wrong(&self, repository: &Repository) -> Result<bool, GitError> {
        Ok(repository.config_bool(self.name)?.unwrap_or(self.untold) != self.right)
    }
}

/// Server and client hooks.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    hook: HookVerb,
}

impl Args {
    /// `git two-key hook pre-receive`.
    pub(super) const PRE_RECEIVE: Self = Self { hook: HookVerb::PreReceive };
    /// `git two-key hook reference-transaction`.
    pub(super) const REFERENCE_TRANSACTION: Self = Self { hook: HookVerb::ReferenceTransaction };
}

#[derive(Debug, clap::Subcommand)]
enum HookVerb {
    /// Install hooks: a bare repository's judge what is pushed to it, a clone's look at pushes before they leave
    Install(Install),
    /// Judge a push on the server; Git runs this
    PreReceive,
    /// Let refs move on the server only as a push was judged; Git runs this
    ReferenceTransaction,
    /// Say before a push what the server would refuse; Git runs this
    PrePush(PrePushArgs),
}

#[derive(Debug, clap::Args)]
struct Install {
    /// The repository; by default the one here
    path: Option<PathBuf>,
    /// The hooks of a repository that is pushed to, although it has a worktree
    #[arg(long, conflicts_with = "client")]
    server: bool,
    /// The hook of a repository that people push from, although it is bare
    #[arg(long)]
    client: bool,
    /// The root to pin there
    #[arg(long, value_name = "ROOT")]
    root: Option<String>,
    /// Install the hook that wakes an applier after a push, too, in a bare repository: FILE is the applier's `wake`
    #[arg(long, value_name = "FILE")]
    wake: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct PrePushArgs {
    /// The remote's name
    remote: Option<String>,
    /// Where it is
    url: Option<String>,
}

/// What became of a push.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There is a verdict.
    Judged(Box<Judged>),
    /// There is none.
    Undecided(Refusal),
}

/// A push and the verdict on it.
#[derive(Debug)]
pub(super) struct Judged {
    /// The facts.
    pub(super) push: Push,
    /// The verdict.
    pub(super) verdict: PushVerdict,
}

/// Runs the verb.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    match &args.hook {
        HookVerb::Install(install) => self::install(install, place),
        HookVerb::PreReceive => pre_receive(),
        HookVerb::ReferenceTransaction => reference_transaction(),
        HookVerb::PrePush(_) => pre_push(),
    }
}

fn pre_receive() -> Result<(), Failure> {
    let input = input()?;
    let undecided = |error: GitError| Failure::Undecided(error.into());
    let repository = Repository::receives(&input).map_err(undecided)?;
    let refs = repository.pushed_refs(&input).map_err(undecided)?;
    if refs.is_empty() {
        // Git runs the hook for some ref. Whoever calls it from another hook has read what Git said, and not passed it on.
        let refusal =
            Refusal::new(Reason::Malformed, "nothing was said on standard input, where Git says what is pushed")
                .hint("call the hook with the standard input that Git gave");
        return Err(Failure::Undecided(refusal));
    }
    if repository.is_cut_off_by_push() {
        let message =
            "the push comes from a shallow clone, and would cut the history off here where it is cut off there";
        let refusal = Refusal::new(Reason::Shallow, message).hint("git fetch --unshallow, then push again");
        return refuse_all(&refs, &refusal, 1);
    }
    // What reads objects starts while the rest is being looked up; who needs it first takes it.
    drop(repository.objects());
    no_namespace()?;
    let ready = configured_root(&repository).and_then(|root| Ok((root, timeout(&repository)?)));
    let (outcome, pinned) = match ready {
        Ok((root, timeout)) => (decide(&repository, &refs, root, JudgedAt::Server, Some(timeout)), true),
        Err(refusal) => (Outcome::Undecided(refusal), false),
    };
    match outcome {
        Outcome::Judged(judged) => {
            let shown = say(&judged.verdict);
            if judged.verdict.admits() {
                admit(&repository, &judged.push, &refs)?;
            }
            shown
        }
        Outcome::Undecided(refusal) if pinned && admitted_on_doubt(moves(&refs)) => {
            let refusal = Refusal { message: escaped(&refusal.message), ..refusal };
            terminal::remark(&format!("two-key: could not judge these stops, so they are admitted: {refusal}"));
            Ok(())
        }
        Outcome::Undecided(refusal) => refuse_all(&refs, &refusal, 3),
    }
}

/// Says of each ref of a push that it is refused.
fn refuse_all(refs: &[PushedRef], refusal: &Refusal, exit: u8) -> Result<(), Failure> {
    for pushed in refs.iter().take(MAX_SAID) {
        say_refused(&RefusedRef { name: pushed.name.clone(), refusal: refusal.clone(), finding: None });
    }
    say_more(refs.len(), "more refs");
    Err(Failure::Said(exit))
}

/// Judges moves of refs here as if they were pushed, and lets Git make them if they are admitted.
pub(super) fn admit_here(repository: &Repository, refs: &[PushedRef]) -> Result<(), Failure> {
    let root = configured_root(repository).map_err(Failure::Undecided)?;
    match decide(repository, refs, root, JudgedAt::Server, None) {
        Outcome::Judged(judged) => {
            say(&judged.verdict)?;
            admit(repository, &judged.push, refs)
        }
        Outcome::Undecided(refusal) => Err(Failure::Undecided(refusal)),
    }
}

/// Remembers what was admitted until Git moves the refs.
fn admit(repository: &Repository, push: &Push, refs: &[PushedRef]) -> Result<(), Failure> {
    // Stop refs under their commits' names need no verdict to be moved, so a full disk does not hold them up.
    let kept = repository.admit(push, refs, moment());
    match kept {
        Err(error) if !stops_alone(refs) => {
            // What is kept there makes pushes quicker, and lets those through that are on their way.
            let hint = format!(
                "on the server, see that the account which the hook runs as can write there; where something else is in the \
                 way, remove all of it, which costs time and never safety: rm -rf '{}'",
                repository.common_dir().join("two-key").display()
            );
            Err(Failure::Undecided(error.refusal().hint(hint)))
        }
        _ => Ok(()),
    }
}

#[allow(clippy::disallowed_methods, reason = "the hook's clock, for files of its own")]
fn moment() -> SystemTime {
    SystemTime::now()
}

/// Lets Git move refs, whose locks it holds, if they may move.
fn reference_transaction() -> Result<(), Failure> {
    let input = input()?;
    #[allow(clippy::disallowed_methods, reason = "Git tells hooks by the environment where the repository is")]
    let git_dir = env::var_os("GIT_DIR").filter(|_| env::var_os("GIT_COMMON_DIR").is_none());
    if git_dir.is_some_and(|git_dir| plainly_admitted(Path::new(&git_dir), &input, moment())) {
        return Ok(());
    }
    let undecided = |refusal: Refusal| Failure::Undecided(refusal);
    let repository = Repository::discover().map_err(|error| undecided(error.refusal()))?;
    let (moves, branch) = repository.moves(&input, moment()).map_err(undecided)?;
    let mut verdict = PushVerdict::default();
    for movement in moves {
        if let Err(refusal) = judge_move(&movement, &branch) {
            verdict.refused.push(RefusedRef { name: movement.name, refusal, finding: None });
        }
    }
    say(&verdict)
}

fn pre_push() -> Result<(), Failure> {
    let left_to_the_server = |refusal: Refusal| {
        let refusal = Refusal { message: escaped(&refusal.message), ..refusal };
        terminal::remark(&format!("two-key: not judged here, the server decides: {refusal}"));
        Ok(())
    };
    let input = input()?;
    let judged = Repository::discover().map_err(Refusal::from).and_then(|repository| {
        let refs = repository.refs_to_push(&input)?;
        let root = root(&repository)?;
        Ok(decide(&repository, &refs, root, JudgedAt::Client, None))
    });
    match judged {
        Ok(Outcome::Judged(judged)) => say(&judged.verdict),
        Ok(Outcome::Undecided(refusal)) | Err(refusal) => left_to_the_server(refusal),
    }
}

/// Judges in another thread, so that neither a panic nor a long wait leaves the push undecided.
pub(super) fn decide(
    repository: &Repository,
    refs: &[PushedRef],
    root: Oid,
    side: JudgedAt,
    timeout: Option<Duration>,
) -> Outcome {
    let (repository, refs, options) = (repository.clone(), refs.to_vec(), push_options());
    #[allow(clippy::disallowed_methods, reason = "the hook's clock is read here, once")]
    let now = Timestamp::now();
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        let judged = panic::catch_unwind(AssertUnwindSafe(|| {
            let memory = Memory::of(&repository, root);
            let push = repository.gather(&refs, &options, &memory, side)?;
            let verdict = judge(&push, now);
            memory.sound()?;
            Ok(Box::new(Judged { push, verdict }))
        }));
        // Nobody listens any more after the timeout.
        let _ = sender.send(judged);
    };
    let spawned = thread::Builder::new().name("judge".to_owned()).spawn(work);
    let internal = |message: String| Outcome::Undecided(Refusal::new(Reason::Internal, message));
    if let Err(error) = spawned {
        return internal(format!("no thread could be started: {error}"));
    }
    let answer = match timeout {
        Some(timeout) => receiver.recv_timeout(timeout),
        None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    match answer {
        Ok(Ok(Ok(judged))) => Outcome::Judged(judged),
        Ok(Ok(Err(refusal))) => Outcome::Undecided(refusal),
        Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => internal("internal error; nothing was decided".to_owned()),
        Err(RecvTimeoutError::Timeout) => {
            let seconds = timeout.unwrap_or_default().as_secs();
            let refusal = Refusal::new(Reason::Stale, format!("it could not be judged within {seconds} seconds"));
            Outcome::Undecided(refusal.hint(format!("push less at once, or let it take longer: git config {TIMEOUT}")))
        }
    }
}

/// The pinned root, without which nothing is judged.
pub(super) fn root(repository: &Repository) -> Result<Oid, Refusal> {
    repository.pinned_root()?.ok_or_else(unpinned)
}

/// The same by the configuration alone.
fn configured_root(repository: &Repository) -> Result<Oid, Refusal> {
    repository.configured_root()?.ok_or_else(unpinned)
}

fn unpinned() -> Refusal {
    Refusal::new(Reason::Unpinned, "no root is pinned here, so nothing can be verified")
        .hint("pin it with: git two-key trust ROOT, or git config two-key.root ROOT")
}

/// In a Git namespace names are not those of the repository's refs, so what is pushed there cannot be judged.
fn no_namespace() -> Result<(), Failure> {
    #[allow(clippy::disallowed_methods, reason = "Git tells hooks the namespace by the environment")]
    let namespace = env::var_os("GIT_NAMESPACE").filter(|namespace| !namespace.is_empty());
    namespace.map_or(Ok(()), |namespace| {
        let message = format!("the push is to the Git namespace {}, which no ledger has", namespace.to_string_lossy());
        let refusal =
            Refusal::new(Reason::ForeignRef, message).hint("push to the repository itself, without GIT_NAMESPACE");
        Err(Failure::refused("GIT_NAMESPACE", refusal))
    })
}

fn timeout(repository: &Repository) -> Result<Duration, Refusal> {
    let Some(text) = repository.config(TIMEOUT)? else {
        return Ok(Duration::from_secs(DEFAULT_TIMEOUT));
    };
    text.parse().map(Duration::from_secs).map_err(|_| {
        Refusal::new(Reason::Malformed, format!("{TIMEOUT} is {text:?}, not a number of seconds"))
            .hint(format!("set it with: git config {TIMEOUT} {DEFAULT_TIMEOUT}"))
    })
}

fn stops_alone(refs: &[PushedRef]) -> bool {
    only_stop_refs(moves(refs))
}

/// Each ref with where it is and where it is to be.
fn moves(refs: &[PushedRef]) -> impl ExactSizeIterator<Item = (&str, Option<Oid>, Option<Oid>)> {
    refs.iter().map(|pushed| (pushed.name.as_str(), pushed.old, pushed.new))
}

fn input() -> Result<Vec<u8>, Failure> {
    let mut input = Vec::new();
    let read = std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut input);
    match read {
        Err(error) => Err(Failure::undecided(Reason::Io, format!("reading what is pushed: {error}"))),
        Ok(length) if length as u64 > MAX_INPUT => {
            Err(Failure::undecided(Reason::TooLarge, "the push has more refs than are ever read"))
        }
        Ok(_) => Ok(input),
    }
}

/// What the pusher gave with `git push -o`: unauthenticated text.
fn push_options() -> Vec<String> {
    #[allow(clippy::disallowed_methods, reason = "Git tells hooks push options by the environment")]
    let variable = |name: &str| env::var(name).ok();
    let count: usize = variable("GIT_PUSH_OPTION_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0);
    (0..count.min(1000)).filter_map(|at| variable(&format!("GIT_PUSH_OPTION_{at}"))).collect()
}

/// Says a verdict, a line each refusal and a hint.
pub(super) fn say(verdict: &PushVerdict) -> Result<(), Failure> {
    for waived in verdict.waived.iter().take(MAX_SAID) {
        let RefusedRef { name, refusal, .. } = waived;
        let message = escaped(&refusal.message);
        let name = escaped(name);
        terminal::remark(&format!(
            "two-key: not refused, because a stop came with it: {name}: {}: {message}",
            refusal.reason
        ));
    }
    say_more(verdict.waived.len() + verdict.more_waived, "more without effect");
    for refused in verdict.refused.iter().take(MAX_SAID) {
        say_refused(refused);
    }
    say_more(verdict.refused.len() + verdict.more_refused, "more refused");
    if verdict.admits() {
        return Ok(());
    }
    for stop in verdict.stops.iter().take(MAX_SAID) {
        terminal::remark(&format!("hint: the stop in it can go in alone: git push … {stop}"));
    }
    say_more(verdict.stops.len(), "more stops");
    Err(Failure::Said(1))
}

/// Says how many there are beyond those that are said one by one.
fn say_more(all: usize, what: &str) {
    if let Some(more) = all.checked_sub(MAX_SAID).filter(|more| *more > 0) {
        terminal::remark(&format!("two-key: and {more} {what}"));
    }
}

fn say_refused(refused: &RefusedRef) {
    let RefusedRef { name, refusal, .. } = refused;
    let refusal = Refusal { message: escaped(&refusal.message), ..refusal.clone() };
    let failure = Failure::refused(escaped(name), refusal);
    terminal::remark(&failure.lines("hook").unwrap_or_default());
}

fn install(args: &Install, place: &Place) -> Result<(), Failure> {
    let path = args.path.as_ref().map_or_else(|| place.folder.clone(), |path| place.folder.join(path));
    let repository = Repository::open(&path)?;
    let undecided = |error: GitError| Failure::Undecided(error.into());
    let is_clients = args.client || (!args.server && repository.worktree().is_some());
    let side = if is_clients { JudgedAt::Client } else { JudgedAt::Server };
    let hooks: &[Hook] = match side {
        JudgedAt::Client => &[Hook::PrePush],
        JudgedAt::Server => &[Hook::ReferenceTransaction, Hook::PreReceive],
    };
    if args.wake.is_some() && side == JudgedAt::Client {
        return Err(Failure::Usage("--wake is for the bare repository that is pushed to".to_owned()));
    }
    let refused = |hook: Hook| move |refusal| Failure::refused(hook.name(), refusal);
    // All of them or none, and before anything is set.
    for hook in hooks {
        repository.free_for_hook(*hook).map_err(refused(*hook))?;
    }
    let pinned = repository.config("two-key.root").map_err(undecided)?;
    match (&args.root, pinned) {
        (None, None) if side == JudgedAt::Client => {}
        (None, None) => {
            let message = "no root is pinned there, and the hook refuses every push without one";
            let refusal = Refusal::new(Reason::Unpinned, message).hint("name it: git two-key hook install --root ROOT");
            return Err(Failure::Undecided(refusal));
        }
        (Some(root), Some(pinned)) if *root != pinned => {
            let refusal = Refusal::new(Reason::Ambiguous, format!("another root is pinned there: {pinned}"))
                .hint("change it deliberately: git two-key trust ROOT");
            return Err(Failure::refused("two-key.root", refusal));
        }
        (Some(root), _) => {
            if Oid::parse(root).is_none_or(|root| !repository.fits(root)) {
                return Err(Failure::Usage(format!("--root {root:?} is no full object id of that repository")));
            }
            repository.set_config("two-key.root", root).map_err(undecided)?;
        }
        (None, Some(_)) => {}
    }
    let program = env::current_exe()
        .map_err(|error| Failure::undecided(Reason::Io, format!("where this program is: {error}")))?;
    if side == JudgedAt::Server {
        for setting in SERVER_SETTINGS {
            repository.set_config(setting.name, &setting.right.to_string()).map_err(undecided)?;
        }
    }
    for hook in hooks {
        let installed = repository.install_hook(*hook, &program).map_err(refused(*hook))?;
        terminal::say(&format!("installed {}", installed.display()));
    }
    match &args.wake {
        Some(file) => wake(&repository, &place.folder.join(file)),
        None => Ok(()),
    }
}

/// Installs the hook that touches a file after each push.
fn wake(repository: &Repository, file: &Path) -> Result<(), Failure> {
    let hook = Hook::PostReceive;
    let undecided = |message: String| Failure::undecided(Reason::Io, message);
    let file = std::path::absolute(file).map_err(|error| undecided(format!("{}: {error}", file.display())))?;
    let program = env::current_exe().map_err(|error| undecided(format!("where this program is: {error}")))?;
    let installed =
        repository.install_hook(hook, &program).map_err(|refusal| Failure::refused(hook.name(), refusal))?;
    let name = file.to_string_lossy();
    repository.set_config("two-key.wake", &name)?;
    terminal::say(&format!("installed {}: it touches {name}", installed.display()));
    Ok(())
}
