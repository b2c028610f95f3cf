//! `HAProxy`, by its runtime socket: weights of servers, set without a reload and read back.
//!
//! Weights are lost when `HAProxy` reloads; the next tick sees that and sets them again. `HAProxy` cannot hold a lease's
//! id, so a small file beside the journal says for which lease the weights were set, and which pool is its candidate.
//!
//! Where cookies or tables keep people on a server, a weight of zero moves nobody who is there: a pool without weight is
//! put into maintenance as well, and taken out of it when it gets weight.

mod config;
mod setup;
mod socket;
mod split;
mod view;
mod written;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    follower::files,
    gate::Pools,
    model::{LeaseId, Reason, Refusal, TargetId},
    reconciler::decision::Observed,
};

use super::{
    Context, Driver, Lingering, Setting, Snapshot, Survey,
    roles::{Pool, Remembered, Roles, Shares, candidate_of},
};

use socket::{ServerCommand, Socket};
use view::{HaproxyBackend, HaproxyServer, ServerStatus};

pub use config::HaproxyDriverConfig;

/// How long what is open with a candidate may take to end before a restoration breaks it off, and how often it is looked.
const GRACE: u32 = 20;
const NAP: Duration = Duration::from_millis(100);

/// How one backend is moved.
pub struct HaproxyDriver {
    config: HaproxyDriverConfig,
    socket: Socket,
    roles: Remembered,
    /// The lease that it is opened for.
    lease: Option<LeaseId>,
}

/// What a snapshot's bytes say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HaproxySnapshot {
    version: u32,
    backend: String,
    weights: BTreeMap<String, u32>,
    roles: Option<Roles>,
    /// The pool of each server at that time; a pack without them is of the servers that are configured now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pools: BTreeMap<String, Pool>,
}

impl HaproxyDriver {
    /// A driver for a target's backend.
    pub fn open(target: &TargetId, config: HaproxyDriverConfig, context: &Context<'_>) -> Self {
        Self {
            socket: Socket::new(config.socket.clone()),
            lease: context.lease.map(|lease| lease.id.clone()),
            config,
            roles: Remembered::of(target, context),
        }
    }

    fn view(&self) -> Result<HaproxyBackend, Refusal> {
        self.socket.view(&self.config.backend)
    }

    fn servers<'a>(&'a self, view: &'a HaproxyBackend, pool: Pool) -> impl Iterator<Item = &'a HaproxyServer> {
        view.named(self.config.pool(pool))
    }

    /// What each pool serves of everything that the backend serves.
    fn shares(&self, view: &HaproxyBackend) -> Result<Shares, Refusal> {
        let whole = view.effective(|_| true);
        let share = |pool| {
            let own = view.effective(|server| self.config.pool(pool).contains(&server.name));
            split::share(whole.saturating_sub(own), own).ok_or_else(|| {
                let message = format!("no server of backend {} is up and has weight", self.config.backend);
                Refusal::new(Reason::NoData, message)
            })
        };
        let shares = Shares { stable_bp: share(Pool::Stable)?, candidate_bp: share(Pool::Candidate)? };
        match self.unknown_split(view).filter(|_| shares.idle().is_none()) {
            Some(refusal) => Err(Refusal { reason: Reason::NoData, ..refusal }),
            None => Ok(shares),
        }
    }

    /// What each pool would serve by its weights, were all its servers up.
    fn shares_by_weight(&self, weights: &BTreeMap<String, u32>) -> Shares {
        let weight = |name: &String| u64::from(weights.get(name).copied().unwrap_or(0));
        let sum = |pool| self.config.pool(pool).iter().map(weight).sum::<u64>();
        Shares::of_sums(sum(Pool::Stable), sum(Pool::Candidate))
    }

    /// What each pool served before, by the servers that it had then.
    fn shares_then(&self, before: &HaproxySnapshot) -> Shares {
        if before.pools.is_empty() {
            return self.shares_by_weight(&before.weights);
        }
        let of = |pool| before.pools.iter().filter(move |(_, of)| **of == pool).map(|(name, _)| name);
        let sum = |pool| of(pool).filter_map(|name| before.weights.get(name)).map(|weight| u64::from(*weight)).sum();
        Shares::of_sums(sum(Pool::Stable), sum(Pool::Candidate))
    }

