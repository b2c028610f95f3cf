//! The mirror: what is known here of the governed refs, fetched, verified and folded. Hooks and tags are never trusted.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use crate::{
    git::{Base, GitError, RefUpdate, Repository, mirrored},
    ledger::{self, State},
    model::{Digest, Oid, PrincipalId, RawKey, Reason, Refusal, refs},
    push::{RefMeaning, place},
    signature::Cosignature,
};

use super::{
    Mode,
    fetching::{Fetching, Remote},
    ref_cache::RefCache,
    stops::{SeenStop, stops_in, stops_of},
};

/// A repository, perhaps with a remote that has the say.
#[derive(Debug)]
pub(crate) struct Mirror {
    known: MirrorState,
    fetching: Option<Fetching>,
    /// Refs and tip as of the last search that found everything it looked for.
    searched: Option<(u64, Oid)>,
    tags_searched: BTreeSet<Oid>,
    /// The stops that the commits behind stop refs carry. They are heeded or not by the state, but opened once under a policy,
    /// which the commit names that put it in force.
    opened: (Oid, HashMap<Oid, Vec<Cosignature>>),
}

/// What is known here of a repository at one moment: its refs, and the ledger.
#[derive(Debug, Clone)]
pub(crate) struct MirrorState {
    pub(crate) repository: Repository,
    pub(crate) remote: Option<String>,
    pub(crate) root: Oid,
    /// The governed branch's full name, as the root's policy says it.
    pub(crate) branch: String,
    /// The ledger as far as it was accepted.
    pub(crate) state: Arc<State>,
    refs: RefCache,
}

impl Deref for Mirror {
    type Target = MirrorState;

    fn deref(&self) -> &MirrorState {
        &self.known
    }
}

impl DerefMut for Mirror {
    fn deref_mut(&mut self) -> &mut MirrorState {
        &mut self.known
    }
}

impl MirrorState {
    /// Where a ref was when it was last looked at: ours, or one that is kept of the remote.
    pub(crate) fn at(&self, name: &str) -> Option<Oid> {
        self.refs.at(name)
    }

    /// A number that changes whenever a ref does.
    pub(crate) fn edition(&self) -> u64 {
        self.refs.edition()
    }

    /// Why nothing may be written down that rests on what is known here: it is not in the clone, and would not be there for
    /// the next process.
    pub(crate) fn unwritten(&self) -> Option<GitError> {
        self.repository.unwritten()
    }

    /// Moves refs of ours.
    pub(crate) fn update(&mut self, updates: &[RefUpdate], reason: &str) -> Result<(), GitError> {
        if let Some(error) = self.unwritten() {
            return Err(error);
        }
        self.repository.update_refs(updates, reason)?;
        self.refs.moved(updates.iter().map(|update| (update.name.clone(), update.new)));
        Ok(())
    }

    /// The refs of ours that are elsewhere than they were, or new.
    pub(crate) fn moved_since(&self, before: &Self) -> Vec<(String, Oid)> {
        self.refs.moved_since(&before.refs)
    }

    /// The refs of ours below a prefix.
    pub(crate) fn ours_below(&self, prefix: &str) -> Vec<(String, Oid)> {
        self.refs.ours_below(prefix)
    }

    /// Whether the remote has some ref whose name here begins so.
    pub(crate) fn has_below(&self, prefix: &str) -> bool {
        self.refs.has_below(prefix)
    }

    /// The name under which a governed ref's last known place is found here.
    pub(crate) fn known_as(&self, name: &str) -> String {
        self.remote.as_ref().map_or_else(|| name.to_owned(), |remote| mirrored(remote, name))
    }

    /// The governed refs that are known here: our own, and the remote's as last fetched.
    pub(crate) fn governed(&self) -> Vec<(RefMeaning, Oid)> {
        let placed = self.refs.governed().map(|(name, id)| (place(&name, &self.branch), id));
        placed.filter(|(place, _)| !matches!(place, RefMeaning::Foreign | RefMeaning::Other)).collect()
    }
}

impl Mirror {
    /// Founds the ledger on the root.
    pub(crate) fn open(
        repository: Repository,
        remote: Option<String>,
        root: Oid,
        name: &PrincipalId,
    ) -> Result<Self, Refusal> {
        let step = repository.steps(Base::Root(root), root).and_then(|mut steps| steps.next().transpose());
        let step = step?;
        let step = step.ok_or_else(|| Refusal::new(Reason::Internal, format!("the root {root} has no step")))?;
        let (state, _) = ledger::begin(&step).map_err(|error| Refusal::new(error.refusal.reason, error.to_string()))?;
        let branch = state.policy().get().branch_ref();
        let refs = RefCache::new(&repository, remote.as_deref(), &branch, name)?;
        let fetching = remote.clone().map(|remote| Fetching::new(remote, branch.clone()));
        let known = MirrorState { repository, remote, root, branch, state: Arc::new(state), refs };
        Ok(Self { known, fetching, searched: None, tags_searched: BTreeSet::new(), opened: (root, HashMap::new()) })
    }

