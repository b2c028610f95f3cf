//! The follower itself: what appliers and agents do alike to follow a repository under a name, with a key and a state folder.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;

use crate::{
    git::{Repository, SigningKey},
    ledger::rules,
    model::{Oid, PrincipalId, PublicKey, Reason, Refusal, document::Span, policy::Role, refs},
};

use super::{
    Mode,
    clock::{Clock, ClockReading, Trust},
    mirror::Mirror,
    state::{self, FollowerState},
    state_folder::StateFolder,
    writer::Writer,
};

/// How long a remote may not have been reached before nothing goes forward, where a configuration says nothing else.
pub(crate) const MAX_STALENESS: Span = Span::seconds(15 * 60);

/// As whom, and where, a repository is followed.
#[derive(Debug, Clone)]
pub(crate) struct FollowerConfig {
    pub(crate) role: Role,
    pub(crate) name: PrincipalId,
    /// The key's file.
    pub(crate) key: PathBuf,
    /// The clone; none for the one where the program runs.
    pub(crate) repository: Option<PathBuf>,
    pub(crate) remote: Option<String>,
    /// The root; none for the one that is pinned in the clone.
    pub(crate) root: Option<Oid>,
    /// How long a push may take.
    pub(crate) push_limit: Duration,
}

/// Somebody who follows a repository.
pub(crate) struct Follower {
    pub(crate) mirror: Mirror,
    pub(crate) writer: Writer,
    pub(crate) folder: Arc<StateFolder>,
    role: Role,
    clock: Arc<Clock>,
    /// Tips below which every commit has been searched for stops, those included that are only kept aside.
    searched: Option<Vec<Oid>>,
    /// The file of a key that was not there.
    missing: Option<PathBuf>,
}

/// What following came to.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// What speaks against every step forward.
    pub(crate) blockers: Vec<Refusal>,
    /// What went wrong beside that.
    pub(crate) remarks: Vec<Refusal>,
    /// Whether the branch continues what was accepted.
    pub(crate) continues: bool,
}

/// For a clone, as `git clone --mirror` makes it, in which whatever anybody names so at the remote is what this one remembers.
fn maps_everything(remote: &str, role: &str) -> Refusal {
    let message = format!(
        "`git fetch {remote}` maps every ref here onto its own name: {}* of the remote, which anybody makes there, would be \
         what this {role} remembers, and is pruned",
        refs::STATE
    );
    Refusal::new(Reason::ForeignRef, message).hint("clone it anew, and not as a mirror: git clone --bare URL")
}

impl Follower {
    /// Opens the repository, the pinned root, the key, the lock and its state. `unpinned` without a root.
    pub(crate) fn open<T: DeserializeOwned + AsRef<FollowerState>>(
        place: FollowerConfig,
        clock: Box<Clock>,
        beginner: impl Fn(Oid) -> T,
    ) -> Result<(Self, T), Refusal> {
        let repository = match &place.repository {
            Some(path) => Repository::open(path),
            None => Repository::discover(),
        };
        let repository = repository?.with_patience(place.push_limit);
        let root = match place.root {
            Some(root) => Some(root),
            None => repository.pinned_root()?,
        };
        let role = place.role.word();
        let root = root.ok_or_else(|| {
            Refusal::new(Reason::Unpinned, format!("no {role} does anything without a pinned root"))
                .hint(format!("pin it with: git two-key trust ROOT, or root: ROOT in the {role}'s configuration"))
        })?;
        let mut folder = StateFolder::open(repository.common_dir(), place.role, &place.name)?;
        // Stops need nothing that is remembered.
        let remembered = state::load(&folder, beginner(root)).unwrap_or_else(|why| {
            folder.hold(why);
            beginner(root)
        });
        if remembered.as_ref().accepted.is_none()
            && let Some(remote) = repository.mirrors_onto(refs::STATE)?.first()
        {
            return Err(maps_everything(remote, role));
        }
        // One that began before keeps what it remembers. Where the configuration cannot be written, no fetch of ours prunes it.
        let _ = repository.keep_fetches_off(refs::STATE);
        let known = remembered.as_ref().public.clone();
        let (key, public, missing) = match (read_key(place.key.clone()), known) {
            (Ok((key, public)), _) => (key, public, None),
            // Weight comes down without a signature. Nothing goes forward, and nothing is signed, before the key is back.
            (Err(_), Some(public)) => (SigningKey::Ssh(place.key.clone()), public, Some(place.key)),
            (Err(why), None) => return Err(why),
        };
        let mirror = Mirror::open(repository, place.remote, root, &place.name)?;
        let writer = Writer::new(place.name, key, public);
        let clock = Arc::from(clock);
        let folder = Arc::new(folder);
        Ok((Self { mirror, writer, folder, role: place.role, clock, searched: None, missing }, remembered))
    }