    /// Which pool has which role: as it is written down; else, where that was lost, as the lease's pack says.
    fn roles(&self, shares: Shares) -> Result<Option<Roles>, Refusal> {
        let known = self.roles.read();
        let Some((lease, candidate)) = self.packed().filter(|_| !matches!(known, Ok(Some(_)))) else { return known };
        // Where it serves nothing there is nothing to lose: the roles were taken back, or never given.
        Ok((shares.of(candidate) > 0).then(|| Roles { lease: lease.clone(), candidate }))
    }

    /// The candidate of a lease that is not written down, as its pack knows it.
    fn packed(&self) -> Option<(&LeaseId, Pool)> {
        let (lease, bytes) = self.roles.packed()?;
        let before = self.parse(bytes).ok()?;
        let shares = self.shares_then(&before);
        Some((lease, candidate_of(lease, before.roles.as_ref(), shares).ok()?))
    }

    /// The pool that is a lease's candidate: as it is written down, else as its pack knows it, else the one that serves
    /// nothing.
    fn candidate(&self, lease: &LeaseId, view: &HaproxyBackend) -> Result<Pool, Refusal> {
        if let Some(roles) = self.roles.read().ok().flatten().filter(|roles| roles.lease == *lease) {
            return Ok(roles.candidate);
        }
        // A backend of which nothing is up still has its weights.
        let shares = self.shares(view).unwrap_or_else(|_| self.shares_by_weight(&weights(view)));
        let packed = self.packed().filter(|(id, _)| *id == lease);
        packed.map_or_else(|| candidate_of(lease, None, shares), |(_, candidate)| Ok(candidate))
    }

    /// The weights that make a share: of the servers that are up, if those can make it.
    fn weights(&self, view: &HaproxyBackend, candidate: Pool, weight_bp: u32) -> Result<Vec<(String, u32)>, Refusal> {
        let made = self.split(view, candidate, weight_bp, |server| self.counts(view, server));
        made.or_else(|_| self.split(view, candidate, weight_bp, |_| true))
            .map_err(|needed| self.config.unreachable(weight_bp, needed))
    }

    /// Whether a server shares the requests, or would once its whole pool is taken out of maintenance.
    fn counts(&self, view: &HaproxyBackend, server: &HaproxyServer) -> bool {
        let pool = if self.config.stable.contains(&server.name) { Pool::Stable } else { Pool::Candidate };
        server.standing == ServerStatus::Serving || self.is_in_maintenance(view, pool)
    }

    fn is_in_maintenance(&self, view: &HaproxyBackend, pool: Pool) -> bool {
        self.servers(view, pool).all(|server| server.standing == ServerStatus::Maintenance)
    }

    fn split(
        &self,
        view: &HaproxyBackend,
        candidate: Pool,
        weight_bp: u32,
        counts: impl Fn(&HaproxyServer) -> bool,
    ) -> Result<Vec<(String, u32)>, u64> {
        let pool = |pool| self.servers(view, pool).filter(|one| counts(one)).collect::<Vec<_>>();
        let (stable, candidate) = (pool(candidate.other()), pool(candidate));
        if stable.is_empty() || candidate.is_empty() {
            return Err(0);
        }
        let configured = |pool: &[&HaproxyServer]| pool.iter().map(|one| one.configured).collect::<Vec<_>>();
        let split = split::split(weight_bp, &configured(&stable), &configured(&candidate))?;
        let named = |pool: Vec<&HaproxyServer>, weights: Vec<u32>| {
            pool.into_iter().map(|one| one.name.clone()).zip(weights).collect::<Vec<_>>()
        };
        Ok([named(stable, split.stable), named(candidate, split.candidate)].concat())
    }

    /// The weights that take everything from a candidate, whoever else is there.
    fn zero(&self, view: &HaproxyBackend, candidate: Pool) -> Vec<(String, u32)> {
        self.weights(view, candidate, 0)
            .unwrap_or_else(|_| self.servers(view, candidate).map(|server| (server.name.clone(), 0)).collect())
    }

