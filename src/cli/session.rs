//! The governed branch, read and folded: where most verbs begin.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic,
    path::Path,
    thread,
};

use crate::{
    agent::refusal,
    follower::records,
    gate::{Evidence, Subject},
    git::{Base, GitError, Note, Repository, mirrored},
    inbox::{self, NoteText, Overlay},
    ledger::{self, Entry, Resolution, State, StepReport},
    model::{Action, Digest, LeaseId, Oid, PrincipalId, Reason, Refusal, policy, refs},
    report::{Beside, Happened, RefusalReason, RefusalView},
    signature::Cosignature,
};

use super::{
    Failure, Place,
    remotes::{is_pushed_to, known_elsewhere, unpushed, upstream},
    subject, terminal, turn,
};

/// The path that a root is found by where none is pinned.
pub(super) const POLICY_PATH: &str = ".two-key/policy.yaml";
/// The branch that is governed where nothing says otherwise.
const MAIN: &str = "refs/heads/main";

/// Where the ledger begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// As pinned here by somebody who checked it.
    Pinned(Oid),
    /// As the branch itself has it: whoever can rewrite the branch chose it.
    Unpinned(Oid),
}

impl Root {
    /// The root commit.
    pub fn commit(self) -> Oid {
        match self {
            Self::Pinned(root) | Self::Unpinned(root) => root,
        }
    }
}

/// Which tip is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The local governed branch.
    Local,
    /// The fetched tip of a remote's; of its upstream's if none is named.
    Remote(Option<String>),
    /// The newest that is known: the fetched tip, unless the local branch continues it.
    Newest,
    /// Any commit, as people write it.
    At(String),
}

/// The governed branch, folded.
#[derive(Debug)]
pub struct Session {
    /// The repository.
    pub repo: Repository,
    /// Where the ledger begins.
    pub root: Root,
    /// The governed branch's full ref name.
    pub branch: String,
    /// The tip that was read.
    pub tip: Oid,
    /// What the ledger says there.
    pub state: State,
    /// What each step did, the root's first.
    pub reports: Vec<StepReport>,
    /// What should be known before any of this is relied on.
    pub remarks: Vec<String>,
}

impl Place {
    /// The repository of this place.
    pub fn repository(&self) -> Result<Repository, Failure> {
        // Without -C the environment may name a repository, as for every Git command.
        let here = self.folder == Path::new(".");
        Ok(if here { Repository::discover() } else { Repository::open(&self.folder) }?)
    }
}

impl Session {
    /// Reads and folds the governed branch.
    pub fn open(place: &Place, which: &Which) -> Result<Self, Failure> {
        let mut reports = Vec::new();
        let session = Self::open_each(place, which, |_, mut report| {
            // There may be a million, and most have one event where there is room for four.
            report.events.shrink_to_fit();
            reports.push(report);
        })?;
        Ok(Self { reports, ..session })
    }

    /// The same, handing each step's report over with the state after it, and keeping none.
    pub fn open_each(place: &Place, which: &Which, each: impl FnMut(&mut State, StepReport)) -> Result<Self, Failure> {
        let repo = place.repository()?;
        let (root, branch) = begin(&repo)?;
        let mut remarks = Vec::new();
        if let Root::Unpinned(root) = root {
            remarks.push(format!(
                "unpinned: no root is pinned here, so whoever can rewrite {} chose the keys\nhint: compare the root with \
                 somebody whom you trust, then: git two-key trust {root}",
                refs::short(&branch)
            ));
        }
        let tip = tip(&repo, &branch, which)?;
        let (state, ahead) = match which {
            // Git is asked while the ledger is read.
            Which::Local => {
                beside(|| fold(&repo, root.commit(), tip, each), || known_elsewhere(&repo, &branch, Some(tip)))
            }
            Which::Newest => beside(|| fold(&repo, root.commit(), tip, each), || unpushed(&repo, &branch)),
            Which::Remote(_) | Which::At(_) => {
                beside(|| fold(&repo, root.commit(), tip, each), || known_elsewhere(&repo, &branch, None))
            }
        };
        let state = state.map_err(|failure| off_chain(failure, &branch))?;
        remarks.extend(ahead?);
        Ok(Self { repo, root, branch, tip, state, reports: Vec::new(), remarks })
    }

