//! `HAProxy`, by its runtime socket: weights of servers, set without a reload and read back.
//!
//! Weights are lost when `HAProxy` reloads; the next tick sees that and sets them again. `HAProxy` cannot hold a lease's
//! id, so a small file beside the journal says for which lease the weights were set, and which pool is its candidate.

mod socket;
mod split;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{
    Context, Driver, Setting, Snapshot,
    kept::Kept,
    roles::{Pool, Roles, Shares, candidate_of},
};
use crate::{
    apply::decide::Observed,
    model::{LeaseId, Reason, Refusal, TargetId},
};

use socket::{Server, Socket, View};

/// What it has to know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The runtime socket: `stats socket PATH level admin`.
    pub socket: PathBuf,
    /// The backend.
    pub backend: String,
    /// The servers that serve before the first lease.
    pub stable: Vec<String>,
    /// The servers that serve nothing before the first lease.
    pub candidate: Vec<String>,
}

impl Config {
    /// Names are sent as words of commands, so they are held to what a name can be.
    pub(super) fn check(&self) -> Result<(), String> {
        let plain = |name: &String| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
            !name.is_empty() && name.bytes().all(allowed)
        };
        if self.stable.is_empty() || self.candidate.is_empty() {
            return Err("haproxy: both stable and candidate name at least one server".to_owned());
        }
        let names = || self.stable.iter().chain(&self.candidate);
        if let Some(name) = names().chain([&self.backend]).find(|name| !plain(name)) {
            return Err(format!("haproxy: `{name}` is no name of a backend or server"));
        }
        let mut known = BTreeSet::new();
        match names().find(|name| !known.insert(name.as_str())) {
            Some(name) => Err(format!("haproxy: server {name} is named twice")),
            None => Ok(()),
        }
    }

    /// Whether servers of one size could make a share exactly. What the servers really are, the driver asks.
    pub(super) fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        let ones = |names: &[String]| vec![1; names.len()];
        split::split(weight_bp, &ones(&self.stable), &ones(&self.candidate))
            .map(drop)
            .map_err(|needed| self.unreachable(weight_bp, needed))
    }

    fn unreachable(&self, weight_bp: u32, needed: u64) -> Refusal {
        let message = format!(
            "{} % cannot be made of the servers of backend {}: one would need weight {needed}, and HAProxy's end at {}",
            f64::from(weight_bp) / 100.0,
            self.backend,
            split::MAX_WEIGHT
        );
        Refusal::new(Reason::Malformed, message)
            .hint("use another tier, another number of servers, or servers of equal weight")
    }

    fn pool(&self, pool: Pool) -> &[String] {
        match pool {
            Pool::Stable => &self.stable,
            Pool::Candidate => &self.candidate,
        }
    }
}

/// How one backend is moved.
pub struct HaproxyDriver {
    config: Config,
    socket: Socket,
    roles: Kept<Roles>,
    /// The lease that it is opened for.
    lease: Option<LeaseId>,
    /// What the lease's pack says was there before, where the roles were lost.
    before: Option<(LeaseId, Before)>,
}

/// What a snapshot's bytes say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    version: u32,
    backend: String,
    weights: BTreeMap<String, u32>,
    roles: Option<Roles>,
}

impl HaproxyDriver {
    /// A driver for a target's backend.
    pub fn open(target: &TargetId, config: Config, context: &Context<'_>) -> Self {
        let roles = Kept::new(&context.folder, target.as_str());
        let lost = matches!(roles.read(), Ok(None));
        let before = context.lease.filter(|_| lost).and_then(|lease| {
            let kept = serde_json::from_slice(&(context.before)()?).ok()?;
            Some((lease.id.clone(), kept))
        });
        Self {
            socket: Socket::new(config.socket.clone()),
            lease: context.lease.map(|lease| lease.id.clone()),
            config,
            roles,
            before,
        }
    }

    /// The backend, which has to have exactly the servers that are configured here.
    fn view(&self) -> Result<View, Refusal> {
        let view = self.socket.view(&self.config.backend)?;
        let there: BTreeSet<&str> = view.servers.iter().map(|server| server.name.as_str()).collect();
        let named: BTreeSet<&str> =
            self.config.stable.iter().chain(&self.config.candidate).map(String::as_str).collect();
        match there.symmetric_difference(&named).next() {
            None => Ok(view),
            Some(name) => {
                let backend = &self.config.backend;
                let message = if named.contains(name) {
                    format!("backend {backend} has no server {name}, which the configuration names")
                } else {
                    format!("backend {backend} has a server {name}, and the configuration does not say for whom")
                };
                Err(Refusal::new(Reason::NoData, message))
            }
        }
    }

    fn servers<'a>(&'a self, view: &'a View, pool: Pool) -> impl Iterator<Item = &'a Server> {
        view.servers.iter().filter(move |server| self.config.pool(pool).contains(&server.name))
    }

