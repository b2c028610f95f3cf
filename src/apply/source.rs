//! Where an applier's knowledge comes from: the governed refs, fetched, verified and folded here. Hooks and tags are
//! never trusted.

use crate::{
    admission::{Place, place},
    git::{Base, GitError, RefUpdate, Repository, mirrored},
    ledger::{self, State},
    model::{Oid, PrincipalId, Reason, Refusal},
};

use super::{
    Mode,
    journal::Journal,
    stops::{SeenStop, stops_in},
};

/// A repository, perhaps with a remote that has the say.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) repository: Repository,
    pub(super) remote: Option<String>,
    pub(super) root: Oid,
    /// The governed branch's full name, as the root's policy says it.
    pub(super) branch: String,
    /// The ledger as far as it was accepted.
    pub(super) state: State,
}

impl Source {
    /// Founds the ledger on the root.
    pub(super) fn open(repository: Repository, remote: Option<String>, root: Oid) -> Result<Self, Refusal> {
        let step = repository.steps(Base::Root(root), root).and_then(|mut steps| steps.next().transpose());
        let step = step.map_err(|error| error.refusal())?;
        let step = step.ok_or_else(|| Refusal::new(Reason::Internal, format!("the root {root} has no step")))?;
        let (state, _) = ledger::begin(&step).map_err(|error| Refusal::new(error.refusal.reason, error.to_string()))?;
        let branch = state.policy().get().branch_ref();
        Ok(Self { repository, remote, root, branch, state })
    }

    /// Fetches exactly the governed refs.
    pub(super) fn fetch(&self) -> Result<(), GitError> {
        match &self.remote {
            Some(remote) => self.repository.fetch(remote, self.branch.trim_start_matches("refs/heads/")),
            None => Ok(()),
        }
    }

    /// The name under which a governed ref's last known place is found here.
    pub(super) fn known_as(&self, name: &str) -> String {
        self.remote.as_ref().map_or_else(|| name.to_owned(), |remote| mirrored(remote, name))
    }

    /// Catches up with what was accepted before. What was accepted and is gone cannot be decided about.
    pub(super) fn catch_up(&mut self, accepted: Option<Oid>) -> Result<(), Refusal> {
        match accepted {
            Some(accepted) if accepted != self.state.tip() => self.fold(accepted).map_err(|error| error.refusal()),
            _ => Ok(()),
        }
    }

    /// Accepts the branch's tip if it continues the last accepted one on its first-parent chain, and says where it then
    /// is. A tip that does not leaves everything as it was.
    pub(super) fn accept(&mut self, name: &PrincipalId, mode: Mode) -> Result<Oid, Refusal> {
        let tip = self.repository.resolve(&self.known_as(&self.branch)).map_err(|error| error.refusal())?;
        let Some(tip) = tip else {
            return Err(Refusal::new(Reason::RefDeleted, format!("there is no {} to follow", self.branch)));
        };
        if tip != self.state.tip() {
            self.fold(tip).map_err(|error| self.not_accepted(tip, &error))?;
        }
        // Kept from being collected, in case the branch is rewound.
        let old = self.kept(name)?;
        if old != Some(tip) && mode == Mode::Act {
            let update = RefUpdate { name: accepted_ref(name), old, new: tip };
            self.repository.update_refs(&[update], "accepted").map_err(|error| error.refusal())?;
        }
        Ok(tip)
    }

    /// The last accepted tip, as the ref says that keeps it.
    pub(super) fn kept(&self, name: &PrincipalId) -> Result<Option<Oid>, Refusal> {
        self.repository.resolve(&accepted_ref(name)).map_err(|error| error.refusal())
    }

    /// The same, if it was accepted under this root: after a re-rooting the old ledger binds nobody.
    pub(super) fn kept_of_this_root(&self, name: &PrincipalId) -> Result<Option<Oid>, Refusal> {
        let Some(kept) = self.kept(name)? else { return Ok(None) };
        let ours = self.repository.is_ancestor(self.root, kept).map_err(|error| error.refusal())?;
        Ok(ours.then_some(kept))
    }

    fn fold(&mut self, tip: Oid) -> Result<(), GitError> {
        let base = Base::After { tip: self.state.tip(), root: self.root };
        let mut state = self.state.clone();
        for step in self.repository.steps(base, tip)? {
            (state, _) = ledger::apply(state, &step?);
        }
        self.state = state;
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

    /// The governed refs that are known here: our own, and the remote's as last fetched.
    pub(super) fn governed(&self) -> Result<Vec<(Place, Oid)>, GitError> {
        let spaces = ["refs/two-key", "refs/notes/two-key", "refs/tags/rollout"];
        let mut prefixes: Vec<String> = spaces.map(str::to_owned).into();
        prefixes.push(self.branch.clone());
        let mut found = self.named(&prefixes, str::to_owned)?;
        if let Some(remote) = &self.remote {
            // The prefix by which the remote's refs differ from their own names.
            let kept = mirrored(remote, "refs/");
            let mut prefixes: Vec<String> = spaces.iter().map(|space| mirrored(remote, space)).collect();
            let branch = mirrored(remote, &self.branch);
            prefixes.push(branch.clone());
            let own_name = |name: &str| {
                let rest = name.strip_prefix(&kept).map(|rest| format!("refs/{rest}"));
                if name == branch { self.branch.clone() } else { rest.unwrap_or_else(|| name.to_owned()) }
            };
            found.extend(self.named(&prefixes, own_name)?);
        }
        Ok(found)
    }

    fn named(&self, prefixes: &[String], own: impl Fn(&str) -> String) -> Result<Vec<(Place, Oid)>, GitError> {
        let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        let refs = self.repository.refs(&prefixes)?.into_iter();
        let placed = refs.map(|(name, id)| (place(&own(&name), &self.branch), id));
        Ok(placed.filter(|(place, _)| !matches!(place, Place::Foreign | Place::Other)).collect())
    }

    /// Remembers every stop that is reachable from a governed ref and that the ledger has not folded. Stop refs are
    /// searched every time; what lies behind other refs, once.
    pub(super) fn search(&self, journal: &mut Journal, remarks: &mut Vec<String>) -> Result<(), GitError> {
        let governed = self.governed()?;
        let (stops, others): (Vec<_>, Vec<_>) =
            governed.into_iter().partition(|(place, _)| matches!(place, Place::Stop { .. }));
        let ids = |refs: &[(Place, Oid)]| {
            let mut ids: Vec<Oid> = refs.iter().map(|(_, id)| *id).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let accepted = self.state.tip();
        let mut behind = self.repository.reachable(&ids(&stops), &[accepted])?;
        let tips = ids(&others);
        if tips != journal.searched {
            let not: Vec<Oid> = journal.searched.iter().copied().chain([accepted]).collect();
            behind.extend(self.repository.reachable(&tips, &not)?);
        }
        let mut objects = self.repository.objects()?;
        for id in behind {
            match objects.open_one(id) {
                Ok(commit) => remember(&mut journal.stops, stops_in(&self.state, id, &commit.opened)),
                Err(error) => remarks.push(format!("commit {} was not searched for stops: {error}", id.short())),
            }
        }
        journal.searched = tips;
        journal.stops.retain(|stop| !stop.is_folded(&self.state));
        Ok(())
    }
}

fn accepted_ref(name: &PrincipalId) -> String {
    format!("refs/two-key-state/{name}/accepted")
}

fn remember(known: &mut Vec<SeenStop>, found: Vec<SeenStop>) {
    for stop in found {
        if !known.iter().any(|other| other.key == stop.key && other.statement == stop.statement) {
            known.push(stop);
        }
    }
}