    /// What is known now, to be handed over.
    pub(crate) fn known(&self) -> MirrorState {
        self.known.clone()
    }

    /// Refs of ours were moved by whom it was handed over to.
    pub(crate) fn were_moved(&mut self, refs: Vec<(String, Oid)>) {
        self.known.refs.moved(refs);
    }

    /// Looks where our own refs are.
    pub(crate) fn list(&mut self) -> Result<(), GitError> {
        let MirrorState { repository, refs, .. } = &mut self.known;
        refs.list_ours(repository)
    }

    /// Fetches exactly the governed refs, as far as the remote has them elsewhere than they were, and waits for that. An error
    /// if the branch or a stop is not known now; whatever else came is known then all the same.
    pub(crate) fn fetch(&mut self) -> Result<(), GitError> {
        self.look(None).map(drop)
    }

    /// The same without waiting: asks, or takes what has come since it asked.
    pub(crate) fn poll(&mut self) -> Result<Remote, GitError> {
        self.look(Some(Duration::ZERO))
    }

    fn look(&mut self, wait: Option<Duration>) -> Result<Remote, GitError> {
        let Some(fetching) = &mut self.fetching else { return Ok(Remote::Answered) };
        let MirrorState { repository, refs, .. } = &mut self.known;
        let kept = refs.theirs();
        fetching.look(repository, &kept, wait, |came| refs.fetched(came))
    }

    /// Whether the remote has been asked and has not answered.
    pub(crate) fn is_waiting(&self) -> bool {
        self.fetching.as_ref().is_some_and(Fetching::is_waiting)
    }

    /// Whether it has not for longer than it is waited for: whatever is pushed to it would only hang as well.
    pub(crate) fn is_late(&self) -> bool {
        self.fetching.as_ref().is_some_and(Fetching::is_late)
    }

    /// Whether something is being fetched that takes long.
    pub(crate) fn is_fetching(&self) -> bool {
        self.fetching.as_ref().is_some_and(Fetching::is_fetching)
    }

