//! `tidy`: labels and files of leases that ended long ago, and stop refs that the ledger holds, taken away here and at the remote.

mod files;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place, account, fresh,
    governed::{Which, unverified_branch},
    hook, remotes,
    session::Session,
    terminal::say,
    turn::{self, tags},
};
use crate::{
    admission::{self, Newest},
    git::{Objects, PushOptions, PushedRef, RefUpdate, Repository, mirrored},
    model::{LeaseId, Oid, Reason, Refusal, refs},
    push::{ASIDE, RefMeaning, place},
};

/// Refs that are pushed away at a time.
const AT_ONCE: usize = 500;

/// Take away labels and files of leases that ended long ago
///
/// A lease that ended longer ago than the policy's `keep` (90 days if it says nothing) loses its rollout tags, which cost every
/// push and fetch, and its file, which makes the tree larger: nothing depends on them, the ledger says the same. Leases that have
/// not ended keep theirs, and so does the last of each target that ended. Files go by ordinary commits on the branch, of at most
/// 256 names each. Stop refs go whose stops the branch has folded. Here and at the remote, whose hook admits exactly that of refs;
/// in a repository that others push to, there alone.
#[derive(Debug, ClapArgs)]
#[command(
    after_long_help = "Examples:\n  git two-key tidy --dry-run\n  git two-key tidy\n  git two-key tidy --restore checkout-prod"
)]
pub struct Args {
    /// Say what would go, and take nothing away
    #[arg(long)]
    dry_run: bool,
    /// Take nothing away, and make the labels of a lease anew, by what the ledger says; its file need not come back
    #[arg(long, value_name = "LEASE", conflicts_with = "dry_run")]
    restore: Option<String>,
    /// The remote to tidy [default: the branch's upstream, else the only remote, else origin]
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
    /// How to print; with json, words for people go to standard error
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Refs with what they hold.
type Refs = Vec<(String, Oid)>;

/// What may go, as a ledger says it.
pub(super) struct Tidying<'a> {
    session: &'a Session,
    newest: Newest,
    objects: Objects,
    /// Of leases whether their labels may go.
    leases: BTreeMap<LeaseId, bool>,
}

impl<'a> Tidying<'a> {
    pub(super) fn of(session: &'a Session) -> Result<Self, Failure> {
        let (newest, objects) = (Newest::of(&session.state), session.repo.objects()?);
        Ok(Self { session, newest, objects, leases: BTreeMap::new() })
    }

    /// How many labels here may go.
    pub(super) fn spent_labels(&mut self) -> Result<usize, Failure> {
        let here = self.session.repo.refs(&["refs/tags/rollout"])?;
        Ok(self.among(here)?.len())
    }

    /// Those of some refs that may go.
    fn among(&mut self, all: Refs) -> Result<Refs, Failure> {
        let mut found = Vec::new();
        for (name, id) in all {
            if self.may_go(&name)? {
                found.push((name, id));
            }
        }
        Ok(found)
    }

    fn may_go(&mut self, name: &str) -> Result<bool, Failure> {
        let state = &self.session.state;
        match place(name, &self.session.branch) {
            RefMeaning::Tag { lease, .. } => self.lease_may_go(&lease),
            RefMeaning::Stop { id, .. } => {
                // A clone need not have what a remote has.
                let opened = self.objects.open_one(id).ok();
                Ok(admission::stop_may_go(state, opened.as_ref()).is_ok())
            }
            _ => Ok(false),
        }
    }

    /// Whether a lease ended so long ago that what only repeats the ledger may go.
    fn lease_may_go(&mut self, lease: &LeaseId) -> Result<bool, Failure> {
        if let Some(known) = self.leases.get(lease) {
            return Ok(*known);
        }
        let state = &self.session.state;
        let last = state.lease(lease).and_then(|lease| lease.transitions.last());
        let links = last.map(|last| self.objects.links(last.commit)).transpose()?;
        let committed = links.and_then(|links| i64::try_from(links.committer_time).ok());
        let may = admission::labels_may_go(state, &self.newest, lease, committed, turn::now()).is_ok();
        self.leases.insert(lease.clone(), may);
        Ok(may)
    }
}

/// Takes them away.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let repo = place.repository()?;
    fresh::look(&repo, args.remote.as_deref())?;
    let remote = remotes::followed(&repo, &unverified_branch(&repo), args.remote.as_deref())?;
    // What is here alone may be taken back.
    let which = remote.as_ref().map_or(Which::Local, |remote| Which::Remote(Some(remote.clone())));
    let session = Session::open(place, &which)?;
    session.must_be_pinned("so what has ended is not known")?;
    if let Some(handle) = &args.restore {
        return restore(&session, remote.as_deref(), handle);
    }
    let mut tidying = Tidying::of(&session)?;
    let there = match &remote {
        Some(remote) => {
            let there = patterns("/*");
            tidying.among(repo.ls_remote(remote, &there.iter().map(String::as_str).collect::<Vec<_>>())?)?
        }
        None => Vec::new(),
    };
    let here = patterns("");
    let here = tidying.among(repo.refs(&here.iter().map(String::as_str).collect::<Vec<_>>())?)?;
    let files = tidying.spent_files()?;
    session.sound()?;
    if args.dry_run {
        let refs = there.iter().chain(&here).map(|(name, _)| name.as_str());
        let mut names: Vec<&str> = refs.chain(files.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            say(name);
            account::note(|account| account.effect.push(name.to_owned()));
        }
        return Ok(());
    }
    if let Some(remote) = &remote {
        push_away(&repo, remote, &there)?;
        forget(&repo, &kept_of(&repo, remote, &there)?)?;
        account::note(|account| account.pushed_to = Some(remote.clone()));
        say(&format!("{remote}: {}", counted(&there)));
    } else {
        let moves: Vec<_> = here.iter().map(|(name, id)| moved(name, Some(*id), None)).collect();
        admitted_here(&repo, &moves)?;
    }
    forget(&repo, &here)?;
    let gone: BTreeSet<_> = there.iter().chain(&here).map(|(name, _)| name.clone()).collect();
    account::note(|account| account.taken_back.extend(gone));
    say(&format!("here: {}", counted(&here)));
    // Last, as a server whose clock says otherwise has kept its labels by now.
    files::tidy(session, place, remote.as_deref())
}

