//! Set-up of a backend: what makes a split by weights inexact, what keeps people where they were, and what a restart
//! would make of the weights.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    HaproxyDriver, config,
    view::{HaproxyBackend, HaproxyServer, Use, Weigher, cells},
    weights,
    written::WrittenBackend,
};
use crate::{
    model::{Percent, Reason, Refusal},
    reconciler::drivers::{Survey, roles::Pool},
};

impl HaproxyDriver {
    /// What there is to say before a lease begins.
    pub(super) fn set_up(&self, view: &HaproxyBackend) -> Survey {
        let mut survey = Survey::default();
        let written = self.written();
        survey.faults.extend(self.strangers(view).err());
        survey.faults.extend(self.named(view).filter_map(|server| self.inexact(server, written.as_ref().ok())));
        match &written {
            Ok(written) => survey.faults.extend(self.forced(written)),
            Err(why) => survey.remarks.push(format!(
                "HAProxy's configuration cannot be read ({why}): neither `slowstart` nor what a restart makes of the weights \
                 can be seen; name it: haproxy: {{config: [/etc/haproxy/haproxy.cfg]}}"
            )),
        }
        survey.remarks.extend(self.persistence(view).map(|line| {
            format!(
                "backend {} keeps people on a server ({line}): its weights split those who are new, and a stop puts the \
                 candidate into maintenance, which moves everybody",
                self.config.backend
            )
        }));
        survey.faults.extend(self.unloaded(written.as_ref().ok()));
        survey.faults.extend(self.restart(view, written.as_ref().ok()));
        survey
    }

    fn named<'a>(&'a self, view: &'a HaproxyBackend) -> impl Iterator<Item = &'a HaproxyServer> {
        [Pool::Stable, Pool::Candidate].into_iter().flat_map(|pool| self.servers(view, pool))
    }

    /// The line that keeps people on a server whatever its weight is.
    pub(super) fn persistence(&self, view: &HaproxyBackend) -> Option<String> {
        view.persistence.clone().or_else(|| self.written().ok()?.persistence)
    }

    /// What the configuration files say of the backend.
    pub(super) fn written(&self) -> Result<WrittenBackend, String> {
        let paths = self.paths()?;
        let text = config::text(&paths)?;
        WrittenBackend::read(&text, &self.config.backend)
            .ok_or_else(|| format!("there is no backend {} in it", self.config.backend))
    }

    fn paths(&self) -> Result<Vec<PathBuf>, String> {
        if !self.config.config.is_empty() {
            return Ok(self.config.config.clone());
        }
        self.socket.process().map_err(|refusal| refusal.message).and_then(config::of_process)
    }

    /// Why a server is not sent what its weight says.
    fn inexact(&self, server: &HaproxyServer, written: Option<&WrittenBackend>) -> Option<Refusal> {
        let (backend, name) = (&self.config.backend, &server.name);
        let slow = written.and_then(|written| written.slow.get(name).cloned());
        let slow = slow.or_else(|| server.starting.map(|percent| format!("slowstart, now at {percent} %")));
        let off = |word: &str| format!("take `{word}` off server {name}");
        let (what, then, mend) = match (slow, server) {
            (Some(slow), _) => (slow, "when it comes back the others are sent more than their share", off("slowstart")),
            (None, HaproxyServer { use_of: Use::Backup, .. }) => (
                "backup".to_owned(),
                "it serves nothing, whatever its weight, until no other server is up",
                off("backup") + ", or do not name it under stable or candidate",
            ),
            (None, HaproxyServer { weigher: Weigher::Agent, .. }) => (
                "agent-check".to_owned(),
                "its agent gives it another weight than was ordered, at any time",
                off("agent-check"),
            ),
            (None, HaproxyServer { limit: Some(limit), .. }) => (
                format!("maxconn {limit}"),
                "while it has that many the others are sent more than their share",
                off("maxconn") + ", and bound the frontend",
            ),
            (None, _) => return None,
        };
        let message = format!("server {name} of backend {backend} has `{what}`: {then}");
        Some(Refusal::new(Reason::Malformed, message).hint(mend))
    }

    /// Why nobody can tell what is served of a split by what weights say.
    pub(super) fn unknown_split(&self, view: &HaproxyBackend) -> Option<Refusal> {
        let backend = &self.config.backend;
        if view.algorithm != "roundrobin" {
            let message = format!(
                "backend {backend} balances by {}, which does not split requests by weights that change",
                view.algorithm
            );
            return Some(Refusal::new(Reason::Malformed, message).hint("use: balance roundrobin"));
        }
        let by_agent = self.named(view).find(|server| server.weigher == Weigher::Agent)?;
        self.inexact(by_agent, None)
    }