    /// Catches up with what was accepted before. What was accepted and is gone cannot be decided about.
    pub(crate) fn catch_up(&mut self, accepted: Option<Oid>) -> Result<(), Refusal> {
        match accepted {
            // Whatever this process has accepted since continues that.
            Some(accepted) if self.state.tip() == self.root && accepted != self.root => {
                self.state = Arc::new(self.repository.held_state(self.root, accepted)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Accepts the branch's tip if it continues the last accepted one on its first-parent chain, and says where it then
    /// is. A tip that does not leaves everything as it was.
    pub(crate) fn accept(&mut self, name: &PrincipalId, mode: Mode) -> Result<Oid, Refusal> {
        let Some(tip) = self.at(&self.known_as(&self.branch)) else {
            return Err(Refusal::new(Reason::RefDeleted, format!("there is no {} to follow", self.branch)));
        };
        if tip != self.state.tip() {
            self.fold(tip).map_err(|error| self.not_accepted(tip, &error))?;
        }
        // Kept from being collected, in case the branch is rewound.
        let old = self.kept(name);
        if old != Some(tip) && mode == Mode::Act && self.unwritten().is_none() {
            let update = RefUpdate { name: accepted_ref(name), old, new: tip };
            self.update(&[update], "accepted")?;
        }
        Ok(tip)
    }

    /// The last accepted tip, as the ref says that keeps it.
    fn kept(&self, name: &PrincipalId) -> Option<Oid> {
        self.at(&accepted_ref(name))
    }

    /// The same, if it was accepted under this root: after a re-rooting the old ledger binds nobody.
    pub(crate) fn kept_of_this_root(&self, name: &PrincipalId) -> Result<Option<Oid>, Refusal> {
        let Some(kept) = self.kept(name) else { return Ok(None) };
        let ours = self.repository.is_ancestor(self.root, kept)?;
        Ok(ours.then_some(kept))
    }

    fn fold(&mut self, tip: Oid) -> Result<(), GitError> {
        let state = self.repository.fold_on((*self.state).clone(), self.root, tip, |_, _, _| ())?;
        self.state = Arc::new(state);
        Ok(())
    }

    fn not_accepted(&self, tip: Oid, error: &GitError) -> Refusal {
        if !matches!(error, GitError::NotOnChain { .. }) {
            return error.refusal();
        }
        let last = self.state.tip();
        let foxtrot = self.repository.is_ancestor(last, tip).unwrap_or(false);
        let reason = if foxtrot { Reason::Foxtrot } else { Reason::RefRewound };
        let message = format!(
            "{} is at {}, which does not have the last accepted tip {} on its first-parent chain",
            self.branch,
            tip.short(),
            last.short()
        );
        Refusal::new(reason, message).hint(format!("heal it with a merge whose first parent is {last}"))
    }

    /// Remembers every stop that is reachable from a governed ref and that the ledger has not folded. Stop refs are
    /// searched every time; what lies behind other refs, once.
    pub(crate) fn search(
        &mut self,
        known: &mut Vec<SeenStop>,
        searched: &mut Vec<Oid>,
        remarks: &mut Vec<String>,
    ) -> Result<(), GitError> {
        let here = (self.edition(), self.state.tip());
        if self.searched == Some(here) {
            return Ok(());
        }
        self.searched = None;
        let (mut stops, mut tips, mut tags) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (place, id) in self.governed() {
            match place {
                RefMeaning::Stop { .. } => stops.insert(id),
                RefMeaning::Tag { .. } => tags.insert(id),
                _ => tips.insert(id),
            };
        }
        // Tags are many, and almost all are on the branch: once in a life of this process is often enough to find that,
        // and the journal need not name them.
        let fresh: Vec<Oid> = tags.difference(&self.tags_searched).copied().collect();
        let tips: Vec<Oid> = tips.into_iter().collect();
        let accepted = self.state.tip();
        let stops: Vec<Oid> = stops.into_iter().collect();
        let mut failed = None;
        let mut behind = self.behind(&stops, &[accepted], &mut failed);
        if tips != *searched || !fresh.is_empty() {
            let not: Vec<Oid> = searched.iter().copied().chain([accepted]).collect();
            behind.extend(self.behind(&[&tips[..], &fresh[..]].concat(), &not, &mut failed));
        }
        let missed = self.look_for_stops(&behind, known)?;
        known.retain(|stop| !stop.is_folded(&self.state));
        if let Some(error) = failed {
            return Err(error);
        }
        *searched = tips;
        self.tags_searched = tags;
        // What could not be looked at is looked at again.
        self.searched = missed.is_empty().then_some(here);
        remarks.extend(missed);
        Ok(())
    }

    /// The commits behind some tips and not behind others. A tip that Git stumbles over hides none of the others.
    fn behind(&self, tips: &[Oid], not: &[Oid], failed: &mut Option<GitError>) -> Vec<Oid> {
        match self.repository.reachable(tips, not) {
            Ok(commits) => commits,
            Err(error) if tips.len() < 2 => {
                failed.get_or_insert(error);
                Vec::new()
            }
            Err(_) => {
                let (one, other) = tips.split_at(tips.len() / 2);
                let mut commits = self.behind(one, not, failed);
                commits.extend(self.behind(other, not, failed));
                commits
            }
        }
    }

    /// Remembers the stops in some commits; says which could not be read.
    fn look_for_stops(&mut self, commits: &[Oid], known: &mut Vec<SeenStop>) -> Result<Vec<String>, GitError> {
        let mut missed = Vec::new();
        if commits.is_empty() {
            return Ok(missed);
        }
        let mut objects = self.repository.objects()?;
        let mut opened = HashMap::with_capacity(commits.len());
        let state = Arc::clone(&self.state);
        let policy = state.policy_since();
        let (under, before) = &mut self.opened;
        if *under != policy {
            before.clear();
        }
        let mut there: HashSet<(RawKey, Digest)> = known.iter().map(|stop| (stop.key, stop.statement.id())).collect();
        for id in commits {
            let stops = match before.remove(id) {
                Some(stops) => Ok(stops),
                None => objects.open_one(*id).map(|opened| stops_of(&state, &opened)),
            };
            match stops {
                Ok(stops) => {
                    let found = stops_in(&state, *id, &stops);
                    known.extend(found.into_iter().filter(|stop| there.insert((stop.key, stop.statement.id()))));
                    opened.insert(*id, stops);
                }
                Err(error) => missed.push(format!("commit {} was not searched for stops: {error}", id.short())),
            }
        }
        self.opened = (policy, opened);
        Ok(missed)
    }
}

/// What keeps the last accepted tip.
pub(crate) fn accepted_ref(name: &PrincipalId) -> String {
    format!("{}{name}/accepted", refs::STATE)
}