    /// Sets weights, one pool after the other, so that the candidate never has more in between than before or after. A pool
    /// that gets weight is taken out of maintenance before, and one that has none left is put into it after, where else
    /// people would stay there.
    fn set(&self, view: &HaproxyBackend, candidate: Pool, weights: &[(String, u32)]) -> Result<(), Refusal> {
        let now = |pool| self.servers(view, pool).map(|one| u64::from(one.weight)).sum::<u64>();
        let is_in = |name: &String, pool| self.config.pool(pool).contains(name);
        let then = |pool| {
            weights.iter().filter(|(name, _)| is_in(name, pool)).map(|(_, weight)| u64::from(*weight)).sum::<u64>()
        };
        let stable = candidate.other();
        let first = match split::first((now(candidate), now(stable)), (then(candidate), then(stable))) {
            split::First::Candidate => candidate,
            split::First::Stable => stable,
        };
        let of = |pool| weights.iter().filter(move |(name, _)| is_in(name, pool));
        let pools = [stable, candidate];
        let opened = pools.into_iter().filter(|pool| then(*pool) > 0 && self.is_in_maintenance(view, *pool));
        let opened = opened.flat_map(|pool| self.servers(view, pool));
        let mut orders: Vec<_> = opened.map(|server| ServerCommand::Ready(&server.name)).collect();
        orders.extend(of(first).chain(of(first.other())).map(|(name, weight)| ServerCommand::Weight(name, *weight)));
        if self.persistence(view).is_some() {
            let closed = pools.into_iter().filter(|pool| then(*pool) == 0).flat_map(|pool| self.servers(view, pool));
            orders.extend(closed.map(|server| ServerCommand::Maintenance(&server.name)));
        }
        self.socket.give(&self.config.backend, &orders)
    }

    /// Writes the servers' state down where a restart finds it.
    fn keep_state(&self) -> Result<(), Refusal> {
        match &self.config.server_state {
            Some(path) => files::replace(path, self.socket.state()?.as_bytes()),
            None => Ok(()),
        }
    }

    /// Whether people whom a cookie or a table leads to a pool without weight are still sent there.
    fn is_reached_without_weight(&self, view: &HaproxyBackend, pool: Pool) -> bool {
        self.servers(view, pool).any(|server| !server.is_closed()) && self.persistence(view).is_some()
    }

    /// Why a split by what is there would not be what it is said to be: servers that nobody named, or that are named and
    /// not there.
    fn strangers(&self, view: &HaproxyBackend) -> Result<(), Refusal> {
        let backend = &self.config.backend;
        let named = || self.config.stable.iter().chain(&self.config.candidate);
        let stranger = view.servers.iter().find(|server| named().all(|name| *name != server.name));
        let missing = named().find(|name| view.servers.iter().all(|server| server.name != **name));
        let message = match (stranger, missing) {
            (None, None) => return Ok(()),
            (Some(HaproxyServer { name, .. }), _) => {
                format!("backend {backend} has a server {name}, and the configuration does not say for whom")
            }
            (None, Some(name)) => format!("backend {backend} has no server {name}, which the configuration names"),
        };
        Err(Refusal::new(Reason::NoData, message).hint("name the servers under stable and candidate as they are"))
    }

    fn parse(&self, snapshot: &[u8]) -> Result<HaproxySnapshot, Refusal> {
        let kept: HaproxySnapshot = serde_json::from_slice(snapshot).map_err(|error| bad(&error))?;
        if kept.version == 1 && kept.backend == self.config.backend {
            Ok(kept)
        } else {
            Err(bad(&format!("it is of another form, or of backend {}", kept.backend)))
        }
    }

    /// The lease's candidate, by what was there before it.
    fn candidate_then(&self, before: &HaproxySnapshot) -> Option<Pool> {
        let shares = self.shares_then(before);
        let lease = self.lease.as_ref()?;
        candidate_of(lease, before.roles.as_ref(), shares).ok()
    }

    /// A sum over the lease's candidate; none where what was there before does not say who that is.
    fn sum_of_candidate(&self, snapshot: &[u8], of: impl Fn(&HaproxyServer) -> u64) -> Result<Option<u64>, Refusal> {
        let Some(candidate) = self.candidate_then(&self.parse(snapshot)?) else { return Ok(None) };
        Ok(Some(self.servers(&self.view()?, candidate).map(of).sum()))
    }

    /// The weights that bring back what was there, of the servers that are there now. One that was not there before gets
    /// the weight that its pool had: what it has in the file, or none.
    fn weights_then(&self, view: &HaproxyBackend, before: &HaproxySnapshot) -> Vec<(String, u32)> {
        let shares = self.shares_then(before);
        let of = |pool: Pool| {
            self.servers(view, pool).map(move |server| {
                let new = if shares.of(pool) > 0 { server.configured.max(1) } else { 0 };
                (server.name.clone(), before.weights.get(&server.name).copied().unwrap_or(new))
            })
        };
        of(Pool::Stable).chain(of(Pool::Candidate)).collect()
    }

