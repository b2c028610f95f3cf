//! `doctor`: what is wrong with this set-up, and the command that fixes it.

use std::{fs, path::Path, time::Duration};

use clap::Args as ClapArgs;

use crate::{
    follower::{clocks, follow::MAX_STALENESS, records},
    git::{self, Base, Flaw, GitError, Hook, Repository, config, refspecs},
    ledger,
    model::{CLOCK_TOLERANCE, Oid, Reason, Refusal, refs},
    push::{ASIDE, GOVERNED},
    report::{self, DoctorView, SetUpProblem},
};

use super::{
    Failure, Format, Place,
    governed::{Root, Which},
    hook::SERVER_SETTINGS,
    kept,
    mend::Mend,
    remotes::upstream,
    session::Session,
    signers, terminal,
    tidy::Tidying,
    turn,
};

/// How long each remote may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// How long an applier may take to record a transition that is in force, in seconds: as long as it may be without its remote.
const APPLIER_TOLERANCE: u64 = MAX_STALENESS.as_secs();

/// Say what is wrong with this set-up, and the command that fixes it
///
/// Looks at the installed Git, the pinned root, the ledger, the clock, the appliers, the hooks, the signing key and the remote. Each thing that is
/// wrong comes with the command that fixes it. Nothing is changed, except what --believe-clock and --fix say.
#[derive(Debug, ClapArgs)]
#[command(
    after_long_help = "Examples:\n  git two-key doctor\n  git two-key doctor --fix\n  git two-key doctor --format json\n\n\
    Exit codes: 0 nothing is wrong; 1 something is."
)]
pub struct Args {
    /// Accept this machine's clock as correct again, for the appliers and agents of this clone; stop them first
    #[arg(long)]
    believe_clock: bool,
    /// Fix what can be fixed without touching anything that was signed: settings, the client's hook, false tags
    #[arg(long)]
    fix: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Something that is wrong.
#[derive(Debug)]
struct Complaint {
    /// Which check it is from.
    check: &'static str,
    /// What is wrong.
    message: String,
    /// What mends it.
    mend: String,
    /// The same, where --fix does it.
    fix: Option<Mend>,
}

impl Complaint {
    fn view(&self) -> SetUpProblem {
        SetUpProblem {
            check: self.check.to_owned(),
            message: self.message.clone(),
            mend: self.mend.clone(),
            fixable: self.fix.is_some(),
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Chart {
    /// What is wrong.
    problems: Vec<Complaint>,
    /// What is only unwise.
    advice: Vec<Complaint>,
}

impl Chart {
    fn note(&mut self, check: &'static str, message: impl Into<String>, mend: impl Into<String>) {
        self.problems.push(Complaint { check, message: message.into(), mend: mend.into(), fix: None });
    }

    fn fixable(&mut self, check: &'static str, message: impl Into<String>, mend: Mend) {
        let command = mend.command();
        self.problems.push(Complaint { check, message: message.into(), mend: command, fix: Some(mend) });
    }

    fn advise(&mut self, check: &'static str, message: impl Into<String>, mend: impl Into<String>) {
        self.advice.push(Complaint { check, message: message.into(), mend: mend.into(), fix: None });
    }
}

/// Labels that nobody needs any more, and that cost more than to take them away.
const MANY_LABELS: usize = 100;

/// Looks at everything and prints what is wrong.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let repo = place.repository()?;
    if args.believe_clock {
        clocks::believe(repo.common_dir()).map_err(|refusal| Failure::refused("the clock", refusal))?;
    }
    let mut chart = examine(place, &repo)?;
    let mut mended = Vec::new();
    if args.fix {
        for mend in chart.problems.iter().filter_map(|complaint| complaint.fix.as_ref()) {
            // What cannot be mended is found again, with the command.
            match mend.apply(&repo) {
                Ok(()) => mended.push(mend.command()),
                Err(failure) => failure.lines("doctor").iter().for_each(|lines| terminal::remark(lines)),
            }
        }
        if !mended.is_empty() {
            chart = examine(place, &repo)?;
        }
    }
    let Chart { problems, advice } = chart;
    match args.format {
        Format::Json => terminal::say_value(&DoctorView {
            ok: problems.is_empty(),
            problems: problems.iter().map(Complaint::view).collect(),
            advice: advice.iter().map(Complaint::view).collect(),
            mended,
        }),
        Format::Text => {
            let line = |c: &Complaint| format!("{}: {}\n  fix: {}", c.check, c.message, c.mend);
            let mut lines: Vec<_> = mended.iter().map(|mend| format!("fixed: {mend}")).collect();
            if problems.is_empty() {
                lines.push("nothing is wrong with this set-up".to_owned());
            }
            lines.extend(problems.iter().map(line));
            if !advice.is_empty() {
                lines.push("\nAdvice".to_owned());
                lines.extend(advice.iter().map(line));
            }
            terminal::say(&lines.join("\n"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Said(1)) }
}

/// Makes every check.
fn examine(place: &Place, repo: &Repository) -> Result<Chart, Failure> {
    let mut chart = Chart::default();
    git_version(&mut chart)?;
    for doubted in clocks::doubted(repo.common_dir()) {
        let message = format!(
            "{} {} doubts the clock here: it is {}, and should be {}",
            doubted.role.word(),
            doubted.name,
            doubted.times.0,
            doubted.times.1
        );
        let mend = "set the clock right: timedatectl set-ntp true; if it is, end the process, and: git two-key doctor --believe-clock";
        chart.note("clock", message, mend);
    }
    // Before the ledger is read, which writes it anew.
    memory(&mut chart, repo);
    match Session::open(place, &Which::Local) {
        Ok(session) => {
            ledger_checks(&mut chart, &session)?;
            clock(&mut chart, &session, turn::now().as_second());
            for line in report::ending_keys(&session.state, None, turn::now()) {
                chart.note("last-day", line, "git two-key key add NAME KEY, or a later `until` in the policy");
            }
            appliers(&mut chart, &session, turn::now().as_second())?;
            signing(&mut chart, &session)?;
            head(&mut chart, &session)?;
            if let Some(text) = signers::stale(&session)? {
                let message = "Git's own commands do not know every key here: the list of allowed signers is old";
                chart.fixable("signers", message, Mend::WriteSigners(text));
            }
            remote(&mut chart, &session)?;
        }
        Err(failure) => unreadable(&mut chart, repo, &failure),
    }
    hooks(&mut chart, repo)?;
    Ok(chart)
}

fn git_version(chart: &mut Chart) -> Result<(), Failure> {
    let (major, minor) = git::version()?;
    let (oldest_major, oldest_minor) = git::OLDEST;
    if (major, minor) < git::OLDEST {
        let message = format!(
            "Git {major}.{minor} is too old: {oldest_major}.{oldest_minor} is the first that signs commits with SSH keys"
        );
        chart.note("git", message, "install a newer Git");
    }
    Ok(())
}

/// Looks at what is remembered of the ledger.
fn memory(chart: &mut Chart, repo: &Repository) {
    let root = repo.pinned_root().ok().flatten();
    let message = match root.and_then(|root| repo.memory_flaw(root)) {
        None => return,
        Some(Flaw::Foreign) => {
            "what is remembered of the ledger is another root's or build's, and was ignored".to_owned()
        }
        Some(Flaw::Broken(why)) => format!("what is remembered of the ledger cannot be used, and was ignored: {why}"),
    };
    let folder = repo.common_dir().join("two-key");
    let mend = format!(
        "nothing: it costs time alone, and is written anew; if it stays so, rm {0}/checkpoint, and see who else may write there: ls -l {0}",
        folder.display()
    );
    chart.advise("memory", message, mend);
}

/// Why the ledger could not be read at all.
fn unreadable(chart: &mut Chart, repo: &Repository, failure: &Failure) {
    let json = failure.json(None).unwrap_or_default();
    let word = |field: &str| json[field].as_str().map(str::to_owned);
    if repo.is_shallow() {
        let message = word("message").unwrap_or_else(|| "the clone is shallow".to_owned());
        return chart.note("ledger", message, "git fetch --unshallow");
    }
    if let Some(root) = lost_root(repo) {
        let message = format!("the root {root} is not here: this is not the ledger whose root you were given");
        let mend =
            format!("ask whoever gave you the root where its ledger is, then: git two-key clone URL --root {root}");
        return chart.note("root", message, mend);
    }
    let message = word("message").unwrap_or_else(|| "it cannot be read".to_owned());
    let mend = word("hint").filter(|hint| !hint.contains("doctor")).unwrap_or_else(|| "git fsck".to_owned());
    chart.note("ledger", message, mend);
}

/// A pinned root that this repository does not have.
fn lost_root(repo: &Repository) -> Option<Oid> {
    let root = repo.pinned_root().ok()??;
    matches!(repo.revision(&root.to_string()), Ok(None)).then_some(root)
}

fn ledger_checks(chart: &mut Chart, session: &Session) -> Result<(), Failure> {
    if let Root::Unpinned(root) = session.root {
        let message = "no root is pinned, so whoever can rewrite the branch chose the keys";
        chart.note("root", message, format!("compare it with somebody whom you trust, then: git two-key trust {root}"));
    }
    let findings = session.past.findings();
    let upstream = upstream(&session.repo, &session.branch)?;
    if findings > 0 {
        let (many, were) =
            if findings == 1 { ("1 commit".to_owned(), "was") } else { (format!("{findings} commits"), "were") };
        let message = format!("{many} on {} {were} ignored", refs::short(&session.branch));
        chart.note("findings", message, "git two-key verify --all    # says which and why");
    }
    for warning in report::thin(session.state.policy().get()) {
        chart.note("policy", warning, "git two-key key add NAME PUBKEY, then turn both keys for the new policy");
    }
    if let Some((name, tip)) = &upstream {
        upstream_checks(chart, session, name, *tip)?;
    }
    let spent = Tidying::of(session)?.spent_labels()?;
    if spent >= MANY_LABELS {
        let message = format!("{spent} labels are of leases that ended long ago; each costs every push and fetch");
        chart.advise("tidy", message, "git two-key tidy");
    }
    if session.repo.worktree().is_some() {
        let tags = turn::tags::false_tags(&session.repo, &session.state, upstream.map(|(_, tip)| tip))?;
        if !tags.is_empty() {
            let names: Vec<_> = tags.iter().map(|tag| refs::short(&tag.name)).collect();
            let message = format!("tags here claim what is not in force, as after a lost race: {}", names.join(", "));
            chart.fixable("tags", message, Mend::DeleteTags(tags));
        }
    }
    Ok(())
}

/// Compares the local branch with its upstream.
fn upstream_checks(chart: &mut Chart, session: &Session, name: &str, tip: Oid) -> Result<(), Failure> {
    let ours = session.tip;
    let plain = name.strip_prefix("refs/remotes/").unwrap_or(name);
    for vote in kept::beyond(&session.repo, &session.branch, tip)? {
        if let Some(line) = kept::line(session, vote)? {
            let message = format!("{plain} does not have a vote that was signed here: {line}");
            chart.advise("unpushed", message, "git two-key sync; or take it back with: git two-key undo");
        }
    }
    if tip == ours {
        return Ok(());
    }
    if session.repo.is_ancestor(tip, ours)? {
        // What a `git pull` merges has the remote's tip as its second parent.
        if !session.repo.is_on_chain(tip, ours)? {
            let branch = refs::short(&session.branch);
            let message =
                format!("foxtrot: {branch} contains {plain}, but not on its first-parent chain, as after git pull");
            chart.note("upstream", message, "git two-key sync");
        }
        return Ok(());
    }
    let base = Base::After { tip: ours, root: session.root.commit() };
    // The first step shows whether the chain continues ours.
    match session.repo.steps(base, tip).and_then(|mut steps| steps.next().transpose()) {
        Ok(_) => {
            let message = format!("{plain} is ahead of {}", refs::short(&session.branch));
            chart.note("upstream", message, "git two-key sync");
        }
        Err(GitError::NotOnChain { .. }) if session.repo.is_ancestor(ours, tip)? => {
            let message = format!(
                "foxtrot: {plain} contains the tip that was accepted here, {}, but not on its first-parent chain",
                ours.short()
            );
            // The accepted tip is the healing merge's first parent; the tree is what the other side made of it.
            let remote = plain.split('/').next().unwrap_or("origin");
            let merge = format!("$(git commit-tree -p {ours} -p {tip} -m 'Heal a foxtrot merge' '{tip}^{{tree}}')");
            // Our own pre-push hook sees that the upstream's chain is left, which is what heals it.
            chart.note("upstream", message, format!("git push --no-verify {remote} \"{merge}\":{}", session.branch));
        }
        Err(GitError::NotOnChain { .. }) => {
            let message = format!("{plain} and {} have diverged", refs::short(&session.branch));
            chart.note("upstream", message, "git two-key sync");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Compares the clock with the newest commit. A clock that is behind lets expired leases look open, here and in commits that
/// are made here; one that is ahead cannot be told from the ledger.
fn clock(chart: &mut Chart, session: &Session, now: i64) {
    let newest = session.past.last(1).last().map_or(now, |report| report.claimed_time);
    let behind = newest - now;
    if behind > CLOCK_TOLERANCE.as_secs() {
        let minutes = behind / 60;
        let message = format!(
            "the newest commit of {} is dated {minutes} minutes ahead of the clock here",
            refs::short(&session.branch)
        );
        chart.note(
            "clock",
            message,
            "set the clock: timedatectl set-ntp true; if it is right, that commit's maker has to",
        );
    }
}

/// Asks of every target on which a lease has started whether its applier has recorded that lease's last transition.
fn appliers(chart: &mut Chart, session: &Session, now: i64) -> Result<(), Failure> {
    let observations = records::read(&session.repo, &session.state)?;
    for note in observations.notes {
        chart.note("applier", note, "have it removed from the remote, or its key put into the policy");
    }
    for found in &observations.found {
        if let Some(contradiction) = &found.record.contradiction {
            let message = format!("target {}, as {} saw it: {}", found.target, found.applier, contradiction.message);
            chart.note("restart", message, &contradiction.mend);
        }
    }
    for (target, lease) in session.state.started_targets() {
        let applier = session.state.policy().get().targets.get(target).and_then(|known| known.applier.as_ref());
        let (Some(applier), Some(last)) = (applier, lease.transitions.last()) else { continue };
        let since = session.past.at(&lease.id, last.commit);
        let age = u64::try_from(now - since.map_or(now, |report| report.claimed_time)).unwrap_or_default();
        let seen = observations.found.iter().find(|found| found.target == *target).map(|found| &found.record);
        if age <= APPLIER_TOLERANCE || seen.is_some_and(|seen| seen.lease == lease.id && seen.step >= last.step) {
            continue;
        }
        let (action, step) = (last.action, last.step);
        let seen = seen.map_or("nothing".to_owned(), |seen| {
            format!("{} of {}, step {}", seen.phase.word(), seen.lease, seen.step)
        });
        let message = format!(
            "applier {applier} has not recorded step {step} ({action}) of {}, which is {} minutes old; of {target} it has recorded {seen}",
            lease.id,
            age / 60
        );
        let mend =
            "git fetch; if that brings nothing newer, on the applier's machine: git two-key apply --once --config FILE";
        chart.note("applier", message, mend);
    }
    Ok(())
}

/// What a server has plain `git clone` check out.
fn head(chart: &mut Chart, session: &Session) -> Result<(), Failure> {
    let Session { repo, branch, .. } = session;
    if repo.worktree().is_none()
        && let Some(head) = repo.head()?.filter(|head| head != branch)
    {
        let message = format!("HEAD is {head}, so that is what plain `git clone` checks out, whoever pushed it");
        chart.note("head", message, format!("git symbolic-ref HEAD {branch}"));
    }
    Ok(())
}

fn signing(chart: &mut Chart, session: &Session) -> Result<(), Failure> {
    // A bare repository is a server's: nobody signs there.
    if session.repo.worktree().is_none() {
        return Ok(());
    }
    let key = match session.repo.default_key() {
        Ok(Some(key)) => key.public_key(),
        Ok(None) => {
            let mend = "git config two-key.key ~/.ssh/id_ed25519, or git config user.signingkey for all signing";
            chart.note("key", "no key to sign with is configured", mend);
            return Ok(());
        }
        Err(error) => Err(error),
    };
    let key = match key {
        Ok(key) => key,
        Err(error) => {
            chart.note("key", error.to_string(), "git config two-key.key FILE");
            return Ok(());
        }
    };
    if let Err(refusal) = ledger::rules::owner(&session.state, key.raw()) {
        let message = format!("{}: {}", key.fingerprint(), refusal.message);
        let mend =
            format!("git two-key key add NAME '{}', or name another key with: git config two-key.key FILE", key.line());
        chart.note("key", message, mend);
    }
    if key.ssh_type().is_some() && session.repo.config("gpg.format")?.as_deref() != Some("ssh") {
        chart.advise("signing", "`git commit -S` does not sign with SSH keys here", "git config gpg.format ssh");
    }
    Ok(())
}

fn remote(chart: &mut Chart, session: &Session) -> Result<(), Failure> {
    let asks = !session.repo.is_off(config::FETCH)?;
    for remote in session.repo.remotes()? {
        if asks
            && let Err(error) =
                session.repo.clone().with_deadline(ANSWERS_WITHIN).ls_remote(&remote, &[&session.branch])
        {
            chart.note("remote", error.to_string(), format!("see what is wrong with it: git ls-remote {remote}"));
        }
        let key = format!("remote.{remote}.fetch");
        let already = session.repo.config_all(&key)?;
        let onto_ours = |refspec: &String| refspec.contains(":refs/two-key/") || refspec.contains(":refs/notes/");
        if already.iter().any(onto_ours) {
            let message = format!(
                "`git fetch {remote}` writes over stops and votes that were signed here, and prunes them with fetch.prune"
            );
            chart.fixable("mirror", message, Mend::Unset(key.clone(), ":refs/(two-key|notes)/".to_owned()));
        }
        for (check, (refspec, what)) in ["notes", "observed"].into_iter().zip(refspecs(&remote)) {
            if !already.iter().any(|one| one.ends_with(&refspec)) {
                let message = format!("`git fetch {remote}` does not fetch {what}");
                chart.fixable(check, message, Mend::Add(key.clone(), format!("+{refspec}")));
            }
        }
    }
    let mut off = |kept: &str, what: &str| -> Result<(), Failure> {
        for remote in session.repo.mirrors_onto(kept)? {
            let [name, value] = Repository::off(&remote, kept);
            chart.fixable("mirror", format!("`git fetch {remote}` {what}"), Mend::Add(name, value));
        }
        Ok(())
    };
    off(refs::LOCAL, "prunes what was signed here and no remote has yet")?;
    if !session.repo.refs(&[refs::space(refs::STATE)])?.is_empty() {
        off(refs::STATE, "prunes what an applier or agent remembers here, or takes it from the remote")?;
    }
    if !session.repo.remotes()?.is_empty() {
        for vote in session.undelivered_notes()? {
            let what = report::subject_line(vote.statement());
            let message =
                format!("a vote by note of {} was left here, and no remote is known to have it: {what}", vote.claims());
            chart.note("votes", message, "git two-key sync");
        }
    }
    for stop in turn::stops::undelivered(&session.repo, &session.branch)? {
        chart.note("stops", stop.warning(), "git two-key sync");
    }
    Ok(())
}

fn hooks(chart: &mut Chart, repo: &Repository) -> Result<(), Failure> {
    let wanted: &[(Hook, &str)] = match repo.worktree() {
        Some(_) => &[(Hook::PrePush, "no check before a push")],
        None => &[
            (Hook::PreReceive, "pushes are not judged"),
            (Hook::ReferenceTransaction, "refs may move otherwise than a push was judged"),
        ],
    };
    for (hook, why) in wanted {
        if !installed(&repo.hook_path(*hook)?) {
            let message = format!("the {} hook is not installed: {why}", hook.name());
            match hook {
                Hook::PrePush => match repo.free_for_hook(*hook) {
                    Ok(()) => chart.fixable("hook", message, Mend::InstallHook),
                    Err(Refusal { reason: Reason::Ambiguous, message: why, .. }) => {
                        let own = repo.common_dir().join("hooks");
                        let mend = format!("git config core.hooksPath '{}' && git two-key hook install", own.display());
                        chart.note("hook", format!("{message}; {why}"), mend);
                    }
                    Err(Refusal { message: why, hint, .. }) => {
                        chart.note("hook", format!("{message}; {why}"), hint.unwrap_or_default());
                    }
                },
                _ => chart.note("hook", message, "git two-key hook install"),
            }
        }
    }
    if repo.worktree().is_none() {
        for setting in SERVER_SETTINGS {
            if setting.is_wrong(repo)? {
                let (name, right) = (setting.name, setting.right);
                chart.fixable(
                    "settings",
                    format!("{name} is not {right}"),
                    Mend::Set(name.to_owned(), right.to_string()),
                );
            }
        }
        hidden(chart, repo)?;
    }
    Ok(())
}

/// Settings of a server that hide governed refs: nobody sees the stops that are pushed there.
fn hidden(chart: &mut Chart, repo: &Repository) -> Result<(), GitError> {
    for setting in ["transfer.hideRefs", "uploadpack.hideRefs", "receive.hideRefs"] {
        for value in repo.config_all(setting)? {
            let start = value.trim_start_matches('^').trim_end_matches('/');
            let below = |name: &str, folder: &str| {
                name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            // A value that begins with `!` hides nothing.
            let mut read = GOVERNED.into_iter().filter(|name| *name != "refs/replace").chain(ASIDE);
            if read.any(|name| below(name, start) || below(start, name)) {
                let message =
                    format!("{setting} hides {value}, so what is pushed there does not get to those who need it");
                chart.note(
                    "settings",
                    message,
                    format!("git config --unset {setting} '^{}$'", value.replace('^', "\\^")),
                );
            }
        }
    }
    Ok(())
}

/// Whether a hook is there, may be run, and mentions this program.
fn installed(hook: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = fs::metadata(hook).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    runs && fs::read(hook).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("two-key"))
}
