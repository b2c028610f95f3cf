//! `clone`: join a governance repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    governed::{Which, unverified_branch},
    mend,
    session::Session,
    signers,
    terminal::{remark, say},
    turn,
};
use crate::{
    git::{Repository, SigningKey, config, mirrored, refspecs},
    model::{Oid, Reason, Refusal, refs},
    process::{hold_interrupts, interrupt_came},
    report,
};

/// The remote's name, whatever Git is told to call it by default.
const ORIGIN: &str = "origin";
/// With these `git pull` goes forward, or refuses and changes nothing: it neither merges the wrong way round nor takes signatures
/// off.
const PULLS: [(&str, &str); 2] = [("pull.ff", "only"), ("pull.rebase", "false")];

/// Join a governance repository: a clone to read and to sign in
///
/// Clones, pins the root, verifies everything from there, and sets the clone up: your key, what `git fetch` brings
/// besides branches, the client's hook, a `git pull` that breaks nothing, and the list of keys by which Git's own
/// commands check signatures. If anything is wrong, nothing is left behind.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key clone git@git.example:governance.git --key ~/.ssh/id_two_key \\\n    \
    --root 5be0c1d2e3f405162738495a6b7c8d9e0f102132")]
pub struct Args {
    /// Where it is
    url: String,
    /// The folder to make [default: the last part of the URL]
    dir: Option<PathBuf>,
    /// The root commit's full id, from somebody whom you trust, and not from the repository itself
    #[arg(long)]
    root: String,
    /// Your key: a private key, the public half of one that an SSH agent holds, or a minisign key
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
}

/// Joins.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    if Oid::parse(&args.root).is_none() {
        let message = format!("`{}` is no full commit id: that is 40 or 64 lower-case hexadecimal digits", args.root);
        return Err(Failure::Usage(message));
    }
    let name = args.dir.clone().unwrap_or_else(|| PathBuf::from(named_after(&args.url)));
    let folder = place.folder.join(&name);
    if fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        let refusal = Refusal::new(Reason::Ambiguous, "there is something already");
        return Err(Failure::refused(name.display().to_string(), refusal.hint("name another folder after the URL")));
    }
    // An interrupt ends Git first, and then what is half made is taken away.
    let _held = hold_interrupts();
    let cloned = Repository::clone_for_people(&place.folder, &args.url, &name, ORIGIN);
    if interrupt_came() {
        let _ = fs::remove_dir_all(&folder);
    }
    let repo = cloned.map_err(|error| {
        Failure::Undecided(error.refusal().hint("compare the address with that of whoever gave you the root"))
    })?;
    let joined = join(args, place, &repo, &folder);
    if joined.is_err() || interrupt_came() {
        // Nobody is to work in a clone that is not what it was taken for.
        let _ = fs::remove_dir_all(&folder);
        joined?;
        return Err(Failure::undecided(Reason::NotTaken, "interrupted; nothing is left behind"));
    }
    Ok(())
}

/// The folder that Git would make of an address.
fn named_after(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let last = url.rsplit(['/', ':']).next().unwrap_or(url);
    last.strip_suffix(".git").unwrap_or(last).to_owned()
}

fn join(args: &Args, place: &Place, repo: &Repository, folder: &Path) -> Result<(), Failure> {
    let not_it = |what: &str| {
        let refusal =
            Refusal::new(Reason::NotDescended, format!("{what}: this is not the ledger whose root you were given"));
        Failure::refused(args.url.as_str(), refusal.hint("ask whoever gave you the root where its ledger is"))
    };
    let root =
        Oid::parse(&args.root).filter(|root| repo.fits(*root)).ok_or_else(|| not_it("its ids have another length"))?;
    let (founded, _) = turn::begin(repo, root).map_err(|failure| match failure {
        Failure::Undecided(refusal) if refusal.reason == Reason::NotFound => {
            not_it(&format!("it has no commit {root}"))
        }
        other => other,
    })?;
    turn::warn_of_what_was_before(repo, root)?;
    repo.set_config(config::ROOT, &args.root)?;
    let branch = unverified_branch(repo);
    repo.fetch(ORIGIN, refs::short(&branch))?;
    follow(repo, &branch)?;
    if let Some(key) = &args.key {
        repo.set_config(config::KEY, &named_key(place, key)?)?;
    }
    let session = Session::open(&Place::at(folder.to_owned()), &Which::Newest)?;
    for (name, value) in PULLS {
        repo.set_config(name, value)?;
    }
    repo.set_config(&format!("branch.{}.rebase", refs::short(&branch)), "false")?;
    for (refspec, _) in refspecs(ORIGIN) {
        repo.add_config(&format!("remote.{ORIGIN}.fetch"), &format!("+{refspec}"))?;
    }
    turn::say_left_out(repo.fill_worktree()?);
    mend::hook_if_free(repo);
    signers::write(repo, &signers::text(&session))?;
    say(&format!(
        "Cloned into {}. Verified: {} steps from the root {root} of repository {}, which names these keys:\n\n{}",
        folder.display(),
        session.past.len(),
        session.state.policy().get().repository,
        report::keys_text(&report::keys_of(founded.policy().get(), &session.state, &[]))
    ));
    say_who(&session);
    say("\nSee what is going on with: git two-key list");
    Ok(())
}

/// Checks the governed branch out, whatever branch the remote's HEAD names, and has it follow the remote's.
fn follow(repo: &Repository, branch: &str) -> Result<(), Failure> {
    if repo.resolve(branch)?.is_none()
        && let Some(theirs) = repo.resolve(&mirrored(ORIGIN, branch))?
    {
        repo.update_refs(&[crate::git::RefUpdate::create(branch, theirs)], "two-key: clone")?;
    }
    repo.stand_on(branch)?;
    let name = refs::short(branch);
    repo.set_config(&format!("branch.{name}.remote"), ORIGIN)?;
    Ok(repo.set_config(&format!("branch.{name}.merge"), branch)?)
}

/// A key as the configuration names it: wherever somebody stands, it is the same.
fn named_key(place: &Place, key: &str) -> Result<String, Failure> {
    let path = place.path(key);
    if !path.exists() {
        return Ok(SigningKey::parse(key)?.to_string());
    }
    let path = std::path::absolute(&path)
        .map_err(|error| Failure::undecided(Reason::Io, format!("finding {}: {error}", path.display())))?;
    Ok(path.display().to_string())
}

/// Says whose key signs here.
fn say_who(session: &Session) {
    match session.signer() {
        Ok(principal) => say(&format!("You sign here as {principal}.")),
        Err(failure) => {
            if let Some(lines) = failure.lines("clone") {
                remark(&format!("warning: nobody can sign here yet\n{lines}"));
            }
        }
    }
}