    /// What each pool serves: servers that are down serve nothing, whatever their weight.
    fn shares(&self, view: &View) -> Result<Shares, Refusal> {
        let sum = |pool| self.servers(view, pool).filter(|one| one.up).map(|one| u64::from(one.weight)).sum::<u64>();
        let (stable, candidate) = (sum(Pool::Stable), sum(Pool::Candidate));
        let nobody = || {
            let message = format!("no server of backend {} is up and has weight", self.config.backend);
            Refusal::new(Reason::NoData, message)
        };
        Ok(Shares {
            stable_bp: split::share(candidate, stable).ok_or_else(nobody)?,
            candidate_bp: split::share(stable, candidate).ok_or_else(nobody)?,
        })
    }

    /// Who plays which part: as it is written down; else, where that was lost, as the lease's pack says.
    fn roles(&self, shares: Shares) -> Result<Option<Roles>, Refusal> {
        let known = self.roles.read()?;
        let Some((lease, kept)) = self.before.as_ref().filter(|_| known.is_none()) else { return Ok(known) };
        let candidate = candidate_of(lease, kept.roles.as_ref(), self.shares_then(kept))?;
        // Where it serves nothing there is nothing to lose: the roles were taken back, or never given.
        Ok((shares.of(candidate) > 0).then(|| Roles { lease: lease.clone(), candidate }))
    }

    fn shares_then(&self, kept: &Before) -> Shares {
        let weight = |name: &String| u64::from(kept.weights.get(name).copied().unwrap_or(0));
        let sum = |pool| self.config.pool(pool).iter().map(weight).sum::<u64>();
        let (stable, candidate) = (sum(Pool::Stable), sum(Pool::Candidate));
        let share = |of, other| split::share(other, of).unwrap_or(0);
        Shares { stable_bp: share(stable, candidate), candidate_bp: share(candidate, stable) }
    }

    /// The weights that make a share: of the servers that are up, if those can make it.
    fn weights(&self, view: &View, candidate: Pool, weight_bp: u32) -> Result<Vec<(String, u32)>, Refusal> {
        let made = self.split(view, candidate, weight_bp, |server| server.up);
        made.or_else(|_| self.split(view, candidate, weight_bp, |_| true))
            .map_err(|needed| self.config.unreachable(weight_bp, needed))
    }

    fn split(
        &self,
        view: &View,
        candidate: Pool,
        weight_bp: u32,
        counts: impl Fn(&Server) -> bool,
    ) -> Result<Vec<(String, u32)>, u64> {
        let pool = |pool| self.servers(view, pool).filter(|one| counts(one)).collect::<Vec<_>>();
        let (stable, candidate) = (pool(candidate.other()), pool(candidate));
        if stable.is_empty() || candidate.is_empty() {
            return Err(0);
        }
        let configured = |pool: &[&Server]| pool.iter().map(|one| one.configured).collect::<Vec<_>>();
        let split = split::split(weight_bp, &configured(&stable), &configured(&candidate))?;
        let named = |pool: Vec<&Server>, weights: Vec<u32>| {
            pool.into_iter().map(|one| one.name.clone()).zip(weights).collect::<Vec<_>>()
        };
        Ok([named(stable, split.stable), named(candidate, split.candidate)].concat())
    }

    /// Sets weights, one pool after the other, so that the candidate never has more in between than before or after.
    fn set(&self, view: &View, candidate: Pool, weights: &[(String, u32)]) -> Result<(), Refusal> {
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
        let ordered: Vec<_> =
            of(first).chain(of(first.other())).map(|(name, weight)| (name.as_str(), *weight)).collect();
        self.socket.set(&self.config.backend, &ordered)
    }

    fn parse(&self, snapshot: &[u8]) -> Result<Before, Refusal> {
        let kept: Before = serde_json::from_slice(snapshot).map_err(|error| bad(&error))?;
        if kept.version == 1 && kept.backend == self.config.backend {
            Ok(kept)
        } else {
            Err(bad(&format!("it is of another form, or of backend {}", kept.backend)))
        }
    }

    /// What a backend is now, as a snapshot says it.
    fn kept(&self, view: &View) -> Result<Before, Refusal> {
        let weights = view.servers.iter().map(|one| (one.name.clone(), one.weight)).collect();
        let roles = self.roles(self.shares(view)?)?;
        Ok(Before { version: 1, backend: self.config.backend.clone(), weights, roles })
    }
}

fn bad(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::NoPack, format!("the snapshot is none of a backend: {error}"))
}