/// Where labels and stops are: below a space, and under names that begin like these.
fn patterns(below: &str) -> Vec<String> {
    let spaces = ["refs/tags/rollout", refs::space(refs::STOPS)].map(|space| format!("{space}{below}"));
    spaces.into_iter().chain(ASIDE.map(|start| format!("{start}*"))).collect()
}

fn moved(name: &str, old: Option<Oid>, new: Option<Oid>) -> PushedRef {
    PushedRef { name: name.to_owned(), old, new }
}

fn counted(gone: &[(String, Oid)]) -> String {
    let stops = gone.iter().filter(|(name, _)| !name.starts_with("refs/tags/rollout/")).count();
    let many = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    format!("{} and {} taken away", many(gone.len() - stops, "label"), many(stops, "stop ref"))
}

/// Deletes refs of a remote, whose hook judges that.
fn push_away(repo: &Repository, remote: &str, gone: &[(String, Oid)]) -> Result<(), Failure> {
    for some in gone.chunks(AT_ONCE) {
        let refspecs: Vec<_> = some.iter().map(|(name, _)| format!(":{name}")).collect();
        let expected = some.iter().map(|(name, id)| (name.clone(), Some(*id))).collect();
        let outcome =
            repo.push(remote, &refspecs, &PushOptions { atomic: true, expected, ..PushOptions::default() })?;
        if !outcome.is_accepted() {
            let refusal = Refusal::new(Reason::NotTaken, format!("{remote} keeps them: {}", turn::words_of(&outcome)));
            return Err(Failure::Undecided(
                refusal.hint("fetch, then see what may go with: git two-key tidy --dry-run"),
            ));
        }
    }
    Ok(())
}

/// What is kept here of refs that a remote has no more.
fn kept_of(repo: &Repository, remote: &str, gone: &[(String, Oid)]) -> Result<Refs, Failure> {
    let kept = patterns("").into_iter().map(|pattern| mirrored(remote, &pattern)).collect::<Vec<_>>();
    let kept = repo.refs(&kept.iter().map(String::as_str).collect::<Vec<_>>())?;
    let gone: BTreeSet<_> = gone.iter().map(|(name, _)| mirrored(remote, name)).collect();
    Ok(kept.into_iter().filter(|(name, _)| gone.contains(name)).collect())
}

/// Deletes refs here.
fn forget(repo: &Repository, gone: &[(String, Oid)]) -> Result<(), Failure> {
    gone.chunks(AT_ONCE).try_for_each(|some| Ok(repo.delete_refs(some, "two-key: tidy")?))
}

/// Makes the labels of a lease anew, here and at the remote.
fn restore(session: &Session, remote: Option<&str>, handle: &str) -> Result<(), Failure> {
    let repo = &session.repo;
    let lease = session.lease(handle, None)?;
    let own = refs::rollout_tag(&lease, "");
    let mut labels: Vec<RefUpdate> = Vec::new();
    for report in session.past.about(&[lease.clone()].into()) {
        let updates = tags::updates(repo, &session.state, &report, "two-key", |_| false)?;
        labels.extend(updates.into_iter().filter(|update| update.name.starts_with(&own)));
    }
    session.sound()?;
    if remote.is_none() {
        let moves: Vec<_> = labels.iter().map(|label| moved(&label.name, label.old, Some(label.new))).collect();
        admitted_here(repo, &moves)?;
    }
    let names = tags::put(repo, &labels, "two-key: tidy");
    account::note(|account| account.tags.clone_from(&names));
    if let Some(remote) = remote {
        let all = repo.refs(&[own.trim_end_matches('/')])?;
        tags::follow(repo, remote, &all.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    say(&format!("{lease}: {} label{} made anew", names.len(), if names.len() == 1 { "" } else { "s" }));
    if files::is_deleted(session, &lease) {
        say(&format!("{lease}: its file was deleted, and need not come back: the ledger has its bytes"));
    }
    Ok(())
}

/// Lets the hook of this repository admit moves of its refs.
fn admitted_here(repo: &Repository, moves: &[PushedRef]) -> Result<(), Failure> {
    if moves.is_empty() { Ok(()) } else { hook::admit_here(repo, moves) }
}