    /// Refuses where no root is pinned. `so` says what that means for what was asked.
    pub fn must_be_pinned(&self, so: &str) -> Result<(), Failure> {
        match self.root {
            Root::Pinned(_) => Ok(()),
            Root::Unpinned(root) => {
                let message = format!("no root is pinned here, {so}");
                let hint = format!("compare the root with somebody whom you trust, then: git two-key trust {root}");
                Err(Failure::Undecided(Refusal::new(Reason::Unpinned, message).hint(hint)))
            }
        }
    }

    /// The lease that a handle (lease id, intent id or target) means for an action.
    pub fn lease(&self, handle: &str, action: Option<Action>) -> Result<LeaseId, Failure> {
        self.resolved(handle, action).map_err(|refusal| Failure::refused(handle, refusal))
    }

    /// The same, or why there is none.
    pub fn resolved(&self, handle: &str, action: Option<Action>) -> Result<LeaseId, Refusal> {
        match ledger::resolve(&self.state, handle, action) {
            Resolution::Lease(id) => Ok(id),
            Resolution::Ambiguous(ids) => {
                let ids: Vec<_> = ids.iter().map(LeaseId::as_str).collect();
                let message = format!("it may mean any of {}", ids.join(", "));
                Err(Refusal::new(Reason::Ambiguous, message).hint("name one by its lease id"))
            }
            Resolution::Unknown if LeaseId::parse(handle).is_none() => {
                let message = "that is no lease id, intent id or target: those are letters, digits, `.`, `_` and `-`";
                Err(Refusal::new(Reason::Malformed, message))
            }
            Resolution::Unknown => {
                let message = format!(
                    "no lease, intent or target of that name is in the ledger or in {}'s tree",
                    refs::short(&self.branch)
                );
                let refusal = Refusal::new(Reason::UnknownLease, message);
                let hint = "see which there are with: git two-key list --all; a lease that is not among them, in a file that \
                            cannot be read, with: git two-key check";
                let meant = subject::meant(&self.state, handle);
                let meant = meant.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
                Err(refusal.hint(meant + hint))
            }
        }
    }

    /// A commit, as people write it.
    pub fn commit(&self, revision: &str) -> Result<Oid, Failure> {
        commit(&self.repo, revision)
    }

    /// What is known beside the ledger.
    pub fn beside(&self) -> Result<Beside, Failure> {
        let tags = self.repo.refs(&["refs/tags/rollout"])?;
        let tags = tags.into_iter().filter_map(|(name, _)| Some(name.strip_prefix("refs/tags/")?.to_owned()));
        let (tags, notes) = (tags.collect(), self.inbox()?.waiting());
        let ((observed, seen), refused) = (self.observed()?, self.refused()?);
        let unpushed = super::status::unpushed(self)?;
        Ok(Beside { observed, seen, notes, tags, happened: Vec::new(), refused, now: Some(turn::now()), unpushed })
    }

    /// Why agents did not turn their keys, as far as that verifies.
    fn refused(&self) -> Result<BTreeMap<LeaseId, Vec<RefusalView>>, Failure> {
        let mut refused: BTreeMap<LeaseId, Vec<RefusalView>> = BTreeMap::new();
        for refusal in refusal::read(&self.repo, &self.state, self.tip)? {
            let reasons = refusal.reasons.into_iter().map(|why| RefusalReason {
                check: why.check,
                reason: why.reason,
                message: why.message,
            });
            let (agent, at) = (refusal.agent.to_string(), refusal.at.to_string());
            let view = RefusalView { agent, at, reasons: reasons.collect() };
            refused.entry(refusal.lease).or_default().push(view);
        }
        Ok(refused)
    }

