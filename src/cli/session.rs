//! Session of a verb: the governed branch, read and folded. Where most verbs begin.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic,
    path::Path,
    thread,
};

use crate::{
    agent::refusal,
    follower::records,
    gate::{Evidence, MeasuredVersion},
    git::{Ledger, Memory, Note, Past, Repository, Stuck, mirrored},
    inbox::{self, NoteText, Overlay},
    ledger::{self, Group, Resolution, State, StepReport},
    model::{Action, Digest, LeaseId, Oid, PrincipalId, Reason, Refusal, refs},
    report::{Beside, Noted, ObservedEvent, RefusalReason, RefusalView, WaitingVote},
    signature::Cosignature,
};

use super::{
    Failure, Place,
    elsewhere::{known_elsewhere, unpushed},
    governed::{self, MAIN, Root, Which, begin},
    kept,
    remotes::upstream,
    subject, terminal, turn,
};

/// Leases whose tags are asked for by name; of more all are.
const FEW: usize = 64;

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
    /// What each step did.
    pub past: Past,
    /// What was remembered of it.
    pub memory: Memory,
    /// What should be known before any of this is relied on.
    pub remarks: Vec<String>,
    /// Which tip that is.
    pub which: Which,
    /// How many votes that were signed here, and that the tip does not have, lie on top of it.
    pub laid_on: usize,
}

impl Place {
    /// The repository of this place.
    pub fn repository(&self) -> Result<Repository, Failure> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.clone());
        }
        // Without -C the environment may name a repository, as for every Git command.
        let here = self.folder == Path::new(".");
        let opened = if here { Repository::discover() } else { Repository::open(&self.folder) }?;
        Ok(self.opened.get_or_init(|| opened).clone())
    }
}

/// How a ledger is read.
enum LedgerReading<'a> {
    /// By what is remembered of it.
    Remembered,
    /// From the root on.
    Anew,
    /// From the root on; each step's report is handed over with the state after it, and none is kept.
    Each(&'a mut dyn FnMut(&mut State, StepReport)),
}

impl Session {
    /// Reads the governed branch by what is remembered of it.
    pub fn open(place: &Place, which: &Which) -> Result<Self, Failure> {
        Self::read(place, which, LedgerReading::Remembered)
    }

    /// Reads and folds the governed branch from its root on.
    pub fn open_anew(place: &Place, which: &Which) -> Result<Self, Failure> {
        Self::read(place, which, LedgerReading::Anew)
    }

    /// The same, handing each step's report over with the state after it, and keeping none.
    pub fn open_each(
        place: &Place,
        which: &Which,
        mut each: impl FnMut(&mut State, StepReport),
    ) -> Result<Self, Failure> {
        Self::read(place, which, LedgerReading::Each(&mut each))
    }

    fn read(place: &Place, which: &Which, reading: LedgerReading<'_>) -> Result<Self, Failure> {
        let repo = place.repository()?;
        // Hardly any branch has another name.
        let asked = matches!(which, Which::Local | Which::Newest).then(|| repo.asked(MAIN)).flatten();
        let (root, branch, memory) = begin(&repo)?;
        let mut remarks = Vec::new();
        if let Root::Unpinned(root) = root {
            remarks.push(format!(
                "unpinned: no root is pinned here, so whoever can rewrite {} chose the keys\nhint: compare the root with \
                 somebody whom you trust, then: git two-key trust {root}",
                refs::short(&branch)
            ));
        }
        let tip = governed::tip(&repo, &branch, which, asked)?;
        // Git is asked while the ledger is read.
        let other = || match which {
            Which::Local => known_elsewhere(&repo, &branch, Some(tip)),
            Which::Newest => unpushed(&repo, &branch),
            Which::Remote(_) | Which::At(_) => known_elsewhere(&repo, &branch, None),
        };
        // A verdict is about the branch alone.
        let lays_on =
            *which == Which::Newest && matches!((&reading, root), (LedgerReading::Remembered, Root::Pinned(_)));
        let other = || {
            let kept = if lays_on { kept::beyond(&repo, &branch, tip)? } else { Vec::new() };
            Ok::<_, Failure>((other()?, kept))
        };
        let (ledger, ahead) = beside(|| ledger(&repo, &branch, &memory, tip, reading), other);
        let Ledger { state, past } = ledger.map_err(|failure| off_chain(failure, &branch))?;
        let (ahead, kept) = ahead?;
        remarks.extend(ahead);
        let which = which.clone();
        let mut session = Self { repo, root, branch, tip, state, past, memory, remarks, which, laid_on: 0 };
        kept::lay_on(&mut session, &kept)?;
        Ok(session)
    }