    /// How the clocks are read.
    pub(crate) fn clock(&self) -> Arc<Clock> {
        Arc::clone(&self.clock)
    }

    /// Looks at the clocks, and remembers a look that is believed.
    pub(crate) fn read_clocks(&self, state: &mut FollowerState) -> (ClockReading, Trust) {
        state.read_clocks(&*self.clock)
    }

    /// Begins a look with what is known here. Where the journal was lost, the ref that keeps the last accepted tip still says
    /// which one it was.
    pub(crate) fn begin(&mut self, state: &FollowerState) -> Result<(), Refusal> {
        self.mirror.list()?;
        let accepted = match state.accepted {
            Some(accepted) => Some(accepted),
            None => self.mirror.kept_of_this_root(&self.writer.name)?,
        };
        self.mirror.catch_up(accepted)
    }

    /// Knows the last record that we wrote, from then on.
    pub(crate) fn read_last_record(&mut self) -> Result<(), Refusal> {
        self.writer.last_record(&self.mirror).map(drop)
    }

    /// Brings everything up to date that comes from the repository. What is only kept aside is known from then on, and is not
    /// remembered: the next process would look for it in the clone.
    pub(crate) fn follow(&mut self, state: &mut FollowerState, mode: Mode) -> Followed {
        let mut followed = Followed::default();
        let whole = self.mirror.unwritten().is_none();
        match self.mirror.accept(&self.writer.name, mode) {
            Ok(tip) => {
                followed.continues = true;
                state.accepted = if whole { Some(tip) } else { state.accepted };
            }
            Err(refusal) => followed.blockers.push(refusal),
        }
        let searched = self.searched.get_or_insert_with(|| state.searched.clone());
        let mut missed = Vec::new();
        if let Err(error) = self.mirror.search(&mut state.stops, searched, &mut missed) {
            let message = format!("stops could not be searched for: {error}");
            followed.blockers.push(Refusal { message, ..error.refusal() });
        }
        if whole {
            state.searched.clone_from(searched);
        }
        followed.remarks.extend(missed.into_iter().map(|what| Refusal::new(Reason::Damaged, what)));
        followed
    }

    /// Compares our own ref with the remote's.
    pub(crate) fn take_in_own_ref(&mut self) -> Result<(), Refusal> {
        self.writer.reconcile(&mut self.mirror)
    }

    /// Why knowledge is too old to go forward by, if it is.
    pub(crate) fn stale(state: &FollowerState, reading: &ClockReading, limit: Span) -> Option<Refusal> {
        let age = state.fetched.as_ref().map(|last| reading.at_most_ms_since(last));
        let old = age.is_none_or(|age| age > limit.as_secs().saturating_mul(1000));
        old.then(|| Refusal::new(Reason::Stale, format!("the remote has not been reached for {limit}")))
    }

    /// Why a look at the remote failed.
    pub(crate) fn not_reached(error: &crate::git::GitError) -> Refusal {
        let refusal = error.refusal();
        match error {
            crate::git::GitError::Unwritten { .. } => refusal,
            _ => Refusal { message: format!("the remote cannot be reached: {}", refusal.message), ..refusal },
        }
    }

    /// Whether the key that is configured here is its own, by the policy in force: a key acts in no other role, and for
    /// nobody else. A file that was missing is looked for again.
    pub(crate) fn own_key(&mut self) -> Result<(), Refusal> {
        if let Some(path) = &self.missing {
            (self.writer.key, self.writer.public) = read_key(path.clone())?;
            self.missing = None;
        }
        let (owner, role) = rules::owner(&self.mirror.state, self.writer.public.raw())?;
        let hint = "see whose keys there are: git two-key key list";
        if role != self.role {
            let (is, acts) = (role.word(), self.role.word());
            let message = format!("the configured key is {owner}'s, a {is} key: it never acts as an {acts}'s");
            return Err(Refusal::new(Reason::WrongRole, message).hint(hint));
        }
        if owner != self.writer.name {
            let message = format!("the configured key is {owner}'s, not {} {}'s", role.word(), self.writer.name);
            return Err(Refusal::new(Reason::WrongPrincipal, message).hint(hint));
        }
        Ok(())
    }
}

/// A key by its file.
fn read_key(path: PathBuf) -> Result<(SigningKey, PublicKey), Refusal> {
    let key = SigningKey::file(path)?;
    let public = key.public_key()?;
    Ok((key, public))
}