    /// The same with all that appliers say happened: what the audit trail needs.
    pub fn beside_with_history(&self) -> Result<Beside, Failure> {
        let (policy, past) = (self.state.policy().get(), self.past());
        let named = |happened: records::Happened| {
            let now = policy.keys().find(|(_, _, key)| key.raw() == happened.key);
            let key = now.map(|(_, _, key)| key.fingerprint()).or_else(|| past.fingerprint(happened.key))?;
            let event = happened.event;
            Some(Happened {
                event: event.event,
                seen: event.at.as_second(),
                applier: happened.applier,
                key,
                commit: happened.commit,
                ledger: happened.ledger,
                target: event.target,
                lease: event.lease,
                step: event.step,
                weight_bp: event.weight_bp,
                key_standing: happened.former.map(str::to_owned),
            })
        };
        let history =
            terminal::patiently("reading what appliers say", || records::history(&self.repo, &self.state, &past))?;
        let happened = history.into_iter().filter_map(named).collect();
        Ok(Beside { happened, ..self.beside()? })
    }

    /// The evidence that somebody answers for: in the ledger's tree, where a vote names it; in an applier's, whose signature is
    /// on its tip. The newest of each tier of a lease.
    pub fn evidence(&self) -> Result<BTreeMap<LeaseId, Vec<(Digest, Evidence)>>, Failure> {
        let votes = self.reports.iter().flat_map(|report| &report.events).flat_map(|event| &event.votes);
        let named: BTreeSet<_> = votes.filter_map(|vote| vote.evidence).collect();
        let mut objects = self.repo.objects()?;
        let mut found: BTreeMap<LeaseId, BTreeMap<u8, (Digest, Evidence)>> = BTreeMap::new();
        let appliers = records::attested_tips(&self.repo, &self.state)?;
        for (tip, all) in std::iter::once((self.tip, false)).chain(appliers.into_iter().map(|tip| (tip, true))) {
            for (path, blob) in objects.files_below(tip, "evidence")? {
                let digest = path.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
                let Some(digest) = digest.and_then(|hex| Digest::parse(&format!("sha256:{hex}"))) else { continue };
                if !all && !named.contains(&digest) {
                    continue;
                }
                let Some(bytes) = objects.blob_if_held(blob)? else { continue };
                let Ok(evidence) = Evidence::read(&bytes, digest) else { continue };
                // What was seen of a version that was restored says nothing of a tier.
                if evidence.context.subject == Subject::Stable {
                    continue;
                }
                let tiers = found.entry(evidence.context.lease.clone()).or_default();
                let newest = tiers.get(&evidence.context.tier);
                if newest.is_none_or(|(_, known)| known.judgement.at < evidence.judgement.at) {
                    tiers.insert(evidence.context.tier, (digest, evidence));
                }
            }
        }
        Ok(found.into_iter().map(|(lease, tiers)| (lease, tiers.into_values().collect())).collect())
    }

    /// What waits in notes, in ours and in those that were fetched from remotes.
    pub fn inbox(&self) -> Result<Overlay, Failure> {
        let mut notes = self.notes_under(refs::NOTES)?;
        notes.extend(self.fetched_notes()?);
        Ok(self.overlay(&notes))
    }

    /// What waits in notes here and in none that was fetched from a remote.
    pub fn undelivered_notes(&self) -> Result<Vec<Cosignature>, Failure> {
        let ours = self.notes_under(refs::NOTES)?;
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let (ours, theirs) = (self.overlay(&ours), self.overlay(&self.fetched_notes()?));
        let is_there =
            |vote: &Cosignature| theirs.votes_for(vote.statement()).any(|other| other.claims() == vote.claims());
        Ok(ours.votes.into_iter().filter(|vote| !is_there(vote)).collect())
    }

    /// The notes of the policy's people.
    fn notes_under(&self, prefix: &str) -> Result<Vec<Note>, Failure> {
        Ok(self.repo.notes(prefix, |name| self.state.policy().get().principals.contains_key(name))?)
    }

    fn fetched_notes(&self) -> Result<Vec<Note>, Failure> {
        let mut notes = Vec::new();
        for remote in self.repo.remotes()? {
            notes.extend(self.notes_under(&mirrored(&remote, refs::NOTES))?);
        }
        Ok(notes)
    }

    fn overlay(&self, notes: &[Note]) -> Overlay {
        let texts: Vec<_> =
            notes.iter().map(|note| NoteText { principal: &note.principal, text: &note.bytes }).collect();
        inbox::overlay(&texts, &self.state)
    }