    /// Waits a little until what is open with a pool has ended, then breaks it off.
    fn end_sessions(&self, pool: Pool) -> Result<(), Refusal> {
        for _ in 0..GRACE {
            let view = self.view()?;
            if self.servers(&view, pool).all(|server| server.open == 0) {
                return Ok(());
            }
            std::thread::sleep(NAP);
        }
        let view = self.view()?;
        let open: Vec<_> =
            self.servers(&view, pool).filter(|one| one.open > 0).map(|one| ServerCommand::End(&one.name)).collect();
        self.socket.give(&self.config.backend, &open)
    }
}

/// The weights of all servers.
fn weights(view: &HaproxyBackend) -> BTreeMap<String, u32> {
    view.servers.iter().map(|one| (one.name.clone(), one.weight)).collect()
}

fn bad(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::NoPack, format!("the snapshot is none of a backend: {error}"))
}

impl Driver for HaproxyDriver {
    fn name(&self) -> &'static str {
        "haproxy/1"
    }

    fn survey(&self) -> Result<Survey, Refusal> {
        Ok(self.set_up(&self.view()?))
    }

    fn pools(&self) -> Option<Pools> {
        let lease = self.lease.as_ref()?;
        let candidate = self.candidate(lease, &self.view().ok()?).ok()?;
        // Names are letters, digits and `_.:-`: of these only the dot means something else.
        let names = |pool| self.config.pool(pool).join("|").replace('.', "\\.");
        Some(Pools { candidate: names(candidate), stable: names(candidate.other()) })
    }

    fn contradiction(&self) -> Result<Option<Refusal>, Refusal> {
        Ok(self.restart(&self.view()?, self.written().as_ref().ok()))
    }

    fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        let view = self.view()?;
        self.unknown_split(&view).map_or(Ok(()), Err)?;
        self.strangers(&view)?;
        for candidate in [Pool::Candidate, Pool::Stable] {
            self.split(&view, candidate, weight_bp, |_| true)
                .map_err(|needed| self.config.unreachable(weight_bp, needed))?;
        }
        Ok(())
    }

    fn observe(&self) -> Result<Observed, Refusal> {
        let view = self.view()?;
        let shares = self.shares(&view);
        // Where nobody serves, the candidate does not either.
        let known = self.roles(shares.clone().unwrap_or(Shares { stable_bp: 0, candidate_bp: 0 }))?;
        let is_weightless = |pool| self.servers(&view, pool).all(|server| server.weight == 0);
        let Some(roles) = known else {
            let weight_bp = if is_weightless(Pool::Candidate) { 0 } else { shares?.candidate_bp };
            return Ok(Observed { weight_bp, lease: None });
        };
        let weight_bp = match shares {
            // Less is never claimed than is served.
            _ if is_weightless(roles.candidate) => u32::from(self.is_reached_without_weight(&view, roles.candidate)),
            shares => shares?.of(roles.candidate),
        };
        Ok(Observed { weight_bp, lease: Some(roles.lease) })
    }

    fn shift(&self, to: &Setting) -> Result<(), Refusal> {
        let view = self.view()?;
        let candidate = self.candidate(&to.lease, &view)?;
        let roles = Roles { lease: to.lease.clone(), candidate };
        let known = self.roles.read().is_ok_and(|known| known.as_ref() == Some(&roles));
        if to.weight_bp == 0 {
            // What cannot be written down keeps no weight where it is.
            let set = self.set(&view, candidate, &self.zero(&view, candidate)).and_then(|()| self.keep_state());
            let written = if known { Ok(()) } else { self.roles.write(Some(&roles)) };
            return set.and(written);
        }
        let weights = self.weights(&view, candidate, to.weight_bp)?;
        // Before the weights: killed in between, what is there is known to be this lease's.
        if !known {
            self.roles.write(Some(&roles))?;
        }
        match self.starts_slowly(&view, candidate.other()) {
            None => self.set(&view, candidate, &weights).and_then(|()| self.keep_state()),
            // Its pool has less than its weights say, so that the candidate would have more.
            Some(refusal) => self.set(&view, candidate, &self.zero(&view, candidate)).and(Err(refusal)),
        }
    }

    fn snapshot(&self) -> Result<Snapshot, Refusal> {
        let view = self.view()?;
        let shares = self.shares(&view)?;
        let roles = self.roles(shares)?;
        if roles.is_none() && shares.idle().is_none() {
            let message =
                format!("both pools of backend {} serve, and nothing says for which lease", self.config.backend);
            return Err(Refusal::new(Reason::Drift, message).hint("give one of them no weight by hand"));
        }
        let named = |pool: Pool| self.config.pool(pool).iter().map(move |name| (name.clone(), pool));
        let pools = named(Pool::Stable).chain(named(Pool::Candidate)).collect();
        let backend = self.config.backend.clone();
        let kept = HaproxySnapshot { version: 1, backend, weights: weights(&view), roles, pools };
        let bytes = serde_json::to_vec(&kept).map_err(|error| bad(&error))?;
        Ok(Snapshot { bytes, backends: kept.weights, commit: None })
    }

    fn rehearse(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
        let kept = self.parse(snapshot)?;
        let view = self.view()?;
        self.strangers(&view)?;
        let then = self.weights_then(&view, &kept);
        let serves = |name: &String| then.iter().any(|(other, weight)| other == name && *weight > 0);
        if !view.servers.iter().filter(|server| serves(&server.name)).any(|server| self.counts(&view, server)) {
            let message = format!("none of the servers is up that served backend {} before", self.config.backend);
            return Err(Refusal::new(Reason::NoPack, message));
        }
        // Setting what is set already moves nothing, and shows that it could.
        if let Some(server) = view.servers.first() {
            self.socket.give(&self.config.backend, &[ServerCommand::Weight(&server.name, server.weight)])?;
        }
        let mut then = then;
        then.sort();
        Ok(then.iter().map(|(name, weight)| format!("set weight {}/{name} {weight}", self.config.backend)).collect())
    }

    fn restore(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let kept = self.parse(snapshot)?;
        let view = self.view()?;
        let known = self.roles.read().ok().flatten().map(|roles| roles.candidate);
        let candidate = self.candidate_then(&kept).or(known).unwrap_or(Pool::Candidate);
        let set = self.set(&view, candidate, &self.weights_then(&view, &kept));
        // Where it cannot be kept, what serves now is right all the same; that a restart would change it is told.
        let _ = self.keep_state();
        let written = self.roles.write(kept.roles.as_ref());
        let idle = self.shares_then(&kept).idle();
        let ended = idle.map_or(Ok(()), |pool| self.end_sessions(pool));
        set.and(written).and(ended)
    }

    fn verify(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let then = self.parse(snapshot)?;
        let view = self.view()?;
        let (wanted, now) = (self.weights_then(&view, &then), weights(&view));
        let weight = wanted.iter().find(|(name, weight)| now.get(name) != Some(weight));
        let idle = self.shares_then(&then).idle();
        let what = if let Some((name, weight)) = weight {
            format!("server {name}, then {weight}")
        } else if self.roles.read()? != then.roles {
            "its roles".to_owned()
        } else if idle.is_some_and(|pool| self.is_reached_without_weight(&view, pool)) {
            "people are still sent to servers without weight, by a cookie or a table".to_owned()
        } else {
            return Ok(());
        };
        let message = format!("backend {} is not what it was before the lease: {what}", self.config.backend);
        Err(Refusal::new(Reason::Drift, message))
    }

    fn changes(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
        let then = self.parse(snapshot)?;
        let now = weights(&self.view()?);
        let backend = &self.config.backend;
        let gone = then.weights.keys().filter(|name| !now.contains_key(*name));
        let new = now.keys().filter(|name| !then.weights.contains_key(*name));
        let gone = gone.map(|name| format!("backend {backend} has no server {name} any more"));
        Ok(gone.chain(new.map(|name| format!("backend {backend} has a server {name} that was not there"))).collect())
    }

    fn served_by_candidate(&self, snapshot: &[u8]) -> Result<Option<u64>, Refusal> {
        self.sum_of_candidate(snapshot, |server| server.sessions)
    }

    fn lingering(&self, _: &dyn Fn() -> Result<Vec<u8>, Refusal>, _: Duration) -> Result<Lingering, Refusal> {
        let Some(lease) = &self.lease else { return Ok(Lingering::Nobody) };
        let view = self.view()?;
        let candidate = self.candidate(lease, &view)?;
        let open: u64 = self.servers(&view, candidate).map(|server| server.open).sum();
        let who = match open {
            0 => return Ok(Lingering::Nobody),
            1 => "1 request or connection is".to_owned(),
            _ => format!("{open} requests or connections are"),
        };
        Ok(Lingering::Somebody(format!("{who} still open with it; a rollback breaks off what is")))
    }

    fn open_with_candidate(&self, snapshot: &[u8]) -> Result<u64, Refusal> {
        Ok(self.sum_of_candidate(snapshot, |server| server.open)?.unwrap_or(0))
    }
}