impl Driver for HaproxyDriver {
    fn name(&self) -> &'static str {
        "haproxy/1"
    }

    fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        let view = self.view()?;
        if view.algorithm != "roundrobin" {
            let message = format!(
                "backend {} balances by {}, which does not split requests by weights that change",
                self.config.backend, view.algorithm
            );
            return Err(Refusal::new(Reason::Malformed, message).hint("use: balance roundrobin"));
        }
        for candidate in [Pool::Candidate, Pool::Stable] {
            self.split(&view, candidate, weight_bp, |_| true)
                .map_err(|needed| self.config.unreachable(weight_bp, needed))?;
        }
        Ok(())
    }

    fn observe(&self) -> Result<Observed, Refusal> {
        let shares = self.shares(&self.view()?)?;
        Ok(match self.roles(shares)? {
            Some(roles) => Observed { weight_bp: shares.of(roles.candidate), lease: Some(roles.lease) },
            None => Observed { weight_bp: shares.candidate_bp, lease: None },
        })
    }

    fn shift(&self, to: &Setting) -> Result<(), Refusal> {
        let view = self.view()?;
        // A backend of which nothing is up still has its weights taken away.
        let shares = self.shares(&view).unwrap_or(Shares { stable_bp: 10_000, candidate_bp: 0 });
        let known = self.roles(shares)?;
        let candidate = candidate_of(&to.lease, known.as_ref(), shares)?;
        let weights = self.weights(&view, candidate, to.weight_bp)?;
        // Before the weights: killed in between, what is there is known to be this lease's.
        self.roles.write(Some(&Roles { lease: to.lease.clone(), candidate }))?;
        self.set(&view, candidate, &weights)
    }

    fn snapshot(&self) -> Result<Snapshot, Refusal> {
        let view = self.view()?;
        let shares = self.shares(&view)?;
        if self.roles(shares)?.is_none() && shares.idle().is_none() {
            let message =
                format!("both pools of backend {} serve, and nothing says for which lease", self.config.backend);
            return Err(Refusal::new(Reason::Drift, message).hint("give one of them no weight by hand"));
        }
        let kept = self.kept(&view)?;
        let bytes = serde_json::to_vec(&kept).map_err(|error| bad(&error))?;
        Ok(Snapshot { bytes, backends: kept.weights, commit: None })
    }

    fn rehearse(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
        let kept = self.parse(snapshot)?;
        let view = self.view()?;
        let served = |server: &&Server| kept.weights.get(&server.name).is_some_and(|weight| *weight > 0);
        if !view.servers.iter().filter(served).any(|server| server.up) {
            let message = format!("none of the servers is up that served backend {} before", self.config.backend);
            return Err(Refusal::new(Reason::NoPack, message));
        }
        // Setting what is set already moves nothing, and shows that it could.
        if let Some(server) = view.servers.first() {
            self.socket.set(&self.config.backend, &[(server.name.as_str(), server.weight)])?;
        }
        let step = |(name, weight): (&String, &u32)| format!("set weight {}/{name} {weight}", self.config.backend);
        Ok(kept.weights.iter().map(step).collect())
    }

    fn restore(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let kept = self.parse(snapshot)?;
        let view = self.view()?;
        let known = self.roles.read()?;
        let candidate = known.map_or(Pool::Candidate, |roles| roles.candidate);
        let weights: Vec<_> = kept.weights.into_iter().collect();
        self.set(&view, candidate, &weights)?;
        self.roles.write(kept.roles.as_ref())
    }

    fn verify(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let (then, now) = (self.parse(snapshot)?, self.kept(&self.view()?)?);
        if then == now {
            return Ok(());
        }
        let differs = then.weights.iter().find(|(name, weight)| now.weights.get(*name) != Some(weight));
        let what =
            differs.map_or_else(|| "its roles".to_owned(), |(name, weight)| format!("server {name}, then {weight}"));
        let message = format!("backend {} is not what it was before the lease: {what}", self.config.backend);
        Err(Refusal::new(Reason::Drift, message))
    }

    fn served_by_candidate(&self, snapshot: &[u8]) -> Result<Option<u64>, Refusal> {
        let Some(lease) = &self.lease else { return Ok(None) };
        let before = self.parse(snapshot)?;
        let candidate = candidate_of(lease, before.roles.as_ref(), self.shares_then(&before))?;
        let view = self.view()?;
        Ok(Some(self.servers(&view, candidate).map(|server| server.sessions).sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(stable: &[&str], candidate: &[&str]) -> Config {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Config { socket: "s".into(), backend: "be".to_owned(), stable: names(stable), candidate: names(candidate) }
    }

    #[test]
    fn names_that_would_be_more_than_one_word_of_a_command_are_refused() {
        assert_eq!(config(&["web1"], &["web2"]).check(), Ok(()));
        for (stable, candidate) in
            [(vec![], vec!["b"]), (vec!["a"], vec![]), (vec!["a; shutdown"], vec!["b"]), (vec!["a"], vec!["a"])]
        {
            assert!(config(&stable, &candidate).check().is_err(), "{stable:?} {candidate:?}");
        }
        assert!(Config { backend: "be/web1".to_owned(), ..config(&["a"], &["b"]) }.check().is_err());
    }

    #[test]
    fn a_share_that_no_weights_make_is_refused_and_the_next_one_is_not() {
        let one_to_three = config(&["a"], &["b", "c", "d"]);
        let refused = one_to_three.reaches(100).unwrap_err();
        assert_eq!(refused.reason, Reason::Malformed);
        assert!(refused.message.contains("weight 297"), "{}", refused.message);
        assert_eq!(one_to_three.reaches(200), Ok(()));
    }
}