    /// The principal whose key Git signs with here.
    pub fn signer(&self) -> Result<PrincipalId, Failure> {
        let key = self.repo.default_key()?.ok_or_else(|| {
            let message = "no key to sign with is configured here, so whose statement it is cannot be known";
            let hint = "set your key: git config two-key.key FILE";
            Failure::Undecided(Refusal::new(Reason::NoKey, message).hint(hint))
        })?;
        let key = key.public_key()?;
        let owner = ledger::rules::owner(&self.state, key.raw());
        owner.map(|(id, _)| id).map_err(|refusal| Failure::refused(key.fingerprint().as_str(), refusal))
    }

    /// Prints what should be known first.
    pub fn say_remarks(&self) {
        if !self.remarks.is_empty() {
            terminal::say(&self.remarks_text());
        }
    }

    /// What should be known first, each remark ended by a line feed.
    pub fn remarks_text(&self) -> String {
        let remarks: Vec<_> = self.remarks.iter().map(|remark| terminal::by_lines(remark) + "\n").collect();
        remarks.concat()
    }
}

/// Finds the root and the branch.
fn begin(repo: &Repository) -> Result<(Root, String), Failure> {
    repo.whole()?;
    if let Some(root) = repo.pinned_root()? {
        return Ok((Root::Pinned(root), pinned_branch(repo, root)?));
    }
    let branch = unpinned_branch(repo)?;
    let Some(tip) = repo.resolve(&branch)? else { return Err(no_ledger(&branch)) };
    let root = repo.first_to_change(tip, POLICY_PATH)?.ok_or_else(|| no_ledger(&branch))?;
    Ok((Root::Unpinned(root), branch))
}

fn no_ledger(branch: &str) -> Failure {
    let message = format!("there is no ledger here: {} has no {POLICY_PATH}", refs::short(branch));
    Failure::Undecided(
        Refusal::new(Reason::NoLedger, message)
            .hint("this is not a governance clone; change to it, or clone one: git two-key clone URL --root ROOT"),
    )
}

/// The branch that the root's policy names.
pub(super) fn pinned_branch(repo: &Repository, root: Oid) -> Result<String, Failure> {
    let missing = |error| match error {
        GitError::MissingObject(id) if id == root => {
            let message = format!("the pinned root {root} is not in this repository");
            Failure::Undecided(
                Refusal::new(Reason::NoLedger, message).hint("see what is wrong with: git two-key doctor"),
            )
        }
        other => other.into(),
    };
    let step = repo.steps(Base::Root(root), root).map_err(missing)?.next().transpose()?;
    let Some(Entry::Regular(bytes)) = step.and_then(|step| step.policy) else {
        return Err(Failure::undecided(Reason::Malformed, format!("the pinned root {root} has no {POLICY_PATH}")));
    };
    let policy = policy::read(&bytes).map_err(|error| Failure::Undecided(error.into()))?;
    Ok(policy.get().branch_ref())
}

/// The branch that somebody without a pinned root most likely means.
fn unpinned_branch(repo: &Repository) -> Result<String, Failure> {
    if let Some(branch) = repo.config("two-key.branch")? {
        return Ok(format!("refs/heads/{branch}"));
    }
    if let Some(head) = repo.head()?
        && let Some(tip) = repo.resolve(&head)?
        && repo.first_to_change(tip, POLICY_PATH)?.is_some()
    {
        return Ok(head);
    }
    Ok(MAIN.to_owned())
}

/// The governed branch and its tip where nothing can be verified.
pub(super) fn unverified_tip(repo: &Repository, which: &Which) -> Result<(String, Oid), Failure> {
    let branch = unverified_branch(repo);
    let tip = tip(repo, &branch, which)?;
    Ok((branch, tip))
}

/// The governed branch where nothing can be verified.
pub(super) fn unverified_branch(repo: &Repository) -> String {
    let pinned = repo.pinned_root().ok().flatten().and_then(|root| pinned_branch(repo, root).ok());
    pinned.or_else(|| unpinned_branch(repo).ok()).unwrap_or_else(|| MAIN.to_owned())
}