    /// Why a stable server that has not all of its weight yet leaves the candidate too much.
    pub(super) fn starts_slowly(&self, view: &HaproxyBackend, stable: Pool) -> Option<Refusal> {
        let server = self.servers(view, stable).find(|server| server.starting.is_some_and(|percent| percent < 100))?;
        let refusal = self.inexact(server, None)?;
        let message = format!("{}; until it has all of its weight the candidate is given none", refusal.message);
        Some(Refusal { reason: Reason::Drift, message, ..refusal })
    }

    /// Why even maintenance does not move people.
    fn forced(&self, written: &WrittenBackend) -> Option<Refusal> {
        let line = written.forced.as_ref()?;
        let message = format!(
            "backend {} has `{line}`, by which people are sent to a server even when it is in maintenance: no stop moves them",
            self.config.backend
        );
        Some(Refusal::new(Reason::Malformed, message).hint(format!("take `{line}` out")))
    }

    /// Why the file with the servers' state is written for nobody.
    fn unloaded(&self, written: Option<&WrittenBackend>) -> Option<Refusal> {
        let (path, written) = (self.config.server_state.as_ref()?, written?);
        let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        if written.state.as_ref().is_some_and(|loaded| whole(loaded) == whole(path)) {
            return None;
        }
        let message = format!("HAProxy does not load {} for backend {}", path.display(), self.config.backend);
        let mend = format!(
            "write into its configuration: server-state-file {} under global, load-server-state-from-file global in the backend",
            path.display()
        );
        Some(Refusal::new(Reason::Malformed, message).hint(mend))
    }

    /// Why a restart would give people the next candidate: its pool has weight in the file.
    pub(super) fn restart(&self, view: &HaproxyBackend, written: Option<&WrittenBackend>) -> Option<Refusal> {
        let known = self.roles.read().ok().flatten();
        // By weights: who is down now may be up after a restart.
        let now = self.shares_by_weight(&weights(view));
        let next = now.idle().or_else(|| known.map(|roles| roles.candidate))?;
        let then = self.after_restart(view, written);
        let shares = self.shares_by_weight(&then);
        // During a lease its candidate may have again what it has.
        if shares.of(next) <= now.of(next) && shares.of(next.other()) > 0 {
            return None;
        }
        let part = match now.of(next) {
            0 => "have no part in what serves now, and are the next candidate".to_owned(),
            part => format!("have {} % now", Percent::of(part)),
        };
        let lines = [(next.other(), 1), (next, 0)].into_iter().flat_map(|(pool, least)| {
            self.servers(view, pool).map(move |server| {
                let weight = if least == 0 { 0 } else { server.weight.max(1) };
                format!("server {} … weight {weight}", server.name)
            })
        });
        let message = format!(
            "a restart of HAProxy would give {} % to {}, which {part}: its file must say {}",
            Percent::of(shares.of(next)),
            self.config.pool(next).join(", "),
            lines.collect::<Vec<_>>().join("; ")
        );
        let files = self.paths().unwrap_or_default();
        let files: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        let file = if files.is_empty() { "HAProxy's file".to_owned() } else { files.join(", ") };
        Some(Refusal::new(Reason::Drift, message).hint(format!(
            "write that into {file}, and reload; or let HAProxy load its state: haproxy: {{server-state: FILE}}"
        )))
    }

    /// The weights that servers have after a restart: of the file with their state where it is loaded, and else of the
    /// configuration.
    fn after_restart(&self, view: &HaproxyBackend, written: Option<&WrittenBackend>) -> BTreeMap<String, u32> {
        let configured = |server: &HaproxyServer| {
            let weight = written.and_then(|written| written.weights.get(&server.name).copied());
            (server.name.clone(), weight.unwrap_or(server.configured))
        };
        let mut then: BTreeMap<_, _> = self.named(view).map(configured).collect();
        let loaded = match written {
            Some(written) => written.state.clone(),
            None => self.config.server_state.clone(),
        };
        let text = loaded.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        for row in cells(&text, ' ', "# be_id") {
            let number = |name: &str| row.get(name).and_then(|text| text.parse::<u32>().ok());
            if row.get("be_name") == Some(&self.config.backend.as_str())
                && let (Some(name), Some(weight)) = (row.get("srv_name"), number("srv_uweight"))
                && let Some(now) = then.get_mut(*name)
                // A weight that was changed in the configuration since counts, and not what was before.
                && number("srv_iweight") == Some(*now)
            {
                *now = weight;
            }
        }
        then
    }
}