    /// Refuses where what was found out until now is void, because something could be read neither from what is remembered nor
    /// from the ledger itself.
    pub fn sound(&self) -> Result<(), Failure> {
        self.memory.sound().map_err(Failure::Undecided)
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
                let all = match action {
                    Some(Action::Cosign | Action::Promote) => ", or take all: --intent INTENT, --target-prefix TEXT",
                    _ => "",
                };
                Err(Refusal::new(Reason::Ambiguous, message).hint(format!("name one by its lease id{all}")))
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
                let elsewhere = self.proposed_on_head(handle).map(|branch| {
                    let ours = refs::short(&self.branch);
                    format!(
                        "{handle} is proposed on {branch}, which is checked out, and can be signed once {ours} has it; "
                    )
                });
                Err(refusal.hint(elsewhere.unwrap_or_default() + &meant + hint))
            }
        }
    }

    /// The branch that is checked out, where that is another than the governed one and proposes a lease.
    fn proposed_on_head(&self, lease: &str) -> Option<String> {
        let head = self.repo.head().ok()?.filter(|head| *head != self.branch)?;
        let tip = self.repo.resolve(&head).ok()??;
        let file = format!("leases/{lease}.yaml");
        self.repo.objects().ok()?.file_id_at(tip, &file).ok()??;
        Some(refs::short(&head).to_owned())
    }

    /// A commit, as people write it.
    pub fn commit(&self, revision: &str) -> Result<Oid, Failure> {
        governed::commit(&self.repo, revision)
    }

    /// What is known beside the ledger that concerns some leases.
    pub fn beside(&self, leases: &BTreeSet<LeaseId>) -> Result<Beside, Failure> {
        let notes = self.inbox()?.waiting();
        let ((observed, seen), refused) = (self.observed(leases)?, self.refused()?);
        let (tags, happened) = (BTreeSet::new(), Vec::new());
        let unpushed = super::status::unpushed(self)?;
        let (noted, now) = (Noted::default(), Some(turn::now()));
        Ok(Beside { observed, seen, notes, noted, tags, happened, refused, now, unpushed })
    }

    /// The same with the tags of their transitions.
    pub fn beside_with_tags(&self, leases: &BTreeSet<LeaseId>) -> Result<Beside, Failure> {
        let few = leases.len() <= FEW;
        let names: Vec<_> = leases.iter().filter(|_| few).map(|id| format!("refs/tags/rollout/{id}")).collect();
        let names: Vec<_> = if few { names.iter().map(String::as_str).collect() } else { vec!["refs/tags/rollout"] };
        let tags = if names.is_empty() { Vec::new() } else { self.repo.refs(&names)? };
        let tags = tags.into_iter().filter_map(|(name, _)| Some(name.strip_prefix("refs/tags/")?.to_owned()));
        Ok(Beside { tags: tags.collect(), noted: self.noted()?, ..self.beside(leases)? })
    }

    /// The votes that wait in notes, and when those and others were left there.
    fn noted(&self) -> Result<Noted, Failure> {
        let policy = self.state.policy().get();
        let waiting = self.inbox()?.votes.into_iter().filter_map(|vote| {
            let (principal, known) = policy.owner(vote.key().raw())?;
            let (principal, role) = (principal.clone(), known.role);
            Some(WaitingVote { principal, role, key: vote.key().fingerprint(), statement: vote.statement().clone() })
        });
        let mut noted = self.repo.noted(refs::NOTES, &policy.principals)?;
        for remote in self.repo.remotes()? {
            noted.extend(self.repo.noted(&mirrored(&remote, refs::NOTES), &policy.principals)?);
        }
        let made = noted.into_iter().map(|vote| (vote.statement, vote.key, vote.made, vote.commit));
        Ok(Noted::new(waiting.collect(), made))
    }

    /// Why agents did not turn their keys, as far as that verifies.
    pub fn refused(&self) -> Result<BTreeMap<LeaseId, Vec<RefusalView>>, Failure> {
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
    pub fn beside_with_history(&self, leases: &BTreeSet<LeaseId>) -> Result<Beside, Failure> {
        let policy = self.state.policy().get();
        // What is there of appliers that have recorded nothing is nothing.
        let reports = if records::are_any(&self.repo, &self.state)? { self.past.all() } else { Vec::new() };
        let past = self.former(&reports);
        let named = |happened: records::SignedEvent| {
            let now = policy.keys().find(|(_, _, key)| key.raw() == happened.key);
            let key = now.map(|(_, _, key)| key.fingerprint()).or_else(|| past.fingerprint(happened.key))?;
            let event = happened.event;
            Some(ObservedEvent {
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
        Ok(Beside { happened, ..self.beside_with_tags(leases)? })
    }

    /// The evidence that somebody answers for: in the ledger's tree, where a vote names it; in an applier's, whose signature is
    /// on its tip. The newest of each tier of a lease.
    pub fn evidence(&self, reports: &[StepReport]) -> Result<BTreeMap<LeaseId, Vec<(Digest, Evidence)>>, Failure> {
        let votes = reports.iter().flat_map(|report| &report.events).flat_map(|event| &event.votes);
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
                if evidence.context.subject == MeasuredVersion::Stable {
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

    /// The notes of the policy's people in which something could count.
    fn notes_under(&self, prefix: &str) -> Result<Vec<Note>, Failure> {
        let is_known = |name: &PrincipalId| self.state.policy().get().principals.contains_key(name);
        let open = self.state.group(&Group::Open);
        Ok(self.repo.notes_that_could_count(prefix, is_known, &open, &self.memory)?)
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
        inbox::overlay(&texts, &self.state, turn::now())
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

/// The ledger at a tip.
fn ledger(
    repo: &Repository,
    branch: &str,
    memory: &Memory,
    tip: Oid,
    reading: LedgerReading<'_>,
) -> Result<Ledger, Failure> {
    let (mut progress, mut done) = (terminal::Progress::new("verified", "steps"), 0);
    let mut counted = |_: &_, _: &_, left| {
        progress.at(done, left);
        done += 1;
    };
    let root = memory.root();
    let ledger = match reading {
        LedgerReading::Remembered => {
            let theirs = if memory.is_kept() { upstream(repo, branch)?.map(|(_, tip)| tip) } else { None };
            repo.ledger_beside(memory, tip, theirs.unwrap_or(tip), &mut counted)
        }
        LedgerReading::Anew => repo.whole_ledger(root, tip, &mut counted),
        LedgerReading::Each(each) => {
            let each = |step: &_, state: &mut _, report, left| {
                counted(step, &report, left);
                each(state, report);
            };
            repo.each_step(root, tip, each).map(|state| Ledger { state, past: Past::default() })
        }
    };
    ledger.map_err(|stuck| match stuck {
        Stuck::Git(error) => error.into(),
        Stuck::Root(refusal) => Failure::Undecided(refusal),
    })
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