fn tip(repo: &Repository, branch: &str, which: &Which) -> Result<Oid, Failure> {
    match which {
        Which::At(revision) => commit(repo, revision),
        Which::Local => repo.resolve(branch)?.ok_or_else(|| {
            let message = format!("the governed branch {} is not here", refs::short(branch));
            let hint = format!(
                "fetch it with: git fetch origin {0}:{0}, or read the upstream's with --remote",
                refs::short(branch)
            );
            Failure::Undecided(Refusal::new(Reason::NoLedger, message).hint(hint))
        }),
        Which::Newest => {
            let followed = if is_pushed_to(repo, branch)? { None } else { upstream(repo, branch)? };
            let theirs = followed.map(|(_, tip)| tip);
            match (repo.resolve(branch)?, theirs) {
                (Some(local), Some(theirs)) if local == theirs || repo.is_ancestor(theirs, local)? => Ok(local),
                (_, Some(theirs)) => Ok(theirs),
                (_, None) => tip(repo, branch, &Which::Local),
            }
        }
        Which::Remote(named) => {
            let found = match named {
                Some(remote) => {
                    super::fresh::known_remote(repo, remote)?;
                    repo.resolve(&mirrored(remote, branch))?
                }
                None => upstream(repo, branch)?.map(|(_, tip)| tip),
            };
            found.ok_or_else(|| {
                let message = format!("{} has no fetched upstream", refs::short(branch));
                let hint = format!("git fetch, then: git branch --set-upstream-to=origin/{0} {0}", refs::short(branch));
                Failure::Undecided(Refusal::new(Reason::NoLedger, message).hint(hint))
            })
        }
    }
}

/// A commit, as people write it.
pub(super) fn commit(repo: &Repository, revision: &str) -> Result<Oid, Failure> {
    repo.revision(revision)?
        .ok_or_else(|| Failure::undecided(Reason::NotFound, format!("`{revision}` names no commit here")))
}

/// Does some work, and something else at the same time; after it where no thread can be started.
fn beside<A, B: Send>(work: impl FnOnce() -> A, other: impl Fn() -> B + Sync) -> (A, B) {
    thread::scope(|scope| {
        let begun = thread::Builder::new().spawn_scoped(scope, &other);
        let done = work();
        let other =
            begun.map_or_else(|_| other(), |begun| begun.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        (done, other)
    })
}

/// Folds the chain from a root to a tip.
fn fold(
    repo: &Repository,
    root: Oid,
    tip: Oid,
    mut each: impl FnMut(&mut State, StepReport),
) -> Result<State, Failure> {
    let mut progress = terminal::Progress::new("verified", "steps");
    let mut steps = repo.steps(Base::Root(root), tip)?;
    let first = steps.next().transpose()?.ok_or(GitError::MissingObject(root))?;
    let (mut state, report) = ledger::begin(&first).map_err(|error| Failure::Undecided(error.refusal))?;
    each(&mut state, report);
    for done in 1.. {
        let Some(step) = steps.next().transpose()? else { break };
        let (next, report) = ledger::apply(state, &step);
        state = next;
        each(&mut state, report);
        progress.at(done, steps.left());
    }
    Ok(state)
}

/// Says of a branch that does not begin at the root what that means.
fn off_chain(failure: Failure, branch: &str) -> Failure {
    match failure {
        Failure::Undecided(Refusal { reason: Reason::Foxtrot, message, .. }) => {
            let message = format!("{} is not a ledger of the root: {message}", refs::short(branch));
            let refusal = Refusal::new(Reason::NotDescended, message);
            Failure::Undecided(refusal.hint("see what is wrong with: git two-key doctor"))
        }
        other => other,
    }
}

/// A branch's name without `refs/heads/`.
#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, mpsc},
        time::Duration,
    };

    use super::beside;

    #[test]
    fn two_things_are_done_at_the_same_time() {
        let ((here, there), (to_here, to_there)) = {
            let (to_here, here) = mpsc::channel();
            let (to_there, there) = mpsc::channel();
            ((here, Mutex::new(there)), (to_here, to_there))
        };
        let patience = Duration::from_secs(60);
        // Each waits for the other to have begun.
        let work = || {
            to_there.send("work").unwrap();
            here.recv_timeout(patience)
        };
        let other = || {
            to_here.send("other").unwrap();
            there.lock().unwrap().recv_timeout(patience)
        };
        assert_eq!(beside(work, other), (Ok("other"), Ok("work")));
    }
}
